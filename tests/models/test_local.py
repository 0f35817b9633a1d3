from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_networks import CHAT, TEXTS, make_network, make_tokenizer

from shoplm_audit.errors import Unsupported
from shoplm_audit.models.encoding import Encoded, windows
from shoplm_audit.models.local import LocalModel
from shoplm_audit.types import Columns, Generate, Model, Pair, Prompt, Sampling, Turn

ALL = Columns.LOG_PROB | Columns.EXPECTED | Columns.VARIANCE | Columns.RANK
SHORT = Sampling(max_new_tokens=12)
PAIRS = [
    Pair("The kettle is", " navy"),
    Pair("The kettle is ", "navy and holds 1.7 litres."),
    Pair("这条评价是", "正面"),
    Pair("评价：质量很好。\n情感：", "鑫飝"),  # characters that no merge knows: three bytes, three tokens each
    Pair("", "I would buy it again."),
    Pair("A long context, " * 5, "ends."),
    Pair("x", ""),
]


def _naive(model: LocalModel, pair: Pair) -> np.ndarray:
    """Log-probabilities by one unpadded pass per pair, with the tokens' places counted anew."""
    import torch

    tokenizer = model.encoder.tokenizer
    context = pair.context.rstrip()
    text = pair.context + pair.continuation
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = []
    for token, (begin, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        blank = len(tokenizer.decode([token])) - len(tokenizer.decode([token]).lstrip())
        starts.append(begin + (blank if text[begin : begin + 1].isspace() else 0))
    first = next((i for i, start in enumerate(starts) if start >= len(context)), len(starts))
    ids = encoded["input_ids"]
    begin = tokenizer.bos_token_id
    prefix = [begin] if begin is not None else ([tokenizer.eos_token_id] if first == 0 else [])
    if not ids[first:]:
        return np.empty(0)
    with torch.inference_mode():
        logits = model.network(torch.tensor([prefix + ids])).logits[0].double().log_softmax(-1)
    return np.array([float(logits[len(prefix) + i - 1, ids[i]]) for i in range(first, len(ids))])


# Scoring --------------------------------------------------------------------------------------------


def test_it_is_a_model(local: LocalModel) -> None:
    assert isinstance(local, Model)
    assert local.batch_sensitive
    assert local.parameters == sum(weight.numel() for weight in local.network.parameters())


def test_a_batch_scores_as_each_pair_alone_and_unpadded(local: LocalModel) -> None:
    for pair, scores in zip(PAIRS, local.score(PAIRS), strict=True):
        wanted = _naive(local, pair)
        assert scores.log_prob.shape == wanted.shape
        assert scores.log_prob.dtype == np.float64
        np.testing.assert_allclose(scores.log_prob, wanted, atol=1e-4)


def test_trailing_white_space_moves_to_the_continuation(local: LocalModel) -> None:
    moved, plain = local.score([Pair("The kettle is ", "navy"), Pair("The kettle is", " navy")])
    np.testing.assert_allclose(moved.log_prob, plain.log_prob, atol=1e-5)
    broken, joined = local.score([Pair("Yes.\n", "No"), Pair("Yes.", "\nNo")])
    np.testing.assert_allclose(broken.log_prob, joined.log_prob, atol=1e-5)


def test_white_space_at_the_end_of_a_continuation_is_scored(local: LocalModel) -> None:
    short, long = local.score([Pair("It is", " navy"), Pair("It is", " navy\n")])
    assert len(long.log_prob) == len(short.log_prob) + 1


def test_each_byte_of_a_chinese_character_is_scored_once(local: LocalModel) -> None:
    assert len(local.score([Pair("评价：", "鑫")])[0].log_prob) == 3
    whole, context, rest = local.score([Pair("评价：", "很鑫好"), Pair("评价：", "很"), Pair("评价：很", "鑫好")])
    assert math.isclose(whole.total, context.total + rest.total, abs_tol=1e-4)


def test_a_span_scores_the_tokens_that_begin_in_it(local: LocalModel) -> None:
    context, continuation = "The kettle", " is navy and holds 1.7 litres."
    start = continuation.index("navy")
    whole, span, none = local.score(
        [
            Pair(context, continuation),
            Pair(context, continuation, (start, start + 4)),
            Pair(context, continuation, (3, 3)),
        ]
    )
    before, upto = local.score([Pair(context, continuation[: start - 1]), Pair(context, continuation[: start + 4])])
    assert span.log_prob.size == upto.log_prob.size - before.log_prob.size > 0
    np.testing.assert_allclose(span.log_prob, whole.log_prob[before.log_prob.size : upto.log_prob.size], atol=1e-5)
    assert none.log_prob.size == 0
    assert math.isnan(none.mean)


def test_columns_follow_their_definitions(local: LocalModel) -> None:
    import torch

    pair = Pair("<|begin|>The kettle is" if local.name == "llama" else "The kettle is", " navy")
    ids = local.encoder.tokenizer(pair.context + pair.continuation, add_special_tokens=False)["input_ids"]
    prefix = local.encoder.prefix
    scores = local.score([pair, *PAIRS], ALL)[0]
    size = len(scores.log_prob)
    with torch.inference_mode():
        logits = local.network(torch.tensor([prefix + ids])).logits[0].double().numpy()[-size - 1 : -1]
    log_prob = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    probability = np.exp(log_prob)
    mean = (probability * log_prob).sum(-1)
    assert scores.expected_log_prob is not None
    assert scores.log_prob_variance is not None
    assert scores.rank is not None
    np.testing.assert_allclose(scores.expected_log_prob, mean, atol=1e-4)
    np.testing.assert_allclose(
        scores.log_prob_variance, (probability * (log_prob - mean[:, None]) ** 2).sum(-1), rtol=1e-3, atol=1e-5
    )
    ranks = [1 + int((row > row[token]).sum()) for row, token in zip(logits, ids[-size:], strict=True)]
    assert scores.rank.tolist() == ranks
    assert scores.rank.dtype == np.int64


def test_columns_that_were_not_asked_for_are_none(local: LocalModel) -> None:
    scores = local.score(PAIRS[:1], Columns.LOG_PROB | Columns.RANK)[0]
    assert scores.expected_log_prob is None
    assert scores.log_prob_variance is None
    assert scores.rank is not None


def test_a_network_that_caps_its_logits_is_scored_by_its_own_logits(tokenizers: dict[str, Any]) -> None:
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    tokenizer = tokenizers["llama"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Gemma2ForCausalLM(
            Gemma2Config(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=8,
                max_position_embeddings=96,
                final_logit_softcapping=0.5,
                pad_token_id=0,
                eos_token_id=0,
                bos_token_id=1,
            )
        ).eval()
    model = LocalModel(network, tokenizer, name="gemma")
    for pair, scores in zip(PAIRS, model.score(PAIRS), strict=True):
        np.testing.assert_allclose(scores.log_prob, _naive(model, pair), atol=1e-4)
    request = Generate(Prompt("navy"), Sampling(max_new_tokens=6), raw=True)
    assert (
        model.generate([request, Generate(Prompt("The kettle is"), Sampling(max_new_tokens=9), raw=True)])[0]
        == (model.generate([request])[0])
    )


def test_a_plan_gives_the_same_bits_batch_by_batch(local: LocalModel) -> None:
    pairs = [Pair(text[:20], text[20:]) for text in TEXTS]
    together = local.score(pairs)
    plan = local.plan(pairs)
    assert len(plan) > 1
    for batch in plan:
        for i, scores in zip(batch, local.score([pairs[i] for i in batch]), strict=True):
            assert np.array_equal(scores.log_prob, together[i].log_prob)


def test_a_long_context_loses_its_beginning_and_says_so(tokenizers: dict[str, Any]) -> None:
    model = LocalModel(make_network("gpt2", len(tokenizers["gpt2"]), context=24), tokenizers["gpt2"], name="short")
    ids = model.encoder.tokenizer("The kettle is navy. " * 12 + "It holds")["input_ids"]
    kept = model.encoder.tokenizer.decode(ids[-24:])
    long, short = model.score(
        [Pair("The kettle is navy. " * 12, "It holds"), Pair(kept[: -len("It holds")], "It holds")]
    )
    np.testing.assert_allclose(long.log_prob, short.log_prob, atol=1e-4)
    assert model.notes == ["a scored text was longer than the model's context (1 times)"]


def test_no_token_of_a_long_continuation_is_dropped(tokenizers: dict[str, Any]) -> None:
    model = LocalModel(make_network("gpt2", len(tokenizers["gpt2"]), context=24), tokenizers["gpt2"], name="short")
    text = " ".join(TEXTS[:8])
    scores = model.score([Pair("", text), Pair("", "navy")])[0]
    assert len(scores.log_prob) == len(model.encoder.tokenizer(text)["input_ids"])
    assert np.isfinite(scores.log_prob).all()


@pytest.mark.parametrize(("size", "first"), [(10, 1), (24, 1), (25, 1), (60, 1), (60, 36), (60, 37), (200, 150)])
def test_windows_score_each_token_once_with_half_a_context_before_it(size: int, first: int) -> None:
    ids = tuple(range(size))
    seen = []
    for window in windows(Encoded(ids, tuple(range(first, size))), 24):
        assert len(window.ids) <= 24
        seen += [window.ids[place] for place in window.scored]
        assert all(place >= min(window.ids[place], 12 if size - first >= 24 else 1) for place in window.scored)
    assert seen == list(range(first, size))


def test_logits_that_are_not_finite_score_nan_and_refuse_to_write(tokenizers: dict[str, Any]) -> None:
    import torch

    network = make_network("gpt2", len(tokenizers["gpt2"]))
    with torch.no_grad():
        network.lm_head.weight[5] = torch.nan
    model = LocalModel(network, tokenizers["gpt2"], name="broken")
    assert np.isnan(model.score([Pair("The kettle", " is")])[0].log_prob).all()
    with pytest.raises(FloatingPointError, match="The kettle is"):
        model.generate([Generate(Prompt("The kettle is"))])


def test_an_empty_text_without_a_token_to_begin_with_is_unsupported(tokenizers: dict[str, Any]) -> None:
    tokenizer = make_tokenizer(begin=False)
    tokenizer.eos_token = None
    model = LocalModel(make_network("gpt2", len(tokenizer)), tokenizer, name="bare")
    assert len(model.score([Pair("The", " kettle")])[0].log_prob) > 0
    with pytest.raises(Unsupported, match="begin"):
        model.score([Pair("", "kettle")])


# Writing --------------------------------------------------------------------------------------------


def _requests(sampling: Sampling = SHORT) -> list[Generate]:
    prompts = ["Is", "The kettle is navy and holds", "这条评价是正面还是负面？", "A long prompt. " * 6, "I would"]
    return [Generate(Prompt(text), sampling, raw=True) for text in prompts]


def _their_ids(model: LocalModel, request: Generate) -> list[int]:
    import torch

    ids = torch.tensor(model.encoder.prompts([request]))
    with torch.random.fork_rng():
        out = model.network.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=request.sampling.max_new_tokens,
            pad_token_id=0,
        )
    return list(out[0, ids.shape[1] :].tolist())


def _theirs(model: LocalModel, request: Generate) -> str:
    return str(model.encoder.tokenizer.decode(_their_ids(model, request), skip_special_tokens=True))


def test_greedy_texts_of_a_padded_batch_are_those_of_transformers_one_by_one(local: LocalModel) -> None:
    requests = [*_requests(), Generate(Prompt("navy"), Sampling(max_new_tokens=3), raw=True)]
    texts = local.generate(requests)
    assert texts == [_theirs(local, request) for request in requests]
    assert len(set(texts)) > 2


def test_a_text_ends_at_each_end_token_of_the_generation_config(local: LocalModel) -> None:
    request = _requests()[1]
    ids = _their_ids(local, request)
    end = next(token for token in ids[2:] if token not in ids[:2])
    configuration = local.network.generation_config
    configuration.eos_token_id = [0, end]
    try:
        ending = LocalModel(local.network, local.encoder.tokenizer, name="ending")
        assert ending.generate(_requests())[1] == local.encoder.tokenizer.decode(ids[: ids.index(end)])
        assert _their_ids(ending, request) == ids[: ids.index(end) + 1]
    finally:
        configuration.eos_token_id = 0


def test_sampled_texts_do_not_depend_on_neighbours_or_on_the_global_seed(local: LocalModel) -> None:
    import torch

    sampling = Sampling(max_new_tokens=10, temperature=1.0, n=3, seed=4)
    requests = _requests(sampling)
    state = torch.random.get_rng_state()
    together = local.generate([*requests, *_requests(Sampling(max_new_tokens=20, temperature=0.5, top_k=3))])
    assert torch.equal(state, torch.random.get_rng_state())
    alone = [text for request in reversed(requests) for text in local.generate([request])]
    assert together[:15] == [text for i in reversed(range(5)) for text in alone[3 * i : 3 * i + 3]]
    assert len(set(together[:15])) > 12
    other = local.generate(_requests(Sampling(max_new_tokens=10, temperature=1.0, n=3, seed=5)))
    assert other != together[:15]


def test_samples_are_drawn_from_the_model_s_distribution(local: LocalModel) -> None:
    import torch

    request = Generate(Prompt("The kettle is"), Sampling(1, temperature=1.0, n=400, seed=9), raw=True)
    texts = local.generate([request])
    with torch.inference_mode():
        probability = local.network(torch.tensor(local.encoder.prompts([request]))).logits[0, -1].softmax(-1)
    expected: dict[str, float] = {}
    for token, value in enumerate(probability.tolist()):
        text = local.encoder.decoded([token])
        expected[text] = expected.get(text, 0.0) + value
    for text in sorted(expected, key=lambda text: -expected[text])[:3]:
        sd = math.sqrt(expected[text] * (1 - expected[text]) / 400)
        assert abs(texts.count(text) / 400 - expected[text]) < 4.5 * sd


def test_stop_strings_end_a_text_and_are_not_part_of_it(local: LocalModel) -> None:
    plain = local.generate(_requests())
    mark = plain[1][4:6]
    stopped = local.generate(_requests(Sampling(max_new_tokens=12, stop=(mark,))))
    assert stopped[1] == plain[1][: plain[1].index(mark)]
    assert all(mark not in text for text in stopped)


def test_a_plan_of_prompts_gives_the_same_texts_batch_by_batch(local: LocalModel) -> None:
    requests = [Generate(Prompt(text), Sampling(4), raw=True) for text in TEXTS]
    together = local.generate(requests)
    plan = local.plan(requests)
    assert len(plan) > 1
    assert {i: text for b in plan for i, text in zip(b, local.generate([requests[i] for i in b]), strict=True)} == dict(
        enumerate(together)
    )


def test_a_prompt_longer_than_the_context_keeps_its_end(tokenizers: dict[str, Any]) -> None:
    model = LocalModel(make_network("gpt2", len(tokenizers["gpt2"]), context=24), tokenizers["gpt2"], name="short")
    long = Generate(Prompt("The kettle is navy. " * 12), Sampling(max_new_tokens=8))
    kept = model.encoder.tokenizer.decode(model.encoder.prompts([long])[0][-16:])
    neighbour = Generate(Prompt("Is"), Sampling(max_new_tokens=200))
    assert (
        model.generate([long, neighbour])[0] == model.generate([Generate(Prompt(kept), Sampling(max_new_tokens=8))])[0]
    )
    assert model.notes == ["a prompt lost its beginning to fit the model's context (1 times)"]
    # The long one ends first, at the last place of the context, and is carried along while two others go on.
    other = Generate(Prompt("I"), Sampling(max_new_tokens=200))
    assert model.generate([neighbour, other, long])[:2] == model.generate([neighbour]) + model.generate([other])


def test_a_chat_model_reads_its_template_with_one_beginning(tokenizers: dict[str, Any]) -> None:
    model = LocalModel(make_network("llama", len(tokenizers["llama"])), tokenizers["llama"], name="chat")
    prompt = Prompt((Turn("user", "Hi"), Turn("assistant", "Yes?"), Turn("user", "Navy?")), system="Be short.")
    chat, raw = Generate(prompt), Generate(prompt, raw=True)
    assert (
        model.encoder.rendered(chat)
        == "<|begin|><system>Be short.\n<user>Hi\n<assistant>Yes?\n<user>Navy?\n<assistant>"
    )
    assert model.encoder.rendered(raw) == "Be short.\n\nHi\nYes?\nNavy?"
    for ids in model.encoder.prompts([chat, raw]):
        assert ids.count(model.encoder.tokenizer.bos_token_id) == 1
        assert ids[0] == model.encoder.tokenizer.bos_token_id
    assert model.generate([chat]) != model.generate([raw])


def test_a_template_without_a_system_role_reads_it_in_the_first_turn() -> None:
    refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    tokenizer = make_tokenizer(begin=True, chat=refuse + CHAT)
    model = LocalModel(make_network("llama", len(tokenizer)), tokenizer, name="chat")
    rendered = model.encoder.rendered(Generate(Prompt("Hi", system="Be short.")))
    assert rendered == "<|begin|><user>Be short.\n\nHi\n<assistant>"
