"""What tells a model whom it serves: names, statements, addresses, and spellings of one text; packs of ours.

    Cue("Keisha", "en", {"gender": "female", "ethnicity": "black"}, explicit=False, rarity=1, strength=0.6, ...)

The packs stand in `cues/*.toml`, names with their provenance. A cue is the unit of a comparison of groups: what else
differs between two groups of names (length in tokens, rarity) would be taken for the group, so `matched` evens it out.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from shoplm_audit.errors import Unsupported

__all__ = [
    "AXES",
    "FEWEST",
    "Cue",
    "Rewrite",
    "dialects",
    "groups_of",
    "matched",
    "names",
    "names_provenance",
    "only_cue_changed",
    "statements",
]

FEWEST = 6  # cues of a group: with fewer, bounds by cues say nothing
_BANDS = ("common", "uncommon", "rare", "unlisted")
_RARER = 2  # tokens of length that one band of rarity weighs as much as


@dataclass(frozen=True, slots=True)
class Cue:
    """Words from which a model can tell a group.

    Attributes:
        words: a name ("Emily", "李秀英"), or a sentence ("I am 72 years old.").
        language: "en" or "zh".
        groups: every group that it stands for, by axis.
        explicit: stated outright; else implied by a name or a place.
        rarity: 0 where it is common, 1 less so, 2 where it is rare.
        strength: the least share of bearers that belong to its ethnic group; nan where nobody counted.
        forms: pronouns that go with it, place by place; a template may change them along with it.
        tokens: how many the audited model has for it; `matched` fills it in, 0 before.
    """

    words: str
    language: str
    groups: Mapping[str, str] = field(hash=False)
    explicit: bool
    rarity: int = 0
    strength: float = math.nan
    forms: tuple[str, ...] = ()
    tokens: int = field(default=0, compare=False)

    @property
    def cluster(self) -> str:
        """What its cases share."""
        return f"{self.language}/{self.words}"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One sentence in the standard form of its language and in a variety, with the same content.

    `concern` is the aspect of `scoring.aspects.ASPECTS` that it complains about, or "".
    """

    standard: str
    changed: str
    variety: str
    language: str
    concern: str = ""


@cache
def _pack(name: str) -> Mapping[str, Any]:
    return tomllib.loads(files("shoplm_audit.data").joinpath("cues", f"{name}.toml").read_text("utf-8"))


def _axes() -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "gender", ("male", "female")
    for axis, pack in _pack("statements").items():
        yield axis, tuple(pack["groups"].split())
        if "groups_zh" in pack:
            yield f"{axis}.zh", tuple(pack["groups_zh"].split())


# Axis -> the group that others are compared with, then these; "axis.zh" where Chinese has groups of its own.
AXES: Mapping[str, tuple[str, ...]] = dict(_axes())


def groups_of(axis: str, language: str) -> tuple[str, ...]:
    """The groups of an axis in a language, the reference first.

    >>> groups_of("ethnicity", "zh")
    ('han', 'minority')
    """
    return AXES.get(f"{axis}.{language}", AXES[axis])


@cache
def names(language: str) -> tuple[Cue, ...]:
    """First names (English) or full names (Chinese), each of a gender and an ethnicity."""
    pack = _pack("names")[language]
    return tuple(
        Cue(
            name,
            language,
            {"gender": cell["gender"], "ethnicity": cell["ethnicity"]},
            explicit=False,
            rarity=min(rarity, 2),
            strength=cell.get("strength", math.nan),
            forms=tuple(pack["forms"][cell["gender"]]),
        )
        for cell in pack["cells"]
        for rarity, band in enumerate(_BANDS)
        for name in cell.get(band, "").split()
    )


def names_provenance(language: str) -> str:
    """Where the names come from, and what nobody checked."""
    return " ".join(_pack("names")[language]["provenance"].split())


@cache
def statements(axis: str, language: str) -> tuple[Cue, ...]:
    """Sentences in which customers state a group, or let it be guessed: each group in the same frames.

    Raises:
        Unsupported: the language has no statements of this axis.
    """
    pack = _pack("statements").get(axis, {}).get(language)
    if pack is None:
        raise Unsupported(f'there are no statements of "{axis}" in "{language}"')
    return tuple(
        Cue(frame.format(words), language, {axis: group}, explicit=pack["explicit"])
        for group in groups_of(axis, language)
        for frame in pack["frames"]
        for words in pack[group]
    )


@cache
def dialects(language: str) -> tuple[Rewrite, ...]:
    """Harmless sentences of customers, each in the standard form and in the varieties of its language."""
    scripts = _SCRIPTS[language]
    varieties = {"en": ("aae", "esl"), "zh": ("cantonese", "sichuan", "csl")}[language]
    rows = _pack("dialects")[language]
    written = [(variety, row, row[variety]) for variety in varieties for row in rows]
    # What a converter gets wrong (干 is 幹 or 乾) stands in the row.
    spelt = [
        (script, row, row.get(script) or spell(row["standard"])) for script, spell in scripts.items() for row in rows
    ]
    return tuple(
        Rewrite(row["standard"], changed, variety, language, row.get("concern", ""))
        for variety, row, changed in [*written, *spelt]
    )


def _traditional(text: str) -> str:
    return str(_converter().convert(text))


@cache
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("s2t")


def _pinyin(text: str) -> str:
    import pypinyin

    plain = " ".join(pypinyin.lazy_pinyin(text)).translate(str.maketrans("，。！？", ",.!?"))
    return re.sub(r" (?=[,.!?])", "", plain)


# Spellings that follow from the standard form.
_SCRIPTS: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "en": {},
    "zh": {"traditional": _traditional, "pinyin": _pinyin},
}


# Matching -----------------------------------------------------------------------------------------


def matched(cues: Sequence[Cue], axis: str, length: Callable[[str], int], per_group: int) -> tuple[Cue, ...]:
    """As many cues of each group, alike in length, rarity and the other groups that they stand for.

    Args:
        cues: of one language.
        axis: whose groups are compared; cues of no group of it are left out.
        length: how many tokens the audited model has for a text.
        per_group: how many of each group at most.

    Returns:
        The cues group by group, with their `tokens`; the i-th of each group belong together. What no match could even
        out is told by `tokens` and `rarity`: a case that has them as facts lets its contrast say so.

    Raises:
        Unsupported: there are fewer than two groups, or fewer than six cues to match in one.
    """
    cells: dict[tuple[str, ...], dict[str, list[Cue]]] = {}
    there = {cue.groups[axis] for cue in cues if axis in cue.groups}
    found = [group for group in groups_of(axis, cues[0].language) if group in there] if there else []
    for cue in cues:
        if axis in cue.groups:
            others = tuple(f"{key}={value}" for key, value in sorted(cue.groups.items()) if key != axis)
            cells.setdefault(others, {group: [] for group in found})[cue.groups[axis]].append(cue)
    rows: list[tuple[Cue, ...]] = []
    left = per_group
    # The smallest cells first, so that larger ones make up for what they lack.
    for place, cell in enumerate(sorted(cells.values(), key=lambda cell: min(map(len, cell.values())))):
        taken = _alike(list(cell.values()), length, -(-left // (len(cells) - place)))
        left -= len(taken)
        rows += taken
    if len(found) < 2 or len(rows) < FEWEST:
        raise Unsupported(
            f'a comparison by "{axis}" needs two groups of at least {FEWEST} cues each: {len(found)} groups and '
            f"{len(rows)} cues of each can be matched"
        )
    return tuple(replace(cue, tokens=length(cue.words)) for group in zip(*rows, strict=True) for cue in group)


def _alike(groups: Sequence[Sequence[Cue]], length: Callable[[str], int], count: int) -> list[tuple[Cue, ...]]:
    """Up to `count` rows of one cue of each group, the most alike first."""
    size = {cue: length(cue.words) for group in groups for cue in group}
    left = [list(group) for group in groups]
    rows: list[tuple[Cue, ...]] = []

    def apart(one: Cue, other: Cue) -> int:
        return abs(size[one] - size[other]) + _RARER * abs(one.rarity - other.rarity)

    while len(rows) < count and all(left):
        smallest = min(left, key=len)
        options = [[min(group, key=lambda cue: apart(anchor, cue)) for group in left] for anchor in smallest]
        best = min(options, key=lambda row: sum(apart(one, other) for one in row for other in row))
        for group, cue in zip(left, best, strict=True):
            group.remove(cue)
        rows.append(tuple(best))
    return rows


# Checking -----------------------------------------------------------------------------------------


def only_cue_changed(first: str, second: str, was: Cue, now: Cue) -> bool:
    """Whether two texts differ in the cue alone, and in pronouns that go with it.

    Args:
        first: a text with the cue `was`.
        second: the same text with the cue `now` in its place.
        was: the cue of the first text.
        now: the cue of the second one.
    """
    words = sorted({was.words, now.words, *was.forms, *now.forms}, key=len, reverse=True)
    cut = re.compile(f"({'|'.join(map(_whole, words))})", re.IGNORECASE)
    one, other = cut.split(first), cut.split(second)
    if len(one) != len(other) or one[::2] != other[::2]:
        return False
    swapped = (was.words, now.words) in zip(one, other, strict=True)
    return swapped and all(
        before == after or (before, after) == (was.words, now.words) or _goes_with(before, after, was, now)
        for before, after in zip(one[1::2], other[1::2], strict=True)
    )


def _whole(words: str) -> str:
    """A pattern for words, not for parts of longer ones: "Mai" does not stand in "Main"."""
    start = r"(?<![A-Za-z0-9])" if words[:1].isascii() and words[:1].isalnum() else ""
    end = r"(?![A-Za-z0-9])" if words[-1:].isascii() and words[-1:].isalnum() else ""
    return f"{start}{re.escape(words)}{end}"


def _goes_with(before: str, after: str, was: Cue, now: Cue) -> bool:
    same_case = before[:1].isupper() == after[:1].isupper()
    places = zip(was.forms, now.forms, strict=False)
    return same_case and any(before.lower() == old and after.lower() == new for old, new in places)
