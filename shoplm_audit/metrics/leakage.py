"""What a model gives away: exposure of canaries against its null law, membership, a lower bound of epsilon.

exposure(rank=1, candidates=64) -> 6.0 bits
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shoplm_audit import uncertainty
from shoplm_audit.metrics.detection import OUT_OF_FOLD, Scored, auroc_of, detected
from shoplm_audit.metrics.reduce import unit_means
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = ["blind_auroc_of", "epsilon_of", "exposure", "exposure_gap_of", "membership_auroc_of", "one_run_epsilon"]


def exposure(rank: int, candidates: int) -> float:
    """log2(candidates) - log2(rank) in bits: how much easier the secret is to guess (Carlini 2019, arXiv 1802.08232).

    >>> exposure(1, 64)
    6.0
    """
    return math.log2(candidates) - math.log2(rank)


def exposure_gap_of(column: str, inserted: str) -> Metric:
    """Mean exposure of inserted canaries minus that of canaries the coin left out, in bits.

    A canary that was never inserted follows the null law P[exposure >= t] = 2^-t whatever the model prefers, so an
    exposure above zero is no leak, and only the gap is. Welch's interval over canaries, within language.
    """

    def gap(observations: Observations, values: Floats, confidence: float) -> Estimate:
        if not len(observations):
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no canaries")
        means, at = unit_means(values, observations.clusters)
        canaries = [observations.rows[i].case for i in at]
        inside = np.array([bool(case.facts[inserted]) for case in canaries])
        languages = np.unique([case.language for case in canaries], return_inverse=True)[1]
        value, found = uncertainty.contrast_interval(means, inside, languages, confidence)
        return Estimate(value, found.low, found.high, found.n, found.method)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return gap(observations, observations.numbers(column), confidence)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return gap(old, new.numbers(column) - old.numbers(column), confidence)

    return Metric(
        "exposure_gap", estimate, difference, "lower", "exposure|sampled candidates, ties against|inserted-left out"
    )


def _membership(score: str, member: str, texts: str) -> tuple[Metric, Metric]:
    def attack(observations: Observations) -> Scored:
        labels = np.array([bool(row.case.facts[member]) for row in observations], dtype=bool)
        return observations.numbers(score), labels, observations.clusters

    def blind(observations: Observations) -> Scored:
        _, labels, clusters = attack(observations)
        return detected(observations, observations.texts(texts), labels, clusters), labels, clusters

    seeing = auroc_of(attack, name="auroc_membership", better="lower", signature="auroc|mean log-probability per unit")
    signature = "auroc|text only, NB-SVM, 5 folds"
    guessing = auroc_of(blind, name="auroc_blind", better="lower", signature=signature, widen=OUT_OF_FOLD)
    return seeing, guessing


def blind_auroc_of(texts: str, member: str) -> Metric:
    """AUROC of telling members from the text alone, without the model: 0.5 where members were drawn by a fair coin."""
    return _membership("", member, texts)[1]


def membership_auroc_of(score: str, member: str, texts: str) -> Metric:
    """AUROC of telling members by a score, invalid where the blind baseline wins.

    A classifier that never saw the model wins where members and non-members differ by themselves (in date, say); then
    the attack measures that difference and no leak (Das et al. 2024, arXiv 2406.16201).
    """
    seeing, guessing = _membership(score, member, texts)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = seeing.estimate(observations, confidence, rng)
        if math.isnan(found.value):
            return found
        blind = guessing.estimate(observations, confidence, rng)
        baseline = f"{blind.value:.3f} [{blind.low:.3f}, {blind.high:.3f}]"
        if blind.low > 0.5 and blind.value >= found.value:
            note = f"invalid: a blind baseline that sees only the text reaches {baseline}"
        else:
            note = f"blind baseline {baseline}"
        return Estimate(found.value, found.low, found.high, found.n, found.method, note=note)

    return Metric("auroc_membership", estimate, seeing.difference, "lower", seeing.signature)


def one_run_epsilon(canaries: int, guesses: int, correct: int, delta: float = 0.0, confidence: float = 0.95) -> float:
    """Lower bound of epsilon from one training run (Steinke et al. 2023, arXiv 2305.08846).

    Args:
        canaries: how many units were put in or left out by independent fair coins (m).
        guesses: how many of them were guessed, the rest abstained (r).
        correct: how many guesses were right (v).
        delta: of the claim.
        confidence: of the bound.

    Returns:
        The largest epsilon that the guesses refute; 0 where they refute none.
    """
    if guesses == 0 or correct <= guesses / 2:
        return 0.0
    low, high = 0.0, 50.0
    significance = 1 - confidence
    if _p_value(canaries, guesses, correct, 0.0, delta) > significance:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        refuted = _p_value(canaries, guesses, correct, middle, delta) <= significance
        low, high = (middle, high) if refuted else (low, middle)
    return low


def _p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    chance = special.expit(epsilon)
    # P[Bin(r, q) >= v] and, for i = 1..v, P[v > Bin >= v - i] / i.
    tail = 1.0 if correct == 0 else float(special.bdtrc(correct - 1, guesses, chance))
    if delta == 0:
        return min(1.0, tail)
    steps = np.arange(1, correct + 1)
    below = np.where(correct - steps == 0, 1.0, special.bdtrc(np.maximum(correct - steps - 1, 0), guesses, chance))
    return min(1.0, tail + 2 * canaries * delta * float(((below - tail) / steps).max()))


def _guess(scores: Floats, inside: NDArray[np.bool_]) -> tuple[int, int]:
    """Guesses the top and bottom quarter, fixed beforehand; ties are broken against the attacker."""
    quarter = scores.size // 4
    order = np.lexsort((inside, -scores))  # highest first; at equal scores outsiders first, from below insiders first
    correct = inside[order[:quarter]].sum() + (~inside[order[::-1][:quarter]]).sum()
    return 2 * quarter, int(correct)


def epsilon_of(score: str, member: str) -> Metric:
    """Lower bound of epsilon by guessing who was in, over units put in or left out by a fair coin.

    The quarter with the highest scores is guessed "in", the quarter with the lowest "out". The estimate carries the
    claim of the model and, as ceiling, what perfect guesses would have shown. It can refute a claim, never confirm it.
    """

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        scores, at = unit_means(observations.numbers(score), observations.clusters)
        inside = np.array([bool(observations.rows[i].case.facts[member]) for i in at], dtype=bool)
        if scores.size < 8 or np.isnan(scores).any() or inside.all() or not inside.any():
            method = "undefined: too few units, one has no score, or all were in or out"
            return Estimate(math.nan, math.nan, math.nan, scores.size, method)
        facts = observations.rows[0].case.facts
        claim, delta = facts.get("epsilon"), float(facts.get("delta") or 0.0)
        if facts.get("coin") != "fair":
            note = "invalid: units were not divided by independent fair coins"
            return Estimate(math.nan, math.nan, math.nan, scores.size, "one run", claim=claim, note=note)
        guesses, correct = _guess(scores, inside)
        bound = one_run_epsilon(scores.size, guesses, correct, delta, confidence)
        ceiling = one_run_epsilon(scores.size, guesses, guesses, delta, confidence)
        method = f"one run, {correct} of {guesses} guesses right, delta {delta:g}"
        note = f"a perfect attack of this design would have shown {ceiling:.2f}; a lower bound, no guarantee"
        return Estimate(bound, bound, math.inf, scores.size, method, claim=claim, ceiling=ceiling, note=note)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        change = estimate(new, confidence, rng).value - estimate(old, confidence, rng).value
        return Estimate(change, math.nan, math.nan, len(new), "lower bounds have no interval of their difference")

    return Metric("epsilon_lower_bound", estimate, difference, "lower", "one-run, quarter in, quarter out (2305.08846)")
