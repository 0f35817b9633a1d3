"""What a policy would do before it is asked: how often it blocks an unchanged model, how often it lets a fault through.

    Chances(blocked=0.004, undecided=0.11, passed=0.886)   # of an unchanged model, over all gates of the policy

Rates are counted exactly, by their binomial law under the gate's own rule; other numbers by Student's t with the
standard error that is known or assumed. Gates are counted as independent of each other: where they depend on each other
positively, as gates on the same answers do, an unchanged model is blocked and left undecided less often than stated.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from scipy import special

from shoplm_audit.margins import paired_p
from shoplm_audit.results import EstimateResult, Result, SuiteResult
from shoplm_audit.suites import load_suite, suite_names
from shoplm_audit.types import Floats, Gate, Verdict

__all__ = [
    "SIZES",
    "Chances",
    "Course",
    "Design",
    "Operating",
    "Paired",
    "based_on",
    "design_of",
    "operating_characteristic",
    "operating_of_result",
    "paired_of",
    "worse_than_baseline",
]

SIZES = (0.0, 0.01, 0.02, 0.05, 0.1)
DISCORDANCE = 0.1  # share of cases whose answer changes between two runs of models that are equally good
_EXACT = ("rate_", "recall_", "hit_rate_")  # counted by the binomial law
_NODES = (np.arange(64) + 0.5) / 64
_RARE = 1e-6  # chance of more cases becoming better than are looked at
_POINTS = 40  # of a curve
Of = Callable[["Design", Sequence[float]], tuple[Floats, Floats]]
_EFFECTIVE = re.compile(r"(\d+) effective")


@dataclass(frozen=True, slots=True)
class Design:
    """A gate as an audit is planned to hold it.

    Attributes:
        id: `suite.gate`.
        honest: what an unchanged model truly shows.
        n: independent units.
        exact: whether it is a rate, judged by its binomial law; else its standard error is needed.
        error: the standard error of the estimate, and the degrees of freedom with which it is estimated.
        family: gates of one are tested together.
        assumed: whether the standard error is assumed.
        share: whether it is counted in shares, so that it can become worse by points.
    """

    id: str
    at_least: float
    at_most: float
    honest: float
    n: int
    exact: bool = True
    error: float = 0.0
    freedom: float = math.inf
    family: str = ""
    assumed: bool = False
    share: bool = True

    def worse(self, size: float) -> float:
        """What the model truly shows once it is worse by `size`: towards the limit, the upper one of two."""
        moved = self.honest + (size if math.isfinite(self.at_most) else -size)
        return min(1.0, max(0.0, moved)) if self.exact else moved


@dataclass(frozen=True, slots=True)
class Chances:
    """Of an audit: a gate fails (exit 1), none fails but one is undecided (exit 3), all pass (exit 0)."""

    blocked: float
    undecided: float
    passed: float


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of a model that is worse in one gate alone, by size: of that gate, and of the whole policy.

    `against` is the chance that the comparison with a baseline blocks it; empty without one.
    """

    gate: str
    sizes: tuple[float, ...]
    alone: tuple[Chances, ...]
    policy: tuple[Chances, ...]
    against: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Operating:
    """The operating characteristic of a policy.

    Attributes:
        designs: of the gates that are counted.
        unchanged: of a model that shows what an honest one is expected to, or what the baseline showed.
        regressions: of the gate that sees a model worse by 10 points least, and of the median gate; at `SIZES`.
        curves: the same, finer and wider, to be drawn.
        likeliest: the gates that block an unchanged model in 1 of 1,000 audits or more, at most three, and how often.
        against: the chance that the comparison with the baseline blocks an unchanged model; None without a baseline.
        left_out: by gate, why it is not counted.
        assumed: what was assumed, in sentences.
    """

    designs: tuple[Design, ...]
    unchanged: Chances
    regressions: tuple[Course, ...] = ()
    curves: tuple[Course, ...] = ()
    likeliest: tuple[tuple[str, float], ...] = ()
    against: float | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Paired:
    """How a gate's metric is compared with the baseline's on the same cases.

    Attributes:
        design: the gate.
        discordance: of a rate, the share of cases that change although the models are equally good.
        error: of another metric, the standard error of the paired difference.
        margin: how much worse is still acceptable.
    """

    design: Design
    discordance: float
    error: float
    margin: float = 0.0


def design_of(key: str, gate: Gate, n: int, *, contrast: bool = False) -> Design | str:
    """The design of a gate before anything was measured; a string says why there is none.

    The standard errors that are assumed are about those of the shipped suites' honest stand-ins (benchmarks/policy.py).

    Args:
        key: `suite.gate`.
        gate: with its honest value.
        n: independent units.
        contrast: whether it compares groups.
    """
    if gate.burden == "refutation":
        return "it holds a claim against what an attack measured"
    if gate.honest is None:
        return "what an honest model shows is not known"
    if n < 2:
        return "it has fewer than 2 independent units"
    limits = [limit for limit in (gate.at_least, gate.at_most) if math.isfinite(limit)]
    share = all(-1 <= number <= 1 for number in (*limits, gate.honest)) and not gate.metric.startswith("exposure_")
    made = Design(key, gate.at_least, gate.at_most, gate.honest, n, family=gate.family, share=share)
    if gate.metric.startswith(_EXACT):
        return made
    apart = min(abs(limit - gate.honest) for limit in limits)
    binomial = math.sqrt(gate.honest * (1 - gate.honest)) if share and 0 < gate.honest < 1 else 0.0
    if contrast:
        unit = apart
    elif binomial:
        unit = binomial / 2 if gate.metric.startswith("mean_") else binomial
    else:
        unit = 3 * apart
    freedom = float(max(1, n - 2 if contrast else n - 1))
    return replace(made, exact=False, error=unit / math.sqrt(n), freedom=freedom, assumed=True)


def based_on(key: str, gate: Gate, estimate: EstimateResult, confidence: float, *, contrast: bool) -> Design | str:
    """The design of a gate on the same cases again, for a model that truly shows what an earlier run showed.

    Of a rate half a case is added to both sides: that none of n cases had it does not mean that none ever has.
    """
    if estimate.value is None:
        return "the baseline has no number for it"
    rate = gate.metric.startswith(_EXACT)
    value = (estimate.value * estimate.n + 0.5) / (estimate.n + 1) if rate else estimate.value
    made = design_of(key, replace(gate, honest=value), estimate.n, contrast=contrast)
    return made if isinstance(made, str) else _measured(made, estimate, confidence)


def paired_of(design: Design, margin: float = 0.0) -> Paired:
    """How a design's metric is compared with a baseline: answers that change without a cause are assumed."""
    spread = 2 * design.honest * (1 - design.honest) if design.exact else 0.0
    return Paired(design, min(DISCORDANCE, spread), design.error, margin)


def operating_characteristic(
    designs: Sequence[Design],
    confidence: float,
    *,
    paired: Sequence[Paired] = (),
    left_out: dict[str, str] | None = None,
) -> Operating:
    """How often the policy blocks an unchanged model, and one that is worse in one gate.

    A gate of a family fails only if Benjamini and Hochberg's procedure rejects it too. It is counted at the first step
    of that procedure: other gates of the family that an unchanged model fails would ease it, which is rare.

    Args:
        designs: of the gates that are counted.
        confidence: of each bound.
        paired: how the same gates are compared with a baseline, under Holm over all of them.
        left_out: gates that are not counted, and why.
    """
    members = Counter(design.family for design in designs if design.family)
    levels = {one.id: (1 - confidence) / (members[one.family] or 1) for one in designs}

    def of(design: Design, truths: Sequence[float]) -> tuple[Floats, Floats]:
        return chances(design, truths, confidence, levels[design.id])

    at_rest = {}
    for one in designs:
        fails, passes = of(one, [one.honest])
        at_rest[one.id] = float(fails[0]), float(passes[0])
    courses = _courses(designs, of, at_rest, paired, 1 - confidence)
    assumed = [one for one in designs if one.assumed]
    told = ["Gates are counted as independent of each other."]
    if assumed:
        told.append(f"The spread of {len(assumed)} gates that are no rates is assumed, not measured.")
    if paired:
        told.append(
            f"Beside a baseline, up to {100 * DISCORDANCE:g} % of the answers are assumed to change for no reason."
        )
    return Operating(
        designs=tuple(designs),
        unchanged=_together(at_rest.values()),
        regressions=tuple(_at(course, SIZES) for course in courses),
        curves=tuple(courses),
        likeliest=tuple(
            (key, failed)
            for key, (failed, _) in sorted(at_rest.items(), key=lambda one: (-one[1][0], one[0]))[:3]
            if failed >= 0.001
        ),
        against=_against("", 0.0, paired, 1 - confidence) if paired else None,
        left_out=dict(left_out or {}),
        assumed=tuple(told),
    )


def chances(design: Design, truths: Sequence[float], confidence: float, level: float) -> tuple[Floats, Floats]:
    """The chances (T,) that a gate fails, and that it passes, at each true value.

    Args:
        design: the gate.
        truths: true values, (T,).
        confidence: of each bound.
        level: how small the p-value of a failing gate has to be: 1 - confidence, less in a family.
    """
    at = np.asarray(truths, dtype=np.float64)
    return _of_rate(design, at, confidence, level) if design.exact else _of_mean(design, at, confidence, level)


def _of_rate(design: Design, truths: Floats, confidence: float, level: float) -> tuple[Floats, Floats]:
    hits = np.arange(design.n + 1.0)

    def bounds(alpha: float) -> tuple[Floats, Floats]:
        with np.errstate(invalid="ignore"):
            low = special.betaincinv(hits, design.n - hits + 1, alpha)
            high = special.betaincinv(hits + 1, design.n - hits, 1 - alpha)
        return np.where(hits == 0, 0.0, low), np.where(hits == design.n, 1.0, high)

    low, high = bounds(1 - confidence)
    sure_low, sure_high = bounds(level)
    fails = (sure_high < design.at_least) | (sure_low > design.at_most)
    passes = (low >= design.at_least) & (high <= design.at_most)
    chance = np.diff(special.bdtr(hits, design.n, truths[:, None]), prepend=0.0)
    return chance @ fails, chance @ passes


def _of_mean(design: Design, truths: Floats, confidence: float, level: float) -> tuple[Floats, Floats]:
    """By Student's t: averaged over what the standard error is estimated to be."""
    seen = np.sqrt(special.chdtri(design.freedom, _NODES) / design.freedom) if design.freedom < math.inf else np.ones(1)
    step, sure = (float(special.stdtrit(design.freedom, 1 - alpha)) for alpha in (1 - confidence, level))
    error = max(design.error, 1e-12)
    above = (design.at_most - truths[:, None]) / error  # (T, 1)
    below = (design.at_least - truths[:, None]) / error
    fails = special.ndtr(-above - sure * seen) + special.ndtr(below - sure * seen)
    high = above - step * seen if math.isfinite(design.at_most) else np.full((truths.size, seen.size), np.inf)
    low = below + step * seen if math.isfinite(design.at_least) else np.full((truths.size, seen.size), -np.inf)
    passes = np.maximum(0.0, special.ndtr(high) - special.ndtr(low))
    return fails.mean(axis=1), passes.mean(axis=1)


def _together(gates: Iterable[tuple[float, float]]) -> Chances:
    """Of a policy, from the chances that each gate fails and passes."""
    kept, passed = 1.0, 1.0
    for fails, passes in gates:
        kept, passed = kept * (1 - fails), passed * passes
    return Chances(1 - kept, max(0.0, kept - passed), passed)


def _courses(
    designs: Sequence[Design],
    of: Of,
    at_rest: Mapping[str, tuple[float, float]],
    paired: Sequence[Paired],
    level: float,
) -> list[Course]:
    """The courses of the gate that sees a model that is worse by 10 points least, and of the median gate."""
    far = (SIZES[-1], 0.2, 0.3, 0.5)
    seen = {
        one.id: (tuple(np.round(of(one, [one.worse(size) for size in far])[0], 9)), one.id)
        for one in designs
        if one.share
    }
    ranked = sorted((one for one in designs if one.share), key=lambda one: seen[one.id])
    chosen = {one.id: one for one in (ranked[:1] + ranked[len(ranked) // 2 :][:1])}
    courses = []
    for one in chosen.values():
        reach = next((size for size in far if of(one, [one.worse(size)])[0][0] > 0.99), far[-1])
        sizes = tuple(sorted({*SIZES, *(round(reach * i / _POINTS, 4) for i in range(_POINTS + 1))}))
        fails, passes = of(one, [one.worse(size) for size in sizes])
        others = _together(chance for key, chance in at_rest.items() if key != one.id)
        pairs = list(zip(map(float, fails), map(float, passes), strict=True))
        rest = (others.blocked, others.passed)
        courses.append(
            Course(
                one.id,
                sizes,
                tuple(_together([pair]) for pair in pairs),
                tuple(_together([rest, pair]) for pair in pairs),
                tuple(_against(one.id, size, paired, level) for size in sizes) if paired else (),
            )
        )
    return courses


def _at(course: Course, sizes: Sequence[float]) -> Course:
    """A course at some of its sizes."""
    places = [course.sizes.index(size) for size in sizes]
    return Course(
        course.gate,
        tuple(sizes),
        tuple(course.alone[i] for i in places),
        tuple(course.policy[i] for i in places),
        tuple(course.against[i] for i in places) if course.against else (),
    )


def _against(gate: str, size: float, paired: Sequence[Paired], level: float) -> float:
    """The chance that the comparison blocks a model that is worse by `size` in this gate."""
    kept = (
        1 - float(worse_than_baseline(one, [size if one.design.id == gate else 0.0], level / len(paired))[0])
        for one in paired
    )
    return 1 - math.prod(kept)


def worse_than_baseline(paired: Paired, sizes: Sequence[float], level: float) -> Floats:
    """The chance (S,) that a paired test finds a metric worse by more than the margin, at each true change.

    Rates by the exact test of the comparison (`margins.paired_p`), all else by the normal law.

    Args:
        paired: how they are compared.
        sizes: how much worse the model is in truth, (S,).
        level: of the test: under Holm over m gates a first one is found at (1 - confidence) / m.
    """
    at = np.asarray(sizes, dtype=np.float64)
    n, churn = paired.design.n, paired.discordance
    if not paired.design.exact:
        steps = (at - paired.margin) / max(paired.error, 1e-12)
        return np.asarray(special.ndtr(steps + special.ndtri(level)))
    room = np.minimum(at, 1 - churn)[:, None]  # answers that change for no reason still do; the fault comes on top
    often = int(special.bdtrik(1 - _RARE, n, churn / 2)) + 1 if churn else 0
    better = np.arange(min(n, often) + 1.0)
    first = _too_many(n, len(better), paired.margin, level)  # (B,)
    chance = np.diff(special.bdtr(better, n, churn / 2), prepend=0.0)
    worse = np.minimum((churn / 2 + room) / (1 - churn / 2), 1.0)
    others = np.arange(n, n - better.size, -1)
    beyond = np.where(first <= others, special.bdtrc(np.minimum(first, others) - 1, others, worse), 0.0)
    return np.asarray((chance * beyond).sum(axis=1))


@cache
def _too_many(n: int, rows: int, margin: float, level: float) -> Floats:
    """From how many worse cases on the test finds the metric worse, by how many became better (0, 1, ...), (B,)."""
    found, worse = np.full(rows, n + 1.0), 0
    for better in range(rows):
        while worse <= n - better and paired_p(worse, better, n, margin) > level:
            worse += 1
        if worse > n - better:
            break
        found[better] = worse
    return found


def operating_of_result(result: Result) -> Operating:
    """What the policy of a finished audit could see, with the numbers of units and the standard errors that it had.

    An honest model is what the gates of the program's own suites expect; gates of other suites are left out.
    """
    designs: list[Design] = []
    left_out: dict[str, str] = {}
    for suite in result.suites:
        honest = _honest_of(suite)
        found = {(one.metric, *sorted(one.slice.items())): one for one in suite.estimates}
        for told in suite.gates:
            estimate = found.get((told.metric, *sorted(told.slice.items())))
            if estimate is None or told.verdict in (Verdict.NOT_APPLICABLE, Verdict.NOT_TESTED):
                continue
            gate = honest.get(told.id)
            if told.burden == "proof" and gate is not None:
                at_least, at_most = (
                    limit if limit is None else float(limit) for limit in (told.at_least, told.at_most)
                )
                gate = gate.limited(at_least, at_most)
            made = design_of(told.id, gate, estimate.n) if gate else "what an honest model shows is not known"
            if isinstance(made, str):
                left_out[told.id] = made
            else:
                designs.append(_measured(made, estimate, result.confidence))
    return operating_characteristic(designs, result.confidence, left_out=left_out)


def _honest_of(suite: SuiteResult) -> dict[str, Gate]:
    """The gates of a suite of this program by their full ids; a result may name any folder, and none is opened."""
    if suite.name not in suite_names():
        return {}
    return {f"{suite.name}.{gate.id}": gate for gate in load_suite(suite.name).gates}


def _measured(design: Design, estimate: EstimateResult, confidence: float) -> Design:
    """The design with the standard error that an estimate's bounds imply, or with its effective number of cases."""
    if design.exact:
        effective = _EFFECTIVE.search(estimate.method)
        return replace(design, n=max(2, int(effective[1]))) if effective else design
    freedom = estimate.freedom if estimate.freedom is not None else math.inf
    bounds = [bound for bound in (estimate.low, estimate.high) if bound is not None]
    half = 0.0 if estimate.value is None else max((abs(bound - estimate.value) for bound in bounds), default=0.0)
    if not half > 0:
        return design
    return replace(design, error=half / float(special.stdtrit(freedom, confidence)), freedom=freedom, assumed=False)
