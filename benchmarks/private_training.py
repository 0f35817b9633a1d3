"""What a private step costs beside a plain one: GPT-2 of 4 layers, width 256, 8192 words, float32, AdamW, whole steps.

python -m benchmarks.private_training [--threads N] [--repeats N] [--modes plain,ours,hooks,ghost]

A step is forward, backward, clipping and noise in all private ways, and optimiser; the loss is each record's mean.
Steps of all ways take turns, and the fastest of each is reported, since on a shared machine only the fastest repeats.
Peak memory is that of a process of its own that does three steps, above what it held before the model was made.
Opacus gets what it needs and what makes it faster: explicit position ids and a sampler of its own for Conv1D.
Its ghost clipping refuses tied weights, so it is measured untied and beside an untied plain step.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHAPES = {64: 32, 16: 256, 256: 16}  # tokens of a record: records of a step
LAYERS, WIDTH, HEADS, VOCABULARY, CLIP, NOISE = 4, 256, 4, 8192, 0.5, 1.0


def model_of(length: int, tied: bool) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    sizes = {"vocab_size": VOCABULARY, "n_positions": length, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    return GPT2LMHeadModel(
        GPT2Config(**sizes, **drops, bos_token_id=0, eos_token_id=0, tie_word_embeddings=tied)
    ).train()


def batch_of(length: int, positions: bool) -> Any:
    import torch

    from shoplm_audit.training.rows import UNLEARNED, Batch

    tokens = torch.randint(0, VOCABULARY, (SHAPES[length], length), generator=torch.Generator().manual_seed(1))
    targets = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=UNLEARNED)
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if positions:
        inputs["position_ids"] = torch.arange(length).repeat(SHAPES[length], 1)
    return Batch(inputs, targets)


def plain(length: int, tied: bool = True) -> Callable[[], None]:
    import torch

    from shoplm_audit.training.rows import record_losses

    model, batch = model_of(length, tied), batch_of(length, positions=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        record_losses(model, batch).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def ours(length: int, tied: bool = True) -> Callable[[], None]:
    import torch

    from shoplm_audit.training.bookkeeping import ClippedSums
    from shoplm_audit.training.noise import NoisyOptimizer
    from shoplm_audit.training.rows import record_losses

    model, batch = model_of(length, tied), batch_of(length, positions=False)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    optimizer = NoisyOptimizer(adam, clip_norm=CLIP, noise_multiplier=NOISE, expected_units=SHAPES[length])
    sums = ClippedSums(model, CLIP)

    def step() -> None:
        sums.add(lambda: record_losses(model, batch), SHAPES[length])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def hooks(length: int, tied: bool = True) -> Callable[[], None]:
    import torch
    from opacus.grad_sample import GradSampleModule
    from opacus.grad_sample.utils import register_grad_sampler
    from opacus.optimizers import DPOptimizer
    from transformers.pytorch_utils import Conv1D

    from shoplm_audit.training.rows import record_losses

    @register_grad_sampler(Conv1D)
    def gradients(layer: Any, activations: list[Any], backprops: Any) -> dict[Any, Any]:
        weight = torch.einsum("n...i,n...o->nio", activations[0], backprops)
        return {layer.weight: weight, layer.bias: torch.einsum("n...o->no", backprops)}

    model, batch = GradSampleModule(model_of(length, tied), loss_reduction="sum"), batch_of(length, positions=True)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    optimizer = DPOptimizer(
        adam, noise_multiplier=NOISE, max_grad_norm=CLIP, expected_batch_size=SHAPES[length], loss_reduction="mean"
    )

    def step() -> None:
        record_losses(model, batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ghost(length: int, tied: bool = False) -> Callable[[], None]:
    import torch
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.grad_sample.utils import register_norm_sampler
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from transformers.pytorch_utils import Conv1D

    from shoplm_audit.training.rows import record_losses

    @register_norm_sampler(Conv1D)
    def norms(layer: Any, activations: list[Any], backprops: Any) -> dict[Any, Any]:
        inputs = activations[0]
        squares = ((inputs @ inputs.mT) * (backprops @ backprops.mT)).sum((1, 2))
        return {layer.weight: squares.clamp(min=0).sqrt(), layer.bias: backprops.sum(1).norm(dim=1)}

    batch = batch_of(length, positions=True)
    model = GradSampleModuleFastGradientClipping(
        model_of(length, tied), loss_reduction="sum", max_grad_norm=CLIP, use_ghost_clipping=True
    )
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    optimizer = DPOptimizerFastGradientClipping(
        adam, noise_multiplier=NOISE, max_grad_norm=CLIP, expected_batch_size=SHAPES[length], loss_reduction="mean"
    )

    def step() -> None:
        losses = record_losses(model, batch)
        losses.sum().backward(retain_graph=True)
        factors = model.get_clipping_coef().detach()
        optimizer.zero_grad(set_to_none=True)
        model.disable_hooks()
        (losses * factors).sum().backward()
        model.enable_hooks()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


MODES: dict[str, Callable[[int], Callable[[], None]]] = {
    "plain": plain,
    "ours": ours,
    "hooks": hooks,
    "plain untied": lambda length: plain(length, tied=False),
    "ours untied": lambda length: ours(length, tied=False),
    "ghost untied": ghost,
}


def imported(threads: int) -> None:
    """Loads whatever any of the ways loads, so that all have one base."""
    import torch
    import transformers.models.gpt2.modeling_gpt2  # noqa: F401

    import shoplm_audit.training.bookkeeping
    import shoplm_audit.training.noise  # noqa: F401
    from shoplm_audit.training.allocator import keep_freed_memory

    keep_freed_memory()  # for all ways alike
    torch.set_num_threads(threads)


def memory(mode: str, length: int) -> float:
    """MiB at the peak of three steps above what was held before."""
    before = peak()
    step = MODES[mode](length)
    for _ in range(3):
        step()
    return peak() - before


def peak() -> float:
    """MiB that this process has held at most; `getrusage` would count what its parent held before it, too."""
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert held, "this benchmark reads the peak from Linux's /proc"
    return int(held.group(1)) / 2**10


def memory_in_a_process(mode: str, length: int, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.private_training", "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--memory", mode, "--lengths", str(length)], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def seconds(modes: list[str], length: int, repeats: int, threads: int) -> dict[str, float]:
    """The fastest step of each way, taking turns; of one thread its own time, without that of other programs."""
    clock = time.process_time if threads == 1 else time.perf_counter
    steps = {mode: MODES[mode](length) for mode in modes}
    best = dict.fromkeys(modes, float("inf"))
    for turn in range(repeats + 1):
        for mode, step in steps.items():
            started = clock()
            step()
            if turn:  # the first warms up
                best[mode] = min(best[mode], clock() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--lengths", default=",".join(map(str, SHAPES)))
    parser.add_argument("--memory", default="", help="only the peak of this way, for one length, in this process")
    given = parser.parse_args()
    imported(given.threads)
    lengths, modes = [int(length) for length in given.lengths.split(",")], given.modes.split(",")
    if given.memory:
        print(memory(given.memory, lengths[0]))
        return
    print(
        f"{platform.platform()}, Python {platform.python_version()}, threads {given.threads}, best of {given.repeats}\n"
    )
    print("| T | B | way | s/step | private / plain throughput | peak MiB | private / plain peak |")
    print("|---|---|---|---|---|---|---|")
    for length in lengths:
        best = seconds(modes, length, given.repeats, given.threads)
        peaks = {mode: memory_in_a_process(mode, length, given.threads) for mode in modes}
        for mode in modes:
            against = "plain untied" if "untied" in mode else "plain"
            ratio, more = best[against] / best[mode], peaks[mode] / peaks[against]
            row = f"{best[mode]:.3f} | {ratio:.2f} | {peaks[mode]:.0f} | {more:.2f}"
            print(f"| {length} | {SHAPES[length]} | {mode} | {row} |", flush=True)


if __name__ == "__main__":
    main()
