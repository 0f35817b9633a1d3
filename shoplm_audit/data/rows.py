"""One row of a file becomes one record, or a sentence that says all that is wrong with it and what to do.

not a review: missing "text"; "rating" is "7": it has to be a number from 1 to 5. Give the column with ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import TypeVar

from shoplm_audit.data.cells import (
    CellError,
    as_attributes,
    as_label,
    as_language,
    as_rating,
    as_text,
    as_time,
    as_turns,
    is_blank,
    language_of,
    reads_as_attributes,
)
from shoplm_audit.data.exercises import exercise_of
from shoplm_audit.data.layouts import ATTRIBUTE_COLUMNS, FIELDS, LAYOUTS, Layout, layout_of
from shoplm_audit.data.records import Dialogue, Exercise, Interaction, Product, Record, Review, Stereotype, Text
from shoplm_audit.data.stereotypes import stereotype_of
from shoplm_audit.types import Turn

__all__ = ["ESSENTIAL", "NOUN", "PREFIX", "PUT_RIGHT", "Columns", "RowError", "folded", "record_of"]

NOUN = {
    "products": "a product",
    "reviews": "a review",
    "dialogues": "a dialogue",
    "interactions": "an interaction",
    "texts": "a text",
    "exercises": "an exercise",
    "stereotypes": "an item of a benchmark of stereotypes",
}
# What a record cannot do without: no `--map field=` for these.
ESSENTIAL = {
    "products": ("title",),
    "reviews": ("text",),
    "dialogues": ("turns", "question"),
    "interactions": ("user", "product"),
    "texts": ("text",),
    "exercises": ("prompt",),
    "stereotypes": ("context", "options"),
}
DROP = "drop such rows with --skip-bad-rows."
PUT_RIGHT = f"Put it right, or {DROP}"
PREFIX = "attributes."
_T = TypeVar("_T")


class RowError(Exception):
    """What is wrong with a row, and what to do."""


def folded(column: str) -> str:
    """A column as it is compared: without regard to case, but attributes keep the spelling of their name."""
    name = column.strip()
    return name if name.startswith(PREFIX) else name.casefold()


@dataclass(slots=True)
class Columns:
    """Where the fields of one file are found.

    Attributes:
        kind, layout: what the file was recognised as.
        places: the columns of each field, the preferred one first.
        needed: the fields that every row has to fill.
        attributes: columns that were mapped to an attribute of this name.
        fields: all columns in `places`.
        met: columns in which attributes were found.
    """

    kind: str
    layout: Layout
    places: Mapping[str, tuple[str, ...]]
    needed: Set[str]
    attributes: Mapping[str, str]
    fields: Set[str]
    met: set[str] = field(default_factory=set)

    @staticmethod
    def of(kind: str, columns: Set[str], mapping: Mapping[str, str]) -> Columns:
        """The columns of a file whose first good row has these."""
        layout = layout_of(kind, columns | mapping.keys()) or LAYOUTS[kind][-1]
        places = {}
        for name in FIELDS[kind]:
            given = mapping.get(name)
            places[name] = layout.places(name) if given is None else (folded(given),) if given else ()
        return Columns(
            kind=kind,
            layout=layout,
            places=places,
            needed=frozenset(layout.needed) - {name for name, column in mapping.items() if not column},
            attributes={folded(c): name.removeprefix(PREFIX) for name, c in mapping.items() if name.startswith(PREFIX)},
            fields=frozenset(column for each in places.values() for column in each),
        )

    def used(self, seen: Iterable[str]) -> dict[str, list[str]]:
        """The columns among these that each field is read from."""
        there = set(seen)
        used = {name: [column for column in places if column in there] for name, places in self.places.items()}
        if self.met:
            used["attributes"] += sorted(self.met.difference(used["attributes"]))
        return used


def record_of(values: Mapping[str, object], columns: Columns, where: str) -> Record:
    """The record of a row; its id is `where` if the row gives none.

    Raises:
        RowError: all that is wrong with the row.
    """
    cells = _Cells(where, values, columns)
    record = _MAKERS[columns.kind](cells)
    cells.check()
    return record


@dataclass(slots=True)
class _Cells:
    """The cells of one row by field. Faults are gathered, so that all of a row are told at once."""

    where: str
    values: Mapping[str, object]
    columns: Columns
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def get(self, name: str, convert: Callable[[object], _T], default: _T) -> _T:
        """The first filled cell of the field's columns, converted. An empty default does not fill a needed field."""
        places = self.columns.places[name]
        for column in places:
            if not is_blank(value := self.values.get(column)):
                return self.converted(name, value, convert, default)
        if name in self.columns.needed and not default:
            if any(column in self.values for column in places):
                self.faults.append(f'"{name}" is empty')
            else:
                self.missing.append(name)
        return default

    def converted(self, name: str, value: object, convert: Callable[[object], _T], default: _T) -> _T:
        try:
            return convert(value)
        except CellError as fault:
            self.faults.append(f'"{name}" {fault}')
            return default

    def text(self, name: str) -> str:
        return self.get(name, as_text, "")

    def language(self, *texts: str) -> str:
        return self.get("language", as_language, "") or language_of(" ".join(texts))

    def attributes(self) -> dict[str, str]:
        """The attributes of the field's own cell and of every other column that holds some."""
        columns = self.columns
        found: dict[str, str] = {}
        for column, value in self.values.items():
            name = columns.attributes.get(column)
            if name is None and column in columns.fields:
                continue
            if name is None and (column.startswith(PREFIX) or column in ATTRIBUTE_COLUMNS):
                name = column.removeprefix(PREFIX)
            if name is not None:
                columns.met.add(column)
                if not is_blank(value):
                    found[name] = self.converted(f"{PREFIX}{name}", value, as_text, "")
            elif reads_as_attributes(value):
                columns.met.add(column)
                found.update(as_attributes(value))
        return {**found, **self.get("attributes", as_attributes, found)}

    def check(self) -> None:
        """Raises what is wrong with the row, if anything is."""
        if not self.missing and not self.faults:
            return
        self.missing.sort(key=self.columns.layout.needed.index)
        missing = " and ".join(f'"{name}"' for name in self.missing)
        what = "; ".join([f"missing {missing}"] * bool(missing) + self.faults)
        remedy = PUT_RIGHT
        if missing:
            maps = " ".join(f"--map {name}=COLUMN" for name in self.missing)
            spare = [f"--map {name}=" for name in self.missing if name not in ESSENTIAL[self.columns.kind]]
            none = f" ({' '.join(spare)} if there is none)" if spare else ""
            remedy = f"Give the column{'s' * (len(self.missing) > 1)} with {maps}{none}, or {DROP}"
        raise RowError(f"not {NOUN[self.columns.kind]}: {what}. {remedy}")


def _product(cells: _Cells) -> Product:
    derived = cells.columns.layout.derived
    attributes = cells.attributes()
    category = cells.get("category", as_text, attributes.get(derived.get("category", ""), ""))
    # What is shown as the title is no second fact beside it.
    title = cells.get("title", as_text, attributes.pop(derived.get("title", ""), ""))
    if not title and "title" in derived and attributes:
        cells.faults.append(f'"attributes" hold no "{derived["title"]}", which is the title')
    description = cells.text("description")
    return Product(
        id=cells.text("id") or cells.where,
        title=title,
        category=category,
        attributes=attributes,
        description=description,
        price=cells.text("price"),
        language=cells.language(title, description, *attributes.values()),
    )


def _review(cells: _Cells) -> Review:
    text = cells.text("text")
    return Review(
        id=cells.text("id") or cells.where,
        product=cells.text("product"),
        text=text,
        rating=cells.get("rating", as_rating, float("nan")),
        user=cells.text("user"),
        title=cells.text("title"),
        time=cells.get("time", as_time, ""),
        label=cells.get("label", as_label, ""),
        language=cells.language(text),
        category=cells.text("category"),
    )


def _dialogue(cells: _Cells) -> Dialogue:
    turns: tuple[Turn, ...] = ()
    turns = cells.get("turns", as_turns, turns)
    if not turns and "turns" not in cells.columns.needed:
        question, answer = Turn("user", cells.text("question")), Turn("assistant", cells.text("answer"))
        turns = (question, answer) if answer.text else (question,)
    return Dialogue(
        id=cells.text("id") or cells.where,
        turns=turns,
        product=cells.text("product"),
        intent=cells.text("intent"),
        language=cells.language(*(turn.text for turn in turns)),
    )


def _interaction(cells: _Cells) -> Interaction:
    return Interaction(
        user=cells.text("user"),
        product=cells.text("product"),
        time=cells.get("time", as_time, ""),
        rating=cells.get("rating", as_rating, float("nan")),
    )


def _text(cells: _Cells) -> Text:
    text = cells.text("text")
    return Text(
        id=cells.text("id") or cells.where,
        text=text,
        label=cells.text("label"),
        language=cells.language(text),
        user=cells.text("user"),
        group=cells.text("group"),
    )


def _exercise(cells: _Cells) -> Exercise:
    try:
        return exercise_of(cells.values, cells.columns.layout.name, cells.where)
    except CellError as fault:
        cells.faults.append(f"the row {fault}")
        return Exercise(cells.where, "", "", "text", "", ())


def _stereotype(cells: _Cells) -> Stereotype:
    try:
        return stereotype_of(cells.values, cells.columns.layout.name, cells.where)
    except CellError as fault:
        cells.faults.append(f"the row {fault}")
        return Stereotype(cells.where, "", "", "", "", {})


_MAKERS: Mapping[str, Callable[[_Cells], Record]] = {
    "products": _product,
    "reviews": _review,
    "dialogues": _dialogue,
    "interactions": _interaction,
    "texts": _text,
    "exercises": _exercise,
    "stereotypes": _stereotype,
}
