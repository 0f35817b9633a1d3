"""The verb that scores texts: score.

shoplm-audit score --model checkpoints/reviews --data reviews.jsonl --out scores.jsonl
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoplm_audit.cli.asking import MaxRequests, ReuseRemote
from shoplm_audit.errors import DataError

if TYPE_CHECKING:
    from shoplm_audit.types import Model

__all__ = ["score"]


def score(
    model: Annotated[str, typer.Option("--model", help="A folder or hub name, FILE.gguf, ...", metavar="SPEC")],
    data: Annotated[
        str,
        typer.Option("--data", help="Texts, reviews, dialogues or products, [KIND=]FILE.", metavar="[KIND=]FILE"),
    ],
    out: Annotated[Path, typer.Option("--out", help="JSONL file; the same command goes on with it.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=COLUMN where the file calls a field otherwise.", metavar="FIELD=COLUMN"),
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and list bad rows instead of stopping.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Score only so many, from the first on.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Allow pickled weights and a model's own code.")] = False,
    max_requests: MaxRequests = None,
    reuse_remote: ReuseRemote = False,
) -> None:
    """Score the texts of a file under a model: a line of JSON for each, and nats per token and bits per byte of all.

    A million texts need no more memory than ten thousand. Interrupted, the same command goes on where it stopped.

    shoplm-audit score --model checkpoints/reviews --data reviews=reviews.jsonl --out scores.jsonl
    """
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.models.endpoint import RemoteSettings
    from shoplm_audit.models.load import load_model
    from shoplm_audit.streaming import score_file

    texts = _Texts(data, mapping, skip_bad_rows)  # read through once: bad rows are told before a model is loaded
    remote = RemoteSettings(max_requests=max_requests, reuse=reuse_remote)
    scorer = load_model(model, device=device, trust=trust, remote=remote)
    count = min(texts.count, limit or texts.count)
    with Watched() as watched:
        totals = score_file(
            out,
            scorer,
            islice(texts(), count),
            _settings(scorer, texts),
            on_rows=lambda done: watched.at(f"scoring {count:,} texts", done, count),
        )
    was_there = totals.rows - totals.computed
    typer.echo(f"{out}: {totals.rows:,} texts" + (f", {was_there:,} of them were there" if was_there else ""))
    if totals.rows > count:
        typer.echo(f"note: these are more than the {count:,} that were asked for; what follows is of all of them")
    if totals.failed:
        typer.echo(f'{totals.failed:,} texts could not be scored; "error" in their lines says why')
    for note in getattr(scorer, "notes", []):
        typer.echo(f"note: {note}")
    if math.isfinite(totals.bits_per_byte) and totals.tokens:
        typer.echo(
            f"{totals.tokens:,} tokens, {totals.nats_per_token:.4f} nats per token; {totals.bytes:,} bytes, "
            f"{totals.nats_per_byte:.4f} nats per byte, which is {totals.bits_per_byte:.4f} bits per byte"
        )


class _Texts:
    """Id and text of each record, made anew from the file on each call, so that no file sits in memory."""

    def __init__(self, value: str, mapping: list[str] | None, skip_bad_rows: bool) -> None:
        from shoplm_audit.cli.asking import pairs_of
        from shoplm_audit.cli.training import file_of

        self.kind, self._path = file_of(value)
        if self.kind == "interactions":
            raise DataError(f"{self._path.name}: interactions hold no text to score. Give texts, reviews or dialogues.")
        self._mapping, self._skip = pairs_of("--map", mapping), skip_bad_rows
        content = hashlib.sha256()
        self.count = 0
        for name, text in self._read(lambda message: typer.echo(f"skipped: {message}", err=True)):
            self.count += 1
            content.update(f"{len(text)} {name}\0{text}".encode("utf-8", "surrogatepass"))
        self.digest = content.hexdigest()

    def __call__(self) -> Iterator[tuple[str, str]]:
        return self._read(lambda _: None)  # told once

    def _read(self, on_bad: Any) -> Iterator[tuple[str, str]]:
        from shoplm_audit.data.readers import read_records
        from shoplm_audit.streaming import text_of

        records = read_records(self.kind, self._path, mapping=self._mapping, skip_bad_rows=self._skip, on_bad=on_bad)
        return ((getattr(record, "id", ""), text_of(record)) for record in records)


def _settings(scorer: Model, texts: _Texts) -> dict[str, Any]:
    """All that decides the rows of a file but how many, as plain data."""
    from shoplm_audit.models.remembered import ANSWERS_VERSION, COMPUTING

    device = getattr(scorer, "device", "")
    return {
        "model": scorer.name,
        "fingerprint": scorer.fingerprint,
        "device": getattr(scorer, "device_name", device),
        "dtype": getattr(scorer, "dtype", ""),
        "answers": ANSWERS_VERSION,
        # What scores elsewhere does not depend on what is installed here.
        **({name: importlib.metadata.version(name) for name in COMPUTING} if device else {}),
        "kind": texts.kind,
        "data": f"sha256:{texts.digest}",
    }
