from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_networks import TEXTS, make_kind, make_tokenizer

from shoplm_audit.errors import ModelError, Unsupported
from shoplm_audit.models.classifier import ClassifierModel
from shoplm_audit.training.tokenizer import learn_tokenizer
from shoplm_audit.types import Columns, Generate, Pair, Prompt

NAMES = {0: "negative", 1: "Neutral", 2: "positive"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return learn_tokenizer(TEXTS, 420, "classify")


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> ClassifierModel:
    return ClassifierModel(make_kind("labels", len(tokenizer), id2label=NAMES), tokenizer, name="stars")


def told(model: ClassifierModel, text: str, **options: Any) -> Any:
    """The log-probabilities of all labels, by one call on this text alone, (L,)."""
    import torch

    ids = model.encoder.tokenizer(text, **options)["input_ids"]
    with torch.inference_mode():
        return model.network(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()


def test_a_pair_has_the_log_probability_of_its_own_label_of_its_own_text(model: ClassifierModel) -> None:
    pairs = [Pair(text, name) for text in TEXTS[:9] for name in NAMES.values()]
    found = model.score(pairs)
    assert {scores.log_prob.shape for scores in found} == {(1,)}
    expected = np.concatenate([told(model, text) for text in TEXTS[:9]])
    np.testing.assert_allclose([scores.total for scores in found], expected, atol=1e-5)
    assert np.ptp(expected.reshape(9, 3), axis=0).min() > 0.01  # texts differ, so another row's number would be seen
    alone = [model.score([pair])[0].total for pair in pairs]
    np.testing.assert_allclose([scores.total for scores in found], alone, atol=1e-5)


def test_a_text_is_read_once_for_all_its_labels(model: ClassifierModel) -> None:
    pairs = [Pair(text, name) for name in NAMES.values() for text in (*TEXTS[:9], TEXTS[0])]
    sizes = []
    with model.network.base_model.embeddings.register_forward_hook(lambda *call: sizes.append(len(call[2]))):
        found = model.score(pairs)
    assert sum(sizes) == 9
    for pair, scores in zip(pairs, found, strict=True):
        number = list(NAMES.values()).index(pair.continuation)
        assert scores.total == pytest.approx(told(model, pair.context)[number], abs=1e-5)
    lengths = [len(model.encoder.tokenizer(text)["input_ids"]) for text in TEXTS[:9]]
    assert model.tokens_of(pairs) == (3 * (sum(lengths) + lengths[0]), sum(lengths))


def test_the_other_columns_are_taken_over_the_labels(model: ClassifierModel) -> None:
    (found,) = model.score([Pair(TEXTS[0], "positive")], Columns.LOG_PROB | Columns.EXPECTED | Columns.RANK)
    each = told(model, TEXTS[0])
    assert found.expected_log_prob is not None
    assert found.rank is not None
    assert found.expected_log_prob[0] == pytest.approx((np.exp(each) * each).sum(), abs=1e-5)
    assert found.rank.tolist() == [1 + (each > each[2]).sum()]


@pytest.mark.parametrize("label", ["Negative", " negative", "negative\n", "NEGATIVE"])
def test_labels_are_told_without_regard_to_case_and_space(label: str, model: ClassifierModel) -> None:
    assert model.score([Pair("It leaks.", label)])[0].total == model.score([Pair("It leaks.", "negative")])[0].total


def test_an_unknown_label_names_the_known_ones_and_keeps_the_text_to_itself(model: ClassifierModel) -> None:
    with pytest.raises(Unsupported, match='"negative", "Neutral", "positive"') as fault:
        model.score([Pair("It leaks.", "negative"), Pair("", "Mira's card is 4711")])
    assert "4711" not in str(fault.value)
    with pytest.raises(Unsupported, match='"negative"'):
        model.score([Pair("It leaks.", "negative", (0, 8))])
    with pytest.raises(Unsupported, match="classifier"):
        model.generate([Generate(Prompt("Hi"))])


def test_a_long_text_loses_its_end_as_in_training_and_is_counted(tokenizer: Any) -> None:
    model = ClassifierModel(make_kind("labels", len(tokenizer), context=16, id2label=NAMES), tokenizer, name="short")
    long = "The strap broke after two days. " * 5
    found = model.score([Pair(long, "negative"), Pair(long, "positive"), Pair("Fine.", "positive")])
    expected = told(model, long, truncation=True, max_length=16)
    assert [scores.total for scores in found[:2]] == pytest.approx(expected[[0, 2]].tolist(), abs=1e-5)
    assert model.notes == ["a classified text lost its end to fit the model's context (1 times)"]


def test_a_decoder_with_a_head_finds_the_end_of_each_text_beside_longer_ones() -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    tokenizer = make_tokenizer(begin=False)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2, id2label=NAMES)
    config.pad_token_id = None
    network = GPT2ForSequenceClassification(config).eval()
    for weight in network.parameters():
        weight.data.mul_(6.0 if weight.dim() > 1 else 1.0)
    model = ClassifierModel(network, tokenizer, name="decoder")
    pairs = [Pair(text, "positive") for text in ("Fine.", *TEXTS[:4])]
    expected = [told(model, pair.context)[2] for pair in pairs]
    np.testing.assert_allclose([scores.total for scores in model.score(pairs)], expected, atol=1e-5)
    assert math.isfinite(model.score([Pair("", "positive")])[0].total)


@pytest.mark.parametrize("settings", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}])
def test_a_head_that_does_not_choose_one_label_is_refused(settings: dict[str, Any], tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="one label of several"):
        ClassifierModel(make_kind("labels", len(tokenizer), **settings), tokenizer, name="stars")


def test_two_texts_are_read_as_the_pair_that_the_tokenizer_makes_of_them(model: ClassifierModel) -> None:
    import torch

    from shoplm_audit.models.classifier import PARTED

    premise, claim = TEXTS[0], TEXTS[1]
    read = model.encoder.tokenizer(premise, claim, return_tensors="pt", return_token_type_ids=True)
    assert read["token_type_ids"].any()
    with torch.inference_mode():
        expected = model.network(**read).logits[0].double().log_softmax(-1).numpy()
    mixed = [Pair(f"{premise}{PARTED}{claim}", name) for name in NAMES.values()] + [Pair(premise, "positive")]
    found = [scores.total for scores in model.score(mixed)]
    np.testing.assert_allclose(found[:3], expected, atol=1e-5)
    assert found[3] == pytest.approx(told(model, premise)[2], abs=1e-5)
    long = model.score([Pair(f"{premise * 40}{PARTED}{claim}", "positive")])[0].total
    assert math.isfinite(long)
