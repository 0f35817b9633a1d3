"""One endpoint: sends many requests at once, no faster than it bears, and tells a bad request from a bad endpoint.

Endpoint("http://127.0.0.1:8000/v1", RemoteSettings()).replies([Call("chat", body, read)]) -> (0, "A navy kettle.")

One thread decides everything (when to send, what to send again, when to stop), so nothing here needs a lock; other
threads do one exchange each.
"""

from __future__ import annotations

import heapq
import json
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from shoplm_audit.errors import AuditError, ConfigError, MachineError, ModelError, Unsupported
from shoplm_audit.models.asking import Failed
from shoplm_audit.models.exchange import KEYS, Exchange, Outcome, Refusal

__all__ = ["Call", "Endpoint", "Garbled", "RemoteSettings"]

_FIRST_WIDTH = 4
_LONGEST_PAUSE = 30.0
_STRANGERS = 5  # so many refused before a first answer: the server means all of them
# Passing faults: request timeout, conflict, too early, too many requests; and whatever is the server's own (5xx).
_PASSING = (408, 409, 425, 429)
_NO_SUCH_ROUTE = (404, 405, 501)
_OVERLOADED = (429, 503, 529)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """How an endpoint is asked, and how much patience it is given.

    Args:
        max_requests: the most HTTP requests that are sent to one model, repeated ones included; None is no bound.
        reuse: answers are found again by URL and model name in later runs, though nobody can tell whether the weights
            behind the name are still the same.
        concurrency: the most requests at once; it begins at 4 and adapts.
        attempts: how often one request is sent before it is given up.
        timeout: seconds for one connection or answer.
        backoff: seconds before the second attempt, doubled for each further one up to 30, with jitter.
        patience: seconds without any answer, and the longest `Retry-After`, after which the endpoint counts as down.
        failures: so many requests given up in a row, with no answer between, mean the same.

    Raises:
        ConfigError: a value out of its range, named.
    """

    max_requests: int | None = None
    reuse: bool = False
    concurrency: int = 64
    attempts: int = 6
    timeout: float = 120.0
    backoff: float = 0.5
    patience: float = 600.0
    failures: int = 8

    def __post_init__(self) -> None:
        for name in ("max_requests", "concurrency", "attempts", "failures"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} of a remote model is {value}: it has to be at least 1.")
        for name in ("timeout", "patience"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} of a remote model is {getattr(self, name)}: it has to be above 0.")


class Garbled(ValueError):
    """An answer that came and cannot be read; it is asked for again."""


class Call(Protocol):
    """One request to an endpoint; `route` says at which of its two doors."""

    @property
    def route(self) -> Literal["chat", "completions"]:
        """Where it goes: "chat" takes messages, "completions" a text."""

    def arguments(self) -> dict[str, Any]:
        """What is sent, asked for each time it is."""

    def read(self, data: Any) -> Any:
        """The reply in the JSON that came; raises `Garbled`, or `Unsupported` for a wish that the server ignored."""

    def refused(self, refusal: Refusal) -> bool:
        """Told of a refusal; True sends the call again, with new arguments. May raise `Unsupported`."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """A request under way: its call, its attempt, and when it left."""

    number: int
    attempt: int
    left: float


@dataclass(slots=True)
class _Work:
    """The calls of one round: not sent yet, waiting to be sent again (not before, number, attempt), under way."""

    calls: Sequence[Call]
    fresh: deque[int]
    waiting: list[tuple[float, int, int]] = field(default_factory=list)
    flying: dict[int, _Flight] = field(default_factory=dict)
    outcomes: queue.SimpleQueue[tuple[int, Outcome]] = field(default_factory=queue.SimpleQueue)

    def next_time(self, width: int) -> float:
        """When the next one may leave. One that waits keeps its place, so a dead server is not sent all calls once."""
        if len(self.flying) >= width:
            return math.inf
        if self.fresh and len(self.flying) + len(self.waiting) < width:
            return 0.0
        return self.waiting[0][0] if self.waiting else math.inf

    def take(self, now: float) -> tuple[int, int]:
        """(Number, attempt) of the one whose time has come."""
        if self.waiting and (self.waiting[0][0] <= now or not self.fresh):
            return heapq.heappop(self.waiting)[1:]
        return self.fresh.popleft(), 1


class _Again(Exception):
    """The same request may succeed later."""


class Endpoint:
    """An OpenAI-compatible server and what is known of its state.

    Attributes:
        url, model: where, and whom there.
        sent: HTTP requests so far, repeated ones included.
        again: how many of them were repetitions.
        refused: requests that the server did not take; `refusal` is the reason of the first.
        given_up: requests that brought no answer in all attempts; `trouble` is the reason of the first.

    Raises:
        ModelError: the URL is none, or holds a password; the package `openai` is missing; the key cannot be sent.
    """

    def __init__(self, url: str, model: str, settings: RemoteSettings) -> None:
        self._exchange, self._settings = Exchange(url, model, settings.timeout), settings
        self.url, self.model = self._exchange.url, model
        self.sent = self.again = self.answered = self.refused = self.given_up = 0
        self.refusal = self.trouble = ""
        self._jitter = np.random.default_rng(0)
        self._width = float(min(_FIRST_WIDTH, settings.concurrency))
        self._narrowed = 0.0  # what left before the last halving belongs to the same burst
        self._hold = 0.0
        self._alive, self._in_row, self._heard = False, 0, 0.0

    def replies(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """(Number of the call, its reply or `Failed`) as answers come.

        Raises:
            ModelError: the server does not know the key or the model.
            Unsupported: a call's `read` or `refused` said so.
            MachineError: the endpoint is down, or `max_requests` were sent. In all three cases nothing more is sent,
                and what was under way and succeeded has been yielded before.
        """
        work = _Work(calls, deque(range(len(calls))))
        kept_back: list[tuple[int, Failed]] = []
        halt: AuditError | Unsupported | None = None
        self._heard = time.monotonic()
        while work.flying or (halt is None and (work.fresh or work.waiting)):
            if halt is None and self._may_leave(work) <= time.monotonic():
                if self.sent == self._settings.max_requests:
                    halt = self._spent()
                else:
                    self._send(work)
                continue
            arrival = self._arrival(work, math.inf if halt else self._may_leave(work))
            if arrival is None:
                continue
            flight, outcome = arrival
            try:
                reply = self._reply(calls[flight.number], outcome, len(work.flying) + 1)
            except _Again as fault:
                self._slow_down(outcome, flight)
                if flight.attempt < self._settings.attempts:
                    heapq.heappush(work.waiting, (self._later(flight), flight.number, flight.attempt + 1))
                else:
                    kept_back.append((flight.number, self._give_up(flight, str(fault))))
                halt = halt or self._down(outcome, flight, str(fault))
            except (AuditError, Unsupported) as fault:
                halt = halt or fault
            else:
                if not self._in_row:  # the endpoint lives: what was given up before is those requests' own failure
                    yield from kept_back
                    kept_back.clear()
                yield flight.number, reply
        if halt is None and kept_back and not self._alive:
            halt = self._dead(kept_back[-1][1].note)
        if halt is not None:
            raise halt
        yield from kept_back

    def _may_leave(self, work: _Work) -> float:
        return max(self._hold, work.next_time(int(self._width)))

    def _send(self, work: _Work) -> None:
        number, attempt = work.take(time.monotonic())
        self.sent += 1
        self.again += attempt > 1
        serial, call = self.sent, work.calls[number]
        route, arguments = call.route, call.arguments()
        self._exchange.open()
        # Daemons: an interrupted audit does not wait for answers that nobody will read.
        thread = threading.Thread(
            target=lambda: work.outcomes.put((serial, self._exchange.send(route, arguments))), daemon=True
        )
        work.flying[serial] = _Flight(number, attempt, time.monotonic())
        thread.start()

    def _arrival(self, work: _Work, until: float) -> tuple[_Flight, Outcome] | None:
        """What arrives next; None when it is time to send. An answer that trickles for ever is left behind."""
        longest = 2 * self._settings.timeout
        first_left = min((flight.left for flight in work.flying.values()), default=math.inf)
        until = min(until, first_left + longest)
        try:
            serial, outcome = work.outcomes.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            late = [serial for serial, one in work.flying.items() if one.left + longest <= time.monotonic()]
            return (work.flying.pop(late[0]), Outcome(0, f"no whole answer in {longest:g} seconds")) if late else None
        flight = work.flying.pop(serial, None)
        return None if flight is None else (flight, outcome)

    def _reply(self, call: Call, outcome: Outcome, flown: int) -> Any:
        status = outcome.status
        if status < 0:
            return Failed(outcome.body)
        if status == 0:
            raise _Again(outcome.body)
        if status in _PASSING or (status >= 500 and status not in _NO_SUCH_ROUTE):
            raise _Again(f"the server answered {status}: {self._exchange.refusal(outcome).reason}")
        if status >= 300:
            return self._refuse(call, self._exchange.refusal(outcome))
        try:
            reply = call.read(json.loads(outcome.body))
        except (ValueError, RecursionError) as fault:
            why = str(fault) if isinstance(fault, Garbled) else "it is not JSON"
            raise _Again(f"the server's answer cannot be read: {why}") from fault
        self._lives()
        self.answered += 1
        if flown >= int(self._width):
            self._width = min(float(self._settings.concurrency), self._width + 1 / self._width)
        return reply

    def _refuse(self, call: Call, refusal: Refusal) -> Failed:
        """What the server does not take, it will not take again: the caller changes it, or it has failed."""
        if refusal.status == 401 or (refusal.status == 403 and not self._alive):
            has = "does not accept the key" if self._exchange.has_key else "wants a key"
            raise ModelError(f"{self.url} {has} ({refusal.status}). Set {KEYS[0]} to the key of this server.")
        if refusal.status in _NO_SUCH_ROUTE:
            if call.route == "completions" and self.model not in refusal.body:
                raise Unsupported(f"{self.url} has no completions ({refusal.status}): it answers chats only.")
            raise ModelError(
                f'{self.url} knows no model "{self.model}" or no chats ({refusal.status}: {refusal.reason}). Check '
                "the name after # and the URL before it, which often ends in /v1."
            )
        if call.refused(refusal):
            self._lives()
            raise _Again(refusal.reason)
        self.refused += 1
        if not self.answered and self.refused >= _STRANGERS:
            # Some servers say 400 of a model that they do not have.
            raise ModelError(
                f"{self.url} refused the first {self.refused} requests and answered none "
                f"({refusal.status}: {refusal.reason}). Check the name after #, and what the server takes."
            )
        self._lives()
        self.refusal = self.refusal or refusal.reason
        return Failed(f"the server refused the request ({refusal.status}: {refusal.reason})")

    def _lives(self) -> None:
        self._alive, self._in_row, self._heard = True, 0, time.monotonic()

    def _slow_down(self, outcome: Outcome, flight: _Flight) -> None:
        if outcome.status in _OVERLOADED and flight.left > self._narrowed:
            self._width, self._narrowed = max(1.0, self._width / 2), time.monotonic()
        if outcome.wait is not None:
            # A limit is the account's, not the request's: nobody is sent before it is over.
            self._hold = max(self._hold, time.monotonic() + min(outcome.wait, self._settings.patience))

    def _later(self, flight: _Flight) -> float:
        pause = min(_LONGEST_PAUSE, self._settings.backoff * 2.0 ** (flight.attempt - 1))
        return time.monotonic() + pause * float(self._jitter.uniform(0.5, 1.0))

    def _give_up(self, flight: _Flight, why: str) -> Failed:
        self._in_row += 1
        self.given_up += 1
        self.trouble = self.trouble or why
        return Failed(f"given up after {flight.attempt} attempts: {why}")

    def _down(self, outcome: Outcome, flight: _Flight, why: str) -> MachineError | None:
        """Whether the endpoint, and not a request, has failed for good."""
        settings = self._settings
        if outcome.wait is not None and outcome.wait > settings.patience:
            return self._dead(f"it asks to wait {outcome.wait:.0f} seconds ({why})")
        unreachable = not outcome.connected and flight.attempt >= settings.attempts and self._heard < flight.left
        silent = time.monotonic() - self._heard > settings.patience
        return self._dead(why) if unreachable or silent or self._in_row >= settings.failures else None

    def _dead(self, why: str) -> MachineError:
        return MachineError(
            f"{self.url} gives no answers: {why}. What was answered is kept: run the same command again when it does."
        )

    def _spent(self) -> MachineError:
        return MachineError(
            f"{self.url}: {self.sent} requests were sent, as many as --max-requests allows. What was answered is "
            "kept: run the same command again to go on, or with a larger --max-requests."
        )
