import io
import math

import pytest
from rich.console import Console

from shoplm_audit.plan import Plan, PlannedGate, PlannedProbe
from shoplm_audit.rendering.terminal import print_plan, print_summary


def printed(show, *, width: int = 100, terminal: bool = False) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width, force_terminal=terminal, color_system=None))
    return out.getvalue()


def test_a_pipe_gets_one_line_per_gate_that_is_never_cut(audit):
    lines = printed(lambda console: print_summary(audit, console), width=40).splitlines()
    gates = [gate for suite in audit.result.suites for gate in suite.gates]
    for gate in gates:
        (line,) = [line for line in lines if line.split()[1:2] == [gate.id]]
        assert line.startswith(str(gate.verdict))
        assert gate.why in line
    assert [line.split()[0] for line in lines[:5]] == ["fail"] * 5
    assert "12.4 % [9.7 %, 15.6 %]  n=480  limit at most 5 %" in lines[0]
    assert lines[-1].startswith("Fail: Of 13 gates in scope 4 failed, 1 failed under a waiver and 4 are not decided.")


@pytest.mark.parametrize("width", [60, 80, 120, 180])
def test_a_terminal_gets_every_verdict_and_every_reason_that_is_no_pass(audit, width):
    text = printed(lambda console: print_summary(audit, console), width=width, terminal=True)
    for word in ("✗ Fail", "? Undecided", "– Not tested", "– Not applicable", "✓ Pass", "[low, high]"):
        assert word in text
    assert "no reviews were given" in text


def test_escape_sequences_and_markup_from_data_do_not_reach_the_terminal(audit):
    for terminal in (True, False):
        text = printed(lambda console: print_summary(audit, console), terminal=terminal)
        assert "\x1b[31m" not in text
        assert "[U+001B][31m" in text
        assert "\u202e" not in text


def test_a_plan_says_what_is_skipped_and_what_gates_can_see():
    probes = (
        PlannedProbe("faithfulness", "description", 240, 480, 54321, 33.2),
        PlannedProbe("privacy", "membership", skipped="no record [beside] it"),
        PlannedProbe("bias", "refund", 10, 20, 30, math.nan),
    )
    plan = Plan(probes, (PlannedGate("faithfulness.rate", "at most 10 %", "a rate of 16 %"),), ())
    for terminal in (True, False):
        text = printed(lambda console: print_plan(plan, console), width=120, terminal=terminal)
        assert "54,321" in text
        assert "not tested: no record [beside] it" in text
        assert "a rate of 16 %" in text
        assert "Cases: 250. Time: not tried" in text
