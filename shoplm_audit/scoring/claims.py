"""The claim ledger: what a text says of a product in checkable words, and what the record says to each claim.

    check_claims("A navy kettle, 2 kg.", {"colour": "blue", "weight": "1.2 kg"}).claims[1]
    -> Claim(15, 19, "quantity", "2 kg", "contradicted", "weight", "record says weight 1.2 kg")

Supported is what the record says or implies (navy implies blue). Contradicted is what cannot hold beside the record:
another colour, another fibre, another number of the same dimension, the opposite of a feature. Unsupported is a finer
word than the record's (blue does not imply navy), a kind the record lacks, the colour or material of a part (white
stripes, plastic lid) or of what is worn with it. Uncheckable is praise that no record could settle; prohibited what a
law forbids to say, whatever the record says. What a text only likens ("soft as silk") is no claim.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from shoplm_audit.scoring.adjudication import TURNED, Finding, judge_quantity, judge_words
from shoplm_audit.scoring.brand_names import brands_in, is_copy
from shoplm_audit.scoring.denial import denies, questions, withdrawn
from shoplm_audit.scoring.mentions import around, lowered, mentions_in
from shoplm_audit.scoring.quantities import Quantity, agrees, level, quantities_in
from shoplm_audit.scoring.record_reading import Record, aged, read_record, says
from shoplm_audit.scoring.statements import statements_in
from shoplm_audit.scoring.vocabulary import LEXICON, Kind, Verdict

__all__ = ["Claim", "Ledger", "check_claims"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable claim; `text[start:end]` are its `words`, `attribute` is the record's field it was held against.

    `why` names the evidence; `clause` the law's clause where the verdict is "prohibited".
    """

    start: int
    end: int
    kind: Kind
    words: str
    verdict: Verdict
    attribute: str = ""
    why: str = ""
    clause: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The claims of one text in order, and the checkable attributes of the record that it does not state."""

    claims: tuple[Claim, ...] = ()
    omitted: tuple[str, ...] = ()

    def _count(self, verdict: Verdict) -> int:
        return sum(claim.verdict == verdict for claim in self.claims)

    @property
    def supported(self) -> int:
        """How many claims the record says or implies."""
        return self._count("supported")

    @property
    def contradicted(self) -> int:
        """How many claims cannot hold beside the record."""
        return self._count("contradicted")

    @property
    def unsupported(self) -> int:
        """How many claims the record does not settle."""
        return self._count("unsupported")

    @property
    def uncheckable(self) -> int:
        """How many claims no record could settle: superlatives."""
        return self._count("uncheckable")

    @property
    def prohibited(self) -> int:
        """How many claims a rule of law forbids, as far as words can tell."""
        return self._count("prohibited")

    def spans_json(self) -> str:
        """`[[start, end, verdict, why, attribute, kind], ...]` for the report's highlights."""
        return json.dumps([[c.start, c.end, c.verdict, c.why, c.attribute, c.kind] for c in self.claims])


class _SchemaFinding(Protocol):
    """What a schema finds in a text: the words for one value of an attribute."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def attribute(self) -> str: ...
    @property
    def words(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def why(self) -> str: ...


class _Schema(Protocol):
    """A `scoring.schema.Schema`, as far as the ledger asks it."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that it knows."""
        ...

    def findings(self, text: str, facts: Mapping[str, str], language: str, title: str) -> tuple[_SchemaFinding, ...]:
        """The values that a text states, each with its verdict."""
        ...


_Row: TypeAlias = tuple[int, int, Kind, Finding]


def _words(lower: str, record: Record) -> Iterator[_Row]:
    for kind in LEXICON:
        for mention in mentions_in(kind, lower, loose=False, nouns=record.nouns):
            finding = judge_words(kind, mention, record, around(lower, mention.start, mention.end))
            if mention.likened and finding.verdict != "supported" and finding.slot not in record.denials:
                continue
            if mention.denied and (mention.aside or finding.verdict not in TURNED):
                continue
            if mention.denied:
                finding = replace(finding, verdict=TURNED[finding.verdict])
            yield mention.start, mention.end, "negation" if mention.denied else kind, finding
        for slot in record.of(kind):  # a word that no table knows is stated where it stands
            value = lowered(slot.value).strip()
            if not slot.mentions and value and (place := lower.find(value)) >= 0:
                yield place, place + len(value), kind, Finding("supported", slot, says(slot))


def _brands(plain: str, lower: str, record: Record, title: str) -> Iterator[_Row]:
    for start, end, finding in brands_in(plain, record, title):
        if finding.verdict == "supported" and (denies(lower, start, end) or is_copy(lower, start, end)):
            yield start, end, "negation", replace(finding, verdict="contradicted")
        else:
            yield start, end, "brand", finding


def _resolved(rows: list[_Row]) -> list[_Row]:
    """One claim where a word is colour and material ("copper", "solid gold"): settled, then longer, then supported."""
    rank = sorted(
        rows,
        key=lambda row: (row[3].verdict not in TURNED, row[0] - row[1], row[3].verdict != "supported", row[2]),
    )
    kept: list[_Row] = []
    covered: set[int] = set()
    for row in rank:
        if covered.isdisjoint(range(row[0], row[1])):
            kept.append(row)
            covered.update(range(row[0], row[1]))
    return kept


def _measured(text: str, lower: str, record: Record, found: list[_Row], stated: set[str]) -> Iterator[_Row]:
    """The quantities of a text; ages are the target's, warranties and deliveries are promises. Adds to `stated`."""
    taken = {place for start, end, kind, _ in found if kind in ("material", "negation") for place in range(start, end)}
    for quantity in quantities_in(text):
        if quantity.start in taken:  # 80 % cotton
            continue
        beside = around(lower, quantity.start, quantity.end)
        meant = aged(quantity, beside[0])
        if judged := judge_quantity(meant, record, beside, stated):
            finding, role = judged
            portion = _PORTION.search(lower, max(0, quantity.start - 30), quantity.start)
            if portion and portion[1] not in record.nouns and finding.verdict == "contradicted":
                finding = replace(finding, verdict="unsupported", states=False)
            kind = _KIND_OF_ROLE.get("age" if meant.dimension == "age" else role, "quantity")
            denied = not quantity.bound and denies(lower, quantity.start, quantity.end, measure=True)
            if finding.verdict in TURNED and denied:
                kind, finding = "negation", replace(finding, verdict=TURNED[finding.verdict])
            elif finding.verdict == "supported" and quantity.bound == "at most" and _below(lower, quantity, finding):
                finding = replace(finding, verdict="contradicted")
            yield quantity.start, quantity.end, kind, finding
            if finding.slot:
                stated.add(finding.slot.name)


# What a kettle fills is another thing's measure: "a cup (250 ml)".
_PORTION = re.compile(r"\b(cup|mug|glass|serving|portion|bowl|bottle|slice)(?:s|es)?(?: of)? \(?$")
_BELOW = re.compile(r"(?:(?<!no )(?<!not )\b(?:less than|below)|不到|不足|低于|(?<!不)小于|(?<!不)少于)\s*$")


def _below(lower: str, quantity: Quantity, finding: Finding) -> bool:
    """Whether a text says less than just what the record says: 不到1.7升."""
    if not finding.slot or not _BELOW.search(lower, max(0, quantity.start - 20), quantity.start):
        return False
    return any(agrees(replace(quantity, bound=""), known) for known in finding.slot.quantities if not known.bound)


_KIND_OF_ROLE: dict[str, Kind] = {"age": "target", "warranty": "promise", "delivery": "promise", "returns": "promise"}


def _nested(rows: list[_Row]) -> list[_Row]:
    """Without what lies inside a longer claim ("95 % of users"); of two on the same words the first stays."""
    kept: list[_Row] = []
    reach = -1
    for row in sorted(rows, key=lambda each: (each[0], -each[1])):
        if row[1] > reach:
            kept.append(row)
            reach = row[1]
    return kept


_WEIGHT: dict[Verdict, int] = {"supported": 2, "contradicted": 1}


_MEASURED = frozenset({"quantity", "promise", "target"})


def _gives_way(claim: Claim, finding: _SchemaFinding) -> bool:
    """Whether a typed claim leaves its words to what the schema finds: never where the record excludes a measure."""
    weight, settled = _WEIGHT.get(finding.verdict, 0), _WEIGHT.get(claim.verdict, 0)
    if not weight:
        return False
    excluded = finding.verdict == "contradicted"
    if claim.verdict == "contradicted" and claim.attribute and claim.kind in _MEASURED | {"negation"} and not excluded:
        return False
    same = finding.attribute == claim.attribute
    longer = claim.end - claim.start < finding.end - finding.start  # blue in Blue Spice, not 2 kg
    if claim.kind == "quantity":
        return (excluded and longer) or (weight > settled and (same or excluded))
    return longer or (weight > settled and (same or not settled))


def _with_schema(claims: list[Claim], findings: tuple[_SchemaFinding, ...], text: str) -> list[Claim]:
    """Adds what the schema finds where no typed claim is, and in place of what is less settled or a part of a name."""
    for each in findings:
        beside = [claim for claim in claims if claim.start < each.end and each.start < claim.end]
        if not all(_gives_way(claim, each) for claim in beside):
            continue
        claims = [claim for claim in claims if claim not in beside]
        words = text[each.start : each.end]
        claims.append(Claim(each.start, each.end, "attribute", words, each.verdict, each.attribute, each.why))
    return claims


def _meant(claims: list[Claim], lower: str) -> list[Claim]:
    """Without what the text only asks; turned where it answers no or takes back what it said."""
    asked = list(questions(lower))
    back, ahead = withdrawn(lower)
    if not asked and not back and ahead == len(lower):
        return claims
    meant = []
    for claim in claims:
        asking = next((no for start, end, no in asked if start <= claim.start < end), None)
        if asking is False:
            continue
        if (asking or claim.end <= back or claim.start >= ahead) and claim.verdict in TURNED:
            turned: Verdict = (
                "contradicted" if claim.verdict == "supported" else "supported" if asking else "unsupported"
            )
            claim = replace(claim, kind="negation", verdict=turned)
        meant.append(claim)
    return meant


def _under_law(claims: list[Claim], text: str, language: str, facts: Mapping[str, str]) -> list[Claim]:
    """Marks what a law forbids: the claims it covers, unless the record contradicts them, and words beside them."""
    from shoplm_audit.scoring.law import offences

    at: dict[int, list[int]] = {}  # character: the claims that it is in
    for place, claim in enumerate(claims):
        for character in range(claim.start, claim.end):
            at.setdefault(character, []).append(place)
    for offence in offences(text, language, facts):
        covered, span = False, range(offence.start, offence.end)
        for place in sorted({place for character in span for place in at.get(character, ())}):
            claim = claims[place]
            inside = offence.start <= claim.start and claim.end <= offence.end
            crossing = claim.kind == offence.kind and claim.start < offence.end and offence.start < claim.end
            if inside or crossing or (claim.start <= offence.start and offence.end <= claim.end):
                covered = True
                if claim.verdict not in ("contradicted", "prohibited"):
                    claims[place] = replace(claim, verdict="prohibited", why=offence.why, clause=offence.clause)
        if not covered:
            kind: Kind = offence.kind or "superlative"  # type: ignore[assignment]
            words = text[offence.start : offence.end]
            why, clause = offence.why, offence.clause
            for character in span:
                at.setdefault(character, []).append(len(claims))
            claims.append(Claim(offence.start, offence.end, kind, words, "prohibited", "", why, clause))
    return claims


# Characters without width, which part no word for who reads it.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def _without_unseen(text: str, facts: Mapping[str, str], language: str, title: str, schema: _Schema | None) -> Ledger:
    """The ledger of the text as it is seen, with the places of the text as it is."""
    places = [place for place, char in enumerate(text) if not _UNSEEN.match(char)]
    ledger = check_claims(
        "".join(text[place] for place in places), facts, language=language, title=title, schema=schema
    )
    spans = [(places[claim.start], places[claim.end - 1] + 1) for claim in ledger.claims]
    claims = [
        replace(claim, start=start, end=end, words=text[start:end])
        for claim, (start, end) in zip(ledger.claims, spans, strict=True)
    ]
    return Ledger(tuple(claims), ledger.omitted)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _encodable(text: str) -> str:
    """The text with U+FFFD for half a character, which no report could be written with; places stay what they were."""
    return _SURROGATE.sub("\ufffd", text)


def check_claims(
    text: str, facts: Mapping[str, str], *, language: str = "en", title: str = "", schema: _Schema | None = None
) -> Ledger:
    """Reads the checkable claims of a text and holds each against the product's record.

    Args:
        text: what was written about the product.
        facts: attribute name -> value as shown ("weight": "1.2 kg"); kinds are inferred from name and value.
        language: of the text, for the laws of its market and the schema. Words of both languages are read in any text,
            since shop copy mixes them.
        title: of the product: what it names is supported.
        schema: what attributes of this catalogue can be and how texts say it; its findings are claims of the kind
            "attribute" where no typed claim settles the words.

    Returns:
        The ledger, claims in the order of the text.

    >>> check_claims("Kettle by Norvik, 1.2 l.", {"brand": "Norvik", "capacity": "1.7 l"}).contradicted
    1
    """
    text, title = _encodable(text), _encodable(title)
    if _UNSEEN.search(text):
        return _without_unseen(text, facts, language, title, schema)
    facts = {_encodable(str(name)): _encodable(str(value)) for name, value in facts.items() if value is not None}
    record = read_record(tuple(facts.items()), title)
    plain, lower = level(text), lowered(text)
    found = _resolved(list(_words(lower, record)))
    found += _brands(plain, lower, record, title)
    found += [(each.start, each.end, each.kind, each.finding) for each in statements_in(plain, lower, record)]
    stated = {finding.slot.name for _, _, _, finding in found if finding.slot and finding.states}
    found += list(_measured(text, lower, record, found, stated))
    claims = [
        Claim(start, end, kind, text[start:end], it.verdict, it.slot.name if it.slot else "", it.why)
        for start, end, kind, it in _nested(found)
    ]
    if schema is not None:
        findings = schema.findings(text, facts, language, title)
        claims = _with_schema(claims, findings, text)
        stated |= {each.attribute for each in findings if each.verdict == "supported"}
    claims = _under_law(_meant(claims, lower), text, language, facts)
    values = {(slot.kind, slot.value) for slot in record.slots if slot.name in stated}  # 价格 and price are one
    omitted = tuple(
        slot.name for slot in record.slots if slot.name not in stated and (slot.kind, slot.value) not in values
    )
    if schema is not None:
        typed = {slot.name for slot in record.slots}
        omitted += tuple(name for name in facts if name in schema.attributes and name not in typed | stated)
    return Ledger(tuple(sorted(claims, key=lambda claim: (claim.start, claim.end))), omitted)
