"""What all networks of transformers in this process share: what they are called, where they run, what was cut, batches.

    class LocalModel(LocalNetwork[Encoded]):    # a kind says how a pair becomes rows, and what numbers rows give

Letters in shapes: M scored tokens.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from shoplm_audit.models.asking import Reply
from shoplm_audit.models.batching import Parts, batches, families, halving
from shoplm_audit.models.encoding import Encoder
from shoplm_audit.models.logits import WIDTH, scores_of
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Floats, Generate, Pair, TokenScores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["LocalNetwork"]

# Padded bytes and rows of one batch, by device: more gains nothing on a CPU and costs memory.
_BUDGET = {"cpu": (1 << 15, 64), "cuda": (1 << 17, 256)}
# Distinct bytes and pairs of one batch of scores, by device; a batch is what an interrupted run computes again.
_SCORED = {"cpu": (1 << 15, 256), "cuda": (1 << 18, 2048)}
_WORD = re.compile(r"\s*\S+|\s+")
_WORDS_KEPT = 1 << 20
_UNLIMITED = 1 << 30

Row = TypeVar("Row")
Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalNetwork(ABC, Generic[Row]):
    """A network with its tokenizer, asked in batches; `Row` is what one line of a scoring batch is made of.

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
        # transformers warns that a padding token needs a mask; where one is read it is of a text, or stands behind it.
        for part in self.network.modules():
            if hasattr(part, "warn_if_padding_and_no_attention_mask"):
                part.warn_if_padding_and_no_attention_mask = lambda *_: None
        self.encoder = Encoder(tokenizer)
        self.name = name
        self.fingerprint = fingerprint
        self.record = record
        self.parameters: int | None = sum(weight.numel() for weight in self.network.parameters())
        self.context = _context_of(self.network)
        self._budget, self._rows = _BUDGET.get(self.network.device.type, _BUDGET["cpu"])
        known_by = f"{fingerprint} {_device_name(self.network.device)}" if fingerprint else ""
        self._parts, self._parts_of_texts = Parts(known_by), Parts(known_by and f"{known_by} texts")
        self._tokens_in: dict[str, int] = {}
        self._cut: dict[str, set[int]] = {}  # hashes: a million long texts are not kept

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda". With `dtype` it shapes the last bits of every answer."""
        return str(self.network.device.type)

    @property
    def device_name(self) -> str:
        """Which kind of GPU it is, or "cpu"."""
        return _device_name(self.network.device)

    @property
    def dtype(self) -> str:
        """What it computes in: "float32", "bfloat16"."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def notes(self) -> list[str]:
        """What was cut to the model's context, with how often."""
        return [f"{what} ({len(those)} times)" for what, those in sorted(self._cut.items())]

    def read_of(self, request: Generate) -> str:
        """What of a prompt is read: all of it, or the part that the context leaves, to the token."""
        what, text, room = next(iter(self._bounds(request)))
        ids, room = self.encoder.ids(text), room - len(self.encoder.prefix)
        if len(ids) <= room:
            return text
        return self.encoder.decoded(ids[:room] if "lost its end" in what else ids[len(ids) - room :])

    def fits(self, pair: Pair) -> bool:
        """Whether a pair is read whole, its context too."""
        return all(
            len(self.encoder.ids(text)) + len(self.encoder.prefix) <= room for _, text, room in self._bounds(pair)
        )

    def plan(self, requests: Sequence[Generate] | Sequence[Pair]) -> list[list[int]]:
        """The batches in which requests are computed, as positions: a pure function of the list.

        `generate` and `score` follow it, and `compute` takes one of them as it is, so that each batch can be asked for
        on its own and gives the same numbers.
        """
        self._note(requests)
        pairs = [request for request in requests if isinstance(request, Pair)]
        texts = [request for request in requests if isinstance(request, Generate)]
        return self._plan_scores(pairs) if pairs else self._plan_texts(texts)

    def _plan_scores(self, pairs: Sequence[Pair]) -> list[list[int]]:
        budget, rows = _SCORED.get(self.network.device.type, _SCORED["cpu"])
        return families(
            [(pair.context + pair.continuation).encode("utf-8", "surrogatepass") for pair in pairs], budget, rows
        )

    def _plan_texts(self, requests: Sequence[Generate]) -> list[list[int]]:
        return [list(range(len(requests)))]  # whoever writes texts says more

    def compute(self, batch: Sequence[Generate] | Sequence[Pair], columns: Columns = LOG_PROB) -> Sequence[Reply]:
        """The replies to one batch of the plan: scores, or lists of texts."""
        pairs = [request for request in batch if isinstance(request, Pair)]
        texts = [request for request in batch if isinstance(request, Generate)]
        return self._score_batch(pairs, columns) if pairs else self._write_batch(texts)

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One text per request and sample, in order.

        Raises:
            Unsupported: a network of this kind writes no texts, or has nothing to begin one with.
            FloatingPointError: the network's logits are not finite; the request is named.
        """
        texts: dict[int, list[str]] = {}
        for batch in self.plan(requests):
            texts.update(zip(batch, self._write_batch([requests[i] for i in batch]), strict=True))
        return [text for i in range(len(requests)) for text in texts[i]]

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of each pair, in order; nan where the network's logits are not finite."""
        scores: dict[int, TokenScores] = {}
        for batch in self.plan(pairs):
            scores.update(zip(batch, self._score_batch([pairs[i] for i in batch], columns), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def _score_batch(self, pairs: Sequence[Pair], columns: Columns) -> list[TokenScores]:
        owners: list[int] = []
        rows: list[Row] = []
        for owner, cut in enumerate(self._rows_of(pairs)):
            owners += [owner] * len(cut)
            rows += cut
        parts: list[list[Floats]] = [[np.empty((0, WIDTH))] for _ in pairs]
        for owner, table in zip(
            owners, halving(lambda part: self._tables(part, columns), rows, self._parts), strict=True
        ):
            parts[owner].append(table)
        return [scores_of(np.concatenate(part), columns) for part in parts]

    def tokens_of(self, requests: Sequence[Generate] | Sequence[Pair]) -> tuple[int, int]:
        """How many tokens requests have, and how many of them are computed: what texts share is read once.

        A text that is to be written counts with its prompt and the most that it may become.
        """
        pairs = [request for request in requests if isinstance(request, Pair)]
        texts = [request for request in requests if isinstance(request, Generate)]
        asked = done = 0
        for batch in self._plan_scores(pairs):
            rows = [row for cut in self._rows_of([pairs[i] for i in batch]) for row in cut]
            asked += sum(self._size_of(row) for row in rows)
            done += self._computed(rows)
        for request, ids in zip(texts, self.encoder.prompts(texts) if texts else [], strict=True):
            written = (len(ids) + request.sampling.max_new_tokens) * max(request.sampling.n, request.sampling.beams)
            asked, done = asked + written, done + written
        return asked, done

    def _note(self, requests: Sequence[Generate] | Sequence[Pair]) -> None:
        """Remembers what does not fit; each text once, also those that a store answers."""
        long = [
            (what, text, room)
            for request in requests
            for what, text, room in self._bounds(request)
            # A token is at least one byte, so short texts need no count.
            if len(text.encode("utf-8", "surrogatepass")) >= room
        ]
        counted = list(
            dict.fromkeys(
                text for (_, text, room), about in zip(long, self._about(long), strict=True) if about > 0.9 * room
            )
        )
        lengths = dict(zip(counted, self._lengths(counted), strict=True))
        for what, text, room in long:
            if lengths.get(text, 0) + len(self.encoder.prefix) > room:
                self._cut.setdefault(what, set()).add(hash(text))

    def _about(self, long: Sequence[tuple[str, str, int]]) -> list[int]:
        """About how many tokens texts have: the sum of their words', each of which is counted once.

        A plan reads all texts, also those that a store answers, and tokenizers are slow. Few of them put two words
        into one token, and hardly any makes more tokens of two words than of each.
        """
        words = [_WORD.findall(text) for _, text, _ in long]
        new = list({word for line in words for word in line} - self._tokens_in.keys())
        self._tokens_in.update(zip(new, self._lengths(new), strict=True))
        found = [sum(map(self._tokens_in.__getitem__, line)) for line in words]
        if len(self._tokens_in) > _WORDS_KEPT:
            self._tokens_in.clear()
        return found

    def _lengths(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        options = dict.fromkeys(
            ("add_special_tokens", "return_attention_mask", "return_token_type_ids", "verbose"), False
        )
        return [len(ids) for ids in self.encoder.tokenizer(texts, **options)["input_ids"]]

    @abstractmethod
    def _write_batch(self, requests: Sequence[Generate]) -> list[list[str]]:
        """The texts of each request, or `Unsupported`."""

    @abstractmethod
    def _bounds(self, request: Generate | Pair) -> Iterator[tuple[str, str, int]]:
        """The texts of a request with room for so many tokens: (a sentence for when one is longer, the text, room)."""

    @abstractmethod
    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[Row]]:
        """The rows that each pair is scored by; their numbers one after another are the pair's."""

    @abstractmethod
    def _size_of(self, row: Row) -> int:
        """How many tokens a row has."""

    def _computed(self, rows: Sequence[Row]) -> int:
        """How many tokens are computed for these rows."""
        return sum(map(self._size_of, dict.fromkeys(rows)))

    def _once(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Result]],
        rows: Sequence[Item],
        size_of: Callable[[Item], int],
    ) -> list[Result]:
        """The results of rows, of equal ones computed once, in groups of about equal size."""
        distinct = list(dict.fromkeys(rows))
        found: dict[Item, Result] = {}
        for group in batches([size_of(row) for row in distinct], self._budget, self._rows):
            part = [distinct[i] for i in group]
            found.update(zip(part, compute(part), strict=True))
        return [found[row] for row in rows]

    @abstractmethod
    def _tables(self, rows: Sequence[Row], columns: Columns) -> list[Floats]:
        """For each row its scored tokens' log-probability, mean, variance, rank and spike entropy, (M, WIDTH)."""


def _device_name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)


def _context_of(network: Any) -> int:
    context = int(getattr(network.config.get_text_config(), "max_position_embeddings", None) or _UNLIMITED)
    for name, module in network.named_modules():
        # RoBERTa and its kin count positions from behind the padding's.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return context - int(module.padding_idx) - 1
    return context
