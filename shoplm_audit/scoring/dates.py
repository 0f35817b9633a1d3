"""Calendar days in English and Chinese text, in the ways shops write them.

dates_in("Ordered on 3 February 2025")[0].days == {(2025, 2, 3)}        dates_in("2月3日")[0].days == {(0, 2, 3)}
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shoplm_audit.scoring.quantities import level

__all__ = ["Day", "dates_in", "same_day"]

_NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_MONTH = "(?P<{}>" + "|".join(f"{name[:3]}(?:{name[3:]}|t)?" for name in _NAMES) + r")\.?"
_YEAR = r"(?P<{}>(?:19|20)\d\d)"
_DATE = re.compile(
    "|".join(
        (
            rf"(?<!\d){_YEAR.format('y1')}\s?[-/.年]\s?(?P<m1>\d{{1,2}})\s?[-/.月]\s?(?P<d1>\d{{1,2}})(?!\d)\s?[日号]?",
            r"(?<!\d)(?P<m2>\d{1,2})\s?月\s?(?P<d2>\d{1,2})\s?[日号]",
            rf"(?<!\d)(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?(?:\sof)?\s{_MONTH.format('m3')}(?:,?\s{_YEAR.format('y3')})?\b",
            rf"\b{_MONTH.format('m4')}\s(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s{_YEAR.format('y4')})?",
            rf"(?<!\d)(?P<a>\d{{1,2}})[-/.](?P<b>\d{{1,2}})[-/.]{_YEAR.format('y5')}(?!\d)",
        )
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Day:
    """A date of a text: its characters, and the (year, month, day) it can mean; the year is 0 where none is said."""

    start: int
    end: int
    days: frozenset[tuple[int, int, int]]


def dates_in(text: str) -> tuple[Day, ...]:
    """The dates of a text in order; 03/02/2025 can be either of two days, and what is no day (2025-13-40) is none."""
    found = []
    for match in _DATE.finditer(level(text)):
        got = match.groupdict()
        year = int(next((got[key] for key in ("y1", "y3", "y4", "y5") if got[key]), 0))
        if got["a"]:
            pairs = [(got["a"], got["b"]), (got["b"], got["a"])]
        else:
            pairs = [next((got[f"m{k}"], got[f"d{k}"]) for k in "1234" if got[f"m{k}"])]
        days = frozenset((year, _month(month), int(day)) for month, day in pairs)
        if real := frozenset(day for day in days if 1 <= day[1] <= 12 and 1 <= day[2] <= 31):
            found.append(Day(*match.span(), real))
    return tuple(found)


def _month(word: str) -> int:
    return int(word) if word.isdigit() else 1 + next(i for i, n in enumerate(_NAMES) if n[:3] == word[:3].lower())


def same_day(first: Day, second: Day) -> bool:
    """Whether both can be one day; a date without a year fits every year."""
    return any(a[1:] == b[1:] and (a[0] == b[0] or not a[0] or not b[0]) for a in first.days for b in second.days)
