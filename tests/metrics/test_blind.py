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
from shoplm_audit.metrics.leakage import blind_auroc_of, membership_auroc_of, membership_tpr_of
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
    # What the correction is for: length, date and source at full level each, on fair coins.
    def won(confidence: float) -> int:
        count = 0
        for seed in range(80):
            with mock.patch.object(blind, "words", lambda texts, labels, clusters: np.zeros(len(texts))):
                seen = seen_of(_records(1000 + seed, _all_alike, 60), "member", "text", "unit")
                count += any(one.low > 0.5 for one in baselines(seen, confidence))
        return count

    assert won(0.95) / 80 <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 80)
    assert won(1 - 0.05 * 6) / 80 > 0.12


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
        (0.55, Baseline("date", math.nan, math.nan, math.nan), False),
    ],
)
def test_a_baseline_wins_where_it_beats_chance_and_the_attack_does_not_beat_it(
    attack_low: float, baseline: Baseline, invalid: bool
) -> None:
    note = guarded(Estimate(0.65, attack_low, 0.75, 100, ""), (baseline,))
    assert note.startswith("invalid") == invalid
    assert str(baseline) in note


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
