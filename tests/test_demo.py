"""The demo finds what demo.toml declares, whatever the seed."""

import json
from pathlib import Path

import pytest

from shoplm_audit.demo import BANNER, checked, read_demo, run_demo
from shoplm_audit.engine import audit
from shoplm_audit.saboteurs.model import Saboteur, invented_record
from shoplm_audit.suites import load_suite, suite_names


class Unwatched:
    """Progress that nobody watches."""

    def begin(self, suite: str, probe: str, cases: int) -> None: ...
    def asking(self, requests: int) -> None: ...
    def answered(self, requests: int) -> None: ...
    def at(self, title: str, done: int, total: int, note: str = "") -> None: ...


def test_every_declared_verdict_is_of_a_gate_that_exists() -> None:
    gates = {f"{name}.{gate.id}" for name in suite_names() for gate in load_suite(name).gates}
    expected = read_demo()["expected"]
    assert set(expected) == {"plain", "private"}
    assert {gate for declared in expected.values() for gate in declared} <= gates
    # The lesson: the plain model leaks, the private one does not, the planted bias is found in both.
    assert expected["plain"]["privacy.rate_extracted"] == "fail"
    assert expected["private"]["privacy.rate_extracted"] == expected["private"]["privacy.epsilon_lower_bound"] == "pass"
    assert all(declared["bias.contrast_refund_female_male"] == "fail" for declared in expected.values())


def test_a_verdict_that_was_not_declared_is_told() -> None:
    leaking = audit(Saboteur(memorise=0.7, training=invented_record()), "privacy")
    gate = "privacy.rate_extracted"
    (same,) = checked({"plain": {gate: "fail"}}, {"plain": leaking})
    (other,) = checked({"plain": {gate: "pass"}}, {"plain": leaking})
    (missing,) = checked({"plain": {"privacy.nothing": "pass"}}, {"plain": leaking})
    assert same.expected == same.found == "fail"
    assert (other.expected, other.found) == ("pass", "fail")
    assert missing.found == "no such gate"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_finds_what_it_declares(seed: int, tmp_path: Path) -> None:
    assert run_demo(tmp_path, Unwatched(), seed) == 0
    for name in ("plain", "private"):
        result = json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8"))
        assert [suite["name"] for suite in result["suites"]] == list(suite_names())
        assert BANNER in (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert (tmp_path / name / "model" / "audit-secrets.json").stat().st_mode & 0o777 == 0o600
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert BANNER in page
    assert "planted" in page
