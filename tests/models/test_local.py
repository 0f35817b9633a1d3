from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_networks import CHAT, TEXTS, make_network, make_tokenizer

from shoplm_audit.errors import Unsupported
from shoplm_audit.models.encoding import Encoded, windows
from shoplm_audit.models.local import LocalModel
from shoplm_audit.types import Columns, Generate, Model, Pair, Prompt, Sampling, TokenScores, Turn

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


def _columns(scores: TokenScores) -> np.ndarray:
    return np.stack([scores.log_prob, scores.expected_log_prob, scores.log_prob_variance, scores.rank])  # type: ignore[list-item]


def _naive_columns(model: LocalModel, pair: Pair) -> np.ndarray:
    """All columns by one unpadded pass, in float64, (4, T)."""
    import torch

    size = len(_naive(model, pair))
    tokenizer = model.encoder.tokenizer
    ids = tokenizer(pair.context + pair.continuation, add_special_tokens=False)["input_ids"]
    begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    ids = ids if tokenizer.bos_token_id is None and len(ids) > size else [begin, *ids]
    if not size:
        return np.empty((4, 0))
    with torch.inference_mode():
        told = model.network(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()[-size - 1 : -1]
    at = told[range(size), ids[-size:]]
    mean = (np.exp(told) * told).sum(-1)
    variance = (np.exp(told) * (told - mean[:, None]) ** 2).sum(-1)
    return np.stack([at, mean, variance, 1 + (told > at[:, None]).sum(-1)])


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


def _grown(seed: int, size: int = 60) -> list[Pair]:
    """Pairs whose texts grow from each other's beginnings."""
    rng = np.random.default_rng(seed)
    words = [" " + word for text in TEXTS[:9] for word in text.split()] + ["很", "鑫", "水壶"]

    def drawn(most: int) -> str:
        return "".join(words[i] for i in rng.integers(len(words), size=rng.integers(1, most)))

    contexts = [drawn(9)]
    while len(contexts) < size // 3:
        contexts.append((contexts[rng.integers(len(contexts))] if rng.random() < 0.8 else "") + drawn(6))
    contexts = [context for context in contexts if len(context.encode()) < 90]
    return [Pair(contexts[rng.integers(len(contexts))], drawn(4)) for _ in range(size)]


@pytest.mark.parametrize(("line", "size", "trunk"), [(256, 1024, 64), (24, 48, 6), (40, 30, 3), (0, 200, 1)])
def test_common_beginnings_are_read_once_and_change_no_number(
    line: int, size: int, trunk: int, local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"_line": line, "_pass": size, "_trunk": trunk}.items():
        monkeypatch.setattr(local._states, name, value)
    for seed in range(2):
        pairs = [*_grown(seed), *PAIRS, *PAIRS[:2]]
        for pair, scores in zip(pairs, local.score(pairs, ALL), strict=True):
            np.testing.assert_allclose(_columns(scores), _naive_columns(local, pair), atol=1e-4, rtol=1e-4)
        asked, computed = local.tokens_of(pairs)
        assert computed < asked * (0.6 if line else 0.95)


def test_a_text_below_a_trunk_is_not_read_with_the_trunk_of_another(local: LocalModel, monkeypatch: Any) -> None:
    for name, value in {"_line": 16, "_pass": 400, "_trunk": 4}.items():
        monkeypatch.setattr(local._states, name, value)
    pairs = [
        Pair(context, f" {word} {end}")
        for context in ("The kettle is navy and holds", "Is this review", "这款水壶是藏青色的")
        for word in ("navy", "positive", "again")
        for end in ("I would buy it", "质量很好")
    ]
    calls = []
    with local.network.base_model.register_forward_pre_hook(
        lambda *call: calls.append(call[2]["input_ids"].shape), with_kwargs=True
    ):
        found = local.score(pairs)
    assert len(calls) < 5
    for pair, scores in zip(pairs, found, strict=True):
        np.testing.assert_allclose(scores.log_prob, _naive(local, pair), atol=1e-4)


def _other(kind: str, words: int) -> Any:
    """Small networks that cannot share beginnings by a mask: they count distances, carry a state, or see a window."""
    import torch
    import transformers
    from transformers import GPT2LMHeadModel

    class Shifted(GPT2LMHeadModel):  # type: ignore[misc]
        def forward(self, *arguments: Any, position_ids: Any = None, **others: Any) -> Any:
            return super().forward(*arguments, **others)

    class Open(GPT2LMHeadModel):  # type: ignore[misc]
        def forward(self, *arguments: Any, attention_mask: Any = None, **others: Any) -> Any:
            return super().forward(*arguments, **others)

    if kind in ("shifted", "open"):
        network = make_network("gpt2", words)
        network.__class__ = {"shifted": Shifted, "open": Open}[kind]
        # The base is a network of its own, which would listen.
        network.base_model_prefix = ""
        return network
    sizes = {"vocab_size": words, "hidden_size": 32, "num_hidden_layers": 2}
    made = {
        "alibi": ("BloomConfig", "BloomForCausalLM", {"n_layer": 2, "n_head": 4}),
        "recurrent": ("MambaConfig", "MambaForCausalLM", {"state_size": 4}),
        "window": ("MistralConfig", "MistralForCausalLM", {
            "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 24,
            "max_position_embeddings": 96,
        }),
    }  # fmt: skip
    config, kind_of, more = made[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(transformers, kind_of)(getattr(transformers, config)(**sizes, **more)).eval()
    for weight in network.parameters():
        weight.data.mul_(4.0 if weight.dim() > 1 else 1.0)
    return network


@pytest.mark.parametrize("kind", ["alibi", "recurrent", "shifted", "open"])
def test_a_network_that_would_mix_branches_is_asked_text_by_text(kind: str, tokenizers: dict[str, Any]) -> None:
    model = LocalModel(_other(kind, len(tokenizers["gpt2"])), tokenizers["gpt2"], name=kind)
    pairs = _grown(3, 30)
    for pair, scores in zip(pairs, model.score(pairs), strict=True):
        np.testing.assert_allclose(scores.log_prob, _naive(model, pair), atol=1e-4)
    texts = {tuple(row.ids[: row.scored[-1]]) for row in model.encoder.scored(pairs)}
    assert model.tokens_of(pairs)[1] == sum(map(len, texts))


def test_a_network_with_a_window_shares_while_no_text_is_longer(tokenizers: dict[str, Any]) -> None:
    model = LocalModel(_other("window", len(tokenizers["gpt2"])), tokenizers["gpt2"], name="window")
    short, long = [Pair("The kettle is", end) for end in (" navy", " red", " new")], Pair("The kettle is " * 12, "navy")
    assert model.tokens_of(short)[1] < sum(len(row.ids) - 1 for row in model.encoder.scored(short))
    for pairs in (short, [*short, long, Pair(long.context, "red")]):
        for pair, scores in zip(pairs, model.score(pairs), strict=True):
            np.testing.assert_allclose(scores.log_prob, _naive(model, pair), atol=1e-4)


@pytest.mark.parametrize("fault", ["siblings", "positions", "trunk", "cousins"])
def test_a_wrong_tree_is_noticed_before_it_is_used(fault: str, local: LocalModel, monkeypatch: Any) -> None:
    from shoplm_audit.models import sharing, states

    if fault == "siblings":
        monkeypatch.setattr(sharing.Line, "seen", lambda line: np.tri(len(line.ids), dtype=bool))
    if fault == "cousins":  # the trees of one line see each other's beginnings
        seen = sharing.Line.seen
        monkeypatch.setattr(
            sharing.Line, "seen", lambda line: seen(line) | (np.arange(len(line.ids)) < (not line.chain))
        )
    if fault == "positions":
        inputs = states.CausalStates._inputs

        def counted(*arguments: Any, **options: Any) -> Any:
            given, valid = inputs(*arguments, **options)
            if "position_ids" in given:
                given["position_ids"] = given["position_ids"] * 0 + valid.shape[1] - 1
            return given, valid

        monkeypatch.setattr(states.CausalStates, "_inputs", counted)
    if fault == "trunk":
        cache_of = states._cache_of
        monkeypatch.setattr(states, "_cache_of", lambda cache, rows: cache_of(cache, [0] * len(rows)))
    fresh = LocalModel(local.network, local.encoder.tokenizer, name="fresh")
    for pair, scores in zip(PAIRS, fresh.score(PAIRS), strict=True):
        np.testing.assert_allclose(scores.log_prob, _naive(fresh, pair), atol=1e-4)
    assert not fresh._states._trees


def test_products_by_another_library_are_the_same_and_wrong_ones_are_noticed(
    local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch.overrides import TorchFunctionMode

    from shoplm_audit.models import products, states

    class Wrong(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            result = function(*arguments, **(named or {}))
            return result * 1.001 if function is torch.nn.functional.linear else result

    weight, bias, given = torch.randn(7, 5), torch.randn(7), torch.randn(2, 3, 5)
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        with torch.inference_mode(), products._mode()():
            for arguments in ((given, weight), (given, weight, bias), (given, weight, None), (given[0, 0], weight)):
                found = torch.nn.functional.linear(*arguments)
                torch.testing.assert_close(found, arguments[0] @ weight.T + (bias if arguments[2:] == (bias,) else 0))
            doubles = torch.nn.functional.linear(given.double(), weight.double(), bias=bias.double())
            torch.testing.assert_close(doubles, given.double() @ weight.double().T + bias.double())
    monkeypatch.setattr(states, "quick_products", Wrong)
    fresh = LocalModel(local.network, local.encoder.tokenizer, name="fresh")
    for pair, scores in zip(PAIRS, fresh.score(PAIRS), strict=True):
        np.testing.assert_allclose(scores.log_prob, _naive(fresh, pair), atol=1e-4)
    assert not fresh._states._products


def test_columns_follow_their_definitions(local: LocalModel) -> None:
    import torch

    pair = Pair("<|begin|>The kettle is" if local.name == "llama" else "The kettle is", " navy")
    ids = local.encoder.tokenizer(pair.context + pair.continuation, add_special_tokens=False)["input_ids"]
    # A text that begins with the begin-of-text token, as chat templates write it, gets no second one.
    prefix = local.encoder.prefix if ids[:1] != local.encoder.prefix else []
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
    pairs = [Pair(text[:20] * 9, text[20:]) for text in (*TEXTS, *(text[::-1] for text in TEXTS))]
    together = local.score(pairs)
    plan = local.plan(pairs)
    assert len(plan) > 1
    assert sorted(i for batch in plan for i in batch) == list(range(len(pairs)))
    for batch in reversed(plan):
        for i, scores in zip(batch, local.compute([pairs[i] for i in batch]), strict=True):
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


def test_a_text_that_just_fits_the_context_is_not_noted(tokenizers: dict[str, Any]) -> None:
    words = TEXTS[0] + " 鑫 " + TEXTS[5] + "  \n" + TEXTS[9]
    size = len(tokenizers["llama"](words)["input_ids"])
    for context, times in ((size, 0), (size - 1, 1)):
        network = make_network("llama", len(tokenizers["llama"]), context=context)
        model = LocalModel(network, tokenizers["llama"], name="short")
        for _ in range(2):
            model.plan([Pair("", words), Pair(words[:40], words[40:]), Pair("", "short")])
        told = [f"a scored text was longer than the model's context ({times} times)"]
        assert model.notes == told[:times]


def test_memory_that_does_not_hold_a_batch_is_remembered_and_changes_no_plan(
    local: LocalModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import torch

    monkeypatch.setenv("SHOPLM_CACHE", str(tmp_path))
    pairs = [Pair(text[:20] * 9, text[20:]) for text in (*TEXTS, *(text[::-1] for text in TEXTS))]
    wanted = local.score(pairs)
    tries: list[int] = []

    def small() -> LocalModel:
        model = LocalModel(local.network, local.encoder.tokenizer, name="small", fingerprint="sha256:5")
        tables = model._states.tables

        def bounded(rows: Any, columns: Columns) -> Any:
            tries.append(len(rows))
            if len(rows) > 40:
                raise torch.OutOfMemoryError
            return tables(rows, columns)

        monkeypatch.setattr(model._states, "tables", bounded)
        return model

    model = small()
    for scores, other in zip(model.score(pairs), wanted, strict=True):
        np.testing.assert_allclose(scores.log_prob, other.log_prob, atol=1e-4)
    failed = [size for size in tries if size > 40]
    assert 0 < len(failed) <= 3  # once for each doubling, not for each batch
    tries.clear()
    again = small()
    assert again.plan(pairs) == local.plan(pairs)
    again.score(pairs)
    assert max(tries) <= 40


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


def test_a_plan_of_prompts_gives_the_same_texts_batch_by_batch(
    local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplm_audit.models.local._WRITTEN", {"cpu": (16, 0)})
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


def test_what_a_model_reads_of_a_prompt_is_what_its_context_leaves(tokenizers: dict[str, Any]) -> None:
    model = LocalModel(make_network("gpt2", len(tokenizers["gpt2"]), context=24), tokenizers["gpt2"], name="short")
    sampling = Sampling(max_new_tokens=4)
    text = "The kettle is navy. " * 12 + "Tell it."
    long, short = (Generate(Prompt(told), sampling, raw=True) for told in (text, "Tell it."))
    assert model.read_of(short) == "Tell it."
    read = model.read_of(long)
    assert text.endswith(read)
    assert len(model.encoder.ids(read)) == 20
    # What was cut off changes nothing.
    assert model.generate([long]) == model.generate([Generate(Prompt("Other words. " * 30 + read), sampling, raw=True)])
