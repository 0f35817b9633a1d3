"""Adapter folders, as peft saves them: which base they belong to, and both made into one network.

merged(network, Path("checkpoints/reviews-lora"), trust=False)   # arXiv 2106.09685: W + B A in place of W
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ModelError
from shoplm_audit.models.fingerprint import tensors_in

__all__ = ["base_named", "is_adapter", "merged", "tensors_of"]

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds additions to another model and no model."""
    if not (folder / _CONFIG).is_file():
        return False
    whole = [path for path in folder.glob("*.safetensors") if path.name != _WEIGHTS]
    return not (folder / "config.json").is_file() or ((folder / _WEIGHTS).is_file() and not whole)


def base_named(folder: Path) -> str:
    """The base that an adapter names: a folder or a hub name.

    Raises:
        ModelError: it names none, or it is of a kind that is not known here.
    """
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        base, kind = config.get("base_model_name_or_path") or "", config.get("peft_type")
    except (ValueError, AttributeError) as fault:
        raise ModelError(f"{folder / _CONFIG}: not a JSON object ({fault}). Save the adapter again.") from fault
    if not base:
        raise ModelError(f'{folder}: an adapter that names no base. Write "base_model_name_or_path" into {_CONFIG}.')
    if kind != "LORA":
        raise ModelError(f'{folder}: an adapter of kind "{kind}" cannot be read. Known: LORA. Merge it into its base.')
    return str(base)


def tensors_of(folder: Path) -> set[str]:
    """The names of the tensors that an adapter brings, as the merged network calls them where it has them."""
    path = folder / _WEIGHTS
    return {name.removeprefix("base_model.model.") for name in tensors_in(path)[0]} if path.is_file() else set()


def merged(network: Any, folder: Path) -> Any:
    """The network with the adapter's additions in its weights.

    Raises:
        ModelError: the adapter does not fit the network, or a part of it is missing.
    """
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    try:
        config = PeftConfig.from_pretrained(str(folder))
        # The base is at hand already, and peft warns where it was found elsewhere than the adapter says.
        config.base_model_name_or_path = None
        # New additions are drawn at random before the adapter's own take their place. And peft asks transformers by a
        # name that is to go, which nobody who loads a model can change.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            adapted = get_peft_model(network, config)
        weights = load_peft_weights(str(folder), device="cpu")
        missing = sorted(set(get_peft_model_state_dict(adapted, save_embedding_layers=False)) - set(weights))
        set_peft_model_state_dict(adapted, weights)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as fault:
        first = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise ModelError(f"{folder}: the adapter does not fit its base: {first}") from fault
    if missing:
        raise ModelError(f'{folder}: {len(missing)} tensors are missing, the first is "{missing[0]}". Save it again.')
    return adapted.merge_and_unload()
