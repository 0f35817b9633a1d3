"""A run's folder belongs to one audit and, while it is at work, to one process.

with claimed(Path("runs/plain-3f2a"), identity) as token: ...     # a second process is refused until this one ends
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.locks import taken

__all__ = ["claimed", "held"]

_MARKER = "run.json"


@contextmanager
def claimed(folder: Path, identity: str) -> Iterator[str]:
    """Holds the folder for an audit; the token it gives tells runs of unverifiable models apart.

    The lock goes with the process, also by `kill -9`, so none is ever left behind.

    Raises:
        DataError: another process works on the folder, it holds another audit, or its marker cannot be read.
        MachineError: the disk is full.
    """
    with held(folder):
        yield _token(folder, identity) or _begun(folder, identity)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing in a folder.

    Raises:
        DataError: another one holds it.
    """
    with ExitStack() as stack:
        if sys.platform != "win32" and not _locked(folder, stack):
            raise DataError(f"{folder}: another run is at work on it. Wait for it, or name another folder with --out.")
        yield


def _locked(folder: Path, stack: ExitStack) -> bool:
    """Whether the folder could be locked until the stack is left; the folder itself, so that no file is left in it."""
    lock = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, lock)
    return taken(lock)


def _token(folder: Path, identity: str) -> str:
    """The token of this audit's run in the folder, or "" where nothing was begun."""
    marker = folder / _MARKER
    if marker.is_file():
        try:
            known = json.loads(marker.read_text(encoding="utf-8"))
            if known["identity"] == identity:
                return str(known["token"])
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise DataError(f"{marker}: cannot be read ({fault}). Name another folder with --out.") from fault
        raise DataError(
            f"{folder}: holds another audit (other model, data, suites or limits). Name another with --out."
        )
    return ""


def _begun(folder: Path, identity: str) -> str:
    token = uuid.uuid4().hex
    part = folder / f".{_MARKER}.part"
    try:
        part.write_text(json.dumps({"identity": identity, "token": token}) + "\n", encoding="utf-8")
        part.replace(folder / _MARKER)
    except OSError as fault:
        raise MachineError(f"{folder}: cannot be marked as this run's ({fault.strerror}). Free space.") from fault
    return token
