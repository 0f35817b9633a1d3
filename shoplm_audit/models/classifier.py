"""A classifier of texts: how probable a label is.

    Classifier(network, tokenizer, name="stars").score([Pair("It leaks.", "negative")])[0].log_prob   # (1,) nats

Letters in shapes: B texts, W tokens of the longest one, M pairs, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplm_audit.errors import ModelError, Unsupported
from shoplm_audit.models.logits import columns_of
from shoplm_audit.models.network import LocalNetwork
from shoplm_audit.models.reading import padded
from shoplm_audit.types import Columns, Floats, Generate, Pair

if TYPE_CHECKING:
    import torch

__all__ = ["PARTED", "ClassifierModel"]

# The record separator of ASCII: no text of a shop holds it.
PARTED = "\x1e"


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A text, the number of the label that is asked for, and which of a pair of texts each token is of (0 or 1)."""

    ids: tuple[int, ...]
    label: int
    sides: tuple[int, ...] = ()


class ClassifierModel(LocalNetwork[_Labelled]):
    """A classifier of transformers with its tokenizer: the pair's context is the text, its continuation the label.

    A pair has one number, the log-probability of the label; mean, variance and rank are taken over the labels. A label
    goes by the name that the network's `id2label` gives it, without regard to letter case and white space around it.
    A context of two texts with `PARTED` between them (premise and hypothesis) is read as the pair of texts that the
    tokenizer makes of them; the first loses its end where both do not fit.

    Raises:
        ModelError: the network does not choose one label of several.
    """

    def __init__(self, network: Any, tokenizer: Any, **about: Any) -> None:
        super().__init__(network, tokenizer, **about)
        config = self.network.config
        if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
            kind = config.problem_type or "regression"
            raise ModelError(
                f'"{self.name}": a head for {kind} ({config.num_labels} outputs) does not choose one label of several. '
                "Give a classifier of single labels."
            )
        self._names = {int(number): str(name) for number, name in config.id2label.items()}
        self._numbers = {_key(name): number for number, name in self._names.items()}
        before, after = self.encoder.frame
        self._room = self.context - len(before) - len(after)
        # Decoders with a head find a text's last token by it.
        if config.pad_token_id is None:
            config.pad_token_id = self.encoder.filler

    def _write_batch(self, requests: Sequence[Generate]) -> list[list[str]]:
        raise Unsupported("a classifier tells labels and writes no texts")

    def _bounds(self, request: Generate | Pair) -> Iterator[tuple[str, str, int]]:
        if isinstance(request, Pair):
            yield "a classified text lost its end to fit the model's context", request.context, self._room

    def _rows_of(self, pairs: Sequence[Pair]) -> list[list[_Labelled]]:
        before, after = self.encoder.frame
        rows = []
        for pair in pairs:
            if PARTED in pair.context:
                rows.append([_Labelled(*self._paired(pair))])
                continue
            ids = (*before, *self.encoder.ids(pair.context)[: self._room], *after) or (self.encoder.begin(),)
            rows.append([_Labelled(ids, self._label(pair))])
        return rows

    def _paired(self, pair: Pair) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        first, _, second = pair.context.partition(PARTED)
        read = self.encoder.tokenizer(
            first, second, truncation="only_first", max_length=self.context, return_token_type_ids=True, verbose=False
        )
        return tuple(read["input_ids"]), self._label(pair), tuple(read["token_type_ids"])

    def _label(self, pair: Pair) -> int:
        number = None if pair.span else self._numbers.get(_key(pair.continuation))
        if number is None:
            # What was asked for instead can be a private text, and this sentence goes into reports.
            known = ", ".join(f'"{name}"' for _, name in sorted(self._names.items()))
            raise Unsupported(f"a classifier tells how probable its labels are ({known}), and no other words")
        return number

    def _size_of(self, row: _Labelled) -> int:
        return len(row.ids)

    def _computed(self, rows: Sequence[_Labelled]) -> int:
        return sum(map(len, {row.ids for row in rows}))

    def _tables(self, rows: Sequence[_Labelled], columns: Columns) -> list[Floats]:
        import torch

        # A text tells all its labels at once.
        logits = torch.stack(
            self._once(self._logits, [(row.ids, row.sides) for row in rows], lambda one: len(one[0]))
        )  # (M, L)
        labels = torch.tensor([row.label for row in rows], device=logits.device)
        return np.split(columns_of(logits, labels, columns).cpu().numpy(), len(rows))

    def _logits(self, texts: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[torch.Tensor]:
        import torch

        ids, mask = padded([read for read, _ in texts], self.network.config.pad_token_id, self.network.device)  # (B, W)
        sides = {}
        if any(any(side) for _, side in texts) and getattr(self.network.config, "type_vocab_size", 0) > 1:
            whole = [side or (0,) * len(read) for read, side in texts]
            sides["token_type_ids"] = padded(whole, 0, self.network.device)[0]
        with torch.inference_mode():
            return list(self.network(input_ids=ids, attention_mask=mask, **sides).logits.float())


def _key(label: str) -> str:
    return label.strip().casefold()
