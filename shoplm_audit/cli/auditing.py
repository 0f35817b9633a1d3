"""The verbs that audit: run and plan."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoplm_audit.cli.asking import (
    STORE,
    Asked,
    BaselineRun,
    Budget,
    ConfigFile,
    Data,
    Device,
    EngineSpec,
    Guard,
    Language,
    Limit,
    Loading,
    Map,
    MaxRequests,
    ModelSpec,
    ReuseRemote,
    Seed,
    SignKey,
    SkipBad,
    StoreFile,
    Suites,
    Trust,
    With,
    asked_for,
    check_language,
    seconds_of,
)
from shoplm_audit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from shoplm_audit.engine import Stop
    from shoplm_audit.models.asking import Asked as AskedOf
    from shoplm_audit.plan import Plan
    from shoplm_audit.results import AuditResult, BaselineResult
    from shoplm_audit.types import Columns, Model
    from shoplm_audit.waivers import Waiver


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
    early: Annotated[
        bool,
        typer.Option("--early", help="Stop as soon as every gate that can be judged while answers come is decided."),
    ] = False,
    more: Annotated[
        bool, typer.Option("--top-up", help="Ask more cases than planned where such a gate is undecided still.")
    ] = False,
    baseline: BaselineRun = None,
    waivers: Annotated[
        Path | None,
        typer.Option("--waivers", help="Who lets which gate through and until when (see `evidence waive`)."),
    ] = None,
    language: Language = "en",
    sign_key: SignKey = None,
    max_requests: MaxRequests = None,
    reuse_remote: ReuseRemote = False,
    guard: Guard = "",
    trust: Trust = False,
) -> None:
    """Audit a model and write result.json, report.html, junit.xml and the evidence.

    Interrupted, the same command goes on where it stopped. Examples:

    shoplm-audit run faithfulness --model checkpoints/reviews --data products=catalogue.csv --limit 100

    shoplm-audit run --model checkpoints/reviews-v2 --baseline runs/reviews-v1 --waivers waivers.toml
    """
    if model == "demo":
        others = (suites, config, roles, data, limit, device, trust, guard, budget, early, more, baseline, waivers)
        if any(others) or engine != "local" or language != "en":
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
    if early and more:
        raise ConfigError("--early stops as soon as it can, and --top-up does so too once all are asked: give one.")
    check_language(language)
    seconds = None if budget is None else seconds_of(budget)
    asked = asked_for(suites, model, config, roles, data, mapping, skip_bad_rows, seed, limit)
    asked = asked.beside(baseline, waivers)
    release = Release.read(asked, sign_key, language, "early" if early else "top-up" if more else "fixed")
    if out is not None:
        from shoplm_audit.evidence.files import check_writable

        check_writable(out)
    with Loading(device, trust, engine, max_requests, reuse_remote, guard).opened(asked) as models:
        _warned(models)
        folder = out or Path("runs") / f"{_safe(models['model'].name)}-{asked.identity(models)[:12]}"
        audited = _audit(asked, models, folder, store, seconds, trust, release)
        for line in (line for one in models.values() for line in getattr(one, "usage", ())):
            typer.echo(line, err=True)
    raise typer.Exit(audited.exit_code)


def _warned(models: dict[str, Model]) -> None:
    """Says what has to be known of a guard before it is relied on."""
    for line in filter(None, (getattr(one, "warning", "") for one in models.values())):
        typer.echo(line, err=True)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60].strip(".") or "model"


@dataclass(frozen=True, slots=True)
class Release:
    """What a run is held to and told in beside its gates: an earlier run, waivers, a key, a language, when it stops."""

    stop: Stop
    language: str
    baseline: tuple[str, AuditResult] | None
    waivers: list[Waiver]
    key: Ed25519PrivateKey | None

    @classmethod
    def read(cls, asked: Asked, sign_key: Path | None, language: str, stop: Stop) -> Release:
        """All of it, before a model is loaded.

        Raises:
            ConfigError: waivers or a key that cannot be read, or a waiver of a gate that this audit does not have.
            DataError: no finished run as the baseline.
        """
        from shoplm_audit.config import gates_of
        from shoplm_audit.evidence.files import load_run
        from shoplm_audit.signing import key_at_hand
        from shoplm_audit.waivers import read_waivers

        earlier = asked.config.baseline
        signed = [] if asked.config.waivers is None else read_waivers(asked.config.waivers)
        known = {f"{suite.name}.{gate.id}" for suite in asked.suites for gate in gates_of(suite, asked.policy.gates)}
        unknown = sorted({one.gate for one in signed} - known)
        if unknown:
            raise ConfigError(
                f'{asked.config.waivers}: this audit has no gate "{unknown[0]}". `report` shows their names.'
            )
        return cls(
            stop,
            language,
            None if earlier is None else (earlier.resolve().name, load_run(earlier)),
            signed,
            key_at_hand(sign_key),
        )


def _audit(
    asked: Asked,
    models: dict[str, Model],
    folder: Path,
    store: Path,
    budget: float | None,
    trust: bool,
    release: Release,
) -> AuditResult:
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.concluding import concluded
    from shoplm_audit.engine import Keeper, audit
    from shoplm_audit.evidence.claiming import claimed
    from shoplm_audit.evidence.files import check_writable
    from shoplm_audit.rendering.files import write_all
    from shoplm_audit.store import Store
    from shoplm_audit.waivers import waivers_json

    check_writable(folder)
    identity = asked.identity(models)
    # A first look at a fixed number of cases has spent the error once.
    looked = release.stop == "top-up" and _judged_before(folder)
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
                stop=release.stop,
            )
        today = date.today()
        audited = concluded(
            audited,
            asked.names,
            waivers=release.waivers,
            keys=asked.config.waiver_keys,
            today=today,
            baseline=release.baseline,
            margins=asked.config.margins,
        )
        notes = ["Loaded with --trust: its weights or code could run anything."] if trust else []
        if looked:
            both = 100 * (2 * asked.policy.confidence - 1)
            notes.append(f"Judged before on a fixed number of cases: over both looks each bound holds at {both:.4g} %.")
        result = audited.result.model_copy(
            update={
                "command": shlex.join(["shoplm-audit", *sys.argv[1:]]),
                "notes": audited.result.notes + notes,
                "model": audited.result.model.model_copy(update={"spec": asked.spec}),
            }
        )
        audited = type(audited)(result, audited.observations)
        meta = {
            "suites": asked.names,
            "identity": identity,
            "language": release.language,
            "today": today.isoformat(),
            "waivers": waivers_json(release.waivers),
            "waiver_keys": asked.config.waiver_keys,
            "limit": asked.config.limit,
        }
        write_all(folder, audited, keeper, meta, key=release.key)
    _told(audited, folder)
    return audited


def _judged_before(folder: Path) -> bool:
    from shoplm_audit.evidence.files import load_run

    try:
        return load_run(folder).result.stopping is None
    except DataError:
        return False


def _told(audited: AuditResult, folder: Path) -> None:
    from rich.console import Console

    from shoplm_audit.rendering.masking import visible
    from shoplm_audit.rendering.terminal import print_summary

    for one in audited.result.waivers:
        typer.echo(f"waiver of {one.gate} by {visible(one.by)} until {one.until}: {one.state}")
    if audited.result.baseline is not None:
        typer.echo(_beside(audited.result.baseline))
    print_summary(audited, Console())
    typer.echo(f"{folder / 'report.html'}")


def _beside(baseline: BaselineResult) -> str:
    """What became of the gates' metrics since the baseline, in a line; the worse ones by name."""
    from shoplm_audit.rendering.masking import visible

    counts = Counter(change.verdict for change in baseline.changes)
    said = ", ".join(f"{counts[one]} {one}" for one in ("worse", "undecided", "undefined", "no worse") if counts[one])
    worse = [change.gate for change in baseline.changes if change.verdict == "worse"]
    names = f" Worse: {', '.join(worse[:6])}{' ...' if len(worse) > 6 else ''}." if worse else ""
    return f"beside {visible(baseline.run)}: of {len(baseline.changes)} gates' metrics {said}.{names}"


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
    baseline: BaselineRun = None,
    curves: Annotated[
        Path | None,
        typer.Option("--curves", help="Draw what the policy would do, its operating characteristic, into this HTML."),
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

    Of the policy as a whole it says how often it blocks a model that has not changed, and how often it lets a worse one
    through; with --baseline, beside that run.

    With --prompts and no model at hand: shoplm-audit plan faithfulness --model recorded:none --prompts prompts.jsonl
    """
    from shoplm_audit.evidence.files import load_run
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
    earlier = asked.beside(baseline, None).config.baseline
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
            models,
            asked.suites,
            asked.material(models),
            asked.policy,
            trial=4 if models else 0,
            known=known,
            baseline=None if earlier is None else load_run(earlier).result,
        )
    written = 0 if prompts is None else write_prompts(planned, prompts)
    from rich.console import Console

    print_plan(planned, Console(), budget=seconds, max_requests=max_requests)
    if curves is not None:
        _draw(planned, curves)
    if prompts is not None:
        if "privacy" in asked.names:
            note = (
                "holds what customers wrote, and what canaries begin with: send it to nobody who may not see the data"
            )
            typer.echo(f"note: {prompts} {note}.", err=True)
        typer.echo(f"{prompts}: {written} prompts. Answer each with one line of")
        typer.echo('  {"case": ..., "sample": ..., "text": ...}   and audit them with --model recorded:FILE.jsonl')


def _draw(planned: Plan, curves: Path) -> None:
    from shoplm_audit.rendering.operating import render_operating

    if planned.operating is None:
        raise ConfigError(f"--curves {curves}: no gate of this audit can be counted, so there is nothing to draw.")
    try:
        curves.write_text(render_operating(planned.operating), encoding="utf-8")
    except OSError as fault:
        raise DataError(f"{curves}: cannot be written ({fault.strerror}). Name another file.") from fault
    typer.echo(str(curves))
