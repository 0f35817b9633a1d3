"""From logits to the numbers of scored tokens, and logits at a few places only.

    columns_of(logits, targets, Columns.LOG_PROB | Columns.RANK)   # (M, V), (M,) -> (M, 4)

Letters in shapes: B rows, W tokens of the longest row, M scored tokens, V words of the vocabulary or labels.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplm_audit.types import Columns, Floats, TokenScores

if TYPE_CHECKING:
    import torch

__all__ = ["columns_of", "logits_at", "scores_of"]


def columns_of(
    logits: torch.Tensor, targets: torch.Tensor, columns: Columns, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Log-probability of the targets (M,), and mean, variance and rank under their logits: (M, 4) float64.

    Args:
        logits: of the words or labels, (N, V).
        targets: which of them are asked for, (M,).
        columns: what is computed beside the log-probability; the rest is nan.
        rows: whose logits each target is told by, (M,); None where they are one to one.
    """
    import torch

    if rows is None:
        rows = torch.arange(len(targets), device=logits.device)
    # One fused pass; `logsumexp` makes three.
    log_prob = logits.log_softmax(-1)
    table = torch.full((len(targets), 4), torch.nan, dtype=torch.float64, device=logits.device)
    table[:, 0] = log_prob[rows, targets]
    if columns & (Columns.EXPECTED | Columns.VARIANCE):
        probability = log_prob.exp()
        log_prob = log_prob.masked_fill_(probability == 0, 0.0)  # 0 log 0 is 0
        mean = (probability * log_prob).sum(-1, keepdim=True)
        table[:, 1] = mean[rows, 0]
        if columns & Columns.VARIANCE:
            table[:, 2] = (probability * (log_prob - mean).square()).sum(-1)[rows]
    if columns & Columns.RANK:
        table[:, 3] = (logits[rows] > logits[rows, targets][:, None]).sum(-1) + 1
    return table


def scores_of(table: Floats, columns: Columns) -> TokenScores:
    """The rows of such tables as scores."""
    return TokenScores(
        log_prob=table[:, 0],
        expected_log_prob=table[:, 1] if columns & Columns.EXPECTED else None,
        log_prob_variance=table[:, 2] if columns & Columns.VARIANCE else None,
        rank=table[:, 3].astype(np.int64) if columns & Columns.RANK else None,
    )


def logits_at(network: Any, rows: torch.Tensor, places: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """The network's own logits at (rows, places), (M, V) float32.

    The last layer is handed these places' states alone: at all places of a batch, the logits of a real vocabulary are
    gigabytes. Whatever the network does to its logits (scaling, a bias), it does to these.
    """

    def picked(_: Any, states: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (states[0][rows, places],)

    last = network.get_output_embeddings()
    with last.register_forward_pre_hook(picked) if last is not None else nullcontext():
        answer = network(**inputs)
    logits: torch.Tensor = answer.prediction_logits if "prediction_logits" in answer else answer.logits
    # A network that multiplies by its embeddings itself never calls that layer.
    return (logits if logits.dim() == 2 else logits[rows, places]).float()
