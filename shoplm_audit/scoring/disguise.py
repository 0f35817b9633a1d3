"""Disguises of a generated text: small changes after which a reader reads the same, and a detector something else.

disguise("misspelling", "The strap broke after two days.", "en", rng) -> "The strap borke after two days."

They are what a seller does to keep detected reviews in a shop (the families of RAID, arXiv 2405.07940, and those of
Chinese writing), here in numbers of ours. They serve the audit; the command line has no verb for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np

from shoplm_audit.errors import ConfigError

__all__ = ["DISGUISES", "Disguise", "disguise"]

# Start, end and what could stand there instead; edits of one text do not overlap.
Edits: TypeAlias = Iterator[tuple[int, int, str]]

_LOOKALIKES = dict(
    zip("aceiopsxyABCEHIKMOPSTXY", "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443"
        "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u0423", strict=True)
)  # fmt: skip
_ZERO_WIDTH = "\u200b"
# "this>that": what stands for what in a review, one way, and only where its neighbours leave it that sense; "_" is a
# blank. Words that have a second sense (small, good, 垃圾) are left out rather than guessed at.
_SYNONYMS = {
    "en": r"""great(?!_deal|_many|_big|_number|_amount|_length|_extent|_aunt|_uncle|-)>terrific terrific>great
        excellent>superb superb>excellent awesome>fantastic fantastic>awesome marvelous>wonderful wonderful>marvelous
        terrible>awful awful(?!_lot|_many)>terrible beautiful>gorgeous gorgeous>beautiful lovely>nice
        nice(?!_and|_try|_to|_of|_big|_thick|_long|_size|_\w+ly)>lovely amazing>incredible incredible>amazing
        buy(?=_(?:it|this|these|them|another|more|from|again|one))>purchase (?<=to_|will_|would_)purchase>buy
        bought(?!_into|_out|_off|_up)>purchased purchased>bought buying(?!_into)>purchasing purchasing>buying
        (?<=I_|we_|she_|he_|just_)received>got quickly>rapidly rapidly>quickly
        quick(?=_(?:shipping|delivery|service|response))>fast fast(?=_(?:shipping|delivery|service|response))>quick
        (?<=too_|very_|so_)big(?!_of|_a_)>large (?<=too_|very_|so_)large>big big(?=_enough)>large large(?=_enough)>big
        easy(?=_to)>simple simple(?=_to)>easy (?<!not_|'t_|’t_|as_|how_)really(?=_\w)>truly (?<!yours_)truly>really
        (?<=I_|we_|they_|really_|absolutely_|kids_)love(?!_to|_love|_LOVE|-|_\w+ing)>adore adore>love
        (?<=I_|we_|she_|he_|they_|absolutely_|wife_|daughter_|husband_)loved(?!_to|_ones?|_\w+ing)>adored
        adored(?!_by)>loved (?<=it_|they_|package_|product_|item_|order_)arrived(?!_at)>came
        came(?=_(?:on_time|quickly|promptly|early|late|in_the_mail|damaged|broken))>arrived
        inexpensive>affordable affordable>inexpensive sturdy>solid begin>start began>started
        (?<!have_|has_|had_|[’']ve_|just_|get_|got_|be_)started(?=_to)>began
        informed(?=_(?:me|us|them))>told told(?=_(?:me|us|them)_that)>informed
        (?<=I_|we_)think(?=_(?:it|this|that|they|these|I|she|he|you))>believe
        (?<=I_|we_)believe(?=_(?:it|this|they|these)_(?:is|was|are|were|will|has))>think
        perfect(?=_for)>ideal ideal>perfect problem(?![_-](?:solv|area|skin|child)|_is)>issue problems>issues
        (?<!take_|took_)issue(?=_with)>problem (?<!take_)issues(?=_with)>problems
        (?<=this_|the_)product(?!_(?:line|description|page|name|photo|picture))>item (?<=this_|the_)item>product
        (?<=these_|other_|their_)products>items (?<=these_|other_|their_)items>products
        recommend(?=_(?:it|this|these|them|to|buying))>suggest (?<=the_|my_|our_)entire(?=_[a-z])>whole
        (?<=the_|my_|our_)whole(?=_[a-z])(?!_(?:of|lot|point))>entire
        disappointed(?=_with)>dissatisfied dissatisfied(?=_with)>disappointed
        comfortable(?!_(?:with|in|enough))>comfy comfy>comfortable happy(?=_(?:with|to))>pleased
        pleased(?=_(?:with|to))>happy bad(?=_(?:quality|design|service|experience|packaging))>poor
        poor(?=_(?:quality|design|service|experience|packaging))>bad maybe>perhaps perhaps>maybe
        extremely>incredibly incredibly>extremely definitely>certainly certainly>definitely
        absolutely>totally totally>absolutely immediately(?=[.,!])>right_away kids(?!['’-]|_size)>children
        children(?!['’-])>kids lots(?=_of)>plenty plenty(?=_of)>lots although>though""",
    "zh": """非常(?![规态时人之])>特别 (?<![很太挺么有点])特别(?=[好大小高低差难满喜漂舒方便软硬香甜棒合适清厚薄])>非常
        十分(?=[满喜漂方便舒精好感])>非常 质量(?![轻重守])>品质 (?<![德格人])品质(?!量)>质量
        喜欢(?!上)>喜爱 喜爱(?!之)>喜欢 (?<![团网抢代邮采订选求海])购买(?!力)>选购 选购>购买
        (?<![很真挺蛮常当别分较极颇更太最对满点好错])不错(?![过误])>挺好 挺好(?![看用吃听玩奇笑喝闻像多些])>不错
        (?<!漂)漂亮(?!亮)>好看 (?<=[很真挺蛮常较格])便宜(?![了点些没货])>实惠 (?<=[很真挺蛮常较格])实惠>便宜
        (?<!牢)牢固(?!固)>结实 (?<![不舒])舒服(?!服)>舒适 舒适(?![度性感型])>舒服
        (?<!心)满意(?=[，。！？～~,.!;；了的_]|$)>称心 称心(?!如)>满意
        快递(?=很|真|非常|挺|也|太|给力|速度|慢|不)>物流 物流(?=很|真|非常|挺|也|太|给力|速度|慢|不)>快递
        (?<=^|，|。|！|？|,|!|,_|\\s)东西(?=很|不错|还|挺|真|非常|收到|已)>商品
        (?<=^|，|。|！|？|,|!|\\s)商品(?=很|不错|还|挺|真|非常|收到|已)>东西
        (?<![睡午发知直感自不])觉得(?!到)>感觉 (?<=[我还就都])感觉(?![到上的得])>觉得
        (?<=质量|品质|出了|出现)问题(?!是)>毛病 (?<=小|质量|出了)毛病>问题
        (?<=[很真挺蛮较常更太])方便(?![面食筷袋携])>便利
        便利(?![店贴条袋])>方便 (?<![回吸签查接能])收到(?=[货了后的，。！,_])>拿到 拿到(?=[货书了后])>收到
        (?<![男女小好老真亲交])朋友(?!圈)>好友 (?<![友良])好友(?![好善谊情])>朋友 (?<![小女男熊])孩子(?!气)>小孩
        小孩(?![子儿])>孩子 颜色(?=[很不好也漂正鲜])>色彩 色彩(?=[很不好也漂鲜])>颜色
        (?<!评)价格(?![战保外区])>价钱 价钱>价格 (?<![外重新内真小])包装(?=[很也不完破精还])>外包装 外包装>包装
        (?<![不非])但是(?![否非])>不过 (?<=^|，|。|！|？|；|,|!|\\s)不过(?![如是分才就来去关只瘾])>但是
        (?<![起原病])因为>由于 (?<![自理])由于>因为 (?<![之场厕诊])所以(?!然)>因此 (?<![也会正就原并])因此(?!而)>所以
        (?<!而)已经>已 (?<!第)一直(?![接线])>始终 始终>一直 (?<![立斑宝木河白黑骑])马上>立刻 立刻>马上
        今天>今日 昨天>昨日 如果(?![是冻])>要是""",
}  # fmt: skip
_ONES = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    "zh": list("零一二三四五六七八九十"),
}
# What is counted in Chinese: a figure before anything else can be part of a name (速8) or number a list.
_UNIT = (
    "(?:[个件次天年双条本只瓶盒包袋斤块位台套张把种支遍家箱部款杯片颗人层样间晚周点岁寸倍米]|小时|分钟|星期)(?!级)",
    "[月号楼级手等日星路元分折千万]|年级",
)
_FIGURE = {
    "en": r"(?<![A-Za-z\d.,:/$€¥£#+~_-])(?<![A-Z\d] )\d{1,2}(?![A-Za-z\d_%°+/~'\"’”″]|[.,:-] ?\d| \d|-[\w-]*\d)",
    "zh": rf"(?<![A-Za-z\d.,:/$¥￥€£#+~～—－、_-])\d{{1,2}} ?(?={'|'.join(_UNIT)})",
}
_ARTICLE = re.compile(
    r"(?<![Vv]itamin )(?<![Gg]rade )(?<![Tt]ype )(?<![Pp]lan )(?<![Cc]lass )(?<![Hh]epatitis )(?<![\w<'’.-])"
    r"(?:[Tt]he|[Aa]n?) (?!(?:few|little|day|week|month|year|night|time|hour|minute|piece|pair|more|less|ones?|is|was"
    r"|are|to|and|or|plus|of|in)\b)(?=\w)"
)
_EMOJI = ("\U0001f4e6", "\U0001f6d2", "\U0001f4dd", "\U0001f3e0")  # a parcel, a cart, a note, a house: no opinion
# The characters most used in Chinese, the commonest first; those of one reading stand in for each other.
_COMMON = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
    "成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此"
    "已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代"
    "内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安"
    "少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光"
    "放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
)


# The kinds ----------------------------------------------------------------------------------------


def _lookalikes(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Latin letters by Cyrillic ones of the same shape."""
    return ((i, i + 1, _LOOKALIKES[letter]) for i, letter in enumerate(text) if letter in _LOOKALIKES)


def _invisible(text: str, language: str, rng: np.random.Generator) -> Edits:
    """A character without width behind a letter."""
    return ((i + 1, i + 1, _ZERO_WIDTH) for i, letter in enumerate(text) if letter.isalpha())


def _synonyms(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Words by others that say as much there, and the article before them."""
    news, pattern = _synonyms_of(language)
    for found in pattern.finditer(text):
        rule = found.lastindex or 0
        article, old, new = found["article"] or "", found[rule], news[rule - 2]
        begins = found.start(rule) == found.start() and re.search(r"(?:^|[.!?\n\"“(*])\W*$", text[: found.start()])
        if old[0].isupper() and not (old.isupper() or begins):
            continue  # a name
        new = new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new
        if article:
            new = f"{article[0]}{'n' if new[0] in 'aeiouAEIOU' else ''} {new}"
        yield found.start(), found.end(), new


@cache
def _synonyms_of(language: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """What stands in for what each group of a pattern after its first finds."""

    def behind(found: re.Match[str]) -> str:
        """Looking back is for one width: each way on its own."""
        each = [
            f"(?<{found[1]}{edge if one[0].isalpha() else ''}{one})" if one != "^" else "^"
            for one in found[2].split("|")
        ]
        return "".join(each) if found[1] == "!" else f"(?:{'|'.join(each)})"

    edge = r"\b" if language == "en" else ""
    rules = [rule.replace("_", " ").rpartition(">")[::2] for rule in _SYNONYMS[language].split()]
    either = "|".join(f"({edge}{re.sub(r'[(][?]<([=!])([^()]*)[)]', behind, old)}{edge})" for old, _ in rules)
    return tuple(new for _, new in rules), re.compile(rf"(?:\b(?P<article>an?) )?(?:{either})", re.IGNORECASE)


def _misspellings(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Two letters within a word change places."""
    for found in re.finditer(r"[A-Za-z]{4,}", text):
        swaps = [i for i in range(found.start() + 1, found.end() - 2) if text[i] != text[i + 1]]
        if swaps:
            i = swaps[int(rng.integers(len(swaps)))]
            yield i, i + 2, text[i + 1] + text[i]


def _cases(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Capitals for small letters and the other way round."""
    return ((i, i + 1, letter.swapcase()) for i, letter in enumerate(text) if letter.isascii() and letter.isalpha())


def _spaces(text: str, language: str, rng: np.random.Generator) -> Edits:
    """One more blank between words, in Chinese one between characters."""
    between = r"(?<=\S) (?=\S)" if language == "en" else r"(?<=[一-鿿])(?=[一-鿿])"
    return ((found.start(), found.start(), " ") for found in re.finditer(between, text))


def _numbers(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Small numbers as words, and as figures where they are words; no part of a name (MP3), a range or a fraction."""
    words = _ONES[language]
    for found in re.finditer(_FIGURE[language], text):
        figure, before, after = found[0].strip(), text[: found.start()], text[found.end() :]
        new = words[int(figure)] if str(int(figure)) == figure and int(figure) < len(words) else ""
        if language == "zh" and new == "二" and re.match(_UNIT[0], after) and not before.endswith("第"):
            new = "两"  # two of something have a word of their own
        if new and not (new == "十" and after.startswith("分")):  # 十分 is "very"
            yield found.start(), found.end(), new
    if language == "en":  # "one" is a pronoun more often
        tens = "".join(
            rf"(?<!{ten}[ -])" for ten in ("twenty", "thirty", "forty", "fifty", "sixty", "eighty", "ninety")
        )
        for found in re.finditer(rf"\b(?<!-){tens}(?:{'|'.join(words[2:])})\b(?!-in-|-fold)", text):
            yield found.start(), found.end(), str(words.index(found[0]))


def _articles(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Articles are left out; not the letter A, nor where what is left says something else ("a few", "twice a day")."""
    for found in _ARTICLE.finditer(text):
        if found[0] != "A " or re.search(r"(?:^|[.!?\n\"“(*])\W*$", text[: found.start()]):
            yield found.start(), found.end(), ""


def _traditional(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Simplified characters by traditional ones, as the phrase they stand in wants."""
    changed = _converted(text)
    if len(changed) != len(text):
        changed = "".join(map(_converted, text))
    return ((i, i + 1, new) for i, (old, new) in enumerate(zip(text, changed, strict=True)) if old != new)


@lru_cache(maxsize=4096)
def _converted(text: str) -> str:
    return str(_converter().convert(text))


@cache
def _converter():  # type: ignore[no-untyped-def]  # the package has no types
    import opencc

    return opencc.OpenCC("s2t")


def _wide(text: str, language: str, rng: np.random.Generator) -> Edits:
    """ASCII letters, figures and marks in the width of a Han character, Chinese marks in that of a Latin letter."""
    narrow = dict(zip("，。！？；：（）", ",.!?;:()", strict=True))
    for i, letter in enumerate(text):
        if "!" <= letter <= "~":
            yield i, i + 1, chr(ord(letter) + 0xFEE0)
        elif letter in narrow:
            yield i, i + 1, narrow[letter]


def _homophones(text: str, language: str, rng: np.random.Generator) -> Edits:
    """Characters by the commonest other one of their reading, tones aside."""
    from pypinyin import lazy_pinyin

    by_reading = _readings()
    readings = lazy_pinyin(text, errors=list)  # type: ignore[arg-type]  # its types know strings alone
    if len(readings) == len(text):
        for i, (old, reading) in enumerate(zip(text, readings, strict=True)):
            new = next((other for other in by_reading.get(reading, "") if other != old), "")
            if new and "一" <= old <= "鿿":
                yield i, i + 1, new


@cache
def _readings() -> Mapping[str, str]:
    """Common characters by reading."""
    from pypinyin import lazy_pinyin

    found: dict[str, str] = {}
    for character in _COMMON:  # one by one: in a row they would be read as words
        reading = lazy_pinyin(character)[0]
        found[reading] = found.get(reading, "") + character
    return found


def _emoji(text: str, language: str, rng: np.random.Generator) -> Edits:
    """A small picture without an opinion behind a sentence."""
    for found in re.finditer(r"[.!?。！？](?=\s|$|[一-鿿])", text):
        yield found.end(), found.end(), _EMOJI[int(rng.integers(len(_EMOJI)))]


@dataclass(frozen=True, slots=True)
class Disguise:
    """A kind of disguise.

    Attributes:
        edits: every place that it could change in a text of a language, and how.
        share: of those places, how many it changes unless told otherwise.
        languages: in which it exists.
    """

    edits: Callable[[str, str, np.random.Generator], Edits]
    share: float
    languages: tuple[str, ...] = ("en", "zh")


DISGUISES: Mapping[str, Disguise] = {
    "homoglyph": Disguise(_lookalikes, 0.3, ("en",)),
    "zero_width": Disguise(_invisible, 0.2),
    "synonym": Disguise(_synonyms, 0.8),
    "misspelling": Disguise(_misspellings, 0.2, ("en",)),
    "case": Disguise(_cases, 0.1, ("en",)),
    "whitespace": Disguise(_spaces, 0.2),
    "number": Disguise(_numbers, 0.8),
    "article": Disguise(_articles, 0.5, ("en",)),
    "traditional": Disguise(_traditional, 1.0, ("zh",)),
    "full_width": Disguise(_wide, 0.5, ("zh",)),
    "homophone": Disguise(_homophones, 0.1, ("zh",)),
    "emoji": Disguise(_emoji, 0.5),
}


def disguise(kind: str, text: str, language: str, rng: np.random.Generator, *, share: float | None = None) -> str:
    """The text with a share of the places changed that a kind of disguise can change; what it says stays.

    Args:
        kind: one of `DISGUISES`.
        text: any; where there is nothing to change it stays as it is.
        language: "en" or "zh".
        rng: decides which places, and what stands there where there is a choice.
        share: of the places, from 0 to 1, rounded to whole places, halves up; the kind's own by default.

    Raises:
        ConfigError: an unknown kind, one that the language does not have, or a share out of its range.

    >>> disguise("article", "The lid of the kettle is a joke.", "en", np.random.default_rng(0), share=1)
    'lid of kettle is joke.'
    """
    known = DISGUISES.get(kind)
    if known is None or language not in known.languages:
        fitting = ", ".join(name for name, one in DISGUISES.items() if language in one.languages)
        raise ConfigError(f'disguise "{kind}": not one of language "{language}", which has: {fitting or "none"}.')
    part = known.share if share is None else share
    if not 0 <= part <= 1:
        raise ConfigError(f'share of disguise "{kind}" is "{part}": it has to be from 0 to 1.')
    edits = list(known.edits(text, language, rng))
    chosen = rng.permutation(len(edits))[: math.floor(part * len(edits) + 0.5)]
    for start, end, new in sorted((edits[i] for i in chosen), reverse=True):
        text = text[:start] + new + text[end:]
    return text
