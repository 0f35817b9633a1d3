"""Answers to exercises of public benchmarks: scored right, and as a benchmark's own scorer would where that errs.

    marked(exercise, "10").score, marked(exercise, "10").published   # gold "1": 0.0, and 1.0 by its first character

An answer counts for what it says, however it is dressed ("Sure! The answer is: 2"), and not for what the exercise said
itself: lines of the prompt that are said again are left out, a denied answer ("不是锅") is not given, and an answer
that names everything names nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from shoplm_audit.data.records import Exercise
from shoplm_audit.scoring.overlap import rouge, tokens_of
from shoplm_audit.scoring.polarity import POLAR, polarity_of
from shoplm_audit.scoring.published import published, published_counts
from shoplm_audit.scoring.quantities import agrees, level, quantities_in

__all__ = ["Marked", "chance_of", "marked"]

_SHOWN = 3  # numbers of a retrieval that count
_INTEGER = re.compile(r"(?<![\d.])(?<!(?<!\d)[-−])\d{1,9}(?!\d)(?!\.\d)", re.ASCII)
_OPTION = re.compile(r"(?m)^\s*\(?(\d{1,3})[.):、]", re.ASCII)
_SCALE = re.compile(r"\b(?:from|of|scale of) (\d{1,2}) (?:to|-) (\d{1,2})\b|从? ?(\d{1,2}) ?[到至] ?(\d{1,2}) ?[分星]")
_NUMBERED = re.compile(r"\W*(\d{1,9})\s*[.):、](?!\d)\s*(.*)", re.ASCII)
_NAMED = re.compile(
    r"\W*(?:(?:product|item|option|no|number)\b|商品|选项|产品|编号|第)?\W*(\d{1,9})(?![\d.])", re.I | re.ASCII
)
_CUE = re.compile(
    r"(?:answer|correct|choose|choice|select|\boption\b|答案|选|应为)([^\d\n]{0,24})(\d{1,9})(?![\d.]*\d)",
    re.I | re.ASCII,
)
_NOT_CHOSEN = re.compile(
    r"(?:\bnot|isn't|不是) ?(?:option |选项)?\d+|\bout of \d+|\b(?:of )?(?:the )?\d+ (?:options|choices)|\d+个选项",
    re.I,
)
_TWO = re.compile(r"\s*(?:,|/|-|or|and|或|和|、)\s*\d", re.I)
_DENIAL = re.compile(
    r"(?:不(?:应该?|能|会)?(?:是|属于|包括|叫|为)?|并?非|没有|而非|无法|\b(?:not|isn't|aren't|wasn't|never|no|nor|non-?))"
    r"(?: ?(?:a|an|the|called|really))?[\s\"'“「*]*$",
    re.I,
)
_REFUSING = re.compile(r"\W*(?:not\b|isn't|aren't|none of|不是|并非|不属于)(?!.*(?:而是|\bbut\b))", re.I | re.S)
_DENIED = re.compile(
    r"(?:不是|并非|不属于|不包括|而非|\bnot(?! only)\b|isn't|aren't|\bnever\b)(?:(?!而是|\bbut\b)[^,。;!?\n])*"
)
_LEAD = re.compile(
    r"\W*(?:(?:sure|certainly|ok(?:ay)?|of course|好的?|当然)[!,。. ]*)?"
    r"(?:(?:the |here (?:are|is) )?[a-z ]{0,40}"
    r"|(?:答案|结果|抽取结果|提取结果|实体|属性值?)(?:如下|是|为)?)[ *\"']*:(?=\s*\S)",
    re.I,
)
_BULLET = re.compile(r"^[\s\[{]*(?:[-*•·]+(?=\s)|\(?\d{1,3}(?:[.)](?!\d)|、))\s*")
_NONE = ("none", "无", "没有")
_EDGES = " .。\"'“”‘’-*_[]{}()`「」"
_AROUND = " .。\"'“”*`「」"
_FACTS = re.compile(r"[、;；]|[，,](?!\d)|以及")
_LAST_TWO = re.compile(r"(?<=.)[和及与]|(?<=.) ?(?:and|or) ")
_FILLER = re.compile(
    r"^(?:主要|其中|特别是|尤其是|以及|包括|有|是|例如|如|即|也|还|分别|分为)+|(?:等等?|产品|[之]类)+$"
)
_LONG = 8  # characters of a fact that can be stated in other words
_ROOM = 12  # characters of politeness around an answer


@dataclass(frozen=True, slots=True)
class Marked:
    """The marks of one answer.

    Attributes:
        score: 0 to 1; an answer that cannot be read has 0.
        published: what the benchmark's own scorer gives; None where it needs a model or is not known.
        readable: whether there was an answer of the form that was asked for.
        hits, false, missed: of entities: right phrases, wrong ones and those left out, as sets.
        hits_published, false_published, missed_published: the same by the benchmark's own count.
    """

    score: float
    published: float | None = None
    readable: bool = True
    hits: int | None = None
    false: int | None = None
    missed: int | None = None
    hits_published: int | None = None
    false_published: int | None = None
    missed_published: int | None = None


def marked(exercise: Exercise, text: str) -> Marked:
    """The marks of an answer; whatever the text is, it is marked."""
    prompt = exercise.prompt.strip()
    marks = _MARKERS[exercise.form](exercise, text.replace(prompt, "") if len(prompt) > _ROOM else text)
    public = published(exercise, text)
    if exercise.form != "entities" or public is None:
        return replace(marks, published=public)
    hits, false, missed = published_counts(exercise, text)
    return replace(marks, published=public, hits_published=hits, false_published=false, missed_published=missed)


def chance_of(exercise: Exercise) -> float:
    """The mean score of an answer at random, 0 to 1; 0 for what nobody could hit by chance.

    Of a ranking the mean over all orders, of a retrieval that over all draws of three of the options that the prompt
    numbers, both exact; of phrases out of a list the score of the whole list.
    """
    if exercise.form == "entities":
        return 2 * len(exercise.answers) / (len(exercise.labels) + len(exercise.answers)) if exercise.labels else 0.0
    if exercise.form == "ranking":
        mean = float(np.mean(np.exp2(exercise.gains) - 1))
        places = np.arange(2, len(exercise.gains) + 2)
        return float(mean * (1 / np.log2(places)).sum()) / _discounted(sorted(exercise.gains, reverse=True))
    options = len(set(_OPTION.findall(exercise.prompt)))
    if exercise.form == "retrieval":
        gold = len(set(exercise.answers))
        return min(1.0, _SHOWN * gold / options / min(_SHOWN, gold)) if options > gold else 0.0
    if exercise.form == "choice":
        if options < 2 and (scale := _SCALE.search(exercise.prompt)):
            low, high = (int(one) for one in scale.groups() if one)
            options = high - low + 1
        return 1 / options if options > 1 else 0.0
    return 1 / len(exercise.labels) if exercise.form == "label" and len(exercise.labels) > 1 else 0.0


def _choice(exercise: Exercise, text: str) -> Marked:
    found, gold = _chosen(level(text)), exercise.answers[0]
    right = found == int(gold) if gold.isdecimal() else text.strip() == gold
    return Marked(float(right), readable=found is not None)


def _chosen(text: str) -> int | None:
    """The number that an answer settles on; None where it names two, or none."""
    text = _NOT_CHOSEN.sub("", text)
    first = _INTEGER.search(text)
    if first is None:
        return None
    if not text[: first.start()].strip(_EDGES + "\n:#"):
        return None if _TWO.match(text, first.end()) else int(first[0])
    cues = [cue for cue in _CUE.finditer(text) if not re.search(r"\bnot\b|n't|不|非|[-−.]$", cue[1])]
    if cues:
        return None if _TWO.match(text, cues[-1].end()) else int(cues[-1][2])
    numbers = {int(number) for number in _INTEGER.findall(text)}
    return numbers.pop() if len(numbers) == 1 else None


def _listed(text: str, *, all_lines: bool) -> list[int]:
    """The numbers that an answer lists, without those that only count its lines.

    Args:
        text: the answer.
        all_lines: whether a list goes on in the lines that follow; otherwise only one number a line goes on.
    """
    if _REFUSING.match(text):
        return []
    lines = [line for line in level(text).splitlines() if line.strip()]
    numbered = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    if len(numbered) > 1:
        named = [_NAMED.match(match[2]) for match in numbered]
        counted = [int(match[1]) for match in numbered] == list(range(1, len(numbered) + 1))
        if counted and all(named):
            return [int(match[1]) for match in named if match]
        return [int(match[1]) for match in numbered]
    found = [[int(number) for number in _INTEGER.findall(line)] for line in lines]
    alone = [not re.search(r"[^\W\d_]", re.sub(r"\band\b|和|及", "", line)) for line in lines]
    bare = [place for place, numbers in enumerate(found) if numbers and alone[place]]
    if bare:
        out = found[bare[0]]
        for place in bare[1:]:
            if all_lines or (len(out) and len(found[place]) == 1 and len(found[bare[0]]) == 1):
                out = out + found[place]
        return out
    for line, numbers in zip(lines, found, strict=True):
        if numbers:
            return [int(number) for number in _INTEGER.findall(line.rpartition(":")[2])] or numbers
    return []


def _retrieval(exercise: Exercise, text: str) -> Marked:
    gold = {int(one) for one in exercise.answers if one.isdecimal()}
    said = list(dict.fromkeys(_listed(text, all_lines=False)))[:_SHOWN]
    return Marked(len(gold & set(said)) / (min(_SHOWN, len(gold)) or 1), readable=bool(said))


def _discounted(gains: Sequence[float]) -> float:
    powers = np.exp2(np.array(gains, dtype=np.float64)) - 1
    return float((powers / np.log2(np.arange(2, len(gains) + 2))).sum())


def _ranking(exercise: Exercise, text: str) -> Marked:
    """NDCG with the gain 2^relevance - 1: each item once, those not named last, in the worst order."""
    count, best = len(exercise.gains), _discounted(sorted(exercise.gains, reverse=True))
    order = [one for one in dict.fromkeys(_listed(text, all_lines=True)) if 1 <= one <= count]
    left = sorted(gain for i, gain in enumerate(exercise.gains, 1) if i not in order)
    ranked = [exercise.gains[one - 1] for one in order] + left
    return Marked(_discounted(ranked) / best if order else 0.0, readable=bool(order))


def _phrases(text: str, gold: Sequence[str]) -> list[str]:
    """The phrases of an answer as keys; a mark that a right phrase holds itself parts none, "none" is no phrase."""
    marks = "".join(mark for mark in ",;、" if not any(mark in level(phrase) for phrase in gold))
    typed = any(":" in level(phrase) for phrase in gold)
    found = []
    for place, line in enumerate(level(text).splitlines()):
        lead = _LEAD.match(line) if not place or not typed else None
        if lead and not (typed and ":" not in line[lead.end() :]):
            line = line[lead.end() :]
        if line.rstrip(" *").endswith(":"):
            continue
        kind = ""
        for part in re.split(f"[{marks}]" if marks else "(?!)", _BULLET.sub("", line)):
            phrase = _key(part.replace("*", "")).strip(_EDGES)
            if typed and ":" in phrase:
                kind = phrase.partition(":")[0] + ":"
            elif phrase:
                phrase = kind + phrase
            if phrase and phrase not in _NONE:
                found.append(phrase)
    return found


def _entities(exercise: Exercise, text: str) -> Marked:
    said = set(_phrases(text, exercise.answers))
    gold = {_key(phrase).strip(_EDGES) for phrase in exercise.answers}
    hits = 0 if _REFUSING.match(text) else len(gold & said)
    false, missed = len(said) - hits, len(gold) - hits
    score = 2 * hits / (2 * hits + false + missed) if gold or said else 1.0
    return Marked(score, readable=bool(said) or _key(text) in _NONE, hits=hits, false=false, missed=missed)


def _own(exercise: Exercise, text: str) -> str:
    """The answer in NFKC and lower case without the lines of the prompt that it says again."""
    asked = {_key(line) for line in f"{exercise.prompt}\n{exercise.system}".splitlines()}
    lines = (line for line in level(text).casefold().splitlines() if _key(line) not in asked)
    return _together("\n".join(lines)).strip()


def _label(exercise: Exercise, text: str) -> Marked:
    """Right where the text names the right label and no other, undenied: "不太匹配" does not name "匹配"."""
    said, gold = _own(exercise, text), _key(exercise.answers[0])
    names = sorted((_key(label) for label in exercise.labels), key=len, reverse=True)
    if (pair := tuple(sorted(names, key=len))) in POLAR or tuple(reversed(pair)) in POLAR:
        polarity = polarity_of(said, POLAR[pair] if pair in POLAR else POLAR[tuple(reversed(pair))])
        return Marked(float(polarity == gold), readable=polarity is not None)
    found = {match[0] for match in _bounded(names).finditer(said) if not _DENIAL.search(said, 0, match.start())}
    return Marked(float(found == {gold}), readable=len(found) == 1)


@cache
def _either(names: tuple[str, ...]) -> re.Pattern[str]:
    def edged(name: str) -> str:
        before = (
            r"(?<![\d.])" if name[0].isdigit() else r"(?<![a-z])" if name[0].isascii() and name[0].isalpha() else ""
        )
        after = (
            r"(?!\d|\.\d)" if name[-1].isdigit() else r"(?![a-z])" if name[-1].isascii() and name[-1].isalpha() else ""
        )
        return before + re.escape(name) + after

    return re.compile("|".join(edged(name) for name in names if name) or "(?!)")


def _bounded(names: Sequence[str]) -> re.Pattern[str]:
    """Any of the names, not within a longer number or Latin word."""
    return _either(tuple(names))


def _short(exercise: Exercise, text: str) -> Marked:
    """F1 of the facts of the right answer that the text states, and of its length; the benchmark asks a judge model.

    A fact counts where it stands word for word and is not denied; of a longer one the share of its pairs of characters
    that the prompt does not hold. An answer more than twice as long as the right one loses precision.
    """
    gold, said = _together(_key(exercise.answers[0])), _own(exercise, text)
    if not said or (_REFUSING.match(said) and not _REFUSING.match(gold)):
        return Marked(0.0, readable=bool(said))
    said = said if _DENIED.search(gold) else _DENIED.sub("", said)
    if _stated(gold, said):
        recall = 1.0
    else:
        asked = _pairs(level(exercise.prompt).casefold())
        facts = _facts(gold)
        recall = sum(_share(fact, said, asked) for fact in facts) / len(facts) if facts else 0.0
    precision = min(1.0, (2 * len(gold) + _ROOM) / max(len(said), 1))
    return Marked(2 * precision * recall / (precision + recall) if recall else 0.0)


def _facts(gold: str) -> list[str]:
    """The listed things of a right answer; 和 parts the last two of a list, and never a word such as 共和国."""
    parts = [part.strip() for part in _FACTS.split(gold)]
    if len(parts) > 1:
        parts = parts[:-1] + _LAST_TWO.split(parts[-1], maxsplit=1)
    elif (two := _LAST_TWO.split(gold, maxsplit=1)) and len(two) == 2 and len(gold) < 16:
        parts = two if min(map(len, two)) > 1 else parts
    bare = [_FILLER.sub("", part.strip(_AROUND)) for part in parts]
    return [part for part in bare if part]


def _stated(fact: str, said: str) -> bool:
    return any(not _DENIAL.search(said, 0, match.start()) for match in _bounded((fact,)).finditer(said))


def _share(fact: str, said: str, asked: Counter[str]) -> float:
    if _stated(fact, said):
        return 1.0
    measures = [one for one in quantities_in(fact) if one.dimension]
    if len(measures) == 1 and 3 * len(measures[0].text) > 2 * len(fact):  # 45-50℃ is 45至50摄氏度
        meant = measures[0]
        return float(any(agrees(one, meant) and agrees(meant, one) for one in quantities_in(said)))
    new = [pair for pair in _pairs(fact) if pair not in asked]
    if len(fact) < _LONG or not new or re.search(r"\d", fact):
        return 0.0
    held = _pairs(said)
    return sum(pair in held for pair in new) / len(new)


def _pairs(text: str) -> Counter[str]:
    return Counter(text[place : place + 2] for place in range(len(text) - 1))


def _key(text: str) -> str:
    plain = " ".join(level(text).casefold().strip(_AROUND + "\n\t").split())
    return re.sub(r"\s*:\s*", ":", plain)


def _together(text: str) -> str:
    """Without spaces between Han characters: 不 匹配."""
    return re.sub(r"(?<=[\u4e00-\u9fff]) +(?=[\u4e00-\u9fff])", "", text)


def _text(exercise: Exercise, text: str) -> Marked:
    """ROUGE-L, or sentence BLEU by characters or tokens, as the row asks for; sentence vectors need a model."""
    gold, said = exercise.answers[0], text.strip()
    if exercise.metric.endswith("bleu"):
        japanese = re.search("[\u3040-\u30ff\u4e00-\u9fff]", gold)
        right = _bleu("char" if japanese else "13a").sentence_score(said, [gold]).score / 100
        return Marked(min(right, 1.0), readable=bool(said))
    language = "zh" if re.search("[\u4e00-\u9fff]", gold) else exercise.language
    return Marked(rouge(said, gold, language).rougeL, readable=bool(tokens_of(said, language)))


@cache
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenizer, lowercase=True, effective_order=True)


_MARKERS: Mapping[str, Callable[[Exercise, str], Marked]] = {
    "choice": _choice,
    "retrieval": _retrieval,
    "ranking": _ranking,
    "entities": _entities,
    "label": _label,
    "text": _text,
    "short": _short,
}
