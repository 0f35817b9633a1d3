"""A byte-level BPE tokenizer that is learned from public texts only and gives back any text unchanged.

    learn_tokenizer(["A navy kettle.", "一个水壶。"], vocabulary=2000).decode(ids) == text

`<|endoftext|>` begins and ends texts; `<|pad|>` is a token of its own, so that an ending is never taken for padding.
What else an objective needs stands in `_FRAMES`: called with a text, or with two, the tokenizer puts it around them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.training.settings import Objective

__all__ = ["CLASS", "END", "MASK", "PAD", "SEPARATOR", "START", "learn_tokenizer", "load_tokenizer"]

END = "<|endoftext|>"
PAD = "<|pad|>"
CLASS = "<|class|>"
SEPARATOR = "<|separator|>"
MASK = "<|mask|>"
START = "<|start|>"
_BYTES = 256
# The roles of special tokens beside an end and padding, and the frames of one text and of two (A is the first, B the
# second; the number after the colon is the token's type), in the words of `tokenizers.processors.TemplateProcessing`.
_BERT = (
    {"cls_token": CLASS, "sep_token": SEPARATOR, "mask_token": MASK},
    f"{CLASS}:0 $A:0 {SEPARATOR}:0",
    f"{CLASS}:0 $A:0 {SEPARATOR}:0 $B:1 {SEPARATOR}:1",
)
_FRAMES: dict[Objective, tuple[dict[str, str], str, str]] = {
    "causal": ({}, "", ""),
    "masked": _BERT,
    "classify": _BERT,
    # An encoder-decoder's answers begin with a token that no text holds, so that a beginning is never an ending.
    "seq2seq": ({"bos_token": START}, f"$A:0 {END}:0", f"$A:0 {END}:0 $B:1 {END}:1"),
}
_NEEDED: dict[Objective, tuple[str, ...]] = {
    "causal": ("eos_token",),
    "seq2seq": ("eos_token",),
    "masked": ("cls_token", "sep_token", "mask_token"),
    "classify": (),
}


def learn_tokenizer(texts: Iterable[str], vocabulary: int, objective: Objective = "causal") -> Any:
    """Learns merges from texts; without any text it is a tokenizer of bytes.

    Special tokens that are written out in a text are ordinary characters to it: no record can forge the end of another.

    Args:
        texts: public texts. A tokenizer learned from private ones would tell about them, outside any guarantee.
        vocabulary: the most tokens, at least 258 (256 bytes, end, padding; with some objectives up to 3 more).
        objective: what the tokenizer is for. "masked" and "classify": one text is framed as CLASS a SEPARATOR, two as
            CLASS a SEPARATOR b SEPARATOR with token types 0 and 1, and there is a MASK. "seq2seq": an END follows each
            text, and START (its `bos_token`) begins an answer.

    Returns:
        A `transformers.PreTrainedTokenizerFast`.

    Raises:
        ConfigError: the vocabulary is too small to hold every byte.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    roles, single, pair = _FRAMES[objective]
    specials = [END, PAD, *roles.values()]
    if vocabulary < _BYTES + len(specials):
        least = _BYTES + len(specials)
        raise ConfigError(f"vocabulary is {vocabulary}: at least {least} are needed to write every byte.")
    tokenizer = Tokenizer(models.BPE())
    # Up to three digits are one piece: a small model copies "450" from a record as it copies a word.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[0-9]{1,3}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if single:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[(token, i) for i, token in enumerate(specials)]
        )
    inputs = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]} if "cls_token" in roles else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"bos_token": END, "eos_token": END, "pad_token": PAD} | roles | inputs,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def load_tokenizer(folder: Path, objective: Objective = "causal") -> Any:
    """The tokenizer of a checkpoint; where it has no padding token, its end token pads (padding is never scored).

    Raises:
        ModelError: there is none, or it lacks a token that the objective needs.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as fault:
        raise ModelError(f'"{folder}" holds no tokenizer ({str(fault).splitlines()[0]}). Name a checkpoint.') from fault
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    missing = [name for name in (*_NEEDED[objective], "pad_token") if getattr(tokenizer, name) is None]
    if missing:
        raise ModelError(
            f'The tokenizer in "{folder}" has no {" and no ".join(missing)}, which objective "{objective}" needs. '
            "Set it in tokenizer_config.json, or name another base."
        )
    return tokenizer
