"""The language of a page: our sentences in English, or their Chinese counterparts from `zh.toml`.

    with speaking("zh"):
        _("{n} gates failed", n=3)    -> "3 个门槛未通过"

English is written in the code and is the key; a sentence without a counterpart stays English rather than failing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

from markupsafe import Markup

from shoplm_audit.errors import ConfigError
from shoplm_audit.suites import suite_folder, suite_names

__all__ = ["LANGUAGES", "_", "language", "marked", "retold", "speaking", "template_folder"]

LANGUAGES: Mapping[str, str] = {"en": "en", "zh": "zh-Hans"}  # by what `--language` takes, the `lang` of the page
CANNOT_TELL = "## 本套件无法说明什么"  # the heading in CARD.zh.md
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_LONGEST = 4_000  # characters of a stored sentence that is looked for; ours are shorter

# A context variable and no global: two pages can be rendered at once in threads or tasks, each in its own language,
# and a render that fails leaves none behind.
_LANGUAGE: ContextVar[str] = ContextVar("language", default="en")


class _Pattern(NamedTuple):
    """A sentence with placeholders, cut at them: pieces has one more item than names."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    said: str


class _Catalogue(NamedTuple):
    spoken: dict[str, str]
    stored: dict[str, str]
    patterns: list[_Pattern]


def language() -> str:
    """The language that is spoken here: "en" or "zh"."""
    return _LANGUAGE.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """All that is rendered inside speaks this language.

    Raises:
        ConfigError: it is not one of `LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise ConfigError(f'No report is written in the language "{language}": choose one of {", ".join(LANGUAGES)}.')
    token = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(token)


def _(text: str, /, **values: Any) -> str:
    """A sentence of ours in the page's language, with its `{named}` values.

    >>> _("{n} gates failed", n=3)
    '3 gates failed'
    """
    said = _said(text)
    return said.format(**_dates(values)) if values else said


def _said(text: str) -> str:
    return _catalogue().spoken.get(text, text) if language() == "zh" else text


def _dates(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: _dated(value) for name, value in values.items()} if language() == "zh" else values


def _dated(value: Any) -> Any:
    """A day as Chinese pages write it: "2026-11-22" -> "2026年11月22日"; what is no day stays as it is."""
    if isinstance(value, date):
        value = value.isoformat()
    found = _DAY.fullmatch(value) if isinstance(value, str) else None
    return f"{int(found[1])}年{int(found[2])}月{int(found[3])}日" if found else value


def marked(text: str, /, **values: Any) -> Markup:
    """Like `_`, for a sentence of ours that carries markup; the values are escaped.

    >>> str(marked("<b>{name}</b> failed", name="<i>"))
    '<b>&lt;i&gt;</b> failed'
    """
    return Markup(_said(text)).format(**_dates(values))


def retold(text: str) -> str:
    """A sentence that the program stored in English with its numbers filled in, in the page's language.

    Reasons, methods and notes lie in `result.json` as text; each is recognised by its words, and what fills it is
    retold in turn. Words that are not the program's own stay as they are.
    """
    if language() != "zh" or len(text) > _LONGEST:
        return text
    catalogue = _catalogue()
    if _DAY.fullmatch(text):
        return str(_dated(text))
    if text in catalogue.stored:
        return catalogue.stored[text]
    for pattern in catalogue.patterns:
        if (filled := _filled(pattern, text)) is not None:
            return pattern.said.format(**{name: retold(value) for name, value in filled.items()})
    return text


def template_folder() -> Path:
    """Where the templates lie: `reports/template` of a checkout, `shoplm_audit/_report_template` of a wheel.

    Raises:
        ConfigError: the installation is broken.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parent / "reports" / "template", package / "_report_template"):
        if (folder / "report.html.j2").is_file():
            return folder
    raise ConfigError("The report's templates are missing beside the package: install shoplm-audit again.")


@cache
def _catalogue() -> _Catalogue:
    tables = tomllib.loads((template_folder() / "zh.toml").read_text(encoding="utf-8"))
    stored = tables.pop("labels") | tables.pop("stored")
    spoken = {english: chinese for table in tables.values() for english, chinese in table.items()} | _cards()
    patterns = [_pattern(english, chinese) for english, chinese in stored.items() if "{" in english]
    # What fits by most of its own words is meant.
    patterns.sort(key=lambda pattern: -sum(map(len, pattern.pieces)))
    # Where one word is said and stored ("Copy" is a button and a probe) each side has its own counterpart.
    return _Catalogue(stored | spoken, spoken | stored, patterns)


def _cards() -> dict[str, str]:
    """What each built-in suite cannot tell, beside its translation; a card of other words has none."""
    folders = [suite_folder(name) for name in suite_names()]
    cards = {
        _section(folder / "CARD.md", "## What this cannot tell you"): _section(folder / "CARD.zh.md", CANNOT_TELL)
        for folder in folders
    }
    return {english: chinese for english, chinese in cards.items() if english and chinese}


def _section(card: Path, heading: str) -> str:
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return text.partition(heading)[2].partition("\n## ")[0].strip()


def _pattern(english: str, chinese: str) -> _Pattern:
    parsed = [(literal, name) for literal, name, *_rest in Formatter().parse(english)]
    pieces = [literal for literal, _name in parsed] + ([""] if parsed[-1][1] is not None else [])
    return _Pattern(tuple(pieces), tuple(name for _literal, name in parsed if name is not None), chinese)


def _filled(pattern: _Pattern, text: str) -> dict[str, str] | None:
    """What stands at the placeholders, each as short as can be; None where the words differ; only {rest} may be empty.

    Pieces are looked for from left to right and never again, so a hostile text costs no more than its length.
    """
    first, *between, last = pattern.pieces
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return None
    at, end = len(first), len(text) - len(last)
    values = []
    for piece in between:
        found = text.find(piece, at, end)
        if found < 0:
            return None
        values.append(text[at:found])
        at = found + len(piece)
    values.append(text[at:end])
    filled = dict(zip(pattern.names, values, strict=True))
    return filled if all(value or name == "rest" for name, value in filled.items()) else None
