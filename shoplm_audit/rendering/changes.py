"""What has changed since a baseline: a table on a terminal, and a sentence for the card of a gate.

    worse  faithfulness.rate_contradicted  4.1 %  9.8 %  +5.7 [3.9, 7.5] points  2 points  0.0004  480

A change that is no worse than its margin is "kept"; where its whole interval lies on the good side, "better".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoplm_audit.rendering.masking import on_a_line
from shoplm_audit.rendering.speaking import _
from shoplm_audit.rendering.terminal import grid, say
from shoplm_audit.rendering.wording import Said, in_percent, limit, said, slice_of
from shoplm_audit.results import BaselineResult, ChangeResult, GateResult, Result, SliceChange

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "BaselineView",
    "Fallen",
    "baseline_view",
    "difference_of",
    "margin_of",
    "numbers_of",
    "p_of",
    "part_of",
    "print_changes",
    "since",
    "verdict_of",
    "worst_first",
]

_ORDER = ("worse", "undefined", "undecided", "better", "kept")
_FALLEN = 60  # gates that became worse and are listed on a page
# Since when: the value was beyond the limit before; it was not, and the gate fails now; all else.
_OLD: Mapping[str, str] = {
    "worse": "Its value was beyond the limit in {run} already, and became worse since.",
    "better": "Its value was beyond the limit in {run} already, and became better since.",
    "kept": "Its value was beyond the limit in {run} already; it became no worse than the margin allows.",
    "undecided": "Its value was beyond the limit in {run} already; whether it became worse since is undecided.",
}
_NEW: Mapping[str, str] = {
    "worse": "New since {run}: its value kept the limit then.",
    "undecided": "Its value kept the limit in {run}, but these cases do not decide whether it became worse.",
}
_SINCE: Mapping[str, str] = {
    "worse": "It became worse since {run}.",
    "better": "It became better since {run}.",
    "kept": "It became no worse since {run} than the margin allows.",
    "undecided": "These cases do not decide whether it became worse since {run}.",
}


@dataclass(frozen=True, slots=True)
class Fallen:
    """A gate that became worse, in the words of a table; `listed` is whether the page has its card."""

    change: ChangeResult
    listed: bool
    first: str
    second: str
    difference: str
    margin: str
    p: str


@dataclass(frozen=True, slots=True)
class BaselineView:
    """The comparison with a baseline: one sentence, the gates that became worse, how many became what."""

    name: str
    said: str
    rows: list[Fallen]
    left_out: int
    kinds: Counter[str]


def verdict_of(change: ChangeResult) -> str:
    """A change in a word: "worse", "undefined", "undecided", "better" or "kept"."""
    if change.verdict != "no worse":
        return change.verdict
    if change.better == "zero":
        nearer = abs(change.second or 0.0) < abs(change.first or 0.0)
        clear = (change.low or 0.0) > 0 or (change.high or 0.0) < 0
        return "better" if nearer and clear else "kept"
    gained = change.low if change.better == "higher" else -(change.high or 0.0)
    return "better" if (gained or 0.0) > 0 else "kept"


def difference_of(change: ChangeResult | SliceChange, metric: str) -> str:
    """The difference with its interval; that of shares in points: "+5.7 [3.9, 7.5] points"."""
    told = said(change.difference, change.low, change.high, metric)
    plain = Said(*(part.removesuffix(" %") for part in told))
    sign = "+" if (change.difference or 0.0) > 0 else ""
    points = in_percent(metric) and change.difference is not None
    return _("{difference} points", difference=f"{sign}{plain}") if points else f"{sign}{plain}"


def since(change: ChangeResult, run: str, gate: GateResult | None = None) -> str:
    """Since when a gate stands as it does, in a sentence: new since the baseline, older than it, or no change seen.

    Args:
        change: of the gate.
        run: how the baseline is called.
        gate: with the limits that the baseline's value is held against.
    """
    name, kind = on_a_line(run), verdict_of(change)
    if kind == "undefined":
        return _("It cannot be compared with {run}.", run=name)
    beyond = gate is not None and _beyond(gate, change.first)
    if beyond:
        told = _OLD[kind]
    elif gate is not None and str(gate.verdict) == "fail" and kind in ("worse", "undecided"):
        told = _NEW[kind]
    else:
        told = _SINCE[kind]
    return _(told, run=name)


def numbers_of(change: ChangeResult, gates: int) -> str:
    """The numbers behind a change: then, now, the difference beside its margin, p over all gates; "" where undefined.

    Args:
        change: of a gate.
        gates: over how many the p-value was adjusted.
    """
    if change.difference is None:
        return ""
    told = _(
        "{first} then, {second} now: {difference}, the interval of this gate alone. Margin {margin}.",
        first=_value(change.first, change),
        second=_value(change.second, change),
        difference=difference_of(change, change.metric),
        margin=margin_of(change),
    )
    if change.verdict in ("worse", "undecided"):
        told += _(" p = {p} after allowing for all {n} gates.", p=p_of(change), n=gates)
    if change.only_first is None or change.only_second is None or change.better == "zero":
        return told
    worse, better = change.only_first, change.only_second
    if change.better == "lower":
        worse, better = better, worse
    return told + _(" {worse} cases got worse, {better} better.", worse=worse, better=better)


def margin_of(change: ChangeResult) -> str:
    """How much worse is still acceptable, as in "2 points"."""
    margin = limit(change.margin, change.metric).removesuffix(" %")
    return _("{difference} points", difference=margin) if in_percent(change.metric) else margin


def p_of(change: ChangeResult) -> str:
    """The p-value after allowing for all gates."""
    return _p(change.p_adjusted)


def worst_first(changes: Iterable[ChangeResult]) -> list[ChangeResult]:
    """The changes in the order in which they matter: worse before undecided, the clearest first."""
    return sorted(
        changes, key=lambda one: (_ORDER.index(verdict_of(one)), not one.gate, *_clearness(one), one.gate or one.metric)
    )


def _clearness(change: ChangeResult) -> tuple[float, float]:
    adjusted = 1.0 if change.p_adjusted is None else change.p_adjusted
    return adjusted, 1.0 if change.p_value is None else change.p_value


def _beyond(gate: GateResult, value: float | None) -> bool:
    if value is None:
        return False
    above = gate.at_most is not None and value > gate.at_most
    return above or (gate.at_least is not None and value < gate.at_least)


def part_of(part: SliceChange, metric: str) -> str:
    """A part of the cases that explains a fall: "lamps: 62 % of it, +18 [9, 27] points there (n = 40, p = 0.002)"."""
    return _(
        "{part}: {share} of it, {difference} there (n = {n}, p = {p})",
        part=on_a_line(slice_of(part.slice)),
        share=said(part.share, None, None, "share_").value,
        difference=difference_of(part, metric),
        n=part.n,
        p=_p(part.p_adjusted),
    )


def baseline_view(result: Result, listed: set[str]) -> BaselineView | None:
    """What the comparison with the baseline says of the gates; None without one.

    Args:
        result: of the run.
        listed: ids of the gates that the page has cards of.
    """
    if result.baseline is None:
        return None
    told = result.baseline
    name = told.model if told.run in ("", told.model) else f"{told.model} ({told.run})"
    gates = [change for change in told.changes if change.gate]
    kinds = Counter(verdict_of(change) for change in gates)
    rows = [
        Fallen(
            change,
            change.gate in listed,
            _value(change.first, change),
            _value(change.second, change),
            difference_of(change, change.metric),
            margin_of(change),
            p_of(change),
        )
        for change in worst_first(gates)
        if change.verdict == "worse"
    ]
    open_ = kinds["undecided"] + kinds["undefined"]
    if kinds["worse"]:
        sentence = _("{n} of {all} gates are worse than in {name}.", n=kinds["worse"], all=len(gates), name=name)
    elif told.verdict == "no worse":
        sentence = _("No gate is worse than in {name} by more than its margin.", name=name)
    else:
        sentence = _("No gate is worse than in {name} for certain.", name=name)
    if open_:
        sentence += _(" For {open} gates these cases do not decide it.", open=open_)
    return BaselineView(name, sentence, rows[:_FALLEN], max(0, len(rows) - _FALLEN), kinds)


def print_changes(baseline: BaselineResult, console: Console) -> None:
    """Prints the paired differences of two runs, the worst first, then what explains a fall, and the sum of it.

    Args:
        baseline: what `compare` found.
        console: where to; a table when it is a terminal, plain lines when it is not.
    """
    changes = worst_first(baseline.changes)
    gated, others = ([one for one in changes if bool(one.gate) is on] for on in (True, False))
    for subject, rows in (("Gate", gated), ("Metric without a gate", others)):
        if rows:
            heads = ["Verdict", subject, "Before", "After", "Difference [low, high]", "Margin", "p of a fall", "n"]
            grid(heads, [_row(change) for change in rows], console)
    for change in changes:
        if change.explained_by:
            parts = "; ".join(part_of(part, change.metric) for part in change.explained_by)
            say(console, f"{on_a_line(change.gate)} fell most in: {parts}.")
    for note in baseline.notes:
        say(console, f"note: {on_a_line(note)}")
    gates = [change.verdict for change in baseline.changes if change.gate]
    fallen, open_ = gates.count("worse"), gates.count("undecided") + gates.count("undefined")
    start = f"{fallen} of {len(gates)}" if fallen else f"None of {len(gates)}"
    sentence = f"{start} gates fell by more than the margin; {open_} could not be decided on these cases."
    say(console, sentence, "bold red" if fallen else "bold")


def _row(change: ChangeResult) -> list[str]:
    return [
        verdict_of(change),
        change.gate or f"{change.suite}.{change.metric}",
        _value(change.first, change),
        _value(change.second, change),
        difference_of(change, change.metric),
        margin_of(change),
        p_of(change) if verdict_of(change) in ("worse", "undecided") else "",
        f"{change.n}",
    ]


def _value(value: float | None, change: ChangeResult) -> str:
    return said(value, None, None, change.metric).value


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.0001" if value < 0.0001 else f"{value:.2g}"
