"""The files of a run: `result.json`, `evidence.sqlite` with every request, answer and score.

write_run(Path("runs/plain-3f2a"), audited, keeper.exchanges, {"suites": ["privacy"]}, keeper.basis)
load_run(Path("runs/plain-3f2a")).verdict
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from shoplm_audit.engine import Basis, version
from shoplm_audit.errors import ConfigError, DataError, MachineError
from shoplm_audit.evidence.basis import basis_json, code_of
from shoplm_audit.evidence.manifest import MANIFEST, write_manifest
from shoplm_audit.evidence.rejudging import told_of
from shoplm_audit.models.remembered import encode_scores
from shoplm_audit.probes.driving import Exchange
from shoplm_audit.results import AuditResult, Result
from shoplm_audit.suites import load_suite, suite_names
from shoplm_audit.types import Case, Observation, Observations, Prompt, Request, Score, Suite, TokenScores, Turn

__all__ = [
    "EVIDENCE",
    "MANIFEST",
    "RESULT",
    "check_writable",
    "load_run",
    "meta_of",
    "plain_case",
    "plain_json",
    "plain_request",
    "rows_of",
    "suites_for",
    "write_manifest",
    "write_run",
]

RESULT, EVIDENCE = "result.json", "evidence.sqlite"
_REMEDY = "Run the audit again: what was answered is taken from the store."

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE observations (
  suite TEXT, probe TEXT, position INTEGER, "case" TEXT, status TEXT, note TEXT, facts TEXT, "values" TEXT,
  PRIMARY KEY (suite, probe, position)) WITHOUT ROWID;
CREATE TABLE exchanges (
  suite TEXT, probe TEXT, "case" TEXT, number INTEGER, kind TEXT, request TEXT, answer TEXT,
  PRIMARY KEY (suite, probe, "case", number)) WITHOUT ROWID;
"""


def check_writable(folder: Path) -> None:
    """Makes the folder of a run and tries to write in it, before anything expensive starts.

    Raises:
        DataError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / ".writable"
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as fault:
        raise DataError(f"{folder}: cannot be written ({fault.strerror}). Name another folder with --out.") from fault


def plain_json(data: Any) -> str:
    """Values, facts and requests as the evidence holds them."""
    return json.dumps(data, ensure_ascii=True, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):  # in an order that the next process has too
        return sorted(value, key=str)
    return value.item() if isinstance(value, np.generic) else str(value)


def _text(text: str) -> str:
    """Without lone surrogates, which a recorded answer can hold and SQLite cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def write_run(
    folder: Path,
    audited: AuditResult,
    exchanges: Mapping[tuple[str, str], Sequence[Exchange]],
    meta: Mapping[str, Any],
    basis: Basis | None = None,
) -> None:
    """Writes the result and the evidence it rests on; both are complete or not there at all.

    Args:
        folder: of the run.
        audited: the result with its observations.
        exchanges: what was asked and answered, by (suite, probe).
        meta: what else the evidence says of its run; "suites" names them, "today" is its day (else it is today).
        basis: what the numbers rest on beside the observations; without it nobody can compute them again.

    Raises:
        MachineError: the disk is full or the folder has gone.
    """
    if basis is not None:
        code = code_of([str(name) for name in meta.get("suites", ())])
        meta = {**meta, "basis": basis_json(basis), "code": code, "version": version()}
        made = date.fromisoformat(meta["today"]) if "today" in meta else date.today()
        with suppress(ConfigError):  # without maps a run is a run still; `verify` says that it has none
            meta["clauses"] = told_of(audited.result, made)
    fresh, part = folder / f"{EVIDENCE}.part", folder / f"{RESULT}.part"
    try:
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(fresh)) as connection, connection:
            connection.executescript(_SCHEMA)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", [(k, plain_json(v)) for k, v in meta.items()])
            connection.executemany("INSERT INTO observations VALUES (?,?,?,?,?,?,?,?)", _observation_rows(audited))
            connection.executemany("INSERT INTO exchanges VALUES (?,?,?,?,?,?,?)", _exchange_rows(exchanges))
        part.write_text(audited.result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (folder / RESULT).unlink(missing_ok=True)  # never the result of one run beside the evidence of another
        fresh.replace(folder / EVIDENCE)
        part.replace(folder / RESULT)
    except (OSError, sqlite3.Error) as fault:
        raise MachineError(
            f"{folder}: the run cannot be written ({fault}). Free space, then run the same command."
        ) from fault


def plain_case(case: Case) -> dict[str, Any]:
    """A case as the evidence holds it."""
    told = asdict(replace(case, tools={}))
    told["tools"] = sorted(case.tools)  # their names alone: with what the answer was read
    return told


def _observation_rows(audited: AuditResult) -> list[tuple[Any, ...]]:
    return [
        (
            *(suite, probe, position, _text(row.case.id), row.status, _text(row.note)),
            *(plain_json(plain_case(row.case)), plain_json(dict(row.values))),
        )
        for (suite, probe), observations in audited.observations.items()
        for position, row in enumerate(observations)
    ]


def _exchange_rows(exchanges: Mapping[tuple[str, str], Sequence[Exchange]]) -> list[tuple[Any, ...]]:
    return [
        (suite, probe, _text(one.case), one.number, *_plain_exchange(one))
        for (suite, probe), rows in exchanges.items()
        for one in rows
    ]


def _plain_exchange(one: Exchange) -> tuple[str, str, str]:
    """The kind of a request, the request and its answer, as the evidence holds them."""
    answer = encode_scores(one.answer) if isinstance(one.answer, TokenScores) else one.answer
    return type(one.request).__name__.lower(), plain_request(one.request), plain_json(answer)


def plain_request(request: Request) -> str:
    """A request as the evidence holds it; the key of a watermark is its owner's alone."""
    told = asdict(request)
    if isinstance(request, Score):
        told["columns"] = request.columns.value
    elif request.sampling.mark:
        told["sampling"]["mark"]["key"] = ""
    return plain_json(told)


def load_run(folder: Path) -> AuditResult:
    """A finished run from its files.

    Raises:
        DataError: no run, an unfinished one, or files that were changed into something else.
    """
    if not (folder / RESULT).is_file() or not (folder / EVIDENCE).is_file():
        raise DataError(f"{folder}: no finished run (no {RESULT} and {EVIDENCE}). Name the folder that `run` printed.")
    observations: dict[tuple[str, str], list[Observation]] = {}
    try:
        result = Result.model_validate_json((folder / RESULT).read_text(encoding="utf-8"))
        rows = rows_of(
            folder,
            'SELECT suite, probe, status, note, facts, "values" FROM observations ORDER BY suite, probe, position',
        )
        for suite, probe, status, note, case, values in rows:
            found = Observation(_case(case), json.loads(values), status, note)
            observations.setdefault((suite, probe), []).append(found)
    except ValidationError as fault:
        first = fault.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        raise DataError(f"{folder / RESULT}: not the result of a run: {what}. {_REMEDY}") from fault
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, sqlite3.Error) as fault:
        raise DataError(f"{folder}: its files cannot be read as a run ({fault}). {_REMEDY}") from fault
    return AuditResult(result, {key: Observations(tuple(found)) for key, found in observations.items()})


def rows_of(folder: Path, query: str) -> list[Any]:
    """What a query finds in the evidence of a run.

    Raises:
        sqlite3.Error: it is damaged.
    """
    # As an address, so that a "#" or "?" in the folder's name is not read as part of one.
    address = f"{(folder / EVIDENCE).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return connection.execute(query).fetchall()


def _case(text: str) -> Case:
    data = json.loads(text)
    tools = dict.fromkeys(data.pop("tools", ()))  # the objects themselves are no part of the evidence
    prompt = data.pop("prompt")
    words = prompt["text"] if isinstance(prompt["text"], str) else tuple(Turn(**turn) for turn in prompt["text"])
    return Case(**data, prompt=Prompt(words, prompt["system"]), tools=tools)


def meta_of(folder: Path) -> dict[str, Any]:
    """What else the evidence says of its run (the suites' folders, the command).

    Raises:
        DataError: the evidence is damaged.
    """
    try:
        return {key: json.loads(value) for key, value in rows_of(folder, "SELECT key, value FROM meta")}
    except (ValueError, RecursionError, sqlite3.Error) as fault:
        raise DataError(f"{folder / EVIDENCE}: cannot be read ({fault}). {_REMEDY}") from fault


def suites_for(meta: Mapping[str, Any], own: Sequence[str | Path] = ()) -> dict[str, Suite]:
    """The suites of a run by name, as far as their code may be run.

    Args:
        meta: of the run. Only built-in suites are loaded by it: whoever made the evidence chose the names in it.
        own: folders that the user names.

    Raises:
        ConfigError: a folder of `own` holds no suite.
    """
    named = meta.get("suites")
    built_in = [name for name in suite_names() if isinstance(named, list) and name in named]
    return {suite.name: suite for suite in map(load_suite, [*built_in, *own])}
