from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from shoplm_audit.metrics.diversity import distinct_of, self_bleu_of, shared_8_grams_of
from shoplm_audit.scoring.diversity import SelfBleu, distinct, self_bleu, sharing_groups
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

TEMPLATE = "you will love this fine thing for many long years"


def _texts(count: int, rng: np.random.Generator, words: int = 12, vocabulary: int = 400) -> list[str]:
    """Words drawn as in a language: the k-th as often as 1 / k."""
    weights = 1 / np.arange(1, vocabulary + 1)
    drawn = rng.choice(vocabulary, (count, words), p=weights / weights.sum())
    return [" ".join(f"w{k}" for k in row) for row in drawn]


def _seen(texts: list[str], language: str = "en", rows: int = 1) -> Observations:
    """Each product's texts, `rows` of them."""
    return Observations(
        tuple(
            Observation(Case(f"c{i}", cluster=f"p{i // rows:04}", language=language), {"text": text})
            for i, text in enumerate(texts)
        )
    )


def _told(metric: Metric, seen: Observations) -> Estimate:
    return metric.estimate(seen, 0.95, np.random.default_rng(0))


METRICS = {
    "distinct": distinct_of("text", 1, name="d"),
    "self_bleu": self_bleu_of("text", name="s"),
    "shared": shared_8_grams_of("text", name="g"),
}


def test_distinct_counts_different_runs_and_is_adjusted_by_what_chance_would_leave() -> None:
    assert distinct(["a b a"], 1, "en")[0] == pytest.approx(2 / 3)
    assert distinct(["a b a", "a b"], 2, "en")[0] == pytest.approx(2 / 3)  # no run reaches over two texts
    assert distinct(["红裙红"], 1, "zh")[0] == pytest.approx(2 / 3)
    size = 8_105
    assert distinct(["红裙红"], 1, "zh")[1] == pytest.approx(2 / (size * (1 - ((size - 1) / size) ** 3)))
    pairs = [f"a{i} b{i}" for i in range(3000)]
    assert distinct(pairs, 2, "en")[1] == pytest.approx(1, abs=1e-4)  # of V^2 pairs, not of V
    assert all(math.isnan(x) for x in distinct(["a", ""], 2, "en"))
    whole = ["".join(chr(0x4E00 + i) for i in range(40))]  # fewer repeats than chance would leave
    assert distinct(whole, 1, "zh") == (1, 1)
    assert _told(METRICS["distinct"], _seen(whole, "zh")).value == 1


def test_longer_texts_lower_distinct_and_not_the_adjusted_one() -> None:
    rng = np.random.default_rng(0)
    characters = [chr(0x4E00 + i) for i in range(8_105)]
    short, long = (["".join(rng.choice(characters, size)) for _ in range(100)] for size in (20, 160))
    plain, adjusted = zip(distinct(short, 1, "zh"), distinct(long, 1, "zh"), strict=True)
    assert plain[1] < 0.6 * plain[0]
    assert adjusted == pytest.approx((1, 1), abs=0.02)


def test_self_bleu_is_sacrebleus_of_each_text_against_the_others() -> None:
    from sacrebleu.metrics.bleu import BLEU

    texts = [*_texts(30, np.random.default_rng(2), 9, 40), "w1 w2", "w1 w2 w5", "w1 w2 w3 w3"]
    counted = SelfBleu([(text, "en") for text in texts], range(len(texts)))
    scorer = BLEU(tokenize="none", effective_order=True)
    for left_out in ([], [3, 4, 30]):
        kept = [i for i in range(len(texts)) if i not in left_out]
        expected = [scorer.sentence_score(texts[i], [texts[j] for j in kept if j != i]).score for i in kept]
        assert counted.scores(left_out)[kept] == pytest.approx(expected)


def test_chinese_templates_are_seen() -> None:
    texts = [f"这款{word}做工精细，送人自用都很合适，值得购买。" for word in ("水壶", "台灯", "背包")] + [
        "音质一般，电池也不太耐用。"
    ]
    pairs = [(text, "zh") for text in texts]
    assert sharing_groups(pairs, range(4)) == [{1, 2}, {0, 2}, {0, 1}, set()]
    assert self_bleu(pairs[:3], range(3)) > 70 > 20 > SelfBleu(pairs, range(4)).scores()[3]
    assert self_bleu([pairs[0]] * 2, [0, 1]) == pytest.approx(100)
    assert math.isnan(self_bleu(pairs[:1], [0]))


def test_texts_of_one_product_are_not_held_against_each_other() -> None:
    own = _texts(60, np.random.default_rng(1), vocabulary=4000)
    twice = _seen(list(itertools.chain.from_iterable((text, text + " too") for text in own)), rows=2)
    assert _told(METRICS["shared"], twice).value < 0.1
    once = _told(METRICS["self_bleu"], _seen(own)).value
    assert _told(METRICS["self_bleu"], twice).value < once + 3


def test_one_review_for_every_product_is_known_for_what_it_is() -> None:
    same = _seen([TEMPLATE] * 100)
    shared, alike, few = (_told(METRICS[key], same) for key in ("shared", "self_bleu", "distinct"))
    assert (shared.value, shared.high) == (1, 1)
    assert shared.low > 0.9
    assert (alike.value, round(alike.low)) == (pytest.approx(100), 97)
    assert few.value < few.high < 0.06


@pytest.mark.parametrize(("text", "language"), [("好，推荐。", "zh"), ("Good, recommended.", "en"), ("👍", "en")])
def test_one_short_text_for_every_product_is_shared(text: str, language: str) -> None:
    found = _told(METRICS["shared"], _seen([text] * 40, language))
    assert (found.value, found.low > 0.8) == (1, True)
    # A short text shares with its like, not with a long one that has it inside; an empty one shares nothing.
    texts = [("Good.", "en"), ("good", "en"), ("Bad.", "en"), (f"Good. {TEMPLATE}", "en"), ("", "en"), ("", "en")]
    assert sharing_groups(texts, range(6)) == [{1}, {0}, set(), set(), set(), set()]


def test_no_shared_run_bounds_the_rate_by_half_as_many_cases_as_products() -> None:
    texts = [" ".join(f"{i}x{k}" for k in range(12)) for i in range(100)]
    found = _told(METRICS["shared"], _seen(texts))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 50))


def test_pairs_that_share_leave_less_known_than_one_template_as_common() -> None:
    own = [" ".join(f"{i}x{k}" for k in range(12)) for i in range(80)]
    pairs, one = ([f"{TEMPLATE} {i // size}" for i in range(20)] for size in (2, 20))
    pairs = [f"{i}y {text.replace(' ', f'{i // 2} ')}" for i, text in enumerate(pairs)]
    found = [_told(METRICS["shared"], _seen(own + shared)) for shared in (pairs, one)]
    assert [each.value for each in found] == [0.2, 0.2]
    assert found[0].low < found[1].low - 0.01
    assert found[0].high > found[1].high + 0.02


@pytest.mark.parametrize("key", METRICS)
def test_lost_answers_are_the_worst_that_could_be(key: str) -> None:
    seen = _seen(_texts(40, np.random.default_rng(1), 12, 4000))
    every = Observations(tuple(Observation(row.case, {"text": "fine"}, "errored") for row in seen))
    some = Observations((*seen.rows[:30], *every.rows[30:]))
    worst = {"distinct": 0.0, "self_bleu": 100.0, "shared": 1.0}[key]
    assert _told(METRICS[key], every).value == worst
    values = [_told(METRICS[key], rows).value for rows in (seen, some)]
    assert abs(worst - values[1]) < abs(worst - values[0])
    silent = Observations((*seen.rows[:30], *(Observation(row.case, {"text": ""}) for row in seen.rows[30:])))
    assert _told(METRICS[key], silent).value == pytest.approx(values[1])


@pytest.mark.parametrize("key", METRICS)
def test_below_ten_products_nothing_is_sure(key: str) -> None:
    found = _told(METRICS[key], _seen(_texts(9, np.random.default_rng(1))))
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("key", METRICS)
def test_bounds_hold_as_often_as_they_say(key: str) -> None:
    """Of the mean over draws of as many products; a fifth of the products get one of ten templates."""

    def drawn(seed: int) -> Observations:
        rng = np.random.default_rng([5, seed])
        own = _texts(40, rng, vocabulary=3000)
        stock = [f"{TEMPLATE} {k}" for k in range(10)]
        return _seen([str(rng.choice(stock)) if rng.random() < 0.2 else text for text in own])

    found = [_told(METRICS[key], drawn(seed)) for seed in range(60)]
    mean = np.mean([one.value for one in found])
    assert np.mean([one.high >= mean for one in found]) >= 0.9
    assert np.mean([one.low <= mean for one in found]) >= 0.9
    spread = 2 * 1.68 * np.std([one.value for one in found])
    assert np.mean([one.high - one.low for one in found]) < 2 * spread
