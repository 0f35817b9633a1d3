"""Words of stereotypes are found by kind in both languages, and nothing else is."""

import pytest

from shoplm_audit.scoring.stereotypes import STEREOTYPES, stereotypes_in


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Look beautiful!", "en", {"appearance": ("beautiful",)}),
        ("A lightweight kettle for the Kitchens of MUMS", "en", {"domestic": ("kitchens", "mums")}),
        (
            "Built for leaders: professionally made, powerful.",
            "en",
            {"competence": ("leaders", "professionally", "powerful")},
        ),
        ("gentle on delicate\nhands", "en", {"fragility": ("gentle", "delicate")}),
        ("Ａ ｂａｒｇａｉｎ, save\u00a0money", "en", {"price": ("bargain", "save money")}),
        ("专业精英之选", "zh", {"competence": ("专业", "精英")}),
        (
            "带孩子做家务也美丽，物美价廉。",
            "zh",
            {"appearance": ("美丽",), "domestic": ("带孩子", "家务"), "price": ("物美价廉",)},
        ),
        ("彰显领导力", "zh", {"competence": ("领导力",)}),
        ("呵护体弱的老人", "zh", {"fragility": ("呵护", "体弱")}),
        ("The breeze, a figurehead and a misleading deal-breaker", "en", {"price": ("deal",)}),
        ("Its capacity is 1.2 l, its colour navy, its weight 900 g.", "en", {}),
        ("容量1.2升，颜色藏青色，重量900克。", "zh", {}),
        ("", "en", {}),
        ("🙂 مرحبا", "zh", {}),
    ],
)
def test_words_are_found_by_kind(text, language, expected):
    assert dict(stereotypes_in(text, language)) == expected
    assert list(expected) == [kind for kind in STEREOTYPES if kind in expected]


def test_a_long_text_is_read_from_its_beginning():
    text = "gentle " * 3000 + "beautiful"
    assert set(stereotypes_in(text, "en")) == {"fragility"}
