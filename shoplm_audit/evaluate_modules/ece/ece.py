"""Expected calibration error, 0 to 1, with the edges of its bins named: they alone can move it by 0.05.

compute(predictions=[0.9], references=[1], bins="(lo,hi]", count=10) -> {"ece": 0.1, "signature": ...}
"""

from typing import Any

import evaluate
import numpy as np

from shoplm_audit.evaluate_modules import information
from shoplm_audit.metrics.classifying import Bins, ece


class Ece(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Guo et al. 2017, arXiv 1706.04599", "float64", "float64")

    def _compute(
        self, predictions: list[float], references: list[float], bins: Bins = "(lo,hi]", count: int = 10
    ) -> dict[str, Any]:
        value = ece(np.array(predictions), np.array(references), bins=bins, count=count)
        return {"ece": value, "signature": f"ece|{count} bins {bins}"}
