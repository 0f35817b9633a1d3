"""Overlaps of ranked lists: 1 for identical lists whatever their length, and the published values by known factors."""

import itertools
import math

import pytest

from shoplm_audit.errors import DataError
from shoplm_audit.scoring.rank_overlap import jaccard, prag, rank_biased_overlap, serp

ALL = (jaccard, prag, rank_biased_overlap, serp)
# What the published code gives for identical lists of K titles: FaiRLLM's SERP*, LangFair's PRAG*.
PUBLISHED_SERP = {1: 0.5, 2: 0.4167, 3: 0.375, 5: 0.3333, 10: 0.2955, 20: 0.2738}
PUBLISHED_PRAG = {2: 0.1667, 3: 0.25, 5: 0.3333, 10: 0.4091, 20: 0.4524}


def published_serp(first: str, second: str) -> float:
    """Counting places from 0 adds 1 to each weight, and the half stands on the wrong side of the fraction."""
    size, shared = len(first), len(set(first) & set(second))
    return serp(first, second) / 4 + shared / (2 * size * (size + 1))


@pytest.mark.parametrize("measure", ALL, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 10, 20])
def test_identical_lists_give_1_and_disjoint_ones_0(measure, size: int) -> None:
    titles = "abcdefghijklmnopqrst"[:size]
    assert measure(titles, titles) == pytest.approx(1, abs=1e-12)
    assert measure(titles, titles.upper()) == 0


@pytest.mark.parametrize("size", PUBLISHED_SERP)
def test_the_published_forms_depend_on_the_length(size: int) -> None:
    titles = "abcdefghijklmnopqrst"[:size]
    assert published_serp(titles, titles) == pytest.approx(PUBLISHED_SERP[size], abs=5e-5)
    if size in PUBLISHED_PRAG:
        assert prag(titles, titles) * (size - 1) / (2 * (size + 1)) == pytest.approx(PUBLISHED_PRAG[size], abs=5e-5)


def test_values_counted_by_hand() -> None:
    assert jaccard("abc", "cd") == 0.25
    assert serp("abcd", "dbx") == pytest.approx((3 + 1) / 10)  # the places in the first list weigh
    assert serp("dbx", "abcd") == pytest.approx((3 + 2) / 6)
    # c is missing, so it stands below all: of the six pairs only cd is in another order.
    assert prag("abcd", "abd") == pytest.approx(5 / 6)
    assert prag("abc", "cba") == 0


def reference(first: str, second: str, p: float) -> float:
    """Equation 32 of Webber, Moffat and Zobel (2010), term by term."""
    short, long = sorted((first, second), key=len)
    s, n = len(short), len(long)

    def shared(depth: int) -> int:
        return len(set(short[:depth]) & set(long[:depth]))

    seen = sum(shared(d) / d * p**d for d in range(1, n + 1))
    beyond = sum(shared(s) * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (seen + beyond) + ((shared(n) - shared(s)) / n + shared(s) / s) * p**n


def test_rank_biased_overlap_is_the_formula_for_lists_of_any_lengths() -> None:
    lists = ["".join(row) for size in range(1, 5) for row in itertools.permutations("abcde", size)][::7]
    for first, second in itertools.product(lists, lists):
        for p in (0.5, 0.9):
            assert rank_biased_overlap(first, second, p) == pytest.approx(reference(first, second, p), abs=1e-12)
    assert rank_biased_overlap("abcde", "bcdae") == pytest.approx(0.828, abs=5e-4)  # other implementations' value


def test_the_top_weighs_more() -> None:
    assert rank_biased_overlap("abcde", "bacde") < rank_biased_overlap("abcde", "abced")
    assert serp("abc", "a") > serp("abc", "c")


@pytest.mark.parametrize("measure", ALL, ids=lambda measure: measure.__name__)
def test_no_list_is_undefined_and_a_title_twice_is_refused(measure) -> None:
    assert math.isnan(measure("", ""))
    assert measure("ab", "") == 0
    with pytest.raises(DataError, match='"kettle" twice'):
        measure(["kettle", "pan", "kettle"], ["pan"])
