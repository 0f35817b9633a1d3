"""A seeded sample of a stream, in constant memory.

reservoir(read_records("reviews", path), 50_000, seed=0)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

__all__ = ["reservoir"]

Item = TypeVar("Item")


def reservoir(items: Iterable[Item], size: int, seed: int) -> list[Item]:
    """A uniform sample of at most `size` items, in the stream's order (Vitter 1985, algorithm R)."""
    rng = np.random.default_rng(seed)
    kept: list[tuple[int, Item]] = []
    for position, item in enumerate(items):
        if position < size:
            kept.append((position, item))
        elif (place := int(rng.integers(position + 1))) < size:
            kept[place] = (position, item)
    return [item for _, item in sorted(kept, key=lambda pair: pair[0])]
