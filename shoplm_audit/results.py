"""What `result.json` holds, as typed models; `docs/result.schema.json` is generated from here.

{"format": 1, "verdict": "fail", "model": {"name": "reviews-v3", ...}, "suites": [{"name": "privacy", ...}], ...}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shoplm_audit.types import Observations, Verdict

__all__ = [
    "AuditResult",
    "BaselineResult",
    "ChangeResult",
    "Counts",
    "EstimateResult",
    "ExplanationResult",
    "GateResult",
    "ModelResult",
    "Result",
    "SliceChange",
    "StoppingResult",
    "SuiteResult",
    "WaiverResult",
]


def _finite(number: Any) -> Any:
    return None if isinstance(number, float) and not math.isfinite(number) else number


Number = Annotated[float | None, BeforeValidator(_finite)]  # nan and infinity are null: JSON has neither


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Counts(_Strict):
    """How many cases there were and what became of them; the last two count against the model."""

    planned: int
    scored: int
    errored: int
    unparsed: int


class EstimateResult(_Strict):
    """One metric in one slice. Both bounds hold at the run's confidence each; null is undefined."""

    metric: str
    slice: dict[str, str] = {}
    value: Number
    low: Number
    high: Number
    n: int
    method: str
    better: Literal["higher", "lower", "zero"]
    signature: str = ""
    probe: str = ""
    claim: Number = None
    ceiling: Number = None
    note: str = ""
    freedom: Number = None
    checks: dict[str, Number] = {}


class GateResult(_Strict):
    """One gate and its verdict. `why` is one sentence with the numbers; a limit that is null does not bind.

    Gates of a `family` are tested together: `p_value` is that of the limits being kept, `p_adjusted` the same after
    Benjamini and Hochberg.
    """

    id: str
    metric: str
    slice: dict[str, str] = {}
    at_most: Number = None
    at_least: Number = None
    burden: Literal["proof", "refutation"] = "proof"
    verdict: Verdict
    why: str
    cases_to_decide: int | None = None
    family: str = ""
    p_value: Number = None
    p_adjusted: Number = None
    waived_by: str | None = None
    clauses: list[str] = []


class ExplanationResult(_Strict):
    """What the gap between two twin cases of a failed contrast rests on, in the column's unit.

    `words` and `lines` each sum to `second - first`. What could not be explained says why in `not_shown`.
    """

    gate: str
    case: str = ""
    twin: str = ""
    column: str = ""
    first: Number = None
    second: Number = None
    words: list[tuple[str, float]] = []
    lines: list[tuple[str, float]] = []
    edit: list[str] = []
    not_shown: str = ""


class SuiteResult(_Strict):
    """One suite: its question, what was examined, what came out. `source` says whose data was used, per probe."""

    name: str
    question: str
    counts: Counts
    estimates: list[EstimateResult]
    gates: list[GateResult]
    cannot_tell: str = ""
    not_tested: dict[str, str] = {}
    source: dict[str, str] = {}
    explanations: list[ExplanationResult] = []


class SliceChange(_Strict):
    """A part of the cases in which a metric fell more than elsewhere; p is of the part being like the rest.

    `share` is how much of the whole change falls on it; `p_adjusted` pays for all the parts that were looked at.
    """

    slice: dict[str, str]
    n: int
    difference: Number
    low: Number
    high: Number
    share: Number
    p_value: Number
    p_adjusted: Number


class ChangeResult(_Strict):
    """The metric of one gate beside the baseline's, paired by case; `difference` is this run minus the baseline.

    `p_value` is that of the metric not being worse by more than the margin, `p_adjusted` the same after Holm over all
    gates of the policy. "worse" and "no worse" hold for the whole interval against the margin. Beside a run that
    stopped on what it saw, p holds at any time, and is undefined for metrics that have no such bounds.
    """

    suite: str
    gate: str
    metric: str
    slice: dict[str, str] = {}
    first: Number
    second: Number
    difference: Number
    low: Number
    high: Number
    n: int
    method: str
    margin: float
    p_value: Number = None
    p_adjusted: Number = None
    verdict: Literal["worse", "no worse", "undecided", "undefined"]
    better: Literal["higher", "lower", "zero"]
    only_first: int | None = None
    only_second: int | None = None
    explained_by: list[SliceChange] = []


class BaselineResult(_Strict):
    """An earlier run on the same cases and what has changed since; a metric that is worse fails this run."""

    run: str
    model: str
    fingerprint: str
    verdict: Literal["worse", "no worse", "undecided"]
    changes: list[ChangeResult]
    notes: list[str] = []


class WaiverResult(_Strict):
    """Who lets a gate that did not pass through, why and until when (a day, ISO 8601)."""

    gate: str
    by: str
    why: str
    until: str
    state: Literal["in force", "expired", "not needed", "broken"]
    key: str = ""


class StoppingResult(_Strict):
    """How a run that looks at its answers as they come decides when to stop.

    `confidence` is that of each bound that speaks against the model, at any time, once the error is split over `gates`.
    """

    gates: int
    confidence: float
    asked: int
    planned: int
    decided: int


class ModelResult(_Strict):
    """The audited model. An empty fingerprint means that its weights cannot be verified."""

    name: str
    fingerprint: str
    parameters: int | None = None
    spec: str = ""
    training: dict[str, Any] | None = Field(default=None, description="The publishable training.json, if there is one.")


class Result(_Strict):
    """A whole run."""

    format: Literal[1] = 1
    verdict: Literal["pass", "fail", "undecided"]
    model: ModelResult
    seed: int
    confidence: float = Field(gt=0.5, lt=1)
    suites: list[SuiteResult]
    notes: list[str] = Field(default=[], description="What a reader has to know first; printed in the report's head.")
    baseline: BaselineResult | None = None
    waivers: list[WaiverResult] = []
    stopping: StoppingResult | None = None
    command: str = ""
    environment: dict[str, str] = {}
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A result with the observations that it rests on, by (suite, probe)."""

    result: Result
    observations: Mapping[tuple[str, str], Observations] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Of the whole run: "pass", "fail" or "undecided"."""
        return self.result.verdict

    @property
    def exit_code(self) -> int:
        """0 every gate in scope passed, 1 one failed, 3 none failed but one is undecided or was not tested."""
        return {"pass": 0, "fail": 1, "undecided": 3}[self.result.verdict]
