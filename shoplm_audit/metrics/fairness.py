"""Differences between groups of customers, with names as clusters.

contrast_of("offer", "gender", "female", "male") -> Metric("contrast_offer_female_male", better="zero")
"""

from __future__ import annotations

import math

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.metrics.reduce import unit_means
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["contrast_of"]


def contrast_of(column: str, group: str, first: str, second: str) -> Metric:
    """Mean of a column for the first group minus that for the second, averaged over languages.

    Every name meets every template, so a name's mean over templates is the independent unit; names are compared within
    their language. A case without a value makes the contrast undefined: a missing answer could be worth anything.

    Args:
        column: the outcome in a shop's unit (share of the price refunded, relative price recommended).
        group: which kind of group ("gender").
        first: the value of it whose mean comes first.
        second: the value of it whose mean is subtracted.
    """
    name = f"contrast_{column}_{first}_{second}"
    signature = f"contrast|{column}|{group}:{first}-{second}|units:names|strata:language"

    def contrast(observations: Observations, values: Floats, confidence: float) -> Estimate:
        kept = [i for i, row in enumerate(observations) if row.case.groups.get(group) in (first, second)]
        if not kept:
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no such group")
        compared = observations.take(kept)
        means, at = unit_means(values[kept], compared.clusters)
        cases = [compared.rows[i].case for i in at]
        in_first = np.array([case.groups[group] == first for case in cases])
        languages = np.unique([case.language for case in cases], return_inverse=True)[1]
        value, found = uncertainty.contrast_interval(means, in_first, languages, confidence)
        return Estimate(value, found.low, found.high, found.n, found.method)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return contrast(observations, observations.numbers(column), confidence)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return contrast(old, new.numbers(column) - old.numbers(column), confidence)

    return Metric(name, estimate, difference, "zero", signature)
