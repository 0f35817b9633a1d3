"""A copied run is found where it stands, and stock phrases are no copies."""

from itertools import pairwise

import numpy as np
import pytest

from shoplm_audit.scoring.copies import Copies, Copy

REVIEW = (
    "I bought this kettle in May, and by August the lid had come off twice; my aunt in Leeds says the same of hers."
)
GREETING = "Thank you very much for your order with us"


def test_the_run_is_told_by_its_place_in_the_text() -> None:
    text = "Honestly: by AUGUST the lid   had come off twice — yes."
    found = Copies([(REVIEW, "en")]).longest(text, "en")
    assert found == Copy(10, 48, 8, 8)
    assert text[found.start : found.end] == "by AUGUST the lid   had come off twice"


def test_chinese_runs_are_counted_in_characters() -> None:
    trained = "这个水壶用了三个月就漏水，客服说要自己寄回去。"
    text = "注意，水壶用了三个月就漏水，客服说可以换。"
    found = Copies([(trained, "zh")]).longest(text, "zh")
    assert found is not None
    assert text[found.start : found.end] == "水壶用了三个月就漏水，客服说"
    assert found.length == 13


def test_full_width_characters_are_the_same_characters() -> None:
    found = Copies([("order 55 of them and ring me back", "en")]).longest("ｏｒｄｅｒ ５５ of them and", "en")
    assert found == Copy(0, 20, 5, 5)


def test_a_run_does_not_go_on_from_one_training_text_into_the_next() -> None:
    copies = Copies([("one two three four five", "en"), ("six seven eight nine ten", "en")])
    found = copies.longest("one two three four five six seven eight nine ten", "en")
    assert found is not None
    assert found.length == 5


def test_words_that_no_training_text_has_join_nothing() -> None:
    copies = Copies([("red green blue pink grey black", "en")])
    assert copies.longest("zig zag zog zug zeg zyg zag", "en") is None
    assert copies.longest("red green blue zag pink grey black", "en") is None


def test_a_phrase_that_held_out_texts_have_too_is_not_its_own() -> None:
    inside = [(f"{GREETING}. {REVIEW}", "en")]
    outside = [(f"{GREETING}! The parcel is late.", "en")]
    stock = Copies(inside, outside).longest(f"{GREETING}.", "en")
    assert stock is not None
    assert (stock.length, stock.own) == (9, 0)
    alone = Copies(inside).longest(f"{GREETING}.", "en")
    assert alone is not None
    assert alone.own == 9
    both = Copies(inside, outside).longest(f"{GREETING}. {REVIEW}", "en")
    assert both is not None
    assert both.length - both.own == 9
    assert both.own > 12


def test_one_word_after_a_stock_phrase_makes_no_copy() -> None:
    copies = Copies([(f"{GREETING} today", "en")], [(f"{GREETING} tomorrow", "en")])
    found = copies.longest(f"{GREETING} today", "en")
    assert found is not None
    assert (found.length, found.own) == (10, 1)


def test_the_run_with_most_of_its_own_is_told_not_the_longest() -> None:
    copies = Copies([(f"{GREETING} dear", "en"), ("the lid had come off twice", "en")], [(GREETING, "en")])
    found = copies.longest(f"{GREETING} dear and the lid had come off twice", "en")
    assert found is not None
    assert (found.length, found.own) == (6, 6)


def test_what_the_prompt_says_is_no_copy() -> None:
    copies = Copies([(REVIEW, "en")])
    found = copies.longest(REVIEW, "en", prompt=f"Repeat: {REVIEW}")
    assert found is not None
    assert found.own == 0


def test_the_search_agrees_with_trying_every_run() -> None:
    rng = np.random.default_rng(5)
    words = ["a", "b", "c"]
    drawn = [" ".join(words[i] for i in rng.integers(3, size=14)) for _ in range(40)]
    inside, outside = drawn[:8], drawn[8:12]
    copies = Copies([(text, "en") for text in inside], [(text, "en") for text in outside])

    def held(run: list[str], texts: list[str]) -> bool:
        return any(f" {' '.join(run)} " in f" {text} " for text in texts)

    for text in drawn[12:]:
        said = text.split()
        every = [(i, j) for i in range(len(said)) for j in range(i + 5, len(said) + 1)]
        stock = [(a, b) for a, b in every if held(said[a:b], outside)]
        best = max(
            (
                j - i - max((max(0, min(j, b) - max(i, a)) for a, b in stock), default=0)
                for i, j in every
                if held(said[i:j], inside)
            ),
            default=0,
        )
        found = copies.longest(text, "en")
        assert (found.own if found else 0) == best


def test_similarity_is_that_of_the_nearest_training_text() -> None:
    copies = Copies([("the lid came off after one week", "en"), ("a quiet fan for the bedroom", "en")])
    assert copies.nearest("The lid came off after ONE week!", "en") == 1.0
    assert copies.nearest("the lid came off after two weeks", "en") == pytest.approx(3 / 7)
    assert copies.nearest("nothing of that", "en") == 0.0
    assert copies.nearest("", "en") == 0.0


def test_similarity_falls_as_words_change() -> None:
    words = REVIEW.split()
    copies = Copies([(REVIEW, "en")])
    similar = [copies.nearest(" ".join(words[: len(words) - cut] + ["other"] * cut), "en") for cut in (0, 4, 8, 12)]
    assert all(more > less for more, less in pairwise(similar))


@pytest.mark.parametrize("text", ["", " ", "。", "\u200b"])
def test_texts_without_words_share_nothing(text: str) -> None:
    copies = Copies([(REVIEW, "en"), (text, "zh")])
    assert copies.longest(text, "zh") is None
    assert Copies([]).longest(REVIEW, "en") is None
