"""Drawings as inline SVG that keeps its text size at any width: positions are per cent, sizes are pixels.

axis = axis_of([0.05, 0.17, 0.03])      # Axis(low=0.0, high=0.2, ticks=(0.0, 0.05, 0.1, 0.15, 0.2))
strip(axis, [Bar(0.1, 0.05, 0.17, "fail", "Rate contradicted: 10 % [5 %, 17 %]")], at_most=0.03)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import _
from shoplm_audit.rendering.wording import limit

__all__ = ["Axis", "Bar", "axis_of", "curves_by_step", "scale", "strip"]

_ROW = 22  # pixels per interval
# A verdict can be told by the shape of its mark, without its colour: a disc, a diamond, a ring (by CSS), a square.
_DISC = "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z"
_MARKS = {"pass": _DISC, "undecided": _DISC, "fail": "M-6 0L0 -6L6 0L0 6Z", "plain": "M-3.5 -3.5H3.5V3.5H-3.5Z"}
_POINTS = 240  # of a curve; more cannot be seen
_LARGEST = 1e12  # of a number in a curve; axes of larger ones lose their digits


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from `low` to `high` with its tick positions."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The position of a value in per cent of the width, held within the drawing."""
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 2)


@dataclass(frozen=True, slots=True)
class Bar:
    """One interval to draw; `style` is a verdict (its colour and shape) or "plain"; None is not drawn."""

    value: float | None
    low: float | None
    high: float | None
    style: str
    title: str


def axis_of(values: Iterable[float | None], limits: Iterable[float | None] = (), ticks: int = 4) -> Axis:
    """The smallest axis with round ends that holds all values and limits, and something of what lies beyond a limit."""
    bounds = [x for x in limits if x is not None and math.isfinite(x)]
    known = [x for x in values if x is not None and math.isfinite(x)] + bounds or [0.0, 1.0]
    low, high = min(known), max(known)
    if low > 0 and low < 0.6 * high:
        low = 0.0
    if high <= low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    rough = (high - low) / ticks
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    first -= any(x > 0 and math.isclose(x, first * step) for x in bounds)
    last += any(x != 1 and math.isclose(x, last * step) for x in bounds)
    marks = tuple(round(k * step, 12) for k in range(first, last + 1))
    return Axis(marks[0], marks[-1], marks)


def scale(axis: Axis, metric: str) -> Markup:
    """The tick labels of an axis."""
    last = len(axis.ticks) - 1
    out = [Markup('<svg class="scale" aria-hidden="true" height="16">')]
    for i, tick in enumerate(axis.ticks):
        anchor = "start" if i == 0 else "end" if i == last else "middle"
        # Between the first and the last, every other label goes where the drawing is narrow.
        kind = "odd" if i % 2 and i != last else "even"
        out.append(
            Markup('<text x="{}%" y="12" text-anchor="{}" class="{}">{}</text>').format(
                axis.at(tick), anchor, kind, limit(tick, metric)
            )
        )
    return Markup("").join([*out, Markup("</svg>")])


def strip(axis: Axis, bars: Sequence[Bar], at_least: float | None = None, at_most: float | None = None) -> Markup:
    """Intervals on an axis, one below the other, with the limits as dashed lines and what lies beyond them shaded."""
    height = _ROW * len(bars)
    title = "; ".join(bar.title for bar in bars)
    out = [Markup('<svg class="strip" role="img" height="{}"><title>{}</title>').format(height, title)]
    for start, end in ((None, at_least), (at_most, None)):
        if (start, end) != (None, None):
            left = axis.at(start) if start is not None else 0.0
            right = axis.at(end) if end is not None else 100.0
            out.append(
                Markup('<rect class="beyond" x="{}%" width="{}%" y="0" height="{}"/>').format(
                    left, round(right - left, 2), height
                )
            )
    for tick in axis.ticks:
        zero = " zero" if tick == 0 and axis.low < 0 else ""
        out.append(_line(f"grid{zero}", axis.at(tick), axis.at(tick), 0, height))
    bounds = [axis.at(bound) for bound in (at_least, at_most) if bound is not None]
    out.extend(_line("limit", x, x, 0, height) for x in bounds)
    for i, bar in enumerate(bars):
        out.extend(_interval(axis, bar, i * _ROW + _ROW // 2))
    return Markup("").join([*out, Markup("</svg>")])


def _line(kind: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(kind, x1, x2, y1, y2)


def _interval(axis: Axis, bar: Bar, y: int) -> list[Markup]:
    out = [Markup('<g class="bar {}">').format(bar.style)]
    if bar.low is not None or bar.high is not None:
        left = axis.low if bar.low is None else bar.low
        right = axis.high if bar.high is None else bar.high
        out.append(_line("whisker", axis.at(left), axis.at(right), y, y))
        out.extend(_line("end", axis.at(x), axis.at(x), y - 4, y + 4) for x in (bar.low, bar.high) if x is not None)
    if bar.value is not None:
        mark = _MARKS.get(bar.style, _MARKS["plain"])
        out.append(
            Markup('<svg x="{}%" y="{}" overflow="visible"><path class="mark" d="{}"/></svg>').format(
                axis.at(bar.value), y, mark
            )
        )
    return [*out, Markup("</g>")]


def curves_by_step(title: str, curves: Mapping[str, Sequence[Any]]) -> Markup:
    """Curves of (step, value) points on common axes, told apart by their dashes too; "" where none can be drawn.

    A curve needs two points with finite numbers; points that are none are passed over.

    Args:
        title: of the figure ("Loss in nats by step").
        curves: name to points.
    """
    drawn = {name: _thinned(points) for name, points in curves.items()}
    drawn = {name: points for name, points in drawn.items() if len(points) > 1}
    if not drawn:
        return Markup("")
    across = axis_of([x for points in drawn.values() for x, _ in points])
    up = axis_of([y for points in drawn.values() for _, y in points], ticks=3)
    told = "; ".join(
        _(
            "{name}: from {first} at step {start} to {last} at step {end}",
            name=name,
            first=f"{points[0][1]:.4g}",
            start=f"{points[0][0]:g}",
            last=f"{points[-1][1]:.4g}",
            end=f"{points[-1][0]:g}",
        )
        for name, points in drawn.items()
    )
    names = Markup(" ").join(
        Markup('<span class="key"><svg width="26" height="10" aria-hidden="true">{}</svg> {}</span>').format(
            Markup('<line class="course-{}" x1="0" x2="26" y1="5" y2="5"/>').format(i), visible(name)
        )
        for i, name in enumerate(drawn)
    )
    out = [
        Markup("<figure><figcaption>{} {}</figcaption>").format(title, names),
        Markup('<div class="curve"><svg role="img" height="150"><title>{}</title><desc>{}</desc>').format(
            title, visible(told)
        ),
    ]
    for tick in up.ticks:
        y = round(100 - up.at(tick), 2)
        out.append(Markup('<line class="grid" x1="0%" x2="100%" y1="{}%" y2="{}%"/>').format(y, y))
    out.append(Markup('<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'))
    for i, points in enumerate(drawn.values()):
        path = " ".join(f"{across.at(x):g},{round(100 - up.at(y), 2):g}" for x, y in points)
        out.append(
            Markup('<polyline class="course-{}" points="{}" vector-effect="non-scaling-stroke"/>').format(i, path)
        )
    out.append(Markup('</svg></svg><div class="up" aria-hidden="true">'))
    out.extend(Markup('<span data-at="{}">{:g}</span>').format(round(up.at(t)), t) for t in reversed(up.ticks))
    return Markup("").join([*out, Markup("</div>"), scale(across, ""), Markup("</div></figure>")])


def _thinned(points: Sequence[Any]) -> list[tuple[float, float]]:
    finite = [
        (float(point[0]), float(point[1]))
        for point in points
        if isinstance(point, list | tuple)
        and len(point) == 2
        and all(isinstance(x, int | float) and math.isfinite(x) and abs(x) < _LARGEST for x in point)
    ]
    every = max(1, math.ceil(len(finite) / _POINTS))
    return [*finite[:-1:every], *finite[-1:]]
