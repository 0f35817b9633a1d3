"""What a cell of a data file means: text, rating, time, label, attributes, turns; `CellError` says why it is none.

as_attributes("name[The Eagle], eatType[coffee shop]") -> {"name": "The Eagle", "eatType": "coffee shop"}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Literal

from shoplm_audit.types import Turn

__all__ = [
    "CellError",
    "as_attributes",
    "as_label",
    "as_language",
    "as_rating",
    "as_text",
    "as_time",
    "as_turns",
    "is_blank",
    "language_of",
    "reads_as_attributes",
]

# A Han character carries about as much as a word of several Latin letters, so a fifth of the letters is a Chinese text.
HAN_SHARE = 0.2
LANGUAGE_CHARACTERS = 2000
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

LABELS = {
    "positive": ("positive", "pos", "1", "正面", "好评"),
    "negative": ("negative", "neg", "0", "负面", "差评"),
}
ROLES: Mapping[str, Literal["user", "assistant"]] = {
    **dict.fromkeys(("user", "human", "customer", "buyer", "客户", "用户", "买家"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "agent", "support", "客服", "助手", "卖家"), "assistant"),
}
_E2E = re.compile(r"\s*([^,\[\]]+)\[([^\[\]]*)\]\s*(?:,|$)")
_HASHES = re.compile(r"[^#*]+#[^#*]+(\*[^#*]+#[^#*]+)*\*?")
_NAME_VALUE = re.compile(r"[^=;；:/?&\n]{1,60}=[^=;；]+([;；][^=;；:/?&\n]{1,60}=[^=;；]+)*[;；]?\s*")
_UNIX_TIME = re.compile(r"\d{10}(\d{3})?")


class CellError(Exception):
    """A cell cannot be read as what it should be; the message goes on after the field's name."""


def _shown(value: object) -> str:
    text = str(value)
    return f'"{text[:40]}{"…" if len(text) > 40 else ""}"'


def _trimmed(text: str) -> str:
    return text.strip().strip("\ufeff").strip()  # byte-order marks are left within files that were put together


def is_blank(value: object) -> bool:
    """Whether a cell holds nothing: null, nan, or white space."""
    if isinstance(value, str):
        return not _trimmed(value)
    return value is None or value == [] or value == {} or (isinstance(value, float) and math.isnan(value))


def as_text(value: object) -> str:
    """A text without outer white space; whole numbers lose ".0", a list is joined by ", "."""
    if isinstance(value, str):
        if "\0" in value:
            raise CellError("holds a NUL byte")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise CellError(f"holds half a character (a lone surrogate) at {error.start}") from error
        return _trimmed(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, date):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(each) for each in value if not is_blank(each))
    if isinstance(value, (dict, bytes)):
        raise CellError(f"is {'an object' if isinstance(value, dict) else 'binary'}, not a text")
    return str(value)


def as_rating(value: object) -> float:
    """Stars from 1 to 5."""
    try:
        rating = math.nan if isinstance(value, bool) else float(as_text(value))
    except ValueError:
        rating = math.nan
    if not 1 <= rating <= 5:
        raise CellError(f"is {_shown(value)}: it has to be a number from 1 to 5")
    return rating


def as_label(value: object) -> str:
    """A sentiment: "positive" (also 1) or "negative" (also 0)."""
    text = as_text(int(value) if isinstance(value, bool) else value).casefold()
    for label, words in LABELS.items():
        if text.removesuffix(".0") in words:
            return label
    raise CellError(f"is {_shown(value)}: it has to be positive or negative (1 or 0)")


def as_language(value: object) -> str:
    """A language, en or zh, of a tag such as zh-CN or a name."""
    text = as_text(value).casefold()
    if text in ("english", "chinese", "中文", "英文"):
        return "en" if text in ("english", "英文") else "zh"
    code = re.split("[-_]", text)[0]
    if code not in ("en", "zh"):
        raise CellError(f"is {_shown(value)}: it has to be en or zh")
    return code


def as_time(value: object) -> str:
    """A time as it is written; ten digits are Unix seconds, thirteen milliseconds, and become ISO 8601 in UTC."""
    text = as_text(value)
    if not _UNIX_TIME.fullmatch(text):
        return text
    return datetime.fromtimestamp(int(text[:10]), tz=UTC).isoformat().replace("+00:00", "Z")


def _collected(pairs: Iterable[tuple[str, object]], between: str = ", ") -> dict[str, str]:
    """Attributes of which a name can come more than once: its different values are joined."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if isinstance(value, dict):
            raise CellError(f"has an object in {_shown(name)}: values are texts, numbers or lists of them")
        if not is_blank(value):
            seen = values.setdefault(as_text(name), [])
            text = as_text(value)
            if text not in seen:
                seen.append(text)
    if "" in values:
        raise CellError("has a value without a name")
    return {name: between.join(texts) for name, texts in values.items()}


def reads_as_attributes(value: object) -> bool:
    """Whether a cell reads "name=value; name=value"."""
    return isinstance(value, str) and "=" in value and _NAME_VALUE.fullmatch(value) is not None


def as_attributes(value: object) -> dict[str, str]:
    """Attributes by name, from an object, its JSON, "name=value; ...", "name[value], ..." or "name#value*..."."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise CellError(f"is {_shown(value)}: not JSON") from error
    if isinstance(value, Mapping):
        return _collected(value.items())
    if isinstance(value, (list, tuple)) and all(isinstance(each, (list, tuple)) and len(each) == 2 for each in value):
        return _collected((str(name), each) for name, each in value)  # how Parquet gives a map
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        value = ";".join(value)
    if not isinstance(value, str):
        raise CellError(f"is {_shown(value)}: it has to be an object or name=value; name=value")
    text = value.strip()
    if text.endswith("]") and "".join(match.group(0) for match in _E2E.finditer(text)) == text:
        return _collected(_E2E.findall(text))
    if _HASHES.fullmatch(text):
        return _collected((_halves(part, "#") for part in text.rstrip("*").split("*")), "、")
    parts = [part for part in re.split("[;；]", text) if part.strip()]
    if not all("=" in part for part in parts):
        raise CellError(f"is {_shown(value)}: it has to be an object or name=value; name=value")
    return _collected(_halves(part, "=") for part in parts)


def _halves(part: str, sign: str) -> tuple[str, str]:
    name, _, value = part.partition(sign)
    return name, value


def as_turns(value: object) -> tuple[Turn, ...]:
    """The turns of a talk: a list of objects with role (or from) and text (or content, value), or its JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise CellError(f"is {_shown(value)}: not JSON") from error
    if not isinstance(value, (list, tuple)) or not value:
        raise CellError(f"is {_shown(value)}: it has to be a list of turns")
    return tuple(_turn(number, turn) for number, turn in enumerate(value, 1))


def _turn(number: int, turn: object) -> Turn:
    if not isinstance(turn, Mapping):
        raise CellError(f"has no object as turn {number}: it has to hold role and text")
    role = str(turn.get("role") or turn.get("from") or "")
    if role.casefold() not in ROLES:
        raise CellError(f"has the role {_shown(role)} in turn {number}: it has to be user or assistant")
    text = next((turn[name] for name in ("text", "content", "value") if not is_blank(turn.get(name))), None)
    if text is None:
        raise CellError(f"has no text in turn {number}")
    return Turn(ROLES[role.casefold()], as_text(text))


def language_of(text: str) -> str:
    """The language, zh where at least a fifth of the letters are Han characters, else en; 2,000 characters count.

    >>> language_of("支持TF卡"), language_of("I love 茶"), language_of("")
    ('zh', 'en', 'en')
    """
    head = text[:LANGUAGE_CHARACTERS]
    if head.isascii():
        return "en"
    letters = sum(map(str.isalpha, head))
    return "zh" if letters and len(_HAN.findall(head)) >= HAN_SHARE * letters else "en"
