"""A schema that was written by hand: patterns for each value of each attribute, as `schemas/e2e.toml` has them.

Written("e2e").read("A cheap pub by the river.", {"area": "city centre"}).findings[2].why
-> 'record says area "city centre"'
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from shoplm_audit.scoring.slots import Reading, SchemaFinding, Verdict
from shoplm_audit.scoring.words import plain

__all__ = ["Written"]

_THIS = re.compile(r"\b(?:this|that|these|the|its|their) (?:\w+ )?$")


class Written:
    """Reads texts by a table of `schemas/`; the longer of two overlapping wordings counts."""

    def __init__(self, name: str) -> None:
        read = tomllib.loads(files("shoplm_audit.scoring").joinpath(f"schemas/{name}.toml").read_text(encoding="utf-8"))
        macros: dict[str, str] = {}
        for macro, pattern in read["words"].items():
            macros[macro] = f"(?:{_expanded(pattern, macros)})"
        self._names = {_key(attribute): attribute for attribute in read["slots"]}
        self._values: dict[str, dict[str, str]] = {}
        self._patterns: list[tuple[str, str, re.Pattern[str]]] = []
        for attribute, values in read["slots"].items():
            self._values[attribute] = {_key(value): value for value in values}
            for value, patterns in values.items():
                for pattern in patterns:
                    whole = rf"(?<![a-z0-9])(?:{_expanded(pattern, macros)})(?![a-z0-9])"
                    self._patterns.append((attribute, value, re.compile(whole)))
        for attribute, values in read["names"].items():
            self._values[attribute] |= {_key(value): value for value in values}
            self._patterns += [(attribute, value, _literal(value)) for value in values]
        self._subject = "name" if "name" in read["names"] else ""

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of the schema, as the table spells them."""
        return tuple(self._names.values())

    def fits(self, names: frozenset[str]) -> bool:
        """Whether these attribute names are the schema's: all but one in five of them."""
        known = sum(_key(name) in self._names for name in names)
        return len(names) > 1 and known >= 0.8 * len(names)

    def record(self, facts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """The slots of a record; "high, moderate" is two values, an unknown value stands as it is."""
        found: dict[str, tuple[str, ...]] = {}
        for name, value in facts.items():
            attribute = self._names.get(_key(name))
            if attribute and value.strip():
                known, parts = self._values[attribute], value.split(", ")
                several = _key(value) not in known and all(_key(part) in known for part in parts)
                found[attribute] = tuple(known.get(_key(each), each) for each in (parts if several else [value]))
        return found

    def read(self, text: str, facts: Mapping[str, str], title: str = "") -> Reading:
        """What the text states of each attribute, held against the record."""
        record, low = self.record(facts), plain(text)
        unknown = [
            (attribute, value, _literal(value))
            for attribute, values in record.items()
            for value in values
            if _key(value) not in self._values[attribute]
        ]
        said: dict[tuple[int, int, str], list[str]] = {}
        for attribute, value, pattern in [*self._patterns, *unknown]:
            for match in pattern.finditer(low):
                said.setdefault((match.start(), match.end(), attribute), []).append(value)
        findings: list[SchemaFinding] = []
        for start, end, attribute in sorted(said, key=lambda span: (span[0] - span[1], span[0])):
            if any(
                (other.start <= start and end <= other.end and end - start < other.end - other.start)
                or (other.attribute == attribute and start < other.end and other.start < end)
                for other in findings
            ):
                continue
            known, values = record.get(attribute, ()), said[start, end, attribute]
            value = next((each for each in values if each in known), values[0])
            shown = f'record says {attribute} "{", ".join(known)}"' if known else f"record has no {attribute}"
            verdict: Verdict = "supported" if value in known else "contradicted" if known else "unsupported"
            findings.append(SchemaFinding(start, end, attribute, text[start:end], verdict, shown, value))
        findings.sort(key=lambda each: each.start)
        # "This pub" takes up what was said, and a name stands for its bearer: neither is said a second time.
        stated: dict[str, list[str]] = {}
        for each in findings:
            values = stated.setdefault(each.attribute, [])
            again = each.attribute == self._subject or _THIS.search(low, 0, each.start)
            if not (again and each.value in values):
                values.append(each.value)
        return Reading(record, {name: tuple(values) for name, values in stated.items()}, tuple(findings))


def _expanded(pattern: str, macros: Mapping[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda match: macros[match[1]], pattern)


@cache
def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", plain(name))


@cache
def _literal(value: str) -> re.Pattern[str]:
    body = re.escape(plain(value).removeprefix("the ")).replace(r"\ ", "[- ]+")
    return re.compile(rf"(?<![a-z0-9])(?:the )?{body}(?![a-z0-9])")
