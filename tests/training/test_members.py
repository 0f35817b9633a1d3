"""Coins that divide the units: fair, independent, each its own."""

import numpy as np

from shoplm_audit.training.corpus import Example
from shoplm_audit.training.members import divide
from shoplm_audit.training.settings import TrainSettings


def records(users, each=2):
    return [Example(f"user {user} record {n}", f"u{user}", True) for user in range(users) for n in range(each)]


def settings(**changes):
    return TrainSettings(**({"unit": "user", "coin": "fair"} | changes))


def inside(division):
    return {unit.id for unit in division.units}


def test_a_unit_more_changes_no_other_units_coin():
    """Coins drawn one after another would exchange half of the others, and void a guarantee for one unit."""
    for unit in ("user", "record"):
        before = inside(divide(records(200), settings(unit=unit)))
        newcomer = [Example("new", "newcomer", True)]
        after = inside(divide(newcomer + records(200), settings(unit=unit)))
        assert len(after ^ before) <= 1


def test_a_unit_more_changes_no_unit_whatever_it_is():
    """Of a new language, of a text that is there under another label, first of all: it is one unit more."""

    def units(examples, **changes):
        chosen = settings(**({"unit": "record", "canaries": 40, "epsilon": 1.0, "coin": "split"} | changes))
        return {(unit.id, unit.examples) for unit in divide(examples, chosen).units}

    english = [Example(f"text {n}", f"u{n}", True) for n in range(50)]
    for newcomer in (Example("新的", "u99", True, language="zh"), Example("text 3", "u3", True, label="negative")):
        for unit in ("record", "user"):
            changed = units([newcomer, *english], unit=unit) ^ units(english, unit=unit)
            assert len(changed) <= (1 if unit == "record" else 2)  # a user with a record more is another set of records


def test_a_row_more_in_a_file_without_ids_changes_no_other_example(tmp_path):
    from shoplm_audit.data.readers import read_records
    from shoplm_audit.training.corpus import examples_of

    rows = [f"p{n},u{n},{5 if n % 2 else 1},It boils {n} cups." for n in range(40)]

    def learned(lines):
        (tmp_path / "reviews.csv").write_text("\n".join(["product,user,rating,text", *lines]) + "\n", "utf-8")
        return set(examples_of(read_records("reviews", tmp_path / "reviews.csv"), private=True))

    assert len(learned(rows) ^ learned(rows[1:])) == 1


def test_coins_are_fair_and_differ_by_seed():
    chosen = [inside(divide(records(400, 1), settings(seed=seed))) for seed in range(8)]
    tosses = np.array([[f"u{user}" in units for user in range(400)] for units in chosen])
    assert abs(tosses.mean() - 0.5) < 4 * 0.5 / np.sqrt(tosses.size)
    agreement = (tosses[0] == tosses[1]).mean()
    assert abs(agreement - 0.5) < 4 * 0.5 / np.sqrt(400)


def test_a_user_is_in_or_out_as_a_whole():
    division = divide(records(100, 3), settings())
    assert all(len(unit.examples) == 3 for unit in division.units)
    members = {member.unit: member for member in division.secrets.members}
    assert {unit for unit, member in members.items() if member.inside} == inside(division)
    assert len(members) == 100
    assert members["u7"].texts == tuple(f"user 7 record {n}" for n in range(3))


def test_a_split_leaves_out_its_share():
    division = divide(records(2000, 1), settings(coin="split", holdout=0.1))
    assert abs(len(division.units) - 1800) < 4 * np.sqrt(180)
    assert len(divide(records(50), settings(coin="split", holdout=0.0)).units) == 50


def test_equal_records_are_units_of_their_own_where_the_unit_is_the_record():
    same = [Example("good", private=True)] * 300
    assert 100 < len(divide(same, settings(unit="record")).units) < 200


def test_the_members_kept_are_limited_and_both_sides_are_kept():
    members = divide(records(100), settings(member_limit=20)).secrets.members
    assert len(members) == 20
    assert sum(member.inside for member in members) == 10


def test_canaries_are_inserted_by_coin_and_all_copies_belong_to_one_invented_user():
    division = divide(records(10), settings(canaries=200, canary_copies=5))
    canaries = {canary.id: canary for canary in division.secrets.canaries}
    inserted = {unit.id: unit for unit in division.units if unit.id in canaries}
    assert inserted.keys() == {name for name, canary in canaries.items() if canary.inserted}
    assert 70 < len(inserted) < 130
    for name, unit in inserted.items():
        assert [example.text for example in unit.examples] == [f"{canaries[name].prefix} {canaries[name].secret}"] * 5
    assert len({canary.prefix for canary in canaries.values()}) == 200


def test_the_digits_of_canaries_are_uniform():
    digits = "".join(canary.secret for canary in divide([], settings(canaries=500)).secrets.canaries)
    assert len(digits) == 4000
    assert all(abs(digits.count(str(d)) - 400) < 4 * np.sqrt(360) for d in range(10))


def test_a_canary_is_one_record_where_the_unit_is_the_record():
    assert {canary.copies for canary in divide([], settings(unit="record", canaries=5)).secrets.canaries} == {1}


def test_canaries_speak_the_languages_of_the_data():
    examples = [Example("水壶", "u1", True, language="zh"), Example("kettle", "u2", True)]
    canaries = divide(examples, settings(canaries=4)).secrets.canaries
    assert [canary.language for canary in canaries] == ["en", "zh", "en", "zh"]
