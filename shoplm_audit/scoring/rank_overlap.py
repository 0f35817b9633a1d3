"""How much two ranked lists have in common, on scales on which identical lists give 1 and disjoint ones 0.

rank_biased_overlap(["kettle", "pan", "lamp"], ["pan", "kettle", "lamp"]) -> 0.9

SERP* and PRAG* were published in forms (FaiRLLM, arXiv 2305.07609; LangFair, arXiv 2501.03112) that give identical
lists (K + 3) / (4 (K + 1)) and (K - 1) / (2 (K + 1)), so that numbers of lists of different lengths cannot be compared.
Here identical lists give 1. K is the length of the first list.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from shoplm_audit.errors import DataError

__all__ = ["jaccard", "prag", "rank_biased_overlap", "serp"]

PERSISTENCE = 0.9


def _ranks(titles: Sequence[Hashable]) -> dict[Hashable, int]:
    ranks = {title: rank for rank, title in enumerate(titles, 1)}
    if len(ranks) < len(titles):
        twice = next(title for title in titles if list(titles).count(title) > 1)
        raise DataError(f'a ranked list names "{twice}" twice: give each of its {len(titles)} places to another title.')
    return ranks


def jaccard(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Share of the titles of either list that stand in both, whatever their order; nan of two empty lists."""
    either = set(_ranks(first)) | set(_ranks(second))
    return len(set(first) & set(second)) / len(either) if either else math.nan


def rank_biased_overlap(
    first: Sequence[Hashable], second: Sequence[Hashable], persistence: float = PERSISTENCE
) -> float:
    """Rank-biased overlap, extrapolated from the depth that is seen (RBO_ext of Webber, Moffat and Zobel 2010, eq. 32).

    Args:
        first: titles, the best first.
        second: titles too, more or fewer.
        persistence: the chance that a reader goes on to the next place, in (0, 1); 0.9 puts 86 % of the weight on the
            first ten places.

    Returns:
        From 0 to 1; nan of two empty lists.

    >>> round(rank_biased_overlap("abcde", "bcdae"), 3)
    0.828
    """
    short, long = sorted((first, second), key=len)
    _ranks(short), _ranks(long)
    if not short:
        return math.nan if not long else 0.0
    shorter, longer, common, weighted = set[Hashable](), set[Hashable](), 0, 0.0
    at_short = 0
    for depth, title in enumerate(long, 1):
        longer.add(title)
        common += title in shorter
        if depth <= len(short):
            shorter.add(short[depth - 1])
            common += short[depth - 1] in longer
            at_short = common
        # Below the end of the shorter list, what it agreed in so far is taken to go on.
        beyond = max(0, depth - len(short)) * at_short / len(short)
        weighted += (common + beyond) / depth * persistence**depth
    tail = (common - at_short) / len(long) + at_short / len(short)
    return (1 - persistence) / persistence * weighted + tail * persistence ** len(long)


def serp(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Shared titles by the weight of their place in the first list (K at the top, 1 at the end), over all weights.

    It is not symmetric: the first list is the one whose places count. nan where that is empty.
    """
    ranks, others, size = _ranks(first), _ranks(second), len(first)
    if not size:
        return math.nan
    return sum(size - rank + 1 for title, rank in ranks.items() if title in others) / (size * (size + 1) / 2)


def prag(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Share of the pairs of titles of the first list that the second puts in the same order.

    A title that the second list lacks stands below all that it has. One title alone makes no pair; there the lists
    agree where the second has it. nan where the first list is empty.
    """
    ranks, others, size = _ranks(first), _ranks(second), len(first)
    if size < 2:
        return float(first[0] in others) if size else math.nan
    agreed = sum(
        1
        for upper, high in ranks.items()
        for lower, low in ranks.items()
        if high < low and upper in others and others[upper] < others.get(lower, math.inf)
    )
    return agreed / (size * (size - 1) / 2)
