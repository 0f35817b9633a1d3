"""Gradients of rows that need no protection: the mean over the rows of a batch, shared out over the processes.

plain = PlainGradients(model, objective, settings, processes)
loss = plain.set_gradient([(own, 0.7), (public, 0.3)])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplm_audit.training.objectives import Objective
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.rows import Row, record_losses
from shoplm_audit.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch

__all__ = ["PlainGradients", "computing"]


def computing(device: str, precision: str) -> Any:
    """The precision in which forward and backward are computed; weights and what is summed stay in float32."""
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


class PlainGradients:
    """Adds the gradient of a batch to where an optimiser looks for it.

    Args:
        model: any network whose objective is `objective`.
        objective: makes batches of rows.
        settings: micro-batch, precision, and whether weights are divided over the processes.
        processes: who shares the batch.
        counted: called with the rows of each micro-batch, to count what it costs.
    """

    def __init__(
        self,
        model: Any,
        objective: Objective,
        settings: TrainSettings,
        processes: Processes,
        counted: Callable[[Sequence[Row]], None] = lambda _: None,
    ) -> None:
        self._model, self._objective, self._settings = model, objective, settings
        self._processes, self._counted = processes, counted
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def set_gradient(self, shares: Sequence[tuple[Sequence[Row], float]]) -> float:
        """Sets every `grad` to that of a weighted mean: of each group of rows its mean loss, by its weight.

        All processes give the same rows and get the same loss; the gradients are added up once, before they return.

        Returns:
            The weighted loss.
        """
        import torch

        total = torch.zeros((), dtype=torch.float64)
        for rows, weight in shares:
            for part, share in self._parts(rows) if rows else ():
                self._counted(part)
                loss = self.losses(part).sum() * weight * share / len(rows)
                # Divided weights average their gradients over the processes by themselves.
                divided = self._processes.count if self._settings.shard else 1
                torch.autograd.backward(loss * divided)
                total += loss.detach().double().cpu()
        if not self._settings.shard:
            self._processes.add_up(p.grad for p in self._parameters if p.grad is not None)
        self._processes.add_up([total])
        return float(total)

    def _parts(self, rows: Sequence[Row]) -> list[tuple[list[Row], float]]:
        # Rows of like length side by side need little padding. Divided weights are gathered by all processes at once,
        # so each computes equally often, on a row of weight 0 where it has none of its own.
        mine = self._processes.mine(sorted(rows, key=lambda row: row.size))
        most = math.ceil(len(rows) / self._processes.count)
        cuts = np.array_split(np.arange(len(mine)), math.ceil(most / self._settings.micro_batch))
        parts = [[mine[int(i)] for i in cut] for cut in cuts]
        return [(part, 1.0) if part else ([rows[0]], 0.0) for part in parts]

    def losses(self, rows: Sequence[Row]) -> torch.Tensor:
        """The loss of each row (B,), in nats per learned token."""
        with computing(self._processes.device, self._settings.precision):
            return record_losses(self._model, self._objective.batch(rows).to(self._processes.device))

    def held_out(self, rows: Sequence[Row]) -> float:
        """The mean loss of rows on which nothing is learned."""
        import torch

        size, total = self._settings.micro_batch, 0.0
        with torch.no_grad():
            for start in range(0, len(rows), size):
                total += float(self.losses(rows[start : start + size]).sum())
        return total / len(rows)
