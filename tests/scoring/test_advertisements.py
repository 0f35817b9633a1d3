"""An advertisement keeps to its channel, its brand, the law and the record; each fault is told by its name."""

import math

import pytest

from shoplm_audit.errors import ConfigError
from shoplm_audit.scoring.advertisements import ADVERTISEMENT_LIMITS, check_advertisement, shown_length

KETTLE = {"brand": "Norvik", "colour": "navy", "capacity": "1.2 l", "weight": "1 kg"}
HU = {"品牌": "岚拓", "颜色": "藏青色", "容量": "1.2升", "重量": "1千克"}
GOOD = {
    ("search", "en"): "Norvik Alder kettle: navy, 1.2 l. Shop now.",
    ("search", "zh"): "岚拓云杉水壶，藏青色，1.2升，立即选购！",
    (
        "email",
        "en",
    ): "Subject: Norvik Alder kettle\n\nDear customer,\n\nit is navy and holds 1200 ml.\n\nOrder yours today.",
    ("email", "zh"): "主题：岚拓云杉水壶\n尊敬的顾客：\n藏青色，容量1.2升。\n欢迎购买。",
    ("social", "en"): "☕ Meet the Norvik Alder kettle, navy, 1 kg. Get yours!",
    ("social", "zh"): "岚拓云杉水壶，藏青色，快来下单～",
}


def faults(text: str, channel: str = "search", language: str = "en") -> list[str]:
    record, title = (KETTLE, "Alder kettle") if language == "en" else (HU, "云杉水壶")
    found = check_advertisement(text, record, channel=channel, language=language, title=title)
    return [fault.partition(":")[0].lstrip("0123456789 ") for fault in found.faults]


@pytest.mark.parametrize(("channel", "language"), GOOD)
def test_a_good_advertisement_has_no_fault(channel: str, language: str) -> None:
    assert faults(GOOD[channel, language], channel, language) == []


@pytest.mark.parametrize(
    ("text", "channel", "language", "fault"),
    [
        (GOOD["search", "en"] + " " * 5 + "It is a very nice kettle for every kitchen of yours.", "search", "en",
         "characters are too long"),
        (GOOD["search", "zh"] + "藏青色藏青色藏青色藏青色藏青色", "search", "zh", "characters are too long"),
        ("", "search", "en", "no text"),
        ("Norvik Alder kettle: navy, in order to boil 1.2 l.", "search", "en", "no call to act"),
        ("岚拓云杉水壶，藏青色，1.2升。", "search", "zh", "no call to act"),
        (GOOD["email", "en"].replace("Subject: ", ""), "email", "en", "no subject line"),
        (GOOD["email", "en"].replace("Norvik Alder kettle\n", "\n", 1), "email", "en", "no subject line"),
        (GOOD["search", "en"].replace("Norvik", "Norvick"), "search", "en", "brand missing or misspelt"),
        (GOOD["search", "en"].replace("Norvik", "NORVIK"), "search", "en", "brand missing or misspelt"),
        (GOOD["search", "zh"].replace("岚拓", ""), "search", "zh", "brand missing or misspelt"),
        (GOOD["search", "en"].replace("navy", "red"), "search", "en", "contradicted"),
        (GOOD["search", "en"].replace("1.2 l", "1.5 l"), "search", "en", "contradicted"),
        (GOOD["search", "zh"].replace("1.2升", "2升"), "search", "zh", "contradicted"),
        (GOOD["search", "en"].replace("navy", "eco-friendly"), "search", "en", "prohibited"),
        (GOOD["search", "zh"].replace("藏青色", "国家级"), "search", "zh", "prohibited"),
        ("Norvik Alder kettle. Shop now.", "search", "en", "no attribute stated"),
        ("Norvik. Buy now.", "search", "en", "product not named"),
        ("Norvik: a bicycle in navy. Buy now.", "search", "en", "product not named"),
        ("岚拓自行车，藏青色，立即选购！", "search", "zh", "product not named"),
        ("岚拓水壶，立即选购！", "search", "zh", "no attribute stated"),
        ("Norvik 云杉水壶，藏青色，立即选购！", "search", "en", "another language"),
        ("岚拓 Alder kettle in navy. Buy now.", "search", "zh", "another language"),
        ("Norvik navy kettle: never buy now, shop order", "search", "en", "no call to act"),
        ("Norvik navy kettle: please do not order now.", "search", "en", "no call to act"),
        ("岚拓水壶，藏青色，请勿下单。", "search", "zh", "no call to act"),
        ("Norvik kettle, navy. Shop now.\nThe subject: of it", "email", "en", "no subject line"),
    ],
)  # fmt: skip
def test_each_fault_alone_is_told(text: str, channel: str, language: str, fault: str) -> None:
    assert fault in faults(text, channel, language)


@pytest.mark.parametrize(
    ("text", "channel", "language"),
    [
        ("**Subject:** Norvik kettle\n\nIn navy. Shop now.", "email", "en"),
        ("Sure! Here is your e-mail:\n\nSubject: Norvik kettle\n\nIn navy. Shop now.", "email", "en"),
        ("Subject line: Norvik kettle\nIn navy. Don't wait, order now.", "email", "en"),
        ("**主题**：岚拓水壶\n\n藏青色，立即购买。", "email", "zh"),
        ("好的，以下是邮件：\n邮件主题： 岚拓水壶\n藏青色，别错过。", "email", "zh"),
        ("Norvik kettle in navy #kettle Get yours today 👉", "social", "en"),
        ("Norvik kettle in navy. Link in bio!", "social", "en"),
        ("岚拓水壶，藏青色，心动不如行动", "social", "zh"),
        ("岚拓云杉，1.2升，赶快来抢！", "social", "zh"),
    ],
)
def test_subject_lines_and_calls_are_known_as_people_write_them(text: str, channel: str, language: str) -> None:
    assert faults(text, channel, language) == []


def test_the_limit_itself_is_short_enough() -> None:
    text = GOOD["search", "en"]
    for more, fits in ((90 - len(text), True), (91 - len(text), False)):
        found = check_advertisement(f"{'x' * more}{text}", KETTLE, channel="search")
        assert (found.length <= ADVERTISEMENT_LIMITS["search"]["en"]) == found.short == fits


def test_every_shown_character_counts_one() -> None:
    assert shown_length(" 藏青色 1.2l\n") == 8
    assert shown_length("cafe\u0301") == shown_length("caf\u00e9") == 4
    assert shown_length("❤\ufe0f") == 1


def test_another_brand_is_contradicted_and_coverage_counts_what_the_record_can_settle() -> None:
    found = check_advertisement("Norvik kettle, navy, by Velden. Shop now.", KETTLE, channel="social")
    assert "Velden" in " ".join(found.contradicted)
    half = check_advertisement("Norvik kettle, navy. Shop now.", KETTLE, channel="social")
    assert half.coverage == pytest.approx(0.5)
    assert math.isnan(check_advertisement("Shop now.", {}, channel="social").coverage)


def test_a_product_without_a_brand_needs_none() -> None:
    assert check_advertisement("A navy kettle. Shop now.", {"colour": "navy"}, channel="social").fits


def test_an_unknown_channel_is_told_by_name() -> None:
    with pytest.raises(ConfigError, match=r'"radio".*search, email, social'):
        check_advertisement("Shop now.", KETTLE, channel="radio")


@pytest.mark.parametrize("text", ["🤖" * 50, "قلم أحمر", "x" * 10_000, "\u202eNorvik", "(((", "中" * 10_000])
def test_odd_texts_are_scored(text: str) -> None:
    odd = {"brand": "(((", "": "", "weight": "very heavy", "colour": "红色 red", "color": "blue"}
    assert not check_advertisement(text, odd, channel="email", title=text).fits
