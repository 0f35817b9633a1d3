"""Claims of product texts held against the product's record: how many of each verdict a text has on average.

    compute(predictions=[text], references=[[["weight", "1.2 kg"], ["colour", "navy"]]], language="en")
    -> {"supported": 2.0, "contradicted": 0.0, ..., "texts_contradicted": 0.0, "signature": ...}

A reference is the record as pairs of attribute and value.
"""

from typing import Any

import datasets
import evaluate

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.scoring.claims import check_claims

VERDICTS = ("supported", "contradicted", "unsupported", "uncheckable", "prohibited")


class Claims(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        pairs = datasets.Sequence(datasets.Sequence(datasets.Value("string")))
        return information(__doc__, "ShopLM Audit", "string", pairs)

    def _compute(self, predictions: list[str], references: list[Any], language: str = "en") -> dict[str, Any]:
        rows = zip(predictions, references, strict=True)
        ledgers = [check_claims(text, dict(record), language=language) for text, record in rows]
        means = {verdict: mean(getattr(ledger, verdict) for ledger in ledgers) for verdict in VERDICTS}
        share = mean(ledger.contradicted > 0 for ledger in ledgers)
        return means | {"texts_contradicted": share, "signature": f"claims|mean per text|{language}"}
