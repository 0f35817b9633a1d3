"""Reference values of the specification, and coverage: every bound holds as often as it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from shoplm_audit import uncertainty
from shoplm_audit.types import Interval
from shoplm_audit.uncertainty import clopper_pearson, rate_interval

# Reference values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "limit", "fewest"),
    [(1000, 0.90, 916), (2000, 0.90, 1823), (1000, 0.95, 962), (500, 0.95, 484), (4000, 0.96, 3861), (500, 0.90, 462),
     (300, 0.95, 292)],
)  # fmt: skip
def test_fewest_passes_that_show_a_rate(n: int, limit: float, fewest: int) -> None:
    assert clopper_pearson(fewest, n)[0] >= limit > clopper_pearson(fewest - 1, n)[0]


@pytest.mark.parametrize(
    ("n", "bound"),
    [(10, 0.2589), (20, 0.1391), (30, 0.0950), (50, 0.0582), (100, 0.0295), (300, 0.00994), (1000, 0.00299)],
)
def test_no_event_in_n_leaves_the_rule_of_three(n: int, bound: float) -> None:
    assert clopper_pearson(0, n) == (0.0, pytest.approx(bound, rel=4e-3))


def test_clopper_pearson_reference_values() -> None:
    assert clopper_pearson(96, 100, 0.975) == pytest.approx((0.900743, 0.988996), abs=1e-6)
    assert clopper_pearson(900, 1000) == pytest.approx((0.8830, 0.9152), abs=5e-5)
    assert all(math.isnan(bound) for bound in clopper_pearson(0, 0))
    assert clopper_pearson(5, 5)[1] == 1.0


def test_mcnemar_reference_value() -> None:
    assert uncertainty.mcnemar_p(15, 5) == pytest.approx(0.0413895, abs=1e-7)
    assert uncertainty.mcnemar_p(0, 0) == 1.0


def test_delong_reference_value_and_bounds_within_reach() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.55, 0.6, 0.5, 0.4, 0.3, 0.8])
    value, found, error = uncertainty.auroc_interval(scores, np.arange(9) < 4, np.arange(9))
    assert (value, error) == pytest.approx((0.825, 0.14930394))
    assert 0 < found.low < 0.5324 + 0.1
    assert 0.825 < found.high < 1


def test_auroc_counts_a_tie_as_one_half_and_needs_both_classes() -> None:
    assert uncertainty.auroc(np.array([1.0, 1.0]), np.array([True, False])) == 0.5
    assert math.isnan(uncertainty.auroc(np.array([1.0, 2.0]), np.array([True, True])))
    assert math.isnan(uncertainty.auroc(np.array([1.0, math.nan]), np.array([True, False])))


def test_perfect_separation_is_as_sure_as_its_independent_pairs() -> None:
    scores, labels = np.r_[np.ones(20), np.zeros(20)], np.arange(40) < 20
    apart = uncertainty.auroc_interval(scores, labels, np.arange(40))[1]
    assert (apart.low, apart.high) == (pytest.approx(0.05 ** (1 / 20)), 1.0)
    # The same product on both sides: a cluster can be in one pair only.
    together = uncertainty.auroc_interval(scores, labels, np.tile(np.arange(20), 2))[1]
    assert together.low == pytest.approx(0.05 ** (1 / 10))


def test_false_positive_rate_of_an_observed_one_percent() -> None:
    for n, low, high in (
        (100, 0.0003, 0.0545), (300, 0.0021, 0.0289), (500, 0.0033, 0.0232), (1000, 0.0048, 0.0183),
        (2000, 0.0061, 0.0154), (5000, 0.0074, 0.0132),
    ):  # fmt: skip
        assert clopper_pearson(n // 100, n, 0.975) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(("n", "place"), [(98, None), (99, 1), (299, 3), (300, 3), (1000, 10)])
def test_threshold_leaves_a_further_negative_at_most_its_chance(n: int, place: int | None) -> None:
    found = uncertainty.threshold_at_fpr(np.random.default_rng(0).permutation(n).astype(float), 0.01)
    assert found == (math.inf if place is None else n - place)
    assert math.isnan(uncertainty.threshold_at_fpr(np.array([]), 0.01))


@pytest.mark.parametrize(
    ("pairs", "worse", "better"), [(469, 0.10, 0.05), (1132, 0.08, 0.05), (783, 0.06, 0.03), (155, 0.15, 0.05)]
)
def test_mcnemar_sample_sizes_have_their_power(pairs: int, worse: float, better: float) -> None:
    # Sizes are for the test without its exactness, which costs some of the 80 %.
    changed = np.arange(pairs + 1)
    power = 0.0
    for n, chance in zip(changed, stats.binom.pmf(changed, pairs, worse + better), strict=True):
        if chance > 1e-6:
            lost = np.arange(n + 1)
            rejected = np.minimum(1, 2 * stats.binom.cdf(np.minimum(lost, n - lost), n, 0.5)) < 0.05
            power += chance * stats.binom.pmf(lost, n, worse / (worse + better))[rejected].sum()
            assert rejected[n // 4] == (uncertainty.mcnemar_p(n // 4, n - n // 4) < 0.05)
    assert 0.75 < power < 0.81


@pytest.mark.parametrize(("deviation", "margin", "clusters"), [(0.3, 0.1, 78), (0.3, 0.05, 309), (0.5, 0.1, 215)])
def test_clusters_that_show_a_difference_within_a_margin_with_ninety_percent_power(
    deviation: float, margin: float, clusters: int
) -> None:
    def seen_of(n: int) -> float:
        return uncertainty.smallest_detectable(deviation / math.sqrt(n), power=0.9)

    assert seen_of(clusters) <= margin < seen_of(clusters - 1)


def test_positives_that_give_a_true_positive_rate_to_five_points() -> None:
    def half(n: int) -> float:  # of a two-sided interval
        return uncertainty.smallest_detectable(math.sqrt(0.8 * 0.2 / n), 0.975, power=0.5)

    assert half(246) <= 0.05 < half(245)


def test_power_of_a_rate_gate_is_that_of_its_binomial() -> None:
    assert uncertainty.power_of_rate(1000, 0.9, 0.9, math.inf) == pytest.approx(1 - stats.binom.cdf(915, 1000, 0.9))
    assert uncertainty.power_of_rate(58, 0.0, -math.inf, 0.05) == 0.0
    assert uncertainty.power_of_rate(59, 0.0, -math.inf, 0.05) == pytest.approx(1.0)


def test_cases_to_decide_grow_with_the_square_of_the_gap_and_linearly_from_an_extreme() -> None:
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 900, 0.89) == pytest.approx(3600, abs=1)
    low, high = clopper_pearson(0, 50)
    assert uncertainty.cases_to_decide(0.0, low, high, 50, 0.01) == pytest.approx(299, rel=0.05)
    assert uncertainty.cases_to_decide(0.9, 0.8, 0.95, 50, 0.9) is None
    assert uncertainty.cases_to_decide(math.nan, math.nan, math.nan, 50, 0.9) is None


def test_a_number_of_cases_that_nobody_would_ask_is_not_told() -> None:
    half = 0.02
    # 25 times as many decide where the gap is a fifth of the half, to two digits and upwards.
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 1234, 0.884) == 31_000
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 1234, 0.88 + half / 8) == 79_000
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 3000, 0.88 + half / 7) == 150_000  # 49 times
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 3000, 0.88 + half / 7.2) is None
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 30, 0.88 + half / 49) == 73_000  # few were asked
    assert uncertainty.cases_to_decide(0.88, 0.86, 0.90, 30, 0.88 + half / 51) is None


# False certainty ------------------------------------------------------------------------------------


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def _with_ones(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones(values.size)])


@pytest.mark.parametrize("equal", [0.0, 0.1, 1 / 3, 1e6 / 7])
def test_equal_scores_never_make_an_interval_of_zero_width(equal: float) -> None:
    # 0.1 summed in different numbers differs in the last bit: a "spread" of 1e-17 is none.
    values, rng = np.full(40, equal), np.random.default_rng(0)
    found = uncertainty.bootstrap(_with_ones(values), np.arange(40), _mean, 0.95, rng)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    _, found = uncertainty.contrast_interval(values, np.arange(40) < 20, np.zeros(40, dtype=np.int64))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_too_few_clusters_for_a_bootstrap_are_undefined() -> None:
    rows = _with_ones(np.random.default_rng(0).normal(size=90))
    found = uncertainty.bootstrap(rows, np.repeat(np.arange(9), 10), _mean, 0.95, np.random.default_rng(0))
    assert math.isnan(found.low)
    assert found.n == 9


def test_a_rate_with_a_nan_is_undefined() -> None:
    assert math.isnan(rate_interval(np.array([1.0, math.nan]), np.arange(2)).low)


def test_bootstrap_memory_is_bounded_for_many_clusters() -> None:
    import tracemalloc

    rows = _with_ones(np.random.default_rng(0).normal(size=5000))
    tracemalloc.start()
    uncertainty.bootstrap(rows, np.arange(5000), _mean, 0.95, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6


# Coverage by simulation -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A way to draw data whose truth is known, and the interval that is made of them."""

    name: str
    truth: float
    draw: Callable[[np.random.Generator], Interval]
    runs: int
    kind: str  # "exact": at least what it says; "about": within two points of it


def _rates(rate: float, icc: float, sizes: np.ndarray) -> Callable[[np.random.Generator], Interval]:
    clusters = np.repeat(np.arange(sizes.size), sizes)

    def draw(rng: np.random.Generator) -> Interval:
        if icc == 1:
            chance = (rng.random(sizes.size) < rate).astype(float)
        elif icc == 0:
            chance = np.full(sizes.size, rate)
        else:
            chance = rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, sizes.size)
        return rate_interval((rng.random(clusters.size) < chance[clusters]).astype(float), clusters)

    return draw


def _means(sample: Callable[[np.random.Generator, int], np.ndarray], clusters: int, per: int = 1):
    def draw(rng: np.random.Generator) -> Interval:
        rows = np.repeat(sample(rng, clusters), per) + (rng.normal(0, 0.1, clusters * per) if per > 1 else 0.0)
        index = np.repeat(np.arange(clusters), per)
        return uncertainty.bootstrap(_with_ones(rows), index, _mean, 0.95, rng)

    return draw


def _ratios(clusters: int) -> Callable[[np.random.Generator], Interval]:
    """Contradicted claims over claims: 3 % of 1 + Poisson(4) claims, alike within a text."""

    def draw(rng: np.random.Generator) -> Interval:
        claims = rng.poisson(4, clusters) + 1
        wrong = rng.binomial(claims, rng.beta(0.6, 19.4, clusters))
        rows = np.column_stack([wrong, claims]).astype(float)
        return uncertainty.bootstrap(rows, np.arange(clusters), _mean, 0.95, rng)

    return draw


def _aurocs(value: float, clusters: int, per: int, shared: bool, alike: float = 0.6):
    """Binormal scores; `shared` puts a positive and a negative of one product into one cluster."""
    shift = math.sqrt(2) * stats.norm.ppf(value)
    labels = np.repeat([True, False], clusters * per)
    index = np.repeat(np.arange(2 * clusters), per) % clusters if shared else np.repeat(np.arange(2 * clusters), per)

    def draw(rng: np.random.Generator) -> Interval:
        own = rng.normal(0, math.sqrt(alike), 2 * clusters)[index]
        scores = own + rng.normal(0, math.sqrt(1 - alike), labels.size) + shift * labels
        return uncertainty.auroc_interval(scores, labels, index)[1]

    return draw


def _auroc_changes(clusters: int):
    """A second model with a noisier score on the same rows."""
    labels, index = np.repeat([True, False], clusters), np.tile(np.arange(clusters), 2)

    def draw(rng: np.random.Generator) -> Interval:
        scores = rng.normal(0, 1, 2 * clusters) + math.sqrt(2) * stats.norm.ppf(0.8) * labels
        noisy = scores + rng.normal(0, 1, 2 * clusters)
        return uncertainty.auroc_difference(scores, noisy, labels, index)[1]

    return draw


_NOISIER = float(stats.norm.cdf(stats.norm.ppf(0.8) / math.sqrt(2))) - 0.8


def _contrasts(deviation: float, gap: float, names: int):
    """Names with effects of their own, 4 noisy templates each, two languages."""
    in_first, strata = np.tile(np.repeat([True, False], names), 2), np.repeat([0, 1], 2 * names)

    def draw(rng: np.random.Generator) -> Interval:
        units = rng.normal(0, deviation, 4 * names) + rng.normal(0, 0.2, (4 * names, 4)).mean(axis=1) + gap * in_first
        return uncertainty.contrast_interval(units, in_first, strata)[1]

    return draw


def _thresholds(n: int):
    """How often a further negative lies above the threshold, held to the interval of a held-out sample."""

    def draw(rng: np.random.Generator) -> Interval:
        threshold = uncertainty.threshold_at_fpr(rng.normal(size=n), 0.01)
        found = rate_interval((rng.normal(size=n) > threshold).astype(float), np.arange(n))
        truth = float(stats.norm.sf(threshold))
        return Interval(found.low - truth, found.high - truth, "", n)

    return draw


_FOUR, _UNEQUAL = np.full(40, 4), np.r_[np.full(50, 1), 30, 20, 10]
_NORMAL = lambda rng, n: rng.normal(size=n)  # noqa: E731
_BETA = lambda rng, n: rng.beta(8, 2, n)  # noqa: E731
TRIALS = [
    *(Trial(f"rate {p} alone", p, _rates(p, 0, np.full(120, 1)), 1500, "exact") for p in (0.01, 0.5, 0.97)),
    *(Trial(f"rate {p} icc {i}", p, _rates(p, i, _FOUR), 1200, "exact") for p in (0.02, 0.5) for i in (0, 0.3, 1)),
    Trial("rate .5 in unequal clusters", 0.5, _rates(0.5, 1, _UNEQUAL), 1200, "exact"),
    Trial("mean of normal", 0.0, _means(_NORMAL, 30), 1200, "about"),
    Trial("mean of skewed", 0.8, _means(_BETA, 40), 1200, "about"),
    Trial("mean in clusters", 0.8, _means(_BETA, 40, per=5), 1200, "about"),
    Trial("auroc .5", 0.5, _aurocs(0.5, 60, 1, shared=False), 1200, "about"),
    Trial("auroc .9 of clusters", 0.9, _aurocs(0.9, 40, 3, shared=False), 1200, "about"),
    Trial("auroc .75 of both sides", 0.75, _aurocs(0.75, 60, 2, shared=True), 1200, "about"),
    Trial("auroc paired", _NOISIER, _auroc_changes(80), 1200, "about"),
    *(Trial(f"contrast sd {s}", 0.0, _contrasts(s, 0.0, 24), 1500, "about") for s in (0.3, 0.5)),
    Trial("threshold at 1 % of 300", 0.0, _thresholds(300), 1500, "exact"),
]  # fmt: skip
WIDE = [
    *(
        Trial(f"rate {p} icc {icc} in {name}", p, _rates(p, icc, sizes), 6000, "exact")
        for p in (0.005, 0.05, 0.2, 0.5, 0.95)
        for icc in (0, 0.1, 0.5, 1)
        for name, sizes in (("fours", _FOUR), ("twenties", np.full(20, 10)), ("pairs", np.full(150, 2)))
    ),
    *(Trial(f"mean of normal, {n}", 0.0, _means(_NORMAL, n), 2500, "about") for n in (30, 150)),
    *(Trial(f"mean of skewed, {n}", 0.8, _means(_BETA, n), 2500, "about") for n in (30, 150)),
    Trial("ratio of rare claims", 0.03, _ratios(240), 4000, "about"),
    *(
        Trial(f"auroc {value} {shared}", value, _aurocs(value, 60, per, shared), 4000, "about")
        for value in (0.5, 0.7, 0.95)
        for per in (1, 3)
        for shared in (True, False)
    ),
    *(Trial(f"contrast {s}, {n}", 0.1, _contrasts(s, 0.1, n), 6000, "about") for s in (0.1, 0.3, 0.5) for n in (6, 24)),
    *(Trial(f"threshold of {n}", 0.0, _thresholds(n), 6000, "exact") for n in (300, 1000)),
]  # fmt: skip


@pytest.mark.parametrize(
    "trial", [*TRIALS, *(pytest.param(t, marks=pytest.mark.slow) for t in WIDE)], ids=lambda t: t.name
)
def test_every_bound_holds_as_often_as_it_says(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "RESAMPLES", 2500)  # fewer than in an audit: what they cost is noise, not coverage
    rng = np.random.default_rng(sum(trial.name.encode()))
    found = [trial.draw(rng) for _ in range(trial.runs)]
    below, above = np.array([i.low for i in found]), np.array([i.high for i in found])
    assert np.isfinite(below).mean() > 0.99  # undefined now and then, never as a rule
    noise = 2.6 * math.sqrt(0.05 * 0.95 / trial.runs)
    least = 0.95 if trial.kind == "exact" else 0.93
    for side, share in (("lower", np.mean(below <= trial.truth)), ("upper", np.mean(above >= trial.truth))):
        assert share >= least - noise, f"{trial.name}: the {side} bound held in {share:.3f}"
        if trial.kind == "about":  # nor is it wide for nothing
            assert share <= 0.97 + noise, f"{trial.name}: the {side} bound held in {share:.3f}"


@pytest.mark.parametrize(("deviation", "gap"), [(0.3, 0.0), (0.5, 0.0), (0.3, 0.05), (0.5, -0.05)])
def test_names_with_effects_of_their_own_set_off_no_false_alarm(deviation: float, gap: float) -> None:
    # A gate from -0.05 to 0.05 on equal groups, and on groups that differ by what is just allowed.
    rng = np.random.default_rng(4)
    draw = _contrasts(deviation, gap, 24)
    found = [draw(rng) for _ in range(1500)]
    assert np.mean([i.low > 0.05 or i.high < -0.05 for i in found]) <= 0.07


def test_a_threshold_lets_through_at_most_its_share_on_average() -> None:
    rng = np.random.default_rng(5)
    share = [stats.norm.sf(uncertainty.threshold_at_fpr(rng.normal(size=300), 0.01)) for _ in range(3000)]
    assert 0.008 < np.mean(share) <= 0.0105
