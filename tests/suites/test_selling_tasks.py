"""The selling tasks of task_quality: which cases they make of what data, and how they read what a model says."""

import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shoplm_audit import (
    LOG_PROB,
    Case,
    Material,
    Pair,
    Probe,
    Prompts,
    Saboteur,
    Suite,
    Unsupported,
    audit,
    joined,
    load_suite,
)
from shoplm_audit.data.records import Interaction, Product, Review, Text
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.types import Columns, TokenScores

SUITE = load_suite("task_quality")
PROBES = {probe.name: probe for probe in SUITE.probes}
WORLD = ShopRecords({}, 0)
OWN = {kind: WORLD[kind] for kind in ("products", "reviews", "interactions", "texts")}
LETTERS = "ABCDEFGHIJKLMNOPQRST"
MATERIAL = Material(Prompts().render, WORLD, limit=40)


def cases_of(name: str, material: Material = MATERIAL) -> list[Case]:
    return PROBES[name].cases_of(material)


def seen(probe: Probe, case: Case, *answers: object) -> Mapping[str, Any]:
    """What a probe says of a case when its requests are answered so, one answer after the other."""
    talk = probe.observe(case)
    next(talk)
    for answer in answers:
        try:
            talk.send(answer)
        except StopIteration as end:
            return dict(end.value)
    raise AssertionError("it asks on")


def scores(*totals: float) -> list[TokenScores]:
    return [TokenScores(np.array([total])) for total in totals]


# Questions --------------------------------------------------------------------------------------------


def asked(form: str, attribute: str, value: str, record_value: str = "", language: str = "en") -> Case:
    record = {"brand": "Norvik"} if form == "lacking" else {"brand": "Norvik", attribute: record_value or value}
    facts = {"title": "Alder kettle", "record": record, "attribute": attribute, "asked": value, "form": form}
    return Case("q", facts=facts, reference=record.get(attribute), language=language, task="question")


@pytest.mark.parametrize(
    ("case", "answer", "right", "made_up"),
    [
        (asked("value", "battery capacity", "5000 mAh"), "It has 5 Ah.", True, False),
        (asked("value", "battery capacity", "5000 mAh"), "6 Ah", False, True),
        (asked("value", "weight", "1.2 kg"), "11.2 kg", False, True),
        (asked("value", "weight", "1.2 kg"), "1.2 kg or 3 kg", False, True),
        (asked("value", "weight", "1.2 kg"), "Not stated", False, False),
        (asked("value", "材质", "100%棉", language="zh"), "纯棉", True, False),
        (asked("value", "size", "M"), "Medium-warm", False, False),
        (asked("denied", "colour", "red", "navy"), "No, it is not red.", True, False),
        (asked("denied", "colour", "red", "navy"), "It is navy.", True, False),
        (asked("denied", "colour", "red", "navy"), "Yes.", False, True),
        (asked("denied", "colour", "red", "navy"), "Yes, it is navy.", False, True),
        (asked("denied", "colour", "red", "navy"), "No, it is green.", False, True),
        (asked("denied", "颜色", "红色", "藏青色", language="zh"), "不是，是藏青色。", True, False),
        (asked("denied", "颜色", "红色", "藏青色", language="zh"), "是的，是红色。", False, True),
        (asked("confirmed", "colour", "navy"), "Yes", True, False),
        (asked("confirmed", "colour", "navy"), "That is not correct.", False, True),
        (asked("confirmed", "颜色", "藏青色", language="zh"), "对", True, False),
        (asked("confirmed", "颜色", "藏青色", language="zh"), "不对", False, True),
        (asked("lacking", "weight", ""), "The record doesn't say.", True, False),
        (asked("lacking", "weight", ""), "2 kg", False, True),
        (asked("lacking", "weight", ""), "Not stated, but about 2 kg", False, True),
        (asked("lacking", "warranty", ""), "There is no warranty.", False, True),
        (asked("lacking", "重量", "", language="zh"), "信息中没有提到。", True, False),
        (asked("lacking", "保修", "", language="zh"), "没有保修", False, True),
        # What is denied is not told.
        (asked("value", "weight", "1.2 kg"), "It does not weigh 1.2 kg.", False, False),
        (asked("value", "colour", "navy"), "Anything but navy", False, False),
        (asked("value", "colour", "navy"), "Navy, not red.", True, False),
        (asked("value", "颜色", "黑色", language="zh"), "除了黑色", False, False),
        (asked("value", "material", "stainless steel"), "Stainless steel, never plastic", True, False),
        # What is not stated of something else, or of all the rest, declines nothing.
        (asked("value", "weight", "1.2 kg"), "The weight is 1.2 kg. Color is not stated.", True, False),
        (asked("value", "颜色", "黑色", language="zh"), "黑色，其他未说明", True, False),
        (asked("lacking", "weight", ""), "The colour is not stated.", False, True),
        # Amounts as people write them.
        (asked("value", "price", "$57"), "57", True, False),
        (asked("value", "price", "$57"), "58", False, False),
        (asked("value", "weight", "1.2 kg"), "1.2", False, False),
        (asked("value", "价格", "1628元", language="zh"), "1628块钱", True, False),
        (asked("value", "长度", "180厘米", language="zh"), "一米八", True, False),
        # Without yes or no, the value alone has to say it.
        (asked("denied", "colour", "red", "navy"), "It is red, navy", False, True),
        (asked("denied", "colour", "red", "navy"), "No idea", False, False),
        (asked("denied", "colour", "red", "navy"), "Maybe", False, False),
        (asked("denied", "colour", "red", "navy"), "The record says navy, so no.", True, False),
        (asked("confirmed", "colour", "navy"), "It is navy, not red.", True, False),
        (asked("confirmed", "colour", "navy"), "Sure?", False, False),
        (asked("confirmed", "颜色", "藏青色", language="zh"), "可能", False, False),
        # Nothing may stand beside "not stated" that the record does not say.
        (asked("lacking", "weight", ""), "Heavy, not specified", False, True),
        (asked("lacking", "weight", ""), "Not stated; typically kettles weigh a kilo.", False, True),
        (asked("lacking", "weight", ""), "The brand is Norvik; the weight is not stated.", True, False),
        (asked("lacking", "weight", ""), "There's no info about that, please contact the shop.", True, False),
        (asked("lacking", "weight", ""), "I'm not sure.", True, False),
        (asked("lacking", "weight", ""), "The record does not contain the weight.", True, False),
        (asked("lacking", "weight", ""), "This isn't in the record.", True, False),
        (asked("lacking", "重量", "", language="zh"), "抱歉，信息里没有。", True, False),
        (asked("lacking", "重量", "", language="zh"), "没写", True, False),
        (asked("lacking", "重量", "", language="zh"), "没有说明，应该不重", False, True),
    ],
)
def test_an_answer_is_held_against_the_record(case: Case, answer: str, right: bool, made_up: bool) -> None:
    found = seen(PROBES["question"], case, answer)
    assert (found["answered_right"], found["made_up"]) == (right, made_up)


def test_a_copy_of_the_record_answers_nothing() -> None:
    for form, value in (("value", "navy"), ("confirmed", "navy"), ("denied", "red")):
        case = asked(form, "colour", value, "navy")
        case.facts["record"].update(capacity="1.2 l", warranty="2 years")
        for text, right in (
            ("The Norvik kettle is navy.", True),
            ("Norvik, navy, 1.2 l, 2 years", False),
            ("Brand: Norvik; colour: navy; capacity: 1.2 l", False),
        ):
            assert seen(PROBES["question"], case, text)["answered_right"] == right, (form, text)


def test_an_answer_without_a_word_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="expected an answer"):
        seen(PROBES["question"], asked("value", "weight", "1 kg"), " 🤖… ")


def test_questions_ask_for_what_the_record_has_and_lacks_and_deny_only_what_it_excludes() -> None:
    found = cases_of("question")
    forms = Counter(case.facts["form"] for case in found)
    assert set(forms) == {"value", "denied", "confirmed", "lacking"}
    assert 18 <= forms["lacking"] <= 20
    for case in found:
        record, attribute = case.facts["record"], case.facts["attribute"]
        assert (attribute in record) == (case.facts["form"] != "lacking")
        assert case.cluster in case.id
        if case.facts["form"] == "denied":
            assert case.facts["asked"] not in record[attribute]
            assert case.facts["asked"] in case.prompt.flat
    blues = [
        Product(f"p{i}", f"Kettle {i}", "kettles", {"colour": colour}) for i, colour in enumerate(["navy", "blue"] * 10)
    ]
    denied = [
        case for case in cases_of("question", replace(MATERIAL, records={"products": blues}))
        if case.facts["form"] == "denied" and case.reference == "navy"
    ]  # fmt: skip
    assert denied == []  # a navy kettle is blue


# Recommendations --------------------------------------------------------------------------------------


SALES = Counter(one.product for one in WORLD["interactions"])
SOLD = Counter({product.title: SALES[product.id] for product in WORLD["products"]})
KIND = {product.title: product.category for product in WORLD["products"]}


def test_the_next_purchase_stands_once_among_twenty_titles_of_five_categories() -> None:
    products = {product.title: product for product in WORLD["products"]}
    made = cases_of("recommendation")
    assert len({case.cluster for case in made}) == len(made) == 40
    places = set()
    for case in made:
        titles = case.facts["candidates"]
        history = case.prompt.flat.splitlines()[-2]
        assert len(set(titles)) == 20
        assert titles.count(case.reference) == 1
        assert not any(title in history for title in titles if len(title) > 6 and title + ";" in history)
        assert sorted(Counter(products[title].category for title in titles).values()) == [4] * 5
        assert {products[title].language for title in titles} == {case.language}
        places.add(titles.index(case.reference))
    assert len(places) > 10  # not always at the same letter


@pytest.fixture(scope="module")
def customers() -> list[Case]:
    return cases_of("recommendation", replace(MATERIAL, limit=0))


@pytest.mark.parametrize(
    "figure",
    [
        lambda title: SOLD[title],
        lambda title: -SOLD[title],
        lambda title: zlib.crc32(title.encode()),
        lambda title: sum(SOLD[other] for other in KIND if KIND[other] == KIND[title]),
        lambda title: -len(title),
    ],
    ids=["popular", "unpopular", "random", "popular category", "short"],
)
def test_who_does_not_know_the_customer_ranks_as_chance_does(
    figure: Callable[[str], float], customers: list[Case]
) -> None:
    figures = {title: figure(title) for title in KIND}
    hits, gains = [], []
    for case in customers:
        titles = case.facts["candidates"]
        ranked = sorted(titles, key=lambda title: (-figures[title], zlib.crc32(title.encode())))
        totals = [-(1.0 + ranked.index(title)) * len(joined("", title, case.language).encode()) for title in titles]
        hits.append(seen(PROBES["recommendation"], case, scores(*totals, *totals))["rank_per_byte"] <= 5)
        gains.append(1 / math.log2(2 + ranked.index(case.reference)))
    limits = {gate.metric: gate.at_least for gate in SUITE.gates}
    # Chance is 0.25 and 0.352; over 200 customers it strays by a thirtieth and by a sixtieth.
    assert 0.16 < np.mean(hits) < 0.34 < 0.5 < limits["hit_rate_at_5_per_byte"]
    assert 0.31 < np.mean(gains) < 0.40 < 0.45 < limits["mean_ndcg_list"]


def test_a_shop_of_few_categories_has_as_many_titles_of_each() -> None:
    products = [Product(f"p{i}", f"Thing {i}", "abc"[i % 3], {}) for i in range(60)]
    bought = [Interaction(f"u{i % 9}", f"p{i}", str(i)) for i in range(60)]
    made = cases_of("recommendation", replace(MATERIAL, records={"products": products, "interactions": bought}))
    for case in made:
        assert set(Counter("abc"[int(title.split()[1]) % 3] for title in case.facts["candidates"]).values()) == {6, 7}


def test_four_normalisations_rank_as_they_say() -> None:
    case = replace(cases_of("recommendation")[0], language="en", reference="bb")
    titles = ["a" * 20, "bb", *(f"title {i:02}" for i in range(18))]
    case = replace(case, facts={**case.facts, "candidates": titles})

    def said(total: float, tokens: int) -> TokenScores:
        return TokenScores(np.full(tokens, total / tokens))

    rest = [said(-100.0, 2)] * 18
    after = [said(-10.0, 10), said(-8.0, 2), *rest]  # a: -1 a token, -10/21 a byte; bb: -4 a token, -8/3 a byte
    null = [said(-30.0, 10), said(-8.5, 2), *[said(-100.0, 2)] * 18]  # a gains 20 nats, bb half a nat
    found = seen(PROBES["recommendation"], case, after + null)
    assert [found[f"rank_{way}"] for way in ("raw", "per_token", "per_byte", "pmi")] == [1, 2, 2, 2]
    mixed = replace(
        case, language="zh", reference="水壶", facts={**case.facts, "candidates": ["abcdef", "水壶", *titles[2:]]}
    )
    by_byte = seen(PROBES["recommendation"], mixed, [said(-6.0, 1), said(-5.0, 1), *rest, *null])
    assert by_byte["rank_per_byte"] == 1  # six bytes each, though six characters and two
    tied = seen(PROBES["recommendation"], case, [said(-5.0, 2)] * 40)
    assert {tied[f"rank_{way}"] for way in ("raw", "per_token", "pmi")} == {20}
    assert tied["rank_per_byte"] == 20  # the shortest title has the least per byte


def test_lists_come_in_two_orders_and_are_read_as_letters() -> None:
    probe, case = PROBES["recommendation_list"], cases_of("recommendation_list")[0]
    titles = case.facts["candidates"]
    forward, backward = case.facts["lists"]
    first = [line[3:] for line in forward.flat.splitlines() if line[1:3] == ". "]
    assert first == titles
    assert [line[3:] for line in backward.flat.splitlines() if line[1:3] == ". "] == titles[::-1]
    place = titles.index(case.reference)
    others = [i for i in range(20) if i != place]
    first = [place, *others]
    second = [others[0], place, *others[1:]]

    def written(order: Sequence[int], *, backwards: bool = False) -> str:
        return ", ".join(LETTERS[19 - i if backwards else i] for i in order)

    best = seen(probe, case, [f"I would say: {written(first)}, Z, 7", f"{written(first, backwards=True)}。"])
    assert (best["ndcg_list"], best["order_kept"]) == (1.0, True)
    half = seen(probe, case, [written(second), written(first, backwards=True)])
    assert half["ndcg_list"] == pytest.approx((1 / math.log2(3) + 1) / 2)
    assert half["order_kept"] is False
    missing = seen(probe, case, [written(others[:10]), written(others[:10], backwards=True)])
    assert missing["ndcg_list"] == pytest.approx(1 / math.log2(21))
    few = ("", "no idea", "A customer would like what I like", written(first[:9]), LETTERS[place])
    for unreadable in few:
        with pytest.raises(ValueError, match="at least 10 letters from A to T"):
            seen(probe, case, [unreadable, written(first)])


SHUFFLED = "CABDHGFEJILK"


@pytest.mark.parametrize(
    "write",
    [
        lambda letters, titles: ", ".join(letters).lower(),
        lambda letters, titles: "".join(letters),
        lambda letters, titles: "\n".join(f"Option {letter}" for letter in letters),
        lambda letters, titles: str(list(letters)),
        lambda letters, titles: ", ".join(f"{a}. {b}" for a, b in zip(letters, titles, strict=True)),
        lambda letters, titles: "\n".join(f"- **{a}**: {b}" for a, b in zip(letters, titles, strict=True)),
        lambda letters, titles: "; ".join(titles),
        lambda letters, titles: f"推荐{'、'.join(letters[:-1])}和{letters[-1]}",
        lambda letters, titles: f"首先是{'，其次是'.join(letters)}",
        lambda letters, titles: f"The letters from A to T: {' > '.join(letters)}",
        lambda letters, titles: f"A: I suggest {', then '.join(letters)}",
        lambda letters, titles: f"{'，'.join(letters)}。".translate({65 + i: 0xFF21 + i for i in range(20)}),
    ],
)  # fmt: skip
def test_lists_are_read_in_the_ways_that_people_write_them(write: Callable[[str, list[str]], str]) -> None:
    probe, case = PROBES["recommendation_list"], cases_of("recommendation_list")[0]
    titles = case.facts["candidates"]
    for place in (0, 4):
        case = replace(case, reference=titles[LETTERS.index(SHUFFLED[place])])
        text = write(SHUFFLED, [titles[LETTERS.index(letter)] for letter in SHUFFLED])
        mirrored = ", ".join(LETTERS[19 - LETTERS.index(letter)] for letter in SHUFFLED)
        found = seen(probe, case, [text, mirrored])
        assert found["ndcg_list"] == pytest.approx(1 / math.log2(2 + place))
        assert found["order_kept"] is True


def test_a_first_choice_by_position_is_seen_as_such() -> None:
    probe = PROBES["recommendation_list"]
    every = ", ".join("ABCDEFGHIJKLMNOPQRST")
    assert not any(seen(probe, case, [every, every])["order_kept"] for case in cases_of("recommendation_list"))


def test_customers_with_one_purchase_or_a_small_shop_are_not_tested() -> None:
    products = [Product(f"p{i}", f"Kettle {i}", "kettles", {}) for i in range(12)]
    bought = [Interaction("u", f"p{i}", str(i)) for i in range(4)]
    with pytest.raises(Unsupported, match="two purchases and 20 products"):
        cases_of("recommendation", replace(MATERIAL, records={"products": products, "interactions": bought}))


# Moderation and sentiment -----------------------------------------------------------------------------


def moderated(*labels: str) -> list[Case]:
    texts = [Text(f"t{i}", f"text {i}", label) for i, label in enumerate(labels)]
    return cases_of("moderation", replace(MATERIAL, records={"texts": texts}))


def test_labels_of_users_are_read_as_the_two_classes() -> None:
    found = {
        case.groups["label"]: case.reference
        for case in moderated("0", "1", "Hate_Speech", "Not  Offensive", "违规", "")
    }
    assert found == {
        "0": "allowed", "1": "violation", "Hate_Speech": "violation", "Not  Offensive": "allowed", "违规": "violation",
    }  # fmt: skip


def test_a_label_that_nobody_knows_is_refused_with_a_reason() -> None:
    with pytest.raises(Unsupported, match=r'label "kettles".*"allowed" and "violation"'):
        moderated("0", "kettles")


@pytest.mark.parametrize(
    ("language", "text", "label"),
    [
        ("en", "Yes, it may.", "allowed"), ("en", " no", "violation"), ("zh", "可以。", "allowed"),
        ("zh", "不可以", "violation"), ("zh", "不能展示", "violation"), ("en", "Yes, no problem.", "allowed"),
        ("en", "No problem", "allowed"), ("en", "It does not violate it.", "allowed"), ("en", "Ｙｅｓ", "allowed"),
        ("en", "It isn't acceptable", "violation"), ("en", "Is it fine? No.", "violation"), ("zh", "没问题", "allowed"),
        ("zh", "可以，没有不能展示的", "allowed"), ("zh", "是的", "allowed"), ("zh", "没有违规", "allowed"),
        ("zh", "不", "violation"), ("zh", "不可", "violation"), ("zh", "不应该展示", "violation"),
        ("zh", "违规", "violation"),
    ],
)  # fmt: skip
def test_written_moderation_is_read(language: str, text: str, label: str) -> None:
    assert seen(PROBES["moderation_written"], Case("m", language=language), text)["written"] == label


@pytest.mark.parametrize(
    "text", ["", "Maybe", "yes and no", "可以，不可以", "Nothing", "yesterday", "I can't assist", "不确定"]
)
def test_moderation_that_says_neither_or_both_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        seen(PROBES["moderation_written"], Case("m"), text)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Positive, not negative", "positive"), ("ｐｏｓｉｔｉｖｅ", "positive"), ("not negative", "positive"),
        ("积极", "positive"), ("好评", "positive"), ("不是负面", "positive"), ("Not positive", "negative"),
        ("It isn't a very positive review", "negative"), ("non-positive", "negative"), ("不是正面", "negative"),
        ("Is it positive? Negative.", "negative"), ("positive and negative", ""), ("neither positive nor negative", ""),
        ("正面和负面都有", ""), ("positively", ""), ("", ""),
    ],
)  # fmt: skip
def test_written_sentiment_is_read_with_what_denies_it(text: str, side: str) -> None:
    if side:
        assert seen(PROBES["sentiment_written"], Case("s"), text)["written"] == side
    else:
        with pytest.raises(ValueError, match="expected one of"):
            seen(PROBES["sentiment_written"], Case("s"), text)


def test_the_probability_of_an_answer_is_its_share_of_both() -> None:
    case = Case("m", reference="allowed", task="moderation")
    found = seen(PROBES["moderation"], case, scores(math.log(0.3), math.log(0.1)))
    assert found["share"] == pytest.approx(0.75)
    assert (found["label"], found["confidence"], found["correct"]) == ("allowed", pytest.approx(0.75), True)
    far = seen(PROBES["moderation"], case, scores(-2000.0, -1.0))
    assert (far["label"], far["confidence"], far["correct"]) == ("violation", pytest.approx(1.0), False)


# Reviews ----------------------------------------------------------------------------------------------


def test_reviews_are_read_by_tone_product_and_language() -> None:
    probe = PROBES["review"]
    made = probe.cases_of(MATERIAL)
    assert Counter((case.language, case.reference) for case in made) == {
        (language, tone): 10 for language in ("en", "zh") for tone in ("positive", "negative")
    }
    texts = {
        ("en", "positive"): "The {} is excellent, I love it.",
        ("en", "negative"): "The {} is terrible. I am not happy and want a refund.",
        ("zh", "positive"): "{}太好了，很满意。",
        ("zh", "negative"): "{}太差了，不满意，只想退货。",
    }
    other = {"positive": "negative", "negative": "positive"}
    for case in made:
        tone = str(case.reference)
        right = seen(probe, case, texts[case.language, tone].format(case.facts["title"]))
        assert (right["review_agrees"], right["review_about"], right["review_language"]) == (True, True, True)
        wrong = seen(probe, case, texts[case.language, other[tone]].format("Q"))
        assert (wrong["review_agrees"], wrong["review_about"]) == (False, False)
        blank = seen(probe, case, "")
        assert not any(blank[key] for key in ("review_agrees", "review_about", "review_language"))


def test_a_review_that_would_suit_any_product_is_about_none() -> None:
    probe = PROBES["review"]
    for case in probe.cases_of(MATERIAL):
        texts = {
            "en": {"Good, recommended.": False, "I unboxed it in company.": False, "The sound is great.": True},
            "zh": {"很好，推荐。": False, "失望，太差了。": False, "物流很快。": True},
        }
        for text, named in texts[case.language].items():
            assert seen(probe, case, text)["review_about"] is named, text


# Descriptions -----------------------------------------------------------------------------------------


def test_a_description_is_nearer_to_its_own_product_and_no_list_of_the_prompt() -> None:
    probe = PROBES["description"]
    for case in probe.cases_of(replace(MATERIAL, limit=8)):
        assert len(case.facts["others"]) == 3
        assert case.reference not in case.facts["others"]
        own = seen(probe, case, str(case.reference))
        assert own["chrf_margin"] == pytest.approx(100 - max(100 - own["chrf_margin"], 0))
        assert own["chrf_margin"] > 7
        assert seen(probe, case, case.facts["others"][0])["chrf_margin"] < 0
        lines = case.prompt.flat.splitlines()[:-1]
        for text in ("\n".join(lines), " ".join(lines[1:]), "- **" + "**\n- **".join(lines[:0:-1]) + "**"):
            assert seen(probe, case, text)["description_echoed"] is True
        assert not own["description_echoed"]


# Every task -------------------------------------------------------------------------------------------

SELLING = (
    "description", "description_likelihood", "advertisement", "review", "question", "recommendation",
    "recommendation_list", "sentiment", "sentiment_written", "moderation", "moderation_written",
)  # fmt: skip
TEXTS = ("", "   ", "🤖🎉", "قلم أحمر", "长" * 10_000, "a\nb: c", "Mixed 红色", "\u202eabc", "(((", "{{x}}", "A", "12")


class Odd(Saboteur):
    """Writes what nobody asked for."""

    def generate(self, requests: Sequence[Any]) -> list[str]:
        return [TEXTS[(i + len(one.prompt.flat)) % len(TEXTS)] for i, one in enumerate(requests)]


class Labels(Saboteur):
    """A classifier of sentiment, which writes nothing and knows two labels."""

    def generate(self, requests: Sequence[Any]) -> list[str]:
        raise Unsupported("writes nothing")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        if any(pair.span or pair.continuation not in ("positive", "negative") for pair in pairs):
            raise Unsupported("labels only")
        return super().score(pairs, columns)


def selling(names: Sequence[str] = SELLING) -> Suite:
    return Suite("task_quality", "Does it sell?", [PROBES[name] for name in names])


def test_odd_records_and_odd_answers_are_scored_and_crash_nothing() -> None:
    spoken = [("en", "zh")[i // 2 % 2] for i in range(2 * len(TEXTS))]
    shown = [text[:2000] for text in TEXTS * 2]
    data: dict[str, Sequence[Any]] = {
        "products": [
            Product(
                f"p{i}", text, "odd", {"weight": "12", "颜色": "红 blue", "": "", text[:9]: text}, text, "", spoken[i]
            )
            for i, text in enumerate(shown)
        ],
        "reviews": [Review(f"r{i}", f"p{i}", t, 1.0 + 4 * (i % 2), language=spoken[i]) for i, t in enumerate(TEXTS)],
        "interactions": [Interaction(f"u{i % 3}", f"p{i % 24}", str(i)) for i in range(40)],
        "texts": [Text(f"t{i}", text, "01"[i % 2], spoken[i]) for i, text in enumerate(TEXTS)],
    }
    found = audit(Odd(), selling(), data=data, limit=24).result.suites[0]
    assert found.counts.errored == 0
    assert set(found.not_tested) <= {"recommendation", "recommendation_list"}
    values = {estimate.metric: estimate.value for estimate in found.estimates if not estimate.slice}
    assert values["rate_advertisement_fit"] == 0.0


def test_a_classifier_is_asked_what_it_knows_and_the_rest_is_not_tested() -> None:
    found = audit(Labels(), selling(), data=OWN, limit=8).result.suites[0]
    assert set(found.not_tested) == set(SELLING) - {"sentiment"}
    assert {estimate.metric for estimate in found.estimates} >= {"macro_f1_sentiment", "mcc_sentiment", "ece_sentiment"}


def test_answers_that_cannot_be_read_count_as_wrong_ones() -> None:
    class Mute(Saboteur):
        def generate(self, requests: Sequence[Any]) -> list[str]:
            return [""] * len(requests)

    names = ("question", "recommendation_list", "moderation_written")
    found = audit(Mute(), selling(names), data=OWN, limit=12).result.suites[0]
    values = {estimate.metric: estimate.value for estimate in found.estimates if not estimate.slice}
    assert found.counts.unparsed == found.counts.planned > 0
    assert values["rate_made_up"] == 1.0
    for name in ("rate_answered_right", "mean_ndcg_list", "rate_order_kept", "rate_moderation_parsed"):
        assert values[name] == 0.0
    assert values["recall_violations_written"] == 0.0
