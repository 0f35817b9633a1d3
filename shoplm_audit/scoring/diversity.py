"""How different texts are from each other: distinct n-grams, self-BLEU, runs that several texts share.

    self_bleu([("a navy kettle of steel", "en"), ("a navy kettle of glass", "en")], [0, 1]) -> 66.87

Texts of one product are one group: they may well say the same, and are never held against each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from shoplm_audit.scoring.overlap import ORDERS, corpus_bleu, grams_of, tokens_of
from shoplm_audit.types import Floats

__all__ = ["VOCABULARY", "SelfBleu", "chosen_groups", "distinct", "expected_distinct", "self_bleu", "sharing_groups"]

_MOST = 200  # groups whose texts are compared: self-BLEU grows with their number, so that it is fixed
# Of BERT, as in the paper, and the Table of General Standard Chinese Characters of 2013: characters are the tokens.
VOCABULARY = {"en": 30_522, "zh": 8_105}


def expected_distinct(total: float, n: int, language: str) -> float:
    """How many different n-grams `total` draws from V^n equally likely ones hold: V^n (1 - (1 - V^-n)^total).

    `distinct` over this is expectation-adjusted distinct (Liu et al. 2022, arXiv 2202.13587), which a longer text does
    not lower by being longer. V is the vocabulary of the language. For n above 1 V^n is so large that little is
    adjusted.
    """
    size = float(VOCABULARY.get(language, VOCABULARY["en"])) ** n
    return -size * math.expm1(total * math.log1p(-1 / size))


def distinct(texts: Sequence[str], n: int, language: str) -> tuple[float, float]:
    """Distinct-n of texts taken together (Li et al. 2016, arXiv 1510.03055), and the same adjusted for their length.

    Args:
        texts: of one language.
        n: how long the runs of tokens are.
        language: of the texts, for tokens and vocabulary.

    Returns:
        (different n-grams / n-grams, different n-grams / `expected_distinct`, at most 1: more than chance would leave
        is chance); nan without any n-gram.
    """
    grams = [gram for text in texts for gram in grams_of(tokens_of(text, language), n)]
    if not grams:
        return math.nan, math.nan
    different = len(set(grams))
    return different / len(grams), min(1.0, different / expected_distinct(len(grams), n, language))


def sharing_groups(texts: Sequence[tuple[str, str]], groups: Sequence[int], n: int = 8) -> list[set[int]]:
    """For each (text, language) the other groups that have a text which shares a run of n tokens with it.

    A run of signs alone is none: a line of dashes is no template. A text without a run, since it is shorter or has
    signs alone, shares with one that is the same as a whole; an empty one shares nothing.
    """
    holders: dict[tuple[str, ...], set[int]] = {}
    runs = [_runs(tokens_of(text, language), n) for text, language in texts]
    for own, group in zip(runs, groups, strict=True):
        for gram in own:
            holders.setdefault(gram, set()).add(group)
    return [set().union(*(holders[gram] for gram in own)) - {group} for own, group in zip(runs, groups, strict=True)]


def _runs(tokens: Sequence[str], n: int) -> set[tuple[str, ...]]:
    runs = {gram for gram in grams_of(tokens, n) if any(map(str.isalnum, "".join(gram)))}
    return runs or ({tuple(tokens)} if tokens else set())


class SelfBleu:
    """Self-BLEU of texts: of each, its BLEU against all others as references (Zhu et al. 2018, arXiv 1802.01886).

    The clipped counts of all texts are found at once, from the two largest counts of each n-gram, so that the work
    grows with the number of tokens and not with its square.

    Args:
        texts: (text, language), N of them.
        groups: the number of each text's group; a text is not compared with its own group.
    """

    def __init__(self, texts: Sequence[tuple[str, str]], groups: Sequence[int]) -> None:
        tokens = [tokens_of(text, language) for text, language in texts]
        self._groups = np.asarray(groups, dtype=np.int64)
        self._lengths = np.array([len(own) for own in tokens], dtype=np.float64)
        self._totals = np.maximum(self._lengths[:, None] - np.arange(ORDERS), 0.0)
        number: dict[tuple[str, ...], int] = {}
        most: dict[tuple[int, int], int] = {}  # by n-gram and group: the largest count in one of its texts
        entries: list[tuple[int, int, int]] = []  # the place in the table of matches, n-gram, count
        for i, (own, group) in enumerate(zip(tokens, self._groups.tolist(), strict=True)):
            for n in range(1, ORDERS + 1):
                for gram, count in Counter(grams_of(own, n)).items():
                    key = number.setdefault(gram, len(number)), group
                    most[key] = max(most.get(key, 0), count)
                    entries.append((i * ORDERS + n - 1, key[0], count))
        held = sorted(most)
        place = {key: at for at, key in enumerate(held)}
        self._gram = np.array([gram for gram, _ in held], dtype=np.int64)
        self._holder = np.array([group for _, group in held], dtype=np.int64)
        self._most = np.array([most[key] for key in held], dtype=np.float64)
        self._first = np.flatnonzero(np.diff(self._gram, prepend=-1))
        table = np.array(entries, dtype=np.int64).reshape(-1, 3)
        self._cell, self._count = table[:, 0], table[:, 2].astype(np.float64)
        own_group = self._groups[self._cell // ORDERS].tolist()
        self._at = np.array(
            [place[gram, group] for gram, group in zip(table[:, 1].tolist(), own_group, strict=True)], dtype=np.int64
        )

    def scores(self, left_out: Sequence[int] = ()) -> Floats:
        """The BLEU of each text against the others, 0 to 100, (N,), as if some groups were not there.

        A text without tokens is 100, as if it were a copy; one that is left out, or has none to compare with, is 0.
        """
        found = np.where(self._lengths > 0, 0.0, 100.0)
        if not self._gram.size:
            return found
        counts = np.where(np.isin(self._holder, left_out), 0.0, self._most)
        top = np.maximum.reduceat(counts, self._first)
        is_top = counts == top[self._gram]
        alone = np.bincount(self._gram, is_top) == 1
        second = np.maximum.reduceat(np.where(is_top, 0.0, counts), self._first)
        others = np.where(is_top & alone[self._gram], second[self._gram], top[self._gram])
        clipped = np.minimum(self._count, others[self._at])
        matches = np.bincount(self._cell, clipped, len(found) * ORDERS).reshape(-1, ORDERS)
        rows = np.column_stack([self._lengths, self._closest(left_out), matches, self._totals])
        kept = np.flatnonzero(~np.isin(self._groups, left_out) & (self._lengths > 0) & np.isfinite(rows).all(axis=1))
        found[kept] = corpus_bleu(rows[kept])
        return found

    def _closest(self, left_out: Sequence[int]) -> Floats:
        """The length of the text of another group that is closest to each, the shorter of two; inf without any."""
        usable = ~np.isin(self._groups, left_out) & (self._lengths > 0)
        gaps = np.abs(self._lengths[:, None] - self._lengths) + 1e-9 * self._lengths
        gaps[(self._groups[:, None] == self._groups) | ~usable] = np.inf
        closest = gaps.argmin(axis=1)
        return np.where(np.isfinite(gaps.min(axis=1)), self._lengths[closest], np.inf)


def chosen_groups(groups: Sequence[int]) -> list[int]:
    """At most 200 groups, always the same ones of the same groups."""
    every = sorted(set(groups))
    if len(every) <= _MOST:
        return every
    return sorted(every[i] for i in np.random.default_rng(0).permutation(len(every))[:_MOST].tolist())


def self_bleu(texts: Sequence[tuple[str, str]], groups: Sequence[int]) -> float:
    """The mean self-BLEU (`SelfBleu`) of the texts of at most 200 groups, 0 to 100, drawn by a fixed seed.

    Args:
        texts: (text, language).
        groups: the number of each text's group (its product); number them all differently if they have none.

    Returns:
        nan below two groups.
    """
    chosen = set(chosen_groups(groups))
    kept = [i for i, group in enumerate(groups) if group in chosen]
    if len(chosen) < 2:
        return math.nan
    return float(SelfBleu([texts[i] for i in kept], [groups[i] for i in kept]).scores().mean())
