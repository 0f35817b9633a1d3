"""The records of a shop, typed: what readers return, what ShopWorld invents, what cases are made of.

Product("p00017", "Alder kettle", "kettles", {"brand": "Norvik", "colour": "navy", "weight": "1.2 kg"}, language="en")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from shoplm_audit.types import Turn

__all__ = [
    "Customer",
    "Dialogue",
    "Exercise",
    "Form",
    "Interaction",
    "Product",
    "Record",
    "Review",
    "Stereotype",
    "Text",
]

Form: TypeAlias = Literal["choice", "retrieval", "ranking", "entities", "label", "text", "short"]


@dataclass(frozen=True, slots=True)
class Product:
    """A product; `attributes` are name and value as the shop shows them ("weight": "1.2 kg")."""

    id: str
    title: str
    category: str
    attributes: Mapping[str, str]
    description: str = ""
    price: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Review:
    """A review of a product; `rating` counts stars, 1 to 5 (nan: none), `label` is "positive", "negative" or ""."""

    id: str
    product: str
    text: str
    rating: float = float("nan")
    user: str = ""
    title: str = ""
    time: str = ""
    label: str = ""
    language: str = "en"
    category: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A talk with support. `facts` hold its exact truth where it is known (customer, group, order, refund share)."""

    id: str
    turns: tuple[Turn, ...]
    product: str = ""
    intent: str = ""
    language: str = "en"
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interaction:
    """A customer and a product that he bought, viewed or rated."""

    user: str
    product: str
    time: str = ""
    rating: float = float("nan")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with an optional label (moderation cases, plain corpora), and optionally whose it is and of which group.

    `user` is the customer it belongs to, `group` a group or a variety that a classifier is not to treat differently.
    """

    id: str
    text: str
    label: str = ""
    language: str = "en"
    user: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Customer:
    """An invented customer of ShopWorld and the private records that the shop holds of them."""

    id: str
    name: str
    group: str
    address: str
    phone: str
    orders: tuple[str, ...]
    records: tuple[str, ...]
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question of a public benchmark with its right answer.

    Attributes:
        benchmark, task: whose it is.
        form: what is answered: the number of one option ("choice"), of some ("retrieval"), of all by rank ("ranking"),
            phrases ("entities"), one of `labels`, a text to compare with a reference, or a short fact.
        prompt, system: what is asked, word for word where the file says it.
        answers: the right answer or answers; of a ranking none.
        gains: of a ranking, how relevant each numbered item is, from item 1 on.
        metric: by which the benchmark scores it, where its file says so.
    """

    id: str
    benchmark: str
    task: str
    form: Form
    prompt: str
    answers: tuple[str, ...]
    gains: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    system: str = ""
    language: str = "en"
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Stereotype:
    """An item of a public benchmark of stereotypes.

    Attributes:
        benchmark: "BBQ", "CBBQ", "CrowS-Pairs", "StereoSet" or "WinoBias".
        bias: whom it is about ("Age", "race", "gender").
        condition: "ambiguous" or "disambiguated"; "stereo" or "antistereo"; "intrasentence" or "intersentence"; "pro"
            or "anti".
        context: what is read first, word for word.
        options: texts by role, in the file's order: "biased" (agrees with the stereotype, whatever the polarity of
            the question), "other", "unknown"; "more", "less"; "stereotype", "anti-stereotype", "unrelated";
            "referent", "pronoun".
        cluster: what it shares with other items: a template, a target term, a sentence.
        question: of BBQ and CBBQ.
        right: the role of the right answer; "" where there is none.
        polarity: of the question, "negative" or "non-negative".
    """

    id: str
    benchmark: str
    bias: str
    condition: str
    context: str
    options: Mapping[str, str]
    cluster: str = ""
    question: str = ""
    right: str = ""
    polarity: str = ""
    language: str = "en"


Record = Product | Review | Dialogue | Interaction | Text | Exercise | Stereotype
