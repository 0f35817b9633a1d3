"""Does the model do a shop's work? Descriptions against references, sentiment by likelihood and in writing."""

from shoplm_audit import (
    Case,
    Gate,
    Generate,
    Material,
    Observing,
    Pair,
    Probe,
    Sampling,
    Score,
    Suite,
    Unsupported,
    balanced,
    bleu_of,
    chrf,
    description_variables,
    joined,
    macro_f1_of,
    mean_of,
    perplexity_per_byte_of,
    rate_of,
    sentiment_of,
    sentiment_variables,
)

DESCRIPTIONS = 160
REVIEWS = 320
WORDS = {"en": {"positive": "positive", "negative": "negative"}, "zh": {"正面": "positive", "负面": "negative"}}


def descriptions(material: Material) -> list[Case]:
    """Products that have a description to compare with."""
    products = [p for p in material.records["products"] if p.description and p.attributes]
    return [
        Case(
            product.id,
            reference=product.description,
            groups={"category": product.category},
            cluster=product.id,
            language=product.language,
            task="description",
            prompt=material.render("description", product.language, description_variables(product)),
        )
        for product in balanced(products, material.limit or DESCRIPTIONS, material.seed)
    ]


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


def describe(case: Case) -> Observing:
    """Asks for a description and compares it with the shop's own."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=120, stop=("\n\n",)))
    return {"text": text, "chrf": chrf(text, case.reference or "")}


def read(case: Case) -> Observing:
    """How probable the shop's own description is after the prompt."""
    answer = joined("", case.reference or "", case.language)
    scores = yield Score(Pair(case.prompt.flat, answer))
    return {"nats": scores.total, "bytes": len(answer.encode())}


def weigh(case: Case) -> Observing:
    """Which of the two words is the more probable answer; a classifier is asked for the label of the review alone."""
    words = WORDS[case.language]
    answers = [joined("", word, case.language) for word in words]
    try:
        # With a span, which only what reads words can score: a classifier that knows the label "positive" would else
        # take the whole prompt for the review.
        scores = yield [Score(Pair(case.prompt.flat, answer, (0, len(answer)))) for answer in answers]
    except Unsupported:
        scores = yield [Score(Pair(case.facts["text"], label)) for label in words.values()]
    best = max(zip(scores, words.values(), strict=True), key=lambda pair: pair[0].total)
    return {"label": best[1]}


def write(case: Case) -> Observing:
    """Which of the two words the model writes; anything else cannot be read and is wrong."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=8))
    said = {label for word, label in WORDS[case.language].items() if word in text.lower()}
    if len(said) != 1:
        raise ValueError(f'expected one of {", ".join(WORDS[case.language])}, got "{text.strip()[:40]}"')
    return {"written": said.pop(), "text": text, "parsed": True}


SUITE = Suite(
    "task_quality",
    question="Does the model do a shop's work: describe a product, read a review?",
    probes=[
        Probe(
            "description",
            descriptions,
            describe,
            [mean_of("chrf", better="higher", worst=0.0, best=100.0), bleu_of("text")],
        ),
        Probe("description_likelihood", descriptions, read, [perplexity_per_byte_of("nats", "bytes")]),
        Probe("sentiment", reviews, weigh, [macro_f1_of("label", ("positive", "negative"), name="macro_f1_sentiment")]),
        Probe(
            "sentiment_written",
            reviews,
            write,
            [
                macro_f1_of("written", ("positive", "negative"), name="macro_f1_sentiment_written"),
                rate_of("parsed", better="higher"),
            ],
        ),
    ],
    gates=[
        Gate("mean_chrf", at_least=20.0, honest=31.0),
        Gate("macro_f1_sentiment", at_least=0.70, honest=0.90),
    ],
)
