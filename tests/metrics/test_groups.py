"""fairlearn's numbers, but for rates of groups that have none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoplm_audit.errors import DataError
from shoplm_audit.metrics.groups import demographic_parity_of, equalized_odds_of, fpr_difference_of, group_rates
from shoplm_audit.types import Case, Metric, Observation, Observations

TRUTH = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
SAID = [0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1]
OF = ["SAE"] * 8 + ["AAE"] * 8


def rates(truth, said, groups, **more):
    return group_rates(truth, said, groups, range(len(truth)), rng=np.random.default_rng(0), **more)


def told(metric: Metric, truth, said, groups):
    rows = (
        Observation(Case(str(i), groups={"variety": group}, facts={"bad": bool(so)}), {"flagged": flagged})
        for i, (so, flagged, group) in enumerate(zip(truth, said, groups, strict=True))
    )
    return metric.estimate(Observations(tuple(rows)), 0.95, np.random.default_rng(0))


def test_the_reference_table_is_reproduced() -> None:
    found = rates(TRUTH, SAID, OF)
    fpr, selected = found["false_positive_rate"], found["selection_rate"]
    assert fpr.by_group == {"AAE": 0.5, "SAE": 0.25}
    assert (fpr.difference.value, fpr.ratio, fpr.to_overall) == (0.25, 0.5, 0.125)
    assert selected.by_group == {"AAE": 0.625, "SAE": 0.5}
    assert (selected.difference.value, selected.ratio) == (0.125, 0.8)
    assert told(fpr_difference_of("flagged", "variety", "bad"), TRUTH, SAID, OF).value == 0.25
    assert told(demographic_parity_of("flagged", "variety"), TRUTH, SAID, OF).value == 0.125
    assert told(equalized_odds_of("flagged", "variety", "bad"), TRUTH, SAID, OF).value == 0.25


def test_a_group_without_negatives_has_no_false_positive_rate_and_widens_no_difference() -> None:
    truth, said, groups = [*TRUTH, 1, 1], [*SAID, 1, 1], [*OF, "X", "X"]
    fpr = rates(truth, said, groups)["false_positive_rate"]
    assert math.isnan(fpr.by_group["X"])
    assert fpr.left_out == ("X",)
    assert (fpr.difference.value, fpr.ratio, fpr.to_overall) == (0.25, 0.5, 0.125)
    assert "left out, without negatives: X" in fpr.difference.method
    assert rates(truth, said, groups)["true_positive_rate"].by_group["X"] == 1.0
    found = told(equalized_odds_of("flagged", "variety", "bad"), truth, said, groups)
    assert "false_positive_rate: left out, without negatives: X" in found.note


@pytest.mark.parametrize(
    ("truth", "groups"), [([1, 1, 0, 0], ["a", "a", "b", "b"]), ([1, 1, 1, 1], ["a", "a", "b", "b"])]
)
def test_a_rate_that_fewer_than_two_groups_have_is_undefined(truth: list[int], groups: list[str]) -> None:
    fpr = rates(truth, [1, 0, 1, 0], groups)["false_positive_rate"]
    assert math.isnan(fpr.difference.value)
    assert math.isnan(fpr.difference.low)
    assert math.isnan(fpr.ratio)
    assert "below 2 groups" in fpr.difference.method


def test_no_false_positives_anywhere_have_no_ratio_and_are_not_certain() -> None:
    fpr = rates([0] * 40, [0] * 40, ["a", "b"] * 20)["false_positive_rate"]
    assert fpr.difference.value == 0
    assert math.isnan(fpr.ratio)
    assert fpr.difference.high == pytest.approx(1 - 0.0125 ** (1 / 20))  # each group's bounds at 0.05 / 4


@pytest.mark.parametrize(
    ("chances", "twins"), [((0.2, 0.2, 0.2), False), ((0.1, 0.2, 0.35), False), ((0.2, 0.3), True)]
)
def test_the_largest_difference_is_within_its_bounds(chances: tuple[float, ...], twins: bool) -> None:
    from shoplm_audit.metrics.groups import _gap_bounds

    rng, size, wrong = np.random.default_rng(1), len(chances), np.zeros(2)
    place = np.repeat(np.arange(size), 50)
    units = np.tile(np.arange(50), size) if twins else np.arange(50 * size)
    for _ in range(60):
        luck = np.tile(rng.random(50), size) if twins else rng.random(50 * size)
        low, high, _ = _gap_bounds((luck < np.array(chances)[place]).astype(float), place, units, 0.95, rng)
        wrong += (low > np.ptp(chances), high < np.ptp(chances))
    assert wrong.max() <= 8  # 5 % of 60, and three standard deviations


def test_rows_of_one_cluster_are_one_case() -> None:
    rng, groups = np.random.default_rng(2), ["a", "b", "c"] * 40
    truth, said = np.zeros(120, int), (rng.random(120) < 0.3).astype(int)

    def bounds(times: int, clusters: np.ndarray) -> tuple[float, float]:
        told = group_rates(
            np.tile(truth, times), np.tile(said, times), groups * times, clusters, ["false_positive_rate"],
            rng=np.random.default_rng(0),
        )["false_positive_rate"].difference  # fmt: skip
        return told.low, told.high

    once = bounds(1, np.arange(120))
    assert bounds(5, np.tile(np.arange(120), 5)) == pytest.approx(once)
    assert bounds(5, np.arange(600))[1] < once[1] - 0.05


@pytest.mark.parametrize(
    ("truth", "said", "wanted", "message"),
    [([0, 2], [0, 1], ["selection_rate"], '"2"'), ([0, 1], [0], ["selection_rate"], "2 labels, 1 predictions"),
     ([0, 1], [0, 1], ["fpr"], '"fpr" is no rate')],
)  # fmt: skip
def test_columns_that_cannot_be_read_are_named(truth, said, wanted, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rates(truth, said, ["a", "b"], rates=wanted)


def test_a_single_case_has_its_rate_and_no_difference() -> None:
    found = group_rates([0], [1], ["aae"], [0], ("false_positive_rate",), rng=np.random.default_rng(0))
    rate = found["false_positive_rate"]
    assert rate.by_group == {"aae": 1.0}
    assert math.isnan(rate.difference.value)
