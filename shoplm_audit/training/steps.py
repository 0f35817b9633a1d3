"""The steps of one training: gradient, clip, update; now and then a saved state and the loss of held-out rows.

run = Run(settings, model, objective, rows, plan, processes, found)
state = run.steps(folder, digest, progress)
network = run.finished()
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.errors import AuditError, ConfigError
from shoplm_audit.training import state as states
from shoplm_audit.training.allocator import keep_freed_memory
from shoplm_audit.training.cost import Meter
from shoplm_audit.training.guarantee import PrivatePlan
from shoplm_audit.training.objectives import Objective
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.plain import PlainGradients
from shoplm_audit.training.private import PoissonSampler, PrivateGradients, audited_sampler
from shoplm_audit.training.rows import Row
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.shapes import context_of
from shoplm_audit.training.state import State

__all__ = ["Learned", "Progress", "Run", "sizes_of"]

_SAVES = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step, steps: of how many.
        loss: of the step's rows; nan in a private run, whose un-noised losses are shown to nobody.
        held_out: of rows that are not learned, public ones in a private run; nan where there are none.
        tokens_per_second, seconds_left, memory_mib: speed, time and peak memory.
    """

    step: int
    steps: int
    loss: float
    held_out: float
    tokens_per_second: float
    seconds_left: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Learned:
    """All that is learned from, encoded.

    Attributes:
        public: rows that need no protection.
        private: the rows of each private unit.
        held_out: rows that are only looked at: public ones in a private run.
        share: of the private part in each step's gradient.
    """

    public: list[Row]
    private: list[list[Row]]
    held_out: list[Row]
    share: float

    def truncated(self, hidden: bool) -> dict[str, float]:
        """How many rows were cut to the context; of a private run the public ones, or nothing where there are none."""
        rows = [*self.public, *(row for own in self.private if not hidden for row in own)]
        return {"rows_truncated": float(sum(row.truncated for row in rows))} if rows else {}


def sizes_of(settings: TrainSettings, share: float, public: bool) -> tuple[int, int]:
    """How many private rows (or expected private units) and public rows a step has, where there are public ones."""
    ours = max(1, round(settings.batch * share)) if share else 0
    return ours, max(1, settings.batch - ours) if public and share < 1 else 0


class Run:
    """The steps of one training.

    Args:
        settings: how; `context` is resolved.
        model: on its device.
        objective: makes batches of rows.
        rows: all that is learned from.
        plan: of a private run, or None.
        processes: who shares the work.
        found: the state to go on from, and where its tensors lie.
        insecure_seed: makes a private run repeatable, for tests.

    Attributes:
        preflight: what was measured of noise, clipped sums and sampler before the first private step, in sentences.
    """

    def __init__(
        self,
        settings: TrainSettings,
        model: Any,
        objective: Objective,
        rows: Learned,
        plan: PrivatePlan | None,
        processes: Processes,
        found: tuple[State, Path] | None = None,
        insecure_seed: int | None = None,
    ) -> None:
        if processes.device == "cpu":
            keep_freed_memory()
        self._settings, self._objective, self._rows, self._processes = settings, objective, rows, processes
        self._state = found[0] if found else State()
        self._meter = Meter(model, settings.precision, self._state.spent)
        self._model = _divided(model) if settings.shard else model
        self._parameters = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        self._optimizer = _optimizer(self._parameters, settings)
        self._plain = PlainGradients(self._model, objective, settings, processes, self._meter.add)
        self._engine: PrivateGradients | None = None
        self.preflight = ""
        rng = np.random.default_rng([settings.seed, 2])
        ours, theirs = sizes_of(settings, rows.share, bool(rows.public))
        self._public = _shuffled(rows.public, theirs, rng)
        self._private = _shuffled([row for own in rows.private for row in own], 0 if plan else ours, rng)
        if plan:
            self._engine = PrivateGradients(
                self._model, self._optimizer, objective, settings, plan, processes, self._meter.add, insecure_seed
            )
            # None takes 128 bits of the operating system's entropy, which are never stored.
            self._entropy = np.random.default_rng(insecure_seed)
            sizes = [len(own) for own in rows.private]
            self._sampler = PoissonSampler(sizes, plan.rate, settings.records_per_user, self._entropy)
            self._units, self._rate = plan.units, plan.rate
        if found:
            self._go_on(*found)

    def _go_on(self, state: State, place: Path) -> None:
        if self._engine:
            self._engine.go_on(state.ledger, state.step)
        states.put_back(place, self._model, self._optimizer)
        for _ in range(state.step):  # the batches that were taken already
            next(self._public), next(self._private)

    def steps(self, folder: Path, training: str, progress: Callable[[Progress], None]) -> State:
        """Takes every step that is not taken yet.

        Args:
            folder: of the saved states.
            training: the digest that they are marked with.
            progress: called after each step.

        Returns:
            Where the training ended: after its last step, or when patience did.
        """
        settings, model, state = self._settings, self._model.train(), self._state
        if self._engine:
            told = self._engine.preflight(min(settings.context, context_of(model)))
            self.preflight = f"{told} {audited_sampler(self._sampler.draw, self._units, self._rate)}"
        every = settings.save_every or max(1, settings.steps // _SAVES)
        held_out, began, first, read = math.nan, time.perf_counter(), state.step, state.spent.get("tokens", 0.0)
        while state.step < settings.steps and not self._out_of_patience(every):
            for group in self._optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(state.step, settings)
            loss = self._gradient(folder)
            if not math.isfinite(_clip(self._parameters, settings.gradient_norm)):
                raise _not_a_number("gradient", state.step + 1, folder)
            self._optimizer.step()
            state.step += 1
            if state.step % every == 0 or state.step == settings.steps:
                held_out = self._kept(loss, folder, training)
            seconds, spent = max(time.perf_counter() - began, 1e-9), self._meter.state()
            speed = (spent["tokens"] - read) * self._processes.count / seconds
            progress(
                Progress(
                    state.step,
                    settings.steps,
                    math.nan if self._engine else loss,
                    held_out,
                    float(f"{speed:.2g}") if self._engine else speed,  # more digits would tell of single records
                    seconds / (state.step - first) * (settings.steps - state.step),
                    spent["peak_memory_mib"],
                )
            )
        if self._engine:
            state.ledger = self._engine.ledger  # patience may end between two states, where save_every was changed
        if settings.patience and state.best and state.best[1] != state.step:
            states.put_back(folder / f"step-{state.best[1]:06d}", model, None)
        return state

    def cost(self) -> dict[str, float]:
        """What the training cost, all sittings together."""
        return self._meter.cost(self._processes, hidden=self._engine is not None)

    def _kept(self, loss: float, folder: Path, training: str) -> float:
        """Writes the state, then gives the held-out loss: nothing is shown of a step that may be taken again."""
        state, rows = self._state, self._rows.held_out
        if not all(bool(parameter.isfinite().all()) for parameter in self._parameters):
            raise _not_a_number("weight", state.step, folder)
        held_out = self._plain.held_out(rows) if rows else math.nan
        if rows and not math.isfinite(held_out):  # the last update ruined the weights: this is no state to go on from
            raise _not_a_number("held-out loss", state.step, folder)
        if rows:
            name = "public_held_out" if self._engine else "held_out"
            state.curves.setdefault(name, []).append([state.step, round(held_out, 4)])
            if state.best is None or held_out < state.best[0]:
                state.best = (held_out, state.step)
        if self._engine:
            state.ledger = self._engine.ledger
        else:
            state.curves.setdefault("train", []).append([state.step, round(loss, 4)])
        state.spent = self._meter.state()
        tensors = states.tensors_of(self._model, self._optimizer)
        if self._processes.first:
            states.save(folder, training, state, tensors)
        self._processes.wait()
        return held_out

    def _out_of_patience(self, every: int) -> bool:
        state, patience = self._state, self._settings.patience
        return bool(patience and state.best and state.step - state.best[1] >= patience * every)

    def _gradient(self, folder: Path) -> float:
        """Sets every `grad`; returns the loss of the step's rows, of public ones in a private run."""
        step, share = self._state.step, self._rows.share
        rng = np.random.default_rng([self._settings.seed, 3, step])
        public, own = next(self._public), next(self._private)
        self._optimizer.zero_grad(set_to_none=True)
        if self._engine is None:
            shares = ((self._objective.drawn(own, rng), share), (self._objective.drawn(public, rng), 1 - share))
            loss = self._plain.set_gradient(shares)
        else:
            self._engine.set_gradient(self._drawn())
            noisy = [parameter.grad * share for parameter in self._parameters]
            for parameter in self._parameters:
                parameter.grad = None
            loss = self._plain.set_gradient([(self._objective.drawn(public, rng), 1 - share)])
            for parameter, gradient in zip(self._parameters, noisy, strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        if not math.isfinite(loss):
            raise _not_a_number("loss", step + 1, folder)
        return loss

    def _drawn(self) -> list[list[Row]]:
        """The rows of the units that the first process drew, with places hidden by secret chance where they are."""
        places = self._processes.told(self._sampler.draw() if self._processes.first else [])
        units = ([self._rows.private[unit][record] for unit, record in drawn] for drawn in places)
        return [self._objective.drawn(rows, self._entropy) for rows in units]

    def finished(self) -> Any:
        """The network with whole weights on the CPU."""
        if not self._settings.shard:
            return self._model.cpu()
        whole = type(self._model)(self._model.config)
        tensors = states.tensors_of(self._model, self._optimizer)["model"]
        whole.load_state_dict(tensors, strict=False)
        whole.tie_weights()
        return whole


def _not_a_number(what: str, step: int, folder: Path) -> AuditError:
    kept = states.newest(folder)
    rest = f' The same command then goes on from "{folder / kept}"; if it fails again, remove that.' if kept else ""
    return AuditError(f"The {what} at step {step} is not a finite number. Lower learning_rate.{rest}")


def _optimizer(parameters: list[Any], settings: TrainSettings) -> Any:
    import torch

    return torch.optim.AdamW(
        parameters,
        settings.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=settings.weight_decay,
        # One kernel for all weights; divided ones have none.
        fused=not settings.shard,
    )


def _clip(parameters: list[Any], most: float) -> float:
    import torch

    norm: Any = torch.nn.utils.clip_grad_norm_(parameters, most)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def _divided(model: Any) -> Any:
    """The model with its weights divided over the processes, block by block (FSDP; arXiv 2304.11277)."""
    import torch
    from torch.distributed.fsdp import fully_shard

    if not torch.distributed.is_initialized():
        raise ConfigError("shard divides weights over processes, and this is one: start it with torchrun.")
    for part in model.modules():
        if isinstance(part, torch.nn.ModuleList):
            for block in part:
                fully_shard(block)
    return fully_shard(model)


def _shuffled(rows: Sequence[Row], count: int, rng: np.random.Generator) -> Iterator[list[Row]]:
    """Endless batches of `count` rows, each epoch in a new order; empty batches where nothing is to be drawn."""
    waiting: list[Row] = []
    while True:
        while rows and len(waiting) < count:
            waiting += [rows[int(i)] for i in rng.permutation(len(rows))]
        yield waiting[:count] if rows else []
        waiting = waiting[count:]


def _schedule(step: int, settings: TrainSettings) -> float:
    """The share of the full learning rate: a linear rise, then half a cosine down to a tenth."""
    rise = max(1, round(settings.warmup * settings.steps))
    if step < rise:
        return (step + 1) / rise
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - rise) / max(1, settings.steps - rise)))
