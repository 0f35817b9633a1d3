"""Two runs on the same cases, paired: what became better or worse, by how much, how sure.

compare(load_run(a), load_run(b), ["faithfulness"])[0].verdict -> "worse"
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from shoplm_audit.engine import suites_of
from shoplm_audit.errors import DataError
from shoplm_audit.results import AuditResult
from shoplm_audit.types import Estimate, Metric, Observations

__all__ = ["Change", "compare"]


@dataclass(frozen=True, slots=True)
class Change:
    """One metric in both runs; `difference` is the second minus the first, with both bounds at the runs' confidence."""

    suite: str
    metric: str
    first: float
    second: float
    difference: Estimate
    verdict: Literal["better", "worse", "no difference shown", "undefined"]
    slice: Mapping[str, str] = field(default_factory=dict)


def compare(first: AuditResult, second: AuditResult, suites: Sequence[str], *, margin: float = 0.0) -> list[Change]:
    """Pairs the cases of two runs and estimates each metric's difference.

    Args:
        first: the run that is the baseline.
        second: the candidate.
        suites: names or folders of the suites whose metrics are compared.
        margin: a metric is worse only when its whole interval lies beyond this, in the metric's unit.

    Raises:
        DataError: the runs share no probe, or a probe's cases are not the same.
    """
    changes: list[Change] = []
    values = {(s.name, e.metric): e.value for s in first.result.suites for e in s.estimates if not e.slice}
    after = {(s.name, e.metric): e.value for s in second.result.suites for e in s.estimates if not e.slice}
    for suite in suites_of(list(suites)):
        for probe in suite.probes:
            key = (suite.name, probe.name)
            if key not in first.observations or key not in second.observations:
                continue
            old, new = _paired(first.observations[key], second.observations[key], "/".join(key))
            for metric in probe.metrics:
                rng = np.random.default_rng(first.result.seed)
                difference = metric.difference(old, new, first.result.confidence, rng)
                before, now = values.get((suite.name, metric.name)), after.get((suite.name, metric.name))
                pair = (math.nan if before is None else before, math.nan if now is None else now)
                verdict = _verdict(metric, *pair, difference, margin)
                changes.append(Change(suite.name, metric.name, *pair, difference, verdict))
    if not changes:
        raise DataError("the two runs have no probe in common: nothing can be compared.")
    return changes


def _paired(first: Observations, second: Observations, name: str) -> tuple[Observations, Observations]:
    order = {row.case.id: i for i, row in enumerate(second)}
    if set(order) != {row.case.id for row in first}:
        raise DataError(f"{name}: the runs have different cases. Run both with the same data, seed and limit.")
    return first, second.take([order[row.case.id] for row in first])


def _verdict(
    metric: Metric, first: float, second: float, difference: Estimate, margin: float
) -> Literal["better", "worse", "no difference shown", "undefined"]:
    if math.isnan(difference.low) or math.isnan(difference.high):
        return "undefined"
    up, down = difference.low > margin, difference.high < -margin
    if not (up or down):
        return "no difference shown"
    if metric.better == "zero":
        return "better" if abs(second) < abs(first) else "worse"
    return "better" if up == (metric.better == "higher") else "worse"
