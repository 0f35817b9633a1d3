"""The rows of a data file, whatever its format: streamed, so that a million rows never sit in memory.

    RawRow(17, {"asin": "B000K2PJ4K", "overall": "5.0", "reviewText": "Stays vibrant after many washes"})

JSONL (also named .json or .ndjson), CSV, TSV, plain text (one text a line) and Parquet; the first four may be gzipped.
Text is UTF-8, with or without a byte-order mark; empty lines are no rows.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from shoplm_audit.errors import DataError

__all__ = ["RawRow", "format_of", "read_rows"]

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "text"}
# A longer line is a file that is not what its name says, or a quote that is never closed: better told than held.
LONGEST_LINE = 1 << 25
LONGEST_FIELD = 1 << 24
PARQUET_BATCH = 1024


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file: its line (in Parquet its number, from 1), its cells, or why it has none."""

    line: int
    values: Mapping[str, object] = field(default_factory=dict)
    fault: str = ""


def format_of(path: Path) -> str:
    """One of jsonl, csv, tsv, text and parquet, by the file's name.

    Raises:
        DataError: no such file, a folder, an empty file, or a name that tells no format.
    """
    if path.is_dir():
        raise DataError(f'"{path}" is a folder. Name a file: JSONL, CSV, TSV, Parquet or plain text.')
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f'"{path}" cannot be read: {error.strerror}. Check the path.') from error
    if not size:
        raise DataError(f"{path.name}: the file is empty. It has to hold at least one row.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".parquet"]:
        return "parquet"
    # Benchmarks name their parts behind the format: pro_stereotyped_type1.txt.dev.
    last = suffixes[-2:-1] if suffixes[-1:] in ([".gz"], [".dev"], [".test"], [".train"]) else suffixes[-1:]
    if not last or last[0] not in FORMATS:
        known = ", ".join([*FORMATS, ".parquet"])
        raise DataError(f'{path.name}: no known data format. The name has to end in {known} (text also in ".gz").')
    return FORMATS[last[0]]


def read_rows(path: Path) -> Iterator[RawRow]:
    """The rows of a file, in order; a row that is broken carries its fault instead of cells.

    Raises:
        DataError: the file as a whole cannot be read (not UTF-8, no Parquet, a header that repeats a name).
    """
    name = format_of(path)
    if name == "parquet":
        return _parquet(path)
    if name == "jsonl":
        return _jsonl(path)
    if name == "text":
        return (RawRow(number, {"text": line}) for number, line in enumerate(_lines(path), 1) if line.strip())
    return _table(path, "\t" if name == "tsv" else None)


def _lines(path: Path) -> Iterator[str]:
    """The lines with their ends; they end at a line feed only, as JSON allows every other separator in a string."""
    offset = 0
    try:
        with path.open("rb") as stored:
            zipped = path.suffix.lower() == ".gz"
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=stored) if zipped else stored)
            while line := stream.readline(LONGEST_LINE):
                if offset == 0 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise DataError(f"{path.name}: not UTF-8 but UTF-16. {_convert(path, 'UTF-16')}")
                if len(line) == LONGEST_LINE:
                    raise DataError(
                        f"{path.name}: a line longer than {LONGEST_LINE >> 20} MB at byte {offset:,}. {SPLIT}"
                    )
                text = line.decode("utf-8")
                yield text if offset else text.removeprefix("\ufeff")
                offset += len(line)
    except UnicodeDecodeError as error:
        where = f"byte {offset + error.start:,} (0x{error.object[error.start]:02x})"
        raise DataError(f"{path.name}: not UTF-8 at {where}. {_convert(path, 'GB18030')}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name}: broken gzip file ({error}). Fetch or pack it again.") from error
    except OSError as error:
        raise DataError(f'"{path}" cannot be read: {error.strerror}.') from error


SPLIT = "Write one row a line; a JSON array becomes lines with: jq -c '.[]' FILE."


def _convert(path: Path, source: str) -> str:
    return f"Convert it, for instance: iconv -f {source} -t UTF-8 {path.name} > utf8{''.join(path.suffixes)}"


def _jsonl(path: Path) -> Iterator[RawRow]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip()[0] == "[":
            raise DataError(f"{path.name}: one JSON array, not an object a line. {SPLIT}")
        try:
            values = json.loads(line.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            yield RawRow(number, fault=f"not JSON: {error.msg} at column {error.colno}")
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
            yield RawRow(number, fault=f"not JSON that can be read: {error}")
        else:
            if isinstance(values, dict):
                yield RawRow(number, values)
            else:
                yield RawRow(number, fault=f"not a JSON object but {json.dumps(values, ensure_ascii=False)[:40]}")


def _table(path: Path, delimiter: str | None) -> Iterator[RawRow]:
    """CSV and TSV. Strict: a quote that is never closed would else swallow the rest of the file in silence."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    lines = _lines(path)
    before, first = next(((number, line) for number, line in enumerate(lines, 1) if line.strip()), (0, ""))
    # A spreadsheet in most of Europe writes ";", and tabs under the name .csv are common.
    delimiter = delimiter or max(",;\t", key=first.count)
    try:
        header = [name.strip() for name in next(csv.reader(io.StringIO(first), delimiter=delimiter, strict=True), [])]
    except csv.Error as error:
        raise DataError(f"{path.name}:1: the header cannot be read: {error}.") from error
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f'{path.name}:1: two columns are called "{twice[0]}". Rename one.')
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = before + rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            last = before + rows.line_num
            until = f" (read on to line {last})" if last > line else ""
            yield RawRow(line, fault=f"broken quoting: {error}{until}")
            continue
        if not cells or (len(cells) == 1 < len(header) and not cells[0].strip()):
            continue
        if len(cells) == len(header):
            yield RawRow(line, dict(zip(header, cells, strict=True)))
        else:
            yield RawRow(line, fault=f"{len(cells)} columns where the header has {len(header)}")


def _parquet(path: Path) -> Iterator[RawRow]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as stored:
            for batch in stored.iter_batches(batch_size=PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield RawRow(number, values)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        what = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"{path.name}: not a Parquet file that can be read: {what}. Write or fetch it again."
        ) from error
