"""PARENT: how much of a text its reference or its table bears out, and how much of both it says.

    parent(["drummer", "born"], [["drummer", "born", "1965"]], [["drummer"], ["1965"]]).table_recall -> 0.5

Dhingra et al. 2019 (arXiv 1906.01081). F ranks a fluent lie above a short truth when the lie is nearer to the
reference; `parent_t` asks the table alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shoplm_audit.scoring.overlap import tokens_of

__all__ = ["Parent", "parent", "parent_t"]

ORDERS = 4
_SMOOTH = 1e-5
Tokens = Sequence[str]


@dataclass(frozen=True, slots=True)
class Parent:
    """Precision, recall and their F in 0..1, and what recall is made of (nan where there is no reference)."""

    precision: float
    recall: float
    f: float
    reference_recall: float
    table_recall: float


def parent(
    prediction: Tokens, references: Sequence[Tokens], table: Sequence[Tokens], *, table_share: float = 0.5
) -> Parent:
    """PARENT of one text, with the reference that gives the highest F.

    n-gram precision counts what the reference has, and of the rest the share of words in the table; recall is the
    geometric mean of the reference's entailed n-grams and of the longest common subsequences with the table's values.

    Args:
        prediction: tokens.
        references: at least one, each as tokens (not one reference: that would be read as references of characters).
        table: the values as tokens; of triples head and tail.
        table_share: the table's share in recall, 0..1 (lambda).

    Raises:
        ValueError: no reference, or a reference that is a string.
    """
    if not references or any(isinstance(reference, str) for reference in references):
        raise ValueError("references must be lists of tokens, at least one of them.")
    values = {token for value in table for token in value}
    table_recall = _table_recall(prediction, table)
    best: Parent | None = None
    for reference in references:
        precision = _precision(prediction, reference, values)
        reference_recall = _reference_recall(prediction, reference, values)
        recall = (reference_recall or _SMOOTH) ** (1 - table_share) * (table_recall or _SMOOTH) ** table_share
        f = 2 * precision * recall / (precision + recall + 1e-8)
        if best is None or f > best.f:
            best = Parent(precision, recall, f, reference_recall, table_recall)
    assert best is not None
    return best


def parent_t(prediction: str | Tokens, table: Mapping[str, str] | Sequence[Tokens]) -> Parent:
    """PARENT against the table alone (PARENT-T): the share of words the table has, and of the table said.

    Args:
        prediction: a text (its words and numbers, Chinese by characters, no signs), or tokens.
        table: attribute and value, or values as tokens.

    >>> round(parent_t("黑色棉衬衫", {"颜色": "黑色", "材质": "棉"}).precision, 2)
    0.63
    """
    tokens = tokens_of(prediction, "en") if isinstance(prediction, str) else prediction
    rows = [tokens_of(value, "en") for value in table.values()] if isinstance(table, Mapping) else list(table)
    orders = max(1, min(ORDERS, len(tokens)))  # a text of two words has no runs of three that it could lack
    precision = _precision(tokens, (), {token for value in rows for token in value}, orders)
    recall = _table_recall(tokens, rows)
    f = 2 * precision * recall / (precision + recall + 1e-8)
    return Parent(precision, recall, f, math.nan, recall)


def _ngrams(tokens: Tokens, order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[place : place + order]) for place in range(len(tokens) - order + 1))


def _weight(gram: Iterable[str], values: set[str]) -> float:
    words = list(gram)
    return sum(word in values for word in words) / len(words)


def _mean(scores: Sequence[float]) -> float:
    """The geometric mean; a zero of the first order stays zero, others are smoothed."""
    if scores[0] == 0:
        return 0.0
    return math.exp(sum(math.log(score or _SMOOTH) for score in scores) / len(scores))


def _precision(prediction: Tokens, reference: Tokens, values: set[str], orders: int = ORDERS) -> float:
    scores = []
    for order in range(1, orders + 1):
        said, known = _ngrams(prediction, order), _ngrams(reference, order)
        borne_out = 0.0
        for gram, count in said.items():
            share = min(1.0, known[gram] / count)
            borne_out += count * (share + (1 - share) * _weight(gram, values))
        scores.append(borne_out / said.total() if said else 0.0)
    return _mean(scores)


def _reference_recall(prediction: Tokens, reference: Tokens, values: set[str]) -> float:
    scores = []
    for order in range(1, ORDERS + 1):
        said, known = _ngrams(prediction, order), _ngrams(reference, order)
        weights = {gram: count * _weight(gram, values) for gram, count in known.items()}
        found = sum(weight * min(1.0, said[gram] / known[gram]) for gram, weight in weights.items())
        entailed = sum(weights.values())
        scores.append(found / entailed if entailed else 1.0)
    return _mean(scores)


def _table_recall(prediction: Tokens, table: Sequence[Tokens]) -> float:
    rows = [value for value in table if value]
    if not rows:
        return math.nan
    return sum(_common(value, prediction) / len(value) for value in rows) / len(rows)


def _common(one: Tokens, other: Tokens) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, each in enumerate(other, 1):
            before, row[place] = row[place], before + 1 if word == each else max(row[place], row[place - 1])
    return row[-1]
