"""Evidence for a watermark, added up over an account's texts: for once, and for whoever goes on looking.

    added_up(finder.evidence(texts)) -> Evidence(score=4.81, p_value=3.9e-06, tokens=150, log_e=8.3)

Four reviews that each say nothing can together leave no doubt. What two of them share has to count once: `Finder`
leaves it out of the later one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoplm_audit.models.watermark import Detection
from shoplm_audit.types import Floats

__all__ = ["Evidence", "added_up", "log_e_values"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What several texts show together.

    Attributes:
        score: z of all values, which is Stouffer's z of the texts weighted by the root of their values.
        p_value: exact, of the binomial test, if all texts were looked at once; nan where nothing counts.
        tokens: how many values were counted.
        log_e: the largest evidence after any of the texts, in nats. It may be looked at after each text: without the
            key it ever reaches log(1 / alpha) in at most alpha of all accounts.
    """

    score: float
    p_value: float
    tokens: int
    log_e: float


def added_up(found: Sequence[Detection]) -> Evidence:
    """The evidence of texts of one account under one key, in the order in which they came.

    Texts in which nothing could be told add nothing.

    >>> texts = [Detection(0.1, 0, n, k, n, 0.25) for n, k in ((30, 12), (40, 18), (25, 9), (55, 24))]
    >>> round(added_up(texts).score, 6)
    4.808326

    Raises:
        ValueError: values of different chances, which is another mark.
    """
    from scipy.stats import binom

    counted = [one for one in found if one.trials]
    if not counted:
        return Evidence(math.nan, math.nan, 0, 0.0)
    hits, trials, chance = sum(one.hits for one in counted), sum(one.trials for one in counted), counted[0].chance
    score = (hits - chance * trials) / math.sqrt(trials * chance * (1 - chance))
    # Before the first text the evidence is 1.
    log_e = max(0.0, float(log_e_values(counted).max()))
    return Evidence(score, float(binom.sf(hits - 1, trials, chance)), trials, log_e)


def log_e_values(found: Sequence[Detection]) -> Floats:
    """The evidence after each text, in nats: the wealth of a gambler who bets on the mark, at fair odds without it.

    It is the likelihood ratio of the values, averaged evenly over all shares of ones between chance and 1, so it is a
    martingale that starts at 1 where there is no mark, and Ville's inequality bounds it at every time at once.

    Raises:
        ValueError: values of different chances, which is another mark.

    References:
        Robbins, Annals of Mathematical Statistics 41, 1397 (1970), method of mixtures; arXiv 2210.01948.
    """
    from scipy.special import betaln
    from scipy.stats import beta

    chances = {one.chance for one in found if one.trials}
    if len(chances) > 1:
        raise ValueError(f"evidence of several marks cannot be added up (chances {sorted(chances)})")
    if not chances:
        return np.zeros(len(found))
    (chance,) = chances
    hits = np.cumsum([one.hits for one in found], dtype=np.float64)
    misses = np.cumsum([one.trials - one.hits for one in found], dtype=np.float64)
    mixed = betaln(hits + 1, misses + 1) + beta.logsf(chance, hits + 1, misses + 1) - math.log1p(-chance)
    return np.asarray(mixed - hits * math.log(chance) - misses * math.log1p(-chance))
