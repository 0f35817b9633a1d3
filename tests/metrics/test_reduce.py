import numpy as np
import pytest

from shoplm_audit.metrics.reduce import f1_of, mean_of, rate_of
from shoplm_audit.scoring.overlap import signature_of
from shoplm_audit.types import Case, Estimate, Gate, Metric, Observation, Observations, Verdict
from shoplm_audit.uncertainty import bounded_mean


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


BOUNDED = mean_of("recall", better="higher", worst=0.0, best=1.0)
PERFECT = f1_of("f1", hits="hits", false="false", missed="missed")


def _told(metric: Metric, rows: Observations) -> Estimate:
    return metric.estimate(rows, 0.95, np.random.default_rng(0))


@pytest.mark.parametrize(("value", "verdict"), [(0.25, Verdict.FAIL), (0.45, Verdict.UNDECIDED), (0.6, Verdict.PASS)])
def test_equal_values_in_between_are_judged_by_what_unseen_cases_could_do(value: float, verdict: Verdict) -> None:
    # 36 clusters: a chance of 8 % and more to be otherwise would have been seen.
    found, unseen = _told(BOUNDED, _all(value, 36)), 1 - 0.05 ** (1 / 36)
    assert (found.low, found.high) == pytest.approx((value * (1 - unseen), value + unseen * (1 - value)))
    assert Gate("mean_recall", at_least=0.45 if value == 0.45 else 0.5).judge(found) is verdict
    assert np.isnan(_told(mean_of("recall", better="higher", worst=0.0), _all(value, 36)).low)  # it has no ends


def test_equal_rows_of_few_clusters_are_as_few_as_their_clusters() -> None:
    rows = [Observation(Case(f"c{i}", cluster=f"k{i % 5}"), {"recall": 0.5}) for i in range(500)]
    assert _told(BOUNDED, Observations(tuple(rows))).low == pytest.approx(0.5 * 0.05**0.2)


def test_bounds_without_resamples_hold_as_often_as_they_say() -> None:
    """Too few clusters for a bootstrap, and columns that nearly always are alike."""
    for true, count, other in ((0.5, 8, 0.5), (0.25, 40, 0.03), (0.1, 9, 0.2)):
        drawn, kept = np.random.default_rng(4), np.zeros(2)
        mean = (1 - other) * true + other
        for _ in range(200):
            values = np.where(drawn.random(count) < other, 1.0, true)
            low, high, _ = bounded_mean(np.column_stack([values, np.ones(count)]), np.arange(count), 0.0, 1.0)
            kept += (low <= mean, high >= mean)
        assert (kept / 200 >= 0.95).all()


def test_f1_of_a_perfect_run_has_a_bound() -> None:
    rows = tuple(Observation(Case(f"c{i}"), {"hits": 3, "false": 0, "missed": 0}) for i in range(60))
    assert (_told(PERFECT, Observations(rows)).value, _told(PERFECT, Observations(rows)).high) == (1, 1)
    assert _told(PERFECT, Observations(rows)).low == pytest.approx(0.05 ** (1 / 60))


@pytest.mark.parametrize(
    ("old", "new", "low", "high"), [(0.0, 1.0, 0.8, 1), (0.7, 0.7, -0.08, 0.08), (1, 1, -0.08, 0.08)]
)
def test_a_change_that_is_the_same_in_every_case_has_bounds(old: float, new: float, low: float, high: float) -> None:
    change = BOUNDED.difference(_all(old, 60), _all(new, 60), 0.95, np.random.default_rng(0))
    assert change.value == pytest.approx(new - old)
    assert low < change.low <= change.value <= change.high <= high
    assert change.high - change.low > 0.04
    assert change.method.startswith("paired exact")


def test_signatures_carry_what_the_column_depends_on() -> None:
    told = mean_of("chrf", better="higher", worst=0.0, best=100.0, signature=signature_of("chrf")).signature
    assert told.startswith("mean|chrf|missing:0.0|chrf2|")
    assert rate_of("parsed", better="higher", signature="first word").signature == "rate|parsed|missing:0|first word"
    assert rate_of("parsed", better="higher").signature == "rate|parsed|missing:0"
