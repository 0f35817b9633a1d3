"""Results as pages: one self-contained HTML file for a run, and one that sets several runs side by side.

    render_html(audit) -> "<!doctype html>..."     no network, no time stamps, the same bytes for the same result

The words and numbers come from `wording`, a gate's card from `cards`, the drawings from `charts`; the templates lie in
`reports/template` of a checkout and in `shoplm_audit/_report_template` of a wheel.
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

from shoplm_audit.operating import operating_of_result
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.cards import CardView, Source, bar_of, card_of, heads_of, in_turn
from shoplm_audit.rendering.certainty import false_alarm, how_sure
from shoplm_audit.rendering.changes import baseline_view
from shoplm_audit.rendering.charts import Axis, Bar, axis_of, scale, strip
from shoplm_audit.rendering.detectability import DetectabilityView, detectability_view
from shoplm_audit.rendering.differences import DifferencesView, differences_view
from shoplm_audit.rendering.examples import Example
from shoplm_audit.rendering.faithfulness import FaithfulnessView, faithfulness_view
from shoplm_audit.rendering.masking import mask, mask_credentials, visible
from shoplm_audit.rendering.operating import oc_figure, unchanged_of
from shoplm_audit.rendering.privacy import PrivacyView, privacy_view
from shoplm_audit.rendering.reliability import reliability_of
from shoplm_audit.rendering.speaking import LANGUAGES, _, language, marked, retold, speaking, template_folder
from shoplm_audit.rendering.telling import drawn, others_of
from shoplm_audit.rendering.training import training_view
from shoplm_audit.results import AuditResult, EstimateResult, GateResult, Result, SuiteResult

__all__ = ["IndexEntry", "render_html", "render_index"]

_EVIDENCE = 300_000  # bytes of markup for the cases of all suites; the contract's 1.5 MB hold the rest
_CASES = 400_000  # the same for those of all failed gates
_ROWS = 80  # estimates of one suite that are drawn
_LISTED = 500  # gates of all suites that are listed, those that matter most first
_SCOPED = "Out of scope: "  # how the notes begin that say so
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
    cards: list[CardView]
    forests: list[Forest]
    left_out: int
    telling: list[Example]
    passing: list[Example]
    privacy: PrivacyView | None
    faithfulness: FaithfulnessView | None
    differences: DifferencesView | None
    detectability: DetectabilityView | None
    figures: list[Markup]


@dataclass(frozen=True, slots=True)
class Compared:
    """One gate across the runs of an index; None where a run has no such gate."""

    gate: GateResult
    views: list[GateView | None]
    strip: Markup
    scale: Markup


def render_html(audit: AuditResult, *, banner: str = "", language: str = "en") -> str:
    """The report of a run in three depths: the verdict, the findings gate by gate, the evidence suite by suite.

    Args:
        audit: the result; cases are drawn from its observations and left out where it has none.
        banner: what stands at the head of the page ("synthetic world").
        language: of the page, "en" or "zh"; what models and people wrote stays as it is.
    """
    result = audit.result
    with speaking(language):
        failing = sum(str(gate.verdict) == "fail" for suite in result.suites for gate in suite.gates)
        share = _EVIDENCE // max(1, len(result.suites))
        suites = [_suite_view(suite, audit, share // 2, _CASES // max(1, failing)) for suite in result.suites]
        notes = [*result.notes, *(result.baseline.notes if result.baseline else [])]
        cards = in_turn([card for view in suites for card in view.cards])
        listed = sorted(cards, key=lambda card: wording.ORDER.index(str(card.gate.verdict)))[:_LISTED]
        return _page(
            "report.html.j2",
            result=result,
            banner=banner,
            suites=suites,
            by_verdict={verdict: [c for c in listed if str(c.gate.verdict) == verdict] for verdict in wording.ORDER},
            notes=[note for note in notes if not note.startswith(_SCOPED)],
            scoped=[note for note in notes if note.startswith(_SCOPED)],
            heads=heads_of([card for card in cards if str(card.gate.verdict) == "fail" and not card.gate.waived_by]),
            baseline=baseline_view(result, {card.gate.id for card in listed}),
            certainty=how_sure(result),
            stopping=_stopping(result),
            operating=operating_of_result(result),
            figures=[figure] if (figure := oc_figure(result)) else [],
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


def _suite_view(suite: SuiteResult, audit: AuditResult, budget: int, per_card: int) -> SuiteView:
    source = Source.of(audit, suite, per_card)
    rank = {verdict: i for i, verdict in enumerate(wording.ORDER)}
    kept = sorted(suite.gates, key=lambda gate: rank[str(gate.verdict)])[:_GATES]
    cards = [card_of(source, gate) for gate in kept]
    differences = differences_view(suite)
    # What stands beside its margin is not drawn a second time.
    beside = {
        gate.metric for gate in suite.gates if differences and gate.at_least is not None and gate.at_most is not None
    }
    estimates = [one for one in suite.estimates if one.metric not in beside]
    shown = {position for card in cards for position in card.shown}
    faulty, fine = others_of(suite, source.rows, shown)
    telling = drawn(suite, source.rows, faulty, budget)
    return SuiteView(
        suite=suite,
        verdict=wording.suite_verdict(suite),
        cards=cards,
        forests=list(_forests(suite, estimates[:_ROWS])),
        left_out=max(0, len(estimates) - _ROWS),
        telling=telling,
        passing=drawn(suite, source.rows, fine, budget // 4),
        privacy=privacy_view(suite, audit.observations, audit.result.confidence),
        faithfulness=faithfulness_view(suite, audit.observations, audit.result.confidence),
        differences=differences,
        detectability=detectability_view(suite),
        figures=reliability_of(source.rows),
    )


def _stopping(result: Result) -> str:
    """How the run decided when to stop, in a sentence."""
    told = result.stopping
    if told is None:
        return ""
    return _(
        "It looked at its answers as they came and asked {asked} of {planned} cases; {decided} of {gates} such gates "
        "were decided.",
        asked=f"{told.asked:,}",
        planned=f"{told.planned:,}",
        decided=told.decided,
        gates=told.gates,
    )


def _gate_view(suite: SuiteResult, gate: GateResult) -> GateView:
    estimate = wording.estimate_of(suite, gate)
    if estimate is None:
        return GateView(gate, None, None, Markup(""), Markup(""))
    axis = axis_of([estimate.value, estimate.low, estimate.high], [gate.at_least, gate.at_most])
    said = wording.said(estimate.value, estimate.low, estimate.high, gate.metric)
    drawn = strip(axis, [bar_of(estimate, str(gate.verdict))], gate.at_least, gate.at_most)
    return GateView(gate, estimate, said, drawn, scale(axis, gate.metric))


def _family(metric: str) -> str:
    if wording.in_percent(metric):
        return _("Shares of cases")
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
    drawn = strip(axis, [bar_of(estimate, verdict)], low, high)
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
        bar_of(view.estimate, str(view.gate.verdict), entry.name)
        if view is not None and view.estimate is not None
        else Bar(None, None, None, "plain", _("{name}: no estimate", name=visible(entry.name)))
        for view, entry in zip(views, entries, strict=True)
    ]
    # Limits that differ (each model's own claim of epsilon) are drawn in no row rather than in the wrong one.
    bounds = {(view.gate.at_least, view.gate.at_most) for view in there}
    low, high = bounds.pop() if len(bounds) == 1 else (None, None)
    return Compared(gate, views, strip(axis, bars, low, high), scale(axis, gate.metric))


# Templates ----------------------------------------------------------------------------------------


def _page(template: str, **variables: Any) -> str:
    folder = template_folder()
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The policy lets the page run its own script and load nothing at all, whatever a text smuggles in.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    page = _environment(folder).get_template(template)
    policy += "; base-uri 'none'; form-action 'none'"
    rendered = page.render(
        style=Markup(style), script=Markup(script), policy=policy, lang=LANGUAGES[language()], **variables
    )
    return rendered.lstrip() + "\n"


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
        "sentence": lambda text: re.sub(r"(\d) %", "\\1\u00a0%", mask(retold(text))),
        "number": _plain,
    }
    environment.globals |= {
        "_": _,
        "false_alarm": false_alarm,
        "marked": marked,
        "headline": wording.headline,
        "in_scope": _in_scope,
        "limit_of": wording.limit_of,
        "slice_of": wording.slice_of,
        "suite_verdict": wording.suite_verdict,
        "tally": wording.tally,
        "unchanged_of": unchanged_of,
        "verdict_of": lambda verdict: _(wording.VERDICTS[verdict]),
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
