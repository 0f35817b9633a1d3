from __future__ import annotations

import random

import numpy as np
import pytest

from shoplm_audit.scoring.overlap import Rouge, bleu, bleu_sums, chrf, corpus_bleu, rouge, tokens_of

ZH = [
    ("这款手机配备6.7英寸AMOLED显示屏，电池容量5000mAh。", "这款手机采用6.7英寸AMOLED屏幕，电池容量为5000毫安时。"),
    ("这条裙子是纯棉的，穿着舒适透气。", "这款连衣裙采用纯棉面料，透气舒适。"),
]
KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@pytest.mark.parametrize(
    ("pair", "expected"), [(0, (0.6977, 0.4878, 0.6977)), (1, (0.6061, 0.1935, 0.4848))], ids=["first", "second"]
)
def test_chinese_rouge_has_its_reference_values(pair: int, expected: tuple[float, ...]) -> None:
    found = rouge(*ZH[pair], "zh")
    assert (found.rouge1, found.rouge2, found.rougeL) == pytest.approx(expected, abs=5e-5)


def test_chinese_tokens_are_those_of_sacrebleu() -> None:
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    plain = ZH[0][0].replace("，", ",").lower()
    assert tokens_of(ZH[0][0], "zh") == TokenizerZh()(plain).split()
    assert tokens_of("Ａ4纸，100% cotton", "en") == ["a4", "纸", "100", "cotton"]


def test_rouge_agrees_with_rouge_score_on_drawn_texts() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    class Characters:
        def tokenize(self, text: str) -> list[str]:
            return tokens_of(text, "zh")

    scorers = {"en": RougeScorer(KINDS), "zh": RougeScorer(KINDS, tokenizer=Characters())}
    drawn = random.Random(0)
    drawings = {"en": (["Steel", "kettle,", "1.7", "l", "boils", "it"], " "), "zh": ("红棉裙软大6", "")}
    for language, (words, between) in drawings.items():
        for _ in range(40):
            text, reference = (
                "".join(drawn.choice(words) + drawn.choice([between] * 3 + ["\n"]) for _ in range(drawn.randint(2, 30)))
                for _ in range(2)
            )
            expected = scorers[language].score(reference, text)
            found = rouge(text, reference, language)
            assert {k: getattr(found, k) for k in KINDS} == pytest.approx({k: expected[k].fmeasure for k in KINDS})


def test_chinese_sentences_may_change_places_only_for_rouge_lsum() -> None:
    reference, moved = "面料柔软。版型宽松。", "版型宽松。面料柔软。"
    found = rouge(moved, reference, "zh")
    assert found.rougeLsum == 1 > found.rougeL
    assert rouge("面料柔软！版型宽松", "面料柔软!版型宽松", "zh") == Rouge(1, 1, 1, 1)


@pytest.mark.parametrize(
    "text", [ZH[0][0], "A navy kettle of 1.7 l.", "纯棉", "ok", "🙂🙂 👍", "مرحبا بالعالم", "——", "。"]
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_identical_texts_score_the_maximum_whatever_their_script(text: str, language: str) -> None:
    assert rouge(text, text, language) == Rouge(1, 1, 1, 1)
    assert (chrf(text, text), bleu(text, text, language)) == (pytest.approx(100), 100)


@pytest.mark.parametrize(("text", "reference"), [("", "纯棉"), ("纯棉", ""), ("", "")])
def test_nothing_written_or_nothing_to_compare_with_scores_nothing(text: str, reference: str) -> None:
    assert rouge(text, reference, "zh") == Rouge(0, 0, 0, 0)
    assert chrf(text, reference) == bleu(text, reference, "zh") == 0


def test_full_and_half_width_score_alike() -> None:
    wide = "电池５０００ｍＡｈ，屏幕６．７英寸！"
    plain = "电池5000mAh,屏幕6.7英寸!"
    assert rouge(wide, plain, "zh") == Rouge(1, 1, 1, 1)
    assert chrf(wide, plain) == bleu(wide, plain, "zh") == pytest.approx(100)


def test_long_texts_are_scored() -> None:
    drawn = random.Random(1)
    texts = ["".join(drawn.choices("红棉裙软大小的一是", k=10_000)) for _ in range(2)]
    assert 0.3 < rouge(*texts, "zh").rougeLsum < 1


def test_corpus_bleu_is_of_the_sums_and_not_a_mean() -> None:
    sums = np.array([bleu_sums(*pair, "zh") for pair in ZH])
    assert corpus_bleu(sums.sum(axis=0, keepdims=True))[0] == pytest.approx(26.546, abs=5e-4)


def test_texts_without_4_grams_are_scored_over_the_orders_that_they_have() -> None:
    import sacrebleu

    same, short = (np.array([bleu_sums(text, "纯棉", "zh")]) for text in ("纯棉", "棉"))
    assert corpus_bleu(same)[0] == pytest.approx(100)
    assert corpus_bleu(short)[0] == pytest.approx(100 * np.exp(-1))  # by the brevity penalty
    # One longer text is enough for the usual order; alone each is sacreBLEU's with its effective order.
    longer = bleu_sums("red pan of iron with lid", "red pot of iron with lid", "en")
    both = np.array([longer]) + bleu_sums("red", "red pan", "en")
    corpus = [["red pan of iron with lid", "red"], [["red pot of iron with lid", "red pan"]]]
    assert corpus_bleu(both)[0] == pytest.approx(sacrebleu.corpus_bleu(*corpus).score)
    for text, reference in (("red steel pan", "red pan"), ("a pan", "the pan of iron"), ("lid", "pan")):
        expected = sacrebleu.sentence_bleu(text, [reference], use_effective_order=True).score
        assert bleu(text, reference, "en") == pytest.approx(expected)
