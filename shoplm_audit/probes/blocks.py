"""Cases in random blocks of whole clusters, so that a run may stop between two blocks without a bias.

blocks_of(cases, np.random.default_rng(0), size=40) -> [[3, 4, 17, ...], [0, 1, 9, ...]]     # positions of cases
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoplm_audit.types import Case

__all__ = ["blocks_of"]


def blocks_of(cases: Sequence[Case], rng: np.random.Generator, size: int) -> list[list[int]]:
    """Divides cases into blocks of about `size`, the last one perhaps smaller; clusters in random order, never cut.

    Which case stands in which block depends on nothing that is known of it (its length, its answer), so the cases of
    the first blocks are a simple random sample of clusters.
    """
    clusters: dict[str, list[int]] = {}
    for position, case in enumerate(cases):
        clusters.setdefault(f"cluster\0{case.cluster}" if case.cluster else f"case\0{case.id}", []).append(position)
    names = list(clusters)
    # As many clusters in each, not as many cases: large ones would else stand more often in the first block.
    each = max(1, -(-size * len(names) // max(1, len(cases))))
    order = rng.permutation(len(names)).tolist()
    return [
        sorted(position for number in order[first : first + each] for position in clusters[names[number]])
        for first in range(0, len(order), each)
    ]
