"""The intersection of groups (gender by ethnicity) that is worst off, with the price of having picked it.

worst_group_of("offer", ("gender", "ethnicity")) -> Metric("worst_offer_gender_ethnicity", better="lower")
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shoplm_audit.metrics.crossed import Undefined, strata_of, undefined
from shoplm_audit.metrics.reduce import added
from shoplm_audit.metrics.unseen import SAME
from shoplm_audit.multiplicity import max_t
from shoplm_audit.types import Case, Estimate, Floats, Metric, Observations

__all__ = ["worst_group_of"]

MIN_CELL = 10  # names of an intersection
_DRAWS = 2_000
_PRIOR = 4.0  # names' worth of the common variance in each cell's


def worst_group_of(column: str, kinds: tuple[str, ...], *, margin: float = 0.05) -> Metric:
    """The largest distance of an intersection of groups (gender by ethnicity) from the mean of all, up or down.

    A cell is an intersection within a language, the mean of all is that of the language's cells, which count alike, and
    name-level means are the units. The value is partially pooled: each cell's distance is drawn to 0 by as much as its
    error outweighs what cells truly differ by (a normal hierarchy with the variance of DerSimonian and Laird 1986),
    since the largest of many noisy distances is large for noise alone. The bounds are not pooled: they are those of all
    cells at once, by the largest studentised error of 2,000 resamples of names within cells (max-T, Westfall and Young
    1993), so that picking the worst is paid for. Cells' variances are pooled partially, by 4 names' worth of the common
    one, so that a cell in which nothing happened is not taken for certain.

    Cells below 10 names are left out and named; since the worst-off may be one of them, the upper bound is then
    infinite, and the estimate never passes. Cases that lack one of the kinds stand outside. A case without a value
    makes it undefined. Checks: cells, suppressed, and resolution (the width of the widest cell's bounds, one side).

    Args:
        column: the outcome in a shop's unit.
        kinds: which kinds of groups are crossed.
        margin: of the gate, in the column's unit. Where names of an intersection differ by less than a fiftieth of it,
            a spread tells nothing of names that were not asked, and the bounds are undefined.
    """

    def side(case: Case) -> str:
        values = [case.groups.get(kind, "") for kind in kinds]
        return " x ".join(values) if all(values) else ""

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        try:
            strata = strata_of(observations, observations.numbers(column), side)
        except Undefined as why:
            return undefined(observations, str(why))
        small, cells = [], []
        for one in strata:
            names, counts = np.unique(one.groups, return_counts=True)
            small += [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < MIN_CELL]
            cells.append([one.means[one.groups == name] for name in names[counts >= MIN_CELL]])
        cells = [of for of in cells if len(of) >= 2]
        left = f"below {MIN_CELL} names: {', '.join(small)}" if small else ""
        if not cells:
            return undefined(observations, f"no two intersections of a language to compare; {left}".rstrip("; "))
        gaps, errors, step = _distances(cells, confidence, rng)
        names_seen = sum(cell.size for of in cells for cell in of)
        if not max(float(np.ptp(cell)) for of in cells for cell in of) > SAME * abs(margin):
            alike = "undefined: no name differs from others of its intersection"
            return Estimate(float(np.abs(gaps).max()), math.nan, math.nan, names_seen, alike)
        low = float(np.maximum(np.abs(gaps) - step * errors, 0.0).max())
        high = math.inf if small else float((np.abs(gaps) + step * errors).max())
        value = min(max(float(np.abs(_pooled(gaps, errors)).max()), low), high)
        checks: Mapping[str, float] = {
            "cells": float(gaps.size), "suppressed": float(len(small)), "resolution": float((step * errors).max())
        }  # fmt: skip
        told = f"max-T bootstrap over {gaps.size} intersections"
        return Estimate(value, low, high, names_seen, f"{told}; {left}".rstrip("; "), note=left, checks=checks)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        half = (1 + confidence) / 2
        found = added(estimate(old, half, rng), estimate(new, half, rng))
        return (
            found
            if math.isfinite(found.low) and math.isfinite(found.high)
            else replace(found, low=math.nan, high=math.nan)
        )

    signature = f"worst|{column}|{' x '.join(kinds)}|units:names|strata:language|cells of {MIN_CELL} names or more"
    return Metric(f"worst_{column}_{'_'.join(kinds)}", estimate, difference, "lower", signature)


def _distances(
    cells: Sequence[Sequence[Floats]], confidence: float, rng: np.random.Generator
) -> tuple[Floats, Floats, float]:
    """Of all cells the distance from their language's mean and its error, (C,) each, and the max-T step."""
    spread = sum(float(((cell - cell.mean()) ** 2).sum()) for of in cells for cell in of)
    common = spread / sum(cell.size - 1 for of in cells for cell in of)

    def studied(means: Sequence[Floats], variances: Sequence[Floats], sizes: Sequence[int]) -> tuple[Floats, Floats]:
        mean, count = np.stack(means, axis=1), len(sizes)
        part = np.stack([v / n for v, n in zip(variances, sizes, strict=True)], axis=1)
        # A cell is part of the mean it is held against.
        error = part * (1 - 2 / count) + part.sum(axis=1, keepdims=True) / count**2
        return mean - mean.mean(axis=1, keepdims=True), np.sqrt(error)

    gaps, errors, pulls = [], [], []
    for of in cells:
        sizes = [cell.size for cell in of]

        def pooled(variance: Floats, size: int) -> Floats:
            return np.asarray(((size - 1) * variance + _PRIOR * common) / (size - 1 + _PRIOR))

        gap, error = studied(
            [np.array([c.mean()]) for c in of], [pooled(np.array([c.var(ddof=1)]), c.size) for c in of], sizes
        )
        drawn = [cell[rng.integers(cell.size, size=(_DRAWS, cell.size))] for cell in of]
        moved, scale = studied(
            [d.mean(axis=1) for d in drawn], [pooled(d.var(axis=1, ddof=1), d.shape[1]) for d in drawn], sizes
        )
        gaps.append(gap[0])
        errors.append(error[0])
        pulls.append((moved - gap) / np.maximum(scale, 1e-300))
    return np.concatenate(gaps), np.concatenate(errors), max_t(np.concatenate(pulls, axis=1), confidence)


def _pooled(gaps: Floats, errors: Floats) -> Floats:
    """Distances drawn to 0 by what their errors outweigh the true variance between cells."""
    weights = 1 / errors**2
    excess = float((weights * gaps**2).sum()) - (gaps.size - 1)
    between = max(0.0, excess / float(weights.sum() - (weights**2).sum() / weights.sum()))
    return gaps * between / (between + errors**2)
