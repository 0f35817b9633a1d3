"""A digest of what shapes a model's answers: weights, tokenizer, templates, settings; never of where it lies.

fingerprint_of(Path("checkpoints/reviews-dp")) -> "sha256:6b1f..."     # the same after a copy, another after training
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ModelError

__all__ = ["digest_of", "fingerprint_of", "tensors_in", "weights_digest"]

_PIECE = 1 << 22
# Bookkeeping that a copy, a hub or another version of transformers may change without changing an answer.
_VOLATILE = frozenset(
    {"_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "is_local", "local_files_only"}
    | {
        "base_model_name_or_path",
        "peft_version",
        "inference_mode",
        "tokenizer_file",
        "special_tokens_map_file",
        "_from_model_config",
    }
)
_SETTINGS = ("config.json", "generation_config.json", "adapter_config.json", "tokenizer_config.json")
_TEXTS = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.jinja", "chat_template.json", "spiece.model", "sentencepiece.bpe.model"),
    *("source.spm", "target.spm", "tekken.json", "qwen.tiktoken"),
)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as "sha256:..."."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def fingerprint_of(folder: Path, base: Path | None = None) -> str:
    """The SHA-256 of a model folder's content, as "sha256:..."; of an adapter that of its base's folder too.

    Tensors count by name, type, shape and bytes, so another division into files is the same model; settings count
    by value, without the keys that only keep books. Pickled weights and code, which need --trust, count by bytes.

    Raises:
        ModelError: a file of weights is damaged.
    """
    total = hashlib.sha256()

    def add(kind: str, name: str, digest: str) -> None:
        total.update(f"{kind}\0{name}\0{digest}\n".encode())

    for name, digest in sorted(_tensor_digests(folder).items()):
        add("tensor", name, digest)
    for name in _SETTINGS:
        if (folder / name).is_file():
            settings = _settings_in(folder / name)
            kept = {key: value for key, value in settings.items() if key not in _VOLATILE}
            add("settings", name, hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest())
    for name in _TEXTS:
        if (folder / name).is_file():
            add("text", name, digest_of(folder / name))
    extra = [*folder.glob("additional_chat_templates/*"), *folder.glob("*.bin"), *folder.glob("*.py")]
    for path in sorted(extra):
        if path.name != "training_args.bin":
            add("file", path.name, digest_of(path))
    if base is not None:
        add("base", "", fingerprint_of(base))
    return f"sha256:{total.hexdigest()}"


def weights_digest(folder: Path) -> str:
    """The SHA-256 of a folder's tensors alone, by name, type, shape and bytes, as "sha256:..."."""
    told = "".join(f"{name}\0{digest}\n" for name, digest in sorted(_tensor_digests(folder).items()))
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"


def _settings_in(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ModelError(f"{path}: not JSON ({fault}). Save the model again.") from fault
    if not isinstance(settings, dict):
        raise ModelError(f"{path}: not a JSON object. Save the model again.")
    return settings


def tensors_in(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """The header of a safetensors file, {name: {dtype, shape, data_offsets}}, and where its data begins.

    Raises:
        ModelError: the file is cut short or is no safetensors file.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError("its header does not fit the file")
            header: dict[str, dict[str, Any]] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        if 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0) != size:
            raise ValueError("its length is not what its header says")
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ModelError(f"{path}: not a safetensors file ({fault}). Copy or save it again.") from fault
    return header, 8 + length


def _tensor_digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.glob("*.safetensors")):
        kind = "adapter" if path.name.startswith("adapter") else "model"
        header, data = tensors_in(path)
        with path.open("rb") as file:
            for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                begin, end = entry["data_offsets"]
                digest = hashlib.sha256(f"{entry['dtype']}{entry['shape']}".encode())
                file.seek(data + begin)
                for at in range(begin, end, _PIECE):
                    digest.update(file.read(min(_PIECE, end - at)))
                digests[f"{kind}/{name}"] = digest.hexdigest()
    return digests
