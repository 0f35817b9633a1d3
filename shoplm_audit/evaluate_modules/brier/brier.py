"""Mean squared distance of the probability of an event from what was so, 0 to 1.

compute(predictions=[0.9], references=[1]) -> {"brier": 0.01, "signature": ...}
"""

from typing import Any

import evaluate
import numpy as np

from shoplm_audit.evaluate_modules import information
from shoplm_audit.metrics.classifying import brier


class Brier(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Brier 1950", "float64", "float64")

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, Any]:
        return {"brier": brier(np.array(predictions), np.array(references)), "signature": "brier|of one event"}
