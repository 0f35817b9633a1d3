"""Slots of a text held against those of its record: slot errors, and attribute precision and recall.

For example: slot_errors({"food": ["Chinese"]}, {"food": ["English"]}).wrong -> 1
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["AttributeCounts", "Reading", "SchemaFinding", "SlotErrors", "Verdict", "slot_errors"]


Verdict: TypeAlias = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """A value that a text states; `text[start:end]` are its `words`, `value` what they say in the schema's spelling."""

    start: int
    end: int
    attribute: str
    words: str
    verdict: Verdict
    why: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The slots of a record, those of a text (a value said twice stands twice), and where the text states them."""

    record: Mapping[str, tuple[str, ...]]
    stated: Mapping[str, tuple[str, ...]]
    findings: tuple[SchemaFinding, ...]


@dataclass(frozen=True, slots=True)
class SlotErrors:
    """How a text's slots differ from the record's, in values; `slots` counts the values of the record.

    `repeated` are mentions of one value beyond the first. They stand in the rate, as in Dusek et al. (2019), but a text
    that only says a thing twice still fits its record.
    """

    missing: int = 0
    added: int = 0
    wrong: int = 0
    repeated: int = 0
    slots: int = 0

    @property
    def rate(self) -> float:
        """Slot error rate: all four kinds per slot of the record; nan for a record without slots."""
        return (self.missing + self.added + self.wrong + self.repeated) / self.slots if self.slots else float("nan")

    @property
    def fits(self) -> bool:
        """Whether no slot is missing, added or changed."""
        return not (self.missing or self.added or self.wrong)

    def __add__(self, other: SlotErrors) -> SlotErrors:
        return SlotErrors(
            self.missing + other.missing,
            self.added + other.added,
            self.wrong + other.wrong,
            self.repeated + other.repeated,
            self.slots + other.slots,
        )


def slot_errors(record: Mapping[str, Iterable[str]], stated: Mapping[str, Sequence[str]]) -> SlotErrors:
    """Slot errors (Dušek, Howcroft & Rieser 2019, arXiv 1911.03905) of the values that a text states, one a mention.

    Within a slot, repeated mentions go first; then values that only one side has are paired as wrong, and what is left
    over is missing or added.

    Args:
        record: values by attribute.
        stated: values by attribute as the text says them, one entry a mention.

    Returns:
        The counts; they add up over texts with `+`.

    >>> slot_errors({"eatType": ["pub"]}, {"eatType": ["pub", "pub"], "food": ["French"]})
    SlotErrors(missing=0, added=1, wrong=0, repeated=1, slots=1)
    """
    missing = added = wrong = repeated = slots = 0
    for attribute in {*record, *stated}:
        known = set(record.get(attribute, ()))
        said = Counter(stated.get(attribute, ()))
        only_record, only_text = len(known - said.keys()), len(said.keys() - known)
        wrong += min(only_record, only_text)
        missing += max(only_record - only_text, 0)
        added += max(only_text - only_record, 0)
        repeated += said.total() - len(said)
        slots += len(known)
    return SlotErrors(missing, added, wrong, repeated, slots)


@dataclass(frozen=True, slots=True)
class AttributeCounts:
    """Attributes by whether record and text have a value.

    Neither has (nn), the text alone (nv: invented), the record alone (vn: omitted), both and the same (vc: correct),
    both and another (vw: wrong).
    """

    nn: int = 0
    nv: int = 0
    vn: int = 0
    vc: int = 0
    vw: int = 0

    @classmethod
    def of(
        cls, attributes: Iterable[str], record: Mapping[str, Iterable[str]], stated: Mapping[str, Iterable[str]]
    ) -> AttributeCounts:
        """Counts each attribute once: correct where the text states a value of the record's and none beside it."""
        found: Counter[str] = Counter()
        for attribute in {*attributes, *record, *stated}:
            known, said = set(record.get(attribute, ())), set(stated.get(attribute, ()))
            if known and said:
                found["vc" if said <= known else "vw"] += 1
            else:
                found[("v" if known else "n") + ("v" if said else "n")] += 1
        return cls(**found)

    def __add__(self, other: AttributeCounts) -> AttributeCounts:
        return AttributeCounts(
            self.nn + other.nn, self.nv + other.nv, self.vn + other.vn, self.vc + other.vc, self.vw + other.vw
        )

    @property
    def precision(self) -> float:
        """Right among what the text states; nan where it states nothing."""
        stated = self.nv + self.vc + self.vw
        return self.vc / stated if stated else float("nan")

    @property
    def recall(self) -> float:
        """Right among what the record holds; nan where it holds nothing."""
        held = self.vn + self.vc + self.vw
        return self.vc / held if held else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; nan where either is."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else both
