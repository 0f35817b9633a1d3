"""Choosing which records become cases: seeded, and balanced over languages.

balanced(products, 200, seed=0)  # 100 English and 100 Chinese ones, if there are as many
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

__all__ = ["balanced", "same_length"]

Item = TypeVar("Item")


def balanced(
    items: Iterable[Item], count: int, seed: int, by: Callable[[Item], Any] = lambda item: getattr(item, "language", "")
) -> list[Item]:
    """About `count` items, the same number from each group where groups have enough, in their own order.

    Args:
        items: records with a language, or anything `by` can sort into groups.
        count: how many.
        seed: of the audit.
        by: the group of an item.
    """
    groups: dict[Any, list[tuple[int, Item]]] = {}
    for position, item in enumerate(items):
        groups.setdefault(by(item), []).append((position, item))
    chosen: list[tuple[int, Item]] = []
    left = count
    for remaining, (key, rows) in zip(
        range(len(groups), 0, -1), sorted(groups.items(), key=lambda group: (len(group[1]), str(group[0]))), strict=True
    ):
        take = min(len(rows), -(-left // remaining))
        left -= take
        rng = np.random.default_rng([seed, zlib.crc32(str(key).encode())])
        chosen += [rows[i] for i in rng.permutation(len(rows))[:take]]
    return [item for _, item in sorted(chosen, key=lambda row: row[0])]


def same_length(first: str, second: str) -> tuple[str, str]:
    """Both texts cut to four fifths of the shorter one, so that neither length nor ending tells them apart."""
    keep = max(1, int(0.8 * min(len(first), len(second))))
    return first[:keep], second[:keep]
