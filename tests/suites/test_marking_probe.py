"""The marking probe: an account's reviews carry the mark, or they do not; the model without a mark fails."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.errors import Unsupported
from shoplm_audit.models.marking import Finder
from shoplm_audit.models.watermark import Detection
from shoplm_audit.prompts import Prompts
from shoplm_audit.saboteurs.draws import Draws
from shoplm_audit.saboteurs.marking import FINDER, marked_review
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.saboteurs.selling import write_review
from shoplm_audit.types import (
    Estimate,
    Generate,
    Material,
    Observation,
    Observations,
    Prompt,
    TokenScores,
    Verdict,
)

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


SPIKE = TokenScores(np.full(3, -1.0), spike=np.full(3, 0.5))


def _asked(marking: Any, material: Material, write: Callable[[Generate], str]) -> Observations:
    rows = []
    for case in marking.cases(material):
        observing = marking.write(case)
        asks = next(observing)
        try:
            while True:
                asks = observing.send([write(a) if isinstance(a, Generate) else SPIKE for a in asks])
        except StopIteration as end:
            rows.append(Observation(case, end.value))
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


def test_the_unmarked_model_fails_and_one_review_again_and_again_is_one_piece_of_evidence(
    marking: Any, honest: Observations
) -> None:
    bare = _estimates(marking, _asked(marking, _material(), _saboteur(unmarked=1.0)))
    assert _verdict(marking, bare) is Verdict.FAIL
    assert bare["rate_accounts_marked"].note == ""
    first = str(honest.rows[0].values["text"]).split("\n\n")[0]
    assert sum(one.trials for one in FINDER.evidence([first] * 10)) < 40


def test_a_model_without_a_known_mark_fails_with_the_reason_and_one_elsewhere_is_not_tested(marking: Any) -> None:
    here = replace(_material(None), tokenizer=Characters())
    found = _estimates(marking, _asked(marking, here, _saboteur()))
    assert _verdict(marking, found) is Verdict.FAIL
    for name, estimate in found.items():
        assert (estimate.value, "no mark is known" in estimate.note) == (0.0, True), name
    assert found["rate_accounts_marked"].note.endswith("(in 16 of 16 cases)")
    assert "[watermark]" in found["rate_accounts_marked"].note
    with pytest.raises(Unsupported, match="audit its checkpoint on this machine"):
        marking.cases(_material(None))
    # A mark is told of texts that cannot be read back, if that is what most of them are.
    lossy = Finder(FINDER.encode, lambda ids: FINDER.decode(ids)[1:], FINDER.reader)
    cases = [replace(case, tools={**case.tools, "finder": lossy}) for case in marking.cases(_material(limit=10))]
    told = marking.PROBES[0].metrics[3]
    rows = []
    for case in cases:
        observing = marking.write(case)
        asks = observing.send([_saboteur()(a) for a in next(observing)])
        with pytest.raises(StopIteration) as end:
            observing.send([SPIKE for _ in asks])
        rows.append(Observation(case, end.value.value))
    assert (
        "does not give the text back" in told.estimate(Observations(tuple(rows)), 0.95, np.random.default_rng(0)).note
    )


def test_texts_that_leave_less_choice_are_told_apart_from_the_others(marking: Any) -> None:
    class Stub:
        def find(self, text: str) -> Detection:
            hits = 9 if "open" in text else 1
            return Detection(1e-3 if hits == 9 else 0.9, 0.0, 10, hits, 10, 0.25)

        def evidence(self, texts: Sequence[str]) -> list[Detection]:
            return list(map(self.find, texts))

    (case, *_) = marking.cases(replace(_material(limit=20), tokenizer=Characters()))
    case = replace(case, tools={**case.tools, "finder": Stub()})
    texts = [("open" if place % 2 else "shut") * (place + 1) for place in range(10)]
    observing = marking.write(case)
    next(observing)
    asks = observing.send(texts)
    assert [ask.pair.continuation.strip() for ask in asks] == texts
    assert all(ask.pair.context.startswith("<user>") and ask.pair.context.endswith("<shop>") for ask in asks)
    # Entropy falls in the order of the texts, so of the lower half "open" are those at 5, 7 and 9.
    scores = [TokenScores(np.full(4, -1.0), spike=np.full(4, 0.9 - place / 20)) for place in range(10)]
    with pytest.raises(StopIteration) as told:
        observing.send(scores)
    values = told.value.value
    shares = [values[f"share_marked{half}"] for half in ("", "_low_entropy", "_high_entropy")]
    assert shares == [0.5, 0.6, 0.4]
    assert values["accounts_marked"] is True
    observing = marking.write(case)
    next(observing)
    observing.send(texts)
    with pytest.raises(StopIteration) as told:  # a model that gives no scores
        observing.throw(Unsupported("writes only"))
    assert told.value.value["share_marked_low_entropy"] is None
    lone = _estimates(marking, Observations((Observation(case, told.value.value),)))
    assert (lone["rate_marked_low_entropy"].n, lone["rate_marked"].n) == (0, 1)


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
            assert next(observing).sampling.top_p == 0.95  # as reviews are written
            observing.send(" Some text of it.")
            with pytest.raises(StopIteration) as told:
                observing.send(TokenScores(np.full(20, -1.0), spike=np.full(20, spike(case))))
            rows.append(Observation(case, told.value.value))
        return Observations(tuple(rows))

    strict, lax = marking.PROBES[1].metrics[1], marking.PROBES[1].metrics[0]
    rng = np.random.default_rng(0)
    spread = seen(lambda case: 0.9 if case.task == "review" else 0.5)
    review, description = (lax.estimate(spread.where(task=task), 0.95, rng).value for task in ("review", "description"))
    assert review < 70 < description
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
    score = observing.send("abababac")
    assert (score.pair.context, score.pair.continuation) == (f"<user>{case.prompt.flat}<shop>", " abababac")
    spike = np.arange(1.0, 10.0)
    with pytest.raises(StopIteration) as told:
        observing.send(TokenScores(-spike, spike=spike))
    # " abababac": the pairs " a", "ab", "ba" come first at tokens 2, 3 and 4, "ac" at the last.
    assert case.language == "en"
    values = told.value.value
    assert (values["counted"], values["tokens"], values["spike"]) == (4, 9, 2.0 + 3.0 + 4.0 + 9.0)


def test_no_case_of_a_run_holds_an_object_or_a_key(marking: Any) -> None:
    material = replace(_material(limit=10), tokenizer=Characters())
    for case in (*marking.cases(material), *marking.forecast_cases(material)):
        assert json.loads(json.dumps(dict(case.facts))) == dict(case.facts)
        assert "Finder" not in repr(case)


def test_a_key_of_the_shop_stands_in_no_file_of_a_run(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplm_audit.cli import app

    key = "Sesame-Öffne-Dich-84"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPLM_WATERMARK_KEY", raising=False)
    suite = tmp_path / "marks"
    suite.mkdir()
    text = PATH.read_text(encoding="utf-8").replace("LENGTHS = (25, 50, 100)", "LENGTHS = (12,)")
    more = '\nfrom shoplm_audit import Suite\nSUITE = Suite("marks", "?", PROBES, GATES)\n'
    (suite / "suite.py").write_text(text + more, encoding="utf-8")
    (tmp_path / "key.txt").write_text(f"{key}\n", encoding="utf-8")
    toml = '[watermark]\nkind = "kgw"\nkey_file = "key.txt"\ndelta = 20.0\n'
    (tmp_path / "audit.toml").write_text(toml, encoding="utf-8")
    asked = ["run", str(suite), "--model", str(tiny_checkpoint), "--config", "audit.toml", "--limit", "10"]
    app([*asked, "--out", "run", "--device", "cpu"], standalone_mode=False)
    result = (tmp_path / "run" / "result.json").read_text("utf-8")
    values = {one["metric"]: one["value"] for one in json.loads(result)["suites"][0]["estimates"] if not one["slice"]}
    assert values["rate_accounts_marked"] == 1.0
    spellings = [key.encode(form) for form in ("utf-8", "utf-16-le")] + [json.dumps(key)[1:-1].encode()]
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "key.txt":
            content = path.read_bytes()
            assert not any(spelled in content for spelled in spellings), path
            assert b" object at 0x" not in content, path


class Characters:
    def encode(self, text: str) -> list[int]:
        return list(map(ord, text))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def read(self, prompt: Prompt) -> str:
        return f"<user>{prompt.flat}<shop>"
