"""Does the model read a review, and see which texts may not be shown? By likelihood and in writing.

    Is this review positive or negative? ... Sentiment: -> "negative"     May this text be shown in the shop? -> "no"

The probability of an answer is its own over that of both answers.
"""

import math
import re
from dataclasses import replace

import numpy as np

from shoplm_audit import (
    Case,
    Estimate,
    Gate,
    Generate,
    Material,
    Metric,
    Observations,
    Observing,
    Pair,
    Probe,
    Sampling,
    Score,
    Unsupported,
    balanced,
    brier_of,
    ece_of,
    joined,
    macro_f1_of,
    mcc_of,
    moderation_variables,
    rate_of,
    recall_of,
    selective_risk_of,
    sentiment_of,
    sentiment_variables,
)

REVIEWS = 320
TEXTS = 240
READ = 600  # characters of a moderated text that a prompt shows
# The answers that prompts ask for, and what they mean. A classifier is asked for the meanings, as its labels.
SENTIMENT = {"en": {"positive": "positive", "negative": "negative"}, "zh": {"正面": "positive", "负面": "negative"}}
MODERATION = {"en": {"yes": "allowed", "no": "violation"}, "zh": {"可以": "allowed", "不可以": "violation"}}
# What data sets call the two classes. 1 is the class that is looked for; yes and no answer "may this be shown?".
ALLOWED = """allowed, allow, ok, okay, fine, safe, clean, normal, neutral, neither, none, benign, acceptable, approved,
pass, ham, not offensive, non-offensive, not toxic, non-toxic, nontoxic, not hate, not hateful, no violation, 0, yes,
正常, 合规, 允许, 可以, 通过, 无违规, 不冒犯, 非攻击性"""
VIOLATION = """violation, violating, offensive, offensive language, hate, hateful, hate speech, toxic, insult, abuse,
abusive, harassment, threat, obscene, profanity, sexual, violence, spam, scam, fraud, phishing, forbidden,
forbidden goods, unsafe, blocked, rejected, not allowed, disallowed, nsfw, 1, no, 违规, 不合规, 辱骂, 攻击, 攻击性,
冒犯, 仇恨, 垃圾, 垃圾广告, 诈骗, 违禁, 违禁品, 色情, 暴力, 不可以, 不允许, 拒绝"""
CLASSES = {
    label.strip(): group
    for group, words in (("allowed", ALLOWED), ("violation", VIOLATION))
    for label in words.replace("\n", " ").split(",")
}


def reviews(material: Material) -> list[Case]:
    """Reviews that are clearly positive or negative, by label or else by stars, both classes alike."""
    labelled = [(review, label) for review in material.records["reviews"] if (label := sentiment_of(review))]
    chosen = balanced(labelled, material.limit or REVIEWS, material.seed, by=lambda row: (row[0].language, row[1]))
    return [
        Case(
            review.id,
            facts={"text": review.text},
            reference=label,
            cluster=review.product or review.id,
            language=review.language,
            task="sentiment",
            prompt=material.render("sentiment", review.language, sentiment_variables(review)),
        )
        for review, label in chosen
    ]


def class_of(label: str) -> str:
    """Which of the two classes a label means.

    Raises:
        Unsupported: nobody knows.
    """
    known = CLASSES.get(re.sub(r"[_\s]+", " ", label).strip().casefold())
    if known is None:
        raise Unsupported(
            f'texts have the label "{label[:40]}", and whether they may be shown is not known: use "allowed" and '
            f'"violation"'
        )
    return known


def texts(material: Material) -> list[Case]:
    """Labelled texts, both classes alike in each language."""
    labelled = [(text, class_of(text.label)) for text in material.records["texts"] if text.label.strip()]
    chosen = balanced(labelled, material.limit or TEXTS, material.seed, by=lambda row: (row[0].language, row[1]))
    return [
        Case(
            text.id,
            facts={"text": text.text},
            reference=group,
            groups={"label": text.label},
            cluster=text.user or text.id,
            language=text.language,
            task="moderation",
            prompt=material.render(
                "moderation", text.language, moderation_variables(replace(text, text=text.text[:READ]))
            ),
        )
        for text, group in chosen
    ]


def weigh(case: Case) -> Observing:
    """Which of two answers is the more probable; a classifier is asked for the label of the text alone."""
    words = (SENTIMENT if case.task == "sentiment" else MODERATION)[case.language]
    answers = [joined("", word, case.language) for word in words]
    try:
        # With a span, which only what reads words can score: a classifier that knows the label "positive" would else
        # take the whole prompt for the review.
        scores = yield [Score(Pair(case.prompt.flat, answer, (0, len(answer)))) for answer in answers]
    except Unsupported:
        scores = yield [Score(Pair(case.facts["text"], label)) for label in words.values()]
    (first, one), (second, other) = zip(words.values(), (score.total for score in scores), strict=True)
    # max keeps exp from overflowing; equal scores tell nothing, and count for the second answer.
    share = 1 / (1 + math.exp(min(other - one, 700.0)))
    label = first if share > 0.5 else second
    return {
        "label": label,
        "confidence": max(share, 1 - share),
        "correct": label == case.reference,
        "share": share,
        "truth": case.reference == first,
    }


def write(case: Case) -> Observing:
    """Which of the two words the model writes; anything else cannot be read and is wrong."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=8))
    words = SENTIMENT[case.language]
    said = {label for word, label in words.items() if word in text.lower()}
    if len(said) != 1:
        raise ValueError(f'expected one of {", ".join(words)}, got "{text.strip()[:40]}"')
    return {"written": said.pop(), "text": text, "parsed": True}


def moderate(case: Case) -> Observing:
    """Whether the model writes that the text may be shown; anything else cannot be read and is wrong."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=8))
    said = {
        label
        for label, pattern in (
            ("allowed", r"\byes\b|(?<!不)可以"),
            ("violation", r"\bno\b|\bnot\b|不可以|不能|不行|不允许|^\W*否"),
        )
        if re.search(pattern, text.casefold())
    }
    if len(said) != 1:
        raise ValueError(f'expected one of {", ".join(MODERATION[case.language])}, got "{text.strip()[:40]}"')
    return {"written": said.pop(), "text": text, "moderation_parsed": True}


def of_both(metric: Metric) -> Metric:
    """The metric where both classes are there: of the texts of one label it says nothing, and is not shown."""

    def estimate(observations: Observations, confidence: float, rng: np.random.Generator) -> Estimate:
        if len({row.case.reference for row in observations}) < 2:
            return Estimate(math.nan, math.nan, math.nan, 0, "undefined: all cases are of one class")
        return metric.estimate(observations, confidence, rng)

    return replace(metric, estimate=estimate)


BY_SENTIMENT, BY_CLASS = ("positive", "negative"), ("allowed", "violation")
PROBES = [
    Probe(
        "sentiment",
        reviews,
        weigh,
        [
            macro_f1_of("label", BY_SENTIMENT, name="macro_f1_sentiment"),
            mcc_of("label", BY_SENTIMENT, name="mcc_sentiment"),
            ece_of("confidence", "correct", name="ece_sentiment"),
            brier_of("share", "truth", name="brier_sentiment"),
            selective_risk_of("confidence", "correct", 0.8, name="selective_risk_sentiment"),
        ],
    ),
    Probe(
        "sentiment_written",
        reviews,
        write,
        [
            macro_f1_of("written", BY_SENTIMENT, name="macro_f1_sentiment_written"),
            rate_of("parsed", better="higher"),
        ],
    ),
    Probe(
        "moderation",
        texts,
        weigh,
        [
            of_both(macro_f1_of("label", BY_CLASS, name="macro_f1_moderation")),
            of_both(mcc_of("label", BY_CLASS, name="mcc_moderation")),
            recall_of("label", "violation", name="recall_violations"),
            recall_of("label", "allowed", name="recall_allowed"),
            ece_of("confidence", "correct", name="ece_moderation"),
            brier_of("share", "truth", name="brier_moderation"),
            selective_risk_of("confidence", "correct", 0.8, name="selective_risk_moderation"),
        ],
        by=("label",),
    ),
    Probe(
        "moderation_written",
        texts,
        moderate,
        [
            of_both(macro_f1_of("written", BY_CLASS, name="macro_f1_moderation_written")),
            recall_of("written", "violation", name="recall_violations_written"),
            rate_of("moderation_parsed", better="higher"),
        ],
        by=("label",),
    ),
]
GATES = [
    Gate("macro_f1_sentiment", at_least=0.70, honest=0.90),
    Gate("macro_f1_moderation", at_least=0.80, honest=0.97),
    Gate("recall_violations", at_least=0.85, honest=0.97),
]
