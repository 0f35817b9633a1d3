"""Finds texts that repeat an earlier one, exactly or nearly, without keeping a second copy of any text.

    finder = Repeats(near=0.8)
    for text in ("Good kettle!", "good  KETTLE!", "Bad kettle"): finder.add(text, "en")
    finder.find(texts.__getitem__) -> {1: 0}

A near-duplicate is found by MinHash and banding (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3) and believed only when the true Jaccard similarity of the two texts' shingles reaches the
threshold. A shingle is three words, or in Chinese four characters. In arrays: R texts, P = 128 hash functions, B bands.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.errors import ConfigError

__all__ = ["HAN", "Repeats", "jaccard", "normalised", "shingles"]

HASHES = 128
HAN = r"\u3400-\u9fff\uf900-\ufaff"  # the characters of Chinese writing, within brackets of a pattern
FOUND = 0.99  # probability with which a pair exactly at the threshold shares a band
# An estimate from 128 hashes has a standard error of at most 0.045: 3.4 of them below the threshold is no duplicate.
MARGIN = 0.15
_BLOCK = 1 << 16  # shingles that are hashed at once: 0.5 MB for each hash function in turn
_SHINGLE = {"zh": 4}
_WORDS = 3
# A Han character is a word of its own: Chinese has no spaces.
_TOKEN = re.compile(rf"[{HAN}]|[^\W{HAN}]+")
_Hashes = NDArray[np.uint64]


def normalised(text: str) -> str:
    """The text as texts are compared: NFKC, case folded, each white space one blank."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shingles(text: str, language: str) -> frozenset[tuple[str, ...]]:
    """The runs of three words (Chinese: four characters) of a text; a shorter text is one run.

    >>> sorted(shingles("A warm, warm kettle", "en"))
    [('a', 'warm', 'warm'), ('warm', 'warm', 'kettle')]
    """
    tokens = _TOKEN.findall(normalised(text))
    width = _SHINGLE.get(language, _WORDS)
    return frozenset(tuple(tokens[i : i + width]) for i in range(max(1, len(tokens) - width + 1))) - {()}


def jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Shared members over all members of two sets; of two empty sets, 0."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0


class Repeats:
    """Which of the texts added repeat an earlier one.

    Kept per text: a digest and 128 + 8 B bytes of hashes, about 300 bytes at 0.8. All hashing is fixed, so the same
    texts in the same order give the same answer in every process. Which texts are equal does not depend on the order;
    which member of a group comes first does, and so does a chain in which a is near b and b is near c but a not near c.

    Args:
        near: the Jaccard similarity from which a text is a near-duplicate, above 0, at most 1.

    Raises:
        ConfigError: `near` out of its range.
    """

    def __init__(self, near: float) -> None:
        if not 0 < near <= 1:
            raise ConfigError(f'near is "{near}": a similarity has to be above 0 and at most 1.')
        self.near = near
        # The more rows a band has, the fewer pairs it suspects: as many as still find what is at the threshold.
        self.rows = max(r for r in range(1, HASHES + 1) if 1 - (1 - near**r) ** (HASHES // r) >= FOUND or r == 1)
        rng = np.random.default_rng(0)
        self.factors = rng.integers(1, 2**64, HASHES, dtype=np.uint64) | np.uint64(1)
        self.offsets = rng.integers(0, 2**64, HASHES, dtype=np.uint64)
        self.added = 0
        self.exact: dict[int, int] = {}
        self._first: dict[bytes, int] = {}
        self._pending: list[_Hashes] = []
        self._pending_shingles = 0
        self._hashed: list[int] = []  # the position of each text that has a row in the arrays below
        self._languages: list[str] = []
        self._sketches: list[NDArray[np.uint8]] = []  # (R, P), the last byte of each minimum
        self._bands: list[_Hashes] = []  # (R, B)

    def add(self, text: str, language: str) -> None:
        """Takes the next text; positions count from 0."""
        position, self.added = self.added, self.added + 1
        if not (plain := normalised(text)):
            return  # no text, nothing to repeat
        digest = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        first = self._first.setdefault(digest, position)
        if first != position:
            self.exact[position] = first
        elif len(hashes := _shingle_hashes(plain, _SHINGLE.get(language, _WORDS))):
            self._hashed.append(position)
            self._languages.append(language)
            self._pending.append(hashes)
            self._pending_shingles += len(hashes)
            if self._pending_shingles >= _BLOCK:
                self._sketch()

    def find(self, text_at: Callable[[int], str]) -> dict[int, int]:
        """The position of each text that repeats one before it, and of the first one that it repeats.

        Args:
            text_at: the text of a position as it was added; asked only of texts suspected to be near-duplicates.
        """
        self._sketch()
        found = dict(self.exact)
        if not self._hashed:
            return found
        self._sketches = [np.concatenate(self._sketches)]
        self._bands = [np.concatenate(self._bands)]
        sketches, buckets = self._sketches[0], self._buckets(self._bands[0])

        @lru_cache(maxsize=4096)  # texts of a template are compared with each other again and again
        def shingles_at(row: int) -> frozenset[tuple[str, ...]]:
            return shingles(text_at(self._hashed[row]), self._languages[row])

        kept: dict[int, list[int]] = defaultdict(list)
        for row in sorted(buckets):
            suspects = np.array(sorted({other for bucket in buckets[row] for other in kept[bucket]}), dtype=np.intp)
            if len(suspects):
                estimates = (sketches[suspects] == sketches[row]).mean(axis=1)
                suspects = suspects[estimates >= self.near - MARGIN]
            for other in suspects.tolist():
                if jaccard(shingles_at(row), shingles_at(other)) >= self.near:
                    found[self._hashed[row]] = self._hashed[other]
                    break
            else:
                for bucket in buckets[row]:
                    kept[bucket].append(row)
        # An exact copy of a text that was dropped as a near-duplicate belongs to what that one repeats.
        return {position: found.get(first, first) for position, first in sorted(found.items())}

    def suspects(self) -> set[int]:
        """The positions that `find` may ask the text of."""
        self._sketch()
        if not self._hashed:
            return set()
        return {self._hashed[row] for row in self._buckets(np.concatenate(self._bands))}

    def _sketch(self) -> None:
        """Turns the pending shingles into the smallest value of each hash function, per text."""
        if not self._pending:
            return
        starts = np.cumsum([0, *map(len, self._pending[:-1])])
        values = np.concatenate(self._pending)
        minima = np.empty((len(self._pending), HASHES), dtype=np.uint32)  # (R, P)
        for i, (factor, offset) in enumerate(zip(self.factors, self.offsets, strict=True)):
            # The upper half of a x + b modulo 2^64 (multiply-shift, Dietzfelbinger et al. 1997).
            minima[:, i] = np.minimum.reduceat((values * factor + offset) >> np.uint64(32), starts)
        bands = HASHES // self.rows
        wide = minima[:, : bands * self.rows].reshape(len(minima), bands, self.rows).astype(np.uint64)
        keys = np.full((len(minima), bands), 0, dtype=np.uint64)
        for r in range(self.rows):
            keys = _mixed(keys ^ wide[:, :, r])
        self._bands.append(keys)
        self._sketches.append(minima.astype(np.uint8))
        self._pending, self._pending_shingles = [], 0

    def _buckets(self, keys: _Hashes) -> dict[int, list[int]]:
        """The buckets of each row that shares any with another row."""
        buckets: dict[int, list[int]] = defaultdict(list)
        bucket = 0
        for band in range(keys.shape[1]):
            _, groups, sizes = np.unique(keys[:, band], return_inverse=True, return_counts=True)
            for row in np.flatnonzero(sizes[groups] > 1).tolist():
                buckets[row].append(bucket + int(groups[row]))
            bucket += len(sizes)
        return buckets


def _shingle_hashes(plain: str, width: int) -> _Hashes:
    """The distinct hashes (S,) of a normalised text's shingles."""
    tokens = _TOKEN.findall(plain)
    if not tokens:
        return np.empty(0, dtype=np.uint64)
    words = np.array([zlib.crc32(token.encode("utf-8", "surrogatepass")) for token in tokens], dtype=np.uint64)
    width = min(width, len(words))
    hashes = np.zeros(len(words) - width + 1, dtype=np.uint64)
    for i in range(width):
        hashes = _mixed(hashes ^ words[i : len(words) - width + 1 + i])
    return np.unique(hashes)


def _mixed(values: _Hashes) -> _Hashes:
    """A bijection in which every bit of the input changes half of the output's (the finaliser of splitmix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
