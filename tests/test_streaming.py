from __future__ import annotations

import errno
import gc
import json
import math
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import Fake
from loopback import Loopback

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
    assert head == {"format": 1, **SETTINGS, "block": 1}  # no score depends on its neighbours
    rows = rows_of(tmp_path / "s.jsonl")
    assert rows[1] == {"row": 2, "id": "r1", "bytes": 12, "tokens": 4, "log_prob": -4.0, "nats_per_token": 1.0}
    assert [row["row"] for row in rows] == list(range(1, 21))
    size, characters = (sum(f(text) for _, text in texts(20)) for f in (lambda text: len(text.encode()), len))
    assert (totals.bytes, totals.tokens, totals.log_prob) == (size, characters, -characters)
    assert totals.nats_per_token == 1.0
    assert totals.nats_per_byte == pytest.approx(characters / size)
    assert totals.bits_per_byte == pytest.approx(characters / size / math.log(2))


@pytest.mark.parametrize("batch_sensitive", [True, False])
def test_cut_off_anywhere_it_goes_on_to_the_same_file(tmp_path: Path, batch_sensitive: bool) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "s.jsonl"
    sums = run(whole, model=Fake(batch_sensitive=batch_sensitive))
    content = whole.read_bytes()
    ends = [found.end() for found in re.finditer(b"\n", content)]
    for cut in [0, 1, *range(ends[0] - 2, ends[0] + 3), *(end + i for end in ends[1:] for i in (-1, 0, 7))]:
        out.write_bytes(content[:cut])
        model = Fake(batch_sensitive=batch_sensitive)
        again = run(out, model=model)
        assert out.read_bytes() == content
        assert (again.rows, again.log_prob, again.tokens) == (sums.rows, sums.log_prob, sums.tokens)
        there = max(0, sum(end <= cut for end in ends) - 1)
        kept = there if there == 30 or not batch_sensitive else there - there % BLOCK
        assert (again.computed, sum(model.asked)) == (30 - kept, 30 - kept)
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


@pytest.mark.parametrize(("first", "then"), [(3, 30), (12, 14), (12, 16), (15, 30)])
def test_a_larger_limit_gives_the_file_of_an_uninterrupted_run(tmp_path: Path, first: int, then: int) -> None:
    run(tmp_path / "s.jsonl", first)
    before = (tmp_path / "s.jsonl").read_bytes()
    sums = run(tmp_path / "whole.jsonl", then)
    again = run(tmp_path / "s.jsonl", then)
    content = (tmp_path / "whole.jsonl").read_bytes()
    assert not content.startswith(before)  # the partial block's scores are others, so this can fail
    assert (tmp_path / "s.jsonl").read_bytes() == content
    assert (again.rows, again.log_prob) == (sums.rows, sums.log_prob)


def test_rows_of_a_partial_block_are_kept_until_the_whole_block_is_computed(tmp_path: Path) -> None:
    run(tmp_path / "s.jsonl", 12)
    before = (tmp_path / "s.jsonl").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "s.jsonl", 30, Fake(batch_sensitive=True, breaks_at=0))
    assert (tmp_path / "s.jsonl").read_bytes() == before


@pytest.mark.parametrize("fewer", [0, 3, 8, 25])
def test_fewer_texts_than_there_are_rows_are_done_already(tmp_path: Path, fewer: int) -> None:
    sums = run(tmp_path / "s.jsonl")
    before = (tmp_path / "s.jsonl").read_bytes()
    with (tmp_path / "s.jsonl").open("ab") as file:
        file.write(b'{"row": 31, "id')  # cut off there, which nobody should have to read
    model = Fake(batch_sensitive=True)
    again = run(tmp_path / "s.jsonl", fewer, model)
    assert (tmp_path / "s.jsonl").read_bytes() == before
    assert (again.rows, again.log_prob, again.computed, model.asked) == (30, sums.log_prob, 0, [])


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_a_second_run_on_the_same_file_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    refused: list[str] = []

    class Meanwhile(Fake):
        def score(self, pairs: Any, columns: Columns = LOG_PROB) -> list[TokenScores]:
            with pytest.raises(DataError, match=r"another run is at work on it.*--out") as fault:
                run(tmp_path / "s.jsonl")
            refused.append(str(fault.value))
            return super().score(pairs, columns)

    run(tmp_path / "s.jsonl", model=Meanwhile(batch_sensitive=True))
    assert len(refused) == 4  # before there is a head, too
    run(tmp_path / "whole.jsonl")
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert run(tmp_path / "s.jsonl").computed == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert run(tmp_path / "s.jsonl").rows == 30


def test_a_model_that_gives_no_scores_leaves_the_file_to_the_right_one(tmp_path: Path) -> None:
    class Writer(Fake):
        def score(self, pairs: Any, columns: Columns = LOG_PROB) -> list[TokenScores]:
            raise Unsupported("gives no log-probabilities")

    with pytest.raises(Unsupported):
        run(tmp_path / "s.jsonl", model=Writer(), fingerprint="sha256:writer")
    assert run(tmp_path / "s.jsonl").rows == 30


def test_what_a_server_answered_before_it_failed_is_kept_in_order(tmp_path: Path) -> None:
    class Server(Fake):
        def plan(self, requests: Any) -> list[list[int]]:
            return [[i] for i in range(len(requests))]

        def answered(self, batches: Any, columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Any]]]:
            for number in (1, 0, 2, 4):
                yield number, list(self.score(batches[number]))
            raise MachineError("down")

    with pytest.raises(MachineError, match="down"):
        run(tmp_path / "s.jsonl", model=Server())
    run(tmp_path / "whole.jsonl", model=Fake())
    assert rows_of(tmp_path / "s.jsonl") == rows_of(tmp_path / "whole.jsonl")[:3]
    run(tmp_path / "s.jsonl", model=Fake())
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
    tmp_path: Path, settings: dict[str, Any], named: str
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


def test_foreign_lines_and_missing_or_doubled_rows_are_named_and_nothing_is_changed(tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    run(out)
    lines = out.read_text("utf-8").splitlines(keepends=True)
    for broken, said in (
        ([*lines, '{"row": 31}\n'], r"s\.jsonl:32: not a row"),
        ([*lines, "[]\n"], r"s\.jsonl:32: not a row"),
        (lines[:5] + lines[6:], r's\.jsonl:6: row "6" instead of 5, rows are missing.*--out'),
        (lines[:5] + lines[4:], r's\.jsonl:6: row "4" instead of 5'),
        (lines[:1] + lines[2:], r's\.jsonl:2: row "2" instead of 1'),
    ):
        out.write_text("".join(broken), "utf-8")
        with pytest.raises(DataError, match=said):
            run(out)
        assert out.read_text("utf-8") == "".join(broken)


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
    assert "12 texts\n" in said  # the block of five was made anew as one of twelve
    score(str(tiny_checkpoint), str(reviews), out, limit=3, device="cpu")
    assert "12 texts, 12 of them were there\nnote: these are more than the 3 that" in capsys.readouterr().out
    rows = rows_of(out)
    assert [row["id"] for row in rows[:2]] == ["reviews.csv:2", "reviews.csv:3"]
    bits = -sum(row["log_prob"] for row in rows) / math.log(2) / sum(row["bytes"] for row in rows)
    assert f"{bits:.4f} bits per byte" in said
    reviews.write_text(reviews.read_text("utf-8").replace("11 litres", "12 litres"), "utf-8")
    with pytest.raises(DataError, match="other data"):
        score(str(tiny_checkpoint), str(reviews), out, device="cpu")


def test_a_resume_after_an_upgrade_is_refused_with_what_differs(
    tiny_checkpoint: Path, reviews: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.jsonl"
    score(str(tiny_checkpoint), str(reviews), out, limit=5, device="cpu")
    head, *rows = out.read_text("utf-8").splitlines()
    for library in ("torch", "transformers", "tokenizers"):
        out.write_text("\n".join([json.dumps(json.loads(head) | {library: "0.1"}), *rows, ""]), "utf-8")
        now = re.escape(version(library)[:20])
        with pytest.raises(DataError, match=rf'\(other {library} "0\.1", now "{now}.*"\)\. .*--out'):
            score(str(tiny_checkpoint), str(reviews), out, device="cpu")


def test_a_server_is_sent_no_more_than_was_allowed_and_the_next_run_goes_on(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="the package openai is not installed (extra remote)")
    for name in ("SHOPLM_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    out, whole = tmp_path / "scores.jsonl", tmp_path / "whole.jsonl"
    with Loopback(weigh=lambda text: (["<|begin|>", text], [None, -float(len(text))])) as server:
        spec = f"openai:{server.url}#tiny"
        score(spec, str(reviews), whole, reuse_remote=True)
        server.asked.clear()
        with pytest.raises(MachineError, match=r"5 requests were sent.*--max-requests"):
            score(spec, str(reviews), out, max_requests=5, reuse_remote=True)
        assert len(server.asked) == 5
        assert rows_of(out) == rows_of(whole)[:5]
        score(spec, str(reviews), out, max_requests=7, reuse_remote=True)
        assert len(server.asked) == 12
        score(spec, str(reviews), tmp_path / "once.jsonl", limit=2)
        with pytest.raises(DataError, match=r"without fingerprint.*--reuse-remote"):
            score(spec, str(reviews), tmp_path / "once.jsonl")
    assert out.read_bytes() == whole.read_bytes()
    assert "torch" not in json.loads(out.read_text("utf-8").splitlines()[0])  # it computes elsewhere


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
