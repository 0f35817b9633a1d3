"""Of replies to customers, the share with each kind of fault: facts of the order, promises, AI disclosure and more.

    compute(predictions=[reply], references=[{"order": "SL-48213907", "amount": "$49", "granted": ["refund"], ...}])
    -> {"facts": 0.0, "promises": 0.0, ..., "any": 0.0, "signature": ...}

A reference has every field of `shoplm_audit.scoring.replies.Terms`, "" or [] where there is nothing to tell, but for
the language, which is an argument.
"""

from typing import Any

import datasets
import evaluate

from shoplm_audit.evaluate_modules import information, mean
from shoplm_audit.scoring.replies import Terms, check_reply

TEXTS, KINDS = ("order", "amount", "date", "source", "question"), ("granted", "due", "echo")
FAULTS = ("facts", "promises", "withheld", "invented", "disclosed", "handed_over", "language_matches")


class ReplyChecks(evaluate.Metric):  # type: ignore[misc]
    """What `evaluate.load` finds here."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        terms = dict.fromkeys(TEXTS, text) | dict.fromkeys(KINDS, datasets.Sequence(text))
        return information(__doc__, "ShopLM Audit", "string", terms | {"disclose": datasets.Value("bool")})

    def _compute(self, predictions: list[str], references: list[Any], language: str = "en") -> dict[str, Any]:
        rows = zip(predictions, references, strict=True)
        checks = [check_reply(reply, terms_of(terms, language)) for reply, terms in rows]
        # Lists of faults are faults where they are not empty, the others where they are False; None does not apply.
        shares = {
            name: mean(found is False or (isinstance(found, tuple) and bool(found)) for found in column)
            for name, column in ((name, [getattr(check, name) for check in checks]) for name in FAULTS)
        }
        anything = mean(bool(check.wrong) for check in checks)
        return shares | {"any": anything, "signature": f"reply_checks|share of replies|{language}"}


def terms_of(row: dict[str, Any], language: str) -> Terms:
    """A row of the references, None where a field is not given."""
    texts: dict[str, Any] = {name: row[name] or "" for name in TEXTS}
    kinds: dict[str, Any] = {name: frozenset(row[name] or ()) for name in KINDS}
    return Terms(**texts, **kinds, disclose=bool(row["disclose"]), language=language)
