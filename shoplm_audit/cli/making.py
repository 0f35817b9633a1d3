"""The verbs that make models and texts: train, generate."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from shoplm_audit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shoplm_audit.training.corpus import Example
    from shoplm_audit.types import Prompt


def _file_of(value: str) -> tuple[str, Path]:
    """KIND=FILE, or FILE with the kind guessed."""
    from shoplm_audit.data.readers import guess_kind

    kind, equals, rest = value.partition("=")
    if equals and kind in ("products", "reviews", "dialogues", "interactions", "texts"):
        return kind, Path(rest)
    return guess_kind(Path(value)), Path(value)


def _examples(values: list[str] | None, private: bool, mapping: list[str] | None, skip: bool) -> list[Example]:
    from shoplm_audit.cli.auditing import pairs_of
    from shoplm_audit.data.readers import read_records
    from shoplm_audit.training.corpus import examples_of

    def told(message: str) -> None:
        typer.echo(f"skipped: {message}", err=True)

    found: list[Example] = []
    for value in values or []:
        kind, path = _file_of(value)
        rows = read_records(kind, path, mapping=pairs_of("--map", mapping), skip_bad_rows=skip, on_bad=told)
        found += examples_of(rows, private=private)
    return found


def train(
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="What to learn from, [KIND=]FILE: records of customers.", metavar="[KIND=]FILE"),
    ] = None,
    public: Annotated[
        list[str] | None,
        typer.Option("--public", help="Text that needs no protection, [KIND=]FILE, mixed in.", metavar="[KIND=]FILE"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the checkpoint; must not exist yet.")] = None,
    objective: Annotated[str, typer.Option("--objective", help="causal: each token from those before it.")] = "causal",
    base: Annotated[
        str, typer.Option("--from", help="Folder of a model to go on from; without it one is trained from scratch.")
    ] = "",
    epsilon: Annotated[float | None, typer.Option("--epsilon", help="Train privately with this budget.")] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Of the guarantee.", show_default="1/(10 units)")
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", help="Whose presence is hidden: one record, or all of a user.")
    ] = "record",
    canaries: Annotated[
        bool,
        typer.Option("--canaries", help="Write invented secrets into the data, each by a fair coin, for the audit."),
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows, or expected units, of a step.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of AdamW, at its peak.")] = 2e-3,
    clip_norm: Annotated[float, typer.Option("--clip-norm", help="Of one unit's gradient, in a private run.")] = 0.5,
    layers: Annotated[int, typer.Option("--layers", min=1, help="Of a new model.")] = 4,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Of a new model.")] = 4,
    width: Annotated[int, typer.Option("--width", min=1, help="Of a new model.")] = 128,
    context: Annotated[int, typer.Option("--context", min=1, help="Tokens of a row.")] = 192,
    vocabulary: Annotated[int, typer.Option("--vocabulary", min=257, help="Of a new tokenizer.")] = 4096,
    fair_coin: Annotated[
        bool,
        typer.Option(
            "--fair-coin",
            help="Leave out each unit by a fair coin, so that the audit can try to refute epsilon; "
            "otherwise a tenth is left out to compare with.",
        ),
    ] = False,
    mapping: Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN.", metavar="FIELD=COLUMN")] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Count and list bad rows and go on.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of weights, order and coins; never of privacy noise.")] = 0,
) -> None:
    """Train a model from scratch, fine-tune one with --from, or do either privately with --epsilon.

    Leaves training.json (can be published) and audit-secrets.json (members and canaries, mode 0600) beside the weights.

    shoplm-audit train --data reviews=reviews.csv --out checkpoints/reviews --epsilon 8 --unit user
    """
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.training.loop import Progress
    from shoplm_audit.training.loop import train as trained
    from shoplm_audit.training.settings import TrainSettings

    if out is None:
        raise ConfigError("no folder for the checkpoint: name one with --out.")
    if not data and not public:
        raise ConfigError("nothing to learn from: name files with --data (customers' records) or --public.")
    settings = TrainSettings(
        objective=cast(Literal["causal"], objective),
        base=base,
        layers=layers,
        heads=heads,
        width=width,
        context=context,
        vocabulary=vocabulary,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
        epsilon=epsilon,
        delta=delta,
        unit=cast(Literal["record", "user"], unit),
        coin="fair" if fair_coin else "split",
        canaries=80 if canaries else 0,
    )
    examples = _examples(data, True, mapping, skip_bad_rows)
    shared = _examples(public, False, mapping, skip_bad_rows)
    with Watched() as watched:

        def at(progress: Progress) -> None:
            shown = f"loss {progress.loss:.3f}, {progress.tokens_per_second:.0f} tokens/s"
            note = "the loss of private records is not shown" if math.isnan(progress.loss) else shown
            watched.at("training", progress.step, progress.steps, note)

        record = trained(settings, shared, examples, out, at)
    typer.echo(f"{out}: {record.steps} steps in {record.cost['seconds']:.0f} s")
    typer.echo(record.privacy.sentence if record.privacy else "Trained plainly: no privacy guarantee.")
    typer.echo(f"Audit it with: shoplm-audit run --model {out}")


def generate(
    model: Annotated[str, typer.Option("--model", help="A folder or hub name, FILE.gguf, ...", metavar="SPEC")],
    prompt: Annotated[str | None, typer.Option("--prompt", help="What the model reads.")] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Records to write about, [KIND=]FILE, with --task.", metavar="[KIND=]FILE"),
    ] = None,
    task: Annotated[
        str, typer.Option("--task", help="description or review, of each record in --data.")
    ] = "description",
    n: Annotated[int, typer.Option("-n", min=1, help="Texts for each prompt.")] = 1,
    strategy: Annotated[
        str, typer.Option("--strategy", help="greedy or sample.", show_default="sample if -n > 1")
    ] = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1)] = 64,
    temperature: Annotated[float, typer.Option("--temperature", help="Of sampling.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Of sampling.")] = 0.95,
    system: Annotated[str, typer.Option("--system", help="The shop's standing instructions.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Skip the model's chat template.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write JSONL to this file.")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Annotated[str | None, typer.Option("--device")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Allow pickled weights and a model's own code.")] = False,
) -> None:
    """Write texts with a model. Every exported row is labelled as AI-generated.

    shoplm-audit generate --model checkpoints/reviews --prompt "I love shopping online because" -n 5
    """
    from shoplm_audit.models.load import load_model
    from shoplm_audit.types import Generate, Sampling

    chosen = strategy or ("sample" if n > 1 else "greedy")
    if chosen not in ("greedy", "sample"):
        raise ConfigError(f'--strategy "{chosen}": there are greedy and sample.')
    if (prompt is None) == (data is None):
        raise ConfigError("give either --prompt TEXT or --data FILE with --task.")
    warm = temperature if chosen == "sample" else 0.0
    if warm == 0 and n > 1:
        raise ConfigError(f"-n {n}: greedy writes the same text each time; use --strategy sample with a temperature.")
    sampling = Sampling(max_new_tokens, temperature=warm, top_p=top_p if warm else 1.0, n=n, seed=seed)
    prompts = list(_prompts(prompt, data, task, system))
    writer = load_model(model, device=device, trust=trust)
    texts = iter(writer.generate([Generate(asked, sampling, raw=raw) for _, asked in prompts]))
    rows = [
        {
            "id": key,
            "sample": sample,
            "prompt": asked.flat,
            "text": next(texts),
            "ai_generated": True,
            "model": writer.name,
        }
        for key, asked in prompts
        for sample in range(n)
    ]
    if out is None:
        for row in rows:
            typer.echo(f"{row['prompt']}{row['text']}\n" if data is None else json.dumps(row, ensure_ascii=False))
        return
    try:
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    except OSError as fault:
        raise DataError(f"{out}: cannot be written ({fault.strerror}). Name another file with --out.") from fault
    typer.echo(f"{out}: {len(rows)} texts")


def _prompts(text: str | None, data: str | None, task: str, system: str) -> Iterator[tuple[str, Prompt]]:
    from shoplm_audit.data.readers import read_records
    from shoplm_audit.data.records import Product, Review
    from shoplm_audit.data.shopworld import description_variables, review_variables
    from shoplm_audit.prompts import Prompts
    from shoplm_audit.types import Prompt

    if data is None:
        yield "", Prompt(text or "", system)
        return
    prompts = Prompts(system=system)
    kind, path = _file_of(data)
    for record in read_records(kind, path):
        variables: dict[str, Any]
        match task, record:
            case "description", Product():
                variables = description_variables(record)
            case "review", Product():
                variables = {"title": record.title, "category": record.category, "stars": "5"}
            case "review", Review():
                variables = review_variables(record)
            case _:
                raise ConfigError(
                    f'--task "{task}" cannot be asked of {kind}: description takes products, review either.'
                )
        yield record.id, prompts.render(task, record.language, variables)
