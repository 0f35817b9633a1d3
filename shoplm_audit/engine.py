"""The audit: observe, estimate, judge, return.

audit("checkpoints/reviews", ["faithfulness", "privacy"]).verdict -> "fail"
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from shoplm_audit.config import gates_of, scoped_out
from shoplm_audit.data.records import Record
from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import Policy, in_families, judge, overall
from shoplm_audit.models.load import load_model
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.observing import (
    EVERYTHING,
    Progress,
    Quiet,
    Sitting,
    failed_trials,
    material_of,
    observe_all,
    sittings_of,
)
from shoplm_audit.probes.driving import Exchange
from shoplm_audit.prompts import Prompts
from shoplm_audit.reasons import reasons_of
from shoplm_audit.results import (
    AuditResult,
    Counts,
    EstimateResult,
    ModelResult,
    Result,
    SuiteResult,
)
from shoplm_audit.sequences import sequence_of
from shoplm_audit.stopping import Watch, top_up
from shoplm_audit.store import Store
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Estimate, Gate, Material, Metric, Model, Observations, Probe, Suite

__all__ = ["Basis", "Keeper", "Stop", "audit", "judged", "overall", "suites_of"]


Stop: TypeAlias = Literal["fixed", "early", "top-up"]


@dataclass(frozen=True, slots=True)
class Basis:
    """What estimates and verdicts depend on beside the observations and the suites' code.

    Attributes:
        seed: of the audit.
        prompts: the digest of its templates.
        own: the kinds of records that were the user's own.
        policy: limits, scope and confidence.
        early: of a run that judges while answers come, the confidence of each bound that speaks against the model; None
            in any other.
        largest: in such a run by "suite.metric" the most rows of one cluster that a metric can average.
        sittings: by "suite/probe": how many cases were planned, in how many the model could not read what it has
            to, and why it was not tested, if it was not.
    """

    seed: int = 0
    prompts: str = ""
    own: frozenset[str] = frozenset()
    policy: Policy = field(default_factory=Policy)
    sittings: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    early: float | None = None
    largest: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Keeper:
    """Where an audit keeps what it asked and saw, for evidence.

    Attributes:
        exchanges: by (suite, probe).
        basis: what its numbers were computed from beside the observations; `verify` computes them again from here.
    """

    exchanges: dict[tuple[str, str], tuple[Exchange, ...]] = field(default_factory=dict)
    basis: Basis = field(default_factory=Basis)


def suites_of(suites: str | Path | Suite | Sequence[str | Path | Suite]) -> list[Suite]:
    """Suites from names, folders or suites.

    Raises:
        ConfigError: one does not exist, or two have the same name.
    """
    several = [suites] if isinstance(suites, str | Path | Suite) else list(suites)
    loaded = [suite if isinstance(suite, Suite) else load_suite(suite) for suite in several]
    names = [suite.name for suite in loaded]
    if len(set(names)) < len(names):
        raise ConfigError(f"two suites have one name: {', '.join(names)}.")
    return loaded


def audit(
    model: str | Model,
    suites: str | Path | Suite | Sequence[str | Path | Suite],
    *,
    roles: Mapping[str, str | Model] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    limit: int | None = None,
    data: Mapping[str, Sequence[Record]] | None = None,
    prompts: Prompts | None = None,
    policy: Policy | None = None,
    store: Store | None = None,
    run: str = "",
    progress: Progress | None = None,
    keeper: Keeper | None = None,
    budget: float | None = None,
    stop: Stop = "fixed",
) -> AuditResult:
    """Puts every case of the suites to the model, estimates every metric, judges every gate.

    Args:
        model: a SPEC (folder, hub name, `file.gguf`, `python:module:function`, `recorded:FILE`) or anything with the
            members of `Model`.
        suites: names of built-in suites, folders, or `Suite`s.
        roles: further models by role ("reference", ...); several shadows are "shadow", "shadow-2", ...
        confidence: of each bound, one-sided.
        seed: decides which cases are taken and how texts and resamples are drawn.
        limit: the most cases of a probe.
        data: the shop's own records by kind ("products", "reviews", ...); the rest comes from ShopWorld.
        prompts: the templates; the built-in ones unless given.
        policy: limits, scope and confidence together; replaces `confidence`.
        store: where answers are kept; without one nothing is kept.
        run: tells runs of a model without a fingerprint apart in the store.
        progress: is told how it moves on.
        keeper: is given every exchange, for evidence.
        budget: seconds after which no new block of cases is asked; verdicts then rest on a random part of the cases.
        stop: "fixed" asks all cases. "early" stops as soon as every gate is decided that can be judged while answers
            come, "top-up" asks all, and then more where such a gate is undecided still (`stopping`).

    Raises:
        ConfigError: a suite or a gate does not exist.
        ModelError: the model cannot be loaded.
        MachineError: the machine or an endpoint failed; what was answered is in the store.
    """
    started = time.perf_counter()
    policy = policy or Policy(confidence=confidence)
    prompts, progress, keeper = prompts or Prompts(), progress or Quiet(), keeper or Keeper()
    loaded = suites_of(suites)
    spec = model if isinstance(model, str) else ""
    audited = load_model(model) if isinstance(model, str) else model
    named = {k: load_model(m) if isinstance(m, str) else m for k, m in (roles or {}).items()} | {"model": audited}
    models = {role: _remembered(one, store, run and f"{run}/{role}", progress) for role, one in named.items()}
    for role in ("reference", "second"):
        if role in named and named[role].fingerprint == audited.fingerprint != "":
            raise ConfigError(f'the model for the role "{role}" has the weights of the audited one: name another.')
    material = material_of(named, dict(data or {}), prompts, seed, limit)
    watch = Watch(loaded, policy, seed) if stop != "fixed" else None
    sittings = sittings_of(loaded, material, policy.scope, limited=budget is not None or stop == "early")
    short = _observed(sittings, models, material, progress, (budget, stop, watch))
    tested = {(sitting.suite, sitting.probe.name): sitting for sitting in sittings if not sitting.reason}
    keeper.exchanges |= {key: sitting.exchanges for key, sitting in tested.items()}
    asked = {f"{one.suite}/{one.probe.name}": (one.planned, one.unread, one.reason) for one in sittings}
    keeper.basis = basis = Basis(
        seed,
        prompts.digest,
        material.own,
        policy,
        asked,
        early=None if watch is None else watch.confidence,
        largest={} if watch is None else watch.largest,
    )
    told = []
    for suite in loaded:
        seated = [one for one in sittings if one.suite == suite.name]
        found = judged(suite, seated, basis)
        if budget is None:  # what is asked to explain is no part of the audit, and not of its time either
            found = found.model_copy(update={"explanations": reasons_of(suite.name, found.gates, seated, models)})
        told.append(found)
    if watch is not None and stop == "top-up":
        short += filter(None, (watch.unwatched(suite.name, suite.gates) for suite in told))
    result = Result(
        verdict=overall([gate for suite in told for gate in suite.gates]),
        model=describe(audited, spec),
        seed=seed,
        confidence=policy.confidence,
        suites=told,
        notes=_notes(named, policy, told, sittings) + short + _unasked(named, sittings),
        stopping=None if watch is None else watch.told(sittings, told),
        environment=environment(audited),
        seconds=round(time.perf_counter() - started, 3),
    )
    return AuditResult(result, {key: sitting.observations for key, sitting in tested.items()})


def _observed(
    sittings: Sequence[Sitting],
    models: Mapping[str, Model],
    material: Material,
    progress: Progress,
    until: tuple[float | None, Stop, Watch | None],
) -> list[str]:
    """Asks what has to be asked; why gates are undecided though more was to be asked, a sentence each."""
    budget, stop, watch = until
    began = time.monotonic()

    def ask(some: Sequence[Sitting]) -> bool:
        left = None if budget is None else budget - (time.monotonic() - began)
        if watch is None:
            return observe_all(some, models, progress, seconds=left)
        return observe_all(some, models, progress, seconds=left, done=watch.done)

    if watch is not None:
        watch.begin(sittings)
    whole = ask(sittings)
    return top_up(sittings, watch, material, ask) if watch is not None and whole and stop == "top-up" else []


def _remembered(model: Model, store: Store | None, run: str, progress: Progress) -> Model:
    if store is None or getattr(model, "answers_by_case", False):
        return model
    return Remembered(model, store, run=run, on_batch=progress.answered)


def judged(suite: Suite, sittings: Sequence[Sitting], basis: Basis) -> SuiteResult:
    """The estimates and verdicts of one suite, from what was seen; no model is asked.

    Args:
        suite: the suite.
        sittings: its probes with what was seen.
        basis: what else the numbers depend on.
    """
    policy = basis.policy
    estimates: list[EstimateResult] = []
    found: dict[tuple[str, str], Estimate] = {}
    gates = gates_of(suite, policy.gates)
    for sitting in sittings:
        observations = sitting.observations
        for metric in sitting.probe.metrics:
            failures = failed_trials(sitting, metric, basis.seed)
            for inside in _slices(observations, sitting.probe.by, metric, gates):
                rows = observations.where(**inside)
                tried = Observations(tuple(row for row in rows if row.case.language not in failures))
                if not len(rows):
                    continue
                estimate = _estimate(metric, tried if len(tried) else rows, inside, basis, suite.name)
                if len(tried) < len(rows):
                    estimate = replace(estimate, note=_untrusted(failures, whole=not len(tried)))
                if sitting.unread:
                    what = "a part" if sitting.probe.must_read == EVERYTHING else f"the {sitting.probe.must_read}"
                    lost = f"in {sitting.unread} of {len(observations)} cases {what} was cut off"
                    estimate = replace(estimate, note=f"invalid: {lost} to fit the model's context")
                if not estimate.n and math.isnan(estimate.value):  # no case has what it measures: nothing was tested
                    continue
                lost_rows = sum(row.status != "scored" for row in tried)
                if lost_rows and not estimate.note:
                    told = f"{lost_rows} of {len(tried)} answers could not be read or did not come"
                    estimate = replace(estimate, note=told)
                found[_key(metric.name, inside)] = estimate
                estimates.append(_told(metric, sitting.probe, inside, estimate, basis.prompts))
    probes = {metric.name: sitting for sitting in sittings for metric in sitting.probe.metrics}
    judged = {gate.id: found.get(_key(gate.metric, gate.slice)) for gate in gates}
    in_scope = [
        gate for gate in gates if scoped_out(policy.scope, suite.name, probes[gate.metric].probe.name, gate.id) is None
    ]
    tested = in_families(in_scope, judged, policy.confidence)
    return SuiteResult(
        name=suite.name,
        question=suite.question,
        counts=_counts(sittings),
        estimates=estimates,
        gates=[
            judge(
                suite.name,
                gate,
                judged[gate.id],
                policy,
                probes[gate.metric].probe.name,
                probes[gate.metric].reason or "there are no such cases",
                tested.get(gate.id),
            )
            for gate in gates
        ],
        cannot_tell=suite.card,
        not_tested={sitting.probe.name: sitting.reason for sitting in sittings if sitting.reason},
        source={sitting.probe.name: _source(basis.own) for sitting in sittings if not sitting.reason},
    )


def _untrusted(failures: Mapping[str, str], *, whole: bool) -> str:
    told = "; ".join(f"in {language} the metric failed its own test: {why}" for language, why in failures.items())
    return f"invalid: {told}" if whole else f"left out: {told}"


def _key(metric: str, inside: Mapping[str, str]) -> tuple[str, str]:
    return metric, ",".join(f"{k}={v}" for k, v in sorted(inside.items()))


def _slices(
    observations: Observations, keys: Sequence[str], metric: Metric, gates: Sequence[Gate]
) -> list[dict[str, str]]:
    """All cases, each value of what the probe divides them by where there are several, and what gates ask for."""
    slices: list[dict[str, str]] = [{}]
    for key in ("language", *keys):
        values = sorted(
            {row.case.of(key) for row in observations} - {""}, key=lambda one: (len(one), one)
        )  # 4 before 16
        slices += [{key: value} for value in values] if len(values) > 1 else []
    slices += [dict(g.slice) for g in gates if g.metric == metric.name and dict(g.slice) not in slices]
    return slices


def _estimate(
    metric: Metric, observations: Observations, inside: Mapping[str, str], basis: Basis, suite: str
) -> Estimate:
    largest = basis.largest.get(f"{suite}.{metric.name}")
    if basis.early is not None and largest is not None:
        estimate = sequence_of(metric, observations, largest, basis.policy.confidence, against=basis.early)
        if estimate is not None:
            return estimate
    rng = np.random.default_rng([basis.seed, zlib.crc32(repr((suite, _key(metric.name, inside))).encode())])
    return metric.estimate(observations, basis.policy.confidence, rng)


def _told(metric: Metric, probe: Probe, inside: dict[str, str], estimate: Estimate, prompts: str) -> EstimateResult:
    return EstimateResult(
        metric=metric.name,
        slice=inside,
        better=metric.better,
        signature=f"{metric.signature}|prompts:{prompts}|shoplm-audit:{version()}",
        probe=probe.name,
        **asdict(estimate),
    )


def _counts(sittings: Sequence[Sitting]) -> Counts:
    status = [row.status for sitting in sittings for row in sitting.observations]
    return Counts(
        planned=sum(sitting.planned for sitting in sittings),
        scored=status.count("scored"),
        errored=status.count("errored"),
        unparsed=status.count("unparsed"),
    )


def _source(kinds: frozenset[str]) -> str:
    own = ", ".join(sorted(kinds))
    return f"the user's own data where the probe reads it ({own}); else ShopWorld" if own else "ShopWorld (synthetic)"


def _notes(
    named: Mapping[str, Model], policy: Policy, told: Sequence[SuiteResult], sittings: Sequence[Sitting]
) -> list[str]:
    notes = [f"Out of scope: {key}: {reason}" for key, reason in policy.scope.items()]
    for role, model in sorted(named.items(), key=lambda one: one[0] != "model"):
        said = [str(note) for note in getattr(model, "notes", ())]
        if not model.fingerprint and getattr(model, "verifiable", True):  # a remote model says so itself
            said.insert(
                0, "The weights of this model cannot be verified; its answers were reused only within this run."
            )
        notes += [note if role == "model" else f"{role}: {note}" for note in said]
    for one in sittings:
        if one.left and not one.reason:
            asked = f"{len(one.observations)} of {len(one.cases)} cases, a random part of them"
            notes.append(f"--budget ended {one.suite}.{one.probe.name} after {asked}.")
    for suite in told:
        notes += [
            f"{suite.name}.{estimate.metric}: {estimate.note}."
            for estimate in suite.estimates
            if not estimate.slice and "failed its own test" in estimate.note
        ]
    for suite in told:
        if suite.counts.errored:
            notes.append(
                f"{suite.counts.errored} of {suite.counts.planned} cases of {suite.name} errored: no answer came. They "
                "stay in every denominator and count against the model; the evidence shows what was said."
            )
    return notes


def _unasked(named: Mapping[str, Model], sittings: Sequence[Sitting]) -> list[str]:
    """Roles that nothing asked for: a misspelled one, or one of a suite that was not run."""
    requests = [one.request for sitting in sittings for one in sitting.exchanges]
    asked = {request.role for request in requests} | {getattr(request, "beside", "") for request in requests}
    return [
        f'The model for the role "{role}" was asked nothing.'
        for role in named
        if role not in asked and not role.startswith(("model", "shadow"))
    ]


def version() -> str:
    """The version of this package."""
    try:
        return importlib.metadata.version("shoplm-audit")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def describe(model: Model, spec: str) -> ModelResult:
    """What a result says of the model; of its training only what can be published."""
    record = model.record
    training = None if record is None else record.publishable
    return ModelResult(
        name=model.name,
        fingerprint=model.fingerprint,
        parameters=getattr(model, "parameters", None),
        spec=spec,
        training=training,
    )


def environment(model: Model) -> dict[str, str]:
    """What the numbers were computed with."""
    names = ("numpy", "scipy", "scikit-learn", "sacrebleu", "torch", "transformers", "tokenizers", "opacus")
    versions = {name: importlib.metadata.version(name) for name in names}
    where = {"device": str(getattr(model, "device", "")), "dtype": str(getattr(model, "dtype", ""))}
    return (
        {"shoplm-audit": version(), "python": platform.python_version(), "machine": platform.machine()}
        | versions
        | where
    )
