"""Bounds that hold however often one looks: coverage at the worst moment, and what is lost by it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoplm_audit.metrics.among import among, beyond
from shoplm_audit.metrics.classifying import recall_of
from shoplm_audit.metrics.reduce import f1_of, mean_of, over_column, rate_of
from shoplm_audit.sequences import (
    betting_bounds,
    difference_sequence_of,
    largest_cluster,
    log_capital,
    sequence_of,
)
from shoplm_audit.types import Case, Floats, Metric, Observation, Observations
from shoplm_audit.uncertainty import clopper_pearson

GOAL = -math.log(0.05)
RUNS = 500


def _clusters(rng: np.random.Generator, rate: float, alike: float, sizes: Floats) -> tuple[Floats, Floats]:
    """Hits per cluster, alike within it by so much; the mean over rows is the rate whatever the sizes."""
    rates = rate if alike == 0 else rng.beta(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, sizes.shape)
    return rng.binomial(sizes.astype(int), rates) / 5, sizes / 5


@pytest.mark.parametrize(
    ("kind", "rate", "many"),
    [("single", 0.01, 2000), ("single", 0.05, 2000), ("single", 0.3, 1000), ("single", 0.5, 1000), ("beta", 0.2, 1000),
     ("alike", 0.05, 600), ("alike", 0.3, 600)],
)  # fmt: skip
def test_the_worst_moment_to_stop_is_covered_as_often_as_is_said(kind: str, rate: float, many: int) -> None:
    rng = np.random.default_rng(7)
    sizes = np.ones((RUNS, many)) if kind != "alike" else rng.integers(1, 6, (RUNS, many)).astype(float)
    totals = (rng.random(sizes.shape) < rate).astype(float)
    if kind == "beta":
        totals = rng.beta(0.4, 1.6, sizes.shape)
    if kind == "alike":
        totals, sizes = _clusters(rng, rate, 0.4, sizes)
    for each, mean in ((totals, rate), (sizes - totals, 1 - rate)):
        excluded = (log_capital(each, sizes, mean).max(axis=-1) >= GOAL).mean()
        assert excluded <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / RUNS)


def test_bounds_for_a_fixed_number_of_cases_do_not_hold_at_the_worst_moment() -> None:
    # The reason for all this: the same looks at Clopper-Pearson's bounds exclude the truth far too often.
    hits = np.cumsum(np.random.default_rng(1).random((100, 500)) < 0.3, axis=1)
    lost = [any(clopper_pearson(int(row[n - 1]), n)[1] < 0.3 for n in range(20, 501, 10)) for row in hits]
    assert np.mean(lost) > 0.15


def test_bounds_are_where_the_capital_reaches_its_goal() -> None:
    hits = (np.random.default_rng(2).random(400) < 0.1).astype(float)
    low, high = betting_bounds(hits, np.arange(400), 0.95)
    ones = np.ones(400)
    assert log_capital(hits, ones, low)[-1] == pytest.approx(GOAL)
    assert log_capital(1 - hits, ones, 1 - high)[-1] == pytest.approx(GOAL)
    fixed = clopper_pearson(hits.sum(), 400)
    assert low < fixed[0] < hits.mean() < fixed[1] < high
    assert high - low < 2 * (fixed[1] - fixed[0])


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    values, clusters = rng.random(90), np.repeat(np.arange(30), 3)
    order = rng.permutation(90)
    there = betting_bounds(values, clusters, 0.95, largest=3)
    assert betting_bounds(values[order], clusters[order], 0.95, largest=3) == pytest.approx(there)


def test_rows_repeated_within_a_cluster_narrow_nothing() -> None:
    values, clusters = np.r_[np.ones(6), np.zeros(74)], np.arange(80)
    once = betting_bounds(values, clusters, 0.95)
    thrice = betting_bounds(np.repeat(values, 3), np.repeat(clusters, 3), 0.95, largest=3)
    assert thrice == pytest.approx(once)


def test_a_cluster_larger_than_planned_leaves_it_undefined() -> None:
    assert np.isnan(betting_bounds(np.zeros(3), np.zeros(3, dtype=np.int64), 0.95, largest=2)).all()


@pytest.mark.parametrize("values", [[], [math.nan, 0.0], [1.2, 0.0], [math.inf, 0.0]])
def test_what_has_no_value_within_the_ends_is_undefined(values: list[float]) -> None:
    assert np.isnan(betting_bounds(np.array(values), np.arange(len(values)), 0.95)).all()


def test_bounds_scale_with_the_ends_of_the_column() -> None:
    values = np.random.default_rng(4).random(200)
    low, high = betting_bounds(values, np.arange(200), 0.95)
    scaled = betting_bounds(200 * values - 100, np.arange(200), 0.95, ends=(-100.0, 100.0))
    assert scaled == pytest.approx((200 * low - 100, 200 * high - 100))


# Metrics ------------------------------------------------------------------------------------------------


def _rows(count: int) -> list[Observation]:
    return [
        Observation(
            Case(f"c{i}", {"kind": "first" if i % 2 else "second"}, reference="no" if i % 4 else "yes"),
            {"bad": i % 10 == 0, "share": (i % 7) / 7, "said": "yes", "control": i % 20 == 0,
             "seen": None if i % 3 == 0 else True},
        )
        for i in range(count)
    ]  # fmt: skip


RATE = rate_of("bad", better="lower")
METRICS = {
    "rate": RATE,
    "mean": mean_of("share", better="higher", worst=0.0, best=1.0),
    "with negative ends": mean_of("share", better="higher", worst=-1.0, best=1.0),
    "among a kind": among(RATE, kind="first"),
    "among those with a value": among(rate_of("seen", better="higher"), having="seen"),
    "beyond a control": beyond("bad", "control", name="excess_bad"),
    "recall": recall_of("said", "yes", name="recall_yes"),
    "of a made column": over_column(
        rate_of("odd", better="lower"), "odd", lambda row: not row.values["bad"], name="odd", signature="odd"
    ),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_sequence_is_about_the_same_number_as_its_metric(metric: Metric) -> None:
    rows = _rows(240)
    rows[5:25] = [Observation(row.case, {}, "errored") for row in rows[5:25]]
    seen = Observations(tuple(rows))
    fixed = metric.estimate(seen, 0.95, np.random.default_rng(0))
    found = sequence_of(metric, seen, largest_cluster(metric, [row.case for row in rows]), 0.95)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(fixed.value), fixed.n)
    assert found.low < fixed.low <= fixed.value <= fixed.high < found.high
    assert found.method == "betting confidence sequence, any time"


def test_metrics_that_are_no_bounded_means_have_no_sequence() -> None:
    seen = Observations(tuple(_rows(20)))
    for metric in (f1_of("f1", hits="bad", false="bad", missed="bad"), mean_of("share", better="higher", worst=0.0)):
        assert sequence_of(metric, seen, 1, 0.95) is None
        assert difference_sequence_of(metric, seen, seen, 1, 0.95) is None


def test_the_largest_planned_cluster_counts_even_if_only_small_ones_were_asked() -> None:
    planned = [row.case for row in _rows(60)]
    more = [*planned, *(Case(f"d{i}", {"kind": "first"}, cluster="k-large") for i in range(4))]
    assert (largest_cluster(RATE, planned), largest_cluster(RATE, more)) == (1, 4)
    assert largest_cluster(among(RATE, kind="second"), more) == 1  # the large one has none of this kind
    assert largest_cluster(among(rate_of("seen", better="higher"), having="seen"), more) == 4
    seen = Observations(tuple(_rows(60)))
    narrow, wide = (sequence_of(RATE, seen, largest, 0.95) for largest in (1, 4))
    assert narrow is not None
    assert wide is not None
    assert wide.high > narrow.high
    assert math.isnan(getattr(sequence_of(RATE, Observations((*seen.rows, *seen.rows)), 1, 0.95), "high", 0))


@pytest.mark.parametrize("name", ["rate", "mean", "among a kind", "beyond a control", "of a made column"])
def test_a_case_with_an_undefined_value_is_not_left_out(name: str) -> None:
    rows = _rows(40)
    rows[1] = Observation(rows[1].case, dict.fromkeys(("bad", "share", "control"), math.nan))
    metric = METRICS[name]
    if name == "of a made column":
        metric = over_column(RATE, "bad", lambda row: row.values["share"], name="odd", signature="odd")
    seen = Observations(tuple(rows))
    found = sequence_of(metric, seen, largest_cluster(metric, [row.case for row in rows]), 0.95)
    assert found is not None
    assert math.isnan(found.low)
    assert math.isnan(found.value)
    changed = difference_sequence_of(metric, Observations(tuple(_rows(40))), seen, 1, 0.95)
    assert changed is not None
    assert math.isnan(changed.high)


def test_the_bound_against_the_model_can_be_surer_than_the_other() -> None:
    seen = Observations(tuple(_rows(60)))
    for metric in (RATE, rate_of("bad", better="higher")):
        both, one = sequence_of(metric, seen, 1, 0.95), sequence_of(metric, seen, 1, 0.95, against=0.999)
        assert both is not None
        assert one is not None
        if metric.better == "lower":
            assert one.low < both.low < both.high == one.high
        else:
            assert one.low == both.low < both.high < one.high


def test_a_paired_change_is_bounded_on_both_sides() -> None:
    old, new = _rows(300), [Observation(row.case, row.values | {"bad": True}) for row in _rows(300)]
    first, second = Observations(tuple(old)), Observations(tuple(new))
    found = difference_sequence_of(RATE, first, second, 1, 0.95)
    assert found is not None
    assert found.value == pytest.approx(0.9)
    assert 0.7 < found.low < 0.9 < found.high <= 1
    assert found.method.startswith("paired betting")
    none = difference_sequence_of(RATE, first, first, 1, 0.95)
    assert none is not None
    assert -0.05 < none.low < 0 < none.high < 0.05
