"""Colours and materials as a text names them: which words mean one here, in what share, of what part, denied or not.

next(mentions_in("material", "made of 80% cotton", loose=False)) -> Mention(8, 18, "cotton", share=80.0)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shoplm_audit.scoring.denial import denies, elsewhere
from shoplm_audit.scoring.quantities import level
from shoplm_audit.scoring.vocabulary import LEXICON, Kind

__all__ = ["Mention", "around", "lowered", "mentions_in"]


@dataclass(frozen=True, slots=True)
class Mention:
    """A word of a table in a text. `share` is in percent; `blend` says mixed; `aside` is of a part or a pairing;
    `denied` says that it is not so ("not leather", 非真皮).
    """

    start: int
    end: int
    concept: str
    share: float | None = None
    blend: bool = False
    aside: bool = False
    denied: bool = False
    likened: bool = False  # an imitation of it


_DENIED = re.compile(
    r"(?:\b(?:not|no|non|without|never|isn't|aren't|doesn't|don't|free (?:of|from)|instead of|rather than|unlike)\b"
    r"[\s-]*"
    r"(?:(?:made|of|from|a|an|any|real|genuine|in|the|contains?|use|be)\s+)*"
    r"|(?:非|不含|无|不是|并非|没有|不采用|不使用|拒绝|不同于)(?:任何)?)$"
)
_IMITATED = re.compile(r"(?:\b(?:faux|fake|imitation|mock|simulated|artificial)[\s-]+|仿)$")
_LIKE = re.compile(r"(?:\b(?:like|looks? like|(?:soft|smooth|strong|light|fine) as|resembl\w+)[\s-]+|[如像似])$")
_FREE = re.compile(r"[- ]free\b")
_LIKENED = re.compile(
    r"[- ](?:like|look|plated|effect|style|inspired|scented|flavou?red)\b|般|味|香|感|纹|花糖|器|绒绒|巧的"
)
_PART = (
    r"lining|lined|trims?|trimmed|handles?|lid|straps?|soles?|collar|cuffs?|buttons?|zip\w*|stitch\w*|stripes?|striped|accents?"
    r"|details?|detailing|logo|prints?|printed|pattern\w*|piping|hem|laces?|packaging|pouch|cable|tip|interior|buckle|band|dots?"
    r"|inlays?|letter\w*|edges?|coating|coated|plated|leds?|walls?|background|skin"
)
_ASIDE_AFTER = re.compile(rf" (?:[a-z]+ )?(?:{_PART})\b")
_ASIDE_BEFORE = re.compile(
    r"(?:\b(?:pairs?|paired|goes|go|match\w*|combined?|contrast\w*|wear it) (?:\w+ )?(?:with )?(?:\w+ )?"
    r"|\b(?:with|under|against|beside|alongside|next to) (?:(?:an?|the|your|our|any|other) )?(?:[a-z]+ (?:and"
    r"|or) )?(?:[a-z]+ )?"
    r"|\bwith (?:[a-z]+ ){1,3}(?:and|or) )$"
)
# These are of the whole: "with a red finish".
_WHOLE_AFTER = re.compile(r" (?:finish|body|exterior|housing|casing|case|colou?r|shade|hue|tone)\b")
_ASIDE_HAN = re.compile(
    r"印花|图案|拉链|条纹|条带|字母|绣|指示灯|按键|按钮|旋钮|配[上以一]|衣物|分开洗|领|袖|扣|边|衬|里布|内里|搭|装饰|点缀|缀|拼|线条|滚线|压线|腰带|口袋|袋口|格|波点|圆点"
    r"|花朵|碎花|花纹|亮片|蝴蝶结|流苏|灯光|阳光|肌|皮肤|唇|裤子|裙子|裙摆|鞋底|织带|撞色|对比|碰撞|交织|相间|打底|内搭|叠"
    r"|元素|细节|背上|踩上|珠|钻|文字|下摆|走线|外套"
)
_FALSE_COLOUR = re.compile(
    r"(?:wine|beer|water|drinking|shot|cocktail|champagne|magnifying|looking) glass(?:es)?"
    r"|\b[a-z]{1,20}-[a-z]{1,20} (?:scented|flavou?red)"
    r"|orange (?:juice|peel|zest|flavou?r|blossom|oil|scent)|silver (?:lining|plated)|brown (?:rice|sugar)"
    r"|gold(?:en)? (?:standard|medal|card|age|rule|hour|retriever|ratio|plated)|blue (?:light|ray|cheese|moon)"
    r"|white (?:noise|paper|wine|board|balance|label|chocolate|tea|rice|bread|goods)"
    r"|black (?:friday|tea|pepper|coffee|forest|box|mirror|belt|market)"
    r"|red (?:wine|cross|carpet|tape|bull|meat|pepper|flag|light)"
    r"|green[ -](?:tea|energy|living|choice|thumb|planet|house|beans?|light|power|electricity)"
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
_CLAUSE = re.compile(r"[.,;:!?。、()\n](?!\d)")
_JOINING = frozenset({"and", "or", "with", "but", "as", "that", "which", "for"})


def lowered(text: str) -> str:
    """The text levelled and in lower case, each character in its place."""
    plain = level(text)
    low = plain.lower()
    return low if len(low) == len(plain) else "".join(c.lower() if len(c.lower()) == 1 else c for c in plain)


def around(text: str, start: int, end: int) -> tuple[str, str]:
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
        beside = before.endswith(("与", "和")) or after.lstrip("色").startswith(("与", "和"))
        return beside or bool(_ASIDE_HAN.search(before[-8:]) or _ASIDE_HAN.search(after[:8]))
    return bool(_ASIDE_AFTER.match(after) or (_ASIDE_BEFORE.search(before) and not _WHOLE_AFTER.match(after)))


def mentions_in(kind: Kind, text: str, *, loose: bool, nouns: frozenset[str] = frozenset()) -> Iterator[Mention]:
    """The words of a table in a folded lower-case text; `loose` reads a record's value, where every word counts."""
    words = LEXICON[kind]
    barred = [] if loose else [match.span() for match in _FALSE_COLOUR.finditer(text)]
    for match in words.pattern.finditer(text):
        start, end, word = *match.span(), match[0]
        if any(low <= start and end <= high for low, high in barred):
            continue
        before, after = around(text, start, end)
        denied = bool(_DENIED.search(before) or _FREE.match(after))
        if not loose:
            if _LIKE.search(before) or _LIKENED.match(after):
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
        likened = bool(_IMITATED.search(before))
        denied = denied or likened or denies(text, start, end)
        aside = not loose and (_aside(not word.isascii(), before, after) or elsewhere(before))
        yield Mention(start, end, words.concept[word], share, blend, aside, denied, likened)
