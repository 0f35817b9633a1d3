r"""What the public scorer of Shopping MMLU / ShopBench gives for an answer, right or not, restated from its source.

    published(exercise, "\n1")    # a choice with gold "1": 0.0, since the line break is the first character

KL4805/ShoppingMMLU, `skill_wise_eval/metrics.py`: of a choice it reads one character after the spaces; of a list it
takes what lies between commas and is an integer, in a retrieval from the whole text; of entities the first line, a
repeated phrase being a false one. ROUGE-L has a stemmer and drops every character that is not ASCII; BLEU reads the
first line and has no effective order, so that three words score 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from shoplm_audit.data.records import Exercise

__all__ = ["published", "published_counts"]

_SHOWN = 3  # numbers of a retrieval that count


def published(exercise: Exercise, text: str) -> float | None:
    """The score 0 to 1 (a ranking that repeats its best item exceeds 1) of the text as the model wrote it.

    None where it is another benchmark's row, where the scorer needs sentence vectors or a Japanese tokenizer, and for
    ROUGE-L where the package rouge_score, whose stemmer it uses, is not installed.
    """
    if exercise.benchmark != "ShopBench":
        return None
    if exercise.form == "choice":
        return float(text.strip(" ")[:1] == exercise.answers[0])
    if exercise.form == "retrieval":
        gold = {int(one) for one in exercise.answers if one.isdecimal()}
        return len(gold & set(_integers(text)[:_SHOWN])) / len(exercise.answers)
    if exercise.form == "ranking":
        return _ndcg(_integers(text.strip("\n").partition("\n")[0]), exercise.gains)
    if exercise.form == "entities":
        hits, false, missed = published_counts(exercise, text)
        return 2 * hits / (2 * hits + false + missed)
    return _overlap(exercise.metric, text, exercise.answers[0])


def published_counts(exercise: Exercise, text: str) -> tuple[int, int, int]:
    """Hits, false ones and missed ones of entities by the public scorer's count."""
    said = [part.lower().strip(" ") for part in text.lstrip("\n").partition("\n")[0].strip(" ").split(",") if part]
    gold = [one.lower() for one in exercise.answers]
    hits = len(set(said) & set(gold))
    return hits, len(said) - hits, len(gold) - hits


def _integers(text: str) -> list[int]:
    """What lies between commas and is an integer to Python."""
    found = []
    for part in text.strip().split(","):
        try:
            found.append(int(part))
        except ValueError:
            continue
    return found


def _ndcg(said: Sequence[int], gains: Sequence[float]) -> float:
    """A number as often as it stands there; 0 and -1 count from the end of the list."""
    weights = [gains[one - 1] if -len(gains) <= one - 1 < len(gains) else 0.0 for one in said[: len(gains)]]
    best = sorted(gains, reverse=True)
    return _discounted(weights) / _discounted(best)


def _discounted(gains: Sequence[float]) -> float:
    return float(sum((2.0**gain - 1) / math.log2(place) for place, gain in enumerate(gains, 2)))


def _overlap(metric: str, text: str, gold: str) -> float | None:
    if metric == "bleu":
        return float(_bleu().corpus_score([text.strip("\n").partition("\n")[0]], [[gold]]).score) / 100
    scorer = _rouge() if metric == "rougel" else None
    return None if scorer is None else float(scorer.score(gold, text)["rougeL"].fmeasure)


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=True)


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        return None
    return RougeScorer(["rougeL"], use_stemmer=True)
