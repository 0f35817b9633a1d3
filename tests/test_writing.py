from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import Fake

from shoplm_audit.data.records import Dialogue, Interaction, Product, Review, Text
from shoplm_audit.errors import ConfigError
from shoplm_audit.prompts import Prompts
from shoplm_audit.types import Generate, Mark, Prompt, Sampling, Turn
from shoplm_audit.writing import (
    KINDS,
    Order,
    Subject,
    check_represented,
    missing_attributes,
    rows_of,
    sampling_of,
    subjects,
)

KETTLE = Product("p1", "Alder kettle", "kettles", {"brand": "Norvik", "colour": "navy", "weight": "1.2 kg"})
DRAWN = Sampling(temperature=1.0, seed=3)
GOOD = "Norvik makes the Alder kettle, which is navy and weighs 1.2 kg."


def _records(language: str) -> dict[str, list[Any]]:
    english = language == "en"
    names = ("Alder kettle", "Birch mug") if english else ("藏青水壶", "白色茶杯")
    said = "It boils quickly." if english else "烧水很快。"
    return {
        "products": [Product("p1", names[0], "kettles", {"colour": "navy"}, language=language)],
        "reviews": [Review(f"r{i}", names[0], f"{said} {i}", 5.0, language=language) for i in range(3)],
        "texts": [Text("t1", said, language=language)],
        "dialogues": [Dialogue("d1", (Turn("user", said),), language=language)],
        "interactions": [Interaction("u1", names[1], "2025-02-01"), Interaction("u1", names[0], "2025-01-01")],
    }


def _row(text: str, order: Order, subject: Subject | None = None) -> dict[str, Any]:
    return rows_of(Fake(lambda prompt, sample: text), [subject or Subject("s", "en", Prompt("Ask:"))], order)[0]


# Prompts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("task", KINDS)
def test_every_task_is_asked_in_both_languages_of_every_kind_it_takes(task: str, language: str) -> None:
    for kind in KINDS[task]:
        found = list(subjects(task, kind, _records(language)[kind], Prompts()))
        assert {one.language for one in found} == {language}
        for one in found:
            text = one.prompt.flat
            assert any("\u4e00" <= character <= "\u9fff" for character in text) is (language == "zh")
            assert text.endswith("：" if language == "zh" else ":")


def test_reviews_of_a_product_are_summed_up_together_and_purchases_are_in_order_of_time() -> None:
    records = _records("en")
    (summary,) = subjects("summary", "reviews", records["reviews"], Prompts())
    assert summary.id == "Alder kettle"
    assert [f"quickly. {i}" in summary.prompt.flat for i in range(3)] == [True] * 3
    (next_one,) = subjects("recommendation", "interactions", records["interactions"], Prompts())
    assert "Bought: Alder kettle; Birch mug" in next_one.prompt.flat


def test_a_task_that_cannot_be_asked_says_what_it_takes() -> None:
    with pytest.raises(ConfigError, match=r'"reply" cannot be asked of reviews: it takes dialogues'):
        next(subjects("reply", "reviews", [], Prompts()))
    with pytest.raises(ConfigError, match=r'"poem".*advertisement'):
        next(subjects("poem", "reviews", [], Prompts()))


def _tokenizer(text: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["[UNK]", *text.split()])}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer()])
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


def test_a_prompt_that_the_tokenizer_cannot_represent_is_told_with_its_first_lost_character() -> None:
    tokenizer = _tokenizer("i love cafe : 好")
    check_represented(tokenizer, Subject("", "en", Prompt("I  LOVE：\n好")))  # case, width and blanks are forms only
    with pytest.raises(ConfigError, match=r'"款" \(U\+6B3E, character 3 of the prompt of "r7"\)'):
        check_represented(tokenizer, Subject("r7", "zh", Prompt("好 款")))
    # No unknown token, and yet another text: the accent is dropped.
    with pytest.raises(ConfigError, match=r'"é" \(U\+00E9, character 9 of the prompt\)'):
        check_represented(tokenizer, Subject("", "en", Prompt("love café")))


# Rows ---------------------------------------------------------------------------------------------


def test_every_row_is_labelled_with_its_watermark_unless_unmarked() -> None:
    marked = _row("Good.", Order(Sampling(mark=Mark("kgw", "secret"))))
    assert (marked["ai_generated"], marked["watermark"]) == (True, "kgw")
    assert "secret" not in str(marked)
    plain = _row("Good.", Order(Sampling()))
    assert (plain["ai_generated"], plain["watermark"]) == (True, None)
    assert not {"ai_generated", "watermark"} & set(_row("Good.", Order(Sampling(), unmarked=True)))


def test_samples_of_a_prompt_are_rows_of_their_own_in_order() -> None:
    block = [Subject(name, "en", Prompt(name)) for name in "ab"]
    rows = rows_of(Fake(), block, Order(Sampling(temperature=1.0, n=2)))
    assert [(row["id"], row["sample"], row["text"]) for row in rows] == [
        ("a", 0, "a#0"), ("a", 1, "a#1"), ("b", 0, "b#0"), ("b", 1, "b#1"),
    ]  # fmt: skip


# Attributes ---------------------------------------------------------------------------------------


def test_attributes_are_missing_where_the_text_does_not_state_them_truly() -> None:
    assert missing_attributes(GOOD, KETTLE) == []
    assert missing_attributes("The Alder kettle is navy.", KETTLE) == ["brand", "weight"]
    assert missing_attributes(GOOD.replace("navy", "red"), KETTLE) == ["colour"]
    assert missing_attributes(GOOD.replace("is navy", "is not navy"), KETTLE) == ["colour"]
    odd = Product("p", "Lamp", "", {"feature": "Dims by itself"})
    assert missing_attributes("It dims by  ITSELF.", odd) == []
    assert missing_attributes("It is bright.", odd) == ["feature"]
    chinese = Product("p", "水壶", "", {"颜色": "藏青色", "重量": "1.2千克"}, language="zh")
    assert missing_attributes("这款水壶是藏青色的。", chinese) == ["重量"]


class Held(Fake):
    """Writes what is required of it, and keeps what it was asked."""

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        self.requests = list(requests)
        return [f"Good: {'; '.join(one.sampling.required)}." for one in requests for _ in range(one.sampling.n)]


def test_a_text_has_to_state_the_values_as_the_shop_writes_them() -> None:
    odd = {"brand": "Norvik", "colour": " navy ", "weight": "1.2 kg", "shade": "navy", "extras": "-", "none": ""}
    product = Product("p1", "Alder kettle", "kettles", odd)
    block = [Subject("p1", "en", Prompt("Describe:"), product), Subject("s", "en", Prompt("Ask:"))]
    model = Held()
    rows = rows_of(model, block, Order(replace(DRAWN, n=2), attributes=True))
    assert [one.sampling.required for one in model.requests] == [("Norvik", "navy", "1.2 kg"), ()]
    assert [row["text"] for row in rows] == ["Good: Norvik; navy; 1.2 kg."] * 2 + ["Good: ."] * 2
    assert "missing_attributes" not in rows[2]
    rows_of(model, block, Order(DRAWN))
    assert [one.sampling.required for one in model.requests] == [(), ()]


def test_rows_name_what_is_missing_and_what_is_contradicted_whoever_wrote_the_text() -> None:
    subject = Subject("p1", "en", Prompt("Describe:"), KETTLE)
    row = _row("The Norvik kettle is red. Colour: navy.", Order(Sampling(), attributes=True), subject)
    assert (row["missing_attributes"], row["contradicted_attributes"]) == (["weight"], ["colour"])
    row = _row(GOOD, Order(Sampling(), attributes=True), subject)
    assert (row["missing_attributes"], row["contradicted_attributes"]) == ([], [])


def test_a_value_that_may_not_be_written_is_told_with_its_product() -> None:
    subject = Subject("p1", "en", Prompt("Describe:"), KETTLE)
    with pytest.raises(ConfigError, match=r'--ban "Kg": "p1" has the value "1.2 kg"'):
        sampling_of(subject, Order(Sampling(banned=("Kg",)), attributes=True))
    assert sampling_of(subject, Order(Sampling(banned=("Kg",)))).required == ()


# Moderation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "order", "found"),
    [
        ("Buy this JUNK.", Order(Sampling(banned=("junk",))), {"words": ["junk"]}),
        ("No class, just junk.", Order(Sampling(), unwanted=("lass", "junk")), {"words": ["junk"]}),
        ("Write to mei@example.com now.", Order(Sampling()), {"personal_data": ["email"]}),
        ("A navy kettle of 1.2 kg for 49.90.", Order(Sampling(), unwanted=("junk",)), None),
    ],
)
def test_flagged_texts_are_withheld_and_their_rows_say_why(text: str, order: Order, found: Any) -> None:
    row = _row(text, order)
    assert row.get("moderation") == found
    assert row["text"] == (None if found else text)


def test_a_flagged_text_can_be_kept_and_what_the_prompt_said_is_no_leak() -> None:
    leak = "Write to mei@example.com now."
    kept = _row(leak, Order(Sampling(), keep_flagged=True))
    assert (kept["text"], kept["moderation"]) == (leak, {"personal_data": ["email"]})
    asked = Subject("s", "en", Prompt("Customer: mei@example.com"))
    assert "moderation" not in _row(leak, Order(Sampling()), asked)
