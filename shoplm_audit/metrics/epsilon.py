"""Lower bounds of epsilon: what guesses of membership refute. They can refute a claim, never confirm it.

one_run_epsilon(canaries=1000, guesses=100, correct=95) -> 2.17: a claim of 2 is refuted, one of 3 is not
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shoplm_audit.metrics.detection import folds_of
from shoplm_audit.metrics.reduce import unit_means, units_of
from shoplm_audit.types import Estimate, Floats, Metric, Observations

__all__ = [
    "epsilon_from_rates",
    "epsilon_gaussian_of",
    "epsilon_of",
    "epsilon_of_attacks",
    "gaussian_epsilon_from_rates",
    "one_run_epsilon",
    "one_run_epsilon_gaussian",
]

_NORMAL = NormalDist()
_STEPS = 60  # bisections: beyond them floats do not differ
_HIGHEST = 50.0  # no design of fewer than 1e20 guesses could show a larger epsilon or mu


# Bounds from counts ---------------------------------------------------------------------------------


def _bisect(refuted: Callable[[float], bool], high: float = _HIGHEST) -> float:
    """The largest number that is refuted, 0 where none is."""
    low = 0.0
    if not refuted(low):
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


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

    >>> round(one_run_epsilon(1000, 100, 95), 4)
    2.1724
    """
    if correct <= guesses / 2:
        return 0.0
    counts = np.arange(correct)
    ways = special.gammaln(guesses + 1) - special.gammaln(counts + 1) - special.gammaln(guesses - counts + 1)

    def refuted(epsilon: float) -> bool:
        chance = special.expit(epsilon)
        p = float(special.bdtrc(correct - 1, guesses, chance))  # P[Bin(r, q) >= v]
        if delta > 0:
            # P[v > Bin(r, q) >= v - i] for i = 1..v: sums of the law from v - 1 downwards.
            law = np.exp(ways - counts * np.log1p(np.exp(-epsilon)) - (guesses - counts) * np.log1p(np.exp(epsilon)))
            p += 2 * canaries * delta * float((np.cumsum(law[::-1]) / (counts + 1)).max())
        return p <= 1 - confidence

    return _bisect(refuted)


def one_run_epsilon_gaussian(
    canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95
) -> float:
    """Lower bound of epsilon from one run, assuming a Gaussian trade-off (Mahloujifar et al. 2025, arXiv 2410.22235).

    Tighter than `one_run_epsilon`, and valid only for mechanisms as hard to tell apart as two Gaussians; DP-SGD of many
    steps nearly is.

    Args:
        canaries: how many units were put in or left out by independent fair coins.
        guesses: how many of them were guessed.
        correct: how many guesses were right.
        delta: at which the mu that is refuted is told as epsilon; above 0.
        confidence: of the bound.

    >>> round(one_run_epsilon_gaussian(1000, 100, 95, 1e-5), 4)
    3.3233
    """
    if correct <= guesses / 2:
        return 0.0

    def refuted(mu: float) -> bool:
        right = (1 - confidence) * correct / canaries
        wrong = (1 - confidence) * (guesses - correct) / canaries
        for i in range(correct - 1, -1, -1):
            if right + wrong > guesses / canaries:  # both only grow
                return True
            more = 0.5 * math.erfc((mu - _NORMAL.inv_cdf(right)) / math.sqrt(2))
            if more <= wrong:
                return False
            right, wrong = min(1.0, right + i / (guesses - i) * (more - wrong)), more
            if right >= 1:
                return True
        return right + wrong > guesses / canaries

    return gaussian_epsilon(_bisect(refuted), delta)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The epsilon of mu-Gaussian differential privacy at a delta; 0 where mu keeps delta without it."""
    if mu <= 0:
        return 0.0

    def exceeds(epsilon: float) -> bool:
        log_tail = epsilon + float(special.log_ndtr(-epsilon / mu - mu / 2))
        return float(special.ndtr(mu / 2 - epsilon / mu)) - math.exp(log_tail) > delta

    # Beyond mu^2 / 2 + mu * z the first term alone is below delta.
    return _bisect(exceeds, mu**2 / 2 - mu * float(special.ndtri(delta)) if delta > 0 else math.inf)


def _upper(wrong: NDArray[np.int64], n: int, alpha: float) -> Floats:
    """Clopper-Pearson upper bounds of error rates, each at level alpha."""
    inner = special.betaincinv(np.minimum(wrong, n - 1) + 1.0, np.maximum(n - wrong, 1), 1 - alpha)
    return np.where(wrong >= n, 1.0, inner)


def _epsilons(false_positives: Floats, false_negatives: Floats, delta: float) -> Floats:
    """The larger of both directions, from upper bounds of both error rates; below 0 where they refute nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = [
            np.where(1 - delta - one > 0, np.log(np.maximum(1 - delta - one, 0) / other), -np.inf)
            for one, other in ((false_negatives, false_positives), (false_positives, false_negatives))
        ]
    return np.maximum(*ways)


def epsilon_from_rates(
    true_positives: int, positives: int, false_positives: int, negatives: int, delta: float = 0.0, alpha: float = 0.05
) -> float:
    """Lower bound of epsilon from an attack's error rates (Jagielski et al. 2020, arXiv 2006.07709).

    Both rates get a Clopper-Pearson bound at alpha / 2; the threshold must have been chosen on other units.

    Args:
        true_positives: how many members were called members.
        positives: how many members there are.
        false_positives: how many non-members were called members.
        negatives: how many non-members there are.
        delta: of the claim.
        alpha: one minus the confidence of the bound.

    >>> round(epsilon_from_rates(500, 500, 0, 500, alpha=0.01), 2)
    4.54
    """
    missed = _upper(np.array([positives - true_positives]), positives, alpha / 2)
    alarms = _upper(np.array([false_positives]), negatives, alpha / 2)
    return max(0.0, float(_epsilons(alarms, missed, delta)[0]))


def gaussian_epsilon_from_rates(
    true_positives: int, positives: int, false_positives: int, negatives: int, delta: float, alpha: float = 0.05
) -> tuple[float, float]:
    """(mu, epsilon at delta): as `epsilon_from_rates`, assuming a Gaussian trade-off (Nasr 2023, arXiv 2302.07956).

    mu is below 0 where nothing is refuted; epsilon is then 0.
    """
    missed = _upper(np.array([positives - true_positives]), positives, alpha / 2)[0]
    alarms = _upper(np.array([false_positives]), negatives, alpha / 2)[0]
    mu = -float(special.ndtri(alarms)) - float(special.ndtri(missed))
    return mu, gaussian_epsilon(mu, delta)


# Metrics --------------------------------------------------------------------------------------------


def _alone(observations: Observations) -> Observations:
    """The rows of an independent fair coin for one unit of the claim each: no group of units, no split by share."""
    facts = ((row, row.case.facts) for row in observations)
    return Observations(tuple(row for row, known in facts if known.get("coin") == "fair" and known.get("alone", True)))


def _by_chance(observations: Observations) -> Observations:
    """The rows of units of the claim that chance divided: by a coin for each, or by a split of the units by share."""
    split = Observations(tuple(row for row in units_of(observations) if row.case.facts.get("coin") == "split"))
    return Observations(_alone(observations).rows + split.rows)


def _sides(rows: Observations, at: NDArray[np.int64], member: str) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    """Of each unit, whether it was inside and what kind it is, both (G,)."""
    facts = [rows.rows[i].case.facts for i in at]
    inside = np.array([bool(known[member]) for known in facts], dtype=bool)
    return inside, np.array([str(known.get("kind", "unit")) for known in facts], dtype=np.str_)


def _delta(rows: Observations) -> float:
    return float(rows.rows[0].case.facts.get("delta") or 0.0)


def _undefined(count: int, method: str, note: str = "") -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, count, method, note=note)


def _bound(name: str, signature: str, estimate: Callable[[Observations, float], Estimate]) -> Metric:
    """A metric of lower bounds: paired differences of them have no interval.

    It carries the claim whether or not a bound is defined: a claim that could not be tested is no absent one. A void
    guarantee makes it invalid: not refuted would read as if there were one.
    """

    def told(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = estimate(observations, confidence)
        facts = observations.rows[0].case.facts if len(observations) else {}
        void = facts.get("void")
        note = f"invalid: the guarantee is void: {void}" if void else found.note
        return replace(found, claim=facts.get("epsilon"), note=note)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        change = estimate(new, confidence).value - estimate(old, confidence).value
        return Estimate(change, math.nan, math.nan, len(new), "lower bounds have no interval of their difference")

    return Metric(name, told, difference, "lower", signature)


def _guess(scores: Floats, inside: NDArray[np.bool_]) -> tuple[int, int]:
    """Guesses the top and bottom quarter, fixed beforehand; ties are broken against the attacker."""
    quarter = scores.size // 4
    order = np.lexsort((inside, -scores))  # highest first; at equal scores outsiders first, from below insiders first
    correct = inside[order[:quarter]].sum() + (~inside[order[::-1][:quarter]]).sum()
    return 2 * quarter, int(correct)


def _one_run(name: str, score: str, member: str, bound: Callable[..., float], assumed: str) -> Metric:
    def estimate(observations: Observations, confidence: float) -> Estimate:
        rows = _alone(observations)
        if len(observations) and not len(rows):
            note = "invalid: units were not divided by independent fair coins"
            return _undefined(len(observations), "one run", note)
        scores, at = unit_means(rows.numbers(score), rows.clusters)
        inside, kinds = _sides(rows, at, member)
        if scores.size < 8 or np.isnan(scores).any() or inside.all() or not inside.any():
            method = "undefined: too few units, one has no score, or all were in or out"
            return _undefined(scores.size, method)
        delta = _delta(rows)
        if assumed and delta == 0:
            return _undefined(scores.size, "undefined: a Gaussian trade-off has no epsilon at delta 0")
        made = [_guess(scores[kinds == kind], inside[kinds == kind]) for kind in np.unique(kinds)]
        guesses, correct = (sum(counts) for counts in zip(*made, strict=True))
        found = bound(scores.size, guesses, correct, delta, confidence)
        ceiling = bound(scores.size, guesses, guesses, delta, confidence)
        method = f"one run{assumed}, {correct} of {guesses} guesses right, delta {delta:g}"
        return Estimate(found, found, math.inf, scores.size, method, ceiling=ceiling, note=_note(ceiling))

    return _bound(name, f"one-run{assumed}, quarter in, quarter out of each kind", estimate)


def _note(ceiling: float) -> str:
    return f"a perfect attack of this design would have shown {ceiling:.2f}; a lower bound, no guarantee"


def epsilon_of(score: str, member: str) -> Metric:
    """Lower bound of epsilon by guessing who was in, over units put in or left out by a fair coin (arXiv 2305.08846).

    Of each `kind` the quarter with the highest scores is guessed "in", the quarter with the lowest "out"; only units
    that are `alone` count, each an independent coin of the unit the claim is made for. The estimate carries the claim
    of the model and, as ceiling, what perfect guesses would have shown. It can refute a claim, never confirm it.
    """
    return _one_run("epsilon_lower_bound", score, member, one_run_epsilon, "")


def epsilon_gaussian_of(score: str, member: str) -> Metric:
    """As `epsilon_of`, assuming a Gaussian trade-off (arXiv 2410.22235): tighter, to be read beside it, not gated."""
    assumed = " assuming a Gaussian trade-off"
    return _one_run("epsilon_lower_bound_gaussian", score, member, one_run_epsilon_gaussian, assumed)


def epsilon_of_attacks(scores: Sequence[str], member: str) -> Metric:
    """The largest lower bound of epsilon that any attack shows by its error rates, corrected for their number.

    Each attack on each kind of unit chooses its threshold, and whether members score above or below it, on one half of
    the units and is counted on the other, with Clopper-Pearson bounds at a level divided by the number of attacks
    (Holm's first step, the only one that a largest bound needs). An attack without any score (no reference model, no
    shadows) was not tried and does not count; one that lacks a score of some unit is left out and named, and where that
    is the first of `scores`, the one that is gated elsewhere, nothing is concluded.

    Holds where units were divided at random, by fair coins or a split, and needs no blind baseline there: what is known
    of a unit without the model tells nothing of a coin. It takes units of one run to be independent of each other.
    """

    def estimate(observations: Observations, confidence: float) -> Estimate:
        rows = _by_chance(observations)
        if len(observations) and not len(rows):
            note = "invalid: units were not divided at random"
            return _undefined(len(observations), "attacks", note)
        tried: list[tuple[str, Floats, NDArray[np.bool_]]] = []
        lacking: list[str] = []
        units = int(np.unique(rows.clusters).size)
        if any(row.status != "scored" for row in rows):
            return _undefined(units, "undefined: a case was not answered")
        for score in scores:
            means, at = unit_means(rows.numbers(score), rows.clusters)
            sides, kinds = _sides(rows, at, member)
            for kind in np.unique(kinds):
                name, values, inside = f"{score} on {_several(kind)}", means[kinds == kind], sides[kinds == kind]
                if np.isnan(values).all() or not _divisible(inside):
                    continue
                if not np.isnan(values).any():
                    tried.append((name, values, inside))
                elif score == scores[0]:
                    return _undefined(units, f"undefined: a unit has no score of {name}")
                else:
                    lacking.append(name)
        if not tried:
            return _undefined(units, "undefined: too few units in or out, or none has a score")
        delta = _delta(rows)
        level = (1 - confidence) / len(tried)
        counted = [(_counted(values, inside, delta, level), name) for name, values, inside in tried]
        bounds = [epsilon_from_rates(*counts, delta, level) for counts, _ in counted]
        perfect = [epsilon_from_rates(p, p, 0, n, delta, level) for (_, p, _, n), _ in counted]
        best = int(np.argmax(bounds))
        (hits, positives, alarms, negatives), name = counted[best]
        method = (
            f"{name}: TPR {hits}/{positives}, FPR {alarms}/{negatives}, Clopper-Pearson, "
            f"largest of {len(tried)} attacks, delta {delta:g}"
            + (f"; left out, as a unit has no score: {', '.join(lacking)}" if lacking else "")
        )
        found, ceiling = bounds[best], max(perfect)
        return Estimate(found, found, math.inf, units, method, ceiling=ceiling, note=_note(ceiling))

    signature = f"largest of {', '.join(scores)}|threshold and side on one half, Clopper-Pearson on the other"
    return _bound("epsilon_from_attacks", signature, estimate)


def _several(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _halves(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The half of the units on which a threshold is chosen."""
    return np.asarray(folds_of(np.arange(inside.size), 2, seed=2) == 0)


def _divisible(inside: NDArray[np.bool_]) -> bool:
    """Whether both halves have units of both sides."""
    first = _halves(inside) if inside.size else inside
    return all(part.any() for half in (first, ~first) for part in (half & inside, half & ~inside))


def _counted(values: Floats, inside: NDArray[np.bool_], delta: float, level: float) -> tuple[int, int, int, int]:
    """(True positives, positives, false positives, negatives) of one half at the other's best threshold and side."""
    first, best, called = _halves(inside), -math.inf, np.zeros(inside.size, dtype=bool)
    for signed in (values, -values):  # what a model was made to forget scores below what it never read
        ins, outs = np.sort(signed[first & inside]), np.sort(signed[first & ~inside])
        known = np.unique(signed[first])
        thresholds = np.concatenate([[-math.inf], (known[1:] + known[:-1]) / 2])  # between them: others will lie there
        missed = np.searchsorted(ins, thresholds, "left")
        alarms = outs.size - np.searchsorted(outs, thresholds, "left")
        bounds = _epsilons(_upper(alarms, outs.size, level / 2), _upper(missed, ins.size, level / 2), delta)
        at = int(np.argmax(bounds))
        if bounds[at] > best:
            best, called = float(bounds[at]), signed >= thresholds[at]
    members, others = ~first & inside, ~first & ~inside
    return int((called & members).sum()), int(members.sum()), int((called & others).sum()), int(others.sum())
