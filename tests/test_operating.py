from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import cases
from rich.console import Console
from scipy import special, stats

from benchmarks import policy
from shoplm_audit.judging import Policy
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.operating import (
    SIZES,
    Chances,
    Design,
    Paired,
    chances,
    design_of,
    operating_characteristic,
    operating_of_result,
    paired_of,
    worse_than_baseline,
)
from shoplm_audit.plan import Plan, plan
from shoplm_audit.prompts import Prompts
from shoplm_audit.rendering.operating import chance_of, oc_figure, render_operating
from shoplm_audit.rendering.terminal import print_plan
from shoplm_audit.results import Counts, EstimateResult, GateResult, ModelResult, Result, SuiteResult
from shoplm_audit.suites import suite_names
from shoplm_audit.types import Case, Gate, Generate, Material, Probe, Suite, Verdict
from shoplm_audit.uncertainty import clopper_pearson, power_of_rate

INF = math.inf
RATE = Design("s.rate_wrong", -INF, 0.1, 0.04, 120)
CONTRAST = Design("s.contrast", -0.1, 0.1, 0.0, 24, exact=False, error=0.035, freedom=22.0, family="customers")


def within(first: Chances, second: Chances) -> float:
    return max(
        abs(first.blocked - second.blocked),
        abs(first.undecided - second.undecided),
        abs(first.passed - second.passed),
    )


def test_a_rate_fails_and_passes_as_often_as_the_binomial_law_under_the_gates_rule_says() -> None:
    for truth in (0.04, 0.15):
        fails, passes = chances(RATE, [truth], 0.95, 0.05)
        assert passes[0] == pytest.approx(power_of_rate(120, truth, -INF, 0.1))
        law = stats.binom(120, truth)
        assert fails[0] == pytest.approx(sum(law.pmf(k) for k in range(121) if clopper_pearson(k, 120)[0] > 0.1))


def test_a_limit_from_below_is_failed_by_too_few() -> None:
    kept = Design("s.rate_kept", 0.9, INF, 0.98, 120)
    fails, passes = chances(kept, [0.98, 0.5], 0.95, 0.05)
    assert fails == pytest.approx([0.0, 1.0], abs=1e-6)
    assert passes[0] == pytest.approx(power_of_rate(120, 0.98, 0.9, INF))
    alone, among = (chances(kept, [0.8], 0.95, level)[0][0] for level in (0.05, 0.005))
    assert alone == pytest.approx(
        sum(stats.binom(120, 0.8).pmf(k) for k in range(121) if clopper_pearson(k, 120)[1] < 0.9)
    )
    assert among < 0.85 * alone
    assert kept.worse(0.1) == pytest.approx(0.88)
    assert RATE.worse(0.1) == pytest.approx(0.14)


def test_a_number_at_its_limit_fails_in_one_audit_of_twenty_by_students_t() -> None:
    mean = Design("s.mean_x", -INF, 0.5, 0.5, 12, exact=False, error=0.1, freedom=11.0)
    fails, passes = chances(mean, [0.5, 0.8], 0.95, 0.05)
    exact = 1 - special.nctdtr(11.0, 3.0, special.stdtrit(11.0, 0.95))
    assert fails == pytest.approx([0.05, exact], abs=0.002)
    assert passes[0] == pytest.approx(0.05, abs=0.002)


def test_an_interval_wider_than_both_limits_never_passes() -> None:
    wide = replace(CONTRAST, error=1.0, freedom=INF)
    assert chances(wide, [0.0], 0.95, 0.05)[1][0] == 0


@pytest.mark.parametrize("worse", [0.0, 0.1])
def test_what_is_stated_of_a_policy_is_within_three_points_of_audits_judged_by_the_judging_code(worse: float) -> None:
    rates = [replace(RATE, id=f"s.rate_{i}", n=240, honest=0.02 + i / 100) for i in range(3)]
    family = [
        replace(CONTRAST, id=f"s.contrast_{i}", honest=honest, error=0.02)
        for i, honest in enumerate((0.0, 0.02, 0.04, 0.14))
    ]
    designs = [*rates, Design("s.mean", 0.5, INF, 0.6, 50, exact=False, error=0.03, freedom=49.0), *family]
    stated = operating_characteristic(designs, 0.95)
    rng = np.random.default_rng(1)
    course = stated.regressions[-1]
    truths = [one.worse(worse) if one.id == course.gate else one.honest for one in designs]
    found = policy.simulated(designs, truths, 1500, rng)
    assert within(course.policy[SIZES.index(worse)], found) < 0.03, (course, found)
    assert within(course.policy[0], stated.unchanged) < 1e-9
    rest = stated.unchanged
    assert rest.blocked + rest.undecided + rest.passed == pytest.approx(1.0)
    assert 0.1 < stated.unchanged.blocked < 0.6  # there was something to be missed


def test_a_gate_alone_is_easier_to_fail_than_one_of_a_large_family() -> None:
    alone = operating_characteristic([replace(CONTRAST, honest=0.15, family="")], 0.95).unchanged.blocked
    many = [CONTRAST, *(replace(CONTRAST, id=f"s.{i}", error=1e-6) for i in range(20))]
    worse = operating_characteristic([replace(many[0], honest=0.15), *many[1:]], 0.95).unchanged.blocked
    assert worse < alone / 2


@pytest.mark.slow
def test_the_shipped_policy_blocks_few_unchanged_models() -> None:
    for names in (*((name,) for name in suite_names()), suite_names()):
        operating = policy.shipped(*names)
        assert operating.designs
        assert operating.unchanged.blocked <= 0.05, names


def test_a_larger_fault_is_let_through_less_often() -> None:
    for course in operating_characteristic([RATE, CONTRAST], 0.95).curves:
        passed = [one.passed for one in course.policy]
        assert passed == sorted(passed, reverse=True)
        assert passed[0] > 0.5 > 0.01 > passed[-1]


def test_beside_a_baseline_the_stated_chance_is_that_of_the_exact_test_under_holm() -> None:
    paired = [Paired(replace(RATE, id=f"s.rate_{i}"), 0.1, 0.0, 0.02) for i in range(3)]
    found = policy.compared(paired, [0.12, 0.0, 0.0], 4000, np.random.default_rng(0))
    stated = operating_characteristic([one.design for one in paired], 0.95, paired=paired)
    worse = worse_than_baseline(paired[0], [0.0, 0.12], 0.05 / 3)
    assert stated.against is not None
    assert stated.against <= 0.05
    assert 1 - (1 - worse[1]) * (1 - worse[0]) ** 2 == pytest.approx(found, abs=0.03)
    assert 0.1 < found < 0.9


def test_answers_that_never_change_are_never_worse() -> None:
    still = paired_of(replace(RATE, honest=0.0), 0.0)
    assert still.discordance == 0
    assert worse_than_baseline(still, [0.0, 1.0], 0.05).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("gate", "n", "why"),
    [
        (Gate("rate_x", at_most=0.1), 100, "what an honest model shows is not known"),
        (Gate("rate_x", at_most=0.1, honest=0.0), 1, "it has fewer than 2 independent units"),
        (Gate("epsilon", burden="refutation", honest=0.0), 100, "it holds a claim against what an attack measured"),
    ],
)
def test_a_gate_of_which_nothing_can_be_said_is_left_out_with_the_reason(gate: Gate, n: int, why: str) -> None:
    assert design_of("s.x", gate, n) == why


def result(n: int = 200, value: float = 0.03, suite: str = "faithfulness", at_most: float = 0.1) -> Result:
    estimate = EstimateResult(
        metric="rate_contradicted", value=value, low=0.01, high=0.06, n=n, method="exact binomial", better="lower"
    )
    gate = GateResult(
        id=f"{suite}.rate_contradicted", metric="rate_contradicted", at_most=at_most, verdict=Verdict.PASS, why="."
    )
    counts = Counts(planned=n, scored=n, errored=0, unparsed=0)
    made = SuiteResult(name=suite, question="?", counts=counts, estimates=[estimate], gates=[gate])
    return Result(verdict="pass", model=ModelResult(name="m", fingerprint=""), seed=0, confidence=0.95, suites=[made])


def test_a_finished_audit_tells_what_it_could_see_with_its_own_limits_and_numbers() -> None:
    strict, lax = (operating_of_result(result(at_most=limit)) for limit in (0.04, 0.2))
    assert strict.designs[0].n == 200
    assert strict.unchanged.passed < 0.5 < lax.unchanged.passed
    assert operating_of_result(result(n=2000)).unchanged.passed > operating_of_result(result(n=50)).unchanged.passed


def test_a_result_that_names_a_folder_has_none_of_its_code_run() -> None:
    forged = operating_of_result(result(suite="../elsewhere"))
    assert forged.designs == ()
    assert oc_figure(result(suite="../elsewhere")) == ""


def test_the_figure_tells_its_numbers_without_being_seen_and_escapes_what_it_is_given() -> None:
    figure = oc_figure(result())
    assert "<title>" in figure
    assert "let through" in figure
    assert "% of audits" in figure
    assert oc_figure(result()) == figure
    hostile = operating_characteristic([replace(RATE, id="s.<script>alert(1)</script>\u202e")], 0.95)
    page = render_operating(hostile)
    assert "<script>alert" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize(("chance", "said"), [(0.0, "< 0.1 %"), (1.0, "> 99.9 %"), (0.0123, "1.2 %"), (0.5, "50 %")])
def test_nothing_is_called_certain(chance: float, said: str) -> None:
    assert chance_of(chance) == said


def asked(case: Case):
    text = yield Generate(case.prompt)
    return {"contradicted": not text}


def planned(baseline: Result | None = None) -> Plan:
    probe = Probe("p", cases(60), asked, [rate_of("contradicted", better="lower")])
    suite = Suite("s", "?", [probe], [Gate("rate_contradicted", at_most=0.1, honest=0.01)])
    return plan({}, [suite], Material(Prompts().render), Policy(), trial=0, baseline=baseline)


def printed(made: Plan) -> str:
    out = io.StringIO()
    print_plan(made, Console(file=out, width=200))
    return out.getvalue()


def test_a_plan_says_what_the_policy_would_do_before_anything_is_asked() -> None:
    made = planned()
    assert made.operating is not None
    assert made.operating.designs == (Design("s.rate_contradicted", -INF, 0.1, 0.01, 60),)
    text = printed(made)
    assert "What this policy would do, 1 of its gates counted" in text
    assert "A model as good as an honest one is expected to be: blocked in < 0.1 % of audits" in text
    assert "by 5 points" in text


def test_a_plan_beside_a_baseline_takes_the_unchanged_model_from_it() -> None:
    made = planned(result(n=60, value=0.3, suite="s")).operating
    assert made is not None
    assert made.unchanged.blocked > 0.9  # 30 % against a limit of 10 %
    assert made.against is not None
    assert made.against <= 0.05
    assert "The comparison with the baseline blocks it in" in printed(planned(result(n=60, suite="s")))


def test_a_gate_that_is_out_of_scope_is_no_part_of_the_policy() -> None:
    suite = Suite(
        "s",
        "?",
        [Probe("p", cases(60), asked, [rate_of("x", better="lower")])],
        [Gate("rate_x", at_most=0.1, honest=0.01)],
    )
    policy_without = Policy(scope={"s.rate_x": "not sold here"})
    assert plan({}, [suite], Material(Prompts().render), policy_without, trial=0).operating is None
