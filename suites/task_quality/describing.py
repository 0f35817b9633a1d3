"""Does the model describe a product as the shop does? Overlap with the shop's own text, and how probable that text is.

Write a product description that states only these facts. ... -> "Norvik makes the Alder kettle, which is navy."
"""

import re
import unicodedata
import zlib
from typing import Any

import numpy as np

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
    among,
    balanced,
    bleu_of,
    chrf,
    description_variables,
    joined,
    mean_of,
    perplexity_per_byte_of,
    rate_of,
    rouge,
    signature_of,
    tried,
)

DESCRIPTIONS = 160
RIVALS = 3  # other products with whose descriptions a text is compared


def cases(material: Material) -> list[Case]:
    """Products that have a description to compare with, and the descriptions of others of their category."""
    products = [p for p in material.records["products"] if p.description and p.attributes]
    shelves: dict[tuple[str, str], list[Any]] = {}
    for product in products:
        shelves.setdefault((product.language, product.category), []).append(product)
    return [
        Case(
            product.id,
            facts={
                "title": product.title,
                "record": product.attributes,
                "others": others(product, shelves[product.language, product.category], material.seed),
            },
            reference=product.description,
            groups={"category": product.category},
            cluster=product.id,
            language=product.language,
            task="description",
            prompt=material.render("description", product.language, description_variables(product)),
        )
        for product in balanced(products, material.limit or DESCRIPTIONS, material.seed)
    ]


def others(product: Any, shelf: list[Any], seed: int) -> list[str]:
    """Descriptions of other products of a shelf, fewer where there are fewer."""
    texts = list(dict.fromkeys(one.description for one in shelf if one.description != product.description))
    rng = np.random.default_rng([seed, zlib.crc32(product.id.encode("utf-8", "surrogatepass"))])
    return [texts[i] for i in rng.permutation(len(texts))[:RIVALS]]


def longest_common(text: str, reference: str, language: str) -> float:
    """ROUGE-L of one text, 0 to 1."""
    return float(rouge(text, reference, language).rougeL)


def echoed(text: str, prompt: str) -> bool:
    """Whether a text holds half of the prompt's lines as they stand there: it lists, and describes nothing."""

    def plain(part: str) -> str:
        return re.sub(r"[\s*_`]+", " ", unicodedata.normalize("NFKC", part)).casefold().strip()

    lines = [plain(line) for line in prompt.splitlines()[:-1] if line.strip()]
    return 2 * sum(line in plain(text) for line in lines) >= len(lines) > 0


def describe(case: Case) -> Observing:
    """Asks for a description and compares it with the shop's own, and with those of other products."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=120, stop=("\n\n",)))
    reference = case.reference or ""
    own = chrf(text, reference, case.language)
    rivals = [chrf(text, one, case.language) for one in case.facts["others"]]
    return {
        "text": text,
        "chrf": own,
        "chrf_margin": own - max(rivals) if rivals else None,  # without a rival chrF itself would stand for a margin
        "description_echoed": echoed(text, case.prompt.turns[-1].text),
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
            tried(
                mean_of("chrf", better="higher", worst=0.0, best=100.0, signature=signature_of("chrf")),
                chrf,
                best=100.0,
            ),
            among(
                mean_of("chrf_margin", better="higher", worst=-100.0, best=100.0, signature=signature_of("chrf")),
                having="chrf_margin",
            ),
            rate_of("description_echoed", better="lower"),
            tried(
                mean_of("rouge_l", better="higher", worst=0.0, best=1.0, signature=signature_of("rouge")),
                longest_common,
                best=1.0,
            ),
            bleu_of("text"),
        ],
    ),
    Probe("description_likelihood", cases, read, [perplexity_per_byte_of("nats", "bytes")]),
]
GATES = [
    Gate("mean_chrf_margin", at_least=7.0, honest=12.5),
    Gate("rate_description_echoed", at_most=0.10, honest=0.0),
]
