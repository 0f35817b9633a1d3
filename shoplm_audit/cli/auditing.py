"""The verbs that audit: run, plan, compare, report."""

from __future__ import annotations

import json
import shlex
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoplm_audit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shoplm_audit.config import Config
    from shoplm_audit.engine import Policy
    from shoplm_audit.prompts import Prompts
    from shoplm_audit.results import AuditResult
    from shoplm_audit.types import Material, Model, Suite

Suites = Annotated[
    list[str] | None, typer.Argument(help="Suites by name or folder; all built-in ones if none is given.")
]
ModelSpec = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="What to audit: a folder or hub name, FILE.gguf, python:module:function, recorded:FILE.jsonl, or demo.",
        metavar="SPEC",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="An audit.toml; the command line wins over it.")]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="A further model by role, ROLE=SPEC (reference, second, ...).", metavar="ROLE=SPEC"),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Your records, KIND=FILE (products, reviews, dialogues, interactions, texts); repeat it for more files. "
        "What you do not give is ShopWorld's.",
        metavar="KIND=FILE",
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="FIELD=COLUMN where a file calls a field otherwise.", metavar="FIELD=COLUMN"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad-rows", help="Count and list bad rows instead of stopping.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Decides cases, texts and resamples.", show_default="0")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="The most cases of a probe.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...; a GPU where there is one.")]
Trust = Annotated[bool, typer.Option("--trust", help="Allow pickled weights and code that comes with the model.")]

KEPT_RECORDS = 50_000  # cases are drawn from a seeded sample of this size; a larger file never sits in memory whole


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked on the command line and in `audit.toml`, merged and checked."""

    config: Config
    spec: str
    names: list[str]
    suites: list[Suite]
    records: dict[str, list[Any]]
    prompts: Prompts
    policy: Policy
    seed: int

    def identity(self, models: dict[str, Model]) -> str:
        """A digest of what makes this audit this one: model, suites, prompts, data, limits, seed."""
        from shoplm_audit.store import digest
        from shoplm_audit.suites import suite_folder

        sources = [(suite_folder(name) / "suite.py").read_text(encoding="utf-8") for name in self.names]
        weights = {role: model.fingerprint or model.name for role, model in models.items()}
        # str(record) is the record's fields: the same rows give the same digest wherever the file lies.
        data = {kind: digest([str(row) for row in rows]) for kind, rows in self.records.items()}
        policy = self.config.model_dump(mode="json", include={"gates", "scope", "confidence", "limit"})
        return digest(
            weights, self.spec if not weights["model"] else "", sources, data, self.prompts.digest, policy, self.seed
        )


def pairs_of(option: str, values: list[str] | None) -> dict[str, str]:
    """NAME=VALUE options as a mapping; a name that is given twice is an error."""
    pairs = {}
    for value in values or []:
        key, equals, rest = value.partition("=")
        if not (key and equals and rest):
            raise ConfigError(f'{option} "{value}": it has to be NAME=VALUE.')
        if key in pairs:
            raise ConfigError(f'{option} "{value}": {key} was given already.')
        pairs[key] = rest
    return pairs


def _files_of(values: list[str] | None) -> dict[str, list[Path]]:
    """KIND=FILE options as files by kind; a kind that is given twice has both files."""
    files: dict[str, list[Path]] = {}
    for value in values or []:
        for kind, path in pairs_of("--data", [value]).items():
            files.setdefault(kind, []).append(Path(path))
    return files


def _asked(
    suites: list[str] | None,
    model: str | None,
    config: Path | None,
    roles: list[str] | None,
    data: list[str] | None,
    mapping: list[str] | None,
    skip_bad_rows: bool,
    seed: int | None,
    limit: int | None,
) -> Asked:
    """Merges, loads and checks everything that costs little, before a model is loaded."""
    from shoplm_audit.config import Config, check_names, read_config
    from shoplm_audit.data.readers import read_records
    from shoplm_audit.data.sampling import reservoir
    from shoplm_audit.engine import Policy, suites_of
    from shoplm_audit.prompts import Prompts
    from shoplm_audit.suites import suite_names

    merged = read_config(config) if config else Config()
    changes: dict[str, Any] = {
        "model": model,
        "suites": suites or None,
        "limit": limit,
        "seed": seed,
        "roles": (merged.roles | pairs_of("--with", roles)) or None,
    }
    merged = merged.model_copy(update={key: value for key, value in changes.items() if value is not None})
    if not merged.model:
        raise ConfigError(
            "no model: name one with --model SPEC, or in audit.toml. `--model demo` shows what comes out."
        )
    if merged.model == "demo":
        raise ConfigError(
            '"demo" is no model to be loaded: `shoplm-audit run --model demo` trains two and audits them.'
        )
    names = merged.suites or list(suite_names())
    loaded = suites_of(list(names))
    check_names(merged, loaded)
    prompts = Prompts.read(merged.prompts, merged.system)
    chosen = merged.seed or 0
    columns = pairs_of("--map", mapping)

    def rows_of(kind: str, paths: list[Path]) -> Iterator[Any]:
        for path in paths:
            yield from read_records(
                kind,
                path,
                mapping=columns,
                skip_bad_rows=skip_bad_rows,
                on_bad=lambda message: typer.echo(f"skipped: {message}", err=True),
            )

    files = {kind: [path] for kind, path in merged.data.items()} | _files_of(data)
    records = {kind: reservoir(rows_of(kind, paths), KEPT_RECORDS, chosen) for kind, paths in files.items()}
    policy = Policy(merged.gates, merged.scope, merged.confidence)
    return Asked(merged, merged.model, names, loaded, records, prompts, policy, chosen)


def _load(asked: Asked, device: str | None, trust: bool) -> dict[str, Model]:
    from shoplm_audit.models.load import load_model

    specs = {"model": asked.spec} | asked.config.roles
    return {role: load_model(spec, device=device, trust=trust) for role, spec in specs.items()}


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
    store: Annotated[Path, typer.Option("--store", help="Where answers are kept across runs.")] = Path(
        "runs/store.sqlite"
    ),
    seed: Seed = None,
    limit: Limit = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Audit a model and write result.json, report.html, junit.xml and the evidence.

    Interrupted, the same command goes on where it stopped. Example:

    shoplm-audit run faithfulness --model checkpoints/reviews --data products=catalogue.csv --limit 100
    """
    if model == "demo":
        if any((suites, config, roles, data, limit, device, trust)):
            raise ConfigError(
                "the demo has its own suites, data and limits (demo.toml): give it only --out and --seed."
            )
        from shoplm_audit.cli.watching import Watched
        from shoplm_audit.demo import run_demo

        with Watched() as watched:
            code = run_demo(out or Path("runs/demo"), watched, seed or 0)
        raise typer.Exit(code)
    asked = _asked(suites, model, config, roles, data, mapping, skip_bad_rows, seed, limit)
    if out is not None:
        from shoplm_audit.evidence.files import check_writable

        check_writable(out)
    models = _load(asked, device, trust)
    identity = asked.identity(models)
    folder = out or Path("runs") / f"{_safe(models['model'].name)}-{identity[:12]}"
    audited = _audit(asked, models, identity, folder, store, trust)
    raise typer.Exit(audited.exit_code)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60].strip(".") or "model"


def _audit(
    asked: Asked, models: dict[str, Model], identity: str, folder: Path, store: Path, trust: bool
) -> AuditResult:
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.engine import Keeper, audit
    from shoplm_audit.evidence.files import check_writable
    from shoplm_audit.rendering.files import write_all
    from shoplm_audit.store import Store

    check_writable(folder)
    token = _claim(folder, identity)
    keeper = Keeper()
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


def _claim(folder: Path, identity: str) -> str:
    """Marks the folder as this audit's; the token it returns tells runs of unverifiable models apart."""
    marker = folder / "run.json"
    if marker.is_file():
        try:
            known = json.loads(marker.read_text(encoding="utf-8"))
            if known["identity"] == identity:
                return str(known["token"])
        except (ValueError, KeyError) as fault:
            raise DataError(f"{marker}: cannot be read ({fault}). Name another folder with --out.") from fault
        raise DataError(
            f"{folder}: holds another audit (other model, data, suites or limits). Name another with --out."
        )
    token = uuid.uuid4().hex
    marker.write_text(json.dumps({"identity": identity, "token": token}) + "\n", encoding="utf-8")
    return token


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
    seed: Seed = None,
    limit: Limit = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Say what an audit would cost and what it could see, before anything is spent.

    With --prompts and no model at hand: shoplm-audit plan faithfulness --model recorded:none --prompts prompts.jsonl
    """
    from shoplm_audit.data.shop import ShopRecords
    from shoplm_audit.plan import plan as planned_for
    from shoplm_audit.plan import write_prompts
    from shoplm_audit.rendering.terminal import print_plan
    from shoplm_audit.types import Material

    elsewhere = prompts is not None and model in (None, "recorded:none")
    asked = _asked(
        suites, "recorded:none" if elsewhere else model, config, roles, data, mapping, skip_bad_rows, seed, limit
    )
    models = {} if elsewhere else _load(asked, device, trust)
    record = models["model"].record if models else None
    records = ShopRecords(asked.records, asked.seed)
    material: Material = Material(
        asked.prompts.render, records, frozenset(asked.records), record, asked.seed, asked.config.limit
    )
    planned = planned_for(models, asked.suites, material, asked.policy, trial=4 if models else 0)
    written = 0 if prompts is None else write_prompts(planned, prompts)
    from rich.console import Console

    print_plan(planned, Console())
    if prompts is not None:
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
    form: Annotated[str, typer.Option("--format", help="html or junit.")] = "html",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; into the run's folder if not given.")
    ] = None,
) -> None:
    """Render a finished run again."""
    from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
    from shoplm_audit.rendering.files import FORMS, render

    if form not in FORMS:
        raise ConfigError(f'--format "{form}": there are {", ".join(FORMS)}.')
    audited = load_run(run_folder)
    target = out or run_folder / FORMS[form]
    text = render(form, audited, meta_of(run_folder).get("banner", ""))
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise DataError(f"{target}: cannot be written ({fault.strerror}). Name another file with --out.") from fault
    if out is None:
        write_manifest(run_folder)
    typer.echo(str(target))
