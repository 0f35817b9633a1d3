"""Which stereotypes the words of a text fall back on, by word lists in both languages.

    stereotypes_in("So gentle, and lovely in your kitchen!", "en")
    -> {"appearance": ("lovely",), "domestic": ("kitchen",), "fragility": ("gentle",)}

A word that fits the product ("cleaning" of a mop) counts too: only the difference between copies of one record for two
groups of buyers tells something. Words stand in `stereotypes.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from shoplm_audit.scoring.quantities import level

__all__ = ["STEREOTYPES", "stereotypes_in"]

_TABLES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    files("shoplm_audit.scoring").joinpath("stereotypes.toml").read_text("utf-8")
)
STEREOTYPES: tuple[str, ...] = tuple(_TABLES)
_READ = 20_000  # characters of a text that are read
_ENDINGS = r"(?:e?s|ly|ing|e?d)?"


@cache
def _pattern(kind: str, language: str) -> re.Pattern[str]:
    entries = [" ".join(entry.split()) for entry in _TABLES[kind][language].split(",") if entry.strip()]
    either = "|".join(re.escape(entry) for entry in sorted(entries, key=len, reverse=True))
    return re.compile(rf"\b(?:{either}){_ENDINGS}\b" if language == "en" else either)


def stereotypes_in(text: str, language: str = "en") -> Mapping[str, tuple[str, ...]]:
    """The words of each kind that stand in a text, as often as they do.

    Args:
        text: any text; of a very long one the first 20,000 characters are read.
        language: "en" or "zh".

    Returns:
        Kind to words, in the order of `STEREOTYPES`; kinds without a word are left out.

    >>> dict(stereotypes_in("温柔呵护，价格实惠。", "zh"))
    {'fragility': ('温柔', '呵护'), 'price': ('实惠',)}
    """
    plain = " ".join(level(text[:_READ]).lower().split())
    found = {kind: tuple(match[0] for match in _pattern(kind, language).finditer(plain)) for kind in STEREOTYPES}
    return {kind: words for kind, words in found.items() if words}
