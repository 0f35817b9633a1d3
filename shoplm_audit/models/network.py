"""What all networks of transformers in this process share: what they are called, where they run, what was cut, batches.

    class LocalModel(LocalNetwork[Encoded]):    # a kind says how a pair becomes rows, and what numbers rows give

Letters in shapes: M scored tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from shoplm_audit.models.batching import batches, halving
from shoplm_audit.models.encoding import Encoder
from shoplm_audit.models.logits import scores_of
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Floats, Generate, Pair, TokenScores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["LocalNetwork"]

# Padded bytes and rows of one batch, by device: more gains nothing on a CPU and costs memory.
_BUDGET = {"cpu": (1 << 15, 64), "cuda": (1 << 17, 256)}
_UNLIMITED = 1 << 30

Row = TypeVar("Row")


class LocalNetwork(ABC, Generic[Row]):
    """A network with its tokenizer, asked in batches; `Row` is what one line of a scoring batch is made of.

    Args:
        network: the model, on its device; it is put in evaluation mode.
        tokenizer: its fast tokenizer.
        name: how reports call it.
        fingerprint: the digest of its content; "" is not verifiable.
        record: what its trainer wrote, or None.

    Attributes:
        parameters: how many weights it has, shared ones once.
        context: the most tokens it reads at once.
        notes: what was cut to the context and how often, one sentence each.
    """

    batch_sensitive = True

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        name: str,
        fingerprint: str = "",
        record: TrainingRecord | None = None,
    ) -> None:
        self.network: Any = network.eval()
        self.encoder = Encoder(tokenizer)
        self.name = name
        self.fingerprint = fingerprint
        self.record = record
        self.parameters: int | None = sum(weight.numel() for weight in self.network.parameters())
        self.context = _context_of(self.network)
        self._budget, self._rows = _BUDGET.get(self.network.device.type, _BUDGET["cpu"])
        self._cut: dict[str, set[str]] = {}

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda". With `dtype` it shapes the last bits of every answer."""
        return str(self.network.device.type)

    @property
    def dtype(self) -> str:
        """What it computes in: "float32", "bfloat16"."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def notes(self) -> list[str]:
        """What was cut to the model's context, with how often."""
        return [f"{what} ({len(those)} times)" for what, those in sorted(self._cut.items())]

    def plan(self, requests: Sequence[Generate] | Sequence[Pair]) -> list[list[int]]:
        """The batches in which requests are computed, as positions: a pure function of the list.

        `generate` and `score` follow it, so each batch can be asked for on its own and gives the same numbers.
        """
        # Each text is noted once, also those that a store answers.
        for request in requests:
            for what, text in self._overlong(request):
                self._cut.setdefault(what, set()).add(text)
        return batches([_size(request) for request in requests], self._budget, self._rows)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of each pair, in order; nan where the network's logits are not finite."""
        scores: dict[int, TokenScores] = {}
        for batch in self.plan(pairs):
            scores.update(zip(batch, self._score_batch([pairs[i] for i in batch], columns), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def _score_batch(self, pairs: Sequence[Pair], columns: Columns) -> list[TokenScores]:
        owners: list[int] = []
        rows: list[Row] = []
        for owner, cut in enumerate(self._rows_of(pairs)):
            owners += [owner] * len(cut)
            rows += cut
        tables: dict[int, Floats] = {}
        for group in batches([self._size_of(row) for row in rows], self._budget, self._rows):
            found = halving(lambda part: self._tables(part, columns), [rows[i] for i in group])
            tables.update(zip(group, found, strict=True))
        parts: list[list[Floats]] = [[np.empty((0, 4))] for _ in pairs]
        for i, owner in enumerate(owners):
            parts[owner].append(tables[i])
        return [scores_of(np.concatenate(part), columns) for part in parts]

    def _longer(self, text: str, room: int) -> bool:
        # A token is at least one byte, so short texts need no count.
        return len(text.encode()) >= room and self.encoder.length(text) > room

    @abstractmethod
    def _overlong(self, request: Generate | Pair) -> Iterator[tuple[str, str]]:
        """What of a request does not fit: (a sentence that says so, the text)."""

    @abstractmethod
    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[Row]]:
        """The rows that each pair is scored by; their numbers one after another are the pair's."""

    @abstractmethod
    def _size_of(self, row: Row) -> int:
        """How much of a batch a row takes, in tokens."""

    @abstractmethod
    def _tables(self, rows: Sequence[Row], columns: Columns) -> list[Floats]:
        """For each row its scored tokens' log-probability, mean, variance and rank, (M, 4)."""


def _size(request: Generate | Pair) -> int:
    """An upper bound of the request's tokens that needs no tokenizer: bytes, and what is to be written."""
    if isinstance(request, Pair):
        return len((request.context + request.continuation).encode()) + 1
    text = len(request.prompt.flat.encode())
    return (text + 1 + request.sampling.max_new_tokens) * max(request.sampling.n, request.sampling.beams)


def _context_of(network: Any) -> int:
    context = int(getattr(network.config.get_text_config(), "max_position_embeddings", None) or _UNLIMITED)
    for name, module in network.named_modules():
        # RoBERTa and its kin count positions from behind the padding's.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return context - int(module.padding_idx) - 1
    return context
