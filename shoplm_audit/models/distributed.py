"""A model that a fleet answers for: Ray carries whole batches to workers, each of which holds the model.

with Fleet(engine_of("ray:10.0.0.1:6379")) as fleet:
    Distributed("/models/reviews-dp", fleet).score(pairs)     # the numbers of one process on one thread
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ConfigError, MachineError, ModelError
from shoplm_audit.models.asking import Asked, Reply, weighed, written
from shoplm_audit.models.fleet import LIMIT, Fleet, Lost, Seat
from shoplm_audit.models.worker import About, Order, Trouble, versions_here
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Generate, Pair, TokenScores

__all__ = ["Distributed"]

_DEATHS = 3  # so many workers may die on one batch, or one after another while they load
_AHEAD = 2  # batches with one worker: the one it computes, and the next


class Distributed:
    """A model that the workers of a fleet hold and that this process does not; same protocol.

    Batches are those of one process, so answers and store keys are too. A batch that is lost with its worker is done
    again, whole.

    Args:
        spec: what `load_model` takes; a folder has to lie under the same path on every machine.
        fleet: the workers.
        dtype: "float32", "bfloat16" or "float16"; None is float32 on a CPU and bfloat16 on a GPU.
        trust: allows pickled weights and code that comes with the model, on every machine.

    Raises:
        ConfigError: a SPEC whose answers come from elsewhere.
        ModelError: a machine cannot load the model, or two loaded different ones.
        MachineError: workers die while they load, or run other versions than this process.
    """

    def __init__(self, spec: str, fleet: Fleet, *, dtype: str | None = None, trust: bool = False) -> None:
        here = Path(spec).expanduser()
        if spec.startswith(("recorded:", "openai:")) and not here.exists():
            raise ConfigError(f'model "{spec}" is answered elsewhere already: leave out --engine ray.')
        self._fleet = fleet
        self._order = Order(os.path.abspath(here) if here.exists() else spec, fleet.device, dtype, trust)
        self._loading: dict[Any, Seat] = {}
        self._ready: set[Seat] = set()
        self._barren = 0
        self._cut: list[str] = []
        self._pattern: list[tuple[About, str]] = []  # the first that loads, and where; all others have to be like it
        while not self._pattern:
            self._next({})
        about, _ = self._pattern[0]
        self.name, self.fingerprint, self.batch_sensitive = about.name, about.fingerprint, about.batch_sensitive
        self.device, self.device_name, self.dtype = about.device, about.device_name, about.dtype
        self.parameters, self.context = about.parameters, about.context
        _, record = self._asked(lambda seat: seat.handle.record.remote(self._order))
        self.record: TrainingRecord | None = record

    @property
    def notes(self) -> list[str]:
        """What was cut to the model's context."""
        return list(self._cut)

    @property
    def usage(self) -> list[str]:
        """How many workers there are, and what was done again; no part of the result, which does not depend on it."""
        seats = self._seats()
        machines = len({seat.machine.partition(" (")[0] for seat in seats})
        told = f"Answered through Ray by {_counted(len(seats), 'worker')} on {_counted(machines, 'machine')}"
        lost = self._fleet.again
        again = f"; {_counted(lost, 'batch', 'es')} lost with a worker and done again" if lost else ""
        return [f"{told}{again}."]

    def plan(self, requests: Asked) -> list[list[int]]:
        """The batches in which one process would compute requests, as positions."""
        _, said = self._asked(lambda seat: seat.handle.plan.remote(self._order, requests))
        if isinstance(said, Trouble):
            raise said.error()
        self._cut = said.notes
        plan: list[list[int]] = said.plan
        return plan

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One text per request and sample, in order.

        Raises:
            RuntimeError: a request failed.
        """
        return written(self, requests)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of each pair, in order.

        Raises:
            RuntimeError: a request failed.
        """
        return weighed(self, pairs, columns)

    def answered(self, several: Sequence[Asked], columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Reply]]]:
        """(Number of the batch, a reply per request), as batches finish.

        Raises:
            Unsupported: the model cannot do what is asked.
            AuditError: the model refused, workers died on one batch again and again, or none is left.
        """
        todo = deque(range(len(several)))
        flying: dict[Any, tuple[Seat, int]] = {}  # in the order of sending, which is each worker's order of computing
        deaths: Counter[int] = Counter()
        struck: set[Seat] = set()
        lost: set[int] = set()
        given_up: MachineError | None = None
        stopped = False
        while flying or (todo and not stopped):
            if not stopped:
                self._send(several, columns, todo, flying, lost)
            reference = self._next(flying)
            if reference is None:
                continue
            seat, number = flying[reference]
            oldest = next(batch for other, batch in flying.values() if other is seat)
            del flying[reference]
            said = self._fleet.said(reference)
            if isinstance(said, Trouble):
                raise said.error()
            if not isinstance(said, Lost):
                yield number, said
                continue
            self._fleet.again += 1
            self._fleet.replace(seat)
            lost.add(number)
            # Of the batches that a worker had, the one it was at may have been its end: that one waits for all others.
            if number != oldest or seat in struck:
                todo.appendleft(number)
                continue
            struck.add(seat)
            todo.append(number)
            deaths[number] += 1
            if deaths[number] == _DEATHS:
                # One batch that kills is left, and all others are done; where a second kills too, it is the machine.
                stopped = given_up is not None
                todo.remove(number)
                given_up = given_up or MachineError(
                    f"{_DEATHS} workers died one after another on batch {number + 1} of {len(several)} "
                    f"({_counted(len(several[number]), 'request')}): {said.why} "
                    f"If memory is short, set {LIMIT} to fewer workers. What was done is kept."
                )
        if given_up:
            raise given_up

    def _send(
        self,
        several: Sequence[Asked],
        columns: Columns,
        todo: deque[int],
        flying: dict[Any, tuple[Seat, int]],
        lost: set[int],
    ) -> None:
        """Gives batches to those who have the fewest; one that was lost goes alone, so that its end is its own."""
        load: Counter[Seat] = Counter()
        for seat, number in flying.values():
            load[seat] += _AHEAD if number in lost else 1
        while todo and (seats := self._seats()):
            seat = min(seats, key=lambda seat: load[seat])
            takes = _AHEAD if todo[0] in lost else 1
            if load[seat] + takes > _AHEAD:
                return
            number = todo.popleft()
            flying[seat.handle.answer.remote(self._order, several[number], columns)] = (seat, number)
            load[seat] += takes

    def _seats(self) -> list[Seat]:
        """The workers that have loaded this model."""
        return [seat for seat in self._fleet.workers if seat in self._ready]

    def _asked(self, ask: Callable[[Seat], Any]) -> tuple[Seat, Any]:
        """What the first worker says that lives long enough, and which it was."""
        why = ""
        for _ in range(_DEATHS):
            while not (seats := self._seats()):
                self._next({})
            said = self._fleet.said(ask(seats[0]))
            if not isinstance(said, Lost):
                return seats[0], said
            why = said.why
            self._fleet.replace(seats[0])
        raise MachineError(f"{_DEATHS} workers died one after another on one question: {why} What was done is kept.")

    def _next(self, flying: dict[Any, tuple[Seat, int]]) -> Any:
        """The next batch that comes back, or None where another thing happened: a worker has loaded, say."""
        for seat in self._fleet.workers:
            if seat not in self._ready and seat not in self._loading.values():
                self._loading[seat.handle.load.remote(self._order)] = seat
        reference = self._fleet.first([*flying, *self._loading])
        if reference is None or reference in flying:
            return reference
        self._loaded(self._loading.pop(reference), self._fleet.said(reference))
        return None

    def _loaded(self, seat: Seat, said: About | Trouble | Lost) -> None:
        if isinstance(said, Lost):
            self._barren += self._fleet.replace(seat, by_another=self._barren + 1 < _DEATHS)
            if not self._fleet.workers:
                raise MachineError(
                    f'workers die while they load "{self._order.spec}": {said.why} '
                    f"If memory is short, set {LIMIT} to fewer workers."
                )
            return
        if isinstance(said, Trouble):
            raise said.error(f" (told by {seat.machine}).")
        self._compare(said, seat.machine)
        self._barren = 0
        self._ready.add(seat)

    def _compare(self, about: About, machine: str) -> None:
        """Refuses a worker whose answers could differ from those of this process or of the first worker."""
        for name, version in versions_here().items():
            if about.versions[name] != version:
                raise MachineError(
                    f"{machine} has {name} {about.versions[name]}, this process {version}, and answers would differ. "
                    "Install the same versions everywhere."
                )
        self._pattern = self._pattern or [(about, machine)]
        first, where = self._pattern[0]
        for what in ("fingerprint", "device", "dtype"):
            mine, others = getattr(about, what), getattr(first, what)
            if mine != others:
                raise ModelError(
                    f'{self._order.spec}: {machine} has another model than {where}: its {what} is "{mine}", not '
                    f'"{others}". Put the same files on every machine.'
                )


def _counted(number: int, what: str, ending: str = "s") -> str:
    return f"{number} {what}{ending if number != 1 else ''}"
