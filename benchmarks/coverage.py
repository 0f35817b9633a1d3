"""How often every bound holds, by simulation over clusters, their sizes, how alike their rows are, and rare events.

python -m benchmarks.coverage [rates] [bounded] [bootstrap] [means] [paired] [contrasts] [auroc] [gaps]

A row tells in what share of the runs at most a bound was wrong, how often it held in the cells that are defined in
nearly all runs (the least and the most), and the cells that fell short: of 95 % less the simulation's error for exact
methods, of 93 % less it for bootstraps and asymptotic ones. An interval that is undefined is not wrong and decides
nothing; how often it is defined stands beside.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.sequences import betting_bounds
from shoplm_audit.types import Floats, Interval

uncertainty.RESAMPLES = 1_500  # fewer than in an audit: what they cost is noise, not coverage
GROUPS = (30, 60, 120, 300)
RATES = (0.01, 0.05, 0.1, 0.2, 0.5)
UNEVEN = (1, 1, 1, 2, 3, 5, 8, 20)

Draw = Callable[[np.random.Generator], tuple[Interval, float]]


@dataclass
class Tally:
    """The cells of one method and one number of clusters."""

    wrong: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    defined: list[float] = field(default_factory=list)

    def add(self, cell: str, draw: Draw, runs: int, wanted: float) -> None:
        """Simulates a cell."""
        rng, missed, widths = np.random.default_rng(zlib.crc32(cell.encode())), np.zeros(2), []
        for _ in range(runs):
            found, truth = draw(rng)
            if math.isnan(found.low):
                continue
            missed += (found.low > truth + 1e-12, found.high < truth - 1e-12)
            widths.append(found.high - found.low)
        self.defined.append(len(widths) / runs)
        self.wrong.append(float(missed.max()) / runs)
        if self.defined[-1] > 0.95:  # where it often is not, the rest is no random part
            self.held += (1 - missed / len(widths)).tolist()
            self.widths.append(float(np.mean(widths)))
        if self.wrong[-1] > 1 - wanted + 2.6 * math.sqrt(0.05 * 0.95 / runs):
            self.short.append(f"{cell}: {1 - self.wrong[-1]:.3f}")

    def row(self) -> str:
        """As a row of a table."""
        wrong, defined, short = f"{max(self.wrong):.3f}", f"{np.mean(self.defined):.2f}", "; ".join(self.short) or "-"
        if not self.held:
            return f"{wrong} | - | {defined} | - | {short} |"
        spread = f"{min(self.widths):.3f} to {max(self.widths):.3f}"
        return f"{wrong} | {min(self.held):.3f} to {max(self.held):.3f} | {defined} | {spread} | {short} |"


def _clusters(groups: int) -> Iterator[tuple[str, Floats, float]]:
    """(name, the number of each row's cluster, how alike its rows are)."""
    for name, sizes in (("1", np.ones(groups)), ("4", np.full(groups, 4)), ("uneven", np.resize(UNEVEN, groups))):
        index = np.repeat(np.arange(groups), sizes.astype(int))
        for alike in (0.0,) if name == "1" else (0.0, 0.3):
            yield f"{name}, icc {alike}", index, alike


def _hits(rng: np.random.Generator, rate: float, alike: float, index: Floats) -> Floats:
    groups = int(index.max()) + 1
    chance = np.full(groups, rate)
    if alike == 1:
        chance = (rng.random(groups) < rate).astype(float)
    elif alike:
        chance = rng.beta(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, groups)
    return (rng.random(index.size) < chance[index]).astype(float)


def _mean(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


def _over_rates(interval: Callable[[Floats, Floats, np.random.Generator], Interval], runs: int, wanted: float) -> None:
    for groups in GROUPS:
        tally = Tally()
        for name, index, alike in _clusters(groups):
            for rate in RATES:

                def draw(
                    rng: np.random.Generator, rate: float = rate, alike: float = alike, index: Floats = index
                ) -> tuple[Interval, float]:
                    return interval(_hits(rng, rate, alike, index), index, rng), rate

                tally.add(f"{groups} of {name}, rate {rate}", draw, runs, wanted)
        print(f"| {groups} | {tally.row()}", flush=True)


def _with_ones(values: Floats) -> Floats:
    return np.column_stack([values, np.ones(values.size)])


def rates() -> None:
    """Clopper-Pearson, and at Korn and Graubard's effective number of cases."""
    _over_rates(lambda hits, index, _: uncertainty.rate_interval(hits, index), 1000, 0.95)


def bounded() -> None:
    """Chernoff-Hoeffding, every cluster alike, and betting sequences, on the same columns."""
    print("Chernoff-Hoeffding / all alike")
    _over_rates(
        lambda hits, index, _: Interval(*uncertainty.bounded_mean(_with_ones(hits), index, 0.0, 1.0), 0), 1000, 0.95
    )
    print("betting, at the last look")

    def betting(hits: Floats, index: Floats, _: np.random.Generator) -> Interval:
        return Interval(*betting_bounds(hits, index, 0.95, largest=int(np.bincount(index).max())), "", 0)

    _over_rates(betting, 100, 0.95)


def bootstrap() -> None:
    """The cluster bootstrap of a mean (of a ratio, where clusters are uneven), undefined below its floors."""
    _over_rates(lambda hits, index, rng: uncertainty.bootstrap(_with_ones(hits), index, _mean, 0.95, rng), 1000, 0.93)


def means() -> None:
    """The same as `mean_of` have it: Chernoff-Hoeffding below the floors, always defined."""

    def interval(hits: Floats, index: Floats, rng: np.random.Generator) -> Interval:
        found = uncertainty.bootstrap(_with_ones(hits), index, _mean, 0.95, rng)
        if not math.isnan(found.low):
            return found
        return Interval(*uncertainty.bounded_mean(_with_ones(hits), index, 0.0, 1.0), found.n)

    _over_rates(interval, 1000, 0.93)


def paired() -> None:
    """The paired bootstrap of a change: the second run has the rate and shares half of its cases with the first."""

    for groups in GROUPS:
        tally = Tally()
        for rate in RATES:

            def draw(rng: np.random.Generator, rate: float = rate, groups: int = groups) -> tuple[Interval, float]:
                first = (rng.random(groups) < rate).astype(float)
                second = np.where(rng.random(groups) < 0.5, first, rng.random(groups) < rate)
                index = np.arange(groups)
                return uncertainty.paired_bootstrap(_with_ones(first), _with_ones(second), index, _mean, 0.95, rng), 0.0

            tally.add(f"{groups}, rate {rate}", draw, 1000, 0.93)
        print(f"| {groups} | {tally.row()}", flush=True)


def contrasts() -> None:
    """Welch's interval over names: normal effects, shares of few questions, skewed values."""
    laws: dict[str, Callable[[np.random.Generator, int], Floats]] = {
        "normal": lambda rng, n: rng.normal(size=n),
        "shares of 4": lambda rng, n: rng.binomial(4, 0.3, n) / 4,
        "skewed": lambda rng, n: rng.gamma(2.0, size=n),
    }
    for names in (6, 12, 24, 60):
        tally = Tally()
        for law, drawn in laws.items():

            def draw(
                rng: np.random.Generator,
                names: int = names,
                drawn: Callable[[np.random.Generator, int], Floats] = drawn,
            ) -> tuple[Interval, float]:
                units, first = drawn(rng, 2 * names), np.arange(2 * names) < names
                return uncertainty.contrast_interval(units, first, np.zeros(2 * names, dtype=np.int64))[1], 0.0

            tally.add(f"{names} names a group, {law}", draw, 4000, 0.93)
        print(f"| {names} | {tally.row()}", flush=True)


def auroc() -> None:
    """DeLong on the logit scale over clusters, binormal scores."""
    from scipy import stats

    for groups in GROUPS:
        tally = Tally()
        for value in (0.5, 0.75, 0.9):
            for per in (1, 4):
                labels = np.repeat(np.arange(2 * groups) < groups, per)
                index, shift = np.repeat(np.arange(2 * groups), per), math.sqrt(2) * stats.norm.ppf(value)

                def draw(
                    rng: np.random.Generator,
                    labels: Floats = labels,
                    index: Floats = index,
                    shift: float = shift,
                    value: float = value,
                ) -> tuple[Interval, float]:
                    own = rng.normal(0, math.sqrt(0.5), int(index.max()) + 1)[index]
                    scores = own + rng.normal(0, math.sqrt(0.5), index.size) + shift * labels
                    return uncertainty.auroc_interval(scores, labels, index)[1], value

                tally.add(f"{groups} a class, {per} rows, {value}", draw, 1000, 0.93)
        print(f"| {groups} | {tally.row()}", flush=True)


def gaps() -> None:
    """The calibration error over ten bins: each off by the same amount, half of them up and half down."""
    for groups in GROUPS:
        tally = Tally()
        for off in (0.0, 0.02, 0.1, 0.2):

            def draw(rng: np.random.Generator, groups: int = groups, off: float = off) -> tuple[Interval, float]:
                place = rng.integers(10, size=groups)
                sure = (place + 0.5) / 10 * 0.5 + 0.25
                right = rng.random(groups) < sure + off * np.where(place % 2, 1, -1)
                rows = np.zeros((groups, 11))
                rows[np.arange(groups), place], rows[:, -1] = right - sure, 1.0
                drawn = rng.random((200, groups)) < sure  # what a calibrated model could show, as `ece_of` tells it
                bins = np.eye(10)[place] / groups
                chance = float(np.quantile(np.abs((drawn - sure) @ bins).sum(axis=1), 0.95))
                return uncertainty.gaps_interval(rows, np.arange(groups), 0.95, rng, chance), off

            tally.add(f"{groups}, off by {off}", draw, 1000, 0.93)
        print(f"| {groups} | {tally.row()}", flush=True)


ALL = {one.__name__: one for one in (rates, bounded, bootstrap, means, paired, contrasts, auroc, gaps)}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or ALL:
        print(f"\n{chosen}: {ALL[chosen].__doc__}")
        print("| clusters | wrong at most | held | defined | width | fell short in |")
        ALL[chosen]()
