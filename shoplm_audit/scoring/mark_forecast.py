"""How many tokens a watermark would need on a model's texts, told from its own token entropies before it is built in.

    tokens_needed(expected_green(0.62), false_positives=0.01)    # 102: found in 95 of 100

It is for kgw (arXiv 2301.10226). For SynthID there is none: what each of its tournaments gains depends on the collision
probability of the distribution that the tournaments before left, which no column of scores holds.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from shoplm_audit.types import Floats

__all__ = ["expected_green", "expected_z", "full_effect", "tokens_needed"]

_GAMMA, _DELTA = 0.25, 2.0  # kgw's default numbers, those of `TokenScores.spike`
_EACH, _STEP, _MOST = 512, 0.005, 1e5  # tokens: looked at one by one, then in steps of this share, up to the last


def full_effect(gamma: float = _GAMMA, delta: float = _DELTA) -> float:
    """The share of green tokens where all words are equally probable: the most that a mark can do."""
    raised = gamma * math.exp(delta)
    return raised / (raised + 1 - gamma)


def expected_green(spike: Floats | float, gamma: float = _GAMMA, delta: float = _DELTA) -> Floats:
    """The least share of green tokens to be expected at this mean spike entropy, and never less than chance.

    A bound over keys (theorem 4.2): gamma a S / (1 + (a - 1) gamma), a = e^delta. It is exact for a token without
    choice, and a little low in between.

    Args:
        spike: mean of sum_v p_v / (1 + m p_v) over tokens, with the m of this gamma and delta.
        gamma: the share of words that the mark raises.
        delta: by how much it raises their logits.
    """
    return np.maximum(full_effect(gamma, delta) * np.asarray(spike, dtype=np.float64), gamma)


def expected_z(green: Floats | float, tokens: Floats | float, gamma: float = _GAMMA) -> Floats:
    """The z that so many tokens show on average where this share of them is green."""
    return np.asarray((np.asarray(green) - gamma) * np.sqrt(np.asarray(tokens) / (gamma * (1 - gamma))))


def tokens_needed(
    green: Floats | float, *, false_positives: float, power: float = 0.95, gamma: float = _GAMMA
) -> Floats:
    """How many tokens a text needs so that the exact binomial test of kgw finds it this often, and a longer one too.

    It is exact up to 512 tokens, beyond to half a per cent; infinite where nothing is gained, or over 100,000.

    Args:
        green: the share of green tokens to be expected, above chance.
        false_positives: how often a text without the mark may be taken for marked; the test's p-value lies below.
        power: how often a marked text is to be found.
        gamma: the share by chance.

    >>> [int(tokens_needed(0.25 + share * (full_effect() - 0.25), false_positives=0.01)) for share in (1, 0.5, 0.25)]
    [18, 72, 261]
    """
    tokens, least = _least_green(false_positives, power, gamma)
    place = np.searchsorted(-least, -np.asarray(green, dtype=np.float64))
    return np.asarray(np.append(tokens, np.inf)[place])


@lru_cache(16)
def _least_green(false_positives: float, power: float, gamma: float) -> tuple[Floats, Floats]:
    """Numbers of tokens, and the share of green ones from which a text of so many or more is found; it falls."""
    from scipy.special import betaincinv
    from scipy.stats import binom

    steps = np.arange(1, 1 + math.ceil(math.log(_MOST / _EACH) / math.log1p(_STEP)))
    tokens = np.concatenate([np.arange(1, _EACH + 1), np.ceil(_EACH * (1 + _STEP) ** steps)]).astype(np.float64)
    hits = binom.isf(false_positives, tokens, gamma)
    hits += binom.sf(hits - 1, tokens, gamma) >= false_positives  # the fewest that chance shows more rarely
    enough = hits <= tokens
    least = np.full(len(tokens), np.inf)
    least[enough] = betaincinv(hits[enough], tokens[enough] - hits[enough] + 1, power)
    # One token more can ask for one green token more, so the power falls now and then.
    return tokens, np.maximum.accumulate(least[::-1])[::-1]
