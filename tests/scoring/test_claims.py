"""The ledger finds injected faults, leaves faithful texts alone, and never crashes."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from shoplm_audit.scoring.claims import Claim, Ledger, check_claims

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the checkout")


def verdicts(text: str, facts: Mapping[str, str], title: str = "") -> list[tuple[str, str]]:
    return [(claim.words, claim.verdict) for claim in check_claims(text, facts, title=title).claims]


def verdict(text: str, name: str, value: str) -> str:
    """The verdict of the one claim of a text."""
    claims = check_claims(text, {name: value}).claims
    assert len(claims) == 1, claims
    return claims[0].verdict


@pytest.mark.parametrize(
    ("text", "name", "value", "expected"),
    [
        ("a blue kettle", "colour", "navy", "supported"),
        ("a navy kettle", "colour", "blue", "unsupported"),
        ("a navy kettle", "colour", "sky blue", "contradicted"),
        ("a red kettle", "Color", "blue", "contradicted"),
        ("a gray kettle", "colour", "grey", "supported"),
        ("a red kettle", "colour", "black/red", "supported"),
        ("a red kettle", "colour", "multicolour", "unsupported"),
        ("a cream kettle", "colour", "black", "none"),  # could be what is in the kettle
        ("the kettle comes in cream", "colour", "black", "contradicted"),
        ("蓝色水壶", "颜色", "藏青色", "supported"),
        ("藏蓝水壶", "颜色", "蓝色", "unsupported"),
        ("红色水壶", "颜色", "蓝", "contradicted"),
        ("黑款水壶", "颜色", "黑色", "supported"),
        ("浅蓝色水壶", "颜色", "深色", "contradicted"),
        ("genuine leather", "material", "PU leather", "contradicted"),
        ("PU leather", "material", "genuine leather", "contradicted"),
        ("leather", "material", "full-grain leather", "supported"),
        ("genuine leather", "material", "leather", "unsupported"),
        ("真皮", "材质", "仿皮", "contradicted"),
        ("100% cotton", "material", "cotton blend", "contradicted"),
        ("cotton blend", "material", "100% cotton", "contradicted"),
        ("纯棉", "材质", "80%棉，20%涤纶", "contradicted"),
        ("80% cotton", "fabric", "80% cotton, 20% polyester", "supported"),
        ("60% cotton", "fabric", "80% cotton, 20% polyester", "contradicted"),
        ("polyester", "fabric", "80% cotton, 20% polyester", "supported"),
        ("100% cotton", "fabric", "cotton", "unsupported"),
        ("silk", "fabric", "polyester", "contradicted"),
        ("denim", "fabric", "cotton", "unsupported"),
        ("a steel kettle", "material", "stainless steel", "supported"),
        ("a steel kettle", "material", "oak", "contradicted"),
        ("an oak table", "material", "walnut", "contradicted"),
        ("a wooden table", "material", "walnut", "supported"),
        ("不锈钢水壶", "材质", "钛", "contradicted"),
        ("weighs 1.2 kg", "weight", "1200 g", "supported"),
        ("weighs 12 kg", "weight", "1.2 kg", "contradicted"),
        ("1.2 kg", "weight (kg)", "1.2", "supported"),
        ("1.5 kg", "weight_kg", "1.2", "contradicted"),
        ("up to 10 h of music", "battery life", "10 hours", "supported"),
        ("up to 10 h of music", "battery life", "8 hours", "contradicted"),
        ("a 2-year warranty", "battery life", "8 hours", "unsupported"),
        ("delivered in 3 days", "warranty", "2 years", "unsupported"),
        ("256GB storage", "RAM", "256 GB", "unsupported"),
        ("holds 5 l", "weight", "5 kg", "unsupported"),
        ("costs $20", "price", "$20", "supported"),
        ("costs €20", "price", "$20", "contradicted"),
        ("costs $20", "price", "20", "supported"),
        ("save $5 today", "price", "$20", "unsupported"),
        ("售价199元", "价格", "¥199", "supported"),
        ("a 6-pack", "quantity", "6", "supported"),
        ("has 6 pockets", "pockets", "6", "supported"),
        ("has 4 pockets", "pockets", "6", "contradicted"),
        ("30 x 20 cm", "size", "20 x 30 x 5 cm", "supported"),
        ("a kettle by Norvik", "brand", "Norvik", "supported"),
        ("a kettle by Velden", "brand", "Norvik", "contradicted"),
        ("Velden makes the kettle", "brand", "Norvik", "contradicted"),
        ("the Norvik kettle", "brand", "Norvik", "supported"),
        ("the kettle from Italy", "brand", "Norvik", "none"),
        ("The Great Kettle For Every Day", "brand", "Norvik", "none"),
        ("品牌：沐桥", "品牌", "岚拓", "contradicted"),
        ("沐桥牌水壶", "品牌", "岚拓", "contradicted"),
        ("来自岚拓的水壶", "品牌", "岚拓", "supported"),
        ("来自意大利的水壶", "品牌", "岚拓", "none"),
        ("知名品牌，大牌风范", "品牌", "岚拓", "none"),
    ],
)
def test_one_claim_is_judged(text: str, name: str, value: str, expected: str) -> None:
    claims = check_claims(text, {name: value}).claims
    if expected == "none":
        assert claims == ()
    else:
        assert [claim.verdict for claim in claims if claim.verdict == expected], claims
        assert not [claim for claim in claims if claim.verdict == "contradicted" != expected], claims


def test_what_the_record_lacks_is_unsupported_and_nothing_else() -> None:
    text = "A navy leather bag by Norvik, 1.2 kg."
    assert [v for _, v in verdicts(text, {})] == ["unsupported"] * 4
    assert [v for _, v in verdicts(text, {"voltage": "5 V", "model": "X200"})] == ["unsupported"] * 4


@pytest.mark.parametrize(
    "text",
    [
        "covered in a tank", "orange juice", "the gold standard", "black friday", "a steam iron", "bed linen",
        "白天喝红酒", "青年与黄金时代", "绿色食品", "棉花糖", "没有麻烦", "X200 and 4-star, in 2024", "皮肤", "米饭",
    ],
)  # fmt: skip
def test_words_that_only_contain_or_resemble_a_colour_or_material_are_no_claims(text: str) -> None:
    facts = {"colour": "teal", "material": "cork", "weight": "9 kg"}
    assert verdicts(text, facts) == []


def test_rose_gold_is_one_colour_and_not_gold() -> None:
    assert verdicts("a rose gold ring", {"colour": "rose gold"}) == [("rose gold", "supported")]


@pytest.mark.parametrize(
    "text", ["not leather", "non-leather", "free of leather", "leather-free", "非皮革", "不含皮革"]
)
def test_what_is_denied_is_a_claim_where_the_record_settles_it(text: str) -> None:
    for material, expected in (("cotton", "supported"), ("leather", "contradicted"), ("cowhide", "contradicted")):
        claims = check_claims(text, {"material": material}).claims
        assert [(claim.kind, claim.verdict) for claim in claims] == [("negation", expected)]
    assert verdicts(text, {}) == verdicts(text, {"material": "suede"}) == []


@pytest.mark.parametrize("text", ["soft as leather", "leather-look", "faux wool", "如皮革般", "without leather straps"])
def test_what_is_likened_or_denied_of_a_part_is_no_claim(text: str) -> None:
    assert verdicts(text, {"material": "leather"}) == verdicts(text, {"material": "cotton"}) == []


def test_denial_ends_with_its_word() -> None:
    assert verdicts("not leather but silk", {"material": "cotton"}) == [
        ("leather", "supported"),
        ("silk", "contradicted"),
    ]
    assert verdicts("not only silk", {"material": "cotton"}) == [("silk", "contradicted")]


def test_what_the_record_denies_the_text_may_deny_and_not_assert() -> None:
    facts = {"details": "case without foam"}
    assert verdicts("without foam", facts) == [("foam", "supported")]
    assert verdicts("made of foam", facts) == [("foam", "contradicted")]


def test_the_colour_of_a_part_or_a_pairing_contradicts_nothing() -> None:
    facts = {"colour": "black"}
    for text in (
        "black with white stripes",
        "black with a white lid",
        "pairs with white jeans",
        "黑色，白色条纹",
        "搭配白色裤子",
    ):
        assert check_claims(text, facts).contradicted == 0
    assert check_claims("a white kettle", facts).contradicted == 1


def test_of_several_attributes_of_one_dimension_any_may_match() -> None:
    facts = {"length": "30 cm", "width": "20 cm"}
    assert check_claims("20 cm", facts).claims[0].attribute == "width"
    assert check_claims("30 x 20 cm", facts).omitted == ()
    assert check_claims("25 cm wide", facts).claims == (
        Claim(0, 5, "quantity", "25 cm", "contradicted", "width", "record says width 20 cm"),
    )


def test_storage_is_not_memory() -> None:
    facts = {"storage": "512 GB", "RAM": "256 GB"}
    assert verdicts("256 GB RAM and 512 GB storage", facts) == [("256 GB", "supported"), ("512 GB", "supported")]
    assert verdicts("256 GB storage", facts) == [("256 GB", "contradicted")]


def test_omitted_are_the_checkable_attributes_that_the_text_does_not_state() -> None:
    facts = {
        "brand": "Norvik",
        "colour": "navy",
        "weight": "1.2 kg",
        "model": "X200",
        "style": "modern",
        "voltage": "5 V",
    }
    assert check_claims("A red kettle, 1.2 kg.", facts).omitted == ("brand", "voltage")
    assert check_claims("", facts).omitted == ("brand", "colour", "weight", "voltage")
    assert check_claims("", {}) == Ledger()


def test_the_title_supports_what_it_names() -> None:
    assert verdicts("The Silver Fox mug is black", {"colour": "black"}, "Silver Fox mug") == [
        ("Silver", "supported"),
        ("black", "supported"),
    ]


def test_a_name_before_the_title_is_a_brand_where_the_record_s_own_is_nowhere() -> None:
    facts = {"brand": "Norvik", "品牌": "岚拓"}
    assert verdicts("Meet the Velden kettle.", facts, "Alder kettle") == [("Velden", "contradicted")]
    assert verdicts("沐桥云杉水壶", facts, "云杉水壶") == [("沐桥", "contradicted")]
    assert verdicts("The Alder kettle. The New kettle by Norvik.", facts, "Alder kettle") == [("Norvik", "supported")]
    assert verdicts("这款云杉水壶，全新云杉水壶", facts, "云杉水壶") == []


def test_spans_point_into_the_original_text_and_are_json() -> None:
    text = "🙂 ＮＡＶＹ kettle，１.２㎏ by Norvik™ 藏青色"
    ledger = check_claims(text, {"colour": "navy", "weight": "3 kg", "brand": "Norvik"})
    assert [claim.words for claim in ledger.claims] == ["ＮＡＶＹ", "１.２㎏", "Norvik", "藏青色"]
    assert (ledger.supported, ledger.contradicted, ledger.unsupported) == (3, 1, 0)
    spans = json.loads(ledger.spans_json())
    assert [text[start:end] for start, end, *_ in spans] == [claim.words for claim in ledger.claims]
    assert spans[1][2:] == ["contradicted", "record says weight 3 kg", "weight", "quantity"]


KETTLE = {"colour": "black", "material": "stainless steel", "capacity": "1.7 l", "brand": "Tivano", "waterproof": "yes"}
SHUIHU = {"颜色": "黑色", "材质": "不锈钢", "容量": "1.7升", "品牌": "松柚", "防水": "是"}


@pytest.mark.parametrize(
    "text",
    [
        "It is never black.", "every colour except black", "You cannot buy it in black.", "black has been discontinued",
        "Black it is not.", "said to be black, but it isn't", "far from waterproof", "scarcely waterproof",
        "It isn't really waterproof.", "lacks a stainless steel body", "imitation stainless steel", "twice 1.7 l",
        "not even close to 1.7 l", "It holds less than 1.7 l.", "not by Tivano", "a Tivano copy", "Is it black? No.",
        "A black Tivano kettle of 1.7 l. None of this is correct.",
        "The old model had: black; this one has none of it.",
        "Everything except the following is true: black, 1.7 l.", "The kettle is r\u200bed.",
    ],
)  # fmt: skip
def test_a_denial_before_after_or_of_the_whole_text_contradicts_what_the_record_says(text: str) -> None:
    assert check_claims(text, KETTLE).contradicted >= 1
    assert check_claims(text, KETTLE).supported == 0


@pytest.mark.parametrize(
    "text",
    [
        "除黑色外均有", "不锈钢以外的材质", "谈不上防水", "防水效果很差", "仿松柚", "不足1.7升",
        "容量远不及1.7升", "黑色已售罄",
        "黑色，1.7升。以上信息全部是错误的。", "黑色不锈钢，与实物不符。",
        "以下信息均为错误：黑色，不锈钢", "红\u200b色",
    ],
)  # fmt: skip
def test_a_chinese_denial_contradicts_what_the_record_says(text: str) -> None:
    assert check_claims(text, SHUIHU, language="zh").contradicted >= 1
    assert check_claims(text, SHUIHU, language="zh").supported == 0


@pytest.mark.parametrize(
    "text",
    [
        "Nothing but black.", "Not only black but waterproof.", "It holds no less than 1.7 l.", "Is it black? Yes.",
        "Black, and it is not heavy.", "Is it red?", "Is this made of glass?", "weighs little, 1.7 l, not 3 l",
        "除了防水以外，还很轻。", "不仅防水", "容量不少于1.7升", "是红色吗？", "防水性能好",
    ],
)  # fmt: skip
def test_what_only_resembles_a_denial_and_what_is_asked_contradict_nothing(text: str) -> None:
    for record in (KETTLE, SHUIHU):
        assert check_claims(text, record).contradicted == 0


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"load": "40 kg", "weight": "5 kg"}, "It weighs 40 kg."),
        ({"承重": "40公斤", "重量": "5公斤"}, "重40公斤"),
        ({"width": "30 cm", "height": "40 cm"}, "40 cm wide"),
        ({"净重": "500克", "毛重": "900克"}, "净重900克"),
        ({"front camera": "12 MP", "rear camera": "48 MP"}, "a 48 MP selfie camera"),
        ({"前置摄像头": "1200万像素", "后置摄像头": "4800万像素"}, "前置4800万像素"),
        ({"input power": "65 W", "output power": "20 W"}, "output power of 65 W"),
        ({"seat height": "45 cm", "back height": "90 cm"}, "seat height 90 cm"),
        ({"price": "30元", "运费": "10元"}, "售价10元"),
        ({"inner material": "cotton", "outer material": "leather"}, "a leather lining"),
        ({"material": "shell: nylon; lining: polyester"}, "a polyester shell"),
        ({"frame colour": "red", "seat colour": "black"}, "a black frame"),
        ({"width": "90 cm", "weight": "700 g"}, "It has a width of 700 g."),
        ({"guarantee": "none"}, "a 3-year guarantee"),
    ],
)
def test_a_measure_or_a_part_is_held_against_the_attribute_that_the_text_names(
    facts: dict[str, str], text: str
) -> None:
    assert [each.verdict for each in check_claims(text, facts).claims] == ["contradicted"]


def test_two_measures_in_a_row_keep_to_their_names() -> None:
    facts = {"RAM": "8 GB", "storage": "256 GB"}
    for text in ("8 GB RAM 256 GB storage", "RAM 8 GB storage 256 GB", "8 GB of RAM and 256 GB of storage"):
        assert [verdict for _, verdict in verdicts(text, facts)] == ["supported"] * 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("material", "MDF", "solid wood"),
        ("material", "chipboard", "solid timber"),
        ("材质", "密度板", "实木"),
        ("材质", "实木贴皮", "纯实木"),
        ("material", "gold-plated brass", "solid gold"),
        ("material", "18k gold", "24k gold"),
        ("材质", "二层牛皮", "头层牛皮"),
        ("material", "bonded leather", "full-grain leather"),
        ("material", "recycled polyester", "virgin polyester"),
    ],
)
def test_the_lesser_stuff_contradicts_the_nobler(name: str, value: str, text: str) -> None:
    assert verdict(text, name, value) == "contradicted"


def test_oak_can_be_solid_wood_and_two_colours_are_a_set() -> None:
    assert verdict("solid wood", "material", "oak") == "unsupported"
    assert verdict("black and white", "colour", "black / white") == "supported"
    assert verdict("black and white", "colour", "black") == "unsupported"


@pytest.mark.parametrize(
    "text",
    [
        "Recommended by Vogue.", "Designed by Jane Doe.", "Worn by Rihanna.", "Delivered by DHL.", "A gift from Santa.",
        "Boils a cup (250 ml).", "lighter than a 5 kg one", "Supports up to 150 kg.", "Holds 5 kg of flour.",
        "Fits shelves 30 cm high.", "a 1.5 m power cord", "for hobs up to 32 cm", "Store at 20 °C.", "in a 2 kg parcel",
        "Our model is 178 cm tall.", "a wine glass", "suitable for wood floors", "cuts leather", "polishes silver",
        "Say goodbye to plastic.", "lovely with blue jeans", "with white trousers and brown boots", "under a blue sky",
        "Don't wash with white clothes.", "Green-tea scented",
        "适用于玻璃灶台", "可切牛皮", "配一双棕色靴子", "红色指示灯亮起",
        "模特身高178厘米", "适用于40厘米的架子",
    ],
)  # fmt: skip
def test_what_is_said_of_something_else_contradicts_nothing(text: str) -> None:
    facts = {"brand": "Tivano", "colour": "black", "material": "titanium", "weight": "1.2 kg", "height": "20 cm"}
    facts |= {"capacity": "1.7 l", "operating temperature": "up to 230 °C"}
    assert check_claims(text, facts).contradicted == 0


@pytest.mark.parametrize(
    "text",
    ["Made by Velden.", "a kettle by Velden", "with a red body", "made of glass", "It is 30 cm high.", "金属外壳"],
)
def test_what_is_said_of_the_product_still_contradicts(text: str) -> None:
    facts = {"brand": "Tivano", "colour": "black", "material": "cotton", "height": "20 cm"}
    assert check_claims(text, facts).contradicted == 1


# --- error injection

_EN = (
    "The Alder {noun} by {brand} comes in {colour}. It is made of {material}, weighs {weight} and holds {capacity}.",
    "Meet the {brand} {noun}: {material}, {colour}, {capacity}, {weight}.",
    "This {colour} {noun} from {brand} holds {capacity}; body of {material}; weight: {weight}.",
    "{brand} makes this {noun} in {colour}. At {weight} it is light, and {material} lasts. Capacity {capacity}.",
    "A {noun} in {colour}, built from {material}. Brand: {brand}. Holds up to {capacity}, weighs just {weight}.",
)
_ZH = (
    "{brand}推出的{noun}，颜色为{colour}，采用{material}材质，重{weight}，容量{capacity}。",
    "这款{colour}{noun}来自{brand}，由{material}制成。容量为{capacity}，重量约{weight}。",
    "品牌：{brand}。{noun}选用{material}材质，{colour}外观，净重{weight}，容量可达{capacity}。",
    "{noun}是{brand}的产品，配色是{colour}，{material}材质，{capacity}大容量，仅重{weight}。",
)
_VALUES = {
    "en": {
        "noun": ["kettle", "flask", "bottle"],
        "brand": ["Norvik", "Velden", "Talvera", "Quorra"],
        "colour": ["black", "white", "red", "navy", "dark green", "yellow", "purple", "brown", "mint green", "beige"],
        "material": ["stainless steel", "borosilicate glass", "plastic", "titanium", "bamboo", "copper", "silicone"],
        "weight": ["1.2 kg", "850 g", "2.4 lb", "430 g"],
        "capacity": ["1.7 l", "500 ml", "750 ml", "2 litres"],
    },
    "zh": {
        "noun": ["水壶", "保温杯"],
        "brand": ["岚拓", "沐桥", "松柚", "望溪"],
        "colour": ["黑色", "白色", "红色", "藏青色", "墨绿色", "黄色", "紫色", "棕色", "米色"],
        "material": ["不锈钢", "玻璃", "塑料", "钛", "陶瓷", "竹", "硅胶"],
        "weight": ["1.2千克", "850克", "一斤", "430克"],
        "capacity": ["1.7升", "500毫升", "750毫升", "两升"],
    },
}
_NAMES = {"brand": "品牌", "colour": "颜色", "material": "材质", "weight": "重量", "capacity": "容量"}
_OTHER_UNIT = {"kg": "g", " g": " kg", "lb": "oz", "litres": "ml", " ml": " l", " l": " ml", "千克": "克", "克": "千克"}
_OTHER_UNIT |= {"毫升": "升", "升": "毫升", "斤": "两"}


def faithful(language: str, count: int) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Template, what is filled in, and the record, of a small catalogue."""
    generator = np.random.default_rng(7)
    for _ in range(count):
        values = {key: str(generator.choice(options)) for key, options in _VALUES[language].items()}
        facts = {_NAMES[key] if language == "zh" else key: value for key, value in values.items() if key != "noun"}
        yield str(generator.choice(_EN if language == "en" else _ZH)), values, facts


def faults(values: dict[str, str], language: str, seed: int) -> Iterator[tuple[str, dict[str, str]]]:
    """One swap of each kind."""
    generator = np.random.default_rng(seed)
    for key in ("brand", "colour", "material"):
        yield key, values | {key: str(generator.choice([v for v in _VALUES[language][key] if v != values[key]]))}
    for key in ("weight", "capacity"):
        number = re.match(r"[\d.]+", values[key])
        if number:
            yield "tenfold", values | {key: f"{float(number[0]) * 10:g}{values[key][number.end() :]}"}
        unit = next(unit for unit in _OTHER_UNIT if values[key].endswith(unit))
        yield "unit", values | {key: values[key][: -len(unit)] + _OTHER_UNIT[unit]}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_injected_faults_are_found_and_faithful_texts_are_left_alone(language: str) -> None:
    found: dict[str, list[bool]] = {}
    for seed, (template, values, facts) in enumerate(faithful(language, 100)):
        honest = check_claims(template.format(**values), facts, language=language, title=values["noun"])
        assert honest.contradicted == 0, honest
        assert honest.omitted == (), (template.format(**values), facts)
        for kind, wrong in faults(values, language, seed):
            ledger = check_claims(template.format(**wrong), facts, language=language, title=values["noun"])
            found.setdefault(kind, []).append(ledger.contradicted > 0)
    rates = {kind: sum(hits) / len(hits) for kind, hits in found.items()}
    assert set(rates) == {"brand", "colour", "material", "tenfold", "unit"}
    assert min(rates.values()) >= 0.95, rates


# --- robustness and speed


def test_any_text_and_any_record_are_read_without_a_crash() -> None:
    generator = np.random.default_rng(1)
    pieces = [
        "navy",
        "棉",
        "100%",
        "1.2 kg",
        "by Norvik",
        "品牌：",
        "不含",
        "色",
        " ",
        "，",
        ".",
        "🙂",
        "\ud800",
        "\u202e",
        "İ",
        "ß",
        "x",
        "٣",
    ]
    for _ in range(500):
        size = int(generator.integers(0, 25))
        wild = [chr(int(code)) for code in generator.integers(0, 0x11000, size=size)]
        text = "".join(generator.permutation([*generator.choice(pieces, size=size), *wild]))
        facts = {text[:5]: text[5:12], "colour": text[:8], "重量": text[3:9], "brand": text[2:6], "": ""}
        for claim in check_claims(text, facts, title=text[:4]).claims:
            assert re.sub("[\ud800-\udfff]", "\ufffd", text[claim.start : claim.end]) == claim.words
            assert f"{claim.words}{claim.attribute}{claim.why}".encode()


def test_an_attribute_without_a_value_is_not_in_the_record() -> None:
    ledger = check_claims("a red kettle", {"colour": None, "material": None})  # type: ignore[dict-item]
    assert [(claim.verdict, claim.why) for claim in ledger.claims] == [("unsupported", "record has no colour")]
    assert ledger.omitted == ()


def test_half_a_character_is_replaced_in_whatever_a_report_prints() -> None:
    claim = check_claims("weighs \ud800 2 kg", {"weight \udfff": "3 kg \ud800"}).claims[0]
    assert (claim.start, claim.verdict, claim.why) == (9, "contradicted", "record says weight \ufffd 3 kg \ufffd")


# A quadratic reading of these takes 20 seconds and more, this one about one.
@pytest.mark.timeout(15)
@pytest.mark.parametrize(
    ("unit", "characters"),
    [("1.", 30_000), ("9", 35_000), ("M/", 50_000), ("42-", 70_000), ("A-", 75_000), ("最佳", 25_000)],
)
def test_reading_takes_time_in_proportion_to_the_length_of_the_text(unit: str, characters: int) -> None:
    text = (unit * characters)[:characters]
    for claim in check_claims(text, {"weight": "1 kg", "size": "M", "certificate": "CE"}).claims:
        assert text[claim.start : claim.end] == claim.words


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["navy ", "A", "红色", "by Norvik ", "glass of ", "100% cotton, ", "来自", "棉", "1.2 kg ", "(["]
)
def test_ten_thousand_characters_of_words_are_read(piece: str) -> None:
    text = (piece * 10_000)[:10_000]
    facts = {"brand": "Norvik", "colour": "red", "material": "silk", "weight": "1 kg"}
    assert all(text[claim.start : claim.end] == claim.words for claim in check_claims(text, facts).claims)


def test_two_thousand_texts_a_minute_is_no_limit() -> None:
    texts = [(template.format(**values) * 3, facts) for template, values, facts in faithful("en", 100)]
    begun = time.perf_counter()
    for text, facts in texts:
        check_claims(text, facts)
    assert len(texts) / (time.perf_counter() - begun) * 60 >= 2000


# --- real texts


@needs_data
@pytest.mark.real_data
def test_few_human_advertisements_are_called_contradicted() -> None:
    contradicted, swapped, found = [], 0, 0
    for line in (DATA / "advertisegen" / "dev.json").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        facts: dict[str, str] = {}
        for pair in row["content"].split("*"):
            name, _, value = pair.partition("#")
            facts[name] = f"{facts[name]}、{value}" if name in facts else value
        ledger = check_claims(row["summary"], facts, language="zh")
        contradicted.append(ledger.contradicted > 0)
        if facts.get("颜色") in ("黑色", "白色", "红色") and any(claim.attribute == "颜色" for claim in ledger.claims):
            swapped += 1
            found += check_claims(row["summary"], facts | {"颜色": "绿色"}, language="zh").contradicted > 0
    assert np.mean(contradicted) <= 0.03
    assert found / swapped >= 0.5  # a checker that says nothing would pass the line above


@needs_data
@pytest.mark.real_data
def test_few_human_restaurant_texts_are_called_contradicted() -> None:
    contradicted = []
    with (DATA / "e2e_nlg" / "devset.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            facts = dict(re.findall(r"(\w+)\[([^\]]*)\]", row["mr"]))
            contradicted.append(check_claims(row["ref"], facts, title=facts.pop("name")).contradicted > 0)
    assert np.mean(contradicted) <= 0.02
