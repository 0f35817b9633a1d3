"""Brands that a text names: the record's own wherever it stands, another where the words around it claim a brand.

[(start, end, finding.verdict) for ... in brands_in("A kettle by Velden.", record, "")] -> [(12, 18, "contradicted")]
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shoplm_audit.scoring.adjudication import Finding
from shoplm_audit.scoring.quantities import level
from shoplm_audit.scoring.record_reading import Record, says

__all__ = ["brands_in", "is_copy"]

_LETTER = r"[^\W\u4e00-\u9fff]"
_NAME = rf"(?<!{_LETTER})[A-Z](?:{_LETTER}|[&'’-]){{1,30}}(?: [A-Z](?:{_LETTER}|[&-]){{1,30}})?"
_BRAND_CUES = re.compile(
    rf"(?<![\w-])(?:(?P<link>[Bb]y|[Ff]rom)|[Bb]rand(?::| is)?)\s+(?P<after>{_NAME})"
    rf"|(?:品牌(?:名称)?[:为是]?|来自)\s*(?P<origin>{_NAME})"
    rf"|(?P<before>{_NAME})(?= (?:makes|presents|offers|brings|builds)\b|\s?(?:牌(?!子)|推出的|出品|旗下|品牌))"
    r"|(?:品牌(?:名称)?[:为是]\s*|来自(?:品牌)?)(?P<han>[\u4e00-\u9fff]{2,4}?)(?=[,。;、\s的]|品牌|$)"
    r"|(?:^|[,。;\s是的由])(?P<maker>[\u4e00-\u9fff]{2,4}?)(?:牌(?![子照坊桌九匾])|推出的|出品|旗下|打造的|制造的|的产品)"
)
_NO_BRAND = re.compile(
    r"(?:Italy|France|Germany|Spain|Portugal|Japan|China|Korea|India|Turkey|Europe\w*|America\w*|Asia|Africa|Scotland"
    r"|Ireland|Sweden|Norway|Denmark|Finland|Switzerland|Vietnam|Thailand|Peru|Egypt|Mexico|Brazil|England|Britain|UK|USA?"
    r"|EU|London|Paris|Milan|January|February|March|April|May|June|July|August|September|October|November|December|\w+day"
    r"|Christmas|Amazon|Nature|Mother|The|This|That|Our|Your|Its?|My|An?|You|We|They|He|She|Hand|Design|Default|Here|There"
    r"|Now|Then|All|Each|Every|Day|Night|Top|Head|Morning|Start|Beginning|Simply|Using|USB|Bluetooth|Wi-?Fi|Meet|First|Just"
    r"|One)\b"
)
_NO_BRAND_HAN = re.compile(
    r"[名品大招老吊王铭金车门挂标潮国]$|[中美法英德韩泰俄]国|[欧亚非美澳]洲|意大利|日本|北欧|新疆|内蒙|西班牙|[省市县]$"
    r"|进口|自然|天然|这|那|我们|设计|优质|全新|介绍|精心|匠心"
)


_MAKING = frozenset({"made", "manufactured", "built", "brewed", "produced", "handmade", "crafted", "handcrafted"})
# What ends like a verb and is a product, or is none and stands before "by".
_DOING = re.compile(
    r"(?:[a-z]+(?:ed|en|wn|orn)|best|you|us|sold|told|chosen|led|run|sent|won|drawn|written|step|side|day|one|kept|read)$"
)
_PRODUCT = _MAKING | {"bed", "shed", "linen", "kitchen", "oven", "gown", "screen"}
_SOURCE = frozenset({"product", "model", "item", "piece", "design", "range", "line", "collection", "series", "this"})


_COPY_BEFORE = re.compile(r"(?:仿|高仿|山寨|冒牌|\b(?:fake|imitation|replica|counterfeit) )$")
_COPY_AFTER = re.compile(
    r" (?:cop(?:y|ies)|clone|replica|imitation|knock-?off|lookalike|did(?: not|n't) )|(?:仿品|高仿|同款仿)"
)


def is_copy(lower: str, start: int, end: int) -> bool:
    """Whether a brand is named as what is only copied: "a Tivano copy", 仿松柚."""
    return bool(_COPY_BEFORE.search(lower, max(0, start - 16), start) or _COPY_AFTER.match(lower, end))


def _claims_brand(link: str, before: str, nouns: frozenset[str]) -> bool:
    """Whether "by" or "from" names who made the product: "a kettle by", "made by" and not "recommended by"."""
    last = re.search(r"([A-Za-z]+)[\s,]*$", before)
    word = last[1].lower() if last and not re.search(r"[.!?;:]\s*$", before) else ""
    if link.lower() == "by":
        return not _DOING.match(word) or word in _PRODUCT or word in nouns
    return not word or word in nouns or word in _SOURCE


def brands_in(text: str, record: Record, title: str) -> Iterator[tuple[int, int, Finding]]:
    """The record's brand wherever it stands, and another name where the words around it claim a brand."""
    slots = record.of("brand")
    own: list[tuple[int, int]] = []
    for slot in slots:
        name = level(slot.value).strip()
        edge = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
        for match in re.finditer(edge[0] + re.escape(name) + edge[1], text, re.IGNORECASE):
            own.append(match.span())
            yield *match.span(), Finding("supported", slot, says(slot))
    for match in _BRAND_CUES.finditer(text):
        group = next(name for name in ("after", "origin", "before", "han", "maker") if match[name])
        start, end = match.span(group)
        latin = group in ("after", "origin", "before")
        if any(low < end and start < high for low, high in own):
            continue
        if _NO_BRAND.match(match[group]) if latin else _NO_BRAND_HAN.search(match[group]):
            continue
        link = match["link"]
        claims = not link or _claims_brand(link, text[max(0, match.start() - 32) : match.start()], record.nouns)
        if link and link.lower() == "by" and not claims:
            continue
        if not slots:
            yield start, end, Finding("unsupported", None, "record has no brand")
        elif not claims or (own and match[0].lower().startswith(("from", "来自"))):
            yield start, end, Finding("unsupported", slots[0], f"{says(slots[0])}; this may be a place", False)
        else:
            yield start, end, Finding("contradicted", slots[0], says(slots[0]))
    if slots and title and not own:
        for start, end in _named_before(text, level(title)):
            yield start, end, Finding("contradicted", slots[0], says(slots[0]))


def _named_before(text: str, title: str) -> Iterator[tuple[int, int]]:
    """Names right before the title or its noun: 松柚苔原水壶, "the Velden kettle"."""
    for match in re.finditer(rf"(?:^|[,。;!?\s])([\u4e00-\u9fff]{{2,4}}){re.escape(title)}", text):
        if not _NO_BRAND_HAN.search(match[1]):
            yield match.span(1)
    noun = re.search(r"[a-z]{3,}$", title)
    if noun:
        for match in re.finditer(rf"\b(?:[Tt]he|[Tt]his|[Oo]ur|[Aa]n?|[Nn]ew) ({_NAME}) {noun[0]}\b", text):
            if match[1] not in title and not _NO_BRAND.match(match[1]):
                yield match.span(1)
