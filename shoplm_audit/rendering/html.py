"""Results as pages: one self-contained HTML file for a run, and one that sets several runs side by side.

    render_html(audit) -> "<!doctype html>..."     no network, no time stamps, the same bytes for the same result

The words and numbers come from `wording`, the drawings from `charts`, the evidence from `examples`; the templates
lie in `reports/template` of a checkout and in `shoplm_audit/_report_template` of a wheel.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from shoplm_audit.errors import ConfigError
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.charts import Axis, Bar, axis_of, scale, strip
from shoplm_audit.rendering.detectability import DetectabilityView, detectability_view
from shoplm_audit.rendering.differences import DifferencesView, differences_view
from shoplm_audit.rendering.examples import Example, examples_of
from shoplm_audit.rendering.faithfulness import FaithfulnessView, faithfulness_view
from shoplm_audit.rendering.masking import mask, mask_credentials, visible
from shoplm_audit.rendering.privacy import PrivacyView, privacy_view
from shoplm_audit.rendering.training import training_view
from shoplm_audit.results import AuditResult, EstimateResult, GateResult, Result, SuiteResult

__all__ = ["IndexEntry", "render_html", "render_index"]

_EVIDENCE = 700_000  # bytes of markup for all examples of a page; the contract's 1.5 MB hold the rest
_ROWS = 80  # estimates of one suite that are drawn
_GATES = 200  # gates of one suite that are listed; the passes of many are folded


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One run of a comparison: how it is called there, where its report lies, what it found."""

    name: str
    href: str
    audit: AuditResult


@dataclass(frozen=True, slots=True)
class GateView:
    """A gate with the estimate it was judged on, drawn."""

    gate: GateResult
    estimate: EstimateResult | None
    said: wording.Said | None
    strip: Markup
    scale: Markup


@dataclass(frozen=True, slots=True)
class Row:
    """One estimate of a forest plot."""

    estimate: EstimateResult
    said: wording.Said
    strip: Markup
    limit: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Estimates on one common axis."""

    name: str
    scale: Markup
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class SuiteView:
    """A suite as the page tells it."""

    suite: SuiteResult
    verdict: str
    failed: list[GateView]
    others: list[GateView]
    forests: list[Forest]
    left_out: int
    telling: list[Example]
    passing: list[Example]
    privacy: PrivacyView | None
    faithfulness: FaithfulnessView | None
    differences: DifferencesView | None
    detectability: DetectabilityView | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One gate across the runs of an index; None where a run has no such gate."""

    gate: GateResult
    views: list[GateView | None]
    strip: Markup
    scale: Markup


def render_html(audit: AuditResult, *, banner: str = "") -> str:
    """The report of a run: verdict, suites, evidence, limits of what it can tell.

    Args:
        audit: the result; examples are drawn from its observations and left out where it has none.
        banner: what stands at the head of the page ("synthetic world").
    """
    result = audit.result
    share = _EVIDENCE // max(1, len(result.suites))
    suites = [_suite_view(suite, audit, share) for suite in result.suites]
    return _page(
        "report.html.j2",
        result=result,
        banner=banner,
        suites=suites,
        out_of_scope=[g for s in result.suites for g in s.gates if str(g.verdict) == "not_applicable"],
        training=training_view(result.model.training) if result.model.training else None,
    )


def render_index(entries: Sequence[IndexEntry], *, title: str, banner: str = "", lesson: Sequence[str] = ()) -> str:
    """Two or more runs side by side: the gates of each suite in rows, the runs in columns, intervals on common axes.

    Args:
        entries: the runs in the order of their columns; `href` is relative to the page.
        title: of the page.
        banner: what stands at its head.
        lesson: paragraphs on what the comparison teaches; light markdown (`**bold**`, `- ` bullets).
    """
    suites: dict[str, SuiteResult] = {}
    for entry in entries:
        for suite in entry.audit.result.suites:
            suites.setdefault(suite.name, suite)
    compared = [(suite, _compared(suite.name, entries)) for suite in suites.values()]
    return _page("index.html.j2", entries=entries, title=title, banner=banner, lesson=lesson, compared=compared)


# Views --------------------------------------------------------------------------------------------


def _suite_view(suite: SuiteResult, audit: AuditResult, budget: int) -> SuiteView:
    order = {verdict: i for i, verdict in enumerate(wording.ORDER)}
    views = [_gate_view(suite, gate) for gate in sorted(suite.gates, key=lambda gate: order[str(gate.verdict)])]
    differences = differences_view(suite)
    # What stands beside its margin is not drawn a second time.
    beside = {
        gate.metric for gate in suite.gates if differences and gate.at_least is not None and gate.at_most is not None
    }
    drawn = [one for one in suite.estimates if one.metric not in beside][:_ROWS]
    telling, passing = examples_of(suite, audit.observations, budget)
    return SuiteView(
        suite=suite,
        verdict=wording.suite_verdict(suite),
        failed=[view for view in views if str(view.gate.verdict) == "fail"][:_GATES],
        others=[view for view in views if str(view.gate.verdict) != "fail"][:_GATES],
        forests=list(_forests(suite, drawn)),
        left_out=sum(one.metric not in beside for one in suite.estimates) - len(drawn),
        telling=telling,
        passing=passing,
        privacy=privacy_view(suite, audit.observations, audit.result.confidence),
        faithfulness=faithfulness_view(suite, audit.observations, audit.result.confidence),
        differences=differences,
        detectability=detectability_view(suite),
    )


def _gate_view(suite: SuiteResult, gate: GateResult) -> GateView:
    estimate = wording.estimate_of(suite, gate)
    if estimate is None:
        return GateView(gate, None, None, Markup(""), Markup(""))
    axis = axis_of([estimate.value, estimate.low, estimate.high], [gate.at_least, gate.at_most])
    said = wording.said(estimate.value, estimate.low, estimate.high, gate.metric)
    drawn = strip(axis, [_bar(estimate, str(gate.verdict))], gate.at_least, gate.at_most)
    return GateView(gate, estimate, said, drawn, scale(axis, gate.metric))


def _bar(estimate: EstimateResult, style: str, name: str = "") -> Bar:
    said = wording.said(estimate.value, estimate.low, estimate.high, estimate.metric)
    title = f"{name or wording.label(estimate.metric)}: {said}"
    style = style if style in ("pass", "fail", "undecided") else "plain"
    return Bar(estimate.value, estimate.low, estimate.high, style, visible(title))


def _family(metric: str) -> str:
    if wording.in_percent(metric):
        return "Shares of cases"
    return "AUROC" if metric.startswith("auroc") else wording.label(metric)


def _forests(suite: SuiteResult, estimates: Sequence[EstimateResult]) -> Iterator[Forest]:
    gates = {(gate.metric, *sorted(gate.slice.items())): gate for gate in suite.gates}
    families: dict[str, dict[str, list[EstimateResult]]] = {}
    for estimate in estimates:
        families.setdefault(_family(estimate.metric), {}).setdefault(estimate.metric, []).append(estimate)
    for name, metrics in families.items():
        # A metric's slices stand below its overall value.
        members = [
            e
            for group in metrics.values()
            for e in sorted(group, key=lambda e: (bool(e.slice), sorted(e.slice.items())))
        ]
        judged = [gates.get((e.metric, *sorted(e.slice.items()))) for e in members]
        limits = [x for gate in judged if gate for x in (gate.at_least, gate.at_most)]
        axis = axis_of([x for e in members for x in (e.value, e.low, e.high)], limits)
        yield Forest(
            name, scale(axis, members[0].metric), [_row(axis, e, gate) for e, gate in zip(members, judged, strict=True)]
        )


def _row(axis: Axis, estimate: EstimateResult, gate: GateResult | None) -> Row:
    verdict = str(gate.verdict) if gate else "plain"
    low, high = (gate.at_least, gate.at_most) if gate else (None, None)
    said = wording.said(estimate.value, estimate.low, estimate.high, estimate.metric)
    drawn = strip(axis, [_bar(estimate, verdict)], low, high)
    return Row(estimate, said, drawn, wording.limit_of(gate) if gate else "", verdict if gate else "")


def _compared(name: str, entries: Sequence[IndexEntry]) -> list[Compared]:
    found: dict[str, list[GateView | None]] = {}
    for i, entry in enumerate(entries):
        for suite in (suite for suite in entry.audit.result.suites if suite.name == name):
            for gate in suite.gates:
                found.setdefault(gate.id, [None] * len(entries))[i] = _gate_view(suite, gate)
    return [_compared_gate(views, entries) for views in found.values()]


def _compared_gate(views: list[GateView | None], entries: Sequence[IndexEntry]) -> Compared:
    there = [view for view in views if view is not None]
    gate = there[0].gate
    known = [e for view in there if (e := view.estimate) is not None]
    if not known:
        return Compared(gate, views, Markup(""), Markup(""))
    limits = [x for view in there for x in (view.gate.at_least, view.gate.at_most)]
    axis = axis_of([x for e in known for x in (e.value, e.low, e.high)], limits, ticks=3)
    bars = [
        _bar(view.estimate, str(view.gate.verdict), entry.name)
        if view is not None and view.estimate is not None
        else Bar(None, None, None, "plain", f"{visible(entry.name)}: no estimate")
        for view, entry in zip(views, entries, strict=True)
    ]
    # Limits that differ (each model's own claim of epsilon) are drawn in no row rather than in the wrong one.
    bounds = {(view.gate.at_least, view.gate.at_most) for view in there}
    low, high = bounds.pop() if len(bounds) == 1 else (None, None)
    return Compared(gate, views, strip(axis, bars, low, high), scale(axis, gate.metric))


# Templates ----------------------------------------------------------------------------------------


def _page(template: str, **variables: Any) -> str:
    folder = _folder()
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The policy lets the page run its own script and load nothing at all, whatever a text smuggles in.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    page = _environment(folder).get_template(template)
    policy += "; base-uri 'none'; form-action 'none'"
    return page.render(style=Markup(style), script=Markup(script), policy=policy, **variables).lstrip() + "\n"


def _folder() -> Path:
    package = Path(__file__).parents[1]
    for folder in (package.parent / "reports" / "template", package / "_report_template"):
        if (folder / "report.html.j2").is_file():
            return folder
    raise ConfigError("The report's templates are missing beside the package: install shoplm-audit again.")


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
    )
    environment.filters |= {
        "anchor": lambda name: re.sub(r"[^\w.-]+", "-", visible(name)),
        "label": wording.label,
        "mask": mask,
        "credentials": mask_credentials,
        "prose": prose,
        "sentence": lambda text: re.sub(r"(\d) %", "\\1\u00a0%", mask(text)),
        "number": _plain,
    }
    environment.globals |= {
        "headline": wording.headline,
        "in_scope": _in_scope,
        "limit_of": wording.limit_of,
        "slice_of": wording.slice_of,
        "suite_verdict": wording.suite_verdict,
        "tally": wording.tally,
        "verdicts": wording.VERDICTS,
        "within": wording.within,
    }
    return environment


def _in_scope(result: Result) -> list[GateResult]:
    return [gate for suite in result.suites for gate in suite.gates if str(gate.verdict) != "not_applicable"]


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if math.isfinite(value) else "none"


def prose(text: str) -> Markup:
    """Light markdown as HTML: paragraphs, `- ` bullets, `**bold**` and code; all else stays text.

    >>> str(prose("Not **whether** it is so."))
    '<p>Not <strong>whether</strong> it is so.</p>'
    """
    blocks: list[Markup] = []
    for block in re.split(r"\n\s*\n", visible(mask(text)).strip()):
        bullets: list[str] = []
        words: list[str] = []
        for line in block.splitlines():
            if found := re.match(r"\s*[-*]\s+(.*)", line):
                bullets.append(found[1])
            elif bullets and line.strip():
                bullets[-1] += f" {line.strip()}"
            else:
                words.append(line.strip().lstrip("#").strip())
        if any(words):
            blocks.append(Markup("<p>{}</p>").format(_inline(" ".join(words).strip())))
        if bullets:
            items = Markup("").join(Markup("<li>{}</li>").format(_inline(bullet)) for bullet in bullets)
            blocks.append(Markup("<ul>{}</ul>").format(items))
    return Markup("").join(blocks)


def _inline(text: str) -> Markup:
    safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", safe))
