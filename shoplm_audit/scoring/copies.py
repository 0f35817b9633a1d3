"""How much of a text was copied: the longest run that it shares with training texts, and the most similar of them.

    Copies([("I bought this kettle in May and it leaks", "en")]).longest("So: this kettle in May and it leaks!", "en")
    -> Copy(start=4, end=35, length=8, own=8)

Words are counted in English, letters, digits and characters in Chinese, under NFKC and without regard to letter case
and signs. A run that texts outside the training hold too is a stock phrase: what is left of a run without its longest
such part is its `own` length, and only that is evidence of copying.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shoplm_audit.data.duplicates import HAN, jaccard, shingles
from shoplm_audit.data.sought import with_places

__all__ = ["Copies", "Copy"]

# A Python string of one character per word lets the search of strings in C do the work.
_WORD = re.compile(rf"[{HAN}]|[^\W{HAN}]+")
_CHARACTER = re.compile(r"\w")
_FIRST = 0x10000  # words are numbered from here, past the surrogates
_MOST = 0x10FFFF - _FIRST
_BETWEEN, _UNKNOWN = "\0", "\1"  # between two texts; in place of a word that no text has
_SHORTEST = {"zh": 8}  # runs below this are not looked for; any other language has five words
_SHORTEST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Copy:
    """A run text[start:end] of `length` words (characters in Chinese), `own` of them found in training texts only."""

    start: int
    end: int
    length: int
    own: int


@dataclass(slots=True)
class _Corpus:
    """Texts as one string of numbered words, and the starts of runs that are worth a search in it."""

    text: str = ""
    starts: set[str] = field(default_factory=set)


class Copies:
    """What texts share with those that a model was trained on.

    Args:
        inside: (text, language) of the texts that were trained on.
        outside: (text, language) of texts from the same source that were not.
    """

    def __init__(self, inside: Iterable[tuple[str, str]], outside: Iterable[tuple[str, str]] = ()) -> None:
        trained = list(dict.fromkeys(inside))
        self._numbers: dict[str, str] = {}
        self._inside, self._outside = self._corpus(trained), self._corpus(list(dict.fromkeys(outside)))
        self._shingles = [shingles(text, language) for text, language in trained]
        self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, own in enumerate(self._shingles):
            for shingle in own:
                self._holders[shingle].append(number)

    def longest(self, text: str, language: str, prompt: str = "") -> Copy | None:
        """The run with the most words of its own; None where none of at least five words (eight characters) is shared.

        What the prompt says already counts as a stock phrase.

        >>> Copies([("Beware of the dog, it bites", "en")]).longest("beware of the DOG: it barks", "en")
        Copy(start=0, end=21, length=5, own=5)
        """
        spans = _spans(text, language)
        coded, width = self._coded(text, language), _width(language)
        stock = _runs(coded, self._outside, width)
        if prompt:
            said = self._coded(prompt, language)
            stock += _runs(coded, _Corpus(said, _windows(said, width)), width)
        best: Copy | None = None
        for first, after in _runs(coded, self._inside, width):
            shared = max((min(after, b) - max(first, a) for a, b in stock), default=0)
            found = Copy(spans[first][1], spans[after - 1][2], after - first, after - first - max(0, shared))
            if best is None or (found.own, found.length) > (best.own, best.length):
                best = found
        return best

    def nearest(self, text: str, language: str) -> float:
        """The largest Jaccard similarity of shingles (three words, four characters) with one training text; 0 to 1."""
        asked = shingles(text, language)
        shared = Counter(number for shingle in asked for number in self._holders.get(shingle, ()))
        return max((jaccard(asked, self._shingles[number]) for number in shared), default=0.0)

    def _corpus(self, texts: Sequence[tuple[str, str]]) -> _Corpus:
        corpus = _Corpus()
        pieces = []
        for text, language in texts:
            coded = "".join(self._number(word) for word, _, _ in _spans(text, language))
            corpus.starts |= _windows(coded, _width(language))
            pieces.append(coded)
        corpus.text = _BETWEEN.join(dict.fromkeys(pieces))
        return corpus

    def _coded(self, text: str, language: str) -> str:
        return "".join(self._numbers.get(word, _UNKNOWN) for word, _, _ in _spans(text, language))

    def _number(self, word: str) -> str:
        if word not in self._numbers:
            # More words than there are characters are in no training text of this size: the rest would share one.
            self._numbers[word] = chr(_FIRST + min(len(self._numbers), _MOST))
        return self._numbers[word]


def _width(language: str) -> int:
    return _SHORTEST.get(language, _SHORTEST_WORDS)


def _windows(coded: str, width: int) -> set[str]:
    return {coded[i : i + width] for i in range(len(coded) - width + 1)}


def _spans(text: str, language: str) -> list[tuple[str, int, int]]:
    """(Word or character, where it begins in the text, where it ends)."""
    plain, places = with_places(text)
    places.append(len(text))
    found = (_CHARACTER if language == "zh" else _WORD).finditer(plain)
    return [(one[0], places[one.start()], places[one.end() - 1] + 1) for one in found]


def _runs(coded: str, corpus: _Corpus, width: int) -> list[tuple[int, int]]:
    """The maximal runs coded[first:after] of at least `width` that stand in the corpus."""
    runs: list[tuple[int, int]] = []
    reached = 0
    for first in range(len(coded) - width + 1):
        if coded[first : first + width] not in corpus.starts:
            continue
        # What is shared from here reaches at least as far as what is shared from the place before.
        after = max(first + width, reached)
        while after < len(coded) and coded[first : after + 1] in corpus.text:
            after += 1
        if after > reached:
            runs.append((first, after))
            reached = after
    return runs
