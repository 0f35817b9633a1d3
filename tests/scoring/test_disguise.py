from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest

from shoplm_audit.errors import ConfigError
from shoplm_audit.scoring.disguise import DISGUISES, disguise

REVIEW = {
    "en": "We bought the kettle 3 days ago. It is a great product, and the colour is really nice! Two weeks later the "
    "strap broke on a walk of 2.5 km, and we want our $12 back.",
    "zh": "这款电热水壶是六月收到的。这个价钱很划算，质量不错，非常喜欢！快递3天就到了，包装也漂亮。"
    "用了12天，重2.5公斤。",
}
_ANY = np.random.default_rng(0)
EVERY = [(kind, language) for kind, one in DISGUISES.items() for language in one.languages]


def _put(kind: str, text: str, language: str, seed: int = 0, share: float | None = None) -> str:
    return disguise(kind, text, language, np.random.default_rng(seed), share=share)


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_a_disguise_changes_the_text_and_its_generator_decides_how(kind: str, language: str) -> None:
    text = REVIEW[language] * 3
    assert _put(kind, text, language) == _put(kind, text, language) != text
    assert _put(kind, text, language, share=0) == text
    if kind != "traditional":  # all of it is changed
        assert len({_put(kind, text, language, seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(
    ("kind", "language"), [(kind, language) for kind, language in EVERY if kind not in ("synonym", "number", "article")]
)
def test_the_share_is_of_the_places_that_could_be_changed(kind: str, language: str, share: float) -> None:
    """Counted in characters that were put in, or that are others: two of a misspelling, one of any other."""
    text = REVIEW[language] * 4
    places = len(list(DISGUISES[kind].edits(text, language, np.random.default_rng(0))))
    after = _put(kind, text, language, share=share)
    changed = len(after) - len(text) or sum(a != b for a, b in zip(after, text, strict=True))
    assert changed == math.floor(share * places + 0.5) * (2 if kind == "misspelling" else 1)


@pytest.mark.parametrize(
    ("kind", "language", "text", "after"),
    [
        ("homoglyph", "en", "ace", "\u0430\u0441\u0435"),
        ("zero_width", "zh", "很好", "很\u200b好\u200b"),
        ("synonym", "en", "Great product, I bought two products.", "Terrific product, I purchased two products."),
        ("synonym", "zh", "质量不错", "品质挺好"),
        ("misspelling", "en", "that a bee", "taht a bee"),
        ("case", "en", "Ok 3", "oK 3"),
        ("whitespace", "en", "a b", "a  b"),
        ("whitespace", "zh", "很好，好", "很 好，好"),
        ("number", "en", "12 kg, 2.5 km, $3, 10%, two lids, no one", "twelve kg, 2.5 km, $3, 10%, 2 lids, no one"),
        ("number", "zh", "用了3天，重2.5公斤，25元", "用了三天，重2.5公斤，25元"),
        ("article", "en", "The lid is a joke", "lid is joke"),
        ("traditional", "zh", "头发很漂亮，马上发货", "頭髮很漂亮，馬上發貨"),
        ("full_width", "zh", "A1，好", "Ａ１,好"),
    ],
)
def test_all_places_changed_read_the_same(kind: str, language: str, text: str, after: str) -> None:
    assert _put(kind, text, language, share=1) == after


@pytest.mark.parametrize(
    ("kind", "language", "text"),
    [
        ("synonym", "en", "a little loud; a great deal of it came apart; I love to bake; not really; cheap"),
        ("synonym", "en", "Best Buy and the Big Bang; nice and warm; we have started to; on the whole"),
        ("synonym", "zh", "小孩子特别是女孩子，再好不过，只不过不错过；我的问题是，方便面的评价格外高，心满意足"),
        ("synonym", "zh", "睡觉得早，漂漂亮亮，很不错，团购买的，便利店，没感觉，之所以，不但是，好友善，吃东西"),
        ("number", "en", "USB3, MP3, B12, vitamin B 12, M2, 5' 4\", 1/2, 3 1/2, 2-in-1, 3D, 10th, -5, #1, twenty-two"),
        ("number", "zh", "速8、MP3、2G、B12，3.5个，2-3天，3～5天，1. 打10分，2020年，双11，12个，越来越6，100%"),
        ("article", "en", "Vitamin A is in it, vitamin a cream, a few, a little, twice a day, is it grade A or B"),
    ],
)  # fmt: skip
def test_what_would_say_something_else_stays_as_it_is(kind: str, language: str, text: str) -> None:
    changed = [text[start:end] + ">" + new for start, end, new in DISGUISES[kind].edits(text, language, _ANY)]
    assert changed == []


@pytest.mark.parametrize(
    ("kind", "language", "text", "after"),
    [
        ("synonym", "en", "A fantastic idea, an awesome PROBLEM, an ideal size",
         "An awesome idea, a fantastic ISSUE, a perfect size"),
        ("synonym", "en", "We don't love to bake, we love bread", "We don't love to bake, we adore bread"),
        ("synonym", "zh", "商品质量不错，已经收到了，不过孩子特别喜欢", "商品品质挺好，已拿到了，但是小孩非常喜爱"),
        ("number", "en", "2 lids, a 5-star lid, 2.5 km, USB 3", "two lids, a five-star lid, 2.5 km, USB 3"),
        ("number", "zh", "2个，第2天，2月2号，2年级，10元，2手的", "两个，第二天，二月二号，二年级，十元，二手的"),
        ("article", "en", "A lid and the lid. An A plus? The end", "lid and lid. A plus? end"),
    ],
)  # fmt: skip
def test_a_word_changes_with_its_neighbours(kind: str, language: str, text: str, after: str) -> None:
    assert _put(kind, text, language, share=1) == after


def test_what_a_disguise_hides_can_be_read_through_it() -> None:
    """A person's eye, as far as a program can have one."""
    for language, text in REVIEW.items():
        assert _put("zero_width", text, language, share=1).replace("\u200b", "") == text
        assert "".join(_put("whitespace", text, language, share=1).split()) == "".join(text.split())
        shown = _put("emoji", text, language, share=1)
        assert "".join(c for c in shown if unicodedata.category(c) != "So") == text
    english = REVIEW["en"]
    assert _put("case", english, "en").lower() == english.lower()
    swapped = _put("misspelling", english, "en", share=1)
    assert [sorted(word) for word in swapped.split()] == [sorted(word) for word in english.split()]
    assert [word[0] for word in swapped.split()] == [word[0] for word in english.split()]


def test_a_homophone_reads_alike_and_is_common() -> None:
    from pypinyin import lazy_pinyin

    text = REVIEW["zh"]
    for start, end, new in DISGUISES["homophone"].edits(text, "zh", np.random.default_rng(0)):
        assert new != text[start:end]
        assert lazy_pinyin(new) == [lazy_pinyin(text, errors=list)[start]]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "😀🙂", "שלום עולם", "\ud800", "\u200b\n", "aé" * 5000, "你好。" * 3000])
def test_any_text_can_be_disguised(text: str) -> None:
    for kind, language in EVERY:
        assert isinstance(_put(kind, text, language), str)


def test_an_unknown_kind_language_or_share_is_told() -> None:
    with pytest.raises(ConfigError, match='"rot13": not one of language "en", which has: homoglyph'):
        _put("rot13", "a", "en")
    with pytest.raises(ConfigError, match='"article": not one of language "zh"'):
        _put("article", "a", "zh")
    with pytest.raises(ConfigError, match=r'is "1\.5"'):
        _put("case", "a", "en", share=1.5)
