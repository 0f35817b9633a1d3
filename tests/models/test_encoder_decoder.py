from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_networks import TEXTS, make_kind, make_tokenizer

from shoplm_audit.errors import ModelError
from shoplm_audit.models.encoder_decoder import EncoderDecoderModel
from shoplm_audit.training.tokenizer import learn_tokenizer
from shoplm_audit.types import Columns, Generate, Pair, Prompt, Sampling

PAIRS = [
    Pair("The kettle is", " navy and holds 1.7 litres."),
    Pair("Is this review positive or negative? The strap broke after two days.", " negative"),
    Pair("这款水壶是", "藏青色的"),
    Pair("I would buy it again.", " negative"),
    Pair("", "I would buy it again."),
]
PROMPTS = [
    "The kettle is",
    "这条评价是正面还是负面？",
    "Is",
    "Write a product description that states only these facts.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return learn_tokenizer(TEXTS, 420, "seq2seq")


@pytest.fixture(scope="module", params=["t5", "bart"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> EncoderDecoderModel:
    return EncoderDecoderModel(make_kind(request.param, len(tokenizer)), tokenizer, name=request.param)


def ids_of(model: EncoderDecoderModel, text: str) -> list[int]:
    return list(model.encoder.tokenizer(text, add_special_tokens=False)["input_ids"])


def requests_of(sampling: Sampling) -> list[Generate]:
    return [Generate(Prompt(text), sampling) for text in PROMPTS]


# Scoring --------------------------------------------------------------------------------------------


def test_a_score_is_the_network_s_own_loss_of_the_answer_as_labels(model: EncoderDecoderModel) -> None:
    import torch

    end = model.encoder.tokenizer.eos_token_id
    for pair, found in zip(PAIRS, model.score(PAIRS), strict=True):
        labels = ids_of(model, pair.continuation.strip())
        with torch.inference_mode():
            source = torch.tensor([[*ids_of(model, pair.context), end]])
            loss = model.network(input_ids=source, labels=torch.tensor([labels])).loss
        assert found.log_prob.shape == (len(labels),)
        assert -found.mean == pytest.approx(loss.item(), abs=2e-5)


def test_numbers_do_not_depend_on_the_batch(model: EncoderDecoderModel) -> None:
    every = Columns.LOG_PROB | Columns.EXPECTED | Columns.RANK
    together = model.score([*PAIRS, *(Pair(text, "navy") for text in TEXTS[:9])], every)
    for pair, found in zip(PAIRS, together[:5], strict=True):
        (alone,) = model.score([pair], every)
        np.testing.assert_allclose(alone.log_prob, found.log_prob, atol=1e-4)
        np.testing.assert_array_equal(alone.rank, found.rank)
    assert abs(together[1].total - together[3].total) > 1e-2  # one answer, two sources


def test_a_source_of_several_answers_is_encoded_once(model: EncoderDecoderModel) -> None:
    pairs = [Pair(pair.context, f" {end}") for pair in PAIRS for end in ("navy", "positive", "negative and red")]
    alone = [model.score([pair])[0].log_prob for pair in pairs]
    shapes = []
    with model.network.get_encoder().register_forward_hook(lambda *call: shapes.append(call[2][0].shape)):
        found = model.score([*pairs, *pairs[:4]])
    assert [shape[0] for shape in shapes] == [len(PAIRS)]
    for scores, wanted in zip(found, [*alone, *alone[:4]], strict=True):
        np.testing.assert_allclose(scores.log_prob, wanted, atol=1e-4)
    sources = sum(len(ids_of(model, pair.context)) + 1 for pair in PAIRS)
    answers = [1 + len(ids_of(model, pair.continuation.strip())) for pair in pairs]
    assert model.tokens_of(pairs) == (3 * sources + sum(answers), sources + sum(answers))


def test_a_span_of_the_continuation_is_scored_in_its_place(model: EncoderDecoderModel) -> None:
    whole, part = model.score([Pair("The kettle", " is navy"), Pair("The kettle", " is navy", (4, 8))])
    kept = len(ids_of(model, " navy"))
    np.testing.assert_allclose(part.log_prob, whole.log_prob[-kept:], atol=1e-4)
    assert len(part.log_prob) == kept < len(whole.log_prob)


def test_what_is_too_long_is_cut_or_read_in_windows_and_counted(tokenizer: Any) -> None:
    model = EncoderDecoderModel(make_kind("bart", len(tokenizer), context=20), tokenizer, name="short")
    long = "The kettle is navy. " * 6
    kept = tokenizer.decode(ids_of(model, long)[:19])
    (cut, same) = model.score([Pair(long, "navy"), Pair(kept, "navy")])
    np.testing.assert_allclose(cut.log_prob, same.log_prob, atol=1e-4)
    (windowed,) = model.score([Pair("Is", long.strip())])
    assert len(windowed.log_prob) == len(ids_of(model, long.strip()))
    (start,) = model.score([Pair("Is", tokenizer.decode(ids_of(model, long)[:19]))])
    np.testing.assert_allclose(windowed.log_prob[:10], start.log_prob[:10], atol=1e-4)
    asked = model.generate([Generate(Prompt(long), Sampling(40)), Generate(Prompt(kept), Sampling(40))])
    assert asked[0] == asked[1]
    assert model.notes == [
        "a prompt lost its end to fit the model's context (1 times)",
        "a scored text was longer than the model's context (1 times)",
        "a source lost its end to fit the model's context (1 times)",
    ]


def test_logits_of_a_large_vocabulary_do_not_pile_up(model: EncoderDecoderModel, monkeypatch: Any) -> None:
    """The same numbers where a batch may hold the logits of a few tokens only."""
    whole = model.score(PAIRS)
    sizes = []
    monkeypatch.setattr("shoplm_audit.models.encoder_decoder._LOGITS", 12 * 420)
    told = model._told
    monkeypatch.setattr(model, "_told", lambda rows, columns: sizes.append(len(rows)) or told(rows, columns))
    for one, other in zip(whole, model.score(PAIRS), strict=True):
        np.testing.assert_allclose(one.log_prob, other.log_prob, atol=1e-4)
    assert len(sizes) > 2


# Writing --------------------------------------------------------------------------------------------


def theirs(model: EncoderDecoderModel, text: str, length: int) -> str:
    import torch
    from transformers import GenerationConfig

    plain = GenerationConfig(
        max_new_tokens=length, do_sample=False, eos_token_id=0, pad_token_id=1, decoder_start_token_id=2
    )
    source = torch.tensor([[*ids_of(model, text), 0]])
    out = model.network.generate(source, attention_mask=torch.ones_like(source), generation_config=plain)
    return str(model.encoder.tokenizer.decode(out[0], skip_special_tokens=True))


def test_greedy_texts_of_a_padded_batch_are_those_of_transformers_one_by_one(model: EncoderDecoderModel) -> None:
    model.network.generation_config.forced_eos_token_id = None
    texts = model.generate([*requests_of(Sampling(12)), Generate(Prompt("navy"), Sampling(3))])
    assert texts == [*(theirs(model, text, 12) for text in PROMPTS), theirs(model, "navy", 3)]
    assert len(set(texts)) > 2


def test_sampled_texts_do_not_depend_on_neighbours(model: EncoderDecoderModel) -> None:
    sampling = Sampling(max_new_tokens=10, temperature=1.0, n=3, seed=4)
    together = model.generate([*requests_of(sampling), *requests_of(Sampling(20, temperature=0.5, top_k=3))])[:12]
    assert together == [text for request in requests_of(sampling) for text in model.generate([request])]
    assert len(set(together)) > 8
    assert together != model.generate(requests_of(Sampling(max_new_tokens=10, temperature=1.0, n=3, seed=5)))


def test_stops_and_beams_are_those_of_every_model_that_writes(model: EncoderDecoderModel) -> None:
    plain = model.generate(requests_of(Sampling(12)))
    mark = next(text[2:4] for text in plain if len(text) > 4)
    assert all(mark not in text for text in model.generate(requests_of(Sampling(12, stop=(mark,)))))
    wide = requests_of(Sampling(8, beams=3, n=2))
    assert model.generate(wide) == [text for request in wide for text in model.generate([request])]


def test_a_source_is_encoded_once(model: EncoderDecoderModel) -> None:
    calls = []
    with model.network.get_encoder().register_forward_hook(lambda *_: calls.append(1)):
        model.generate(requests_of(Sampling(12)))
    assert len(calls) == 1


def test_the_token_that_begins_answers_has_to_be_known(tokenizer: Any) -> None:
    network = make_kind("t5", len(tokenizer))
    network.config.decoder_start_token_id = None
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        EncoderDecoderModel(network, tokenizer, name="t5")


def test_a_tokenizer_that_frames_its_texts_frames_source_and_answer() -> None:
    """As that of BART does: a beginning of its own stands before both, and is not scored."""
    import torch

    tokenizer = make_tokenizer(begin=True)
    model = EncoderDecoderModel(make_kind("bart", len(tokenizer)), tokenizer, name="framed")
    (found,) = model.score([Pair("The kettle is", " navy")])
    source = torch.tensor([[1, *ids_of(model, "The kettle is"), 0]])
    labels = torch.tensor([[1, *ids_of(model, "navy")]])
    with torch.inference_mode():
        logits = model.network(input_ids=source, labels=labels).logits[0].double().log_softmax(-1)
    expected = [logits[i, token].item() for i, token in enumerate(labels[0].tolist())][1:]
    np.testing.assert_allclose(found.log_prob, expected, atol=1e-4)
