"""Coins that divide the units: fair, independent, each its own."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from shoplm_audit.data.secrets import FAMILIES
from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.record import TrainingRecord
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.members import canary_share, check_canaries, divide
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


def test_the_members_kept_of_a_split_are_limited_and_both_sides_are_kept():
    members = divide(records(100), settings(member_limit=20, coin="split", holdout=0.3)).secrets.members
    assert len(members) == 20
    assert sum(member.inside for member in members) == 10


def test_the_members_kept_of_fair_coins_are_chosen_whatever_the_coins_say():
    """Exactly half on each side would not be independent coins, on which a one-run audit rests."""
    kept, counts = set(), set()
    for coin_seed in range(12):
        members = divide(records(100), settings(member_limit=20, coin_seed=coin_seed)).secrets.members
        kept.add(frozenset(member.unit for member in members))
        counts.add(sum(member.inside for member in members))
    assert len(kept) == 1
    assert len(counts) > 3
    assert {len(units) for units in kept} == {20}


def test_the_members_kept_of_a_split_are_the_same_ones_whatever_the_coins():
    """A shadow that does not know a unit of its target says nothing about it."""
    chosen = settings(member_limit=20, coin="split", holdout=0.2, key="aa")
    target, *shadows = (
        {
            member.unit: member.inside
            for member in divide(records(100), replace(chosen, coin_seed=coins)).secrets.members
        }
        for coins in (None, 1, 2, 3)
    )
    assert sum(target.values()) == 10
    assert all(shadow.keys() == target.keys() and shadow != target for shadow in shadows)
    left_out = sum(not inside for shadow in shadows for inside in shadow.values())
    assert 2 <= left_out <= 24  # of 60, a fifth: their own coins, not those of the target


# The key --------------------------------------------------------------------------------------------


def rebuilt(published, **changes):
    """Settings as whoever reads training.json has them."""
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in published.items()}
    return TrainSettings(**(told | changes))


@pytest.mark.parametrize("key", ["", "00" * 16])
def test_what_is_published_rebuilds_no_canary_and_no_coin_where_there_is_a_key(key):
    """Without a key it does, and this test sees it: that is what the key is for."""
    chosen = settings(canaries=60, coin_seed=4, seed=3, key=key)
    true, guessed = (divide(records(400, 1), one) for one in (chosen, rebuilt(chosen.publishable)))
    assert key == "" or key not in repr(chosen) + str(chosen.publishable) + repr(true.secrets)
    for units in (lambda d: {c.prefix for c in d.secrets.canaries}, lambda d: {c.secret for c in d.secrets.canaries}):
        shared = units(true) & units(guessed)
        assert len(shared) <= 4 if key else len(shared) == len(units(true))  # a pin of three digits, now and then
    coins, others = (np.array([f"u{n}" in inside(d) for n in range(400)]) for d in (true, guessed))
    assert abs((coins == others).mean() - 0.5) < 4 * 0.5 / np.sqrt(400) if key else (coins == others).all()
    inserted, others = (np.array([c.inserted for c in d.secrets.canaries]) for d in (true, guessed))
    assert abs((inserted == others).mean() - 0.5) < 4 * 0.5 / np.sqrt(60) if key else (inserted == others).all()


def test_the_members_kept_follow_from_the_key_too():
    one, other = (
        {m.unit for m in divide(records(200), settings(member_limit=20, key=key)).secrets.members} for key in ("a", "b")
    )
    assert len(one & other) < 10


def test_with_a_key_a_unit_more_changes_no_other_units_coin():
    before = inside(divide(records(200), settings(key="k")))
    after = inside(divide([Example("new", "newcomer", True), *records(200)], settings(key="k")))
    assert len(after ^ before) <= 1


def test_shadows_of_one_key_have_the_same_canaries_and_coins_of_their_own():
    one, other = (divide([], settings(canaries=80, key="k", coin_seed=coins)).secrets for coins in (None, 1))
    assert [replace(c, inserted=True) for c in one.canaries] == [replace(c, inserted=True) for c in other.canaries]
    assert 20 < sum(a.inserted != b.inserted for a, b in zip(one.canaries, other.canaries, strict=True)) < 60
    assert one.key == other.key == "k"


def test_a_member_says_where_its_answer_begins_and_what_its_label_is():
    asked = [Example("Q: how? A: so", "u1", True, answer_start=7), Example("plain", "u1", True)]
    (member,) = divide(asked, settings(coin="split", holdout=0.0)).secrets.members
    assert member.texts == ("Q: how? A: so", "plain")
    assert member.starts == (7, 0)
    assert member.labels == ()
    labelled = [Example("good", "u1", True, label="positive"), Example("bad", "u1", True, label="negative")]
    (member,) = divide(labelled, settings(coin="split", holdout=0.0, objective="classify")).secrets.members
    assert member.labels == ("positive", "negative")
    assert member.starts == ()


@pytest.mark.parametrize("blank", [Example(" \n", "u1", True), Example("Reply: ", "u1", True, answer_start=7)])
def test_a_text_with_nothing_to_learn_is_refused(blank):
    with pytest.raises(DataError, match=r"1 private texts are blank.* number 3"):
        divide([*records(1), blank], settings())


# Canaries -------------------------------------------------------------------------------------------


def canaries_of(**changes):
    return divide([], settings(**changes)).secrets.canaries


def test_canaries_are_inserted_by_coin_and_all_copies_belong_to_one_invented_user():
    division = divide(records(10), settings(canaries=200, canary_copies=(5,)))
    canaries = {canary.id: canary for canary in division.secrets.canaries}
    inserted = {unit.id: unit for unit in division.units if unit.id in canaries}
    assert inserted.keys() == {name for name, canary in canaries.items() if canary.inserted}
    assert 70 < len(inserted) < 130
    for name, unit in inserted.items():
        assert [example.text for example in unit.examples] == [f"{canaries[name].prefix}{canaries[name].secret}"] * 5
        assert canaries[name].language == "zh" or canaries[name].secret.startswith(" ")
    assert len({canary.prefix for canary in canaries.values()}) == 200


def test_each_copy_of_a_canary_is_a_unit_where_the_unit_is_the_record():
    division = divide([], settings(unit="record", canaries=60, canary_copies=(1, 4)))
    texts = Counter(example.text for unit in division.units for example in unit.examples)
    assert {len(unit.examples) for unit in division.units} == {1}
    assert len({unit.id for unit in division.units}) == len(division.units)
    assert texts == {c.prefix + c.secret: c.copies for c in division.secrets.canaries if c.inserted}
    alone = {canary.id for canary in division.secrets.canaries if canary.inserted and canary.copies == 1}
    assert alone <= {unit.id for unit in division.units}


def test_languages_families_and_repetitions_are_dealt_out_evenly_and_apart_from_the_coin():
    both = [Example("水壶", "u1", True, language="zh"), Example("kettle", "u2", True)]
    canaries = divide(both, settings(canaries=168 * 30)).secrets.canaries
    cells = Counter((canary.language, canary.family, canary.copies) for canary in canaries)
    assert len(cells) == 2 * len(FAMILIES) * 7
    assert set(cells.values()) == {60}
    few = divide(both, settings(canaries=24, canary_copies=(1, 8))).secrets.canaries
    assert set(Counter((canary.language, canary.family, canary.copies) for canary in few).values()) == {1}
    assert Counter(canary.copies for canary in few[:12]) == {1: 6, 8: 6}
    for copies in (1, 2, 4, 8, 16, 32, 64):
        tosses = [canary.inserted for canary in canaries if canary.copies == copies]
        assert abs(np.mean(tosses) - 0.5) < 4 * 0.5 / np.sqrt(len(tosses))


def test_coins_of_canaries_are_independent_and_not_half_of_them():
    counts = {sum(canary.inserted for canary in canaries_of(canaries=40, coin_seed=seed)) for seed in range(12)}
    assert len(counts) > 3


def test_a_coin_seed_changes_coins_and_nothing_else():
    """Shadow models have the same data and the same canaries."""
    one, other = (divide(records(50), settings(canaries=80, coin_seed=seed)) for seed in (None, 1))
    same = divide(records(50), settings(canaries=80, coin_seed=0))
    assert same == one
    told = [{replace(canary, inserted=True) for canary in d.secrets.canaries} for d in (one, other)]
    assert told[0] == told[1]
    known = [{member.unit: (member.texts, member.inside) for member in d.secrets.members} for d in (one, other)]
    assert known[0].keys() == known[1].keys()
    assert 10 < sum(known[0][unit] != known[1][unit] for unit in known[0]) < 40
    differ = zip(one.secrets.canaries, other.secrets.canaries, strict=True)
    assert 20 < sum(a.inserted != b.inserted for a, b in differ) < 60
    assert {c.secret for c in canaries_of(canaries=80, seed=1)} != {c.secret for c in one.secrets.canaries}


def test_no_two_canaries_share_a_name_or_a_secret_and_too_many_are_refused():
    canaries = canaries_of(canaries=900, canary_families=("pin",))
    assert len({canary.secret for canary in canaries}) == len({canary.prefix for canary in canaries}) == 900
    with pytest.raises(ConfigError, match="only 1000 different secrets"):  # in either language
        canaries_of(canaries=2001, canary_families=("pin",))


@pytest.mark.parametrize(
    "changes", [{"canary_copies": ()}, {"canary_copies": (1, 0)}, {"canary_families": ("shoe size",)}]
)
def test_repetitions_and_families_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        settings(**changes)


def test_a_canary_whose_name_or_secret_stands_in_the_texts_is_refused():
    canaries = canaries_of(canaries=12)
    check_canaries(canaries, ["Nothing of the kind.", "PIN 123, order SO-1"])
    order = next(canary for canary in canaries if canary.family == "order")
    pin = next(canary for canary in canaries if canary.family == "pin")
    name = pin.prefix.split("\n")[0].removeprefix("Parcel for: ")
    for text in (f"Ask {name} of it.", f"Where is{order.secret}?"):
        with pytest.raises(ConfigError, match=r"1 canaries stands in the texts.*--seed"):
            check_canaries(canaries, ["before", text])
    check_canaries(canaries, [f"Code{pin.secret}"])  # three digits stand in any text


def test_canaries_that_the_base_was_trained_with_are_refused(tmp_path):
    chosen = settings(canaries=12)
    TrainingRecord("causal", secrets=divide([], chosen).secrets).write(tmp_path)
    with pytest.raises(ConfigError, match="was trained with"):
        check_canaries(divide([], replace(chosen, coin_seed=9)).secrets.canaries, [], str(tmp_path))
    check_canaries(divide([], replace(chosen, seed=9)).secrets.canaries, [], str(tmp_path))


def test_the_share_of_canaries_counts_units_in_a_private_run_and_rows_in_a_plain_one():
    users = records(95, each=2)
    private = settings(coin="split", holdout=0.0, epsilon=1.0, canaries=10)
    assert canary_share(users, private) == pytest.approx(5 / 100)
    copies = replace(private, canary_copies=(4,))
    assert canary_share(users, copies) == pytest.approx(5 / 100)
    assert canary_share(users, replace(copies, unit="record")) == pytest.approx(20 / 210)
    assert canary_share(users, replace(copies, epsilon=None)) == pytest.approx(20 / 210)
    assert canary_share(users, replace(copies, coin="fair")) == pytest.approx(5 / 52.5)
    assert canary_share([], settings()) == 0.0


def test_canaries_speak_the_languages_of_the_data():
    examples = [Example("水壶", "u1", True, language="zh"), Example("kettle", "u2", True)]
    canaries = divide(examples, settings(canaries=4)).secrets.canaries
    assert [canary.language for canary in canaries] == ["en", "zh", "en", "zh"]
