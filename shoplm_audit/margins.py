"""Worse by more than a margin? Exact tests of paired yes-or-no cases, and what any paired difference implies.

    paired_p(worse=15, better=5, n=200, margin=0.0) -> 0.0207    # one-sided McNemar
    implied_p(Estimate(0.05, 0.02, 0.08, 300, "paired ..."), 0.02, 0.95) -> 0.051

A worsening is a difference turned so that more of it is worse. Every p here is that of it being at most the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import special
from scipy.optimize import brentq

from shoplm_audit.types import Estimate, Metric

__all__ = ["default_margin", "implied_p", "paired_bounds", "paired_p"]

_UNIT = 0.02
# What begins so lies between 0 and 1, or is a difference of two such.
_SHARES = (
    *("rate_", "share_", "excess_", "accuracy_", "precision_", "recall_", "f1_", "macro_f1_", "micro_f1_"),
    *("auroc_", "tpr_", "fpr_", "ece_", "brier_"),
)
_SPARED = 2e-5  # of the error goes on bounding how many cases change at all
_STEPS = 16  # shares of changed cases among which the worst is looked for; the chance is smooth in them


def default_margin(metric: Metric) -> float:
    """0.02 for shares and all that lies between 0 and 1; 0 for what has another unit: its owner has to state one."""
    ends = metric.bounded and (metric.bounded.bottom, metric.bounded.top)
    return _UNIT if ends == (0.0, 1.0) or metric.name.startswith(_SHARES) else 0.0


def implied_p(worsening: Estimate, margin: float, confidence: float) -> float:
    """The p-value of a worsening of at most the margin, as its lower bound implies it by Student's t; nan: undefined.

    It is at most 1 - confidence exactly where that bound is at or above the margin. With bounds of the mean of paired
    differences it is one side of the paired t-test, and the larger of both sides that of two one-sided tests (TOST).

    Args:
        worsening: more of it is worse; `n` clusters.
        margin: how much is still acceptable.
        confidence: of its bounds.
    """
    freedom = worsening.freedom if math.isfinite(worsening.freedom) else max(worsening.n - 1, 1)
    half, beyond = worsening.value - worsening.low, worsening.value - margin
    if math.isnan(half) or math.isnan(beyond):
        return math.nan
    if half <= 0:  # a bound that is the value itself says nothing of how sure it is
        return 1.0 if beyond <= 0 else math.nan
    return float(special.stdtr(freedom, -special.stdtrit(freedom, confidence) * beyond / half))


def paired_p(worse: int, better: int, n: int, margin: float = 0.0, spared: float = _SPARED) -> float:
    """The exact p-value of at most `margin` more of n independent pairs becoming worse than better.

    At a margin of 0 it is McNemar's, one-sided, given how many pairs changed. Beside it no test can be made free of how
    many change: the largest p over all shares of changed pairs that the data leave is taken, and the chance that the
    true one is not among them added (Berger and Boos 1994).

    Args:
        worse: how many pairs became worse.
        better: how many became better.
        n: how many pairs there are.
        margin: the difference of both shares that is still acceptable; negative asks whether they became better.
        spared: the chance that the true share of changed pairs is left out.

    >>> round(paired_p(15, 5, 200), 5), round(paired_p(15, 5, 200, margin=0.02), 3)
    (0.02069, 0.201)
    """
    changed = worse + better
    if margin == 0:
        return 1.0 if worse == 0 else float(special.bdtrc(worse - 1, changed, 0.5))
    if changed == 0 and margin < 0:
        return (1 + margin) ** n  # that of none changing where so many do, which is `uncertainty.unseen_bounds`
    low = 0.0 if changed == 0 else float(special.betaincinv(changed, n - changed + 1, spared / 2))
    high = 1.0 if changed == n else float(special.betaincinv(changed + 1, n - changed, 1 - spared / 2))
    low = max(low, -margin, 1e-9)  # fewer changed pairs cannot make so many better
    if low >= high:
        return spared
    shares = np.linspace(low, high, _STEPS)[:, None]
    around = 9 * math.sqrt(n * high) + 9
    counts = np.arange(max(0, math.floor(n * low - around)), min(n, math.ceil(n * high + around)) + 1)[None, :]
    with np.errstate(divide="ignore"):
        logs = (
            special.gammaln(n + 1) - special.gammaln(counts + 1) - special.gammaln(n - counts + 1)
            + special.xlogy(counts, shares) + special.xlog1py(n - counts, -shares)
        )  # fmt: skip
    at_least = np.ceil((counts + worse - better) / 2)
    inside = (at_least > 0) & (at_least <= counts)
    leaning = np.clip((1 + margin / shares) / 2, 0.0, 1.0)
    tail = special.betainc(np.where(inside, at_least, 1), np.where(inside, counts - at_least + 1, 1), leaning)
    chance = np.where(inside, tail, at_least <= 0)
    return min(1.0, float((np.exp(logs) * chance).sum(axis=1).max()) + spared)


def paired_bounds(worse: int, better: int, n: int, confidence: float) -> tuple[float, float]:
    """Bounds of the share that became worse less that which became better, each at `confidence`, by `paired_p`.

    >>> [round(bound, 3) for bound in paired_bounds(0, 0, 200, 0.95)]
    [-0.015, 0.015]
    """
    if n == 0:
        return math.nan, math.nan
    alpha, seen = 1 - confidence, (worse - better) / n
    spared = alpha / 50

    def lowest(worse: int, better: int, seen: float) -> float:
        found = _root(lambda margin: paired_p(worse, better, n, margin, spared) - alpha, -1.0, seen)
        # McNemar's test, which is the one at 0, can be the more cautious one.
        return min(found, 0.0) if paired_p(worse, better, n) > alpha else found

    return lowest(worse, better, seen), -lowest(better, worse, -seen)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses 0; the end nearer to that if it does not."""
    if function(low) >= 0:
        return low
    return high if function(high) <= 0 else float(brentq(function, low, high, xtol=1e-6))
