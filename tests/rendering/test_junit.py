import re
from xml.etree import ElementTree

import junitparser
import pytest

from shoplm_audit.rendering.junit import render_junit
from shoplm_audit.results import AuditResult, BaselineResult, ChangeResult, WaiverResult
from shoplm_audit.types import Verdict


def test_only_what_passed_is_passed(audit):
    root = ElementTree.fromstring(render_junit(audit))
    gates = {gate.id: gate for suite in audit.result.suites for gate in suite.gates}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases.keys() == gates.keys()
    for name, case in cases.items():
        kinds = [child.tag for child in case]
        verdict = "waived" if gates[name].waived_by else str(gates[name].verdict)
        want = {"fail": ["failure"], "pass": []}.get(verdict, ["skipped"])
        assert kinds == want, name
        assert all(gates[name].why in (child.get("message") or "") for child in case)


def test_counts_are_those_of_the_gates(audit):
    root = ElementTree.fromstring(render_junit(audit))
    assert root.get("tests") == "14"
    assert root.get("failures") == str(len(list(root.iter("failure")))) == "4"
    assert root.get("skipped") == str(len(list(root.iter("skipped")))) == "6"
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


def _with(audit, verdict, **more):
    """The audit with one gate only, of this verdict."""
    suite = audit.result.suites[1]
    gate = suite.gates[0].model_copy(update={"verdict": Verdict(verdict), "waived_by": more.pop("waived_by", None)})
    suites = [suite.model_copy(update={"gates": [gate]})]
    return AuditResult(audit.result.model_copy(update={"suites": suites} | more)), gate


def _waiver(gate, state):
    return WaiverResult(
        gate=gate, by="lin@shop.example", why="supplier's data is late", until="2026-12-24", state=state
    )


@pytest.mark.parametrize("verdict", ["fail", "undecided", "pass"])
def test_a_gate_under_a_waiver_is_skipped_and_says_who_why_and_until_when(audit, verdict):
    name = "faithfulness.rate_contradicted"
    audited, gate = _with(audit, verdict, waived_by="Lin", waivers=[_waiver(name, "in force")])
    xml = render_junit(audited)
    (case,) = ElementTree.fromstring(xml).iter("testcase")
    (skipped,) = case
    assert skipped.tag == "skipped"
    assert skipped.get("message").startswith("waived by Lin until 2026-12-24: supplier's data is late.")
    assert gate.why in skipped.get("message")


@pytest.mark.parametrize("state", ["expired", "broken"])
@pytest.mark.parametrize(
    ("verdict", "tag"), [("fail", "failure"), ("undecided", "failure"), ("not_tested", "failure"), ("pass", None)]
)
def test_a_waiver_that_does_not_hold_any_more_fails_what_did_not_pass(audit, state, verdict, tag):
    audited, _ = _with(audit, verdict, waived_by="Lin", waivers=[_waiver("faithfulness.rate_contradicted", state)])
    (case,) = ElementTree.fromstring(render_junit(audited)).iter("testcase")
    assert [child.tag for child in case] == ([tag] if tag else [])
    words = {"expired": "until 2026-12-24 has expired", "broken": "until 2026-12-24 is broken"}[state]
    assert all(words in child.get("message") for child in case)


def test_what_is_worse_than_the_baseline_fails_a_test_case_of_its_own(audit):
    def change(gate, verdict):
        numbers = {"first": 0.02, "second": 0.09, "difference": 0.07, "low": 0.04, "high": 0.1, "n": 480}
        return ChangeResult(
            suite="faithfulness",
            gate=gate,
            metric="rate_contradicted",
            method="exact McNemar",
            margin=0.02,
            verdict=verdict,
            better="lower",
            **numbers,
        )

    told = [change("a", "worse"), change("b", "no worse"), change("c", "undecided"), change("d", "undefined")]
    baseline = BaselineResult(run="runs/last", model="v2", fingerprint="", verdict="worse", changes=told)
    audited, _ = _with(audit, "pass", baseline=baseline)
    root = ElementTree.fromstring(render_junit(audited))
    tags = {
        case.get("name"): [child.tag for child in case]
        for case in root.find("testsuite[@name='baseline']").iter("testcase")
    }
    assert tags == {"a": ["failure"], "b": [], "c": ["skipped"], "d": ["skipped"]}
    message = root.find(".//failure").get("message")
    assert re.search(r"9\.?0* % after 2\.?0* % in runs/last", message)
    assert "7.0 % [4.0 %, 10.0 %]" in message
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("5", "1", "2")


def test_a_reader_of_ci_tools_sees_the_same(audit):
    parsed = junitparser.JUnitXml.fromstring(render_junit(audit).encode())
    seen = {case.name: [type(one) for one in case.result] for suite in parsed for case in suite}
    for gate in (gate for suite in audit.result.suites for gate in suite.gates):
        waived = junitparser.Skipped if gate.waived_by else junitparser.Failure
        want = {"fail": [waived], "pass": []}.get(str(gate.verdict), [junitparser.Skipped])
        assert seen[gate.id] == want, gate.id
