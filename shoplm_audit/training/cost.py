"""What a training run costs: tokens, FLOPs, the share of this device's speed, memory, energy.

    meter = Meter(model, "fp32"); meter.add(rows); meter.cost()
    -> {"seconds": 12.4, "tokens": 49152.0, "flops": 1.9e+12, "model_flops_utilisation": 0.41, "peak_memory_mib": 702.0}

FLOPs are those the model's mathematics asks for, counted as in PaLM (Chowdhery et al., arXiv 2204.02311, appendix B):
two per weight of a matrix and token forward, two for the gradient of its input and two for its own, which makes 6 N
where everything is trained; and 12 T^2 d per attention, forward and backward, with no half off for a causal mask. Not
counted: padding, looking up embeddings, norms and activations, evaluation, the optimizer, and what clipping single
gradients adds (a private run has a lower utilisation for it). A frozen matrix has no gradient of its own, and none of
its input where nothing that is trained lies below it: LoRA costs about 4 N, a head on a frozen network about 2 N.
"""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.rows import Row

if TYPE_CHECKING:
    import torch

__all__ = ["Energy", "Meter", "Work", "work_of"]

_ROW, _ANSWER, _SOURCE = 1, 2, 3  # how many places a layer sees in the trial row tells what it works on
_PEAK_SECONDS = 0.2
_POWERCAP = Path("/sys/class/powercap")
_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Work:
    """FLOPs of one row, forward and backward, as a polynomial in its lengths.

    Attributes:
        terms: FLOPs per product of two sizes; a size is `_ROW` (one), `_ANSWER` or `_SOURCE` (tokens).
        two_sided: whether the model reads a source and writes an answer.
    """

    terms: Mapping[tuple[int, int], float]
    two_sided: bool

    def of(self, source: int, answer: int = 0) -> float:
        """FLOPs of a row with so many tokens, without padding."""
        size = {_ROW: 1, _ANSWER: answer, _SOURCE: source}
        return sum(flops * size[a] * size[b] for (a, b), flops in self.terms.items())


def work_of(model: Any) -> Work:
    """Counts the matrices and attentions that a row passes, by sending a row of three tokens through the model.

    Matrices are `Linear` and transformers' `Conv1D` modules, once per use; attentions are the innermost modules whose
    class is called so. The model stays as it was.

    Args:
        model: any transformers model, also with adapters, before it is wrapped or sharded.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    config, terms, places = model.config, Counter[tuple[int, int]](), dict[torch.nn.Module, int]()
    width = (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads) * (
        config.num_attention_heads
    )

    def matrix(module: Any, given: Any, _: Any) -> None:
        places[module] = given[0].numel() // given[0].shape[-1]
        products = 1 + given[0].requires_grad + module.weight.requires_grad
        terms[places[module], _ROW] += 2 * module.weight.numel() * products

    def attention(module: Any, _: Any, output: Any) -> None:
        mixed = output[0] if isinstance(output, tuple) else output
        queries = mixed.numel() // mixed.shape[-1]
        others = {places[inner] for inner in module.modules() if inner in places} - {queries}
        # Scores and mixing are a product each; backward has two for either.
        terms[queries, max(others, default=queries)] += 4 * width * (1 + 2 * mixed.requires_grad)

    hooks = []
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            hooks.append(module.register_forward_hook(matrix))
        elif _is_attention(module) and not any(map(_is_attention, list(module.modules())[1:])):
            hooks.append(module.register_forward_hook(attention))
    two_sided, training, device = bool(config.is_encoder_decoder), model.training, next(model.parameters()).device
    row = torch.zeros(1, _SOURCE, dtype=torch.long, device=device)
    answer = {"decoder_input_ids": row[:, :_ANSWER]} if two_sided else {}
    try:
        with torch.enable_grad():
            model.eval()(input_ids=row, attention_mask=torch.ones_like(row), **answer)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return Work(dict(terms), two_sided)


def _is_attention(module: Any) -> bool:
    return "Attention" in type(module).__name__


class Meter:
    """Counts what a run costs from the moment it is made; one per process, each counting its own rows.

    Args:
        model: what is trained, on its device, before it is wrapped or sharded.
        precision: "fp32" or "bf16": of the matrix products, also of the one that tells how fast this device is.
        before: the `state` of the run that is gone on with. What was lost between it and the interruption is not known.
    """

    def __init__(self, model: Any, precision: str, before: Mapping[str, float] | None = None) -> None:
        import torch

        self._work = work_of(model)
        self._device = next(model.parameters()).device
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        self._parameters = {
            "parameters": float(sum(size for size, _ in sizes)),
            "trainable_parameters": float(sum(size for size, trained in sizes if trained)),
        }
        self._energy = Energy(self._device, _POWERCAP)
        self._peak = _matrix_speed(self._device, torch.bfloat16 if precision == "bf16" else torch.float32)
        self._before = dict(before or {})
        self._tokens, self._flops = 0, 0.0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._began = time.perf_counter()

    def add(self, rows: Iterable[Row]) -> None:
        """Rows that went forward and backward once."""
        for row in rows:
            source, answer = len(row.tokens), len(row.targets) if self._work.two_sided else 0
            self._tokens += source + answer
            self._flops += self._work.of(source, answer)
        self._energy.read()  # often enough that a counter cannot run full twice unseen

    def state(self) -> dict[str, float]:
        """What a run that is cut off here hands to the one that goes on, as plain numbers."""
        self._energy.read()
        now = {"seconds": time.perf_counter() - self._began, "tokens": float(self._tokens), "flops": self._flops}
        if self._energy.readable and (not self._before or "joules" in self._before):
            now["joules"] = self._energy.joules
        added = {name: value + self._before.get(name, 0.0) for name, value in now.items()}
        return added | {"peak_memory_mib": max(_peak_memory(self._device), self._before.get("peak_memory_mib", 0.0))}

    def cost(self, processes: Processes | None = None, *, hidden: bool = False) -> dict[str, float]:
        """The cost up to now, as it stands in `training.json`.

        Args:
            processes: those that share the work, all of which have to ask: tokens and FLOPs are added up, memory is the
                first one's, and energy is left out, because none of them can read all counters once.
            hidden: rows of a private run were counted. Their exact number of tokens would tell of single records, so
                all that depends on them keeps two digits; this is care, and not covered by the guarantee.

        Returns:
            seconds (of the steps, evaluation between them included), parameters, trainable_parameters, tokens (read
            and written in training, no padding), tokens_per_second, flops, model_flops_utilisation (flops per second
            over those of a matrix product on this device, same precision and threads), peak_memory_mib (CUDA: tensors;
            otherwise this process since its start), and energy_kwh (of the whole processor package and GPU, whoever
            used them) where counters can be read.
        """
        total, count = self.state(), processes.count if processes else 1
        if processes and count > 1:
            import torch

            counted = torch.tensor([total["tokens"], total["flops"]], dtype=torch.float64, device=self._device)
            processes.add_up([counted])
            total["tokens"], total["flops"] = counted.tolist()
            total.pop("joules", None)
        seconds = max(total["seconds"], 1e-9)
        measured = {
            "seconds": seconds,
            "tokens_per_second": total["tokens"] / seconds,
            "model_flops_utilisation": total["flops"] / seconds / (count * self._peak),
            "peak_memory_mib": total["peak_memory_mib"],
        }
        if "joules" in total:
            measured["energy_kwh"] = total["joules"] / _JOULES_PER_KWH
        exact = {"tokens": total["tokens"], "flops": total["flops"]}
        if hidden:
            return self._parameters | _rounded(exact | measured, 2)
        return self._parameters | exact | _rounded(measured, 4)


def _rounded(numbers: Mapping[str, float], digits: int) -> dict[str, float]:
    return {name: float(f"{number:.{digits}g}") for name, number in numbers.items()}


def _matrix_speed(device: torch.device, kind: torch.dtype) -> float:
    """FLOPs per second of the fastest of several matrix products within about 0.2 s."""
    import torch

    size = 8192 if device.type == "cuda" else 1024
    left = torch.full((size, size), 0.5, device=device, dtype=kind)
    fastest, began = math.inf, time.perf_counter()
    (left @ left)[0, 0].item()  # the first product also prepares the library
    while fastest == math.inf or time.perf_counter() - began < _PEAK_SECONDS:
        start = time.perf_counter()
        (left @ left)[0, 0].item()  # reading one number waits for the device
        fastest = min(fastest, time.perf_counter() - start)
    return 2.0 * size**3 / fastest


def _peak_memory(device: torch.device) -> float:
    """MiB."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)  # bytes on macOS, KiB elsewhere


class Energy:
    """Joules since it was made, from the counters of the processor packages (RAPL) and of the GPU in use (NVML).

    Most containers and users may read neither; `readable` is False then, and on a GPU also where only its counter is
    missing, since the packages alone would tell too little.

    Args:
        device: where the model is.
        powercap: the folder of the RAPL counters.
    """

    def __init__(self, device: torch.device, powercap: Path) -> None:
        self._last: dict[str, int] = {}
        self._packages = _packages(powercap)
        self._gpu = _gpu_counter(device) if device.type == "cuda" else None
        self.readable = self._gpu is not None if device.type == "cuda" else bool(self._packages)
        self.joules = 0.0
        self.read()

    def read(self) -> None:
        """Adds what was used since the last reading; a package's counter may have wrapped around once."""
        if not self.readable:
            return
        try:
            micro = {str(at): (int((at / "energy_uj").read_text()), most) for at, most in self._packages.items()}
            if self._gpu is not None:
                milli = self._gpu[0].nvmlDeviceGetTotalEnergyConsumption(self._gpu[1])
                micro["gpu"] = (1000 * int(milli), 0)
        except Exception:  # a counter that goes away must not end a training; NVML has errors of its own
            self.readable = False
            return
        for name, (now, most) in micro.items():
            used = now - self._last.get(name, now)
            self.joules += (used if used >= 0 else used + most) / 1e6
            self._last[name] = now


def _packages(powercap: Path) -> dict[Path, int]:
    """The counters of whole packages, each with where it wraps around; cores and memory inside them are not added."""
    found: dict[str, tuple[Path, int]] = {}
    for at in sorted(powercap.glob("*:*")):
        try:
            name = (at / "name").read_text().strip()
            int((at / "energy_uj").read_text())
            most = int((at / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
        if name.startswith("package"):  # the same package may be there twice, under intel-rapl and intel-rapl-mmio
            found[name] = (at, most)
    return dict(found.values())


def _gpu_counter(device: torch.device) -> tuple[Any, Any] | None:
    import torch

    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # not installed, no driver, a slice of a GPU: all say that it cannot be read
        return None
    return nvml, handle
