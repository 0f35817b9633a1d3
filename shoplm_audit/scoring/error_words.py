"""The words that injected errors are made of, and the patterns that say where in a text one fits.

FLIP["en"].search("It comes in navy").group() -> "comes", and dict(FLIPS["en"])["comes"] -> "does not come"
"""

from __future__ import annotations

import re

__all__ = [
    "BESIDE",
    "CERTIFICATES",
    "CERTIFICATE_NAMES",
    "CERTIFIED",
    "CLAUSE",
    "COLOURS",
    "COUNTRIES",
    "DENIED",
    "DIGITS",
    "FACTORS",
    "FLIP",
    "FLIPS",
    "MADE_IN",
    "NO",
    "OPENING",
    "ORIGIN_NAMES",
    "SENTENCE",
    "STATES",
    "UNIT",
    "UNITS",
    "YES",
]

YES = frozenset(("yes", "true", "y", "是", "有", "支持"))
NO = frozenset(("no", "false", "n", "否", "无", "不支持"))
FACTORS = (2, 3, 0.5, 4, 1.5, 0.25, 5, 7)

COLOURS = {
    "en": ("red", "green", "blue", "yellow", "black", "white", "purple", "orange", "brown", "pink", "grey"),
    "zh": ("红色", "绿色", "蓝色", "黄色", "黑色", "白色", "紫色", "橙色", "棕色", "粉色", "灰色"),
}
CERTIFICATES = ("FSC", "GOTS", "OEKO-TEX", "UL", "LFGB", "bluesign", "Fairtrade", "RoHS", "BSCI", "GS")
CERTIFIED = {"en": "It is certified to {}.", "zh": "通过{}认证。"}
CERTIFICATE_NAMES = re.compile(r"certific|approv|standard|认证|证书|标准", re.IGNORECASE)
COUNTRIES = {
    "en": ("Germany", "Japan", "Italy", "France", "Vietnam", "India", "Turkey", "Portugal", "Sweden", "Mexico"),
    "zh": ("德国", "日本", "意大利", "法国", "越南", "印度", "土耳其", "葡萄牙", "瑞典", "墨西哥"),
}
MADE_IN = {"en": "It is made in {}.", "zh": "原产地为{}。"}
ORIGIN_NAMES = re.compile(
    r"(?:country of |place of )?origin|made in|(?:manufacturing|origin) country|country of manufacture|country"
    r"|(?:原?产地|原产国|产国|制造国|原产地)",
    re.IGNORECASE,
)
STATES = {"en": "Its {} is {}.", "zh": "{}为{}。"}

# Each swap keeps the number and changes what it means.
UNITS = {
    "g": "kg", "kg": "g", "ml": "l", "l": "ml", "cm": "inches", "mm": "cm", "m": "cm", "W": "kW", "mAh": "Ah",
    "Wh": "kWh", "GB": "MB", "TB": "GB", "Hz": "kHz", "litres": "ml", "grams": "kg", "inches": "cm", "hours": "minutes",
    "h": "minutes", "years": "months", "year": "month", "克": "千克", "千克": "克", "公斤": "克", "毫升": "升",
    "升": "毫升", "厘米": "英寸", "毫米": "厘米", "米": "厘米", "英寸": "厘米", "瓦": "千瓦", "毫安时": "安时",
    "小时": "分钟", "年": "个月", "斤": "克",
}  # fmt: skip
UNIT = re.compile(r"(?<=[\d\s.])(" + "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True)) + r")(?![A-Za-z])")
DIGITS = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")

# A colour right before one of these is the colour of a part or of what stands beside, not of the product.
BESIDE = re.compile(
    r"\s*(?:的)?(?:stripe|dot|lid|handle|trim|accent|logo|print|button|strap|lining|stitch|label|light|box|cap|sole|lace"
    r"|条纹|波点|盖|把手|扣|领|袖|边|印花|图案|字母|刺绣|蕾丝|内搭|衬衫领|腰带|拉链|口袋|鞋底|包装|灯光)",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"(?:\bnot|\bno|\bnon|\bnever|\bwithout|n't|\bthan|\blike|\bfree of)[\s-](?:\w+ ){0,2}$"
    r"|[非不无没未勿][\u4e00-\u9fff]{0,2}$",
    re.IGNORECASE,
)

# What denies a verb; longest first, so that "is made of" is "is not made of" and not "is made not of".
FLIPS = {
    "en": (
        ("is", "is not"), ("are", "are not"), ("contains", "does not contain"), ("comes", "does not come"),
        ("has", "does not have"), ("have", "do not have"), ("weighs", "does not weigh"), ("costs", "does not cost"),
        ("features", "does not feature"), ("offers", "does not offer"), ("includes", "does not include"),
        ("consists of", "does not consist of"), ("holds", "does not hold"), ("uses", "does not use"),
        ("supports", "does not support"), ("provides", "does not provide"), ("carries", "does not carry"),
        ("made of", "not made of"), ("made from", "not made from"), ("was", "was not"), ("were", "were not"),
        ("can", "cannot"), ("will", "will not"), ("with", "without"),
    ),
    "zh": (
        ("通过", "未通过"), ("采用", "不采用"), ("享有", "不享有"), ("具有", "不具有"), ("拥有", "没有"),
        ("含有", "不含有"), ("包含", "不包含"), ("支持", "不支持"), ("使用", "不使用"), ("获得", "未获得"),
        ("带有", "不带有"), ("选用", "不选用"), ("来自", "不来自"), ("具备", "不具备"), ("提供", "不提供"),
        ("适合", "不适合"), ("由", "不由"), ("是", "不是"), ("为", "不为"), ("有", "没有"), ("含", "不含"),
        ("达", "不到"), ("重", "不重"),
    ),
}  # fmt: skip
_EN = "|".join(word for word, _ in FLIPS["en"])
_LONG, _SINGLE = ("|".join(word for word, _ in FLIPS["zh"] if (len(word) > 1) is long) for long in (True, False))
FLIP = {
    "en": re.compile(rf"(?<![A-Za-z])(?:{_EN})(?![A-Za-z])", re.IGNORECASE),
    # A verb of one character is one only right before what it states: 为棕色, and not 为避免.
    "zh": re.compile(rf"(?<![不没未非但可于还似因])(?:{_LONG}|(?:{_SINGLE})$)"),
}
OPENING = re.compile(r"(?:In addition|Moreover|Furthermore|Also|此外|另外|同时|而且)[,，]", re.IGNORECASE)
# The stop of a short word with a capital is that of an abbreviation: St. Louis, Mr. Smith, J. R. Ewing.
_STOP = r"(?:(?<!\b[A-Z])(?<!\b[A-Z][a-z])[.!?](?=\s|$)|\n)"
SENTENCE = {"en": re.compile(_STOP), "zh": re.compile(r"[。！？!?\n]")}
CLAUSE = {"en": re.compile(_STOP + r"|[;:,](?=\s|$)| and "), "zh": re.compile(r"[。！？；，,;\n]")}
