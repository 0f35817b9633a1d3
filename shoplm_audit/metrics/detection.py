"""Can generated texts be told from reference texts? Detectors across products, AUROC, TPR at a false-positive rate.

    auroc_of("likelihood", name="auroc_likelihood") reads the columns "likelihood" and "likelihood_reference"

Each observation holds a generated text and, under "<column>_reference", the reference text of the same product.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.types import Better, Estimate, Floats, Metric, Observations

__all__ = ["auroc_of", "detector_scores", "folds_of", "label_auroc_of", "scored", "tpr_at_fpr_of", "two_sided"]

MIN_CONTROLS = 300  # below this an observed 1 % of false positives can be 3 % (Clopper-Pearson): no TPR at 1 % is given
# Out-of-fold scores share their training texts: over data sets their AUROC spreads 1.4 to 1.6 times as far as DeLong's
# error says, so that a blind baseline would "win" on every sixth fair coin (simulated in the tests).
OUT_OF_FOLD = 1.6

Scored = tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]
Scorer = Callable[[Observations], Scored]


def two_sided(column: str) -> Scorer:
    """Scores of generated texts (positives) and of their references (negatives), clustered by product."""

    def scorer(observations: Observations) -> Scored:
        generated, reference = observations.numbers(column), observations.numbers(f"{column}_reference")
        labels = np.repeat([True, False], len(observations))
        return np.concatenate([generated, reference]), labels, np.tile(observations.clusters, 2)

    return scorer


def scored(column: str, label: str) -> Scorer:
    """Scores under one column, positives where another column is true."""

    def scorer(observations: Observations) -> Scored:
        labels = np.array([bool(row.values.get(label, row.case.facts.get(label))) for row in observations], dtype=bool)
        return observations.numbers(column), labels, observations.clusters

    return scorer


def folds_of(clusters: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """A fold for each row, whole clusters together."""
    shuffled = np.random.default_rng(seed).permutation(int(clusters.max()) + 1)
    return np.asarray(shuffled[clusters] % count, dtype=np.int64)


def detector_scores(texts: list[str], labels: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Floats:
    """Out-of-fold scores of a supervised detector: TF-IDF with naive-Bayes weights and a linear SVM (NB-SVM).

    Word 1-2-grams and character 2-4-grams, which carry Chinese; 5 folds that never share a cluster (Wang and Manning
    2012; Salminen et al. 2022 for fake reviews). Scores are made comparable between folds: centred and scaled by the
    decision values of the fold's own training texts.

    Returns:
        A score per text, higher for positives, (N,); nan where a class is missing.
    """
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.svm import LinearSVC

    scores, found = np.full(len(texts), np.nan), np.full(len(texts), np.nan)
    if len(set(clusters.tolist())) < 5 or labels.all() or not labels.any():
        return scores
    # The solver goes through its rows in order: one order of theirs, whatever the order they came in.
    order = sorted(range(len(texts)), key=lambda i: (int(clusters[i]), bool(labels[i]), texts[i]))
    texts, labels, clusters = [texts[i] for i in order], labels[order], clusters[order]
    folds = folds_of(clusters, 5, seed=0)
    # Tokens by script, so that a Chinese review is not one long word.
    words = CountVectorizer(token_pattern=r"[一-鿿]|[^\W一-鿿]+|[^\w\s]", ngram_range=(1, 2), dtype=np.float64)
    characters = CountVectorizer(analyzer="char", ngram_range=(2, 4), dtype=np.float64)
    # Cutting texts into parts is most of the work: once for all folds, each of which keeps what it has seen itself.
    counted = []
    for vectorizer, least in ((words, 1), (characters, 2)):
        with contextlib.suppress(ValueError):  # nothing but empty texts
            counted.append((vectorizer.fit_transform(texts).tocsr(), least))
    for fold in range(5):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known = labels[train]
        if not test.size or known.all() or not known.any():
            return scores
        blocks = []
        for counts, least in counted:
            seen_in = counts[train].getnnz(axis=0)
            kept = counts[:, np.flatnonzero(seen_in >= least)]
            if kept.shape[1]:
                weights = TfidfTransformer(sublinear_tf=True).fit(kept[train])
                blocks.append((weights.transform(kept[train]), weights.transform(kept[test])))
        if not blocks:
            return np.zeros(len(texts))
        seen = sparse.hstack([a for a, _ in blocks]).tocsr()
        unseen = sparse.hstack([b for _, b in blocks]).tocsr()
        positive = np.asarray(seen[known].sum(axis=0)).ravel() + 1
        negative = np.asarray(seen[~known].sum(axis=0)).ravel() + 1
        ratio = np.log((positive / positive.sum()) / (negative / negative.sum()))
        machine = LinearSVC(C=1.0, random_state=0).fit(seen.multiply(ratio).tocsr(), known)
        inside = machine.decision_function(seen.multiply(ratio).tocsr())
        spread = float(inside.std()) or 1.0
        found[test] = (machine.decision_function(unseen.multiply(ratio).tocsr()) - inside.mean()) / spread
    scores[order] = found
    return scores


def detected(
    observations: Observations, texts: list[str], labels: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> Floats:
    """The detector's scores; nan where a case was not answered."""
    if any(row.status != "scored" for row in observations):
        return np.full(len(texts), np.nan)
    return detector_scores(texts, labels, clusters)


def auroc_of(
    scorer: Scorer, *, name: str, better: Better, signature: str = "auroc|ties:half", widen: float = 1.0
) -> Metric:
    """AUROC of a score, with its DeLong interval over clusters; a case without a score makes it undefined.

    Args:
        scorer: from observations to scores, labels and clusters (`two_sided`, `scored`).
        name: of the metric.
        better: which way is better.
        signature: what the number depends on.
        widen: what its standard error is multiplied with, where scores depend on each other beyond their clusters.
    """

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        if not len(observations):
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no cases")
        value, found, _ = uncertainty.auroc_interval(*scorer(observations), confidence, widen)
        return Estimate(value, found.low, found.high, found.n, found.method)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        if not len(old):
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no cases")
        first, labels, clusters = scorer(old)
        value, found = uncertainty.auroc_difference(first, scorer(new)[0], labels, clusters, confidence, widen)
        return Estimate(value, found.low, found.high, found.n, found.method)

    return Metric(name, estimate, difference, better, signature)


def label_auroc_of(text: str, *, name: str, better: Better) -> Metric:
    """AUROC of the supervised detector between a text column and its `<column>_reference`, products kept apart.

    A case without a text makes it undefined: a missing answer looks like nothing that a detector knows.
    """

    def scorer(observations: Observations) -> Scored:
        texts = observations.texts(text) + observations.texts(f"{text}_reference")
        labels = np.repeat([True, False], len(observations))
        clusters = np.tile(observations.clusters, 2)
        return detected(observations, texts, labels, clusters), labels, clusters

    signature = "auroc|NB-SVM word 1-2, char 2-4|5 folds by cluster"
    return auroc_of(scorer, name=name, better=better, signature=signature, widen=OUT_OF_FOLD)


def tpr_at_fpr_of(scorer: Scorer, fpr: float, *, name: str, better: Better) -> Metric:
    """The share of positives above the threshold that lets through `fpr` of the negatives.

    The threshold comes from one half of the negative clusters, the calibration split; how often the other half lies
    above it is printed in the method. Undefined below 300 negative clusters in the calibration split (10 / fpr
    for rates below 1 %).
    """
    needed = MIN_CONTROLS if fpr >= 0.01 else math.ceil(10 / fpr)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        if not len(observations):
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no cases")
        scores, labels, clusters = scorer(observations)
        if not labels.size:  # no unit among them: canaries alone, say
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: no cases")
        calibrating = folds_of(clusters, 2, seed=1) == 0
        held_out = ~labels & ~calibrating
        controls = int(np.unique(clusters[~labels & calibrating]).size)
        method = ""
        if np.isnan(scores).any() or not labels.any() or not held_out.any():
            method = "undefined: a case has no score, or a class is missing"
        elif controls < needed:
            method = f"undefined: {controls} negative clusters to calibrate on, {needed} needed"
        if method:
            return Estimate(math.nan, math.nan, math.nan, controls, method)
        threshold = uncertainty.threshold_at_fpr(scores[~labels & calibrating], fpr)
        hits = (scores[labels] > threshold).astype(np.float64)
        found = uncertainty.rate_interval(hits, clusters[labels], confidence)
        alarms = (scores[held_out] > threshold).astype(np.float64)
        checked = uncertainty.rate_interval(alarms, clusters[held_out], confidence)
        method = f"{found.method}; held-out FPR {alarms.mean():.3f} [{checked.low:.3f}, {checked.high:.3f}]"
        return Estimate(float(hits.mean()), found.low, found.high, found.n, method)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        first, second = estimate(old, confidence, rng), estimate(new, confidence, rng)
        # Each has its own threshold; the bounds of the two add up (conservative).
        return Estimate(
            second.value - first.value, second.low - first.high, second.high - first.low, second.n, "bounds added"
        )

    return Metric(name, estimate, difference, better, f"tpr@fpr={fpr:g}|threshold:calibration half, strict")
