"""Does the model describe a product as the shop does? Overlap with the shop's own text, and how probable that text is.

Write a product description that states only these facts. ... -> "Norvik makes the Alder kettle, which is navy."
"""

from shoplm_audit import (
    Case,
    Gate,
    Generate,
    Material,
    Observing,
    Pair,
    Probe,
    Sampling,
    Score,
    balanced,
    bleu_of,
    chrf,
    description_variables,
    joined,
    mean_of,
    perplexity_per_byte_of,
    rouge,
    tried,
)

DESCRIPTIONS = 160


def cases(material: Material) -> list[Case]:
    """Products that have a description to compare with."""
    products = [p for p in material.records["products"] if p.description and p.attributes]
    return [
        Case(
            product.id,
            facts={"title": product.title, "record": product.attributes},
            reference=product.description,
            groups={"category": product.category},
            cluster=product.id,
            language=product.language,
            task="description",
            prompt=material.render("description", product.language, description_variables(product)),
        )
        for product in balanced(products, material.limit or DESCRIPTIONS, material.seed)
    ]


def longest_common(text: str, reference: str, language: str) -> float:
    """ROUGE-L of one text, 0 to 1."""
    return float(rouge(text, reference, language).rougeL)


def describe(case: Case) -> Observing:
    """Asks for a description and compares it with the shop's own."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=120, stop=("\n\n",)))
    reference = case.reference or ""
    return {
        "text": text,
        "chrf": chrf(text, reference, case.language),
        "rouge_l": longest_common(text, reference, case.language),
    }


def read(case: Case) -> Observing:
    """How probable the shop's own description is after the prompt."""
    answer = joined("", case.reference or "", case.language)
    scores = yield Score(Pair(case.prompt.flat, answer))
    return {"nats": scores.total, "bytes": len(answer.encode())}


PROBES = [
    Probe(
        "description",
        cases,
        describe,
        [
            tried(mean_of("chrf", better="higher", worst=0.0, best=100.0), chrf, best=100.0),
            tried(mean_of("rouge_l", better="higher", worst=0.0, best=1.0), longest_common, best=1.0),
            bleu_of("text"),
        ],
    ),
    Probe("description_likelihood", cases, read, [perplexity_per_byte_of("nats", "bytes")]),
]
GATES = [Gate("mean_chrf", at_least=20.0, honest=31.0)]
