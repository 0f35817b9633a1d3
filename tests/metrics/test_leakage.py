from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from shoplm_audit.metrics.leakage import (
    epsilon_of,
    exposure,
    exposure_gap_of,
    membership_auroc_of,
    one_run_epsilon,
)
from shoplm_audit.types import Case, Observation, Observations


def _units(scores: np.ndarray, inside: np.ndarray, texts: list[str] | None = None, **facts: object) -> Observations:
    shared = {"coin": "fair", "epsilon": 2.0, "delta": 0.0} | facts
    return Observations(
        tuple(
            Observation(
                Case(f"u{i}", facts=shared | {"member": bool(member)}, cluster=f"u{i}"),
                {"score": float(score), "text": texts[i] if texts else ""},
            )
            for i, (score, member) in enumerate(zip(scores, inside, strict=True))
        )
    )


# Exposure -------------------------------------------------------------------------------------------


def test_exposure_reference_vector() -> None:
    # 16 references 1..16 of TF Privacy's tests; the rank counts references that are at most as perplexing.
    def of(secret: float) -> float:
        return exposure(1 + sum(reference <= secret for reference in range(1, 17)), 16)

    assert [of(0), of(0.1), of(3.5)] == [4.0, 4.0, 2.0]
    assert of(20) == pytest.approx(math.log2(16) - math.log2(17))


@pytest.mark.parametrize(("candidates", "mean"), [(16, 1.1566), (100, 1.3822), (1000, 1.4349)])
def test_exposure_of_what_was_never_inserted_follows_its_null_law(candidates: int, mean: float) -> None:
    # A secret and as many others as candidates, all alike: the rank is uniform.
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3000, candidates + 1))
    found = np.array([exposure(1 + int((row[1:] >= row[0]).sum()), candidates) for row in scores])
    exact = np.mean([exposure(rank, candidates) for rank in range(1, candidates + 2)])
    assert exact == pytest.approx(mean, abs=5e-5)
    assert found.mean() == pytest.approx(mean, abs=0.07)
    for bits in (1, 2, 3):
        # The rank is discrete: the chance is floor(candidates / 2^bits) of candidates + 1.
        chance = math.floor(candidates / 2**bits) / (candidates + 1)
        assert np.mean(found >= bits) == pytest.approx(chance, abs=0.03)
        assert chance <= 2.0**-bits


def test_a_model_that_prefers_some_numbers_has_exposure_and_no_gap() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        inside = rng.random(80) < 0.5
        bits = -np.log2(rng.random(80)) + 2.0  # all canaries look exposed, inserted or not
        rows = _units(bits, inside)
        rows = Observations(tuple(replace(r, values={"exposure": r.values["score"]}) for r in rows))
        found = exposure_gap_of("exposure", "member").estimate(rows, 0.95, rng)
        wrong += found.low > 0
    assert wrong / 300 <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 300)


# Epsilon --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "pure", "approximate"),
    [
        (1000, 1000, 600, 0.2975, 0.2972),
        (1000, 1000, 750, 0.9767, 0.9764),
        (1000, 1000, 1000, 5.8091, 5.7823),
        (1000, 100, 100, 3.4930, 3.4654),
        (1000, 100, 95, 2.1724, 2.1652),
        (1000, 100, 80, 0.9584, 0.9553),
        (100, 20, 20, 1.8227, 1.8196),
        (10000, 10000, 5300, 0.0870, 0.0868),
        (1000, 1000, 500, 0.0, 0.0),
        (1000, 100, 40, 0.0, 0.0),
    ],
)
def test_one_run_reference_values(canaries: int, guesses: int, correct: int, pure: float, approximate: float) -> None:
    assert one_run_epsilon(canaries, guesses, correct) == pytest.approx(pure, abs=6e-5)
    assert one_run_epsilon(canaries, guesses, correct, 1e-5) == pytest.approx(approximate, abs=6e-5)


@pytest.mark.parametrize(("guesses", "bound"), [(10, 1.0519), (50, 2.7847), (500, 5.1144), (5000, 7.4197)])
def test_perfect_guesses_reach_the_closed_form(guesses: int, bound: float) -> None:
    assert one_run_epsilon(guesses, guesses, guesses) == pytest.approx(bound, abs=6e-5)


def test_a_private_model_is_seldom_refuted_at_its_claim() -> None:
    # Randomised response with epsilon 1: the guess of a unit is right with e / (1 + e), the strongest attack there is.
    rng, claim = np.random.default_rng(2), 1.0
    metric, wrong = epsilon_of("score", "member"), 0
    for _ in range(400):
        inside = rng.random(200) < 0.5
        kept = rng.random(200) < math.exp(claim) / (1 + math.exp(claim))
        rows = _units(np.where(kept, inside, ~inside) + 1e-6 * rng.random(200), inside, epsilon=claim)
        found = metric.estimate(rows, 0.95, rng)
        wrong += found.low > claim
    assert wrong / 400 <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 400)


def test_equal_scores_are_no_attack_however_the_rows_are_ordered() -> None:
    inside = np.arange(100) < 50  # members first: an attack that breaks ties by position would be perfect
    found = epsilon_of("score", "member").estimate(_units(np.zeros(100), inside), 0.95, np.random.default_rng(0))
    assert found.value == 0.0


def test_epsilon_needs_a_fair_coin_and_says_what_it_could_have_shown() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(200) < 0.5
    metric = epsilon_of("score", "member")
    unfair = metric.estimate(_units(inside + 0.0, inside, coin="split"), 0.95, rng)
    assert math.isnan(unfair.value)
    assert unfair.note.startswith("invalid")
    found = metric.estimate(_units(inside + 0.0, inside), 0.95, rng)
    assert found.low == found.ceiling == pytest.approx(one_run_epsilon(200, 100, 100))
    assert found.high == math.inf
    assert found.claim == 2.0


def test_several_records_of_a_unit_are_one_guess() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(60) < 0.5
    rows = _units(inside + rng.normal(size=60), inside)
    twice = Observations(tuple(replace(r, case=replace(r.case, id=f"{r.case.id}{k}")) for k in "ab" for r in rows))
    once, both = (epsilon_of("score", "member").estimate(o, 0.95, rng) for o in (rows, twice))
    assert (once.value, once.ceiling, once.n) == (both.value, both.ceiling, both.n)


# Membership -----------------------------------------------------------------------------------------


def _texts(inside: np.ndarray, told_apart: bool) -> list[str]:
    rng = np.random.default_rng(3)
    words = ["red", "blue", "soft", "hard", "tall", "small", "fast", "slow"]
    return [" ".join(rng.choice(words, 8)) + (" in 2024" if member and told_apart else " in 2019") for member in inside]


def test_membership_is_invalid_where_a_blind_baseline_wins() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(120) < 0.5
    scores = inside + rng.normal(size=120)
    metric = membership_auroc_of("score", "member", "text")
    shifted = metric.estimate(_units(scores, inside, _texts(inside, True)), 0.95, rng)
    assert shifted.note.startswith("invalid: a blind baseline")
    fair = metric.estimate(_units(scores, inside, _texts(inside, False)), 0.95, rng)
    assert fair.note.startswith("blind baseline")
    assert fair.value == shifted.value > 0.6
