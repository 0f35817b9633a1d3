from __future__ import annotations

import numpy as np
import pytest
from fakes import Fake, cases

from shoplm_audit import Case, Generate, Probe, Suite, audit, rate_of
from shoplm_audit.errors import Unsupported
from shoplm_audit.observing import Quiet, Sitting, observe_all, sittings_of
from shoplm_audit.probes.blocks import blocks_of
from shoplm_audit.types import Material, Prompt


def ask(case: Case):
    text = yield Generate(case.prompt)
    return {"text": text, "long": len(text) > 10}


def suite(name: str, count: int, observe=ask) -> Suite:
    return Suite(
        name, "?", [Probe(f"{name}_probe", cases(count, per_cluster=4), observe, [rate_of("long", better="lower")])]
    )


class Clock:
    """A clock that a model moves on, a second for each request."""

    def __init__(self) -> None:
        self.model = Fake()

    def __call__(self) -> float:
        return float(sum(self.model.asked))


def test_blocks_divide_the_cases_and_never_a_cluster() -> None:
    many = cases(203, per_cluster=4)
    blocks = blocks_of(many, np.random.default_rng(0), 20)
    assert sorted(place for block in blocks for place in block) == list(range(203))
    homes: dict[str, set[int]] = {}
    for number, block in enumerate(blocks):
        for place in block:
            homes.setdefault(many[place].cluster, set()).add(number)
    assert all(len(home) == 1 for home in homes.values())
    assert all(20 <= len(block) <= 24 for block in blocks[:-1])


def test_which_cases_come_first_is_chance_and_follows_from_the_seed() -> None:
    # Cases sorted by length, as a trap: the first block must hold long and short ones.
    many = [Case(f"c{i}", prompt=Prompt("x" * i)) for i in range(400)]
    first = blocks_of(many, np.random.default_rng(3), 40)[0]
    assert abs(np.mean(first) - 199.5) < 4 * 115.5 / np.sqrt(40)
    assert first == blocks_of(many, np.random.default_rng(3), 40)[0] != blocks_of(many, np.random.default_rng(4), 40)[0]


def test_large_clusters_stand_no_more_often_in_the_first_block_than_small_ones() -> None:
    # 40 clusters of 20 cases and 400 of one: filling blocks up to a number of cases would end them with large ones.
    many = [Case(f"l{i}", cluster=f"k{i // 20}") for i in range(800)] + [Case(f"s{i}") for i in range(400)]
    large = []
    for seed in range(400):
        first = blocks_of(many, np.random.default_rng(seed), 16)[0]
        clusters = {many[place].cluster or many[place].id for place in first}
        large.append(sum(name.startswith("k") for name in clusters) / len(clusters))
    assert abs(np.mean(large) - 40 / 440) < 4 * np.std(large) / 20


def test_a_seed_decides_the_blocks() -> None:
    many = [suite("one", 240)]
    first, same, other = (
        sittings_of(many, Material(lambda *_: Prompt(""), seed=seed), {}, limited=True)[0].left for seed in (1, 1, 2)
    )
    assert first == same != other


def test_without_a_limit_of_time_a_probe_is_asked_as_a_whole() -> None:
    model = Fake()
    audit(model, suite("one", 100))
    assert model.asked == [32, 32, 32, 4]  # in batches of the full list


def test_a_budget_stops_between_blocks_and_serves_all_probes_by_turns() -> None:
    clock = Clock()
    sittings = sittings_of([suite("one", 240), suite("two", 480)], Material(lambda *_: Prompt("")), {}, limited=True)
    observe_all(sittings, {"model": clock.model}, Quiet(), seconds=130, clock=clock)
    asked = [len(sitting.observations) for sitting in sittings]
    assert asked == [48, 96]  # 12 and 24 cases by turns; the last block began before the time was up
    assert [sitting.reason for sitting in sittings] == ["", ""]
    assert all(sitting.left for sitting in sittings)
    order = [row.case.id for row in sittings[0].observations]
    assert order == sorted(order, key=lambda name: int(name[1:]))


def test_what_never_began_is_not_tested_and_says_why() -> None:
    clock = Clock()
    sittings = sittings_of([suite("one", 240), suite("two", 480)], Material(lambda *_: Prompt("")), {}, limited=True)
    observe_all(sittings, {"model": clock.model}, Quiet(), seconds=10, clock=clock)
    assert sittings[0].reason == ""
    assert "--budget" in sittings[1].reason


def test_an_audit_with_a_budget_says_how_much_was_asked() -> None:
    whole = audit(Fake(), suite("one", 240), budget=3600)
    assert whole.result.suites[0].counts.scored == 240
    assert whole.result.notes == []
    assert whole.observations == audit(Fake(), suite("one", 240)).observations
    none = audit(Fake(), suite("one", 240), budget=1e-9)
    assert none.result.suites[0].not_tested == {"one_probe": "the time of --budget was up before it began"}
    assert none.exit_code == 3


def test_a_part_of_the_cases_is_told_as_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("shoplm_audit.observing.time.monotonic", clock)
    monkeypatch.setitem(observe_all.__kwdefaults__, "clock", clock)
    part = audit(clock.model, suite("one", 240), budget=50)
    assert (part.result.suites[0].counts.planned, part.result.suites[0].counts.scored) == (240, 60)
    assert part.result.notes == ["--budget ended one.one_probe after 60 of 240 cases, a random part of them."]


def test_a_probe_that_cannot_be_put_to_the_model_is_dropped_as_a_whole() -> None:
    # A case of the second block, so that there is something to drop.
    late = sittings_of([suite("one", 240)], Material(lambda *_: Prompt("")), {}, limited=True)[0].left[1][0]

    def pick(case: Case):
        text = yield Generate(case.prompt)
        if case.id == f"c{late}":
            raise Unsupported("not this one")
        return {"long": len(text) > 3}

    sittings: list[Sitting] = sittings_of([suite("one", 240, pick)], Material(lambda *_: Prompt("")), {}, limited=True)
    observe_all(sittings, {"model": Fake()}, Quiet())
    assert sittings[0].reason == "not this one"
    assert len(sittings[0].observations) == 0
    assert sittings[0].exchanges == ()
