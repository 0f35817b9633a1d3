from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from small_networks import make_network

from shoplm_audit.models.continuation import Rules, Text, refilled
from shoplm_audit.models.local import LocalModel
from shoplm_audit.types import Generate, Prompt, Sampling

WORDS, END = 60, 0
ENOUGH = 1 << 40


def _own_logits(network: Any, ids: Sequence[int]) -> Any:
    import torch

    with torch.inference_mode():
        return network(torch.tensor([list(ids)]), use_cache=False).logits[0, -1]


def _one_by_one(network: Any, prompt: Sequence[int], limit: int) -> tuple[list[int], float]:
    """A greedy text without any cache, and how near to a tie it came."""
    written: list[int] = []
    nearest = np.inf
    while len(written) < limit:
        logits = _own_logits(network, [*prompt, *written])
        best = logits.topk(2).values
        nearest = min(nearest, float(best[0] - best[1]))
        token = int(logits.argmax())
        if token == END:
            break
        written.append(token)
    return written, nearest


def _texts(rng: np.random.Generator, count: int) -> list[Text]:
    lengths, limits = rng.integers(1, 40, size=count), rng.integers(1, 40, size=count)
    prompts = [rng.integers(1, WORDS, size=length).tolist() for length in lengths]
    return [Text(ids, "", Sampling(int(limit)), 0, int(limit)) for ids, limit in zip(prompts, limits, strict=True)]


@pytest.fixture(scope="module", params=["gpt2", "llama", "own"])
def network(request: pytest.FixtureRequest) -> Any:
    if request.param != "own":
        return make_network(request.param, WORDS)
    import torch

    from shoplm_audit.models.transformer import TransformerConfig, TransformerForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = TransformerConfig(vocab_size=WORDS, hidden_size=32, intermediate_size=48)
        own = TransformerForCausalLM(config)
        for weight in own.parameters():
            weight.data.mul_(3.0 if weight.dim() > 1 else 1.0)
        return own.eval()


@pytest.mark.parametrize("capacity", [1, 3, 8, 40])
def test_refilled_texts_are_those_written_one_by_one_without_a_cache(network: Any, capacity: int) -> None:
    import torch

    from shoplm_audit.models.slots import Slots

    texts = _texts(np.random.default_rng(capacity), 24)
    alone = [_one_by_one(network, text.ids, text.limit) for text in texts]
    # A word that comes inside of a text, so that some end before their limit.
    ends = next(word for written, _ in alone for word in written[3:] if word not in written[:3])
    with torch.inference_mode():
        slots = Slots(network, capacity, 80, ENOUGH)
        found = refilled(slots, texts, Rules(frozenset({END, ends}), str))
    assert slots.capacity == capacity
    compared = 0
    for (wanted, nearest), written in zip(alone, found, strict=True):
        if nearest > 1e-4:
            assert written == wanted[: wanted.index(ends) if ends in wanted else None]
            compared += 1
    assert compared >= 20
    assert any(0 < len(written) < text.limit for text, written in zip(texts, found, strict=True))


def test_every_step_gives_the_networks_own_logits_whatever_comes_goes_and_moves(network: Any) -> None:
    import torch

    from shoplm_audit.models.slots import Slots

    rng = np.random.default_rng(1)
    slots = Slots(network, 6, 90, ENOUGH)
    lines: list[list[int]] = []
    moves = 0
    with torch.inference_mode():
        for _ in range(40):
            room = slots.capacity - len(lines)
            joining = [rng.integers(WORDS, size=rng.integers(1, 30)).tolist() for _ in range(rng.integers(room + 1))]
            if len(joining) > 1:
                joining[1] = list(joining[0])  # several texts of one prompt
            if not lines and not joining:
                continue
            if joining:
                slots.join(joining)
                lines += [list(one) for one in joining]
            own = torch.stack([_own_logits(network, line) for line in lines])
            assert (slots.logits() - own).abs().max() < 1e-4
            kept = [i for i in rng.permutation(len(lines)).tolist() if rng.random() < 0.9 and len(lines[i]) < 85]
            if kept and len(kept) < slots.capacity and rng.random() < 0.3:
                kept.append(kept[0])
            moves += kept != list(range(len(kept)))
            tokens = rng.integers(WORDS, size=len(kept)).tolist()
            lines = [[*lines[i], token] for i, token in zip(kept, tokens, strict=True)]
            slots.keep(kept)
            slots.extend(tokens)
    assert moves > 10


def test_memory_bounds_how_many_lines_there_are() -> None:
    from shoplm_audit.models.slots import Slots

    network = make_network("llama", WORDS)
    token = 2 * 2 * 2 * 8 * 4  # layers, keys and values, heads, features, bytes
    assert Slots(network, 50, 10, memory=10 * token * 7 + 1).capacity == 7
    assert Slots(network, 5, 10, memory=10 * token * 7).capacity == 5
    assert Slots(network, 5, 10, memory=1).capacity == 1


# Which networks may be read so -----------------------------------------------------------------------


def _made(name: str, **settings: Any) -> Any:
    import torch
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, f"{name}Config")(vocab_size=WORDS, **sizes | settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(transformers, f"{name}ForCausalLM")(config)
        for weight in network.parameters():
            weight.data.mul_(3.0 if weight.dim() > 1 else 1.0)
    return network.eval()


def _model(network: Any, tokenizers: dict[str, Any]) -> LocalModel:
    return LocalModel(network, tokenizers["gpt2"], name="network")


def test_the_shapes_of_the_field_are_read_in_slots(network: Any, tokenizers: dict[str, Any]) -> None:
    model = _model(network, tokenizers)
    assert model._refills(20)
    assert model._refills(90)


def test_a_sliding_window_is_read_in_slots_only_as_far_as_it_reaches(tokenizers: dict[str, Any]) -> None:
    network = _made("Mistral", sliding_window=32, max_position_embeddings=128, num_key_value_heads=2)
    model = _model(network, tokenizers)
    assert model._refills(20)
    assert model._refills(32)
    assert not model._refills(33)


def _patched(network: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """The network with a fault: its inputs are changed before it reads them."""
    forward = network.forward

    def faulty(
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        **more: Any,
    ) -> Any:
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "past_key_values": past_key_values}
        change(inputs)
        return forward(input_ids=input_ids, **inputs, **more)

    network.forward = faulty
    return network


@pytest.mark.parametrize("ignored", ["attention_mask", "position_ids"])
@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_a_network_that_ignores_masks_or_positions_is_caught(
    shape: str, ignored: str, tokenizers: dict[str, Any]
) -> None:
    network = _patched(make_network(shape, WORDS), lambda inputs: inputs.update({ignored: None}))
    assert not _model(network, tokenizers)._refills(20)


def test_a_state_that_a_network_carries_on_by_itself_is_caught(tokenizers: dict[str, Any]) -> None:
    import torch

    network = make_network("gpt2", WORDS)
    seen = torch.zeros(())

    def leak(module: Any, arguments: Any, output: Any) -> Any:
        seen.add_(0.01)
        return output * (1 + seen)

    with network.transformer.wte.register_forward_hook(leak):
        assert not _model(network, tokenizers)._refills(20)


def test_a_recurrent_network_is_asked_without_slots(tokenizers: dict[str, Any]) -> None:
    network = _made("RecurrentGemma", num_hidden_layers=3, lru_width=32, attention_window_size=32)
    assert not _model(network, tokenizers)._refills(20)


def test_what_is_not_read_in_slots_writes_the_same_texts(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["gpt2"]
    network = make_network("gpt2", len(tokenizer))
    fast, plain = _model(network, tokenizers), _model(network, tokenizers)
    plain._refills = lambda width: False  # type: ignore[method-assign]
    requests = [
        Generate(
            Prompt("The kettle is navy." * (i % 3) + f" {i}"), Sampling(3 + 5 * (i % 4), temperature=i % 2, seed=i)
        )
        for i in range(20)
    ]
    requests += [
        Generate(Prompt("I would"), Sampling(12, temperature=1.0, n=4, banned=("e",))),
        Generate(Prompt("Is this"), Sampling(30, temperature=0.8, top_p=0.9, stop=("a", "e"))),
        Generate(Prompt("Is this"), Sampling(6, beams=3, n=2)),
    ]
    assert fast.generate(requests) == plain.generate(requests)
    assert list(fast._tried.values()) == [True]


# Faults ---------------------------------------------------------------------------------------------


def test_logits_that_are_not_finite_name_their_request_also_in_a_refilled_slot(tokenizers: dict[str, Any]) -> None:
    import torch

    tokenizer = tokenizers["gpt2"]
    network = make_network("gpt2", len(tokenizer))
    model = _model(network, tokenizers)
    bad = tokenizer("破")["input_ids"][-1]
    good = [Generate(Prompt(f"The kettle {i}"), Sampling(4), raw=True) for i in range(12)]
    broken = Generate(Prompt("包装破"), Sampling(1), raw=True)
    texts = model.generate(good)
    assert model._refills(64)
    with torch.no_grad():
        network.transformer.wte.weight[bad] = torch.nan
        network.lm_head.weight = torch.nn.Parameter(network.lm_head.weight.nan_to_num())
    with pytest.raises(FloatingPointError, match="包装破"):
        model.generate([*good, broken])
    assert model.generate(good) == texts


def test_texts_that_do_not_fit_together_are_written_in_parts(
    local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from shoplm_audit.models import slots

    requests = [Generate(Prompt(f"I would buy {i}"), Sampling(6, temperature=1.0, seed=i)) for i in range(11)]
    wanted = local.generate(requests)
    reserve, tried = slots.Slots.__init__, []

    def scarce(self: Any, network: Any, lines: int, width: int, memory: int) -> None:
        tried.append(lines)
        if lines > 3:
            raise torch.OutOfMemoryError("no")
        reserve(self, network, lines, width, memory)

    monkeypatch.setattr(slots.Slots, "__init__", scarce)
    assert local.generate(requests) == wanted
    assert max(tried) == 11
    assert tried[-1] <= 3
