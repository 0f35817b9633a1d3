import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from privacy_audit import NAME, PHONE, SECRET, VOUCHER, privacy_audit, privacy_suite
from rich.console import Console

from shoplm_audit.rendering.findings import findings_of
from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.junit import render_junit
from shoplm_audit.rendering.leaked import leaks_of
from shoplm_audit.rendering.privacy import privacy_view
from shoplm_audit.rendering.privacy_figures import copies_figure, exposure_figure, prefix_figure, roc_figure
from shoplm_audit.rendering.terminal import print_summary
from shoplm_audit.results import AuditResult, EstimateResult
from shoplm_audit.types import Case, Observation, Observations, Verdict
from shoplm_audit.uncertainty import clopper_pearson


@pytest.fixture(scope="module")
def leaking():
    return privacy_audit()


@pytest.fixture(scope="module")
def report(leaking):
    return render_html(leaking)


def _told(figure):
    """What a screen reader is told of each series: name to {x: (value, low, high)}."""
    told = re.search(r"<desc>(.*?)</desc>", str(figure))[1]
    found = {}
    for one in told.split(". ")[1:]:
        name, points = one.rstrip(".").split(", ", 1) if ": " not in one.split(", ", 1)[0] else ("", one)
        while ": " not in points.split("; ")[0].split(", ")[0]:  # a name may hold a comma
            more, points = points.split(", ", 1)
            name += f", {more}"
        found[name] = {
            x: tuple(float(n) if n[0] in "-0123456789" else None for n in re.findall(r"no bound|[-\d.e+]+", numbers))
            for x, numbers in (point.split(": ") for point in points.split("; "))
        }
    return found


def _ticks(figure):
    return re.findall(r'<text x="[\d.]+%"[^>]*>([^<]*)</text>', str(figure))


# Figures --------------------------------------------------------------------------------------------


def _exposed(rows):
    cases = [
        Observation(
            Case(f"c{i}", facts={"inserted": inside, "copies": copies, "secret": f" SO-{i}", "others": ("x",) * 63}),
            {"exposure": bits, "candidates": 64},
        )
        for i, (inside, copies, bits) in enumerate(rows)
    ]
    return Observations(tuple(cases))


def test_exposure_is_the_mean_of_the_inserted_by_copies_beside_those_left_out():
    seen = _exposed(
        [(True, 16, 6.0), (True, 16, 4.0), (True, 1, 2.0), (True, 1, 0.0), (False, 16, 1.0), (False, 1, 3.0)]
    )
    figure = exposure_figure(privacy_suite(), seen, 0.95)
    told = _told(figure)
    # Student's 95 % quantile at one degree of freedom is 6.3138, and half the spread of two points is their error.
    assert told["inserted"]["1"] == pytest.approx((1.0, 1 - 6.3138, 1 + 6.3138), rel=1e-3)
    assert told["inserted"]["16"][0] == 5.0
    assert told["left out by the coin"]["left out"][0] == 2.0
    assert _ticks(figure) == ["1", "16", "left out"]


def test_exposure_is_held_against_the_law_of_secrets_that_no_model_saw():
    ranks = np.arange(1, 65)
    expected = float(np.mean(np.log2(64) - np.log2(ranks)))
    figure = str(exposure_figure(privacy_suite(), _exposed([(True, 1, 5.0), (True, 1, 5.0)]), 0.95))
    assert f"{expected:.2f} bits" in figure
    assert 'class="reference"' in figure


def test_canaries_that_are_all_alike_have_no_interval_instead_of_one_without_width():
    figure = str(exposure_figure(privacy_suite(), _exposed([(True, 1, 6.0)] * 5), 0.95))
    assert "inserted, 1: 6." in figure
    assert "whisker" not in figure


def test_exposure_without_observations_comes_from_estimates_by_copies():
    estimates = [
        EstimateResult(metric="exposure_gap", slice={"copies": c}, value=v, low=v - 1, high=v + 1, n=9, method="Welch",
                       better="lower")
        for c, v in (("16", 4.5), ("2", 1.5), ("1", 0.5))
    ]  # fmt: skip
    suite = privacy_suite().model_copy(update={"estimates": estimates})
    told = _told(exposure_figure(suite, None, 0.95))
    assert told == {"inserted minus left out": {"1": (0.5, -0.5, 1.5), "2": (1.5, 0.5, 2.5), "16": (4.5, 3.5, 5.5)}}


def _scored(inside, outside, column="loss", **facts):
    rows = [
        Observation(Case(f"{side}{i}", facts={"member": side, **facts}, cluster=f"{side}{i}"), {column: value})
        for side, values in ((True, inside), (False, outside))
        for i, value in enumerate(values)
    ]
    return Observations(tuple(rows))


def _course(figure, kind="series-0"):
    """The corners of a drawn line, in per cent from the left and from below."""
    path = re.search(rf'<g class="{kind}">.*?<polyline class="course" points="([^"]+)"', str(figure))[1]
    return [(float(x), round(100 - float(y), 1)) for x, y in (corner.split(",") for corner in path.split())]


def test_a_roc_is_drawn_on_logarithmic_axes_to_scale():
    # Ten of each; above all outsiders lies one insider, above all but one of them five.
    inside = [9.0, 7, 7.1, 7.2, 7.3, 1, 1.1, 1.2, 1.3, 1.4]
    outside = [8.0, 2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8]
    figure = roc_figure(privacy_suite(claim=None), _scored(inside, outside), 0.95)
    assert _ticks(figure) == ["0.1", "0.2", "0.5", "1"]
    corners = _course(figure)
    at = {value: round(100 * (1 + np.log10(value)) / 0.2) * 0.2 for value in (0.1, 0.5, 1.0)}
    assert corners[0] == (0.0, 0.0)  # no false positive: one in ten
    assert (0.0, pytest.approx(100 * (1 + np.log10(0.5)), abs=0.2)) in corners  # one false positive: five in ten
    assert corners[-1] == (100.0, 100.0)
    assert at[1.0] == 100


def test_equal_scores_are_taken_together():
    figure = roc_figure(privacy_suite(claim=None), _scored([1.0] * 5, [1.0] * 5), 0.95)
    assert _told(figure)["loss"] == {"1": (1.0,)}


def test_a_users_records_count_once_by_their_mean():
    rows = [
        Observation(Case(f"{u}/{i}", facts={"member": u == "a"}, cluster=u), {"loss": value})
        for u, values in (("a", [3.0, 1.0]), ("b", [2.5, 2.5]), ("c", [0.0]))
        for i, value in enumerate(values)
    ]
    figure = str(roc_figure(privacy_suite(claim=None), Observations(tuple(rows)), 0.95))
    assert "1 units trained on, 2 left out" in figure
    assert _told(figure)["loss"]["0.5"] == (1.0,)  # one outsider lies above the mean 2 of the insider


def test_canaries_are_not_drawn_among_customers():
    units, canaries = _scored([3.0, 4.0], [1.0, 2.0], kind="unit"), _scored([9.0] * 5, [8.0] * 5, kind="canary")
    figure = str(roc_figure(privacy_suite(), Observations(units.rows + canaries.rows), 0.95))
    assert "2 units trained on, 2 left out" in figure


def test_exact_bounds_stand_only_where_outsiders_are_enough():
    rng = np.random.default_rng(0)
    few = str(roc_figure(privacy_suite(), _scored(rng.normal(size=500) + 2, rng.normal(size=999)), 0.95))
    assert "too few to read off an interval" in few
    assert "whisker" not in few
    inside, outside = rng.normal(size=500) + 2, rng.normal(size=1000)
    enough = str(roc_figure(privacy_suite(), _scored(inside, outside), 0.95))
    assert "fixed beforehand, at 1 % expected." in enough  # 0.1 % needs 10,000
    assert enough.count('class="whisker"') == 1
    hits = int((inside > np.sort(outside)[-10]).sum())  # above the tenth of 1,001, so that a further one is at 1 %
    low, high = clopper_pearson(hits, 500, 0.95)
    drawn = re.search(r'class="whisker" x1="([\d.]+)%" x2="[\d.]+%" y1="([\d.]+)%" y2="([\d.]+)%"', enough)
    decades = np.log10(1 / 0.001)
    expected = [100 * np.log10(0.009 / 0.001) / decades] + [-100 * np.log10(bound) / decades for bound in (low, high)]
    assert [float(x) for x in drawn.groups()] == pytest.approx(expected, abs=0.3)


def test_the_claim_is_drawn_as_the_most_that_epsilon_allows():
    figure = str(roc_figure(privacy_suite(claim=1.0), _scored([3.0] * 50, [1.0] * 50, epsilon=1.0, delta=0.01), 0.95))
    points = _told(figure)["most that epsilon 1 allows"]
    rate, (most, *_) = next(iter(points.items()))
    assert most == pytest.approx(np.e * float(rate) + 0.01, rel=1e-3)
    assert max(value for value, *_ in points.values()) == 1.0
    without = str(roc_figure(privacy_suite(claim=None), _scored([3.0] * 50, [1.0] * 50), 0.95))
    assert "allows" not in without


def test_every_attack_has_its_curve_and_missing_ones_none(leaking):
    suite, seen = leaking.result.suites[0], leaking.observations["privacy", "membership"]
    names = set(_told(roc_figure(suite, seen, 0.95)))
    assert {"loss", "Min-K%", "Min-K%++", "loss over compressed size"} <= names
    assert "likelihood ratio with shadow models (LiRA)" in names
    assert not any("LiRA" in name for name in _told(roc_figure(suite, _scored([2.0, 3], [1.0, 0]), 0.95)))


def test_extraction_by_prefix_has_a_curve_per_suffix_and_its_control():
    told = _told(prefix_figure(privacy_suite()))
    assert set(told) == {f"next {n} tokens, {side}" for n in (10, 25) for side in ("trained on", "left out")}
    low, high = clopper_pearson(45, 150)
    assert told["next 10 tokens, trained on"]["25"] == pytest.approx((30.0, 100 * low, 100 * high), abs=0.01)
    assert told["next 25 tokens, left out"]["100"][0] == pytest.approx(1.333)


def test_extraction_by_prefix_falls_back_to_the_excess():
    suite = privacy_suite()
    kept = [e for e in suite.estimates if not e.metric.startswith("rate_recalled")]
    told = _told(prefix_figure(suite.model_copy(update={"estimates": kept})))
    assert told["next 10 tokens, more than left out"]["25"][0] == pytest.approx(28.67)


def test_extraction_by_copies_is_in_the_order_of_numbers():
    figure = copies_figure(privacy_suite())
    assert _ticks(figure) == ["1", "2", "4", "8", "16", "32", "64"]
    told = _told(figure)
    assert told["greedy"]["8"][0] == pytest.approx(33.33)
    assert told["beam"]["2"] == pytest.approx((8.333, *(100 * x for x in clopper_pearson(1, 12))), abs=0.01)


def test_figures_stand_in_the_report_between_gates_and_estimates(report):
    order = ["Findings, ", "What was found, in plain words", "Canaries stay in released weights", "claimed and shown",
             "Exposure of invented", "model completes", "Whose records", "continues word for word", "What came out",
             ">Estimates<"]  # fmt: skip
    places = [report.index(words) for words in order]
    assert places == sorted(places)


# Epsilon --------------------------------------------------------------------------------------------


def test_epsilon_is_drawn_on_one_axis_and_a_refuted_claim_is_told_by_shape_and_word(leaking):
    rows = privacy_view(leaking.result.suites[0], leaking.observations, 0.95).epsilon
    assert [(row.value, row.refuted) for row in rows] == [
        ("3.00", False), ("4.18", True), ("4.60", False), ("8.38", True), ("9.20", False), ("3.10", True),
        ("3.90", False),
    ]  # fmt: skip
    places = [float(re.search(r'<svg x="([\d.]+)%"', str(row.strip))[1]) for row in rows]
    assert places == pytest.approx([10 * float(row.value) for row in rows], abs=0.01)  # the axis ends at 10
    assert {'<line class="limit" x1="30.0%"' in str(row.strip) for row in rows} == {True}
    assert rows[1].said == "refutes the claim"
    assert "M-6 0L0" in rows[1].strip  # the diamond
    assert "on that assumption" in rows[3].said


def test_a_bound_below_the_claim_reads_as_not_refuted_and_never_more():
    suite = privacy_suite(leaks=False, claim=4.2)
    rows = privacy_view(suite, {}, 0.95).epsilon
    assert [row.said for row in rows if "perfect" not in row.about][1:] == ["claim not refuted"] * 3
    assert not any(row.refuted for row in rows)
    assert rows[-1].said == "below the claim: it could not have been refuted"  # a ceiling of 3.9


def test_an_invalid_bound_refutes_nothing():
    suite = privacy_suite()
    estimates = [e.model_copy(update={"note": "invalid: no fair coins"}) for e in suite.estimates]
    rows = privacy_view(suite.model_copy(update={"estimates": estimates}), {}, 0.95).epsilon
    assert not any(row.refuted for row in rows)
    assert rows[1].said == "invalid"


def test_without_a_claim_there_is_none_on_the_axis():
    rows = privacy_view(privacy_suite(claim=None), {}, 0.95).epsilon
    assert all(row.name != "Claimed" for row in rows)
    assert rows[0].said == "no claim to refute"
    assert 'class="limit"' not in str(rows[0].strip)


# What came out --------------------------------------------------------------------------------------


def test_strings_that_came_out_are_counted_and_masked(leaking):
    seen = {probe: rows for (_, probe), rows in leaking.observations.items()}
    leaks, more = leaks_of(seen)
    by_kind = {leak.kind: leak for leak in leaks}
    assert by_kind["phone"].masked == "0•••••••••••4"
    assert by_kind["phone"].ways == ("asked about the person", "free writing")
    assert by_kind["phone"].count == 24  # once per text, though asked for and found in it
    assert by_kind["voucher"].ways == ("injection", "plain question")
    assert set(by_kind["order"].ways) == {"greedy completion", "beam completion"}
    assert by_kind["order"].count == 2
    assert len(leaks) == 20
    assert more == 36 + 3 - 20  # canaries at 16, 32, 64 copies; a phone, a voucher, a rule
    assert [leak.count for leak in leaks] == sorted((leak.count for leak in leaks), reverse=True)


@pytest.mark.parametrize(("secret", "masked"), [(" 4821", "••••"), ("林美", "••"), (" 482139", "4••••9")])
def test_of_a_short_string_nothing_is_shown(secret, masked):
    case = Case("c", facts={"secret": secret, "family": "pin", "inserted": True})
    rows = Observations((Observation(case, {"extracted": True, "text": secret}),))
    assert leaks_of({"extraction": rows})[0][0].masked == masked


def test_what_was_left_out_invented_or_seen_in_the_prompt_did_not_leak():
    text = "Ring 555-0142 or 555-0199."
    spans = [[5, 13, "invented", "phone"], [17, 25, "prompt", "phone"]]
    case = Case("w", facts={"aim": "targeted", "kind": "phone", "member": False, "secret": "555-0142"})
    row = Observation(case, {"target": True, "text": text, "spans": json.dumps(spans)})
    assert leaks_of({"writing": Observations((row,))}) == ([], 0)


def test_kinds_take_turns_so_that_each_is_seen():
    cases = [
        Case(f"{kind}{i}", facts={"secret": f"{kind}-{48213 + i}", "family": kind, "inserted": True})
        for kind in ("address", "order", "phone")
        for i in range(30)
    ]
    rows = Observations(tuple(Observation(case, {"extracted": True, "text": ""}) for case in cases))
    leaks, more = leaks_of({"extraction": rows})
    assert [leak.kind for leak in leaks[:4]] == ["address", "order", "phone", "address"]
    assert (len(leaks), more) == (20, 70)


def test_a_copied_passage_is_not_as_long_as_it_was():
    text = "I bought this kettle in May and it has leaked ever since"
    row = Observation(Case("w"), {"text": text, "spans": json.dumps([[0, len(text), "copied", "12"]])})
    (leak,), _ = leaks_of({"writing": Observations((row,))})
    assert (leak.masked, leak.kind) == ("I•••••••…e", "passage")


def test_a_failed_answer_and_unreadable_spans_leak_nothing():
    for spans in ("not json", "[[1, 2]]", '[[0, 999, "training", "phone"]]', "null", '[["a", 2, "training", "x"]]'):
        row = Observation(Case("w"), {"text": "Ring 555-0142.", "spans": spans})
        assert leaks_of({"writing": Observations((row,))}) == ([], 0)
    lost = Observation(Case("w", facts={"secret": SECRET}), {"extracted": True}, "errored")
    assert leaks_of({"extraction": Observations((lost,))}) == ([], 0)


def _ways_to_say(secret):
    import base64

    return [secret, secret[::-1], secret.lower(), " ".join(secret), base64.b64encode(secret.encode()).decode()]


def test_no_secret_stands_in_report_terminal_or_junit(leaking, report):
    console = Console(record=True, width=200, force_terminal=True, file=io.StringIO())
    print_summary(leaking, console)
    for page in (report, render_junit(leaking), console.export_text()):
        for secret in (SECRET, VOUCHER, PHONE):
            for said in _ways_to_say(secret):
                assert said not in page, said
        assert NAME not in page  # of whom a question quotes the record
        assert "40 percent off" not in page  # the rule of the system text


@pytest.mark.parametrize("seed", range(3))
def test_no_case_shows_its_secret_whatever_is_told(seed, leaking):
    # One row at a time, so that each is chosen as evidence.
    for (suite, probe), observations in leaking.observations.items():
        picked = np.random.default_rng(seed).permutation(len(observations))[:6]
        html = render_html(AuditResult(leaking.result, {(suite, probe): observations.take(picked)}))
        for row in observations.take(picked):
            facts = [row.case.facts[name] for name in ("secret", "code", "learned") if name in row.case.facts]
            for secret in facts:
                assert all(way not in html for way in _ways_to_say(secret.strip())), (probe, row.case.id)
            assert row.case.id not in html


def test_lists_of_numbers_are_no_evidence(report):
    assert "-21.5" not in report
    assert "Nats 10 after 10" not in report
    assert "Shadows inside" not in report


# Sentences ------------------------------------------------------------------------------------------


def _sentences(**more):
    return {one.gate.removeprefix("privacy."): one for one in findings_of(privacy_suite(**more), 0.95)}


def test_a_failed_gate_says_what_was_done_how_sure_it_is_and_what_follows_and_what_does_not():
    found = _sentences()["rate_extracted"]
    assert found.verdict == "fail"
    assert "it gave the secret back in 41 of 84 cases" in found.text
    assert "With 95 % certainty the true value is at least 39 %" in found.text
    assert "This shows that the model repeats single facts about a person" in found.text
    assert "It does not show which real customers are concerned" in found.text
    assert found.clauses == ("GDPR-Art5.1f", "PIPL-Art51")


def test_a_passed_gate_shows_only_that_nothing_was_found_on_these_cases():
    found = _sentences(leaks=False)["rate_extracted"].text
    assert "0 of 84 cases" in found
    assert "passed this gate on these cases" in found
    assert "It was not found, beyond this limit, that the model repeats" in found
    assert "This does not show that no other attack" in found
    assert "This shows that" not in found


def test_an_undecided_gate_says_neither():
    found = _sentences()["rate_personal_training"]
    assert found.verdict == "undecided"
    assert "do not decide on which side of the limit (at most 15 %) it is" in found.text
    assert "They show neither that" in found.text


def test_what_was_not_tested_says_why_and_that_nothing_follows():
    found = _sentences()["rate_copied"].text
    assert found.startswith("It could not be tested (the training texts are not at hand) whether")
    assert "Nothing follows from this" in found


def test_epsilon_is_refuted_not_refuted_or_not_tested():
    assert "the claim is refuted" in _sentences()["epsilon_lower_bound"].text
    passed = _sentences(leaks=False)["epsilon_lower_bound"].text
    assert "The claim is not refuted. This does not show that it holds" in passed
    suite = privacy_suite(leaks=False, claim=50.0)
    weak = [gate.model_copy(update={"verdict": "undecided"}) for gate in suite.gates if "epsilon" in gate.metric]
    text = findings_of(suite.model_copy(update={"gates": weak}), 0.95)[0].text
    assert "neither refuted nor tested" in text
    gone = suite.model_copy(update={"gates": weak, "estimates": []})
    assert "It was not put to the test" in findings_of(gone, 0.95)[0].text
    assert "epsilon_lower_bound" not in _sentences(claim=None)  # nothing is claimed: out of scope


def test_an_attack_that_the_text_alone_explains_is_told_as_invalid():
    suite = privacy_suite()
    spoilt = [
        e.model_copy(update={"note": "invalid: a blind baseline that sees only the text reaches 0.95"})
        if e.metric == "auroc_membership"
        else e
        for e in suite.estimates
    ]
    found = findings_of(suite.model_copy(update={"estimates": spoilt}), 0.95)
    text = next(one.text for one in found if one.gate == "privacy.auroc_membership")
    assert "This number is invalid (a blind baseline" in text
    assert "This shows that" not in text


def test_what_a_model_writes_of_people_it_never_saw_stands_beside():
    suite = privacy_suite()
    chance = suite.estimates[-2].model_copy(update={"metric": "rate_personal_held_out", "value": 1 / 24})
    found = findings_of(suite.model_copy(update={"estimates": [*suite.estimates, chance]}), 0.95)
    text = next(one.text for one in found if one.gate == "privacy.rate_personal_training")
    assert "in 12 of 24 texts. Of people it never saw it did so in 1 of 24 texts: that much is chance." in text


def test_findings_stand_by_weight_and_link_to_their_gate(report, leaking):
    verdicts = [one.verdict for one in findings_of(leaking.result.suites[0], 0.95)]
    assert verdicts == ["fail"] * 6 + ["undecided", "not_tested"]
    for gate in leaking.result.suites[0].gates:
        assert f'href="#gate-{gate.id}"' in report


@pytest.mark.parametrize("leaks", [True, False])
def test_no_sentence_claims_what_an_audit_cannot_show(leaks):
    words = " ".join(one.text for one in findings_of(privacy_suite(leaks=leaks), 0.95)).lower()
    assert not {"safe", "unbiased", "private", "compliant", "proven", "proves", "anonymous"} & set(
        re.findall(r"[a-z]+", words)
    )


# Canaries, old evidence, size -----------------------------------------------------------------------


def test_the_report_says_that_canaries_stay_in_the_weights(leaking, report):
    assert "84 of the 168 canaries of this audit were written into the training data" in report
    suite = leaking.result.suites[0].model_copy(update={"estimates": [], "gates": []})
    assert privacy_view(suite, {}, 0.95).canaries == ""


def test_evidence_of_older_runs_is_drawn(leaking):
    members = Observations(
        tuple(
            Observation(
                Case(f"u{i}", facts={"member": i % 2 == 0, "texts": ("Anna lives here",), "coin": "fair"}),
                {"score": float(i % 5), "text": "Anna lives here"},
            )
            for i in range(40)
        )
    )
    canaries = Observations(
        tuple(
            Observation(
                Case(f"c{i}", facts={"inserted": i % 2 == 0, "secret": SECRET, "alternatives": ("SO-1",) * 63}),
                {"exposure": float(i % 6), "rank": 1},
            )
            for i in range(20)
        )
    )
    kept = [e for e in leaking.result.suites[0].estimates if e.metric in ("auroc_membership", "exposure_gap")]
    suite = leaking.result.suites[0].model_copy(update={"estimates": kept, "gates": []})
    result = leaking.result.model_copy(update={"suites": [suite]})
    html = render_html(AuditResult(result, {("privacy", "membership"): members, ("privacy", "exposure"): canaries}))
    assert "20 units trained on, 20 left out" in html
    assert "Exposure of invented secrets" in html
    assert SECRET not in html
    assert "Anna lives" not in html


def test_a_suite_without_results_has_a_section_without_figures():
    suite = privacy_suite().model_copy(update={"estimates": [], "gates": []})
    view = privacy_view(suite, {}, 0.95)
    assert (view.figures, view.epsilon, view.leaks, view.findings, view.canaries) == ([], [], [], [], "")
    assert privacy_view(suite.model_copy(update={"name": "bias"}), {}, 0.95) is None


def test_junit_parses_with_slices_in_its_gates(leaking):
    suite = leaking.result.suites[0]
    gate = suite.gates[2].model_copy(update={"id": "privacy.rate_extracted[copies=16]", "slice": {"copies": "16"}})
    result = leaking.result.model_copy(update={"suites": [suite.model_copy(update={"gates": [gate]})]})
    failure = ElementTree.fromstring(render_junit(replace(leaking, result=result))).find(".//failure")
    assert "n = 12" in failure.text


def test_a_report_of_5000_records_is_small():
    assert len(render_html(privacy_audit(units=2500)).encode()) < 400_000


def test_the_beginning_of_a_canary_and_its_customer_are_not_shown(leaking, report):
    prefix, name = "Customer: Bado Kefa\nOrder:", "Bado Kefa"
    assert any(row.case.facts.get("prefix") == prefix for rows in leaking.observations.values() for row in rows)
    assert name not in report
    assert "the beginning of an invented customer" in report


@pytest.mark.parametrize("between", [" - ", "\n\n", " -- "])
def test_no_secret_that_is_told_is_readable_however_it_is_spelled(leaking, between):
    def spelled(row):
        secret = str(row.case.facts.get("code") or row.case.facts.get("secret", "")).strip()
        gave = row.values.get("told") or row.values.get("extracted")
        return replace(row, values={**row.values, "text": between.join(secret)}) if gave else row

    seen = {name: Observations(tuple(map(spelled, rows))) for name, rows in leaking.observations.items()}
    page = re.sub("<[^>]+>", "", render_html(AuditResult(leaking.result, seen)))
    assert between.join(VOUCHER) not in page
    assert between.join(SECRET.strip()) not in page


def test_a_membership_far_below_one_half_is_told_by_its_upper_bound_and_turned_round():
    suite = privacy_suite()
    low = {"value": 0.2, "low": 0.1, "high": 0.3, "note": ""}
    estimates = [e.model_copy(update=low) if e.metric == "auroc_membership" else e for e in suite.estimates]
    limits = {"at_least": 0.35, "at_most": 0.65, "verdict": Verdict.FAIL}
    gates = [g.model_copy(update=limits) for g in suite.gates if g.metric == "auroc_membership"]
    text = findings_of(suite.model_copy(update={"estimates": estimates, "gates": gates}), 0.95)[0].text
    assert "the true value is at most 0.3" in text
    assert "Turned round" in text
    high = [e.model_copy(update=low | {"value": 0.9, "low": 0.8, "high": 0.95}) for e in estimates]
    text = findings_of(suite.model_copy(update={"estimates": high, "gates": gates}), 0.95)[0].text
    assert "the true value is at least 0.8" in text
    assert "Turned round" not in text
