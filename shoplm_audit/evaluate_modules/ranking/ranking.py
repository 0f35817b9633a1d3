"""Hit rate, reciprocal rank and NDCG of lists, 0 to 1; repeated items count once, unknown ones gain nothing.

    compute(predictions=[["b", "a"]], references=[["a"]], k=10, gain="exponential", relevance=[[3.0]])
    -> {"hit_rate": 1.0, "mrr": 0.5, "ndcg": 0.63, "signature": ...}

References are the relevant items of each list, all of relevance 1 unless given.
"""

from typing import Any, Literal

import datasets
import evaluate
import numpy as np

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.metrics.ranking import ndcg, rank_of


class Ranking(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        items = datasets.Sequence(datasets.Value("string"))
        return information(__doc__, "Järvelin and Kekäläinen 2002", items, items)

    def _compute(
        self,
        predictions: list[Any],
        references: list[Any],
        k: int = 10,
        gain: Literal["exponential", "linear"] = "exponential",
        relevance: list[list[float]] | None = None,
    ) -> dict[str, Any]:
        worth = relevance or [[1.0] * len(right) for right in references]
        known = [dict(zip(right, values, strict=True)) for right, values in zip(references, worth, strict=True)]
        ranks = [
            min((rank_of(item, said) or np.inf for item, value in right.items() if value > 0), default=np.inf)
            for said, right in zip(predictions, known, strict=True)
        ]
        gains = [ndcg(said, right, k, gain=gain) for said, right in zip(predictions, known, strict=True)]
        return {
            "hit_rate": mean(rank <= k for rank in ranks),
            "mrr": mean(1 / rank for rank in ranks),
            "ndcg": mean(gains),
            "signature": f"ranking|k:{k}|gain:{gain}|best relevant item",
        }
