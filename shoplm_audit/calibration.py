"""What requests will cost on this machine, from a short trial of them: tokens, seconds, memory.

    Trial(4).seconds(model, [[Pair("Colour:", " navy")], [Pair("Colour:", " red")]], LOG_PROB) -> 0.013

A group is what one case asks; whole groups are tried, because their requests share a prefix.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from shoplm_audit.models.asking import Asked, Computes, attempted, planned
from shoplm_audit.types import Columns, Generate, Model, Pair

__all__ = ["Memory", "Trial", "on_a_server", "tokens_of", "written_by"]

_PATIENCE = 3.0  # seconds that a trial may grow to
_GROWTH = 4
_MOST = 256  # requests of one trial: a batch of the largest kind
_WRITTEN = 8  # tokens of a text in a trial
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on a device: weights, the largest batch beside them (nan: not measured), what is free, what there is."""

    device: str
    weights: int
    batch: float
    free: int
    total: int


def on_a_server(model: object) -> bool:
    """Whether a server answers for a model; asking it costs somebody's money."""
    return not getattr(model, "verifiable", True)


def written_by(requests: Asked) -> int:
    """The most tokens that requests can write; beams count each."""
    return sum(
        request.sampling.max_new_tokens * max(request.sampling.n, request.sampling.beams)
        for request in requests
        if isinstance(request, Generate)
    )


def tokens_of(model: Model | None, requests: Asked) -> tuple[int, int]:
    """(Tokens requested, tokens computed), read and written at most; what requests share is computed once.

    Of a model that does not count them itself, about: four bytes of text to a token.
    """
    counting = getattr(model, "tokens_of", None)
    if counting is not None:
        requested, computed = counting(requests)
        return int(requested), int(computed)
    about = sum(_read_by(request) for request in requests) + written_by(requests)
    return about, about


def _read_by(request: Generate | Pair) -> int:
    text = request.context + request.continuation if isinstance(request, Pair) else request.prompt.flat
    return len(text.encode("utf-8", "surrogatepass")) // 4 + 1


class Trial:
    """Tries a few requests, and tells from them what all will take; it remembers what is warm, and the largest batch.

    Args:
        few: how many cases are tried. A model in this process begins with one and is given more and more, because
            larger batches are faster, as long as a trial takes no more than a few seconds.
    """

    def __init__(self, few: int) -> None:
        self._few = few
        self._warm: set[tuple[int, bool]] = set()
        self._batch: dict[int, float] = {}

    def seconds(self, model: Model, groups: Sequence[Asked], columns: Columns) -> float:
        """How long all requests of one kind will take; texts are taken to become as long as they may.

        Raises:
            Unsupported: the model cannot do what is asked.
            AuditError: the machine failed.
        """
        everything = _flat(groups)
        if not isinstance(model, Computes):
            some = _flat(_spread(groups, self._few))
            return self._tried(model, some, columns) * _computed(model, everything) / _computed(model, some)
        key = (id(model), isinstance(everything[0], Generate))
        if key not in self._warm:
            self._warm.add(key)
            self._tried(model, _short(everything[:1], 2), columns)
        start = _Peak(model)
        some, spent = self._grown(model, groups, columns)
        self._note_batch(model, everything, some, start.growth())
        if isinstance(everything[0], Pair):
            return spent * _computed(model, everything) / _computed(model, some)
        # Reading a prompt and writing a token cost differently: a second trial that writes one token tells them apart.
        one = self._tried(model, _short(some, 1), columns)
        more = written_by(_short(some, _WRITTEN)) - written_by(_short(some, 1))
        write = max(0.0, spent - one) / more if more else 0.0
        read = max(0.0, one - write * written_by(_short(some, 1))) / _read(model, some)
        return read * _read(model, everything) + write * written_by(everything)

    def memory(self, model: Model) -> Memory | None:
        """What a model in this process takes, after its trials; None of any other."""
        network = getattr(model, "network", None)
        if network is None:
            return None
        weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
        free, total = _room(network.device)
        return Memory(str(network.device), weights, self._batch.get(id(model), math.nan), free, total)

    def _grown(self, model: Model, groups: Sequence[Asked], columns: Columns) -> tuple[Asked, float]:
        """The largest sample that there was time for, and how long it took."""
        count, before, since = 1, 0.0, time.perf_counter()
        while True:
            some = _flat(_spread(groups, count))
            spent = self._tried(model, _short(some, _WRITTEN), columns)
            if count >= len(groups) or len(some) * _GROWTH > _MOST:
                return some, spent
            # Four times the requests took so much longer the last time; in larger batches many take hardly longer.
            slower = min(_GROWTH, max(1.0, spent / before)) if before else _GROWTH / 2
            if time.perf_counter() - since + spent * slower > _PATIENCE:
                return some, spent
            count, before = count * _GROWTH, spent

    def _tried(self, model: Model, requests: Asked, columns: Columns) -> float:
        started = time.perf_counter()
        attempted(model, requests, columns)
        return time.perf_counter() - started

    def _note_batch(self, model: Model, everything: Asked, some: Asked, growth: float) -> None:
        grown = growth * max(1.0, _largest(model, everything) / _largest(model, some))
        known = self._batch.get(id(model), math.nan)
        self._batch[id(model)] = grown if math.isnan(known) else max(known, grown)


def _flat(groups: Sequence[Asked]) -> Asked:
    return cast(Asked, [request for group in groups for request in group])


def _spread(groups: Sequence[Asked], count: int) -> Sequence[Asked]:
    """Groups at even distances: neighbours are often alike."""
    count = min(count, len(groups))
    return [groups[(2 * i + 1) * len(groups) // (2 * count)] for i in range(count)]


def _short(requests: Asked, tokens: int) -> Asked:
    """The same requests, with texts of at most so many tokens."""
    return cast(Asked, [_cut(request, tokens) if isinstance(request, Generate) else request for request in requests])


def _cut(request: Generate, tokens: int) -> Generate:
    sampling = request.sampling
    return replace(request, sampling=replace(sampling, max_new_tokens=min(tokens, sampling.max_new_tokens)))


def _computed(model: Model, requests: Asked) -> int:
    return max(1, tokens_of(model, requests)[1])


def _read(model: Model, requests: Asked) -> int:
    return max(1, tokens_of(model, requests)[1] - written_by(requests))


def _largest(model: Model, requests: Asked) -> int:
    """The tokens of the largest batch, padded to its longest request."""
    sizes = [_read_by(request) + written_by(cast(Asked, [request])) for request in requests]
    return max(len(batch) * max(sizes[i] for i in batch) for batch in planned(model, requests))


# Memory -----------------------------------------------------------------------------------------------


class _Peak:
    """From its making on, the most memory that was taken beyond what was taken then."""

    def __init__(self, model: Model) -> None:
        self._device: Any = getattr(getattr(model, "network", None), "device", None)
        if self._on_cuda():
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = float(torch.cuda.memory_allocated(self._device))
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")  # sets the process's high-water mark back
        except OSError:
            self._before = math.nan
            return
        self._before = _status("VmRSS")

    def growth(self) -> float:
        """In bytes; nan where this system does not tell."""
        if self._on_cuda():
            import torch

            return float(torch.cuda.max_memory_allocated(self._device)) - self._before
        return max(0.0, _status("VmHWM") - self._before) if math.isfinite(self._before) else math.nan

    def _on_cuda(self) -> bool:
        return self._device is not None and self._device.type == "cuda"


def _status(name: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    return math.nan


def _room(device: Any) -> tuple[int, int]:
    """(Free, total) bytes of a device."""
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        return int(free), int(total)
    page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_AVPHYS_PAGES") * page
    return free, total * page
