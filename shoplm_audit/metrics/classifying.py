"""How right labels are, and how right a model is about how right it is: MCC, recall, ECE, Brier, selective risk.

ece_of("confidence", "correct", name="ece_moderation") -> Metric("ece_moderation", ..., signature="ece|10 bins (lo,hi]")

An answer that cannot be read, or that never came, is a wrong one of the highest confidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.errors import DataError
from shoplm_audit.metrics.reduce import added, averaging, mean_of, over_column, rate_of, sums_of, with_column
from shoplm_audit.types import Estimate, Floats, Metric, Observation, Observations, Value

__all__ = [
    "aurc", "brier", "brier_of", "confusion", "coverage_at_risk", "ece", "ece_of", "macro_f1", "macro_f1_of", "mcc",
    "mcc_of", "recall_of", "selective_risk", "selective_risk_of",
]  # fmt: skip

_LABELS = 1_000  # times that labels of a calibrated model are drawn
Bins: TypeAlias = Literal["(lo,hi]", "[lo,hi)", "equal mass"]


# Labels ---------------------------------------------------------------------------------------------


def confusion(said: Sequence[str], truth: Sequence[str], labels: Sequence[str]) -> Floats:
    """A table of truth by answer for each case, (N, K, K); labels are compared whole, so that "10" is not "1".

    An answer that is no label counts as one of the other classes in equal parts: were it none, a hard case would better
    be left unanswered.

    Raises:
        DataError: a truth that is no label.
    """
    place = {label: i for i, label in enumerate(labels)}
    found = np.zeros((len(said), len(place), len(place)))
    for table, answer, right in zip(found, said, truth, strict=True):
        if right not in place:
            raise DataError(f'"{right}" is none of the labels {", ".join(labels)}.')
        if answer in place:
            table[place[right], place[answer]] = 1.0
        else:
            table[place[right]] = 1 / max(1, len(place) - 1)
            table[place[right], place[right]] = 0.0
    return found


def macro_f1(tables: Floats) -> Floats:
    """The mean over classes of 2 hits / (true + answered), of tables of truth by answer, (..., K, K) to (...), 0 to 1.

    nan where a class is never true.
    """
    truth, said, hit = tables.sum(axis=-1), tables.sum(axis=-2), np.diagonal(tables, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(truth > 0, 2 * hit / (truth + said), np.nan)
    return np.asarray(f1.mean(axis=-1))


def mcc(tables: Floats) -> Floats:
    """Matthews correlation of tables of truth by answer, (..., K, K) to (...), -1 to 1 (Gorodkin 2004 for K > 2).

    0 where only one label was answered; nan where only one was true.
    """
    truth, said, hit = tables.sum(axis=-1), tables.sum(axis=-2), np.trace(tables, axis1=-2, axis2=-1)
    total = truth.sum(axis=-1)
    spread_true, spread_said = total**2 - (truth**2).sum(axis=-1), total**2 - (said**2).sum(axis=-1)
    # What rounding leaves of a spread of nothing.
    one_true, one_said = (spread <= 1e-9 * total**2 for spread in (spread_true, spread_said))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (hit * total - (truth * said).sum(axis=-1)) / np.sqrt(spread_true * spread_said)
    return np.where(one_true, np.nan, np.where(one_said, 0.0, found))


def _of_tables(name: str, column: str, classes: Sequence[str], statistic: Callable[[Floats], Floats]) -> Metric:
    """A metric of the table of truth by answer, with a cluster bootstrap.

    Where each class has one kind of answer (all right, all wrong, one label for everything) and no resample differs,
    the bounds take the share of a class that may be otherwise, exact for the rarest one, from its wrong answers to the
    right ones, and back.
    """
    size = len(classes)

    def rows(observations: Observations) -> Floats:
        truth = [str(row.case.reference) for row in observations]
        return confusion(observations.texts(column), truth, classes).reshape(len(truth), size * size)

    signature = f"{statistic.__name__}|labels:{','.join(classes)}|unparsed:other class"
    bootstrapped = sums_of(
        name, rows, lambda sums: statistic(sums.reshape(-1, size, size)), better="higher", signature=signature
    )

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = bootstrapped.estimate(observations, confidence, rng)
        table = rows(observations).sum(axis=0).reshape(size, size)
        if math.isnan(found.value) or not math.isnan(found.low):
            return found
        if (table > 0).sum(axis=1).max() > 1:
            low, high = _of_recalls(observations, rows(observations).reshape(-1, size, size), statistic, confidence)
            low, high = min(low, found.value), max(high, found.value)
            return Estimate(found.value, low, high, found.n, f"exact bounds of {size} recalls; {found.method}")
        truth = [str(row.case.reference) for row in observations]
        units = {label: set[int]() for label in truth}
        for cluster, label in zip(observations.clusters.tolist(), truth, strict=True):
            units[label].add(cluster)
        fewest = min(map(len, units.values()))
        share = uncertainty.clopper_pearson(0, fewest, confidence)[1]
        right = np.diag(table)
        wrong = table - np.diag(right)
        worse = wrong + (1 - share) * np.diag(right) + share * right[:, None] * (1 - np.eye(size)) / (size - 1)
        better = np.diag(right) + (1 - share) * wrong + share * np.diag(wrong.sum(axis=1))
        low, high = float(statistic(worse)), float(statistic(better))
        method = f"exact binomial of the rarest class, {fewest} units"
        return Estimate(found.value, min(low, found.value), max(high, found.value), found.n, method)

    return _changing(replace(bootstrapped, estimate=estimate))


def _of_recalls(
    observations: Observations, tables: Floats, statistic: Callable[[Floats], Floats], confidence: float
) -> tuple[float, float]:
    """Bounds of a statistic of the table of truth by answer, (N, K, K), from exact ones of the recall of each class.

    The error is split over the classes. What is lost of a class goes to the wrong answers it has, or to all evenly.
    """
    table, size = tables.sum(axis=0), tables.shape[-1]
    bounds = []
    for side in (0, 1):
        moved = np.zeros_like(table)
        for label, row in enumerate(table):
            inside = tables[:, label].sum(axis=1) > 0
            right = tables[inside, label, label] / tables[inside, label].sum(axis=1)
            found = uncertainty.rate_interval(right, observations.clusters[inside], 1 - (1 - confidence) / size)
            wrong = row * (np.arange(size) != label)
            wrong = wrong if wrong.sum() else (np.arange(size) != label).astype(np.float64)
            recall = (found.low, found.high)[side]
            moved[label] = row.sum() * (1 - recall) * wrong / wrong.sum()
            moved[label, label] = row.sum() * recall
        bounds.append(float(statistic(moved)))
    return bounds[0], bounds[1]


def _changing(metric: Metric) -> Metric:
    """The metric, whose change has the bounds of both runs added where no paired resample differs."""

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = metric.difference(first, second, confidence, rng)
        if math.isnan(found.value) or not math.isnan(found.low):
            return found
        half = (1 + confidence) / 2
        return added(metric.estimate(first, half, rng), metric.estimate(second, half, rng))

    return replace(metric, difference=difference)


def macro_f1_of(column: str, labels: Sequence[str], *, name: str) -> Metric:
    """Macro-F1 of a predicted label against each case's reference, 0 to 1.

    Args:
        column: the label that was read off the answer; anything else than one of `labels`, or none, counts as an
            answer of the other classes in equal parts.
        labels: the classes, at least two.
        name: of the metric.
    """
    return _of_tables(name, column, list(labels), macro_f1)


def mcc_of(column: str, labels: Sequence[str], *, name: str) -> Metric:
    """Matthews correlation of a predicted label with each case's reference, -1 to 1.

    Args:
        column: the label that was read off the answer; anything else than one of `labels`, or none, counts as an
            answer of the other classes in equal parts.
        labels: the classes, at least two.
        name: of the metric.
    """
    return _of_tables(name, column, list(labels), mcc)


def recall_of(column: str, label: str, *, name: str) -> Metric:
    """Of the cases whose reference is a label, the share in which it was answered, with an exact interval.

    Args:
        column: the label that was read off the answer.
        label: the class.
        name: of the metric.
    """
    rate = rate_of("hit", better="higher")

    def inside(observations: Observations) -> list[int]:
        return [position for position, row in enumerate(observations) if row.case.reference == label]

    def read(observations: Observations) -> Observations:
        return with_column(observations, "hit", lambda row: str(row.values.get(column)) == label)

    def of_class(observations: Observations) -> Observations:
        return read(observations.take(inside(observations)))

    return replace(
        rate,
        name=name,
        estimate=lambda seen, confidence, rng: rate.estimate(of_class(seen), confidence, rng),
        difference=lambda old, new, confidence, rng: rate.difference(of_class(old), of_class(new), confidence, rng),
        signature=f"recall|{column}|label:{label}|unparsed:wrong",
        bounded=averaging(rate, read, inside),
    )


# Calibration ----------------------------------------------------------------------------------------


def _bins_of(confidence: Floats, bins: Bins, count: int) -> NDArray[np.int64]:
    """The number of each confidence's bin, (N,)."""
    if bins == "equal mass":  # ties stay together, so that the order of rows does not matter
        place = np.searchsorted(np.sort(confidence), confidence, "left")
        return np.asarray(place * count // max(confidence.size, 1), dtype=np.int64)
    edges = np.arange(1, count) / count
    return np.asarray(np.searchsorted(edges, confidence, "left" if bins == "(lo,hi]" else "right"), dtype=np.int64)


def _probabilities(values: Floats) -> Floats:
    """Values that lie between 0 and 1 but for rounding; nan stays."""
    wrong = values[(values < -1e-6) | (values > 1 + 1e-6)]
    if wrong.size:
        raise DataError(f'a probability is "{wrong[0]:g}": it has to lie between 0 and 1.')
    return np.clip(values, 0.0, 1.0)


def ece(confidence: Floats, correct: Floats, *, bins: Bins = "(lo,hi]", count: int = 10) -> float:
    """Expected calibration error, 0 to 1: how far confidence lies from accuracy, over bins of confidence.

    sum over bins of (n_b / N) |accuracy_b - confidence_b| (Guo et al. 2017, arXiv 1706.04599). It is never negative, so
    a few hundred cases show some hundredths of it even where the model is calibrated.

    Args:
        confidence: of the answer that was given, 0 to 1, (N,).
        correct: 1 where it was right, else 0, (N,).
        bins: whether a bin holds its upper edge (Guo's code and the default) or its lower one, or whether bins hold
            equally many cases. The edges alone can move it by 0.05.
        count: of bins.

    Returns:
        nan without cases.

    Raises:
        DataError: a confidence beyond 0 to 1.
    """
    sure = _probabilities(np.asarray(confidence, dtype=np.float64))
    if not sure.size:
        return math.nan
    gaps = np.bincount(_bins_of(sure, bins, count), np.asarray(correct, dtype=np.float64) - sure, count)
    return float(np.abs(gaps).sum() / sure.size)


def ece_of(confidence: str, correct: str, *, name: str, bins: Bins = "(lo,hi]", count: int = 10) -> Metric:
    """Expected calibration error, 0 to 1 (`ece`), with bounds that know how much of it is chance.

    The lower bound (`uncertainty.gaps_interval`) is 0 where labels drawn with the very confidences, which are
    calibrated, show as much (consistency bars, Bröcker and Smith 2007). The value is as it is defined, chance and all.
    A case without an answer counts as sure and wrong, in a bin of its own, where nothing makes up for it.

    Args:
        confidence: a column, of the answer that was given, 0 to 1.
        correct: a column, whether it was right.
        name: of the metric.
        bins: as in `ece`.
        count: of bins.
    """

    def known(observations: Observations) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
        """The rows with an answer, how sure each was, and its bin."""
        scored = np.flatnonzero(np.array([row.status == "scored" for row in observations], dtype=bool))
        sure = _probabilities(observations.numbers(confidence)[scored])
        return scored, sure, _bins_of(sure, bins, count)

    def rows(observations: Observations) -> Floats:
        scored, sure, place = known(observations)
        table = np.zeros((len(observations), count + 2))
        table[:, -2:] = 1.0
        table[scored, -2] = 0.0
        table[scored, place] = observations.numbers(correct)[scored] - sure
        return table

    def statistic(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1])

    def chance(observations: Observations, level: float, rng: np.random.Generator) -> float:
        """What a calibrated model exceeds with the chance 1 - level; the labels of a cluster fall together."""
        scored, sure, place = known(observations)
        clusters, bin_of = observations.clusters, np.eye(count)[place] / len(observations)
        groups = int(clusters.max()) + 1
        shown = np.concatenate(
            [
                np.abs(((rng.random((draws, groups))[:, clusters[scored]] < sure) - sure) @ bin_of).sum(axis=1)
                for draws in [_LABELS // 10] * 10  # held together
            ]
        )
        return float(np.quantile(shown, level))

    told = f"ece|{count} bins {bins}|unparsed:sure and wrong"
    plain = sums_of(name, rows, statistic, better="lower", signature=told)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        table = rows(observations)
        if not len(observations) or np.isnan(table).any():
            return Estimate(math.nan, math.nan, math.nan, len(observations), "undefined: a case has no value")
        could = chance(observations, confidence, rng)
        found = uncertainty.gaps_interval(table, observations.clusters, confidence, rng, could)
        value = float(statistic(table.sum(axis=0, keepdims=True))[0])
        return Estimate(value, found.low, found.high, found.n, f"{found.method}; {could:.3g} could be chance")

    return _changing(replace(plain, estimate=estimate))


def brier(probability: Floats, label: Floats) -> float:
    """Mean squared distance of the probability of an event from whether it was so, 0 to 1 (Brier 1950); nan if empty.

    Raises:
        DataError: a probability beyond 0 to 1.
    """
    said = _probabilities(np.asarray(probability, dtype=np.float64))
    return float(((said - np.asarray(label, dtype=np.float64)) ** 2).mean()) if said.size else math.nan


def brier_of(probability: str, label: str, *, name: str) -> Metric:
    """Mean squared distance of a probability from what was so, 0 to 1 (`brier`); no answer counts as 1.

    Args:
        probability: a column, of the event, 0 to 1.
        label: whether the event was so: a column, or else a fact of the case.
        name: of the metric.
    """
    mean = mean_of("brier", better="lower", worst=1.0, best=0.0)

    def square(row: Observation) -> Value:
        said, so = row.values.get(probability), row.values.get(label, row.case.facts.get(label))
        if said is None or so is None:
            return math.nan
        return brier(np.array([said]), np.array([bool(so)]))

    return over_column(mean, "brier", square, name=name, signature=f"brier|{probability}|{label}|missing:1")


# Answering only where it is sure -----------------------------------------------------------------------


def _risks(confidence: Floats, correct: Floats) -> tuple[Floats, Floats]:
    """The coverages at which another confidence begins, and the error rate of all cases at least that sure."""
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], 1 - np.asarray(correct, dtype=np.float64)[order]
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True)) if sure.size else np.zeros(0, dtype=np.int64)
    return (last + 1) / max(sure.size, 1), np.cumsum(wrong)[last] / (last + 1)


def aurc(confidence: Floats, correct: Floats) -> float:
    """The area under risk by coverage, 0 to 1, ties taken together (Geifman et al. 2019); nan if empty."""
    coverage, risk = _risks(np.asarray(confidence, dtype=np.float64), correct)
    return float((np.diff(coverage, prepend=0.0) * risk).sum()) if coverage.size else math.nan


def coverage_at_risk(confidence: Floats, correct: Floats, risk: float) -> float:
    """The largest share of cases, the surest first, whose error rate is at most `risk`; 0 where there is none."""
    coverage, found = _risks(np.asarray(confidence, dtype=np.float64), correct)
    return float(coverage[found <= risk].max(initial=0.0))


def _covered(confidence: Floats, coverage: float) -> NDArray[np.bool_]:
    """The surest cases, the share `coverage` of all, and whoever is as sure as the last of them."""
    last = min(confidence.size, max(1, math.ceil(coverage * confidence.size - 1e-9)))
    return np.asarray(confidence >= np.sort(confidence)[::-1][last - 1])


def selective_risk(confidence: Floats, correct: Floats, coverage: float) -> float:
    """The error rate of the surest cases, the share `coverage` of all and their ties; nan without cases."""
    sure = np.asarray(confidence, dtype=np.float64)
    return float(1 - np.asarray(correct)[_covered(sure, coverage)].mean()) if sure.size else math.nan


def selective_risk_of(confidence: str, correct: str, coverage: float, *, name: str) -> Metric:
    """The error rate of the surest cases, if a model answers only those, with an exact interval.

    The surest are the share `coverage` of all, and whoever is as sure as the last of them; their threshold is held as
    it was found. A case without an answer is wrong, and among the surest.

    Args:
        confidence: a column, of the answer that was given.
        correct: a column, whether it was right.
        coverage: the share of cases that is answered, above 0 and at most 1.
        name: of the metric.
    """

    def covered(observations: Observations) -> tuple[Floats, NDArray[np.bool_]]:
        lost = np.array([row.status != "scored" for row in observations], dtype=bool)
        sure = np.where(lost, np.inf, observations.numbers(confidence))
        wrong = np.where(lost, 1.0, 1 - observations.numbers(correct))
        if not sure.size or np.isnan(sure).any() or np.isnan(wrong).any():
            return np.full(sure.size, np.nan), np.ones(sure.size, dtype=bool)
        return wrong, _covered(sure, coverage)

    def rows(observations: Observations) -> Floats:
        wrong, kept = covered(observations)
        return np.column_stack([wrong * kept, kept.astype(np.float64)])

    def statistic(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)

    signature = f"selective_risk|coverage:{coverage:g}|ties covered|unparsed:sure and wrong"
    paired = sums_of(name, rows, statistic, better="lower", signature=signature)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        wrong, kept = covered(observations)
        found = uncertainty.rate_interval(wrong[kept], observations.clusters[kept], confidence)
        value = float(wrong[kept].mean()) if kept.any() else math.nan
        return Estimate(value, found.low, found.high, found.n, f"{found.method}, threshold held")

    return _changing(replace(paired, estimate=estimate))
