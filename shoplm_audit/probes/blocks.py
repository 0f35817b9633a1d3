"""Cases in random blocks of whole clusters, so that a run may stop between two blocks without a bias.

blocks_of(cases, np.random.default_rng(0), size=40) -> [[3, 4, 17, ...], [0, 1, 9, ...]]     # positions of cases
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoplm_audit.types import Case

__all__ = ["blocks_of"]


def blocks_of(cases: Sequence[Case], rng: np.random.Generator, size: int) -> list[list[int]]:
    """Divides cases into blocks of at least `size`, the last one perhaps smaller; clusters in random order, never cut.

    Which case stands in which block depends on nothing that is known of it (its length, its answer), so the cases of
    the first blocks are a simple random sample of clusters.
    """
    clusters: dict[str, list[int]] = {}
    for position, case in enumerate(cases):
        clusters.setdefault(f"cluster\0{case.cluster}" if case.cluster else f"case\0{case.id}", []).append(position)
    names = list(clusters)
    blocks: list[list[int]] = []
    for number in rng.permutation(len(names)):
        if not blocks or len(blocks[-1]) >= size:
            blocks.append([])
        blocks[-1] += clusters[names[number]]
    return [sorted(block) for block in blocks]
