"""Watermarks: written into the choice of tokens with a key, and found again in the text by whoever has the key.

    detect("The kettle ...", tokenizer, Mark("kgw", "secret")) -> Detection(p_value=3.1e-09, score=6.2, tokens=118)

A keyed hash gives each token, after the tokens just before it, 64 random bits; they depend on nothing else, so writer
and finder need no common machine. Only the text's own tokens count, never the prompt's: its first ones stay unmarked.

Letters in shapes: V words of the vocabulary, S tokens, L tournaments.

References: Kirchenbauer et al., arXiv 2301.10226; Dathathri et al., Nature 634, 818 (2024).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.types import Floats, Mark

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Detection", "Marker", "detect", "kgw_detection", "synthid_detection"]

# How many tokens before a token decide its bits: more are harder to learn and die of smaller edits.
_CONTEXT = {"kgw": 1, "synthid": 4}
_EXACT = 1 << 16  # sums of SynthID values, in units of their weights, of which the whole law is computed
_TOO_SHORT = "undefined: no token stands after a full context"


@dataclass(frozen=True, slots=True)
class Detection:
    """What the key finds in a text.

    Attributes:
        p_value: how often a text that was written without the key would score as high; nan where nothing counts.
        score: of kgw z = (green - gamma T) / sqrt(T gamma (1 - gamma)); of synthid the weighted mean g, by chance 0.5
        tokens: T, the tokens that count: those after a full context, each context and token once.
        hits, trials, chance: fair to add up over texts: of `trials` values so many are 1, by chance this share. Of kgw
            they are green tokens among T; of synthid the values of all tournaments.
        reason: why nothing can be told; "" where it can.
    """

    p_value: float
    score: float
    tokens: int
    hits: int = 0
    trials: int = 0
    chance: float = math.nan
    reason: str = ""


class Marker:
    """A watermark at work: which tokens it favours after the tokens written so far."""

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.context = _CONTEXT[mark.kind]

    def bits(self, context: Sequence[int], tokens: NDArray[np.int64]) -> NDArray[np.uint64]:
        """64 random bits for each of `tokens` (S,): SplitMix64, seeded by the SHA-256 of key and context."""
        named = f"{self.mark.kind}\0{self.mark.key}\0{','.join(map(str, context))}"
        seed = np.uint64(int.from_bytes(hashlib.sha256(named.encode()).digest()[:8]))
        mixed = seed + (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))

    def green(self, context: Sequence[int], tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `tokens` (S,) are green. Each is by itself with probability gamma, so the test's law is exact."""
        share = (self.bits(context, tokens) >> np.uint64(11)) * 2.0**-53
        return np.asarray(share < self.mark.gamma)

    def values(self, context: Sequence[int], tokens: NDArray[np.int64]) -> Floats:
        """The g-values (S, L) of `tokens`, 0 or 1, a bit for each tournament."""
        layers = np.arange(self.mark.depth, dtype=np.uint64)
        return ((self.bits(context, tokens)[:, None] >> layers) & np.uint64(1)).astype(np.float64)

    def bias(self, written: Sequence[int], words: int) -> Floats:
        """What kgw adds to the logits (V,) of the next token; synthid adds nothing."""
        if self.mark.kind != "kgw" or len(written) < self.context:
            return np.zeros(words)
        return np.where(self.green(written[-self.context :], np.arange(words)), self.mark.delta, 0.0)

    def raised(self, scores: Floats, written: Sequence[int]) -> Floats:
        """The scores (V,) of the next token with those of green ones raised."""
        return scores + self.bias(written, len(scores))

    def apply(self, probability: Floats, written: Sequence[int]) -> Floats:
        """The distribution (V,) from which the next token is drawn, made of the model's own."""
        if self.mark.kind == "kgw":
            raised = probability * np.exp(self.bias(written, len(probability)))
            return np.asarray(raised / raised.sum())
        context = tuple(written[-self.context :])
        earlier = {tuple(written[i : i + self.context]) for i in range(len(written) - self.context)}
        # A context that comes again would favour the same tokens again, which shows in the text.
        if len(context) < self.context or context in earlier:
            return probability
        likely = np.flatnonzero(probability)
        kept = probability[likely] / probability.sum()
        for won in self.values(context, likely).T:  # of two drawn tokens the one with the larger g goes on
            kept = kept * (1 + won - kept @ won)
        marked = np.zeros_like(probability)
        marked[likely] = kept
        return marked


def kgw_detection(green: int, tokens: int, gamma: float) -> Detection:
    """The exact binomial test of `green` among `tokens`; the normal one gives p-values that are far too small.

    >>> kgw_detection(160, 200, 0.5).score
    8.48528137423857
    """
    from scipy.stats import binom

    if not tokens:
        return Detection(math.nan, math.nan, 0, reason=_TOO_SHORT)
    score = (green - gamma * tokens) / math.sqrt(tokens * gamma * (1 - gamma))
    return Detection(float(binom.sf(green - 1, tokens, gamma)), score, tokens, green, tokens, gamma)


def synthid_detection(values: Floats) -> Detection:
    """The weighted mean of g-values (S, L), the weights falling from 10 to 1: early tournaments show the most.

    Without the key each g is a fair coin of its own. The p-value is exact where they are few, and never below 1e-12;
    where they are many it is the normal one, off by a hundredth of itself at 1 % and 5 % and too large further out:
    sums of coins have the lighter tails.
    """
    from scipy.stats import norm

    tokens, depth = values.shape
    if not tokens:
        return Detection(math.nan, math.nan, 0, reason=_TOO_SHORT)
    weights = _weights(depth)
    share = weights / weights.sum()
    score = float((values @ share).mean())
    if tokens * int(weights.sum()) < _EXACT:
        p_value = float(_tail(tokens, depth)[int((values @ weights).sum())])
    else:
        spread = 0.5 * math.sqrt(float(share @ share) / tokens)
        p_value = float(norm.sf((score - 0.5) / spread))
    return Detection(p_value, score, tokens, int(values.sum()), values.size, 0.5)


def _weights(depth: int) -> NDArray[np.int64]:
    """Whole numbers that fall from 10 to 1, up to a factor."""
    return 10 * (depth - 1) - 9 * np.arange(depth) if depth > 1 else np.ones(1, dtype=np.int64)


@lru_cache(64)
def _tail(tokens: int, depth: int) -> Floats:
    """How often the weighted sum of so many coins is this large or larger, by each whole number it can be."""
    weights = _weights(depth)
    top = tokens * int(weights.sum())
    angle = np.pi * np.arange((top + 1) // 2 + 1) / (top + 1)
    wave = np.prod(np.cos(np.outer(weights, angle)), axis=0) ** tokens * np.exp(-1j * angle * top)
    chance = np.fft.irfft(wave, top + 1)
    # What is less than the rounding of the transform is not told.
    return np.clip(np.cumsum(chance[::-1])[::-1], 1e-12, 1.0)


def detect(text: str, tokenizer: PreTrainedTokenizerFast, mark: Mark) -> Detection:
    """Looks for a watermark, as a platform would: in the text alone, encoded anew.

    Args:
        text: without its prompt.
        tokenizer: of the model that may have written it.
        mark: kind, key and numbers as it was written with.

    Returns:
        The p-value holds over keys that have nothing to do with the text.
    """
    marker = Marker(mark)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    grams = [tuple(ids[i - marker.context : i + 1]) for i in range(marker.context, len(ids))]
    if mark.kind == "kgw":
        # What repeats is one piece of evidence, not several.
        once = dict.fromkeys(grams)
        green = sum(bool(marker.green(gram[:-1], np.array(gram[-1:]))[0]) for gram in once)
        return kgw_detection(green, len(once), mark.gamma)
    first: dict[tuple[int, ...], int] = {}
    for *context, token in grams:
        first.setdefault(tuple(context), token)
    rows = [marker.values(context, np.array([token]))[0] for context, token in first.items()]
    return synthid_detection(np.array(rows).reshape(len(rows), mark.depth))
