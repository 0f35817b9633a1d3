"""How many tokens a watermark would need on a model's texts, told from its own token entropies before it is built in.

    tokens_needed(expected_green(0.62), z=z_at(0.01))    # 49 tokens for 95 % power at 1 % false positives

It is for kgw (arXiv 2301.10226). For SynthID there is none: what each of its tournaments gains depends on the collision
probability of the distribution that the tournaments before left, which no column of scores holds.
"""

from __future__ import annotations

import math

import numpy as np

from shoplm_audit.types import Floats

__all__ = ["expected_green", "expected_z", "full_effect", "tokens_needed", "z_at"]

_GAMMA, _DELTA = 0.25, 2.0  # kgw's default numbers, those of `TokenScores.spike`


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


def z_at(false_positives: float) -> float:
    """The z that texts without the mark exceed this often.

    >>> round(z_at(0.01), 4)
    2.3263
    """
    from scipy.stats import norm

    return float(norm.isf(false_positives))


def tokens_needed(green: Floats | float, *, z: float, power: float = 0.95, gamma: float = _GAMMA) -> Floats:
    """How many tokens a text needs so that its z lies above `z` this often; infinite where nothing is gained.

    Args:
        green: the share of green tokens to be expected, above chance.
        z: the threshold.
        power: how often a marked text is to be found.
        gamma: the share by chance.

    >>> [int(tokens_needed(0.25 + share * (full_effect() - 0.25), z=4)) for share in (1, 0.5, 0.25)]
    [29, 123, 480]
    """
    from scipy.stats import norm

    green = np.asarray(green, dtype=np.float64)
    gained = green - gamma
    spread = z * math.sqrt(gamma * (1 - gamma)) + float(norm.ppf(power)) * np.sqrt(green * (1 - green))
    with np.errstate(divide="ignore"):
        return np.asarray(np.ceil(np.where(gained > 0, spread / np.where(gained > 0, gained, 1), np.inf) ** 2))
