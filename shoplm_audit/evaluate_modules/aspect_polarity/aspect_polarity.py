"""Of the aspects that summaries or their reviews judge, the share that summaries judge as the reviews do, 0 to 1.

compute(predictions=[summary], references=[[review, review]], language="zh") -> {"aspect_polarity": 0.8, ...}
"""

from typing import Any

import datasets
import evaluate

from shoplm_audit.evaluate_modules import information
from shoplm_audit.scoring.summaries import aspects_kept


class AspectPolarity(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "ShopLM Audit", "string", datasets.Sequence(datasets.Value("string")))

    def _compute(self, predictions: list[str], references: list[Any], language: str = "en") -> dict[str, Any]:
        found = [
            aspects_kept(text, list(reviews), language) for text, reviews in zip(predictions, references, strict=True)
        ]
        right = sum(len(one.right) for one in found)
        judged = right + sum(len(one.wrong) + len(one.missing) for one in found)
        value = right / judged if judged else float("nan")
        return {"aspect_polarity": value, "signature": f"aspect_polarity|tolerance:0.4|micro|{language}"}
