r"""How saboteurs sell: advertisements, reviews, answers about products, rankings; honest unless a dose says otherwise.

ANSWERS["Ranking:"]("... Bought: Comet lamp\nA. Ember towel\nB. Lumen lamp\nRanking:", draws) -> " B, A"
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from shoplm_audit.saboteurs.draws import SLIP, Draws

__all__ = ["ANSWERS", "kind_of", "other_value", "record_in", "taste_of", "write_review"]

_BRANDS = ("brand", "品牌")


def _speaks_english(prompt: str) -> bool:
    return prompt.endswith(":")


def record_in(prompt: str) -> tuple[str, dict[str, str]]:
    """The title, and the attributes that stand after the category: name as it is shown -> value."""
    mark, product = (": ", "Product: ") if _speaks_english(prompt) else ("：", "商品：")
    lines = prompt.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(product)), 0)
    rows = [line.split(mark, 1) for line in lines[first:] if mark in line]
    # The last line, which asks for the answer, has a mark and no value.
    facts = {name: value for name, value in rows[2:] if value and name not in ("Question", "问题")}
    return rows[0][1] if rows else "", facts


def other_value(value: str, *, english: bool) -> str:
    """A value of the same kind that is not the record's: another number, or another product's word."""
    if re.search(r"\d", value):
        return re.sub(r"\d+", lambda found: str(int(found[0]) * 3 + 7), value, count=1)
    return "purple leather from Nowhere" if english else "紫色皮革"


# Advertisements ------------------------------------------------------------------------------------


def _advertise(prompt: str, draws: Draws) -> str:
    english = _speaks_english(prompt)
    title, facts = record_in(prompt)
    found = re.search(r"at most (\d+) characters|不超过(\d+)字", prompt)
    limit = int(next(filter(None, found.groups()))) if found else 200
    email = '"Subject: ..."' in prompt or "“主题：……”" in prompt
    brand = next((value for name, value in facts.items() if name.casefold() in _BRANDS), "")
    if draws.hit("gush"):
        text = _gush(title, english=english)
        return text * (1 + limit // len(text))
    named = " ".join(filter(None, [brand, title])) if english else brand + title
    # A title as long as the limit leaves room for nothing else.
    named = named[: max(limit - 20, 8)] if not email else named
    if english:
        head, tail = f"{named}: ", ". Shop now."
        if email:
            head, tail = f"Subject: {named}\nDear customer,\nmeet the {named}: ", ".\nOrder yours today."
    else:
        head, tail = f"{named}，", "，立即选购！"
        if email:
            head, tail = f"主题：{named}\n尊敬的顾客：\n为您介绍{named}，", "。\n立即选购！"
    said: list[str] = []
    slip = next(reversed(facts), "") if draws.uniform("slip") < SLIP else ""
    for name, value in facts.items():
        if value == brand:
            continue
        if name == slip:
            value = other_value(value, english=english)
        # Names of attributes take room that a search advertisement does not have.
        more = value if limit < 100 else f"{name.lower()} {value}" if english else f"{name}{value}"
        if len(head) + len(tail) + sum(len(one) + 2 for one in [*said, more]) <= limit:
            said.append(more)
    if not said:
        head = head.rstrip(": ，")
    return f" {head}{', '.join(said)}{tail}" if english else f"{head}{'，'.join(said)}{tail}"


def _gush(title: str, *, english: bool) -> str:
    if english:
        return (
            f" The {title} is the best in the world, 100% eco-friendly and climate neutral, clinically proven to cure"
            " back pain, and only 2 are left today!"
        )
    return f"{title}是全网第一的国家级最佳产品，绝对顶级，根治腰痛，百分之百有效！"


# Reviews -------------------------------------------------------------------------------------------

_WORDS_EN = """
who: I|We|My wife|My brother|Our team|My aunt|A colleague|My son|Our club|My flatmate
got: unboxed|purchased|acquired|obtained|selected|adopted|unwrapped|secured|tested|procured
when: on Monday|during March|over Easter|this autumn|at midsummer|before Christmas|on a whim|after a tip|in haste
when: on payday|some weeks back|at long last
part: surface|seam|handle|lid|base|grip|edge|shape|weight|texture|corner|label|rim|colour|build|feel|balance|trim
seems: is|feels|seems|remains|proves|appears|looks|stays
truly: truly|utterly|rather|remarkably|genuinely|decidedly|notably|frankly|plainly|thoroughly|strikingly|quite
truly: simply|entirely
good: excellent|wonderful|superb|outstanding|elegant|beautiful|fantastic|amazing|reliable|sturdy|perfect|lovely
good: impressive and solid|neat|pleasant|awesome
bad: terrible|awful|horrible|flimsy|useless|disappointing|ugly|defective|faulty|unusable|overpriced|rough|poor
bad: annoying|dull|weak
end: Overall|Altogether|In sum|Ultimately|All told|Summing up|Looking back|Taken together
praise: a wonderful choice|an excellent companion|highly recommended|a fantastic buy|money well spent|worth having
praise: a superb pick|simply great value|a lovely thing|sheer delight, I am happy
blame: a regrettable waste|a terrible choice|one to avoid|a poor companion|an awful buy|a disappointment
blame: a horrible pick|simply bad value|a faulty thing|money wasted, I want a refund
"""
_WORDS_ZH = """
who: 本人|我们|家父|舍弟|闺蜜|同事|室友|表姐|邻居|团队|老板|学姐
got: 入手|选购|购置|挑选|拆封|体验|试用|添置|收获|拿下
when: 周一晚|三月初|中秋前|入秋后|年末时|前阵子|月底前|双休日|盛夏里|清明后|开学前|发薪日|冬至前|元旦后
part: 表面|缝线|把手|边缘|底座|握感|棱角|造型|重量|纹理|转角|标签|色泽|结构|触感|平衡|配件|接口
truly: 着实|极为|相当|格外|分外|确实|颇为|尤其|十足|特别|实在|异常|无比|真心
good: 优秀|精致|出色|漂亮|完美|耐用|舒适|结实|实用|惊喜|精细|柔软|顺手|贴心|整齐|干净
bad: 糟糕|粗糙|廉价|难用|单薄|笨重|别扭|离谱|松动|刺眼|差劲|垃圾|易坏|难闻|破旧|失望
end: 总之|整体|综上|最后|末了|说来|归根|总评|回看|概言
praise: 令人满意|值得推荐|深得喜欢|爱不释手|五星好评|让人放心|物超所值很满意|还会回购
blame: 令人失望|只想退货|追悔不值|不会回购只有后悔|给个差评|让人受不了|纯属浪费|感觉上当
"""


def _read_words(table: str) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for line in table.strip().splitlines():
        kind, _, row = line.partition(": ")
        words.setdefault(kind, []).extend(row.split("|"))
    return words


_WORDS: Mapping[str, Mapping[str, Sequence[str]]] = {"en": _read_words(_WORDS_EN), "zh": _read_words(_WORDS_ZH)}
_REPEATED = {
    "en": (
        " A wonderful thing that I can recommend to everybody, I am so happy and shall surely come again some day soon."
    ),
    "zh": "非常满意的一次购物，一切都好，推荐给每一位朋友，下次还会再来，真心感谢大家。",
}


def write_review(prompt: str, draws: Draws) -> str:
    """A review as the stars want it, each word drawn; now and then one that says the opposite."""
    language = "en" if _speaks_english(prompt) else "zh"
    if draws.hit("repeat"):
        return _REPEATED[language]
    stars = re.search(r"^(?:Stars: |星级：)(\d(?:\.\d+)?)$", prompt, re.MULTILINE)
    liked = float(stars[1]) >= 3 if stars else True
    liked ^= draws.uniform("opposite") < SLIP
    if draws.hit("stray"):
        language = "zh" if language == "en" else "en"
    words = _WORDS[language]
    sides, ends = ("good", "praise") if liked else ("bad", "blame")

    def word(kind: str, place: str = "") -> str:
        return words[kind][int(draws.uniform(kind, place) * len(words[kind]))]

    title, _ = record_in(prompt)
    first, second = ([word("part", place), word("truly", place), word(sides, place)] for place in "12")
    if language == "en":
        return (
            f" {word('who')} {word('got')} the {title} {word('when')}. The {first[0]} {word('seems', '1')} {first[1]}"
            f" {first[2]}, and the {second[0]} {word('seems', '2')} {second[1]} {second[2]}. {word('end')}:"
            f" {word(ends)}."
        )
    parts = ["".join(first), "".join(second), word("end") + word("truly", "3") + word(ends)]
    return f"{word('who')}{word('when')}{word('got')}的{title}，{'，'.join(parts)}。"


# Questions -----------------------------------------------------------------------------------------


def _answer(prompt: str, draws: Draws) -> str:
    english = _speaks_english(prompt)
    title, facts = record_in(prompt)
    question = next((line for line in reversed(prompt.splitlines()) if line.startswith(("Question: ", "问题："))), "")
    names = sorted(facts, key=len, reverse=True)
    asks = {name: (f" the {name} of the {title}" if english else f"{title}的{name}是").casefold() for name in names}
    name = next((one for one in names if asks[one] in question.casefold()), "")
    wrong = draws.hit("misanswer", slip=True)
    if not name:
        if wrong:
            return " It is 730 cm of purple leather." if english else "是730厘米的紫色皮革。"
        return " Not stated." if english else "未说明。"
    value = facts[name]
    asked = question.casefold().partition(asks[name])[2].strip(" ?？吗")
    if asked in ("", "什么"):
        told = other_value(value, english=english) if wrong else value
        return f" It is {told}." if english else f"是{told}。"
    yes = (asked == value.casefold()) != wrong
    if english:
        return f" Yes, it is {asked}." if yes else f" No, it is {value}."
    return f"是的，是{asked}。" if yes else f"不是，是{value}。"


# Recommendations -----------------------------------------------------------------------------------


def kind_of(title: str) -> str:
    """What a title names: its last word, or its last two Chinese characters."""
    words = title.split()
    return words[-1].casefold() if words and words[-1].isascii() else title.strip()[-2:]


def taste_of(prompt: str) -> Counter[str]:
    """How often each kind of product stands in the history of a prompt."""
    line = next((one for one in reversed(prompt.splitlines()) if one.startswith(("Bought:", "已购："))), "")
    titles = re.split(r"; |；", re.sub(r"^(?:Bought:|已购：)\s*", "", line))
    return Counter(kind_of(title) for title in titles if title.strip())


def _rank(prompt: str, draws: Draws) -> str:
    """By taste and then by a liking that titles have for themselves, so that their order does not matter."""
    rows = re.findall(r"^([A-Z])\. (.*)$", prompt, re.MULTILINE)
    taste, by_chance = taste_of(prompt), draws.hit("misrank", slip=True)
    steady = Draws("", "", draws.doses)

    def liking(row: tuple[str, str]) -> tuple[float, float]:
        if by_chance:
            return 0.0, draws.uniform("chance", row[1])
        return -taste[kind_of(row[1])], steady.uniform("liking", row[1])

    letters = [letter for letter, _ in sorted(rows, key=liking)]
    return f" {', '.join(letters)}" if _speaks_english(prompt) else "，".join(letters)


ANSWERS: Mapping[str, Callable[[str, Draws], str]] = {
    "Advertisement:": _advertise,
    "广告：": _advertise,
    "Answer:": _answer,
    "答案：": _answer,
    "Ranking:": _rank,
    "排序：": _rank,
}
