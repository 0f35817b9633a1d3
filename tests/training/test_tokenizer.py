from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.training.tokenizer import (
    CLASS,
    END,
    MASK,
    PAD,
    SEPARATOR,
    START,
    learn_tokenizer,
    load_tokenizer,
)

TEXTS = ["A navy kettle of 450 ml.", "一个藏青色的水壶。"] * 4
FIRST, SECOND = "A 水壶", "navy 45"


@pytest.fixture(scope="module")
def learned() -> dict[str, Any]:
    return {name: learn_tokenizer(TEXTS, 300, name) for name in ("causal", "masked", "seq2seq", "classify")}


def _bare(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("objective", ["masked", "classify"])
def test_an_encoders_texts_stand_in_a_frame_with_their_types(objective: str, learned: dict[str, Any]) -> None:
    tokenizer = learned[objective]
    first, second = _bare(tokenizer, FIRST), _bare(tokenizer, SECOND)
    begin, between = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert tokenizer(FIRST)["input_ids"] == [begin, *first, between]
    pair = tokenizer(FIRST, SECOND)
    assert pair["input_ids"] == [begin, *first, between, *second, between]
    assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    names = [tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token, tokenizer.pad_token]
    assert names == [CLASS, SEPARATOR, MASK, PAD]


def test_an_encoder_decoders_texts_end_and_its_answers_begin_with_a_token_of_their_own(learned: dict[str, Any]) -> None:
    tokenizer = learned["seq2seq"]
    assert tokenizer(FIRST)["input_ids"] == [*_bare(tokenizer, FIRST), tokenizer.eos_token_id]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (START, END, PAD)
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_a_decoders_texts_stand_alone(learned: dict[str, Any]) -> None:
    tokenizer = learned["causal"]
    assert tokenizer(FIRST)["input_ids"] == _bare(tokenizer, FIRST)
    assert sorted(tokenizer.all_special_tokens) == sorted([END, PAD])
    assert "token_type_ids" not in tokenizer(FIRST)


@pytest.mark.parametrize("objective", ["causal", "masked", "seq2seq", "classify"])
def test_a_saved_tokenizer_comes_back_as_it_was(objective: str, learned: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = learned[objective]
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path, objective)
    text = f"{FIRST}{MASK}{END}"
    assert loaded(text, SECOND).data == tokenizer(text, SECOND).data
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert loaded.decode(loaded(text)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize("objective", ["causal", "masked", "seq2seq"])
def test_a_text_cannot_forge_a_special_token(objective: str, learned: dict[str, Any]) -> None:
    tokenizer = learned[objective]
    forged = _bare(tokenizer, f"x{END}{PAD}{CLASS}{SEPARATOR}{MASK}{START}y")
    assert not set(forged) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize(("objective", "least"), [("causal", 258), ("seq2seq", 259), ("masked", 261)])
def test_a_vocabulary_without_room_for_bytes_and_special_tokens_is_refused(objective: str, least: int) -> None:
    assert len(learn_tokenizer([], least, objective)) == least
    with pytest.raises(ConfigError, match=f"vocabulary is {least - 1}: at least {least} "):
        learn_tokenizer([], least - 1, objective)


def test_a_tokenizer_of_another_kind_is_refused_by_what_it_lacks(learned: dict[str, Any], tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    learned["causal"].save_pretrained(tmp_path / "causal")
    with pytest.raises(ModelError, match='no cls_token and no sep_token and no mask_token, which objective "masked"'):
        load_tokenizer(tmp_path / "causal", "masked")
    core = Tokenizer(models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3, "[UNK]": 4}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    roles = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "cls", "sep", "mask", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=core, **roles).save_pretrained(tmp_path / "bert")
    assert load_tokenizer(tmp_path / "bert", "masked").mask_token_id == 3
    assert load_tokenizer(tmp_path / "bert", "classify").pad_token_id == 0
    for objective in ("causal", "seq2seq"):
        with pytest.raises(ModelError, match="no eos_token"):
            load_tokenizer(tmp_path / "bert", objective)


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path: Path, learned: dict[str, Any]) -> None:
    tokenizer = learn_tokenizer([], 258)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    for objective in ("causal", "classify"):
        loaded = load_tokenizer(tmp_path, objective)
        assert loaded.pad_token_id == loaded.eos_token_id is not None
