"""The verb that trains across epsilons and audits each: frontier."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from shoplm_audit.cli.asking import Device, Limit, Map, SkipBad
from shoplm_audit.errors import ConfigError, MachineError

__all__ = ["epsilons_of", "frontier"]


def epsilons_of(text: str) -> list[float]:
    """Epsilons divided by commas.

    >>> epsilons_of("1, 3,inf")
    [1.0, 3.0, inf]

    Raises:
        ConfigError: one is no number.
    """
    found = []
    for part in (part.strip() for part in text.split(",")):
        try:
            found.append(float(part))
        except ValueError as fault:
            raise ConfigError(f'--epsilons "{part}": an epsilon is a number above 0, or inf. Try 1,3,8,inf.') from fault
    return found


def frontier(
    epsilons: Annotated[
        str, typer.Option("--epsilons", help="Budgets, divided by commas; inf is the plain training.")
    ] = "1,3,8,inf",
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Records of customers, to be hidden, [KIND=]FILE.", metavar="[KIND=]FILE"),
    ] = None,
    public: Annotated[
        list[str] | None,
        typer.Option(
            "--public",
            help="Text that needs no protection, [KIND=]FILE: mixed in, and what the common first model is made from.",
            metavar="[KIND=]FILE",
        ),
    ] = None,
    mapping: Map = None,
    skip_bad_rows: SkipBad = False,
    base: Annotated[
        str, typer.Option("--from", help="The model all points go on from; otherwise one trained on --public.")
    ] = "",
    unit: Annotated[
        str, typer.Option("--unit", help="Whose presence is hidden: one record, or all of a user.")
    ] = "record",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of each training.")] = 500,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows, or expected units, of a step.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of AdamW, at its peak.")] = 2e-3,
    clip_norm: Annotated[float, typer.Option("--clip-norm", help="Of one unit's gradient.")] = 0.5,
    layers: Annotated[int, typer.Option("--layers", min=1, help="Of a new first model.")] = 4,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Of a new first model.")] = 4,
    width: Annotated[int, typer.Option("--width", min=1, help="Of a new first model.")] = 128,
    context: Annotated[
        int, typer.Option("--context", help="Tokens of a row.", show_default="160; of --from, its own up to 512")
    ] = 0,
    vocabulary: Annotated[int, typer.Option("--vocabulary", min=257, help="Of a new tokenizer.")] = 4096,
    canary_count: Annotated[
        int, typer.Option("--canary-count", min=1, help="How many invented secrets, each put in by a fair coin.")
    ] = 168,
    suites: Annotated[
        list[str] | None,
        typer.Option("--suite", help="A suite by name or folder; repeat it for more.", show_default="all built-in"),
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--with", help="A further model by role, ROLE=SPEC (reference, shadow, ...).", metavar="ROLE=SPEC"
        ),
    ] = None,
    limit: Limit = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Of weights, order, coins, canaries and cases; never of privacy noise.")
    ] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder of the frontier.")] = Path("runs/frontier"),
    device: Device = None,
) -> None:
    """Train at several epsilons, audit each model, and draw what privacy costs and buys on one page.

    Each point has the same first model, data, members, canaries, seed and steps; without --from the first model is
    trained on --public alone. OUT holds base/, epsilon-1/, ..., plain/ (model and report of each), frontier.json and
    index.html. What is finished is kept: after an interruption the same command goes on from there, and more epsilons
    can be named later. Verdicts are shown and judge nothing: exit 0 when every point was trained and audited.

    shoplm-audit frontier --data reviews=reviews.csv --public products=catalogue.csv --unit user --epsilons 1,3,8,inf
    """
    from shoplm_audit.cli.asking import _roles_of
    from shoplm_audit.cli.training import _Reading
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.data.care import Care
    from shoplm_audit.engine import suites_of
    from shoplm_audit.frontier import check_folder, points_of, run_frontier
    from shoplm_audit.models.load import local_folder
    from shoplm_audit.suites import suite_names
    from shoplm_audit.training.settings import TrainSettings

    wanted, names, further = epsilons_of(epsilons), suites or list(suite_names()), _roles_of(roles)
    points = points_of(wanted, out)
    suites_of(names)
    check_folder(out)
    if not data:
        raise ConfigError("nothing to hide: name records of customers with --data.")
    settings = TrainSettings(
        base=str(local_folder(base)) if base else "",
        unit=cast(Any, unit),
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        layers=layers,
        heads=heads,
        width=width,
        context=context,
        vocabulary=vocabulary,
        canaries=canary_count,
        seed=seed,
    )
    reading = _Reading(settings.objective, mapping, skip_bad_rows, Care())
    hidden = any(epsilon < math.inf for epsilon in wanted)
    private, _ = reading.examples(data, private=True, hidden=hidden)
    shared, _ = reading.examples(public, private=False, hidden=False)
    from shoplm_audit.rendering.files import write_all
    from shoplm_audit.rendering.frontier import render_frontier

    with Watched() as watched:
        found = run_frontier(
            settings,
            shared,
            private,
            wanted,
            names,
            out,
            watched,
            roles=further,
            limit=limit,
            device=device or "",
            write=write_all,
        )
    page = out / "index.html"
    try:
        page.write_text(render_frontier(found), encoding="utf-8")
    except OSError as fault:
        raise MachineError(f"{page}: cannot be written ({fault.strerror}). Free space, then run again.") from fault
    for point in points:
        result = found.results[point.name]
        failed = [gate.id for suite in result.suites for gate in suite.gates if gate.verdict == "fail"]
        typer.echo(f"{point.name:<14}{result.verdict:<11}{', '.join(failed)}".rstrip())
    for note in found.notes:
        typer.echo(f"note: {note}")
    typer.echo(str(page))
