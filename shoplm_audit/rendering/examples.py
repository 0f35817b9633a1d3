"""A case as a report shows it: its texts masked and escaped, wrong words marked where they stand.

Example(case="p17/en", why=["contradicted: yes"], status="scored", language="en",
        texts=[("Model wrote", Markup('Weighs <mark class="contradicted">1.5 kg<sup>1</sup></mark>'), [...])], ...)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup, escape

from shoplm_audit.rendering.leaked import spans_of
from shoplm_audit.rendering.masking import code_point, cover, mask, put_before, secrets_of, shows, visible
from shoplm_audit.rendering.speaking import _, marked, retold
from shoplm_audit.rendering.wording import label
from shoplm_audit.types import Observation, Value

__all__ = ["Example", "Finding", "Span", "claims_of", "example", "shown"]

_VALUES = 16
_TEXTS = 8
_SPANS = 40
_SHORT = 240  # characters of a reason, an id, a group
_LONGEST = 1200  # characters of one text
_NOT_SHOWN = "a question about one customer; it quotes their record and is not shown"
_CANARY = "the beginning of an invented customer's record; it names them and is not shown"
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
    """One case as the report prints it; every text is masked and escaped already.

    `written` is the position of the text that `findings` are about.
    """

    case: Markup
    probe: str
    language: str
    status: str
    why: tuple[str, ...]
    texts: tuple[tuple[str, Markup], ...]
    findings: tuple[Finding, ...] = ()
    values: tuple[tuple[str, Markup], ...] = ()
    written: int = -1
    size: int = field(default=0, compare=False)


def shown(text: object) -> Markup:
    """A text for a page: escaped, and characters that hide or reorder spelled out."""
    whole = str(escape(text))
    return Markup("".join(c if shows(c) else f'<span class="cp">{code_point(c)}</span>' for c in whole))


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


def _masked(text: str, secrets: Sequence[str] = (), longest: int = _LONGEST) -> Markup:
    # A text is masked a little beyond the cut, so that what lies across it is recognised.
    shortened = mask(text[: longest + 200], secrets)[:longest]
    rest = len(text) - longest
    return shown(shortened) + _more(rest) if rest > 0 else shown(shortened)


def _more(rest: int) -> Markup:
    return marked('<span class="more"> … {n} more characters</span>', n=f"{rest:,}")


def _nothing(why: str) -> Markup:
    return Markup('<i class="nothing">{}</i>').format(_(why))


def _marked(whole: str, secrets: Sequence[str], spans: Sequence[Span]) -> tuple[Markup, list[Finding]]:
    text = mask(whole[: _LONGEST + 200], secrets)
    out: list[Markup] = []
    findings: list[Finding] = []
    at = 0
    for start, end, verdict, why, _about in spans:
        if end > _LONGEST:
            break
        said = mask(retold(why)[:_SHORT])
        number = len(findings) + 1
        findings.append(Finding(number, verdict, shown(said)))
        out.append(shown(text[at:start]))
        out.append(
            Markup('<mark class="{}" title="{}">{}<sup>{}</sup></mark>').format(
                verdict, visible(f"{_(verdict)}: {said}"), shown(text[start:end]), number
            )
        )
        at = end
    out.append(shown(text[at:_LONGEST]))
    if len(whole) > _LONGEST:
        out.append(_more(len(whole) - _LONGEST))
    return Markup("").join(out), findings


def example(probe: str, row: Observation, why: tuple[str, ...], private: bool) -> Example:
    """One case for a page.

    Args:
        probe: that saw it.
        row: what was seen.
        why: it is shown.
        private: whether who was trained on, and their data, are secrets of the page.
    """
    beginning = str(row.case.facts.get("prefix", ""))
    # Whom a canary is of, told by the first line of its record: a report that names them says who was trained on.
    secrets = [*secrets_of(row.case), *re.findall(r"[:：]\s*(\S[^\n]*)\n", beginning)] if private else []
    # Sorted, as in a run that was read back from its evidence; lists of numbers are for the metrics.
    values = {name: value for name, value in sorted(row.values.items()) if not _for_metrics(name, private)}
    texts = []
    prompt = row.case.prompt.flat or beginning
    if prompt:
        if private and (beginning or row.case.facts.get("aim") == "targeted"):
            put = _nothing(_CANARY if beginning else _NOT_SHOWN)
        else:
            put = _masked(prompt, put_before(row.case) if private else ())
        texts.append((_("Prompt"), put))
    findings: list[Finding] = []
    written = len(texts)
    if isinstance(text := values.pop("text", None), str):
        words, findings = _marked(_without_personal(row, text) if private else text, secrets, claims_of(row))
        # A probe without a prompt lets the model read a text, not write one.
        name = _("Model wrote") if prompt else _("Text that was scored")
        texts.append((name, words if text else _nothing("nothing")))
    values.pop("spans", None)
    for suffix in _FURTHER:
        if isinstance(further := values.pop(f"text{suffix}", None), str):
            texts.append((_(_FURTHER[suffix]), _marked(further, secrets, claims_of(row, suffix))[0]))
        values.pop(f"spans{suffix}", None)
    if row.case.reference is not None and "text_reference" not in values:
        texts.append((_("Reference"), _masked(row.case.reference, secrets)))
    long = {name: value for name, value in values.items() if isinstance(value, str) and len(value) > 60}
    texts += [(label(name), _masked(value, secrets)) for name, value in list(long.items())[:_TEXTS]]
    if row.note:
        texts.append((_("Note"), _masked(row.note, secrets)))
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
        Markup(escape(_("masked"))) if private else _masked(row.case.id, longest=_SHORT),
        probe,
        row.case.language,
        row.status,
        why,
        tuple(texts),
        tuple(findings),
        tuple(table),
        written,
        size,
    )


def _without_personal(row: Observation, text: str) -> str:
    """The text with every datum and copy that the probe found in it covered, whosever it is; its length stays."""
    for start, end, *_rest in spans_of(row):
        text = text[:start] + cover(text[start:end]) + text[end:]
    return text


def _for_metrics(name: str, private: bool) -> bool:
    return name == "tries" or (private and (name.startswith(("nats_", "shadows_")) or name == "others"))


def _value(value: Value) -> str:
    if value is None:
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
