from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from scipy.stats import norm

from shoplm_audit.scoring.attacks import (
    draws_needed,
    extraction_chance,
    likelihood_ratio,
    lira_scores,
    loss,
    min_k,
    min_k_plus_plus,
    nats_of,
    recalled,
    zlib_ratio,
)
from shoplm_audit.types import TokenScores

NOTHING = TokenScores(np.array([]), np.array([]), np.array([]), np.array([], dtype=np.int64))


def _scores(laws: np.ndarray, tokens: list[int]) -> TokenScores:
    """What a model says of tokens under explicit distributions (T, V)."""
    with np.errstate(divide="ignore"):
        logs = np.log(laws)
    finite = np.where(laws > 0, logs, 0.0)
    mean = (laws * finite).sum(axis=1)
    variance = (laws * finite**2).sum(axis=1) - mean**2
    own = logs[np.arange(len(tokens)), tokens]
    return TokenScores(own, mean, variance, 1 + (logs > own[:, None]).sum(axis=1))


def _laws(count: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    laws = rng.dirichlet(np.full(7, 0.5), size=count)
    return laws, [int(rng.choice(7, p=law)) for law in laws]


# Membership -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 10, 11, 23])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 1.0])
def test_the_lowest_share_is_rounded_up_and_never_empty(count: int, share: float) -> None:
    values = np.random.default_rng(count).normal(size=count)
    lowest = sorted(values.tolist())[: max(1, -(-round(share * 10) * count // 10))]
    assert min_k(values, share) == pytest.approx(sum(lowest) / len(lowest))


@pytest.mark.parametrize("count", [1, 3, 5, 12, 40])
def test_min_k_plus_plus_is_what_its_definition_says_of_explicit_distributions(count: int) -> None:
    laws, tokens = _laws(count, count)
    standard = []
    for law, token in zip(laws.tolist(), tokens, strict=True):
        mean = sum(p * math.log(p) for p in law if p > 0)
        variance = sum(p * (math.log(p) - mean) ** 2 for p in law if p > 0)
        standard.append((math.log(law[token]) - mean) / math.sqrt(variance))
    lowest = sorted(standard)[: math.ceil(count / 5)]
    assert min_k_plus_plus(_scores(laws, tokens)) == pytest.approx(sum(lowest) / len(lowest))


def test_a_token_of_which_the_model_is_certain_is_no_surprise_and_another_in_its_place_is() -> None:
    laws, tokens = _laws(5)
    laws[2] = [0, 0, 0, 1, 0, 0, 0]
    certain = _scores(laws, [*tokens[:2], 3, *tokens[3:]])
    assert math.isfinite(min_k_plus_plus(certain))
    assert min_k_plus_plus(certain, 1.0) == pytest.approx(
        np.mean(np.delete(certain.log_prob - certain.expected_log_prob, 2)
                 / np.sqrt(np.delete(certain.log_prob_variance, 2))) * 4 / 5
    )  # fmt: skip
    rounded = TokenScores(np.array([-1e-7]), np.array([0.0]), np.array([-1e-16]))
    assert abs(min_k_plus_plus(rounded)) < 0.01
    other = TokenScores(np.array([-20.0]), np.array([-1e-8]), np.array([1e-12]))
    assert -math.inf < min_k_plus_plus(other) < -1000


def test_uniform_distributions_have_no_deviation_and_no_nan() -> None:
    uniform = _scores(np.full((6, 4), 0.25), [0, 1, 2, 3, 0, 1])
    assert min_k_plus_plus(uniform) == pytest.approx(0.0, abs=1e-6)


def test_without_the_columns_over_the_vocabulary_there_is_no_min_k_plus_plus() -> None:
    assert math.isnan(min_k_plus_plus(TokenScores(np.array([-1.0, -2.0]))))


@pytest.mark.parametrize("text", ["The kettle boils quickly. " * 5, "鞋子很好看，码数偏小。", "a"])
def test_zlib_counts_the_bytes_of_the_compressed_text(text: str) -> None:
    scores = TokenScores(np.array([-1.0, -2.5]))
    assert zlib_ratio(scores, text) == pytest.approx(-3.5 / len(zlib.compress(text.encode())))
    assert loss(scores) == -1.75


def test_an_empty_text_has_no_score_and_no_crash() -> None:
    found = [loss(NOTHING), zlib_ratio(NOTHING, ""), min_k(NOTHING.log_prob), min_k_plus_plus(NOTHING)]
    assert all(math.isnan(one) for one in found)
    assert recalled(NOTHING.rank, 10, 10) is None
    assert nats_of(NOTHING.log_prob, 10, 10) is None


def test_a_half_surrogate_in_a_text_is_compressed_all_the_same() -> None:
    assert math.isfinite(zlib_ratio(TokenScores(np.array([-1.0])), "bad \ud83d end"))


def test_every_score_rises_with_what_the_model_knows() -> None:
    laws, _ = _laws(30)
    best, worst = laws.argmax(axis=1).tolist(), laws.argmin(axis=1).tolist()
    known, unknown = _scores(laws, best), _scores(laws, worst)
    for score in (loss, lambda s: min_k(s.log_prob), min_k_plus_plus, lambda s: zlib_ratio(s, "text")):
        assert score(known) > score(unknown)


# LiRA -----------------------------------------------------------------------------------------------


def _shadows(records: int, each: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 2, records)
    insides = [rng.normal(h + 0.5, 0.3, each) for h in hard]
    outsides = [rng.normal(h, 0.5, each + 1) for h in hard]
    return rng.normal(hard + 0.2, 0.4), insides, outsides


def test_few_shadows_share_one_variance_a_side() -> None:
    values, insides, outsides = _shadows(40, 4)
    found, form = lira_scores(values, insides, outsides)

    def pooled(rows: list[np.ndarray]) -> float:
        squares = sum((x - np.mean(row)) ** 2 for row in rows for x in row)
        return math.sqrt(squares / sum(len(row) - 1 for row in rows))

    expected = [
        norm.logpdf(v, np.mean(a), pooled(insides)) - norm.logpdf(v, np.mean(b), pooled(outsides))
        for v, a, b in zip(values, insides, outsides, strict=True)
    ]
    assert form == "online"
    assert found == pytest.approx(expected)


def test_many_shadows_have_variances_of_their_own() -> None:
    values, insides, outsides = _shadows(10, 40)
    found, _ = lira_scores(values, insides, outsides)
    expected = [
        norm.logpdf(v, np.mean(a), np.std(a, ddof=1)) - norm.logpdf(v, np.mean(b), np.std(b, ddof=1))
        for v, a, b in zip(values, insides, outsides, strict=True)
    ]
    assert found == pytest.approx(expected)


def test_one_record_without_an_inside_shadow_puts_all_on_the_offline_scale() -> None:
    values, insides, outsides = _shadows(40, 4)
    insides[7] = np.array([])
    found, form = lira_scores(values, insides, outsides)
    spread = math.sqrt(sum(((row - row.mean()) ** 2).sum() for row in outsides) / sum(row.size - 1 for row in outsides))
    assert form == "offline"
    assert found == pytest.approx([(v - b.mean()) / spread for v, b in zip(values, outsides, strict=True)])


def test_a_record_without_an_outside_shadow_is_compared_with_what_records_lose_on_average() -> None:
    values, insides, outsides = _shadows(60, 4)
    whole, _ = lira_scores(values, insides, outsides)
    fall = np.mean([a.mean() - b.mean() for i, (a, b) in enumerate(zip(insides, outsides, strict=True)) if i != 3])
    outsides[3] = np.array([])
    found, form = lira_scores(values, insides, outsides)
    assert form == "online"
    assert np.isfinite(found).all()
    assert np.delete(found, 3) == pytest.approx(np.delete(whole, 3), rel=0.05, abs=0.1)
    outsides[3] = np.full(5, insides[3].mean() - fall)  # no square of its own, so only its mean counts
    again, _ = lira_scores(values, insides, outsides)
    assert found[3] == pytest.approx(again[3], rel=0.1)


def test_shadows_that_agree_to_the_last_digit_give_no_infinite_certainty() -> None:
    found, _ = lira_scores(np.array([0.5, 0.0]), [[1.0] * 4] * 2, [[0.0] * 4] * 2)
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(0.0)
    assert found[1] < 0
    assert lira_scores(np.array([0.9]), [[1.0] * 4], [[0.0] * 4])[0][0] > 0


def test_shadows_that_tell_nothing_are_undefined() -> None:
    assert np.isnan(lira_scores(np.array([0.5]), [[]], [[]])[0]).all()
    assert np.isnan(lira_scores(np.array([0.5]), [[1.0]], [[0.0]])[0]).all()  # no variance to be had
    assert lira_scores(np.array([]), [], [])[0].size == 0


def test_a_single_record_is_scored_by_its_own_shadows() -> None:
    inside, outside = [1.0, 1.2, 0.9], [0.1, -0.2, 0.3]
    expected = norm.logpdf(0.8, np.mean(inside), np.std(inside, ddof=1)) - norm.logpdf(
        0.8, np.mean(outside), np.std(outside, ddof=1)
    )
    assert likelihood_ratio(0.8, inside, outside) == pytest.approx(expected)
    assert likelihood_ratio(0.8, [1.0], outside) == pytest.approx(
        norm.logpdf(0.8, 1.0, np.std(outside, ddof=1))
        - norm.logpdf(0.8, np.mean(outside), np.std(outside, ddof=1))
    )  # fmt: skip
    assert likelihood_ratio(0.8, [], outside) == pytest.approx((0.8 - np.mean(outside)) / np.std(outside, ddof=1))


def test_the_offline_form_tells_sure_members_apart_still() -> None:
    found, form = lira_scores(np.array([20.0, 40.0, 80.0]), [[]] * 3, [[0.0, 1.0]] * 3)
    assert form == "offline"
    assert (np.diff(found) > 1).all()  # log Phi is 0 for all three


def test_the_likelihood_ratio_beats_the_loss_where_records_differ_in_difficulty() -> None:
    rng = np.random.default_rng(0)
    hard, member = rng.normal(0, 3, 400), rng.random(400) < 0.5
    insides = [rng.normal(h + 1, 0.5, 4) for h in hard]
    outsides = [rng.normal(h, 0.5, 4) for h in hard]
    values = rng.normal(hard + member, 0.5)

    def area(scores: np.ndarray) -> float:
        return float((scores[member][:, None] > scores[~member][None]).mean())

    online, offline = lira_scores(values, insides, outsides)[0], lira_scores(values, [[]] * 400, outsides)[0]
    assert area(values) < 0.65
    assert area(offline) > 0.85
    assert area(online) > 0.85


# Extraction -----------------------------------------------------------------------------------------


def test_recalled_means_every_token_after_the_prefix_comes_first() -> None:
    rank = np.array([9, 4, 1, 1, 1, 2])
    assert recalled(rank, 2, 3) is True
    assert recalled(rank, 2, 4) is False
    assert recalled(rank, 1, 3) is False
    assert recalled(rank, 3, 4) is None
    assert recalled(None, 0, 1) is None


def test_nats_of_a_suffix_are_those_of_its_tokens_alone() -> None:
    assert nats_of(np.array([-9.0, -1.0, -2.0, -4.0]), 1, 2) == -3.0
    assert nats_of(np.array([-9.0, -1.0, -2.0]), 1, 2) == -3.0
    assert nats_of(np.array([-9.0, -1.0]), 1, 2) is None


def test_the_draws_that_are_needed_reach_the_chance_and_no_fewer_do() -> None:
    assert draws_needed(-3, 0.5) == 14
    for nats, p in ((-3.0, 0.5), (-0.1, 0.9), (-6.0, 0.99), (-1.0, 0.05)):
        n = int(draws_needed(nats, p))
        assert 1 - (1 - math.exp(nats)) ** n >= p
        assert n == 1 or 1 - (1 - math.exp(nats)) ** (n - 1) < p
    assert draws_needed(-800, 0.5) > 1e300 or math.isinf(draws_needed(-800, 0.5))
    assert draws_needed(-math.inf, 0.5) == math.inf
    assert draws_needed(0.0, 0.5) == 1
    assert draws_needed(-40, 0.5) == pytest.approx(math.log(2) * math.exp(40), rel=1e-9)


def test_the_chance_of_extraction_keeps_its_digits() -> None:
    assert extraction_chance(-40, 10**6) == pytest.approx(10**6 * math.exp(-40), rel=1e-9)  # 4.2e-12
    assert f"{extraction_chance(-40, 10**6):.1e}" == "4.2e-12"
    assert extraction_chance(-3, 14) == pytest.approx(1 - (1 - math.exp(-3)) ** 14, rel=1e-12)
    assert extraction_chance(-3, 14) >= 0.5 > extraction_chance(-3, 13)
    assert extraction_chance(0.0, 1) == 1.0
    assert extraction_chance(-1e-300, 5) == pytest.approx(1.0)
    assert extraction_chance(-math.inf, 10**6) == 0.0
    assert extraction_chance(-900, 10**6) == 0.0
    assert extraction_chance(-1, 10**9) == 1.0
