"""Was a text written by a model? Detectors that need no training, all read off one scoring of the text.

    detections(scores)    # {"likelihood": -2.37, "log_rank": -1.21, ..., "fast_detect_gpt": -2.75}

Every number of `detections` is higher for texts that a model wrote, whatever the sign of the published statistic. What
the detectors share: a model's own text is less surprising to models than a person's. With fewer than `LEAST_TOKENS`
tokens they say little, and nan stands for a text without any.

Letters in shapes: T scored tokens.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.types import Columns, Floats, TokenScores

__all__ = [
    "LEAST_TOKENS",
    "READ_BY_DETECTORS",
    "binoculars",
    "detections",
    "fast_detect_gpt",
    "first_tokens",
    "lrr",
    "mean_log_rank",
]

LEAST_TOKENS = 10
READ_BY_DETECTORS = Columns.LOG_PROB | Columns.EXPECTED | Columns.VARIANCE | Columns.RANK


def fast_detect_gpt(log_prob: Floats, expected: Floats, variance: Floats) -> float:
    """By how many standard deviations a text is more probable than one drawn token by token in its place.

    The analytic conditional probability curvature, (ll - sum mu) / sqrt(sum var), higher for generated texts.

    Args:
        log_prob: of each token under the scoring model p, in nats, (T,).
        expected: the mean of log p under the sampling model q, (T,); q is p itself or a second model.
        variance: the variance of log p under q, (T,).

    Returns:
        The curvature; nan where there is no token, or none whose place leaves a choice.

    References:
        Bao et al. 2024, Fast-DetectGPT, arXiv 2310.05130.
    """
    spread = math.sqrt(float(np.sum(variance)))
    return float(np.sum(log_prob) - np.sum(expected)) / spread if spread > 0 else math.nan


def mean_log_rank(rank: NDArray[np.int64]) -> float:
    """The mean natural logarithm of the tokens' ranks, lower for generated texts; nan without tokens.

    References:
        Mitchell et al. 2023, DetectGPT, arXiv 2301.11305 (as a baseline).
    """
    return float(np.log(rank).mean()) if len(rank) else math.nan


def lrr(log_prob: Floats, rank: NDArray[np.int64]) -> float:
    """The log-likelihood log-rank ratio, -mean log p / mean log rank, higher for generated texts.

    Where every token is the model's first choice the ratio has no end; one token of rank 2 among twice as many tokens
    stands there, so that such a text is still above all others of its length and likelihood.

    Args:
        log_prob: in nats, (T,).
        rank: 1 is the most probable token, (T,).

    Returns:
        The ratio; nan without tokens.

    References:
        Su et al. 2023, DetectLLM, arXiv 2306.05540.
    """
    if not len(rank):
        return math.nan
    return -float(log_prob.mean()) / max(mean_log_rank(rank), math.log(2) / (2 * len(rank)))


def binoculars(log_prob: Floats, cross_expected: Floats) -> float:
    """The perplexity of a text against the perplexity that two models give each other, LOWER for generated texts.

    log PPL / X-PPL: the first over the T tokens that follow another, the second over all T + 1 places, the one after
    the last token included, as published. Published thresholds hold for their pair of models only.

    Args:
        log_prob: of each token under the performer, in nats, (T,).
        cross_expected: the mean of the performer's log p under the observer, at each token's place and after the last,
            (T + 1,).

    Returns:
        The ratio; nan without tokens.

    Raises:
        ValueError: the place after the last token is missing.

    References:
        Hans et al. 2024, Binoculars, arXiv 2401.12070.
    """
    if len(cross_expected) != len(log_prob) + 1:
        raise ValueError(f"{len(log_prob)} tokens have {len(log_prob) + 1} places, not {len(cross_expected)}")
    return float(log_prob.mean() / cross_expected.mean()) if len(log_prob) else math.nan


def detections(scores: TokenScores) -> dict[str, float]:
    """What each detector says of a text whose columns are there, higher for generated texts.

    `likelihood` (mean log p), `entropy` (minus the mean entropy), `fast_detect_gpt`, `rank` and `log_rank` (minus their
    means), `lrr`, and of a score beside a second model `binoculars` (minus the ratio) in the place of `entropy`.
    """
    found = {"likelihood": scores.mean}
    expected, variance, rank = scores.expected_log_prob, scores.log_prob_variance, scores.rank
    if rank is not None:
        found["rank"] = -float(rank.mean()) if rank.size else math.nan
        found["log_rank"] = -mean_log_rank(rank)
        found["lrr"] = lrr(scores.log_prob, rank)
    if expected is not None and scores.after is not None:
        found["binoculars"] = -binoculars(scores.log_prob, np.append(expected, scores.after))
    elif expected is not None:
        found["entropy"] = float(expected.mean()) if expected.size else math.nan
    if expected is not None and variance is not None:
        found["fast_detect_gpt"] = fast_detect_gpt(scores.log_prob, expected, variance)
    return found


def first_tokens(scores: TokenScores, count: int) -> TokenScores:
    """The scores of a text's beginning: what its scoring would have been, had it ended there."""
    expected, variance, rank = scores.expected_log_prob, scores.log_prob_variance, scores.rank
    longer = scores.log_prob.size > count
    return replace(
        scores,
        log_prob=scores.log_prob[:count],
        expected_log_prob=None if expected is None else expected[:count],
        log_prob_variance=None if variance is None else variance[:count],
        rank=None if rank is None else rank[:count],
        spike=None if scores.spike is None else scores.spike[:count],
        after=float(expected[count]) if longer and expected is not None and scores.after is not None else scores.after,
    )
