"""The claim ledger: what a text says of a product in checkable words, and what the record says to each claim.

    check_claims("A navy kettle, 2 kg.", {"colour": "blue", "weight": "1.2 kg"}).claims[1]
    -> Claim(15, 19, "quantity", "2 kg", "contradicted", "weight", "record says weight 1.2 kg")

Supported is what the record says or implies (navy implies blue). Contradicted is what cannot hold beside the record:
another colour, another fibre, another number of the same dimension. All else is unsupported: a finer word than the
record's (blue does not imply navy), a kind the record lacks, the colour or material of a part (white stripes, plastic
lid) or of what is worn with it. What a text denies ("not leather", 非真皮) or only likens ("soft as silk") is no claim.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from shoplm_audit.scoring.quantities import Quantity, agrees, level, quantities_in
from shoplm_audit.scoring.vocabulary import LEXICON, Kind

__all__ = ["Claim", "Ledger", "check_claims"]

Verdict: TypeAlias = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable claim; `text[start:end]` are its `words`, `attribute` is the record's field it was held against."""

    start: int
    end: int
    kind: Kind
    words: str
    verdict: Verdict
    attribute: str = ""
    why: str = ""


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

    def spans_json(self) -> str:
        """`[[start, end, verdict, why], ...]` for the report's highlights."""
        return json.dumps([[claim.start, claim.end, claim.verdict, claim.why] for claim in self.claims])


@dataclass(frozen=True, slots=True)
class _Mention:
    """A word of a table in a text. `share` is in percent; `blend` says mixed; `aside` speaks of a part or a pairing."""

    start: int
    end: int
    concept: str
    share: float | None = None
    blend: bool = False
    aside: bool = False


_NAMES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("colour", re.compile(r"colou?r|\b(?:shade|hue)\b|颜色|配色|色彩|色号")),
    (
        "material",
        re.compile(r"material|fabric|composition|textile|\b(?:upper|shell|made of)\b|材质|面料|材料|成分|质地|布料"),
    ),
    ("brand", re.compile(r"\bbrand|manufacturer|\bmaker\b|品牌|牌子|厂商|制造商")),
)
# What is named so is no measure that a text could state.
_NO_MEASURE = re.compile(
    r"\b(?:id|sku|ean|upc|asin|isbn|model|year|code|style|series)\b|型号|编号|货号|条码|年份|款号|系列|风格"
)

# --- what surrounds a word -------------------------------------------------------------------------------------------
_DENIED = re.compile(
    r"(?:\b(?:not|no|non|without|never|isn't|aren't|free (?:of|from)|instead of|rather than|unlike|faux|fake)\b[\s-]*"
    r"(?:(?:made|of|from|a|an|any|real|genuine|in|the|contains?|use|be)\s+)*"
    r"|(?:非|不含|无|不是|并非|没有|不采用|不使用|拒绝|不同于)(?:任何)?"
    r"|\b(?:like|(?:soft|smooth|strong|light|fine) as|resembl\w+)\s+|[如像似仿])$"
)
_LIKENED = re.compile(
    r"[- ](?:free|like|look|plated|effect|style|inspired|scented|flavou?red)\b|般|味|香|感|纹|花糖|器|绒绒|巧的"
)
_PART = (
    r"lining|lined|trims?|trimmed|handles?|lid|straps?|soles?|collar|cuffs?|buttons?|zip\w*|stitch\w*|stripes?|striped|accents?"
    r"|details?|detailing|logo|prints?|printed|pattern\w*|piping|hem|laces?|packaging|pouch|cable|tip|interior|buckle|band|dots?"
    r"|inlays?|letter\w*|edges?|coating|coated|plated|leds?|walls?|background|skin"
)
_ASIDE_AFTER = re.compile(rf" (?:[a-z]+ )?(?:{_PART})\b")
_ASIDE_BEFORE = re.compile(
    r"(?:\b(?:pairs?|paired|goes|go|match\w*|combined?|contrast\w*|wear it) (?:\w+ )?(?:with )?(?:\w+ )?|\bwith an? )$"
)
_ASIDE_HAN = re.compile(
    r"印花|图案|拉链|条纹|条带|字母|绣|领|袖|扣|边|衬|里布|内里|搭|装饰|点缀|缀|拼|线条|滚线|压线|腰带|口袋|袋口|格|波点|圆点"
    r"|花朵|碎花|花纹|亮片|蝴蝶结|流苏|灯光|阳光|肌|皮肤|唇|裤子|裙子|裙摆|鞋底|织带|撞色|对比|碰撞|交织|相间|打底|内搭|叠"
    r"|元素|细节|珠|钻|文字|下摆|走线|外套|与|和"
)
_FALSE_COLOUR = re.compile(
    r"orange (?:juice|peel|zest|flavou?r|blossom|oil|scent)|silver (?:lining|plated)|brown (?:rice|sugar)"
    r"|gold(?:en)? (?:standard|medal|card|age|rule|hour|retriever|ratio|plated)|blue (?:light|ray|cheese|moon)"
    r"|white (?:noise|paper|wine|board|balance|label|chocolate|tea|rice|bread|goods)"
    r"|black (?:friday|tea|pepper|coffee|forest|box|mirror|belt|market)"
    r"|red (?:wine|cross|carpet|tape|bull|meat|pepper|flag|light)"
    r"|green (?:tea|energy|living|choice|thumb|planet|house|beans?|light|power|electricity)"
    r"|transparent (?:pric|poli|proce)|bed linens?|steel yourself|glass of|cotton candy"
    r"|绿色(?:食品|环保|健康|无公害|能源|出行|生态|生活)|黑色(?:星期|幽默)|白色(?:情人|恋人)|金色年华|红色(?:旅游|革命)"
)
_HUE_BEFORE = re.compile(
    r"\b(?:in|colou?rs?|shades?|hue|finish|tone)(?: is| of|:)?"
    r"(?: (?:a|an|the|soft|classic|rich|warm|elegant|deep|dark|light|pale))* $|\b(?:is|and|or) $|[,/] ?$"
)
_HUE_AFTER = re.compile(r"[- ](?:colou?r(?:ed)?|finish|shade|tone|hue)\b")
_STUFF_BEFORE = re.compile(
    r"(?:\b(?:made|crafted|built|forged|woven|consists?|body|composed) (?:of|from|in|out of)|\bmaterial:?|%|\bin|\bof"
    r"|\b(?:pure|solid|real))(?: (?:a|pure|solid|fine|soft|real))* ?$"
)
_HAN_HUE_AFTER = re.compile(r"[色款系底]")
_HAN_HUE_BEFORE = re.compile(r"(?:颜色|配色|色彩)[为是:]?$")
_HAN_STUFF_AFTER = re.compile(r"[质制材料面布成混]|合金|纤维")
_HAN_STUFF_BEFORE = re.compile(r"(?:[%\d]|材质[为是:]?|面料[为是:]?|采用|由|含)$")
_SHARE_BEFORE = re.compile(
    r"(\d{1,3}(?:\.\d+)?) ?(?:%|percent)(?: of)? ?(?:pure |organic )?$|百分之百$|\b(?:pure|all)[- ]$"
)
_SHARE_AFTER = re.compile(r"[:]? ?\(?(\d{1,3}(?:\.\d+)?) ?%")
_BLEND = re.compile(r"(?:[- ](?:blend|mix|rich)|混纺|混)|[^.,;]{0,12}混纺")
_HAN_MEASURE = re.compile(r"[\d一二两三四五六七八九十百半] ?(?:厘|毫|千|平方)?[米克升瓦]")
_CLAUSE = re.compile(r"[.,;:!?。、()\n](?!\d)")
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
_JOINING = frozenset({"and", "or", "with", "but", "as", "that", "which", "for"})


def _lowered(text: str) -> str:
    """The text levelled and in lower case, each character in its place."""
    plain = level(text)
    low = plain.lower()
    return low if len(low) == len(plain) else "".join(c.lower() if len(c.lower()) == 1 else c for c in plain)


def _around(text: str, start: int, end: int) -> tuple[str, str]:
    """What stands before and after in the same clause, 30 characters at most."""
    before, after = text[max(0, start - 30) : start], text[end : end + 30]
    breaks = [match.end() for match in _CLAUSE.finditer(before)]
    stop = _CLAUSE.search(after)
    return before[breaks[-1] :] if breaks else before, after[: stop.start()] if stop else after


def _fitting(kind: Kind, word: str, doubtful: bool, before: str, after: str, nouns: frozenset[str]) -> bool:
    """Whether a word with several meanings is meant as a colour or a material here."""
    if len(word) > 1 and word in nouns:
        return True
    if not word.isascii():
        if kind == "colour" and (len(word) == 1 or doubtful):
            return bool(_HAN_HUE_AFTER.match(after) or (_HAN_HUE_BEFORE.search(before) and not after[:1].strip()))
        return (len(word) > 1 and not doubtful) or bool(
            _HAN_STUFF_AFTER.match(after) or _HAN_STUFF_BEFORE.search(before)
        )
    if not doubtful:
        return True
    following = re.match(r" ([a-z]+)", after)
    if following and following[1] in nouns:
        return True
    if kind == "material":
        return bool(_STUFF_BEFORE.search(before))
    return bool(_HUE_AFTER.match(after) or (_HUE_BEFORE.search(before) and (not following or following[1] in _JOINING)))


def _aside(han: bool, before: str, after: str) -> bool:
    if han:
        return bool(_ASIDE_HAN.search(before[-8:]) or _ASIDE_HAN.search(after[:8]))
    return bool(_ASIDE_AFTER.match(after) or _ASIDE_BEFORE.search(before))


def _mentions(kind: Kind, text: str, *, loose: bool, nouns: frozenset[str] = frozenset()) -> Iterator[_Mention]:
    """The words of a table in a folded lower-case text; `loose` reads a record's value, where every word counts."""
    words = LEXICON[kind]
    barred = [] if loose else [match.span() for match in _FALSE_COLOUR.finditer(text)]
    for match in words.pattern.finditer(text):
        start, end, word = *match.span(), match[0]
        if any(low <= start and end <= high for low, high in barred):
            continue
        before, after = _around(text, start, end)
        if not loose:
            if _DENIED.search(before) or _LIKENED.match(after):
                continue
            if not _fitting(kind, word, word in words.doubtful, before, after, nouns):
                continue
        if not word.isascii() and kind == "colour" and after.startswith("色"):
            end += 1
        share: float | None = 100.0 if word in words.pure else None
        blend = False
        if kind == "material":
            leads, follows = _SHARE_BEFORE.search(before), _SHARE_AFTER.match(after)
            if follows and (not leads or not text[:1].isdigit()) and (loose or not word.isascii()):
                share, end = float(follows[1]), end + follows.end()
            elif leads:
                share, start = float(leads[1] or 100), start - len(leads[0])
            blend = bool(_BLEND.match(after))
        aside = not loose and _aside(not word.isascii(), before, after)
        yield _Mention(start, end, words.concept[word], share, blend, aside)


@dataclass(frozen=True, slots=True)
class _Slot:
    """An attribute of the record with its value as shown, and what can be read from it."""

    name: str
    value: str
    kind: Kind | None
    mentions: tuple[_Mention, ...] = ()
    quantities: tuple[Quantity, ...] = ()


@dataclass(frozen=True, slots=True)
class _Record:
    slots: tuple[_Slot, ...]
    hints: tuple[_Slot, ...]  # what any value or the title says in passing: it can support, never contradict
    nouns: frozenset[str]

    def of(self, kind: Kind) -> list[_Slot]:
        return [slot for slot in self.slots if slot.kind == kind]


def _measures(name: str, value: str) -> tuple[Quantity, ...]:
    """The quantities of a value, its unit taken from the attribute's name ("weight (kg)", capacity_ml) if need be."""
    found = quantities_in(value)
    if any(quantity.dimension for quantity in found) or len(found) != 1 or found[0].text != value.strip():
        return tuple(quantity for quantity in found if quantity.dimension or len(quantity.values) > 1)
    if re.search(r"price|cost|msrp|价", name):
        return (replace(found[0], dimension="price"),)
    inside = re.search(r"[(\[_/ ] ?([^\s()\[\]_/]{1,8})[)\]]?$", name)
    if inside:
        unit = quantities_in(f"{value.strip()} {inside[1]}")
        if len(unit) == 1 and unit[0].dimension:
            return unit
    if re.search(r"quantity|pieces|count|content|pack|数量|件数|片数|只数", name):
        return (replace(found[0], dimension="count", slack=0.0),)
    return found


def _slot(name: str, value: str, seen: Mapping[Kind, tuple[_Mention, ...]]) -> _Slot | None:
    """The attribute as one kind, by its name, else by its value; None where nothing in it can be checked."""
    label = level(name).lower()
    kind = next((kind for kind, pattern in _NAMES if pattern.search(label)), None)
    measures = () if _NO_MEASURE.search(label) else _measures(label, value)
    if kind is None:  # a value that is nothing but a colour, under whatever name
        whole = len(value.strip())
        kind = next((each for each, m in seen.items() if m and m[0].start == 0 and m[-1].end >= whole), None)
    if measures and (kind is None or not (kind == "brand" or seen[kind])):
        return _Slot(name, value, "quantity", (), measures)
    return _Slot(name, value, kind, seen.get(kind, ())) if kind and value.strip() else None


@lru_cache(maxsize=1024)
def _read(facts: tuple[tuple[str, str], ...], title: str) -> _Record:
    slots: list[_Slot | None] = []
    hints = [_Slot("title", title, "quantity", (), quantities_in(title))]
    nouns = set(re.findall(r"[a-z]{3,}", title.lower()))
    for name, value in [("title", title), *facts]:
        low = _lowered(value)
        seen: dict[Kind, tuple[_Mention, ...]] = {kind: tuple(_mentions(kind, low, loose=True)) for kind in LEXICON}
        if _HAN_MEASURE.search(low):  # 120厘米 is no 米 (beige)
            seen = dict.fromkeys(seen, ())
        hints += [_Slot(name, value, kind, found) for kind, found in seen.items() if found]
        nouns.update(low[each.start : each.end] for found in seen.values() for each in found)
        if name != "title":
            slots.append(_slot(name, value, seen))
    return _Record(tuple(slot for slot in slots if slot), tuple(hints), frozenset(nouns))


def _says(slot: _Slot) -> str:
    return f"record says {slot.name} {slot.value}"


@dataclass(frozen=True, slots=True)
class _Finding:
    verdict: Verdict
    slot: _Slot | None
    why: str
    states: bool = True  # the attribute, rightly or wrongly


def _judge_words(kind: Kind, mention: _Mention, record: _Record) -> _Finding:
    """A colour or a material against the record."""
    words, concept = LEXICON[kind], mention.concept
    slots = record.of(kind)
    for slot in slots:
        matching = [known for known in slot.mentions if words.implies(known.concept, concept)]
        if matching:
            return _Finding(_shares(mention, matching, slot), slot, _says(slot))
    passing = [hint for hint in record.hints if hint.kind == kind]
    for slot in passing:
        if any(words.implies(known.concept, concept) for known in slot.mentions) and mention.share in (None, 100.0):
            return _Finding("supported", slot, _says(slot))
    if not slots:
        return _Finding("unsupported", None, f"record has no {kind}")
    known = [each for slot in slots for each in slot.mentions]
    open_ = mention.aside or not known or any(each.blend for each in known)
    if open_ or not all(words.excludes(each.concept, concept) for each in known):
        finer = any(words.implies(concept, each.concept) for each in known)
        return _Finding("unsupported", slots[0], f"{_says(slots[0])}, which does not settle it", finer)
    return _Finding("contradicted", slots[0], _says(slots[0]))


def _shares(mention: _Mention, matching: list[_Mention], slot: _Slot) -> Verdict:
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


def _judge_quantity(claim: Quantity, record: _Record, around: tuple[str, str], stated: set[str]) -> _Finding | None:
    """A quantity against all attributes of its dimension; None for a bare number that names no attribute."""
    measures = [(slot, known) for slot in record.of("quantity") for known in slot.quantities]
    if not claim.dimension and len(claim.values) == 1:
        return _judge_bare(claim, measures, around)
    role, strict = _role(claim.dimension, *around)
    roles = {slot.name: _role(claim.dimension, slot.name.lower()) for slot, _ in measures}
    rivals = [(slot, known) for slot, known in measures if _comparable(claim, known)]
    if strict:
        same = [(slot, known) for slot, known in rivals if roles[slot.name][0] == role]
        rivals = same or [(slot, known) for slot, known in rivals if not roles[slot.name][1] and role != "discount"]
    rivals.sort(key=lambda pair: (roles[pair[0].name][0] != role, pair[0].name in stated))
    for slot, known in rivals:
        if agrees(claim, known):
            return _Finding("supported", slot, _says(slot))
    if len(claim.values) > 1 and rivals:  # 30 x 20 cm against length 30 cm and width 20 cm
        parts = tuple(value for _, known in rivals for value in known.values)
        if agrees(claim, replace(rivals[0][1], values=parts)):
            stated.update(slot.name for slot, known in rivals if agrees(replace(known, bound=""), claim))
            return _Finding("supported", rivals[0][0], _says(rivals[0][0]))
    for hint in record.hints:
        if any(agrees(claim, known) for known in hint.quantities):
            return _Finding("supported", hint, _says(hint))
    if claim.dimension == "time" and not role:
        rivals = [(slot, known) for slot, known in rivals if _long(known) == _long(claim) or not roles[slot.name][0]]
    if not rivals:
        return _Finding("unsupported", None, f"record has no such {claim.dimension or 'number'}")
    settled = any(known.dimension for _, known in rivals) or not claim.dimension
    slot = rivals[0][0]
    return _Finding("contradicted" if settled else "unsupported", slot, _says(slot))


def _comparable(claim: Quantity, known: Quantity) -> bool:
    if claim.dimension == "count" == known.dimension:
        return claim.unit == known.unit or not claim.unit or not known.unit
    return claim.dimension == known.dimension and (claim.dimension != "" or len(claim.values) == len(known.values))


def _judge_bare(claim: Quantity, measures: list[tuple[_Slot, Quantity]], around: tuple[str, str]) -> _Finding | None:
    """A bare number ("6 pockets", "price: 20") is a claim only beside the name of an attribute that is a number too."""
    for slot, known in measures:
        name = re.escape(re.sub(r"[(_\[].*", "", slot.name.lower()).strip()) or "$^"
        if known.dimension not in ("", "price", "count"):
            continue
        if re.search(rf"{name}(?: is| of|[:为是])?\s*$", around[0]) or re.match(rf"[ -]?{name}", around[1]):
            fits = agrees(replace(claim, dimension=known.dimension), known)
            return _Finding("supported" if fits else "contradicted", slot, _says(slot))
    return None


_LETTER = r"[^\W\u4e00-\u9fff]"
_NAME = rf"(?<!{_LETTER})[A-Z](?:{_LETTER}|[&'’-]){{1,30}}(?: [A-Z](?:{_LETTER}|[&-]){{1,30}})?"
_BRAND_CUES = re.compile(
    rf"(?<![\w-])(?:[Bb]y|[Ff]rom|[Bb]rand(?::| is)?)\s+(?P<after>{_NAME})"
    rf"|(?:品牌(?:名称)?[:为是]?|来自)\s*(?P<origin>{_NAME})"
    rf"|(?P<before>{_NAME})(?= (?:makes|presents|offers|brings|builds)\b|\s?(?:牌(?!子)|推出的|出品|旗下|品牌))"
    r"|(?:品牌(?:名称)?[:为是]\s*|来自(?:品牌)?)(?P<han>[\u4e00-\u9fff]{2,4}?)(?=[,。;、\s的]|品牌|$)"
    r"|(?:^|[,。;\s是的由])(?P<maker>[\u4e00-\u9fff]{2,4}?)(?:牌(?![子照坊桌九匾])|推出的|出品|旗下|打造的|制造的|的产品)"
)
_NO_BRAND = re.compile(
    r"(?:Italy|France|Germany|Spain|Portugal|Japan|China|Korea|India|Turkey|Europe\w*|America\w*|Asia|Africa|Scotland"
    r"|Ireland|Sweden|Norway|Denmark|Finland|Switzerland|Vietnam|Thailand|Peru|Egypt|Mexico|Brazil|England|Britain|UK|USA?"
    r"|EU|London|Paris|Milan|January|February|March|April|May|June|July|August|September|October|November|December|\w+day"
    r"|Christmas|Amazon|Nature|Mother|The|This|That|Our|Your|Its?|My|An?|You|We|They|He|She|Hand|Design|Default|Here|There"
    r"|Now|Then|All|Each|Every|Day|Night|Top|Head|Morning|Start|Beginning|Simply|Using|USB|Bluetooth|Wi-?Fi|Meet|First|Just"
    r"|One)\b"
)
_NO_BRAND_HAN = re.compile(
    r"[名品大招老吊王铭金车门挂标潮国]$|[中美法英德韩泰俄]国|[欧亚非美澳]洲|意大利|日本|北欧|新疆|内蒙|西班牙|[省市县]$"
    r"|进口|自然|天然|这|那|我们|设计|优质|全新|介绍|精心|匠心"
)


def _brands(text: str, record: _Record, title: str) -> Iterator[tuple[int, int, _Finding]]:
    """The record's brand wherever it stands, and another name where the words around it claim a brand."""
    slots = record.of("brand")
    own: list[tuple[int, int]] = []
    for slot in slots:
        name = level(slot.value).strip()
        edge = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
        for match in re.finditer(edge[0] + re.escape(name) + edge[1], text, re.IGNORECASE):
            own.append(match.span())
            yield *match.span(), _Finding("supported", slot, _says(slot))
    for match in _BRAND_CUES.finditer(text):
        group = match.lastgroup or "after"
        start, end = match.span(group)
        latin = group in ("after", "origin", "before")
        if any(low < end and start < high for low, high in own):
            continue
        if _NO_BRAND.match(match[group]) if latin else _NO_BRAND_HAN.search(match[group]):
            continue
        if not slots:
            yield start, end, _Finding("unsupported", None, "record has no brand")
        elif own and match[0].lower().startswith(("from", "来自")):
            yield start, end, _Finding("unsupported", slots[0], f"{_says(slots[0])}; this may be a place", False)
        else:
            yield start, end, _Finding("contradicted", slots[0], _says(slots[0]))
    if slots and title and not own:
        for start, end in _named_before(text, level(title)):
            yield start, end, _Finding("contradicted", slots[0], _says(slots[0]))


def _named_before(text: str, title: str) -> Iterator[tuple[int, int]]:
    """Names right before the title or its noun: 松柚苔原水壶, "the Velden kettle"."""
    for match in re.finditer(rf"(?:^|[,。;!?\s])([\u4e00-\u9fff]{{2,4}}){re.escape(title)}", text):
        if not _NO_BRAND_HAN.search(match[1]):
            yield match.span(1)
    noun = re.search(r"[a-z]{3,}$", title)
    if noun:
        for match in re.finditer(rf"\b(?:[Tt]he|[Tt]his|[Oo]ur|[Aa]n?|[Nn]ew) ({_NAME}) {noun[0]}\b", text):
            if match[1] not in title and not _NO_BRAND.match(match[1]):
                yield match.span(1)


_Row: TypeAlias = tuple[int, int, Kind, _Finding]


def _words(lower: str, record: _Record) -> Iterator[_Row]:
    for kind in LEXICON:
        for mention in _mentions(kind, lower, loose=False, nouns=record.nouns):
            yield mention.start, mention.end, kind, _judge_words(kind, mention, record)
        for slot in record.of(kind):  # a word that no table knows is stated where it stands
            value = _lowered(slot.value).strip()
            if not slot.mentions and value and (place := lower.find(value)) >= 0:
                yield place, place + len(value), kind, _Finding("supported", slot, _says(slot))


def _resolved(rows: list[_Row]) -> list[_Row]:
    """One claim where a word is colour and material ("copper"): the supported, else the longer, else the colour."""
    rank = sorted(rows, key=lambda row: (row[3].verdict != "supported", row[0] - row[1], row[2]))
    kept: list[_Row] = []
    covered: set[int] = set()
    for row in rank:
        if covered.isdisjoint(range(row[0], row[1])):
            kept.append(row)
            covered.update(range(row[0], row[1]))
    return kept


def check_claims(text: str, facts: Mapping[str, str], *, language: str = "en", title: str = "") -> Ledger:
    """Reads the checkable claims of a text and holds each against the product's record.

    Args:
        text: what was written about the product.
        facts: attribute name -> value as shown ("weight": "1.2 kg"); kinds are inferred from name and value.
        language: of the text. Words of both languages are read in any text, since shop copy mixes them.
        title: of the product: what it names is supported.

    Returns:
        The ledger, claims in the order of the text.

    >>> check_claims("Kettle by Norvik, 1.2 l.", {"brand": "Norvik", "capacity": "1.7 l"}).contradicted
    1
    """
    del language
    record = _read(tuple((str(name), str(value)) for name, value in facts.items()), title)
    plain, lower = level(text), _lowered(text)
    found = _resolved(list(_words(lower, record)))
    found += [(start, end, "brand", finding) for start, end, finding in _brands(plain, record, title)]
    stated = {finding.slot.name for _, _, _, finding in found if finding.slot and finding.states}
    taken = {place for start, end, kind, _ in found if kind == "material" for place in range(start, end)}
    for quantity in quantities_in(text):
        if quantity.start in taken:  # 80 % cotton
            continue
        around = _around(lower, quantity.start, quantity.end)
        if finding := _judge_quantity(quantity, record, around, stated):
            found.append((quantity.start, quantity.end, "quantity", finding))
            if finding.slot:
                stated.add(finding.slot.name)
    claims = tuple(
        Claim(start, end, kind, text[start:end], it.verdict, it.slot.name if it.slot else "", it.why)
        for start, end, kind, it in sorted(found, key=lambda each: each[:2])
    )
    values = {(slot.kind, slot.value) for slot in record.slots if slot.name in stated}  # 价格 and price are one
    omitted = tuple(
        slot.name for slot in record.slots if slot.name not in stated and (slot.kind, slot.value) not in values
    )
    return Ledger(claims, omitted)
