from __future__ import annotations

import numpy as np
import pytest

from shoplm_audit.errors import MachineError
from shoplm_audit.models.batching import batches, halving


def test_every_item_is_in_one_batch_and_no_batch_is_over_its_bounds() -> None:
    sizes = np.random.default_rng(0).integers(1, 90, size=200).tolist()
    grouped = batches(sizes, budget=300, rows=7)
    assert sorted(i for batch in grouped for i in batch) == list(range(200))
    assert all(len(batch) == 1 or max(sizes[i] for i in batch) * len(batch) <= 300 for batch in grouped)
    assert max(len(batch) for batch in grouped) == 7


def test_a_batch_planned_alone_stays_one_batch_in_its_order() -> None:
    sizes = np.random.default_rng(1).integers(1, 30, size=100).tolist()
    for batch in batches(sizes, budget=120, rows=6):
        assert batches([sizes[i] for i in batch], budget=120, rows=6) == [list(range(len(batch)))]


def test_long_items_come_first_and_equals_keep_their_order() -> None:
    assert batches([2, 5, 2, 9, 5], budget=1000, rows=10) == [[3, 1, 4, 0, 2]]
    assert batches([5, 9, 2], budget=18, rows=8) == [[1, 0], [2]]
    assert batches([50, 3], budget=10, rows=4) == [[0], [1]]
    assert batches([], budget=10, rows=4) == []


def test_rows_that_do_not_fit_together_are_computed_in_halves() -> None:
    import torch

    seen = []

    def compute(rows):
        seen.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError
        return [row * 10 for row in rows]

    assert halving(compute, list(range(9))) == [row * 10 for row in range(9)]
    assert seen == [9, 4, 2, 2, 5, 2, 3]


def test_one_row_that_does_not_fit_is_an_error_of_the_machine() -> None:
    import torch

    def compute(rows):
        raise torch.OutOfMemoryError

    with pytest.raises(MachineError, match="--device cpu"):
        halving(compute, [1, 2])
