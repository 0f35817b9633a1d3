"""Two runs on the same cases: what became worse, how sure that is, where it is."""

import io
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import typer
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from shoplm_audit import Case, Gate, Probe, Suite, mean_of, rate_of
from shoplm_audit.cli import comparing
from shoplm_audit.compare import changes_of, compare
from shoplm_audit.engine import Basis, judged
from shoplm_audit.errors import DataError
from shoplm_audit.evidence import files
from shoplm_audit.judging import Policy
from shoplm_audit.margins import default_margin, flipped_p, implied_p, paired_bounds, paired_p, sequential_p
from shoplm_audit.metrics.detection import auroc_of
from shoplm_audit.metrics.fairness import contrast_of
from shoplm_audit.metrics.overlap import overlap_gap_of
from shoplm_audit.metrics.reduce import f1_of
from shoplm_audit.multiplicity import holm
from shoplm_audit.observing import Sitting
from shoplm_audit.rendering.changes import numbers_of, print_changes, since
from shoplm_audit.results import AuditResult, ModelResult, Result, StoppingResult
from shoplm_audit.sequences import difference_sequence_of
from shoplm_audit.types import Bounded, Estimate, Observation, Observations


def cases(count, rows=1):
    return [
        Case(
            f"c{i}/{j}",
            facts={"kind": ("new", "used")[i % 2], "grams": float(i * 37 % 101), "text": "x" * 99},
            cluster=f"c{i}" if rows > 1 else "",
            language=("en", "zh")[(i // 2) % 2],
            groups={"category": ("lamps", "kettles", "shirts", "shoes")[i % 4]},
        )
        for i in range(count)
        for j in range(rows)
    ]


def audited(suite, columns, made, *, name="base", fingerprint="", confidence=0.95, prompts="p"):
    """An audit in which each case showed these values."""
    rows = [
        Observation(case, {key: float(values[i]) for key, values in columns.items()}) for i, case in enumerate(made)
    ]
    sitting = Sitting.seen(suite.name, suite.probes[0], rows, 0, len(rows))
    basis = Basis(0, prompts, frozenset(), Policy(confidence=confidence), {})
    result = Result(
        verdict="pass",
        model=ModelResult(name=name, fingerprint=fingerprint),
        seed=0,
        confidence=confidence,
        suites=[judged(suite, [sitting], basis)],
    )
    return AuditResult(result, {(suite.name, suite.probes[0].name): Observations(tuple(rows))})


def suite_of(*metrics, gates=None):
    def observe(case):
        yield from ()

    on = [Gate(metric.name, at_least=0.0) for metric in metrics] if gates is None else gates
    return Suite("shop", "?", [Probe("one", [], observe, metrics)], on)


RIGHT, WRONG = rate_of("right", better="higher"), rate_of("wrong", better="lower")


def one_change(metric, old, new, *, rows=1, **margins):
    suite, made = suite_of(metric), cases(len(old) // rows, rows)
    column = metric.name.split("_", 1)[1]
    found = changes_of(audited(suite, {column: old}, made), audited(suite, {column: new}, made), [suite], margins)
    (change,) = found.changes
    return change


# The tests themselves --------------------------------------------------------------------------------


def test_reference_values_of_mcnemar_and_of_two_one_sided_tests() -> None:
    assert 2 * paired_p(15, 5, 200) == pytest.approx(0.0413895, abs=5e-8)
    first = np.array([4.1, 3.9, 4, 4.2, 3.8, 4, 4.1, 3.9, 4.05, 3.95])
    second = np.array([4, 3.95, 4.02, 4.1, 3.85, 4.05, 4, 3.9, 4.1, 3.9])
    change = first - second
    half = stats.t.ppf(0.95, 9) * change.std(ddof=1) / math.sqrt(10)
    seen = Estimate(change.mean(), change.mean() - half, change.mean() + half, 10, "paired t")
    turned = replace(seen, value=-seen.value, low=-seen.high, high=-seen.low)
    low, high = implied_p(seen, -0.1, 0.95), implied_p(turned, -0.1, 0.95)
    assert low == pytest.approx(0.000253289, rel=1e-5)
    assert max(low, high) == pytest.approx(0.00140880, rel=1e-5)


def test_bounds_of_paired_shares_hold_in_every_cell_exactly() -> None:
    """No simulation: the chance of every outcome is summed."""
    n = 24
    seen = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    worse, better = np.array(seen).T
    lows = np.array([paired_bounds(b, c, n, 0.95)[0] for b, c in seen])
    for up in (0.002, 0.01, 0.025, 0.05, 0.1):
        for down in (0.0, 0.01, 0.05, 0.1):
            chance = stats.multinomial.pmf(
                np.column_stack([worse, better, n - worse - better]), n, [up, down, 1 - up - down]
            )
            assert chance[lows > up - down + 1e-9].sum() <= 0.05


def test_bounds_agree_with_the_test_and_no_change_is_no_certainty() -> None:
    low, high = paired_bounds(15, 5, 200, 0.95)
    assert low <= 0.05 <= high
    assert paired_p(15, 5, 200, low - 1e-4, 0.001) <= 0.05 < paired_p(15, 5, 200, low + 1e-4, 0.001)
    assert paired_bounds(0, 0, 59, 0.95) == pytest.approx((-0.0495, 0.0495), abs=1e-4)
    assert paired_bounds(5, 15, 200, 0.95) == pytest.approx((-high, -low))
    assert paired_p(0, 0, 200) == paired_p(0, 9, 200) == 1.0
    # McNemar does not reject 9 against 3, so neither do the bounds.
    assert paired_p(9, 3, 400) > 0.05
    assert paired_bounds(9, 3, 400, 0.95)[0] <= 0


@pytest.mark.parametrize("margin", [0.02, 0.1])
def test_the_test_beside_a_margin_rejects_no_more_often_than_it_says_whatever_share_of_cases_changes(margin) -> None:
    """No simulation: over a grid of shares that change, the chance of every outcome is summed; and little is wasted."""
    n = 30
    seen = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])
    p = np.array([paired_p(int(b), int(c), n, margin) for b, c in seen])
    counts = np.column_stack([seen, n - seen.sum(axis=1)])
    for level in (0.05, 0.002):
        sizes = [
            stats.multinomial.pmf(counts, n, [(share + margin) / 2, (share - margin) / 2, 1 - share])[p <= level].sum()
            for share in np.linspace(margin + 1e-9, 1.0, 120)
        ]
        assert 0.6 * level <= max(sizes) <= level


def test_a_fall_that_nobody_can_miss_is_worse_among_168_gates() -> None:
    """An extraction rate from 0 to 50 % of 40, contradictions from 4 to 30 % of 80."""
    for worse, n in ((20, 40), (21, 80)):
        assert 168 * paired_p(worse, 0, n, 0.02) <= 0.01
    assert paired_p(10, 0, 80, 0.02) <= 0.01
    assert paired_p(2, 0, 80, 0.02) > 0.05


def test_signs_of_clusters_are_changed_as_all_changes_of_sign_together_say() -> None:
    changes = np.array([0.3, 0.1, 0.2, -0.1, 0.4, 0.1, 0.2, 0.0, 0.3, 0.2, -0.05, 0.15])
    clusters = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    sums = np.bincount(clusters, changes - 0.02)
    signs = np.array(np.meshgrid(*[[-1, 1]] * sums.size)).reshape(sums.size, -1)
    exact = float((signs.T @ sums >= sums.sum() - 1e-12).mean())
    assert flipped_p(changes, clusters, 0.02, np.random.default_rng(0)) == pytest.approx(exact, rel=0.25)
    assert flipped_p(np.zeros(9), np.arange(9), 0.0, np.random.default_rng(0)) == 1.0


def test_few_changes_of_a_mean_are_not_taken_for_a_fall_among_many_gates() -> None:
    """11 of 60 cases worse by as much as one is better: a share of 13 in 4,096 where neither run is the better one."""
    rates = [f"right{i}" for i in range(24)]
    kept = mean_of("kept", better="higher", worst=0.0, best=100.0)
    suite = suite_of(kept, *[rate_of(name, better="higher") for name in rates])
    old = np.random.default_rng(0).uniform(40, 60, 60)
    verdicts = []
    for fallen in (11, 20):
        new = old + np.r_[np.full(fallen, -7.0), 7.0, np.zeros(59 - fallen)]
        columns = [dict.fromkeys(rates, np.ones(60)) | {"kept": values} for values in (old, new)]
        found = changes_of(*[audited(suite, column, cases(60)) for column in columns], [suite])
        verdicts.append(found.changes[0].verdict)
    assert verdicts == ["undecided", "worse"]


@cache
def _p(worse, better, n, margin):
    return paired_p(worse, better, n, margin)


@pytest.mark.parametrize(("margin", "n", "least"), [(0.0, 200, 0.0), (0.02, 200, 0.0), (0.0, 1000, 0.9)])
def test_a_policy_of_25_gates_rarely_blocks_a_release_in_which_nothing_changed(margin, n, least) -> None:
    rng = np.random.default_rng(1)
    draws, gates = 400, 25
    for drop in (0.0, 0.05):
        shares = np.tile([0.05, 0.05, 0.9], (gates, 1))
        shares[0] += [drop / 2, -drop / 2, 0.0]
        counts = rng.multinomial(n, shares, size=(draws, gates))
        p = np.array([[_p(int(b), int(c), n, margin) for b, c, _ in one] for one in counts])
        worse = np.array([holm(one) <= 0.05 for one in p])
        if drop:
            assert worse[:, 0].mean() >= least
        else:
            assert worse.any(axis=1).mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / draws)  # exactly: 2.0 %, 3.6 %


# Verdicts --------------------------------------------------------------------------------------------


def test_a_share_that_fell_is_worse_by_its_discordant_cases_and_one_that_rose_is_not() -> None:
    old = np.ones(200)
    new = np.r_[np.zeros(40), np.ones(160)]
    worse = one_change(RIGHT, old, new)
    assert (worse.verdict, worse.margin, worse.only_first, worse.only_second) == ("worse", 0.02, 40, 0)
    assert worse.difference == pytest.approx(-0.2)
    assert worse.low < -0.2 < worse.high < -0.02
    assert "McNemar" in worse.method
    assert one_change(RIGHT, new, old).verdict == "no worse"
    assert one_change(WRONG, old, new).verdict == "no worse"
    assert one_change(WRONG, new, old).verdict == "worse"


def test_the_margin_decides_and_each_gate_can_state_its_own() -> None:
    old, new = np.ones(400), np.r_[np.zeros(40), np.ones(360)]
    assert one_change(RIGHT, old, new).verdict == "worse"
    assert one_change(RIGHT, old, new, **{"shop.rate_right": 0.1}).verdict == "undecided"
    assert one_change(RIGHT, old, new, rate_right=0.2).verdict == "no worse"
    assert one_change(RIGHT, old, old, rate_right=0.0).verdict == "undecided"  # no data show that nothing is lost
    suite = suite_of(RIGHT)
    runs = [audited(suite, {"right": column}, cases(400)) for column in (old, new)]
    assert compare(*runs, [suite], margin=0.2).verdict == "no worse"


def test_runs_in_which_nothing_differs_are_no_worse_only_where_there_are_cases_enough() -> None:
    for n, verdict in ((100, "undecided"), (200, "no worse")):
        change = one_change(RIGHT, np.ones(n), np.ones(n))
        assert (change.verdict, change.difference) == (verdict, 0.0)
        assert change.high == -change.low == pytest.approx(1 - 0.05 ** (1 / n), abs=1e-5)
    rows = np.tile([1.0, 0.0], 80)
    clustered = one_change(RIGHT, rows, rows, rows=2)
    assert clustered.n == 80
    assert clustered.high == pytest.approx(1 - 0.05 ** (1 / 80), rel=0.4)
    assert clustered.verdict == "undecided"


def test_rows_that_are_repeated_within_clusters_make_nothing_surer() -> None:
    rng = np.random.default_rng(3)
    old = (rng.random(60) < 0.5).astype(float)
    new = np.where(rng.random(60) < 0.25, 0.0, old)
    alone, copied = one_change(RIGHT, old, new), one_change(RIGHT, np.repeat(old, 5), np.repeat(new, 5), rows=5)
    assert copied.n == alone.n == 60
    assert copied.p_value > alone.p_value / 20
    assert copied.high - copied.low > 0.7 * (alone.high - alone.low)


def _scored(rows):
    return rows.numbers("score"), rows.numbers("label") > 0, rows.clusters


def test_what_is_undefined_in_identical_runs_is_undecided_and_never_kept() -> None:
    made = cases(100)
    scores = np.random.default_rng(0).normal(size=100)
    labels = (np.arange(100) % 2).astype(float)
    metric = auroc_of(_scored, name="auroc_score", better="higher")
    suite = suite_of(metric)
    run = audited(suite, {"score": scores, "label": labels}, made)
    (change,) = changes_of(run, run, [suite]).changes
    assert change.verdict == "undecided"
    assert "no case differs" in change.method
    other = audited(suite, {"score": np.r_[math.nan, scores[1:]], "label": labels}, made)
    (change,) = changes_of(run, other, [suite]).changes
    assert change.verdict == "undefined"


def test_a_contrast_is_worse_only_when_it_lies_further_from_zero() -> None:
    def mean(rows):
        return rows.numbers("gap")

    plain = mean_of("gap", better="higher")
    signed = replace(plain, name="contrast_gap", better="zero", bounded=None)
    suite, made = suite_of(signed), cases(200)
    noise = np.random.default_rng(5).normal(scale=0.1, size=(2, 200))

    def verdict(first, second, margin=0.02):
        runs = [audited(suite, {"gap": level + noise[i]}, made) for i, level in enumerate((first, second))]
        return changes_of(*runs, [suite], {"contrast_gap": margin}).verdict

    assert verdict(0.0, 0.3) == verdict(0.0, -0.3) == verdict(-0.1, 0.4) == verdict(-0.2, -0.6) == "worse"
    assert verdict(0.3, 0.0) == verdict(-0.3, 0.0) == verdict(-0.3, 0.1) == "no worse"
    assert verdict(-0.3, 0.3, 0.05) == "no worse"  # a changed sign alone is no fall
    assert verdict(0.0, 0.05, 0.05) == "undecided"


def test_a_gate_among_many_needs_more_and_metrics_without_gate_do_not_decide() -> None:
    old = np.ones(200)
    new = np.r_[np.zeros(10), np.ones(190)]
    names = [f"column{i}" for i in range(25)]
    metrics = [rate_of(name, better="higher") for name in names]
    columns = [dict.fromkeys(names, old), dict.fromkeys(names, old) | {"column0": new}]
    verdicts = {}
    for gated in (1, 25):
        suite = suite_of(*metrics, gates=[Gate(f"rate_{name}", at_least=0.1) for name in names[:gated]])
        runs = [audited(suite, column, cases(200)) for column in columns]
        found = compare(*runs, [suite])
        assert len(found.changes) == 25
        assert [bool(change.gate) for change in found.changes] == [True] * gated + [False] * (25 - gated)
        assert len(changes_of(*runs, [suite]).changes) == gated
        verdicts[gated] = found.changes[0].verdict
    assert verdicts == {1: "worse", 25: "undecided"}
    suite = suite_of(*metrics, gates=[Gate("rate_column1", at_least=0.1)])
    fallen = dict.fromkeys(names, old) | {"column0": np.zeros(200)}
    found = compare(audited(suite, columns[0], cases(200)), audited(suite, fallen, cases(200)), [suite])
    assert {change.metric: change.verdict for change in found.changes}["rate_column0"] == "worse"
    assert found.verdict == "no worse"


def test_a_mean_that_fell_is_worse_beyond_its_margin_over_clusters() -> None:
    rng = np.random.default_rng(7)
    kept = mean_of("kept", better="higher", worst=0.0, best=1.0)
    old = rng.uniform(0.5, 1.0, 240)
    change = one_change(kept, old, old - 0.1, rows=2)
    assert (change.verdict, change.margin, change.n) == ("worse", 0.02, 120)
    assert change.low < change.difference < change.high  # all clusters fell alike, and yet it is no certainty
    change = one_change(kept, old, np.clip(old - rng.uniform(0.0, 0.2, 240), 0, 1), rows=2)
    assert change.verdict == "worse"
    assert change.only_first is None
    assert one_change(kept, old, np.clip(old + rng.uniform(-0.02, 0.02, 240), 0, 1), rows=2).verdict == "no worse"


def test_margins_are_two_points_for_what_lies_between_0_and_1_and_nothing_else() -> None:
    price = mean_of("price", better="lower")
    assert [default_margin(one) for one in (RIGHT, f1_of("f1_x", hits="a", false="b", missed="c"), price)] == [
        0.02,
        0.02,
        0,
    ]
    assert default_margin(mean_of("stars", better="higher", worst=1.0, best=5.0)) == 0.0
    assert default_margin(mean_of("kept", better="higher", worst=0.0, best=1.0)) == 0.02


def test_a_metric_that_is_no_mean_of_what_it_bounds_is_left_to_its_own_difference() -> None:
    halved = replace(
        RIGHT,
        name="rate_halved",
        estimate=lambda seen, c, rng: Estimate(float(seen.numbers("halved").mean()) / 2, 0.0, 1.0, len(seen), "half"),
        difference=lambda old, new, c, rng: Estimate(-0.25, -0.4, -0.1, len(old), "own"),
        bounded=Bounded(lambda rows: rows.numbers("halved")),
    )
    change = one_change(halved, np.ones(100), np.r_[np.zeros(50), np.ones(50)])
    assert (change.method, change.difference, change.only_first) == ("own", -0.25, None)


def test_contrasts_of_shares_have_two_points_and_one_in_another_unit_says_that_it_has_none() -> None:
    share = contrast_of("granted", "gender", "female", "male", within=(0.0, 1.0))
    dollars = contrast_of("paid", "gender", "female", "male")
    gap = overlap_gap_of("ranking", "gender", "female", "male")
    assert [default_margin(one) for one in (share, gap)] == [0.02, 0.02]
    made = [
        Case(
            f"c{i}", groups={"gender": ("female", "male")[i % 2]}, cluster=f"name{i % 40}", facts={"template": i // 40}
        )
        for i in range(80)
    ]
    noise = np.random.default_rng(0).normal(size=80)
    columns = {"granted": 0.5 + noise / 100, "paid": 50 + noise}
    suite = suite_of(share, dollars)
    run, other = audited(suite, columns, made), audited(suite, columns | {"granted": 0.5 - noise / 100}, made)
    found = changes_of(run, other, [suite])
    assert [change.margin for change in found.changes] == [0.02, 0.0]
    assert found.changes[0].verdict == "no worse"
    assert any("No margin is known" in note and "shop.contrast_paid" in note for note in found.notes)
    assert not any("contrast_granted" in note for note in found.notes)
    assert not any(
        "No margin" in note for note in changes_of(run, other, [suite], {"contrast_paid_female_male": 1}).notes
    )


# Runs that stopped on what they saw ------------------------------------------------------------------


def stopped(run):
    told = StoppingResult(gates=1, confidence=0.95, asked=100, planned=400, decided=1)
    return replace(run, result=run.result.model_copy(update={"stopping": told}))


def test_beside_a_run_that_stopped_only_bounds_that_hold_at_any_time_are_used() -> None:
    plain = mean_of("stars", better="higher")
    suite, made, rng = suite_of(RIGHT, plain), cases(400), np.random.default_rng(0)
    stars = rng.normal(size=400)

    def verdicts(fallen, *, which):
        new = np.r_[np.zeros(fallen), np.ones(400 - fallen)]
        runs = [
            audited(suite, {"right": np.ones(400), "stars": stars}, made),
            audited(suite, {"right": new, "stars": stars - 3}, made),
        ]
        runs[which] = stopped(runs[which])
        return changes_of(*runs, [suite])

    for which in (0, 1):
        found = verdicts(120, which=which)
        right, other = found.changes
        assert (right.verdict, right.difference) == ("worse", pytest.approx(-0.3))
        assert "any time" in right.method
        assert (other.verdict, other.p_value, other.low) == ("undecided", None, None)
        assert "a run stopped on what it saw" in other.method
        assert any("stopped on what it saw" in note for note in found.notes)
        assert verdicts(16, which=which).changes[0].verdict == "undecided"  # worse by the test of a fixed number
    assert one_change(RIGHT, np.ones(400), np.r_[np.zeros(16), np.ones(384)]).verdict == "worse"


def test_the_p_value_of_a_stopped_run_is_below_a_level_exactly_where_its_bound_lies_beyond_the_margin() -> None:
    rng = np.random.default_rng(1)
    for fallen in (5, 30, 60, 90):
        worsening, clusters = np.r_[np.ones(fallen), np.zeros(200 - fallen)], rng.permutation(200) // 2
        rows = [
            Observations(tuple(Observation(Case(f"c{i}", cluster=f"{c}"), {"wrong": float(v)}) for i, (c, v) in both))
            for both in (
                list(enumerate(zip(clusters, np.zeros(200), strict=True))),
                list(enumerate(zip(clusters, worsening, strict=True))),
            )
        ]
        low = difference_sequence_of(WRONG, *rows, 2, 0.95).low
        for margin in (low - 1e-6, low + 1e-6):
            assert (sequential_p(worsening, clusters, margin, 1.0, 2) <= 0.05) is bool(margin < low)


# Which cases, which runs -----------------------------------------------------------------------------


def test_other_cases_are_refused_and_a_run_that_has_more_is_paired_in_those_of_both() -> None:
    suite, made = suite_of(RIGHT), cases(300)
    whole = audited(suite, {"right": np.ones(300)}, made)
    part = audited(suite, {"right": np.zeros(120)}, made[150:270])
    found = changes_of(whole, part, [suite])
    assert (found.changes[0].first, found.changes[0].second, found.changes[0].n) == (1.0, 0.0, 120)
    assert "300 and 120 cases; the 120 of both" in found.notes[0]
    assert changes_of(part, whole, [suite]).changes[0].difference == 1.0
    with pytest.raises(DataError, match="different cases"):
        changes_of(audited(suite, {"right": np.ones(120)}, made[:120]), part, [suite])
    with pytest.raises(DataError, match="no probe in common"):
        compare(whole, replace(whole, observations={}), [suite])


def test_cases_are_paired_by_id_whatever_their_order() -> None:
    suite, made = suite_of(RIGHT), cases(200)
    old = (np.arange(200) % 3 > 0).astype(float)
    order = np.random.default_rng(0).permutation(200)
    turned = audited(suite, {"right": old[order]}, [made[i] for i in order])
    (change,) = changes_of(audited(suite, {"right": old}, made), turned, [suite]).changes
    assert (change.only_first, change.only_second) == (0, 0)


def test_one_id_that_stands_for_another_case_is_undefined_and_noted() -> None:
    suite, made = suite_of(RIGHT), cases(50)
    run = audited(suite, {"right": np.ones(50)}, made)
    swapped = [replace(case, facts={**case.facts, "member": True}) for case in made]
    found = changes_of(run, audited(suite, {"right": np.ones(50)}, swapped), [suite])
    assert found.changes[0].verdict == "undefined"
    assert found.verdict == "undecided"
    assert any("other cases" in note for note in found.notes)
    counted = [replace(case, facts={**case.facts, "tokens": 7}) for case in made]  # by another tokenizer
    assert changes_of(run, audited(suite, {"right": np.ones(50)}, counted), [suite]).changes[0].verdict == "undecided"


def test_what_makes_runs_unlike_is_noted() -> None:
    metrics = [RIGHT, WRONG]
    columns, made = {"right": np.ones(50), "wrong": np.ones(50)}, cases(50)
    old = suite_of(*metrics, gates=[Gate("rate_right", at_least=0.5)])
    new = suite_of(*metrics, gates=[Gate("rate_wrong", at_most=0.5)])
    first = audited(old, columns, made, fingerprint="f" * 8)
    second = audited(new, columns, made, fingerprint="f" * 8, confidence=0.9, prompts="other")
    found = changes_of(first, second, [new], run="runs/base")
    assert (found.run, found.fingerprint) == ("runs/base", "f" * 8)
    told = " ".join(found.notes)
    for words in ("same weights", "other confidences (0.95, 0.9)", "prompt templates"):
        assert words in told
    assert "did not have: shop.rate_wrong" in told
    assert "only the baseline had, not compared: shop.rate_right" in told
    assert [change.gate for change in found.changes] == ["shop.rate_wrong"]


def test_a_gate_of_a_slice_is_compared_in_its_slice() -> None:
    suite = suite_of(RIGHT, gates=[Gate("rate_right", at_least=0.1, slice={"language": "zh"})])
    made = cases(400)
    new = np.array([float(case.language == "en") for case in made])
    runs = [audited(suite, {"right": column}, made) for column in (np.ones(400), new)]
    (change,) = changes_of(*runs, [suite]).changes
    assert (change.gate, change.n, change.second, change.verdict) == ("shop.rate_right[language=zh]", 200, 0.0, "worse")


# What is said ----------------------------------------------------------------------------------------


def printed(found, *, terminal=False):
    out = io.StringIO()
    print_changes(found, Console(file=out, width=120, force_terminal=terminal, color_system=None))
    return out.getvalue()


def test_the_table_puts_the_worst_first_with_shares_in_points_and_says_where() -> None:
    made = cases(400)
    # In lamps, of the two languages alike.
    new = np.array([float(case.groups["category"] != "lamps" or i % 3 == 0) for i, case in enumerate(made)])
    suite = suite_of(RIGHT, WRONG, gates=[Gate("rate_right", at_least=0.1)])
    runs = [audited(suite, {"right": column, "wrong": 1 - new}, made) for column in (np.ones(400), new)]
    found = compare(*runs, [suite])
    lines = printed(found).splitlines()
    assert lines[1].split()[:2] == ["worse", "shop.rate_right"]
    assert "points" in lines[1]
    assert lines[2].split()[:2] == ["Verdict", "Metric"]  # what no gate is on stands below, however it fell
    assert lines[3].split()[:2] == ["kept", "shop.rate_wrong"]
    assert lines[1].split()[-2] == "<0.0001"
    assert not lines[3].removesuffix("400").rstrip().endswith(("1", "0"))  # no p of being worse for what is kept
    assert any("fell most in: lamps: 100 % of it, −66" in line for line in lines)
    assert lines[-1].startswith("1 of 1 gates fell")
    sentence = since(found.changes[0], "plain-3f2a\x1b[31m")
    assert sentence.startswith("It became worse since plain-3f2a")
    assert "\x1b" not in sentence
    assert numbers_of(found.changes[0], 1).endswith(" 66 cases got worse, 0 better.")
    assert "worse" in printed(found, terminal=True)


def test_the_command_takes_the_margins_of_the_policy_unless_others_are_given(monkeypatch, tmp_path) -> None:
    suite, made = suite_of(RIGHT), cases(400)
    new = np.r_[np.zeros(40), np.ones(360)]
    runs = {name: audited(suite, {"right": column}, made) for name, column in (("a", np.ones(400)), ("b", new))}
    wide = changes_of(runs["a"], runs["b"], [suite], {"rate_right": 0.2})
    runs["held"] = replace(runs["b"], result=runs["b"].result.model_copy(update={"baseline": wide}))
    monkeypatch.setattr(files, "load_run", lambda folder: runs[str(folder)])
    monkeypatch.setattr(files, "meta_of", lambda folder: {})
    monkeypatch.setattr(files, "suites_for", lambda meta, suites: {"shop": suite})
    policy = tmp_path / "policy.toml"
    policy.write_text('[margins]\n"shop.rate_right" = 0.3\n', encoding="utf-8")
    app = typer.Typer()
    app.command()(comparing.compare)
    for asked, code, margin in (
        (["a", "b"], 1, "2 points"),
        (["a", "held"], 0, "20 points"),
        (["a", "held", "--margin", "0.02"], 1, "2 points"),
        (["a", "held", "--config", str(policy)], 0, "30 points"),
    ):
        done = CliRunner().invoke(app, asked)
        assert (done.exit_code, margin in done.stdout) == (code, True), done.output


def test_a_part_named_by_hostile_text_is_spelled_out() -> None:
    made = [replace(case, groups={"category": f"<b>\u202e{case.groups['category']}\x1b[31m"}) for case in cases(400)]
    new = np.array([float("lamps" not in case.groups["category"]) for case in made])
    suite = suite_of(RIGHT)
    found = changes_of(*[audited(suite, {"right": column}, made) for column in (np.ones(400), new)], [suite])
    assert found.changes[0].explained_by
    assert not set("\u202e\x1b") & set(printed(found))
