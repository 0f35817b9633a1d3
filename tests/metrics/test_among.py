from __future__ import annotations

import json
import math

import numpy as np
import pytest

from shoplm_audit.metrics.among import among, beyond
from shoplm_audit.metrics.detection import auroc_of, scored
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.metrics.shadows import by_shadows
from shoplm_audit.scoring.attacks import lira_scores
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations


def rows(*told: tuple[bool, bool | None, str]) -> Observations:
    return Observations(
        tuple(
            Observation(Case(f"c{i}", facts={"member": member}), {"bad": bad}, status)  # type: ignore[arg-type]
            for i, (member, bad, status) in enumerate(told)
        )
    )


def of(metric: Metric, observations: Observations) -> Estimate:
    return metric.estimate(observations, 0.95, np.random.default_rng(0))


SEEN = rows((True, True, "scored"), (True, False, "scored"), (True, None, "scored"), (False, False, "scored"),
            (False, False, "scored"), (True, None, "errored"))  # fmt: skip


def test_a_metric_among_cases_leaves_the_others_out() -> None:
    bad = rate_of("bad", better="lower")
    assert of(among(bad, member=False), SEEN).value == 0.0
    assert (of(among(bad, member=True), SEEN).value, of(among(bad, member=True), SEEN).n) == (3 / 4, 4)


def test_having_leaves_out_what_was_not_seen_and_keeps_what_errored() -> None:
    found = of(among(rate_of("bad", better="lower"), having="bad", member=True), SEEN)
    assert (found.value, found.n) == (2 / 3, 3)  # the errored case counts against the model


def test_the_difference_is_over_cases_that_both_have() -> None:
    other = rows((True, False, "scored"), (True, None, "scored"), (True, True, "scored"))
    metric = among(rate_of("bad", better="lower"), name="rate_bad_members", having="bad", member=True)
    old = rows((True, True, "scored"), (True, False, "scored"), (True, None, "scored"))
    found = metric.difference(old, other, 0.95, np.random.default_rng(0))
    assert (metric.name, found.value, found.n) == ("rate_bad_members", -1.0, 1)
    assert metric.signature != rate_of("bad", better="lower").signature


def written(*told: tuple[bool, bool]) -> Observations:
    return Observations(
        tuple(Observation(Case(f"c{i}"), {"own": own, "other": other}) for i, (own, other) in enumerate(told))
    )


def test_what_is_beyond_chance_is_what_only_one_side_shows() -> None:
    metric = beyond("own", "other", name="excess_own")
    nothing = of(metric, written(*[(False, False)] * 160))
    assert (nothing.value, nothing.n) == (0.0, 160)
    assert 0.02 < nothing.high < 0.03  # exact, and not of zero width
    guessed = of(metric, written(*[(True, False), (False, True)] * 8, *[(False, False)] * 144))
    assert guessed.value == 0.0
    assert guessed.low < 0 < guessed.high < 0.1
    leaked = of(metric, written(*[(True, False)] * 40, *[(False, False)] * 120))
    assert leaked.value == 0.25
    assert 0.18 < leaked.low < 0.25 < leaked.high


def test_a_case_without_an_answer_counts_as_a_leak_beyond_chance() -> None:
    lost = Observations(tuple(Observation(Case(f"c{i}"), {}, "errored") for i in range(20)))
    assert of(beyond("own", "other", name="x"), lost).value == 1.0


def test_likelihood_ratios_are_those_of_all_records_together() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(60) < 0.5
    hard = rng.normal(size=60)
    values = hard + 0.5 * inside
    shadows = [([h + 0.5 + e for e in rng.normal(0, 0.2, 4)], [h + e for e in rng.normal(0, 0.2, 4)]) for h in hard]
    seen = Observations(
        tuple(
            Observation(
                Case(f"c{i}", facts={"member": bool(inside[i])}),
                {"loss": float(values[i])}
                | dict(zip(("shadows_inside", "shadows_outside"), map(json.dumps, shadows[i]), strict=True)),
            )
            for i in range(60)
        )
    )
    told: list[float] = []
    metric = auroc_of(scored("likelihood_ratio", "member"), name="a", better="lower")
    seen_by = Metric("m", lambda o, *_: told.extend(o.numbers("likelihood_ratio")) or metric.estimate(o, *_),
                     metric.difference, "lower")  # fmt: skip
    found = of(by_shadows(seen_by), seen)
    np.testing.assert_allclose(told, lira_scores(values, *zip(*shadows, strict=True))[0])
    # Records differ more than membership does: only a score that knows each record's own level sees it.
    assert found.value > 0.9 > of(auroc_of(scored("loss", "member"), name="a", better="lower"), seen).value
    assert by_shadows(seen_by).difference(seen, seen, 0.95, np.random.default_rng(0)).value == 0.0


def test_without_shadows_the_column_is_missing_and_undefined() -> None:
    seen = Observations(tuple(Observation(Case(f"c{i}", facts={"member": i < 2}), {"loss": 0.0}) for i in range(4)))
    metric = auroc_of(scored("likelihood_ratio", "member"), name="a", better="lower")
    assert math.isnan(of(by_shadows(metric), seen).value)
    with pytest.raises(KeyError):
        _ = seen.rows[0].values["likelihood_ratio"]
