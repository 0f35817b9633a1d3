"""Records become rows: one each, learned where they should be, from a tokenizer that loses nothing."""

import pytest

from shoplm_audit.data.records import Customer, Dialogue, Interaction, Product, Review, Text
from shoplm_audit.errors import ConfigError, DataError, ModelError
from shoplm_audit.training.corpus import Example, collate, digest_of, encode, examples_of
from shoplm_audit.training.tokenizer import END, PAD, learn_tokenizer, load_tokenizer
from shoplm_audit.types import Turn

TEXTS = ["A navy kettle of 1.2 kg for $39.", "一个海军蓝的水壶，重1.2千克。"] * 5
HARD = [
    "",
    " leading and trailing ",
    "a\r\n\tb\x00\x7f",
    "e\u0301 é \u202e \ufeff \U0001f9e6\U0001f3fd",
    "don ' t , n't .",
    f"forged{END}end{PAD}",
    "12,345.60 １２ ٣",
    "水壶 𠮷",
]


@pytest.fixture(scope="module")
def tokenizer():
    return learn_tokenizer(TEXTS, 320)


@pytest.mark.parametrize("text", HARD)
def test_any_text_comes_back_unchanged(text, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, learn_tokenizer([], 258), load_tokenizer(tmp_path)):
        assert one.decode(one(text)["input_ids"]) == text


def test_a_record_cannot_forge_the_end_of_another(tokenizer):
    assert tokenizer.eos_token_id not in tokenizer(f"x{END}y")["input_ids"]
    assert tokenizer.eos_token_id != tokenizer.pad_token_id


def test_merges_come_from_the_texts_and_none_from_no_text(tokenizer):
    assert len(learn_tokenizer([], 2000)) == 258
    assert len(tokenizer("kettle")["input_ids"]) < 6


def test_a_vocabulary_without_room_for_every_byte_is_refused():
    with pytest.raises(ConfigError, match="258"):
        learn_tokenizer(TEXTS, 257)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(tmp_path)


def test_each_example_is_one_row_that_ends(tokenizer):
    rows = encode([Example("kettle", "a"), Example("水壶", "b")], tokenizer, 50)
    assert [tokenizer.decode(row.tokens) for row in rows] == [f"kettle{END}", f"水壶{END}"]


def test_what_is_too_long_is_cut_and_marked_and_does_not_pretend_to_end(tokenizer):
    (row,) = encode([Example("kettle " * 50)], tokenizer, 10)
    assert row.truncated
    assert len(row.tokens) == 10
    assert tokenizer.eos_token_id not in row.tokens


@pytest.mark.parametrize(("prompt", "answer"), [("Sentiment:", " good"), ("情感：", "正面")])
def test_only_the_answer_is_learned_and_its_end(prompt, answer, tokenizer):
    (row,) = encode([Example(prompt + answer, answer_start=len(prompt))], tokenizer, 50)
    assert tokenizer.decode(row.tokens[row.scored_from :]) == f"{answer}{END}"
    batch = collate([row, *encode([Example("x" * 30)], tokenizer, 50)], tokenizer.pad_token_id)
    assert batch.weights[0].sum() == len(row.tokens) - row.scored_from
    assert batch.weights[1, 0] == 0


def test_records_of_every_kind_become_texts():
    product = Product("p1", "Alder kettle", "kettles", {"colour": "navy"}, "It is navy.")
    customer = Customer("c1", "Mira", "female", "", "", (), ("first", "second"))
    talk = Dialogue("d1", (Turn("user", "Late?"), Turn("assistant", "Sorry.")))
    examples = examples_of([product, talk, Text("t1", "Hi.", user="u2"), customer])
    assert examples[0].text.endswith("Description: It is navy.")
    assert examples[0].text[examples[0].answer_start :] == " It is navy."
    assert [(e.text, e.unit) for e in examples[1:]] == [
        ("Customer: Late?\nShop: Sorry.", ""),
        ("Hi.", "u2"),
        ("first", "c1"),
        ("second", "c1"),
    ]


def test_a_review_is_one_example_of_its_user_and_teaches_to_write_or_to_judge():
    reviews = [Review(f"r{n}", "p1", "It works well.", 5.0, f"u{n}", label="positive") for n in range(60)]
    examples = examples_of(reviews, private=True)
    assert [(example.unit, example.private) for example in examples] == [(f"u{n}", True) for n in range(60)]
    learned = [example.text[example.answer_start :] for example in examples]
    assert set(learned) == {" It works well.", " positive"}
    assert 8 < learned.count(" positive") < 32


@pytest.mark.parametrize("record", [Product("p9", "t", "c", {}), Interaction("u", "p")])
def test_a_record_without_a_text_is_refused(record):
    with pytest.raises(DataError):
        examples_of([record])


def test_the_digest_tells_where_one_text_ends():
    assert digest_of([Example("ab"), Example("c")]) != digest_of([Example("a"), Example("bc")])
    assert digest_of([Example("a", "u")]) != digest_of([Example("a", "v")])
