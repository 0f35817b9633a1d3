"""The bias section of a report: every contrast on one axis of margins, how far it can be trusted, why it failed.

    differences_view(suite) -> DifferencesView(contrasts=[...], checks=[...], explanations=[...], published=[...])

What was not measured is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shoplm_audit.rendering import wording
from shoplm_audit.rendering.charts import Axis, Bar, axis_of, strip
from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.results import EstimateResult, ExplanationResult, GateResult, SuiteResult

__all__ = ["Checked", "Contrast", "DifferencesView", "Explained", "differences_view"]

_FOUND = 0.8  # of planted differences; where fewer are found, the comparison sees too little
_MARGINS = Axis(-2.0, 2.0, (-2.0, -1.0, 0.0, 1.0, 2.0))


@dataclass(frozen=True, slots=True)
class Contrast:
    """One judged difference: drawn in multiples of its margin, told in its own unit."""

    name: str
    where: str
    strip: Markup
    said: wording.Said
    limit: str
    verdict: str
    p: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What one contrast was tried with, in words; `alarming` where it went wrong or a planted difference was missed."""

    name: str
    units: int
    smallest: str
    alarms: str
    recovered: str
    alarming: bool


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one contrast failed: the twins, and the parts with a drawing and a number each."""

    gate: str
    said: str
    words: tuple[tuple[str, Markup, str], ...]
    lines: tuple[tuple[str, Markup, str], ...]
    edit: str
    not_shown: str


@dataclass(frozen=True, slots=True)
class DifferencesView:
    """The bias section of a report.

    Attributes:
        contrasts: the judged differences.
        scale: the ticks of their common axis.
        checks: what each contrast was tried with: other halves of one group, a planted difference.
        explanations: of the failed contrasts.
        family: how many tests were declared together, in words; "" where none was.
    """

    contrasts: list[Contrast]
    scale: Markup
    checks: list[Checked]
    explanations: list[Explained]
    family: str


def differences_view(suite: SuiteResult) -> DifferencesView | None:
    """The section of a suite whose gates are contrasts with a margin on both sides; None for any other."""
    judged = [(gate, wording.estimate_of(suite, gate)) for gate in suite.gates if _margin(gate)]
    drawn = [_contrast(gate, estimate) for gate, estimate in judged if estimate is not None]
    checks = [_checked(one) for one in suite.estimates if "smallest_detectable" in one.checks and _whole(one, suite)]
    if not drawn and not checks:
        return None
    families = [gate.family for gate in suite.gates if gate.family and gate.p_value is not None]
    return DifferencesView(
        contrasts=drawn,
        scale=_scale(),
        checks=checks,
        explanations=[_explained(one) for one in suite.explanations],
        family=wording.listed(
            _("{n} tests of the family “{name}”", n=families.count(name), name=name) for name in dict.fromkeys(families)
        ),
    )


def _margin(gate: GateResult) -> float:
    """The margin of a gate that holds a difference within as much on either side; 0 of any other."""
    low, high = gate.at_least, gate.at_most
    return high if low is not None and high is not None and high > 0 and math.isclose(low, -high) else 0.0


def _whole(estimate: EstimateResult, suite: SuiteResult) -> bool:
    """Whether it is of all cases, or is judged itself."""
    return not estimate.slice or any(wording.estimate_of(suite, gate) is estimate for gate in suite.gates)


def _contrast(gate: GateResult, estimate: EstimateResult) -> Contrast:
    margin = _margin(gate)
    shares = [None if x is None else x / margin for x in (estimate.value, estimate.low, estimate.high)]
    said = wording.said(estimate.value, estimate.low, estimate.high, gate.metric)
    verdict = str(gate.verdict)
    style = verdict if verdict in ("pass", "fail", "undecided") else "plain"
    name = wording.label(gate.metric)
    bar = Bar(shares[0], shares[1], shares[2], style, visible(_("{name}: {said}", name=name, said=said)))
    p = "" if gate.p_adjusted is None else f"{gate.p_adjusted:.2g}"
    return Contrast(
        name,
        wording.slice_of(gate.slice),
        strip(_MARGINS, [bar], -1.0, 1.0),
        said,
        wording.limit_of(gate),
        verdict,
        p,
    )


def _scale() -> Markup:
    names = (_("−2 margins"), "−1", "0", "+1", _("+2 margins"))
    out = [Markup('<svg class="scale" aria-hidden="true" height="16">')]
    for i, (tick, name) in enumerate(zip(_MARGINS.ticks, names, strict=True)):
        anchor = "start" if i == 0 else "end" if i == len(names) - 1 else "middle"
        out.append(
            Markup('<text x="{}%" y="12" text-anchor="{}" class="{}">{}</text>').format(
                _MARGINS.at(tick), anchor, "odd" if i % 2 else "even", name
            )
        )
    return Markup("").join([*out, Markup("</svg>")])


def _checked(estimate: EstimateResult) -> Checked:
    checks: Mapping[str, float | None] = estimate.checks

    def share(name: str) -> str:
        value = checks.get(name)
        return "" if value is None else f"{100 * value:.0f} %"

    smallest = checks.get("smallest_detectable")
    where = wording.slice_of(estimate.slice)
    name = wording.label(estimate.metric)
    return Checked(
        wording.listed((name, where)) if where else name,
        estimate.n,
        "" if smallest is None else wording.said(smallest, None, None, estimate.metric).value,
        share("aa_false_alarms"),
        share("recovered"),
        estimate.note.startswith("invalid") or (checks.get("recovered") or 0.0) < _FOUND,
    )


def _explained(one: ExplanationResult) -> Explained:
    said = ""
    if one.first is not None and one.second is not None:
        said = _(
            "{first} for {case}, {second} for {twin}",
            first=f"{one.first:.3g}",
            case=one.case,
            second=f"{one.second:.3g}",
            twin=one.twin,
        )
    edit, not_shown = _(" and ").join(one.edit), retold(one.not_shown)
    return Explained(one.gate, said, _parts(one.words), _parts(one.lines), edit, not_shown)


def _parts(parts: Sequence[tuple[str, float | None]]) -> tuple[tuple[str, Markup, str], ...]:
    known = [(text, value) for text, value in parts if value is not None]
    axis = axis_of([0.0, *(value for _, value in known)])
    drawn = []
    for text, value in sorted(known, key=lambda part: -abs(part[1])):
        bar = Bar(value, min(0.0, value), max(0.0, value), "plain", visible(f"{text}: {value:+.3g}"))
        drawn.append((text, strip(axis, [bar]), f"{value:+.3g}".replace("-", "−")))
    return tuple(drawn)
