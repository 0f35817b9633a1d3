"""A causal network's reading of lines that come and go: keys and values in slots that are reserved once.

    slots = Slots(network, lines=32, width=256, memory=1 << 30)
    slots.join([[5, 7, 2], [9]])
    slots.logits()      # (2, V); then slots.extend([tokens]), slots.keep([0]), slots.join([another]), ...

A line fills the columns from 0 up to its length. All lines read their newest token at one column W, just behind the
longest line, where it stands beside its own place: to the network a line is a text with a gap that its mask hides, so
nothing is asked of it but masks and positions, as for padding. Whether it heeds them, `read_alike` tries.

Letters in shapes: B lines, H heads of keys, D features of a head, W tokens of the longest line, V words.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

__all__ = ["Slots", "read_alike"]

# A pass over the network costs a CPU about as much as this many tokens do, however few it reads.
_PASS = 64
# The most padded tokens of prompts that are read in one pass.
_TOKENS = 1 << 13
# How far the logits of slots may lie from the network's own, as a share of the largest: rounding, not another answer.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer of the network, (slots, H, width, D) each.

    Attributes:
        lengths: of the lines that are read now, (B,).
        column: W, where their newest tokens stand.
    """

    is_sliding = False
    lengths: torch.Tensor
    column: int

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes each line's newest key and value, (B, H, 1, D), and returns all up to W, (B, H, W + 1, D)."""
        count = len(self.lengths)
        lines = torch.arange(count, device=self.lengths.device)
        for kept, new in ((self.keys, key_states), (self.values, value_states)):
            kept[:count, :, self.column] = new[:, :, 0]
            kept[lines, :, self.lengths] = new[:, :, 0]
        return self.keys[:count, :, : self.column + 1], self.values[:count, :, : self.column + 1]

    def get_seq_length(self) -> int:
        """W."""
        return self.column

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many columns are looked at, and from which on."""
        return self.column + query_length, 0

    def get_max_length(self) -> int:
        """How many tokens a line may come to."""
        return int(self.keys.shape[-2])

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is left to do."""


class Slots:
    """Lines of tokens that a causal network reads, each at its own pace.

    Args:
        network: the model.
        lines: how many lines there are at most.
        width: how many tokens a line may come to.
        memory: the most bytes of keys and values; one line is taken whatever it needs.

    Attributes:
        capacity: how many lines there may be at once.
    """

    def __init__(self, network: Any, lines: int, width: int, memory: int) -> None:
        self._network = network
        self._accepts = set(inspect.signature(network.forward).parameters)
        # What keys and values look like is seen on one token. No `config`: windows are for masks to make.
        layers = self._read(torch.zeros((1, 1), dtype=torch.long)).layers
        parts = [part for layer in layers for part in (layer.keys, layer.values)]
        self.capacity = max(1, min(lines, memory // (width * sum(part.nbytes for part in parts))))
        # Zeros, because a masked nan is still nan; a CPU gives them memory only when they are written to.
        made = [part.new_zeros(self.capacity, part.shape[1], width, part.shape[3]) for part in parts]
        self._layers = [_Layer(keys, values) for keys, values in zip(made[::2], made[1::2], strict=True)]
        self._cache = Cache(layers=self._layers)
        self._lengths: list[int] = []  # how much of each line has been read
        self._tokens: list[int] = []  # the newest of each line, which has not

    def join(self, prompts: Sequence[Sequence[int]]) -> None:
        """New lines behind those that are there. All of a prompt but its last token is read at once."""
        places: dict[tuple[int, ...], list[int]] = {}
        for line, prompt in enumerate(prompts, start=len(self._lengths)):
            places.setdefault(tuple(prompt[:-1]), []).append(line)
        several = [read for read in places if read]
        for group in _alike([len(read) for read in several]):
            self._fill([(several[i], places[several[i]]) for i in group])
        self._lengths += [len(prompt) - 1 for prompt in prompts]
        self._tokens += [prompt[-1] for prompt in prompts]

    def logits(self) -> torch.Tensor:
        """Reads the newest token of each line and returns the logits of its next one, (B, V) float32."""
        return self._read_newest(max(self._lengths))

    def _read_newest(self, column: int) -> torch.Tensor:
        device = self._network.device
        lengths = torch.tensor(self._lengths, device=device)
        for layer in self._layers:
            layer.lengths, layer.column = lengths, column
        columns = torch.arange(column + 1, device=device)
        mask = (columns < lengths[:, None]) | (columns == column)  # (B, W + 1)
        tokens = torch.tensor(self._tokens, device=device)[:, None]
        answer = self._ask(tokens, self._cache, attention_mask=mask.long(), position_ids=lengths[:, None])
        self._lengths = [length + 1 for length in self._lengths]
        logits: torch.Tensor = answer.logits[:, -1].float()
        return logits

    def extend(self, tokens: Sequence[int]) -> None:
        """Puts one token to the end of each line."""
        self._tokens = list(tokens)

    def keep(self, lines: Sequence[int]) -> None:
        """Goes on with these lines, in this order; one that is named twice becomes two. Only lines that move cost."""
        moved = [(to, line) for to, line in enumerate(lines) if to != line]
        if moved:
            to, source = torch.tensor(moved, device=self._network.device).T
            longest = max(self._lengths[line] for _, line in moved)
            for layer in self._layers:
                for kept in (layer.keys, layer.values):
                    kept[to, :, :longest] = kept[source, :, :longest]
        self._lengths = [self._lengths[line] for line in lines]
        self._tokens = [self._tokens[line] for line in lines]

    def _fill(self, group: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
        """Reads texts into their lines. Filled up on the right, they need no mask: nothing looks ahead."""
        width = max(len(read) for read, _ in group)
        ids = torch.tensor([[*read, *[read[0]] * (width - len(read))] for read, _ in group])
        cache = self._read(ids)
        places = [(line, row) for row, (_, lines) in enumerate(group) for line in lines]
        to, source = torch.tensor(places, device=self._network.device).T
        for layer, new in zip(self._layers, cache.layers, strict=True):
            layer.keys[to, :, :width] = new.keys[source]
            layer.values[to, :, :width] = new.values[source]

    def _read(self, ids: torch.Tensor) -> DynamicCache:
        cache = DynamicCache()
        self._ask(ids.to(self._network.device), cache)
        return cache

    def _ask(self, ids: torch.Tensor, cache: Cache, **inputs: torch.Tensor) -> Any:
        named = {name: value for name, value in {**inputs, "logits_to_keep": 1}.items() if name in self._accepts}
        return self._network(input_ids=ids, past_key_values=cache, use_cache=True, **named)


def read_alike(network: Any, width: int) -> bool:
    """Whether slots give the network's own logits, tried on lines of different lengths that come, go and move.

    A network may carry on a state of its own, count positions from columns or look back a fixed number of them; such a
    one says something else, or fails.

    Args:
        network: the model.
        width: how many tokens a line will come to. The newest tokens are once read that far from the others.
    """
    words = int(network.config.get_text_config().vocab_size)
    lines = [[(17 * (start + place) + 5) % words for place in range(size)] for start, size in ((0, 6), (9, 2), (15, 4))]
    slots = Slots(network, lines=3, width=max(width, 12), memory=1 << 62)

    def agree(column: int) -> bool:
        own = torch.cat(
            [network(input_ids=torch.tensor([line], device=network.device)).logits[:, -1] for line in lines]
        )
        found = slots._read_newest(column)
        for line in lines:
            line.append((line[-1] * 3 + 1) % words)
        slots.extend([line[-1] for line in lines])
        return float((found - own.float()).abs().max()) <= _TOLERANCE[own.dtype] * float(own.abs().max())

    slots.join(lines)
    if not (agree(5) and agree(6)):
        return False
    lines[:] = [lines[2], lines[1]]
    slots.keep([2, 1])
    lines.append([3 % words, 1, 2 % words, 1, 1])
    slots.join(lines[2:])
    return agree(5) and agree(max(width, 12) - 1) and agree(7)


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Groups positions by length so that passes and padding together cost the least."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    cost, begins = [0], [0]  # of the first so many of them, and where the last group of these begins
    for end in range(1, len(order) + 1):
        sizes = ((begin, (end - begin) * lengths[order[begin]]) for begin in range(end))
        best = min((cost[begin] + _PASS + size, begin) for begin, size in sizes if size <= _TOKENS or end - begin == 1)
        cost.append(best[0])
        begins.append(best[1])
    groups, end = [], len(order)
    while end:
        groups.append(order[begins[end] : end])
        end = begins[end]
    return groups
