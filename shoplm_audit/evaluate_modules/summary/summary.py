"""How much of a summary is copied from its source, how much shorter it is, and whether it invents numbers.

    compute(predictions=[summary], references=[source], language="zh")
    -> {"coverage": 0.9, "density": 4.1, "compression": 6.0, "invented_numbers": 0.0, "signature": ...}

The last is the share of summaries with a quantity, number or date that the source does not hold. nan: an empty text.
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.scoring.summaries import extraction, invented_numbers


class Summary(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Grusky et al. 2018, arXiv 1804.11283", "string", "string")

    def _compute(self, predictions: list[str], references: list[str], language: str = "en") -> dict[str, Any]:
        pairs = list(zip(predictions, references, strict=True))
        found = [extraction(summary, source, language) for summary, source in pairs]
        means = {name: mean(getattr(one, name) for one in found) for name in ("coverage", "density", "compression")}
        invented = mean(bool(invented_numbers(summary, source)) for summary, source in pairs)
        return means | {"invented_numbers": invented, "signature": f"extractive fragments|mean|{language}"}
