"""What a summary keeps of its source and what it invents: fragments, aspects and their sides, numbers.

aspects_kept("Delivery is praised.", ["Fast delivery.", "Slow delivery, poor sound.", "Bad sound."]).right == 0
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shoplm_audit.scoring.aspects import aspect_counts, aspects_in
from shoplm_audit.scoring.dates import dates_in, same_day
from shoplm_audit.scoring.orders import follows_order
from shoplm_audit.scoring.overlap import tokens_of
from shoplm_audit.scoring.quantities import Quantity, agrees, fold, level, quantities_in

__all__ = ["AspectsKept", "Extraction", "aspects_kept", "extraction", "follows_order", "invented_numbers"]

_TOLERANCE = 0.4  # of the share of praise: of two reviews against one, praise and "both" are right
_OFTEN, _OF = 2, 3  # a summary has to name an aspect that two reviews, or one of three where there are more, name
_ROOM = 8  # facts that one or two sentences have room for


@dataclass(frozen=True, slots=True)
class Extraction:
    """How much of a source a summary copies and keeps; nan where one of the texts is empty.

    Coverage, density and compression are those of Grusky et al. 2018, arXiv 1804.11283.

    Attributes:
        coverage: share of its tokens that stand in fragments of the source.
        density: mean length of the fragment that a token of the summary is in.
        compression: tokens of the source for one of the summary.
        kept: share of the quantities and content words of the source that the summary holds, or of eight where there
            are more, since one or two sentences have no room for more; nan where there are none.
    """

    coverage: float
    density: float
    compression: float
    kept: float


def extraction(summary: str, source: str, language: str = "en", *, known: str = "") -> Extraction:
    """Coverage, density and compression by greedy extractive fragments, and what is kept.

    Args:
        summary: what the model wrote.
        source: what it sums up.
        language: "en" or "zh"; Chinese tokens are characters, Chinese content words pairs of them.
        known: text whose words tell nothing new, such as the title.

    >>> extraction("the sound is thin", "We found that the sound is good.")
    Extraction(coverage=0.75, density=2.25, compression=1.75, kept=0.3333333333333333)
    """
    written, read = tokens_of(summary.lower(), language), tokens_of(source.lower(), language)
    if not written or not read:
        return Extraction(math.nan, math.nan, math.nan, math.nan)
    lengths = _fragments(written, read)
    size = len(written)
    return Extraction(
        sum(lengths) / size,
        sum(n * n for n in lengths) / size,
        len(read) / size,
        _kept(summary, source, language, known),
    )


def _fragments(written: Sequence[str], read: Sequence[str]) -> list[int]:
    """Lengths of the fragments: from each place the longest run of tokens that the source holds.

    A suffix automaton of the source finds them in linear time, so that texts of any length can be compared.
    """
    follow: list[dict[str, int]] = [{}]
    link, length, last = [-1], [0], 0
    for token in read:
        state, parent = len(follow), last
        follow.append({})
        length.append(length[last] + 1)
        link.append(0)
        while parent != -1 and token not in follow[parent]:
            follow[parent][token] = state
            parent = link[parent]
        if parent != -1:
            child = follow[parent][token]
            if length[child] == length[parent] + 1:
                link[state] = child
            else:
                copy = len(follow)
                follow.append(dict(follow[child]))
                length.append(length[parent] + 1)
                link.append(link[child])
                while parent != -1 and follow[parent].get(token) == child:
                    follow[parent][token] = copy
                    parent = link[parent]
                link[child] = link[state] = copy
        last = state
    lengths, place = [], 0
    while place < len(written):
        state, run = 0, 0
        while place + run < len(written) and written[place + run] in follow[state]:
            state, run = follow[state][written[place + run]], run + 1
        if run:
            lengths.append(run)
        place += max(run, 1)
    return lengths


@dataclass(frozen=True, slots=True)
class AspectsKept:
    """Aspects of a summary against those of its reviews.

    Attributes:
        right: whose side is that of the reviews.
        wrong: that the summary judges otherwise than the reviews, or that no review judges.
        missing: that two reviews or more, and at least a third of them, judge and the summary does not.
    """

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def share(self) -> float:
        """Right ones among all of them; nan where neither reviews nor summary judge anything."""
        total = len(self.right) + len(self.wrong) + len(self.missing)
        return len(self.right) / total if total else math.nan


def aspects_kept(summary: str, reviews: Sequence[str], language: str = "en") -> AspectsKept:
    """Whether a summary praises what the reviews praise and complains about what they complain about.

    The share of praise among the reviews that judge an aspect, p, is held against the summary's (praise 1, both 0.5,
    complaint 0): a difference of at most 0.4 is right.
    """
    counts = aspect_counts(reviews, language)
    said = aspects_in(summary, language)
    right: list[str] = []
    wrong: list[str] = []
    missing: list[str] = []
    for aspect in {**counts, **said}:
        count = counts.get(aspect)
        judged = count.praised + count.complaints if count else 0
        if aspect not in said:
            if sum(aspect in aspects_in(review, language) for review in reviews) >= max(_OFTEN, len(reviews) / _OF):
                missing.append(aspect)
            continue
        share = {"praise": 1.0, "both": 0.5, "complaint": 0.0}[said[aspect]]
        fits = count is not None and abs(count.praised / judged - share) <= _TOLERANCE + 1e-9
        (right if fits else wrong).append(aspect)
    return AspectsKept(tuple(right), tuple(wrong), tuple(missing))


# Facts ----------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_GLUE = frozenset(
    ["with", "from", "this", "that", "these", "those", "have", "has", "which", "comes", "made", "also", "product", "we",
     "item", "meet", "your", "their", "they", "there", "here", "will", "into", "than", "then", "when", "while", "where",
     "consists", "carries", "costs", "very", "more", "most", "each", "both", "such", "only", "been", "does", "about",
     "for", "the", "and", "its", "our", "you", "are", "was", "not", "but", "all", "any", "can", "one", "addition"]
)  # fmt: skip
_HAN_GLUE = re.compile(
    r"[的是了和与及为由在有其此该这那款件个也就都而]|来自|商品|产品|此外|另外|一款|一件|采用|具有|以及|获得|适合"
)
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{2,}")


def _kept(summary: str, source: str, language: str, known: str) -> float:
    told = _content(source, language) - _content(known, language)
    sizes = [quantity for quantity in quantities_in(source) if quantity.dimension]
    if not told and not sizes:
        return math.nan
    said = quantities_in(summary)
    kept = len(told & _content(summary, language))
    kept += sum(any(agrees(each, size) for each in said) for size in sizes)
    return min(kept / min(len(told) + len(sizes), _ROOM), 1.0)


def _content(text: str, language: str) -> set[str]:
    """Content words without quantities, English ones by their first six letters."""
    plain = _blanked(level(text), ((each.start, each.end) for each in quantities_in(text))).lower()
    words = {word[:6] for word in _WORD.findall(plain) if len(word) > 2 and word.isascii() and word not in _GLUE}
    if language != "zh":
        return words
    runs = _HAN_RUN.findall(_HAN_GLUE.sub(" ", plain))
    return words | {run[k : k + 2] for run in runs for k in range(len(run) - 1)}


# Numbers --------------------------------------------------------------------------------------------

_NUMBERING = re.compile(r"(?m)^\s*[(（]?(?:\d{1,2}|[一二三四五六七八九十])\s*[.)）、](?!\d)")
_ORDINAL = re.compile(r"第\s*(?:\d{1,3}|[一二三四五六七八九十百]{1,4})|\bno\. ?\d{1,2}\b", re.IGNORECASE)
_WHO = r"(?:review|reviewer|customer|user|buyer|person|people|client|shopper|rating|opinion|voice)s?"
_SIDE = r"(?:positive|negative|mixed|neutral|critical|favou?rable|complain\w*|prais\w*|critici\w*|like|love|dislike)"
# What counts reviews or the people who wrote them, behind a number and before it.
_COUNTS = re.compile(
    r"\s*(?:out )?(?:of (?:the |them\b)?)?(?:\d{1,3} )?(?:other |more )?"
    rf"(?:{_WHO}\b(?! (?:can|may)\b)|{_SIDE}\b|of\b)"
    r"|\s*(?:位|名|个人|人|条评|条差|条好|条中|条正|条负|条$|条(?=[,，。;；、)）])|个顾客|个用户|个买家|个好评|个差评)",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    rf"(?:\b{_WHO}|\d|\b(?:one|two|three|four|five|six|seven|eight|nine)) (?:out )?(?:of|in) $"
    rf"|\b{_SIDE}\W{{1,3}}$|(?:好评|差评|中评|正面|负面|称赞|抱怨)[^\w]{{0,2}}(?:有|共)?$",
    re.IGNORECASE,
)
_THEIRS = re.compile(
    rf" ?(?:of |are |were )?(?:the |them|all )?(?:{_WHO}|{_SIDE})?\b(?<! )|的?(?:顾客|用户|买家|评)", re.I
)
_ROOM_FOR = re.compile(
    r"\b(?:for|seats?|serves?|fits?|holds?|sleeps|feeds|up to) $|[坐供住睡]$|适合$|容纳$", re.IGNORECASE
)
_STARS = re.compile(r"(?:[1-5][ -]stars?\b|\b(?:one|two|three|four|five)[ -]stars?\b|[1-5一二三四五]星)", re.IGNORECASE)
# Vague, and no claims: 一两句话, 三四天.
_VAGUE = re.compile(r"(?:一[两二]|两三|三[两四五]|四五|五六|六七|七八|八九)(?=[句个次点位条天])")
_MANY = {
    "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
    "dozen": 12, "dozens": 24, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100,
    "hundreds": 200, "thousand": 1000, "thousands": 2000, "million": 10**6, "millions": 2 * 10**6, "四": 4, "五": 5,
    "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "十几": 11, "几十": 20, "数十": 20, "百": 100, "上百": 100,
    "几百": 200, "数百": 200, "成百上千": 200, "千": 1000, "上千": 1000, "成千上万": 2000, "上万": 10**4,
}  # fmt: skip
_CROWD = re.compile(
    rf"\b(?P<en>{'|'.join(word for word in _MANY if word.isascii())})(?: of)?(?: the)?(?: \w+)? {_WHO}\b"
    rf"|(?<![一-鿿\d])(?P<zh>{'|'.join(sorted((w for w in _MANY if not w.isascii()), key=len, reverse=True))})"
    r"[位名](?:顾客|用户|买家|客户|网友|评价者|消费者|人)",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+(?:\.\d+)?")


def invented_numbers(text: str, source: str, *, reviews: int = 0) -> tuple[str, ...]:
    """The quantities, numbers and dates of a text that its source does not hold, as the text writes them.

    Another unit, Han numerals and another format of a date are the same number; ordinals and the numbering of lists
    are none. Sums and averages of what the source says count as invented.

    Args:
        text: what the model wrote.
        source: everything it was given to read.
        reviews: of how many reviews the source consists: "two customers", "3 positive" and "67 % of them" then count
            them, and more customers than that are invented.

    >>> invented_numbers("It lasts 12 hours and weighs half a kilo.", "Weight 500 g, battery life 10 h")
    ('12 hours',)
    """
    known_days, known = dates_in(source), quantities_in(source)
    said = dates_in(text)
    found = [
        (day.start, text[day.start : day.end]) for day in said if not any(same_day(day, other) for other in known_days)
    ]
    plain = _blanked(text, ((day.start, day.end) for day in said))
    for pattern in (_NUMBERING, _ORDINAL, _VAGUE, *([_STARS] if reviews else [])):
        plain = pattern.sub(lambda match: " " * len(match[0]), plain)
    if reviews:
        crowds = ((each, _MANY[(each["en"] or each["zh"]).lower()]) for each in _CROWD.finditer(plain))
        found += [
            (each.start(), text[slice(*each.span())])
            for each, size in crowds
            if size > reviews and each[0].lower() not in source.lower()
        ]
    undated = _blanked(source, ((day.start, day.end) for day in known_days))
    bare = _printed(_blanked(undated, ((each.start, each.end) for each in known if each.dimension)))
    every = _printed(undated)
    for quantity in quantities_in(plain):
        if not _counts_reviews(quantity, plain, reviews) and not _stated(
            quantity, known, bare if quantity.dimension else every
        ):
            found.append((quantity.start, quantity.text))
    return tuple(words for _, words in sorted(found))


def _counts_reviews(quantity: Quantity, text: str, reviews: int) -> bool:
    """Whether a number says how many of the reviews, as a number, a fraction or a share of them; capacity does not."""
    number = quantity.values[0][1]
    if not reviews or _ROOM_FOR.search(text, max(0, quantity.start - 40), quantity.start):
        return False
    if quantity.dimension == "percent":
        whole = any(abs(100 * k / reviews - number) < 1 for k in range(reviews + 1))
        return whole and _THEIRS.match(text, quantity.end) is not None
    if part := re.fullmatch(r"(\d+) ?/ ?(\d+)", quantity.text):
        return int(part[1]) <= int(part[2]) == reviews
    if quantity.dimension not in ("", "count") or number > reviews:
        return False
    behind = quantity.end - (quantity.text[-1:] in "条个位名人")
    return bool(_COUNTS.match(text, behind) or _COUNTED.search(text, max(0, quantity.start - 40), quantity.start))


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _printed(text: str) -> set[float]:
    """The numbers that a text shows in digits."""
    return {float(digits) for digits in _DIGITS.findall(fold(text).text.replace(",", ""))}


def _stated(quantity: Quantity, known: Sequence[Quantity], bare: set[float]) -> bool:
    """Whether the source holds the number itself: "within 7 days" does not follow from 5 days."""
    claim = quantity if quantity.bound == "about" else replace(quantity, bound="")
    if quantity.dimension and any(agrees(claim, replace(other, bound="")) for other in known):
        return True
    printed = _printed(quantity.text)
    return bool(printed) and printed <= bare
