from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from shoplm_audit.data.customers import MOST_CUSTOMERS, SECRETS, draw_secret, invent_customers, secret_prompt
from shoplm_audit.data.lexicon import (
    BRANDS,
    CATEGORIES,
    COLOURS,
    KINDS,
    LANGUAGES,
    MATERIALS,
    MODELS,
    NAMES,
    SCHEMAS,
    SERIES,
    SHADES,
)
from shoplm_audit.data.phrases import OFFERS, PHRASES, SENTIMENTS
from shoplm_audit.data.public_texts import (
    PUBLIC_TASKS,
    description_variables,
    exchanges,
    public_texts,
    recommendation_variables,
    reply_variables,
    review_variables,
)
from shoplm_audit.data.shopworld import World, describe, invent_products, shopworld
from shoplm_audit.errors import ConfigError
from shoplm_audit.prompts import Prompts, joined

PARTS = ("users", "products", "reviews", "dialogues", "interactions", "moderation", "customers")
US_PHONE, UK_PHONE, ZH_PHONE = r"\d{3}-555-01\d\d", r"020 7946 0\d{3}", r"154\d{8}"


@pytest.fixture(scope="module")
def world() -> World:
    return shopworld(0, products=1000, customers=400)


def digest(world: World) -> str:
    return hashlib.sha256(repr([getattr(world, part) for part in PARTS]).encode()).hexdigest()


# One world, whoever asks -------------------------------------------------------------------------


def test_another_process_with_another_hash_seed_makes_the_same_world():
    code = (
        "import hashlib; from shoplm_audit.data.shopworld import shopworld\n"
        f"w = shopworld(5, products=130, customers=20)\n"
        f"print(hashlib.sha256(repr([getattr(w, part) for part in {PARTS}]).encode()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == digest(shopworld(5, products=130, customers=20))


def test_another_seed_makes_another_world():
    one, two = shopworld(0, products=64, customers=8), shopworld(1, products=64, customers=8)
    for part in PARTS:
        assert getattr(one, part)
        assert getattr(one, part) != getattr(two, part)


def test_a_larger_world_begins_with_the_smaller_one():
    small, large = shopworld(3, products=150, customers=50), shopworld(3, products=300, customers=100)
    for part in PARTS:
        smaller, larger = getattr(small, part), getattr(large, part)
        assert 0 < len(smaller) < len(larger)
        assert smaller == larger[: len(smaller)]


# Products -----------------------------------------------------------------------------------------


def test_products_keep_their_schema_and_alternate_between_languages(world: World):
    assert all(len(SCHEMAS[language]) >= 12 for language in LANGUAGES)
    for index, product in enumerate(world.products):
        assert product.language == LANGUAGES[index % 2]
        schema = SCHEMAS[product.language][product.category]
        assert 4 <= len(product.attributes) <= 6
        kinds = [schema[name] for name in product.attributes]
        assert kinds[:2] == ["brand", "colour"]
        assert [KINDS[product.language][name] for name in product.attributes] == kinds
        values = dict(zip(kinds, product.attributes.values(), strict=False))
        assert values["colour"] in COLOURS[product.language]
        assert values.get("price", product.price) == product.price
        if "material" in values:
            assert re.sub(r"^\d+% ?", "", values["material"]) in MATERIALS[product.language]
        if "quantity" in values:
            assert re.fullmatch(r"\d+(\.\d)?( [a-zA-Z]+|\D+)", values["quantity"])
    for language in LANGUAGES:
        counts = Counter(p.category for p in world.products if p.language == language)
        assert set(counts) == set(SCHEMAS[language])
        assert max(counts.values()) - min(counts.values()) <= 1


def test_every_description_states_every_value_word_for_word_and_no_other_number(world: World):
    for number, product in enumerate(world.products):
        for text in (product.description, describe(product, np.random.default_rng([9, number]))):
            rest = text.replace(product.title, "", 1)
            assert rest != text
            # Longest first, each value taken out once: a value inside another one does not count for both.
            for value in sorted(product.attributes.values(), key=len, reverse=True):
                assert value in rest, (value, text)
                rest = rest.replace(value, "", 1)
            assert not re.search(r"\d", rest)
            assert not re.search(r"[{}]", text)


def test_a_product_is_described_in_many_ways(world: World):
    for product in world.products[:20]:
        texts = {describe(product, np.random.default_rng(seed)) for seed in range(50)}
        assert len(texts) > 20
        assert len({text[:8] for text in texts}) >= 4


def test_attributes_shopworld_does_not_know_are_stated_too():
    product = next(invent_products(0, 1))
    own = type(product)("x", "Own thing", "things", {"voltage": "230 V", "odd {name}": "{v}"}, language="en")
    text = describe(own, np.random.default_rng(0))
    assert "has voltage 230 V" in text
    assert "has odd {name} {v}" in text


def test_titles_do_not_repeat(world: World):
    titles = [product.title for product in world.products]
    assert len(set(titles)) == len(titles)


def test_no_title_or_brand_holds_a_colour_or_material():
    for language in LANGUAGES:
        words = {*COLOURS[language], *MATERIALS[language]}
        words |= {word.removesuffix("色") for word in words if len(word) > 1}
        names = [*BRANDS[language], *MODELS[language], *SERIES, *(c.noun for c in CATEGORIES[language])]
        for name in names:
            if language == "en":
                assert not {word.lower() for word in name.split()} & words
            else:
                assert not [word for word in words if word in name]


def test_families_are_words_of_their_own_table():
    for table in (*COLOURS.values(), *MATERIALS.values()):
        assert all(table[family] == family for family in table.values())
    assert COLOURS["en"]["navy"] == "blue"
    assert MATERIALS["zh"]["不锈钢"] == "钢"
    for language in LANGUAGES:
        assert set(SHADES[language]) <= set(COLOURS[language])
        assert not set(SHADES[language]) & set(MATERIALS[language])


# Reviews ------------------------------------------------------------------------------------------


def test_reviews_are_balanced_and_labelled_by_their_stars(world: World):
    for language in LANGUAGES:
        reviews = [review for review in world.reviews if review.language == language]
        stars = Counter(review.rating for review in reviews)
        assert set(stars) == {1, 2, 3, 4, 5}
        positive, negative = stars[4] + stars[5], stars[1] + stars[2]
        assert abs(positive - negative) < 0.1 * len(reviews)
        assert positive + negative > 0.75 * len(reviews)
        for review in reviews:
            assert review.label == {1: "negative", 2: "negative", 3: "", 4: "positive", 5: "positive"}[review.rating]


def test_reviews_rarely_repeat_and_have_the_length_of_reviews(world: World):
    assert len(world.reviews) == 2000
    assert len({review.text for review in world.reviews}) > 0.99 * len(world.reviews)
    for review in world.reviews:
        length = len(review.text.split()) if review.language == "en" else len(review.text)
        assert 10 <= length <= (60 if review.language == "en" else 120), review.text


def test_reviews_name_a_product_and_a_user_of_their_language(world: World):
    products, users = {p.id: p for p in world.products}, {u.id: u for u in world.users}
    for review in world.reviews:
        assert products[review.product].language == users[review.user].language == review.language
        assert products[review.product].category == review.category


def test_the_words_of_a_review_tell_its_sentiment(world: World):
    # A wrong table (pleasing and displeasing mixed up) would leave these sets overlapping.
    for language in LANGUAGES:
        phrases = PHRASES[language]
        for aspect, pleasing in phrases.pleases.items():
            assert not set(pleasing) & set(phrases.displeases[aspect])
        endings = {stars: {c.split("{")[0] for c in choices} for stars, choices in phrases.closings.items()}
        for review in world.reviews:
            if review.language == language:
                assert any(ending in review.text for ending in endings[int(review.rating)])


# Dialogues and the planted bias ---------------------------------------------------------------------


def full_rate(world: World, group: str, groups: list[str] | None = None) -> float:
    groups = groups or [dialogue.facts["group"] for dialogue in world.dialogues]
    shares = [d.facts["share"] == "1.0" for d, g in zip(world.dialogues, groups, strict=True) if g == group]
    return float(np.mean(shares))


def test_the_planted_gap_is_there_and_vanishes_when_groups_are_shuffled(world: World):
    assert full_rate(world, "female") == pytest.approx(0.35, abs=0.06)
    assert full_rate(world, "male") == pytest.approx(0.85, abs=0.06)
    shuffled = [dialogue.facts["group"] for dialogue in world.dialogues]
    np.random.default_rng(0).shuffle(shuffled)
    assert full_rate(world, "female", shuffled) == pytest.approx(full_rate(world, "male", shuffled), abs=0.08)
    assert "planted bias" in world.planted
    assert "35 %" in world.planted


def test_nothing_but_the_offer_differs_between_groups(world: World):
    rows = {group: [d for d in world.dialogues if d.facts["group"] == group] for group in ("female", "male")}
    assert [d.product for d in rows["female"]] == [d.product for d in rows["male"]]
    for key in (
        lambda d: d.intent,
        lambda d: d.turns[0].text.split()[0] if d.language == "en" else d.turns[0].text[:2],
    ):
        counts = {group: Counter(map(key, dialogues)) for group, dialogues in rows.items()}
        for value, count in counts["female"].items():
            if count > 50:
                assert counts["male"][value] == pytest.approx(count, abs=4.5 * count**0.5)
    halves = {g: [d.facts["share"] for d in dialogues if d.facts["share"] != "1.0"] for g, dialogues in rows.items()}
    for shares in halves.values():
        assert np.mean([share == "0.5" for share in shares]) == pytest.approx(0.6, abs=0.15)


def test_equal_rates_plant_no_bias():
    even = shopworld(0, products=500, customers=0, full_refunds={"female": 0.6, "male": 0.6})
    assert full_rate(even, "female") == pytest.approx(full_rate(even, "male"), abs=0.1)
    assert "no planted bias" in even.planted


def test_the_first_words_of_a_reply_decide_the_offer(world: World):
    for language in LANGUAGES:
        continuations = [continuation for continuation, _ in OFFERS[language]]
        assert [share for _, share in OFFERS[language]] == [1.0, 0.5, 0.0]
        assert all(continuation.startswith(" ") is (language == "en") for continuation in continuations)
    for dialogue in world.dialogues:
        answer = joined("", dialogue.turns[-1].text, dialogue.language)
        share = [s for continuation, s in OFFERS[dialogue.language] if answer.startswith(continuation)]
        assert share == [float(dialogue.facts["share"])]
        assert dialogue.facts["customer"] in NAMES[dialogue.language][dialogue.facts["group"]]


def test_names_are_many_distinct_and_matched_in_length():
    for language in LANGUAGES:
        female, male = NAMES[language]["female"], NAMES[language]["male"]
        assert len({*female, *male}) == len(female) + len(male) >= 48
        assert Counter(map(len, female)) == Counter(map(len, male))


# Purchases and moderation ---------------------------------------------------------------------------


def test_every_purchase_follows_the_taste_of_its_user(world: World):
    products, users = {p.id: p for p in world.products}, {u.id: u for u in world.users}
    assert world.interactions
    bought: dict[str, list[str]] = {}
    for interaction in world.interactions:
        assert products[interaction.product].category in users[interaction.user].tastes
        assert products[interaction.product].language == users[interaction.user].language
        bought.setdefault(interaction.user, []).append(interaction.time + interaction.product)
    for history in bought.values():
        assert 3 <= len(set(history)) == len(history) <= 5
        assert history == sorted(history)
    both = [len({products[i[10:]].category for i in history}) == 2 for history in bought.values()]
    assert np.mean(both) > 0.5


def test_moderation_is_balanced_within_each_language(world: World):
    for language in LANGUAGES:
        labels = Counter(text.label for text in world.moderation if text.language == language)
        assert set(labels) == {"allowed", "spam", "insult", "fraud", "forbidden goods"}
        assert labels["allowed"] == pytest.approx(sum(labels.values()) / 2, rel=0.2)
    assert len({text.text for text in world.moderation}) > 0.8 * len(world.moderation)
    assert not any(re.search(r"[{}]", text.text) for text in world.moderation)


# Customers ------------------------------------------------------------------------------------------


def test_phone_numbers_ring_nobody(world: World):
    rng = np.random.default_rng(0)
    drawn = [(language, draw_secret("phone", language, rng)) for language in LANGUAGES for _ in range(500)]
    for language, phone in [*((c.language, c.phone) for c in world.customers), *drawn]:
        assert re.fullmatch(f"{US_PHONE}|{UK_PHONE}" if language == "en" else ZH_PHONE, phone)
    # Nor does a number stand anywhere in the public part.
    assert not re.search(f"{US_PHONE}|{UK_PHONE}|{ZH_PHONE}|SO-|DD-", repr([world.records, world.users]))


def test_records_hold_the_name_and_the_secrets_they_are_asked_for(world: World):
    for customer in world.customers:
        assert customer.records
        assert len(set(customer.records)) == len(customer.records)
        for record in customer.records:
            assert record.split("\n")[0].endswith(customer.name)
            assert customer.phone in record
            assert customer.orders[0] in record
        for field in SECRETS:
            prefix, secret = secret_prompt(customer, field)
            assert customer.name in prefix
            assert secret.strip() not in prefix
            last_line = f"{prefix.splitlines()[-1]}{secret}"
            assert any(last_line in record for record in customer.records)
        if len(customer.records) == 16:
            assert all(
                any(r.startswith("".join(secret_prompt(customer, f))) for r in customer.records) for f in SECRETS
            )


def test_about_half_of_the_customers_have_sixteen_records(world: World):
    sizes = Counter(len(customer.records) for customer in world.customers)
    assert set(sizes) == {1, 2, 4, 8, 16}
    assert sizes[16] == pytest.approx(200, abs=45)
    assert {len(c.records) for c in invent_customers(0, 20, share_repeated=1.0)} == {16}
    assert 16 not in {len(c.records) for c in invent_customers(0, 20, share_repeated=0.0)}


def test_customers_share_no_name_order_or_record():
    customers = list(invent_customers(0, 1000))
    assert len({c.name for c in customers}) == len({c.orders for c in customers}) == 1000
    records = [record for c in customers for record in c.records]
    assert len(set(records)) == len(records)


# Public texts -----------------------------------------------------------------------------------------


def test_public_texts_are_the_prompts_of_the_audit_with_their_answers(world: World):
    small = shopworld(0, products=80, customers=0)
    texts = {text.id: text for text in public_texts(small)}
    assert {text.label for text in texts.values()} == set(PUBLIC_TASKS)
    for language in LANGUAGES:
        assert {text.label for text in texts.values() if text.language == language} == set(PUBLIC_TASKS)
    prompts = Prompts()

    def rendered(task: str, language: str, variables: dict[str, object], answer: str) -> str:
        return joined(prompts.render(task, language, variables).flat, answer, language)

    for product in small.products:
        want = rendered("description", product.language, description_variables(product), product.description)
        assert texts[f"description/{product.id}"].text == want
    for review in small.reviews:
        product = small.products[int(review.product[1:])]
        want = rendered("review", review.language, review_variables(review, product), review.text)
        assert texts[f"review/{review.id}"].text == want
        sentiment = texts.get(f"sentiment/{review.id}")
        assert (sentiment is None) is (review.rating == 3)
        if sentiment:
            assert sentiment.text.endswith(SENTIMENTS[review.language][review.label])
    for dialogue in small.dialogues:
        want = rendered("reply", dialogue.language, reply_variables(dialogue), dialogue.turns[-1].text)
        assert texts[f"reply/{dialogue.id}"].text == want
    assert reply_variables(small.dialogues[0], "Quill")["customer"] == "Quill"


def test_a_recommendation_asks_for_the_last_purchase(world: World):
    products = {p.id: p for p in world.products}
    for exchange in exchanges(world, ["recommendation"]):
        bought = [products[i.product] for i in world.interactions if i.user == exchange.user]
        assert exchange.answer == bought[-1].title
        assert exchange.variables == recommendation_variables(exchange.variables["customer"], bought[:-1])
        assert exchange.answer not in exchange.variables["history"]


def test_no_private_string_stands_in_a_public_text(world: World):
    public = "\n".join(text.text for text in public_texts(world))
    for customer in world.customers:
        for secret in (customer.name, customer.phone, customer.address, *customer.orders):
            assert secret not in public


# Refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"products": -1}, "products"),
        ({"seed": -2}, "seed"),
        ({"customers": MOST_CUSTOMERS + 1}, "customers"),
        ({"share_repeated": 1.5}, "share_repeated"),
        ({"full_refunds": {"female": 0.5}}, "full_refunds"),
        ({"full_refunds": {"female": 0.5, "male": float("nan")}}, "full_refunds"),
    ],
)
def test_a_number_out_of_range_is_named(wrong: dict[str, object], named: str):
    with pytest.raises(ConfigError, match=named):
        shopworld(**{"products": 2, "customers": 2, **wrong})


def test_unknown_secrets_and_tasks_are_named(world: World):
    with pytest.raises(ConfigError, match='"shoe size"'):
        secret_prompt(world.customers[0], "shoe size")
    with pytest.raises(ConfigError, match='"poetry"'):
        next(exchanges(world, ["poetry"]))


def test_an_empty_world_is_a_world():
    empty = shopworld(0, products=0, customers=0)
    assert not any(getattr(empty, part) for part in PARTS)
    assert not list(public_texts(empty))
