from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.training.rows import UNLEARNED, Batch, record_losses
from shoplm_audit.training.settings import SHAPES, TrainSettings
from shoplm_audit.training.shapes import UNLIMITED, adapted, context_of, load_base, merged, new_model, without_bars
from shoplm_audit.training.tokenizer import learn_tokenizer

LABELS = ("negative", "positive")
KINDS = [(objective, shape) for objective, shapes in SHAPES.items() for shape in shapes]
SIZES = {"layers": 2, "heads": 4, "width": 32, "context": 24, "vocabulary": 270}
TEXTS = ["A navy kettle.", "一个水壶。"] * 3

every_kind = pytest.mark.parametrize(("objective", "shape"), KINDS, ids=["-".join(kind) for kind in KINDS])


@pytest.fixture(autouse=True)
def _no_bars() -> Iterator[None]:
    with without_bars():
        yield


@cache
def _tokenizer(objective: str) -> Any:
    return learn_tokenizer(TEXTS, SIZES["vocabulary"], objective)


def _labels(objective: str) -> tuple[str, ...]:
    return LABELS if objective == "classify" else ()


def _model(objective: str, shape: str, **options: Any) -> Any:
    settings = TrainSettings(objective=objective, shape=shape, **SIZES | options)
    return new_model(settings, _tokenizer(objective), _labels(objective)).eval()


def _batch(objective: str) -> Batch:
    """Two records of 9 and 6 tokens, the shorter one padded."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(10, 260, (2, 9), generator=generator)
    mask = torch.ones_like(ids)
    ids[1, 6:], mask[1, 6:] = _tokenizer(objective).pad_token_id, 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    said = torch.randint(10, 260, (2, 9), generator=generator)
    said[:, 5:] = UNLEARNED
    if objective == "seq2seq":
        inputs["decoder_input_ids"] = said.clamp(min=3).roll(1, dims=1)
    elif objective == "masked":
        inputs["token_type_ids"] = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]] * 2)
    labels = torch.tensor([0, 1]) if objective in ("masked", "classify") else None
    return Batch(inputs, None if objective == "classify" else said, labels)


def _train(model: Any, objective: str, steps: int = 2) -> list[float]:
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        loss = record_losses(model.train(), _batch(objective)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


def _outputs(model: Any, objective: str) -> list[torch.Tensor]:
    with torch.inference_mode():
        output = model(**_batch(objective).inputs)
    names = ("logits", "prediction_logits", "seq_relationship_logits")
    return [output[name] for name in names if name in output]


def _same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) > 0 and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def _save(model: Any, objective: str, folder: Path) -> Path:
    model.save_pretrained(folder)
    _tokenizer(objective).save_pretrained(folder)
    return folder


# New models -----------------------------------------------------------------------------------------


@every_kind
def test_each_shape_learns_and_comes_back_from_its_folder(objective: str, shape: str, tmp_path: Path) -> None:
    model = _model(objective, shape)
    before = _outputs(model, objective)
    losses = _train(model, objective)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[1] < losses[0]
    after = _outputs(model, objective)
    assert not _same(before, after)
    loaded = load_base(_save(model, objective, tmp_path), objective, _labels(objective))
    assert type(loaded) is type(model)
    assert _same(_outputs(loaded.eval(), objective), after)
    assert _same(_outputs(loaded.train(), objective), after), "something is dropped out"


@every_kind
def test_sizes_and_special_tokens_are_those_of_settings_and_tokenizer(objective: str, shape: str) -> None:
    model = _model(objective, shape, layers=3)
    config, tokenizer = model.config, _tokenizer(objective)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 3, 4)
    assert (config.vocab_size, config.pad_token_id) == (len(tokenizer), tokenizer.pad_token_id)
    assert context_of(model) == (UNLIMITED if shape == "t5" else 24)
    shapes = {tuple(weight.shape) for weight in model.parameters()}
    inner = 88 if shape == "llama" else 128
    assert {(inner, 32), (32, inner)} & shapes
    if objective in ("causal", "seq2seq"):
        assert config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    if objective == "seq2seq":
        assert config.decoder_start_token_id == tokenizer.bos_token_id not in (config.eos_token_id, config.pad_token_id)
        assert getattr(config, "num_decoder_layers" if shape == "t5" else "decoder_layers") == 3
    if objective == "classify":
        assert config.id2label == {0: "negative", 1: "positive"}
        assert config.label2id == {"negative": 0, "positive": 1}


@every_kind
def test_new_weights_come_from_the_seed_and_leave_the_global_generator_alone(objective: str, shape: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (_model(objective, shape, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert _same(_outputs(first, objective), _outputs(again, objective))
    assert not _same(_outputs(first, objective), _outputs(other, objective))


@every_kind
def test_new_weights_of_a_narrow_network_say_something(objective: str, shape: str) -> None:
    """With the 0.02 of wide networks logits begin at a tenth of this and stay there for hundreds of steps."""
    if objective != "classify":
        assert 0.5 < _outputs(_model(objective, shape), objective)[0].std().item() < 2


@every_kind
def test_weights_are_shared_where_they_should_be(objective: str, shape: str) -> None:
    if objective == "classify":
        return
    model = _model(objective, shape)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    if objective == "seq2seq":
        assert model.get_encoder().get_input_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("shape", ["gpt2", "bart", "bert"])
def test_learned_positions_begin_at_waves_as_large_as_words(shape: str) -> None:
    objective = {"gpt2": "causal", "bart": "seq2seq", "bert": "masked"}[shape]
    tables = [
        weight
        for name, weight in _model(objective, shape).named_parameters()
        if "wpe" in name or "embed_positions" in name or "position_embeddings" in name
    ]
    assert len(tables) == (2 if shape == "bart" else 1)
    for table in tables:
        rates = [10_000 ** (-2 * i / 32) for i in range(16)]
        wanted = [math.sin(7 * rate) for rate in rates] + [math.cos(7 * rate) for rate in rates]
        torch.testing.assert_close(table[7] * math.sqrt(32), torch.tensor(wanted))


@pytest.mark.parametrize(("objective", "shape"), [kind for kind in KINDS if kind[0] in ("causal", "seq2seq")])
def test_what_can_write_writes(objective: str, shape: str) -> None:
    model, inputs = _model(objective, shape), _batch(objective).inputs
    prompt = {"input_ids": inputs["input_ids"][:1], "attention_mask": inputs["attention_mask"][:1]}
    written = model.generate(**prompt, max_new_tokens=5, do_sample=False)
    if objective == "seq2seq":
        assert int(written[0, 0]) == _tokenizer(objective).bos_token_id
        first = model(**prompt, decoder_input_ids=written[:, :1]).logits[0, -1].argmax()
        assert written[0, 1] == first
    else:
        assert written[0, 9] == model(**prompt).logits[0, -1].argmax()


def test_a_classifier_needs_two_labels_and_a_llama_heads_of_even_width() -> None:
    with pytest.raises(ConfigError, match=r'"negative".*two'):
        new_model(TrainSettings(objective="classify", **SIZES), _tokenizer("classify"), ("negative",))
    with pytest.raises(ConfigError, match='width is "12"'):
        _model("causal", "llama", width=12)


# Bases ----------------------------------------------------------------------------------------------


def _bert(kind: str, folder: Path, objective: str = "masked", **options: Any) -> Path:
    """A BERT with dropout, as hubs have them."""
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 40}
    config = transformers.BertConfig(vocab_size=270, max_position_embeddings=24, pad_token_id=1, **sizes, **options)
    return _save(getattr(transformers, kind)(config), objective, folder)


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
def test_a_masked_base_keeps_its_heads_and_an_encoder_gets_one(kind: str, tmp_path: Path) -> None:
    folder = _bert(kind, tmp_path)
    before = torch.get_rng_state()
    model, again, other = (load_base(folder, "masked", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert type(model).__name__ == ("BertForMaskedLM" if kind == "BertModel" else kind)
    assert _same(_outputs(model, "masked"), _outputs(again, "masked"))
    assert _same(_outputs(model, "masked"), _outputs(other, "masked")) is (kind != "BertModel")


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
def test_any_encoder_learns_to_classify_without_dropout(kind: str, tmp_path: Path) -> None:
    model = load_base(_bert(kind, tmp_path), "classify", LABELS)
    assert model.config.label2id == {"negative": 0, "positive": 1}
    assert not [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p]
    stored = load_file(tmp_path / "model.safetensors")
    words = next(tensor for name, tensor in stored.items() if name.endswith("word_embeddings.weight"))
    assert torch.equal(model.get_input_embeddings().weight, words)
    assert model.dtype == torch.float32


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_a_decoder_learns_to_classify_and_its_padding_does_not_count(shape: str, tmp_path: Path) -> None:
    decoder = _model("causal", shape)
    decoder.config.pad_token_id = None
    model = load_base(_save(decoder, "causal", tmp_path), "classify", LABELS)
    assert model.config.pad_token_id == _tokenizer("causal").pad_token_id
    inputs = _batch("causal").inputs
    alone = model(input_ids=inputs["input_ids"][1:, :6], attention_mask=inputs["attention_mask"][1:, :6]).logits
    torch.testing.assert_close(model(**inputs).logits[1:], alone)
    _train(adapted(model, TrainSettings(objective="classify", base="x", adapter="lora")), "classify")


def test_a_classifier_keeps_its_labels_and_refuses_others(tmp_path: Path) -> None:
    model = _model("classify", "bert")
    _save(model, "classify", tmp_path)
    for labels in (LABELS, LABELS[::-1], ("positive",), ()):
        loaded = load_base(tmp_path, "classify", labels)
        assert loaded.config.label2id == {"negative": 0, "positive": 1}
        assert _same(_outputs(loaded, "classify"), _outputs(model, "classify"))
    with pytest.raises(ModelError, match='negative, positive, not "neutral"'):
        load_base(tmp_path, "classify", ("neutral", "positive"))
    with pytest.raises(ConfigError, match="two"):
        load_base(_bert("BertModel", tmp_path / "bare"), "classify", ("only",))


@pytest.mark.parametrize(
    ("saved", "objective"),
    [
        ("bert", "causal"),
        ("bert", "seq2seq"),
        ("gpt2", "masked"),
        ("gpt2", "seq2seq"),
        ("t5", "causal"),
        ("bart", "masked"),
    ],
)
def test_a_base_of_another_kind_is_refused(saved: str, objective: str, tmp_path: Path) -> None:
    home = next(name for name, shapes in SHAPES.items() if saved in shapes)
    _save(_model(home, saved), home, tmp_path)
    with pytest.raises(ModelError, match=f'objective "{objective}" cannot train'):
        load_base(tmp_path, objective)


@pytest.mark.parametrize(("objective", "shape"), [("causal", "gpt2"), ("masked", "bert"), ("classify", "bert")])
def test_a_base_without_all_its_weights_is_refused(objective: str, shape: str, tmp_path: Path) -> None:
    weights = _save(_model(objective, shape), objective, tmp_path) / "model.safetensors"
    whole = load_file(weights)
    for lost in [*list(whole)[:: max(1, len(whole) // 4)], list(whole)[-1]]:
        save_file({name: tensor for name, tensor in whole.items() if name != lost}, weights, {"format": "pt"})
        with pytest.raises(ModelError, match=r"[12] tensors are missing"):
            load_base(tmp_path, objective, _labels(objective))
    save_file(whole, weights, {"format": "pt"})
    load_base(tmp_path, objective, _labels(objective))
    weights.write_bytes(weights.read_bytes()[:-400])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_base(tmp_path, objective, _labels(objective))


def test_what_is_no_model_or_a_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        load_base(tmp_path)
    model = _model("causal", "gpt2")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_base(tmp_path)


def test_the_context_of_roberta_is_what_is_left_behind_the_padding() -> None:
    from transformers import RobertaConfig, RobertaModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = RobertaModel(RobertaConfig(vocab_size=9, max_position_embeddings=34, pad_token_id=1, **sizes))
    ids = torch.full((1, context_of(model)), 5)
    assert ids.shape == (1, 32)
    model(ids)
    with pytest.raises(ConfigError, match='"mamba"'):
        context_of(SimpleNamespace(config=SimpleNamespace(model_type="mamba")))


def test_progress_bars_are_back_afterwards() -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    with without_bars():
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled()


# Low-rank additions ---------------------------------------------------------------------------------


def _lora(objective: str, **options: Any) -> TrainSettings:
    return TrainSettings(objective=objective, base="x", adapter="lora", rank=3, **options)


@every_kind
def test_only_the_additions_and_a_new_head_learn(objective: str, shape: str, tmp_path: Path) -> None:
    base = _model(objective, shape)
    frozen = {name: weight.clone() for name, weight in base.state_dict().items()}
    before = _outputs(base, objective)
    model = adapted(base, _lora(objective))
    assert _same(_outputs(model.eval(), objective), before)
    trained = {name: weight.clone() for name, weight in model.named_parameters() if weight.requires_grad}
    heads = {name for name in trained if "lora_" not in name}
    assert all("classifier" in name for name in heads)
    assert len(heads) == (2 if objective == "classify" else 0)
    assert {min(weight.shape) for name, weight in trained.items() if name not in heads} == {3}
    assert all(math.isfinite(loss) for loss in _train(model, objective))
    still = [
        name for name, weight in model.named_parameters() if name in trained and torch.equal(weight, trained[name])
    ]
    assert still == []
    for name, weight in model.get_base_model().state_dict().items():
        plain = name.replace(".base_layer", "").replace(".original_module", "")
        if "lora_" not in name and "modules_to_save" not in name:
            assert torch.equal(weight, frozen[plain]), name
    after = _outputs(model, objective)
    plain_model = merged(model)
    assert type(plain_model) is type(base)
    assert set(plain_model.state_dict()) == set(frozen)
    for mine, theirs in zip(_outputs(plain_model, objective), after, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    loaded = load_base(_save(plain_model, objective, tmp_path), objective, _labels(objective))
    assert _same(_outputs(loaded.eval(), objective), _outputs(plain_model, objective))


def test_additions_come_from_the_seed_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (adapted(_model("causal", "gpt2"), _lora("causal", seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    a, b, c = (
        torch.cat([w.flatten() for name, w in model.named_parameters() if "lora_A" in name])
        for model in (first, again, other)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_model_without_additions_is_merged_into_itself() -> None:
    model = _model("causal", "gpt2")
    assert merged(model) is model


def test_a_network_whose_layers_have_unknown_names_is_refused() -> None:
    from transformers import CTRLConfig, CTRLModel

    model = CTRLModel(CTRLConfig(vocab_size=9, n_positions=8, n_embd=8, dff=8, n_layer=1, n_head=1))
    with pytest.raises(ConfigError, match='"ctrl" is not known'):
        adapted(model, _lora("causal"))
