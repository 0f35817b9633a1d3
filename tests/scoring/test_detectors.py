"""Detectors of generated texts, held to the fixture of logits that anybody can write down."""

import math

import numpy as np
import pytest

from shoplm_audit.scoring.detectors import (
    binoculars,
    detections,
    fast_detect_gpt,
    first_tokens,
    lrr,
    mean_log_rank,
)
from shoplm_audit.types import TokenScores


def fixture(*, beside: bool, tokens: int = 5) -> TokenScores:
    """The tokens 3 1 4 1 5 2 under logits 2 sin(1.3 i + 0.7 j), and beside them under 1.5 cos(0.9 i - 0.4 j)."""
    place, word = np.arange(6)[:, None], np.arange(7)[None]
    scoring, sampling = 2 * np.sin(1.3 * place + 0.7 * word), 1.5 * np.cos(0.9 * place - 0.4 * word)
    log_p = scoring - np.log(np.exp(scoring).sum(-1, keepdims=True))
    q = np.exp(sampling if beside else scoring)
    q /= q.sum(-1, keepdims=True)
    mean = (q * log_p).sum(-1)
    variance = (q * log_p**2).sum(-1) - mean**2
    own = log_p[range(5), [1, 4, 1, 5, 2]]
    rank = 1 + (log_p[:5] > own[:, None]).sum(-1)
    after = float(mean[tokens]) if beside else None
    return TokenScores(own[:tokens], mean[:tokens], variance[:tokens], rank[:tokens], after=after)


def test_each_detector_meets_the_published_fixture() -> None:
    alone, beside = detections(fixture(beside=False)), detections(fixture(beside=True))
    assert alone == pytest.approx(
        {
            "likelihood": -2.3710233438,
            "rank": -3.6,
            "log_rank": -1.2136851176,
            "lrr": 1.9535737147,
            "entropy": -1.4212121278,
            "fast_detect_gpt": -2.7479367318,
        },
        abs=1e-9,
    )
    assert beside["fast_detect_gpt"] == pytest.approx(-0.0749474607, abs=1e-9)
    assert beside["binoculars"] == pytest.approx(-0.9888373859, abs=1e-9)
    assert "entropy" not in beside  # a cross-entropy is none


def test_the_place_after_the_last_token_counts_and_cannot_be_left_out() -> None:
    scores = fixture(beside=True)
    with pytest.raises(ValueError, match="5 tokens have 6 places, not 5"):
        binoculars(scores.log_prob, scores.expected_log_prob)  # type: ignore[arg-type]


def test_a_beginning_says_what_the_text_would_have_said_had_it_ended_there() -> None:
    for beside in (False, True):
        whole = fixture(beside=beside)
        assert detections(first_tokens(whole, 3)) == pytest.approx(detections(fixture(beside=beside, tokens=3)))
        assert detections(first_tokens(whole, 9)) == detections(whole)


def test_columns_that_are_not_there_are_not_told() -> None:
    assert detections(TokenScores(np.array([-1.0, -3.0]))) == {"likelihood": -2.0}


def test_what_has_no_token_or_no_choice_is_undefined() -> None:
    nothing = TokenScores(np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    assert all(math.isnan(value) for value in detections(nothing).values())
    assert math.isnan(fast_detect_gpt(np.zeros(4), np.zeros(4), np.zeros(4)))
    assert math.isnan(binoculars(np.empty(0), np.array([-1.0])))


def test_a_text_of_first_choices_alone_is_above_every_other_of_its_likelihood() -> None:
    log_prob = np.full(12, -0.4)
    first, nearly = np.ones(12, dtype=np.int64), np.array([1] * 11 + [2])
    assert mean_log_rank(first) == 0
    assert math.isfinite(lrr(log_prob, first))
    assert lrr(log_prob, first) == pytest.approx(2 * lrr(log_prob, nearly))


def test_what_a_model_draws_scores_higher_than_what_it_does_not_expect() -> None:
    rng = np.random.default_rng(0)
    logits = 2.5 * rng.normal(size=(60, 40, 200))  # texts, tokens, words
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    p = np.exp(log_p)
    mean = (p * log_p).sum(-1)
    variance = (p * (log_p - mean[..., None]) ** 2).sum(-1)

    def told(words: np.ndarray) -> list[dict[str, float]]:
        own = np.take_along_axis(log_p, words[..., None], -1)
        rank = 1 + (log_p > own).sum(-1)
        return [detections(TokenScores(own[i, :, 0], mean[i], variance[i], rank[i])) for i in range(len(words))]

    drawn = (np.cumsum(p, -1) > rng.random((60, 40, 1))).argmax(-1)
    sharper = np.exp(1.5 * logits)
    sharper /= sharper.sum(-1, keepdims=True)
    likelier = (np.cumsum(sharper, -1) > rng.random((60, 40, 1))).argmax(-1)
    one, other = told(drawn), told(likelier)
    for name in ("likelihood", "rank", "log_rank", "fast_detect_gpt"):
        assert np.mean([b[name] > a[name] for a, b in zip(one, other, strict=True)]) > 0.95, name
    curvature = np.array([row["fast_detect_gpt"] for row in one])
    assert abs(curvature.mean()) < 3 / math.sqrt(60)  # what p itself draws is a standard normal
    assert 0.75 < curvature.std() < 1.3
