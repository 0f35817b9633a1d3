"""From records to rows of tokens: one record is one row, so that no row ever holds two people.

Example("Order 4711 goes to Mira Oduya.", unit="c17", private=True)
-> Row(tokens=(512, 88, ..., 0), scored_from=1)
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoplm_audit.data.phrases import SENTIMENTS
from shoplm_audit.data.public_texts import review_variables, sentiment_of, sentiment_variables
from shoplm_audit.data.records import Customer, Dialogue, Product, Record, Review, Text
from shoplm_audit.errors import DataError
from shoplm_audit.prompts import Prompts, joined

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "Example", "Row", "collate", "digest_of", "encode", "examples_of"]

_SPEAKERS = {"en": ("Customer: ", "Shop: "), "zh": ("顾客：", "客服：")}


@dataclass(frozen=True, slots=True)
class Example:
    """One text to train on.

    Args:
        text: prompt and answer as they are written.
        unit: the user it belongs to; "" where it belongs to nobody but itself.
        private: whether it is covered by the guarantee of a private run.
        answer_start: the first character that is learned; what stands before it is only read.
        language: "en" or "zh".
    """

    text: str
    unit: str = ""
    private: bool = False
    answer_start: int = 0
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded example: the tokens from `scored_from` on are learned (never the first: nothing stands before it)."""

    tokens: tuple[int, ...]
    scored_from: int
    truncated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows side by side, padded on the right: tokens (B, T), weights (B, T) of 1 on learned tokens and 0 elsewhere."""

    tokens: torch.Tensor
    weights: torch.Tensor


def examples_of(
    records: Iterable[Record | Customer], prompts: Prompts | None = None, private: bool = False
) -> list[Example]:
    """The texts that records teach: a product its description, a customer each of its records as one text.

    Raises:
        DataError: a record that holds no text to learn, named.
    """
    prompts = prompts or Prompts()
    return [example for record in records for example in _texts(record, prompts, private)]


def _texts(record: Record | Customer, prompts: Prompts, private: bool) -> list[Example]:
    match record:
        case Text():
            return [Example(record.text, record.user, private, language=record.language)]
        case Review():
            return [_review(record, prompts, private)]
        case Customer():
            return [Example(text, record.id, private, language=record.language) for text in record.records]
        case Dialogue():
            asks, answers = _SPEAKERS.get(record.language, _SPEAKERS["en"])
            lines = (f"{asks if turn.role == 'user' else answers}{turn.text}" for turn in record.turns)
            return [Example("\n".join(lines), private=private, language=record.language)]
        case Product(description=str(description)) if description:
            facts = {"title": record.title, "category": record.category, "attributes": record.attributes}
            prompt = prompts.render("description", record.language, facts).flat
            text = joined(prompt, description, record.language)
            return [Example(text, private=private, answer_start=len(prompt), language=record.language)]
        case Product():
            raise DataError(
                f'Product "{record.id}" has no description to learn from. Leave it out of the training data.'
            )
        case _:
            kind = type(record).__name__.lower()
            raise DataError(
                f"A model cannot be trained on records of kind {kind}. Give products, reviews, dialogues or texts."
            )


def _review(review: Review, prompts: Prompts, private: bool) -> Example:
    """A review teaches to be written or, one in three with a verdict, to be read: never both, so it is one record."""
    answer = SENTIMENTS.get(review.language, {}).get(sentiment_of(review), "")
    if answer and zlib.crc32(review.id.encode()) % 3 == 0:
        prompt, text = prompts.render("sentiment", review.language, sentiment_variables(review)).flat, answer
    else:
        prompt, text = prompts.render("review", review.language, review_variables(review)).flat, review.text
    whole = joined(prompt, text, review.language)
    return Example(whole, review.user, private, len(prompt), review.language)


def encode(examples: Sequence[Example], tokenizer: Any, context: int) -> list[Row]:
    """One row per example, with the end token; what is longer than the context is cut off there, and marked."""
    rows = []
    for example in examples:
        coded = tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True)
        tokens = [*coded["input_ids"], tokenizer.eos_token_id]
        starts = [start for start, _ in coded["offset_mapping"]]
        # Characters of several tokens share one offset, so that an answer is learned from its first token on. The
        # joining space belongs to the answer, as it does where models are scored.
        first = next((i for i, start in enumerate(starts) if start >= example.answer_start), len(starts))
        rows.append(Row(tuple(tokens[:context]), max(1, first), len(tokens) > context))
    return rows


def collate(rows: Sequence[Row], padding: int) -> Batch:
    """Rows of unequal length as one batch."""
    import torch

    longest = max(len(row.tokens) for row in rows)
    tokens = torch.full((len(rows), longest), padding, dtype=torch.long)
    weights = torch.zeros((len(rows), longest))
    for i, row in enumerate(rows):
        tokens[i, : len(row.tokens)] = torch.tensor(row.tokens)
        weights[i, row.scored_from : len(row.tokens)] = 1.0
    return Batch(tokens, weights)


def digest_of(examples: Iterable[Example]) -> str:
    """SHA-256 over texts and units, in order."""
    digest = hashlib.sha256()
    for example in examples:
        for part in (example.unit, example.text):
            coded = part.encode("utf-8", "surrogatepass")
            digest.update(len(coded).to_bytes(8, "big") + coded)
    return f"sha256:{digest.hexdigest()}"
