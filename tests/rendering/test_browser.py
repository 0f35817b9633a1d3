"""The report in real headless Chromium; `.browser/` holds npm's puppeteer-core and axe-core."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoplm_audit.rendering.html import render_html
from shoplm_audit.results import (
    AuditResult,
    BaselineResult,
    ChangeResult,
    EstimateResult,
    GateResult,
    StoppingResult,
    WaiverResult,
)

FOLDER = Path(os.environ.get("SHOPLM_BROWSER", Path(__file__).parents[2] / ".browser"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = [
    name
    for name, there in (
        ("Chromium", CHROMIUM),
        ("node", shutil.which("node")),
        ("puppeteer-core and axe-core in .browser", (FOLDER / "node_modules" / "axe-core").is_dir()),
    )
    if not there
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING) and not os.environ.get("CI"), reason=f"not installed: {', '.join(MISSING)}"),
]

Look = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def look() -> Iterator[Look]:
    """Asks one browser, started once, what it sees of a page."""
    assert not MISSING, f"CI has to have {', '.join(MISSING)}"
    command = ["node", str(Path(__file__).with_name("browser.mjs")), str(FOLDER), str(CHROMIUM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as browser:
        assert browser.stdin is not None
        assert browser.stdout is not None

        def ask(file: Path, **job: Any) -> dict[str, Any]:
            browser.stdin.write(json.dumps({"file": file.as_uri(), **job}) + "\n")
            browser.stdin.flush()
            seen = json.loads(browser.stdout.readline())
            assert "failed" not in seen, seen
            assert seen["said"] == []
            assert seen["asked"] == []
            return seen

        yield ask
        browser.stdin.close()


def _whole(audit: AuditResult) -> AuditResult:
    """The made-up audit with everything a head can show: a waiver, a baseline, an early stop."""
    change = ChangeResult(
        suite="faithfulness",
        gate="faithfulness.rate_contradicted",
        metric="rate_contradicted",
        first=0.04,
        second=0.124,
        difference=0.084,
        low=0.05,
        high=0.12,
        n=480,
        method="exact McNemar",
        margin=0.02,
        p_value=0.001,
        p_adjusted=0.004,
        verdict="worse",
        better="lower",
    )
    update = {
        "baseline": BaselineResult(
            run="runs/before", model="reviews-before", fingerprint="", verdict="worse", changes=[change]
        ),
        "waivers": [
            WaiverResult(
                gate="bias.contrast_refund", by="A. Person", why="planted", until="2027-01-01", state="in force"
            )
        ],
        "stopping": StoppingResult(gates=3, confidence=0.99, asked=400, planned=480, decided=3),
    }
    return AuditResult(audit.result.model_copy(update=update), audit.observations)


@pytest.fixture(scope="module")
def page(audit: AuditResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_html(_whole(audit), banner="synthetic world"), encoding="utf-8")
    return file


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_page_is_free_of_what_axe_finds_and_fits_its_width(look, page, width, dark):
    seen = look(page, width=width, dark=dark, check=True)
    assert seen["faults"] == []
    assert seen["wide"] <= width


def test_chosen_theme_wins_over_the_systems_and_is_remembered(look, page):
    seen = look(
        page,
        check=True,
        run="""document.getElementById("theme").click();
        return [getComputedStyle(document.body).backgroundColor, localStorage.getItem("theme")];""",
    )
    assert seen["value"] == ["rgb(16, 20, 24)", "dark"]
    assert seen["faults"] == []
    again = look(page, run='localStorage.removeItem("theme"); return getComputedStyle(document.body).backgroundColor;')
    assert again["value"] == "rgb(16, 20, 24)"


FILTERED = """
const tools = document.getElementById("tools").elements;
const told = () => [...document.querySelectorAll("#findings [data-verdict]")].filter((one) => one.checkVisibility())
  .map((one) => one.id.replace("gate-", ""));
const set = (name, value) => { tools[name].value = value; tools[name].dispatchEvent(changed); };
const changed = new Event("input", { bubbles: true });
const all = told();
set("verdict", "undecided"); const undecided = told();
set("verdict", ""); set("suite", "privacy"); const privacy = told();
set("suite", ""); set("text", "NO SUCH WORDS"); const none = told();
set("text", "won a design award"); const award = told();
set("text", ""); set("change", "worse"); const fallen = told();
set("change", ""); set("order", "severity"); const worst = told();
set("order", "n"); const fewest = told();
set("order", ""); const back = told();
return { all, undecided, privacy, fallen, none, award, worst, fewest, back };
"""


def test_gates_can_be_filtered_by_verdict_suite_and_text_and_sorted(look, page, audit):
    seen = look(page, run=FILTERED)["value"]
    scope = [g for suite in audit.result.suites for g in suite.gates if str(g.verdict) != "not_applicable"]
    assert len(seen["all"]) == len(scope) == 13
    assert len(seen["undecided"]) == sum(str(g.verdict) == "undecided" for g in scope)
    assert len(seen["privacy"]) == 4
    assert all(name.startswith("privacy") for name in seen["privacy"])
    assert seen["none"] == []
    assert seen["fallen"] == ["faithfulness.rate_contradicted"]
    assert "faithfulness.rate_contradicted" in seen["award"]
    assert len(seen["award"]) < len(seen["all"])
    assert seen["worst"] != seen["all"]
    assert seen["fewest"] != seen["worst"]
    assert seen["back"] == seen["all"]


def test_everything_is_there_without_javascript(look, page, audit):
    seen = look(
        page,
        script=False,
        run="""const gates = document.querySelectorAll("#findings [data-verdict]");
        return [gates.length, document.getElementById("tools").checkVisibility(),
          document.querySelector("#findings article").checkVisibility(),
          [...document.querySelectorAll("button")].filter((one) => one.checkVisibility()).length];""",
    )
    gates = sum(str(g.verdict) != "not_applicable" for suite in audit.result.suites for g in suite.gates)
    assert seen["value"] == [gates, False, True, 0]


def test_links_of_the_first_screen_lead_to_cards_and_folds_open(look, page):
    seen = look(
        page,
        run="""const hashes = [...document.querySelectorAll('a[href^="#"]')].map((one) => one.hash);
        return hashes.filter((hash) => !document.getElementById(decodeURIComponent(hash.slice(1))));
        """,
    )
    assert seen["value"] == []


def test_keyboard_reaches_the_skip_link_first_then_the_depths(look, page):
    seen = look(
        page,
        run="""const can = [...document.querySelectorAll("a, button, summary, input, select")];
        return can.slice(0, 5).map((one) => one.hash || one.id);""",
    )
    assert seen["value"] == ["#verdict", "#verdict", "#findings", "#evidence", "#again"]


def test_print_keeps_to_what_the_reader_opened_and_short_lists_of_the_rest(look, page):
    seen = look(
        page,
        media="print",
        run="""document.querySelector("#suite-privacy").open = true;
        dispatchEvent(new Event("beforeprint"));
        const shown = (selector) => [...document.querySelectorAll(selector)].map((one) => one.checkVisibility());
        const paper = [document.querySelectorAll("details.suite[open]").length,
          document.querySelector("nav").checkVisibility(),
          shown("#findings [data-verdict]").every(Boolean),
          shown(".gates .why").some(Boolean),
          shown(".card .case:not([open])").some(Boolean),
          document.querySelectorAll("details.rest:not([open])").length];
        dispatchEvent(new Event("afterprint"));
        return [...paper, document.querySelectorAll("details.rest[open]").length];
        """,
    )
    assert seen["value"] == [1, False, True, False, False, 0, 0]


def test_hostile_strings_in_every_field_run_nothing_and_break_no_layout(look, audit, hostile, tmp_path):
    bad = hostile + "</style><style>body{display:none}</style><svg onload=alert(4)>" + "W" * 300
    suites = [
        suite.model_copy(
            update={
                "name": suite.name + bad,
                "question": bad,
                "cannot_tell": bad,
                "not_tested": {bad: bad},
                "source": {bad: bad},
                "gates": [_bad_gate(gate, bad) for gate in suite.gates],
                "estimates": [_bad_estimate(one, bad) for one in suite.estimates],
            }
        )
        for suite in audit.result.suites
    ]
    whole = _whole(audit).result
    assert whole.baseline is not None
    result = whole.model_copy(
        update={
            "suites": suites,
            "model": whole.model.model_copy(update={"name": bad, "fingerprint": bad, "spec": bad}),
            "notes": [bad],
            "command": bad,
            "environment": {bad: bad},
            "waivers": [WaiverResult(gate=bad, by=bad, why=bad, until=bad, state="broken", key=bad)],
            "baseline": whole.baseline.model_copy(update={"run": bad, "model": bad, "notes": [bad]}),
        }
    )
    seen = {(name + bad, bad): observed for (name, _probe), observed in audit.observations.items()}
    file = tmp_path / "hostile.html"
    file.write_text(render_html(AuditResult(result, seen), banner=bad), encoding="utf-8")
    told = look(
        file,
        width=390,
        run="""document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
        return [document.scripts.length, document.querySelectorAll("style, link, img, iframe").length,
          getComputedStyle(document.body).display, document.querySelectorAll("[onload], [onerror]").length];""",
    )
    assert told["value"] == [1, 1, "block", 0]
    assert told["wide"] <= 390


def _bad_gate(gate: GateResult, bad: str) -> GateResult:
    update = {"why": bad, "slice": {bad: bad} if gate.slice else {}, "clauses": [bad], "waived_by": bad, "family": bad}
    return gate.model_copy(update={**update, "id": gate.id + bad})


def _bad_estimate(estimate: EstimateResult, bad: str) -> EstimateResult:
    return estimate.model_copy(
        update={
            "slice": {bad: bad} if estimate.slice else {},
            "method": bad,
            "signature": bad,
            "probe": bad,
            "note": bad,
        }
    )
