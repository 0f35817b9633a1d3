from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import CHAT, TEXTS, make_kind, make_network

from shoplm_audit.errors import AuditError, ConfigError, DataError, MachineError, ModelError, Unsupported
from shoplm_audit.models.classifier import ClassifierModel
from shoplm_audit.models.encoder_decoder import EncoderDecoderModel
from shoplm_audit.models.fingerprint import fingerprint_of
from shoplm_audit.models.load import load_model
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.masked import MaskedModel
from shoplm_audit.models.recorded import RecordedModel
from shoplm_audit.record import TrainingRecord
from shoplm_audit.training.tokenizer import learn_tokenizer
from shoplm_audit.types import Generate, Model, Pair, Prompt, Sampling


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def _load(folder: Path) -> LocalModel:
    model = load_model(str(folder), device="cpu")
    assert isinstance(model, LocalModel)
    return model


# Folders --------------------------------------------------------------------------------------------


def test_a_folder_gives_the_network_that_was_saved(
    gpt2_folder: Path, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    import torch

    folder = _copy(gpt2_folder, tmp_path / "reviews-dp" / "model")
    TrainingRecord(objective="causal", steps=7).write(folder)
    state = torch.random.get_rng_state()
    loaded = _load(folder)
    assert torch.equal(state, torch.random.get_rng_state())
    assert loaded.name == "reviews-dp"
    assert loaded.record == TrainingRecord(objective="causal", steps=7)
    assert loaded.network.dtype == torch.float32
    assert loaded.fingerprint.startswith("sha256:")
    made = LocalModel(make_network("gpt2", len(tokenizers["gpt2"])), tokenizers["gpt2"], name="made")
    pair = [Pair("The kettle is", " navy")]
    assert np.array_equal(loaded.score(pair)[0].log_prob, made.score(pair)[0].log_prob)
    assert loaded.parameters == made.parameters


def test_a_fingerprint_is_of_content_and_not_of_place(gpt2_folder: Path, tmp_path: Path) -> None:
    copy = _copy(gpt2_folder, tmp_path / "elsewhere")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"_name_or_path": "x", "transformers_version": "9"}))
    (copy / "README.md").write_text("moved")
    assert fingerprint_of(copy) == fingerprint_of(gpt2_folder)


def test_the_same_tensors_in_other_files_are_the_same_model(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    network = make_network("gpt2", len(tokenizers["gpt2"]))
    network.save_pretrained(tmp_path / "one")
    network.save_pretrained(tmp_path / "many", max_shard_size="30KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    assert fingerprint_of(tmp_path / "one") == fingerprint_of(tmp_path / "many")


def _retrain(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit of one weight
    weights.write_bytes(content)


def _edit(folder: Path, name: str, **settings: Any) -> None:
    path = folder / name
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(old | settings))


@pytest.mark.parametrize(
    "change",
    [
        _retrain,
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
        lambda folder: _edit(folder, "config.json", layer_norm_epsilon=0.5),
        lambda folder: _edit(folder, "generation_config.json", eos_token_id=[0, 3]),
        lambda folder: _edit(folder, "tokenizer_config.json", eos_token="navy"),
        lambda folder: _edit(folder, "tokenizer.json", normalizer={"type": "Lowercase"}),
    ],
    ids=["weights", "template", "config", "generation config", "tokenizer config", "tokenizer"],
)
def test_whatever_shapes_answers_changes_the_fingerprint(change: Any, gpt2_folder: Path, tmp_path: Path) -> None:
    copy = _copy(gpt2_folder, tmp_path / "copy")
    change(copy)
    assert fingerprint_of(copy) != fingerprint_of(gpt2_folder)


def _pickled(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_a_pickle_is_refused_and_loads_with_trust(gpt2_folder: Path, tmp_path: Path) -> None:
    copy = _copy(gpt2_folder, tmp_path / "copy")
    _pickled(copy)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*--trust"):
        _load(copy)
    trusted = load_model(str(copy), device="cpu", trust=True)
    pair = [Pair("The kettle is", " navy")]
    assert np.array_equal(trusted.score(pair)[0].log_prob, _load(gpt2_folder).score(pair)[0].log_prob)
    assert trusted.fingerprint not in ("", _load(gpt2_folder).fingerprint)


def _shards_missing(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    )


def _as_adapter(folder: Path, base: str, kind: str = "LORA") -> None:
    (folder / "config.json").unlink()
    _edit(folder, "adapter_config.json", base_model_name_or_path=base, peft_type=kind)


BROKEN = {
    "not a model folder": lambda f: (f / "config.json").unlink(),
    "names no base": lambda f: (f / "config.json").rename(f / "adapter_config.json"),
    'adapter of kind "PREFIX_TUNING"': lambda f: _as_adapter(f, str(f), "PREFIX_TUNING"),
    "is no folder and could not be fetched": lambda f: _as_adapter(f, "../nowhere"),
    "is an adapter as well": lambda f: _as_adapter(f, str(f)),
    "not a JSON object": lambda f: (f / "config.json").write_text("{"),
    "train --objective classify --from": lambda f: _edit(f, "config.json", architectures=["BertModel"]),
    "no kind that can be audited": lambda f: _edit(f, "config.json", architectures=["ViTForImageClassification"]),
    '"GemmaForConditionalGeneration" is of no': lambda f: _edit(
        f, "config.json", architectures=["GemmaForConditionalGeneration"]
    ),
    "auto_map": lambda f: _edit(f, "config.json", auto_map={"AutoModelForCausalLM": "mine.Model"}),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "pickle": lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    "not a safetensors file": lambda f: (f / "model.safetensors").write_bytes(
        (f / "model.safetensors").read_bytes()[:-9]
    ),
    "files of weights are missing": _shards_missing,
    "no tokenizer": lambda f: [path.unlink() for path in f.glob("tokenizer*")],
    "not a training record": lambda f: (f / "training.json").write_text("{}"),
}


def test_a_broken_folder_is_refused_in_one_line_before_torch_is_imported(gpt2_folder: Path, tmp_path: Path) -> None:
    folders = []
    for number, (why, damage) in enumerate(BROKEN.items()):
        folder = _copy(gpt2_folder, tmp_path / str(number))
        damage(folder)
        folders.append((str(folder), why))
    script = (
        "import json, sys\n"
        "from shoplm_audit.errors import ModelError\n"
        "from shoplm_audit.models.load import load_model\n"
        "for spec, why in json.loads(sys.argv[1]):\n"
        "    try:\n        load_model(spec)\n"
        "    except ModelError as fault:\n"
        "        assert why in str(fault) and spec in str(fault) and '\\n' not in str(fault), (why, str(fault))\n"
        "    else:\n        raise SystemExit(why)\n"
        "    assert not {'torch', 'transformers'} & set(sys.modules), why\n"
    )
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(folders)], capture_output=True, text=True, env=where
    )
    assert done.returncode == 0, done.stderr


def test_missing_tensors_are_refused_rather_than_made_up(gpt2_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = _copy(gpt2_folder, tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    tensors.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensors are missing.*c_fc"):
        _load(copy)


def test_the_tokenizer_of_another_model_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    copy = _copy(gpt2_folder, tmp_path / "copy")
    make_network("gpt2", 300).save_pretrained(copy)
    with pytest.raises(ModelError, match="420 tokens, the network 300"):
        _load(copy)


# Kinds of networks ----------------------------------------------------------------------------------


def _saved(folder: Path, network: Any, tokenizer: Any) -> Path:
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("shape", "objective", "kind"),
    [
        ("bert", "masked", MaskedModel),
        ("pretraining", "masked", MaskedModel),
        ("t5", "seq2seq", EncoderDecoderModel),
        ("bart", "seq2seq", EncoderDecoderModel),
        ("labels", "classify", ClassifierModel),
    ],
)
def test_a_folder_s_architecture_decides_how_it_is_asked(shape: str, objective: Any, kind: Any, tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(TEXTS, 420, objective)
    network = make_kind(shape, len(tokenizer), **({"id2label": {0: "no", 1: "yes"}} if shape == "labels" else {}))
    loaded = load_model(str(_saved(tmp_path / "model", network, tokenizer)), device="cpu")
    assert type(loaded) is kind
    assert isinstance(loaded, Model)
    pair = [Pair("The kettle is navy.", "yes")]
    made = kind(network, tokenizer, name="made").score(pair)[0].log_prob
    assert np.array_equal(loaded.score(pair)[0].log_prob, made)


def test_an_old_t5_is_an_encoder_decoder(tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(TEXTS, 420, "seq2seq")
    folder = _saved(tmp_path / "model", make_kind("t5", len(tokenizer)), tokenizer)
    _edit(folder, "config.json", architectures=["T5WithLMHeadModel"])
    assert isinstance(load_model(str(folder), device="cpu"), EncoderDecoderModel)


def test_the_decoder_of_this_package_loads_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoplm_audit.models.transformer import TransformerConfig, TransformerForCausalLM

    tokenizer = learn_tokenizer(TEXTS, 420)
    config = TransformerConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    network = TransformerForCausalLM(config).eval()
    folder = _saved(tmp_path / "model", network, tokenizer)
    asked: list[str] = []
    real = importlib.import_module
    monkeypatch.setattr("importlib.import_module", lambda name, *rest: asked.append(name) or real(name, *rest))
    loaded = _load(folder)
    assert "shoplm_audit.models.transformer" in asked  # transformers knows it in no process that has not imported it
    pair = [Pair("The kettle is", " navy")]
    made = LocalModel(network, tokenizer, name="made").score(pair)
    np.testing.assert_allclose(loaded.score(pair)[0].log_prob, made[0].log_prob, atol=1e-6)
    assert len(loaded.generate([Generate(Prompt("The kettle"), Sampling(4))])) == 1


def test_a_head_that_nobody_trained_is_refused(tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(TEXTS, 420, "classify")
    folder = _saved(tmp_path / "model", make_kind("encoder", len(tokenizer)), tokenizer)
    with pytest.raises(ModelError, match="--objective classify"):
        load_model(str(folder))
    _edit(folder, "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(ModelError, match=r"2 tensors are missing.*classifier"):
        load_model(str(folder))


# Adapters -------------------------------------------------------------------------------------------


def _adapted(base: Any, folder: Path, named: str, **settings: Any) -> Any:
    """The network with additions drawn at random, saved as peft saves them."""
    import torch
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is to go
        torch.manual_seed(7)
        adapted = get_peft_model(base, LoraConfig(r=4, init_lora_weights=False, **settings)).eval()
    adapted.peft_config["default"].base_model_name_or_path = named
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return adapted


@pytest.fixture
def adapter(gpt2_folder: Path, tokenizers: dict[str, Any], tmp_path: Path) -> tuple[Path, Any]:
    _copy(gpt2_folder, tmp_path / "base")
    network = make_network("gpt2", len(tokenizers["gpt2"]))
    folder = tmp_path / "lora"
    return folder, _adapted(network, folder, "../base", target_modules=["c_attn"], fan_in_fan_out=True)


def test_an_adapter_is_merged_into_the_base_it_names(
    adapter: tuple[Path, Any], gpt2_folder: Path, tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    folder, adapted = adapter
    TrainingRecord(objective="causal", steps=7).write(folder)
    state = torch.random.get_rng_state()
    loaded = _load(folder)
    assert torch.equal(state, torch.random.get_rng_state())
    ids = torch.tensor([tokenizers["gpt2"]("The kettle is navy")["input_ids"]])
    with torch.inference_mode():
        theirs = adapted(ids).logits
        np.testing.assert_allclose(loaded.network(ids).logits, theirs, atol=1e-4)
        assert not np.allclose(_load(gpt2_folder).network(ids).logits, theirs, atol=0.1)
    assert not any("lora" in name for name, _ in loaded.network.named_parameters())
    assert loaded.record == TrainingRecord(objective="causal", steps=7)
    assert loaded.name == "lora"
    # The same base by its whole path, and by one that counts from where the command runs.
    monkeypatch.chdir(folder.parent)
    for named in (str(folder.parent / "base"), "base"):
        _edit(folder, "adapter_config.json", base_model_name_or_path=named)
        assert _load(folder).fingerprint == loaded.fingerprint


def test_the_fingerprint_of_an_adapter_covers_its_base(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    base = folder.parent / "base"
    first = _load(folder).fingerprint
    assert first not in (fingerprint_of(folder), fingerprint_of(base))
    _retrain(base)
    second = _load(folder).fingerprint
    _edit(folder, "adapter_config.json", lora_alpha=9)
    assert len({first, second, _load(folder).fingerprint}) == 3


def test_an_adapter_that_does_not_fit_is_refused(adapter: tuple[Path, Any], tokenizers: dict[str, Any]) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = adapter
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(iter(tensors))
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"1 tensors are missing.*lora_"):
        _load(folder)
    save_file(tensors | {name: tensors[name][:, :-1].clone()}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="does not fit its base"):
        _load(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"pickle.*--trust"):
        _load(folder)


def test_an_adapter_brings_the_head_that_its_base_has_not(tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(TEXTS, 420, "classify")
    _saved(tmp_path / "base", make_kind("encoder", len(tokenizer)), tokenizer)
    from transformers import BertForSequenceClassification

    network = BertForSequenceClassification.from_pretrained(tmp_path / "base", id2label={0: "no", 1: "yes"})
    settings = {"target_modules": ["query", "value"], "modules_to_save": ["classifier"]}
    adapted = _adapted(network, tmp_path / "lora", "../base", **settings)
    network.config.architectures = ["BertForSequenceClassification"]
    network.config.save_pretrained(tmp_path / "lora")
    loaded = load_model(str(tmp_path / "lora"), device="cpu")
    pair = Pair("The kettle is navy.", "yes")
    merged = ClassifierModel(adapted.merge_and_unload(), tokenizer, name="made")
    np.testing.assert_allclose(loaded.score([pair])[0].log_prob, merged.score([pair])[0].log_prob, atol=1e-5)
    (tmp_path / "lora" / "config.json").unlink()
    with pytest.raises(ModelError, match="--objective classify"):
        load_model(str(tmp_path / "lora"))


# Devices, hub, unknown kinds ------------------------------------------------------------------------


def test_device_and_dtype_are_checked(gpt2_folder: Path) -> None:
    import torch

    assert load_model(str(gpt2_folder), device="cpu", dtype="bfloat16").network.dtype == torch.bfloat16  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match='dtype "int3"'):
        load_model(str(gpt2_folder), dtype="int3")
    with pytest.raises(ConfigError, match='device "toaster"'):
        load_model(str(gpt2_folder), device="toaster")
    with pytest.raises(MachineError, match=r"cuda:64.*--device cpu"):
        load_model(str(gpt2_folder), device="cuda:64")


@pytest.mark.parametrize("spec", ["./nowhere", "a/b/c", "/nowhere/at/all", "here/reviews"])
def test_a_folder_that_is_not_there_opens_no_connection(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    with pytest.raises(ModelError, match=r"no such folder\. A model is a folder, a hub name"):
        load_model(spec)


def test_a_hub_name_is_fetched_without_pickles(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if name == "nobody/nothing":
            raise OSError("no network")
        return str(gpt2_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    model = load_model("shop/reviews", device="cpu")
    assert model.name == "shop/reviews"
    assert model.fingerprint == fingerprint_of(gpt2_folder)
    assert not [pattern for pattern in asked[0][1] if "bin" in pattern or "py" in pattern]
    with pytest.raises(ModelError, match=r'"nobody/nothing".*OSError'):
        load_model("nobody/nothing")


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match=r'"gpt4all:".*openai:URL#MODEL, python:module:function or recorded:FILE\.jsonl'
    ):
        load_model("gpt4all:x")


# Servers --------------------------------------------------------------------------------------------

NO_SERVERS = {
    "openai:http://localhost:8000/v1": "names no model",
    "openai:http://localhost:8000/v1#": "names no model",
    "openai:#gpt": "is no URL of a server",
    "openai:localhost:8000/v1#gpt": "is no URL of a server",
    "openai:ftp://localhost/v1#gpt": "is no URL of a server",
    "openai:http://#gpt": "is no URL of a server",
    "openai:http://localhost:port/v1#gpt": "cannot be read",
    "openai:http://[::1/v1#gpt": "cannot be read",
    "openai:https://me:hunter2@shop.example/v1#gpt": "holds a password",
    "openai:https://shop.example/v1?key=hunter2#gpt": "holds a password or parameters",
}


def test_what_is_no_server_is_refused_in_one_line_and_a_server_is_not_spoken_to_before_it_is_asked() -> None:
    script = (
        "import json, socket, sys\n"
        "socket.socket.connect = None\n"
        "from shoplm_audit.errors import ModelError\n"
        "from shoplm_audit.models.load import load_model\n"
        "for spec, why in json.loads(sys.argv[1]).items():\n"
        "    try:\n        load_model(spec)\n"
        "    except ModelError as fault:\n"
        "        assert why in str(fault) and '\\n' not in str(fault), (spec, str(fault))\n"
        "        assert 'hunter2' not in str(fault) and 'me:' not in str(fault), str(fault)\n"
        "        assert 'SHOPLM_API_KEY' in str(fault) or 'openai:http' in str(fault), str(fault)\n"
        "    else:\n        raise SystemExit(spec)\n"
        "model = load_model('openai:http://[::1]:8000/v1/#shop/writer#2')\n"
        "assert model.name == 'shop/writer#2'\n"
        "assert 'http://[::1]:8000/v1 cannot be verified' in model.notes[0]\n"
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules)\n"
    )
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, json.dumps(NO_SERVERS)]
    done = subprocess.run(command, capture_output=True, text=True, env=where)
    assert done.returncode == 0, done.stderr


def test_a_missing_client_and_a_key_that_cannot_be_sent_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLM_API_KEY", "sk-\u00e9")
    with pytest.raises(ModelError, match="characters that no key has") as told:
        load_model("openai:http://localhost:8000/v1#gpt")
    assert "sk-" not in str(told.value)
    monkeypatch.delenv("SHOPLM_API_KEY")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'pip install "shoplm-audit\[remote\]"'):
        load_model("openai:http://localhost:8000/v1#gpt")


# Recorded answers -----------------------------------------------------------------------------------


def _answers(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_recorded_answers_are_found_by_case_and_sample(tmp_path: Path) -> None:
    file = _answers(
        tmp_path / "vendor.jsonl",
        {"case": "a", "sample": 0, "text": "one\u2028line"},
        {"case": "a", "sample": 1, "text": "two"},
        "",
        {"case": "b", "text": "藏青色"},
    )
    model = load_model(f"recorded:{file}")
    assert isinstance(model, Model)
    assert isinstance(model, RecordedModel)
    assert model.answers_by_case
    assert [model.answer("a"), model.answer("a", 1), model.answer("b")] == ["one\u2028line", "two", "藏青色"]
    assert (model.name, model.parameters, model.record) == ("vendor", None, None)
    with pytest.raises(LookupError, match='case "c", sample 0'):
        model.answer("c")
    with pytest.raises(Unsupported):
        model.generate([Generate(Prompt("a"))])
    with pytest.raises(Unsupported):
        model.score([Pair("a", "b")])
    before = model.fingerprint
    assert RecordedModel(Path(shutil.copy(file, tmp_path / "other.jsonl"))).fingerprint == before
    _answers(file, {"case": "a", "text": "other"})
    assert RecordedModel(file).fingerprint != before


def test_all_faults_of_a_recorded_file_are_told_with_their_lines(tmp_path: Path) -> None:
    good = {"case": "a", "sample": 0, "text": "x"}
    file = _answers(
        tmp_path / "v.jsonl",
        good,
        "{",
        [1],
        {"case": 3, "text": ""},
        {"case": "b", "sample": -1, "text": ""},
        {"case": "b"},
        good,
    )
    with pytest.raises(DataError) as caught:
        load_model(f"recorded:{file}")
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{file}:").split(":")[0] for line in lines] == ["2", "3", "4", "5", "6", "7"]
    assert lines[-1].endswith('case "a", sample 0 is answered already on line 1.')


def test_a_recorded_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes('{"case": "a", "text": "é"}'.encode("latin-1"))
    (tmp_path / "empty.jsonl").write_text("\n")
    for name, why in (("none.jsonl", "no such file"), ("latin.jsonl", "not UTF-8"), ("empty.jsonl", "no answers")):
        with pytest.raises(DataError, match=why):
            load_model(f"recorded:{tmp_path / name}")


# Functions ------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "a_shop_for_this_test"
    (tmp_path / f"{name}.py").write_text(
        "import itertools\ncount = itertools.count()\n"
        "def answer(prompts):\n    return [f'{prompt}! {next(count)} END more' for prompt in prompts]\n"
        "def short(prompts):\n    return prompts[1:]\n"
        "def wrong(prompts):\n    return 'text'\n"
    )
    (tmp_path / f"{name}_broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return name


def test_a_function_of_the_current_folder_is_a_model(shop: str) -> None:
    path = list(sys.path)
    model = load_model(f"python:{shop}:answer")
    assert sys.path == path
    assert isinstance(model, Model)
    assert (model.fingerprint, model.record, model.batch_sensitive) == ("", None, False)
    requests = [
        Generate(Prompt("Hi", system="Sell.")),
        Generate(Prompt("Yo"), Sampling(n=2, temperature=1.0, stop=(" END",))),
    ]
    assert model.generate(requests) == ["Sell.\n\nHi! 0 END more", "Yo! 1", "Yo! 2"]
    with pytest.raises(Unsupported):
        model.score([Pair("a", "b")])


@pytest.mark.parametrize(
    ("spec", "why"),
    [("python:json", "Write python:module:function"), ("python:no_such.module:f", 'No module "no_such.module"')],
)
def test_a_function_that_is_not_there_is_refused(spec: str, why: str, shop: str) -> None:
    with pytest.raises(ModelError, match=why):
        load_model(spec)
    with pytest.raises(ModelError, match='no function "nothing"'):
        load_model(f"python:{shop}:nothing")


def test_a_fault_inside_the_module_keeps_its_traceback(shop: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        load_model(f"python:{shop}_broken:answer")


def test_a_function_that_does_not_answer_each_prompt_is_refused(shop: str) -> None:
    with pytest.raises(ModelError, match="1 texts came back for 2 prompts"):
        load_model(f"python:{shop}:short").generate([Generate(Prompt("a")), Generate(Prompt("b"))])
    with pytest.raises(ModelError, match="list of strings"):
        load_model(f"python:{shop}:wrong").generate([Generate(Prompt("a"))])


# GGUF -----------------------------------------------------------------------------------------------


def _write_gguf(path: Path, network: Any, tokenizer: Any) -> None:
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
    config = network.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in core["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(CHAT)
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    ends = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm", "lm_head.weight": "output"}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in network.state_dict().items():
        weight = tensor.numpy()
        if name in ends:
            target = ends[name]
        else:
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            target = f"blk.{layer}.{parts[part]}"
            if parts[part] in heads:  # llama.cpp turns the halves of a head into pairs
                count, (rows, columns) = heads[parts[part]], weight.shape
                weight = weight.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        writer.add_tensor(f"{target}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_converted_once_and_scores_as_the_network_it_was_made_from(
    tokenizers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("llama", len(tokenizers["llama"]))
    (tmp_path / "folder").mkdir()
    _write_gguf(tmp_path / "folder" / "tiny.gguf", network, tokenizers["llama"])
    monkeypatch.setenv("SHOPLM_CACHE", str(tmp_path / "cache"))
    model = load_model(str(tmp_path / "folder" / "tiny.gguf"), device="cpu")
    made = LocalModel(network, tokenizers["llama"], name="made")
    # transformers does not carry over that the tokenizer begins each text by itself.
    pairs = [Pair("The kettle is", " navy"), Pair("这条评价是", "正面")]
    begun = [Pair(f"<|begin|>{pair.context}", pair.continuation) for pair in pairs]
    for found, wanted in zip(model.score(begun), made.score(pairs), strict=True):
        np.testing.assert_allclose(found.log_prob, wanted.log_prob, atol=1e-4)
    assert model.name == "tiny"

    monkeypatch.setattr("shoplm_audit.models.gguf._convert", None)
    again = load_model(str(tmp_path / "folder"), device="cpu")
    assert again.fingerprint == model.fingerprint
    assert len(list((tmp_path / "cache" / "gguf").iterdir())) == 1


def test_what_is_no_gguf_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.gguf"
    with pytest.raises(ModelError, match="no such file"):
        load_model(str(file))
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="not a GGUF file"):
        load_model(str(file))
    file.write_bytes(b"GGUF")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"shoplm-audit\[gguf\]"):
        load_model(str(file))
    assert issubclass(ModelError, AuditError)
