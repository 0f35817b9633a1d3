"""How often `compare` blocks an unchanged policy: 25 gates that are no rates of single rows, at margin 0.

python -m benchmarks.beside [policies]     # 400 unless given; a row of the table each
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from shoplm_audit.compare import _found, _verdict
from shoplm_audit.metrics.reduce import f1_of, mean_of, rate_of
from shoplm_audit.multiplicity import holm
from shoplm_audit.pairing import Pair
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations, Value

GATES = 25
Draw = Callable[[np.random.Generator], tuple[Observations, Observations]]
Values = dict[str, Value]


def _rows(cases: list[Case], values: list[Values]) -> Observations:
    return Observations(tuple(Observation(case, one) for case, one in zip(cases, values, strict=True)))


def _cases(count: int, each: int = 1) -> list[Case]:
    return [Case(f"c{i}", cluster=f"k{i // each}", reference=("no", "yes")[i // each % 2]) for i in range(count * each)]


def means(count: int, share: float, each: int = 1, lopsided: bool = False) -> tuple[Metric, Draw]:
    """Values from 0 to 100, of which a share changes by noise with mean 0."""
    cases = _cases(count, each)

    def draw(rng: np.random.Generator) -> tuple[Observations, Observations]:
        old = np.repeat(rng.normal(50, 10, count), each)
        noise = 15 * (rng.exponential(size=old.size) - 1) if lopsided else rng.normal(0, 15, old.size)
        new = old + np.where(rng.random(old.size) < share, noise, 0.0)
        first, second = ([{"x": float(v)} for v in np.clip(one, 0, 100)] for one in (old, new))
        return _rows(cases, first), _rows(cases, second)

    return mean_of("x", better="higher", worst=0.0, best=100.0), draw


def faults(metric: Metric, count: int, each: int, columns: dict[str, float]) -> tuple[Metric, Draw]:
    """Columns that are true with these probabilities, half of which are drawn anew."""
    cases = _cases(count, each)

    def draw(rng: np.random.Generator) -> tuple[Observations, Observations]:
        old: list[Values] = [{} for _ in cases]
        new: list[Values] = [{} for _ in cases]
        for name, chance in columns.items():
            before, again, kept = (rng.random((count, each)) for _ in range(3))
            before = np.where(rng.random((count, 1)) < 0.5, before[:, :1], before)  # rows of a cluster are alike
            for i, (was, now, keep) in enumerate(zip(before.flat, again.flat, kept.flat, strict=True)):
                old[i][name] = int(was < chance)
                new[i][name] = int((was if keep < 0.5 else now) < chance)
        return _rows(cases, old), _rows(cases, new)

    return metric, draw


KINDS: dict[str, tuple[Metric, Draw]] = {
    "means, 60 cases, 30 % change": means(60, 0.3),
    "means, 120 cases, 12 % change": means(120, 0.12),
    "means, 120 cases, lopsided changes with mean 0": means(120, 0.3, lopsided=True),
    "means, 60 clusters of 4": means(60, 0.3, each=4),
    "rates, 80 clusters of 3": faults(rate_of("bad", better="lower"), 80, 3, {"bad": 0.2}),
    "F1, 60 cases": faults(
        f1_of("f1", hits="hits", false="false", missed="missed"), 60, 1, {"hits": 0.7, "false": 0.2, "missed": 0.2}
    ),
}


def _told(metric: Metric, rows: Observations) -> Estimate:
    """What a run says of the rows; no bounds, which the comparison does not read."""
    values = np.array([np.nan]) if metric.bounded is None else metric.bounded.values(rows)
    return Estimate(float(values.mean()), np.nan, np.nan, len(rows), "")


def blocked(metric: Metric, draw: Draw, policies: int) -> int:
    """In how many policies some gate is called worse."""
    rng, count = np.random.default_rng(3), 0
    for number in range(policies):
        found = []
        for gate in range(GATES):
            old, new = draw(rng)
            before, after = (_told(metric, rows) for rows in (old, new))
            pair = Pair("suite", f"suite.gate{gate}", {}, metric, old, new, before, after, number)
            found.append(_found(pair, 0.0, 0.95, GATES))
        adjusted = holm(np.array([one.p for one in found]))
        count += any(_verdict(one, 0.0, float(p), 0.95) == "worse" for one, p in zip(found, adjusted, strict=True))
    return count


if __name__ == "__main__":
    policies = int(sys.argv[1]) if sys.argv[1:] else 400
    for kind, (metric, draw) in KINDS.items():
        count = blocked(metric, draw, policies)
        print(f"| {kind} | {100 * count / policies:.1f} % of {policies} |", flush=True)
