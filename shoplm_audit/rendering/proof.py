"""The page and the words of a proof: which faults each gate sees, from which dose on, and how often it cries wolf.

render_proof(proof) -> "<!doctype html>..."     one file, no network, no time stamps
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoplm_audit.proving import GateProof, Proof, Rate, Sighting
from shoplm_audit.rendering.html import _page
from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import _, language, speaking

__all__ = ["percent", "print_proof", "proof_json", "render_proof"]

_WIDTH, _HEIGHT, _EDGE = 132, 40, 6  # pixels of a small curve
_FOUND = {"sees": "pass", "blind": "fail", "alarms": "fail", "unshown": "undecided", "untried": "not_tested"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of a suite: a gate and one fault."""

    gate: GateProof
    first: bool
    span: int
    sighting: Sighting | None
    smallest: str
    top: str
    curve: Markup


def percent(share: float | None) -> str:
    """A share as a person reads it."""
    return "–" if share is None else f"{100 * share:.3g}\u00a0%"


def proof_json(proof: Proof) -> str:
    """`prove.json`: the same bytes for the same proof."""
    return json.dumps(proof.plain(), ensure_ascii=True, indent=1, sort_keys=True, allow_nan=False) + "\n"


def render_proof(proof: Proof, language: Literal["en", "zh"] = "en") -> str:
    """The page as one HTML file.

    Raises:
        ConfigError: the language is unknown.
    """
    with speaking(language):
        return _rendered(proof)


def _rendered(proof: Proof) -> str:
    suites = []
    for name, question in proof.suites:
        gates = [gate for gate in proof.gates if gate.id.partition(".")[0] == name]
        rows = [row for gate in sorted(gates, key=lambda one: list(_FOUND).index(one.found)) for row in _rows(gate)]
        order = ("blind", "alarms", "unshown", "untried", "sees")
        rows.sort(key=lambda row: order.index(row.gate.found))
        alarm = proof.any_alarm[name]
        suites.append({"name": name, "question": question, "rows": rows, "gates": gates, "alarm": alarm})
    return _page(
        "proof.html.j2",
        proof=proof,
        suites=suites,
        verdict={0: "pass", 1: "fail", 3: "undecided"}[proof.exit_code],
        tally_of=_tally(proof.gates),
        headline_of=headline_of(proof),
        chip_of=_FOUND,
        found_words={key: _(words) for key, words in _FOUND_WORDS.items()},
        percent=percent,
        interval=_interval,
        speech=language(),
        say=_,
    )


_FOUND_WORDS = {
    "sees": "Sees its fault",
    "blind": "Blind to its fault",
    "alarms": "False alarms",
    "unshown": "Not shown",
    "untried": "Not tried",
}


def _tally(gates: Sequence[GateProof]) -> list[tuple[str, int]]:
    found = [gate.found for gate in gates]
    return [(key, found.count(key)) for key in _FOUND_WORDS if key in found]


def headline_of(proof: Proof) -> str:
    """What was found, in a sentence."""
    count = dict(_tally(proof.gates))
    if not proof.gates:
        return _("There is no gate in scope.")
    if count.get("blind") or count.get("alarms"):
        return _(
            "{blind} of {n} gates did not see a fault they are there for, and {alarms} failed too often without one.",
            blind=count.get("blind", 0),
            alarms=count.get("alarms", 0),
            n=len(proof.gates),
        )
    if count.get("unshown"):
        return _(
            "Of {unshown} of {n} gates the rounds leave open whether they see their fault and are quiet without one.",
            unshown=count["unshown"],
            n=len(proof.gates),
        )
    if count.get("untried"):
        return _(
            "Every gate that was tried saw its fault; {untried} of {n} could not be tried.",
            untried=count["untried"],
            n=len(proof.gates),
        )
    return _("Each of {n} gates saw every fault it is there for, at the largest dose.", n=len(proof.gates))


def _interval(rate: Rate) -> str:
    return f"{percent(rate.value)} [{percent(rate.low)}, {percent(rate.high)}]"


def _rows(gate: GateProof) -> Iterator[Row]:
    if not gate.sightings:
        yield Row(gate, True, 1, None, "", "", Markup(""))
    for i, one in enumerate(gate.sightings):
        last = one.doses[-1][1] if one.doses else None
        smallest = percent(one.smallest) if one.smallest is not None else _("at no dose") if one.doses else ""
        yield Row(gate, not i, len(gate.sightings), one, smallest, _interval(last) if last else "", curve_of(one))


def curve_of(sighting: Sighting) -> Markup:
    """Detection by dose as a small drawing: one place for each dose, whiskers for the bounds, dashed at 80 %."""
    if not sighting.doses:
        return Markup("")
    step = (_WIDTH - 2 * _EDGE) / max(1, len(sighting.doses) - 1)
    points = [(_EDGE + i * step, dose, rate) for i, (dose, rate) in enumerate(sighting.doses)]

    def down(share: float) -> float:
        return round(_EDGE + (1 - share) * (_HEIGHT - 2 * _EDGE), 1)

    drawn = [(round(x, 1), rate) for x, _dose, rate in points if rate is not None]
    whiskers = Markup("").join(
        Markup('<line class="whisker" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, down(rate.low), down(rate.high))
        for x, rate in drawn
    )
    marks = Markup("").join(
        Markup('<circle class="mark" r="2.5" cx="{}" cy="{}"/>').format(x, down(rate.value)) for x, rate in drawn
    )
    told = "; ".join(
        f"{percent(dose)}: {_('not tried') if rate is None else _interval(rate)}" for _x, dose, rate in points
    )
    return Markup(
        '<svg class="seen series-0" role="img" width="{w}" height="{h}" viewBox="0 0 {w} {h}"><title>{title}</title>'
        '<line class="grid" x1="0" x2="{w}" y1="{zero}" y2="{zero}"/>'
        '<line class="at80" x1="0" x2="{w}" y1="{level}" y2="{level}"/>{whiskers}'
        '<polyline class="course" points="{path}"/>{marks}</svg>'
    ).format(
        w=_WIDTH,
        h=_HEIGHT,
        title=visible(told),
        zero=down(0),
        level=down(0.8),
        whiskers=whiskers,
        path=" ".join(f"{x:g},{down(rate.value):g}" for x, rate in drawn),
        marks=marks,
    )


# Terminal -----------------------------------------------------------------------------------------


def print_proof(proof: Proof, console: Console) -> None:
    """The faults of each suite in a table, then every gate that does not do what it is there for."""
    table = Table(box=None, pad_edge=False)
    for head in ("suite", "fault", "gates", "seen from", "least in full", "false alarms"):
        table.add_column(head, justify="right" if head not in ("suite", "fault") else "left")
    for name, _question in proof.suites:
        inside = [gate for gate in proof.gates if gate.id.partition(".")[0] == name]
        for fault in dict.fromkeys(one.fault for gate in inside for one in gate.sightings):
            table.add_row(*map(Text, (name, fault, *_summary(inside, fault))))
        alarms = proof.any_alarm[name]
        table.add_row(Text(name), Text("(none)"), "", "", "", f"{percent(alarms.value)} any")
    console.print(table)
    for gate in proof.gates:
        if gate.found != "sees":
            said = gate.why or (_interval(gate.alarms) if gate.found == "alarms" and gate.alarms else "")
            console.print(Text(visible(f"{_FOUND_WORDS[gate.found]}: {gate.id}. {said}")))
    console.print(Text(headline_of(proof)))


def _summary(gates: Sequence[GateProof], fault: str) -> tuple[str, str, str, str]:
    pairs = [(gate, one) for gate in gates for one in gate.sightings if one.fault == fault]
    tried = [(gate, one) for gate, one in pairs if one.doses]
    if not tried:
        return str(len(pairs)), "not tried", "", ""
    starts = [one.smallest for _gate, one in tried]
    known = sorted(start for start in starts if start is not None)
    ends = [percent(known[0]), percent(known[-1])] if known else []
    said = " to ".join(dict.fromkeys(ends)) + (f", {starts.count(None)} never" if None in starts else "")
    tops = [one.doses[-1][1] for _gate, one in tried]
    least = min((top.value for top in tops if top is not None), default=0.0)
    alarms = [gate.alarms.value for gate, _one in tried if gate.alarms is not None]
    return str(len(pairs)), said.removeprefix(", "), percent(least), percent(max(alarms, default=None))
