"""How far a gate's limit is broken and how sure that is, in words.

sure_of(result, suite, rows, gate, estimate)[0] -> ("Independent cases (n)", "240 · exact binomial")
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import special

from shoplm_audit import uncertainty
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.rendering.telling import Rows
from shoplm_audit.results import EstimateResult, GateResult, Result, SuiteResult
from shoplm_audit.sequences import METHOD

__all__ = ["Held", "between", "beyond", "false_alarm", "held_of", "how_sure", "rule_of", "smallest_seen", "sure_of"]

_POINT = 100  # percentage points of 1
_LOOKED = "Judged before on a fixed number of cases"  # how the note of a run begins that is a second look


class Held(NamedTuple):
    """At what confidence bounds hold: those that speak against the model, and those that speak for it."""

    against: float
    favour: float
    any_time: bool = False


def held_of(result: Result, estimate: EstimateResult | None = None) -> Held:
    """What is in force for an estimate, or for the gates that were judged as answers came.

    A gate that was judged on a fixed number of cases before has had two looks, whose errors add up.
    """
    told = result.stopping
    early = told is not None and (estimate is None or METHOD in estimate.method)
    if any(note.startswith(_LOOKED) for note in result.notes):
        both = 2 * result.confidence - 1
        return Held(both, both, early)
    return Held(told.confidence if told and early else result.confidence, result.confidence, early)


def how_sure(result: Result) -> str:
    """What the intervals of a run mean, with what an early stop, more cases or an earlier look make of them."""
    told, held = result.stopping, held_of(result)
    plain = wording.within(held.favour if held.favour < result.confidence else result.confidence)
    if held.favour < result.confidence:
        return _("over both looks {within}", within=plain)
    if told is None or not told.gates:
        return plain
    return _(
        "of the {n} gates that were judged as answers came, the bound that a gate needs to pass holds at {favour} and "
        "the one that it needs to fail at {against}, both at any time; of the other gates {within}",
        n=told.gates,
        favour=_share(held.favour),
        against=_share(held.against),
        within=plain,
    )


def false_alarm(result: Result, failed: bool) -> str:
    """How often one gate is wrong at its limit, in a sentence: about failing where some failed, else about passing."""
    held = held_of(result)
    # Of the gates that were not judged as answers came, the fixed confidence is the weaker of the two.
    least = min(held.favour, result.confidence)
    if failed:
        return _(
            "For each gate: it fails only when its whole interval lies beyond the limit. Were its true value just at "
            "the limit, that would happen in at most {n} of 100 runs.",
            n=_of_hundred(least),
        )
    return _(
        "For each gate: it passes only when its whole interval keeps the limit. Were its true value just beyond it, "
        "that would happen in at most {n} of 100 runs.",
        n=_of_hundred(least),
    )


def _share(confidence: float) -> str:
    return f"{100 * confidence:.4g} %"


def _of_hundred(confidence: float) -> str:
    return f"{100 * (1 - confidence):.3g}"


def smallest_seen(gate: GateResult, estimate: EstimateResult | None, confidence: float) -> str:
    """How far beyond its limit the truth would have to lie for this many cases to fail the gate in four runs of five.

    Where the metric measured it itself, its own number; otherwise from the width of the interval, as if the value lay
    at the limit.
    """
    # The width of bounds that hold at any time says little of where an early stop would have led.
    if estimate is None or gate.burden == "refutation" or METHOD in estimate.method:
        return ""
    measured = estimate.checks.get("smallest_failing")
    if measured is not None:
        return _("{x} in either direction", x=_limit(measured, gate.metric))
    if estimate.low is None or estimate.high is None or (gate.at_most is None and gate.at_least is None):
        return ""
    error = (estimate.high - estimate.low) / 2 / float(special.ndtri(confidence))
    step = uncertainty.smallest_detectable(error, confidence)
    top = 1.0 if wording.in_percent(gate.metric) else math.inf
    sides = []
    if gate.at_most is not None and gate.at_most + step <= top:
        sides.append(_("{x} or more", x=_limit(gate.at_most + step, gate.metric)))
    if gate.at_least is not None and (gate.at_least - step >= 0 or top > 1):
        sides.append(_("{x} or less", x=_limit(gate.at_least - step, gate.metric)))
    return "; ".join(sides) or _("none: too few cases")


def _limit(value: float, metric: str) -> str:
    return wording.limit(float(f"{value:.2g}"), metric)


def between(said: wording.Said | None, gate: GateResult, held: Held) -> str:
    """The interval in a sentence; "" where a bound is undefined."""
    if said is None or _(wording.UNDEFINED) in (said.low, said.high):
        return ""
    if held.any_time and held.against != held.favour:
        above = gate.at_most is not None
        low, high = (held.against, held.favour) if above else (held.favour, held.against)
        return _(
            "The true value is at least {low} with {sure_low} certainty and at most {high} with {sure_high}, both at "
            "any time.",
            low=said.low,
            high=said.high,
            sure_low=_share(low),
            sure_high=_share(high),
        )
    return _(
        "The true value lies between {low} and {high}, each bound with {sure} certainty.",
        low=said.low,
        high=said.high,
        sure=_share(held.favour),
    )


def _crossed(gate: GateResult, estimate: EstimateResult) -> tuple[float, bool] | None:
    """The limit that the whole interval lies beyond, and whether above it."""
    if gate.at_most is not None and estimate.low is not None and estimate.low > gate.at_most:
        return gate.at_most, True
    if gate.at_least is not None and estimate.high is not None and estimate.high < gate.at_least:
        return gate.at_least, False
    return None


def beyond(gate: GateResult, estimate: EstimateResult | None) -> str:
    """By how much the whole interval lies beyond a limit at least; "" where it does not."""
    crossed = _crossed(gate, estimate) if estimate else None
    if estimate is None or crossed is None:
        return ""
    limit, above = crossed
    bound = estimate.low if above else estimate.high
    gap = abs((bound or 0.0) - limit)
    if wording.in_percent(gate.metric):
        gap_said = f"{float(f'{_POINT * gap:.2g}'):g}"
        return (
            _("at least {gap} percentage points above the limit", gap=gap_said)
            if above
            else _("at least {gap} percentage points below the limit", gap=gap_said)
        )
    gap_said = f"{float(f'{gap:.2g}'):g}"
    return (
        _("at least {gap} above the limit", gap=gap_said)
        if above
        else _("at least {gap} below the limit", gap=gap_said)
    )


def rule_of(gate: GateResult, estimate: EstimateResult | None, said: wording.Said | None) -> str:
    """The limit and which bound crossed it; the result's own words where none did."""
    crossed = _crossed(gate, estimate) if estimate else None
    if crossed is None or said is None or gate.burden == "refutation":
        return retold(gate.why)
    if crossed[1]:
        return _(
            "The rule is {limit}. Even the lower bound, {low}, lies above it.",
            limit=wording.limit_of(gate),
            low=said.low,
        )
    return _(
        "The rule is {limit}. Even the upper bound, {high}, lies below it.",
        limit=wording.limit_of(gate),
        high=said.high,
    )


def sure_of(
    result: Result, suite: SuiteResult, rows: Rows, gate: GateResult, estimate: EstimateResult
) -> list[tuple[str, str]]:
    """All that is known of how sure a gate's number is, as (name, words)."""
    counts = suite.counts
    seen = [row for probe, found in rows.items() if probe == estimate.probe for row in found]
    inside = [row for row in seen if all(row.case.of(k) == v for k, v in gate.slice.items())]
    out = [(_("How the bounds were found"), retold(estimate.method))]
    if inside:
        scored = sum(row.status == "scored" for row in inside)
        words = _("{scored} of {all} cases of this probe were scored.", scored=f"{scored:,}", all=f"{len(inside):,}")
        out.append((_("Coverage"), words))
    else:
        out.append(
            (
                _("Coverage"),
                _(
                    "{scored} of the {all} planned cases of this suite were scored.",
                    scored=f"{counts.scored:,}",
                    all=f"{counts.planned:,}",
                ),
            )
        )
    chance = _of_hundred(held_of(result, estimate).against)
    out.append(
        (
            _("False alarm"),
            _("Were the true value just at the limit, this gate would fail in at most {n} of 100 such runs.", n=chance),
        )
    )
    if smallest := smallest_seen(gate, estimate, result.confidence):
        out.append((_("Smallest fault seen in four runs of five"), smallest))
    if gate.p_adjusted is not None and gate.p_value is not None:
        words = _(
            "p = {p}; {adjusted} after allowing for all gates of the family that were tested together.",
            p=f"{gate.p_value:.2g}",
            adjusted=f"{gate.p_adjusted:.2g}",
        )
        out.append((_("Chance, adjusted"), words))
    return out + _checked(suite, gate, estimate)


def _checked(suite: SuiteResult, gate: GateResult, estimate: EstimateResult) -> list[tuple[str, str]]:
    """What is known of the error of the measuring itself."""
    out = []
    corrected = next(
        (
            e
            for name in ("_by_people", "_corrected")
            for e in suite.estimates
            if e.metric == f"{gate.metric}{name}" and e.slice == gate.slice
        ),
        None,
    )
    if corrected is not None and corrected.value is not None:
        said = wording.said(corrected.value, corrected.low, corrected.high, corrected.metric)
        out.append((_("Checker's error"), _("Corrected for what the checker misses and mistakes: {said}.", said=said)))
    checks = estimate.checks
    alarms, recovered = checks.get("aa_false_alarms"), checks.get("recovered")
    if alarms is not None:
        words = _(
            "Two random halves of one group seemed to differ in {share} of tries; {nominal} would be chance.",
            share=f"{100 * alarms:.3g} %",
            nominal=f"{100 * (checks.get('aa_nominal') or 0):.3g} %",
        )
        out.append((_("Same group, tried"), words))
    if recovered is not None:
        words = _(
            "A difference of {planted} added on purpose was found in {share} of tries.",
            planted=f"{checks.get('planted') or 0:.3g}",
            share=f"{100 * recovered:.3g} %",
        )
        out.append((_("Planted, tried"), words))
    if (wrong := checks.get("false_positives")) is not None:
        words = _("{share} of what was not looked for was taken for it.", share=f"{100 * wrong:.3g} %")
        out.append((_("False positives"), words))
    return out
