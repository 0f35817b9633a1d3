"""Results as JUnit XML: a gate is a test case, so that CI shows what passed, what failed and what nobody decided.

<testcase classname="faithfulness" name="faithfulness.rate_contradicted"><failure type="gate" message="..."/></testcase>
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree

from shoplm_audit.rendering.certainty import how_sure
from shoplm_audit.rendering.masking import spelled, visible
from shoplm_audit.rendering.wording import VERDICTS, estimate_of, limit_of, said
from shoplm_audit.results import AuditResult, BaselineResult, ChangeResult, GateResult, SuiteResult, WaiverResult

__all__ = ["render_junit", "waiver_of"]

_OPEN = ("fail", "undecided", "not_tested")  # what a waiver that no longer holds turns into a failure


class _Case(NamedTuple):
    name: str
    outcome: str  # the element within the test case: "failure", "skipped", or "" for a passed one
    kind: str = ""
    message: str = ""
    details: str = ""


def render_junit(audit: AuditResult) -> str:
    """The gates as JUnit XML; only a gate that passed is a passed test case, all that was not decided is skipped.

    A gate under a waiver in force is skipped and one whose waiver has expired fails. What is worse than the baseline
    is a failed test case of the suite "baseline".
    """
    result = audit.result
    suites = [
        (suite.name, [_gate_case(suite, gate, result.waivers) for gate in suite.gates]) for suite in result.suites
    ]
    if result.baseline is not None:
        suites.append(("baseline", _baseline_cases(result.baseline)))
    known = {
        "model": spelled(result.model.name),
        "fingerprint": visible(result.model.fingerprint),
        "seed": str(result.seed),
        "intervals": how_sure(result),
    }
    totals = _counts([case for _, cases in suites for case in cases])
    root = ElementTree.Element("testsuites", {"name": known["model"]} | totals)
    for name, cases in suites:
        element = ElementTree.SubElement(root, "testsuite", {"name": spelled(name)} | _counts(cases))
        properties = ElementTree.SubElement(element, "properties")
        for key, value in known.items():
            ElementTree.SubElement(properties, "property", name=key, value=value)
        for case in cases:
            _add(element, name, case)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def waiver_of(gate: GateResult, waivers: list[WaiverResult]) -> WaiverResult | None:
    """The waiver of a gate: one that is in force before one that has expired, and that before one nobody needs."""
    order = ("in force", "expired", "broken", "not needed")
    return min((one for one in waivers if one.gate == gate.id), key=lambda one: order.index(one.state), default=None)


def _gate_case(suite: SuiteResult, gate: GateResult, waivers: list[WaiverResult]) -> _Case:
    verdict, waiver = str(gate.verdict), waiver_of(gate, waivers)
    ended = waiver is not None and waiver.state in ("expired", "broken")
    if gate.waived_by and not ended:
        whose = f"waived by {gate.waived_by}"
        whose += f" until {waiver.until}: {waiver.why}" if waiver is not None else ""
        return _Case(gate.id, "skipped", message=f"{whose}. {VERDICTS[verdict]} without the waiver: {gate.why}")
    if waiver is not None and ended and verdict in _OPEN:
        said_by = f"the waiver by {waiver.by} until {waiver.until} "
        said_by += "has expired" if waiver.state == "expired" else "is broken and does not count"
        return _Case(gate.id, "failure", "waiver", f"{said_by}. {gate.why}", _measured(suite, gate))
    if verdict == "fail":
        return _Case(gate.id, "failure", "gate", gate.why, _measured(suite, gate))
    if verdict == "pass":
        return _Case(gate.id, "")
    word = VERDICTS[verdict].lower()
    why = gate.why if gate.why.lower().startswith(word) else f"{word}: {gate.why}"
    return _Case(gate.id, "skipped", message=why)


def _baseline_cases(baseline: BaselineResult) -> list[_Case]:
    cases = []
    for change in baseline.changes:
        told = _changed(change, baseline)
        if change.verdict == "worse":
            case = _Case(
                change.gate, "failure", "baseline", f"worse than the baseline: {told}", "\n".join(baseline.notes)
            )
        elif change.verdict == "no worse":
            case = _Case(change.gate, "")
        else:
            case = _Case(change.gate, "skipped", message=f"{change.verdict} beside the baseline: {told}")
        cases.append(case)
    return cases


def _changed(change: ChangeResult, baseline: BaselineResult) -> str:
    first, second = (said(value, None, None, change.metric).value for value in (change.first, change.second))
    difference = said(change.difference, change.low, change.high, change.metric)
    margin = said(change.margin, None, None, change.metric).value
    return (
        f"{second} after {first} in {baseline.run}, difference {difference} of {change.n} pairs ({change.method}), "
        f"margin {margin}"
    )


def _add(parent: ElementTree.Element, suite: str, case: _Case) -> None:
    element = ElementTree.SubElement(parent, "testcase", classname=spelled(suite), name=spelled(case.name))
    if case.outcome == "failure":
        failure = ElementTree.SubElement(element, "failure", type=case.kind, message=spelled(case.message))
        failure.text = spelled(case.details)
    elif case.outcome:
        ElementTree.SubElement(element, "skipped", message=spelled(case.message))


def _measured(suite: SuiteResult, gate: GateResult) -> str:
    estimate = estimate_of(suite, gate)
    lines = [gate.why]
    if estimate is not None:
        shown = said(estimate.value, estimate.low, estimate.high, gate.metric)
        lines.append(f"measured {shown}, n = {estimate.n} ({estimate.method}); limit {limit_of(gate)}")
    return "\n".join(lines)


def _counts(cases: list[_Case]) -> dict[str, str]:
    kinds = Counter(case.outcome for case in cases)
    numbers = {"tests": len(cases), "failures": kinds["failure"], "errors": 0, "skipped": kinds["skipped"]}
    return {key: str(value) for key, value in numbers.items()}
