"""The verbs that look: suites, data check, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from shoplm_audit.errors import ConfigError


def suites() -> None:
    """List the suites: the question of each, its probes, its gates."""
    from shoplm_audit.suites import load_suite, suite_names

    for name in suite_names():
        suite = load_suite(name)
        typer.echo(f"{suite.name}: {suite.question}")
        typer.echo(f"  probes: {', '.join(probe.name for probe in suite.probes)}")
        for gate in suite.gates:
            limits = [f">= {gate.at_least:g}"] if gate.at_least > float("-inf") else []
            limits += [f"<= {gate.at_most:g}"] if gate.at_most < float("inf") else []
            typer.echo(f"  gate {suite.name}.{gate.id} {' and '.join(limits) or 'the claimed epsilon is not refuted'}")


def check(
    file: Annotated[Path | None, typer.Argument(help="JSONL, CSV, TSV or Parquet.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="products, reviews, dialogues, interactions or texts; guessed if not given."),
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN where the file calls a field otherwise.")
    ] = None,
    banned: Annotated[
        list[Path] | None, typer.Option("--banned", help="Count records that hold a word of this list.", metavar="FILE")
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(
            "--bank", help="Instead: a bank of test questions, held against GB/T 45654's coverage.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Check a data file: its layout, columns, languages, and every bad row by line. Exit 2 if a row is bad.

    Tells too what `train --deduplicate --scrub --banned` would do to it: repeated texts, personal data, banned words.
    Of rows that say they are generated, the label and the fields of GB 45438-2025 are checked.

    With --bank, exit 1 if questions are missing. Example: shoplm-audit data check --bank questions.jsonl
    """
    if bank is not None:
        _check_bank(bank)
    if file is None:
        raise ConfigError("data check reads a file: name one, or a bank of questions with --bank FILE.")
    from shoplm_audit.data.banned import read_banned
    from shoplm_audit.data.care import Care
    from shoplm_audit.data.care import check as checked
    from shoplm_audit.data.labels import labels_in
    from shoplm_audit.data.readers import check_file, guess_kind

    pairs = dict(item.split("=", 1) for item in mapping or [] if "=" in item)
    if len(pairs) < len(mapping or []):
        raise ConfigError(f"--map {mapping}: it has to be FIELD=COLUMN.")
    found = check_file(kind or guess_kind(file), file, pairs)
    typer.echo(f"{found.name}: {found.rows} good rows of kind {found.kind}, {found.bad} bad; layout: {found.layout}")
    typer.echo("columns: " + ", ".join(f"{field} from {column}" for field, column in found.columns.items()))
    if found.unused:
        typer.echo(f"not used: {', '.join(found.unused)}")
    declared, faults = labels_in(file)
    if declared:
        typer.echo(f"{declared} rows are declared as generated; {len(faults)} faults of their labels")
    for fault in faults:
        typer.echo(f"label: {fault}", err=True)
    if found.rows:
        care = Care(deduplicate=True, scrub=True, banned=read_banned(banned or []))
        typer.echo(checked(file, found.kind, pairs, care).as_text())
    for message in found.messages:
        typer.echo(f"bad: {message}", err=True)
    raise typer.Exit(2 if found.bad or faults else 0)


def doctor(
    model: Annotated[
        str | None, typer.Option("--model", help="Also load this model and time it.", metavar="SPEC")
    ] = None,
    batch_invariance: Annotated[
        bool,
        typer.Option(
            "--batch-invariance",
            help="Measure instead how much the batch in which a request is computed moves its answer; needs --model.",
        ),
    ] = False,
) -> None:
    """Tell what this machine can do: versions, devices, memory, what is missing, how fast a model is.

    With --batch-invariance, exit 1 if answers move by more than rounding explains.
    """
    from shoplm_audit.doctor import examine, examine_batches

    if not batch_invariance:
        for line in examine(model):
            typer.echo(line)
        return
    if model is None:
        raise ConfigError("--batch-invariance measures a model: name one with --model SPEC.")
    lines, healthy = examine_batches(model)
    for line in lines:
        typer.echo(line)
    raise typer.Exit(0 if healthy else 1)


def _check_bank(bank: Path) -> NoReturn:
    from shoplm_audit.data.banks import check_bank

    held = check_bank(bank)
    typer.echo(held.as_text())
    for fault in held.faults:
        typer.echo(f"bad: {fault}", err=True)
    raise typer.Exit(2 if held.faults else 0 if held.covers else 1)
