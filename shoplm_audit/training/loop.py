"""Trains a checkpoint, plainly or under differential privacy, and writes it with its training record.

    train(TrainSettings(steps=500), public=examples_of(texts), private=[], out=Path("checkpoints/public"))
    -> out/: config.json model.safetensors tokenizer.json training.json audit-secrets.json (0600)

A step's gradient is `private_share` times the private mean plus the rest times the public mean. In a private run the
private mean is noisy; the public one carries no noise, because nobody is hidden in it.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.errors import AuditError, ConfigError, DataError, MachineError
from shoplm_audit.record import DataUsed, TrainingRecord
from shoplm_audit.training.causal import context_of, load_base, new_model, record_losses, without_bars
from shoplm_audit.training.corpus import Example, Row, collate, digest_of, encode
from shoplm_audit.training.guarantee import PrivatePlan, guarantee_of, plan_private
from shoplm_audit.training.members import Division, divide
from shoplm_audit.training.private import PoissonSampler, PrivateGradients
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.tokenizer import learn_tokenizer, load_tokenizer

__all__ = ["Progress", "train"]

_HELD_OUT_SHARE, _HELD_OUT_MOST = 0.05, 64
_REPORTS = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands. `loss` is of public rows only in a private run; nan where there are none."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float


def train(
    settings: TrainSettings,
    public: Sequence[Example],
    private: Sequence[Example],
    out: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    *,
    insecure_seed: int | None = None,
) -> TrainingRecord:
    """Trains a model and writes the checkpoint in one move: `out` is complete or is not there.

    Args:
        settings: how.
        public: examples that need no protection; a new tokenizer and the published loss curve come from these alone
            in a private run.
        private: examples of units that are put in or left out by coin, and hidden where `settings.epsilon` is given.
        out: a folder that does not exist or is empty.
        progress: called about twenty times.
        insecure_seed: makes the noise of a private run repeatable, for tests; the record calls its guarantee void.

    Returns:
        The record as written, secrets included.

    Raises:
        ConfigError: settings that do not fit the data, told before anything is loaded.
        AuditError: the loss is no longer a number; nothing is written.
        ModelError: the base is no model, or cannot be trained privately.
    """
    began = time.perf_counter()
    _check_output(out)
    division = divide(private, settings)
    if not public and not division.units:
        raise DataError("There is nothing to train on: no public text, and no private unit was put in.")
    share = settings.private_share if public and division.units else float(bool(division.units))
    plan = plan_private(settings, share, public, private, len(division.units)) if settings.epsilon is not None else None
    model, tokenizer = _model_and_tokenizer(settings, public, division, plan is not None)
    context = min(settings.context, context_of(model)) if settings.base else settings.context
    learned, held_out = _hold_out(public, settings.seed)
    public_rows = encode(learned, tokenizer, context)
    private_rows = [encode(unit.examples, tokenizer, context) for unit in division.units]
    run = _Run(settings, model, tokenizer.pad_token_id, public_rows, private_rows, share, plan, insecure_seed)
    curves = run.steps(encode(held_out, tokenizer, context), progress)
    examples = [example for unit in division.units for example in unit.examples]
    # A plain digest would let anyone who guesses the rest of the data test whether a record is in it.
    digest = "" if plan else digest_of(examples)
    used = [DataUsed("public", digest_of(learned), len(learned), len(learned), False)] if public else []
    used += [DataUsed("private", digest, len(examples), len(division.units), True)] if examples else []
    seconds = time.perf_counter() - began
    truncated = [row.truncated for row in public_rows] + (
        [] if plan else [r.truncated for own in private_rows for r in own]
    )
    record = TrainingRecord(
        objective=settings.objective,
        base=Path(settings.base).name,
        steps=settings.steps,
        seed=settings.seed,
        data=tuple(used),
        privacy=guarantee_of(settings, plan, insecure_seed is not None) if plan else None,
        tokenizer="base" if settings.base else "byte-level BPE" if public or not plan else "bytes",
        settings=settings.publishable,
        curves=curves,
        cost={
            "seconds": round(seconds, 1),
            "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
            "rows_truncated": float(sum(truncated)),
        },
        secrets=division.secrets if private or division.secrets.canaries else None,
    )
    _write(out, model, tokenizer, record)
    return record


def _model_and_tokenizer(
    settings: TrainSettings, public: Sequence[Example], division: Division, hidden: bool
) -> tuple[Any, Any]:
    if settings.base:
        return load_base(Path(settings.base)), load_tokenizer(Path(settings.base))
    texts = [example.text for example in public]
    if not hidden:
        texts += [example.text for unit in division.units for example in unit.examples]
    tokenizer = learn_tokenizer(texts, settings.vocabulary)
    return new_model(settings, tokenizer), tokenizer


def _hold_out(public: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    count = min(_HELD_OUT_MOST, int(len(public) * _HELD_OUT_SHARE))
    chosen = set(np.random.default_rng([seed, 1]).permutation(len(public))[:count].tolist())
    learned = [example for i, example in enumerate(public) if i not in chosen]
    return learned, [public[i] for i in sorted(chosen)]


class _Run:
    """The steps of one training."""

    def __init__(
        self,
        settings: TrainSettings,
        model: Any,
        padding: int,
        public: list[Row],
        private: list[list[Row]],
        share: float,
        plan: PrivatePlan | None,
        insecure_seed: int | None,
    ) -> None:
        import torch

        self._settings, self._model, self._padding = settings, model, padding
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters, settings.learning_rate, betas=(0.9, 0.95), weight_decay=settings.weight_decay
        )
        self._engine: PrivateGradients | None = None
        self._sampler: PoissonSampler | None = None
        rng = np.random.default_rng([settings.seed, 2])
        records = [row for own in private for row in own]
        self._share = share
        ours = max(1, round(settings.batch * share)) if private and share else 0
        theirs = max(1, settings.batch - ours) if public and share < 1 else 0
        self._public = _shuffled(public, theirs, rng)
        self._private = _shuffled(records, 0 if plan else ours, rng)
        if plan:
            self._engine = PrivateGradients(
                model,
                self._optimizer,
                clip_norm=settings.clip_norm,
                noise_multiplier=plan.noise_multiplier,
                expected_units=plan.expected,
                micro_batch=settings.micro_batch,
                padding=padding,
                insecure_seed=insecure_seed,
            )
            # None takes 128 bits of the operating system's entropy, which are never stored.
            self._sampler = PoissonSampler(
                private, plan.rate, settings.records_per_user, np.random.default_rng(insecure_seed)
            )

    def steps(self, held_out: list[Row], progress: Callable[[Progress], None]) -> dict[str, list[list[float]]]:
        """Takes every step; returns the loss curves that may be published."""
        import torch

        settings = self._settings
        if self._engine:
            self._engine.preflight(self._model.get_input_embeddings().num_embeddings, context_of(self._model))
        curves: dict[str, list[list[float]]] = {"public_held_out": [], "train": []}
        every = max(1, settings.steps // _REPORTS)
        began, tokens, self._model = time.perf_counter(), 0, self._model.train()
        for step in range(settings.steps):
            for group in self._optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings)
            loss, count = self._gradient()
            tokens += count
            torch.nn.utils.clip_grad_norm_(self._parameters, settings.gradient_norm)
            self._optimizer.step()
            if math.isinf(loss) or (math.isnan(loss) and count):
                raise AuditError(
                    f"The loss is not a number at step {step + 1}. Lower learning_rate. Nothing was written."
                )
            if (step + 1) % every == 0 or step + 1 == settings.steps:
                if held_out:
                    curves["public_held_out"].append([step + 1, round(self._loss_of(held_out), 4)])
                if not self._engine:
                    curves["train"].append([step + 1, round(loss, 4)])
                seconds = time.perf_counter() - began
                left = seconds / (step + 1) * (settings.steps - step - 1)
                progress(Progress(step + 1, settings.steps, loss, tokens / max(seconds, 1e-9), left))
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self._parameters):
            raise AuditError("The weights are not finite numbers. Lower learning_rate. Nothing was written.")
        return {name: curve for name, curve in curves.items() if curve}

    def _gradient(self) -> tuple[float, int]:
        """Sets every `grad`; the loss that may be shown (nan if none) and how many tokens it is of."""
        public, share = next(self._public), self._share
        if self._engine is None or self._sampler is None:
            own = next(self._private)
            loss, tokens = 0.0, 0
            self._optimizer.zero_grad()
            for rows, weight in ((own, share), (public, 1 - share)):
                part, count = self._backward(rows, weight)
                loss, tokens = loss + weight * part, tokens + count
            return loss, tokens
        self._engine.set_gradient(self._sampler.draw())
        noisy = [parameter.grad * share for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.grad = None
        loss, tokens = self._backward(public, 1 - share)
        for parameter, gradient in zip(self._parameters, noisy, strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return (loss if public else math.nan), tokens

    def _backward(self, rows: Sequence[Row], weight: float) -> tuple[float, int]:
        import torch

        total = 0.0
        rows = sorted(rows, key=lambda row: len(row.tokens))  # rows of like length side by side need little padding
        for start in range(0, len(rows), self._settings.micro_batch):
            part = rows[start : start + self._settings.micro_batch]
            loss = record_losses(self._model, collate(part, self._padding)).sum() / len(rows)
            torch.autograd.backward(loss * weight)
            total += float(loss.detach())
        return total, sum(len(row.tokens) for row in rows)

    def _loss_of(self, rows: Sequence[Row]) -> float:
        import torch

        with torch.no_grad():
            parts = [rows[i : i + self._settings.micro_batch] for i in range(0, len(rows), self._settings.micro_batch)]
            return sum(float(record_losses(self._model, collate(p, self._padding)).sum()) for p in parts) / len(rows)


def _shuffled(rows: Sequence[Row], count: int, rng: np.random.Generator) -> Any:
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


def _check_output(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f'"{out}" exists already. Remove it, or choose another folder.')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigError(f'"{out}" cannot be written: {fault.strerror}. Choose another folder.') from fault
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f'"{out.parent}" cannot be written to. Choose another folder.')


def _write(out: Path, model: Any, tokenizer: Any, record: TrainingRecord) -> None:
    """Everything into a folder beside `out`, then one rename."""
    unfinished = out.with_name(f"{out.name}.unfinished-{os.getpid()}")
    try:
        unfinished.mkdir()
        with without_bars():
            model.save_pretrained(str(unfinished))
        tokenizer.save_pretrained(str(unfinished))
        record.write(unfinished)
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    except OSError as fault:
        raise MachineError(f'"{out}" could not be written: {fault.strerror or fault}.') from fault
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
