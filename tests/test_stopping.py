"""Runs that look at their answers as they come: they stop early, or ask for more, and err no more often for it."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest
from fakes import Fake

from shoplm_audit import Case, Gate, Generate, Probe, Suite, audit, mean_of, rate_of
from shoplm_audit.engine import Keeper, judged
from shoplm_audit.judging import Policy
from shoplm_audit.metrics.reduce import f1_of
from shoplm_audit.observing import Sitting
from shoplm_audit.types import Material, Prompt


def made(count: int, *, per_cluster: int = 1) -> list[Case]:
    return [
        Case(
            f"c{i}", cluster=f"k{i // per_cluster}", language=("en", "zh")[i // per_cluster % 2], prompt=Prompt(f"{i}")
        )
        for i in range(count)
    ]


def wrong(share: float) -> Fake:
    """A model that is wrong in a share of its answers."""
    return Fake(write=lambda prompt, _: "bad" if zlib.crc32(prompt.encode()) / 2**32 < share else "good")


def ask(case: Case) -> Any:
    text = yield Generate(case.prompt)
    return {"bad": text == "bad", "text": text}


def shop(cases: Any, gates: Any = None, more: Any = ()) -> Suite:
    gates = gates or [Gate("rate_bad", at_most=0.2)]
    return Suite("shop", "?", [Probe("asked", cases, ask, [rate_of("bad", better="lower"), *more])], gates)


def as_many(material: Material) -> list[Case]:
    return made(material.limit or 100)


@pytest.mark.parametrize(("share", "verdict"), [(0.01, "pass"), (0.6, "fail")])
def test_a_run_stops_as_soon_as_what_is_clear_is_decided(share: float, verdict: str) -> None:
    model = wrong(share)
    result = audit(model, shop(made(1000)), stop="early").result
    assert result.verdict == verdict
    assert result.stopping is not None
    assert (result.stopping.gates, result.stopping.decided, result.stopping.planned) == (1, 1, 1000)
    assert result.stopping.asked == sum(model.asked) < 300
    assert "at any time" in result.suites[0].gates[0].why


def test_what_is_not_clear_is_asked_to_the_end() -> None:
    result = audit(wrong(0.2), shop(made(400)), stop="early").result
    assert result.verdict == "undecided"
    assert result.stopping is not None
    assert (result.stopping.asked, result.stopping.decided) == (400, 0)


def test_a_gate_on_a_fixed_number_of_cases_gets_them_all() -> None:
    further = f1_of("f1", hits="bad", false="bad", missed="bad")
    gates = (Gate("rate_bad", at_most=0.2), Gate("f1", at_most=0.9))
    result = audit(wrong(0.01), shop(made(400), gates, [further]), stop="early").result
    assert result.suites[0].counts.scored == 400
    assert result.stopping is not None
    assert result.stopping.gates == 1


def test_the_error_is_split_over_the_gates_and_families_keep_a_fixed_n() -> None:
    gates = [Gate("rate_bad", at_most=0.2), Gate("rate_bad", at_most=0.3, slice={"language": "zh"})]
    gates += [Gate("mean_bad", at_most=0.3), Gate("mean_bad", at_most=0.3, slice={"language": "en"}, family="a")]
    further = mean_of("bad", better="lower", worst=1.0, best=0.0)
    result = audit(wrong(0.02), shop(made(200), gates, [further]), stop="early").result
    assert result.stopping is not None
    assert (result.stopping.gates, round(result.stopping.confidence, 9)) == (3, round(1 - 0.05 / 3, 9))
    assert result.suites[0].counts.scored == 200  # the family's gate needs them


def test_more_cases_are_asked_only_where_a_gate_is_undecided() -> None:
    clear = Probe("clear", made(100), ask, [rate_of("bad", better="lower")])

    def lame(case: Case) -> Any:
        text = yield Generate(Prompt(f"lame {case.id}"))
        return {"lame": text == "bad"}

    unclear = Probe("unclear", as_many, lame, [rate_of("lame", better="lower")])
    suite = Suite("two", "?", [clear, unclear], [Gate("rate_bad", at_most=0.9), Gate("rate_lame", at_most=0.2)])
    result = audit(wrong(0.1), suite, stop="top-up").result
    assert result.verdict == "pass"
    asked = {one.metric: one.n for one in result.suites[0].estimates if not one.slice}
    assert asked["rate_bad"] == 100
    assert 100 < asked["rate_lame"] < 500


def test_asking_for_more_ends_where_there_is_no_more() -> None:
    few = audit(wrong(0.15), shop(made(100)), stop="top-up").result
    assert few.notes == ["shop.asked: undecided, and no more than its 100 cases can be made of these data."]
    endless = audit(wrong(0.2), shop(as_many), stop="top-up").result
    assert endless.suites[0].counts.planned == 800
    assert endless.notes == ["shop.asked: undecided after 800 cases, 8 times those planned."]


def test_a_cluster_that_was_asked_is_not_asked_again_nor_a_larger_one() -> None:
    def cases(material: Material) -> list[Case]:
        again = [Case(f"again{i}", cluster=f"k{i}", prompt=Prompt(f"again {i}")) for i in range(40)]
        large = [Case(f"large{i}", cluster="large", prompt=Prompt(f"large {i}")) for i in range(40)]
        return made(100, per_cluster=2) + (again + large if material.limit else [])

    keeper = Keeper()
    audit(wrong(0.15), shop(cases), stop="top-up", keeper=keeper)
    assert {one.case[0] for one in keeper.exchanges["shop", "asked"]} == {"c"}


def test_an_early_verdict_can_be_found_again_without_the_model() -> None:
    keeper, suite = Keeper(), shop(made(300, per_cluster=3), [Gate("rate_bad", at_most=0.2)])
    first = audit(wrong(0.05), suite, stop="early", keeper=keeper)
    planned, unread, _ = keeper.basis.sittings["shop/asked"]
    rows = first.observations["shop", "asked"].rows
    sitting = Sitting.seen("shop", suite.probes[0], rows, unread, planned)
    again = judged(suite, [sitting], keeper.basis)
    assert again.gates == first.result.suites[0].gates
    assert again.estimates == first.result.suites[0].estimates
    assert keeper.basis.policy == Policy()


def test_what_a_metric_cannot_judge_does_not_stop_a_run() -> None:
    # Chinese cases do not count, since the metric fails its own trial there: the others have to decide alone.
    tried = replace(
        rate_of("bad", better="lower"), trial=lambda cases, _: "it misreads" if cases[0].language == "zh" else ""
    )
    suite = Suite("shop", "?", [Probe("asked", made(400), ask, [tried])], [Gate("rate_bad", at_most=0.05)])
    result = audit(wrong(0.0), suite, stop="early").result
    assert result.verdict == "pass"
    assert result.stopping is not None
    assert (result.stopping.decided, result.stopping.asked < 400) == (1, True)
    nowhere = replace(tried, trial=lambda *_: "it misreads")
    suite = Suite("shop", "?", [Probe("asked", made(400), ask, [nowhere])], [Gate("rate_bad", at_most=0.05)])
    result = audit(wrong(0.0), suite, stop="early").result
    assert result.verdict == "undecided"
    assert result.stopping is not None
    assert (result.stopping.decided, result.stopping.asked) == (0, 400)
