"""What is trained: a new network of each shape, a base to go on from, and low-rank additions to one.

    model = new_model(TrainSettings(objective="masked", width=96), tokenizer)     # a small BERT with random weights

No network here drops anything out: a record's gradient is the record's alone and not that of a random draw. New weights
begin at 1 / sqrt(width), because the usual 0.02 is made for wide networks, and learned positions begin at sines and
cosines (Vaswani et al., arXiv 1706.03762): a small model then learns within hundreds of steps.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.models.fingerprint import tensors_in
from shoplm_audit.training.settings import SHAPES, Objective, TrainSettings
from shoplm_audit.training.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["UNLIMITED", "adapted", "context_of", "load_base", "merged", "new_model", "without_bars"]

# The context of a network that has no longest text (T5 knows distances only).
UNLIMITED = 1 << 30
# Where low-rank additions go, by what architectures call their queries and values (Hu et al., section 4.2).
_ADAPTED = (("q_proj", "v_proj"), ("query", "value"), ("q", "v"), ("q_lin", "v_lin"), ("c_attn",), ("query_key_value",))
_WRITES = re.compile("CausalLM|LMHeadModel")
_KINDS: Mapping[Objective, str] = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classify": "AutoModelForSequenceClassification",
}


def new_model(settings: TrainSettings, tokenizer: Any, labels: Sequence[str] = ()) -> PreTrainedModel:
    """A network of the settings' shape and size with random weights; the global generator is left as it was.

    Args:
        settings: objective, shape, sizes and the seed of the weights.
        tokenizer: gives the vocabulary and the ids of the special tokens.
        labels: what a classifier tells apart, in the order of its outputs.

    Raises:
        ConfigError: a classifier of fewer than two labels, or a Llama whose heads have an odd width.
    """
    import torch

    shape = settings.shape or SHAPES[settings.objective][0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model: PreTrainedModel = _NEW[shape](settings, tokenizer, labels)
    return model


def _gpt2(settings: TrainSettings, tokenizer: Any, _: Sequence[str]) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=settings.context,
            n_embd=settings.width,
            n_layer=settings.layers,
            n_head=settings.heads,
            **_special_ids(tokenizer),
            initializer_range=settings.width**-0.5,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        )
    )
    _begin_at_waves(model.transformer.wpe.weight)
    return model


def _transformer(settings: TrainSettings, tokenizer: Any, _: Sequence[str]) -> Any:
    from shoplm_audit.models.transformer import TransformerConfig, TransformerForCausalLM

    return TransformerForCausalLM(
        TransformerConfig(**_sizes(settings, tokenizer), intermediate_size=4 * settings.width)
    )


def _llama(settings: TrainSettings, tokenizer: Any, _: Sequence[str]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    head = settings.width // settings.heads
    if head % 2:
        raise ConfigError(
            f'width is "{settings.width}": with {settings.heads} heads a Llama needs heads of even width.'
        )
    # Three matrices of 8/3 of the width weigh as much as two of 4 (Shazeer, arXiv 2002.05202); whole multiples of 8.
    inner = 8 * -(-settings.width // 3)
    sizes = _sizes(settings, tokenizer) | {"initializer_range": settings.width**-0.5}
    return LlamaForCausalLM(
        LlamaConfig(**sizes, intermediate_size=inner, num_key_value_heads=settings.heads, tie_word_embeddings=True)
    )


def _bert(settings: TrainSettings, tokenizer: Any, labels: Sequence[str]) -> Any:
    from transformers import BertConfig, BertForPreTraining, BertForSequenceClassification

    config = BertConfig(
        **_sizes(settings, tokenizer) | {"bos_token_id": None, "eos_token_id": None},
        intermediate_size=4 * settings.width,
        initializer_range=settings.width**-0.5,
        **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0),
    )
    classifies = settings.objective == "classify"
    if classifies:
        _name_labels(config, labels)
    model = (BertForSequenceClassification if classifies else BertForPreTraining)(config)
    _begin_at_waves(model.bert.embeddings.position_embeddings.weight)
    return model


def _t5(settings: TrainSettings, tokenizer: Any, _: Sequence[str]) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    # T5's own initialisation is already made for any width.
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=settings.width,
            d_kv=settings.width // settings.heads,
            d_ff=4 * settings.width,
            num_layers=settings.layers,
            num_heads=settings.heads,
            dropout_rate=0.0,
            decoder_start_token_id=tokenizer.bos_token_id,
            **_special_ids(tokenizer),
        )
    )


def _bart(settings: TrainSettings, tokenizer: Any, _: Sequence[str]) -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    sides = [(side, name) for side in ("encoder", "decoder") for name in ("layers", "attention_heads", "ffn_dim")]
    values = {"layers": settings.layers, "attention_heads": settings.heads, "ffn_dim": 4 * settings.width}
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(tokenizer),
            d_model=settings.width,
            max_position_embeddings=settings.context,
            init_std=settings.width**-0.5,
            dropout=0.0,
            forced_eos_token_id=None,
            **{f"{side}_{name}": values[name] for side, name in sides},
            decoder_start_token_id=tokenizer.bos_token_id,
            **_special_ids(tokenizer),
        )
    )
    for side in (model.model.encoder, model.model.decoder):
        _begin_at_waves(side.embed_positions.weight)
    return model


_NEW: Mapping[str, Callable[[TrainSettings, Any, Sequence[str]], Any]] = {
    "gpt2": _gpt2,
    "transformer": _transformer,
    "llama": _llama,
    "bert": _bert,
    "t5": _t5,
    "bart": _bart,
}


def _sizes(settings: TrainSettings, tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "max_position_embeddings": settings.context,
    } | _special_ids(tokenizer)


def _special_ids(tokenizer: Any) -> dict[str, int]:
    return {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}


def _begin_at_waves(table: torch.Tensor) -> None:
    """Fills a table of positions (T, D) with sines beside cosines, as large as the words' new vectors."""
    import torch

    length, width = table.shape
    angles = torch.arange(length)[:, None] * 10_000 ** (-torch.arange(0, width, 2) / width)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]  # (T, D)
    with torch.no_grad():
        table.copy_(waves * width**-0.5)


def _name_labels(config: Any, labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise ConfigError(f'the labels are "{", ".join(labels)}": a classifier tells at least two apart.')
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}


def load_base(
    folder: Path, objective: Objective = "causal", labels: Sequence[str] = (), *, seed: int = 0
) -> PreTrainedModel:
    """The network of a checkpoint, without dropout, in float32; safetensors only.

    A base that already classifies keeps its labels, which have to hold all of `labels`: `model.config.label2id` says
    which output is whose. Any other gets a new head for `labels`, as does a bare encoder that is to predict masked
    tokens; BERT's two heads are taken where the checkpoint has them.

    Args:
        folder: the checkpoint.
        objective: what is trained.
        labels: what a new classifier tells apart, in the order of its outputs.
        seed: of a new head; the global generator is left as it was.

    Raises:
        ModelError: no model there, none for this objective, damaged, without all its weights or not in safetensors.
        ConfigError: a new classifier of fewer than two labels.
    """
    import torch
    import transformers

    import shoplm_audit.models.transformer  # noqa: F401 - importing it tells transformers of our own shape

    if not (folder / "config.json").is_file():
        raise ModelError(f'"{folder}" is no model: it has no config.json. Name a checkpoint\'s folder.')
    names = {name for file in folder.glob("*.safetensors") for name in tensors_in(file)[0]}
    if not names:
        raise ModelError(f'"{folder}" has no safetensors weights. Convert them: pickles are not loaded.')
    kind = getattr(transformers, _KINDS[objective])
    if objective == "masked" and any(name.startswith("cls.seq_relationship.") for name in names):
        kind = transformers.BertForPreTraining
    try:
        # Without the refusal, transformers would ask at the terminal whether to run code that comes with the base.
        config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        _check_kind(folder, config, objective)
        _without_dropout(config)
        if objective == "classify":
            _prepare_labels(folder, config, labels)
        with _silent(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, report = kind.from_pretrained(
                str(folder), config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        why = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise ModelError(f'"{folder}" cannot be loaded: {why}') from fault
    # transformers fills what is missing with random numbers and only warns.
    if missing := sorted(report["missing_keys"] - _new_tensors(model, objective, names)):
        raise ModelError(f'"{folder}": {len(missing)} tensors are missing, the first is "{missing[0]}". Save it again.')
    loaded: PreTrainedModel = model
    return loaded


def _check_kind(folder: Path, config: Any, objective: Objective) -> None:
    """Refuses what transformers would load, but not as what it is: a BERT read as a decoder sees the next token."""
    written = (config.architectures or [""])[0]
    wrong = {
        "causal": bool(written) and not _WRITES.search(written),
        "masked": config.is_encoder_decoder or bool(_WRITES.search(written)),
        "seq2seq": not config.is_encoder_decoder,
        "classify": False,
    }
    if wrong[objective]:
        raise ModelError(f'"{folder}" is a "{written}", which objective "{objective}" cannot train. Name another base.')


def _without_dropout(config: Any) -> None:
    for name, value in config.to_dict().items():
        # "summary": of a head that no objective has.
        if "drop" in name and isinstance(value, float) and not name.startswith("summary"):
            setattr(config, name, 0.0)


def _prepare_labels(folder: Path, config: Any, labels: Sequence[str]) -> None:
    if "ForSequenceClassification" in (config.architectures or [""])[0]:
        if unknown := sorted(set(labels) - set(config.label2id)):
            known = ", ".join(config.label2id)
            raise ModelError(f'"{folder}" tells apart {known}, not "{unknown[0]}". Name a base without these labels.')
    else:
        _name_labels(config, labels)
    if config.pad_token_id is None:
        # A decoder reads its label off the last token that is no padding.
        config.pad_token_id = load_tokenizer(folder, "classify").pad_token_id


def _new_tensors(model: Any, objective: Objective, names: set[str]) -> set[str]:
    """The tensors that a checkpoint with these `names` need not have: those of a head it has nothing of."""
    head = {name for name in model.state_dict() if not name.startswith(f"{model.base_model_prefix}.")}
    if objective not in ("masked", "classify") or head & names:
        return set()
    # BERT's pooler serves the head alone, and one that was trained on masked tokens only has none.
    return head | {name for name in model.state_dict() if objective == "classify" and ".pooler." in name}


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


@contextmanager
def _silent() -> Iterator[None]:
    """Without bars, and without the table of heads that are new or left behind, which are meant to be."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_bars():
            yield
    finally:
        logging.set_verbosity(verbosity)


def context_of(model: Any) -> int:
    """How many tokens the model can read; `UNLIMITED` where it knows distances only.

    Raises:
        ConfigError: its configuration does not say.
    """
    config = model.config
    if config.model_type in ("t5", "mt5"):
        return UNLIMITED
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if not context:
        raise ConfigError(f'A model of type "{config.model_type}" does not say how many tokens it can read.')
    for name, module in model.named_modules():
        # RoBERTa and its kin count positions from behind the padding's.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(context - module.padding_idx - 1)
    return int(context)


def adapted(model: PreTrainedModel, settings: TrainSettings) -> Any:
    """The model with low-rank additions to its queries and values (LoRA, arXiv 2106.09685) and all else frozen.

    A classifier's head is trained too: it is new. The additions begin at nothing, so the model is at first unchanged.

    Args:
        model: the base; it becomes a part of what is returned.
        settings: rank, objective, and the seed of the additions.

    Returns:
        A `peft.PeftModel`; `merged` makes a plain model of it.

    Raises:
        ConfigError: none of its layers has a known name.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    layers = {name.rpartition(".")[2]: module for name, module in model.named_modules()}
    targets = next((names for names in _ADAPTED if all(name in layers for name in names)), ())
    if not targets:
        raise ConfigError(f'adapter is "lora": where to add it to a "{model.config.model_type}" is not known.')
    outside = (child for child in model.named_children() if child[0] != model.base_model_prefix)
    heads = [name for name, child in outside if any(True for _ in child.parameters())]
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        target_modules=list(targets),
        fan_in_fan_out=isinstance(layers[targets[0]], Conv1D),
        modules_to_save=heads if settings.objective == "classify" else None,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks transformers by a name that is to go; nobody who trains can do anything about it.
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(settings.seed)
        return get_peft_model(model, lora)


def merged(model: Any) -> Any:
    """The plain model of an adapted one, with the additions in its weights; any other model as it is.

    The adapted one is used up: it shares its weights with what is returned.
    """
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
