"""Whether a policy does what its operating characteristic states: audits are drawn, and judged by the judging code.

python -m benchmarks.policy [audits]
python -m benchmarks.policy paired [audits]   # 25 rates beside a baseline alone

Rates are drawn as 0/1 columns of one row a cluster, contrasts of groups as means of names, other numbers as estimates
with their standard errors; each estimate is made and judged as a run makes and judges it, families included.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import special

from shoplm_audit import multiplicity, uncertainty
from shoplm_audit.judging import Policy, in_families, judge
from shoplm_audit.margins import paired_p
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.observing import material_of
from shoplm_audit.operating import Chances, Design, Operating, Paired, operating_characteristic, paired_of
from shoplm_audit.plan import plan
from shoplm_audit.prompts import Prompts
from shoplm_audit.suites import load_suite, suite_names
from shoplm_audit.types import Case, Estimate, Floats, Gate, Observation, Observations, Prompt, Verdict

CONFIDENCE = 0.95


def simulated(
    designs: Sequence[Design], truths: Sequence[float], audits: int, rng: np.random.Generator, shared: float = 0.0
) -> Chances:
    """What becomes of a model with these true values in so many drawn audits.

    Args:
        designs: of the gates of the policy.
        truths: what the model truly shows in each.
        audits: how many are drawn.
        rng: where they are drawn from.
        shared: the correlation of the gates' errors.
    """
    common = rng.standard_normal(audits)
    drawn = []
    for design, truth in zip(designs, truths, strict=True):
        towards = 1 if np.isfinite(design.at_most) else -1  # what makes one answer worse makes the others worse too
        pulls = towards * np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(audits)
        drawn.append(_rates(design, truth, pulls) if design.exact else _means(design, truth, pulls, rng))
    gates = [
        Gate(f"m{i}", one.at_least, one.at_most, family=one.family, honest=one.honest) for i, one in enumerate(designs)
    ]
    policy = Policy(confidence=CONFIDENCE)
    blocked = passed = 0
    known: dict[tuple[str, int], Verdict] = {}
    for estimates in zip(*drawn, strict=True):
        found = {gate.id: one for gate, one in zip(gates, estimates, strict=True)}
        families = in_families(gates, found, CONFIDENCE)
        verdicts = []
        for gate in gates:
            one, key = found[gate.id], (gate.id, id(found[gate.id]))
            if key not in known or gate.family:
                known[key] = judge("s", gate, one, policy, "p", "", families.get(gate.id)).verdict
            verdicts.append(known[key])
        blocked += Verdict.FAIL in verdicts
        passed += all(verdict is Verdict.PASS for verdict in verdicts)
    return Chances(blocked / audits, 1 - (blocked + passed) / audits, passed / audits)


def _rates(design: Design, truth: float, pulls: Floats) -> list[Estimate]:
    """Estimates of a rate by its metric, one for each number of hits that is drawn."""
    metric, rng = rate_of("hit", better="lower"), np.random.default_rng(0)
    law = special.bdtr(np.arange(design.n + 1.0), design.n, truth)
    hits = np.minimum(np.searchsorted(law, special.ndtr(pulls)), design.n)
    cases = [Case(f"c{i}", prompt=Prompt("?")) for i in range(design.n)]
    of = {
        int(k): metric.estimate(
            Observations(tuple(Observation(case, {"hit": i < k}) for i, case in enumerate(cases))), CONFIDENCE, rng
        )
        for k in np.unique(hits)
    }
    return [of[int(k)] for k in hits]


def _means(design: Design, truth: float, pulls: Floats, rng: np.random.Generator) -> list[Estimate]:
    """Estimates of a contrast by Welch's interval over names; of another number by Student's t."""
    if not design.family:
        spread = np.sqrt(rng.chisquare(design.freedom, pulls.size) / design.freedom)
        half = special.stdtrit(design.freedom, CONFIDENCE) * design.error * spread
        values = truth + design.error * pulls
        return [
            Estimate(float(v), float(v - h), float(v + h), design.n, "t", freedom=design.freedom)
            for v, h in zip(values, half, strict=True)
        ]
    first, second = design.n // 2, design.n - design.n // 2
    deviation = design.error / np.sqrt(1 / first + 1 / second)
    units = rng.normal(0.0, deviation, (pulls.size, design.n))
    belongs = np.arange(design.n) < first
    strata = np.zeros(design.n, dtype=np.int64)
    seen = units[:, belongs].mean(axis=1) - units[:, ~belongs].mean(axis=1)
    units[:, belongs] += (truth + design.error * pulls - seen)[:, None]  # what the estimate is, correlated or not
    estimates = []
    for row in units:
        value, found = uncertainty.contrast_interval(row, belongs, strata, CONFIDENCE)
        freedom = _welch(row, belongs)
        estimates.append(Estimate(value, found.low, found.high, design.n, found.method, freedom=freedom))
    return estimates


def _welch(units: Floats, belongs: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    parts = [units[group].var(ddof=1) / group.sum() for group in (belongs, ~belongs)]
    sizes = [group.sum() - 1 for group in (belongs, ~belongs)]
    return float(sum(parts) ** 2 / sum(part**2 / size for part, size in zip(parts, sizes, strict=True)))


def compared(paired: Sequence[Paired], sizes: Sequence[float], audits: int, rng: np.random.Generator) -> float:
    """How often the exact tests of rates, under Holm over all of them, find one worse than the baseline."""
    p_values = np.ones((audits, len(paired)))
    for i, (one, size) in enumerate(zip(paired, sizes, strict=True)):
        churn = one.discordance
        chances = [churn / 2 + size, churn / 2, 1 - churn - size]
        worse, better, _ = rng.multinomial(one.design.n, chances, audits).T
        p_of: dict[tuple[int, int], float] = {}
        for audit, seen in enumerate(zip(worse.tolist(), better.tolist(), strict=True)):
            if seen not in p_of:
                p_of[seen] = paired_p(*seen, one.design.n, one.margin)
            p_values[audit, i] = p_of[seen]
    return float(np.mean([(multiplicity.holm(row) <= 1 - CONFIDENCE).any() for row in p_values]))


def unchanged_and_fallen(n: int, margin: float, audits: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often 25 gates on n pairs block an unchanged model, and catch a fall by 5 points in one of them.

    A tenth of the pairs differ, as where rules were compared elsewhere: 7.5 % of the fallen gate are worse.
    """
    p_of = cache(lambda worse, better: paired_p(worse, better, n, margin))
    found = []
    for fallen in (0.0, 0.05):
        shares = np.tile([0.05, 0.05, 0.9], (25, 1))
        shares[0] += [fallen / 2, -fallen / 2, 0.0]
        counts = rng.multinomial(n, shares, size=(audits, 25))[..., :2].tolist()
        worse = np.array([multiplicity.holm([p_of(*seen) for seen in audit]) <= 1 - CONFIDENCE for audit in counts])
        found.append(float(worse[:, 0].mean() if fallen else worse.any(axis=1).mean()))
    return found[0], found[1]


def shipped(*suites: str) -> Operating:
    """The operating characteristic of the shipped gates of these suites, with what a plan counts."""
    made = plan(
        {}, [load_suite(name) for name in suites], material_of({}, {}, Prompts(), 0, None), Policy(), trial=0
    ).operating
    assert made is not None
    return made


def main() -> None:
    """Every suite alone and all together: stated beside simulated, unchanged and worse in two gates."""
    audits = int(sys.argv[-1]) if sys.argv[1:] and sys.argv[-1].isdigit() else 2000
    if "paired" in sys.argv:
        for margin in (0.0, 0.02):
            for n in (200, 500, 1000):
                blocked, caught = unchanged_and_fallen(n, margin, audits, np.random.default_rng(0))
                print(f"margin {margin:g}, {n} pairs: blocked {blocked:.1%}, a fall by 5 points caught {caught:.1%}")
        return
    print(f"{audits} audits each; blocked / undecided / passed, stated and simulated, in per cent")
    furthest = 0.0
    for names in (*((name,) for name in suite_names()), suite_names()):
        operating, rng = shipped(*names), np.random.default_rng(0)
        designs = operating.designs
        rest = [one.honest for one in designs]
        title = names[0] if len(names) == 1 else "all"
        stated = [(f"{title}, {len(designs)} gates, unchanged", operating.unchanged, rest)]
        for course in operating.regressions[-1:]:
            for size, chances in list(zip(course.sizes, course.policy, strict=True))[-2:]:
                truths = [one.worse(size) if one.id == course.gate else one.honest for one in designs]
                stated.append((f"{title}, {course.gate} worse by {100 * size:g} points", chances, truths))
        for told, chances, truths in stated:
            found = simulated(designs, truths, audits, rng)
            apart = max(abs(a - b) for a, b in zip(_parts(chances), _parts(found), strict=True))
            furthest = max(furthest, apart)
            print(f"{told}: {_said(chances)}; {_said(found)}; apart {100 * apart:.1f}")
        print(f"{title}, errors correlated by 0.5, unchanged: {_said(simulated(designs, rest, audits, rng, 0.5))}")
        _compare_beside(title, designs, audits, rng)
    print(f"furthest apart: {100 * furthest:.1f} points")


def _compare_beside(title: str, designs: Sequence[Design], audits: int, rng: np.random.Generator) -> None:
    """The comparison with a baseline, over the rates: unchanged, and worse in the median gate."""
    paired = [paired_of(one, 0.02) for one in designs if one.exact]
    if not paired:
        return
    beside = operating_characteristic([one.design for one in paired], CONFIDENCE, paired=paired)
    course = beside.regressions[-1]
    for size, stated in zip(course.sizes, course.against, strict=True):
        sizes = [size if one.design.id == course.gate else 0.0 for one in paired]
        found = compared(paired, sizes, audits, rng)
        print(f"{title}, beside a baseline, {course.gate} worse by {size:.0%}: {100 * stated:.1f}; {100 * found:.1f}")


def _parts(chances: Chances) -> tuple[float, float, float]:
    return chances.blocked, chances.undecided, chances.passed


def _said(chances: Chances) -> str:
    return " / ".join(f"{100 * part:.1f}" for part in _parts(chances))


if __name__ == "__main__":
    main()
