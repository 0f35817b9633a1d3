"""What was seen is read again off the stored answers: each probe is driven by them, and no model is asked.

replayed("bias/refund", probe, recast, rows, exchanges).differences -> [Difference("evidence.sqlite", "...")]
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ConfigError, DataError, Unsupported
from shoplm_audit.evidence.files import EVIDENCE, plain_case, plain_json, plain_request, rows_of
from shoplm_audit.evidence.recasting import RECORD, Recast, same_case
from shoplm_audit.models.remembered import decode_scores
from shoplm_audit.types import Case, Observation, Observing, Probe, Request

__all__ = ["Difference", "Replay", "Stored", "alike", "exchanges_of", "replayed", "shown"]

_ALIKE = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what it should be: in which file, where in it, what stands there and what was found."""

    file: str
    where: str
    stored: str = ""
    recomputed: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A request and its answer as the evidence holds them, both JSON."""

    request: str
    answer: str


@dataclass(slots=True)
class Replay:
    """What came of driving a probe again.

    Attributes:
        again: how many rows were recomputed and are the stored ones.
        kept: rows whose values stay as stored, since reading them takes what no evidence holds: the tools of the case
            as it is made again (a watermark's finder), or the model's training record.
        unread: rows whose values stay as stored for no such reason.
        errored: rows of which no answer came, so that there is nothing to compute.
    """

    again: int = 0
    kept: int = 0
    unread: int = 0
    errored: int = 0
    differences: list[Difference] = field(default_factory=list)


class _Other(Exception):
    """The stored exchanges are not those that the probe asks for."""


def exchanges_of(folder: Path) -> dict[tuple[str, str], dict[str, list[Stored]]]:
    """The stored exchanges by (suite, probe) and case, in the order in which they were asked.

    Raises:
        DataError: the evidence is damaged.
    """
    found: dict[tuple[str, str], dict[str, list[Stored]]] = {}
    query = 'SELECT suite, probe, "case", number, request, answer FROM exchanges ORDER BY suite, probe, "case", number'
    try:
        for suite, probe, case, number, request, answer in rows_of(folder, query):
            asked = found.setdefault((suite, probe), {}).setdefault(case, [])
            if number != len(asked):
                raise DataError(f'{folder / EVIDENCE}: case "{case}" of {suite}/{probe} lacks exchange {len(asked)}.')
            asked.append(Stored(str(request), str(answer)))
    except sqlite3.Error as fault:
        raise DataError(f"{folder / EVIDENCE}: cannot be read ({fault}).") from fault
    return found


def replayed(
    key: str,
    probe: Probe,
    recast: Recast,
    rows: Sequence[Observation],
    exchanges: Mapping[str, Sequence[Stored]],
) -> Replay:
    """Reads every case of a probe again off its stored answers.

    Args:
        key: "suite/probe", for messages.
        probe: of the suite as it is now.
        recast: its cases, made again; where something was lacking to make them, the stored ones are read.
        rows: what the evidence says was seen.
        exchanges: by case, what it says was asked and answered.
    """
    told = Replay()
    cases = {_stored_id(row.case.id) for row in rows}
    told.differences += [
        Difference(EVIDENCE, f"{key}, case {case!r}: exchanges of a case that has no observation")
        for case in exchanges
        if case not in cases
    ]
    for row in rows:
        made = recast.cases.get(row.case.id)
        where, sealed = f"{key}, case {row.case.id!r}", False
        try:
            again = _again(probe, _readable(row.case, made), row, exchanges.get(_stored_id(row.case.id), ()))
            if again is None:
                told.errored += 1
                continue
            unlike = _unlike(row, again, where)
        except Exception as fault:  # forged answers can make any code of a suite stumble
            what = str(fault) if isinstance(fault, _Other) else f"{type(fault).__name__}: {fault}"
            unlike = [Difference(EVIDENCE, f"{where}: cannot be read again: {what}")]
            sealed = isinstance(fault, ConfigError) and RECORD in recast.lacking and not row.case.tools
        if not unlike:
            told.again += 1
        elif not recast.lacking:
            told.differences += unlike
        elif sealed or (row.case.tools and made is not None and set(made.tools) == set(row.case.tools)):
            told.kept += 1
        else:
            told.unread += 1
    return told


def _readable(stored: Case, made: Case | None) -> Case:
    """The stored case with the objects of the one that was made again, where they are what is stored."""
    if made is None or same_case(made, stored):
        return made or stored
    plain, told = plain_case(made)["facts"], plain_case(stored)["facts"]
    same = {name for name in set(plain) & set(told) if plain_json(plain[name]) == plain_json(told[name])}
    facts = {name: made.facts[name] if name in same else value for name, value in stored.facts.items()}
    return replace(stored, facts=facts)


def _stored_id(case: str) -> str:
    return case.encode("utf-8", "backslashreplace").decode()


def _again(probe: Probe, case: Case, row: Observation, stored: Sequence[Stored]) -> Observation | None:
    """What a case shows by its stored answers; None where the next answer never came."""
    given = [_answer(json.loads(one.answer)) for one in stored]  # before the loop, where a ValueError is the probe's
    steps = probe.observe(case)
    number, last = 0, ""
    try:
        asks = next(steps)
        while True:
            requests: list[Request] = asks if isinstance(asks, list) else [asks]
            end = number + len(requests)
            if [one.request for one in stored[number:end]] == [plain_request(one) for one in requests]:
                answers, number = given[number:end], end
                last = next((one for one in reversed(answers) if isinstance(one, str)), last)
                asks = steps.send(answers if isinstance(asks, list) else answers[0])
            elif row.status == "errored" and number == len(stored):
                return None if not row.values else Observation(case, {}, "errored", row.note)
            else:
                asks = _unable(steps, number)
    except StopIteration as end:
        again = Observation(case, json.loads(plain_json(dict(end.value))))
    except ValueError as fault:
        again = Observation(case, {"text": last}, "unparsed", str(fault))
    if number < len(stored):
        raise _Other(f"{len(stored) - number} stored exchanges are never asked for")
    return again


def _unable(steps: Observing, number: int) -> Request | list[Request]:
    """What a probe asks instead, if the model could not do what it asked first."""
    try:
        return steps.throw(Unsupported("told by the evidence, which has no answer to this"))
    except Unsupported:
        raise _Other(f"request {number} is not the stored one") from None


def _answer(data: Any) -> Any:
    return decode_scores(data) if isinstance(data, dict) else data


def _unlike(row: Observation, again: Observation, where: str) -> list[Difference]:
    pairs: dict[str, tuple[Any, Any]] = {"status": (row.status, again.status), "note": (row.note, again.note)}
    names = sorted(set(row.values) | set(again.values))
    pairs |= {f"value {name!r}": (row.values.get(name, "absent"), again.values.get(name, "absent")) for name in names}
    return [
        Difference(EVIDENCE, f"{where}: {name}", shown(stored), shown(found))
        for name, (stored, found) in pairs.items()
        if not alike(stored, found)
    ]


def alike(first: Any, second: Any) -> bool:
    """Whether two plain values are the same, numbers to nine digits; undefined is undefined."""
    if isinstance(first, bool) or isinstance(second, bool) or not isinstance(first, int | float):
        return type(first) is type(second) and bool(first == second)
    if not isinstance(second, int | float):
        return False
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return math.isclose(first, second, rel_tol=_ALIKE, abs_tol=_ALIKE)


def shown(value: Any) -> str:
    """A value as a message shows it: whole where it is short."""
    text = value if isinstance(value, str) else plain_json(value)
    return text if len(text) <= 120 else f"{text[:120]}… ({len(text)} characters)"
