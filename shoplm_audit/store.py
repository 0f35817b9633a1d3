"""Answers of models, kept by the digest of what shapes them: the cache, the crash-safe resume and the evidence in one.

Store(Path("runs/store.sqlite")).put({"9f2c...": '"A navy kettle."'})
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from shoplm_audit.errors import MachineError

__all__ = ["Store", "digest"]


def digest(*parts: Any) -> str:
    """SHA-256 of plain data, as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """A key-value table in SQLite (WAL): what was put is durable when `put` returns, also after `kill -9`.

    Raises:
        MachineError: the file cannot be opened or written (no such folder, no space, another kind of file).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Answers can hold what a model gave away. SQLite gives its journal the mode that the file has by then.
            path.touch(mode=0o600)
            path.chmod(0o600)
            self._connection = sqlite3.connect(path, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID"
            )
            self._connection.commit()
        except (OSError, sqlite3.Error) as fault:
            raise MachineError(
                f"{path}: cannot be used as a store of answers ({fault}). Name another with --store."
            ) from fault

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """The answers that are there, by key."""
        wanted = list(keys)
        found: dict[str, str] = {}
        try:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                found.update(self._connection.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part))
        except sqlite3.Error as fault:
            raise MachineError(f"{self.path}: cannot be read ({fault}). Name another with --store.") from fault
        return found

    def put(self, answers: Mapping[str, str]) -> None:
        """Writes answers, all or none; what is there already stays as it is."""
        try:
            with self._connection:
                self._connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", answers.items())
        except sqlite3.Error as fault:
            raise MachineError(f"{self.path}: answers cannot be kept ({fault}). Free space, then run again.") from fault

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
