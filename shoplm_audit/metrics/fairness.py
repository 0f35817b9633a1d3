"""Differences between groups of customers, with names or sentences as the independent units.

contrast_of("offer", "gender", "female", "male") -> Metric("contrast_offer_female_male", better="zero")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from shoplm_audit.metrics.crossed import (
    Found,
    Masks,
    Stratum,
    Undefined,
    contrasted,
    strata_of,
    told,
    undefined,
)
from shoplm_audit.metrics.matching import remark, unmatched
from shoplm_audit.metrics.resolution import names_needed, powers
from shoplm_audit.metrics.unseen import SAME, Unseen, unseen_names
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
    column: str,
    group: str,
    first: str,
    second: str,
    *,
    planted: float = 0.05,
    within: Ends | None = None,
    margin: float | None = None,
) -> Metric:
    """Mean of a column for the first group minus that for the second, averaged over languages.

    Name-level means (over templates) are the units, compared within their language by Welch's interval, which has
    `freedom` degrees; see the module for templates. Names that lack some templates are adjusted for those they met. A
    case without a value makes the contrast undefined: a missing answer could be worth anything.

    While few names differ, Welch's interval is blended with bounds for what unseen names could get (`metrics.unseen`):
    names that get the same, or the same but for the last digits, are certain only by their number. Of 24 names a group
    that all got 0 the bounds are 0.12 of the column's range; 29 a group keep a margin of 0.1, and 59 one of 0.05.

    The estimate was tried in `checks`:
    - aa_false_alarms: the share of 200 random splits of one group's own names into halves (each group in turn, within
      languages) in which the same interval excludes 0, and aa_nominal, the share that chance gives: both bounds hold at
      `confidence` each, so 10 % at 0.95. More than 3 times that makes the estimate invalid. It tries the interval on
      this very column (few values, long tails); that rows of one name were declared as such it cannot see.
      It is nan where few names differ, and the bounds are not Welch's.
    - recovered: how often a gap of `planted` is found (the bound on its side excludes 0) when names keep what they got
      but for their group's mean, and are divided anew into groups of the same sizes. It is added to what was read off,
      and so tries the statistics, not whether the column can move at all.
    - pushed: by how much the column would move where the log-odds of its shares moved by what moves one half by
      `planted`; near 0 where answers are so sure that no bias of that size could show. Only where `within` is given.
    - smallest_detectable: the gap that is told from 0 in 80 % of audits with this error.
    - smallest_failing: the gap that is told to lie beyond the margin in 80 % of audits: the margin and that gap.
    - power_to_fail: the chance that a gap of twice the margin is told to lie beyond it.
    - power_to_pass: the chance that no gap is told to lie within the margin on both sides.

    Args:
        column: the outcome in a shop's unit (share of the price refunded, relative price recommended).
        group: which kind of group ("gender").
        first: the value of it whose mean comes first.
        second: the value of it whose mean is subtracted.
        planted: the gap that has to be recovered, in the column's unit; the margin of the gate is a good one.
        within: the ends of the column. Where no name differs from another they bound what names that were not asked
            could do; without them the bounds are undefined there. A value beyond them makes the contrast undefined.
        margin: of the gate, in the column's unit; `planted` unless given. Names that differ by less than a fiftieth of
            it got the same.

    References: Welch 1947; Satterthwaite 1946; on names as a sample of names, Salinas, Haim and Nyarko (arXiv
    2402.14875) and Barr et al. 2013.
    """
    pair = (first, second)
    limit = planted if margin is None else margin

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            strata = _compared(observations, _inside(observations.numbers(column), within), group, pair)
        except Undefined as why:
            return undefined(observations, str(why))
        found = _contrast(strata, pair, within, SAME * abs(limit), confidence, rng)
        nominal = round(2 * (1 - confidence), 9)
        alarms = _false_alarms(strata, pair, confidence, rng) if math.isfinite(found.freedom) else math.nan
        divided = _divided(strata, first, rng)
        checks = {"aa_false_alarms": alarms, "aa_nominal": nominal} | _recovered(divided, found, planted, confidence)
        checks |= powers(found, abs(limit), confidence)
        if within is not None:
            checks["pushed"] = _pushed(strata, planted, within)
        apart = unmatched(observations, group, (first, second))
        note = _alarmed(alarms, nominal, "two halves of one group") or remark(apart)
        return replace(found, checks=checks | dict(apart), note=note)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            strata = _compared(old, new.numbers(column) - old.numbers(column), group, pair)
        except Undefined as why:
            return undefined(old, str(why))
        ends = None if within is None else (within[0] - within[1], within[1] - within[0])
        return _contrast(strata, pair, ends, SAME * abs(limit), confidence, rng)

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


def _inside(values: Floats, ends: Ends | None) -> Floats:
    """The values as they are, unless one lies beyond the ends of the column."""
    if ends is not None:
        slack = 1e-6 * (ends[1] - ends[0])
        beyond = values[(values < ends[0] - slack) | (values > ends[1] + slack)]
        if beyond.size:
            raise Undefined(f'"{beyond[0]:.4g}" lies outside of the column, which ends at {ends[0]:g} and {ends[1]:g}')
    return values


def _contrast(
    strata: Sequence[Stratum],
    pair: tuple[str, str],
    ends: Ends | None,
    same: float,
    confidence: float,
    rng: np.random.Generator,
) -> Estimate:
    """The contrast with its bounds, before it is tried; infinite `freedom` where they are not Welch's."""
    found = contrasted([(one.table, (one.groups == pair[0])[None, :]) for one in strata])
    sides = [
        (sign, [one.means[one.groups == name] for one in strata]) for name, sign in zip(pair, (1.0, -1.0), strict=True)
    ]
    unseen = unseen_names(sides, ends, same, confidence, rng)
    names = sum(len(one.groups) for one in strata)
    return _blended(found, unseen, names, f"Welch over {names} names, templates {told(strata)}", confidence)


def _blended(found: Found, unseen: Unseen, units: int, method: str, confidence: float) -> Estimate:
    """Student's bounds, drawn out to those for unseen units by as much as these count."""
    value, half = float(found.value[0]), float(found.half(confidence)[0])
    if unseen.weight and math.isnan(unseen.low):
        return Estimate(value, math.nan, math.nan, units, f"{method}: undefined, none differs")
    low, high = value - half, value + half
    if unseen.weight:
        low = min(low, value + unseen.weight * (unseen.low - value))
        high = max(high, value + unseen.weight * (unseen.high - value))
    if low == value - half and high == value + half:
        return Estimate(value, low, high, units, method, freedom=float(found.freedom[0]))
    return Estimate(value, low, high, units, f"exact bounds for unseen ones: {unseen.differing} of {units} differ")


def contrasts_of(
    column: str,
    axis: str,
    groups: Sequence[str],
    reference: str,
    *,
    planted: float = 0.05,
    within: Ends | None = None,
    margin: float | None = None,
) -> list[Metric]:
    """`contrast_of` for each group against the reference; the groups of an axis are one family for their gates."""
    return [
        contrast_of(column, axis, name, reference, planted=planted, within=within, margin=margin)
        for name in groups
        if name != reference
    ]


def _alarmed(alarms: float, nominal: float, what: str) -> str:
    if not alarms > _ALARMS * nominal:
        return ""
    return f"invalid: {what} differ in {alarms:.0%} of random splits, where {nominal:.0%} were expected"


def _pushed(strata: Sequence[Stratum], planted: float, ends: Ends) -> float:
    """How far the means of templates move, in the column's unit, where their log-odds do."""
    span, moves = ends[1] - ends[0], []
    for one in strata:
        share = np.clip((one.table.mean(axis=0) - ends[0]) / span, 0.0, 1.0)
        moves.append(float((special.expit(special.logit(share) + 4 * planted / span) - share).mean()))
    return span * float(np.mean(moves))


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


def _divided(strata: Sequence[Stratum], first: str, rng: np.random.Generator) -> Found:
    """The contrasts of names divided anew into groups of the same sizes, each with what it got but its group's mean."""
    parts = []
    for one in strata:
        marked, table = one.groups == first, one.table.copy()
        for side in (marked, ~marked):
            table[side] -= table[side].mean()
        parts.append((table, _splits(marked.size, int(marked.sum()), _SPLITS, rng)))
    return contrasted(parts)


def _recovered(divided: Found, found: Estimate, planted: float, confidence: float) -> dict[str, float]:
    """The share of new divisions in which a planted gap is told from 0, by their own bounds or by exact ones."""
    half: float | Floats = max(found.value - found.low, found.high - found.value)
    if math.isfinite(found.freedom):
        half = divided.half(confidence)
    hits = math.copysign(1.0, planted) * divided.value + abs(planted) > half
    return {"planted": planted, "recovered": float(np.mean(hits)) if math.isfinite(found.low) else math.nan}


# Twins ----------------------------------------------------------------------------------------------


def paired_contrast_of(
    column: str,
    group: str,
    first: str,
    second: str,
    *,
    planted: float = 0.05,
    within: Ends | None = None,
    margin: float | None = None,
) -> Metric:
    """Mean difference within twins that differ in their group alone (a sentence in two spellings), over languages.

    The case's cluster is the sentence, and its group tells which twin it is. The interval is Student's over sentences.
    A sentence that lacks a twin, or a case without a value, makes the contrast undefined.

    While few sentences differ between twins the interval is blended with bounds for unseen ones, as in `contrast_of`,
    whose `checks` these are (but for `pushed`), with random swaps of twins for splits: twins are swapped at random
    after the mean difference is taken off (aa_false_alarms, recovered).

    Args:
        column: the outcome in a shop's unit (whether an honest review was flagged).
        group: which kind of group ("variety").
        first: the value of it whose mean comes first.
        second: the value of it whose mean is subtracted.
        planted: the difference that has to be recovered, in the column's unit.
        within: the ends of the column, without which the bounds of twins that do not differ are undefined.
        margin: of the gate, in the column's unit; `planted` unless given.
    """
    limit = planted if margin is None else margin
    ends = None if within is None else (within[0] - within[1], within[1] - within[0])

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            gaps = _gaps(observations, _inside(observations.numbers(column), within), group, (first, second))
        except Undefined as why:
            return undefined(observations, str(why))
        found = _of_twins(gaps, ends, SAME * abs(limit), confidence, rng)
        nominal = round(2 * (1 - confidence), 9)
        swapped = _paired([rng.choice([-1.0, 1.0], (_SPLITS, gap.size)) * (gap - gap.mean()) for gap in gaps])
        alarms = math.nan
        if math.isfinite(found.freedom) and min(map(len, gaps)) >= _FEWEST:
            alarms = float((np.abs(swapped.value) > swapped.half(confidence)).mean())
        checks = {"aa_false_alarms": alarms, "aa_nominal": nominal} | _recovered(swapped, found, planted, confidence)
        checks |= powers(found, abs(limit), confidence)
        note = _alarmed(alarms, nominal, "twins swapped at random")
        return replace(found, checks=checks, note=note)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            gaps = _gaps(old, new.numbers(column) - old.numbers(column), group, (first, second))
        except Undefined as why:
            return undefined(old, str(why))
        twice = None if ends is None else (2 * ends[0], 2 * ends[1])
        return _of_twins(gaps, twice, SAME * abs(limit), confidence, rng)

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


def _of_twins(
    gaps: Sequence[Floats], ends: Ends | None, same: float, confidence: float, rng: np.random.Generator
) -> Estimate:
    """The mean difference with its bounds, before it is tried; infinite `freedom` where they are not Student's."""
    found = _paired([gap[None, :] for gap in gaps])
    unseen = unseen_names([(1.0, gaps)], ends, same, confidence, rng)
    pairs = sum(map(len, gaps))
    return _blended(found, unseen, pairs, f"Student over {pairs} pairs of twins", confidence)


def _paired(gaps: Sequence[Floats]) -> Found:
    """The mean of differences (S, G) of each language, averaged over languages."""
    weight = 1 / len(gaps)
    value = weight * sum(gap.mean(axis=1) for gap in gaps)
    parts = [weight**2 * gap.var(axis=1, ddof=1) / gap.shape[1] for gap in gaps]
    variance = np.asarray(sum(parts))
    squares = np.asarray(sum(part**2 / (gap.shape[1] - 1) for part, gap in zip(parts, gaps, strict=True)))
    freedom = np.divide(variance**2, squares, out=np.ones_like(variance), where=squares > 0)
    return Found(np.asarray(value), np.sqrt(variance), freedom)
