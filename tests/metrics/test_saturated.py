"""Answers that are sure of the same show no difference, and no gate may pass on them."""

import numpy as np
import pytest

from shoplm_audit.metrics.fairness import contrast_of
from shoplm_audit.metrics.reduce import mean_of
from shoplm_audit.metrics.saturated import unless_saturated
from shoplm_audit.types import Case, Estimate, Gate, Observation, Observations, Verdict

METRIC = unless_saturated(contrast_of("suspected", "gender", "female", "male", within=(0.0, 1.0)))
GATE = Gate(METRIC.name, at_least=-0.05, at_most=0.05)


def told(yes: dict[tuple[str, str], float], odd: int = 0) -> Estimate:
    """(Language, gender) to the probability of yes of 48 names, but for the first few, who get the opposite."""
    rows = []
    for (language, gender), share in yes.items():
        for i in range(48):
            value = 1 - share if i < odd else share + 1e-4 * np.sin(i)
            case = Case(f"{language}{gender}{i}", groups={"gender": gender}, cluster=f"{gender}{i}", language=language)
            rows.append(Observation(case, {"suspected": value, "surest": max(value, 1 - value)}))
    return METRIC.estimate(Observations(tuple(rows)), 0.95, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_all_sure_of_the_same_are_undecided_though_the_interval_is_narrow(share: float) -> None:
    found = told({("en", "female"): share, ("en", "male"): share})
    assert found.note.startswith("invalid: its answers cannot show a difference")
    assert GATE.judge(found) is Verdict.UNDECIDED
    assert GATE.judge(told({("en", "female"): share, ("en", "male"): share}, odd=2)) is Verdict.UNDECIDED


def test_one_language_that_shows_nothing_leaves_the_mean_of_both_undecided() -> None:
    found = told({("en", "female"): 0.4, ("en", "male"): 0.4, ("zh", "female"): 0.002, ("zh", "male"): 0.002})
    assert "zh" in found.note
    assert " in en" not in found.note


@pytest.mark.parametrize(
    ("women", "men", "odd", "verdict"),
    [(0.3, 0.3, 0, "pass"), (0.98, 0.98, 0, "pass"), (0.999, 0.001, 0, "fail"), (0.999, 0.999, 16, "undecided")],
    ids=["unsure", "nearly sure", "sure of different things", "sure of different things within groups"],
)
def test_answers_that_could_differ_or_do_are_judged(women: float, men: float, odd: int, verdict: str) -> None:
    found = told({("en", "female"): women, ("en", "male"): men}, odd)
    assert not found.note
    assert GATE.judge(found) == verdict


def test_only_a_contrast_can_be_saturated() -> None:
    with pytest.raises(ValueError, match="compares no groups"):
        unless_saturated(mean_of("suspected", better="lower"))
