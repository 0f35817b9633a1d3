"""What a run comes to once its gates are judged: its waivers, an earlier run beside it, the verdict of it all.

concluded(audited, ["faithfulness"], waivers=read_waivers(path), baseline=("runs/v1", load_run(...))).verdict -> "fail"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from shoplm_audit.compare import changes_of
from shoplm_audit.judging import overall
from shoplm_audit.results import AuditResult
from shoplm_audit.waivers import Waiver, under_waivers

__all__ = ["concluded"]


def concluded(
    audited: AuditResult,
    suites: Sequence[str],
    *,
    waivers: Sequence[Waiver] = (),
    keys: Sequence[str] = (),
    today: date | None = None,
    baseline: tuple[str, AuditResult] | None = None,
    margins: Mapping[str, float] | None = None,
) -> AuditResult:
    """A run under its waivers and beside its baseline.

    Args:
        audited: the run, judged.
        suites: names or folders of its suites.
        waivers: who lets which gate through, and until when.
        keys: public keys, as base64, of which one has to have signed each waiver.
        today: on which waivers have to hold; today unless given.
        baseline: how an earlier run is called, and that run.
        margins: how much worse than the baseline is still acceptable (`compare.changes_of`).

    Raises:
        ConfigError: a waiver or a margin of something that this run does not have.
        DataError: the runs have no case in common.
    """
    result = audited.result
    gates, told = under_waivers(
        [gate for suite in result.suites for gate in suite.gates], waivers, today or date.today(), keys
    )
    left = iter(gates)
    held = [suite.model_copy(update={"gates": [next(left) for _ in suite.gates]}) for suite in result.suites]
    under = result.model_copy(update={"suites": held, "waivers": told})
    since = None
    if baseline is not None:
        name, earlier = baseline
        since = changes_of(earlier, AuditResult(under, audited.observations), suites, margins, run=name)
    final = under.model_copy(update={"baseline": since, "verdict": overall(gates, since)})
    return AuditResult(final, audited.observations)
