"""Invented secrets: who they might belong to (nobody), how many there are, and the others of the same form."""

import math
import re
from collections import Counter
from itertools import product

import numpy as np
import pytest

from shoplm_audit.data.customers import invent_customers, secret_prompt
from shoplm_audit.data.secrets import (
    FAMILIES,
    canary_prompt,
    draw_secret,
    invent_name,
    others,
    others_possible,
    space_of,
)
from shoplm_audit.errors import ConfigError
from shoplm_audit.record import Canary

# Written down anew, so that a change of a form is seen.
FORMS = {
    ("order", "en"): r"SO-[0-9]{8}",
    ("order", "zh"): r"DD-[0-9]{8}",
    ("phone", "en"): r"020 7946 0[0-9]{3}|[2-9][0-9]{2}-555-01[0-9]{2}",
    ("phone", "zh"): r"154[0-9]{8}",
    ("address", "en"): r"[1-9][0-9]{0,2} [A-Z][a-z]+ [A-Z][a-z]+, [A-Z][a-z]+( Bay)?",
    ("address", "zh"): r"\w{2}市\w{2}[路街巷][1-9][0-9]{0,2}号",
    ("voucher", "en"): r"[A-Z2-9]{3}-[A-Z2-9]{3}-[A-Z2-9]{3}",
    ("voucher", "zh"): r"[A-Z2-9]{3}-[A-Z2-9]{3}-[A-Z2-9]{3}",
    ("pin", "en"): r"[0-9]{3}",
    ("pin", "zh"): r"[0-9]{3}",
    ("random", "en"): r"([a-z][aeo]){4} ([a-z][aeo]){4}",
    ("random", "zh"): r"[一-鿿]{5}",
}
EVERY = pytest.mark.parametrize(("family", "language"), list(product(FAMILIES, ("en", "zh"))))


def canary(family, language, seed=0, **changes):
    rng = np.random.default_rng(seed)
    prefix, secret = canary_prompt(family, language, invent_name(language, rng), rng)
    told = {"id": "c", "prefix": prefix, "secret": secret, "inserted": True, "copies": 1}
    return Canary(**(told | {"language": language, "family": family} | changes))


@EVERY
def test_drawn_and_other_secrets_have_their_familys_form_and_stand_as_the_secret_stands(family, language):
    rng = np.random.default_rng(1)
    own = canary(family, language)
    lead = " " if language == "en" else ""
    drawn = [lead + draw_secret(family, language, rng) for _ in range(200)]
    for secret in (own.secret, *drawn, *others(own, 63, rng)):
        assert re.fullmatch(lead + f"(?:{FORMS[family, language]})", secret), secret


@EVERY
def test_others_are_as_many_as_asked_for_distinct_and_never_the_secret(family, language):
    for seed in range(5):
        own = canary(family, language, seed)
        found = others(own, 63, np.random.default_rng(seed))
        assert len(found) == len(set(found)) == (999 if family == "pin" else 63)
        assert own.secret not in found
        assert found == others(own, 63, np.random.default_rng(seed))
        assert found != others(own, 63, np.random.default_rng(seed + 1))


@EVERY
def test_a_space_is_as_large_as_the_number_of_its_secrets(family, language):
    size = space_of(family, language)
    if size > 1e5:
        assert size >= 2**20
        assert size >= 2**40 or family in ("order", "phone")
        return
    rng = np.random.default_rng(0)
    draws = int(30 * size) if size < 1e4 else 100_000
    seen = {draw_secret(family, language, rng) for _ in range(draws)}
    # All of a small space; of addresses as many as so many draws from so large a space meet.
    expected = size if size < 1e4 else size * -math.expm1(-draws / size)
    assert abs(len(seen) - expected) <= (0 if size < 1e4 else 6 * math.sqrt(size * math.exp(-draws / size)))


def test_the_sizes_of_the_spaces():
    assert space_of("order", "en") == space_of("phone", "zh") == 1e8
    assert space_of("phone", "en") == 1000 + 40 * 100
    assert space_of("address", "en") == space_of("address", "zh") == 199 * 12 * 8
    assert space_of("pin", "zh") == 1000
    assert space_of("voucher", "en") == 25**9
    assert space_of("random", "en") == 39**8


def test_all_others_are_told_of_a_small_family_whatever_is_asked_for():
    own = canary("pin", "zh")
    found = others(own, 5, np.random.default_rng(0))
    assert sorted((*found, own.secret)) == [f"{n:03d}" for n in range(1000)]


def test_a_telephone_number_is_compared_with_those_of_its_own_form():
    for seed in range(12):
        own = canary("phone", "en", seed)
        british = own.secret.startswith(" 020")
        found = others(own, 63, np.random.default_rng(seed))
        assert {secret.startswith(" 020") for secret in found} == {british}
        assert others_possible(own) == (999 if british else 3999)


@pytest.mark.parametrize("family", ["order", "address", "voucher", "random"])
def test_others_are_uniform_at_every_place(family):
    """Sorting and cutting, as after a collision, would leave the alphabet's first."""
    own = canary(family, "zh" if family == "order" else "en")
    found = others(own, 4000, np.random.default_rng(3))
    for place in (0, 3, -1) if family != "order" else (3, -1):
        if family == "address":
            counts = Counter(secret.split(", ")[1] for secret in found)
        else:
            counts = Counter(secret.lstrip()[place] for secret in found)
        share = len(found) / len(counts)
        if family != "random":
            assert all(abs(count - share) < 5 * math.sqrt(share) for count in counts.values()), counts
    halves = [np.mean([secret > own.secret for secret in half]) for half in (found[:2000], found[2000:])]
    assert abs(halves[0] - halves[1]) < 5 * math.sqrt(0.5 / 2000)


def test_a_secret_of_another_form_is_compared_with_the_same_text_under_other_digits():
    bare = canary("order", "en", secret=" 12345678")
    found = others(bare, 500, np.random.default_rng(0))
    assert len(set(found)) == 500
    assert all(re.fullmatch(" [0-9]{8}", secret) for secret in found)
    mixed = canary("order", "en", secret="Ref 7/B")
    assert sorted(others(mixed, 63, np.random.default_rng(0))) == [f"Ref {n}/B" for n in range(10) if n != 7]
    assert others(canary("order", "en", secret="no digits"), 63, np.random.default_rng(0)) == ()


def test_a_telephone_number_of_an_old_record_is_not_mixed_with_numbers_of_strangers():
    customer = next(invent_customers(0, 1))
    prefix, secret = secret_prompt(customer, "phone")
    found = others(Canary("c", prefix, secret, True, 16), 63, np.random.default_rng(0))
    assert all(re.fullmatch(f" (?:{FORMS['phone', 'en']})", other) for other in found)


@EVERY
def test_a_prompt_names_the_person_and_ends_where_the_secret_begins(family, language):
    rng = np.random.default_rng(0)
    names = {invent_name(language, rng) for _ in range(300)}
    assert len(names) > 290
    prefix, secret = canary_prompt(family, language, "N. N.", rng)
    assert "N. N." in prefix
    assert prefix.endswith("：" if language == "zh" else ":")
    assert secret.startswith(" ") == (language == "en")
    assert secret.strip() not in prefix


def test_an_unknown_family_is_refused_by_name():
    for call in (draw_secret, lambda *a: space_of(*a[:2]), lambda f, lang, rng: canary_prompt(f, lang, "X", rng)):
        with pytest.raises(ConfigError, match='"shoe size"'):
            call("shoe size", "en", np.random.default_rng(0))
    with pytest.raises(ConfigError, match='"shoe size"'):
        others(Canary("c", "Size:", " 43", True, 1, family="shoe size"), 3, np.random.default_rng(0))
