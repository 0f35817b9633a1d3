"""What runs on the machines of a fleet, and what travels to it and back: plain data, never weights.

worker.answer(Order("/models/reviews-dp", "cpu", None, False), batch, LOG_PROB)    # a reply per request, or Trouble
"""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import traceback
from dataclasses import dataclass

import shoplm_audit.errors
from shoplm_audit.errors import ModelError
from shoplm_audit.models.asking import Asked, Reply, answered, planned
from shoplm_audit.models.load import load_model
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import Columns, Model

__all__ = ["About", "Order", "Planned", "Trouble", "Worker", "versions_here"]

_COMPUTING = ("shoplm-audit", "torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker loads; a part of every call, so that a new worker needs no other word."""

    spec: str
    device: str
    dtype: str | None
    trust: bool


@dataclass(frozen=True, slots=True)
class About:
    """What a worker says of the model that it has loaded."""

    name: str
    fingerprint: str
    batch_sensitive: bool
    device: str
    device_name: str
    dtype: str
    parameters: int | None
    context: int | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error as plain data: many exceptions cannot be sent."""

    kind: str
    text: str

    @staticmethod
    def of(fault: Exception) -> Trouble:
        """What can be said of an exception; the traceback where it is a bug."""
        known = next(
            (kind.__name__ for kind in type(fault).__mro__ if kind.__name__ in shoplm_audit.errors.__all__), ""
        )
        return Trouble(known, str(fault) if known else traceback.format_exc())

    def error(self, where: str = "") -> Exception:
        """The error to raise here."""
        kind: type[Exception] = getattr(shoplm_audit.errors, self.kind) if self.kind else RuntimeError
        return kind(self.text + where)


@dataclass(frozen=True, slots=True)
class Planned:
    """A model's plan for requests, and what it noted of them so far."""

    plan: list[list[int]]
    notes: list[str]


class Worker:
    """What runs in a process of the fleet: holds models and answers batches of them."""

    def __init__(self) -> None:
        # Before torch is imported. Sums differ in the last bits with the number of threads, and cores are shared.
        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        self._models: dict[Order, Model] = {}

    def place(self) -> tuple[str, int]:
        """The machine, and the number of the process on it."""
        return socket.gethostname(), os.getpid()

    def load(self, order: Order) -> About | Trouble:
        """Loads the model if it is not there yet, and says what it is."""
        try:
            model = self._model(order)
            return About(
                model.name,
                model.fingerprint,
                model.batch_sensitive,
                str(getattr(model, "device", "")),
                str(getattr(model, "device_name", "")),
                str(getattr(model, "dtype", "")),
                getattr(model, "parameters", None),
                getattr(model, "context", None),
                versions_here(),
            )
        except Exception as fault:
            return Trouble.of(fault)

    def record(self, order: Order) -> TrainingRecord | None:
        """The model's training record, with its secrets where they are at hand."""
        return self._model(order).record

    def plan(self, order: Order, requests: Asked) -> Planned | Trouble:
        """The batches in which the model wants requests to be asked, and what it notes about them."""
        try:
            model = self._model(order)
            return Planned(planned(model, requests), [str(note) for note in getattr(model, "notes", ())])
        except Exception as fault:
            return Trouble.of(fault)

    def answer(self, order: Order, batch: Asked, columns: Columns) -> list[Reply] | Trouble:
        """A reply per request of one batch."""
        try:
            ((_, replies),) = answered(self._model(order), [batch], columns)
            return replies
        except Exception as fault:
            return Trouble.of(fault)

    def _model(self, order: Order) -> Model:
        if order not in self._models:
            if os.path.isabs(order.spec) and not os.path.exists(order.spec):
                raise ModelError(
                    f"{order.spec}: not there. Every machine of the fleet has to see the model under the same path: "
                    "use a shared disk, or copy it"
                )
            self._models[order] = load_model(order.spec, device=order.device, dtype=order.dtype, trust=order.trust)
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
        return self._models[order]


def versions_here() -> dict[str, str]:
    """What is installed here of what shapes answers."""
    found = {
        each.name.lower(): each.version for name in _COMPUTING for each in importlib.metadata.distributions(name=name)
    }
    return {name: found.get(name, "none") for name in _COMPUTING}
