"""A SPEC to a model: every file is looked at before anything heavy is imported.

load_model("checkpoints/reviews-dp", device="cpu").generate([Generate(Prompt("Review:"))])
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ConfigError, MachineError, ModelError
from shoplm_audit.models.callables import imported
from shoplm_audit.models.fingerprint import digest_of, fingerprint_of, tensors_in
from shoplm_audit.models.gguf import check_gguf, converted
from shoplm_audit.models.recorded import RecordedModel
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import Model

if TYPE_CHECKING:
    import torch

    from shoplm_audit.models.local import LocalModel

__all__ = ["load_model"]

_SPECS = "a folder, a hub name, FILE.gguf, python:module:function or recorded:FILE.jsonl"
_DTYPES = ("float32", "bfloat16", "float16")
_SCHEME = re.compile(r"([a-z][a-z0-9+]+):")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


def load_model(spec: str, *, device: str | None = None, dtype: str | None = None, trust: bool = False) -> Model:
    """Loads what can be audited.

    Args:
        spec: a folder or hub name (transformers, safetensors), a `.gguf` file or a folder that holds just one,
            `python:module:function`, or `recorded:FILE.jsonl`.
        device: "cpu", "cuda", "cuda:1", ...; None takes a GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; None is float32 on a CPU and bfloat16 on a GPU.
        trust: allows pickled weights and code that comes with the model: both can run anything.

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


def _check_folder(folder: Path, trust: bool) -> None:
    """Refuses a folder from which no causal language model can be loaded, with what to do about it."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: a file, not a model. A model is {_SPECS}.")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{folder}: an adapter without its model. Merge it into its base (merge_and_unload) first."
            )
        raise ModelError(f"{folder}: not a model folder (no config.json). A model is {_SPECS}.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architectures = config.get("architectures") or []
    except (ValueError, AttributeError) as fault:
        raise ModelError(f"{folder / 'config.json'}: not a JSON object ({fault}). Save the model again.") from fault
    if architectures and not any(re.search("CausalLM|LMHeadModel", name) for name in architectures):
        raise ModelError(f'{folder}: "{architectures[0]}" is not a causal language model. Give one that writes texts.')
    if "auto_map" in config and not trust:
        raise ModelError(f"{folder}: runs code of its own (auto_map). Read that code, then allow it with --trust.")
    _check_weights(folder, trust)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        raise ModelError(f"{folder}: no tokenizer (no tokenizer.json). Save the tokenizer into the same folder.")


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


def _local(
    folder: Path, name: str, device: str | None, dtype: str | None, trust: bool, *, fingerprint: str = ""
) -> LocalModel:
    _check_folder(folder, trust)
    record = TrainingRecord.read(folder)
    import torch

    from shoplm_audit.models.local import LocalModel

    where = _device(device)
    precision = getattr(torch, dtype or ("bfloat16" if where.type == "cuda" else "float32"))
    network, tokenizer = _quietly_loaded(folder, precision, trust)
    return LocalModel(
        network.to(where), tokenizer, name=name, fingerprint=fingerprint or fingerprint_of(folder), record=record
    )


def _quietly_loaded(folder: Path, precision: torch.dtype, trust: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=precision,
            local_files_only=True,
            trust_remote_code=trust,
            use_safetensors=bool(list(folder.glob("*.safetensors"))),
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        first = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        raise ModelError(f"{folder}: transformers cannot load it: {first}") from fault
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
    # transformers fills what is missing with random numbers and only warns.
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f'{folder}: {len(missing)} tensors are missing, the first is "{missing[0]}". Save it again.')
    # Added tokens may lie beyond the network's rows (a padding token that nobody trained); the vocabulary may not.
    words = network.get_input_embeddings().weight.shape[0]
    if tokenizer.vocab_size > words:
        raise ModelError(
            f"{folder}: the tokenizer knows {tokenizer.vocab_size} tokens, the network {words}. They do not match."
        )
    return network, tokenizer
