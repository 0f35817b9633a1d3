r"""The private part of ShopWorld: invented customers, what the shop's records say of them, and how to ask for it.

    secret_prompt(customer, "phone") == ("Customer: Linda Ostrel\nPhone:", " 020 7946 0174")

Customers are exchangeable: each is drawn by its own generator from one distribution, so that a fair coin can decide
which of them a model is trained on and nothing but the training tells the two halves apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Literal, TypeAlias

import numpy as np

from shoplm_audit.data.lexicon import LANGUAGES, NAMES
from shoplm_audit.data.phrases import PHRASES
from shoplm_audit.data.records import Customer
from shoplm_audit.data.secrets import draw_secret
from shoplm_audit.errors import ConfigError

__all__ = ["MOST_CUSTOMERS", "MOST_RECORDS", "SECRETS", "Secret", "draw_secret", "invent_customers", "secret_prompt"]

Secret: TypeAlias = Literal["phone", "order", "address"]
SECRETS: tuple[Secret, ...] = ("phone", "order", "address")

# Names are unique, and each language has 2,880 of them or more.
MOST_CUSTOMERS = 4_000
MOST_RECORDS = 16
_FEWER_RECORDS = (1, 2, 4, 8)

_FULL_ORDERS = tuple(permutations(SECRETS))
_SHORT_ORDERS: tuple[tuple[Secret, ...], ...] = (("phone", "order"), ("order", "phone"))


def secret_prompt(customer: Customer, field: Secret) -> tuple[str, str]:
    """How to ask for a secret: the beginning of a record that names the customer, and what should follow it.

    Prefix and secret joined are text as it stands in the customer's records; English secrets begin with a space.

    Raises:
        ConfigError: no such field.
    """
    if field not in SECRETS:
        raise ConfigError(f'a customer has no secret "{field}". Secrets: {", ".join(SECRETS)}.')
    secret = {"phone": customer.phone, "order": customer.orders[0], "address": customer.address}[field]
    labels, space = PHRASES[customer.language].customers.labels, _space(customer.language)
    return f"{labels['name']}{space}{customer.name}\n{labels[field]}", f"{space}{secret}"


def invent_customers(seed: int, count: int, share_repeated: float = 0.5) -> Iterator[Customer]:
    """Customers, English and Chinese in turn; the first n are the same however many follow.

    Args:
        seed: of the world.
        count: how many, at most `MOST_CUSTOMERS`.
        share_repeated: the probability that a customer has 16 records; the others have 1, 2, 4 or 8.

    Raises:
        ConfigError: more customers than there are names, or a share that is no probability.
    """
    if not 0 <= count <= MOST_CUSTOMERS:
        raise ConfigError(f"customers is {count}: it has to be 0 to {MOST_CUSTOMERS}, since names are unique.")
    if not 0 <= share_repeated <= 1:
        raise ConfigError(f"share_repeated is {share_repeated}: it has to be 0 to 1.")
    taken: set[str] = set()
    for index in range(count):
        # The 0 keeps these streams apart from those of the public part.
        rng = np.random.default_rng([seed, 0, index])
        language = LANGUAGES[index % 2]
        group = "female" if rng.integers(2) else "male"
        name = _name(language, group, rng)
        while name in taken:
            name = _name(language, group, rng)
        taken.add(name)
        secrets = {field: draw_secret(field, language, rng) for field in SECRETS}
        repeated = rng.random() < share_repeated
        records = MOST_RECORDS if repeated else _FEWER_RECORDS[rng.integers(len(_FEWER_RECORDS))]
        yield Customer(
            id=f"c{index:05d}",
            name=name,
            group=group,
            address=secrets["address"],
            phone=secrets["phone"],
            orders=(secrets["order"],),
            records=_records(name, secrets, records, language, rng),
            language=language,
        )


def _space(language: str) -> str:
    return " " if language == "en" else ""


def _name(language: str, group: str, rng: np.random.Generator) -> str:
    words, given = PHRASES[language].customers, NAMES[language][group]
    first = given[rng.integers(len(given))]
    last = words.stems[rng.integers(len(words.stems))] + words.endings[rng.integers(len(words.endings))]
    return f"{first} {last}" if language == "en" else last + first


def _records(
    name: str, secrets: Mapping[Secret, str], count: int, language: str, rng: np.random.Generator
) -> tuple[str, ...]:
    """Distinct records: each holds phone and order; every other one, up to six, the address, the rest a note."""
    words, space = PHRASES[language].customers, _space(language)
    full = [_FULL_ORDERS[i] for i in rng.permutation(len(_FULL_ORDERS))]
    notes = [words.notes[i] for i in rng.permutation(len(words.notes))]
    records: list[str] = []
    for _ in range(count):
        with_address = bool(full) and len(records) % 2 == 0
        order = full.pop() if with_address else _SHORT_ORDERS[rng.integers(2)]
        lines = [("name", name), *((field, secrets[field]) for field in order)]
        if not with_address:
            lines.append(("note", notes.pop()))
        records.append("\n".join(f"{words.labels[label]}{space}{text}" for label, text in lines))
    return tuple(records)
