"""Which cases a page shows: those that tell most about what a gate measures, and beside them one that went well.

telling_of(suite, gate, rows) -> Telling(bad=[Chosen("description", 17, "Contradicted: yes"), ...], good=Chosen(...))
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shoplm_audit.rendering.examples import Example, claims_of, example
from shoplm_audit.rendering.naming import people
from shoplm_audit.rendering.speaking import _
from shoplm_audit.rendering.wording import estimate_of, label
from shoplm_audit.results import EstimateResult, GateResult, SuiteResult
from shoplm_audit.types import Observation, Observations

__all__ = ["Chosen", "Telling", "drawn", "others_of", "rows_of", "telling_of"]

_PER_GATE = 3
_TELLING = 9  # of one suite, beside those of its gates
_OTHERS = 3
# What a metric says of how two sets of cases lie to each other shows in no single one of them.
_NOT_OF_ONE_CASE = ("auroc", "tpr", "epsilon", "macro_f1", "overlap_gap")
_CONTRAST = re.compile(r"contrast_(?P<column>.+)_(?P<first>[a-z]+)_(?P<second>[a-z]+)")

Rows = Mapping[str, Sequence[Observation]]
Measured = list[tuple[float, str, int]]  # value, probe, position


class Chosen(NamedTuple):
    """One case by its probe and position, and why it is shown."""

    probe: str
    position: int
    why: str


@dataclass(frozen=True, slots=True)
class Telling:
    """The cases of one gate: the worst by its metric, and one that went well; both can be missing."""

    bad: list[Chosen]
    good: Chosen | None


def rows_of(suite: SuiteResult, observations: Mapping[tuple[str, str], Observations]) -> Rows:
    """What each probe of a suite saw, in the order of their names."""
    return {probe: seen.rows for (name, probe), seen in sorted(observations.items()) if name == suite.name}


def telling_of(suite: SuiteResult, gate: GateResult, rows: Rows) -> Telling:
    """The most telling cases of a gate; empty where its metric shows in no single case."""
    estimate = estimate_of(suite, gate) or next((e for e in suite.estimates if e.metric == gate.metric), None)
    if estimate is None or gate.metric.startswith(_NOT_OF_ONE_CASE):
        return Telling([], None)
    there = {probe: seen for probe, seen in rows.items() if estimate.probe in ("", probe)}
    if found := _CONTRAST.fullmatch(gate.metric):
        return _apart(there, gate, estimate, (found["first"], found["second"]))
    column = _column_of(gate.metric, [row for seen in there.values() for row in seen[:50]])
    measured = _measured(there, column, gate.slice)
    if not measured:
        return Telling([], None)
    probe, index = measured[0][1:]
    if isinstance(there[probe][index].values[column], bool):
        return _wrong(there, column, measured, estimate.better == "higher")
    high_is_bad = estimate.better == "lower" or (estimate.better == "zero" and (estimate.value or 0) > 0)
    return _extreme(there, column, measured, high_is_bad)


def others_of(suite: SuiteResult, rows: Rows, shown: set[tuple[str, int]]) -> tuple[list[Chosen], list[Chosen]]:
    """Further cases of a suite that something is wrong with, and some, spread evenly, that nothing is known against."""
    faulty: dict[tuple[str, int], Chosen] = {}
    open_first = sorted(suite.gates, key=lambda gate: str(gate.verdict) != "undecided")
    judged = (
        one
        for gate in open_first
        if str(gate.verdict) in ("undecided", "pass")
        for one in telling_of(suite, gate, rows).bad[:2]
    )
    for chosen in (*_faults(rows), *judged):
        if (chosen.probe, chosen.position) not in shown and len(faulty) < _TELLING:
            faulty.setdefault((chosen.probe, chosen.position), chosen)
    wanted = {e.metric.split("_", 1)[-1]: e.better == "higher" for e in suite.estimates if e.metric.startswith("rate_")}
    fine = [
        (probe, i)
        for probe, seen in rows.items()
        for i, row in enumerate(seen)
        if (probe, i) not in shown and (probe, i) not in faulty and not _faulty(wanted, row)
    ]
    # Spread over the probes' cases, so that both languages and several tasks are among them.
    count = min(len(fine), _OTHERS if faulty or shown else 2 * _OTHERS)
    spread = [fine[(2 * k + 1) * len(fine) // (2 * count)] for k in range(count)]
    return list(faulty.values()), [Chosen(probe, i, "") for probe, i in spread]


def drawn(suite: SuiteResult, rows: Rows, chosen: Sequence[Chosen], budget: int) -> list[Example]:
    """The chosen cases as a page prints them, as many as `budget` bytes of markup hold."""
    out: list[Example] = []
    for probe, index, why in chosen:
        one = example(probe, rows[probe][index], (why,) if why else (), suite.name == "privacy")
        budget -= one.size
        if budget < 0:
            break
        out.append(one)
    return out


# Choosing -----------------------------------------------------------------------------------------


def _measured(rows: Rows, column: str, slices: Mapping[str, str]) -> Measured:
    return [
        (float(value), probe, i)
        for probe, seen in rows.items()
        for i, row in enumerate(seen)
        if row.status == "scored"
        and isinstance(value := row.values.get(column), bool | int | float)
        and math.isfinite(value)
        and all(row.case.of(k) == v for k, v in slices.items())
    ]


def _wrong(rows: Rows, column: str, measured: Measured, good: bool) -> Telling:
    """Cases with the wrong answer to a yes or no: most marked words first, the languages in turn, short texts first."""

    def rank(one: tuple[float, str, int]) -> tuple[int, int, int]:
        row = rows[one[1]][one[2]]
        return -_span_faults(row), len(str(row.values.get("text", ""))), one[2]

    wrong = sorted((one for one in measured if bool(one[0]) != good), key=rank)
    bad = _in_turn(wrong, lambda one: rows[one[1]][one[2]].case.language)[:_PER_GATE]
    right = sorted(
        (one for one in measured if bool(one[0]) == good and not _span_faults(rows[one[1]][one[2]])),
        key=lambda one: (len(str(rows[one[1]][one[2]].values.get("text", ""))), one[2]),
    )
    yes, no = _("{column}: yes", column=label(column)), _("{column}: no", column=label(column))
    went_well = Chosen(*right[len(right) // 2][1:], _("went well")) if right else None
    return Telling([Chosen(probe, i, no if good else yes) for _value, probe, i in bad], went_well)


def _extreme(rows: Rows, column: str, measured: Measured, high_is_bad: bool) -> Telling:
    ranked = sorted(measured, key=lambda one: (-one[0] if high_is_bad else one[0], one[1:]))
    why = _("{column}: among the highest", column=label(column))
    if not high_is_bad:
        why = _("{column}: among the lowest", column=label(column))
    best = ranked[-1] if len(ranked) > _PER_GATE and ranked[-1][0] != ranked[0][0] else None
    bad = [Chosen(probe, i, why) for _value, probe, i in ranked[:_PER_GATE]]
    return Telling(bad, Chosen(*best[1:], _("went well")) if best else None)


def _apart(rows: Rows, gate: GateResult, estimate: EstimateResult, pair: tuple[str, str]) -> Telling:
    """For a difference of groups: extreme cases of the group that gets less, one of the other, and one in between."""
    column = _column_of(gate.metric, [row for seen in rows.values() for row in seen[:50]])
    measured = _measured(rows, column, gate.slice)
    sides: list[Measured] = [
        [one for one in measured if name in rows[one[1]][one[2]].case.groups.values()] for name in pair
    ]
    if not all(sides):
        return _extreme(rows, column, measured, high_is_bad=True) if measured else Telling([], None)
    less, more = (0, 1) if (estimate.value or 0) < 0 else (1, 0)
    least = sorted(sides[less])
    least = _in_turn(least, lambda one: rows[one[1]][one[2]].case.language)[: _PER_GATE - 1]
    most = sorted(sides[more], key=lambda one: (-one[0], one[1:]))[:1]
    used = {one[1:] for one in (*least, *most)}
    middle = sorted(one for one in measured if one[1:] not in used)
    low = _("{group}: {column} among the lowest", group=people(pair[less]), column=label(column))
    high = _("{group}: {column} among the highest", group=people(pair[more]), column=label(column))
    bad = [Chosen(*one[1:], low) for one in least] + [Chosen(*one[1:], high) for one in most]
    between = Chosen(*middle[len(middle) // 2][1:], _("in the middle of all cases")) if middle else None
    return Telling(bad, between)


def _in_turn(ranked: Measured, kind: Callable[[tuple[float, str, int]], str]) -> Measured:
    """The best of each kind first, then the second best of each, so that no kind is crowded out."""
    seen: dict[str, int] = {}
    turns = []
    for rank, one in enumerate(ranked):
        turn = seen[kind(one)] = seen.get(kind(one), -1) + 1
        turns.append((turn, rank, one))
    return [one for _turn, _rank, one in sorted(turns)]


def _faults(rows: Rows) -> Iterator[Chosen]:
    for probe, seen in rows.items():
        marked = sorted((-faults, i) for i, row in enumerate(seen) if (faults := _span_faults(row)))[:_PER_GATE]
        yield from (Chosen(probe, i, _("has contradicted, prohibited or unsupported claims")) for _faults, i in marked)
        wrong = [i for i, row in enumerate(seen) if _mislabelled(row)][:_PER_GATE]
        yield from (Chosen(probe, i, _("answer differs from the reference")) for i in wrong)
        for status, why in (
            ("unparsed", _("unparsed: counts against the model")),
            ("errored", _("errored: counts against the model")),
        ):
            lost = [i for i, row in enumerate(seen) if row.status == status][:2]
            yield from (Chosen(probe, i, why) for i in lost)


def _faulty(wanted: Mapping[str, bool], row: Observation) -> bool:
    """Whether something is known to be wrong with a case; `wanted` are the right answers to a yes or no."""
    wrong = any(isinstance(value := row.values.get(column), bool) and value != good for column, good in wanted.items())
    return wrong or row.status != "scored" or _span_faults(row) > 0 or _mislabelled(row)


def _column_of(metric: str, rows: Sequence[Observation]) -> str:
    """The column that a metric is of, the longest whose name stands in the metric's; "" where none does."""
    names = {name for row in rows for name in row.values if f"_{name}_" in f"_{metric}_"}
    return max(sorted(names), key=len, default="")


def _mislabelled(row: Observation) -> bool:
    """Whether a classification, written or by likelihood, is not the reference."""
    answer = row.values.get("label", row.values.get("written"))
    return isinstance(answer, str) and row.case.reference is not None and answer != row.case.reference


def _span_faults(row: Observation) -> int:
    """How much is wrong by the spans: a contradiction weighs more than any number of unsupported claims."""
    faults = {"contradicted": 1000, "prohibited": 500, "unsupported": 1}
    return sum(faults.get(span.verdict, 0) for suffix in ("", "_twin") for span in claims_of(row, suffix))
