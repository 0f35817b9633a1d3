"""How sure a number is: exact intervals for rates, cluster bootstraps, AUROC, contrasts of groups, power.

    rate_interval(kept, clusters, 0.95) -> Interval(low=0.9002, high=0.9299, method="exact binomial", n=1000)

Every bound holds at the stated confidence on its own, so 0.95 gives an interval that covers 90 % two-sided. G is the
number of clusters, the independent units; rows of one cluster never count for more than one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shoplm_audit.types import Floats, Interval

__all__ = [
    "alike",
    "auroc",
    "auroc_difference",
    "auroc_interval",
    "bootstrap",
    "bounded_mean",
    "cases_to_decide",
    "clopper_pearson",
    "cluster_sums",
    "contrast_interval",
    "gaps_interval",
    "mcnemar_p",
    "paired_bootstrap",
    "power_of_rate",
    "rate_interval",
    "smallest_detectable",
    "threshold_at_fpr",
    "unseen_bounds",
]

Clusters = NDArray[np.int64]
RESAMPLES = 10_000
_DRAWS = 2_000  # of noise, of which only one high quantile is asked
_AT_ONCE = 200_000  # weights of a bootstrap held together: what a core keeps at hand, thrice as fast as ten times more
# Below these a bootstrap's bounds hold less often than they say (benchmarks/coverage.py): undefined instead.
MIN_CLUSTERS, MIN_EVENTS = 30, 10
_MIN_EQUAL = 20  # what clusters of unequal sizes have to count as
_FEWEST = 6.0  # equal clusters, as which few that pull much count at least
_AT_THE_LIMIT = 0.02  # of an interval's half: so close to a limit an estimate stays undecided


def clopper_pearson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Exact one-sided bounds of a rate, each at `confidence` (Clopper and Pearson 1934); n = 0 gives (nan, nan).

    >>> [round(bound, 4) for bound in clopper_pearson(900, 1000)]
    [0.883, 0.9152]
    """
    if n <= 0:
        return math.nan, math.nan
    alpha = 1 - confidence
    low = 0.0 if successes <= 0 else float(special.betaincinv(successes, n - successes + 1, alpha))
    high = 1.0 if successes >= n else float(special.betaincinv(successes + 1, n - successes, 1 - alpha))
    return low, high


def rate_interval(hits: Floats, clusters: Clusters, confidence: float = 0.95) -> Interval:
    """Exact interval of a rate over N rows in G clusters.

    Where every cluster is one row this is Clopper-Pearson. Otherwise the same beta quantiles are taken at an effective
    number of cases (Korn and Graubard 1998). It never exceeds N^2 / (sum of squared cluster sizes), G for equal
    clusters: what is left when rows of a cluster say the same. So repeated rows of a cluster narrow nothing.

    Args:
        hits: 0 or 1 per row, (N,); a nan makes the interval undefined.
        clusters: the number of each row's cluster, (N,).
        confidence: of each bound.
    """
    n = hits.size
    groups = int(np.unique(clusters).size)
    if n == 0 or np.isnan(hits).any():
        return Interval(math.nan, math.nan, "exact binomial", groups)
    rate = float(hits.mean())
    if groups == n:
        return Interval(*clopper_pearson(round(rate * n), n, confidence), "exact binomial", n)
    sums = cluster_sums(np.column_stack([hits, np.ones(n)]), clusters)
    alike = effective = float(n**2 / (sums[:, 1] ** 2).sum())
    variance = groups / max(groups - 1, 1) * float(((sums[:, 0] - rate * sums[:, 1]) ** 2).sum()) / n**2
    if alike > 1 and variance > 0:
        shrink = (special.ndtri(confidence) / special.stdtrit(alike - 1, confidence)) ** 2
        effective = min(effective, rate * (1 - rate) / variance * shrink)
    low, high = clopper_pearson(rate * effective, effective, confidence)
    return Interval(low, high, f"exact binomial, {effective:.0f} effective of {n} rows", groups)


def unseen_bounds(value: float, n: float, bottom: float, top: float, confidence: float) -> tuple[float, float]:
    """Bounds of a mean within [bottom, top] of which n independent units all showed this value.

    What they did not show has a chance of at most 1 - (1 - confidence)^(1/n), and may lie at either end. At an end
    these are the exact bounds of a rate of 0 or 1.

    >>> [round(bound, 4) for bound in unseen_bounds(0.25, 100, 0.0, 1.0, 0.95)]
    [0.2426, 0.2721]
    """
    if not n > 0:
        return math.nan, math.nan
    unseen = -math.expm1(math.log1p(-confidence) / n)
    return value - unseen * (value - bottom), value + unseen * (top - value)


def alike(rows: Floats, clusters: Clusters, statistic: Callable[[Floats], Floats]) -> float:
    """How many of the largest cluster there are, N / (its size), where no cluster moves the statistic; or nan.

    Args:
        rows: what is summed, (N, K).
        clusters: the number of each row's cluster, (N,).
        statistic: from sums (B, K) to values (B,).
    """
    sums, sizes = cluster_sums(rows, clusters), np.bincount(clusters)
    if len(sums) < 2:
        return math.nan
    without = statistic(sums.sum(axis=0) - sums)
    return float(clusters.size / sizes.max()) if np.isfinite(without).all() and _constant(without) else math.nan


def bounded_mean(
    rows: Floats, clusters: Clusters, bottom: float, top: float, confidence: float = 0.95
) -> tuple[float, float, str]:
    """Bounds of a mean of values within [bottom, top] that need no resamples, and their method.

    Where all clusters are equal they are `unseen_bounds`; else those of Chernoff and Hoeffding (1963, theorem 1), which
    hold for any values within the ends. Clusters of different sizes count as N / (the largest size): as E Z^a is at
    most (E Z)^a for shares a of the largest, the theorem holds at that number, at N^2 / (sum of squares) it does not.

    Args:
        rows: the value and 1, (N, 2). Not a part and a whole that depends on the answer: what a rare answer could add
            to the whole has no bound.
        clusters: the number of each row's cluster, (N,).
        bottom: the lower end.
        top: the upper end.
        confidence: of each bound.
    """
    sums, slack = cluster_sums(rows, clusters), 1e-9 * (top - bottom)
    inside = (rows[:, 0] >= bottom * rows[:, 1] - slack) & (rows[:, 0] <= top * rows[:, 1] + slack)
    if not len(sums) or not inside.all() or not sums[:, 1].all():
        return math.nan, math.nan, "undefined: a case has no value within the ends"
    n = float(sums[:, 1].sum() / sums[:, 1].max())
    value = float(sums[:, 0].sum() / sums[:, 1].sum())
    if _constant(sums[:, 0] / sums[:, 1]):
        return *unseen_bounds(value, n, bottom, top, confidence), "exact, every cluster alike"
    share, most = min(1.0, max(0.0, (value - bottom) / (top - bottom))), -math.log1p(-confidence) / n

    def limit(end: float) -> float:
        """The mean towards an end whose divergence from the one seen, which grows to there, is `most`."""
        inside, outside = share, end
        for _ in range(60):
            middle = (inside + outside) / 2
            divergence = special.rel_entr(share, middle) + special.rel_entr(1 - share, 1 - middle)
            inside, outside = (middle, outside) if divergence <= most else (inside, middle)
        return bottom + (top - bottom) * outside

    return limit(0.0), limit(1.0), f"Chernoff-Hoeffding, {n:.0f} clusters"


def cluster_sums(rows: Floats, clusters: Clusters) -> Floats:
    """Sums (N, K) rows within clusters to (G, K)."""
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.zeros((int(index.max()) + 1 if index.size else 0, rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def _steps(draws: int, width: int) -> list[int]:
    """How many draws of this width to hold at a time, together `draws`."""
    step = max(1, _AT_ONCE // width)
    return [min(step, draws - start) for start in range(0, draws, step)]


def _resampled(sums: Floats, rng: np.random.Generator) -> Floats:
    """The sums of resampled clusters, (RESAMPLES, K), a bounded number of weights at a time."""
    groups = len(sums)
    parts = []
    for count in _steps(RESAMPLES, groups):
        drawn = rng.integers(groups, size=(count, groups)) + groups * np.arange(count)[:, None]
        parts.append(np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups) @ sums)
    return np.concatenate(parts)


def _constant(values: Floats) -> bool:
    """Whether values are equal but for rounding: equal scores differ in their last bits once they are summed."""
    return float(np.ptp(values)) <= 1e-12 * max(1.0, float(np.abs(values).max()))


def _events(without: Floats, sizes: Floats) -> float:
    """How many clusters pull a statistic otherwise than most: up, down or nowhere; from its values without each (G,).

    Of a column that is nearly always 0, or nearly always 1, these are the clusters in which it is not. Clusters of
    unequal sizes, (G,), count by their rows: many small ones tell nothing of what a few large ones do.
    """
    known = np.isfinite(without)
    pull = without[known] - without[known].mean() if known.any() else without[known]
    ways = np.sign(np.where(np.abs(pull) <= 1e-9 * np.abs(pull).max(initial=0.0), 0.0, pull)).astype(np.int64) + 1
    most = float(np.bincount(ways, sizes[known]).max(initial=0.0))
    return float(sizes[known].sum() - most) * float(sizes.sum() / (sizes**2).sum())


def _percentiles(
    draws: Floats, value: float, without: Floats, equal: float, confidence: float, method: str
) -> Interval:
    """Bounds from draws of a statistic, its value, its values without each cluster (G,), and how many equal ones."""
    groups, draws = without.size, draws[np.isfinite(draws)]
    if draws.size < 0.95 * RESAMPLES:
        return Interval(math.nan, math.nan, f"{method}: undefined in too many resamples", groups)
    if _constant(draws):
        # Identical draws would be an interval of zero width and a false pass: undefined instead.
        return Interval(math.nan, math.nan, f"{method}: undefined, all resamples are equal", groups)
    # BCa (Efron 1987): plain percentiles miss the long tail of skewed numbers, such as a ratio of rare events.
    half = 0.5 / draws.size
    bias = special.ndtri(np.clip((draws < value).mean() + (draws == value).mean() / 2, half, 1 - half))
    pull, bend = without.mean() - without, 0.0
    if np.isfinite(without).all() and not _constant(without):
        square = (pull**2).sum()
        bend = (pull**3).sum() / (6 * square**1.5)
        # A few clusters that pull much tell little of the spread: its variance is (kurtosis - 1) / G of its square.
        tails = groups * (pull**4).sum() / square**2 - 1
        equal = min(equal, max(_FEWEST, 2 * groups / max(tails, 1e-9)))
    # Expanded (Hesterberg 2015, arXiv 1411.5279): all percentile methods are too narrow for few clusters.
    step = math.sqrt(equal / (equal - 1)) * special.stdtrit(equal - 1, confidence)
    sides = bias + np.array([-step, step])
    low, high = np.quantile(draws, special.ndtr(bias + sides / (1 - bend * sides)))
    return Interval(float(low), float(high), method, groups)


def bootstrap(
    rows: Floats,
    clusters: Clusters,
    statistic: Callable[[Floats], Floats],
    confidence: float,
    rng: np.random.Generator,
) -> Interval:
    """Cluster bootstrap of a statistic of sums.

    Args:
        rows: what is summed, (N, K).
        clusters: the number of each row's cluster, (N,).
        statistic: from sums (B, K) to values (B,); undefined is nan.
        confidence: of each bound.
        rng: where resamples are drawn from.

    Returns:
        The interval; nan below 30 clusters, where unequal ones count as less than 20, below 10 events (clusters that
        pull the statistic otherwise than most), and where all resamples are equal.
    """
    method, sums = f"cluster bootstrap (BCa), {RESAMPLES} resamples", cluster_sums(rows, clusters)
    telling = sums.any(axis=1)  # a text without any claim tells nothing of the share of claims that are wrong
    if telling.sum() < MIN_CLUSTERS:
        return Interval(math.nan, math.nan, f"undefined below {MIN_CLUSTERS} clusters", len(sums))
    # Satterthwaite's degrees of freedom at the worst, where rows of a cluster say the same.
    sizes = np.unique(clusters, return_counts=True)[1][telling].astype(np.float64)
    equal = float((sizes**2).sum() ** 2 / (sizes**4).sum())
    if equal < _MIN_EQUAL - 1e-9:
        few = f"undefined below {_MIN_EQUAL} equal clusters: these are unequal, and count as {equal:.0f}"
        return Interval(math.nan, math.nan, few, len(sums))
    total = sums.sum(axis=0, keepdims=True)
    value, without = float(statistic(total)[0]), statistic(total - sums)
    known = without[np.isfinite(without)]
    if known.size and not _constant(known) and _events(without[telling], sizes) < MIN_EVENTS - 1e-9:
        return Interval(math.nan, math.nan, f"undefined below {MIN_EVENTS} events", len(sums))
    return _percentiles(statistic(_resampled(sums, rng)), value, without, equal, confidence, method)


def paired_bootstrap(
    first: Floats,
    second: Floats,
    clusters: Clusters,
    statistic: Callable[[Floats], Floats],
    confidence: float,
    rng: np.random.Generator,
) -> Interval:
    """Cluster bootstrap of statistic(second) - statistic(first) on the same rows, resampled together."""
    width = first.shape[1]

    def difference(sums: Floats) -> Floats:
        return statistic(sums[:, width:]) - statistic(sums[:, :width])

    found = bootstrap(np.hstack([first, second]), clusters, difference, confidence, rng)
    return Interval(found.low, found.high, f"paired {found.method}", found.n)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p for discordant counts (binomial at one half).

    >>> round(mcnemar_p(15, 5), 7)
    0.0413895
    """
    n = only_first + only_second
    return 1.0 if n == 0 else min(1.0, 2 * float(special.bdtr(min(only_first, only_second), n, 0.5)))


def gaps_interval(
    rows: Floats, clusters: Clusters, confidence: float, rng: np.random.Generator, chance: float = 0.0
) -> Interval:
    """Bounds of a sum of absolute means, each between -1 and 1 and all together too (calibration error over bins).

    Chance alone adds to absolute values, so that no percentile of resamples bounds them. Above: by the triangle
    inequality the true sum, with its true signs, is at most what a linear sum could be. Below: off goes what noise
    could have added, in full where a mean is not clearly other than 0 (selected as moments are by Andrews and Soares
    2010).

    Args:
        rows: what is averaged, and 1 in the last column, (N, K + 1).
        clusters: the number of each row's cluster, (N,).
        confidence: of each bound.
        rng: where the noise is drawn from.
        chance: what the sum could be if all means were 0, where that is known better than from the rows.
    """
    sums = cluster_sums(rows, clusters)
    groups, size = len(sums), float(rows[:, -1].sum())
    if groups < MIN_CLUSTERS:
        return Interval(math.nan, math.nan, f"undefined below {MIN_CLUSTERS} clusters", groups)
    means = sums[:, :-1].sum(axis=0) / size
    value = float(np.abs(means).sum())
    pull = math.sqrt(groups / (groups - 1)) * (sums[:, :-1] - means * sums[:, -1:]) / size
    step = float(special.stdtrit(groups - 1, confidence))
    signed = pull @ np.sign(means)
    error = math.sqrt(float((signed**2).sum()))
    # Rare errors are skewed, and look less spread where they are few (Johnson 1978).
    shift = float((signed**3).sum()) / (6 * error**3) * (1 + 2 * step**2) if error > 1e-12 else 0.0
    clear = np.where(np.abs(means) > math.sqrt(math.log(groups)) * np.sqrt((pull**2).sum(axis=0)), means, 0.0)
    draws = [
        np.abs(clear + rng.standard_normal((count, groups)) @ pull).sum(axis=1) - np.abs(clear).sum()
        for count in _steps(_DRAWS, groups)
    ]
    noise = float(np.quantile(np.concatenate(draws), confidence))
    if value <= chance:
        noise = max(noise, chance)
    # Where nothing varies there is no noise to be seen.
    least, most = unseen_bounds(value, size / float(sums[:, -1].max()), 0.0, 1.0, confidence)
    low, high = min(least, value - noise), max(most, value + max(0.0, step + shift) * error)
    return Interval(max(0.0, low), min(1.0, high), "linear bound above, noise taken off below", groups)


# AUROC --------------------------------------------------------------------------------------------


def _placements(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative that of positives above it; ties half."""
    order_negative, order_positive = np.sort(negative), np.sort(positive)
    below = np.searchsorted(order_negative, positive, "left") + np.searchsorted(order_negative, positive, "right")
    above = np.searchsorted(order_positive, negative, "left") + np.searchsorted(order_positive, negative, "right")
    return below / (2 * negative.size), 1 - above / (2 * positive.size)


def auroc(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, ties one half; nan without both classes."""
    if labels.all() or not labels.any() or np.isnan(scores).any():
        return math.nan
    return float(_placements(scores[labels], scores[~labels])[0].mean())


def auroc_interval(
    scores: Floats, labels: NDArray[np.bool_], clusters: Clusters, confidence: float = 0.95, widen: float = 1.0
) -> tuple[float, Interval, float]:
    """AUROC with bounds on the logit scale from its DeLong variance, over clusters by Obuchowski (1997).

    A perfect separation has no variance; there the bounds are exact for as many independent pairs of a positive and a
    negative cluster as there are (no cluster in two of them), of which every one was ordered right.

    Args:
        scores: one per row, (N,).
        labels: whether a row is a positive, (N,).
        clusters: the number of each row's cluster, (N,).
        confidence: of each bound.
        widen: what the standard error is multiplied with where scores depend on each other beyond their clusters.

    Returns:
        The value, its interval, and the standard error (DeLong's, ddof 1).
    """
    value = auroc(scores, labels)
    groups = int(np.unique(clusters).size)
    if math.isnan(value):
        return value, Interval(math.nan, math.nan, "DeLong, logit", groups), math.nan
    p, q = np.unique(clusters[labels]).size, np.unique(clusters[~labels]).size
    if min(p, q) < 2:
        return value, Interval(math.nan, math.nan, "DeLong: undefined below 2 clusters", groups), math.nan
    error = _delong_error(*_placements(scores[labels], scores[~labels]), labels, clusters)
    if error < 1e-12 or not 0 < value < 1:
        pairs = max(1, int(min(p, q, groups // 2) / widen**2))
        low, high = clopper_pearson(value * pairs, pairs, confidence)
        return value, Interval(low, high, f"exact over {pairs} pairs of clusters", groups), error
    step = special.stdtrit(min(p, q) - 1, confidence) * widen * error / (value * (1 - value))
    logit = special.logit(value)
    bounds = special.expit(logit - step), special.expit(logit + step)
    return value, Interval(float(bounds[0]), float(bounds[1]), "DeLong, logit", groups), error


def _delong_error(above: Floats, below: Floats, labels: NDArray[np.bool_], clusters: Clusters) -> float:
    """The standard error of mean placements over clusters (Obuchowski 1997); at least 2 clusters of each class."""
    size = int(clusters.max()) + 1
    first = np.bincount(clusters[labels], above - above.mean(), size)
    second = np.bincount(clusters[~labels], below - below.mean(), size)
    groups, p, q = (np.unique(clusters[rows]).size for rows in (labels | True, labels, ~labels))
    m, n = above.size, below.size
    variance = p / (p - 1) * (first**2).sum() / m**2 + q / (q - 1) * (second**2).sum() / n**2
    variance += 2 * groups / (groups - 1) * (first * second).sum() / (m * n)
    return math.sqrt(max(variance, 0.0))


def auroc_difference(
    first: Floats,
    second: Floats,
    labels: NDArray[np.bool_],
    clusters: Clusters,
    confidence: float = 0.95,
    widen: float = 1.0,
) -> tuple[float, Interval]:
    """AUROC of the second scores minus that of the first on the same rows, with paired DeLong bounds over clusters."""
    value = auroc(second, labels) - auroc(first, labels)
    groups, p, q = (np.unique(clusters[rows]).size for rows in (labels | True, labels, ~labels))
    if math.isnan(value) or min(p, q) < 2:
        return value, Interval(math.nan, math.nan, "paired DeLong: undefined", groups)
    old, new = (_placements(scores[labels], scores[~labels]) for scores in (first, second))
    error = _delong_error(new[0] - old[0], new[1] - old[1], labels, clusters)
    if error < 1e-12:
        return value, Interval(math.nan, math.nan, "paired DeLong: undefined, no case differs", groups)
    half = float(special.stdtrit(min(p, q) - 1, confidence)) * widen * error
    return value, Interval(max(-1.0, value - half), min(1.0, value + half), "paired DeLong", groups)


def threshold_at_fpr(negatives: Floats, fpr: float) -> float:
    """The lowest threshold above which (strictly) a further negative lies with a chance of at most `fpr`.

    It is the k-th largest of n negatives, k = floor(fpr (n + 1)), as in conformal prediction: a further one has k in
    n + 1 chances to lie above it. Below 1 / fpr negatives it is infinite; nan without any.
    """
    if negatives.size == 0:
        return math.nan
    allowed = math.floor(fpr * (negatives.size + 1) + 1e-9)
    return float(np.sort(negatives)[-min(allowed, negatives.size)]) if allowed else math.inf


# Contrasts of groups --------------------------------------------------------------------------------


def contrast_interval(
    units: Floats, in_first: NDArray[np.bool_], strata: NDArray[np.int64], confidence: float = 0.95
) -> tuple[float, Interval]:
    """Mean of the first group minus mean of the second over independent units (names), averaged over strata.

    Welch's interval with Satterthwaite's degrees of freedom. Units are already means over templates, so what all names
    share cancels and repeated rows of a name narrow nothing.

    Args:
        units: one number per unit, (G,).
        in_first: whether a unit belongs to the first group, (G,).
        strata: units are compared within a stratum (a language), and strata count alike, (G,).
        confidence: of each bound.
    """
    value, variance, squares, levels = 0.0, 0.0, 0.0, np.unique(strata)
    noise = (1e-12 * float(np.abs(units).max(initial=0.0))) ** 2  # what rounding alone makes of equal units
    for level in levels:
        for group, sign in ((in_first, 1.0), (~in_first, -1.0)):
            here = units[group & (strata == level)]
            if here.size < 2 or np.isnan(here).any():
                return math.nan, Interval(math.nan, math.nan, "Welch: undefined below 2 units a group", units.size)
            value += sign * float(here.mean()) / levels.size
            part = float(here.var(ddof=1)) / here.size / levels.size**2
            variance += part
            squares += part**2 / (here.size - 1)
    if not variance > noise:
        return value, Interval(math.nan, math.nan, "Welch: undefined, no unit differs", units.size)
    half = float(special.stdtrit(variance**2 / squares, confidence)) * math.sqrt(variance)
    return value, Interval(value - half, value + half, "Welch over units", units.size)


# Power ----------------------------------------------------------------------------------------------


def power_of_rate(n: int, rate: float, at_least: float, at_most: float, confidence: float = 0.95) -> float:
    """Chance that n independent cases with this true rate pass the gate."""
    hits = np.arange(n + 1)
    bounds = np.array([clopper_pearson(int(k), n, confidence) for k in hits])
    passes = (bounds[:, 0] >= at_least) & (bounds[:, 1] <= at_most)
    chance = np.diff(special.bdtr(hits, n, rate), prepend=0.0)
    return float(chance[passes].sum())


def smallest_detectable(error: float, confidence: float = 0.95, power: float = 0.8) -> float:
    """The distance from a limit at which a gate decides with this power, given the standard error."""
    return float(special.ndtri(confidence) + special.ndtri(power)) * error


def cases_to_decide(value: float, low: float, high: float, n: int, limit: float) -> int | None:
    """About how many independent cases would decide a gate if the estimate stayed as it is, to two digits.

    An interval narrows with the root of n; the free bound of a rate of 0 or 1 narrows with n itself.

    Returns:
        The number; None where it would be above 100,000 and 50 times those asked, or where the estimate lies at the
        limit, within 2 % of the interval's half: the number is then one of chance, and nobody would ask so many.
    """
    half = high - value if value < limit else value - low
    gap = abs(limit - value)
    if not (math.isfinite(half) and math.isfinite(gap)) or gap <= _AT_THE_LIMIT * half or n == 0:
        return None
    needed = max(n + 1, math.ceil(n * (half / gap) ** (1 if value in (low, high) else 2)))
    step = 10 ** max(0, len(str(needed)) - 2)
    return -(-needed // step) * step if needed <= max(50 * n, 100_000) else None
