"""The verb that holds two finished runs against each other: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoplm_audit.cli.asking import OwnSuites


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the run that is the baseline.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the run that is compared with it.")],
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            min=0.0,
            help="How much worse is still acceptable, in the metric's unit.",
            show_default="as RUN_B was held against its baseline, else 0.02 for shares and 0 for others",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A policy; its [margins] count where no --margin is given.")
    ] = None,
    suites: OwnSuites = None,
) -> None:
    """Compare two runs on the same cases, paired. Exit 1 when a gate's metric is worse than the margin.

    A gate is "worse" when that holds for all gates together, "kept" when its whole interval is within the margin, else
    "undecided". Metrics without a gate are shown too and leave the exit code alone. Example:

    shoplm-audit compare runs/before runs/after
    """
    from rich.console import Console

    from shoplm_audit.compare import compare as compared
    from shoplm_audit.config import check_names, read_config
    from shoplm_audit.evidence.files import load_run, meta_of, suites_for
    from shoplm_audit.rendering.changes import print_changes
    from shoplm_audit.rendering.masking import visible

    old, new = load_run(first), load_run(second)
    known = suites_for(meta_of(second), suites or ())
    for name in [suite.name for suite in new.result.suites if suite.name not in known]:
        typer.echo(
            f"note: suite {visible(name)!r} is left out: it is not built in, and code that only a run names is not "
            "run. Name its folder with --suite.",
            err=True,
        )
    margins: dict[str, float] = {}
    if margin is None:
        held = new.result.baseline
        margins = {change.gate: change.margin for change in held.changes if change.gate} if held else {}
        if config is not None:
            policy = read_config(config)
            check_names(policy, list(known.values()))
            margins = policy.margins
        elif margins:
            typer.echo("note: the margins are those that RUN_B was held against its own baseline with.", err=True)
    baseline = compared(old, new, list(known.values()), margin=margin, margins=margins)
    print_changes(baseline, Console())
    raise typer.Exit(1 if baseline.verdict == "worse" else 0)
