"""Adjusted p-values are those of the reference; the largest of many errors is bounded as one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoplm_audit.errors import DataError
from shoplm_audit.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm, max_t

P = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]
ADJUSTED = {  # of statsmodels 0.15
    benjamini_hochberg: [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.105714, 0.216, 0.216, 0.216],
    benjamini_yekutieli: [0.02929, 0.117159, *[0.246033] * 3, 0.292897, 0.309634, *[0.632657] * 3],
    holm: [0.01, 0.072, *[0.312] * 5, *[0.615] * 3],
}
every_method = pytest.mark.parametrize("adjust", ADJUSTED, ids=lambda adjust: adjust.__name__)


@every_method
def test_adjusted_p_values_are_those_of_the_reference_in_whatever_order(adjust) -> None:
    order = np.random.default_rng(0).permutation(len(P))
    assert adjust(P) == pytest.approx(ADJUSTED[adjust], abs=1e-6)
    assert adjust(np.array(P)[order]) == pytest.approx(np.array(ADJUSTED[adjust])[order], abs=1e-6)


@every_method
def test_a_test_that_found_nothing_still_counts_in_its_family(adjust) -> None:
    with_nan = adjust([0.01, math.nan, 0.02])
    assert math.isnan(with_nan[1])
    assert with_nan[[0, 2]] == pytest.approx(adjust([0.01, 1.0, 0.02])[[0, 2]])
    assert with_nan[0] > adjust([0.01, 0.02])[0]


@every_method
def test_no_adjusted_p_value_exceeds_one_and_no_tests_give_none(adjust) -> None:
    assert adjust([0.9, 0.95, 1.0]).max() <= 1
    assert adjust([]).size == 0


@every_method
@pytest.mark.parametrize("wrong", [-0.01, 1.5])
def test_a_number_that_is_no_p_value_is_named(adjust, wrong: float) -> None:
    with pytest.raises(DataError, match=f'"{wrong}"'):
        adjust([0.5, wrong])


def test_the_largest_of_eight_errors_keeps_to_its_bound_as_often_as_promised() -> None:
    # 2.73 by the law of the largest of eight normals: (2 Phi(x) - 1)^8 = 0.95.
    step = max_t(np.random.default_rng(0).normal(size=(100_000, 8)), 0.95)
    assert step == pytest.approx(2.727, abs=0.03)
