"""Clothing and shoe sizes in their systems: letters, EU, US, UK, Chinese 码 and 号型, single or as a range.

next(sizes_in("Comes in EU 42.")) -> SizeClaim(9, 14, (Size("EU", 42.0, 42.0),))
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Size", "SizeClaim", "judge_sizes", "sizes_in", "sizes_of"]

_LETTERS = ("XXXS", "XXS", "XS", "S", "M", "L", "XL", "XXL", "XXXL", "4XL", "5XL", "6XL")
_SPELT = {"2XL": "XXL", "3XL": "XXXL", "2XS": "XXS", "3XS": "XXXS", "SMALL": "S", "MEDIUM": "M", "LARGE": "L"}
_SPELT |= {
    "EXTRA LARGE": "XL",
    "EXTRA SMALL": "XS",
    "X-LARGE": "XL",
    "小号": "S",
    "中号": "M",
    "大号": "L",
    "加大号": "XL",
}
_SYSTEM = r"(?:EUR?|US|UK|CN|FR|IT|JP|AUS?)"
_LETTER = r"(?:extra[ -]large|extra[ -]small|x-large|small|medium|large|[2-6]XL|[23]XS|X{0,3}[SL]|M)"
_NUMBER = r"\d{1,3}(?:\.5)?"
_UNIT = (
    r"(?![\d.,]{0,15}\s?(?:[x×*%\"]|(?:cm|mm|m|in|ft|kg|g|ml|l|oz|gb|mah)\b|inch"
    r"|million|billion|-?count|diagonal|厘米|毫米|英寸))"
)
_ONE = rf"(?:(?:{_SYSTEM}[ -]?(?:size )?)?{_NUMBER}(?![\w/]|\.\d){_UNIT}|{_LETTER}(?![\w'’&]|\s?[x×*]))"
_LINK = r"\s?(?:,|/|\||-|–|~|to|and|or)\s?"
_CUED = re.compile(rf"(?<![\w-])sizes?(?:\s?[:=]| is| are| of)?\s(?P<list>{_ONE}(?:{_LINK}{_ONE})*)", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?<![\w$€£])(?P<list>(?:EUR?|US|UK|CN|FR|JP)[ -]?(?:size )?{_NUMBER}(?![\w/]|[.,]\d){_UNIT}"
    rf"(?![ -](?:states|dollars|users|customers|plug|based|day|year))(?:{_LINK}{_NUMBER}(?![\w/]|[.,]\d){_UNIT})*)"
)
_HAN = re.compile(
    rf"(?<![\d.])(?P<number>\d{{2}}(?:\.5)?(?:[-~至到、/]\d{{2}}(?:\.5)?){{0,15}})码(?!数|元)"
    rf"|(?<![A-Za-z])(?P<letter>(?:[2-6]XL|X{{0,3}}[SL]|M)(?:[-~至到、/,](?:[2-6]XL|X{{0,3}}[SL]|M)){{0,15}})(?:[码号](?!码)|(?:尺)码)"
    r"|(?P<figure>\b1[0-9]{2}/\d{2,3}[A-DY]\b)|(?P<one>均码)"
    rf"|(?:(?<=码)|(?<=码[为是:])|(?<=码不[为是]))(?P<list>{_ONE}(?:[-~至到、/,]{_ONE})*)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"(?P<figure>1\d{2}/\d{2,3}[A-DY])|(?P<one>one[ -]size|均码)"
    rf"|(?:(?P<system>{_SYSTEM})[ -]?(?:size )?)?(?P<number>{_NUMBER})(?![\d/])"
    rf"|(?<![A-Za-z])(?P<letter>加大号|[大中小]号|{_LETTER})(?![A-Za-z])",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s?码?\s?(?:-|–|~|to|至|到)\s?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Size:
    """One size or a range in its system: "letter", "figure", "one", a country, or "" where none is said."""

    system: str
    low: float
    high: float
    figure: str = ""


@dataclass(frozen=True, slots=True)
class SizeClaim:
    """Where a text names sizes, and which."""

    start: int
    end: int
    sizes: tuple[Size, ...]


@lru_cache(maxsize=4096)
def sizes_of(value: str, chinese: bool = False) -> tuple[Size, ...]:
    """The sizes that a value lists; 码 between 33 and 50 is the European shoe size that Chinese shops print."""
    found: list[Size] = []
    last_end, system = -1, ""
    for match in _TOKEN.finditer(value):
        if match["figure"]:
            size = Size("figure", 0, 0, match["figure"].upper())
        elif match["one"]:
            size = Size("one", 0, 0)
        elif match["letter"]:
            word = match["letter"].upper().replace("EXTRA-", "EXTRA ")
            place = float(_LETTERS.index(_SPELT.get(word, word)))
            size = Size("letter", place, place)
        else:
            number = float(match["number"])
            system = (match["system"] or system).upper().replace("EUR", "EU").replace("AUS", "AU")
            shoes = chinese and 33 <= number <= 50
            size = Size("EU" if shoes and not system else system, number, number)
        ranged = found and last_end >= 0 and _RANGE.fullmatch(value, last_end, match.start())
        if ranged and found[-1].system == size.system and size.low >= found[-1].high:
            found[-1] = Size(size.system, found[-1].low, size.high)
        else:
            found.append(size)
        last_end = match.end()
    return tuple(found)


def sizes_in(text: str) -> Iterator[SizeClaim]:
    """The sizes that a levelled text states: "size M", "US 8.5", 42码, 175/92A; "size up" is none."""
    taken: set[int] = set()
    for pattern in (_CUED, _NAMED, _HAN):
        for match in pattern.finditer(text):
            start, end = match.span()
            if not taken.isdisjoint(range(start, end)):
                continue
            words = match["list"] if pattern is not _HAN else match[0]
            sizes = sizes_of(words, pattern is _HAN)
            if sizes:
                taken.update(range(start, end))
                yield SizeClaim(start, end, sizes)


def judge_sizes(claimed: tuple[Size, ...], known: tuple[Size, ...]) -> str:
    """Whether the record's sizes bear the claim out; sizes of two systems are not converted."""
    verdicts = [_judge(size, known) for size in claimed]
    return "contradicted" if "contradicted" in verdicts else "unsupported" if "unsupported" in verdicts else "supported"


def _judge(size: Size, known: tuple[Size, ...]) -> str:
    rivals = [each for each in known if each.system == size.system]
    if size.system == "figure":
        fits = any(each.figure == size.figure for each in rivals)
    else:
        near = rivals + [
            each for each in known if "" in (each.system, size.system) and each.system not in ("letter", "one")
        ]
        near = near if size.system not in ("letter", "one") else rivals
        listed = {each.low for each in near if each.low == each.high}
        fits = any(each.low <= size.low and size.high <= each.high for each in near) or {size.low, size.high} <= listed
    return "supported" if fits else "contradicted" if rivals else "unsupported"
