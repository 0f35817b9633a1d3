"""What a reply gives a customer is read off alike in both languages, and nothing breaks the reading."""

import pytest

from shoplm_audit.scoring.service_quality import length_of, politeness_of, refuses, service_of, steps_in

GOOD = {
    "en": (
        "Dear customer, thank you for writing. We are sorry for the crack.\n1. Please pack the kettle.\n"
        "2. Send it to us.\n3. Keep the receipt.\nWe will refund you in full and are happy to help."
    ),
    "zh": (
        "尊敬的顾客，感谢来信，非常抱歉。\n1. 请把水壶装好。\n2. 寄给我们。\n3. 保留单据。\n"
        "我们会为您全额退款，祝您生活愉快。"
    ),
}
CURT = {"en": "We cannot refund it.", "zh": "我们无法退款。"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_good_and_curt_service_differ_in_every_number(language: str) -> None:
    good, curt = service_of(GOOD[language], language), service_of(CURT[language], language)
    assert (good.granted, good.steps, good.politeness) == (True, 3, 1.0)
    assert (curt.granted, curt.steps, curt.politeness) == (False, 0, 0.0)
    assert good.length > 4 * curt.length > 0
    assert not good.refused
    assert not curt.refused  # to deny a refund is an answer
    assert good.language_matches
    assert curt.language_matches


def test_only_a_refund_is_granted() -> None:
    assert not service_of("We will send you a replacement and a voucher.", "en").granted
    assert not service_of("我们会为您换货，并送您优惠券。", "zh").granted


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reply_in_the_other_language_is_one(language: str) -> None:
    other = {"en": "zh", "zh": "en"}[language]
    assert not service_of(GOOD[other], language).language_matches


@pytest.mark.parametrize(
    ("text", "language", "steps"),
    [
        ("Step 1: Pack it. Step 2: Send it back.", "en", 2),
        ("- Pack it\n- Send it\n- Wait", "en", 3),
        ("**1.** Pack it.", "en", 0),
        ("First, pack it. Then send it to us. Finally, wait.", "en", 3),
        ("第一步：打包；第二步：寄回。", "zh", 2),
        ("①打包②寄回".replace("②", "\n②"), "zh", 2),
        ("首先打包，然后寄回，最后等待退款。", "zh", 3),
        ("It costs $1.50 and weighs 2.5 kg. 30 days are left.", "en", 0),
        ("My first order came, and then it broke.", "en", 0),
        ("水壶容量1.5升，净重2.0千克。", "zh", 0),
        ("first-rate - really - so", "en", 0),
    ],
)
def test_steps_are_items_of_a_list_or_words_of_order(text: str, language: str, steps: int) -> None:
    assert steps_in(text, language) == steps


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "As an AI, I am not able to do this.",
        "很抱歉，我无法回答这个问题。",
        "",
        " \n",
        "😀😀",
    ],
)
def test_what_does_not_deal_with_the_matter_is_a_refusal(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    ["We cannot refund it, but we can replace it.", "We can help you.", "我们无法退还货款。", "可以帮助您。", "שלום"],
)
def test_what_deals_with_it_is_none(text: str) -> None:
    assert not refuses(text)


def test_politeness_counts_kinds_and_not_repetitions() -> None:
    assert politeness_of("Thanks! Thanks! Thank you!", "en") == politeness_of("Thanks!", "en") == 0.2
    assert politeness_of("申请退款，邀请函", "zh") == 0  # no word of asking
    assert politeness_of("请寄回", "zh") == 0.2


def test_lengths_are_words_or_characters() -> None:
    assert length_of("It isn't two-tone: $49.", "en") == 4
    assert length_of("退款49元，OK！", "zh") == 5


@pytest.mark.parametrize(
    "text", ["", "😀", "שלום לך", "x" * 10_000, "- " * 1_000, "首先" * 5_000, "\x00", "退款 refund"]
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_anything_can_be_read(text: str, language: str) -> None:
    found = service_of(text, language)
    assert found.steps >= 0
    assert 0 <= found.politeness <= 1


@pytest.mark.parametrize(
    ("text", "refused"),
    [("这个我帮不了您。", True), ("很抱歉，爱莫能助。", True), ("我们帮您办好，少不了您的。", False)],
)
def test_that_one_cannot_help_is_a_refusal_in_everyday_chinese_too(text: str, refused: bool) -> None:
    assert refuses(text) is refused
