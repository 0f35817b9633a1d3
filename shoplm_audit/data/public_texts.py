r"""The public texts of ShopWorld for training: each task's prompt, as the audit asks it, followed by its answer.

    next(public_texts(world, ["sentiment"])).text
    -> "Is this review positive or negative?\nReview: It looks cheap. ...\nSentiment: negative"

The functions that build a prompt's variables serve a user's own records as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoplm_audit.data.phrases import SENTIMENTS
from shoplm_audit.data.records import Dialogue, Product, Review, Text
from shoplm_audit.errors import ConfigError
from shoplm_audit.prompts import Prompts, joined

if TYPE_CHECKING:
    from shoplm_audit.data.shopworld import World

__all__ = [
    "PUBLIC_TASKS",
    "Exchange",
    "description_variables",
    "exchanges",
    "moderation_variables",
    "public_texts",
    "recommendation_variables",
    "reply_variables",
    "review_variables",
    "sentiment_of",
    "sentiment_variables",
    "summary_variables",
]

# The tasks of which ShopWorld has answers.
PUBLIC_TASKS = ("description", "recommendation", "reply", "review", "sentiment")

_READ = 600  # characters of a review that a sentiment prompt shows
_SUMMARISED = 8  # reviews of a product that a summary prompt shows, and how much of each
_SUMMARISED_READ = 300


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a task's prompt is made of and what answers it; `user` is whose it is, where it is anybody's."""

    id: str
    task: str
    language: str
    variables: Mapping[str, Any]
    answer: str
    user: str = ""


def description_variables(product: Product) -> dict[str, Any]:
    """The variables of the description prompt."""
    return {"title": product.title, "category": product.category, "attributes": product.attributes}


def review_variables(review: Review, product: Product | None = None) -> dict[str, Any]:
    """The variables of the review prompt.

    A product without a record is called by its id; a review without stars counts 5, 1 or 3 by its label.
    """
    title, category = (product.title, product.category) if product else (review.product, review.category)
    stars = {"positive": 5.0, "negative": 1.0}.get(review.label, 3.0) if math.isnan(review.rating) else review.rating
    return {"title": title, "category": category, "stars": f"{stars:g}"}


def sentiment_of(review: Review) -> str:
    """Whether it is "positive" or "negative", by label or else by stars; "" for three stars or neither."""
    return review.label or {1.0: "negative", 2.0: "negative", 4.0: "positive", 5.0: "positive"}.get(review.rating, "")


def sentiment_variables(review: Review | Text) -> dict[str, Any]:
    """The variables of the sentiment prompt; of a long review its beginning, so that the question stays in sight."""
    return {"text": review.text[:_READ]}


def moderation_variables(text: Review | Text) -> dict[str, Any]:
    """The variables of the moderation prompt."""
    return {"text": text.text}


def summary_variables(title: str, reviews: Sequence[Review]) -> dict[str, Any]:
    """The variables of the summary prompt: of the first reviews of a product the beginnings."""
    return {"title": title, "reviews": [review.text[:_SUMMARISED_READ] for review in reviews[:_SUMMARISED]]}


def reply_variables(dialogue: Dialogue, customer: str = "") -> dict[str, Any]:
    """The variables of the reply prompt; `customer` puts another name in the place of the dialogue's own."""
    name = customer or dialogue.facts.get("customer", "")
    return {"customer": name, "question": next(turn.text for turn in dialogue.turns if turn.role == "user")}


def recommendation_variables(customer: str, history: Sequence[Product]) -> dict[str, Any]:
    """The variables of the recommendation prompt; the history is in order of time."""
    return {"customer": customer, "history": [product.title for product in history]}


def exchanges(world: World, tasks: Sequence[str] = PUBLIC_TASKS) -> Iterator[Exchange]:
    """The public part of a world task by task, in the order of the records.

    Sentiment leaves out reviews of three stars; a recommendation's answer is the last purchase.

    Raises:
        ConfigError: no such task.
    """
    makers: Mapping[str, Callable[[World], Iterator[Exchange]]] = {
        "description": _descriptions,
        "recommendation": _recommendations,
        "reply": _replies,
        "review": _reviews,
        "sentiment": _sentiments,
    }
    for task in tasks:
        if task not in makers:
            raise ConfigError(f'there is no task "{task}". Tasks: {", ".join(sorted(makers))}.')
    for task in tasks:
        yield from makers[task](world)


def public_texts(world: World, tasks: Sequence[str] = PUBLIC_TASKS, prompts: Prompts | None = None) -> Iterator[Text]:
    """The public training texts: prompt and answer as one text, labelled with the task.

    Raises:
        ConfigError: no such task, or a template that asks for a variable its task does not have.
    """
    prompts = prompts or Prompts()
    for exchange in exchanges(world, tasks):
        prompt = prompts.render(exchange.task, exchange.language, exchange.variables).flat
        text = joined(prompt, exchange.answer, exchange.language)
        yield Text(exchange.id, text, exchange.task, exchange.language, exchange.user)


def _descriptions(world: World) -> Iterator[Exchange]:
    for product in world.products:
        variables = description_variables(product)
        yield Exchange(f"description/{product.id}", "description", product.language, variables, product.description)


def _reviews(world: World) -> Iterator[Exchange]:
    products = {product.id: product for product in world.products}
    for review in world.reviews:
        variables = review_variables(review, products[review.product])
        yield Exchange(f"review/{review.id}", "review", review.language, variables, review.text, review.user)


def _sentiments(world: World) -> Iterator[Exchange]:
    for review in world.reviews:
        if review.label:
            answer, variables = SENTIMENTS[review.language][review.label], sentiment_variables(review)
            yield Exchange(f"sentiment/{review.id}", "sentiment", review.language, variables, answer, review.user)


def _replies(world: World) -> Iterator[Exchange]:
    for dialogue in world.dialogues:
        variables, answer = reply_variables(dialogue), dialogue.turns[-1].text
        yield Exchange(f"reply/{dialogue.id}", "reply", dialogue.language, variables, answer)


def _recommendations(world: World) -> Iterator[Exchange]:
    products, users = {p.id: p for p in world.products}, {u.id: u for u in world.users}
    histories: dict[str, list[Product]] = {}
    for interaction in world.interactions:
        histories.setdefault(interaction.user, []).append(products[interaction.product])
    for number, (user, bought) in enumerate(histories.items()):
        variables = recommendation_variables(users[user].name, bought[:-1])
        yield Exchange(
            f"recommendation/{number:05d}", "recommendation", users[user].language, variables, bought[-1].title, user
        )
