"""The verbs that audit: run, plan, compare, report."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoplm_audit.cli.asking import (
    STORE,
    Asked,
    Budget,
    ConfigFile,
    Data,
    Device,
    EngineSpec,
    Guard,
    Limit,
    Loading,
    Map,
    MaxRequests,
    ModelSpec,
    ReuseRemote,
    Seed,
    SkipBad,
    StoreFile,
    Suites,
    Trust,
    With,
    asked_for,
    seconds_of,
)
from shoplm_audit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shoplm_audit.models.asking import Asked as AskedOf
    from shoplm_audit.results import AuditResult
    from shoplm_audit.types import Columns, Model


def run(
    suites: Suites = None,
    model: ModelSpec = None,
    config: ConfigFile = None,
    roles: With = None,
    data: Data = None,
    mapping: Map = None,
    skip_bad_rows: SkipBad = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run.", show_default="runs/<model>-<digest of the audit>")
    ] = None,
    store: StoreFile = STORE,
    seed: Seed = None,
    limit: Limit = None,
    device: Device = None,
    engine: EngineSpec = "local",
    budget: Budget = None,
    max_requests: MaxRequests = None,
    reuse_remote: ReuseRemote = False,
    guard: Guard = "",
    trust: Trust = False,
) -> None:
    """Audit a model and write result.json, report.html, junit.xml and the evidence.

    Interrupted, the same command goes on where it stopped. Example:

    shoplm-audit run faithfulness --model checkpoints/reviews --data products=catalogue.csv --limit 100
    """
    if model == "demo":
        if any((suites, config, roles, data, limit, device, trust, guard, budget, engine != "local")):
            raise ConfigError(
                "the demo has its own suites, data and limits (demo.toml): give it only --out and --seed."
            )
        from shoplm_audit.cli.watching import Watched
        from shoplm_audit.demo import run_demo
        from shoplm_audit.evidence.claiming import claimed
        from shoplm_audit.evidence.files import check_writable

        folder = out or Path("runs/demo")
        check_writable(folder)
        with claimed(folder, "demo"), Watched() as watched:
            code = run_demo(folder, watched, seed or 0)
        raise typer.Exit(code)
    seconds = None if budget is None else seconds_of(budget)
    asked = asked_for(suites, model, config, roles, data, mapping, skip_bad_rows, seed, limit)
    if out is not None:
        from shoplm_audit.evidence.files import check_writable

        check_writable(out)
    with Loading(device, trust, engine, max_requests, reuse_remote, guard).opened(asked) as models:
        _warned(models)
        folder = out or Path("runs") / f"{_safe(models['model'].name)}-{asked.identity(models)[:12]}"
        audited = _audit(asked, models, folder, store, seconds, trust)
        for line in (line for one in models.values() for line in getattr(one, "usage", ())):
            typer.echo(line, err=True)
    raise typer.Exit(audited.exit_code)


def _warned(models: dict[str, Model]) -> None:
    """Says what has to be known of a guard before it is relied on."""
    for line in filter(None, (getattr(one, "warning", "") for one in models.values())):
        typer.echo(line, err=True)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60].strip(".") or "model"


def _audit(
    asked: Asked, models: dict[str, Model], folder: Path, store: Path, budget: float | None, trust: bool
) -> AuditResult:
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.engine import Keeper, audit
    from shoplm_audit.evidence.claiming import claimed
    from shoplm_audit.evidence.files import check_writable
    from shoplm_audit.rendering.files import write_all
    from shoplm_audit.store import Store

    check_writable(folder)
    identity = asked.identity(models)
    keeper = Keeper()
    with claimed(folder, identity) as token:
        with Store(store) as answers, Watched() as watched:
            audited = audit(
                models["model"],
                asked.suites,
                roles={role: model for role, model in models.items() if role != "model"},
                seed=asked.seed,
                limit=asked.config.limit,
                data=asked.records,
                prompts=asked.prompts,
                policy=asked.policy,
                store=answers,
                run=token,
                progress=watched,
                keeper=keeper,
                budget=budget,
            )
        notes = ["Loaded with --trust: its weights or code could run anything."] if trust else []
        result = audited.result.model_copy(
            update={
                "command": shlex.join(["shoplm-audit", *sys.argv[1:]]),
                "notes": audited.result.notes + notes,
                "model": audited.result.model.model_copy(update={"spec": asked.spec}),
            }
        )
        audited = type(audited)(result, audited.observations)
        write_all(folder, audited, keeper.exchanges, {"suites": asked.names, "identity": identity})
    _told(audited, folder)
    return audited


def _told(audited: AuditResult, folder: Path) -> None:
    from rich.console import Console

    from shoplm_audit.rendering.terminal import print_summary

    print_summary(audited, Console())
    typer.echo(f"{folder / 'report.html'}")


def plan(
    suites: Suites = None,
    model: ModelSpec = None,
    config: ConfigFile = None,
    roles: With = None,
    data: Data = None,
    mapping: Map = None,
    skip_bad_rows: SkipBad = False,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="Write every prompt to this JSONL, to be answered elsewhere.")
    ] = None,
    store: StoreFile = STORE,
    seed: Seed = None,
    limit: Limit = None,
    device: Device = None,
    engine: EngineSpec = "local",
    budget: Budget = None,
    max_requests: MaxRequests = None,
    reuse_remote: ReuseRemote = False,
    guard: Guard = "",
    trust: Trust = False,
) -> None:
    """Say what an audit would cost and what it could see, before anything is spent.

    With --prompts and no model at hand: shoplm-audit plan faithfulness --model recorded:none --prompts prompts.jsonl
    """
    from shoplm_audit.models.remembered import Remembered
    from shoplm_audit.plan import plan as planned_for
    from shoplm_audit.plan import write_prompts
    from shoplm_audit.rendering.terminal import print_plan
    from shoplm_audit.store import Store

    seconds = None if budget is None else seconds_of(budget)
    elsewhere = prompts is not None and model in (None, "recorded:none")
    asked = asked_for(
        suites, "recorded:none" if elsewhere else model, config, roles, data, mapping, skip_bad_rows, seed, limit
    )
    with ExitStack() as stack:
        models = (
            {}
            if elsewhere
            else stack.enter_context(Loading(device, trust, engine, max_requests, reuse_remote, guard).opened(asked))
        )
        _warned(models)
        remembered: dict[str, Remembered] = {}
        if models and store.is_file():
            answers = stack.enter_context(Store(store))
            remembered = {role: Remembered(one, answers) for role, one in models.items()}

        def known(role: str, requests: AskedOf, columns: Columns) -> int:
            return remembered[role].known(requests, columns) if role in remembered else 0

        planned = planned_for(
            models, asked.suites, asked.material(models), asked.policy, trial=4 if models else 0, known=known
        )
    written = 0 if prompts is None else write_prompts(planned, prompts)
    from rich.console import Console

    print_plan(planned, Console(), budget=seconds, max_requests=max_requests)
    if prompts is not None:
        if "privacy" in asked.names:
            note = (
                "holds what customers wrote, and what canaries begin with: send it to nobody who may not see the data"
            )
            typer.echo(f"note: {prompts} {note}.", err=True)
        typer.echo(f"{prompts}: {written} prompts. Answer each with one line of")
        typer.echo('  {"case": ..., "sample": ..., "text": ...}   and audit them with --model recorded:FILE.jsonl')


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the run that is the baseline.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the run that is compared with it.")],
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, help="How much worse is still acceptable, in the metric's unit.")
    ] = 0.0,
) -> None:
    """Compare two runs on the same cases, paired. Exit 1 when a metric is worse than the margin."""
    from rich.console import Console

    from shoplm_audit.compare import compare as compared
    from shoplm_audit.evidence.files import load_run, meta_of
    from shoplm_audit.rendering.terminal import print_changes

    old, new = load_run(first), load_run(second)
    names = [name for name in meta_of(first).get("suites", []) if name in meta_of(second).get("suites", [])]
    changes = compared(old, new, names, margin=margin)
    print_changes(changes, Console())
    raise typer.Exit(1 if any(change.verdict == "worse" for change in changes) else 0)


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    form: Annotated[
        str, typer.Option("--format", help="html, junit, or labels: a JSONL of texts for people to label.")
    ] = "html",
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="A filled-in file of --format labels: result and report then hold the rate that people find.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            min=1,
            help="With --format labels: about how many texts; more where the checker is unsure.",
            show_default="100",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; into the run's folder if not given.")
    ] = None,
) -> None:
    """Render a finished run again, or have people check a sample of it.

    What the claim checker gets wrong, people correct: `report RUN --format labels` writes texts with their records;
    set "label" in each line, from the top, to true (a statement is false by the record) or false, then give the file
    back with `report RUN --labels FILE`.
    """
    from shoplm_audit.evidence.claiming import held
    from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
    from shoplm_audit.rendering.files import FORMS, render

    if form not in (*FORMS, "labels"):
        raise ConfigError(f'--format "{form}": there are {", ".join([*FORMS, "labels"])}.')
    if count is not None and form != "labels":
        raise ConfigError(f"--count {count}: only --format labels draws texts.")
    if labels is not None:
        if form != "html" or out is not None:
            raise ConfigError("--labels changes the run's own result and report: give neither --format nor --out.")
        _corrected_by(labels, run_folder)
        return
    target = out or run_folder / FORMS.get(form, "labels.jsonl")
    with held(run_folder) if out is None and run_folder.is_dir() else nullcontext():
        audited = load_run(run_folder)
        if form == "labels":
            text = _to_label(audited, target, count or 100)
        else:
            text = render(form, audited, meta_of(run_folder).get("banner", ""))
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise DataError(f"{target}: cannot be written ({fault.strerror}). Name another file with --out.") from fault
        if out is None:
            write_manifest(run_folder)
    typer.echo(str(target))


def _to_label(audited: AuditResult, target: Path, count: int) -> str:
    from shoplm_audit.evidence.labelling import labelled_in, lines_to_label
    from shoplm_audit.rendering.masking import mask

    if there := labelled_in(target):
        raise DataError(f"{target}: holds {there} labels already. Name another file with --out, or move it away.")
    lines = lines_to_label(audited, count, mask)
    typer.echo(f'{len(lines)} texts: set "label" in each, from the top, to true (a statement is false) or false;')
    typer.echo("then: shoplm-audit report RUN --labels FILE")
    return "".join(f"{line}\n" for line in lines)


def _corrected_by(file: Path, run_folder: Path) -> None:
    """Writes the rate that people find into a run, and its reports again."""
    from shoplm_audit.evidence.claiming import held
    from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
    from shoplm_audit.evidence.labelling import BY_PEOPLE, corrected_by_people, keep_result, read_labels
    from shoplm_audit.rendering.files import FORMS, render
    from shoplm_audit.rendering.masking import mask
    from shoplm_audit.rendering.wording import said

    with held(run_folder) if run_folder.is_dir() else nullcontext():
        audited = load_run(run_folder)
        audited = corrected_by_people(audited, read_labels(file, audited, mask))
        banner = meta_of(run_folder).get("banner", "")
        texts = {run_folder / name: render(form, audited, banner) for form, name in FORMS.items()}
        keep_result(run_folder, audited)
        try:
            for path, text in texts.items():
                path.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise DataError(f"{run_folder}: cannot be written ({fault.strerror}). Free space, run it again.") from fault
        write_manifest(run_folder)
    for one in (one for suite in audited.result.suites for one in suite.estimates if one.metric == BY_PEOPLE):
        shown = said(one.value, one.low, one.high, one.metric)
        where = "".join(f"[{key}={value}]" for key, value in one.slice.items())
        typer.echo(f"{one.metric}{where}: {shown.value}, between {shown.low} and {shown.high}; {one.note}")
    typer.echo(str(run_folder / FORMS["html"]))
