"""The causal objective: each token from those before it, as one mean per record.

    record_losses(model, collate(rows, padding))  # (B,) nats per token of each record

A record's loss is the mean over its own tokens and over nothing else. The usual mean over a batch's tokens makes a
record's gradient depend on who stands beside it, and then clipping bounds nobody's influence.

B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.training.corpus import Batch
from shoplm_audit.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch

__all__ = ["context_of", "load_base", "new_model", "record_losses", "without_bars"]

_DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout", "dropout")


def new_model(settings: TrainSettings, tokenizer: Any) -> Any:
    """A GPT-2-shaped model with random weights of the settings' seed; the global generator is left as it was.

    Weights begin at 1 / sqrt(width), because GPT-2's 0.02 is made for wide models, and positions at sines and cosines
    (Vaswani et al., arXiv 1706.03762): a small model then learns within hundreds of steps to copy from its prompt.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=settings.context,
        n_embd=settings.width,
        n_layer=settings.layers,
        n_head=settings.heads,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=settings.width**-0.5,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = GPT2LMHeadModel(config)
    angles = torch.arange(settings.context)[:, None] * 10_000 ** (-torch.arange(0, settings.width, 2) / settings.width)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)[:, : settings.width]  # (context, width)
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(waves * settings.width**-0.5)
    return model


def load_base(folder: Path) -> Any:
    """A causal language model from a checkpoint, without dropout, in float32; safetensors only.

    Raises:
        ModelError: no model there, or its weights are not in safetensors.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        raise ModelError(f'"{folder}" is no model: it has no config.json. Name a checkpoint\'s folder.')
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f'"{folder}" has no safetensors weights. Convert them: pickles are not loaded.')
    try:
        config = AutoConfig.from_pretrained(str(folder))
        for name in _DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, 0.0)
        with without_bars():
            return AutoModelForCausalLM.from_pretrained(
                str(folder), config=config, use_safetensors=True, dtype=torch.float32
            )
    except (OSError, ValueError) as fault:
        raise ModelError(f'"{folder}" cannot be loaded: {str(fault).splitlines()[0]}') from fault


@contextmanager
def without_bars() -> Iterator[None]:
    """Keeps transformers from drawing a progress bar for a file that is read or written in an instant."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def context_of(model: Any) -> int:
    """How many tokens the model can read.

    Raises:
        ConfigError: its configuration does not say.
    """
    context = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    if not context:
        raise ConfigError(f'A model of type "{model.config.model_type}" does not say how many tokens it can read.')
    return int(context)


def record_losses(model: Any, batch: Batch) -> torch.Tensor:
    """The mean negative log-probability of each record's learned tokens, (B,), in nats; 0 where there is none.

    Padding stands on the right, where causal attention does not look, so the mask may be all ones. Positions are
    spelled out for every row because per-record gradients of the position table need to know which row is whose.
    """
    import torch
    from torch.nn import functional

    rows, longest = batch.tokens.shape
    positions = torch.arange(longest).expand(rows, longest)
    mask = torch.ones_like(batch.tokens)
    output = model(input_ids=batch.tokens, attention_mask=mask, position_ids=positions, use_cache=False)
    logits = output.logits  # (B, T, V)
    loss = functional.cross_entropy(logits[:, :-1].transpose(1, 2), batch.tokens[:, 1:], reduction="none")  # (B, T - 1)
    weights = batch.weights[:, 1:]
    return (loss * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
