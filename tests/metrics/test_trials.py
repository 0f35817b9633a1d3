from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shoplm_audit.metrics.quality import bleu_of
from shoplm_audit.metrics.reduce import mean_of
from shoplm_audit.metrics.trials import tried
from shoplm_audit.scoring.overlap import bleu, chrf, folded, rouge, tokens_of
from shoplm_audit.types import Case

Scorer = Callable[[str, str, str], float]

EN = (
    "The {product} in {colour} holds {size}. It is made of {material}, and {praise}.",
    {
        "product": ["kettle", "lamp", "backpack", "mug", "jacket", "speaker", "chair", "pan"],
        "colour": ["navy", "red", "olive", "white", "black"],
        "size": ["1.7 litres", "20 litres", "0.5 litres", "12 litres"],
        "material": ["steel", "cotton", "glass", "oak", "leather"],
        "praise": ["cleans easily", "lasts for years", "fits on any shelf", "weighs very little"],
    },
)
ZH = (
    "这款{colour}{product}采用{material}制成，容量为{size}，{praise}。",
    {
        "product": ["水壶", "台灯", "背包", "马克杯", "夹克", "音箱", "椅子", "平底锅"],
        "colour": ["藏青色", "红色", "橄榄绿", "白色", "黑色"],
        "size": ["1.7升", "20升", "0.5升", "12升"],
        "material": ["不锈钢", "纯棉", "玻璃", "橡木", "真皮"],
        "praise": ["清洗方便", "经久耐用", "摆放不占地方", "拿在手里非常轻"],
    },
)


def _cases(language: str, count: int = 60) -> list[Case]:
    template, words = EN if language == "en" else ZH
    cases = []
    for i in range(count):
        rng = np.random.default_rng([7, i])
        record = {name: str(rng.choice(values)) for name, values in words.items()}
        cases.append(Case(f"c{i}", facts={"record": record}, reference=template.format(**record), language=language))
    return cases


def _trial(score: Scorer, language: str, best: float, **options: Any) -> str:
    metric = tried(mean_of("x", better="higher"), score, best=best, **options)
    assert metric.trial is not None
    return metric.trial(_cases(language), np.random.default_rng(0))


def ascii_rouge(text: str, reference: str, _: str) -> float:
    """What ROUGE's own tokenizer leaves: ASCII letters and digits."""
    ours, theirs = (Counter(re.findall("[a-z0-9]+", t.lower())) for t in (text, reference))
    return 2 * (ours & theirs).total() / max(1, ours.total() + theirs.total())


def bleu_13a(text: str, reference: str, _: str) -> float:
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU(tokenize="13a", effective_order=True).sentence_score(text, [reference]).score)


def folded_bleu_13a(text: str, reference: str, language: str) -> float:
    """NFKC makes ， a comma, at which 13a parts a Chinese sentence: its words are clauses."""
    return bleu_13a(folded(text), folded(reference), language)


def strict_bleu_13a(text: str, reference: str, _: str) -> float:
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU(tokenize="13a").corpus_score([text], [[reference]]).score)


def chrf_without_folding(text: str, reference: str, _: str) -> float:
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(text, [reference]).score)


def first_words(text: str, reference: str, language: str) -> float:
    """Looks at the beginning alone, so that most attributes go unnoticed."""
    return rouge("".join(tokens_of(text, "zh")[:3]), "".join(tokens_of(reference, "zh")[:3]), language).rougeL


def _four(text: str) -> set[str]:
    plain = folded(text).strip()
    return {plain[i : i + 4] for i in range(max(1, len(plain) - 3))}


def _shared(text: str, reference: str) -> int:
    return len(_four(text) & _four(reference))


def _else(text: str, reference: str, score: float) -> float:
    """A score that only asks first whether the texts are the same."""
    return 1.0 if folded(text).strip() == folded(reference).strip() else 0.99 * score


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_metrics_of_the_package_keep_their_own_laws(language: str) -> None:
    for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
        ordered = kind != "rouge1"
        assert _trial(lambda *a, k=kind: getattr(rouge(*a), k), language, 1.0, ordered=ordered) == ""
    assert _trial(chrf, language, 100.0) == ""
    assert _trial(bleu, language, 100.0) == ""
    trial = bleu_of("text").trial
    assert trial is not None
    assert trial(_cases(language), np.random.default_rng(1)) == ""


@pytest.mark.parametrize(
    ("score", "language", "best", "words"),
    [
        (ascii_rouge, "zh", 1.0, ""),
        (folded_bleu_13a, "zh", 100.0, "a text that lacks single words scores no higher"),
        (strict_bleu_13a, "zh", 100.0, "identity is not the maximum: 0 instead of 100 for 40 of 40 references"),
        (chrf_without_folding, "zh", 100.0, "full and half width differ"),
        (chrf_without_folding, "en", 100.0, "full and half width differ"),
        (lambda t, r, lang: chrf_without_folding(t, folded(r), lang), "en", 100.0, "full and half width differ"),
        (lambda t, r, lang: chrf_without_folding(folded(t), r, lang), "en", 100.0, "full and half width differ"),
        (lambda *_: 1.0, "zh", 1.0, "a text that lacks single words scores no higher"),
        (lambda *_: float("nan"), "en", 1.0, "identity is not the maximum: nan"),
        (lambda t, r, lang: rouge(t, r, lang).rouge1, "en", 1.0, "shuffled words score no lower"),
        (first_words, "en", 1.0, ""),
        (lambda t, r, _: float(t.strip() == r) or 0.5 * (len(t) > 9), "en", 1.0, ""),
        (lambda t, r, lang: chrf(t, r) - (t != t.strip()), "en", 100.0, "white space at the ends"),
        (lambda t, r, lang: _shared(t, r) / len(_four(r)), "en", 1.0, "a reference with another product's after it"),
        (lambda t, r, lang: _shared(t, r) / len(_four(r)), "zh", 1.0, "a reference with another product's after it"),
        (lambda t, r, lang: _else(t, r, _shared(t, r) / len(_four(r))), "zh", 1.0, "a reference with another"),
        (lambda t, r, lang: _shared(t, r) / len(_four(t)), "en", 1.0, "a part of a reference scores no lower"),
        (lambda t, r, lang: _shared(t, r) / len(_four(t)), "zh", 1.0, "a part of a reference scores no lower"),
        (lambda t, r, lang: _else(t, r, 0.9 * _shared(t, r) / len(_four(t))), "zh", 1.0, "a part of a reference"),
        (lambda t, r, lang: _else(t, r, 0.9 * rouge(t, r, lang).rouge1), "en", 1.0, "shuffled words score no lower"),
        (lambda t, r, lang: _else(t, r, 0.9 * rouge(t, r, lang).rouge1), "zh", 1.0, "shuffled words score no lower"),
    ],
)  # fmt: skip
def test_a_score_that_cannot_tell_good_from_bad_is_found_out(
    score: Scorer, language: str, best: float, words: str
) -> None:
    found = _trial(score, language, best)
    assert found
    assert found.startswith(words)


def test_a_score_that_misses_changed_attributes_is_found_out_by_swaps_alone() -> None:
    blank = "|".join(re.escape(value) for name in ("colour", "size") for value in ZH[1][name])

    def shape(text: str, reference: str, language: str) -> float:
        """Reads all but the colour and the size."""
        text, reference = (re.sub(blank, "_", folded(each)) for each in (text, reference))
        return rouge(text, reference, language).rougeL

    assert _trial(shape, "zh", 1.0, swaps=False) == ""
    assert re.fullmatch(r"another product's value scores no lower for \d+ of 40 references", _trial(shape, "zh", 1.0))
    one_case = [Case("c", reference="纯棉的红色连衣裙", language="zh", facts={"record": {"颜色": "红色"}})]
    metric = tried(mean_of("x", better="higher"), shape, best=1.0)
    assert metric.trial is not None
    assert metric.trial(one_case, np.random.default_rng(0)) == ""  # nothing to swap with


@pytest.mark.parametrize(
    ("language", "template", "values"),
    [
        ("en", "Rated {} by all of our customers here.", ["+", "++", "-", "--", "*", "**"]),
        ("en", "Made of {} for daily use in the home.", ["cotton, 100%", "100% cotton", "cotton 100%"]),
        ("en", "It weighs {} and is very easy to carry.", ["1.2 kg", "12 kg", "1,2 kg", "1 2 kg"]),
        ("zh", "这款{}面料的裙子穿着舒适透气", ["100%棉", "棉100%", "棉，100%", "纯棉"]),
        ("en", "The case in {} is light and soft to touch.", ["İnci", "STRASSE", "straße", "Red", "red"]),
    ],
)
def test_a_right_score_is_not_refused_for_values_that_are_the_same_words(
    language: str, template: str, values: list[str]
) -> None:
    cases = [
        Case(f"c{i}", facts={"record": {"value": value}}, reference=template.format(value), language=language)
        for i, value in enumerate(values)
    ]
    for score, best in ((chrf, 100.0), (bleu, 100.0), (lambda *a: rouge(*a).rougeL, 1.0)):
        trial = tried(mean_of("x", better="higher"), score, best=best).trial
        assert trial is not None
        assert trial(cases, np.random.default_rng(0)) == ""


def test_a_value_is_stated_as_a_word_of_its_own_whatever_its_case() -> None:
    cases = [Case(str(i), facts={"record": {"colour": value}}, reference=text, language="en") for i, (value, text) in
             enumerate([("red", "A bored man in a Red coat."), ("blue", "The blueprint of 蓝blue色 paint."),
                        ("oak", "It will soak in oak_ or cloak.")])]  # fmt: skip
    seen: list[str] = []

    def listening(text: str, reference: str, language: str) -> float:
        seen.append(text)
        return chrf(text, reference)

    metric = tried(mean_of("x", better="higher"), listening, best=100.0)
    assert metric.trial is not None
    assert metric.trial(cases, np.random.default_rng(0)) == ""
    # The last two texts are the swaps: the third reference states its value inside of words alone.
    assert re.fullmatch("A bored man in a (blue|oak) coat.", seen[-2])
    assert re.fullmatch("The blueprint of 蓝(red|oak)色 paint.", seen[-1])


def test_cases_that_nothing_can_be_tried_on_are_no_reproach() -> None:
    trial = tried(mean_of("x", better="higher"), chrf, best=100.0).trial
    assert trial is not None
    odd = [Case("a"), Case("b", reference=" "), Case("c", reference="ok"), Case("d", reference="🙂🙂"),
           Case("e", reference="x" * 10_000, facts={"record": {"size": None, "": "", "n": 3}}),
           Case("f", reference="هذا قميص أحمر", facts={"record": "no mapping"})]  # fmt: skip
    assert trial(odd, np.random.default_rng(0)) == ""
    assert trial([], np.random.default_rng(0)) == ""
