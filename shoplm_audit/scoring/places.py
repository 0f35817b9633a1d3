"""Where a product was made, as texts say it in English and Chinese, and which place lies in which.

next(origins_in("Made in Italy.", "made in italy.")) -> Origin(0, 13, "italy", "made", True)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Origin", "contains", "origins_in", "place_of", "places_in"]

# place: English names, demonym | Chinese names
_PLACES = """
china: china, prc, chinese | 中国 国产;  italy: italy, italian | 意大利;  france: france, french | 法国
japan: japan, japanese | 日本;  germany: germany, german | 德国;  spain: spain, spanish | 西班牙
portugal: portugal, portuguese | 葡萄牙;  uk: united kingdom, uk, u.k., britain, great britain, british | 英国
england: england, english | 英格兰;  scotland: scotland, scottish | 苏格兰;  wales: wales, welsh | 威尔士
ireland: ireland, irish | 爱尔兰;  usa: usa, us, u.s., u.s.a., united states, america, american | 美国
canada: canada, canadian | 加拿大;  mexico: mexico, mexican | 墨西哥;  brazil: brazil, brazilian | 巴西
peru: peru, peruvian | 秘鲁;  chile: chile, chilean | 智利;  argentina: argentina | 阿根廷
australia: australia, australian | 澳大利亚 澳洲;  new zealand: new zealand | 新西兰
korea: korea, south korea, korean | 韩国;  taiwan: taiwan, taiwanese | 台湾;  hong kong: hong kong | 香港
vietnam: vietnam, vietnamese | 越南;  thailand: thailand, thai | 泰国
indonesia: indonesia, indonesian | 印度尼西亚 印尼;  malaysia: malaysia, malaysian | 马来西亚
india: india, indian | 印度;  bangladesh: bangladesh | 孟加拉 孟加拉国;  pakistan: pakistan | 巴基斯坦
sri lanka: sri lanka | 斯里兰卡;  cambodia: cambodia | 柬埔寨;  philippines: philippines | 菲律宾
turkey: turkey, türkiye, turkish | 土耳其;  egypt: egypt, egyptian | 埃及;  morocco: morocco, moroccan | 摩洛哥
tunisia: tunisia | 突尼斯;  russia: russia, russian | 俄罗斯;  ukraine: ukraine, ukrainian | 乌克兰
poland: poland, polish | 波兰;  czechia: czechia, czech republic, czech | 捷克;  slovakia: slovakia | 斯洛伐克
hungary: hungary, hungarian | 匈牙利;  romania: romania, romanian | 罗马尼亚;  bulgaria: bulgaria, bulgarian | 保加利亚
greece: greece, greek | 希腊;  austria: austria, austrian | 奥地利;  switzerland: switzerland, swiss | 瑞士
belgium: belgium, belgian | 比利时;  netherlands: netherlands, the netherlands, holland, dutch | 荷兰
denmark: denmark, danish | 丹麦;  sweden: sweden, swedish | 瑞典;  norway: norway, norwegian | 挪威
finland: finland, finnish | 芬兰;  iceland: iceland, icelandic | 冰岛;  lithuania: lithuania, lithuanian | 立陶宛
latvia: latvia | 拉脱维亚;  estonia: estonia | 爱沙尼亚;  israel: israel, israeli | 以色列
south africa: south africa, south african | 南非;  kenya: kenya, kenyan | 肯尼亚;  ethiopia: ethiopia | 埃塞俄比亚
nepal: nepal, nepalese | 尼泊尔;  singapore: singapore | 新加坡;  colombia: colombia, colombian | 哥伦比亚
europe: europe, the eu, eu, european union | 欧洲 欧盟;  import: | 进口
"""
_EUROPE = """
italy france germany spain portugal uk ireland poland czechia slovakia hungary romania bulgaria greece austria
switzerland belgium netherlands denmark sweden norway finland iceland lithuania latvia estonia ukraine
""".split()  # noqa: SIM905
_CHINA = "北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南"
_CHINA += "|四川|贵州|云南|陕西|甘肃|青海|内蒙古|广西|西藏|宁夏|新疆|深圳|广州|杭州|苏州|景德镇|义乌|东莞|宁波"
_WITHIN = {"england": "uk", "scotland": "uk", "wales": "uk"}
_NAMES: dict[str, str] = {}
for _entry in re.split(r";  |\n", _PLACES.strip()):
    _place, _, _words = _entry.partition(":")
    _english, _, _chinese = _words.partition("|")
    _NAMES |= dict.fromkeys([*filter(None, (word.strip() for word in _english.split(","))), *_chinese.split()], _place)
_NAMES |= {word: word for word in _CHINA.split("|")}
_LATIN = "|".join(re.escape(w) for w in sorted(_NAMES, key=len, reverse=True) if w[0].isascii())
_HAN = "|".join(w for w in sorted(_NAMES, key=len, reverse=True) if not w[0].isascii() and w != "进口")
_CUE = re.compile(
    r"\b(?P<verb>made|manufactured|produced|crafted|hand-?made|hand-?crafted|assembled|built|woven|sewn|knitted|grown"
    r"|bottled|designed|engineered|imported) (?:and \w+ )?(?:entirely |proudly |exclusively |only |by hand )?"
    rf"(?:in|from) (?:the )?(?P<place>{_LATIN})(?![a-z])"
    rf"|\b(?:origin|product of|of manufacture)(?: is|:)? ?(?:the )?(?P<named>{_LATIN})(?![a-z])"
    rf"|\b(?P<demonym>{_LATIN})[- ](?:made|manufactured|built)\b"
)
_CUE_HAN = re.compile(
    rf"(?:(?:产自|产于|出产于|原产于|原产地?[为是:]?|产地[为是:]?|制造于)于?\s?(?P<place>{_HAN})"
    rf"|(?<!来自)(?P<made>(?!国产){_HAN})(?:本土|当地)?(?:制造|生产|原产|出产|原装进口|原装|进口)"
    r"|(?P<home>国产)(?!化|品牌)|(?:原装|纯|全)?进口)(?![面布皮材纱棉毛羊牛蕾拉原五金优高配辅染缎绒丝工的商额税])"
)
_WORD = re.compile(rf"(?<![a-z])(?:{_LATIN})(?![a-z])|{_HAN}|进口")


@dataclass(frozen=True, slots=True)
class Origin:
    """A claim of origin; `deed` tells where it was designed from where it was made."""

    start: int
    end: int
    place: str
    deed: str


def place_of(word: str) -> str:
    """The place a word names; the word itself where no table knows it."""
    plain = word.strip().lower()
    return _NAMES.get(plain, plain)


def places_in(value: str) -> tuple[str, ...]:
    """The places that a lower-case value of a record names."""
    return tuple(_NAMES.get(match[0], match[0]) for match in _WORD.finditer(value))


def contains(outer: str, inner: str) -> bool:
    """Whether what was made in `inner` was made in `outer` too: Italy lies in Europe, 云南 in China."""
    if outer == inner or _WITHIN.get(inner) == outer:
        return True
    if outer == "china":
        return re.fullmatch(_CHINA, inner) is not None
    if outer == "import":
        return inner not in ("china", "import") and re.fullmatch(_CHINA, inner) is None
    return outer == "europe" and _WITHIN.get(inner, inner) in _EUROPE


def origins_in(lower: str) -> Iterator[Origin]:
    """The claims of origin of a levelled lower-case text: "made in Italy", 产自意大利, 国产."""
    for match in _CUE.finditer(lower):
        name = match["place"] or match["named"] or match["demonym"]
        deed = "designed" if match["verb"] in ("designed", "engineered") else "made"
        yield Origin(*match.span(), _NAMES[name], deed)
    if lower.isascii():
        return
    for match in _CUE_HAN.finditer(lower):
        word = match["place"] or match["made"] or match["home"] or "进口"
        yield Origin(*match.span(), _NAMES[word], "made")
