"""Numbers with their units in English and Chinese text, read into base units so that they can be compared.

    quantities_in("长40厘米，重半斤")[1] -> Quantity(5, 8, "半斤", ((250.0, 250.0),), "mass", "斤", slack=12.5)

Base units: m, g, l, s, W, Wh, Ah, V, A, Hz, byte, °C; a number without a unit has the dimension "".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from shoplm_audit.scoring.numerals import NUMBER, Folded, fold, level, value_of
from shoplm_audit.scoring.units import UNIT_WORDS, Unit, units

__all__ = ["Folded", "Quantity", "agrees", "fold", "level", "quantities_in"]

Bound = Literal["", "at least", "at most", "about"]

_CURRENCY = {"$": "usd", "€": "eur", "£": "gbp", "¥": "cny"}
_HAN_UNITS = sorted((word for word in UNIT_WORDS if not word.isascii() and word[0] not in "µ°"), key=len, reverse=True)
_HAN_UNIT = re.compile(r" ?(" + "|".join(map(re.escape, _HAN_UNITS)) + ")")
_LATIN_UNIT = re.compile(
    r"[ \u00a0]?-?(°? ?[A-Za-zµ]+(?:/[a-z]+)?[23]?(?:(?![A-Za-z\d])|(?=[xX]\d))|%|\"(?![A-Za-z])|'(?=\d{1,2}\b)|°)"
    r"(?:[ .-]{1,2}([A-Za-z]+))?"
)
_CONNECT = re.compile(r"\s*(?:(?P<range>[-–—~至到]|to\b)|(?P<product>[x×*]|by\b|乘以?))\s*", re.IGNORECASE)
_LESS = r"\b(?:under|less than|below|within|(?:no|not) more than|at most)|不到|低于|小于|不超过|少于|[<≤]"
_MORE = r"\b(?:at least|more than|over|above|exceed(?:s|ing)|min(?:imum)?(?: of)?)|不少于|至少|超过|不低于|大于|[>≥]"
_SOME = r"\b(?:about|around|approx\.?|approximately|roughly|nearly|almost|circa)|大?约|将?近|大概|[~≈±]"
_BEFORE = re.compile(rf"(?:(?P<at_most>{_LESS})|(?P<at_least>{_MORE})|(?P<about>{_SOME}))\s*(?:an? )?$", re.IGNORECASE)
_AFTER = re.compile(
    r"\s?(?:(?P<at_least>\+(?!\s?\d)|or more\b|and (?:up|above)\b|及?以上)|(?P<at_most>or less\b|以下|以内|之内)"
    r"|(?P<about>左右|上下|or so\b))",
    re.IGNORECASE,
)
_BOUNDS: dict[str | None, Bound] = {"at_most": "at most", "at_least": "at least", "about": "about"}
_OPEN = ("at least", "at most")
_INCH_NOUN = re.compile(
    r"(?:display|screen|laptop|monitor|tv|tall|wide|long|deep|high|thick|diameter|length|height|width|blade|pan|wheel|by)"
    r"s?\b|x[\d\s]",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r" ?\((?!min\))([A-Za-zµ°]{2,16}|" + "|".join(map(re.escape, _HAN_UNITS)) + r")\)")
# 1,2 kg and 1,2 x 3,4 cm, as most of Europe writes them; 1,2,3 is a list and 1,200 a thousand.
_DECIMAL = re.compile(
    r",(\d{1,3})(?!\d|[.,]\d)(?P<more>(?=\s*(?:[-–—~]|to|by)\s*\d{1,4},\d{1,2}(?!\d)|\s*[xX×*]\s*\d))?", re.ASCII
)
_BEFORE_DECIMAL = re.compile(r"(?:\d,|[\u4e00-\u9fff] ?)$")
_COUNT_END = re.compile(r"[装套入组/\s,.;:!?、。)\]]|$")
_COUNT_CUE = re.compile(r"(?:共|内?含|包含|数量[:为是]?|每[包盒袋箱]|一套|套装|规格[:为是]?)\s*$")
_PACK_OF = re.compile(r"\b(?:pack|set|box|case|bundle|bag)s? of $", re.IGNORECASE)
_GLUED = re.compile(r"(?![xX]\s?\d)[A-Za-z]")  # 1st, 1990s, 4K
_MINUS = re.compile(r"(?:^|[\s(~至到:]|[^\x00-\x7f])-$")
_SCREEN = re.compile(r"屏|幕|显示|手机|电视|平板|电脑|笔记本")
_CLOTH_BEFORE = re.compile(r"尺$|[布绸呢绒]料?|面料|腰围?|裤长|裙长|衣长|袖长|袖口|领围|胸围|臀围|肩宽|裤脚|下摆|裁")
_CLOTH_AFTER = re.compile(r"宽?长?高?的?[^,。;\d]{0,2}(?:布|绸|[面衣]料|腰围?|裤|裙|袖(?!珍)|领|下摆)")
_LASTING = re.compile(r"(?:质保|保修|保质期?|续航|待机|保修期|质保期|有效期|使用|充电|长达|享有)[为是:]?\s*$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity of a text.

    Attributes:
        start, end: its characters in the original text.
        text: these characters.
        values: (low, high) in the base unit; equal unless a range, several for `30x40x50 cm`.
        dimension: "mass", "length", ...; "" for a number without a unit.
        unit: the unit's first name in the table; for prices the currency, "" where none is said.
        slack: half of the last printed digit, in the base unit, at most 5 % of the value.
        bound: whether the number is a floor, a ceiling or a guess.
        times: how often it comes (`2 x 500 ml`).
    """

    start: int
    end: int
    text: str
    values: tuple[tuple[float, float], ...]
    dimension: str
    unit: str = ""
    slack: float = 0.0
    bound: Bound = ""
    times: float = 1.0


@dataclass(frozen=True, slots=True)
class _Number:
    start: int
    end: int  # with the unit
    value: float
    slack: float
    unit: Unit | None
    bare: bool  # digits, so a number even without a unit
    signed: bool  # after a minus sign, which only a temperature can have


def _decimals(folded: Folded, original: str, start: int, end: int, price: bool) -> re.Match[str] | None:
    """The decimals after a comma at `end`, where they can be some and are no list, thousands or another clause."""
    text = folded.text
    match = _DECIMAL.match(text, end)
    nought = text[start:end] == "0"
    if match is None or not text[start:end].isdecimal() or ((len(match[1]) > 2 or end - start > 3) and not nought):
        return None
    if original[folded.span(end, end + 1)[0]] != "," or (
        _BEFORE_DECIMAL.search(text[max(0, start - 2) : start]) and not nought
    ):
        return None
    if price or text[match.end() : match.end() + 2].strip()[:1] == "€":
        return match if len(match[1]) == 2 else None
    if nought and _HAN_UNIT.match(text, match.end()):
        return match
    unit = _latin_unit(text, start, match.end(), 0.5)[0]
    return match if match["more"] is not None or (unit and unit.dimension not in ("count", "lines", "age")) else None


def _latin_unit(text: str, start: int, end: int, value: float) -> tuple[Unit | None, int]:
    if (bracketed := _BRACKETED.match(text, end)) and (unit := units().get(bracketed[1].lower())):
        return unit, bracketed.end()
    match = _LATIN_UNIT.match(text, end)
    if match is None:
        return None, end
    word, second = match[1].replace(" ", ""), match[2]
    if second and (unit := units().get((word + second).lower())):
        return unit, match.end()
    stop, glued = match.end(1), match.start(1) == end
    if word in "\"'":
        closes = text.count('"', max(0, start - 200), end) % 2 == 1
        return (None, end) if word == '"' and closes else (units()["in" if word == '"' else "ft"], stop)
    if word == "°":
        return Unit("angle", "°"), stop
    unit = units().get(word) or (units().get(word.lower()) if len(word) > 1 else None)
    if unit is None:
        storage = (
            re.match(r"(?:内存|运存|存储|运行|固态|闪存|硬盘|\+)", text[stop : stop + 2])
            if word in "GT" and glued
            else None
        )
        return (units()["GB" if word == "G" else "TB"], stop) if storage else (None, end)
    if (
        unit.dimension in ("time", "count") and text[start : start + 3].lower() == "one"
    ):  # an article: one day, one piece
        return None, end
    rest = text[stop : stop + 16].lstrip(" -")
    if word.lower() == "in" and not glued and text[end] != "-" and rest[:1].isalnum() and not _INCH_NOUN.match(rest):
        return None, end
    if word.lower() == "in" and (rest[:1].isdigit() or (rest[:1].isupper() and 1000 <= value < 2100)):
        return None, end  # a year and a place
    decade = word in "sp" and glued and 1000 <= value < 2100 and value % 10 == 0 and word == "s"
    if decade or (word == "s" and text[:start].endswith("the ")) or (word == "K" and value < 1000):
        return None, end
    if unit.name == "°C" and word.startswith("degree") and value in (90, 180, 270, 360, 720):
        return Unit("angle", "°"), stop
    return unit, stop


def _tailors(text: str, start: int, stop: int) -> bool:
    """Whether 寸 is a tenth of a 尺 (cloth and waists) and not the trade's inch (screens, pans, suitcases)."""
    before, after = text[max(0, start - 8) : start], text[stop : stop + 6]
    return bool((_CLOTH_BEFORE.search(before) or _CLOTH_AFTER.match(after)) and not _SCREEN.search(before + after))


def _han_unit(text: str, start: int, end: int, value: float, numeral: str) -> tuple[Unit | None, int, float]:
    half = 0.5 if text.startswith("个半", end) else 0.0
    loose = re.compile(r"个半|[多余来]").match(text, end)
    match = _HAN_UNIT.match(text, loose.end() if loose else end)
    if match is None:
        return None, end, value
    word, stop, unit = match[1], match.end(), units()[match[1]]
    rest, before = text[stop : stop + 2], text[max(0, start - 6) : start]
    if word == "寸" and _tailors(text, start, stop):
        unit = units()["市寸"]
    one = numeral == "一" and not half
    if (word == "年" and (value >= 1000 or rest[:1] in ("代", "级"))) or (
        word in "天周" and rest[:1] in ("然", "生", "边", "岁")
    ):
        return None, end, value
    if one and unit.dimension in ("time", "count") and not _LASTING.search(before):  # an article: 一件衬衫, 每一天
        return None, end, value
    if word == "两" and rest[:1] and rest[0] in "个件只条侧边面种款用色":
        return None, end, value
    if word == "度" and (value in (90, 180, 270, 360, 720) or rest[:1] in ("数", "假", "过")):
        return Unit("angle", "°"), stop, value
    if unit.dimension == "count" and not (_COUNT_END.match(rest) or _COUNT_CUE.search(before)):
        return None, end, value  # a classifier before its noun: 两个口袋
    if word in "个米元安巴升" and rest[:1] in ("性", "白", "色", "素", "全", "士", "级", "黄"):
        return None, end, value
    if text.startswith("半", stop) and not text.startswith("半身", stop) and unit.dimension != "count":
        half, stop = 0.5, stop + 1
    return unit, stop, value + half


def _numbers(folded: Folded, original: str) -> Iterator[_Number]:
    text, done = folded.text, 0
    for match in NUMBER.finditer(text):
        start, end = match.span()
        if start < done:
            continue
        value, slack = value_of(match)
        first, price = match.start("digits"), bool(match["currency"])
        if first >= 0 and not match["power"] and (decimals := _decimals(folded, original, first, end, price)):
            value, end = value + float(f"0.{decimals[1]}"), decimals.end()
            slack = 0.5 * 10.0 ** -len(decimals[1])
        bare = bool(match["digits"] or match["over"])
        unit: Unit | None
        if match["share"]:
            unit = units()["%"]
        elif match["currency"]:
            unit = Unit("price", _CURRENCY.get(match["currency"].strip()[-1], match["currency"].strip().lower()))
            unit = replace(unit, name="cny") if unit.name == "rmb" else unit
        else:
            unit, stop, value = _han_unit(text, start, end, value, match["han"] or "")
            if unit is None and not match["han"]:
                unit, stop = _latin_unit(text, start, end, value)
            if unit is None and bare and _PACK_OF.search(text, max(0, start - 14), start):
                unit = units()["pcs"]
            end = stop
        if unit or (bare and not _GLUED.match(text, end)):
            done = end
            yield _Number(start, end, value, slack, unit, bare, bool(_MINUS.search(text[max(0, start - 2) : start])))


def _bound(text: str, start: int, end: int) -> Bound:
    if set("多余来") & set(text[start:end]):
        return "at least"
    match = _BEFORE.search(text[max(0, start - 20) : start]) or _AFTER.match(text, end)
    return _BOUNDS[match.lastgroup] if match else ""


def _quantity(folded: Folded, original: str, group: list[_Number], product: bool) -> Quantity:
    unit = group[-1].unit or next((number.unit for number in group if number.unit), None)
    if unit and unit.dimension == "temperature":
        group = [
            replace(number, start=number.start - 1, value=-number.value) if number.signed else number
            for number in group
        ]
    times = 1.0
    if product and unit and unit.dimension not in ("length", "area"):  # 2 x 500 ml
        for number in group[:-1]:
            times *= number.value
        values, counted = [group[-1].value], [group[-1]]
    else:
        values, counted = [number.value for number in group], group
    factors = [(number.unit or unit or Unit("", "")) for number in counted]
    base = [value * each.factor + each.shift for value, each in zip(values, factors, strict=True)]
    dimension = unit.dimension if unit else ""
    cap = {"count": 0.0, "price": 0.01}.get(dimension, 0.05)
    slack = max(
        number.slack * each.factor if dimension == "temperature" else min(number.slack * each.factor, cap * abs(value))
        for number, each, value in zip(counted, factors, base, strict=True)
    )
    ranged = len(base) == 2 and not product
    parts = ((base[0], base[1]),) if ranged else tuple((value, value) for value in base)
    start, end = group[0].start, group[-1].end
    place = folded.span(start, end)
    return Quantity(
        *place,
        original[slice(*place)],
        parts,
        dimension,
        unit.name if unit else "",
        slack,
        _bound(folded.text, start, end),
        times,
    )


def _joined(parts: list[Quantity], folded: str, original: str) -> list[Quantity]:
    """`5 ft 8 in` and 1小时30分钟 are one quantity each."""
    out: list[Quantity] = []
    for part in parts:
        last = out[-1] if out else None
        if (
            last
            and part.dimension == last.dimension
            and part.dimension in ("time", "length", "mass")
            and len(last.values) == len(part.values) == 1
            and last.unit != part.unit
            and last.times == part.times == 1
            and 0 <= part.values[0][1] < last.values[0][0]
            and original[last.end : part.start].strip() in ("", "and", "零", "又")
        ):
            low, high = last.values[0][0] + part.values[0][0], last.values[0][1] + part.values[0][1]
            text = original[last.start : part.end]
            out[-1] = replace(
                last, end=part.end, text=text, values=((low, high),), slack=part.slack, bound=last.bound or part.bound
            )
        else:
            out.append(part)
    return out


def _ranges(low: _Number, high: _Number) -> bool:
    """Whether two numbers with a dash between them are one range: 10-12 h, £20-25, -20 to 60 °C."""
    if low.unit and low.unit.dimension != "price":
        return high.unit is not None
    return low.value <= high.value or low.signed


@lru_cache(maxsize=4096)
def quantities_in(text: str) -> tuple[Quantity, ...]:
    """All quantities and bare numbers of a text, in order; model names ("X200") and ordinals ("1st") are none.

    Args:
        text: any string.

    Returns:
        Quantities with their spans in `text`; numbers without a unit have the dimension "".

    >>> [(q.text, q.dimension, q.values) for q in quantities_in("5000 mAh, 30x40 cm")]
    [('5000 mAh', 'charge', ((5.0, 5.0),)), ('30x40 cm', 'length', ((0.3, 0.3), (0.4, 0.4)))]
    """
    folded = fold(text)
    numbers = list(_numbers(folded, text))
    found, place = [], 0
    while place < len(numbers):
        group, product = [numbers[place]], False
        for next_place in range(place + 1, len(numbers)):
            last, after = group[-1], numbers[next_place]
            link = _CONNECT.fullmatch(folded.text, last.end, after.start)
            if link is None or (last.unit and after.unit and last.unit.dimension != after.unit.dimension):
                break
            if len(group) > 1 and (product != bool(link["product"]) or not product):
                break
            if link["range"] and not _ranges(last, after):
                break
            product = bool(link["product"])
            group.append(after)
        if len(group) > 1 or group[0].unit or group[0].bare:
            found.append(_quantity(folded, text, group, product))
        place += len(group)
    return tuple(_joined(found, folded.text, text))


def agrees(claim: Quantity, known: Quantity) -> bool:
    """Whether what a text says fits what the record says, in the claim's own precision.

    A number with k decimals fits within half of its last digit (at most 5 %), another unit adds 1 % (2 % for times,
    since months differ), "about" allows 10 %. "up to 10 h" says 10 h; "over" and "under" are a floor and a ceiling.
    One side of `30x40x50 cm` fits alone; several must all be there. 1 TB fits both 1000 GB and 1024 GB.
    """
    if claim.dimension != known.dimension:
        return False
    if claim.unit != known.unit and claim.dimension in ("price", "count") and claim.unit and known.unit:
        return False
    return any(
        _fits(claim, known, mine, theirs)
        for mine in {1.0, claim.times, claim.times * _binary(claim, known)}
        for theirs in {1.0, known.times}
    )


def _binary(claim: Quantity, known: Quantity) -> float:
    """1.024 for each step between two units of data: a terabyte is sold as 1000 GB and counted as 1024."""
    if claim.dimension != "data" or not claim.unit or not known.unit:
        return 1.0
    return float(1.024 ** math.log(units()[claim.unit].factor / units()[known.unit].factor, 1000))


def _fits(claim: Quantity, known: Quantity, mine: float, theirs: float) -> bool:
    left = [(low * theirs, high * theirs) for low, high in known.values]
    for low, high in claim.values:
        low, high = low * mine, high * mine
        tolerance = claim.slack * mine + 1e-9 * abs(high)
        if claim.unit != known.unit:
            tolerance += {"time": 0.02, "price": 0.0, "count": 0.0}.get(claim.dimension, 0.01) * abs(high)
        if claim.bound == "about":
            tolerance = max(tolerance, 0.1 * abs(high))
        for place, (least, most) in enumerate(left):
            if claim.bound in _OPEN and known.bound in _OPEN:
                fits = claim.bound == known.bound and abs(least - low) <= tolerance
            elif claim.bound == "at least":
                fits = most >= low - tolerance
            elif claim.bound == "at most":
                fits = least <= high + tolerance
            else:
                floor = -math.inf if known.bound == "at most" else least
                ceiling = math.inf if known.bound == "at least" else most
                fits = floor - tolerance <= low and high <= ceiling + tolerance
            if fits:
                del left[place]
                break
        else:
            return False
    return True
