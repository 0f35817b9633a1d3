"""Where a bootstrap is undefined, what stands in for it there, and that bounds hold on a small grid.

The grid of many runs is `benchmarks/coverage.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from shoplm_audit import uncertainty
from shoplm_audit.metrics.classifying import macro_f1, macro_f1_of
from shoplm_audit.metrics.reduce import f1_of, ratio_of
from shoplm_audit.types import Case, Estimate, Interval, Metric, Observation, Observations, Value

SIZES = {"alone": [1] * 60, "fours": [4] * 40, "of 1 to 8": [*range(1, 9)] * 6}


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def bounds_of(hits: Sequence[float] | np.ndarray, sizes: Sequence[int], seed: int = 0) -> Interval:
    """Of the mean of rows that lie in clusters of these sizes."""
    rows = np.column_stack([np.asarray(hits, dtype=np.float64), np.ones(len(hits))])
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    return uncertainty.bootstrap(rows, clusters, mean, 0.95, np.random.default_rng(seed))


def seen(rows: Sequence[tuple[str, dict[str, Value]]]) -> Observations:
    return Observations(
        tuple(Observation(Case(f"c{i}", reference=truth), values) for i, (truth, values) in enumerate(rows))
    )


def told(metric: Metric, rows: Observations, confidence: float = 0.95) -> Estimate:
    return metric.estimate(rows, confidence, np.random.default_rng(0))


# Coverage -------------------------------------------------------------------------------------------


def test_bounds_are_wrong_about_as_seldom_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "RESAMPLES", 600)
    runs, rate, wrong = 300, 0.3, []
    for number, sizes in enumerate(map(np.array, SIZES.values())):
        rng, clusters = np.random.default_rng(number), np.repeat(np.arange(sizes.size), sizes)
        chances = rng.beta(rate / 0.43, (1 - rate) / 0.43, (runs, sizes.size))  # rows of a cluster: 0.3 alike
        hits = rng.random((runs, clusters.size)) < chances[:, clusters]
        found = [bounds_of(row, sizes.tolist(), run) for run, row in enumerate(hits)]
        wrong.append([np.mean([one.low > rate for one in found]), np.mean([one.high < rate for one in found])])
    noise = 2.6 * math.sqrt(0.05 * 0.95 / runs)
    assert np.max(wrong) <= 0.07 + noise
    assert 0.03 <= np.mean(wrong) <= 0.06  # nor wide for nothing


@pytest.mark.parametrize("n", [30, 60, 300])
def test_exact_bounds_of_a_rate_hold_at_every_rate(n: int) -> None:
    low, high = np.array([uncertainty.clopper_pearson(hits, n) for hits in range(n + 1)]).T
    for rate in np.linspace(0.002, 0.998, 333):
        chance = stats.binom.pmf(np.arange(n + 1), n, rate)
        assert chance[low <= rate].sum() >= 0.95 - 1e-12
        assert chance[high >= rate].sum() >= 0.95 - 1e-12


# Floors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("events", "defined"), [(9, False), (10, True), (30, True), (31, False)])
def test_below_ten_events_of_either_kind_there_is_no_bootstrap(events: int, defined: bool) -> None:
    found = bounds_of(np.arange(40) < events, [1] * 40)
    assert math.isnan(found.low) != defined
    assert ("undefined below 10 events" in found.method) != defined


def test_events_count_by_clusters_and_not_by_rows() -> None:
    assert math.isnan(bounds_of(np.arange(160) < 36, [4] * 40).low)  # in 9 clusters
    assert math.isfinite(bounds_of(np.arange(160) % 16 == 0, [4] * 40).low)  # in 10


def test_many_small_clusters_tell_nothing_of_what_large_ones_do() -> None:
    sizes = [1] * 300 + [12] * 24
    small = np.arange(sum(sizes)) < 30  # 30 of 300 small ones and none of the large ones, which hold half of the rows
    assert "below 10 events" in bounds_of(small, sizes).method
    assert math.isfinite(bounds_of(small | (np.arange(sum(sizes)) >= 300 + 18 * 12), sizes).low)


@pytest.mark.parametrize(
    ("sizes", "method"),
    [
        ([2] * 29, "undefined below 30 clusters"),
        ([2] * 30, "cluster bootstrap"),
        ([1] * 99 + [30], "undefined below 20 equal clusters: these are unequal, and count as 1"),
        ([*range(1, 9)] * 4, "undefined below 20 equal clusters: these are unequal, and count as 19"),
        ([*range(1, 9)] * 5, "cluster bootstrap"),
    ],
)
def test_unequal_clusters_count_as_fewer(sizes: list[int], method: str) -> None:
    found = bounds_of(np.random.default_rng(1).random(sum(sizes)) < 0.5, sizes)
    assert found.method.startswith(method)
    assert found.n == len(sizes)


def test_a_spread_that_rests_on_few_clusters_makes_bounds_wider() -> None:
    draws = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    even, few = np.tile([-1.0, 1.0], 50), np.r_[np.tile([-1.0, 1.0], 45), np.tile([-9.0, 9.0], 5)]

    def reach(without: np.ndarray) -> float:
        return uncertainty._percentiles(draws, 0.0, without, 100.0, 0.95, "").high

    kurtosis = float((few**4).mean() / (few**2).mean() ** 2)
    equal = 200 / (kurtosis - 1)
    assert reach(even) == pytest.approx(math.sqrt(100 / 99) * stats.t.ppf(0.95, 99), abs=1e-3)
    assert reach(few) == pytest.approx(math.sqrt(equal / (equal - 1)) * stats.t.ppf(0.95, equal - 1), abs=1e-3)
    assert reach(few) > 1.03 * reach(even)


# What stands in -------------------------------------------------------------------------------------


def claims(wrong: int, count: int = 60) -> Observations:
    return seen([("", {"wrong": int(i < wrong), "claims": 2}) for i in range(count)])


def test_a_part_of_a_whole_that_depends_on_the_answer_has_no_bounds_below_the_floor() -> None:
    """Were answers of 20 claims, all wrong, one in 33, a bound from 100 answers would be below the truth in 15 %."""
    metric = ratio_of("share_wrong", "wrong", "claims", better="lower")
    few, enough = told(metric, claims(4)), told(metric, claims(12))
    assert few.method == "undefined below 10 events"
    assert few.value == 4 / 120
    assert math.isnan(few.low)
    assert math.isnan(few.high)
    assert enough.method.startswith("cluster bootstrap")


def test_cases_without_a_whole_are_neither_clusters_nor_events() -> None:
    metric = ratio_of("share_wrong", "wrong", "claims", better="lower")
    empty = [("", {"wrong": 0, "claims": 0})] * 40
    found = told(metric, seen([("", dict(row.values)) for row in claims(4)] + empty))
    assert "below 10 events" in found.method  # though they pull otherwise than most
    assert "below 30 clusters" in told(metric, seen([("", dict(row.values)) for row in claims(14, 29)] + empty)).method


def test_unequal_clusters_bound_a_mean_as_so_many_of_the_largest() -> None:
    """One cluster of 30 rows and 70 of one, which may differ in how likely they are bad: exact, over both kinds."""
    size, index = 100, np.r_[np.zeros(30, dtype=np.int64), np.arange(1, 71)]
    confidence = 0.95
    for large, small in ((0.94, 0.0), (0.5, 0.1), (0.9, 0.02)):
        truth, low, high = (30 * large + 70 * small) / size, 0.0, 0.0
        for bad in (0, 1):
            for count in range(71):
                chance = stats.binom.pmf(count, 70, small) * (large if bad else 1 - large)
                column = np.r_[np.full(30, float(bad)), np.arange(70) < count]
                rows = np.column_stack([column, np.ones(size)])
                least, most, _ = uncertainty.bounded_mean(rows, index, 0.0, 1.0, confidence)
                low, high = low + chance * (least > truth), high + chance * (most < truth)
        assert max(low, high) <= 1 - confidence


def test_macro_f1_has_the_bounds_of_its_recalls_below_the_floor() -> None:
    metric = macro_f1_of("said", ["a", "b"], name="macro_f1")
    said = ["b"] * 3 + ["a"] * 27 + ["a"] + ["b"] * 29
    rows = [("ab"[i >= 30], {"said": label}) for i, label in enumerate(said)]
    found = told(metric, seen(rows))
    assert found.method == "exact bounds of 2 recalls; undefined below 10 events"

    def with_recalls(first: float, second: float) -> float:
        return float(macro_f1(30 * np.array([[[first, 1 - first], [1 - second, second]]]))[0])

    low, high = np.array([uncertainty.clopper_pearson(27, 30, 0.975), uncertainty.clopper_pearson(29, 30, 0.975)]).T
    assert (found.low, found.high) == pytest.approx((with_recalls(*low), with_recalls(*high)))


def test_a_change_has_the_bounds_of_both_runs_below_the_floor() -> None:
    metric = f1_of("f1", hits="hit", false="false", missed="missed")

    def run(missed: int) -> Observations:
        return seen([("", {"hit": int(i >= missed), "false": 0, "missed": int(i < missed)}) for i in range(60)])

    old, new = run(15), run(20)  # 5 cases differ
    found = metric.difference(old, new, 0.95, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    first, second = metric.estimate(old, 0.975, rng), metric.estimate(new, 0.975, rng)
    assert found.method.startswith("bounds of both runs added")
    assert found.value == pytest.approx(second.value - first.value)
    assert found.low == pytest.approx(second.low - first.high, abs=0.02)  # other resamples
    assert found.high == pytest.approx(second.high - first.low, abs=0.02)
    assert found.low < found.value < found.high
