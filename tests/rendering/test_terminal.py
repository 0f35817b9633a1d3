import io
import math

import pytest
from rich.console import Console

from shoplm_audit.compare import Change
from shoplm_audit.plan import Plan, PlannedGate, PlannedProbe
from shoplm_audit.rendering.terminal import print_changes, print_plan, print_summary
from shoplm_audit.types import Estimate


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
    assert lines[-1].startswith("Fail: 5 of 13 gates in scope failed.")


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


def test_changes_put_the_worse_first_and_differences_of_shares_in_points():
    same = Change("quality", "mean_chrf", 60.0, 60.2, Estimate(0.2, -0.05, 0.45, 240, "x"), "no difference shown")
    worse = Change("faithfulness", "rate_wrong", 0.1, 0.2, Estimate(0.1, 0.05, 0.15, 240, "x"), "worse")
    lines = printed(lambda console: print_changes([same, worse], console)).splitlines()
    assert lines[1].split()[0] == "worse"
    assert "10.0 %  20.0 %  10 pp [5 pp, 15 pp]" in " ".join(lines[1].split(" " * 4))
    assert "60.0" in lines[2]
    assert "60.2" in lines[2]
