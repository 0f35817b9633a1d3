"""From records to the texts that are learned: one record is one example, so that none ever holds two people.

examples_of([Review("r1", "p1", "It leaks.", 1.0)], objective="classify")
-> [Example("It leaks.", label="negative")]
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shoplm_audit.data.phrases import SENTIMENTS
from shoplm_audit.data.public_texts import reply_variables, review_variables, sentiment_of, sentiment_variables
from shoplm_audit.data.records import Customer, Dialogue, Product, Record, Review, Text
from shoplm_audit.errors import DataError
from shoplm_audit.prompts import Prompts, joined

__all__ = ["Example", "digest_of", "examples_of"]

_SKIP = "Leave out such rows with --skip-bad-rows."
_SPEAKERS = {"en": ("Customer: ", "Shop: "), "zh": ("顾客：", "客服：")}


@dataclass(frozen=True, slots=True)
class Example:
    """One text to train on.

    Args:
        text: prompt and answer as they are written.
        unit: the user it belongs to; "" where it belongs to nobody but itself.
        private: whether it is covered by the guarantee of a private run.
        answer_start: the first character that is learned; what stands before it is only read. An encoder-decoder reads
            what stands before it and writes the rest.
        language: "en" or "zh".
        label: what a classifier has to say of it.
        read_only: spans of characters after `answer_start` that are read and not learned: a customer's turns.
    """

    text: str
    unit: str = ""
    private: bool = False
    answer_start: int = 0
    language: str = "en"
    label: str = ""
    read_only: tuple[tuple[int, int], ...] = ()

    def learns(self, place: int) -> bool:
        """Whether the character at `place` is learned."""
        return place >= self.answer_start and not any(start <= place < end for start, end in self.read_only)


def examples_of(
    records: Iterable[Record | Customer],
    prompts: Prompts | None = None,
    private: bool = False,
    objective: str = "causal",
    on_bad: Callable[[str], None] | None = None,
) -> list[Example]:
    """The texts that records teach under an objective.

    Args:
        records: of any kind that holds a text.
        prompts: the templates that an answer follows.
        private: whether they are covered by the guarantee of a private run.
        objective: "causal" and "masked" learn the text, after its task's prompt where it answers one; "seq2seq" an
            answer from its prompt, a title from its review; "classify" a label, a review's sentiment, a question's
            intent.
        on_bad: told of each record that has nothing to learn, which is then left out.

    Raises:
        DataError: a record that has nothing to learn, named, where nobody is told of it.
    """
    prompts, found = prompts or Prompts(), []
    for record in records:
        try:
            found += list(_READERS[objective](record, prompts, private))
        except DataError as fault:
            if on_bad is None:
                raise
            on_bad(str(fault))
    return found


def _written(record: Record | Customer, prompts: Prompts, private: bool) -> Iterator[Example]:
    match record:
        case Text():
            yield Example(record.text, record.user, private, language=record.language)
        case Review():
            yield _review(record, prompts, private)
        case Customer():
            for text in record.records:
                yield Example(text, record.id, private, language=record.language)
        case Dialogue():
            yield _talk(record, private)
        case _:
            yield _description(record, prompts, private)


def _review(review: Review, prompts: Prompts, private: bool) -> Example:
    """A review teaches to be written or, one in three with a verdict, to be read: never both, so it is one record."""
    answer = SENTIMENTS.get(review.language, {}).get(sentiment_of(review), "")
    # By what it says, not by its id, which is its row's number where a file has none: a row more must change no other.
    toss = zlib.crc32(f"{review.user}\0{review.text}".encode("utf-8", "surrogatepass"))
    if answer and toss % 3 == 0:
        prompt, text = prompts.render("sentiment", review.language, sentiment_variables(review)).flat, answer
    else:
        prompt, text = prompts.render("review", review.language, review_variables(review)).flat, review.text
    return _answer(prompt, text, review.language, review.user, private)


def _talk(talk: Dialogue, private: bool) -> Example:
    """A whole talk; where the shop speaks in it, its words alone are learned."""
    asks, answers = _SPEAKERS.get(talk.language, _SPEAKERS["en"])
    text, read_only = "", []
    for turn in talk.turns:
        begin, speaker = len(text), asks if turn.role == "user" else answers
        text += f"{speaker}{turn.text}\n"
        read_only.append((begin, len(text) if turn.role == "user" else begin + len(speaker.rstrip())))
    alone = all(turn.role == "user" for turn in talk.turns)
    spans = () if alone else tuple(read_only)
    return Example(text.removesuffix("\n"), private=private, language=talk.language, read_only=spans)


def _description(record: Record | Customer, prompts: Prompts, private: bool) -> Example:
    match record:
        case Product(description=str(description)) if description:
            facts = {"title": record.title, "category": record.category, "attributes": record.attributes}
            prompt = prompts.render("description", record.language, facts).flat
            return _answer(prompt, description, record.language, "", private)
        case Product():
            raise DataError(f'Product "{record.id}" has no description to learn from. {_SKIP}')
        case _:
            raise _cannot(record, "trained on", "products, reviews, dialogues or texts")


def _answer(prompt: str, text: str, language: str, user: str, private: bool) -> Example:
    return Example(joined(prompt, text, language), user, private, len(prompt), language)


def _answered(record: Record | Customer, prompts: Prompts, private: bool) -> Iterator[Example]:
    match record:
        case Review(title=str(title)) if title.strip():
            yield _answer(record.text, title, record.language, record.user, private)
        case Review():
            raise DataError(f'Review "{record.id}" has no title to learn from its text. {_SKIP}')
        case Dialogue() if record.turns[-1].role != "user":
            prompt = prompts.render("reply", record.language, reply_variables(record)).flat
            yield _answer(prompt, record.turns[-1].text, record.language, "", private)
        case Dialogue():
            raise DataError(f'Dialogue "{record.id}" does not end with an answer to learn. {_SKIP}')
        case Product():
            yield _description(record, prompts, private)
        case _:
            raise _cannot(record, "taught to answer with", "products, dialogues or reviews with titles")


def _labelled(record: Record | Customer, prompts: Prompts, private: bool) -> Iterator[Example]:
    match record:
        case Review():
            text, label, user = record.text, sentiment_of(record), record.user
        case Text():
            text, label, user = record.text, record.label, record.user
        case Dialogue():
            text, label, user = record.turns[0].text, record.intent, ""
        case _:
            raise _cannot(record, "taught labels with", "reviews, dialogues with intents or labelled texts")
    if not label:
        raise DataError(
            f'{type(record).__name__} "{record.id}" has no label (nor has a review of three stars). {_SKIP}'
        )
    yield Example(text, user, private, language=record.language, label=label)


def _cannot(record: Record | Customer, what: str, better: str) -> DataError:
    kind = type(record).__name__.lower()
    return DataError(f"A model cannot be {what} records of kind {kind}. Give {better}.")


_READERS: Mapping[str, Callable[[Record | Customer, Prompts, bool], Iterator[Example]]] = {
    "causal": _written,
    "masked": _written,
    "seq2seq": _answered,
    "classify": _labelled,
}


def digest_of(examples: Iterable[Example]) -> str:
    """SHA-256 over texts, units, labels and what is learned of each, in order."""
    digest = hashlib.sha256()
    for example in examples:
        learned = f"{example.answer_start} {example.read_only}"
        for part in (example.unit, example.text, example.label, learned):
            coded = part.encode("utf-8", "surrogatepass")
            digest.update(len(coded).to_bytes(8, "big") + coded)
    return f"sha256:{digest.hexdigest()}"
