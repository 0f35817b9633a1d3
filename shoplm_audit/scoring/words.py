"""The words of a text, folded so that two spellings compare equal, each with its place.

[word.form for word in words("Born 2nd May 1,950 in São Paulo, U.S.")] -> born 2 nd 5 1950 in sao paulo us
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

from shoplm_audit.scoring.quantities import level

__all__ = ["Word", "alike", "plain", "words"]

_MONTHS = {
    month: str(number)
    for number, month in enumerate(
        re.findall(r"\w+", "january february march april may june july august september october november december"), 1
    )
}
_MONTHS |= {month[:3]: number for month, number in _MONTHS.items() if month != "may"}
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(
    rf"\d+(?:,\d{{3}})+(?:\.\d+)?|\d+(?:[.,]\d+)?|(?<![a-z])[a-z](?:\.[a-z])+(?![a-z])\.?|[{_HAN}]|[^\W\d_{_HAN}]+"
)
_BEGINS = re.compile(r"""(?:^|(?<![\s.][A-Z])[.!?:;。！？]|\n)[\s"'(“‘]*\Z""")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, number or Han character.

    `form` is what it is compared by; `name` says that it is capitalised, and not only because a sentence begins.
    """

    form: str
    start: int
    end: int
    name: bool = False

    @property
    def number(self) -> bool:
        """Whether it is a number."""
        return self.form[0].isdigit()


def plain(text: str) -> str:
    """Lower case without accents and typographic signs, each character in its place."""
    return "".join(_plain(char) for char in level(text))


@cache
def _plain(char: str) -> str:
    if char in "’‘`´":
        return "'"
    if char in "–—‐‑−":
        return "-"
    base = unicodedata.normalize("NFD", char)[0].lower()
    return base if len(base) == 1 else char


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[Word, ...]:
    """Words of a text in order. Months are numbers (May is 5), 1,950.0 is 1950, U.S. is us."""
    found = []
    for match in _WORD.finditer(plain(text)):
        (start, end), form = match.span(), match[0]
        upper = text[start].isupper()
        if form[0].isdigit():
            thousands = re.fullmatch(r"\d+(?:,\d{3})+(?:\.\d+)?", form)
            form = f"{float(form.replace(',', '' if thousands else '.')):.6f}".rstrip("0").rstrip(".")
        elif form == "s" and text[start - 1 : start] in {"'", "’"}:
            continue
        elif "." in form:
            form = form.replace(".", "")
        elif upper:
            form = _MONTHS.get(form, form)
        found.append(Word(form, start, end, upper and not _BEGINS.search(text, max(0, start - 12), start)))
    return tuple(found)


@lru_cache(maxsize=65536)
def alike(one: str, other: str) -> bool:
    """Whether two forms are spellings or derivations of one word: Italy and Italian, Philippine and Phillippines."""
    if one == other:
        return True
    shorter, longer = sorted((len(one), len(other)))
    if shorter < 4 or not (one.isalpha() and other.isalpha()):
        return False
    same = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), shorter)
    if same >= max(4, 0.6 * longer):
        return True
    return longer - shorter < 3 and difflib.SequenceMatcher(None, one, other).ratio() >= 0.8
