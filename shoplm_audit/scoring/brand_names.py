"""Brands that a text names: the record's own wherever it stands, another where the words around it claim a brand.

[(start, end, finding.verdict) for ... in brands_in("A kettle by Velden.", record, "")] -> [(12, 18, "contradicted")]
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shoplm_audit.scoring.adjudication import Finding
from shoplm_audit.scoring.quantities import level
from shoplm_audit.scoring.record_reading import Record, says

__all__ = ["brands_in"]

_LETTER = r"[^\W\u4e00-\u9fff]"
_NAME = rf"(?<!{_LETTER})[A-Z](?:{_LETTER}|[&'’-]){{1,30}}(?: [A-Z](?:{_LETTER}|[&-]){{1,30}})?"
_BRAND_CUES = re.compile(
    rf"(?<![\w-])(?:[Bb]y|[Ff]rom|[Bb]rand(?::| is)?)\s+(?P<after>{_NAME})"
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
        group = match.lastgroup or "after"
        start, end = match.span(group)
        latin = group in ("after", "origin", "before")
        if any(low < end and start < high for low, high in own):
            continue
        if _NO_BRAND.match(match[group]) if latin else _NO_BRAND_HAN.search(match[group]):
            continue
        if not slots:
            yield start, end, Finding("unsupported", None, "record has no brand")
        elif own and match[0].lower().startswith(("from", "来自")):
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
