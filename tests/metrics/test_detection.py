from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from scipy.special import logit

from shoplm_audit import uncertainty
from shoplm_audit.metrics import detection
from shoplm_audit.metrics.detection import detector_scores, label_auroc_of, scored, tpr_at_fpr_of, two_sided
from shoplm_audit.metrics.leakage import blind_auroc_of
from shoplm_audit.types import Case, Observation, Observations

WORDS = np.array(
    [
        "navy",
        "kettle",
        "steel",
        "holds",
        "water",
        "litres",
        "boils",
        "quick",
        "strap",
        "broke",
        "two",
        "days",
        "soft",
        "cotton",
        "warm",
    ]
)


def _products_with_words_of_their_own(seed: int = 0, products: int = 40, reviews: int = 3):
    """The null: nothing tells generated from reference, but each product has its own words on each side."""
    rng = np.random.default_rng(seed)
    texts, labels, clusters = [], [], []
    for product in range(products):
        for side in (True, False):
            own = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 9)) for _ in range(2)]
            for _ in range(reviews):
                texts.append(" ".join([*rng.choice(WORDS, 6), *own]))
                labels.append(side)
                clusters.append(product)
    return texts, np.array(labels), np.array(clusters)


def test_the_detector_learns_nothing_from_words_that_only_a_product_has() -> None:
    values = []
    for seed in range(3):
        texts, labels, clusters = _products_with_words_of_their_own(seed)
        scores = detector_scores(texts, labels, clusters)
        value, found, _ = uncertainty.auroc_interval(scores, labels, clusters, 0.95, detection.OUT_OF_FOLD)
        values.append(value)
        assert found.low <= 0.5
    assert 0.35 < np.mean(values) < 0.6  # out-of-fold scores of a null lie below one half rather than above


def test_a_detector_whose_folds_share_products_would_be_caught() -> None:
    # The saboteur of the test above: rows, not products, are divided.
    texts, labels, clusters = _products_with_words_of_their_own()

    def by_row(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).permutation(groups.size) % count

    with mock.patch.object(detection, "folds_of", by_row):
        value, found, _ = uncertainty.auroc_interval(detector_scores(texts, labels, clusters), labels, clusters)
    assert found.low > 0.5
    assert value > 0.8


def test_no_fold_shares_a_cluster() -> None:
    clusters = np.random.default_rng(0).integers(0, 37, 400)
    folds = detection.folds_of(clusters, 5, seed=0)
    assert all(len(set(folds[clusters == one].tolist())) == 1 for one in range(37))
    assert set(folds.tolist()) == set(range(5))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_detector_finds_a_habit_in_both_languages(language: str) -> None:
    rng = np.random.default_rng(1)
    characters = list("这款手机电池耐用屏幕清晰质量很好下次还会再买")
    plain = [(" ".join(rng.choice(WORDS, 9)), "".join(rng.choice(characters, 14)))[language == "zh"] for _ in range(80)]
    habit = "，总体来说值得推荐" if language == "zh" else " overall a great choice"
    texts = [text + habit * (i < 40) for i, text in enumerate(plain)]
    labels, clusters = np.arange(80) < 40, np.arange(80) % 40
    assert uncertainty.auroc(detector_scores(texts, labels, clusters), labels) > 0.95


def test_too_few_products_or_one_class_or_no_words_give_no_detector() -> None:
    four = detector_scores(["a b"] * 8, np.arange(8) < 4, np.arange(8) % 4)
    assert np.isnan(four).all()
    assert np.isnan(detector_scores(["a b"] * 12, np.ones(12, dtype=bool), np.arange(12))).all()
    assert (detector_scores([""] * 12, np.arange(12) < 6, np.arange(12) % 6) == 0).all()


@pytest.mark.parametrize(
    ("runs", "units", "words"),
    [
        (50, 100, 10),
        pytest.param(300, 100, 10, marks=pytest.mark.slow),
        pytest.param(300, 240, 30, marks=pytest.mark.slow),
    ],
)
def test_a_blind_baseline_seldom_wins_on_a_fair_coin(runs: int, units: int, words: int) -> None:
    metric, found = blind_auroc_of("text", "m"), []
    for seed in range(runs):
        rng = np.random.default_rng(500 + seed)
        rows = [
            Observation(Case(f"{i:03}", facts={"m": rng.random() < 0.5}), {"text": " ".join(rng.choice(WORDS, words))})
            for i in range(units)
        ]
        found.append(metric.estimate(Observations(tuple(rows)), 0.95, rng))
    won = np.mean([one.low > 0.5 for one in found])
    assert won <= 0.06 + 2.3 * np.sqrt(0.05 * 0.95 / runs)
    # The intervals are as wide as the values spread: DeLong's own would be two thirds of that.
    spread = np.std([logit(one.value) for one in found])
    told = np.mean([logit(one.high) - logit(one.low) for one in found]) / (2 * 1.68)
    assert spread < 1.25 * told


# TPR at a false-positive rate -----------------------------------------------------------------------


def _sides(products: int, shift: float, reviews: int = 1, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    return Observations(
        tuple(
            Observation(Case(f"{i}/{k}", cluster=f"p{i}"), {"s": rng.normal(shift), "s_reference": rng.normal()})
            for i in range(products)
            for k in range(reviews)
        )
    )


@pytest.mark.parametrize(("products", "reviews"), [(598, 1), (299, 2), (150, 4)])
def test_no_rate_at_one_percent_from_fewer_than_300_independent_controls(products: int, reviews: int) -> None:
    metric = tpr_at_fpr_of(two_sided("s"), 0.01, name="t", better="higher")
    few = metric.estimate(_sides(products, 2.0, reviews), 0.95, np.random.default_rng(0))
    assert math.isnan(few.value)
    assert math.isnan(few.low)
    assert "300 needed" in few.method
    enough = metric.estimate(_sides(600, 2.0), 0.95, np.random.default_rng(0))
    assert 0 < enough.low < enough.value < enough.high < 1


def test_a_rate_at_one_in_a_thousand_needs_ten_thousand_controls() -> None:
    metric = tpr_at_fpr_of(two_sided("s"), 0.001, name="t", better="higher")
    assert "10000 needed" in metric.estimate(_sides(700, 2.0), 0.95, np.random.default_rng(0)).method


def test_a_score_that_says_nothing_finds_about_as_many_as_it_falsely_accuses() -> None:
    metric = tpr_at_fpr_of(two_sided("s"), 0.01, name="t", better="higher")
    found = [metric.estimate(_sides(640, 0.0, seed=s), 0.95, np.random.default_rng(0)).value for s in range(20)]
    assert np.mean(found) < 0.013


def test_threshold_comes_from_other_products_than_its_check() -> None:
    # References of the calibration half score far lower: a check on the same half would not see the false alarms.
    metric = tpr_at_fpr_of(two_sided("s"), 0.01, name="t", better="higher")
    found = metric.estimate(_sides(640, 1.0), 0.95, np.random.default_rng(0))
    assert "held-out FPR" in found.method


def test_labels_come_from_the_case_where_the_observation_has_none() -> None:
    rows = Observations(tuple(Observation(Case(str(i), facts={"m": i < 2}), {"s": i}) for i in range(4)))
    assert scored("s", "m")(rows)[1].tolist() == [True, True, False, False]


def test_a_missing_text_is_not_an_undetectable_one() -> None:
    rows = [Observation(Case(str(i)), {"text": "overall great", "text_reference": "strap broke"}) for i in range(12)]
    whole = label_auroc_of("text", name="d", better="lower")
    assert whole.estimate(Observations(tuple(rows)), 0.95, np.random.default_rng(0)).value == 1.0
    rows[3] = Observation(rows[3].case, {}, "errored")
    assert math.isnan(whole.estimate(Observations(tuple(rows)), 0.95, np.random.default_rng(0)).value)
