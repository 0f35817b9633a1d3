import re
from collections import Counter

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from shoplm_audit.rendering.modelcard import render_modelcard
from shoplm_audit.results import AuditResult


def _body(text):
    return text.split("\n---\n", 1)[1]


def _told(suite):
    """The numbers of gates, of slices only where the gate did not pass."""
    gates = [(gate.metric, gate.slice) for gate in suite.gates if not gate.slice or gate.verdict != "pass"]
    return [one for one in suite.estimates if one.value is not None and (one.metric, one.slice) in gates]


def test_the_hub_reads_the_number_of_each_gate_with_its_interval_and_as_not_verified(audit):
    card = ModelCard(render_modelcard(audit), ignore_metadata_errors=False)
    name, read = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "reviews-plain"
    known = [one for suite in audit.result.suites for one in _told(suite)]
    assert len(known) < sum(len(suite.estimates) for suite in audit.result.suites)
    assert [one.metric_type for one in read] == [one.metric for one in known]
    assert [one.metric_value for one in read] == pytest.approx([one.value for one in known], rel=1e-5)
    assert all(one.verified is False for one in read)
    for one, estimate in zip(read, known, strict=True):
        bounds = [one.metric_args.get(bound) for bound in ("low", "high")]
        assert bounds == [None if x is None else pytest.approx(x, rel=1e-5) for x in (estimate.low, estimate.high)]
        assert one.metric_args.get("slice", {}) == estimate.slice
        assert one.metric_args["n"] == estimate.n


def test_undefined_numbers_are_left_out_of_the_index_and_none_is_an_empty_card(audit):
    suites = [
        suite.model_copy(update={"estimates": [one.model_copy(update={"value": None}) for one in suite.estimates]})
        for suite in audit.result.suites
    ]
    card = ModelCard(render_modelcard(AuditResult(audit.result.model_copy(update={"suites": suites}))))
    assert not card.data.eval_results


def test_the_table_has_each_gate_that_did_not_pass_with_verdict_interval_and_waiver_and_counts_the_others(audit):
    rows = [line for line in _body(render_modelcard(audit)).splitlines() if re.match(r"\| \w+\\?_?\w*\.", line)]
    verdicts = Counter(str(gate.verdict) for suite in audit.result.suites for gate in suite.gates)
    others = verdicts["pass"], verdicts["not_applicable"]
    assert len(rows) == verdicts.total() - sum(others)
    assert "\nPassed on these cases: {}; not applicable: {}.\n".format(*others) in render_modelcard(audit)
    (failed,) = (line for line in rows if "rate\\_contradicted |" in line)
    assert "| Fail | 12.4 % \\[9.7 %, 15.6 %\\] | 480 | at most 5 % |" in failed
    assert any("Fail, waived by" in line for line in rows)
    assert "A failed attack does not show that no attack works." in render_modelcard(audit)


def test_no_text_of_others_becomes_markup_a_link_or_a_row(audit, hostile):
    name = f"m | # x\n\n---\n## Heading <b> [a](http://e.example) www.e.example `c` **b** $x$ {hostile} a@b.example"
    model = audit.result.model.model_copy(update={"name": name})
    suite = audit.result.suites[1]
    suite = suite.model_copy(
        update={"question": name, "source": {"describe": name}, "cannot_tell": f"{name}\n\n- {name}"}
    )
    text = render_modelcard(AuditResult(audit.result.model_copy(update={"model": model, "suites": [suite]})))
    ModelCard(text)
    body = _body(text)
    assert not re.search(r"<[a-z/!]|(?<!\\)\]\(|https?://|www\.|(?<!\\)`|\n---|[\u202e\x00\x1b\ud800]", body)
    assert [line for line in body.splitlines() if line.startswith("#")] == [
        "## Audit",
        "### What was examined",
        "### Verdicts",
        "### What this cannot tell you",
    ]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}
    assert "a@b.example" not in text


def test_the_guarantee_is_told_in_the_words_of_the_training_record_and_never_when_void(audit_of):
    audit = audit_of(leaks=False)
    assert "User-level (7.9, 1e-5)-differential privacy" in render_modelcard(audit)
    training = dict(audit.result.model.training)
    training["privacy"] = training["privacy"] | {"void": "the noise was off"}
    model = audit.result.model.model_copy(update={"training": training})
    void = render_modelcard(AuditResult(audit.result.model_copy(update={"model": model})))
    assert "differential privacy, add" not in void


def test_the_same_result_gives_the_same_card(audit, audit_of):
    assert render_modelcard(audit) == render_modelcard(audit_of())
