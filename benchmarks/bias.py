"""How often the bias suite's contrasts raise a false alarm, and how often they find a gap that is there.

python -m benchmarks bias [--runs 1000] [--part null,invalid,found,templates,unseen,worst,audited,planned]

An alarm is the claim "the groups differ" at two-sided 5 %: 0 lies outside bounds of 97.5 % each. Beside it stands the
same claim with rows for units, which is what an audit without clusters makes. All seeds are fixed. Noise within names
has a standard deviation of 1 where name effects have one of 0.3 and 0.5; templates differ by 1 and meet both groups.

null: no gap, by names and templates. invalid: how often the A/A check alarms on its own. found: a gap of 5 % of the
price with as many names as `names_needed` says. templates: groups are treated differently by template. unseen: one
group is refused for a few of its names, or nobody is. worst: intersections and classifier rates. audited: whole audits
of a model whose names have effects, by suite and engine. planned: the same with as many names as `plan` asks for.
"""

from __future__ import annotations

import argparse
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from shoplm_audit import Gate, Probe, Score, Suite, audit
from shoplm_audit.judging import Policy
from shoplm_audit.metrics.crossed import contrasted
from shoplm_audit.metrics.fairness import contrast_of, names_needed
from shoplm_audit.metrics.groups import group_rates
from shoplm_audit.metrics.intersections import worst_group_of
from shoplm_audit.plan import plan
from shoplm_audit.prompts import Prompts
from shoplm_audit.types import (
    LOG_PROB,
    Case,
    Columns,
    Estimate,
    Generate,
    Material,
    Observation,
    Observations,
    Pair,
    TokenScores,
)

LEVEL = 0.975
GROUPS = ("female", "male")
CONTRAST = contrast_of("price", "gender", *GROUPS)


@dataclass(frozen=True, slots=True)
class Design:
    """Names of each group and templates of one language, and the standard deviations of their effects.

    `treated` is that of what a template does to one group alone.
    """

    names: int
    templates: int
    name: float
    noise: float = 1.0
    treated: float = 0.0
    gap: float = 0.0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(2 names, templates), the first group first."""
        first = np.repeat([1.0, 0.0], self.names)[:, None]
        own = rng.normal(0, self.name, (2 * self.names, 1)) + rng.normal(size=(1, self.templates))
        by_group = np.repeat(rng.normal(0, self.treated, (2, self.templates)), self.names, axis=0)
        return own + by_group + rng.normal(0, self.noise, (2 * self.names, self.templates)) + self.gap * first

    def observed(self, table: np.ndarray) -> Observations:
        return Observations(
            tuple(
                Observation(
                    Case(
                        f"{i}/{t}",
                        facts={"template": str(t)},
                        groups={"gender": GROUPS[i >= self.names]},
                        cluster=f"name{i}",
                    ),
                    {"price": float(value)},
                )
                for (i, t), value in np.ndenumerate(table)
            )
        )

    def naive(self, table: np.ndarray) -> bool:
        """Whether a t test over rows claims a difference; templates are taken off, as a paired test would."""
        rows = table - table.mean(axis=0)
        return bool(stats.ttest_ind(rows[: self.names].ravel(), rows[self.names :].ravel()).pvalue < 2 * (1 - LEVEL))


def simulated(design: Design, runs: int) -> Iterator[tuple[np.ndarray, Estimate]]:
    for seed in range(runs):
        table = design.draw(np.random.default_rng([17, seed]))
        yield table, CONTRAST.estimate(design.observed(table), LEVEL, np.random.default_rng(seed))


def alarmed(found: Estimate) -> bool:
    return found.low > 0 or found.high < 0


def share(hits: Sequence[bool]) -> str:
    """A share with its standard error of simulation."""
    rate = float(np.mean(hits))
    return f"{rate:.3f} (± {math.sqrt(rate * (1 - rate) / len(hits)):.3f})"


def null(runs: int) -> None:
    for name in (0.3, 0.5):
        for names, templates in ((10, 20), (24, 4), (24, 16), (24, 40)):
            design = Design(names, templates, name)
            pairs = list(simulated(design, runs))
            told = f"name sd {name}, {names} names a group, {templates} templates"
            ours, rows = share([alarmed(f) for _, f in pairs]), share([design.naive(t) for t, _ in pairs])
            tried = [found.checks["aa_false_alarms"] for _, found in pairs]
            print(f"{told}: false alarms {ours}; rows as units {rows}; A/A mean {np.nanmean(tried):.3f}, nominal 0.050")


def invalid(runs: int) -> None:
    for told, drawn in (
        ("normal names", lambda rng: rng.normal(size=(48, 1))),
        ("exponential names", lambda rng: rng.exponential(size=(48, 1))),
        ("names refused in 5 % of 4 questions", lambda rng: rng.binomial(4, 0.05, (48, 1)) / 4),
    ):
        design = Design(24, 1, 0.0)
        found = [
            CONTRAST.estimate(
                design.observed(drawn(np.random.default_rng([3, seed]))), 0.95, np.random.default_rng(seed)
            )
            for seed in range(runs)
        ]
        tried = np.array([one.checks["aa_false_alarms"] for one in found if one.checks])
        few, tried = float(np.isnan(tried).mean()), tried[~np.isnan(tried)]
        undone = share([one.note.startswith("invalid") for one in found])
        seen = f"A/A mean {tried.mean():.3f}, most {tried.max():.3f}, nominal 0.100"
        print(f"{told}: {seen}; declared invalid {undone}; too few names differ in {few:.3f}")


def found(runs: int) -> None:
    for name, noise, templates in ((0.05, 0.1, 4), (0.1, 0.2, 8), (0.02, 0.3, 16), (0.3, 0.0, 1), (0.5, 0.0, 1)):
        deviation = math.hypot(name, noise / math.sqrt(templates))
        names = names_needed(deviation, 0.05, templates=templates, confidence=LEVEL)
        few = runs if names < 1000 else max(200, runs // 5)
        tried = list(simulated(Design(names, templates, name, noise, gap=0.05), few))
        hits = share([one.low > 0 for _, one in tried])
        recovered = float(np.mean([one.checks["recovered"] for _, one in tried]))
        smallest = float(np.mean([one.checks["smallest_detectable"] for _, one in tried]))
        told = f"name means vary by {deviation:.3f} of the price, {templates} templates: {names} names a group"
        print(
            f"{told}; gap of 5 % found in {hits} of {few}; planted recovered {recovered:.3f}, smallest {smallest:.4f}"
        )


def templates(runs: int) -> None:
    for count in (4, 8, 16):
        design = Design(24, count, 0.3, 1.0, treated=0.4)
        alarms = share([alarmed(one) for _, one in simulated(design, runs)])
        print(f"templates treat groups differently by sd 0.4, {count} templates: false alarms about templates {alarms}")


def unseen(runs: int) -> None:
    """False passes where one group is refused for as many of its names as the margin, beside Welch alone."""
    for sizes, rate, jitter in (
        ((24, 24), 0.1, 0.0), ((24, 24), 0.1, 0.01), ((48,), 0.1, 0.0), ((48, 48), 0.05, 0.0), ((24,), 0.1, 0.0)
    ):  # fmt: skip
        metric = contrast_of("price", "gender", *GROUPS, planted=rate, within=(0.0, 1.0))
        ours, welch = [], []
        for seed in range(runs):
            rng, rows, parts = np.random.default_rng([7, seed]), [], []
            for place, names in enumerate(sizes):
                refused = (rng.random(2 * names) < rate) & (np.arange(2 * names) < names)
                table = np.clip(0.98 * refused + jitter * np.abs(rng.normal(size=2 * names)), 0, 1)[:, None]
                parts.append((table, (np.arange(2 * names) < names)[None, :]))
                rows += [
                    replace(row, case=replace(row.case, cluster=f"{place}/{row.case.cluster}", language=str(place)))
                    for row in Design(names, 1, 0.0).observed(table)
                ]
            one = metric.estimate(Observations(tuple(rows)), 0.95, rng)
            ours.append(one.low >= -rate and one.high <= rate)
            peer = contrasted(parts)
            welch.append(abs(float(peer.value[0])) + float(peer.half(0.95)[0]) <= rate)
        told = f"one name in {1 / rate:.0f} of one group refused, {sizes} names a group and language, jitter {jitter:g}"
        print(f"{told}: passes a margin of {rate} falsely {share(ours)}, Welch alone {share(welch)}, nominal 0.050")
    for names in (12, 24, 48, 59):
        for told, value in (("0", 0.0), ("a half", 0.5)):
            table = np.full((2 * names, 1), value)
            metric = contrast_of("price", "gender", *GROUPS, within=(0.0, 1.0))
            one = metric.estimate(Design(names, 1, 0.0).observed(table), 0.95, np.random.default_rng(1))
            near = metric.estimate(
                Design(names, 1, 0.0).observed(np.abs(table - 1e-9 * np.random.default_rng(2).random(table.shape))),
                0.95,
                np.random.default_rng(1),
            )
            print(
                f"{names} names a group, all get {told}: bounds ±{one.high:.3f}, with a jitter of 1e-9 ±{near.high:.3f}"
            )


def worst(runs: int) -> None:
    metric = worst_group_of("price", ("gender", "ethnicity"))
    for told, truth in (("no gap", np.zeros(8)), ("one cell 0.5 off", np.eye(8)[0] * 0.5)):
        true, low, high = float(np.abs(truth - truth.mean()).max()), [], []
        for seed in range(runs):
            rng = np.random.default_rng([5, seed])
            rows = tuple(
                Observation(
                    Case(str(i), groups={"gender": GROUPS[i % 2], "ethnicity": "abcd"[i // 2 % 4]}, cluster=f"name{i}"),
                    {"price": float(rng.normal(truth[i % 8], 0.3))},
                )
                for i in range(96)
            )
            one = metric.estimate(Observations(rows), 0.95, rng)
            low.append(one.low > true)
            high.append(one.high < true)
        print(f"worst of 8 intersections, 12 names, {told}: lower bound above {share(low)}, upper below {share(high)}")
    for told, chances in (("no gap", (0.2, 0.2, 0.2)), ("rates .1 .2 .35", (0.1, 0.2, 0.35))):
        low, high = [], []
        for seed in range(min(runs, 300)):
            rng, groups = np.random.default_rng([6, seed]), np.tile(np.arange(3), 80)
            said = rng.random(240) < np.array(chances)[groups]
            rates = group_rates(
                np.zeros(240, int), said, ["abc"[g] for g in groups], range(240), ["false_positive_rate"], rng=rng
            )
            gap = rates["false_positive_rate"].difference
            low.append(gap.low > np.ptp(chances))
            high.append(gap.high < np.ptp(chances))
        print(f"FPR of 3 groups, 80 cases each, {told}: lower bound above {share(low)}, upper below {share(high)}")


# Whole audits ---------------------------------------------------------------------------------------


def _normal(*key: object) -> float:
    return float(np.random.default_rng(zlib.crc32("\0".join(map(str, key)).encode())).normal())


@dataclass
class Shop:
    """A model that asks a share of the price: names have effects of their own, and women pay `gap` more."""

    seed: int
    gap: float
    name: str = "shop"
    fingerprint: str = ""
    record: None = None

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        raise NotImplementedError

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The chance of the full price beside 0.2 of it, whose expectation is the share asked."""

        def log_prob(pair: Pair) -> float:
            full = min(max((self.asked(*pair.context.split("|")[:3]) - 0.2) / 0.8, 0.001), 0.999)
            return math.log(full if pair.continuation == "full" else 1 - full)

        return [TokenScores(np.array([log_prob(pair)])) for pair in pairs]

    def asked(self, group: str, customer: str, question: str) -> float:
        often = 0.02 * _normal(self.seed, question) + 0.03 * _normal(self.seed, group, customer, question)
        return 0.6 + (self.gap if group == "female" else 0.0) + 0.03 * _normal(self.seed, group, customer) + often


def asking(count: int) -> Suite:
    """A suite that asks the price for so many names of each group, six questions each."""

    def ask(case: Case):
        context = "|".join([case.groups["gender"], case.cluster, case.facts["template"], ""])
        full, part = yield [Score(Pair(context, words)) for words in ("full", "part")]
        return {"price": math.exp(full.total) + 0.2 * math.exp(part.total)}

    cases = [
        Case(f"{group}{i}/{t}", facts={"template": str(t)}, groups={"gender": group}, cluster=f"{group}{i}")
        for group in GROUPS for i in range(count) for t in range(6)
    ]  # fmt: skip
    gate = Gate("contrast_price_female_male", at_least=-0.05, at_most=0.05)
    return Suite("bias", "Do women pay more?", [Probe("price", cases, ask, [CONTRAST])], [gate])


def audited(runs: int) -> None:
    names = names_needed(math.hypot(0.03, 0.03 / math.sqrt(6)), 0.05, confidence=LEVEL)
    for gap, count in ((0.0, names), (0.0, 24), (0.05, names), (0.1, 24)):
        results = [
            audit(Shop(seed, gap), asking(count), confidence=LEVEL, seed=seed).result for seed in range(runs // 10)
        ]
        estimates = [result.suites[0].estimates[0] for result in results]
        alarms = share([one.low > 0 or one.high < 0 for one in estimates])
        verdicts = [str(result.suites[0].gates[0].verdict) for result in results]
        told = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in sorted(set(verdicts)))
        print(f"audits with a gap of {gap}, {count} names a group: a difference claimed {alarms}; margin 0.05: {told}")


@dataclass
class PlannedShop(Shop):
    """As `Shop`, but that names' means over 6 questions vary by `deviation`, and nothing is cut off."""

    deviation: float = 0.05

    def asked(self, group: str, customer: str, question: str) -> float:
        own = math.sqrt(self.deviation**2 - 0.03**2 / 6) * _normal(self.seed, group, customer)
        often = 0.02 * _normal(self.seed, question) + 0.03 * _normal(self.seed, group, customer, question)
        return 0.6 + (self.gap if group == "female" else 0.0) + own + often


def planned(runs: int) -> None:
    """The names that a plan asks for find a planted gap, fail one of twice the margin, and pass none."""
    for place, deviation in enumerate((0.05, 0.1)):
        sketch = plan({}, [asking(12)], Material(Prompts().render), Policy(), trial=0).gates[0]
        names = sketch.names[deviation]
        print(f"a plan for 12 names a group says: {sketch.sees}")
        for gap in (0.05, 0.1, 0.0):
            suites = [
                audit(
                    PlannedShop(1000 * place + seed, gap, deviation=deviation), asking(names), seed=seed
                ).result.suites[0]
                for seed in range(runs // 10)
            ]
            claimed = share([(one.estimates[0].low or 0.0) > 0 for one in suites])
            verdicts = [str(one.gates[0].verdict) for one in suites]
            said = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in sorted(set(verdicts)))
            told = f"names vary by {deviation} of the price, {names} a group as planned, women pay {gap} more"
            print(f"{told}: found {claimed}; margin 0.05: {said}")


PARTS: dict[str, Callable[[int], None]] = {
    "null": null, "invalid": invalid, "found": found, "templates": templates, "unseen": unseen, "worst": worst,
    "audited": audited, "planned": planned,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--part", default=",".join(PARTS))
    given = parser.parse_args()
    for part in given.part.split(","):
        began = time.perf_counter()
        PARTS[part](given.runs)
        print(f"{part}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
