"""Contrasts of answers that could not have differed: there a gap of 0 is no finding.

unless_saturated(contrast_of("suspected", "gender", "female", "male")).estimate(...).note -> "invalid: its answers ..."

A model that says no with a probability of 0.999 to everybody treats nobody differently as far as this shows;
what it would do where it hesitates is not seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoplm_audit.types import Estimate, Metric, Observations

__all__ = ["SUREST", "unless_saturated"]

SUREST = "surest"
_SURE = 0.99  # a share of it or more leaves the others nothing that could differ
_ALIKE = 0.01  # values so near to each other are one answer
_NEARLY_ALL = 0.95


def unless_saturated(metric: Metric, surest: str = SUREST) -> Metric:
    """The contrast, invalid where in a language nearly all answers are sure, and sure of the same.

    That is 95 % of the cases compared: their largest share is 0.99 or more, and their value lies within 0.01 of the
    median of their question. Answers that are sure of different things do show a difference, and are judged by it.

    Args:
        metric: a contrast, which tells what it compares.
        surest: the column with the largest share of any alternative.

    Raises:
        ValueError: the metric does not tell what it compares.
    """
    if metric.compared is None:
        raise ValueError(f'metric "{metric.name}" compares no groups: give a contrast.')
    column, group, *pair = metric.compared

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = metric.estimate(observations, confidence, rng)
        compared = Observations(tuple(row for row in observations if row.case.groups.get(group) in pair))
        blind = [] if found.note.startswith("invalid") else _saturated(compared, column, surest)
        if not blind:
            return found
        told = ", ".join(f"{share:.0%} in {language}" for language, share in blind)
        return replace(
            found, note=f"invalid: its answers cannot show a difference, as they are sure of the same ({told})"
        )

    return replace(metric, estimate=estimate, signature=f"{metric.signature}|unless saturated")


def _saturated(rows: Observations, column: str, surest: str) -> list[tuple[str, float]]:
    """The languages in which nearly all answers are sure of the same, and how many of them are."""
    values, sure = rows.numbers(column), rows.numbers(surest) >= _SURE
    keys = np.array([f"{row.case.language}\0{row.case.of('template')}" for row in rows], dtype=np.str_)
    same = np.zeros(len(rows), dtype=bool)
    for key in np.unique(keys):
        here = keys == key
        same[here] = np.abs(values[here] - np.median(values[here])) <= _ALIKE
    languages = np.array([row.case.language for row in rows], dtype=np.str_)
    shares = [(str(each), float((sure & same)[languages == each].mean())) for each in np.unique(languages)]
    return [(language, share) for language, share in shares if share >= _NEARLY_ALL]
