"""What a supervised detector says of texts that it was not trained on: folds that share no product and no text.

    sides_of(observations, "text").scores("words") -> (scores of generated texts, then of their references), ""

A detector that has seen a text, another review of its product or a copy of either would know it again. Letters in
shapes: N texts, of which the first half are generated and the second half their references.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.data.duplicates import Repeats
from shoplm_audit.scoring.platform_detector import Detector, Kind, tokens
from shoplm_audit.types import Floats, Observations

__all__ = [
    "FOLDS",
    "SHORTEST",
    "Sides",
    "detector_scores",
    "folds_of",
    "linked",
    "long_of",
    "sides_of",
]

SHORTEST = 10  # tokens: of a shorter text nothing is claimed
FOLDS = 5
_NEAR = 0.8  # the Jaccard similarity from which two texts count as one

Clusters: TypeAlias = NDArray[np.int64]


# Training -------------------------------------------------------------------------------------------


def folds_of(clusters: Clusters, count: int, seed: int) -> NDArray[np.int64]:
    """A fold for each row, whole clusters together."""
    shuffled = np.random.default_rng(seed).permutation(int(clusters.max()) + 1)
    return np.asarray(shuffled[clusters] % count, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Trained:
    """One detector a fold, trained on the texts outside it, the fold of each text, (N,), and its score, (N,)."""

    detectors: tuple[Detector, ...]
    folds: NDArray[np.int64]
    scores: Floats

    def scores_of(self, texts: Sequence[str]) -> Floats:
        """The score of what stands in the place of each text, by the detector that did not see that text, (N,)."""
        return _scores_of(self.detectors, self.folds, texts)


def _scores_of(detectors: Sequence[Detector], folds: NDArray[np.int64], texts: Sequence[str]) -> Floats:
    found = np.empty(len(texts))
    for fold, detector in enumerate(detectors):
        here = np.flatnonzero(folds == fold).tolist()
        found[here] = detector.scores([texts[i] for i in here])
    return found


@lru_cache(maxsize=8)
def _train(texts: tuple[str, ...], labels: tuple[bool, ...], clusters: tuple[int, ...], kind: Kind) -> _Trained | None:
    """Detectors by fold, once for all metrics that ask; None where a fold leaves one class or one cluster."""
    groups = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    if not texts or groups.max() == 0:
        return None
    folds = folds_of(groups, min(FOLDS, int(groups.max()) + 1), seed=0)
    # The solver goes through its rows in order: one order of theirs, whatever the order they came in, and a row that
    # is there twice is one.
    rows = sorted({(clusters[i], labels[i], texts[i], int(folds[i])) for i in range(len(texts))})
    detectors = []
    for fold in range(int(folds.max()) + 1):
        known = [(text, label) for _, label, text, home in rows if home != fold]
        if len({label for _, label in known}) < 2:
            return None
        detectors.append(Detector(kind).fit([text for text, _ in known], [label for _, label in known]))
    return _Trained(tuple(detectors), folds, _scores_of(detectors, folds, texts))


def detector_scores(
    texts: Sequence[str], labels: NDArray[np.bool_], clusters: Clusters, kind: Kind = "words"
) -> Floats:
    """Out-of-fold scores of a supervised detector, whose 5 folds never share a cluster.

    Args:
        texts: what is told apart.
        labels: whether a text is a positive, (N,).
        clusters: the number of each text's cluster, (N,).
        kind: of the detector (`Detector`).

    Returns:
        A score per text, higher for positives, (N,); nan where a class is missing or there are fewer than 5 clusters.
    """
    if len(set(clusters.tolist())) >= FOLDS:
        trained = _train(tuple(texts), tuple(labels.tolist()), tuple(clusters.tolist()), kind)
        if trained:
            return trained.scores.copy()
    return np.full(len(texts), np.nan)


# What belongs together ------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _repeating(texts: tuple[str, ...], languages: tuple[str, ...]) -> Clusters:
    """A number for each text that those which nearly repeat it have too, (N,)."""
    order = sorted(range(len(texts)), key=lambda i: (texts[i], languages[i]))
    finder = Repeats(_NEAR)
    for i in order:
        finder.add(texts[i], languages[i])
    found = finder.find(lambda position: texts[order[position]])
    numbers = np.empty(len(texts), dtype=np.int64)
    numbers[order] = [found.get(position, position) for position in range(len(texts))]
    return numbers


def linked(first: Clusters, second: Clusters) -> Clusters:
    """The finest clusters that hold together what either partition does, (N,), numbered as the first orders them."""
    from scipy import sparse
    from scipy.sparse import csgraph

    one, other = (np.unique(partition, return_inverse=True)[1] for partition in (first, second))
    size = int(one.max(initial=-1)) + 1
    both = size + int(other.max(initial=-1)) + 1
    graph = sparse.coo_matrix((np.ones(one.size), (one, size + other)), shape=(both, both))
    parts = csgraph.connected_components(graph, directed=False)[1][:size]
    least = np.unique(parts, return_index=True)[1]  # the first of the clusters of each part
    return np.asarray(np.argsort(np.argsort(least))[parts[one]], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Sides:
    """What a detector is asked about: the generated texts of some cases, then their references.

    Attributes:
        rows: those cases.
        texts: of both sides, (N,).
        clusters: products, and with them whatever nearly repeats one another's texts, (N,).
        note: what was left out.
        fault: why there is nothing to tell, or "".
    """

    rows: Observations
    texts: tuple[str, ...]
    clusters: Clusters
    note: str
    fault: str

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Which texts are generated, (N,)."""
        return np.repeat([True, False], len(self.rows))

    @property
    def languages(self) -> list[str]:
        """Of each text."""
        return 2 * [row.case.language for row in self.rows]

    def trained(self, kind: Kind, apart: str = "") -> _Trained | None:
        """Detectors by fold, kept apart by cluster, or by a group of cases and the clusters linked with it."""
        clusters = self.clusters
        if apart:
            groups = np.unique([row.case.of(apart) for row in self.rows], return_inverse=True)[1]
            clusters = linked(clusters, np.tile(groups, 2))
        enough = len(set(clusters.tolist())) >= (2 if apart else FOLDS)
        return _train(self.texts, tuple(self.labels.tolist()), tuple(clusters.tolist()), kind) if enough else None

    def scores(self, kind: Kind, apart: str = "") -> tuple[Floats, str]:
        """Out-of-fold scores, (N,), and why they are undefined, or ""."""
        trained = None if self.fault else self.trained(kind, apart)
        if trained is None:
            few = f"fewer than {2 if apart else FOLDS} {apart or 'product'} groups that share no text"
            return np.full(len(self.texts), np.nan), self.fault or few
        return trained.scores.copy(), ""


def long_of(observations: Observations, column: str) -> NDArray[np.bool_]:
    """Which cases have two texts that are long enough to say something of, (N / 2,)."""
    pairs = zip(observations.texts(column), observations.texts(f"{column}_reference"), strict=True)
    return np.array([min(map(tokens, pair)) >= SHORTEST for pair in pairs], dtype=bool)


def sides_of(observations: Observations, column: str, languages: Sequence[str] = ()) -> Sides:
    """The texts of the cases in these languages (all, if none is named), but for short ones."""
    asked = [row for row in observations if not languages or row.case.language in languages]
    cases = Observations(tuple(asked))
    rows = cases.take(np.flatnonzero(long_of(cases, column)))
    short = len(cases) - len(rows)
    note = f"left out: {short} of {len(cases)} cases with a text under {SHORTEST} tokens" if short else ""
    fault = ""
    if any(row.status != "scored" for row in cases):
        fault = "a case has no text"  # it looks like nothing that a detector knows
    elif 2 * len(rows) < max(1, len(cases)):
        fault = f"most texts have fewer than {SHORTEST} tokens" if cases.rows else "no cases"
    texts = tuple(rows.texts(column) + rows.texts(f"{column}_reference"))
    clusters = np.tile(rows.clusters, 2)
    if not fault:
        clusters = linked(clusters, _repeating(texts, tuple(2 * [row.case.language for row in rows])))
    return Sides(rows, texts, clusters, note, fault)
