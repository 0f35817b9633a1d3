"""Distinct-n of texts taken together, and the same adjusted for their length (EAD), at most 1.

compute(predictions=texts, n=2, language="zh") -> {"distinct": 0.71, "expectation_adjusted": 0.83, ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information
from shoplm_audit.scoring.diversity import VOCABULARY, distinct


class Distinct(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Li et al. 2016, arXiv 1510.03055; Liu et al. 2022, arXiv 2202.13587", "string")

    def _compute(self, predictions: list[str], n: int = 1, language: str = "en") -> dict[str, Any]:
        plain, adjusted = distinct(predictions, n, language)
        signature = (
            f"distinct|n:{n}|case:lc|norm:nfkc|V:{VOCABULARY.get(language, VOCABULARY['en'])}^n|at most 1|{language}"
        )
        return {"distinct": plain, "expectation_adjusted": adjusted, "signature": signature}
