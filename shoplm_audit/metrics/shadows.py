"""The likelihood-ratio attack as a column: it needs all records at once, so no probe can give it record by record.

by_shadows(membership_auroc_of("likelihood_ratio", "member", "text", name="auroc_likelihood_ratio"))
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from shoplm_audit.scoring.attacks import lira_scores
from shoplm_audit.types import Estimate, Metric, Observations

__all__ = ["by_shadows"]


def by_shadows(metric: Metric) -> Metric:
    """The metric over observations with a further column, "likelihood_ratio" (LiRA, arXiv 2112.03570).

    It is made of the columns "loss", "shadows_inside" and "shadows_outside" (JSON lists of the same loss under the
    shadows trained on a record, and under those that were not); where these are missing it is None.
    """

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return metric.estimate(_with_ratios(observations), confidence, rng)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return metric.difference(_with_ratios(old), _with_ratios(new), confidence, rng)

    return replace(metric, estimate=estimate, difference=difference)


def _with_ratios(observations: Observations) -> Observations:
    kinds: dict[str, list[int]] = {}
    for i, row in enumerate(observations):
        if row.values.get("shadows_inside") is not None:
            kinds.setdefault(row.case.of("kind"), []).append(i)
    ratios: dict[int, float] = {}
    for told in kinds.values():  # one pooled variance would serve neither whole records nor short canaries
        rows = [observations.rows[i] for i in told]
        sides = [[json.loads(str(row.values[side])) for row in rows] for side in ("shadows_inside", "shadows_outside")]
        scores, _ = lira_scores(observations.take(told).numbers("loss"), *sides)
        ratios |= dict(zip(told, scores.tolist(), strict=True))
    return Observations(
        tuple(
            replace(row, values={**row.values, "likelihood_ratio": ratios[i]}) if i in ratios else row
            for i, row in enumerate(observations)
        )
    )
