"""One training several times: a folder belongs to one of them, and what is finished in it is taken as it is.

keep(Path("runs/frontier/asked.json"), asked_of(settings, public, private))     # another training is refused
trained_once(settings, public, private, Path("runs/frontier/plain/model"), progress)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ConfigError, DataError, MachineError
from shoplm_audit.models.fingerprint import fingerprint_of
from shoplm_audit.record import TrainingRecord
from shoplm_audit.training.corpus import Example, digest_of
from shoplm_audit.training.loop import Progress, train
from shoplm_audit.training.settings import TrainSettings

__all__ = ["asked_of", "keep", "trained_once"]

_FREE = ("micro_batch", "save_every")  # they shape speed and what is kept


def asked_of(
    settings: TrainSettings, public: Sequence[Example], private: Sequence[Example], free: Sequence[str] = ()
) -> dict[str, Any]:
    """All that shapes a training but what is `free`, by the name under which a difference is told."""
    data = {"the public data": digest_of(public), "the private data": digest_of(private)}
    base = fingerprint_of(Path(settings.base)) if settings.base else ""
    return _shaping(settings.publishable, free) | data | {"base": base}


def _shaping(settings: Mapping[str, Any], free: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in {*_FREE, *free}}


def keep(marker: Path, asked: Mapping[str, Any]) -> None:
    """Marks a folder as that of a training; digests of private data are in it, so only its owner may read it.

    Raises:
        ConfigError: it is another's; what differs is named.
        DataError: the marker cannot be read.
        MachineError: the disk is full.
    """
    if marker.is_file():
        try:
            before = json.loads(marker.read_text(encoding="utf-8"))
            _check(f'"{marker.parent}" holds another training', before, asked)
        except (OSError, ValueError, AttributeError) as fault:
            raise DataError(f"{marker}: cannot be read ({fault}). Name another folder.") from fault
        return
    part = marker.with_name(f".{marker.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asked, file, ensure_ascii=False, indent=1)
        part.replace(marker)
    except OSError as fault:
        raise MachineError(f"{marker}: cannot be written ({fault.strerror}). Free space, then run again.") from fault


def trained_once(
    settings: TrainSettings,
    public: Sequence[Example],
    private: Sequence[Example],
    out: Path,
    progress: Callable[[Progress], None],
    device: str = "",
) -> None:
    """Trains a checkpoint unless it is there.

    Raises:
        ConfigError: it was trained with other settings; what differs is named.
    """
    if record := TrainingRecord.read(out):
        free = () if settings.context else ("context",)  # a context of 0 is chosen by the training
        _check(f'"{out}" was trained otherwise', _shaping(record.settings, free), _shaping(settings.publishable, free))
        return
    train(settings, public, private, out, progress, device=device)


def _check(told: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses what differs, as in "steps is "40" there and "30" here; the private data is another"."""
    differs = [
        f"{name} is another"
        if name == "base" or name.startswith("the ")
        else f'{name} is "{before.get(name)}" there and "{now.get(name)}" here'
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if differs:
        raise ConfigError(f"{told}: {'; '.join(differs)}. Ask for the same, or name another folder with --out.")
