from __future__ import annotations

from pathlib import Path

import pytest

from shoplm_audit.engine import suites_of
from shoplm_audit.errors import ConfigError
from shoplm_audit.suites import ORDER, load_suite, suite_names
from shoplm_audit.types import Suite

OWN = """
from shoplm_audit import Case, Gate, Generate, Probe, Prompt, Suite, rate_of
from .cases import CASES

def ask(case):
    text = yield Generate(case.prompt)
    return {"promises": "refund" in text, "text": text}

SUITE = Suite("returns_policy", question="Does it promise a refund?",
    probes=[Probe("ask", CASES, ask, [rate_of("promises", better="lower")])],
    gates=[Gate("rate_promises", at_most=0.05)])
"""
CASES = """
from shoplm_audit import Case, Prompt
CASES = [Case(f"q{i}", prompt=Prompt(f"May I return this after {i} days?")) for i in range(120)]
"""


def folder(home: Path, suite: str, cases: str = CASES) -> Path:
    home.mkdir(exist_ok=True)
    (home / "suite.py").write_text(suite, encoding="utf-8")
    (home / "cases.py").write_text(cases, encoding="utf-8")
    return home


@pytest.mark.parametrize("name", ORDER)
def test_built_in_suites_load_by_name(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.question.endswith("?")
    assert suite.gates


def test_built_in_suites_come_in_the_order_of_reports() -> None:
    assert suite_names()[:5] == ORDER


def test_a_users_suite_is_a_folder_of_plain_python(tmp_path: Path) -> None:
    from fakes import Fake

    from shoplm_audit import audit

    home = folder(tmp_path / "returns", OWN)
    assert load_suite(home).name == "returns_policy"
    assert len(load_suite(str(home)).probes[0].cases) == 120
    assert audit(Fake(lambda *_: "No."), home).verdict == "pass"
    assert audit(Fake(lambda *_: "We refund everything."), [home]).verdict == "fail"


def test_two_folders_do_not_share_their_modules(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", OWN)
    two = folder(tmp_path / "two", OWN.replace("returns_policy", "second"), CASES.replace("120", "7"))
    assert [len(suite.probes[0].cases) for suite in (load_suite(one), load_suite(two), load_suite(one))] == [
        120,
        7,
        120,
    ]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("SUITE = 3", "sets no SUITE = Suite(...)"),
        ("x = 1", "sets no SUITE = Suite(...)"),
        ("def broken(:", "SyntaxError"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            OWN.replace('Gate("rate_promises"', 'Gate("rate_promise"'),
            'gate on "rate_promise", but its metrics are: rate_promises',
        ),
        (OWN.replace(", at_most=0.05", ""), 'gate "rate_promises" has no limit'),
    ],
)
def test_a_suite_that_does_not_load_says_where_and_why(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load_suite(folder(tmp_path / "s", source))
    assert words in str(fault.value)
    assert "\n" not in str(fault.value)


def test_an_unknown_suite_is_told_with_those_there_are(tmp_path: Path) -> None:
    for name in ("faithfullness", str(tmp_path), ""):
        with pytest.raises(ConfigError, match=r"built in are task_quality, faithfulness, .*; or give a folder"):
            load_suite(name)


def test_two_suites_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two suites have one name: a, a"):
        suites_of([Suite("a", "?", []), Suite("a", "??", [])])


def test_what_a_suite_cannot_tell_comes_from_its_card(tmp_path: Path) -> None:
    home = folder(tmp_path / "s", OWN)
    assert load_suite(home).card == ""
    (home / "CARD.md").write_text("# A\n\n## What this cannot tell you\n\nMuch.\n\n## More\n\nx\n", encoding="utf-8")
    assert load_suite(home).card == "Much."
