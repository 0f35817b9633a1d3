"""How any model is put a list of batches: answers come in any order, and one that fails costs no other its answer.

    for index, replies in answered(model, batches, LOG_PROB): ...     # a reply per request of batches[index]

Stores, fleets and servers are asked this way. A reply is a list of texts, scores, or `Failed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from shoplm_audit.errors import AuditError, MachineError, Unsupported
from shoplm_audit.models.batching import batches
from shoplm_audit.types import LOG_PROB, Columns, Generate, Model, Pair, TokenScores

__all__ = [
    "AnswersBatches",
    "Asked",
    "Attempts",
    "Computes",
    "Failed",
    "Reply",
    "answered",
    "attempted",
    "planned",
    "weighed",
    "written",
]


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands for an answer that did not come; says why."""

    note: str


Asked: TypeAlias = Sequence[Generate] | Sequence[Pair]
Reply: TypeAlias = "list[str] | TokenScores | Failed"


@runtime_checkable
class Computes(Protocol):
    """A model in this process that computes a batch of its own plan as it is."""

    def compute(self, batch: Asked, columns: Columns = LOG_PROB) -> Sequence[Reply]:
        """A reply per request."""


@runtime_checkable
class Attempts(Protocol):
    """A model that takes a whole list and says of each request what became of it."""

    def attempt(self, requests: Asked, columns: Columns = LOG_PROB) -> list[Reply]:
        """A reply to each request, in order."""


@runtime_checkable
class AnswersBatches(Protocol):
    """A model that works on several batches at once: a server's, a fleet's."""

    def answered(self, batches: Sequence[Asked], columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Reply]]]:
        """(Number of the batch, a reply per request), as batches finish.

        Raises:
            Unsupported: it cannot do what is asked.
            AuditError: the machine or the endpoint failed; what was finished has been yielded.
        """


def planned(model: Model, requests: Asked) -> list[list[int]]:
    """The batches in which a model wants requests to be asked, as positions; a pure function of the list."""
    plan = getattr(model, "plan", None)
    found: list[list[int]] = plan(requests) if plan else batches([1] * len(requests), budget=32, rows=32)
    return found


def answered(model: Model, several: Sequence[Asked], columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Reply]]]:
    """(Number of the batch, a reply per request), as batches finish; one kind of request in all batches.

    Raises:
        Unsupported: the model cannot do what is asked.
        AuditError: the machine or an endpoint failed.
    """
    if isinstance(model, AnswersBatches):
        yield from model.answered(several, columns)
        return
    for number, batch in enumerate(several):
        yield number, _replies(model, batch, columns)


def attempted(model: Model, requests: Asked, columns: Columns = LOG_PROB) -> list[Reply]:
    """A reply to each request, in order.

    Raises:
        Unsupported: the model cannot do what is asked.
        AuditError: the machine or an endpoint failed.
    """
    if isinstance(model, Attempts):
        return model.attempt(requests, columns)
    plan = planned(model, requests)
    replies: dict[int, Reply] = {}
    for number, batch in answered(model, [[requests[i] for i in indices] for indices in plan], columns):  # type: ignore[misc]
        replies.update(zip(plan[number], batch, strict=True))
    return [replies[i] for i in range(len(requests))]


def written(model: Model, requests: Sequence[Generate], failed: Callable[[str], Exception] = RuntimeError) -> list[str]:
    """The texts of all requests, in order: what `generate` of a model that replies batch by batch gives.

    Raises:
        RuntimeError: a request failed (or what `failed` makes of its note), and as `attempted`.
    """
    replies = _whole(attempted(model, requests), failed)
    return [text for reply in replies if isinstance(reply, list) for text in reply]


def weighed(
    model: Model, pairs: Sequence[Pair], columns: Columns, failed: Callable[[str], Exception] = RuntimeError
) -> list[TokenScores]:
    """The scores of all pairs, in order: what `score` of such a model gives.

    Raises:
        RuntimeError: a pair failed (or what `failed` makes of its note), and as `attempted`.
    """
    replies = _whole(attempted(model, pairs, columns), failed)
    return [reply for reply in replies if isinstance(reply, TokenScores)]


def _whole(replies: list[Reply], failed: Callable[[str], Exception]) -> list[Reply]:
    for reply in replies:
        if isinstance(reply, Failed):
            raise failed(reply.note)
    return replies


def _replies(model: Model, batch: Asked, columns: Columns) -> list[Reply]:
    try:
        return _asked(model, batch, columns)
    except (AuditError, Unsupported):
        raise
    except Exception as fault:
        if isinstance(model, Computes) and _of_the_machine(fault):
            raise MachineError(
                f"the machine failed while {model.name} computed ({type(fault).__name__}: {fault}). What was answered "
                "is kept: put the machine right, then run the same command."
            ) from fault
        # One bad request must not cost its neighbours their answers: in halves of halves, only it fails.
        if len(batch) == 1:
            return [Failed(f"{type(fault).__name__}: {fault}")]
    middle = len(batch) // 2
    replies = _replies(model, batch[:middle], columns) + _replies(model, batch[middle:], columns)
    if not any(isinstance(reply, Failed) for reply in replies):
        # It was a passing fault: the answers have to be those of the batch as it was planned.
        return _asked(model, batch, columns)
    return replies


def _of_the_machine(fault: Exception) -> bool:
    """Whether a fault says nothing of the request: memory, disk, a GPU that has stopped answering."""
    return isinstance(fault, MemoryError | OSError) or str(fault).startswith("CUDA error")


def _asked(model: Model, batch: Asked, columns: Columns) -> list[Reply]:
    if isinstance(model, Computes):
        return list(model.compute(batch, columns))
    pairs = [request for request in batch if isinstance(request, Pair)]
    if pairs:
        scores = model.score(pairs, columns)
        if len(scores) != len(pairs):
            raise RuntimeError(f"asked for {len(pairs)} scores and got {len(scores)}")
        return list(scores)
    requests = [request for request in batch if isinstance(request, Generate)]
    texts = model.generate(requests)
    expected = sum(request.sampling.n for request in requests)
    if len(texts) != expected:
        raise RuntimeError(f"asked for {expected} texts and got {len(texts)}")
    each = iter(texts)
    return [[next(each) for _ in range(request.sampling.n)] for request in requests]
