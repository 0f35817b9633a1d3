"""Mean BLEU of each text against all others of at most 200 groups, 0 to 100: 100 is one text for everything.

compute(predictions=texts, groups=products, language="zh") -> {"self_bleu": 31.4, "signature": ...}
"""

from typing import Any

import evaluate

from shoplm_audit.evaluate_modules import information, numbered
from shoplm_audit.scoring.diversity import self_bleu


class SelfBleu(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        return information(__doc__, "Zhu et al. 2018, arXiv 1802.01886", "string")

    def _compute(self, predictions: list[str], groups: list[Any] | None = None, language: str = "en") -> dict[str, Any]:
        products = numbered(groups, len(predictions))
        value = self_bleu([(text, language) for text in predictions], products)
        return {
            "self_bleu": value,
            "signature": f"self_bleu|smooth:exp|eff:yes|groups:200|case:lc|norm:nfkc|{language}",
        }
