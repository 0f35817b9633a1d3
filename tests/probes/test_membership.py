from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shoplm_audit.data.records import Interaction, Review, Text
from shoplm_audit.errors import DataError, Unsupported
from shoplm_audit.metrics.leakage import membership_auroc_of
from shoplm_audit.probes.driving import observe
from shoplm_audit.probes.membership import membership_cases, remember
from shoplm_audit.record import Canary, Guarantee, Member, Secrets, TrainingRecord
from shoplm_audit.types import (
    LOG_PROB,
    Case,
    Columns,
    Gate,
    Material,
    Observation,
    Observations,
    Pair,
    Probe,
    Prompt,
    TokenScores,
)

MEMBERS = (
    Member("u1", ("Review: good", "Review: bad"), True, starts=(7, 7)),
    Member("u2", ("好评",), False, "zh"),
    Member("u3", (" ",), True),
)
EVERY = ~Columns(0)
CANARIES = (
    Canary("c1", "Order of Bado:", " 123", True, 1),
    Canary("c2", "Order of Kefa:", " 456", False, 16),
    Canary("u2", "电话：", "154", False, 1, "zh"),
)


def record(unit: str = "record", epsilon: float | None = 3.0, **secrets: Any) -> TrainingRecord:
    claim = Guarantee(unit, epsilon, 1e-5, 1.0, 0.1, 9, 1.0, 2, "", "") if epsilon else None  # type: ignore[arg-type]
    known = Secrets(**({"members": MEMBERS, "canaries": CANARIES, "coin": "fair"} | secrets))
    return TrainingRecord("causal", privacy=claim, settings={"unit": unit}, secrets=known)


def material(given: dict[str, list[Any]] | None = None, **more: Any) -> Material:
    lists = given or {}
    return Material(lambda *_: Prompt(""), lists, frozenset(lists), **({"record": record()} | more))


class Ranks:
    """Scores one token per character: rank 1 for vowels, 2 for others; remembers what it was asked."""

    name, fingerprint, record, batch_sensitive = "ranks", "", None, False

    def __init__(self, columns: Columns = EVERY, shift: float = 0.0) -> None:
        self.columns, self.shift, self.asked = columns, shift, list[Pair]()

    def generate(self, requests: Sequence[Any]) -> list[str]:
        raise Unsupported("writes nothing")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        if columns & ~self.columns:
            raise Unsupported("has no distribution")
        self.asked += pairs
        return [self._score(pair.continuation, columns) for pair in pairs]

    def _score(self, text: str, columns: Columns) -> TokenScores:
        nats = np.array([-1.0 if character in "aeiou" else -3.0 for character in text]) + self.shift
        if columns == LOG_PROB:
            return TokenScores(nats)
        rank = np.array([1 if character in "aeiou" else 2 for character in text])
        return TokenScores(nats, np.full(len(text), -2.0), np.full(len(text), 4.0), rank)


def seen(case: Case, **models: Any) -> dict[str, Any]:
    roles = {"model": Ranks(), **{name.replace("_", "-"): one for name, one in models.items()}}
    run = observe(Probe("p", [case], remember, []), [case], roles, key="s/p")
    return dict(run.observations.rows[0].values)


def by_id(cases: list[Case]) -> dict[str, Case]:
    return {case.id: case for case in cases}


def test_every_record_and_every_canary_is_a_case_and_its_unit_the_cluster() -> None:
    cases = by_id(membership_cases(material()))
    assert set(cases) == {
        "u1/0",
        "u1/1",
        "u2/0",
        "c1/0",
        "c2/0",
    }  # blank records teach nothing; u2's phone is u2's coin
    assert {case.cluster for case in cases.values()} == {"u1", "u2", "c1", "c2"}
    assert (cases["u1/1"].facts["prompt"], cases["u1/1"].facts["learned"]) == ("Review:", " bad")
    assert [cases[key].facts["member"] for key in ("u1/0", "u2/0", "c1/0", "c2/0")] == [True, False, True, False]
    assert cases["u2/0"].language == "zh"
    # Nothing stood before it when it was learned: were no character given, a token of a beginning would stand there.
    assert (cases["u2/0"].facts["prompt"], cases["u2/0"].facts["learned"]) == ("好", "评")
    # A draw that is uneven in language tells members by it: the blind baseline of sources has to see that.
    assert (cases["u1/0"].facts["source"], cases["u2/0"].facts["source"]) == ("en", "zh")
    assert (cases["c2/0"].facts["epsilon"], cases["c2/0"].facts["delta"]) == (3.0, 1e-5)


def test_what_was_read_before_the_learned_part_is_no_evidence_of_membership() -> None:
    model = Ranks()
    case = by_id(membership_cases(material()))["u1/1"]
    observe(Probe("p", [case], remember, []), [case], {"model": model}, key="s/p")
    assert model.asked == [Pair("Review:", " bad")]


@pytest.mark.parametrize(("unit", "alone"), [("record", {"c1/0"}), ("user", {"c1/0", "c2/0"})])
def test_copies_in_several_units_are_group_privacy_and_not_alone(unit: str, alone: set[str]) -> None:
    cases = membership_cases(material(record=record(unit)))
    assert {case.id for case in cases if case.facts["kind"] == "canary" and case.facts["alone"]} == alone


def test_a_split_is_no_coin_for_units_but_canaries_have_their_own() -> None:
    cases = by_id(membership_cases(material(record=record(coin="split"))))
    assert (cases["u1/0"].facts["coin"], cases["u1/0"].facts["alone"]) == ("split", False)
    assert (cases["c1/0"].facts["coin"], cases["c1/0"].facts["alone"]) == ("fair", True)


def test_a_classifier_is_asked_for_the_label_it_learned() -> None:
    member = Member("u1", ("It leaks.",), True, labels=("negative",))
    case = membership_cases(material(record=record(members=(member,), canaries=())))[0]
    model = Ranks(LOG_PROB)
    values = dict(
        observe(Probe("p", [case], remember, []), [case], {"model": model}, key="s/p").observations.rows[0].values
    )
    assert model.asked == [Pair("It leaks.", "negative")]
    assert values["text"] == "It leaks."
    assert values["min_k_plus_plus"] is None
    assert "recalled_10_after_10" not in values


def test_one_pass_gives_every_attack_its_number() -> None:
    text = "x" * 10 + "a" * 10 + "x" * 15
    values = seen(Case("u/0", facts={"kind": "unit", "prompt": "", "learned": text, "reference": False, "shadows": {}}))
    assert values["loss"] == pytest.approx((25 * -3 - 10) / 35)
    assert values["min_k"] == -3.0
    assert values["min_k_plus_plus"] == pytest.approx(-0.5)  # (-3 + 2) / sqrt(4)
    assert (values["recalled_10_after_10"], values["recalled_10_after_25"]) == (True, False)
    assert values["nats_10_after_10"] == -10.0
    assert "recalled_25_after_25" not in values  # the text is too short to say
    assert "reference" not in values


def test_a_reference_and_shadows_are_asked_about_the_same_texts() -> None:
    other = record(members=(replace(MEMBERS[0], inside=False),), canaries=())
    trained = {"reference": None, "shadow": record(), "shadow-2": other}
    case = by_id(membership_cases(material(trained=trained)))["u1/1"]
    assert case.facts["shadows"] == {"shadow": True, "shadow-2": False}
    values = seen(case, reference=Ranks(shift=-1.0), shadow=Ranks(shift=2.0), shadow_2=Ranks(shift=-2.0))
    assert values["reference"] == pytest.approx(1.0)  # nats per character
    assert json.loads(values["shadows_inside"]) == [pytest.approx(values["loss"] + 2.0, abs=1e-6)]
    assert json.loads(values["shadows_outside"]) == [pytest.approx(values["loss"] - 2.0, abs=1e-6)]
    # A shadow whose record does not know the unit says nothing of it.
    assert by_id(membership_cases(material(trained=trained)))["u2/0"].facts["shadows"] == {"shadow": False}


def test_a_text_that_stands_under_two_units_is_marked_on_both_sides_whatever_the_coins() -> None:
    members = (
        Member("a", ("It leaks.", "Mine."), True),
        Member("b", ("it  LEAKS.", "Yours."), False),
        Member("c", ("Both out.",), False),
        Member("d", ("Both out.",), False),
        Member("e", ("Twice my own.", "Twice my own."), True),
    )
    cases = membership_cases(material(record=record(members=members, canaries=())))
    marked = {case.id for case in cases if case.facts["shared"]}
    assert marked == {"a/0", "b/0", "c/0", "d/0"}


@pytest.mark.parametrize(("repeated", "verdict"), [(0, "fail"), (60, "fail"), (200, "undecided")])
def test_a_memoriser_is_found_although_some_left_out_texts_were_learned_elsewhere(repeated: int, verdict: str) -> None:
    rng = np.random.default_rng(0)
    texts = [f"{i} {' '.join(rng.choice(['red', 'blue', 'soft', 'warm'], 12))}" for i in range(200)]
    members = [Member(f"u{i}", (text,), bool(rng.random() < 0.5)) for i, text in enumerate(texts)]
    again = [Member(f"v{i}", (texts[i].upper(),), not members[i].inside) for i in range(repeated)]
    cases = membership_cases(material(record=record(members=(*members, *again), canaries=())))
    learned = {one.texts[0].lower()[1:] for one in (*members, *again) if one.inside}
    rows = [
        Observation(case, {"loss": rng.normal() + 6.0 * (text.lower() in learned), "text": text})
        for case in cases
        for text in [case.facts["learned"]]
    ]
    metric = membership_auroc_of("loss", "member", "text")
    found = metric.estimate(Observations(tuple(rows)), 0.95, rng)
    assert Gate("auroc_membership", at_least=0.35, at_most=0.65).judge(found) == verdict
    assert verdict == "fail" or "deduplicate" in found.note


def test_a_void_guarantee_is_told_with_every_case() -> None:
    sound = record()
    assert sound.privacy is not None
    void = replace(sound, privacy=replace(sound.privacy, void="its noise was seeded"))
    assert {case.facts["void"] for case in membership_cases(material(record=void))} == {"its noise was seeded"}
    assert {case.facts["void"] for case in membership_cases(material())} == {""}


def test_a_record_without_units_is_told_and_not_taken_for_one_without_a_claim() -> None:
    with pytest.raises(Unsupported, match="no unit"):
        membership_cases(material(record=record(members=(), canaries=())))


def divided(seed: int, coin: str, share: float, of: int = 200, **more: Any) -> TrainingRecord:
    coins = np.random.default_rng(seed).random(of) < share
    members = tuple(Member(f"u{i}", (f"text {i}",), bool(inside)) for i, inside in enumerate(coins))
    return replace(record(members=members, canaries=(), coin=coin), **more)


@pytest.mark.parametrize(
    ("audited", "shadow", "refused"),
    [
        (divided(0, "fair", 0.5), divided(1, "fair", 0.5), False),
        (divided(0, "fair", 0.5), divided(0, "fair", 0.5), True),
        (divided(0, "split", 0.9), divided(1, "split", 0.9), False),  # four fifths agree by themselves
        (divided(0, "split", 0.9), divided(0, "split", 0.9), True),
        (divided(0, "fair", 0.5, 19), divided(0, "fair", 0.5, 19), False),  # too few to tell
        (divided(0, "split", 0.9, weights="x"), divided(1, "split", 0.9, weights="x"), True),
    ],
)
def test_a_shadow_that_knows_the_coins_is_refused(
    audited: TrainingRecord, shadow: TrainingRecord, refused: bool
) -> None:
    trained = {"shadow": divided(3, "fair", 0.5), "shadow-2": shadow}
    if refused:
        with pytest.raises(DataError, match=r'"shadow-2".*--coin-seed'):
            membership_cases(material(record=audited, trained=trained))
    else:
        assert membership_cases(material(record=audited, trained=trained))


def test_the_coins_of_canaries_are_fair_whatever_the_split() -> None:
    def canaries(seed: int) -> tuple[Canary, ...]:
        coins = np.random.default_rng(seed).random(60) < 0.5
        return tuple(Canary(f"c{i}", "Order:", " 1", bool(inside), 1) for i, inside in enumerate(coins))

    nearly = (replace(canaries(0)[0], inserted=not canaries(0)[0].inserted), *canaries(0)[1:])
    base = {"members": divided(0, "split", 0.9).secrets.members, "coin": "split"}  # type: ignore[union-attr]
    other = {"members": divided(1, "split", 0.9).secrets.members, "coin": "split"}  # type: ignore[union-attr]
    audited = record(canaries=canaries(0), **base)
    assert membership_cases(material(record=audited, trained={"shadow": record(canaries=canaries(1), **other)}))
    for same in (nearly, canaries(0)):
        with pytest.raises(DataError, match="coins"):
            membership_cases(material(record=audited, trained={"shadow": record(canaries=same, **other)}))


def test_without_a_record_the_remedy_is_named() -> None:
    for bare in (None, replace(record(), secrets=None)):
        with pytest.raises(Unsupported, match="--data members=FILE"):
            membership_cases(material(record=bare))


# Lists that the user brings --------------------------------------------------------------------------


def reviews(*texts: str, user: str = "") -> list[Review]:
    return [Review(f"{text[:4]}{i}", "p", text, user=user, time="2020-01-01", category="books")
            for i, text in enumerate(texts)]  # fmt: skip


def test_lists_are_taken_before_the_record_and_carry_what_they_have_to_match_in() -> None:
    given = {
        "members": reviews("good", "fine", user="ann"),
        "nonmembers": [Text("t", "很坏", language="zh"), Text("u", "好")],
    }
    cases = membership_cases(material(given))
    assert [(case.cluster, case.facts["member"]) for case in cases] == [("in/ann", True)] * 2 + [
        ("nonmembers/t", False)
    ]
    assert {case.facts["coin"] for case in cases} == {"given"}
    assert not any(case.facts["alone"] for case in cases)
    assert (cases[0].facts["when"], cases[0].facts["source"]) == ("2020-01-01", "books")
    # The record's claim is not tested by lists, which is no reason to say that there is none.
    assert (cases[0].facts["epsilon"], cases[0].facts["delta"]) == (3.0, 1e-5)


def test_date_and_source_are_those_of_each_record() -> None:
    own = [
        replace(one, time=time, category=source)
        for one, time, source in zip(
            reviews("good", "fine", user="ann"), ("2020", "2024"), ("books", "toys"), strict=True
        )
    ]
    cases = membership_cases(material({"members": own}))
    assert [(case.facts["when"], case.facts["source"]) for case in cases] == [("2020", "books"), ("2024", "toys")]


def test_the_id_of_a_row_is_no_user() -> None:
    given = {
        "members": [Text("7", "a red kettle"), *reviews("a blue strap", user="8")],
        "nonmembers": [*reviews("two slow shoes", user="7"), Text("8", "one warm glove")],
        "protected": [Text("7", "my own recipe")],
    }
    cases = membership_cases(material(given))
    assert {case.cluster for case in cases} == {"members/7", "in/8", "out/7", "nonmembers/8", "protected/7"}
    assert len({case.id for case in cases}) == 5


def test_a_text_that_is_in_a_list_twice_is_one_case() -> None:
    given = {
        "members": [Text(f"m{i}", f" Stock TEXT number {i % 3}") for i in range(30)]
        + [Text("x", "stock text  number 0")],
        "protected": [Text("p", "stock text number 1")],
        "nonmembers": [Text(f"n{i}", f"quite another line {i % 2}") for i in range(30)],
    }
    cases = membership_cases(material(given))
    assert [case.facts["member"] for case in cases].count(True) == 3
    assert len(cases) == 5


@pytest.mark.parametrize("tail", ["!", " indeed", "。"])
def test_texts_that_are_nearly_in_both_lists_are_refused_and_counted(tail: str) -> None:
    texts = [f"the text number {i} is about a lamp with {i} lights and a shade of colour {i}" for i in range(9)]
    given = {
        "members": [Text(f"m{i}", text) for i, text in enumerate(texts)],
        "nonmembers": [Text(f"n{i}", text + tail) for i, text in enumerate(texts[:3])] + [Text("n3", texts[4])],
    }
    with pytest.raises(DataError, match=r'^4 texts of the list "nonmembers".* 3 of them nearly.*row "n0"'):
        membership_cases(material(given))


def test_only_texts_to_protect_are_members_without_anything_to_compare_with() -> None:
    cases = membership_cases(material({"protected": [Text("t", "my secret recipe")]}, record=None))
    assert [case.facts["member"] for case in cases] == [True]


def test_a_text_or_a_user_in_both_lists_is_refused() -> None:
    with pytest.raises(DataError, match=r'1 texts of the list "nonmembers".*row "GOOD0"'):
        membership_cases(material({"members": reviews("good "), "nonmembers": reviews("GOOD")}))
    with pytest.raises(DataError, match="1 users"):
        membership_cases(material({"members": reviews("good", user="a"), "nonmembers": reviews("bad", user="a")}))


def test_records_without_text_cannot_be_members() -> None:
    with pytest.raises(DataError, match="kind interaction"):
        membership_cases(material({"members": [Interaction("u", "p")]}))


def test_a_limit_takes_whole_units() -> None:
    cases = membership_cases(material(limit=1))
    assert len({case.cluster for case in cases}) == 1


def test_a_shadow_whose_record_is_not_at_hand_is_refused_by_name() -> None:
    for bare in (None, replace(record(), secrets=None)):
        with pytest.raises(DataError, match=r'"shadow-2" has no audit-secrets\.json'):
            membership_cases(material(trained={"shadow-2": bare}))
