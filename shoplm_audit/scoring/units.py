"""Units of English and Chinese shops: their words here, their factors from `pint`.

units()["斤"] -> Unit("mass", "斤", factor=500.0, shift=0.0)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

__all__ = ["UNIT_WORDS", "Unit", "registry", "units"]

# dimension [base unit]: unit of pint = its words; ...   (one Latin letter is case-sensitive, plurals with s are known)
# A dimension without a base unit is counted in its own words, each group apart for prices and counts.
_TABLE = """
length [meter]: nanometer = nm 纳米; micrometer = µm 微米; millimeter = mm millimetre millimeter 毫米
length [meter]: centimeter = cm centimetre centimeter 厘米 公分; meter = m metre meter 米
length [meter]: kilometer = km kilometre kilometer 千米 公里; inch = in inch inches 英寸 吋 寸; foot = ft foot feet 英尺
length [meter]: yard = yd yard; mile = mi mile 英里; chi = 尺 市尺; cun = 市寸; zhang = 丈
mass [gram]: milligram = mg milligram 毫克; gram = g gram gramme 克; kilogram = kg kilo kilogram kgs 千克 公斤
mass [gram]: jin = 斤 市斤; liang = 两; tonne = tonne 吨; pound = lb lbs pound 磅
mass [gram]: ounce = oz ounce 盎司; carat = carat 克拉
volume [liter]: milliliter = ml millilitre milliliter cc 毫升; centiliter = cl; deciliter = dl
volume [liter]: liter = l L litre liter ltr 升 公升; centimeter**3 = cm3 立方厘米; meter**3 = m3 立方米
volume [liter]: fluid_ounce = floz fluidounce 液体盎司; gallon = gallon gal 加仑; quart = quart; pint = pint 品脱
area [meter**2]: centimeter**2 = cm2 squarecentimetre squarecentimeter 平方厘米
area [meter**2]: meter**2 = m2 sqm squaremetre squaremeter 平方米 平米 平方
area [meter**2]: foot**2 = sqft squarefoot squarefeet ft2 平方英尺
power [watt]: milliwatt = mW milliwatt; watt = W watt 瓦 瓦特; kilowatt = kW kilowatt 千瓦
power [watt]: horsepower = hp horsepower 马力
energy [watt_hour]: watt_hour = Wh watthour 瓦时; kilowatt_hour = kWh 千瓦时; kilojoule = kJ 千焦
energy [watt_hour]: kilocalorie = kcal calorie 大卡 千卡
charge [ampere_hour]: milliampere_hour = mAh 毫安时 毫安; ampere_hour = Ah 安时
voltage [volt]: millivolt = mV; volt = V volt 伏 伏特; kilovolt = kV
current [ampere]: milliampere = mA milliamp; ampere = A amp ampere 安 安培
frequency [hertz]: hertz = Hz hertz 赫兹 赫; kilohertz = kHz 千赫; megahertz = MHz 兆赫; gigahertz = GHz 吉赫
data [byte]: kilobyte = KB; megabyte = MB 兆; gigabyte = GB gigabyte; terabyte = TB terabyte
data rate [bit/second]: megabit/second = Mbps; gigabit/second = Gbps
temperature [degree_Celsius]: degree_Celsius = °C °c celsius degreecelsius degreescelsius 摄氏度 度 degree
temperature [degree_Celsius]: degree_Fahrenheit = °F °f fahrenheit degreefahrenheit degreesfahrenheit 华氏度
pressure [bar]: bar = bar 巴; psi = psi; pascal = Pa 帕; kilopascal = kPa 千帕; megapascal = MPa 兆帕
time [second]: millisecond = ms 毫秒; second = s sec second 秒 秒钟; minute = min mins minute 分钟
time [second]: hour = h hr hrs hour 小时 个小时 钟头; day = day 天; week = week wk 周 星期 个星期
time [second]: month = month 个月; year = year yr yrs 年
pixel [pixel]: pixel = px pixel 像素; megapixel = mp megapixel
speed [kilometer/hour]: kilometer/hour = km/h kph 公里/小时; mile/hour = mph; meter/second = m/s 米/秒
rotation: rpm r/min 转/分 转每分钟
colour temperature: K kelvin
light: lm lumen 流明
sound: dB decibel 分贝
percent: % percent
age: yearold yearsold 岁 周岁
lines: p
price: usd dollar 美元 美金; eur euro 欧元; gbp 英镑; cny yuan rmb 元 块钱 人民币; jpy 日元
count: piece pcs pc pack pk count ct set 件 个 只 支 枚 块 套 组; pair 双 对; bottle 瓶; tablet pill 片
count: capsule 粒 颗; sheet 张; roll 卷; bag sachet 袋; box 盒 箱; tin 罐 听; parcel 包; strip 条 根
"""
# What pint lacks, in its own syntax. The trade's 寸 is mostly an inch (screens, pans, suitcases); 市寸 is the tailor's.
_DEFINITIONS = """
jin = 500 * gram
liang = 50 * gram
chi = meter / 3
cun = chi / 10
zhang = 10 * chi
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: value in the dimension's base unit = value * factor + shift; `name` is its first word in the table."""

    dimension: str
    name: str
    factor: float = 1.0
    shift: float = 0.0


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[float]:
    """The units of pint with the Chinese ones added; built once, about a second."""
    import pint

    units_of_pint: pint.UnitRegistry[float] = pint.UnitRegistry()
    units_of_pint.load_definitions(_DEFINITIONS.strip().splitlines())
    return units_of_pint


def _groups() -> Iterator[tuple[str, str, str, list[str]]]:
    """Dimension, base unit, unit of pint, words; the middle two are "" where nothing is converted."""
    for line in _TABLE.strip().splitlines():
        head, _, rest = line.partition(": ")
        dimension, _, base = head.rstrip("]").partition(" [")
        for group in rest.split(";"):
            unit, _, words = group.rpartition("=")
            yield dimension, base, unit.strip(), words.split()


UNIT_WORDS = frozenset(word for *_, words in _groups() for word in words)


def _line(unit: str, base: str) -> tuple[float, float]:
    """Factor and shift between two units; twelve digits, so that a pound is 453.59237 g and not ...7000001."""
    if not unit:
        return 1.0, 0.0
    convert = registry().convert
    shift = float(convert(0.0, unit, base))
    return float(f"{convert(1.0, unit, base) - shift:.12g}"), float(f"{shift:.12g}")


@lru_cache(maxsize=1)
def units() -> Mapping[str, Unit]:
    """Every word of a unit, also in lower case and with the plural's s."""
    found: dict[str, Unit] = {}
    for dimension, base, expression, words in _groups():
        unit = Unit(dimension, "" if words[0] == "piece" else words[0], *_line(expression, base))
        for word in words:
            found[word] = unit
            if len(word) > 1 and word.isascii():
                found.setdefault(word.lower(), unit)
                if word.isalpha() and len(word) > 2:
                    found.setdefault(word.lower() + "s", unit)
    return MappingProxyType(found)
