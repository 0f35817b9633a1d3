import numpy as np
import pytest

from shoplm_audit.metrics.reduce import mean_of
from shoplm_audit.types import Case, Gate, Observation, Observations, Verdict


def _all(value: float, count: int) -> Observations:
    return Observations(tuple(Observation(Case(f"c{i}"), {"recall": value}) for i in range(count)))


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 1 - 0.05 ** (1 / 80)), (1.0, 0.05 ** (1 / 80), 1.0)])
def test_a_bounded_mean_at_one_end_has_exact_bounds(value: float, low: float, high: float) -> None:
    metric = mean_of("recall", better="higher", worst=0.0, best=1.0)
    found = metric.estimate(_all(value, 80), 0.95, np.random.default_rng(0))
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high))


def test_a_model_that_says_nothing_fails_instead_of_being_undecided() -> None:
    metric = mean_of("recall", better="higher", worst=0.0, best=1.0)
    found = metric.estimate(_all(0.0, 80), 0.95, np.random.default_rng(0))
    assert Gate("mean_recall", at_least=0.5).judge(found) is Verdict.FAIL


def test_equal_values_in_between_stay_undefined() -> None:
    metric = mean_of("recall", better="higher", worst=0.0, best=1.0)
    assert np.isnan(metric.estimate(_all(0.7, 80), 0.95, np.random.default_rng(0)).low)
