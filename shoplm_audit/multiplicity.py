"""Many tests at once: adjusted p-values, and bounds that hold for all groups together.

    benjamini_hochberg([0.001, 0.008, 0.039, 0.2]) -> array([0.004, 0.016, 0.052, 0.2])

An adjusted p-value is held to the level that one test alone would be held to. It says nothing about tests that were run
and are not in the family, so a family is declared before it is measured, and every test of it is counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoplm_audit.errors import DataError
from shoplm_audit.types import Floats

__all__ = ["benjamini_hochberg", "benjamini_yekutieli", "holm", "max_t"]


def benjamini_hochberg(p_values: Sequence[float] | Floats) -> Floats:
    """Adjusted p-values (K,) that bound the expected share of false findings (Benjamini and Hochberg 1995).

    It holds for independent tests and for those that depend on each other positively.

    Args:
        p_values: of one declared family, (K,); a nan is a test that found nothing: it counts as 1 and stays nan.

    Raises:
        DataError: a number that is no p-value.

    >>> benjamini_hochberg([0.001, 0.008, 0.039, 0.2]).round(3).tolist()
    [0.004, 0.016, 0.052, 0.2]
    """
    return _step_up(p_values, 1.0)


def benjamini_yekutieli(p_values: Sequence[float] | Floats) -> Floats:
    """As `benjamini_hochberg`, for tests that depend on each other in any way (Benjamini and Yekutieli 2001)."""
    return _step_up(p_values, float((1 / np.arange(1, len(p_values) + 1)).sum()))


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Adjusted p-values (K,) that bound the chance of any false finding, however tests depend (Holm 1979).

    Args:
        p_values: of one declared family, (K,); a nan counts as 1 and stays nan.

    Raises:
        DataError: a number that is no p-value.
    """
    p, order = _sorted(p_values)
    return _placed(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), order, p_values)


def _step_up(p_values: Sequence[float] | Floats, factor: float) -> Floats:
    p, order = _sorted(p_values)
    steps = factor * p[order] * p.size / np.arange(1, p.size + 1)
    return _placed(np.minimum.accumulate(steps[::-1])[::-1], order, p_values)


def _sorted(p_values: Sequence[float] | Floats) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The p-values with 1 for nan, and their order."""
    given = np.asarray(p_values, dtype=np.float64)
    for value in given[(given < 0) | (given > 1)]:
        raise DataError(f'"{value}" is no p-value: it has to lie between 0 and 1.')
    p = np.where(np.isnan(given), 1.0, given)
    return p, np.argsort(p, kind="stable")


def _placed(
    adjusted: Floats, order: np.ndarray[tuple[int], np.dtype[np.int64]], p_values: Sequence[float] | Floats
) -> Floats:
    found = np.empty(order.size)
    found[order] = np.minimum(adjusted, 1.0)
    found[np.isnan(np.asarray(p_values, dtype=np.float64))] = np.nan
    return found


def max_t(pulls: Floats, confidence: float) -> float:
    """How many standard errors all of K numbers keep to at once with this confidence.

    The largest of K studentised errors is what is bootstrapped (Westfall and Young 1993), so that bounds of this width
    hold for the one that looks worst, although it was picked because it does.

    Args:
        pulls: resampled errors over their standard errors, (B, K).
        confidence: of all bounds together.
    """
    return float(np.quantile(np.abs(pulls).max(axis=1), confidence))
