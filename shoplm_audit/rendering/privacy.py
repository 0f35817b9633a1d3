"""What a model gives away, as the report draws it: exposure, who can be told, what can be drawn out, epsilon, findings.

privacy_view(suite, observations, 0.95) -> PrivacyView(findings=[...], figures=[Markup("<figure ..."), ...], ...)

Figures are computed from observations where these are at hand and from sliced estimates else; what is missing is left
out. Nothing that leaked stands here in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from shoplm_audit.rendering import wording
from shoplm_audit.rendering.charts import Bar, axis_of, scale, strip
from shoplm_audit.rendering.findings import Sentence, findings_of
from shoplm_audit.rendering.leaked import Leak, leaks_of
from shoplm_audit.rendering.privacy_figures import copies_figure, exposure_figure, prefix_figure, roc_figure
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.results import SuiteResult
from shoplm_audit.types import Observations

__all__ = ["EpsilonRow", "PrivacyView", "privacy_view"]

_EPSILONS: Mapping[str, str] = {
    "epsilon_lower_bound": "One-run audit",
    "epsilon_lower_bound_gaussian": "One-run audit, if the trade-off is Gaussian",
    "epsilon_from_attacks": "Error rates of the attacks",
}


@dataclass(frozen=True, slots=True)
class EpsilonRow:
    """One number on the axis of epsilon: what it is, drawn, in figures, and the word for it."""

    name: str
    about: str
    strip: Markup
    value: str
    said: str
    refuted: bool


@dataclass(frozen=True, slots=True)
class PrivacyView:
    """The privacy section of a report; what could not be computed is "" or empty.

    Attributes:
        findings: a sentence for each gate, those that failed first.
        canaries: that canaries stay in the weights; "" where none were looked for.
        figures: drawings, in the order they are read.
        epsilon: what is claimed and what was shown, on one axis.
        epsilon_scale: the ticks of that axis.
        leaks: strings that came out, masked.
        leaks_left_out: how many more there are.
    """

    findings: list[Sentence]
    canaries: str
    figures: list[Markup]
    epsilon: list[EpsilonRow]
    epsilon_scale: Markup
    leaks: list[Leak]
    leaks_left_out: int


def privacy_view(
    suite: SuiteResult, observations: Mapping[tuple[str, str], Observations], confidence: float
) -> PrivacyView | None:
    """The section of a suite that is called "privacy"; None for any other.

    Args:
        suite: its estimates, gates and what was not tested.
        observations: by (suite, probe); evidence of older runs has fewer facts and columns.
        confidence: of each bound.
    """
    if suite.name != "privacy":
        return None
    seen = {probe: found for (name, probe), found in observations.items() if name == suite.name}
    figures = [
        exposure_figure(suite, seen.get("exposure"), confidence),
        copies_figure(suite),
        roc_figure(suite, seen.get("membership"), confidence),
        prefix_figure(suite),
    ]
    rows, ticks = _epsilon(suite)
    leaks, more = leaks_of(seen)
    return PrivacyView(
        findings=findings_of(suite, confidence),
        canaries=_canaries(suite, seen),
        figures=[figure for figure in figures if figure],
        epsilon=rows,
        epsilon_scale=ticks,
        leaks=leaks,
        leaks_left_out=more,
    )


def _canaries(suite: SuiteResult, seen: Mapping[str, Observations]) -> str:
    cases = {
        row.case.cluster or row.case.id: row.case.facts.get("inserted", row.case.facts.get("member"))
        for probe, found in seen.items()
        for row in found
        if "inserted" in row.case.facts or row.case.facts.get("kind") == "canary"
    }
    told = any(e.metric.startswith(("rate_extracted", "exposure_gap")) for e in suite.estimates)
    if not cases and not told:
        return ""
    inserted = sum(bool(inside) for inside in cases.values())
    count = (
        _("{inserted} of the {all} canaries of this audit", inserted=f"{inserted:,}", all=f"{len(cases):,}")
        if inserted
        else _("The canaries of this audit")
    )
    return _(
        "{count} were written into the training data and stay in the weights, also in those that are released: "
        "whoever holds the model can draw out what it remembers of them. They are invented, name nobody and come from "
        "ranges of numbers that belong to nobody. To release weights without them, train again without canaries; what "
        "was measured here is then known of this training only.",
        count=count,
    )


# Epsilon ------------------------------------------------------------------------------------------


def _epsilon(suite: SuiteResult) -> tuple[list[EpsilonRow], Markup]:
    shown = [e for name in _EPSILONS for e in suite.estimates if e.metric == name and not e.slice]
    shown = [e for e in shown if e.value is not None]
    if not shown:
        return [], Markup("")
    claim = next((e.claim for e in shown if e.claim is not None), None)
    axis = axis_of([0.0, *(x for e in shown for x in (e.value, e.ceiling)), claim], [claim])
    rows: list[EpsilonRow] = []

    def add(name: str, about: str, bar: Bar, word: str, refuted: bool = False) -> None:
        value = wording.number(bar.value, 2, percent=False)
        rows.append(EpsilonRow(name, about, strip(axis, [bar], at_most=claim), value, word, refuted))

    if claim is not None:
        bar = Bar(claim, None, None, "claim", _("claimed"))
        add(_("Claimed"), _("what the training record states"), bar, _("the claim"))
    for e in shown:
        invalid = e.note.startswith("invalid")
        refuted = claim is not None and e.low is not None and e.low > claim and not invalid
        style = "fail" if refuted else "plain"
        name = _(_EPSILONS[e.metric])
        title = _("{name}: at least {value}", name=name, value=f"{e.value:.3g}")
        word = _("invalid") if invalid else _word(e.metric, claim, refuted)
        add(name, retold(e.method), Bar(e.value, e.value, None, style, title), word, refuted)
        if e.ceiling is not None:
            could = claim is None or e.ceiling > claim
            title = _("could have shown {value}", value=f"{e.ceiling:.3g}")
            add(
                _("Most it could have shown"),
                _("by a perfect attack on {n} units", n=f"{e.n:,}"),
                Bar(e.ceiling, None, None, "ceiling", title),
                _("the ceiling") if could else _("below the claim: it could not have been refuted"),
            )
    return rows, scale(axis, "")


def _word(metric: str, claim: float | None, refuted: bool) -> str:
    if refuted:
        return _("refutes the claim, on that assumption") if "gaussian" in metric else _("refutes the claim")
    return _("claim not refuted") if claim is not None else _("no claim to refute")
