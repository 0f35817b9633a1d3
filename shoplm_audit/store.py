"""Answers of models, kept by the digest of what shapes them: the cache, the crash-safe resume and the evidence in one.

Store(Path("runs/store.sqlite")).put({"weights": "sha256:6b1f"}, [Kept("9f2c", "77ab", "", '["A navy kettle."]')])
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from shoplm_audit.errors import DataError, MachineError

__all__ = ["Akin", "Kept", "Store", "digest"]

_PATIENCE = 30.0  # seconds that another process may take to write
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identities (identity TEXT PRIMARY KEY, parts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, request TEXT, batch TEXT, identity TEXT, reply TEXT)
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replies_by_request ON replies (request);
"""


def digest(*parts: Any) -> str:
    """SHA-256 of plain data, as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer: its key, the digests of the request and of the batch that it was computed in, and the reply."""

    key: str
    request: str
    batch: str
    reply: str


@dataclass(frozen=True, slots=True)
class Akin:
    """What shaped another answer to the same request, by name, and the digest of its batch."""

    identity: Mapping[str, str]
    batch: str


class _NoStore(Exception):
    """What lies there is something else."""


class Store:
    """A key-value table in SQLite (WAL): what was put is durable when `put` returns, also after `kill -9`.

    Several processes can use one store at once. Beside each answer stands what shaped it, so that `akin` can tell why
    a request was not found.

    Raises:
        DataError: another kind of file.
        MachineError: the file cannot be opened or written (no such folder, no space).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise _NoStore("it is no file")
            # Answers can hold what a model gave away. SQLite gives its journal the mode that the file has by then.
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=_PATIENCE)
            self._check_kind()
            self._write_ahead()
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except (_NoStore, sqlite3.DatabaseError) as fault:
            if isinstance(fault, sqlite3.OperationalError):
                raise MachineError(f"{path}: cannot be used as a store of answers ({fault}). Free space?") from fault
            raise DataError(f"{path}: no store of answers ({fault}). Name another with --store.") from fault
        except OSError as fault:
            raise MachineError(
                f"{path}: cannot be used as a store of answers ({fault}). Name another with --store."
            ) from fault

    def _check_kind(self) -> None:
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not tables & {"replies", "answers"}:  # "answers" is what the first stores held
            raise _NoStore("it is another program's database")

    def _write_ahead(self) -> None:
        # SQLite waits for every other lock, but not always for this switch, when a new file is opened by several.
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as fault:
                if "locked" not in str(fault) or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """The replies that are there, by key; a damaged one is not."""
        wanted = list(keys)
        found: dict[str, str] = {}
        try:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                whole = f"SELECT key, reply FROM replies WHERE key IN ({marks}) AND json_valid(reply)"
                found.update(self._connection.execute(whole, part))
        except sqlite3.Error as fault:
            raise self._unreadable(fault) from fault
        return found

    def put(self, identity: Mapping[str, str], kept: Iterable[Kept]) -> None:
        """Writes answers of one identity, all or none; what is there already and whole stays as it is."""
        name = digest(dict(identity))
        rows = [(one.key, one.request, one.batch, name, one.reply) for one in kept]
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT OR IGNORE INTO identities VALUES (?, ?)", (name, json.dumps(dict(identity)))
                )
                self._connection.executemany(
                    "INSERT INTO replies VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET reply = excluded.reply WHERE NOT json_valid(reply)",
                    rows,
                )
        except sqlite3.Error as fault:
            raise MachineError(f"{self.path}: answers cannot be kept ({fault}). Free space, then run again.") from fault

    def akin(self, request: str) -> list[Akin]:
        """What shaped the answers to a request that the store holds, whoever gave them."""
        query = "SELECT parts, batch FROM replies JOIN identities USING (identity) WHERE request = ?"
        try:
            return [Akin(json.loads(parts), batch) for parts, batch in self._connection.execute(query, (request,))]
        except (sqlite3.Error, ValueError) as fault:
            raise self._unreadable(fault) from fault

    def _unreadable(self, fault: Exception) -> MachineError:
        return MachineError(f"{self.path}: cannot be read ({fault}). Move it away or name another with --store.")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
