"""A causal language model of transformers, in this process: batched, padded and cached without changing an answer.

    LocalModel(network, tokenizer, name="reviews-dp").score([Pair("Colour:", " navy")])[0].log_prob   # (T,) nats

Letters in shapes: B rows, W tokens of the longest row, M scored tokens, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from shoplm_audit.models.batching import batches, halving
from shoplm_audit.models.continuation import Rules, Text, followed, searched
from shoplm_audit.models.decoding import before_stop
from shoplm_audit.models.encoding import Encoded, windows
from shoplm_audit.models.logits import columns_of
from shoplm_audit.models.network import LocalNetwork
from shoplm_audit.models.reading import CausalReading, Reading
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import Columns, Floats, Generate, Pair, Sampling

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["LocalModel"]

# Logits of one chunk of scored tokens (float32): 32 MiB.
_CHUNK = 1 << 23


class LocalModel(LocalNetwork[Encoded]):
    """A causal language model of transformers with its tokenizer.

    Of the network's own `generation_config` only the end-of-text tokens are used: how a text is drawn is the
    request's to say, so repetition penalties and the like are off.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        name: str,
        fingerprint: str = "",
        record: TrainingRecord | None = None,
    ) -> None:
        super().__init__(network, tokenizer, name=name, fingerprint=fingerprint, record=record)
        ends = getattr(self.network.generation_config, "eos_token_id", None)
        ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        self._rules = Rules(frozenset(ends - {None}), self.encoder.decoded)
        self._head: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._head_checked = False

    def _room(self, sampling: Sampling) -> int:
        """How many tokens of a prompt are kept: at least half of the context, whatever max_new_tokens asks for."""
        return max(self.context - sampling.max_new_tokens, self.context // 2)

    def _overlong(self, request: Generate | Pair) -> Iterator[tuple[str, str]]:
        if isinstance(request, Pair):
            text, room = request.context + request.continuation, self.context
            what = "a scored text was longer than the model's context"
        else:
            text, room = self.encoder.rendered(request), self._room(request.sampling)
            what = "a prompt lost its beginning to fit the model's context"
        if self._longer(text, room):
            yield what, text

    # Scoring ----------------------------------------------------------------------------------------

    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[Encoded]]:
        # A context longer than the model's loses its beginning; a continuation longer than it is read in windows.
        return [list(windows(encoded, self.context)) for encoded in self.encoder.scored(pairs)]

    def _size_of(self, row: Encoded) -> int:
        return len(row.ids)

    def _tables(self, rows: Sequence[Encoded], columns: Columns) -> list[Floats]:
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
                columns_of(head(part).float(), target, columns).cpu().numpy()
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
            ids, limit = self._fitted(ids, sampling)
            # A beam writes all texts of its request together.
            for sample in range(sampling.n if sampling.beams == 1 else 1):
                rows.append(Text(ids, prompt, sampling, sample, limit))
                owners.append(owner)
        texts: list[list[str]] = [[] for _ in requests]
        written: dict[int, list[str]] = {}
        for write, beam in ((self._follow, False), (self._search, True)):
            mine = [i for i, row in enumerate(rows) if (row.sampling.beams > 1) is beam]
            sizes = [(len(rows[i].ids) + rows[i].limit) * rows[i].sampling.beams for i in mine]
            for group in batches(sizes, self._budget, self._rows):
                places = [mine[i] for i in group]
                written.update(zip(places, halving(write, [rows[i] for i in places]), strict=True))
        for i, owner in enumerate(owners):
            texts[owner] += written[i]
        return texts

    def _fitted(self, ids: list[int], sampling: Sampling) -> tuple[list[int], int]:
        """The part of a prompt that is read, and how many tokens may follow it."""
        ids = ids[-self._room(sampling) :]
        return ids, min(sampling.max_new_tokens, self.context - len(ids))

    def _follow(self, rows: Sequence[Text]) -> list[list[str]]:
        import torch

        with torch.inference_mode():
            written = followed(self._reading(rows), rows, self._rules)
        return [[self._text(row, ids)] for row, ids in zip(rows, written, strict=True)]

    def _search(self, rows: Sequence[Text]) -> list[list[str]]:
        import torch

        with torch.inference_mode():
            written = searched(self._reading(rows), rows, self._rules)
        return [[self._text(row, ids) for ids in best] for row, best in zip(rows, written, strict=True)]

    def _reading(self, rows: Sequence[Text]) -> Reading:
        return CausalReading(self.network, [row.ids for row in rows], self.context)

    def _text(self, row: Text, ids: Sequence[int]) -> str:
        return before_stop(self.encoder.decoded(ids), row.sampling.stop)
