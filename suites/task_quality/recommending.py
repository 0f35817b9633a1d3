"""Does the model know what a customer buys next? One product that was bought among others, by likelihood and in lists.

    Recommend the next product. Bought: Alder kettle; Comet Pro pan. Next: -> " Lumen kettle" among 20 titles

A title's likelihood depends on its length, so it is ranked in four ways: as it is, per token, per byte, and less what
the title's likelihood is without a history (pointwise mutual information).
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
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
SHELF = 4  # titles of a category among the candidates: every category has as many, so that none stands out
HISTORY = 8  # the last purchases that a prompt shows
# Records name customers by numbers, and a name would bring in what the bias suite asks about.
CUSTOMER = {"en": "a regular customer", "zh": "老顾客"}
LETTERS = "ABCDEFGHIJKLMNOPQRST"
WORD = r"and|then|or|over|before|followed by|next"  # joins letters
LINK = "和|以及|然后|其次|接着|最后|首先|及|与|再|到|是|为"
# "A" and "I" before a small word are words, unless that word joins letters; "I'd" and "don't" have none.
LETTER = rf"(?<![A-Za-z0-9])(?<![a-z]['’])(?![AIai] (?!(?:{WORD})\b)[a-z])[A-Za-z](?![A-Za-z0-9]|['’][a-z])"
RUN = re.compile(rf"{LETTER}(?:(?:[^A-Za-z0-9一-鿿]|\b(?:{WORD})\b|{LINK})+{LETTER})*")
LINE = re.compile(
    rf"^[^A-Za-z一-鿿]*(?:(?:option|title|product|item|letter|选项|商品)\s*)?({LETTER})", re.MULTILINE | re.IGNORECASE
)
MARKED = re.compile(rf"({LETTER})\s*[.):：、-]")
SPAN = re.compile(r"\b[A-T]\s*(?:to|through|until|到|至|[-–~])\s*T\b")
WAYS = ("raw", "per_token", "per_byte", "pmi")


def cases(material: Material) -> list[Case]:
    """For each customer the last purchase, among others that sell as well, of its category and of others."""
    products = {product.id: product for product in material.records["products"] if product.title.strip()}
    histories: dict[str, list[Any]] = {}
    bought = Counter[str]()
    for one in sorted(material.records["interactions"], key=lambda interaction: interaction.time):
        if one.product in products:
            histories.setdefault(one.user, []).append(products[one.product])
            bought[products[one.product].title] += 1
    asked = [(user, history) for user, history in histories.items() if len(history) > 1]
    chosen = balanced(asked, material.limit or CUSTOMERS, material.seed, by=lambda row: row[1][-1].language)
    shelves: dict[str, dict[str, dict[str, None]]] = {}
    for product in products.values():
        shelves.setdefault(product.language, {}).setdefault(product.category, {})[product.title] = None
    made = []
    for user, history in chosen:
        target = history[-1]
        rng = np.random.default_rng([material.seed, zlib.crc32(user.encode("utf-8", "surrogatepass"))])
        titles = candidates(history, shelves[target.language], bought, rng)
        if len(titles) == CANDIDATES:
            made.append(asking(material, user, [product.title for product in history[:-1]], target, titles))
    if not made:
        raise Unsupported(f"recommendations need customers with two purchases and {CANDIDATES} products of a language")
    return made


def candidates(
    history: list[Any], shelves: Mapping[str, Iterable[str]], bought: Mapping[str, int], rng: np.random.Generator
) -> list[str]:
    """The titles among which the last purchase is to be found, in random order; none of them was bought before.

    Every draw is by sales, as the last purchase is one by its nature: what sells more, or less, is no better a guess.
    Where there are too few categories for shelves of `SHELF`, they grow alike.
    """
    target, known = history[-1], {product.title for product in history}
    left = {category: [title for title in titles if title not in known] for category, titles in shelves.items()}
    sales = {category: sum(bought[title] for title in titles) for category, titles in left.items()}
    others = drawn([category for category in left if category != target.category], sales, len(left), rng)
    order = [target.category, *others]
    rows = {category: drawn(left[category], bought, CANDIDATES, rng) for category in order}
    rows[target.category].insert(0, target.title)
    # Shelf after shelf; what does not fit into the first ones is taken round by round.
    rounds = [rows[category][:SHELF] for category in order] + [
        [rows[category][place] for category in order if place < len(rows[category])]
        for place in range(SHELF, CANDIDATES)
    ]
    titles = list(dict.fromkeys(title for shelf in rounds for title in shelf))[:CANDIDATES]
    return [titles[i] for i in rng.permutation(len(titles))]


def drawn(names: list[str], weights: Mapping[str, int], count: int, rng: np.random.Generator) -> list[str]:
    """Names drawn by weight without putting back, those of no weight last, in random order."""
    # The first of exponential waits whose rates are the weights (Efraimidis and Spirakis).
    waits = rng.exponential(size=len(names)) / np.array([weights[name] + 1e-9 for name in names])
    return [names[i] for i in np.argsort(waits)[:count]]


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


def places(text: str, titles: list[str]) -> list[int]:
    """The places that a written list names, best first, each once: by letters in a run or one a line, or by titles.

    Raises:
        ValueError: there is no such list, or it names fewer than half of them.
    """
    text = unicodedata.normalize("NFKC", text)
    bare, by_title = text, []
    for place in sorted(range(len(titles)), key=lambda i: -len(titles[i])):
        title = unicodedata.normalize("NFKC", titles[place]).strip()
        if title.casefold() not in bare.casefold():
            continue
        # A letter is no title, and stands where a title may stand beside it.
        found = re.search(rf"(?<![A-Za-z0-9]){re.escape(title)}(?![A-Za-z0-9])", bare, re.IGNORECASE)
        if found and len(title) > 1:
            by_title.append((found.start(), place))
            bare = bare[: found.start()] + "\0" * len(found[0]) + bare[found.end() :]
    bare = SPAN.sub(" ", bare)
    readings = [
        max((re.findall(LETTER, run) for run in RUN.findall(bare)), key=len, default=[]),
        LINE.findall(bare),
        MARKED.findall(bare),
        *(list(word) for word in re.findall(rf"(?<![A-Za-z])[{LETTERS}]{{{len(titles) // 2},}}(?![A-Za-z])", bare)),
    ]
    named = [[LETTERS.find(letter.upper()) for letter in reading] for reading in readings]
    named.append([place for _, place in sorted(by_title)])
    best = max(([i for i in dict.fromkeys(one) if 0 <= i < len(titles)] for one in named), key=len)
    if 2 * len(best) < len(titles):
        raise ValueError(
            f'expected at least {len(titles) // 2} letters from A to {LETTERS[-1]}, got "{text.strip()[:40]}"'
        )
    return best


def sort(case: Case) -> Observing:
    """Asks for a list of letters under two orders of the candidates; a model that goes by position contradicts itself.

    Letters that are missing come last, in an order that does not help; a list that cannot be read is a wrong one.
    """
    titles = case.facts["candidates"]
    asked = Sampling(max_new_tokens=8 * CANDIDATES, stop=("\n\n",))
    texts = yield [Generate(prompt, asked) for prompt in case.facts["lists"]]
    ranks, firsts = [], []
    for text, order in zip(texts, (titles, titles[::-1]), strict=True):
        named = [order[place] for place in places(text, order)]
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
# By chance 0.25 of the titles are among the first 5, and a list has an NDCG of 0.35.
GATES = [
    Gate("hit_rate_at_5_per_byte", at_least=0.65, honest=0.79),
    Gate("mean_ndcg_list", at_least=0.50, honest=0.56),
    Gate("rate_order_kept", at_least=0.80, honest=0.95),
]
