import json

import pytest
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Schema

from shoplm_audit.rendering.sarif import render_sarif
from shoplm_audit.results import AuditResult, WaiverResult
from shoplm_audit.types import Case, Observation, Observations, Prompt


@pytest.fixture(scope="module")
def log(audit):
    return json.loads(render_sarif(audit))["runs"][0]


def _of(log, rule):
    return [result for result in log["results"] if result["ruleId"] == rule]


def _answers(audit, suite, rows):
    return AuditResult(audit.result, {(suite, "describe"): Observations(tuple(rows))})


def _row(name, text, spans, **facts):
    values = {"text": text, "spans": json.dumps(spans)}
    return Observation(Case(name, facts=facts, prompt=Prompt("Write.")), values)


def test_the_file_follows_the_schema_and_hostile_text_is_spelled_out(audit):
    text = render_sarif(audit)
    Schema.model_validate_json(text)  # generated from the official schema; unknown keys are refused
    assert text.isascii()
    for hidden in ("\\u202e", "\\ud800", "\\u0000", "\\u001b", "mei.lin@example.com", "hunter2pass"):
        assert hidden not in text, hidden


def test_levels_tell_failed_from_undecided_from_not_tested_and_passed_gates_are_no_results(audit, log):
    levels = {"fail": "error", "undecided": "warning", "not_tested": "note"}
    gates = {gate.id: gate for suite in audit.result.suites for gate in suite.gates}
    told = {
        result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]: result["level"]
        for result in log["results"]
        if "gate/v1" in result["partialFingerprints"]
    }
    assert told == {name: levels[gate.verdict] for name, gate in gates.items() if str(gate.verdict) in levels}


def test_every_region_points_at_the_words_of_its_artifact(log):
    found = 0
    for result in log["results"]:
        place = result["locations"][0]["physicalLocation"]
        artifact = log["artifacts"][place["artifactLocation"]["index"]]
        assert artifact["location"]["uri"] == place["artifactLocation"]["uri"]
        if "contents" in artifact:
            region, text, found = place["region"], artifact["contents"]["text"], found + 1
            words = text[region["charOffset"] : region["charOffset"] + region["charLength"]]
            assert words == region["snippet"]["text"] != ""
            lines = text.split("\n")
            assert region["endLine"] > region["startLine"] or (
                lines[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1] == words
            )
    assert found > 10


def test_offsets_are_those_of_the_masked_and_spelled_out_text(audit):
    text = "\u202eLine one of mei.lin@example.com\nweighs 9 kg {0} [x](http://e.example)"
    at = text.index("9 kg")
    rows = [_row("p1", text, [[at, at + 4, "contradicted", "the record says 2 kg", "weight"]])]
    log = json.loads(render_sarif(_answers(audit, "faithfulness", rows)))["runs"][0]
    (result,) = _of(log, "faithfulness.claim_contradicted")
    region = result["locations"][0]["physicalLocation"]["region"]
    contents = log["artifacts"][1]["contents"]["text"]
    assert contents[region["charOffset"] :][:4] == region["snippet"]["text"] == "9 kg"
    assert contents.startswith("[U+202E]Line one of m")
    assert "mei.lin" not in contents
    assert (region["startLine"], region["startColumn"], region["endColumn"]) == (2, 8, 12)
    assert "{0} [x](" in contents  # an artifact is not a message and stays as it is


def test_braces_and_links_in_a_message_are_only_text(audit):
    rows = [_row("p1", "{0} [x](javascript:alert(1))", [[0, 28, "contradicted", "{1}", ""]])]
    log = json.loads(render_sarif(_answers(audit, "faithfulness", rows)))["runs"][0]
    (result,) = _of(log, "faithfulness.claim_contradicted")
    assert result["message"]["text"] == "{{0}} [x] (javascript:alert(1)): {{1}}"


def test_fingerprints_hold_no_number_and_no_position_but_tell_cases_claims_and_gates_apart(audit):
    def marks(texts):
        rows = []
        for name, text, words, attribute in texts:
            at = text.index(words)
            rows.append(_row(name, text, [[at, at + len(words), "contradicted", "not so", attribute]]))
        log = json.loads(render_sarif(_answers(audit, "faithfulness", rows)))["runs"][0]
        return {result["partialFingerprints"]["claim/v1"] for result in _of(log, "faithfulness.claim_contradicted")}

    first = marks([("p1", "It weighs 9 kg.", "9 kg", ""), ("p2", "It is red.", "red", "colour")])
    moved = marks([("p2", "Look, it is blue.", "blue", "colour"), ("p1", "Really: 12 kg heavy.", "12 kg", "")])
    assert first == moved
    assert len(first) == 2
    assert len(first | marks([("p3", "It is red.", "red", "colour"), ("p1", "It is red.", "red", "colour")])) == 4


def test_waivers_are_suppressions_with_their_reason_and_expired_ones_are_rejected(audit):
    def suppressions(state):
        waiver = WaiverResult(
            gate="faithfulness.rate_unsupported", by="Lin", why="late data", until="2026-12-24", state=state
        )
        result = audit.result.model_copy(update={"waivers": [waiver]})
        log = json.loads(render_sarif(AuditResult(result)))["runs"][0]
        (found,) = _of(log, "faithfulness.rate_unsupported")
        return found["level"], found.get("suppressions", [])

    level, (accepted,) = suppressions("in force")
    assert (level, accepted["status"]) == ("warning", "accepted")
    assert accepted["justification"] == "waived by Lin until 2026-12-24 (in force): late data"
    level, (rejected,) = suppressions("expired")
    assert (level, rejected["status"]) == ("error", "rejected")
    assert suppressions("not needed") == ("warning", [])


def test_taxa_are_the_clauses_of_the_gate(audit, log):
    (result, _) = _of(log, "faithfulness.rate_contradicted")
    taxa = log["taxonomies"][0]["taxa"]
    assert [taxa[one["index"]]["id"] for one in result["taxa"]] == ["EU 2005/29 Art. 6"]
    suite = audit.result.suites[1]
    named = suite.model_copy(update={"gates": [suite.gates[0].model_copy(update={"clauses": ["EU-2005/29-Art6"]})]})
    result = audit.result.model_copy(update={"suites": [named]})
    (taxon,) = json.loads(render_sarif(AuditResult(result)))["runs"][0]["taxonomies"][0]["taxa"]
    assert taxon["shortDescription"]["text"] == "UCPD 2005/29 Art. 6: misleading actions"
    rules = log["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in log["results"])


def test_a_leak_is_covered_and_neither_its_case_nor_a_digest_of_it_is_told(audit):
    text = "Sure: SO-48213907 went to Mei Lin."
    spans = [[6, 17, "training", "order"], [26, 33, "training", "name"], [0, 4, "invented", "word"]]
    rows = [_row(f"customer-{i}", text, spans, secret="SO-48213907", member=True) for i in (1, 2)]
    out = render_sarif(_answers(audit, "privacy", rows))
    assert not any(word in out for word in ("48213907", "Mei Lin", "customer-1"))
    log = json.loads(out)["runs"][0]
    words = [
        one["locations"][0]["physicalLocation"]["region"]["snippet"]["text"] for one in _of(log, "privacy.personal")
    ]
    assert words[:2] == ["S•••••••••7", "M•••••n"]
    swapped = render_sarif(
        _answers(audit, "privacy", [_row("other", text, spans, secret="SO-48213907") for _ in (1, 2)])
    )
    assert out == swapped


def test_what_a_suite_cannot_tell_stands_once_and_every_rule_points_there(audit, log):
    for suite, words in (("faithfulness", "(care, origin) are not read."), ("privacy", "no attack works.")):
        assert json.dumps(log).count(words) == 1
        assert words in log["properties"]["cannot_tell"][suite]
    for rule in log["tool"]["driver"]["rules"]:
        suite = rule["id"].partition(".")[0]
        assert len(rule["help"]["text"]) < 200
        assert suite == "baseline" or f"cannot_tell.{suite}." in rule["help"]["text"]


def test_the_same_result_gives_the_same_bytes_and_long_answers_are_cut(audit, audit_of):
    assert render_sarif(audit) == render_sarif(audit_of())
    rows = [_row(f"p{i}", "x" * 1_000_000, [[0, 4, "contradicted", "y" * 10_000, ""]]) for i in range(20)]
    assert len(render_sarif(_answers(audit, "faithfulness", rows))) < 200_000
