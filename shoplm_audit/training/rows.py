"""Rows of tokens, batches of rows, and the loss of each record: nothing in it is shared between records.

    record_losses(model, objective.batch(rows))  # (B,) nats per token of each record

A record's loss is the mean over its own tokens and over nothing else. The usual mean over a batch's tokens makes a
record's gradient depend on who stands beside it, and then clipping bounds nobody's influence.

B rows, T tokens, V vocabulary, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["UNLEARNED", "Batch", "Row", "padded", "record_losses"]

UNLEARNED = -100  # the target of what is only read, as torch's cross-entropy ignores it


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded record.

    Attributes:
        tokens: what the network reads.
        targets: what each place of its output has to say, or `UNLEARNED`; empty where only a label is learned.
        second: where the second sentence of a pair begins; 0 where there is one sentence.
        label: the number of the record's label, or `UNLEARNED`.
        truncated: whether it was cut to the context.
    """

    tokens: tuple[int, ...]
    targets: tuple[int, ...] = ()
    second: int = 0
    label: int = UNLEARNED
    truncated: bool = False

    @property
    def size(self) -> int:
        """How many places it takes beside others, of an encoder-decoder on its longer side."""
        return max(len(self.tokens), len(self.targets))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows side by side, padded on the right.

    Attributes:
        inputs: what the model is called with, every tensor (B, T).
        targets: (B, T), `UNLEARNED` where nothing is learned; None where only labels are.
        labels: (B,) or None.
    """

    inputs: Mapping[str, torch.Tensor]
    targets: torch.Tensor | None = None
    labels: torch.Tensor | None = None

    def to(self, device: str) -> Batch:
        """The same on a device."""
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        targets = None if self.targets is None else self.targets.to(device)
        return Batch(inputs, targets, None if self.labels is None else self.labels.to(device))


def padded(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """Rows of unequal length as one tensor (B, T), filled up on the right."""
    import torch

    filled = torch.full((len(rows), max(1, *map(len, rows), 1)), filler, dtype=torch.long)
    for i, row in enumerate(rows):
        filled[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return filled


def record_losses(model: Any, batch: Batch) -> torch.Tensor:
    """Mean negative log-likelihood of each record's learned tokens, plus that of its label, in nats (B,).

    A record without anything to learn has loss 0. The model is called as every user calls it, without position ids.
    """
    import torch
    from torch.nn import functional

    output = model(**batch.inputs)
    rows = next(iter(batch.inputs.values())).shape[0]
    losses = torch.zeros(rows, device=output[0].device)
    if batch.targets is not None:
        logits = output.prediction_logits if "prediction_logits" in output else output.logits  # (B, T, V)
        # Flattened: the kernel for (B, V, T) is several times slower on a CPU.
        each = functional.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=UNLEARNED, reduction="none"
        ).view_as(batch.targets)
        counts = (batch.targets != UNLEARNED).sum(dim=1)
        losses = losses + each.sum(dim=1) / counts.clamp(min=1)
    if batch.labels is not None:
        logits = output.seq_relationship_logits if "seq_relationship_logits" in output else output.logits  # (B, L)
        losses = losses + functional.cross_entropy(
            logits.float(), batch.labels, ignore_index=UNLEARNED, reduction="none"
        )
    return losses
