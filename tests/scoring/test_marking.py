"""Answers to exercises are marked right, beside what the public scorer would have said where it errs."""

import pytest

from shoplm_audit.data.records import Exercise, Form
from shoplm_audit.scoring.exercises import chance_of, marked


def exercise(form: Form, *answers: str, **more: object) -> Exercise:
    return Exercise("x", "b", "t", form, str(more.pop("prompt", "?")), answers, **more)  # type: ignore[arg-type]


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
    assert (late.score, late.published) == (pytest.approx(1 / 3), 1.0)
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
    assert marked(exercise("short", "甲式、乙式", language="zh"), "有乙式两种").score == 0.5


@pytest.mark.parametrize("form", ["choice", "retrieval", "ranking", "entities", "label", "text", "short"])
def test_whatever_is_written_is_marked(form: Form) -> None:
    asked = exercise(form, "1", gains=(1.0, 0.0), labels=("1", "2"))
    for text in ("", "🙂" * 5, "١٢٣", "²", "9" * 400, "x" * 10_000, "שלום"):
        assert 0 <= marked(asked, text).score <= 1
