from __future__ import annotations

import math

import numpy as np
import pytest

from shoplm_audit.errors import DataError
from shoplm_audit.metrics.ranking import ESCI_GAINS, hit_rate_of, mrr_of, ndcg, ndcg_of, rank_of
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

RELEVANCE = {"1": 3, "2": 2, "3": 0, "4": 1}


def _estimate(metric: Metric, ranks: list[int | None]) -> Estimate:
    rows = tuple(Observation(Case(f"c{i}"), {"rank": rank}) for i, rank in enumerate(ranks))
    return metric.estimate(Observations(rows), 0.95, np.random.default_rng(0))


def test_ndcg_has_its_reference_values_by_gain() -> None:
    order = ["2", "1", "4", "3"]
    assert ndcg(order, RELEVANCE) == pytest.approx(0.842828, abs=1e-6)
    assert ndcg(order, RELEVANCE, gain="linear") == pytest.approx(0.922495, abs=1e-6)
    assert ndcg("SEIC", ESCI_GAINS, gain="linear") == pytest.approx(0.688364, abs=1e-6)


def test_a_repeated_or_unknown_item_earns_nothing_and_lists_stay_as_they_are() -> None:
    # ShoppingMMLU's scorer gives 1.909044 for the first, indexes the last item for id 0, and sorts the truth in place.
    order, relevance = ["1", "1", "1", "1"], dict(RELEVANCE)
    assert ndcg(order, relevance) == ndcg(["1"], RELEVANCE) < 1
    assert ndcg(["0", "9", "-1"], relevance) == 0
    assert ndcg(["0", "1"], relevance) < ndcg(["1", "0"], relevance)
    assert (order, relevance) == (["1"] * 4, RELEVANCE)


def test_places_beyond_k_count_neither_in_the_list_nor_in_the_best_one() -> None:
    assert ndcg(["3", "1"], RELEVANCE, 1) == 0
    assert ndcg(["1"], RELEVANCE, 1) == 1
    assert math.isnan(ndcg(["1"], {"1": 0}))
    with pytest.raises(DataError, match='"-1"'):
        ndcg(["1"], {"1": -1})
    for gain, value in (("exponential", 2000.0), ("exponential", math.inf), ("linear", math.inf), ("linear", math.nan)):
        with pytest.raises(DataError, match=f'"{value}"'):
            ndcg(["a"], {"a": value}, gain=gain)
    assert ndcg(["a", "b"], {"a": 64, "b": 63}) == ndcg(["a"], {"a": 2000.0}, gain="linear") == 1


def test_an_item_is_found_whole() -> None:
    assert rank_of("1", ["10", "1"]) == 2
    assert rank_of("1", ["10", "10", "1"]) == 2
    assert rank_of("1", ["10"]) is None


def test_ranks_are_reduced_with_none_as_the_worst() -> None:
    ranks: list[int | None] = [1, 3, 4, None] * 10
    hits = _estimate(hit_rate_of("rank", 3, name="h"), ranks)
    assert (hits.value, hits.method) == (0.5, "exact binomial")
    assert _estimate(mrr_of("rank", name="m"), ranks).value == pytest.approx((1 + 1 / 3 + 1 / 4) / 4)
    found = _estimate(ndcg_of("rank", 3, name="n"), ranks)
    assert found.value == pytest.approx((1 + 1 / 2) / 4)
    assert found.low < found.value < found.high


def test_a_list_that_is_always_right_has_a_bound() -> None:
    found = _estimate(mrr_of("rank", name="m"), [1] * 60)
    assert (found.low, found.high) == pytest.approx((0.05 ** (1 / 60), 1))


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(DataError, match='"0"'):
        _estimate(mrr_of("rank", name="m"), [0] * 20)
