import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shoplm_audit.rendering.advice import spec_of, steps_for
from shoplm_audit.rendering.html import IndexEntry, prose, render_html, render_index
from shoplm_audit.results import AuditResult, BaselineResult, ChangeResult, EstimateResult
from shoplm_audit.types import Case, Observation, Observations, Prompt, Verdict

VOID = {"meta", "br", "img", "input", "link", "hr", "base"}
FETCHING = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "xlink:href"}


class Page(HTMLParser):
    """Every tag, attribute and text of a page; complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def report(audit) -> str:
    return render_html(audit, banner="synthetic world")


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(report)


@pytest.fixture(scope="module")
def index(audit_of) -> str:
    plain, private = audit_of(), audit_of(leaks=False)
    return render_index(
        [IndexEntry("plain", "plain/report.html", plain), IndexEntry("private", "private/report.html", private)],
        title="Two models",
        banner="synthetic world",
        lesson=["One was trained **privately**.", "- It pays in quality."],
    )


def test_verdict_stands_before_everything_else(page):
    head = page.text[page.text.index("ShopLM Audit report reviews-plain") :]
    assert re.match(r"ShopLM Audit report reviews-plain Fail Of 13 gates in scope 4 failed[^.]*\. What failed", head)
    assert page.text.index("Declared out of scope") < page.text.index("What was asked")


def test_first_screen_says_what_failed_by_how_much_how_sure_it_is_and_what_to_do(page):
    text = page.text.replace("\u00a0", " ")
    first = text[text.index("What failed, and by how much") : text.index("Judged on")]
    assert "12.4 % of the descriptions contradict their product's record." in first
    assert "Allowed: at most 5 %. With 95 % certainty at least 4.7 percentage points above the limit." in first
    assert "at most 5 of 100 runs" in first
    assert "not to be released as it is" in first
    assert "Faithfulness: Require the recorded attributes while decoding" in first
    assert "What this cannot tell you" in first


def test_failed_gate_is_a_card_that_tells_all_of_it(report):
    at = report.index('<article class="card" id="gate-faithfulness.rate_contradicted"')
    card = Page(report[at : report.index("</article>", at)] + "</article>").text
    assert "The rule is at most 5 %. Even the lower bound, 9.7 %, lies above it." in card
    assert "Where it is worst. No part of the cases stands out; 2 were looked at." in card
    assert "482 of 483 cases" not in card
    assert "of 483 cases of this probe were scored" in card
    assert "Were the true value just at the limit, this gate would fail in at most 5 of 100 such runs." in card
    assert "Smallest fault seen in four runs of five 9.5 % or more" in card
    assert "EU 2005/29 Art. 6" in card
    assert re.search(r"shoplm-audit run faithfulness --model 'openai:https://\S+@api.example.com#m' --seed 0", card)
    assert "evidence waive" in card
    shown = re.findall(r'<details class="case".*?</details>', report[at : report.index("</article>", at)], re.DOTALL)
    assert len(shown) == 4
    assert all('<mark class="contradicted"' in case for case in shown[:2])
    assert "went well" in shown[3]
    assert '<mark class="contradicted"' not in shown[3]


def _faithful(audit, extra=(), **more):
    suite = next(one for one in audit.result.suites if one.name == "faithfulness")
    suite = suite.model_copy(update={"estimates": [*suite.estimates, *extra]})
    return AuditResult(audit.result.model_copy(update={"suites": [suite], **more}), audit.observations)


def _card(html, gate):
    at = html.index(f'id="gate-{gate}"')
    return Page(html[html.rindex("<article", 0, at) : html.index("</article>", at)] + "</article>").text


def test_a_part_is_shown_only_where_it_differs_clearly_once_all_that_were_looked_at_are_paid_for(audit):
    def part(name, value, low, n):
        return EstimateResult(
            metric="rate_contradicted",
            slice={"category": name},
            value=value,
            low=low,
            high=0.9,
            n=n,
            method="",
            better="lower",
        )

    parts = [part("lamps", 0.4, 0.3, 60), part("mugs", 0.5, 0.12, 60), part("rugs", 1.0, 0.9, 9), part("x", 0, 0, 60)]
    told = _card(render_html(_faithful(audit, parts)), "faithfulness.rate_contradicted")
    where = told[told.index("Where it is worst.") : told.index("What to try next")]
    assert where.startswith(
        "Where it is worst. Worse than over all, also after allowing for the 5 parts that were looked at: lamps 40 %"
    )
    for name in ("Chinese", "mugs", "rugs"):
        assert name not in where


def test_counts_of_verdicts_sum_to_the_gates_and_name_the_waived_apart(audit, page):
    tile = page.text[page.text.index(" Gates ") : page.text.index("Judged on")]
    assert " ".join(tile.split()) == "Gates 4 fail 1 waived 2 undecided 2 not tested 1 not applicable 4 pass"
    numbers = [int(word) for word in tile.split() if word.isdigit()]
    assert sum(numbers) == sum(len(suite.gates) for suite in audit.result.suites)


def test_first_screen_tells_each_metric_once_and_the_worst_of_each_suite_first(audit, report):
    first = report[report.index('<ol class="reasons">') :]
    linked = re.findall(r'href="#gate-([^"]+)"', first[: first.index("</ol>")])
    assert [name.partition(".")[0] for name in linked] == ["privacy", "faithfulness", "privacy"]
    assert linked[1] == "faithfulness.rate_contradicted"
    assert "It failed also in: Chinese." in first[: first.index("</ol>")]


def _changed(verdict, first=0.04, second=0.124, difference=0.084, low=0.05, high=0.12, **more):
    told = {"suite": "faithfulness", "gate": "faithfulness.rate_contradicted", "metric": "rate_contradicted"}
    numbers = {"first": first, "second": second, "difference": difference, "low": low, "high": high}
    return ChangeResult(
        **{"n": 480, "method": "", "margin": 0.02, "p_adjusted": 0.004, "better": "lower"} | told | numbers | more,
        verdict=verdict,
    )


def _since(audit, change, verdict="worse"):
    baseline = BaselineResult(run="runs/old", model="reviews-old", fingerprint="", verdict=verdict, changes=[change])
    html = render_html(_faithful(audit, baseline=baseline))
    text = Page(html).text
    card = _card(html, "faithfulness.rate_contradicted")
    tile = text[text.index("Baseline ", text.index("Certainty")) : text.index("What was asked")]
    return html, card[card.index("Since when.") :], tile


def test_a_gate_that_became_worse_is_marked_listed_and_dated(audit):
    html, since, tile = _since(audit, _changed("worse", only_first=3, only_second=43))
    assert since.startswith(
        "Since when. Worse than the baseline New since runs/old: its value kept the limit then. "
        "4.00 % then, 12.4 % now: +8.4 [5.0, 12.0] points, the interval of this gate alone. "
        "Margin 2 points. p = 0.004 after allowing for all 1 gates. 43 cases got worse, 3 better."
    )
    assert "1 of 1 gates are worse than in reviews-old (runs/old)." in tile
    assert 'data-change="worse"' in html
    table = Page(
        html[html.index('<table class="grid fallen">') : html.index("</tbody>", html.index("grid fallen"))]
        + "</tbody></table>"
    ).text
    assert "Rate contradicted 4.00 % 12.4 % +8.4 [5.0, 12.0] points 2 points 0.004 480" in table


@pytest.mark.parametrize(
    ("change", "run", "since", "tile"),
    [
        (
            _changed("worse", first=0.06, second=0.124, difference=0.064, low=0.03, high=0.09),
            "worse",
            "Its value was beyond the limit in runs/old already, and became worse since.",
            "1 of 1 gates are worse",
        ),
        (
            _changed("no worse", first=0.3, second=0.124, difference=-0.176, low=-0.2, high=-0.1),
            "no worse",
            "Its value was beyond the limit in runs/old already, and became better since.",
            "No gate is worse than in reviews-old (runs/old) by more than its margin.",
        ),
        (
            _changed("undecided", low=-0.01),
            "undecided",
            "Its value kept the limit in runs/old, but these cases do not decide whether it became worse.",
            "No gate is worse than in reviews-old (runs/old) for certain. For 1 gates these cases do not decide it.",
        ),
        (
            _changed("undefined", None, 0.124, None, None, None),
            "undecided",
            "It cannot be compared with runs/old.",
            "No gate is worse than in reviews-old (runs/old) for certain.",
        ),
    ],
)
def test_since_when_says_what_happened_and_the_tile_is_a_sentence(audit, change, run, since, tile):
    html, told, said = _since(audit, change, run)
    assert since in told
    assert "New since" not in told
    assert tile in said
    assert ('id="worse"' in html) == (run == "worse")


def test_every_command_that_is_advised_is_one_that_the_program_takes(audit):
    from typer.main import get_command

    from shoplm_audit.cli import app

    def parsed(words):
        command, context = get_command(app), None
        while hasattr(command, "commands"):
            context = command.context_class(command, info_name="shoplm-audit", parent=context)
            command, words = command.commands[words[0]], words[1:]
        command.make_context("shoplm-audit", list(words), parent=context)

    gates = [(suite.name, gate, None) for suite in audit.result.suites for gate in suite.gates]
    tried = [("faithfulness", "rate_x"), ("bias", "contrast_flagged_a_b"), ("bias", "gap_x"), ("privacy", "rate_told")]
    tried += [("privacy", "auroc_x"), ("fake_reviews", "rate_accounts_marked"), ("fake_reviews", "x"), ("own", "x")]
    for verdict in ("fail", "undecided"):
        made = {"verdict": Verdict(verdict), "cases_to_decide": 90}
        gates += [(name, gates[0][1].model_copy(update={**made, "metric": metric}), None) for name, metric in tried]
    commands = [step.command for one in gates for step in steps_for(*one, audit.result) if step.command]
    assert {command.split()[1] for command in commands} >= {"run", "train", "generate", "mitigate", "evidence"}
    for command in commands:
        words = shlex.split(command)
        parsed(words[1:])
        if words[1] == "train":
            assert {"--data", "--out"} <= set(words)
        if words[1] == "generate":
            assert {"--prompt", "--data"} & set(words)


def test_commands_name_the_model_as_it_was_loaded(audit):
    bare = audit.result.model.model_copy(update={"spec": ""})
    for command, spec in (
        ("shoplm-audit run bias --model checkpoints/v3", "checkpoints/v3"),
        ("shoplm-audit run --model=checkpoints/v3", "checkpoints/v3"),
        ("no 'command", "reviews-plain"),
    ):
        assert spec_of(audit.result.model_copy(update={"model": bare, "command": command})) == spec
    assert spec_of(audit.result) == "checkpoints/reviews"


def test_waived_gate_never_looks_like_one_that_passed(page, report):
    at = report.index('id="gate-bias.contrast_refund"')
    card = Page(report[report.rindex("<article", 0, at) : report.index("</article>", at)] + "</article>").text
    assert card.startswith("Fail Waived, not passed")
    assert 'class="chip pass"' not in report[at : report.index("</article>", at)]
    assert "Failed, and let through by a person: 1" in page.text
    first = page.text[page.text.index("What failed, and by how much") : page.text.index("Judged on")]
    assert "women" not in first
    assert "Refund" not in first


def test_every_gate_is_told_with_its_verdict_reason_and_interval(audit, page):
    for suite in audit.result.suites:
        assert suite.question in page.text
        for gate in suite.gates:
            assert gate.id in page.text
            assert gate.why in page.text.replace("\u00a0", " ")
    assert "12.4 % [9.7 %, 15.6 %]" in page.text
    assert "about 1,450 cases would decide" in page.text
    assert "both bounds hold at 95 % each (the interval covers 90 %)" in page.text


def test_hostile_text_stays_text(page, report, hostile):
    scripts = [tag for tag, _ in page.tags if tag == "script"]
    assert len(scripts) == 1
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "link", "base")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    for hidden in "\x00\x1b\u202e\u202c\u200b\ud800":
        assert hidden not in report
    assert "U+202E" in page.text
    assert "U+D800" in page.text
    assert hostile not in page.text
    report.encode("utf-8")


def test_page_fetches_nothing(report, index):
    for html in (report, index):
        page = Page(html)
        for _, attributes in page.tags:
            for name in FETCHING & attributes.keys():
                assert re.match(r"#|plain/|private/", attributes[name] or ""), attributes
        style = html[html.index("<style>") : html.index("</style>")]
        assert "@import" not in style
        assert "url(" not in style
        policy = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy[0].startswith("default-src 'none'")


def test_same_result_gives_the_same_bytes(audit, audit_of, report):
    assert render_html(audit_of(), banner="synthetic world") == report
    shuffled = AuditResult(audit.result, dict(reversed(list(audit.observations.items()))))
    assert render_html(shuffled, banner="synthetic world") == report


def test_report_of_5000_cases_is_small(audit_of):
    assert len(render_html(audit_of(5000)).encode()) < 400_000


def test_report_stays_small_when_every_text_is_long_and_hostile(audit):
    bad = "\u202e<\x00" * 4000
    spans = json.dumps([[i, i + 1, "contradicted", bad[:400]] for i in range(0, 400, 2)])
    rows = [
        Observation(
            Case(f"{bad[:60]}{i}", prompt=Prompt(bad), reference=bad),
            {"text": bad, "spans": spans, **{f"long{k}": bad for k in range(20)}},
        )
        for i in range(40)
    ]
    seen = {(suite.name, "describe"): Observations(tuple(rows)) for suite in audit.result.suites}
    assert len(render_html(AuditResult(audit.result, seen)).encode()) < 1_500_000


def test_report_stays_small_when_a_thousand_gates_fail(audit):
    def many(suite):
        gates = [gate for gate in suite.gates if suite.name == "faithfulness"]
        spread = [gate.model_copy(update={"id": f"{suite.name}.g{i}-{k}", "verdict": Verdict.FAIL, "waived_by": None})
                  for i in range(250) for k, gate in enumerate(gates)]  # fmt: skip
        return suite.model_copy(update={"gates": spread})

    failing = audit.result.model_copy(update={"suites": [many(suite) for suite in audit.result.suites] * 5})
    html = render_html(AuditResult(failing, audit.observations))
    assert len(html.encode()) < 1_500_000
    assert "more gates are in result.json" in html


def test_spans_are_marked_where_they_stand_and_explained_in_visible_text(page, report):
    assert re.search(
        r'holds <mark class="contradicted" title="contradicted: says 1.5 L[^"]*">1.5 L<sup>1</sup></mark>', report
    )
    assert re.search(r'<mark class="supported"[^>]*>藏青色<sup>2</sup></mark>', report)
    assert re.search(r'<mark class="unsupported"[^>]*>It won a design award<sup>3</sup></mark>', report)
    assert "contradicted says 1.5 L, the record says 1.7 L" in page.text


def test_spans_that_cannot_be_read_leave_the_text_plain(audit):
    for spans in (
        "not json",
        "[[1]]",
        '{"a": 1}',
        '[[0, 999999, "contradicted", ""]]',
        "null",
        '[[5, 2, "supported"]]',
    ):
        row = Observation(Case("p", prompt=Prompt("?")), {"contradicted": True, "text": "Navy steel.", "spans": spans})
        html = render_html(AuditResult(audit.result, {("faithfulness", "describe"): Observations((row,))}))
        assert "Navy steel." in html
        assert "<mark" not in html


def test_privacy_evidence_shows_neither_secrets_nor_who_was_trained_on(page):
    assert "Exposure: among the highest" in page.text
    assert "48213907" not in page.text
    assert "mei.lin@example.com" not in page.text
    assert "canary0" not in page.text
    assert "12 Alder Road" not in page.text
    assert "hunter2pass" not in page.text


def test_failing_cases_come_first_and_others_follow(page):
    findings = page.text.index("Findings, gate by gate")
    evidence = page.text.index("Evidence, suite by suite")
    assert findings < page.text.index("Contradicted: yes") < evidence
    assert evidence < page.text.index("unparsed: counts against the model")
    assert "3 other cases, for comparison" in page.text[evidence:]


def test_result_without_observations_or_suites_is_rendered(audit):
    assert "made without the evidence" in Page(render_html(AuditResult(audit.result))).text
    empty = audit.result.model_copy(update={"suites": [], "verdict": "undecided", "notes": [], "command": ""})
    assert "nothing was decided" in Page(render_html(AuditResult(empty))).text


def test_no_claim_is_made_that_an_audit_cannot_make(audit_of):
    passing = audit_of(leaks=False)
    words = re.findall(r"[a-z]+", Page(render_html(passing)).text.lower())
    assert not {"safe", "unbiased", "compliant", "proven"} & set(words)


def test_index_sets_models_side_by_side_on_one_axis(index):
    page = Page(index)
    assert "synthetic world" in page.text
    assert "What this teaches One was trained privately" in page.text
    assert "AUROC membership at most 0.6 plain Fail 0.982 [0.961, 0.993] private Pass 0.508 [0.462, 0.554]" in page.text
    drawing = next(d for d in index.split('<svg class="strip"')[1:] if "plain: 0.982" in d)
    marks = [float(x) for x in re.findall(r'<svg x="([\d.]+)%"', drawing.split("</td>")[0])]
    assert len(marks) == 2
    assert marks[0] > marks[1]


def test_index_tolerates_a_gate_that_only_one_model_has(audit, audit_of):
    other = audit_of(leaks=False)
    suites = [suite for suite in other.result.suites if suite.name != "privacy"]
    other = replace(other, result=other.result.model_copy(update={"suites": suites}))
    html = render_index([IndexEntry("a", "a.html", audit), IndexEntry("b", "b.html", other)], title="t")
    assert "no such gate" in Page(html).text


def test_prose_is_light_markdown_and_nothing_else():
    assert str(prose("# One\n\n- a **b**\n- c\n  d\n\n<i>x</i> [y](javascript:z)")) == (
        "<p>One</p><ul><li>a <strong>b</strong></li><li>c d</li></ul><p>&lt;i&gt;x&lt;/i&gt; [y](javascript:z)</p>"
    )


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_no_page_scrolls_sideways_on_a_phone(report, index, tmp_path: Path):
    # Headless Chromium has a least window width, so pages are measured inside frames of a phone's width.
    frames = ""
    for name, html in (("report", report.replace("<details", "<details open")), ("index", index)):
        widths = f"'{name} '+innerWidth+' '+document.documentElement.scrollWidth"
        unlocked = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
        inner = unlocked.replace("</body>", f"<script>parent.postMessage({widths},'*')</script></body>")
        (tmp_path / f"{name}.html").write_text(inner, encoding="utf-8")
        frames += f'<iframe src="{name}.html" width="390" height="800" style="border:0"></iframe>'
    outer = tmp_path / "outer.html"
    outer.write_text(
        f"<pre></pre>{frames}<script>onmessage=e=>document.querySelector('pre').append(e.data+';')</script>"
    )
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    own = ["--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'profile'}", outer.as_uri()]
    ran = subprocess.run(["chromium", *arguments, *own], capture_output=True, text=True, timeout=60, check=True)
    said = dict(re.findall(r"(report|index) 390 (\d+);", ran.stdout))
    assert said.keys() == {"report", "index"}, ran.stdout[:300]
    assert all(int(width) <= 390 for width in said.values()), said
