"""Which clause of which law a run is evidence for, and how it stands: dated maps in `reports/clauses/*.toml`.

standings(load_maps(), result, made=date(2026, 11, 20), today=date(2026, 11, 22))[1]
    -> Standing(clause=Clause(id="EU-AI-Act-Art50(2)", ...), state="evidenced", gates=(...), hash="4f1c...", age=2, ...)

A standing says what was measured. Whether a law is kept is for a person to conclude.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from shoplm_audit.errors import ConfigError
from shoplm_audit.results import EstimateResult, GateResult, Result, SuiteResult

__all__ = [
    "MAP_DAYS",
    "RUN_DAYS",
    "Clause",
    "ClauseMap",
    "Fact",
    "Law",
    "Proof",
    "Standing",
    "State",
    "load_maps",
    "map_files",
    "outdated",
    "standings",
]

RUN_DAYS = 90  # a run older than this says little of what is deployed now
MAP_DAYS = 180  # in 2026 alone four dates of these laws moved within half a year

State: TypeAlias = Literal["evidenced", "weak", "stale", "not testable here", "for a person"]
Language: TypeAlias = Literal["en", "zh"]
_CHECK = {"en": " (to be checked)", "zh": "（待核实）"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(_Strict):
    """A sentence of ours in both languages."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        """The sentence in a language."""
        return self.zh if language == "zh" else self.en


class Fact(Words):
    """What a law says or since when, with where that was read.

    `tag`: F the public source itself, C computed, S a secondary summary, M memory. S and M are not facts to rely on.
    """

    tag: Literal["F", "C", "S", "M"]

    def of(self, language: Language) -> str:
        """The sentence, marked "to be checked" where it was not read in the source itself."""
        said = super().of(language)
        return said + _CHECK[language] if self.tag in "SM" else said


class Clause(_Strict):
    """One clause: what it asks in our words, since when, which gates are evidence, what stays for people.

    `gates` are patterns of gate ids ("privacy.*") beside the gates that name the clause themselves. `testable` is
    "person" where no measurement can answer; where it is false, `reason` says why.
    """

    id: str
    aliases: list[str] = []
    title: Words
    asks: Fact
    status: Fact
    facts: list[Fact] = []
    gates: list[str] = []
    human: list[Words] = []
    testable: bool | Literal["person"]
    reason: Words | None = None

    def has(self, gate: GateResult) -> bool:
        """Whether a gate is evidence for this clause."""
        named = not {self.id, *self.aliases}.isdisjoint(gate.clauses)
        return named or any(fnmatchcase(gate.id, pattern) for pattern in self.gates)


class Law(_Strict):
    """A law or standard and the clauses of it that a shop's language model touches."""

    id: str
    title: Words
    clauses: list[Clause]


class ClauseMap(_Strict):
    """One file of the maps: the laws of a place as they stood on a day."""

    valid_as_of: date
    laws: list[Law]


@dataclass(frozen=True, slots=True)
class Proof:
    """A gate that is evidence, with what it was judged on and the hash of both."""

    suite: SuiteResult
    gate: GateResult
    estimate: EstimateResult | None
    hash: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a clause stands by one run.

    Attributes:
        clause: the clause.
        state: "evidenced" only where every gate of it passed with an interval, in a recent run under a recent map.
        gates: the gates that are evidence, those that matter most first.
        hash: SHA-256 over their canonical JSON, shortened; "" without gates.
        age: days since the run.
        why: one sentence for the state.
    """

    clause: Clause
    state: State
    gates: tuple[Proof, ...]
    hash: str
    age: int
    why: str


def load_maps(folder: Path | None = None) -> list[ClauseMap]:
    """The clause maps of a folder, by default those that come with the program.

    Raises:
        ConfigError: there are none, one cannot be read, or a clause stands in two places.
    """
    maps, seen = [], dict[str, str]()
    for file in map_files(folder):
        maps.append(_read(file))
        for clause in (clause for law in maps[-1].laws for clause in law.clauses):
            for name in (clause.id, *clause.aliases):
                if name in seen:
                    raise ConfigError(f'{file.name}: clause "{name}" is in {seen[name]} already. Keep one of them.')
                seen[name] = file.name
    return maps


def map_files(folder: Path | None = None) -> list[Path]:
    """The files of the maps that `load_maps` reads, in its order.

    Raises:
        ConfigError: there are none.
    """
    where = _folder() if folder is None else folder
    files = sorted(where.glob("*.toml"))
    if not files:
        raise ConfigError(f'"{where}": no clause maps (*.toml) lie there.')
    return files


def _read(file: Path) -> ClauseMap:
    try:
        return ClauseMap.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as fault:
        first = fault.errors()[0]
        raise ConfigError(f"{file.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from fault
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{file.name}: cannot be read as a clause map ({fault}).") from fault


def _folder() -> Path:
    package = Path(__file__).parents[1]
    for folder in (package.parent / "reports" / "clauses", package / "_report_clauses"):
        if folder.is_dir():
            return folder
    raise ConfigError("The clause maps are missing beside the package: install shoplm-audit again.")


def outdated(maps: Sequence[ClauseMap], today: date, language: Language = "en") -> list[str]:
    """A warning for each map that is older than `MAP_DAYS`, with the laws in it."""
    return [
        _OLD.of(language).format(
            laws=("；" if language == "zh" else "; ").join(law.title.of(language) for law in one.laws),
            day=f"{(day := one.valid_as_of).year}年{day.month}月{day.day}日"
            if language == "zh"
            else one.valid_as_of.isoformat(),
            age=age,
        )
        for one in maps
        if (age := (today - one.valid_as_of).days) > MAP_DAYS
    ]


_OLD = Words(
    en="This clause map is as of {day}, {age} days ago: have it checked against the law as it stands ({laws}).",
    zh="该条款表截至{day}，已过 {age} 天：请对照现行法律核对（{laws}）。",
)


def standings(maps: Sequence[ClauseMap], result: Result, *, made: date, today: date) -> list[Standing]:
    """How each clause of the maps stands by a run, in the order of the maps.

    Args:
        maps: the clause maps; a newer one judges an old run again.
        result: the run.
        made: the day of the run.
        today: the day on which the standing is told.
    """
    age = (today - made).days
    return [
        _standing(clause, result, age, (today - one.valid_as_of).days)
        for one in maps
        for law in one.laws
        for clause in law.clauses
    ]


def _standing(clause: Clause, result: Result, age: int, map_age: int) -> Standing:
    found = [
        Proof(suite, gate, estimate, _digest(gate, estimate))
        for suite in result.suites
        for gate in suite.gates
        if clause.has(gate)
        for estimate in [_estimate(suite, gate)]
    ]
    found.sort(key=lambda one: (_ORDER.index(str(one.gate.verdict)), one.gate.id))
    hashed = hashlib.sha256("".join(one.hash for one in found).encode()).hexdigest()[:16] if found else ""
    state, why = _judged(clause, found, age, map_age)
    return Standing(clause, state, tuple(found), hashed, age, why)


_ORDER = ("fail", "undecided", "not_tested", "pass", "not_applicable")


def _judged(clause: Clause, found: Sequence[Proof], age: int, map_age: int) -> tuple[State, str]:
    if clause.testable == "person":
        return "for a person", "No measurement answers this; a person has to."
    if clause.testable is False:
        return "not testable here", clause.reason.en if clause.reason else "This program has no test for it."
    scope = [one for one in found if str(one.gate.verdict) != "not_applicable"]
    if found and not scope:
        return "not testable here", "Its gates do not apply to this model."
    if not scope:
        return "weak", "Not tested: no gate of this run is evidence for it."
    if bad := [one for one in scope if str(one.gate.verdict) == "fail"]:
        return "weak", f"Speaks against it: {len(bad)} of {len(scope)} gates failed."
    if open_ := [one for one in scope if str(one.gate.verdict) != "pass"]:
        return "weak", f"{len(open_)} of {len(scope)} gates are undecided or were not tested."
    if any(one.gate.waived_by for one in scope):
        return "weak", "A gate of it is waived."
    if any(not _bounded(one.estimate) for one in scope):
        return "weak", "A gate of it passed without an interval."
    if old := _old(age, map_age):
        return "stale", old
    if len(scope) < len(found):
        return (
            "evidenced",
            f"{len(scope)} of {len(found)} gates apply to this model; what applies passed on these cases.",
        )
    return "evidenced", f"All of its gates ({len(scope)}) passed on these cases, each by its whole interval."


def _old(age: int, map_age: int) -> str:
    if age < 0:
        return "The run is dated in the future."
    if age > RUN_DAYS:
        return f"The run is {age} days old, more than {RUN_DAYS}."
    return f"The clause map is {map_age} days old, more than {MAP_DAYS}." if map_age > MAP_DAYS else ""


def _bounded(estimate: EstimateResult | None) -> bool:
    return estimate is not None and any(b is not None and math.isfinite(b) for b in (estimate.low, estimate.high))


def _estimate(suite: SuiteResult, gate: GateResult) -> EstimateResult | None:
    return next((one for one in suite.estimates if one.metric == gate.metric and one.slice == gate.slice), None)


def _digest(gate: GateResult, estimate: EstimateResult | None) -> str:
    parts = [gate.model_dump(), estimate.model_dump() if estimate else None]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:12]
