"""What must stand in no shared copy of a run, and the search of the copy's files for it.

leaks_in({"report.html": render_html(shared)}, sought_in(audited, []))  -> [Leak("report.html", "customer's id", 2)]
"""

from __future__ import annotations

import html
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from shoplm_audit.data.personal import find_personal
from shoplm_audit.data.sought import condensed
from shoplm_audit.rendering.masking import mask_credentials, secrets_of
from shoplm_audit.rendering.speaking import template_folder
from shoplm_audit.results import AuditResult
from shoplm_audit.types import Observation

__all__ = [
    "OUTPUTS",
    "PRIVATE",
    "RECORD",
    "Leak",
    "Sought",
    "leaks_in",
    "names_a_person",
    "own_words",
    "sought_in",
    "words_of",
]

PRIVATE = "privacy"  # the suite whose cases are the trainer's records
RECORD = ("record", "title")  # facts that are the shop's own words on a product
OUTPUTS = ("text", "spans", "text_constrained", "spans_constrained")
_GRAM, _GRAM_ZH = 8, 12  # words, or characters of Chinese, that are nobody's by chance
_BRIEF, _BRIEF_ZH = 3, 6  # the same of a whole short text
_SHARED_BY = 3  # members who wrote the same few words: it is a phrase and nobody's
_SECRET, _ID, _UNIT = 6, 5, 4  # letters and digits of a secret, an id and a member's unit that are looked for
_DIGITS = 8  # digits of a secret without letters that are found inside longer runs too
_HEAD = 4  # letters by which a secret is looked up
_PERSONS = re.compile(
    r"(?:^|[_\W])(?:customers?|users?|buyers?|clients?|shoppers?|members?|persons?|e-?mails?|phones?"
    r"|reviews?)(?:$|[_\W])|顾客|客户|用户|买家|会员|姓名|邮箱|电话|评价|评论",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\u4e00-\u9fff]+|[\u4e00-\u9fff]")
_PART = re.compile(r"[^\W_\u4e00-\u9fff]+|[\u4e00-\u9fff]")
_LETTERS = re.compile(r"[^\W\d_\u4e00-\u9fff]+|[\u4e00-\u9fff]+")
# Within a line these cut no text into pieces: a highlighted span may begin inside a secret.
_INLINE = frozenset(("a", "abbr", "b", "bdi", "code", "em", "i", "mark", "q", "s", "small", "span", "strong", "u"))
# Attributes of drawings, whose figures look like anybody's number.
_DRAWN = frozenset(
    ("d", "points", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "viewbox")
) | {"transform", "style", "class", "id"}


@dataclass(frozen=True, slots=True)
class Leak:
    """That a file holds what must not leave, and of what kind; the value itself is not told."""

    file: str
    kind: str
    count: int


@dataclass(slots=True)
class Sought:
    """What must stand in no shared file.

    Attributes:
        secrets: as letters and digits alone, wherever they stand.
        ids: as they are, as whole words; letter case and the width of a blank do not count.
        grams: runs of words of customers.
        briefs: whole short texts of customers, as words.
        pins: secrets of so few digits that any report holds them; only what a model wrote is searched for them.
    """

    secrets: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    grams: set[tuple[str, ...]] = field(default_factory=set)
    briefs: set[tuple[str, ...]] = field(default_factory=set)
    pins: set[str] = field(default_factory=set)
    _heads: dict[str, list[str]] = field(default_factory=dict, init=False)
    _whole: _Whole | None = field(default=None, init=False)

    def tells(self, text: str) -> bool:
        """Whether a text that a model wrote holds any of it."""
        known = self.secrets_in(condensed(text)) or any(gram in self.grams for gram in _grams(text))
        return bool(known or self.briefs_in(text) or self.ids_in(text) or _Whole(self.pins).found(text))

    def secrets_in(self, letters: str) -> int:
        """How many secrets stand in a text of letters and digits alone."""
        if not self._heads:
            heads = defaultdict(list)
            for secret in sorted(self.secrets):
                heads[secret[:_HEAD]].append(secret)
            self._heads = dict(heads)
        starts = {i: self._heads[head] for i in range(len(letters)) if (head := letters[i : i + _HEAD]) in self._heads}
        return len({secret for i, ones in starts.items() for secret in ones if letters.startswith(secret, i)})

    def ids_in(self, text: str) -> set[str]:
        """The ids that stand in a text as whole words, whatever punctuation is around them."""
        if self._whole is None:
            self._whole = _Whole(self.ids)
        return self._whole.found(text)

    def briefs_in(self, text: str) -> int:
        """How often a whole short text of a customer stands in a text."""
        words = _WORD.findall(text.casefold())
        sizes = {len(one) for one in self.briefs}
        return sum(tuple(words[i : i + size]) in self.briefs for size in sizes for i in range(len(words) - size + 1))


class _Whole:
    """Finds texts as whole words."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._cores: dict[str, str] = {}
        sizes = set()
        for one in texts:
            plain = _plain(one)
            if parts := list(_PART.finditer(plain)):
                self._cores[plain[parts[0].start() : parts[-1].end()]] = one
                sizes.add(len(parts))
        self._sizes = sorted(sizes)

    def found(self, text: str) -> set[str]:
        if not self._cores:
            return set()
        text = _plain(text)
        places = [found.span() for found in _PART.finditer(text)]
        return {
            self._cores[core]
            for size in self._sizes
            for first, last in zip(places, places[size - 1 :], strict=False)
            if (core := text[first[0] : last[1]]) in self._cores
            if not (core.isdigit() and _is_within_number(text, first[0], last[1]))
        }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_within_number(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return re.fullmatch("[0-9][.,]", before) is not None or re.fullmatch("[.,][0-9]", after) is not None


def names_a_person(name: str) -> bool:
    """Whether a group, a slice or an attribute of this name is of people: "customer", "user_name", "评价"."""
    return bool(_PERSONS.search(name))


@cache
def own_words() -> frozenset[str]:
    """The words that the program itself writes into results and reports, in both languages."""
    tables = tomllib.loads((template_folder() / "zh.toml").read_text(encoding="utf-8"))
    return frozenset(
        word for table in tables.values() for pair in table.items() for text in pair for word in words_of(text)
    )


def words_of(text: str) -> Iterator[str]:
    """The words of a text, in Chinese each pair of characters that stand together."""
    for found in _LETTERS.finditer(text.casefold()):
        run = found[0]
        if "\u4e00" <= run[0] <= "\u9fff" and len(run) > 1:
            yield from map("".join, pairwise(run))
        else:
            yield run


def sought_in(audited: AuditResult, secrets: Iterable[Any], *, outputs: bool = True) -> Sought:
    """What a shared copy of a run must not hold.

    Args:
        audited: the whole run.
        secrets: what `secrets_beside` found.
        outputs: whether what the model wrote, and who waived what and why, may not leave either.
    """
    sought = Sought()
    told: set[tuple[str, ...]] = set()  # whole short sentences of the suites' own cases
    for (suite, _), seen in audited.observations.items():
        texts = [_texts_of(row, private=suite == PRIVATE, outputs=outputs) for row in seen]
        # What stands in every row is no customer's (why none could be marked, a standing instruction).
        common = set.intersection(*texts) if len(texts) > 1 and suite != PRIVATE else set()
        sought.grams.update(gram for some in texts for text in some - common for gram in _grams(text))
        for row in seen:
            sought.ids.update(one for one in (row.case.id, row.case.cluster) if _is_id(one) or _is_number(row, one))
            sought.ids.update(
                value for name, value in row.case.groups.items() if names_a_person(name) and _is_name(value)
            )
            if suite == PRIVATE:
                _seek_secrets(sought, secrets_of(row.case))
            else:
                told.update(b for line in row.case.prompt.flat.splitlines() for b in _brief(line))
    for one in secrets:
        canaries = one.get("canaries", []) if isinstance(one, dict) else []
        members = one.get("members", []) if isinstance(one, dict) else []
        _seek_secrets(sought, [str(canary.get("secret", "")) for canary in canaries])
        sought.ids.update(unit for member in members if _is_unit(unit := str(member.get("unit", ""))))
        sought.grams.update(g for member in members for text in member.get("texts", []) for g in _grams(str(text)))
        by_members = Counter(
            b for member in members for b in {b for t in member.get("texts", []) for b in _brief(str(t))}
        )
        sought.briefs.update(b for b, count in by_members.items() if count < _SHARED_BY and b not in told)
    if outputs:
        sought.ids.update(one.by for one in audited.result.waivers if _is_name(one.by))
        for one in audited.result.waivers:
            sought.grams.update(_grams(one.why))
            sought.briefs.update(_brief(one.why))
    return sought


def _seek_secrets(sought: Sought, secrets: Iterable[str]) -> None:
    """Looks for secrets by their letters and digits; few digits alone stand in any text by chance."""
    for secret in secrets:
        if len(secret) > 200:
            continue
        letters = condensed(secret)
        for key in {letters, "".join(filter(str.isdigit, letters))}:
            if len(key) >= (_DIGITS if key.isdigit() else _SECRET):
                sought.secrets.add(key)
            elif len(key) >= _SECRET:
                sought.ids.add(key)
            elif len(key) >= _UNIT and key == letters:
                (sought.pins if key.isdigit() else sought.ids).add(key)


def _texts_of(row: Observation, *, private: bool, outputs: bool) -> set[str]:
    """The texts of a row that may not leave."""
    facts = [value for name, value in row.case.facts.items() if private or name not in RECORD]
    told = [value for name, value in row.values.items() if private or outputs or name not in OUTPUTS]
    return set(_strings([row.case.prompt.flat, row.case.reference, facts, told]))


def _is_id(text: str) -> bool:
    return len(text) >= _ID and any(map(str.isdigit, text)) and any(map(str.isalpha, text))


def _is_number(row: Observation, text: str) -> bool:
    return text == row.case.cluster and len(text) >= _ID and text.isdigit()


def _is_unit(text: str) -> bool:
    return _is_id(text) or (text.isdigit() and len(text) >= _ID) or (not text.isdigit() and _is_name(text))


def _is_name(text: str) -> bool:
    """Whether a text can be looked for as a name: no word of the program's own, and not too short."""
    words = set(words_of(text))
    short = len(condensed(text)) < (2 if re.search("[\u4e00-\u9fff]", text) else _UNIT)
    return not short and not words <= own_words()


def _brief(text: str) -> list[tuple[str, ...]]:
    """A whole short text as its words; none of one that is longer, or that anybody says."""
    words = tuple(_WORD.findall(text.casefold()))
    chinese = all("\u4e00" <= word <= "\u9fff" for word in words)
    low, high = (_BRIEF_ZH, _GRAM_ZH) if chinese else (_BRIEF, _GRAM)
    return [words] if low <= len(words) < high and not all(map(str.isdigit, words)) else []


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    for start in range(len(words) - _GRAM + 1):
        gram = tuple(words[start : start + _GRAM])
        if all("\u4e00" <= word <= "\u9fff" for word in gram):
            gram = tuple(words[start : start + _GRAM_ZH])
            if len(gram) < _GRAM_ZH:
                continue
        if not all(map(str.isdigit, gram)):
            yield gram


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, list | tuple):
        for one in data:
            yield from _strings(one)


def _strings_and_names(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        yield from data
        for value in data.values():
            yield from _strings_and_names(value)
    elif isinstance(data, list):
        for one in data:
            yield from _strings_and_names(one)
    else:
        yield from _strings(data)


def leaks_in(files: Mapping[str, str], sought: Sought) -> list[Leak]:
    """What the files to be shared hold that must not leave.

    Args:
        files: their texts by name.
        sought: strings of this run; personal data and credentials of any kind are looked for besides.
    """
    found = []
    for name, text in files.items():
        pieces = list(_pieces(name, text))
        # Figures of drawings, in what is not a piece, are anybody's number.
        ids = sought.ids_in("\n".join(pieces)) | {one for one in sought.ids_in(text) if not one.isdigit()}
        kinds = {
            "secret of the training data": sought.secrets_in("\n".join(map(condensed, pieces))),
            "id of a case or customer": len(ids),
            "run of a customer's or prompt's words": sum(
                sum(g in sought.grams for g in _grams(piece)) + sought.briefs_in(piece) for piece in pieces
            ),
            "personal data": sum(len(find_personal(piece, "")) for piece in pieces),
            "credential": sum(mask_credentials(piece) != piece for piece in pieces),
        }
        found += [Leak(name, kind, count) for kind, count in kinds.items() if count]
    return found


class _Texts(HTMLParser):
    """The texts, comments and attributes of a page, without its drawings' figures and its own style and script."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._line: list[str] = []
        self._inside = ""

    def close(self) -> None:
        super().close()
        self._end_line()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.found += [value for name, value in attrs if value and name not in _DRAWN]
        if tag not in _INLINE:
            self._end_line()

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        if tag not in _INLINE:
            self._end_line()

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self._line.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def unknown_decl(self, data: str) -> None:  # a CDATA section
        self.found.append(data)

    def _end_line(self) -> None:
        if line := "".join(self._line).strip():
            self.found.append(line)
        self._line.clear()


def _pieces(name: str, text: str) -> Iterator[str]:
    if name.endswith((".json", ".sarif")):
        yield from _strings_and_names(json.loads(text))
    elif name.endswith((".html", ".xml")):
        page = _Texts()
        page.feed(text)
        page.close()
        yield from page.found
    else:
        yield from map(html.unescape, text.splitlines())
