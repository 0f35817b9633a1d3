"""Mean chrF2 of texts, 0 to 100, under NFKC; it needs no tokenizer and holds for every language.

compute(predictions=[text], references=[text]) -> {"chrf": 100.0, "signature": ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.scoring.overlap import chrf, signature_of


class Chrf(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Popović 2015", "string", "string")

    def _compute(self, predictions: list[str], references: list[str], language: str = "en") -> dict[str, Any]:
        scores = [chrf(text, reference, language) for text, reference in zip(predictions, references, strict=True)]
        return {"chrf": mean(scores), "signature": "mean|" + signature_of("chrf")}
