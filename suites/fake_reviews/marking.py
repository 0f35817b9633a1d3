"""Do the reviews that the model writes carry a mark that a machine finds, and at what length can they?

Case("en/account003", facts={"tokens": 50, "products": ["p17", ...]}, groups={"length": "50"})

An object that holds a key is among the tools of a case, which no file of a run keeps.
"""

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Generator
from typing import Any

import numpy as np

from shoplm_audit import (
    Case,
    Columns,
    Gate,
    Generate,
    Material,
    Metric,
    Observing,
    Pair,
    Probe,
    Sampling,
    Score,
    Unsupported,
    added_up,
    among,
    balanced,
    description_variables,
    forecast_of,
    mean_of,
    rate_of,
    telling_why,
)

REVIEWS = 160
ACCOUNT = 10  # reviews that one account posts
LENGTHS = (25, 50, 100)  # the most tokens of a review
FORECASTS = 24  # texts of a task in a language
LEVEL = 0.01
TOP_P = 0.95
_SPIKE = Columns.LOG_PROB | Columns.SPIKE
MARKED = f"p < {LEVEL:g}|kgw: a token counts once with those that decide it|synthid: a context counts once"
ELSEWHERE = (
    "the model runs elsewhere, so its mark cannot be looked for: audit its checkpoint on this machine, and name the "
    "mark in [watermark] of audit.toml where the checkpoint's own configuration does not"
)
NO_MARK = (
    "no mark is known: the checkpoint's configuration asks for none and audit.toml has no [watermark] table, so none "
    "was looked for"
)


def cases(material: Material) -> list[Case]:
    """Accounts of ten reviews, each of another product; all reviews of an account are of one length."""
    finder = material.finder
    if finder is None and material.tokenizer is None:
        raise Unsupported(ELSEWHERE)
    products = balanced(material.records["products"], material.limit or REVIEWS, material.seed)
    if not products:
        raise Unsupported("there are no products to write reviews of")
    if finder is not None:
        lost = [finder.find(product.title).reason for product in products]
        if 2 * sum("give the text back" in why for why in lost) > len(lost):
            raise Unsupported(f"the mark of the model cannot be looked for: {max(lost)}")
    told: list[Case] = []
    for language in sorted({product.language for product in products}):
        rows = [one for one in products if one.language == language]
        for account, start in enumerate(range(0, len(rows), ACCOUNT)):
            tokens, mine = LENGTHS[account % len(LENGTHS)], rows[start : start + ACCOUNT]
            prompts = [
                material.render(
                    "review", language, {"title": row.title, "category": row.category, "stars": f"{5 - place % 5}"}
                )
                for place, row in enumerate(mine)
            ]
            told.append(
                Case(
                    f"{language}/account{account:03d}",
                    facts={"tokens": tokens, "products": [row.id for row in mine]},
                    groups={"length": str(tokens)},
                    language=language,
                    task="review",
                    prompt=prompts[0],
                    tools={"finder": finder, "prompts": prompts, "contexts": [*map(material.read, prompts)]},
                )
            )
    return told


def write(case: Case) -> Observing:
    """Asks for an account's reviews as the model ships, and looks for its mark in each and in all of them together."""
    finder, tokens = case.tools["finder"], case.facts["tokens"]
    texts = yield [
        Generate(
            prompt,
            Sampling(
                tokens, temperature=1.0, top_p=TOP_P, seed=zlib.crc32(f"{case.id}.{place}".encode()), stop=("\n\n",)
            ),
        )
        for place, prompt in enumerate(case.tools["prompts"])
    ]
    told: dict[str, Any] = {"text": "\n\n".join(texts), "accounts_marked": False, "accounts_marked_anytime": False}
    told |= dict.fromkeys(("share_marked", "share_marked_low_entropy", "share_marked_high_entropy"), 0.0)
    if finder is None:
        return told | {"reason": NO_MARK}
    found = [finder.find(text) for text in texts]
    marked = [one.p_value < LEVEL for one in found]
    shown = added_up(finder.evidence(texts))
    why = Counter(one.reason for one in found).most_common(1)[0][0]
    spike = yield from _spikes(case, texts)
    return (
        told
        | _by_entropy(marked, spike)
        | {
            "reason": why,
            "share_marked": sum(marked) / len(marked),
            "accounts_marked": shown.p_value < LEVEL,
            "accounts_marked_anytime": shown.log_e >= math.log(1 / LEVEL),
            "p_value": shown.p_value,
            "tokens": shown.tokens,
            "score": shown.score,
        }
    )


def _spikes(case: Case, texts: list[str]) -> Generator[Any, Any, list[float]]:
    """The mean spike entropy of each text's tokens; none where the model cannot say."""
    pairs = zip(case.tools["contexts"], texts, strict=True)
    asked = [Score(Pair(read, _behind(read, text, case.language)), _SPIKE) for read, text in pairs]
    try:
        scores = yield asked
    except Unsupported:
        return []
    return [float(one.spike.mean()) if one.spike.size else 0.0 for one in scores]


def _by_entropy(marked: list[bool], spike: list[float]) -> dict[str, float | None]:
    """The share that is found of those texts of an account whose tokens left least choice, and of those with most."""
    half = len(spike) // 2
    ranked = [marked[place] for place in np.argsort(spike, kind="stable")]
    return {
        "share_marked_low_entropy": sum(ranked[:half]) / half if half else None,
        "share_marked_high_entropy": sum(ranked[-half:]) / half if half else None,
    }


def _behind(read: str, text: str, language: str) -> str:
    """A text as it stands behind what the model read; tokenizers that begin words with a space drop the first one."""
    apart = language == "zh" or not read or read[-1:].isspace() or text[:1].isspace()
    return text if apart else f" {text}"


def forecast_cases(material: Material) -> list[Case]:
    """Texts of several tasks, whose entropies tell how many tokens a mark needs there."""
    count = min(2 * FORECASTS, material.limit or 2 * FORECASTS)
    products = balanced(material.records["products"], count, material.seed)

    def variables(task: str, product: Any) -> dict[str, object]:
        about = description_variables(product)
        return (
            about if task == "description" else {"title": about["title"], "category": about["category"], "stars": "5"}
        )

    return [
        Case(
            f"{task}/{product.id}",
            cluster=product.id,
            language=product.language,
            task=task,
            prompt=prompt,
            tools={"tokenizer": material.tokenizer, "context": material.read(prompt)},
        )
        for task in ("description", "review")
        for product in products
        for prompt in [material.render(task, product.language, variables(task, product))]
    ]


def forecast(case: Case) -> Observing:
    """Asks for a text and for the spike entropy of those of its tokens that a mark counts: each with the last one once.

    Where a model goes round in circles it has no choice, and a mark that counts what repeats once loses nothing there.
    """
    read, tokenizer = case.tools["context"], case.tools["tokenizer"]
    seed = zlib.crc32(case.id.encode())
    text = yield Generate(case.prompt, Sampling(60, temperature=1.0, top_p=TOP_P, seed=seed, stop=("\n\n",)))
    told = _behind(read, text, case.language)
    scores = yield Score(Pair(read, told), _SPIKE)
    spike = scores.spike
    ids = tokenizer.encode(told) if tokenizer else []
    if len(ids) == spike.size:
        first = {pair: place for place, pair in reversed(list(enumerate(itertools.pairwise(ids), start=1)))}
        spike = spike[sorted(first.values())]
    return {"text": text, "spike": float(spike.sum()), "counted": spike.size, "tokens": scores.spike.size}


def _share(column: str, name: str) -> Metric:
    """The mean of an account's share of marked reviews."""
    return among(mean_of(column, better="higher", worst=0.0, best=1.0, name=name, signature=MARKED), having=column)


PROBES = [
    Probe(
        "marking",
        cases,
        write,
        [
            telling_why(metric)
            for metric in (
                _share("share_marked", "rate_marked"),
                _share("share_marked_low_entropy", "rate_marked_low_entropy"),
                _share("share_marked_high_entropy", "rate_marked_high_entropy"),
                rate_of("accounts_marked", better="higher", signature=MARKED),
                rate_of("accounts_marked_anytime", better="higher", signature=MARKED),
            )
        ],
        by=("length",),
    ),
    Probe(
        "mark_forecast",
        forecast_cases,
        forecast,
        [
            forecast_of("tokens_for_a_mark_at_1_percent", false_positives=0.01),
            forecast_of("tokens_for_a_mark_at_1_in_10000", false_positives=1e-4),
        ],
        by=("task",),
    ),
]

GATES = [
    Gate("rate_accounts_marked", at_least=0.70, honest=0.99, clauses=("EU-AI-Act-Art50(2)", "CN-GB45438-2025")),
]
