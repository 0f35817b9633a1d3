"""Share of texts with a run of 8 tokens (Chinese: characters) that a text of another group has; an empty text counts.

A shorter text is such a run as a whole.

compute(predictions=texts, groups=products, language="zh") -> {"shared_8_grams": 0.04, "signature": ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information, mean, numbered
from shoplm_audit.scoring.diversity import sharing_groups


class Shared8Grams(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "ShopLM Audit", "string")

    def _compute(self, predictions: list[str], groups: list[Any] | None = None, language: str = "en") -> dict[str, Any]:
        products = numbered(groups, len(predictions))
        shared = sharing_groups([(text, language) for text in predictions], products)
        return {
            "shared_8_grams": mean(
                bool(others) or not text.strip() for text, others in zip(predictions, shared, strict=True)
            ),
            "signature": f"shared_8_grams|case:lc|norm:nfkc|shorter:whole text|{language}",
        }
