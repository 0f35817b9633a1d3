from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from small_networks import make_network

from shoplm_audit.models.continuation import Rules, Text, followed, searched
from shoplm_audit.models.local import LocalModel
from shoplm_audit.types import Generate, Prompt, Sampling

WORDS, END = "abcd.", 4
RULES = Rules(frozenset({END}), lambda ids: "".join(WORDS[token] for token in ids))


class Scripted:
    """A reading whose logits follow from the tokens of the line: a whole language model in four letters."""

    def __init__(self, lines: int, seed: int = 0, end: float = 0.0) -> None:
        self.lines: list[list[int]] = [[] for _ in range(lines)]
        self.seed, self.end = seed, end

    def row(self, line: Sequence[int]) -> np.ndarray:
        drawn = np.random.default_rng([self.seed, zlib.crc32(bytes(line))]).normal(size=len(WORDS)) * 1.5
        drawn[END] += self.end
        return drawn

    def logits(self) -> Any:
        import torch

        return torch.tensor(np.stack([self.row(line) for line in self.lines]), dtype=torch.float32)

    def extend(self, tokens: Sequence[int]) -> None:
        self.lines = [[*line, token] for line, token in zip(self.lines, tokens, strict=True)]

    def keep(self, lines: Sequence[int]) -> None:
        self.lines = [self.lines[line] for line in lines]


def _text(limit: int = 4, **sampling: Any) -> Text:
    return Text([0], "", Sampling(limit, **sampling), 0, limit)


def _ranked(reading: Scripted, limit: int, banned: str = "") -> list[tuple[float, str]]:
    """Every text there is, by its mean log-probability per token, the end counted."""

    def log_prob(line: Sequence[int], token: int) -> float:
        row = reading.row(line).astype(np.float32).astype(np.float64)
        return float(row[token] - np.log(np.exp(row).sum()))

    found = []
    for length in range(limit + 1):
        for line in itertools.product(range(END), repeat=length):
            text = RULES.decoded(line)
            if banned and banned in text:
                continue
            total = sum(log_prob(line[:i], token) for i, token in enumerate(line))
            if length == limit:
                found.append((total / length, text))
            else:
                found.append(((total + log_prob(line, END)) / (length + 1), text))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("banned", ["", "ab"])
def test_a_beam_as_wide_as_all_texts_finds_the_best_of_them(seed: int, banned: str) -> None:
    text = _text(beams=4**4, n=5, banned=(banned,) if banned else ())
    found = searched(Scripted(1, seed), [text], RULES)[0]
    assert [RULES.decoded(ids) for ids in found] == [text for _, text in _ranked(Scripted(1, seed), 4, banned)[:5]]


def test_a_wider_beam_is_better_than_greedy_on_the_whole_and_ends_by_score_not_by_length() -> None:
    gained, lengths = [], set()
    for seed in range(30):
        score = {text: mean for mean, text in _ranked(Scripted(1, seed), 4)}
        greedy = followed(Scripted(1, seed), [_text()], RULES)[0]
        beam = searched(Scripted(1, seed), [_text(beams=3)], RULES)[0][0]
        gained.append(score[RULES.decoded(beam)] - score[RULES.decoded(greedy)])
        lengths.add(len(beam))
    assert np.mean(gained) > 0.02
    assert lengths >= {0, 4}


class Ending(Scripted):
    """May end at once, but is surest of "b" followed by the end."""

    def row(self, line: Sequence[int]) -> np.ndarray:
        if not line:
            return np.log([0.31, 0.28, 0.005, 0.005, 0.4])
        return np.log([0.001, 0.001, 0.001, 0.001, 0.996]) if line[0] == WORDS.index("b") else np.zeros(len(WORDS))


def test_texts_that_end_do_not_narrow_the_beam() -> None:
    assert searched(Ending(1), [_text(beams=2)], RULES) == [[[WORDS.index("b")]]]


def test_beams_of_several_requests_do_not_mix() -> None:
    texts = [_text(4, beams=2, n=2), _text(2, beams=3), _text(4, beams=2, banned=("a", "c"))]
    together = searched(Scripted(3, 7), texts, RULES)
    assert together == [searched(Scripted(1, 7), [text], RULES)[0] for text in texts]
    assert [len(best) for best in together] == [2, 1, 1]


def test_a_beam_stops_at_a_stop_and_at_the_limit() -> None:
    stopped = searched(Scripted(1, 3, end=-99), [_text(6, beams=4, n=4, stop=("c",))], RULES)[0]
    assert all(len(ids) == 6 or WORDS[ids[-1]] == "c" for ids in stopped)
    assert any(len(ids) < 6 for ids in stopped)
    assert not any("c" in RULES.decoded(ids[:-1]) for ids in stopped)


def test_a_beam_with_nothing_left_to_say_ends() -> None:
    rules = Rules(frozenset(), RULES.decoded)
    for beams in (1, 2):
        text = _text(4, beams=beams, banned=("ab", "ac", "ad", "aa", "a.", "b", "c", "d", "."))
        found = searched(Scripted(1), [text], rules)[0] if beams > 1 else followed(Scripted(1), [text], rules)
        assert [RULES.decoded(ids) for ids in found] == ["a"]


def test_a_stop_is_found_with_its_last_token_though_only_the_end_of_a_text_is_decoded() -> None:
    pieces = [*(bytes([byte]) for byte in "a坏é".encode()), b"ab", b"b a", "坏a".encode(), b"", b"b"]
    decoded: list[int] = []

    def decode(ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return b"".join(pieces[token] for token in ids).decode("utf-8", "replace")

    rng = np.random.default_rng(0)
    stopped = longest = 0
    for seed in range(300):
        stop = (("坏a坏",), ("bab", "éé"), ("ab a",), ("\ufffd坏\ufffd",))[seed % 4]
        text = Text([0], "", Sampling(200, stop=stop), 0, 200)
        written: list[int] = []
        while len(written) < 200:
            written.append(int(rng.integers(len(pieces))))
            decoded.clear()
            found = Rules(frozenset(), decode).complete(text, written)
            longest = max([longest, *decoded[:1]])
            if len(written) < 200:
                assert found == any(mark in decode(written) for mark in stop)
            if found:
                stopped += len(written) < 200
                break
    assert stopped > 100
    assert longest < 30


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_beams_of_a_padded_batch_are_those_of_transformers_one_by_one(shape: str, tokenizers: dict[str, Any]) -> None:
    import torch
    from transformers import GenerationConfig

    tokenizer = tokenizers[shape]
    model = LocalModel(make_network(shape, len(tokenizer)), tokenizer, name=shape)
    requests = [
        Generate(Prompt(text), Sampling(8, beams=3, n=2), raw=True)
        for text in ("The kettle is", "I would buy it again. The strap", "质量很好")
    ]
    mine = model.generate(requests)
    config = GenerationConfig(
        max_new_tokens=8, num_beams=3, num_return_sequences=2, do_sample=False, early_stopping="never",
        length_penalty=1.0, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    theirs = []
    for ids in model.encoder.prompts(requests):
        with torch.inference_mode():
            given = torch.tensor([ids])
            answer = model.network.generate(given, attention_mask=torch.ones_like(given), generation_config=config)
        theirs += [tokenizer.decode(row[len(ids) :], skip_special_tokens=True) for row in answer]
    assert mine == theirs


def test_a_steered_text_does_not_change_its_neighbours(local: LocalModel) -> None:
    plain = Generate(Prompt("The kettle is"), Sampling(10, temperature=1.0, seed=3), raw=True)
    free = Generate(Prompt("I would"), Sampling(10, temperature=1.0, n=12, seed=3), raw=True)
    banned = Generate(Prompt("I would"), Sampling(10, temperature=1.0, n=12, seed=3, banned=("e", "a")), raw=True)
    beam = Generate(Prompt("I would"), Sampling(10, beams=3), raw=True)
    alone = local.generate([plain])[0]
    among = local.generate([banned, plain, beam])
    assert among[12] == alone
    assert among[13:] == local.generate([beam])
    assert not set("eaEA") & set("".join(among[:12]))
    assert set("eaEA") & set("".join(local.generate([free])))
