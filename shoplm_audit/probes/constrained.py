"""What `generate --require-attributes` would change: descriptions written freely, and with the attributes required.

constrained_probe() observes {"recall": 0.6, "recall_constrained": 1.0, "recall_gained": 0.4, ...}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shoplm_audit.data.public_texts import description_variables
from shoplm_audit.models.required import required_of
from shoplm_audit.probes.choosing import balanced
from shoplm_audit.scoring.claims import Ledger, check_claims
from shoplm_audit.types import Case, Generate, Material, Metric, Observing, Probe, Sampling

__all__ = ["CONSTRAINED_CASES", "constrained_probe"]

CONSTRAINED_CASES = 40
_FREE = Sampling(max_new_tokens=120, stop=("\n\n",))


def constrained_probe(metrics: Sequence[Metric] = (), by: tuple[str, ...] = ()) -> Probe:
    """The probe of constrained decoding: each product is described twice, the second time with its values required.

    Args:
        metrics: what is read off.
        by: groups (`category`) whose values get estimates of their own.

    Returns:
        The probe "constrained". Its values: `recall` (the share of the checkable attributes that a text states) and
        `contradicted` of the free text, the same with `_constrained` of the other, `recall_gained` and
        `contradicted_added` (second less first), and the two texts with their spans. A model that draws its texts by
        itself cannot be held to words: it raises `Unsupported`, and the probe is not tested.
    """

    def cases(material: Material) -> list[Case]:
        products = [p for p in material.records["products"] if p.attributes and check_claims("", p.attributes).omitted]
        count = min(material.limit or CONSTRAINED_CASES, CONSTRAINED_CASES)
        return [
            Case(
                product.id,
                facts={"title": product.title, "record": dict(product.attributes)},
                groups={"category": product.category},
                cluster=product.id,
                language=product.language,
                task="description",
                prompt=material.render("description", product.language, description_variables(product)),
            )
            for product in balanced(products, count, material.seed)
        ]

    return Probe("constrained", cases, _observe, metrics, by)


def _observe(case: Case) -> Observing:
    record: Mapping[str, str] = case.facts["record"]
    samplings = (_FREE, replace(_FREE, required=required_of(record)))
    texts = yield [Generate(case.prompt, sampling) for sampling in samplings]
    free, held = (check_claims(text, record, language=case.language, title=case.facts["title"]) for text in texts)
    recalls = _recall(free), _recall(held)
    return {
        "recall": recalls[0],
        "recall_constrained": recalls[1],
        "recall_gained": recalls[1] - recalls[0],
        "contradicted": free.contradicted > 0,
        "contradicted_constrained": held.contradicted > 0,
        "contradicted_added": int(held.contradicted > 0) - int(free.contradicted > 0),
        "text": texts[0],
        "spans": free.spans_json(),
        "text_constrained": texts[1],
        "spans_constrained": held.spans_json(),
    }


def _recall(ledger: Ledger) -> float:
    """The share of checkable attributes that a text states rightly; one that it states wrongly too is not lost."""
    right = {claim.attribute for claim in ledger.claims if claim.verdict == "supported"}
    wrong = {claim.attribute for claim in ledger.claims if claim.verdict == "contradicted"}
    checkable = right | wrong | set(ledger.omitted)
    return len(right) / len(checkable) if checkable else 0.0
