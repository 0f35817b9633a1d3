"""A skew-normal law by its moments, with a lower tail that keeps its digits: the form of log-probabilities.

SkewNormal.fitted(deviations).log_cdf(np.array([-6.0])) -> about -20.7 nats where there is no skew
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from shoplm_audit.types import Floats

__all__ = ["SkewNormal"]

_REACH = 12.0  # standard units that are tabulated on either side: 2^-100 and less lies beyond
_STEEPEST = 0.99  # of the largest skewness there is (0.9953), which only the half-normal has


@dataclass(frozen=True, slots=True)
class SkewNormal:
    """The law of location + scale * y, where y has the density 2 phi(y) Phi(shape * y).

    Attributes:
        location, scale, shape: its parameters.
        p: of a Kolmogorov-Smirnov test on the numbers it was fitted to. It is too large for numbers that the law was
            fitted to, so a small one refuses the form and a large one says little.
    """

    location: float
    scale: float
    shape: float
    p: float = math.nan

    @staticmethod
    def fitted(values: Floats) -> SkewNormal:
        """The law with the mean, variance and skewness of the values (N,), N at least 2 and not all equal."""
        mean, deviation = float(values.mean()), float(values.std())
        skewness = min(max(float((((values - mean) / deviation) ** 3).mean()), -_STEEPEST), _STEEPEST)
        power = abs(skewness) ** (2 / 3)
        lean = math.copysign(math.sqrt(math.pi / 2 * power / (power + ((4 - math.pi) / 2) ** (2 / 3))), skewness)
        scale = deviation / math.sqrt(1 - 2 * lean**2 / math.pi)
        location = mean - scale * lean * math.sqrt(2 / math.pi)
        law = SkewNormal(location, scale, lean / math.sqrt(1 - lean**2))
        steps = np.arange(values.size + 1) / values.size
        below = np.exp(law.log_cdf(np.sort(values)))
        distance = max(float((steps[1:] - below).max()), float((below - steps[:-1]).max()))
        p = float(special.kolmogorov(math.sqrt(values.size) * distance))
        return SkewNormal(location, scale, law.shape, p)

    def log_cdf(self, values: Floats) -> Floats:
        """The natural log of the chance to lie below each value; beyond 12 scales it stays at its value there."""
        grid, table = _table(self.shape)
        return np.asarray(np.interp((values - self.location) / self.scale, grid, table), dtype=np.float64)


@functools.lru_cache(maxsize=4)
def _table(shape: float) -> tuple[Floats, Floats]:
    grid = np.linspace(-_REACH, _REACH, 24_001)
    density = math.log(2) - grid**2 / 2 - math.log(2 * math.pi) / 2 + special.log_ndtr(shape * grid)
    # What lies below the table falls off as steeply as the density does at its edge.
    edge = density[0] - math.log((density[1] - density[0]) / (grid[1] - grid[0]))
    steps = np.logaddexp(density[1:], density[:-1]) + math.log((grid[1] - grid[0]) / 2)
    return grid, np.minimum(np.logaddexp.accumulate(np.concatenate([[edge], steps])), 0.0)
