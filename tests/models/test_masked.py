from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from small_networks import TEXTS, make_kind, make_tokenizer

from shoplm_audit.errors import ModelError, Unsupported
from shoplm_audit.models.masked import MaskedModel
from shoplm_audit.training.tokenizer import learn_tokenizer
from shoplm_audit.types import Columns, Generate, Pair, Prompt

PAIRS = [
    Pair("The kettle is", " navy and holds 1.7 litres."),
    Pair("这款水壶是", "藏青色的"),
    Pair("", "I would buy it again."),
    Pair("Is this review positive or negative? ", "negative"),
    Pair("The strap broke after two days.", " Write a product", (1, 6)),
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return learn_tokenizer(TEXTS, 420, "masked")


@pytest.fixture(scope="module", params=["bert", "pretraining", "roberta"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> MaskedModel:
    return MaskedModel(make_kind(request.param, len(tokenizer)), tokenizer, name=request.param)


def told(model: MaskedModel, ids: Sequence[int], place: int) -> Any:
    """The log-probabilities at a place of a text that is masked there, by one call on this text alone, (V,)."""
    import torch

    seen = list(ids)
    seen[place] = model.encoder.tokenizer.mask_token_id
    with torch.inference_mode():
        answer = model.network(torch.tensor([seen]))
    logits = answer.prediction_logits if "prediction_logits" in answer else answer.logits
    return logits[0, place].double().log_softmax(-1).numpy()


def scored(model: MaskedModel, pair: Pair) -> tuple[list[int], list[int]]:
    """The framed tokens of a pair, and the places that are scored, found by the characters they stand for."""
    text = pair.context + pair.continuation
    coded = model.encoder.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    start, end = pair.span or (len(pair.context.rstrip()) - len(pair.context), len(pair.continuation))
    pieces = [(begin, text[begin:stop]) for begin, stop in coded["offset_mapping"]]
    first = [begin + (len(piece) - len(piece.lstrip()) if piece.strip() else 0) for begin, piece in pieces]
    inside = zip(first, coded["special_tokens_mask"], strict=True)
    places = [i for i, (at, special) in enumerate(inside) if not special and start <= at - len(pair.context) < end]
    return coded["input_ids"], places


def test_each_token_is_masked_in_turn_and_told_from_all_the_others(model: MaskedModel) -> None:
    for pair, found in zip(PAIRS, model.score(PAIRS), strict=True):
        ids, places = scored(model, pair)
        expected = [told(model, ids, place)[ids[place]] for place in places]
        assert len(expected) > 1
        np.testing.assert_allclose(found.log_prob, expected, atol=2e-5)


def test_the_other_columns_are_those_of_the_masked_places(model: MaskedModel) -> None:
    every = Columns.LOG_PROB | Columns.EXPECTED | Columns.VARIANCE | Columns.RANK
    (found,) = model.score(PAIRS[:1], every)
    ids, places = scored(model, PAIRS[0])
    for i, place in enumerate(places):
        each = told(model, ids, place)
        mean = (np.exp(each) * each).sum()
        assert found.expected_log_prob is not None
        assert found.log_prob_variance is not None
        assert found.rank is not None
        assert found.expected_log_prob[i] == pytest.approx(mean, abs=1e-4)
        assert found.log_prob_variance[i] == pytest.approx((np.exp(each) * (each - mean) ** 2).sum(), abs=1e-3)
        assert found.rank[i] == 1 + (each > each[ids[place]]).sum()
    assert model.score(PAIRS[:1])[0].rank is None


def test_a_network_that_copies_what_it_reads_is_not_believed(tokenizer: Any) -> None:
    """It gives every visible token probability one: only where the token is really hidden does it know nothing."""
    from torch.nn import functional
    from transformers import BertForMaskedLM
    from transformers.modeling_outputs import MaskedLMOutput

    class Copier(BertForMaskedLM):  # type: ignore[misc]
        def forward(self, input_ids: Any, attention_mask: Any = None) -> MaskedLMOutput:
            return MaskedLMOutput(logits=30.0 * functional.one_hot(input_ids, len(tokenizer)).float())

    honest = make_kind("bert", len(tokenizer))
    model = MaskedModel(Copier(honest.config), tokenizer, name="copier")
    for found in model.score(PAIRS):
        assert found.log_prob.max() < -25


def test_numbers_do_not_depend_on_the_batch(model: MaskedModel) -> None:
    together = model.score([*PAIRS, *(Pair("", text) for text in TEXTS[:9])])
    for pair, found in zip(PAIRS, together[:5], strict=True):
        np.testing.assert_allclose(model.score([pair])[0].log_prob, found.log_prob, atol=2e-5)


def test_equal_rows_are_read_once(model: MaskedModel) -> None:
    sizes = []
    with model.network.base_model.embeddings.register_forward_hook(lambda *call: sizes.append(len(call[2]))):
        found = model.score([*PAIRS, *PAIRS])
    assert sum(sizes) == sum(len(scores.log_prob) for scores in found[:5])
    for one, other in zip(found[:5], found[5:], strict=True):
        assert np.array_equal(one.log_prob, other.log_prob)
    asked, computed = model.tokens_of([*PAIRS, *PAIRS])
    assert asked == 2 * computed


def test_what_follows_the_scored_part_is_seen(model: MaskedModel) -> None:
    first, second = model.score([Pair("", "The kettle is navy", (4, 10)), Pair("", "The kettle is broken", (4, 10))])
    assert not np.allclose(first.log_prob, second.log_prob, atol=1e-3)


@pytest.mark.parametrize("shape", ["bert", "roberta"])
def test_of_a_text_longer_than_the_context_each_token_is_told_from_what_fits_around_it(
    shape: str, tokenizer: Any
) -> None:
    model = MaskedModel(make_kind(shape, len(tokenizer), context=24), tokenizer, name="short")
    assert model.context == (24 if shape == "bert" else 22)  # RoBERTa's first two places are never a token's
    pair = Pair("The kettle is navy. " * 6, "Is this review positive or negative? " * 6)
    (found,) = model.score([pair, pair])[:1]
    ids, places = scored(model, pair)
    room = model.context - 2
    for place, log_prob in zip(places, found.log_prob, strict=True):
        start = min(max(1, place - room // 2), len(ids) - 1 - room)
        seen = [ids[0], *ids[start : start + room], ids[-1]]
        assert log_prob == pytest.approx(told(model, seen, place - start + 1)[ids[place]], abs=2e-5)
    assert model.notes == ["a scored text was longer than the model's context (1 times)"]


def test_a_text_that_just_fits_is_not_noted(tokenizer: Any) -> None:
    text = "The kettle is navy and holds 1.7 litres."
    size = len(tokenizer(text)["input_ids"])
    for context, notes in ((size, 0), (size - 1, 1)):
        model = MaskedModel(make_kind("bert", len(tokenizer), context=context), tokenizer, name="short")
        model.score([Pair("", text)])
        assert len(model.notes) == notes


def test_a_masked_model_writes_nothing_and_needs_a_mask(model: MaskedModel) -> None:
    with pytest.raises(Unsupported, match="masked model"):
        model.generate([Generate(Prompt("Hi"))])
    with pytest.raises(ModelError, match="no mask token"):
        MaskedModel(model.network, make_tokenizer(begin=False), name="maskless")
