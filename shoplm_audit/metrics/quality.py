"""How well a model does a shop's work: BLEU with the right tokenizer, perplexity per byte.

bleu_of("text") -> Metric("corpus_bleu", ...)
"""

from __future__ import annotations

import numpy as np

from shoplm_audit.metrics.reduce import sums_of
from shoplm_audit.metrics.trials import tried
from shoplm_audit.scoring.overlap import ORDERS, bleu, bleu_sums, corpus_bleu, signature_of
from shoplm_audit.types import Floats, Metric, Observation, Observations

__all__ = ["bleu_of", "perplexity_per_byte_of"]


def bleu_of(text: str = "text") -> Metric:
    """Corpus BLEU, 0 to 100, against each case's reference: 13a tokens in English, sacreBLEU's zh in Chinese.

    A case without an answer counts as a text of the reference's length without a match; as an empty text it would
    raise the precision of the rest. It tries itself on the references (`tried`).
    """

    def sums(row: Observation, written: str) -> tuple[float, ...]:
        reference = row.case.reference or ""
        if row.status == "scored":
            return bleu_sums(written, reference, row.case.language)
        same = bleu_sums(reference, reference, row.case.language)
        return (*same[:2], *[0.0] * ORDERS, *same[2 + ORDERS :])

    def rows(observations: Observations) -> Floats:
        table = [sums(row, written) for row, written in zip(observations, observations.texts(text), strict=True)]
        return np.array(table, dtype=np.float64).reshape(len(table), 2 + 2 * ORDERS)

    metric = sums_of(
        "corpus_bleu", rows, corpus_bleu, better="higher", signature=signature_of("bleu"), within=(0.0, 100.0)
    )
    return tried(metric, bleu, best=100.0)


def perplexity_per_byte_of(nats: str, size: str) -> Metric:
    """exp(nats per UTF-8 byte) of reference texts: comparable between tokenizers and between English and Chinese."""

    def rows(observations: Observations) -> Floats:
        return np.column_stack([-observations.numbers(nats), observations.numbers(size)])

    def statistic(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums[:, 1] > 0, np.exp(sums[:, 0] / sums[:, 1]), np.nan)

    return sums_of("perplexity_per_byte", rows, statistic, better="lower", signature="exp(nats/UTF-8 bytes)")
