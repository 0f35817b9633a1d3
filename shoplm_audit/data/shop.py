"""The records of an audit: the user's own kinds as they are, every other kind from ShopWorld, made when first read.

ShopRecords({"reviews": [...]}, seed=0)["products"]  # ShopWorld's, because no products were given
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from shoplm_audit.data.shopworld import World, shopworld

__all__ = ["ShopRecords"]

KINDS = ("products", "reviews", "dialogues", "interactions", "texts")
# A world of its own: models pretrained on ShopWorld never saw its products.
AUDIT_WORLD = 1_000_003
PRODUCTS = 1400


class ShopRecords(Mapping[str, Sequence[Any]]):
    """Records by kind.

    Args:
        own: the user's records.
        seed: of the audit; another seed gives another invented shop.
    """

    def __init__(self, own: Mapping[str, Sequence[Any]], seed: int) -> None:
        self._own, self._seed = own, seed

    @cached_property
    def _world(self) -> World:
        return shopworld(AUDIT_WORLD + self._seed, products=PRODUCTS, customers=0)

    def __getitem__(self, kind: str) -> Sequence[Any]:
        return self._own[kind] if kind in self._own else self._world.records[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)
