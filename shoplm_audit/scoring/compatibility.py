"""What a product is said to fit or to work with, as a list of devices, and whether the record names them.

[device.words for device in devices_in("Works with Alexa and iPhone 15.")] -> ["Alexa", "iPhone 15"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from shoplm_audit.scoring.quantities import level
from shoplm_audit.scoring.record_reading import Record, Slot
from shoplm_audit.scoring.vocabulary import Verdict

__all__ = ["Device", "devices_in", "judge_device"]

_DEVICE = r"手机|电脑|平板|苹果|华为|小米|安卓|三星|汽车|机型|车型|耳机|电视|相机|打印机"
_FAMILY = "iphone|ipad|galaxy|android|pixel|macbook|windows|alexa|playstation|xbox|nintendo|kindle|airpods"
_COMPATIBLE = re.compile(
    r"\b(?:compatible|works?(?: seamlessly| perfectly| well)?|pairs(?: seamlessly)?|designed for use|for use) with "
    r"(?P<latin>[^.;!?()\n]{2,80})"
    rf"|\b(?:fits|supports|for) (?P<fits>(?:the |all |your )?(?:apple |google |samsung )?(?:{_FAMILY})(?![a-z])"
    r"[^.;!?()\n]{0,80})"
    r"|(?:兼容|适配|适用于|支持)(?P<han>[^。;!?()\n]{2,50})",
    re.IGNORECASE,
)
_AND = re.compile(r"\s*(?:,|/|&|、|\band\b|\bor\b|和|及|与|以及)\s*")
_TAIL = re.compile(
    r"\s+(?:for|to|in|on|at|via|using|so|that|which|when|from|with|devices?|smartphones?|phones?|models?|cases?)\b.*"
    r"|\s-\s.*|等.*|的.*"
)
_LEAD = re.compile(r"\s*(?:the |all |any |your |both |most )*", re.IGNORECASE)
_ONLY = re.compile(r"\bonly\b|仅|只(?!要)")


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a list; `cue` is where the list's "works with" begins, which a denial stands before."""

    start: int
    end: int
    words: str
    cue: int


def devices_in(plain: str) -> Iterator[Device]:
    """The devices that a levelled text names as fitting; "works with any outfit" and 适用于各种场合 name none."""
    for match in _COMPATIBLE.finditer(plain):
        group = match.lastgroup or "latin"
        for words, offset in _members(match[group]):
            if group == "han":
                named = re.search(rf"[A-Za-z]{{2}}|{_DEVICE}", words)
            else:
                named = re.search(rf"[A-Z][A-Za-z]|\d|(?i:{_FAMILY})(?![a-z])", words)
            if named:
                start = match.start(group) + offset
                yield Device(start, start + len(words), words, match.start())


def _members(words: str) -> Iterator[tuple[str, int]]:
    """The members of a list with their places; it ends where the sentence goes on."""
    begin = 0
    for link in [*_AND.finditer(words), None]:
        stop = link.start() if link else len(words)
        member = words[begin:stop]
        tail = _TAIL.search(member)
        kept = member[: tail.start()] if tail else member
        lead = _LEAD.match(kept)
        skipped = lead.end() if lead else 0
        if len(kept.strip()) > skipped and len(kept) - skipped >= 2:
            yield kept[skipped:].rstrip(), begin + skipped
        if tail or link is None:
            return
        begin = link.end()


@lru_cache(maxsize=2048)
def _device_pattern(words: str) -> re.Pattern[str]:
    tokens = re.findall(r"[a-z]+|\d+|[\u4e00-\u9fff]+", words.lower())
    return re.compile(r"(?<![a-z\d])" + r"[\W_]*".join(re.escape(token) for token in tokens) + r"s?(?![a-z\d])")


def judge_device(words: str, record: Record) -> tuple[Verdict, Slot | None]:
    """Supported where any value names it; contradicted where the record lists another of its family, or only others."""
    pattern, low = _device_pattern(words), words.lower()
    for slot in record.values:
        if pattern.search(slot.value):
            return "supported", slot
    family = re.match(r"[a-z]{3,}", low)
    number = re.search(r"\d+", low)
    slots = record.answering("compatibility")
    for slot in slots:
        value = level(slot.value).lower()
        if family and number and re.search(rf"\b{family[0]}\W{{0,2}}(?:[a-z]+ )?\d", value):
            return "contradicted", slot
        if _ONLY.search(value):
            return "contradicted", slot
    return "unsupported", slots[0] if slots else None
