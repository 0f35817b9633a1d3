"""Results as a section of a Hugging Face model card, with the `model-index` that the Hub reads numbers from.

model-index:
- name: reviews-v3
  results:
  - task: {type: text-generation}
    dataset: {type: shoplm-audit, name: 'faithfulness: ShopWorld (synthetic)'}
    metrics: [{type: rate_contradicted, value: 0.124, args: {low: 0.097, high: 0.156, n: 480}, verified: false}]

It stands in a file of its own, to be pasted: a card that somebody wrote is not touched.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from shoplm_audit.rendering.certainty import how_sure
from shoplm_audit.rendering.masking import mask, on_a_line, visible
from shoplm_audit.rendering.wording import (
    VERDICTS,
    estimate_of,
    headline,
    label,
    limit_of,
    said,
    slice_of,
    tally,
)
from shoplm_audit.results import AuditResult, EstimateResult, GateResult, Result, SuiteResult

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

__all__ = ["render_modelcard"]

_MARKUP = re.compile(r"([\\`*_{}\[\]#|~$!])")
_NOTHING = "not stated"
_NOTE = 120  # characters of why a number is invalid


def render_modelcard(audit: AuditResult) -> str:
    """What was audited, the verdicts with their intervals and what they cannot tell; `model-index` stands at its head.

    The index holds each gate's number, of gates on slices only where they did not pass; the rest is in `result.json`.
    Every text of the model, its name and its data is escaped: none can add a heading, a link, a cell or a tag.
    """
    from huggingface_hub import ModelCardData

    result = audit.result
    evaluations = [one for suite in result.suites for one in _evaluations(suite)]
    head = ModelCardData(model_name=_name(result), eval_results=evaluations).to_yaml(line_break="\n")
    return f"---\n{head}\n---\n\n{_section(result)}"


def _name(result: Result) -> str:
    return on_a_line(result.model.name) or "unnamed"


def _evaluations(suite: SuiteResult) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    told = {_key(gate): gate for gate in suite.gates if not gate.slice or str(gate.verdict) != "pass"}
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="shoplm-audit",
            dataset_name=_dataset(suite, estimate),
            metric_type=on_a_line(estimate.metric),
            metric_name=on_a_line(" in ".join(filter(None, (label(estimate.metric), slice_of(estimate.slice))))),
            metric_value=_short(estimate.value),
            metric_args=_arguments(estimate, told[_key(estimate)]),
            verified=False,
        )
        for estimate in suite.estimates
        if estimate.value is not None and _key(estimate) in told
    ]


def _key(one: EstimateResult | GateResult) -> tuple[object, ...]:
    return (one.metric, *sorted(one.slice.items()))


def _dataset(suite: SuiteResult, estimate: EstimateResult) -> str:
    source = suite.source.get(estimate.probe, "")
    return on_a_line(f"ShopLM Audit, {suite.name}" + (f": {source}" if source else ""))


def _arguments(estimate: EstimateResult, gate: GateResult) -> dict[str, object]:
    known: dict[str, object] = {
        "slice": {on_a_line(key): on_a_line(value) for key, value in sorted(estimate.slice.items())},
        "low": _short(estimate.low),
        "high": _short(estimate.high),
        "n": estimate.n,
        "note": on_a_line(estimate.note)[:_NOTE] if estimate.note.startswith("invalid") else "",
        "verdict": VERDICTS[str(gate.verdict)],
        "waived_by": on_a_line(gate.waived_by or ""),
    }
    return {name: value for name, value in known.items() if value not in (None, "", {})}


def _short(value: float | None) -> float | None:
    """Six digits, which is more than any interval of a card supports."""
    return None if value is None else float(f"{value:.6g}")


def _section(result: Result) -> str:
    lines = [
        "## Audit",
        "",
        f"**{headline(result)}** (run verdict: {result.verdict}).",
        "",
        f"Audited with ShopLM Audit, seed {result.seed}; {how_sure(result)}.",
        "",
        f"- Model: {_plain(_name(result))}",
        f"- Fingerprint: {_plain(result.model.fingerprint, secret=False) or 'none: its weights cannot be verified'}",
        f"- Differential privacy, as its training record states it: {_guarantee(result)}",
        *(f"- {_plain(note)}" for note in result.notes),
    ]
    if result.baseline is not None:
        lines.append(f"- Beside the baseline {_plain(result.baseline.model)}: {result.baseline.verdict}")
    lines += [
        "",
        "### What was examined",
        "",
        "| Suite | Question | Cases | Answers read | Data |",
        "|---|---|---|---|---|",
    ]
    for suite in result.suites:
        source = "; ".join(f"{probe}: {text}" for probe, text in sorted(suite.source.items())) or _NOTHING
        counts = f"{suite.counts.planned:,} | {suite.counts.scored:,}"
        lines.append(f"| {_plain(suite.name)} | {_plain(suite.question)} | {counts} | {_plain(source)} |")
    lines += ["", "### Verdicts", "", "| Gate | Verdict | Measured | Units | Limit |", "|---|---|---|---|---|"]
    quiet = ("pass", "not_applicable")
    lines += [_row(suite, gate) for suite in result.suites for gate in suite.gates if str(gate.verdict) not in quiet]
    tallied = dict(tally(gate for suite in result.suites for gate in suite.gates))
    lines += [
        "",
        f"Passed on these cases: {tallied.get('pass', 0):,}; not applicable: {tallied.get('not_applicable', 0):,}.",
    ]
    if result.waivers:
        lines += ["", "### Waivers", "", "A waived gate has not passed.", ""]
        lines += [
            f"- {_plain(one.gate)}: by {_plain(one.by)}, until {_plain(one.until)} ({one.state}): {_plain(one.why)}"
            for one in result.waivers
        ]
    lines += ["", "### What this cannot tell you", ""]
    for suite in result.suites:
        for paragraph in re.split(r"\n\s*(?:\n|[-*]\s)", suite.cannot_tell):
            if words := paragraph.strip().removeprefix("- "):
                lines.append(f"- {_plain(suite.name)}: {_plain(words)}")
    lines.append("- A gate that passed did so on these cases; other cases, prompts and settings were not tried.")
    return "\n".join(lines) + "\n"


def _guarantee(result: Result) -> str:
    privacy = (result.model.training or {}).get("privacy")
    if not isinstance(privacy, dict) or privacy.get("void"):
        return "none"
    return _plain(str(privacy.get("sentence", ""))) or _NOTHING


def _row(suite: SuiteResult, gate: GateResult) -> str:
    estimate = estimate_of(suite, gate)
    measured = str(said(estimate.value, estimate.low, estimate.high, gate.metric)) if estimate else "nothing"
    verdict = VERDICTS[str(gate.verdict)] + (f", waived by {gate.waived_by}" if gate.waived_by else "")
    units = f"{estimate.n:,}" if estimate else "0"
    limit = limit_of(gate) or ("the model's claim" if gate.burden == "refutation" else "none")
    return f"| {_plain(gate.id)} | {_plain(verdict)} | {_plain(measured)} | {units} | {_plain(limit)} |"


def _plain(text: str, secret: bool = True) -> str:
    """A text on one line in which no character is markdown or HTML and nothing becomes a link by itself."""
    one_line = " ".join(visible(mask(text) if secret else text).split())
    escaped = _MARKUP.sub(r"\\\1", html.escape(one_line, quote=False))
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")
