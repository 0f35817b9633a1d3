"""Disguises of a generated text: small changes after which a reader reads the same, and a detector something else.

disguise("misspelling", "The strap broke after two days.", "en", rng) -> "The strap borke after two days."

They are what a seller does to keep detected reviews in a shop (the families of RAID, arXiv 2405.07940, and those of
Chinese writing), here in numbers of ours. They serve the audit; the command line has no verb for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np

from shoplm_audit.errors import ConfigError

__all__ = ["DISGUISES", "Disguise", "disguise"]

# Start, end and what could stand there instead; edits of one text do not overlap.
Edits: TypeAlias = Iterator[tuple[int, int, str]]

_LOOKALIKES = dict(
    zip("aceiopsxyABCEHIKMOPSTXY", "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443"
        "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u0423", strict=True)
)  # fmt: skip
_ZERO_WIDTH = "\u200b"
# Either stands for the other in a review, in the same form of the word.
_SYNONYMS = {
    "en": """good=fine great=terrific bad=poor happy=pleased buy=purchase bought=purchased buying=purchasing quick=fast
        quickly=rapidly big=large small=little nice=pleasant easy=simple easily=simply really=truly
        love=adore loved=adored arrived=came broke=snapped cheap=inexpensive
        strong=sturdy begin=start began=started told=informed think=believe thought=believed wonderful=marvellous
        terrible=awful beautiful=gorgeous perfect=ideal problem=issue problems=issues product=item products=items
        recommend=suggest whole=entire
        disappointed=dissatisfied comfortable=comfy""",
    "zh": """非常=特别 质量=品质 喜欢=中意 购买=选购 不错=挺好 漂亮=好看 便宜=实惠 结实=牢固 舒服=舒适 满意=称心
        推荐=安利 快递=物流 东西=商品 觉得=感觉 问题=毛病 失望=失落 方便=便利 收到=拿到 朋友=好友 孩子=小孩
        颜色=色彩 价格=价钱 包装=外包装 垃圾=烂货 但是=不过 因为=由于 所以=因此 已经=早已 一直=始终 立刻=马上""",
}
_ONES = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    "zh": list("零一二三四五六七八九十"),
}
_EMOJI = ("\U0001f4e6", "\U0001f6d2", "\U0001f4dd", "\U0001f3e0")  # a parcel, a cart, a note, a house: no opinion
# The characters most used in Chinese, the commonest first; those of one reading stand in for each other.
_COMMON = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
    "成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此"
    "已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代"
    "内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安"
    "少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光"
    "放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
)


# The kinds ----------------------------------------------------------------------------------------


def _lookalikes(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Latin letters by Cyrillic ones of the same shape."""
    return ((i, i + 1, _LOOKALIKES[letter]) for i, letter in enumerate(text) if letter in _LOOKALIKES)


def _invisible(text: str, language: str, rng: np.random.Generator) -> Edits:
    """A character without width behind a letter."""
    return ((i + 1, i + 1, _ZERO_WIDTH) for i, letter in enumerate(text) if letter.isalpha())


def _synonyms(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Words by others that say as much."""
    words, pattern = _synonyms_of(language)
    for found in pattern.finditer(text):
        new = words[found[0].lower()]
        yield found.start(), found.end(), new.capitalize() if found[0][0].isupper() else new


@cache
def _synonyms_of(language: str) -> tuple[Mapping[str, str], re.Pattern[str]]:
    pairs = [(one, other) for one, _, other in (pair.partition("=") for pair in _SYNONYMS[language].split())]
    words = dict(pairs) | {other: one for one, other in pairs}
    either = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return words, re.compile(rf"\b(?:{either})\b" if language == "en" else either, re.IGNORECASE)


def _misspellings(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Two letters within a word change places."""
    for found in re.finditer(r"[A-Za-z]{4,}", text):
        swaps = [i for i in range(found.start() + 1, found.end() - 2) if text[i] != text[i + 1]]
        if swaps:
            i = swaps[int(rng.integers(len(swaps)))]
            yield i, i + 2, text[i + 1] + text[i]


def _cases(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Capitals for small letters and the other way round."""
    return ((i, i + 1, letter.swapcase()) for i, letter in enumerate(text) if letter.isascii() and letter.isalpha())


def _spaces(text: str, language: str, rng: np.random.Generator) -> Edits:
    """One more blank between words, in Chinese one between characters."""
    between = r"(?<=\S) (?=\S)" if language == "en" else r"(?<=[一-鿿])(?=[一-鿿])"
    return ((found.start(), found.start(), " ") for found in re.finditer(between, text))


def _numbers(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Small numbers as words, and as figures where they are words."""
    words = _ONES[language]
    for found in re.finditer(r"(?<![\d.,:/$€¥£-])\d{1,2}(?![\d.,:/%-]*\d|%)", text):
        if str(int(found[0])) == found[0] and int(found[0]) < len(words):
            yield found.start(), found.end(), words[int(found[0])]
    if language == "en":
        for found in re.finditer(rf"\b(?:{'|'.join(words[2:])})\b", text):  # "one" is a pronoun more often
            yield found.start(), found.end(), str(words.index(found[0]))


def _articles(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Articles are left out."""
    return ((found.start(), found.end(), "") for found in re.finditer(r"\b(?:[Tt]he|[Aa]n?) (?=\w)", text))


def _traditional(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Simplified characters by traditional ones, as the phrase they stand in wants."""
    changed = _converted(text)
    if len(changed) != len(text):
        changed = "".join(map(_converted, text))
    return ((i, i + 1, new) for i, (old, new) in enumerate(zip(text, changed, strict=True)) if old != new)


@lru_cache(maxsize=4096)
def _converted(text: str) -> str:
    return str(_converter().convert(text))


@cache
def _converter():  # type: ignore[no-untyped-def]  # the package has no types
    import opencc

    return opencc.OpenCC("s2t")


def _wide(text: str, language: str, rng: np.random.Generator) -> Edits:
    """ASCII letters, figures and marks in the width of a Han character, Chinese marks in that of a Latin letter."""
    narrow = dict(zip("，。！？；：（）", ",.!?;:()", strict=True))
    for i, letter in enumerate(text):
        if "!" <= letter <= "~":
            yield i, i + 1, chr(ord(letter) + 0xFEE0)
        elif letter in narrow:
            yield i, i + 1, narrow[letter]


def _homophones(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Characters by the commonest other one of their reading, tones aside."""
    from pypinyin import lazy_pinyin

    by_reading = _readings()
    readings = lazy_pinyin(text, errors=list)  # type: ignore[arg-type]  # its types know strings alone
    if len(readings) == len(text):
        for i, (old, reading) in enumerate(zip(text, readings, strict=True)):
            new = next((other for other in by_reading.get(reading, "") if other != old), "")
            if new and "一" <= old <= "鿿":
                yield i, i + 1, new


@cache
def _readings() -> Mapping[str, str]:
    """Common characters by reading."""
    from pypinyin import lazy_pinyin

    found: dict[str, str] = {}
    for character in _COMMON:  # one by one: in a row they would be read as words
        reading = lazy_pinyin(character)[0]
        found[reading] = found.get(reading, "") + character
    return found


def _emoji(text: str, language: str, rng: np.random.Generator) -> Edits:
    """A small picture without an opinion behind a sentence."""
    for found in re.finditer(r"[.!?。！？](?=\s|$|[一-鿿])", text):
        yield found.end(), found.end(), _EMOJI[int(rng.integers(len(_EMOJI)))]


@dataclass(frozen=True, slots=True)
class Disguise:
    """A kind of disguise.

    Attributes:
        edits: every place that it could change in a text of a language, and how.
        share: of those places, how many it changes unless told otherwise.
        languages: in which it exists.
    """

    edits: Callable[[str, str, np.random.Generator], Edits]
    share: float
    languages: tuple[str, ...] = ("en", "zh")


DISGUISES: Mapping[str, Disguise] = {
    "homoglyph": Disguise(_lookalikes, 0.3, ("en",)),
    "zero_width": Disguise(_invisible, 0.2),
    "synonym": Disguise(_synonyms, 0.5),
    "misspelling": Disguise(_misspellings, 0.2, ("en",)),
    "case": Disguise(_cases, 0.1, ("en",)),
    "whitespace": Disguise(_spaces, 0.2),
    "number": Disguise(_numbers, 0.5),
    "article": Disguise(_articles, 0.5, ("en",)),
    "traditional": Disguise(_traditional, 1.0, ("zh",)),
    "full_width": Disguise(_wide, 0.5, ("zh",)),
    "homophone": Disguise(_homophones, 0.1, ("zh",)),
    "emoji": Disguise(_emoji, 0.5),
}


def disguise(kind: str, text: str, language: str, rng: np.random.Generator, *, share: float | None = None) -> str:
    """The text with a share of the places changed that a kind of disguise can change; what it says stays.

    Args:
        kind: one of `DISGUISES`.
        text: any; where there is nothing to change it stays as it is.
        language: "en" or "zh".
        rng: decides which places, and what stands there where there is a choice.
        share: of the places, from 0 to 1, rounded to whole places, halves up; the kind's own by default.

    Raises:
        ConfigError: an unknown kind, one that the language does not have, or a share out of its range.

    >>> disguise("article", "The lid of the kettle is a joke.", "en", np.random.default_rng(0), share=1)
    'lid of kettle is joke.'
    """
    known = DISGUISES.get(kind)
    if known is None or language not in known.languages:
        fitting = ", ".join(name for name, one in DISGUISES.items() if language in one.languages)
        raise ConfigError(f'disguise "{kind}": not one of language "{language}", which has: {fitting or "none"}.')
    part = known.share if share is None else share
    if not 0 <= part <= 1:
        raise ConfigError(f'share of disguise "{kind}" is "{part}": it has to be from 0 to 1.')
    edits = list(known.edits(text, language, rng))
    chosen = rng.permutation(len(edits))[: math.floor(part * len(edits) + 0.5)]
    for start, end, new in sorted((edits[i] for i in chosen), reverse=True):
        text = text[:start] + new + text[end:]
    return text
