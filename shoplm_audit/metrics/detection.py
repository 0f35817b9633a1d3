"""Can generated texts be told from reference texts? Detectors across products, AUROC, TPR at a false-positive rate.

    auroc_of(two_sided("likelihood"), name="auroc_likelihood") reads "likelihood" and "likelihood_reference"

Each observation holds a generated text and, under "<column>_reference", the reference text of the same product.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.data.cues import dialects
from shoplm_audit.metrics.out_of_fold import (
    SHORTEST,
    Sides,
    detector_scores,
    folds_of,
    linked,
    long_of,
    sides_of,
)
from shoplm_audit.scoring.disguise import disguise
from shoplm_audit.scoring.platform_detector import TOLD, Kind, tokens
from shoplm_audit.types import Better, Estimate, Floats, Metric, Observations

__all__ = [
    "BUCKETS",
    "auroc_of",
    "detector_scores",
    "flagged_contrast_of",
    "folds_of",
    "label_auroc_of",
    "scored",
    "supervised",
    "tpr_at_fpr_of",
    "two_sided",
]

MIN_CONTROLS = 300  # below this an observed 1 % of false positives can be 3 % (Clopper-Pearson): no TPR at 1 % is given
# Out-of-fold scores share their training texts: over data sets their AUROC spreads 1.4 to 1.6 times as far as DeLong's
# error says, so that a blind baseline would "win" on every sixth fair coin (simulated in the tests).
OUT_OF_FOLD = 1.6
BUCKETS = ((SHORTEST, 25), (26, 50), (51, 100), (101, 200), (201, math.inf))  # of tokens, both ends inside
_ABROAD = 0.5  # of a standard's sentences
_FEWEST = 10  # texts in a bucket or a category, sentences of a contrast


Scored = tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]
Scorer = Callable[[Observations], Scored]


def two_sided(column: str, *, reference: str = "", only: str = "", languages: Sequence[str] = ()) -> Scorer:
    """Scores of generated texts (positives) and of their references (negatives), clustered by product.

    Args:
        column: of the generated texts.
        reference: the column of the references; "<column>_reference" by default.
        only: a fact; where it does not hold, a case gives its reference alone ("" is nowhere).
        languages: cases in others are left out; none means all.
    """

    def scorer(observations: Observations) -> Scored:
        rows = [row for row in observations if not languages or row.case.language in languages]
        asked = Observations(tuple(rows))
        mine = np.array([not only or bool(row.case.facts.get(only)) for row in rows], dtype=bool)
        generated, references = asked.numbers(column)[mine], asked.numbers(reference or f"{column}_reference")
        labels = np.repeat([True, False], [generated.size, references.size])
        return np.concatenate([generated, references]), labels, np.concatenate([asked.clusters[mine], asked.clusters])

    return scorer


def scored(column: str, label: str) -> Scorer:
    """Scores under one column, positives where another column is true."""

    def scorer(observations: Observations) -> Scored:
        labels = np.array([bool(row.values.get(label, row.case.facts.get(label))) for row in observations], dtype=bool)
        return observations.numbers(column), labels, observations.clusters

    return scorer


def supervised(
    column: str, kind: Kind = "both", *, languages: Sequence[str] = (), disguised: str = "", instead: str = ""
) -> Scorer:
    """Out-of-fold scores of the supervised detector of generated texts (positives) and of their references.

    Args:
        column: of the generated texts; the references stand under "<column>_reference".
        kind: of the detector.
        languages: cases in others are left out; none means all.
        disguised: a kind of `DISGUISES` that is put on every text after training, on generated and human ones.
        instead: a column of texts that take the place of the generated ones after training (their paraphrases).
    """

    def scorer(observations: Observations) -> Scored:
        sides = sides_of(observations, column, languages)
        scores, fault = sides.scores(kind)
        trained = None if fault or not (disguised or instead) else sides.trained(kind)
        if trained:
            texts = sides.texts
            if instead:
                texts = (*sides.rows.texts(instead), *texts[len(sides.rows) :])
            if disguised:
                texts = tuple(_disguised(disguised, *one) for one in zip(texts, sides.languages, strict=True))
            scores = trained.scores_of(texts)
        return scores, sides.labels, sides.clusters

    return scorer


@lru_cache(maxsize=1 << 14)  # slices ask again
def _disguised(kind: str, text: str, language: str) -> str:
    """The text in a disguise that depends on nothing but itself."""
    return disguise(kind, text, language, np.random.default_rng(zlib.crc32(text.encode("utf-8", "surrogatepass"))))


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


def label_auroc_of(
    text: str,
    *,
    name: str,
    better: Better,
    kind: Kind = "both",
    bucket: tuple[float, float] | None = None,
    apart: str = "",
) -> Metric:
    """AUROC of the supervised detector between a text column and its `<column>_reference`, products kept apart.

    A case without a text makes it undefined: a missing answer looks like nothing that a detector knows. Texts under 10
    tokens are left out and counted; where they are the most, nothing is told.

    Args:
        text: the column.
        name: of the metric.
        better: which way is better.
        kind: of the detector.
        bucket: only cases whose generated text has from so many to so many tokens are looked at; the detector still
            learns from all.
        apart: a group of cases ("category"): no detector learned from the category of a text that it is asked about.
            The interval holds for these categories.
    """

    def looked_at(sides: Sides) -> NDArray[np.int64]:
        low, high = bucket or (0, math.inf)
        here = [low <= tokens(one) <= high for one in sides.texts[: len(sides.rows)]]
        return np.flatnonzero(np.tile(here, 2))

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        sides = sides_of(observations, text)
        scores, fault = sides.scores(kind, apart)
        scores = _by_language(scores, sides.languages)
        groups = [row.case.of(apart) for row in sides.rows] if apart else []
        if apart and sum(groups.count(group) >= _FEWEST for group in set(groups)) < 2:
            fault = fault or f"fewer than 2 {apart} groups have {_FEWEST} texts"
        here = looked_at(sides)
        if fault or (bucket and here.size < 2 * _FEWEST):
            n = here.size // 2 if bucket else len(sides.rows)
            why = fault or f"fewer than {_FEWEST} texts of this length"
            return Estimate(math.nan, math.nan, math.nan, n, f"undefined: {why}", note=sides.note)
        value, found, _ = uncertainty.auroc_interval(
            scores[here], sides.labels[here], sides.clusters[here], confidence, OUT_OF_FOLD
        )
        return Estimate(value, found.low, found.high, found.n, found.method, note=sides.note)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        both = np.flatnonzero(long_of(old, text) & long_of(new, text))
        first, second = sides_of(old.take(both), text), sides_of(new.take(both), text)
        (one, fault), (other, why) = first.scores(kind, apart), second.scores(kind, apart)
        one, other = _by_language(one, first.languages), _by_language(other, second.languages)
        here = np.intersect1d(looked_at(first), looked_at(second))
        if fault or why or here.size < 2 * _FEWEST or any(row.status != "scored" for row in (*old, *new)):
            return Estimate(math.nan, math.nan, math.nan, len(both), f"undefined: {fault or why or 'too few texts'}")
        clusters = linked(first.clusters, second.clusters)[here]
        value, found = uncertainty.auroc_difference(
            one[here], other[here], first.labels[here], clusters, confidence, OUT_OF_FOLD
        )
        return Estimate(value, found.low, found.high, found.n, found.method)

    folds = f"folds by {apart}" if apart else "5 folds by cluster"
    looked = f"|{bucket[0]:g}-{bucket[1]:g} tokens" if bucket else ""
    return Metric(
        name, estimate, difference, better, f"auroc|{TOLD[kind]}|{folds}|at least 10 tokens|by language{looked}"
    )


def _by_language(scores: Floats, languages: Sequence[str]) -> Floats:
    """Scores less the mean of their language: nobody has to tell apart two texts in two languages."""
    of = np.array(languages)
    centred = scores.copy()
    for language in np.unique(of):
        centred[of == language] -= scores[of == language].mean()
    return centred


def tpr_at_fpr_of(scorer: Scorer, fpr: float, *, name: str, better: Better, disguised: Scorer | None = None) -> Metric:
    """The share of positives above the threshold that lets through `fpr` of the negatives.

    The threshold comes from one half of the negative clusters, the calibration split; how often the other half lies
    above it is printed in the method. Undefined below 300 negative clusters in the calibration split for 1 %, which is
    3 / fpr (10 / fpr for rates below 1 %).

    Args:
        scorer: from observations to scores, labels and clusters.
        fpr: the rate of false positives.
        name: of the metric.
        better: which way is better.
        disguised: scores of the same texts in a disguise. Then positives are disguised ones, while the threshold still
            comes from negatives as they are; `checks` hold the shares of both as they are and in the disguise.
    """
    needed = math.ceil((MIN_CONTROLS / 100 if fpr >= 0.01 else 10) / fpr)

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
        above = scores > threshold
        alarms = above[held_out].astype(np.float64)
        checked = uncertainty.rate_interval(alarms, clusters[held_out], confidence)
        checks = {"false_positives": float(alarms.mean())}
        if disguised is not None:
            checks |= {"share_undisguised": float(above[labels].mean())}
            above = disguised(observations)[0] > threshold
            checks |= {"false_positives_disguised": float(above[held_out].mean())}
        hits = above[labels].astype(np.float64)
        found = uncertainty.rate_interval(hits, clusters[labels], confidence)
        method = f"{found.method}; held-out FPR {alarms.mean():.3f} [{checked.low:.3f}, {checked.high:.3f}]"
        return Estimate(float(hits.mean()), found.low, found.high, found.n, method, checks=checks)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        first, second = estimate(old, confidence, rng), estimate(new, confidence, rng)
        # Each has its own threshold; the bounds of the two add up (conservative).
        return Estimate(
            second.value - first.value, second.low - first.high, second.high - first.low, second.n, "bounds added"
        )

    return Metric(name, estimate, difference, better, f"tpr@fpr={fpr:g}|threshold:calibration half, strict")


def _foreign(share: float) -> str:
    """Whether a detector knows too little of some people's texts to tell one of their ways of writing from another."""
    return f"invalid: {share:.0%} of the sentences in the standard are flagged too" if share > _ABROAD else ""


def flagged_contrast_of(text: str, variety: str, language: str, *, fpr: float = 0.05, kind: Kind = "both") -> Metric:
    """How much more often the supervised detector takes a human text for generated in a variety than in the standard.

    The detector learns from the generated and the reference texts of a language; the threshold lets through `fpr` of
    these references. It is then asked about sentences of the pack of dialects, which people wrote, in both forms. The
    independent unit is the sentence; the interval (paired t) holds for this detector. Named
    `contrast_flagged_{variety}`; `checks` hold both shares. Invalid where the standard itself is mostly
    flagged, so that hardly more of the variety could be.

    Args:
        text: the column of generated texts.
        variety: of the language ("aae", "cantonese"): `data.cues.dialects`.
        language: "en" or "zh".
        fpr: the rate of false positives among references.
        kind: of the detector.
    """
    needed = math.ceil(MIN_CONTROLS / 100 / fpr)

    @cache
    def sentences() -> tuple[list[tuple[str, str]], str]:
        """Those of at least 10 tokens in both forms, and how many are not."""
        every = [(one.standard, one.changed) for one in dialects(language) if one.variety == variety]
        long = [pair for pair in every if min(map(tokens, pair)) >= SHORTEST]
        short = len(every) - len(long)
        return long, f"left out: {short} of {len(every)} sentences under {SHORTEST} tokens" if short else ""

    def flags(observations: Observations) -> tuple[Floats, str]:
        """Whether each sentence is flagged, in the standard and in the variety (P, 2), or why that is unknown."""
        sides = sides_of(observations, text, (language,))
        scores, fault = sides.scores(kind)
        trained = None if fault else sides.trained(kind)
        human = ~sides.labels
        controls = int(np.unique(sides.clusters[human]).size)
        if trained is None or controls < needed:
            return np.zeros((0, 2)), fault or f"{controls} references to calibrate on, {needed} needed"
        threshold = uncertainty.threshold_at_fpr(scores[human], fpr)
        pairs = sentences()[0]
        found = np.zeros((len(pairs), 2))
        # Each pair is read by one detector of the folds, as each reference was, so that the threshold fits.
        for fold, detector in enumerate(trained.detectors):
            mine = slice(fold, None, len(trained.detectors))
            for side in (0, 1):
                found[mine, side] = detector.scores([pair[side] for pair in pairs[mine]]) > threshold
        return found, ""

    def contrast(values: Floats, confidence: float) -> Estimate:
        value, n = float(values.mean()), values.size
        if n >= 2 and np.ptp(values) > 0:
            from scipy import special

            half = float(special.stdtrit(n - 1, confidence) * values.std(ddof=1) / math.sqrt(n))
            low, high = max(-1.0, value - half), min(1.0, value + half)
            return Estimate(value, low, high, n, "paired t over sentences", freedom=n - 1)
        low, high = uncertainty.unseen_bounds(value, n, -1.0, 1.0, confidence)
        return Estimate(value, low, high, n, "exact, every sentence alike")

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        here = Observations(tuple(row for row in observations if row.case.language == language))
        found, fault = flags(here)
        pairs, note = sentences()
        if fault or len(pairs) < _FEWEST:
            fault = fault or f"fewer than {_FEWEST} sentences"
            return Estimate(math.nan, math.nan, math.nan, len(here), f"undefined: {fault}", note=note)
        standard, changed = found.mean(axis=0)
        checks = {"flagged_standard": float(standard), "flagged_variety": float(changed)}
        note = "; ".join(filter(None, (_foreign(standard), note)))
        return replace(contrast(found[:, 1] - found[:, 0], confidence), note=note, checks=checks)

    def difference(old: Observations, new: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        (first, fault), (second, other) = flags(old), flags(new)
        if fault or other or len(first) < _FEWEST:
            return Estimate(math.nan, math.nan, math.nan, len(old), f"undefined: {fault or other or 'few sentences'}")
        return contrast((second[:, 1] - second[:, 0]) - (first[:, 1] - first[:, 0]), confidence)

    signature = f"contrast|flagged|{language}:{variety}-standard|{TOLD[kind]}|fpr={fpr:g}|units:sentences"
    return Metric(f"contrast_flagged_{variety}", estimate, difference, "zero", signature)
