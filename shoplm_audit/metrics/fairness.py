"""Differences between groups of customers, with names as clusters.

    contrast_of("offer", "gender", "female", "male") -> Metric("contrast_offer_female_male", better="zero")
"""

from __future__ import annotations

import math

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["contrast_of"]


def _by_name(observations: Observations, column: str) -> tuple[Floats, list[int]]:
    """The mean of a column per cluster (name), and the first row of each cluster."""
    clusters = observations.clusters
    values = observations.numbers(column)
    count = np.bincount(clusters)
    means = np.bincount(clusters, weights=values) / count
    first = [int(np.flatnonzero(clusters == c)[0]) for c in range(count.size)]
    return means, first


def contrast_of(column: str, group: str, first: str, second: str) -> Metric:
    """Mean of a column for the first group minus that for the second, averaged over languages.

    Every name meets every template, so a name's mean over templates is the independent unit; names are compared within
    their language. A case without a value makes the contrast undefined: a missing answer could be worth anything.

    Args:
        column: the outcome in a shop's unit (share of the price refunded, relative price recommended).
        group: which kind of group ("gender").
        first, second: the two values of it that are compared.
    """
    name = f"contrast_{column}_{first}_{second}"
    signature = f"contrast|{column}|{group}:{first}-{second}|units:names|strata:language"

    def contrast(observations: Observations, column_values: Floats | None, confidence: float) -> Estimate:
        rows = [i for i, row in enumerate(observations) if row.case.groups.get(group) in (first, second)]
        kept = observations.take(rows)
        if not rows:
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no such group")
        means, at = _by_name(kept, column)
        if column_values is not None:
            clusters = kept.clusters
            means = np.bincount(clusters, weights=column_values[rows]) / np.bincount(clusters)
        cases = [kept.rows[i].case for i in at]
        in_first = np.array([case.groups[group] == first for case in cases])
        languages = np.unique([case.language for case in cases], return_inverse=True)[1]
        value, found = uncertainty.contrast_interval(means, in_first, languages, confidence)
        return Estimate(value, found.low, found.high, found.n, found.method)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return contrast(observations, None, confidence)

    def difference(
        old: Observations, new: Observations, confidence: float, rng: np.random.Generator
    ) -> Estimate:
        return contrast(old, new.numbers(column) - old.numbers(column), confidence)

    return Metric(name, estimate, difference, "zero", signature)
