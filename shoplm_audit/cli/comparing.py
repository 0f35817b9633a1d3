"""The verb that holds two finished runs against each other: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the run that is the baseline.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the run that is compared with it.")],
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            min=0.0,
            help="How much worse is still acceptable, in the metric's unit.",
            show_default="0.02 for shares, else 0",
        ),
    ] = None,
) -> None:
    """Compare two runs on the same cases, paired. Exit 1 when a gate's metric is worse than the margin.

    A gate is "worse" when that holds for all gates together, "kept" when its whole interval is within the margin, else
    "undecided". Metrics without a gate are shown too and leave the exit code alone. Example:

    shoplm-audit compare runs/before runs/after
    """
    from rich.console import Console

    from shoplm_audit.compare import compare as compared
    from shoplm_audit.evidence.files import load_run, meta_of
    from shoplm_audit.rendering.changes import print_changes

    old, new = load_run(first), load_run(second)
    names = [name for name in meta_of(first).get("suites", []) if name in meta_of(second).get("suites", [])]
    baseline = compared(old, new, names, margin=margin)
    print_changes(baseline, Console())
    raise typer.Exit(1 if baseline.verdict == "worse" else 0)
