from xml.etree import ElementTree

from shoplm_audit.rendering.junit import render_junit
from shoplm_audit.results import AuditResult


def test_only_what_passed_is_passed(audit):
    root = ElementTree.fromstring(render_junit(audit))
    gates = {gate.id: gate for suite in audit.result.suites for gate in suite.gates}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases.keys() == gates.keys()
    for name, case in cases.items():
        kinds = [child.tag for child in case]
        want = {"fail": ["failure"], "pass": []}.get(str(gates[name].verdict), ["skipped"])
        assert kinds == want, name
        assert all(gates[name].why in (child.get("message") or "") for child in case)


def test_counts_are_those_of_the_gates(audit):
    root = ElementTree.fromstring(render_junit(audit))
    assert root.get("tests") == "14"
    assert root.get("failures") == str(len(list(root.iter("failure")))) == "5"
    assert root.get("skipped") == str(len(list(root.iter("skipped")))) == "5"
    assert sum(int(suite.get("tests")) for suite in root) == 14


def test_hostile_reasons_and_ids_parse_and_personal_data_is_masked(audit, hostile):
    suite = audit.result.suites[1]
    gate = suite.gates[0].model_copy(
        update={"id": f"faithfulness.{hostile}", "why": f"{hostile} \ufffe mei.lin@example.com"}
    )
    result = audit.result.model_copy(update={"suites": [suite.model_copy(update={"gates": [gate]})]})
    xml = render_junit(AuditResult(result))
    failure = ElementTree.fromstring(xml.encode("utf-8")).find(".//failure")
    message = failure.get("message")
    assert "</script><script>alert(1)</script>" in message
    assert "[U+0000]" in message
    assert "[U+FFFE]" in message
    assert "mei.lin@example.com" not in xml


def test_the_same_result_gives_the_same_xml(audit, audit_of):
    assert render_junit(audit) == render_junit(audit_of())
