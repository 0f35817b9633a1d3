"""Numbers as digits, fractions, Han numerals and English words, read from texts in NFKC whose offsets are kept.

value_of(NUMBER.match("一百二十"))[0] -> 120.0
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["NUMBER", "Folded", "fold", "level", "value_of"]

_HAN_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_POWERS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()  # noqa: SIM905 - twenty words read better in two lines than in twenty
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: float(value) for value, word in enumerate(_ONES)}
_WORDS |= {word: 10.0 * value for value, word in enumerate(_TENS.split(), 2)}
_SMALL = "|".join(_ONES[1:10])
_WORD = rf"\b(?:half\ an?|(?:{_TENS.replace(' ', '|')})[-\ ](?:{_SMALL})|(?:{'|'.join(_WORDS)})(?:\ hundred)?)\b"
# Groups of thousands are parted by a comma, an apostrophe, a thin or unbreakable space, or a plain space before 000;
# 0,125 has none.
_DIGITS = r"(?:[1-9]\d{0,2}(?:[,'\u2009\u202f\u00a0]\d{3})+(?!\d)|\d{1,3}(?:\ 000)+(?!\d)|\d+)(?:\.\d+)?"
NUMBER = re.compile(
    rf"""(?P<currency>(?<![A-Za-z])(?:US|HK|CA|AU|CN)?[$€£¥]\ ?|\b(?:RMB|CNY|USD|EUR|GBP)\ ?)?
    (?:(?:(?<![A-Za-z0-9_.\#])(?<![A-Za-z]-)(?<!\d/)|(?<=[0-9m][xX*])|(?<=RMB)|(?<=CNY)|(?<=USD)|(?<=EUR)|(?<=GBP))
      (?:(?P<whole>\d{{1,4}})?[ -]?(?P<over>\d{{1,3}})/(?P<under>\d{{1,3}})(?![\d/])
        |(?P<digits>{_DIGITS})(?P<power>[万亿]?))
    |百分之(?P<share>{_DIGITS}|[一二三四五六七八九十百]+)
    |(?P<under_han>[二三四五六七八九十])分之(?P<over_han>[一二三四五六七八九])
    |(?P<han>[一二三四五六七八九十百千万零〇半两][一二三四五六七八九十百千万亿零〇]{{0,15}}(?:点[零一二三四五六七八九]{{1,9}})?)
    |(?P<word>{_WORD}))""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Folded:
    """A text in NFKC, and where each of its characters stood; `offsets` is None where nothing moved."""

    text: str
    offsets: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original text that became `text[start:end]`."""
        if self.offsets is None or start >= end:
            return start, end
        return self.offsets[start], self.offsets[end - 1] + 1


class _Fold(dict[int, str]):
    """Character by character, so that offsets are known; what NFKC would join to a number or a name is kept apart."""

    _OWN: ClassVar = dict(zip("″”“′’−μµº", '"""\'\'-µµ°', strict=True)) | {"℃": "°C", "℉": "°F"}
    _KEPT: ClassVar = frozenset("™®©℠\u00a0\u2009\u202f…")

    def __missing__(self, code: int) -> str:
        char = chr(code)
        plain = self._OWN.get(char) or (char if char in self._KEPT else unicodedata.normalize("NFKC", char))
        if "\u2044" in plain:
            plain = " " + plain.replace("\u2044", "/")
        self[code] = plain
        return plain


_FOLD = _Fold()


def fold(text: str) -> Folded:
    """The text in NFKC (full-width digits, ¾, ㎏ ...) with its offsets."""
    folded = text.translate(_FOLD)
    if len(folded) == len(text):  # no character folds to nothing, so equal lengths mean one to one
        return Folded(folded, None)
    return Folded(folded, tuple(place for place, char in enumerate(text) for _ in _FOLD[ord(char)]))


def level(text: str) -> str:
    """The text in NFKC as far as each character stays one character, so that offsets stay what they were."""
    folded = text.translate(_FOLD)
    if len(folded) == len(text):
        return folded
    return "".join(plain if len(plain := _FOLD[ord(char)]) == 1 else char for char in text)


def _han(numeral: str) -> float:
    """半 is a half, 一百二十 is 120, 一百二 is 120 too, 三点五 is 3.5."""
    if numeral.startswith("半"):
        return 0.5
    numeral, _, decimals = numeral.partition("点")
    if len(numeral) > 1 and not _HAN_POWERS.keys() & set(numeral):  # 二〇二四 is read digit by digit
        return float("".join(str(_HAN_DIGITS[char]) for char in numeral))
    total, section, digit, power = 0, 0, 0, 1
    for char in numeral:
        if char in _HAN_DIGITS:
            digit = _HAN_DIGITS[char]
            power = 1 if digit == 0 else power
        elif (power := _HAN_POWERS[char]) >= 10**4:
            total, section, digit = (total + section + digit) * power, 0, 0
        else:
            section, digit = section + (digit or 1) * power, 0
    if power > 10 and numeral[-1] in _HAN_DIGITS and len(numeral) > 1:
        digit *= power // 10
    fraction = "".join(str(_HAN_DIGITS[char]) for char in decimals)
    return float(f"{total + section + digit}.{fraction or 0}")


def value_of(match: re.Match[str]) -> tuple[float, float]:
    """The number of a match of `NUMBER`, and half of its last digit."""
    got = match.groupdict()
    if got["over"]:
        return float(got["whole"] or 0) + int(got["over"]) / (int(got["under"]) or 1), 0.0005
    if got["over_han"]:
        return _han(got["over_han"]) / _han(got["under_han"]), 0.0005
    if got["han"]:
        return _han(got["han"]), 0.5
    if got["word"]:
        word = got["word"].lower()
        if word.startswith("half"):
            return 0.5, 0.05
        parts = [_WORDS[part] for part in re.split("[ -]", word) if part in _WORDS]
        return sum(parts) * (100 if word.endswith("hundred") else 1), 0.5
    digits = got["digits"] or got["share"]
    if not digits[0].isascii():
        return _han(digits), 0.5
    plain = re.sub(r"[^\d.]", "", digits)
    power = _HAN_POWERS.get(got["power"] or "", 1)
    return float(plain) * power, 0.5 * 10.0 ** -len(plain.partition(".")[2]) * power
