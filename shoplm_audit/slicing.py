"""Which parts of the cases explain that a metric fell: each is held against the rest, and all that were tried are paid.

    explained([Fall(cases, worsening, clusters, difference, seed)]) -> [[SliceChange(slice={"category": "lamps"}, ...)]]

A part is a value of the language, the task, a group or a fact, a third of a number, or two of these at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.multiplicity import benjamini_hochberg
from shoplm_audit.results import SliceChange
from shoplm_audit.types import Case, Estimate, Floats

__all__ = ["Fall", "Part", "explained", "parts_of"]

Mask = NDArray[np.bool_]
_DRAWS = 4_999  # the smallest p is 1 in 5,000: below what Benjamini and Hochberg ask of one part among _MOST
_MOST = 200  # parts that are tried for one metric
_FEW = 12  # values of a fact that are parts of their own; numbers with more are cut into thirds
_LEAST = 5  # clusters inside, and outside
_LEVEL = 0.1  # expected share of parts among those told that are like the rest
_TOLD = 5
_LONGEST = 40  # characters of a value: what is longer is a text and names no part
_AT_ONCE = 2_000_000  # permuted numbers held together


@dataclass(frozen=True, slots=True)
class Fall:
    """A metric that fell, by row.

    Attributes:
        cases: of the rows, (N,).
        worsening: how much worse each row became, (N,).
        clusters: the number of each row's cluster, (N,).
        difference: from positions of rows to the metric's own paired difference there.
        seed: of the permutations.
    """

    cases: Sequence[Case]
    worsening: Floats
    clusters: NDArray[np.int64]
    difference: Callable[[NDArray[np.int64]], Estimate]
    seed: Sequence[int]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows: what they share, and which they are, (N,)."""

    slice: dict[str, str]
    inside: Mask


def parts_of(cases: Sequence[Case], clusters: NDArray[np.int64]) -> list[Part]:
    """The parts that are tried: single ones first, then pairs, none twice and none that is too small to say something.

    Args:
        cases: of the rows, (N,).
        clusters: the number of each row's cluster, (N,).
    """
    found: list[Part] = []
    seen: set[bytes] = set()

    def tried(parts: Iterator[Part]) -> None:
        for part in parts:
            key = part.inside.tobytes()
            sizes = (np.unique(clusters[side]).size for side in (part.inside, ~part.inside))
            if len(found) < _MOST and key not in seen and min(sizes) >= _LEAST:
                seen.add(key)
                found.append(part)

    tried(_single(cases))
    pairs = ((a, b) for a, b in combinations(list(found), 2) if not a.slice.keys() & b.slice.keys())
    tried(Part(a.slice | b.slice, a.inside & b.inside) for a, b in pairs)
    return found


def _single(cases: Sequence[Case]) -> Iterator[Part]:
    named = [("language", "task")] + [tuple(case.groups) + tuple(case.facts) for case in cases]
    for key in sorted({str(key) for keys in named for key in keys}):
        yield from _by_value(key, [_plain(case, key) for case in cases])
    yield from _by_value("prompt characters", [float(len(case.prompt.flat)) for case in cases])


def _plain(case: Case, key: str) -> str | float | None:
    """A value that can name a part; a number stays one."""
    value = case.facts.get(key) if key not in ("language", "task") and key not in case.groups else case.of(key)
    if isinstance(value, bool | str):
        return str(value) if 0 < len(str(value)) <= _LONGEST else None
    return float(value) if isinstance(value, int | float) else None


def _by_value(key: str, values: Sequence[str | float | None]) -> Iterator[Part]:
    known = sorted({value for value in values if value is not None}, key=lambda value: (str(type(value)), value))
    if len(known) <= _FEW:
        for value in known:
            told = f"{value:g}" if isinstance(value, float) else value
            yield Part({key: told}, np.array([one == value for one in values]))
        return
    numbers = np.array([value if isinstance(value, float) else np.nan for value in values])
    if not np.isfinite(numbers).all():
        return
    first, second = (float(cut) for cut in np.quantile(numbers, [1 / 3, 2 / 3], method="lower"))
    yield Part({key: f"at most {first:g}"}, numbers <= first)
    yield Part({key: f"above {first:g}, at most {second:g}"}, (numbers > first) & (numbers <= second))
    yield Part({key: f"above {second:g}"}, numbers > second)


def explained(falls: Sequence[Fall]) -> list[list[SliceChange]]:
    """For each fall the parts in which it is larger than elsewhere, those with the largest share of it first.

    Each part's p is that of the worsening having nothing to do with it: clusters are permuted, or, where a part cuts
    through them, what they say of it changes its sign. Clusters of unlike sizes vary unlike, so there the difference is
    held in its own standard errors, and in those of each permutation (Chung and Romano 2013). All p are adjusted
    together by Benjamini and Hochberg (1995): of the parts told at most a tenth is expected to be like the rest.

    Args:
        falls: all that is searched at once.
    """
    searched = [parts_of(fall.cases, fall.clusters) for fall in falls]
    alone = [_chances(fall, parts) for fall, parts in zip(falls, searched, strict=True)]
    adjusted = benjamini_hochberg(np.concatenate(alone)) if falls else np.empty(0)
    told, start = [], 0
    for fall, parts, p in zip(falls, searched, alone, strict=True):
        after = adjusted[start : start + len(parts)]
        start += len(parts)
        told.append(_told(fall, parts, p, after))
    return told


def _chances(fall: Fall, parts: Sequence[Part]) -> Floats:
    """The p-value of each part, (S,)."""
    if not parts:
        return np.empty(0)
    inside = np.array([part.inside for part in parts], dtype=np.float64)  # (S, N)
    size = inside.sum(axis=1, keepdims=True)
    pulls = inside / size - (1 - inside) / (inside.shape[1] - size)
    rest = fall.worsening - fall.worsening.mean()
    _, index = np.unique(fall.clusters, return_inverse=True)
    counts = np.bincount(index)
    share = _summed(inside, index) / counts
    whole = ((share == 0) | (share == 1)).all(axis=1)
    seen = pulls @ rest
    beyond = np.zeros(len(parts))
    sums, pulled = np.bincount(index, rest), _summed(pulls, index) / counts  # (G,), (S, G)
    signed = _summed(pulls * rest, index)
    rng = np.random.default_rng(fall.seed)
    unlike = bool(np.ptp(counts))
    table = np.column_stack([sums, counts, sums**2, sums * counts, counts.astype(np.float64) ** 2])  # (G, 5)
    in_part = share[whole]
    if unlike:
        seen[whole] = _in_errors(in_part @ table, table.sum(axis=0))
    step, slack = max(1, _AT_ONCE // counts.size), 1e-9 * max(1.0, float(np.abs(seen).max()))
    for start in range(0, _DRAWS, step):
        draws = min(step, _DRAWS - start)
        if unlike:
            order = rng.permuted(np.broadcast_to(np.arange(sums.size), (draws, sums.size)), axis=1)
            inner = np.stack([column[order] @ in_part.T for column in table.T], axis=-1)  # (draws, S, 5)
            drawn = _in_errors(inner, table.sum(axis=0))
        else:
            drawn = rng.permuted(np.broadcast_to(sums, (draws, sums.size)), axis=1) @ pulled[whole].T
        beyond[whole] += (drawn >= seen[whole] - slack).sum(axis=0)
        if not whole.all():
            flips = rng.choice((-1.0, 1.0), size=(draws, sums.size))
            beyond[~whole] += (flips @ signed[~whole].T >= seen[~whole] - slack).sum(axis=0)
    return (1 + beyond) / (1 + _DRAWS)


def _in_errors(inner: Floats, total: Floats) -> Floats:
    """How far the mean of a part lies above that of the rest, in standard errors of both over their clusters.

    Args:
        inner: of the part, the sums over clusters of their sum x, their rows n, x^2, x n and n^2, (..., 5).
        total: the same of all clusters, (5,).
    """
    means, variances = [], []
    for x, n, xx, xn, nn in (np.moveaxis(side, -1, 0) for side in (inner, total - inner)):
        means.append(x / n)
        variances.append((xx - 2 * means[-1] * xn + means[-1] ** 2 * nn) / n**2)
    return np.asarray((means[0] - means[1]) / np.sqrt(np.maximum(variances[0] + variances[1], 1e-18)))


def _summed(rows: Floats, index: NDArray[np.int64]) -> Floats:
    """Sums (S, N) within clusters to (S, G)."""
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    summed: Floats = np.add.reduceat(rows[:, order], starts, axis=1)
    return summed


def _told(fall: Fall, parts: Sequence[Part], p: Floats, adjusted: Floats) -> list[SliceChange]:
    total = float(fall.worsening.sum())
    if total <= 0:
        return []
    share = [float(fall.worsening[part.inside].sum()) / total for part in parts]
    clear = [number for number in range(len(parts)) if adjusted[number] <= _LEVEL]
    shown = [number for number in clear if not _repeats(number, clear, parts, share)]
    shown.sort(key=lambda number: (-round(share[number], 9), adjusted[number], sorted(parts[number].slice.items())))
    changes = []
    for number in shown[:_TOLD]:
        rows = np.flatnonzero(parts[number].inside)
        found = fall.difference(rows)
        changes.append(
            SliceChange(
                slice=parts[number].slice,
                n=rows.size,
                difference=found.value,
                low=found.low,
                high=found.high,
                share=share[number],
                p_value=float(p[number]),
                p_adjusted=float(adjusted[number]),
            )
        )
    return changes


def _repeats(number: int, clear: Sequence[int], parts: Sequence[Part], share: Sequence[float]) -> bool:
    """Whether another part says the same: a pair is told where most of the fall of its halves is in it, else they."""
    mine = parts[number].slice.items()
    for other in clear:
        theirs = parts[other].slice.items()
        if theirs < mine and share[number] < 0.8 * share[other]:
            return True
        if mine < theirs and share[other] >= 0.8 * share[number]:
            return True
    return False
