"""Slots of a record that texts miss, add, change or say twice, per slot of the record; lower is better.

    compute(predictions=[text], references=[[["food", "Chinese"], ["area", "riverside"]]])
    -> {"slot_error_rate": 0.0, "missing": 0, "added": 0, "wrong": 0, "repeated": 0, "slots": 2, "signature": ...}

A reference is the record as pairs of attribute and value; the schema is E2E's where the attributes are, or else learnt
from the records given, or from `catalogue`.
"""

from typing import Any

import datasets
import evaluate

from shoplm_audit.evaluate_modules import information
from shoplm_audit.scoring.schema import schema_for
from shoplm_audit.scoring.slots import SlotErrors


class SlotErrorRate(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        pairs = datasets.Sequence(datasets.Sequence(datasets.Value("string")))
        return information(__doc__, "Dušek, Howcroft and Rieser 2019, arXiv 1911.03905", "string", pairs)

    def _compute(
        self,
        predictions: list[str],
        references: list[Any],
        language: str = "en",
        catalogue: list[dict[str, str]] | None = None,
    ) -> dict[str, Any]:
        records = [dict(record) for record in references]
        schema = schema_for(catalogue or records)
        rows = zip(predictions, records, strict=True)
        total = sum((schema.slot_errors(text, record, language) for text, record in rows), SlotErrors())
        counts = {name: getattr(total, name) for name in ("missing", "added", "wrong", "repeated", "slots")}
        signature = f"slot_error_rate|micro|schema:{schema.written or 'learnt'}|{language}"
        return {"slot_error_rate": total.rate, **counts, "signature": signature}
