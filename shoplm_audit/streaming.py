"""Scores of more texts than memory holds: they are drawn, scored and written block by block.

    for reply in scored(model, (Pair("", text_of(record)) for record in read_records("reviews", path))): ...

A file of scores begins with a line that says what they are of; then comes a line for each record:
{"row": 1, "id": "r1", "bytes": 9, "tokens": 3, "log_prob": -7.5, "nats_per_token": 2.5}
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from shoplm_audit.data.records import Product, Record, Review
from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.locks import taken
from shoplm_audit.models.asking import AnswersBatches, Failed, Reply, answered, attempted, planned
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
        for reply in _replies(model, some, columns):
            if isinstance(reply, TokenScores | Failed):
                yield reply


def _replies(model: Model, pairs: Sequence[Pair], columns: Columns) -> Iterator[Reply]:
    """A reply to each pair, in order; a server's as they come, so that those before its fault are not lost."""
    if not isinstance(model, AnswersBatches):
        yield from attempted(model, pairs, columns)
        return
    plan = planned(model, pairs)
    early: dict[int, Reply] = {}
    place = 0
    for number, batch in answered(model, [[pairs[i] for i in indices] for indices in plan], columns):
        early.update(zip(plan[number], batch, strict=True))
        while place in early:
            yield early.pop(place)
            place += 1


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

    Whole blocks that are in the file are not computed again. The last block, where it was cut off or there are more
    texts now, is computed and written anew as a whole: so the file is always, byte for byte, that of an uninterrupted
    run. Where a score does not depend on its neighbours, each text is a block of its own in this sense.

    Args:
        out: the file.
        model: what scores them.
        texts: id and text, drawn as they are needed; the same from the start when the file goes on.
        settings: plain data, all that decides the rows; the file's first line.
        block: how many texts are scored together.
        on_rows: is told how many rows there are.

    Returns:
        The sums over all rows of the file, which can be more than there are texts.

    Raises:
        DataError: the file holds scores of other settings, or something else, or another process is at work on it.
        Unsupported: the model gives no log-probabilities.
        MachineError: the file cannot be written, or the machine or the endpoint failed; what was written is kept.
    """
    head = {"format": 1, **settings, "block": block if model.batch_sensitive else 1}
    drawn = iter(texts)
    try:
        with out.open("a+b") as file:
            _lock(file, out)
            there = _read(file, out, head)
            on_rows(there.all.rows)
            totals = there.whole
            deque(islice(drawn, totals.rows), maxlen=0)
            some = list(islice(drawn, block))
            if totals.rows + len(some) <= there.all.rows:
                return there.all
            end = there.end
            while some:
                replies = scored(model, [Pair("", text) for _, text in some], block=block)
                rows: list[dict[str, Any]] = []
                try:
                    for one, reply in zip(some, replies, strict=True):
                        rows.append(_row(totals.rows + len(rows) + 1, *one, reply))
                finally:  # what a server answered before it failed
                    end = _write(file, end, head, rows)
                for row in rows:
                    totals.add(row)
                totals.computed += len(rows)
                on_rows(totals.rows)
                some = list(islice(drawn, block))
            return totals
    except OSError as fault:
        raise MachineError(
            f"{out}: cannot be written ({fault.strerror}). What was written is kept: free space or name another file "
            "with --out, then run the same command."
        ) from fault


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


def _write(file: IO[bytes], end: int, head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> int:
    """Writes rows in place of all that is behind `end`, the first of a file together with its head; the new end."""
    if rows:
        lines = "".join(_line(one) for one in ([head, *rows] if not end else rows)).encode("utf-8")
        file.truncate(end)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
        end += len(lines)
    return end


def _line(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False) + "\n"


def _lock(file: IO[bytes], out: Path) -> None:
    """Takes the file for this process, until it is closed or the process ends."""
    if not taken(file.fileno()):
        raise DataError(f"{out}: another run is at work on it. Wait for it, or name another file with --out.")


@dataclass(slots=True)
class _There:
    """What a file holds: the sums over all its rows, those over its whole blocks, and the byte at which these end."""

    all: Totals = field(default_factory=Totals)
    whole: Totals = field(default_factory=Totals)
    end: int = 0


def _read(file: IO[bytes], out: Path, head: Mapping[str, Any]) -> _There:
    """Reads and checks what an old file holds, and takes its half-written last line off."""
    there = _There()
    file.seek(0)
    first = file.readline()
    if not first.endswith(b"\n") and _line(head).encode("utf-8").startswith(first):
        return there  # a new file, or one that was cut off within its first line
    _check_head(out, first, head)
    there.end = end = file.tell()
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            row = json.loads(line)
            found = row["row"]
            there.all.add(row)
        except (ValueError, KeyError, TypeError) as fault:
            raise DataError(f"{out}:{number + 1}: not a row of this program. {_OTHER}") from fault
        if found != number:
            raise DataError(f'{out}:{number + 1}: row "{found}" instead of {number}, rows are missing. {_OTHER}')
        end += len(line)
        if number % head["block"] == 0:
            there.whole, there.end = replace(there.all), end
    file.truncate(end)
    return there


def _check_head(out: Path, line: bytes, head: Mapping[str, Any]) -> None:
    try:
        known = json.loads(line)
        fine = isinstance(known, dict) and "fingerprint" in known
    except ValueError:
        fine = False
    if not fine:
        raise DataError(f"{out}: exists, and is not a file of scores. {_OTHER}")
    wanted = json.loads(json.dumps(head))
    differ = ", ".join(
        f"{name} {_short(known.get(name))}, now {_short(wanted.get(name))}"
        for name in sorted(known | wanted)
        if known.get(name) != wanted.get(name)
    )
    if differ:
        raise DataError(f"{out}: holds the scores of another run (other {differ}). {_OTHER}")
    if not known["fingerprint"]:
        raise DataError(
            f"{out}: whether it is of the same model cannot be told of one without fingerprint (a server's name passes "
            f"for one with --reuse-remote, from the start). {_OTHER}"
        )


def _short(value: object) -> str:
    text = "none" if value in (None, "") else str(value)
    return f'"{text}"' if len(text) <= 24 else f'"{text[:20]}..."'
