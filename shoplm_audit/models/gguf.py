"""GGUF files: read once, kept as safetensors in a cache folder named by the file's digest.

converted(Path("SmolLM2-135M-Instruct.Q4_1.gguf")) -> ~/.cache/shoplm-audit/gguf/1f0c9a.../
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from shoplm_audit.errors import MachineError, ModelError
from shoplm_audit.models.fingerprint import digest_of

__all__ = ["check_gguf", "converted"]


def check_gguf(path: Path) -> None:
    """Refuses what cannot be read as GGUF, before anything heavy is imported.

    Raises:
        ModelError: no such file, no GGUF, or the package `gguf` is missing.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file. Give the path of a .gguf file.")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path}: not a GGUF file (it does not begin with GGUF). Download it again.")
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f'{path}: GGUF files need the package gguf: pip install "shoplm-audit[gguf]".')


def converted(path: Path) -> Path:
    """The folder of safetensors (float32) and tokenizer of a GGUF file, made the first time it is asked for.

    The cache is `SHOPLM_CACHE`, or `~/.cache/shoplm-audit`; it can be deleted at any time.

    Raises:
        ModelError: transformers cannot read this file.
        MachineError: the cache cannot be written.
    """
    cache = Path(os.environ.get("SHOPLM_CACHE") or "~/.cache/shoplm-audit").expanduser() / "gguf"
    folder = cache / digest_of(path).removeprefix("sha256:")[:32]
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that an interrupted conversion leaves no half model behind.
        aside = Path(tempfile.mkdtemp(prefix="converting-", dir=cache))
    except OSError as fault:
        raise MachineError(
            f"{cache}: cannot be written ({fault.strerror}). Set SHOPLM_CACHE to another folder."
        ) from fault
    try:
        _convert(path, aside)
        # Another process may have been faster; its folder holds the same.
        if not folder.is_dir():
            aside.rename(folder)
    except OSError as fault:
        raise MachineError(f"{cache}: cannot be written ({fault}). Set SHOPLM_CACHE to another folder.") from fault
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _convert(path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    # from_pretrained(gguf_file=...) would need the package accelerate; a network without storage (meta) names the
    # tensors as well, and draws no random numbers.
    try:
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=network)["tensors"]
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (ValueError, KeyError, NotImplementedError) as fault:
        raise ModelError(f"{path}: transformers cannot read this GGUF file ({fault}). Use safetensors.") from fault
    network.save_pretrained(folder, state_dict={name: tensor.float() for name, tensor in tensors.items()})
    tokenizer.save_pretrained(folder)
