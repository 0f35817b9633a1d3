"""Answers to exercises are marked right, beside what the public scorer would have said where it errs."""

import itertools

import pytest

from shoplm_audit.data.records import Exercise, Form
from shoplm_audit.scoring.exercises import chance_of, marked


def exercise(form: Form, *answers: str, **more: object) -> Exercise:
    return Exercise("x", "ShopBench", "t", form, str(more.pop("prompt", "?")), answers, **more)  # type: ignore[arg-type]


def test_ten_is_not_one_though_the_published_scorer_reads_one_character() -> None:
    found = marked(exercise("choice", "1"), "10")
    assert (found.score, found.published) == (0.0, 1.0)
    assert marked(exercise("choice", "1"), " Answer: 1.").score == 1.0
    assert not marked(exercise("choice", "1"), "I do not know").readable
    assert marked(exercise("choice", "1"), "1.5").score == 0.0


def test_a_retrieval_counts_the_first_line_and_each_number_once() -> None:
    asked = exercise("retrieval", "6", "9", "15")
    assert marked(asked, "6, 9, 15").score == 1.0
    late = marked(asked, "6\n9, 15")
    assert (late.score, late.published) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert marked(asked, "6,6,6").score == pytest.approx(1 / 3)


def test_a_ranking_cannot_exceed_one_by_repeating_the_best() -> None:
    asked = exercise("ranking", gains=(3.0, 2.0, 0.0, 1.0))
    repeated = marked(asked, "1,1,1,1")
    assert repeated.published == pytest.approx(1.909044, abs=1e-6)
    assert repeated.score < 1
    assert marked(asked, "2,1,4,3").score == pytest.approx(0.842828, abs=1e-6)
    assert marked(asked, "1,2,4,3").score == marked(asked, "1,2,4,3").published == pytest.approx(1.0)
    assert asked.gains == (3.0, 2.0, 0.0, 1.0)
    assert (marked(asked, "no idea").score, marked(asked, "no idea").readable) == (0.0, False)
    assert marked(asked, "0, 9, 12").score == 0.0


def test_saying_a_right_phrase_twice_is_no_false_positive() -> None:
    found = marked(exercise("entities", "tablette", "asus"), "Tablette, tablette, asus")
    assert (found.score, found.hits, found.false, found.missed) == (1.0, 2, 0, 0)
    assert found.false_published == 1
    assert found.published is not None
    assert found.published < 1
    assert marked(exercise("entities", "领型：圆领"), "领型:圆领\n风格：休闲").false == 1


def test_not_matching_is_not_matching() -> None:
    asked = exercise("label", "不匹配", labels=("匹配", "不匹配"), language="zh")
    assert marked(asked, "不匹配。").score == 1.0
    assert marked(asked, "匹配").score == 0.0
    assert not marked(asked, "匹配还是不匹配呢").readable
    assert chance_of(asked) == 0.5
    assert chance_of(exercise("choice", "1", prompt="Which?\n0. a\n1. b\n2. c\n3. d")) == 0.25


def test_a_chinese_reference_is_met_by_itself_where_the_published_rouge_says_zero() -> None:
    asked = exercise("text", "这款手机很好", metric="rougel", language="zh")
    found = marked(asked, "这款手机很好")
    assert (found.score, found.published) == (1.0, 0.0)
    assert marked(
        exercise("text", "自動スリープ機能付きケース", metric="jp-bleu"), "自動スリープ機能付きケース"
    ).score == pytest.approx(1.0)
    assert marked(exercise("short", "甲式、乙式", language="zh"), "有乙式两种").score == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("gold", "text", "score"),
    [
        ("10", "10", 0.0), ("1", "10", 1.0), ("2", "\n2", 0.0), ("2", " 2", 1.0), ("2", "", 0.0),
    ],
)  # fmt: skip
def test_the_published_scorer_reads_one_character_of_a_choice(gold: str, text: str, score: float) -> None:
    assert marked(exercise("choice", gold), text).published == score


def test_the_published_scorer_reads_what_stands_between_commas() -> None:
    listed, ranked = exercise("retrieval", "1", "4", "7"), exercise("ranking", gains=(3.0, 2.0, 0.0, 1.0))
    found = {"1,2,3\n4,7": 2, "[1, 4, 7]": 1, "1、4、7": 0, "Answer: 1, 4, 7": 2, "1,4,7.": 2, "1\n4\n7": 0}
    assert {text: marked(listed, text).published for text in found} == {
        text: pytest.approx(hits / 3) for text, hits in found.items()
    }
    assert marked(ranked, "1>2>4>3").published == marked(ranked, "3\n1,2,4").published == 0.0
    assert marked(ranked, "Order: 1, 2, 4, 3").published == pytest.approx(0.387, abs=1e-3)
    assert marked(ranked, "-1,2").published == pytest.approx(0.202, abs=1e-3)
    assert marked(ranked, "-9").published == 0.0


def test_the_published_entities_are_those_of_the_first_line_and_overlaps_are_its_libraries_own() -> None:
    asked = exercise("entities", "red", "blue dress")
    for text, counts in {"red\nblue dress": (1, 0, 1), "red; blue dress": (0, 1, 2), "\nRed, red": (1, 1, 1)}.items():
        found = marked(asked, text)
        assert (found.hits_published, found.false_published, found.missed_published) == counts
    assert marked(exercise("text", "running", metric="rougel"), "run").published == 1.0
    bleu = exercise("text", "a red steel kettle", metric="bleu")
    assert marked(bleu, "a red steel kettle\nMore").published == pytest.approx(1.0)
    assert marked(exercise("text", "hello world", metric="bleu"), "hello world").published == 0.0
    assert marked(exercise("text", "a", metric="sent-transformer"), "a").published is None
    assert marked(Exercise("x", "EcomInstruct", "t", "entities", "?", ("a",)), "a").hits_published is None


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("There are 4 options; the answer is 2", True), ("2. leash", True), ("Option 2 (out of 4)", True),
        ("The answer is not 1 but 2", True), ("答案是２。", True), ("2\n\nBecause 1 is wrong", True),
        ("2 or 1", False), ("1 or 2", False), ("-2", False), ("not 2", False), ("12", False), ("1, 2", False),
    ],
)  # fmt: skip
def test_a_choice_is_the_number_that_an_answer_settles_on(text: str, right: bool) -> None:
    assert marked(exercise("choice", "2"), text).score == right


def test_lists_are_read_however_they_are_dressed() -> None:
    listed, ranked = exercise("retrieval", "1", "4", "7"), exercise("ranking", gains=(3.0, 2.0, 0.0, 1.0))
    for text in (
        "Sure! Here are:\n1,4,7",
        "Here are 3: 1, 4, 7",
        "1\n4\n7",
        "1. 1\n2. 4\n3. 7",
        "1. mouse\n4. pad\n7. x",
    ):
        assert marked(listed, text).score == 1.0
    for text in ("1. 1\n2. 2\n3. 4\n4. 3", "1) Product 1\n2) Product 2\n3) Product 4\n4) Product 3", "1-2-4-3"):
        assert marked(ranked, text).score == pytest.approx(1.0)
    assert marked(ranked, "1. 3\n2. 4\n3. 2\n4. 1").score < 0.7
    assert (marked(listed, "not 1,4,7").score, marked(ranked, "not 1,2,4,3").readable) == (0.0, False)


@pytest.mark.parametrize(
    "text",
    [
        "1. red\n2. blue dress", "* red\n* blue dress", '["red", "blue dress"]', "red、blue dress",
        "**red**, **blue dress**",
        "Sure! Here are the entities:\nred\nblue dress", "Entities: red, blue dress",
        '{"entities": ["red", "blue dress"]}',
    ],
)  # fmt: skip
def test_phrases_are_read_however_they_are_dressed(text: str) -> None:
    assert marked(exercise("entities", "red", "blue dress"), text).score == 1.0
    assert marked(exercise("entities", "red", "blue dress"), f"not {text}").score < 1.0


def test_attributes_are_read_with_their_names_and_a_mark_of_the_phrase_itself_parts_none() -> None:
    asked = exercise("entities", "颜色：红色", "领型：圆领", language="zh")
    for text in ("颜色： 红色\n领型：圆领", "**颜色**：红色\n- **领型：** 圆领", "答案：颜色：红色；领型：圆领"):
        assert marked(asked, text).score == 1.0
    assert marked(exercise("entities", "颜色：红色", "颜色：蓝色"), "颜色：红色、蓝色").score == 1.0
    assert marked(exercise("entities", "锅、碗"), "锅、碗").score == 1.0


SAYS_NO = [
    ("匹配", "不匹配", "不太匹配|没有匹配|未匹配|无法匹配|不 匹配|不是匹配的|并不能说匹配|匹配度低|答案：不匹配"),
    (
        "match",
        "not match",
        "mismatch|no match|doesn't match|They do not really match.|not a match|unmatched|don’t match",
    ),
    ("是", "否", "不是|不，它不是|否。它不是滤芯|这不是电炉|答案是：否|不属于"),
]
SAYS_YES = [
    ("匹配", "不匹配", "完全匹配。|毫无疑问匹配|是否匹配？匹配|不错，匹配|不是不匹配"),
    ("match", "not match", "Match!|Yes, they match|It is a match|No doubt: match"),
    ("是", "否", "是的，它是滤芯|答案是：是|是。因为它不是电池|属于"),
]
OPEN = [
    ("匹配", "不匹配", "匹配还是不匹配呢|匹配、不匹配|匹配。不匹配|是否匹配|不知道"),
    ("match", "not match", "match or not match|match\nnot match|hello"),
    ("是", "否", "是否|是不是|是或否|是/否|是，否|我不知道"),
]


@pytest.mark.parametrize(("said", "which"), [(SAYS_YES, 0), (SAYS_NO, 1), (OPEN, None)])
def test_opposite_labels_are_read_by_what_is_denied(said: list[tuple[str, str, str]], which: int | None) -> None:
    for yes, no, texts in said:
        for text in texts.split("|"):
            scores = [marked(exercise("label", gold, labels=(yes, no)), text).score for gold in (yes, no)]
            assert scores == [float(which == 0), float(which == 1)], text


def test_a_denied_label_is_none() -> None:
    asked = exercise("label", "锅", labels=("锅", "碗", "锅盖"), language="zh")
    texts = {"锅": 1.0, "好的，答案是：锅": 1.0, "不是锅": 0.0, "锅盖": 0.0, "锅、碗": 0.0, "不是碗，是锅": 1.0}
    assert {text: marked(asked, text).score for text in texts} == texts


BRAND = exercise(
    "short",
    "甲乙品牌的主营业务是投资贵金属，主要包括黄金金条、珠宝、钻石、翡翠等。",
    prompt="***query***：甲乙品牌的主营业务是什么？***答案***：",
    language="zh",
)


@pytest.mark.parametrize(
    ("gold", "text", "low", "high"),
    [
        ("川贝和杏仁", "杏仁和川贝", 1, 1),
        ("川贝和杏仁", "不是川贝和杏仁", 0, 0),
        ("1", "10", 0, 0),
        ("1", "答案是1个", 1, 1),
        ("中华人民共和国", "共和国", 0, 0),
        ("G", "good", 0, 0),
        ("45至50摄氏度", "45～50℃", 1, 1),
        ("45至50摄氏度", "145至50摄氏度", 0, 0),
        ("碱性", "不是酸性而是碱性", 1, 1),
        ("碱性", "它可能是碱性" + "也可能是酸性或者中性" * 20, 0, 0.4),
    ],
)
def test_a_short_answer_counts_by_its_facts(gold: str, text: str, low: float, high: float) -> None:
    assert low <= marked(exercise("short", gold, language="zh"), text).score <= high


def test_a_sentence_is_met_in_other_words_and_the_prompt_s_own_words_do_not_help() -> None:
    assert marked(BRAND, "投资贵金属，主要有黄金金条、珠宝、钻石和翡翠").score > 0.9
    for text in (BRAND.prompt, "甲乙品牌的主营业务是什么", "厨房用具", "不是投资贵金属，主要包括黄金金条", ""):
        assert marked(BRAND, text).score == 0.0
    again = exercise("short", "红茶杯", prompt="***query***：红茶杯\n***答案***：\n纠正它，不然照抄。")
    assert (marked(again, again.prompt).score, marked(again, "红茶杯").score) == (0.0, 1.0)


def test_chance_is_the_mean_of_all_orders_and_draws() -> None:
    ranked = exercise("ranking", gains=(3.0, 2.0, 0.0, 1.0))
    orders = [marked(ranked, ",".join(map(str, order))).score for order in itertools.permutations((1, 2, 3, 4))]
    assert chance_of(ranked) == pytest.approx(sum(orders) / len(orders))
    listed = exercise("retrieval", "1", "4", prompt="Which?\n1. a\n2. b\n3. c\n4. d\n5. e\nOutput: ")
    draws = [marked(listed, ",".join(map(str, three))).score for three in itertools.combinations(range(1, 6), 3)]
    assert chance_of(listed) == pytest.approx(sum(draws) / len(draws))
    assert chance_of(exercise("choice", "1", prompt="Evaluate the review on a scale of 1 to 5.")) == 0.2
    chosen = exercise("entities", "锅", "碗", labels=("锅", "碗", "盆", "瓢"))
    assert chance_of(chosen) == pytest.approx(marked(chosen, "锅、碗、盆、瓢").score)


@pytest.mark.parametrize("form", ["choice", "retrieval", "ranking", "entities", "label", "text", "short"])
def test_whatever_is_written_is_marked(form: Form) -> None:
    asked = exercise(form, "1", gains=(1.0, 0.0), labels=("1", "2"))
    for text in ("", "🙂" * 5, "١٢٣", "²", "9" * 400, "x" * 10_000, "שלום"):
        assert 0 <= marked(asked, text).score <= 1
