from __future__ import annotations

import gc
import json
import math
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import Fake

from shoplm_audit.cli.scoring import score
from shoplm_audit.data.readers import read_records
from shoplm_audit.data.records import Dialogue, Interaction, Product, Record, Review, Text
from shoplm_audit.errors import ConfigError, DataError, MachineError, Unsupported
from shoplm_audit.models.asking import Failed
from shoplm_audit.streaming import Totals, score_file, scored, text_of
from shoplm_audit.types import LOG_PROB, Columns, Pair, TokenScores, Turn

SETTINGS = {"model": "fake", "fingerprint": "sha256:fake", "data": "sha256:1"}
BLOCK = 8


def texts(count: int) -> Iterator[tuple[str, str]]:
    return ((f"r{i}", "质量很好" if i % 3 else f"It leaks {'a lot ' * (i % 7)}") for i in range(count))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()][1:]


def run(out: Path, count: int = 30, model: Any = None, **settings: Any) -> Totals:
    return score_file(out, model or Fake(batch_sensitive=True), texts(count), SETTINGS | settings, block=BLOCK)


# Scores ---------------------------------------------------------------------------------------------


def test_scores_come_in_order_and_pairs_are_drawn_a_block_at_a_time() -> None:
    drawn: list[int] = []

    def pairs() -> Iterator[Pair]:
        for i in range(20):
            drawn.append(i)
            yield Pair("", f"text {i}")

    found = scored(Fake(), pairs(), block=BLOCK)
    next(found)
    assert len(drawn) == BLOCK
    everything = [Pair("", f"text {i}") for i in range(20)]
    got = list(scored(Fake(), everything, block=BLOCK))
    assert all(isinstance(one, TokenScores) for one in got)
    assert [one.total for one in got] == [one.total for one in Fake().score(everything)]  # type: ignore[union-attr]


def test_columns_are_those_that_were_asked_for() -> None:
    (one,) = scored(Fake(), [Pair("", "ab")], LOG_PROB | Columns.RANK)
    assert isinstance(one, TokenScores)
    assert one.rank is not None


def test_a_network_gives_in_blocks_what_it_gives_for_the_whole_list(tiny_checkpoint: Path) -> None:
    from shoplm_audit.models.load import load_model

    model = load_model(str(tiny_checkpoint), device="cpu")
    pairs = [Pair("", text) for _, text in texts(40)]
    streamed = list(scored(model, pairs, block=7))
    for one, whole in zip(streamed, model.score(pairs), strict=True):
        assert isinstance(one, TokenScores)
        np.testing.assert_allclose(one.log_prob, whole.log_prob, atol=1e-4)


def test_one_text_that_breaks_the_model_costs_no_other_its_score(tmp_path: Path) -> None:
    def weigh(pair: Pair) -> list[float]:
        if "leaks a lot a lot a lot a lot a lot a lot" in pair.continuation:
            raise ValueError("too long")
        return [math.nan, -1.0] if pair.continuation == "It leaks " else [-1.0, -2.0]

    totals = run(tmp_path / "s.jsonl", model=Fake(weigh=weigh))
    rows = rows_of(tmp_path / "s.jsonl")
    assert {row["error"] for row in rows if row["log_prob"] is None} == {
        "ValueError: too long",
        "its log-probabilities are not numbers",
    }
    fine = [row for row in rows if row["log_prob"] is not None]
    assert (totals.rows, totals.failed, totals.tokens) == (30, 30 - len(fine), 2 * len(fine))
    assert totals.bytes == sum(row["bytes"] for row in fine)
    assert totals.nats_per_token == 1.5
    assert "NaN" not in (tmp_path / "s.jsonl").read_text("utf-8")


def test_a_model_without_log_probabilities_is_refused() -> None:
    class Writer(Fake):
        def score(self, pairs: Any, columns: Columns = LOG_PROB) -> list[TokenScores]:
            raise Unsupported("gives no log-probabilities")

    with pytest.raises(Unsupported):
        list(scored(Writer(), [Pair("", "x")]))
    assert list(scored(Fake(weigh=lambda pair: 1 / 0), [Pair("", "x")])) == [  # type: ignore[arg-type,return-value]
        Failed("ZeroDivisionError: division by zero")
    ]


# The file -------------------------------------------------------------------------------------------


def test_a_line_for_each_text_and_the_sums_of_all(tmp_path: Path) -> None:
    totals = run(tmp_path / "s.jsonl", 20, Fake(weigh=lambda pair: [-1.0] * len(pair.continuation)))
    head = json.loads((tmp_path / "s.jsonl").read_text("utf-8").splitlines()[0])
    assert head == {"format": 1, **SETTINGS, "block": BLOCK}
    rows = rows_of(tmp_path / "s.jsonl")
    assert rows[1] == {"row": 2, "id": "r1", "bytes": 12, "tokens": 4, "log_prob": -4.0, "nats_per_token": 1.0}
    assert [row["row"] for row in rows] == list(range(1, 21))
    size, characters = (sum(f(text) for _, text in texts(20)) for f in (lambda text: len(text.encode()), len))
    assert (totals.bytes, totals.tokens, totals.log_prob) == (size, characters, -characters)
    assert totals.nats_per_token == 1.0
    assert totals.nats_per_byte == pytest.approx(characters / size)
    assert totals.bits_per_byte == pytest.approx(characters / size / math.log(2))


@pytest.mark.parametrize("cut", [0.03, 0.2, 0.5, 0.77, 0.999])
def test_cut_off_anywhere_it_goes_on_to_the_same_file(tmp_path: Path, cut: float) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "s.jsonl"
    sums = run(whole)
    content = whole.read_bytes()
    first_line = content.index(b"\n") + 1
    out.write_bytes(content[: max(first_line, int(len(content) * cut))])
    model = Fake(batch_sensitive=True)
    again = run(out, model=model)
    assert out.read_bytes() == content
    assert (again.rows, again.log_prob, again.tokens) == (sums.rows, sums.log_prob, sums.tokens)
    assert again.computed < 30 or cut < 0.1
    assert all(asked <= BLOCK for asked in model.asked)


def test_a_finished_file_asks_nothing_and_more_texts_go_on_behind_it(tmp_path: Path) -> None:
    model = Fake(batch_sensitive=True)
    run(tmp_path / "s.jsonl", 16, model)
    model.asked.clear()
    assert run(tmp_path / "s.jsonl", 16, model).computed == 0
    assert model.asked == []
    assert run(tmp_path / "s.jsonl", 30, model).computed == 14
    assert sum(model.asked) == 14
    run(tmp_path / "whole.jsonl", 30)
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_each_block_is_there_when_the_next_is_asked(tmp_path: Path) -> None:
    there: list[int] = []

    class Looking(Fake):
        def score(self, pairs: Any, columns: Columns = LOG_PROB) -> list[TokenScores]:
            there.append(len(rows_of(tmp_path / "s.jsonl")))
            return super().score(pairs, columns)

    run(tmp_path / "s.jsonl", model=Looking())
    assert there == [0, 8, 16, 24]


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"fingerprint": "sha256:other"}, "fingerprint"), ({"data": "sha256:2"}, "data"), ({"device": "cuda"}, "device")],
)
def test_the_scores_of_another_run_are_not_mixed_with_these(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    run(tmp_path / "s.jsonl")
    before = (tmp_path / "s.jsonl").read_bytes()
    with pytest.raises(DataError, match=rf"other {named}.*--out"):
        run(tmp_path / "s.jsonl", **settings)
    assert (tmp_path / "s.jsonl").read_bytes() == before


def test_a_model_that_cannot_be_verified_does_not_go_on(tmp_path: Path) -> None:
    run(tmp_path / "s.jsonl", fingerprint="")
    with pytest.raises(DataError, match="without fingerprint"):
        run(tmp_path / "s.jsonl", fingerprint="")


@pytest.mark.parametrize("content", ["my own notes", "my own notes\n", '{"text": "a review"}\n', "[]\n", "\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="not a file of scores"):
        run(tmp_path / "s.jsonl")
    assert (tmp_path / "s.jsonl").read_text(encoding="utf-8") == content


def test_foreign_lines_and_too_many_are_named(tmp_path: Path) -> None:
    run(tmp_path / "s.jsonl")
    for fewer in (3, 25):
        with pytest.raises(DataError, match="more rows than there are texts"):
            run(tmp_path / "s.jsonl", fewer)
    with (tmp_path / "s.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"row": 31}\n')
    with pytest.raises(DataError, match=r"s\.jsonl:32: not a row"):
        run(tmp_path / "s.jsonl")


def test_a_folder_that_is_not_there_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="--out"):
        run(tmp_path / "nowhere" / "s.jsonl")


# Memory ---------------------------------------------------------------------------------------------


def flat(pair: Pair) -> list[float]:
    return [-1.0]


def from_file(path: Path, out: Path) -> None:
    records = read_records("reviews", path)
    score_file(out, Fake(weigh=flat), ((record.id, text_of(record)) for record in records), SETTINGS, block=64)  # type: ignore[union-attr]


def through_a_list(path: Path, out: Path) -> None:
    listed = [(record.id, text_of(record)) for record in read_records("reviews", path)]  # type: ignore[union-attr]
    score_file(out, Fake(weigh=flat), listed, SETTINGS, block=64)


def peak(work: Callable[[Path, Path], None], folder: Path, count: int) -> int:
    path = folder / f"{count}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"product": "p", "text": "It is {i:07d}."}}\n' for i in range(count))
    gc.collect()
    tracemalloc.start()
    try:
        work(path, folder / f"{work.__name__}-{count}.jsonl")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_as_many_reviews_need_no_more_memory_and_a_list_would_be_noticed(tmp_path: Path) -> None:
    few, many = 300, 2_400
    peak(from_file, tmp_path, 100)  # what is made once is made now
    assert peak(from_file, tmp_path, many) < 1.05 * peak(from_file, tmp_path, few)
    assert peak(through_a_list, tmp_path, many) > 1.5 * peak(through_a_list, tmp_path, few)


# Records and the verb -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Review("r", "p", "It leaks.", title="Bad"), "Bad\nIt leaks."),
        (Review("r", "p", "It leaks.", 1.0), "It leaks."),
        (Product("p", "Kettle", "k", {}, "Boils."), "Kettle\nBoils."),
        (Product("p", "Kettle", "k", {}), "Kettle"),
        (Text("t", "plain"), "plain"),
        (Dialogue("d", (Turn("user", "Where?"), Turn("assistant", "Here."))), "Customer: Where?\nShop: Here."),
    ],
)
def test_the_text_of_a_record_is_its_own_words(record: Record, text: str) -> None:
    assert text_of(record) == text


def test_a_record_without_text_is_refused() -> None:
    with pytest.raises(DataError):
        text_of(Interaction("u", "p"))


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    lines = [f'p{i},"{"Great, " * (i % 4)}it holds {i} litres.",{1 + i % 5}' for i in range(12)]
    path.write_text("product,text,rating\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_verb_writes_and_goes_on(
    tiny_checkpoint: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.jsonl"
    score(str(tiny_checkpoint), f"reviews={reviews}", out, limit=5, device="cpu")
    assert "5 texts" in capsys.readouterr().out
    score(str(tiny_checkpoint), str(reviews), out, device="cpu")
    said = capsys.readouterr().out
    assert "12 texts, 5 of them were there" in said
    rows = rows_of(out)
    assert [row["id"] for row in rows[:2]] == ["reviews.csv:2", "reviews.csv:3"]
    bits = -sum(row["log_prob"] for row in rows) / math.log(2) / sum(row["bytes"] for row in rows)
    assert f"{bits:.4f} bits per byte" in said
    reviews.write_text(reviews.read_text("utf-8").replace("11 litres", "12 litres"), "utf-8")
    with pytest.raises(DataError, match="other data"):
        score(str(tiny_checkpoint), str(reviews), out, device="cpu")


def test_bad_rows_stop_it_before_a_model_is_loaded_or_are_skipped_and_told_once(
    tiny_checkpoint: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with reviews.open("a", encoding="utf-8") as file:
        file.write("p99,,3\n")
    with pytest.raises(DataError, match=r"reviews\.csv:14"):
        score("no/such/model", str(reviews), tmp_path / "s.jsonl")
    score(str(tiny_checkpoint), str(reviews), tmp_path / "s.jsonl", skip_bad_rows=True, device="cpu")
    said = capsys.readouterr()
    assert said.err.count("skipped: reviews.csv:14") == 1
    assert "12 texts" in said.out


def test_interactions_and_unknown_fields_are_refused(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("user,product\nu,p\n", encoding="utf-8")
    with pytest.raises(DataError, match="no text"):
        score("none", str(tmp_path / "i.csv"), tmp_path / "s.jsonl")
    with pytest.raises(ConfigError, match="--map"):
        score("none", f"reviews={reviews}", tmp_path / "s.jsonl", mapping=["words=text"])


def test_texts_are_drawn_from_any_iterable(tmp_path: Path) -> None:
    listed: Iterable[tuple[str, str]] = [("a", "b")]
    assert score_file(tmp_path / "s.jsonl", Fake(), listed, SETTINGS).rows == 1
