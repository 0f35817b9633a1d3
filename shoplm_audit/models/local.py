"""A causal language model of transformers, in this process: batched, padded and cached without changing an answer.

LocalModel(network, tokenizer, name="reviews-dp").score([Pair("Colour:", " navy")])[0].log_prob   # (T,) nats

"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from shoplm_audit.models.batching import batches, halving
from shoplm_audit.models.continuation import Rules, Text, followed, refilled, searched
from shoplm_audit.models.decoding import Marking, before_stop
from shoplm_audit.models.encoding import Encoded, windows
from shoplm_audit.models.marking import Finder, MarkReader, OwnReader, ShippedMark, shipped_mark
from shoplm_audit.models.network import LocalNetwork
from shoplm_audit.models.reading import CausalReading, Reading
from shoplm_audit.models.states import CausalStates
from shoplm_audit.models.watermark import Marker
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import Columns, Floats, Generate, Mark, Pair, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from shoplm_audit.models.slots import Slots

__all__ = ["LocalModel"]

# Requests of one batch of texts, and its bytes times the network's weights, by device: it is what an interrupted run
# computes again, and long enough that finished texts are replaced for most of its time.
_WRITTEN = {"cpu": (256, 1 << 42), "cuda": (1024, 1 << 52)}
# Bytes of keys and values of the texts that are written side by side, by device.
_MEMORY = {"cpu": 1 << 30, "cuda": 1 << 33}
# A context shorter than this holds no trial of slots.
_TRIED = 16


class LocalModel(LocalNetwork[Encoded]):
    """A causal language model of transformers with its tokenizer.

    Of the network's own `generation_config` only the end-of-text tokens and the watermark are used: how a text is drawn
    is the request's to say, so repetition penalties and the like are off.

    Attributes:
        watermark: the mark that is written where a request asks for none: that of the checkpoint's own configuration,
            or what is put here before the model is asked.
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
        self._rules = Rules(frozenset(ends - {None}), self.encoder.decoded, self.encoder.ids, self._shipped)
        self.watermark: ShippedMark | Mark | None = shipped_mark(self.network)
        self._states = CausalStates(self.network, self.context)
        self._tried: dict[int, bool] = {}

    @property
    def finder(self) -> Finder | None:
        """What finds the mark that it writes unasked; None where there is none."""
        if self.watermark is None:
            return None
        mark = self.watermark
        reader: MarkReader = OwnReader(mark) if isinstance(mark, Mark) else mark.reader()
        return Finder(self.encoder.ids, self.encoder.decoded, reader)

    def _shipped(self, text: Text) -> Marking | None:
        mark = self.watermark
        if isinstance(mark, Mark):
            return None if mark.kind == "synthid" and text.sampling.temperature == 0 else Marker(mark)
        return None if mark is None else mark.marker(self._ahead(text))

    def _ahead(self, text: Text) -> list[int]:
        """The tokens that the network reads before those it writes."""
        return text.ids

    def _room(self, sampling: Sampling) -> int:
        """How many tokens of a prompt are kept: at least half of the context, whatever max_new_tokens asks for."""
        return max(self.context - sampling.max_new_tokens, self.context // 2)

    def _bounds(self, request: Generate | Pair) -> Iterator[tuple[str, str, int]]:
        if isinstance(request, Pair):
            text = request.context + request.continuation
            yield "a scored text was longer than the model's context", text, self.context
        else:
            text, room = self.encoder.rendered(request), self._room(request.sampling)
            yield "a prompt lost its beginning to fit the model's context", text, room

    # Scoring ----------------------------------------------------------------------------------------

    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[Encoded]]:
        # A context longer than the model's loses its beginning; a continuation longer than it is read in windows.
        return [list(windows(encoded, self.context)) for encoded in self.encoder.scored(pairs)]

    def _size_of(self, row: Encoded) -> int:
        return len(row.ids)

    def _computed(self, rows: Sequence[Encoded]) -> int:
        return self._states.arrangement(rows).tokens

    def _tables(self, rows: Sequence[Encoded], columns: Columns) -> list[Floats]:
        return self._states.tables(rows, columns)

    # Writing ----------------------------------------------------------------------------------------

    def _plan_texts(self, requests: Sequence[Generate]) -> list[list[int]]:
        texts, work = _WRITTEN.get(self.device, _WRITTEN["cpu"])
        sizes = [
            (len(one.prompt.flat.encode("utf-8", "surrogatepass")) + 1 + one.sampling.max_new_tokens)
            * max(one.sampling.n, one.sampling.beams)
            for one in requests
        ]
        return batches(sizes, max(self._budget, work // max(1, self.parameters or 0)), texts)

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
            for group in self._groups([rows[i] for i in mine]):
                places = [mine[i] for i in group]
                written.update(
                    zip(places, halving(write, [rows[i] for i in places], self._parts_of_texts), strict=True)
                )
        for i, owner in enumerate(owners):
            texts[owner] += written[i]
        return texts

    def _groups(self, rows: Sequence[Text]) -> list[list[int]]:
        """Which texts are written together: as many as there are where slots are refilled."""
        if not rows or (rows[0].sampling.beams == 1 and self._refills(_width(rows))):
            return [list(range(len(rows)))] if rows else []
        sizes = [(len(row.ids) + row.limit) * row.sampling.beams for row in rows]
        return batches(sizes, self._budget, self._rows)

    def _refills(self, width: int) -> bool:
        """Whether slots of this width say what the network says, tried once for each power of two."""
        import torch

        if self.network.config.is_encoder_decoder or self.context < _TRIED:
            return False
        width = min(self.context, 1 << (width - 1).bit_length())
        if width not in self._tried:
            from shoplm_audit.models.slots import read_alike

            try:
                with torch.inference_mode():
                    self._tried[width] = read_alike(self.network, width)
            # What a network of another making raises is not known; it is asked without slots.
            except Exception:
                self._tried[width] = False
        return self._tried[width]

    def _fitted(self, ids: list[int], sampling: Sampling) -> tuple[list[int], int]:
        """The part of a prompt that is read, and how many tokens may follow it."""
        ids = ids[-self._room(sampling) :]
        return ids, min(sampling.max_new_tokens, self.context - len(ids))

    def _follow(self, rows: Sequence[Text]) -> list[list[str]]:
        import torch

        with torch.inference_mode():
            if self._refills(_width(rows)):
                written = refilled(self._slots(rows), rows, self._rules)
            else:
                written = followed(self._reading(rows), rows, self._rules)
        return [[self._text(row, ids)] for row, ids in zip(rows, written, strict=True)]

    def _slots(self, rows: Sequence[Text]) -> Slots:
        from shoplm_audit.models.slots import Slots

        memory = _MEMORY.get(self.device, _MEMORY["cpu"])
        return Slots(self.network, len(rows), _width(rows), memory)

    def _search(self, rows: Sequence[Text]) -> list[list[str]]:
        import torch

        with torch.inference_mode():
            written = searched(self._reading(rows), rows, self._rules)
        return [[self._text(row, ids) for ids in best] for row, best in zip(rows, written, strict=True)]

    def _reading(self, rows: Sequence[Text]) -> Reading:
        return CausalReading(self.network, [row.ids for row in rows], self.context)

    def _text(self, row: Text, ids: Sequence[int]) -> str:
        return before_stop(self.encoder.decoded(ids), row.sampling.stop)


def _width(rows: Sequence[Text]) -> int:
    """How many tokens the longest text comes to, with its prompt."""
    return max(len(row.ids) + row.limit for row in rows)
