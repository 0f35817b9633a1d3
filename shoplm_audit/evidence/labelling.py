"""Texts for people to label: which ones, with what probability each was drawn, and what their labels say of the rate.

    {"case": "p17", "text": "A red kettle.", "record": {"colour": "navy"}, "finding": true, "probability": 0.8, ...,
     "label": null}

Each text is drawn on its own, with a known probability that is larger where the checker is unsure and never below a
floor, so that labels of these few correct the rate of all (arXiv 2403.03208). Lines stand in the order in which they
were drawn: the first of them are a fair sample too, so whoever labels may stop early, and skip nothing before.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.evidence.files import RESULT
from shoplm_audit.metrics.corrected import ppi
from shoplm_audit.results import AuditResult, EstimateResult, SuiteResult
from shoplm_audit.types import Case, Floats, Observation, Observations

__all__ = ["BY_PEOPLE", "Labels", "corrected_by_people", "keep_result", "labelled_in", "lines_to_label", "read_labels"]

BY_PEOPLE = "rate_contradicted_by_people"
_METRIC, _FINDING = "rate_contradicted", "contradicted"
_HOW = (
    "label: true if a statement of this text is false by the record, false if none is; statements on which the record "
    "is silent are not false. Begin at the top and skip no line; whatever is left has to be at the end."
)
_EVEN = 0.3  # share of the draws that is spread evenly: the floor under every probability
# How often a verdict is thought to be wrong, before anything is known of this checker.
_BASE, _DOUBTS = 0.02, {"contradicted": 0.15, "unsupported": 0.05, "uncheckable": 0.03, "prohibited": 0.02}
_MOST = 0.5
_CAUGHT, _CLAIMED = "rate_checker_caught", {"unit": "quantity"}  # the kind of claim that an injected error makes

Cover = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Labels:
    """What people said, by case.

    Attributes:
        truth: whether a statement of the case's text is false by the record.
        probability: with which the case came to be labelled.
        digest: of the file they were read from.
    """

    truth: Mapping[str, bool]
    probability: Mapping[str, float]
    digest: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    row: Observation
    probability: float
    order: float  # the case's own number over its probability: below 1 it is drawn


def _probe_of(audited: AuditResult) -> tuple[SuiteResult, str]:
    """The suite and probe whose texts are called contradicted or not."""
    for suite in audited.result.suites:
        for estimate in suite.estimates:
            if estimate.metric == _METRIC and (suite.name, estimate.probe) in audited.observations:
                return suite, estimate.probe
    raise DataError(f'this run has no texts to label: no suite of it measured "{_METRIC}". Run faithfulness first.')


def lines_to_label(audited: AuditResult, count: int, cover: Cover) -> list[str]:
    """The lines of a file for people to fill in, in the order in which they were drawn.

    Args:
        audited: a run of the faithfulness suite.
        count: how many texts are drawn on average.
        cover: covers personal data, character for character, so that spans stay true.

    Raises:
        DataError: the run has no such texts.
    """
    suite, probe = _probe_of(audited)
    drawn = _draw(audited.observations[suite.name, probe], count, audited.result.seed, _known_doubts(suite))
    lines = [json.dumps(_line(one, probe, len(drawn), cover), ensure_ascii=False) for one in drawn]
    return [line.encode("utf-8", "backslashreplace").decode() for line in lines]  # half a character as JSON escapes it


def _draw(observations: Observations, count: int, seed: int, doubts: Mapping[str, float]) -> list[_Drawn]:
    rows = [row for row in observations if row.status == "scored" and isinstance(row.values.get("text"), str)]
    chances = _probabilities(np.array([math.sqrt(_doubt(row, doubts)) for row in rows]), count)
    drawn = [
        _Drawn(row, float(chance), _own(seed, row.case.id) / float(chance))
        for row, chance in zip(rows, chances, strict=True)
    ]
    return sorted((one for one in drawn if one.order < 1), key=lambda one: one.order)


def _own(seed: int, case: str) -> float:
    """A case's own number in [0, 1): the same whatever else is in the run."""
    digest = hashlib.sha256(f"label\0{seed}\0{case}".encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _probabilities(weights: Floats, count: int) -> Floats:
    """Probabilities that add up to `count`, in parts even and by weight; the best weight is the error's deviation."""
    if not weights.size or count >= weights.size:
        return np.ones(weights.size)
    chances: Floats = count * (_EVEN / weights.size + (1 - _EVEN) * weights / weights.sum())
    while (over := chances > 1).any():  # what is cut off goes to the others
        chances[over] = 1.0
        rest = chances < 1
        chances[rest] *= (count - (~rest).sum()) / chances[rest].sum()
    return chances


def _doubt(row: Observation, doubts: Mapping[str, float]) -> float:
    """How likely the finding on a text is wrong, as far as its claims tell."""
    found = [max(_DOUBTS.get(claim["verdict"], 0.0), doubts.get(claim["kind"], 0.0)
                 if claim["verdict"] == "contradicted" else 0.0) for claim in _claims(row)]  # fmt: skip
    return min(_MOST, _BASE + 1 - math.prod(1 - one for one in found))


def _known_doubts(suite: SuiteResult) -> dict[str, float]:
    """How often the checker errs on a kind of claim, by the injected errors of that kind that it missed in this run."""
    return {
        _CLAIMED.get(error, error): min(_MOST, 1 - estimate.value)
        for estimate in suite.estimates
        if estimate.metric == _CAUGHT and (error := estimate.slice.get("error")) and estimate.value is not None
    }


def _claims(row: Observation) -> list[dict[str, Any]]:
    """The checker's claims of a text; [] where they cannot be read."""
    text, spans = row.values.get("text"), row.values.get("spans")
    try:
        found = json.loads(spans) if isinstance(spans, str) else []
        return [
            {
                "start": int(start),
                "end": int(end),
                "words": str(text)[int(start) : int(end)],
                "verdict": str(verdict),
                "why": str(more[0]) if more else "",
                "attribute": str(more[1]) if len(more) > 1 else "",
                "kind": str(more[2]) if len(more) > 2 else "",
            }
            for start, end, verdict, *more in found
        ]
    except (ValueError, TypeError):
        return []


def _line(one: _Drawn, probe: str, count: int, cover: Cover) -> dict[str, Any]:
    text, facts = _shown(one.row, cover), one.row.case.facts
    record = facts["record"] if isinstance(facts.get("record"), Mapping) else facts
    claims = [
        dict(claim, words=text[claim["start"] : claim["end"]], why=cover(claim["why"])) for claim in _claims(one.row)
    ]
    return {
        "case": one.row.case.id,
        "probe": probe,
        "language": one.row.case.language,
        "text": text,
        "title": cover(str(facts.get("title", ""))),
        "record": {str(name): cover(str(value)) for name, value in record.items() if name != "title"},
        "claims": claims,
        "finding": bool(one.row.values.get(_FINDING)),
        "probability": one.probability,
        "order": one.order,
        "drawn": count,
        "how": _HOW,
        "label": None,
    }


def _shown(row: Observation, cover: Cover) -> str:
    return cover(str(row.values["text"]))


def labelled_in(path: Path) -> int:
    """How many labels a file holds already, so that no new export writes over them; 0 where it is none."""
    try:
        return sum(isinstance(json.loads(line).get("label"), bool) for line in path.read_text("utf-8").splitlines())
    except (OSError, ValueError, AttributeError):
        return 0


def read_labels(path: Path, audited: AuditResult, cover: Cover) -> Labels:
    """The labels of a filled-in file.

    A file that is filled in from the top down to some line is a smaller sample of known probabilities; a gap is
    refused, since lines that were skipped for being hard would bend the rate.

    Args:
        path: what `lines_to_label` gave, filled in.
        audited: the run it came from.
        cover: as at the export.

    Raises:
        DataError: every fault of the file at once, by line.
    """
    try:
        content = path.read_bytes()
        lines = [(i, line) for i, line in enumerate(content.decode("utf-8-sig").splitlines(), 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: cannot be read ({fault}). Name the file that was filled in.") from fault
    suite, probe = _probe_of(audited)
    rows = {row.case.id: row for row in audited.observations[suite.name, probe] if row.status == "scored"}
    filled: list[tuple[int, dict[str, Any]]] = []
    faults: list[str] = []
    for number, line in lines:
        try:
            data = json.loads(line)
        except ValueError as fault:
            faults.append(f"{path}:{number}: not JSON ({fault}).")
            continue
        wrong = _fault(data, rows, audited.result.seed, cover)
        faults += [f"{path}:{number}: {wrong}"] if wrong else []
        filled += [] if wrong else [(number, data)]
    faults += [f"{path}{told}" for told in _faults_together(filled, len(lines))]
    if faults:
        raise DataError("\n".join(faults))
    ordered = sorted((data for _, data in filled), key=lambda data: float(data["order"]))
    done = [data for data in ordered if data["label"] is not None]
    # Stopping before a line makes its own number the threshold of all before it.
    below = float(ordered[len(done)]["order"]) if len(done) < len(ordered) else 1.0
    chances = {data["case"]: min(1.0, below * float(data["probability"])) for data in done}
    return Labels({data["case"]: data["label"] for data in done}, chances, hashlib.sha256(content).hexdigest()[:16])


def _fault(data: Any, rows: Mapping[str, Observation], seed: int, cover: Cover) -> str:
    """What is wrong with one line, or ""."""
    if not isinstance(data, dict):
        return "not a line of an export: it has to be an object."
    missing = [f'"{key}"' for key in ("case", "text", "probability", "order", "drawn", "label") if key not in data]
    if missing:
        return f"not a line of an export: missing {', '.join(missing)}."
    row = rows.get(data["case"]) if isinstance(data["case"], str) else None
    if row is None:
        return f'case "{data["case"]}" is not in this run. Name the run that was exported.'
    if data["text"] != _shown(row, cover):
        return f'the text of case "{data["case"]}" is not that of this run. Name the run that was exported.'
    if data["label"] is not None and not isinstance(data["label"], bool):
        return f"label {json.dumps(data['label'])}: it has to be true, false or null."
    numbers = [data["probability"], data["order"]]
    known = isinstance(data["drawn"], int) and all(isinstance(one, float | int) and 0 <= one <= 1 for one in numbers)
    if not known or not math.isclose(numbers[0] * numbers[1], _own(seed, row.case.id), abs_tol=1e-9):
        return "its probability, order or number of lines drawn was changed. Take them from the export."
    return ""


def _faults_together(filled: list[tuple[int, dict[str, Any]]], count: int) -> Iterator[str]:
    """What is wrong between lines."""
    first: dict[str, int] = {}
    for number, data in filled:
        if data["case"] in first:
            yield f':{number}: case "{data["case"]}" stands in line {first[data["case"]]} already.'
        first.setdefault(data["case"], number)
    drawn = {data["drawn"] for _, data in filled}
    if drawn and drawn != {count}:
        told = ", ".join(map(str, sorted(drawn)))
        yield f": {count} lines of an export of {told}. Leave every line in, labelled or not."
    empty = 0
    for number, data in sorted(filled, key=lambda pair: float(pair[1]["order"])):
        if data["label"] is None:
            empty = empty or number
        elif empty:
            yield f":{number}: has a label, but line {empty}, drawn before it, has none. Label from the top, skip none."
    if not any(data["label"] is not None for _, data in filled) and count == len(filled):
        yield ": no line has a label. Set label to true or false, from the top."


def corrected_by_people(audited: AuditResult, labels: Labels) -> AuditResult:
    """The run with the rate that people would find, over all cases and by language; earlier ones of its kind go."""
    suite, probe = _probe_of(audited)
    observations = audited.observations[suite.name, probe]
    languages = sorted({row.case.language for row in observations})
    slices: list[dict[str, str]] = [{}, *({"language": each} for each in languages if len(languages) > 1)]
    found = [
        one
        for where in slices
        if (one := _estimate(observations.where(**where), where, probe, labels, audited.result.confidence))
    ]
    kept = [one for one in suite.estimates if one.metric != BY_PEOPLE]
    changed = suite.model_copy(update={"estimates": kept + found})
    suites = [changed if one is suite else one for one in audited.result.suites]
    return AuditResult(audited.result.model_copy(update={"suites": suites}), audited.observations)


def _estimate(
    observations: Observations, where: dict[str, str], probe: str, labels: Labels, confidence: float
) -> EstimateResult | None:
    of = [i for i, row in enumerate(observations) if row.status == "scored" and row.case.id in labels.truth]
    if not of:
        return None
    cases: list[Case] = [observations.rows[i].case for i in of]
    told = ppi(
        observations.numbers(_FINDING, 1.0),
        np.array([float(labels.truth[case.id]) for case in cases]),
        np.array(of, dtype=np.int64),
        np.array([labels.probability[case.id] for case in cases]),
        observations.clusters,
        confidence,
    )
    return EstimateResult(
        metric=BY_PEOPLE,
        slice=where,
        value=told.value,
        low=told.low,
        high=told.high,
        n=told.n,
        method=told.method,
        better="lower",
        signature=f"ppi|{_METRIC}|labels:{labels.digest}",
        probe=probe,
        note=f"people labelled {len(of)} of {len(observations)} texts",
    )


def keep_result(folder: Path, audited: AuditResult) -> None:
    """Writes the result of a run again; its evidence stays what it was.

    Raises:
        MachineError: the disk is full or the folder has gone.
    """
    part = folder / f"{RESULT}.part"
    try:
        part.write_text(audited.result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        part.replace(folder / RESULT)
    except OSError as fault:
        raise MachineError(f"{folder}: the result cannot be written ({fault.strerror}). Free space.") from fault
