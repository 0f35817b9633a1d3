"""Matthews correlation of labels, -1 to 1; a prediction that is no label counts as an answer of the other classes.

compute(predictions=["positive"], references=["negative"], labels=[...]) -> {"mcc": -1.0, "signature": ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information
from shoplm_audit.metrics.classifying import confusion, mcc


class Mcc(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Matthews 1975; Gorodkin 2004", "string", "string")

    def _compute(
        self, predictions: list[str], references: list[str], labels: list[str] | None = None
    ) -> dict[str, Any]:
        labels = list(labels or sorted(set(references)))
        value = mcc(confusion(predictions, references, labels).sum(axis=0))
        return {"mcc": float(value), "signature": f"mcc|labels:{','.join(labels)}|unparsed:other class"}
