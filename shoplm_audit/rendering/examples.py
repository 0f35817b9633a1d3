"""Which cases a report shows as evidence, and how: worst by each gate's own metric, then some that went well.

Example(case="p17/en", why=["contradicted: yes"], status="scored", language="en",
        texts=[("Model wrote", Markup('Weighs <mark class="contradicted">1.5 kg<sup>1</sup></mark>'), [...])], ...)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup, escape

from shoplm_audit.rendering.leaked import spans_of
from shoplm_audit.rendering.masking import code_point, cover, mask, put_before, secrets_of, shows, visible
from shoplm_audit.rendering.wording import label, slice_of
from shoplm_audit.results import EstimateResult, SuiteResult
from shoplm_audit.types import Observation, Observations, Value

__all__ = ["Example", "Finding", "Span", "claims_of", "examples_of", "shown"]

_PER_GATE = 3
_TELLING = 12  # of one suite
_OTHERS = 3
_VALUES = 16
_TEXTS = 8
_SPANS = 40
_SHORT = 240  # characters of a reason, an id, a group
_LONGEST = 1200  # characters of one text
_NOT_OF_ONE_CASE = ("auroc", "tpr", "epsilon")  # metrics of how two sets of cases lie to each other
_NOT_SHOWN = Markup('<i class="nothing">a question about one customer; it quotes their record and is not shown</i>')
_CANARY = Markup(
    '<i class="nothing">the beginning of an invented customer\'s record; it names them and is not shown</i>'
)
# Further texts of one case, by the ending of their column.
_FURTHER = {"_twin": "Of the twin it wrote", "_constrained": "Held to the attributes it wrote"}
_VERDICTS = ("contradicted", "prohibited", "unsupported", "uncheckable", "supported", "omitted")


@dataclass(frozen=True, slots=True)
class Finding:
    """One highlighted span: its number, its verdict, why."""

    number: int
    verdict: str
    why: Markup


@dataclass(frozen=True, slots=True)
class Example:
    """One case as the report prints it; every text is masked and escaped already."""

    case: Markup
    probe: str
    language: str
    status: str
    why: tuple[str, ...]
    texts: tuple[tuple[str, Markup], ...]
    findings: tuple[Finding, ...] = ()
    values: tuple[tuple[str, Markup], ...] = ()
    size: int = field(default=0, compare=False)


def shown(text: object) -> Markup:
    """A text for a page: escaped, and characters that hide or reorder spelled out."""
    whole = str(escape(text))
    return Markup("".join(c if shows(c) else f'<span class="cp">{code_point(c)}</span>' for c in whole))


def examples_of(
    suite: SuiteResult, observations: Mapping[tuple[str, str], Observations], budget: int
) -> tuple[list[Example], list[Example]]:
    """The most telling cases of a suite and a few others; `budget` is the most bytes of markup for all of them."""
    rows = {probe: seen.rows for (name, probe), seen in sorted(observations.items()) if name == suite.name}
    chosen: dict[tuple[str, int], list[str]] = {}
    for (probe, index), why in _worst(suite, rows):
        if (probe, index) in chosen or len(chosen) < _TELLING:
            reasons = chosen.setdefault((probe, index), [])
            if why not in reasons:
                reasons.append(why)
    fine = [
        (probe, i)
        for probe, seen in rows.items()
        for i, row in enumerate(seen)
        if (probe, i) not in chosen and not _faulty(suite, row)
    ]
    # Spread over the probes' cases, so that both languages and several tasks are among them.
    count = min(len(fine), _OTHERS if chosen else 2 * _OTHERS)
    others = [fine[(2 * k + 1) * len(fine) // (2 * count)] for k in range(count)]
    private = suite.name == "privacy"
    telling, spent = [], 0
    for (probe, index), reasons in chosen.items():
        example = _example(probe, rows[probe][index], tuple(reasons), private)
        if spent + example.size > budget:
            break
        telling.append(example)
        spent += example.size
    rest = [_example(probe, rows[probe][index], (), private) for probe, index in others]
    return telling, [example for example in rest if spent + len(rest) * example.size <= budget * 1.25]


def _faulty(suite: SuiteResult, row: Observation) -> bool:
    """Whether something is known to be wrong with a case."""
    wanted = {e.metric.split("_", 1)[-1]: e.better == "higher" for e in suite.estimates if e.metric.startswith("rate_")}
    wrong = any(isinstance(value := row.values.get(column), bool) and value != good for column, good in wanted.items())
    return wrong or row.status != "scored" or _span_faults(row) > 0 or _mislabelled(row)


def _worst(suite: SuiteResult, rows: Mapping[str, Sequence[Observation]]) -> Iterator[tuple[tuple[str, int], str]]:
    """Positions of telling cases with the reason, most telling first; one position can come more than once."""
    order = {"fail": 0, "undecided": 1, "pass": 2}
    for gate in sorted(suite.gates, key=lambda gate: order.get(str(gate.verdict), 3)):
        estimate = next((e for e in suite.estimates if e.metric == gate.metric), None)
        if estimate is None or gate.metric.startswith(_NOT_OF_ONE_CASE):
            continue
        for probe, seen in rows.items():
            if estimate.probe in ("", probe):
                yield from _worst_by(probe, seen, estimate, gate.slice)
    for probe, seen in rows.items():
        faults = sorted((-_span_faults(row), i) for i, row in enumerate(seen) if _span_faults(row))[:_PER_GATE]
        yield from (((probe, i), "has contradicted, prohibited or unsupported claims") for _, i in faults)
        wrong = [i for i, row in enumerate(seen) if _mislabelled(row)][:_PER_GATE]
        yield from (((probe, i), "answer differs from the reference") for i in wrong)
        for status in ("unparsed", "errored"):
            lost = [i for i, row in enumerate(seen) if row.status == status][:2]
            yield from (((probe, i), f"{status}: counts against the model") for i in lost)


def _worst_by(
    probe: str, rows: Sequence[Observation], estimate: EstimateResult, slices: Mapping[str, str]
) -> Iterator[tuple[tuple[str, int], str]]:
    column = _column_of(estimate.metric, rows)
    measured = [
        (float(value), i)
        for i, row in enumerate(rows)
        if row.status == "scored"
        and isinstance(value := row.values.get(column), bool | int | float)
        and math.isfinite(value)
        and all(row.case.of(k) == v for k, v in slices.items())
    ]
    where = f" in {slice_of(slices)}" if slices else ""
    if measured and isinstance(rows[measured[0][1]].values[column], bool):
        bad = 0.0 if estimate.better == "higher" else 1.0
        for _, i in [pair for pair in measured if pair[0] == bad][:_PER_GATE]:
            yield (probe, i), f"{label(column)}: {'yes' if bad else 'no'}"
        return
    ranked = sorted(measured)
    if estimate.better in ("higher", "zero"):
        yield from (((probe, i), f"{label(column)}: among the lowest{where}") for _, i in ranked[:_PER_GATE])
    if estimate.better in ("lower", "zero"):
        highest = sorted(measured, key=lambda pair: (-pair[0], pair[1]))[:_PER_GATE]
        yield from (((probe, i), f"{label(column)}: among the highest{where}") for _, i in highest)


def _column_of(metric: str, rows: Sequence[Observation]) -> str:
    """The column that a metric is of, the longest whose name stands in the metric's; "" where none does."""
    names = {name for row in rows[:50] for name in row.values if f"_{name}_" in f"_{metric}_"}
    return max(sorted(names), key=len, default="")


def _mislabelled(row: Observation) -> bool:
    """Whether a classification, written or by likelihood, is not the reference."""
    answer = row.values.get("label", row.values.get("written"))
    return isinstance(answer, str) and row.case.reference is not None and answer != row.case.reference


class Span(NamedTuple):
    """A claim that an observation carries: characters of its text, verdict, why, and the attribute it is about."""

    start: int
    end: int
    verdict: str
    why: str = ""
    attribute: str = ""


def claims_of(row: Observation, suffix: str = "") -> list[Span]:
    """The spans that an observation carries, in order and not overlapping; [] where none can be read.

    Args:
        row: with the columns `text` and `spans` (JSON rows of a `Span`'s fields).
        suffix: of both columns, where an observation has several texts ("_twin").
    """
    raw, text = row.values.get(f"spans{suffix}"), row.values.get(f"text{suffix}")
    if not isinstance(raw, str) or not isinstance(text, str):
        return []
    try:
        spans = [Span(int(s[0]), int(s[1]), *(str(part) for part in s[2:5])) for s in json.loads(raw)]
    except (ValueError, TypeError, IndexError, KeyError):
        return []
    rank = {verdict: i for i, verdict in enumerate(_VERDICTS)}
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (rank.get(span.verdict, 9), span.start)):
        inside = 0 <= span.start <= span.end <= len(text) and span.verdict in _VERDICTS
        apart = all(span.end <= other.start or span.start >= other.end for other in kept)
        if inside and len(kept) < _SPANS and apart:
            kept.append(span)
    return sorted(kept)


def _span_faults(row: Observation) -> int:
    """How much is wrong by the spans: a contradiction weighs more than any number of unsupported claims."""
    return sum({"contradicted": 1000, "prohibited": 500, "unsupported": 1}.get(s.verdict, 0) for s in claims_of(row))


def _masked(text: str, secrets: Sequence[str] = (), longest: int = _LONGEST) -> Markup:
    # A text is masked a little beyond the cut, so that what lies across it is recognised.
    shortened = mask(text[: longest + 200], secrets)[:longest]
    rest = len(text) - longest
    return shown(shortened) + _more(rest) if rest > 0 else shown(shortened)


def _more(rest: int) -> Markup:
    return Markup('<span class="more"> … {:,} more characters</span>').format(rest)


def _marked(whole: str, secrets: Sequence[str], spans: Sequence[Span]) -> tuple[Markup, list[Finding]]:
    text = mask(whole[: _LONGEST + 200], secrets)
    out: list[Markup] = []
    findings: list[Finding] = []
    at = 0
    for start, end, verdict, why, _ in spans:
        if end > _LONGEST:
            break
        said = mask(why[:_SHORT])
        number = len(findings) + 1
        findings.append(Finding(number, verdict, shown(said)))
        out.append(shown(text[at:start]))
        out.append(
            Markup('<mark class="{}" title="{}">{}<sup>{}</sup></mark>').format(
                verdict, visible(f"{verdict}: {said}"), shown(text[start:end]), number
            )
        )
        at = end
    out.append(shown(text[at:_LONGEST]))
    if len(whole) > _LONGEST:
        out.append(_more(len(whole) - _LONGEST))
    return Markup("").join(out), findings


def _example(probe: str, row: Observation, why: tuple[str, ...], private: bool) -> Example:
    beginning = str(row.case.facts.get("prefix", ""))
    # Whom a canary is of, told by the first line of its record: a report that names them says who was trained on.
    secrets = [*secrets_of(row.case), *re.findall(r"[:：]\s*(\S[^\n]*)\n", beginning)] if private else []
    # Sorted, as in a run that was read back from its evidence; lists of numbers are for the metrics.
    values = {name: value for name, value in sorted(row.values.items()) if not (private and _for_metrics(name))}
    texts = []
    prompt = row.case.prompt.flat or beginning
    if prompt:
        if private and (beginning or row.case.facts.get("aim") == "targeted"):
            put = _CANARY if beginning else _NOT_SHOWN
        else:
            put = _masked(prompt, put_before(row.case) if private else ())
        texts.append(("Prompt", put))
    findings: list[Finding] = []
    if isinstance(text := values.pop("text", None), str):
        marked, findings = _marked(_without_personal(row, text) if private else text, secrets, claims_of(row))
        # A probe without a prompt lets the model read a text, not write one.
        name = "Model wrote" if prompt else "Text that was scored"
        texts.append((name, marked if text else Markup('<i class="nothing">nothing</i>')))
    values.pop("spans", None)
    for suffix in _FURTHER:
        if isinstance(further := values.pop(f"text{suffix}", None), str):
            texts.append((_FURTHER[suffix], _marked(further, secrets, claims_of(row, suffix))[0]))
        values.pop(f"spans{suffix}", None)
    if row.case.reference is not None and "text_reference" not in values:
        texts.append(("Reference", _masked(row.case.reference, secrets)))
    long = {name: value for name, value in values.items() if isinstance(value, str) and len(value) > 60}
    texts += [(label(name), _masked(value, secrets)) for name, value in list(long.items())[:_TEXTS]]
    if row.note:
        texts.append(("Note", _masked(row.note, secrets)))
    facts = {"language": row.case.language, "task": row.case.task, **dict(sorted(row.case.groups.items()))}
    table = [(label(name), shown(mask(str(value), secrets))) for name, value in facts.items() if value]
    table += [
        (label(name), shown(mask(_value(value), secrets) if isinstance(value, str) else _value(value)))
        for name, value in values.items()
        if name not in long
    ][:_VALUES]
    size = sum(len(t.encode("utf-8", "replace")) for _, t in texts) + 60 * len(table) + 120 * len(findings) + 600
    return Example(
        # Who was in the training data is a secret of the trainer: units and canaries go unnamed.
        Markup("masked") if private else _masked(row.case.id, longest=_SHORT),
        probe,
        row.case.language,
        row.status,
        why,
        tuple(texts),
        tuple(findings),
        tuple(table),
        size,
    )


def _without_personal(row: Observation, text: str) -> str:
    """The text with every datum and copy that the probe found in it covered, whosever it is; its length stays."""
    for start, end, *_ in spans_of(row):
        text = text[:start] + cover(text[start:end]) + text[end:]
    return text


def _for_metrics(name: str) -> bool:
    return name.startswith(("nats_", "shadows_")) or name == "others"


def _value(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
