"""Results as JUnit XML: a gate is a test case, so that CI shows what passed, what failed and what nobody decided.

<testcase classname="faithfulness" name="faithfulness.rate_contradicted"><failure type="gate" message="..."/></testcase>
"""

from __future__ import annotations

from xml.etree import ElementTree

from shoplm_audit.rendering.masking import mask, visible
from shoplm_audit.rendering.wording import VERDICTS, estimate_of, limit_of, said, within
from shoplm_audit.results import AuditResult, GateResult, SuiteResult

__all__ = ["render_junit"]


def render_junit(audit: AuditResult) -> str:
    """The gates as JUnit XML; only a gate that passed is a passed test case, all that was not decided is skipped."""
    result = audit.result
    root = ElementTree.Element("testsuites", name=_text(result.model.name))
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in result.suites:
        verdicts = [str(gate.verdict) for gate in suite.gates]
        failures, passed = verdicts.count("fail"), verdicts.count("pass")
        counts = {
            "tests": len(verdicts),
            "failures": failures,
            "errors": 0,
            "skipped": len(verdicts) - failures - passed,
        }
        totals = {key: totals[key] + counts[key] for key in totals}
        element = ElementTree.SubElement(root, "testsuite", {"name": _text(suite.name)} | _strings(counts))
        properties = ElementTree.SubElement(element, "properties")
        known = {
            "model": result.model.name,
            "fingerprint": result.model.fingerprint,
            "seed": str(result.seed),
            "intervals": within(result.confidence),
        }
        for name, value in known.items():
            ElementTree.SubElement(properties, "property", name=name, value=visible(value))
        for gate in suite.gates:
            _add(element, suite, gate)
    root.attrib.update(_strings(totals))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, suite: SuiteResult, gate: GateResult) -> None:
    case = ElementTree.SubElement(parent, "testcase", classname=_text(suite.name), name=_text(gate.id))
    verdict = str(gate.verdict)
    if verdict == "fail":
        failure = ElementTree.SubElement(case, "failure", type="gate", message=_text(gate.why))
        failure.text = _text(_measured(suite, gate))
    elif verdict != "pass":
        word = VERDICTS[verdict].lower()
        why = gate.why if gate.why.lower().startswith(word) else f"{word}: {gate.why}"
        ElementTree.SubElement(case, "skipped", message=_text(why))


def _measured(suite: SuiteResult, gate: GateResult) -> str:
    estimate = estimate_of(suite, gate)
    lines = [gate.why]
    if estimate is not None:
        shown = said(estimate.value, estimate.low, estimate.high, gate.metric)
        lines.append(f"measured {shown}, n = {estimate.n} ({estimate.method}); limit {limit_of(gate)}")
    if gate.waived_by:
        lines.append(f"waived by {gate.waived_by}")
    return "\n".join(lines)


def _text(text: str) -> str:
    return visible(mask(text))


def _strings(counts: dict[str, int]) -> dict[str, str]:
    return {key: str(value) for key, value in counts.items()}
