"""A gate as a card: what happened, the rule, how sure, since when, where, cases, clauses, the command, what to try.

card_of(source, gate).what -> "74.2 % of the descriptions contradict their product's record."
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from markupsafe import Markup
from scipy import special

from shoplm_audit.evidence.clauses import Language, load_maps
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.advice import Step, spec_of, steps_for, told
from shoplm_audit.rendering.certainty import between, beyond, held_of, rule_of, smallest_seen, sure_of
from shoplm_audit.rendering.changes import numbers_of, part_of, since, verdict_of
from shoplm_audit.rendering.charts import Bar, axis_of, scale, strip
from shoplm_audit.rendering.examples import Example
from shoplm_audit.rendering.findings import findings_of
from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import _, language, retold
from shoplm_audit.rendering.telling import Rows, drawn, rows_of, telling_of
from shoplm_audit.results import (
    AuditResult,
    EstimateResult,
    GateResult,
    Result,
    SuiteResult,
    WaiverResult,
)

__all__ = [
    "CardView",
    "ChangeView",
    "Head",
    "Place",
    "Source",
    "bar_of",
    "card_of",
    "heads_of",
    "in_turn",
    "severity_of",
]

_PLACES = 4
_FEWEST = 10  # independent units of a part that is held against the whole
_SMALLEST = 1000  # bytes of the markup of a case, about


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the cases in which the same metric is clearly worse than over all."""

    name: str
    said: wording.Said
    n: int


@dataclass(frozen=True, slots=True)
class ChangeView:
    """What became of a gate since the baseline: a word, since when, the numbers, the parts that explain it."""

    kind: str
    since: str
    numbers: str
    explained: list[str]


@dataclass(frozen=True, slots=True)
class Head:
    """What the first screen says of a metric: its most telling card, and the other parts that failed with it."""

    card: CardView
    also: str


@dataclass(frozen=True, slots=True)
class CardView:
    """A gate with all that a page tells of it; what is not known is empty.

    Attributes:
        what: what happened, in a sentence; `between` the interval in one.
        beyond: by how much the limit is broken at least, as in "at least 59.1 percentage points above it".
        rule: the limit and which bound crossed it.
        meaning: what follows and what does not, where a suite's own words say it.
        sure: how sure, as (name, words).
        certain: at what confidence `beyond` holds.
        units: on how many independent units it rests, and on how many cases.
        change: what became of it since the baseline.
        places: parts in which it is clearly worse; `looked` is how many were looked at.
        no_cases: why no case is shown.
        clauses: what the gate is evidence for: id, name ("" where no map has it).
    """

    suite: str
    gate: GateResult
    estimate: EstimateResult | None
    said: wording.Said | None
    strip: Markup
    scale: Markup
    severity: float
    what: str
    between: str
    beyond: str
    certain: str
    rule: str
    meaning: str
    units: str
    sure: list[tuple[str, str]]
    smallest: str
    change: ChangeView | None
    places: list[Place]
    looked: int
    bad: list[Example]
    good: list[Example]
    no_cases: str
    clauses: list[tuple[str, str]]
    command: str
    steps: list[Step]
    waiver: WaiverResult | None
    shown: frozenset[tuple[str, int]] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Source:
    """What the cards of one suite are made from; `budget` is the bytes of markup for the cases of one card."""

    audit: AuditResult
    suite: SuiteResult
    rows: Rows
    meanings: Mapping[str, str]
    budget: int

    @classmethod
    def of(cls, audit: AuditResult, suite: SuiteResult, budget: int) -> Source:
        """The source of a suite's cards."""
        meanings = findings_of(suite, held_of(audit.result).favour) if suite.name == "privacy" else []
        return cls(
            audit, suite, rows_of(suite, audit.observations), {one.gate: one.text for one in meanings}, max(0, budget)
        )


def card_of(source: Source, gate: GateResult) -> CardView:
    """The card of a gate; cases and steps only where it failed."""
    suite, result = source.suite, source.audit.result
    estimate = wording.estimate_of(suite, gate)
    failed = str(gate.verdict) == "fail"
    bad: list[Example] = []
    good: list[Example] = []
    shown: frozenset[tuple[str, int]] = frozenset()
    if failed and source.rows and source.budget >= _SMALLEST:
        chosen = telling_of(suite, gate, source.rows)
        bad = drawn(suite, source.rows, chosen.bad, source.budget)
        good = drawn(suite, source.rows, [chosen.good] if chosen.good else [], source.budget - sum(e.size for e in bad))
        shown = frozenset((one.probe, one.position) for one in chosen.bad[: len(bad)])
    said = wording.said(estimate.value, estimate.low, estimate.high, gate.metric) if estimate else None
    axis = axis_of([estimate.value, estimate.low, estimate.high] if estimate else [], [gate.at_least, gate.at_most])
    held = held_of(result, estimate)
    places, looked = _places(suite, gate, estimate, result.confidence) if failed else ([], 0)
    return CardView(
        suite=suite.name,
        gate=gate,
        estimate=estimate,
        said=said,
        strip=strip(axis, [bar_of(estimate, str(gate.verdict))], gate.at_least, gate.at_most) if estimate else Markup(),
        scale=scale(axis, gate.metric) if estimate else Markup(),
        severity=severity_of(gate, estimate),
        what=told(gate, said) if said else retold(gate.why),
        between=between(said, gate, held),
        beyond=beyond(gate, estimate),
        certain=f"{100 * held.against:.4g} %",
        rule=rule_of(gate, estimate, said),
        meaning=source.meanings.get(gate.id, ""),
        units=_units(source.rows, gate, estimate) if estimate else "",
        sure=sure_of(result, suite, source.rows, gate, estimate) if estimate else [],
        smallest=smallest_seen(gate, estimate, result.confidence),
        change=_change_of(result, gate),
        places=places,
        looked=looked,
        bad=bad,
        good=good,
        no_cases=_no_cases(source) if failed and not bad else "",
        clauses=[_clause(clause) for clause in gate.clauses],
        command=_command(result, suite.name),
        steps=steps_for(suite.name, gate, estimate, result) if str(gate.verdict) in ("fail", "undecided") else [],
        waiver=next((one for one in result.waivers if one.gate == gate.id), None),
        shown=shown,
    )


def bar_of(estimate: EstimateResult, style: str, name: str = "") -> Bar:
    """An estimate's interval, to be drawn in the style of a verdict."""
    said = wording.said(estimate.value, estimate.low, estimate.high, estimate.metric)
    title = f"{name or wording.label(estimate.metric)}: {said}"
    style = style if style in ("pass", "fail", "undecided") else "plain"
    return Bar(estimate.value, estimate.low, estimate.high, style, visible(title))


def in_turn(cards: list[CardView]) -> list[CardView]:
    """The worst of each suite first, then the second worst of each: a reader of the first few has seen every suite."""
    ranked = sorted(cards, key=lambda card: (-card.severity, card.gate.id))
    turns: dict[str, int] = {}
    placed = []
    for card in ranked:
        turn = turns[card.suite] = turns.get(card.suite, -1) + 1
        placed.append((turn, card))
    return [card for _turn, card in sorted(placed, key=lambda pair: pair[0])]


def heads_of(cards: list[CardView]) -> list[Head]:
    """One entry for each metric, of all cases or else the worst part; the worst of each suite first (`in_turn`)."""
    groups: dict[tuple[str, str], list[CardView]] = {}
    for card in sorted(cards, key=lambda card: (-card.severity, card.gate.id)):
        groups.setdefault((card.suite, card.gate.metric), []).append(card)
    heads: list[Head] = []
    for same in groups.values():
        first = next((card for card in same if not card.gate.slice), same[0])
        heads.append(
            Head(first, wording.listed(wording.slice_of(card.gate.slice) for card in same if card is not first))
        )
    order = {card.gate.id: place for place, card in enumerate(in_turn([head.card for head in heads]))}
    return sorted(heads, key=lambda head: order[head.card.gate.id])


def severity_of(gate: GateResult, estimate: EstimateResult | None) -> float:
    """How far the value lies beyond its limit, as a share of how far it could; 0 to 1, not beyond is 0."""
    if estimate is None or estimate.value is None:
        return 0.0
    found = 0.0
    for limit, sign in ((gate.at_most, 1.0), (gate.at_least, -1.0)):
        if limit is not None and sign * (estimate.value - limit) > 0:
            shares = -1 <= limit <= 1
            room = (1 - sign * limit if sign > 0 or gate.at_most is not None else limit) if shares else abs(limit)
            found = max(found, min(1.0, sign * (estimate.value - limit) / (room or 1.0)))
    return found


def _change_of(result: Result, gate: GateResult) -> ChangeView | None:
    changes = result.baseline.changes if result.baseline else []
    change = next((change for change in changes if change.gate == gate.id), None)
    if change is None or result.baseline is None:
        return None
    return ChangeView(
        verdict_of(change),
        since(change, result.baseline.run, gate),
        numbers_of(change, sum(bool(one.gate) for one in changes)),
        [part_of(part, gate.metric) for part in change.explained_by],
    )


def _units(rows: Rows, gate: GateResult, estimate: EstimateResult) -> str:
    seen = [row for probe, found in rows.items() if probe == estimate.probe for row in found]
    inside = sum(row.status == "scored" and all(row.case.of(k) == v for k, v in gate.slice.items()) for row in seen)
    if inside in (0, estimate.n):
        return _("{n} independent cases.", n=f"{estimate.n:,}")
    return _("{n} independent units, of {cases} cases in all.", n=f"{estimate.n:,}", cases=f"{inside:,}")


def _places(
    suite: SuiteResult, gate: GateResult, estimate: EstimateResult | None, confidence: float
) -> tuple[list[Place], int]:
    """The parts whose interval lies wholly beyond the value of the whole, once it pays for all that were looked at."""
    if estimate is None or estimate.value is None:
        return [], 0
    whole = estimate.value
    better = estimate.better if estimate.better != "zero" else ("lower" if whole > 0 else "higher")
    sign = 1 if better == "lower" else -1
    parts = [
        e
        for e in suite.estimates
        if e.metric == gate.metric
        and e.slice != gate.slice
        and gate.slice.items() <= e.slice.items()
        and e.n >= _FEWEST
        and None not in (e.value, e.low, e.high)
        and not e.note.startswith("invalid")
    ]
    level = 1 - (1 - confidence) / max(1, len(parts))
    clear = [e for e in parts if _nearest(e, sign, confidence, level) > sign * whole]
    clear.sort(key=lambda e: (-sign * (e.value or 0.0), sorted(e.slice.items())))
    places = [Place(wording.slice_of(e.slice), wording.said(e.value, e.low, e.high, e.metric), e.n) for e in clear]
    return places[:_PLACES], len(parts)


def _nearest(part: EstimateResult, sign: int, confidence: float, level: float) -> float:
    """The bound of a part that faces the better side, moved to a stricter confidence, times the sign of worse."""
    value, bound = part.value or 0.0, (part.low if sign > 0 else part.high) or 0.0
    freedom = math.inf if part.freedom is None else part.freedom
    arm = abs(value - bound)
    # A bound that is the value itself is no bound.
    stretched = arm * float(special.stdtrit(freedom, level) / special.stdtrit(freedom, confidence)) if arm else math.inf
    return sign * value - stretched


def _no_cases(source: Source) -> str:
    if not source.rows:
        return _("This report was made without the evidence; the cases are in evidence.sqlite.")
    if source.budget < _SMALLEST:
        return _("The page is full; the cases are in evidence.sqlite.")
    return _(
        "This is a property of all cases together and shows in no single one; the figures in the evidence draw it."
    )


def _clause(clause: str) -> tuple[str, str]:
    return clause, _names_of_clauses(language()).get(clause, "")


@cache
def _names_of_clauses(spoken: str) -> dict[str, str]:
    """Law and clause in words by the clause's id and its aliases."""
    chosen: Language = "zh" if spoken == "zh" else "en"
    return {
        name: f"{law.title.of(chosen)}, {clause.title.of(chosen)}"
        for one in load_maps()
        for law in one.laws
        for clause in law.clauses
        for name in (clause.id, *clause.aliases)
    }


def _command(result: Result, suite: str) -> str:
    """The command of the run, for this suite alone."""
    try:
        words = shlex.split(result.command)
    except ValueError:
        words = []
    if words[:2] != ["shoplm-audit", "run"]:
        return shlex.join(["shoplm-audit", "run", suite, "--model", spec_of(result), "--seed", str(result.seed)])
    options = next((i for i, word in enumerate(words) if i > 1 and word.startswith("-")), len(words))
    kept = re.sub(r" --out (?:'[^']*'|\S+)", "", " " + shlex.join(words[options:]))
    seed = "" if "--seed" in words else f" --seed {result.seed}"
    return f"shoplm-audit run {shlex.quote(suite)}{kept}{seed}"
