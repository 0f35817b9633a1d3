"""Scores of more texts than memory holds: they are drawn, scored and written block by block.

    for reply in scored(model, (Pair("", text_of(record)) for record in read_records("reviews", path))): ...

A file of scores begins with a line that says what they are of; then comes a line for each record:
{"row": 1, "id": "r1", "bytes": 9, "tokens": 3, "log_prob": -7.5, "nats_per_token": 2.5}
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from shoplm_audit.data.records import Product, Record, Review
from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.models.asking import Failed, attempted
from shoplm_audit.training.corpus import examples_of
from shoplm_audit.types import LOG_PROB, Columns, Model, Pair, TokenScores

__all__ = ["BLOCK", "Totals", "score_file", "scored", "text_of"]

BLOCK = 1024  # pairs that are in memory at once: batches are formed among them, so it is part of what shapes a score

_OTHER = "Name another file with --out, or delete it."


@dataclass(slots=True)
class Totals:
    """What a file of scores adds up to; a text that could not be scored counts only in `rows` and `failed`."""

    rows: int = 0
    failed: int = 0
    tokens: int = 0
    bytes: int = 0
    log_prob: float = 0.0
    computed: int = 0

    @property
    def nats_per_token(self) -> float:
        """What a token costs, minus its mean log-probability; nan where there is none."""
        return -self.log_prob / self.tokens if self.tokens else math.nan

    @property
    def nats_per_byte(self) -> float:
        """What a byte of text costs, whatever the tokens are; nan where there is no text."""
        return -self.log_prob / self.bytes if self.bytes else math.nan

    @property
    def bits_per_byte(self) -> float:
        """The same in bits."""
        return self.nats_per_byte / math.log(2)

    def add(self, row: Mapping[str, Any]) -> None:
        """Counts a row."""
        self.rows += 1
        if row["log_prob"] is None:
            self.failed += 1
            return
        self.tokens += row["tokens"]
        self.bytes += row["bytes"]
        self.log_prob += row["log_prob"]


def text_of(record: Record) -> str:
    """The text that a record is: title and text of a review, title and description of a product, all turns of a talk.

    Raises:
        DataError: the record holds no text.
    """
    match record:
        case Review():
            return "\n".join(part for part in (record.title, record.text) if part)
        case Product():
            return "\n".join(part for part in (record.title, record.description) if part)
    return examples_of([record])[0].text


def scored(
    model: Model, pairs: Iterable[Pair], columns: Columns = LOG_PROB, *, block: int = BLOCK
) -> Iterator[TokenScores | Failed]:
    """The scores of pairs, in order, with never more than a block of them in memory.

    Args:
        model: what scores them.
        pairs: drawn as they are needed.
        columns: which numbers are wanted.
        block: how many pairs are scored together; batches are formed among them.

    Yields:
        For each pair what `model.score` gives, or why there is nothing.

    Raises:
        Unsupported: the model gives no log-probabilities.
        AuditError: the machine or the endpoint failed.
    """
    drawn = iter(pairs)
    while some := list(islice(drawn, block)):
        for reply in attempted(model, some, columns):
            if isinstance(reply, TokenScores | Failed):
                yield reply


def score_file(
    out: Path,
    model: Model,
    texts: Iterable[tuple[str, str]],
    settings: Mapping[str, Any],
    *,
    block: int = BLOCK,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Totals:
    """Scores texts into a JSONL file, each block durable when it is done; one that was cut off goes on.

    Whole blocks that are in the file are not computed again. A block that was cut off is computed whole, so that its
    scores do not depend on where that happened, and its missing rows are written.

    Args:
        out: the file.
        model: what scores them.
        texts: id and text, drawn as they are needed; the same from the start when the file goes on.
        settings: plain data, all that decides the rows; the file's first line.
        block: how many texts are scored together.
        on_rows: is told how many rows there are.

    Returns:
        The sums over all rows of the file.

    Raises:
        DataError: the file holds scores of other settings, or something else.
        Unsupported: the model gives no log-probabilities.
        MachineError: the file cannot be written, or the machine failed; what was written is kept.
    """
    head = {"format": 1, **settings, "block": block}
    totals = Totals()
    drawn = iter(texts)
    try:
        _open_or_begin(out, head, totals)
        there = totals.rows
        whole = there - there % block
        _skip(drawn, whole, out)
        row = whole
        on_rows(there)
        with out.open("a", encoding="utf-8") as file:
            while some := list(islice(drawn, block)):
                replies = scored(model, [Pair("", text) for _, text in some], block=block)
                rows = [_row(row + i, *one, reply) for i, (one, reply) in enumerate(zip(some, replies, strict=True), 1)]
                fresh = rows[max(0, there - row) :]
                _write(file, fresh)
                for one in fresh:
                    totals.add(one)
                totals.computed += len(fresh)
                row += len(some)
                on_rows(row)
    except OSError as fault:
        raise MachineError(
            f"{out}: cannot be written ({fault.strerror}). What was written is kept: free space or name another file "
            "with --out, then run the same command."
        ) from fault
    if row < there:
        raise DataError(f"{out}: holds more rows than there are texts. {_OTHER}")
    return totals


def _row(number: int, name: str, text: str, reply: TokenScores | Failed) -> dict[str, Any]:
    row: dict[str, Any] = {"row": number, "id": name, "bytes": len(text.encode("utf-8", "surrogatepass"))}
    failed = {"tokens": None, "log_prob": None, "nats_per_token": None}
    if isinstance(reply, Failed):
        return row | failed | {"error": reply.note}
    if not math.isfinite(reply.total):
        return row | failed | {"error": "its log-probabilities are not numbers"}
    tokens = int(reply.log_prob.size)
    return row | {
        "tokens": tokens,
        "log_prob": reply.total,
        "nats_per_token": -reply.mean if tokens else None,
    }


def _write(file: IO[str], rows: Iterable[Mapping[str, Any]]) -> None:
    file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    file.flush()
    os.fsync(file.fileno())


def _skip(drawn: Iterator[object], count: int, out: Path) -> None:
    if sum(1 for _ in islice(drawn, count)) < count:
        raise DataError(f"{out}: holds more rows than there are texts. {_OTHER}")


def _open_or_begin(out: Path, head: Mapping[str, Any], totals: Totals) -> None:
    """Writes the first line of a new file, or reads what an old one holds and takes its half-written last line off."""
    if not out.exists() or not out.stat().st_size:
        part = out.with_name(f"{out.name}.part")  # a first line is never half there
        with part.open("w", encoding="utf-8") as file:
            _write(file, [head])
        part.replace(out)
        return
    with out.open("rb+") as file:
        _check_head(out, file.readline(), head)
        end = file.tell()
        for number, line in enumerate(file, start=2):
            if not line.endswith(b"\n"):
                break
            try:
                totals.add(json.loads(line))
            except (ValueError, KeyError, TypeError) as fault:
                raise DataError(f"{out}:{number}: not a row of this program. {_OTHER}") from fault
            end += len(line)
        file.truncate(end)


def _check_head(out: Path, line: bytes, head: Mapping[str, Any]) -> None:
    try:
        known = json.loads(line)
        fine = isinstance(known, dict) and "fingerprint" in known
    except ValueError:
        fine = False
    if not fine:
        raise DataError(f"{out}: exists, and is not a file of scores. {_OTHER}")
    wanted = json.loads(json.dumps(head))
    differ = sorted(name for name in known | wanted if known.get(name) != wanted.get(name))
    if differ:
        raise DataError(f"{out}: holds the scores of another run (other {', '.join(differ)}). {_OTHER}")
    if not known["fingerprint"]:
        raise DataError(f"{out}: whether it is of the same model cannot be told of one without fingerprint. {_OTHER}")
