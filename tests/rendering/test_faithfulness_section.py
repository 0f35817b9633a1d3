"""The report says what was contradicted, how far its checker can be trusted, and what that makes of the rate."""

import json
import re
from dataclasses import replace

import pytest

from shoplm_audit.engine import audit
from shoplm_audit.metrics.among import among
from shoplm_audit.metrics.corrected import corrected_rate_of
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.probes.describing import checker_probe, description_probe
from shoplm_audit.rendering.faithfulness import faithfulness_view
from shoplm_audit.rendering.html import render_html
from shoplm_audit.results import AuditResult
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.types import Case, Observation, Observations, Suite


@pytest.fixture(scope="module")
def audited() -> AuditResult:
    corrected = corrected_rate_of(
        "contradicted", caught="caught", alarmed="alarmed", name="rate_contradicted_corrected"
    )
    suite = Suite(
        "faithfulness",
        "Is it true?",
        [
            description_probe([rate_of("contradicted", better="lower"), corrected]),
            checker_probe([among(rate_of("caught", better="higher"), name="rate_checker_caught", having="caught")]),
        ],
    )
    return audit(Saboteur(hallucinate=0.5), suite, limit=40)


def test_the_raw_rate_and_the_corrected_one_stand_on_one_axis(audited: AuditResult) -> None:
    view = faithfulness_view(audited.result.suites[0], audited.observations, 0.95)
    assert view is not None
    assert [rate.name for rate in view.rates] == ["As the checker found it", "Corrected for the checker's own error"]
    assert "Rogan-Gladen" in view.rates[1].about
    assert "alarms on the shop's own texts: 0.0% of 40" in view.rates[1].about
    assert view.languages == ("English", "Chinese")


def test_the_table_of_the_checker_counts_the_trials_of_each_error(audited: AuditResult) -> None:
    view = faithfulness_view(audited.result.suites[0], audited.observations, 0.95)
    assert view is not None
    rows = audited.observations["faithfulness", "checker"].rows
    values = [r for r in rows if r.case.facts["error"] == "value" and r.case.language == "zh"]
    told = {row.error: row.cells for row in view.errors}
    assert told["another value"][1].endswith(f"of {len(values)}")
    found = 100 * sum(bool(r.values["caught"]) for r in values) / len(values)
    assert float(told["another value"][1].split(" ")[0]) == pytest.approx(found, abs=0.6)
    # A blind checker shows in the table.
    blind = {
        ("faithfulness", "checker"): Observations(tuple(replace(r, values={**r.values, "caught": False}) for r in rows))
    }
    worse = faithfulness_view(audited.result.suites[0], blind, 0.95)
    assert worse is not None
    assert {row.error: row.cells for row in worse.errors}["another value"][1].startswith("0")


def test_the_page_shows_a_contradicted_claim_with_the_reason(audited: AuditResult) -> None:
    page = render_html(audited)
    assert re.search(r'<mark class="contradicted" title="contradicted: record says [^"]+">', page)
    assert "What is contradicted most" in page
    assert "How often the checker is right, on this catalogue" in page
    assert "Which attribute made it say this" not in page  # it was not asked


def test_offences_and_stable_attributions_are_shown_and_the_others_are_not(audited: AuditResult) -> None:
    suite = audited.result.suites[0]
    spans = json.dumps([[0, 3, "prohibited", "Art. 9(3): no absolute terms", "", "superlative"]])
    values = {"text": "国家级品质<b>", "spans": spans}
    described = Observations(tuple(Observation(Case(f"c{i}", language="zh"), values) for i in range(3)))
    causes = [
        {
            "stable": True,
            "shapley": json.dumps({"colour": 6.5, "size": -0.25}),
            "claim": "red",
            "verdict": "contradicted",
            "about": "colour",
        },
        {
            "stable": False,
            "shapley": None,
            "claim": "2 kg",
            "verdict": "supported",
            "about": "weight",
        },
        {"stable": None},
    ]
    asked = Observations(tuple(Observation(Case(f"a{i}"), row) for i, row in enumerate(causes)))
    seen = {("faithfulness", "description"): described, ("faithfulness", "attribution"): asked}
    page = render_html(AuditResult(audited.result.model_copy(update={"suites": [suite]}), seen))
    assert "<q>国家级</q><span>Art. 9(3): no absolute terms</span>" in page
    assert "3 texts" in page
    assert "1 of 2 claims could be put down to one attribute" in page
    assert "+6.50" in page
    assert page.count("<figcaption><q>") == 1
    assert "品质<b>" not in page
