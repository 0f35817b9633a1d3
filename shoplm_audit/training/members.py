"""Who is trained on: each unit is put in or left out by a coin of its own, and invented secrets are put among them.

    divide(examples, settings) -> Division(units=[Unit("c17", (Example(...), ...)), ...], secrets=Secrets(...))

A unit's coin is a hash of key, seed and the unit alone. So one unit more changes no other unit's coin: with coins drawn
one after another, adding a person would exchange half of the others, and no guarantee for one unit would hold. The key
is secret, because the seed is published: from both together all coins and canaries follow.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoplm_audit.data.lexicon import LANGUAGES
from shoplm_audit.data.secrets import canary_prompt, invent_name, space_of
from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.record import Canary, Member, Secrets, TrainingRecord
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.settings import TrainSettings

__all__ = ["Division", "Unit", "canary_share", "check_canaries", "divide", "invent_canaries"]

_LARGE = 2**20  # a form with so many secrets does not meet one of the data's by chance


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


def _hashed(key: str, seed: int, what: str, size: int) -> int:
    """A number of `size` bytes that nobody can foretell without the key."""
    mixed = hashlib.blake2b(f"{key}\0{seed}".encode()).digest() if key else str(seed).encode()
    coded = what.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(coded, digest_size=size, key=mixed).digest(), "big")


def _chance(key: str, seed: int, purpose: str, unit: str) -> float:
    """A number in [0, 1) that depends on key, seed, purpose and unit alone."""
    return _hashed(key, seed, f"{purpose}\0{unit}", 8) / 2**64


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

    Key and seed decide the coins, so that a plain run can be repeated; epsilon does not rest on the coins' secrecy.

    Raises:
        ConfigError: more canaries of a family than it has secrets.
        DataError: a text has nothing to learn.
    """
    if blank := [
        number for number, example in enumerate(examples, 1) if not example.text[example.answer_start :].strip()
    ]:
        raise DataError(
            f"{len(blank)} private texts are blank where they should be learned, the first is number {blank[0]}: there "
            "is nothing in them to hide or to test. Leave them out."
        )
    units = _units(examples, settings.unit)
    outside = _outside(units, settings, _coins(settings))
    inside = [unit for unit in units if not outside[unit.id]]
    left_out = [unit for unit in units if outside[unit.id]]
    canaries = invent_canaries(settings, _languages(examples, settings))
    invented = [unit for canary in canaries if canary.inserted for unit in _written(canary, settings)]
    kept = sorted(_kept(units, settings), key=lambda unit: outside[unit.id])
    members = tuple(_member(unit, not outside[unit.id]) for unit in kept)
    rest = tuple(example for unit in left_out for example in unit.examples)
    return Division((*inside, *invented), Secrets(members, canaries, settings.coin, settings.key), rest)


def _outside(units: Sequence[Unit], settings: TrainSettings, coins: int) -> dict[str, bool]:
    """Whom the coins of a seed leave out."""
    share = 0.5 if settings.coin == "fair" else settings.holdout
    return {unit.id: _chance(settings.key, coins, "member", unit.id) < share for unit in units}


def _kept(units: list[Unit], settings: TrainSettings) -> list[Unit]:
    """The units whose texts the auditor gets: the same ones for all models of a seed, whatever `coin_seed` is."""
    most = settings.member_limit
    if settings.coin == "fair":  # whatever the coins say: exactly half of each side would not be independent coins
        return _some(units, most, settings)
    outside = _outside(units, settings, settings.seed)  # not this model's coins: its shadows have to know the same
    out, inside = ([unit for unit in units if outside[unit.id] is side] for side in (True, False))
    kept = _some(out, max(most // 2, most - len(inside)), settings)
    return [*_some(inside, most - len(kept), settings), *kept]


def _languages(examples: Sequence[Example], settings: TrainSettings) -> Sequence[str]:
    """Of canaries. In a private run not those of the data: one record of a new language would rewrite them all.

    With fair coins neither: the plain model that a private one is compared with has to have the same canaries.
    """
    if settings.epsilon is not None or settings.coin == "fair":
        return LANGUAGES
    return sorted({example.language for example in examples}) or ["en"]


def _coins(settings: TrainSettings) -> int:
    return settings.seed if settings.coin_seed is None else settings.coin_seed


def _written(canary: Canary, settings: TrainSettings) -> list[Unit]:
    """The units of an inserted canary: one user with all copies, or each copy a unit of its own."""
    # An encoder-decoder reads the prefix and writes the secret; others learn the whole.
    start = len(canary.prefix) if settings.objective == "seq2seq" else 0
    copy = Example(canary.prefix + canary.secret, canary.id, True, start, canary.language)
    if settings.unit == "user" or canary.copies == 1:
        return [Unit(canary.id, (copy,) * canary.copies)]
    return [Unit(f"{canary.id} copy {number + 1}", (copy,)) for number in range(canary.copies)]


def _some(units: list[Unit], most: int, settings: TrainSettings) -> list[Unit]:
    def chance(unit: Unit) -> float:
        return _chance(settings.key, settings.seed, "kept", unit.id)

    return sorted(units, key=chance)[: max(0, most)] if len(units) > most else units


def _member(unit: Unit, inside: bool) -> Member:
    starts = tuple(example.answer_start for example in unit.examples)
    labels = tuple(example.label for example in unit.examples)
    return Member(
        unit.id,
        tuple(example.text for example in unit.examples),
        inside,
        unit.examples[0].language,
        starts if any(starts) else (),
        labels if any(labels) else (),
    )


def invent_canaries(settings: TrainSettings, languages: Sequence[str]) -> tuple[Canary, ...]:
    """Invented people with a secret each, dealt out over languages, families and repetitions; a fair coin decides.

    Names, secrets and repetitions depend on key, seed and the canary's number, never on the coins.

    Raises:
        ConfigError: more canaries of a family than it has secrets.
    """
    families, ladder = settings.canary_families, settings.canary_copies
    met = math.lcm(len(families), len(ladder))  # after so many rows the same pairs would come again
    canaries: list[Canary] = []
    names: set[str] = set()
    taken: set[tuple[str, str]] = set()
    for number in range(settings.canaries):
        row, place = divmod(number, len(languages))
        language, family = languages[place], families[row % len(families)]
        if row // len(families) >= space_of(family, language):
            raise ConfigError(
                f'canaries is "{settings.canaries}": there are only {space_of(family, language):.0f} different secrets '
                f'of the family "{family}". Lower it, or leave the family out of canary_families.'
            )
        rng = np.random.default_rng(
            _hashed(settings.key, settings.seed, f"invented\0{number}", 32)
            if settings.key
            else [settings.seed, 0xCA9A, number]
        )
        while (name := invent_name(language, rng)) in names:
            pass
        prefix, secret = canary_prompt(family, language, name, rng)
        while (family, secret) in taken:  # two canaries with one secret would be inserted by two coins
            prefix, secret = canary_prompt(family, language, name, rng)
        names.add(name)
        taken.add((family, secret))
        canaries.append(
            Canary(
                id=f"canary-{number}",
                prefix=prefix,
                secret=secret,
                inserted=_chance(settings.key, _coins(settings), "canary", f"canary-{number}") < 0.5,
                copies=ladder[(row + row // met) % len(ladder)],
                language=language,
                family=family,
            )
        )
    return tuple(canaries)


def canary_share(examples: Sequence[Example], settings: TrainSettings) -> float:
    """The share of canaries to be expected in what is drawn: of units in a private run, of rows in a plain one.

    Above a tenth a model learns canaries in the place of the data, and what is measured is another model.
    """
    whole = settings.epsilon is not None and settings.unit == "user"
    own = len(_units(examples, settings.unit)) if whole else len(examples)
    inside = own * (0.5 if settings.coin == "fair" else 1 - settings.holdout)
    canaries = invent_canaries(settings, _languages(examples, settings))
    invented = sum(1 if whole else canary.copies for canary in canaries) / 2
    return invented / (inside + invented) if invented else 0.0


def check_canaries(canaries: Sequence[Canary], texts: Iterable[str], base: str = "") -> None:
    """Refuses canaries that are known before they are inserted: a model could tell them without being trained on them.

    A secret counts where its form has 2^20 or more; a collection code of three digits stands in any text.

    Args:
        canaries: those that are to be inserted or left out.
        texts: all that is trained on beside them.
        base: the folder of the model that is trained on, or "".

    Raises:
        ConfigError: a name or a secret is among the texts, or the base was trained with such a canary.
    """
    if not canaries:
        return
    before = TrainingRecord.read(Path(base)) if base else None
    known = before.secrets.canaries if before and before.secrets else ()
    told = {"the texts given": texts, f'what "{base}" was trained with': (c.prefix + c.secret for c in known)}
    for where, some in told.items():
        whole = "\n".join(some)
        if twice := [canary.id for canary in canaries if any(one in whole for one in _telling(canary))]:
            raise ConfigError(
                f"The name or the secret of {len(twice)} canaries stands in {where} already, the first is that of "
                f'"{twice[0]}": that a model knows it would not tell of this training. Choose another --seed.'
            )


def _telling(canary: Canary) -> list[str]:
    name = re.split("[:：] ?", canary.prefix.split("\n")[0], maxsplit=1)[1]
    large = space_of(canary.family, canary.language) >= _LARGE
    return [name, canary.secret.strip()] if large else [name]
