"""One claim against the record: is it borne out, excluded or not settled, and by which attribute?

judge_words("colour", Mention(2, 6, "navy"), record).verdict -> "supported" where the record says navy
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile

from shoplm_audit.scoring.denial import elsewhere
from shoplm_audit.scoring.mentions import Mention
from shoplm_audit.scoring.quantities import Quantity, agrees
from shoplm_audit.scoring.record_reading import NO, Record, Slot, says
from shoplm_audit.scoring.vocabulary import LEXICON, Kind, Verdict

__all__ = ["TURNED", "Finding", "best", "judge_quantity", "judge_words"]

# A quantity is held against the attribute of the same role. A strict role (the upper rows of each dimension) is never
# contradicted by another: 2 years of warranty are no battery life; sides are not strict, since shops name them freely.
_ROLE_TABLE = r"""
time + warranty: warrant|guarantee|质保|保修|联保
time + charging: \bcharges? (?:fully )?in\b|charging time|recharge|充满|充电时间|快充
time + battery: batter|runtime|\bruns?\b|\blasts?\b|(?:per|single) charge|play(?:time|back)|续航|待机|充一次|可用|播放
time + shelf life: shelf|expir|保质|有效期
time + history: \bago\b|experience|heritage|since|历史|经验
time + returns: money[- ]?back(?: guarantee| warranty)?|risk[- ]free|\breturn|refund|\btrial|\bexchang
time + returns: 退换|退货|退款|试用|无理由
time + delivery: deliver|ship|dispatch|发货|送达
time + age: \bages?\b|aged|toddler|year-old|岁
data + memory: \bram\b|\bmemory\b|运存|内存|运行
data + storage: storage|\bssd\b|\brom\b|\bdisk\b|存储|硬盘|闪存
length + wearer: \bmodel (?:is|wears|height)|mannequin|模特|身高
length + screen: screen|display|monitor|屏
length + cable: \bcable|\bcord\b|线长|电源线
length + water: water|depth rating|防水|水深
length - length: length|\blong\b|长
length - width: width|\bwide\b|宽
length - height: height|\bhigh\b|\btall\b|高
length - depth: depth|\bdeep\b|thick|深|厚
length - diameter: diameter|across|直径|口径
mass + load: \bload|\b(?:hold|support|bear|withstand)s?\b|\bcarr(?:y|ies)\b|takes up to|承[重载受]|[载负]重|可放
mass + parcel: parcel|packag|\bbox\b|shipping weight|包裹|包装重
mass - weight: weigh|重
temperature + storing: \bstor(?:e|es|ed|age|ing)\b|\bkeep\b|储存|存放|保存|贮存
temperature + washing: \bwash|\biron|洗|熨
temperature - oven: \boven|\bbak(?:e|ing)|烤
price + carriage: 运费|邮费|配送费|\b(?:shipping|delivery|postage)(?: (?:fee|cost|charge)s?)?\b
price + discount: \bsave|\boff\b|discount|\bwas\b|orders? over|coupon|立减|优惠|满减|券|原价|包邮|省
price - price: \bprices?\b|\bcosts?\b|售价|价格|现价|单价|卖价
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


# What names the same part or the same measure of it.
_SAME = [
    {"inner", "inside", "interior", "lining", "lined", "内层", "内里", "里料", "里布", "内衬"},
    {"outer", "outside", "exterior", "shell", "外层", "面料", "表层"}, {"front", "selfie", "前置", "自拍"},
    {"rear", "back", "main", "后置", "后摄", "主摄"}, {"input", "输入"}, {"output", "输出"}, {"net", "净重", "净"},
    {"gross", "毛重", "毛"}, {"seat", "座椅", "坐垫", "座面"}, {"frame", "框架", "支架", "车架"},
]  # fmt: skip
_LATIN_WORD = re.compile(r"[a-z]{3,}")
_HAN_WORD = re.compile(r"[\u4e00-\u9fff]+")


@lru_cache(maxsize=4096)
def _cues(names: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """For each of several attributes the words that name it and none of the others: net and gross, 输入 and 输出."""
    latin = [set(_LATIN_WORD.findall(name.lower())) for name in names]
    han = ["".join(_HAN_WORD.findall(name)) for name in names]
    found = []
    for place, name in enumerate(han):
        words = latin[place].difference(*(each for other, each in enumerate(latin) if other != place))
        rivals = [other for other in han if other and other != name]
        if name and rivals:
            words.add(name)
            left = max(_shared(name, other) for other in rivals)
            right = max(_shared(name[::-1], other[::-1]) for other in rivals)
            core = name[left : len(name) - right]
            words |= {core} if len(core) > 1 else set()
        for same in _SAME:
            if _says(same, words, name) and not any(
                _says(same, latin[other], han[other]) for other in range(len(names)) if other != place
            ):
                words |= same
        found.append(frozenset(word for word in words if word))
    return tuple(found)


def _shared(one: str, other: str) -> int:
    """How many characters two names begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _says(same: set[str], words: set[str], name: str) -> bool:
    return bool(words & same) or any(len(cue) > 1 and cue in name for cue in same)


def _named(slots: list[Slot], around: tuple[str, str]) -> list[Slot]:
    """Of several attributes the one that the nearest word around a claim names, if any."""
    if len({slot.name for slot in slots}) < 2:
        return []
    distances: dict[str, int] = {}
    names = tuple(dict.fromkeys(slot.name for slot in slots))
    before, after = around
    for name, words in zip(names, _cues(names), strict=True):
        near = []
        for word in words:
            edge = (r"\b", r"(?:s|es)?\b") if word.isascii() else ("", "")
            pattern = re.compile(edge[0] + re.escape(word) + edge[1])
            near += [len(before) - match.end() for match in pattern.finditer(before)]
            near += [match.start() for match in pattern.finditer(after[:24])]
        if near:
            distances[name] = min(near)
    nearest = [name for name, distance in distances.items() if distance == min(distances.values())]
    return [slot for slot in slots if slot.name in nearest] if len(nearest) == 1 else []


def judge_words(kind: Kind, mention: Mention, record: Record, around: tuple[str, str] = ("", "")) -> Finding:
    """A colour or a material against the record, as if the text asserted it; `around` may name one of its parts."""
    words, concept = LEXICON[kind], mention.concept
    for slot in record.denials:
        if slot.kind == kind and words.implies(concept, slot.mentions[0].concept):
            return Finding("contradicted", slot, says(slot))
    slots = record.of(kind)
    named = _named([slot for slot in slots if slot.mentions], around)
    slots = named or slots
    for slot in slots:
        matching = [known for known in slot.mentions if words.implies(known.concept, concept)]
        if matching:
            return Finding(_shares(mention, matching, slot), slot, says(slot))
        both = words.both.get(concept)
        if both and all(any(words.implies(known.concept, one) for known in slot.mentions) for one in both):
            return Finding("supported", slot, says(slot))
    known = [each for slot in slots for each in slot.mentions]
    excluded = bool(known) and all(words.excludes(each.concept, concept) for each in known)
    for slot in [] if named else [hint for hint in record.hints if hint.kind == kind]:
        if any(words.implies(known.concept, concept) for known in slot.mentions) and mention.share in (None, 100.0):
            return Finding("supported", slot, says(slot))
    if not slots:
        return Finding("unsupported", None, f"record has no {kind}")
    open_ = (mention.aside and not named) or not known or any(each.blend for each in known)
    if open_ or not excluded:
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


def _roles(dimension: str, before: str, after: str = "") -> dict[str, bool]:
    """The roles that the nearest words around a number (or in an attribute's name) give it, and whether each is strict.

    Two where one stands right before and another right after: 8 GB RAM 256 GB storage.
    """
    found: list[tuple[int, int, int, str, bool]] = []
    for name, strict, pattern in _ROLES.get(dimension, ()):
        found += [(len(before) - m.end(), m.start() - 99, m.end() - 99, name, strict) for m in pattern.finditer(before)]
        found += [(m.start(), m.start(), m.end(), name, strict) for m in pattern.finditer(after[:20])]
    whole = [  # 重 is a part of 承重
        one for one in found if not any(o[1] <= one[1] and one[2] <= o[2] and o[1:3] != one[1:3] for o in found)
    ]
    nearest = min((distance for distance, *_ in whole), default=0)
    return {name: strict for distance, _, _, name, strict in whole if distance == nearest}


@lru_cache(maxsize=4096)
def _slot_roles(dimension: str, name: str, value: str) -> Mapping[str, bool]:
    return _roles(dimension, name.lower()) or {k: v for k, v in _roles(dimension, value.lower()).items() if v}


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
    roles = _roles(claim.dimension, *around)
    finding = _judge_measure(claim, record, roles, around, stated)
    if finding.verdict == "contradicted" and claim.dimension not in ("age", "price") and elsewhere(around[0]):
        finding = replace(
            finding, verdict="unsupported", why=f"{finding.why}; this may be of something else", states=False
        )
    return finding, next(iter(roles), "")


# Names that can only be of one dimension.
_OWN_DIMENSION = re.compile(
    r"(?:width|height|length|depth|diameter|weight|price|voltage|宽度?|高度?|长度?|深度?|直径|重量|净重|价格|售价|电压)$"
)
_LINK = re.compile(r"(?: of| is|:|[为是])?\s*(?:(?:only|just|about) )?$")


def _misnamed(claim: Quantity, measures: list[tuple[Slot, Quantity]], before: str) -> Slot | None:
    """The attribute that a claim of another dimension is given for: "a width of 700 g"."""
    for slot, _ in measures:
        name = slot.name.lower().strip()
        link = _LINK.search(before)
        if _OWN_DIMENSION.search(name) and link and before[: link.start()].endswith(name):
            dimensions = {known.dimension for other, known in measures if other.name == slot.name}
            if claim.dimension not in dimensions | {"percent"} and "" not in dimensions:
                return slot
    return None


def _agreeing(
    claim: Quantity, measures: list[tuple[Slot, Quantity]], rivals: list[tuple[Slot, Quantity]], stated: set[str]
) -> Slot | None:
    """The attribute that bears a measure out, or the first of several sides that do."""
    if slot := _bare_alike(claim, measures):
        return slot
    for slot, known in rivals:
        if agrees(claim, known):
            return slot
    if len(claim.values) > 1 and rivals:  # 30 x 20 cm against length 30 cm and width 20 cm
        parts = tuple(value for _, known in rivals for value in known.values)
        if agrees(claim, replace(rivals[0][1], values=parts)):
            stated.update(slot.name for slot, known in rivals if agrees(replace(known, bound=""), claim))
            return rivals[0][0]
    return None


def _judge_measure(
    claim: Quantity, record: Record, role: Mapping[str, bool], around: tuple[str, str], stated: set[str]
) -> Finding:
    measures = [(slot, known) for slot in record.of("quantity") for known in slot.quantities]
    if misnamed := _misnamed(claim, measures, around[0]):
        return Finding("contradicted", misnamed, says(misnamed))
    roles = {slot.name: _slot_roles(claim.dimension, slot.name, slot.value) for slot, _ in measures}
    rivals = [(slot, known) for slot, known in measures if _comparable(claim, known)]
    strict = any(role.values())
    same = [(slot, known) for slot, known in rivals if role.keys() & roles[slot.name].keys()]
    if strict and not same:
        rivals = [
            (slot, known) for slot, known in rivals if not any(roles[slot.name].values()) and "discount" not in role
        ]
        if denying := next((slot for slot in record.values if _without(slot, claim.dimension, role)), None):
            return Finding("contradicted", denying, says(denying))
    one_side = bool(same) and len(claim.values) == 1
    rivals = same if same and (strict or one_side) else rivals
    if named := {slot.name for slot in _named([slot for slot, _ in rivals], around)}:
        rivals = [(slot, known) for slot, known in rivals if slot.name in named]
    one_side = one_side or bool(named)
    rivals.sort(key=lambda pair: pair[0].name in stated)
    if slot := _agreeing(claim, measures, rivals, stated):
        return Finding("supported", slot, says(slot))
    mine = {slot.name for slot, _ in measures} if one_side else set()
    for hint in record.hints:
        if hint.name not in mine and any(agrees(claim, known) for known in hint.quantities):
            return Finding("supported", hint, says(hint))
    if claim.dimension == "time" and not role:
        rivals = [(slot, known) for slot, known in rivals if _long(known) == _long(claim) or not roles[slot.name]]
    if not rivals:
        return Finding("unsupported", None, _lacking(claim, measures, role))
    settled = any(known.dimension for _, known in rivals) or not claim.dimension
    settled = settled and not (strict and not same)
    slot = rivals[0][0]
    return Finding("contradicted" if settled else "unsupported", slot, says(slot))


def _lacking(claim: Quantity, measures: list[tuple[Slot, Quantity]], role: Mapping[str, bool]) -> str:
    """Why nothing bears a measure out, with what the record says in the same dimension of something else."""
    other = next((slot for slot, known in measures if claim.dimension and _comparable(claim, known)), None)
    if other is None:
        return f"record has no such {claim.dimension or 'number'}"
    return f"{says(other)}, and nothing of {next(iter(role), 'such a ' + claim.dimension)}"


def _without(slot: Slot, dimension: str, role: Mapping[str, bool]) -> bool:
    """Whether an attribute of this role says that there is none: warranty: no."""
    return bool(NO.match(slot.value.strip())) and bool(role.keys() & _roles(dimension, slot.name.lower()).keys())


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
