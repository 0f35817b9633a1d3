from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import TEXTS
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.transformer import (
    FeedForward,
    Layer,
    MultiHeadAttention,
    TransformerConfig,
    TransformerForCausalLM,
    attention,
    causal_mask,
    sinusoids,
)
from shoplm_audit.types import Generate, Pair, Prompt, Sampling

SIZES = {"vocab_size": 60, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4}


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _network(seed: int = 0, **sizes: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TransformerForCausalLM(TransformerConfig(**SIZES | {"eos_token_id": 0} | sizes)).eval()


def _tokens(rows: int, count: int) -> torch.Tensor:
    return torch.randint(1, 60, (rows, count), generator=_generator(1))


# Attention ------------------------------------------------------------------------------------------


def test_attention_by_hand() -> None:
    """Two tokens of one feature pair: scores 0 and ln 3 after the division by sqrt(2) weigh the values 1 : 3."""
    query = torch.tensor([[math.sqrt(2) * math.log(3), 0.0]], dtype=torch.float64)
    key = torch.tensor([[0.0, 5.0], [1.0, -7.0]], dtype=torch.float64)
    value = torch.tensor([[8.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(attention(query, key, value), torch.tensor([[2.0, 3.0]], dtype=torch.float64))
    first = attention(query, key, value, torch.tensor([[True, False]]))
    torch.testing.assert_close(first, value[:1])


def test_attention_is_its_formula_sum_by_sum() -> None:
    query, key, value = (
        torch.randn(2, 3, length, 5, dtype=torch.float64, generator=_generator(length)) for length in (4, 6, 6)
    )
    mask = torch.rand(2, 1, 4, 6, generator=_generator(9)) < 0.6
    mask[..., 0] = True
    found = attention(query, key, value, mask)
    for row, head, token in [(0, 0, 0), (1, 2, 3), (1, 0, 2)]:
        weights = [
            math.exp(float(query[row, head, token] @ key[row, head, other]) / math.sqrt(5)) * bool(allowed)
            for other, allowed in enumerate(mask[row, 0, token])
        ]
        wanted = sum(w * value[row, head, other] for other, w in enumerate(weights)) / sum(weights)
        torch.testing.assert_close(found[row, head, token], wanted, rtol=1e-12, atol=1e-12)


def test_the_fused_attention_of_pytorch_is_the_formula() -> None:
    query, key, value = (
        torch.randn(2, 4, length, 6, dtype=torch.float64, generator=_generator(length)) for length in (3, 7, 7)
    )
    for mask in (None, causal_mask(torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 1, 1]]), 3)):
        fused = functional.scaled_dot_product_attention(query, key, value, mask)
        torch.testing.assert_close(attention(query, key, value, mask), fused, rtol=1e-12, atol=1e-12)


# Positions ------------------------------------------------------------------------------------------


def test_positions_follow_the_formula() -> None:
    table = sinusoids(torch.tensor([[0, 1, 2, 50, 511]]), 8)[0]
    for row, place in enumerate([0, 1, 2, 50, 511]):
        for i in range(4):
            angle = place / 10_000 ** (2 * i / 8)
            assert math.isclose(float(table[row, 2 * i]), math.sin(angle), abs_tol=3e-5)
            assert math.isclose(float(table[row, 2 * i + 1]), math.cos(angle), abs_tol=3e-5)


def test_moving_on_by_k_tokens_is_one_rotation_wherever_it_begins() -> None:
    width, k = 12, 5
    place = torch.arange(40)[None]
    here, there = (sinusoids(p, width)[0].unflatten(-1, (-1, 2)) for p in (place, place + k))  # (T, D / 2, 2)
    for i in range(width // 2):
        angle = k / 10_000 ** (2 * i / width)
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        torch.testing.assert_close(there[:, i], here[:, i] @ turn.T, rtol=0, atol=1e-5)


def test_words_are_scaled_and_then_placed() -> None:
    network, ids = _network(num_hidden_layers=0), _tokens(1, 5)
    words = network.model.words(ids) * math.sqrt(24)
    wanted = functional.layer_norm(words + sinusoids(torch.arange(5)[None], 24), (24,))
    torch.testing.assert_close(network.model(ids).last_hidden_state, wanted)
    torch.testing.assert_close(network(ids).logits, wanted @ network.model.words.weight.T)


# Heads, layers, mask --------------------------------------------------------------------------------


def test_many_heads_are_single_heads_side_by_side_then_mixed() -> None:
    config = TransformerConfig(**SIZES)
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        many = MultiHeadAttention(config, 0).double()
    states = torch.randn(2, 7, 24, dtype=torch.float64, generator=_generator())
    mask = causal_mask(torch.ones(2, 7), 7)
    heads = []
    for head in range(4):
        own = slice(6 * head, 6 * head + 6)
        query, key, value = (states @ part.weight[own].T for part in (many.query, many.key, many.value))
        heads.append(attention(query, key, value, mask[:, 0]))
    wanted = torch.cat(heads, dim=-1) @ many.output.weight.T
    torch.testing.assert_close(many(states, mask), wanted, rtol=1e-12, atol=1e-12)


def test_feed_forward_and_layer_follow_their_formulas() -> None:
    config = TransformerConfig(**SIZES)
    config._attn_implementation = "eager"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = Layer(config, 0).double()
    states = torch.randn(1, 4, 24, dtype=torch.float64, generator=_generator())
    mask = causal_mask(torch.ones(1, 4), 4)
    forward: FeedForward = layer.feed_forward
    wide = states @ forward.widen.weight.T + forward.widen.bias
    wanted = torch.maximum(wide, torch.zeros(())) @ forward.narrow.weight.T + forward.narrow.bias
    torch.testing.assert_close(forward(states), wanted)

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + config.layer_norm_eps).sqrt()

    looked = states + layer.attention(norm(states), mask)
    torch.testing.assert_close(layer(states, mask), looked + forward(norm(looked)))


def test_a_later_token_changes_no_earlier_logits_and_an_earlier_one_does() -> None:
    network, ids = _network(), _tokens(1, 10)
    before = network(ids).logits[0]
    changed = ids.clone()
    changed[0, 6] = ids[0, 6] % 59 + 1
    after = network(changed).logits[0]
    torch.testing.assert_close(after[:6], before[:6], rtol=0, atol=0)
    assert (after[6:] - before[6:]).abs().amax(-1).gt(1e-4).all()


def test_the_mask_hides_what_is_later_and_what_is_padding() -> None:
    mask = causal_mask(torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0]]), 3)
    assert mask.shape == (3, 1, 3, 4)
    assert mask[:, 0].long().tolist() == [
        [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
        [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]],  # a padding token sees itself, and nobody sees it
        [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    ]


# As a model of transformers -------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_it_comes_back_from_safetensors_as_it_was(tied: bool, tmp_path: Path) -> None:
    network, ids = _network(tie_word_embeddings=tied, layer_norm_eps=1e-3, max_position_embeddings=77), _tokens(2, 9)
    network.save_pretrained(tmp_path)
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is TransformerForCausalLM
    assert [path.suffix for path in tmp_path.iterdir() if "model" in path.name] == [".safetensors"]
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(loaded(ids).logits, network(ids).logits)
    assert (loaded.lm_head.weight is loaded.model.words.weight) is tied
    assert loaded.config.to_dict() == AutoConfig.from_pretrained(tmp_path).to_dict()
    assert (loaded.config.max_position_embeddings, loaded.config.layer_norm_eps) == (77, 1e-3)


def test_the_written_out_formula_can_take_the_place_of_the_fused_one(tmp_path: Path) -> None:
    network, ids = _network(), _tokens(2, 9)
    network.save_pretrained(tmp_path)
    eager = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert (network.config._attn_implementation, eager.config._attn_implementation) == ("sdpa", "eager")
    torch.testing.assert_close(eager(ids).logits, network(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_nothing(side: str) -> None:
    network, ids = _network(), _tokens(1, 6)
    room = (3, 0) if side == "left" else (0, 3)
    padded, mask = functional.pad(ids, room, value=5), functional.pad(torch.ones_like(ids), room)
    own = slice(room[0], room[0] + 6)
    torch.testing.assert_close(network(padded, attention_mask=mask).logits[:, own], network(ids).logits)
    given = network(padded, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0))
    assert torch.equal(given.logits, network(padded, attention_mask=mask).logits)


def test_a_cache_read_token_by_token_gives_what_one_pass_gives() -> None:
    network, ids = _network(), _tokens(2, 8)
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    whole = network(ids, attention_mask=mask)
    assert whole.past_key_values is None
    cache, logits = DynamicCache(config=network.config), []
    for start, end in [(0, 4), (4, 5), (5, 8)]:  # in uneven pieces
        part = network(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache, use_cache=True)
        logits.append(part.logits)
    torch.testing.assert_close(torch.cat(logits, dim=1), whole.logits, rtol=1e-5, atol=1e-5)
    assert network(ids, logits_to_keep=1).logits.shape == (2, 1, 60)


def test_transformers_writes_with_it_greedily_and_by_beam() -> None:
    network, ids = _network(), _tokens(2, 5)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 6, "do_sample": False}
    written = network.generate(**inputs)
    for _ in range(6):
        ids = torch.cat([ids, network(ids).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(written, ids[:, : written.shape[1]])
    assert torch.equal(network.generate(**inputs, use_cache=False), written)
    assert torch.equal(
        network.generate(**inputs, num_beams=3), network.generate(**inputs, num_beams=3, use_cache=False)
    )


def test_it_has_no_state_beside_its_weights_and_only_plain_layers() -> None:
    network = _network()
    assert not list(network.buffers())
    owners = {type(module) for module in network.modules() if list(module.parameters(recurse=False))}
    assert owners == {torch.nn.Linear, torch.nn.Embedding, torch.nn.LayerNorm}


# As a model that is audited -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audited(tokenizers: dict[str, Any]) -> LocalModel:
    network = _network(vocab_size=len(tokenizers["gpt2"]), max_position_embeddings=96)
    for weight in network.parameters():
        weight.data.mul_(2.0 if weight.dim() > 1 else 1.0)
    return LocalModel(network, tokenizers["gpt2"], name="transformer")


def test_batched_scores_are_those_of_each_text_alone(audited: LocalModel) -> None:
    pairs = [Pair("The kettle is", " navy"), Pair("I would", " buy it again."), Pair("这条评价是", "正面。" * 9)]
    for pair, scores in zip(pairs, audited.score(pairs), strict=True):
        alone = audited.score([pair])[0]
        torch.testing.assert_close(torch.tensor(scores.log_prob), torch.tensor(alone.log_prob), rtol=0, atol=1e-4)
        ids = torch.tensor([audited.encoder.tokenizer(pair.context + pair.continuation)["input_ids"]])
        with torch.inference_mode():
            logits = audited.network(ids).logits[0].log_softmax(-1)
        direct = logits[:-1].gather(-1, ids[0, 1:, None])[-len(scores.log_prob) :, 0].double()
        torch.testing.assert_close(torch.tensor(scores.log_prob), direct, rtol=0, atol=1e-4)


def test_batched_texts_are_those_written_alone(audited: LocalModel) -> None:
    requests = [Generate(Prompt(text), Sampling(max_new_tokens=4 + i), raw=True) for i, text in enumerate(TEXTS[:9])]
    together = audited.generate(requests)
    assert len(set(together)) > 1
    assert [audited.generate([request])[0] for request in requests] == together
    ids = torch.tensor([audited.encoder.tokenizer(TEXTS[0])["input_ids"]])
    written = audited.network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)
    assert audited.encoder.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True) == together[0]
