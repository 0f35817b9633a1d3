"""A byte-level BPE tokenizer that is learned from public texts only and gives back any text unchanged.

    learn_tokenizer(["A navy kettle.", "一个水壶。"], vocabulary=2000).decode(ids) == text

`<|endoftext|>` begins and ends texts; `<|pad|>` is a token of its own, so that an ending is never taken for padding.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ConfigError, ModelError

__all__ = ["END", "PAD", "learn_tokenizer", "load_tokenizer"]

END = "<|endoftext|>"
PAD = "<|pad|>"
_BYTES = 256
_SPECIALS = 2


def learn_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Learns merges from texts; without any text it is a tokenizer of bytes.

    Special tokens that are written out in a text are ordinary characters to it: no record can forge the end of another.

    Args:
        texts: public texts. A tokenizer learned from private ones would tell about them, outside any guarantee.
        vocabulary: the most tokens, at least 258 (256 bytes, end, padding).

    Returns:
        A `transformers.PreTrainedTokenizerFast`.

    Raises:
        ConfigError: the vocabulary is too small to hold every byte.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocabulary < _BYTES + _SPECIALS:
        raise ConfigError(f"vocabulary is {vocabulary}: at least {_BYTES + _SPECIALS} are needed to write every byte.")
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
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint; where it has no padding token, its end token pads (padding is never scored).

    Raises:
        ModelError: there is none, or it has no end-of-text token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as fault:
        raise ModelError(f'"{folder}" holds no tokenizer ({str(fault).splitlines()[0]}). Name a checkpoint.') from fault
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f'The tokenizer in "{folder}" has no end-of-text token. Set eos_token in tokenizer_config.json.'
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
