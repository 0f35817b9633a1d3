"""Numbers with their units in English and Chinese text, read into base units so that they can be compared.

    quantities_in("长40厘米，重半斤")[1] -> Quantity(5, 8, "半斤", ((250.0, 250.0),), "mass", "斤", slack=12.5)

Base units: m, g, l, s, W, Wh, Ah, V, A, Hz, byte, °C; a number without a unit has the dimension "".
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Literal

__all__ = ["Folded", "Quantity", "agrees", "fold", "level", "quantities_in"]

Bound = Literal["", "at least", "at most", "about"]

# dimension: factor words ... ; factor words ...   (one Latin letter is case-sensitive, plurals with s are known)
_TABLE = """
length: 1e-9 nm 纳米; 1e-6 µm 微米; .001 mm millimetre millimeter 毫米; .01 cm centimetre centimeter 厘米 公分
length: 1 m metre meter 米; 1000 km kilometre kilometer 千米 公里; .0254 in inch inches 英寸 吋
length: .3048 ft foot feet 英尺; .9144 yd yard; 1609.344 mi mile 英里; .3333333 尺; .0254 寸; 3.333333 丈
mass: .001 mg milligram 毫克; 1 g gram gramme 克; 1000 kg kilo kilogram kgs 千克 公斤; 500 斤 市斤; 50 两; 1e6 tonne 吨
mass: 453.59237 lb lbs pound 磅; 28.349523125 oz ounce 盎司; .2 carat 克拉
volume: .001 ml millilitre milliliter cc 毫升; .01 cl; .1 dl; 1 l L litre liter ltr 升 公升
volume: .001 cm3 立方厘米; 1000 m3 立方米
volume: .0295735296 floz fluidounce 液体盎司; 3.785411784 gallon gal 加仑; .946352946 quart; .473176473 pint 品脱
area: 1e-4 cm2 squarecentimetre squarecentimeter 平方厘米; 1 m2 sqm squaremetre squaremeter 平方米 平米 平方
area: .09290304 sqft squarefoot squarefeet ft2 平方英尺
power: .001 mW milliwatt; 1 W watt 瓦 瓦特; 1000 kW kilowatt 千瓦; 745.7 hp horsepower 马力
energy: 1 Wh watthour 瓦时; 1000 kWh 千瓦时; .2777778 kJ 千焦; 1.1622222 kcal calorie 大卡 千卡
charge: .001 mAh 毫安时 毫安; 1 Ah 安时
voltage: .001 mV; 1 V volt 伏 伏特; 1000 kV
current: .001 mA milliamp; 1 A amp ampere 安 安培
frequency: 1 Hz hertz 赫兹 赫; 1e3 kHz 千赫; 1e6 MHz 兆赫; 1e9 GHz 吉赫
rotation: 1 rpm r/min 转/分 转每分钟
data: 1e3 KB; 1e6 MB 兆; 1e9 GB gigabyte; 1e12 TB terabyte
data rate: 1e6 Mbps; 1e9 Gbps
temperature: 1 °C °c celsius degreecelsius degreescelsius 摄氏度 度 degree
temperature: 1.8 °F °f fahrenheit degreefahrenheit degreesfahrenheit 华氏度
colour temperature: 1 K kelvin
light: 1 lm lumen 流明
sound: 1 dB decibel 分贝
pressure: 1 bar 巴; .0689476 psi; 1e-5 Pa 帕; .01 kPa 千帕; 10 MPa 兆帕
percent: 1 % percent
time: .001 ms 毫秒; 1 s sec second 秒 秒钟; 60 min mins minute 分钟; 3600 h hr hrs hour 小时 个小时 钟头; 86400 day 天
time: 604800 week wk 周 星期 个星期; 2629800 month 个月; 31557600 year yr yrs 年
age: 1 yearold yearsold 岁 周岁
pixel: 1 px pixel 像素; 1e6 mp megapixel
lines: 1 p
speed: 1 km/h kph 公里/小时; 1.609344 mph; 3.6 m/s 米/秒
price: 1 usd dollar 美元 美金; 1 eur euro 欧元; 1 gbp 英镑; 1 cny yuan rmb 元 块钱 人民币; 1 jpy 日元
count: 1 piece pcs pc pack pk count ct set 件 个 只 支 枚 块 套 组; 1 pair 双 对; 1 bottle 瓶; 1 tablet pill 片
count: 1 capsule 粒 颗; 1 sheet 张; 1 roll 卷; 1 bag sachet 袋; 1 box 盒 箱; 1 tin 罐 听; 1 parcel 包; 1 strip 条 根
"""
_CURRENCY = {"$": "usd", "€": "eur", "£": "gbp", "¥": "cny"}


@dataclass(frozen=True, slots=True)
class _Unit:
    dimension: str
    factor: float
    name: str
    shift: float = 0.0


def _read_units() -> dict[str, _Unit]:
    units: dict[str, _Unit] = {}
    for line in _TABLE.strip().splitlines():
        dimension, _, rest = line.partition(": ")
        for group in rest.split(";"):
            factor, *words = group.split()
            unit = _Unit(dimension, float(factor), "" if words[0] == "piece" else words[0])
            if words[0] == "°F":
                unit = _Unit(dimension, 5 / 9, "°F", -160 / 9)
            for word in words:
                units[word] = unit
                if len(word) > 1 and word.isascii():
                    units.setdefault(word.lower(), unit)
                    if word.isalpha() and len(word) > 2:
                        units.setdefault(word.lower() + "s", unit)
    return units


_UNITS = _read_units()
_HAN_UNITS = tuple(
    sorted((word for word in _UNITS if not word.isascii() and word[0] not in "µ°"), key=len, reverse=True)
)
_HAN_UNIT = re.compile(r" ?(" + "|".join(map(re.escape, _HAN_UNITS)) + ")")
_LATIN_UNIT = re.compile(
    r"[ \u00a0]?-?(°? ?[A-Za-zµ]+(?:/[a-z]+)?[23]?(?:(?![A-Za-z\d])|(?=[xX]\d))|%|\"(?![A-Za-z])|'(?=\d{1,2}\b)|°)"
    r"(?:[ .-]{1,2}([A-Za-z]+))?"
)
_HAN_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_POWERS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()  # noqa: SIM905 - twenty words read better in two lines than in twenty
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: float(value) for value, word in enumerate(_ONES)}
_WORDS |= {word: 10.0 * value for value, word in enumerate(_TENS.split(), 2)}
_SMALL = "|".join(_ONES[1:10])
_WORD = rf"\b(?:half\ an?|(?:{_TENS.replace(' ', '|')})[-\ ](?:{_SMALL})|(?:{'|'.join(_WORDS)})(?:\ hundred)?)\b"
# Groups of thousands are parted by a comma, an apostrophe, a thin or unbreakable space, or a plain space before 000.
_DIGITS = r"(?:\d{1,3}(?:[,'\u2009\u202f\u00a0]\d{3})+(?!\d)|\d{1,3}(?:\ 000)+(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = re.compile(
    rf"""(?P<currency>(?<![A-Za-z])(?:US|HK|CA|AU|CN)?[$€£¥]\ ?|\b(?:RMB|CNY|USD|EUR|GBP)\ ?)?
    (?:(?:(?<![A-Za-z0-9_.\#])(?<![A-Za-z]-)(?<!\d/)|(?<=[0-9m][xX*])|(?<=RMB)|(?<=CNY)|(?<=USD)|(?<=EUR)|(?<=GBP))
      (?:(?P<whole>\d{{1,4}})?[ -]?(?P<over>\d{{1,3}})/(?P<under>\d{{1,3}})(?![\d/])
        |(?P<digits>{_DIGITS})(?P<power>[万亿]?))
    |百分之(?P<share>{_DIGITS}|[一二三四五六七八九十百]+)
    |(?P<under_han>[二三四五六七八九十])分之(?P<over_han>[一二三四五六七八九])
    |(?P<han>[一二三四五六七八九十百千万零〇半两][一二三四五六七八九十百千万亿零〇]{{0,15}}(?:点[零一二三四五六七八九]{{1,9}})?)
    |(?P<word>{_WORD}))""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
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
    r"display|screen|laptop|monitor|tv|tall|wide|long|deep|high|thick|diameter|length|height|width|blade|pan|wheel|by|x",
    re.IGNORECASE,
)
_COUNT_END = re.compile(r"[装套入组/\s,.;:!?、。)\]]|$")
_COUNT_CUE = re.compile(r"(?:共|内?含|包含|数量[:为是]?|每[包盒袋箱]|一套|套装|规格[:为是]?)\s*$")
_PACK_OF = re.compile(r"\b(?:pack|set|box|case|bundle|bag)s? of $", re.IGNORECASE)
_GLUED = re.compile(r"(?![xX]\s?\d)[A-Za-z]")  # 1st, 1990s, 4K
_MINUS = re.compile(r"(?:^|[\s(~至到:]|[^\x00-\x7f])-$")
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
class Folded:
    """A text in NFKC, and where each of its characters stood; `offsets` is None where nothing moved."""

    text: str
    offsets: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original text that became `text[start:end]`."""
        if self.offsets is None or start >= end:
            return start, end
        return self.offsets[start], self.offsets[end - 1] + 1


class _Fold(dict[int, str]):
    """Character by character, so that offsets are known; what NFKC would join to a number or a name is kept apart."""

    _OWN: ClassVar = dict(zip("″”“′’−μµº", '"""\'\'-µµ°', strict=True)) | {"℃": "°C", "℉": "°F"}
    _KEPT: ClassVar = frozenset("™®©℠\u00a0\u2009\u202f…")

    def __missing__(self, code: int) -> str:
        char = chr(code)
        plain = self._OWN.get(char) or (char if char in self._KEPT else unicodedata.normalize("NFKC", char))
        if "\u2044" in plain:
            plain = " " + plain.replace("\u2044", "/")
        self[code] = plain
        return plain


_FOLD = _Fold()


def fold(text: str) -> Folded:
    """The text in NFKC (full-width digits, ¾, ㎏ ...) with its offsets."""
    folded = text.translate(_FOLD)
    if len(folded) == len(text):  # no character folds to nothing, so equal lengths mean one to one
        return Folded(folded, None)
    return Folded(folded, tuple(place for place, char in enumerate(text) for _ in _FOLD[ord(char)]))


def level(text: str) -> str:
    """The text in NFKC as far as each character stays one character, so that offsets stay what they were."""
    folded = text.translate(_FOLD)
    if len(folded) == len(text):
        return folded
    return "".join(plain if len(plain := _FOLD[ord(char)]) == 1 else char for char in text)


def _han(numeral: str) -> float:
    """半 is a half, 一百二十 is 120, 一百二 is 120 too, 三点五 is 3.5."""
    if numeral.startswith("半"):
        return 0.5
    numeral, _, decimals = numeral.partition("点")
    if len(numeral) > 1 and not _HAN_POWERS.keys() & set(numeral):  # 二〇二四 is read digit by digit
        return float("".join(str(_HAN_DIGITS[char]) for char in numeral))
    total, section, digit, power = 0, 0, 0, 1
    for char in numeral:
        if char in _HAN_DIGITS:
            digit = _HAN_DIGITS[char]
            power = 1 if digit == 0 else power
        elif (power := _HAN_POWERS[char]) >= 10**4:
            total, section, digit = (total + section + digit) * power, 0, 0
        else:
            section, digit = section + (digit or 1) * power, 0
    if power > 10 and numeral[-1] in _HAN_DIGITS and len(numeral) > 1:
        digit *= power // 10
    fraction = "".join(str(_HAN_DIGITS[char]) for char in decimals)
    return float(f"{total + section + digit}.{fraction or 0}")


@dataclass(frozen=True, slots=True)
class _Number:
    start: int
    end: int  # with the unit
    value: float
    slack: float
    unit: _Unit | None
    bare: bool  # digits, so a number even without a unit
    signed: bool  # after a minus sign, which only a temperature can have


def _value(match: re.Match[str]) -> tuple[float, float]:
    """The number and half of its last digit."""
    got = match.groupdict()
    if got["over"]:
        return float(got["whole"] or 0) + int(got["over"]) / (int(got["under"]) or 1), 0.0005
    if got["over_han"]:
        return _han(got["over_han"]) / _han(got["under_han"]), 0.0005
    if got["han"]:
        return _han(got["han"]), 0.5
    if got["word"]:
        word = got["word"].lower()
        if word.startswith("half"):
            return 0.5, 0.05
        parts = [_WORDS[part] for part in re.split("[ -]", word) if part in _WORDS]
        return sum(parts) * (100 if word.endswith("hundred") else 1), 0.5
    digits = got["digits"] or got["share"]
    if not digits[0].isascii():
        return _han(digits), 0.5
    plain = re.sub(r"[^\d.]", "", digits)
    power = _HAN_POWERS.get(got["power"] or "", 1)
    return float(plain) * power, 0.5 * 10.0 ** -len(plain.partition(".")[2]) * power


def _latin_unit(text: str, start: int, end: int, value: float) -> tuple[_Unit | None, int]:
    match = _LATIN_UNIT.match(text, end)
    if match is None:
        return None, end
    word, second = match[1].replace(" ", ""), match[2]
    if second and (unit := _UNITS.get((word + second).lower())):
        return unit, match.end()
    stop, glued = match.end(1), match.start(1) == end
    if word in "\"'":
        closes = text.count('"', max(0, start - 200), end) % 2 == 1
        return (None, end) if word == '"' and closes else (_UNITS["in" if word == '"' else "ft"], stop)
    if word == "°":
        return _Unit("angle", 1.0, "°"), stop
    unit = _UNITS.get(word) or (_UNITS.get(word.lower()) if len(word) > 1 else None)
    if unit is None:
        storage = (
            re.match(r"(?:内存|运存|存储|运行|固态|闪存|硬盘|\+)", text[stop : stop + 2])
            if word in "GT" and glued
            else None
        )
        return (_UNITS["GB" if word == "G" else "TB"], stop) if storage else (None, end)
    if (
        unit.dimension in ("time", "count") and text[start : start + 3].lower() == "one"
    ):  # an article: one day, one piece
        return None, end
    rest = text[stop : stop + 16].lstrip(" -")
    if word.lower() == "in" and not glued and text[end] != "-" and rest[:1].isalnum() and not _INCH_NOUN.match(rest):
        return None, end
    if word.lower() == "in" and rest[:1].isdigit():
        return None, end
    decade = word in "sp" and glued and 1000 <= value < 2100 and value % 10 == 0 and word == "s"
    if decade or (word == "s" and text[:start].endswith("the ")) or (word == "K" and value < 1000):
        return None, end
    if unit.name == "°C" and word.startswith("degree") and value in (90, 180, 270, 360, 720):
        return _Unit("angle", 1.0, "°"), stop
    return unit, stop


def _han_unit(text: str, start: int, end: int, value: float, numeral: str) -> tuple[_Unit | None, int, float]:
    half = 0.5 if text.startswith("个半", end) else 0.0
    loose = re.compile(r"个半|[多余来]").match(text, end)
    match = _HAN_UNIT.match(text, loose.end() if loose else end)
    if match is None:
        return None, end, value
    word, stop, unit = match[1], match.end(), _UNITS[match[1]]
    rest, before = text[stop : stop + 2], text[max(0, start - 6) : start]
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
        return _Unit("angle", 1.0, "°"), stop, value
    if unit.dimension == "count" and not (_COUNT_END.match(rest) or _COUNT_CUE.search(before)):
        return None, end, value  # a classifier before its noun: 两个口袋
    if word in "个米元安巴升" and rest[:1] in ("性", "白", "色", "素", "全", "士", "级", "黄"):
        return None, end, value
    if text.startswith("半", stop) and not text.startswith("半身", stop) and unit.dimension != "count":
        half, stop = 0.5, stop + 1
    return unit, stop, value + half


def _numbers(text: str) -> Iterator[_Number]:
    done = 0
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        if start < done:
            continue
        value, slack = _value(match)
        bare = bool(match["digits"] or match["over"])
        unit: _Unit | None
        if match["share"]:
            unit = _UNITS["%"]
        elif match["currency"]:
            unit = _Unit("price", 1.0, _CURRENCY.get(match["currency"].strip()[-1], match["currency"].strip().lower()))
            unit = replace(unit, name="cny") if unit.name == "rmb" else unit
        else:
            unit, stop, value = _han_unit(text, start, end, value, match["han"] or "")
            if unit is None and not match["han"]:
                unit, stop = _latin_unit(text, start, end, value)
            if unit is None and bare and _PACK_OF.search(text, max(0, start - 14), start):
                unit = _UNITS["pcs"]
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
    factors = [(number.unit or unit or _Unit("", 1.0, "")) for number in counted]
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
    numbers = list(_numbers(folded.text))
    found, place = [], 0
    while place < len(numbers):
        group, product = [numbers[place]], False
        for last, after in pairwise(numbers[place:]):
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
    One side of `30x40x50 cm` fits alone; several must all be there.
    """
    if claim.dimension != known.dimension:
        return False
    if claim.unit != known.unit and claim.dimension in ("price", "count") and claim.unit and known.unit:
        return False
    return any(_fits(claim, known, mine, theirs) for mine in {1.0, claim.times} for theirs in {1.0, known.times})


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
