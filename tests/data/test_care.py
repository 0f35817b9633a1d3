"""What care does to records, and whether its card says so."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from shoplm_audit.data.card import EXAMPLES, DataCard
from shoplm_audit.data.care import Care, cared_for, check
from shoplm_audit.data.records import Customer, Dialogue, Interaction, Product, Review, Text
from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.types import Turn

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"
LONG = "This kettle boils fast, looks good on the counter and has a handle that never gets hot in daily use"

REVIEWS = [
    Review("r1", "p1", LONG, user="u1"),
    Review("r2", "p1", LONG.upper(), user="u1"),  # exact, same user
    Review("r3", "p1", LONG + " really", user="u2"),  # near, another user
    Review("r4", "p2", "Call me at 206-555-0107", title="From mei@example.com", user="Mira Oduya"),
    Review("r5", "p2", "spam spam", user="u3"),
    Review("r6", "p3", "很好", language="zh"),
    Review("r7", "p4", "很好", language="zh"),  # exact, no user is known
]


def test_nothing_is_done_unless_it_is_asked_for() -> None:
    kept, card = cared_for(REVIEWS, Care())
    assert kept == REVIEWS
    assert (card.read, card.kept, card.dropped, card.personal) == (7, 7, {}, {})
    assert not Care()
    assert all((Care(deduplicate=True), Care(scrub=True), Care(banned=("x",))))


def test_the_card_counts_what_was_done_and_names_rows_only() -> None:
    kept, card = cared_for(REVIEWS, Care(deduplicate=True, scrub=True, banned=("x", "spam")))
    assert [review.id for review in kept] == ["r1", "r4", "r6"]
    assert (kept[1].title, kept[1].text) == ("From [EMAIL]", "Call me at [PHONE]")
    assert kept[1].user == "Mira Oduya"
    assert card.as_dict() == {
        "settings": {"deduplicate": True, "near": 0.8, "scrub": True, "banned": 2, "swap": False},
        "private": False,
        "touches_privacy": False,
        "read": 7,
        "kept": 3,
        "dropped": {"banned words": 1, "exact duplicates": 2, "near-duplicates": 1},
        "rows": {"banned words": [5], "exact duplicates": [2, 7], "near-duplicates": [3], "personal data": [4]},
        "banned_entries": {"2": 1},
        "personal": {"email": 1, "phone": 1},
        "with_personal": 1,
        "duplicate_groups": 2,
        "duplicates_across_users": 1,
        "languages": {"en": 5, "zh": 2},
        "characters": {"least": 2, "median": 23, "most_of_95_percent": 106, "most": 106},
    }
    assert card.kept == len(kept) == card.read - sum(card.dropped.values())


def test_the_card_quotes_no_text_and_no_id() -> None:
    _, card = cared_for(REVIEWS, Care(deduplicate=True, scrub=True, banned=("spam",)))
    shown = json.dumps(card.as_dict(), ensure_ascii=False) + card.as_text()
    for review in REVIEWS:
        assert not any(value and value in shown for value in (review.id, review.text, review.title, review.user))
    assert "spam" not in shown


def test_the_card_reads_well() -> None:
    _, card = cared_for(REVIEWS, Care(deduplicate=True, scrub=True, banned=("x", "spam")))
    assert card.as_text() == (
        "Data care: 7 records read, 3 kept, 4 dropped.\n"
        "  banned words             1  row 5; by entry of the list: 2 (1 record)\n"
        "  exact duplicates         2  rows 2, 7\n"
        "  near-duplicates          1  row 3; at least 0.8 of their word triples (Chinese: 4-grams) are shared\n"
        "Personal data replaced in 1 record: 1 email, 1 phone; row 4\n"
        "Groups of duplicates: 2, of them 1 of several users "
        "(hiding one record, or one such user, does not hide their text).\n"
        "Languages: en 5, zh 2\n"
        "Characters: 2 to 106, median 23, 95 % have at most 106"
    )


def test_only_the_first_rows_of_a_reason_are_named() -> None:
    _, card = cared_for([Review(f"r{i}", "p", "same text") for i in range(40)], Care(deduplicate=True))
    assert card.rows["exact duplicates"] == [2, 3, 4, 5, 6]
    assert len(card.rows["exact duplicates"]) == EXAMPLES
    assert "rows 2, 3, 4, 5, 6, ..." in card.as_text()


def test_private_duplicates_touch_privacy_and_no_count_of_private_records_is_published() -> None:
    unlike = [Review("a", "p", "one text"), Review("b", "p", "quite another")]
    for records in (REVIEWS, unlike):  # whether any was found is an answer of the data, too
        _, card = cared_for(records, Care(deduplicate=True, scrub=True), private=True)
        assert card.touches_privacy
        assert "not covered by the guarantee" in card.as_text()
        assert card.as_dict().keys() == {"settings", "private", "touches_privacy", "withheld"}
    assert f"{len(REVIEWS)} records read" in cared_for(REVIEWS, Care(), private=True)[1].as_text()
    for care, private in ((Care(scrub=True, banned=("spam",)), True), (Care(deduplicate=True), False)):
        _, card = cared_for(REVIEWS, care, private=private)
        assert not card.touches_privacy
        assert "guarantee" not in card.as_text()


def test_names_of_a_record_go_from_its_texts_and_from_what_prompts_say() -> None:
    talk = Dialogue(
        "d1",
        (Turn("user", "Mira Oduya here, order SO-12345678"), Turn("assistant", "Hello Ms Oduya, and hello Anna Berg!")),
        facts={"customer": "Mira Oduya", "order": "SO-12345678", "group": "female"},
    )
    review = Review("r", "p", "Mira Oduya again: solid", user="Mira Oduya")
    by_id = Review("s", "p", "Kindle Customer service is kind", user="Kindle Customer")
    text = Text("t", "王伟推荐", user="王伟", language="zh")
    kept, card = cared_for([talk, review, by_id, text], Care(scrub=True))
    assert [turn.text for turn in kept[0].turns] == [
        "[NAME] here, order [ORDER]",
        "Hello Ms [NAME], and hello Anna Berg!",
    ]
    assert kept[0].facts["customer"] == "[NAME]"
    assert [record.text for record in kept[1:]] == ["[NAME] again: solid", by_id.text, "[NAME]推荐"]
    assert card.personal == {"name": 4, "order": 1}


def test_every_text_of_every_kind_is_scrubbed_and_attributes_are_not() -> None:
    mail = "mei@example.com"
    records = [
        Product("p", f"Kettle {mail}", "kettles", {"contact": mail}, description=mail),
        Review("r", "p", mail, title=mail),
        Dialogue("d", (Turn("user", mail), Turn("assistant", mail))),
        Text("t", mail),
        Customer("c", "Ann Lee", "", "12 Elm Road, York", "206-555-0107", (), (mail, "Ann Lee\n12 Elm Road, York")),
        Interaction("u", "p"),
    ]
    kept, card = cared_for(records, Care(scrub=True))
    assert card.personal == {"address": 1, "email": 8, "name": 1}
    assert card.with_personal == 5
    assert kept[0].attributes == {"contact": mail}
    assert kept[4].records == ("[EMAIL]", "[NAME]\n[ADDRESS]")
    assert kept[5] is records[5]


def test_duplicates_are_those_of_the_text_that_is_trained_on() -> None:
    records = [Text("a", "Ring 206-555-0107 now", user="a"), Text("b", "Ring 206-555-0142 now", user="b")]
    assert [len(cared_for(records, Care(deduplicate=True, scrub=scrub))[0]) for scrub in (False, True)] == [2, 1]


def test_a_user_who_is_not_named_is_no_second_user() -> None:
    records = [Review("a", "p", "same", user="u"), Review("b", "p", "same"), Review("c", "p", "same", user="u")]
    _, card = cared_for(records, Care(deduplicate=True))
    assert (card.duplicate_groups, card.duplicates_across_users) == (1, 0)


def test_users_of_scrubbed_dialogues_are_still_told_apart() -> None:
    talks = [
        Dialogue(name, (Turn("user", "Where is it?"),), facts={"customer": name}) for name in ("Ann Lee", "Bo Day")
    ]
    _, card = cared_for(talks, Care(deduplicate=True, scrub=True))
    assert (card.duplicate_groups, card.duplicates_across_users) == (1, 1)


def test_products_of_equal_title_differ_by_their_attributes_and_interactions_stay() -> None:
    shirts = [
        Product(str(i), "T-shirt", "shirts", {"colour": colour}) for i, colour in enumerate(("red", "blue", "red"))
    ]
    bought = [Interaction("u", "p"), Interaction("u", "p")]
    kept, card = cared_for([*shirts, *bought], Care(deduplicate=True))
    assert kept == [*shirts[:2], *bought]
    assert card.languages == {"en": 3}


def test_a_banned_word_counts_in_titles_and_in_the_text_as_it_was_read() -> None:
    records = [Review("a", "p", "fine", title="SPAM!"), Review("b", "p", "to spam@example.com"), Review("c", "p", "ok")]
    kept, card = cared_for(records, Care(scrub=True, banned=("spam",)))
    assert [record.id for record in kept] == ["c"]
    assert card.dropped == {"banned words": 2}
    assert card.personal == {}


def test_the_customers_of_shopworld_keep_no_secret() -> None:
    customers = list(shopworld(0, products=4, customers=12).customers)
    kept, card = cared_for(customers, Care(scrub=True), private=True)
    assert card.with_personal == len(kept) == 12
    for before, after in zip(customers, kept, strict=True):
        assert len(after.records) == len(before.records)
        secrets = (before.name, before.phone, before.address, *before.orders)
        assert not any(secret in record for record in after.records for secret in secrets)


def test_texts_are_not_held_twice() -> None:
    records = [Text(str(i), " ".join(f"{i * j}" * 80 for j in range(30))) for i in range(1, 700)]
    size = sum(len(record.text) for record in records)
    tracemalloc.start()
    cared_for(iter(records), Care(deduplicate=True))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 2


def test_no_record_at_all_gives_an_empty_card() -> None:
    kept, card = cared_for([], Care(deduplicate=True, scrub=True, banned=("x",)))
    assert kept == []
    assert card.as_text().startswith("Data care: 0 records read, 0 kept, 0 dropped.")
    json.dumps(card.as_dict(), allow_nan=False)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match='near is "0"'):
        Care(near=0)
    with pytest.raises(ConfigError, match="blank"):
        Care(banned=("",))


# check --------------------------------------------------------------------------------------------


def _file(path: Path) -> Path:
    rows = [{"product": r.product, "text": r.text, "user": r.user, "title": r.title} for r in REVIEWS]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    lines.insert(1, '{"product": "p9"}')  # a bad row
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_check_counts_what_care_would_do_and_changes_nothing(tmp_path: Path) -> None:
    path = _file(tmp_path / "reviews.jsonl")
    before = path.read_bytes()
    found, done = check(path), cared_for(REVIEWS, Care(deduplicate=True, scrub=True))[1]
    assert found.as_dict() == done.as_dict()
    assert not found.applied
    assert "7 records read, 4 kept, 3 to drop" in found.as_text()
    assert "Personal data found in 1 record" in found.as_text()
    assert path.read_bytes() == before


def test_a_check_with_a_banned_list_counts_rows_right(tmp_path: Path) -> None:
    care = Care(deduplicate=True, banned=("spam",))
    card = check(_file(tmp_path / "reviews.jsonl"), "reviews", care=care)
    assert card.as_dict() == cared_for(REVIEWS, care)[1].as_dict()


def test_a_check_takes_a_mapping_and_names_a_file_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("wie,was\na,gut\nb,gut\n", encoding="utf-8")
    assert check(path, "texts", {"text": "was"}).dropped == {"exact duplicates": 1}
    path.write_bytes("wie,was\na,好\n".encode("gb18030"))
    with pytest.raises(DataError, match="not UTF-8"):
        check(path, "texts", {"text": "was"})


@pytest.mark.real_data
def test_real_reviews_of_two_languages() -> None:
    cards: dict[str, DataCard] = {}
    for name in ("amazon_5core/All_Beauty_5.clean.jsonl", "amazon_5core/AMAZON_FASHION_5.clean.jsonl"):
        if not (REAL / name).exists():
            pytest.skip(f"the real data set {name} is not beside the checkout")
        cards[name] = check(REAL / name)
    beauty, fashion = cards.values()
    assert (beauty.read, beauty.dropped) == (4176, {"exact duplicates": 2820, "near-duplicates": 34})
    assert (fashion.read, fashion.dropped) == (3031, {"exact duplicates": 2596, "near-duplicates": 8})
    assert beauty.duplicates_across_users == 20
