"""Words for colours and materials in English and Chinese, with what each implies and excludes.

LEXICON["colour"].implies("navy", "blue") -> True
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Literal, TypeAlias

__all__ = ["LEXICON", "Kind", "Verdict", "Words"]

Kind: TypeAlias = Literal[
    "quantity", "colour", "material", "brand", "size", "model", "origin", "certificate", "compatibility", "care",
    "target", "negation", "superlative", "environment", "health", "statistic", "promise", "attribute",
]  # fmt: skip
Verdict: TypeAlias = Literal["supported", "contradicted", "unsupported", "uncheckable", "prohibited"]

# concept < what it implies: English | Chinese. A word with ? is one only in a fitting context, with ! it says 100 %.
_COLOURS = """
red: red | 红 大红 正红 中国红;  orange: orange | 橙 橘;  yellow: yellow | 黄;  green: green | 绿;  blue: blue | 蓝
purple: purple | 紫;  pink: pink | 粉 粉红;  brown: brown | 棕 褐 咖;  black: black | 黑;  white: white | 白
grey: grey, gray | 灰;  beige: beige | 米;  gold: gold, golden | 金;  silver: silver | 银
turquoise: turquoise | 青绿 绿松石 松石绿;  dark: | 深;  light: | 浅
transparent: transparent, see-through, clear? | 透明?
black-white < black white: black-and-white, black and white | 黑白
multicolour: multicolour, multicoloured, multicolor, multicolored, colourful | 彩 多色 五彩 七彩 撞色 拼色 花色
crimson < red: crimson;  scarlet < red: scarlet;  cherry < red: cherry red | 樱桃红;  maroon < dark-red: maroon | 枣红
burgundy < dark-red: burgundy, wine red, bordeaux | 酒红 勃艮第红;  brick < red: brick red | 砖红
rust < orange red: rust? | 铁锈红;  coral < pink orange: coral? | 珊瑚? 珊瑚红 珊瑚粉
salmon < pink orange: salmon? | 三文鱼粉;  rose < pink red: rose?, rose red | 玫红 玫瑰红
fuchsia < pink purple: fuchsia, magenta | 品红 洋红;  hot pink < pink: hot pink
baby pink < light-pink: baby pink | 婴儿粉;  dusty pink < pink: dusty pink, dusty rose, blush? | 豆沙 脏粉 藕粉 藕
nude < beige pink: nude? | 裸 肉;  peach < orange pink: peach? | 蜜桃?;  terracotta < orange brown: terracotta? | 陶土
apricot < orange beige: apricot? | 杏;  amber < orange yellow: amber? | 琥珀?
mustard < yellow: mustard? | 姜黄 芥末黄;  lemon < yellow: lemon yellow, lemon? | 柠檬黄 鹅黄
cream < white beige: cream? | 奶油? 奶白 奶油白;  ivory < white beige: ivory? | 象牙白 象牙?
off-white < white beige: off-white, off white | 米白;  snow white < white: snow white | 雪白 纯白
sand < beige: sand?, ecru | 沙;  khaki < beige brown green: khaki | 卡其;  camel < brown beige: camel? | 驼 骆驼?
tan < brown beige: tan?;  taupe < brown grey: taupe | 灰褐;  chocolate < dark-brown: chocolate? | 巧克力?
coffee < dark-brown: coffee? | 咖啡?;  chestnut < brown: chestnut? | 栗;  caramel < brown: caramel? | 焦糖?
bronze < brown gold: bronze? | 古铜? 青铜?;  copper < orange brown: copper?
rose gold < gold pink: rose gold, rose-gold | 玫瑰金;  champagne < gold beige: champagne? | 香槟? 香槟金
olive < green: olive?, olive green | 橄榄绿;  mint < light-green: mint?, mint green | 薄荷绿
emerald < green: emerald? | 祖母绿 翡翠绿;  lime < green yellow: lime? | 青柠?;  sage < green grey: sage?
forest < dark-green: forest green, bottle green | 墨绿;  army green < green: army green | 军绿
grass green < green: grass green | 草绿;  teal < turquoise: teal | 蓝绿;  cyan < turquoise: cyan, aqua? | 青
peacock < blue green: | 孔雀蓝 湖蓝;  navy < dark-blue: navy, navy blue, midnight blue | 藏青 藏蓝 海军蓝
royal blue < blue: royal blue | 宝蓝 皇家蓝;  cobalt < blue: cobalt, cobalt blue | 钴蓝 克莱因蓝
indigo < dark-blue purple: indigo | 靛蓝 靛青;  sky blue < light-blue: sky blue | 天蓝
baby blue < light-blue: baby blue, powder blue | 婴儿蓝;  denim blue < blue: denim blue | 牛仔蓝
lavender < light-purple: lavender? | 薰衣草紫;  lilac < light-purple: lilac? | 丁香紫
violet < purple: violet? | 紫罗兰?;  plum < dark-purple: plum?, aubergine? | 茄紫
charcoal < dark-grey black: charcoal?, charcoal grey | 炭灰;  anthracite < dark-grey: anthracite
slate < grey: slate?;  gunmetal < grey: gunmetal;  space grey < grey: space grey, space gray | 太空灰 深空灰
jet black < black: jet black, charcoal black | 炭黑 曜石黑 漆黑 纯黑
"""
_MATERIALS = """
fibre: ;  form: ;  trim: ;  metal: metal, metallic? | 金属
wood: wood, wooden, timber | 木质 木制 木
solid-wood < wood: solid wood, solid timber | 实木 原木 纯实木 全实木
board < wood: mdf, particle board, particleboard, chipboard, fibreboard, fiberboard, hardboard
board < wood: | 密度板 颗粒板 刨花板 纤维板
composite board < board: composite board | 中纤板 人造板 木屑板
veneer < wood: veneer, wood veneer | 贴皮 木皮 实木贴皮 木纹贴面 贴面;  cotton < fibre: cotton | 棉 纯棉! 全棉!
organic cotton < cotton: organic cotton | 有机棉;  combed cotton < cotton: combed cotton | 精梳棉
linen < fibre: linen, flax | 亚麻 麻;  cotton-linen < cotton linen: cotton-linen | 棉麻
wool < fibre: wool, woollen, woolen | 羊毛;  merino < wool: merino wool, merino | 美利奴羊毛 美利奴
lambswool < wool: lambswool | 羔羊毛 羊羔毛;  cashmere < fibre: cashmere | 羊绒 山羊绒
mohair < fibre: mohair | 马海毛;  alpaca < fibre: alpaca | 羊驼毛
silk < fibre: silk, mulberry silk | 真丝 蚕丝 桑蚕丝;  hemp < fibre: hemp;  jute < fibre: jute | 黄麻
ramie < fibre: ramie | 苎麻;  polyester < fibre: polyester | 聚酯纤维 涤纶 聚酯;  acetate < fibre: acetate | 醋酸
nylon < fibre: nylon, polyamide | 尼龙 锦纶
viscose < fibre: viscose, rayon | 粘胶纤维 粘胶 粘纤 人造丝 人棉;  modal < viscose: modal | 莫代尔
lyocell < viscose: lyocell, tencel | 莱赛尔 天丝;  acrylic < fibre plastic: acrylic | 腈纶 亚克力
bamboo fibre < fibre bamboo: bamboo fibre, bamboo fiber, bamboo viscose | 竹纤维
elastane < trim: elastane, spandex, lycra | 氨纶 莱卡;  microfibre < trim: microfibre, microfiber | 超细纤维 超纤
denim < form: denim | 牛仔布 牛仔 丹宁;  chiffon < form: chiffon | 雪纺;  velvet < form: velvet | 丝绒 天鹅绒 金丝绒
canvas < form: canvas | 帆布;  corduroy < form: corduroy | 灯芯绒;  fleece < form: fleece | 抓绒 摇粒绒
satin < trim: satin? | 绸缎 缎面 色丁;  twill < trim: twill | 斜纹;  felt < form: felt? | 毛毡
flannel < form: flannel | 法兰绒;  tweed < form: tweed | 粗花呢;  mesh < form: mesh | 网布;  knit < trim: | 针织
lace < trim: lace? | 蕾丝;  tulle < trim: tulle, organza | 网纱 薄纱 欧根纱
down: goose down, duck down, down filling | 羽绒 鹅绒 鸭绒 白鸭绒 白鹅绒;  leather: leather | 皮革 皮质
hide < leather: genuine leather, real leather | 真皮
full-grain < hide: full-grain leather, full grain leather
bonded < leather: bonded leather, reconstituted leather | 再生皮
top-grain < cowhide: top-grain leather, top grain leather | 头层牛皮 头层皮
split < leather: split leather, split-leather | 二层牛皮 二层皮;  cowhide < hide: cowhide | 牛皮 小牛皮
sheepskin < hide: sheepskin, nappa | 羊皮 小羊皮
suede: suede | 麂皮
faux: faux leather, pu leather, artificial leather, imitation leather, vegan leather, synthetic leather | 人造革
pu < faux: leatherette, pu | 仿皮 pu皮 pu革 pu皮革 合成革 超纤皮 人造皮革 仿皮革
foam: foam, memory foam, sponge | 海绵 记忆棉 珍珠棉 泡沫;  plastic: plastic | 塑料 塑胶
polypropylene < plastic: polypropylene | 聚丙烯;  polycarbonate < plastic: polycarbonate | 聚碳酸酯
abs < plastic: abs;  pvc < plastic: pvc, vinyl;  tritan < plastic: tritan
polyethylene < plastic: polyethylene | 聚乙烯;  melamine < plastic: melamine | 密胺;  resin: resin | 树脂
silicone: silicone | 硅胶;  rubber: rubber | 橡胶;  latex < rubber: latex | 乳胶;  eva < trim: eva
steel < metal: steel | 钢;  stainless steel < steel: stainless steel, stainless-steel, inox | 不锈钢
carbon steel < steel: carbon steel | 碳钢;  iron < metal: iron? | 铁
cast iron < iron: cast iron, cast-iron | 铸铁 生铁;  wrought iron < iron: wrought iron | 铁艺
alloy < trim: alloy | 合金;  aluminium < metal: aluminium, aluminum | 铝 铝合金;  copper < metal: copper | 铜 紫铜
brass < metal: brass | 黄铜;  bronze < metal: bronze? | 青铜;  titanium < metal: titanium | 钛 钛合金
zinc < metal: zinc | 锌合金;  pewter < metal: pewter;  magnesium < metal: magnesium | 镁合金
sterling silver < metal: sterling silver, 925 silver | 纯银 925银
gold < metal: solid gold, pure gold, real gold | 黄金? 纯金;  k24 < gold: 24k gold, 24 karat gold | 足金 24k金
k18 < gold: 18k gold, 18 karat gold | 18k金;  k14 < gold: 14k gold, 14 karat gold | 14k金;  k9 < gold: 9k gold | 9k金
plated gold < trim: gold-plated, gold plated, gold-filled, gold filled, gold vermeil | 镀金 包金 鎏金
plated silver < trim: silver-plated, silver plated | 镀银
platinum < metal: platinum | 铂金;  oak < wood: oak | 橡木;  walnut < wood: walnut | 胡桃木
beech < wood: beech, beechwood | 榉木;  pine < wood: pine | 松木;  teak < wood: teak | 柚木
birch < wood: birch | 桦木;  acacia < wood: acacia | 相思木 金合欢木;  maple < wood: maple? | 枫木
mahogany < wood: mahogany? | 桃花心木;  ash < wood: ash? | 白蜡木;  rubberwood < wood: rubberwood | 橡胶木
plywood < board: plywood | 胶合板 多层板;  bamboo: bamboo | 竹 竹子;  cork: cork | 软木
rattan: rattan, wicker | 藤;  paper: paper?, cardboard, kraft paper | 纸 纸板 牛皮纸;  glass: glass | 玻璃
borosilicate < glass: borosilicate glass, borosilicate | 高硼硅玻璃 高硼硅
tempered glass < glass: tempered glass | 钢化玻璃;  crystal < glass: crystal? | 水晶?;  ceramic: ceramic | 陶瓷
porcelain < ceramic: porcelain, bone china | 骨瓷 白瓷;  stoneware < ceramic: stoneware
stone: stone?, natural stone | 石材;  granite < stone: granite | 花岗岩;  marble < stone: marble | 大理石
carbon fibre: carbon fibre, carbon fiber | 碳纤维
"""
_SORTS = frozenset({"fibre", "form", "metal", "wood", "plastic", "stone"})  # things of one sort exclude each other
# Neither implies nor excludes the other, though their families differ.
_NEAR = [
    {"turquoise", "blue"}, {"turquoise", "green"}, {"suede", "leather"}, {"bamboo", "wood"}, {"faux", "plastic"},
    {"copper", "brass"}, {"copper", "bronze"}, {"brass", "bronze"},
]  # fmt: skip
# These exclude each other whatever they share, and what implies them does too.
_APART: list[tuple[str, str]] = [
    ("solid-wood", "board"), ("solid-wood", "veneer"), ("hide", "bonded"), ("full-grain", "split"),
    ("top-grain", "split"), ("gold", "plated gold"), ("sterling silver", "plated silver"),
    *combinations(("k24", "k18", "k14", "k9"), 2),
    *((f"recycled {stuff}", f"virgin {stuff}") for stuff in ("polyester", "nylon", "cotton", "plastic", "wool")),
]  # fmt: skip
_ANY_SORT = frozenset({"solid-wood"})  # excludes nothing of its sort but what is apart from it: oak can be solid wood
_COMPATIBLE = frozenset({"multicolour", "trim"})  # these exclude nothing


class Words:
    """A table of words with what each implies."""

    def __init__(self, table: str) -> None:
        parents: dict[str, list[str]] = {}
        self.concept: dict[str, str] = {}
        marked: list[str] = []
        for entry in re.split(r"; +|\n", table.strip()):
            head, _, words = entry.partition(":")
            concept, _, above = head.partition(" <")
            english, _, chinese = words.partition("|")
            parents[concept] = above.split()
            for word in filter(None, [*(word.strip() for word in english.split(",")), *chinese.split()]):
                self.concept[word.rstrip("?!")] = concept
                marked.append(word)
        self.doubtful = {word[:-1] for word in marked if word.endswith("?")}
        self.pure = {word[:-1] for word in marked if word.endswith("!")}
        self.both = {
            concept: tuple(above) for concept, above in parents.items() if len(above) > 1 and concept == "-".join(above)
        }
        self.above: dict[str, frozenset[str]] = {}
        for concept in parents:
            found, new = {concept}, [concept]
            while new:
                new = [parent for each in new for parent in parents[each] if parent not in found]
                found.update(new)
            self.above[concept] = frozenset(found)
        self.tops = {concept: frozenset(e for e in above if not parents[e]) for concept, above in self.above.items()}
        words_ = sorted(self.concept, key=len, reverse=True)
        latin, han = ("|".join(re.escape(w) for w in words_ if w.isascii() == ascii_) for ascii_ in (True, False))
        self.pattern = re.compile(rf"(?<![a-z])(?:{latin})(?![a-z])|{han}")

    def implies(self, known: str, claimed: str) -> bool:
        """Whether what is `known` is `claimed` too: navy is blue."""
        return claimed in self.above[known]

    def excludes(self, one: str, other: str) -> bool:
        """Whether a thing cannot be both."""
        above, beside = self.above[one], self.above[other]
        if one in beside or other in above:
            return False
        if any(
            (first in above and second in beside) or (second in above and first in beside) for first, second in _APART
        ):
            return True
        tones = {each.split("-")[0] for each in above | beside} & {"dark", "light"}
        if len(tones) == 2:
            return True
        if {one, other} & {"dark", "light"} or (self.tops[one] | self.tops[other]) & _COMPATIBLE:
            return False
        if {one, other} in _NEAR or {"fibre", "form"} <= self.tops[one] ^ self.tops[other]:  # denim is often cotton
            return False
        if self.tops[one] & self.tops[other] and {one, other} & _ANY_SORT:
            return False
        if self.tops[one] & self.tops[other]:  # two blues can be the same, two woods or two fibres cannot
            return above & beside <= _SORTS
        return True


def _with_tones(table: str) -> str:
    """Adds dark and light shades: navy implies dark blue, which excludes sky blue."""
    rows = []
    for base, char in zip(
        ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "grey"],
        "红橙黄绿蓝紫粉棕灰",
        strict=True,
    ):
        for tone, word, chars in (("dark", "deep", "深暗"), ("light", "pale", "浅淡")):
            spellings = (base, "gray") if base == "grey" else (base,)
            english = ", ".join(f"{tone} {spelling}, {word} {spelling}" for spelling in spellings)
            rows.append(f"{tone}-{base} < {base}: {english} | {' '.join(each + char for each in chars)}")
    return "\n".join([table.strip(), *rows])


def _with_past(table: str) -> str:
    """Adds recycled and virgin stuff, which exclude each other."""
    rows = []
    for stuff, han in (
        ("polyester", "聚酯"),
        ("nylon", "尼龙"),
        ("cotton", "棉"),
        ("plastic", "塑料"),
        ("wool", "羊毛"),
    ):
        rows += [
            f"{past} {stuff} < {stuff}: {past} {stuff} | {word}{han}"
            for past, word in (("recycled", "再生"), ("virgin", "原生"))
        ]
    return "\n".join([table.strip(), *rows])


LEXICON: Mapping[Kind, Words] = {"colour": Words(_with_tones(_COLOURS)), "material": Words(_with_past(_MATERIALS))}
