from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from shoplm_audit.models.sharing import Arrangement, arranged


def tries(seed: int, texts: int = 40) -> list[tuple[int, ...]]:
    """Texts that grow from each other at random places, some equal, some the beginning of others."""
    rng = np.random.default_rng(seed)
    found = [tuple(rng.integers(9, size=rng.integers(1, 30)).tolist())]
    while len(found) < texts:
        stem = found[rng.integers(len(found))] if rng.random() < 0.8 else ()
        kept = stem[: rng.integers(len(stem) + 1)] if rng.random() < 0.7 else stem
        found.append(kept + tuple(rng.integers(9, size=rng.integers(not kept, 20)).tolist()))
    return found


def visible(plan: Arrangement, line: int, place: int) -> list[tuple[int, int]]:
    """What a token sees, itself too, as (depth, token) in order."""
    here = plan.lines[line]
    seen = [(here.depths[i], here.ids[i]) for i in np.flatnonzero(here.seen()[place])]
    while (line := plan.lines[line].parent) >= 0:
        seen += zip(plan.lines[line].depths, plan.lines[line].ids, strict=True)
    return sorted(seen)


def assert_each_token_sees_its_own_text(plan: Arrangement, texts: Sequence[tuple[int, ...]]) -> None:
    for text, lines, places in zip(texts, plan.line_of, plan.place_of, strict=True):
        assert len(lines) == len(places) == len(text)
        for depth, (line, place) in enumerate(zip(lines.tolist(), places.tolist(), strict=True)):
            assert visible(plan, line, place) == list(enumerate(text[: depth + 1]))


@pytest.mark.parametrize("limit", [0, 1, 7, 20, 64, 10_000])
@pytest.mark.parametrize("trunk", [1, 4, 1000])
def test_a_token_sees_what_stands_before_it_in_its_text_and_nothing_else(limit: int, trunk: int) -> None:
    for seed in range(4):
        texts = tries(seed)
        plan = arranged(texts, limit=limit, trunk=trunk)
        assert_each_token_sees_its_own_text(plan, texts)
        assert plan.tokens <= sum(map(len, set(texts)))
        longest = max(map(len, texts))
        assert all(line.chain or len(line.ids) <= limit for line in plan.lines)
        assert all(len(line.ids) <= max(limit, longest) for line in plan.lines)
        assert all(line.parent < number for number, line in enumerate(plan.lines))


def test_where_a_line_holds_a_whole_tree_each_of_its_tokens_is_read_once() -> None:
    header = tuple(range(10, 20))
    texts = [header + tuple(text) for text in tries(0)]
    prefixes = {text[: i + 1] for text in texts for i in range(len(text))}
    assert arranged(texts, limit=10_000, trunk=1000).tokens == len(prefixes)


def test_a_long_beginning_is_read_once_for_all_lines_and_those_below_it_once_for_theirs() -> None:
    header, rng = tuple(range(100, 150)), np.random.default_rng(0)
    items = [(*header, item, *rng.integers(9, size=20).tolist()) for item in range(6)]
    texts = [(*item, 50 + option, option) for item in items for option in range(8)]
    plan = arranged(texts, limit=40, trunk=32)
    assert_each_token_sees_its_own_text(plan, texts)
    assert plan.tokens == 50 + 6 * (21 + 16)
    assert [line.parent for line in plan.lines] == [-1] + [0] * 6
    nested = arranged([header + text for text in texts], limit=20, trunk=16)
    assert nested.tokens == 100 + 6 * (21 + 16)
    assert {line.parent for line in nested.lines} == {-1, 0, *range(1, 7)}


def test_small_trees_share_a_line_and_texts_that_share_nothing_stand_alone() -> None:
    pairs = [(i, i, i, i, end) for i in range(6) for end in (7, 8)]
    plan = arranged([*pairs, (100, 101), (102, 103, 104)], limit=18, trunk=64)
    assert sorted(len(line.ids) for line in plan.lines) == [2, 3, 18, 18]
    assert plan.tokens == 6 * 6 + 5
    # A token that all share is not worth a mask over everything.
    alone = arranged([(1, *range(i, i + 9)) for i in range(10, 60, 10)], limit=30, trunk=64)
    assert all(line.chain for line in alone.lines)


def test_the_arrangement_is_a_function_of_the_set_of_texts() -> None:
    texts = tries(1)
    shuffled = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]
    one, other = (arranged(those, limit=20, trunk=4).lines for those in (texts, shuffled))
    assert [(line.ids, line.depths, line.parent) for line in one] == [
        (line.ids, line.depths, line.parent) for line in other
    ]


def test_no_texts_need_no_lines() -> None:
    assert arranged([], limit=10, trunk=4).lines == []
