"""The detector a platform would train: it learns from generated and human reviews of one shop which is which.

Detector("words").fit(["Overall a great choice.", "strap broke after 2 days"], [True, False]).scores(["a great buy"])

Letters in shapes: D texts, U units (words or characters) of all texts, E entries (a text and an n-gram that it has).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.errors import DataError
from shoplm_audit.types import Floats

__all__ = ["TOLD", "Detector", "Kind", "tokens"]

Kind: TypeAlias = Literal["both", "words", "characters"]
_Keys: TypeAlias = NDArray[np.uint64]
_Numbers: TypeAlias = NDArray[np.int64]

# A Han character is a word of its own: Chinese has no spaces. So is a mark of punctuation.
_WORD = re.compile(r"[㐀-鿿]|[^\W㐀-鿿]+|[^\w\s]")


def tokens(text: str) -> int:
    """How long a text is for a detector: words, Han characters and marks of punctuation, whatever the model's tokens.

    >>> tokens("Good kettle, 很好用")
    6
    """
    return len(_WORD.findall(text))


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a kind of detector reads: n-grams of which units, in how many texts at least, weighted and separated how."""

    sizes: tuple[int, ...]
    bits: int  # an n-gram is its units' numbers side by side in 64 bits
    least: int
    bayes: bool


_RECIPES = {"words": _Recipe((1, 2), 32, 1, True), "characters": _Recipe((2, 3, 4), 16, 2, False)}
_BLOCK = 512  # texts whose n-grams are looked up at once: more no longer fit a processor's cache
TOLD: dict[Kind, str] = {
    "both": "NB-SVM word 1-2 + logistic char 2-4",
    "words": "NB-SVM word 1-2",
    "characters": "logistic char 2-4",
}


class Detector:
    """A supervised detector of generated texts, by words, by characters or by both.

    "words" is NB-SVM: TF-IDF (sublinear) of word 1-2-grams, weighted by naive Bayes' log-ratio, brought to unit
    length, and a linear SVM (Wang and Manning 2012; 94.7 % on generated Amazon reviews, Salminen et al. 2022).
    "characters" is a logistic regression on TF-IDF of character 2-4-grams. Letter case is not looked at. "both" is the
    sum of their scores, each with a deviation of 1 over the texts that they learned from.

    Args:
        kind: what it reads.
    """

    def __init__(self, kind: Kind = "words") -> None:
        self.kind = kind
        self._parts = [_Part(unit) for unit in _RECIPES if kind in (unit, "both")]
        self._spread = 1.0

    def fit(self, texts: Sequence[str], labels: Sequence[bool] | NDArray[np.bool_]) -> Detector:
        """Learns from texts, (D,), of which those labelled True are generated.

        Raises:
            DataError: no text is generated, or all are.
        """
        generated = np.asarray(labels, dtype=bool)
        if generated.all() or not generated.any():
            raise DataError(f'a detector needs generated and human texts: all {len(texts)} are "{generated.any()}".')
        for part in self._parts:
            part.fit(texts, generated)
        self._spread = float(self._sum(texts).std()) or 1.0 if len(self._parts) > 1 else 1.0
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """A score per text, (D,), higher for generated ones; the texts it learned from have mean 0 and deviation 1."""
        return self._sum(texts) / self._spread

    def _sum(self, texts: Sequence[str]) -> Floats:
        blocks = [texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK)]
        sums = [sum((part.scores(block) for part in self._parts), np.zeros(len(block))) for block in blocks]
        return np.concatenate([np.zeros(0), *sums])


class _Part:
    """A detector by one kind of unit.

    A score needs no more than the n-grams' weights, so it is computed from them for many texts at once.
    """

    def __init__(self, unit: str) -> None:
        self._unit, self._recipe = unit, _RECIPES[unit]
        self._units: dict[str, int] = {}
        self._table = np.zeros(0, dtype=np.uint64)
        self._grams: _Keys = np.zeros(0, dtype=np.uint64)
        self._scale, self._weights = np.zeros(0), np.zeros(0)
        self._middle, self._spread = 0.0, 1.0

    def fit(self, texts: Sequence[str], generated: NDArray[np.bool_]) -> None:
        """Learns the weight of each n-gram, and where the scores of these texts lie."""
        self._number(texts)
        text, keys = self._keys(texts)
        grams, feature = np.unique(keys, return_inverse=True)
        text, feature, count = _counted(text, feature, max(1, grams.size))
        seen_in = np.bincount(feature, minlength=grams.size)
        kept = seen_in >= self._recipe.least
        inside, place = kept[feature], np.cumsum(kept) - 1
        text, feature, count = text[inside], place[feature[inside]], count[inside]
        self._grams = grams[kept]
        if not self._grams.size:
            return
        # Smoothed as if one more text had every n-gram, so that none has a weight of 0.
        self._scale = np.log((1 + len(texts)) / (1 + seen_in[kept])) + 1
        weighted = (1 + np.log(count)) * self._scale[feature]
        if self._recipe.bayes:
            even = weighted / _lengths(text, weighted, len(texts))[text]
            sums = [np.bincount(feature[rows], even[rows], self._grams.size) + 1 for rows in _both(generated[text])]
            ratio = np.log((sums[0] / sums[0].sum()) / (sums[1] / sums[1].sum()))
            self._scale, weighted = self._scale * ratio, weighted * ratio[feature]
        values = weighted / _lengths(text, weighted, len(texts))[text]
        self._weights = self._separate((text, feature), values, generated)
        learned = self._raw(text, feature, count, len(texts))
        self._middle, self._spread = float(learned.mean()), float(learned.std()) or 1.0

    def scores(self, texts: Sequence[str]) -> Floats:
        """A score per text, (D,)."""
        if not self._grams.size:
            return np.zeros(len(texts))
        text, keys = self._keys(texts)
        place = np.minimum(np.searchsorted(self._grams, keys), self._grams.size - 1)
        known = self._grams[place] == keys
        raw = self._raw(*_counted(text[known], place[known], self._grams.size), len(texts))
        return (raw - self._middle) / self._spread

    def _raw(self, text: _Numbers, feature: _Numbers, count: Floats, texts: int) -> Floats:
        values = (1 + np.log(count)) * self._scale[feature]
        sums = np.bincount(text, values * self._weights[feature], texts)
        return sums / _lengths(text, values, texts)

    def _separate(self, where: tuple[_Numbers, _Numbers], values: Floats, generated: NDArray[np.bool_]) -> Floats:
        """The weight of each n-gram; the offset, the same for all texts, is left to the centring."""
        from scipy import sparse
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        rows = sparse.csr_matrix((values, where), shape=(generated.size, self._grams.size))
        machine: Any = (
            LinearSVC(C=1.0, random_state=0)
            if self._recipe.bayes
            else LogisticRegression(C=10.0, solver="liblinear", random_state=0)
        )
        return np.asarray(machine.fit(rows, generated).coef_[0], dtype=np.float64)

    # N-grams --------------------------------------------------------------------------------------

    def _number(self, texts: Sequence[str]) -> None:
        """Gives each unit of the training texts a number from 1; 0 is any other."""
        cut: Callable[[str], list[str]] = _WORD.findall if self._unit == "words" else list
        units = sorted({unit for text in texts for unit in cut(text.lower())})
        self._units = {unit: number for number, unit in enumerate(units[: 2**self._recipe.bits - 1], 1)}
        if self._unit == "characters":
            self._table = np.zeros(0x110000, dtype=np.uint64)
            self._table[[ord(unit) for unit in self._units]] = list(self._units.values())

    def _keys(self, texts: Sequence[str]) -> tuple[_Numbers, _Keys]:
        """The n-grams of known units, and the text of each."""
        low = [text.lower() for text in texts]
        if self._unit == "words":
            cut = [_WORD.findall(text) for text in low]
            sizes = [len(words) for words in cut]
            get = self._units.get
            numbers = np.array([get(word, 0) for words in cut for word in words], dtype=np.uint64)  # (U,)
        else:
            sizes = [len(text) for text in low]
            points = np.frombuffer("".join(low).encode("utf-32-le", "surrogatepass"), dtype="<u4")
            numbers = self._table[points]
        text = np.repeat(np.arange(len(low)), sizes)  # (U,)
        texts_of, keys_of = [], []
        for size in self._recipe.sizes:
            ends = max(0, numbers.size - size + 1)
            whole = text[:ends] == text[size - 1 :][:ends]
            keys = np.zeros(ends, dtype=np.uint64)
            for i in range(size):
                unit = numbers[i : i + ends]
                whole = whole & (unit > 0)
                keys = (keys << np.uint64(self._recipe.bits)) | unit
            texts_of.append(text[:ends][whole])
            keys_of.append(keys[whole])
        return np.concatenate(texts_of), np.concatenate(keys_of)


def _counted(text: _Numbers, feature: _Numbers, features: int) -> tuple[_Numbers, _Numbers, Floats]:
    """Text, n-gram and count of each entry, (E,)."""
    entry, count = np.unique(text * features + feature, return_counts=True)
    return entry // features, entry % features, count.astype(np.float64)


def _lengths(text: _Numbers, values: Floats, texts: int) -> Floats:
    """The Euclidean length of each text's entries; 1 where it has none."""
    lengths = np.sqrt(np.bincount(text, values**2, texts))
    return np.where(lengths > 0, lengths, 1.0)


def _both(labels: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return labels, ~labels
