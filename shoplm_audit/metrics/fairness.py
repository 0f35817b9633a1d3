"""Differences between groups of customers, with names or sentences as the independent units.

contrast_of("offer", "gender", "female", "male") -> Metric("contrast_offer_female_male", better="zero")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from shoplm_audit import uncertainty
from shoplm_audit.metrics.crossed import (
    MIN_TEMPLATES,
    Found,
    Masks,
    Stratum,
    Undefined,
    contrasted,
    strata_of,
    told,
    undefined,
)
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["contrast_of", "contrasts_of", "names_needed", "paired_contrast_of"]

_SPLITS = 200  # random ones that a contrast is tried with
_FEWEST = 6  # names of a group and language of which halves are compared: of fewer there are too few splits
_ALARMS = (
    3.0  # times the nominal share of false alarms: simulated fair names, skewed and of few values too, reached 2.7
)
Ends = tuple[float, float]


# Contrasts of names ---------------------------------------------------------------------------------


def contrast_of(
    column: str, group: str, first: str, second: str, *, planted: float = 0.05, within: Ends | None = None
) -> Metric:
    """Mean of a column for the first group minus that for the second, averaged over languages.

    Name-level means (over templates) are the units, compared within their language by Welch's interval, which has
    `freedom` degrees; see the module for templates. Names that lack some templates are adjusted for those they met. A
    case without a value makes the contrast undefined: a missing answer could be worth anything.

    The estimate was tried in `checks`:
    - aa_false_alarms: the share of 200 random splits of one group's own names into halves (each group in turn, within
      languages) in which the same interval excludes 0, and aa_nominal, the share that chance gives: both bounds hold at
      `confidence` each, so 10 % at 0.95. More than 3 times that makes the estimate invalid. It tries the interval on
      this very column (few values, long tails); that rows of one name were declared as such it cannot see.
    - smallest_detectable: the gap that is told from 0 in 80 % of audits with this error.
    - recovered: how often a gap of `planted` is found (the bound on its side excludes 0) when names keep what they got
      but for their group's mean, and are divided anew into groups of the same sizes.

    Args:
        column: the outcome in a shop's unit (share of the price refunded, relative price recommended).
        group: which kind of group ("gender").
        first: the value of it whose mean comes first.
        second: the value of it whose mean is subtracted.
        planted: the gap that has to be recovered, in the column's unit; the margin of the gate is a good one.
        within: the ends of the column. Where no name differs from another they bound what names that were not asked
            could do; without them the bounds are undefined there.

    References: Welch 1947; Satterthwaite 1946; on names as a sample of names, Salinas, Haim and Nyarko (arXiv
    2402.14875) and Barr et al. 2013.
    """
    pair = (first, second)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            strata = _compared(observations, observations.numbers(column), group, pair)
        except Undefined as why:
            return undefined(observations, str(why))
        found = _contrast(strata, pair, within, confidence)
        if not math.isfinite(found.freedom):
            return found
        alarms = _false_alarms(strata, pair, confidence, rng)
        half = found.value - found.low
        checks = {
            "aa_false_alarms": alarms,
            "aa_nominal": round(2 * (1 - confidence), 9),
            "smallest_detectable": _detectable(half, found.freedom, confidence),
            "planted": planted,
            "recovered": _recovered(strata, first, planted, confidence, rng),
        }
        return replace(found, checks=checks, note=_alarmed(alarms, 2 * (1 - confidence), "two halves of one group"))

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            strata = _compared(old, new.numbers(column) - old.numbers(column), group, pair)
        except Undefined as why:
            return undefined(old, str(why))
        ends = None if within is None else (within[0] - within[1], within[1] - within[0])
        return _contrast(strata, pair, ends, confidence)

    signature = f"contrast|{column}|{group}:{first}-{second}|units:names|strata:language|templates:crossed"
    compared = (column, group, first, second)
    return Metric(f"contrast_{column}_{first}_{second}", estimate, difference, "zero", signature, compared=compared)


def _compared(observations: Observations, values: Floats, group: str, pair: tuple[str, str]) -> list[Stratum]:
    """The tables of both groups' names, at least 2 of each in each language."""
    found = strata_of(observations, values, lambda case: side if (side := case.groups.get(group, "")) in pair else "")
    for one in found:
        for name in pair:
            if (count := int((one.groups == name).sum())) < 2:
                raise Undefined(f'group "{name}" has too few names in a language ({count}): an interval needs 2')
    return found


def _contrast(strata: Sequence[Stratum], pair: tuple[str, str], ends: Ends | None, confidence: float) -> Estimate:
    """The contrast with its bounds, before it is tried."""
    found = contrasted([(one.table, (one.groups == pair[0])[None, :]) for one in strata])
    value, error, half = float(found.value[0]), float(found.error[0]), float(found.half(confidence)[0])
    names = sum(len(one.groups) for one in strata)
    most = max(float(np.abs(one.table).max()) for one in strata)
    if error > 1e-12 * most:
        method = f"Welch over {names} names, templates {told(strata)}"
        return Estimate(value, value - half, value + half, names, method, freedom=float(found.freedom[0]))
    if ends is None:
        return Estimate(value, math.nan, math.nan, names, "Welch: undefined, no name differs")
    # Both groups' unseen names, each at half of what may go wrong; languages count alike, so the smaller rules.
    sides = (
        uncertainty.unseen_bounds(
            float(np.mean([one.means[one.groups == name].mean() for one in strata])),
            len(strata) * min(int((one.groups == name).sum()) for one in strata), *ends, (1 + confidence) / 2,
        )
        for name in pair
    )  # fmt: skip
    (low, high), (under, over) = sides
    return Estimate(value, low - over, high - under, names, "exact, no name differs")


def contrasts_of(
    column: str, axis: str, groups: Sequence[str], reference: str, *, planted: float = 0.05, within: Ends | None = None
) -> list[Metric]:
    """`contrast_of` for each group against the reference; the groups of an axis are one family for their gates."""
    others = [name for name in groups if name != reference]
    return [contrast_of(column, axis, name, reference, planted=planted, within=within) for name in others]


def _alarmed(alarms: float, nominal: float, what: str) -> str:
    if not alarms > _ALARMS * nominal:
        return ""
    return f"invalid: {what} differ in {alarms:.0%} of random splits, where {nominal:.0%} were expected"


def _detectable(half: float, freedom: float, confidence: float) -> float:
    """The gap that is told from 0 with a power of 80 %, of which `half` is the width at this confidence."""
    step = float(special.stdtrit(freedom, confidence))
    return half * (step + float(special.stdtrit(freedom, 0.8))) / step


def _splits(names: int, marked: int, count: int, rng: np.random.Generator) -> Masks:
    """Random choices of so many of the names, (count, names)."""
    return rng.permuted(np.tile(np.arange(names) < marked, (count, 1)), axis=1)


def _false_alarms(
    strata: Sequence[Stratum], groups: Sequence[str], confidence: float, rng: np.random.Generator
) -> float:
    """The share of random halves of one group's names between which 0 is excluded; nan where names are few."""
    alarms = []
    for group in groups:
        tables = [one.table[one.groups == group] for one in strata]
        if min(map(len, tables)) < _FEWEST:
            return math.nan
        count = _SPLITS // len(groups)
        found = contrasted([(table, _splits(len(table), len(table) // 2, count, rng)) for table in tables])
        alarms.append(np.abs(found.value) > found.half(confidence))
    return float(np.mean(alarms))


def _recovered(
    strata: Sequence[Stratum], first: str, planted: float, confidence: float, rng: np.random.Generator
) -> float:
    """The share of new divisions in which a planted gap is told from 0."""
    parts = []
    for one in strata:
        marked, table = one.groups == first, one.table.copy()
        for side in (marked, ~marked):
            table[side] -= table[side].mean()
        parts.append((table, _splits(marked.size, int(marked.sum()), _SPLITS, rng)))
    found = contrasted(parts)
    return float(np.mean(math.copysign(1.0, planted) * found.value + abs(planted) > found.half(confidence)))


def names_needed(
    deviation: float,
    gap: float,
    *,
    templates: int = 1,
    languages: int = 1,
    confidence: float = 0.95,
    power: float = 0.8,
) -> int:
    """Names of each group and language with which a gap is told from 0 with at least this power.

    With 8 templates or more they allow for what it costs to count it where noise within names looks as if templates
    treated groups differently (the factor was found by simulation, for names that are noise alone).

    A gap beyond a gate's margin needs as many as one of (gap - margin) from 0; a gap of 0 is shown to lie within a
    margin on both sides by as many as `gap=margin` and `power=(1 + power) / 2`.

    Args:
        deviation: standard deviation of names' means within a group, in the unit of the gap.
        gap: the true difference, not 0.
        templates: that every name meets; the deviation is that of means over them.
        languages: over how many of them the contrast is averaged.
        confidence: of each bound.
        power: the chance that the bound on the gap's side excludes 0.

    >>> names_needed(0.1, 0.05)
    54
    """
    wanted = 2 * (deviation / gap) ** 2 / languages

    def needed(steps: float) -> float:
        return wanted * steps**2

    names = max(2, math.floor(needed(float(special.ndtri(confidence) + special.ndtri(power)))))
    while names < needed(
        float(sum(special.stdtrit(2 * (names - 1) * languages, chance) for chance in (confidence, power)))
    ):
        names += 1
    return math.ceil((1 + 0.85 / math.sqrt(templates - 1) if templates >= MIN_TEMPLATES else 1.05) * names)


# Twins ----------------------------------------------------------------------------------------------


def paired_contrast_of(
    column: str, group: str, first: str, second: str, *, planted: float = 0.05, within: Ends | None = None
) -> Metric:
    """Mean difference within twins that differ in their group alone (a sentence in two spellings), over languages.

    The case's cluster is the sentence, and its group tells which twin it is. The interval is Student's over sentences.
    A sentence that lacks a twin, or a case without a value, makes the contrast undefined.

    `checks` are those of `contrast_of`, with random swaps of twins for splits: twins are swapped at random after the
    mean difference is taken off (aa_false_alarms, recovered).

    Args:
        column: the outcome in a shop's unit (whether an honest review was flagged).
        group: which kind of group ("variety").
        first: the value of it whose mean comes first.
        second: the value of it whose mean is subtracted.
        planted: the difference that has to be recovered, in the column's unit.
        within: the ends of the column. Of a column of these two values, fewer than 10 sentences of which differ between
            twins, the bounds are exact (binomial bounds of both kinds of change, added).
    """

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            gaps = _gaps(observations, observations.numbers(column), group, (first, second))
        except Undefined as why:
            return undefined(observations, str(why))
        found = _of_twins(gaps, None if within is None else within[1] - within[0], confidence)
        if not math.isfinite(found.freedom):
            return found
        swapped = _paired([rng.choice([-1.0, 1.0], (_SPLITS, gap.size)) * (gap - gap.mean()) for gap in gaps])
        half, nominal = swapped.half(confidence), round(2 * (1 - confidence), 9)
        alarms = float((np.abs(swapped.value) > half).mean()) if min(map(len, gaps)) >= _FEWEST else math.nan
        checks = {
            "aa_false_alarms": alarms,
            "aa_nominal": nominal,
            "smallest_detectable": _detectable(found.value - found.low, found.freedom, confidence),
            "planted": planted,
            "recovered": float(np.mean(math.copysign(1.0, planted) * swapped.value + abs(planted) > half)),
        }
        return replace(found, checks=checks, note=_alarmed(alarms, nominal, "twins swapped at random"))

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            return _of_twins(
                _gaps(old, new.numbers(column) - old.numbers(column), group, (first, second)), None, confidence
            )
        except Undefined as why:
            return undefined(old, str(why))

    signature = f"contrast|{column}|{group}:{first}-{second}|units:twins|strata:language"
    compared = (column, group, first, second)
    return Metric(f"contrast_{column}_{first}_{second}", estimate, difference, "zero", signature, compared=compared)


def _gaps(observations: Observations, values: Floats, group: str, pair: tuple[str, str]) -> list[Floats]:
    """The differences of twins, per language."""
    kept = [i for i, row in enumerate(observations) if row.case.groups.get(group) in pair]
    if not kept:
        raise Undefined("no such group")
    seen, numbers = observations.take(kept), values[kept]
    if np.isnan(numbers).any():
        raise Undefined(f"{int(np.isnan(numbers).sum())} of {len(kept)} cases have no value")
    languages = np.array([row.case.language for row in seen])
    marked = np.array([row.case.groups[group] == pair[0] for row in seen])
    found = []
    for language in np.unique(languages):
        here = languages == language
        _, at = np.unique(seen.clusters[here], return_inverse=True)
        twins = [np.bincount(at[side], minlength=at.max() + 1) for side in (marked[here], ~marked[here])]
        if lone := int(((twins[0] == 0) | (twins[1] == 0)).sum()):
            raise Undefined(f"{lone} sentences have no twin")
        sums = [np.bincount(at[side], numbers[here][side]) for side in (marked[here], ~marked[here])]
        found.append(np.asarray(sums[0] / twins[0] - sums[1] / twins[1]))
    if min(map(len, found)) < 2:
        raise Undefined("a language has fewer than 2 sentences")
    return found


def _of_twins(gaps: Sequence[Floats], span: float | None, confidence: float) -> Estimate:
    """The mean difference with its bounds, before it is tried."""
    found = _paired([gap[None, :] for gap in gaps])
    value, error, half = float(found.value[0]), float(found.error[0]), float(found.half(confidence)[0])
    n, every = sum(map(len, gaps)), np.concatenate(gaps)
    changed = np.abs(every) > 1e-12
    few = changed.sum() < uncertainty.MIN_CLUSTERS
    if span is not None and few and np.allclose(np.abs(every[changed]), span):
        # Each of the four bounds of each language may fail with an equal part of the chance.
        each = 1 - (1 - confidence) / (2 * len(gaps))
        up = np.array([uncertainty.clopper_pearson(float((gap > 0).sum()), gap.size, each) for gap in gaps])
        down = np.array([uncertainty.clopper_pearson(float((gap < 0).sum()), gap.size, each) for gap in gaps])
        low, high = span * (up[:, 0] - down[:, 1]).mean(), span * (up[:, 1] - down[:, 0]).mean()
        told = f"exact bounds on the shares of {n} sentences that changed, added"
        return Estimate(value, float(low), float(high), n, told)
    if not error > 1e-12 * max(1.0, float(np.abs(every).max())):
        return Estimate(value, math.nan, math.nan, n, "Student: undefined, no difference of twins differs")
    told = f"Student over {n} pairs of twins"
    return Estimate(value, value - half, value + half, n, told, freedom=float(found.freedom[0]))


def _paired(gaps: Sequence[Floats]) -> Found:
    """The mean of differences (S, G) of each language, averaged over languages."""
    weight = 1 / len(gaps)
    value = weight * sum(gap.mean(axis=1) for gap in gaps)
    parts = [weight**2 * gap.var(axis=1, ddof=1) / gap.shape[1] for gap in gaps]
    variance = np.asarray(sum(parts))
    squares = np.asarray(sum(part**2 / (gap.shape[1] - 1) for part, gap in zip(parts, gaps, strict=True)))
    freedom = np.divide(variance**2, squares, out=np.ones_like(variance), where=squares > 0)
    return Found(np.asarray(value), np.sqrt(variance), freedom)
