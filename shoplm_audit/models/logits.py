"""From logits to the numbers of scored tokens, and logits at a few places only.

    columns_of(logits, targets, Columns.LOG_PROB | Columns.RANK)   # (M, V), (M,) -> (M, WIDTH)

Letters in shapes: B rows, W tokens of the longest row, M scored tokens, V words of the vocabulary or labels.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplm_audit.types import Columns, Floats, TokenScores

if TYPE_CHECKING:
    import torch

__all__ = ["SPIKE_MODULUS", "WIDTH", "at_least_single", "columns_of", "logits_at", "scores_of"]

WIDTH = 5  # numbers of a scored token
# m = (1 - gamma)(a - 1) / (1 + (a - 1) gamma), a = e^delta, of the modulus of spike entropy: kgw's default gamma and
# delta are 0.25 and 2 (arXiv 2301.10226, theorem 4.2).
SPIKE_MODULUS = 0.75 * math.expm1(2.0) / (1 + 0.25 * math.expm1(2.0))


def columns_of(
    logits: torch.Tensor, targets: torch.Tensor, columns: Columns, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Log-probability of the targets (M,), and mean, variance, rank, spike entropy of their logits: (M, WIDTH) float64.

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
    table = torch.full((len(targets), WIDTH), torch.nan, dtype=torch.float64, device=logits.device)
    table[:, 0] = log_prob[rows, targets]
    if columns & Columns.SPIKE:
        probability = log_prob.exp()
        table[:, 4] = (probability / (1 + SPIKE_MODULUS * probability)).sum(-1)[rows]
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
        spike=table[:, 4] if columns & Columns.SPIKE else None,
    )


def at_least_single(values: torch.Tensor) -> torch.Tensor:
    """Values in float32, or in float64 where they come so: a network of that precision keeps it in its scores."""
    import torch

    return values if values.dtype == torch.float64 else values.float()


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
    picked_only = logits if logits.dim() == 2 else logits[rows, places]
    return at_least_single(picked_only)
