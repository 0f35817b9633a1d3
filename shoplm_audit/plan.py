"""What an audit will cost and what it can see, before anything is spent.

plan(model, ["faithfulness"]).probes[0].cases -> 240
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from shoplm_audit import uncertainty
from shoplm_audit.calibration import Memory, Trial, on_a_server, tokens_of, written_by
from shoplm_audit.config import gates_of, scoped_out
from shoplm_audit.errors import DataError, Unsupported
from shoplm_audit.judging import Policy
from shoplm_audit.margins import default_margin
from shoplm_audit.metrics.resolution import names_needed, reach_of
from shoplm_audit.models.asking import Asked
from shoplm_audit.observing import cases_of
from shoplm_audit.operating import Design, Operating, Paired, based_on, design_of, operating_characteristic, paired_of
from shoplm_audit.probes.driving import first_requests, observe
from shoplm_audit.results import Result
from shoplm_audit.types import (
    LOG_PROB,
    Case,
    Columns,
    Gate,
    Generate,
    Material,
    Metric,
    Model,
    Probe,
    Request,
    Score,
    Suite,
)

__all__ = ["Known", "Plan", "PlannedGate", "PlannedProbe", "Served", "plan", "write_prompts"]

_DEVIATIONS = (0.05, 0.1)  # of names' means, in the unit of a column of shares
# (Role, the requests of one kind that a round puts to it together, columns) to how many of them the store answers.
Known: TypeAlias = Callable[[str, Asked, Columns], int]


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """A gate and the smallest fault it can see with 80 % power, in words.

    Attributes:
        names: of a contrast of groups, how many names a group and language it would take to fail a difference of twice
            the margin and to pass none, each in 4 audits of 5, by the standard deviation of names' means.
    """

    id: str
    rule: str
    sees: str
    names: Mapping[float, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """What is asked of servers: requests, tokens of their prompts, tokens that they write at most."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def __add__(self, other: Served) -> Served:
        return Served(self.requests + other.requests, self.read + other.read, self.written + other.written)


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """What a probe will ask.

    Attributes:
        cases, requests: how many; later requests of a case depend on its answers and are not counted.
        tokens: how many are read, and written at most.
        seconds: expected on this machine from a short trial; nan where nothing was tried.
        skipped: why it cannot run, if it cannot.
        written: how many of the tokens are written, at most.
        computed: how many are left when what requests share is computed once; of models on this machine.
        known: how many requests the store answers already; None without a store.
        served: the part of it that servers are asked.
    """

    suite: str
    name: str
    cases: int = 0
    requests: int = 0
    tokens: int = 0
    seconds: float = math.nan
    skipped: str = ""
    written: int = 0
    computed: int = 0
    known: int | None = None
    served: Served = Served()


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of an audit, what every case asks first, and the memory that the audited model takes here.

    Attributes:
        operating: what the policy would do to an unchanged model, and to one that is worse in one gate.
    """

    probes: tuple[PlannedProbe, ...]
    gates: tuple[PlannedGate, ...]
    first: tuple[tuple[str, Case, Request], ...]
    memory: Memory | None = None
    operating: Operating | None = None


def plan(
    models: Mapping[str, Model],
    suites: Sequence[Suite],
    material: Material,
    policy: Policy,
    *,
    trial: int = 4,
    known: Known | None = None,
    baseline: Result | None = None,
) -> Plan:
    """Counts what an audit would ask and tries a few requests of each probe; servers are asked nothing.

    Args:
        models: by role; empty where the outputs are made elsewhere.
        suites: the suites.
        material: what cases are made of.
        policy: limits and scope.
        trial: how many cases of each probe are tried, more where they cost little; 0 asks nothing.
        known: how many of the requests a store answers already.
        baseline: an earlier run on the same cases; an unchanged model is then one that shows what that one showed.
    """
    probes: list[PlannedProbe] = []
    first: list[tuple[str, Case, Request]] = []
    asked_of: dict[tuple[str, str], tuple[Metric, Sequence[Case]]] = {}
    costs = _Costs(models, Trial(trial) if trial else None, known)
    for suite in suites:
        for probe in suite.probes:
            if (reason := policy.scope.get(f"{suite.name}.{probe.name}", policy.scope.get(suite.name))) is not None:
                probes.append(PlannedProbe(suite.name, probe.name, skipped=reason))
                continue
            try:
                cases = cases_of(probe, material)
                asked = first_requests(probe, cases)
                costed = costs.of([requests for _, requests in asked])
                if costed is None:
                    _check_fallback(probe, cases, models, f"{suite.name}/{probe.name}")
                    costed = costs.of([requests for _, requests in asked], tried=False)
            except Unsupported as fault:
                probes.append(PlannedProbe(suite.name, probe.name, skipped=str(fault)))
                continue
            asked_of |= {(suite.name, metric.name): (metric, cases) for metric in probe.metrics}
            first += [(f"{suite.name}/{probe.name}", case, request) for case, requests in asked for request in requests]
            probes.append(PlannedProbe(suite.name, probe.name, len(cases), **(costed or {})))
    gates = [
        _planned(f"{suite.name}.{gate.id}", gate, asked_of.get((suite.name, gate.metric)), policy.confidence)
        for suite in suites
        for gate in gates_of(suite, policy.gates)
    ]
    operating = _operating(suites, policy, asked_of, baseline)
    return Plan(tuple(probes), tuple(gates), tuple(first), costs.memory(), operating)


def _operating(
    suites: Sequence[Suite],
    policy: Policy,
    asked_of: Mapping[tuple[str, str], tuple[Metric, Sequence[Case]]],
    baseline: Result | None,
) -> Operating | None:
    """What the policy would do; None where none of its gates is tested."""
    designs: list[Design] = []
    paired: list[Paired] = []
    left_out: dict[str, str] = {}
    seen = {
        (suite.name, one.metric, *sorted(one.slice.items())): one
        for suite in (baseline.suites if baseline else ())
        for one in suite.estimates
    }
    for suite in suites:
        for gate in gates_of(suite, policy.gates):
            if (asked := asked_of.get((suite.name, gate.metric))) is None:
                continue
            if scoped_out(policy.scope, suite.name, "", gate.id) is not None:
                continue
            key, contrast = f"{suite.name}.{gate.id}", asked[0].compared is not None
            before = seen.get((suite.name, gate.metric, *sorted(gate.slice.items())))
            made = (
                based_on(key, gate, before, policy.confidence, contrast=contrast)
                if before is not None
                else design_of(key, gate, _units(gate, asked[1]), contrast=contrast)
            )
            if isinstance(made, str):
                left_out[key] = made
                continue
            designs.append(made)
            paired += [paired_of(made, default_margin(asked[0]))] if before is not None else []
    return operating_characteristic(designs, policy.confidence, paired=paired, left_out=left_out) if designs else None


def _units(gate: Gate, cases: Sequence[Case]) -> int:
    """How many independent units of the gate's slice there are."""
    inside = [case for case in cases if all(case.of(at) == value for at, value in gate.slice.items())]
    return len({case.cluster or case.id for case in inside})


class _Costs:
    """What requests cost, part by part: requests to one model for one kind of thing."""

    def __init__(self, models: Mapping[str, Model], trial: Trial | None, known: Known | None) -> None:
        self._models, self._trial, self._known = models, trial, known

    def of(self, cases: Sequence[Sequence[Request]], *, tried: bool = True) -> dict[str, Any] | None:
        """The costs of a probe as fields of `PlannedProbe`; None where a model cannot do what is asked."""
        parts: dict[tuple[str, Columns | None], list[Asked]] = {}
        for requests in cases:
            for kind in dict.fromkeys(map(_kind, requests)):
                group: Any = [_bare(request) for request in requests if _kind(request) == kind]
                parts.setdefault(kind, []).append(group)
        costs: dict[str, Any] = {"requests": 0, "tokens": 0, "written": 0, "computed": 0, "served": Served()}
        seconds, known = 0.0, 0
        for (role, columns), groups in parts.items():
            flat: Any = [request for group in groups for request in group]
            requested, computed = tokens_of(self._models.get(role), flat)
            written = written_by(flat)
            there = self._known(role, flat, columns or LOG_PROB) if self._known else 0
            known += there
            costs["requests"] += len(flat)
            costs["tokens"] += requested
            costs["written"] += written
            model = self._models.get(role)
            if on_a_server(model):
                costs["served"] += Served(len(flat), requested - written, written)
                continue
            costs["computed"] += computed
            try:
                here = self._seconds(role, groups, columns or LOG_PROB) if tried else math.nan
            except Unsupported:
                return None
            seconds += here * (1 - there / len(flat))
        asked_here = costs["served"].requests < costs["requests"]
        costs["seconds"] = seconds if asked_here else math.nan
        return costs | ({"known": known} if self._known else {})

    def memory(self) -> Memory | None:
        model = self._models.get("model")
        return self._trial.memory(model) if self._trial and model is not None else None

    def _seconds(self, role: str, groups: Sequence[Asked], columns: Columns) -> float:
        if self._trial is None:
            return math.nan
        if role not in self._models:
            raise Unsupported(f'needs a model for the role "{role}"')
        model = self._models[role]
        if getattr(model, "answers_by_case", False):
            return math.nan
        return self._trial.seconds(model, groups, columns)


def _kind(request: Request) -> tuple[str, Columns | None]:
    return request.role, request.columns if isinstance(request, Score) else None


def _bare(request: Request) -> Any:
    return request.pair if isinstance(request, Score) else request


class _Silent:
    """Stands for a server, which a plan must not ask: none of its answers comes."""

    def generate(self, requests: object) -> list[str]:
        raise RuntimeError("not asked")

    def score(self, pairs: object, columns: object = None) -> list[Any]:
        raise RuntimeError("not asked")


def _check_fallback(probe: Probe, cases: Sequence[Case], models: Mapping[str, Model], key: str) -> None:
    """Raises `Unsupported` again, unless the probe asks for something else of a model that cannot do what it asks."""
    heard: dict[str, Any] = {role: _Silent() if on_a_server(model) else model for role, model in models.items()}
    observe(probe, cases[:1], heard, key=key)


def _rule(gate: Gate) -> str:
    limits = [f"at least {gate.at_least:g}"] if math.isfinite(gate.at_least) else []
    limits += [f"at most {gate.at_most:g}"] if math.isfinite(gate.at_most) else []
    return " and ".join(limits) or "the claimed epsilon"


def _planned(key: str, gate: Gate, asked: tuple[Metric, Sequence[Case]] | None, confidence: float) -> PlannedGate:
    """The gate with what it can see in the cases of its slice."""
    metric, cases = asked or (None, ())
    cases = [case for case in cases if all(case.of(at) == value for at, value in gate.slice.items())]
    units = len({case.cluster or case.id for case in cases})
    if metric is None or not units:
        return PlannedGate(key, _rule(gate), "not tested")
    margin = min((abs(limit) for limit in (gate.at_least, gate.at_most) if math.isfinite(limit)), default=0.0)
    if metric.compared is None or gate.burden != "proof" or not margin:
        return PlannedGate(key, _rule(gate), _sees(gate, units, confidence))
    return _sees_contrast(PlannedGate(key, _rule(gate), ""), metric.compared, cases, margin, confidence)


def _sees_contrast(
    gate: PlannedGate, compared: tuple[str, str, str, str], cases: Sequence[Case], margin: float, confidence: float
) -> PlannedGate:
    """The gap that fails in four audits of five, and the names that the margin would take.

    Nothing was measured yet, so it is said in standard deviations of names' means, and for two that shares often have.
    """
    _, kind, *pair = compared
    units: dict[str, list[set[str]]] = {}
    for case in cases:
        if (value := case.groups.get(kind)) in pair:
            units.setdefault(case.language, [set(), set()])[pair.index(value)].add(case.cluster or case.id)
    twins = any(first & second for first, second in units.values())
    sizes = {
        language: (len(first & second),) * 2 if twins else (len(first), len(second))
        for language, (first, second) in sorted(units.items())
        if not twins or first & second
    }
    unit = "pairs of twins" if twins else "names"
    told = "; ".join(
        f"{language}: {first} {unit}" if twins else f"{language}: {first} and {second} {unit}"
        for language, (first, second) in sizes.items()
    )
    if not sizes or min(map(min, sizes.values())) < 2:
        return replace(gate, sees=f"nothing, an interval needs 2 {unit} of each group ({told or 'there are none'})")
    reach = reach_of(list(sizes.values()), confidence, paired=twins)
    templates = len({case.of("template") for case in cases})
    names = {
        deviation: names_needed(
            deviation / math.sqrt(2) if twins else deviation,
            margin,
            templates=1 if twins else templates,
            languages=len(sizes),
            confidence=confidence,
            power=0.9,
        )
        for deviation in _DEVIATIONS
    }
    what = "twins' differences" if twins else "names' means"
    vary, gaps, wanted = (
        " or ".join(map(str, column))
        for column in (_DEVIATIONS, (f"{margin + reach * each:.3f}" for each in _DEVIATIONS), names.values())
    )
    sees = (
        f"a gap of {gaps} where {what} vary by {vary} ({margin:g} and {reach:.2f} standard deviations; {told}); "
        f"to fail {2 * margin:g} and pass 0 it takes {wanted} {unit} a {'language' if twins else 'group and language'}"
    )
    if margin < 1:
        alike = math.ceil(math.log1p(-confidence) / math.log1p(-margin) / len(sizes))
        sees += f", of a share that is 0 or 1 for all {alike}"
    return replace(gate, sees=sees, names=names)


def _sees(gate: Gate, units: int, confidence: float) -> str:
    if gate.burden == "refutation":
        best = -math.log((1 - confidence) ** (-2 / units) - 1) if units > 1 else 0.0
        return f"claims below about {best:.1f} ({units} units, half of them guessed)"
    if gate.metric.startswith("rate_"):
        return _sees_rate(gate, units, confidence)
    deviation = uncertainty.smallest_detectable(1 / math.sqrt(units), confidence)
    return f"{deviation:.2f} standard deviations of one unit from the limit ({units} units)"


def _sees_rate(gate: Gate, units: int, confidence: float) -> str:
    """The true rate nearest to the limit that passes, and that fails, in four audits of five."""
    upper = math.isfinite(gate.at_most)
    limit = gate.at_most if upper else gate.at_least
    steps = [limit * i / 50 for i in range(50, -1, -1)] if upper else [limit + (1 - limit) * i / 50 for i in range(51)]
    passing = next(
        (r for r in steps if uncertainty.power_of_rate(units, r, gate.at_least, gate.at_most, confidence) >= 0.8), None
    )
    return (
        f"no rate passes with {units} units; more cases are needed"
        if passing is None
        else f"passes in 4 audits of 5 at a true rate of {passing:.3f} ({units} units)"
    )


def write_prompts(planned: Plan, path: Path) -> int:
    """Writes every prompt to be answered elsewhere, one JSON object a line, and returns how many.

    Only the file's owner may read it: prompts can hold what customers wrote, and what canaries begin with.

    Answers go into a JSONL file of `{"case": ..., "sample": ..., "text": ...}` that `--model recorded:FILE` reads.

    Raises:
        DataError: the file cannot be written.
    """
    lines: list[dict[str, Any]] = []
    counted: dict[str, int] = {}
    for key, case, request in planned.first:
        if not isinstance(request, Generate) or request.sampling.required:  # required phrases take our own decoding
            continue
        name = f"{key}/{case.id}"
        for _ in range(request.sampling.n):
            sample = counted.get(name, 0)
            counted[name] = sample + 1
            turns = [asdict(turn) for turn in request.prompt.turns]
            lines.append(
                {
                    "case": name,
                    "sample": sample,
                    "prompt": request.prompt.flat,
                    "system": request.prompt.system,
                    "turns": turns,
                    "sampling": asdict(replace(request.sampling, mark=None)),  # a mark's key is its owner's
                }
            )
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(number).st_mode):  # a file that was there keeps its mode otherwise
                os.fchmod(number, 0o600)
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    except OSError as fault:
        raise DataError(f"{path}: cannot be written ({fault.strerror}). Name another file with --prompts.") from fault
    return len(lines)
