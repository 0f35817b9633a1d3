from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import Fake, cases

from shoplm_audit.errors import MachineError, Unsupported
from shoplm_audit.models.recorded import RecordedModel
from shoplm_audit.probes.driving import Run, first_requests, observe
from shoplm_audit.types import Case, Generate, Pair, Probe, Prompt, Sampling, Score


def ask(case: Case):
    text = yield Generate(case.prompt)
    return {"text": text}


def drive(observe_case: Any, count: int = 3, **models: Any) -> Run:
    roles = {"model": models.pop("model", Fake())} | models
    return observe(Probe("p", cases(count), observe_case, []), cases(count), roles, key="suite/p")


def values(run: Run) -> list[dict[str, Any]]:
    return [dict(row.values) for row in run.observations]


def test_each_case_gets_its_own_answer_in_order() -> None:
    run = drive(ask, 5)
    assert values(run) == [{"text": f"prompt {i}#0"} for i in range(5)]
    assert [row.case.id for row in run.observations] == ["c0", "c1", "c2", "c3", "c4"]
    assert [(e.case, e.number) for e in run.exchanges] == [(f"c{i}", 0) for i in range(5)]


def test_cases_move_in_lock_step_and_may_ask_differently_often() -> None:
    def talk(case: Case):
        said = [(yield Generate(case.prompt))]
        for turn in range(int(case.id[1:])):
            said.append((yield Generate(Prompt(f"{said[-1]} then {turn}"))))
        return {"said": "|".join(said)}

    model, rounds = Fake(), []
    probe = Probe("p", cases(4), talk, [])
    run = observe(probe, cases(4), {"model": model}, key="s/p", on_round=rounds.append)
    assert model.asked == rounds == [4, 3, 2, 1]
    assert run.observations.rows[2].values["said"] == ("prompt 2#0|prompt 2#0 then 0#0|prompt 2#0 then 0#0 then 1#0")
    assert [e.number for e in run.exchanges if e.case == "c3"] == [0, 1, 2, 3]


def test_a_list_of_requests_comes_back_as_a_list_and_samples_as_a_list_in_it() -> None:
    def several(case: Case):
        text, drawn, scores = yield [
            Generate(case.prompt),
            Generate(case.prompt, Sampling(temperature=1.0, n=3)),
            Score(Pair("a", "bcd")),
        ]
        none = yield []
        (alone,) = yield [Generate(Prompt("one"))]
        three = yield Generate(Prompt("x"), Sampling(temperature=1.0, n=2))
        return {"text": text, "drawn": "|".join(drawn), "tokens": scores.log_prob.size, "none": len(none),
                "alone": alone, "three": "|".join(three)}  # fmt: skip

    model = Fake()
    assert values(drive(several, 2, model=model))[1] == {
        "text": "prompt 1#0",
        "drawn": "prompt 1#0|prompt 1#1|prompt 1#2",
        "tokens": 3,
        "none": 0,
        "alone": "one#0",
        "three": "x#0|x#1",
    }
    assert model.asked == [4, 2, 2, 2]  # a round's texts together, its scores together


def test_one_bad_request_does_not_cost_its_neighbours() -> None:
    def write(prompt: str, sample: int) -> str:
        if prompt == "prompt 1":
            raise RuntimeError("overflow")
        return "fine"

    closed = []

    def asking(case: Case):
        try:
            return {"text": (yield Generate(case.prompt))}
        finally:
            closed.append(case.id)

    rows = drive(asking, 3, model=Fake(write)).observations.rows
    assert [row.status for row in rows] == ["scored", "errored", "scored"]
    assert rows[1].note == "RuntimeError: overflow"
    assert sorted(closed) == ["c0", "c1", "c2"]


@pytest.mark.parametrize("answers", [["one"], ["one"] * 5])
def test_a_model_that_answers_too_little_or_too_much_is_never_misread(answers: list[str]) -> None:
    class Odd(Fake):
        def generate(self, requests: Sequence[Generate]) -> list[str]:
            return answers if len(requests) > 1 else ["x", "y"]

    assert {row.status for row in drive(ask, 3, model=Odd()).observations} == {"errored"}


def test_a_model_that_scores_too_little_is_never_misread() -> None:
    class Odd(Fake):
        def score(self, pairs: Sequence[Pair], columns: Any = None) -> list[Any]:
            return []

    def weigh(case: Case):
        return {"x": (yield Score(Pair("a", "b"))).total}

    assert {row.status for row in drive(weigh, 3, model=Odd()).observations} == {"errored"}


def test_a_machine_that_fails_ends_the_run() -> None:
    def write(prompt: str, sample: int) -> str:
        raise MachineError("the endpoint is down")

    with pytest.raises(MachineError, match="down"):
        drive(ask, model=Fake(write))


def test_an_answer_that_cannot_be_read_is_unparsed_and_kept_for_the_reader() -> None:
    def number(case: Case):
        yield Score(Pair("a", "b"))
        return {"x": int((yield Generate(case.prompt)))}

    model = Fake(lambda prompt, _: "7" if prompt == "prompt 0" else "seven")
    first, second = drive(number, 2, model=model).observations.rows
    assert (first.status, first.values) == ("scored", {"x": 7})
    assert (second.status, second.values["text"]) == ("unparsed", "seven")
    assert "invalid literal" in second.note


def test_a_bug_in_a_probe_keeps_its_traceback() -> None:
    def wrong(case: Case):
        yield Generate(case.prompt)
        raise KeyError("colour")

    with pytest.raises(KeyError, match="colour"):
        drive(wrong)


def test_a_probe_has_to_return_named_values() -> None:
    def silent(case: Case):
        yield Generate(case.prompt)

    with pytest.raises(TypeError, match="named values"):
        drive(silent)


def test_scores_that_are_not_numbers_are_an_error_of_their_case_alone() -> None:
    def weigh(case: Case):
        return {"x": (yield Score(Pair("", case.id))).total}

    model = Fake(weigh=lambda pair: [-1.0, math.nan] if pair.continuation == "c1" else [-1.0])
    rows = drive(weigh, 3, model=model).observations.rows
    assert [row.status for row in rows] == ["scored", "errored", "scored"]
    assert "not numbers" in rows[1].note


def test_a_missing_role_is_unsupported_and_says_how_to_name_it() -> None:
    def other(case: Case):
        return {"text": (yield Generate(case.prompt, role="judge"))}

    with pytest.raises(Unsupported, match="--with judge=SPEC"):
        drive(other)
    assert values(drive(other, 1, judge=Fake(lambda p, _: "from the judge"))) == [{"text": "from the judge"}]


def test_roles_and_columns_are_asked_apart_and_answers_find_their_way_back() -> None:
    from shoplm_audit.types import LOG_PROB, Columns

    def both(case: Case):
        plain, ranked, other = yield [
            Score(Pair("", "ab")),
            Score(Pair("", "ab"), LOG_PROB | Columns.RANK),
            Score(Pair("", "ab"), role="reference"),
        ]
        return {"plain": plain.rank is None, "ranked": ranked.rank is not None, "other": other.total}

    found = values(drive(both, 2, reference=Fake(weigh=lambda _: [-7.0])))
    assert found == [{"plain": True, "ranked": True, "other": -7.0}] * 2


class Labels(Fake):
    """Tells labels only: any other continuation, and any text to write, is unsupported."""

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        raise Unsupported("writes nothing")

    def score(self, pairs: Sequence[Pair], columns: Any = None) -> list[Any]:
        if any(pair.continuation not in ("yes", "no") for pair in pairs):
            raise Unsupported("knows yes and no")
        return super().score(pairs)


def test_a_probe_falls_back_where_a_model_cannot_do_what_it_asks() -> None:
    def ask(case: Case):
        try:
            return {"text": (yield Generate(case.prompt))}
        except Unsupported as fault:
            why = str(fault)
        try:
            scores = yield [Score(Pair(case.id, "yes")), Score(Pair(case.id, f"the yes of {case.id}"))]
        except Unsupported as fault:
            scores = yield [Score(Pair(case.id, word)) for word in ("yes", "no")]
            why += f", {fault}"
        return {"why": why, "tokens": "|".join(str(one.log_prob.size) for one in scores)}

    run = drive(ask, 3, model=Labels())
    assert values(run) == [{"why": "writes nothing, knows yes and no", "tokens": "3|2"}] * 3
    # What was refused was not answered, and leaves no exchange behind.
    assert [(e.case, e.number) for e in run.exchanges] == [(f"c{i}", number) for i in range(3) for number in (0, 1)]
    assert values(drive(ask, 1)) == [{"text": "prompt 0#0"}]


def test_all_cases_of_a_round_fall_back_together() -> None:
    """One case's request alone would have been answered; whether it was must not depend on its neighbours' batch."""

    def ask(case: Case):
        try:
            yield Score(Pair("", "yes" if case.id == "c0" else "maybe"))
        except Unsupported:
            return {"fell": True}
        return {"fell": False}

    assert values(drive(ask, 3, model=Labels())) == [{"fell": True}] * 3
    assert values(drive(ask, 1, model=Labels())) == [{"fell": False}]


def test_what_no_probe_catches_is_told_with_its_reason() -> None:
    def again(case: Case):
        try:
            yield Generate(case.prompt)
        except Unsupported:
            yield Score(Pair("", "maybe"))
        return {}

    with pytest.raises(Unsupported, match="writes nothing"):
        drive(ask, model=Labels())
    with pytest.raises(Unsupported, match="knows yes and no"):
        drive(again, model=Labels())


def test_first_requests_ask_nobody() -> None:
    probe = Probe("p", cases(2), ask, [])
    assert [(case.id, [r.prompt.flat for r in asked]) for case, asked in first_requests(probe, cases(2))] == [
        ("c0", ["prompt 0"]),
        ("c1", ["prompt 1"]),
    ]


# Recorded answers -----------------------------------------------------------------------------------


def recorded(folder: Path, rows: list[tuple[str, int, str]]) -> RecordedModel:
    lines = [json.dumps({"case": case, "sample": sample, "text": text}) for case, sample, text in rows]
    (folder / "answers.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return RecordedModel(folder / "answers.jsonl")


def test_recorded_answers_are_found_by_case_and_sample(tmp_path: Path) -> None:
    def talk(case: Case):
        first = yield Generate(case.prompt)
        drawn = yield Generate(case.prompt, Sampling(temperature=1.0, n=2))
        judged = yield Generate(Prompt("fine?"), role="judge")
        last = yield [Generate(case.prompt), Generate(case.prompt)]
        return {"all": "".join([first, *drawn, *last]), "judged": judged}

    rows = [(f"suite/p/c{i}", sample, f"{i}{'abcde'[sample]} ") for i in (1, 0) for sample in (4, 2, 0, 1, 3)]
    model = recorded(tmp_path, rows)
    # What another role was asked takes no sample of the recording away.
    run = drive(talk, 2, model=model, judge=Fake(lambda *_: "yes"))
    assert values(run) == [{"all": f"{i}a {i}b {i}c {i}d {i}e ", "judged": "yes"} for i in range(2)]


def test_a_case_without_a_recording_errs_alone_and_scores_are_unsupported(tmp_path: Path) -> None:
    model = recorded(tmp_path, [("suite/p/c0", 0, "here"), ("other/p/c1", 0, "elsewhere")])
    first, second = drive(ask, 2, model=model).observations.rows
    assert (first.status, second.status) == ("scored", "errored")
    assert 'no recorded text for case "suite/p/c1", sample 0' in second.note

    def weigh(case: Case):
        return {"x": (yield Score(Pair("a", "b"))).total}

    with pytest.raises(Unsupported, match="no log-probabilities"):
        drive(weigh, model=model)
