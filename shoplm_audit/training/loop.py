"""Trains a checkpoint, plainly or under differential privacy, and writes it with its training record.

    train(TrainSettings(steps=500), public=examples_of(texts), private=[], out=Path("checkpoints/public"))
    -> out/: config.json model.safetensors tokenizer.json training.json audit-secrets.json (0600)

A step's gradient is `private_share` times the private mean plus the rest times the public mean. In a private run the
private mean is noisy; the public one carries no noise, because nobody is hidden in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.errors import ConfigError, DataError, MachineError
from shoplm_audit.models.fingerprint import fingerprint_of, weights_digest
from shoplm_audit.record import DataUsed, TrainingRecord
from shoplm_audit.training import state as states
from shoplm_audit.training.corpus import Example, digest_of
from shoplm_audit.training.guarantee import PrivatePlan, guarantee_of, plan_private
from shoplm_audit.training.members import Division, check_canaries, divide
from shoplm_audit.training.objectives import Causal, Objective, labels_of, objective_of
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.shapes import adapted, context_of, load_base, merged, new_model, without_bars
from shoplm_audit.training.steps import Learned, Progress, Run, sizes_of
from shoplm_audit.training.tokenizer import learn_tokenizer, load_tokenizer

__all__ = ["Progress", "train"]

_HELD_OUT_SHARE, _HELD_OUT_MOST = 0.05, 64
_CONTEXT, _BASE_CONTEXT = 160, 512  # tokens of a row where none are asked for: of a new model, and the most of a base
_STRANGERS = 2000
# What may change between two sittings: it shapes speed and what is kept, or follows from what was learned so far.
_FREE = ("learning_rate", "micro_batch", "save_every", "patience")


@dataclass(frozen=True, slots=True)
class _Data:
    """What a training learns from, divided; `plan` is there in a private run."""

    public: tuple[Example, ...]
    held_out: tuple[Example, ...]
    division: Division
    share: float
    labels: tuple[str, ...]
    plan: PrivatePlan | None

    @property
    def open_texts(self) -> list[str]:
        """The texts that may be told about: in a private run the public ones alone."""
        units = () if self.plan else self.division.units
        learned = [one for unit in units for one in unit.examples]
        return [example.text for example in (*self.public, *self.held_out, *learned)]


def train(
    settings: TrainSettings,
    public: Sequence[Example],
    private: Sequence[Example],
    out: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    *,
    device: str = "",
    data_card: dict[str, Any] | None = None,
    insecure_seed: int | None = None,
) -> TrainingRecord:
    """Trains a model and writes the checkpoint in one move: `out` is complete or is not there.

    What is learned so far is kept in `<out>.unfinished`: after an interruption or a fault the same call goes on from
    there. A plain run then ends in the same weights; a private one in the same ledger, under fresh noise.

    Args:
        settings: how.
        public: examples that need no protection; a new tokenizer and the published loss curve come from these alone
            in a private run.
        private: examples of units that are put in or left out by coin, and hidden where `settings.epsilon` is given.
        out: a folder that does not exist or is empty.
        progress: called after each step.
        device: "cpu", "cuda", ...; "" takes a GPU where there is one.
        data_card: what was dropped from the data and why, for the record.
        insecure_seed: makes the noise of a private run repeatable, for tests; the record calls its guarantee void.

    Returns:
        The record as written, secrets included.

    Raises:
        ConfigError: settings that do not fit the data, told before anything is loaded.
        AuditError: the loss is no longer a number; the last good state is kept.
        MachineError: the disk is full; the last good state is kept.
        ModelError: the base is no model, or cannot be trained privately.
    """
    _check_output(out)
    data = _divided(settings, public, private)  # before torch is loaded: what cannot be trained is refused at once
    hidden = data.plan is not None
    processes, folder = Processes.begin(device), states.unfinished(out)
    if (key := processes.told(settings.key)) != settings.key:  # each process may have drawn one: the first's counts
        settings = replace(settings, key=key)
        data = _divided(settings, public, private)
    with states.held(folder) if processes.first else nullcontext():
        training = _digest(settings, public, private, insecure_seed)
        found = states.latest(folder, training, _warned, hidden)
        if processes.first:
            states.keep_key(folder, settings.key)
        if processes.told(found and found[0].step) != (found and found[0].step):
            raise ConfigError(f'"{folder}" is not the same on every machine: all of them have to see one folder.')
        model, tokenizer, settings = _model_and_tokenizer(settings, data)
        rows, objective = _encoded(settings, model, tokenizer, data)
        run = Run(settings, model.to(processes.device), objective, rows, data.plan, processes, found, insecure_seed)
        state = run.steps(folder, training, progress)
        finished = merged(run.finished())
        record = TrainingRecord(
            objective=settings.objective,
            base=Path(settings.base).name,
            steps=state.step,
            seed=settings.seed,
            data=(*_used(data), *_inherited(settings)),
            privacy=guarantee_of(settings, data.plan, state, run.preflight, data_card or {}, insecure_seed is not None)
            if data.plan
            else None,
            tokenizer="base" if settings.base else "byte-level BPE" if public or not hidden else "bytes",
            settings=settings.publishable,
            curves=state.curves,
            cost=run.cost() | rows.truncated(hidden),
            data_card=data_card or {},
            secrets=data.division.secrets if private or data.division.secrets.canaries else None,
        )
        if processes.first:
            record = _write(out, folder, finished, tokenizer, record)
            states.forget(folder)
        processes.wait()
    return processes.told(record)


def _divided(settings: TrainSettings, public: Sequence[Example], private: Sequence[Example]) -> _Data:
    """Who is in and who is out, and the plan of a private run; what cannot be kept is refused before a load."""
    labels = labels_of([*public, *private]) if settings.objective == "classify" else ()  # whatever the coins say
    division = divide(private, settings)
    check_canaries(division.secrets.canaries, (example.text for example in (*public, *private)), settings.base)
    refused_anyway = private and settings.epsilon is not None  # with the number of units that are left
    if not public and not division.units and not refused_anyway:
        raise DataError("There is nothing to train on: no public text, and no private unit was put in.")
    share = settings.private_share if public and division.units else float(bool(division.units))
    learned, held_out = _hold_out(public, settings.seed)
    plan = None
    if settings.epsilon is None:
        _check_batch(settings, learned, division, share)
    else:
        plan = plan_private(settings, share, public, private, len(division.units))
    return _Data(tuple(learned), tuple(held_out), division, share, labels, plan)


def _warned(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _check_batch(settings: TrainSettings, learned: Sequence[Example], division: Division, share: float) -> None:
    ours, theirs = sizes_of(settings, share, bool(learned))
    records = sum(len(unit.examples) for unit in division.units)
    for count, least, whose in ((len(learned), theirs, "public"), (records, ours, "private")):
        if least > count:
            raise ConfigError(
                f"A step takes {least} {whose} rows of {count}. Lower batch (now {settings.batch}), or give more data."
            )


def _model_and_tokenizer(settings: TrainSettings, data: _Data) -> tuple[Any, Any, TrainSettings]:
    """The network, its tokenizer, and the settings with the context that was chosen."""
    if settings.base:
        folder = Path(settings.base)
        model, tokenizer = (
            load_base(folder, settings.objective, data.labels, seed=settings.seed),
            load_tokenizer(folder, settings.objective),
        )
        reads = context_of(model)
        if settings.context > reads:
            raise ConfigError(f'context is {settings.context}: "{settings.base}" reads {reads} tokens. Lower it.')
        written = (model.config.architectures or [""])[0]
        if settings.adapter and settings.objective == "masked" and written.endswith("Model"):
            raise ConfigError(
                f'"{settings.base}" has no head for masked tokens, and an adapter would leave a new one as '
                "it is. Train without the adapter."
            )
        settings = replace(settings, context=settings.context or min(reads, _BASE_CONTEXT))
        return adapted(model, settings) if settings.adapter else model, tokenizer, settings
    tokenizer = learn_tokenizer(data.open_texts, settings.vocabulary, settings.objective)
    settings = replace(settings, context=settings.context or _CONTEXT)
    return new_model(settings, tokenizer, data.labels), tokenizer, settings


def _encoded(settings: TrainSettings, model: Any, tokenizer: Any, data: _Data) -> tuple[Learned, Objective]:
    strangers = data.open_texts[:_STRANGERS] if settings.objective == "masked" else []
    objective = objective_of(settings.objective, tokenizer, model, settings.context, strangers)
    rows, own = objective.rows(data.public), [objective.rows(unit.examples) for unit in data.division.units]
    if settings.pack and isinstance(objective, Causal):
        rows, own = objective.packed(rows), [objective.packed(records) for records in own]
    # Where nothing is public, a plain run is watched on the units that its coins left out.
    watched = data.held_out or (() if data.plan else data.division.left_out)
    shown = objective.drawn(objective.rows(watched[:_HELD_OUT_MOST]), np.random.default_rng([settings.seed, 4]))
    return Learned(rows, own, shown, data.share), objective


def _hold_out(public: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    count = min(_HELD_OUT_MOST, int(len(public) * _HELD_OUT_SHARE))
    chosen = set(np.random.default_rng([seed, 1]).permutation(len(public))[:count].tolist())
    learned = [example for i, example in enumerate(public) if i not in chosen]
    return learned, [public[i] for i in sorted(chosen)]


def _used(data: _Data) -> tuple[DataUsed, ...]:
    learned, examples = data.public, [example for unit in data.division.units for example in unit.examples]
    # A plain digest would let anyone who guesses the rest of the data test whether a record is in it.
    digest = "" if data.plan else digest_of(examples)
    used = [DataUsed("public", digest_of(learned), len(learned), len(learned), False)] if learned else []
    used += [DataUsed("private", digest, len(examples), len(data.division.units), True)] if examples else []
    return tuple(used)


def _inherited(settings: TrainSettings) -> tuple[DataUsed, ...]:
    """The private data of the base, which is in the new weights too."""
    before = TrainingRecord.read(Path(settings.base)) if settings.base else None
    used = before.data if before else ()
    return tuple(replace(one, name=f"base: {one.name.removeprefix('base: ')}") for one in used if one.private)


def _digest(
    settings: TrainSettings, public: Sequence[Example], private: Sequence[Example], insecure_seed: int | None
) -> str:
    """Of all that shapes a training. It lies beside the states only, and goes with them."""
    shaping = {name: value for name, value in settings.publishable.items() if name not in _FREE}
    base = fingerprint_of(Path(settings.base)) if settings.base else ""
    data = [digest_of(public), digest_of(private)]
    parts = [json.dumps(shaping, sort_keys=True), base, *data, str(insecure_seed), settings.key]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _check_output(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f'"{out}" exists already. Remove it, or choose another folder.')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigError(f'"{out}" cannot be written: {fault.strerror}. Choose another folder.') from fault
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f'"{out.parent}" cannot be written to. Choose another folder.')


def _write(out: Path, folder: Path, model: Any, tokenizer: Any, record: TrainingRecord) -> TrainingRecord:
    """Everything into a folder among the saved states, then one rename; returns the record with its weights named."""
    whole = folder / "checkpoint.partial"
    try:
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        with without_bars():
            model.save_pretrained(str(whole))
        tokenizer.save_pretrained(str(whole))
        record = replace(record, weights=weights_digest(whole))
        record.write(whole)
        if out.exists():
            out.rmdir()
        whole.rename(out)
    except Exception as fault:
        if not isinstance(fault, OSError) and type(fault).__name__ != "SafetensorError":
            raise
        why = getattr(fault, "strerror", None) or fault
        raise MachineError(
            f'"{out}" could not be written ({why}). Free some space and give the same command again: nothing is lost.'
        ) from fault
    return record
