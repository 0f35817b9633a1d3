"""How different the texts are that a model writes for different products, over all of them together.

    shared_8_grams_of("text", name="rate_shared_8_grams") -> Metric("rate_shared_8_grams", better="lower")

A bootstrap draws a product twice and so makes repeats that nobody wrote. These metrics therefore leave products out in
turn: the jackknife's variance is not below the true one on average (Efron and Stein 1981). Products are independent
given the model, texts that share words are not: what the loss of one product changes in the others is part of it.
Identical texts of one product count once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from shoplm_audit import uncertainty
from shoplm_audit.scoring.diversity import VOCABULARY, SelfBleu, chosen_groups, expected_distinct, sharing_groups
from shoplm_audit.scoring.overlap import grams_of, tokens_of
from shoplm_audit.types import Better, Estimate, Floats, Metric, Observations

__all__ = ["distinct_of", "self_bleu_of", "shared_8_grams_of"]

_TOKENS = "case:lc|norm:nfkc|tok:en=letters and digits,zh=sacrebleu zh"
_PARTS = 40  # of products, left out in turn, where it takes long to leave out each of them


@dataclass(frozen=True, slots=True)
class _Left:
    """A statistic of all products, and its values without each (or each part) of them, (K,); n counts products."""

    value: float
    without: Floats
    n: int

    @property
    def error(self) -> float:
        """The jackknife's standard error."""
        k = self.without.size
        return math.sqrt((k - 1) / k * float(((self.without - self.without.mean()) ** 2).sum()))


_NOTHING = _Left(math.nan, np.zeros(0), 0)
Statistic = Callable[[Observations], _Left]
Bounds = Callable[[_Left, float, float], tuple[float, float, str]]


def _around(left: _Left, span: float, confidence: float) -> tuple[float, float, str]:
    """Bounds of a number by Student's t, corrected for skewness; `span` is how far it can lie from where it is."""
    if left.error <= 1e-12 * span:
        # No product differs from the rest: of another kind is at most the exact share that n of them may have missed.
        half = span * (1 - (1 - confidence) ** (1 / left.n))
        return left.value - half, left.value + half, "exact, no product differs"
    k = left.without.size
    step = float(special.stdtrit(k - 1, confidence))
    # Few products share much, and where they are rare the error looks small too: both bounds move by the skewness of
    # what products contribute (Johnson 1978).
    pull = left.without.mean() - left.without
    shift = float((pull**3).sum() / (6 * (pull**2).sum() ** 1.5)) * (1 + 2 * step**2)
    low, high = left.value - max(0.0, step - shift) * left.error, left.value + max(0.0, step + shift) * left.error
    return low, high, f"jackknife over {k} parts of products"


def _of_rate(left: _Left, span: float, confidence: float) -> tuple[float, float, str]:
    """Exact bounds of a rate at the number of cases that has the jackknife's variance.

    What is shared is shared by two: there are never more independent cases than half the products.
    """
    effective, rate = left.n / 2, left.value
    if left.error > 1e-12 and 0 < rate < 1:
        shrink = (special.ndtri(confidence) / special.stdtrit(left.without.size - 1, confidence)) ** 2
        effective = min(effective, rate * (1 - rate) / left.error**2 * shrink)
    low, high = uncertainty.clopper_pearson(rate * effective, effective, confidence)
    return low, high, f"exact binomial, {effective:.0f} effective of {left.n} products (jackknife)"


def _jackknifed(
    name: str, statistic: Statistic, *, better: Better, best: float, signature: str, bounds: Bounds = _around
) -> Metric:
    """A metric of texts taken together, from 0 to `best`, with a jackknife over products."""

    def bounded(left: _Left, lowest: float, bounds: Bounds, confidence: float) -> Estimate:
        if math.isnan(left.value) or left.n < uncertainty.MIN_CLUSTERS or not np.isfinite(left.without).all():
            method = f"undefined below {uncertainty.MIN_CLUSTERS} products"
            return Estimate(left.value, math.nan, math.nan, left.n, method)
        low, high, method = bounds(left, best - lowest, confidence)
        low, high = min(left.value, max(low, lowest)), max(left.value, min(high, best))
        return Estimate(left.value, low, high, left.n, method)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        return bounded(statistic(observations), 0.0, bounds, confidence)

    def difference(first: Observations, second: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        old, new = statistic(first), statistic(second)
        if old.without.shape != new.without.shape:
            return Estimate(math.nan, math.nan, math.nan, new.n, "undefined: not the same products")
        change = _Left(new.value - old.value, new.without - old.without, new.n)
        if change.value == 0 and not change.without.any():
            return Estimate(change.value, math.nan, math.nan, new.n, "undefined: no product differs")
        found = bounded(change, -best, _around, confidence)
        return replace(found, method=f"paired {found.method}")

    return Metric(name, estimate, difference, better, signature)


@dataclass(frozen=True, slots=True)
class _Text:
    """What was written for a product; "" where there is no answer."""

    product: int
    language: str
    text: str


def _texts(observations: Observations, column: str) -> list[_Text]:
    """The texts of a column; identical ones of a product once."""
    rows = zip(observations.clusters.tolist(), observations, observations.texts(column), strict=True)
    return list(dict.fromkeys(_Text(product, row.case.language, text.strip()) for product, row, text in rows))


def distinct_of(text: str, n: int, *, name: str) -> Metric:
    """Expectation-adjusted distinct-n of all texts together, mean of the languages, 0 to 1 (`expected_distinct`).

    More than chance would leave counts as 1.

    A case without an answer, or with one too short for an n-gram, counts as the longest text of its language that says
    nothing new. For texts of different lengths take n = 1: above it the vocabulary is so large that little is adjusted.

    Args:
        text: a column.
        n: how long the runs of tokens are.
        name: of the metric.
    """

    def of_language(texts: list[_Text], language: str, products: int) -> Floats:
        """Of all products, and without each of them, (1 + products,); nan without a text."""
        owner: dict[tuple[str, ...], int] = {}
        counts, lost, longest = np.zeros(products), np.zeros(products), 0
        for one in texts:
            grams = list(grams_of(tokens_of(one.text, language), n))
            counts[one.product] += len(grams)
            lost[one.product] += not grams
            longest = max(longest, len(grams))
            for gram in grams:
                owner[gram] = one.product if owner.get(gram, one.product) == one.product else -1
        alone = np.bincount([product for product in owner.values() if product >= 0], minlength=products)
        different, total, without = (
            np.concatenate([[whole], whole - parts])
            for whole, parts in (
                (float(len(owner)), alone),
                (counts.sum() + longest * lost.sum(), counts + longest * lost),
                (float(len(texts)), np.bincount([one.product for one in texts], minlength=products)),
            )
        )
        expected = np.array([expected_distinct(size, n, language) for size in total.tolist()])
        adjusted = np.minimum(1.0, different / np.where(expected > 0, expected, 1.0))
        return np.where(without == 0, np.nan, adjusted)

    def statistic(observations: Observations) -> _Left:
        products = int(observations.clusters.max(initial=-1)) + 1
        texts = _texts(observations, text)
        languages = sorted({one.language for one in texts})
        if not texts:
            return _NOTHING
        every = np.array([of_language([one for one in texts if one.language == k], k, products) for k in languages])
        known = np.isfinite(every)
        with np.errstate(invalid="ignore"):
            means = np.where(known, every, 0.0).sum(axis=0) / known.sum(axis=0)
        return _Left(float(means[0]), means[1:], products)

    vocabulary = ",".join(f"{language}={size}" for language, size in sorted(VOCABULARY.items()))
    signature = f"ead|n:{n}|{_TOKENS}|V:{vocabulary}^n|at most 1|languages:mean|no answer:longest, nothing new"
    return _jackknifed(name, statistic, better="higher", best=1.0, signature=signature)


def self_bleu_of(text: str, *, name: str) -> Metric:
    """Mean BLEU of each text against those of other products, 0 to 100 (`SelfBleu`); no answer counts as 100.

    It grows with the number of texts: at most 200 products are compared, always the same ones of the same cases.

    Args:
        text: a column.
        name: of the metric.
    """

    def statistic(observations: Observations) -> _Left:
        products = chosen_groups(observations.clusters.tolist())
        place = {product: i for i, product in enumerate(products)}
        texts = [one for one in _texts(observations, text) if one.product in place]
        if len(products) < 2:
            return _NOTHING
        groups = np.array([place[one.product] for one in texts])
        counted = SelfBleu([(one.text, one.language) for one in texts], groups.tolist())

        def mean(left_out: Sequence[int]) -> float:
            kept = ~np.isin(groups, left_out)
            return float(counted.scores(left_out)[kept].mean())

        parts = np.array_split(np.random.default_rng(0).permutation(len(products)), min(_PARTS, len(products)))
        return _Left(mean([]), np.array([mean(part.tolist()) for part in parts]), len(products))

    signature = f"self_bleu|mean of texts|{_TOKENS}|smooth:exp|eff:yes|products:200|no answer:100"
    return _jackknifed(name, statistic, better="lower", best=100.0, signature=signature)


def shared_8_grams_of(text: str, *, name: str) -> Metric:
    """The share of texts with a run of 8 tokens that a text of another product has; no answer counts as one.

    A text of fewer tokens is such a run as a whole.

    Args:
        text: a column.
        name: of the metric.
    """

    def statistic(observations: Observations) -> _Left:
        texts = _texts(observations, text)
        if not texts:
            return _NOTHING
        products = np.array([one.product for one in texts])
        size = int(products.max()) + 1
        others = sharing_groups([(one.text, one.language) for one in texts], products.tolist())
        shares = np.array([not one.text or bool(found) for one, found in zip(texts, others, strict=True)])
        # Without a product its own texts are gone, and those that share with it alone share no more.
        only = [min(found) for one, found in zip(texts, others, strict=True) if one.text and len(found) == 1]
        gone = np.bincount(products, shares, size) + np.bincount(np.array(only, dtype=np.int64), minlength=size)
        with np.errstate(invalid="ignore"):
            without = (shares.sum() - gone) / (len(texts) - np.bincount(products, minlength=size))
        return _Left(float(shares.mean()), without, size)

    signature = f"shared_8_grams|{_TOKENS}|shorter:whole text|no answer:shared"
    return _jackknifed(name, statistic, better="lower", best=1.0, signature=signature, bounds=_of_rate)
