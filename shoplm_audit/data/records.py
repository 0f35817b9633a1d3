"""The records of a shop, typed: what readers return, what ShopWorld invents, what cases are made of.

Product("p00017", "Alder kettle", "kettles", {"brand": "Norvik", "colour": "navy", "weight": "1.2 kg"}, language="en")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from shoplm_audit.types import Turn

__all__ = ["Customer", "Dialogue", "Exercise", "Form", "Interaction", "Product", "Record", "Review", "Text"]

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
    """A text with an optional label (moderation cases, plain corpora) and an optional user it belongs to."""

    id: str
    text: str
    label: str = ""
    language: str = "en"
    user: str = ""


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


Record = Product | Review | Dialogue | Interaction | Text | Exercise
