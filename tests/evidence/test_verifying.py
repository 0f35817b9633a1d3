"""A run that is whole verifies; whatever was changed in it is found and named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from finished import checked, finished

from shoplm_audit.data.records import Product
from shoplm_audit.engine import Keeper, audit, judged, overall
from shoplm_audit.errors import AuditError, DataError
from shoplm_audit.evidence.basis import basis_of
from shoplm_audit.evidence.files import load_run, meta_of, write_run
from shoplm_audit.evidence.manifest import manifest_faults, write_manifest
from shoplm_audit.evidence.recasting import Given, Maker
from shoplm_audit.evidence.verifying import Verification, verify
from shoplm_audit.judging import Policy
from shoplm_audit.observing import Sitting
from shoplm_audit.prompts import Prompts
from shoplm_audit.rendering.files import FORMS, render
from shoplm_audit.signing import public_of
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Generate


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("whole"))[0]


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole.parent, tmp_path / "copy")
    return tmp_path / "copy" / whole.name


def again(run: Path) -> None:
    """Makes pages and manifest agree with what was forged, as whoever forges would."""
    audited = load_run(run)
    for form, name in FORMS.items():
        (run / name).write_text(render(form, audited, ""), encoding="utf-8")
    write_manifest(run)


@contextmanager
def database(run: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(run / "evidence.sqlite")) as connection, connection:
        yield connection


def result_of(run: Path, change: Callable[[Any], None]) -> None:
    data = json.loads((run / "result.json").read_text(encoding="utf-8"))
    change(data)
    (run / "result.json").write_text(json.dumps(data), encoding="utf-8")


def test_a_run_that_nobody_touched_verifies(run: Path) -> None:
    told = checked(run)
    assert told.differences == []
    assert told.unchecked == []
    assert told.exit_code == 0
    assert "30 of 30 cases were read again off their stored answers." in told.notes


def test_a_changed_byte_anywhere_is_found(run: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(run.iterdir()):
        content = path.read_bytes()
        # The manifest has to account for itself.
        places = rng.integers(0, len(content), 150 if path.name == "manifest.json" else 25)
        for place in places:
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(changed)
            assert manifest_faults(run), (path.name, place)
        path.write_bytes(changed)
        code = 2
        with suppress(AuditError):
            code = checked(run).exit_code
        assert code in (1, 2)
        path.write_bytes(content)
    assert checked(run).exit_code == 0


def test_missing_and_surplus_files_are_named(run: Path) -> None:
    (run / "junit.xml").unlink()
    (run / "notes.txt").write_text("trust me")
    wheres = [one.where for one in checked(run).differences]
    assert "'junit.xml' is missing" in wheres
    assert "'notes.txt' is surplus: the manifest does not know it" in wheres


def test_a_manifest_cannot_send_the_check_out_of_the_folder(run: Path) -> None:
    (run.parent / "outside").write_text("x")
    told = json.loads((run / "manifest.json").read_text())
    told["sha256"]["../outside"] = "0" * 64
    (run / "manifest.json").write_text(json.dumps(told, indent=1) + "\n")
    assert "'../outside' is missing" in [one.where for one in checked(run).differences]


def test_a_result_forged_to_claim_a_pass_is_caught_by_recomputing(run: Path) -> None:
    def forge(data: Any) -> None:
        data["verdict"] = "pass"
        data["suites"][0]["gates"][0]["verdict"] = "pass"

    result_of(run, forge)
    again(run)
    assert manifest_faults(run) == []
    differences = {one.where: (one.stored, one.recomputed) for one in checked(run).differences}
    assert differences == {
        "suite 'returns_policy': gate 'returns_policy.rate_promises': verdict": ("pass", "fail"),
        "verdict": ("pass", "fail"),
    }


def test_a_verdict_of_the_run_that_its_gates_do_not_give_is_caught(run: Path) -> None:
    result_of(run, lambda data: data.update(verdict="pass"))
    again(run)
    assert [(one.where, one.stored, one.recomputed) for one in checked(run).differences] == [
        ("verdict", "pass", "fail")
    ]


def test_a_loosened_limit_is_caught(run: Path) -> None:
    def forge(data: Any) -> None:
        data["suites"][0]["gates"][0]["at_most"] = 0.9

    result_of(run, forge)
    again(run)
    assert any(one.where.endswith("at_most") and one.recomputed == "0.05" for one in checked(run).differences)


def test_a_gate_left_out_of_the_result_is_missed(run: Path) -> None:
    result_of(run, lambda data: data["suites"][0]["gates"].pop(0))
    again(run)
    told = [one for one in checked(run).differences if "gate 'returns_policy.rate_promises'" in one.where]
    assert [(one.stored, one.recomputed) for one in told] == [("not there", "there")]


def test_observations_forged_with_the_result_are_caught_by_the_answers(run: Path) -> None:
    with database(run) as connection:
        rows = connection.execute('SELECT probe, position, "values" FROM observations').fetchall()
        for probe, position, values in rows:
            kind = json.dumps({**json.loads(values), "promises": False}, sort_keys=True)
            connection.execute(
                'UPDATE observations SET "values" = ? WHERE probe = ? AND position = ?', (kind, probe, position)
            )
    told = checked(run)
    assert any("case 'q1': value 'promises'" in one.where for one in told.differences)
    assert {one.stored for one in told.differences if "'promises'" in one.where} == {"false"}


def test_an_answer_that_was_changed_no_longer_gives_what_was_seen(run: Path) -> None:
    with database(run) as connection:
        connection.execute("""UPDATE exchanges SET answer = '"Nothing."' WHERE "case" = 'q3' AND probe = 'ask'""")
    again(run)
    assert {one.where for one in checked(run).differences} == {
        f"returns_policy/ask, case 'q3': value {name!r}" for name in ("length", "promises", "text")
    }


def test_a_request_that_was_changed_is_not_what_the_probe_asks(run: Path) -> None:
    with database(run) as connection:
        connection.execute("""UPDATE exchanges SET request = replace(request, 'return', 'keep') WHERE "case" = 'q3'""")
    again(run)
    assert any("case 'q3': cannot be read again: request 0 is not" in one.where for one in checked(run).differences)


def test_rows_taken_out_or_exchanges_without_a_row_are_missed(run: Path) -> None:
    with database(run) as connection:
        connection.execute("""DELETE FROM observations WHERE "case" = 'q3'""")
    again(run)
    wheres = [one.where for one in checked(run).differences]
    assert "returns_policy/ask, case 'q3': exchanges of a case that has no observation" in wheres
    assert any("counts: scored" in where for where in wheres)


def test_a_page_that_tells_something_else_is_caught(run: Path) -> None:
    page = run / "junit.xml"
    page.write_text(page.read_text(encoding="utf-8").replace("failure", "skipped"), encoding="utf-8")
    write_manifest(run)
    assert [one.file for one in checked(run).differences] == ["junit.xml"]


def test_the_code_of_a_suite_is_run_only_if_it_is_named(run: Path) -> None:
    """Whoever made the evidence chose what it names."""
    (run.parent / "returns_policy" / "suite.py").write_text("raise SystemExit('run')")
    told = verify(run)
    assert told.exit_code == 3
    assert "--suite" in told.unchecked[0]


def test_evidence_without_a_basis_says_so_and_does_not_pass(run: Path) -> None:
    with database(run) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'basis'")
    write_manifest(run)
    assert checked(run).exit_code == 3


@pytest.mark.parametrize("value", ["[]", '{"seed": "x"}', "null", "[" * 100_000])
def test_a_damaged_basis_is_an_error_that_names_the_run(run: Path, value: str) -> None:
    with database(run) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'basis'", (value,))
    write_manifest(run)
    with pytest.raises(DataError, match=r"evidence\.sqlite"):
        checked(run)


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        verify(tmp_path)


def test_a_signature_tells_who_made_the_files(run: Path) -> None:
    key, other = Ed25519PrivateKey.from_private_bytes(b"1" * 32), Ed25519PrivateKey.from_private_bytes(b"2" * 32)
    assert checked(run, public_of(key)).exit_code == 1  # unsigned
    write_manifest(run, key, datetime(2026, 5, 1, tzinfo=UTC))
    assert checked(run, public_of(key)).exit_code == 0
    assert any("nobody vouches" in note for note in checked(run).notes)
    assert "another key" in checked(run, public_of(other)).differences[0].where
    # Hashes that were made to agree, without the key.
    told = json.loads((run / "manifest.json").read_text())
    write_manifest(run)
    forged = json.loads((run / "manifest.json").read_text()) | {
        "made": "2026-05-02T00:00:00Z",
        "public_key": told["public_key"],
        "signature": told["signature"],
    }
    (run / "manifest.json").write_text(json.dumps(forged, indent=1) + "\n")
    assert any("signature" in one.where for one in checked(run, public_of(key)).differences)


def test_the_manifest_is_the_same_for_the_same_files_and_day(run: Path) -> None:
    first = (run / "manifest.json").read_bytes()
    write_manifest(run, made=datetime(2026, 5, 1, tzinfo=UTC))
    assert (run / "manifest.json").read_bytes() == first
    write_manifest(run, made=datetime(2026, 5, 2, tzinfo=UTC))
    assert (run / "manifest.json").read_bytes() != first


# What an attacker forges who has the tree's own code judge and render it all again.


def basis_with(run: Path, change: Callable[[Any], None]) -> None:
    with database(run) as connection:
        (text,) = connection.execute("SELECT value FROM meta WHERE key = 'basis'").fetchone()
        basis = json.loads(text)
        change(basis)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'basis'", (json.dumps(basis),))


def judged_again(run: Path) -> None:
    """Makes the result what the forged evidence gives, and pages and manifest agree with it."""
    basis, audited = basis_of(meta_of(run)["basis"]), load_run(run)
    suite = load_suite(run.parent / "returns_policy")
    sittings = []
    for probe in suite.probes:
        planned, unread, _ = basis.sittings[f"{suite.name}/{probe.name}"]
        rows = tuple(audited.observations.get((suite.name, probe.name), ()))
        sittings.append(Sitting.seen(suite.name, probe, rows, unread, planned))
    found = judged(suite, sittings, basis)
    told = {"suites": [found], "verdict": overall(found.gates), "confidence": basis.policy.confidence}
    (run / "result.json").write_text(audited.result.model_copy(update=told).model_dump_json(), encoding="utf-8")
    again(run)


def without(run: Path, probe: str, cases: list[str]) -> None:
    with database(run) as connection:
        for table in ("observations", "exchanges"):
            connection.executemany(
                f'DELETE FROM {table} WHERE probe = ? AND "case" = ?', [(probe, one) for one in cases]
            )


def wheres(told: Verification) -> str:
    return "\n".join(f"{one.where} {one.stored} {one.recomputed}" for one in told.differences)


def test_a_tombstone_without_a_grave_excuses_nothing(run: Path) -> None:
    stone = {"subject": "0" * 128, "salt": "00", "date": "2026-11-22", "rows": {"returns_policy/ask": 1}}
    with database(run) as connection:
        connection.execute("INSERT INTO meta VALUES ('erased', ?)", (json.dumps([stone]),))

    def forge(data: Any) -> None:
        data["verdict"] = "pass"
        data["suites"][0]["gates"][0]["verdict"] = "pass"

    result_of(run, forge)
    again(run)
    told = checked(run)
    assert told.exit_code == 1
    assert "returns_policy/ask: cases without a row 1 were erased 0 are missing" in wheres(told)
    assert "gate 'returns_policy.rate_promises': verdict pass fail" in wheres(told)


def test_what_rests_on_erased_rows_is_not_vouched_for(run: Path) -> None:
    without(run, "ask", ["q1", "q3"])
    stone = {"subject": "0" * 128, "salt": "00", "date": "2026-11-22", "rows": {"returns_policy/ask": 2}}
    with database(run) as connection:
        connection.execute("INSERT INTO meta VALUES ('erased', ?)", (json.dumps([stone]),))
    again(run)
    told = checked(run)
    assert (told.differences, told.exit_code) == ([], 3)
    assert "returns_policy.rate_promises" in told.unchecked[0]
    assert "rate_long" not in told.unchecked[0]


@pytest.mark.parametrize(
    "rows", [{"returns_policy/ask": -1}, {"returns_policy/no": 1}, [], {"returns_policy/ask": "1"}]
)
def test_a_broken_tombstone_is_a_difference(run: Path, rows: Any) -> None:
    with database(run) as connection:
        connection.execute("INSERT INTO meta VALUES ('erased', ?)", (json.dumps([{"rows": rows, "date": "x"}]),))
    again(run)
    assert checked(run).exit_code == 1


def test_tools_that_a_case_never_had_do_not_free_its_values(run: Path) -> None:
    with database(run) as connection:
        rows = connection.execute('SELECT position, facts, "values" FROM observations WHERE probe = ?', ("ask",))
        for position, facts, values in rows.fetchall():
            forged = (
                json.dumps({**json.loads(facts), "tools": ["x"]}),
                json.dumps({**json.loads(values), "promises": 0}),
            )
            connection.execute(
                'UPDATE observations SET facts = ?, "values" = ? WHERE probe = ? AND position = ?',
                (*forged, "ask", position),
            )
    judged_again(run)
    told = wheres(checked(run))
    assert "case 'q0' is not as the suite makes it" in told
    assert "case 'q1': value 'promises' 0 true" in told


def test_failing_cases_that_were_deleted_are_missed(run: Path) -> None:
    without(run, "ask", [f"q{number}" for number in range(1, 24, 2)])
    basis_with(run, lambda basis: basis["sittings"]["returns_policy/ask"].__setitem__(0, 12))
    judged_again(run)
    told = wheres(checked(run))
    assert "returns_policy/ask: 12 cases were planned, and 24 are made again" in told
    assert "0 were erased 12 are missing" in told


@pytest.mark.parametrize("same_id", [True, False])
def test_good_cases_that_were_copied_are_found(run: Path, same_id: bool) -> None:
    with database(run) as connection:
        good = connection.execute("SELECT * FROM observations WHERE probe = 'ask' AND \"case\" = 'q2'").fetchone()
        asked = connection.execute("SELECT * FROM exchanges WHERE probe = 'ask' AND \"case\" = 'q2'").fetchall()
        for number in range(100, 160):
            name = "q2" if same_id else f"q{number}"
            facts = json.dumps({**json.loads(good[6]), "id": name, "cluster": name})
            row = (*good[:2], number, name, *good[4:6], facts, good[7])
            connection.execute("INSERT INTO observations VALUES (?,?,?,?,?,?,?,?)", row)
            if not same_id:
                copies = [(*one[:2], name, *one[3:]) for one in asked]
                connection.executemany("INSERT INTO exchanges VALUES (?,?,?,?,?,?,?)", copies)
    basis_with(run, lambda basis: basis["sittings"]["returns_policy/ask"].__setitem__(0, 84))
    judged_again(run)
    told = wheres(checked(run))
    assert ("case 'q2' has more than one row" if same_id else "case 'q100' is none that the suite makes") in told


def test_limits_scope_and_confidence_of_the_evidence_are_told_and_held_against_the_configuration(run: Path) -> None:
    def forge(basis: Any) -> None:
        basis["gates"] = [["returns_policy.rate_promises", None, 0.99]]
        basis["scope"] = [["returns_policy.rate_long", "n/a"]]
        basis["confidence"] = 0.6

    basis_with(run, forge)
    judged_again(run)
    told = checked(run)
    assert (load_run(run).verdict, told.exit_code) == ("pass", 0)
    notes = "\n".join(told.notes)
    assert "returns_policy.rate_promises: held to at most 0.99; the suite ships at most 0.05." in notes
    assert "returns_policy.rate_long: n/a" in notes
    assert "a confidence of 0.6; it is 0.95 unless set" in notes
    given = Given(policy=Policy(), suites=["returns_policy", "bias"])
    asked = verify(run, suites=[run.parent / "returns_policy"], given=given)
    assert {one.where.partition(": not as")[0] for one in asked.differences} == {
        "gates: returns_policy.rate_promises",
        "scope: returns_policy.rate_long",
        "confidence",
        "suite 'bias'",
    }


def test_an_untouched_run_is_what_its_configuration_asks(run: Path) -> None:
    given = Given(policy=Policy(), suites=["returns_policy"])
    assert verify(run, suites=[run.parent / "returns_policy"], given=given).exit_code == 0


@pytest.mark.parametrize("level", [0.5, 1.0, -1, "Infinity", "NaN"])
def test_a_confidence_that_is_none_is_no_traceback(run: Path, level: Any) -> None:
    text = (run / "result.json").read_text(encoding="utf-8")
    (run / "result.json").write_text(text.replace('"confidence": 0.95', f'"confidence": {level}', 1), encoding="utf-8")
    assert checked(run).exit_code == 1  # the manifest's hash
    write_manifest(run)
    with pytest.raises(DataError, match="confidence"):
        checked(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("code", 5),
        ("suites", {"a": 1}),
        ("limit", "many"),
        ("limit", -3),
        ("waivers", "abc"),
        ("clauses", {"made": 3}),
        ("erased", 7),
        ("banner", {"<b>": []}),
    ],
)
def test_forged_values_are_differences_and_no_tracebacks(run: Path, key: str, value: Any) -> None:
    with database(run) as connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))
    write_manifest(run)
    told = checked(run)
    assert told.exit_code == (0 if key == "suites" else 1)


def test_an_estimate_that_stands_there_twice_is_found(run: Path) -> None:
    def forge(data: Any) -> None:
        estimates = data["suites"][0]["estimates"]
        estimates.insert(0, {**estimates[0], "value": 0.0, "low": 0.0, "high": 0.0})

    result_of(run, forge)
    again(run)
    assert "number of estimates" in wheres(checked(run))


def test_a_suite_taken_out_of_the_result_is_missed(run: Path) -> None:
    result_of(run, lambda data: data.update(suites=[], verdict="undecided"))
    again(run)
    assert "suite 'returns_policy' not there there" in wheres(checked(run))


def test_what_no_manifest_covers_is_named(run: Path) -> None:
    (run / "pages").mkdir()
    (run / ".hidden").write_text("x")
    told = checked(run)
    assert told.exit_code == 0
    assert "Covered by no manifest and no signature: .hidden, pages/." in told.notes


# Cases that are drawn from records, as those of the built-in suites are.

DRAWN = """
from shoplm_audit import Case, Gate, Generate, Probe, Suite, rate_of

def cases(material):
    rows = material.records["products"][: material.limit]
    return [Case(one.id, {"words": WORDS}, language=one.language, prompt=material.render(
        "review", one.language, {"title": one.title, "category": one.category, "stars": "5"})) for one in rows]

def ask(case):
    text = yield Generate(case.prompt)
    return {"long": len(text) > 5, "text": text}

SUITE = Suite("drawn", "Is it long?", [Probe("ask", cases, ask, [rate_of("long", better="lower")])],
              [Gate("rate_long", at_most=0.5)])
"""


RECORDS = {"products": [Product(f"p{number}", f"Kettle {number}", "Kitchen", {}) for number in range(400)]}


class Says:
    """Says one thing to everybody."""

    name, fingerprint, record, batch_sensitive = "says", "sha256:2", None, False

    def generate(self, requests: list[Generate]) -> list[str]:
        return ["No." for _ in requests]

    def score(self, pairs: object, columns: object = None) -> list[object]:
        raise NotImplementedError


def drawn(folder: Path, words: str = "1", **asked: Any) -> Path:
    """A finished run of a suite that draws its cases; `words` is the code of what they are made of."""
    (folder / "drawn").mkdir()
    (folder / "drawn" / "suite.py").write_text(DRAWN.replace("WORDS", words))
    keeper = Keeper()
    audited = audit(Says(), load_suite(folder / "drawn"), keeper=keeper, data=RECORDS, **asked)
    (folder / "run").mkdir()
    meta = {"suites": [str(folder / "drawn")], "limit": asked.get("limit")}
    write_run(folder / "run", audited, keeper.exchanges, meta, keeper.basis)
    write_manifest(folder / "run")
    return folder / "run"


def drawn_checked(run: Path, given: Given | None = None) -> Verification:
    return verify(run, suites=[run.parent / "drawn"], given=given or Given(records=RECORDS))


def forged_prompts(run: Path) -> None:
    """Changes a value and what would tell of it: the digest of the templates, then the facts of the case."""
    with database(run) as connection:
        connection.execute(
            """UPDATE observations SET "values" = replace("values", 'false', 'true') WHERE position = 0"""
        )
    basis_with(run, lambda basis: basis.update(prompts="0" * 12))
    write_manifest(run)


def test_templates_that_nobody_can_fill_leave_gates_unchecked(tmp_path: Path) -> None:
    run = drawn(tmp_path, limit=20)
    assert drawn_checked(run).exit_code == 0
    forged_prompts(run)
    assert "keep their values. Gates that rest on them: 1." in drawn_checked(run).unchecked[0]


def test_own_templates_are_unchecked_until_they_are_given(tmp_path: Path) -> None:
    prompts = Prompts({"review": "Praise {{ title }}."})
    run = drawn(tmp_path, limit=20, prompts=prompts)
    told = drawn_checked(run)
    assert told.exit_code == 3
    assert "Without the prompts' templates the cases of drawn/ask cannot be made again" in told.unchecked[0]
    assert drawn_checked(run, Given(prompts, RECORDS)).exit_code == 0


def test_own_records_are_a_note_until_they_are_given(tmp_path: Path) -> None:
    run = drawn(tmp_path, limit=20)
    told = drawn_checked(run, Given())
    assert (told.exit_code, told.unchecked) == (0, [])
    assert any("Without the user's products the cases of drawn/ask" in note for note in told.notes)
    without(run, "ask", ["p3"])
    write_manifest(run)
    assert "0 were erased 1 are missing" in wheres(drawn_checked(run))


def test_a_tokenizer_that_is_not_at_hand_is_a_note_and_not_a_difference(tmp_path: Path) -> None:
    run = drawn(tmp_path, words="0 if material.tokenizer is None else len(material.tokenizer.encode(one.id))", limit=20)
    told = drawn_checked(run)
    assert (told.exit_code, told.notes[-1].startswith("Not recomputed")) == (0, True)


@pytest.mark.parametrize("stop", ["early", "top-up"])
def test_runs_that_stop_or_go_on_by_what_they_see_verify(tmp_path: Path, stop: Any) -> None:
    run = drawn(tmp_path, limit=400 if stop == "early" else 3, stop=stop)
    asked, planned = (
        len(load_run(run).observations["drawn", "ask"]),
        basis_of(meta_of(run)["basis"]).sittings["drawn/ask"][0],
    )
    assert asked < planned if stop == "early" else planned > 3
    assert drawn_checked(run).differences == []
    assert drawn_checked(run).exit_code == 0
    first = load_run(run).observations["drawn", "ask"].rows[0].case.id
    without(run, "ask", [first])
    write_manifest(run)
    assert "0 were erased 1 are missing" in wheres(drawn_checked(run))


def test_whole_blocks_that_were_deleted_are_missed_in_a_run_that_asked_all(tmp_path: Path) -> None:
    run = drawn(tmp_path, limit=40)
    blocks = recast_blocks(run)
    cases = [row.case.id for row in load_run(run).observations["drawn", "ask"]]
    without(run, "ask", [cases[place] for place in blocks[-1]])
    write_manifest(run)
    assert "of a run that asked all" in wheres(drawn_checked(run))


def recast_blocks(run: Path) -> list[list[int]]:
    (probe,) = load_suite(run.parent / "drawn").probes
    return Maker(basis_of(meta_of(run)["basis"]), 40, Given(records=RECORDS)).sitting("drawn", probe, set()).left
