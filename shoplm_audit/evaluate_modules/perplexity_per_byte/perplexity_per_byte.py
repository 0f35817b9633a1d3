"""exp(nats per UTF-8 byte) of texts: comparable between tokenizers and between English and Chinese.

compute(predictions=[-41.5], references=[text]) with log-probabilities in nats -> {"perplexity_per_byte": 1.52, ...}
"""

from typing import Any

import evaluate
import numpy as np

from shoplm_audit.evaluate_modules import information


class PerplexityPerByte(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Gao et al. 2020, arXiv 2101.00027", "float64", "string")

    def _compute(self, predictions: list[float], references: list[str]) -> dict[str, Any]:
        size = sum(len(text.encode()) for text in references)
        value = float(np.exp(-np.sum(predictions) / size)) if size else float("nan")
        return {"perplexity_per_byte": value, "signature": "exp(nats/UTF-8 bytes)"}
