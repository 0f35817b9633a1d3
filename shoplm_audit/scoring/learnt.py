"""A schema learnt from a catalogue: what its attributes can be, and which texts put another value in its place.

    Learnt([{"neck": "round neck"}, {"neck": "v-neck"}]).read("A shirt with a round neck.", {"neck": "v-neck"}).findings
    -> (SchemaFinding(15, 25, "neck", "round neck", "contradicted", 'record says neck "v-neck"', "round neck"),)

A text contradicts an attribute where it does not say the record's value and says another of the attribute's values;
where it says such a value beside the record's, and the attribute has one value as a rule; where it gives the
attribute's name with another value ("its neck is round"); and where it denies the record's value. What people wrote of
products with records teaches the exceptions: other words for a value, and values that are said beside the record's own.
Another value without the own one beside it teaches nothing, since it may be an error of theirs. Where it shows that
people hardly ever leave a value out and write another name or number, one that the record does not hold at all
contradicts too. A number stands in the place of a measure only with the same unit, or beside the attribute's name:
"100% waterproof" says nothing of a warranty of 5年. All else that a text says and the record does not is unsupported at
most.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations

from shoplm_audit.scoring.seen import HAN, Form, Record, Seen, form_of, record_of, sort_of, spelled, unit_of
from shoplm_audit.scoring.slots import Reading, SchemaFinding, Verdict
from shoplm_audit.scoring.words import alike

__all__ = ["Learnt"]

_SEVERAL = 0.15  # an attribute with several values in more of its records than this has no one value
_KIN = 0.1  # of an attribute's values that another attribute has too, from which on the two are of one kind
_MANY = 50  # attributes that share a value, from which on it says nothing of their kind
_SHORT = 2  # letters of a value that is a part of too much
_SEEN, _LOOSE = 5, 0.1  # texts, and the share of them that may say strange words instead of a value
_TAUGHT = 2  # texts from which on a word is another word for a value, or a value harmless beside others
_BESIDE = 4  # words between a number and the name of its attribute
_CLAUSE_CHARACTERS = 6  # of a Chinese value that stands after its attribute's name and 为

_LINKS = frozenset(re.findall(r"\w+", "the a an of its 的"))
_COPULAS = frozenset(re.findall(r"\w+", "is are was were has have had 为 是 采 用"))
_NOT = re.compile(
    r"\b(?:not|cannot|never|without|(?:is|are|was|were|do|does|did|has|have|had|ca|could|wo|would)n't)\b(?! only\b)"
    r"|(?:不|未|没有?|并非)再?(?:是|为|含|采用|具有|享有|支持|使用|获得|带有|选用|来自|具备|提供|适合|由|有|达|到|重|通过)|没有|并非",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.!?;:,](?=\s|$)|[。！？；，,;\n]| (?:and|but|while|although) ")


class Learnt:
    """What the values of a catalogue, and texts that are true of its products, have taught.

    Args:
        records: attribute and value of each product; several values in one string are parted by ; 、 or |.
        texts: what people wrote of each of these products, "" where nothing; may be shorter.
        titles: of each of these products; may be shorter.
    """

    def __init__(
        self, records: Sequence[Mapping[str, str]], texts: Sequence[str] = (), titles: Sequence[str] = ()
    ) -> None:
        values: dict[str, set[Form]] = defaultdict(set)
        held, several = Counter[str](), Counter[str]()
        self._together: set[tuple[str, Form, Form]] = set()
        for record in records:
            for attribute, parts in record_of(tuple(record.items()), "").slots.items():
                held[attribute] += 1
                several[attribute] += len(parts) > 1
                values[attribute].update(map(form_of, parts))
                pairs = combinations(sorted(map(form_of, parts)), 2)
                self._together.update((attribute, one, two) for one, two in pairs)
        self.attributes = tuple(held)
        self._single = frozenset(name for name in held if several[name] <= _SEVERAL * held[name])
        attributes_of: dict[Form, set[str]] = defaultdict(set)
        for attribute, forms in values.items():
            for form in forms:
                if (len("".join(form)) > _SHORT and not all(map(str.isdigit, form))) or (
                    len(form) > 1 and HAN.search("".join(form))
                ):
                    attributes_of[form].add(attribute)
        shared = Counter(
            pair for names in attributes_of.values() if len(names) <= _MANY for pair in permutations(names, 2)
        )
        kin = {name: {name} for name in held}
        for (one, two), count in shared.items():
            if count >= _KIN * len(values[one]):
                kin[one].add(two)
        self._kin = {name: frozenset(names) for name, names in kin.items()}
        index: dict[str, list[tuple[Form, frozenset[str]]]] = defaultdict(list)
        for form in sorted(attributes_of, key=lambda each: (-len(each), each)):
            index[form[0]].append((form, frozenset(attributes_of[form])))
        self._index = dict(index)
        self._other_words: dict[str, Counter[str]] = defaultdict(Counter)
        self._harmless: Counter[tuple[str, Form]] = Counter()
        self._words = {name: frozenset(word for form in forms for word in form) for name, forms in values.items()}
        self._common: Counter[Form] = Counter()
        padded = [*titles, *([""] * len(records))]
        self._learn(
            [
                (text, record_of(tuple(record.items()), title))
                for record, text, title in zip(records, texts, padded, strict=False)
                if text.strip()
            ]
        )

    def _learn(self, examples: Sequence[tuple[str, Record]]) -> None:
        for text, record in examples:
            seen = Seen(text, record, self._index)
            self._common.update({form for _, _, form, _ in seen.new})
            for attribute, parts in record.slots.items():
                missing = [part for part in parts if not seen.says(part)]
                for part in missing:
                    like = {seen.forms[place] for place in seen.strange if seen.sort(place) == sort_of(part)}
                    self._other_words[part].update(like - self._words[attribute])  # those are other products' values
                if not missing:
                    beside = {form for _, _, form, attributes in seen.new if self._kin[attribute] & attributes}
                    self._harmless.update((attribute, form) for form in beside)
        told, loose = Counter[str](), Counter[str]()
        for text, record in examples:  # again, with the other words known
            seen = Seen(text, record, self._index)
            for attribute, parts in record.slots.items():
                missing = [part for part in parts if not self._says(seen, part)]
                told[attribute] += 1
                loose[attribute] += any(
                    not self._words[attribute].issuperset(seen.forms[first:last])
                    for first, last in _runs(seen, missing)
                )
        self._loose = frozenset(name for name in told if told[name] >= _SEEN and loose[name] > _LOOSE * told[name])
        self._exact = len(examples) >= _SEEN and loose.total() <= _LOOSE * told.total()

    def read(self, text: str, facts: Mapping[str, str], title: str = "") -> Reading:
        """What the text states, held against the record; words of the title are no other value of anything."""
        record = record_of(tuple(facts.items()), title)
        seen = Seen(text, record, self._index)
        stated: dict[str, list[str]] = defaultdict(list)
        against: dict[tuple[int, int], str] = {}
        beside: dict[tuple[int, int], tuple[str, Verdict]] = {}
        denied: dict[tuple[int, int], str] = {}
        for attribute, parts in record.slots.items():
            stated[attribute] += [part for part in parts if self._says(seen, part)]
            for form in map(form_of, parts):
                spans = (_span(seen, place, place + len(form)) for place in seen.places(form))
                beside |= dict.fromkeys(spans, (attribute, "supported"))
            others = list(self._others(seen, attribute, parts))
            against |= dict.fromkeys(others, attribute)
            stated[attribute] += [text[start:end] for start, end in others]
            denied |= dict.fromkeys(_denied(seen, parts), attribute)
        for (start, end), attribute in denied.items():
            if not any(begin == start and stop < end for begin, stop in denied):  # it denies what comes next
                against[start, end] = attribute
        for first, last, form, attributes in seen.new:
            span = _span(seen, first, last)
            if len(attributes) == 1 and not attributes & record.slots.keys() and self._common[form] < _TAUGHT:
                (attribute,) = attributes
                beside.setdefault(span, (attribute, "unsupported"))
                stated[attribute].append(text[span[0] : span[1]])
        settled: dict[tuple[int, int], tuple[str, Verdict]] = {
            span: told
            for span, told in beside.items()
            if not any(span[0] < end and start < span[1] for start, end in against)
        }
        settled |= {span: (attribute, "contradicted") for span, attribute in against.items()}
        findings = []
        for (start, end), (attribute, verdict) in sorted(settled.items()):
            known = "; ".join(record.slots.get(attribute, ()))
            why = f'record says {attribute} "{known}"' if known else f"record has no {attribute}"
            findings.append(SchemaFinding(start, end, attribute, text[start:end], verdict, why, text[start:end]))
        return Reading(record.slots, {name: tuple(values) for name, values in stated.items()}, tuple(findings))

    def _says(self, seen: Seen, part: str) -> bool:
        taught = self._other_words.get(part)
        return seen.says(part) or (
            taught is not None and any(taught[seen.forms[place]] >= _TAUGHT for place in seen.strange)
        )

    def _others(self, seen: Seen, attribute: str, parts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Where the text gives the attribute another value than one of these."""
        missing = [part for part in parts if not self._says(seen, part)]
        kin = self._kin.get(attribute, frozenset())
        rivals = [
            (first, last)
            for first, last, form, attributes in seen.new
            if kin & attributes
            and self._harmless[attribute, form] < _TAUGHT
            and (missing or not any((attribute, *sorted((form, form_of(part)))) in self._together for part in parts))
            and _measures(seen, first, last, attribute, missing or parts)
        ]
        found: list[tuple[int, int]] = []
        if len(missing) == len(parts) or (missing and attribute in self._single):
            found = rivals[:1]
            if not found and self._exact and attribute not in self._loose:
                found = [run for run in _runs(seen, missing) if _measures(seen, *run, attribute, missing)]
        elif attribute in self._single:
            found = rivals
        for first, last in {*found, *_named(seen, attribute, parts, kin)}:
            yield _span(seen, first, last)


def _span(seen: Seen, first: int, last: int) -> tuple[int, int]:
    return seen.words[first].start, seen.words[last - 1].end


def _runs(seen: Seen, parts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Runs of strange words that could stand in the place of one of these values."""
    sorts = {sort_of(part) for part in parts}
    last = -1
    for first in seen.strange:
        if first < last or seen.sort(first) not in sorts:
            continue
        last = first + 1
        while last in seen.strange:
            last += 1
        yield first, last


def _measures(seen: Seen, first: int, last: int, attribute: str, parts: Sequence[str]) -> bool:
    """Whether numbers there, if any, could be these values': of the unit of one, or named as the attribute."""
    numbers = [place for place in range(first, last) if seen.words[place].number]
    units = {unit_of(part) for part in parts if sort_of(part) == "number"}
    if not numbers or not units or "" in units or any(seen.unit(place) in units for place in numbers):
        return True
    name = spelled(attribute)
    near = seen.forms[max(0, first - _BESIDE - len(name)) : last + _BESIDE + len(name)]
    return bool(name) and any(all(map(alike, near[place:], name)) for place in range(len(near) - len(name) + 1))


def _named(seen: Seen, attribute: str, parts: Sequence[str], kin: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where the attribute's name is followed by what is none of its values."""
    name, forms, sorts = spelled(attribute), seen.forms, {sort_of(part) for part in parts}
    for place in range(len(forms) - len(name)) if len("".join(name)) > 1 else ():
        if not all(map(alike, forms[place : place + len(name)], name)):
            continue
        first = after = place + len(name)
        while first < len(forms) and (forms[first] in _COPULAS or forms[first] in _LINKS):
            first += 1
        if first == len(forms) or _COPULAS.isdisjoint(forms[after:first]):
            continue
        rival = next((last for begin, last, _, attributes in seen.new if begin == first and kin & attributes), None)
        if rival is not None:
            yield first, rival
        elif first in seen.strange and seen.sort(first) in sorts:
            yield first, first + 1
        elif forms[after] == "为" and HAN.match(forms[first]):
            last = first + 1
            while last < len(forms) and seen.words[last].start == seen.words[last - 1].end:
                last += 1
            said = "".join(forms[first:last])
            if last - first <= _CLAUSE_CHARACTERS and not any("".join(form_of(part)) in said for part in parts):
                yield first, last


def _denied(seen: Seen, parts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the text denies one of these values, from the word that denies to the value's end."""
    denials = [match.span() for match in _NOT.finditer(seen.text)]
    pieces = dict.fromkeys(piece for part in parts for piece in (part, *part.split(", ")))
    for form in filter(None, map(form_of, pieces)) if denials else ():
        for place in seen.places(form):
            start, end = _span(seen, place, place + len(form))
            near = [begin for begin, stop in denials if stop <= start and not _CLAUSE.search(seen.text, stop, start)]
            if near:
                yield near[-1], end
