"""Noisy gradients of private units: drawn by Poisson, clipped one by one, summed, and covered with Gaussian noise.

    units = sampler.draw()                      # each unit independently with probability q
    engine.set_gradient(units)                  # p.grad = (sum of clipped unit gradients + noise) / (q N)

Opacus gives the gradient of each record (hooks) and the clipping; sampling, users, micro-batches and noise are done
here. A logical step cannot be cut in two, and noise and draws come from the operating system's entropy with no seed
kept: whoever knew it could take the noise off again. (PyTorch's own generator uses 32 bits of a seed: a short search.)
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm_audit.errors import AuditError, ModelError
from shoplm_audit.training.causal import record_losses
from shoplm_audit.training.corpus import Row, collate

__all__ = ["PoissonSampler", "PrivateGradients"]

_ROUNDING = 1e-4  # relative difference from the one-by-one loop that float32 explains; true faults are above 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class PoissonSampler:
    """Draws units for a step, each independently with probability `rate`: the very draw that the accountant assumes.

    Args:
        units: the encoded records of each unit.
        rate: the probability q.
        most_records: how many records of one unit enter a step; drawn afresh where it has more.
        rng: of the draws; the operating system's entropy in every real run.
    """

    units: Sequence[Sequence[Row]]
    rate: float
    most_records: int
    rng: np.random.Generator

    def draw(self) -> list[list[Row]]:
        """The records of the drawn units; often more or fewer units than expected, and at times none."""
        drawn = np.flatnonzero(self.rng.random(len(self.units)) < self.rate)
        return [self._some(self.units[int(i)]) for i in drawn]

    def _some(self, records: Sequence[Row]) -> list[Row]:
        if len(records) <= self.most_records:
            return list(records)
        return [records[int(i)] for i in self.rng.choice(len(records), self.most_records, replace=False)]


class PrivateGradients:
    """Puts the noisy mean gradient of drawn units where an optimiser looks for it.

    Args:
        model: a causal language model, in float32, without dropout.
        optimizer: over its parameters; only its parameter list is used here.
        clip_norm: the norm to which one unit's gradient is clipped, C.
        noise_multiplier: standard deviation of the noise on the sum, over C.
        expected_units: q N, by which the sum is divided whatever was drawn.
        micro_batch: the most rows computed at once (a user's records stay together even if they are more).
        padding: the token that fills rows up.
        insecure_seed: for tests only; noise that can be repeated protects nobody.

    Raises:
        ModelError: a layer mixes records or cannot be booked record by record.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        *,
        clip_norm: float,
        noise_multiplier: float,
        expected_units: float,
        micro_batch: int,
        padding: int,
        insecure_seed: int | None = None,
    ) -> None:
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        _book_conv1d()
        self.clip_norm, self.noise_multiplier, self.expected_units = clip_norm, noise_multiplier, expected_units
        self._micro_batch, self._padding = micro_batch, padding
        self._entropy = os.urandom if insecure_seed is None else np.random.default_rng(insecure_seed).bytes
        buffers = [name for name, part in model.named_modules() if getattr(part, "running_mean", None) is not None]
        if buffers:
            raise ModelError(
                f'Layer "{buffers[0]}" keeps statistics over records, so no record can be hidden. Train it plainly.'
            )
        try:
            self._model = GradSampleModule(model.train(), loss_reduction="sum", strict=True)
        except NotImplementedError as fault:
            raise ModelError(f"This model cannot be trained privately: {str(fault).splitlines()[0]}") from fault
        self._model.remove_hooks()
        self._clipping = DPOptimizer(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip_norm,
            expected_batch_size=None,
            loss_reduction="sum",
        )
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}

    def set_gradient(self, units: Sequence[Sequence[Row]]) -> None:
        """Sets every `grad` to (sum of clipped unit gradients + noise) / (q N); without a unit it is noise alone."""
        import torch

        self.set_clipped_sum(units)
        for parameter in self._clipping.params:
            noise = torch.from_numpy(_gaussian(parameter.numel(), self._entropy)).view_as(parameter)
            # In float64 until the end: float32 of the noisy sum hides the grid of the noise (arXiv 2107.10138).
            covered = parameter.summed_grad.double() + noise * self.noise_multiplier * self.clip_norm
            parameter.summed_grad = None
            parameter.grad = (covered / self.expected_units).to(parameter.dtype)
            if not torch.isfinite(parameter.grad).all():
                raise AuditError(
                    "A private gradient is not a finite number. Lower the learning rate. Nothing was written."
                )

    def set_clipped_sum(self, units: Sequence[Sequence[Row]]) -> None:
        """Sets every `summed_grad` to the sum of the units' clipped gradients, without noise: not to be published."""
        import torch

        for parameter in self._clipping.params:
            parameter.grad = parameter.grad_sample = parameter.summed_grad = None
        for part in self._micro_batches(units):
            rows = [row for unit in part for row in unit]
            owners = torch.tensor([i for i, unit in enumerate(part) for _ in unit])
            sizes = torch.tensor([float(len(unit)) for unit in part])
            self._book(rows)
            self._check_booked(len(rows))
            for parameter in self._clipping.params:
                own = parameter.grad_sample  # (rows, ...)
                if len(part) < len(rows):
                    summed = torch.zeros((len(part), *own.shape[1:]), dtype=own.dtype).index_add_(0, owners, own)
                    parameter.grad_sample = summed / sizes.view(-1, *[1] * (own.dim() - 1))
            self._clipping.clip_and_accumulate()
            for parameter in self._clipping.params:
                # The ordinary gradient that backward leaves beside is neither clipped nor noisy.
                parameter.grad = parameter.grad_sample = None
        for parameter in self._clipping.params:
            if parameter.summed_grad is None:
                parameter.summed_grad = torch.zeros_like(parameter)

    def _book(self, rows: Sequence[Row]) -> None:
        """One backward pass that leaves the gradient of each row in `grad_sample`; the hooks are gone after it."""
        import torch

        self._model.add_hooks(loss_reduction="sum", batch_first=True)
        try:
            loss = record_losses(self._model, collate(rows, self._padding)).sum()
            with warnings.catch_warnings():
                # Token numbers have no gradient, as it should be.
                warnings.filterwarnings("ignore", "Full backward hook is firing")
                torch.autograd.backward(loss)
        finally:
            self._model.remove_hooks()

    def _micro_batches(self, units: Sequence[Sequence[Row]]) -> list[list[Sequence[Row]]]:
        parts: list[list[Sequence[Row]]] = []
        room = 0
        for unit in units:
            if not parts or len(unit) > room:
                parts.append([])
                room = self._micro_batch
            parts[-1].append(unit)
            room -= len(unit)
        return parts

    def _check_booked(self, rows: int) -> None:
        for parameter in self._clipping.params:
            booked = getattr(parameter, "grad_sample", None)
            if booked is None or isinstance(booked, list) or tuple(booked.shape) != (rows, *parameter.shape):
                raise ModelError(
                    f'"{self._names[id(parameter)]}" has no gradient of its own for each record. Freeze it.'
                )

    def preflight(self, vocabulary: int, context: int) -> None:
        """Checks on made-up rows that clipped sums are those of a loop over records, and that the noise is there.

        Raises:
            ModelError: they are not; nothing private has been touched.
        """
        import torch

        rng = np.random.default_rng(0)
        for count, longest in ((3, min(7, context)), (4, min(4, context))):  # the second: as many rows as tokens
            lengths = [longest, *rng.integers(2, longest + 1, count - 1)]
            rows = [Row(tuple(int(t) for t in rng.integers(0, min(vocabulary, 5), n)), 1) for n in lengths]
            self.set_clipped_sum([rows[:1], rows[1:]])
            ours = [parameter.summed_grad for parameter in self._clipping.params]
            naive = self.naive_clipped_sum([rows[:1], rows[1:]])
            total = math.sqrt(sum(float(g.square().sum()) for g in naive))
            wrong = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(ours, naive, strict=True)))
            if not wrong <= _ROUNDING * total:
                raise ModelError(
                    f"Gradients of single records are off by {wrong / total:.1%}: the guarantee would not hold."
                )
        self.set_gradient([])
        noise = torch.cat([parameter.grad.flatten() for parameter in self._clipping.params]) * self.expected_units
        ratio = float(noise.double().std()) / (self.noise_multiplier * self.clip_norm)
        if not abs(ratio - 1) < 6 / math.sqrt(2 * noise.numel()):
            raise ModelError(f"The noise is {ratio:.3f} times what was asked for: the guarantee would not hold.")
        for parameter in self._clipping.params:
            parameter.grad = None

    def naive_clipped_sum(self, units: Sequence[Sequence[Row]]) -> list[Any]:
        """The same sum by one backward pass per record, without padding, hooks or Opacus: slow, and plainly right."""
        import torch

        parameters = self._clipping.params
        sums = [torch.zeros_like(parameter) for parameter in parameters]
        for unit in units:
            means = [torch.zeros_like(parameter) for parameter in parameters]
            for row in unit:
                loss = record_losses(self._model, collate([row], self._padding)).sum()
                for mean, gradient in zip(means, torch.autograd.grad(loss, parameters), strict=True):
                    mean += gradient / len(unit)
            norm = math.sqrt(sum(float(mean.double().square().sum()) for mean in means))
            for total, mean in zip(sums, means, strict=True):
                total += mean * min(1.0, self.clip_norm / (norm + 1e-6))
        return sums


def _gaussian(count: int, entropy: Callable[[int], bytes]) -> Any:
    """Standard normal numbers from random bytes (Box-Muller), float64 (count,)."""
    words = np.frombuffer(entropy(16 * ((count + 1) // 2)), dtype=np.uint64)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    half = uniform.size // 2
    radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * np.pi * uniform[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def _book_conv1d() -> None:
    """Teaches Opacus the gradients of transformers' Conv1D, which it would take through the slower functorch."""
    import torch
    from opacus.grad_sample.utils import register_grad_sampler
    from transformers.pytorch_utils import Conv1D

    @register_grad_sampler(Conv1D)  # type: ignore[untyped-decorator]
    def gradients(layer: Any, activations: list[Any], backprops: Any) -> dict[Any, Any]:
        return {
            layer.weight: torch.einsum("n...i,n...o->nio", activations[0], backprops),
            layer.bias: torch.einsum("n...o->no", backprops),
        }
