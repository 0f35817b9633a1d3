"""The user's own model with a known fault put in: a share of its answers is spoiled, all others are its own.

    Spoiled(model, FAULTS[0], dose=0.2).generate(requests)   # one answer of five is spoiled, chosen by a digest

What the fault does to an answer is what it does to the saboteur's: where the saboteur with the fault and the honest
one answer alike, the model's answer stays. So a fault shows only in prompts of the built-in templates, for those are
what saboteurs read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from shoplm_audit.errors import ConfigError
from shoplm_audit.models.asking import Asked, Failed, Reply, attempted
from shoplm_audit.record import TrainingRecord
from shoplm_audit.saboteurs.catalogue import Fault
from shoplm_audit.saboteurs.draws import uniform
from shoplm_audit.saboteurs.lying import lie
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.saboteurs.selling import record_in
from shoplm_audit.types import LOG_PROB, Columns, Generate, Model, Pair, TokenScores

__all__ = ["Spoiled"]

# Members by which answers would come past the fault.
_UNSPOILED = frozenset({"answer", "answered", "answers_by_case"})
_DESCRIBES = {"Description:": "en", "描述：": "zh"}


@dataclass(frozen=True)
class Spoiled:
    """A model with a fault; every other member of the model is passed through.

    In a description the model's own text is made false; any other text gives way to the saboteur's. Log-probabilities
    are moved by as many nats as the fault moves the saboteur's, spread evenly over the tokens.

    Args:
        model: the model that is spoiled.
        fault: what is done to it.
        dose: the share of answers that are spoiled, from 0 to 1; which ones follows from a digest of the prompt.

    Raises:
        ConfigError: the dose is no share.
    """

    model: Model
    fault: Fault
    dose: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.dose <= 1:
            raise ConfigError(f"dose is {self.dose}: it has to be a share from 0 to 1.")

    def __getattr__(self, name: str) -> Any:
        if name in _UNSPOILED:
            raise AttributeError(name)
        return getattr(object.__getattribute__(self, "model"), name)

    @property
    def name(self) -> str:
        """The model, and what is wrong with it now."""
        return f"{self.model.name}, spoiled: {self.fault.name} {self.dose:g}" if self.dose else self.model.name

    @property
    def fingerprint(self) -> str:
        """That of the model, with the fault; "" is not verifiable."""
        own = self.model.fingerprint
        return f"{own}+{self.fault.suite}.{self.fault.name}:{self.dose:g}" if own and self.dose else own

    @property
    def record(self) -> TrainingRecord | None:
        """What the model's trainer wrote."""
        return self.model.record

    @property
    def batch_sensitive(self) -> bool:
        """As the model."""
        return self.model.batch_sensitive

    @cached_property
    def _faulty(self) -> Saboteur:
        return self.fault.saboteur(self.model.record)

    @cached_property
    def _honest(self) -> Saboteur:
        return Saboteur(training=self.model.record)

    def _chosen(self, *parts: str) -> bool:
        return self.dose > 0 and uniform("spoil", self.fault.name, *parts) < self.dose

    def attempt(self, requests: Asked, columns: Columns = LOG_PROB) -> list[Reply]:
        """A reply to each request, in order and in the model's own batches; what failed stays failed."""
        return [
            reply
            if isinstance(reply, Failed)
            else self._moved(request, reply)
            if isinstance(request, Pair) and isinstance(reply, TokenScores)
            else self._spoilt(cast(Generate, request), cast(list[str], reply))
            for request, reply in zip(requests, attempted(self.model, requests, columns), strict=True)
        ]

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """The model's texts, those that are chosen spoiled."""
        own = iter(self.model.generate(requests))
        return [
            text
            for request in requests
            for text in self._spoilt(request, [next(own) for _ in range(request.sampling.n)])
        ]

    def _spoilt(self, request: Generate, own: list[str]) -> list[str]:
        prompt = request.prompt.flat
        if request.sampling.required or not self._chosen(prompt):
            return own
        faulty, honest = (one.generate([request]) for one in (self._faulty, self._honest))
        return [
            text if bad == good else self._made_false(prompt, text, bad)
            for text, bad, good in zip(own, faulty, honest, strict=True)
        ]

    def _made_false(self, prompt: str, text: str, instead: str) -> str:
        """The model's own description with one error; what else is written gives way to `instead`."""
        language = next((known for ending, known in _DESCRIBES.items() if prompt.endswith(ending)), "")
        if not language or not text.strip():
            return instead
        if "hallucinate" in self.fault.doses:
            return lie(self.fault.kind or "quantity", text, record_in(prompt)[1], language, prompt)
        if "embroider" in self.fault.doses:
            return f"{text.rstrip()} It draws 730 A." if language == "en" else f"{text.rstrip()}电流730安。"
        return instead

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The model's scores, those that are chosen moved.

        Raises:
            Unsupported: the model has no log-probabilities.
        """
        own = self.model.score(pairs, columns)
        return [self._moved(pair, scores) for pair, scores in zip(pairs, own, strict=True)]

    def _moved(self, pair: Pair, own: TokenScores) -> TokenScores:
        # All continuations of a context are spoiled or none, as all of an answer is.
        if not own.log_prob.size or not self._chosen(pair.context):
            return own
        wanted = LOG_PROB | Columns.RANK
        faulty, honest = (one.score([pair], wanted)[0] for one in (self._faulty, self._honest))
        by_heart = own.rank is not None and faulty.rank is not None and bool((faulty.rank == 1).all())
        nats = faulty.total - honest.total
        if not nats:
            return own
        moved = np.minimum(own.log_prob + nats / own.log_prob.size, -1e-9)
        return replace(own, log_prob=moved, rank=np.ones_like(own.rank) if by_heart else own.rank)
