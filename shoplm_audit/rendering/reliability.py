"""Reliability diagrams: how often a classifier is right, by how sure it says it is.

reliability_of({"sentiment": rows})[0] -> Markup("<figure ...>")     rows with the columns `confidence` and `correct`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from shoplm_audit import uncertainty
from shoplm_audit.rendering.curves import Series, curves
from shoplm_audit.rendering.speaking import _
from shoplm_audit.rendering.wording import label
from shoplm_audit.types import Observation, Observations

__all__ = ["reliability_of"]

_BINS = 10
_FEWEST = 5  # cases of a bin that is drawn


def reliability_of(rows: Mapping[str, Sequence[Observation]]) -> list[Markup]:
    """A diagram for each probe that says how sure the model was and whether it was right."""
    drawn = (_diagram(probe, Observations(tuple(_told(seen)))) for probe, seen in rows.items())
    return [figure for figure in drawn if figure]


def _told(seen: Sequence[Observation]) -> list[Observation]:
    return [
        row
        for row in seen
        if row.status == "scored"
        and isinstance(row.values.get("correct"), bool)
        and isinstance(sure := row.values.get("confidence"), float)
        and 0 <= sure <= 1
    ]


def _diagram(probe: str, seen: Observations) -> Markup:
    if len(seen) < _FEWEST:
        return Markup()
    sure, right = seen.numbers("confidence"), seen.numbers("correct")
    bins = np.clip(np.ceil(sure * _BINS) - 1, 0, _BINS - 1).astype(int)
    points = []
    for k in range(_BINS):
        inside = bins == k
        if inside.sum() >= _FEWEST:
            bounds = uncertainty.rate_interval(right[inside], seen.clusters[inside])
            points.append((float(sure[inside].mean()), float(right[inside].mean()), bounds.low, bounds.high))
    return curves(
        _("Reliability: {probe}", probe=label(probe)),
        _("How sure the model says it is"),
        _("Share that is right"),
        [Series(_("in ten steps of confidence"), tuple(points), "points")],
        reference=((0.0, 0.0), (1.0, 1.0)),
        caption=_(
            "On the dotted line the model is right as often as it says. Steps with fewer than five cases are left out."
        ),
    )
