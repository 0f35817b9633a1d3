"""Statements beyond measures, colours, materials and brands, in both languages, judged by what the record entails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shoplm_audit.scoring.claims import Claim, check_claims
from shoplm_audit.scoring.phrases import PHRASES

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the checkout")
YES, NO, OPEN, PRAISE, BANNED = "supported", "contradicted", "unsupported", "uncheckable", "prohibited"


def claims(text: str, facts: Mapping[str, str], title: str = "") -> tuple[Claim, ...]:
    return check_claims(text, facts, language="en" if text.isascii() else "zh", title=title).claims


def judged(text: str, name: str, value: str) -> list[tuple[str, str]]:
    return [(claim.kind, claim.verdict) for claim in claims(text, {name: value})]


@pytest.mark.parametrize(
    ("text", "name", "value", "kind", "expected"),
    [
        # --- features: what implies what
        ("It is water-resistant.", "features", "waterproof, light", "attribute", YES),
        ("It is waterproof.", "features", "water-resistant", "attribute", OPEN),
        ("It is waterproof.", "waterproof", "no", "attribute", NO),
        ("It is waterproof.", "rating", "IPX8", "attribute", YES),
        ("It is submersible.", "rating", "IPX8", "attribute", YES),
        ("It is submersible.", "rating", "IPX4", "attribute", OPEN),
        ("Rated IPX8.", "rating", "IPX4", "attribute", NO),
        ("wireless", "connection", "Bluetooth 5.3", "attribute", YES),
        ("wireless", "connection", "wired", "attribute", NO),
        ("防水外套", "防水", "是", "attribute", YES),
        ("防水外套", "防水", "否", "attribute", NO),
        ("防水外套", "特点", "防泼水", "attribute", OPEN),
        ("防泼水外套", "特点", "防水", "attribute", YES),
        # --- denial
        ("It is not waterproof.", "waterproof", "yes", "negation", NO),
        ("It isn't waterproof.", "waterproof", "no", "negation", YES),
        ("It is not waterproof.", "rating", "IPX8", "negation", NO),
        ("an alcohol-free toner", "ingredients", "water, alcohol", "negation", NO),
        ("an alcohol-free toner", "alcohol", "no", "negation", YES),
        ("It does not contain alcohol.", "ingredients", "water", "negation", OPEN),
        ("a salt-free rub", "goes with", "salt and pepper mills", "negation", OPEN),
        ("contains sugar", "features", "sugar-free", "attribute", NO),
        ("不含酒精", "成分", "水、酒精", "negation", NO),
        ("不含酒精", "特点", "无酒精", "negation", YES),
        ("无糖饮料", "糖", "无", "negation", YES),
        ("含酒精", "特点", "不含酒精", "attribute", NO),
        ("不是防水的", "防水", "是", "negation", NO),
        ("It does not fold.", "foldable", "yes", "negation", NO),
        ("不可折叠", "折叠", "是", "negation", NO),
        # --- what is in what
        ("gluten-free", "ingredients", "wheat flour, sugar", "negation", NO),
        ("无麸质", "配料", "小麦粉", "negation", NO),
        ("dairy-free", "ingredients", "coconut milk", "negation", OPEN),
        ("lactose-free", "ingredients", "milk, sugar", "negation", NO),
        ("vegan", "ingredients", "milk, sugar", "attribute", NO),
        ("vegan", "ingredients", "oats, almonds", "attribute", OPEN),
        ("nut-free", "ingredients", "oats, almonds", "negation", NO),
        ("纯素", "配料", "面粉、猪肉", "attribute", NO),
        ("fragrance-free", "ingredients", "water, parfum", "negation", NO),
        ("not halal", "halal", "yes", "negation", NO),
        # --- a name and its grade
        ("SPF 50", "spf", "SPF 30", "attribute", NO),
        ("SPF 30", "spf", "30", "attribute", YES),
        ("Bluetooth 5.3", "connectivity", "Bluetooth 5.0", "attribute", NO),
        ("蓝牙5.3", "连接", "蓝牙5.0", "attribute", NO),
        ("Wi-Fi 7", "wifi", "Wi-Fi 6", "attribute", NO),
        ("10 ATM", "water resistance", "5 ATM", "attribute", NO),
        ("Intel i7", "processor", "Intel i5", "attribute", NO),
        # --- care
        ("Dishwasher safe? No.", "dishwasher safe", "no", "negation", YES),
        ("machine washable", "care", "Machine wash cold", "care", YES),
        ("machine washable", "care", "hand wash only", "care", NO),
        ("machine washable", "washing", "hand wash", "care", NO),
        ("hand washable", "care", "machine wash or hand wash", "care", YES),
        ("dishwasher-safe", "care", "hand wash only", "care", NO),
        ("dishwasher-safe", "weight", "1 kg", "care", OPEN),
        ("Not machine washable.", "care", "machine washable", "negation", NO),
        ("可机洗", "洗涤", "只能手洗", "care", NO),
        ("可机洗", "洗涤", "机洗", "care", YES),
        ("不可漂白", "护理", "不可漂白，手洗", "negation", YES),
        ("可以漂白", "护理", "不可漂白，手洗", "care", NO),
        # --- target
        ("made for men", "gender", "women", "target", NO),
        ("made for men", "gender", "unisex", "target", YES),
        ("not for men", "gender", "men", "negation", NO),
        ("not for men", "gender", "women", "negation", YES),
        ("for kids", "age", "3-6 years", "target", YES),
        ("aged 3-6", "age", "3-8 years", "target", YES),
        ("aged 3-6", "age group", "8+", "target", NO),
        ("女款", "性别", "男", "target", NO),
        ("儿童", "适用人群", "儿童", "target", YES),
        ("8岁", "适用年龄", "3-6岁", "target", NO),
        # --- size systems
        ("Take size M.", "size", "S, M, L", "size", YES),
        ("sizes S to XL", "size", "XS-XXL", "size", YES),
        ("sizes S to XL", "size", "S, M", "size", NO),
        ("size XL", "size", "S-L", "size", NO),
        ("in EU 42", "size", "EU 42", "size", YES),
        ("in EU 43", "size", "EU 36-42", "size", NO),
        ("in US 8.5", "size", "EU 42", "size", OPEN),
        ("size M", "weight", "1 kg", "size", OPEN),
        ("42码", "尺码", "40-43", "size", YES),
        ("44码", "尺码", "40-43", "size", NO),
        ("42码", "鞋码", "EU 42", "size", YES),
        ("175/92A", "号型", "170/88A", "size", NO),
        ("均码", "尺码", "均码", "size", YES),
        # --- model
        ("model X200", "model", "X-200", "model", YES),
        ("Model no. X300", "model", "X200", "model", NO),
        ("型号：X300", "型号", "X200", "model", NO),
        ("型号：X300", "重量", "1千克", "model", OPEN),
        # --- origin
        ("Made in Italy.", "origin", "Italy", "origin", YES),
        ("Made in Europe.", "origin", "Italy", "origin", YES),
        ("Made in Italy.", "origin", "Europe", "origin", OPEN),
        ("Made in Italy.", "country of origin", "China", "origin", NO),
        ("Made in Italy.", "weight", "1 kg", "origin", OPEN),
        ("not made in China", "origin", "China", "negation", NO),
        ("产自意大利", "产地", "意大利", "origin", YES),
        ("产自中国", "产地", "云南", "origin", YES),
        ("意大利制造", "产地", "中国", "origin", NO),
        ("国产好货", "产地", "日本", "origin", NO),
        ("原装进口", "产地", "日本", "origin", YES),
        ("原装进口", "产地", "浙江", "origin", NO),
        # --- certificates
        ("GOTS certified", "certificate", "GOTS, GRS", "certificate", YES),
        ("GOTS certified", "certificate", "GRS", "certificate", NO),
        ("certified to LFGB", "certificate", "LFGB", "certificate", YES),
        ("certified to BSCI", "certificate", "LFGB", "certificate", NO),
        ("GOTS certified", "weight", "1 kg", "certificate", OPEN),
        ("Certificate: CE. Boxed.", "certificate", "CE", "certificate", YES),
        ("Certificate: FDA. Boxed.", "certificate", "CE", "certificate", NO),
        ("It is certified.", "certification", "none", "certificate", NO),
        ("ISO 9001 certified", "certificate", "ISO 14001", "certificate", OPEN),
        ("energy class A++", "energy class", "B", "certificate", NO),
        ("3C认证", "认证", "CCC", "certificate", YES),
        ("通过LFGB认证", "认证", "GS", "certificate", NO),
        ("一级能效", "能效等级", "2级", "certificate", NO),
        # --- compatibility
        ("Works with Alexa for hands-free use.", "works with", "Alexa, Google Home", "compatibility", YES),
        ("Compatible with iPhone 14.", "compatibility", "iPhone 15", "compatibility", NO),
        ("Compatible with Pixel 8.", "compatibility", "iPhone 15", "compatibility", OPEN),
        ("Compatible with iPhone 1.", "compatibility", "iPhone 15", "compatibility", NO),
        ("Not compatible with iPhone 15.", "compatibility", "iPhone 15", "negation", NO),
        ("适用于iPhone 15", "适用机型", "iPhone 15", "compatibility", YES),
        ("兼容华为手机", "兼容", "仅苹果手机", "compatibility", NO),
        # --- promises
        ("free returns", "returns", "no returns", "promise", NO),
        ("lifetime warranty", "warranty", "2 years", "promise", NO),
        ("a 3-year warranty", "warranty", "2 years", "promise", NO),
        ("delivery in 2 days", "delivery", "2 days", "promise", YES),
        ("free shipping", "weight", "1 kg", "promise", OPEN),
        ("终身质保", "质保", "2年", "promise", NO),
        ("七天无理由退货", "退货", "7天无理由", "promise", YES),
        # --- environment, health, figures
        ("biodegradable", "weight", "1 kg", "environment", BANNED),
        ("采用环保工艺", "工艺", "环保", "environment", YES),
        ("antibacterial lining", "lining", "antibacterial", "health", YES),
        ("能治疗失眠", "重量", "1千克", "health", BANNED),
        ("rated 4.8 stars", "rating", "4.2", "statistic", NO),
        ("rated 4.2 stars", "rating", "4.2 out of 5", "statistic", YES),
        ("评分4.8", "评分", "4.2", "statistic", NO),
        # --- praise
        ("the fastest kettle", "weight", "1 kg", "superlative", PRAISE),
        ("国家级品质", "重量", "1千克", "superlative", BANNED),
    ],
)
def test_a_statement_is_judged_by_what_the_record_entails(
    text: str, name: str, value: str, kind: str, expected: str
) -> None:
    assert judged(text, name, value) == [(kind, expected)]


@pytest.mark.parametrize(
    "text",
    [
        "最小尺码", "最近上新，最后三天", "size up if in doubt", "true to size", "size 20 x 30", "US 5 million users",
        "works with any outfit", "fits like a glove", "made in minutes", "a 2024 model", "best before March",
        "适用于各种场合", "支持正品", "儿童节上新", "有机会再来", "防水台高跟", "sugar",
        "shot at iso 1600", "the latest interest", "不仅仅", "an area code for Alexandria",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_statement_is_none(text: str) -> None:
    facts = {"size": "M", "尺码": "M", "origin": "China", "gender": "women", "适用机型": "iPhone 15", "weight": "9 kg"}
    assert [claim for claim in claims(text, facts) if claim.verdict != PRAISE and claim.kind != "quantity"] == []


def test_a_title_supports_its_own_words_and_contradicts_nothing() -> None:
    facts = {"origin": "China", "gender": "women"}
    assert [each.verdict for each in claims("Made in Italy", facts, "Made in Italy, a novel")] == [YES]
    assert claims("for men", {}, "women's coat")[0].verdict == OPEN


def test_of_contradictory_attributes_the_one_that_agrees_counts() -> None:
    assert judged("made for men and dry clean only", "a", "x")[0] == ("target", OPEN)
    assert [each.verdict for each in claims("for men", {"gender": "women", "department": "men"})] == [YES]
    assert [each.verdict for each in claims("made in Italy", {"origin": "China", "产地": "意大利"})] == [YES]
    assert [each.verdict for each in claims("waterproof", {"waterproof": "no", "features": "waterproof"})] == [YES]


def test_a_denial_holds_for_a_list_and_not_beyond_it() -> None:
    text = "Free from parabens, sulphates and alcohol. Contains fragrance."
    found = claims(text, {"ingredients": "alcohol, fragrance"})
    assert [(each.words, each.kind, each.verdict) for each in found] == [
        ("parabens", "negation", OPEN),
        ("sulphates", "negation", OPEN),
        ("alcohol", "negation", NO),
        ("fragrance", "attribute", YES),
    ]
    assert judged("not only waterproof", "waterproof", "no") == [("attribute", NO)]


@pytest.mark.parametrize(
    ("text", "name", "value", "expected"),
    [
        ("It does not weigh 2 kg.", "weight", "2 kg", NO),
        ("It does not weigh 3 kg.", "weight", "2 kg", YES),
        ("It does not come in blue.", "colour", "navy", NO),
        ("It is not certified to GS.", "certificate", "GS", NO),
        ("It is not covered by a warranty of 1 year.", "warranty", "1 year", NO),
        ("It is not made by Norvik.", "brand", "Norvik", NO),
        ("颜色不为蓝色", "颜色", "蓝色", NO),
        ("未获得GS认证", "认证", "GS", NO),
        ("不由70%棉制成", "材质", "70%棉", NO),
        ("尺码不为XS", "尺码", "XS", NO),
    ],
)
def test_a_denied_verb_denies_its_object(text: str, name: str, value: str, expected: str) -> None:
    assert judged(text, name, value) == [("negation", expected)]


def test_what_is_bounded_or_denied_of_another_word_is_not_denied() -> None:
    assert judged("weighs not more than 3 kg", "weight", "2 kg") == [("quantity", YES)]
    assert judged("not a family friendly coffee shop", "type", "coffee") == [("colour", YES)]
    assert judged("It is not just blue.", "colour", "blue") == [("colour", YES)]


@pytest.mark.parametrize(
    ("text", "name", "value", "expected"),
    [
        ("up to 10 h of play", "battery life", "10 hours", YES),
        ("up to 10 h of play", "battery life", "8 hours", NO),
        ("5000 mAh", "battery", "5 Ah", YES),
        ("5000毫安时", "电池", "5 Ah", YES),
        ("15 in screen", "screen", "38.1 cm", YES),
        ("6.7寸屏幕", "屏幕", "6.7英寸", YES),
        ("重一斤", "重量", "500克", YES),
        ("重二两", "重量", "100克", YES),
        ("长3尺", "长度", "1米", YES),
        ("a 2 pack", "quantity", "2", YES),
        ("a 3 pack", "quantity", "2", NO),
        ("256 GB storage", "memory", "256 GB", OPEN),
        ("runway of 2194 metres", "length", "2194", YES),
    ],
)
def test_measures_agree_across_units_and_not_across_roles(text: str, name: str, value: str, expected: str) -> None:
    assert [verdict for _, verdict in judged(text, name, value)] == [expected]


@pytest.mark.parametrize(
    ("text", "facts", "why"),
    [
        (
            "2 years warranty and a 30-day money-back guarantee",
            {"warranty": "2 years"},
            "record says warranty 2 years, and nothing of returns",
        ),
        ("a 30-day free trial", {"warranty": "2 years"}, "record says warranty 2 years, and nothing of returns"),
        ("质保2年，30天无理由退货", {"质保": "2年"}, "record says 质保 2年, and nothing of returns"),
        ("256 GB memory", {"storage": "256 GB"}, "record says storage 256 GB, and nothing of memory"),
        ("5 kg", {"storage": "256 GB"}, "record has no such mass"),
    ],
)
def test_another_role_of_the_same_dimension_is_named_and_settles_nothing(
    text: str, facts: Mapping[str, str], why: str
) -> None:
    assert [(each.verdict, each.why) for each in claims(text, facts) if each.verdict != YES][:1] == [(OPEN, why)]


def test_returns_are_held_against_returns() -> None:
    for name in ("returns", "money-back guarantee"):
        assert judged("30-day returns", name, "30 days") == [("promise", YES)]
        assert judged("30-day returns", name, "14 days") == [("promise", NO)]


def test_the_record_is_quoted_as_it_is_written() -> None:
    assert claims("Made in Italy", {"features": "Made In Italy"})[0].why == "record says features Made In Italy"


def test_law_prohibits_what_the_record_does_not_contradict() -> None:
    banned = claims("全网销量第一，国家级工艺", {"颜色": "红"})
    assert {each.verdict for each in banned} == {BANNED}
    assert all(each.clause and each.why for each in banned)
    assert judged("an eco-friendly bag", "material", "eco-friendly cotton") == [("environment", BANNED)]
    assert judged("a biodegradable bag", "biodegradable", "no") == [("environment", NO)]


def test_sizes_origins_and_care_of_the_record_are_omitted_unless_stated() -> None:
    facts = {"size": "M", "origin": "Italy", "care": "hand wash", "certificate": "GS", "model": "X200", "gender": "?"}
    assert check_claims("", facts).omitted == ("size", "origin", "care", "certificate")
    assert check_claims("In size M, made in Italy, hand wash, certified to GS.", facts).omitted == ()


@dataclass(frozen=True)
class Found:
    start: int
    end: int
    attribute: str
    words: str
    verdict: str
    why: str = "by the schema"


@dataclass(frozen=True)
class FakeSchema:
    found: tuple[Found, ...]
    attributes: tuple[str, ...] = ()

    def findings(self, text: str, facts: Mapping[str, str], language: str, title: str) -> tuple[Found, ...]:
        assert language == "en"
        return self.found


def test_a_schema_s_findings_stand_where_no_typed_claim_settles_the_words() -> None:
    text = "A cosy red pub for kids."
    schema = FakeSchema((
        Found(2, 6, "mood", "cosy", OPEN),
        Found(7, 10, "roof", "red", NO),
        Found(11, 14, "colour", "pub", YES),
        Found(15, 23, "family", "for kids", NO),
    ))  # fmt: skip
    ledger = check_claims(text, {"colour": "red", "size": "M"}, schema=schema)  # type: ignore[arg-type]
    assert [(each.words, each.kind, each.verdict) for each in ledger.claims] == [
        ("cosy", "attribute", OPEN),
        ("red", "colour", YES),
        ("pub", "attribute", YES),
        ("for kids", "attribute", NO),
    ]
    stated = FakeSchema((Found(2, 6, "size", "cosy", YES),))
    assert check_claims(text, {"size": "M", "colour": "red"}, schema=stated).omitted == ()  # type: ignore[arg-type]


def test_a_schema_never_clears_a_measure_or_a_denial_that_the_record_excludes() -> None:
    text = "128 GB of RAM and 4 GB of storage, not red"
    facts = {"RAM": "4 GB", "storage": "128 GB", "colour": "red"}
    schema = FakeSchema((
        Found(0, 6, "storage", "128 GB", YES),
        Found(18, 22, "RAM", "4 GB", YES),
        Found(35, 42, "colour", "not red", YES),
    ))  # fmt: skip
    ledger = check_claims(text, facts, schema=schema)  # type: ignore[arg-type]
    assert [(each.attribute, each.verdict) for each in ledger.claims] == [
        ("RAM", NO),
        ("storage", NO),
        ("colour", NO),
    ]


def test_the_lattice_never_says_yes_and_no_and_implication_is_transitive() -> None:
    concepts = list(PHRASES.kind)
    for one in concepts:
        assert PHRASES.supports((one, True), (one, True))
        for other in concepts:
            known, claim = (one, True), (other, True)
            assert not (PHRASES.supports(known, claim) and PHRASES.contradicts(known, claim)), (one, other)
            if PHRASES.supports(known, claim):
                assert PHRASES.supports((other, False), (one, False)), "what denies the wider denies the finer"


@pytest.mark.parametrize(
    "unit", ["not ", "不", "free from a, ", "size S, ", "compatible with A1 and ", "(", "made in "]
)
def test_ten_thousand_characters_of_cues_are_read(unit: str) -> None:
    text = (unit * 5000)[:10_000] + "waterproof 🙂 \u202eمقاوم للماء 防水"
    facts = {"waterproof": "no", "size": "", "产地": "🙂", "": "x", "compatibility": "\u202e", "care": "((("}
    for claim in check_claims(text, facts, title="\ud800").claims:
        assert text[claim.start : claim.end] == claim.words


@needs_data
@pytest.mark.real_data
def test_few_shop_descriptions_are_contradicted_by_their_records() -> None:
    contradicted = []
    for line in (DATA / "product_catalog_er" / "products_abt_buy.jsonl").read_text(encoding="utf-8").splitlines()[::4]:
        row = {name: str(value) for name, value in json.loads(line).items() if value}
        text = row.pop("description", "")
        if text:
            contradicted.append(check_claims(text, row, title=row["name"]).contradicted > 0)
    assert len(contradicted) > 200
    assert np.mean(contradicted) <= 0.03
