"""What a text states of a product beyond measures, colours, materials and brands, and what the record says to it.

    next(statements_in("Machine washable.", "machine washable.", record)) -> Statement(0, 16, "care", Finding(...))

A statement is a phrase of the lattice ("waterproof", 可机洗), a size, an origin, a model's name, a device that it fits,
or praise and figures that no record could settle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shoplm_audit.scoring.adjudication import TURNED, Finding, best
from shoplm_audit.scoring.certificates import certificates_in, listed_certificates
from shoplm_audit.scoring.compatibility import devices_in, judge_device
from shoplm_audit.scoring.denial import denied, denies
from shoplm_audit.scoring.phrases import PHRASES, Phrase
from shoplm_audit.scoring.places import contains, origins_in, place_of, places_in
from shoplm_audit.scoring.record_reading import Record, Slot, says
from shoplm_audit.scoring.sizes import judge_sizes, sizes_in, sizes_of
from shoplm_audit.scoring.vocabulary import Kind, Verdict

__all__ = ["Statement", "statements_in"]

_MODEL = re.compile(
    r"\b(?:(?:model|sku)(?: (?:no\.?|number|code|name))?|(?:item|part|style|article) (?:no\.?|number|code))"
    r"(?: is|:|#)*\s{0,2}"
    r"(?P<latin>(?=[\w./-]*\d)[A-Za-z0-9][\w./-]*\w)(?! ?(?:cm|mm|m|kg|lbs?|ft|in|inch(?:es)?|years?)\b)"
    r"|(?:型号|货号|款号|产品编号)[为是:]?\s{0,2}(?P<han>[A-Za-z0-9][A-Za-z0-9./-]+)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"(?:19|20)\d\d$|\d$|[\d.]+(?:gb|tb|mm|cm|in|kg|mah|w|v|ml|l)$", re.IGNORECASE)
_PEOPLE = "(?:users|customers|people|women|men|dentists|doctors|buyers|reviewers|experts|owners|parents|shoppers)"
# Runs of digits are bounded, so that a text of nothing else is read in linear time.
_STATISTIC = re.compile(
    rf"\b\d[\d.,]{{0,15}} ?(?:%|percent) of (?:our |all |the )*{_PEOPLE}"
    rf"|(?:\d{{1,9}}|\b[a-z]{{3,5}}) (?:out of|in) (?:every )?\w+ {_PEOPLE}"
    r"|(?:#1\b|\bno\. ?1\b|\bnumber one\b)(?: best[ -]sell\w+| [a-z-]+)?"
    r"|\b\d[\d,.]{0,15}\+?(?: (?:million|thousand)|k)?\+? "
    r"(?:units? sold|sold\b|(?:happy |satisfied )?customers|(?:positive )?reviews\b)"
    r"|\brated \d(?:\.\d)?(?: ?/ ?5| out of (?:5|five)| stars)?|\b\d\.\d(?:[- ]stars?\b| out of (?:5|five)\b)"
    r"|(?:\d[\d.]{0,9}%|百分之[\d一二三四五六七八九十]+)的?(?:用户|顾客|消费者|买家|女性|人)|好评率(?:高?达|超过?|为)?\s?\d[\d.]*%"
    r"|(?:月销|销量|累计销售|热销|已售|销售)(?:超过?|突?破|达)?\s?\d[\d.]*[万千百]?\+?[件单台双套]?"
    r"|\d[\d.]{0,9}[万千]\+?(?:用户|买家|人好评|好评)|评分(?:高?达|为)?\s?\d(?:\.\d)?"
)
# Words in -est that compare nothing.
_NO_SUPERLATIVE = (
    "latest|forest|interest|guest|west|east|rest|test|quest|honest|modest|nearest|slightest|chest|harvest|request"
)
_SUPERLATIVE = re.compile(
    rf"\b(?:the|our|world's) (?:very )?(?P<latin>most [a-z]{{4,}}(?! of\b)|(?!(?:{_NO_SUPERLATIVE})\b)[a-z]{{3,}}est\b)"
    r"(?! (?:size|part|people|bit))"
)
# A name whose number is its grade: SPF 30, Bluetooth 5.0, Wi-Fi 6, 10 ATM, i7.
_GRADE = re.compile(
    r"\b(?P<name>spf|bluetooth|wi-?fi|core i"
    r"|intel i)(?:[ :-]?v?(?:ersion )?)(?P<number>\d{1,3}(?:\.\d)?)(?![\d.]*\d)\+{0,2}"
    r"|\b(?P<depth>\d{1,3}) ?(?P<unit>atm)\b|(?P<han>蓝牙|防晒指数|防晒系数)[ 为:]?(?P<level>\d{1,3}(?:\.\d)?)"
)
_GRADE_NAMES = {"蓝牙": "bluetooth", "防晒指数": "spf", "防晒系数": "spf", "wi-fi": "wifi", "intel i": "core i"}
_RATING = re.compile(r"\d(?:\.\d)?")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with the record's answer."""

    start: int
    end: int
    kind: Kind
    finding: Finding


def statements_in(plain: str, lower: str, record: Record) -> Iterator[Statement]:
    """The statements of a text, levelled (`plain`) and in lower case besides, each held against the record."""
    for phrase in PHRASES.find(lower):
        kind, finding = _judge_phrase(phrase, lower, record)
        if finding:
            yield Statement(phrase.start, phrase.end, kind, finding)
    for start, end, kind, verdict, slot in _assertions(plain, lower, record):
        yield _asserted(start, end, kind, verdict, slot, lower, record)
    for device in devices_in(plain):
        verdict, slot = judge_device(device.words, record)
        place = device.start, device.end
        yield _asserted(*place, "compatibility", verdict, slot, lower, record, before=device.cue)
    for match in _SUPERLATIVE.finditer(lower):
        yield Statement(*match.span("latin"), "superlative", _judge_praise(match["latin"], record))


def _assertions(plain: str, lower: str, record: Record) -> Iterator[tuple[int, int, Kind, Verdict, Slot | None]]:
    """What stands in the form of a statement, denied or not."""
    for claim in sizes_in(plain):
        han = [(slot, not (slot.value + slot.name).isascii()) for slot in record.answering("size")]
        known = [(sizes_of(slot.value, chinese), slot) for slot, chinese in han]
        judged = [(judge_sizes(claim.sizes, sizes), slot) for sizes, slot in known if sizes]
        yield claim.start, claim.end, "size", *best(judged)
    for origin in origins_in(lower):
        yield origin.start, origin.end, "origin", *_judge_origin(origin.place, origin.deed, record)
    for match in _MODEL.finditer(plain):
        name = match["latin"] or match["han"]
        if not _NO_MODEL.match(name):
            yield *match.span(), "model", *_judge_model(name, record)
    for start, end, verdict, slot in certificates_in(plain, lower, record):
        yield start, end, "certificate", verdict, slot
    for match in _GRADE.finditer(lower):
        if graded := _judge_grade(match, record):
            yield *match.span(), "attribute", *graded
    for match in _STATISTIC.finditer(lower):
        yield *match.span(), "statistic", *_judge_statistic(match[0], record)


def _asserted(
    start: int,
    end: int,
    kind: Kind,
    verdict: Verdict,
    slot: Slot | None,
    lower: str,
    record: Record,
    *,
    before: int | None = None,
) -> Statement:
    """The statement, or its denial with the verdict turned; what a value or the title says in the same words holds."""
    words = lower[start:end]
    if verdict != "supported" and (quoted := _quoted(words, record)):
        verdict, slot = "supported", quoted
    cue = start if before is None else before
    if denied(lower[max(0, cue - 48) : cue]) or denies(lower, cue, end):
        kind = "negation"
        verdict = TURNED.get(verdict, verdict)
    return Statement(start, end, kind, _finding(verdict, slot, kind))


def _finding(verdict: Verdict, slot: Slot | None, kind: str) -> Finding:
    if slot is None:
        return Finding(verdict, None, f"record says nothing of it ({kind})")
    settled = "" if verdict in ("supported", "contradicted") else ", which does not settle it"
    return Finding(verdict, slot, says(slot) + settled, verdict != "unsupported")


def _quoted(words: str, record: Record) -> Slot | None:
    """The value or title that says the same words, iPhone 1 not being said by iPhone 15."""
    for slot in record.values:
        if words in slot.value and re.search(rf"(?<![a-z\d]){re.escape(words)}(?![a-z\d])", slot.value):
            return slot
    return None


def _judge_phrase(phrase: Phrase, lower: str, record: Record) -> tuple[Kind, Finding | None]:
    claim = phrase.concept, phrase.holds
    kind: Kind = _KINDS[phrase.kind] if phrase.holds else "negation"
    if phrase.kind == "superlative":  # no record settles it
        return "superlative", _judge_praise(lower[phrase.start : phrase.end], record) if phrase.holds else None
    for said in record.said:
        if PHRASES.supports(said.literal, claim):
            return kind, _finding("supported", said.slot, kind)
    if phrase.concept == "lifetime" and phrase.holds:
        limited = next((slot for slot in record.slots if _limits(slot)), None)
        if limited:
            return kind, _finding("contradicted", limited, kind)
    for said in record.said:
        if said.firm and PHRASES.contradicts(said.literal, claim):
            return kind, _finding("contradicted", said.slot, kind)
    if phrase.kind == "certificate" and (named := listed_certificates(record)):
        verdict: Verdict = "supported" if phrase.concept == "certified" else "contradicted"
        verdict = verdict if phrase.holds else TURNED[verdict]
        return kind, _finding(verdict, named[0], kind)
    if not phrase.holds and phrase.kind not in ("attribute", "contains", "care", "ip"):
        return kind, None
    return kind, _finding("unsupported", None, kind)


_KINDS: dict[str, Kind] = {
    "target": "target",
    "care": "care",
    "certificate": "certificate",
    "promise": "promise",
    "environment": "environment",
    "health": "health",
    "superlative": "superlative",
    "statistic": "statistic",
}
_KINDS |= dict.fromkeys(("attribute", "contains", "ip"), "attribute")


def _limits(slot: Slot) -> bool:
    """Whether an attribute grants a warranty for a time."""
    return bool(re.search(r"warrant|guarantee|质保|保修", slot.name.lower())) and any(
        quantity.dimension == "time" for quantity in slot.quantities
    )


def _judge_praise(words: str, record: Record) -> Finding:
    quoted = _quoted(words, record)
    return (
        _finding("supported", quoted, "superlative") if quoted else Finding("uncheckable", None, "no record settles it")
    )


def _judge_origin(place: str, deed: str, record: Record) -> tuple[Verdict, Slot | None]:
    verdicts: list[tuple[str, Slot]] = []
    for slot in record.answering("origin"):
        if deed == "designed":
            continue
        known = places_in(slot.value.lower()) or (place_of(slot.value),)
        if any(contains(place, each) for each in known):
            verdicts.append(("supported", slot))
        elif all(contains(each, place) for each in known):
            verdicts.append(("unsupported", slot))
        else:
            verdicts.append(("contradicted", slot))
    return best(verdicts)


def _code(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _judge_model(name: str, record: Record) -> tuple[Verdict, Slot | None]:
    code = _code(name)
    for slot in record.values:
        if code in _code(slot.value):
            return "supported", slot
    slots = [slot for slot in record.answering("model") if slot.value.strip()]
    if any((known := _code(slot.value)) and known in code for slot in slots):
        return "supported", slots[0]
    return ("contradicted", slots[0]) if slots else ("unsupported", None)


def _grade(match: re.Match[str]) -> tuple[str, float]:
    name = match["name"] or match["unit"] or match["han"]
    return _GRADE_NAMES.get(name, name), float(match["number"] or match["depth"] or match["level"])


def _judge_grade(match: re.Match[str], record: Record) -> tuple[Verdict, Slot | None] | None:
    """A grade against those of its name that any value gives; None where none does."""
    name, number = _grade(match)
    verdicts: list[tuple[str, Slot]] = []
    for slot in record.values:
        known = {_grade(each) for each in _GRADE.finditer(f"{slot.name.lower()} {slot.value}")}
        numbers = {value for other, value in known if other == name}
        if numbers:
            verdicts.append(("supported" if number in numbers else "contradicted", slot))
    return best(verdicts) if verdicts else None


def _judge_statistic(words: str, record: Record) -> tuple[Verdict, Slot | None]:
    """A rating against the record's rating; the record settles no other figure unless it says the same."""
    number = _RATING.search(words)
    if number and re.search(r"rated|stars?\b|out of (?:5|five)|评分", words):
        verdicts: list[tuple[str, Slot]] = []
        for slot in record.answering("statistic"):
            known = _RATING.search(slot.value)
            if known and re.search(r"rating|评分", slot.name.lower()):
                same = abs(float(known[0]) - float(number[0])) < 0.05
                verdicts.append(("supported" if same else "contradicted", slot))
        return best(verdicts)
    return "unsupported", None
