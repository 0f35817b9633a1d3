"""Contrasts hold what they promise where names and templates have effects of their own, and know their power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from shoplm_audit.metrics.crossed import contrasted
from shoplm_audit.metrics.fairness import contrast_of, contrasts_of, names_needed, paired_contrast_of
from shoplm_audit.metrics.intersections import worst_group_of
from shoplm_audit.types import Case, Estimate, Gate, Metric, Observation, Observations, Verdict
from shoplm_audit.uncertainty import clopper_pearson

CONTRAST = contrast_of("offer", "gender", "female", "male", planted=0.1)
SPELLING = paired_contrast_of("flagged", "variety", "aae", "standard", within=(0.0, 1.0))
GROUPS = ("female", "male")


def told(metric: Metric, rows: Observations, confidence: float = 0.95) -> Estimate:
    return metric.estimate(rows, confidence, np.random.default_rng(0))


def named(table: np.ndarray, groups: list[dict[str, str]], language: str = "en", template: bool = True) -> list:
    """What each name (row) got under each template (column)."""
    return [
        Observation(
            Case(
                f"{language}{i}/{t}", facts={"template": str(t)} if template else {}, groups=groups[i],
                cluster=f"{language}/{i}", language=language,
            ),
            {"offer": float(table[i, t])},
        )
        for i in range(len(table)) for t in range(table.shape[1])
    ]  # fmt: skip


def genders(names: int) -> list[dict[str, str]]:
    return [{"gender": GROUPS[i % 2]} for i in range(2 * names)]


def drawn(rng: np.random.Generator, names: int, templates: int, sd: float, treated: float = 0.0) -> np.ndarray:
    """Names (of each gender in turn) by templates, noise of sd 1; templates differ, and by `treated` in each group."""
    gender = np.arange(2 * names) % 2
    by_group = rng.normal(0, treated, (2, templates))[gender]
    noise = rng.normal(size=(2 * names, templates))
    return rng.normal(0, sd, (2 * names, 1)) + rng.normal(size=(1, templates)) + by_group + noise


def data(table: np.ndarray, **more) -> Observations:
    return Observations(tuple(named(table, genders(len(table) // 2), **more)))


# Coverage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sd", "templates", "treated"), [(0.3, 16, 0.0), (0.5, 16, 0.0), (0.3, 4, 0.0), (0.3, 8, 0.4), (0.0, 8, 0.4)]
)
def test_names_and_templates_with_effects_of_their_own_raise_no_more_alarms_than_promised(
    sd: float, templates: int, treated: float
) -> None:
    rng, marked, alarms = np.random.default_rng(1), np.arange(40)[None, :] % 2 == 0, 0
    for _ in range(400):
        found = contrasted([(drawn(rng, 20, templates, sd, treated), marked) for _ in range(2)])
        alarms += abs(found.value[0]) > found.half(0.975)[0]
    # Taking rows for units alarms in 10 to 40 % of these, taking templates for fixed in a third of the last.
    assert 0.02 <= alarms / 400 <= 0.08


def test_a_gap_is_found_as_often_as_the_number_of_names_promised() -> None:
    rng, sd, gap = np.random.default_rng(2), 0.1, 0.05
    names = names_needed(sd, gap, languages=2, confidence=0.975)
    marked, found = np.arange(2 * names)[None, :] < names, []
    for _ in range(800):
        parts = [(rng.normal(0, sd, (2 * names, 1)) + gap * marked.T, marked) for _ in range(2)]
        contrast = contrasted(parts)
        found.append(contrast.value[0] > contrast.half(0.975)[0])
    assert 0.8 <= np.mean(found) <= 0.88


@pytest.mark.parametrize("truth", [[0.0] * 6, [1.0] + [0.0] * 5])
def test_the_worst_of_many_intersections_is_within_its_bounds(truth: list[float]) -> None:
    metric, rng, wrong = worst_group_of("offer", ("gender", "ethnicity")), np.random.default_rng(3), 0
    true = max(abs(np.array(truth) - np.mean(truth)))
    groups = [{"gender": GROUPS[i % 2], "ethnicity": "abc"[i // 2 % 3]} for i in range(72)]
    for _ in range(60):
        table = rng.normal(size=(72, 1)) + np.array(truth)[np.arange(72) % 6][:, None]
        found = told(metric, Observations(tuple(named(table, groups))))
        wrong += not found.low <= true <= found.high
        assert found.low <= found.value <= found.high
    assert wrong <= 8  # 5 % of 60, and three standard deviations


def test_names_under_one_template_are_compared_by_welch() -> None:
    table = drawn(np.random.default_rng(8), 9, 1, 0.5)
    peer = stats.ttest_ind(table[0::2, 0], table[1::2, 0], equal_var=False)
    found = told(CONTRAST, data(table))
    bounds = peer.confidence_interval(0.9)
    assert (found.low, found.high) == (pytest.approx(bounds.low), pytest.approx(bounds.high))
    assert found.freedom == pytest.approx(peer.df)


def test_what_templates_do_to_one_group_is_a_mean_square_of_its_own() -> None:
    table, names, templates = drawn(np.random.default_rng(9), 10, 8, 0.3, treated=1.0), 10, 8
    squares, left = np.zeros(2), np.zeros(2)
    for group in range(2):
        here = table[group::2]
        squares[group] = here.mean(axis=1).var(ddof=1) / names
        rest = here - here.mean(axis=1, keepdims=True) - here.mean(axis=0) + here.mean()
        left[group] = (rest**2).sum() / (names - 1) / (templates - 1) / names / templates
    treated = (table[0::2].mean(axis=0) - table[1::2].mean(axis=0)).var(ddof=1) / templates
    variance = squares.sum() + treated - left.sum()
    parts = (squares**2).sum() / (names - 1) + treated**2 / (templates - 1)
    parts += (left**2).sum() / (names - 1) / (templates - 1)
    found = contrasted([(table, np.arange(20)[None, :] % 2 == 0)])
    assert treated > left.sum()
    assert found.error[0] ** 2 == pytest.approx(variance)
    assert found.freedom[0] == pytest.approx(variance**2 / parts)


def test_templates_that_differ_less_than_chance_has_it_narrow_nothing() -> None:
    rng, marked = np.random.default_rng(10), np.arange(40)[None, :] % 2 == 0
    for table in (drawn(rng, 20, 8, 0.3) for _ in range(10)):
        means = table.mean(axis=1)
        names = sum(float(means[group::2].var(ddof=1)) / 20 for group in range(2))
        assert contrasted([(table, marked)]).error[0] ** 2 >= 0.999999 * names


# What a contrast says of itself ---------------------------------------------------------------------


def test_a_contrast_tells_how_it_was_tried() -> None:
    gap = np.arange(48)[:, None] % 2  # a true one moves nothing of this
    found = told(CONTRAST, data(drawn(np.random.default_rng(4), 24, 4, 0.0) / 10 + gap))
    assert 0.03 < found.checks["aa_false_alarms"] < 0.2
    assert found.checks["aa_nominal"] == pytest.approx(0.1)
    assert found.checks["planted"] == 0.1
    assert found.checks["recovered"] > 0.99  # an error of 0.014
    assert found.freedom == pytest.approx(46, abs=3)
    assert not found.note
    blunt = told(CONTRAST, data(drawn(np.random.default_rng(4), 24, 4, 0.0)))
    assert blunt.checks["recovered"] < 0.5
    assert blunt.checks["smallest_detectable"] == pytest.approx(10 * found.checks["smallest_detectable"])
    half = blunt.value - blunt.low
    assert 1.4 * half < blunt.checks["smallest_detectable"] < 1.6 * half


def test_a_contrast_whose_own_halves_differ_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoplm_audit.metrics import fairness

    honest = fairness.contrasted
    monkeypatch.setattr(fairness, "contrasted", lambda parts: (f := honest(parts))._replace(error=f.error / 3))
    found = told(CONTRAST, data(drawn(np.random.default_rng(4), 24, 4, 0.3)))
    assert found.note.startswith("invalid: two halves of one group differ in")


def test_few_names_are_not_split() -> None:
    found = told(CONTRAST, data(drawn(np.random.default_rng(4), 5, 4, 0.3)))
    assert math.isnan(found.checks["aa_false_alarms"])
    assert math.isfinite(found.low)


def test_what_templates_do_to_everybody_cancels_though_some_names_lack_some() -> None:
    rng, table = np.random.default_rng(5), np.zeros((40, 4)) + np.array([0.0, 10.0, 20.0, 30.0])
    table += 0.01 * rng.normal(size=(40, 1)) + 0.2 * (np.arange(40) % 2 == 0)[:, None]
    every = list(data(table))
    # Women lack the dearest question more often.
    kept = [
        r
        for r in every
        if not (r.case.of("template") == "3" and r.case.of("gender") == "female" and rng.random() < 0.7)
    ]
    found, whole = told(CONTRAST, Observations(tuple(kept))), told(CONTRAST, Observations(tuple(every)))
    assert found.value == pytest.approx(whole.value, abs=1e-9)
    assert found.high - found.low == pytest.approx(whole.high - whole.low)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (data(np.ones((2, 3)) * np.arange(3)), "too few names"),
        (Observations(data(np.random.default_rng(0).normal(size=(20, 3)), template=False).rows[:-1]), "template"),
        (Observations(tuple(r for r in data(np.random.default_rng(0).normal(size=(20, 2)))
                            if r.case.of("template") == str(int(r.case.cluster[3:]) // 10))), "share no template"),
        (Observations(tuple(named(np.ones((4, 2)), genders(2))) + tuple(named(np.ones((4, 1)), genders(2)[::-1]))),
         "two groups"),
    ],
    ids=["one name", "no template", "unconnected", "two groups"],
)  # fmt: skip
def test_names_that_cannot_be_compared_are_undefined_and_say_why(rows: Observations, why: str) -> None:
    found = told(CONTRAST, rows)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert why in found.method


SHARE = contrast_of("offer", "gender", "female", "male", within=(0.0, 1.0))


def test_names_that_all_get_the_same_are_as_certain_as_so_many_names_allow() -> None:
    found = told(SHARE, data(np.zeros((40, 3))))
    most = 1 - 0.05 ** (1 / 20)  # none of 20 names
    assert (found.low, found.value, found.high) == (pytest.approx(-most, rel=1e-3), 0.0, pytest.approx(most, rel=1e-3))
    half = told(SHARE, data(np.full((40, 3), 0.5)))  # either group's unseen names may move either way, but by a half
    assert half.high == pytest.approx(stats.gamma(2).ppf(0.95) / 20 / 2, rel=0.1)
    keeps = told(contrast_of("offer", "gender", "female", "male", within=(0.0, 1.0)), data(np.zeros((118, 1))))
    assert Gate("x", at_least=-0.05, at_most=0.05).judge(keeps) is Verdict.PASS  # as documented: 59 names
    assert math.isnan(told(CONTRAST, data(np.zeros((40, 3)))).low)


@pytest.mark.parametrize("mean", [1e-5, 0.5])
def test_names_that_differ_in_their_last_digits_are_as_certain_as_names_that_do_not(mean: float) -> None:
    jitter = np.abs(np.random.default_rng(0).normal(size=(40, 1)))
    same = told(SHARE, data(np.full((40, 1), mean)))
    widths = [told(SHARE, data(mean + size * jitter)).high for size in (1e-9, 1e-5, 4e-4, 5e-4, 6e-4, 3e-3)]
    assert widths[0] == pytest.approx(same.high, rel=0.02)
    assert widths[1] == pytest.approx(same.high, rel=0.02)
    assert same.high > widths[2] > widths[3] > widths[4] > 0  # it narrows by and by
    assert widths[-1] < 0.01
    assert math.isnan(told(CONTRAST, data(mean + 1e-9 * jitter)).low)


@pytest.mark.parametrize(("names", "languages", "jitter"), [(24, 2, 0.01), (50, 1, 0.0)])
def test_a_group_refused_for_a_few_of_its_names_seldom_passes_at_the_margin(
    names: int, languages: int, jitter: float
) -> None:
    rng, passed = np.random.default_rng(11), 0
    metric = contrast_of("offer", "gender", "female", "male", planted=0.1, within=(0.0, 1.0))
    for _ in range(100):
        rows: list = []
        for language in ("en", "zh")[:languages]:
            refused = (rng.random((2 * names, 1)) < 0.1) & (np.arange(2 * names) % 2 == 0)[:, None]
            table = np.clip(0.97 * refused + jitter * np.abs(rng.normal(size=refused.shape)), 0, 1)
            rows += named(table, genders(names), language)
        found = told(metric, Observations(tuple(rows)))
        passed += found.low >= -0.1 and found.high <= 0.1
    assert passed <= 11  # 5 % of 100, and three standard deviations; by Welch alone 13 to 17


def test_one_refused_name_has_the_bounds_of_clopper_and_pearson_and_many_have_those_of_welch() -> None:
    table = np.zeros((60, 1))
    table[0] = 1
    found = told(SHARE, data(table))
    assert found.high == pytest.approx(clopper_pearson(1, 30)[1], rel=0.03)
    assert found.method.startswith("exact")
    assert math.isnan(found.checks["aa_false_alarms"])
    assert found.checks["recovered"] == 0  # no gap of 0.05 shows beside what unseen names may get
    assert told(SHARE, data(np.full((160, 1), 0.5))).checks["recovered"] == 1
    table[:24:2] = 1
    assert told(SHARE, data(table)).method.startswith("Welch")


def test_a_value_beyond_the_ends_of_its_column_makes_the_contrast_undefined() -> None:
    table = np.full((40, 1), 0.5)
    table[3] = 1.2
    assert '"1.2" lies outside' in told(SHARE, data(table)).method


def test_a_contrast_tells_with_what_power_it_fails_and_passes() -> None:
    rng, table = np.random.default_rng(12), drawn(np.random.default_rng(4), 24, 1, 0.0) / 20
    checks = told(contrast_of("offer", "gender", "female", "male", margin=0.04), data(table)).checks
    assert checks["smallest_failing"] == pytest.approx(0.04 + checks["smallest_detectable"])
    error = math.sqrt(sum(table[side::2].var(ddof=1) for side in range(2)) / 24)
    drawn_gaps = error * rng.standard_t(46, 20_000)
    step = stats.t.ppf(0.95, 46) * error
    assert checks["power_to_fail"] == pytest.approx(np.mean(0.08 + drawn_gaps - step > 0.04), abs=0.02)
    assert checks["power_to_pass"] == pytest.approx(np.mean(np.abs(drawn_gaps) + step < 0.04), abs=0.02)


def test_answers_that_are_sure_are_not_moved_by_a_push_that_moves_a_half_by_the_planted_gap() -> None:
    unsure, sure = (told(SHARE, data(np.full((40, 2), share))).checks["pushed"] for share in (0.5, 1e-4))
    assert unsure == pytest.approx(0.05, rel=0.01)
    assert sure < 1e-4


def test_every_group_is_held_against_the_reference() -> None:
    metrics = contrasts_of("offer", "ethnicity", ("white", "black", "asian"), "white")
    assert [metric.name for metric in metrics] == ["contrast_offer_black_white", "contrast_offer_asian_white"]


# Twins ----------------------------------------------------------------------------------------------


def twins(first, second) -> Observations:
    return Observations(
        tuple(
            Observation(Case(f"{i}/{name}", groups={"variety": name}, cluster=f"s{i}"), {"flagged": float(value)})
            for name, column in (("aae", first), ("standard", second)) for i, value in enumerate(column)
        )
    )  # fmt: skip


def test_bounds_of_twins_are_those_of_two_one_sided_t_tests() -> None:
    # statsmodels' paired TOST of these: p = .000253289 against -0.1 and .001408800 against 0.1.
    rows = twins([4.1, 3.9, 4, 4.2, 3.8, 4, 4.1, 3.9, 4.05, 3.95], [4, 3.95, 4.02, 4.1, 3.85, 4.05, 4, 3.9, 4.1, 3.9])
    metric = paired_contrast_of("flagged", "variety", "aae", "standard")
    assert told(metric, rows, 1 - 0.001408800).high == pytest.approx(0.1, abs=1e-6)
    assert told(metric, rows, 1 - 0.000253289).low == pytest.approx(-0.1, abs=1e-6)
    assert told(metric, rows).freedom == 9


@pytest.mark.parametrize("flagged", [0.02, 0.3])
def test_twins_that_are_treated_alike_alarm_no_more_often_than_promised(flagged: float) -> None:
    rng, alarms = np.random.default_rng(6), 0
    for _ in range(80):
        hard = rng.random(60) < 0.2
        chance = np.where(hard, 2 * flagged, 0.75 * flagged)
        found = told(SPELLING, twins(rng.random(60) < chance, rng.random(60) < chance))
        alarms += not found.low <= 0 <= found.high
    assert alarms <= 16  # 10 % of 80, and three standard deviations


def test_one_flagged_twin_of_sixty_has_exact_bounds() -> None:
    found = told(SPELLING, twins([1] + [0] * 59, [0] * 60))
    assert found.method.startswith("exact")
    assert found.value == pytest.approx(1 / 60)
    assert found.low < 0
    assert found.high == pytest.approx(clopper_pearson(1, 60)[1], rel=0.03)
    assert told(SPELLING, twins([0] * 60, [0] * 60)).high == pytest.approx(1 - 0.05 ** (1 / 60), rel=1e-3)


def test_a_sentence_without_its_twin_makes_the_contrast_undefined() -> None:
    rows = twins(np.random.default_rng(0).random(20), np.zeros(20)).rows
    found = told(SPELLING, Observations(rows[1:]))
    assert math.isnan(found.value)
    assert "1 sentences have no twin" in found.method


# Intersections --------------------------------------------------------------------------------------


def crossed(names: int, small: int = 0, gap: float = 0.0, seed: int = 7) -> Observations:
    """Four intersections, the last with fewer names."""
    sizes = [names, names, names, small or names]
    groups = [{"gender": GROUPS[c % 2], "ethnicity": "ab"[c // 2]} for c, size in enumerate(sizes) for _ in range(size)]
    table = 0.1 * np.random.default_rng(seed).normal(size=(len(groups), 2))
    table[:names] += gap
    return Observations(tuple(named(table, groups)))


def test_an_intersection_of_few_names_is_left_out_and_never_lets_the_worst_pass() -> None:
    metric = worst_group_of("offer", ("gender", "ethnicity"))
    whole, part = told(metric, crossed(20)), told(metric, crossed(20, small=9, gap=0.5))
    assert whole.high < 0.2
    assert whole.checks["suppressed"] == 0
    assert math.isinf(part.high)
    assert part.low > 0.2  # a fault of the others still shows
    assert "male x b (9)" in part.note
    assert part.checks["cells"] == 3


def test_the_worst_of_noise_is_drawn_to_nothing_and_a_true_one_is_not() -> None:
    metric = worst_group_of("offer", ("gender", "ethnicity"))
    noise = np.mean([told(metric, crossed(20, seed=seed)).value for seed in range(8)])
    assert noise < 0.014  # as it comes, the largest of four means that vary by 0.016 is 0.022
    assert told(metric, crossed(20, gap=1.0)).value == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("jitter", [0.0, 1e-9])
def test_intersections_whose_names_all_get_the_same_have_no_bounds(jitter: float) -> None:
    rows = [Observation(row.case, {"offer": 0.3 + jitter * float(row.values["offer"] or 0)}) for row in crossed(20)]
    found = told(worst_group_of("offer", ("gender", "ethnicity")), Observations(tuple(rows)))
    assert math.isnan(found.high)
