"""Metrics that reduce one column: rates, means, ratios of sums; the builders of most suites.

    rate_of("contradicted", better="lower") -> Metric("rate_contradicted", ...)

A case that errored or could not be parsed stays in: it counts as the worst value that is possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.types import Better, Bounded, Estimate, Floats, Interval, Metric, Observation, Observations, Value

__all__ = [
    "added",
    "averaging",
    "f1_of",
    "mean_of",
    "over_column",
    "rate_of",
    "ratio_of",
    "sums_of",
    "unit_means",
    "units_of",
    "with_column",
]

Rows = Callable[[Observations], Floats]
Statistic = Callable[[Floats], Floats]
Ends = tuple[float, float]
_ALIKE = "exact, all clusters alike"


def sums_of(
    name: str,
    rows: Rows,
    statistic: Statistic,
    *,
    better: Better,
    signature: str = "",
    within: Ends | None = None,
) -> Metric:
    """A metric that is a function of sums over cases, with a cluster bootstrap.

    Args:
        name: of the metric.
        rows: from observations to what is summed, (N, K); a nan makes the metric undefined.
        statistic: from sums (B, K) to values (B,).
        better: which way is better.
        signature: what the number depends on.
        within: the ends of the statistic. Where all clusters are alike, so that no resample differs, they bound what a
            share of unseen cases could do to it (`uncertainty.unseen_bounds`); without ends it is undefined there.
    """

    def told(
        table: Floats, found: Interval, clusters: NDArray[np.int64], paired: Statistic, ends: Ends | None, c: float
    ) -> Estimate:
        value = float(paired(table.sum(axis=0, keepdims=True))[0])
        if ends and math.isnan(found.low):
            n = uncertainty.alike(table, clusters, paired)
            if n > 0:
                return Estimate(value, *uncertainty.unseen_bounds(value, n, *ends, c), found.n, _ALIKE)
        return Estimate(value, found.low, found.high, found.n, found.method)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        table, clusters = rows(observations), observations.clusters
        if not len(observations) or np.isnan(table).any():
            return Estimate(math.nan, math.nan, math.nan, len(observations), "undefined: a case has no value")
        found = uncertainty.bootstrap(table, clusters, statistic, confidence, rng)
        return told(table, found, clusters, statistic, within, confidence)

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        old, new, clusters = rows(first), rows(second), first.clusters
        if not len(first) or np.isnan(old).any() or np.isnan(new).any():
            return Estimate(math.nan, math.nan, math.nan, len(first), "undefined: a case has no value")
        width, span = old.shape[1], (within[1] - within[0]) if within else 0.0
        found = uncertainty.paired_bootstrap(old, new, clusters, statistic, confidence, rng)
        ends = (-span, span) if within else None

        def change(sums: Floats) -> Floats:
            return statistic(sums[:, width:]) - statistic(sums[:, :width])

        result = told(np.hstack([old, new]), found, clusters, change, ends, confidence)
        if "undefined below" in result.method and not math.isnan(result.value):  # wider, but not nothing
            half = (1 + confidence) / 2
            return added(estimate(first, half, rng), estimate(second, half, rng))
        return result

    return Metric(name, estimate, difference, better, signature)


def added(old: Estimate, new: Estimate) -> Estimate:
    """The change between two estimates whose bounds each hold at (1 + confidence) / 2: what both bounds leave."""
    value, low, high = new.value - old.value, new.low - old.high, new.high - old.low
    return Estimate(value, low, high, new.n, f"bounds of both runs added ({new.method})")


def with_column(observations: Observations, column: str, value: Callable[[Observation], Value]) -> Observations:
    """The observations with one column more, made of each scored row."""
    return Observations(
        tuple(
            replace(row, values={**row.values, column: value(row)}) if row.status == "scored" else row
            for row in observations
        )
    )


def over_column(
    metric: Metric, column: str, value: Callable[[Observation], Value], *, name: str, signature: str
) -> Metric:
    """A metric of a column that is made of each scored row first.

    Args:
        metric: reads `column`.
        column: what is made.
        value: of a row.
        name: of the new metric.
        signature: of the new metric.
    """

    def over(observations: Observations) -> Observations:
        return with_column(observations, column, value)

    return replace(
        metric,
        name=name,
        estimate=lambda seen, confidence, rng: metric.estimate(over(seen), confidence, rng),
        difference=lambda old, new, confidence, rng: metric.difference(over(old), over(new), confidence, rng),
        signature=signature,
        bounded=averaging(metric, over),
    )


def averaging(
    metric: Metric,
    made: Callable[[Observations], Observations] = lambda rows: rows,
    kept: Callable[[Observations], Sequence[int]] | None = None,
) -> Bounded | None:
    """What a metric averages once it is made of other rows; None where it averages nothing bounded.

    Args:
        metric: reads rows that were `made`.
        made: from rows to as many others.
        kept: positions of the rows that it is about; None is all. The others get nan.
    """
    inner = metric.bounded
    if inner is None:
        return None
    read = inner.values

    def values(observations: Observations) -> Floats:
        found = np.full(len(observations), math.nan)
        here = np.arange(len(observations)) if kept is None else np.asarray(kept(observations), dtype=np.int64)
        found[here] = read(made(observations.take(here)))
        return found

    return replace(inner, values=values)


def _defined(values: Floats) -> Floats:
    """Values of `Bounded`, in which nan leaves a row out: what is nan here makes the mean undefined instead."""
    return np.where(np.isnan(values), math.inf, values)


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


def rate_of(column: str, *, better: Better, signature: str = "") -> Metric:
    """The share of cases in which a column is true, with an exact interval.

    Args:
        column: true or false per case.
        better: "higher" counts a case without a value as false, "lower" as true: against the model either way.
        signature: what the column itself depends on (how an answer is read).
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
        if np.unique(clusters[changed]).size < uncertainty.MIN_EVENTS or math.isnan(found.low):
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

    told = f"rate|{column}|missing:{missing:g}|{signature}".rstrip("|")
    averaged = Bounded(lambda rows: _defined(rows.numbers(column, missing)))
    return Metric(f"rate_{column}", estimate, difference, better, told, bounded=averaged)


def mean_of(
    column: str, *, better: Better, worst: float | None = None, best: float | None = None, name: str = "",
    signature: str = "",
) -> Metric:  # fmt: skip
    """The mean of a column over rows, with a cluster bootstrap.

    Args:
        column: a number per case.
        better: which way is better.
        worst: what a case without a value counts as; None makes the metric undefined instead.
        best: the best value there is. With `worst` it bounds the column, and where a bootstrap says nothing (all
            clusters are alike, or there are few) the bounds are those of any column within these ends
            (`uncertainty.bounded_mean`), of paired differences too.
        name: `mean_<column>` unless given.
        signature: what the column itself depends on (`signature_of("chrf")`).
    """

    def values(observations: Observations) -> Floats:
        return observations.numbers(column, math.nan if worst is None else worst)

    def rows(observations: Observations) -> Floats:
        return np.column_stack([values(observations), np.ones(len(observations))])

    told = f"mean|{column}|missing:{worst}|{signature}".rstrip("|")
    bootstrapped = sums_of(name or f"mean_{column}", rows, _quotient, better=better, signature=told)
    if worst is None or best is None:
        return bootstrapped
    bottom, top = min(worst, best), max(worst, best)

    def bounded(
        found: Estimate, column: Floats, clusters: NDArray[np.int64], ends: Ends, confidence: float
    ) -> Estimate:
        if math.isnan(found.value) or not math.isnan(found.low):
            return found
        table = np.column_stack([column, np.ones(column.size)])
        low, high, method = uncertainty.bounded_mean(table, clusters, *ends, confidence)
        return Estimate(found.value, low, high, found.n, method)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = bootstrapped.estimate(observations, confidence, rng)
        return bounded(found, values(observations), observations.clusters, (bottom, top), confidence)

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = bootstrapped.difference(first, second, confidence, rng)
        change, ends = values(second) - values(first), (bottom - top, top - bottom)
        found = bounded(found, change, first.clusters, ends, confidence)
        return (
            found
            if found.method.startswith(("paired", "undefined"))
            else replace(found, method=f"paired {found.method}")
        )

    averaged = Bounded(lambda observations: _defined(values(observations)), bottom, top)
    return replace(bootstrapped, estimate=estimate, difference=difference, bounded=averaged)


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

    signature = f"micro-F1|{hits},{false},{missed}"
    return sums_of(name, rows, statistic, better="higher", signature=signature, within=(0.0, 1.0))


def ratio_of(name: str, numerator: str, denominator: str, *, better: Better) -> Metric:
    """The sum of one column over the sum of another (contradicted claims over claims), with a cluster bootstrap.

    Below 30 clusters or 10 events its bounds are undefined: how many claims there are depends on the answer, and what a
    rare long one could add has no bound. A case without values makes it undefined: there is no worst value of a ratio.
    """

    def rows(observations: Observations) -> Floats:
        return np.column_stack([observations.numbers(numerator), observations.numbers(denominator)])

    return sums_of(name, rows, _quotient, better=better, signature=f"ratio|{numerator}/{denominator}")
