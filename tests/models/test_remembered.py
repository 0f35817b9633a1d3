from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import Fake

from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.models.asking import Failed, Reply, attempted
from shoplm_audit.models.remembered import Remembered, decode_scores, encode_scores
from shoplm_audit.store import Kept, Store, digest
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
    "other",
    [
        Fake(fingerprint="sha256:other"),
        type("Half", (Fake,), {"dtype": "float16"})(),
        type("There", (Fake,), {"device": "cuda", "device_name": "a GPU"})(),
    ],
    ids=["weights", "dtype", "device"],
)
def test_other_weights_or_another_precision_find_nothing(store: Store, other: Fake) -> None:
    Remembered(Fake(), store).score(PAIRS)
    Remembered(other, store).score(PAIRS)
    assert sum(other.asked) == len(PAIRS)


def test_options_that_are_off_leave_the_keys_of_earlier_answers(store: Store) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=1.0, n=2, stop=("x",))
    model = Remembered(Fake(), store)
    model.generate([Generate(Prompt("hello"), sampling)])
    used = {"max_new_tokens": 9, "temperature": 1.0, "n": 2, "stop": ["x"]}
    asked = {"prompt": {"text": "hello", "system": ""}, "sampling": used, "raw": False}
    # Spelt out: an option that Sampling gains later must not be part of this.
    row = digest("Generate", 0, asked)
    assert store.get([digest(digest(model.identity), row, "")]).values()


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

    with pytest.raises(RuntimeError, match="asked for 1 texts and got 2"):
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


class Picky(Fake):
    """Breaks at one prompt, whoever stands beside it."""

    def generate(self, requests: list[Generate]) -> list[str]:
        if any(request.prompt.flat == "prompt 3" for request in requests):
            raise FloatingPointError("no number")
        return super().generate(requests)


def test_a_failure_costs_no_neighbour_its_answer_and_is_not_kept(store: Store) -> None:
    replies = Remembered(Picky(), store).attempt(ASKS[:6])
    assert [isinstance(reply, Failed) for reply in replies] == [False] * 3 + [True] + [False] * 2
    assert replies[3] == Failed("FloatingPointError: no number")
    assert len(_all(store)) == 5
    well = Fake()
    assert Remembered(well, store).generate(ASKS[:6]) == Fake().generate(ASKS[:6])
    assert well.asked == [1]


class AnyOrder(Fake):
    """Works on its batches from the last to the first, as a fleet may."""

    def answered(self, batches: list[list[Generate]], columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Reply]]]:
        for number in reversed(range(len(batches))):
            yield number, [[text] for text in self.generate(batches[number])]


def test_batches_may_come_back_in_any_order_and_each_is_kept_as_it_comes(store: Store) -> None:
    assert Remembered(AnyOrder(), store).generate(ASKS) == Fake().generate(ASKS)
    with Store(store.path.parent / "cut.sqlite") as cut:
        with pytest.raises(KeyboardInterrupt):
            Remembered(AnyOrder(breaks_at=40), cut).generate(ASKS)  # the last batch has 16 requests, the others 32
        assert len(_all(cut)) == 16
        assert Remembered(AnyOrder(), cut).generate(ASKS) == Fake().generate(ASKS)


def test_why_a_request_is_not_found_is_told(store: Store) -> None:
    first, second = (Fake(fingerprint=f"sha256:{c * 64}", batch_sensitive=True) for c in "ab")
    Remembered(first, store).score(PAIRS[:10])
    same, other = Remembered(first, store), Remembered(second, store)
    assert same.explained(PAIRS[:10]) == [""] * 10
    assert same.known(PAIRS[:10]) == 10
    assert "other requests" in same.explained(PAIRS[:5])[0]
    assert (
        "other weights, tokenizer, template or adapter (sha256:aaaaaaaaaaaaa..., now sha256:bbbbbbbbbbbbb...)"
        in other.explained(PAIRS[:10])[0]
    )
    assert "never asked" in same.explained(PAIRS[10:12])[0]
    assert "never asked" in same.explained(PAIRS[:10], Columns.RANK)[0]
    first.dtype = "float16"  # type: ignore[attr-defined]
    half = Remembered(first, store)
    assert half.explained(PAIRS[:10])[0].endswith("with other dtype (none, now float16)")


# The store ------------------------------------------------------------------------------------------


def test_nobody_else_may_read_the_store_or_its_journal(tmp_path: Path) -> None:
    with Store(tmp_path / "deep" / "store.sqlite") as opened:
        opened.put({}, [Kept("a", "", "", "1")])
        files = sorted((tmp_path / "deep").iterdir())
        assert len(files) == 3  # the file, its journal, its index
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_was_put_is_there_for_another_process(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as one, Store(tmp_path / "s.sqlite") as other:
        one.put({}, [Kept(str(i), "", "", f'"{i}"') for i in range(1200)])
        assert other.get(["5", "1199", "none"]) == {"5": '"5"', "1199": '"1199"'}
        assert len(other.get(map(str, range(1200)))) == 1200
        other.put({}, [Kept("5", "", "", '"changed"')])
        assert one.get(["5"]) == {"5": '"5"'}


def test_a_damaged_answer_is_computed_again_and_put_right(store: Store) -> None:
    model = Fake()
    said = Remembered(model, store).generate(ASKS[:3])
    (key,) = (k for k, text in _all(store).items() if "prompt 1" in text)
    store._connection.execute("UPDATE replies SET reply = substr(reply, 1, 5) WHERE key = ?", (key,))
    assert Remembered(model, store).generate(ASKS[:3]) == said
    assert model.asked == [3, 1]
    assert Remembered(model, store).generate(ASKS[:3]) == said
    assert model.asked == [3, 1]


def _all(store: Store) -> dict[str, str]:
    return dict(store._connection.execute("SELECT key, reply FROM replies"))


def test_another_kind_of_file_or_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and long enough to be read as one" * 20)
    for path in (tmp_path / "text", tmp_path / "text" / "below"):
        with pytest.raises((DataError, MachineError), match="--store") as fault:
            Store(path)
        assert "\n" not in str(fault.value)


def test_digests_tell_plain_data_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest(["a", "bc"])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len(digest("\ud800 商品")) == 64


# With a real checkpoint ------------------------------------------------------------------------------


def test_a_copy_finds_every_answer_and_what_is_trained_into_the_same_path_finds_none(
    gpt2_folder: Path, tmp_path: Path, store: Store
) -> None:
    import shutil

    from small_networks import CHAT, make_network

    from shoplm_audit.models.load import load_model

    def computed(folder: Path) -> int:
        model = Remembered(load_model(str(folder), device="cpu"), store)
        model.score([Pair("The kettle is", f" navy {i}") for i in range(5)])
        model.generate([Generate(Prompt(f"The kettle {i}"), Sampling(4)) for i in range(3)])
        return model.computed

    here = tmp_path / "here"
    shutil.copytree(gpt2_folder, here)
    assert computed(here) == 8
    shutil.copytree(here, tmp_path / "elsewhere")
    assert computed(tmp_path / "elsewhere") == 0
    (here / "chat_template.jinja").write_text(CHAT)
    assert computed(here) == 8  # another template: other prompts
    (here / "chat_template.jinja").unlink()
    assert computed(here) == 0
    words = load_model(str(here), device="cpu").network.config.vocab_size
    make_network("gpt2", words, seed=1).save_pretrained(here)
    assert computed(here) == 8  # "retrained"
    assert computed(tmp_path / "elsewhere") == 0


def test_versions_of_what_computes_are_in_the_key(
    gpt2_folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.metadata

    from shoplm_audit.models.load import load_model

    model = load_model(str(gpt2_folder), device="cpu")
    pairs = [Pair("The kettle is", " navy")]
    Remembered(model, store).score(pairs)
    installed = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "9.9" if name == "transformers" else installed(name)
    )
    later = Remembered(model, store)
    assert later.explained(pairs)[0].startswith("asked before, but with other transformers (")
    later.score(pairs)
    assert later.computed == 1


# Faults inside a batch --------------------------------------------------------------------------------


class Bound(Fake):
    """Answers depend on the batch; a fault can come once for a whole batch, or stick to one request."""

    once: bool = False
    sticks: str = ""

    def generate(self, requests: list[Generate]) -> list[str]:
        self._count(len(requests))
        if self.once and len(requests) > 1:
            self.once = False
            raise RuntimeError("a passing fault")
        if any(one.prompt.flat == self.sticks for one in requests):
            raise RuntimeError("a fault of this request")
        return [f"{one.prompt.flat} of {len(requests)}" for one in requests]


def bound(**faults: object) -> Bound:
    made = Bound(batch_sensitive=True)
    for name, value in faults.items():
        setattr(made, name, value)
    return made


def test_after_a_passing_fault_the_answers_are_those_of_the_whole_batch(store: Store) -> None:
    assert Remembered(bound(once=True), store).generate(ASKS[:8]) == [f"prompt {i} of 8" for i in range(8)]
    assert Remembered(bound(), store).computed == 0


def test_beside_a_failure_nothing_is_kept_under_the_key_of_the_whole_batch(store: Store) -> None:
    replies = Remembered(bound(sticks="prompt 3"), store).attempt(ASKS[:8])
    assert [isinstance(one, Failed) for one in replies] == [i == 3 for i in range(8)]
    assert _all(store) == {}
    # Once the fault is gone, the batch is one again.
    assert Remembered(bound(), store).generate(ASKS[:8]) == [f"prompt {i} of 8" for i in range(8)]


@pytest.mark.parametrize(
    "fault", [MemoryError(), OSError(28, "No space left"), RuntimeError("CUDA error: launch failed")]
)
def test_a_fault_of_the_machine_ends_the_run_and_counts_against_no_model(fault: Exception) -> None:
    class Here(Fake):
        def compute(self, batch: object, columns: Columns = LOG_PROB) -> list[Reply]:
            raise fault

    with pytest.raises(MachineError, match="run the same command"):
        attempted(Here(), ASKS[:3])
    # A user's own function may raise what it likes: that is its failure.
    assert all(isinstance(one, Failed) for one in attempted(_raising(fault), ASKS[:3]))


def _raising(fault: Exception) -> Fake:
    def write(prompt: str, sample: int) -> str:
        raise fault

    return Fake(write)


def test_the_other_requests_of_a_batch_and_their_order_are_in_the_key(store: Store) -> None:
    Remembered(bound(), store).generate(ASKS[:4])
    for others in (ASKS[1:5], ASKS[:4][::-1]):
        model = Remembered(bound(), store)
        model.generate(others)
        assert model.computed == 4


@pytest.mark.parametrize("text", ["{}", '{"log_prob": "x"}', "5", "[1]", "null", "[", '"text"'])
def test_a_reply_that_is_none_is_computed_again(store: Store, text: str) -> None:
    Remembered(Fake(), store).generate(ASKS[:1])
    store._connection.execute("UPDATE replies SET reply = ?", (text,))
    model = Remembered(Fake(), store)
    assert model.known(ASKS[:1]) == 0
    assert model.generate(ASKS[:1]) == ["prompt 0#0"]
    assert model.computed == 1


def test_an_answer_is_on_the_disk_when_put_returns(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as opened:
        assert opened._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert opened._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with pytest.raises(MachineError):
            opened.put({}, [Kept("a", "", "", '"1"'), Kept(None, "", "", '"2"')])  # type: ignore[arg-type]
        assert opened.get(["a"]) == {}


def test_what_is_no_store_keeps_its_mode(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("not a database " * 100)
    readme.chmod(0o644)
    for path in (readme, tmp_path):
        before = stat.S_IMODE(path.stat().st_mode)
        with pytest.raises(DataError, match="no store"):
            Store(path)
        assert stat.S_IMODE(path.stat().st_mode) == before


def test_another_program_s_database_is_left_as_it_is(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE orders (id)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="another program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_later_version_of_what_computes_answers_finds_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Remembered(Fake(), store).score(PAIRS[:3])
    monkeypatch.setattr("shoplm_audit.models.remembered.ANSWERS_VERSION", "later")
    later = Remembered(Fake(), store)
    later.score(PAIRS[:3])
    assert later.computed == 3
