"""Who is trained on: each unit is put in or left out by a coin of its own, and invented secrets are put among them.

    divide(examples, settings) -> Division(units=[Unit("c17", (Example(...), ...)), ...], secrets=Secrets(...))

A unit's coin is a keyed hash of the seed and the unit alone. So one unit more changes no other unit's coin: with coins
drawn one after another, adding a person would exchange half of the others, and no guarantee for one unit would hold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoplm_audit.prompts import joined
from shoplm_audit.record import Canary, Member, Secrets
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.settings import TrainSettings

__all__ = ["Division", "Unit", "divide", "invent_canaries"]

_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnrstvz" for vowel in "aeo")
_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨"
_GIVEN = "岚柯澄霁岑榆砚舒珂昀芷棠澈彦祺筠"
_DIGITS = 8  # 10^8 secrets: more than 2^20, so that exposure can tell extraction from chance


@dataclass(frozen=True, slots=True)
class Unit:
    """One protected unit: a record alone, or all records of one user."""

    id: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Division:
    """The units to train on, canaries among them, what the auditor has to know, and the examples that were left out."""

    units: tuple[Unit, ...]
    secrets: Secrets
    left_out: tuple[Example, ...] = ()


def _chance(seed: int, purpose: str, unit: str) -> float:
    """A number in [0, 1) that depends on seed, purpose and unit alone."""
    coded = f"{purpose}\0{unit}".encode("utf-8", "surrogatepass")
    drawn = hashlib.blake2b(coded, digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(drawn, "big") / 2**64


def _units(examples: Sequence[Example], kind: str) -> list[Unit]:
    if kind == "user":
        by_user: dict[str, list[Example]] = {}
        for number, example in enumerate(examples):
            by_user.setdefault(example.unit or f"record {number}", []).append(example)
        return [Unit(user, tuple(own)) for user, own in by_user.items()]
    seen: Counter[str] = Counter()
    units = []
    for example in examples:
        # Named by its content, not by its row: a row more must not rename the rows after it.
        told = f"{example.unit}\0{example.label}\0{example.answer_start}\0{example.read_only}\0{example.text}"
        name = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:20]
        seen[name] += 1
        units.append(Unit(f"{name}-{seen[name]}", (example,)))
    return units


def divide(examples: Sequence[Example], settings: TrainSettings) -> Division:
    """Puts private units in or leaves them out, and inserts canaries.

    The seed decides the coins, so that a plain run can be repeated; epsilon does not rest on the coins' secrecy.
    """
    share_out = 0.5 if settings.coin == "fair" else settings.holdout
    units = _units(examples, settings.unit)
    outside = [_chance(settings.seed, "member", unit.id) < share_out for unit in units]
    inside = [unit for unit, out in zip(units, outside, strict=True) if not out]
    left_out = [unit for unit, out in zip(units, outside, strict=True) if out]
    # Were they those of the data, one record of a new language would rewrite every canary, and canaries are units too.
    both, own = ["en", "zh"], sorted({example.language for example in examples}) or ["en"]
    canaries = invent_canaries(settings, own if settings.epsilon is None else both)
    invented = [
        Unit(
            canary.id,
            (_example(canary, settings.objective),) * canary.copies,
        )
        for canary in canaries
        if canary.inserted
    ]
    half = settings.member_limit // 2
    kept_out = _some(left_out, max(half, settings.member_limit - len(inside)), settings.seed)
    kept_in = _some(inside, settings.member_limit - len(kept_out), settings.seed)
    members = [_member(unit, True) for unit in kept_in] + [_member(unit, False) for unit in kept_out]
    rest = tuple(example for unit in left_out for example in unit.examples)
    return Division((*inside, *invented), Secrets(tuple(members), canaries, settings.coin), rest)


def _example(canary: Canary, objective: str) -> Example:
    # An encoder-decoder reads the prefix and writes the secret; others learn the whole.
    start = len(canary.prefix) if objective == "seq2seq" else 0
    text = joined(canary.prefix, canary.secret, canary.language)
    return Example(text, canary.id, True, start, canary.language)


def _some(units: list[Unit], most: int, seed: int) -> list[Unit]:
    return (
        sorted(units, key=lambda unit: _chance(seed, "kept", unit.id))[: max(0, most)] if len(units) > most else units
    )


def _member(unit: Unit, inside: bool) -> Member:
    return Member(unit.id, tuple(example.text for example in unit.examples), inside, unit.examples[0].language)


def invent_canaries(settings: TrainSettings, languages: Sequence[str]) -> tuple[Canary, ...]:
    """Invented customers with an order number of eight uniform digits each; a fair coin decides on each."""
    rng = np.random.default_rng([settings.seed, 0xCA9A])
    names: dict[str, str] = {}
    while len(names) < settings.canaries:
        language = languages[len(names) % len(languages)]
        if language == "zh":
            name = rng.choice(list(_SURNAMES)) + "".join(rng.choice(list(_GIVEN), 3))
        else:
            name = " ".join("".join(rng.choice(_SYLLABLES, 3)).capitalize() for _ in range(2))
        names.setdefault(str(name), language)
    canaries = []
    for number, (name, language) in enumerate(names.items()):
        secret = "".join(str(digit) for digit in rng.integers(0, 10, _DIGITS))
        prefix = f"顾客：{name}\n订单号：" if language == "zh" else f"Customer: {name}\nOrder number:"
        inserted = _chance(settings.seed, "canary", f"canary-{number}") < 0.5
        copies = settings.canary_copies if settings.unit == "user" else 1
        canaries.append(Canary(f"canary-{number}", prefix, secret, inserted, copies, language))
    return tuple(canaries)
