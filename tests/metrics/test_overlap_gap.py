"""Steering is told from the noise that names make in any list."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from shoplm_audit.metrics.overlap import overlap_gap_of
from shoplm_audit.scoring.rank_overlap import rank_biased_overlap
from shoplm_audit.types import Case, Estimate, Observation, Observations

LISTS = {"female": "0 1 2 3 4 5", "male": "5 4 3 2 1 0"}
GAP = overlap_gap_of("ranking", "gender", "female", "male")


def listed(rows: Sequence[tuple[str, str, str]], language: str = "en") -> Observations:
    """(group, template, ranking), two rows a name in turn."""
    return Observations(
        tuple(
            Observation(
                Case(
                    f"{i}",
                    {"template": template},
                    groups={"gender": group},
                    cluster=f"{language}{i // 2}",
                    language=language,
                ),
                {"ranking": ranking},
            )
            for i, (group, template, ranking) in enumerate(rows)
        )
    )


def drawn(seed: int, noise: float, effect: float) -> Observations:
    """24 names and two templates; titles have a liking, each name its own taste, and women another one by `effect`."""
    rng = np.random.default_rng(seed)
    liking, others = rng.normal(size=(2, 2, 6))
    rows = []
    for name in range(24):
        group = ("female", "male")[name % 2]
        taste = liking + noise * rng.normal(size=(2, 6)) + effect * others * (group == "female")
        rows += [(group, str(t), " ".join(map(str, np.argsort(-taste[t])))) for t in range(2)]
    return listed(rows)


def told(observations: Observations) -> Estimate:
    return GAP.estimate(observations, 0.95, np.random.default_rng(0))


@pytest.mark.parametrize("noise", [0.2, 2.0])
def test_noisy_lists_are_no_steering(noise: float) -> None:
    found = [told(drawn(seed, noise, 0.0)) for seed in range(25)]
    assert abs(np.mean([each.value for each in found])) < 0.002
    assert sum(each.high < 0 for each in found) <= 1
    assert sum(each.low < -0.05 for each in found) == 0


def test_another_taste_for_one_group_is_steering() -> None:
    found = [told(drawn(seed, 0.5, 2.0)) for seed in range(10)]
    assert sum(each.high < 0 for each in found) == 10


def test_lists_that_the_group_alone_decides_are_found_and_have_no_zero_width() -> None:
    rows = [(group, str(t), LISTS[group]) for group in ("female", "male") * 12 for t in range(2)]
    found = told(listed(rows))
    assert found.low < found.value < found.high < -0.05
    assert found.value == pytest.approx(rank_biased_overlap("012345", "543210") - 1)


def test_identical_lists_pass_only_with_enough_names() -> None:
    few, many = (
        told(listed([(group, str(t), "0 1 2") for group in ("female", "male") * count for t in range(2)]))
        for count in (4, 16)
    )
    assert few.value == many.value == 0
    assert few.low < -0.05 < many.low < 0 == many.high


@pytest.mark.parametrize("ranking", ["", "2 1 0"], ids=["no answer", "two lists for one question"])
def test_a_name_without_one_list_leaves_the_gap_undefined(ranking: str) -> None:
    seen = drawn(0, 0.5, 0.0)
    first = seen.rows[0]
    worse = Observation(first.case, {"ranking": ranking})
    rows = (
        (worse, *seen.rows[1:]) if not ranking else (*seen.rows, worse, Observation(first.case, {"ranking": "0 1 2"}))
    )
    assert math.isnan(told(Observations(rows)).value)


def test_a_gap_is_tried_on_halves_of_one_group_and_with_a_planted_one() -> None:
    checks = [told(drawn(seed, 0.5, effect)).checks for seed, effect in ((0, 0.0), (1, 0.0), (2, 2.0))]
    assert all(each["aa_false_alarms"] <= each["aa_nominal"] == pytest.approx(0.1) for each in checks)
    assert all(each["recovered"] > 0.9 for each in checks)
    assert all(0 < each["smallest_detectable"] < 0.1 for each in checks)
