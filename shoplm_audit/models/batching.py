"""How requests are grouped: batches are a pure function of the requests' sizes, never of what was answered before.

batches([5, 9, 2], budget=18, rows=8) -> [[1, 0], [2]]     # 2 x 9 padded tokens fit, 3 x 9 do not
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from shoplm_audit.errors import MachineError

__all__ = ["batches", "halving"]

Row = TypeVar("Row")
Result = TypeVar("Result")


def batches(sizes: Sequence[int], budget: int, rows: int) -> list[list[int]]:
    """Groups the positions of `sizes`, longest first, so that little is padded.

    A list that fits one batch stays one batch, in the same order, so a batch that is handed on alone is computed
    exactly as it was within the whole list.

    Args:
        sizes: how long each item is, in any unit that bounds its tokens.
        budget: the most that longest item x number of items may reach; an item above it stands alone.
        rows: the most items of one batch.

    Returns:
        The positions batch by batch; items of equal size keep their order.
    """
    grouped: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(sizes)), key=lambda position: -sizes[position]):
        if grouped and len(grouped[-1]) < rows and longest * (len(grouped[-1]) + 1) <= budget:
            grouped[-1].append(position)
        else:
            grouped.append([position])
            longest = sizes[position]
    return grouped


def halving(compute: Callable[[Sequence[Row]], list[Result]], rows: Sequence[Row]) -> list[Result]:
    """Computes rows together, or in halves of halves where the device's memory does not hold them.

    Raises:
        MachineError: one row alone does not fit.
    """
    import torch

    try:
        return compute(rows)
    except torch.OutOfMemoryError as fault:
        if len(rows) == 1:
            raise MachineError(
                "The device's memory does not hold one request. Use shorter texts, a smaller model or --device cpu."
            ) from fault
    # Outside the handler: the traceback would keep the failed batch's tensors alive.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    return halving(compute, rows[:middle]) + halving(compute, rows[middle:])
