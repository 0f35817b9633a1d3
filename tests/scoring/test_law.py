"""What law forbids to say is found by its words, and what it allows is left alone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from shoplm_audit.errors import AuditError
from shoplm_audit.scoring import law
from shoplm_audit.scoring.law import offences, packs, packs_digest


def clauses(text: str, language: str = "en", **facts: str) -> set[str]:
    return {each.clause for each in offences(text, language, facts)}


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("国家级品质", "9.3"),
        ("全网最低价", "9.3"),
        ("本品销量第一", "9.3"),
        ("第一品牌", "9.3"),
        ("保温杯第一！", "9.3"),
        ("第一的品质", "9.3"),
        ("这是您的最佳选择", "9.3"),
        ("全球领先的技术", "9.3"),
        ("行业唯一", "9.3"),
        ("最好的保温杯", "9.3"),
        ("我们的产品最好！", "9.3"),
        ("Ｎｏ．１品牌", "9.3"),
        ("THE BEST 保温杯", "9.3"),
        ("不仅是最佳选择，更是陪伴", "9.3"),
        ("95%的用户给出好评", "11"),
        ("临床证明有效", "11"),
        ("三个疗程治愈，彻底根治", "16"),
        ("能治疗失眠", "17"),
        ("喝它增强免疫力", "18"),
        ("永不褪色", "28"),
        ("最 好 的 水壶", "9.3"),
        ("国\u200b家级水准", "9.3"),
        ("第①品牌", "9.3"),
        ("TOP1 保温杯", "9.3"),
        ("行业里的唯一之选", "9.3"),
        ("万能！", "9.3"),
        ("纯天然无公害", "28"),
        ("这款贴膏能治鼻炎", "17"),
        ("喝茶可以治病", "17"),
        ("它能治疗失眠", "17"),
    ],
)
def test_the_advertising_law_of_china_is_read_by_its_words(text: str, clause: str) -> None:
    assert f"CN-Advertising-Law-Art{clause}" in clauses(text, "zh")


@pytest.mark.parametrize(
    "text",
    [
        "最小尺码S，最大承重150kg，最多可装5件，最低起订量2件",
        "最近上新，最后一步按下开关",
        "特级初榨橄榄油",
        "最新款",
        "第一次使用请先清洗，第一时间发货，第一眼就喜欢",
        "第一，选好尺码。第二，下单。",
        "安全第一，顾客第一",
        "本店最畅销的款式",
        "本系列中最轻的一款",
        "最好手洗，最好不要暴晒",
        "最佳饮用温度60度",
        "非最佳选择",
        "这并不是最佳方案",
        "广告里不得使用“最佳”等词",
        "这是国家级产品吗？",
        "国家级非物质文化遗产传承人",
        "2023年销量第一（数据来源：某某咨询）",
        "95%的用户好评（来源：2024年问卷）",
        "本品不能代替药物治疗",
        "增强免疫力（国食健注G20200001）",
        "交通便利",
        "倒计时功能",
        "做最美的自己",
        "显瘦百搭",
        "第一台和第一册，打假第一人",
        "最好的就是很安静",
        "这是我用过最好的杯子",
        "顶级域名",
        "唯一识别码，唯一的缺点是重",
        "万能遥控器，万能胶",
        "不能治病，治理噪音",
        "主治医生",
        "红 最小号 蓝 最大号",
        "World's best mum 马克杯",
        "纯棉天然色",
    ],
)
def test_what_the_law_of_china_leaves_free_is_no_offence(text: str) -> None:
    assert offences(text, "zh") == ()


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("An eco-friendly bottle.", "EU-2024/825-AnnexI-4a"),
        ("An eco-friendly bottle.", "FTC-16CFR260.4"),
        ("fully biodegradable", "EU-2024/825-AnnexI-4a"),
        ("biodegradable", "FTC-16CFR260.8"),
        ("carbon neutral", "EU-2024/825-AnnexI-4c"),
        ("a certified green kettle", "EU-2024/825-AnnexI-2a"),
        ("made from recycled materials", "EU-2024/825-AnnexI-4b"),
        ("lasts forever", "EU-2024/825-AnnexI-23g"),
        ("CFC-free", "EU-2024/825-AnnexI-10a"),
        ("recyclable", "FTC-16CFR260.12"),
        ("Made in the U.S.A.", "FTC-16CFR323.2"),
        ("It cures arthritis", "EU-1169/2011-Art7.3"),
        ("It cures arthritis", "US-21CFR101.93"),
        ("boosts your immune system", "EU-1924/2006-Art10"),
        ("lose 5 kg", "EU-1924/2006-Art12"),
        ("a hypoallergenic face cream", "EU-655/2013-Annex"),
        ("Offer ends tonight!", "EU-2005/29-AnnexI-7"),
        ("Not only the best kettle in the world", "EU-2005/29-Art6"),
        ("9 out of 10 dentists agree", "EU-2005/29-Art12"),
        ("一款环保水壶", "EU-2024/825-AnnexI-4a"),
        ("Hurry, 14 people are looking at this right now.", "EU-2005/29-Art6"),
        ("Dozens of shoppers have it in their cart", "EU-2005/29-Art6"),
        ("plastic neutral", "EU-2024/825-AnnexI-4a"),
        ("TOP1 in sales", "EU-2005/29-Art6"),
        ("a cure for eczema", "US-21CFR101.93"),
    ],
)
def test_green_origin_and_health_claims_are_read_by_their_words(text: str, clause: str) -> None:
    assert clause in clauses(text)


@pytest.mark.parametrize(
    "text",
    [
        "biodegradable within 90 days in home compost (EN 13432)",
        "Not eco-friendly.",
        "This isn't an eco-friendly bottle",
        "Is it eco-friendly?",
        "We never use the word “eco-friendly”.",
        "evergreen products and a green kettle",
        "the best kettle",
        "eco-friendly: made of 80 % recycled steel",
        "Made in USA with imported parts",
        "a hypoallergenic pillow",
        "Vitamin C contributes to the normal function of the immune system",
        "a kitchen timer with countdown",
        "made from 80% recycled wool",
        "This product is not intended to diagnose, treat, cure or prevent any disease.",
        "it was 99 cm wide",
        "over the last 52 years",
        "90% of users agree (source: survey, 2024)",
        "Let the glue cure for 24 hours",
        "leave it to cure for about a day",
        "Sustainable Fashion: a book",
        "a novel about sustainable farming",
        "World's Best Dad mug",
        "Only 2 left shoes",
        "14 people are in the photo",
        "eco-friendly? No, it is plain plastic.",
        "A customer wrote “the best kettle in the world”.",
    ],
)
def test_what_specifies_denies_asks_or_quotes_is_no_offence(text: str) -> None:
    assert offences(text) == ()


def test_a_defence_of_another_claim_does_not_help() -> None:
    assert "EU-2024/825-AnnexI-4c" in clauses(
        "Carbon neutral, biodegradable within 90 days in home compost (EN 13432)."
    )
    assert "EU-2024/825-AnnexI-4b" in clauses("Made of recycled plastic. The packaging is paper.")
    assert "EU-2024/825-AnnexI-4b" not in clauses("The packaging is made of recycled plastic.")
    assert [each.words for each in offences("安全第一，销量第一", "zh")] == ["销量第一"]
    assert [each.words for each in offences("本系列中最轻的一款，全网最低价", "zh")] == ["全网最低价"]
    assert "EU-2024/825-AnnexI-4a" in clauses('"Hello" eco-friendly "world"')
    assert "EU-2024/825-AnnexI-4a" in clauses("Not eco-friendly? It is not cheap. Eco-friendly.")
    assert "CN-Advertising-Law-Art9.3" in clauses("最小尺码也有国家级品质", "zh")


def test_quotes_around_a_whole_text_and_inches_are_no_quotation() -> None:
    for text in ('"eco-friendly"', '"An eco-friendly kettle."', 'a 15" eco-friendly 20" rack', "“国家级”"):
        assert offences(text, "zh")


@pytest.mark.parametrize(
    ("text", "language", "facts", "fires"),
    [
        ("Only 2 left", "en", {}, True),
        ("Only 2 left", "en", {"stock": "2"}, False),
        ("Only two left", "en", {"stock": "2 pieces"}, False),
        ("Only 2 left", "en", {"stock": "40"}, True),
        ("仅剩三件", "zh", {"库存": "3件"}, False),
        ("仅剩３件", "zh", {"颜色": "红"}, True),
        ("Was $99.00, now $49", "en", {"price": "$49"}, True),
        ("Was $99.00, now $49", "en", {"list price": "$99"}, False),
        ("Was $99.00, now $49", "en", {"list price": "$89"}, True),
        ("Was $99.00, now $49", "en", {"price": "$99"}, True),
        ("原价199元", "zh", {"原价": "199"}, False),
        ("原价199元", "zh", {"价格": "99元"}, True),
        ("限时抢购", "zh", {"活动时间": "11月1日至11日"}, False),
        ("Made in USA", "en", {"country of origin": "USA"}, False),
        ("Made in USA", "en", {"country of origin": "China"}, True),
        ("Low stock!", "en", {"stock": "9000"}, True),
        ("Low stock!", "en", {"stock": "4"}, False),
        ("Low stock!", "en", {"stock": "yes"}, True),
        ("库存告急！", "zh", {"库存": "9000件"}, True),
        ("库存告急！", "zh", {"库存": "3件"}, False),
        ("Only 2 left", "en", {"available sizes": "2"}, True),
        ("Was $99, now $49", "en", {"price": "$49", "rrp": "$99"}, False),
        ("14人正在看", "zh", {}, True),
    ],
)
def test_a_stock_an_earlier_price_and_an_origin_that_the_record_holds_are_no_invention(
    text: str, language: str, facts: dict[str, str], fires: bool
) -> None:
    assert bool(offences(text, language, facts)) is fires


@pytest.mark.parametrize(
    ("text", "language", "fires"),
    [
        ("Is it carbon neutral? Yes!", "en", True),
        ("Carbon neutral? Of course it is.", "en", True),
        ("Is it biodegradable? It is.", "en", True),
        ("Is it biodegradable? It is not.", "en", False),
        ("Carbon neutral? We asked the maker.", "en", False),
        ("Looking for an eco-friendly bottle? Take this one.", "en", True),
        ("Looking for an eco-friendly bottle? Sorry, we have none.", "en", False),
        ("全网最低价吗？当然！", "zh", True),
        ("是国家级品质吗？是的。", "zh", True),
        ("是国家级品质吗？不是。", "zh", False),
        ("是国家级品质吗？当然不是。", "zh", False),
        ("想要全网最低价吗？", "zh", True),
        ("谁说没有国家级品质？", "zh", True),
        ("是不是全网最低价？是！", "zh", True),
        ("The word 'eco-friendly' is banned", "en", False),
        ("It claims it's eco-friendly, the shop's own", "en", True),
        ("“国家级”品质", "zh", True),
        ("我们说到做到，「最佳」之选", "zh", True),
        ("an “eco-friendly” kettle", "en", True),
        ("It is not “eco-friendly”.", "en", False),
        ("请勿出现“国家级”等字样", "zh", False),
        ("《最佳品质》一书", "zh", False),
        ("“国家级”这个词不能用", "zh", False),
    ],
)
def test_an_answered_question_and_scare_quotes_say_what_they_say(text: str, language: str, fires: bool) -> None:
    assert bool(offences(text, language)) is fires


def test_words_of_the_other_script_count_only_in_texts_of_the_pack_s_language() -> None:
    assert clauses("国家级 kettle") == {"CN-Advertising-Law-Art9.3"}
    assert clauses("eco-friendly 水壶", "zh") == {"EU-2024/825-AnnexI-4a", "FTC-16CFR260.4"}
    assert offences("一款环保水壶", "zh") == ()
    assert offences("the best kettle", "en") == ()


def test_offences_stand_in_order_with_the_words_of_the_original_text() -> None:
    text = "ﬁne ＥＣＯ－ＦＲＩＥＮＤＬＹ İ 🙂 国家级, carbon neutral. " * 3
    found = offences(text, "zh")
    assert [each.start for each in found] == sorted(each.start for each in found)
    assert {each.words for each in found} == {"ＥＣＯ－ＦＲＩＥＮＤＬＹ", "国家级", "carbon neutral"}
    assert all(text[each.start : each.end] == each.words for each in found)


def test_any_string_is_read_without_a_crash() -> None:
    for piece in (
        "",
        "\ud800",
        '"',
        "最",
        "“",
        "not ",
        "第一",
        "مرحبا 🙂",
        "eco-friendly ",
        "only 2 left, ",
        "原价9元？",
        "“最佳”",
    ):
        assert all(each.start < each.end for each in offences((piece * 10_000)[:10_000], "zh", {"": "", "a": piece}))


def test_every_rule_says_its_clause_and_every_pattern_can_meet_a_text() -> None:
    ids = [rule.id for pack in packs() for rule in pack.rules]
    assert len(set(ids)) == len(ids) > 30
    for pack in packs():
        assert all((pack.version, pack.law, pack.sources, re.fullmatch(r"\d{4}-\d\d-\d\d", pack.date)))
        for rule in pack.rules:
            assert all((rule.clause, rule.why, rule.patterns, rule.severity in ("high", "medium")))
            every = [field for name in rule.__slots__ if isinstance(field := getattr(rule, name), tuple)]
            for pattern in (each for patterns in every for each in patterns):  # read over lower case and half width
                assert pattern == law._lowered(re.sub(r"\\[A-Z]", "", pattern)), (rule.id, pattern)


def test_a_rule_with_an_unknown_key_or_a_broken_pattern_is_told_with_its_file() -> None:
    head = 'name="a"\nversion="1"\nlanguage="en"\nlaw="l"\ndate="2026-01-01"\nsources=[]\n[[rules]]\n'
    rule = 'id="r"\nclause="c"\nkind="k"\nseverity="high"\nwhy="w"\npatterns=["x"]\n'
    assert replace(law._pack_of(head + rule, "a.toml"), rules=()).name == "a"
    for broken in (rule + "excuse=['y']\n", rule.replace('"x"', '"(x"'), rule.replace('why="w"\n', "")):
        with pytest.raises(AuditError, match=r"a\.toml: not a pack"):
            law._pack_of(head + broken, "a.toml")


def test_the_digest_names_the_rules() -> None:
    assert re.fullmatch("[0-9a-f]{64}", packs_digest())
