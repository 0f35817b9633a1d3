"""A causal language model of transformers, in this process: batched, padded and cached without changing an answer.

    LocalModel(network, tokenizer, name="reviews-dp").score([Pair("Colour:", " navy")])[0].log_prob   # (T,) nats

Letters in shapes: B rows, W tokens of the longest row, M scored tokens, V words of the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplm_audit.models.batching import batches, halving
from shoplm_audit.models.decoding import before_stop, choose, generator_for
from shoplm_audit.models.encoding import Encoded, Encoder, windows
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Floats, Generate, Pair, Sampling, TokenScores

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["LocalModel"]

# Padded bytes and rows of one batch, by device: more gains nothing on a CPU and costs memory.
_BUDGET = {"cpu": (1 << 15, 64), "cuda": (1 << 17, 256)}
# Logits of one chunk of scored tokens (float32): 32 MiB.
_CHUNK = 1 << 23
_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to be written: what stands before it, and all that decides its tokens."""

    ids: list[int]
    prompt: str
    sampling: Sampling
    sample: int
    limit: int


class LocalModel:
    """A causal language model of transformers with its tokenizer.

    Of the network's own `generation_config` only the end-of-text tokens are used: how a text is drawn is the
    request's to say, so repetition penalties and the like are off.

    Args:
        network: the model, on its device; it is put in evaluation mode.
        tokenizer: its fast tokenizer.
        name: how reports call it.
        fingerprint: the digest of its content; "" is not verifiable.
        record: what its trainer wrote, or None.

    Attributes:
        parameters: how many weights it has, shared ones once.
        context: the most tokens it reads at once.
        notes: what was cut to the context and how often, one sentence each.
    """

    batch_sensitive = True

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        name: str,
        fingerprint: str = "",
        record: TrainingRecord | None = None,
    ) -> None:
        self.network: Any = network.eval()
        self.encoder = Encoder(tokenizer)
        self.name = name
        self.fingerprint = fingerprint
        self.record = record
        self.parameters: int | None = sum(weight.numel() for weight in self.network.parameters())
        config = self.network.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", None) or _UNLIMITED)
        self._budget, self._rows = _BUDGET.get(self.network.device.type, _BUDGET["cpu"])
        ends = getattr(self.network.generation_config, "eos_token_id", None)
        self._ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        self._accepts = set(inspect.signature(self.network.forward).parameters)
        self._head: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._head_checked = False
        self._cut: dict[str, set[str]] = {}

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda". With `dtype` it shapes the last bits of every answer."""
        return str(self.network.device.type)

    @property
    def dtype(self) -> str:
        """What it computes in: "float32", "bfloat16"."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def notes(self) -> list[str]:
        """What was cut to the model's context, with how often."""
        return [f"{what} ({len(those)} times)" for what, those in sorted(self._cut.items())]

    def _room(self, sampling: Sampling) -> int:
        """How many tokens of a prompt are kept: at least half of the context, whatever max_new_tokens asks for."""
        return max(self.context - sampling.max_new_tokens, self.context // 2)

    def plan(self, requests: Sequence[Generate] | Sequence[Pair]) -> list[list[int]]:
        """The batches in which requests are computed, as positions: a pure function of the list.

        `generate` and `score` follow it, so each batch can be asked for on its own and gives the same numbers.
        """
        self._note_cut(requests)
        return batches([_size(request) for request in requests], self._budget, self._rows)

    def _note_cut(self, requests: Sequence[Generate] | Sequence[Pair]) -> None:
        """Notes what is longer than the context, each text once: also those that a store answers."""
        for request in requests:
            if isinstance(request, Pair):
                text, room = request.context + request.continuation, self.context
                what = "a scored text was longer than the model's context"
            else:
                text, room = self.encoder.rendered(request), self._room(request.sampling)
                what = "a prompt lost its beginning to fit the model's context"
            # A token is at least one byte, so short texts need no count.
            if len(text.encode()) >= room and self.encoder.length(text) > room:
                self._cut.setdefault(what, set()).add(text)

    # Scoring ----------------------------------------------------------------------------------------

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of each pair, in order; nan where the network's logits are not finite.

        A context longer than the model's loses its beginning; a continuation longer than it is read in windows.
        """
        scores: dict[int, TokenScores] = {}
        for batch in self.plan(pairs):
            scores.update(zip(batch, self._score_batch([pairs[i] for i in batch], columns), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def _score_batch(self, pairs: Sequence[Pair], columns: Columns) -> list[TokenScores]:
        owners, rows = [], []
        for owner, encoded in enumerate(self.encoder.scored(pairs)):
            cut = list(windows(encoded, self.context))
            owners += [owner] * len(cut)
            rows += cut
        tables: dict[int, Floats] = {}
        for group in batches([len(row.ids) for row in rows], self._budget, self._rows):
            found = halving(lambda part: self._tables(part, columns), [rows[i] for i in group])
            tables.update(zip(group, found, strict=True))
        parts: list[list[Floats]] = [[np.empty((0, 4))] for _ in pairs]
        for i, owner in enumerate(owners):
            parts[owner].append(tables[i])
        return [_token_scores(np.concatenate(part), columns) for part in parts]

    def _tables(self, rows: Sequence[Encoded], columns: Columns) -> list[Floats]:
        """For each row its scored tokens' log-probability, mean, variance and rank, (M, 4)."""
        import torch

        width = max(len(row.ids) for row in rows)
        device = self.network.device
        ids = torch.zeros((len(rows), width), dtype=torch.long)  # (B, W)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
        at = torch.tensor([(i, place) for i, row in enumerate(rows) for place in row.scored], device=device)
        ids = ids.to(device)
        with torch.inference_mode():
            states, head = self._states(ids, mask.to(device))
            before = states[at[:, 0], at[:, 1] - 1]  # (M, D), or (M, V) where there is no shortcut
            targets = ids[at[:, 0], at[:, 1]]  # (M,)
            chunk = max(1, _CHUNK // self.network.config.get_text_config().vocab_size)
            pieces = [
                _columns(head(part).float(), target, columns).cpu().numpy()
                for part, target in zip(torch.split(before, chunk), torch.split(targets, chunk), strict=True)
            ]
        table = np.concatenate(pieces)
        return np.split(table, np.cumsum([len(row.scored) for row in rows])[:-1])

    def _states(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        """Hidden states and the head that makes logits of them, or logits and the identity.

        The vocabulary-wide product is then made for scored tokens only. The shortcut is taken where it gives the very
        logits that the network itself gives on a first row (some networks scale or cap theirs).
        """
        import torch

        base, head = self.network.base_model, self.network.get_output_embeddings()
        if not self._head_checked:
            self._head_checked = True
            if base is not self.network and head is not None:
                row = ids[:1, :8]
                quick = head(base(input_ids=row, use_cache=False)[0])
                whole = self.network(input_ids=row, use_cache=False).logits
                self._head = head if torch.equal(torch.nan_to_num(quick), torch.nan_to_num(whole)) else None
        if self._head is None:
            return self.network(input_ids=ids, attention_mask=mask, use_cache=False).logits, lambda logits: logits
        return base(input_ids=ids, attention_mask=mask, use_cache=False)[0], self._head

    # Writing ----------------------------------------------------------------------------------------

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One text per request and sample, in order.

        Raises:
            FloatingPointError: the network's logits are not finite; the request is named.
            Unsupported: an empty prompt, and a tokenizer with no token to begin a text with.
        """
        texts: dict[int, list[str]] = {}
        for batch in self.plan(requests):
            texts.update(zip(batch, self._write_batch([requests[i] for i in batch]), strict=True))
        return [text for i in range(len(requests)) for text in texts[i]]

    def _write_batch(self, requests: Sequence[Generate]) -> list[list[str]]:
        rows, owners = [], []
        for owner, (request, ids) in enumerate(zip(requests, self.encoder.prompts(requests), strict=True)):
            sampling, prompt = request.sampling, self.encoder.rendered(request)
            ids = ids[-self._room(sampling) :]
            limit = min(sampling.max_new_tokens, self.context - len(ids))
            for sample in range(sampling.n):
                rows.append(_Text(ids, prompt, sampling, sample, limit))
                owners.append(owner)
        texts: list[list[str]] = [[] for _ in requests]
        written: dict[int, str] = {}
        for group in batches([len(row.ids) + row.limit for row in rows], self._budget, self._rows):
            written.update(zip(group, halving(self._write, [rows[i] for i in group]), strict=True))
        for i, owner in enumerate(owners):
            texts[owner].append(written[i])
        return texts

    def _write(self, rows: Sequence[_Text]) -> list[str]:
        import torch

        with torch.inference_mode():
            written = self._tokens(rows)
        return [
            before_stop(self.encoder.decoded(ids), row.sampling.stop) for row, ids in zip(rows, written, strict=True)
        ]

    def _tokens(self, rows: Sequence[_Text]) -> list[list[int]]:
        """Writes all rows token by token with one cache; rows are padded on the left."""
        import torch
        from transformers import DynamicCache

        device = self.network.device
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[0] * (width - len(row.ids)) + row.ids for row in rows], device=device)  # (B, W)
        mask = torch.tensor([[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self.network.config)
        generators = [generator_for(row.prompt, row.sampling, row.sample) for row in rows]
        written: list[list[int]] = [[] for _ in rows]
        lines, unfinished = list(range(len(rows))), set(range(len(rows)))  # lines: which row each line of the batch is
        while True:
            inputs = {"attention_mask": mask, "position_ids": positions, "logits_to_keep": 1}
            inputs = {name: value for name, value in inputs.items() if name in self._accepts}
            logits = self.network(input_ids=ids, past_key_values=cache, use_cache=True, **inputs).logits[:, -1].float()
            live = [line for line, row in enumerate(lines) if row in unfinished]
            logits = logits[live]  # (B, V)
            open_rows = [lines[line] for line in live]
            for place, finite in enumerate(logits.amax(-1).isfinite().tolist()):
                if not finite:
                    raise FloatingPointError(f'The logits are not finite for "{rows[open_rows[place]].prompt[:80]}".')
            tokens = choose(logits, [rows[row].sampling for row in open_rows], [generators[row] for row in open_rows])
            for row, token in zip(open_rows, tokens, strict=True):
                if token not in self._ends:
                    written[row].append(token)
                if token in self._ends or self._complete(rows[row], written[row]):
                    unfinished.discard(row)
            if not unfinished:
                return written
            # Lines of finished rows are carried along, unread, until they are half of the batch.
            if 2 * len(unfinished) <= len(lines):
                kept = [line for line, row in enumerate(lines) if row in unfinished]
                index = torch.tensor(kept, device=device)
                cache.batch_select_indices(index)
                lines, mask, positions = [lines[line] for line in kept], mask[index], positions[index]
            ids = torch.tensor([written[row][-1:] or [0] for row in lines], device=device)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=-1)
            positions = (positions[:, -1:] + 1).clamp(max=self.context - 1)

    def _complete(self, text: _Text, written: list[int]) -> bool:
        if len(written) >= text.limit:
            return True
        stop = text.sampling.stop
        return bool(stop) and any(mark in self.encoder.decoded(written) for mark in stop)


def _size(request: Generate | Pair) -> int:
    """An upper bound of the request's tokens that needs no tokenizer: bytes, and what is to be written."""
    if isinstance(request, Pair):
        return len((request.context + request.continuation).encode()) + 1
    text = len(request.prompt.flat.encode())
    return (text + 1 + request.sampling.max_new_tokens) * request.sampling.n


def _columns(logits: torch.Tensor, targets: torch.Tensor, columns: Columns) -> torch.Tensor:
    """Log-probability of the targets (M,), and mean, variance and rank under `logits` (M, V): (M, 4) float64."""
    import torch

    at_target = logits.gather(-1, targets[:, None])
    table = torch.full((len(logits), 4), torch.nan, dtype=torch.float64, device=logits.device)
    table[:, 0] = (at_target.double() - logits.logsumexp(-1, keepdim=True).double())[:, 0]
    if columns & (Columns.EXPECTED | Columns.VARIANCE):
        log_prob = logits.log_softmax(-1)
        probability = log_prob.exp()
        log_prob = log_prob.masked_fill(probability == 0, 0.0)  # 0 log 0 is 0
        mean = (probability * log_prob).sum(-1, keepdim=True)
        table[:, 1] = mean[:, 0]
        if columns & Columns.VARIANCE:
            table[:, 2] = (probability * (log_prob - mean).square()).sum(-1)
    if columns & Columns.RANK:
        table[:, 3] = (logits > at_target).sum(-1) + 1
    return table


def _token_scores(table: Floats, columns: Columns) -> TokenScores:
    return TokenScores(
        log_prob=table[:, 0],
        expected_log_prob=table[:, 1] if columns & Columns.EXPECTED else None,
        log_prob_variance=table[:, 2] if columns & Columns.VARIANCE else None,
        rank=table[:, 3].astype(np.int64) if columns & Columns.RANK else None,
    )
