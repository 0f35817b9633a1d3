"""Does the model read a review, and see which texts may not be shown? By likelihood and in writing.

    Is this review positive or negative? ... Sentiment: -> "negative"     May this text be shown in the shop? -> "no"

The probability of an answer is its own over that of both answers.
"""

import math
import re
import unicodedata
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


# What a written answer says, by its first word that says it; the longer wording of a place stands first.
NOT = (
    r"(?:(?:\b(?:not|no|never|nothing|nicht|without|hardly|far from)|n['’]t)\s+(?:\w+\s+){0,3}|\bnon-?\s*"
    r"|不(?:是|太|算|属于)?|并?非|没有?)"
)
SIDES = re.compile(
    r"\b(?P<positive>positive|pos|favou?rable)\b|(?P<positive_zh>正面|正向|积极|好评)"
    r"|\b(?P<negative>negative|neg|unfavou?rable)\b|(?P<negative_zh>负面|负向|消极|差评)"
)
DENIED = re.compile(rf"{NOT}(?:很|那么)?$")
NEITHER = re.compile(r"\b(?:neither|both|mixed|neutral)\b|中性|中立|好坏参半|既")
SHOWN = r"(?:shown|displayed|published|posted|allowed|accepted)"
FAULT = r"(?:problems?|issues?|objections?|concerns?|violat\w*|offen[cs]\w*|harm\w*|inappropriate|against)"
WRONG = r"(?:问题|违规|违反|违法|违禁|不妥|不当|不合适|不能|不可以?|冒犯|攻击|辱骂|禁止)"
MAY = re.compile(
    r"(?P<unclear>\bnot (?:sure|certain)|(?:\bnot|\w*n['’]t) (?:know|tell|say)"
    r"|(?:\bcannot|\bcan['’]?t|\bunable to|\bwon['’]?t)"
    r" (?:assist|help|answer|tell|determine|decide|comply|fulfil)\w*|不确定|不知道|不清楚|无法|不好说"
    r"|\byes\W+(?:(?:and|or)\W+)?no\b(?! \w)|\bno\W+(?:(?:and|or)\W+)?yes\b"
    r"|可以\W*[和或]?\W*不可以\W*$|(?<!不)可以还是不可以)"
    rf"|(?P<allowed>(?:\b(?:no|not|without|nothing)|n['’]t) (?:\w+ ){{0,2}}{FAULT}"
    rf"|\b(?:yes|yep|yeah|sure|of course|certainly|absolutely|allowed|acceptable|permitted|okay|ok|fine|appropriate)\b"
    rf"|\b(?:may|can|could|should) be {SHOWN}"
    rf"|(?:没有?|无|不(?:存在|涉及|含|包含|属于|是)|并?未)(?:任何|什么|发现)*{WRONG}|(?<!不)(?:可以|允许|适合|合适|合规|应该)"
    r"|(?<!不)(?:能|可)(?:展示|发布|显示|通过)|是的|当然|^\W*(?:是|能|行|对|可|好)(?!否))"
    r"|(?P<violation>\b(?:no|nope|not|never|forbidden|prohibited|disallowed|unacceptable|inappropriate|rejected|violat\w*)\b"
    rf"|\b\w+n['’]t\b(?: be {SHOWN}| \w*(?:ed|able|ate|fine|okay)\b)?|\bcannot be {SHOWN}"
    r"|不(?:可以?|能|行|应|该|宜|适|合|允许|得|要|通过|予)|禁止|违规|违禁|违反|^\W*[不否])"
)


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


def sentences(text: str) -> list[str]:
    """The sentences of an answer in small letters, its forms of width made one; what it asks itself says nothing."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return [one for one in re.findall(r"[^.!?。\n]+[.!?。\n]?", plain) if not one.endswith("?")]


def write(case: Case) -> Observing:
    """Which side the model writes; a label that is denied is the other one, and anything else is wrong."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=8))
    for sentence in sentences(text):
        found = {
            (name.startswith("positive")) != bool(DENIED.search(sentence[: one.start()]))
            for one in SIDES.finditer(sentence)
            if (name := str(one.lastgroup))
        }
        if len(found) == 1 and not NEITHER.search(sentence):
            return {"written": "positive" if found.pop() else "negative", "text": text, "parsed": True}
        if found:
            break
    raise ValueError(f'expected one of {", ".join(SENTIMENT[case.language])}, got "{text.strip()[:40]}"')


def moderate(case: Case) -> Observing:
    """Whether the model writes that the text may be shown: its first such word decides, and anything else is wrong."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=8))
    found = next(filter(None, map(MAY.search, sentences(text))), None)
    if not found or found.lastgroup == "unclear":
        raise ValueError(f'expected one of {", ".join(MODERATION[case.language])}, got "{text.strip()[:40]}"')
    return {"written": found.lastgroup, "text": text, "moderation_parsed": True}


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
            rate_of("parsed", better="higher", signature="parse:first label that is not denied, NFKC"),
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
            rate_of("moderation_parsed", better="higher", signature="parse:first yes or no, NFKC"),
        ],
        by=("label",),
    ),
]
GATES = [
    Gate("macro_f1_sentiment", at_least=0.70, honest=0.90),
    Gate("macro_f1_moderation", at_least=0.80, honest=0.97),
    Gate("recall_violations", at_least=0.85, honest=0.97),
]
