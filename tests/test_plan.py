from __future__ import annotations

import io
import math
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import Fake, cases
from rich.console import Console
from scipy import stats

from shoplm_audit import calibration
from shoplm_audit.calibration import Trial
from shoplm_audit.errors import Unsupported
from shoplm_audit.judging import Policy
from shoplm_audit.metrics.fairness import contrast_of, paired_contrast_of
from shoplm_audit.metrics.reduce import mean_of
from shoplm_audit.models.asking import Asked
from shoplm_audit.plan import Plan, PlannedProbe, Served, plan, write_prompts
from shoplm_audit.prompts import Prompts
from shoplm_audit.rendering.terminal import print_plan
from shoplm_audit.types import (
    LOG_PROB,
    Case,
    Columns,
    Gate,
    Generate,
    Material,
    Pair,
    Probe,
    Prompt,
    Sampling,
    Score,
    Suite,
    TokenScores,
)

READ, WRITTEN = 1e-4, 3e-3  # what a token costs a `Clocked`, in its own seconds
FIVE = Sampling(max_new_tokens=5)


def write(case: Case):
    text = yield Generate(Prompt("x" * 40), Sampling(max_new_tokens=20))
    again = yield Generate(Prompt(text), Sampling(max_new_tokens=20))
    return {"text": again, "seen": 1.0}


def weigh(case: Case):
    scores = yield [Score(Pair("the context", f" option {i}")) for i in range(3)]
    return {"seen": scores[0].total}


def compare(case: Case):
    text, scores = yield [Generate(Prompt("abcd"), FIVE), Score(Pair("abcd", "efgh"), role="reference")]
    return {"seen": scores.total, "text": text}


def fall_back(case: Case):
    try:
        scores = yield Score(Pair("a", "b"))
    except Unsupported:
        text = yield Generate(case.prompt)
        return {"seen": float(len(text))}
    return {"seen": scores.total}


def planned(models: dict[str, Any], *probes: Callable[[Case], Any], count: int = 30, **options: Any) -> Plan:
    made = [
        Probe(one.__name__, cases(count), one, [mean_of("seen", better="lower", name=one.__name__)]) for one in probes
    ]
    suite = Suite("s", "?", made, [Gate(one.__name__, at_most=1.0) for one in probes])
    return plan(models, [suite], Material(Prompts().render), Policy(), **options)


class NoTexts(Fake):
    """A model that only scores."""

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        raise Unsupported("writes no texts")


class NoScores(Fake):
    """A model that only writes."""

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        raise Unsupported("gives no log-probabilities")


class Server(Fake):
    """A server: a plan must not ask it."""

    verifiable = False


@dataclass
class Clocked(Fake):
    """A model in this process whose time passes by what it computes: so much a token read, so much a token written."""

    now: float = 0.0
    start: float = 0.0
    batches: list[int] = field(default_factory=list)

    def tokens_of(self, requests: Asked) -> tuple[int, int]:
        """Ten tokens a prompt or pair; what all share, six of them, is computed once."""
        written = sum(one.sampling.max_new_tokens for one in requests if isinstance(one, Generate))
        return 10 * len(requests) + written, 4 * len(requests) + 6 + written

    def compute(self, batch: Asked, columns: Columns = LOG_PROB) -> list[Any]:
        self.batches.append(len(batch))
        written = sum(one.sampling.max_new_tokens for one in batch if isinstance(one, Generate))
        self.now += READ * (self.tokens_of(batch)[1] - written) + WRITTEN * written + self.start
        return [["text"] if isinstance(one, Generate) else TokenScores(-one_by_one()) for one in batch]

    def plan(self, requests: Asked) -> list[list[int]]:
        return [list(range(len(requests)))]


def one_by_one() -> Any:
    import numpy as np

    return np.ones(1)


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> Clocked:
    model = Clocked()
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: model.now)
    return model


def printed(made: Plan) -> str:
    out = io.StringIO()
    print_plan(made, Console(file=out, width=160))
    return out.getvalue()


# Counts ---------------------------------------------------------------------------------------------


def test_what_each_case_asks_first_is_counted_and_later_rounds_are_said_to_be_left_out() -> None:
    made = planned({"model": Fake()}, write, weigh)
    writing, weighing = made.probes
    assert (writing.cases, writing.requests, writing.written) == (30, 30, 600)
    assert writing.tokens == 600 + 30 * 11  # 40 bytes are about 11 tokens
    assert (weighing.cases, weighing.requests, weighing.written) == (30, 90, 0)
    assert len(made.first) == 120
    assert "what it asks later depends on the answers" in printed(made)


@pytest.mark.parametrize("several", [{"n": 3, "temperature": 1.0}, {"beams": 3}])
def test_samples_and_beams_are_written_each(several: dict[str, Any]) -> None:
    def draw(case: Case):
        yield Generate(case.prompt, Sampling(max_new_tokens=10, **several))
        return {"seen": 1.0}

    assert planned({}, draw, trial=0).probes[0].written == 30 * 30


def test_prompts_are_for_the_owner_alone_also_where_the_file_was_there(tmp_path: Path) -> None:
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    old.write_text("what stood here before, and was longer than a line\n" * 1000, encoding="utf-8")
    old.chmod(0o644)
    made = planned({"model": Fake()}, write, count=3)
    for path in (new, old):
        assert write_prompts(made, path) == 3
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert old.read_text(encoding="utf-8") == new.read_text(encoding="utf-8")
    assert write_prompts(made, Path("/dev/null")) == 3  # no file: its mode is not ours


def test_a_model_that_counts_its_tokens_is_believed(clocked: Clocked) -> None:
    made = planned({"model": clocked}, write, weigh)
    assert [(one.tokens, one.computed) for one in made.probes] == [(30 * 30, 30 * 24 + 6), (900, 4 * 90 + 6)]
    line = next(line for line in printed(made).splitlines() if line.startswith("s/weigh"))
    assert line.split()[1:6] == ["30", "90", "900", "0", "366"]


# Time -----------------------------------------------------------------------------------------------


def test_reading_and_writing_are_told_apart_and_carried_over_to_everything(clocked: Clocked) -> None:
    writing, weighing = planned({"model": clocked}, write, weigh, count=400).probes
    assert weighing.seconds == pytest.approx(READ * weighing.computed, rel=1e-6)
    assert writing.seconds == pytest.approx(READ * (writing.computed - writing.written) + WRITTEN * writing.written)


def test_texts_of_one_token_have_no_second_trial_to_be_told_apart_by(clocked: Clocked) -> None:
    def label(case: Case):
        text = yield Generate(case.prompt, Sampling(max_new_tokens=1))
        return {"seen": float(len(text))}

    (probe,) = planned({"model": clocked}, label).probes
    assert 0 < probe.seconds < 1


def test_a_fast_model_is_tried_in_batches_as_large_as_its_own_and_a_slow_one_with_a_few_cases(clocked: Clocked) -> None:
    planned({"model": clocked}, weigh, count=400)
    assert 100 < max(clocked.batches) <= 256
    clocked.batches.clear()
    clocked.start = 2.5
    planned({"model": clocked}, weigh, count=400)
    assert max(clocked.batches) == 3  # one case
    assert len(clocked.batches) <= 3


def test_the_first_call_only_warms_up(clocked: Clocked) -> None:
    compute = clocked.compute

    def cold(batch: Asked, columns: Columns = LOG_PROB) -> list[Any]:
        clocked.now += 0 if clocked.batches else 100.0
        return compute(batch, columns)

    clocked.compute = cold  # type: ignore[method-assign]
    (probe,) = planned({"model": clocked}, weigh).probes
    assert probe.seconds == pytest.approx(READ * probe.computed, rel=1e-6)
    assert clocked.batches[0] == 1


def test_a_function_that_may_cost_money_is_asked_but_a_few() -> None:
    model = Fake()
    assert math.isfinite(planned({"model": model}, write, count=300).probes[0].seconds)
    assert sum(model.asked) == 4


def test_nothing_is_asked_without_a_trial() -> None:
    model = Fake()
    made = planned({"model": model}, write, weigh, trial=0)
    assert model.asked == []
    assert all(math.isnan(one.seconds) for one in made.probes)
    assert "Time: not tried" in printed(made)
    assert planned({}, write, trial=0).probes[0].requests == 30


def test_a_request_that_breaks_the_model_does_not_break_the_plan() -> None:
    def broken(prompt: str, sample: int) -> str:
        raise FloatingPointError("nan")

    assert planned({"model": Fake(write=broken)}, write).probes[0].skipped == ""


# What cannot be asked -------------------------------------------------------------------------------


def test_a_probe_that_the_model_cannot_answer_is_not_tested_and_its_gate_sees_nothing() -> None:
    made = planned({"model": NoTexts()}, write, weigh)
    assert [one.skipped for one in made.probes] == ["writes no texts", ""]
    assert made.gates[0].sees == "not tested"
    assert "30 units" in made.gates[1].sees


def test_a_probe_that_asks_for_something_else_instead_is_counted() -> None:
    (probe,) = planned({"model": NoScores()}, fall_back).probes
    assert (probe.skipped, probe.requests) == ("", 30)
    assert math.isnan(probe.seconds)


def test_a_role_that_nobody_plays_is_named() -> None:
    (probe,) = planned({"model": Fake()}, compare).probes
    assert 'role "reference"' in probe.skipped


# Contrasts ------------------------------------------------------------------------------------------


def contrasting(names: dict[str, tuple[int, int]], gate: Gate, *, twins: bool = False) -> str:
    """What a plan says of a contrast of so many names of two groups, each asked four questions, and others' names."""
    made = [
        Case(
            f"{language}{side}{i}/{t}",
            facts={"template": str(t)},
            groups={"gender": group},
            cluster=f"{language}{'' if twins else side}{i}",
            language=language,
        )
        for language, sizes in names.items()
        for side, (group, size) in enumerate(zip(("female", "male", "other"), (*sizes, 40), strict=True))
        for i in range(size)
        for t in range(4)
    ]
    build = paired_contrast_of if twins else contrast_of
    suite = Suite("s", "?", [Probe("p", made, weigh, [build("seen", "gender", "female", "male")])], [gate])
    return plan({}, [suite], Material(Prompts().render), Policy(), trial=0).gates[0].sees


MARGIN = Gate("contrast_seen_female_male", at_least=-0.05, at_most=0.05)


def test_a_contrast_sees_what_the_names_of_its_two_groups_allow_not_its_cases_or_others_names() -> None:
    said = contrasting({"en": (6, 6)}, MARGIN)
    freedom, error = 10, math.sqrt(1 / 6 + 1 / 6)
    reach = (stats.t.ppf(0.95, freedom) + stats.t.ppf(0.8, freedom)) * error
    assert f"{reach:.2f} standard deviations" in said
    assert f"a gap of {0.05 + 0.05 * reach:.3f} or {0.05 + 0.1 * reach:.3f}" in said
    assert "en: 6 and 6 names" in said
    # Each bound at 90 %, so that both hold at 80 %: 2 (1.645 + 1.282)^2 times (0.1 / 0.05)^2, and some for Student.
    assert "takes 19 or 74 names a group and language" in said
    assert "0 or 1 for all 59" in said


def test_a_contrast_of_one_language_sees_less_than_one_over_both_and_needs_more_names_of_each() -> None:
    both = {"en": (12, 12), "zh": (12, 20)}
    whole, part = contrasting(both, MARGIN), contrasting(both, replace(MARGIN, slice={"language": "en"}))
    assert "en: 12 and 12 names; zh: 12 and 20 names" in whole
    assert "zh" not in part
    assert "takes 11 or 37 names" in whole
    assert "takes 19 or 74 names" in part


def test_twins_are_counted_as_pairs_and_a_lone_name_sees_nothing() -> None:
    assert "en: 30 pairs of twins" in contrasting({"en": (30, 30)}, MARGIN, twins=True)
    assert contrasting({"en": (12, 1)}, MARGIN).startswith("nothing")


# Servers --------------------------------------------------------------------------------------------


def test_a_server_is_asked_nothing_and_its_tokens_are_told() -> None:
    server = Server()
    made = planned({"model": server}, write, weigh)
    assert server.asked == []
    assert [one.served for one in made.probes] == [Served(30, 330, 600), Served(90, made.probes[1].tokens, 0)]
    assert all(one.computed == 0 and math.isnan(one.seconds) for one in made.probes)
    text = printed(made)
    assert "120 requests" in text
    assert "at most 600 tokens of completions" in text
    assert "Time: a server's own" in text


def test_the_models_that_are_loaded_from_servers_are_such(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoplm_audit.models.remote import RemoteModel

    model = RemoteModel("http://127.0.0.1:9/v1", "writer")  # nothing listens there
    asked: list[object] = []
    monkeypatch.setattr(RemoteModel, "answered", lambda *arguments: asked.append(arguments) or iter(()))
    made = planned({"model": model}, write, weigh)
    assert asked == []
    assert sum(one.served.requests for one in made.probes) == 120


def test_a_server_is_not_asked_to_find_out_what_a_probe_does_without_a_role() -> None:
    def no_reference(case: Case):
        try:
            yield Score(Pair("a", "b"), role="reference")
        except Unsupported:
            yield Generate(case.prompt)
        return {"seen": 1.0}

    server = Server()
    lacking, falling = planned({"model": server}, compare, no_reference).probes
    assert server.asked == []
    assert 'role "reference"' in lacking.skipped
    assert falling.skipped == ""


def test_a_local_model_beside_a_server_is_tried_alone() -> None:
    local, server = Fake(), Server()
    (probe,) = planned({"model": local, "reference": server}, compare).probes
    assert server.asked == []
    assert probe.served.requests == 30
    assert probe.requests == 60
    assert math.isfinite(probe.seconds)
    assert sum(local.asked) == 4
    assert "a server's own" not in printed(planned({"model": local, "reference": server}, compare))


# The store ------------------------------------------------------------------------------------------


def test_what_the_store_answers_is_told_and_takes_no_time(clocked: Clocked) -> None:
    heard: list[tuple[str, int, Columns]] = []

    def known(role: str, requests: Asked, columns: Columns) -> int:
        heard.append((role, len(requests), columns))
        return 30 if isinstance(requests[0], Pair) else 0

    whole = planned({"model": clocked}, write, weigh)
    made = planned({"model": clocked}, write, weigh, known=known)
    assert heard == [("model", 30, LOG_PROB), ("model", 90, LOG_PROB)]
    assert [one.known for one in made.probes] == [0, 30]
    assert made.probes[0].seconds == pytest.approx(whole.probes[0].seconds)
    assert made.probes[1].seconds == pytest.approx(whole.probes[1].seconds * 2 / 3)
    line = next(line for line in printed(made).splitlines() if line.startswith("s/weigh"))
    assert line.split()[1:4] == ["30", "90", "30"]
    assert "Stored" not in printed(whole)


# Memory and words -----------------------------------------------------------------------------------


def test_memory_is_that_of_the_weights_and_of_what_a_trial_took(tiny_checkpoint: Path) -> None:
    from shoplm_audit.models.load import load_model

    model: Any = load_model(str(tiny_checkpoint), device="cpu")
    made = planned({"model": model}, write, weigh, count=6)
    assert made.memory is not None
    assert made.memory.weights == 4 * model.parameters
    assert 0 <= made.memory.batch < made.memory.total
    assert 0 < made.memory.free <= made.memory.total
    assert "Memory on cpu: the weights take" in printed(made)
    assert made.probes[1].computed < made.probes[1].tokens  # three options share a context
    assert planned({"model": Fake()}, weigh).memory is None


def test_a_batch_larger_than_what_was_tried_is_expected_to_take_more() -> None:
    trial, model = Trial(4), Clocked()
    many: Any = [Pair("x" * 400, "y")] * 64
    trial._note_batch(model, many, many[:4], 100.0)
    assert trial._batch[id(model)] == pytest.approx(1600.0)
    trial._note_batch(model, many[:4], many[:4], 100.0)
    assert trial._batch[id(model)] == pytest.approx(1600.0)


def test_a_plan_says_for_which_probes_it_knows_no_time() -> None:
    known = PlannedProbe("s", "known", 10, 10, 100, 200.0)
    made = Plan((known, replace(known, name="other", seconds=math.nan)), (), ())
    assert "not tried for s/other; 3 min for the rest" in printed(made)
    assert "Time: about 3 min" in printed(Plan((known,), (), ()))
    assert " <1 s" in printed(Plan((replace(known, seconds=0.2),), (), ()))


def test_bounds_that_an_audit_would_reach_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    probes = (
        PlannedProbe("bias", "refund", cases=10, requests=10, seconds=600.0),
        PlannedProbe("bias", "price", cases=10, requests=10, served=Served(40, 100, 100)),
    )
    for bounds, said in (
        ({"budget": 60.0}, "up after about 10% of the cases"),
        ({"budget": 601.0}, ""),
        ({"max_requests": 39}, "before its 40 requests are sent"),
        ({"max_requests": 40}, ""),
    ):
        print_plan(Plan(probes, (), ()), Console(width=400), **bounds)  # type: ignore[arg-type]
        out = capsys.readouterr().out
        assert (said in out) if said else ("--budget" not in out and "--max-requests" not in out)
