"""What tells members from non-members without the model: words, length, date, source. The attacks' honest baseline.

baselines(seen, 0.95) -> (Baseline("words", 0.52, 0.47, 0.57), Baseline("length", 0.51, 0.46, 0.55))

Where members and non-members differ by themselves, an attack measures that difference and no leak ("Blind baselines
beat membership inference attacks", Das et al. 2024, arXiv 2406.16201).
"""

from __future__ import annotations

import datetime
import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.metrics.detection import OUT_OF_FOLD, detector_scores, folds_of
from shoplm_audit.metrics.reduce import units_of
from shoplm_audit.types import Estimate, Floats, Observation, Observations

__all__ = ["Baseline", "Seen", "baselines", "compared", "given", "guarded", "seen_of", "too_shared", "words"]

Per = Literal["unit", "record"]
# As OUT_OF_FOLD, for shares of members per source: with a hundred sources their AUROC spreads 1.25 times as far.
_SHARES_OUT_OF_FOLD = 1.3


@dataclass(frozen=True, slots=True)
class Baseline:
    """How well one thing that is known without the model tells members: an AUROC with bounds."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of records without the model, one entry a record or unit, (N,).

    Attributes:
        texts: of the record, or of all records of the unit.
        labels: whether it is a member.
        clusters: the number of its unit.
        when: seconds since 1970, minus infinity where unknown; () where none is dated.
        source: where it comes from; () where none says.
    """

    texts: tuple[str, ...]
    labels: tuple[bool, ...]
    clusters: tuple[int, ...]
    when: tuple[float, ...]
    source: tuple[str, ...]


def compared(observations: Observations) -> Observations:
    """The rows of units whose text stands under no other unit, on both sides.

    A text of two units was trained on though the coin of one of them fell out; a model that knows it by heart would
    look as if it told nobody apart.
    """
    return Observations(tuple(row for row in units_of(observations) if not row.case.facts.get("shared")))


def too_shared(observations: Observations, member: str) -> str:
    """Why nothing can be told where most of the units that were left out have no text of their own; "" elsewhere."""
    left_out, kept = (
        {row.case.cluster or row.case.id for row in rows if not row.case.facts[member]}
        for rows in (units_of(observations), compared(observations))
    )
    if 2 * len(kept) >= len(left_out):
        return ""
    return (
        f"invalid: most left-out texts were trained on under another unit ({len(kept)} of {len(left_out)} units left "
        "out have a text of their own); deduplicate"
    )


def given(observations: Observations) -> bool:
    """Whether the sides are lists that were brought, which no chance divided."""
    return any(row.case.facts.get("coin") == "given" for row in observations)


def _seconds(row: Observation) -> float:
    """When a record was written, as ISO date or seconds; minus infinity where it does not say."""
    told = str(row.case.facts.get("when") or "")
    try:
        seconds = float(told)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else -math.inf  # one "nan" would undo the dates of all
    try:
        at = datetime.datetime.fromisoformat(told)
    except ValueError:
        return -math.inf
    return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()


def seen_of(observations: Observations, member: str, texts: str, per: Per) -> Seen:
    """What is known of each record, or of each unit: its records' texts together, their mean date, their sources."""
    columns = list(zip(observations, observations.texts(texts), observations.clusters.tolist(), strict=True))
    if per == "unit":
        gathered: dict[int, list[tuple[Observation, str, int]]] = {}
        for column in columns:
            gathered.setdefault(column[2], []).append(column)
        groups = [gathered[number] for number in sorted(gathered)]
    else:
        groups = [[column] for column in columns]
    when = [float(np.mean([_seconds(row) for row, _, _ in group])) for group in groups]
    source = [" ".join(sorted({str(row.case.facts.get("source") or "") for row, _, _ in group})) for group in groups]
    return Seen(
        # A record that is there twice tells nothing more.
        texts=tuple("\n".join(sorted({text for _, text, _ in group})) for group in groups),
        labels=tuple(bool(group[0][0].case.facts[member]) for group in groups),
        clusters=tuple(group[0][2] for group in groups),
        when=tuple(when) if np.isfinite(when).any() else (),
        source=tuple(source) if any(source) else (),
    )


@functools.lru_cache(maxsize=16)
def words(texts: tuple[str, ...], labels: tuple[bool, ...], clusters: tuple[int, ...]) -> Floats:
    """Out-of-fold scores of the text classifier, once for all attacks on the same records; not to be changed."""
    scores = detector_scores(list(texts), np.array(labels, dtype=bool), np.array(clusters, dtype=np.int64))
    scores.flags.writeable = False
    return scores


def _shares(seen: Seen, labels: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Floats:
    """For each record the share of members among records of its source in the other folds."""
    _, sources = np.unique(seen.source, return_inverse=True)
    folds, shares = folds_of(clusters, 5, seed=0), np.zeros(labels.size)
    for fold in range(5):
        others = folds != fold
        count = np.bincount(sources[others], minlength=sources.max() + 1)
        inside = np.bincount(sources[others], weights=labels[others], minlength=sources.max() + 1)
        shares[~others] = ((inside + labels.mean()) / (count + 1))[sources[~others]]
    return shares


def baselines(seen: Seen, confidence: float) -> tuple[Baseline, ...]:
    """The AUROC of each thing that is known without the model.

    Length, date and distance from the middle date are taken whichever way they tell. Bounds are corrected for how many
    are looked at (Bonferroni), so that on fair coins any of them exceeds one half with a chance of 1 - confidence at
    most.
    """
    labels, clusters = np.array(seen.labels, dtype=bool), np.array(seen.clusters, dtype=np.int64)
    plain = {"length": np.array([len(text) for text in seen.texts], dtype=np.float64)}
    if seen.when:
        dates = np.array(seen.when)
        plain["date"] = dates
        # Members of a span within that of the others are as early as late.
        plain["distance from the middle date"] = np.abs(dates - np.median(dates[np.isfinite(dates)]))
    learned = {"words": (words(seen.texts, seen.labels, seen.clusters), OUT_OF_FOLD)}
    if seen.source:
        learned["source"] = _shares(seen, labels, clusters), _SHARES_OUT_OF_FOLD
    level = 1 - (1 - confidence) / (len(learned) + 2 * len(plain))
    found = []
    for name, (scores, widen) in learned.items():
        value, interval, _ = uncertainty.auroc_interval(scores, labels, clusters, level, widen)
        found.append(Baseline(name, value, interval.low, interval.high))
    for name, scores in plain.items():
        value, interval, _ = uncertainty.auroc_interval(scores, labels, clusters, level)
        low, high = (interval.low, interval.high) if value >= 0.5 else (1 - interval.high, 1 - interval.low)
        found.append(Baseline(name, max(value, 1 - value), low, high))
    return tuple(found)


def guarded(attack: Estimate, found: tuple[Baseline, ...], *, given: bool = False) -> str:
    """What a reader of an attack's AUROC must know of the baselines; begins with "invalid" where one of them wins.

    Where units were divided at random, a baseline wins where it is surely better than chance and the attack is not
    surely better than it, in either direction: then nothing shows that the attack learned anything from the model. In
    lists that were brought it wins where it is surely better than chance: how much of an attack's lead is the model's
    cannot be told. A baseline that is undefined clears nothing.

    Args:
        attack: AUROC of the attack.
        found: the baselines on the same records.
        given: whether the sides are lists that were brought.
    """
    undefined = [baseline.name for baseline in found if math.isnan(baseline.value) or math.isnan(baseline.low)]
    if undefined:
        return f"invalid: the blind baseline by {undefined[0]} is undefined (nan): too few units on a side"
    surely = max(attack.low, 1 - attack.high)
    winning = [baseline for baseline in found if baseline.low > 0.5 and (given or not surely > baseline.value)]
    if winning:
        best = max(winning, key=lambda baseline: baseline.value)
        return f"invalid: a blind baseline that never sees the model wins: {best}"
    return f"blind baseline: {', '.join(map(str, found))}"
