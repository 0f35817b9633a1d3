"""Worse by more than a margin? Exact tests of paired yes-or-no cases, and what any paired difference implies.

    paired_p(worse=15, better=5, n=200, margin=0.0) -> 0.0207    # one-sided McNemar
    implied_p(Estimate(0.05, 0.02, 0.08, 300, "paired ..."), 0.02, 0.95) -> 0.051

A worsening is a difference turned so that more of it is worse. Every p here is that of it being at most the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from shoplm_audit.sequences import log_capital
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["default_margin", "flipped_p", "implied_p", "paired_bounds", "paired_p", "sequential_p"]

_UNIT = 0.02
# What begins so lies between 0 and 1, or is a difference of two such.
_SHARES = (
    *("rate_", "share_", "excess_", "accuracy_", "precision_", "recall_", "f1_", "macro_f1_", "micro_f1_"),
    *("auroc_", "tpr_", "fpr_", "ece_", "brier_", "overlap_gap_", "contrast_"),
)
_LARGEST_PART = 2.0  # of a column of shares or of parts of a listed price: what is larger is in another unit
_FLIPS = 19_999  # the smallest p is 1 in 20,000: below what Holm asks of the first among 1,000 gates
_AT_ONCE = 1_000_000  # signs held together
_SPARED = 2e-5  # of the error goes on bounding how many cases change at all
_STEPS = 32  # shares of changed cases among which the worst is looked for; the chance is smooth in them


def default_margin(metric: Metric, seen: Observations | None = None) -> float:
    """0.02 for what is counted in shares; 0 for what has another unit, whose owner has to state one.

    Shares are what lies between 0 and 1, differences of such, and contrasts: their columns are shares, or prices and
    lengths as parts of the usual one. A contrast of a column that was seen to hold other numbers has another unit.

    Args:
        metric: what is compared.
        seen: its rows, where there are any yet.
    """
    ends = metric.bounded and (metric.bounded.bottom, metric.bounded.top)
    if metric.compared is not None and seen is not None and len(seen):
        column = np.abs(seen.numbers(metric.compared[0]))
        if float(np.fmax.reduce(column, initial=0.0)) > _LARGEST_PART:
            return 0.0
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


def flipped_p(changes: Floats, clusters: NDArray[np.int64], margin: float, rng: np.random.Generator) -> float:
    """The p-value of a mean worsening of at most the margin, by changing the signs of clusters at random.

    At a margin of 0 it is exact for two runs of the same model, however rare and unlike their changes are: either could
    have been the first. Resamples of few changes are too alike to tell what happens in 1 of 1,000 audits.

    Args:
        changes: how much worse each row became, (N,).
        clusters: the number of each row's cluster, (N,).
        margin: how much is still acceptable.
        rng: where the signs are drawn from.
    """
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, changes - margin)
    sums = sums[sums != 0]
    beyond, step = 0, max(1, _AT_ONCE // max(1, sums.size))
    for start in range(0, _FLIPS, step):
        signs = 2.0 * rng.integers(0, 2, (min(step, _FLIPS - start), sums.size), dtype=np.int8) - 1
        beyond += int((signs @ sums >= sums.sum() - 1e-9 * np.abs(sums).sum()).sum())
    return (1 + beyond) / (1 + _FLIPS)


def sequential_p(changes: Floats, clusters: NDArray[np.int64], margin: float, span: float, largest: int) -> float:
    """The p-value of a mean worsening of at most the margin that holds whenever the run stopped (`sequences`).

    Args:
        changes: how much worse each row became, (N,), at most `span` either way.
        clusters: the number of each row's cluster, (N,), asked in random order.
        margin: how much is still acceptable.
        span: the largest possible change.
        largest: the most rows that a cluster can have.
    """
    mean = (margin + span) / (2 * span)
    if mean >= 1:
        return 1.0
    _, index = np.unique(clusters, return_inverse=True)
    totals, sizes = np.bincount(index, (changes + span) / (2 * span)) / largest, np.bincount(index) / largest
    return math.exp(-max(0.0, float(log_capital(totals, sizes, mean)[-1])))


def paired_p(worse: int, better: int, n: int, margin: float = 0.0, spared: float = _SPARED) -> float:
    """The exact p-value of at most `margin` more of n independent pairs becoming worse than better.

    At a margin of 0 it is McNemar's, one-sided, given how many pairs changed. Beside it outcomes are ordered by Tango's
    score (1998), and no test can be made free of how many pairs change: the largest p over all shares of them that the
    data leave is taken, and the chance that the true one is not among them added (Berger and Boos 1994).

    Args:
        worse: how many pairs became worse.
        better: how many became better.
        n: how many pairs there are.
        margin: the difference of both shares that is still acceptable; negative asks whether they became better.
        spared: the chance that the true share of changed pairs is left out.

    >>> round(paired_p(15, 5, 200), 5), round(paired_p(15, 5, 200, margin=0.02), 3)
    (0.02069, 0.114)
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
    counts = np.arange(max(0, math.floor(n * low - around)), min(n, math.ceil(n * high + around)) + 1)[None, :].astype(
        np.float64
    )
    with np.errstate(divide="ignore"):
        logs = (
            special.gammaln(n + 1) - special.gammaln(counts + 1) - special.gammaln(n - counts + 1)
            + special.xlogy(counts, shares) + special.xlog1py(n - counts, -shares)
        )  # fmt: skip
    at_least = _first_beyond(counts, _score(worse, better, n, margin), n, margin)
    inside = (at_least > 0) & (at_least <= counts)
    leaning = np.clip((1 + margin / shares) / 2, 0.0, 1.0)
    tail = special.betainc(np.where(inside, at_least, 1), np.where(inside, counts - at_least + 1, 1), leaning)
    chance = np.where(inside, tail, at_least <= 0)
    return min(1.0, float((np.exp(logs) * chance).sum(axis=1).max()) + spared)


def _score(worse: Floats | int, better: Floats | int, n: int, margin: float) -> Floats:
    """How far outcomes lie beyond a margin, in standard errors at the shares that are likeliest there (Tango 1998)."""
    pull = worse * (1 + margin) + better * (1 - margin) - 2 * n * margin
    often = (pull + np.sqrt(np.maximum(pull**2 + 8 * n * better * margin * (1 - margin), 0.0))) / (4 * n)
    return np.asarray((worse - better - n * margin) / np.sqrt(n * np.maximum(2 * often + margin - margin**2, 1e-12)))


def _first_beyond(changed: Floats, score: Floats, n: int, margin: float) -> Floats:
    """How many of so many changed pairs have to be worse for a score that is at least this; more than all if none is.

    The score rises with them, so that halving finds the number.
    """
    least, most = np.zeros_like(changed), changed + 1
    for _ in range(int(changed.max()).bit_length() + 1):
        middle = np.floor((least + most) / 2)
        beyond = (_score(middle, changed - middle, n, margin) >= score - 1e-9) | (middle > changed)
        least, most = np.where(beyond | (least >= most), least, middle + 1), np.where(beyond, middle, most)
    return np.asarray(most)


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
