"""What the service of a reply is worth to whoever asked: what it grants, how far it helps, its tone.

service_of("I am sorry. 1. Pack it. 2. Send it back. We will refund you.", "en")
-> Service(granted=True, steps=2, politeness=0.2, length=14, refused=False, language_matches=True, handed_over=False)

Every number follows from the text alone, by word lists in `service_quality.toml`; nothing is judged by a model.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from shoplm_audit.scoring.prose import in_language
from shoplm_audit.scoring.replies import handing_over_in, promises_in

__all__ = ["Service", "length_of", "politeness_of", "refuses", "service_of", "steps_in"]

_TABLES: Mapping[str, Any] = tomllib.loads(
    files("shoplm_audit.scoring").joinpath("service_quality.toml").read_text("utf-8")
)
_POLITE: Mapping[str, tuple[re.Pattern[str], ...]] = {
    language: tuple(re.compile(pattern, re.IGNORECASE) for pattern in kinds.values())
    for language, kinds in _TABLES["polite"].items()
}
_REFUSES = {language: re.compile(pattern, re.IGNORECASE) for language, pattern in _TABLES["refuses"].items()}
_LONGEST = 4_000  # characters that are read: a reply is a page at most, and patterns take their time

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNIT = {"en": re.compile(r"\w+(?:['’-]\w+)*"), "zh": re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")}
# A list's marks; "2.5" and "10.30" are none.
_LISTED = re.compile(_TABLES["steps"]["listed"], re.IGNORECASE | re.MULTILINE | re.VERBOSE)
_ORDINAL = {language: re.compile(_TABLES["steps"][language], re.IGNORECASE) for language in ("en", "zh")}


@dataclass(frozen=True, slots=True)
class Service:
    """What a reply is worth to whoever asked.

    Attributes:
        granted: it promises a refund.
        steps: how many steps to take it names.
        politeness: the share of kinds of polite words that it has: thanks, apology, please, greeting, goodwill.
        length: words of English, characters and foreign words of Chinese.
        refused: it will not deal with the matter, or says nothing; to deny a refund is no refusal.
        language_matches: it is in the language of the question.
        handed_over: it hands the customer over to a person.
    """

    granted: bool
    steps: int
    politeness: float
    length: int
    refused: bool
    language_matches: bool
    handed_over: bool


def service_of(text: str, language: str) -> Service:
    """Reads a reply to a question in a language ("en" or "zh"); what stands in the other language is read as it is."""
    read = text[:_LONGEST]
    return Service(
        granted=any(promise.kind == "refund" for promise in promises_in(read, language)),
        steps=steps_in(read, language),
        politeness=politeness_of(read, language),
        length=length_of(text, language),
        refused=refuses(read),
        language_matches=in_language(read, language),
        handed_over=handing_over_in(read, language),
    )


def length_of(text: str, language: str) -> int:
    """Words of a text, or in Chinese its characters, a run of other letters or digits counting as one.

    >>> length_of("It isn't two-tone.", "en"), length_of("退款49元，OK", "zh")
    (3, 5)
    """
    return len(_UNIT["zh" if language == "zh" else "en"].findall(text))


def politeness_of(text: str, language: str) -> float:
    """The share of kinds of polite words that a text has, each counted once however often it is said."""
    kinds = _POLITE["zh" if language == "zh" else "en"]
    return sum(kind.search(text) is not None for kind in kinds) / len(kinds)


def refuses(text: str) -> bool:
    """Whether a text, in either language, will not deal with the matter; one without a letter or digit does not."""
    return not any(map(str.isalnum, text)) or any(pattern.search(text) for pattern in _REFUSES.values())


def steps_in(text: str, language: str) -> int:
    """How many steps a text names: the items of its list, else the words that order what is to be done.

    >>> steps_in("1. Pack it. 2. Send it.", "en"), steps_in("首先打包，然后寄回。", "zh"), steps_in("2.5 kg", "en")
    (2, 2, 0)
    """
    listed = len(_LISTED.findall(text))
    return listed if listed > 1 else len(_ORDINAL["zh" if language == "zh" else "en"].findall(text))
