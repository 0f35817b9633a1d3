"""What must not leave is found in the copy itself, whatever let it through, and then nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shoplm_audit.cli.reporting import report
from shoplm_audit.errors import DataError
from shoplm_audit.evidence.files import load_run, write_run
from shoplm_audit.rendering import sharing
from shoplm_audit.rendering.sharing import Sought, leaks_in, secrets_beside, sought_in, write_shared
from shoplm_audit.results import AuditResult, Counts, GateResult, ModelResult, Result, SuiteResult
from shoplm_audit.types import Case, Observation, Observations, Prompt, Verdict

CANARY = "SO-48213907"
MEMBER = "customer-00017"
SAID = "my grandmother dropped the second kettle on her left foot yesterday"
SAID_ZH = "我外婆昨天把第二个电热水壶掉在了左脚上"
VALUES = {
    "secret of the training data": CANARY,
    "id of a case or customer": MEMBER,
    "personal data": "mei.lin@example.com",
    "run of a customer's or prompt's words": SAID,
    "credential": "sk-abcdEFGH1234ijklMNOP",
}


def _run(folder: Path) -> Path:
    """A run of a model whose training record lies beside it, with a customer's words in a prompt."""
    (folder / "model").mkdir()
    secrets = {"canaries": [{"secret": CANARY}], "members": [{"unit": MEMBER, "texts": [SAID, SAID_ZH]}]}
    (folder / "model" / "audit-secrets.json").write_text(json.dumps(secrets), encoding="utf-8")
    rows = [
        Observation(
            Case(f"order-{i:05d}", {"record": "Kettle 1.7 L"}, prompt=Prompt(f"Order {i}"), task="description"),
            {"contradicted": False, "text": f"A kettle of 1.{i} L.", "spans": "[]"},
        )
        for i in range(3)
    ]
    gate = GateResult(id="faithfulness.rate_contradicted", metric="rate_contradicted", verdict=Verdict.FAIL, why="No.")
    counts = Counts(planned=3, scored=3, errored=0, unparsed=0)
    suite = SuiteResult(name="faithfulness", question="?", counts=counts, estimates=[], gates=[gate])
    model = ModelResult(name="shop", fingerprint="sha256:1", spec=str(folder / "model"))
    result = Result(verdict="fail", model=model, seed=0, confidence=0.95, suites=[suite])
    (folder / "run").mkdir()
    audited = AuditResult(result, {("faithfulness", "describe"): Observations(tuple(rows))})
    write_run(folder / "run", audited, {}, {"suites": [], "banner": ""})
    return folder / "run"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def _why(audited: AuditResult, text: str) -> AuditResult:
    suite = audited.result.suites[0]
    gates = [suite.gates[0].model_copy(update={"why": text})]
    return _with(audited, suites=[suite.model_copy(update={"gates": gates})])


def _said(audited: AuditResult, text: str) -> AuditResult:
    rows = {
        key: Observations(tuple(replace(row, values=dict(row.values) | {"text": text}) for row in seen))
        for key, seen in audited.observations.items()
    }
    return AuditResult(audited.result, rows)


def _with(audited: AuditResult, **changed: object) -> AuditResult:
    return AuditResult(audited.result.model_copy(update=changed), audited.observations)


PLACES: dict[str, tuple[Callable[[AuditResult, str], AuditResult], str]] = {
    "note": (lambda audited, text: _with(audited, notes=[text]), "result.json"),
    "gate": (_why, "result.json"),
    "environment": (lambda audited, text: _with(audited, environment={"HOST": text}), "result.json"),
    "environment's name": (lambda audited, text: _with(audited, environment={text: "x"}), "result.json"),
    "output": (_said, "report.html"),
}
SHARED = [("partner", place) for place in PLACES] + [("public", place) for place in PLACES if place != "output"]


@pytest.mark.parametrize(("audience", "place"), SHARED)
def test_what_the_redaction_lets_through_is_found_and_nothing_is_left(
    run: Path, monkeypatch: pytest.MonkeyPatch, audience: str, place: str
) -> None:
    plant, file = PLACES[place]
    redact, leak = sharing.reduced, f"As they say: {' . '.join(VALUES.values())}."
    monkeypatch.setattr(sharing, "reduced", lambda *told: plant(redact(*told), leak))
    monkeypatch.setattr("shoplm_audit.rendering.examples.mask", lambda text, *_: text)
    before = sorted(run.rglob("*"))
    with pytest.raises(DataError) as refusal:
        report(run, share=audience)
    told = str(refusal.value)
    assert [kind for kind in VALUES if f"{file}: {kind} (" not in told] == []
    assert not any(value in told for value in VALUES.values())
    assert sorted(run.rglob("*")) == before


def test_an_ordinary_copy_is_written_and_nothing_else_stays(run: Path) -> None:
    report(run, share="public")
    assert {path.name for path in (run / "shared-public").iterdir()} == {
        *("result.json", "report.html", "junit.xml", "manifest.json")
    }
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("value", [CANARY, MEMBER, SAID])
def test_a_partner_gets_the_outputs_but_those_that_tell_what_must_not_leave(run: Path, value: str) -> None:
    audited = load_run(run)
    ((key, seen),) = audited.observations.items()
    told = replace(seen.rows[0], values=dict(seen.rows[0].values) | {"text": f"As {value}: a kettle."})
    mixed = AuditResult(audited.result, {key: Observations((told, *seen.rows[1:]))})
    kept = sharing.reduced(mixed, "partner", "", secrets_beside(run.parent / "model")).observations[key]
    assert [row.values["text"] for row in kept] == ["A kettle of 1.1 L.", "A kettle of 1.2 L."]


def test_an_earlier_copy_outlives_a_refusal(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report(run, share="public")
    before = {path: path.read_bytes() for path in (run / "shared-public").iterdir()}
    redact = sharing.reduced
    monkeypatch.setattr(sharing, "reduced", lambda *told: _with(redact(*told), notes=[CANARY]))
    with pytest.raises(DataError):
        report(run, share="public")
    assert {path: path.read_bytes() for path in (run / "shared-public").iterdir()} == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.html", f"<p>It said <mark>{CANARY[:5]}</mark>{CANARY[5:]}.</p>"),
        ("report.html", f"<p title='{CANARY}'>x</p>"),
        ("report.html", f"<!-- {CANARY} --><p>x</p>"),
        ("report.html", "<p>&#83;O 4821 3907</p>"),
        ("junit.xml", f"<failure><![CDATA[{CANARY}]]></failure>"),
        ("report.sarif", json.dumps({"results": [{f"of {CANARY}": 1}]})),
        ("modelcard.md", f"| name | so-48\u200b213907 {CANARY.lower()} |"),
    ],
)
def test_a_secret_is_found_wherever_a_form_can_hold_it(name: str, text: str) -> None:
    sought = Sought(secrets={"so48213907"})
    assert [one.kind for one in leaks_in({name: text}, sought)].count("secret of the training data") == 1


@pytest.mark.parametrize("around", ["{}.", "({}):", "客户{}的", "x/{}/2", "**{}**", "_{}_"])
def test_an_id_is_found_in_any_punctuation_and_never_inside_another(around: str) -> None:
    sought = Sought(ids={MEMBER})
    assert [one.kind for one in leaks_in({"a.md": around.format(MEMBER)}, sought)] == ["id of a case or customer"]
    assert leaks_in({"a.md": around.format(f"{MEMBER}8")}, sought) == []


def test_a_members_text_is_found_in_chinese_and_short_runs_are_nobodys(run: Path) -> None:
    sought = sought_in(load_run(run), secrets_beside(run.parent / "model"))
    assert leaks_in({"a.md": f"有人说：{SAID_ZH[2:]}。"}, sought)
    assert leaks_in({"a.md": f"{SAID_ZH[:8]}, {' '.join(SAID.split()[:7])}."}, sought) == []


def test_secrets_that_cannot_be_read_stop_the_sharing(run: Path) -> None:
    (run / "audit-secrets.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be searched"):
        report(run, share="public")
    assert not (run / "shared-public").exists()


def test_a_copy_that_cannot_be_written_leaves_no_part(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_shared(tmp_path / "copy", {"a.md": "fine", "b.md": "half \ud800"}, Sought())
    assert list(tmp_path.iterdir()) == []
