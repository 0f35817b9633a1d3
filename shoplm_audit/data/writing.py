"""How ShopWorld writes: faithful descriptions and reviews of a product, each way of saying it drawn from a generator.

describe(product, rng) == "Norvik makes the Alder kettle, which is navy and weighs 1.2 kg. It costs $49."
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoplm_audit.data.lexicon import CATEGORIES, Category
from shoplm_audit.data.phrases import PHRASES
from shoplm_audit.data.records import Product

__all__ = ["STYLES", "category_of", "describe", "pick", "write_review"]

STYLES = ("plain", "terse", "lively", "chatty")
_GENERAL_ASPECTS = ("look", "delivery", "packaging", "price", "service")
_CATEGORIES = {(language, c.name): c for language, categories in CATEGORIES.items() for c in categories}


def pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    """One of the choices, each as likely."""
    return choices[int(rng.integers(len(choices)))]


def category_of(product: Product) -> Category:
    """The category of a product of ShopWorld."""
    return _CATEGORIES[product.language, product.category]


def describe(product: Product, rng: np.random.Generator) -> str:
    """A faithful description: each attribute is stated once, its value word for word, and nothing else is.

    Args:
        product: one with an attribute besides the brand; attributes that ShopWorld does not know are stated by name.
        rng: draws the way of saying it.
    """
    english, phrases = product.language == "en", PHRASES[product.language]
    brand_name = "brand" if english else "品牌"
    unknown = "has {} {}" if english else "{}为{}"
    facts = [
        pick(phrases.predicates[name], rng).format(value) if name in phrases.predicates else unknown.format(name, value)
        for name, value in product.attributes.items()
        if name != brand_name
    ]
    brand = product.attributes.get(brand_name, "")
    opening = pick(phrases.openings if brand else phrases.openings_without_brand, rng)
    sentences: list[str] = []
    first = int(rng.integers(len(phrases.further)))
    while facts:
        size = min(len(facts), int(rng.integers(1, 4)))
        group, facts = facts[:size], facts[size:]
        pattern = phrases.further[(first + len(sentences)) % len(phrases.further)] if sentences else opening
        sentences.append(pattern.format(title=product.title, brand=brand, facts=_listed(group, product.language)))
    return (" " if english else "").join(sentences)


def _listed(parts: Sequence[str], language: str) -> str:
    """Some facts as one predicate: "a, b and c"."""
    if language == "zh":
        return "，".join(parts)
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _sentence(text: str, language: str, mark: str = "") -> str:
    """A clause as a sentence of its own."""
    end = mark or ("." if language == "en" else "。")
    return text[0].upper() + text[1:] + end


def write_review(product: Product, style: str, stars: int, rng: np.random.Generator) -> str:
    """Context, two or three aspects, verdict; a terse writer leaves out the first, a lively one exclaims."""
    language, phrases, category = product.language, PHRASES[product.language], category_of(product)
    aspects = (*category.aspects, *_GENERAL_ASPECTS)
    chosen = [aspects[i] for i in rng.permutation(len(aspects))[: 2 if style == "plain" else 3]]
    # Three stars: pleased with the first aspect, displeased with the next.
    tables = [phrases.pleases if stars > 3 or (stars == 3 and k % 2 == 0) else phrases.displeases for k in range(3)]
    colour = product.attributes["colour" if language == "en" else "颜色"]
    slots = {"title": product.title, "noun": category.noun, "colour": colour}
    slots.update({slot: pick(choices, rng) for slot, choices in phrases.slots.items()})
    clauses = [pick(table[aspect], rng).format(**slots) for table, aspect in zip(tables, chosen, strict=False)]
    if stars == 3:
        but = ", but " if language == "en" else "，但是"
        clauses[:2] = [but.join(clauses[:2])]
    elif style != "terse" and rng.integers(2):
        both = " and " if language == "en" else "，"
        clauses[:2] = [both.join(clauses[:2])]
    mark = "" if style != "lively" else "!" if language == "en" else "！"
    sentences = [_sentence(clause, language, mark) for clause in clauses]
    if style != "terse":
        sentences.insert(0, pick(phrases.contexts, rng).format(**slots))
    sentences.append(pick(phrases.closings[stars], rng).format(**slots))
    return (" " if language == "en" else "").join(sentences)
