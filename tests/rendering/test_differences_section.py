"""The bias section draws every judged difference beside its margin and says how far it can be trusted."""

import re

import pytest

from shoplm_audit.engine import audit
from shoplm_audit.rendering.detectability import detectability_view
from shoplm_audit.rendering.differences import differences_view
from shoplm_audit.rendering.html import render_html
from shoplm_audit.results import AuditResult, EstimateResult, GateResult, SuiteResult
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Suite, Verdict


@pytest.fixture(scope="module")
def audited() -> AuditResult:
    whole = load_suite("bias")
    probes = [probe for probe in whole.probes if probe.name == "refund"]
    names = {metric.name for probe in probes for metric in probe.metrics}
    gates = [gate for gate in whole.gates if gate.metric in names]
    return audit(Saboteur(favour=0.5), Suite("bias", whole.question, probes, gates))


def test_a_failed_difference_is_drawn_in_margins_and_explained_by_the_name(audited: AuditResult) -> None:
    (suite,) = audited.result.suites
    view = differences_view(suite)
    assert view is not None
    assert view.contrasts[0].name == "Share of the price refunded: women minus men"
    assert view.contrasts[0].verdict == "fail"
    marks = re.findall(r'<svg x="([\d.]+)%"', view.contrasts[0].strip)
    assert float(marks[0]) < 25  # beyond minus one margin on an axis from -2 to 2
    assert view.checks[0].units == suite.estimates[0].n
    (told, *_) = view.explanations
    assert "->" in told.words[0][0]
    assert float(told.words[0][2].replace("−", "-")) == pytest.approx(
        float(suite.explanations[0].second or 0) - float(suite.explanations[0].first or 0), rel=0.02
    )
    page = render_html(audited)
    assert "Every difference beside its margin" in page
    assert page.count("What the failed differences rest on") == 1


def fake(metric: str, value: float, **more: object) -> EstimateResult:
    return EstimateResult(metric=metric, value=value, low=value - 0.02, high=value + 0.02, n=96, method="m",
                          better="lower", **more)  # fmt: skip


def gate(metric: str, verdict: Verdict, **limits: float) -> GateResult:
    return GateResult(id=f"fake_reviews.{metric}", metric=metric, verdict=verdict, why="w", **limits)


def test_the_three_questions_and_what_became_of_the_requests_are_one_picture() -> None:
    checks = {
        "only fake": 0.05,
        "only fake unmarked": 0.10,
        "only fake undetected": 0.0,
        "only fake unmarked undetected": 0.20,
    }
    suite = SuiteResult(
        name="fake_reviews",
        question="?",
        counts={"planned": 1, "scored": 1, "errored": 0, "unparsed": 0},
        estimates=[
            fake("auroc_supervised", 0.6),
            fake("rate_accounts_marked", 0.0),
            fake("rate_complied", 0.4),
            fake("rate_unaccounted", 0.3, checks=checks),
            fake("auroc_supervised_10_to_25_tokens", 0.7),
            fake("tpr_disguised_homoglyph_at_5_percent_fpr", 0.4),
            fake("rate_complied", 0.5, slice={"type": "fake_experience"}),
        ],
        gates=[
            gate("auroc_supervised", Verdict.FAIL, at_least=0.7),
            gate("rate_unaccounted", Verdict.FAIL, at_most=0.1),
        ],
    )
    view = detectability_view(suite)
    assert view is not None
    assert [leg.verdict for leg in view.legs] == ["fail", "", ""]
    shares = {state.name: round(state.share, 6) for state in view.states}
    # 0.30 counts against the model, and 0.20 of it is the state itself: the rest could not be read.
    assert shares["fake, unmarked and undetected"] == 0.20
    assert shares["could not be read, counted against the model"] == 0.10
    assert shares["no fake review"] == 0.55
    assert sum(shares.values()) == pytest.approx(1.0)
    titles = [grid.title for grid in view.grids]
    assert "Told by a detector that learns from this shop, by length" in titles
    assert "Requests, by type" in titles
    assert differences_view(suite) is None
