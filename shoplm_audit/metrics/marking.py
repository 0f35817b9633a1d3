"""How many tokens a watermark would need, by how much room the model's own uncertainty leaves it.

forecast_of("tokens_for_a_mark_at_1_percent", false_positives=0.01) -> Metric("tokens_for_a_mark_at_1_percent", ...)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from shoplm_audit.metrics.reduce import sums_of
from shoplm_audit.scoring.mark_forecast import expected_green, tokens_needed
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["forecast_of", "telling_why"]

_MOST = 1e5  # tokens; more than a model writes


def forecast_of(name: str, *, false_positives: float) -> Metric:
    """How many tokens a text needs so that kgw's default mark is found in 95 of 100, by the model's own entropies.

    Args:
        name: of the metric.
        false_positives: how often an unmarked text would be taken for marked.

    It reads the columns "tokens", "counted" (those of them that are no repetition) and "spike" (the sum of the spike
    entropies of these).
    """

    def rows(observations: Observations) -> Floats:
        return np.column_stack([observations.numbers(column) for column in ("spike", "counted", "tokens")])

    def statistic(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean, per_counted = (np.where(sums[:, 1] > 0, sums[:, i] / sums[:, 1], np.nan) for i in (0, 2))
        needed = tokens_needed(expected_green(mean), false_positives=false_positives)
        return np.where(np.isnan(mean), np.nan, np.minimum(np.ceil(needed * per_counted), _MOST))

    signature = f"kgw gamma 0.25 delta 2|exact binomial p < {false_positives:g}|0.95|entropy before truncation"
    return sums_of(name, rows, statistic, better="lower", signature=signature)


def telling_why(metric: Metric, column: str = "reason") -> Metric:
    """The metric with a note of why cases came to nothing: the reason that most of them give, and in how many.

    Args:
        metric: what is computed.
        column: the reasons, as text; "" or None where there is none.
    """

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = metric.estimate(observations, confidence, rng)
        told = Counter(filter(None, observations.texts(column)))
        if not told:
            return found
        ((why, times),) = told.most_common(1)
        note = f"{why} (in {times} of {len(observations)} cases)"
        return replace(found, note="; ".join(filter(None, [found.note, note])))

    return replace(metric, estimate=estimate)
