"""Bounds of means of names for what names that were not asked could get: what a standard deviation cannot see.

    unseen_names([(1.0, [first]), (-1.0, [second])], (0.0, 1.0), 0.001, 0.95, rng)     # 24 zeros against 24 zeros
    -> Unseen(low=-0.117, high=0.117, weight=1.0, differing=0)

Twenty-four names that all got the same have a standard deviation of 0, and so have names that differ in the ninth
decimal, or of which one in twelve is refused and none was among those asked. A name in ten may still be refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shoplm_audit.types import Floats

__all__ = ["SAME", "Unseen", "unseen_names"]

SAME = 0.02  # of the margin: names that differ by less are treated alike
_DRAWS = 6_000
_FEW, _MANY = 5.0, 10.0  # names, by which bounds count in full, and not at all
Ends = tuple[float, float]


class Unseen(NamedTuple):
    """The bounds, how much they count beside those of a standard deviation (0 to 1), and how many names differ."""

    low: float
    high: float
    weight: float
    differing: int


def unseen_names(
    sides: Sequence[tuple[float, Sequence[Floats]]],
    ends: Ends | None,
    same: float,
    confidence: float,
    rng: np.random.Generator,
) -> Unseen:
    """Bounds of a signed sum of groups' means, languages counting alike, that hold whatever names' values look like.

    Each group's mean gets Dirichlet weights over its names and one more at the end of the column, which for values of 0
    and 1 gives the bounds of Clopper and Pearson; the groups' are combined as independent draws.

    They count in full while few names differ from the median of their group (5, or an eighth of them), and not at all
    once twice as many do. A name counts by as much of `same` as it differs, and names together as no more than
    (sum of squares)^2 / (sum of fourth powers): names that differ a little hide none that differ much. Where many
    differ, but few of them much, the furthest that was seen stands for the end of the column; so it does where the ends
    are not known.

    Args:
        sides: the sign of each group and its names' means, (G,) of each language.
        ends: of the column; without them the bounds of names that all got the same are undefined (nan).
        same: what names may differ by and be treated alike, in the column's unit.
        confidence: of each bound.
        rng: where weights are drawn from.

    References: Gaffke 2005 and Learned-Miller and Thomas (arXiv 1905.06208) on one mean, whose bound is exact for two
    values and has held wherever it was tried; Fay, Proschan and Brittain 2015 (Biometrics 71, 146) on two.
    """
    every = [np.sort(names) for _, languages in sides for names in languages]
    away = np.concatenate([np.abs(names - np.median(names)) for names in every])
    count = float(np.minimum(1.0, away / same).sum())
    scaled = (away / away.max()) ** 2 if away.max() > 0 else away
    heavy = float(scaled.sum() ** 2 / (scaled**2).sum()) if scaled.any() else 0.0
    most = min(_MANY, away.size / 4)
    least = most * _FEW / _MANY

    def counts(names: float) -> float:
        return min(1.0, max(0.0, (most - names) / (most - least)))

    weight, differing = counts(min(count, heavy)), round(count)
    if weight == 0:
        return Unseen(math.nan, math.nan, 0.0, differing)
    seen = min(float(names[0]) for names in every), max(float(names[-1]) for names in every)
    if ends is None and seen[1] - seen[0] <= same:
        return Unseen(math.nan, math.nan, weight, differing)
    known = counts(count)
    bottom, top = (known * end + (1 - known) * at for end, at in zip(ends or seen, seen, strict=True))
    low, high = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for sign, languages in sides:
        under, over = _drawn([np.sort(names) for names in languages], (bottom, top), rng)
        low += sign * (under if sign > 0 else over)
        high += sign * (over if sign > 0 else under)
    return Unseen(float(np.quantile(low, 1 - confidence)), float(np.quantile(high, confidence)), weight, differing)


def _drawn(languages: Sequence[Floats], ends: Ends, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of a group's mean with the rest at the lower end, and at the upper; languages are no part of the noise."""
    means = [float(names.mean()) for names in languages]
    shapes = np.concatenate([np.full(len(names), min(map(len, languages)) / len(names)) for names in languages])
    around = np.concatenate([names - mean for names, mean in zip(languages, means, strict=True)])
    # The weight of the end is Beta(1, names): one draw from each of as many equal parts.
    rest = -np.expm1(np.log1p(-(rng.permutation(_DRAWS) + 0.5) / _DRAWS) / shapes.sum())
    centre = np.full(_DRAWS, np.mean(means))
    if around.any():
        weights = rng.standard_gamma(shapes, (_DRAWS, shapes.size))
        centre += (1 - rest) * (weights @ around / weights.sum(axis=1))
    bottom, top = min(ends[0] - mean for mean in means), max(ends[1] - mean for mean in means)
    return centre + rest * bottom, centre + rest * top
