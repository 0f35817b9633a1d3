"""Figures with two axes as inline SVG: several series with their intervals, on linear, logarithmic or named positions.

    curves("Exposure by copies", "copies", "bits",
           [Series("inserted", ((0, 1.6, 0.9, 2.3), (1, 8.5, 7.1, 9.9)))], categories=("1", "16"), log_y=False)

As in `charts`, positions are per cent and sizes are pixels, so text keeps its size at any width; series are told apart
by dashes and marks as well as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shoplm_audit.rendering.charts import Axis, axis_of
from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import _

__all__ = ["LogAxis", "Series", "curves", "log_axis_of", "tick_of"]

_HEIGHT = 220  # pixels of the drawing, without its labels
_FEW = 16  # points of a series, or of its points with bounds, up to which each has a mark and whisker; else a band
_BARE = ("line", "limit")  # styles without marks
_TOLD = 12  # points of a series that a screen reader is told
_GRAIN = 0.2  # per cent of the width or height; what lies closer together cannot be seen apart
# Disc, square, diamond, triangle, ring (by CSS), bar: one for each series, again from the start after the sixth.
_MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "M-3.5 -3.5H3.5V3.5H-3.5Z",
    "M-5 0L0 -5L5 0L0 5Z",
    "M-4.5 3.5L0 -4.5L4.5 3.5Z",
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "M-5 -1.5H5V1.5H-5Z",
)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a figure.

    Attributes:
        name: what the key says.
        points: (x, value, low, high); a value of None breaks the line, a bound of None is open and not drawn.
        style: "" a line with its marks, "line" no marks, "points" no line, "limit" a line that should not be crossed.
    """

    name: str
    points: tuple[tuple[float, float | None, float | None, float | None], ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A logarithmic axis from `low` to `high` with its tick positions; what is not positive lies at its low end."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The position of a value in per cent of the width, held within the drawing."""
        if value <= self.low:
            return 0.0
        return round(min(100.0, 100 * math.log(value / self.low) / math.log(self.high / self.low)), 2)


def log_axis_of(values: Iterable[float | None]) -> LogAxis:
    """The smallest logarithmic axis with round ends (1, 2 or 5 times a power of ten) that holds the positive values."""
    known = [x for x in values if x is not None and 0 < x < math.inf] or [0.1, 1.0]
    low, high = min(known), max(known)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    steps = [digit * 10.0**k for k in range(first - 1, last + 2) for digit in (1, 2, 5)]
    start = max(i for i, x in enumerate(steps) if x <= low * (1 + 1e-9))
    end = min(i for i, x in enumerate(steps) if x >= high * (1 - 1e-9))
    start -= start == end
    ticks = steps[start : end + 1]
    if high / low > 99.9:
        every = math.ceil((last - first) / 6)
        ticks = [x for k in range(last, first - 1, -every) if steps[start] <= (x := 10.0**k) <= steps[end]][::-1]
    return LogAxis(steps[start], steps[end], tuple(float(f"{tick:.12g}") for tick in ticks))


def tick_of(value: float) -> str:
    """A tick's label: "0.01", "2,000", "10⁻⁵"."""
    if value and not 1e-4 < abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        digits = f"{value / 10.0**exponent:.3g}"
        power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
        return power if digits == "1" else f"{digits.replace('-', '−')}·{power}"
    return f"{value:,.6g}".replace("-", "−")


def curves(
    title: str,
    across: str,
    up: str,
    series: Sequence[Series],
    *,
    log_x: bool = False,
    log_y: bool = False,
    categories: Sequence[str] = (),
    reference: Sequence[tuple[float, float]] = (),
    caption: str = "",
) -> Markup:
    """A figure of several series on common axes; "" where no series has a point that can be drawn.

    Args:
        title: what the figure shows.
        across: what the axis across is, with its unit.
        up: what the axis up is, with its unit.
        series: what is drawn, in the order of the key.
        log_x: whether the axis across is logarithmic; values that are not positive are drawn at its low end.
        log_y: the same for the axis up.
        categories: names of the positions 0, 1, 2, ... of the axis across.
        reference: corners of a dotted line (chance, say); the caption tells what it is.
        caption: what has to be known to read the figure.
    """
    drawn = [kept for one in series if (kept := _finite(one)).points]
    if not any(point[1] is not None for one in drawn for point in one.points):
        return Markup("")
    points = [point for one in drawn for point in one.points]
    x_axis: Axis | LogAxis
    if categories:
        x_axis = Axis(-0.5, len(categories) - 0.5, tuple(float(i) for i in range(len(categories))))
    else:
        values = [p[0] for p in points] + [x for x, _ in reference]
        x_axis = log_axis_of(values) if log_x else axis_of(values, ticks=6)
    # A lower bound near zero would stretch a logarithmic axis by decades in which nothing lies.
    heights = [y for p in points for y in ((p[1], p[3]) if log_y else p[1:])] + [y for _, y in reference]
    y_axis = log_axis_of(heights) if log_y else axis_of(heights)
    body = Markup("").join(
        [
            *_frame(x_axis, y_axis, categories),
            _line(x_axis, y_axis, "reference", [(x, y) for x, y in reference]),
            *(_series(x_axis, y_axis, i, one) for i, one in enumerate(_beside(drawn) if categories else drawn)),
        ]
    )
    told = ". ".join(_told(one, categories) for one in drawn)
    return Markup(
        '<figure class="figure"><figcaption>{}</figcaption><div class="keys">{}</div><div class="plot">'
        '<div class="up-name" aria-hidden="true">{}</div>'
        '<svg role="img" height="{}"><title>{}</title><desc>{}</desc>{}</svg>'
        '<div class="across-name" aria-hidden="true">{}</div></div>{}</figure>'
    ).format(
        visible(title),
        Markup("").join(_key(i, one) for i, one in enumerate(drawn)),
        visible(up),
        _HEIGHT,
        visible(title),
        visible(_("Across: {across}; up: {up}. {told}.", across=across, up=up, told=told)),
        body,
        visible(across),
        Markup('<p class="aside">{}</p>').format(visible(caption)) if caption else "",
    )


def _finite(series: Series) -> Series:
    def known(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    points = tuple((x, known(y), known(low), known(high)) for x, y, low, high in series.points if math.isfinite(x))
    return Series(series.name, points, series.style)


def _beside(series: Sequence[Series]) -> list[Series]:
    """The series a little apart, so that whiskers over the same name do not lie on each other."""
    step = min(0.14, 0.6 / len(series))
    shifts = [(i - (len(series) - 1) / 2) * step for i in range(len(series))]
    return [
        Series(one.name, tuple((x + shift, y, low, high) for x, y, low, high in one.points), one.style)
        for one, shift in zip(series, shifts, strict=True)
    ]


def _told(series: Series, categories: Sequence[str]) -> str:
    points = [point for point in series.points if point[1] is not None]
    step = max(1, math.ceil(len(points) / _TOLD))
    said = []
    for x, value, low, high in [*points[:-1:step], *points[-1:]]:
        at = categories[int(x)] if categories and 0 <= int(x) < len(categories) else f"{x:.4g}"
        bounds = [(_("no bound") if bound is None else f"{bound:.4g}") for bound in (low, high)]
        interval = f" [{', '.join(bounds)}]" if (low, high) != (None, None) else ""
        said.append(f"{at}: {value:.4g}{interval}")
    return f"{series.name}, {'; '.join(said)}"


def _key(i: int, series: Series) -> Markup:
    line = Markup('<line x1="0" x2="30" y1="6" y2="6"/>') if series.style != "points" else ""
    mark = _mark(i, "15", "6") if len(series.points) <= _FEW and series.style not in _BARE else ""
    return Markup('<span class="key {}"><svg width="30" height="12" aria-hidden="true">{}{}</svg> {}</span>').format(
        _style(i, series), line, mark, visible(series.name)
    )


def _style(i: int, series: Series) -> str:
    return "bound" if series.style == "limit" else f"series-{i % len(_MARKS)}"


def _mark(i: int, x: str, y: str) -> Markup:
    return Markup('<svg x="{}" y="{}" overflow="visible"><path class="mark" d="{}"/></svg>').format(
        x, y, _MARKS[i % len(_MARKS)]
    )


def _frame(x_axis: Axis | LogAxis, y_axis: Axis | LogAxis, categories: Sequence[str]) -> list[Markup]:
    out = []
    for tick in y_axis.ticks:
        y = _down(y_axis, tick)
        out.append(Markup('<line class="grid" x1="0" x2="100%" y1="{}%" y2="{}%"/>').format(y, y))
        out.append(
            Markup('<text x="-8" y="{}%" dy="4" text-anchor="end" aria-hidden="true">{}</text>').format(
                y, tick_of(tick)
            )
        )
    last = len(x_axis.ticks) - 1
    for i, tick in enumerate(x_axis.ticks):
        x = x_axis.at(tick)
        if not categories:
            out.append(Markup('<line class="grid" x1="{}%" x2="{}%" y1="0" y2="100%"/>').format(x, x))
        anchor = "middle" if categories or x < 97 else "end"
        crowded = " odd" if last > 5 and i % 2 and i != last else ""
        out.append(
            Markup(
                '<text x="{}%" y="100%" dy="17" text-anchor="{}" class="tick{}" aria-hidden="true">{}</text>'
            ).format(x, anchor, crowded, visible(categories[i]) if categories else tick_of(tick))
        )
    return out


def _down(axis: Axis | LogAxis, value: float) -> float:
    return round(100 - axis.at(value), 2)


def _line(
    x_axis: Axis | LogAxis, y_axis: Axis | LogAxis, kind: str, points: Sequence[tuple[float, float]], shape: str = ""
) -> Markup:
    """A line, or with shape "polygon" an area, through points; "" through fewer than two."""
    corners: list[tuple[float, float]] = []
    for x, y in points:
        corner = (_grain(x_axis.at(x)), _grain(_down(y_axis, y)))
        for side in (0, 1):  # of three points on an upright or level line the middle one says nothing
            if len(corners) > 1 and corners[-2][side] == corners[-1][side] == corner[side]:
                corners.pop()
        if corners[-1:] != [corner]:
            corners.append(corner)
    if len(corners) < 2:
        return Markup("")
    path = " ".join(f"{x:g},{y:g}" for x, y in corners)
    return Markup(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'
        '<{} class="{}" points="{}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(Markup(shape or "polyline"), kind, path)


def _grain(position: float) -> float:
    return round(round(position / _GRAIN) * _GRAIN, 1)


def _series(x_axis: Axis | LogAxis, y_axis: Axis | LogAxis, i: int, series: Series) -> Markup:
    out = [Markup('<g class="{}">').format(_style(i, series))]
    runs: list[list[tuple[float, float, float | None, float | None]]] = [[]]
    for x, value, low, high in series.points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, value, low, high))
    few = len(series.points) <= _FEW
    bounded = [point for run in runs for point in run if point[2:] != (None, None)]
    for run in runs:
        if len(bounded) > _FEW:
            below = [(p[0], p[2]) for p in run if p[2] is not None]
            above = [(p[0], p[3]) for p in run if p[3] is not None]
            out.append(_line(x_axis, y_axis, "band", [*above, *reversed(below)] if below and above else [], "polygon"))
        if series.style != "points":
            out.append(_line(x_axis, y_axis, "course", [(p[0], p[1]) for p in run]))
        if few:
            out.extend(_point(x_axis, y_axis, i, point, series.style not in _BARE) for point in run)
    if not few and len(bounded) <= _FEW:
        out.extend(_point(x_axis, y_axis, i, point, True) for point in bounded)
    return Markup("").join([*out, Markup("</g>")])


def _point(
    x_axis: Axis | LogAxis,
    y_axis: Axis | LogAxis,
    i: int,
    point: tuple[float, float, float | None, float | None],
    marked: bool,
) -> Markup:
    x, value, low, high = point
    out = []
    at = f"{x_axis.at(x)}%"
    if (low, high) != (None, None):
        bounds = [_down(y_axis, value if bound is None else bound) for bound in (low, high)]
        out.append(
            Markup('<line class="whisker" x1="{}" x2="{}" y1="{}%" y2="{}%"/>').format(at, at, bounds[0], bounds[1])
        )
        out.extend(
            Markup('<svg x="{}" y="{}%" overflow="visible"><path class="end" d="M-4 0H4"/></svg>').format(
                at, _down(y_axis, bound)
            )
            for bound in (low, high)
            if bound is not None
        )
    if marked:
        out.append(_mark(i, at, f"{_down(y_axis, value)}%"))
    return Markup("").join(out)
