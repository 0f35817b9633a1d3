from __future__ import annotations

import math
import stat
from pathlib import Path

import numpy as np
import pytest
from fakes import Fake

from shoplm_audit.errors import MachineError
from shoplm_audit.models.remembered import Remembered, decode_scores, encode_scores
from shoplm_audit.store import Store, digest
from shoplm_audit.types import LOG_PROB, Columns, Generate, Mark, Pair, Prompt, Sampling, TokenScores

PAIRS = [Pair(f"context {i}", "continuation"[: 3 + i % 7]) for i in range(80)]  # three batches of 32 at most
ASKS = [Generate(Prompt(f"prompt {i}")) for i in range(80)]


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def totals(scores: list[TokenScores]) -> list[float]:
    return [one.total for one in scores]


@pytest.mark.parametrize("batch_sensitive", [False, True])
def test_the_second_run_computes_nothing_and_says_the_same(store: Store, batch_sensitive: bool) -> None:
    first = Remembered(Fake(batch_sensitive=batch_sensitive), store)
    said, weighed = first.generate(ASKS), totals(first.score(PAIRS))
    again = Fake(batch_sensitive=batch_sensitive)
    second = Remembered(again, store)
    assert (second.generate(ASKS), totals(second.score(PAIRS))) == (said, weighed)
    assert (again.asked, second.computed) == ([], 0)
    assert said == Fake().generate(ASKS)


def test_answers_come_back_in_the_order_of_samples(store: Store) -> None:
    asks = [Generate(Prompt("a"), Sampling(temperature=1.0, n=3)), Generate(Prompt("b"))]
    for _ in range(2):
        assert Remembered(Fake(), store).generate(asks) == ["a#0", "a#1", "a#2", "b#0"]


@pytest.mark.parametrize(
    "other", [Fake(fingerprint="sha256:other"), type("Half", (Fake,), {"dtype": "float16"})()], ids=["weights", "dtype"]
)
def test_other_weights_or_another_precision_find_nothing(store: Store, other: Fake) -> None:
    Remembered(Fake(), store).score(PAIRS)
    Remembered(other, store).score(PAIRS)
    assert sum(other.asked) == len(PAIRS)


def test_options_that_are_off_leave_the_keys_of_earlier_answers(store: Store) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=1.0, n=2, stop=("x",))
    Remembered(Fake(), store).generate([Generate(Prompt("hello"), sampling)])
    # As it was before there were beams, banned phrases and watermarks.
    assert store.get(["01164f88161c59178552e7a8e19254d21724bfcf4ba7e6b630b8b78c1abb4569"])


def test_what_shapes_an_answer_is_in_its_key(store: Store) -> None:
    prompt = Prompt("hello")
    asks = [
        Generate(prompt),
        Generate(Prompt("hello", "system")),
        Generate(prompt, Sampling(max_new_tokens=9)),
        Generate(prompt, Sampling(stop=("x",))),
        Generate(prompt, Sampling(temperature=1.0)),
        Generate(prompt, Sampling(temperature=1.0, seed=1)),
        Generate(prompt, Sampling(beams=2)),
        Generate(prompt, Sampling(banned=("x",))),
        Generate(prompt, Sampling(mark=Mark("kgw", "k"))),
        Generate(prompt, Sampling(mark=Mark("kgw", "other"))),
        Generate(prompt, raw=True),
    ]
    for n, ask in enumerate(asks):
        model = Remembered(Fake(lambda *_, n=n: f"answer {n}"), store)
        assert model.generate([ask]) == [f"answer {n}"]
    counted = Remembered(Fake(), store)
    for pair, columns in (
        (Pair("a", "b"), LOG_PROB),
        (Pair("a", "b", (0, 1)), LOG_PROB),
        (Pair("a", "b"), Columns.RANK),
    ):
        counted.score([pair], columns)
    assert counted.computed == 3


def test_a_batch_is_part_of_the_key_only_where_it_shapes_answers(store: Store) -> None:
    free, bound = Fake(), Fake(fingerprint="sha256:bound", batch_sensitive=True)
    for model in (free, bound):
        Remembered(model, store).score(PAIRS[:10])
        Remembered(model, store).score(PAIRS[:5])
    assert free.asked == [10]
    assert bound.asked == [10, 5]


def test_what_does_not_depend_on_its_batch_is_never_asked_twice(store: Store) -> None:
    model = Fake()
    Remembered(model, store).generate(ASKS[:10])
    answers = Remembered(model, store).generate([*ASKS[5:15], ASKS[14]])
    assert model.asked == [10, 5]
    assert answers == Fake().generate([*ASKS[5:15], ASKS[14]])


@pytest.mark.parametrize("cut", [1, 32, 33, 70])
def test_an_interrupted_run_goes_on_to_the_numbers_of_an_uninterrupted_one(tmp_path: Path, cut: int) -> None:
    with Store(tmp_path / "whole.sqlite") as whole, Store(tmp_path / "cut.sqlite") as resumed:
        expected = totals(Remembered(Fake(batch_sensitive=True), whole).score(PAIRS))
        with pytest.raises(KeyboardInterrupt):
            Remembered(Fake(batch_sensitive=True, breaks_at=cut), resumed).score(PAIRS)
        rest = Fake(batch_sensitive=True)
        assert totals(Remembered(rest, resumed).score(PAIRS)) == expected
        assert rest.asked == ([32, 32, 16] if cut < 32 else [32, 16] if cut < 64 else [16])
        # The fake's answers do depend on the batch: computing only what lacks would have shown.
        assert totals(Fake(batch_sensitive=True).score(PAIRS)) != expected


def test_a_plan_of_the_model_divides_the_requests(store: Store) -> None:
    class Planned(Fake):
        def plan(self, requests: list[Pair]) -> list[list[int]]:
            return [[4, 2, 0], [3, 1]]

    model = Planned()
    assert totals(Remembered(model, store).score(PAIRS[:5])) == totals(Fake().score(PAIRS[:5]))
    assert model.asked == [3, 2]


def test_a_model_that_cannot_be_verified_is_remembered_within_its_run_only(store: Store) -> None:
    def asked(run: str) -> int:
        model = Fake(fingerprint="")
        Remembered(model, store, run=run).generate(ASKS[:3])
        return sum(model.asked)

    assert [asked("one"), asked("one"), asked("two")] == [3, 0, 3]
    assert [asked(""), asked("")] == [3, 3]  # a run without a name is like no other


def test_too_few_or_too_many_texts_are_no_answers(store: Store) -> None:
    class Odd(Fake):
        def generate(self, requests: list[Generate]) -> list[str]:
            return ["one"] * (len(requests) + 1)

    with pytest.raises(RuntimeError, match="asked for 2 texts and got 3"):
        Remembered(Odd(), store).generate(ASKS[:2])
    assert Remembered(Fake(), store).generate(ASKS[:2]) == ["prompt 0#0", "prompt 1#0"]


def test_numbers_are_kept_to_the_last_bit() -> None:
    values = np.array([0.1, 1 / 3, -1e-308, 5e-324, -np.pi * 1e17, float(np.nextafter(1, 2)), -math.inf, math.nan])
    scores = TokenScores(values, values[::-1].copy(), None, np.arange(8) + 2**53)
    import json

    found = decode_scores(json.loads(json.dumps(encode_scores(scores))))
    assert found.log_prob.tobytes() == values.tobytes()
    assert found.expected_log_prob is not None
    assert found.expected_log_prob.tobytes() == values[::-1].tobytes()
    assert found.log_prob_variance is None
    assert found.rank is not None
    assert found.rank.tolist() == (np.arange(8) + 2**53).tolist()
    single = np.array([0.1, 2.7], dtype=np.float32)
    assert decode_scores(encode_scores(TokenScores(single))).log_prob.tolist() == single.astype(np.float64).tolist()


# The store ------------------------------------------------------------------------------------------


def test_nobody_else_may_read_the_store_or_its_journal(tmp_path: Path) -> None:
    with Store(tmp_path / "deep" / "store.sqlite") as opened:
        opened.put({"a": "1"})
        files = sorted((tmp_path / "deep").iterdir())
        assert len(files) == 3  # the file, its journal, its index
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_was_put_is_there_for_another_process(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as one, Store(tmp_path / "s.sqlite") as other:
        one.put({str(i): f'"{i}"' for i in range(1200)})
        assert other.get(["5", "1199", "none"]) == {"5": '"5"', "1199": '"1199"'}
        assert len(other.get(map(str, range(1200)))) == 1200
        other.put({"5": '"changed"'})
        assert one.get(["5"]) == {"5": '"5"'}


def test_another_kind_of_file_or_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and long enough to be read as one" * 20)
    for path in (tmp_path / "text", tmp_path / "text" / "below"):
        with pytest.raises(MachineError, match="--store") as fault:
            Store(path)
        assert "\n" not in str(fault.value)


def test_digests_tell_plain_data_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest(["a", "bc"])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len(digest("\ud800 商品")) == 64
