"""What a report says of how sure it is, after an early stop, more cases, or a look before."""

import io

import pytest
from rich.console import Console

from shoplm_audit.rendering import wording
from shoplm_audit.rendering.certainty import between, false_alarm, held_of, how_sure, smallest_seen
from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.terminal import print_summary
from shoplm_audit.results import AuditResult, StoppingResult
from shoplm_audit.sequences import METHOD

LOOKED = "Judged before on a fixed number of cases: over both looks each bound holds at 90 %."


@pytest.fixture
def stopped(audit):
    told = StoppingResult(gates=8, confidence=0.99375, asked=400, planned=480, decided=3)
    return audit.result.model_copy(update={"stopping": told})


@pytest.fixture
def judged(audit):
    suite = audit.result.suites[1]
    estimate = suite.estimates[0].model_copy(update={"method": METHOD})
    return suite.gates[0], estimate


def test_bounds_of_an_early_stop_are_told_at_what_they_hold_at_each(stopped):
    assert how_sure(stopped) == (
        "of the 8 gates that were judged as answers came, the bound that a gate needs to pass holds at 95 % and the "
        "one that it needs to fail at 99.38 %, both at any time; of the other gates both bounds hold at 95 % each (the "
        "interval covers 90 %)"
    )


def test_two_looks_lower_both_bounds_and_double_the_false_alarms(stopped):
    looked = stopped.model_copy(update={"notes": [LOOKED]})
    assert how_sure(looked) == "over both looks both bounds hold at 90 % each (the interval covers 80 %)"
    assert "at most 10 of 100 runs" in false_alarm(looked, True)
    assert "at most 10 of 100 runs" in false_alarm(looked, False)
    assert held_of(looked).against == pytest.approx(0.9)


def test_a_run_of_fixed_size_says_one_confidence(audit):
    assert how_sure(audit.result) == wording.within(0.95)
    assert "For each gate: it fails only" in false_alarm(audit.result, True)
    assert "at most 5 of 100 runs" in false_alarm(audit.result, True)


def test_an_early_gate_has_the_stricter_bound_on_the_side_that_speaks_against_it(stopped, judged):
    gate, estimate = judged
    said = wording.said(estimate.value, estimate.low, estimate.high, gate.metric)
    assert between(said, gate, held_of(stopped, estimate)) == (
        "The true value is at least 9.7 % with 99.38 % certainty and at most 15.6 % with 95 %, both at any time."
    )
    high = gate.model_copy(update={"at_most": None, "at_least": 0.5})
    assert "at least 9.7 % with 95 % certainty" in between(said, high, held_of(stopped, estimate))
    fixed = estimate.model_copy(update={"method": "Clopper-Pearson"})
    assert "each bound with 95 % certainty" in between(said, gate, held_of(stopped, fixed))
    assert smallest_seen(gate, estimate, 0.95) == ""
    assert smallest_seen(gate, fixed, 0.95)


def test_page_and_terminal_say_the_same_and_nothing_that_is_not_in_force(audit, stopped):
    for result in (stopped, stopped.model_copy(update={"notes": [LOOKED]})):
        told = AuditResult(result, audit.observations)
        assert how_sure(result) in render_html(told)
        out = io.StringIO()
        print_summary(told, Console(file=out, width=200, color_system=None))
        assert out.getvalue().rstrip().endswith(f"Intervals: {how_sure(result)}.")
