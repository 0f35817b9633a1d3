"""What stopping early saves and what it costs in coverage, by simulation of the default gates on their planned cases.

python -m benchmarks.stopping [coverage] [savings]

A fault is a case that counts against the model; a gate "at most 10 %" and one "at least 90 %" both allow 10 % of them.
`savings` draws models that have the same multiple of the allowed faults at every gate, looks after every block as a
run does, and counts the cases that are asked before all watched gates of a probe are decided.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shoplm_audit.errors import Unsupported
from shoplm_audit.observing import _BLOCKS, _SMALLEST, cases_of, material_of
from shoplm_audit.prompts import Prompts
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.sequences import betting_bounds, log_capital
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Case, Floats, Gate, Metric, Observation, Observations
from shoplm_audit.uncertainty import clopper_pearson

RUNS, MOST = 4_000, 2_000
SUITES = ("faithfulness", "task_quality", "privacy", "fake_reviews")
TIMES = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
ALIKE = 0.2  # how alike the rows of a cluster are


def _beta(rng: np.random.Generator, mean: float, spread: float, shape: tuple[int, ...]) -> Floats:
    """Numbers between 0 and 1; `spread` 1 gives only the ends, 0 only the mean."""
    if spread == 0 or mean in (0.0, 1.0):
        return np.full(shape, mean)
    if spread == 1:
        return (rng.random(shape) < mean).astype(float)
    strength = (1 - spread) / spread
    return rng.beta(mean * strength, (1 - mean) * strength, shape)


# Coverage -------------------------------------------------------------------------------------------


def _drawn(rng: np.random.Generator, kind: str, mean: float, runs: int) -> tuple[Floats, Floats]:
    """Totals and sizes of clusters, both (runs, MOST), divided by the largest size."""
    shape = (runs, MOST)
    if kind == "single":
        return _beta(rng, mean, 1.0, shape), np.ones(shape)
    if kind == "beta":
        return _beta(rng, mean, 0.3, shape), np.ones(shape)
    sizes = rng.integers(1, 9, shape)
    return rng.binomial(sizes, _beta(rng, mean, 0.4, shape)) / 8, sizes / 8


def coverage() -> None:
    """The share of runs in which the truth lay outside a bound at the worst of all moments, 5 % allowed."""
    rng, goal = np.random.default_rng(0), -math.log(0.05)
    print(f"| values | mean | truth ever above the upper bound | ever below the lower | {RUNS} runs of {MOST} |")
    for kind in ("single", "beta", "clusters of 1 to 8"):
        for mean in (0.01, 0.05, 0.3, 0.5):
            lost = np.zeros(2)
            for _ in range(RUNS // 200):
                totals, sizes = _drawn(rng, kind, mean, 200)
                lost += (
                    (log_capital(sizes - totals, sizes, 1 - mean).max(axis=-1) >= goal).sum(),
                    (log_capital(totals, sizes, mean).max(axis=-1) >= goal).sum(),
                )
            print(f"| {kind} | {mean} | {lost[0] / RUNS:.4f} | {lost[1] / RUNS:.4f} |")
    print("\n| n | hits | Clopper-Pearson, fixed n | betting, any time | width |")
    for n, hits in ((100, 0), (240, 7), (240, 24), (1000, 30), (1000, 500)):
        fixed, free = clopper_pearson(hits, n), betting_bounds(np.arange(n) < hits, np.arange(n), 0.95)
        times = (free[1] - free[0]) / (fixed[1] - fixed[0])
        print(f"| {n} | {hits} | {fixed[0]:.4f} to {fixed[1]:.4f} | {free[0]:.4f} to {free[1]:.4f} | {times:.2f} |")


# Savings --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """A gate on a bounded mean: the faults that it allows, and which of the planned clusters it is about."""

    id: str
    allowed: float
    spread: float
    share: float


@dataclass(frozen=True)
class Asked:
    """A probe with watched gates: its planned clusters of equal size, and whether another gate needs all its cases."""

    name: str
    clusters: int
    per: int
    gates: tuple[Watched, ...]
    fixed: bool


def _watched(gate: Gate, metric: Metric, cases: list[Case]) -> Watched | None:
    if metric.bounded is None or gate.family or gate.burden != "proof" or math.isfinite(gate.at_least + gate.at_most):
        return None
    bottom, top = metric.bounded.bottom, metric.bounded.top
    allowed = (gate.at_most - bottom if math.isfinite(gate.at_most) else top - gate.at_least) / (top - bottom)
    rows = Observations(tuple(Observation(case, {}, "errored") for case in cases)).where(**gate.slice)
    kept = float(np.isfinite(metric.bounded.values(rows)).sum()) / len(cases)
    mean = metric.signature.startswith("mean|")
    return Watched(gate.id, allowed, (0.01 if bottom < 0 else 0.2) if mean else 1.0, kept)


def planned() -> Iterator[Asked]:
    """The probes of the default suites that have a gate on a bounded mean, with the cases an audit plans for them."""
    material = material_of({"model": Saboteur()}, {}, Prompts(), 0, None)
    for suite in map(load_suite, SUITES):
        for probe in suite.probes:
            metrics = {metric.name: metric for metric in probe.metrics}
            gates = [gate for gate in suite.gates if gate.metric in metrics]
            try:
                cases = cases_of(probe, material) if gates else []
            except Unsupported:
                continue
            found = [_watched(gate, metrics[gate.metric], cases) for gate in gates]
            if watched := tuple(one for one in found if one):
                clusters = len({case.cluster or case.id for case in cases})
                per = round(len(cases) / clusters)
                yield Asked(f"{suite.name}.{probe.name}", clusters, per, watched, None in found)


def _share_asked(
    probe: Asked, times: float, goals: tuple[float, float], scale: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Per run the share of the clusters that are asked, and whether every gate is decided as it should be."""
    runs, count = 400, probe.clusters * scale
    block = math.ceil(max(_SMALLEST, probe.clusters * probe.per // _BLOCKS) / probe.per)
    looks = np.unique(np.append(np.arange(block, count, block), count)) - 1
    settled, right = np.ones((runs, looks.size), dtype=bool), np.ones((runs, looks.size), dtype=bool)
    for gate in probe.gates:
        faults = min(times * gate.allowed, 0.98)
        rates = _beta(rng, faults, ALIKE if probe.per > 1 else 0.0, (runs, count))
        if gate.spread == 1:
            values = rng.binomial(probe.per, rates) / probe.per
        else:
            values = _beta(rng, faults, gate.spread, (runs, count))
        inside = (rng.random((runs, count)) < gate.share).astype(float)
        bad = log_capital(values * inside, inside, gate.allowed)[:, looks] >= goals[1]
        good = log_capital((1 - values) * inside, inside, 1 - gate.allowed)[:, looks] >= goals[0]
        settled &= good | bad
        right &= ~bad if times <= 1 else ~good
    ended = np.where(settled.any(axis=1), settled.argmax(axis=1), looks.size - 1)
    asked = np.ones(runs) if probe.fixed else (looks[ended] + 1) / count
    return asked, (settled & right)[np.arange(runs), ended].astype(float)


def savings() -> None:
    """Cases asked of those planned, by how many times the allowed faults a model has at every gate."""
    probes = list(planned())
    watched = sum(len(probe.gates) for probe in probes)
    cases = sum(probe.clusters * probe.per for probe in probes)
    print(f"{watched} watched gates in {len(probes)} probes with {cases} cases; looks after every block")
    early = np.array([not probe.fixed for probe in probes])
    print(f"{early.sum()} of the probes have no other gate, which would need all cases")
    weights = np.array([probe.clusters * probe.per for probe in probes])
    goals = math.log(1 / 0.05), math.log(watched / 0.05)  # to pass, and to fail at a share of the error
    for scale in (1, 4):
        print(
            f"\n| faults, times those allowed; cases x {scale} | " + " | ".join(f"{times:g}" for times in TIMES) + " |"
        )
        rows = []
        for probe in probes:
            found = [_share_asked(probe, times, goals, scale, np.random.default_rng(1)) for times in TIMES]
            rows.append([(asked.mean(), right.mean()) for asked, right in found])
            print(f"| {probe.name} | " + " | ".join(f"{100 * share:.0f} %" for share, _ in rows[-1]) + " |")
        for name, kept in (("in all", early | True), ("where all gates can be judged early", early)):
            asked, right = np.average(np.array(rows)[kept], axis=0, weights=weights[kept]).T
            print(f"| asked {name} | " + " | ".join(f"{100 * share:.0f} %" for share in asked) + " |")
            print(f"| decided rightly {name} | " + " | ".join(f"{100 * share:.0f} %" for share in right) + " |")


ALL = {"coverage": coverage, "savings": savings}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        ALL[name]()
