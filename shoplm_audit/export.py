"""Rows to a JSONL file as they come; a run that was cut off goes on where it stopped, and only with the same settings.

    export(Path("texts.jsonl"), {"task": "review", "seed": 0}, blocks, write)

Beside the file lies `texts.jsonl.json`: its settings, and at the end how many rows it holds and how many were withheld.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.writing import Row, Subject

__all__ = ["Counts", "export", "key_of"]


@dataclass(slots=True)
class Counts:
    """What a file holds: rows, those whose text was flagged, those that lack an attribute; `computed` is new."""

    rows: int = 0
    flagged: int = 0
    incomplete: int = 0
    computed: int = 0

    def add(self, row: Mapping[str, object]) -> None:
        """Counts a row."""
        self.rows += 1
        self.flagged += "moderation" in row
        self.incomplete += bool(row.get("missing_attributes"))


def export(
    out: Path,
    settings: Mapping[str, Any],
    blocks: Iterable[Sequence[Subject]],
    write: Callable[[Sequence[Subject]], list[Row]],
    *,
    samples: int = 1,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Counts:
    """Writes the rows of all blocks in order, each block when it is done.

    A block whose rows are all in the file is not computed; one that was cut off is computed whole again, so that its
    texts do not depend on where that happened, and its missing rows are written.

    Args:
        out: the JSONL file.
        settings: plain data, all that decides the rows.
        blocks: what the rows are about.
        write: makes the rows of a block, `samples` for each subject.
        samples: how many rows a subject has.
        on_rows: is told how many rows there are.

    Raises:
        DataError: the file holds rows of other settings, or rows that this program did not write.
        MachineError: it cannot be written; what was written is kept.
    """
    card = out.with_name(f"{out.name}.json")
    counts = Counts()
    try:
        there = _rows_there(out, card, settings, counts)
        if not there:
            _write_card(card, settings, None)
        place = 0
        with out.open("a", encoding="utf-8") as file:
            for block in blocks:
                keys = [(subject.id, sample) for subject in block for sample in range(samples)]
                have = there[place : place + len(keys)]
                if have != keys[: len(have)]:
                    raise DataError(f"{out}: holds rows of other records. Name another file with --out, or delete it.")
                if len(have) < len(keys):
                    fresh = write(block)[len(have) :]
                    file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in fresh))
                    file.flush()
                    os.fsync(file.fileno())
                    for row in fresh:
                        counts.add(row)
                    counts.computed += len(fresh)
                place += len(keys)
                on_rows(place)
        if place < len(there):
            raise DataError(f"{out}: holds more rows than there are. Name another file with --out, or delete it.")
        _write_card(card, settings, counts)
    except OSError as fault:
        raise MachineError(
            f"{out}: cannot be written ({fault.strerror}). What was written is kept: free space or name another file "
            "with --out, then run the same command."
        ) from fault
    return counts


def _rows_there(out: Path, card: Path, settings: Mapping[str, Any], counts: Counts) -> list[tuple[str, int]]:
    """Which rows are in the file, after its half-written last line was taken off."""
    if not out.exists() or not out.stat().st_size:
        return []
    wanted = json.loads(json.dumps(settings))
    try:
        known = json.loads(card.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{out}: exists, and {card.name} does not say how it was made. Name another file with --out, or delete it."
        ) from None
    if known != wanted:
        differ = ", ".join(sorted(name for name in known | wanted if known.get(name) != wanted.get(name)))
        raise DataError(f"{out}: holds texts of other settings ({differ}). Name another file with --out, or delete it.")
    keys = []
    whole = 0
    with out.open("rb+") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                row = json.loads(line)
                keys.append((str(row["id"]), int(row["sample"])))
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    f"{out}:{number}: not a row of this program. Delete the file, or name another."
                ) from None
            counts.add(row)
        file.truncate(whole)
    return keys


def _write_card(card: Path, settings: Mapping[str, Any], counts: Counts | None) -> None:
    data: dict[str, Any] = {"format": 1, "finished": counts is not None, "settings": settings}
    if counts is not None:
        data |= {"rows": counts.rows, "flagged": counts.flagged, "incomplete": counts.incomplete}
    part = card.with_name(f"{card.name}.part")
    part.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(card)


def key_of(path: Path) -> str:
    """The key of watermarks in a file; where there is no file, one is drawn and kept there with mode 0600.

    Raises:
        DataError: the file is empty or cannot be read or made.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(
            f"{path}: cannot be used as the key of a watermark ({fault}). Name a file with a key."
        ) from fault
    if not key:
        raise DataError(f"{path}: holds no key of a watermark. Write one into it, or delete it to have one made.")
    return key
