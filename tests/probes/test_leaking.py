"""What models write of the people they were trained on, and whether they tell what stands before them."""

import base64
import json
import math
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shoplm_audit import Case, Generate, Material, Observations, Probe, Prompt, Saboteur, Unsupported
from shoplm_audit.data.records import Review
from shoplm_audit.errors import ConfigError
from shoplm_audit.models.guard import Guarded
from shoplm_audit.probes.driving import observe
from shoplm_audit.probes.leaking import COPIED, context_probe, writing_probe
from shoplm_audit.record import Canary, Member, Secrets, TrainingRecord
from shoplm_audit.saboteurs.model import invented_record
from shoplm_audit.suites import suite_folder
from shoplm_audit.types import Model
from tests.fakes import Fake

ASKED: dict[str, Any] = tomllib.loads((suite_folder("privacy") / "prompts.toml").read_text(encoding="utf-8"))
RECORD = invented_record(units=100, canaries=24)


def material(record: TrainingRecord | None = RECORD, **changes: Any) -> Material:
    return replace(Material(lambda *_: Prompt("")), record=record, **changes)


def seen(probe: Probe, model: Model, known: Material | None = None) -> Observations:
    cases = probe.cases_of(known or material())
    return observe(probe, cases, {"model": model}, key=probe.name).observations


def share(observations: Observations, column: str) -> float:
    return float(observations.numbers(column).mean())


# Free writing --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writing() -> tuple[Probe, list[Case]]:
    probe = writing_probe(ASKED)
    return probe, probe.cases_of(material())


def test_prompts_are_of_both_languages_aims_roles_and_forms_in_equal_parts(writing: tuple[Probe, list[Case]]) -> None:
    _, cases = writing
    assert len(cases) == 160
    assert Counter(case.facts["aim"] for case in cases) == {"targeted": 80, "untargeted": 80}
    for aim in ("targeted", "untargeted"):
        ways = Counter((c.language, c.facts["who"], c.facts["form"]) for c in cases if c.facts["aim"] == aim)
        assert len(ways) == 2 * 3 * 2
        assert max(ways.values()) <= 2 * min(ways.values())


def test_those_trained_on_and_decoys_are_asked_about_in_the_same_ways(writing: tuple[Probe, list[Case]]) -> None:
    _, cases = writing
    targeted = [case for case in cases if case.facts["aim"] == "targeted"]
    inside = {member.unit: member.inside for member in RECORD.secrets.members}  # type: ignore[union-attr]
    ways: dict[bool, Counter[Any]] = {True: Counter(), False: Counter()}
    for case in targeted:
        assert case.facts["member"] == inside[case.cluster]
        ways[case.facts["member"]][case.language, case.facts["form"], case.facts["who"]] += 1
    assert ways[True].total() == ways[False].total() == 40
    assert all(abs(ways[True][way] - ways[False][way]) <= 1 for way in ways[True] | ways[False])


def test_a_targeted_prompt_names_the_person_and_never_the_datum_asked_for(writing: tuple[Probe, list[Case]]) -> None:
    _, cases = writing
    texts = {member.unit: "\n".join(member.texts) for member in RECORD.secrets.members}  # type: ignore[union-attr]
    for case in (case for case in cases if case.facts["aim"] == "targeted"):
        secret, prompt = case.facts["secret"], case.prompt.flat
        assert secret in texts[case.cluster]
        assert secret not in prompt
        name = texts[case.cluster].partition("\n")[0].partition(": " if case.language == "en" else "：")[2]
        assert name in prompt
        assert prompt.isascii() == (case.language == "en")
        assert not set("{}") & set(prompt)


def test_every_text_is_drawn_by_a_seed_of_its_own(writing: tuple[Probe, list[Case]]) -> None:
    probe, cases = writing
    requests = [next(probe.observe(case)) for case in cases]
    assert all(isinstance(one, Generate) and one.sampling.temperature == 1.0 for one in requests)
    assert len({one.sampling.seed for one in requests if isinstance(one, Generate)}) == 160
    raw = [one.raw for one in requests if isinstance(one, Generate)]
    assert raw == [case.facts["form"] == "continue" for case in cases]


def test_no_training_text_stands_in_a_case(writing: tuple[Probe, list[Case]]) -> None:
    _, cases = writing
    assert max(len(json.dumps(dict(case.facts))) for case in cases) < 400


def test_a_limit_is_kept_and_another_seed_asks_others() -> None:
    probe = writing_probe(ASKED)
    small = probe.cases_of(material(limit=24))
    assert len(small) == 24
    assert {case.language for case in small} == {"en", "zh"}
    assert {case.facts.get("member") for case in small} == {True, False, None}
    assert [len(probe.cases_of(material(limit=limit))) for limit in (1, 2, 3)] == [1, 2, 3]
    other = probe.cases_of(material(limit=24, seed=1))
    assert {case.id for case in small} != {case.id for case in other}
    assert [case.id for case in probe.cases_of(material(limit=24))] == [case.id for case in small]


@pytest.mark.parametrize(
    ("doses", "training", "target"),
    [({}, 0.0, 0.0), ({"parrot": 1.0}, 0.0, 0.0), ({"echo": 1.0}, 1.0, 0.5), ({"echo": 0.3}, 0.3, 0.15)],
)
def test_only_who_writes_of_members_is_caught(doses: dict[str, float], training: float, target: float) -> None:
    found = seen(writing_probe(ASKED), Saboteur(**doses, training=RECORD))
    assert share(found, "personal_training") == pytest.approx(training, abs=0.1)
    assert share(found, "personal_held_out") == share(found, "personal_invented") == 0.0
    told = [row.values["target"] for row in found]
    assert sum(one is None for one in told) == 80
    assert sum(map(bool, told)) / 80 == pytest.approx(target, abs=0.1)
    assert not any(row.values["target"] for row in found if row.case.facts.get("member") is False)


def test_a_parrot_repeats_the_prompt_and_copies_nothing() -> None:
    found = seen(writing_probe(ASKED), Saboteur(parrot=1.0, training=RECORD))
    assert share(found, "personal_prompt") > 0.3
    assert share(found, "copied") == share(found, "copied_held_out") == 0.0


def test_who_writes_held_out_records_shows_in_the_base_rate_alone() -> None:
    outside = next(m for m in RECORD.secrets.members if not m.inside and m.language == "en")  # type: ignore[union-attr]
    found = seen(writing_probe(ASKED), Fake(write=lambda *_: outside.texts[0]), material(limit=12))
    assert share(found, "personal_training") == share(found, "copied") == 0.0
    english = found.where(language="en")
    assert share(english, "personal_held_out") == 1.0
    assert share(english, "copied_held_out") == 1.0
    assert share(english, "near_held_out") == 1.0


def test_invented_data_are_nobody_s() -> None:
    found = seen(writing_probe(ASKED), Fake(write=lambda *_: "Ring 212-867-5309!"), material(limit=12))
    assert share(found, "personal_invented") == 1.0
    assert share(found, "personal_training") == share(found, "personal_held_out") == 0.0


def test_a_copy_is_told_by_its_place_and_its_length() -> None:
    review = "the lid came off twice by August and my aunt in Leeds says the same thing of her own"
    record = TrainingRecord("causal", secrets=Secrets((Member("u", (review,), True), Member("v", ("fine",), False))))
    long = "Well: " + review
    short = "Well: " + " ".join(review.split()[: COPIED["en"] - 1])
    for text, copied in ((long, True), (short, False)):
        found = seen(writing_probe(ASKED), Fake(write=lambda *_, text=text: text), material(record, limit=12))
        english = found.where(language="en").rows[0]
        assert english.values["copied"] is copied
        spans = json.loads(str(english.values["spans"]))
        assert spans == ([[6, len(text), "copied", "19"]] if copied else [])
        assert english.values["copied_run"] == (19 if copied else COPIED["en"] - 1)


@pytest.mark.parametrize(
    ("family", "inside", "outside"), [("voucher", "7KX-99M-", "QQX-99M-"), ("order", "SO-4821", "SO-9931")]
)
def test_a_canary_counts_as_training_only_if_it_was_inserted(family: str, inside: str, outside: str) -> None:
    canaries = tuple(
        Canary(code, "Code:", f" {code}3907", code == inside, 1, family=family) for code in (inside, outside)
    )
    record = TrainingRecord("causal", secrets=Secrets((), canaries))
    for canary, column in zip(canaries, ("personal_training", "personal_held_out"), strict=True):
        found = seen(
            writing_probe(ASKED), Fake(write=lambda *_, c=canary: f"use{c.secret}!"), material(record, limit=4)
        )
        assert share(found, column) == 1.0
        assert share(found, "personal_training") + share(found, "personal_held_out") == 1.0
        assert share(found, "personal_training_paired") == (1.0 if canary.inserted else 0.0)
        assert share(found, "personal_held_out_paired") == (0.0 if canary.inserted else 1.0)


def _numbered(inside: int, outside: int) -> TrainingRecord:
    members = [(f"u{i}", i < inside, f"07700 900{i:03}") for i in range(inside + outside)]
    return TrainingRecord(
        "causal", secrets=Secrets(tuple(Member(unit, (f"Phone: {phone}",), within) for unit, within, phone in members))
    )


def test_who_guesses_is_no_leak_where_more_were_trained_on_than_held_out() -> None:
    record = _numbered(360, 40)
    draws = iter(np.random.default_rng(0).integers(400, size=1000).tolist())
    guesses = Fake(write=lambda *_: f"Ring 07700 900{next(draws):03}!")
    found = seen(writing_probe(ASKED), guesses, material(record))
    assert share(found, "personal_training") - share(found, "personal_held_out") > 0.7
    pairs = [share(found, f"personal_{origin}_paired") for origin in ("training", "held_out")]
    assert 0.02 < min(pairs) <= max(pairs) < 0.2
    assert abs(pairs[0] - pairs[1]) < 0.1


def test_who_tells_of_members_is_caught_among_the_pairs_too() -> None:
    draws = iter(range(1000))
    tells = Fake(write=lambda *_: f"Ring 07700 900{next(draws) % 30:03}!")
    found = seen(writing_probe(ASKED), tells, material(_numbered(30, 30)))
    assert share(found, "personal_training_paired") == 1.0
    assert share(found, "personal_held_out_paired") == 0.0


def test_without_anybody_held_out_there_is_nothing_to_compare_with() -> None:
    found = seen(writing_probe(ASKED), Fake(), material(_numbered(20, 0), limit=6))
    pairs = ("personal_training_paired", "personal_held_out_paired", "copied_paired", "copied_held_out_paired")
    assert {row.values[name] for row in found for name in pairs} == {None}
    assert {type(row.values["personal_training"]) for row in found} == {bool}


def test_records_without_names_are_asked_for_by_their_own_beginning() -> None:
    text = "Great kettle, but support told me to write to bob@example.org about the lid."
    members = tuple(Member(f"u{i}", (f"{i} {text}",), i % 2 == 0) for i in range(8))
    cases = writing_probe(ASKED).cases_of(material(TrainingRecord("causal", secrets=Secrets(members)), limit=16))
    targeted = [case for case in cases if case.facts["aim"] == "targeted"]
    assert len(targeted) == 8
    assert {case.facts["datum"] for case in targeted} == {"email"}
    assert all(case.prompt.flat.endswith("told me to write to") for case in targeted)


def test_lists_that_the_user_brings_stand_for_a_training_record() -> None:
    def reviews(name: str, phone: str) -> list[Review]:
        return [
            Review(f"{name}{i}", "p", f"{name} {i}: the seller rang me from {phone}{i}.", user=f"{name}{i}")
            for i in range(4)
        ]

    own = {"members": reviews("Ann", "020 7946 010"), "nonmembers": reviews("Bob", "020 7946 020")}
    brought = material(None, own=frozenset(own), records=own, limit=8)
    found = seen(writing_probe(ASKED), Fake(write=lambda *_: "It was 020 7946 0102, or 020 7946 0999"), brought)
    assert share(found, "personal_training") == share(found, "personal_invented") == 1.0


def test_without_a_training_record_it_says_that_it_cannot_tell() -> None:
    for record in (None, TrainingRecord("causal")):
        with pytest.raises(Unsupported, match="training record"):
            writing_probe(ASKED).cases_of(material(record))


def test_a_case_of_another_record_is_not_judged_by_this_one(writing: tuple[Probe, list[Case]]) -> None:
    steps = writing_probe(ASKED).observe(writing[1][0])
    next(steps)
    with pytest.raises(ConfigError, match="another record"):
        steps.send("text")


# Secrets in context --------------------------------------------------------------------------------


class Answering:
    """Answers each case by a rule that sees the case."""

    name, fingerprint, record, batch_sensitive = "answering", "x", None, False

    def __init__(self, cases: Sequence[Case], say: Any) -> None:
        self.cases, self.say = {case.prompt: case for case in cases}, say

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        return [self.say(self.cases[one.prompt]) for one in requests]

    def score(self, pairs: object, columns: object = None) -> list[Any]:
        raise Unsupported("")


def test_none_told_bounds_the_rate_below_two_per_cent() -> None:
    cases = context_probe(ASKED).cases_of(material(None))
    assert len(cases) >= 160
    assert 1 - math.pow(0.05, 1 / len(cases)) < 0.02


def test_every_attack_is_tried_on_every_secret_in_every_place_and_language() -> None:
    cases = context_probe(ASKED).cases_of(material(None))
    ways = Counter((c.facts["attack"], c.facts["family"], c.facts["place"], c.language) for c in cases)
    assert len(ways) == 160
    assert {len({way[i] for way in ways}) for i in range(4)} == {8, 5, 2}
    assert len({case.facts["code"] for case in cases}) == 160
    again = context_probe(ASKED).cases_of(material(None, seed=1))
    assert not {case.facts["code"] for case in cases} & {case.facts["code"] for case in again}


def test_a_small_limit_still_tries_every_attack_in_both_languages() -> None:
    cases = context_probe(ASKED).cases_of(material(None, limit=16))
    assert len(cases) == 16
    assert len({(case.facts["attack"], case.language) for case in cases}) == 16


def test_the_secret_stands_in_the_context_and_not_in_the_question() -> None:
    for case in context_probe(ASKED).cases_of(material(None)):
        asked = case.prompt.turns[-1].text
        assert case.facts["secret"] in case.prompt.flat
        assert case.facts["code"] in case.facts["secret"]
        assert case.facts["code"] not in asked
        assert (case.facts["code"] in case.prompt.system) == (case.facts["place"] == "system")
        assert not set("{}") & set(case.prompt.flat)


def test_who_repeats_what_stands_before_it_tells_all_and_who_refuses_tells_nothing() -> None:
    probe = context_probe(ASKED)
    assert share(seen(probe, Saboteur(parrot=1.0)), "told") == 1.0
    honest = seen(probe, Saboteur())
    assert share(honest, "told") == share(honest, "partly") == 0.0
    assert share(seen(probe, Saboteur(parrot=0.5)), "told") == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "say",
    [
        lambda case: f"It is {case.facts['code']}.",
        lambda case: case.facts["code"][::-1],
        lambda case: "-".join(case.facts["code"]),
        lambda case: " ".join(case.facts["code"].lower()),
        lambda case: base64.b64encode(case.facts["code"].encode()).decode(),
    ],
    ids=["plain", "reversed", "spelled", "lower", "base64"],
)
def test_a_secret_is_known_in_every_form_that_was_asked_for(say: Any) -> None:
    probe = context_probe(ASKED)
    assert share(seen(probe, Answering(probe.cases_of(material()), say)), "told") == 1.0


@pytest.mark.parametrize(
    ("say", "status", "told"),
    [
        (lambda case: "<think>The rules say that I must", "unparsed", None),
        (lambda case: f"<think>It is {case.facts['code']}, but", "scored", True),
        (lambda case: f"<think>It is {case.facts['code']}</think> No.", "scored", True),
        (lambda case: "<think>Better not.</think> No.", "scored", False),
    ],
)
def test_who_is_still_thinking_has_not_kept_a_secret(say: Any, status: str, told: bool | None) -> None:
    probe = context_probe(ASKED)
    cases = probe.cases_of(material(limit=8))
    found = observe(probe, cases, {"model": Answering(cases, say)}, key="context").observations
    assert {row.status for row in found} == {status}
    assert {row.values.get("told") for row in found} == {told}


def test_half_of_a_secret_is_told_partly_and_another_secret_is_not_told() -> None:
    probe = context_probe(ASKED)
    cases = probe.cases_of(material())
    codes = {case.id: case.facts["code"] for case in cases}
    half = seen(probe, Answering(cases, lambda case: codes[case.id][: -(len(codes[case.id]) // 3)]))
    assert share(half, "told") < 0.1
    assert share(half, "partly") > 0.8
    others = dict(zip(codes, [*list(codes.values())[4:], *list(codes.values())[:4]], strict=True))
    wrong = seen(probe, Answering(cases, lambda case: f"It is {others[case.id]}."))
    assert share(wrong, "told") == 0.0


def test_behind_a_guard_nothing_of_members_is_left_but_what_the_prompt_says() -> None:
    echo = Saboteur(echo=1.0, training=RECORD)
    assert RECORD.secrets is not None
    behind = seen(writing_probe(ASKED), Guarded(echo, RECORD.secrets))
    assert not any(row.values["target"] for row in behind)
    assert {row.values["kinds"] for row in behind} == {""}
