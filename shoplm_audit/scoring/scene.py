"""A text beside the record of its product: where values stand in it, and how false words are put into it.

places_of("500 ml", "Holds 500ml of tea.") -> [(6, 11)]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from shoplm_audit.scoring.error_words import CLAUSE, DENIED, SENTENCE
from shoplm_audit.scoring.quantities import agrees, level, quantities_in
from shoplm_audit.scoring.vocabulary import LEXICON

__all__ = ["LONGEST", "Facts", "Injected", "Scene", "Stated", "excludes", "parts_of", "places_of", "spelled"]

Facts: TypeAlias = Mapping[str, str]
_T = TypeVar("_T")
LONGEST = 60  # characters; a longer value is a sentence, not a value
_PARTS = re.compile(r"\s*[,;，、；|]\s*(?!\d)")


@dataclass(frozen=True, slots=True)
class Injected:
    """A text with one error of known kind and place.

    Attributes:
        text: the text with the error.
        kind: one of `ERRORS`.
        start, end: the characters of the new words in `text`; equal for an omission, where words are gone.
        was: the words that stood there; "" for a statement that was added.
        now: the new words, `text[start:end]`.
        attribute: the field of the record that now says otherwise; "" where the record is silent on it (an added
            certificate), so that the checker can call it unsupported and no more.
    """

    text: str
    kind: str
    start: int
    end: int
    was: str
    now: str
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Stated:
    """A value of the record where the text states it."""

    attribute: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What an error is made in: a text, the record it is faithful to, other products' records, and the draws."""

    text: str
    facts: Facts
    language: str
    title: str
    others: list[Facts]
    rng: np.random.Generator

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """The items in random order."""
        return [items[int(i)] for i in self.rng.permutation(len(items))]

    def stated(self) -> list[Stated]:
        """Every place where a value of the record stands, in random order."""
        return self.shuffled(
            [
                Stated(name, value, start, end)
                for name, whole in self.facts.items()
                for value in ([whole] if len(whole) <= LONGEST and places_of(whole, self.text) else parts_of(whole))
                for start, end in places_of(value, self.text)
                if not DENIED.search(self.text[max(0, start - 24) : start])
            ]
        )

    def clauses(self) -> list[tuple[int, int]]:
        """What parts the clauses of the text, and its two ends."""
        between = (match.span() for match in CLAUSE[self.language].finditer(self.text))
        return [(0, 0), *between, (len(self.text), len(self.text))]

    def holds(self, words: str) -> bool:
        """Whether the text, the title or the record says these words anywhere."""
        said = "\n".join([self.text, self.title, *self.facts.values()])
        return bool(places_of(words, said)) or level(words).lower() in level(said).lower()

    def replaced(self, kind: str, start: int, end: int, now: str, attribute: str) -> Injected:
        """The text with other words from start to end, with a capital where the old ones had one."""
        was = self.text[start:end]
        if was[:1].isupper() and now[:1].islower() and not was.isupper():
            now = now[:1].upper() + now[1:]
        return Injected(self.text[:start] + now + self.text[end:], kind, start, start + len(now), was, now, attribute)

    def added(self, kind: str, sentence: str, attribute: str) -> Injected:
        """A sentence put at the end of one of the text's."""
        ends = [match.end() for match in SENTENCE[self.language].finditer(self.text)] or [len(self.text.rstrip())]
        place = int(self.rng.choice(ends))
        before = " " if self.language == "en" and self.text[:place].strip() else ""
        if before and place == len(self.text.rstrip()) and self.text[place - 1] not in ".!?\n":
            before = ". "
        elif self.language == "zh" and place and self.text[place - 1] not in "。！？!?\n":
            before = "。"
        text = self.text[:place] + before + sentence + self.text[place:]
        return Injected(text, kind, place + len(before), place + len(before) + len(sentence), "", sentence, attribute)

    def is_false(self, injected: Injected) -> bool:
        """Whether no number of the new words fits one that the record or the rest of the text has."""
        known = [q for value in self.facts.values() for q in quantities_in(value)] + list(quantities_in(self.text))
        new = [q for q in quantities_in(injected.text) if q.start < injected.end and q.end > injected.start]
        return not any(agrees(one, other) for one in new for other in known if other.dimension == one.dimension)


def parts_of(value: str) -> list[str]:
    """The values in one string: "cotton, linen", 复古、简约."""
    plain = value.replace("_", " ").strip()
    return [part for part in _PARTS.split(plain) if part and len(part) <= LONGEST]


def places_of(value: str, text: str) -> list[tuple[int, int]]:
    """Where a value stands in a text as a word of its own, letter case, width and blanks aside."""
    words = level(value).split()
    if not words or (len(words) == 1 and len(words[0]) == 1 and not words[0].isascii()):
        return []  # one Han character is a part of too many words
    body = r"[\s_-]*".join(re.escape(word) for word in words)
    body = re.sub(r"(?<=\d)(?=[A-Za-zµ°])", " ?", body)  # 500ml, 500 ml
    first, last = words[0][0], words[-1][-1]
    before = r"(?<![A-Za-z0-9.])" if first.isascii() and first.isalnum() else ""
    after = r"(?![A-Za-z0-9]|\.\d)" if last.isascii() and last.isalnum() else ""
    return [match.span() for match in re.finditer(before + body + after, level(text), re.IGNORECASE)]


def excludes(one: str, other: str) -> bool:
    """Whether a value excludes another of its attribute, by colour and material tables or, unknown there, by words."""
    first, second = level(one).lower(), level(other).lower()
    if first in second or second in first:
        return False
    for words in LEXICON.values():
        left, right = ([words.concept[m[0]] for m in words.pattern.finditer(s)] for s in (first, second))
        if left and right:
            return all(words.excludes(a, b) for a in left for b in right)
    old, new = set(re.findall(r"\w+", first)), set(re.findall(r"\w+", second))
    return not old & new or any(word[0].isdigit() for word in old ^ new)


def spelled(attribute: str) -> str:
    """The name of a field as one says it: runwayLength_(in_metres) is runway length."""
    plain = re.sub(r"\(.*?\)", "", attribute.replace("_", " "))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).strip().lower()
