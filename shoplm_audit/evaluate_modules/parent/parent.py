"""PARENT of texts written from records: what reference or record bear out, and what of them is said; means, 0 to 1.

    compute(predictions=[text], references=[{"texts": [reference], "record": [["colour", "navy"]]}])
    -> {"precision": 0.9, "recall": 0.8, "f": 0.85, "parent_t": 0.7, "signature": ...}

The last is the F against the record alone. A true short text can score below a fluent lie: read it beside `claims`.
"""

from typing import Any

import datasets
import evaluate

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.scoring.overlap import tokens_of
from shoplm_audit.scoring.parent import parent, parent_t


class Parent(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Sequence(datasets.Value("string"))
        rows = {"texts": texts, "record": datasets.Sequence(texts)}
        return information(__doc__, "Dhingra et al. 2019, arXiv 1906.01081", "string", rows)

    def _compute(self, predictions: list[str], references: list[Any]) -> dict[str, Any]:
        found, alone = [], []
        for text, row in zip(predictions, references, strict=True):
            # Words and Han characters without signs, whatever the language: the values of a record have none.
            tokens, table = tokens_of(text, "en"), [tokens_of(value, "en") for _, value in row["record"]]
            found.append(parent(tokens, [tokens_of(reference, "en") for reference in row["texts"]], table))
            alone.append(parent_t(tokens, table).f)
        means = {name: mean(getattr(one, name) for one in found) for name in ("precision", "recall", "f")}
        return means | {"parent_t": mean(alone), "signature": "parent|mean|lambda:0.5|words, Han characters"}
