"""A record and a text as words: what the record holds, and what of a text it does not.

Seen("Made in May 2019 by Dora.", record_of((("year", "2014"),), ""), {}).strange -> [2, 3, 5]  # May, 2019, Dora
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise, zip_longest
from typing import Literal, TypeAlias

from shoplm_audit.scoring.quantities import quantities_in
from shoplm_audit.scoring.words import Word, alike, words

__all__ = ["HAN", "Form", "Record", "Seen", "form_of", "parts_of", "record_of", "sort_of", "spelled", "unit_of"]

_MOST = 0.6  # of a value's words that a text says, from which on it says the value

HAN = re.compile("[\u3400-\u9fff]")
_PARTS = re.compile(r"\s*[;；、|\n]\s*")
_SMALL = frozenset(re.findall(r"\w+", "the a an of in on and or is at for to by de la le el da di del von van st"))
_BOOLEAN = frozenset(("yes", "no", "true", "false", "是", "否", "有", "无", "支持", "不支持"))  # no words of a text

Form: TypeAlias = tuple[str, ...]


@lru_cache(maxsize=16384)
def parts_of(value: str) -> tuple[str, ...]:
    """The values in one string: 复古、简约 are two."""
    return tuple(part for part in dict.fromkeys(_PARTS.split(value.strip())) if words(part))


@lru_cache(maxsize=16384)
def form_of(value: str) -> Form:
    """A value as the forms of its words."""
    return tuple(word.form for word in words(value))


@lru_cache(maxsize=16384)
def _content(value: str) -> Form:
    """The words of a value that count: without small words and what stands in brackets."""
    forms = form_of(re.sub(r"\(.*?\)", "", value)) or form_of(value)
    return tuple(form for form in forms if form not in _SMALL) or forms


@lru_cache(maxsize=16384)
def _initials(value: str) -> frozenset[str]:
    """For "Historic districts in the United States" us and usa."""
    runs = re.findall(r"[A-Z]\w*(?:[ .-]+[A-Z]\w*)+", value)
    short = ("".join(re.findall(r"\b[A-Z]", run)).lower() for run in runs)
    return frozenset(form for each in short for form in ((each, "usa") if each == "us" else (each,)))


@lru_cache(maxsize=16384)
def sort_of(value: str) -> Literal["number", "name", "word"]:
    """What could stand in the value's place."""
    found = words(value)
    if any(word.number for word in found):
        return "number"
    return "name" if any(value[word.start].isupper() for word in found) else "word"


@lru_cache(maxsize=4096)
def _units(text: str) -> Mapping[int, str]:
    """The unit of each number of a text, by the number's place among the words; "" where it has none."""
    known = {place: one.unit for one in quantities_in(text) if one.unit for place in range(one.start, one.end)}
    found = words(text)
    units = {}
    for place, (word, after) in enumerate(zip_longest(found, found[1:])):
        if word.number:
            beside = after and not text[word.end : after.start].strip(" (-")
            model = re.match(r"[A-Za-z0-9]", text[max(0, word.start - 1) : word.start])  # the 12 of V12 engine
            counted = beside and not model and not (after.number or after.name or after.form in _SMALL)
            units[place] = known.get(word.start) or (after.form if counted else "")
    return units


@lru_cache(maxsize=16384)
def unit_of(value: str) -> str:
    """The unit of a value's first number: year of 5年, kg of 1.2 kg, 层 of 3层; "" of 2014 and V12 engine."""
    return next(iter(_units(value).values()), "")


@lru_cache(maxsize=4096)
def spelled(attribute: str) -> Form:
    """runwayLength_(in_metres) is runway length."""
    bare = re.sub(r"\(.*?\)", "", attribute).replace("_", " ")
    return form_of(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare))


class Record:
    """A record as its words: what a text may say without adding anything."""

    def __init__(self, facts: Mapping[str, str], title: str) -> None:
        self.slots = {
            name: parts
            for name, value in facts.items()
            if name != "title" and value.strip().lower() not in _BOOLEAN and (parts := parts_of(value))
        }
        self._forms = set(form_of(title))
        for name, parts in self.slots.items():
            self._forms.update(spelled(name))
            for part in parts:
                self._forms.update(form_of(part), _initials(part))
        self._long = frozenset(form for form in self._forms if len(form) > 3)
        values = [title, *(part for parts in self.slots.values() for part in parts)]
        self._joined = "\n".join("".join(form_of(value)) for value in values)

    def states(self, form: Form) -> bool:
        """Whether a value of the catalogue is made of nothing but this record's words."""
        return self._forms.issuperset(form) if form[0].isascii() else "".join(form) in self._joined

    def holds(self, word: Word) -> bool:
        """Whether the record has this word in some spelling."""
        if word.form in self._forms or (len(word.form) < 4 and self._forms.issuperset(word.form)):
            return True  # J.V. of J. V. Jones
        return not word.number and any(alike(word.form, form) for form in self._long)


@lru_cache(maxsize=512)
def record_of(facts: tuple[tuple[str, str], ...], title: str) -> Record:
    """The record of these attributes and values, read once."""
    return Record(dict(facts), title)


class Seen:
    """A text as its words.

    `new` are the catalogue's values in it that the record does not have (first word, one past the last, form,
    attributes), `strange` the places of names and numbers that the record does not hold.
    """

    def __init__(self, text: str, record: Record, index: Mapping[str, Sequence[tuple[Form, frozenset[str]]]]) -> None:
        self.text = text
        self.words = words(text)
        self.forms = [word.form for word in self.words]
        self._set = frozenset(self.forms)
        self._long = frozenset(form for form in self._set if len(form) > 3)
        gaps = ("" if one.end == two.start else "\n" for one, two in pairwise(self.words))
        self._joined = "".join(chain.from_iterable(zip_longest(self.forms, gaps, fillvalue="")))
        self.new: list[tuple[int, int, Form, frozenset[str]]] = []
        place = 0
        while place < len(self.forms):
            for form, attributes in index.get(self.forms[place], ()):
                if self.has(form, place):
                    if not record.states(form):
                        self.new.append((place, place + len(form), form, attributes))
                    place += len(form)
                    break
            else:
                place += 1
        self.strange = [
            place
            for place, word in enumerate(self.words)
            if (word.number or (word.name and len(word.form) > 1)) and not record.holds(word)
        ]

    def has(self, form: Form, place: int) -> bool:
        """Whether a form stands there; Han characters side by side, other words also across a sign."""
        last = place + len(form) - 1
        if tuple(self.forms[place : last + 1]) != form:
            return False
        return form[0].isascii() or self.words[last].end - self.words[place].start == len("".join(form))

    def places(self, form: Form) -> list[int]:
        """Where a form stands, by its first word."""
        return [place for place, first in enumerate(self.forms) if first == form[0] and self.has(form, place)]

    def sort(self, place: int) -> Literal["number", "name"]:
        """What a strange word is."""
        return "number" if self.words[place].number else "name"

    def unit(self, place: int) -> str:
        """The unit of the number there, "" where it has none."""
        return _units(self.text).get(place, "")

    def says(self, value: str) -> bool:
        """Whether most of the value's words are there, its year or all its numbers, or its initials."""
        content = _content(value)
        numbers = [form for form in content if form[0].isdigit()]
        if numbers:
            return self._set.issuperset([form for form in numbers if len(form) == 4] or numbers)
        if any(HAN.match(form) for form in content):  # v字领 says v领, 牛仔 says 牛仔布
            body = [re.escape(form) for form in content]
            shorter = ["".join(body[:-1])] if len(body) > 2 else []
            return re.search("|".join([".?".join(body), *shorter]), self._joined) is not None
        hits = sum(form in self._set or any(alike(form, each) for each in self._long) for form in content)
        enough = hits >= _MOST * len(content) or (len(content) == 2 and hits == 1 and sort_of(value) == "name")
        return enough or not self._set.isdisjoint(_initials(value))
