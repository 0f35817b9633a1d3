"""Rates corrected for the error of the checker that found them: by injected errors, or by what people say.

    3.0 % of texts called contradicted by a checker of sensitivity 0.90 and specificity 0.99
    -> 3.3 %, from below Rogan and Gladen's 2.2 % to above 3.3 %

Rogan and Gladen (1978): pi = (p + sp - 1) / (se + sp - 1). The specificity is measured on texts of people, who err too:
what the checker says against these is a false alarm or a real error, and nobody knows which. So the lower bound is that
of Rogan and Gladen, for whom all are false; the value and the upper bound are those of p / se, for which all are real.
Prediction-powered inference (arXiv 2301.09633, with known
unequal probabilities of being labelled arXiv 2403.03208): pi = mean f + sum over the labelled of (y - f) / probability,
over N. The uncertainty of the checker's own error is in both intervals.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shoplm_audit import uncertainty
from shoplm_audit.types import Better, Estimate, Floats, Metric, Observations

__all__ = ["corrected_rate_of", "ppi"]

_FEWEST = 20  # cases, or labels, below which nothing is said of the checker's error, or only by exact bounds
_EVENTS = 10  # of a kind (findings, misses, false alarms, wrong findings) below which a bootstrap's tail is not there
_INFORMATIVE = 0.1 + 1e-9  # se + sp - 1 up to which the checker tells hardly more than a coin
_BLIND = 0.5  # of the errors of a kind, or in an attribute, of which a checker has to find as many to correct anything
_HITS, _CASES, _CAUGHT, _TRIED, _ALARMS, _CHECKED = range(6)


def _corrected(p: Floats, sensitivity: Floats, specificity: Floats) -> Floats:
    """Rogan and Gladen's rate, within [0, 1]; nan where the checker tells nothing."""
    tells = sensitivity + specificity - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tells > _INFORMATIVE, np.clip((p + specificity - 1) / tells, 0.0, 1.0), np.nan)


def _least(sums: Floats) -> Floats:
    """The rate where all alarms on references are false, of sums (B, 6)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p = sums[:, _HITS] / sums[:, _CASES]
        return _corrected(p, sums[:, _CAUGHT] / sums[:, _TRIED], 1 - sums[:, _ALARMS] / sums[:, _CHECKED])


def _most(sums: Floats) -> Floats:
    """The rate where all alarms on references are real errors, of sums (B, 6)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _corrected(sums[:, _HITS] / sums[:, _CASES], sums[:, _CAUGHT] / sums[:, _TRIED], np.ones(len(sums)))


@dataclass(frozen=True, slots=True)
class _Bounds:
    """One-sided bounds of a rate."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: Floats, clusters: NDArray[np.int64], confidence: float) -> _Bounds:
        found = uncertainty.rate_interval(hits, clusters, confidence)
        return cls(float(hits.mean()), found.low, found.high)

    @classmethod
    def of_shares(cls, shares: Floats, clusters: NDArray[np.int64], confidence: float) -> _Bounds:
        """Of a mean of numbers between 0 and 1, which varies no more than a rate does; a cluster is one case."""
        _, sizes = np.unique(clusters, return_counts=True)
        units = float(shares.size**2 / (sizes**2).sum())
        value = float(shares.mean())
        return cls(value, *uncertainty.clopper_pearson(value * units, units, confidence))


@dataclass(frozen=True, slots=True)
class _Group:
    """The errors of one kind, or in one attribute: in how many cases they were tried, and which share was found."""

    name: str
    cases: int
    caught: float


@dataclass(frozen=True, slots=True)
class _Rows:
    """The columns of one metric: what is summed (N, 6), the clusters (N,), and the group that is found least."""

    table: Floats
    clusters: NDArray[np.int64]
    weakest: _Group | None = None

    @property
    def lacking(self) -> str:
        """Why nothing can be corrected; "" where it can."""
        if not len(self.table) or np.isnan(self.table[:, _HITS]).any():
            return "undefined: a case has no value" if len(self.table) else "undefined: no cases"
        for column, what in ((_TRIED, "injected errors"), (_CHECKED, "references")):
            cases = np.unique(self.clusters[self.table[:, column] > 0]).size
            if cases < _FEWEST:
                return f"undefined: {what} on {cases} cases tell too little of the checker, {_FEWEST} are needed"
        if np.isnan(_least(self.table.sum(axis=0, keepdims=True))[0]):
            return f"undefined: sensitivity {self.sensitivity:.2f} and specificity {self.specificity:.2f} tell nothing"
        if self.weakest and self.weakest.caught < _BLIND:
            return f"undefined: of errors {self.weakest.name} the checker finds {self.weakest.caught:.2f} only"
        return ""

    @property
    def told(self) -> str:
        """What a reader has to know of the checker."""
        tried, checked = self.table[:, _TRIED].sum(), self.table[:, _CHECKED].sum()
        told = f"checker: sensitivity {self.sensitivity:.3f} on {tried:.0f} texts with errors put in place of their "
        told += f"own words, which was possible in {tried / checked:.0%} of the shop's texts"
        if self.weakest:
            told += f"; least of errors {self.weakest.name}: {self.weakest.caught:.2f} in {self.weakest.cases}"
        told += f"; alarms on the shop's own texts: {1 - self.specificity:.1%} of {checked:.0f}; they count as false "
        return told + "alarms in the lower bound and as real errors in the value and the upper bound"

    @property
    def sensitivity(self) -> float:
        return float(self.table[:, _CAUGHT].sum() / self.table[:, _TRIED].sum())

    @property
    def specificity(self) -> float:
        return float(1 - self.table[:, _ALARMS].sum() / self.table[:, _CHECKED].sum())

    @property
    def plenty(self) -> bool:
        """Whether there are enough events of each kind, in enough clusters, for a bootstrap of all columns."""
        hits, cases, caught, tried, alarms, checked = self.table.T
        kinds = (hits, cases - hits, tried - caught, caught, alarms, checked - alarms)
        return all(np.unique(self.clusters[kind > 0]).size >= _EVENTS for kind in kinds)

    def bounds(self, confidence: float) -> tuple[_Bounds, _Bounds, _Bounds]:
        """Exact bounds of the rate, the sensitivity and the specificity."""
        hits, _, caught, tried, alarms, checked = self.table.T
        is_tried, is_checked = tried > 0, checked > 0
        return (
            _Bounds.of(hits, self.clusters, confidence),
            _Bounds.of_shares(caught[is_tried], self.clusters[is_tried], confidence),
            _Bounds.of(1 - alarms[is_checked], self.clusters[is_checked], confidence),
        )

    def recovered(self, confidence: float) -> tuple[float, float]:
        """Bounds from the exact ones of all three: how far each alone moves the corrected rate, squared and added.

        Zou and Donner's recovery of variances (2008). The rate grows with p and the specificity and falls with the
        sensitivity.
        """
        p, se, sp = self.bounds(confidence)
        least = _raw(p.value, se.value, sp.value)
        down = (_raw(p.low, se.value, sp.value), _raw(p.value, se.high, sp.value), _raw(p.value, se.value, sp.low))
        up = (p.high / se.value, p.value / se.low if se.low > _INFORMATIVE else math.inf)
        low, high = (
            math.sqrt(sum((each - value) ** 2 for each in side))
            for value, side in ((least, down), (p.value / se.value, up))
        )
        # A bound at which the checker tells nothing bounds nothing.
        return max(0.0, min(1.0, least) - low), min(1.0, p.value / se.value + high)


def _raw(p: float, sensitivity: float, specificity: float) -> float:
    tells = sensitivity + specificity - 1
    return (p + specificity - 1) / tells if tells > _INFORMATIVE else math.inf


def _rows(observations: Observations, column: str, missing: float, caught: str, tries: str, alarmed: str) -> _Rows:
    hits, share, alarms = (
        observations.numbers(column, missing),
        observations.numbers(caught),
        observations.numbers(alarmed),
    )
    tried, checked = (~np.isnan(each) for each in (share, alarms))
    columns = [hits, np.ones(hits.size), np.nan_to_num(share), tried, np.nan_to_num(alarms), checked]
    return _Rows(np.column_stack(columns), observations.clusters, _weakest(observations, tries))


def _weakest(observations: Observations, column: str) -> _Group | None:
    """The kind of error, or the attribute, that the checker finds least often, of those tried in enough clusters."""
    found: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for told, cluster in zip(observations.texts(column), observations.clusters.tolist(), strict=True):
        for kind, attribute, caught in json.loads(told or "[]"):
            for name in (f'of the kind "{kind}"', f'in "{attribute}"' if attribute else ""):
                found[name][cluster].append(caught)
    groups = [
        _Group(name, len(cases), float(np.mean([np.mean(each) for each in cases.values()])))
        for name, cases in found.items()
        if name and len(cases) >= _FEWEST
    ]
    return min(groups, key=lambda group: (group.caught, group.name), default=None)


def corrected_rate_of(
    column: str, *, caught: str, alarmed: str, name: str, better: Better = "lower", tries: str = "tries"
) -> Metric:
    """The rate of a finding, corrected for how often the checker misses, and bounded for how often it cries wolf.

    Both are measured on the cases' own references: errors are injected into them, and they are read untouched. What the
    checker says against an untouched reference may be a false alarm or an error of the reference: the value and the
    upper bound correct for the sensitivity alone, the lower bound for the specificity too, so that the interval holds
    in both cases. All rates are resampled together by cluster; where findings, misses or alarms are fewer than 10, so
    that resamples lack the tail, exact bounds are combined instead.

    Args:
        column: whether the checker found something in the audited text; a case without a value counts against the
            model.
        caught: the share of the errors injected into this case's reference that the checker found, or None; cases
            count alike, however many errors each has.
        alarmed: whether it called the untouched reference wrong, or None where there is no reference.
        name: of the metric.
        better: which way is better.
        tries: JSON of the errors injected into this case's reference: [[kind, attribute, whether it was found], ...].

    Returns:
        The metric; undefined (nan, with the reason as its method) below 20 cases with injected errors or with
        references, where sensitivity + specificity <= 1.1, and where of one kind of error, or of the errors in one
        attribute, tried in 20 cases or more, the checker finds less than half. Its note tells all three.
    """
    missing = 1.0 if better == "lower" else 0.0
    signature = f"rogan_gladen_2|{column}|missing:{missing:g}|calibrated:{caught},{alarmed},{tries}|within:[0,1]"

    def rows(observations: Observations) -> _Rows:
        return _rows(observations, column, missing, caught, tries, alarmed)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = rows(observations)
        if why := found.lacking:
            return Estimate(math.nan, math.nan, math.nan, _units(found.clusters), why)
        value = float(_most(found.table.sum(axis=0, keepdims=True))[0])
        low, high = found.recovered(confidence)
        method = "p / sensitivity, below Rogan-Gladen, recovered from exact bounds of rate, sensitivity and specificity"
        if found.plenty and 0 < value < 1:  # resamples that are clipped say nothing of how far from an end it could be
            least, most = (
                uncertainty.bootstrap(found.table, found.clusters, each, confidence, rng) for each in (_least, _most)
            )
            if not math.isnan(least.low) and not math.isnan(most.high):
                low, high, method = least.low, most.high, f"p / sensitivity, below Rogan-Gladen, joint {most.method}"
        low, high = min(low, value), max(high, value)
        return Estimate(value, low, high, _units(found.clusters), method, note=found.told)

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        old, new = rows(first), rows(second)
        if why := old.lacking or new.lacking:
            return Estimate(math.nan, math.nan, math.nan, _units(old.clusters), why)
        values = [float(_most(each.table.sum(axis=0, keepdims=True))[0]) for each in (old, new)]
        value = values[1] - values[0]
        changed = np.unique(old.clusters[old.table[:, _HITS] != new.table[:, _HITS]]).size
        if changed >= _EVENTS and old.plenty and new.plenty:
            ways: tuple[Callable[[Floats], Floats], ...] = (_least, _most)
            found = [
                uncertainty.paired_bootstrap(old.table, new.table, old.clusters, way, confidence, rng) for way in ways
            ]
            if not any(math.isnan(each.low) for each in found):
                low, high = min(each.low for each in found), max(each.high for each in found)
                method = f"p / sensitivity or Rogan-Gladen, {found[0].method}"
                return Estimate(value, min(low, value), max(high, value), found[0].n, method)
        few = _few_changes(old, new, confidence)
        return replace(few, value=value, low=min(few.low, value), high=max(few.high, value))

    return Metric(name, estimate, difference, better, signature)


def _few_changes(old: _Rows, new: _Rows, confidence: float) -> Estimate:
    """The exact bounds of both kinds of change, added up, and divided by what the checker tells at least and at most.

    Where both runs are corrected by the same references the change of the rate is the change of findings over
    something between se + sp - 1 and se; each of the four bounds has a quarter of the risk.
    """
    each = 1 - (1 - confidence) / 4
    before, after = old.table[:, _HITS], new.table[:, _HITS]
    up = uncertainty.rate_interval((after > before).astype(np.float64), old.clusters, each)
    down = uncertainty.rate_interval((before > after).astype(np.float64), old.clusters, each)
    _, se, sp = new.bounds(each)
    least, most = se.low + sp.low - 1, se.high
    units = _units(old.clusters)
    if (old.table[:, _CAUGHT:] != new.table[:, _CAUGHT:]).any():
        return Estimate(0.0, math.nan, math.nan, units, "undefined: too few changes, and other references in each run")
    if least <= _INFORMATIVE:
        return Estimate(0.0, math.nan, math.nan, units, "undefined: the checker may tell too little")
    low, high = up.low - down.high, up.high - down.low
    low, high = low / (least if low < 0 else most), high / (least if high > 0 else most)
    method = "exact bounds on the shares of changed cases, over what the checker tells"
    return Estimate(0.0, max(-1.0, low), min(1.0, high), units, method)


def _units(clusters: NDArray[np.int64]) -> int:
    return int(np.unique(clusters).size)


def ppi(
    findings: Floats,
    labels: Floats,
    of: NDArray[np.int64],
    probability: Floats,
    clusters: NDArray[np.int64],
    confidence: float,
) -> Estimate:
    """The rate that people would find, from the checker's findings on all cases and people's labels of some.

    The mean of the findings, plus what labels say they are off by, each counted by the inverse of the probability with
    which its case was drawn. Unbiased whatever the checker; the better it is, the narrower the interval.

    Args:
        findings: 0 or 1 per case, (N,); a nan makes it undefined.
        labels: 0 or 1, the truth of the labelled cases, (n,).
        of: which case each label is of, (n,).
        probability: with which each labelled case was drawn, (n,), in (0, 1].
        clusters: the number of each case's cluster, (N,).
        confidence: of each bound.

    Returns:
        The estimate; n counts labelled clusters. Its bounds are t bounds of the variance between clusters. Below 20
        labels, or 10 of either way in which people and the checker differ, that variance is not known well: bounds are
        then at least as wide as the exact ones of the checker's rate and of both kinds of its errors combined, so that
        a handful of labels that all agree does not make a checker perfect.

    References:
        Angelopoulos et al., arXiv 2301.09633; Zrnic and Candès, arXiv 2403.03208; Fay and Feuer (1997) for the bounds
        of weighted counts.
    """
    count, method = findings.size, f"prediction-powered, {labels.size} labels of {findings.size} cases"
    units = _units(clusters[of])
    if not count or not labels.size or np.isnan(findings).any() or np.isnan(labels).any():
        return Estimate(math.nan, math.nan, math.nan, units, f"{method}: undefined")
    weights = 1 / (count * probability)
    off = labels - findings[of]
    value = float(findings.mean() + (weights * off).sum())
    rows = np.column_stack([findings, np.ones(count)])
    rows[:, 0] += np.bincount(of, off / probability, count)
    sums = uncertainty.cluster_sums(rows, clusters)
    groups = len(sums)
    spread = groups / max(groups - 1, 1) * float(((sums[:, 0] - value * sums[:, 1]) ** 2).sum()) / count**2
    half = float(special.stdtrit(max(units - 1, 1), confidence)) * math.sqrt(spread)
    low, high = value - half, value + half
    fewest = min(_units(clusters[of][off > 0]), _units(clusters[of][off < 0]))
    if labels.size < _FEWEST or fewest < _EVENTS:
        found = _Bounds.of(findings, clusters, confidence)
        missed = _weighted(weights * (off > 0), weights * (findings[of] == 0), clusters[of], confidence)
        wrong = _weighted(weights * (off < 0), weights * (findings[of] == 1), clusters[of], confidence)
        down = (found.value - found.low, missed.value - missed.low, wrong.high - wrong.value)
        up = (found.high - found.value, missed.high - missed.value, wrong.value - wrong.low)
        low = min(low, value - math.sqrt(sum(each**2 for each in down)))
        high = max(high, value + math.sqrt(sum(each**2 for each in up)))
        method += ", exact bounds of its few errors"
    value, low, high = (min(1.0, max(0.0, each)) for each in (value, low, high))
    return Estimate(value, low, high, units, method)


def _weighted(events: Floats, eligible: Floats, clusters: NDArray[np.int64], confidence: float) -> _Bounds:
    """Gamma bounds of a weighted count (Fay and Feuer 1997); one more event could have had the largest weight.

    Args:
        events: the weight of each label that is an event, else 0, (n,).
        eligible: the weight of each label that could have been one, else 0, (n,).
        clusters: the number of each label's cluster, (n,); events of one count as one.
        confidence: of each bound.
    """
    if not eligible.any():
        return _Bounds(0.0, 0.0, 1.0)
    sums = uncertainty.cluster_sums(np.column_stack([events, eligible]), clusters)
    total, squares, largest = float(sums[:, 0].sum()), float((sums[:, 0] ** 2).sum()), float(sums[:, 1].max())
    low = squares / total * float(special.gammaincinv(total**2 / squares, 1 - confidence)) if total else 0.0
    above, wider = total + largest, squares + largest**2
    return _Bounds(total, low, min(1.0, wider / above * float(special.gammaincinv(above**2 / wider, confidence))))
