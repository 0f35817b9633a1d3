"""The verb that writes texts: generate."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from shoplm_audit.cli.asking import KEY_VARIABLE
from shoplm_audit.errors import ConfigError

if TYPE_CHECKING:
    from shoplm_audit.types import Mark, Model
    from shoplm_audit.writing import Order, Row, Subject

__all__ = ["generate"]

_KEY_FILE = "watermark.key"
_BLOCK = 64  # texts that are written and kept together


def generate(
    model: Annotated[str, typer.Option("--model", help="A folder or hub name, FILE.gguf, ...", metavar="SPEC")],
    prompt: Annotated[str | None, typer.Option("--prompt", help="What the model reads.")] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Records to write about, [KIND=]FILE, with --task.", metavar="[KIND=]FILE"),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="What to write of --data: description or advertisement of products; review of products or reviews; "
            "sentiment or moderation of reviews or texts; summary of a product's reviews; reply to dialogues; "
            "recommendation from interactions.",
        ),
    ] = "description",
    n: Annotated[int, typer.Option("-n", min=1, help="Texts for each prompt.")] = 1,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            help="greedy, beam or sample.",
            show_default="greedy; what other options ask for, or sample if -n > 1",
        ),
    ] = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1)] = 64,
    temperature: Annotated[float | None, typer.Option("--temperature", help="Of sampling.", show_default="1.0")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Of sampling.", show_default="all tokens")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", help="Of sampling.", show_default="0.95")] = None,
    min_p: Annotated[float | None, typer.Option("--min-p", help="Of sampling.", show_default="0")] = None,
    beams: Annotated[
        int | None,
        typer.Option(
            "--beams",
            min=2,
            help="Texts that beam search follows; the best by mean log-probability per token are kept.",
            show_default="4",
        ),
    ] = None,
    ban: Annotated[
        list[str] | None,
        typer.Option(
            "--ban",
            help="A word or phrase that no text holds, in whatever letter case, also inside other words. Repeatable.",
            metavar="WORD",
        ),
    ] = None,
    require_attributes: Annotated[
        bool,
        typer.Option(
            "--require-attributes",
            help="A product's text does not end before it states the value of each attribute; rows name what is "
            "missing or contradicted all the same.",
        ),
    ] = False,
    watermark: Annotated[
        str, typer.Option("--watermark", help="kgw, or synthid for sampled texts.", show_default="kgw for reviews")
    ] = "",
    watermark_key: Annotated[
        Path | None,
        typer.Option(
            "--watermark-key",
            help=f"File with the key of watermarks, made if missing; {KEY_VARIABLE} can hold the key instead.",
            show_default=f"{_KEY_FILE} beside --out, or in runs/",
        ),
    ] = None,
    unmarked: Annotated[
        bool,
        typer.Option("--unmarked", help="Leave watermark and AI label off; recorded in OUT.json, so it needs --out."),
    ] = False,
    moderate: Annotated[
        list[Path] | None,
        typer.Option("--moderate", help="File of unwanted words, one a line. Repeatable.", metavar="FILE"),
    ] = None,
    keep_flagged: Annotated[
        bool,
        typer.Option(
            "--keep-flagged",
            help="Keep texts in which moderation found unwanted words or personal data; otherwise only what it found.",
        ),
    ] = False,
    guard: Annotated[
        str,
        typer.Option(
            "--guard",
            help="pii: placeholders for personal data that the prompt does not hold and for the trainer's secrets.",
            metavar="pii",
        ),
    ] = "",
    system: Annotated[str, typer.Option("--system", help="The shop's standing instructions.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Skip the model's chat template.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write JSONL to this file, as texts are done; the same command goes on with it."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Annotated[str | None, typer.Option("--device")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Allow pickled weights and a model's own code.")] = False,
) -> None:
    """Write texts with a model. Every exported row is labelled as AI-generated, and reviews are watermarked.

    shoplm-audit generate --model checkpoints/reviews --prompt "I love shopping online because" -n 5

    shoplm-audit generate --model checkpoints/reviews --data products.csv --task review --out reviews.jsonl
    """
    from shoplm_audit.data.banned import read_banned
    from shoplm_audit.models.guard import check_guard, guarded
    from shoplm_audit.models.load import load_model
    from shoplm_audit.types import Sampling
    from shoplm_audit.writing import Order, check_represented, sampling_of

    check_guard(guard)
    if (prompt is None) == (data is None):
        raise ConfigError("give either --prompt TEXT or --data FILE with --task.")
    if require_attributes and (data is None or task not in ("description", "advertisement")):
        raise ConfigError("--require-attributes needs products: --data FILE with --task description or advertisement.")
    if unmarked and (watermark or out is None):
        raise ConfigError(
            f"--unmarked with --watermark {watermark}: leave one of them out."
            if watermark
            else "--unmarked is recorded beside the texts: name their file with --out."
        )
    of_sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    given = {name: value for name, value in of_sampling.items() if value is not None}
    chosen = _strategy(strategy, given, beams, n > 1 or watermark == "synthid")
    if chosen == "greedy" and n > 1:
        raise ConfigError(f"-n {n}: greedy writes the same text each time; use --strategy sample or beam.")
    if chosen == "beam" and require_attributes:
        raise ConfigError(
            "--require-attributes goes with --strategy greedy or sample, not beam: leave one of them out."
        )
    about = _Subjects(prompt, data, task, system)  # read through once: bad rows are told before a model is loaded
    sampling = Sampling(
        max_new_tokens,
        n=n,
        seed=seed,
        banned=tuple(ban or ()),
        **(cast(dict[str, Any], {"temperature": 1.0, "top_p": 0.95} | given) if chosen == "sample" else {}),
        beams=(beams or max(4, n)) if chosen == "beam" else 1,
        mark=_mark(watermark, watermark_key, out) if watermark else None,
    )
    order = Order(
        sampling,
        raw=raw,
        attributes=require_attributes,
        unwanted=read_banned(moderate or ()),
        keep_flagged=keep_flagged,
        unmarked=unmarked,
    )
    if require_attributes and ban:
        for subject in about():
            sampling_of(subject, order)  # tells of a value that may not be written, before a model is loaded
    loaded = load_model(model, device=device, trust=trust)
    reviews = data is not None and task == "review"
    order = _marked(loaded, order, lambda: _mark("kgw", watermark_key, out) if reviews else None)
    writer = guarded(loaded, guard)
    if warning := getattr(writer, "warning", ""):
        typer.echo(warning, err=True)
    if (encoder := getattr(writer, "encoder", None)) is not None:
        for subject in about():
            check_represented(encoder.tokenizer, subject)
    if out is None:
        _print(writer, about, order, bare=data is None)
    else:
        _export(out, writer, about, order, task if data is not None else "")


def _strategy(asked: str, of_sampling: dict[str, Any], beams: int | None, several: bool) -> str:
    """The strategy that was named, or the one that the other options belong to."""
    if asked not in ("", "greedy", "beam", "sample"):
        raise ConfigError(f'--strategy "{asked}": there are greedy, beam and sample.')
    chosen = asked or ("beam" if beams else "sample" if of_sampling or several else "greedy")
    if chosen != "sample" and of_sampling:
        option = next(iter(of_sampling)).replace("_", "-")
        raise ConfigError(f"--{option} belongs to --strategy sample, not {chosen}: leave one of them out.")
    if chosen != "beam" and beams:
        raise ConfigError(f"--beams belongs to --strategy beam, not {chosen}: leave one of them out.")
    return chosen


def _mark(kind: str, file: Path | None, out: Path | None) -> Mark:
    from shoplm_audit.export import key_of
    from shoplm_audit.types import Mark

    if kind not in ("kgw", "synthid"):
        raise ConfigError(f'--watermark "{kind}": there are kgw and synthid.')
    key = os.environ.get(KEY_VARIABLE, "") if file is None else ""
    if not key:
        file = file or (out.parent if out else Path("runs")) / _KEY_FILE
        key = key_of(file)
        typer.echo(f"watermark: {kind}, found again with the key in {file}; keep it to yourself", err=True)
    return Mark(cast(Literal["kgw", "synthid"], kind), key)


def _marked(model: Model, order: Order, usual: Callable[[], Mark | None]) -> Order:
    """The order with the mark that goes unsaid: none if the model writes its own, else the usual one.

    A model whose texts are to be unmarked leaves its own off.
    """
    own = getattr(model, "watermark", None)
    if order.unmarked:
        if own is not None:
            setattr(model, "watermark", None)  # noqa: B010
        return order
    if order.sampling.mark is not None:
        return order
    if own is not None:
        typer.echo(f"watermark: {own.kind}, as the checkpoint's own configuration says", err=True)
        return order
    return replace(order, sampling=replace(order.sampling, mark=usual()))


class _Subjects:
    """What texts are written about, made anew from the file on each call, so that no file sits in memory."""

    def __init__(self, text: str | None, data: str | None, task: str, system: str) -> None:
        from shoplm_audit.cli.training import file_of

        self._text, self._task, self._system = text, task, system
        self._kind, self._path = file_of(data) if data is not None else ("", Path())
        content = hashlib.sha256()
        self.count = 0
        for subject in self():
            self.count += 1
            content.update(f"{subject.id}\0{subject.prompt.flat}\1".encode("utf-8", "surrogatepass"))
        self.digest = content.hexdigest()

    def __call__(self) -> Iterator[Subject]:
        from shoplm_audit.data.cells import language_of
        from shoplm_audit.data.readers import read_records
        from shoplm_audit.prompts import Prompts
        from shoplm_audit.types import Prompt
        from shoplm_audit.writing import Subject, subjects

        if self._text is not None:
            return iter([Subject("", language_of(self._text), Prompt(self._text, self._system))])
        records = read_records(self._kind, self._path)
        return subjects(self._task, self._kind, records, Prompts(system=self._system))

    def blocks(self, samples: int) -> Iterator[list[Subject]]:
        """The subjects by blocks that depend on nothing but their order."""
        block: list[Subject] = []
        for subject in self():
            block.append(subject)
            if len(block) * samples >= _BLOCK:
                yield block
                block = []
        if block:
            yield block


def _print(writer: Model, about: _Subjects, order: Order, *, bare: bool) -> None:
    from shoplm_audit.writing import rows_of

    for block in about.blocks(order.sampling.n):
        for row in rows_of(writer, block, order):
            if not bare:
                typer.echo(json.dumps(row, ensure_ascii=False))
            elif row["text"] is None:
                typer.echo(f"[withheld by moderation: {json.dumps(row['moderation'], ensure_ascii=False)}]\n")
            else:
                # What an encoder-decoder writes does not go on from what it reads.
                between = "\n-> " if getattr(writer, "answers_apart", False) else ""
                typer.echo(f"{row['prompt']}{between}{row['text']}\n")


def _export(out: Path, writer: Model, about: _Subjects, order: Order, task: str) -> None:
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.export import export
    from shoplm_audit.writing import rows_of

    def write(block: Sequence[Subject]) -> list[Row]:
        return rows_of(writer, block, order)

    total = about.count * order.sampling.n
    settings = _settings(writer, about, order, task)
    with Watched() as watched:
        on_rows: Callable[[int], None] = lambda done: watched.at("writing", done, total)  # noqa: E731
        blocks = about.blocks(order.sampling.n)
        counts = export(out, settings, blocks, write, samples=order.sampling.n, on_rows=on_rows)
    was_there = counts.rows - counts.computed
    typer.echo(f"{out}: {counts.rows} texts" + (f", {was_there} of them were there" if was_there else ""))
    if counts.flagged:
        kept = "kept" if order.keep_flagged else "withheld"
        typer.echo(f"{counts.flagged} texts were flagged by moderation and {kept}; their rows say why")
    if counts.incomplete:
        typer.echo(f"{counts.incomplete} texts lack an attribute; their rows name it")
    if order.unmarked:
        typer.echo(f"unmarked: rows carry neither watermark nor label, which {out.name}.json records")


def _settings(writer: Model, about: _Subjects, order: Order, task: str) -> dict[str, Any]:
    """All that decides the rows of a file, as plain data."""
    sampling = asdict(order.sampling)
    mark, own = order.sampling.mark, getattr(writer, "watermark", None)
    # Enough to notice another key, too little to guess one by.
    if mark:
        sampling["mark"] = f"{mark.kind}, key {hashlib.sha256(mark.key.encode()).hexdigest()[:8]}"
    elif own is not None:
        told = hashlib.sha256(repr(own.settings).encode()).hexdigest()[:8]
        sampling["mark"] = f"{own.kind} of the checkpoint, {told}"
    return {
        "model": writer.name,
        "fingerprint": writer.fingerprint,
        "device": getattr(writer, "device", ""),
        "dtype": getattr(writer, "dtype", ""),
        "task": task,
        "prompts": about.digest,
        **sampling,
        "raw": order.raw,
        "attributes": order.attributes,
        "moderate": list(order.unwanted),
        "keep_flagged": order.keep_flagged,
        "unmarked": order.unmarked,
    }
