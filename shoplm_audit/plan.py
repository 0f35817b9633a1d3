"""What an audit will cost and what it can see, before anything is spent.

plan(model, ["faithfulness"]).probes[0].cases -> 240
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shoplm_audit import uncertainty
from shoplm_audit.config import gates_of
from shoplm_audit.engine import Policy, cases_of
from shoplm_audit.errors import DataError, Unsupported
from shoplm_audit.probes.driving import first_requests, observe
from shoplm_audit.types import Case, Gate, Generate, Material, Model, Request, Score, Suite

__all__ = ["Plan", "PlannedGate", "PlannedProbe", "plan", "write_prompts"]


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """A gate and the smallest fault it can see with 80 % power, in words."""

    id: str
    rule: str
    sees: str


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """What a probe will ask.

    Attributes:
        cases, requests: how many; later requests of a case depend on its answers and are not counted.
        tokens: about how many tokens are read and written at most (four bytes of text to a token).
        seconds: expected on this machine from a short trial; nan where nothing was tried.
        skipped: why it cannot run, if it cannot.
    """

    suite: str
    name: str
    cases: int = 0
    requests: int = 0
    tokens: int = 0
    seconds: float = math.nan
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of an audit, and what every case asks first."""

    probes: tuple[PlannedProbe, ...]
    gates: tuple[PlannedGate, ...]
    first: tuple[tuple[str, Case, Request], ...]


def plan(
    models: Mapping[str, Model], suites: Sequence[Suite], material: Material, policy: Policy, *, trial: int = 4
) -> Plan:
    """Counts what an audit would ask and times a few requests of each probe.

    Args:
        models: by role.
        suites: the suites.
        material: what cases are made of.
        policy: limits and scope.
        trial: how many requests of each probe are tried to tell the time; 0 asks nothing.
    """
    probes: list[PlannedProbe] = []
    first: list[tuple[str, Case, Request]] = []
    sizes: dict[tuple[str, str], int] = {}
    for suite in suites:
        for probe in suite.probes:
            if (reason := policy.scope.get(f"{suite.name}.{probe.name}", policy.scope.get(suite.name))) is not None:
                probes.append(PlannedProbe(suite.name, probe.name, skipped=reason))
                continue
            try:
                cases = cases_of(probe, material)
                asked = [(case, request) for case, requests in first_requests(probe, cases) for request in requests]
                try:
                    seconds = _seconds(models, [request for _, request in asked], trial)
                except Unsupported:
                    # The probe may ask for something else; if it does not, this raises again.
                    observe(probe, cases[:1], models, key=f"{suite.name}/{probe.name}")
                    seconds = math.nan
            except Unsupported as fault:
                probes.append(PlannedProbe(suite.name, probe.name, skipped=str(fault)))
                continue
            units = len({case.cluster or case.id for case in cases})
            for metric in probe.metrics:
                sizes[suite.name, metric.name] = units
            first += [(f"{suite.name}/{probe.name}", case, request) for case, request in asked]
            tokens = sum(_tokens(request) for _, request in asked)
            probes.append(PlannedProbe(suite.name, probe.name, len(cases), len(asked), tokens, seconds))
    gates = [
        PlannedGate(f"{suite.name}.{gate.id}", _rule(gate), _sees(gate, sizes.get((suite.name, gate.metric)), policy))
        for suite in suites
        for gate in gates_of(suite, policy.gates)
    ]
    return Plan(tuple(probes), tuple(gates), tuple(first))


def _tokens(request: Request) -> int:
    if isinstance(request, Score):
        return (len(request.pair.context.encode()) + len(request.pair.continuation.encode())) // 4 + 1
    return len(request.prompt.flat.encode()) // 4 + 1 + request.sampling.max_new_tokens * request.sampling.n


def _seconds(models: Mapping[str, Model], requests: Sequence[Request], trial: int) -> float:
    """The expected time of all requests, from a few spread over them."""
    if not trial or getattr(models["model"], "answers_by_case", False):
        return math.nan
    model = models["model"]
    step = max(1, len(requests) // trial)
    some = [request for request in requests[::step][:trial] if request.role == "model"]
    started = time.perf_counter()
    scores = [request for request in some if isinstance(request, Score)]
    if scores:
        model.score([request.pair for request in scores], scores[0].columns)
    texts = [request for request in some if isinstance(request, Generate)]
    if texts:
        model.generate(texts)
    spent = time.perf_counter() - started
    tried = sum(_tokens(request) for request in some)
    return spent * sum(_tokens(request) for request in requests) / tried if tried else math.nan


def _rule(gate: Gate) -> str:
    limits = [f"at least {gate.at_least:g}"] if math.isfinite(gate.at_least) else []
    limits += [f"at most {gate.at_most:g}"] if math.isfinite(gate.at_most) else []
    return " and ".join(limits) or "the claimed epsilon"


def _sees(gate: Gate, units: int | None, policy: Policy) -> str:
    if not units:
        return "not tested"
    if gate.burden == "refutation":
        best = -math.log((1 - policy.confidence) ** (-2 / units) - 1) if units > 1 else 0.0
        return f"claims below about {best:.1f} ({units} units, half of them guessed)"
    if gate.metric.startswith("rate_"):
        return _sees_rate(gate, units, policy.confidence)
    deviation = uncertainty.smallest_detectable(1 / math.sqrt(units), policy.confidence)
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

    Answers go into a JSONL file of `{"case": ..., "sample": ..., "text": ...}` that `--model recorded:FILE` reads.

    Raises:
        DataError: the file cannot be written.
    """
    lines: list[dict[str, Any]] = []
    counted: dict[str, int] = {}
    for key, case, request in planned.first:
        if not isinstance(request, Generate):
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
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    except OSError as fault:
        raise DataError(f"{path}: cannot be written ({fault.strerror}). Name another file with --prompts.") from fault
    return len(lines)
