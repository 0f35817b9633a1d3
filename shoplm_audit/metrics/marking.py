"""How many tokens a watermark would need, by how much room the model's own uncertainty leaves it.

forecast_of("tokens_for_a_mark_at_1_percent", false_positives=0.01) -> Metric("tokens_for_a_mark_at_1_percent", ...)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoplm_audit.metrics.reduce import sums_of
from shoplm_audit.scoring.mark_forecast import expected_green, tokens_needed, z_at
from shoplm_audit.types import Floats, Metric, Observations

if TYPE_CHECKING:
    pass

__all__ = ["forecast_of"]

_MOST = 1e5  # tokens; more than a model writes


def forecast_of(name: str, *, false_positives: float) -> Metric:
    """How many tokens a text needs so that kgw's default mark is found in 95 of 100, by the model's own entropies.

    Args:
        name: of the metric.
        false_positives: how often an unmarked text would be taken for marked.

    It reads the columns "tokens", "counted" (those of them that are no repetition) and "spike" (the sum of the spike
    entropies of these).
    """
    z = z_at(false_positives)

    def rows(observations: Observations) -> Floats:
        return np.column_stack([observations.numbers(column) for column in ("spike", "counted", "tokens")])

    def statistic(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean, per_counted = (np.where(sums[:, 1] > 0, sums[:, i] / sums[:, 1], np.nan) for i in (0, 2))
        return np.minimum(np.ceil(tokens_needed(expected_green(mean), z=z) * per_counted), _MOST)

    return sums_of(name, rows, statistic, better="lower", signature=f"kgw gamma 0.25 delta 2|{false_positives:g}|0.95")
