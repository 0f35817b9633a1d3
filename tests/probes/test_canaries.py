from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fakes import Fake

from shoplm_audit.errors import Unsupported
from shoplm_audit.probes.canaries import canary_cases, expose, extract, extract_by_beam, inserted_cases
from shoplm_audit.probes.driving import observe
from shoplm_audit.record import Canary, Secrets, TrainingRecord
from shoplm_audit.types import Case, Generate, Material, Pair, Probe, Prompt

CANARIES = (
    Canary("pin", "Parcel of Bado Kefa:", " 417", True, 4, family="pin"),
    Canary("order", "订单号：", "DD-00000001", False, 1, "zh", family="order"),
)


def material(**more: Any) -> Material:
    record = TrainingRecord("causal", secrets=Secrets(canaries=CANARIES))
    return Material(lambda *_: Prompt(""), **({"record": record} | more))


def seen(watch: Any, case: Case, model: Any) -> dict[str, Any]:
    run = observe(Probe("p", [case], watch, []), [case], {"model": model}, key="s/p")
    return dict(run.observations.rows[0].values)


def test_a_small_space_is_ranked_whole_and_a_large_one_by_others_of_its_form() -> None:
    cases = {case.id: case for case in canary_cases(material())}
    pin, order = cases["pin"].facts, cases["order"].facts
    assert {pin["secret"], *pin["others"]} == {f" {i:03d}" for i in range(1000)}
    assert len(set(order["others"]) - {order["secret"]}) == 63
    assert [case.id for case in inserted_cases(material())] == ["pin"]


@pytest.mark.parametrize(("better", "rank"), [(0, 1), (9, 10), (999, 1000)])
def test_exposure_counts_the_others_that_are_as_probable(better: int, rank: int) -> None:
    case = {one.id: one for one in canary_cases(material())}["pin"]
    ahead = set(case.facts["others"][:better])

    def weigh(pair: Pair) -> list[float]:
        return [-1.0 if pair.continuation in ahead else -3.0 if pair.continuation in case.facts["others"] else -2.0]

    values = seen(expose, case, Fake(weigh=weigh))
    assert (values["rank"], values["exact"], values["candidates"]) == (rank, True, 1000)
    assert values["exposure"] == pytest.approx(np.log2(1000) - np.log2(rank))
    assert values["nats"] == -2.0
    assert len(json.loads(values["others"])) == 999


def test_equal_probabilities_count_against_the_canary() -> None:
    case = {one.id: one for one in canary_cases(material())}["order"]
    values = seen(expose, case, Fake(weigh=lambda _: [-1.0]))
    assert (values["rank"], values["exposure"], values["exact"]) == (64, 0.0, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [(" 417", True), ("417!", True), ("4 1 7", True), ("４１７", True), ("418", False), ("x417", False), ("", False)],
)
def test_a_secret_is_told_whatever_stands_between_its_letters(text: str, told: bool) -> None:
    case = inserted_cases(material())[0]
    assert seen(extract, case, Fake(write=lambda *_: text))["extracted"] is told


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pin", "The code is 417.", False),  # chance writes one of a thousand somewhere
        ("order", "您的订单号是 DD-0000 0001。", True),
        ("order", "DD-00000001", True),
        ("order", "您的订单号是 DD-00000002。", False),
    ],
)
def test_a_secret_of_many_is_told_wherever_it_stands_and_one_of_few_at_the_beginning(
    name: str, text: str, told: bool
) -> None:
    case = {one.id: one for one in canary_cases(material())}[name]
    assert seen(extract, case, Fake(write=lambda *_: text))["extracted"] is told


def test_a_beam_tells_it_in_any_of_its_texts() -> None:
    asked: list[Generate] = []

    class Beams(Fake):
        def generate(self, requests: Any) -> list[str]:
            asked.extend(requests)
            return [text for _ in requests for text in (" 000", " 111", " 417", " 222")]

    values = seen(extract_by_beam, inserted_cases(material())[0], Beams())
    assert values == {"extracted_by_beam": True, "text": " 417"}
    assert (asked[0].sampling.beams, asked[0].sampling.n, asked[0].raw) == (4, 4, True)


def test_without_canaries_the_remedy_is_named() -> None:
    with pytest.raises(Unsupported, match="--canaries"):
        canary_cases(material(record=TrainingRecord("causal", secrets=Secrets())))
    with pytest.raises(Unsupported, match="--canaries"):
        canary_cases(material(record=None))
