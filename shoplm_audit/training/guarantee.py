"""What a private run promises: fixed before its first step, written down after its last.

plan_private(settings, 0.5, public, private, units=400)
-> PrivatePlan(units=400, expected=20, rate=0.05, delta=0.00025, noise_multiplier=1.14)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplm_audit.errors import AuditError, ConfigError
from shoplm_audit.record import Guarantee, TrainingRecord
from shoplm_audit.training.accounting import ACCOUNTANT, default_delta, epsilon_spent, noise_for
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.state import State

__all__ = ["PrivatePlan", "guarantee_of", "plan_private"]

_ALSO_PUBLIC = 0.1  # stock phrases may occur in both; the same file given twice must not


@dataclass(frozen=True, slots=True)
class PrivatePlan:
    """What a private run has fixed before its first step."""

    units: int
    expected: float
    rate: float
    delta: float
    noise_multiplier: float


def plan_private(
    settings: TrainSettings, share: float, public: Sequence[Example], private: Sequence[Example], units: int
) -> PrivatePlan:
    """Refuses what no guarantee can be given for, then finds the noise.

    Args:
        settings: how it is trained.
        share: of the private part in each step.
        public: examples that are not protected.
        private: examples that are.
        units: how many private units were put in, N.

    Raises:
        ConfigError: no guarantee could be given, with the reason and the remedy.
    """
    if settings.unit == "user" and (nobody := sum(not example.unit for example in private)):
        raise ConfigError(
            f'{nobody} private records belong to no user. Give a user column, or protect the unit "record".'
        )
    if units < 2:
        raise ConfigError(
            f"{units} private units are left to train on: a unit alone cannot be hidden among others. Give more data."
        )
    if share == 0:
        raise ConfigError("private_share is 0: the private data would not be used. Raise it, or leave out epsilon.")
    known = {example.text for example in public}
    if (twice := sum(example.text in known for example in private)) > _ALSO_PUBLIC * len(private):
        raise ConfigError(
            f"{twice} of {len(private)} private records are also given as public, which hides nobody. Divide them."
        )
    delta = default_delta(units) if settings.delta is None else settings.delta
    if delta >= 1 / units:
        raise ConfigError(
            f"delta is {delta}: it has to be below 1/N = {1 / units:.2g}, or whole records may be given away."
        )
    expected = max(1, round(settings.batch * share))
    if expected > units:
        raise ConfigError(
            f"A step expects {expected} private units of {units}. Lower batch or private_share, or give more data."
        )
    before = TrainingRecord.read(Path(settings.base)) if settings.base else None
    if before is not None and (before.privacy or any(used.private for used in before.data)):
        raise ConfigError(
            f'"{settings.base}" was itself trained on private data, and the two trainings would have to be accounted '
            "for together. Start from a checkpoint of public data."
        )
    rate = expected / units
    noise = noise_for(settings.epsilon or 0.0, rate, settings.steps, delta)
    return PrivatePlan(units, expected, rate, delta, noise)


def guarantee_of(
    settings: TrainSettings,
    plan: PrivatePlan,
    state: State,
    preflight: str,
    data_card: Mapping[str, Any],
    insecure: bool,
) -> Guarantee:
    """The guarantee of a run; epsilon is computed anew and written rounded up.

    A run that stopped early is charged for all its planned steps: when it stops follows from what the steps gave away.

    Raises:
        AuditError: the ledger does not hold the steps that were planned, so nothing can be promised.
    """
    paid = {(noise, rate) for noise, rate, _ in state.ledger}
    if paid != {(plan.noise_multiplier, plan.rate)} or sum(n for _, _, n in state.ledger) != state.step:
        raise AuditError(f"The ledger of private steps is {state.ledger} after {state.step} steps: no guarantee holds.")
    epsilon = epsilon_spent(plan.rate, plan.noise_multiplier, settings.steps, plan.delta)
    rows = " rows of several texts" if settings.pack else ""
    whose = (
        f"all records of any one user (of which at most {settings.records_per_user}{rows}, drawn afresh, enter a step)"
        if settings.unit == "user"
        else "any one record (not of a person with several)"
    )
    sentence = (
        f"({math.ceil(epsilon * 1000) / 1000:g}, {plan.delta:g})-differential privacy for the presence of {whose}, "
        f"between data sets that differ by adding or removing one {settings.unit}. "
        f"Accounting by {ACCOUNTANT} for {settings.steps} steps, each drawing every one of {plan.units} units "
        f"independently with probability {plan.rate:.4g} (Poisson), clipping its gradient to norm "
        f"{settings.clip_norm:g} and adding Gaussian noise of {plan.noise_multiplier:.4g} times that to the sum. "
        "Not covered: public texts, whose gradient is added without noise; the tokenizer and a base checkpoint, which "
        "are taken to be made from public texts; the choice of settings; "
        "whether the run broke off and went on from a saved state; the printed counts of units and records; the "
        "run's time, memory, tokens and FLOPs, which are printed to two digits."
    )
    if settings.objective == "classify":
        sentence += " Not covered either: the list of labels, which is that of the data."
    if settings.searched:
        runs = "1 earlier run" if settings.searched == 1 else f"{settings.searched} earlier runs"
        sentence += f" These settings were chosen by {runs} on the same private data."
    if settings.siblings:
        sentence += (
            " Further models were trained on the same people, each under an epsilon of its own or none: for whoever "
            "sees several of them, the epsilons add up."
        )
    if any(card.get("touches_privacy") for card in data_card.values()):
        sentence += (
            " Repeated records were removed before training, so that one record could decide about another: the "
            "guarantee is that of the data that was left, not of the data before."
        )
    if settings.canaries:
        several = settings.unit == "record" and max(settings.canary_copies) > 1
        copies = ", copies of one as so many units." if several else "."
        sentence += f" Invented canaries are among the units, each under the same guarantee{copies}"
    return Guarantee(
        unit=settings.unit,
        epsilon=epsilon,
        delta=plan.delta,
        noise_multiplier=plan.noise_multiplier,
        sample_rate=plan.rate,
        steps=settings.steps,
        max_grad_norm=settings.clip_norm,
        units=plan.units,
        accountant=ACCOUNTANT,
        sentence=sentence,
        preflight=preflight,
        void="Noise and sampling came from a given seed: who knows it can take the noise off." if insecure else "",
    )
