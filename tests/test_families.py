"""Gates of one family fail only where that holds after Benjamini and Hochberg over all of the family."""

import math

import numpy as np
import pytest
from scipy import stats

from shoplm_audit.judging import Policy, in_families, judge, p_of_limits
from shoplm_audit.types import Estimate, Gate, Verdict


def told(value: float, error: float, freedom: float = math.inf) -> Estimate:
    half = float(stats.t.ppf(0.95, freedom)) * error
    return Estimate(value, value - half, value + half, 40, "Welch", freedom=freedom)


def test_p_is_that_of_a_one_sided_t_test_beyond_the_nearer_limit() -> None:
    gate = Gate("contrast", at_least=-0.05, at_most=0.05)
    assert p_of_limits(gate, told(0.09, 0.02, 12), 0.95) == pytest.approx(stats.t.sf(2, 12), rel=1e-9)
    assert p_of_limits(gate, told(-0.11, 0.02), 0.95) == pytest.approx(stats.norm.sf(3), rel=1e-9)
    assert math.isnan(p_of_limits(gate, Estimate(math.nan, math.nan, math.nan, 1, "undefined"), 0.95))


def test_a_bound_just_beyond_the_limit_fails_alone_and_is_undecided_among_twenty() -> None:
    alone = Gate("contrast_0", at_most=0.05)
    gates = [Gate(f"contrast_{i}", at_most=0.05, family="customers") for i in range(20)]
    estimates: dict[str, Estimate | None] = {gate.id: told(0.0, 0.02) for gate in gates}
    estimates["contrast_0"] = told(0.09, 0.02)  # p = 0.023
    found = in_families(gates, estimates, 0.95)
    assert found["contrast_0"].size == 20
    assert found["contrast_0"].adjusted == pytest.approx(20 * stats.norm.sf(2), rel=1e-9)
    one = judge("bias", gates[0], estimates["contrast_0"], Policy(), "p", "", found["contrast_0"])
    assert one.verdict is Verdict.UNDECIDED
    assert "Benjamini" in one.why
    assert judge("bias", alone, estimates["contrast_0"], Policy(), "p", "").verdict is Verdict.FAIL
    # A difference far beyond the limit stays a failure, however many were tested.
    estimates["contrast_0"] = told(0.15, 0.02)
    again = in_families(gates, estimates, 0.95)["contrast_0"]
    assert judge("bias", gates[0], estimates["contrast_0"], Policy(), "p", "", again).verdict is Verdict.FAIL


def test_what_was_not_tested_is_no_part_of_the_family_and_what_has_no_family_is_left_alone() -> None:
    gates = [Gate("a", at_most=0.05, family="f"), Gate("b", at_most=0.05, family="f"), Gate("c", at_most=0.05)]
    found = in_families(gates, {"a": told(0.09, 0.02), "b": None, "c": told(0.2, 0.01)}, 0.95)
    assert set(found) == {"a"}
    assert found["a"].adjusted == found["a"].p


def test_a_family_of_true_nulls_seldom_fails_at_all() -> None:
    """At the edge of the margin each gate alone fails in one audit of twenty; one of ten, in about two of five."""
    rng = np.random.default_rng(0)
    gates = [Gate(f"g{i}", at_least=-0.05, at_most=0.05, family="f") for i in range(10)]
    failed = 0
    for _ in range(300):
        estimates = {gate.id: told(0.05 + 0.02 * rng.standard_normal(), 0.02) for gate in gates}
        failed += any(one.adjusted <= 0.05 for one in in_families(gates, estimates, 0.95).values())
    assert failed / 300 < 0.09


def test_a_number_that_is_undefined_still_counts_in_its_family() -> None:
    gates = [Gate(f"g{i}", at_most=0.05, family="f") for i in range(10)]
    nothing = Estimate(math.nan, math.nan, math.nan, 0, "undefined")
    found = in_families(gates, {"g0": told(0.09, 0.02)} | {gate.id: nothing for gate in gates[1:]}, 0.95)
    assert set(found) == {"g0"}
    assert found["g0"].size == 10
    assert found["g0"].adjusted == pytest.approx(10 * found["g0"].p)


def test_exact_bounds_beyond_the_margin_fail_among_many() -> None:
    """Every name of one group was refused and none of the other: bounds that are not Student's have a p-value too."""
    gates = [Gate(f"g{i}", at_most=0.05, family="f") for i in range(60)]
    refused = Estimate(1.0, 0.78, 1.0, 24, "exact bounds for unseen ones: 0 of 24 differ")
    estimates = {gate.id: told(0.0, 0.02) for gate in gates} | {"g0": refused}
    found = in_families(gates, estimates, 0.95)["g0"]
    assert judge("bias", gates[0], refused, Policy(), "p", "", found).verdict is Verdict.FAIL
