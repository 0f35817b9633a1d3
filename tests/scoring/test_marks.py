"""Evidence for a mark over several texts, and how many tokens a mark needs, beside the published numbers."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from shoplm_audit.models.watermark import Detection
from shoplm_audit.scoring.mark_forecast import expected_green, expected_z, full_effect, tokens_needed
from shoplm_audit.scoring.marks import added_up, log_e_values

NOTHING = Detection(math.nan, math.nan, 0, reason="undefined")


def _texts(trials: list[int], hits: list[int], chance: float = 0.25) -> list[Detection]:
    return [Detection(0.5, 0.0, n, k, n, chance) for n, k in zip(trials, hits, strict=True)]


def _spike(p: np.ndarray, gamma: float, delta: float) -> float:
    a = math.exp(delta)
    m = (1 - gamma) * (a - 1) / (1 + (a - 1) * gamma)
    return float((p / (1 + m * p)).sum())


def test_four_texts_that_say_little_are_conclusive_together() -> None:
    trials, hits = [30, 40, 25, 55], [12, 18, 9, 24]
    found = added_up(_texts(trials, hits))
    assert found.score == pytest.approx(4.808326, abs=1e-6)
    assert found.p_value == pytest.approx(3.902e-6, rel=1e-3)
    assert found.tokens == 150
    each = [(k - 0.25 * n) / math.sqrt(n * 0.1875) for n, k in zip(trials, hits, strict=True)]
    assert max(each) < 3.2
    stouffer = sum(math.sqrt(n) * z for n, z in zip(trials, each, strict=True)) / math.sqrt(sum(trials))
    assert found.score == pytest.approx(stouffer)
    # Texts in which nothing could be told neither help nor hurt.
    assert added_up([NOTHING, *_texts(trials, hits), NOTHING]) == found
    nothing = added_up([NOTHING])
    assert math.isnan(nothing.p_value)
    assert nothing.log_e == 0.0
    assert math.isnan(added_up([]).score)
    with pytest.raises(ValueError, match="several marks"):
        added_up(_texts([10], [5]) + _texts([10], [5], 0.5))


def test_the_evidence_is_the_likelihood_ratio_averaged_over_shares_above_chance() -> None:
    hits, trials, chance = 31, 75, 0.25
    shares = np.linspace(chance, 1, 200_001)[:-1] + (1 - chance) / 400_000
    ratio = np.exp(binom.logpmf(hits, trials, shares) - binom.logpmf(hits, trials, chance))
    (found,) = log_e_values(_texts([trials], [hits], chance))
    assert found == pytest.approx(math.log(ratio.mean()), abs=1e-6)
    # In two steps it is what it is in one: nothing depends on where the texts are cut.
    assert log_e_values(_texts([30, 45], [20, 11], chance))[-1] == pytest.approx(found)
    assert np.isfinite(log_e_values(_texts([10**6], [10**6]))).all()
    assert log_e_values(_texts([10**6], [0]))[0] < -1e5


def test_whoever_looks_after_each_text_is_not_misled_more_often_than_stated() -> None:
    rng = np.random.default_rng(5)
    accounts, looks, alpha = 1500, 60, 0.05
    hits = rng.binomial(20, 0.25, (accounts, looks))
    crossed, naive = 0, 0
    for row in hits:
        log_e = log_e_values(_texts([20] * looks, row.tolist()))
        crossed += log_e.max() >= math.log(1 / alpha)
        naive += bool((binom.sf(row.cumsum() - 1, 20 * np.arange(1, looks + 1), 0.25) < alpha).any())
    assert crossed / accounts <= alpha + 3 * math.sqrt(alpha / accounts)
    assert naive / accounts > 2 * alpha  # the p-value of one look, taken after each text
    # With the mark it is found soon.
    marked = log_e_values(_texts([20] * looks, rng.binomial(20, 0.45, looks).tolist()))
    assert marked[15] > math.log(1 / 0.01)


def test_the_bound_by_spike_entropy_is_below_the_share_of_green_tokens_and_near_it() -> None:
    assert full_effect() == pytest.approx(0.711235, abs=1e-6)
    uniform = np.full(1000, 1e-3)
    assert _spike(uniform, 0.25, 2.0) == pytest.approx(0.998158, abs=1e-6)
    assert float(expected_green(_spike(uniform, 0.25, 2.0))) == pytest.approx(0.709925, abs=1e-6)
    assert float(expected_green(_spike(np.array([1.0]), 0.25, 2.0))) == pytest.approx(0.25)  # no choice, no mark
    rng = np.random.default_rng(1)
    for gamma, delta, sharpness in ((0.25, 2.0, 1.0), (0.25, 2.0, 4.0), (0.5, 1.0, 2.0), (0.25, 0.5, 1.0)):
        p = np.exp(sharpness * rng.normal(size=200))
        p /= p.sum()
        # What the mark does over many keys; a list of a fixed share is green, as in kgw.
        green = np.argsort(rng.random((4000, 200)), axis=1) < gamma * 200
        raised = p * np.where(green, math.exp(delta), 1.0)
        share = float(((raised * green).sum(1) / raised.sum(1)).mean())
        bound = float(expected_green(_spike(p, gamma, delta), gamma, delta))
        assert bound <= share + 0.004
        assert bound - gamma >= 0.85 * (share - gamma) - 0.004


@pytest.mark.parametrize("level", [0.01, 1e-4])
def test_a_text_of_as_many_tokens_as_are_needed_or_more_is_found_and_one_shorter_is_not(level: float) -> None:
    for share in (1.0, 0.7, 0.5, 0.25):
        green = 0.25 + share * (full_effect() - 0.25)
        needed = int(tokens_needed(green, false_positives=level))
        tokens = np.arange(needed - 1, needed + 200)
        powers = []
        for n in tokens:
            hits = np.arange(n + 2)
            least = hits[np.argmax(binom.sf(hits - 1, n, 0.25) < level)]  # what the finder calls found
            powers.append(float(binom.sf(least - 1, n, green)))
        assert min(powers[1:]) >= 0.95 > powers[0]


def test_tokens_needed_are_a_few_more_than_the_normal_law_says() -> None:
    # Of 95 % power at z > 4 by two normal laws; the exact test needs more where texts are short.
    for share, normal in ((1.0, 29), (0.5, 123), (0.25, 480)):
        green = 0.25 + share * (full_effect() - 0.25)
        assert normal < int(tokens_needed(green, false_positives=float(norm.sf(4)))) <= 1.25 * normal
        assert float(expected_z(green, normal)) > 4
    assert math.isinf(float(tokens_needed(0.25, false_positives=0.01)))
    assert math.isinf(float(tokens_needed(0.2505, false_positives=0.01)))
    needed = tokens_needed(np.array([0.3, 0.5, 0.7]), false_positives=0.01)
    assert (np.diff(needed) < 0).all()
