"""A run as a dossier for a compliance officer: law by law which clause it is evidence for, and what stays for people.

render_dossier(audit, made=date(2026, 11, 20), today=date(2026, 11, 22)) -> "<!doctype html>..."

Both days are arguments, so that the same run gives the same bytes; ages and warnings follow from them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import jinja2
from markupsafe import Markup

from shoplm_audit.evidence.clauses import (
    RUN_DAYS,
    ClauseMap,
    Law,
    Proof,
    Standing,
    State,
    load_maps,
    outdated,
    standings,
)
from shoplm_audit.rendering import wording
from shoplm_audit.rendering.certainty import how_sure
from shoplm_audit.rendering.html import prose
from shoplm_audit.rendering.masking import mask, visible
from shoplm_audit.rendering.speaking import LANGUAGES, _, language, marked, retold, speaking, template_folder
from shoplm_audit.rendering.training import TrainingView, training_view
from shoplm_audit.results import AuditResult, EstimateResult, GateResult, Result, SuiteResult

__all__ = ["render_dossier"]

_GATES = 5  # gates of one clause that are listed; the rest is counted by verdict
_ROWS = 40  # gates of one kind in the section on validation
# How a state is coloured: the classes of verdicts, so that the page has one set of colours.
_CLASSES = {"evidenced": "pass", "weak": "undecided", "stale": "undecided"}
_WEAK = ("{n} with failed gates", "{n} undecided", "{n} not tested")
_ROBUST = ("obeyed", "told", "complied", "stable", "changed", "twin", "mark", "accounts", "unaccounted")


@dataclass(frozen=True, slots=True)
class _Row:
    """A gate as the dossier prints it."""

    gate: GateResult
    estimate: EstimateResult | None
    said: str
    hash: str


@dataclass(frozen=True, slots=True)
class _ClauseRow:
    standing: Standing
    css: str
    rows: list[_Row]
    rest: str


@dataclass(frozen=True, slots=True)
class _LawPart:
    law: Law
    as_of: date
    rows: list[_ClauseRow]
    counts: list[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """One kind of figure in the section on validation and testing."""

    name: str
    rows: list[_Row]
    left_out: int


def render_dossier(
    audit: AuditResult,
    *,
    made: date,
    today: date,
    language: Literal["en", "zh"] = "en",
    maps: Sequence[ClauseMap] | None = None,
) -> str:
    """The dossier of a run as one HTML page without script and network.

    Args:
        audit: the run.
        made: the day of the run.
        today: the day on which the dossier is made.
        language: "en" or "zh".
        maps: the clause maps; by default those that come with the program.

    Raises:
        ConfigError: the clause maps are broken or the language is unknown.
    """
    used = load_maps() if maps is None else list(maps)
    with speaking(language):
        return _rendered(audit.result, used, made, today)


def _rendered(result: Result, maps: Sequence[ClauseMap], made: date, today: date) -> str:
    standing = {one.clause.id: one for one in standings(maps, result, made=made, today=today)}
    laws = [
        _LawPart(law, one.valid_as_of, [_clause_row(told) for told in of_law], _counts(of_law, "{n} {state} ({parts})"))
        for one in maps
        for law in one.laws
        # What speaks against a clause stands first; the others keep the order of the law.
        for of_law in [sorted((standing[one.id] for one in law.clauses), key=lambda told: _weakness(told) != _WEAK[0])]
    ]
    training = training_view(result.model.training) if result.model.training else None
    folder = template_folder()
    page = _environment(folder).get_template("dossier.html.j2")
    return (
        page.render(
            _=_,
            marked=marked,
            lang=LANGUAGES[language()],
            said_in=language(),
            style=Markup((folder / "style.css").read_text(encoding="utf-8")),
            policy="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
            result=result,
            digest=_file_digest(result),
            made=made,
            today=today,
            warnings=_warnings(maps, made, today),
            states=_counts(standing.values(), "{n} {state}: {parts}"),
            laws=laws,
            training=training,
            not_covered=_not_covered(training),
            parts=_parts(result),
        ).strip()
        + "\n"
    )


def _file_digest(result: Result) -> str:
    """The SHA-256 of the bytes that `result.json` has, so that anyone can compare; "" of what no file can hold."""
    try:
        return hashlib.sha256((result.model_dump_json(indent=1) + "\n").encode("utf-8")).hexdigest()
    except ValueError:  # a lone surrogate
        return ""


def _counts(standing: Iterable[Standing], told: str) -> list[str]:
    """How many clauses are in each state, of weak ones also why: `told` is how a state and its parts are put."""
    found: dict[str, Counter[str]] = {state: Counter() for state in get_args(State)}
    for one in standing:
        found[one.state][_weakness(one)] += 1
    counts = []
    for state, kinds in found.items():
        parts = [_(words, n=kinds[words]) for words in _WEAK if kinds[words]]
        if parts:
            counts.append(_(told, n=kinds.total(), state=_(state), parts=_(", ").join(parts)))
        elif kinds:
            counts.append(_("{n} {state}", n=kinds.total(), state=_(state)))
    return counts


def _weakness(standing: Standing) -> str:
    """Why a clause is weak, "" where it is not."""
    verdicts = {str(proof.gate.verdict) for proof in standing.gates} - {"not_applicable"}
    if standing.state != "weak":
        return ""
    if "fail" in verdicts:
        return _WEAK[0]
    return _WEAK[1] if verdicts - {"not_tested"} else _WEAK[2]


def _warnings(maps: Sequence[ClauseMap], made: date, today: date) -> list[str]:
    age = (today - made).days
    told = outdated(maps, today, "zh" if language() == "zh" else "en")
    if age > RUN_DAYS:
        told.append(_("The run is {age} days old: run the audit again before this is relied on.", age=age))
    if age < 0:
        told.append(_("The run is dated in the future: check the day it was made."))
    return told


def _clause_row(standing: Standing) -> _ClauseRow:
    rest = Counter(str(proof.gate.verdict) for proof in standing.gates[_GATES:])
    counts = [_("{n} {verdict}", n=rest[v], verdict=_(wording.VERDICTS[v]).lower()) for v in wording.ORDER if rest[v]]
    more = _("and {n} more: {counts}", n=rest.total(), counts=_(", ").join(counts)) if rest else ""
    css = _CLASSES.get(standing.state, "not_tested")
    css = "fail" if _weakness(standing) == _WEAK[0] else css
    return _ClauseRow(standing, css, [_row(proof) for proof in standing.gates[:_GATES]], more)


def _row(proof: Proof) -> _Row:
    one = proof.estimate
    said = str(wording.said(one.value, one.low, one.high, one.metric)) if one else ""
    return _Row(proof.gate, one, said, proof.hash)


def _not_covered(training: TrainingView | None) -> list[str]:
    """What the guarantee says it does not cover, piece by piece; [] where it does not say."""
    sentence = training.sentence if training else ""
    found = re.search(r"(?:Not covered|不在保证之内的有)[:：]\s*([^.。]*)", sentence)
    return [piece.strip() for piece in re.split(r"[;；]", found[1]) if piece.strip()] if found else []


def _parts(result: Result) -> list[_Part]:
    kinds: dict[str, list[_Row]] = {
        _("Accuracy"): [],
        _("Robustness, privacy and misuse"): [],
        _("Potentially discriminatory impacts"): [],
    }
    accuracy, robustness, impacts = kinds
    for suite in result.suites:
        for gate in suite.gates:
            if str(gate.verdict) == "not_applicable":
                continue
            estimate = wording.estimate_of(suite, gate)
            said = str(wording.said(estimate.value, estimate.low, estimate.high, gate.metric)) if estimate else ""
            kinds[_kind(suite, gate, accuracy, robustness, impacts)].append(_Row(gate, estimate, said, ""))
    order = {verdict: i for i, verdict in enumerate(wording.ORDER)}
    parts = []
    for name, rows in kinds.items():
        rows.sort(key=lambda row: order[str(row.gate.verdict)])
        parts.append(_Part(name, rows[:_ROWS], max(0, len(rows) - _ROWS)))
    return parts


def _kind(suite: SuiteResult, gate: GateResult, accuracy: str, robustness: str, impacts: str) -> str:
    if suite.name == "bias":
        return impacts
    secure = suite.name in ("privacy", "fake_reviews") or any(word in gate.metric.split("_") for word in _ROBUST)
    return robustness if secure else accuracy


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
    )
    environment.filters |= {"label": wording.label, "mask": mask, "prose": prose, "retold": retold}
    environment.globals |= {
        "headline": wording.headline,
        "limit_of": wording.limit_of,
        "slice_of": wording.slice_of,
        "verdicts": wording.VERDICTS,
        "how_sure": how_sure,
    }
    return environment
