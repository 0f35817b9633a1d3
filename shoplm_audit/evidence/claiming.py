"""A run's folder belongs to one audit and, while it is at work, to one process.

with claimed(Path("runs/plain-3f2a"), identity) as token: ...     # a second process is refused until this one ends
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoplm_audit.errors import DataError

__all__ = ["claimed"]


@contextmanager
def claimed(folder: Path, identity: str) -> Iterator[str]:
    """Holds the folder for an audit; the token it gives tells runs of unverifiable models apart.

    The lock goes with the process, also by `kill -9`, so none is ever left behind.

    Raises:
        DataError: another process works on the folder, it holds another audit, or its marker cannot be read.
    """
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _locked(lock):
            holder = os.pread(lock, 100, 0).decode(errors="replace").strip() or "unknown"
            raise DataError(
                f"{folder}: another run is at work on it (process {holder}). Wait for it, or name another folder "
                "with --out."
            )
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield _token(folder, identity)
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks here (Windows): two runs at once are then not refused
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _token(folder: Path, identity: str) -> str:
    marker = folder / "run.json"
    if marker.is_file():
        try:
            known = json.loads(marker.read_text(encoding="utf-8"))
            if known["identity"] == identity:
                return str(known["token"])
        except (ValueError, KeyError, TypeError) as fault:
            raise DataError(f"{marker}: cannot be read ({fault}). Name another folder with --out.") from fault
        raise DataError(
            f"{folder}: holds another audit (other model, data, suites or limits). Name another with --out."
        )
    token = uuid.uuid4().hex
    part = folder / ".run.json.part"
    part.write_text(json.dumps({"identity": identity, "token": token}) + "\n", encoding="utf-8")
    part.replace(marker)
    return token
