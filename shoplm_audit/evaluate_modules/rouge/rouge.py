"""Mean F1 of ROUGE-1, -2, -L and -Lsum, 0 to 1; Chinese by character, as ROUGE's own tokenizer leaves nothing of it.

compute(predictions=[text], references=[text], language="zh") -> {"rouge1": 1.0, ..., "signature": ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.scoring.overlap import rouge, signature_of


class Rouge(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Lin 2004", "string", "string")

    def _compute(self, predictions: list[str], references: list[str], language: str = "en") -> dict[str, Any]:
        found = [rouge(text, reference, language) for text, reference in zip(predictions, references, strict=True)]
        names = ("rouge1", "rouge2", "rougeL", "rougeLsum")
        means = {name: mean(getattr(one, name) for one in found) for name in names}
        return means | {"signature": "mean|" + signature_of("rouge")}
