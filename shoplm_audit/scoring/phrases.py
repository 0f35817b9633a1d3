"""Phrases of care, target, certificates, features, promises and praise in English and Chinese, with their lattice.

PHRASES.supports(("waterproof", True), ("water-resistant", True)) -> True, and not the other way round
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from shoplm_audit.scoring.denial import denied, denies

__all__ = ["PHRASES", "Literal", "Phrase", "Phrases"]

Literal = tuple[str, bool]  # a concept, and whether it is said to hold

# concept < what it implies, -what it excludes: English | Chinese. ~ is a hyphen, a space or nothing. A word with ?
# means this in a record only, one with ! only where a text denies it or says "contains". [none] holds words
# that only look like a phrase.
_TABLE = """
[none]
: best before, best served, best if used, best regards, best wishes, at best, best friend, best friends, best suited
: do your best, does its best, best man, leading to, vegan leather, water resistant to, made for women's, sugar cane;  :
: coconut milk, oat milk, soy milk, rice milk, cocoa butter, shea butter, body butter | 可可脂 椰奶
: | 最小尺码 最大尺码 最近 最后 最初 最终 最低起订量 防水台 手工课 有机会 有机结合 最好不要 儿童节 少女款
: | 可持续使用 治疗师 认证课
[target]
men < -women: for men, men's, mens, for gentlemen, for guys, men?, man?, male? | 男款 男士 男装 男鞋 男式 男?
women < : for women, women's, womens, for ladies, ladies', women?, ladies?, woman?, female?
women: | 女款 女士 女装 女鞋 女式 女?
unisex < men women: unisex, for men and women, for women and men | 男女通用 男女同款 男女款 男女皆宜 中性款
kids < -adults: for kids, for children, for toddlers, kids', kid's, children's, childrens, kids?, children?, child?
kids: | 儿童 童装 童款 宝宝 小朋友;  girls < kids -boys: for girls, girls', girls?, girl? | 女童 女孩?
boys < kids: for boys, boys', boys?, boy? | 男童 男孩?
babies < kids: for babies, for infants, for newborns, baby?, babies?, infant?, newborn? | 婴儿 婴幼儿 新生儿
adults: for adults, for grown-ups, adult?, adults? | 成人 成年人
seniors < adults: for seniors, for the elderly, seniors? | 老人 老年人 中老年
maternity: for pregnant women, maternity? | 孕妇 孕妈;  dogs < -cats: for dogs, dogs?, dog? | 狗狗用 犬用
cats: for cats, cats?, cat? | 猫咪用 猫用
[care]
machine-wash: machine~wash, machine~washable, machine~washed, wash in the machine | 机洗 可机洗 洗衣机清洗
hand-wash: hand~wash, hand~washable, hand~washed, wash by hand | 手洗 可手洗
hand-wash-only < hand-wash -machine-wash -dishwasher: hand~wash only, only wash by hand, wash by hand only
hand-wash-only: | 只能手洗 仅限手洗 仅可手洗 只可手洗 仅手洗
dry-clean: dry~clean, dry~cleaned, dry~cleanable | 干洗 可干洗
dry-clean-only < dry-clean -machine-wash -hand-wash: dry~clean only, only dry~clean | 只能干洗 仅限干洗 仅可干洗 仅干洗
bleach: bleach!, bleached!, bleach~safe, can be bleached | 漂白! 氯漂! 可漂白 可以漂白
tumble-dry: tumble~dry, tumble~dried | 烘干
ironing < -never-iron: iron on low, cool iron, warm iron | 可熨烫 低温熨烫 中温熨烫
never-iron: do not iron, don't iron | 不可熨烫 不可熨 请勿熨烫;  non-iron: non~iron | 免熨 免烫
dishwasher: dishwasher~safe, dishwasher~proof, in the dishwasher, dishwasher? | 洗碗机清洗 洗碗机可洗 可用洗碗机 洗碗机?
microwave: microwave~safe, microwavable, microwaveable, in the microwave | 可微波 微波炉加热 微波炉可用 可用微波炉
oven: oven~safe, oven~proof | 可入烤箱;  freezer: freezer~safe | 可冷冻
[certificate]
certified: certified, accredited, certification? | 认证 质检合格
ce < certified: ce~certified, ce~marked, ce mark, ce marking, ce approved, ce? | ce认证 ce标志 欧盟认证
gots < certified: gots, gots~certified;  oeko-tex < certified: oeko~tex, oeko~tex certified, oeko~tex standard 100
fda < certified: fda~approved, fda~certified, fda~cleared, fda~registered, fda? | fda认证
ccc < certified: ccc~certified, 3c~certified, ccc mark, ccc?, 3c? | 3c认证 ccc认证
ul < certified: ul~listed, ul~certified, ul?;  fcc < certified: fcc~certified, fcc approved, fcc? | fcc认证
rohs < certified: rohs, rohs~compliant, rohs~certified | rohs认证;  tuv < certified: tuv, tuv~certified, tüv | 德国莱茵
energy-star < certified: energy~star, energy~star certified;  fsc < certified: fsc, fsc~certified | fsc认证
gs < certified: gs~certified, gs mark, gs? | gs认证;  lfgb < certified: lfgb | lfgb认证
grs < certified: grs~certified, grs? | grs认证;  fairtrade < certified: fairtrade, fair~trade, fairtrade~certified
usda < certified: usda~organic, usda~certified;  haccp < certified: haccp | haccp认证;  bluesign < certified: bluesign
state < certified: government~certified, government~approved | 国家认证 国家级认证 国家质检 国家质量认证
organic-mark < certified: certified organic | 有机认证;  green-food < certified: | 绿色食品认证
[attribute]
waterproof < water-resistant: waterproof, water~proof | 防水
water-resistant < splashproof: water~resistant, water~repellent, showerproof, rainproof, shower~resistant
water-resistant: | 防泼水 抗水 拒水 防雨;  splashproof: splash~proof, splash~resistant | 防溅
submersible < waterproof: submersible | 可浸水 可潜水 浸水使用 可水下使用;  windproof: windproof, wind~resistant | 防风
shockproof: shockproof, shock~resistant | 防摔 防震;  fireproof: fireproof, flame~retardant, fire~resistant | 阻燃 防火
breathable: breathable | 透气;  wireless: wireless, cordless | 无线 无绳;  bluetooth < wireless: bluetooth | 蓝牙
wired < -wireless: wired | 有线;  wifi < wireless: wifi, wi-fi
rechargeable < -disposable: rechargeable | 可充电 充电式
foldable: foldable, collapsible, fold!, folds! | 可折叠 折叠式 折叠?
adjustable: adjustable | 可调节;  detachable: detachable, removable | 可拆卸 可脱卸
reusable < -disposable: reusable | 可重复使用;  disposable: disposable, single~use | 一次性
non-stick: non~stick | 不粘锅 不粘涂层;  non-slip: non~slip, anti~slip | 防滑
leakproof: leak~proof, spill~proof | 防漏 不漏水;  noise-cancelling: noise~cancelling, noise~canceling | 降噪
handmade < -machine-made: handmade, hand~made, handcrafted, hand~crafted | 纯手工 手工制作 全手工
machine-made: machine~made | 机器制作;  vegan < -animal: vegan | 纯素;  halal < -pork: halal | 清真
organic: organic | 有机种植 有机食品
uv-protection: uv~protection, uv~resistant | 防晒 防紫外线;  wrinkle-free: wrinkle~free, crease~resistant | 抗皱 免皱
fade-resistant: colourfast, colorfast, fade~resistant | 不褪色 不掉色;  pilling: | 不起球 抗起球
shrink-resistant: shrink~resistant, pre~shrunk | 不缩水;  heat-resistant: heat~resistant, heat~proof | 耐高温 耐热
scratch-resistant: scratch~resistant, scratch~proof | 防刮 耐刮;  rustproof: rustproof, rust~resistant | 防锈 不生锈
quick-drying: quick~drying, quick~dry | 速干 快干;  non-toxic: non~toxic | 无毒;  dimmable: dimmable | 可调光
batteries < -no-batteries: batteries included, battery included | 含电池
no-batteries: batteries not included | 不含电池
[contains]
alcohol: alcohol! | 酒精!;  sugar: sugar!, added sugar! | 糖! 蔗糖!;  bpa: bpa!, bisphenol a! | 双酚a! bpa!
gluten: gluten! | 麸质!;  lactose: lactose! | 乳糖!;  dairy: dairy! | 乳制品!;  nuts: nuts!, nut! | 坚果!
animal: ;  meat < animal: meat! | 肉类!
wheat < gluten: wheat!, barley!, rye!, spelt!, malt!, semolina! | 小麦! 面粉! 大麦! 麦芽! 黑麦!
milk < dairy lactose animal: milk!, butter!, cheese!, whey!, casein!, yogurt!, yoghurt!, buttermilk!
milk: | 牛奶! 奶粉! 黄油! 奶酪! 乳清!
egg < animal: egg!, eggs! | 鸡蛋! 蛋清! 蛋黄!;  honey < animal: honey! | 蜂蜜!
beef < meat: beef!, chicken!, lamb! | 牛肉! 鸡肉! 羊肉!;  fish < animal: fish! | 鱼肉!
almond < nuts: almond!, almonds!, hazelnut!, hazelnuts!, walnuts!, cashew!, cashews!, pistachios!, pecans!
almond: | 杏仁! 榛子! 核桃! 腰果!
paraben: paraben!, parabens! | 尼泊金酯!;  sulphate: sulphate!, sulphates!, sulfate!, sulfates! | 硫酸盐!
fragrance: fragrance!, fragrances!, perfume!, parfum! | 香精! 香料!
preservative: preservative!, preservatives! | 防腐剂!
additive: additive!, additives! | 添加剂!;  colouring: colouring!, colourings!, artificial colours! | 色素!
caffeine: caffeine! | 咖啡因!;  soy: soy!, soya! | 大豆!;  salt: salt! | 盐!;  formaldehyde: formaldehyde! | 甲醛!
fluorescer: fluorescent agents! | 荧光剂! 荧光增白剂!;  lead: lead! | 铅!;  mercury: mercury! | 汞!
gmo: gmo! | 转基因!;  phthalate: phthalate!, phthalates! | 邻苯!;  pfas: pfas!, pfoa!;  hormone: hormones! | 激素!
silicone-oil: | 硅油!;  pork < meat: pork!, bacon!, lard!, ham! | 猪肉! 猪油!
gelatine < animal: gelatine!, gelatin! | 明胶!;  latex: latex!
peanut < nuts: peanut!, peanuts! | 花生!
[promise]
free-shipping: free shipping, free delivery, free postage, ships free | 包邮 免运费 免邮
free-returns: free returns, free return, free exchanges | 免费退换 免费退货
no-returns < -free-returns -money-back: no returns, non~returnable, final sale | 不退不换 不支持退货 不支持退换
money-back: money~back, full refund, satisfaction guaranteed | 不满意退款 全额退款 无效退款 不满意包退
lifetime: lifetime warranty, lifetime guarantee, guaranteed for life | 终身质保 终身保修 终生保修 终身保固
next-day: next~day delivery, next~day shipping | 次日达 隔日达;  same-day: same~day delivery, same~day shipping | 当日达
authentic: | 假一赔十 假一赔三 假一罚十 正品保证 保证正品;  price-match: price match, price guarantee | 保价 买贵退差
national-service: | 全国联保;  installation: free installation | 免费安装 上门安装
[environment]
eco-friendly: eco~friendly, environmentally friendly, environment~friendly, planet~friendly, earth~friendly | 环保
sustainable: sustainable, sustainably | 可持续;  biodegradable: biodegradable | 可降解 生物降解
compostable: compostable | 可堆肥;  recyclable: recyclable | 可回收 可循环;  recycled: recycled | 再生材料 回收材料
low-carbon: low~carbon | 低碳
carbon-neutral: carbon~neutral, climate~neutral, net~zero, zero~emission, zero~emissions | 碳中和 零碳 零排放
unpolluting: pollution~free, zero~waste | 零污染 无污染;  energy-saving: energy~saving, energy~efficient | 节能 省电
[health]
cure: cure, cures, heals, healing powers | 治疗 治愈 根治 疗效
pain: pain relief, relieves pain, eases pain | 止痛 镇痛 缓解疼痛
immunity: boosts immunity, boost immunity, immune system | 免疫力;  detox: detox, detoxifying, detoxifies | 排毒
clinical: clinically proven, clinically tested, doctor recommended, medical~grade | 临床验证 临床证明 医用级 医生推荐
slimming: weight loss, lose weight, burns fat, fat burning | 减肥 燃脂;  whitening: skin whitening | 美白 祛斑 祛痘
antibacterial: antibacterial, anti~bacterial, antimicrobial, kills germs, kills bacteria | 抗菌 杀菌 抑菌 除菌
hypoallergenic: hypoallergenic, dermatologically tested | 低敏 防过敏 抗过敏
sleep: improves sleep, better sleep | 助眠 改善睡眠;  circulation: improves circulation | 活血 促进血液循环
ageing: anti~aging, anti~ageing | 抗衰老 延缓衰老
pressure: lowers blood pressure, lowers cholesterol | 降血压 降血糖 降血脂;  disease: prevents disease | 预防疾病
[superlative]
best: best, finest, greatest, perfect?, ultimate, unbeatable, unrivalled, unrivaled, unmatched, unparalleled
best: second to none, world~class, top~rated, world's leading, market~leading, industry~leading, highest quality
best: fastest, lightest, strongest, softest, toughest, safest, cheapest, lowest price, most advanced, most powerful
best: most comfortable, most beautiful, most reliable, most durable, most luxurious, one of a kind
best: | 最好 最佳 最优 最高级 最先进 最强 最美 最畅销 最舒适 最优质 最便宜 最低价 国家级 世界级 顶级 极品 第一品牌
best: | 独一无二 绝无仅有 史无前例 无与伦比 全网最低 首选
[statistic]
best-seller: best~seller, best~selling, top~selling, best~sellers | 销量第一 销量冠军 热销第一 全网第一 销量领先 销冠
"""
_SPACES = re.compile(r"[- ]")
_FREE = re.compile(r"[- ]?free\b(?! (?:of|from|shipping|delivery|returns?))")
_DENIED_AFTER = re.compile(
    r" ?(?:(?:is |are )?not (?:recommended|allowed|possible|supported)|: ?no\b|[是为:]?不(?:推荐|支持|可以))"
)
_CONTAINING = re.compile(
    r"(?:\b(?:contains?|containing|includes?|made with|with added) (?:some |added )?|(?<!不)含有?|添加了?)$"
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of the table in a text; `holds` is False where it is denied."""

    start: int
    end: int
    kind: str
    concept: str
    holds: bool


class Phrases:
    """The table with its lattice: what each concept implies and excludes."""

    def __init__(self, table: str) -> None:
        self.kind: dict[str, str] = {}
        self._words: dict[str, tuple[str, str]] = {}  # word without spaces and hyphens: concept, mark
        self._above: dict[str, set[str]] = {}
        self._apart: set[frozenset[str]] = set()
        spellings: list[str] = []
        for section in table.strip().split("\n["):
            kind, _, rows = section.lstrip("[").partition("]\n")
            for row in filter(None, re.split(r";  |\n", rows)):
                spellings += self._row(kind, row)
        self._add_water_levels()
        spellings += [word for word, (concept, _) in self._words.items() if self.kind.get(concept) == "ip"]
        self._close()
        self._latin = self._pattern([word for word in spellings if word[0].isascii() and word.isascii()], latin=True)
        self._han = self._pattern([word for word in spellings if not word.isascii()], latin=False)

    def _row(self, kind: str, row: str) -> list[str]:
        head, _, words = row.partition(":")
        concept, _, relations = head.partition(" <")
        concept = concept.strip()
        if concept:
            self.kind.setdefault(concept, kind)
            above = self._above.setdefault(concept, {concept})
            for other in relations.split():
                if other.startswith("-"):
                    self._apart.add(frozenset((concept, other[1:])))
                else:
                    above.add(other)
        english, _, chinese = words.partition("|")
        found = [*filter(None, (word.strip() for word in english.split(","))), *chinese.split()]
        for word in found:
            mark = word[-1] if word[-1] in "?!" else ""
            self._words[_key(word)] = (concept, mark)
        return [word.rstrip("?!") for word in found]

    def _add_water_levels(self) -> None:
        """Water ingress ratings by their last digit: 7 and 8 are under water, 4 is splashes; a higher one says more."""
        for level in range(1, 9):
            name = f"ip{level}"
            self.kind[name] = "ip"
            implied = {f"ip{lower}" for lower in range(1, min(level, 5))} | ({"ip7"} if level == 8 else set())
            implied |= {"splashproof"} if level >= 3 else set()
            implied |= {"water-resistant"} if level >= 4 else set()
            implied |= {"submersible"} if level >= 7 else set()
            self._above[name] = {name, *implied}
            self._apart |= {frozenset((name, f"ip{other}")) for other in range(1, level)}
            for first in "x0123456":
                self._words[f"ip{first}{level}"] = (name, "")

    def _close(self) -> None:
        changed = True
        while changed:
            changed = False
            for above in self._above.values():
                more = set().union(*(self._above.get(each, {each}) for each in above))
                changed |= not more <= above
                above |= more

    @staticmethod
    def _pattern(words: list[str], *, latin: bool) -> re.Pattern[str]:
        """An alternation that branches on the first letter, which is several times as fast as a flat one."""
        branches = []
        for first, group in groupby(sorted(set(words)), key=lambda word: word[0]):
            ordered = sorted(group, key=len, reverse=True)
            rests = "|".join(re.escape(word[1:]).replace(r"\~", "~").replace("~", "[- ]?") for word in ordered)
            branches.append(f"{re.escape(first)}(?:{rests})")
        joined = "|".join(branches)
        return re.compile(rf"\b(?:{joined})(?![a-z\d])" if latin else joined)

    def find(self, text: str, *, loose: bool = False) -> Iterator[Phrase]:
        """The phrases of a levelled lower-case text; `loose` reads a record's value, where every word counts."""
        patterns = (self._latin,) if text.isascii() else (self._latin, self._han)
        for pattern in patterns:
            for match in pattern.finditer(text):
                concept, mark = self._words[_key(match[0])]
                if not concept or (mark == "?" and not loose):
                    continue
                start, end = match.span()
                before = text[max(0, start - 48) : start]
                free = _FREE.match(text, end) if mark == "!" else None
                if free:
                    end = free.end()
                negative = bool(free) or denied(before) or denies(text, start, end)
                negative = negative or bool(_DENIED_AFTER.match(text, end))
                if mark == "!" and not negative and not loose and not _CONTAINING.search(before):
                    continue
                yield Phrase(start, end, self.kind[concept], concept, not negative)

    def supports(self, known: Literal, claim: Literal) -> bool:
        """Whether what is known entails the claim: waterproof is water-resistant, hand wash only is no machine wash."""
        (one, holds), (other, claimed) = known, claim
        if holds and claimed:
            return other in self._above.get(one, {one})
        if holds and other in self._above.get(one, {one}):  # unisex is for men and for women
            return False
        if holds:
            above, beside = self._above.get(one, {one}), self._above.get(other, {other})
            return any(frozenset((a, b)) in self._apart for a in above for b in beside if a != b)
        return not claimed and one in self._above.get(other, {other})

    def contradicts(self, known: Literal, claim: Literal) -> bool:
        """Whether what is known entails the opposite of the claim."""
        return self.supports(known, (claim[0], not claim[1]))


def _key(word: str) -> str:
    return _SPACES.sub("", word.rstrip("?!").replace("~", ""))


PHRASES = Phrases(_TABLE)
