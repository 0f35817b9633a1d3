"""How requests are grouped: batches are a pure function of the requests' sizes, never of what was answered before.

batches([5, 9, 2], budget=18, rows=8) -> [[1, 0], [2]]     # 2 x 9 padded tokens fit, 3 x 9 do not
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from shoplm_audit.errors import MachineError

__all__ = ["Parts", "batches", "families", "halving"]

# Bytes: a shorter common beginning costs less to read again than to keep neighbours of unequal length together.
_SHARED = 32

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


def families(texts: Sequence[bytes], budget: int, rows: int) -> list[list[int]]:
    """Groups the positions of `texts` so that those with a common beginning stand together, longest first.

    Texts are neighbours in the order of their bytes, and one family while each shares a good part of itself with the
    one before it. A family is cut only where a batch is full.

    Args:
        texts: of the requests.
        budget: the most bytes of one batch, common beginnings of neighbours once; a text above it stands alone.
        rows: the most texts of one batch.

    Returns:
        The positions batch by batch.
    """
    order = sorted(range(len(texts)), key=texts.__getitem__)
    found: list[list[tuple[int, int]]] = []  # (position, bytes shared with the one before it)
    for i, position in enumerate(order):
        shared = _common(texts[order[i - 1]], texts[position]) if i else 0
        longer = max(len(texts[position]), len(texts[order[i - 1]]))
        if i and (shared >= max(_SHARED, longer // 4) or shared == longer):
            found[-1].append((position, shared))
        else:
            found.append([(position, 0)])
    found.sort(key=lambda family: -max(len(texts[position]) for position, _ in family))
    grouped: list[list[int]] = []
    room = 0
    for family in found:
        size = sum(len(texts[position]) - shared for position, shared in family)
        whole = size <= budget and len(family) <= rows
        if grouped and whole and (size > room or len(grouped[-1]) + len(family) > rows):
            room = 0
        for position, shared in family:
            new = len(texts[position]) - shared
            if not grouped or new > room or len(grouped[-1]) == rows:
                grouped.append([])
                room, new = budget, len(texts[position])
            grouped[-1].append(position)
            room -= new
    return grouped


def _common(one: bytes, other: bytes) -> int:
    """How many first bytes two texts share."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


class Parts:
    """In how many parts batches are computed, because a device's memory did not hold fewer.

    Args:
        key: the model and device that it is remembered for, beside those of other processes; "" is this object only.
    """

    def __init__(self, key: str = "") -> None:
        self._key = key
        known = self._remembered().get(key, 1) if key else 1
        self.number = known if isinstance(known, int) and known > 0 else 1

    def double(self) -> None:
        """Twice as many, from now on."""
        self.number *= 2
        if not self._key:
            return
        file = self._file()
        # A machine without a place to remember it finds it out again each time.
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            aside = file.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps(self._remembered() | {self._key: self.number}, indent=1), encoding="utf-8")
            aside.replace(file)

    def _remembered(self) -> dict[str, Any]:
        try:
            known = json.loads(self._file().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    @staticmethod
    def _file() -> Path:
        return Path(os.environ.get("SHOPLM_CACHE") or "~/.cache/shoplm-audit").expanduser() / "memory.json"


def halving(
    compute: Callable[[Sequence[Row]], list[Result]], rows: Sequence[Row], parts: Parts | None = None
) -> list[Result]:
    """Computes rows together, or in as many parts as the device's memory needs, twice as many each time it does not.

    Args:
        compute: the results of some rows, in order.
        rows: neighbours stay together.
        parts: where the number is remembered, so that the next batch is not tried whole.

    Raises:
        MachineError: one row alone does not fit.
    """
    if not rows:
        return []
    parts = parts or Parts()
    while True:
        number = max(1, min(parts.number, len(rows)))
        edges = [len(rows) * i // number for i in range(number + 1)]
        try:
            return [result for a, b in pairwise(edges) for result in compute(rows[a:b])]
        except RuntimeError as fault:
            if not _out_of_memory(fault):
                raise
            if number >= len(rows):
                raise MachineError(
                    "The device's memory does not hold one request. Use shorter texts, a smaller model or --device cpu."
                ) from fault
        # Outside the handler: the traceback would keep the failed batch's tensors alive.
        _release()
        parts.double()


def _out_of_memory(fault: RuntimeError) -> bool:
    import torch

    # A CPU's allocator has no error of its own.
    return isinstance(fault, torch.OutOfMemoryError) or "can't allocate memory" in str(fault)


def _release() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
