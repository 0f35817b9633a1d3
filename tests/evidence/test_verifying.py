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

from shoplm_audit.errors import AuditError, DataError
from shoplm_audit.evidence.files import load_run
from shoplm_audit.evidence.manifest import manifest_faults, write_manifest
from shoplm_audit.evidence.verifying import verify
from shoplm_audit.rendering.files import FORMS, render
from shoplm_audit.signing import public_of


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
