"""Metrics that try themselves on the user's own references and records, so that one that fails is not believed.

    tried(metric, chrf, best=100.0).trial(cases, rng) -> "identity is not the maximum: 0 instead of 100 for 40 of ..."

The model's answers play no part: a trial asks whether the score could tell a good answer from a bad one at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from shoplm_audit.data.duplicates import HAN
from shoplm_audit.scoring.overlap import folded, tokens_of
from shoplm_audit.types import Case, Metric

__all__ = ["tried"]

Scorer = Callable[[str, str, str], float]  # (text, reference, language)

_MOST = 40  # cases of one trial
_OTHERS = 5  # other references of which one is compared
_LONG = 4  # words of a clause that one can be taken from
_TIMES = 3  # so many times more words the other reference has to lack than were taken
_CLAUSE = re.compile(r"[^,.!?;:，。！？；：\n]+[,.!?;:，。！？；：\n]*")
_KEPT = 0.75  # of the way from another reference's score to the best that a quarter of the reference may come
_SPARED = 0.05  # of attribute swaps, which now and then say the same in other words
_PART = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
_IS_HAN = re.compile(rf"[{HAN}]")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def tried(metric: Metric, score: Scorer, *, best: float, ordered: bool = True, swaps: bool = True) -> Metric:
    """The metric with a trial: laws that its score has to keep on the references of the cases of one language.

    A reference against itself scores `best`; full and half width do not matter, nor does white space at the ends; a
    reference that lacks a word in each clause scores above the reference of another case. Lower than `best` score a
    reference with another one after it, and lower still with two (a catalogue is no answer); half of a reference, and
    lower still, well below `best`, its quarter; shuffled words, also of a text that lacks some; and a reference in
    which the value of an attribute is another product's in other words (at most 5 % of these may not).
    References are taken from the cases, at most 40, and attributes from `facts["record"]`, a mapping.

    Args:
        metric: what is computed from the scores.
        score: (text, reference, language) to a number; the same function that the metric's column or sums come from.
        best: what a reference scores against itself.
        ordered: whether the order of words matters to the score (not to ROUGE-1).
        swaps: whether a score has to notice one changed attribute.
    """

    def trial(cases: Sequence[Case], rng: np.random.Generator) -> str:
        kept = [case for case in cases if case.reference and case.reference.strip()]
        chosen = [kept[i] for i in sorted(rng.permutation(len(kept))[:_MOST].tolist())]
        laws: list[Callable[[], Iterator[str | None]]] = [
            lambda: _identity(score, chosen, best),
            lambda: _forms(score, chosen),
            lambda: _nearness(score, chosen),
            lambda: _more(score, chosen, best),
            lambda: _less(score, chosen, best),
        ]
        if ordered:
            laws.append(lambda: _order(score, chosen, best, rng))
        for law in laws:
            found = list(law())
            if broken := [words for words in found if words]:
                return f"{broken[0]} for {len(broken)} of {len(found)} references"
        swapped = list(_swaps(score, chosen, kept, best, rng)) if swaps else []
        if sum(swapped) > _SPARED * len(swapped):
            return f"another product's value scores no lower for {sum(swapped)} of {len(swapped)} references"
        return ""

    return replace(metric, trial=trial)


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def _lower(one: float, than: float) -> bool:
    return one < than and not _same(one, than)


def _identity(score: Scorer, cases: Sequence[Case], best: float) -> Iterator[str | None]:
    for case in cases:
        reference = case.reference or ""
        found = score(reference, reference, case.language)
        yield None if _same(found, best) else f"identity is not the maximum: {found:.4g} instead of {best:g}"


def _forms(score: Scorer, cases: Sequence[Case]) -> Iterator[str | None]:
    for case in cases:
        reference, plain = case.reference or "", folded(case.reference or "")
        # A text that differs from the reference, so that a score which looks at neither is not let through.
        text = "".join(_parts(plain)[:-1]).strip() or plain
        usual = score(text, plain, case.language)
        wide = text.translate(_WIDE), reference.translate(_WIDE)
        if not (
            _same(score(wide[0], plain, case.language), usual) and _same(score(text, wide[1], case.language), usual)
        ):
            yield "full and half width differ in score"
        elif not _same(score(f" \n{text}\t ", plain, case.language), usual):
            yield "white space at the ends changes the score"
        else:
            yield None


def _parts(text: str) -> list[str]:
    """Han characters and the runs between them and white space, each with the white space that follows it."""
    starts = [found.start() for found in _PART.finditer(text)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _nearness(score: Scorer, cases: Sequence[Case]) -> Iterator[str | None]:
    for i, case in enumerate(cases):
        reference = case.reference or ""
        words = {part.strip() for part in _parts(reference)}
        # Of a few other references the one that has least of this one's words: many are written by one template.
        others = [cases[(i + step) % len(cases)].reference or "" for step in range(1, _OTHERS + 1)]
        lacking = [len(words - {part.strip() for part in _parts(other)}) for other in others]
        far = others[lacking.index(max(lacking))]
        near, dropped = _thinned(reference)
        if dropped and max(lacking) >= _TIMES * dropped:
            fine = _lower(score(far, reference, case.language), score(near, reference, case.language))
            yield None if fine else "a text that lacks single words scores no higher than another product's"


def _thinned(reference: str) -> tuple[str, int]:
    """The text without the middle word of each of its clauses of four words or more, and how many words that is.

    Of each clause, since a score that takes clauses for words would still find the others whole.
    """
    kept, dropped = [], 0
    for clause in _CLAUSE.findall(reference):
        parts = _parts(clause)
        if len(parts) >= _LONG:
            del parts[len(parts) // 2]
            dropped += 1
        kept.extend(parts)
    return "".join(kept), dropped


def _order(score: Scorer, cases: Sequence[Case], best: float, rng: np.random.Generator) -> Iterator[str | None]:
    for case in cases:
        reference = case.reference or ""
        broken, tried_any = False, False
        # Of a near text too: a score that asks for equality first and then counts words would know the first shuffle.
        for text, usual in ((reference, best), (_thinned(reference)[0], math.nan)):
            parts = [folded(part.strip()) for part in _parts(text)]
            shuffled = _between(case).join(parts[i] for i in rng.permutation(len(parts)))
            if len(set(parts)) < 4 or tokens_of(shuffled, "en") == tokens_of(text, "en"):
                continue
            tried_any = True
            usual = score(text, reference, case.language) if math.isnan(usual) else usual
            broken |= not _lower(score(shuffled, reference, case.language), usual)
        if tried_any:
            yield "shuffled words score no lower" if broken else None


def _more(score: Scorer, cases: Sequence[Case], best: float) -> Iterator[str | None]:
    """The reference and another one score lower, and lower still with a third."""
    for i, case in enumerate(cases):
        text, known, usual, broken = case.reference or "", set[str](), best, False
        known.update(tokens_of(text, "en"))
        if len(known) < _LONG:
            continue
        added = 0
        for step in range(1, _OTHERS + 1):
            other = cases[(i + step) % len(cases)].reference or ""
            if len(new := set(tokens_of(other, "en")) - known) >= _LONG and added < 2:
                known |= new
                text, added = f"{text}{_between(case)}{other}", added + 1
                found = score(text, case.reference or "", case.language)
                broken |= not _lower(found, usual)
                usual = found
        if added:
            yield "a reference with another product's after it scores no lower" if broken else None


def _less(score: Scorer, cases: Sequence[Case], best: float) -> Iterator[str | None]:
    """Half of a reference scores lower, and lower still its quarter, by more than what its torn end costs."""
    for i, case in enumerate(cases):
        reference, usual, broken = case.reference or "", best, False
        parts = _parts(reference)
        halves = ["".join(parts[: len(parts) // share]).strip() for share in (1, 2, 4)]
        sizes = [len(tokens_of(half, "en")) for half in halves]
        if not sizes[0] > sizes[1] > sizes[2] > 1:
            continue
        for half in halves[1:]:
            found = score(half, reference, case.language)
            broken |= not _lower(found, usual)
            usual = found
        nothing = score(cases[(i + 1) % len(cases)].reference or "", reference, case.language)
        broken |= usual > max(nothing, 0.0) + _KEPT * (best - max(nothing, 0.0))
        yield "a part of a reference scores no lower" if broken else None


def _between(case: Case) -> str:
    return "" if case.language == "zh" else " "


def _swaps(
    score: Scorer, cases: Sequence[Case], others: Sequence[Case], best: float, rng: np.random.Generator
) -> Iterator[bool]:
    """For each case with a value that its reference states: whether another product's value goes unnoticed."""
    values: dict[str, set[str]] = {}
    for case in others:
        for attribute, value in _record(case).items():
            values.setdefault(attribute, set()).add(value)
    for case in cases:
        reference = folded(case.reference or "")
        record = _record(case)
        places = [(a, v) for a, v in sorted(record.items()) if _stated(v, reference)]
        for attribute, value in (places[i] for i in rng.permutation(len(places))):
            known = {v.casefold() for v in record.values()}
            foreign = sorted(v for v in values[attribute] if v.casefold() not in known and v not in reference)
            if foreign:
                swapped = _with(reference, value, foreign[int(rng.integers(len(foreign)))])
                if sorted(tokens_of(swapped, "en")) == sorted(tokens_of(reference, "en")):
                    continue  # "+" and "++", "100% cotton" and "cotton, 100%": the words are the same
                yield not _lower(score(swapped, reference, case.language), best)
                break


def _record(case: Case) -> dict[str, str]:
    record = case.facts.get("record")
    if not isinstance(record, Mapping):
        return {}
    return {str(a): folded(str(v)).strip() for a, v in record.items() if v is not None and folded(str(v)).strip()}


def _stated(value: str, text: str) -> list[int]:
    """Where a text states a value, whatever its case: not inside a word, which a Han character never is."""
    # Case that changes a length would shift the places.
    plain, wanted = (t.lower() if len(t.lower()) == len(t) else t for t in (text, value))
    found, start = [], plain.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        whole = not (_of_word(plain[start - 1 : start]) or _of_word(plain[end : end + 1]))
        if whole:
            found.append(start)
        start = plain.find(wanted, end if whole else start + 1)
    return found


def _of_word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _IS_HAN.match(character)


def _with(text: str, value: str, instead: str) -> str:
    for start in reversed(_stated(value, text)):
        text = text[:start] + instead + text[start + len(value) :]
    return text
