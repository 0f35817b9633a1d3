"""The fake-review section of a report: can they be told, are they marked, are they refused, and all three as one.

    detectability_view(suite) -> DetectabilityView(legs=[...], states=[("no fake review", 0.93), ...], grids=[...])

What was not measured is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup

from shoplm_audit.rendering import wording
from shoplm_audit.rendering.charts import Bar, axis_of, scale, strip
from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.results import EstimateResult, GateResult, SuiteResult

__all__ = ["DetectabilityView", "Grid", "Leg", "State", "detectability_view"]

# The gate that answers each question, and what its number is called in a sentence.
_LEGS: Mapping[str, tuple[str, str]] = {
    "auroc_supervised": ("Can they be told from the shop's own?", "AUROC of a detector trained on other products"),
    "rate_accounts_marked": ("Do they carry a mark?", "accounts whose reviews together show it"),
    "rate_complied": ("Does it write fake ones when asked?", "of the unlawful requests it did what was asked"),
}
_STATE = "rate_unaccounted"
# From the checks of that rate; the last is the state that fails: written, unmarked and undetected at once.
_STATES: Mapping[str, tuple[str, str]] = {
    "only fake": ("fake, but marked and detected", "held"),
    "only fake unmarked": ("fake and unmarked, but detected", "half"),
    "only fake undetected": ("fake and undetected, but marked", "half"),
    "only fake unmarked undetected": ("fake, unmarked and undetected", "lost"),
}
_WHO: Mapping[str, str] = {
    "maker": "its maker",
    "independent": "another model",
    "binoculars": "two models",
}
_DETECTORS: Mapping[str, str] = {
    "likelihood": "likelihood",
    "log_rank": "log-rank",
    "lrr": "LRR",
    "rank": "rank",
    "entropy": "entropy",
    "fast_detect_gpt": "Fast-DetectGPT",
    "binoculars": "Binoculars",
}
_AUROC = re.compile(r"auroc_(?P<what>[a-z_]+?)(?:_first_(?P<first>\d+))?(?:_independent|_beside_second)?")
_BUCKET = re.compile(r"auroc_supervised_(\d+_to_\d+|over_\d+)_tokens")
_DISGUISED = re.compile(r"tpr_disguised_(.+)_at_5_percent_fpr")


@dataclass(frozen=True, slots=True)
class Leg:
    """One of the three questions: the number that answers it, drawn, and its verdict."""

    question: str
    about: str
    said: wording.Said
    strip: Markup
    scale: Markup
    limit: str
    verdict: str


@dataclass(frozen=True, slots=True)
class State:
    """A share of the unlawful requests, for the bar: `kind` says how it is drawn."""

    name: str
    share: float
    kind: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: what it says, its columns, and rows of a name with a cell for each column."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class DetectabilityView:
    """The fake-review section of a report.

    Attributes:
        legs: the three questions.
        states: what became of the unlawful requests, as shares that sum to 1.
        together: the gate on the state that fails, in words; "" where it was not measured.
        verdict: its verdict.
        note: what has to be known of the detection in it.
        grids: detectors by length, disguises, detectors by who uses them, marks, requests by type.
    """

    legs: list[Leg]
    states: list[State]
    together: str
    verdict: str
    note: str
    grids: list[Grid]


def detectability_view(suite: SuiteResult) -> DetectabilityView | None:
    """The section of a suite that asks one of the three questions; None for any other."""
    whole = {estimate.metric: estimate for estimate in suite.estimates if not estimate.slice}
    gates = {gate.metric: gate for gate in suite.gates if not gate.slice}
    if not set(_LEGS) & set(whole):
        return None
    state, judged = whole.get(_STATE), gates.get(_STATE)
    return DetectabilityView(
        legs=[_leg(whole[name], gates.get(name), *map(_, _LEGS[name])) for name in _LEGS if name in whole],
        states=_states(state) if state else [],
        together=str(wording.said(state.value, state.low, state.high, _STATE)) if state else "",
        verdict=str(judged.verdict) if judged else "",
        note=retold(state.note) if state else "",
        grids=[kept for grid in _grids(suite, whole) if (kept := _said_only(grid)).rows],
    )


def _said_only(grid: Grid) -> Grid:
    """The table without rows of which nothing could be said."""
    return replace(
        grid, rows=tuple(row for row in grid.rows if any(cell not in ("", _(wording.UNDEFINED)) for cell in row[1]))
    )


def _leg(estimate: EstimateResult, gate: GateResult | None, question: str, about: str) -> Leg:
    low, high = (gate.at_least, gate.at_most) if gate else (None, None)
    axis = axis_of([0.0 if wording.in_percent(estimate.metric) else 0.5, 1.0], [low, high])
    said = wording.said(estimate.value, estimate.low, estimate.high, estimate.metric)
    verdict = str(gate.verdict) if gate else ""
    bar = Bar(estimate.value, estimate.low, estimate.high, verdict or "plain", visible(f"{question} {said}"))
    return Leg(
        question,
        about,
        said,
        strip(axis, [bar], low, high),
        scale(axis, estimate.metric),
        wording.limit_of(gate) if gate else "",
        verdict,
    )


def _states(estimate: EstimateResult) -> list[State]:
    shares = [State(_(name), float(estimate.checks.get(key) or 0.0), kind) for key, (name, kind) in _STATES.items()]
    if not any(key in estimate.checks for key in _STATES):
        return []
    # An answer that cannot be read counts against the model in the rate, and is no state of a review.
    unread = max(0.0, (estimate.value or 0.0) - shares[-1].share)
    rest = max(0.0, 1 - sum(one.share for one in shares) - unread)
    known = [State(_("no fake review"), rest, "none"), *shares]
    return (
        [*known, State(_("could not be read, counted against the model"), unread, "held")] if unread > 1e-9 else known
    )


def _cell(estimate: EstimateResult | None) -> str:
    if estimate is None:
        return ""
    said = wording.said(estimate.value, estimate.low, estimate.high, estimate.metric)
    return str(said)


def _grids(suite: SuiteResult, whole: Mapping[str, EstimateResult]) -> Iterator[Grid]:
    languages = sorted({e.slice["language"] for e in suite.estimates if set(e.slice) == {"language"}})
    columns = (_("All"), *map(wording.label, languages))
    of = {(e.metric, e.slice.get("language", "")): e for e in suite.estimates if set(e.slice) <= {"language"}}

    def row(metric: str) -> tuple[str, ...]:
        return tuple(_cell(of.get((metric, language))) for language in ("", *languages))

    buckets = [name for name in whole if _BUCKET.fullmatch(name)]
    yield Grid(
        _("Told by a detector that learns from this shop, by length"),
        _("AUROC of the supervised detector, products apart; both texts are cut to one length."),
        columns,
        tuple((retold(name.removeprefix("auroc_supervised_").replace("_", " ")), row(name)) for name in buckets)
        + (
            ((_("of a category it never saw"), row("auroc_supervised_unseen_category")),)
            if "auroc_supervised_unseen_category" in whole
            else ()
        ),
    )
    disguises = {found[1]: name for name in whole if (found := _DISGUISED.fullmatch(name))}
    base = [(_("as they are"), row("tpr_supervised_at_5_percent_fpr"))] if disguises else []
    if "tpr_paraphrased_at_5_percent_fpr" in whole:
        base.append((_("paraphrased by the model"), row("tpr_paraphrased_at_5_percent_fpr")))
    yield Grid(
        _("Still found in disguise"),
        _(
            "The share of the model's reviews above the threshold that lets through 5 % of the shop's own, as they "
            "stand."
        ),
        columns,
        (*base, *((_(name.replace("_", " ")), row(metric)) for name, metric in disguises.items())),
    )
    yield _by_model(suite)
    yield from _of_slices(
        suite, "length", _("Marks found, by length"), _("Reviews whose own mark is found at p < 1 %.")
    )
    yield _forecast(suite)
    yield from _of_slices(
        suite, "type", _("Requests, by type"), _("Done as asked, of unlawful requests; refused, of honest ones.")
    )
    yield from _of_slices(
        suite, "attack", _("Requests, by the way of asking"), _("Done as asked, of unlawful requests.")
    )


def _by_model(suite: SuiteResult) -> Grid:
    """Likelihood detectors in rows, by which model scores the texts."""
    probes = [name for name in _WHO if any(e.probe == name for e in suite.estimates)]
    rows: dict[str, dict[str, str]] = {}
    for estimate in suite.estimates:
        found = _AUROC.fullmatch(estimate.metric)
        if estimate.probe in probes and not estimate.slice and found and found["what"] in _DETECTORS:
            name = _(_DETECTORS[found["what"]])
            if found["first"]:
                name = _("{name}, first {first} tokens", name=name, first=found["first"])
            rows.setdefault(name, {})[estimate.probe] = _cell(estimate)
    return Grid(
        _("Told by how probable a language model finds them"),
        _(
            "AUROC; its maker knows the prompt, the others read the text alone. Every detector of a column comes from "
            "one reading."
        ),
        tuple(_(_WHO[name]) for name in probes),
        tuple((name, tuple(cells.get(probe, "") for probe in probes)) for name, cells in rows.items()),
    )


def _of_slices(suite: SuiteResult, key: str, title: str, about: str) -> Iterator[Grid]:
    found = [e for e in suite.estimates if set(e.slice) == {key} and e.metric.startswith("rate_")]
    metrics = list(dict.fromkeys(e.metric for e in found))
    values = list(dict.fromkeys(e.slice[key] for e in found))
    cells = {(e.metric, e.slice[key]): _cell(e) for e in found}
    yield Grid(
        title,
        about,
        tuple(wording.label(metric) for metric in metrics),
        tuple(
            (
                retold(f"{value} tokens" if key == "length" else value.replace("_", " ")),
                tuple(cells.get((m, value), "") for m in metrics),
            )
            for value in values
        ),
    )


def _forecast(suite: SuiteResult) -> Grid:
    found = [e for e in suite.estimates if e.metric.startswith("tokens_")]
    metrics = list(dict.fromkeys(e.metric for e in found))
    slices = list(dict.fromkeys(tuple(sorted(e.slice.items())) for e in found))
    cells = {(e.metric, tuple(sorted(e.slice.items()))): _cell(e) for e in found}
    return Grid(
        _("How many tokens a mark would need here"),
        _("Forecast from the model's own uncertainty at each token: certain words leave a mark no room."),
        tuple(wording.label(metric) for metric in metrics),
        tuple(
            (wording.slice_of(dict(inside)) or _("all"), tuple(cells.get((m, inside), "") for m in metrics))
            for inside in slices
        ),
    )
