"""What a network has read of a batch of texts, and what it says comes next: one cache, a line per text.

    reading = CausalReading(network, prompts, context=512)
    reading.logits()         # (B, V); then reading.extend([tokens of all lines]), reading.logits(), ...

Letters in shapes: B lines, W tokens of the longest one, V words of the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

__all__ = ["CausalReading", "EncodedReading", "Reading", "padded"]


class Reading(Protocol):
    """Texts that are being written, a line each."""

    def logits(self) -> torch.Tensor:
        """Reads what is new of each line and returns the logits of its next token, (B, V) float32."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Puts one token to the end of each line."""

    def keep(self, lines: Sequence[int]) -> None:
        """Goes on with these lines, in this order; one that is named twice becomes two."""


def padded(rows: Sequence[Sequence[int]], filler: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of tokens as one tensor, filled up on the right, and its attention mask: (B, W) each."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


class CausalReading:
    """Prompts of a causal model, padded on the left, so that all lines end together."""

    def __init__(self, network: Any, prompts: Sequence[Sequence[int]], context: int) -> None:
        import torch
        from transformers import DynamicCache

        width = max(len(prompt) for prompt in prompts)
        self._network, self._context = network, context
        self._accepts = set(inspect.signature(network.forward).parameters)
        self._ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in prompts], device=network.device)
        self._mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=network.device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._cache = DynamicCache(config=network.config)

    def logits(self) -> torch.Tensor:
        """Reads the prompts, or the last tokens, and returns the logits of the next ones, (B, V)."""
        inputs = {"attention_mask": self._mask, "position_ids": self._positions, "logits_to_keep": 1}
        inputs = {name: value for name, value in inputs.items() if name in self._accepts}
        answer = self._network(input_ids=self._ids, past_key_values=self._cache, use_cache=True, **inputs)
        logits: torch.Tensor = answer.logits[:, -1].float()
        return logits

    def extend(self, tokens: Sequence[int]) -> None:
        """Puts one token to the end of each line."""
        import torch

        self._ids = torch.tensor(tokens, device=self._mask.device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=-1)
        # A finished line that is carried along may stand at the last place already.
        self._positions = (self._positions[:, -1:] + 1).clamp(max=self._context - 1)

    def keep(self, lines: Sequence[int]) -> None:
        """Goes on with these lines, in this order."""
        import torch

        index = torch.tensor(lines, device=self._mask.device)
        self._cache.batch_select_indices(index)
        self._mask, self._positions = self._mask[index], self._positions[index]


class EncodedReading:
    """Answers of an encoder-decoder: the sources are encoded once, and the answers' tokens read as they come.

    Args:
        network: the model.
        sources: the tokens of each source, not empty.
        begin: the tokens with which every answer begins, not empty.
        filler: the token that fills up shorter sources.
    """

    def __init__(self, network: Any, sources: Sequence[Sequence[int]], begin: Sequence[int], *, filler: int) -> None:
        import torch
        from transformers import DynamicCache, EncoderDecoderCache

        ids, self._mask = padded(sources, filler, network.device)
        self._network = network
        self._encoded = network.get_encoder()(input_ids=ids, attention_mask=self._mask)
        self._ids = torch.tensor([list(begin)] * len(sources), device=network.device)
        self._cache = EncoderDecoderCache(DynamicCache(config=network.config), DynamicCache(config=network.config))

    def logits(self) -> torch.Tensor:
        """Reads the beginning, or the last tokens, and returns the logits of the next ones, (B, V)."""
        answer = self._network(
            encoder_outputs=self._encoded,
            attention_mask=self._mask,
            decoder_input_ids=self._ids,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: torch.Tensor = answer.logits[:, -1].float()
        return logits

    def extend(self, tokens: Sequence[int]) -> None:
        """Puts one token to the end of each line."""
        import torch

        self._ids = torch.tensor(tokens, device=self._mask.device)[:, None]

    def keep(self, lines: Sequence[int]) -> None:
        """Goes on with these lines, in this order."""
        import torch

        index = torch.tensor(lines, device=self._mask.device)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]
        self._encoded = type(self._encoded)(last_hidden_state=self._encoded.last_hidden_state[index])
