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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.config import Limit, gates_of, scoped_out
from shoplm_audit.data.records import Record
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.errors import ConfigError, Unsupported
from shoplm_audit.models.load import load_model
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.probes.driving import Exchange, observe
from shoplm_audit.prompts import Prompts
from shoplm_audit.results import AuditResult, Counts, EstimateResult, GateResult, ModelResult, Result, SuiteResult
from shoplm_audit.store import Store
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Case, Estimate, Gate, Material, Metric, Model, Observations, Probe, Suite, Verdict

__all__ = ["Keeper", "Policy", "Progress", "Quiet", "audit", "cases_of", "judge", "suites_of"]


class Progress(Protocol):
    """Is told how an audit moves on."""

    def begin(self, suite: str, probe: str, cases: int) -> None:
        """A probe begins."""

    def asking(self, requests: int) -> None:
        """A round of so many requests begins."""

    def answered(self, requests: int) -> None:
        """So many were answered."""


class Quiet:
    """Progress that nobody watches."""

    def begin(self, suite: str, probe: str, cases: int) -> None:
        """Says nothing."""

    def asking(self, requests: int) -> None:
        """Says nothing."""

    def answered(self, requests: int) -> None:
        """Says nothing."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a release is held to: limits by gate, what is out of scope and why, the confidence of each bound."""

    gates: Mapping[str, Limit] = field(default_factory=dict)
    scope: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 0.95


@dataclass(slots=True)
class Keeper:
    """Where an audit keeps what it asked and saw, for evidence: exchanges by (suite, probe)."""

    exchanges: dict[tuple[str, str], tuple[Exchange, ...]] = field(default_factory=dict)


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
) -> AuditResult:
    """Puts every case of the suites to the model, estimates every metric, judges every gate.

    Args:
        model: a SPEC (folder, hub name, `file.gguf`, `python:module:function`, `recorded:FILE`) or anything with the
            members of `Model`.
        suites: names of built-in suites, folders, or `Suite`s.
        roles: further models by role ("reference", ...).
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
    own = dict(data or {})
    records = ShopRecords(own, seed)
    material = Material(prompts.render, records, frozenset(own), audited.record, seed, limit)
    observed: dict[tuple[str, str], Observations] = {}
    told = [_audit_suite(suite, models, material, policy, prompts, observed, progress, keeper) for suite in loaded]
    verdicts = [gate.verdict for suite in told for gate in suite.gates]
    result = Result(
        verdict=_overall(verdicts),
        model=describe(audited, spec),
        seed=seed,
        confidence=policy.confidence,
        suites=told,
        notes=_notes(audited, policy, told),
        environment=environment(audited),
        seconds=round(time.perf_counter() - started, 3),
    )
    return AuditResult(result, observed)


def _remembered(model: Model, store: Store | None, run: str, progress: Progress) -> Model:
    if store is None or getattr(model, "answers_by_case", False):
        return model
    return Remembered(model, store, run=run, on_batch=progress.answered)


def cases_of(probe: Probe, material: Material) -> list[Case]:
    """The cases of a probe.

    Raises:
        Unsupported: there is nothing to make cases of, with the reason.
        ConfigError: two cases have one id.
    """
    cases = probe.cases_of(material)
    if not cases:
        raise Unsupported("no cases could be made from the data at hand")
    ids = [case.id for case in cases]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise ConfigError(f'probe "{probe.name}": two cases have the id "{twice}".')
    return cases


def _audit_suite(
    suite: Suite,
    models: Mapping[str, Model],
    material: Material,
    policy: Policy,
    prompts: Prompts,
    observed: dict[tuple[str, str], Observations],
    progress: Progress,
    keeper: Keeper,
) -> SuiteResult:
    estimates: list[EstimateResult] = []
    not_tested: dict[str, str] = {}
    found: dict[tuple[str, str], Estimate] = {}
    gates = gates_of(suite, policy.gates)
    planned = 0
    for probe in suite.probes:
        if (reason := policy.scope.get(f"{suite.name}.{probe.name}", policy.scope.get(suite.name))) is not None:
            not_tested[probe.name] = reason
            continue
        try:
            cases = cases_of(probe, material)
            planned += len(cases)
            progress.begin(suite.name, probe.name, len(cases))
            run = observe(probe, cases, models, key=f"{suite.name}/{probe.name}", on_round=progress.asking)
        except Unsupported as fault:
            not_tested[probe.name] = str(fault)
            continue
        observed[suite.name, probe.name] = run.observations
        keeper.exchanges[suite.name, probe.name] = run.exchanges
        for metric in probe.metrics:
            for inside in _slices(run.observations, metric, gates):
                rows = run.observations.where(**inside)
                if not len(rows):
                    continue
                estimate = _estimate(metric, rows, inside, policy, material.seed, suite.name)
                found[_key(metric.name, inside)] = estimate
                estimates.append(_told(metric, probe, inside, estimate, prompts))
    probes = {metric.name: probe.name for probe in suite.probes for metric in probe.metrics}
    return SuiteResult(
        name=suite.name,
        question=suite.question,
        counts=_counts([o for (name, _), o in observed.items() if name == suite.name], planned),
        estimates=estimates,
        gates=[
            judge(
                suite.name,
                gate,
                found.get(_key(gate.metric, gate.slice)),
                policy,
                probes[gate.metric],
                not_tested.get(probes[gate.metric], "there are no such cases"),
            )
            for gate in gates
        ],
        cannot_tell=suite.card,
        not_tested=not_tested,
        source={probe.name: _source(probe, material) for probe in suite.probes if probe.name not in not_tested},
    )


def _key(metric: str, inside: Mapping[str, str]) -> tuple[str, str]:
    return metric, ",".join(f"{k}={v}" for k, v in sorted(inside.items()))


def _slices(observations: Observations, metric: Metric, gates: Sequence[Gate]) -> list[dict[str, str]]:
    """All cases, each language where there are several, and what gates ask for."""
    languages = sorted({row.case.language for row in observations})
    slices: list[dict[str, str]] = [{}]
    slices += [{"language": language} for language in languages] if len(languages) > 1 else []
    slices += [dict(g.slice) for g in gates if g.metric == metric.name and dict(g.slice) not in slices]
    return slices


def _estimate(
    metric: Metric, observations: Observations, inside: Mapping[str, str], policy: Policy, seed: int, suite: str
) -> Estimate:
    rng = np.random.default_rng([seed, zlib.crc32(repr((suite, _key(metric.name, inside))).encode())])
    return metric.estimate(observations, policy.confidence, rng)


def _told(metric: Metric, probe: Probe, inside: dict[str, str], estimate: Estimate, prompts: Prompts) -> EstimateResult:
    return EstimateResult(
        metric=metric.name,
        slice=inside,
        better=metric.better,
        signature=f"{metric.signature}|prompts:{prompts.digest}|shoplm-audit:{version()}",
        probe=probe.name,
        **asdict(estimate),
    )


def judge(suite: str, gate: Gate, estimate: Estimate | None, policy: Policy, probe: str, reason: str) -> GateResult:
    """The verdict of one gate, with why in a sentence."""
    told: dict[str, Any] = {
        "id": f"{suite}.{gate.id}",
        "metric": gate.metric,
        "slice": dict(gate.slice),
        "burden": gate.burden,
        "clauses": list(gate.clauses),
        "at_least": gate.at_least,
        "at_most": gate.at_most,
    }
    excused = scoped_out(policy.scope, suite, probe, gate.id)
    if excused is not None:
        return GateResult(**told, verdict=Verdict.NOT_APPLICABLE, why=excused)
    if estimate is None:
        return GateResult(**told, verdict=Verdict.NOT_TESTED, why=f"Not tested: {reason}.")
    gate = gate.against(estimate)
    verdict = gate.judge(estimate)
    told["at_most"] = gate.at_most
    decide = None
    if verdict is Verdict.UNDECIDED and gate.burden == "proof":
        numbers = [
            uncertainty.cases_to_decide(estimate.value, estimate.low, estimate.high, estimate.n, limit)
            for limit in (gate.at_least, gate.at_most)
            if math.isfinite(limit)
        ]
        decide = max((n for n in numbers if n is not None), default=None)
    return GateResult(
        **told, verdict=verdict, why=_why(gate, estimate, verdict, policy.confidence, decide), cases_to_decide=decide
    )


def _number(value: float, metric: str = "") -> str:
    """A number as a person reads it: rates in per cent."""
    if math.isnan(value):
        return "undefined"
    return f"{100 * value:.3g} %" if metric.startswith("rate_") else f"{value:.4g}"


def _why(gate: Gate, estimate: Estimate, verdict: Verdict, confidence: float, decide: int | None) -> str:
    name = gate.metric
    interval = f"[{_number(estimate.low, name)}, {_number(estimate.high, name)}]"
    limits = [f"at least {_number(gate.at_least, name)}"] if math.isfinite(gate.at_least) else []
    limits += [f"at most {_number(gate.at_most, name)}"] if math.isfinite(gate.at_most) else []
    rule = " and ".join(limits)
    seen = f"{_number(estimate.value, name)} {interval}, n = {estimate.n}"
    if gate.burden == "refutation":
        return _why_refuted(gate, estimate, verdict)
    if estimate.note.startswith("invalid"):
        return f"The number is {estimate.note}."
    if math.isnan(estimate.value) or (math.isnan(estimate.low) and math.isnan(estimate.high)):
        return f"The rule is {rule}, but the interval is undefined ({estimate.method})."
    percent = f"{100 * confidence:g} %"
    if verdict is Verdict.PASS:
        return f"The rule is {rule}, and the whole interval keeps it: {seen}; each bound holds at {percent}."
    if verdict is Verdict.FAIL:
        return f"The rule is {rule}, and the whole interval lies beyond it: {seen}; each bound holds at {percent}."
    more = f" About {decide} independent cases would decide it." if decide else ""
    return f"The rule is {rule}, and the interval reaches across it: {seen}.{more}"


def _why_refuted(gate: Gate, estimate: Estimate, verdict: Verdict) -> str:
    if verdict is Verdict.NOT_APPLICABLE:
        return "The model's record claims no epsilon, so there is nothing to refute."
    claim = f"Claimed epsilon {gate.at_most:.3g}"
    shown = f"measured at least {_number(estimate.low)} ({estimate.method})"
    if verdict is Verdict.FAIL:
        return f"{claim} is refuted: {shown}."
    if verdict is Verdict.PASS:
        return (
            f"{claim} is not refuted: {shown}, and a perfect attack would have shown {_number(estimate.ceiling or 0)}."
        )
    if estimate.note.startswith("invalid") or math.isnan(estimate.low):
        return f"{claim} could not be tested: {estimate.note or estimate.method}."
    return (
        f"{claim} is not refuted, but this design could not have refuted it either: even a perfect attack would have "
        f"shown only {_number(estimate.ceiling or 0)}."
    )


def _counts(observed: Sequence[Observations], planned: int) -> Counts:
    status = [row.status for observations in observed for row in observations]
    return Counts(
        planned=planned,
        scored=status.count("scored"),
        errored=status.count("errored"),
        unparsed=status.count("unparsed"),
    )


def _source(probe: Probe, material: Material) -> str:
    own = ", ".join(sorted(material.own))
    return f"the user's own data where the probe reads it ({own}); else ShopWorld" if own else "ShopWorld (synthetic)"


def _overall(verdicts: Sequence[Verdict]) -> Any:
    if Verdict.FAIL in verdicts:
        return "fail"
    in_scope = [verdict for verdict in verdicts if verdict is not Verdict.NOT_APPLICABLE]
    return "pass" if in_scope and all(verdict is Verdict.PASS for verdict in in_scope) else "undecided"


def _notes(model: Model, policy: Policy, told: Sequence[SuiteResult]) -> list[str]:
    notes = [f"Out of scope: {key}: {reason}" for key, reason in policy.scope.items()]
    if not model.fingerprint:
        notes.append("The weights of this model cannot be verified; its answers were reused only within this run.")
    notes += [str(note) for note in getattr(model, "notes", ())]
    if any(suite.counts.errored for suite in told):
        notes.append("Some cases errored; they stay in every denominator and count against the model.")
    return notes


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
