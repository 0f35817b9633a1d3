"""The page of a frontier: all points and numbers, four panels, nothing fetched, nothing personal in clear."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shoplm_audit.frontier import Frontier, points_of
from shoplm_audit.rendering.frontier import render_frontier

PHONE = "415-555-2671"


class Page(HTMLParser):
    """Its tags with their attributes, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(audit_of, change=lambda point, suites: suites, epsilons=(1.0, 3.0, math.inf), notes=()):
    points = points_of(epsilons, Path("runs"))
    results = {}
    for point in points:
        result = audit_of(20, leaks=point.epsilon is None).result
        results[point.name] = result.model_copy(update={"suites": change(point, result.suites)})
    return render_frontier(Frontier(points, results, notes), banner="synthetic world")


def estimates(suites, metric, **update):
    """The suites with one metric's estimates changed."""
    return [
        suite.model_copy(
            update={
                "estimates": [
                    one.model_copy(update=update) if one.metric == metric and not one.slice else one
                    for one in suite.estimates
                ]
            }
        )
        for suite in suites
    ]


def figure(html: str, title: str) -> str:
    return next(one for one in re.findall(r"<figure.*?</figure>", html, re.DOTALL) if f"<title>{title}" in one)


@pytest.fixture(scope="module")
def html(audit_of) -> str:
    return page_of(audit_of, notes=(f"Ask {PHONE}.",))


def test_every_point_has_its_verdict_and_a_link_to_its_report(html):
    page = Page(html)
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {f"{name}/report.html" for name in ("epsilon-1", "epsilon-3", "plain")} <= links
    assert "epsilon 1, 3 and none (plain)" in page.text
    assert page.text.count("gates in scope") == 3


def test_panels_stand_in_their_order_and_hold_their_metrics(html):
    sections = dict(re.findall(r'<section class="suite" id="(\w+)"(.*?)</section>', html, re.DOTALL))
    assert list(sections) == ["utility", "fairness", "detectability", "leakage"]
    assert "Mean chrF" in sections["utility"]
    assert "Rate contradicted" in sections["utility"]
    assert "Contrast refund" in sections["fairness"]
    assert "AUROC membership" in sections["leakage"]
    assert "No number was found" in sections["detectability"]


def test_a_curve_holds_each_point_with_its_interval(html):
    drawn = figure(html, "AUROC membership")
    assert "1: 0.508 [0.462, 0.554]" in drawn
    assert "none: 0.982 [0.961, 0.993]" in drawn
    assert drawn.count('class="whisker"') == 3
    assert "at most 0.6" in drawn


def test_shares_are_drawn_in_per_cent_like_their_limit(html):
    drawn = figure(html, "Rate omitted")
    assert "1: 1.2 [0.5, 2.4]" in drawn
    assert "at most 5 %" in drawn
    (corners,) = re.findall(r'class="reference" points="([^"]*)"', drawn)
    # The limit of 5 lies above every interval: near the top, where less is nearer.
    assert all(float(corner.split(",")[1]) < 50 for corner in corners.split())


def test_measured_epsilon_stands_beside_what_each_point_claims(audit_of):
    def claiming(point, suites):
        return estimates(suites, "epsilon_lower_bound", claim=point.epsilon)

    drawn = figure(page_of(audit_of, claiming), "Epsilon")
    assert "Dashed: what was claimed" in drawn
    (corners,) = re.findall(r'class="reference" points="([^"]*)"', drawn)
    heights = [corner.split(",")[1] for corner in corners.split()]
    assert heights[0] == heights[1] != heights[2] == heights[3]
    assert len(heights) == 4, "the plain point claims nothing"


def test_an_invalid_number_is_told_and_not_drawn(audit_of):
    def invalid(point, suites):
        note = "invalid: the blind baseline wins" if point.epsilon == 3.0 else ""
        return estimates(suites, "auroc_membership", note=note)

    html = page_of(audit_of, invalid)
    assert figure(html, "AUROC membership").count('class="whisker"') == 2
    assert "invalid: the blind baseline wins" in Page(html).text


def test_the_table_holds_what_is_not_drawn_and_what_was_not_tested(html):
    text = Page(html).text
    assert "Mean claims" in text
    assert "no reviews were given" in text
    assert "undefined" not in text[: text.index("All numbers")]


def test_a_suite_of_the_user_has_a_panel_of_its_own(audit_of):
    def with_own(point, suites):
        return [*suites, suites[0].model_copy(update={"name": "退货", "question": "会不会<b>承诺</b>退款？"})]

    html = page_of(audit_of, with_own)
    section = html[html.index('id="退货"') :]
    assert "会不会&lt;b&gt;承诺&lt;/b&gt;退款？" in section
    assert "Mean chrF" in section[: section.index("</section>")]


def test_the_page_fetches_nothing_and_shows_nothing_personal(html):
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "link", "base")
        for name in {"src", "href", "srcset", "action", "data"} & attributes.keys():
            assert re.match(r"#|epsilon-1/|epsilon-3/|plain/", attributes[name] or ""), attributes
    assert "url(" not in html
    assert "@import" not in html
    assert PHONE not in html
    assert "Ask 4" in page.text
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_the_page_says_what_it_cannot_tell(html):
    text = Page(html).text
    assert "Each point is one training" in text
    assert "refute an epsilon and never confirm one" in text
    assert "their epsilons add up" in text
    findings = text[: text.index("What this cannot tell you")].lower()
    assert not re.findall(r"\b(safe|unbiased|compliant|proven)\b", findings)


def test_the_same_frontier_gives_the_same_bytes(audit_of, html):
    assert page_of(audit_of, notes=(f"Ask {PHONE}.",)) == html
