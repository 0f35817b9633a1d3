"""Gaussian noise that nobody can draw again, and Opacus's optimiser with this noise in the place of its own.

    sums.add(lambda: record_losses(model, batch), units=32)   # fills `summed_grad`
    optimizer.step()                  # grad = (summed_grad + sigma C noise) / (q N); the accountant's hook; AdamW

Whoever knew the seed could take the noise off, and PyTorch's own generator on a CPU uses 32 bits of it: a short search.
So each step's noise is made of a cipher's stream, under a key of 256 bits from the operating system that nobody keeps.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from opacus.optimizers import DPOptimizerFastGradientClipping
from torch import Tensor

__all__ = ["NoisyOptimizer", "add_noise"]

_BLOCK = 1 << 16  # numbers drawn at once: smaller ones keep threads waiting for each other, larger ones leave the cache


class NoisyOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]
    """Covers `summed_grad` with noise, divides it by the expected number of units, and lets an optimiser step.

    Opacus does the rest: it scales, counts the step (`attach_step_hook` of an accountant) and calls the optimiser. A
    parameter without `summed_grad`, as after an empty draw, gets noise alone. A sum is gone when it was used.

    Args:
        optimizer: an ordinary one, whose parameters are those that are trained.
        clip_norm: the norm to which the gradient of a unit was clipped, C.
        noise_multiplier: standard deviation of the noise, over C.
        expected_units: q N, by which the sum is divided whatever was drawn.
        insecure_seed: for tests only; noise that can be repeated protects nobody.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float,
        noise_multiplier: float,
        expected_units: float,
        insecure_seed: int | None = None,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip_norm,
            expected_batch_size=expected_units,
            loss_reduction="mean",
        )
        self._entropy = os.urandom if insecure_seed is None else _repeatable(insecure_seed)

    def accumulate(self) -> None:
        """What Opacus would add up is added up already; where nothing was drawn, the sum is zero."""
        for weight in self.params:
            if weight.summed_grad is None:
                weight.summed_grad = torch.zeros_like(weight, dtype=torch.float32)

    def add_noise(self) -> None:
        """Turns `summed_grad` into a noisy `grad`; the sum itself is gone."""
        add_noise(
            [weight.summed_grad for weight in self.params], self.noise_multiplier * self.max_grad_norm, self._entropy
        )
        for weight in self.params:
            weight.grad, weight.summed_grad = weight.summed_grad.to(weight.dtype), None


def add_noise(sums: Sequence[Tensor], deviation: float, entropy: Callable[[int], bytes] = os.urandom) -> None:
    """Adds independent normal numbers to every element, in place.

    On a CPU they come from AES-256 in counter mode under a fresh key, by Box and Muller's formula from uniform numbers
    of 53 bits, so they end at 8.6 deviations. On a GPU they come from PyTorch's Philox under a fresh seed of 63 bits:
    out of reach of a search, but no cipher, so its output is not known to hide its seed.

    Args:
        sums: contiguous float32 tensors.
        deviation: standard deviation of what is added.
        entropy: gives random bytes; the operating system's in every real run.
    """
    pieces = [piece for total in sums if not total.is_cuda for piece in torch.split(total.view(-1), _BLOCK)]
    workers = torch.get_num_threads()
    if workers == 1 or len(pieces) < 2 * workers:
        _cover(pieces, deviation, entropy(32))
    else:
        with ThreadPoolExecutor(workers) as pool:
            shares = [(pieces[i::workers], deviation, entropy(32)) for i in range(workers)]
            list(pool.map(_cover, *zip(*shares, strict=True)))
    for total in sums:
        if total.is_cuda:
            generator = torch.Generator(total.device).manual_seed(int.from_bytes(entropy(8), "little") >> 1)
            numbers = torch.randn(total.shape, dtype=torch.float64, device=total.device, generator=generator)
            total.add_(numbers, alpha=deviation)


def _cover(pieces: Sequence[Tensor], deviation: float, key: bytes) -> None:
    draw = _Normals(key)
    for piece in pieces:
        # In float64 until the sum is rounded: float32 noise has a grid that the sum would show (arXiv 2107.10138).
        piece.add_(draw(len(piece)), alpha=deviation)


class _Normals:
    """Standard normal numbers from the stream of a cipher; what a call returns holds until the next."""

    def __init__(self, key: bytes) -> None:
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._nothing = memoryview(bytes(8 * _BLOCK))
        self._bytes = bytearray(8 * _BLOCK + 15)  # the cipher asks for room for a block's rest
        self._words = np.frombuffer(self._bytes, np.uint64, _BLOCK)
        self._uniform, self._normal = np.empty(_BLOCK), torch.empty(_BLOCK, dtype=torch.float64)

    def __call__(self, count: int) -> Tensor:
        half = (count + 1) // 2
        self._stream.update_into(self._nothing[: 16 * half], self._bytes)
        words, uniform = self._words[: 2 * half], self._uniform[: 2 * half]
        np.right_shift(words, 11, out=words)
        np.add(words, 0.5, out=uniform)
        radius, angle = uniform[:half], torch.from_numpy(uniform[half:])
        radius *= 2.0**-53  # above 0, at most 1
        np.log(radius, out=radius)
        radius *= -2
        np.sqrt(radius, out=radius)
        angle *= 2 * math.pi * 2.0**-53
        torch.cos(angle, out=self._normal[:half])
        torch.sin(angle, out=self._normal[half : 2 * half])
        self._normal[: 2 * half].view(2, half).mul_(torch.from_numpy(radius))
        return self._normal[:count]


def _repeatable(seed: int) -> Callable[[int], bytes]:
    calls = itertools.count()
    return lambda size: hashlib.shake_256(f"{seed} {next(calls)}".encode()).digest(size)
