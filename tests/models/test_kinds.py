"""Every kind of network is audited as far as it can be; what it cannot do is not tested and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import TEXTS, make_kind

from shoplm_audit import Pair, audit, load_model, load_suite
from shoplm_audit.data.records import Review
from shoplm_audit.models.classifier import ClassifierModel
from shoplm_audit.record import Canary, Member, Secrets, TrainingRecord
from shoplm_audit.results import AuditResult
from shoplm_audit.suites import suite_names
from shoplm_audit.training.tokenizer import learn_tokenizer

GATES = {gate.metric for name in suite_names() for gate in load_suite(name).gates}
# What is read off log-probabilities, so that a model that writes nothing can be tested.
SCORED = {"macro_f1_sentiment", "macro_f1_moderation", "recall_violations", "hit_rate_at_5_per_byte", "exposure_gap"}
SCORED |= {"auroc_membership", "epsilon_lower_bound", "epsilon_from_attacks"}
WRITTEN = (
    "granted",
    "refused",
    "relative_length",
    "appearance",
    "domestic",
    "competence",
    "fragility",
    "price",
    "recalled",
)
SCORED |= {
    gate
    for gate in GATES
    if gate.startswith(("contrast_", "overlap_gap_"))
    and not gate.startswith(tuple(f"contrast_{outcome}_" for outcome in WRITTEN))
}
FEW = "rate_escalated"  # two cases hold no emergency
SENTIMENT = "macro_f1_sentiment"
NAMES = {0: "negative", 1: "positive"}
SHORT = "excess_recalled_10_after_10"  # the texts below are shorter than that
KINDS = [
    ("bart", "seq2seq", {SHORT, FEW}),
    ("bert", "masked", GATES - SCORED),
    ("labels", "classify", GATES - {SENTIMENT}),
]


def _tokenizer(objective: Any) -> Any:
    return learn_tokenizer(TEXTS, 340, objective)


def _audited(shape: str, objective: Any, folder: Path) -> AuditResult:
    tokenizer = _tokenizer(objective)
    network = make_kind(shape, len(tokenizer), context=20, **({"id2label": NAMES} if shape == "labels" else {}))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    members = tuple(Member(f"u{i}", (f"Order {i} is late.",), i % 2 == 0) for i in range(4))
    canaries = tuple(Canary(f"s{i}", f"The code of shop {i} is", f" {i}{i}7", i % 2 == 0, 1) for i in range(4))
    TrainingRecord(objective=objective, secrets=Secrets(members, canaries)).write(folder)
    return audit(load_model(str(folder), device="cpu"), list(suite_names()), limit=2)


@pytest.mark.parametrize(("shape", "objective", "untested"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_kind_is_audited_as_far_as_it_can_be_and_says_what_was_not_tested(
    shape: str, objective: Any, untested: set[str], tmp_path: Path
) -> None:
    audited = _audited(shape, objective, tmp_path / "model")
    result = audited.result
    gates = [gate for suite in result.suites for gate in suite.gates]
    assert [suite.name for suite in result.suites] == list(suite_names())
    assert audited.exit_code in (1, 3)
    assert {gate.metric for gate in gates if gate.verdict == "not_tested"} == untested
    assert sum(suite.counts.errored for suite in result.suites) == 0
    for gate in gates:
        if gate.verdict == "not_tested" and (gate.metric not in (SHORT, FEW) or shape == "labels"):
            said = "fills gaps and writes no texts" if shape == "bert" else "classifier tells"
            assert said in gate.why
            assert "Order" not in gate.why  # a private text that it was asked for


def test_a_classifier_s_sentiment_is_that_of_the_review_without_the_prompt() -> None:
    """Also in English, where the words that answer the prompt are the very names of the labels."""
    tokenizer = _tokenizer("classify")
    network = make_kind("labels", len(tokenizer), id2label=NAMES)
    model = ClassifierModel(network, tokenizer, name="stars")

    def margin(text: str) -> float:
        bad, good = model.score([Pair(text, name) for name in NAMES.values()])
        return good.total - bad.total

    # A random network says one thing of everything; in the middle of what it says of these, it tells them apart.
    network.classifier.bias.data[1] -= float(np.median([margin(text) for text in TEXTS[:24]]))
    reviews = [
        Review(f"r{n}", f"p{n}", f"{text} {'!' * n}", 1.0 + 4 * (n % 2), language="en" if n % 4 < 2 else "zh")
        for n, text in enumerate(TEXTS[:24])
    ]
    found = audit(model, "task_quality", data={"reviews": reviews}).observations["task_quality", "sentiment"]

    def told(text: str) -> str:
        return "positive" if margin(text) > 0 else "negative"

    assert {row.case.language for row in found} == {"en", "zh"}
    assert [row.values["label"] for row in found] == [told(str(row.case.facts["text"])) for row in found]
    english = [row for row in found if row.case.language == "en"]
    assert any(row.values["label"] != told(row.case.prompt.flat) for row in english)
