"""What a training that was cut off goes on from: weights, optimiser, curves and ledger after a step, checked by digest.

    checkpoints/reviews.unfinished/step-000100/  model.safetensors  optimizer.safetensors  state.json

A state is written beside its place and moved there whole, and the one before it stays until then. Noise and draws of a
private run are never stored: what goes on is the ledger of the steps that were paid for.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ConfigError, MachineError

if TYPE_CHECKING:
    import torch

__all__ = [
    "State",
    "forget",
    "held",
    "keep_key",
    "kept_key",
    "latest",
    "newest",
    "put_back",
    "save",
    "tensors_of",
    "unfinished",
]

_KEPT = 2
_KEY = "audit.key"
_FILES = ("model.safetensors", "optimizer.safetensors")


@dataclass(slots=True)
class State:
    """Where a training stands after a step.

    Attributes:
        step: steps taken.
        curves: losses so far, name -> [[step, loss], ...].
        ledger: of a private run, its noisy steps as (noise multiplier, sample rate, steps).
        best: the lowest held-out loss, and the step it was met at.
        spent: what the meter has counted, all sittings together.
    """

    step: int = 0
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    ledger: list[tuple[float, float, int]] = field(default_factory=list)
    best: tuple[float, int] | None = None
    spent: dict[str, float] = field(default_factory=dict)


def unfinished(out: Path) -> Path:
    """Where the states of a training that will end in `out` lie."""
    return out.with_name(f"{out.name}.unfinished")


def keep_key(folder: Path, key: str) -> None:
    """Keeps the key of coins and canaries for a later sitting, readable by its owner alone; "" keeps nothing.

    Raises:
        MachineError: it could not be written.
    """
    if not key or kept_key(folder) == key:
        return
    part = folder / f".{_KEY}.part"
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key)
        part.replace(folder / _KEY)
    except OSError as fault:
        raise MachineError(f"{part}: cannot be written ({fault.strerror}). Free space, then run again.") from fault


def kept_key(folder: Path) -> str:
    """The key that `keep_key` left in a folder; "" where there is none.

    Raises:
        ConfigError: it is there and cannot be read: another key would make other coins.
    """
    try:
        return (folder / _KEY).read_text(encoding="ascii").strip() if (folder / _KEY).exists() else ""
    except (OSError, ValueError) as fault:
        raise ConfigError(f'"{folder / _KEY}" cannot be read ({fault}). Remove "{folder}" to begin anew.') from fault


def save(folder: Path, digest: str, state: State, tensors: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Writes a state and lets go of the older ones, but for the last two and the best.

    Args:
        folder: from `unfinished`.
        digest: of all that shapes the training; only the same training goes on from it.
        state: what is not a tensor.
        tensors: "model" and "optimizer", name -> tensor.

    Raises:
        MachineError: it could not be written; the states before it are kept.
    """
    from safetensors.torch import save_file

    place = folder / f"step-{state.step:06d}"
    beside = folder / f"{place.name}.partial"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for file, held in zip(_FILES, (tensors["model"], tensors["optimizer"]), strict=True):
            save_file({name: tensor.contiguous() for name, tensor in held.items()}, str(beside / file))
        digests = {file: _digest(beside / file) for file in _FILES}
        told = asdict(state) | {"format": 1, "training": digest, "files": digests}
        (beside / "state.json").write_text(json.dumps(told), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
    except Exception as fault:
        shutil.rmtree(beside, ignore_errors=True)
        if not isinstance(fault, OSError) and type(fault).__name__ != "SafetensorError":
            raise
        why = getattr(fault, "strerror", None) or fault
        raise MachineError(
            f'The state after step {state.step} could not be written to "{folder}" ({why}). Free some space and give '
            "the same command again: it goes on from the state before."
        ) from fault
    kept = {place.name, *(older.name for older in _places(folder)[:_KEPT])}
    kept |= {f"step-{state.best[1]:06d}"} if state.best else set()
    for older in _places(folder):
        if older.name not in kept:
            shutil.rmtree(older, ignore_errors=True)


def latest(folder: Path, digest: str, warn: Callable[[str], None], private: bool = False) -> tuple[State, Path] | None:
    """The newest whole state of this very training, or None where there is no state at all.

    Args:
        folder: from `unfinished`.
        digest: of all that shapes the training.
        warn: told of each state that is damaged.
        private: the steps after an older state were shown and paid for once: a private run does not take them again.

    Raises:
        ConfigError: the states are of another training, or none of them is whole.
    """
    places = _places(folder)
    for place in places:
        try:
            told = json.loads((place / "state.json").read_text(encoding="utf-8"))
            whole = told.pop("format") == 1 and told.pop("files") == {file: _digest(place / file) for file in _FILES}
            training = told.pop("training")
            state = State(**told)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            whole = False
        if not whole and private:
            raise ConfigError(
                f'"{place}" is damaged. From the state before it, steps whose losses were shown would be taken again '
                f'and be paid for once. Remove "{folder}" to begin anew.'
            )
        if not whole:
            warn(f'"{place}" is damaged: it was cut off or changed. The state before it is used.')
            continue
        if training != digest:
            raise ConfigError(
                f'"{folder}" holds another training (other data or settings). Remove it, or choose another folder.'
            )
        state.ledger = [(noise, rate, int(steps)) for noise, rate, steps in state.ledger]
        state.best = (state.best[0], int(state.best[1])) if state.best else None
        return state, place
    if places:
        raise ConfigError(f'No state in "{folder}" is whole. Remove it to begin anew.')
    return None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps two trainings from writing into one folder; leaves no folder behind in which nothing was saved.

    Raises:
        ConfigError: another process holds it.
        MachineError: it cannot be written to.
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as fault:
        raise MachineError(f'"{folder}" cannot be written: {fault.strerror}. Choose another folder.') from fault
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise ConfigError(
                f'"{folder}": another training writes here. Wait for it, or name another --out.'
            ) from fault
        try:
            yield
        finally:
            if not _places(folder):
                forget(folder)


def newest(folder: Path) -> str:
    """The name of the newest saved state; "" where there is none."""
    places = _places(folder)
    return places[0].name if places else ""


def forget(folder: Path) -> None:
    """Removes the states of a training that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


def _places(folder: Path) -> list[Path]:
    """The newest first."""
    places = (place for place in folder.glob("step-*") if not place.name.endswith(".partial"))
    return sorted(places, key=lambda place: int(place.name[5:]), reverse=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_of(model: Any, optimizer: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Trainable weights and the optimiser's state by name, on the CPU and whole; every process has to ask at once."""
    weights: dict[str, torch.Tensor] = {}
    moments: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            weights[name] = _whole(parameter)
            for key, held in optimizer.state.get(parameter, {}).items():
                moments[f"{name}|{key}"] = _whole(held)
    return {"model": weights, "optimizer": moments}


def put_back(place: Path, model: Any, optimizer: Any | None) -> None:
    """Sets weights, and the optimiser's state where one is given, to those of a state."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(str(place / "model.safetensors"))
    moments = load_file(str(place / "optimizer.safetensors"))
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        with torch.no_grad():
            parameter.copy_(_divided(weights[name], parameter))
        if optimizer is not None:
            own = {key.rpartition("|")[2]: value for key, value in moments.items() if key.rpartition("|")[0] == name}
            optimizer.state[parameter] = {
                key: _divided(value, parameter) if value.shape == parameter.shape else value.to(parameter.device)
                for key, value in own.items()
            }


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    full: Any = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().cpu()  # type: ignore[no-any-return]


def _divided(tensor: torch.Tensor, like: Any) -> torch.Tensor:
    tensor = tensor.to(like.device, like.dtype)
    if not hasattr(like, "device_mesh"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements)
