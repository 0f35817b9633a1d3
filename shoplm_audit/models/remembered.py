"""A model that answers from the store what the same weights have answered before, and keeps each new answer at once.

    Remembered(model, store).generate(requests)  # the second time nothing is computed

An answer can depend on its batch in the last bits. So batches are made from the full list of requests, never from what
the store lacks, and an answer is found again only as part of the same batch: numbers do not depend on where a run was
cut off or on what else the store holds.
"""

from __future__ import annotations

import importlib.metadata
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shoplm_audit.models.asking import Asked, Failed, Reply, answered, planned, weighed, written
from shoplm_audit.record import TrainingRecord
from shoplm_audit.store import Akin, Kept, Store, digest
from shoplm_audit.types import LOG_PROB, Columns, Generate, Model, Pair, Sampling, TokenScores

__all__ = ["ANSWERS_VERSION", "COMPUTING", "Remembered", "decode_scores", "encode_scores"]

ANSWERS_VERSION = "3"  # raised whenever the code that computes answers changes what they are
# The libraries whose code computes answers in this process or in a worker's.
_CALLED = {
    "weights": "weights, tokenizer, template or adapter",
    "answers": "version of this program",
    "mark": "watermark",
}
COMPUTING = ("torch", "transformers", "tokenizers")
_NO_FLOATS = ("rank", "after")


def _plain(request: Generate | Pair) -> dict[str, Any]:
    """A request as plain data, without what no answer depends on."""
    if isinstance(request, Pair):
        return {"context": request.context, "continuation": request.continuation, "span": request.span}
    usual, sampling = Sampling(), request.sampling
    used = {
        name: getattr(sampling, name) for name in Sampling.__slots__ if getattr(sampling, name) != getattr(usual, name)
    }
    used |= {"mark": asdict(sampling.mark)} if sampling.mark else {}
    return {"prompt": asdict(request.prompt), "sampling": used, "raw": request.raw}


def encode_scores(scores: TokenScores) -> dict[str, list[float]]:
    """Scores as plain data; columns that were not computed are left out."""
    names = ("log_prob", "expected_log_prob", "log_prob_variance", "rank", "spike", "after")
    told = {name: getattr(scores, name) for name in names if getattr(scores, name) is not None}
    return {name: np.atleast_1d(value).tolist() for name, value in told.items()}


def decode_scores(data: dict[str, list[float]]) -> TokenScores:
    """The inverse of `encode_scores`, exact to the last bit."""
    columns = {name: np.array(values, dtype=np.float64) for name, values in data.items() if name not in _NO_FLOATS}
    return TokenScores(
        **columns,
        rank=np.array(data["rank"], dtype=np.int64) if "rank" in data else None,
        after=float(data["after"][0]) if "after" in data else None,
    )


def _encoded(reply: list[str] | TokenScores) -> str:
    return json.dumps(encode_scores(reply) if isinstance(reply, TokenScores) else reply)


def _decoded(text: str) -> Reply | None:
    """The reply that a text of the store says, or None where the text is damaged."""
    try:
        data = json.loads(text)
        if isinstance(data, dict):
            return decode_scores(data)
    except (ValueError, TypeError, KeyError):
        return None
    return data if isinstance(data, list) and all(isinstance(one, str) for one in data) else None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request is looked for: its key, its own digest and that of the batch it is computed in."""

    key: str
    request: str
    batch: str


class Remembered:
    """Wraps a model; same protocol.

    Args:
        model: the model that computes what is not known yet.
        store: where answers are kept.
        run: names the run within which answers of a model without a fingerprint are found again; without it they are
            found again by nobody.
        on_batch: called with the number of requests that were answered, after each batch.

    Attributes:
        identity: what shapes every answer beside the request and its batch, by name.
        computed: how many requests the model itself was asked.
    """

    def __init__(
        self, model: Model, store: Store, *, run: str = "", on_batch: Callable[[int], None] = lambda _: None
    ) -> None:
        self.model = model
        self.store = store
        self.on_batch = on_batch
        self.computed = 0
        device = str(getattr(model, "device", ""))
        versions = {name: importlib.metadata.version(name) for name in COMPUTING} if device else {}
        self.identity: dict[str, str] = {
            "weights": model.fingerprint or f"run:{run or uuid.uuid4().hex}:{model.name}",
            "device": str(getattr(model, "device_name", device)),
            "dtype": str(getattr(model, "dtype", "")),
            "answers": ANSWERS_VERSION,
        } | versions
        # A key that was missing before: answers of models without a mark are found again.
        if (mark := getattr(model, "watermark", None)) is not None:
            self.identity["mark"] = digest(repr(getattr(mark, "settings", None) or asdict(mark)))
        self._identity = digest(self.identity)

    name = property(lambda self: self.model.name)
    fingerprint = property(lambda self: self.model.fingerprint)
    batch_sensitive = property(lambda self: self.model.batch_sensitive)

    def read_of(self, request: Generate) -> str:
        """What of a prompt the wrapped model reads; all of it where it does not say."""
        reads = getattr(self.model, "read_of", None)
        return str(reads(request)) if reads else request.prompt.flat

    @property
    def record(self) -> TrainingRecord | None:
        """The training record of the wrapped model."""
        return self.model.record

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """The texts, remembered or written now.

        Raises:
            RuntimeError: a request failed; `attempt` tells which.
        """
        return written(self, requests)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores, remembered or computed now.

        Raises:
            RuntimeError: a request failed; `attempt` tells which.
        """
        return weighed(self, pairs, columns)

    def attempt(self, requests: Asked, columns: Columns = LOG_PROB) -> list[Reply]:
        """A reply to each request, in order; each new one is durable when its batch is done, failures are not kept.

        Of a batch that shapes its answers nothing is kept when one fails: the batch is computed again by the next run.
        """
        plan = planned(self.model, requests)
        places = self._places(requests, plan, columns)
        found = self.store.get({place.key for place in places})
        replies = {key: reply for key, text in found.items() if (reply := _decoded(text)) is not None}
        todo: list[list[int]] = []
        scheduled: set[str] = set()
        for indices in plan:
            lacking = {
                places[i].key: i for i in indices if places[i].key not in replies and places[i].key not in scheduled
            }
            scheduled |= lacking.keys()
            # Where a batch shapes its answers it is computed whole; elsewhere nothing is asked twice.
            todo += [indices if self.batch_sensitive else sorted(lacking.values())] if lacking else []
        self.on_batch(len(requests) - sum(map(len, todo)))
        for number, batch in answered(self.model, [[requests[i] for i in part] for part in todo], columns):  # type: ignore[misc]
            kept = {}
            for i, reply in zip(todo[number], batch, strict=True):
                replies[places[i].key] = reply
                if not isinstance(reply, Failed):
                    place = places[i]
                    kept[place.key] = Kept(place.key, place.request, place.batch, _encoded(reply))
            # Beside a failure the others were computed in smaller batches than the one that is part of their key.
            if not self.batch_sensitive or len(kept) == len({places[i].key for i in todo[number]}):
                self.store.put(self.identity, kept.values())
            self.computed += len(todo[number])
            self.on_batch(len(todo[number]))
        return [replies[place.key] for place in places]

    def _places(self, requests: Asked, plan: Sequence[Sequence[int]], columns: Columns) -> list[_Place]:
        rows = [
            digest(type(one).__name__, columns.value if isinstance(one, Pair) else 0, _plain(one)) for one in requests
        ]
        places: dict[int, _Place] = {}
        for indices in plan:
            batch = digest([rows[i] for i in indices]) if self.batch_sensitive else ""
            places |= {i: _Place(digest(self._identity, rows[i], batch), rows[i], batch) for i in indices}
        return [places[i] for i in range(len(requests))]

    def known(self, requests: Asked, columns: Columns = LOG_PROB) -> int:
        """How many of the requests the store can answer."""
        return sum(why == "" for why in self.explained(requests, columns))

    def explained(self, requests: Asked, columns: Columns = LOG_PROB) -> list[str]:
        """Why each request is not found in the store; "" where it is."""
        places = self._places(requests, planned(self.model, requests), columns)
        found = self.store.get({place.key for place in places})
        whole = {key for key, text in found.items() if _decoded(text) is not None}
        return ["" if place.key in whole else self._why(place, self.store.akin(place.request)) for place in places]

    def _why(self, place: _Place, akin: list[Akin]) -> str:
        if not akin:
            return "never asked of any model: its prompt, its sampling or the numbers that are wanted are new"
        if any(one.identity == self.identity for one in akin):
            return (
                "asked before, but among other requests (other cases, --limit, --seed or data), which shape last bits"
            )
        # The answer with the fewest differences tells most.
        candidates = [(self._differing(one.identity), one.identity) for one in akin]
        names, identity = min(candidates, key=lambda candidate: len(candidate[0]))
        return "asked before, but with " + ", ".join(
            f"other {_CALLED.get(name, name)} ({_short(identity.get(name, 'none'))}, now {_short(self.identity[name])})"
            for name in names
        )

    def _differing(self, identity: Mapping[str, str]) -> list[str]:
        return [name for name, value in self.identity.items() if identity.get(name) != value]


def _short(value: str) -> str:
    value = value or "none"
    return value if len(value) <= 24 else f"{value[:20]}..."
