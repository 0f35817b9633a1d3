"""The words of ShopWorld, English and Chinese: colours, materials, names, brands, and the schema of each category.

    COLOURS["en"]["navy"] == "blue"          SCHEMAS["en"]["kettles"]["capacity"] == "quantity"

Colour and material tables are wider than what ShopWorld draws from, since texts of other shops are read with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "BRANDS",
    "CATEGORIES",
    "COLOURS",
    "KINDS",
    "LANGUAGES",
    "MATERIALS",
    "MODELS",
    "NAMES",
    "SCHEMAS",
    "SERIES",
    "SHADES",
    "UNITS",
    "Attribute",
    "Category",
    "Kind",
]

Kind: TypeAlias = Literal["brand", "colour", "material", "quantity", "size", "certificate", "warranty", "price"]

LANGUAGES = ("en", "zh")


def _words(text: str) -> tuple[str, ...]:
    """Reads "a, b c, d", or "a b c" where there is no comma."""
    return tuple(word.strip() for word in (text.split(",") if "," in text else text.split()))


def _families(table: str) -> dict[str, str]:
    """Reads "family: word, word; family: word": each word and each family itself to the family."""
    found = {}
    for group in table.split(";"):
        family, _, words = (part.strip() for part in group.strip().partition(":"))
        found[family] = family
        found.update({word.strip(): family for word in words.split(",") if word.strip()})
    return found


# Colour word -> the plainer colour it implies: "navy" supports "blue", "blue" does not support "navy".
COLOURS: Mapping[str, Mapping[str, str]] = {
    "en": _families(
        """black: jet black, charcoal black; white: off-white, ivory, snow white; grey: gray, light grey,
        dark grey, charcoal, anthracite; silver:; gold: rose gold, champagne; beige: cream, sand, khaki, ecru;
        brown: chestnut, chocolate, tan, camel; red: burgundy, crimson, scarlet, maroon, wine red; pink: rose,
        fuchsia, coral; orange: apricot, terracotta; yellow: mustard, lemon yellow; green: dark green,
        mint green, olive, olive green, emerald, lime; turquoise: teal, cyan; blue: navy, navy blue, sky blue,
        light blue, dark blue, royal blue, cobalt, indigo; purple: violet, lavender, lilac, plum;
        multicoloured: multicolored, multicolour"""
    ),
    "zh": _families(
        """黑色: 炭黑色, 曜石黑; 白色: 米白色, 象牙白, 雪白色; 灰色: 浅灰色, 深灰色, 炭灰色; 银色:; 金色: 玫瑰金,
        香槟色; 米色: 奶油色, 沙色, 卡其色, 杏色; 棕色: 栗色, 咖啡色, 褐色, 驼色; 红色: 酒红色, 大红色, 枣红色,
        玫红色; 粉色: 粉红色, 珊瑚色; 橙色: 橘色, 陶土色; 黄色: 姜黄色, 柠檬黄; 绿色: 墨绿色, 薄荷绿, 橄榄绿,
        军绿色, 草绿色; 青绿色: 青色, 蓝绿色; 蓝色: 藏青色, 天蓝色, 浅蓝色, 深蓝色, 宝蓝色, 靛蓝色;
        紫色: 薰衣草紫, 淡紫色; 彩色: 多色"""
    ),
}

# Material word -> the plainer material it implies. "faux leather" implies no leather and is a family of its own.
MATERIALS: Mapping[str, Mapping[str, str]] = {
    "en": _families(
        """cotton: organic cotton, combed cotton; linen: flax; wool: merino wool, lambswool; cashmere:; silk:;
        polyester:; nylon: polyamide; viscose: rayon; elastane: spandex; acrylic:; canvas:; denim:; mesh:;
        fleece:; down:; felt:; leather: genuine leather, full-grain leather; suede:; faux leather: PU leather,
        artificial leather, imitation leather; plastic: polypropylene, polycarbonate, ABS; silicone:; rubber:;
        glass: borosilicate glass, tempered glass; ceramic: porcelain, stoneware; steel: stainless steel,
        carbon steel; iron: cast iron; aluminium: aluminum; copper:; brass:; titanium:; zinc:; wood: oak,
        walnut, beech, pine, solid wood, plywood; bamboo:; paper: cardboard; cork:; rattan:; marble:;
        stone: granite; carbon fibre: carbon fiber"""
    ),
    "zh": _families(
        """棉: 纯棉, 有机棉, 精梳棉; 亚麻: 麻; 羊毛: 美利奴羊毛, 羔羊毛; 羊绒: 山羊绒; 真丝: 蚕丝, 桑蚕丝;
        聚酯纤维: 涤纶; 尼龙: 锦纶; 粘胶纤维: 人造丝; 氨纶:; 腈纶:; 帆布:; 牛仔布:; 网布:; 抓绒:; 羽绒: 鸭绒,
        鹅绒; 毛毡:; 皮革: 真皮, 牛皮, 头层牛皮; 麂皮:; 人造革: 仿皮, PU皮; 塑料: 聚丙烯, 聚碳酸酯; 硅胶:;
        橡胶:; 玻璃: 高硼硅玻璃, 钢化玻璃; 陶瓷: 骨瓷; 钢: 不锈钢, 碳钢; 铁: 铸铁; 铝: 铝合金; 铜: 紫铜; 黄铜:;
        钛: 钛合金; 锌合金:; 木: 橡木, 胡桃木, 榉木, 松木, 实木, 胶合板; 竹: 竹纤维, 竹子; 纸: 纸板; 软木:;
        藤:; 大理石:; 石材: 花岗岩; 碳纤维:"""
    ),
}

# What ShopWorld paints with: none of these words is a material too ("gold", "copper"), so that truth stays exact.
SHADES: Mapping[str, tuple[str, ...]] = {
    "en": _words(
        """black, white, grey, navy, blue, sky blue, red, burgundy, green, dark green, mint green, yellow,
        mustard, orange, pink, purple, brown, beige, turquoise, lavender"""
    ),
    "zh": _words(
        """黑色, 白色, 灰色, 藏青色, 蓝色, 天蓝色, 红色, 酒红色, 绿色, 墨绿色, 薄荷绿, 黄色, 姜黄色, 橙色, 粉色,
        紫色, 棕色, 米色, 青绿色, 淡紫色"""
    ),
}

# Invented brands; any likeness to a real one is chance.
BRANDS: Mapping[str, tuple[str, ...]] = {
    "en": _words(
        """Norvik Talvera Brimo Quorra Velden Ostara Kesper Lunaro Haldis Mirato Fennix Corvane Dunlow Elvado
        Pellar Zanter Orrin Sablo Tivano Wexel Yorvis Arkona Belmor Cendra Delphan Grando Ilvara Jorvo Kaldera
        Morvan Rundal Vestor"""
    ),
    "zh": _words(
        """岚拓 沐桥 禾屿 云杼 朗峤 栖川 拾岳 澜笙 箬笠 沐岑 言谷 棠序 逸渚 知榆 辰砚 望溪 松柚 南珂 百棹 初岫
        归澄 嘉蘅 乐岭 若洲 晴枋 安朔 泊然居 简屿 森汀 溪语堂 远岱 致岚"""
    ),
}

# Model words are neither colours nor materials; a series word is added when a category has used them all.
MODELS: Mapping[str, tuple[str, ...]] = {
    "en": _words(
        """Alder Comet Harbour Lumen Meridian Nimbus Orbit Pioneer Quill Ranger Summit Tundra Vesper Willow Zephyr
        Aurora Beacon Canyon Drift Ember Fjord Glade Horizon Kestrel Lagoon Mistral Nomad Osprey Prairie Raven
        Sierra Tempo Umbra Voyage Wander Yonder Atlas Breeze Cascade Delta Echo Falcon Grove Heron Island
        Jasper Kite Lotus"""
    ),
    "zh": _words(
        """云杉 星河 远山 晨光 流萤 海岬 北极星 拓荒 羽翎 游骑 峰顶 苔原 暮星 垂柳 微风 极光 灯塔 峡谷 漂流 余烬
        峡湾 林间 地平线 云雀 泻湖 季风 旅人 鱼鹰 草原 渡鸦 山脊 节拍 疏影 远航 漫步 彼岸 巨擘 清风 飞瀑 三角洲
        回声 猎隼 小树林 苍鹭 岛屿 晨露 风筝 莲池"""
    ),
}
SERIES = ("", "Pro", "Plus", "Neo", "Max", "Go", "Evo", "Zen", "Nova", "Rio", "Arc", "Sol", "Lux", "Via", "Oro", "Kai")

# Given names by language and group. English: each is among the hundred most frequent of its sex and not among the six
# hundred most frequent of the other in the US Census Bureau's lists of 1990 (public domain); both groups hold 14 names
# of five letters, 6 of six and 4 of four. Chinese: common given names of two characters, chosen by hand in the spirit
# of the yearly name reports of the Ministry of Public Security; their frequencies were not checked.
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "female": _words(
            """Linda Susan Karen Nancy Betty Helen Donna Laura Sarah Maria Emily Julia Alice Diane Sandra Sharon
            Rachel Martha Teresa Gloria Anna Mary Ruth Jane"""
        ),
        "male": _words(
            """David Brian Kevin Jason Peter James Scott Henry Roger Aaron Bruce Louis Ralph Keith Robert Edward
            Daniel George Walter Steven John Paul Eric Carl"""
        ),
    },
    "zh": {
        "female": _words(
            """秀英 桂英 秀兰 玉兰 婷婷 丽丽 玉梅 秀珍 桂兰 淑珍 凤英 淑兰 海燕 雪梅 红梅 春梅 丽娟 晓燕 秀梅 美玲
            淑芬 雅婷 丽华 诗涵"""
        ),
        "male": _words(
            """建国 建军 志强 志明 国强 建平 立军 海涛 文杰 永强 浩然 俊杰 子轩 宇轩 浩宇 志刚 国华 晓东 志勇 永刚
            建明 志伟 建峰 家豪"""
        ),
    },
}

UNITS: Mapping[str, Mapping[str, str]] = {
    "en": {unit: f" {unit}" for unit in ("kg", "g", "l", "ml", "mAh", "cm", "W", "pieces")} | {"h": " hours"},
    "zh": dict(
        pair.split("/") for pair in _words("kg/千克 g/克 l/升 ml/毫升 mAh/毫安时 cm/厘米 W/瓦 pieces/块 h/小时")
    ),
}

# Attribute -> its name in both languages and its kind.
_ATTRIBUTES: Mapping[str, tuple[str, str, Kind]] = {
    "brand": ("brand", "品牌", "brand"),
    "colour": ("colour", "颜色", "colour"),
    "material": ("material", "材质", "material"),
    "size": ("size", "尺码", "size"),
    "capacity": ("capacity", "容量", "quantity"),
    "power": ("power", "功率", "quantity"),
    "battery": ("battery life", "续航", "quantity"),
    "pieces": ("content", "件数", "quantity"),
    "length": ("length", "长度", "quantity"),
    "width": ("width", "宽度", "quantity"),
    "height": ("height", "高度", "quantity"),
    "diameter": ("diameter", "直径", "quantity"),
    "weight": ("weight", "重量", "quantity"),
    "certificate": ("certificate", "认证", "certificate"),
    "warranty": ("warranty", "保修", "warranty"),
    "price": ("price", "价格", "price"),
}
KINDS: Mapping[str, Mapping[str, Kind]] = {
    language: {row[column]: row[2] for row in _ATTRIBUTES.values()} for column, language in enumerate(LANGUAGES)
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """What values an attribute takes: one of `words`, or a number on the grid low, low + step, ..., high with a unit.

    `low`, `high` and `step` are in the unit; `unit` is a key of `UNITS`. A price is drawn from its category's range.
    """

    name: str
    kind: Kind
    words: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float = 1.0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Category:
    """A category in one language: what its products are called, which attributes they can have, what reviews speak of.

    `price` is (low, high) in dollars for English and in yuan for Chinese.
    """

    name: str
    noun: str
    attributes: tuple[Attribute, ...]
    aspects: tuple[str, ...]
    price: tuple[int, int]


_SIZES = ("XS", "S", "M", "L", "XL", "XXL")
_SHOES = tuple(range(36, 48))
_WARRANTIES = (("1 year", "2 years", "3 years", "5 years"), ("1年", "2年", "3年", "5年"))
_ELECTRIC = ("CE GS", "CE 3C")
_FABRIC = ("OEKO-TEX bluesign", "OEKO-TEX bluesign")

# Name and noun (English, Chinese) | materials | attribute low high step unit | marks | aspects | price in dollars.
_CATEGORIES = """
kettles,kettle,水壶,电热水壶 | stainless steel/不锈钢 glass/玻璃 plastic/塑料 | capacity 0.8 2.2 0.1 l; power 1000 2400 100 W; weight 0.7 1.6 0.1 kg | electric warranty | build noise cleaning handling | 25 90
backpacks,backpack,背包,双肩包 | nylon/尼龙 canvas/帆布 polyester/聚酯纤维 leather/皮革 | capacity 12 45 1 l; height 38 60 1 cm; weight 400 1400 50 g | warranty | fabric comfort size smell | 30 150
headsets,headset,耳机,头戴式耳机 | aluminium/铝合金 plastic/塑料 | battery 8 60 1 h; weight 120 320 10 g | electric warranty | build sound comfort battery | 40 260
power banks,power bank,充电宝,移动电源 | aluminium/铝合金 plastic/塑料 | capacity 5000 30000 1000 mAh; power 10 65 5 W; weight 120 600 10 g | electric | build battery size handling | 20 90
jackets,jacket,外套,夹克 | %cotton/棉 %wool/羊毛 %polyester/聚酯纤维 %nylon/尼龙 | size; length 58 90 1 cm; weight 300 1200 50 g | fabric | fabric comfort size warmth washing | 50 240
shirts,shirt,上衣,衬衫 | %cotton/棉 %linen/亚麻 %viscose/粘胶纤维 | size; length 62 80 1 cm | fabric | fabric comfort size washing | 15 90
shoes,running shoe,鞋类,跑步鞋 | mesh/网布 leather/皮革 suede/麂皮 | shoe; weight 180 400 10 g; height 8 16 1 cm | warranty | build comfort size smell | 40 180
lamps,desk lamp,灯具,台灯 | brass/黄铜 aluminium/铝合金 plastic/塑料 | height 25 60 1 cm; power 4 20 1 W; weight 0.5 2.5 0.1 kg | electric warranty | build light handling size | 20 140
flasks,flask,杯壶,保温杯 | stainless steel/不锈钢 titanium/钛 glass/玻璃 | capacity 300 1000 50 ml; height 18 32 1 cm; weight 180 520 10 g | food | build heat cleaning handling | 12 60
pans,frying pan,锅具,平底锅 | cast iron/铸铁 aluminium/铝合金 copper/铜 stainless steel/不锈钢 | diameter 18 32 1 cm; weight 0.6 3 0.1 kg | food warranty | build cleaning handling size | 18 120
blankets,blanket,毯子,毛毯 | %wool/羊毛 %cotton/棉 %cashmere/羊绒 %polyester/聚酯纤维 | length 130 240 10 cm; width 100 200 10 cm; weight 400 2000 50 g | fabric | fabric warmth smell washing | 20 160
vacuum cleaners,vacuum cleaner,清洁电器,吸尘器 | plastic/塑料 aluminium/铝合金 | power 300 900 50 W; capacity 0.4 2 0.1 l; weight 1.5 6 0.1 kg | electric warranty | build noise handling cleaning | 60 400
toys,building set,玩具,拼装玩具 | beech/榉木 plastic/塑料 bamboo/竹 | pieces 24 240 4 pieces; weight 0.4 3 0.1 kg | toy | build size smell handling | 15 80
desks,desk,家具,书桌 | oak/橡木 walnut/胡桃木 bamboo/竹 steel/钢 | length 80 180 5 cm; width 45 80 5 cm; weight 12 45 1 kg | wood warranty | build size handling smell | 90 600
speakers,speaker,音响,便携音箱 | plastic/塑料 aluminium/铝合金 bamboo/竹 | power 5 60 5 W; battery 6 30 1 h; weight 0.3 3 0.1 kg | electric | build sound battery size | 25 220
towels,bath towel,家纺,浴巾 | %cotton/棉 %linen/亚麻 %bamboo/竹纤维 | length 70 160 10 cm; width 40 90 5 cm; weight 150 700 10 g | fabric | fabric comfort washing smell | 8 50
"""  # noqa: E501 - one category a line is how the table can be read
_MARKS = {
    "electric": _ELECTRIC,
    "fabric": _FABRIC,
    "food": ("LFGB FDA", "LFGB FDA"),
    "toy": ("CE GS", "CE 3C"),
    "wood": ("FSC", "FSC"),
}
_PERCENT = ("100%", "95%", "80%", "70%", "60%")
_YUAN_PER_DOLLAR = 7


def _materials(cell: str, column: int) -> tuple[str, ...]:
    """The material words of one language; a word marked with % comes with its share."""
    pairs = cell.replace("stainless steel", "stainless_steel").replace("cast iron", "cast_iron").split()
    words = []
    for pair in pairs:
        word = pair.lstrip("%").split("/")[column].replace("_", " ")
        shares = [f"{share}{' ' if column == 0 else ''}" for share in _PERCENT] if pair.startswith("%") else [""]
        words += [share + word for share in shares]
    return tuple(words)


def _attribute(key: str, column: int, words: tuple[str, ...] = ()) -> Attribute:
    row = _ATTRIBUTES[key]
    return Attribute(row[column], row[2], words)


def _number(cell: str, column: int) -> Attribute:
    """Reads "weight 0.7 1.6 0.1 kg", "size" or "shoe"."""
    key, *grid = cell.split()
    if key == "size":
        return _attribute("size", column, _SIZES)
    if key == "shoe":
        return _attribute("size", column, tuple(f"EU {n}" if column == 0 else f"{n}码" for n in _SHOES))
    row = _ATTRIBUTES[key]
    low, high, step = (float(number) for number in grid[:3])
    return Attribute(row[column], row[2], (), low, high, step, grid[3])


def _category(line: str, column: int) -> Category:
    names, materials, numbers, marks, aspects, dollars = (cell.strip() for cell in line.split("|"))
    english, english_noun, chinese, chinese_noun = names.split(",")
    attributes = [
        _attribute("brand", column, BRANDS[LANGUAGES[column]]),
        _attribute("colour", column, SHADES[LANGUAGES[column]]),
        _attribute("material", column, _materials(materials, column)),
        *(_number(cell.strip(), column) for cell in numbers.split(";")),
    ]
    for mark in marks.split():
        if mark == "warranty":
            attributes.append(_attribute("warranty", column, _WARRANTIES[column]))
        else:
            attributes.append(_attribute("certificate", column, tuple(_MARKS[mark][column].split())))
    attributes.append(_attribute("price", column))
    low, high = (int(price) * (_YUAN_PER_DOLLAR if column else 1) for price in dollars.split())
    return Category(
        (english, chinese)[column],
        (english_noun, chinese_noun)[column],
        tuple(attributes),
        tuple(aspects.split()),
        (low, high),
    )


CATEGORIES: Mapping[str, tuple[Category, ...]] = {
    language: tuple(_category(line, column) for line in _CATEGORIES.strip().splitlines())
    for column, language in enumerate(LANGUAGES)
}

SCHEMAS: Mapping[str, Mapping[str, Mapping[str, Kind]]] = {
    language: {category.name: {a.name: a.kind for a in category.attributes} for category in categories}
    for language, categories in CATEGORIES.items()
}
