"""Do the model's reviews say different things, of the product, in its language, and what the stars ask for?

Write a customer review. Product: Alder kettle. Stars: 2 -> "The lid of this kettle leaks, and it is far too loud."
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from math import log
from typing import Any

from shoplm_audit import (
    Case,
    Gate,
    Generate,
    Material,
    Observing,
    Probe,
    Sampling,
    aspect_counts,
    balanced,
    distinct_of,
    language_of,
    rate_of,
    review_variables,
    self_bleu_of,
    sentiment_of,
    shared_8_grams_of,
)

REVIEWS = 200
LEARNT_FROM = 2000  # labelled reviews of a language
# Words that any review may use; what else praises or blames is learnt from the shop's own reviews.
WORDS = {
    "en": [
        """good great excellent perfect love lovely best happy recommend recommended wonderful amazing fantastic superb
        outstanding elegant beautiful awesome pleasant reliable sturdy comfortable satisfied worth impressive neat""",
        """bad poor worst terrible awful horrible disappointing disappointed disappointment waste broken flimsy useless
        uncomfortable defective faulty regret hate annoying avoid ugly dull weak rough overpriced unusable refund""",
    ],
    "zh": [
        """满意 推荐 喜欢 不错 很好 完美 好用 舒服 舒适 值得 超所值 漂亮 柔软 耐用 顺手 回购 好评 惊喜 优秀 精致 结实
        贴心 整齐 干净 放心 出色 实用 精细""",
        """失望 糟糕 差评 差劲 退货 退款 后悔 垃圾 浪费 廉价 粗糙 难用 难闻 别扭 离谱 单薄 笨重 松动 刺眼 破旧 易坏
        受不了 上当 太差 不满意 不推荐 不喜欢 不值 不会回购 不会再买""",
    ],
}
DENIED = {
    "en": re.compile(r"\b(?:not|no|never|hardly|barely|nothing|\w+n['’]t)\s+(?:\w+\s+){0,2}$"),
    "zh": re.compile(r"(?:不|没有?|毫无|谈不上)(?:是|很|太|那么|任何|觉得|再)?$"),
}


def pieces(text: str) -> set[str]:
    """English words, and pairs of Chinese characters."""
    low = text.casefold()
    return {*re.findall(r"[a-z']+", low), *re.findall(r"(?=([一-鿿]{2}))", low)}


def weights_of(texts: Iterable[tuple[str, str]]) -> dict[str, float]:
    """How much more often each piece stands in positive reviews than in negative ones, in nats (naive Bayes)."""
    counts = {"positive": Counter[str](), "negative": Counter[str]()}
    for text, label in texts:
        counts[label].update(pieces(text))
    up, down = counts["positive"], counts["negative"]
    rest = log((down.total() + 1) / (up.total() + 1))
    return {piece: log((up[piece] + 1) / (down[piece] + 1)) + rest for piece in up | down}


def opinion(text: str, language: str, weights: Mapping[str, float]) -> float:
    """Above 0 where a text praises, below 0 where it blames; a word of the lists that is denied says the opposite."""
    low = text.casefold()
    total = sum(weights.get(piece, 0.0) for piece in pieces(text))
    for side, words in zip((1, -1), WORDS[language], strict=True):
        either = "|".join(sorted(words.split(), key=len, reverse=True))
        for found in re.finditer(rf"\b(?:{either})\b" if language == "en" else either, low):
            total += -side if DENIED[language].search(low[max(0, found.start() - 24) : found.start()]) else side
    return total


def cases(material: Material) -> list[Case]:
    """Products that are to be praised or complained of, both as often."""
    titles = {product.id: product for product in material.records["products"]}
    asked = [(review, label) for review in material.records["reviews"] if (label := sentiment_of(review))]
    # A product speaks once where there are products enough.
    single = list({review.product or review.id: (review, label) for review, label in asked}.values())
    rows = single if len(single) >= REVIEWS else asked
    made = []
    for review, label in balanced(
        rows, material.limit or REVIEWS, material.seed, by=lambda row: (row[0].language, row[1])
    ):
        variables = review_variables(review, titles.get(review.product))
        made.append(
            Case(
                review.id,
                facts={"title": variables["title"], "names": names_of(variables, titles.get(review.product))},
                reference=label,
                groups={"category": review.category, "stars": variables["stars"]},
                cluster=review.product or review.id,
                language=review.language,
                task="review",
                prompt=material.render("review", review.language, variables),
            )
        )
    return made


def names_of(variables: Mapping[str, Any], product: Any) -> list[str]:
    """What a review of a product can name: its title, its category, and what its record says."""
    told = [part for row in product.attributes.items() for part in row] if product else []
    return [variables["title"], variables["category"], *told]


def about(text: str, names: Iterable[str], language: str) -> bool:
    """Whether the text names something of the product: a word of the names (a pair of Han characters), or an aspect."""
    low = text.casefold()
    words = {word.rstrip("s") for name in names for word in re.findall(r"[a-z]{3,}", name.casefold())}
    pairs = {pair for name in names for pair in re.findall(r"(?=([一-鿿]{2}))", name)}
    return (
        any(re.search(rf"\b{word}(?:e?s)?\b", low) for word in words if word)
        or any(pair in low for pair in pairs)
        or bool(aspect_counts([text], language))
    )


def learnt(material: Material) -> dict[str, dict[str, float]]:
    """Weights by language, from the shop's own labelled reviews."""
    labelled = [(review, label) for review in material.records["reviews"] if (label := sentiment_of(review))]
    return {
        language: weights_of(
            (review.text, label)
            for review, label in balanced(
                [row for row in labelled if row[0].language == language],
                LEARNT_FROM,
                material.seed,
                by=lambda row: row[1],
            )
        )
        for language in WORDS
    }


def review_probe() -> Probe:
    """Asks for reviews; what praises is learnt when the cases are made."""
    weights: dict[str, dict[str, float]] = {}

    def prepared(material: Material) -> list[Case]:
        weights.update(learnt(material))
        return cases(material)

    def write(case: Case) -> Observing:
        """Asks for a review as a shop would deploy it: drawn, each case for itself."""
        seed = zlib.crc32(case.id.encode("utf-8", "surrogatepass"))
        text = yield Generate(case.prompt, Sampling(60, temperature=1.0, top_p=0.95, seed=seed, stop=("\n\n",)))
        tone = opinion(text, case.language, weights.get(case.language, {}))
        return {
            "text": text,
            "review_agrees": tone > 0 if case.reference == "positive" else tone < 0,
            "review_about": about(text, case.facts["names"], case.language),
            # A text without a letter of either is in no language.
            "review_language": bool(re.search("[A-Za-z一-鿿]", text)) and language_of(text) == case.language,
        }

    return Probe(
        "review",
        prepared,
        write,
        [
            rate_of("review_agrees", better="higher"),
            rate_of("review_about", better="higher"),
            rate_of("review_language", better="higher"),
            distinct_of("text", 2, name="distinct_2_reviews"),
            self_bleu_of("text", name="self_bleu_reviews"),
            shared_8_grams_of("text", name="rate_shared_8_grams"),
        ],
        by=("stars",),
    )


PROBES = [review_probe()]
GATES = [
    Gate("rate_review_agrees", at_least=0.80, honest=0.95),
    Gate("rate_review_about", at_least=0.80, honest=0.98),
    Gate("rate_review_language", at_least=0.90, honest=0.99),
    Gate("rate_shared_8_grams", at_most=0.40, honest=0.15, clauses=("FTC-16CFR465.2", "EU-2005/29-AnnexI-23b")),
]
