from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from scipy.special import logit

from shoplm_audit import uncertainty
from shoplm_audit.data.cues import Rewrite
from shoplm_audit.errors import DataError
from shoplm_audit.metrics import detection, out_of_fold
from shoplm_audit.metrics.detection import (
    BUCKETS,
    detector_scores,
    flagged_contrast_of,
    label_auroc_of,
    scored,
    supervised,
    tpr_at_fpr_of,
    two_sided,
)
from shoplm_audit.metrics.leakage import blind_auroc_of
from shoplm_audit.scoring.platform_detector import Detector, Kind
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

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
    texts, labels, clusters = _products_with_words_of_their_own(seed=7)

    def by_row(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).permutation(groups.size) % count

    with mock.patch.object(out_of_fold, "folds_of", by_row):
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


def _reviews(count: int, generated: str, human: str, seed: int = 3, **facts: str) -> list[Observation]:
    """Reviews of as many products, each a dozen words of its own but for what either side says."""
    rng = np.random.default_rng(seed)

    def text(said: str) -> str:
        return " ".join([*rng.choice(WORDS, 12), said])

    return [
        Observation(Case(f"{i:03}", groups=facts), {"text": text(generated), "text_reference": text(human)})
        for i in range(count)
    ]


def _told(metric: Metric, rows: Sequence[Observation]) -> Estimate:
    return metric.estimate(Observations(tuple(rows)), 0.95, np.random.default_rng(0))


def test_a_missing_text_is_not_an_undetectable_one() -> None:
    rows = _reviews(12, "overall great", "it is fine")
    whole = label_auroc_of("text", name="d", better="higher")
    assert _told(whole, rows).value == 1.0
    rows[3] = Observation(rows[3].case, {}, "errored")
    assert math.isnan(_told(whole, rows).value)


def test_nothing_is_claimed_of_short_texts_and_they_are_counted() -> None:
    whole, rows = label_auroc_of("text", name="d", better="higher"), _reviews(30, "overall great", "it is fine")
    short = [replace(row, values=dict(row.values) | {"text": "overall great"}) for row in rows]
    some = _told(whole, short[:10] + rows[10:])
    assert some.n == 20
    assert some.note == "left out: 10 of 30 cases with a text under 10 tokens"
    most = _told(whole, short[:16] + rows[16:])
    assert math.isnan(most.value)
    assert "fewer than 10 tokens" in most.method


@pytest.mark.parametrize("kind", ["words", "characters", "both"])
def test_a_text_that_stands_under_two_products_is_never_tested_by_a_detector_that_saw_it(kind: Kind) -> None:
    # The null, but each text stands under two products: who has seen it under one would know it under the other.
    texts, labels, _ = _products_with_words_of_their_own(11, products=40, reviews=1)
    said, mine = [text for text, label in zip(texts, labels, strict=True) if label], texts[1::2]
    rows = [
        Observation(
            Case(f"{i:03}"), {"text": f"{said[i // 2]} {said[i // 2]}", "text_reference": f"{mine[i // 2]} " * 2}
        )
        for i in range(80)
    ]
    found = _told(label_auroc_of("text", name="d", better="higher", kind=kind), rows)
    assert found.n == 40
    assert found.value < 0.7
    with mock.patch.object(out_of_fold, "_repeating", lambda texts, languages: np.arange(len(texts))):
        assert _told(label_auroc_of("text", name="d", better="higher", kind=kind), rows).value > 0.9


def test_a_bucket_holds_only_texts_of_its_length() -> None:
    # Short texts have a habit, long ones have none.
    long = _reviews(60, " ".join(WORDS), " ".join(WORDS))
    rows = [replace(row, case=replace(row.case, id=f"long {i}")) for i, row in enumerate(long)]
    rows += _reviews(60, "overall great", "it is fine")
    within = {
        bucket: _told(label_auroc_of("text", name="d", better="higher", bucket=bucket), rows) for bucket in BUCKETS[:3]
    }
    assert within[10, 25].value > 0.95
    assert 0.2 < within[26, 50].value < 0.8
    assert within[10, 25].n == within[26, 50].n == 60
    assert math.isnan(within[51, 100].value)
    assert within[51, 100].n == 0


def test_a_detector_does_not_know_the_habits_of_a_category_that_it_has_not_seen() -> None:
    rows = [
        replace(row, case=replace(row.case, id=f"{category} {row.case.id}"))
        for seed, (category, habit, plain) in enumerate(
            (("kettles", "overall great", "it is"), ("shirts", "worth every penny", "these were"))
        )
        for row in _reviews(40, habit, plain, seed, category=category)
    ]
    apart = _told(label_auroc_of("text", name="d", better="higher", apart="category"), rows)
    assert _told(label_auroc_of("text", name="d", better="higher"), rows).value > 0.95
    assert apart.value < 0.7
    one = _told(label_auroc_of("text", name="d", better="higher", apart="category"), rows[:40])
    assert math.isnan(one.value)
    assert "fewer than 2 category groups" in one.method


# Disguises and flagged human texts ------------------------------------------------------------------


def test_a_disguise_is_put_on_after_training_and_the_threshold_stays() -> None:
    rows = _reviews(160, "awesome purchase overall", "it is fine")
    plain = supervised("text")
    found = _told(
        tpr_at_fpr_of(plain, 0.05, name="t", better="higher", disguised=supervised("text", disguised="homoglyph")), rows
    )
    bare = _told(tpr_at_fpr_of(plain, 0.05, name="t", better="higher"), rows)
    assert bare.value == found.checks["share_undisguised"] > 0.95
    # What a detector knows no word of lies between the sides: the disguise costs people, not the model.
    assert found.checks["false_positives"] == bare.checks["false_positives"] < 0.2
    assert found.checks["false_positives_disguised"] > 0.5


def test_a_rate_at_five_percent_needs_sixty_controls() -> None:
    metric = tpr_at_fpr_of(two_sided("s"), 0.05, name="t", better="higher")
    assert "60 needed" in _told(metric, _sides(118, 2.0).rows).method
    assert _told(metric, _sides(120, 2.0).rows).value > 0


def test_cases_of_other_languages_are_left_out() -> None:
    rows = _reviews(30, "overall great", "it is fine")
    mixed = [*rows, *(replace(row, case=replace(row.case, id=f"zh{row.case.id}", language="zh")) for row in rows[:20])]
    assert supervised("text", languages=("zh",))(Observations(tuple(mixed)))[1].size == 40


def test_human_texts_of_a_variety_are_flagged_where_the_generated_ones_read_like_it() -> None:
    spoken = [
        Rewrite(f"The {word} is fine and I am happy with it.", f"The {word} be fine and I be so happy.", "aae", "en")
        for word in WORDS
    ]
    metric = flagged_contrast_of("text", "aae", "en")
    with mock.patch.object(detection, "dialects", return_value=spoken):
        found = _told(metric, _reviews(100, "be fine and I be happy", "is fine and I am happy with it"))
        assert found.low > 0.3
        assert not found.note
        assert found.checks["flagged_variety"] - found.checks["flagged_standard"] == pytest.approx(found.value)
        assert found.n == len(spoken)
        few = _told(metric, _reviews(40, "be fine", "is fine"))
        assert math.isnan(few.value)
        assert "60 needed" in few.method
    none = _told(flagged_contrast_of("text", "esl", "en"), _reviews(100, "overall great", "terrible"))
    assert none.low <= 0 <= none.high
    assert none.note.startswith("invalid: 100% of the sentences in the standard are flagged too; left out: ")
    short = [Rewrite("It is fine.", "It be fine.", "aae", "en")] * 20
    with mock.patch.object(detection, "dialects", return_value=short):
        terse = _told(flagged_contrast_of("text", "aae", "en"), _reviews(100, "be fine", "is fine"))
    assert math.isnan(terse.value)
    assert "fewer than 10 sentences" in terse.method


# The detector ----------------------------------------------------------------------------------------


def test_its_scores_are_those_of_the_published_recipe() -> None:
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    texts, labels = [" ".join(rng.choice(WORDS, 20)) + "。很好" * (i % 5) for i in range(60)], np.arange(60) % 2 == 0
    vectorizer = TfidfVectorizer(token_pattern=r"[一-鿿]|[^\W一-鿿]+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    counts = vectorizer.fit_transform(texts)
    sums = [np.asarray(counts[rows].sum(axis=0)).ravel() + 1 for rows in (labels, ~labels)]
    ratio = sparse.diags(np.log((sums[0] / sums[0].sum()) / (sums[1] / sums[1].sum())))
    machine = LinearSVC(random_state=0).fit(normalize(counts @ ratio), labels)
    asked = [*texts[:9], "Navy KETTLE unknown 很 strap", "strap broke two days"]
    theirs = machine.decision_function(normalize(vectorizer.transform(asked) @ ratio))
    inside = machine.decision_function(normalize(counts @ ratio))
    mine = Detector().fit(texts, labels).scores(asked)
    assert mine == pytest.approx((theirs - inside.mean()) / inside.std(), abs=0.01)


def test_both_is_the_sum_of_what_words_and_characters_say_however_many_are_asked_about() -> None:
    texts = ["the strap broke", "质量很好，推荐", "overall a great choice", "快递很快，好评", "a great strap"] * 2
    labels = [True, False, False, True, True] * 2
    words, characters, both = (Detector(kind).fit(texts, labels) for kind in ("words", "characters", "both"))
    sums = words.scores(texts) + characters.scores(texts)
    asked = [*texts, "a strap", "很好"] * 120  # more than one block of them
    told = words.scores(asked) + characters.scores(asked)
    assert both.scores(asked) == pytest.approx(told / sums.std())
    assert both.scores(texts).std() == pytest.approx(1)
    assert both.scores(asked[-2:]).tolist() == both.scores(asked)[-2:].tolist()


@pytest.mark.parametrize("kind", ["words", "characters", "both"])
def test_any_text_has_a_score_whatever_it_is_asked_with(kind: Kind) -> None:
    texts = ["the strap broke", "质量很好，推荐", "overall a great choice", "快递很快，好评"] * 2
    detector = Detector(kind).fit(texts, [True, False] * 4)
    odd = ["", "😀", "שלום עולם", "\ud800", "x" * 10_000, *texts]
    together = detector.scores(odd)
    assert np.isfinite(together).all()
    assert together.tolist() == pytest.approx([float(detector.scores([text])[0]) for text in odd])
    assert detector.scores([]).size == 0
    assert detector.scores(texts).mean() == pytest.approx(0, abs=1e-9)
    assert (Detector(kind).fit(["", ""], [True, False]).scores(odd) == 0).all()
    with pytest.raises(DataError, match="all 8 are"):
        Detector(kind).fit(texts, [True] * 8)


def test_texts_of_two_languages_are_no_pairs() -> None:
    """A detector that only finds one language stranger than the other tells nothing of who wrote."""
    from shoplm_audit.metrics.detection import _by_language

    rng = np.random.default_rng(0)
    languages = ["en", "zh"] * 200
    labels = rng.random(400) < np.where(np.array(languages) == "zh", 0.8, 0.2)
    scores = np.where(np.array(languages) == "zh", 5.0, 0.0) + rng.normal(0, 1, 400)
    assert uncertainty.auroc(scores, labels) > 0.75
    # What is left comes of unequal shares of the classes alone; with as many of each, as in a probe, nothing is.
    even = np.arange(400) // 2 % 2 == 0
    assert abs(uncertainty.auroc(_by_language(scores, languages), even) - 0.5) < 0.06
    lifted = scores + 2.0 * even
    alone = [uncertainty.auroc(lifted[at::2], even[at::2]) for at in (0, 1)]
    assert abs(uncertainty.auroc(_by_language(lifted, languages), even) - float(np.mean(alone))) < 0.02
