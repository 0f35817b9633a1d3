"""How much less alike the lists of two groups are than the lists within one group: steering that no average shows.

overlap_gap_of("ranking", "gender", "female", "male") -> Metric("overlap_gap_ranking_female_male", better="zero")

A row's column holds a ranking as text, "3 1 2": the numbers of titles, the best first. Two names are compared on the
templates that both met. N names, S divisions of them into two groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shoplm_audit.metrics.reduce import added
from shoplm_audit.scoring.rank_overlap import rank_biased_overlap
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["overlap_gap_of"]

Overlap = Callable[[Sequence[str], Sequence[str]], float]
_ROUNDING = 1e-15
_LEAST = 3  # names of a group: with one left out there has to be a pair
_SPLITS = 200  # random ones that a gap is tried with
_FEWEST = 6  # names of a group of which halves are compared: of fewer there are too few splits
_PLANTED = -0.05


@dataclass(frozen=True, slots=True)
class _Lists:
    """One language: how alike the lists of two names are (N, N), and which names are of the first group (N,)."""

    alike: Floats
    marked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Gaps:
    """The gaps (S,) of as many divisions, their variances by the jackknife, and the freedoms of these."""

    value: Floats
    variance: Floats
    freedom: int


def overlap_gap_of(
    column: str, group: str, first: str, second: str, overlap: Overlap = rank_biased_overlap, name: str = ""
) -> Metric:
    """Mean overlap of the lists of two names of different groups minus that of two names of one group.

    Two names of one group do not get the same list either; that is the baseline, without which every noisy model looks
    as if it steered. The gap is 0 where groups make no difference and below 0 where they do. Pairs share names, so
    bounds come from leaving out one name at a time (a jackknife, which is too wide rather than too narrow where the gap
    is 0), within each language; languages count alike.

    Where all names of a group get the same lists, no name left out changes anything. There the bounds are what a share
    of unseen names, as large as none seen allows, could do to the gap: -1/2 of the squared distance of two means of
    unit vectors, as overlaps are inner products.

    `checks` are those of `metrics.fairness.contrast_of`: aa_false_alarms among random halves of each group's own names,
    beside aa_nominal; smallest_detectable; and recovered, the share of random divisions in which a gap of `planted`,
    added to what names really got, is told from 0.

    Args:
        column: the ranking.
        group: which kind of group ("gender").
        first: one value of it.
        second: the other.
        overlap: of two lists, 1 for identical ones; the mean of both directions is taken.
        name: of the metric; "" makes it from the column and the groups.
    """
    signature = f"overlap gap|{column}|{group}:{first}-{second}|{overlap.__name__}|units:names|strata:language"

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        here = [row for row in observations if row.case.groups.get(group) in (first, second)]
        if not here:
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no such group")
        found = [
            _lists(Observations(tuple(row for row in here if row.case.language == language)), column, group, overlap)
            for language in sorted({row.case.language for row in here})
        ]
        lists = [one for one in found if one is not None and not np.isnan(one.alike).any()]
        names = int(np.unique(Observations(tuple(here)).clusters).size)
        if len(lists) < len(found):
            told = f"undefined: a name without one list for each template, or fewer than {_LEAST} names in a group"
            return Estimate(math.nan, math.nan, math.nan, names, told)
        told_of = _judged(lists, names, confidence)
        return replace(told_of, checks=_checks(lists, told_of, confidence, rng)) if told_of.checks else told_of

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        each = (1 + confidence) / 2
        return added(estimate(old, each, rng), estimate(new, each, rng))

    return Metric(name or f"overlap_gap_{column}_{first}_{second}", estimate, difference, "zero", signature)


def _lists(rows: Observations, column: str, group: str, overlap: Overlap) -> _Lists | None:
    """The lists of one language, nan where a name lacks one; None where a group has too few names."""
    lists: dict[str, dict[str, list[str]]] = {}
    groups: dict[str, str] = {}
    for row, ranking in zip(rows, rows.texts(column), strict=True):
        key = row.case.cluster or row.case.id
        template, titles = row.case.of("template"), ranking.split()
        # An empty list, of a case without an answer, leaves the gap undefined; so do two lists for one question.
        kept = lists.setdefault(key, {}).setdefault(template, titles)
        lists[key][template] = titles if kept == titles else []
        groups[key] = row.case.groups[group]
    names = sorted(lists)
    marked = np.array([groups[name] == min(groups.values()) for name in names])
    if min(int(marked.sum()), int((~marked).sum())) < _LEAST:
        return None
    alike = np.zeros((len(names), len(names)))  # (N, N)
    known: dict[tuple[str, ...], float] = {}
    for i, j in itertools.combinations(range(len(names)), 2):
        alike[i, j] = alike[j, i] = _alike(lists[names[i]], lists[names[j]], overlap, known)
    return _Lists(alike, marked)


def _alike(
    one: dict[str, list[str]], other: dict[str, list[str]], overlap: Overlap, known: dict[tuple[str, ...], float]
) -> float:
    """The mean overlap of two names' lists over the templates that both met; nan where a list is missing."""
    shared = sorted(one.keys() & other.keys())
    values = []
    for template in shared:
        key = (*one[template], "", *other[template])
        if key not in known:
            known[key] = (overlap(one[template], other[template]) + overlap(other[template], one[template])) / 2
        values.append(known[key] if one[template] and other[template] else math.nan)
    return float(np.mean(values)) if values else math.nan


def _gaps(alike: Floats, marked: NDArray[np.bool_]) -> _Gaps:
    """The gap of each division (S, N) of names into marked ones and others, with one name left out at a time."""
    first, second = marked.astype(np.float64), (~marked).astype(np.float64)
    one, other = first.sum(axis=1), second.sum(axis=1)
    to_first, to_second = first @ alike, second @ alike  # (S, N): what each name shares with each group
    within_first, within_second = (to_first * first).sum(axis=1), (to_second * second).sum(axis=1)
    across = (to_first * second).sum(axis=1)

    def gap(between: Floats, left: Floats, right: Floats, m: Floats, n: Floats) -> Floats:
        return np.asarray(between / (m * n) - left / (2 * m * (m - 1)) - right / (2 * n * (n - 1)))

    m, n = one[:, None] - first, other[:, None] - second
    without = gap(
        across[:, None] - first * to_second - second * to_first,
        within_first[:, None] - 2 * first * to_first,
        within_second[:, None] - 2 * second * to_second,
        m,
        n,
    )  # (S, N)
    size = marked.shape[1]
    variance = (size - 1) * np.var(without, axis=1)
    return _Gaps(gap(across, within_first, within_second, one, other), variance, size - 2)


def _over(parts: Sequence[_Gaps], confidence: float) -> tuple[Floats, Floats, Floats]:
    """The gap over languages, which count alike, half the width of its interval, and its freedoms, each (S,)."""
    weight = 1 / len(parts)
    value = weight * sum((part.value for part in parts), np.zeros(1))
    variance = weight**2 * sum((part.variance for part in parts), np.zeros(1))
    squares = weight**4 * sum((part.variance**2 / part.freedom for part in parts), np.zeros(1))
    freedom = np.divide(variance**2, squares, out=np.ones_like(variance), where=squares > 0)
    return value, special.stdtrit(freedom, confidence) * np.sqrt(variance), freedom


def _judged(lists: Sequence[_Lists], names: int, confidence: float) -> Estimate:
    """The gap with its bounds, before it is tried."""
    parts = [_gaps(one.alike, one.marked[None, :]) for one in lists]
    (value,), (half,), (freedom,) = _over(parts, confidence)
    low, high, alike = value - half, value + half, 0
    for one, part in zip(lists, parts, strict=True):
        if part.variance[0] < _ROUNDING:
            gap = min(0.0, float(part.value[0]))
            least, most = _unseen(gap, min(int(one.marked.sum()), int((~one.marked).sum())), confidence)
            low, high, alike = low + (least - gap) / len(lists), high + (most - gap) / len(lists), alike + 1
    if alike == len(lists):
        told = "exact, all names of a group get the same lists"
        return Estimate(float(value), float(low), float(high), names, told)
    step = float(special.stdtrit(freedom, confidence))
    detectable = float(half) * (step + float(special.stdtrit(freedom, 0.8))) / step
    told, checks = "jackknife over names", {"smallest_detectable": detectable}
    return Estimate(float(value), float(low), float(high), names, told, freedom=float(freedom), checks=checks)


def _checks(
    lists: Sequence[_Lists], found: Estimate, confidence: float, rng: np.random.Generator
) -> Mapping[str, float]:
    def divided(size: int, first: int) -> NDArray[np.bool_]:
        return rng.permuted(np.tile(np.arange(size) < first, (_SPLITS // 2, 1)), axis=1)

    alarms = []
    for side in (True, False):
        own = [one.alike[np.ix_(one.marked == side, one.marked == side)] for one in lists]
        if min(map(len, own)) >= _FEWEST:
            value, half, _ = _over([_gaps(alike, divided(len(alike), len(alike) // 2)) for alike in own], confidence)
            alarms.append(float((np.abs(value) > half).mean()))
    again = [_gaps(one.alike, divided(one.marked.size, int(one.marked.sum()))) for one in lists]
    value, half, _ = _over(again, confidence)
    return {
        **found.checks,
        "aa_false_alarms": float(np.mean(alarms)) if alarms else math.nan,
        "aa_nominal": 2 * (1 - confidence),
        "planted": _PLANTED,
        "recovered": float((value + _PLANTED < -half).mean()),
    }


def _unseen(gap: float, size: int, confidence: float) -> tuple[float, float]:
    """The gaps that names could have of whom none was seen among so many of each group.

    Shares u and v of two groups of n stay unseen with a chance of (1 - u)^n (1 - v)^n, which bounds them together.
    """
    alpha = 1 - confidence
    if gap > -_ROUNDING:
        return -((1 - alpha ** (1 / size)) ** 2), 0.0
    apart, reach = math.sqrt(-gap), 2 * (1 - alpha ** (1 / (2 * size)))
    return -((apart + reach) ** 2), -(max(0.0, apart - reach) ** 2)
