"""One set of laws for every metric builder that the package exports."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import shoplm_audit.metrics
from shoplm_audit.data.cues import dialects
from shoplm_audit.metrics.accountability import bounded_rate_of, rate_unaccounted_of
from shoplm_audit.metrics.among import among, beyond
from shoplm_audit.metrics.classifying import brier_of, ece_of, macro_f1_of, mcc_of, recall_of, selective_risk_of
from shoplm_audit.metrics.corrected import corrected_rate_of
from shoplm_audit.metrics.detection import (
    auroc_of,
    flagged_contrast_of,
    label_auroc_of,
    scored,
    supervised,
    tpr_at_fpr_of,
    two_sided,
)
from shoplm_audit.metrics.diversity import distinct_of, self_bleu_of, shared_8_grams_of
from shoplm_audit.metrics.epsilon import epsilon_gaussian_of, epsilon_of, epsilon_of_attacks
from shoplm_audit.metrics.fairness import contrast_of, paired_contrast_of
from shoplm_audit.metrics.groups import demographic_parity_of, equalized_odds_of, fpr_difference_of
from shoplm_audit.metrics.intersections import worst_group_of
from shoplm_audit.metrics.leakage import (
    blind_auroc_of,
    excess_of,
    exposure_gap_of,
    extractable_of,
    extrapolated_exposure_of,
    membership_auroc_of,
    membership_tpr_of,
)
from shoplm_audit.metrics.marking import forecast_of, telling_why
from shoplm_audit.metrics.overlap import overlap_gap_of
from shoplm_audit.metrics.quality import bleu_of, perplexity_per_byte_of
from shoplm_audit.metrics.ranking import hit_rate_of, mrr_of, ndcg_of
from shoplm_audit.metrics.reduce import f1_of, mean_of, over_column, rate_of, ratio_of, sums_of
from shoplm_audit.metrics.saturated import unless_saturated
from shoplm_audit.metrics.shadows import by_shadows
from shoplm_audit.metrics.stereotypes import accuracy_gap_of, bias_score_of, stereoset_of
from shoplm_audit.metrics.trials import tried
from shoplm_audit.types import Case, Estimate, Metric, Observation, Observations

WORDS = [
    "navy",
    "kettle",
    "steel",
    "holds",
    "water",
    "litres",
    "boils",
    "quick",
    "strap",
    "broke",
    "two",
    "days",
    "soft",
    "cotton",
    "warm",
    "light",
]
RARE = ["zinc", "quartz", "violet", "oak", "pearl", "amber", "cobalt", "maple", "silk", "onyx"]


def _sentence(rng: np.random.Generator, words: list[str] = WORDS, length: int = 12) -> str:
    return " ".join(rng.choice(words, length))


def _case(i: int, rng: np.random.Generator, **more: Any) -> Case:
    return Case(f"c{i}", cluster=f"k{i}", language=("en", "zh")[i % 2], **more)


def _rows(count: int, row: Callable[[int, np.random.Generator, float], tuple[Case, dict[str, Any]]]):
    """Data by fault: 0 is a fair model, more is a worse one; the cases stay the same."""

    def make(fault: float) -> Observations:
        found = [row(i, np.random.default_rng([9, i]), fault) for i in range(count)]
        return Observations(tuple(Observation(case, values) for case, values in found))

    return make


def _hit(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    return _case(i, rng), {"good": bool(rng.random() < 0.8 - fault), "bad": bool(rng.random() < 0.2 + fault)}


def _fair(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Both columns are true by chance alike; the fault adds to one of them."""
    return _case(i, rng), {"good": bool(rng.random() < 0.2), "bad": bool(rng.random() < 0.2 + fault)}


def _number(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    wrong = int(rng.binomial(6, 0.15 + fault / 2))
    return _case(i, rng), {
        "x": float(rng.beta(6, 3) - fault * rng.random()),
        "wrong": wrong,
        "claims": 6,
        "bytes": 80 + i % 9,
    }


def _text(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    words = _sentence(rng).split()
    swap = rng.random(len(words)) < 0.2 + fault
    written = [str(rng.choice(RARE)) if bad else word for word, bad in zip(words, swap, strict=True)]
    return replace(_case(i, rng, reference=" ".join(words)), language="en"), {"text": " ".join(written)}


def _label(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    truth = ("positive", "negative")[i // 2 % 2]
    other = {"positive": "negative", "negative": "positive"}[truth]
    return _case(i, rng, reference=truth), {"label": truth if rng.random() < 0.85 - fault else other}


def _sure(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Sure, and right about as often as it is sure; by the fault it is less often right."""
    sure = float(rng.uniform(0.75, 1.0))
    right = bool(rng.random() < sure - fault)
    return _case(i, rng), {"sure": sure, "right": right, "so": right}


def _placed(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    rank = 1 + int(rng.geometric(0.5) - 1) + int(rng.integers(0, 9) * (rng.random() < 2 * fault))
    return _case(i, rng), {"rank": None if rank > 9 else rank}


def _counted(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    hits = int(rng.binomial(5, 0.8 - fault))
    return _case(i, rng), {"hits": hits, "false": int(rng.binomial(2, 0.2 + fault)), "missed": 5 - hits}


def _checked(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """What a checker found, the share of 8 injected errors that it caught, and whether it cried wolf."""
    caught, alarmed = float(rng.binomial(8, 0.9)) / 8, bool(rng.random() < 0.06)
    return _case(i, rng), {"bad": bool(rng.random() < 0.15 + fault), "caught": caught, "tried": 8, "alarmed": alarmed}


def _written(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Texts of their own; by the fault they are one template."""
    own = _sentence(rng, [f"{a}{b}{c}" for a in WORDS for b in RARE for c in "uvwxyz"], 14)
    template = f"a {rng.choice(WORDS)} that you will love for many years and longer"
    return replace(_case(i, rng), language="en"), {"text": template if rng.random() < 0.1 + 2 * fault else own}


def _sides(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    values = {"s": rng.normal(1.5 - 2 * fault), "s_reference": rng.normal()}
    own = _sentence(rng, RARE if rng.random() < 0.7 - fault else WORDS)
    return _case(i, rng), values | {"text": own, "text_reference": _sentence(rng)}


def _member(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    inside = bool(rng.random() < 0.5)
    facts = {"member": inside, "inserted": inside, "coin": "fair", "epsilon": 2.0, "delta": 1e-5}
    score = float(rng.normal(0.5 * inside) + 6 * fault * rng.random() * inside)
    return _case(i, rng, facts=facts), {"score": score, "exposure": 1.4 + score, "text": _sentence(rng)}


def _recited(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Members recite by the fault; a record in six is too short to tell."""
    case, values = _member(i, rng, 0.0)
    back = bool(rng.random() < 0.1 + 2 * fault * case.facts["member"])
    told = {"recalled": None, "nats": None} if i % 6 == 5 else {"recalled": back, "nats": -5.0 if back else -90.0}
    return case, values | told


def _canary(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    case, values = _member(i, rng, 0.0)
    others = -40 - 3 * rng.gamma(16, 0.25, size=63)
    nats = float(-40 - 3 * rng.gamma(16, 0.25) + 30 * fault * case.facts["inserted"])
    told = {"nats": nats, "others": json.dumps(others.round(4).tolist()), "rank": 1, "candidates": 64, "exact": False}
    return replace(case, facts=dict(case.facts) | {"space": 1e9}), values | told


def _shadowed(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    case, values = _member(i, rng, fault)
    hard = float(rng.normal(0, 3))
    inside, outside = (rng.normal(hard + shift, 1, 4).tolist() for shift in (2, 0))
    told = {
        "loss": values["score"] + hard,
        "shadows_inside": json.dumps(inside),
        "shadows_outside": json.dumps(outside),
    }
    return case, values | told


def _shifted(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Members whose texts themselves tell them apart, by the fault."""
    case, values = _member(i, rng, fault)
    own = case.facts["member"] and rng.random() < 0.2 + fault
    return case, values | {"text": _sentence(rng, RARE if own else WORDS)}


def _hesitant(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    case, values = _named(i, rng, fault)
    return case, values | {"surest": 0.6}


def _leaning(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """An answer: 1 with the stereotype, -1 against it, 0 for "unknown"; by the fault more of the second."""
    first = 0.35 - fault
    return _case(i, rng), {"leaning": int(rng.choice([1, -1, 0], p=[first, 0.7 - first, 0.3]))}


def _termed(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Which sentences won, two items of a target term; by the fault more stereotypes and fewer sensible ones."""
    case = replace(_case(i, rng), cluster=f"term{i // 2}")
    return case, {"pro": bool(rng.random() < 0.55 + fault), "related": int(rng.binomial(2, 0.9 - 2 * fault))}


def _pronoun(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    condition = ("pro", "anti")[i // 2 % 2]
    right = rng.random() < 0.75 - 2 * fault * (condition == "pro")
    return _case(i, rng, facts={"condition": condition}), {"right": bool(right)}


def _certain(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """The room that a text of 50 tokens leaves a mark; by the fault its words are more certain."""
    return _case(i, rng), {"spike": float(40 * (rng.uniform(0.7, 0.9) - fault)), "counted": 40, "tokens": 50}


def _twin(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """A sentence in two spellings; by the fault one of them is worth less."""
    variety = ("standard", "aae")[i % 2]
    worth = rng.normal(0.5, 0.1) - 2 * fault * rng.random() * (variety == "aae")
    return replace(_case(i // 2, rng, groups={"variety": variety}), id=f"c{i}"), {"worth": float(worth)}


def _flagged(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """By the fault honest reviews of one variety are flagged."""
    variety, bad = ("standard", "aae")[i // 2 % 2], i // 4 % 2 == 0
    flagged = rng.random() < (0.85 if bad else 0.15 + 2 * fault * (variety == "aae"))
    return _case(i, rng, groups={"variety": variety}, facts={"bad": bad}), {"flagged": bool(flagged)}


def _listed(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Titles of one liking for all, and by the fault of the opposite one for women."""
    group = ("female", "male")[i // 2 % 2]
    liking = np.arange(6) * (1 - 5 * fault * (group == "female")) + rng.normal(0, 1.5, 6)
    return _case(i, rng, groups={"gender": group}), {"ranking": " ".join(map(str, np.argsort(-liking)))}


PACK = sorted({w for one in dialects("en") if one.variety == "aae" for w in f"{one.standard} {one.changed}".split()})


def _flagging(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """By the fault, generated texts read like the standard sentences of the pack; references have words of both."""
    standard = ["is", "are", "has", "am", "do", "does", "always", "because", "any"]
    own = _sentence(rng, standard if rng.random() < 2 * fault else RARE)
    return replace(_case(i, rng), language="en"), {"text": own, "text_reference": _sentence(rng, PACK)}


def _faked(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    """Fake reviews by the fault; now and then one carries a mark."""
    values = {"fake": bool(rng.random() < 0.1 + 2 * fault), "marked": bool(rng.random() < 0.2)}
    return _case(i, rng), values | {"draft": _sentence(rng)}


def _named(i: int, rng: np.random.Generator, fault: float) -> tuple[Case, dict[str, Any]]:
    group = ("female", "male")[i // 2 % 2]
    offer = rng.normal(0.5, 0.1) - 2 * fault * rng.random() * (group == "female")
    return _case(i, rng, groups={"gender": group}), {"offer": float(offer)}


@dataclass(frozen=True)
class Subject:
    """A metric, data for it, and which of its values a nan is planted in."""

    metric: Metric
    data: Callable[[float], Observations]
    column: str
    classes: str = ""  # the fact, group or reference that divides cases into classes
    sided: bool = True  # whether its paired difference has an interval


SUBJECTS: dict[str, list[Subject]] = {
    "rate_of": [
        Subject(rate_of("good", better="higher"), _rows(80, _hit), "good"),
        Subject(rate_of("bad", better="lower"), _rows(80, _hit), "bad"),
    ],
    "mean_of": [
        Subject(mean_of("x", better="higher", worst=0.0), _rows(60, _number), "x"),
        Subject(mean_of("x", better="higher"), _rows(60, _number), "x"),
    ],
    "ratio_of": [Subject(ratio_of("wrong_per_claim", "wrong", "claims", better="lower"), _rows(60, _number), "wrong")],
    "sums_of": [
        Subject(
            sums_of("root", lambda o: np.column_stack([o.numbers("x"), np.ones(len(o))]),
                    lambda s: np.sqrt(np.maximum(s[:, 0], 0) / s[:, 1]), better="higher"),
            _rows(60, _number), "x",
        )
    ],
    "bleu_of": [Subject(bleu_of("text"), _rows(40, _text), "")],
    "macro_f1_of": [
        Subject(macro_f1_of("label", ("positive", "negative"), name="f1"), _rows(80, _label), "", "reference")
    ],
    "perplexity_per_byte_of": [
        Subject(perplexity_per_byte_of("nats", "bytes"),
                lambda fault: _with(_rows(60, _number)(fault), nats=lambda v: -100.0 + 40 * v["x"]), "nats")
    ],
    "tried": [Subject(tried(rate_of("good", better="higher"), lambda *_: 1.0, best=1.0), _rows(80, _hit), "good")],
    "f1_of": [Subject(f1_of("f1", hits="hits", false="false", missed="missed"), _rows(60, _counted), "hits")],
    "mcc_of": [Subject(mcc_of("label", ("positive", "negative"), name="m"), _rows(80, _label), "", "reference")],
    "recall_of": [Subject(recall_of("label", "positive", name="r"), _rows(160, _label), "")],
    "ece_of": [
        Subject(ece_of("sure", "right", name="e"), _rows(160, _sure), "sure"),
        Subject(ece_of("sure", "right", name="e", bins="equal mass"), _rows(160, _sure), "right"),
    ],
    "brier_of": [Subject(brier_of("sure", "so", name="b"), _rows(80, _sure), "sure")],
    "selective_risk_of": [Subject(selective_risk_of("sure", "right", 0.8, name="s"), _rows(160, _sure), "sure")],
    "corrected_rate_of": [
        Subject(corrected_rate_of("bad", caught="caught", alarmed="alarmed", name="c"), _rows(240, _checked), "bad")
    ],
    "hit_rate_of": [Subject(hit_rate_of("rank", 3, name="h"), _rows(160, _placed), "rank")],
    "mrr_of": [Subject(mrr_of("rank", name="m"), _rows(80, _placed), "rank")],
    "ndcg_of": [Subject(ndcg_of("rank", 5, name="n"), _rows(80, _placed), "rank")],
    "distinct_of": [
        Subject(distinct_of("text", 1, name="d"), _rows(60, _written), ""),
        Subject(distinct_of("text", 2, name="d"), _rows(60, _written), ""),
    ],
    "self_bleu_of": [Subject(self_bleu_of("text", name="s"), _rows(60, _written), "")],
    "shared_8_grams_of": [Subject(shared_8_grams_of("text", name="s"), _rows(60, _written), "")],
    "auroc_of": [
        Subject(auroc_of(two_sided("s"), name="a", better="higher"), _rows(60, _sides), "s"),
        Subject(auroc_of(scored("score", "member"), name="a", better="lower"), _rows(80, _member), "score", "member"),
    ],
    "tpr_at_fpr_of": [
        Subject(tpr_at_fpr_of(two_sided("s"), 0.01, name="t", better="higher"), _rows(640, _sides), "s", sided=False),
        Subject(
            tpr_at_fpr_of(
                supervised("text"), 0.05, name="t", better="higher", disguised=supervised("text", disguised="emoji")
            ),
            _rows(160, _sides),
            "",
            sided=False,
        ),
    ],
    "label_auroc_of": [
        Subject(label_auroc_of("text", name="d", better="higher"), _rows(60, _sides), ""),
        Subject(
            label_auroc_of("text", name="d", better="higher", kind="characters", bucket=(10, 25)),
            _rows(120, _sides),
            "",
        ),
    ],
    "flagged_contrast_of": [
        Subject(flagged_contrast_of("text", "aae", "en"), _rows(200, _flagging), "", sided=False)
    ],
    "paired_contrast_of": [
        Subject(paired_contrast_of("worth", "variety", "aae", "standard"), _rows(80, _twin), "worth", "variety")
    ],
    "worst_group_of": [Subject(worst_group_of("offer", ("gender",)), _rows(160, _named), "offer", "gender")],
    "fpr_difference_of": [
        Subject(fpr_difference_of("flagged", "variety", "bad"), _rows(400, _flagged), "flagged", "variety")
    ],
    "demographic_parity_of": [
        Subject(demographic_parity_of("flagged", "variety"), _rows(400, _flagged), "flagged", "variety")
    ],
    "equalized_odds_of": [
        Subject(equalized_odds_of("flagged", "variety", "bad"), _rows(400, _flagged), "flagged", "variety")
    ],
    "overlap_gap_of": [
        Subject(overlap_gap_of("ranking", "gender", "female", "male"), _rows(80, _listed), "", "gender")
    ],
    "bias_score_of": [
        Subject(bias_score_of("leaning", "ambiguous", name="b"), _rows(240, _leaning), "leaning"),
        Subject(bias_score_of("leaning", "disambiguated", name="b"), _rows(240, _leaning), "leaning"),
    ],
    "stereoset_of": [
        Subject(stereoset_of("lms", name="l"), _rows(240, _termed), "related"),
        Subject(stereoset_of("ss", name="s"), _rows(240, _termed), "pro"),
        Subject(stereoset_of("icat", name="i"), _rows(240, _termed), "related"),
    ],
    "accuracy_gap_of": [Subject(accuracy_gap_of("right", name="g"), _rows(240, _pronoun), "right", "condition")],
    "bounded_rate_of": [
        Subject(bounded_rate_of("bad", better="lower", reader=((23, 26), (30, 32))), _rows(160, _hit), "bad")
    ],
    "telling_why": [Subject(telling_why(rate_of("good", better="higher")), _rows(80, _hit), "good")],
    "unless_saturated": [
        Subject(
            unless_saturated(contrast_of("offer", "gender", "female", "male"), "surest"),
            _rows(80, _hesitant),
            "offer",
            "gender",
        )
    ],
    "forecast_of": [Subject(forecast_of("f", false_positives=0.01), _rows(80, _certain), "spike")],
    "rate_unaccounted_of": [
        Subject(rate_unaccounted_of("fake", marked="marked", text="draft"), _rows(80, _faked), "fake")
    ],
    "contrast_of": [
        Subject(contrast_of("offer", "gender", "female", "male"), _rows(80, _named), "offer", "gender")
    ],
    "exposure_gap_of": [Subject(exposure_gap_of("exposure", "inserted"), _rows(80, _member), "exposure", "inserted")],
    "blind_auroc_of": [Subject(blind_auroc_of("text", "member"), _rows(100, _shifted), "", "member")],
    "membership_auroc_of": [
        Subject(membership_auroc_of("score", "member", "text"), _rows(80, _member), "score", "member")
    ],
    "membership_tpr_of": [
        Subject(membership_tpr_of("score", "member", "text", 0.01, name="t"), _rows(1400, _member), "score", "member",
                sided=False)
    ],
    "excess_of": [Subject(excess_of("recalled", "member"), _rows(160, _recited), "recalled", "member")],
    "extractable_of": [
        Subject(extractable_of("nats", "member", draws=1000, chance=0.5), _rows(160, _recited), "nats", "member")
    ],
    "extrapolated_exposure_of": [Subject(extrapolated_exposure_of("inserted"), _rows(80, _canary), "nats")],
    "beyond": [Subject(beyond("bad", "good", name="excess_bad"), _rows(80, _fair), "", sided=True)],
    "among": [Subject(among(rate_of("bad", better="lower"), having="bad"), _rows(80, _hit), "bad")],
    "over_column": [
        Subject(
            over_column(
                mean_of("doubled", better="higher", worst=0.0),
                "doubled",
                lambda row: None if row.values.get("x") is None else 2 * float(row.values["x"] or 0),
                name="mean_doubled",
                signature="mean|2x",
            ),
            _rows(60, _number),
            "x",
        )
    ],
    "by_shadows": [
        Subject(by_shadows(membership_auroc_of("likelihood_ratio", "member", "text")), _rows(80, _shadowed), "loss",
                "member")
    ],
    "epsilon_of": [Subject(epsilon_of("score", "member"), _rows(80, _member), "score", "member", sided=False)],
    "epsilon_gaussian_of": [
        Subject(epsilon_gaussian_of("score", "member"), _rows(80, _member), "score", "member", sided=False)
    ],
    "epsilon_of_attacks": [
        Subject(epsilon_of_attacks(["score", "exposure"], "member"), _rows(160, _member), "score", "member",
                sided=False)
    ],
}  # fmt: skip


def _with(observations: Observations, **columns: Callable[[Any], Any]) -> Observations:
    return Observations(
        tuple(replace(r, values=dict(r.values) | {k: f(r.values) for k, f in columns.items()}) for r in observations)
    )


def builders() -> Iterator[str]:
    for module in pkgutil.iter_modules(shoplm_audit.metrics.__path__):
        home = importlib.import_module(f"shoplm_audit.metrics.{module.name}")
        for name in home.__all__:
            member = getattr(home, name)
            if callable(member) and not isinstance(member, type):
                try:
                    returned = typing.get_type_hints(member).get("return")
                except NameError:
                    returned = None
                if returned is Metric:
                    yield name


def test_every_exported_builder_stands_under_these_laws() -> None:
    assert set(builders()) == set(SUBJECTS)


ALL = [pytest.param(s, id=f"{name}{i or ''}") for name, subjects in SUBJECTS.items() for i, s in enumerate(subjects)]
every_metric = pytest.mark.parametrize("subject", ALL)
metrics_of_classes = pytest.mark.parametrize("subject", [s for s in ALL if s.values[0].classes])
metrics_of_numbers = pytest.mark.parametrize("subject", [s for s in ALL if s.values[0].column])


def _told(metric: Metric, observations: Observations) -> Estimate:
    return metric.estimate(observations, 0.95, np.random.default_rng(0))


def _close(one: float, other: float) -> bool:
    return (
        one == other or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    )


def _worse(metric: Metric, value: float, than: float) -> bool:
    if metric.better == "zero":
        return abs(value) >= abs(than) - 1e-9
    return value >= than - 1e-9 if metric.better == "lower" else value <= than + 1e-9


@every_metric
def test_the_value_lies_within_its_interval(subject: Subject) -> None:
    found = _told(subject.metric, subject.data(0.1))
    assert found.low <= found.value <= found.high
    assert found.n > 0
    assert found.method


@every_metric
def test_the_order_of_rows_changes_nothing(subject: Subject) -> None:
    data = subject.data(0.1)
    first, second = (
        _told(subject.metric, rows) for rows in (data, data.take(np.random.default_rng(5).permutation(len(data))))
    )
    assert all(_close(getattr(first, key), getattr(second, key)) for key in ("value", "low", "high", "n"))


@every_metric
def test_repeated_rows_of_a_cluster_narrow_nothing(subject: Subject) -> None:
    data = subject.data(0.1)
    again = tuple(replace(row, case=replace(row.case, id=f"{row.case.id}/{k}")) for k in range(4) for row in data)
    once, four = _told(subject.metric, data), _told(subject.metric, Observations(again))
    assert four.n == once.n
    if math.isfinite(once.high):
        assert four.high - four.low >= 0.98 * (once.high - once.low)  # a bootstrap draws anew
    if subject.metric.name.startswith("epsilon"):
        assert four.low == once.low


def test_repeated_rows_do_not_make_a_calibration_sample_large_enough() -> None:
    subject = SUBJECTS["tpr_at_fpr_of"][0]
    few = subject.data(0.1).take(range(200))
    again = tuple(replace(row, case=replace(row.case, id=f"{row.case.id}/{k}")) for k in range(4) for row in few)
    assert math.isnan(_told(subject.metric, Observations(again)).value)


@every_metric
def test_no_cases_are_undefined(subject: Subject) -> None:
    found = _told(subject.metric, Observations(()))
    assert all(math.isnan(x) for x in (found.value, found.low))
    assert found.n == 0
    change = subject.metric.difference(Observations(()), Observations(()), 0.95, np.random.default_rng(0))
    assert math.isnan(change.low)


@metrics_of_classes
def test_one_class_is_undefined(subject: Subject) -> None:
    def of(row: Observation) -> Any:
        return row.case.reference if subject.classes == "reference" else row.case.of(subject.classes)

    data = subject.data(0.1)
    found = _told(subject.metric, Observations(tuple(row for row in data if of(row) == of(data.rows[0]))))
    assert math.isnan(found.value)
    assert math.isnan(found.low)


@metrics_of_numbers
def test_a_nan_in_the_column_is_undefined_and_not_skipped(subject: Subject) -> None:
    rows = list(subject.data(0.1))
    rows[7] = replace(rows[7], values=dict(rows[7].values) | {subject.column: math.nan})
    data = Observations(tuple(rows))
    found = _told(subject.metric, data)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(subject.metric.difference(data, data, 0.95, np.random.default_rng(0)).low)


@every_metric
@pytest.mark.parametrize("status", ["errored", "unparsed"])
def test_a_case_without_an_answer_counts_against_the_model(subject: Subject, status: str) -> None:
    data = subject.data(0.1)
    before = _told(subject.metric, data).value
    for seed in range(4):
        lost = set(np.random.default_rng(seed).permutation(len(data))[:5].tolist())
        # What could not be read stays in the evidence, as the driver leaves it there.
        rows = [
            replace(row, status=status, values={"text": row.values.get("text", "")}) if i in lost else row
            for i, row in enumerate(data)
        ]
        after = _told(subject.metric, Observations(tuple(rows)))
        assert math.isnan(after.value) or _worse(subject.metric, after.value, before)
        assert math.isnan(after.value) == math.isnan(after.low) or subject.metric.name.startswith("epsilon")


@every_metric
def test_a_run_does_not_differ_from_itself(subject: Subject) -> None:
    data = subject.data(0.1)
    change = subject.metric.difference(data, data, 0.95, np.random.default_rng(0))
    assert change.value == 0 or math.isnan(change.value)
    assert not (change.low > 0)
    assert not (change.high < 0)


@every_metric
def test_a_planted_improvement_has_the_right_sign_and_is_shown(subject: Subject) -> None:
    bad, good = subject.data(0.3), subject.data(0.0)
    change = subject.metric.difference(bad, good, 0.95, np.random.default_rng(0))
    value = _told(subject.metric, good).value - _told(subject.metric, bad).value
    assert math.isclose(change.value, value, abs_tol=1e-9)
    assert (change.value > 0) == (subject.metric.better == "higher" or subject.metric.better == "zero")
    if subject.sided:
        assert change.low > 0 or change.high < 0
        assert change.low <= change.value <= change.high


@every_metric
def test_the_signature_says_what_the_number_depends_on(subject: Subject) -> None:
    assert subject.metric.signature or subject.metric.name == "root"


def test_an_improvement_of_every_case_is_shown_though_no_resample_differs() -> None:
    metric, cases = rate_of("good", better="higher"), _rows(40, _hit)(0.0)
    none, every = _with(cases, good=lambda _: False), _with(cases, good=lambda _: True)
    change = metric.difference(none, every, 0.95, np.random.default_rng(0))
    assert change.value == 1
    assert 0.8 < change.low <= change.high


def test_three_changed_cases_of_a_thousand_are_no_difference() -> None:
    metric, cases = rate_of("good", better="higher"), _rows(1000, _hit)(0.0)
    old = _with(cases, good=lambda _: False)
    new = Observations(tuple(replace(r, values={"good": i < 4}) for i, r in enumerate(old)))
    change = metric.difference(old, new, 0.95, np.random.default_rng(0))
    assert change.low <= 0 < change.high


def test_clusters_do_not_depend_on_who_came_first() -> None:
    rows = tuple(Observation(Case(str(i), cluster=name), {}) for i, name in enumerate("baca"))
    assert Observations(rows).clusters.tolist() == [1, 0, 2, 0]
    wider = Observations((*rows, Observation(Case("a"), {}))).clusters  # a case of the name of a cluster
    assert wider[-1] not in wider[:-1]
