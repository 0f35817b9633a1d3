"""Why contrasts failed: for each failed gate the two most telling twins, and what the gap between them rests on.

reasons_of("bias", gates, sittings, models)[0].words -> [("Emily -> David", 0.12)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shoplm_audit.errors import Unsupported
from shoplm_audit.observing import Sitting
from shoplm_audit.probes.explaining import explain, twins_of
from shoplm_audit.results import ExplanationResult, GateResult
from shoplm_audit.types import Model, Verdict

__all__ = ["reasons_of"]

_MOST = 6  # gates of a suite that are explained: each asks the model some hundred times


def reasons_of(
    suite: str, gates: Sequence[GateResult], sittings: Sequence[Sitting], models: Mapping[str, Model]
) -> list[ExplanationResult]:
    """An explanation of each failed contrast, at most six of a suite, or the reason why there is none.

    Args:
        suite: its name.
        gates: judged.
        sittings: the probes of the suite with what was seen.
        models: by role.
    """
    compared = {
        metric.name: (sitting, metric.compared)
        for sitting in sittings
        for metric in sitting.probe.metrics
        if metric.compared is not None
    }
    failed = [gate for gate in gates if gate.verdict is Verdict.FAIL and gate.metric in compared]
    return [_reason(suite, gate, *compared[gate.metric], models) for gate in failed[:_MOST]]


def _reason(
    suite: str, gate: GateResult, sitting: Sitting, compared: tuple[str, str, str, str], models: Mapping[str, Model]
) -> ExplanationResult:
    column, kind, *groups = compared
    twins = twins_of(sitting.observations.where(**gate.slice), column, kind, (groups[0], groups[1]))
    if twins is None:
        return ExplanationResult(gate=gate.id, not_shown="no two cases differ in the group alone")
    try:
        told = explain(sitting.probe, *twins, column, models, key=f"{suite}/{sitting.probe.name}")
    except Unsupported as fault:
        return ExplanationResult(gate=gate.id, case=twins[0].id, twin=twins[1].id, not_shown=str(fault))
    return ExplanationResult(
        gate=gate.id,
        case=told.case,
        twin=told.twin,
        column=column,
        first=told.first,
        second=told.second,
        words=[(part.text, part.value) for part in told.words],
        lines=[(part.text, part.value) for part in told.lines],
        edit=list(told.edit),
        not_shown=told.unstable,
    )
