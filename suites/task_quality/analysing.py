"""Feedback counted: how many reviews praise each aspect, how many complain, and which complaints rise.

An observation: {"text": "delivery: praised 2, complaints 3 (earlier 1, later 2)...", "counts_right": 0.9, ...}
"""

import re
import unicodedata
from collections.abc import Mapping

from shoplm_audit import (
    Case,
    Gate,
    Generate,
    Material,
    Observing,
    Probe,
    Sampling,
    Unsupported,
    aspect_counts,
    aspect_label,
    balanced,
    mean_of,
    rate_of,
)

from .summarising import by_product, flat, title_of, titles

CASES = 60
FEWEST, MOST = 8, 10  # reviews of a product
ASKED = 5  # aspects
READ = 300  # characters of a review
Counts = tuple[int, int, int, int]  # praised, complaints, earlier complaints, later complaints


def gold(earlier: list[str], later: list[str], language: str) -> dict[str, Counts]:
    """What there is to count, of the aspects that most reviews judge."""
    old, new = aspect_counts(earlier, language), aspect_counts(later, language)
    counts = {}
    for aspect in {**old, **new}:
        praised = sum(part[aspect].praised for part in (old, new) if aspect in part)
        before, after = (part[aspect].complaints if aspect in part else 0 for part in (old, new))
        counts[aspect] = (praised, before + after, before, after)
    most = sorted(counts, key=lambda aspect: -sum(counts[aspect][:2]))[:ASKED]
    return {aspect_label(aspect, language): counts[aspect] for aspect in most}


def rising(counts: Mapping[str, Counts]) -> str:
    """The aspect whose complaints rose most; "" where none did or several did alike."""
    return _first({aspect: later - earlier for aspect, (_, _, earlier, later) in counts.items()})


def most_complained(counts: Mapping[str, Counts]) -> str:
    """The aspect with most complaints; "" where there is none or several have as many."""
    return _first({aspect: complaints for aspect, (_, complaints, _, _) in counts.items()})


def _first(numbers: Mapping[str, int]) -> str:
    top = max(numbers.values(), default=0)
    leaders = [aspect for aspect, number in numbers.items() if number == top]
    return leaders[0] if top > 0 and len(leaders) == 1 else ""


def cases(material: Material) -> list[Case]:
    """Products whose reviews have one aspect with most complaints and one whose complaints rise most."""
    names, found = titles(material), []
    for key, rows in by_product(material, FEWEST, MOST).items():
        language, half = rows[0].language, len(rows) // 2
        texts = [flat(row.text, READ) for row in rows]
        earlier, later = texts[:half], texts[half:]
        counts = gold(earlier, later, language)
        if len(counts) < 2 or not rising(counts) or not most_complained(counts):
            continue
        # In an order that does not tell which aspect leads.
        asked = {aspect: counts[aspect] for aspect in sorted(counts)}
        title = title_of(rows, names)
        found.append((key, language, title, asked, earlier, later))
    if not found:
        raise Unsupported("no product has reviews in which complaints about one aspect rise and one leads")
    return [
        Case(
            key,
            facts={"counts": counts},
            cluster=key,
            language=language,
            task="analysis",
            prompt=material.render(
                "analysis", language, {"title": title, "aspects": list(counts), "earlier": earlier, "later": later}
            ),
        )
        for key, language, title, counts, earlier, later in balanced(
            found, material.limit or CASES, material.seed, by=lambda row: row[1]
        )
    ]


def counted(text: str, aspects: Mapping[str, Counts]) -> dict[str, tuple[int, ...]]:
    """The numbers behind each aspect; an aspect without a line of its own, or without two numbers, is left out."""
    found: dict[str, tuple[int, ...]] = {}
    for line in unicodedata.normalize("NFKC", text).splitlines():
        plain = re.sub(r"^\W*(?:\d+[.)、]\s*)?", "", line)
        named = [aspect for aspect in aspects if plain.lower().startswith(aspect.lower())]
        numbers = tuple(int(digits) for digits in re.findall(r"\d{1,6}", plain))
        if named and len(numbers) >= 2:
            found.setdefault(max(named, key=len), numbers)
    return found


def count(case: Case) -> Observing:
    """Whether each number is right, and what leads by the model's own numbers."""
    text = yield Generate(case.prompt, Sampling(max_new_tokens=200))
    truth: Mapping[str, Counts] = case.facts["counts"]
    told = counted(text, truth)
    if not told:
        raise ValueError(f'no counts in "{text.strip()[:40]}"')
    right = [told.get(aspect, (-1, -1))[k] == counts[k] for aspect, counts in truth.items() for k in (0, 1)]
    whole = {aspect: (n[0], n[1], n[2], n[3]) for aspect, n in told.items() if len(n) >= 4}
    return {
        "text": text,
        "counts_right": sum(right) / len(right),
        "trend_right": rising(whole) == rising(truth),
        "top_complaint_right": most_complained({a: (n[0], n[1], 0, 0) for a, n in told.items()})
        == most_complained(truth),
    }


PROBES = [
    Probe(
        "analysis",
        cases,
        count,
        [
            mean_of("counts_right", better="higher", worst=0.0, best=1.0),
            rate_of("trend_right", better="higher"),
            rate_of("top_complaint_right", better="higher"),
        ],
    )
]
GATES = [
    Gate("mean_counts_right", at_least=0.8, honest=0.98),
    Gate("rate_trend_right", at_least=0.8, honest=0.95),
    Gate("rate_top_complaint_right", at_least=0.8, honest=0.95),
]
