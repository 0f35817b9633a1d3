"""An encoder-decoder of transformers: what stands before goes into its encoder, what is scored or written comes out.

    EncoderDecoderModel(network, tokenizer, name="t5").score([Pair("Is it good? It leaks.", "no")])[0].log_prob   # (T,)

Letters in shapes: B rows, W tokens of the longest answer, M scored tokens, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shoplm_audit.errors import ModelError
from shoplm_audit.models.continuation import Text
from shoplm_audit.models.encoding import Encoded, windows
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.logits import columns_of, logits_at
from shoplm_audit.models.reading import EncodedReading, Reading, padded
from shoplm_audit.types import Columns, Floats, Generate, Pair, Sampling

__all__ = ["EncoderDecoderModel"]

# Logits of one batch (float32): 128 MiB.
_LOGITS = 1 << 25


class EncoderDecoderModel(LocalModel):
    """An encoder-decoder of transformers with its tokenizer.

    A source ends with the end-of-text token and loses its end where it does not fit. An answer is a text of its own:
    the white space that would join it to the source is left out. Its end is not scored, as with `LocalModel`.

    Raises:
        ModelError: the configuration does not say with which token the decoder begins.
    """

    answers_apart = True  # what it writes does not go on from what it reads

    def __init__(self, network: Any, tokenizer: Any, **about: Any) -> None:
        super().__init__(network, tokenizer, **about)
        start = self.network.config.decoder_start_token_id
        if start is None:
            raise ModelError(
                f'"{self.name}": its config.json has no "decoder_start_token_id", with which an answer begins. Add it.'
            )
        self._begin = [int(start), *self.encoder.prefix]
        end = tokenizer.eos_token_id
        self._end = self.encoder.frame[1] or ([] if end is None else [end])

    def _bounds(self, request: Generate | Pair) -> Iterator[tuple[str, str, int]]:
        room = self.context - len(self._end)
        if isinstance(request, Pair):
            yield "a source lost its end to fit the model's context", request.context, room
            yield "a scored text was longer than the model's context", request.continuation, self.context - 1
        else:
            yield "a prompt lost its end to fit the model's context", self.encoder.rendered(request), room

    def _source(self, ids: Sequence[int]) -> list[int]:
        return [*ids[: self.context - len(self._end)], *self._end]

    # Scoring ----------------------------------------------------------------------------------------

    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[Encoded]]:
        rows = []
        for pair, answer in zip(pairs, self.encoder.placed([_answer(pair) for pair in pairs]), strict=True):
            source = self._source([*self.encoder.prefix, *self.encoder.ids(pair.context)]) or [self.encoder.begin()]
            places = tuple(place + len(self._begin) for place in answer.scored)
            last = answer.scored[-1] + 1 if answer.scored else 0
            read = Encoded((*self._begin, *answer.ids[:last]), places)
            rows.append([replace(window, source=tuple(source)) for window in windows(read, self.context)])
        return rows

    def _size_of(self, row: Encoded) -> int:
        return len(row.source) + len(row.ids)

    def _computed(self, rows: Sequence[Encoded]) -> int:
        return sum(map(len, {row.source for row in rows})) + sum(len(row.ids) for row in dict.fromkeys(rows))

    def _tables(self, rows: Sequence[Encoded], columns: Columns) -> list[Floats]:
        words = int(self.network.config.get_text_config().vocab_size)

        def size_of(row: Encoded) -> int:
            return max(len(row.source), len(row.ids), len(row.scored) * words * self._budget // _LOGITS)

        return self._once(lambda part: self._told(part, columns), rows, size_of)

    def _told(self, rows: Sequence[Encoded], columns: Columns) -> list[Floats]:
        import torch

        device, filler = self.network.device, self.encoder.filler
        texts = list(dict.fromkeys(row.source for row in rows))
        sources, mask = padded(texts, filler, device)
        ids, _ = padded([row.ids for row in rows], filler, device)  # (B, W)
        at = torch.tensor([(i, place) for i, row in enumerate(rows) for place in row.scored], device=device)
        source_of = torch.tensor([texts.index(row.source) for row in rows], device=device)
        with torch.inference_mode():
            encoded = self.network.get_encoder()(input_ids=sources, attention_mask=mask)
            encoded = type(encoded)(last_hidden_state=encoded.last_hidden_state[source_of])
            inputs = {"encoder_outputs": encoded, "attention_mask": mask[source_of], "decoder_input_ids": ids}
            logits = logits_at(self.network, at[:, 0], at[:, 1] - 1, use_cache=False, **inputs)  # (M, V)
            table: Floats = columns_of(logits, ids[at[:, 0], at[:, 1]], columns).cpu().numpy()
        return np.split(table, np.cumsum([len(row.scored) for row in rows])[:-1])

    # Writing ----------------------------------------------------------------------------------------

    def _fitted(self, ids: list[int], sampling: Sampling) -> tuple[list[int], int]:
        return self._source(ids), min(sampling.max_new_tokens, self.context - len(self._begin))

    def _ahead(self, text: Text) -> list[int]:
        return self._begin

    def _reading(self, rows: Sequence[Text]) -> Reading:
        return EncodedReading(self.network, [row.ids for row in rows], self._begin, filler=self.encoder.filler)


def _answer(pair: Pair) -> Pair:
    """The continuation as a text of its own, without white space before it."""
    text = pair.continuation.lstrip()
    if pair.span is None:
        return Pair("", text)
    start, end = (max(0, edge - len(pair.continuation) + len(text)) for edge in pair.span)
    return Pair("", text, (start, end))
