"""A subject is erased from a run: every row that holds it goes, a stone without its name stays.

erase(Path("runs/plain-3f2a"), "c00042").rows -> {"privacy/membership": 8}

The run's numbers stay what they were; `verify` says which of them nobody can recompute any more.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import secrets
import shutil
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shoplm_audit.errors import ConfigError, DataError, MachineError
from shoplm_audit.evidence.files import EVIDENCE, RESULT, load_run, meta_of, plain_json, rows_of
from shoplm_audit.results import Result
from shoplm_audit.store import Store, digest
from shoplm_audit.types import Sampling

__all__ = ["Erasure", "erase", "erase_from_store", "found_in", "remove_derived", "still_in"]

_ERASED = "[erased]"
_SHORTEST = 2  # characters of a subject; a shorter one stands in nearly every row
_DERIVED = ("report.sarif", "modelcard.md", "dossier.html")  # what `report` makes beside the files of a run
_ONE_SIGN = dict.fromkeys(map(ord, "‘’‛ʼʻ`´′＇"), "'") | dict.fromkeys(map(ord, "“”„‟″«»＂"), '"')
_ONE_SIGN |= dict.fromkeys(map(ord, "‐‑‒–—―−－"), "-") | dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\ufeff"), "")
_JSON_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_PIECE, _OVERLAP = 1 << 16, 1 << 12  # characters of a file that are looked at together, and of two in a row
_TAG = re.compile(r"<[^<>]{1,400}>")


@dataclass(slots=True)
class Erasure:
    """What erasing did.

    Attributes:
        rows: how many observations went, by "suite/probe".
        exchanges: how many exchanges went.
        requests: digests by which the store knows what those exchanges asked.
    """

    rows: dict[str, int] = field(default_factory=dict)
    exchanges: int = 0
    requests: set[str] = field(default_factory=set)


class _Seeker:
    """Finds a subject in any string of plain data, as words of its own, however they are written.

    Letter case, width, blanks, line breaks, apostrophes, quotes and dashes do not count, nor which name comes first.
    """

    def __init__(self, subject: str) -> None:
        folded = _folded(subject)
        if len(folded) < _SHORTEST or not any(map(str.isalnum, folded)):
            raise ConfigError(f"{subject!r}: too short to be a subject. Give a customer's id, a name or an address.")
        self._whole = re.compile("|".join(dict.fromkeys(map(_alone, [folded, *_turned(folded)]))))
        self._plain = re.compile(_alone(subject.strip()), re.IGNORECASE)
        self._run = max(re.findall(r"\w+", folded), key=len)

    def __call__(self, data: Any) -> bool:
        return any(self._is_in(text) for text in _strings(data))

    def _is_in(self, text: str) -> bool:
        if text.isascii() and self._run not in text.lower():  # folding is slow, and most texts hold nothing of it
            return False
        return self._whole.search(_folded(text)) is not None

    def without(self, data: Any) -> Any:
        """The same data, with the subject's name struck out of every string."""
        if isinstance(data, dict):
            return {self.without(key): self.without(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self.without(one) for one in data]
        if not isinstance(data, str) or not self(data):
            return data
        struck = self._plain.sub(_ERASED, data)
        return _ERASED if self(struck) else struck


def _folded(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_ONE_SIGN)).casefold()
        return " ".join(unicodedata.normalize("NFKC", text).split())
    return " ".join(text.lower().replace("`", "'").split())


def _turned(folded: str) -> list[str]:
    """A name with its surname first, or one that was given so with its surname last."""
    family, comma, given = (part.strip() for part in folded.partition(","))
    if comma:
        return [f"{given} {family}"] if given and "," not in given else []
    words = folded.split()
    if not 2 <= len(words) <= 4 or any(map(str.isdigit, folded)):
        return []
    return [f"{' '.join(words[at:])}, {' '.join(words[:at])}" for at in range(1, len(words))]


def _alone(text: str) -> str:
    """A pattern of the text where it is not a part of a longer word or number; Chinese writes no blanks."""
    before = "(?<![A-Za-z0-9])" if text[:1].isascii() and text[:1].isalnum() else ""
    after = "(?![A-Za-z0-9])" if text[-1:].isascii() and text[-1:].isalnum() else ""
    return before + re.escape(text).replace(r",\ ", r"\ ?,\ ?") + after


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
        if data[:1] in ("[", "{"):  # lists of spans are kept as JSON within JSON
            try:
                yield from _strings(json.loads(data))
            except (ValueError, RecursionError):
                return
    elif isinstance(data, dict):
        for key, value in data.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(data, list):
        for one in data:
            yield from _strings(one)


def found_in(folder: Path, subject: str) -> set[tuple[str, str, str]]:
    """The (suite, probe, case) of every row that holds a subject: in its case, its values, a request or an answer.

    Raises:
        ConfigError: the subject is too short to be one.
        DataError: no finished run.
    """
    holds = _Seeker(subject)
    load_run(folder)
    queries = (
        'SELECT suite, probe, "case", note, facts, "values" FROM observations',
        "SELECT suite, probe, \"case\", '', request, answer FROM exchanges",
    )
    return {
        (suite, probe, case)
        for query in queries
        for suite, probe, case, note, first, second in rows_of(folder, query)
        if holds([case, note]) or holds(json.loads(first)) or holds(json.loads(second))
    }


def erase(folder: Path, subject: str, *, today: date | None = None, salt: str | None = None) -> Erasure:
    """Erases a subject from evidence and result; pages and manifest have to be written again after.

    Args:
        folder: of the run.
        subject: a customer's id, a cluster, or any string as it stands there (a name, an address).
        today: the day that is noted.
        salt: hexadecimal, of the hash that is noted; drawn unless given.

    Raises:
        ConfigError: the subject is too short to be one, or a word of the program's own.
        DataError: no finished run.
        MachineError: the disk is full.
    """
    gone, told, holds = found_in(folder, subject), Erasure(), _Seeker(subject)
    audited, meta = load_run(folder), meta_of(folder)
    told.rows = dict(sorted(Counter(
        f"{suite}/{probe}" for suite, probe, case in _cases(folder) if (suite, probe, case) in gone
    ).items()))  # fmt: skip
    query = 'SELECT suite, probe, "case", kind, request FROM exchanges'
    for suite, probe, case, kind, request in rows_of(folder, query):
        if (suite, probe, case) in gone:
            told.exchanges += 1
            told.requests.add(_digest_of(kind, json.loads(request)))
    result = _result_without(audited.result, gone, holds)
    if gone:
        salt = salt or secrets.token_hex(16)
        when = (today or datetime.now(UTC).date()).isoformat()
        stone = {"subject": _hash(subject, salt), "salt": salt, "date": when, "rows": told.rows}
        meta["erased"] = [*meta.get("erased", []), stone]
    part, fresh = folder / f"{RESULT}.part", folder / f".{EVIDENCE}.part"
    try:
        _write_without(folder / EVIDENCE, fresh, gone, {key: holds.without(value) for key, value in meta.items()})
        part.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        fresh.replace(folder / EVIDENCE)
        part.replace(folder / RESULT)
    except (OSError, sqlite3.Error) as fault:
        fresh.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        raise MachineError(f"{folder}: nothing was erased ({fault}). Free space, then run it again.") from fault
    return told


def _cases(folder: Path) -> Iterable[tuple[str, str, str]]:
    return rows_of(folder, 'SELECT suite, probe, "case" FROM observations')


def _write_without(old: Path, fresh: Path, gone: set[tuple[str, str, str]], meta: dict[str, Any]) -> None:
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(old.read_bytes())
    with closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_mode = MEMORY")
        with connection:
            for table in ("observations", "exchanges"):
                where = f'DELETE FROM {table} WHERE suite = ? AND probe = ? AND "case" = ?'
                connection.executemany(where, sorted(gone))
            connection.execute("DELETE FROM meta")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", [(k, plain_json(v)) for k, v in meta.items()])
        connection.execute("VACUUM")  # pages that were freed would still hold what stood there


def _result_without(result: Result, gone: set[tuple[str, str, str]], holds: _Seeker) -> Result:
    """The result without explanations of erased cases, and without the subject's name anywhere."""
    cases = {(suite, case) for suite, _, case in gone}
    suites = [
        suite.model_copy(
            update={
                "explanations": [
                    one
                    for one in suite.explanations
                    if not {(suite.name, one.case), (suite.name, one.twin)} & cases and not holds(one.model_dump())
                ]
            }
        )
        for suite in result.suites
    ]
    data = json.loads(result.model_copy(update={"suites": suites}).model_dump_json())
    try:
        return Result.model_validate(holds.without(data))
    except ValidationError as fault:
        raise ConfigError("the subject is a word that every result is made of. Give a more particular one.") from fault


def _hash(subject: str, salt: str) -> str:
    """A slow hash: ids of customers are few, and a fast one of each could be compared with it."""
    return hashlib.scrypt(
        _folded(subject).encode("utf-8", "surrogatepass"), salt=bytes.fromhex(salt), n=2**14, r=8, p=1
    ).hex()


def _digest_of(kind: str, request: dict[str, Any]) -> str:
    """The digest by which a store knows a request (`models.remembered`)."""
    if kind == "score":
        pair = request["pair"]
        plain = {"context": pair["context"], "continuation": pair["continuation"], "span": pair["span"]}
        return digest("Pair", request["columns"], plain)
    usual = json.loads(plain_json(asdict(Sampling())))
    used = {name: value for name, value in request["sampling"].items() if value != usual[name]}
    return digest("Generate", 0, {"prompt": request["prompt"], "sampling": used, "raw": request["raw"]})


def erase_from_store(path: Path, subject: str, requests: Iterable[str] = ()) -> int:
    """Erases from a store of answers what holds a subject and what was answered to the given requests; how many went.

    Raises:
        DataError: no store.
        MachineError: it cannot be written.
    """
    if not path.is_file():
        raise DataError(f"{path}: no store of answers. Name the one of the run with --store.")
    holds, asked = _Seeker(subject), set(requests)
    with Store(path):
        try:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                rows = connection.execute("SELECT key, request, reply FROM replies")
                keys = [(key,) for key, request, reply in rows if request in asked or holds(_loaded(reply))]
                with connection:
                    connection.executemany("DELETE FROM replies WHERE key = ?", keys)
                if keys:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    connection.execute("VACUUM")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as fault:
            raise MachineError(f"{path}: cannot be written ({fault}). Is another run at work on it?") from fault
    return len(keys)


def _loaded(reply: str) -> Any:
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):
        return str(reply)


def remove_derived(folder: Path) -> list[str]:
    """Removes what `report` made of a run beside its own files, shared copies too; the names of what went.

    Raises:
        MachineError: one cannot be removed.
    """
    files = [folder / name for name in _DERIVED if (folder / name).is_file()]
    copies = [path.parent for path in sorted(folder.glob("shared-*/manifest.json")) if not path.parent.is_symlink()]
    try:
        for path in files:
            path.unlink()
        for copy in copies:
            shutil.rmtree(copy)
    except OSError as fault:
        raise MachineError(f"{folder}: {fault.filename} cannot be removed ({fault.strerror}).") from fault
    return [path.name for path in files] + [f"{path.name}/" for path in copies]


def still_in(folder: Path, subject: str) -> list[str]:
    """The files below a folder whose names or texts still hold a subject, in any spelling that `erase` finds."""
    holds = _Seeker(subject)
    return sorted(
        name
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        for name in [path.relative_to(folder).as_posix()]
        if holds(name) or any(holds(piece) for view in _views(path.read_bytes()) for piece in _cut(view))
    )


def _cut(text: str) -> Iterator[str]:
    """A long text in pieces that overlap: most are ASCII, which is fast to search."""
    return (text[start : start + _PIECE + _OVERLAP] for start in range(0, len(text), _PIECE))


def _views(content: bytes) -> Iterator[str]:
    """A file as text, without the escapes of JSON and HTML, and without tags, which may stand within a name."""
    text = content.decode("utf-8", "ignore")
    yield text
    plain = text.replace("\\\\", "\\").replace('\\"', '"')
    for blank in ("\\n", "\\r", "\\t"):
        plain = plain.replace(blank, " ")
    plain = html.unescape(_JSON_ESCAPE.sub(_unescaped, plain))
    if plain != text:
        yield plain
    if "<" in plain:
        yield _TAG.sub("", plain)


def _unescaped(found: re.Match[str]) -> str:
    return str(json.loads(f'"{found[0]}"'))
