"""Can a language model tell the reviews that the model writes from the shop's own, by how probable it finds them?

    {"text": "Keeps the tea hot ...", "fast_detect_gpt": 3.1, "fast_detect_gpt_reference": -0.4, ...}

White box: its maker scores both texts after what the model read before it wrote, of some cases also in disguise. Black
box: a platform does not know the prompt, and scores the texts alone with other models. Each model reads a text once for
all detectors. The texts are those of `platform`, asked for in the same words, so that none is written twice.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from shoplm_audit import (
    DISGUISES,
    LEAST_TOKENS,
    LOG_PROB,
    READ_BY_DETECTORS,
    Case,
    Gate,
    Material,
    Metric,
    Observing,
    Pair,
    Probe,
    Score,
    TokenScores,
    Unsupported,
    among,
    auroc_of,
    balanced,
    detections,
    disguise,
    first_tokens,
    joined,
    rate_of,
    tpr_at_fpr_of,
    two_sided,
)

from .platform import cases, write

ENDS = (25, 50, 100, 200)  # tokens: where the lengths end of which numbers are told apart
BEST = "fast_detect_gpt"
DISGUISED = 96  # cases whose text is read in every disguise too
ATTACKED = (BEST, "likelihood")
DETECTORS = ("likelihood", "log_rank", "lrr", "rank", "entropy", BEST, *(f"{BEST}_first_{end}" for end in ENDS))


def cases_with(role: str, what: str) -> Callable[[Material], list[Case]]:
    """The same cases, where a model was given for the role."""

    def made(material: Material) -> list[Case]:
        if role not in material.roles:
            raise Unsupported(f"give {what} with --with {role}=SPEC")
        return cases(material)

    return made


def prompted_cases(material: Material) -> list[Case]:
    """The same cases, with what the model reads of the prompt: by its chat template, where it has one."""
    return [replace(case, facts={**case.facts, "read": material.read(case.prompt)}) for case in cases(material)]


def disguised_cases(material: Material) -> list[Case]:
    """The same, of which some are read in disguise; the others' references serve the threshold."""
    every = prompted_cases(material)
    some = {case.id for case in balanced(every, min(material.limit or DISGUISED, DISGUISED), material.seed)}
    return [replace(case, facts={**case.facts, "disguised": case.id in some}) for case in every]


def behind(case: Case, text: str) -> Pair:
    """A text where the model wrote it: at once behind a chat template, after a blank behind a bare English prompt."""
    read = case.facts["read"]
    return Pair(read, joined("", text, case.language) if read == case.prompt.flat else text)


def said_of(generated: TokenScores, reference: TokenScores) -> dict[str, float | None]:
    """What each detector says of both texts, or that they are too short to be told apart."""
    shorter = min(generated.log_prob.size, reference.log_prob.size)
    values: dict[str, float | None] = {f"under_{LEAST_TOKENS}_tokens": shorter < LEAST_TOKENS}
    if shorter < LEAST_TOKENS:
        return values
    for of, scores in (("", generated), ("_reference", reference)):
        found = detections(scores)
        if BEST in found:
            # What stands first was scored without what follows, so a beginning needs no pass of its own.
            beginnings = {end: first_tokens(scores, end) for end in ENDS if end <= shorter}
            found |= {f"{BEST}_first_{end}": detections(one)[BEST] for end, one in beginnings.items()}
        values |= {f"{name}{of}": None if math.isnan(value) else value for name, value in found.items()}
    return values


def score_by(role: str, *, beside: str = "", prompted: bool = False) -> Callable[[Case], Observing]:
    """Has a review written, and both texts scored by the model of a role, once for all detectors."""

    def observe(case: Case) -> Observing:
        seen = yield from write(case)
        texts = [str(seen[key]) or " " for key in ("text", "text_reference")]
        pairs = [behind(case, text) if prompted else Pair("", text) for text in texts]
        try:
            scores = yield [Score(pair, READ_BY_DETECTORS, role, beside) for pair in pairs]
        except Unsupported:  # a server that tells of each token how probable it is, and nothing of the others
            if beside:
                raise
            scores = yield [Score(pair, role=role) for pair in pairs]
        return {**seen, **said_of(*scores)}

    return observe


def score_disguised(case: Case) -> Observing:
    """The maker's view, and for some cases the generated text once more in each disguise."""
    seen = yield from score_by("model", prompted=True)(case)
    if not case.facts["disguised"] or seen[f"under_{LEAST_TOKENS}_tokens"]:
        return seen
    text, found = str(seen["text"]), {}
    for kind, how in DISGUISES.items():
        if case.language in how.languages:
            rng = np.random.default_rng(zlib.crc32(text.encode("utf-8", "surrogatepass")))
            found[kind] = behind(case, disguise(kind, text, case.language, rng))
    columns = READ_BY_DETECTORS if seen.get(BEST) is not None else LOG_PROB
    scores = yield [Score(pair, columns) for pair in found.values()]
    said = {
        f"{name}_{kind}": value
        for kind, one in zip(found, scores, strict=True)
        for name, value in detections(one).items()
        if name in ATTACKED
    }
    return {**seen, **{name: None if math.isnan(value) else value for name, value in said.items()}}


def metrics_disguised() -> list[Metric]:
    """AUROC and true positive rate of disguised texts against the people's as they are."""
    told = []
    for kind, how in DISGUISES.items():
        for name in ATTACKED:
            scorer = two_sided(
                f"{name}_{kind}", reference=f"{name}_reference", only="disguised", languages=how.languages
            )
            whole = auroc_of(scorer, name=f"auroc_{name}_disguised_{kind}", better="higher")
            rate = tpr_at_fpr_of(scorer, 0.05, name=f"tpr_{name}_disguised_{kind}_at_5_percent_fpr", better="higher")
            told += [among(whole, having=name), among(rate, having=name)]
    return told


def metrics_of(names: Mapping[str, str], best: str) -> list[Metric]:
    """AUROC of each detector and the true positive rate of the best documented one, over texts of enough tokens.

    Args:
        names: what a metric calls a column.
        best: the column of the best documented detector.
    """
    rate = tpr_at_fpr_of(two_sided(best), 0.01, name=f"tpr_{names[best]}_at_1_percent_fpr", better="higher")
    curves = [
        among(auroc_of(two_sided(column), name=f"auroc_{name}", better="higher"), having=column)
        for column, name in names.items()
    ]
    return [*curves, among(rate, having=best)]


PROBES: list[Probe] = [
    Probe(
        "maker",
        prompted_cases,
        score_by("model", prompted=True),
        [
            *metrics_of({one: one for one in DETECTORS}, BEST),
            rate_of(f"under_{LEAST_TOKENS}_tokens", better="lower"),
        ],
    ),
    Probe("maker_disguised", disguised_cases, score_disguised, metrics_disguised()),
    Probe(
        "independent",
        cases_with("reference", "an independent language model"),
        score_by("reference"),
        metrics_of({one: f"{one}_independent" for one in DETECTORS}, BEST),
    ),
    Probe(
        "binoculars",
        cases_with("second", "another model of the audited one's tokenizer"),
        score_by("model", beside="second"),
        metrics_of({"binoculars": "binoculars", BEST: f"{BEST}_beside_second"}, "binoculars"),
    ),
]
GATES: list[Gate] = []
