"""Care for records before training: banned words out, personal data replaced, duplicates out, and a card of it all.

    kept, card = cared_for(read_records("reviews", path), Care(deduplicate=True, scrub=True))
    kept[0].text == "Call me on [PHONE]"          card.dropped == {"exact duplicates": 2820, "near-duplicates": 34}

The order is fixed: a banned word is looked for in the text as it was read, duplicates in the text as it will be trained
on. Duplicates over private records let one record decide about another (`DataCard.touches_privacy`).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from shoplm_audit.data.banned import BannedWords
from shoplm_audit.data.card import EXAMPLES, DataCard, Lengths
from shoplm_audit.data.duplicates import Repeats
from shoplm_audit.data.personal import Kind, find_personal, is_person_name, scrubbed
from shoplm_audit.data.readers import guess_kind, read_records
from shoplm_audit.data.records import (
    Customer,
    Dialogue,
    Exercise,
    Interaction,
    Product,
    Record,
    Review,
    Stereotype,
    Text,
)
from shoplm_audit.data.swapping import coin_of, swapped

__all__ = ["Care", "cared_for", "check"]

_EXACT, _NEAR, _BANNED, _PERSONAL = "exact duplicates", "near-duplicates", "banned words", "personal data"
_FACTS: Mapping[str, Kind] = {"customer": "name", "phone": "phone", "address": "address", "order": "order"}
_Any = TypeVar("_Any", bound=Record | Customer)


@dataclass(frozen=True, slots=True)
class Care:
    """What is done to records before training; by default nothing.

    Args:
        deduplicate: records whose text repeats an earlier record's are dropped.
        near: the Jaccard similarity of shingles from which a text repeats another; 1 is (almost) exact.
        scrub: personal data in texts is replaced by placeholders.
        banned: records that hold one of these words or phrases are dropped (`banned.read_banned` reads a list).
        swap: half of the records, each by a digest of itself, have the genders in them exchanged.

    Raises:
        ConfigError: a value out of its range, named.
    """

    deduplicate: bool = False
    near: float = 0.8
    scrub: bool = False
    banned: tuple[str, ...] = ()
    swap: bool = False

    def __post_init__(self) -> None:
        Repeats(self.near)
        BannedWords(self.banned)

    def __bool__(self) -> bool:
        return self.deduplicate or self.scrub or self.swap or bool(self.banned)


def cared_for(records: Iterable[_Any], care: Care, private: bool = False) -> tuple[list[_Any], DataCard]:
    """The records that are to be trained on, and the card of what was dropped and replaced.

    Of equal or similar records the first stays. Personal data is replaced in what is trained on: titles, descriptions,
    reviews, turns, texts, the records of a customer (who counts as one record); never in attributes, which are full of
    numbers, nor in the user that a record is counted under. Interactions have no text and stay.

    Args:
        records: any records, in the order in which the first of equal ones is the one to keep.
        care: what to do.
        private: whether a private run protects these records. Removing duplicates then makes what one unit
            contributes depend on other units, so that its sensitivity is no longer what the accountant assumes.
    """
    ledger = _Ledger(care, private)
    finder = Repeats(care.near)
    kept: list[_Any] = []
    users: list[str] = []  # before scrubbing, which takes the customer out of a dialogue
    rows = array("Q")
    for record in records:
        if (taken := ledger.take(record)) is not None:
            kept.append(taken)
            users.append(_user(record))
            rows.append(ledger.read)
            if care.deduplicate:
                finder.add(_compared(taken), _language(taken))
    repeats = finder.find(lambda position: _compared(kept[position]))
    ledger.drop_repeats(repeats, finder.exact, rows, users.__getitem__)
    return [record for position, record in enumerate(kept) if position not in repeats], ledger.card()


def check(
    path: Path, kind: str | None = None, mapping: Mapping[str, str] | None = None, care: Care | None = None
) -> DataCard:
    """What care would find in a file: duplicates, personal data, languages, lengths. The file is not held in memory.

    Bad rows are passed over (`readers.check_file` tells them), and rows of the card count good ones only. Duplicates
    are those of the texts as they stand, not as they would be scrubbed.

    Args:
        path: the file; it is read twice where texts look alike.
        kind: of its records; guessed from its columns if left out.
        mapping: from field to column, as `read_records` takes it.
        care: what to look for; duplicates and personal data if left out.

    Raises:
        ConfigError: an unknown kind, or a mapping of a field that the kind does not have.
        DataError: the file cannot be read, its columns fit no kind, or it has no good row.
    """
    care = Care(deduplicate=True, scrub=True) if care is None else care
    kind = kind or guess_kind(path)

    def records() -> Iterator[Record]:
        return read_records(kind, path, mapping=mapping, skip_bad_rows=True, on_bad=lambda message: None)

    ledger = _Ledger(care, private=False, applied=False)
    finder = Repeats(care.near)
    rows = array("Q")
    for record in records():
        if ledger.take(record) is not None:
            rows.append(ledger.read)
            if care.deduplicate:
                finder.add(_compared(record), _language(record))
    suspects = finder.suspects()
    shared = suspects | set(finder.exact) | set(finder.exact.values())
    texts: dict[int, str] = {}
    users: dict[int, str] = {}
    if shared:
        position_at = {row: position for position, row in enumerate(rows) if position in shared}
        for row, record in enumerate(records(), 1):
            if (position := position_at.get(row)) is not None:
                users[position] = _user(record)
                if position in suspects:
                    texts[position] = _compared(record)
    ledger.drop_repeats(finder.find(texts.__getitem__), finder.exact, rows, users.__getitem__)
    return ledger.card()


@dataclass(slots=True)
class _Ledger:
    """What is counted while records pass through."""

    care: Care
    private: bool
    applied: bool = True
    read: int = 0
    with_personal: int = 0
    groups: int = 0
    groups_across_users: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    banned_entries: Counter[int] = field(default_factory=Counter)
    personal: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    lengths: array[int] = field(default_factory=lambda: array("Q"))
    words: BannedWords = field(init=False)

    def __post_init__(self) -> None:
        self.words = BannedWords(self.care.banned)

    def take(self, record: _Any) -> _Any | None:
        """Counts the next record and gives it back as it will be trained on; None if it holds a banned word."""
        self.read += 1
        if language := _language(record):
            self.languages[language] += 1
        text = _compared(record)
        self.lengths.append(len(text))
        whole = f"{record.title}\n{text}" if isinstance(record, Review) else text
        if self.care.banned and (entry := self.words.first(whole)) is not None:
            self.banned_entries[entry + 1] += 1
            self.drop(_BANNED, self.read)
            return None
        # A product is of nobody: "for men" is a size there.
        if self.care.swap and not isinstance(record, Product) and coin_of(text):
            record = _changed(record, lambda part: swapped(part, language))
        return self._scrubbed(record) if self.care.scrub else record

    def drop(self, reason: str, row: int) -> None:
        self.dropped[reason] += 1
        self._name(reason, row)

    def drop_repeats(
        self, repeats: Mapping[int, int], exact: Container[int], rows: array[int], user_at: Callable[[int], str]
    ) -> None:
        """Counts the repeats among the records that passed, by position; `rows` tells the row of each position."""
        groups: dict[int, set[str]] = {}
        for position, first in sorted(repeats.items()):
            groups.setdefault(first, {user_at(first)}).add(user_at(position))
            self.drop(_EXACT if position in exact else _NEAR, rows[position])
        self.groups = len(groups)
        self.groups_across_users = sum(len(users - {""}) > 1 for users in groups.values())

    def card(self) -> DataCard:
        return DataCard(
            applied=self.applied,
            settings={
                "deduplicate": self.care.deduplicate,
                "near": self.care.near,
                "scrub": self.care.scrub,
                "banned": len(self.care.banned),
                "swap": self.care.swap,
            },
            read=self.read,
            kept=self.read - self.dropped.total(),
            dropped={reason: self.dropped[reason] for reason in (_BANNED, _EXACT, _NEAR) if self.dropped[reason]},
            rows={reason: sorted(rows) for reason, rows in self.rows.items()},
            banned_entries=dict(sorted(self.banned_entries.items())),
            personal=dict(sorted(self.personal.items())),
            with_personal=self.with_personal,
            duplicate_groups=self.groups,
            duplicates_across_users=self.groups_across_users,
            languages=dict(sorted(self.languages.items())),
            lengths=_lengths(self.lengths),
            private=self.private,
        )

    def _scrubbed(self, record: _Any) -> _Any:
        known = _known(record)
        language = _language(record)
        before = self.personal.total()

        def change(text: str) -> str:
            found = find_personal(text, language, known)
            self.personal.update(each.kind for each in found)
            return scrubbed(text, found)

        changed = _changed(record, change)
        if self.personal.total() > before:
            self.with_personal += 1
            self._name(_PERSONAL, self.read)
        return changed

    def _name(self, reason: str, row: int) -> None:
        if len(self.rows[reason]) < EXAMPLES:
            self.rows[reason].append(row)


def _changed(record: _Any, change: Callable[[str], str]) -> _Any:
    """The record with its texts changed."""
    match record:
        case Product():
            return replace(record, title=change(record.title), description=change(record.description))
        case Review():
            return replace(record, title=change(record.title), text=change(record.text))
        case Text():
            return replace(record, text=change(record.text))
        case Dialogue():
            turns = tuple(replace(turn, text=change(turn.text)) for turn in record.turns)
            # Prompts greet the customer by this fact, so that the name would come back with it.
            named = {"customer": "[NAME]"} if record.facts.get("customer") else {}
            return replace(record, turns=turns, facts={**record.facts, **named})
        case Customer():
            return replace(record, records=tuple(map(change, record.records)))
        case _:
            return record


def _compared(record: Record | Customer) -> str:
    """The text by which a record is a duplicate of another; "" where it has none."""
    match record:
        case Product():
            return "\n".join([record.title, *record.attributes.values(), record.description])
        case Review() | Text():
            return record.text
        case Dialogue():
            return "\n".join(turn.text for turn in record.turns)
        case Customer():
            return "\n".join(record.records)
        case Exercise():
            return record.prompt
        case Stereotype():
            return "\n".join([record.context, *record.options.values()])
        case Interaction():
            return ""


def _known(record: Record | Customer) -> dict[str, Kind]:
    """The personal data that a record carries in fields of its own."""
    match record:
        case Customer():
            orders: dict[str, Kind] = dict.fromkeys(record.orders, "order")
            return {record.name: "name", record.address: "address", record.phone: "phone", **orders}
        case Dialogue():
            return {value: kind for key, kind in _FACTS.items() if (value := record.facts.get(key, ""))}
        case Review(user=user) | Text(user=user) if is_person_name(user):
            return {user: "name"}
        case _:
            return {}


def _user(record: Record | Customer) -> str:
    match record:
        case Review() | Text() | Interaction():
            return record.user
        case Customer():
            return record.id
        case Dialogue():
            return record.facts.get("customer", "")
        case Product() | Exercise() | Stereotype():
            return ""


def _language(record: Record | Customer) -> str:
    return "" if isinstance(record, Interaction) else record.language


def _lengths(lengths: array[int]) -> Lengths:
    if not lengths:
        return Lengths()
    ordered = sorted(lengths)
    least, median, long, most = (
        ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0, 0.5, 0.95, 1)
    )
    return Lengths(least, median, long, most)
