"""How much of a reference a text has: BLEU, chrF and ROUGE, right for English and Chinese alike.

    rouge("纯棉连衣裙", "纯棉连衣裙", "zh") -> Rouge(rouge1=1.0, rouge2=1.0, rougeL=1.0, rougeLsum=1.0)

Texts are compared under NFKC, so that full and half width are one. Identical texts score the maximum in every script.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shoplm_audit.data.duplicates import HAN
from shoplm_audit.types import Floats

__all__ = [
    "ORDERS",
    "Rouge",
    "bleu",
    "bleu_sums",
    "chrf",
    "corpus_bleu",
    "folded",
    "grams_of",
    "rouge",
    "signature_of",
    "tokens_of",
]

ORDERS = 4
_WORD = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")
_SENTENCE = {"zh": re.compile(r"(?<=[。!?;\n])")}  # NFKC has made ！？； half width
_LINE = re.compile(r"\n")


def folded(text: str) -> str:
    """The text under NFKC, as every overlap reads it: １．７Ｌ is 1.7L.

    >>> folded("１．７Ｌ")
    '1.7L'
    """
    return unicodedata.normalize("NFKC", text)


def tokens_of(text: str, language: str) -> list[str]:
    """The tokens that ROUGE and the measures of diversity count, in lower case.

    A Han character is a token in every language. Otherwise Chinese has the tokens of sacreBLEU's zh (runs of Latin
    letters and digits whole, signs by themselves), any other language its runs of letters and digits, which for ASCII
    are ROUGE's own. A text of signs alone is cut at its spaces.

    >>> tokens_of("电池5000mAh。", "zh")
    ['电', '池', '5000mah', '。']
    """
    plain = folded(text).lower()
    if language == "zh":
        return _chinese()(plain).split()
    return _WORD.findall(plain) or plain.split()


@functools.lru_cache(maxsize=1)
def _chinese() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    tokenizer: Callable[[str], str] = TokenizerZh()  # type: ignore[no-untyped-call]  # it has no types
    return tokenizer


def grams_of(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Every run of n tokens, repeats included."""
    return zip(*(tokens[start:] for start in range(n)), strict=False)


def signature_of(metric: str) -> str:
    """What a number of this metric ("bleu", "chrf", "rouge") depends on, as sacreBLEU tells it."""
    version = importlib.metadata.version("sacrebleu")
    return {
        "bleu": f"corpus_bleu|case:mixed|norm:nfkc|tok:en=13a,zh=zh|smooth:exp|eff:without 4-grams|version:{version}",
        "chrf": f"chrf2|case:mixed|norm:nfkc|eff:yes|nc:6|nw:0|space:no|version:{version}",
        "rouge": f"rouge|f1|case:lc|norm:nfkc|tok:en=letters and digits,zh=sacrebleu zh {version}|stem:no|"
        "Lsum:en=lines,zh=。！？；lines",
    }[metric]


# BLEU and chrF -------------------------------------------------------------------------------------


def chrf(text: str, reference: str, language: str = "") -> float:
    """chrF2 of one text, 0 to 100 (Popović 2015, as sacreBLEU counts it); an empty text or reference scores 0.

    Args:
        text: what was written.
        reference: what it is compared with.
        language: not needed, characters are characters; taken so that every overlap is called alike.
    """
    return float(_chrf().sentence_score(folded(text), [folded(reference)]).score)


@functools.lru_cache(maxsize=1)
def _chrf():  # type: ignore[no-untyped-def]
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@functools.lru_cache(maxsize=4)
def _bleu(language: str):  # type: ignore[no-untyped-def]
    from sacrebleu.metrics.bleu import BLEU

    # 13a leaves a Chinese sentence one token, and its BLEU is then 0.
    return BLEU(tokenize="zh" if language == "zh" else "13a", effective_order=True)


# A text is asked for once for all cases and once for those of its language.
@functools.lru_cache(maxsize=1 << 14)
def bleu_sums(text: str, reference: str, language: str) -> tuple[float, ...]:
    """What corpus BLEU adds up for one text: lengths, then matches and totals of 1- to 4-grams, (2 + 2 * 4,)."""
    found = _bleu(language).sentence_score(folded(text), [folded(reference)])
    return (float(found.sys_len), float(found.ref_len), *map(float, found.counts), *map(float, found.totals))


def corpus_bleu(sums: Floats) -> Floats:
    """Corpus BLEU, 0 to 100 (Papineni et al. 2002), of sums of `bleu_sums` over texts, (B, 2 + 2 * 4) to (B,).

    Texts that together have no 4-gram are scored over the orders that they have, so that identical ones score 100; the
    brevity penalty keeps short texts from gaining by it. sacreBLEU gives them 0, and otherwise the same.
    """
    written, expected = sums[:, 0], sums[:, 1]
    matches, totals = sums[:, 2 : 2 + ORDERS], sums[:, 2 + ORDERS :]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Exponential smoothing of orders without a match, as sacreBLEU's default: 1/(2^k * total).
        empty = (matches == 0) & (totals > 0)
        smoothed = np.where(empty, 1 / (2.0 ** np.cumsum(empty, axis=1) * totals), matches / totals)
        brevity = np.where(written < expected, np.exp(1 - expected / written), 1.0)
        logs = np.where(totals > 0, np.log(smoothed), 0.0)
        score = np.minimum(100.0, 100 * brevity * np.exp(logs.sum(axis=1) / (totals > 0).sum(axis=1)))
    return np.where((matches.sum(axis=1) == 0) | (written == 0), 0.0, score)


def bleu(text: str, reference: str, language: str) -> float:
    """BLEU of one text, 0 to 100: `corpus_bleu` of it alone."""
    return float(corpus_bleu(np.array([bleu_sums(text, reference, language)]))[0])


# ROUGE ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rouge:
    """F1 of common 1-grams, 2-grams, of the longest common subsequence, and of its union over sentences; 0 to 1."""

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815  (the names under which everyone knows them)
    rougeLsum: float  # noqa: N815


def rouge(text: str, reference: str, language: str) -> Rouge:
    """ROUGE-1, -2, -L and -Lsum of one text (Lin 2004), F1 without stemming; an empty text or reference scores 0.

    English agrees with `rouge_score` on ASCII texts; its tokenizer leaves nothing of a Chinese one. Chinese sentences
    end at 。！？； and lines, English ones at lines. A text of one token has no 2-grams: two equal ones score 1.

    Args:
        text: what was written.
        reference: what it is compared with.
        language: "zh", or any other for words between spaces.
    """
    written, expected = tokens_of(text, language), tokens_of(reference, language)
    if not written or not expected:
        return Rouge(0.0, 0.0, 0.0, 0.0)
    return Rouge(
        _common(written, expected, 1),
        _common(written, expected, 2),
        _f1(len(_places(expected, written)), len(written), len(expected)),
        _summary(_sentences(text, language), _sentences(reference, language)),
    )


def _f1(hits: int, written: int, expected: int) -> float:
    return 2 * hits / (written + expected) if written + expected else 0.0


def _common(written: Sequence[str], expected: Sequence[str], n: int) -> float:
    if written == expected:
        return 1.0
    ours, theirs = Counter(grams_of(written, n)), Counter(grams_of(expected, n))
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def _sentences(text: str, language: str) -> list[list[str]]:
    found = _SENTENCE.get(language, _LINE).split(folded(text))
    return [tokens for sentence in found if (tokens := tokens_of(sentence, language))]


def _summary(written: list[list[str]], expected: list[list[str]]) -> float:
    """Each sentence of the reference is covered by the union over the sentences written; no token counts twice."""
    left = [Counter(token for sentence in side for token in sentence) for side in (written, expected)]
    sizes = [side.total() for side in left]
    hits = 0
    for sentence in expected:
        covered = {place for other in written for place in _places(sentence, other)}
        for token in (sentence[place] for place in covered):
            if left[0][token] > 0 and left[1][token] > 0:
                hits += 1
                left[0][token] -= 1
                left[1][token] -= 1
    return _f1(hits, *sizes)


def _places(expected: Sequence[str], written: Sequence[str]) -> list[int]:
    """Where in `expected` the tokens of one longest common subsequence stand, from its end; ties as in `rouge_score`.

    Bit-parallel (Crochemore et al. 2001): after each token of `written` the zeros of `row` are the places at which the
    length of the common subsequence grows, so that 10,000 tokens against as many take a moment and little memory.
    """
    full = (1 << len(expected)) - 1
    holds: dict[str, int] = {}
    for place, token in enumerate(expected):
        holds[token] = holds.get(token, 0) | 1 << place
    row, rows = full, []
    for token in written:
        match = row & holds.get(token, 0)
        row = ((row + match) | (row - match)) & full
        rows.append(row)
    places: list[int] = []
    i, j = len(expected) - 1, len(written) - 1
    while i >= 0 and j >= 0:
        if expected[i] == written[j]:
            places.append(i)
            i, j = i - 1, j - 1
        elif rows[j] >> i & 1:
            i -= 1
        else:
            j -= 1
    return places
