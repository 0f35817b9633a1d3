"""A clause that stands otherwise than when the run was written is named with the reason; the exit code stays."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from finished import finished, suite_of

from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.evidence.files import load_run, meta_of
from shoplm_audit.evidence.manifest import write_manifest
from shoplm_audit.evidence.rejudging import notes_on, told_of
from shoplm_audit.evidence.verifying import Verification, verify
from shoplm_audit.results import Counts, EstimateResult, GateResult, ModelResult, Result, SuiteResult
from shoplm_audit.types import Verdict

MADE = date(2026, 11, 22)


def result(verdict: str = "pass") -> Result:
    gate = GateResult(id="s.rate_x", metric="rate_x", verdict=Verdict(verdict), why="")
    estimate = EstimateResult(
        metric="rate_x", value=0.1, low=0.05, high=float("nan"), n=9, method="Clopper-Pearson", better="lower"
    )
    counts = Counts(planned=9, scored=9, errored=0, unparsed=0)
    suite = SuiteResult(name="s", question="?", counts=counts, estimates=[estimate], gates=[gate])
    return Result(verdict="pass", model=ModelResult(name="m", fingerprint=""), seed=0, confidence=0.95, suites=[suite])


def maps(folder: Path, day: date = MADE, gates: str = "s.rate_x", name: str = "X-1", more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "x.toml").write_text(
        f'valid_as_of = {day}\n[[laws]]\nid = "X"\ntitle = {{ en = "Law X", zh = "某法" }}\n[[laws.clauses]]\n'
        f'id = "{name}"\ntitle = {{ en = "x", zh = "某" }}\nasks = {{ en = "x", zh = "某", tag = "F" }}\n'
        f'status = {{ en = "x", zh = "某", tag = "F" }}\ntestable = true\ngates = ["{gates}"]\n{more}',
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return maps(tmp_path / "old")


def test_what_the_evidence_keeps_of_the_maps(old: Path) -> None:
    told = told_of(result(), MADE, old)
    assert told["clauses"]["X-1"]["state"] == "evidenced"
    assert told["maps"]["x.toml"]["valid_as_of"] == "2026-11-22"
    assert told == told_of(Result.model_validate_json(result().model_dump_json()), MADE, old)  # nan is null in files


@pytest.mark.parametrize(
    ("change", "days", "verdict", "says"),
    [
        ({}, 0, "pass", []),
        ({"day": MADE + timedelta(60)}, 89, "pass", []),
        (
            {"day": MADE + timedelta(60), "gates": "s.other"},
            70,
            "pass",
            ["now weak: the map changed (as of 2027-01-21,"],
        ),
        ({}, 91, "pass", ["evidenced on 2026-11-22, now stale: time has passed. The run is 91 days old"]),
        ({}, 0, "fail", ["evidenced on 2026-11-22, now weak: its gates differ. Speaks against it"]),
        ({"name": "X-2"}, 0, "pass", ['"X-2": evidenced now, not in the maps then', '"X-1": evidenced on 2026-11-22,']),
        ({"name": "X-2", "more": 'aliases = ["X-1"]\n'}, 0, "pass", []),
        (
            {"day": MADE - timedelta(1)},
            180,
            "pass",
            ["now stale: time has passed", "warning: This clause map is as of"],
        ),
    ],
)
def test_which_clauses_stand_otherwise_and_why(
    old: Path, tmp_path: Path, change: dict[str, object], days: int, verdict: str, says: list[str]
) -> None:
    stored = told_of(result(), MADE, old)
    newer = maps(tmp_path / "newer", **change)  # type: ignore[arg-type]
    first, *lines = notes_on(stored, result(verdict), today=MADE + timedelta(days), folder=newer)
    assert len(lines) == len(says)
    assert all(part in line for part, line in zip(says, lines, strict=True))
    changed = sum("now" in part.replace(",", " ").split() for part in says)
    assert first.startswith(f"{1 - changed} of 1 clauses stand as on 2026-11-22")


def test_a_run_of_before_says_so_and_old_maps_warn_all_the_same(old: Path) -> None:
    first, warning = notes_on({}, result(), today=MADE + timedelta(181), folder=old)
    assert "of an earlier version" in first
    assert warning.startswith("warning: ")
    assert "181 days" in warning


@pytest.mark.parametrize("stored", [[1], {"made": "then"}, {"made": "2026-11-22", "maps": {}, "clauses": {"X-1": 3}}])
def test_what_cannot_be_read_is_told(old: Path, stored: object) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        notes_on(stored, result(), today=MADE, folder=old)  # type: ignore[arg-type]


def test_verify_lists_them_as_notes_and_its_exit_code_stays(tmp_path: Path) -> None:
    run, _ = finished(tmp_path)
    then = date.fromisoformat(meta_of(run)["clauses"]["made"])

    def told(**more: object) -> Verification:
        return verify(run, suites=[suite_of(tmp_path)], **more)  # type: ignore[arg-type]

    plain = told(today=then)
    assert any("clauses stand as on" in note for note in plain.notes)
    newer = maps(tmp_path / "newer", gates="returns_policy.*")
    again = told(today=then, clauses=newer)
    assert any(note.startswith('"X-1": weak now, not in the maps then') for note in again.notes)
    assert plain.exit_code == again.exit_code == 0
    with pytest.raises(ConfigError, match="no clause maps"):
        told(clauses=tmp_path)


def test_verify_of_a_run_of_before_and_of_one_with_forged_clauses(tmp_path: Path) -> None:
    run, audited = finished(tmp_path)
    for value, code in ((None, 0), ("[3]", 1)):
        with closing(sqlite3.connect(run / "evidence.sqlite")) as connection, connection:
            connection.execute("DELETE FROM meta WHERE key = 'clauses'")
            if value:
                connection.execute("INSERT INTO meta VALUES ('clauses', ?)", (value,))
        write_manifest(run)
        assert verify(run, suites=[suite_of(tmp_path)]).exit_code == code
    assert json.loads(load_run(run).result.model_dump_json()) == json.loads(audited.result.model_dump_json())
