"""Answers to exercises of public benchmarks: scored right, and as a benchmark's own scorer would where that errs.

    marked(exercise, "10").score, marked(exercise, "10").published   # gold "1": 0.0, and 1.0 by its first character

What public scorers do is restated from their sources: Shopping MMLU compares the first character of a choice, reads
numbers from all lines of a retrieval, counts a repeated number of a ranking each time and takes 0 for the last item,
and counts a phrase that is said twice as a false one; rouge_score drops every character that is not ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from shoplm_audit.data.records import Exercise
from shoplm_audit.scoring.overlap import rouge, tokens_of
from shoplm_audit.scoring.quantities import level

__all__ = ["Marked", "chance_of", "marked"]

_SHOWN = 3  # numbers of a retrieval that count
_INTEGER = re.compile(r"(?<![\d.])\d+(?![\d.]*\d)")


@dataclass(frozen=True, slots=True)
class Marked:
    """The marks of one answer.

    Attributes:
        score: 0 to 1; an answer that cannot be read has 0.
        published: what the benchmark's own scorer gives; None where it needs a model, or is right.
        readable: whether there was an answer of the form that was asked for.
        hits, false, missed: of entities: right phrases, wrong ones and those left out, as sets.
        false_published: wrong ones by the benchmark's own count.
    """

    score: float
    published: float | None = None
    readable: bool = True
    hits: int | None = None
    false: int | None = None
    missed: int | None = None
    false_published: int | None = None


def marked(exercise: Exercise, text: str) -> Marked:
    """The marks of an answer; whatever the text is, it is marked."""
    return _MARKERS[exercise.form](exercise, text.strip())


def chance_of(exercise: Exercise) -> float:
    """The score of an answer at random, 0 to 1; 0 for what nobody could hit by chance."""
    if exercise.form == "choice":
        options = re.findall(r"(?m)^\s*\(?\d+[.):]", exercise.prompt)
        return 1 / len(options) if len(options) > 1 else 0.0
    return 1 / len(exercise.labels) if exercise.form == "label" and len(exercise.labels) > 1 else 0.0


def _choice(exercise: Exercise, text: str) -> Marked:
    found, gold = _INTEGER.search(text), exercise.answers[0]
    right = found is not None and int(found[0]) == int(gold) if gold.isdecimal() else text == gold
    return Marked(float(right), float(text[:1] == gold[:1]), found is not None)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _INTEGER.findall(text)]


def _retrieval(exercise: Exercise, text: str) -> Marked:
    gold = {int(one) for one in exercise.answers if one.isdecimal()}
    first = list(dict.fromkeys(_numbers(text.partition("\n")[0])))[:_SHOWN]
    room = min(_SHOWN, len(gold)) or 1
    everywhere = _numbers(text)[:_SHOWN]
    return Marked(len(gold & set(first)) / room, len(gold & set(everywhere)) / (len(gold) or 1), bool(first))


def _discounted(gains: Sequence[float]) -> float:
    powers = np.exp2(np.array(gains, dtype=np.float64)) - 1
    return float((powers / np.log2(np.arange(2, len(gains) + 2))).sum())


def _ranking(exercise: Exercise, text: str) -> Marked:
    """NDCG with the gain 2^relevance - 1: each item once, those not named last, in the worst order."""
    count, best = len(exercise.gains), _discounted(sorted(exercise.gains, reverse=True))
    said = _numbers(text)
    order = [one for one in dict.fromkeys(said) if 1 <= one <= count]
    left = sorted((gain for i, gain in enumerate(exercise.gains, 1) if i not in order))
    ranked = [exercise.gains[one - 1] for one in order] + left
    # As published: a number as often as it stands there, and 0 is the last item of the list.
    counted = [exercise.gains[one - 1] for one in said[:count] if one <= count]
    return Marked(_discounted(ranked) / best if order else 0.0, _discounted(counted) / best, bool(order))


def _phrases(text: str) -> list[str]:
    """The phrases of an answer, as written; "none" is no phrase."""
    parts = (part.strip(" .。\"'“”-") for part in re.split(r"[\n,，;；]", text))
    return [part for part in parts if part and part.casefold() not in ("none", "无", "没有")]


def _entities(exercise: Exercise, text: str) -> Marked:
    said = [_key(phrase) for phrase in _phrases(text)]
    gold = {_key(phrase) for phrase in exercise.answers}
    hits = len(gold & set(said))
    false, missed = len(set(said)) - hits, len(gold) - hits
    score = 2 * hits / (2 * hits + false + missed) if gold or said else 1.0
    repeated = len(said) - hits
    published = 2 * hits / (2 * hits + repeated + missed) if gold or said else 1.0
    return Marked(score, published, bool(said), hits, false, missed, repeated)


def _label(exercise: Exercise, text: str) -> Marked:
    """Right where the text names the right label and no other; "不匹配" does not name "匹配"."""
    low = _key(text)
    names = sorted((_key(label) for label in exercise.labels), key=len, reverse=True)
    found = {match[0] for match in re.finditer("|".join(map(re.escape, names)), low)}
    return Marked(float(found == {_key(exercise.answers[0])}), readable=len(found) == 1)


def _short(exercise: Exercise, text: str) -> Marked:
    """The share of the facts of the right answer that the text states; the benchmark itself asks a judge model."""
    facts = [_key(part) for part in re.split("[、，,;；]|以及|和", exercise.answers[0]) if _key(part)]
    said = _key(text)
    return Marked(sum(fact in said for fact in facts) / len(facts) if facts else 0.0, readable=bool(said))


def _key(text: str) -> str:
    return " ".join(level(text).casefold().strip(" .。\"'“”").split()).replace("：", ":")


def _text(exercise: Exercise, text: str) -> Marked:
    """ROUGE-L, or sentence BLEU by characters or tokens, as the row asks for; sentence vectors need a model."""
    gold = exercise.answers[0]
    if exercise.metric.endswith("bleu"):
        published = None if exercise.metric.startswith("jp") else _bleu("13a").sentence_score(text, [gold]).score / 100
        japanese = re.search("[\u3040-\u30ff\u4e00-\u9fff]", gold)
        right = _bleu("char" if japanese else "13a").sentence_score(text, [gold]).score / 100
        return Marked(min(right, 1.0), published, bool(text))
    language = "zh" if re.search("[\u4e00-\u9fff]", gold) else exercise.language
    found = rouge(text, gold, language).rougeL
    published = _ascii_rouge(text, gold) if exercise.metric == "rougel" else None
    return Marked(found, published, bool(tokens_of(text, language)))


@cache
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenizer, lowercase=True, effective_order=True)


def _ascii_rouge(text: str, gold: str) -> float:
    """ROUGE-L of what rouge_score's own tokenizer leaves of both: runs of ASCII letters and digits."""
    said, meant = (" ".join(re.findall("[a-z0-9]+", one.lower())) for one in (text, gold))
    return rouge(said, meant, "en").rougeL


_MARKERS: Mapping[str, Callable[[Exercise, str], Marked]] = {
    "choice": _choice,
    "retrieval": _retrieval,
    "ranking": _ranking,
    "entities": _entities,
    "label": _label,
    "text": _text,
    "short": _short,
}
