"""A SPEC to a model: every file is looked at before anything heavy is imported.

load_model("checkpoints/reviews-dp", device="cpu").generate([Generate(Prompt("Review:"))])
"""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ConfigError, MachineError, ModelError
from shoplm_audit.models.adapter import base_named, is_adapter, merged, tensors_of
from shoplm_audit.models.callables import imported
from shoplm_audit.models.endpoint import RemoteSettings
from shoplm_audit.models.fingerprint import digest_of, fingerprint_of, tensors_in, weights_digest
from shoplm_audit.models.gguf import check_gguf, converted
from shoplm_audit.models.marking import any_mark_read
from shoplm_audit.models.recorded import RecordedModel
from shoplm_audit.models.remote import remote_model
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import Model

if TYPE_CHECKING:
    import torch

__all__ = ["load_model", "local_folder"]

_SPECS = "a folder, a hub name, FILE.gguf, openai:URL#MODEL, python:module:function or recorded:FILE.jsonl"
_DTYPES = ("float32", "bfloat16", "float16")
_SCHEME = re.compile(r"([a-z][a-z0-9+]+):")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_OURS = "shoplm-transformer"
_PATIENT = RemoteSettings()


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of network: how its architectures are called, what loads it, what asks it."""

    architectures: str
    loader: str
    module: str
    model: str


_CAUSAL = _Kind(r"CausalLM$|LMHeadModel$", "AutoModelForCausalLM", "local", "LocalModel")
_ENCODED = _Kind(
    r"ForConditionalGeneration$|MTModel$|LMHeadModel$",
    "AutoModelForSeq2SeqLM",
    "encoder_decoder",
    "EncoderDecoderModel",
)
_KINDS = (
    _CAUSAL,
    _Kind(r"ForMaskedLM$|ForPreTraining$", "AutoModelForMaskedLM", "masked", "MaskedModel"),
    _Kind(r"ForSequenceClassification$", "AutoModelForSequenceClassification", "classifier", "ClassifierModel"),
    _ENCODED,
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a folder holds: its kind, where its weights and its tokenizer lie, and the adapter's own folder."""

    kind: _Kind
    weights: Path
    tokenizer: Path
    config: Path
    adapter: Path | None = None


def load_model(
    spec: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    trust: bool = False,
    remote: RemoteSettings = _PATIENT,
) -> Model:
    """Loads what can be audited.

    Args:
        spec: a folder or hub name (transformers, safetensors: a causal or masked language model, an encoder-decoder, a
            classifier, or a LoRA adapter, which is merged into its base), a `.gguf` file or a folder that holds just
            one, `openai:URL#MODEL` (an OpenAI-compatible server; the key comes from SHOPLM_API_KEY or OPENAI_API_KEY),
            `python:module:function`, or `recorded:FILE.jsonl`.
        device: "cpu", "cuda", "cuda:1", ...; None takes a GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; None is float32 on a CPU and bfloat16 on a GPU.
        trust: allows pickled weights and code that comes with the model: both can run anything.
        remote: bounds and patience for a server.

    Returns:
        The model; one from a folder brings its training record, if its trainer left one.

    Raises:
        ModelError: no model there, or weights that are refused; said before anything heavy is imported.
        DataError: recorded answers that cannot be read.
        MachineError: no such device.
        ConfigError: an unknown dtype.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise ConfigError(f'dtype "{dtype}" is unknown. Known: {", ".join(_DTYPES)}.')
    scheme = _SCHEME.match(spec)
    if scheme and scheme[1] == "openai":
        return remote_model(spec[scheme.end() :], remote)
    if scheme and not Path(spec).exists():
        rest = spec[scheme.end() :]
        if scheme[1] == "python":
            return imported(rest)
        if scheme[1] == "recorded":
            return RecordedModel(Path(rest))
        raise ModelError(f'model "{spec}": unknown kind "{scheme[1]}:". A model is {_SPECS}.')
    path = Path(spec).expanduser()
    if spec == "demo" and not path.exists():
        made = "`shoplm-audit run --model demo` makes the demo's models"
        raise ModelError(f'model "demo": {made}; then name one: runs/demo/plain/model.')
    if not path.exists() and path.suffix != ".gguf":
        path = _from_hub(spec, path, trust)
        return _local(path, spec, device, dtype, trust)
    found = [path] if path.suffix == ".gguf" else list(path.glob("*.gguf"))
    if len(found) == 1 and not (path / "config.json").is_file():
        check_gguf(found[0])
        _device(device)
        return _local(converted(found[0]), found[0].stem, device, dtype, trust, fingerprint=digest_of(found[0]))
    # A checkpoint is often called "model" inside a folder that has the telling name.
    name = path.resolve()
    return _local(path, name.parent.name if name.name == "model" else name.name, device, dtype, trust)


def local_folder(spec: str) -> Path:
    """The folder of a model that is named by a folder or hub name, fetched if it has to be.

    Raises:
        ModelError: there is none.
    """
    path = Path(spec).expanduser()
    return path if path.exists() else _from_hub(spec, path, trust=False)


def _from_hub(spec: str, path: Path, trust: bool) -> Path:
    """The folder of a hub model; opens a connection only for what can be a hub name and lies in no folder here."""
    if not _HUB_NAME.fullmatch(spec) or (len(path.parts) > 1 and path.parent.is_dir()):
        raise ModelError(f'model "{spec}": no such folder. A model is {_SPECS}.')
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    patterns = [*_HUB_FILES, *(("*.bin", "*.py") if trust else ())]
    try:
        return Path(snapshot_download(spec, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except (OSError, ValueError, HFValidationError) as fault:
        why = type(fault).__name__
        raise ModelError(
            f'model "{spec}": no such folder, and no hub model of that name could be fetched ({why}). '
            f"A model is {_SPECS}."
        ) from fault


def _found(folder: Path, trust: bool) -> _Found:
    """What is in a folder; refuses one from which nothing can be loaded, with what to do about it."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: a file, not a model. A model is {_SPECS}.")
    if is_adapter(folder):
        return _adapter(folder, trust)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: not a model folder (no config.json). A model is {_SPECS}.")
    kind = _kind_of(folder, trust)
    _check_weights(folder, trust)
    if not _has_tokenizer(folder):
        raise ModelError(f"{folder}: no tokenizer (no tokenizer.json). Save the tokenizer into the same folder.")
    return _Found(kind, folder, folder, folder)


def _adapter(folder: Path, trust: bool) -> _Found:
    base = _base_of(folder, base_named(folder), trust)
    if is_adapter(base):
        raise ModelError(f"{folder}: its base {base} is an adapter as well. Merge that one (merge_and_unload) first.")
    _check_weights(folder, trust)
    if not (folder / "config.json").is_file():
        under = _found(base, trust)
        return _Found(under.kind, base, folder if _has_tokenizer(folder) else base, base, folder)
    # A head and its labels that the base has not: the adapter's trainer saved the configuration of both together.
    _check_weights(base, trust)
    tokenizer = folder if _has_tokenizer(folder) else base
    return _Found(_kind_of(folder, trust), base, tokenizer, folder, folder)


def _base_of(folder: Path, named: str, trust: bool) -> Path:
    # peft writes the path as it was given, so a relative one may also count from where the command runs.
    for base in (folder / named, Path(named).expanduser()):
        if base.is_dir():
            return base
    try:
        return _from_hub(named, Path(named), trust)
    except ModelError as fault:
        raise ModelError(
            f'{folder}: the base of this adapter, "{named}", is no folder and could not be fetched. Put it there, or '
            'write where it lies into "base_model_name_or_path" of adapter_config.json.'
        ) from fault


def _kind_of(folder: Path, trust: bool) -> _Kind:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architectures, encoded = config.get("architectures") or [], config.get("is_encoder_decoder") is True
    except (ValueError, AttributeError) as fault:
        raise ModelError(f"{folder / 'config.json'}: not a JSON object ({fault}). Save the model again.") from fault
    if "auto_map" in config and not trust:
        raise ModelError(f"{folder}: runs code of its own (auto_map). Read that code, then allow it with --trust.")
    if not architectures:
        return _ENCODED if encoded else _CAUSAL
    for kind in _KINDS:
        # Older T5 are called T5WithLMHeadModel; and models of pictures ForConditionalGeneration without an encoder.
        other = kind is (_CAUSAL if encoded else _ENCODED)
        if not other and any(re.search(kind.architectures, name) for name in architectures):
            return kind
    if str(architectures[0]).endswith("Model"):
        raise ModelError(
            f'{folder}: "{architectures[0]}" has no head: it neither writes nor tells. Train one onto it: '
            f"shoplm-audit train --objective classify --from {folder}."
        )
    raise ModelError(
        f'{folder}: "{architectures[0]}" is of no kind that can be audited. Give a causal or masked language model, '
        "an encoder-decoder of texts or a classifier of texts."
    )


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"))


def _check_weights(folder: Path, trust: bool) -> None:
    index = folder / "model.safetensors.index.json"
    weights = list(folder.glob("*.safetensors"))
    if index.is_file():
        wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if missing := sorted(name for name in wanted if not (folder / name).is_file()):
            raise ModelError(f"{folder}: {len(missing)} files of weights are missing, the first is {missing[0]}.")
    for file in weights:
        tensors_in(file)
    if weights:
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if not pickles:
        raise ModelError(f"{folder}: no weights (no *.safetensors). Save the model with save_pretrained.")
    if not trust:
        raise ModelError(
            f"{folder}: its weights are a pickle ({pickles[0]}), which can run anything when it is loaded. "
            "Convert them to safetensors, or allow it with --trust if you trust who made it."
        )


def _device(device: str | None) -> torch.device:
    import torch

    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as fault:
        raise ConfigError(f'device "{device}" is unknown. Known: cpu, cuda, cuda:0, ...') from fault
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise MachineError(
            f'device "{device}": this machine has {torch.cuda.device_count()} CUDA devices. Use --device cpu.'
        )
    return chosen


def _local(folder: Path, name: str, device: str | None, dtype: str | None, trust: bool, fingerprint: str = "") -> Model:
    found = _found(folder, trust)
    record = TrainingRecord.read(folder)
    if record is not None and record.weights and record.weights != weights_digest(folder):
        raise ModelError(
            f"{folder}: its training.json is of other weights than lie there, so what it says of members, canaries and "
            "epsilon is not of this model. Put back the weights that it was written with, or remove it."
        )
    import torch

    where = _device(device)
    precision = getattr(torch, dtype or ("bfloat16" if where.type == "cuda" else "float32"))
    network, tokenizer = _quietly_loaded(found, precision, trust)
    fingerprint = fingerprint or fingerprint_of(folder, base=found.weights if found.adapter else None)
    kind = getattr(importlib.import_module(f"shoplm_audit.models.{found.kind.module}"), found.kind.model)
    model: Model = kind(network.to(where), tokenizer, name=name, fingerprint=fingerprint, record=record)
    return model


def _quietly_loaded(found: _Found, precision: torch.dtype, trust: bool) -> tuple[Any, Any]:
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with any_mark_read():
            network, missing = _network(found, precision, trust)
        tokenizer = _tokenizer(found.tokenizer, trust)
        # transformers fills what is missing with random numbers and only warns.
        if missing:
            first = f'{len(missing)} tensors are missing, the first is "{missing[0]}"'
            raise ModelError(f"{found.weights}: {first}. Save it again.")
        if found.adapter:
            network = merged(network, found.adapter)
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
    # Added tokens may lie beyond the network's rows (a padding token that nobody trained); the vocabulary may not.
    words = network.get_input_embeddings().weight.shape[0]
    if tokenizer.vocab_size > words:
        raise ModelError(
            f"{found.tokenizer}: the tokenizer knows {tokenizer.vocab_size} tokens, the network {words}. "
            "They do not match."
        )
    return network, tokenizer


def _network(found: _Found, precision: torch.dtype, trust: bool) -> tuple[Any, list[str]]:
    """The network and the names of the tensors that nobody brings."""
    import transformers

    if json.loads((found.config / "config.json").read_text(encoding="utf-8")).get("model_type") == _OURS:
        importlib.import_module("shoplm_audit.models.transformer")
    try:
        network, report = getattr(transformers, found.kind.loader).from_pretrained(
            found.weights,
            config=transformers.AutoConfig.from_pretrained(found.config, trust_remote_code=trust),
            dtype=precision,
            local_files_only=True,
            trust_remote_code=trust,
            use_safetensors=bool(list(found.weights.glob("*.safetensors"))),
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        raise _unloadable(found.weights, fault) from fault
    brought = tensors_of(found.adapter) if found.adapter else set()
    return network, sorted(set(report["missing_keys"]) - brought)


def _tokenizer(folder: Path, trust: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        raise _unloadable(folder, fault) from fault


def _unloadable(folder: Path, fault: Exception) -> ModelError:
    first = (str(fault).strip() or type(fault).__name__).splitlines()[0]
    return ModelError(f"{folder}: transformers cannot load it: {first}")
