"""Results on a terminal: a table of the gates, or one plain line per gate where nobody watches (CI, a pipe).

    fail           faithfulness.rate_contradicted  12.4 % [9.7 %, 15.6 %]  n=480  limit at most 5 %  12.4 % of ...

The table leaves out what a narrow terminal has no room for; the reasons then stand below it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from shoplm_audit.rendering.certainty import how_sure
from shoplm_audit.rendering.masking import on_a_line
from shoplm_audit.rendering.wording import ORDER, VERDICTS, estimate_of, headline, limit_of, said
from shoplm_audit.results import AuditResult

if TYPE_CHECKING:
    from rich.console import Console

    from shoplm_audit.operating import Operating
    from shoplm_audit.plan import Plan

__all__ = ["grid", "print_plan", "print_summary", "say"]

_STYLES = {"fail": "bold red", "undecided": "yellow", "not_tested": "dim", "not_applicable": "dim", "pass": "green"}
# With the word, so that the verdict shows without colour and at a glance.
_SIGNS = {"fail": "✗", "undecided": "?", "not_tested": "–", "not_applicable": "–", "pass": "✓"}

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class _Line(NamedTuple):
    verdict: str
    gate: str
    measured: str
    n: str
    limit: str
    why: str


_MANY = 12  # passes of one suite that a terminal still shows one by one


def print_summary(audit: AuditResult, console: Console) -> None:
    """Prints the verdict of every gate, those that failed first, then the run's verdict in a sentence.

    Args:
        audit: the result.
        console: where to; a table when it is a terminal, plain lines when it is not.
    """
    lines = sorted(_lines(audit), key=lambda line: ORDER.index(line.verdict))
    if console.is_terminal:
        _print_table(_folded(lines), console)
    else:
        width = max((len(line.gate) for line in lines), default=0)
        for line in lines:
            parts = [f"{line.verdict:<14}", f"{line.gate:<{width}}", line.measured]
            parts += [f"n={line.n}" if line.n else "", f"limit {line.limit}" if line.limit else "", line.why]
            say(console, "  ".join(part for part in parts if part))
    for note in audit.result.notes:
        say(console, f"note: {on_a_line(note)}")
    verdict = audit.result.verdict
    sentence = f"{VERDICTS[verdict]}: {headline(audit.result)}. Intervals: {how_sure(audit.result)}."
    say(console, sentence, _STYLES[verdict])


def print_plan(plan: Plan, console: Console, *, budget: float | None = None, max_requests: int | None = None) -> None:
    """Prints what an audit would ask and how long it would take, then the smallest fault each gate can see.

    Args:
        plan: the plan.
        console: where it is printed.
        budget: seconds that the audit may take, if it is bounded.
        max_requests: what may be sent to a server, if that is bounded.
    """
    stored = any(probe.known is not None for probe in plan.probes)
    rows = []
    for probe in plan.probes:
        name = f"{probe.suite}/{probe.name}"
        if probe.skipped:
            rows.append([name, "", "", *([""] * stored), "", "", "", f"not tested: {probe.skipped}"])
            continue
        counts = [probe.cases, probe.requests, *([probe.known or 0] * stored), probe.tokens - probe.written]
        computed = f"{probe.computed:,}" if probe.computed else ""
        cells = [*(f"{number:,}" for number in (*counts, probe.written)), computed]
        rows.append([name, *cells, _duration(probe.seconds) or ("a server's" if probe.served.requests else "")])
    heads = ["Probe", "Cases", "Requests", *(["Stored"] * stored), "Read", "Written", "Computed", "Time"]
    grid(heads, rows, console)
    grid(["Gate", "Rule", "Sees with 80 % power"], [[gate.id, gate.rule, gate.sees] for gate in plan.gates], console)
    if plan.operating is not None:
        _print_operating(plan.operating, console)
    for line in (*_costs(plan), *_bounds(plan, budget, max_requests)):
        say(console, line)
    say(
        console,
        f"Gates: {len(plan.gates)}. Cases: {sum(probe.cases for probe in plan.probes):,}. Time: {_total(plan)}.",
        "bold",
    )


def _print_operating(operating: Operating, console: Console) -> None:
    """What the policy would do to an unchanged model, and to one that is worse in one gate."""
    from shoplm_audit.rendering.operating import chance_of

    def fates(blocked: float, passed: float) -> str:
        return f"{chance_of(blocked)} / {chance_of(passed)}"

    against, rest = operating.against, operating.unchanged
    known = "an honest one is expected to be" if against is None else "the baseline was"
    say(console, f"What this policy would do, {len(operating.designs)} of its gates counted:", "bold")
    say(
        console,
        f"A model as good as {known}: blocked in {chance_of(rest.blocked)} of audits, undecided in "
        f"{chance_of(rest.undecided)}, passed in {chance_of(rest.passed)}."
        + ("" if against is None else f" The comparison with the baseline blocks it in {chance_of(against)}."),
    )
    rows = []
    for told, course in zip(("sees it least", "the median gate"), operating.regressions, strict=False):
        sizes = range(1, len(course.sizes))
        gate = [fates(course.alone[i].blocked, course.alone[i].passed) for i in sizes]
        policy = [fates(course.policy[i].blocked, course.policy[i].passed) for i in sizes]
        rows += [[f"{course.gate} ({told})", *gate], ["  the whole policy", *policy]]
        if course.against:
            rows.append(["  the comparison with the baseline", *(chance_of(course.against[i]) for i in sizes)])
    if rows:
        points = [f"by {100 * size:g} point{'s' if size > 0.01 else ''}" for size in operating.regressions[0].sizes[1:]]
        grid(["Worse in this gate alone (blocked / let through)", *points], rows, console)
    for line in operating.assumed:
        say(console, line)
    if operating.left_out:
        say(console, f"Not counted: {'; '.join(f'{key}, {why}' for key, why in operating.left_out.items())}.")


def _costs(plan: Plan) -> Iterator[str]:
    """What the tables do not say: how tokens are counted, what servers are asked, memory."""
    yield (
        "What each case asks first is counted; what it asks later depends on the answers. Written is the most that "
        "texts can become; what requests share is computed once, so less may be computed than is read and written."
    )
    served = [probe.served for probe in plan.probes]
    if requests := sum(one.requests for one in served):
        read, written = sum(one.read for one in served), sum(one.written for one in served)
        yield (
            f"Servers are asked nothing by a plan. The audit would ask them {requests:,} requests: about {read:,} "
            f"tokens of prompts, at most {written:,} tokens of completions. A gate that needs log-probabilities is "
            "not tested where a server gives none."
        )
    if plan.memory is not None:
        memory = plan.memory
        batch = f", the largest batch about {_bytes(memory.batch)} more" if math.isfinite(memory.batch) else ""
        room = f"{_bytes(memory.free)} of {_bytes(memory.total)} are free"
        yield f"Memory on {memory.device}: the weights take {_bytes(memory.weights)}{batch}; {room} with them loaded."


def _bounds(plan: Plan, budget: float | None, max_requests: int | None) -> Iterator[str]:
    """What bounds on time and requests would do to the audit."""
    seconds = sum(probe.seconds for probe in plan.probes if math.isfinite(probe.seconds))
    if budget is not None and seconds > budget:
        yield (
            f"--budget {_duration(budget)} would be up after about {budget / seconds:.0%} of the cases, a random part "
            "of them. The table of gates is for all cases: with fewer, each sees less."
        )
    requests = sum(probe.served.requests for probe in plan.probes)
    if max_requests is not None and requests > max_requests:
        yield f"--max-requests {max_requests:,} would end the audit before its {requests:,} requests are sent (exit 4)."


def _total(plan: Plan) -> str:
    here = [probe for probe in plan.probes if not probe.skipped and probe.served.requests < max(1, probe.requests)]
    untried = [f"{probe.suite}/{probe.name}" for probe in here if not math.isfinite(probe.seconds)]
    if not here:
        return "a server's own"
    if len(untried) == len(here):
        return "not tried, since no model is at hand"
    known = _duration(sum(probe.seconds for probe in here if math.isfinite(probe.seconds)))
    return f"not tried for {', '.join(untried)}; {known} for the rest" if untried else f"about {known}"


def _bytes(number: float) -> str:
    """An amount of memory; "1.2 GiB"."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if number >= _UNITS[unit]), "KiB")
    return f"{number / _UNITS[unit]:.{1 if number < 10 * _UNITS[unit] else 0}f} {unit}"


def grid(heads: list[str], rows: list[list[str]], console: Console) -> None:
    """A table on a terminal; elsewhere lines with the cells at fixed places, never cut."""
    clean = [[on_a_line(cell) for cell in row] for row in rows]
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(heads, *clean, strict=True)]
        for row in [heads, *clean]:
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            say(console, "  ".join(cells).rstrip())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in clean:
        table.add_row(*map(Text, row))
    console.print(table)


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "<1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _lines(audit: AuditResult) -> Iterator[_Line]:
    for suite in audit.result.suites:
        for gate in suite.gates:
            estimate = estimate_of(suite, gate)
            measured = str(said(estimate.value, estimate.low, estimate.high, gate.metric)) if estimate else ""
            n = f"{estimate.n}" if estimate else ""
            yield _Line(str(gate.verdict), on_a_line(gate.id), measured, n, limit_of(gate), on_a_line(gate.why))


def _folded(lines: list[_Line]) -> list[_Line]:
    """The lines with the passes of a suite in one, where there are many."""
    passes = Counter(line.gate.partition(".")[0] for line in lines if line.verdict == "pass")
    many = {suite for suite, count in passes.items() if count > _MANY}
    kept = [line for line in lines if line.verdict != "pass" or line.gate.partition(".")[0] not in many]
    return kept + [_Line("pass", f"{suite}: {passes[suite]} gates", "", "", "", "") for suite in sorted(many)]


def _print_table(lines: list[_Line], console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    room_for_limits, room_for_reasons = console.width >= 110, console.width >= 160
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Gate", overflow="fold", no_wrap=room_for_limits)
    table.add_column(Text("Value [low, high]"), overflow="fold", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    if room_for_limits:
        table.add_column("Limit", no_wrap=True)
    if room_for_reasons:
        table.add_column("Why", overflow="fold", ratio=1)
    for line in lines:
        verdict = Text(f"{_SIGNS[line.verdict]} {VERDICTS[line.verdict]}", _STYLES[line.verdict])
        row = [verdict, Text(line.gate), Text(line.measured), Text(line.n)]
        row += [Text(line.limit)] if room_for_limits else []
        table.add_row(*row, *([Text(line.why)] if room_for_reasons else []))
    console.print(table)
    for line in lines if not room_for_reasons else ():
        if line.verdict != "pass":
            say(console, f"{_SIGNS[line.verdict]} {line.gate}: {line.why}", _STYLES[line.verdict])


def say(console: Console, text: str, style: str = "") -> None:
    """Prints a text as it is, whatever brackets stand in it, and never cut."""
    console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True, emoji=False)
