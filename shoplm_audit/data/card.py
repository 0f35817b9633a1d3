"""A data card: what a data set held, what was dropped from it or replaced in it, and why. It never quotes a text.

Data care: 5 records read, 3 kept, 2 dropped.
  exact duplicates  1  row 2
  banned words      1  row 5; by entry of the list: 3 (1 record)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["EXAMPLES", "DataCard", "Lengths"]

EXAMPLES = 5  # rows that are named for each reason
_ENTRIES = 5  # entries of the banned list that are named in print, the busiest first


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the records' texts are, in characters."""

    least: int = 0
    median: int = 0
    most_of_95_percent: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class DataCard:
    """What care found in records and did about it.

    Attributes:
        applied: whether records were dropped and texts changed; a check only counts what would be.
        settings: deduplicate, near, scrub, and how many entries the banned list has.
        read, kept: records.
        dropped: records by reason: "exact duplicates", "near-duplicates", "banned words".
        rows: the first rows of each reason, and of "personal data"; counted from 1 over the records read.
        banned_entries: by entry of the banned list, counted from 1: the records dropped for it.
        personal: by kind, how often personal data was found (and replaced, if applied).
        with_personal: records in which any was found.
        duplicate_groups: sets of records of which all but the first are duplicates.
        duplicates_across_users: those of them that hold records of two or more named users. A text that several
            records share is not hidden by hiding one record, and if it is in here, not by hiding one user either.
        languages: records by language.
        lengths: of the texts as they were read.
        private: whether the records are what a private run protects.
    """

    applied: bool
    settings: Mapping[str, bool | float | int]
    read: int
    kept: int
    dropped: Mapping[str, int]
    rows: Mapping[str, Sequence[int]]
    banned_entries: Mapping[int, int]
    personal: Mapping[str, int]
    with_personal: int
    duplicate_groups: int
    duplicates_across_users: int
    languages: Mapping[str, int]
    lengths: Lengths
    private: bool = False

    @property
    def touches_privacy(self) -> bool:
        """Whether one private record could decide if another one is trained on, which no guarantee covers.

        That is so wherever duplicates are removed from private records, also where none was found: that none was
        found is then an answer of the data, too. Scrubbing and banned words look at each record alone.
        """
        return self.private and bool(self.settings["deduplicate"])

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON takes it, fit to be published: of private records it holds the settings, and no count.

        Counts of private records are exact, not noised, so that they would tell whether one more record is there.
        """
        card: dict[str, Any] = {
            "settings": dict(self.settings),
            "private": self.private,
            "touches_privacy": self.touches_privacy,
        }
        if self.private:
            return card | {"withheld": "counts of private records are exact and would tell of a single record"}
        return card | {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "rows": {reason: list(rows) for reason, rows in self.rows.items()},
            "banned_entries": {str(entry): count for entry, count in self.banned_entries.items()},
            "personal": dict(self.personal),
            "with_personal": self.with_personal,
            "duplicate_groups": self.duplicate_groups,
            "duplicates_across_users": self.duplicates_across_users,
            "languages": dict(self.languages),
            "characters": {
                "least": self.lengths.least,
                "median": self.lengths.median,
                "most_of_95_percent": self.lengths.most_of_95_percent,
                "most": self.lengths.most,
            },
        }

    def as_text(self) -> str:
        """The card in lines, with all counts, for whoever holds the data."""
        drop, replace = ("dropped", "replaced") if self.applied else ("to drop", "found")
        lines = [f"Data care: {_records(self.read)} read, {self.kept:,} kept, {self.read - self.kept:,} {drop}."]
        for reason, count in self.dropped.items():
            line = f"  {reason:<16} {count:>9,}  {_rows(self.rows.get(reason, ()), count)}"
            if reason == "banned words":
                busiest = sorted(self.banned_entries.items(), key=lambda item: -item[1])[:_ENTRIES]
                line += "; by entry of the list: " + ", ".join(f"{entry} ({_records(n)})" for entry, n in busiest)
            elif reason == "near-duplicates":
                line += f"; at least {self.settings['near']:g} of their word triples (Chinese: 4-grams) are shared"
            lines.append(line)
        if self.personal:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.personal.items())
            rows = _rows(self.rows.get("personal data", ()), self.with_personal)
            lines.append(f"Personal data {replace} in {_records(self.with_personal)}: {kinds}; {rows}")
        elif self.settings["scrub"]:
            lines.append("Personal data: none was found.")
        if self.duplicate_groups:
            lines.append(
                f"Groups of duplicates: {self.duplicate_groups:,}, of them {self.duplicates_across_users:,} of several"
                " users (hiding one record, or one such user, does not hide their text)."
            )
        if self.languages:
            lines.append("Languages: " + ", ".join(f"{name} {count:,}" for name, count in self.languages.items()))
        lengths = self.lengths
        lines.append(
            f"Characters: {lengths.least:,} to {lengths.most:,}, median {lengths.median:,},"
            f" 95 % have at most {lengths.most_of_95_percent:,}"
        )
        if self.touches_privacy:
            lines.append(
                "Duplicates were removed by comparing private records, so that one decides whether another is trained"
                " on: computed on private records, not covered by the guarantee."
            )
        return "\n".join(lines)


def _records(count: int) -> str:
    return f"{count:,} record" + ("" if count == 1 else "s")


def _rows(rows: Sequence[int], count: int) -> str:
    listed = ", ".join(f"{row:,}" for row in rows)
    return f"{'row' if count == 1 else 'rows'} {listed}" + (", ..." if count > len(rows) else "")
