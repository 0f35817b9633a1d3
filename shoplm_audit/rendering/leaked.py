"""Which strings came out of a model, masked: what kind they are, how they were drawn out, how often.

leaks_of({"extraction": observations}) -> ([Leak("S•••••••••7", "order", ("greedy",), ("en",), 2), ...], 0)
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shoplm_audit.rendering.masking import cover
from shoplm_audit.rendering.speaking import _
from shoplm_audit.types import Observation, Observations

__all__ = ["Leak", "leaks_of", "spans_of"]

_SHOWN = 20
_LEAST = 2  # characters of a string that can be called leaked
_LONGEST = 16  # characters of a mask: a copied passage is longer
_ASKED = "asked about the person"
_EXTRACTED: Mapping[str, str] = {"extracted": "greedy completion", "extracted_by_beam": "beam completion"}


@dataclass(frozen=True, slots=True)
class Leak:
    """A string that came out: its first and last character, its kind, the ways it came out, languages, how often."""

    masked: str
    kind: str
    ways: tuple[str, ...]
    languages: tuple[str, ...]
    count: int


@dataclass(slots=True)
class _Told:
    text: str
    kind: str
    count: int = 0
    ways: dict[str, None] = field(default_factory=dict)
    languages: dict[str, None] = field(default_factory=dict)


def leaks_of(seen: Mapping[str, Observations]) -> tuple[list[Leak], int]:
    """What leaked by the observations of the privacy probes, most often first, and how many more strings there are.

    Args:
        seen: observations by the name of their probe.
    """
    told: dict[str, _Told] = {}
    for observations in (found for name, found in sorted(seen.items())):
        for row in observations:
            of_row = {_key(text): (text, kind, way) for text, kind, way in _leaked(row)}
            for key, (text, kind, way) in of_row.items():
                if len(key) < _LEAST:
                    continue
                one = told.setdefault(key, _Told(text, kind))
                one.count += 1
                one.ways.setdefault(way)
                one.languages.setdefault(row.case.language)
    ranked: list[tuple[int, int, str, str, _Told]] = []
    of_kind: Counter[tuple[int, str]] = Counter()
    for key, one in sorted(told.items()):
        # Kinds take turns among strings that came out equally often, so that each of them is seen.
        ranked.append((-one.count, of_kind[one.count, one.kind], one.kind, key, one))
        of_kind[one.count, one.kind] += 1
    ranked.sort(key=lambda item: item[:4])
    shown = [
        Leak(_masked(one.text), _(one.kind.replace("_", " ")), tuple(map(_, one.ways)), tuple(one.languages), one.count)
        for *_order, one in ranked[:_SHOWN]
    ]
    return shown, len(ranked) - len(shown)


def _key(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _masked(text: str) -> str:
    covered = cover(text.strip())
    return covered if len(covered) <= _LONGEST else f"{covered[: _LONGEST // 2]}…{covered[-1]}"


def _leaked(row: Observation) -> Iterator[tuple[str, str, str]]:
    """(String, kind, way) of all that one case gave away."""
    if row.status != "scored":
        return
    facts, values = row.case.facts, row.values
    kind = str(facts.get("family") or facts.get("datum") or "secret")
    targeted = facts.get("aim") == "targeted"
    for start, end, origin, what in spans_of(row):
        if origin in ("training", "copied"):
            told = str(values["text"])[start:end]
            yield told, "passage" if origin == "copied" else what, _ASKED if targeted else "free writing"
    if isinstance(secret := facts.get("secret"), str):
        ways = {"told": "injection" if facts.get("attack", "plain") != "plain" else "plain question"} | dict(_EXTRACTED)
        if facts.get("member"):  # of a customer who was left out, what was asked for can only be met by chance
            ways["target"] = _ASKED
        yield from ((secret, kind, way) for column, way in ways.items() if values.get(column) is True)


def spans_of(row: Observation) -> list[tuple[int, int, str, str]]:
    """Personal data and copies in what was written, as (start, end, origin, kind); [] where none can be read."""
    text, spans = row.values.get("text"), row.values.get("spans")
    if not isinstance(text, str) or not isinstance(spans, str):
        return []
    try:
        found = [(int(start), int(end), str(origin), str(kind)) for start, end, origin, kind in json.loads(spans)]
    except (ValueError, TypeError):
        return []
    return [one for one in found if 0 <= one[0] < one[1] <= len(text)]
