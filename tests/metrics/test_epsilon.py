from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm

from shoplm_audit.judging import Policy, judge
from shoplm_audit.metrics.detection import folds_of
from shoplm_audit.metrics.epsilon import (
    epsilon_from_rates,
    epsilon_gaussian_of,
    epsilon_of,
    epsilon_of_attacks,
    gaussian_epsilon,
    gaussian_epsilon_from_rates,
    one_run_epsilon,
    one_run_epsilon_gaussian,
)
from shoplm_audit.results import GateResult
from shoplm_audit.types import Case, Estimate, Gate, Metric, Observation, Observations


def _units(scores: np.ndarray, inside: np.ndarray, values: dict[str, np.ndarray] | None = None, **facts: object):
    shared = {"coin": "fair", "epsilon": 2.0, "delta": 0.0} | facts
    columns = {"score": scores} | (values or {})
    return Observations(
        tuple(
            Observation(
                Case(f"u{i}", facts=shared | {"member": bool(member)}, cluster=f"u{i}"),
                {name: None if column is None else float(column[i]) for name, column in columns.items()},
            )
            for i, member in enumerate(inside)
        )
    )


def _told(metric: Metric, rows: Observations) -> Estimate:
    return metric.estimate(rows, 0.95, np.random.default_rng(0))


def _binomial_limit(share: float, runs: int) -> float:
    return share + 2.6 * math.sqrt(share * (1 - share) / runs)


# Reference values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "pure", "approximate", "gaussian"),
    [
        (1000, 1000, 600, 0.2975, 0.2972, 0.5835),
        (1000, 1000, 750, 0.9767, 0.9764, 1.8189),
        (1000, 1000, 1000, 5.8091, 5.7823, 12.33),
        (1000, 100, 100, 3.4930, 3.4654, 5.5490),
        (1000, 100, 95, 2.1724, 2.1652, 3.3233),
        (1000, 100, 80, 0.9584, 0.9553, 1.4022),
        (100, 20, 20, 1.8227, 1.8196, 3.2394),
        (10000, 10000, 5300, 0.0870, 0.0868, 0.1541),
        (1000, 1000, 500, 0.0, 0.0, 0.0),
        (1000, 1000, 400, 0.0, 0.0, 0.0),
        (1000, 100, 40, 0.0, 0.0, 0.0),
        (1000, 0, 0, 0.0, 0.0, 0.0),
    ],
)
def test_one_run_reference_values(
    canaries: int, guesses: int, correct: int, pure: float, approximate: float, gaussian: float
) -> None:
    assert one_run_epsilon(canaries, guesses, correct) == pytest.approx(pure, abs=5.1e-5)
    assert one_run_epsilon(canaries, guesses, correct, 1e-5) == pytest.approx(approximate, abs=5.1e-5)
    digits = 5.1e-3 if gaussian == 12.33 else 5.1e-5
    assert one_run_epsilon_gaussian(canaries, guesses, correct, 1e-5) == pytest.approx(gaussian, abs=digits)


@pytest.mark.parametrize(
    ("guesses", "bound"),
    [(10, 1.0519), (20, 1.8227), (50, 2.7847), (100, 3.4930), (500, 5.1144), (1000, 5.8091), (5000, 7.4197)],
)
def test_perfect_guesses_reach_the_closed_form(guesses: int, bound: float) -> None:
    found = one_run_epsilon(guesses, guesses, guesses)
    chance = 0.05 ** (1 / guesses)
    assert found == pytest.approx(math.log(chance / (1 - chance)), rel=1e-9)
    assert found == pytest.approx(bound, abs=5.1e-5)


@pytest.mark.parametrize(("correct", "delta"), [(60, 1e-5), (75, 1e-3), (90, 0.0), (100, 1e-4)])
def test_the_one_run_bound_lies_where_its_p_value_is_the_significance(correct: int, delta: float) -> None:
    # The formula as it is written, law by law (arXiv 2305.08846, theorem 5.2).
    def p_value(epsilon: float) -> float:
        law = binom(100, math.exp(epsilon) / (1 + math.exp(epsilon)))
        beta = law.sf(correct - 1)
        parts = [sum(law.pmf(k) for k in range(correct - i, correct)) / i for i in range(1, correct + 1)]
        return float(beta + 2 * 300 * delta * max(parts))

    found = one_run_epsilon(300, 100, correct, delta)
    if found == 0:
        assert p_value(0.0) > 0.05
    else:
        assert p_value(found) == pytest.approx(0.05, rel=1e-6)


def test_a_larger_delta_or_confidence_shows_less() -> None:
    bounds = [one_run_epsilon(1000, 200, 180, delta) for delta in (0.0, 1e-6, 1e-4, 1e-3)]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 4
    assert one_run_epsilon(1000, 200, 180, confidence=0.99) < bounds[0]
    gaussian = [one_run_epsilon_gaussian(1000, 200, 180, 1e-5, c) for c in (0.9, 0.95, 0.99)]
    assert gaussian == sorted(gaussian, reverse=True)


@pytest.mark.parametrize(
    ("row", "bound", "mu", "gaussian"),
    [
        ((1000, 1000, 0, 1000), 5.6006, 5.3598, 36.49),
        ((500, 500, 0, 500), 4.9056, 4.8793, 32.00),
        ((100, 100, 0, 100), 3.2813, 3.5928, 21.12),
        ((900, 1000, 100, 1000), 1.9897, 2.3471, 12.198),
        ((500, 1000, 500, 1000), 0.0, -0.1578, 0.0),
    ],
)
def test_clopper_pearson_reference_values(row: tuple[int, int, int, int], bound: float, mu: float, gaussian: float):
    assert epsilon_from_rates(*row, delta=1e-5) == pytest.approx(bound, abs=5.1e-5)
    found, epsilon = gaussian_epsilon_from_rates(*row, delta=1e-5)
    assert found == pytest.approx(mu, abs=5.1e-5)
    assert epsilon == pytest.approx(gaussian, abs=5.1e-3)


def test_the_published_check_of_clopper_pearson() -> None:
    assert epsilon_from_rates(500, 500, 0, 500, alpha=0.01) == pytest.approx(4.54, abs=5e-3)


@pytest.mark.parametrize("row", [(487, 487, 512, 513), (0, 100, 100, 100), (3, 10, 9, 10), (1, 1, 0, 1)])
def test_a_bound_from_rates_is_never_below_zero_nor_nan(row: tuple[int, int, int, int]) -> None:
    assert 0 <= epsilon_from_rates(*row, delta=1e-5) < math.inf


def test_rates_show_a_leak_in_either_direction() -> None:
    # A non-member that is recognised for sure says as much as a member that is.
    forward, backward = epsilon_from_rates(300, 1000, 0, 1000), epsilon_from_rates(1000, 1000, 700, 1000)
    assert forward == pytest.approx(backward)
    assert forward > 3


@pytest.mark.parametrize(("mu", "delta"), [(0.3, 1e-5), (1.0, 1e-5), (2.0, 1e-6), (5.0, 1e-9), (1.0, 0.1)])
def test_the_epsilon_of_a_gaussian_gives_its_delta_back(mu: float, delta: float) -> None:
    epsilon = gaussian_epsilon(mu, delta)
    back = norm.cdf(-epsilon / mu + mu / 2) - math.exp(epsilon) * norm.cdf(-epsilon / mu - mu / 2)
    assert back == pytest.approx(delta, rel=1e-4)


def test_a_gaussian_that_keeps_delta_needs_no_epsilon() -> None:
    assert gaussian_epsilon(0.01, 0.1) == 0.0
    assert gaussian_epsilon(-1.0, 1e-5) == 0.0


def _hull(alarms: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """The corners of the concave hull of a ROC, all that jax_privacy counts as thresholds."""
    corners: list[tuple[int, int]] = []
    for x, y in zip(alarms.tolist(), hits.tolist(), strict=True):
        while len(corners) > 1:
            (a, b), (c, d) = corners[-2:]
            if (c - a) * (y - b) - (d - b) * (x - a) < 0:
                break
            corners.pop()
        corners.append((x, y))
    return np.array(corners)


@pytest.mark.parametrize(
    ("mu", "alarms", "expected", "gaussian_alarms", "gaussian"),
    [(1, 569, 1.13346, 27, 2.164749), (2, 167, 2.311945, 4, 4.7218075), (4, 10, 4.395568, 0, 9.133752)],
)
def test_jax_privacys_values_on_normal_quantiles(
    mu: int, alarms: int, expected: float, gaussian_alarms: int, gaussian: float
) -> None:
    # 10,000 quantiles of N(mu, 1) and of N(0, 1); members guessed only, the level divided by the number of thresholds.
    outside = norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    inside = outside + mu
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    counts = [[0, *(10_000 - np.searchsorted(side, thresholds, "left"))] for side in (outside, inside)]
    corners = _hull(*map(np.array, counts))
    for bound, at, value in (
        (one_run_epsilon, alarms, expected),
        (one_run_epsilon_gaussian, gaussian_alarms, gaussian),
    ):
        best = int(np.flatnonzero(corners[:, 0] == at)[-1])
        found = [
            bound(20_000, int(corners[i].sum()), int(corners[i, 1]), 1e-6, 1 - 0.05 / len(corners))
            for i in (best - 1, best, best + 1)
        ]
        assert max(found) == found[1] == pytest.approx(value, abs=2e-6)


# The metrics ----------------------------------------------------------------------------------------


def test_equal_scores_are_no_attack_however_the_rows_are_ordered() -> None:
    inside = np.arange(100) < 50  # members first: an attack that breaks ties by position would be perfect
    assert _told(epsilon_of("score", "member"), _units(np.zeros(100), inside)).value == 0.0
    assert _told(epsilon_of_attacks(["score"], "member"), _units(np.zeros(100), inside)).value == 0.0


def test_epsilon_needs_a_fair_coin_and_says_what_it_could_have_shown() -> None:
    inside = np.random.default_rng(0).random(200) < 0.5
    metric = epsilon_of("score", "member")
    unfair = _told(metric, _units(inside + 0.0, inside, coin="split"))
    assert math.isnan(unfair.value)
    assert unfair.note.startswith("invalid")
    assert unfair.claim == 2.0
    found = _told(metric, _units(inside + 0.0, inside))
    assert found.low == found.ceiling == pytest.approx(one_run_epsilon(200, 100, 100))
    assert found.high == math.inf
    assert found.claim == 2.0


def _refuted(metric: Metric, rows: Observations) -> GateResult:
    gate = Gate(metric.name, burden="refutation")
    return judge("privacy", gate, _told(metric, rows), Policy(), "membership", "")


BOTH = pytest.mark.parametrize("metric", [epsilon_of("score", "member"), epsilon_of_attacks(["score"], "member")])


@BOTH
@pytest.mark.parametrize("fault", ["nan", "errored", "few", "one side"])
def test_a_claim_that_could_not_be_tested_is_undecided_and_not_absent(metric: Metric, fault: str) -> None:
    inside = np.random.default_rng(0).random(200) < 0.5
    rows = list(_units(inside + 0.0, inside))
    if fault == "nan":
        rows[3] = replace(rows[3], values={"score": math.nan})
    elif fault == "errored":
        rows[3] = replace(rows[3], values={}, status="errored")
    else:
        rows = rows[:7] if fault == "few" else [row for row in rows if row.case.facts["member"]]
    found = _refuted(metric, Observations(tuple(rows)))
    assert found.verdict == "undecided"
    assert found.at_most == 2.0
    assert ("could not be tested: undefined" in found.why) or (fault == "few" and "could not have" in found.why)


@BOTH
@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_a_void_guarantee_is_undecided_and_says_why(metric: Metric, leak: float) -> None:
    inside = np.random.default_rng(0).random(400) < 0.5
    scores = leak * inside + 1e-3 * np.random.default_rng(1).normal(size=400)
    assert _refuted(metric, _units(scores, inside, void="")).verdict == ("fail" if leak else "pass")
    found = _refuted(metric, _units(scores, inside, void="its noise was seeded"))
    assert found.verdict == "undecided"
    assert "the guarantee is void: its noise was seeded" in found.why


def test_an_attack_that_lacks_a_score_is_left_out_and_named() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(400) < 0.5
    strong, reference = inside + 0.1 * rng.normal(size=400), rng.normal(size=400)
    reference[17] = math.nan
    rows = _units(strong, inside, {"reference": reference})
    found, alone = (_told(epsilon_of_attacks(names, "member"), rows) for names in (["score", "reference"], ["score"]))
    assert found.value == alone.value > 2
    assert "left out, as a unit has no score: reference on units" in found.method
    assert math.isnan(_told(epsilon_of_attacks(["reference", "score"], "member"), rows).value)


def test_members_that_were_made_to_score_below_the_others_are_found() -> None:
    inside = np.random.default_rng(0).random(400) < 0.5
    noise = 0.1 * np.random.default_rng(1).normal(size=400)
    above, below = (
        _told(epsilon_of_attacks(["score"], "member"), _units(side * inside + noise, inside)) for side in (1, -1)
    )
    assert below.value == above.value > 2


def test_the_side_of_members_is_not_chosen_where_it_is_counted() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(400) < 0.5
    rank = np.argsort(np.argsort([f"u{i}" for i in range(400)]))  # units are numbered in the order of their names
    choosing = (folds_of(np.arange(400), 2, seed=2) == 0)[rank]
    for shift, shown in ((-6.0, False), (6.0, True)):
        scores = np.where(choosing, 1.5, shift) * inside + rng.normal(size=400)
        assert (_told(epsilon_of_attacks(["score"], "member"), _units(scores, inside)).value > 0) == shown


def test_canaries_that_were_never_answered_do_not_drop_out_of_sight() -> None:
    rows = [
        replace(row, values={}, status="errored") if row.case.facts["kind"] == "canary" else row for row in _kinds()
    ]
    assert _refuted(epsilon_of_attacks(["score"], "member"), Observations(tuple(rows))).verdict == "undecided"
    assert _refuted(epsilon_of_attacks(["score"], "member"), _kinds()).verdict == "fail"


def test_several_records_of_a_unit_are_one_guess() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(60) < 0.5
    rows = _units(inside + rng.normal(size=60), inside)
    twice = Observations(tuple(replace(r, case=replace(r.case, id=f"{r.case.id}{k}")) for k in "ab" for r in rows))
    once, both = (_told(epsilon_of("score", "member"), o) for o in (rows, twice))
    assert (once.value, once.ceiling, once.n) == (both.value, both.ceiling, both.n)


def _kinds(seed: int = 0) -> Observations:
    """Units that the model does not give away, and canaries that it does, on a scale far below."""
    rng = np.random.default_rng(seed)
    inside = rng.random(400) < 0.5
    scores = rng.normal(size=400) + np.where(np.arange(400) < 200, 0.0, 5.0 * inside - 100)
    return Observations(
        tuple(
            replace(row, case=replace(row.case, facts=dict(row.case.facts) | {"kind": "unit" if i < 200 else "canary"}))
            for i, row in enumerate(_units(scores, inside))
        )
    )


def test_guesses_are_made_within_each_kind() -> None:
    # Together the top quarter would be units, the lowest canaries: the guesses would be of the kind, not of the coin.
    found = _told(epsilon_of("score", "member"), _kinds())
    assert "of 200 guesses" in found.method
    assert found.n == 400
    assert found.value > 0.5
    attacks = _told(epsilon_of_attacks(["score"], "member"), _kinds())
    assert attacks.method.startswith("score on canaries")
    assert attacks.value > 2


def test_secrets_written_for_several_units_are_not_counted() -> None:
    rows = _kinds()
    grouped = Observations(
        tuple(
            replace(row, case=replace(row.case, facts=dict(row.case.facts) | {"alone": i < 200}))
            for i, row in enumerate(rows)
        )
    )
    found = _told(epsilon_of("score", "member"), grouped)
    assert found.n == 200
    assert found.value == _told(epsilon_of("score", "member"), rows.take(range(200))).value
    attacks = _told(epsilon_of_attacks(["score"], "member"), grouped)
    assert attacks.n == 200
    assert attacks.value == 0.0


def test_the_gaussian_bound_is_tighter_and_names_its_assumption() -> None:
    inside = np.random.default_rng(0).random(400) < 0.5
    rows = _units(inside + 0.2 * np.random.default_rng(1).normal(size=400), inside, delta=1e-5)
    plain, gaussian = (_told(metric("score", "member"), rows) for metric in (epsilon_of, epsilon_gaussian_of))
    assert gaussian.value > plain.value > 1
    assert gaussian.ceiling is not None
    assert gaussian.value <= gaussian.ceiling
    assert "assuming a Gaussian trade-off" in gaussian.method
    assert math.isnan(_told(epsilon_gaussian_of("score", "member"), _units(inside + 0.0, inside)).value)


@pytest.mark.parametrize(("coin", "defined"), [("fair", True), ("split", True), ("given", False)])
def test_attacks_need_units_that_chance_divided(coin: str, defined: bool) -> None:
    inside = np.random.default_rng(0).random(200) < 0.5
    found = _told(
        epsilon_of_attacks(["score"], "member"), _units(inside + 0.0, inside, coin=coin, alone=coin == "fair")
    )
    assert math.isnan(found.value) != defined
    assert found.note.startswith("invalid") != defined


def test_the_largest_attack_is_named_and_one_without_scores_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(400) < 0.5
    noise, strong = rng.normal(size=400), inside + 0.1 * rng.normal(size=400)
    alone = _told(epsilon_of_attacks(["strong"], "member"), _units(noise, inside, {"strong": strong}))
    both = _told(epsilon_of_attacks(["score", "strong"], "member"), _units(noise, inside, {"strong": strong}))
    missing = _told(epsilon_of_attacks(["reference", "strong"], "member"), _units(noise, inside, {"strong": strong}))
    assert both.method.startswith("strong on units")
    assert missing.value == alone.value
    assert both.value < alone.value  # its level is half as large
    assert both.ceiling is not None
    assert both.value == both.ceiling
    hits, misses = (int(x) for x in alone.method.split("TPR ")[1].split(",")[0].split("/"))
    assert hits == misses < inside.sum()  # counted on one half only


def test_the_threshold_is_not_chosen_where_it_is_counted() -> None:
    # 12 attacks of noise: the best threshold of each on its own units would show something every time.
    rng, wrong = np.random.default_rng(5), 0
    names = [f"s{i}" for i in range(12)]
    for _ in range(60):
        inside = rng.random(160) < 0.5
        rows = _units(np.zeros(160), inside, {name: rng.normal(size=160) for name in names}, epsilon=0.0)
        wrong += _told(epsilon_of_attacks(names, "member"), rows).low > 0
    assert wrong / 60 <= _binomial_limit(0.05, 60)


# Honest and leaking mechanisms ----------------------------------------------------------------------


def _responses(rng: np.random.Generator, count: int, leak: float, claim: float) -> Observations:
    """Randomised response: the strongest attack there is on an epsilon-DP mechanism is right e^eps / (1 + e^eps)."""
    inside = rng.random(count) < 0.5
    kept = rng.random(count) < math.exp(leak) / (1 + math.exp(leak))
    return _units(np.where(kept, inside, ~inside) + 1e-6 * rng.random(count), inside, epsilon=claim)


@pytest.mark.parametrize(
    ("metric", "runs"), [(epsilon_of("score", "member"), 300), (epsilon_of_attacks(["score"], "member"), 200)]
)
def test_a_private_model_is_seldom_refuted_at_its_claim(metric: Metric, runs: int) -> None:
    rng, claim = np.random.default_rng(2), 1.0
    rows = (_responses(rng, 200, claim, claim) for _ in range(runs))
    wrong = sum(_told(metric, one).low > claim for one in rows)
    assert wrong / runs <= _binomial_limit(0.05, runs)


def test_a_gaussian_mechanism_is_seldom_refuted_under_its_own_assumption() -> None:
    rng, mu, wrong = np.random.default_rng(3), 1.0, 0
    claim = gaussian_epsilon(mu, 1e-5)
    for _ in range(100):
        inside = rng.random(300) < 0.5
        rows = _units(mu * inside + rng.normal(size=300), inside, epsilon=claim, delta=1e-5)
        wrong += _told(epsilon_gaussian_of("score", "member"), rows).low > claim
    assert wrong / 100 <= _binomial_limit(0.05, 100)


@pytest.mark.parametrize("metric", [epsilon_of("score", "member"), epsilon_of_attacks(["score"], "member")])
def test_a_model_that_leaks_more_than_it_claims_is_refuted(metric: Metric) -> None:
    rng = np.random.default_rng(4)
    found = [_told(metric, _responses(rng, 600, 4.0, 2.0)) for _ in range(20)]
    assert sum(one.low > 2.0 for one in found) >= 16
