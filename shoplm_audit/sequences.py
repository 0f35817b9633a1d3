"""Bounds that hold however often one looks: a run may stop at any moment, because of what it saw.

    sequence_of(rate_of("contradicted", better="lower"), observations, 1, 0.998) -> Estimate(0.02, 0.004, 0.09, ...)

G is the number of clusters, asked in random order. Ordinary bounds hold for a number of cases that was fixed
beforehand; who looks after every block and stops at the first pass lets through far more than 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.types import Case, Estimate, Floats, Metric, Observation, Observations

__all__ = [
    "METHOD",
    "betting_bounds",
    "difference_sequence_of",
    "largest_cluster",
    "log_capital",
    "sequence_of",
]

METHOD = "betting confidence sequence, any time"
# What share of a part of the capital is staked on each cluster, and how much of the first capital that part is. Nearly
# all is staked best where no fault ever comes, the most usual answer to whether a model is good; small stakes are for
# large samples and small gaps.
STAKES = ((0.99, 0.45), (0.75, 0.17), (0.45, 0.12), (0.22, 0.10), (0.10, 0.09), (0.04, 0.07))


def log_capital(totals: Floats, sizes: Floats, mean: float) -> Floats:
    """The logarithm of what a gambler owns after each cluster who bets that the true mean is above `mean`.

    Per stake f the capital grows by 1 + f (total / mean - size): by 1 on average where `mean` is true, so by Ville's
    inequality it ever reaches 1 / a with a chance of at most a. The capital is the sum over `STAKES` (grid Kelly:
    Waudby-Smith and Ramdas 2020, arXiv 2010.09686). Stakes do not follow what was seen, so the capital does not depend
    on the order within what was seen, and it never grows with `mean`.

    Args:
        totals: per cluster the sum of values between 0 and 1, divided by the largest possible size, (..., G).
        sizes: per cluster the number of rows, divided by the largest possible size, (..., G); 1 for single rows.
        mean: what is bet against, above 0 and at most 1.

    Returns:
        (..., G), in nats.
    """
    gain = totals / mean - sizes
    owned = [math.log(part) + np.cumsum(np.log1p(stake * gain), axis=-1) for stake, part in STAKES]
    return np.asarray(np.logaddexp.reduce(owned, axis=0), dtype=np.float64)


def betting_bounds(
    values: Floats,
    clusters: NDArray[np.int64],
    confidence: float | tuple[float, float],
    *,
    ends: tuple[float, float] = (0.0, 1.0),
    largest: int = 1,
) -> tuple[float, float]:
    """Bounds of a mean of values with known ends, each of which holds at `confidence` at any stopping time.

    Clusters of different sizes: the mean over rows is E[sum of a cluster] / E[rows of a cluster], so at the true mean m
    the sum of (value - m) over a cluster is 0 on average, and no cluster can lose more than `largest` times m. Bets are
    on that sum, divided by `largest`; for single rows this is the value itself. Nothing is asked of how alike the rows
    of a cluster are. Clusters have to be asked in random order (as from `probes.blocks`); the order of rows here does
    not matter, so that bounds can be computed again from what was stored.

    >>> values, alone = np.zeros(100), np.arange(100)
    >>> [round(bound, 4) for bound in betting_bounds(values, alone, 0.95)]
    [0.0, 0.0356]

    Args:
        values: one per row, all that were seen so far, (N,).
        clusters: the number of each row's cluster, (N,).
        confidence: of each bound, or of the lower and of the upper one.
        ends: the least and the largest possible value.
        largest: the most rows a cluster can have, known before anything was asked.

    Returns:
        The lower and the upper bound; nan without rows, where a value is nan or not within the ends, or where a cluster
        has more than `largest` rows.
    """
    bottom, top = ends
    shares, slack = (values - bottom) / (top - bottom), 1e-9
    if not shares.size or not ((shares >= -slack) & (shares <= 1 + slack)).all():
        return math.nan, math.nan
    _, index = np.unique(clusters, return_inverse=True)
    rows = np.bincount(index)
    if rows.max() > largest:
        return math.nan, math.nan
    totals, sizes = np.bincount(index, np.clip(shares, 0.0, 1.0)) / largest, rows / largest
    below, above = confidence if isinstance(confidence, tuple) else (confidence, confidence)
    low = _crossing(totals, sizes, -math.log1p(-below))
    high = 1 - _crossing(sizes - totals, sizes, -math.log1p(-above))
    return bottom + (top - bottom) * low, bottom + (top - bottom) * high


def _crossing(totals: Floats, sizes: Floats, goal: float) -> float:
    """The largest mean against which the capital reached its goal; 0 if there is none."""
    reached, missed = 0.0, 1.0
    for _ in range(45):
        middle = (reached + missed) / 2
        won = log_capital(totals, sizes, middle)[-1] >= goal
        reached, missed = (middle, missed) if won else (reached, middle)
    return reached


def largest_cluster(metric: Metric, planned: Sequence[Case]) -> int:
    """The most rows of one planned cluster that a bounded metric can average; an unanswered case is one of them."""
    asked = Observations(tuple(Observation(case, {}, "errored") for case in planned))
    inside = np.zeros(len(asked), dtype=bool) if metric.bounded is None else ~np.isnan(metric.bounded.values(asked))
    return int(np.bincount(asked.clusters[inside]).max()) if inside.any() else 1


def sequence_of(
    metric: Metric, observations: Observations, largest: int, confidence: float, against: float | None = None
) -> Estimate | None:
    """The estimate of a bounded mean whose bounds hold at any stopping time; None where the metric is none.

    A case without a (readable) answer counts as the worst value, as it does in the metric.

    Args:
        metric: with `bounded`.
        observations: all so far, of clusters that were asked in random order.
        largest: of all planned cases, `largest_cluster`.
        confidence: of each bound.
        against: of the bound that can speak against the model, where it is another: the lower one of what is better
            lower. A run passes only if all of its G gates do, so that each may pass at the confidence of the run; it
            fails if any one does, so that each has to fail at 1 - (1 - confidence) / G.
    """
    if metric.bounded is None:
        return None
    values, ends = metric.bounded.values(observations), (metric.bounded.bottom, metric.bounded.top)
    strict = confidence if against is None else against
    sides = {"lower": (strict, confidence), "higher": (confidence, strict), "zero": (strict, strict)}
    return _told(values, observations, ends, largest, sides[metric.better])


def difference_sequence_of(
    metric: Metric, first: Observations, second: Observations, largest: int, confidence: float
) -> Estimate | None:
    """The same of the change of a bounded mean from a first run to a second one.

    Args:
        metric: with `bounded`.
        first: all observations so far, of clusters that were asked in random order.
        second: those of the second run on the same cases, in the same order of rows.
        largest: see `sequence_of`.
        confidence: of each bound.
    """
    if metric.bounded is None:
        return None
    old, new = (metric.bounded.values(each) for each in (first, second))
    undefined, span = np.isinf(old) | np.isinf(new), metric.bounded.top - metric.bounded.bottom
    change = np.where(undefined, math.inf, new - np.where(undefined, 0.0, old))
    told = _told(change, first, (-span, span), largest, confidence)
    return replace(told, method=f"paired {told.method}")


def _told(
    values: Floats, rows: Observations, ends: tuple[float, float], largest: int, confidence: float | tuple[float, float]
) -> Estimate:
    inside = ~np.isnan(values)  # the others are not among what the metric averages
    kept, clusters = values[inside], rows.clusters[inside]
    groups = int(np.unique(clusters).size)
    if not np.isfinite(kept).all() or not kept.size:
        why = "undefined: a case has no value" if kept.size else "undefined: no case has a value"
        return Estimate(math.nan, math.nan, math.nan, groups, why)
    low, high = betting_bounds(kept, clusters, confidence, ends=ends, largest=largest)
    method = METHOD if not math.isnan(low) else f"undefined: more rows to a cluster than the {largest} planned"
    return Estimate(float(kept.mean()), low, high, groups, method)
