r"""Rows of public benchmarks of stereotypes, as they are published: BBQ, CBBQ, CrowS-Pairs, StereoSet, WinoBias.

stereotype_of({"number": "1", "sentence": "[The cook] thanked the guard because [she] ate."}, "WinoBias", "pro.txt:1")
-> Stereotype("pro.txt:1", "WinoBias", "gender", "pro", ..., {"referent": "the cook", "pronoun": "she"}, ...)

What agrees with the stereotype is settled here, once, as the role "biased": of a negative question it is the target
group, of a non-negative one the other. BBQ's file `additional_metadata.csv` gives `target_loc`, in which the polarity
is settled already; where a row has that column it is taken as it stands, and nothing is turned round again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from shoplm_audit.data.cells import CellError, as_text, language_of
from shoplm_audit.data.formats import RawRow, format_of, read_rows
from shoplm_audit.data.records import Stereotype

__all__ = ["stereotype_of", "stereotype_rows"]

_POLARITIES = {"neg": "negative", "nonneg": "non-negative", "non_neg": "non-negative"}
_CONDITIONS = {
    "ambig": "ambiguous",
    "ambiguous": "ambiguous",
    "disambig": "disambiguated",
    "disambiguous": "disambiguated",
    "disambiguated": "disambiguated",
}
_STEREOSET = ("stereotype", "anti-stereotype", "unrelated")
# How BBQ's answers and its stereotyped groups call the same people.
_SAME = {"man": "m", "boy": "m", "men": "m", "woman": "f", "girl": "f", "women": "f", "girls": "f"}
_SEX = re.compile("^[mf]-")
# What CBBQ puts behind the name of a group, and how its answers call women and men.
_PEOPLE = re.compile("(?:性别者|性别|人群|群体|人|性|者)+$")
_FORMS = {"女": ("女", "妈", "母", "妻", "姐"), "男": ("男", "爸", "父", "夫")}
_NUMBERED = re.compile(r"\s*(\d+)\s+(.*\S)\s*")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_ARTICLE = re.compile("^(?:the|a|an) ", re.IGNORECASE)
_STANCE = re.compile("(?<![a-z])(pro|anti)(?![a-z])", re.IGNORECASE)
_PRONOUNS = frozenset(("he", "she", "him", "her", "his", "hers", "himself", "herself"))


def stereotype_rows(path: Path) -> Iterator[RawRow]:
    """The rows of a benchmark's file; a row's line is its number where one JSON document holds them all.

    Besides what `read_rows` reads: a JSON array (CBBQ, also with byte-order marks in its keys), StereoSet's own
    document, and WinoBias's numbered sentences as plain text.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    if format_of(path) == "text":
        return (_sentence(row) for row in read_rows(path))
    if path.suffix.lower() != ".json":
        return read_rows(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        return _entries(json.loads(text))
    except UnicodeDecodeError:
        return read_rows(path)  # which tells what to do
    except json.JSONDecodeError as fault:
        if text.lstrip()[:1] == "[":
            return iter([RawRow(fault.lineno, fault=f"not JSON: {fault.msg} at column {fault.colno}")])
        return read_rows(path)  # an object a line


def _sentence(row: RawRow) -> RawRow:
    found = _NUMBERED.fullmatch(str(row.values.get("text", "")))
    if found is None:
        return RawRow(row.line, fault="not a numbered sentence as in WinoBias (1 [The cook] ... [she] ...)")
    return RawRow(row.line, {"number": found[1], "sentence": found[2]})


def _entries(document: object) -> Iterator[RawRow]:
    rows: list[object] = document if isinstance(document, list) else [document]
    if isinstance(document, Mapping) and isinstance(document.get("data"), Mapping):
        rows = [
            {**entry, "type": kind} if isinstance(entry, Mapping) else entry
            for kind, entries in document["data"].items()
            for entry in (entries if isinstance(entries, list) else [entries])
        ]
    for number, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            yield RawRow(number, {name.strip("\ufeff"): value for name, value in row.items()})
        else:
            yield RawRow(number, fault=f"not a JSON object but {json.dumps(row, ensure_ascii=False)[:40]}")


def stereotype_of(values: Mapping[str, object], layout: str, where: str) -> Stereotype:
    """The item of a row; its id says what it is about and where it stands.

    Args:
        values: cells by column, in lower case.
        layout: as `data.layouts` calls it.
        where: file and line.

    Raises:
        CellError: a cell that does not fit, named.
    """
    return _READERS[layout](values, where)


# Questions ------------------------------------------------------------------------------------------


def _bbq(values: Mapping[str, object], where: str) -> Stereotype:
    named = _one_of(values, "question_polarity", _POLARITIES)
    answers = [_text(values, f"ans{i}") for i in range(3)]
    information = [_information(values, i) for i in range(3)]
    unknown = _only([i for i, (_, label) in enumerate(information) if label == "unknown"], "an unknown answer")
    if values.get("target_loc") is not None:
        biased = _index(values, "target_loc")
    else:
        target = _target(values, information, unknown)
        biased = target if named == "negative" else 3 - unknown - target
    if biased == unknown:
        raise CellError('has the unknown answer as that of the stereotyped group ("target_loc")')
    return _question(values, where, "BBQ", answers, (biased, unknown), "en")


def _information(values: Mapping[str, object], number: int) -> tuple[str, str]:
    """What an answer's text and group are called, folded."""
    told = values.get("answer_info")
    each = told.get(f"ans{number}") if isinstance(told, Mapping) else None
    if not isinstance(each, Sequence) or isinstance(each, str) or len(each) != 2:
        raise CellError(f'has no text and group of "ans{number}" in "answer_info"')
    return _folded(each[0]), _folded(each[1])


def _folded(name: object) -> str:
    plain = _SEX.sub("", str(name).strip().casefold())
    return _SAME.get(plain, plain)


def _target(values: Mapping[str, object], information: Sequence[tuple[str, str]], unknown: int) -> int:
    """Which answer is that of the stereotyped group: by its group, else by its text."""
    told = values.get("additional_metadata")
    groups = told.get("stereotyped_groups") if isinstance(told, Mapping) else None
    if not isinstance(groups, Sequence) or isinstance(groups, str) or not groups:
        raise CellError('has no "stereotyped_groups" in "additional_metadata", and no "target_loc"')
    wanted = {_folded(group) for group in groups}
    known = [i for i in range(3) if i != unknown]
    for part in (1, 0):
        if found := [i for i in known if information[i][part] in wanted]:
            return _only(found, f"one answer of the stereotyped groups ({', '.join(map(str, groups))})")
    raise CellError(
        f'has no answer of the stereotyped groups ({", ".join(map(str, groups))}): add the column "target_loc" of '
        "additional_metadata.csv"
    )


def _cbbq(values: Mapping[str, object], where: str) -> Stereotype:
    answers = [_text(values, f"ans{i}") for i in range(3)]
    group = _text(values, "bias_targeted_groups")
    stem = _PEOPLE.sub("", group) or group
    forms = _FORMS.get(stem, (stem,))
    # A group of which "非" makes the opposite is not named by it.
    named = [i for i in (0, 1) if any(re.search(f"(?<!非){re.escape(form)}", answers[i]) for form in forms)]
    # Where no answer names the group (辽宁人 of 东北人) it is the first. The published scripts always take the first,
    # which in the file on gender is the other one.
    target = named[0] if len(named) == 1 else 0
    biased = target if _one_of(values, "question_polarity", _POLARITIES) == "negative" else 1 - target
    return _question(values, where, "CBBQ", answers, (biased, 2), "zh")


def _question(
    values: Mapping[str, object],
    where: str,
    benchmark: str,
    answers: Sequence[str],
    places: tuple[int, int],
    language: str,
) -> Stereotype:
    biased, unknown = places
    roles = ["biased" if i == biased else "unknown" if i == unknown else "other" for i in range(3)]
    category, template = _text(values, "category"), as_text(values.get("question_index", ""))
    condition = _one_of(values, "context_condition", _CONDITIONS)
    right = roles[_index(values, "label")]
    if (right == "unknown") != (condition == "ambiguous"):
        raise CellError(
            f'has the context_condition "{values["context_condition"]}" and the {right} answer as its label'
        )
    return Stereotype(
        id=f"{category}/{condition}/{where}",
        benchmark=benchmark,
        bias=category,
        condition=condition,
        context=_text(values, "context"),
        options=dict(zip(roles, answers, strict=True)),
        cluster=f"{category}/{template}" if template else "",
        question=_text(values, "question"),
        right=right,
        polarity=_one_of(values, "question_polarity", _POLARITIES),
        language=language,
    )


# Sentences ------------------------------------------------------------------------------------------


def _crows(values: Mapping[str, object], where: str) -> Stereotype:
    options = {"more": _text(values, "sent_more"), "less": _text(values, "sent_less")}
    if options["more"] == options["less"]:
        raise CellError("has two sentences that are the same")
    stance = _one_of(values, "stereo_antistereo", {"stereo": "stereo", "antistereo": "antistereo"})
    return Stereotype(where, "CrowS-Pairs", _text(values, "bias_type"), stance, "", options,
                      language=language_of(options["more"]))  # fmt: skip


def _flattened(values: Mapping[str, object], where: str) -> Stereotype:
    return _stereoset(values, {role: _text(values, role) for role in _STEREOSET}, where)


def _original(values: Mapping[str, object], where: str) -> Stereotype:
    sentences = values.get("sentences")
    if not isinstance(sentences, Sequence) or not all(isinstance(one, Mapping) for one in sentences):
        raise CellError('has "sentences" that are no list of objects')
    options = {str(one.get("gold_label")): as_text(one.get("sentence", "")) for one in sentences}
    if set(options) != set(_STEREOSET) or not all(options.values()):
        raise CellError(f"has sentences for {', '.join(options) or 'nothing'}: they have to be {', '.join(_STEREOSET)}")
    return _stereoset(values, {role: options[role] for role in _STEREOSET}, where)


def _stereoset(values: Mapping[str, object], options: Mapping[str, str], where: str) -> Stereotype:
    condition = _one_of(values, "type", {one: one for one in ("intrasentence", "intersentence")})
    context = _text(values, "context")
    if condition == "intrasentence" and "BLANK" not in context:
        raise CellError('is an intrasentence item without "BLANK" in its context')
    target = _text(values, "target")
    return Stereotype(where, "StereoSet", _text(values, "bias_type"), condition, context, options,
                      cluster=target.casefold(), language=language_of(context))  # fmt: skip


def _winobias(values: Mapping[str, object], where: str) -> Stereotype:
    if not isinstance(values.get("sentence"), str):
        raise CellError("has the columns of none of BBQ, CBBQ, CrowS-Pairs, StereoSet and WinoBias")
    sentence, stances = _text(values, "sentence"), _STANCE.findall(where.replace("_", " "))
    if not stances:
        raise CellError('stands in a file whose name says neither "pro" nor "anti"')
    marked = [one.strip() for one in _BRACKETS.findall(sentence)]
    pronouns = [one.casefold() for one in marked[1:]]
    if not pronouns or not _PRONOUNS.issuperset(pronouns) or not marked[0]:
        raise CellError(f"has {len(marked)} marked phrases: they have to be a person and then pronouns that mean them")
    context = re.sub(r"\s+", " ", _BRACKETS.sub(r"\1", sentence))
    frame = "type2" if "type2" in where else "type1" if "type1" in where else ""
    return Stereotype(
        id=where,
        benchmark="WinoBias",
        bias=f"gender {frame}".strip(),
        condition=stances[0].casefold(),
        context=context,
        options={"referent": _ARTICLE.sub("", marked[0]).casefold(), "pronoun": pronouns[0]},
        cluster=_BRACKETS.sub("[]", sentence),
        right="referent",
    )


_READERS: Mapping[str, Callable[[Mapping[str, object], str], Stereotype]] = {
    "BBQ": _bbq,
    "CBBQ": _cbbq,
    "CrowS-Pairs": _crows,
    "StereoSet, flattened": _flattened,
    "StereoSet": _original,
    "WinoBias": _winobias,
}


# Cells ----------------------------------------------------------------------------------------------


def _text(values: Mapping[str, object], column: str) -> str:
    text = values.get(column)
    if not isinstance(text, str) or not text.strip():
        raise CellError(f'has no text in "{column}"')
    return as_text(text)


def _one_of(values: Mapping[str, object], column: str, known: Mapping[str, str]) -> str:
    told = as_text(values.get(column) or "").casefold()
    if told not in known:
        raise CellError(f'has the {column} "{told}": known are {", ".join(known)}')
    return known[told]


def _index(values: Mapping[str, object], column: str) -> int:
    told = as_text(values.get(column)) if values.get(column) is not None else ""
    if told not in ("0", "1", "2"):
        raise CellError(f'has the {column} "{told}": it has to be 0, 1 or 2')
    return int(told)


def _only(found: Sequence[int], what: str) -> int:
    if len(found) != 1:
        raise CellError(f"has {len(found)} answers where it needs {what}")
    return found[0]
