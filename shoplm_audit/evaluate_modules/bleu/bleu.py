"""Corpus BLEU, 0 to 100, with 13a tokens in English and sacreBLEU's zh in Chinese, under NFKC.

compute(predictions=[text], references=[text], language="zh") -> {"bleu": 100.0, "signature": ...}
"""

from typing import Any

import evaluate
import numpy as np

from shoplm_audit.evaluate_modules import information
from shoplm_audit.scoring.overlap import bleu_sums, corpus_bleu, signature_of


class Bleu(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Papineni et al. 2002; Post 2018, arXiv 1804.08771", "string", "string")

    def _compute(self, predictions: list[str], references: list[str], language: str = "en") -> dict[str, Any]:
        sums = [bleu_sums(text, reference, language) for text, reference in zip(predictions, references, strict=True)]
        value = float(corpus_bleu(np.sum(sums, axis=0, keepdims=True))[0]) if sums else float("nan")
        return {"bleu": value, "signature": signature_of("bleu") + f"|{language}"}
