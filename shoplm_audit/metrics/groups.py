"""Rates of a classifier by group, by fairlearn's `MetricFrame`, with bounds over clusters.

    group_rates([0, 1, 0, 1], [1, 1, 0, 1], ["SAE", "SAE", "AAE", "AAE"], clusters=[0, 1, 2, 3], rng=...)
    -> {"false_positive_rate": GroupRates(by_group={"AAE": 0.0, "SAE": 1.0}, ...), "selection_rate": ...}

fairlearn answers 0.0 for the false-positive rate of a group without negatives, as if it were the best group there is.
Here such a rate is nan, the group is left out of differences and ratios, and both say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.errors import DataError
from shoplm_audit.metrics.crossed import undefined
from shoplm_audit.metrics.reduce import added
from shoplm_audit.multiplicity import max_t
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = [
    "RATES", "GroupRates", "demographic_parity_of", "equalized_odds_of", "fpr_difference_of", "group_rates",
]  # fmt: skip

Booleans = NDArray[np.bool_]
_DRAWS = 2_000
_AT_ONCE = 200_000  # weights of a bootstrap held together
# Of which rows a rate is the share, by whether they are true and predicted; None is both. Names are fairlearn's.
RATES: Mapping[str, tuple[bool | None, bool]] = {
    "selection_rate": (None, True),
    "false_positive_rate": (False, True),
    "true_positive_rate": (True, True),
    "false_negative_rate": (True, False),
    "true_negative_rate": (False, False),
}


@dataclass(frozen=True, slots=True)
class GroupRates:
    """One rate of a binary classifier in each group.

    Attributes:
        by_group: nan where a group has no case that the rate is a share of.
        overall: over all cases.
        difference: the largest group's minus the smallest's, with bounds that hold for the pair that was picked; nan
            where fewer than two groups have the rate.
        ratio: the smallest over the largest; nan where both are 0. Four fifths of it is a rule of thumb of US labour
            law and no test.
        to_overall: the largest distance of a group from all.
        left_out: the groups without the rate; they are in no difference and no ratio.
    """

    by_group: Mapping[str, float]
    overall: float
    difference: Estimate
    ratio: float
    to_overall: float
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Labelled:
    """What is so, what was predicted, the group and the unit of each case, (N,) each."""

    truth: Booleans
    said: Booleans
    groups: NDArray[np.str_]
    units: NDArray[np.int64]


def group_rates(
    y_true: Sequence[int] | Booleans, y_pred: Sequence[int] | Booleans, groups: Sequence[str],
    clusters: Sequence[int] | NDArray[np.int64], rates: Sequence[str] = tuple(RATES),
    *, confidence: float = 0.95, rng: np.random.Generator,
) -> dict[str, GroupRates]:  # fmt: skip
    """Rates by group and how far groups are apart, for two groups or more.

    The bounds of a difference are those of all pairs of groups at once, by the largest studentised error of 2,000
    cluster bootstraps (max-T), since the largest of many gaps is positive for noise alone. Where a group has fewer than
    10 clusters or a rate of 0 or 1, they are made of exact bounds of each group's rate, each with its part of the
    chance of an error.

    Args:
        y_true: what is so, 0 or 1, (N,).
        y_pred: what was predicted, 0 or 1, (N,).
        groups: of each case, (N,).
        clusters: the number of each case's independent unit, (N,); a unit may stand in several groups (twins).
        rates: which, of `RATES`.
        confidence: of each bound.
        rng: where resamples are drawn from.

    Raises:
        DataError: columns of different lengths, another label than 0 and 1, or a rate that does not exist.
    """
    truth, said, units = (np.asarray(column) for column in (y_true, y_pred, clusters))
    of = np.asarray(groups, dtype=np.str_)
    if not truth.size == said.size == of.size == units.size:
        raise DataError(f"{truth.size} labels, {said.size} predictions, {of.size} groups and {units.size} clusters.")
    for value in np.unique(np.concatenate([truth, said])) if truth.size else ():
        if value not in (0, 1):
            raise DataError(f'"{value}" is no label: labels and predictions have to be 0 or 1.')
    for rate in rates:
        if rate not in RATES:
            raise DataError(f'"{rate}" is no rate: there are {", ".join(RATES)}.')
    cases = _Labelled(truth.astype(bool), said.astype(bool), of, units.astype(np.int64))
    return {rate: _rates(rate, cases, confidence, rng) for rate in rates}


def _rates(rate: str, cases: _Labelled, confidence: float, rng: np.random.Generator) -> GroupRates:
    from fairlearn import metrics

    wanted, predicted = RATES[rate]
    counted = np.full(cases.truth.size, True) if wanted is None else cases.truth == wanted
    having = np.unique(cases.groups[counted])
    by_group = dict.fromkeys(np.unique(cases.groups).tolist(), math.nan)
    left_out = tuple(name for name in by_group if name not in having)
    note = f"left out, without {'positives' if wanted else 'negatives'}: {', '.join(left_out)}" if left_out else ""
    n = int(np.unique(cases.units[counted]).size)
    nothing = Estimate(math.nan, math.nan, math.nan, n, f"undefined below 2 groups; {note}".rstrip("; "), note=note)
    if not having.size:
        return GroupRates(by_group, math.nan, nothing, math.nan, math.nan, left_out)
    kept = np.isin(cases.groups, having)
    frame = metrics.MetricFrame(
        metrics=getattr(metrics, rate),
        y_true=cases.truth[kept].astype(int),
        y_pred=cases.said[kept].astype(int),
        sensitive_features={"group": cases.groups[kept]},  # a bare array of one case is squeezed, and refused
    )
    by_group |= {str(name): float(value) for name, value in frame.by_group.items()}
    if having.size < 2:
        return GroupRates(by_group, float(frame.overall), nothing, math.nan, math.nan, left_out)
    hits = (cases.said == predicted)[counted].astype(np.float64)
    place = np.searchsorted(having, cases.groups[counted])
    low, high, method = _gap_bounds(hits, place, cases.units[counted], confidence, rng)
    gap = Estimate(float(frame.difference()), low, high, n, f"{method}; {note}".rstrip("; "), note=note)
    ratio = float(frame.ratio()) if frame.group_max() > 0 else math.nan
    return GroupRates(
        by_group, float(frame.overall), gap, ratio, float(frame.difference(method="to_overall")), left_out
    )


def _gap_bounds(
    hits: Floats, place: NDArray[np.int64], units: NDArray[np.int64], confidence: float, rng: np.random.Generator
) -> tuple[float, float, str]:
    """Bounds of the largest gap between groups' rates, of hits (N,), the number of each case's group, and its unit."""
    size = int(place.max()) + 1
    here = np.eye(size)[place]
    sums = uncertainty.cluster_sums(np.hstack([here * hits[:, None], here]), units)
    rates = sums[:, :size].sum(axis=0) / sums[:, size:].sum(axis=0)
    pairs = np.array(list(combinations(range(size), 2)))
    if (sums[:, size:] > 0).sum(axis=0).min() < uncertainty.MIN_CLUSTERS or not 0 < rates.min() <= rates.max() < 1:
        each = 1 - (1 - confidence) / (2 * size)
        bounds = [uncertainty.rate_interval(hits[place == k], units[place == k], each) for k in range(size)]
        lows, highs = np.array([one.low for one in bounds]), np.array([one.high for one in bounds])
        least = max(0.0, float(lows.max() - highs.min()))
        most = max(float(highs[i] - lows[j]) for pair in pairs for i, j in (pair, pair[::-1]))
        return least, min(1.0, most), f"exact bounds of {size} groups"
    drawn = _resampled(sums, rng)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = drawn[:, :size] / drawn[:, size:]
    gaps = rates[pairs[:, 0]] - rates[pairs[:, 1]]
    errors = shares[:, pairs[:, 0]] - shares[:, pairs[:, 1]] - gaps
    errors = errors[np.isfinite(errors).all(axis=1)]
    scale = np.maximum(errors.std(axis=0), 1e-12)
    # Bootstrapped spreads are those of plug-in variances: as in `uncertainty`, widened for few clusters.
    groups = len(sums)
    half = max_t(errors / scale, confidence) * math.sqrt(groups / (groups - 1)) * scale
    least, most = float(np.max(np.abs(gaps) - half)), float(np.max(np.abs(gaps) + half))
    return max(0.0, least), min(1.0, most), f"max-T cluster bootstrap over {len(pairs)} pairs of groups"


def _resampled(sums: Floats, rng: np.random.Generator) -> Floats:
    """Sums of resampled clusters, (_DRAWS, K), a bounded number of weights at a time."""
    clusters, parts = len(sums), []
    step = max(1, _AT_ONCE // clusters)
    for start in range(0, _DRAWS, step):
        count = min(step, _DRAWS - start)
        drawn = rng.integers(clusters, size=(count, clusters)) + clusters * np.arange(count)[:, None]
        parts.append(np.bincount(drawn.ravel(), minlength=count * clusters).reshape(count, clusters) @ sums)
    return np.concatenate(parts)


# Metrics of a suite ---------------------------------------------------------------------------------


def fpr_difference_of(column: str, group: str, truth: str) -> Metric:
    """How far groups' false-positive rates lie apart, 0 to 1: the largest minus the smallest (honest reviews flagged).

    Args:
        column: whether a case was flagged.
        group: which kind of group ("variety"); cases without one stand outside.
        truth: the fact that tells whether it should have been.
    """
    return _gap_of(f"fpr_difference_{column}_{group}", column, group, truth, ("false_positive_rate",))


def demographic_parity_of(column: str, group: str) -> Metric:
    """How far groups' rates of being selected lie apart, 0 to 1, whatever they deserve.

    Args:
        column: whether a case was selected.
        group: which kind of group; cases without one stand outside.
    """
    return _gap_of(f"demographic_parity_difference_{column}_{group}", column, group, "", ("selection_rate",))


def equalized_odds_of(column: str, group: str, truth: str) -> Metric:
    """The larger of how far groups' true-positive and false-positive rates lie apart, 0 to 1 (Hardt et al. 2016).

    Args:
        column: whether a case was selected.
        group: which kind of group; cases without one stand outside.
        truth: the fact that tells whether it should have been.
    """
    rates = ("true_positive_rate", "false_positive_rate")
    return _gap_of(f"equalized_odds_difference_{column}_{group}", column, group, truth, rates)


def _gap_of(name: str, column: str, group: str, truth: str, rates: Sequence[str]) -> Metric:
    """The largest of these rates' differences; a case without an answer or a truth makes it undefined."""

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        inside = [i for i, row in enumerate(observations) if row.case.groups.get(group)]
        seen = observations.take(inside)
        said = seen.numbers(column)
        facts = [row.case.facts.get(truth) if truth else False for row in seen]
        if not inside or np.isnan(said).any() or not np.isin(said, (0, 1)).all():
            return undefined(observations, "no such group" if not inside else "a case has no answer of yes or no")
        if any(fact is None for fact in facts):
            return undefined(observations, f'a case has no fact "{truth}"')
        columns = ([int(bool(fact)) for fact in facts], said.astype(int).tolist())
        groups = [row.case.groups[group] for row in seen]
        # Each rate's bounds get their part of the chance of an error.
        each = 1 - (1 - confidence) / len(rates)
        found = group_rates(*columns, groups, seen.clusters, rates, confidence=each, rng=rng)
        gaps = [one.difference for one in found.values()]
        value, low, high = (
            float(np.max([getattr(gap, key) for gap in gaps])) for key in ("value", "low", "high")
        )  # nan where one is
        notes = dict.fromkeys(f"{rate}: {one.difference.note}" for rate, one in found.items() if one.left_out)
        told = "; ".join(dict.fromkeys(gap.method for gap in gaps))
        return Estimate(value, low, high, max(gap.n for gap in gaps), told, note="; ".join(notes))

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        half = (1 + confidence) / 2
        return added(estimate(old, half, rng), estimate(new, half, rng))

    signature = f"largest difference of {'+'.join(rates)}|{column}|{group}|{truth}|fairlearn MetricFrame".replace(
        "||", "|"
    )
    return Metric(name, estimate, difference, "lower", signature)
