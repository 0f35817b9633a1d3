"""How high the right item stands in a list: hit rate, reciprocal rank, and NDCG with its gain named.

    ndcg(["2", "1", "4", "3"], {"1": 3, "2": 2, "3": 0, "4": 1}, gain="exponential") -> 0.842828

An item that stands in a list twice counts where it stands first; one that nobody asked about gains nothing.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal

from shoplm_audit.errors import DataError
from shoplm_audit.metrics.reduce import mean_of, over_column, rate_of
from shoplm_audit.types import Metric, Observation, Value

__all__ = ["ESCI_GAINS", "hit_rate_of", "mrr_of", "ndcg", "ndcg_of", "rank_of"]

ESCI_GAINS = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}  # the KDD Cup 2022's; given to `ndcg` with a linear gain

_MOST = 64  # 2^64 items of relevance 1 would weigh as much: whoever gives more means a linear gain


def rank_of(right: Hashable, ranking: Sequence[Hashable]) -> int | None:
    """The place of an item in a list, from 1, repeated items counted once; None where it does not stand there.

    >>> rank_of("b", ["a", "a", "b"])
    2
    """
    order = list(dict.fromkeys(ranking))
    return order.index(right) + 1 if right in order else None


def ndcg(
    ranking: Sequence[Hashable],
    relevance: Mapping[Hashable, float],
    k: int | None = None,
    *,
    gain: Literal["exponential", "linear"] = "exponential",
) -> float:
    """Normalised discounted cumulative gain of one list, 0 to 1 (Järvelin and Kekäläinen 2002; Burges et al. 2005).

    Args:
        ranking: items, best first; repeats count once, unknown items hold their place and gain nothing.
        relevance: how relevant each item is, 0 or more; items that are not in it are not relevant.
        k: only so many places count; None is all.
        gain: "exponential" is 2^relevance - 1, "linear" the relevance itself.

    Returns:
        The quotient to the best order of all items; nan where none is relevant.

    Raises:
        DataError: a relevance that is negative, not finite, or above 64 where the gain is exponential.
    """
    most = _MOST if gain == "exponential" else sys.float_info.max
    for item, value in relevance.items():
        if not 0 <= value <= most:
            limit = f"at most {_MOST} for an exponential gain (or take a linear one)" if value > 0 else "0 or more"
            raise DataError(f'the relevance of "{item}" is "{value}": it has to be finite and {limit}.')
    worth = {item: 2.0**value - 1 if gain == "exponential" else float(value) for item, value in relevance.items()}
    order = list(dict.fromkeys(ranking))[:k]
    ideal = _discounted(sorted(worth.values(), reverse=True)[:k])
    return _discounted([worth.get(item, 0.0) for item in order]) / ideal if ideal > 0 else math.nan


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def _ranked(metric: Metric, rank: str, name: str, worth: Callable[[float], float], signature: str) -> Metric:
    """The metric over what a rank is worth; no rank is worth 0."""

    def read(row: Observation) -> Value:
        place = row.values.get(rank)
        if place is None:
            return 0.0
        if float(place) < 1:
            raise DataError(f'case "{row.case.id}": the rank in "{rank}" is "{place}": ranks begin at 1.')
        return worth(float(place))

    return over_column(metric, "worth", read, name=name, signature=f"{signature}|{rank}|no rank:0")


def hit_rate_of(rank: str, k: int, *, name: str) -> Metric:
    """The share of cases whose right item stands among the first k, with an exact interval.

    Args:
        rank: a column with the place of the right item from 1; None, and a case without an answer, is a miss.
        k: how many places count.
        name: of the metric.
    """
    return _ranked(rate_of("worth", better="higher"), rank, name, lambda r: _below(r, k, 1.0), f"hit_rate|k:{k}")


def mrr_of(rank: str, *, name: str) -> Metric:
    """The mean of one over the rank of the right item, 0 to 1; no rank, and a case without an answer, is 0.

    Args:
        rank: a column with the place of the right item from 1.
        name: of the metric.
    """
    mean = mean_of("worth", better="higher", worst=0.0, best=1.0)
    return _ranked(mean, rank, name, lambda r: 1 / r, "mean_reciprocal_rank")


def ndcg_of(rank: str, k: int, *, name: str) -> Metric:
    """The mean NDCG at k of lists with one right item, 0 to 1: 1 / log2(1 + rank), or 0 beyond k and without a rank.

    With one right item every gain is the same. Lists of graded items are scored by `ndcg`, case by case.

    Args:
        rank: a column with the place of the right item from 1.
        k: how many places count.
        name: of the metric.
    """
    mean = mean_of("worth", better="higher", worst=0.0, best=1.0)
    return _ranked(mean, rank, name, lambda r: _below(r, k, 1 / math.log2(1 + r)), f"ndcg|k:{k}|gain:one right item")


def _below(rank: float, k: int, worth: float) -> float:
    return rank if math.isnan(rank) else worth if rank <= k else 0.0
