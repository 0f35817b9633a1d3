"""Certificates, standards and energy classes by name, held against the attribute that lists them.

next(certificates_in("Certified to GS.", "certified to gs.", record))[2] -> "contradicted" where the record lists CE
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shoplm_audit.scoring.adjudication import best
from shoplm_audit.scoring.record_reading import Record, Slot
from shoplm_audit.scoring.vocabulary import Verdict

__all__ = ["certificates_in", "listed_certificates"]

_ENERGY = re.compile(
    r"\b(?:energy|efficiency)(?: efficiency)? (?:class|rating|label|grade)(?: is| of|:)? ?"
    r"(?P<latin>[a-g]\+{0,3})(?![a-z])"
    r"|(?P<han>[一二三四五1-5])级能效|能效(?:等级|级别)?[为是:]?(?P<label>[一二三四五1-5])级"
)
_STANDARD = re.compile(
    r"\b(?P<standard>iso[ -]?(?:9001|9000|14001|13485|22000|22716|27001|45001|50001)"
    r"|en[ -]?(?:71|388|1078|13432))(?![\w-])"
    r"(?: ?(?:standard )?(?:certified|certification)|认证)?"
)
_CERTIFIED = re.compile(
    r"\b[Cc]ertified (?:to|by|under) (?:the )?(?P<to>[A-Z][\w-]+|bluesign)"
    r"|\b(?P<adjective>[A-Z][A-Z\d-]{1,30})[- ]certified\b"
    r"|\b[Tt]he (?P<noun>[A-Z][\w-]+|bluesign) (?:certificate|certification)"
    r"|\b[Cc]ertifi(?:cate|cation)s?(?:\s?:| is) (?P<named>[A-Z][\w-]+|bluesign)"
    r"|认证[为是:]\s?(?P<names>[A-Za-z0-9][A-Za-z0-9-]{1,14})"
    r"|(?P<han>[A-Za-z0-9][A-Za-z0-9-]{1,14})(?:质量|安全)?认证"
)


def certificates_in(plain: str, lower: str, record: Record) -> Iterator[tuple[int, int, Verdict, Slot | None]]:
    """Where a text names a certificate, a standard or an energy class, and what the record says to it."""
    for match in _CERTIFIED.finditer(plain):
        yield *match.span(), *_judge_certificate(match[match.lastgroup or 0], record)
    for match in _STANDARD.finditer(lower):
        code = _code(match["standard"])
        slot = next((slot for slot in record.values if code in _code(slot.value)), None)
        yield *match.span(), "supported" if slot else "unsupported", slot
    for match in _ENERGY.finditer(lower):
        yield *match.span(), *_judge_energy(match, record)


def _code(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def listed_certificates(record: Record) -> list[Slot]:
    """The attributes that list certificates: what they do not name the product does not have."""
    return [slot for slot in record.answering("certificate") if slot.value.strip()]


def _judge_certificate(name: str, record: Record) -> tuple[Verdict, Slot | None]:
    code = _code(name)
    for slot in record.values:
        if re.search(rf"(?<![a-z]){re.escape(code)}", _code_words(slot.value)):
            return "supported", slot
    slots = listed_certificates(record)
    return ("contradicted", slots[0]) if slots else ("unsupported", None)


def _code_words(value: str) -> str:
    return re.sub(r"[-_]", "", value).lower()


_GRADES = dict(zip("一二三四五", "12345", strict=True))


def _grade(match: re.Match[str]) -> str:
    grade = match["latin"] or match["han"] or match["label"]
    return _GRADES.get(grade, grade)


def _judge_energy(match: re.Match[str], record: Record) -> tuple[Verdict, Slot | None]:
    verdicts: list[tuple[str, Slot]] = []
    for slot in record.values:
        known = _ENERGY.search(f"{slot.name.lower()}:{slot.value}") or _ENERGY.search(
            f"{slot.name.lower()}: {slot.value}"
        )
        if known and bool(known["latin"]) == bool(match["latin"]):
            verdicts.append(("supported" if _grade(known) == _grade(match) else "contradicted", slot))
    return best(verdicts)
