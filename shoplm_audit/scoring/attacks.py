"""Membership and extraction from token statistics: one text and what a model says of it, to one number.

min_k(np.array([-9.0, -0.1, -0.2, -0.1, -0.3])) -> -9.0: the mean of the least probable fifth of the tokens

Every score is higher for texts that were trained on. All are in nats; a text without a scored token gives nan.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.types import Floats, TokenScores

__all__ = [
    "draws_needed",
    "extraction_chance",
    "likelihood_ratio",
    "lira_scores",
    "loss",
    "min_k",
    "min_k_plus_plus",
    "nats_of",
    "recalled",
    "zlib_ratio",
]

MANY_SHADOWS = 64  # fewer give no variance per record worth having, so that one is pooled (arXiv 2112.03570)
# Where a model is all but certain the standard deviation is rounding: a deviation of rounding from it is no surprise.
_LEAST_TOKEN_SPREAD = 1e-4
# Shadows that agree to the last digit are no proof: one more would differ by about this much (nats per token).
_LEAST_SHADOW_SPREAD = 1e-3


# Membership -----------------------------------------------------------------------------------------


def loss(scores: TokenScores) -> float:
    """The mean log-probability of the tokens: minus the loss, so that members score higher."""
    return scores.mean


def zlib_ratio(scores: TokenScores, text: str) -> float:
    """The log-probability over the bytes of the zlib-compressed text, a measure of its surprise without a model.

    Args:
        scores: of the text's tokens.
        text: as it was scored; compressed as UTF-8, so Chinese counts three bytes a character before compression.
    """
    if not scores.log_prob.size:
        return math.nan
    return scores.total / len(zlib.compress(text.encode("utf-8", "surrogatepass")))


def _lowest(values: Floats, share: float) -> float:
    if not values.size or np.isnan(values).any():
        return math.nan
    # At least one token, also of texts shorter than 1 / share: reviews of two words are common in a shop.
    count = max(1, math.ceil(share * values.size - 1e-9))
    return float(np.partition(values, count - 1)[:count].mean())


def min_k(log_prob: Floats, share: float = 0.2) -> float:
    """Min-K%: the mean of the lowest ceil(share * T) log-probabilities, one at least (arXiv 2310.16789).

    >>> min_k(np.array([-9.0, -0.1, -0.2, -0.1, -0.3]))
    -9.0
    """
    return _lowest(np.asarray(log_prob, dtype=np.float64), share)


def min_k_plus_plus(scores: TokenScores, share: float = 0.2) -> float:
    """Min-K%++: as Min-K% of (log p - mean) / deviation, both under the model's own distribution (arXiv 2404.02936).

    A token of which the model is certain has no deviation; 1e-4 nats is the least, so that the certain token scores 0
    and any other is as surprising as it is improbable.

    Args:
        scores: with the columns EXPECTED and VARIANCE; without them the score is nan.
        share: of the tokens that are averaged.
    """
    if scores.expected_log_prob is None or scores.log_prob_variance is None:
        return math.nan
    deviation = np.maximum(np.sqrt(np.maximum(scores.log_prob_variance, 0.0)), _LEAST_TOKEN_SPREAD)
    return _lowest((scores.log_prob - scores.expected_log_prob) / deviation, share)


def likelihood_ratio(value: float, inside: Sequence[float], outside: Sequence[float]) -> float:
    """LiRA of one record by its own shadows; of many records `lira_scores` pools the variance, which serves better."""
    return float(lira_scores(np.array([value]), [inside], [outside])[0][0])


def lira_scores(
    values: Floats, insides: Sequence[Sequence[float] | Floats], outsides: Sequence[Sequence[float] | Floats]
) -> tuple[Floats, str]:
    """LiRA, log N(value; inside) - log N(value; outside) (Carlini et al. 2022, arXiv 2112.03570).

    Means are those of a record. Below 64 shadows the variances, one inside and one outside, are pooled over records.
    The two forms are on different scales, so one is chosen for all: where any record lacks a shadow that was trained on
    it, every score is the offline distance from its outside shadows in their deviations: in order log Pr[N(outside) <
    value], which would saturate in the mean over a user's records. A record that lacks a shadow trained without it is
    given the mean of its shadows less what a record loses on average.

    Args:
        values: a score of each record under the audited model, higher for members, nats per token, (N,).
        insides: the same score under the shadows that were trained on the record, N sequences.
        outsides: the same score under the shadows that were not, N sequences.

    Returns:
        The scores (N,), and "online" or "offline"; nan where the shadows tell no mean or no variance.
    """
    inside, outside = ([np.asarray(row, dtype=np.float64) for row in side] for side in (insides, outsides))
    few = max((a.size + b.size for a, b in zip(inside, outside, strict=True)), default=0) < MANY_SHADOWS
    mean_in, mean_out = _means(inside), _means(outside)
    lacking = np.isnan(mean_out)
    if lacking.any() and not lacking.all():
        fall = (mean_in - mean_out)[~lacking & ~np.isnan(mean_in)]
        mean_out = np.where(lacking, mean_in - (fall.mean() if fall.size else math.nan), mean_out)
    spread_in, spread_out = _spreads(inside, few), _spreads(outside, few)
    spread_in, spread_out = (
        np.where(np.isnan(own), other, own) for own, other in ((spread_in, spread_out), (spread_out, spread_in))
    )
    far_out = (values - mean_out) / spread_out
    if np.isnan(mean_in).any():
        return np.asarray(far_out, dtype=np.float64), "offline"
    far_in = (values - mean_in) / spread_in
    return (far_out**2 - far_in**2) / 2 + np.log(spread_out / spread_in), "online"


def _means(rows: Sequence[Floats]) -> Floats:
    return np.array([row.mean() if row.size else math.nan for row in rows], dtype=np.float64)


def _spreads(rows: Sequence[Floats], pooled: bool) -> Floats:
    """The standard deviation of each row about its mean; nan where there is none to be had."""
    squares = np.array([((row - row.mean()) ** 2).sum() if row.size else 0.0 for row in rows], dtype=np.float64)
    freedom = np.array([max(row.size - 1, 0) for row in rows], dtype=np.float64)
    if pooled:
        squares, freedom = np.full_like(squares, squares.sum()), np.full_like(freedom, freedom.sum())
    variance = np.divide(squares, freedom, out=np.full_like(squares, math.nan), where=freedom > 0)
    return np.asarray(np.maximum(np.sqrt(variance), _LEAST_SHADOW_SPREAD), dtype=np.float64)


# Extraction -----------------------------------------------------------------------------------------


def recalled(rank: NDArray[np.int64] | None, prefix: int, suffix: int) -> bool | None:
    """Whether greedy decoding after the first `prefix` tokens gives back the next `suffix` tokens: all have rank 1.

    Returns:
        None where the text is shorter than both together, or the model tells no ranks.
    """
    if rank is None or rank.size < prefix + suffix:
        return None
    return bool((rank[prefix : prefix + suffix] == 1).all())


def nats_of(log_prob: Floats, prefix: int, suffix: int) -> float | None:
    """The log-probability of the `suffix` tokens that follow the first `prefix`; None where the text is shorter."""
    return float(log_prob[prefix : prefix + suffix].sum()) if log_prob.size >= prefix + suffix else None


def _log_hazard(nats: float) -> float:
    """log(-log(1 - exp(nats))), which is `nats` itself for all that is improbable."""
    if nats >= 0:
        return math.inf
    if nats < -30:
        return nats
    return math.log(-math.log(-math.expm1(nats)) if nats > -0.7 else -math.log1p(-math.exp(nats)))


def draws_needed(nats: float, p: float) -> float:
    """How many texts have to be drawn until the chance that one is this reaches p (Hayes 2024, arXiv 2410.19482).

    Returns:
        1 or more; infinite where the sampler cannot write it (nats of minus infinity) or beyond 1e308.

    >>> draws_needed(-3, 0.5)
    14.0
    """
    exponent = math.log(-math.log1p(-p)) - _log_hazard(nats)
    return float(max(1, math.ceil(math.exp(exponent)))) if exponent < 709 else math.inf


def extraction_chance(nats: float, n: int) -> float:
    """The chance that at least one of n drawn texts is this: 1 - (1 - exp(nats))^n, without loss of digits.

    >>> f"{extraction_chance(-40, 10**6):.1e}"
    '4.2e-12'
    """
    if nats >= 0:
        return 1.0
    return -math.expm1(-math.exp(min(math.log(n) + _log_hazard(nats), 700.0)))
