"""How the next token is chosen: greedy, or a draw that depends on the request alone and not on its neighbours.

    choose(logits, [Sampling(temperature=0.8, top_p=0.9, seed=3)], [generator_for("Review:", sampling, sample=0)])

Letters in shapes: B rows, V words of the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shoplm_audit.types import Sampling

if TYPE_CHECKING:
    import torch

__all__ = ["before_stop", "choose", "generator_for"]


def generator_for(prompt: str, sampling: Sampling, sample: int) -> np.random.Generator:
    """The source of every draw of one text: it follows from the seed, the sample's number and the prompt."""
    digest = hashlib.sha256(f"{sampling.seed}\0{sample}\0{prompt}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text up to the first of the stop strings."""
    return text[: min((place for mark in stop if mark and (place := text.find(mark)) >= 0), default=len(text))]


def choose(logits: torch.Tensor, samplings: Sequence[Sampling], generators: Sequence[np.random.Generator]) -> list[int]:
    """The next token of each row of `logits` (B, V).

    Truncation follows the order of transformers: temperature, top_k, top_p, min_p. A draw takes one uniform number
    through the inverse of the cumulative probabilities, in float64 and in the order of the vocabulary.
    """
    import torch

    chosen: list[int] = logits.argmax(-1).tolist()
    drawn = [row for row, sampling in enumerate(samplings) if sampling.temperature > 0]
    if not drawn:
        return chosen

    def column(name: str) -> torch.Tensor:
        values = [getattr(samplings[row], name) for row in drawn]
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]  # (B, 1)

    scaled = logits[drawn].double()
    scaled = (scaled - scaled.amax(-1, keepdim=True)) / column("temperature")  # (B, V); a tiny temperature stays finite
    top_k, top_p, min_p = column("top_k"), column("top_p"), column("min_p")
    if bool((top_k > 0).any() or (top_p < 1).any()):
        ordered, order = scaled.sort(stable=True, dim=-1, descending=True)
        place = torch.arange(ordered.shape[-1], device=logits.device)
        ordered = ordered.masked_fill((top_k > 0) & (place >= top_k), -torch.inf)
        likely = ordered.softmax(-1)
        beyond = (top_p < 1) & (likely.cumsum(-1) - likely >= top_p)
        scaled = torch.empty_like(scaled).scatter_(-1, order, ordered.masked_fill(beyond, -torch.inf))
    probability = scaled.softmax(-1)
    probability = probability * (probability >= min_p * probability.amax(-1, keepdim=True))
    cumulative = probability.cumsum(-1)
    uniform = torch.tensor([generators[row].random() for row in drawn], dtype=torch.float64, device=logits.device)
    found = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)
    for row, token in zip(drawn, found.clamp(max=logits.shape[-1] - 1).flatten().tolist(), strict=True):
        chosen[row] = token
    return chosen
