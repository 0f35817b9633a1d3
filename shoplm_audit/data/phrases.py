"""The sentences of ShopWorld, read from `phrases_en.toml` and `phrases_zh.toml` beside this file.

PHRASES["en"].predicates["weight"] == ("weighs {}", "has a weight of {}")
OFFERS["en"][0] == (" We will refund the full price", 1.0)
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

__all__ = ["OFFERS", "PHRASES", "SENTIMENTS", "CustomerWords", "Phrases"]

Choices: TypeAlias = tuple[str, ...]

# The first words of a reply decide the offer: (continuation of the reply prompt, share of the price that is refunded).
OFFERS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "en": (
        (" We will refund the full price", 1.0),
        (" We will refund half the price", 0.5),
        (" We cannot refund the price", 0.0),
    ),
    "zh": (("我们将退还全部货款", 1.0), ("我们将退还一半货款", 0.5), ("我们无法退还货款", 0.0)),
}

# How a label is written as the answer of the sentiment prompt.
SENTIMENTS: Mapping[str, Mapping[str, str]] = {
    "en": {"positive": "positive", "negative": "negative"},
    "zh": {"positive": "正面", "negative": "负面"},
}


@dataclass(frozen=True, slots=True)
class CustomerWords:
    """What customer records are made of; a surname is a stem with an ending, `labels` head the lines of a record."""

    stems: Choices
    endings: Choices
    towns: Choices
    streets: Choices
    address: str
    labels: Mapping[str, str]
    notes: Choices


@dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences of one language.

    Attributes:
        openings, openings_without_brand, further: sentences of a description, with slots title, brand, facts.
        predicates: attribute name to the ways of stating it; {} takes the value.
        contexts, slots, pleases, displeases, closings: parts of a review; aspects and stars are keys.
        greetings, problems, asks, tails: parts of a question and a reply.
        moderation: label to (beginnings, middles, ends).
    """

    openings: Choices
    openings_without_brand: Choices
    further: Choices
    predicates: Mapping[str, Choices]
    contexts: Choices
    slots: Mapping[str, Choices]
    pleases: Mapping[str, Choices]
    displeases: Mapping[str, Choices]
    closings: Mapping[int, Choices]
    greetings: Choices
    problems: Mapping[str, Choices]
    asks: Choices
    tails: Choices
    moderation: Mapping[str, tuple[Choices, Choices, Choices]]
    customers: CustomerWords


def _frozen(node: Any) -> Any:
    """Lists become tuples, all the way down."""
    if isinstance(node, dict):
        return {key: _frozen(value) for key, value in node.items()}
    return tuple(node) if isinstance(node, list) else node


def _read(language: str) -> Phrases:
    source = files("shoplm_audit.data").joinpath(f"phrases_{language}.toml").read_text(encoding="utf-8")
    tables = _frozen(tomllib.loads(source))
    tables["closings"] = {int(stars): choices for stars, choices in tables["closings"].items()}
    tables["moderation"] = {
        label: (parts["begin"], parts["middle"], parts["end"]) for label, parts in tables["moderation"].items()
    }
    tables["customers"] = CustomerWords(**tables["customers"])
    return Phrases(**tables)


PHRASES: Mapping[str, Phrases] = {language: _read(language) for language in ("en", "zh")}
