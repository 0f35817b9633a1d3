"""Yes or no, match or not: which of two opposite labels an answer settles on, however it denies.

polarity_of("不太匹配", POLAR[("匹配", "不匹配")]) -> "不匹配"        polarity_of("是否", POLAR[("是", "否")]) -> None
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["POLAR", "Polar", "polarity_of"]


@dataclass(frozen=True, slots=True)
class Polar:
    """Two opposite labels and how texts say them; `no` is tried first, `open` says both or neither."""

    labels: tuple[str, str]
    yes: str
    no: str
    open: str


_NOT_HAN = r"(?:不|没|未|无|非|否|难以)[^,。;!?\s]{0,4}?"
_NOT = r"(?:\b(?:not|no|never|cannot|neither|nor|hardly|fails?\s+to|failed\s+to)\b|n['’]t\b)(?:\s+\w+){0,3}?\s+"
_MATCHING = Polar(
    ("match", "not match"),
    r"\bmatch(?:es|ed|ing)?\b",
    rf"{_NOT}match\w*|\b(?:mis|un|non-?)-?match\w*|\bmatch\w*\s*[:=]\s*(?:no|false)\b",
    r"\b(?:mis)?match\w*\s*(?:or|/)\s*(?:not?\b|mis|a mis)(?:\s+(?:a )?match)?\w*|\bwhether\b[^.]*",
)
_SAME = Polar(
    ("匹配", "不匹配"),
    "匹配|相符",
    rf"{_NOT_HAN}(?:匹配|相符)|匹配(?:失败|不上|不了|不成功|度?(?:很|较|太|极|比较)?(?:低|差|不高))|(?:匹配|相符)(?:性|度)?[:=]否",
    "是否匹配|匹配(?:还是|或|/|与否|、|,)不匹配|不匹配(?:还是|或|/|、|,)匹配|匹不匹配",
)
_YES = Polar(
    ("是", "否"),
    "是|对|属于|yes|正确|没错",
    r"不(?:属于|对|正确)|(?:不|并非|绝非|未必|算不上)[^,。;!?\s]{0,2}是|否|并非|不(?=[,。!;\s]|$)|不属于|不对|错误|\bno\b|\bnot\b",
    "是(?:否|不是|或否|还是否|还是不是|/否|、否|,否)|否(?:或|/|、)是|或是|还是|但是|可是|只是|总是|于是|对于|对应|是因为|(?:答案|结论|回答|结果)(?:应该|应当|就)?是",
)
_HAVING = Polar(
    ("有", "没有"), "有|存在", "没有|没|无|不存在|不具有|不含有", "有没有|有无|有(?:或|/|还是)没有|所有|拥有|有可能"
)
_ABLE = Polar(
    ("能", "不能"), "能|可以", "不能|不可以?|无法|不行", "能不能|能否|可不可以|可能|功能|性能|能(?:或|/|还是)不能"
)
_MAY = Polar(("可以", "不可以"), "可以|能", "不可以?|不能|无法|不行", "可不可以|能否|可能|可以(?:或|/|还是)不可以")
POLAR: Mapping[tuple[str, ...], Polar] = MappingProxyType(
    {each.labels: each for each in (_MATCHING, _SAME, _YES, _HAVING, _ABLE, _MAY)}
)
_CERTAIN = re.compile(
    r"毫?无疑问?|毫无疑义|不用说|不可否认|没问题|不错|\b(?:no|without(?: a)?) (?:doubt|question|problem)\b"
)
_TWICE = re.compile(r"(?:不是|并非|没有)(?:不|否)|\bnot\s+not\b")
_CLAUSE = re.compile(r"[,;.!?。\n]+|$")


def polarity_of(text: str, polar: Polar) -> str | None:
    """The label of the first clause that says one, unless another clause is the other label and no more.

    Args:
        text: in NFKC and lower case.
        polar: the labels.

    Returns:
        A label, or None where the text says both in one breath or neither.
    """
    plain = _CERTAIN.sub("", text)
    plain = _TWICE.sub("是" if polar is _YES else "", plain)
    settled: str | None = None
    for clause in _clauses(plain):
        said = _said(clause, polar)
        if settled is None and said == {0, 1}:
            return None
        if settled is None and said:
            settled = polar.labels[said.pop()]
        elif settled is not None and clause.strip(" \"'“”*:") in polar.labels and clause.strip(" \"'“”*:") != settled:
            return None
    return settled


def _clauses(text: str) -> list[str]:
    """Clauses of a text without its questions."""
    found, start = [], 0
    for mark in _CLAUSE.finditer(text):
        if "?" not in mark[0]:
            found.append(text[start : mark.start()])
        start = mark.end()
    return found


def _said(clause: str, polar: Polar) -> set[int]:
    if re.search(polar.open, clause) and re.fullmatch(rf"\W*(?:{polar.open})\W*", clause):
        return {0, 1}
    plain = re.sub(polar.open, " ", clause)
    denied = re.search(polar.no, plain)
    rest = re.sub(polar.no, " ", plain)
    return ({1} if denied else set()) | ({0} if re.search(polar.yes, rest) else set())
