"""`training.json` and `audit-secrets.json`: all that trainer and auditor share.

The record can be published:

    {"format": 1, "objective": "causal", "base": "", "steps": 400, "privacy": {"unit": "user", "epsilon": 7.9,
     "delta": 1e-05, ...}, "data": [{"name": "customers", "digest": "sha256:...", "records": 3200, "units": 400}], ...}

The secrets (members, held-out twins, which canaries were inserted) lie beside it with mode 0600 and never in it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from shoplm_audit.errors import ModelError

__all__ = ["Canary", "DataUsed", "Guarantee", "Member", "Secrets", "TrainingRecord"]

RECORD = "training.json"
SECRETS = "audit-secrets.json"


@dataclass(frozen=True, slots=True)
class DataUsed:
    """One file of training data: its role, a digest of its rows, and how much of it was used."""

    name: str
    digest: str
    records: int
    units: int
    private: bool


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A differential-privacy guarantee, add/remove neighbours, and all that it rests on.

    Attributes:
        unit: whose presence is hidden: one "record", or all records of one "user".
        epsilon, delta: the guarantee.
        noise_multiplier: noise standard deviation over the clipping norm.
        sample_rate: the probability with which each unit enters a step (Poisson).
        steps: how many noisy steps were taken.
        max_grad_norm: the clipping norm of one unit's gradient.
        units: how many units the sampler drew from.
        accountant: which accounting gave epsilon.
        sentence: the guarantee in words, with what it does not cover.
        void: why the guarantee does not hold, if it does not.
        preflight: what was measured of the noise before the first step.
    """

    unit: Literal["record", "user"]
    epsilon: float
    delta: float
    noise_multiplier: float
    sample_rate: float
    steps: int
    max_grad_norm: float
    units: int
    accountant: str
    sentence: str
    void: str = ""
    preflight: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A unit that was in the training data, or a twin held out by the same fair coin.

    Attributes:
        unit: the user's or the record's id.
        texts: its records as the model was, or would have been, trained on them.
        inside: whether it was trained on.
        language: "en" or "zh".
        starts: where in each text that begins which the model learns (what stands before is its prompt); () is 0.
        labels: what a classifier learns to say of each text; () for other models.
    """

    unit: str
    texts: tuple[str, ...]
    inside: bool
    language: str = "en"
    starts: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Canary:
    """An invented secret, inserted into the training data by the toss of a fair coin.

    Attributes:
        id: its name.
        prefix: what is asked.
        secret: what must not be answered.
        inserted: how the coin fell.
        copies: how often it was written into the data if it was inserted: as records of one invented user where the
            unit is the user, else as so many units.
        language: "en" or "zh".
        family: what kind of secret it is, one of `data.secrets.FAMILIES`.
    """

    id: str
    prefix: str
    secret: str
    inserted: bool
    copies: int
    language: str = "en"
    family: str = "order"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the auditor needs and nobody else may see.

    `coin` tells how `members` were divided: "fair" (an independent fair coin for each unit, so that a one-run audit of
    epsilon holds) or "split" (a random split by share). Coins and canaries follow from `key`: a shadow model needs it.
    """

    members: tuple[Member, ...] = ()
    canaries: tuple[Canary, ...] = ()
    coin: Literal["fair", "split"] = "split"
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What a checkpoint says of its own training. `secrets` is None where the secrets file is not at hand.

    `weights` is the digest of the tensors that the training wrote: a record beside other weights is refused.
    """

    objective: str
    base: str = ""
    steps: int = 0
    seed: int | None = None
    data: tuple[DataUsed, ...] = ()
    privacy: Guarantee | None = None
    tokenizer: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    watermark: str = ""
    data_card: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    secrets: Secrets | None = None

    @property
    def publishable(self) -> dict[str, Any]:
        """All but the secrets; of a private run only losses on public text, since any other carries no noise."""
        public = {key: value for key, value in asdict(self).items() if key != "secrets"}
        if self.privacy is not None:
            public["curves"] = {name: curve for name, curve in self.curves.items() if name.startswith("public")}
        return public

    def write(self, folder: Path) -> None:
        """Writes `training.json`, and the secrets beside it with mode 0600 (never inside it)."""
        public = {"format": 1} | self.publishable
        (folder / RECORD).write_text(json.dumps(public, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if self.secrets is not None:
            path = folder / SECRETS
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                json.dump(asdict(self.secrets), out, ensure_ascii=False)

    @staticmethod
    def read(folder: Path) -> TrainingRecord | None:
        """The record of a checkpoint, or None where its trainer left none.

        Raises:
            ModelError: the file is there and is no record.
        """
        path = folder / RECORD
        if not path.is_file():
            return None
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw.pop("format") != 1:
                raise ValueError("another format")
            raw["data"] = tuple(DataUsed(**row) for row in raw.get("data", ()))
            raw["privacy"] = Guarantee(**raw["privacy"]) if raw.get("privacy") else None
            return TrainingRecord(**raw, secrets=_secrets(folder / SECRETS))
        except (ValueError, TypeError, KeyError) as fault:
            raise ModelError(f"{path}: not a training record ({fault}). Remove it, or train again.") from fault


def _secrets(path: Path) -> Secrets | None:
    if not path.is_file():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Secrets(
        members=tuple(map(_member, raw["members"])),
        canaries=tuple(Canary(**row) for row in raw["canaries"]),
        coin=raw["coin"],
        key=raw.get("key", ""),
    )


def _member(row: dict[str, Any]) -> Member:
    several = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Member(**(row | several))
