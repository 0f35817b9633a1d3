"""Calendar days in English and Chinese text, in the ways shops write them.

dates_in("Ordered on 3 February 2025")[0].days == {(2025, 2, 3)}        dates_in("二月三日")[0].days == {(0, 2, 3)}
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shoplm_audit.scoring.numerals import NUMBER, value_of
from shoplm_audit.scoring.quantities import level

__all__ = ["Day", "dates_in", "same_day"]

_NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_MONTH = "(?P<{}>" + "|".join(f"{name[:3]}(?:{name[3:]}|t)?" for name in _NAMES) + r")\.?"
_YEAR = r"(?P<{}>(?:19|20)\d\d)"
_HAN = "一二三四五六七八九十"
_DATE = re.compile(
    "|".join(
        (
            rf"(?<!\d){_YEAR.format('y1')}\s?[-/.年]\s?(?P<m1>\d{{1,2}})\s?[-/.月]\s?(?P<d1>\d{{1,2}})(?!\d)\s?[日号]?",
            (
                rf"(?:(?P<y2>(?<!\d)(?:19|20)\d\d|(?<![{_HAN}〇零])[一二][{_HAN}〇零]{{3}})\s?年\s?)?"
                rf"(?<![\d{_HAN}])(?P<m2>\d{{1,2}}|十?[一二]|[三四五六七八九十])\s?月\s?"
                rf"(?P<d2>\d{{1,2}}|[一二三]?十[{_HAN[:9]}]?|[{_HAN[:9]}])\s?[日号]"
            ),
            rf"(?<!\d)(?P<d3>\d{{1,2}})(?P<o3>st|nd|rd|th)?(?:\sof)?\s{_MONTH.format('m3')}(?:,?\s{_YEAR.format('y3')})?\b",
            rf"\b{_MONTH.format('m4')}\s(?P<d4>\d{{1,2}})(?P<o4>st|nd|rd|th)?\b(?:,?\s{_YEAR.format('y4')})?",
            rf"(?<!\d)(?P<a>\d{{1,2}})[-/.](?P<b>\d{{1,2}})[-/.]{_YEAR.format('y5')}(?!\d)",
            r"(?<![\d/.])(?P<a6>\d{1,2})/(?P<b6>\d{1,2})/(?P<y6>\d\d)(?![\d/])",
            r"(?<![\d/.])(?P<a7>\d\d)\.(?P<b7>\d\d)\.(?P<y7>\d\d)(?![\d.])",
            r"(?<![A-Za-z\d_#.-])(?P<y8>(?:19|20)\d\d)(?P<m8>0[1-9]|1[0-2])(?P<d8>0[1-9]|[12]\d|3[01])(?![A-Za-z\d_-])",
        )
    ),
    re.IGNORECASE,
)
# "may" and "march" are verbs too: "may 5 people come", "size 5 may be small".
_VERB_AFTER = re.compile(r"\s(?!(?:at|and|or|by|for|in|on|to|if|we|your?|the|was|is)\b)[a-z]", re.IGNORECASE)
_MANY_AFTER = re.compile(
    r"\s(?:people|children|men|women|of|(?!(?:was|is|has|this|as|its|unless|always|does)\b)[a-z]{2,}s)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Day:
    """A date of a text: its characters, and the (year, month, day) it can mean; the year is 0 where none is said."""

    start: int
    end: int
    days: frozenset[tuple[int, int, int]]


def dates_in(text: str) -> tuple[Day, ...]:
    """The dates of a text in order; 03/02/2025 can be either of two days, and what is no day (2025-13-40) is none."""
    found, plain = [], level(text)
    for match in _DATE.finditer(plain):
        got = {key: value for key, value in match.groupdict().items() if value}
        if _verb(got, plain, match.end()):
            continue
        year = next((_year(got[key]) for key in got if key[0] == "y"), 0)
        kept = {key[0]: value for key, value in got.items()}
        pairs = [(kept["a"], kept["b"]), (kept["b"], kept["a"])] if "a" in kept else [(kept["m"], kept["d"])]
        days = frozenset((year, _month(month), _number(day)) for month, day in pairs)
        if real := frozenset(day for day in days if 1 <= day[1] <= 12 and 1 <= day[2] <= 31):
            found.append(Day(*match.span(), real))
    return tuple(found)


def _verb(got: dict[str, str], text: str, end: int) -> bool:
    """Whether the month's name is a verb and the number another's."""
    month = got.get("m3") or got.get("m4") or ""
    if month.casefold() not in ("may", "march") or {"y3", "y4", "o3", "o4"} & got.keys():
        return False
    after = _MANY_AFTER if "m4" in got else _VERB_AFTER
    return (month.islower() or "m4" in got) and bool(after.match(text, end))


def _number(word: str) -> int:
    number = NUMBER.match(word)
    return int(word) if word.isdecimal() or number is None else int(value_of(number)[0])


def _year(word: str) -> int:
    """A year as written; of two digits, up to 49 in this century."""
    year = _number(word)
    return year if year >= 100 else year + (2000 if year < 50 else 1900)


def _month(word: str) -> int:
    named = next((place for place, name in enumerate(_NAMES, 1) if name[:3] == word[:3].lower()), 0)
    return named or _number(word)


def same_day(first: Day, second: Day) -> bool:
    """Whether both can be one day; a date without a year fits every year."""
    return any(a[1:] == b[1:] and (a[0] == b[0] or not a[0] or not b[0]) for a in first.days for b in second.days)
