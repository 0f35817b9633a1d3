"""Does the model know what a customer buys next? One product that was bought among others, by likelihood and in lists.

    Recommend the next product. Bought: Alder kettle; Comet Pro pan. Next: -> " Lumen kettle" among 20 titles

A title's likelihood depends on its length, so it is ranked in four ways: as it is, per token, per byte, and less what
the title's likelihood is without a history (pointwise mutual information).
"""

import re
import unicodedata
import zlib
from collections import Counter
from math import log2
from typing import Any

import numpy as np

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
    Unsupported,
    balanced,
    hit_rate_of,
    joined,
    mean_of,
    mrr_of,
    ndcg_of,
    rate_of,
)

CUSTOMERS = 200
CANDIDATES = 20
HISTORY = 8  # the last purchases that a prompt shows
# Records name customers by numbers, and a name would bring in what the bias suite asks about.
CUSTOMER = {"en": "a regular customer", "zh": "老顾客"}
LETTERS = "ABCDEFGHIJKLMNOPQRST"
LETTER = rf"(?<![A-Za-z0-9])[{LETTERS}](?![A-Za-z0-9'’])"
RUN = re.compile(rf"{LETTER}(?:[^A-Za-z0-9一-鿿]+{LETTER})*")
LINE = re.compile(rf"^[^A-Za-z一-鿿]*({LETTER})", re.MULTILINE)
WAYS = ("raw", "per_token", "per_byte", "pmi")


def cases(material: Material) -> list[Case]:
    """For each customer the last purchase, among others of its category and among what most customers buy."""
    products = {product.id: product for product in material.records["products"] if product.title.strip()}
    histories: dict[str, list[Any]] = {}
    bought = Counter[str]()
    for one in sorted(material.records["interactions"], key=lambda interaction: interaction.time):
        if one.product in products:
            histories.setdefault(one.user, []).append(products[one.product])
            bought[one.product] += 1
    popular = [products[key] for key, _ in sorted(bought.items(), key=lambda row: (-row[1], row[0]))]
    asked = [(user, history) for user, history in histories.items() if len(history) > 1]
    chosen = balanced(asked, material.limit or CUSTOMERS, material.seed, by=lambda row: row[1][-1].language)
    shelves: dict[tuple[str, str], list[Any]] = {}
    for product in products.values():
        shelves.setdefault((product.language, product.category), []).append(product)
    made = []
    for user, history in chosen:
        target = history[-1]
        rng = np.random.default_rng([material.seed, zlib.crc32(user.encode("utf-8", "surrogatepass"))])
        titles = candidates(history, shelves[target.language, target.category], popular, rng)
        if len(titles) == CANDIDATES:
            made.append(asking(material, user, [product.title for product in history[:-1]], target, titles))
    if not made:
        raise Unsupported(f"recommendations need customers with two purchases and {CANDIDATES} products of a language")
    return made


def candidates(history: list[Any], shelf: list[Any], popular: list[Any], rng: np.random.Generator) -> list[str]:
    """The titles among which the last purchase is to be found, in random order; none of them was bought before."""
    target, known = history[-1], {product.title for product in history}
    near = [title for title in dict.fromkeys(product.title for product in shelf) if title not in known]
    near = [near[i] for i in rng.permutation(len(near))[: CANDIDATES // 2 - 1]]
    liked = [product.title for product in popular if product.language == target.language]
    liked = [title for title in dict.fromkeys(liked) if title not in known and title not in near]
    # The first of all that sell: twice as many as are taken, so that they are not the same for everybody.
    count = CANDIDATES - 1 - len(near)
    liked = [liked[i] for i in rng.permutation(min(len(liked), 2 * count))[:count]]
    titles = [target.title, *near, *liked]
    return [titles[i] for i in rng.permutation(len(titles))]


def asking(material: Material, user: str, history: list[str], target: Any, titles: list[str]) -> Case:
    """The case of one customer, with the prompts that show no history and that show the candidates in two orders."""
    language = target.language
    customer = {"customer": CUSTOMER[language], "history": history[-HISTORY:]}
    return Case(
        user,
        facts={
            "candidates": titles,
            "null": material.render("recommendation", language, customer | {"history": []}),
            "lists": [
                material.render("recommendation_list", language, customer | {"candidates": order})
                for order in (titles, titles[::-1])
            ],
        },
        reference=target.title,
        groups={"category": target.category},
        cluster=user,
        language=language,
        task="recommendation",
        prompt=material.render("recommendation", language, customer),
    )


def rank(scores: list[float], position: int) -> int:
    """The place of one of the scores, from 1; ties, and what is no number, count against it."""
    return sum(not score < scores[position] for score in scores)


def weigh(case: Case) -> Observing:
    """Ranks the titles by how probable each is after the customer's history."""
    titles = case.facts["candidates"]
    answers = [joined("", title, case.language) for title in titles]
    scores = yield [Score(Pair(context.flat, one)) for context in (case.prompt, case.facts["null"]) for one in answers]
    after, without = scores[:CANDIDATES], scores[CANDIDATES:]
    raw = [one.total for one in after]
    ways = {
        "raw": raw,
        "per_token": [one.mean for one in after],
        "per_byte": [total / len(answer.encode()) for total, answer in zip(raw, answers, strict=True)],
        "pmi": [total - null.total for total, null in zip(raw, without, strict=True)],
    }
    position = titles.index(case.reference)
    best = titles[int(np.argmax(ways["per_byte"]))]
    return {f"rank_{way}": rank(found, position) for way, found in ways.items()} | {"first_per_byte": best}


def letters(text: str) -> list[int]:
    """The places that a written list names, best first, each once: the longest run of letters, or a letter a line.

    Raises:
        ValueError: there is no such list.
    """
    text = unicodedata.normalize("NFKC", text)
    runs = sorted((re.findall(LETTER, run) for run in RUN.findall(text)), key=len, reverse=True)
    lines = LINE.findall(text)
    # "I" and "A" are words too: a single letter is an answer only where it is the only one.
    named = lines if len(lines) > max(map(len, runs), default=0) else runs[0] if runs else []
    if not named or (len(named) == 1 and len(runs) > 1):
        raise ValueError(f'expected letters from A to {LETTERS[-1]}, got "{text.strip()[:40]}"')
    return [LETTERS.index(letter) for letter in dict.fromkeys(named)]


def sort(case: Case) -> Observing:
    """Asks for a list of letters under two orders of the candidates; a model that goes by position contradicts itself.

    Letters that are missing come last, in an order that does not help; a list that cannot be read is a wrong one.
    """
    titles = case.facts["candidates"]
    asked = Sampling(max_new_tokens=4 * CANDIDATES, stop=("\n\n",))
    texts = yield [Generate(prompt, asked) for prompt in case.facts["lists"]]
    ranks, firsts = [], []
    for text, order in zip(texts, (titles, titles[::-1]), strict=True):
        named = [order[place] for place in letters(text)]
        ranks.append(named.index(case.reference) + 1 if case.reference in named else CANDIDATES)
        firsts.append(named[0])
    return {
        "text": " | ".join(text.strip() for text in texts),
        "ndcg_list": sum(1 / log2(1 + place) for place in ranks) / len(ranks),
        "order_kept": firsts[0] == firsts[1],
    }


PROBES = [
    Probe(
        "recommendation",
        cases,
        weigh,
        [
            *(hit_rate_of(f"rank_{way}", k, name=f"hit_rate_at_{k}_{way}") for way in WAYS for k in (1, 5)),
            hit_rate_of("rank_per_byte", 10, name="hit_rate_at_10_per_byte"),
            mrr_of("rank_per_byte", name="mrr_per_byte"),
            ndcg_of("rank_per_byte", CANDIDATES, name="ndcg_per_byte"),
        ],
    ),
    Probe(
        "recommendation_list",
        cases,
        sort,
        [mean_of("ndcg_list", better="higher", worst=0.0, best=1.0), rate_of("order_kept", better="higher")],
    ),
]
GATES = [
    Gate("hit_rate_at_10_per_byte", at_least=0.75, honest=0.85),
    Gate("rate_order_kept", at_least=0.80, honest=0.95),
]
