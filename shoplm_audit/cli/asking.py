"""What the verbs that audit have in common: their options, and what was asked once it is merged, checked and loaded."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoplm_audit.errors import ConfigError

if TYPE_CHECKING:
    from shoplm_audit.config import Config
    from shoplm_audit.judging import Policy
    from shoplm_audit.prompts import Prompts
    from shoplm_audit.types import Material, Model, Suite

Suites = Annotated[
    list[str] | None, typer.Argument(help="Suites by name or folder; all built-in ones if none is given.")
]
ModelSpec = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="What to audit: a folder or hub name, FILE.gguf, openai:URL#MODEL, python:module:function, "
        "recorded:FILE.jsonl, or demo.",
        metavar="SPEC",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="An audit.toml; the command line wins over it.")]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="A further model by role, ROLE=SPEC (reference, second, ...); shadow as often as you have shadow models.",
        metavar="ROLE=SPEC",
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Your records, KIND=FILE (products, reviews, dialogues, interactions, texts); repeat it for more files. "
        "What you do not give is ShopWorld's. For the privacy suite also members and nonmembers (what your model was, "
        "and was not, trained on) or protected.",
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
EngineSpec = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Where models compute: local, or ray[:ADDRESS] for a fleet (docs/fleet.md).",
        metavar="local|ray[:ADDRESS]",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="Ask no new cases after this time (90s, 10m, 2h); verdicts then rest on a random part of the cases.",
        metavar="TIME",
    ),
]
MaxRequests = Annotated[
    int | None,
    typer.Option("--max-requests", min=1, help="The most requests sent to a remote model, retries counted."),
]
ReuseRemote = Annotated[
    bool,
    typer.Option(
        "--reuse-remote", help="Reuse a remote model's answers across runs, though its weights cannot be verified."
    ),
]
Guard = Annotated[
    str,
    typer.Option(
        "--guard",
        help="Filter what the model writes and audit that: pii covers personal data that the prompt does not hold, "
        "and the trainer's secrets.",
        metavar="pii",
    ),
]
BaselineRun = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help="An earlier run on the same cases: a gate's metric that became worse by more than its margin fails.",
        metavar="RUN",
    ),
]
Language = Annotated[str, typer.Option("--language", help="Of the report: en or zh.", metavar="en|zh")]
SignKey = Annotated[
    Path | None,
    typer.Option(
        "--sign-key",
        help="PEM of a private Ed25519 key, readable by its owner alone: signs the manifest.",
        show_default="SHOPLM_SIGNING_KEY",
    ),
]
OwnSuites = Annotated[list[Path] | None, typer.Option("--suite", help="Folder of a suite of your own; repeatable.")]
StoreFile = Annotated[Path, typer.Option("--store", help="Where answers are kept across runs.")]

STORE = Path("runs/store.sqlite")
KEY_VARIABLE = "SHOPLM_WATERMARK_KEY"
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
    watermark: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def identity(self, models: Mapping[str, Model]) -> str:
        """A digest of what makes this audit this one: model, suites, prompts, data, limits, seed."""
        from shoplm_audit.store import digest
        from shoplm_audit.suites import suite_folder

        sources = [
            path.read_text(encoding="utf-8")
            for name in self.names
            for path in sorted(suite_folder(name).glob("*"))
            if path.suffix in (".py", ".toml")
        ]
        specs = {"model": self.spec} | self.config.roles
        # What cannot be recognised by its content goes by how it was named.
        weights = {
            role: model.fingerprint or f"{model.name}\0{specs.get(role)}\0{getattr(model, 'source', '')}"
            for role, model in models.items()
        }
        # str(record) is the record's fields: the same rows give the same digest wherever the file lies.
        data = {kind: digest([str(row) for row in rows]) for kind, rows in self.records.items()}
        policy = self.config.model_dump(mode="json", include={"gates", "scope", "confidence", "limit"})
        # Enough to notice another key, too little to guess one by.
        mark = [digest(sorted(self.watermark.items()))[:8]] if self.watermark else []
        return digest(weights, sources, data, self.prompts.digest, policy, self.seed, *mark)

    def beside(self, baseline: Path | None, waivers: Path | None) -> Asked:
        """The same with a baseline and waivers of the command line, which win over the file's."""
        named = {"baseline": baseline, "waivers": waivers}
        changed = {key: path for key, path in named.items() if path is not None}
        return replace(self, config=self.config.model_copy(update=changed))

    def material(self, models: Mapping[str, Model]) -> Material:
        """What cases are made of."""
        from shoplm_audit.observing import material_of

        return material_of(models, self.records, self.prompts, self.seed, self.config.limit)


def check_language(language: str) -> None:
    """Refuses a language that no report has.

    Raises:
        ConfigError: it is another than en or zh.
    """
    if language not in ("en", "zh"):
        raise ConfigError(f'--language "{language}": reports are in en and zh.')


def pairs_of(option: str, values: list[str] | None) -> dict[str, str]:
    """NAME=VALUE options as a mapping; a name that is given twice is an error. `--map product=` says there is none."""
    pairs = {}
    for value in values or []:
        key, equals, rest = value.partition("=")
        if not (key and equals and (rest or option == "--map")):
            raise ConfigError(f'{option} "{value}": it has to be NAME=VALUE.')
        if key in pairs:
            raise ConfigError(f'{option} "{value}": {key} was given already.')
        pairs[key] = rest
    return pairs


def _roles_of(values: list[str] | None) -> dict[str, str]:
    """ROLE=SPEC options by role; of shadow there can be several: "shadow", "shadow-2", ..."""
    roles: dict[str, str] = {}
    for value in values or []:
        for role, spec in pairs_of("--with", [value]).items():
            if role not in roles:
                roles[role] = spec
            elif role == "shadow":
                roles[f"shadow-{1 + sum(name.startswith('shadow') for name in roles)}"] = spec
            else:
                raise ConfigError(f'--with "{value}": {role} was given already.')
    return roles


def _files_of(values: list[str] | None) -> dict[str, list[Path]]:
    """KIND=FILE options as files by kind; a kind that is given twice has both files."""
    from shoplm_audit.data.layouts import FIELDS
    from shoplm_audit.probes.membership import LISTS

    files: dict[str, list[Path]] = {}
    for value in values or []:
        for kind, path in pairs_of("--data", [value]).items():
            if kind not in (*FIELDS, *LISTS):
                known = ", ".join((*FIELDS, *LISTS))
                raise ConfigError(f'--data "{value}": "{kind}" is no kind of data. Kinds: {known}.')
            files.setdefault(kind, []).append(Path(path))
    return files


def asked_for(
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
    from shoplm_audit.config import Config, check_names, read_config, watermark_of
    from shoplm_audit.data.readers import guess_kind, read_records
    from shoplm_audit.data.sampling import reservoir
    from shoplm_audit.engine import suites_of
    from shoplm_audit.judging import Policy
    from shoplm_audit.probes.membership import LISTS
    from shoplm_audit.prompts import Prompts
    from shoplm_audit.suites import suite_names

    merged = read_config(config) if config else Config()
    changes: dict[str, Any] = {
        "model": model,
        "suites": suites or None,
        "limit": limit,
        "seed": seed,
        "roles": (merged.roles | _roles_of(roles)) or None,
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
    watermark = watermark_of(merged, os.environ.get(KEY_VARIABLE, ""))
    names = merged.suites or list(suite_names())
    loaded = suites_of(list(names))
    check_names(merged, loaded)
    prompts = Prompts.read(merged.prompts, merged.system)
    chosen = merged.seed or 0
    columns = pairs_of("--map", mapping)

    def rows_of(kind: str, paths: list[Path]) -> Iterator[Any]:
        for path in paths:
            yield from read_records(
                guess_kind(path) if kind in LISTS else kind,
                path,
                mapping=columns,
                skip_bad_rows=skip_bad_rows,
                on_bad=lambda message: typer.echo(f"skipped: {message}", err=True),
            )

    files = {kind: [path] for kind, path in merged.data.items()} | _files_of(data)
    records = {kind: reservoir(rows_of(kind, paths), KEPT_RECORDS, chosen) for kind, paths in files.items()}
    policy = Policy(merged.gates, merged.scope, merged.confidence)
    return Asked(merged, merged.model, names, loaded, records, prompts, policy, chosen, watermark)


@dataclass(frozen=True, slots=True)
class Loading:
    """How models are loaded: where they compute, what is trusted, what a remote one may cost, who filters its texts."""

    device: str | None = None
    trust: bool = False
    engine: str = "local"
    max_requests: int | None = None
    reuse_remote: bool = False
    guard: str = ""

    @contextmanager
    def opened(self, asked: Asked) -> Iterator[dict[str, Model]]:
        """The models of an audit by role, as long as they are used; the audited one behind its guard.

        Raises:
            ConfigError: the engine or the guard is unknown, the engine not installed, or a watermark asked for that the
                model cannot write.
            ModelError: a model cannot be loaded.
        """
        from shoplm_audit.models.guard import check_guard, guarded
        from shoplm_audit.models.marking import give_mark

        check_guard(self.guard)
        with self._opened(asked) as models:
            if asked.watermark:
                give_mark(models["model"], asked.watermark)
            yield models | {"model": guarded(models["model"], self.guard)}

    @contextmanager
    def _opened(self, asked: Asked) -> Iterator[dict[str, Model]]:
        specs = {"model": asked.spec} | asked.config.roles
        if self.engine == "local":
            yield {role: self._loaded(spec) for role, spec in specs.items()}
            return
        from shoplm_audit.models.distributed import Distributed
        from shoplm_audit.models.fleet import Fleet, engine_of

        engine = engine_of(self.engine)
        with ExitStack() as stack:
            fleet = None
            models: dict[str, Model] = {}
            for role, spec in specs.items():
                if engine.kind == "local" or spec.startswith(_ELSEWHERE):
                    models[role] = self._loaded(spec)
                    continue
                fleet = fleet or stack.enter_context(Fleet(engine, device=self.device))
                models[role] = Distributed(spec, fleet, trust=self.trust)
            yield models

    def _loaded(self, spec: str) -> Model:
        from shoplm_audit.models.endpoint import RemoteSettings
        from shoplm_audit.models.load import load_model

        remote = RemoteSettings(max_requests=self.max_requests, reuse=self.reuse_remote)
        return load_model(spec, device=self.device, trust=self.trust, remote=remote)


# Models that this process asks itself, whatever the engine.
_ELSEWHERE = ("openai:", "recorded:", "python:")
_TIME = re.compile(r"(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s?)?")


def seconds_of(time: str) -> float:
    """A time in seconds; a bare number is seconds.

    >>> seconds_of("90"), seconds_of("10m"), seconds_of("1h30m")
    (90.0, 600.0, 5400.0)

    Raises:
        ConfigError: it is no time above zero.
    """
    found = _TIME.fullmatch(time)
    try:
        parts = {unit: float(number or 0) for unit, number in found.groupdict().items()} if found else {}
    except ValueError:
        parts = {}
    seconds = 3600 * parts.get("h", 0.0) + 60 * parts.get("m", 0.0) + parts.get("s", 0.0)
    if not 0 < seconds < math.inf:
        raise ConfigError(f'--budget "{time}": it has to be a time above zero, such as 90s, 10m or 1h30m.')
    return seconds
