"""A product's record as claims can be held against it: each attribute with its kind and what its value says.

read_record((("weight (kg)", "1.2"),), "").slots[0].quantities[0].dimension -> "mass"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from shoplm_audit.scoring.mentions import Mention, lowered, mentions_in
from shoplm_audit.scoring.phrases import PHRASES, Literal
from shoplm_audit.scoring.places import places_in
from shoplm_audit.scoring.quantities import Quantity, level, quantities_in
from shoplm_audit.scoring.sizes import sizes_of
from shoplm_audit.scoring.vocabulary import LEXICON, Kind

__all__ = ["NO", "Record", "Said", "Slot", "aged", "read_record", "says"]

_NAMES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("colour", re.compile(r"colou?r|\b(?:shade|hue)\b|颜色|配色|色彩|色号")),
    (
        "material",
        re.compile(
            r"material|fabric|composition|textile|\b(?:upper|shell|made of)\b|材质|面料|材料|成分|质地|布料|里料"
            r"|里布|皮质"
        ),
    ),
    ("brand", re.compile(r"\bbrand|manufacturer|\bmaker\b|品牌|牌子|厂商|制造商")),
)
# Attributes that a statement of their kind is held against.
_STATED_IN: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("size", re.compile(r"\bsizes?\b|尺码|鞋码|码数|号型|尺寸")),
    ("model", re.compile(r"\bmodel|\bsku\b|part num|item (?:num|no)|\bmpn\b|型号|货号|款号")),
    ("origin", re.compile(r"origin|\bcountry\b|made in|assembl|manufactured in|产地|原产|产自|制造地")),
    ("certificate", re.compile(r"certif|standards?\b|认证|证书|执行标准")),
    ("compatibility", re.compile(r"compatib|works with|\bfits\b|suitable for|兼容|适配|适用(?!人|年|性|对|季|场)")),
    ("care", re.compile(r"\bcare\b|wash|cleaning|laundry|洗涤|护理|保养|清洗|洗护")),
    ("target", re.compile(r"gender|\bsex\b|target|audience|department|\bage\b|for whom|人群|性别|年龄|对象")),
    ("statistic", re.compile(r"rating|reviews?\b|\bsales\b|\bsold\b|评分|好评|销量|评价")),
)
# Of these a text should state what can be read in them; a model's number or a rating need not be told.
_TELLING = frozenset({"size", "origin", "certificate", "care", "target"})
_YES = re.compile(r"(?:yes|y|true|1|included|是|有|支持|可|可以|带|√|✓)[.。]?$")
# What an attribute says that is not there.
NO = re.compile(r"(?:no|n|not|none|false|0|without|not included|否|无|不|不支持|没有|不可以|不可|不带|×|✗)[.。]?$")
_INGREDIENTS = re.compile(r"ingredient|contains|composition|allergen|成分|配料|含有")
# What is named so is no measure that a text could state.
_NO_MEASURE = re.compile(
    r"\b(?:id|sku|ean|upc|asin|isbn|model(?! height)|year|code|style|series)\b|型号|编号|货号|条码|年份|款号"
    r"|系列|风格|号型"
)

_HAN_MEASURE = re.compile(r"[\d一二两三四五六七八九十百半] ?(?:厘|毫|千|平方)?[米克升瓦]")


@dataclass(frozen=True, slots=True)
class Slot:
    """An attribute of the record with its value as shown, and what can be read from it."""

    name: str
    value: str
    kind: Kind | None
    mentions: tuple[Mention, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    shown: str = ""  # the value as the record writes it, where `value` is in lower case


@dataclass(frozen=True, slots=True)
class Said:
    """A phrase that the record says or denies; the title's are not `firm`: they support and never contradict."""

    literal: Literal
    slot: Slot
    firm: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read: what each attribute, the title and any value in passing say."""

    slots: tuple[Slot, ...]
    hints: tuple[Slot, ...]  # what any value or the title says in passing: it can support, never contradict
    nouns: frozenset[str]
    said: tuple[Said, ...] = ()
    stated_in: tuple[Slot, ...] = ()  # attributes that statements are held against, whether or not they are in `slots`
    values: tuple[Slot, ...] = ()  # every value and the title, in lower case
    denials: tuple[Slot, ...] = ()  # one colour or material that it is not, each

    def of(self, kind: Kind) -> list[Slot]:
        """The attributes of a kind that a text should state."""
        return [slot for slot in self.slots if slot.kind == kind]

    def answering(self, kind: Kind) -> list[Slot]:
        """The attributes that a statement of a kind is held against."""
        return [slot for slot in self.stated_in if slot.kind == kind]


_PART = re.compile(r"\s*([^:：;；\d]{2,20})[:：]\s*([^:：;；]+)(?:[;；]|$)")


def _parts(name: str, value: str) -> list[tuple[str, str]]:
    """An attribute of several parts as one of each: material "shell: nylon; lining: polyester"."""
    pairs = _PART.findall(value) if value.count(":") + value.count("：") > 1 else []
    whole = len(pairs) > 1 and _PART.sub("", value).strip() == ""
    return [(f"{name} {part.strip()}", held.strip()) for part, held in pairs] if whole else [(name, value)]


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


_AGE_BEFORE = re.compile(r"\b(?:aged?|ages)(?: of| from|:)? ?$|年龄[为是:]?$")
_YEAR = 31557600.0  # seconds


def aged(quantity: Quantity, before: str) -> Quantity:
    """The quantity as an age in years where the words before it ("aged 3-6", "ages 3+ years") say that it is one."""
    if quantity.dimension not in ("", "time") or not _AGE_BEFORE.search(before):
        return quantity
    factor = 1 / _YEAR if quantity.dimension else 1.0
    values = tuple((low * factor, high * factor) for low, high in quantity.values)
    return replace(quantity, values=values, dimension="age", unit="yearold", slack=quantity.slack * factor)


def _slot(name: str, value: str, seen: Mapping[Kind, tuple[Mention, ...]]) -> Slot | None:
    """The attribute as one kind, by its name, else by its value; None where nothing in it can be checked."""
    label = level(name).lower()
    kind = next((kind for kind, pattern in _NAMES if pattern.search(label)), None)
    measures = () if _NO_MEASURE.search(label) else _measures(label, value)
    if re.search(r"\bage\b|\bages\b|年龄", label):
        measures = tuple(aged(quantity, "age ") for quantity in quantities_in(value))
    if kind is None:  # a value that is nothing but a colour, under whatever name
        whole = len(value.strip())
        kind = next((each for each, m in seen.items() if m and m[0].start == 0 and m[-1].end >= whole), None)
    if measures and (kind is None or not (kind == "brand" or seen[kind])):
        return Slot(name, value, "quantity", (), measures)
    return Slot(name, value, kind, seen.get(kind, ())) if kind and value.strip() else None


@lru_cache(maxsize=1024)
def read_record(facts: tuple[tuple[str, str], ...], title: str) -> Record:
    """The record of a product from (name, value) pairs and its title."""
    slots: list[Slot | None] = []
    said: list[Said] = []
    denials: list[Slot] = []
    stated_in: list[Slot] = []
    hints = [Slot("title", title, "quantity", (), quantities_in(title))]
    nouns = set(re.findall(r"[a-z]{3,}", title.lower()))
    for name, value in [("title", title), *(part for fact in facts for part in _parts(*fact))]:
        low = lowered(value)
        seen: dict[Kind, tuple[Mention, ...]] = {kind: tuple(mentions_in(kind, low, loose=True)) for kind in LEXICON}
        if _HAN_MEASURE.search(low):  # 120厘米 is no 米 (beige)
            seen = dict.fromkeys(seen, ())
        for kind, found in seen.items():
            denials += [Slot(name, value, kind, (each,)) for each in found if each.denied]
            seen[kind] = tuple(each for each in found if not each.denied)
        hints += [Slot(name, value, kind, found) for kind, found in seen.items() if found]
        nouns.update(low[each.start : each.end] for found in seen.values() for each in found)
        if name != "title":
            label = level(name).lower().replace("_", " ")
            answering = [Slot(name, value, kind) for kind, pattern in _STATED_IN if pattern.search(label)]
            stated_in += answering
            telling = [slot for slot in answering if slot.kind in _TELLING and _readable(slot, low)]
            slots.append(_slot(name, value, seen) or next(iter(telling), None))
        said += _phrases(name, value, low)
    values = tuple(
        Slot(name, lowered(value), None, shown=value) for name, value in [("title", title), *facts] if value.strip()
    )
    kept = tuple(slot for slot in slots if slot)
    return Record(kept, tuple(hints), frozenset(nouns), tuple(said), tuple(stated_in), values, tuple(denials))


def _readable(slot: Slot, low: str) -> bool:
    """Whether the value is one that statements of its kind can be held against."""
    if slot.kind == "size":
        return bool(sizes_of(low, True))
    if slot.kind == "origin":
        return bool(places_in(low))
    if slot.kind == "certificate":
        return bool(low.strip()) and not NO.match(low.strip())
    return next(PHRASES.find(low, loose=True), None) is not None


def _phrases(name: str, value: str, low: str) -> Iterator[Said]:
    """The phrases of a value, and the name itself where its value is yes, no, or more about it ("waterproof: IPX8")."""
    firm, slot, label = name != "title", Slot(name, value, None), level(name).lower().replace("_", " ")
    named = list(PHRASES.find(label, loose=True)) if firm else []
    plain = low.strip()
    concepts = {phrase.concept for phrase in PHRASES.find(low, loose=True)}
    washing = any(kind == "care" and pattern.search(label) for kind, pattern in _STATED_IN)
    for phrase in PHRASES.find(low, loose=True):
        if phrase.kind == "contains" and phrase.holds and not _INGREDIENTS.search(label):
            continue
        concept = phrase.concept
        if firm and washing and phrase.holds and f"{concept}-only" in PHRASES.kind and "machine-wash" not in concepts:
            only_way = len(concepts & {"hand-wash", "dry-clean"}) == 1  # washing: hand wash
            concept = f"{concept}-only" if only_way else concept
        yield Said((concept, phrase.holds), slot, firm)
    for quantity in quantities_in(value) if re.search(r"\bages?\b|年龄", label) else ():
        years = [place for part in aged(quantity, "age ").values for place in part]
        if quantity.dimension in ("", "time", "age") and quantity.bound != "at least" and max(years) < 15:
            yield Said(("kids", True), slot, firm)
        elif min(years) >= 18:
            yield Said(("adults", True), slot, firm)
    for phrase in named:
        if phrase.kind != "contains" or _YES.match(plain) or NO.match(plain) or not phrase.holds:
            yield Said((phrase.concept, phrase.holds != bool(NO.match(plain))), slot, firm)


def says(slot: Slot) -> str:
    """The evidence as a report prints it."""
    return f"record says {slot.name} {slot.shown or slot.value}"
