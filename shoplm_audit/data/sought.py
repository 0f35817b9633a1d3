"""Finds given values in texts however they are written: spaced, full-width, in capitals, with digits as words.

    Sought([("020 7946 0174", "phone")]).find("ring +44 20 7946-0174") -> [Hit(start=6, end=21, key="442079460174")]

A value has keys: the digits of a number (of a telephone number also without its country code), the letters and digits
of anything else. Texts are compared by the same, so what stands between them does not matter.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from urllib.parse import unquote

from shoplm_audit.data.duplicates import HAN
from shoplm_audit.data.personal import HONORIFIC, PRODUCT_NUMBER, find_personal, is_person_name

__all__ = ["Hit", "Sought", "condensed", "data_in", "data_of", "keys_of", "names_in", "readings", "with_places"]

_DIGIT = {
    "zero": "0",
    "oh": "0",
    "o": "0",
    "nought": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "〇": "0",
    "幺": "1",
    "两": "2",
    **{
        character: str(i) for row in ("零一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖") for i, character in enumerate(row)
    },
}
_WORDS = "|".join(word for word in _DIGIT if word.isascii())
_FIGURE = re.compile(rf"[0-9]|(?<![a-z])(?:{_WORDS})(?![a-z])|[{''.join(w for w in _DIGIT if not w.isascii())}]")
_DASH_ZH = "(?:一个)?(?:短横线?|连字符|横线|破折号|横杠|杠|空格)"
_SAID = f"dash|hyphen|minus|dot|point|space|slash|then|and|然后|点|{_DASH_ZH}"
_GAP = re.compile(rf"(?:[^\w{HAN}]|_){{0,16}}(?:(?:{_SAID})(?:[^\w{HAN}]|_){{0,16}})?")
_SPOKEN = re.compile(rf"\b(?:dash|hyphen|minus|space|dot|comma)\b|{_DASH_ZH}", re.IGNORECASE)
_NUMBER = re.compile(r"[a-z]{0,5}[^a-z]*x?")  # under case folding: "so-48213907", a resident id that ends with x
_REGIONS = {"US": "1", "GB": "44", "CN": "86"}
_SHORTEST = 2
_CODE = 6  # characters of Base64 that are read
_LONG = 7  # digits or letters that are found inside longer ones too: by chance hardly any are

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,60}>")
_ESCAPED = re.compile(r"\\u\{?([0-9A-Fa-f]{4})\}?|\\x([0-9A-Fa-f]{2})")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:-]?){3,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+(?:\s+[A-Za-z0-9+/_-]+)*")
_CODED = re.compile(r"[a-z][A-Z]|[0-9]")  # prose has neither; what is encoded has one of them sooner or later

# An order number by its looks, and the name of whom a record is about by its label.
_ORDER = re.compile(
    r"(?<![A-Za-z0-9])(?!(?:SKU|ISSN|ISBN|OCLC|EAN|UPC|ASIN)[-‐–0-9])[A-Z]{2,5}[-‐–]?[0-9]{6,}(?![A-Za-z0-9])"
)
_LABELS = "Customer|Name|Deliver to|顾客|客户|姓名|收货人|收件人"
_NAMED = re.compile(rf"^[ \t]*(?:{_LABELS})[ \t]*[:：][ \t]*(?P<name>[^\n,，:：]{{2,40}}?)[ \t]*$", re.MULTILINE)
_CALLED = re.compile(rf"(?:{_LABELS}|我叫|名叫|叫做)[\s:：]*$", re.IGNORECASE)
_ADDRESSED = re.compile(HONORIFIC)


@dataclass(frozen=True, slots=True)
class Hit:
    """A value that stands at text[start:end], by one of its keys."""

    start: int
    end: int
    key: str


def with_places(text: str) -> tuple[str, list[int]]:
    """The text under NFKC and case folding, and for each of its characters the place in the original.

    >>> with_places("Ｔel１")
    ('tel1', [0, 1, 2, 3])
    """
    if text.isascii():
        return text.lower(), list(range(len(text)))
    pieces: list[str] = []
    places: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and unicodedata.combining(text[end]):  # an accent belongs to the letter before it
            continue
        piece = _folded(text[start:end])
        pieces.append(piece)
        places += [start] * len(piece)
        start = end
    return "".join(pieces), places


@lru_cache(maxsize=1 << 14)
def _folded(piece: str) -> str:
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", piece).casefold())
    shown = (one for one in plain if unicodedata.category(one) != "Cf")
    return "".join(one if (figure := unicodedata.digit(one, None)) is None else str(figure) for one in shown)


def condensed(text: str) -> str:
    """Only the letters and digits of a text, NFKC and case folded."""
    return "".join(filter(str.isalnum, with_places(text)[0]))


def keys_of(value: str, kind: str) -> frozenset[str]:
    """By what a value is found again; empty where too little of it is left.

    >>> sorted(keys_of("+44 20 7946 0174", "phone"))
    ['2079460174', '442079460174']
    """
    plain = with_places(value)[0]
    letters = "".join(filter(str.isalnum, plain))
    digits = "".join(re.findall("[0-9]", plain))
    if kind == "phone" and digits:
        return frozenset(key for key in _phone_keys(plain, digits) if len(key) >= 5)
    if len(digits) > 2 and _NUMBER.fullmatch(plain) and plain.isascii():
        return frozenset({digits})
    if kind == "email":
        aloud = plain.replace("@", " at ").replace(".", " dot ")
        return frozenset({letters, "".join(filter(str.isalnum, aloud))})
    return frozenset({letters}) if len(letters) >= _SHORTEST else frozenset()


def _phone_keys(plain: str, digits: str) -> Iterator[str]:
    import phonenumbers

    short = digits.lstrip("0")
    yield short
    if "+" in plain or digits.startswith("00"):
        try:
            # A number that names its country is known without it, as it is dialled at home.
            yield str(phonenumbers.parse("+" + short, None).national_number)
        except phonenumbers.NumberParseException:
            return
    elif short != digits or not short.startswith("1") or len(short) < 11:
        yield from (code + short for code in _REGIONS.values())
    elif short[1] in "3456789" and len(short) == 11:
        yield "86" + short  # a Chinese mobile, or an American number with its 1
        if short[1] not in "01" and short[4] not in "01":
            yield short[1:]


def data_in(text: str, language: str) -> list[tuple[int, int, str]]:
    r"""(Start, end, kind) of what `find_personal` finds in a shop's text, order numbers and labelled names, in order.

    >>> data_in("Customer: Mira Oduya\nOrder: SO-48213907", "en")
    [(10, 20, 'name'), (28, 39, 'order')]
    """
    found = [(one.start, one.end, str(one.kind)) for one in find_personal(text, language)]
    orders = (hit.span() for hit in _ORDER.finditer(text))
    more = [(*span, "order") for span in orders if not PRODUCT_NUMBER.search(text, max(0, span[0] - 24), span[0])]
    more += [(start, end, "name") for start, end in names_in(text)]
    for one in more:
        if all(one[1] <= start or end <= one[0] for start, end, _ in found):
            found.append(one)
    return sorted(found)


def data_of(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The data of (text, language) by value; equal lines, as records of one user have them, are read once."""
    lines = dict.fromkeys((line, language) for text, language in texts for line in text.splitlines())
    found = {}
    for line, language in lines:
        for start, end, kind in data_in(line, language):
            # What is as short as a surname is in any text.
            if len(condensed(line[start:end])) >= _SHORTEST:
                found[line[start:end]] = kind
    return found


def names_in(text: str) -> list[tuple[int, int]]:
    """Where a record names the person whom it is about: behind a label, on a line of its own."""
    return [hit.span("name") for hit in _NAMED.finditer(text) if is_person_name(hit["name"])]


def readings(text: str) -> list[str]:
    """A text in every way it is read: as it is, without escapes, with words as digits, out of codes, and backwards.

    >>> "4821" in "".join(readings("NDgyMQ==")), "4821" in "".join(readings("1284"))
    (True, True)
    """
    spoken = _SPOKEN.sub(" ", text)
    forward = [text, spoken, html.unescape(_TAG.sub("", text)), unquote(text)]
    forward.append(_FIGURE.sub(lambda found: _figure(found[0]), with_places(spoken)[0]))
    forward.append(_ESCAPED.sub(lambda found: chr(int(found[1] or found[2], 16)), text))
    forward += [_decoded(bytes.fromhex(re.sub(r"[\s:-]", "", run))) for run in _HEXADECIMAL.findall(text)]
    for run in _BASE64.findall(text):
        coded = "".join(run.split()).replace("-", "+").replace("_", "/")
        if len(coded) < _CODE or not _CODED.search(coded):
            continue
        for shift in range(4):  # words before it, as in "Base64 WEtB"
            part = coded[shift:]
            part = part[:-1] if len(part) % 4 == 1 else part
            forward.append(_decoded(base64.b64decode(part + "=" * (-len(part) % 4))))
    forward = list(dict.fromkeys(filter(None, forward)))
    return [*forward, *(one[::-1] for one in forward)]


def _decoded(raw: bytes) -> str:
    return "".join(one if one.isprintable() else " " for one in raw.decode("utf-8", "ignore"))


class Sought:
    """Values to be found in many texts.

    Args:
        values: (value, kind) of each; kinds are those of `data.personal`, or any other word.
    """

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        keys = {key for value, kind in values for key in keys_of(value, kind)}
        self._numbers = {key for key in keys if key.isdigit()}
        self._sizes = sorted(set(map(len, self._numbers)))
        self._words: dict[str, list[str]] = defaultdict(list)  # by their first two characters
        for key in sorted(keys - self._numbers):
            self._words[key[:_SHORTEST]].append(key)

    def find(self, text: str) -> list[Hit]:
        """Where values stand, in order, the longest where several overlap."""
        plain, places = with_places(text)
        hits = [*self._numbers_in(plain), *self._words_in(plain)]
        taken: list[Hit] = []
        for hit in sorted(hits, key=lambda hit: (hit.start - hit.end, hit.start)):
            if all(hit.end <= other.start or other.end <= hit.start for other in taken):
                taken.append(hit)
        places.append(len(text))
        # A character that folds to several ends with the last of them.
        return [Hit(places[hit.start], _after(places, hit.end), hit.key) for hit in sorted(taken, key=_start)]

    def _numbers_in(self, plain: str) -> Iterator[Hit]:
        if not self._numbers:
            return
        for run in _runs(plain):
            digits = "".join(_figure(plain[start:end]) for start, end in run)
            # A short number begins and ends where a group of figures does: 1234 is not in 91234567.
            begins = {i for i, (start, _) in enumerate(run) if not _joined(plain, start)}
            ends = {i + 1 for i, (_, end) in enumerate(run) if not _joined(plain, end)}
            for size, first in product(self._sizes, range(len(run))):
                last = first + size
                apart = last in ends and first in begins
                if last <= len(run) and (apart or size >= _LONG) and digits[first:last] in self._numbers:
                    yield Hit(run[first][0], run[last - 1][1], digits[first:last])

    def _words_in(self, plain: str) -> Iterator[Hit]:
        if not self._words:
            return
        places = [i for i, character in enumerate(plain) if character.isalnum()]
        letters = "".join(plain[i] for i in places)
        for i in range(len(letters) - _SHORTEST + 1):
            for key in self._words.get(letters[i : i + _SHORTEST], ()):
                long = len(key) >= _LONG
                if letters.startswith(key, i) and (long or _whole(plain, places, i, i + len(key))):
                    yield Hit(places[i], places[i + len(key) - 1] + 1, key)


def _start(hit: Hit) -> int:
    return hit.start


def _after(places: Sequence[int], end: int) -> int:
    last = places[end - 1]
    while places[end] == last:
        end += 1
    return places[end]


def _figure(written: str) -> str:
    return written if written.isdigit() and written.isascii() else _DIGIT[written]


def _joined(plain: str, at: int) -> bool:
    """Whether digits stand on both sides."""
    return 0 < at < len(plain) and plain[at - 1].isdigit() and plain[at].isdigit()


def _runs(plain: str) -> Iterator[list[tuple[int, int]]]:
    """Figures with nothing between them but signs, or words that say a sign."""
    run: list[tuple[int, int]] = []
    for figure in _FIGURE.finditer(plain):
        if run and not _GAP.fullmatch(plain, run[-1][1], figure.start()):
            yield run
            run = []
        run.append(figure.span())
    if run:
        yield run


def _whole(plain: str, places: Sequence[int], first: int, after: int) -> bool:
    """Whether a find is no part of a longer word; of two Chinese characters, whether it is told to be a name."""
    start, end = places[first], places[after - 1] + 1
    if after - first == 2 and re.fullmatch(f"[{HAN}]{{2}}", plain[start:end]):
        alone = not re.search(f"[{HAN}]", plain[max(0, start - 1) : start] + plain[end : end + 1])
        called = _CALLED.search(plain, max(0, start - 16), start) or _ADDRESSED.match(plain, end)
        return alone or called is not None

    def parts(one: int, two: int) -> bool:
        inside = one >= 0 and two < len(places) and places[two] == places[one] + 1
        return inside and not re.search(f"[{HAN}]", plain[places[one]] + plain[places[two]])

    return not parts(first - 1, first) and not parts(after - 1, after)
