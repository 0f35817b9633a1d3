"""How the clauses stood when a run was written, and which stand otherwise by newer maps or on a later day.

told_of(result, date(2026, 11, 22))["clauses"]["EU-AI-Act-Art50(2)"] -> {"map": "eu.toml", "state": "evidenced", ...}
notes_on(stored, result, today=date(2027, 3, 1)) -> ['"EU-AI-Act-Art50(2)": evidenced on 2026-11-22, now stale: ...']
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from shoplm_audit.errors import DataError
from shoplm_audit.evidence.clauses import ClauseMap, Standing, load_maps, map_files, outdated, standings
from shoplm_audit.results import Result

__all__ = ["notes_on", "told_of"]


@dataclass(frozen=True, slots=True)
class _Map:
    """A clause map with its file's name and SHA-256."""

    name: str
    sha256: str
    laws: ClauseMap


def _maps(folder: Path | None) -> list[_Map]:
    files = map_files(folder)
    return [
        _Map(file.name, hashlib.sha256(file.read_bytes()).hexdigest(), laws)
        for file, laws in zip(files, load_maps(folder), strict=True)
    ]


def told_of(result: Result, made: date, folder: Path | None = None) -> dict[str, Any]:
    """The maps that a run is judged with and how each clause stands by them, as plain data for the evidence.

    Args:
        result: the run.
        made: its day.
        folder: of the maps; those that come with the program unless given.

    Raises:
        ConfigError: the maps are missing or broken.
    """
    result = Result.model_validate_json(result.model_dump_json())  # as its file holds it: hashes are over that
    maps = _maps(folder)
    return {
        "made": made.isoformat(),
        "maps": {one.name: {"valid_as_of": one.laws.valid_as_of.isoformat(), "sha256": one.sha256} for one in maps},
        "clauses": {
            told.clause.id: {"map": one.name, "state": told.state, "gates": told.hash}
            for one in maps
            for told in standings([one.laws], result, made=made, today=made)
        },
    }


def notes_on(stored: Mapping[str, Any], result: Result, *, today: date, folder: Path | None = None) -> list[str]:
    """Which clauses stand otherwise than when the run was written, and why; maps that are old warn.

    Args:
        stored: what `told_of` gave then; empty for a run of before.
        result: the run, as its file holds it.
        today: the day on which that is asked.
        folder: of the maps; those that come with the program unless given.

    Raises:
        ConfigError: the maps are missing or broken.
        DataError: `stored` is something else.
    """
    maps = _maps(folder)
    old = [f"warning: {line}" for line in outdated([one.laws for one in maps], today)]
    if not stored:
        return ["The run does not say how clauses stood by it: it is of an earlier version.", *old]
    try:
        made, then, files = date.fromisoformat(stored["made"]), dict(stored["clauses"]), dict(stored["maps"])
        changed = [line for one in maps for line in _changed(one, then, files, result, (made, today))]
        gone = [f'"{name}": {told["state"]} on {made}, and in no map now.' for name, told in sorted(then.items())]
    except (KeyError, ValueError, TypeError, AttributeError) as fault:
        raise DataError(f"what it says of clauses cannot be read ({type(fault).__name__}: {fault})") from fault
    count = sum(len(law.clauses) for one in maps for law in one.laws.laws)
    new = sum(line.endswith("not in the maps then.") for line in changed)
    same = f"{count - len(changed)} of {count} clauses stand as on {made}"
    return [f"{same}{f', {new} are new' if new else ''}.", *changed, *gone, *old]


def _changed(
    one: _Map, then: dict[str, Any], files: Mapping[str, Any], result: Result, days: tuple[date, date]
) -> Iterator[str]:
    """A line for each clause of a map that stands otherwise; takes what it finds out of `then`."""
    made, today = days
    fresh = standings([one.laws], result, made=made, today=made)
    for told, unaged in zip(standings([one.laws], result, made=made, today=today), fresh, strict=True):
        name = told.clause.id
        known = next((key for key in (name, *told.clause.aliases) if key in then), None)
        if known is None:
            yield f'"{name}": {told.state} now, not in the maps then.'
            continue
        before = then.pop(known)
        if before["state"] != told.state:
            why = _why(before, told, unaged, files[before["map"]], one)
            yield f'"{name}": {before["state"]} on {made}, now {told.state}: {why}. {told.why}'


def _why(before: Mapping[str, Any], told: Standing, unaged: Standing, file: Mapping[str, Any], one: _Map) -> str:
    if unaged.state == before["state"]:
        return "time has passed"
    if file["sha256"] != one.sha256:
        return f"the map changed (as of {one.laws.valid_as_of}, then {file['valid_as_of']})"
    return "its gates differ" if before["gates"] != told.hash else "this program judges otherwise"
