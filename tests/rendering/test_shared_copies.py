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
from shoplm_audit.rendering.masking import mask, mask_credentials
from shoplm_audit.rendering.seeking import Sought, leaks_in, sought_in
from shoplm_audit.rendering.sharing import secrets_beside, write_shared
from shoplm_audit.results import (
    AuditResult,
    Counts,
    EstimateResult,
    GateResult,
    ModelResult,
    Result,
    SuiteResult,
    WaiverResult,
)
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
    with pytest.raises(DataError, match="half a character"):
        write_shared(tmp_path / "copy", {"a.md": "fine", "b.md": "half \ud800"}, Sought())
    assert list(tmp_path.iterdir()) == []


def _estimate(note: str, **inside: str) -> EstimateResult:
    return EstimateResult(
        metric="rate_contradicted",
        slice=inside,
        value=0.5,
        low=0.1,
        high=0.9,
        n=3,
        method="exact",
        better="lower",
        note=note,
    )


def _public(audited: AuditResult) -> str:
    return sharing.reduced(audited, "public", "").result.model_dump_json()


def test_a_public_copy_names_nobody_who_waived_a_gate_wherever_the_name_stands(run: Path) -> None:
    audited = load_run(run)
    gate = audited.result.suites[0].gates[0]
    told = "The rule is broken. Its waiver by Mira Oduya expired on 2026-05-31, so it fails."
    waiver = WaiverResult(gate=gate.id, by="Mira Oduya", why="Too late for April.", until="2026-05-31", state="expired")
    named = _with(_why(audited, told), waivers=[waiver])
    shared = sharing.reduced(named, "public", "").result
    assert (
        shared.suites[0]
        .gates[0]
        .why.endswith("Its waiver by a person whom the full report names expired on 2026-05-31, so it fails.")
    )
    assert not [word for word in ("Mira", "Oduya", "April") if word in shared.model_dump_json()]
    sought = sought_in(named, [])
    assert leaks_in({"a.md": "as mira  oduya said"}, sought)
    assert leaks_in({"a.md": "It is too late for April!"}, sought)


def test_a_public_copy_keeps_notes_of_the_programs_own_and_no_others(run: Path) -> None:
    ours = "2 of 3 cases of faithfulness errored: no answer came."
    excused = "Out of scope: faithfulness.twins: Harrow asked for it"
    mine = ["customer Harrow has no answer", "The weights behind https://harrow.example cannot be verified."]
    shared = sharing.reduced(_with(load_run(run), notes=[ours, excused, *mine]), "public", "").result
    assert shared.notes[1:] == [ours, "Out of scope: faithfulness.twins.", "2 more notes stand in the full report."]


def test_a_public_copy_covers_words_that_are_not_the_programs_own(run: Path) -> None:
    audited = load_run(run)
    note = "invalid: case Harrow 104233 failed its own test"
    gates = [
        audited.result.suites[0]
        .gates[0]
        .model_copy(
            update={"id": f"faithfulness.rate[language=zh,{key}=Harrow]", "slice": {"language": "zh", key: "Harrow"}}
        )
        for key in ("user", "kundengruppe")
    ]
    told = {"gates": gates, "estimates": [_estimate(note, user="Harrow")], "not_tested": {"twins": "Harrow left"}}
    suites = [audited.result.suites[0].model_copy(update=told)]
    environment = {"python": "3.11", "HARROW": "x", "device": "Harrow's, in the hall"}
    whole = _with(audited, suites=suites, environment=environment)
    shared = sharing.reduced(whole, "public", "").result
    assert "harrow" not in shared.model_dump_json().casefold()
    suite = shared.suites[0]
    assert suite.estimates[0].note == "invalid: case [withheld] [withheld] failed its own test"
    assert suite.gates[0].id == "faithfulness.rate[language=zh,user=withheld 1]"
    assert suite.gates[0].slice == {"language": "zh", "user": "withheld 1"}
    assert suite.estimates[0].slice == {"user": "withheld 1"}
    assert shared.environment == {"python": "3.11"}
    partner = sharing.reduced(whole, "partner", "").result.suites[0]
    assert [gate.id for gate in partner.gates] == [
        "faithfulness.rate[language=zh,user=withheld 1]",
        "faithfulness.rate[language=zh,kundengruppe=Harrow]",
    ]


def test_customers_in_groups_and_attributes_are_sought_and_not_given_to_partners(run: Path) -> None:
    audited = load_run(run)
    ((key, seen),) = audited.observations.items()
    case = replace(
        seen.rows[0].case,
        groups={"category": "kettles", "customer": "Mei Lin Harrow"},
        facts={"record": {"brand": "Orbit", "review": "Mei Harrow hated it"}},
        cluster="104233",
    )
    whole = AuditResult(audited.result, {key: Observations((replace(seen.rows[0], case=case), *seen.rows[1:]))})
    (row, *_) = sharing.reduced(whole, "partner", "").observations[key]
    assert (row.case.groups, row.case.facts) == ({"category": "kettles"}, {"record": {"brand": "Orbit"}})
    sought = sought_in(whole, [], outputs=False)
    assert leaks_in({"a.md": "said MEI LIN\u00a0HARROW."}, sought)
    assert leaks_in({"a.md": "customer 104233 called"}, sought)
    assert leaks_in({"a.md": "of kettles: 0.104233, 104,233 and 1.104233"}, sought) == []


def test_every_slice_of_the_built_in_suites_is_shown_to_the_public() -> None:
    import re

    suites = Path(__file__).parents[2] / "suites"
    texts = [path.read_text(encoding="utf-8") for path in suites.rglob("*.py")]
    named = {
        name for text in texts for by in re.findall(r"by=\(([^()]*)\)", text) for name in re.findall(r'"(\w+)"', by)
    }
    assert len(named) > 10
    assert named <= sharing._SLICES


@pytest.mark.parametrize(
    "text",
    ["user 104233 wrote", "so MARY said", "It was TOO small for  me.", "pin 4821", "pass 482109", "太小了不能穿。"],
)
def test_members_and_secrets_of_any_form_are_found_in_what_a_model_wrote(run: Path, text: str) -> None:
    members = [
        {"unit": "104233", "texts": ["Too small for me."]},
        {"unit": "mary", "texts": ["太小了不能穿"]},
    ]
    sought = sought_in(
        load_run(run), [{"canaries": [{"secret": "4821"}, {"secret": "PIN 4 8 2 1 0 9"}], "members": members}]
    )
    assert sought.tells(f"A kettle; {text}")
    assert not sought.tells("A kettle of 14821 W, 2482109 of them, for Marysia's too small kettle of 1042331. 太小了。")


def test_what_many_members_or_the_suites_own_cases_say_is_nobodys(run: Path) -> None:
    common = [{"unit": f"m{i:05d}", "texts": ["Would buy it again."]} for i in range(3)]
    mine = [{"unit": "m00009", "texts": ["Order 1 please now.", "A short one here."]}]
    audited = load_run(run)
    ((key, seen),) = audited.observations.items()
    asked = replace(seen.rows[0], case=replace(seen.rows[0].case, prompt=Prompt("Text:\nOrder 1, please, now!")))
    whole = AuditResult(audited.result, {key: Observations((asked, *seen.rows[1:]))})
    assert sought_in(whole, [{"members": common + mine}]).briefs == {("a", "short", "one", "here")}


@pytest.mark.parametrize(
    ("before", "secret", "after"),
    [
        ("key ", "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "."),
        ("use ", "github_pat_11ABCDEFG0abcdefghijkl", " now"),
        ("use ", "ghs_16C7e42F292c6912E7710c838347Ae178B4a", " now"),
        ("id ", "ASIAIOSFODNN7EXAMPLE", ""),
        ("", "-----BEGIN PRIVATE KEY----- MIIEvQIBADANBgkqh\nkiG9w0BAQEFAASC==\n-----END PRIVATE KEY-----", " it"),
        ("password: ", "Tr0ub4dor&3", " it"),
        ('"api_key": "', "hunter-two", '", "x"'),
        ("The passcode is ", "a1b2c3", ", ok"),
        ("Authorization: Bearer ", "abcdefghij0123456789", ""),
        ("密码：", "Abc#2024", "，请保密"),
        ("验证码是 ", "829104", "。"),
    ],
)
def test_credentials_are_covered_and_the_words_around_them_are_not(before: str, secret: str, after: str) -> None:
    shown = mask_credentials(before + secret + after)
    assert shown.startswith(before)
    assert shown.endswith(after)
    assert not [i for i in range(len(secret) - 3) if secret[i : i + 4] in shown]
    assert len(shown) == len(before + secret + after)
    assert mask_credentials(shown) == shown
    assert secret[1:-1] not in mask(before + secret + after)


@pytest.mark.parametrize(
    "text", ["The password is required.", "密码是由用户设置的。", "a secretary: Orbit kettle", "key: 5 W"]
)
def test_words_beside_a_label_are_no_credential(text: str) -> None:
    assert mask_credentials(text) == text


def test_a_partners_copy_is_the_users_alone_and_a_public_one_is_not(run: Path) -> None:
    for audience, folder_mode, mode in (("partner", 0o700, 0o600), ("public", 0o755, 0o644)):
        report(run, share=audience)
        folder = run / f"shared-{audience}"
        assert folder.stat().st_mode & 0o777 == folder_mode
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {mode}


def test_a_copy_is_written_where_one_stands_and_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for _ in range(2):
        report(run, share="public", out=Path("."))
        assert Path("result.json").is_file()  # the folder itself is still the one that one stands in
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "model", "run"]
    with pytest.raises(DataError, match="something else"):
        report(run, share="public", out=Path(".."))
