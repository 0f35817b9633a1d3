"""How small a difference of groups an audit of so many names can see.

names_needed(0.1, 0.05)    -> 54    # names of each group, whose means vary by 0.1, for a gap of 0.05
reach_of([(12, 12)])       -> 1.05  # standard deviations of names' means beyond the margin
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import special

from shoplm_audit.metrics.crossed import MIN_TEMPLATES
from shoplm_audit.types import Estimate

__all__ = ["names_needed", "powers", "reach_of"]


def names_needed(
    deviation: float,
    gap: float,
    *,
    templates: int = 1,
    languages: int = 1,
    confidence: float = 0.95,
    power: float = 0.8,
) -> int:
    """Names of each group and language with which a gap is told from 0 with at least this power.

    With 8 templates or more they allow for what it costs to count it where noise within names looks as if templates
    treated groups differently (the factor was found by simulation, for names that are noise alone).

    A gap beyond a gate's margin needs as many as one of (gap - margin) from 0; a gap of 0 is shown to lie within a
    margin on both sides by as many as `gap=margin` and `power=(1 + power) / 2`.

    Args:
        deviation: standard deviation of names' means within a group, in the unit of the gap.
        gap: the true difference, not 0.
        templates: that every name meets; the deviation is that of means over them.
        languages: over how many of them the contrast is averaged.
        confidence: of each bound.
        power: the chance that the bound on the gap's side excludes 0.

    >>> names_needed(0.1, 0.05)
    54
    """
    wanted = 2 * (deviation / gap) ** 2 / languages

    def needed(steps: float) -> float:
        return wanted * steps**2

    names = max(2, math.floor(needed(float(special.ndtri(confidence) + special.ndtri(power)))))
    while names < needed(
        float(sum(special.stdtrit(2 * (names - 1) * languages, chance) for chance in (confidence, power)))
    ):
        names += 1
    return math.ceil((1 + 0.85 / math.sqrt(templates - 1) if templates >= MIN_TEMPLATES else 1.05) * names)


def reach_of(sizes: Sequence[tuple[int, int]], confidence: float = 0.95, *, paired: bool = False) -> float:
    """How far beyond a margin a gap lies that fails in four audits of five, in standard deviations of names' means.

    Args:
        sizes: how many names of each group, 2 or more, of each language.
        confidence: of each bound.
        paired: whether they are twins, as many in both groups; the deviation is that of their differences.

    >>> round(reach_of([(12, 12)]), 2)
    1.05
    """
    parts = [1 / count for first, second in sizes for count in ((first,) if paired else (first, second))]
    freedom = sum(parts) ** 2 / sum(part**2 / (1 / part - 1) for part in parts)
    steps = special.stdtrit(freedom, confidence) + special.stdtrit(freedom, 0.8)
    return float(steps) * math.sqrt(sum(parts)) / len(sizes)


def powers(found: Estimate, margin: float, confidence: float) -> dict[str, float]:
    """The checks of a contrast that tell what an audit with its error can see and show, by Student's t.

    Args:
        found: the contrast; of bounds that are not symmetric the wider side is taken.
        margin: of the gate.
        confidence: of each bound.
    """
    step = float(special.stdtrit(found.freedom, confidence))
    error = max(found.value - found.low, found.high - found.value) / step
    smallest = error * (step + float(special.stdtrit(found.freedom, 0.8)))
    power = float(special.stdtr(found.freedom, margin / error - step)) if error > 0 else math.nan
    return {
        "smallest_detectable": smallest,
        "margin": margin,
        "smallest_failing": margin + smallest,
        "power_to_fail": power,
        "power_to_pass": max(0.0, 2 * power - 1) if error > 0 else math.nan,
    }
