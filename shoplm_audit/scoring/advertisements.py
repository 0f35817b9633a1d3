"""Whether an advertisement keeps to its channel, names the brand as it is written, calls to act, and states no offence.

check_advertisement("Norvik kettle, navy. Shop now.", {"brand": "Norvik"}, channel="search").fits -> True
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shoplm_audit.data.cells import language_of
from shoplm_audit.errors import ConfigError
from shoplm_audit.scoring.claims import check_claims
from shoplm_audit.scoring.law import offences

__all__ = ["ADVERTISEMENT_LIMITS", "AdvertisementCheck", "check_advertisement", "shown_length"]

# The most characters of an advertisement by channel and language. The search limits are those of common description
# lines; the others are those of short messages.
ADVERTISEMENT_LIMITS: Mapping[str, Mapping[str, int]] = {
    "search": {"en": 90, "zh": 30},
    "email": {"en": 600, "zh": 300},
    "social": {"en": 280, "zh": 140},
}

# Models put marks around the word and a line of their own before it ("Sure! Here is your e-mail:").
_SUBJECT = re.compile(
    r"\s*(?:[^\n]*[:：!！]\s*\n\s*)?[*_#`>\"“【\s-]*(?:(?:e-?mail |the )?subject(?: line)?|(?:邮件)?(?:主题|标题)行?)"
    r"[】\"”*_` \t]*"
    r"[:：][*_` \t]*[^\s*_`]",
    re.IGNORECASE,
)
# An English verb calls where a clause begins with it, so that "in order to" and "a shop in Bath" do not.
_VERBS = (
    r"buy|shop(?! (?:order|hour|window|assistant|floor|owner|price)s?\b)|order|get (?:yours|it|one)"
    r"|add (?:it )?to (?:your )?(?:cart|basket|bag)|try|discover|explore|learn more"
    r"|find out|see more|click|tap|visit|grab|pick (?:one|it|yours) up|choose|reserve|book|sign up|subscribe|bring"
    r"|treat yourself|make it yours|upgrade|check it out|don['’]t (?:miss|wait)|take a look|call|swipe"
    r"|head (?:over )?to"
)
# These call wherever they stand: posts have them after a tag or a picture.
_PHRASES = (
    r"(?:buy|shop|order|get (?:yours|it|one)) (?:now|today|online)|get yours|yours (?:now|today)"
    r"|links? in (?:the |our )?bio"
    r"|link below|(?:order|buy|get|grab|shop) (?:yours|it|one|here)"
)
_CALLS = re.compile(
    rf"(?:^|[^\w\s,'’]\s*|,\s+|\b(?:and|so|please|now|today|then|to)\s+)(?:{_VERBS})\b|\b(?:{_PHRASES})\b"
    r"|立即|立刻|马上|赶快|赶紧|快来|速来|快抢|来抢|开抢|即刻|现在就|点击|戳|下单|抢购|选购|订购|加入购物车|加购"
    r"|了解(?:更多|详情)|查看详情"
    r"|(?:欢迎|前往|请|快|来|去)(?:购买|咨询|进店|光临|试用)|带回家|入手|不要错过|别错过|不如行动|主页链接|链接在|扫码|手慢无",
    re.IGNORECASE | re.MULTILINE,
)
# A sentence that tells not to do it calls to nothing, except that of "don't miss" and its like.
_STOPS = re.compile(
    r"(?:^|[^\w\s'’])\s*(?:please )?(?:never|do not|don['’]t)\s+(?!miss|wait|hesitate|forget|delay|worry)"
    r"[^.!?;。！？；\n]*$"
    r"|(?:不要|别|勿|不必|无需|不用|不能|不可)[^，,.!?;。！？；\n]{0,4}$",
    re.IGNORECASE,
)
_BRAND = re.compile(r"brand(?: name)?|品牌(?:名称)?|牌子", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AdvertisementCheck:
    """What was found in one advertisement.

    Attributes:
        length: shown characters, see `shown_length`.
        short: whether there is a text, and it is within the limit.
        calls: whether it calls to act.
        subject: whether an e-mail begins with a subject line; True for other channels.
        brand: whether the record's brand is named, each time as the record spells it; True where there is none.
        language: whether it is written in the language that was asked for, by its letters.
        product: whether the title or what it ends with, as a rule the kind of thing, is named; True without a title.
        attribute: whether it states an attribute besides the brand; True where the record has none that it could state.
        prohibited: the words that claim rules of law forbid.
        contradicted: the words that the record contradicts, another brand among them.
        coverage: share of the checkable attributes that it states, 0 to 1; nan where there are none.
    """

    length: int
    short: bool
    calls: bool
    subject: bool
    brand: bool
    language: bool
    product: bool
    attribute: bool
    prohibited: tuple[str, ...]
    contradicted: tuple[str, ...]
    coverage: float

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, in words; coverage is no fault."""
        found = {
            f"{self.length} characters are too long" if self.length else "no text": not self.short,
            "no call to act": not self.calls,
            "no subject line": not self.subject,
            "brand missing or misspelt": not self.brand,
            "another language": not self.language,
            "product not named": not self.product,
            "no attribute stated": not self.attribute,
            f"prohibited: {', '.join(self.prohibited)}": bool(self.prohibited),
            f"contradicted: {', '.join(self.contradicted)}": bool(self.contradicted),
        }
        return tuple(fault for fault, holds in found.items() if holds)

    @property
    def fits(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def shown_length(text: str) -> int:
    """The number of characters that a reader sees: each counts 1, a Han character as a letter, a blank or a mark.

    Counted in NFC without blanks at both ends; combining marks, joiners and variation selectors count with their base.

    >>> shown_length("1.2升水壶 ")
    6
    """
    composed = unicodedata.normalize("NFC", text.strip())
    return sum(not unicodedata.category(char).startswith(("M", "Cf")) for char in composed)


def check_advertisement(
    text: str, facts: Mapping[str, str], *, channel: str, language: str = "en", title: str = ""
) -> AdvertisementCheck:
    """Holds an advertisement against its channel, the law and the product's record.

    Args:
        text: the advertisement, an e-mail with its subject line.
        facts: attribute name -> value as shown.
        channel: a key of `ADVERTISEMENT_LIMITS`.
        language: of the text.
        title: of the product.

    Raises:
        ConfigError: no such channel.
    """
    if channel not in ADVERTISEMENT_LIMITS:
        raise ConfigError(f'channel is "{channel}": it has to be one of {", ".join(ADVERTISEMENT_LIMITS)}.')
    ledger = check_claims(text, facts, language=language, title=title)
    checkable = set(check_claims("", facts, language=language, title=title).omitted)
    brands = {name: value.strip() for name, value in facts.items() if _BRAND.fullmatch(name.strip())}
    others = {name: value for name, value in facts.items() if name not in brands and value.strip()}
    # What no rule can check is stated where it stands as the record has it.
    stated = (checkable - set(ledger.omitted)) & {*others}
    length = shown_length(text)
    return AdvertisementCheck(
        length=length,
        short=0 < length <= ADVERTISEMENT_LIMITS[channel][language],
        calls=any(not _STOPS.search(text[max(0, call.start() - 200) : call.start()]) for call in _CALLS.finditer(text)),
        subject=channel != "email" or bool(_SUBJECT.match(unicodedata.normalize("NFKC", text))),
        brand=all(_spelt(text, value) for value in brands.values()),
        language=any(map(str.isalpha, text)) and language_of(text) == language,
        product=_named(text, title, brands.values()),
        attribute=not others or bool(stated) or any(_told(text, value) for value in others.values()),
        prohibited=tuple(offence.words for offence in offences(text, language, facts)),
        contradicted=tuple(claim.words for claim in ledger.claims if claim.verdict == "contradicted"),
        coverage=1 - len(checkable & set(ledger.omitted)) / len(checkable) if checkable else float("nan"),
    )


def _spelt(text: str, brand: str) -> bool:
    """Whether the brand is named, and in no place with other capitals."""
    name = re.escape(brand.strip())
    named = re.findall(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", text, re.IGNORECASE)
    return not name or (bool(named) and all(found == brand.strip() for found in named))


def _told(text: str, words: str) -> bool:
    """Whether the words stand in the text, in any capitals and not within other words; an English plural counts."""
    return bool(re.search(rf"(?<![a-z0-9]){re.escape(words.strip().casefold())}(?:e?s)?(?![a-z0-9])", text.casefold()))


def _named(text: str, title: str, brands: Iterable[str]) -> bool:
    """Whether the title is named: its end, or half of its words (pairs of Han characters) that are not the brand's."""
    for brand in brands:
        title = title.replace(brand, " ")
    pairs = [pair[::-1] for pair in re.findall(r"[一-鿿]{2}", title[::-1])]
    parts = [*pairs, *reversed(re.findall(r"[^\W_一-鿿]{2,}", title))]  # what it ends with is the first
    named = [_told(text, part) for part in parts]
    return not parts or named[0] or 2 * sum(named) >= len(named)
