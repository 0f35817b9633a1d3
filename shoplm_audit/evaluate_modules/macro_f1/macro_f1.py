"""Macro-F1 of labels, 0 to 1; a prediction that is no label counts as an answer of the other classes.

compute(predictions=["positive"], references=["negative"], labels=[...]) -> {"macro_f1": 0.0, "signature": ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information
from shoplm_audit.metrics.classifying import confusion, macro_f1


class MacroF1(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "van Rijsbergen 1979; Opitz and Burst 2019, arXiv 1911.03347", "string", "string")

    def _compute(
        self, predictions: list[str], references: list[str], labels: list[str] | None = None
    ) -> dict[str, Any]:
        labels = list(labels or sorted(set(references)))
        value = macro_f1(confusion(predictions, references, labels).sum(axis=0))
        return {"macro_f1": float(value), "signature": f"macro_f1|labels:{','.join(labels)}|unparsed:other class"}
