"""A masked language model: each scored token is hidden in turn and told from all the others.

    MaskedModel(network, tokenizer, name="bert").score([Pair("Colour:", " navy")])[0].total   # pseudo-log-likelihood

Letters in shapes: B rows, W tokens of the longest row, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm_audit.errors import ModelError, Unsupported
from shoplm_audit.models.encoding import Encoded
from shoplm_audit.models.logits import columns_of, logits_at
from shoplm_audit.models.network import LocalNetwork
from shoplm_audit.models.reading import padded
from shoplm_audit.types import Columns, Floats, Generate, Pair

__all__ = ["MaskedModel"]


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A text with one token hidden: what is read, where the mask stands, what it hides."""

    ids: tuple[int, ...]
    place: int
    token: int


class MaskedModel(LocalNetwork[_Hidden]):
    """A masked model of transformers with its tokenizer, scored by pseudo-log-likelihood (Salazar et al., 2020).

    A token's number is its log-probability where it alone is masked and all others are seen, those after it too. So a
    sum over tokens is no log-probability of the text; it compares texts under one model. The other columns (mean,
    variance, rank) are those of the same distribution.

    Raises:
        ModelError: the tokenizer has no mask token.

    References:
        arXiv 1910.14659
    """

    def __init__(self, network: Any, tokenizer: Any, **about: Any) -> None:
        super().__init__(network, tokenizer, **about)
        if tokenizer.mask_token_id is None:
            raise ModelError(
                f'"{self.name}": its tokenizer has no mask token. Set mask_token in tokenizer_config.json.'
            )
        before, after = self.encoder.frame
        self._room = self.context - len(before) - len(after)

    def _write_batch(self, requests: Sequence[Generate]) -> list[list[str]]:
        raise Unsupported("a masked model fills gaps and writes no texts")

    def _bounds(self, request: Generate | Pair) -> Iterator[tuple[str, str, int]]:
        if isinstance(request, Pair):
            text = request.context + request.continuation
            yield "a scored text was longer than the model's context", text, self._room

    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[_Hidden]]:
        return [[self._hidden(encoded, place) for place in encoded.scored] for encoded in self.encoder.placed(pairs)]

    def _hidden(self, encoded: Encoded, place: int) -> _Hidden:
        before, after = self.encoder.frame
        # Of a text that does not fit, a token is told from as much as fits on both of its sides.
        start = max(0, min(place - self._room // 2, len(encoded.ids) - self._room))
        seen = list(encoded.ids[start : start + self._room])
        seen[place - start] = self.encoder.tokenizer.mask_token_id
        return _Hidden((*before, *seen, *after), len(before) + place - start, encoded.ids[place])

    def _size_of(self, row: _Hidden) -> int:
        return len(row.ids)

    def _tables(self, rows: Sequence[_Hidden], columns: Columns) -> list[Floats]:
        return self._once(lambda part: self._told(part, columns), rows, self._size_of)

    def _told(self, rows: Sequence[_Hidden], columns: Columns) -> list[Floats]:
        import torch

        device = self.network.device
        ids, mask = padded([row.ids for row in rows], self.encoder.filler, device)  # (B, W)
        places = torch.tensor([row.place for row in rows], device=device)
        hidden = torch.tensor([row.token for row in rows], device=device)
        with torch.inference_mode():
            every = torch.arange(len(rows), device=device)
            logits = logits_at(self.network, every, places, input_ids=ids, attention_mask=mask)  # (B, V)
            table: Floats = columns_of(logits, hidden, columns).cpu().numpy()
        return np.split(table, len(rows))
