"""A metric of some of the cases: those of a kind, those in which something was seen at all.

among(rate_of("recalled", better="lower"), name="rate_recalled_left_out", having="recalled", member=False)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoplm_audit.metrics.reduce import added, averaging, rate_of
from shoplm_audit.types import Bounded, Estimate, Floats, Metric, Observations

__all__ = ["among", "beyond"]


def among(metric: Metric, *, name: str = "", having: str = "", **facts: object) -> Metric:
    """The metric over the cases with these facts, and of them those that have a value in a column.

    A case that errored has no value and would count against the model; it stays in, whatever `having` says.

    Args:
        metric: what is computed.
        name: of the new metric; "" keeps the old one.
        having: a column; scored cases in which it is None are left out ("the text was too short").
        facts: what has to be true of a case; compared as text.
    """

    def kept(observations: Observations) -> list[int]:
        wanted = {key: str(value) for key, value in facts.items()}
        return [
            i
            for i, row in enumerate(observations)
            if all(row.case.of(key) == value for key, value in wanted.items())
            and (not having or row.status != "scored" or row.values.get(having) is not None)
        ]

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return metric.estimate(observations.take(kept(observations)), confidence, rng)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        both = sorted(set(kept(old)) & set(kept(new)))  # paired: the same cases on both sides
        return metric.difference(old.take(both), new.take(both), confidence, rng)

    told = ",".join(
        [f"{key}={value}" for key, value in sorted(facts.items())] + ([f"having {having}"] if having else [])
    )
    return replace(metric, name=name or metric.name, estimate=estimate, difference=difference,
                   signature=f"{metric.signature}|{told}".strip("|"),
                   bounded=averaging(metric, kept=kept))  # fmt: skip


def beyond(column: str, control: str, *, name: str) -> Metric:
    """How much more often a column is true than its control in the same cases: what is left when chance is taken off.

    Exact bounds on the shares of cases in which only one of them is true, or a paired bootstrap where they are many. A
    case without an answer counts as true without its control.

    Args:
        column: true or false per case; lower is better.
        control: the same of what cannot have been the fault (units that were left out).
        name: of the metric.
    """
    rate = rate_of(column, better="lower")

    def told(observations: Observations, of: str) -> Observations:
        return Observations(
            tuple(
                replace(row, values={column: row.values.get(of)})
                if row.status == "scored"
                else replace(row, values={column: of == column}, status="scored")
                for row in observations
            )
        )

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return rate.difference(told(observations, control), told(observations, column), confidence, rng)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        half = (1 + confidence) / 2
        return added(estimate(old, half, rng), estimate(new, half, rng))

    def excess(observations: Observations) -> Floats:
        more = told(observations, column).numbers(column, 1.0) - told(observations, control).numbers(column, 1.0)
        return np.where(np.isnan(more), np.inf, more)

    signature = f"rate|{column}-{control}|paired"
    return Metric(name, estimate, difference, "lower", signature, bounded=Bounded(excess, -1.0, 1.0))
