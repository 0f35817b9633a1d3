"""The same training at several epsilons, and the same audit of each: what privacy costs, and what it buys.

run_frontier(settings, public, private, [1.0, 3.0, 8.0, math.inf], ["bias", "privacy"], Path("runs/frontier"), watched)
-> runs/frontier/: base/ (from public text), epsilon-1/ epsilon-3/ epsilon-8/ plain/ (model and audit), frontier.json
"""

from __future__ import annotations

import json
import math
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from shoplm_audit.engine import Keeper, audit, suites_of
from shoplm_audit.errors import ConfigError, MachineError
from shoplm_audit.evidence.claiming import held
from shoplm_audit.evidence.files import check_writable, write_run
from shoplm_audit.models.load import load_model
from shoplm_audit.observing import Progress as AuditProgress
from shoplm_audit.record import TrainingRecord
from shoplm_audit.results import AuditResult, EstimateResult, GateResult, Result
from shoplm_audit.store import Store
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.state import keep_key, kept_key

__all__ = ["Frontier", "Number", "Point", "check_folder", "points_of", "run_frontier"]

NUMBERS = "frontier.json"
_ASKED = "asked.json"  # with digests of private data, which only its owner may see
_CANARIES, _DILUTED = (
    168,
    0.1,
)  # as in `train --canaries`; the share of canaries from which a reader has to know of them

Write = Callable[[Path, AuditResult, Keeper, Mapping[str, Any]], None]


def _evidence(folder: Path, audited: AuditResult, keeper: Keeper, meta: Mapping[str, Any]) -> None:
    write_run(folder, audited, keeper.exchanges, meta, keeper.basis)


class Watching(AuditProgress, Protocol):
    """Is told how trainings and audits move on."""

    def at(self, title: str, done: int, total: int, note: str = "") -> None:
        """A training stands at `done` of `total`."""


@dataclass(frozen=True, slots=True)
class Point:
    """One training of a frontier; an `epsilon` of None is the plain one."""

    epsilon: float | None
    name: str
    folder: Path

    @property
    def model(self) -> Path:
        """The folder of its checkpoint."""
        return self.folder / "model"


@dataclass(frozen=True, slots=True)
class Number:
    """What one point showed of one metric: its estimate, and the gate that judged it; one of them can be missing."""

    point: Point
    suite: str
    metric: str
    slice: Mapping[str, str]
    estimate: EstimateResult | None
    gate: GateResult | None

    @property
    def plain(self) -> dict[str, Any]:
        """As `frontier.json` tells it; null is undefined or not tested."""
        told = self.estimate.model_dump(include={"value", "low", "high", "n", "note"}) if self.estimate else {}
        gate = self.gate.model_dump(mode="json", include={"verdict", "at_least", "at_most"}) if self.gate else {}
        named = {"point": self.point.name, "epsilon": self.point.epsilon, "suite": self.suite, "metric": self.metric}
        return {**named, "slice": dict(self.slice), "value": None, "low": None, "high": None} | told | gate


@dataclass(frozen=True, slots=True)
class Frontier:
    """The points in the order of their epsilon, the plain one last, and what the audit of each found, by name.

    Attributes:
        notes: what a reader has to know first, such as canaries that differ between points.
    """

    points: tuple[Point, ...]
    results: Mapping[str, Result]
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every estimate over all cases, and every slice that a gate judges."""
        return tuple(one for point in self.points for one in _numbers(point, self.results[point.name]))


def points_of(epsilons: Sequence[float], out: Path) -> tuple[Point, ...]:
    """The points of a frontier, the smallest epsilon first; infinity is the plain training.

    >>> [point.name for point in points_of([math.inf, 3.0, 0.5], Path("runs"))]
    ['epsilon-0.5', 'epsilon-3', 'plain']

    Raises:
        ConfigError: fewer than two, one twice, or one that is not above 0.
    """
    for epsilon in epsilons:
        if not epsilon > 0:
            raise ConfigError(f'--epsilons "{epsilon:g}": an epsilon is above 0, or inf to train plainly.')
        if list(epsilons).count(epsilon) > 1:
            raise ConfigError(f'--epsilons: "{epsilon:g}" is there twice. Name each once.')
    if len(epsilons) < 2:
        raise ConfigError("--epsilons: a frontier has two points or more. Name them as in 1,3,8,inf.")
    names = {epsilon: f"epsilon-{epsilon!r}".removesuffix(".0") for epsilon in sorted(map(float, epsilons))}
    return tuple(
        Point(epsilon, name, out / name) if epsilon < math.inf else Point(None, "plain", out / "plain")
        for epsilon, name in names.items()
    )


def check_folder(out: Path) -> None:
    """Refuses a folder that holds something else than a frontier, before anything is read.

    Raises:
        ConfigError: it does.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _ASKED).is_file())):
        raise ConfigError(f'"{out}" exists and holds no frontier. Name another folder with --out.')


def run_frontier(
    settings: TrainSettings,
    public: Sequence[Example],
    private: Sequence[Example],
    epsilons: Sequence[float],
    suites: Sequence[str | Path],
    out: Path,
    watched: Watching,
    *,
    roles: Mapping[str, str] | None = None,
    limit: int | None = None,
    device: str = "",
    write: Write = _evidence,
) -> Frontier:
    """Trains at each epsilon and audits each model; all else (data, members, canaries, seed, steps) is the same.

    Every point goes on from one model: `settings.base`, or one that is first trained on the public text alone, so that
    tokenizer and first weights are the same too. What is finished is taken as it is, and an interrupted training goes
    on from its last state, so the same call after an interruption ends in the same numbers; more epsilons may be named
    in a later call.

    Args:
        settings: how each point is trained; its `epsilon` is replaced, its coin is fair, and it has canaries. Without
            a key all points share one that is drawn once and kept in `out`, for its owner alone.
        public: examples that need no protection.
        private: examples of the units to be hidden.
        epsilons: the points; infinity is the plain training.
        suites: what each model is asked, names or folders.
        out: the folder; it is new, empty, or holds a frontier of the same training.
        watched: is told how it moves on.
        roles: specs of further models by role ("reference", "shadow", ...).
        limit: the most cases of a probe.
        device: "cpu", "cuda", ...; "" takes a GPU where there is one.
        write: writes the run of each point into its folder.

    Raises:
        ConfigError: epsilons, settings or data that cannot be trained, a suite that does not exist, or a folder that
            holds another training, with what differs; all told before anything is trained.
        ModelError: a further model that cannot be loaded, told likewise.
        MachineError: the machine failed; what was done is kept.
    """
    points, loaded = points_of(epsilons, out), suites_of(suites)
    check_folder(out)
    if not public and not settings.base:
        raise ConfigError(
            "All points go on from one model: give --public text to train it from, or name it with --from."
        )
    settings = replace(
        settings,
        coin="fair",
        canaries=settings.canaries or _CANARIES,
        key=settings.key or kept_key(out) or secrets.token_hex(16),
    )
    from shoplm_audit.training.reuse import asked_of, keep

    diluted = _check_private(settings, public, private, points)
    further = {role: load_model(spec, device=device or None) for role, spec in (roles or {}).items()}
    check_writable(out)
    with held(out):
        keep(out / _ASKED, asked_of(settings, public, private, free=("epsilon",)))
        keep_key(out, settings.key)
        base = _base(settings, public, out, watched, device)
        results = {}
        for number, point in enumerate(points, start=1):
            count = f"{number} of {len(points)}"
            _train(_at(base, point), public, private, point.model, f"training {point.name} ({count})", watched, device)
            with Store(out / "store.sqlite") as store:
                keeper = Keeper()
                audited = audit(
                    load_model(str(point.model), device=device or None),
                    loaded,
                    roles=further,
                    seed=settings.seed,
                    limit=limit,
                    store=store,
                    run=point.name,
                    progress=_Named(watched, f"{point.name} ({count})"),
                    keeper=keeper,
                )
            audited = _told(audited, point, suites, roles or {}, limit)
            write(point.folder, audited, keeper, {"suites": [str(suite) for suite in suites], "limit": limit})
            results[point.name] = audited.result
        frontier = Frontier(points, results, (*_notes(points), *diluted))
        _write(out / NUMBERS, _plain(frontier))
    return frontier


# Training -----------------------------------------------------------------------------------------


def _at(settings: TrainSettings, point: Point) -> TrainSettings:
    private = point.epsilon is not None
    return replace(settings, epsilon=point.epsilon, delta=settings.delta if private else None, siblings=private)


def _check_private(
    settings: TrainSettings, public: Sequence[Example], private: Sequence[Example], points: Sequence[Point]
) -> list[str]:
    """Refuses what a private training of a later point would refuse; what a reader has to know of the canaries."""
    from shoplm_audit.training.guarantee import plan_private
    from shoplm_audit.training.members import canary_share, divide

    share = settings.private_share if public else 1.0
    for point in points:
        if point.epsilon is not None and not point.model.exists():
            own = _at(settings, point)
            plan_private(own, share, public, private, len(divide(private, own).units))
    most, whose = max((canary_share(private, _at(settings, point)), point.name) for point in points)
    told = (
        f"About {100 * most:.0f} % of the private data that {whose} learns are canaries, and a model that learns so "
        "many is another than one without. Give more data, or lower --canary-count."
    )
    return [told] if most > _DILUTED else []


def _base(
    settings: TrainSettings, public: Sequence[Example], out: Path, watched: Watching, device: str
) -> TrainSettings:
    """The settings with the model from which every point goes on, trained on the public text where none is named."""
    if settings.base:
        return settings
    folder = out / "base"
    _train(
        replace(settings, canaries=0), public, (), folder, "training the common base on public text", watched, device
    )
    return replace(settings, base=str(folder), shape="")


def _train(
    settings: TrainSettings,
    public: Sequence[Example],
    private: Sequence[Example],
    folder: Path,
    title: str,
    watched: Watching,
    device: str,
) -> None:
    from shoplm_audit.training.reuse import trained_once
    from shoplm_audit.training.steps import Progress

    def at(progress: Progress) -> None:
        # Of a private run only the loss of held-out public text is shown.
        loss = progress.held_out if math.isnan(progress.loss) else progress.loss
        watched.at(title, progress.step, progress.steps, "" if math.isnan(loss) else f"loss {loss:.2f}")

    trained_once(settings, public, private, folder, at, device)


# Auditing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Named:
    """Progress that says whose audit it is."""

    watched: Watching
    name: str

    def begin(self, suite: str, probe: str, cases: int) -> None:
        """A probe begins."""
        self.watched.begin(f"auditing {self.name}: {suite}", probe, cases)

    def asking(self, requests: int) -> None:
        """A round of so many requests begins."""
        self.watched.asking(requests)

    def answered(self, requests: int) -> None:
        """So many were answered."""
        self.watched.answered(requests)


def _told(
    audited: AuditResult, point: Point, suites: Sequence[str | Path], roles: Mapping[str, str], limit: int | None
) -> AuditResult:
    """The audit with the command that repeats it."""
    result = audited.result
    named = [f"--with={role.partition('-')[0]}={spec}" for role, spec in roles.items()]
    most = [] if limit is None else ["--limit", str(limit)]
    command = ["shoplm-audit", "run", *map(str, suites), "--model", str(point.model), *named, *most]
    model = result.model.model_copy(update={"spec": str(point.model)})
    told = shlex.join([*command, "--seed", str(result.seed)])
    return AuditResult(result.model_copy(update={"command": told, "model": model}), audited.observations)


def _numbers(point: Point, result: Result) -> Iterator[Number]:
    for suite in result.suites:
        gates = {(gate.metric, *sorted(gate.slice.items())): gate for gate in suite.gates}
        for one in suite.estimates:
            gate = gates.pop((one.metric, *sorted(one.slice.items())), None)
            if gate or not one.slice:
                yield Number(point, suite.name, one.metric, one.slice, one, gate)
        for gate in gates.values():
            yield Number(point, suite.name, gate.metric, gate.slice, None, gate)


def _notes(points: Sequence[Point]) -> tuple[str, ...]:
    """Says so where the points were not asked about the same people and canaries."""
    known = []
    for point in points:
        record = TrainingRecord.read(point.model)
        told = record.secrets if record else None
        members = {(one.unit, one.inside) for one in told.members} if told else set()
        canaries = {(one.prefix, one.secret, one.inserted, one.copies) for one in told.canaries} if told else set()
        known.append((members, canaries))
    kinds = [kind for i, kind in enumerate(("members", "canaries")) if any(one[i] != known[0][i] for one in known)]
    return tuple(f"The {kind} differ between points: compare their leakage with care." for kind in kinds)


def _plain(frontier: Frontier) -> dict[str, Any]:
    points = [
        {"name": point.name, "epsilon": point.epsilon, "verdict": frontier.results[point.name].verdict}
        for point in frontier.points
    ]
    numbers = [one.plain for one in frontier.numbers]
    return {"format": 1, "points": points, "numbers": numbers, "notes": list(frontier.notes)}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    try:
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as fault:
        raise MachineError(f"{path}: cannot be written ({fault.strerror}). Free space, then run again.") from fault
