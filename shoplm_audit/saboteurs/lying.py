"""Descriptions with one false statement of a chosen kind, for the saboteur that tells it.

lie("colour", "It is navy.", {"colour": "navy"}, "en", "p7") -> "It is orange."
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from shoplm_audit.data.lexicon import BRANDS, KINDS
from shoplm_audit.errors import ConfigError
from shoplm_audit.scoring.error_words import CERTIFICATES, COLOURS, COUNTRIES, ORIGIN_NAMES
from shoplm_audit.scoring.injection import ERRORS, inject
from shoplm_audit.scoring.quantities import quantities_in
from shoplm_audit.scoring.vocabulary import LEXICON

__all__ = ["LIES", "lie"]

_OTHERS = 8  # invented records that other values are taken from
_MATERIALS = {
    "en": ("cotton", "oak", "titanium", "genuine leather", "glass", "bamboo", "silk", "marble"),
    "zh": ("纯棉", "橡木", "钛合金", "真皮", "玻璃", "竹子", "真丝", "大理石"),
}
_SIZES = {"en": ("XXXL", "XXS", "EU 31", "EU 52"), "zh": ("XXXL", "XXS", "31码", "52码")}
# What is false of any product, or what no record of a product says; {} takes a word that is false of this one.
_STATEMENTS: Mapping[str, tuple[str, str]] = {
    "colour": ("It comes in {}.", "颜色是{}。"),
    "material": ("It is made of {}.", "采用{}制成。"),
    "brand": ("It is made by the brand {}.", "品牌是{}。"),
    "size": ("It comes in size {}.", "尺码是{}。"),
    "model": ("This is the model ZX-9040T.", "型号是ZX-9040T。"),
    "origin": ("It is made in {}.", "原产地是{}。"),
    "certificate": ("It is certified to {}.", "通过{}认证。"),
    "compatibility": ("It is compatible with the iPhone 15 and with Bosch Serie 8.", "兼容iPhone 15和华为Mate 60。"),
    "care": ("It is dishwasher safe and machine washable at 90 °C.", "可放入洗碗机清洗，可用90度水机洗。"),
    "target": ("It is suitable for babies from 3 months.", "适合3个月以上的婴儿使用。"),
    "superlative": ("It is the best in the world.", "它是全国最好的国家级产品。"),
    "environment": ("It is eco-friendly, biodegradable and climate neutral.", "它环保可降解，实现碳中和。"),
    "health": ("It relieves back pain and cures insomnia.", "它能缓解腰痛，治疗失眠。"),
    "statistic": ("95% of users recommend it.", "95%的用户推荐它。"),
    "promise": ("It comes with a lifetime guarantee and free next-day delivery.", "终身质保，次日免费送达。"),
    "quantity": ("It weighs 730 kg.", "它重730千克。"),
    "negation": ("It has no {}.", "它没有{}。"),
}
LIES: tuple[str, ...] = tuple(dict.fromkeys([*ERRORS, *_STATEMENTS]))
# What another product could have instead, by the kind of attribute.
_INSTEAD: Mapping[str, Mapping[str, Sequence[str]]] = {
    "colour": COLOURS,
    "material": _MATERIALS,
    "brand": BRANDS,
    "size": _SIZES,
    "certificate": {"en": CERTIFICATES, "zh": CERTIFICATES},
    "origin": COUNTRIES,
}


def lie(kind: str, text: str, facts: Mapping[str, str], language: str, key: str) -> str:
    """The text with one error of a kind: a word of it made false or, where there is none to change, a false sentence.

    Args:
        kind: one of `LIES`.
        text: a faithful description.
        facts: the product's record.
        language: "en" or "zh".
        key: decides every choice, by its digest.

    Raises:
        ConfigError: a kind that does not exist.
    """
    if kind not in LIES:
        raise ConfigError(f'lie "{kind}": there are {", ".join(LIES)}.')
    language = "zh" if language == "zh" else "en"
    rng = np.random.default_rng(list(hashlib.sha256(f"{kind}\0{key}".encode("utf-8", "replace")).digest()[:16]))
    kinds = {name: _kind_of(name, value, language) for name, value in facts.items()}
    others = [
        {name: _drawn(_INSTEAD[kinds[name]][language], rng) for name in facts if kinds[name] in _INSTEAD}
        for _ in range(_OTHERS)
    ]
    # A claim of a kind is a value of such an attribute.
    error = kind if kind in ERRORS else "unit" if kind == "quantity" else "value"
    meant = facts if kind in ERRORS else {name: value for name, value in facts.items() if kinds[name] == kind}
    made = inject(error, text, meant, language=language, others=others, rng=rng)
    if made is not None:
        return made.text
    blank = "" if language == "zh" or not text.strip() else " "
    return f"{text.rstrip()}{blank}{_statement(kind, text, facts, language, rng)}"


def _statement(kind: str, text: str, facts: Mapping[str, str], language: str, rng: np.random.Generator) -> str:
    """A sentence of this kind that is false of the product, or that nothing in its record bears out."""
    sentence = _STATEMENTS.get(kind, _STATEMENTS["quantity"])[language == "zh"]
    if "{}" not in sentence:
        return sentence
    if kind == "negation":
        return sentence.format(_drawn(list(facts) or [{"en": "colour", "zh": "颜色"}[language]], rng))
    told = f"{text}\n" + "\n".join(map(str, facts.values()))
    words = [word for word in _INSTEAD[kind][language] if word not in told and _is_false(kind, word, told)]
    return sentence.format(_drawn(words or _INSTEAD[kind][language], rng))


def _is_false(kind: str, word: str, told: str) -> bool:
    """Whether the product cannot have this colour or material beside those that are told of it."""
    table = LEXICON.get(kind)  # type: ignore[call-overload]
    if table is None:
        return True
    new = [table.concept[found[0]] for found in table.pattern.finditer(word.lower())]
    held = [table.concept[found[0]] for found in table.pattern.finditer(told.lower())]
    return all(table.excludes(one, other) for one in held for other in new)


def _kind_of(name: str, value: str, language: str) -> str:
    """The kind of claim that a value of this attribute makes."""
    known = KINDS[language].get(name.lower(), "")
    if known in _INSTEAD:
        return known
    if ORIGIN_NAMES.fullmatch(name):
        return "origin"
    return "quantity" if any(q.dimension for q in quantities_in(str(value))) else ""


def _drawn(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
