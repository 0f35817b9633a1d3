from __future__ import annotations

import math

import numpy as np
import pytest

from shoplm_audit.metrics.classifying import macro_f1_of
from shoplm_audit.metrics.quality import bleu_of, perplexity_per_byte_of
from shoplm_audit.scoring.overlap import chrf
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

ZH = [
    ("这款手机配备6.7英寸AMOLED显示屏，电池容量5000mAh。", "这款手机采用6.7英寸AMOLED屏幕，电池容量为5000毫安时。"),
    ("这条裙子是纯棉的，穿着舒适透气。", "这款连衣裙采用纯棉面料，透气舒适。"),
]
EN = [
    ("the navy kettle holds two litres of water", "the navy kettle holds 1.7 litres of water"),
    ("it boils quickly", "it boils in three minutes, quickly"),
    ("", "a warm light"),
]


def _observations(rows: list[tuple[str, str]], language: str = "en", repeats: int = 1) -> Observations:
    return Observations(
        tuple(
            Observation(Case(f"c{i}", reference=reference, language=language), {"text": text, "label": text})
            for i, (text, reference) in enumerate(rows * repeats)
        )
    )


def _estimate(metric: Metric, rows: Observations) -> Estimate:
    return metric.estimate(rows, 0.95, np.random.default_rng(0))


def test_chinese_bleu_has_its_reference_value() -> None:
    assert _estimate(bleu_of(), _observations(ZH, "zh")).value == pytest.approx(26.546, abs=5e-4)


def test_chinese_chrf_of_a_corpus_has_its_reference_value() -> None:
    from sacrebleu.metrics import CHRF

    assert CHRF().corpus_score([a for a, _ in ZH], [[b for _, b in ZH]]).score == pytest.approx(36.159, abs=5e-4)
    assert [chrf(a, b) for a, b in ZH] == [pytest.approx(CHRF().sentence_score(a, [b]).score) for a, b in ZH]


@pytest.mark.parametrize(
    ("language", "text"), [("zh", "这款手机电池耐用，屏幕清晰。"), ("en", "A navy kettle of 1.7 litres.")]
)
def test_identical_texts_score_the_maximum(language: str, text: str) -> None:
    assert chrf(text, text) == pytest.approx(100.0)
    assert _estimate(bleu_of(), _observations([(text, text)], language, 12)).value == pytest.approx(100.0)


@pytest.mark.parametrize("repeats", [1, 5])
def test_english_bleu_is_sacrebleus(repeats: int) -> None:
    import sacrebleu

    expected = sacrebleu.corpus_bleu([a for a, _ in EN] * repeats, [[b for _, b in EN] * repeats]).score
    assert expected > 10
    assert _estimate(bleu_of(), _observations(EN, "en", repeats)).value == pytest.approx(expected)


def test_bleu_smooths_an_order_without_a_match_as_sacrebleu_does() -> None:
    import sacrebleu

    rows = [("red kettle boils slowly today", "red kettle heats water fast"), ("soft cotton", "soft wool")]
    expected = sacrebleu.corpus_bleu([a for a, _ in rows], [[b for _, b in rows]]).score
    assert 0 < expected == pytest.approx(_estimate(bleu_of(), _observations(rows)).value)


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_scikit_learns(seed: int) -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(seed)
    classes = ["a", "b", "c"]
    truth, said = rng.choice(classes, 60).tolist(), rng.choice(classes, 60, p=[0.6, 0.3, 0.1]).tolist()
    found = _estimate(macro_f1_of("label", classes, name="f1"), _observations(list(zip(said, truth, strict=True))))
    assert found.value == pytest.approx(f1_score(truth, said, average="macro", labels=classes))
    assert found.low < found.value < found.high


def test_an_answer_that_is_no_label_is_as_wrong_as_the_other_one() -> None:
    truth = ["positive", "negative"] * 30
    said = ["positive"] * 40 + ["negative"] * 20
    metric = macro_f1_of("label", ("positive", "negative"), name="f1")
    wrong = _estimate(metric, _observations(list(zip(said, truth, strict=True)))).value
    # Silence where it would be wrong must not pay.
    silent = [one if one == true else "no idea" for one, true in zip(said, truth, strict=True)]
    assert _estimate(metric, _observations(list(zip(silent, truth, strict=True)))).value == pytest.approx(wrong)


def test_perplexity_per_byte_is_of_the_corpus_and_not_a_mean_of_texts() -> None:
    rows = Observations(
        tuple(
            Observation(Case(str(i)), {"nats": nats, "bytes": size})
            for i, (nats, size) in enumerate([(-5.0, 10), (-1.0, 90)])
        )
    )
    assert _estimate(perplexity_per_byte_of("nats", "bytes"), rows).value == pytest.approx(math.exp(6 / 100))


@pytest.mark.parametrize(("right", "low", "high"), [(True, 0.05 ** (1 / 60), 1.0), (False, 0.0, 1 - 0.05 ** (1 / 60))])
def test_a_model_that_is_always_right_or_always_wrong_has_exact_bounds(right: bool, low: float, high: float) -> None:
    truth = ["positive"] * 60 + ["negative"] * 90
    other = {"positive": "negative", "negative": "positive"}
    rows = tuple(
        Observation(Case(f"c{i}", reference=label), {"label": label if right else other[label]})
        for i, label in enumerate(truth)
    )
    metric = macro_f1_of("label", ("positive", "negative"), name="macro_f1")
    found = metric.estimate(Observations(rows), 0.95, np.random.default_rng(0))
    assert (found.value, found.low, found.high) == pytest.approx((float(right), low, high), abs=2e-3)
