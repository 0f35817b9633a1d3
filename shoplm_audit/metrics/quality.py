"""How well a model does a shop's work: chrF, BLEU with the right tokenizer, macro-F1, perplexity per byte.

chrf("这款手机", "这款手机") -> 100.0
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.metrics.reduce import sums_of
from shoplm_audit.types import Estimate, Floats, Metric, Observation, Observations

__all__ = ["bleu_of", "bleu_sums", "chrf", "macro_f1_of", "perplexity_per_byte_of"]

_ORDERS = 4
_TOKENIZER = {"en": "13a", "zh": "zh"}  # 13a leaves a Chinese sentence one token, and its BLEU is then 0


def chrf(text: str, reference: str) -> float:
    """chrF2 of one text, 0 to 100; needs no tokenizer, so it holds for Chinese as it is (Popović 2015; sacreBLEU)."""
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(text, [reference]).score)


# A text is asked for once for all cases and once for those of its language.
@functools.lru_cache(maxsize=1 << 14)
def bleu_sums(text: str, reference: str, language: str) -> tuple[float, ...]:
    """What corpus BLEU adds up for one text: lengths, then matches and totals of 1- to 4-grams, (2 + 2 * 4,)."""
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(tokenize=_TOKENIZER[language], effective_order=True)
    found = scorer.sentence_score(text, [reference])
    return (float(found.sys_len), float(found.ref_len), *map(float, found.counts), *map(float, found.totals))


def _bleu(sums: Floats) -> Floats:
    written, expected = sums[:, 0], sums[:, 1]
    matches, totals = sums[:, 2 : 2 + _ORDERS], sums[:, 2 + _ORDERS :]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Exponential smoothing of orders without a match, as sacreBLEU's default: 1/(2^k * total).
        empty = (matches == 0) & (totals > 0)
        smoothed = np.where(empty, 1 / (2.0 ** np.cumsum(empty, axis=1) * totals), matches / totals)
        brevity = np.where(written < expected, np.exp(1 - expected / written), 1.0)
        score = 100 * brevity * np.exp(np.log(smoothed).mean(axis=1))
    return np.where((matches.sum(axis=1) == 0) | (written == 0) | (totals.min(axis=1) == 0), 0.0, score)


def bleu_of(text: str = "text") -> Metric:
    """Corpus BLEU, 0 to 100, against each case's reference: 13a tokens in English, sacreBLEU's zh in Chinese.

    A case without an answer counts as a text of the reference's length without a match; as an empty text it would
    raise the precision of the rest.
    """

    def sums(row: Observation, written: str) -> tuple[float, ...]:
        reference = row.case.reference or ""
        if row.status == "scored":
            return bleu_sums(written, reference, row.case.language)
        same = bleu_sums(reference, reference, row.case.language)
        return (*same[:2], *[0.0] * _ORDERS, *same[2 + _ORDERS :])

    def rows(observations: Observations) -> Floats:
        table = [sums(row, written) for row, written in zip(observations, observations.texts(text), strict=True)]
        return np.array(table, dtype=np.float64).reshape(len(table), 2 + 2 * _ORDERS)

    version = importlib.metadata.version("sacrebleu")
    signature = f"corpus_bleu|case:mixed|tok:en=13a,zh=zh|smooth:exp|version:{version}"
    return sums_of("corpus_bleu", rows, _bleu, better="higher", signature=signature)


def macro_f1_of(column: str, labels: Sequence[str], *, name: str) -> Metric:
    """Macro-F1 of a predicted label against each case's reference, 0 to 1.

    Args:
        column: the label that was read off the answer; anything else than one of `labels`, or none, counts as an
            answer of the other classes in equal parts.
        labels: the classes, at least two.
        name: of the metric.
    """
    classes = list(labels)
    size = len(classes)

    def rows(observations: Observations) -> Floats:
        # Support, predicted, hit per class: their sums give F1 = 2 hit / (support + predicted).
        table = np.zeros((len(observations), 3 * size))
        for i, (row, answer) in enumerate(zip(observations, observations.texts(column), strict=True)):
            truth = classes.index(str(row.case.reference))
            table[i, truth] = 1
            if answer in classes:
                table[i, size + classes.index(answer)] = 1
            else:
                # As if the other classes had been answered: were it none, a hard case would better be left unanswered.
                table[i, size : 2 * size] = 1 / (size - 1)
                table[i, size + truth] = 0
            table[i, 2 * size + truth] = float(answer == classes[truth])
        return table

    def statistic(sums: Floats) -> Floats:
        support, predicted, hit = sums[:, :size], sums[:, size : 2 * size], sums[:, 2 * size :]
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(support > 0, 2 * hit / (support + predicted), np.nan)
        return np.where((support == 0).any(axis=1), np.nan, f1.mean(axis=1))

    signature = f"macro_f1|labels:{','.join(classes)}|unparsed:other class"
    bootstrapped = sums_of(name, rows, statistic, better="higher", signature=signature)

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        found = bootstrapped.estimate(observations, confidence, rng)
        if found.value not in (0.0, 1.0) or not math.isnan(found.low):
            return found
        # All right or all wrong: nothing to resample. Each class then keeps the exact bound of its own cases.
        truth = [str(row.case.reference) for row in observations]
        units = [
            len({c for c, t in zip(observations.clusters.tolist(), truth, strict=True) if t == k}) for k in classes
        ]
        fewest = min(units)
        low, high = uncertainty.clopper_pearson(found.value * fewest, fewest, confidence)
        return Estimate(found.value, low, high, found.n, f"exact binomial of the rarest class, {fewest} units")

    return replace(bootstrapped, estimate=estimate)


def perplexity_per_byte_of(nats: str, size: str) -> Metric:
    """exp(nats per UTF-8 byte) of reference texts: comparable between tokenizers and between English and Chinese."""

    def rows(observations: Observations) -> Floats:
        return np.column_stack([-observations.numbers(nats), observations.numbers(size)])

    def statistic(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums[:, 1] > 0, np.exp(sums[:, 0] / sums[:, 1]), np.nan)

    return sums_of("perplexity_per_byte", rows, statistic, better="lower", signature="exp(nats/UTF-8 bytes)")
