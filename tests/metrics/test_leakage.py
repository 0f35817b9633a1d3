from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, skewnorm

from shoplm_audit.metrics.leakage import (
    excess_of,
    exposure,
    exposure_gap_of,
    extractable_of,
    extrapolated_exposure_of,
    membership_auroc_of,
)
from shoplm_audit.metrics.skew_normal import SkewNormal
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations
from shoplm_audit.uncertainty import clopper_pearson


def _units(scores: np.ndarray, inside: np.ndarray, texts: list[str] | None = None, **facts: object) -> Observations:
    shared = {"coin": "fair", "epsilon": 2.0, "delta": 0.0} | facts
    return Observations(
        tuple(
            Observation(
                Case(f"u{i}", facts=shared | {"member": bool(member)}, cluster=f"u{i}"),
                {"score": float(score), "text": texts[i] if texts else ""},
            )
            for i, (score, member) in enumerate(zip(scores, inside, strict=True))
        )
    )


# Exposure -------------------------------------------------------------------------------------------


def test_exposure_reference_vector() -> None:
    # 16 references 1..16 of TF Privacy's tests; the rank counts references that are at most as perplexing.
    def of(secret: float) -> float:
        return exposure(1 + sum(reference <= secret for reference in range(1, 17)), 16)

    assert [of(0), of(0.1), of(3.5)] == [4.0, 4.0, 2.0]
    assert of(20) == pytest.approx(math.log2(16) - math.log2(17))


@pytest.mark.parametrize(("candidates", "mean"), [(16, 1.1566), (100, 1.3822), (1000, 1.4349), (10_000, 1.4418)])
def test_exposure_of_what_was_never_inserted_follows_its_null_law(candidates: int, mean: float) -> None:
    # A secret and as many others as candidates, all alike: the rank is uniform.
    rng = np.random.default_rng(0)
    own, others = rng.random(3000), rng.random((3000 if candidates < 5000 else 0, candidates))
    # Among ten thousand the rank of a number that is as likely anywhere is binomial, drawn without the others.
    ranks = 1 + ((others >= own[:, None]).sum(axis=1) if others.size else rng.binomial(candidates, 1 - own))
    found = np.array([exposure(int(rank), candidates) for rank in ranks])
    exact = np.mean([exposure(rank, candidates) for rank in range(1, candidates + 2)])
    assert exact == pytest.approx(mean, abs=5e-5)
    assert found.mean() == pytest.approx(mean, abs=0.07)
    for bits in (1, 2, 3):
        # The rank is discrete: the chance is floor(candidates / 2^bits) of candidates + 1.
        chance = math.floor(candidates / 2**bits) / (candidates + 1)
        assert np.mean(found >= bits) == pytest.approx(chance, abs=0.03)
        assert chance <= 2.0**-bits


def test_a_model_that_prefers_some_numbers_has_exposure_and_no_gap() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        inside = rng.random(80) < 0.5
        bits = -np.log2(rng.random(80)) + 2.0  # all canaries look exposed, inserted or not
        rows = _units(bits, inside)
        rows = Observations(tuple(replace(r, values={"exposure": r.values["score"]}) for r in rows))
        found = exposure_gap_of("exposure", "member").estimate(rows, 0.95, rng)
        wrong += found.low > 0
    assert wrong / 300 <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 300)


# Extrapolated exposure ------------------------------------------------------------------------------


def _canaries(count: int, shift: float, seed: int = 0, shape: float = 3.0, space: float = 1e9, **more: object):
    """Log-probabilities that are minus a skew-normal cost in 10 nats, on a scale of each canary's own."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        inside, scale, place = bool(i % 2), float(rng.uniform(5, 20)), float(rng.uniform(-90, -30))
        cost = skewnorm.rvs(shape, size=64, random_state=rng)
        cost[0] -= shift * inside
        nats = place - scale * cost
        values = {"nats": nats[0], "others": json.dumps(nats[1:].round(4).tolist()), "candidates": 64} | more
        values |= {"rank": 1 + int((nats[1:] >= nats[0]).sum()), "exact": more.get("exact", False)}
        rows.append(Observation(Case(f"c{i}", facts={"inserted": inside, "space": space}, cluster=f"c{i}"), values))
    return Observations(tuple(rows))


def _told(metric: Metric, rows: Observations) -> Estimate:
    return metric.estimate(rows, 0.95, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [-4.0, -0.5, 0.0, 1.0, 5.0])
def test_the_lower_tail_of_a_skew_normal_agrees_with_scipy(shape: float) -> None:
    law, points = SkewNormal(2.0, 3.0, shape), np.array([-4.0, -1.0, 0.0, 2.0, 5.0, 9.0])
    assert law.log_cdf(points) == pytest.approx(skewnorm.logcdf(points, shape, 2.0, 3.0), rel=1e-5, abs=1e-6)


def test_the_far_tail_of_a_normal_keeps_its_digits_and_its_end_is_finite() -> None:
    law = SkewNormal(0.0, 1.0, 0.0)
    assert law.log_cdf(np.array([-6.0, -9.0])) == pytest.approx(norm.logcdf([-6.0, -9.0]), rel=1e-4)
    assert law.log_cdf(np.array([-1000.0]))[0] == law.log_cdf(np.array([-12.0]))[0] > -math.inf


@pytest.mark.parametrize("shape", [-3.0, 0.0, 3.0])
def test_a_skew_normal_is_found_again_by_its_moments(shape: float) -> None:
    values = skewnorm.rvs(shape, 1.0, 2.0, size=20_000, random_state=np.random.default_rng(0))
    law = SkewNormal.fitted(values)
    for share in (0.001, 0.01, 0.5):
        at = float(skewnorm.ppf(share, shape, 1.0, 2.0))
        assert math.exp(law.log_cdf(np.array([at]))[0]) == pytest.approx(share, rel=0.25)
    assert law.p > 0.05
    assert SkewNormal.fitted(values**3).p < 0.01


def test_the_extrapolated_exposure_agrees_with_exact_ranks_over_the_whole_space() -> None:
    # 2^17 secrets, so that every rank can be counted; canaries shifted from nowhere to the front.
    rng = np.random.default_rng(1)
    space = 40 * rng.gamma(30, 0.1, size=2**17)
    for shift in (0.0, 1.0, 2.0, 3.0):
        exact, rows = [], []
        for i in range(80):
            own = float(rng.choice(space)) - shift * float(space.std())
            exact.append(exposure(1 + int((space < own).sum()), space.size))
            others = (-rng.choice(space, 63, replace=False)).round(4).tolist()
            values = {"nats": -own, "others": json.dumps(others), "rank": 1, "candidates": 64, "exact": False}
            facts = {"inserted": True, "space": float(space.size)}
            rows.append(Observation(Case(f"c{i}", facts=facts, cluster=f"c{i}"), values))
        found = _told(extrapolated_exposure_of("inserted"), Observations(tuple(rows)))
        assert found.value == pytest.approx(np.mean(exact), abs=0.15 + 0.08 * np.mean(exact))
        assert found.low < found.value < found.high


def test_canaries_that_were_never_read_have_the_null_exposure() -> None:
    found = _told(extrapolated_exposure_of("inserted"), _canaries(300, 0.0))
    assert found.value == pytest.approx(1.4427, abs=0.3)
    assert found.n == 150


def test_exposure_ends_at_the_size_of_the_space() -> None:
    found = _told(extrapolated_exposure_of("inserted"), _canaries(40, 40.0, space=2.0**20))
    assert found.value == found.high == pytest.approx(20)
    assert found.low == pytest.approx(20 * 0.05 ** (1 / 20))
    assert "20.0 bits" in found.note


def test_a_form_that_does_not_fit_extrapolates_nothing() -> None:
    rows = _canaries(40, 3.0)
    rng = np.random.default_rng(0)
    apart = [(rng.choice([-90, -10], 63) + rng.normal(size=63)).tolist() for _ in rows]  # two kinds of candidates
    split = Observations(
        tuple(
            replace(row, values=dict(row.values) | {"others": json.dumps(others)})
            for row, others in zip(rows, apart, strict=True)
        )
    )
    found = _told(extrapolated_exposure_of("inserted"), split)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert "normal form refused" in found.method


def test_a_rank_among_all_candidates_is_kept() -> None:
    rows = _canaries(40, 2.0, exact=True)
    inserted = [row.values for row in rows if row.case.facts["inserted"]]
    expected = np.mean([exposure(int(v["rank"]), 64) for v in inserted])  # type: ignore[arg-type]
    assert _told(extrapolated_exposure_of("inserted"), rows).value == pytest.approx(expected)


def test_no_inserted_canary_no_exposure() -> None:
    rows = _canaries(40, 2.0)
    outside = Observations(tuple(row for row in rows if not row.case.facts["inserted"]))
    assert math.isnan(_told(extrapolated_exposure_of("inserted"), outside).value)


# Extraction -----------------------------------------------------------------------------------------


def _records(hits: list[tuple[bool, object]], **facts: object) -> Observations:
    return Observations(
        tuple(
            Observation(Case(f"r{i}", facts=facts | {"member": member}), {"recalled": value, "nats": value})
            for i, (member, value) in enumerate(hits)
        )
    )


def test_the_excess_is_the_rate_of_members_less_that_of_the_others() -> None:
    hits = [(True, i < 30) for i in range(100)] + [(False, i < 4) for i in range(80)] + [(True, None)] * 50
    found = _told(excess_of("recalled", "member"), _records(hits))
    assert found.value == pytest.approx(0.3 - 0.05)
    assert found.n == 180
    assert "0.3000 of 100" in found.note
    (a, b), (c, d) = clopper_pearson(30, 100), clopper_pearson(4, 80)
    assert found.low == pytest.approx(0.25 - math.sqrt((0.3 - a) ** 2 + (d - 0.05) ** 2))
    assert found.high == pytest.approx(0.25 + math.sqrt((b - 0.3) ** 2 + (0.05 - c) ** 2))


@pytest.mark.parametrize("hits", [[(True, True)] * 9, [(False, True)] * 9, [(True, True), (False, None)] * 9, []])
def test_an_excess_needs_both_sides(hits: list[tuple[bool, object]]) -> None:
    assert math.isnan(_told(excess_of("recalled", "member"), _records(hits)).value)


def test_no_recital_on_either_side_still_has_a_bound() -> None:
    found = _told(excess_of("recalled", "member"), _records([(i % 2 == 0, False) for i in range(200)]))
    assert found.value == 0
    assert found.high == pytest.approx(clopper_pearson(0, 100)[1])


def test_canaries_do_not_count_as_records_of_members() -> None:
    rows = _records([(i % 2 == 0, i % 8 == 0) for i in range(80)])
    canaries = _records([(True, True)] * 40, kind="canary").rows
    renamed = tuple(replace(row, case=replace(row.case, id=f"c{row.case.id}", cluster="")) for row in canaries)
    metric = excess_of("recalled", "member")
    assert _told(metric, Observations(rows.rows + renamed)) == _told(metric, rows)


def test_the_interval_of_an_excess_covers() -> None:
    rng, missed, runs = np.random.default_rng(0), [0, 0], 400
    for _ in range(runs):
        inside = rng.random(100) < 0.5
        hits = [(bool(m), bool(rng.random() < (0.15 if m else 0.05))) for m in inside]
        found = _told(excess_of("recalled", "member"), _records(hits))
        missed[0] += found.low > 0.1
        missed[1] += found.high < 0.1
    assert max(missed) / runs <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)


def test_an_extractable_record_comes_back_within_the_draws() -> None:
    hits = [(i % 2 == 0, -3.0 if i < 40 else -60.0) for i in range(100)]
    for draws, share in ((13, 0.0), (14, 0.4)):
        metric = extractable_of("nats", "member", draws=draws, chance=0.5)
        found = _told(metric, _records(hits))
        assert found.value == 0.0
        assert f"{share:.4f} of 50" in found.note
    only = _records([(member, nats if member else -60.0) for member, nats in hits])
    assert _told(extractable_of("nats", "member", draws=14, chance=0.5), only).value == pytest.approx(0.4)


# Membership -----------------------------------------------------------------------------------------


def _texts(inside: np.ndarray, told_apart: bool) -> list[str]:
    rng = np.random.default_rng(3)
    words = ["red", "blue", "soft", "hard", "tall", "small", "fast", "slow"]
    return [" ".join(rng.choice(words, 8)) + (" in 2024" if member and told_apart else " in 2019") for member in inside]


def test_membership_is_invalid_where_a_blind_baseline_wins() -> None:
    rng = np.random.default_rng(0)
    inside = rng.random(120) < 0.5
    scores = inside + rng.normal(size=120)
    metric = membership_auroc_of("score", "member", "text")
    shifted = metric.estimate(_units(scores, inside, _texts(inside, True)), 0.95, rng)
    assert shifted.note.startswith("invalid: a blind baseline")
    fair = metric.estimate(_units(scores, inside, _texts(inside, False)), 0.95, rng)
    assert fair.note.startswith("blind baseline")
    assert fair.value == shifted.value > 0.6
