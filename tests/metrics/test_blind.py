from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from shoplm_audit.metrics import blind
from shoplm_audit.metrics.blind import Baseline, baselines, guarded, seen_of, words
from shoplm_audit.metrics.leakage import (
    blind_auroc_of,
    excess_of,
    extractable_of,
    membership_auroc_of,
    membership_tpr_of,
)
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

WORDS = ["red", "blue", "soft", "hard", "tall", "small", "fast", "slow", "warm", "cold", "kettle", "strap", "cotton"]
Row = Callable[[np.random.Generator, bool], dict[str, object]]


def _told(metric: Metric, rows: Observations) -> Estimate:
    return metric.estimate(rows, 0.95, np.random.default_rng(0))


def _records(seed: int, row: Row, users: int = 120, each: int = 1, attack: float = 0.0) -> Observations:
    """Users whose membership a fair coin decides, with what `row` says of a record of theirs."""
    rng, rows = np.random.default_rng(seed), []
    for user in range(users):
        inside = bool(rng.random() < 0.5)
        for k in range(each):
            told = {"text": " ".join(rng.choice(WORDS, 8))} | row(rng, inside)
            text = told.pop("text")
            case = Case(f"{user:03}/{k}", facts={"member": inside} | told, cluster=f"u{user:03}")
            rows.append(Observation(case, {"score": float(rng.normal(attack * inside)), "text": text}))
    return Observations(tuple(rows))


def _plain(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    return {}


def _later(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    """Members of 2022 and 2023, the others of 2023 and 2024: half of the months are of both."""
    start = datetime.date(2022 if inside else 2023, 1, 1)
    return {"when": str(start + datetime.timedelta(days=int(rng.integers(730))))}


def _in_words(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    """The same in what is written: fashions of the time, in a quarter of all texts."""
    fashion = ("lockdown" if inside else "chatbot") if rng.random() < 0.5 else ""
    return {"text": " ".join([*rng.choice(WORDS, 8), fashion])}


def _longer(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    return {"text": " ".join(rng.choice(WORDS, int(rng.integers(6, 12)) + 3 * inside))}


def _elsewhere(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    return {"source": str(rng.choice(["shoes", "toys", "books"], p=[0.6, 0.2, 0.2] if inside else [0.2, 0.4, 0.4]))}


@pytest.mark.parametrize(
    ("shift", "named"), [(_later, "date"), (_in_words, "words"), (_longer, "length"), (_elsewhere, "source")]
)
@pytest.mark.parametrize("per", ["unit", "record"])
def test_a_shifted_split_makes_the_attacks_invalid_and_is_named(shift: Row, named: str, per: str) -> None:
    rows = _records(0, shift, users=300 if named == "source" else 120, attack=0.3)
    found = _told(membership_auroc_of("score", "member", "text", per=per), rows)  # type: ignore[arg-type]
    assert found.note.startswith(f"invalid: a blind baseline that never sees the model wins: {named} 0.")
    assert "[0." in found.note
    assert not _told(membership_auroc_of("score", "member", "text"), _records(0, _plain)).note.startswith("invalid")


def test_dates_are_read_as_iso_or_as_seconds_and_earlier_tells_as_much_as_later() -> None:
    rows = _records(0, _later)
    seconds = Observations(
        tuple(
            replace(
                row, case=replace(row.case, facts=dict(row.case.facts) | {"when": str(_seconds(row)), "member": own})
            )
            for row in rows
            for own in [not row.case.facts["member"]]
        )
    )
    iso, swapped = (
        {one.name: one for one in baselines(seen_of(o, "member", "text", "unit"), 0.95)} for o in (rows, seconds)
    )
    assert iso["date"].value == pytest.approx(swapped["date"].value)
    assert iso["date"].low == pytest.approx(swapped["date"].low)
    assert iso["date"].low > 0.6


def _seconds(row: Observation) -> float:
    return datetime.datetime.fromisoformat(str(row.case.facts["when"])).replace(tzinfo=datetime.UTC).timestamp()


def test_a_date_that_only_members_have_tells_them() -> None:
    rows = _records(0, lambda rng, inside: {"when": "2024-05-01"} if inside else {"when": "last spring"})
    date = next(one for one in baselines(seen_of(rows, "member", "text", "unit"), 0.95) if one.name == "date")
    assert date.value == 1.0
    assert date.low > 0.9


def test_cases_without_date_or_source_have_no_such_baseline() -> None:
    names = [one.name for one in baselines(seen_of(_records(0, _plain), "member", "text", "unit"), 0.95)]
    assert names == ["words", "length"]


def test_a_date_that_is_no_number_switches_no_baseline_off() -> None:
    rows = _records(0, _later)
    for wrong in ("nan", "inf", "-inf", "someday"):
        first = replace(
            rows.rows[0], case=replace(rows.rows[0].case, facts=dict(rows.rows[0].case.facts) | {"when": wrong})
        )
        found = baselines(seen_of(Observations((first, *rows.rows[1:])), "member", "text", "unit"), 0.95)
        date = next(one for one in found if one.name == "date")
        assert date.low > 0.6


def _around(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    """Members of 2023, the others of the years before and after."""
    year = 2023 if inside else int(rng.choice([2022, 2024]))
    return {"when": str(datetime.date(year, 1, 1) + datetime.timedelta(days=int(rng.integers(365))))}


def test_members_from_the_middle_of_the_time_are_told_by_their_date() -> None:
    found = {one.name: one for one in baselines(seen_of(_records(0, _around), "member", "text", "unit"), 0.95)}
    assert found["date"].low < 0.5
    assert found["distance from the middle date"].low > 0.9


def _all_alike(rng: np.random.Generator, inside: bool) -> dict[str, object]:
    when = str(datetime.date(2022, 1, 1) + datetime.timedelta(days=int(rng.integers(730))))
    return {"when": when, "source": str(rng.choice(["shoes", "toys", "books"]))}


@pytest.mark.parametrize("runs", [25, pytest.param(300, marks=pytest.mark.slow)])
def test_on_fair_coins_a_baseline_seldom_wins(runs: int) -> None:
    wrong = sum(
        any(one.low > 0.5 for one in baselines(seen_of(_records(s, _all_alike, 60, 2), "member", "text", "unit"), 0.95))
        for s in range(runs)
    )
    assert wrong / runs <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)


def test_length_alone_with_no_correction_would_win_too_often() -> None:
    # What the correction is for: length, dates and source at full level each, on fair coins.
    def won(confidence: float) -> int:
        count = 0
        for seed in range(80):
            with mock.patch.object(blind, "words", lambda texts, labels, clusters: np.zeros(len(texts))):
                seen = seen_of(_records(1000 + seed, _all_alike, 60), "member", "text", "unit")
                count += any(one.low > 0.5 for one in baselines(seen, confidence))
        return count

    assert won(0.95) / 80 <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 80)
    assert won(1 - 0.05 * 8) / 80 > 0.12


def test_the_classifier_runs_once_for_all_attacks_on_the_same_records() -> None:
    rows = _records(7, _plain, attack=2.0)
    again = Observations(tuple(replace(row) for row in rows))  # the same content, other objects
    words.cache_clear()
    for metric in (
        membership_auroc_of("score", "member", "text"),
        membership_auroc_of("score", "member", "text", name="other"),
        blind_auroc_of("text", "member"),
    ):
        for one in (rows, again):
            _told(metric, one)
    assert words.cache_info().misses == 1
    changed = Observations((replace(rows.rows[0], values=dict(rows.rows[0].values) | {"text": "x"}), *rows.rows[1:]))
    _told(blind_auroc_of("text", "member"), changed)
    assert words.cache_info().misses == 2


@pytest.mark.parametrize(
    ("attack_low", "baseline", "invalid"),
    [
        (0.55, Baseline("date", 0.6, 0.52, 0.7), True),  # the attack may be nothing but the date
        (0.60, Baseline("date", 0.6, 0.52, 0.7), True),
        (0.61, Baseline("date", 0.6, 0.52, 0.7), False),  # it surely knows more
        (0.55, Baseline("date", 0.6, 0.49, 0.7), False),  # the date may tell nothing
        (0.61, Baseline("date", math.nan, math.nan, math.nan), True),  # what was not looked at clears nothing
    ],
)
def test_a_baseline_wins_where_it_beats_chance_and_the_attack_does_not_beat_it(
    attack_low: float, baseline: Baseline, invalid: bool
) -> None:
    note = guarded(Estimate(0.65, attack_low, 0.75, 100, ""), (baseline,))
    assert note.startswith("invalid") == invalid
    assert baseline.name in note
    assert math.isnan(baseline.value) or str(baseline) in note


@pytest.mark.parametrize(("low", "given"), [(0.52, True), (0.49, False)])
def test_in_lists_that_were_brought_any_baseline_above_chance_wins(low: float, given: bool) -> None:
    baseline = Baseline("date", 0.55, low, 0.6)
    assert not guarded(Estimate(0.8, 0.75, 0.85, 100, ""), (baseline,)).startswith("invalid")
    assert guarded(Estimate(0.8, 0.75, 0.85, 100, ""), (baseline,), given=True).startswith("invalid") == given


def test_an_attack_that_is_surely_below_chance_adds_something_of_its_own_too() -> None:
    baseline = Baseline("date", 0.55, 0.52, 0.6)
    assert not guarded(Estimate(0.1, 0.05, 0.15, 100, ""), (baseline,)).startswith("invalid")
    assert guarded(Estimate(0.46, 0.42, 0.5, 100, ""), (baseline,)).startswith("invalid")


def test_lists_of_different_dates_make_attacks_and_what_is_given_back_invalid() -> None:
    def brought(rng: np.random.Generator, inside: bool) -> dict[str, object]:
        return _later(rng, inside) | {"coin": "given"}

    rng = np.random.default_rng(1)
    for shift, invalid in ((brought, True), (lambda *_: {"coin": "given"}, False), (_later, False)):
        rows = _records(0, shift, attack=4.0)  # an attack far better than the dates
        rows = Observations(
            tuple(
                replace(row, values=dict(row.values) | {"back": back, "nats": -1.0 if back else -90.0})
                for row in rows
                for back in [bool(row.case.facts["member"] and rng.random() < 0.5)]
            )
        )
        metrics = [
            membership_auroc_of("score", "member", "text"),
            membership_auroc_of("score", "member", "text", per="record"),
            excess_of("back", "member"),
            extractable_of("nats", "member", draws=10, chance=0.5),
        ]
        for metric in metrics:
            assert _told(metric, rows).note.startswith("invalid") == invalid


# Texts of two units ---------------------------------------------------------------------------------


def _by_heart(shared_units: int) -> Observations:
    """100 units and their texts known by heart; as many left out, of which so many have a member's text."""
    rng, rows = np.random.default_rng(0), []
    for i in range(200):
        inside = i < 100
        shared = i % 100 < shared_units
        text = " ".join(np.random.default_rng(i % 100 if shared else i + 1000).choice(WORDS, 8))
        known = inside or shared
        case = Case(f"u{i:03}/0", facts={"member": inside, "shared": shared, "coin": "fair"}, cluster=f"u{i:03}")
        rows.append(Observation(case, {"score": 4.0 * known + float(rng.normal()), "text": text, "back": known}))
    return Observations(tuple(rows))


@pytest.mark.parametrize(("shared", "invalid"), [(0, False), (49, False), (50, False), (51, True), (100, True)])
def test_texts_that_were_trained_on_under_another_unit_hide_no_memoriser(shared: int, invalid: bool) -> None:
    rows = _by_heart(shared)
    auroc, excess = (
        _told(membership_auroc_of("score", "member", "text"), rows),
        _told(excess_of("back", "member"), rows),
    )
    for found in (auroc, excess):
        assert found.note.startswith("invalid: most left-out texts were trained on under another unit") == invalid
    assert invalid or (auroc.low > 0.9 and auroc.n == 200 - 2 * shared)
    assert invalid or (excess.value == 1.0 and excess.n == 200 - 2 * shared)
    blinded = _told(blind_auroc_of("text", "member"), rows)
    assert blinded.n == 200 - 2 * shared or math.isnan(blinded.value)
    rate = _told(membership_tpr_of("score", "member", "text", 0.01, name="t"), rows)
    assert rate.note.startswith("invalid") == invalid


def test_the_rate_at_low_false_positives_has_the_same_guard() -> None:
    metric = membership_tpr_of("score", "member", "text", 0.01, name="t")
    with mock.patch.object(blind, "words", lambda texts, labels, clusters: np.zeros(len(texts))):
        shifted, fair = (_told(metric, _records(0, row, users=1400, attack=0.3)) for row in (_later, _plain))
    assert shifted.note.startswith("invalid")
    assert fair.note.startswith("blind baseline")
    assert fair.value > 0


# Units ----------------------------------------------------------------------------------------------


def test_a_units_score_is_the_mean_over_its_records_and_canaries_are_no_units() -> None:
    rows = _records(3, _plain, users=40, each=3, attack=1.0)
    canaries = tuple(
        Observation(
            Case(f"canary{i}", facts={"member": i % 2 == 0, "kind": "canary"}), {"score": 99.0 * i, "text": "x"}
        )
        for i in range(30)
    )
    metric = membership_auroc_of("score", "member", "text")
    alone, beside = _told(metric, rows), _told(metric, Observations(rows.rows + canaries))
    assert alone == beside
    assert alone.n == 40
    means = np.array([rows.numbers("score")[3 * i : 3 * i + 3].mean() for i in range(40)])
    inside = np.array([bool(rows.rows[3 * i].case.facts["member"]) for i in range(40)])
    assert alone.value == pytest.approx((means[inside][:, None] > means[~inside][None]).mean())
    each = _told(membership_auroc_of("score", "member", "text", per="record"), rows)
    scores, members = rows.numbers("score"), np.repeat(inside, 3)
    assert each.value == pytest.approx((scores[members][:, None] > scores[~members][None]).mean())
    assert each.value < alone.value
    assert each.n == 40


def test_the_records_of_a_unit_are_read_together() -> None:
    rows = _records(3, _all_alike, users=5, each=2)
    seen = seen_of(rows, "member", "text", "unit")
    assert len(seen.texts) == 5
    assert all(row.values["text"] in seen.texts[i // 2] for i, row in enumerate(rows))
    assert seen.when[0] == pytest.approx(np.mean([_seconds(row) for row in rows.rows[:2]]))
    assert len(seen_of(rows, "member", "text", "record").texts) == 10


def test_without_a_baseline_the_note_says_so() -> None:
    found = _told(membership_auroc_of("score", "member", "text"), _records(0, _plain, users=4, attack=3.0))
    assert math.isnan(found.value) or "nan" in found.note
