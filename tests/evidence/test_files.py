from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from fakes import Fake, cases

from shoplm_audit.engine import Keeper, audit
from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.evidence.files import check_writable, load_run, meta_of, write_manifest, write_run
from shoplm_audit.metrics.reduce import mean_of, rate_of
from shoplm_audit.results import AuditResult
from shoplm_audit.types import Case, Gate, Generate, Pair, Probe, Prompt, Score, Suite, Turn


def look(case: Case):
    text = yield Generate(case.prompt)
    scores = yield Score(Pair("a", text))
    if text.endswith("3#0"):
        raise ValueError("cannot be read: \ud800")
    return {"text": text, "total": scores.total, "whole": 3, "long": np.bool_(len(text) > 3), "none": None,
            "half": np.float32(0.5), "undefined": math.nan}  # fmt: skip


SUITE = Suite(
    "own",
    "Is it so?",
    [
        Probe(
            "look",
            [
                *cases(30),
                Case("last \ud800", {"colour": "藏青色", "size": 1.7}, "ref", {"gender": "female"}, "k", "zh", "reply",
                     Prompt((Turn("user", "Q"), Turn("assistant", "A"), Turn("user", "\ud83d 3")), "system")),
            ],
            look,
            [rate_of("long", better="higher"), mean_of("total", better="higher")],
        )
    ],
    [Gate("rate_long", at_least=0.5)],
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, AuditResult]:
    keeper = Keeper()
    audited = audit(Fake(), SUITE, keeper=keeper)
    folder = tmp_path / "openai#model?run 100%"
    folder.mkdir()
    write_run(folder, audited, keeper.exchanges, {"suites": ["own"], "banner": "synthetic"})
    write_manifest(folder)
    return folder, audited


def test_a_run_comes_back_as_it_was(run: tuple[Path, AuditResult]) -> None:
    folder, audited = run
    found = load_run(folder)
    assert found.result == audited.result
    assert meta_of(folder) == {"suites": ["own"], "banner": "synthetic"}
    before, after = audited.observations["own", "look"], found.observations["own", "look"]
    assert [row.case for row in after] == [row.case for row in before]
    assert [row.status for row in after] == [row.status for row in before]
    assert [row.status for row in after].count("unparsed") == 4
    assert after.texts("text") == before.texts("text")
    for column in ("total", "whole", "long", "half", "undefined"):
        np.testing.assert_array_equal(after.numbers(column), before.numbers(column))


def test_numbers_can_be_computed_again_from_the_evidence(run: tuple[Path, AuditResult]) -> None:
    folder, audited = run
    rows = load_run(folder).observations["own", "look"]
    metric = SUITE.probes[0].metrics[0]
    again = metric.estimate(rows, 0.95, np.random.default_rng(0))
    kept = audited.result.suites[0].estimates[0]
    assert (again.value, again.low, again.high, again.n) == (kept.value, kept.low, kept.high, kept.n)


def test_every_request_and_answer_is_in_the_evidence(run: tuple[Path, AuditResult]) -> None:
    folder, _ = run
    connection = sqlite3.connect(folder / "evidence.sqlite")
    rows = connection.execute('SELECT "case", number, kind, request, answer FROM exchanges ORDER BY "case"').fetchall()
    connection.close()
    assert len(rows) == 62
    case, number, kind, request, answer = rows[0]
    assert (case, number, kind, json.loads(request)["prompt"]["text"], json.loads(answer)) == (
        "c0", 0, "generate", "prompt 0", "prompt 0#0",
    )  # fmt: skip
    assert list(json.loads(rows[1][4])) == ["log_prob"]


def test_nobody_else_may_read_the_evidence_and_nothing_unfinished_is_left(run: tuple[Path, AuditResult]) -> None:
    folder, _ = run
    assert stat.S_IMODE((folder / "evidence.sqlite").stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["evidence.sqlite", "manifest.json", "result.json"]


def test_the_manifest_holds_the_hash_of_every_other_file(run: tuple[Path, AuditResult]) -> None:
    folder, _ = run
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert manifest["sha256"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("evidence.sqlite", "result.json")
    }


def test_a_run_is_written_over_an_older_one(run: tuple[Path, AuditResult]) -> None:
    folder, audited = run
    write_run(folder, audited, {}, {"suites": []})
    assert meta_of(folder) == {"suites": []}
    assert load_run(folder).result == audited.result


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _sql(statement: str):
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return change


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("result.json", _cut),
        ("result.json", lambda path: path.write_text("{}")),
        ("result.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("result.json", lambda path: path.write_text(path.read_text().replace('"verdict"', '"verdikt"', 1))),
        ("result.json", lambda path: path.unlink()),
        ("evidence.sqlite", _cut),
        ("evidence.sqlite", lambda path: path.write_text("text" * 999)),
        ("evidence.sqlite", lambda path: path.write_bytes(b"")),
        ("evidence.sqlite", _sql('UPDATE observations SET "values" = "{"')),
        ("evidence.sqlite", _sql("UPDATE observations SET facts = '[]'")),
        ("evidence.sqlite", _sql("UPDATE observations SET facts = '{\"id\": 1}'")),
        ("evidence.sqlite", _sql("DROP TABLE observations")),
        ("evidence.sqlite", lambda path: path.unlink()),
    ],
)
def test_damaged_files_are_told_in_one_line(run: tuple[Path, AuditResult], name: str, damage) -> None:
    folder, _ = run
    damage(folder / name)
    with pytest.raises(DataError) as fault:
        load_run(folder)
    assert "\n" not in str(fault.value)
    assert str(fault.value).startswith(str(folder))
    assert "Run the audit again" in str(fault.value) or "Name the folder" in str(fault.value)


def test_evidence_without_its_description_is_told(run: tuple[Path, AuditResult]) -> None:
    _sql("DROP TABLE meta")(run[0] / "evidence.sqlite")
    with pytest.raises(DataError, match="cannot be read"):
        meta_of(run[0])


def test_a_folder_that_cannot_be_written_is_told_before_the_audit(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written .*--out"):
        check_writable(tmp_path / "file" / "run")
    check_writable(tmp_path / "new" / "run")
    assert list((tmp_path / "new" / "run").iterdir()) == []


def test_a_folder_that_has_gone_is_the_machines_fault(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        write_run(tmp_path / "gone", run[1], {}, {})
