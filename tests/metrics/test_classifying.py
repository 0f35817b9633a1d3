from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from shoplm_audit import uncertainty
from shoplm_audit.errors import DataError
from shoplm_audit.metrics import classifying
from shoplm_audit.metrics.classifying import (
    aurc,
    brier,
    brier_of,
    confusion,
    coverage_at_risk,
    ece,
    ece_of,
    macro_f1,
    macro_f1_of,
    mcc,
    mcc_of,
    recall_of,
    selective_risk,
    selective_risk_of,
)
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

SURE = np.array([0.95, 0.9, 0.85, 0.65, 0.6, 0.55, 0.35, 0.3])
RIGHT = np.array([1, 1, 0, 1, 0, 1, 0, 0])


def _told(metric: Metric, rows: Observations) -> Estimate:
    return metric.estimate(rows, 0.95, np.random.default_rng(0))


def _labels(said: list[str], truth: list[str]) -> Observations:
    pairs = enumerate(zip(said, truth, strict=True))
    return Observations(tuple(Observation(Case(f"c{i}", reference=t), {"label": s}) for i, (s, t) in pairs))


def _sure(sure: np.ndarray, right: np.ndarray, lost: int = 0) -> Observations:
    rows = [Observation(Case(f"c{i}"), {"sure": float(s), "right": bool(r)})
            for i, (s, r) in enumerate(zip(sure, right, strict=True))]  # fmt: skip
    return Observations((*rows, *(Observation(Case(f"lost{i}"), {}, "errored") for i in range(lost))))


def test_ece_has_its_reference_values_by_edge() -> None:
    assert ece(SURE, RIGHT) == ece(SURE, RIGHT, bins="(lo,hi]") == pytest.approx(0.24375)
    assert ece(SURE, RIGHT, bins="[lo,hi)") == pytest.approx(0.29375)
    assert ece(SURE, RIGHT, bins="equal mass", count=1) == pytest.approx(abs(SURE.mean() - 0.5))
    assert ece(SURE, RIGHT, bins="equal mass", count=8) == pytest.approx(np.abs(SURE - RIGHT).mean())
    assert ece(np.array([0.0, 1.0]), np.array([0, 1])) == 0  # the ends have a bin
    assert brier(SURE, RIGHT) == pytest.approx(0.204062, abs=1e-6)


@pytest.mark.parametrize("bins", ["(lo,hi]", "[lo,hi)", "equal mass"])
def test_the_metric_is_the_function_and_a_lost_answer_is_sure_and_wrong(bins: str) -> None:
    sure, right = np.tile(SURE, 5), np.tile(RIGHT, 5)
    metric = ece_of("sure", "right", name="ece", bins=bins)
    assert bins in metric.signature
    assert _told(metric, _sure(sure, right)).value == pytest.approx(ece(sure, right, bins=bins))
    lost = _told(metric, _sure(sure, right, lost=10)).value
    assert lost == pytest.approx((40 * ece(sure, right, bins=bins) + 10) / 50)


def _drawn(rng: np.random.Generator, count: int, gap: float, least: float = 0.5) -> Observations:
    """Right less often, by the gap, than it is sure."""
    sure = rng.uniform(least, 1.0, count)
    return _sure(sure, rng.random(count) < sure - gap)


@pytest.mark.parametrize(("gap", "least"), [(0.0, 0.5), (0.03, 0.5), (0.1, 0.5), (0.03, 0.95)])
def test_the_bounds_on_ece_hold_as_often_as_they_say(gap: float, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # A percentile bootstrap: .87 below and .91 above at a gap of .03, and never 0 below where there is none.
    monkeypatch.setattr(classifying, "_LABELS", 200)
    monkeypatch.setattr(uncertainty, "_DRAWS", 400)
    rng, metric = np.random.default_rng(8), ece_of("sure", "right", name="ece")
    found = [metric.estimate(_drawn(rng, 320, gap, least), 0.95, rng) for _ in range(100)]
    assert np.mean([one.low <= gap for one in found]) >= 0.93
    assert np.mean([one.high >= gap for one in found]) >= 0.93
    assert np.mean([one.high - one.low for one in found]) < 0.12  # and say something
    assert np.mean([one.low > 0 for one in found]) >= (0.8 if gap == 0.1 else 0)


def test_ece_of_equal_cases_has_bounds_of_what_unseen_ones_could_do() -> None:
    metric = ece_of("sure", "right", name="ece")
    right, wrong = (_told(metric, _sure(np.ones(60), np.full(60, hit))) for hit in (1.0, 0.0))
    assert (right.value, right.low, right.high) == pytest.approx((0, 0, 1 - 0.05 ** (1 / 60)))
    assert (wrong.value, wrong.low, wrong.high) == pytest.approx((1, 0.05 ** (1 / 60), 1))
    assert math.isnan(_told(metric, _sure(SURE, RIGHT)).low)  # of eight cases nothing is sure
    lost = _told(metric, _sure(np.ones(60), np.ones(60), lost=40))
    assert 0.3 < lost.low < lost.value == 0.4 < lost.high < 0.5


TRUTH = ["a", "b"] * 40


@pytest.mark.parametrize("build", [macro_f1_of, mcc_of])
def test_changes_between_runs_of_one_kind_of_answer_have_bounds(build: Callable[..., Metric]) -> None:
    metric, rng = build("label", ("a", "b"), name="m"), np.random.default_rng(0)
    wrong = [{"a": "b", "b": "a"}[label] for label in TRUTH]
    same = metric.difference(_labels(TRUTH, TRUTH), _labels(TRUTH, TRUTH), 0.95, rng)
    assert (same.value, same.low) == pytest.approx((0, -same.high))
    assert 0 < same.high < 0.25
    assert "added" in same.method
    better = metric.difference(_labels(wrong, TRUTH), _labels(TRUTH, TRUTH), 0.95, rng)
    assert 0.7 < better.low <= better.value


def test_brier_counts_a_lost_answer_as_one() -> None:
    metric = brier_of("sure", "right", name="brier")
    assert _told(metric, _sure(np.tile(SURE, 5), np.tile(RIGHT, 5))).value == pytest.approx(0.204062, abs=1e-6)
    assert _told(metric, _sure(SURE, RIGHT, lost=8)).value == pytest.approx((0.204062 + 1) / 2, abs=1e-6)


def test_a_confidence_in_per_cent_is_refused() -> None:
    with pytest.raises(DataError, match='"95"'):
        ece(100 * SURE, RIGHT)
    assert ece(np.array([1 + 1e-9]), np.array([1])) == 0  # rounding is not


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_mcc_and_macro_f1_are_scikit_learns(classes: tuple[str, ...]) -> None:
    from sklearn.metrics import f1_score, matthews_corrcoef

    rng = np.random.default_rng(len(classes))
    truth = rng.choice(classes, 80).tolist()
    said = [t if rng.random() < 0.6 else str(rng.choice(classes)) for t in truth]
    table = confusion(said, truth, classes).sum(axis=0)
    assert float(mcc(table)) == pytest.approx(matthews_corrcoef(truth, said))
    assert float(macro_f1(table)) == pytest.approx(f1_score(truth, said, average="macro"))
    found = _told(mcc_of("label", classes, name="mcc"), _labels(said, truth))
    assert found.value == pytest.approx(float(mcc(table)))
    assert found.low < found.value < found.high


def test_ten_is_not_one() -> None:
    assert _told(recall_of("label", "1", name="r"), _labels(["10"] * 20, ["1"] * 20)).value == 0


def test_a_model_that_says_one_label_for_everything_is_known_to_be_no_better_than_a_coin() -> None:
    truth = ["positive", "negative"] * 40
    metric = mcc_of("label", ("positive", "negative"), name="mcc")
    found = _told(metric, _labels(["positive"] * 80, truth))
    assert found.value == 0
    assert -0.3 < found.low < 0 < found.high < 0.3
    right, wrong = _told(metric, _labels(truth, truth)), _told(metric, _labels(truth, truth[1:] + truth[:1]))
    assert (right.value, right.high, wrong.value, wrong.low) == (1, 1, -1, -1)
    assert right.low == pytest.approx(1 - 2 * (1 - 0.05 ** (1 / 40)), abs=5e-3)
    assert wrong.high < -0.8


def test_silence_where_it_would_be_wrong_does_not_pay() -> None:
    truth = ["a", "b", "c"] * 20
    said = ["a"] * 40 + truth[40:]
    silent = [s if s == t else "" for s, t in zip(said, truth, strict=True)]
    for build in (mcc_of, macro_f1_of):
        metric = build("label", ("a", "b", "c"), name="m")
        assert _told(metric, _labels(silent, truth)).value <= _told(metric, _labels(said, truth)).value + 1e-9


def test_recall_is_of_one_class_and_a_lost_answer_is_a_miss() -> None:
    rows = _labels(["a", "b"] * 10 + ["a"] * 20, ["a"] * 20 + ["b"] * 20)
    lost = Observations((*rows, *(Observation(Case(f"l{i}", reference="a"), {}, "unparsed") for i in range(20))))
    found = _told(recall_of("label", "a", name="recall_a"), lost)
    assert (found.value, found.n) == (0.25, 40)


def test_selective_risk_is_that_of_the_surest() -> None:
    assert selective_risk(SURE, RIGHT, 0.25) == 0
    assert selective_risk(SURE, RIGHT, 0.5) == 0.25
    assert selective_risk(np.ones(8), RIGHT, 0.1) == 0.5  # all alike: all are covered
    assert coverage_at_risk(SURE, RIGHT, 0.25) == 0.5
    assert coverage_at_risk(SURE, 1 - RIGHT, 0.5) == 1
    assert aurc(SURE, RIGHT) == pytest.approx(np.mean([0, 0, 1 / 3, 1 / 4, 2 / 5, 1 / 3, 3 / 7, 1 / 2]))
    assert math.isnan(aurc(np.zeros(0), np.zeros(0)))
    sure, right = np.tile(SURE, 20), np.tile(RIGHT, 20)
    metric = selective_risk_of("sure", "right", 0.5, name="risk")
    found = _told(metric, _sure(sure, right))
    assert found.low < found.value == 0.25 < found.high
    # Forty lost answers take the places of the least sure covered ones: 40 wrong, then 60 of the surest.
    assert _told(metric, _sure(sure, right, lost=40)).value == pytest.approx((40 + 20) / 100)


def test_the_bound_on_selective_risk_holds_as_often_as_it_says() -> None:
    rng, kept, true = np.random.default_rng(3), 0, 1 - 0.5 * (0.8 + 1.0)
    metric = selective_risk_of("sure", "right", 0.5, name="risk")  # right with the chance it says, 0.6 to 1
    for _ in range(300):
        sure = rng.uniform(0.6, 1.0, 120)
        kept += _told(metric, _sure(sure, rng.random(120) < sure)).high >= true
    assert kept / 300 >= 0.93
