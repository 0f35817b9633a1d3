"""The marking probe: an account's reviews carry the mark, or they do not; the model without a mark fails."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.errors import Unsupported
from shoplm_audit.models.marking import Finder
from shoplm_audit.prompts import Prompts
from shoplm_audit.saboteurs.draws import Draws
from shoplm_audit.saboteurs.marking import FINDER, marked_review
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.saboteurs.selling import write_review
from shoplm_audit.types import Estimate, Generate, Material, Observation, Observations, TokenScores, Verdict

RECORDS = ShopRecords({}, 0)
PATH = Path(__file__).parents[2] / "suites" / "fake_reviews" / "marking.py"


@pytest.fixture(scope="module")
def marking() -> Any:
    spec = importlib.util.spec_from_file_location("fake_reviews_marking", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _material(finder: Finder | None = FINDER, limit: int | None = None) -> Material:
    return Material(Prompts().render, RECORDS, limit=limit, finder=finder)


def _doses(**doses: float) -> dict[str, float]:
    return {one.name: 0.0 for one in fields(Saboteur) if one.type == "float"} | {"unmarked": 0.0} | doses


def _saboteur(**doses: float) -> Callable[[Generate], str]:
    def write(asked: Generate) -> str:
        return marked_review(asked.prompt.flat, Draws(asked.prompt.flat, f"{asked.sampling.seed}/0", _doses(**doses)))

    return write


def _asked(marking: Any, material: Material, write: Callable[[Generate], str]) -> Observations:
    rows = []
    for case in marking.cases(material):
        observing = marking.write(case)
        with pytest.raises(StopIteration) as told:
            observing.send([write(asked) for asked in next(observing)])
        rows.append(Observation(case, told.value.value))
    return Observations(tuple(rows))


def _estimates(marking: Any, seen: Observations) -> dict[str, Estimate]:
    rng = np.random.default_rng(0)
    return {metric.name: metric.estimate(seen, 0.95, rng) for metric in marking.PROBES[0].metrics}


def _verdict(marking: Any, estimates: dict[str, Estimate]) -> Verdict:
    (gate,) = marking.GATES
    verdict: Verdict = gate.judge(estimates[gate.metric])
    return verdict


@pytest.fixture(scope="module")
def honest(marking: Any) -> Observations:
    return _asked(marking, _material(), _saboteur())


def test_an_account_of_the_honest_model_is_found_and_a_single_review_not_always(
    marking: Any, honest: Observations
) -> None:
    found = _estimates(marking, honest)
    assert _verdict(marking, found) is Verdict.PASS
    assert found["rate_accounts_marked"].n == 16
    assert found["rate_marked"].value < found["rate_accounts_marked_anytime"].value
    assert len(honest.where(language="zh")) == 8
    assert {len(honest.where(length=length)) > 0 for length in ("25", "50", "100")} == {True}


def test_the_unmarked_model_fails_and_so_does_one_whose_mark_nobody_told(
    marking: Any, honest: Observations
) -> None:  # fmt: skip
    bare = _estimates(marking, _asked(marking, _material(), _saboteur(unmarked=1.0)))
    assert _verdict(marking, bare) is Verdict.FAIL
    assert {case.facts["finder"] for case in marking.cases(_material(None))} == {None}
    unknown = _asked(marking, _material(None), _saboteur())
    assert _verdict(marking, _estimates(marking, unknown)) is Verdict.FAIL
    assert {row.values["reason"] for row in unknown} == {"no mark of this model is known, so none is found"}
    # One review again and again is one piece of evidence, whatever it is.
    first = str(honest.rows[0].values["text"]).split("\n\n")[0]
    assert sum(one.trials for one in FINDER.evidence([first] * 10)) < 40


def test_a_text_that_never_came_leaves_its_account_unfound(marking: Any, honest: Observations) -> None:
    lost = [
        Observation(row.case, {}, status="errored") if row.case.id.endswith("0") else row for row in honest
    ]  # fmt: skip
    found = _estimates(marking, Observations(tuple(lost)))
    assert found["rate_accounts_marked"].value == 1 - 2 / 16
    assert found["rate_marked"].n == 16


@pytest.mark.parametrize("text", ["", "ok", "🫖🫖", "‏مرحبا بك", "good " * 2000, "a\ud83db"])
def test_texts_of_any_kind_are_unmarked_and_crash_nothing(text: str, marking: Any) -> None:
    seen = _asked(marking, _material(limit=10), lambda _: text)
    assert _estimates(marking, seen)["rate_accounts_marked"].value == 0.0


def test_a_tokenizer_that_cannot_round_trip_refuses_the_probe_with_the_reason(marking: Any) -> None:
    lossy = Finder(lambda text: FINDER.encode(text.lower()[::2]), FINDER.decode, FINDER.reader)
    with pytest.raises(Unsupported, match="does not give the text back"):
        marking.cases(_material(lossy))


def test_words_chosen_by_the_key_make_the_same_faults(marking: Any) -> None:
    prompts = [case.prompt.flat for case in marking.cases(_material(limit=16))]
    for prompt in prompts:
        for doses in ({}, {"repeat": 0.5}, {"stray": 0.5}):
            plain, marked = (Draws(prompt, "7/0", _doses(**doses, unmarked=share)) for share in (1.0, 0.0))
            first, second = write_review(prompt, plain), marked_review(prompt, marked)
            assert marked_review(prompt, plain) == first
            assert first.isascii() == second.isascii()
            assert len(second) < 2 * len(first)
            assert FINDER.decode(FINDER.encode(second)) == second


def test_less_entropy_needs_more_tokens_by_task(marking: Any) -> None:
    cases = marking.forecast_cases(_material(limit=8))
    assert {case.task for case in cases} == {"description", "review"}

    def seen(spike: Callable[[Any], float]) -> Observations:
        rows = []
        for case in cases:
            observing = marking.forecast(case)
            next(observing)
            observing.send(" Some text of it.")
            with pytest.raises(StopIteration) as told:
                observing.send(TokenScores(np.full(20, -1.0), spike=np.full(20, spike(case))))
            rows.append(Observation(case, told.value.value))
        return Observations(tuple(rows))

    strict, lax = marking.PROBES[1].metrics[1], marking.PROBES[1].metrics[0]
    rng = np.random.default_rng(0)
    spread = seen(lambda case: 0.9 if case.task == "review" else 0.5)
    review, description = (lax.estimate(spread.where(task=task), 0.95, rng).value for task in ("review", "description"))
    assert review < 60 < description
    assert strict.estimate(spread, 0.95, rng).value > lax.estimate(spread, 0.95, rng).value
    # Where half of the tokens repeat, a text has to be twice as long.
    twice = [replace(row, values={**row.values, "tokens": 2 * int(row.values["tokens"] or 0)}) for row in spread]
    longer = lax.estimate(Observations(tuple(twice)), 0.95, rng).value
    assert longer == pytest.approx(2 * lax.estimate(spread, 0.95, rng).value, abs=2)
    sure = lax.estimate(seen(lambda case: 0.3515), 0.95, rng)  # no choice: no length helps
    assert sure.value == 1e5


def test_what_repeats_is_left_out_of_the_forecast(marking: Any) -> None:
    (case, *_) = marking.forecast_cases(replace(_material(limit=2), tokenizer=Characters()))
    observing = marking.forecast(case)
    next(observing)
    observing.send("abababac")
    spike = np.arange(1.0, 10.0)
    with pytest.raises(StopIteration) as told:
        observing.send(TokenScores(-spike, spike=spike))
    # " abababac": the pairs " a", "ab", "ba" come first at tokens 2, 3 and 4, "ac" at the last.
    assert case.language == "en"
    values = told.value.value
    assert (values["counted"], values["tokens"], values["spike"]) == (4, 9, 2.0 + 3.0 + 4.0 + 9.0)


class Characters:
    def encode(self, text: str) -> list[int]:
        return list(map(ord, text))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))
