"""Reads a shop's files as typed records, a row at a time, and tells every row that is none by file and line.

    reviews.jsonl:17: not a review: missing "text". Give the column with --map text=COLUMN, or drop such rows with
    --skip-bad-rows.

A layout (`layouts.py`) says which column holds which field; `--map field=column` overrules it, and `--map product=`
says that there is no such column. Attributes of products are an object (or its JSON), "name=value; name=value",
E2E's "name[value], ..." or AdvertiseGen's "name#value*...", and besides each column called `attributes.NAME`, each
of `ATTRIBUTE_COLUMNS`, and each cell of any other column that reads "name=value". Columns that are used for nothing
are named by `check_file`. Outer white space is taken off every cell, and times in Unix seconds or milliseconds become
ISO 8601 in UTC.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shoplm_audit.data.cells import language_of
from shoplm_audit.data.formats import RawRow, format_of, read_rows
from shoplm_audit.data.layouts import FIELDS, layout_of
from shoplm_audit.data.records import Record
from shoplm_audit.data.rows import ESSENTIAL, NOUN, PREFIX, PUT_RIGHT, Columns, RowError, folded, record_of
from shoplm_audit.data.stereotypes import stereotype_rows
from shoplm_audit.errors import ConfigError, DataError

__all__ = ["FileCheck", "check_file", "guess_kind", "language_of", "read_records"]

MESSAGES_KEPT = 20


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a file holds.

    Attributes:
        name, kind, layout: the file, and what it was read as.
        columns: the column that each field is read from (several are joined by ", "), as the file writes it.
        unused: the columns that no field is read from.
        rows: how many rows are good.
        bad: how many are not.
        messages: the first 20 bad rows: file, line, what is wrong, what to do.
        languages: how many good rows are in each language.
    """

    name: str
    kind: str
    layout: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    rows: int
    bad: int
    messages: tuple[str, ...]
    languages: Mapping[str, int]


def read_records(
    kind: str,
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    skip_bad_rows: bool = False,
    on_bad: Callable[[str], None] | None = None,
) -> Iterator[Record]:
    """The records of a file, one at a time, in its order.

    Args:
        kind: products, reviews, dialogues, interactions, texts, exercises or stereotypes.
        path: JSONL, CSV, TSV, Parquet, or for texts also plain text; UTF-8. Stereotypes are read as their benchmarks
            publish them (`data.stereotypes.stereotype_rows`).
        mapping: from field to column, over what the layout says; an empty column means that there is none.
        skip_bad_rows: go on after a bad row instead of raising.
        on_bad: is told of each row that is skipped (file, line, what is wrong, what to do); without it, a warning is.

    Returns:
        Records whose id is the file's own, or "FILE:LINE" where it gives none. The options and the file's presence
        are checked by the call, the rows as they are taken.

    Raises:
        ConfigError: an unknown kind, or a mapping of a field that the kind does not have.
        DataError: the file cannot be read, holds no row, or no good one; a mapped column is in no row; a row is bad
            and `skip_bad_rows` is off.
    """
    reading = _Reading(kind, path, mapping or {})

    def bad(message: str) -> None:
        if not skip_bad_rows:
            raise DataError(message)
        if on_bad is None:
            warnings.warn(message, stacklevel=3)  # nothing is dropped in silence
        else:
            on_bad(message)

    return reading.records(bad)


def check_file(kind: str, path: Path, mapping: Mapping[str, str] | None = None) -> FileCheck:
    """Reads a whole file and says what it holds and which of its rows are bad; a bad row does not raise.

    Raises:
        ConfigError: an unknown kind, or a mapping of a field that the kind does not have.
        DataError: the file as a whole cannot be read, or holds no row.
    """
    reading = _Reading(kind, path, mapping or {})
    messages: list[str] = []

    def bad(message: str) -> None:
        if len(messages) < MESSAGES_KEPT:
            messages.append(message)

    languages = Counter(getattr(record, "language", "") for record in reading.records(bad, all_may_be_bad=True))
    languages.pop("", None)
    used = {} if reading.columns is None else reading.columns.used(reading.seen)
    taken = {column for columns in used.values() for column in columns}
    return FileCheck(
        name=path.name,
        kind=kind,
        layout="" if reading.columns is None else reading.columns.layout.name,
        columns={name: ", ".join(reading.seen[c] for c in columns) for name, columns in used.items() if columns},
        unused=tuple(sorted(written for column, written in reading.seen.items() if column not in taken)),
        rows=reading.good,
        bad=reading.bad,
        messages=tuple(messages),
        languages=dict(sorted(languages.items())),
    )


def guess_kind(path: Path) -> str:
    """The kind whose layout the first good row of a file has; a plain text file holds texts.

    Raises:
        DataError: the file cannot be read, or its columns fit no kind.
    """
    if format_of(path) == "text":
        return "texts"
    columns: dict[str, str] = {}
    for row in read_rows(path):
        if not row.fault:
            columns = {folded(name): name for name in row.values}
            break
    # From what is told apart best to what fits almost any file: all of them can have a title.
    for kind in ("stereotypes", "exercises", "dialogues", "reviews", "interactions", "texts", "products"):
        if layout_of(kind, columns.keys()) is not None:
            return kind
    listed = ", ".join(f'"{name}"' for name in columns.values()) or "none that can be read"
    raise DataError(
        f"{path.name}: its columns fit no kind of data ({listed}). Say the kind: KIND={path.name}, and --map."
    )


class _Reading:
    """One pass over one file: the layout it turned out to have, and what was counted."""

    def __init__(self, kind: str, path: Path, mapping: Mapping[str, str]) -> None:
        if kind not in FIELDS:
            raise ConfigError(f'"{kind}" is no kind of data. Kinds: {", ".join(FIELDS)}.')
        for name, column in mapping.items():
            if name not in FIELDS[kind] and not (kind == "products" and name.startswith(PREFIX) and name != PREFIX):
                listed = ", ".join(FIELDS[kind])
                raise ConfigError(f'--map {name}={column}: {kind} have no field "{name}". Fields: {listed}.')
            if not column.strip() and (name in ESSENTIAL[kind] or name.startswith(PREFIX)):
                raise ConfigError(f"--map {name}=: {NOUN[kind]} cannot do without it. Name the column that holds it.")
        self.format = format_of(path)
        if self.format == "text" and kind not in ("texts", "stereotypes"):
            raise DataError(
                f"{path.name}: plain text holds texts, not {kind}. Give {kind} as JSONL, CSV, TSV or Parquet."
            )
        self.kind, self.path = kind, path
        self.mapping = {name: column.strip() for name, column in mapping.items()}
        self.columns: Columns | None = None
        self.seen: dict[str, str] = {}
        self.folded: dict[str, str] = {}
        self.good = self.bad = 0

    def records(self, tell: Callable[[str], None], *, all_may_be_bad: bool = False) -> Iterator[Record]:
        """The good rows as records; each bad one is told."""
        first_fault = ""
        for row in stereotype_rows(self.path) if self.kind == "stereotypes" else read_rows(self.path):
            try:
                record = self._record(row)
            except RowError as bad:
                self.bad += 1
                message = f"{self.path.name}:{row.line}: {bad}"
                first_fault = first_fault or message
                tell(message)
            else:
                self.good += 1
                yield record
        if not self.good and not self.bad:
            raise DataError(f"{self.path.name}: the file holds no row. It has to hold at least one.")
        self._check_mapped_columns()
        if not self.good and not all_may_be_bad:
            raise DataError(
                f"{self.path.name}: none of its {self.bad:,} rows is {NOUN[self.kind]}. First: {first_fault}"
            )

    def _record(self, row: RawRow) -> Record:
        if row.fault:
            raise RowError(f"{row.fault}. {PUT_RIGHT}")
        values = {}
        for name, value in row.values.items():
            column = self.folded.get(name)
            if column is None:
                column = self.folded[name] = folded(name)
                self.seen.setdefault(column, name.strip())
            values[column] = value
        if len(values) < len(row.values):
            raise RowError(f"two columns differ only in case or outer white space. {PUT_RIGHT}")
        if self.columns is None:
            if self.format != "jsonl":  # elsewhere every row has every column
                self._check_mapped_columns()
            self.columns = Columns.of(self.kind, values.keys(), self.mapping)
        return record_of(values, self.columns, where=f"{self.path.name}:{row.line}")

    def _check_mapped_columns(self) -> None:
        for name, column in self.mapping.items():
            if column and self.seen and folded(column) not in self.seen:
                there = ", ".join(f'"{written}"' for written in self.seen.values())
                raise DataError(
                    f'{self.path.name}: --map {name}={column}: there is no column "{column}", only {there}.'
                )
