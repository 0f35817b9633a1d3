"""Finds personal data in texts of either language: where it stands, and of what kind it is.

    find_personal("电话13812345678，谢谢", "zh") -> [Found(start=2, end=13, kind="phone")]

Numbers count only when they can be what they look like: cards by issuer and Luhn digit, IBANs and resident ids by their
check digits, telephone numbers by the numbering plans of the regions that write the language, or by a word before them
that says so. Prices, sizes, dates and model numbers therefore stay. Names are found only where they are given: those
that a record itself carries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from shoplm_audit.data.duplicates import HAN

__all__ = ["HONORIFIC", "PRODUCT_NUMBER", "Found", "Kind", "find_personal", "is_person_name", "scrubbed"]

Kind: TypeAlias = Literal["name", "order", "email", "iban", "id", "card", "phone", "address"]
REGIONS: Mapping[str, tuple[str, ...]] = {"en": ("US", "GB"), "zh": ("CN",)}

# Full-width digits, letters and signs, odd dashes and blanks, one for one: positions stay true.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_NARROW |= dict.fromkeys(map(ord, "‐‑‒–—−"), ord("-"))
_NARROW |= dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"), ord(" "))

_LETTER = rf"[^\W{HAN}]"  # no Han: Chinese writes an address of this kind without a blank before it
_LABEL = rf"(?:{_LETTER}|-){{1,63}}"
_EMAIL = re.compile(
    rf"(?<![A-Za-z0-9]){_LETTER}(?:{_LETTER}|[.%+'-]){{0,63}}@{_LABEL}(?:\.{_LABEL}){{0,6}}\.[A-Za-z]{{2,24}}"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_RESIDENT = re.compile(r"(?<![A-Za-z0-9])[0-9]{17}[0-9Xx](?![A-Za-z0-9])")
_SOCIAL = re.compile(r"(?<![A-Za-z0-9-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![A-Za-z0-9-])")
_CARD = re.compile(r"(?<![A-Za-z0-9.,-])[0-9](?:[ -]?[0-9]){11,18}(?![A-Za-z0-9]|[.,][0-9])")
# By ISO/IEC 7812: Visa, Mastercard (two ranges), American Express, Diners, JCB (two), Discover and UnionPay, Maestro.
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|(?:1800|2131)\d{11}"
    r"|6(?:011|4[4-9]|5|2)\d{12,16}|(?:50|5[6-8]|6)\d{10,17}"
)

# What a number looks like after (or before) a word that says that it is one, in whatever country.
# Atomic, as the groups of a long number can be cut in a million ways.
_LINE = r"(?>\+?\(?[0-9]{1,4}\)?(?:[ .-]?\(?(?:[0-9]{2,12}|0)\)?){1,6}(?:x[0-9]{1,5})?)"
_SAYS = "(?:tele)?phones?|tel|mobile|cell|fax|desk|whatsapp|hotline|call|ring|text|dial|reach|answering|messages"
_SAYS_ZH = "电话|手机|座机|热线|致电|拨打|联系方式|传真"
_SAID = re.compile(
    rf"(?:\b(?:{_SAYS})\b[^0-9+(.!?]{{0,25}}|(?:{_SAYS_ZH})[^0-9+(\n，。！？,!?]{{0,8}})(?P<line>{_LINE})"
    r"(?![0-9A-Za-z%°元块]|[.,][0-9]|[ -](?:[kM]?Hz|mAh|[km]?W|mm|cm|[kMG]B|lm|rpm)\b)"
    rf"|(?<![0-9A-Za-z.,$£€-])(?P<line_before>{_LINE})[ -](?:office|fax|mobile|home|cell)\b",
    re.IGNORECASE,
)
# Ten digits or more alone are a telephone number when they begin as one: with a trunk zero, a Chinese mobile prefix or
# the 400 or 800 of a free line. This is what they look like otherwise, however valid they may be.
_BARE = re.compile(r"[0-9]{1,9}|(?!0|1[3-9]|[48]00)[0-9]+")
# Words before a number of a thing.
PRODUCT_NUMBER = re.compile(
    r"(?:编号|货号|型号|批次|批号|条码|条形码|[Mm]odel|[Ii]tem|[Bb]arcode|[Pp]art(?: ?[Nn]o\b| ?[Nn]umber| ?#)?"
    r"|\b(?:SKU|IS[BS]N|ASIN|OCLC|EAN|GTIN|UPC|MPN))(?:[^0-9A-Za-z]{0,4}(?:number|no|code|is|was)\b){0,2}[^0-9A-Za-z]{0,6}$"
)
_NO_PHONE = re.compile(rf"(?:订单|单号|[Oo]rder)[^0-9]{{0,6}}$|{PRODUCT_NUMBER.pattern}")
_DATE = re.compile(r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}|(?:19|20)\d\d[ -](?:19|20)\d\d")
_MANY_DIGITS = re.compile(r"(?:[0-9][^0-9A-Za-z]{0,3}){6}[0-9]")

_CAPITAL = r"[A-Z][\w'’.-]*"
_UNIT = r"(?:Apt|Apartment|Suite|Ste|Flat|Unit|Floor)\.? ?#?[0-9][0-9A-Za-z-]{0,4}\b"
# Words that name nothing but a street, and words that also name a thing in a title ("64 GB Flash Drive").
_STREET = "Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Boulevard|Blvd|Crescent|Terrace|Gardens|Parkway|Pkwy"
_PLACE = "Drive|Dr|Close|Way|Row|Hill|Place|Pl|Court|Ct|Square|Sq|Highway|Hwy|Trail|Circle"
_MEASURE = r"(?:[GTMK]i?B|Inch(?:es)?|Pieces?|Pcs?|Pack|Way|Hours?|Days?|Watts?|Volts?|Ports?|Feet|Foot|Oz|Sq)\b"
_TAIL = (  # a unit, then a town with its ZIP code or postcode
    rf"(?:,?\s+{_UNIT})?"
    rf"(?:(?:,?\s+{_CAPITAL}){{0,3}},?\s+"
    r"(?:[A-Z]{2},? [0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2})\b)?"
)
_ADDRESS_EN = re.compile(
    rf"(?<![\w.,$£€-])[0-9]{{1,5}}[A-Za-z]?,? (?!{_MEASURE})(?:[NSEW]\.? )?(?:{_CAPITAL} ){{1,3}}?"
    rf"(?:(?:{_STREET})\b\.?|(?:{_PLACE})\b(?=\.?(?:,?\s+{_UNIT}|, (?!{_MEASURE})[A-Z][a-z]+|\n)))"
    rf"{_TAIL}"
    rf"|(?<![\w.,$£€-])[0-9]{{1,5}} (?:{_CAPITAL} ){{1,3}}(?:[0-9]{{1,4}} )?"
    rf"(?:Apt|Apartment)\.? ?#?[0-9]{{1,4}}\b{_TAIL}"
    rf"|(?:(?<=\b[Aa]t )|(?<=\b[Tt]o )|(?<=ress: )|(?<=ress is ))[0-9]{{1,5}}[A-Za-z]? (?!{_MEASURE})"
    rf"(?:{_CAPITAL} ){{1,3}}?(?:{_PLACE})\b{_TAIL}"
    rf"|\b(?:PSC|Unit) [0-9]{{3,5}},? Box [0-9]{{1,5}}\s+[ADF]PO,? A[AEP] [0-9]{{5}}\b|\bP\.? ?O\.? ?Box [0-9]{{1,6}}\b"
)
# Characters that stand before an address but hardly in one, so that "我住在人民路12号" loses only the address.
_PART = rf"(?:(?![的了在到是从我你他她它们住寄给很去址把有这那])[{HAN}])"
_HOUSE = (
    r"[东西南北中]?(?:[一二三四五六]段)?\s?(?:[甲乙丙丁]?[0-9]{1,5}(?:-[0-9]{1,5})?|[一二三四五六七八九十百]{1,5})"
    r"\s?(?:弄|号院|号楼|号|栋|幢|座|单元|楼|层|室|#)"
)
_ADDRESS_ZH = re.compile(
    rf"(?>(?:{_PART}{{2,8}}?(?:省|自治区))?)(?>(?:{_PART}{{2,8}}?(?:市|自治州|盟))?)(?>(?:{_PART}{{1,8}}?(?:区|县|旗)(?!\s?[0-9]))?)"
    rf"(?>(?:{_PART}{{1,8}}?(?:镇|乡|街道)(?!\s?[0-9]))?)"
    rf"(?:{_PART}{{1,7}}?(?:路|街|大道|巷|胡同)(?:[0-9]{{1,4}}弄)?{_HOUSE}"
    rf"|{_PART}{{2,8}}?(?:小区|花园|公寓|大厦|新村|家园|苑)\s?[0-9]{{1,4}}\s?(?:号楼|栋|幢|座|单元))"
    rf"(?:[,，-]?\s?[0-9A-Z]{{1,5}}\s?(?:号楼|号|栋|幢|座|单元|楼|层|室))*(?:[,，-]?\s?[0-9]{{3,4}}(?![0-9]))?"
)

# The surnames of about nine in ten people in China, and the two-character ones.
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹"
    "熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向汤"
)
_PERSON_ZH = re.compile(rf"(?:[{_SURNAMES}]|欧阳|司马|上官|诸葛|东方|皇甫|尉迟)[{HAN}]{{1,2}}")
_PERSON_EN = re.compile(rf"(?:(?:(?![{HAN}])[^\W\d_])[\w.'’-]* ?){{2,}}")
_NOBODY = re.compile(
    r"\b(?:customer|user|buyer|shopper|guest|reader|reviewer|anonymous|amazon|kindle)\b", re.IGNORECASE
)
HONORIFIC = "(?=先生|女士|小姐|太太|老师|师傅|经理)"


@dataclass(frozen=True, slots=True)
class Found:
    """Personal data of a kind at text[start:end]."""

    start: int
    end: int
    kind: Kind


def find_personal(text: str, language: str, known: Mapping[str, Kind] | None = None) -> list[Found]:
    """The personal data in a text, in order and without overlaps.

    Args:
        text: any text; full-width digits and signs count as plain ones.
        language: "en" or "zh": whose telephone numbers are looked for (numbers with a country code always are); any
            other value looks for both.
        known: values that the text's record carries, and their kind. A name is also found by its parts ("Ms Oduya"),
            as whole words, and in Chinese before an honorific (李女士).

    >>> find_personal("Mail mei@example.com, £1,299.00", "en")
    [Found(start=5, end=20, kind='email')]
    """
    plain = text.translate(_NARROW)
    taken: list[Found] = []
    for found in _all(plain, language, known or {}):
        if all(found.end <= other.start or other.end <= found.start for other in taken):
            taken.append(found)
    return sorted(taken, key=lambda found: found.start)


def scrubbed(text: str, found: list[Found]) -> str:
    """The text with what was found replaced by placeholders.

    >>> scrubbed("Mail mei@example.com!", [Found(5, 20, "email")])
    'Mail [EMAIL]!'
    """
    pieces, done = [], 0
    for each in found:
        pieces += [text[done : each.start], f"[{each.kind.upper()}]"]
        done = each.end
    return "".join([*pieces, text[done:]])


def is_person_name(value: str) -> bool:
    """Whether a user is called by a person's name, and not by an id, a nickname of one word or "Amazon Customer".

    >>> [is_person_name(value) for value in ("Mira Oduya", "李凤英", "A3NHUQ33CFH3VM", "Kindle Customer", "匿名用户")]
    [True, True, False, False, False]
    """
    value = value.strip()
    if _PERSON_ZH.fullmatch(value):
        return True
    words = value.split()
    capitals = 2 <= len(words) <= 4 and all(word[0].isupper() for word in words)
    return capitals and bool(_PERSON_EN.fullmatch(value)) and not _NOBODY.search(value)


def _all(text: str, language: str, known: Mapping[str, Kind]) -> Iterator[Found]:
    """Everything that looks like personal data; of two that overlap, the one that is told first is the surer one."""
    for value, kind in known.items():
        if len(value.strip()) < 2:  # one letter is in every text
            continue
        yield from (Found(*match.span(), kind) for match in _known(value, kind).finditer(text))
    if "@" in text:
        yield from (Found(*match.span(), "email") for match in _EMAIL.finditer(text))
    if any(character.isdecimal() for character in text):
        yield from _numbers(text)
        yield from _phones(text, language)
        for pattern in (_ADDRESS_EN, _ADDRESS_ZH):
            yield from (Found(*match.span(), "address") for match in pattern.finditer(text))


def _known(value: str, kind: Kind) -> re.Pattern[str]:
    plain = value.translate(_NARROW).strip()
    words = plain.split()
    whole = r"\s+".join(map(re.escape, words))
    if re.search(rf"[{HAN}]", plain):
        surname = rf"|{re.escape(plain[0])}{HONORIFIC}" if kind == "name" else ""
        return re.compile(whole + surname)
    forms = [rf"(?i:{whole})"]
    if kind == "name" and len(words) > 1:
        forms += [re.escape(word) for word in words if len(word) > 1 and word[0].isupper() and word[-1] != "."]
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)")


def _numbers(text: str) -> Iterator[Found]:
    from stdnum import ean, iban, luhn
    from stdnum.cn import ric
    from stdnum.us import ssn

    def is_card(number: str) -> bool:
        digits = re.sub(r"[ -]", "", number)
        is_bar_code = len(digits) < 14 and ean.is_valid(digits)
        return bool(_ISSUED.fullmatch(digits)) and luhn.is_valid(digits) and not is_bar_code

    yield from _longest(_IBAN, text, iban.is_valid, "iban")
    for pattern, standard in ((_RESIDENT, ric), (_SOCIAL, ssn)):
        yield from (Found(*match.span(), "id") for match in pattern.finditer(text) if standard.is_valid(match[0]))
    yield from _longest(_CARD, text, is_card, "card")


def _longest(pattern: re.Pattern[str], text: str, is_valid: Callable[[str], bool], kind: Kind) -> Iterator[Found]:
    """The longest valid beginning of each match, in whole groups: a word or a date may follow that looks like one."""
    for match in pattern.finditer(text):
        ends = [match.end(), *(match.start() + gap.start() for gap in reversed([*re.finditer("[ -]", match[0])]))]
        for end in ends:
            if is_valid(text[match.start() : end]):
                yield Found(match.start(), end, kind)
                break


def _phones(text: str, language: str) -> Iterator[Found]:
    if not _MANY_DIGITS.search(text):  # the matcher of phonenumbers takes half a millisecond
        return
    from phonenumbers import Leniency, PhoneNumberMatcher

    matches = list(PhoneNumberMatcher(text, None)) if "+" in text else []
    for region in REGIONS.get(language, sum(REGIONS.values(), ())):
        leniency = Leniency.VALID if region == "CN" else Leniency.STRICT_GROUPING  # Chinese groups digits as it likes
        matches += [
            match
            for match in PhoneNumberMatcher(text, region, leniency)
            if not _BARE.fullmatch(re.sub("[^0-9]", "", match.raw_string) if region == "CN" else match.raw_string)
            and not _NO_PHONE.search(text, max(0, match.start - 24), match.start)
        ]
    yield from (Found(match.start, match.end, "phone") for match in matches)
    for said in _SAID.finditer(text):
        name = "line" if said["line"] else "line_before"
        if 7 <= sum(map(str.isdecimal, said[name])) <= 15 and not _DATE.match(said[name]):
            yield Found(*said.span(name), "phone")
