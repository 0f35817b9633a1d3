"""Where a metric fell: the part that was planted is found, and none where the fall is everywhere alike."""

import numpy as np
import pytest

from shoplm_audit import slicing
from shoplm_audit.slicing import Fall, explained, parts_of
from shoplm_audit.types import Case, Estimate, Prompt

CATEGORIES = ("lamps", "kettles", "shirts", "shoes")


def cases(count, rows=1, rng=None):
    rng = rng or np.random.default_rng(0)
    return [
        Case(
            f"c{i}/{j}",
            facts={"grams": float(grams), "new": bool(i % 2), "text": "word " * 20 + str(i), "record": {"a": 1}},
            groups={"category": CATEGORIES[category]},
            cluster=f"c{i}",
            language=("en", "zh")[j if rows > 1 else i // 2 % 2],
            prompt=Prompt("x" * (i % 50)),
        )
        for i, (grams, category) in enumerate(zip(rng.integers(0, 1000, count), rng.integers(0, 4, count), strict=True))
        for j in range(rows)
    ]


def fall_of(made, worsening, seed=0):
    worsening = np.asarray(worsening, dtype=float)
    _, clusters = np.unique([case.cluster for case in made], return_inverse=True)

    def difference(rows):
        inside = -worsening[rows]
        return Estimate(inside.mean(), inside.mean() - 0.1, inside.mean() + 0.1, rows.size, "fake")

    return Fall(made, worsening, clusters, difference, [seed])


def planted(made, rng, where, inside=0.35, outside=0.03):
    return np.array([float(rng.random() < (inside if where(case) else outside)) for case in made])


def test_a_planted_fall_is_found_with_its_share_and_told_once() -> None:
    made = cases(240)
    worsening = planted(made, np.random.default_rng(1), lambda case: case.groups["category"] == "lamps")
    [[first, *rest]] = explained([fall_of(made, worsening)])
    assert first.slice == {"category": "lamps"}
    inside = np.array([case.groups["category"] == "lamps" for case in made])
    assert first.n == inside.sum()
    assert first.share == pytest.approx(worsening[inside].sum() / worsening.sum())
    assert first.difference == pytest.approx(-worsening[inside].mean())
    assert first.p_value <= first.p_adjusted <= 0.1
    assert all("category" not in part.slice for part in rest)


@pytest.mark.parametrize(
    ("where", "slice_"),
    [
        (lambda case: case.facts["grams"] > 666, {"grams"}),
        (lambda case: case.groups["category"] == "shoes" and case.language == "zh", {"category", "language"}),
    ],
)
def test_a_fall_in_large_numbers_or_where_two_things_meet_is_found(where, slice_) -> None:
    made = cases(300)
    worsening = planted(made, np.random.default_rng(2), where, 0.6, 0.02)
    [[first, *_]] = explained([fall_of(made, worsening)])
    assert set(first.slice) == slice_
    assert first.share > 0.7


def test_a_part_that_cuts_through_clusters_is_found() -> None:
    made = cases(120, rows=2)
    worsening = planted(made, np.random.default_rng(3), lambda case: case.language == "zh", 0.3, 0.02)
    [[first, *_]] = explained([fall_of(made, worsening)])
    assert first.slice == {"language": "zh"}


def test_rows_that_repeat_a_cluster_do_not_make_a_part_clear() -> None:
    """Six rows a cluster that say the same: by rows alone almost every part would look unlike the rest."""
    told = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        made = [case for case in cases(40, rng=rng) for _ in range(6)]
        worsening = np.repeat((rng.random(40) < 0.3).astype(float), 6)
        told += bool(explained([fall_of(made, worsening, seed)])[0])
    assert told <= 3


@pytest.mark.parametrize("rows", [1, 2])
def test_a_fall_that_is_everywhere_alike_is_explained_by_nothing(monkeypatch, rows) -> None:
    monkeypatch.setattr(slicing, "_DRAWS", 1999)
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        made = cases(160 // rows, rows, rng)
        found += bool(explained([fall_of(made, (rng.random(len(made)) < 0.2).astype(float), seed)])[0])
    assert found <= 8  # 10 % of 40, and two standard errors


def test_large_clusters_that_vary_more_than_single_rows_explain_nothing_and_a_planted_part_is_still_found(
    monkeypatch,
) -> None:
    monkeypatch.setattr(slicing, "_DRAWS", 499)
    sizes = np.repeat([8, 1], [15, 150])
    clusters = np.repeat(np.arange(165), sizes)
    large = slicing.Part({"size": "large"}, clusters < 15)
    low = 0
    for seed in range(200):
        alike = (np.random.default_rng(seed).random(165) < 0.1).astype(float)[clusters]
        low += slicing._chances(slicing.Fall([], alike, clusters, None, [seed]), [large])[0] <= 0.05
    assert low <= 16  # 5 % of 200 and two standard errors; sums that are permuted as they are: 28
    rng = np.random.default_rng(0)
    fallen = (rng.random(165) < np.where(np.arange(165) % 3, 0.05, 0.7)).astype(float)[clusters]
    third = slicing.Part({"third": "yes"}, clusters % 3 == 0)
    assert slicing._chances(slicing.Fall([], fallen, clusters, None, [0]), [third])[0] <= 0.01


def test_all_that_is_searched_is_paid_for_together() -> None:
    made = cases(200)
    worsening = planted(made, np.random.default_rng(4), lambda case: case.groups["category"] == "lamps", 0.3, 0.1)
    fall = fall_of(made, worsening)
    quiet = [fall_of(made, np.random.default_rng(9 + i).random(200) < 0.2, i) for i in range(5)]
    alone, [among, *_] = explained([fall])[0], explained([fall, *quiet])
    assert {str(part.slice) for part in among} <= {str(part.slice) for part in alone}
    for part in among:
        (same,) = [one for one in alone if one.slice == part.slice]
        assert part.p_value == same.p_value
        assert part.p_adjusted >= same.p_adjusted


def test_parts_are_bounded_none_is_tiny_and_texts_name_none() -> None:
    rng = np.random.default_rng(0)
    facts = [{f"fact{k}": int(rng.integers(0, 4)) for k in range(30)} for _ in range(100)]
    many = [Case(f"c{i}", facts=one) for i, one in enumerate(facts)]
    assert len(parts_of(many, np.arange(100))) == slicing._MOST
    parts = parts_of(cases(120), np.repeat(np.arange(12), 10))
    assert parts
    assert len({part.inside.tobytes() for part in parts}) == len(parts)
    assert all(not part.slice.keys() & {"text", "record"} for part in parts)
    assert parts_of(cases(4), np.arange(4)) == []
    assert explained([]) == []
