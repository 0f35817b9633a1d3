"""How the next token is chosen: greedy, or a draw that depends on the request alone and not on its neighbours.

    choose(logits, [Sampling(temperature=0.8, top_p=0.9, seed=3)], [generator_for("Review:", sampling, sample=0)])

Letters in shapes: B rows, V words of the vocabulary.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from shoplm_audit.models.watermark import Marker
from shoplm_audit.types import Floats, Sampling

if TYPE_CHECKING:
    import torch

__all__ = [
    "Marking",
    "Steering",
    "before_stop",
    "choose",
    "choose_steered",
    "distribution",
    "folded",
    "generator_for",
    "holding",
]

# Most nuclei are smaller than this.
_CANDIDATES = 512


def generator_for(prompt: str, sampling: Sampling, sample: int) -> np.random.Generator:
    """The source of every draw of one text: it follows from the seed, the sample's number and the prompt."""
    digest = hashlib.sha256(f"{sampling.seed}\0{sample}\0{prompt}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text up to the first of the stop strings."""
    return text[: min((place for mark in stop if mark and (place := text.find(mark)) >= 0), default=len(text))]


def folded(text: str) -> str:
    """The text as banned phrases see it: NFKC, no letter case, no invisible characters, all white space one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return re.sub(r"\s+", " ", text.casefold())


def holding(text: str, phrases: Sequence[str], before: str = "") -> list[str]:
    """The phrases that a text holds, or that its beginning completes after what stands `before` it."""
    own, ahead, whole = folded(text), folded(before), folded(before + text)
    found = ((phrase, folded(phrase)) for phrase in phrases)
    return [phrase for phrase, sought in found if sought in own or whole.count(sought) > ahead.count(sought)]


class Marking(Protocol):
    """A watermark at work in one text."""

    def raised(self, scores: Floats, written: Sequence[int]) -> Floats:
        """The scores (V,) by which the best token is chosen."""

    def apply(self, probability: Floats, written: Sequence[int]) -> Floats:
        """The distribution (V,) from which the next token is drawn."""


class Steering:
    """What a request wants beyond a plain draw: phrases that no text holds, and a watermark.

    Phrases are looked for in the text that tokens decode to, so it does not matter how a tokenizer cuts them.

    Args:
        prompt: what stands before the text; a phrase must not be completed across the two either.
        sampling: the request's.
        decoded: from token ids to their text.
        shipped: the mark that the model itself writes where the request asks for none.
    """

    def __init__(
        self,
        prompt: str,
        sampling: Sampling,
        decoded: Callable[[Sequence[int]], str],
        shipped: Marking | None = None,
    ) -> None:
        self.marker: Marking | None = Marker(sampling.mark) if sampling.mark else shipped
        self._banned, self._stop, self._decoded = sampling.banned, sampling.stop, decoded
        self._before = prompt[-2 * max(map(len, self._banned), default=0) :] if self._banned else ""

    def allows(self, written: Sequence[int], token: int) -> bool:
        """Whether the text may go on with this token."""
        if not self._banned:
            return True
        text = before_stop(self._decoded([*written, token]), self._stop)
        return not holding(text, self._banned, self._before)


def distribution(logits: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """What the next token of each row of `logits` (B, V) is drawn from, (B, V) float64; rows need not sum to 1.

    Truncation follows the order of transformers: temperature, top_k, top_p, min_p.
    """
    import torch

    def column(name: str) -> torch.Tensor:
        values = [getattr(sampling, name) for sampling in samplings]
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]  # (B, 1)

    scaled = logits.double()
    scaled = (scaled - scaled.amax(-1, keepdim=True)) / column("temperature")  # (B, V); a tiny temperature stays finite
    top_k, top_p, min_p = column("top_k"), column("top_p"), column("min_p")
    cut = ((top_k > 0) | (top_p < 1))[:, 0]
    if any(sampling.top_k > 0 or sampling.top_p < 1 for sampling in samplings):
        scaled[cut] = _truncated(scaled[cut], top_k[cut], top_p[cut], _CANDIDATES)
    probability = scaled.softmax(-1)
    return probability * (probability >= min_p * probability.amax(-1, keepdim=True))


def _truncated(scaled: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, candidates: int) -> torch.Tensor:
    """Logits (B, V), at most 0, with -inf where top_k and top_p (B, 1) cut; of equal ones the first of the vocabulary.

    To sort a vocabulary costs more than a small network does: only the best candidates are sorted, and all for rows
    that keep more than these.
    """
    import torch

    candidates = min(candidates, scaled.shape[-1])
    if candidates < scaled.shape[-1]:
        places = scaled.topk(candidates).indices.sort().values
        ordered, order = scaled.gather(-1, places).sort(stable=True, dim=-1, descending=True)
        places = places.gather(-1, order)  # (B, candidates)
    else:
        ordered, places = scaled.sort(stable=True, dim=-1, descending=True)
    best = (top_k <= 0) | (torch.arange(candidates, device=scaled.device) < top_k)
    likely = ordered.exp() * best
    total = torch.where(top_k > 0, likely.sum(-1, keepdim=True), scaled.exp().sum(-1, keepdim=True))
    likely = likely / total
    kept = best & ((top_p == 1) | (likely.cumsum(-1) - likely < top_p))  # (B, candidates), the first ones of each row
    cut = torch.full_like(scaled, -torch.inf).scatter_(-1, places, ordered.masked_fill(~kept, -torch.inf))
    if candidates == scaled.shape[-1]:
        return cut
    # A kept one as low as the last candidate may have its like beyond the candidates.
    lowest = ordered.masked_fill(~kept, torch.inf).amin(-1)
    beyond = (lowest <= ordered[:, -1]) | (top_k > candidates)[:, 0]  # (B,)
    if bool(beyond.any()):
        cut[beyond] = _truncated(scaled[beyond], top_k[beyond], top_p[beyond], scaled.shape[-1])
    return cut


def choose(logits: torch.Tensor, samplings: Sequence[Sampling], generators: Sequence[np.random.Generator]) -> list[int]:
    """The next token of each row of `logits` (B, V).

    A draw takes one uniform number through the inverse of the cumulative probabilities, in float64 and in the order of
    the vocabulary.
    """
    import torch

    chosen: list[int] = logits.argmax(-1).tolist()
    drawn = [row for row, sampling in enumerate(samplings) if sampling.temperature > 0]
    if not drawn:
        return chosen
    cumulative = distribution(logits[drawn], [samplings[row] for row in drawn]).cumsum(-1)
    uniform = torch.tensor([generators[row].random() for row in drawn], dtype=torch.float64, device=logits.device)
    found = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)
    for row, token in zip(drawn, found.clamp(max=logits.shape[-1] - 1).flatten().tolist(), strict=True):
        chosen[row] = token
    return chosen


def choose_steered(
    logits: torch.Tensor, sampling: Sampling, generator: np.random.Generator, written: Sequence[int], steering: Steering
) -> int | None:
    """The next token of one row of `logits` (V,), marked and allowed; None where nothing may follow.

    A draw that is not allowed is drawn again without it, which is a draw from the truncated distribution renormalised
    over what is allowed. Where nothing of it is allowed, the truncation is taken of the rest of the vocabulary.
    """
    scores = logits.double().clone()
    while bool((scores > -np.inf).any()):
        for token in _tried(scores, sampling, generator, written, steering):
            if steering.allows(written, token):
                return token
            scores[token] = -np.inf
    return None


def _tried(
    scores: torch.Tensor, sampling: Sampling, generator: np.random.Generator, written: Sequence[int], steering: Steering
) -> Iterator[int]:
    """The token that is greedily best, or all that truncation keeps, each drawn from those not drawn before."""
    marker = steering.marker
    if sampling.temperature == 0:
        values = scores.cpu().numpy()
        yield int((values if marker is None else marker.raised(values, written)).argmax())
        return
    probability = distribution(scores[None], [sampling])[0].cpu().numpy()
    if marker is not None:
        probability = marker.apply(probability, written)
    while probability.any():
        cumulative = probability.cumsum()
        token = int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
        token = min(token, len(probability) - 1)
        yield token
        probability[token] = 0.0
