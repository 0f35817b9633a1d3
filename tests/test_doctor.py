from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from fakes import Fake

from shoplm_audit.cli.inspecting import doctor
from shoplm_audit.errors import ConfigError, Unsupported
from shoplm_audit.invariance import Invariance, measured
from shoplm_audit.types import LOG_PROB, Columns, Generate, Pair, TokenScores


class Moved(Fake):
    """Scores move by what a function says of (own place, batch)."""

    by: Callable[[int, Sequence[Pair]], float] = staticmethod(lambda place, pairs: 0.0)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        rows = super().score(pairs, columns)
        return [TokenScores(row.log_prob + self.by(i, pairs)) for i, row in enumerate(rows)]


def moved(by: Callable[[int, Sequence[Pair]], float]) -> Moved:
    model = Moved()
    model.by = by  # type: ignore[method-assign]
    return model


def size(pair: Pair) -> int:
    return len(pair.context + pair.continuation)


def padding(pairs: Sequence[Pair], place: int) -> int:
    return max(map(size, pairs)) - size(pairs[place])


def said(found: Invariance) -> str:
    return "\n".join(found.lines())


# What is measured -----------------------------------------------------------------------------------


def test_a_model_that_no_batch_moves_reports_zero() -> None:
    found = measured(Fake())
    assert (found.per_token, found.per_text, found.changed, found.broken) == (0.0, 0.0, 0, 0)
    assert found.widest == ""
    assert found.healthy
    assert found.pairs >= 30
    assert found.prompts >= 10
    assert "0 of 16 greedy texts change" in said(found)
    assert "BROKEN" not in said(found)


def test_a_model_that_reads_its_padding_is_caught_and_named() -> None:
    found = measured(moved(lambda i, pairs: 1e-4 * padding(pairs, i)))
    assert not found.healthy
    assert found.per_token > 0.01
    assert "BROKEN" in said(found)
    assert "padding" in said(found)


@pytest.mark.parametrize(
    ("fault", "by"),
    [
        ("the place in the batch", lambda i, pairs: 0.01 * i),
        ("the place in the batch, downwards", lambda i, pairs: -0.01 * i),
        ("the neighbour", lambda i, pairs: 0.01 * size(pairs[i - 1]) / size(pairs[i]) - 0.01),
        ("the size of the batch", lambda i, pairs: 0.01 * (len(pairs) > 20)),
        ("one neighbour in forty", lambda i, pairs: 0.01 * (zlib.crc32(pairs[i - 1].continuation.encode()) % 40 == 0)),
    ],
)
def test_whatever_of_the_batch_shows_in_a_score_is_caught(fault: str, by: Callable[..., float]) -> None:
    assert not measured(moved(by)).healthy


def test_answers_in_the_order_of_their_lengths_are_caught() -> None:
    class Sorted(Fake):
        def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
            return super().score(sorted(pairs, key=size), columns)

    found = measured(Sorted())
    assert found.broken
    assert not found.healthy


def test_last_bits_are_told_in_their_size_and_are_no_fault() -> None:
    found = measured(moved(lambda i, pairs: 3e-6 if len(pairs) > 1 else 0.0))
    assert found.per_token == pytest.approx(3e-6)
    longest = round(found.per_text / 3e-6)
    assert found.per_text == pytest.approx(3e-6 * longest)
    assert longest > 20  # of many characters, each a token of the fake
    assert found.healthy
    assert "3.0e-06" in said(found)


def test_the_bound_is_that_of_the_type_of_number() -> None:
    found = measured(moved(lambda i, pairs: 0.02 if len(pairs) > 1 else 0.0))
    assert not found.healthy
    assert not replace(found, dtype="float32").healthy
    assert replace(found, dtype="bfloat16").healthy
    assert not replace(found, dtype="bfloat16", per_token=0.5).healthy


def test_numbers_that_are_none_are_counted_and_leave_the_rest_finite() -> None:
    def weigh(pair: Pair) -> list[float]:
        return [math.nan if len(pair.continuation) > 100 else -1.0]

    found = measured(Fake(weigh=weigh))
    assert 0 < found.broken < found.pairs
    assert not found.healthy
    assert all(math.isfinite(one) for one in (found.per_token, found.per_text))
    assert "nan" not in said(found).lower()


def test_a_request_that_fails_among_others_is_broken_and_stops_nothing() -> None:
    class Failing(Fake):
        def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
            if any(len(pair.continuation) > 100 for pair in pairs):
                raise FloatingPointError("overflow")
            return super().score(pairs, columns)

    assert measured(Failing()).broken > 0


def test_texts_that_change_with_their_batch_are_counted_and_many_are_a_fault() -> None:
    class Wavering(Fake):
        often = 100

        def generate(self, requests: Sequence[Generate]) -> list[str]:
            odd = len(requests) > 1
            texts = super().generate(requests)
            return [text + "!" * (odd and zlib.crc32(text.encode()) % 100 < self.often) for text in texts]

    found = measured(Wavering())
    assert found.changed == found.prompts
    assert not found.healthy
    assert "(100.0 %)" in said(found)
    assert replace(found, changed=1).healthy
    assert "equally probable" in said(replace(found, changed=1))


def test_what_a_model_cannot_do_is_said() -> None:
    class Writer(Fake):
        def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
            raise Unsupported("no scores")

    class Mute(Writer):
        def generate(self, requests: Sequence[Generate]) -> list[str]:
            raise Unsupported("no texts")

    found = measured(Writer())
    assert (found.pairs, found.tokens) == (0, 0)
    assert found.healthy
    assert "no log-probabilities" in said(found)
    with pytest.raises(Unsupported, match="no scores; no texts"):
        measured(Mute())


def test_a_server_is_not_asked() -> None:
    model: Any = Fake()
    model.verifiable = False
    with pytest.raises(ConfigError, match="not computed here"):
        measured(model)
    assert model.asked == []


def test_texts_are_of_both_languages_and_of_mixed_lengths_and_the_seeds_own() -> None:
    class Listening(Fake):
        heard: set[Pair]

        def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
            self.heard |= set(pairs)
            return super().score(pairs, columns)

    def heard(seed: int) -> set[Pair]:
        model = Listening()
        model.heard = set()
        measured(model, seed)
        return model.heard

    pairs = heard(0)
    chinese = sum(any("\u4e00" <= c <= "\u9fff" for c in pair.context) for pair in pairs)
    assert len(pairs) / 4 < chinese < len(pairs) * 3 / 4
    assert max(map(size, pairs)) > 8 * min(map(size, pairs))
    assert heard(0) == pairs != heard(1)


# A real network -------------------------------------------------------------------------------------


class LeftPadded:
    """A network whose shorter rows begin with spaces that it reads: what a forgotten mask does."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name, self.fingerprint, self.record, self.batch_sensitive = "padded", "", None, True
        self.device, self.dtype = "cpu", "float32"

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        raise Unsupported("only scores")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        padded = [
            Pair(" ." * (padding(pairs, i) // 4) + pair.context, pair.continuation) for i, pair in enumerate(pairs)
        ]
        return list(self._model.score(padded, columns))


def test_a_network_is_found_sound_and_the_same_network_with_padding_that_is_read_is_not(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplm_audit.models.load import load_model

    with pytest.raises(typer.Exit) as end:
        doctor(str(tiny_checkpoint), batch_invariance=True)
    assert end.value.exit_code == 0
    text = capsys.readouterr().out
    assert "torch 2" in text
    assert "float32" in text
    assert "BROKEN" not in text
    model = load_model(str(tiny_checkpoint), device="cpu")
    monkeypatch.setattr("shoplm_audit.doctor.load_model", lambda spec: LeftPadded(model))
    with pytest.raises(typer.Exit) as end:
        doctor("padded", batch_invariance=True)
    assert end.value.exit_code == 1
    assert "BROKEN" in capsys.readouterr().out


def test_it_needs_a_model() -> None:
    with pytest.raises(ConfigError, match="--model"):
        doctor(None, batch_invariance=True)
