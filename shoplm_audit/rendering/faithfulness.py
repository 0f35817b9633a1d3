"""What the claim ledger found and how far it can be trusted, as the report draws it.

    faithfulness_view(suite, observations, 0.95) -> FaithfulnessView(errors=[...], rates=[...], attributions=[...], ...)

What was not measured is left out; without observations (a result that was read alone) only the rates stand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shoplm_audit import uncertainty
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.charts import Axis, Bar, axis_of, scale, strip
from shoplm_audit.rendering.examples import claims_of
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.results import EstimateResult, SuiteResult
from shoplm_audit.types import Interval, Observation, Observations

__all__ = ["Attribution", "CheckerRow", "FaithfulnessView", "Offence", "Rate", "faithfulness_view"]

_RATES: Mapping[str, str] = {
    "rate_contradicted": "As the checker found it",
    "rate_contradicted_corrected": "Corrected for the checker's own error",
    "rate_contradicted_by_people": "Corrected by people's labels",
}
_ERRORS: Mapping[str, str] = {
    "none": "nothing, the shop's own text",
    "value": "another value",
    "unit": "another unit or ten times as much",
    "colour": "another colour",
    "certificate": "a certificate the record lacks",
    "negation": "a denial, or one taken away",
    "leak": "a fact of another product",
    "origin": "another origin",
    "omission": "an attribute left out",
}
_SHOWN = 12
_ATTRIBUTIONS = 6


@dataclass(frozen=True, slots=True)
class Rate:
    """One reading of the rate of contradicted texts, on the common axis."""

    name: str
    about: str
    strip: Markup
    said: wording.Said


@dataclass(frozen=True, slots=True)
class CheckerRow:
    """What was put into texts, and how often the checker was right about them, a cell for each language."""

    error: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offence:
    """Why claims were prohibited, in how many texts, and the words of one of them."""

    why: str
    texts: int
    words: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """One claim with how much each attribute speaks for it, in nats; `strip` draws the largest."""

    claim: str
    verdict: str
    about: str
    rows: tuple[tuple[str, Markup, str], ...]


@dataclass(frozen=True, slots=True)
class FaithfulnessView:
    """The faithfulness section of a report.

    Attributes:
        rates: the rate of contradicted texts, raw and corrected.
        rates_scale: the ticks of their axis.
        languages: the columns of `errors`.
        errors: the checker's own error by what was injected.
        attributes: the attributes that are contradicted most, with the number of texts.
        offences: what law forbids and the texts say.
        attributions: claims that could be put down to attributes, where that was stable.
        tried: how many claims were tried for that, in words; "" where none was.
        constrained: what requiring the attributes in decoding would change: label, number, interval.
    """

    rates: list[Rate]
    rates_scale: Markup
    languages: tuple[str, ...]
    errors: list[CheckerRow]
    attributes: list[tuple[str, int]]
    offences: list[Offence]
    attributions: list[Attribution]
    tried: str
    constrained: list[tuple[str, wording.Said]]


def faithfulness_view(
    suite: SuiteResult, observations: Mapping[tuple[str, str], Observations], confidence: float
) -> FaithfulnessView | None:
    """The section of a suite that is called "faithfulness"; None for any other.

    Args:
        suite: its estimates.
        observations: by (suite, probe).
        confidence: of each bound.
    """
    if suite.name != "faithfulness":
        return None
    seen = {probe: found for (name, probe), found in observations.items() if name == suite.name}
    rates, ticks = _rates(suite)
    checker = seen.get("checker", Observations(()))
    languages = tuple(sorted({row.case.language for row in checker}))
    described = seen.get("description", Observations(()))
    shown = [row for row in seen.get("attribution", Observations(())) if row.status == "scored"]
    told = [row for row in shown if row.values.get("stable") is not None]
    stable = [row for row in told if row.values["stable"]]
    return FaithfulnessView(
        rates=rates,
        rates_scale=ticks,
        languages=tuple(wording.label(language) for language in languages),
        errors=list(_errors(checker, languages, confidence)),
        attributes=_contradicted(described),
        offences=_offences(described),
        attributions=[_attribution(row) for row in stable[:_ATTRIBUTIONS]],
        tried=_("{stable} of {told} claims", stable=len(stable), told=len(told)) if told else "",
        constrained=[
            (wording.label(one.metric), wording.said(one.value, one.low, one.high, one.metric))
            for one in suite.estimates
            if one.probe == "constrained" and not one.slice
        ],
    )


def _rates(suite: SuiteResult) -> tuple[list[Rate], Markup]:
    found = {estimate.metric: estimate for estimate in suite.estimates if not estimate.slice}
    there = [(metric, found[metric]) for metric in _RATES if metric in found]
    if len(there) < 2:  # one number needs no comparison
        return [], Markup("")
    limits = [gate.at_most for gate in suite.gates if gate.metric in _RATES]
    axis = axis_of([x for _, e in there for x in (e.value, e.low, e.high)], limits)
    limit = limits[0] if limits else None
    return [_rate(metric, estimate, axis, limit) for metric, estimate in there], scale(axis, "rate_")


def _rate(metric: str, estimate: EstimateResult, axis: Axis, limit: float | None) -> Rate:
    said = wording.said(estimate.value, estimate.low, estimate.high, metric)
    name, method = _(_RATES[metric]), retold(estimate.method)
    bar = Bar(estimate.value, estimate.low, estimate.high, "plain", _("{name}: {said}", name=name, said=said))
    about = _("{method}; {note}", method=method, note=retold(estimate.note)) if estimate.note else method
    return Rate(name, about, strip(axis, [bar], at_most=limit), said)


def _errors(checker: Observations, languages: Sequence[str], confidence: float) -> Iterator[CheckerRow]:
    for error, words in _ERRORS.items():
        rows = [row for row in checker if row.case.facts.get("error") == error]
        if rows:
            cells = (_right([row for row in rows if row.case.language == one], confidence) for one in languages)
            yield CheckerRow(_(words), tuple(cells))


def _right(rows: Sequence[Observation], confidence: float) -> str:
    """How often the checker was right: an error found, or an untouched text cleared."""
    column = "cleared" if rows and rows[0].case.facts["error"] == "none" else "caught"
    there = Observations(tuple(rows))
    if not len(there):
        return _("could not be put in")
    hits = there.numbers(column, 0.0)
    bounds: Interval = uncertainty.rate_interval(hits, there.clusters, confidence)
    said = wording.said(float(hits.mean()), bounds.low, bounds.high, "rate_")
    return _("{said} of {n}", said=said, n=len(there))


def _contradicted(described: Observations) -> list[tuple[str, int]]:
    counts = Counter(
        attribute
        for row in described
        for attribute in {claim.attribute for claim in claims_of(row) if claim.verdict == "contradicted"}
        if attribute
    )
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN]


def _offences(described: Observations) -> list[Offence]:
    texts: Counter[str] = Counter()
    words: dict[str, str] = {}
    for row in described:
        text = str(row.values.get("text", ""))
        for why, said in {c.why: text[c.start : c.end] for c in claims_of(row) if c.verdict == "prohibited"}.items():
            texts[why] += 1
            words.setdefault(why, said)
    return [Offence(retold(why), count, words[why]) for why, count in texts.most_common(_SHOWN)]


def _attribution(row: Observation) -> Attribution:
    shares: Mapping[str, float] = json.loads(str(row.values.get("shapley") or "{}"))
    ordered = sorted(shares.items(), key=lambda pair: -abs(pair[1]))
    axis = axis_of([0.0, *shares.values()])
    bars = [
        Bar(nats, min(0.0, nats), max(0.0, nats), "plain", _("{name}: {nats} nats", name=name, nats=f"{nats:+.2f}"))
        for name, nats in ordered
    ]
    drawn = tuple((name, strip(axis, [bar]), f"{nats:+.2f}") for (name, nats), bar in zip(ordered, bars, strict=True))
    return Attribution(
        str(row.values.get("claim", "")), str(row.values.get("verdict", "")), str(row.values.get("about", "")), drawn
    )
