"""Texts with the genders in them exchanged, so that a model learns from both alike (counterfactual data substitution).

    swapped("Emily likes it, and her husband does too.", "en") -> "... likes it, and his wife does too."

A text is exchanged instead of doubled, decided by a digest of itself alone: no record is there twice, and what one
record becomes depends on no other, so a private run's bound of what one record can do holds.

References: Hall Maudslay et al. 2019, arXiv 1909.00871; Zmigrod et al. 2019, arXiv 1906.04571.
"""

from __future__ import annotations

import re
import zlib
from functools import cache

from shoplm_audit.data.cues import names
from shoplm_audit.data.lexicon import NAMES

__all__ = ["coin_of", "swapped"]

# Without "king", "queen", "male" and "female": in a shop these are sizes of beds and kinds of plugs.
_PAIRS = {
    "en": """he she, himself herself, man woman, men women, boy girl, boys girls, husband wife, husbands wives,
        boyfriend girlfriend, father mother, fathers mothers, dad mom, dads moms, daddy mommy, son daughter,
        sons daughters, brother sister, brothers sisters, grandfather grandmother, grandpa grandma, grandson
        granddaughter, uncle aunt, nephew niece, groom bride, gentleman lady, gentlemen ladies, mr mrs, sir madam""",
    "zh": """他 她, 先生 女士, 男士 女生, 男人 女人, 男孩 女孩, 男性 女性, 男朋友 女朋友, 男友 女友, 丈夫 妻子,
        老公 老婆, 爸爸 妈妈, 爸 妈, 父亲 母亲, 爷爷 奶奶, 外公 外婆, 儿子 女儿, 哥哥 姐姐, 弟弟 妹妹, 叔叔 阿姨,
        帅哥 美女, 大叔 大妈, 孙子 孙女""",
}
# What holds such a word and is about nobody: left as it stands.
_KEPT = {
    "en": r"(?:men|women|man|woman|boy|girl)s?['’]s?\b|(?:boyfriend|girlfriend) (?:jeans|fit|style|shirt|cut)s?|"
    r"(?:boy|girl) scouts?|dad (?:hat|cap|shoe|joke)s?|mom jeans|man ?(?:bun|cave|made)|lady ?(?:finger|bug|bird)s?",
    "zh": "维他命|其他|吉他|他妈的?|老婆饼|老公饼|孙子兵法|[姑姨舅婶伯]妈|[岳伯叔舅][父母]|先生产|奶奶灰",
}
# Names that are words or brands too.
_AMBIGUOUS = {"Mark", "Scott", "Wade", "Brooke", "Laurel", "Heather", "Ross", "Cleveland", "Craig", "Blake", "Octavia"}
_WORD_FOLLOWS = re.compile(r"\s+([A-Za-z]+)")
# After these "her" is whom, not whose.
_NO_NOUNS = frozenset(
    re.findall(
        r"\w+",
        """and or but to for with from at in on as that because when while if who so the a an this it i we
        you they he she very too much yesterday today tonight tomorrow now then again well also really just
        still here there home back out up down off over away never always often soon later ever before after
        since last next every once twice more most was were is are will would can could has have had did
        does do""",
    )
)


def _both(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """From each to the other; what comes first counts."""
    return {word: other for a, b in reversed(pairs) for word, other in ((a, b), (b, a))}


@cache
def _words(language: str) -> dict[str, str]:
    return _both([(first, second) for first, second in (pair.split() for pair in _PAIRS[language].split(","))])


@cache
def _named(language: str) -> dict[str, str]:
    """Names by names of the other gender and the same ethnicity."""
    groups = {("shop", gender): list(members) for gender, members in NAMES[language].items()}
    for cue in names(language):
        groups.setdefault((cue.groups["ethnicity"], cue.groups["gender"]), []).append(cue.words)
    groups = {group: [one for one in members if one not in _AMBIGUOUS] for group, members in groups.items()}
    kinds = dict.fromkeys(kind for kind, _ in groups)
    return _both([pair for kind in kinds for pair in zip(groups[kind, "female"], groups[kind, "male"], strict=False)])


@cache
def _sought(language: str) -> re.Pattern[str]:
    words, called = (
        "|".join(map(re.escape, sorted(table, key=len, reverse=True))) for table in (_words(language), _named(language))
    )
    if language == "zh":
        return re.compile(rf"(?P<kept>{_KEPT['zh']})|(?:{called})|(?:{words})")
    return re.compile(rf"\b(?P<kept>(?i:{_KEPT['en']}))|\b(?:{called})\b|\b(?i:{words}|him|his|hers|her)\b")


def swapped(text: str, language: str) -> str:
    """The text with names, pronouns and words of kin of one gender in place of the other's.

    English "her" becomes "his" before a word that it can own, and "him" elsewhere; letter case stays.

    Args:
        text: any text.
        language: "en" or "zh"; any other is left as it is.
    """
    if language not in _PAIRS:
        return text

    def exchange(found: re.Match[str]) -> str:
        word = found[0]
        if found["kept"]:
            return word
        if word in _named(language):
            return _named(language)[word]
        other = _words(language).get(word.lower()) or _pronoun(word.lower(), text, found.end())
        return _in_case_of(word, other)

    return _sought(language).sub(exchange, text)


def _pronoun(word: str, text: str, end: int) -> str:
    after = _WORD_FOLLOWS.match(text, end)
    owned = after is not None and after[1].lower() not in _NO_NOUNS and not after[1].lower().endswith("ly")
    return {"him": "her", "his": "her" if owned else "hers", "hers": "his", "her": "his" if owned else "him"}[word]


def _in_case_of(word: str, other: str) -> str:
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def coin_of(text: str) -> bool:
    """Whether a text is exchanged: half of all texts are, each by itself."""
    return zlib.crc32(f"swap\0{text}".encode("utf-8", "surrogatepass")) % 2 == 0
