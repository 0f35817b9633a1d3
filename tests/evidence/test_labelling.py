from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from shoplm_audit.cli import app
from shoplm_audit.engine import Keeper, audit
from shoplm_audit.errors import DataError
from shoplm_audit.evidence.files import load_run
from shoplm_audit.evidence.labelling import BY_PEOPLE, Labels, corrected_by_people, lines_to_label, read_labels
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.rendering.files import write_all
from shoplm_audit.rendering.masking import mask
from shoplm_audit.results import AuditResult
from shoplm_audit.types import Case, Generate, Observation, Observations, Probe, Prompt, Suite

CASES = [
    Case(
        f"p{i}",
        {"title": f"Kettle {i}", "record": {"colour": "navy", "contact": "mei.lin@example.com"}},
        cluster=f"p{i}",
        language=("en", "zh")[i % 2],
        prompt=Prompt(f"{i}"),
    )
    for i in range(120)
]


class Writer:
    name, fingerprint, record, batch_sensitive = "writer", "w", None, False

    def generate(self, requests: list[Generate]) -> list[str]:
        return [f"Red no. {r.prompt.flat}, ask mei.lin@example.com" for r in requests]

    def score(self, pairs, columns=None):
        raise NotImplementedError


def look(case: Case):
    """The checker finds every tenth text wrong, and is unsure of every fifth."""
    text = yield Generate(case.prompt)
    number = int(case.prompt.flat)
    if number == 119:
        raise ValueError("cannot be read")
    verdict = "contradicted" if number % 10 == 0 else "unsupported" if number % 5 == 0 else "supported"
    spans = [[0, 3, verdict, "record says colour navy", "colour", "colour"]]
    return {"text": text, "spans": json.dumps(spans), "contradicted": number % 10 == 0}


def suite() -> Suite:
    probe = Probe("describe", CASES, look, [rate_of("contradicted", better="lower")])
    return Suite("own", "Is it true?", [probe])


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, AuditResult]:
    keeper = Keeper()
    audited = audit(Writer(), suite(), keeper=keeper)
    folder = tmp_path / "run"
    folder.mkdir()
    write_all(folder, audited, keeper, {"suites": ["own"]})
    return folder, load_run(folder)


def lines_of(audited: AuditResult, count: int, cover=mask) -> list[dict]:
    return [json.loads(line) for line in lines_to_label(audited, count, cover)]


def filled(path: Path, lines: list[dict], truth=lambda line: line["finding"], first: int = 10**6) -> Path:
    rows = [line | ({"label": truth(line)} if i < first else {}) for i, line in enumerate(lines)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def by_people(audited: AuditResult, labels: Labels):
    found = corrected_by_people(audited, labels).result.suites[0].estimates
    return next(one for one in found if one.metric == BY_PEOPLE and not one.slice)


def test_doubtful_texts_are_drawn_more_often_and_none_never(run: tuple[Path, AuditResult]) -> None:
    lines = lines_of(run[1], 40)
    assert 25 < len(lines) < 55
    chance = {kind: {round(line["probability"], 6) for line in lines if line["claims"][0]["verdict"] == kind}
              for kind in ("contradicted", "unsupported", "supported")}  # fmt: skip
    assert all(len(values) == 1 for values in chance.values())
    sure, unsure, wrong = (min(chance[kind]) for kind in ("supported", "unsupported", "contradicted"))
    assert 0.3 * 40 / 120 < sure < unsure < wrong < 1
    assert 96 * sure + 12 * unsure + 11 * wrong == pytest.approx(40, abs=0.5)
    assert lines_of(run[1], 40) == lines
    assert len(lines_of(run[1], 10**6)) == 119  # what could not be read has no text to label


def test_a_kind_of_claim_that_the_checker_misses_is_drawn_more_often(run: tuple[Path, AuditResult]) -> None:
    audited = run[1]
    one = audited.result.suites[0]
    known = one.estimates[0].model_copy(
        update={"metric": "rate_checker_caught", "slice": {"error": "colour"}, "value": 0.6}
    )
    changed = audited.result.model_copy(
        update={"suites": [one.model_copy(update={"estimates": [*one.estimates, known]})]}
    )

    def chance(lines: list[dict]) -> float:
        return max(line["probability"] for line in lines if line["finding"])

    assert chance(lines_of(AuditResult(changed, audited.observations), 30)) > 1.1 * chance(lines_of(audited, 30))


def test_every_case_is_drawn_as_often_as_its_probability_says(run: tuple[Path, AuditResult]) -> None:
    audited = run[1]
    counts, expected = np.zeros(2), np.zeros(2)
    for seed in range(60):
        again = AuditResult(audited.result.model_copy(update={"seed": seed}), audited.observations)
        for line in lines_of(again, 30, str):
            counts[int(line["finding"])] += 1
            expected[int(line["finding"])] = line["probability"] * 60 * (107, 12)[line["finding"]]
    assert counts[1] == pytest.approx(expected[1], rel=0.2)
    assert counts.sum() == pytest.approx(60 * 30, rel=0.08)


def test_nothing_personal_leaves_and_spans_stay_true(run: tuple[Path, AuditResult]) -> None:
    for line in lines_of(run[1], 120):
        assert "mei.lin" not in json.dumps(line)
        claim = line["claims"][0]
        assert line["text"][claim["start"] : claim["end"]] == claim["words"] == "Red"
        assert line["record"]["colour"] == "navy"


def test_labels_are_matched_by_case_and_not_by_position(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    lines = lines_of(run[1], 60)

    def truth(line: dict) -> bool:
        return line["case"] in ("p0", "p10", "p3", lines[0]["case"])

    straight = by_people(run[1], read_labels(filled(tmp_path / "a", lines, truth), run[1], mask))
    turned = by_people(run[1], read_labels(filled(tmp_path / "b", lines[::-1], truth), run[1], mask))
    assert (straight.value, straight.low, straight.high) == (turned.value, turned.low, turned.high)
    labels = read_labels(tmp_path / "a", run[1], mask)
    assert {case for case, said in labels.truth.items() if said} == {line["case"] for line in lines if truth(line)}


def test_labels_that_agree_give_the_checkers_rate_with_room_for_doubt(
    run: tuple[Path, AuditResult], tmp_path: Path
) -> None:
    found = by_people(run[1], read_labels(filled(tmp_path / "a", lines_of(run[1], 40)), run[1], mask))
    assert found.value == pytest.approx(13 / 120)  # the one that could not be read counts as wrong
    assert found.high > 0.15
    assert "labels:" in found.signature


def test_a_file_filled_in_from_the_top_is_a_smaller_fair_sample(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    """Half of the texts with a finding are right in truth: stopping early must not bend the rate."""
    audited, values = run[1], []
    for seed in range(60):
        again = AuditResult(audited.result.model_copy(update={"seed": seed}), audited.observations)
        path = filled(tmp_path / "a", lines_of(again, 80, str), lambda line: int(line["case"][1:]) % 20 == 0, first=40)
        labels = read_labels(path, again, str)
        assert len(labels.truth) == 40
        values.append(by_people(again, labels).value)
    # 6 of 120 are wrong, and the one that could not be read.
    assert np.mean(values) == pytest.approx(7 / 120, abs=3 * np.std(values) / math.sqrt(60))
    assert np.std(values) > 0.001


def test_all_faults_of_a_file_are_told_at_once(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    lines = lines_of(run[1], 60)
    changes = {1: {"label": "ja"}, 2: {"label": 1}, 3: {"case": "p999"}, 4: {"text": "other"}, 5: {"probability": 0.9},
               6: {"label": None}}  # fmt: skip
    rows = [line | {"label": True} | changes.get(i, {}) for i, line in enumerate(lines)]
    rows.append(dict(rows[0]))
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{]\n[1]\n{}\n", encoding="utf-8")
    with pytest.raises(DataError) as fault:
        read_labels(path, run[1], mask)
    told = str(fault.value)
    last = len(lines) + 1
    for number, words in ((2, '"ja"'), (3, "label 1:"), (4, '"p999"'), (5, "not that of this run"), (6, "probability"),
                          (8, "line 7"), (last, "stands in line 1 already"), (last + 1, "not JSON"),
                          (last + 2, "object"), (last + 3, 'missing "case"')):  # fmt: skip
        assert any(line.startswith(f"{path}:{number}:") and words in line for line in told.splitlines()), (number, told)
    assert f"of an export of {len(lines)}" in told


def test_a_file_without_labels_or_with_lines_left_out_is_refused(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    lines = lines_of(run[1], 60)
    with pytest.raises(DataError, match="no line has a label"):
        read_labels(filled(tmp_path / "a", lines, first=0), run[1], mask)
    with pytest.raises(DataError, match=f"{len(lines) - 2} lines of an export of {len(lines)}"):
        read_labels(filled(tmp_path / "a", lines[2:]), run[1], mask)
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "nowhere", run[1], mask)


def test_a_run_without_such_texts_has_nothing_to_label(run: tuple[Path, AuditResult]) -> None:
    with pytest.raises(DataError, match="rate_contradicted"):
        lines_to_label(replace(run[1], observations={}), 10, mask)


def test_half_a_character_and_unreadable_claims_are_exported(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    rows = [
        Observation(row.case, {"text": "red \ud83d", "spans": "{", "contradicted": False}) if i == 0 else row
        for i, row in enumerate(run[1].observations["own", "describe"])
    ]
    odd = AuditResult(run[1].result, {("own", "describe"): Observations(tuple(rows))})
    path = tmp_path / "a"
    path.write_text("".join(f"{line}\n" for line in lines_to_label(odd, 10**6, mask)), encoding="utf-8")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(read_labels(filled(path, lines), odd, mask).truth) == 119


def test_the_verb_exports_reads_back_and_shows_the_rate(run: tuple[Path, AuditResult], tmp_path: Path) -> None:
    folder, verb = run[0], CliRunner()
    exported = verb.invoke(app, ["report", str(folder), "--format", "labels", "--count", "50"])
    assert exported.exit_code == 0, exported.output
    path = folder / "labels.jsonl"
    filled(path, [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    again = verb.invoke(app, ["report", str(folder), "--format", "labels"])
    assert isinstance(again.exception, DataError)
    assert "labels already" in str(again.exception)
    for _ in range(2):
        back = verb.invoke(app, ["report", str(folder), "--labels", str(path)])
        assert back.exit_code == 0, back.output
        assert "rate_contradicted_by_people" in back.output
    kept = [one for one in load_run(folder).result.suites[0].estimates if one.metric == BY_PEOPLE]
    assert [one.slice for one in kept] == [{}, {"language": "en"}, {"language": "zh"}]
    assert "by people" in (folder / "report.html").read_text(encoding="utf-8")
    hashes = json.loads((folder / "manifest.json").read_text())["sha256"]
    assert {"labels.jsonl", "result.json", "report.html"} <= set(hashes)
    for wrong in (["--count", "5"], ["--labels", str(path), "--format", "junit"]):
        assert verb.invoke(app, ["report", str(folder), *wrong]).exit_code != 0
