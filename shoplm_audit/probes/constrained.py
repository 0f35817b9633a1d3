"""What `generate --require-attributes` would change: descriptions written freely, and with the attributes required.

constrained_probe() observes {"recall": 0.6, "recall_constrained": 1.0, "recall_gained": 0.4, ...}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shoplm_audit.data.public_texts import description_variables
from shoplm_audit.models.required import required_of
from shoplm_audit.probes.describing import Known, checkable_products, cluster_of, described_products, record_of
from shoplm_audit.scoring.claims import Ledger
from shoplm_audit.types import Case, Generate, Material, Metric, Observing, Probe, Sampling, Value

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
    known = Known()

    def cases(material: Material) -> list[Case]:
        everything = described_products(material)
        digest = known.learn(everything, material.seed)
        count = min(material.limit or CONSTRAINED_CASES, CONSTRAINED_CASES)
        return [
            Case(
                product.id,
                facts={"title": product.title, "record": record_of(product), "catalogue": digest},
                groups={"category": product.category},
                cluster=cluster_of(product),
                language=product.language,
                task="description",
                prompt=material.render("description", product.language, description_variables(product)),
            )
            for product in checkable_products(everything, count, material.seed, known[digest])
        ]

    def observe(case: Case) -> Observing:
        record: Mapping[str, str] = case.facts["record"]
        samplings = (_FREE, replace(_FREE, required=required_of(record)))
        texts = yield [Generate(case.prompt, sampling) for sampling in samplings]
        free, held = (known.of(case).check(text, case) for text in texts)
        return _compared(texts, free, held, record)

    return Probe("constrained", cases, observe, metrics, by)


def _compared(texts: Sequence[str], free: Ledger, held: Ledger, record: Mapping[str, str]) -> dict[str, Value]:
    recalls = _recall(free, record), _recall(held, record)
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


def _recall(ledger: Ledger, record: Mapping[str, str]) -> float:
    """The share of checkable attributes that a text states rightly; one that it states wrongly too is not lost."""
    none = {"", "title"} - record.keys()  # the title is no attribute of the record
    right = {claim.attribute for claim in ledger.claims if claim.verdict == "supported"} - none
    wrong = {claim.attribute for claim in ledger.claims if claim.verdict == "contradicted"} - none
    checkable = right | wrong | set(ledger.omitted)
    return len(right) / len(checkable) if checkable else 0.0
