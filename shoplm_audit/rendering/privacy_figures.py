"""The figures of the privacy section: exposure and extraction by copies, who can be told, extraction by prefix length.

roc_figure(suite, observations, 0.95) -> Markup('<figure class="figure">...')   "" where there is nothing to draw
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from scipy import special

from shoplm_audit.metrics.reduce import unit_means
from shoplm_audit.rendering.curves import Series, curves
from shoplm_audit.rendering.speaking import _
from shoplm_audit.rendering.wording import attack, listed
from shoplm_audit.results import EstimateResult, SuiteResult
from shoplm_audit.scoring.attacks import lira_scores
from shoplm_audit.types import Floats, Observation, Observations
from shoplm_audit.uncertainty import clopper_pearson, threshold_at_fpr

__all__ = ["copies_figure", "exposure_figure", "prefix_figure", "roc_figure"]

Point: TypeAlias = tuple[float, float | None, float | None, float | None]  # x, value, low, high

# One score per attack, higher is a member; the first that is there was fixed beforehand to carry the exact bounds.
_ATTACKS = ("loss", "score", "zlib", "min_k", "min_k_plus_plus", "reference", "likelihood_ratio")
_RATES = (0.001, 0.01)  # false positives at which an attack is read off
_ENOUGH = 10  # outsiders for each that may be taken for a member: below, a rate so low rests on a handful
_CURVE = 60  # points of the claim's line


# Exposure -----------------------------------------------------------------------------------------


def exposure_figure(suite: SuiteResult, seen: Observations | None, confidence: float) -> Markup:
    """Mean exposure by copies in the training data, beside canaries left out and the law they follow by chance."""
    rows = [row for row in seen or () if row.status == "scored" and isinstance(row.values.get("exposure"), int | float)]
    rows = [row for row in rows if "inserted" in row.case.facts]
    inside = [row for row in rows if row.case.facts["inserted"]]
    outside = [row for row in rows if not row.case.facts["inserted"]]
    if not inside:
        return _exposure_of_estimates(suite)
    copies = sorted({int(row.case.facts.get("copies", 1)) for row in inside})
    names = [str(count) for count in copies] + ([_("left out")] if outside else [])
    groups = [[row for row in inside if int(row.case.facts.get("copies", 1)) == count] for count in copies]
    series = [Series(_("inserted"), tuple(_mean_at(i, group, confidence) for i, group in enumerate(groups)))]
    if outside:
        series.append(Series(_("left out by the coin"), (_mean_at(len(copies), outside, confidence),), "points"))
    null = float(np.mean([_null_exposure(row) for row in rows]))
    most = _(" or ").join(f"{math.log2(count):.3g}" for count in sorted({_candidates(row) for row in rows})[:3])
    sizes = zip(names, [*groups, outside], strict=False)
    numbers = listed(_("{name}: {n}", name=name, n=len(group)) for name, group in sizes)
    return curves(
        _("Exposure of invented secrets, by how often they stood in the training data"),
        _("copies in the training data"),
        _("mean exposure in bits"),
        series,
        categories=names,
        reference=((-0.5, null), (len(names) - 0.5, null)),
        caption=_(
            "Exposure says how far a secret ranks before others of its form. The dotted line, {null} bits, is what a "
            "secret shows that no model ever saw; at most {most} bits can be shown, by the number of others it was "
            "ranked with. Canaries per position: {numbers}.",
            null=f"{null:.2f}",
            most=most,
            numbers=numbers,
        ),
    )


def _mean_at(position: int, rows: Sequence[Observation], confidence: float) -> Point:
    """The mean with Student's interval; canaries that are all alike, at the most that can be shown, have none."""
    values = np.array([float(row.values["exposure"] or 0.0) for row in rows])
    mean = float(values.mean())
    if values.size < 2 or not values.std():
        return position, mean, None, None
    half = float(special.stdtrit(values.size - 1, confidence)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return position, mean, mean - half, mean + half


def _candidates(row: Observation) -> int:
    known = row.values.get("candidates")
    if isinstance(known, int | float):
        return int(known)
    others = row.case.facts.get("others", row.case.facts.get("alternatives"))
    return 1 + len(others) if isinstance(others, list | tuple) and others else 1000


def _null_exposure(row: Observation) -> float:
    """The mean exposure of a secret whose rank among n is drawn evenly; log2 e = 1.44 bits for large n."""
    count = _candidates(row)
    return math.log2(count) - math.lgamma(count + 1) / math.log(2) / count


def _exposure_of_estimates(suite: SuiteResult) -> Markup:
    for metric, name in (
        ("mean_exposure", "inserted"),
        ("mean_exposure_extrapolated", "inserted, extrapolated"),
        ("exposure_gap", "inserted minus left out"),
    ):
        names, points = _by_copies(suite, metric)
        if points:
            return curves(
                _("Exposure of invented secrets, by how often they stood in the training data"),
                _("copies in the training data"),
                _("bits"),
                [Series(_(name), points)],
                categories=names,
            )
    return Markup("")


def _by_copies(suite: SuiteResult, metric: str, copies: Sequence[str] = ()) -> tuple[list[str], tuple[Point, ...]]:
    found = {e.slice["copies"]: e for e in suite.estimates if e.metric == metric and set(e.slice) == {"copies"}}
    names = sorted({*found, *copies}, key=lambda name: (len(name), name))
    return names, tuple((i, e.value, e.low, e.high) for i, name in enumerate(names) if (e := found.get(name)))


# Extraction ---------------------------------------------------------------------------------------


def _percent(point: Point) -> Point:
    value, low, high = (None if x is None else 100 * x for x in point[1:])
    return point[0], value, low, high


def copies_figure(suite: SuiteResult) -> Markup:
    """The rate of canaries that are completed, by copies in the training data."""
    metrics = {"rate_extracted": "greedy", "rate_extracted_by_beam": "beam"}
    copies = sorted({name for metric in metrics for name in _by_copies(suite, metric)[0]})
    series, names = [], list[str]()
    for metric, name in metrics.items():
        names, points = _by_copies(suite, metric, copies)
        if points:
            series.append(Series(_(name), tuple(map(_percent, points))))
    return curves(
        _("Invented secrets that the model completes, by how often they stood in the training data"),
        _("copies in the training data"),
        _("per cent of the canaries"),
        series,
        categories=names,
        caption=_("The model was given what stood before the secret. Whiskers are exact bounds."),
    )


_RECALLED = re.compile(r"(excess|rate)_recalled_(\d+)_after_(\d+)(_left_out)?")


def prefix_figure(suite: SuiteResult) -> Markup:
    """The rate of records continued word for word, by tokens given; a line per number of tokens that came back."""
    found: dict[tuple[str, int, bool], dict[int, EstimateResult]] = {}
    for estimate in suite.estimates:
        if (match := _RECALLED.fullmatch(estimate.metric)) and not estimate.slice:
            kind, suffix, prefix, out = match.groups()
            found.setdefault((kind, int(suffix), bool(out)), {})[int(prefix)] = estimate
    kind = "rate" if any(kind == "rate" for kind, *_ in found) else "excess"
    shown = {key: row for key, row in sorted(found.items()) if key[0] == kind}
    prefixes = sorted({prefix for row in shown.values() for prefix in row})
    words = {
        "rate": ("next {suffix} tokens, trained on", "next {suffix} tokens, left out"),
        "excess": ("next {suffix} tokens, more than left out", "next {suffix} tokens"),
    }[kind]
    return curves(
        _("Text that the model continues word for word, by how much of it was given"),
        _("tokens given"),
        _("per cent of records") if kind == "rate" else _("percentage points"),
        [
            Series(
                _(words[out], suffix=suffix),
                tuple(
                    _percent((i, row[prefix].value, row[prefix].low, row[prefix].high))
                    for i, prefix in enumerate(prefixes)
                    if prefix in row
                ),
            )
            for (_kind, suffix, out), row in shown.items()
        ],
        categories=[str(prefix) for prefix in prefixes],
        caption=_(
            "Only records long enough count. What is given back of records that were left out can be guessed without "
            "having been trained on: only the difference is memory."
        ),
    )


# Membership ---------------------------------------------------------------------------------------


def roc_figure(suite: SuiteResult, seen: Observations | None, confidence: float) -> Markup:
    """True against false positives of every attack on logarithmic axes, with what the claimed epsilon allows."""
    units = [row for row in seen or () if row.case.facts.get("kind", "unit") == "unit" and "member" in row.case.facts]
    if not units:
        return Markup("")
    observations = Observations(tuple(units))
    series: list[Series] = []
    first: tuple[Point, ...] = ()
    counts = (0, 0)
    for column in _ATTACKS:
        scores, labels = _unit_scores(observations, column)
        inside, outside = scores[labels], scores[~labels]
        if not inside.size or not outside.size:
            continue
        exact = () if series else _at_rates(inside, outside, confidence)
        # The bounds stand where their rate is reached: in the stair, which goes along before it goes up.
        points = sorted([*_curve(inside, outside), *exact], key=lambda point: point[0])
        series.append(Series(attack(column), tuple(points), "line"))
        if not counts[0]:
            first, counts = exact, (inside.size, outside.size)
    if not series:
        return Markup("")
    smallest = 1 / max(2, *counts)
    claim, delta = _claim(suite, units)
    if claim is not None:
        rates = np.geomspace(smallest, 1.0, _CURVE)
        most = np.minimum(1.0, np.exp(min(claim, 700.0)) * rates + delta)
        bound = tuple((float(x), float(y), None, None) for x, y in zip(rates, most, strict=True))
        series.append(Series(_("most that epsilon {claim} allows", claim=f"{claim:g}"), bound, "limit"))
    if first:
        reached = _(" and ").join(f"{100 * rate:g} %" for rate in _RATES if counts[1] >= _ENOUGH / rate)
        how = _(
            " Marks with whiskers: exact bounds of the first attack, fixed beforehand, at {reached} expected.",
            reached=reached,
        )
    else:
        how = _(
            " {outside} left out are too few to read off an interval at 1 % false positives or below.",
            outside=f"{counts[1]:,}",
        )
    return curves(
        _("Whose records were trained on: true against false positives"),
        _("false positives: left out, yet taken for trained on"),
        _("true positives: trained on and told"),
        series,
        log_x=True,
        log_y=True,
        reference=((smallest, smallest), (1.0, 1.0)),
        caption=_(
            "{inside} units trained on, {outside} left out. The dotted line is chance; an attack matters as far as it "
            "lies above it on the left, where few are accused wrongly.{how}",
            inside=f"{counts[0]:,}",
            outside=f"{counts[1]:,}",
            how=how,
        ),
    )


def _unit_scores(observations: Observations, column: str) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean score of each unit and whether it is a member; units without a score are left out."""
    numbers = _likelihood_ratios(observations) if column == "likelihood_ratio" else observations.numbers(column)
    means, at = unit_means(numbers, observations.clusters)
    labels = np.array([bool(observations.rows[int(i)].case.facts["member"]) for i in at], dtype=np.bool_)
    known = np.isfinite(means)
    return means[known], labels[known]


def _likelihood_ratios(observations: Observations) -> Floats:
    """LiRA from the scores of the shadows, where there were some; nan for a record that no shadow read."""

    def shadows(side: str) -> list[list[float]]:
        return [json.loads(text) if text else [] for text in observations.texts(f"shadows_{side}")]

    insides, outsides = shadows("inside"), shadows("outside")
    if not any([*insides, *outsides]):
        return np.full(len(observations), math.nan)
    return lira_scores(observations.numbers("loss"), insides, outsides)[0]


def _curve(inside: Floats, outside: Floats) -> tuple[Point, ...]:
    """(FPR, TPR) at every threshold; units with equal scores are taken or left together."""
    cuts = np.unique(np.concatenate([inside, outside]))[::-1]
    true = np.searchsorted(np.sort(-inside), -cuts, side="right") / inside.size
    false = np.searchsorted(np.sort(-outside), -cuts, side="right") / outside.size
    # On a logarithmic axis the way from one threshold to the next is a stair, the false positives first.
    points: list[Point] = []
    before = 0.0
    for x, y in zip(false.tolist(), true.tolist(), strict=True):
        points += [(x, before or None, None, None), (x, y or None, None, None)]
        before = y
    return tuple(point for point in points if point[1] is not None)


def _at_rates(inside: Floats, outside: Floats, confidence: float) -> tuple[Point, ...]:
    points = []
    for rate in _RATES:
        if outside.size >= _ENOUGH / rate:
            threshold = threshold_at_fpr(outside, rate)
            hits, false = int((inside > threshold).sum()), float((outside > threshold).mean())
            points.append((false, hits / inside.size, *clopper_pearson(hits, inside.size, confidence)))
    return tuple(points)


def _claim(suite: SuiteResult, rows: Sequence[Observation]) -> tuple[float | None, float]:
    claims = [e.claim for e in suite.estimates if e.metric.startswith("epsilon") and e.claim is not None]
    facts = rows[0].case.facts if rows else {}
    known = facts.get("epsilon")
    claim = float(known) if isinstance(known, int | float) else next(iter(claims), None)
    return claim, float(facts.get("delta") or 0.0)
