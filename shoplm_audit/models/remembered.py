"""A model that answers from the store what the same weights have answered before, and keeps each new answer at once.

    Remembered(model, store).generate(requests)  # the second time nothing is computed

An answer can depend on its batch in the last bits. So batches are made from the full list of requests, never from what
the store lacks, and an answer is found again only as part of the same batch: numbers do not depend on where a run was
cut off or on what else the store holds.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from shoplm_audit.models.batching import batches
from shoplm_audit.record import TrainingRecord
from shoplm_audit.store import Store, digest
from shoplm_audit.types import LOG_PROB, Columns, Generate, Model, Pair, Sampling, TokenScores

__all__ = ["ANSWERS_VERSION", "Remembered", "decode_scores", "encode_scores"]

ANSWERS_VERSION = "1"  # raised whenever the code that computes answers changes what they are

Asked = TypeVar("Asked", Generate, Pair)


def _plain(request: Generate | Pair) -> dict[str, Any]:
    """A request as plain data; fields that are newer than the first keys count only where they are used."""
    data = asdict(request)
    if isinstance(request, Generate):
        usual = asdict(Sampling())
        data["sampling"] = {
            name: value
            for name, value in data["sampling"].items()
            if name not in ("beams", "banned", "mark") or value != usual[name]
        }
    return data


def encode_scores(scores: TokenScores) -> dict[str, list[float]]:
    """Scores as plain data; columns that were not computed are left out."""
    names = ("log_prob", "expected_log_prob", "log_prob_variance", "rank")
    return {name: getattr(scores, name).tolist() for name in names if getattr(scores, name) is not None}


def decode_scores(data: dict[str, list[float]]) -> TokenScores:
    """The inverse of `encode_scores`, exact to the last bit."""
    columns = {name: np.array(values, dtype=np.float64) for name, values in data.items() if name != "rank"}
    return TokenScores(**columns, rank=np.array(data["rank"], dtype=np.int64) if "rank" in data else None)


class Remembered:
    """Wraps a model; same protocol.

    Args:
        model: the model that computes what is not known yet.
        store: where answers are kept.
        run: names the run within which answers of a model without a fingerprint are found again; without it they are
            found again by nobody.
        on_batch: called with the number of requests that were answered, after each batch.
    """

    def __init__(
        self, model: Model, store: Store, *, run: str = "", on_batch: Callable[[int], None] = lambda _: None
    ) -> None:
        self.model = model
        self.store = store
        self.on_batch = on_batch
        self.computed = 0
        self._identity = (
            ANSWERS_VERSION,
            model.fingerprint or f"run:{run or uuid.uuid4().hex}:{model.name}",
            str(getattr(model, "device", "")),
            str(getattr(model, "dtype", "")),
        )

    name = property(lambda self: self.model.name)
    fingerprint = property(lambda self: self.model.fingerprint)
    batch_sensitive = property(lambda self: self.model.batch_sensitive)

    @property
    def record(self) -> TrainingRecord | None:
        """The training record of the wrapped model."""
        return self.model.record

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """The texts, remembered or written now."""

        def compute(batch: list[Generate]) -> list[Any]:
            texts = self.model.generate(batch)
            expected = sum(request.sampling.n for request in batch)
            if len(texts) != expected:
                raise RuntimeError(f"asked for {expected} texts and got {len(texts)}")
            each = iter(texts)
            return [[next(each) for _ in range(request.sampling.n)] for request in batch]

        found = self._answer("generate", list(requests), compute)
        return [text for texts in found for text in texts]

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores, remembered or computed now."""

        def compute(batch: list[Pair]) -> list[Any]:
            return [encode_scores(scores) for scores in self.model.score(batch, columns)]

        return [decode_scores(data) for data in self._answer(f"score:{columns.value}", list(pairs), compute)]

    def _plan(self, requests: list[Any]) -> list[list[int]]:
        plan = getattr(self.model, "plan", None)
        return plan(requests) if plan else batches([1] * len(requests), budget=32, rows=32)

    def _answer(self, kind: str, requests: list[Asked], compute: Callable[[list[Asked]], list[Any]]) -> list[Any]:
        answers: list[Any] = [None] * len(requests)
        data = [_plain(request) for request in requests]
        for indices in self._plan(requests):
            batch = [data[i] for i in indices]
            shared = digest(batch) if self.batch_sensitive else ""
            keys = [digest(self._identity, kind, row, shared) for row in batch]
            known = self.store.get(keys)
            lacking = {key: i for i, key in zip(indices, keys, strict=True) if key not in known}
            if lacking:
                # Where a batch shapes its answers it is computed whole; elsewhere nothing is asked twice.
                asked = indices if self.batch_sensitive else list(lacking.values())
                computed = compute([requests[i] for i in asked])
                self.computed += len(asked)
                fresh = keys if self.batch_sensitive else list(lacking)
                found = {key: json.dumps(answer) for key, answer in zip(fresh, computed, strict=True)}
                self.store.put(found)
                known |= found
            for i, key in zip(indices, keys, strict=True):
                answers[i] = json.loads(known[key])
            self.on_batch(len(indices))
        return answers
