from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from shoplm_audit.errors import ConfigError
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.watermark import Marker, detect, kgw_detection, synthid_detection
from shoplm_audit.types import Generate, Mark, Prompt, Sampling

KINDS = ("kgw", "synthid")
PROMPTS = ("The kettle is", "这款水壶", "I would", "Is this")


def _drawn(model: LocalModel, mark: Mark | None, *, seed: int = 0, tokens: int = 70) -> list[str]:
    sampling = Sampling(tokens, temperature=1.0, seed=seed, mark=mark)
    return model.generate([Generate(Prompt(text), sampling, raw=True) for text in PROMPTS])


@pytest.fixture(scope="module")
def gpt2() -> LocalModel:
    """A random network that writes words: bytes at random would be no text, and encoded anew be other tokens."""
    from small_networks import make_network
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<|end|>", *f"The kettle is 这款水壶 I would Is this {' '.join(map(str, range(300)))}".split()]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<|end|>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")
    return LocalModel(make_network("gpt2", len(words), context=256), tokenizer, name="gpt2")


# The tests of a text ------------------------------------------------------------------------------


def test_the_kgw_test_is_the_exact_binomial_one() -> None:
    # arXiv 2301.10226, eq. 3; the normal p-value of 50 among 100 would be 17 times too small.
    assert kgw_detection(160, 200, 0.5).score == pytest.approx(8.485281, abs=1e-6)
    found = kgw_detection(50, 100, 0.25)
    assert found.score == pytest.approx(5.773503, abs=1e-6)
    assert found.p_value == pytest.approx(6.64e-8, rel=2e-3)
    assert kgw_detection(16, 16, 0.25).p_value == pytest.approx(0.25**16)


def test_the_synthid_score_is_the_weighted_mean_with_its_known_spread() -> None:
    values = np.zeros((2, 30))
    values[:, 0] = 1
    # Weights fall from 10 to 1 and sum to 165; the first tournament alone is 10 / 165.
    assert synthid_detection(values).score == pytest.approx(10 / 165)
    rng = np.random.default_rng(0)
    scores = [synthid_detection(rng.integers(0, 2, (50, 30)).astype(float)).score for _ in range(2000)]
    weights = np.linspace(10, 1, 30) / 165
    assert np.std(scores) == pytest.approx(0.5 * math.sqrt(float(weights @ weights) / 50), rel=0.06)


@pytest.mark.parametrize(("tokens", "depth"), [(1, 1), (6, 1), (3, 2), (1, 30), (9, 30), (40, 30)])
def test_a_text_without_a_synthid_mark_is_called_marked_no_more_often_than_said(tokens: int, depth: int) -> None:
    rng = np.random.default_rng(tokens)
    texts = rng.integers(0, 2, (4000, tokens, depth)).astype(float)
    p = np.array([synthid_detection(one).p_value for one in texts])
    for level in (0.01, 0.05):  # a normal law calls 6 of 6 coins 0.7 %
        assert np.mean(p < level) <= level + 4 * math.sqrt(level * (1 - level) / len(p))


def test_the_synthid_law_is_that_of_all_texts() -> None:
    every = np.array(list(itertools.product([0.0, 1.0], repeat=8))).reshape(-1, 2, 4)
    found = [synthid_detection(one) for one in every]
    scores = np.array([one.score for one in found])
    for one in found:
        assert one.p_value == pytest.approx(np.mean(scores >= one.score - 1e-9), abs=1e-12)
    assert synthid_detection(np.ones((13, 30))).p_value == 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_p_values_of_unmarked_texts_are_uniform_over_keys(kind: str, gpt2: LocalModel) -> None:
    texts = _drawn(gpt2, None)
    tokenizer = gpt2.encoder.tokenizer
    p = np.array([detect(text, tokenizer, Mark(kind, f"key {k}")).p_value for text in texts for k in range(150)])
    # Of kgw the values are discrete, so exact p-values are a little too large, never too small.
    for level in (0.01, 0.05, 0.2, 0.5):
        allowed = 4 * math.sqrt(level * (1 - level) / len(p))
        assert np.mean(p <= level) <= level + allowed
        assert np.mean(p <= level) >= level - allowed - (0.07 if kind == "kgw" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_repeats_is_counted_once(kind: str, gpt2: LocalModel) -> None:
    tokenizer = gpt2.encoder.tokenizer
    once, often = "navy and red. ", "navy and red. " * 30
    found = detect(often, tokenizer, Mark(kind, "k"))
    assert found.tokens <= detect(once * 2, tokenizer, Mark(kind, "k")).tokens + 2
    p = [detect(often, tokenizer, Mark(kind, f"key {k}")).p_value for k in range(300)]
    assert np.mean(np.array(p) < 0.01) < 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_too_short_for_its_context_says_nothing(kind: str, gpt2: LocalModel) -> None:
    found = detect("", gpt2.encoder.tokenizer, Mark(kind, "k"))
    assert found.tokens == 0
    assert math.isnan(found.p_value)


# Writing and finding ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_marked_text_is_found_with_its_key_and_with_no_other(kind: str, gpt2: LocalModel) -> None:
    mark, tokenizer = Mark(kind, "secret"), gpt2.encoder.tokenizer
    texts = _drawn(gpt2, mark)
    assert all(detect(text, tokenizer, mark).p_value < 1e-4 for text in texts)
    others = [detect(text, tokenizer, Mark(kind, f"guess {k}")).p_value for text in texts for k in range(60)]
    assert np.mean(np.array(others) < 0.05) < 0.11
    assert all(detect(text, tokenizer, mark).p_value > 1e-3 for text in _drawn(gpt2, None))
    other = Mark("kgw" if kind == "synthid" else "synthid", "secret")
    assert all(detect(text, tokenizer, other).p_value > 1e-3 for text in texts)


def test_a_mark_is_in_the_text_and_not_in_what_stands_before_it(gpt2: LocalModel) -> None:
    # A finder has no prompt: what depended on the prompt's last token could not be counted.
    marker = Marker(Mark("kgw", "k"))
    assert not marker.bias([], 50).any()
    assert marker.bias([3], 50).any()


def test_greens_are_as_many_as_gamma_says_and_differ_by_context() -> None:
    marker = Marker(Mark("kgw", "k", gamma=0.3))
    first, second = (marker.green((token,), np.arange(20000)) for token in (5, 6))
    assert first.mean() == pytest.approx(0.3, abs=0.015)
    assert (first & second).mean() == pytest.approx(0.09, abs=0.01)


def test_a_greedy_text_can_carry_kgw_but_not_synthid(gpt2: LocalModel) -> None:
    mark = Mark("kgw", "secret", delta=6.0)
    for beams in (1, 2):
        requests = [Generate(Prompt(text), Sampling(60, mark=mark, beams=beams), raw=True) for text in PROMPTS]
        found = [detect(text, gpt2.encoder.tokenizer, mark) for text in gpt2.generate(requests)]
        # A greedy text soon repeats itself: the evidence is pooled over texts.
        green = sum(one.score * math.sqrt(one.tokens * 0.1875) + 0.25 * one.tokens for one in found)
        assert kgw_detection(round(green), sum(one.tokens for one in found), 0.25).p_value < 1e-4
    with pytest.raises(ConfigError, match="synthid"):
        Sampling(mark=Mark("synthid", "secret"))


def test_no_raise_of_logits_writes_the_unmarked_text(gpt2: LocalModel) -> None:
    assert _drawn(gpt2, Mark("kgw", "k", delta=0.0)) == _drawn(gpt2, None)


def test_kgw_is_as_strong_as_published_where_every_token_is_as_likely() -> None:
    # delta 2, gamma 0.25, 100 tokens: z of 10.60, arXiv 2301.10226 in the limit of high entropy.
    marker, words, rng = Marker(Mark("kgw", "k")), 1000, np.random.default_rng(1)
    scores = []
    for _ in range(40):
        written = [int(rng.integers(words))]
        for _ in range(100):
            written.append(int(rng.choice(words, p=marker.apply(np.full(words, 1 / words), written))))
        grams = dict.fromkeys(itertools.pairwise(written))
        green = sum(bool(marker.green((a,), np.array([b]))[0]) for a, b in grams)
        scores.append(kgw_detection(green, len(grams), 0.25).score)
    assert np.mean(scores) == pytest.approx(10.6, abs=0.6)


def test_synthid_is_as_strong_as_published_where_every_token_is_as_likely() -> None:
    # 30 tournaments over 1,000 equal tokens: g of 0.735 on average, over all of them alike.
    marker, words, rng = Marker(Mark("synthid", "k")), 1000, np.random.default_rng(1)
    written = rng.integers(words, size=4).tolist()
    values = []
    for _ in range(150):
        token = int(rng.choice(words, p=marker.apply(np.full(words, 1 / words), written)))
        values.append(marker.values(written[-4:], np.array([token]))[0])
        written.append(token)
    assert np.mean(values) == pytest.approx(0.735, abs=0.025)


def test_synthid_leaves_the_distribution_as_it_is_on_average_over_keys() -> None:
    model = np.array([0.45, 0.25, 0.15, 0.1, 0.05, 0.0])
    for depth in (1, 5):
        marked = [Marker(Mark("synthid", f"key {k}", depth=depth)).apply(model, [1, 2, 3, 4]) for k in range(3000)]
        assert np.abs(np.mean(marked, axis=0) - model).max() < 4 * np.std(marked, axis=0).max() / math.sqrt(3000)
        assert np.std(marked, axis=0)[:5].min() > 0.01  # and yet each key has its own
        assert np.allclose(np.sum(marked, axis=1), 1)
    kgw = [Marker(Mark("kgw", f"key {k}")).apply(model, [4]) for k in range(1000)]
    assert np.abs(np.mean(kgw, axis=0) - model).max() > 0.02, "kgw distorts: the test can tell"


def test_synthid_draws_freely_where_a_context_comes_again() -> None:
    model, marker = np.array([0.5, 0.3, 0.2]), Marker(Mark("synthid", "k"))
    again = [0, 1, 2, 0, 2, 0, 1, 2, 0]
    assert np.array_equal(marker.apply(model, again), model)
    assert not np.array_equal(marker.apply(model, again[:4]), model)
    assert np.array_equal(marker.apply(model, again[:3]), model), "no full context yet"


def test_a_mark_tells_what_is_wrong_and_hides_its_key() -> None:
    assert "secret" not in repr(Mark("kgw", "secret"))
    with pytest.raises(ConfigError, match="key"):
        Mark("kgw", "")
    for wrong in ({"gamma": 1.0}, {"depth": 65}, {"delta": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Mark("kgw", "k", **wrong)
