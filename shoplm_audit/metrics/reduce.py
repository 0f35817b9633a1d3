"""Metrics that reduce one column: rates, means, ratios of sums; the builders of most suites.

    rate_of("contradicted", better="lower") -> Metric("rate_contradicted", ...)

A case that errored or could not be parsed stays in: it counts as the worst value that is possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.types import Better, Estimate, Floats, Metric, Observations

__all__ = ["f1_of", "mean_of", "rate_of", "ratio_of", "sums_of", "unit_means", "units_of"]

Rows = Callable[[Observations], Floats]


def sums_of(
    name: str,
    rows: Rows,
    statistic: Callable[[Floats], Floats],
    *,
    better: Better,
    signature: str = "",
) -> Metric:
    """A metric that is a function of sums over cases, with a cluster bootstrap.

    Args:
        name: of the metric.
        rows: from observations to what is summed, (N, K); a nan makes the metric undefined.
        statistic: from sums (B, K) to values (B,).
        better: which way is better.
        signature: what the number depends on.
    """

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        table = rows(observations)
        if not len(observations) or np.isnan(table).any():
            return Estimate(math.nan, math.nan, math.nan, len(observations), "undefined: a case has no value")
        value = float(statistic(table.sum(axis=0, keepdims=True))[0])
        found = uncertainty.bootstrap(table, observations.clusters, statistic, confidence, rng)
        return Estimate(value, found.low, found.high, found.n, found.method)

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        old, new = rows(first), rows(second)
        if not len(first) or np.isnan(old).any() or np.isnan(new).any():
            return Estimate(math.nan, math.nan, math.nan, len(first), "undefined: a case has no value")
        value = float((statistic(new.sum(axis=0, keepdims=True)) - statistic(old.sum(axis=0, keepdims=True)))[0])
        found = uncertainty.paired_bootstrap(old, new, first.clusters, statistic, confidence, rng)
        return Estimate(value, found.low, found.high, found.n, found.method)

    return Metric(name, estimate, difference, better, signature)


def unit_means(values: Floats, clusters: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """The mean of a column per independent unit (cluster), and the first row of each unit, both (G,)."""
    _, first, index = np.unique(clusters, return_index=True, return_inverse=True)
    return np.bincount(index, weights=values) / np.bincount(index), first


def units_of(observations: Observations) -> Observations:
    """The rows of units: canaries, which are invented and repeated, are not whom an attack on members is about."""
    return Observations(tuple(row for row in observations if row.case.facts.get("kind", "unit") == "unit"))


def _quotient(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)


def rate_of(column: str, *, better: Better) -> Metric:
    """The share of cases in which a column is true, with an exact interval.

    Args:
        column: true or false per case.
        better: "higher" counts a case without a value as false, "lower" as true: against the model either way.
    """
    missing = 0.0 if better == "higher" else 1.0

    def rows(observations: Observations) -> Floats:
        hits = observations.numbers(column, missing)
        return np.column_stack([hits, np.ones(hits.size)])

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        hits = observations.numbers(column, missing)
        found = uncertainty.rate_interval(hits, observations.clusters, confidence)
        value = float(hits.mean()) if hits.size else math.nan
        return Estimate(value, found.low, found.high, found.n, found.method)

    paired = sums_of(f"rate_{column}", rows, _quotient, better=better)

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        old, new = first.numbers(column, missing), second.numbers(column, missing)
        clusters, changed = first.clusters, old != new
        if not old.size or np.isnan(old).any() or np.isnan(new).any():
            return Estimate(math.nan, math.nan, math.nan, len(first), "undefined: a case has no value")
        found = paired.difference(first, second, confidence, rng)
        if np.unique(clusters[changed]).size < uncertainty.MIN_CLUSTERS or math.isnan(found.low):
            # Too few changes, or too equal ones, for a bootstrap: the exact bounds of both kinds of change, added up.
            half = (1 + confidence) / 2
            up = uncertainty.rate_interval((new > old).astype(np.float64), clusters, half)
            down = uncertainty.rate_interval((old > new).astype(np.float64), clusters, half)
            method = "exact bounds on the shares of changed cases, added"
            found = Estimate(float(new.mean() - old.mean()), up.low - down.high, up.high - down.low, up.n, method)
        if found.n < len(first):
            return found
        p = uncertainty.mcnemar_p(int((old > new).sum()), int((new > old).sum()))
        return replace(found, method=f"{found.method}; exact McNemar p = {p:.3g}")

    return Metric(f"rate_{column}", estimate, difference, better, f"rate|{column}|missing:{missing:g}")


def mean_of(
    column: str, *, better: Better, worst: float | None = None, best: float | None = None, name: str = ""
) -> Metric:
    """The mean of a column over rows, with a cluster bootstrap.

    Args:
        column: a number per case.
        better: which way is better.
        worst: what a case without a value counts as; None makes the metric undefined instead.
        best: the best value there is. With `worst` it bounds the column, and where every case lies at one end, so that
            nothing can be resampled, the bounds are exact: a mean of m in [0, 1] is all zeros with chance (1 - m)^n at
            most.
        name: `mean_<column>` unless given.
    """

    def rows(observations: Observations) -> Floats:
        values = observations.numbers(column, math.nan if worst is None else worst)
        return np.column_stack([values, np.ones(values.size)])

    signature = f"mean|{column}|missing:{worst}"
    bootstrapped = sums_of(name or f"mean_{column}", rows, _quotient, better=better, signature=signature)
    if worst is None or best is None:
        return bootstrapped
    bottom, span = min(worst, best), abs(best - worst)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = bootstrapped.estimate(observations, confidence, rng)
        if found.value not in (worst, best) or not math.isnan(found.low):
            return found
        share = (found.value - bottom) / span
        low, high = uncertainty.clopper_pearson(share * found.n, found.n, confidence)
        return Estimate(found.value, bottom + span * low, bottom + span * high, found.n, "exact, every case at one end")

    return replace(bootstrapped, estimate=estimate)


def f1_of(name: str, *, hits: str, false: str, missed: str) -> Metric:
    """F1 of counts summed over cases (micro-F1), 0 to 1, with a cluster bootstrap; nan where nothing was to be found.

    A case without an answer counts as one that missed and found nothing.

    Args:
        name: of the metric.
        hits: column of how many were rightly found.
        false: column of how many were wrongly found.
        missed: column of how many were not found.
    """

    def rows(observations: Observations) -> Floats:
        columns = [(hits, 0.0), (false, 0.0), (missed, 1.0)]
        return np.column_stack([observations.numbers(column, missing) for column, missing in columns])

    def statistic(sums: Floats) -> Floats:
        found = 2 * sums[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            return found / (found + sums[:, 1] + sums[:, 2])

    return sums_of(name, rows, statistic, better="higher", signature=f"micro-F1|{hits},{false},{missed}")


def ratio_of(name: str, numerator: str, denominator: str, *, better: Better) -> Metric:
    """The sum of one column over the sum of another (contradicted claims over claims), with a cluster bootstrap.

    A case without values makes it undefined: there is no worst value of a ratio.
    """

    def rows(observations: Observations) -> Floats:
        return np.column_stack([observations.numbers(numerator), observations.numbers(denominator)])

    return sums_of(name, rows, _quotient, better=better, signature=f"ratio|{numerator}/{denominator}")
