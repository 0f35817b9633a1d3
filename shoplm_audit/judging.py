"""An estimate is held against a gate under a policy: the verdict, and why in a sentence.

judge("bias", gate, estimate, Policy(), "refund", "").why -> "The rule is at most 5 %, and the whole interval ..."
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from shoplm_audit import multiplicity, uncertainty
from shoplm_audit.config import Limit, scoped_out
from shoplm_audit.results import BaselineResult, GateResult
from shoplm_audit.sequences import METHOD as ANY_TIME
from shoplm_audit.types import Estimate, Gate, Verdict

__all__ = ["FamilyTest", "Policy", "in_families", "judge", "overall"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a release is held to: limits by gate, what is out of scope and why, the confidence of each bound."""

    gates: Mapping[str, Limit] = field(default_factory=dict)
    scope: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class FamilyTest:
    """How surely a gate's limit is exceeded: p of its being kept, alone and adjusted for all tests of the family."""

    p: float
    adjusted: float
    family: str
    size: int


def p_of_limits(gate: Gate, estimate: Estimate, confidence: float) -> float:
    """The p-value of both limits being kept, as the bounds of the estimate imply it by Student's t; nan: undefined.

    It is below 1 - confidence exactly where the bound lies beyond the limit.
    """
    step = float(special.stdtrit(estimate.freedom, confidence))
    chances = []
    for beyond, half in (
        (estimate.value - gate.at_most, estimate.value - estimate.low),
        (gate.at_least - estimate.value, estimate.high - estimate.value),
    ):
        if not math.isfinite(beyond):
            continue
        if half > 0:
            chances.append(float(special.stdtr(estimate.freedom, -step * beyond / half)))
        else:  # a bound that is the value itself says nothing against a limit on its other side
            chances.append(1.0 if beyond <= 0 else math.nan)
    return min(chances) if chances and not any(map(math.isnan, chances)) else math.nan


def in_families(
    gates: Sequence[Gate], estimates: Mapping[str, Estimate | None], confidence: float
) -> dict[str, FamilyTest]:
    """The gates of each declared family, with p-values adjusted by Benjamini and Hochberg over all that was asked.

    A test whose number is undefined counts as one that found nothing: no verdict hangs on what failed beside it.

    Args:
        gates: in scope; those without a family are left out.
        estimates: by the gate's id.
        confidence: of each bound.

    References:
        Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57, 289.
    """
    families: dict[str, dict[str, float]] = {}
    for gate in gates:
        estimate = estimates.get(gate.id)
        if not gate.family or estimate is None:
            continue
        families.setdefault(gate.family, {})[gate.id] = p_of_limits(gate, estimate, confidence)
    told: dict[str, FamilyTest] = {}
    for family, alone in families.items():
        adjusted = multiplicity.benjamini_hochberg(np.array(list(alone.values())))
        told |= {
            gate: FamilyTest(p, float(after), family, len(alone))
            for (gate, p), after in zip(alone.items(), adjusted, strict=True)
            if not math.isnan(p)
        }
    return told


def judge(
    suite: str,
    gate: Gate,
    estimate: Estimate | None,
    policy: Policy,
    probe: str,
    reason: str,
    tested: FamilyTest | None = None,
) -> GateResult:
    """The verdict of one gate, with why in a sentence; one of a family fails only if its adjusted p says so too."""
    told: dict[str, Any] = {
        "id": f"{suite}.{gate.id}",
        "metric": gate.metric,
        "slice": dict(gate.slice),
        "burden": gate.burden,
        "clauses": list(gate.clauses),
        "at_least": gate.at_least,
        "at_most": gate.at_most,
    }
    excused = scoped_out(policy.scope, suite, probe, gate.id)
    if excused is not None:
        return GateResult(**told, verdict=Verdict.NOT_APPLICABLE, why=excused)
    if estimate is None:
        return GateResult(**told, verdict=Verdict.NOT_TESTED, why=f"Not tested: {reason}.")
    gate = gate.against(estimate)
    verdict = gate.judge(estimate)
    told["at_most"] = gate.at_most
    if tested is not None:
        told |= {"family": tested.family, "p_value": tested.p, "p_adjusted": tested.adjusted}
    if verdict is Verdict.FAIL and tested is not None and tested.adjusted > 1 - policy.confidence:
        return GateResult(
            **told,
            verdict=Verdict.UNDECIDED,
            why=f"{_why(gate, estimate, verdict, policy.confidence, None)} Among the {tested.size} tests of this "
            f"family that can be chance: p = {tested.p:.2g}, after Benjamini and Hochberg {tested.adjusted:.2g}.",
        )
    decide = None
    if verdict is Verdict.UNDECIDED and gate.burden == "proof" and not estimate.note.startswith("invalid"):
        numbers = [
            uncertainty.cases_to_decide(estimate.value, estimate.low, estimate.high, estimate.n, limit)
            for limit in (gate.at_least, gate.at_most)
            if math.isfinite(limit)
        ]
        # Both limits have to be cleared: where one never would be, no number of cases is of use.
        decide = None if None in numbers else max((n for n in numbers if n is not None), default=None)
    return GateResult(
        **told, verdict=verdict, why=_why(gate, estimate, verdict, policy.confidence, decide), cases_to_decide=decide
    )


def overall(gates: Sequence[GateResult], baseline: BaselineResult | None = None) -> Any:
    """The verdict of a run: "fail" if a gate failed that nobody waived, or a metric became worse than the baseline's.

    "pass" only if every gate in scope passed; a waiver lets a gate through, but makes no pass of it.
    """
    if any(gate.verdict is Verdict.FAIL and not gate.waived_by for gate in gates):
        return "fail"
    if baseline is not None and baseline.verdict == "worse":
        return "fail"
    in_scope = [gate for gate in gates if gate.verdict is not Verdict.NOT_APPLICABLE]
    return "pass" if in_scope and all(gate.verdict is Verdict.PASS for gate in in_scope) else "undecided"


def _number(value: float, metric: str = "") -> str:
    """A number as a person reads it: rates in per cent."""
    if math.isnan(value):
        return "undefined"
    return f"{100 * value:.3g} %" if metric.startswith(("rate_", "excess_")) else f"{value:.4g}"


def _why(gate: Gate, estimate: Estimate, verdict: Verdict, confidence: float, decide: int | None) -> str:
    name = gate.metric
    interval = f"[{_number(estimate.low, name)}, {_number(estimate.high, name)}]"
    limits = [f"at least {_number(gate.at_least, name)}"] if math.isfinite(gate.at_least) else []
    limits += [f"at most {_number(gate.at_most, name)}"] if math.isfinite(gate.at_most) else []
    rule = " and ".join(limits)
    seen = f"{_number(estimate.value, name)} {interval}, n = {estimate.n}"
    if gate.burden == "refutation":
        return _why_refuted(gate, estimate, verdict)
    if estimate.note.startswith("invalid"):
        return f"The number is {estimate.note}."
    if math.isnan(estimate.value) or (math.isnan(estimate.low) and math.isnan(estimate.high)):
        return f"The rule is {rule}, but the interval is undefined ({estimate.method})."
    sure = f"each bound holds at {100 * confidence:g} %"
    if estimate.method == ANY_TIME:
        what = (
            "this bound holds" if verdict is Verdict.PASS else "all bounds that speak against the model hold together"
        )
        sure = f"{what} at {100 * confidence:g} %, at any time"
    if verdict is Verdict.PASS:
        return f"The rule is {rule}, and the whole interval keeps it: {seen}; {sure}."
    if verdict is Verdict.FAIL:
        return f"The rule is {rule}, and the whole interval lies beyond it: {seen}; {sure}."
    more = f" About {decide:,} independent cases would decide it." if decide else ""
    if not decide and math.isfinite(estimate.high - estimate.low):
        more = " What was seen lies so close to the limit that more cases of this kind would hardly decide it."
    return f"The rule is {rule}, and the interval reaches across it: {seen}.{more}"


def _why_refuted(gate: Gate, estimate: Estimate, verdict: Verdict) -> str:
    if verdict is Verdict.NOT_APPLICABLE:
        return "The model's record claims no epsilon, so there is nothing to refute."
    claim = f"Claimed epsilon {gate.at_most:.3g}"
    shown = f"measured at least {_number(estimate.low)} ({estimate.method})"
    if verdict is Verdict.FAIL:
        return f"{claim} is refuted: {shown}."
    if verdict is Verdict.PASS:
        return (
            f"{claim} is not refuted: {shown}, and a perfect attack would have shown {_number(estimate.ceiling or 0)}."
        )
    if estimate.note.startswith("invalid") or math.isnan(estimate.low):
        return f"{claim} could not be tested: {estimate.note or estimate.method}."
    return (
        f"{claim} is not refuted, but this design could not have refuted it either: even a perfect attack would have "
        f"shown only {_number(estimate.ceiling or 0)}."
    )
