"""Records become rows: one each, learned where they should be, from a tokenizer that loses nothing."""

import pytest

from shoplm_audit.data.records import Customer, Dialogue, Interaction, Product, Review, Text
from shoplm_audit.errors import ConfigError, DataError, ModelError
from shoplm_audit.training.corpus import Example, digest_of, examples_of
from shoplm_audit.training.objectives import Causal
from shoplm_audit.training.rows import UNLEARNED
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
    rows = Causal(tokenizer, 50).rows([Example("kettle", "a"), Example("水壶", "b")])
    assert [tokenizer.decode(row.tokens) for row in rows] == [f"kettle{END}", f"水壶{END}"]


def test_what_is_too_long_is_cut_and_marked_and_does_not_pretend_to_end(tokenizer):
    (row,) = Causal(tokenizer, 10).rows([Example("kettle " * 50)])
    assert row.truncated
    assert row.targets[-1] == UNLEARNED
    assert len(row.tokens) == 10
    assert tokenizer.eos_token_id not in row.tokens


@pytest.mark.parametrize(("prompt", "answer"), [("Sentiment:", " good"), ("情感：", "正面")])
def test_only_the_answer_is_learned_and_its_end(prompt, answer, tokenizer):
    causal = Causal(tokenizer, 50)
    (row,) = causal.rows([Example(prompt + answer, answer_start=len(prompt))])
    learned = [target for target in row.targets if target != UNLEARNED]
    assert tokenizer.decode(learned) == f"{answer}{END}"
    assert all(target in (UNLEARNED, after) for target, after in zip(row.targets, row.tokens[1:], strict=False))
    batch = causal.batch([row, *causal.rows([Example("x" * 30)])])
    assert (batch.targets[0] != UNLEARNED).sum() == len(learned)
    assert batch.targets[1, 0] == batch.inputs["input_ids"][1, 1]


def test_of_a_talk_the_shop_s_words_are_learned_and_the_customer_s_only_read(tokenizer):
    turns = (Turn("user", "Late?"), Turn("assistant", "Sorry."), Turn("user", "When?"), Turn("assistant", "Today."))
    (row,) = Causal(tokenizer, 80).rows(examples_of([Dialogue("d1", turns)]))
    learned = tokenizer.decode([target for target in row.targets if target != UNLEARNED])
    assert "Sorry." in learned
    assert "Today." in learned
    assert "Late" not in learned
    assert "When" not in learned


def test_texts_of_one_unit_share_a_row_up_to_the_context_and_do_not_tell_each_other_s_beginning(tokenizer):
    causal = Causal(tokenizer, 20)
    rows = causal.rows([Example("kettle"), Example("mug"), Example("a much longer text than the others, in truth")])
    first, *rest = causal.packed(rows)
    assert first.tokens == rows[0].tokens + rows[1].tokens
    assert first.targets[len(rows[0].tokens) - 1] == UNLEARNED
    assert rest == [rows[2]]
    assert all(len(row.tokens) <= 20 for row in causal.packed(rows * 3))


@pytest.mark.parametrize(
    ("record", "text", "label"),
    [
        (Review("r", "p", "It leaks.", 1.0, "u"), "It leaks.", "negative"),
        (Text("t", "Good.", "positive"), "Good.", "positive"),
        (Dialogue("d", (Turn("user", "Where is it?"),), intent="track_order"), "Where is it?", "track_order"),
    ],
)
def test_a_classifier_learns_the_label_that_a_record_has(record, text, label):
    (example,) = examples_of([record], objective="classify")
    assert (example.text, example.label) == (text, label)


def test_an_encoder_decoder_learns_titles_of_reviews_and_answers_to_questions():
    review = Review("r", "p", "It leaks after a week.", 1.0, "u", title="Leaks")
    talk = Dialogue("d", (Turn("user", "Late?"), Turn("assistant", "Sorry.")), facts={"customer": "Mira"})
    title, reply = examples_of([review, talk], objective="seq2seq")
    assert (title.text[: title.answer_start], title.text[title.answer_start :]) == ("It leaks after a week.", " Leaks")
    assert "Mira" in reply.text[: reply.answer_start]
    assert reply.text[reply.answer_start :] == " Sorry."


def test_a_record_with_nothing_to_learn_is_refused_or_told():
    untitled = [Review("r7", "p", "It leaks.", 3.0)]
    for objective in ("seq2seq", "classify"):
        with pytest.raises(DataError, match="r7"):
            examples_of(untitled, objective=objective)
        told = []
        assert examples_of(untitled, objective=objective, on_bad=told.append) == []
        assert len(told) == 1


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
