"""The probes of an audit are put to its models: each as a whole, or by turns in random blocks until a time is up.

    sittings = sittings_of(suites, material, scope)
    observe_all(sittings, {"model": model}, progress)
    sittings[0].observations.numbers("contradicted")

Without a limit of time a block is all cases of a probe, so that as many requests as can be share their beginnings.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from shoplm_audit.data.records import Record
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.errors import ConfigError, Unsupported
from shoplm_audit.probes.blocks import blocks_of
from shoplm_audit.probes.driving import Exchange, observe
from shoplm_audit.prompts import Prompts
from shoplm_audit.types import Case, Generate, Material, Metric, Model, Observation, Observations, Probe, Prompt, Suite

__all__ = ["Progress", "Quiet", "Sitting", "cases_of", "failed_trials", "material_of", "observe_all", "sittings_of"]

# What `Probe.must_read` says where all that is asked has to be read.
EVERYTHING = "everything"
# A run that may stop early asks a probe in about so many blocks, none smaller than that many cases.
_BLOCKS, _SMALLEST = 20, 8


class Progress(Protocol):
    """Is told how an audit moves on."""

    def begin(self, suite: str, probe: str, cases: int) -> None:
        """A probe begins."""

    def asking(self, requests: int) -> None:
        """A round of so many requests begins."""

    def answered(self, requests: int) -> None:
        """So many were answered."""


class Quiet:
    """Progress that nobody watches."""

    def begin(self, suite: str, probe: str, cases: int) -> None:
        """Says nothing."""

    def asking(self, requests: int) -> None:
        """Says nothing."""

    def answered(self, requests: int) -> None:
        """Says nothing."""


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """The tokenizer of a model on this machine, as suites see it."""

    encoder: Any

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.encoder.ids(text)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.encoder.decoded(ids))

    def read(self, prompt: Prompt) -> str:
        return str(self.encoder.rendered(Generate(prompt)))


def material_of(
    models: Mapping[str, Model], data: Mapping[str, Sequence[Record]], prompts: Prompts, seed: int, limit: int | None
) -> Material:
    """What the cases of an audit are made of.

    Args:
        models: by role; "model" is the audited one, if it is at hand.
        data: the user's own records by kind.
        prompts: the templates.
        seed: of the audit.
        limit: the most cases of a probe.
    """
    audited = models.get("model")
    audited = getattr(audited, "model", audited)  # the one inside, of a model that is remembered
    encoder = getattr(audited, "encoder", None)
    return Material(
        prompts.render,
        ShopRecords(data, seed),
        frozenset(data),
        audited.record if audited is not None else None,
        seed,
        limit,
        {role: one.record for role, one in models.items() if role != "model"},
        _Tokenizer(encoder) if encoder is not None else None,
        frozenset(models) - {"model"},
        getattr(audited, "finder", None),
    )


def cases_of(probe: Probe, material: Material) -> list[Case]:
    """The cases of a probe.

    Raises:
        Unsupported: there is nothing to make cases of, with the reason.
        ConfigError: two cases have one id.
    """
    cases = probe.cases_of(material)
    if not cases:
        raise Unsupported("no cases could be made from the data at hand")
    ids = [case.id for case in cases]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise ConfigError(f'probe "{probe.name}": two cases have the id "{twice}".')
    return cases


@dataclass(slots=True)
class Sitting:
    """One probe of an audit: its cases, and what was seen of them so far.

    Attributes:
        reason: why it could not be put to the model, or "".
        left: the blocks of cases that were not asked yet, as positions.
        unread: in how many cases the model's context cut off what the probe says it must have read.
        planned: how many cases there were to ask.
    """

    suite: str
    probe: Probe
    cases: Sequence[Case] = ()
    reason: str = ""
    left: list[list[int]] = field(default_factory=list)
    unread: int = 0
    planned: int = 0
    _rows: dict[int, Observation] = field(default_factory=dict)
    _exchanges: dict[int, list[Exchange]] = field(default_factory=dict)

    @classmethod
    def seen(cls, suite: str, probe: Probe, rows: Sequence[Observation], unread: int, planned: int) -> Sitting:
        """A probe that was asked in an earlier run, with what was seen then."""
        cases = [row.case for row in rows]
        return cls(suite, probe, cases, unread=unread, planned=planned, _rows=dict(enumerate(rows)))

    @property
    def observations(self) -> Observations:
        """What was seen, in the order of the cases."""
        return Observations(tuple(self._rows[position] for position in sorted(self._rows)))

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was asked and answered, in the order of the cases."""
        return tuple(one for position in sorted(self._exchanges) for one in self._exchanges[position])

    def sit(self, models: Mapping[str, Model], progress: Progress) -> None:
        """Asks the next block."""
        block = self.left.pop(0)
        progress.begin(self.suite, self.probe.name, len(block))
        cases = [self.cases[position] for position in block]
        try:
            run = observe(self.probe, cases, models, key=f"{self.suite}/{self.probe.name}", on_round=progress.asking)
        except Unsupported as fault:
            self.reason = str(fault)
            self.left.clear()
            self._rows.clear()
            self._exchanges.clear()
            return
        if self.probe.must_read:
            self.unread += sum(_cut_off(exchange, self.probe.must_read, cases, models) for exchange in run.exchanges)
        self._rows |= dict(zip(block, run.observations, strict=True))
        positions = {self.cases[position].id: position for position in block}
        for exchange in run.exchanges:
            self._exchanges.setdefault(positions[exchange.case], []).append(exchange)


def _cut_off(exchange: Exchange, fact: str, cases: Sequence[Case], models: Mapping[str, Model]) -> bool:
    """Whether a fact that stands in a prompt, or anything of what is asked, is not in what the model read of it."""
    request = exchange.request
    model = models.get(request.role)
    if not isinstance(request, Generate):
        fits = getattr(getattr(model, "model", model), "fits", None)
        return fact == EVERYTHING and fits is not None and not fits(request.pair)
    reads = getattr(model, "read_of", None)
    if reads is None:
        return False
    case = next(case for case in cases if case.id == exchange.case)
    # Decoding what was read may change blanks.
    wanted = request.prompt.turns[-1].text if fact == EVERYTHING else case.of(fact)
    wanted, read = ("".join(text.split()) for text in (wanted, reads(request)))
    return wanted not in read


def failed_trials(sitting: Sitting, metric: Metric, seed: int) -> dict[str, str]:
    """In which languages a metric failed its own test on the cases' references, and how."""
    if metric.trial is None:
        return {}
    failures, cases = {}, [row.case for row in sitting.observations]
    for language in sorted({case.language for case in cases}):
        rng = np.random.default_rng([seed, zlib.crc32(f"{metric.name}/{language}".encode())])
        if failure := metric.trial([case for case in cases if case.language == language], rng):
            failures[language] = failure
    return failures


def sittings_of(
    suites: Sequence[Suite], material: Material, scope: Mapping[str, str], *, limited: bool
) -> list[Sitting]:
    """The probes of the suites with their cases; what is out of scope or has no cases says why.

    Args:
        suites: the suites.
        material: what cases are made of; its seed decides the blocks.
        scope: what is not applicable, by suite or "suite.probe", with the reason.
        limited: whether the audit may stop early: then cases come in random blocks.
    """
    sittings = []
    for suite in suites:
        for probe in suite.probes:
            reason = scope.get(f"{suite.name}.{probe.name}", scope.get(suite.name))
            cases: list[Case] = []
            if reason is None:
                try:
                    cases = cases_of(probe, material)
                except Unsupported as fault:
                    reason = str(fault)
            blocks = [list(range(len(cases)))] if cases else []
            if limited and cases:
                rng = np.random.default_rng([material.seed, zlib.crc32(f"{suite.name}/{probe.name}".encode())])
                blocks = blocks_of(cases, rng, max(_SMALLEST, len(cases) // _BLOCKS))
            sittings.append(Sitting(suite.name, probe, cases, reason or "", blocks, planned=len(cases)))
    return sittings


def observe_all(
    sittings: Sequence[Sitting],
    models: Mapping[str, Model],
    progress: Progress,
    *,
    seconds: float | None = None,
    done: Callable[[Sitting], bool] = lambda _: False,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Asks block after block, the probes by turns, until all are asked or the time is up; False if it was up.

    The clock is looked at between blocks only, and never at answers. Blocks are drawn at random, so what was left out
    is a matter of chance, but for long answers that take long.

    Args:
        sittings: the probes.
        models: by role.
        progress: is told how it moves on.
        seconds: after which no block is begun.
        done: whether what is left of a probe is not needed; it is looked at after each of its blocks.
        clock: in seconds.

    Raises:
        AuditError: the machine or an endpoint failed.
    """
    began = clock()
    while any(sitting.left for sitting in sittings):
        for sitting in sittings:
            if not sitting.left:
                continue
            if seconds is not None and clock() - began >= seconds:
                for one in sittings:
                    if one.left and not one.observations.rows:
                        one.reason = "the time of --budget was up before it began"
                return False
            sitting.sit(models, progress)
            if done(sitting):
                sitting.left.clear()
    return True
