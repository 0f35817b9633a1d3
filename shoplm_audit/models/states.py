"""The numbers of scored tokens by a causal network, by the quickest way that is shown to give its own logits.

    CausalStates(network).tables([Encoded(ids=(51, 380, 7), scored=(2,))], Columns.LOG_PROB)    # [(M, WIDTH)]

Four short cuts are tried on a small example when first asked, and each is taken only where the network then gives the
logits it gives for one unpadded text: the head by itself on the states of scored tokens, rows padded on the right
without a mask, prefix trees under a mask of their own, and trunks in a cache.

Letters in shapes: B lines, W tokens of the longest one, P tokens of what stands before them in the cache, M scored
tokens, D width, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplm_audit.models.batching import batches
from shoplm_audit.models.encoding import Encoded
from shoplm_audit.models.logits import WIDTH, at_least_single, columns_of, logits_at
from shoplm_audit.models.products import quick_products
from shoplm_audit.models.sharing import Arrangement, Line, Numbers, arranged
from shoplm_audit.types import Columns, Floats

if TYPE_CHECKING:
    import torch

__all__ = ["CausalStates"]

# By device: tokens of a line with branches, and of one forward pass, padding and what stands in the cache included.
_LINE = {"cpu": 256, "cuda": 512}
_PASS = {"cpu": 1 << 10, "cuda": 1 << 14}
_TRUNK = 64
# Logits of one chunk of scored tokens (float32): 16 MiB, which a CPU's last cache holds and malloc keeps for the next.
_LOGITS = 1 << 22
# Logits that are read several times at once (float32): 2 MiB, which stay in a core's cache.
_CACHED = 1 << 19
# Settings that bound how far a token sees: beyond it a mask of ours would show it more than the network's own does.
_WINDOWS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size", "local_attention")


class CausalStates:
    """A causal network, asked for tokens of many texts at once.

    Args:
        network: of transformers, in evaluation mode.
        context: the most tokens it reads at once.
    """

    def __init__(self, network: Any, context: int) -> None:
        self._network, self._context = network, context
        device = network.device.type
        self._line, self._pass = (sizes.get(device, sizes["cpu"]) for sizes in (_LINE, _PASS))
        self._trunk = _TRUNK
        self._head: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._products = self._maskless = self._trees = self._checked = False
        self._reach = _reach(network.config.get_text_config())

    def arrangement(self, rows: Sequence[Encoded]) -> Arrangement:
        """What is read for these rows: all that stands before the last scored token of each."""
        self._check()
        texts = [row.ids[: row.scored[-1]] for row in rows]
        shares = self._trees and max(map(len, texts), default=0) <= self._reach
        return arranged(texts, limit=self._line if shares else 0, trunk=self._trunk)

    def tables(self, rows: Sequence[Encoded], columns: Columns) -> list[Floats]:
        """For each row its scored tokens' log-probability, mean, variance, rank and spike entropy, (M, WIDTH)."""
        import torch

        plan = self.arrangement(rows)
        before = [np.array(row.scored) - 1 for row in rows]
        lines = np.concatenate([plan.line_of[i][places] for i, places in enumerate(before)])
        places = np.concatenate([plan.place_of[i][places] for i, places in enumerate(before)])
        targets = np.concatenate([np.array(row.ids)[places + 1] for row, places in zip(rows, before, strict=True)])
        table = np.empty((len(targets), WIDTH))
        with torch.inference_mode(), self._computing():
            for wanted, states, which in self._states(plan.lines, lines, places):
                table[wanted] = self._columns(states, which, targets[wanted], columns)
        return np.split(table, np.cumsum([len(places) for places in before])[:-1])

    def _columns(self, states: torch.Tensor, which: Numbers, targets: Numbers, columns: Columns) -> Floats:
        """The numbers of `targets` (M,), each after the state `which` of (N, D), in chunks of a bounded vocabulary."""
        import torch

        words = self._network.config.get_text_config().vocab_size
        product, cached = max(1, _LOGITS // words), max(1, _CACHED // words)
        head = self._head or (lambda logits: logits)
        table = np.empty((len(targets), WIDTH))
        order = np.argsort(which, kind="stable")
        for start in range(0, len(states), product):
            logits = head(states[start : start + product])
            for first in range(start, start + len(logits), cached):
                part = at_least_single(logits[first - start : first - start + cached])
                edges = np.searchsorted(which[order], [first, first + len(part)])
                mine = order[slice(*edges)]
                wanted, rows = (torch.from_numpy(of).to(part.device) for of in (targets[mine], which[mine] - first))
                table[mine] = columns_of(part, wanted, columns, rows).cpu().numpy()
        return table

    def _states(self, lines: Sequence[Line], line_of: Any, place_of: Any) -> Iterator[tuple[Any, torch.Tensor, Any]]:
        """(Which tokens, states (N, D) or logits (N, V) of the places they are wanted at, the state of each token)."""
        import torch

        children: dict[int, list[int]] = {}
        for number, line in enumerate(lines):
            children.setdefault(line.parent, []).append(number)
        waiting: list[tuple[list[int], list[int], Any, Any]] = []

        def wait(numbers: Sequence[int], cache: Any, valid: Any, rows: dict[int, int]) -> None:
            # Chains of no parent need no mask; lines that others stand below are kept together.
            kinds: dict[tuple[bool, bool], list[int]] = {}
            for number in numbers:
                kinds.setdefault((number in children, lines[number].chain and cache is None), []).append(number)
            for kind in kinds.values():
                past = 0 if valid is None else valid.shape[1]
                # What stands in a cache costs its copy and attention, about a quarter of what a new token costs.
                sizes = [max(len(lines[number].ids), (past + len(lines[number].ids)) // 4) for number in kind]
                for group in batches(sizes, self._pass_size(), 1 << 30):
                    chosen = [kind[i] for i in group]
                    waiting.append((chosen, [rows.get(lines[number].parent, 0) for number in chosen], cache, valid))

        wait(children.get(-1, []), None, None, {})
        while waiting:
            numbers, parents, cache, valid = waiting.pop()
            below = [child for number in numbers for child in children.get(number, [])]
            inputs, valid = self._inputs([lines[number] for number in numbers], parents, cache, valid, keep=bool(below))
            row_of = {number: row for row, number in enumerate(numbers)}
            wanted = np.flatnonzero(np.isin(line_of, numbers))
            width = inputs["input_ids"].shape[1]
            at = np.array([row_of[int(line)] for line in line_of[wanted]], dtype=np.int64) * width + place_of[wanted]
            places, which = np.unique(at, return_inverse=True)
            flat = torch.from_numpy(places).to(self._network.device)
            yield wanted, self._forward(inputs, flat // width, flat % width), which
            if below:
                wait(below, inputs["past_key_values"], valid, row_of)

    def _computing(self) -> AbstractContextManager[Any]:
        return quick_products() if self._products else nullcontext()

    def _pass_size(self) -> int:
        if self._head is not None:
            return self._pass
        words = int(self._network.config.get_text_config().vocab_size)
        return min(self._pass, max(1, 8 * _LOGITS // words))

    def _inputs(self, lines: list[Line], parents: list[int], cache: Any, valid: Any, keep: bool) -> tuple[Any, Any]:
        """What the network is called with, and which places of its cache are tokens then, (B, P + W)."""
        import torch

        device, width = self._network.device, max(len(line.ids) for line in lines)
        ids, depths = (np.zeros((len(lines), width), dtype=np.int64) for _ in range(2))
        real = np.zeros((len(lines), width), dtype=np.bool_)
        for i, line in enumerate(lines):
            size = len(line.ids)
            ids[i, :size], depths[i, :size], real[i, :size] = line.ids, line.depths, True
        inputs: dict[str, Any] = {"input_ids": torch.from_numpy(ids).to(device), "use_cache": keep}
        if cache is None and all(line.chain for line in lines):
            if not self._maskless:
                inputs["attention_mask"] = torch.from_numpy(real.astype(np.int64)).to(device)
            if keep:
                inputs["past_key_values"] = _cache_of(None, [])
            return inputs, real
        seen = np.zeros((len(lines), width, width), dtype=np.bool_)
        seen[:, range(width), range(width)] = True  # padding sees itself, so that no softmax is empty
        for i, line in enumerate(lines):
            seen[i, : len(line.ids), : len(line.ids)] = line.seen()
        past = np.zeros((len(lines), 0), dtype=np.bool_) if cache is None else valid[parents]
        seen = np.concatenate([np.broadcast_to(past[:, None], (len(lines), width, past.shape[1])), seen], axis=-1)
        inputs["attention_mask"] = self._mask(torch.from_numpy(seen[:, None]).to(device))
        inputs["position_ids"] = torch.from_numpy(depths).to(device)
        if cache is not None or keep:
            inputs |= {"past_key_values": _cache_of(cache, parents), "use_cache": True}
        return inputs, np.concatenate([past, real], axis=1)

    def _mask(self, seen: torch.Tensor) -> torch.Tensor:
        """The mask in the form that the network's attention takes, (B, 1, W, P + W)."""
        import torch

        if self._network.config._attn_implementation == "sdpa":
            return seen
        dtype = self._network.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)

    def _forward(self, inputs: dict[str, Any], rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        if self._head is None:
            return logits_at(self._network, rows, places, **inputs)
        states: torch.Tensor = self._network.base_model(**inputs)[0][rows, places]
        return states

    # Which short cuts are right -----------------------------------------------------------------------

    def _check(self) -> None:
        if self._checked:
            return
        self._checked = True
        import torch

        texts = _example(self._network.config.get_text_config().vocab_size)
        # Too short a context has nothing to share.
        if self._context < max(map(len, texts)):
            return
        with torch.inference_mode():
            wholes = [self._alone(text) for text in texts]
            self._products = True
            self._products = self._like(wholes, texts, limit=0)
            base, head = self._network.base_model, self._network.get_output_embeddings()
            if base is not self._network and head is not None:
                self._head = head
                self._head = head if self._like(wholes, texts, limit=0) else None
            self._maskless = True
            self._maskless = self._like(wholes, texts, limit=0)
            self._trees = self._like(wholes, texts, limit=16)

    def _alone(self, text: tuple[int, ...]) -> torch.Tensor:
        """The network's own logits of one text, (W, V)."""
        import torch

        ids = torch.tensor([text], device=self._network.device)
        logits: torch.Tensor = self._network(input_ids=ids, use_cache=False).logits[0]
        return logits

    def _like(self, wholes: Sequence[torch.Tensor], texts: Sequence[tuple[int, ...]], *, limit: int) -> bool:
        """Whether the texts, laid out together, get the logits that each got alone."""
        import torch

        plan = arranged(texts, limit=limit, trunk=5)
        lines, places = np.concatenate(plan.line_of), np.concatenate(plan.place_of)
        whole = at_least_single(torch.cat(list(wholes)))
        found = torch.full_like(whole, torch.nan)
        head = self._head or (lambda logits: logits)
        try:
            with self._computing():
                for wanted, states, which in self._states(plan.lines, lines, places):
                    found[torch.from_numpy(wanted)] = at_least_single(head(states))[torch.from_numpy(which)]
        except torch.OutOfMemoryError:
            raise
        # A network may refuse a mask, positions or a cache with any error.
        except Exception:
            return False
        # What rounding does to a network of many layers, and far less than one token more or less does.
        allowed = max(2e-5, 6 * torch.finfo(self._network.dtype).eps)
        return bool((found - whole).std() <= allowed * whole.std())


def _example(words: int) -> list[tuple[int, ...]]:
    """Texts whose tree, in lines of 16 and with trunks of 5, has all that a tree can have.

    A trunk with a trunk and a fork below it, a shorter trunk with two long branches, two small trees that share a line
    and a text that shares nothing.
    """
    tokens = iter(np.random.default_rng(0).integers(words, size=100).tolist())
    a, b, c, d, e, f = (tuple(next(tokens) for _ in range(size)) for size in (8, 7, 2, 6, 5, 2))
    stems = [(a + b, 6), (a + b, 4), (a + c, 4), (a + c, 3), (d, 9), (d, 5), (e, 3), (e, 4), (f, 1), (f, 1), ((), 7)]
    return [stem + tuple(next(tokens) for _ in range(size)) for stem, size in stems]


def _reach(config: Any) -> int:
    """The longest text whose tokens see all that stands before them, at the same angle in whatever batch."""
    bounds = []
    for name in _WINDOWS:
        size = getattr(config, name, None)
        bounds += [bound for bound in (size if isinstance(size, list | tuple) else [size]) if isinstance(bound, int)]
    turning = getattr(config, "rope_parameters", None) or {}
    if "dynamic" in str(turning) or "longrope" in str(turning):
        bounds.append(int(turning.get("original_max_position_embeddings") or config.max_position_embeddings))
    return min([bound for bound in bounds if bound > 0], default=1 << 30)


def _cache_of(cache: Any, rows: list[int]) -> Any:
    """A cache of these rows of another, or an empty one."""
    import torch
    from transformers import DynamicCache

    # Without the network's configuration no layer forgets what lies behind its window; no text is as long as that.
    chosen = DynamicCache()
    for number, layer in enumerate(cache.layers if cache is not None else []):
        if len(set(rows)) == 1:
            keys, values = (part[rows[:1]].expand(len(rows), -1, -1, -1) for part in (layer.keys, layer.values))
        else:
            index = torch.tensor(rows, device=layer.keys.device)
            keys, values = layer.keys[index], layer.values[index]
        chosen.update(keys, values, number)
    return chosen
