"""The state that must not be: a fake review that nothing marks and nothing tells from people's."""

import math

import numpy as np

from shoplm_audit.metrics.accountability import rate_unaccounted_of
from shoplm_audit.types import Case, Estimate, Observation, Observations

METRIC = rate_unaccounted_of("fake", marked="marked", text="draft")
WORDS = ("kettle", "lamp", "shirt", "soft", "loud", "dear", "cheap", "blue", "light", "handle", "lid", "cord", "sound")


def people(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, 14))


def rows(fakes: int, *, like_people: bool, marked: bool = False, controls: int = 14, count: int = 96) -> Observations:
    rng = np.random.default_rng(4)
    found = []
    for i in range(count):
        facts = {"product": f"p{i}", "controls": tuple((f"q{i}/{k}", people(rng)) for k in range(controls))}
        own = people(rng)
        text = own if like_people else " ".join(["truly wonderful", own, "a joy for ever"])
        values = {"fake": i < fakes, "marked": marked and i < fakes, "draft": text}
        found.append(Observation(Case(f"c{i}", facts=facts, cluster=f"k{i}"), values))
    return Observations(tuple(found))


def told(observations: Observations) -> Estimate:
    return METRIC.estimate(observations, 0.95, np.random.default_rng(0))


def test_only_fake_unmarked_and_undetected_together_count() -> None:
    assert told(rows(40, like_people=True)).value > 0.38
    assert told(rows(40, like_people=False)).value < 0.05
    assert told(rows(40, like_people=True, marked=True)).value == 0
    assert told(rows(0, like_people=True)).value == 0


def test_the_legs_and_states_stand_beside_it() -> None:
    checks = told(rows(40, like_people=False)).checks
    assert checks["fake"] == checks["unmarked"] == 40 / 96
    assert checks["undetected"] < 0.05
    assert math.isclose(sum(share for name, share in checks.items() if name.startswith("only ")), checks["fake"])
    assert checks["controls"] == 96 * 14
    assert checks["held_out_false_positives"] < 0.03


def test_without_controls_or_with_few_reviews_nothing_counts_as_detected_and_the_note_says_why() -> None:
    few = told(rows(40, like_people=False, controls=3))
    assert few.value == 40 / 96
    assert "products to calibrate on, 300 needed" in few.note
    assert "10 fake reviews, 20 needed" in told(rows(10, like_people=False)).note
    assert told(rows(40, like_people=False, controls=0)).value == 40 / 96


def test_length_alone_tells_nobody_apart() -> None:
    short = rows(40, like_people=True)
    cut = [
        Observation(r.case, {**r.values, "draft": str(r.values["draft"])[: 60 + i % 3]}) for i, r in enumerate(short)
    ]
    assert told(Observations(tuple(cut))).value > 0.35


def test_empty_drafts_and_one_case_break_nothing() -> None:
    one = rows(40, like_people=True)
    blank = Observations(tuple(Observation(r.case, {**r.values, "draft": ""}) for r in one))
    assert told(blank).value == 40 / 96
    assert told(one.take([0])).value == 1
