"""What the attributes of a catalogue can be, how texts say it, and which values of a text the record does not bear out.

    E2E.findings("A cheap pub by the river.", {"eatType": "pub", "area": "city centre"})[2]
    -> SchemaFinding(12, 24, "area", "by the river", "contradicted", 'record says area "city centre"', "riverside")

A schema is written by hand (`E2E`) or learnt from the records of a catalogue and from texts that are true of them
(`Schema.of`). A catalogue's schema only contradicts what stands in the place of a value; see `learnt.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from shoplm_audit.scoring.learnt import Learnt
from shoplm_audit.scoring.slots import AttributeCounts, SchemaFinding, SlotErrors, slot_errors
from shoplm_audit.scoring.written import Written

__all__ = ["E2E", "Schema", "SchemaFinding", "schema_for"]


@dataclass(frozen=True, slots=True)
class Schema:
    """Attributes, their values, and how texts say them.

    Attributes:
        written: the name of a table in `schemas/`, or "".
        learnt: what a catalogue has taught, or None.
    """

    written: str = ""
    learnt: Learnt | None = None

    @classmethod
    def of(cls, records: Iterable[Mapping[str, str]], texts: Iterable[str] = (), titles: Iterable[str] = ()) -> Schema:
        """Learns the values of each attribute from records.

        Args:
            records: attribute and value of each product; several values stand in one string, parted by ; 、 or |.
            texts: what people wrote of each of these products, "" where nothing: they teach how a value is said in
                other words (United States, American) and which values are said beside others without denying them.
            titles: of each of these products.

        Returns:
            A schema of all attributes that it has seen.
        """
        return cls(learnt=Learnt(list(records), list(texts), list(titles)))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that the schema knows."""
        return self._reader().attributes

    def findings(
        self, text: str, facts: Mapping[str, str], language: str = "en", title: str = ""
    ) -> tuple[SchemaFinding, ...]:
        """The values that a text states, in order, each supported, contradicted or unsupported by the record.

        Words of both languages are read in either; `language` is there for schemas that part them.
        """
        return self._reader().read(text, facts, title).findings

    def slot_errors(self, text: str, facts: Mapping[str, str], language: str = "en", title: str = "") -> SlotErrors:
        """Slots that the text misses, adds, changes or says twice (Dušek et al. 2019, arXiv 1911.03905)."""
        reading = self._reader().read(text, facts, title)
        return slot_errors(reading.record, reading.stated)

    def attribute_counts(
        self, text: str, facts: Mapping[str, str], language: str = "en", title: str = ""
    ) -> AttributeCounts:
        """Attributes by whether record and text have a value (NN, NV, VN, VC, VW)."""
        reading = self._reader().read(text, facts, title)
        return AttributeCounts.of(self.attributes, reading.record, reading.stated)

    def _reader(self) -> Written | Learnt:
        return self.learnt if self.learnt is not None else _written(self.written)


@cache
def _written(name: str) -> Written:
    return Written(name)


E2E = Schema(written="e2e")


def schema_for(records: Iterable[Mapping[str, str]], texts: Iterable[str] = (), titles: Iterable[str] = ()) -> Schema:
    """`E2E` where the attributes are its own, else a schema learnt from the records (see `Schema.of`)."""
    kept = list(records)
    names = frozenset(name for record in kept for name in record)
    return E2E if names and _written("e2e").fits(names) else Schema.of(kept, texts, titles)
