from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from shoplm_audit import uncertainty
from shoplm_audit.metrics.corrected import _corrected, corrected_rate_of, ppi
from shoplm_audit.types import Case, Estimate, Observation, Observations

METRIC = corrected_rate_of("bad", caught="caught", alarmed="alarmed", name="rate_bad_corrected")


def checked(
    rng: np.random.Generator, n: int, rate: float, sensitivity: float, specificity: float, *, real: bool = False
) -> Observations:
    """Cases of a checker that errs as it is told to; or whose alarms are real errors of the references alone.

    Every other case is easy, with eight errors to try, the others hard, with one.
    """
    truth, hard = rng.random(n) < rate, rng.random(n) < 0.5
    found = np.where(hard, 2 * sensitivity - 1, 1.0)
    bad = np.where(truth, rng.random(n) < found, (rng.random(n) > specificity) & (not real))
    caught, alarmed = rng.binomial(np.where(hard, 1, 8), found) / np.where(hard, 1, 8), rng.random(n) > specificity
    return Observations(
        tuple(
            Observation(
                Case(f"c{i}", cluster=f"k{i}"),
                {"bad": bool(bad[i]), "caught": float(caught[i]), "alarmed": bool(alarmed[i])},
            )
            for i in range(n)
        )
    )


def counted(n: int, bad: int, missed: int, alarms: int) -> Observations:
    """Cases with so many findings, injected errors that were missed (one a case), and false alarms."""
    return Observations(
        tuple(
            Observation(
                Case(f"c{i}", cluster=f"k{i}"),
                {"bad": i < bad, "caught": float(i % n >= missed), "alarmed": n - i <= alarms},
            )
            for i in range(n)
        )
    )


def told(observations: Observations) -> Estimate:
    return METRIC.estimate(observations, 0.95, np.random.default_rng(0))


def test_rogan_and_gladens_reference_value() -> None:
    raw = 0.06 * 0.85 + 0.94 * (1 - 0.97)
    assert raw == pytest.approx(0.0791, abs=2e-4)
    assert float(_corrected(np.array(0.0791), np.array(0.85), np.array(0.97))) == pytest.approx(0.0599, abs=5e-5)
    assert float(_corrected(np.array(raw), np.array(0.85), np.array(0.97))) == pytest.approx(0.06)


def test_the_rate_is_corrected_for_misses_and_alarms_count_in_the_lower_bound_alone() -> None:
    found = told(counted(1000, 79, 150, 30))
    assert found.value == pytest.approx(0.079 / 0.85)
    assert found.low < 0.049 / 0.82 < found.value < found.high
    assert "sensitivity 0.850 on 1000" in found.note
    assert "possible in 100% of" in found.note
    assert "alarms on the shop's own texts: 3.0% of 1000" in found.note
    assert told(counted(1000, 79, 150, 0)).low > found.low


def test_cases_count_alike_however_many_errors_each_was_tried_with() -> None:
    rows = [
        Observation(Case(f"c{i}"), {"bad": i < 20, "caught": float(i % 2), "tried": 1 + 8 * (i % 2), "alarmed": False})
        for i in range(100)
    ]
    found = told(Observations(tuple(rows)))
    assert found.value == pytest.approx(0.2 / 0.5)
    once = [replace(row, values=dict(row.values) | {"tried": 1}) for row in rows]
    assert told(Observations(tuple(once))) == found


def test_fewer_findings_than_alarms_on_references_may_be_a_rate_of_nothing() -> None:
    for found in (told(counted(200, 1, 20, 12)), told(counted(1000, 30, 100, 60))):  # few of each kind, and plenty
        assert found.low == 0 < found.value < found.high


def _tries(n: int, caught: int, kind: str = "value", attribute: str = "pattern") -> Observations:
    easy = ["unit", "weight", True]
    return Observations(
        tuple(
            replace(
                row,
                values=dict(row.values) | {"tries": json.dumps([easy, [kind, attribute, i < caught]][: 1 + (i < n)])},
            )
            for i, row in enumerate(counted(100, 10, 5, 1))
        )
    )


def test_a_kind_or_an_attribute_in_which_the_checker_is_blind_leaves_nothing_to_correct() -> None:
    assert 'in "pattern" the checker finds 0.47 only' in told(_tries(40, 19)).method
    assert 'of the kind "value" the checker finds 0.45 only' in told(_tries(40, 18, attribute="")).method
    assert math.isnan(told(_tries(40, 19)).value)
    enough, few = told(_tries(40, 20)), told(_tries(19, 0))
    assert 'least of errors in "pattern": 0.50 in 40' in enough.note
    assert 'least of errors in "weight": 1.00 in 100' in few.note
    assert enough.value == few.value == pytest.approx(0.1 / 0.95)


def test_what_is_not_known_of_the_checker_is_in_the_interval() -> None:
    """The same findings and the same shares, the checker known from 40 cases instead of 4,000."""
    many = counted(4000, 400, 800, 120)
    few = Observations(
        tuple(
            Observation(row.case, {"bad": row.values["bad"]} | (dict(row.values) if i % 100 == 0 else {}))
            for i, row in enumerate(many)
        )
    )
    wide, narrow = told(few), told(many)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        (Observations(()), "no cases"),
        (counted(19, 2, 1, 1), "on 19 cases"),
        (counted(100, 2, 60, 40), "tell nothing"),
        (counted(100, 2, 90, 0), "sensitivity 0.10"),
    ],
)
def test_a_checker_of_which_too_little_is_known_corrects_nothing(observations: Observations, why: str) -> None:
    found = told(observations)
    assert math.isnan(found.value)
    assert math.isnan(found.high)
    assert why in found.method
    assert math.isnan(METRIC.difference(observations, observations, 0.95, np.random.default_rng(0)).low)


def test_a_perfect_checker_on_a_few_cases_leaves_room_for_doubt() -> None:
    assert told(counted(30, 0, 0, 0)).high > 0.09
    many = told(counted(400, 0, 0, 0))
    assert many.low == many.value == 0
    assert many.high > 0.0074  # 0 of 400


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(
    ("n", "rate", "sensitivity", "specificity"),
    [(400, 0.08, 0.85, 0.97), (200, 0.2, 0.7, 0.8), (200, 0.01, 0.9, 0.98), (200, 0.03, 1.0, 1.0)],
)
def test_each_bound_holds_as_often_as_it_says_be_alarms_false_or_errors_of_people(
    n: int, rate: float, sensitivity: float, specificity: float, real: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncertainty, "RESAMPLES", 200)
    found = [
        told(checked(np.random.default_rng([n, k]), n, rate, sensitivity, specificity, real=real)) for k in range(80)
    ]
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    # 0.95 less three standard errors of 80 trials.
    assert (low <= rate).mean() > 0.87
    assert (high >= rate).mean() > 0.87
    if real or specificity == 1:
        assert np.mean([each.value for each in found]) == pytest.approx(rate, abs=0.01)


def test_a_few_changed_cases_are_bounded_exactly_and_equal_runs_do_not_differ() -> None:
    old, rng = counted(200, 20, 20, 6), np.random.default_rng(0)
    new = Observations(tuple(Observation(r.case, dict(r.values) | {"bad": i < 14}) for i, r in enumerate(old)))
    better, same = METRIC.difference(old, new, 0.95, rng), METRIC.difference(old, old, 0.95, rng)
    assert better.value == pytest.approx(-0.03 / 0.9)
    assert better.low < better.value < better.high
    assert same.value == 0
    assert same.low < 0 < same.high


# By people --------------------------------------------------------------------------------------


def labelled(rng: np.random.Generator, n: int, rate: float, sensitivity: float, specificity: float, count: int):
    """Findings, the truth, and a sample of cases that prefers findings."""
    truth = (rng.random(n) < rate).astype(float)
    findings = np.where(truth == 1, rng.random(n) < sensitivity, rng.random(n) > specificity).astype(float)
    weight = 1 + 3 * findings
    probability = np.minimum(1, count * (0.3 / n + 0.7 * weight / weight.sum()))
    of = np.flatnonzero(rng.random(n) < probability)
    return findings, truth[of], of, probability[of]


def test_labels_count_by_the_inverse_of_their_probability() -> None:
    findings, of = np.array([1.0, 1.0] + [0.0] * 98), np.array([0, 50])
    found = ppi(findings, np.array([0.0, 1.0]), of, np.array([0.5, 0.1]), np.arange(100), 0.95)
    assert found.value == pytest.approx(0.02 - 1 / 50 + 1 / 10)
    assert found.n == 2


def test_all_cases_labelled_are_the_rate_itself() -> None:
    truth = np.array([1.0] * 30 + [0.0] * 70)
    found = ppi(np.zeros(100), truth, np.arange(100), np.ones(100), np.arange(100), 0.95)
    assert found.value == pytest.approx(0.3)
    assert found.low <= 0.23
    assert found.high >= 0.37


@pytest.mark.parametrize(
    ("n", "rate", "sensitivity", "specificity", "count"),
    [(1000, 0.06, 0.85, 0.97, 150), (240, 0.03, 0.9, 0.99, 60), (240, 0.1, 0.5, 0.97, 25), (240, 0.5, 0.8, 0.8, 120)],
)
def test_bounds_by_people_hold_as_often_as_they_say(
    n: int, rate: float, sensitivity: float, specificity: float, count: int
) -> None:
    found = []
    for k in range(200):
        findings, truth, of, probability = labelled(
            np.random.default_rng([n, k]), n, rate, sensitivity, specificity, count
        )
        found.append(ppi(findings, truth, of, probability, np.arange(n), 0.95))
    # 0.95 less three standard errors of 200 trials.
    assert np.mean([each.low <= rate for each in found]) > 0.90
    assert np.mean([each.high >= rate for each in found]) > 0.90
    assert np.mean([each.value for each in found]) == pytest.approx(rate, abs=0.012)


def test_a_handful_of_labels_that_agree_does_not_make_the_checker_perfect() -> None:
    findings = np.array([1.0] * 10 + [0.0] * 190)
    of = np.array([0, 1, 50, 60, 70, 80, 90, 100, 110, 120])
    found = ppi(findings, findings[of], of, np.full(10, 0.05), np.arange(200), 0.95)
    assert found.value == pytest.approx(0.05)
    assert found.high > 0.25


def test_labels_of_one_product_are_one() -> None:
    rng = np.random.default_rng(3)
    findings, truth, of, probability = labelled(rng, 400, 0.3, 0.8, 0.8, 120)
    one = ppi(findings, truth, of, probability, np.arange(400), 0.95)
    again = np.concatenate([of, of + 400])
    two = ppi(np.tile(findings, 2), np.tile(truth, 2), again, np.tile(probability, 2), np.tile(np.arange(400), 2), 0.95)
    assert two.value == pytest.approx(one.value)
    assert two.n == one.n
    assert two.high - two.low >= 0.98 * (one.high - one.low)


def test_no_labels_are_undefined() -> None:
    nothing = np.array([])
    found = ppi(np.zeros(5), nothing, nothing.astype(np.int64), nothing, np.arange(5), 0.95)
    assert math.isnan(found.value)
