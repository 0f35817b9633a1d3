"""Two runs on the same cases, paired: which gates' metrics became worse by more than a margin, how sure that is.

compare(load_run(a), load_run(b), ["faithfulness"]).verdict -> "worse"
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.engine import suites_of
from shoplm_audit.errors import DataError
from shoplm_audit.margins import default_margin, flipped_p, implied_p, paired_bounds, paired_p, sequential_p
from shoplm_audit.multiplicity import benjamini_hochberg, holm
from shoplm_audit.pairing import Pair, pairs_of
from shoplm_audit.results import AuditResult, BaselineResult, ChangeResult
from shoplm_audit.sequences import difference_sequence_of
from shoplm_audit.slicing import Fall, explained
from shoplm_audit.types import Estimate, Floats, Suite
from shoplm_audit.uncertainty import mcnemar_p

__all__ = ["changes_of", "compare"]

Said = Literal["worse", "no worse", "undecided", "undefined"]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the rows of a pair say.

    Attributes:
        difference: the candidate minus the baseline.
        p: of a worsening of at most the margin.
        alone: the same of a margin of 0.
        most: the upper bound of the worsening.
        changed: of yes-or-no cases, in how many only the baseline has the event, and in how many only the candidate.
        worsening: how much worse each row became, (N,), of means.
    """

    difference: Estimate
    p: float = math.nan
    alone: float = math.nan
    most: float = math.nan
    changed: tuple[int, int] | None = None
    worsening: Floats | None = field(default=None, repr=False)


def compare(
    first: AuditResult,
    second: AuditResult,
    suites: Sequence[str | Path | Suite],
    *,
    margin: float | None = None,
    margins: Mapping[str, float] | None = None,
) -> BaselineResult:
    """Pairs the cases of two runs and tells what became worse: the gates of the second, then its other metrics.

    As `changes_of`, with a change of every metric that no gate is on. Such a change has no `gate` and leaves the
    verdict alone; its p-value is adjusted by Benjamini and Hochberg over all of them.

    Args:
        first: the run that is the baseline.
        second: the candidate.
        suites: names or folders of the suites whose metrics are compared.
        margin: of every metric that `margins` does not name, in its unit; each has its own unless given.
        margins: as of `changes_of`.

    Raises:
        DataError: the runs share no probe, or neither run's cases of a probe are all among the other's.
    """
    loaded = suites_of(list(suites))
    pairs, notes = pairs_of(first, second, loaded)
    return _baseline(first, second, pairs, notes, _margins(pairs, margins or {}, margin, notes))


def changes_of(
    first: AuditResult,
    second: AuditResult,
    suites: Sequence[str | Path | Suite],
    margins: Mapping[str, float] | None = None,
    run: str = "",
) -> BaselineResult:
    """What has become of every gate's metric since a baseline, case by case.

    "worse": the worsening is larger than the margin, at the confidence of the second run for all gates together (Holm
    1979). "no worse": its whole interval is within the margin. No adjustment is due there, since a release is no worse
    only if every gate is. All else is "undecided". Shares of independent cases are tested exactly (McNemar 1947; with
    a margin Tango 1998, Berger and Boos 1994), the rest by the metric's own paired difference over clusters, and means
    by changing the signs of clusters too. Where a run stopped on what it saw, means of values with known ends are
    compared by bounds that hold whenever it did; other metrics stay undecided. A metric that is best at zero is worse
    when it lies further from zero. Where a mean of values with known ends fell, the parts that explain it are told.

    Args:
        first: the baseline.
        second: the candidate; its gates are the policy.
        suites: names or folders of the suites that both were made with.
        margins: by gate id, "suite.metric" or metric: how much worse is still acceptable, in the metric's unit. Unless
            given it is 0.02 for shares and contrasts of them, else 0 (`margins.default_margin`).
        run: how reports call the baseline; its model's name unless given.

    Raises:
        DataError: the runs share no probe, or neither run's cases of a probe are all among the other's.
    """
    loaded = suites_of(list(suites))
    pairs, notes = pairs_of(first, second, loaded)
    gates = [pair for pair in pairs if pair.gate]
    if pairs and not gates:
        notes.append("No gate was measured in both runs.")
    stated = _margins(gates, margins or {}, None, notes)
    found = _baseline(first, second, gates, notes, stated, anything=bool(pairs))
    return found.model_copy(update={"run": run or found.run})


def _margins(pairs: Sequence[Pair], stated: Mapping[str, float], every: float | None, notes: list[str]) -> list[float]:
    """The margin of each pair; a note tells of gates whose unit leaves them none."""
    found, unknown = [], []
    for pair in pairs:
        keys = [key for key in (pair.gate, f"{pair.suite}.{pair.metric.name}", pair.metric.name) if key in stated]
        if keys or every is not None:
            found.append(stated[keys[0]] if keys else every or 0.0)
            continue
        found.append(default_margin(pair.metric, pair.old))
        unknown += [pair.gate] if pair.gate and not found[-1] else []
    if unknown:
        notes.append(
            f"No margin is known in the unit of {', '.join(sorted(unknown))}: with one of 0 they can be worse or "
            "undecided, but hardly ever no worse. State one."
        )
    return found


def _baseline(
    first: AuditResult,
    second: AuditResult,
    pairs: Sequence[Pair],
    notes: list[str],
    margins: Sequence[float],
    *,
    anything: bool = False,
) -> BaselineResult:
    if not pairs and not anything:
        raise DataError("the two runs have no probe in common: nothing can be compared.")
    confidence = second.result.confidence
    gates = [number for number, pair in enumerate(pairs) if pair.gate]
    others = [number for number, pair in enumerate(pairs) if not pair.gate]
    found = [
        _found(pair, margin, confidence, len(gates) if pair.gate else len(others))
        for pair, margin in zip(pairs, margins, strict=True)
    ]
    p = np.array([one.p for one in found], dtype=np.float64)
    adjusted = np.empty(p.size)
    adjusted[gates], adjusted[others] = holm(p[gates]), benjamini_hochberg(p[others])
    verdicts = [
        _verdict(one, margin, float(after), confidence)
        for one, margin, after in zip(found, margins, adjusted, strict=True)
    ]
    falls = _falls(pairs, found, verdicts, confidence)
    parts = dict(zip(falls, explained(list(falls.values())), strict=True))
    changes = [
        ChangeResult(
            suite=pair.suite,
            gate=pair.gate,
            metric=pair.metric.name,
            slice=dict(pair.slice),
            first=pair.before.value,
            second=pair.after.value,
            difference=one.difference.value,
            low=one.difference.low,
            high=one.difference.high,
            n=one.difference.n,
            method=one.difference.method,
            margin=margin,
            p_value=one.p,
            p_adjusted=float(after),
            verdict=verdict,
            better=pair.metric.better,
            only_first=one.changed and one.changed[0],
            only_second=one.changed and one.changed[1],
            explained_by=parts.get(number, []),
        )
        for number, (pair, one, margin, after, verdict) in enumerate(
            zip(pairs, found, margins, adjusted, verdicts, strict=True)
        )
    ]
    said = {verdicts[number] for number in gates}
    return BaselineResult(
        run=first.result.model.name,
        model=first.result.model.name,
        fingerprint=first.result.model.fingerprint,
        verdict="worse" if "worse" in said else "no worse" if said == {"no worse"} else "undecided",
        changes=changes,
        notes=notes,
    )


def _verdict(found: _Found, margin: float, adjusted: float, confidence: float) -> Said:
    if adjusted <= 1 - confidence + 1e-12:
        return "worse"
    if math.isnan(found.most):
        return "undefined"
    # A bound that is the value itself is no bound: nothing was seen to vary.
    wide = found.difference.high > found.difference.low
    return "no worse" if wide and found.most <= margin else "undecided"


def _found(pair: Pair, margin: float, confidence: float, tests: int) -> _Found:
    """What a pair says, with the p-value from bounds at the level that `tests` of them leave for one."""
    if pair.undefined:
        nan = math.nan
        return _Found(Estimate(pair.after.value - pair.before.value, nan, nan, len(pair.old), pair.undefined))
    if pair.largest:
        return _stopped(pair, margin, confidence)
    rows = _rows(pair)
    changed = None
    if rows is not None and set(np.unique(rows[0])) | set(np.unique(rows[1])) <= {0.0, 1.0}:
        changed = int((rows[0] > rows[1]).sum()), int((rows[1] > rows[0]).sum())
        if pair.metric.better != "zero" and np.unique(pair.old.clusters).size == len(pair.old):
            return _exact(pair, rows, changed, margin, confidence)
    sign = -1 if pair.metric.better == "higher" else 1
    worsening = None if rows is None or pair.metric.better == "zero" else sign * (rows[1] - rows[0])
    difference = pair.difference(confidence)
    lows, highs = _worsenings(pair, difference)
    p = _largest(lows, margin, confidence)
    if p <= 1 - confidence and tests > 1:
        # What a bound implies far beyond its own level depends on a bell shape, and a bound of that level on resamples
        # that are rarely drawn: neither alone is to be believed there.
        level = 1 - (1 - confidence) / tests
        p = max(p, _largest(_worsenings(pair, pair.difference(level))[0][:1], margin, level))
        if worsening is not None:
            p = max(p, flipped_p(worsening, pair.old.clusters, margin, np.random.default_rng(pair.own_seed)))
    most = float(np.max([one.high for one in highs]))
    if (
        math.isnan(most)
        and pair.old.rows
        and all(
            (old.values, old.status) == (new.values, new.status) for old, new in zip(pair.old, pair.new, strict=True)
        )
    ):
        difference = replace(difference, method="undecided: no case differs, and nothing bounds what others would show")
        most = math.inf
    return _Found(difference, p, _largest(lows, 0.0, confidence), most, changed, worsening)


def _stopped(pair: Pair, margin: float, confidence: float) -> _Found:
    """What a pair says where the number of its cases hung on their answers, so that no ordinary bound holds."""
    told = None
    if pair.metric.better != "zero":
        told = difference_sequence_of(pair.metric, pair.old, pair.new, pair.largest, confidence)
    value, bounded = pair.after.value - pair.before.value, pair.metric.bounded
    if told is None or bounded is None or math.isnan(told.low) or not math.isclose(told.value, value, abs_tol=1e-9):
        why = "undecided: a run stopped on what it saw, and this metric's bounds are for a fixed number of cases"
        return _Found(Estimate(value, math.nan, math.nan, len(pair.old), why), most=math.inf)
    changes = bounded.values(pair.new) - bounded.values(pair.old)
    inside = ~np.isnan(changes)
    sign, span = (-1 if pair.metric.better == "higher" else 1), bounded.top - bounded.bottom
    worsening = sign * changes[inside]
    p, alone = (
        sequential_p(worsening, pair.old.clusters[inside], limit, span, pair.largest) for limit in (margin, 0.0)
    )
    most = told.high if sign > 0 else -told.low
    return _Found(told, p, alone, most, None, worsening if inside.all() else None)


def _rows(pair: Pair) -> tuple[Floats, Floats] | None:
    """What a mean averages in both runs, (N,) each; None of what is no mean or lacks a value."""
    if pair.metric.bounded is None or not len(pair.old):
        return None
    old, new = pair.metric.bounded.values(pair.old), pair.metric.bounded.values(pair.new)
    # A metric that makes more of its rows than their mean is left to its own difference.
    means = math.isclose(old.mean(), pair.before.value, abs_tol=1e-9) and math.isclose(
        new.mean(), pair.after.value, abs_tol=1e-9
    )
    return (old, new) if means else None


def _exact(
    pair: Pair, rows: tuple[Floats, Floats], changed: tuple[int, int], margin: float, confidence: float
) -> _Found:
    higher, n = pair.metric.better == "higher", len(pair.old)
    worse, better = changed if higher else changed[::-1]
    low, high = paired_bounds(worse, better, n, confidence)
    value = float(rows[1].mean() - rows[0].mean())
    told = (-high, -low) if higher else (low, high)
    method = f"exact over pairs of independent cases; McNemar p = {mcnemar_p(*changed):.3g}"
    return _Found(
        Estimate(value, *told, n, method),
        paired_p(worse, better, n, margin),
        paired_p(worse, better, n),
        high,
        changed,
        -(rows[1] - rows[0]) if higher else rows[1] - rows[0],
    )


def _worsenings(pair: Pair, difference: Estimate) -> tuple[list[Estimate], list[Estimate]]:
    """What all has to lie above a margin for the metric to be worse, and what all below it for it to be no worse.

    |B| lies more than m above |A| where B - A and B + A both do (of -B the same), and at most m above it where B - A
    and -B - A both do: so a sign that changes between the runs is no large fall by itself.
    """
    if pair.metric.better == "lower":
        return [difference], [difference]
    if pair.metric.better == "higher":
        turned = _negative(difference)
        return [turned], [turned]
    before, after = pair.before, pair.after
    both = replace(
        difference,
        value=before.value + after.value,
        low=before.low + after.low,
        high=before.high + after.high,
        freedom=min(before.freedom, after.freedom),
    )
    lows = [difference, both] if after.value >= 0 else [_negative(difference), _negative(both)]
    highs = [difference, _negative(both)] if before.value >= 0 else [_negative(difference), both]
    return lows, highs


def _negative(estimate: Estimate) -> Estimate:
    return replace(estimate, value=-estimate.value, low=-estimate.high, high=-estimate.low)


def _largest(worsenings: Sequence[Estimate], margin: float, confidence: float) -> float:
    chances = [implied_p(one, margin, confidence) for one in worsenings]
    return math.nan if any(map(math.isnan, chances)) else max(chances)


def _falls(
    pairs: Sequence[Pair], found: Sequence[_Found], verdicts: Sequence[Said], confidence: float
) -> dict[int, Fall]:
    """The gates whose fall is to be explained: those that are worse, or would be with no margin and no other gate."""

    def fall(pair: Pair, worsening: Floats) -> Fall:
        def difference(rows: NDArray[np.int64]) -> Estimate:
            return pair.difference(confidence, rows)

        cases = [row.case for row in pair.new]
        return Fall(cases, worsening, pair.old.clusters, difference, pair.own_seed)

    return {
        number: fall(pair, one.worsening)
        for number, (pair, one, verdict) in enumerate(zip(pairs, found, verdicts, strict=True))
        if pair.gate and one.worsening is not None and (verdict == "worse" or one.alone <= 1 - confidence)
    }
