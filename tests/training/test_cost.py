import copy
import json
import time
import warnings

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from shoplm_audit.models.transformer import TransformerConfig, TransformerForCausalLM
from shoplm_audit.training.cost import Energy, Meter, _matrix_speed, work_of
from shoplm_audit.training.rows import Row

CPU = torch.device("cpu")
SHAPES = {
    "gpt2": lambda: GPT2LMHeadModel(_config(GPT2Config, n_embd=32, n_layer=3, n_head=4, n_positions=96)),
    "transformer": lambda: TransformerForCausalLM(
        _config(TransformerConfig, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    ),
    "llama": lambda: LlamaForCausalLM(
        _config(
            LlamaConfig,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=12,
        )
    ),
    "bert": lambda: BertForPreTraining(_bert()),
    "classifier": lambda: BertForSequenceClassification(_bert()),
    "t5": lambda: T5ForConditionalGeneration(
        _config(
            T5Config,
            d_model=32,
            d_ff=64,
            d_kv=12,
            num_heads=4,
            num_layers=2,
            num_decoder_layers=3,
            decoder_start_token_id=0,
        )
    ),
    "bart": lambda: BartForConditionalGeneration(
        _config(
            BartConfig,
            d_model=32,
            encoder_layers=2,
            decoder_layers=3,
            encoder_ffn_dim=64,
            decoder_ffn_dim=48,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            max_position_embeddings=96,
        )
    ),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("shoplm_audit.training.cost._PEAK_SECONDS", 0.05)


def _config(kind, **sizes):
    # Attention written out: of fused attention the counter charges a GPU's recomputation and overlooks a CPU's whole.
    return kind(vocab_size=120, attn_implementation="eager", **sizes)


def _bert(**sizes):
    return _config(
        BertConfig,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=96,
        **sizes,
    )


def _counted(model, source: int, answer: int) -> float:
    """FLOPs by torch's own counter."""
    inputs = {"input_ids": torch.ones(1, source, dtype=torch.long)}
    inputs["attention_mask"] = inputs["input_ids"]
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.ones(1, answer, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        output = model.train()(**inputs)
        sum(part.sum() for part in output.values() if isinstance(part, torch.Tensor) and part.dim() < 4).backward()
    return counter.get_total_flops()


def _lora(model, *targets: str):
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():  # peft asks transformers by a name that is about to change
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, LoraConfig(r=4, target_modules=list(targets), fan_in_fan_out="c_attn" in targets))


def _row(tokens: int, answer: int = 0) -> Row:
    return Row(tokens=(1,) * tokens, targets=(2,) * answer)


@pytest.mark.parametrize(("source", "answer"), [(6, 9), (80, 33)])
@pytest.mark.parametrize("shape", SHAPES)
def test_flops_are_those_that_torch_counts(shape, source, answer):
    model = SHAPES[shape]()
    assert work_of(model).of(source, answer) == pytest.approx(_counted(model, source, answer), rel=0.01)


@pytest.mark.parametrize("tokens", [6, 80])
@pytest.mark.parametrize(("shape", "targets"), [("gpt2", ["c_attn"]), ("llama", ["q_proj", "v_proj"])])
def test_adapters_on_a_frozen_base_save_the_gradients_of_its_weights(shape, targets, tokens):
    plain = SHAPES[shape]()
    whole = work_of(plain).of(tokens)
    model = _lora(plain, *targets)
    # The lowest attention is counted as passing gradients to all that it mixes, though the keys there need none.
    assert work_of(model).of(tokens) == pytest.approx(_counted(model, tokens, 0), rel=0.04)
    assert 0.6 < work_of(model).of(tokens) / whole < 0.85


@pytest.mark.parametrize("tokens", [6, 80])
def test_what_lies_below_the_lowest_trained_layer_costs_only_its_forward_pass(tokens):
    model = SHAPES["classifier"]()
    forward = work_of(model).of(tokens) / 3
    for parameter in model.bert.parameters():
        parameter.requires_grad = False
    head = work_of(model).of(tokens)
    assert head == pytest.approx(forward, rel=0.01)
    for parameter in model.bert.encoder.layer[2].parameters():
        parameter.requires_grad = True
    upper = work_of(model).of(tokens)
    assert upper == pytest.approx(_counted(model, tokens, 0), rel=0.02)
    assert head < upper < 2.2 * forward


def test_rows_of_embeddings_cost_nothing_and_tokens_cost_more_in_a_long_row():
    small, large = (BertForSequenceClassification(_bert(type_vocab_size=kinds)) for kinds in (2, 500))
    assert work_of(small).of(40) == work_of(large).of(40)
    assert work_of(small).of(80) > 2 * work_of(small).of(40)


def test_counting_leaves_the_model_as_it_was():
    model = SHAPES["gpt2"]().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    Meter(model, "fp32")
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_row_counts_its_own_tokens_and_no_padding():
    model = SHAPES["gpt2"]()
    work, meter = work_of(model), Meter(model, "fp32")
    meter.add([_row(5, 5), _row(31, 31)])
    meter.add([_row(8)])
    cost = meter.cost()
    assert cost["tokens"] == 44
    assert cost["flops"] == work.of(5) + work.of(31) + work.of(8)
    assert cost["tokens_per_second"] == pytest.approx(44 / cost["seconds"], rel=0.01)


def test_an_encoder_decoder_counts_source_and_answer_also_where_they_are_equally_long():
    meter = Meter(SHAPES["t5"](), "fp32")
    meter.add([_row(7, 7), _row(7, 3)])
    assert meter.cost()["tokens"] == 24


def test_parameters_that_are_trained_are_told_from_all():
    model = _lora(SHAPES["gpt2"](), "c_attn")
    cost = Meter(model, "fp32").cost()
    assert cost["parameters"] == sum(p.numel() for p in model.parameters())
    assert cost["trainable_parameters"] == 3 * 4 * (32 + 96)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_speed_of_this_device_is_that_of_a_matrix_product(kind):
    speed = _matrix_speed(CPU, kind)
    left, times = torch.ones(1024, 1024, dtype=kind), []
    for _ in range(5):
        began = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - began)
    assert 0.2 < 2 * 1024**3 / min(times) / speed < 5  # wide, for machines that do other work at the same time


def test_utilisation_is_the_share_of_that_speed(monkeypatch):
    monkeypatch.setattr("shoplm_audit.training.cost._matrix_speed", lambda *_: 1e9)
    meter = Meter(SHAPES["gpt2"](), "fp32")
    assert meter.cost()["model_flops_utilisation"] == 0
    meter.add([_row(90)] * 500)
    cost = meter.cost()
    assert cost["model_flops_utilisation"] == pytest.approx(cost["flops"] / cost["seconds"] / 1e9, rel=0.01)


def test_a_run_that_was_cut_off_adds_up():
    model = SHAPES["gpt2"]()
    first = Meter(model, "fp32")
    first.add([_row(20)])
    state = json.loads(json.dumps(first.state()))
    second = Meter(model, "fp32", state | {"seconds": 3600.0, "peak_memory_mib": 1e6})
    second.add([_row(10)])
    cost = second.cost()
    assert cost["tokens"] == 30
    assert cost["flops"] == work_of(model).of(20) + work_of(model).of(10)
    assert 3600 <= cost["seconds"] < 3700
    assert cost["tokens_per_second"] == pytest.approx(30 / 3600, rel=0.03)
    assert cost["peak_memory_mib"] == 1e6


def test_processes_that_share_a_run_add_up_what_they_counted():
    class Two:
        count = 2

        def add_up(self, tensors):
            for tensor in tensors:
                tensor *= 2

    meter = Meter(SHAPES["gpt2"](), "fp32")
    meter.add([_row(50)] * 2000)
    alone, together = meter.cost(), meter.cost(Two())
    assert together["tokens"] == 2 * alone["tokens"]
    assert together["flops"] == 2 * alone["flops"]
    same_time = alone["seconds"] / together["seconds"]
    assert together["model_flops_utilisation"] == pytest.approx(alone["model_flops_utilisation"] * same_time, rel=0.01)


def test_memory_is_told_in_mebibytes():
    assert 50 < Meter(SHAPES["gpt2"](), "fp32").cost()["peak_memory_mib"] < 100_000


def test_of_hidden_rows_only_two_digits_are_told():
    meter = Meter(SHAPES["gpt2"](), "fp32")
    for length in (81, 37, 90):
        meter.add([_row(length)] * 997)
    open_, hidden = meter.cost(), meter.cost(hidden=True)
    assert open_["tokens"] == 208 * 997
    assert hidden["tokens"] == 210_000
    for name in hidden.keys() - {"parameters", "trainable_parameters"}:
        assert float(f"{hidden[name]:.2g}") == hidden[name], name


# Energy


def _counter(folder, name: str, label: str, used: int, most: int = 10_000_000):
    at = folder / name
    at.mkdir(exist_ok=True)
    (at / "name").write_text(label + "\n")
    (at / "energy_uj").write_text(f"{used}\n")
    (at / "max_energy_range_uj").write_text(f"{most}\n")


def test_packages_are_summed_once_and_a_counter_may_wrap_around(tmp_path):
    _counter(tmp_path, "intel-rapl:0", "package-0", 9_000_000)
    _counter(tmp_path, "intel-rapl:1", "package-1", 1_000_000)
    _counter(tmp_path, "intel-rapl-mmio:0", "package-0", 9_000_000)
    _counter(tmp_path, "intel-rapl:0:0", "core", 500)
    _counter(tmp_path, "intel-rapl:2", "psys", 77_000_000)
    energy = Energy(CPU, tmp_path)
    assert energy.joules == 0
    for name in ("intel-rapl:0", "intel-rapl-mmio:0"):
        _counter(tmp_path, name, "package-0", 2_000_000)
    _counter(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    _counter(tmp_path, "intel-rapl:0:0", "core", 900_000)
    energy.read()
    assert energy.readable
    assert energy.joules == pytest.approx(3 + 4)


@pytest.mark.parametrize("content", [None, "", "not a number"])
def test_energy_is_left_out_where_no_counter_can_be_read(tmp_path, content, monkeypatch):
    if content is not None:
        _counter(tmp_path, "intel-rapl:0", "package-0", 0)
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text(content)
    monkeypatch.setattr("shoplm_audit.training.cost._POWERCAP", tmp_path)
    assert not Energy(CPU, tmp_path).readable
    assert "energy_kwh" not in Meter(SHAPES["gpt2"](), "fp32").cost()


def test_a_counter_that_goes_away_ends_the_count_and_not_the_run(tmp_path):
    _counter(tmp_path, "intel-rapl:0", "package-0", 5)
    energy = Energy(CPU, tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    energy.read()
    assert not energy.readable


def test_energy_of_both_halves_is_told_only_where_both_were_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("shoplm_audit.training.cost._POWERCAP", tmp_path)
    model = SHAPES["gpt2"]()
    unmeasured = Meter(model, "fp32").state()
    _counter(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter(model, "fp32")
    _counter(tmp_path, "intel-rapl:0", "package-0", 7_200_000)
    measured = meter.state()
    assert meter.cost()["energy_kwh"] == 2e-6
    assert Meter(model, "fp32", measured).cost()["energy_kwh"] == 2e-6
    assert "energy_kwh" not in Meter(model, "fp32", unmeasured).cost()
