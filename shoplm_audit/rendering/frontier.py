"""The page of a frontier: utility, fairness, detectability and leakage against epsilon, then every number in a table.

render_frontier(frontier) -> "<!doctype html>..."     like a report: one file, no network, no time stamps
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from shoplm_audit.frontier import Frontier, Number, Point
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.curves import Series, curves
from shoplm_audit.rendering.html import _page
from shoplm_audit.rendering.masking import mask

__all__ = ["render_frontier"]

# Which suites a panel is drawn from; a suite that stands in none has one of its own.
_PANELS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Utility": ("What is the model still good for?", ("task_quality", "faithfulness")),
    "Fairness": ("Does it treat customers differently by name?", ("bias",)),
    "Detectability": ("Can what it writes be told from what people wrote?", ("fake_reviews",)),
    "Leakage": ("What does it give away of those it learned from?", ("privacy",)),
}
# Drawn beside the metrics that a gate judges; the table holds all.
_ALSO_DRAWN = ("perplexity", "auroc")
# Metrics that are read together, on one pair of axes.
_TOGETHER = ("auroc", "epsilon", "macro_f1")
_UNITS = {"auroc": "AUROC", "epsilon": "epsilon", "macro_f1": "F1", "exposure": "bits", "perplexity": "perplexity"}
_UNITS |= {"chrf": "chrF", "bleu": "BLEU", "contrast": "difference"}
_LINES = 3  # of one figure; with their intervals, more cannot be told apart


@dataclass(frozen=True, slots=True)
class Row:
    """One metric across the points; None where a point has no such number."""

    metric: str
    slice: Mapping[str, str]
    limit: str
    cells: list[Cell | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as the table tells it; a metric without a gate has no verdict."""

    verdict: str
    said: wording.Said | None
    note: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn and listed under one heading."""

    name: str
    question: str
    figures: list[Markup]
    tables: list[tuple[str, list[Row]]]


def render_frontier(frontier: Frontier, *, banner: str = "") -> str:
    """The page as one HTML file; reports are linked relative to the frontier's folder.

    Args:
        frontier: what was trained and found.
        banner: what stands at its head ("synthetic world").
    """
    results = [frontier.results[point.name] for point in frontier.points]
    return _page(
        "frontier.html.j2",
        banner=banner,
        points=[(point, _called(point), result) for point, result in zip(frontier.points, results, strict=True)],
        panels=list(_panels(frontier)),
        training=_training(frontier),
        confidence=results[0].confidence,
        notes=frontier.notes,
    )


def _called(point: Point) -> str:
    return "none (plain)" if point.epsilon is None else f"{point.epsilon:g}"


def _training(frontier: Frontier) -> dict[str, Any]:
    """What all points have in common, as the training record of the first tells it."""
    records = [frontier.results[point.name].model.training or {} for point in frontier.points]
    private = [record["privacy"] for record in records if record.get("privacy")]
    settings = records[0].get("settings", {})
    return {
        "unit": settings.get("unit", "record"),
        "steps": settings.get("steps", 0),
        "batch": settings.get("batch", 0),
        "seed": settings.get("seed", 0),
        "delta": private[0]["delta"] if private else None,
    }


def _panels(frontier: Frontier) -> Iterator[Panel]:
    found: dict[str, dict[tuple[str, str], list[Number]]] = {}
    for one in frontier.numbers:
        found.setdefault(one.suite, {}).setdefault((one.metric, wording.slice_of(one.slice)), []).append(one)
    named = {suite for _, suites in _PANELS.values() for suite in suites}
    questions = {suite.name: suite.question for result in frontier.results.values() for suite in result.suites}
    own = {wording.label(suite): (questions[suite], (suite,)) for suite in found if suite not in named}
    for name, (question, suites) in {**_PANELS, **own}.items():
        present = [suite for suite in suites if suite in found]
        if present:
            figures = [drawn for suite in present for drawn in _figures(found[suite], frontier)]
            rows = [(suite, [_row(numbers, frontier.points) for numbers in found[suite].values()]) for suite in present]
            yield Panel(name, question, figures, rows)


# Figures ------------------------------------------------------------------------------------------


def _figures(metrics: Mapping[tuple[str, str], Sequence[Number]], frontier: Frontier) -> Iterator[Markup]:
    groups: dict[str, list[Sequence[Number]]] = {}
    for (metric, _), numbers in metrics.items():
        if any(one.gate for one in numbers) or metric.startswith(_ALSO_DRAWN):
            together = next((start for start in _TOGETHER if metric.startswith(start)), metric)
            groups.setdefault(together, []).append(numbers)
    for name, lines in groups.items():
        # Those that a gate judges come first, then the blind baseline: an attack means nothing without it.
        lines = sorted(lines, key=lambda own: (not any(one.gate for one in own), "blind" not in own[0].metric))
        if figure := _figure(name, lines, frontier):
            yield figure


def _figure(name: str, lines: Sequence[Sequence[Number]], frontier: Frontier) -> Markup:
    names = [point.name for point in frontier.points]
    first = lines[0][0].metric
    factor = 100.0 if wording.in_percent(first) else 1.0
    series = [_series(numbers, names, factor) for numbers in lines[:_LINES]]
    reference, dashed = _reference(lines, names, factor)
    unit = next((words for start, words in _UNITS.items() if start in first), "per cent" if factor > 1 else "value")
    left = f"{len(lines) - _LINES} more are in the table." if len(lines) > _LINES else ""
    return curves(
        wording.label(first if len(lines) == 1 else name),
        "epsilon",
        unit,
        series,
        categories=["none" if point.epsilon is None else f"{point.epsilon:g}" for point in frontier.points],
        reference=reference,
        caption=" ".join(words for words in (dashed, _better(lines), left) if words),
    )


def _series(numbers: Sequence[Number], names: Sequence[str], factor: float) -> Series:
    """A metric over the points; undefined and invalid numbers break the line."""

    def drawn(value: float | None) -> float | None:
        return None if value is None else value * factor

    points: list[tuple[float, float | None, float | None, float | None]] = []
    for one in numbers:
        at, known = float(names.index(one.point.name)), one.estimate
        if known is None or known.note.startswith("invalid"):
            points.append((at, None, None, None))
        else:
            points.append((at, drawn(known.value), drawn(known.low), drawn(known.high)))
    return Series(_named(numbers), tuple(points))


def _named(numbers: Sequence[Number]) -> str:
    inside = wording.slice_of(numbers[0].slice)
    return mask(wording.label(numbers[0].metric) + (f", {inside}" if inside else ""))


def _reference(
    lines: Sequence[Sequence[Number]], names: Sequence[str], factor: float
) -> tuple[list[tuple[float, float]], str]:
    """The corners of what the curves are held against, and what it is: each point's claim, or the gates' limit."""
    gates = [one.gate for numbers in lines for one in numbers if one.gate is not None]
    claimed = [
        (names.index(one.point.name), one.estimate.claim)
        for one in lines[0]
        if one.estimate is not None and one.estimate.claim is not None
    ]
    if claimed:
        return [(at + side, claim) for at, claim in claimed for side in (-0.5, 0.5)], "Dashed: what was claimed."
    if not gates or gates[0].burden == "refutation":
        return [], ""
    limits = [x * factor for x in (gates[0].at_least, gates[0].at_most) if x is not None]
    # Of several lines the limit of the first is drawn, by name where it is not that of all.
    judged = [next((one.gate for one in numbers if one.gate), None) for numbers in lines]
    shared = len({gate and (gate.at_least, gate.at_most) for gate in judged}) == 1
    whose = "" if shared else f" for {_named(lines[0])}"
    left, right = -0.5, len(names) - 0.5
    # One level line, or two that are joined at the far edge.
    corners = [(x, y) for y, ends in zip(limits, ((left, right), (right, left)), strict=False) for x in ends]
    return corners, f"Dashed: the gate's limit{whose}, {wording.limit_of(gates[0])}."


def _better(lines: Sequence[Sequence[Number]]) -> str:
    ways = {one.estimate.better for numbers in lines for one in numbers if one.estimate is not None}
    words = {"higher": "Higher is better.", "lower": "Lower is better.", "zero": "Zero is no difference."}
    return words[ways.pop()] if len(ways) == 1 else ""


# Table --------------------------------------------------------------------------------------------


def _row(numbers: Sequence[Number], points: Sequence[Point]) -> Row:
    known = {one.point.name: one for one in numbers}
    limits = {wording.limit_of(one.gate) for one in numbers if one.gate is not None}
    return Row(
        numbers[0].metric,
        numbers[0].slice,
        # The claim differs from point to point, and stands in the head of each.
        limits.pop() if len(limits) == 1 else "at most the claim" if limits else "",
        [_cell(known[point.name]) if point.name in known else None for point in points],
    )


def _cell(one: Number) -> Cell:
    estimate, verdict = one.estimate, str(one.gate.verdict) if one.gate else ""
    if estimate is None:
        return Cell(verdict, None, one.gate.why if one.gate else "")
    note = estimate.note if estimate.note.startswith("invalid") else ""  # each report tells the others
    return Cell(verdict, wording.said(estimate.value, estimate.low, estimate.high, one.metric), note)
