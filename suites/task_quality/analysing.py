"""Feedback counted: how many reviews praise each aspect, how many complain, and which complaints rise.

An observation: {"text": "delivery: praised 2, complaints 3 (earlier 1, later 2)...", "counts_right": 0.9, ...}
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

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
    """Praise and complaints of each aspect, and its earlier and later complaints where these are told.

    Numbers are read by the word beside them ("complaints 3", "3 complaints"), and by their place where there is none;
    what stands after the name of an aspect is about it until the next one. An aspect without both is left out.
    """
    plain = _arabic(unicodedata.normalize("NFKC", text))
    found: dict[str, tuple[int, ...]] = {}
    names = "|".join(re.escape(name) for name in sorted(aspects, key=len, reverse=True))
    named = list(re.finditer(rf"(?<![a-z])(?:{names})(?![a-z])", plain, re.IGNORECASE))
    ends = [match.start() for match in named[1:]] + [len(plain)] * bool(named)
    columns = _columns(plain[: named[0].start()]) if named else ()
    for match, end in zip(named, ends, strict=True):
        aspect = next(name for name in aspects if name.lower() == match[0].lower())
        told = _told(plain[match.end() : end], columns)
        if "praised" in told and "complaints" in told:
            rest = (told["earlier"], told["later"]) if "earlier" in told and "later" in told else ()
            found.setdefault(aspect, (told["praised"], told["complaints"], *rest))
    return found


_KINDS = ("praised", "complaints", "earlier", "later")
_KIND = re.compile(
    r"(?P<praised>prais\w*|positive\w*|好评|称赞|表扬|正面)|(?P<complaints>complain\w*|negative\w*|critici\w*|差评|抱怨|负面|投诉)"
    r"|(?P<earlier>earl(?:y|ier)|前期|早期|前)|(?P<later>later?|后期|近期|后)|(?P<number>\d{1,6})",
    re.IGNORECASE,
)
_HAN = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_WORDS = {
    "none": 0, "no": 0, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_TOTAL = re.compile(
    r"(?:\bout )?\bof (?:the )?\d+|(?<=\d)\s*/\s*\d+|(?:\d+条)?(?:评价)?中(?=.*有)|共\d+条", re.IGNORECASE
)


def _arabic(text: str) -> str:
    """The text with its numbers in digits and without totals ("of 8") and the numbering of lines."""
    text = re.sub(
        r"(?<![一-鿿])[零〇一二两三四五六七八九]?十[一二三四五六七八九]?|[零〇一二两三四五六七八九](?![一-鿿])|十[一二三四五六七八九]?(?=[条次个,])"
        r"|[零〇一二两三四五六七八九十](?=[条次个])",
        _han,
        text,
    )
    text = re.sub(rf"\b(?:{'|'.join(_WORDS)})\b", lambda word: str(_WORDS[word[0].lower()]), text, flags=re.IGNORECASE)
    text = re.sub(r"(?:没有|无|未)(?=好评|差评|抱怨|投诉|负面|正面)", "0", text)
    return _TOTAL.sub(" ", re.sub(r"(?m)^(\W*)\d{1,2}[.)、](?!\d)", r"\1", text))


def _han(match: re.Match[str]) -> str:
    tens, ten, ones = match[0].rpartition("十")
    return str((_HAN.get(tens, 1) * 10 if ten else 0) + _HAN.get(ones, 0))


def _columns(head: str) -> tuple[str, ...]:
    """The order of the columns, if the last line with two or more of their names is the head of a table."""
    for line in reversed(head.splitlines()):
        kinds = tuple(str(match.lastgroup) for match in _KIND.finditer(line))
        if "|" in line and len(set(kinds)) >= 2 and "number" not in kinds:
            return kinds
    return ()


def _told(part: str, columns: Sequence[str]) -> dict[str, int]:
    """What one part of the answer says of one aspect."""
    told: dict[str, int] = {}
    loose: list[int] = []
    for piece in re.split(r"[()\[\]{}\n]", part):
        tokens = [(str(match.lastgroup), match[0]) for match in _KIND.finditer(piece)]
        kinds = [kind for kind, _ in tokens]
        if set(kinds) <= {"number"}:
            loose += [int(digits) for _, digits in tokens]
            continue
        step = -1 if kinds[0] == "number" else 1  # "2 praised", "praised 2"
        taken = set[int]()
        for place, kind in enumerate(kinds):
            for beside in (place + step, place - step):
                if kind == "number" or beside in taken or not 0 <= beside < len(kinds) or kinds[beside] != "number":
                    continue
                told.setdefault(kind, int(tokens[beside][1]))
                taken.add(beside)
                break
    # Numbers without words fill, in the usual order, what no word has told.
    told |= dict(zip(columns or [kind for kind in _KINDS if kind not in told], loose, strict=False))
    if "complaints" not in told and {"earlier", "later"} <= told.keys():
        told["complaints"] = told["earlier"] + told["later"]
    return {"earlier": 0, "later": 0, **told} if told.get("complaints") == 0 else told


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
