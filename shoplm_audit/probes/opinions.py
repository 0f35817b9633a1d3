"""Sentences that the ledger leaves open are put to a second model: an entailment classifier or a judge, with its error.

    entailment_probe([ratio_of("open_entailed", "open_entailed", "open_sentences", better="higher")])
    -> values {"open_sentences": 2, "open_entailed": 1, "opinion_caught": True, "opinion_cleared": True, ...}

The second model is tried on the shop's own texts in the same cases: it has to refuse a sentence with an injected error,
and to accept the same sentence as it was. It decides nothing by itself: no gate rests on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

from shoplm_audit.models.classifier import PARTED
from shoplm_audit.probes.describing import Catalogue, Known, Trial, description_cases
from shoplm_audit.types import (
    Case,
    Generate,
    Material,
    Metric,
    Observing,
    Pair,
    Probe,
    Prompt,
    Request,
    Sampling,
    Score,
)

__all__ = ["entailment_probe", "judge_probe"]

_CASES = 60
_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?](?=\s|$)|[。！？\n]|$)")
_KIND = "value"

_Opinion: TypeAlias = Generator[list[Request], list[Any], list[bool]]
_Ask: TypeAlias = Callable[[Sequence[str], Mapping[str, str], str], _Opinion]

_JUDGE = {
    "en": "Product record: {record}.\nSentence: {sentence}\nDoes the record say everything that this sentence states? "
    "Answer yes or no.\nAnswer:",
    "zh": "商品信息：{record}。\n句子：{sentence}\n句子所说的，商品信息里都有吗？只回答“是”或“否”。\n回答：",
}


def _told(record: Mapping[str, str], language: str) -> str:
    if language == "zh":
        return "，".join(f"{name}：{value}" for name, value in record.items())
    return "; ".join(f"{name}: {value}" for name, value in record.items())


def _entailment(sentences: Sequence[str], record: Mapping[str, str], language: str) -> _Opinion:
    """The three labels of natural language inference, or two: entailed where that is the most probable."""
    pairs = [(_told(record, language), sentence) for sentence in sentences]
    scores = yield [
        Score(Pair(PARTED.join(pair), label), role="entailment")
        for pair in pairs
        for label in ("entailment", "contradiction")
    ]
    return [first.total > second.total for first, second in zip(scores[::2], scores[1::2], strict=True)]


def _judge(sentences: Sequence[str], record: Mapping[str, str], language: str) -> _Opinion:
    """Yes or no in writing; anything else is no opinion and counts as no."""
    asks = [_JUDGE[language].format(record=_told(record, language), sentence=one) for one in sentences]
    texts = yield [Generate(Prompt(ask), Sampling(4), role="judge") for ask in asks]
    return [text.strip().casefold().startswith(("yes", "是")) for text in texts]


def _sentences(text: str) -> list[tuple[int, int, str]]:
    return [(m.start(), m.end(), m[0].strip()) for m in _SENTENCE.finditer(text) if m[0].strip()]


def _open(text: str, case: Case, catalogue: Catalogue) -> list[str]:
    """The sentences with a claim that the record does not settle."""
    claims = [c for c in catalogue.check(text, case).claims if c.verdict in ("unsupported", "uncheckable")]
    return [one for start, end, one in _sentences(text) if any(start <= claim.start < end for claim in claims)]


def _twin(untouched: Trial, wrong: Trial) -> tuple[str, str] | None:
    """The first sentence that an injected error changed: as it was, and as it is."""
    before, after = (_sentences(trial.text) for trial in (untouched, wrong))
    if len(before) != len(after):
        return None
    return next(((old[2], new[2]) for old, new in zip(before, after, strict=True) if old[2] != new[2]), None)


def _probe(name: str, ask: _Ask, metrics: Sequence[Metric]) -> Probe:
    known = Known()

    def cases(material: Material) -> list[Case]:
        return list(description_cases(material, known, most=_CASES))

    def observe(case: Case) -> Observing:
        text = yield Generate(case.prompt, Sampling(max_new_tokens=120, stop=("\n\n",)))
        catalogue = known.of(case)
        left = _open(text, case, catalogue)
        untouched = catalogue.trial(case, "none") if case.reference else None
        wrong = catalogue.trial(case, _KIND) if case.reference else None
        twin = _twin(untouched, wrong) if untouched and wrong else None
        asked = [*left, *(twin or ())]
        opinions = (yield from ask(asked, case.facts["record"], case.language)) if asked else []
        return {
            "text": text,
            "open_sentences": len(left),
            "open_entailed": sum(opinions[: len(left)]),
            "opinion_cleared": opinions[-2] if twin else None,
            "opinion_caught": not opinions[-1] if twin else None,
        }

    return Probe(name, cases, observe, metrics)


def entailment_probe(metrics: Sequence[Metric]) -> Probe:
    """Asks the role `entailment`, a classifier of sentence pairs with the labels "entailment" and "contradiction".

    Values: `open_sentences`, `open_entailed` (counts); of the shop's own text `opinion_caught` (its sentence with an
    injected error is not entailed) and `opinion_cleared` (the sentence as it was is), None where there is none.
    """
    return _probe("entailment", _entailment, metrics)


def judge_probe(metrics: Sequence[Metric]) -> Probe:
    """Asks the role `judge`, any model that writes, for yes or no; values as of `entailment_probe`."""
    return _probe("judge", _judge, metrics)
