"""The command line: each verb parses, calls one public function, prints.

shoplm-audit run faithfulness privacy --model checkpoints/reviews
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from shoplm_audit.cli import (
    auditing,
    caching,
    comparing,
    frontier,
    inspecting,
    mitigating,
    proving,
    reporting,
    scoring,
    training,
    verifying,
    writing,
)
from shoplm_audit.errors import AuditError, Unsupported

__all__ = ["app", "main"]

app = typer.Typer(
    name="shoplm-audit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="""Evaluate and audit the language models of online shops, in English and Chinese: is the model good, true,
    fair, detectable, private?

    Start with `shoplm-audit run --model demo`, then `shoplm-audit run --model YOUR_MODEL_FOLDER`.

    Exit codes: 0 every gate in scope passed; 1 a gate failed; 2 usage, configuration or input error; 3 no gate failed
    but one is undecided or was not tested; 4 the machine failed; 130 interrupted. What was done is kept.""",
)

app.command("run")(auditing.run)
app.command("plan")(auditing.plan)
app.command("compare")(comparing.compare)
app.command("report")(reporting.report)
app.command("prove")(proving.prove)
app.command("verify")(verifying.verify)
evidence = typer.Typer(no_args_is_help=True, help="Waive a gate; erase a subject.", rich_markup_mode=None)
evidence.command("waive")(verifying.waive)
evidence.command("erase")(verifying.erase)
app.add_typer(evidence, name="evidence")
app.command("train")(training.train)
app.command("mitigate")(mitigating.mitigate)
app.command("frontier")(frontier.frontier)
app.command("generate")(writing.generate)
app.command("score")(scoring.score)
app.command("suites")(inspecting.suites)
app.command("doctor")(inspecting.doctor)
data = typer.Typer(no_args_is_help=True, help="Look at data files before they are used.", rich_markup_mode=None)
data.command("check")(inspecting.check)
app.add_typer(data, name="data")
cache = typer.Typer(no_args_is_help=True, help="Look into the store of answers.", rich_markup_mode=None)
cache.command("explain")(caching.explain)
app.add_typer(cache, name="cache")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"shoplm-audit {installed('shoplm-audit')}")
        raise typer.Exit


def main() -> None:
    """Runs the command; what a user can put right is one line and a code, anything else keeps its traceback."""
    # Nothing is fetched unless a hub name was given; libraries are kept from saying hello.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except AuditError as fault:
        typer.echo(f"error: {fault}", err=True)
        sys.exit(fault.exit_code)
    except Unsupported as fault:
        typer.echo(f"error: this model cannot do that: {fault}", err=True)
        sys.exit(2)
    except Exception as fault:
        if _closed_pipe(fault):
            sys.exit(141)
        # A fault of this program: Python's own exit code would say that a gate failed.
        import traceback

        traceback.print_exc()
        sys.exit(4)
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer makes a silent exit of Ctrl-C, and like rich an exit 1 of a closed pipe, which would say a gate failed.
        if isinstance(end, SystemExit) and end.code != 130:
            if _closed_pipe(end):
                sys.exit(141)
            raise
        typer.echo(
            "\ninterrupted: what was answered, or learned up to the last saved state, is kept; "
            "the same command goes on from there.",
            err=True,
        )
        sys.exit(130)


def _closed_pipe(fault: BaseException | None) -> bool:
    """Whether who reads the output (head, less) has seen enough; 141 is what a shell says of that."""
    while fault is not None and not isinstance(fault, BrokenPipeError):
        fault = fault.__context__
    if fault is None:
        return False
    if sys.__stdout__ is not None:  # Python complains once more when it closes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    return True
