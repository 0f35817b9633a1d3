"""Results as SARIF 2.1.0: each gate that did not pass, and the words of the model that it was about.

{"ruleId": "faithfulness.claim_contradicted", "level": "error", "message": {"text": "1.5 L: the record says 1.7 L"},
 "locations": [{"physicalLocation": {"artifactLocation": {"uri": "answers/faithfulness-describe-1f0c.txt"},
                                     "region": {"charOffset": 23, "charLength": 5, ...}}}], ...}

Texts are masked and spelled out before offsets are taken, so that a region points at the words that are there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from shoplm_audit.evidence.clauses import Clause, load_maps
from shoplm_audit.rendering.certainty import how_sure
from shoplm_audit.rendering.examples import claims_of
from shoplm_audit.rendering.junit import waiver_of
from shoplm_audit.rendering.leaked import spans_of
from shoplm_audit.rendering.masking import cover, mask, secrets_of, spelled, visible
from shoplm_audit.rendering.wording import estimate_of, label, limit_of
from shoplm_audit.results import AuditResult, BaselineResult, GateResult, SuiteResult, WaiverResult
from shoplm_audit.types import Observation

__all__ = ["render_sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Mapping[str, str] = {"fail": "error", "undecided": "warning", "not_tested": "note"}
_WEIGHTS: Mapping[str, int] = {"contradicted": 1000, "prohibited": 500, "unsupported": 1}
_TELLING = 12  # cases of one probe
_LONGEST = 4000  # characters of one answer
_SHORT = 400  # characters of one reason

_Json: TypeAlias = dict[str, Any]


class _Offence(NamedTuple):
    """Words of an answer that were found at fault: where, of which kind, why, and what identifies it next time."""

    start: int
    end: int
    kind: str
    why: str
    claim: str


@dataclass(slots=True)
class _Log:
    """What a run gathers: rules and artifacts are named by their position."""

    clauses: list[str]
    rules: dict[str, _Json] = field(default_factory=dict)
    artifacts: list[_Json] = field(default_factory=list)
    results: list[_Json] = field(default_factory=list)

    def add(self, rule: str, level: str, text: str, clauses: Iterable[str], **more: Any) -> None:
        taxa = [{"id": spelled(one), "index": self.clauses.index(one), "toolComponent": _CLAUSES} for one in clauses]
        told = {"ruleId": spelled(rule), "ruleIndex": list(self.rules).index(rule), "level": level}
        self.results.append(told | {"message": {"text": _message(text)}} | more | ({"taxa": taxa} if taxa else {}))


_CLAUSES = {"name": "clauses", "index": 0}


def render_sarif(audit: AuditResult) -> str:
    """The gates that did not pass and the telling words behind them, as SARIF 2.1.0.

    A gate that failed is an error, one that is undecided a warning, one that was not tested a note. A waiver is a
    suppression with its reason, an expired one a rejected suppression. Fingerprints hold no numbers and no positions,
    so a finding keeps its own from run to run.
    """
    result = audit.result
    clauses = sorted({clause for suite in result.suites for gate in suite.gates for clause in gate.clauses})
    log = _Log(clauses, artifacts=[{"location": {"uri": "result.json"}, "roles": ["resultFile"]}])
    for suite in result.suites:
        for gate in suite.gates:
            _add_gate(log, suite, gate, result.waivers)
        rows = {probe: seen.rows for (name, probe), seen in sorted(audit.observations.items()) if name == suite.name}
        for probe, seen in rows.items():
            _add_answers(log, suite, probe, seen)
    if result.baseline is not None:
        _add_changes(log, result.baseline)
    run: _Json = {
        "tool": {
            "driver": {
                "name": "ShopLM Audit",
                "rules": list(log.rules.values()),
                "supportedTaxonomies": [_CLAUSES] if clauses else [],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "artifacts": log.artifacts,
        "results": log.results,
        "properties": {
            "verdict": result.verdict,
            "model": spelled(result.model.name),
            "fingerprint": visible(result.model.fingerprint),
            "seed": result.seed,
            "intervals": how_sure(result),
            "cannot_tell": {suite.name: spelled(suite.cannot_tell) for suite in result.suites if suite.cannot_tell},
        },
    }
    if clauses:
        run["taxonomies"] = [{"name": "clauses", "taxa": [_taxon(clause) for clause in clauses]}]
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=True) + "\n"


def _taxon(clause: str) -> _Json:
    title = next((one.title.en for one in _known() if clause in (one.id, *one.aliases)), "")
    return {"id": spelled(clause)} | ({"shortDescription": {"text": _message(title)}} if title else {})


@cache
def _known() -> list[Clause]:
    return [clause for one in load_maps() for law in one.laws for clause in law.clauses]


def _add_gate(log: _Log, suite: SuiteResult, gate: GateResult, waivers: list[WaiverResult]) -> None:
    verdict = str(gate.verdict)
    if verdict not in _LEVELS:
        return
    rule = f"{suite.name}.{gate.metric}"
    _rule(
        log, rule, label(gate.metric), f"{suite.question} Limit: {limit_of(gate) or 'the claim of the model'}.", suite
    )
    estimate = estimate_of(suite, gate)
    numbers: _Json = {"verdict": verdict, "limit": limit_of(gate)}
    if estimate is not None:
        numbers |= {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    more: _Json = {
        "locations": [_whole_result(gate.id)],
        "partialFingerprints": {"gate/v1": _digest(gate.id)},
        "properties": numbers,
    }
    level = _LEVELS[verdict]
    if (waiver := waiver_of(gate, waivers)) is not None and waiver.state != "not needed":
        status = "accepted" if waiver.state == "in force" else "rejected"
        level = level if waiver.state == "in force" else "error"
        why = spelled(f"waived by {waiver.by} until {waiver.until} ({waiver.state}): {waiver.why}")
        more["suppressions"] = [{"kind": "external", "status": status, "justification": why}]
    log.add(rule, level, gate.why, gate.clauses, **more)


def _add_changes(log: _Log, baseline: BaselineResult) -> None:
    for change in (change for change in baseline.changes if change.verdict == "worse"):
        rule = "baseline.worse"
        log.rules.setdefault(
            rule,
            _descriptor(
                rule,
                "Worse than the baseline",
                "Paired by case; the whole interval lies beyond the margin.",
                f"The baseline's run is {baseline.run}.",
            ),
        )
        told = f"{change.gate} is worse than in {baseline.run}: {change.first} became {change.second}"
        more = {
            "locations": [_whole_result(change.gate)],
            "partialFingerprints": {"gate/v1": _digest("baseline", change.gate)},
            "properties": {"difference": change.difference, "low": change.low, "high": change.high, "n": change.n},
        }
        log.add(rule, "error", told, (), **more)


def _whole_result(name: str) -> _Json:
    physical = {"artifactLocation": {"uri": "result.json", "index": 0}, "region": {"startLine": 1}}
    return {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": spelled(name)}]}


def _add_answers(log: _Log, suite: SuiteResult, probe: str, rows: Sequence[Observation]) -> None:
    private = suite.name == "privacy"
    found = [(list(_leaks(row) if private else _claims(row)), i) for i, row in enumerate(rows)]
    ranked = sorted((-sum(_WEIGHTS.get(one.kind, 1) for one in told), i, told) for told, i in found if told)
    for number, (_, i, told) in enumerate(ranked[:_TELLING], 1):
        row = rows[i]
        # Who was in the training data is the trainer's secret: of such a case neither the id nor a digest is named.
        case = "" if private else row.case.id
        place = re.sub(r"[^A-Za-z0-9_]+", "-", f"{suite.name}-{probe}")[:60]
        uri = f"answers/{place}-{number if private else _digest(suite.name, probe, case)[:12]}.txt"
        whole = _covered(row) if private else mask(str(row.values["text"])[: _LONGEST + 200])
        text = whole[:_LONGEST]
        name = "answer of a case that is not named" if private else f"answer to case {case[:_SHORT]}"
        artifact = len(log.artifacts)
        log.artifacts.append(
            {
                "location": {"uri": uri},
                "description": {"text": _message(f"{name}, probe {probe}")},
                "contents": {"text": visible(text)},
            }
        )
        seen: Counter[str] = Counter()
        for one in (one for one in told if one.end <= _LONGEST):
            words = text[one.start : one.end]
            _add_offence(log, suite, one, (case, words, uri, artifact, _region(text, one.start, one.end)), seen)


def _add_offence(
    log: _Log, suite: SuiteResult, one: _Offence, where: tuple[str, str, str, int, _Json], seen: Counter[str]
) -> None:
    case, words, uri, artifact, region = where
    gate = _gate_of(suite, one.kind)
    rule = f"{suite.name}.{one.kind}" if suite.name == "privacy" else f"{suite.name}.claim_{one.kind}"
    _rule(
        log,
        rule,
        label(rule.partition(".")[2]),
        f"Words of the model that were found to be so. {suite.question}",
        suite,
    )
    # Two claims of one kind about one attribute are told apart by their order in the answer.
    claim = f"{one.kind}/{one.claim if case else words}"
    seen[claim] += 1
    physical = {"artifactLocation": {"uri": uri, "index": artifact}, "region": region}
    log.add(
        rule,
        _LEVELS.get(str(gate.verdict), "note") if gate else "note",
        f"{words}: {one.why[:_SHORT]}" if one.why else words,
        gate.clauses if gate else (),
        locations=[{"physicalLocation": physical}],
        partialFingerprints={
            "claim/v1": _digest(gate.id if gate else suite.name, case, claim, str(seen[claim])),
        },
    )


def _gate_of(suite: SuiteResult, kind: str) -> GateResult | None:
    """The gate that an offence counts for: of its kind and not of one slice, the worst by verdict."""
    order = list(_LEVELS)
    word = kind.removeprefix("leaked_").removeprefix("copied_")
    gates = [gate for gate in suite.gates if word in gate.metric.split("_") and not gate.slice]
    return min(gates, key=lambda gate: order.index(v) if (v := str(gate.verdict)) in order else 9, default=None)


def _claims(row: Observation) -> Iterator[_Offence]:
    text = row.values.get("text")
    for span in claims_of(row):
        if isinstance(text, str) and span.verdict in _WEIGHTS and span.end > span.start:
            said = span.attribute or re.sub(r"[\W\d]+", " ", text[span.start : span.end]).strip().casefold()
            yield _Offence(span.start, span.end, span.verdict, span.why, said)


def _leaks(row: Observation) -> Iterator[_Offence]:
    at = 0
    for start, end, origin, kind in sorted(spans_of(row)):
        if origin in ("training", "copied") and start >= at:
            what = "a passage copied from the training data" if origin == "copied" else f"{kind} from the training data"
            yield _Offence(start, end, "copied" if origin == "copied" else "personal", what.replace("_", " "), kind)
            at = end


def _covered(row: Observation) -> str:
    text = str(row.values["text"])
    for start, end, *_ in spans_of(row):
        text = text[:start] + cover(text[start:end]) + text[end:]
    return mask(text[: _LONGEST + 200], secrets_of(row.case))


def _region(text: str, start: int, end: int) -> _Json:
    before, words = visible(text[:start]), visible(text[start:end])
    through = before + words
    return {
        "startLine": before.count("\n") + 1,
        "startColumn": len(before) - before.rfind("\n"),
        "endLine": through.count("\n") + 1,
        "endColumn": len(through) - through.rfind("\n"),
        "charOffset": len(before),
        "charLength": len(words),
        "snippet": {"text": words},
    }


def _rule(log: _Log, rule: str, name: str, text: str, suite: SuiteResult) -> None:
    clauses = sorted({one for gate in suite.gates if rule == f"{suite.name}.{gate.metric}" for one in gate.clauses})
    made = _descriptor(rule, name, text, f"What this cannot tell: the run's properties, cannot_tell.{suite.name}.")
    if clauses:
        made["relationships"] = [
            {"target": {"id": spelled(one), "index": log.clauses.index(one), "toolComponent": _CLAUSES}}
            for one in clauses
        ]
    log.rules.setdefault(rule, made)


def _descriptor(rule: str, name: str, text: str, help_text: str) -> _Json:
    return {
        "id": spelled(rule),
        "shortDescription": {"text": _message(name)},
        "fullDescription": {"text": _message(text)},
        "help": {"text": _message(help_text)},
    }


def _message(text: str) -> str:
    """A text as a SARIF message: braces are doubled, and nothing in it is a link (sections 3.11.5 and 3.11.6)."""
    return spelled(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
