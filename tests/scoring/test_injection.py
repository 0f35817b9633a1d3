from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.errors import ConfigError
from shoplm_audit.saboteurs.lying import LIES, lie
from shoplm_audit.scoring.injection import ERRORS, Injected, inject

KETTLE = {"brand": "Kaldera", "colour": "navy", "capacity": "1.5 l", "warranty": "2 years", "origin": "Italy"}
ENGLISH = "The Kaldera kettle is navy and holds 1.5 l. It comes with a warranty of 2 years and is made in Italy."
水壶 = {"品牌": "岚拓", "颜色": "藏青色", "容量": "1.5升", "重量": "480克", "产地": "意大利"}
CHINESE = "岚拓推出的水壶，颜色为藏青色，容量有1.5升，重480克，原产地是意大利。"
OTHERS = [{"brand": "Norvik", "colour": "blue", "capacity": "1500 ml"}, {"colour": "red", "capacity": "2 l"}]
其他 = [{"品牌": "沐桥", "颜色": "蓝色", "容量": "1500毫升"}, {"颜色": "红色", "容量": "2升"}]
SCENES = {"en": (ENGLISH, KETTLE, OTHERS), "zh": (CHINESE, 水壶, 其他)}


def put(kind: str, text: str, facts: dict[str, str], others=(), language: str = "en", seed: int = 0) -> Injected | None:
    return inject(kind, text, facts, language=language, others=others, rng=np.random.default_rng(seed))


def all_of(kind: str, language: str = "en") -> list[Injected]:
    text, facts, others = SCENES[language]
    found = [put(kind, text, facts, others, language, seed) for seed in range(30)]
    assert all(found)
    return [one for one in found if one]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_span_is_where_the_text_changed_and_nowhere_else(kind: str, language: str) -> None:
    text, facts, others = SCENES[language]
    for one in all_of(kind, language):
        assert one.text != text
        assert one.text[one.start : one.end] == one.now
        assert one.kind == kind
        if kind == "omission":
            assert one.text[: one.start] + one.was + one.text[one.end :] == text
        else:  # an added sentence may bring a blank with it
            assert text.startswith(one.text[: one.start].rstrip())
            assert text.endswith(one.text[one.end :])
    assert put(kind, text, facts, others, language, 3) == put(kind, text, facts, others, language, 3)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_errors_come_in_more_places_and_words_than_one(language: str) -> None:
    for kind in ERRORS:
        assert len({(one.start, one.was, one.now) for one in all_of(kind, language)}) > 1, kind


def test_nothing_that_follows_from_the_record_is_injected() -> None:
    """Navy is blue, 1500 ml are 1.5 l: neither is an error."""
    for language in ("en", "zh"):
        for one in [*all_of("value", language), *all_of("leak", language), *all_of("colour", language)]:
            assert not any(word in one.now for word in ("blue", "蓝色", "1500")), one


def test_a_value_that_another_attribute_or_the_rest_of_the_text_holds_is_no_error() -> None:
    facts = {"colour": "navy", "lining": "red"}
    assert put("value", "A navy coat.", facts, [{"colour": "red"}]) is None
    assert put("value", "A navy coat, red inside.", {"colour": "navy"}, [{"colour": "red"}]) is None
    assert put("value", "Coat, 40 cm, 80 g.", {"length": "40 cm"}, [{"length": "0.4 m"}]).now not in ("0.4 m", "80")


def test_values_that_products_have_together_exclude_nothing() -> None:
    facts, others = {"风格": "简约"}, [{"风格": "复古、文艺"}, {"风格": "复古"}]
    assert put("value", "简约的裙子。", facts, others, "zh") is None
    assert put("value", "高腰的裙子。", {"裙腰型": "高腰"}, [{"裙腰型": "低腰"}], "zh").now == "低腰"
    collars = [{"领型": "翻领"}] * 30
    assert put("value", "圆领的裙子。", {"领型": "圆领"}, collars, "zh").now == "翻领"
    assert put("value", "圆领的裙子。", {"领型": "圆领"}, [*collars, {"领型": "圆领、翻领"}], "zh") is None


def test_ten_times_and_swapped_units_are_never_the_same_amount() -> None:
    nows = {one.now for one in all_of("unit") + all_of("unit", "zh")}
    assert {"15 l", "1.5 ml", "15升", "1.5毫升", "480千克", "4800克"} <= nows
    # Ten times as much stands in the record too.
    assert put("unit", "Holds 50 cl.", {"cup": "50 cl", "jug": "5 l", "pot": "500 cl"}) is None


def test_a_colour_of_a_part_and_what_is_denied_are_left_alone() -> None:
    assert put("colour", "With white stripes.", {"colour": "white"}) is None
    assert put("colour", "It is not white.", {"colour": "white"}) is None
    assert put("value", "It is not white.", {"colour": "white"}, [{"colour": "red"}]) is None
    assert put("colour", "It is white.", {"colour": "white"}).was == "white"


@pytest.mark.parametrize(
    ("text", "facts", "language", "changed"),
    [
        ("It is waterproof.", {"waterproof": "yes"}, "en", "It is not waterproof."),
        ("It is not waterproof.", {"waterproof": "no"}, "en", "It is waterproof."),
        ("It contains nuts.", {"content": "nuts"}, "en", "It does not contain nuts."),
        ("这款外套防水。", {"防水": "是"}, "zh", "这款外套不防水。"),
        ("不防水的外套。", {"防水": "否"}, "zh", "防水的外套。"),
        ("产品通过CE认证。", {"认证": "CE"}, "zh", "产品未通过CE认证。"),
        ("颜色为红色。", {"颜色": "红色"}, "zh", "颜色不为红色。"),
    ],
)
def test_negations_turn_what_a_text_says(text: str, facts: dict[str, str], language: str, changed: str) -> None:
    assert put("negation", text, facts, language=language).text == changed


def test_an_omitted_value_stands_nowhere_any_more_and_sentences_stay_whole() -> None:
    for language in ("en", "zh"):
        _, facts, _ = SCENES[language]
        for one in all_of("omission", language):
            assert facts[one.attribute] in one.was
            assert facts[one.attribute] not in one.text
    assert put("omission", "It is navy. Navy is nice.", {"colour": "navy"}) is None
    one = put("omission", "It is navy. In addition, it weighs 2 kg.", {"weight": "2 kg"})
    assert one.text.rstrip() == "It is navy."


def test_an_error_says_which_field_it_is_against_and_an_addition_is_against_none() -> None:
    assert {one.attribute for one in all_of("origin")} == {"origin"}
    assert {one.attribute for one in all_of("certificate")} == {""}
    assert put("certificate", "A pan. CE.", {"certificate": "CE"}).attribute == "certificate"
    assert put("origin", "A pan.", {"colour": "red"}) is None


def test_whatever_comes_is_taken_or_refused_without_a_crash() -> None:
    facts = {"colour": "navy", "empty": "", "none": None, "long": "x" * 999, "emoji": "🙂", "a|b": "1.2", "重": "1/2"}
    texts = [
        "",
        " ",
        "navy",
        "🙂 1.2",
        "שלום navy",
        "İß navy 🙂",
        "ＮＡＶＹ kettle",
        "navy 1.2 kg. " * 800,
        "\ud800 navy",
    ]
    for text in texts:
        for kind in ERRORS:
            for language in ("en", "zh") if len(text) < 1000 else ("en",):
                one = put(kind, text, facts, [{"colour": "red"}, {}, {"colour": None}], language)
                assert one is None or one.text[one.start : one.end] == one.now
    with pytest.raises(ConfigError, match='"nonsense"'):
        put("nonsense", "navy", facts)


def test_nearly_every_description_of_a_shop_has_a_place_for_each_kind() -> None:
    products = shopworld(3, products=60, customers=0).products
    counts: Counter[tuple[str, str]] = Counter()
    for product in products:
        others = [p.attributes for p in products if p.language == product.language and p.id != product.id]
        for kind in ERRORS:
            one = put(kind, product.description, dict(product.attributes), others, product.language)
            counts[product.language, kind] += one is not None
    assert all(counts[language, kind] >= 27 for language in ("en", "zh") for kind in ERRORS if kind != "origin"), counts


def test_every_lie_changes_the_text_the_same_way_each_time() -> None:
    for product in shopworld(5, products=6, customers=0).products:
        for kind in LIES:
            told = lie(kind, product.description, product.attributes, product.language, product.id)
            assert told != product.description
            assert told == lie(kind, product.description, product.attributes, product.language, product.id)
            assert lie(kind, "", {}, product.language, "") != ""
    with pytest.raises(ConfigError, match='"nonsense"'):
        lie("nonsense", "", {}, "en", "")
