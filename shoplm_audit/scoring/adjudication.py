"""One claim against the record: is it borne out, excluded or not settled, and by which attribute?

judge_words("colour", Mention(2, 6, "navy"), record).verdict -> "supported" where the record says navy
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from shoplm_audit.scoring.mentions import Mention
from shoplm_audit.scoring.quantities import Quantity, agrees
from shoplm_audit.scoring.record_reading import Record, Slot, says
from shoplm_audit.scoring.vocabulary import LEXICON, Kind, Verdict

__all__ = ["TURNED", "Finding", "best", "judge_quantity", "judge_words"]

# A quantity is held against the attribute of the same role. A strict role (the upper rows of each dimension) stands for
# nothing else: 2 years of warranty are no battery life; sides are not strict, since shops name them in many ways.
_ROLE_TABLE = r"""
time + warranty: warrant|guarantee|质保|保修|联保
time + charging: \bcharges? (?:fully )?in\b|charging time|recharge|充满|充电时间|快充
time + battery: batter|runtime|\bruns?\b|\blasts?\b|(?:per|single) charge|play(?:time|back)|续航|待机|充一次|可用|播放
time + shelf life: shelf|expir|保质|有效期
time + history: \bago\b|experience|heritage|since|历史|经验
time + delivery: deliver|ship|dispatch|return|refund|发货|送达|退换|退货|无理由
time + age: \bages?\b|aged|toddler|year-old|岁
data + ram: \bram\b|\bmemory\b|运存|内存|运行
data + storage: storage|\bssd\b|\brom\b|\bdisk\b|存储|硬盘|闪存
length + screen: screen|display|monitor|屏
length + cable: \bcable|\bcord\b|线长|电源线
length + water: water|depth rating|防水|水深
length - length: length|\blong\b|长
length - width: width|\bwide\b|宽
length - height: height|\bhigh\b|\btall\b|高
length - depth: depth|\bdeep\b|thick|深|厚
length - diameter: diameter|across|直径|口径
mass + load: \bload|\bholds? up to\b|supports up|承重|载重|承载
mass - weight: weigh|重
price + discount: \bsave|\boff\b|discount|\bwas\b|orders? over|shipping|coupon|立减|优惠|满减|券|原价|包邮|省
percent + discount: \boff\b|discount|save|折|优惠
"""
_ROLES: dict[str, list[tuple[str, bool, re.Pattern[str]]]] = {}
for _line in _ROLE_TABLE.strip().splitlines():
    _head, _, _pattern = _line.partition(": ")
    _dimension, _mark, _role_name = _head.split(" ", 2)
    _ROLES.setdefault(_dimension, []).append((_role_name, _mark == "+", re.compile(_pattern)))


@dataclass(frozen=True, slots=True)
class Finding:
    """What the record says to a claim, by which attribute."""

    verdict: Verdict
    slot: Slot | None
    why: str
    states: bool = True  # the attribute, rightly or wrongly


_PRINTED = re.compile(r"\d[\d,]*(?:\.\d+)?")
# What a denial makes of a verdict.
TURNED: dict[Verdict, Verdict] = {"supported": "contradicted", "contradicted": "supported"}


def best(verdicts: list[tuple[str, Slot]]) -> tuple[Verdict, Slot | None]:
    """What one attribute supports holds, whatever another says."""
    for wanted in ("supported", "contradicted", "unsupported"):
        for verdict, slot in verdicts:
            if verdict == wanted:
                return wanted, slot
    return "unsupported", None


def judge_words(kind: Kind, mention: Mention, record: Record) -> Finding:
    """A colour or a material against the record, as if the text asserted it."""
    words, concept = LEXICON[kind], mention.concept
    for slot in record.denials:
        if slot.kind == kind and words.implies(concept, slot.mentions[0].concept):
            return Finding("contradicted", slot, says(slot))
    slots = record.of(kind)
    for slot in slots:
        matching = [known for known in slot.mentions if words.implies(known.concept, concept)]
        if matching:
            return Finding(_shares(mention, matching, slot), slot, says(slot))
    passing = [hint for hint in record.hints if hint.kind == kind]
    for slot in passing:
        if any(words.implies(known.concept, concept) for known in slot.mentions) and mention.share in (None, 100.0):
            return Finding("supported", slot, says(slot))
    if not slots:
        return Finding("unsupported", None, f"record has no {kind}")
    known = [each for slot in slots for each in slot.mentions]
    open_ = mention.aside or not known or any(each.blend for each in known)
    if open_ or not all(words.excludes(each.concept, concept) for each in known):
        finer = any(words.implies(concept, each.concept) for each in known)
        return Finding("unsupported", slots[0], f"{says(slots[0])}, which does not settle it", finer)
    return Finding("contradicted", slots[0], says(slots[0]))


def _shares(mention: Mention, matching: list[Mention], slot: Slot) -> Verdict:
    """A material that the record names, now by its share: a blend is not 100 %, 60 % is not 80 %."""
    shares = [known.share for known in matching if known.share is not None]
    blend = any(known.blend for known in slot.mentions) or any((known.share or 100) < 100 for known in slot.mentions)
    if mention.blend:
        return "supported" if blend else "contradicted" if 100.0 in shares else "unsupported"
    if mention.share is None:
        return "unsupported" if all(known.blend and known.share is None for known in matching) else "supported"
    if shares:
        return "supported" if any(abs(share - mention.share) <= 0.5 for share in shares) else "contradicted"
    return "contradicted" if blend and mention.share == 100 else "unsupported"


def _role(dimension: str, before: str, after: str = "") -> tuple[str, bool]:
    """The role that the nearest word around a number (or in an attribute's name) gives it, and whether it is strict."""
    best, role, strict = 99, "", False
    for name, only, pattern in _ROLES.get(dimension, ()):
        places = [len(before) - match.end() for match in pattern.finditer(before)]
        places += [match.start() for match in pattern.finditer(after[:20])]
        if places and min(places) < best:
            best, role, strict = min(places), name, only
    return role, strict


def _long(quantity: Quantity) -> bool:
    return quantity.values[0][1] >= 80000  # a day or more: a warranty, not a battery


def judge_quantity(
    claim: Quantity, record: Record, around: tuple[str, str], stated: set[str]
) -> tuple[Finding, str] | None:
    """A quantity against all attributes of its dimension, with its role ("warranty"); None for a mere number."""
    if not claim.dimension and len(claim.values) == 1:
        measures = [(slot, known) for slot in record.of("quantity") for known in slot.quantities]
        bare = _judge_bare(claim, measures, around)
        return (bare, "") if bare else None
    role, strict = _role(claim.dimension, *around)
    return _judge_measure(claim, record, role, strict, stated), role


def _judge_measure(claim: Quantity, record: Record, role: str, strict: bool, stated: set[str]) -> Finding:
    measures = [(slot, known) for slot in record.of("quantity") for known in slot.quantities]
    roles = {slot.name: _role(claim.dimension, slot.name.lower()) for slot, _ in measures}
    rivals = [(slot, known) for slot, known in measures if _comparable(claim, known)]
    if strict:
        same = [(slot, known) for slot, known in rivals if roles[slot.name][0] == role]
        rivals = same or [(slot, known) for slot, known in rivals if not roles[slot.name][1] and role != "discount"]
    rivals.sort(key=lambda pair: (roles[pair[0].name][0] != role, pair[0].name in stated))
    if slot := _bare_alike(claim, measures):
        return Finding("supported", slot, says(slot))
    for slot, known in rivals:
        if agrees(claim, known):
            return Finding("supported", slot, says(slot))
    if len(claim.values) > 1 and rivals:  # 30 x 20 cm against length 30 cm and width 20 cm
        parts = tuple(value for _, known in rivals for value in known.values)
        if agrees(claim, replace(rivals[0][1], values=parts)):
            stated.update(slot.name for slot, known in rivals if agrees(replace(known, bound=""), claim))
            return Finding("supported", rivals[0][0], says(rivals[0][0]))
    for hint in record.hints:
        if any(agrees(claim, known) for known in hint.quantities):
            return Finding("supported", hint, says(hint))
    if claim.dimension == "time" and not role:
        rivals = [(slot, known) for slot, known in rivals if _long(known) == _long(claim) or not roles[slot.name][0]]
    if not rivals:
        return Finding("unsupported", None, f"record has no such {claim.dimension or 'number'}")
    settled = any(known.dimension for _, known in rivals) or not claim.dimension
    slot = rivals[0][0]
    return Finding("contradicted" if settled else "unsupported", slot, says(slot))


def _bare_alike(claim: Quantity, measures: list[tuple[Slot, Quantity]]) -> Slot | None:
    """The attribute without a unit that prints the claim's number: 2194 metres against "length: 2194"."""
    printed = _PRINTED.match(claim.text) if claim.dimension else None
    number = float(printed[0].replace(",", "")) if printed else math.nan
    return next((slot for slot, known in measures if not known.dimension and known.values == ((number, number),)), None)


def _comparable(claim: Quantity, known: Quantity) -> bool:
    if claim.dimension == "count" == known.dimension:
        return claim.unit == known.unit or not claim.unit or not known.unit
    return claim.dimension == known.dimension and (claim.dimension != "" or len(claim.values) == len(known.values))


def _judge_bare(claim: Quantity, measures: list[tuple[Slot, Quantity]], around: tuple[str, str]) -> Finding | None:
    """A bare number ("6 pockets", "price: 20") is a claim only beside the name of an attribute that is a number too."""
    for slot, known in measures:
        name = re.escape(re.sub(r"[(_\[].*", "", slot.name.lower()).strip()) or "$^"
        if known.dimension not in ("", "price", "count"):
            continue
        if re.search(rf"{name}(?: is| of|[:为是])?\s*$", around[0]) or re.match(rf"[ -]?{name}", around[1]):
            fits = agrees(replace(claim, dimension=known.dimension), known)
            return Finding("supported" if fits else "contradicted", slot, says(slot))
    return None
