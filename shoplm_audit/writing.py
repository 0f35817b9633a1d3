"""What a shop has written by a model: records become prompts, and answers become rows that say how they came about.

rows_of(model, [Subject("p17", "en", Prompt("Product: Alder kettle ..."))], Order(Sampling()))[0]
-> {"id": "p17", "sample": 0, "prompt": "...", "text": "...", "ai_generated": True, "watermark": None,
    "label": "AI-generated", "AIGC": {"Label": "1", ...}, "model": "..."}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from shoplm_audit.data.banned import BannedWords
from shoplm_audit.data.cells import language_of
from shoplm_audit.data.labels import EXPLICIT, aigc_of, label_faults
from shoplm_audit.data.personal import find_personal
from shoplm_audit.data.public_texts import (
    description_variables,
    moderation_variables,
    recommendation_variables,
    reply_variables,
    review_variables,
    sentiment_variables,
    summary_variables,
)
from shoplm_audit.data.records import Dialogue, Interaction, Product, Record, Review, Text
from shoplm_audit.data.sought import Sought
from shoplm_audit.errors import ConfigError
from shoplm_audit.models.decoding import folded, holding
from shoplm_audit.models.required import required_of, stated
from shoplm_audit.prompts import Prompts
from shoplm_audit.scoring.claims import check_claims
from shoplm_audit.types import Generate, Model, Prompt, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "KINDS",
    "Order",
    "Row",
    "Subject",
    "check_represented",
    "missing_attributes",
    "rows_of",
    "sampling_of",
    "subjects",
]

Row: TypeAlias = dict[str, object]

# Which records each task can be asked of.
KINDS: Mapping[str, tuple[str, ...]] = {
    "advertisement": ("products",),
    "description": ("products",),
    "moderation": ("reviews", "texts"),
    "recommendation": ("interactions",),
    "reply": ("dialogues",),
    "review": ("products", "reviews"),
    "sentiment": ("reviews", "texts"),
    "summary": ("reviews",),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What one prompt is about; `product` is there where a text has to be held against its record."""

    id: str
    language: str
    prompt: Prompt
    product: Product | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """How texts are wanted.

    Args:
        sampling: how each is drawn; its banned phrases are looked for again when the text is done.
        raw: skips the model's chat template.
        attributes: texts of products have to state the value of each attribute.
        unwanted: further words whose texts are withheld.
        keep_flagged: leaves flagged texts in their rows.
        unmarked: leaves the label off; the watermark is the sampling's, or the model's own.
    """

    sampling: Sampling
    raw: bool = False
    attributes: bool = False
    unwanted: tuple[str, ...] = ()
    keep_flagged: bool = False
    unmarked: bool = False


# Prompts ------------------------------------------------------------------------------------------


def subjects(task: str, kind: str, records: Iterable[Record], prompts: Prompts) -> Iterator[Subject]:
    """What a task is asked about: each record, or each product or customer where records belong together.

    Raises:
        ConfigError: no such task, or one that cannot be asked of this kind of record; at the first one taken.
    """
    if task not in KINDS:
        raise ConfigError(f'--task "{task}": there is no such task. Tasks: {", ".join(KINDS)}.')
    if kind not in KINDS[task]:
        raise ConfigError(f'--task "{task}" cannot be asked of {kind}: it takes {" or ".join(KINDS[task])}.')
    grouped = {"summary": _summaries, "recommendation": _recommendations}
    found = grouped[task](records) if task in grouped else (_single(task, record) for record in records)
    for key, language, variables, product in found:
        yield Subject(key, language, prompts.render(task, language, variables), product)


_Found: TypeAlias = tuple[str, str, dict[str, Any], Product | None]


def _single(task: str, record: Record) -> _Found:
    match task, record:
        case "description" | "advertisement", Product():
            return record.id, record.language, description_variables(record), record
        case "review", Product():
            variables = {"title": record.title, "category": record.category, "stars": "5"}
            return record.id, record.language, variables, None
        case "review", Review():
            return record.id, record.language, review_variables(record), None
        case "sentiment", Review() | Text():
            return record.id, record.language, sentiment_variables(record), None
        case "moderation", Review() | Text():
            return record.id, record.language, moderation_variables(record), None
        case "reply", Dialogue():
            return record.id, record.language, reply_variables(record), None
    raise TypeError(f"{task} of a {type(record).__name__}")


def _summaries(records: Iterable[Record]) -> Iterator[_Found]:
    products: dict[str, list[Review]] = {}
    for record in records:
        if isinstance(record, Review):
            products.setdefault(record.product, []).append(record)
    for product, reviews in products.items():
        yield product, reviews[0].language, summary_variables(product, reviews), None


def _recommendations(records: Iterable[Record]) -> Iterator[_Found]:
    customers: dict[str, list[Interaction]] = {}
    for record in records:
        if isinstance(record, Interaction):
            customers.setdefault(record.user, []).append(record)
    for customer, bought in customers.items():
        history = [one.product for one in sorted(bought, key=lambda one: one.time)]
        products = [Product(name, name, "", {}) for name in history]
        yield customer, language_of(" ".join(history)), recommendation_variables(customer, products), None


def check_represented(tokenizer: PreTrainedTokenizerFast, subject: Subject) -> None:
    """Tells when a tokenizer loses part of a prompt; white space, letter case and the form of characters may change.

    Raises:
        ConfigError: the first character that is lost.
    """
    text = subject.prompt.flat
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    unknown = [
        begin
        for token, (begin, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        if token == tokenizer.unk_token_id and end > begin
    ]
    back = "".join(folded(tokenizer.decode(encoded["input_ids"], clean_up_tokenization_spaces=False)).split())
    # An unknown token may be the end-of-text token, or stand for a text that names it.
    if "".join(folded(text).split()) == back:
        return
    place = unknown[0] if unknown else _first_difference(text, back)
    where = f' of "{subject.id}"' if subject.id else ""
    raise ConfigError(
        f'the tokenizer cannot represent "{text[place]}" (U+{ord(text[place]):04X}, character {place + 1} of the '
        f"prompt{where}): the model would read another text. Leave it out, or use a model that knows it."
    )


def _first_difference(text: str, back: str) -> int:
    for place, character in enumerate(text):
        if not back.startswith("".join(folded(text[: place + 1]).split())) and not character.isspace():
            return place
    return len(text) - 1


# Texts --------------------------------------------------------------------------------------------


def missing_attributes(text: str, product: Product) -> list[str]:
    """The attributes of a product that a text does not state: by its claims, or by the value's own words.

    >>> missing_attributes("A navy kettle.", Product("p1", "Alder", "", {"colour": "navy", "weight": "1.2 kg"}))
    ['weight']
    """
    return _held_against(text, product)[0]


def _held_against(text: str, product: Product) -> tuple[list[str], list[str]]:
    """The attributes that a text does not state, and those that it states wrongly, rightly beside it or not."""
    ledger = check_claims(text, product.attributes, language=product.language, title=product.title)
    supported = {claim.attribute for claim in ledger.claims if claim.verdict == "supported"}
    contradicted = {claim.attribute for claim in ledger.claims if claim.verdict == "contradicted"}
    missing = [
        name
        for name, value in product.attributes.items()
        if name not in supported and (name in contradicted or not stated(text, [str(value)]))
    ]
    return missing, [name for name in product.attributes if name in contradicted]


def rows_of(model: Model, block: Sequence[Subject], order: Order) -> list[Row]:
    """The rows of a block of subjects, in order: `sampling.n` for each.

    Which requests go together is a function of the block alone, so the same block gives the same rows.

    Raises:
        Unsupported: the model cannot draw its texts as they are wanted.
    """
    asked = [Generate(subject.prompt, sampling_of(subject, order), raw=order.raw) for subject in block]
    places = [(subject, sample) for subject in block for sample in range(order.sampling.n)]
    texts = zip(places, model.generate(asked), strict=True)
    mark = order.sampling.mark or getattr(model, "watermark", None)  # what a checkpoint writes unasked
    about = model.name, mark.kind if mark else None
    return [_row(subject, sample, text, about, order) for (subject, sample), text in texts]


def sampling_of(subject: Subject, order: Order) -> Sampling:
    """How the texts of a subject are drawn.

    Raises:
        ConfigError: a value that its text has to state holds a banned phrase.
    """
    if not order.attributes or subject.product is None:
        return order.sampling
    required = required_of(subject.product.attributes)
    for value in required:
        if banned := holding(value, order.sampling.banned):
            raise ConfigError(
                f'--ban "{banned[0]}": "{subject.id}" has the value "{value}", which --require-attributes wants in its '
                "text. Leave one of them out."
            )
    return replace(order.sampling, required=required)


def _row(subject: Subject, sample: int, text: str, about: tuple[str, str | None], order: Order) -> Row:
    model, mark = about
    row: Row = {"id": subject.id, "sample": sample, "prompt": subject.prompt.flat, "text": text}
    if not order.unmarked:
        row |= {"ai_generated": True, "watermark": mark, "label": EXPLICIT.get(subject.language, EXPLICIT["en"])}
        told = f"{model}\0{subject.id}\0{sample}\0{subject.prompt.flat}\0{text}"
        number = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        row["AIGC"] = aigc_of(model or "unnamed", number)
        if faults := label_faults(row):
            raise RuntimeError(f'the row of "{subject.id}" is not labelled as it has to be: {"; ".join(faults)}')
    row["model"] = model
    if order.attributes and subject.product is not None:
        missing, contradicted = _held_against(text, subject.product)
        row |= {"missing_attributes": missing, "contradicted_attributes": contradicted}
    if found := _flagged(subject, text, order):
        row |= {"moderation": found} | ({} if order.keep_flagged else {"text": None})
    return row


def _flagged(subject: Subject, text: str, order: Order) -> dict[str, list[str]]:
    """What moderation finds in a text: unwanted words, and the kinds of personal data that its prompt did not name."""
    asked = subject.prompt.flat
    words = holding(text, order.sampling.banned)
    if order.unwanted and (place := BannedWords(order.unwanted).first(text)) is not None:
        words.append(order.unwanted[place])
    personal = find_personal(text, subject.language)
    kinds: list[str] = sorted(
        {found.kind for found in personal if not Sought([(text[found.start : found.end], found.kind)]).find(asked)}
    )
    return {name: found for name, found in (("words", words), ("personal_data", kinds)) if found}
