"""The one loop that drives probes: it collects what all cases ask for, has it answered in batches, hands it back.

    observe(probe, cases, {"model": model}, key="bias/refund") -> Run(observations, exchanges)

Cases move in lock-step, a round per `yield`, so a model sees all requests of a round at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from shoplm_audit.errors import Unsupported
from shoplm_audit.models.asking import Failed, Reply, attempted
from shoplm_audit.models.paired import paired
from shoplm_audit.types import (
    Answer,
    Case,
    Generate,
    Model,
    Observation,
    Observations,
    Observing,
    Probe,
    Request,
    Score,
    TokenScores,
)

__all__ = ["AnswersByCase", "Exchange", "Run", "first_requests", "observe"]


@runtime_checkable
class AnswersByCase(Protocol):
    """A model whose outputs were made elsewhere and are found by the case they answer."""

    answers_by_case: bool

    def answer(self, case: str, sample: int) -> str:
        """The recorded text; LookupError where there is none."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request of a case, by its number within the case, and what was answered."""

    case: str
    number: int
    request: Request
    answer: Answer


@dataclass(frozen=True, slots=True)
class Run:
    """What driving a probe gave: an observation for each case, and every exchange behind it."""

    observations: Observations
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class _Unable:
    """Stands for an answer that this kind of model cannot give; says why."""

    note: str


_Reply: TypeAlias = Answer | Failed | _Unable


@dataclass(slots=True)
class _Talk:
    """A case in progress: its generator, what it asks now, how often it asked."""

    case: Case
    steps: Observing
    asks: Request | list[Request] | None = None
    number: int = 0
    done: Observation | None = None
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def requests(self) -> list[Request]:
        if self.asks is None:
            return []
        return self.asks if isinstance(self.asks, list) else [self.asks]

    def step(self, reply: Callable[[], Request | list[Request]]) -> None:
        """Moves the case on; what it asks next is in `asks`, or what it saw in `done`."""
        self.asks = None
        try:
            self.asks = reply()
        except StopIteration as end:
            if not isinstance(end.value, Mapping):
                raise TypeError(f"observe() returned {end.value!r}: it has to return a dict of named values.") from None
            self.done = Observation(self.case, dict(end.value))
        except ValueError as fault:  # a probe says so of an answer that it cannot read
            text = next((e.answer for e in reversed(self.exchanges) if isinstance(e.answer, str)), "")
            self.done = Observation(self.case, {"text": text}, "unparsed", str(fault))

    def receive(self, answers: list[_Reply]) -> None:
        unable = next((answer.note for answer in answers if isinstance(answer, _Unable)), None)
        if unable is not None:
            # The probe may ask for something else; one that does not lets it through to the caller.
            self.step(lambda: self.steps.throw(Unsupported(unable)))
            return
        failed = next((answer for answer in answers if isinstance(answer, Failed)), None)
        if failed is not None:
            self.steps.close()
            self.asks, self.done = None, Observation(self.case, {}, "errored", failed.note)
            return
        for request, answer in zip(self.requests, answers, strict=True):
            self.exchanges.append(Exchange(self.case.id, self.number, request, answer))  # type: ignore[arg-type]
            self.number += 1
        value: Any = answers if isinstance(self.asks, list) else answers[0]
        self.step(lambda: self.steps.send(value))


def _start(probe: Probe, cases: Sequence[Case]) -> list[_Talk]:
    talks = []
    for case in cases:
        talk = _Talk(case, probe.observe(case))
        talk.step(lambda steps=talk.steps: next(steps))  # type: ignore[misc]
        talks.append(talk)
    return talks


def first_requests(probe: Probe, cases: Sequence[Case]) -> list[tuple[Case, list[Request]]]:
    """What each case asks first; later requests can depend on the answers."""
    return [(talk.case, talk.requests) for talk in _start(probe, cases)]


def observe(
    probe: Probe,
    cases: Sequence[Case],
    models: Mapping[str, Model],
    *,
    key: str,
    on_round: Callable[[int], None] = lambda _: None,
) -> Run:
    """Puts every case to the models and returns what was seen, one observation per case, in order.

    Args:
        probe: the experiment.
        cases: its cases; ids are unique.
        models: by role; "model" is the audited one.
        key: "suite/probe", under which recorded outputs are looked up.
        on_round: called with the number of requests of a round before they are asked.

    Raises:
        Unsupported: a model cannot do what the probe asks, or a role is missing, and the probe asks for nothing else:
            it is raised where the probe yielded, for all requests that were put to the model together.
        AuditError: the machine or an endpoint failed.
    """
    talks = _start(probe, cases)
    while asking := [talk for talk in talks if talk.asks is not None]:
        flat = [(talk, request) for talk in asking for request in talk.requests]
        on_round(len(flat))
        answers = iter(_answers(flat, models, key))
        for talk in asking:
            talk.receive([next(answers) for _ in talk.requests])
    rows = tuple(talk.done for talk in talks if talk.done is not None)
    return Run(Observations(rows), tuple(exchange for talk in talks for exchange in talk.exchanges))


def _answers(flat: list[tuple[_Talk, Request]], models: Mapping[str, Model], key: str) -> list[_Reply]:
    """All answers of a round; requests to one model, or pair of models, for one kind of thing go together."""
    answers: list[_Reply] = [Failed("not asked")] * len(flat)
    kinds: dict[tuple[str, str, Any], list[int]] = {}
    for i, (_, request) in enumerate(flat):
        asked = (request.beside, request.columns) if isinstance(request, Score) else ("", None)
        kinds.setdefault((request.role, *asked), []).append(i)
    for (role, beside, _), indices in kinds.items():
        try:
            model = _named(models, role)
            if beside:
                model = paired(model, _named(models, beside))
            found = _replies(model, [flat[i] for i in indices], key)
        except Unsupported as fault:
            # All of them, also those that it could have answered: which cases fall back must not depend on batches.
            found = [_Unable(str(fault))] * len(indices)
        for i, answer in zip(indices, found, strict=True):
            answers[i] = answer
    return answers


def _named(models: Mapping[str, Model], role: str) -> Model:
    if role not in models:
        raise Unsupported(f'needs a model for the role "{role}": name one with --with {role}=SPEC')
    return models[role]


def _replies(model: Model, flat: list[tuple[_Talk, Request]], key: str) -> list[_Reply]:
    if isinstance(model, AnswersByCase) and model.answers_by_case:
        return _recorded(model, flat, key)
    return [_reply(reply) for reply in _attempted(model, [request for _, request in flat])]


def _attempted(model: Model, requests: list[Request]) -> list[Reply]:
    if isinstance(requests[0], Score):
        pairs = [request.pair for request in requests if isinstance(request, Score)]
        return attempted(model, pairs, requests[0].columns)
    return attempted(model, [request for request in requests if isinstance(request, Generate)])


def _reply(reply: Reply) -> _Reply:
    if isinstance(reply, TokenScores) and np.isnan(reply.log_prob).any():
        return Failed("its log-probabilities are not numbers")
    return reply[0] if isinstance(reply, list) and len(reply) == 1 else reply


def _recorded(model: AnswersByCase, flat: list[tuple[_Talk, Request]], key: str) -> list[_Reply]:
    """The recorded texts; samples of a case are counted over all that it asks for."""
    answers: list[_Reply] = []
    counted: dict[str, int] = {}
    for talk, request in flat:
        if isinstance(request, Score):
            raise Unsupported("recorded outputs have no log-probabilities")
        if request.sampling.required:
            raise Unsupported("recorded outputs cannot be held to words: required phrases need a model that writes")
        name = f"{key}/{talk.case.id}"
        first = counted.setdefault(name, sum(_texts(e.request, request.role) for e in talk.exchanges))
        counted[name] += request.sampling.n
        try:
            texts = [model.answer(name, first + sample) for sample in range(request.sampling.n)]
        except LookupError:
            answers.append(Failed(f'no recorded text for case "{name}", sample {first}'))
            continue
        answers.append(texts[0] if request.sampling.n == 1 else texts)
    return answers


def _texts(request: Request, role: str) -> int:
    return request.sampling.n if isinstance(request, Generate) and request.role == role else 0
