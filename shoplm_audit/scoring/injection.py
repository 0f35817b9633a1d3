"""Errors of known kind put into a faithful text, so that a checker's own error can be measured.

    inject("colour", "A navy kettle.", {"colour": "navy"}, language="en", rng=rng)
    -> Injected("A red kettle.", "colour", 2, 5, "navy", "red", attribute="colour")

Where an error can go is found by looking for the record's values in the text, as they are spelled; the verdicts of the
checker that is measured are never asked. But it shares tables with it: a colour's place is found, and values that
exclude each other are told, by the lexicon of colours and materials, and a quantity's place by the reader of numbers
and units (so that 500 g does not become 0.5 kg). So nothing is put where a text says a value in words that neither
reads ("six knives" for 6, a shade that no table has): what the checker misses there, this cannot show.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from shoplm_audit.errors import ConfigError
from shoplm_audit.scoring.error_words import (
    BESIDE,
    CERTIFICATE_NAMES,
    CERTIFICATES,
    CERTIFIED,
    COLOURS,
    COUNTRIES,
    DENIED,
    DIGITS,
    FACTORS,
    FLIP,
    FLIPS,
    MADE_IN,
    NO,
    OPENING,
    ORIGIN_NAMES,
    STATES,
    UNIT,
    UNITS,
    YES,
)
from shoplm_audit.scoring.quantities import agrees, level, quantities_in
from shoplm_audit.scoring.scene import LONGEST, Facts, Injected, Scene, Stated, excludes, parts_of, places_of, spelled
from shoplm_audit.scoring.vocabulary import LEXICON

__all__ = ["ERRORS", "Injected", "inject"]

ERRORS: tuple[str, ...] = ("value", "unit", "colour", "certificate", "negation", "leak", "origin", "omission")

_SEVERAL = 0.05  # share of products with several values of an attribute above which its values exclude nothing
_REACH = 5  # characters before a Chinese value in which its verb stands, the verb counted


def inject(
    kind: str,
    text: str,
    facts: Facts,
    *,
    language: str,
    title: str = "",
    others: Sequence[Facts] = (),
    rng: np.random.Generator,
) -> Injected | None:
    """Puts one error into a faithful text.

    Args:
        kind: one of `ERRORS`: another value of an attribute; ten times a number, or its unit swapped; another colour; a
            certificate added; a statement denied; a sentence true of another product; another origin; the clause of a
            stated value left out.
        text: what is faithful to the record, in whole or in part.
        facts: the record; several values of an attribute stand in one string, parted by commas or 、.
        language: "en" or "zh", of the sentences that are added.
        title: of the product; its words are never chosen as false ones.
        others: records of other products, where other values come from.
        rng: draws where and what; the same state gives the same error.

    Returns:
        The text with the error, or None where it has no place for one: no value of the record stands in it, or no
        other value is known that it excludes.

    Raises:
        ConfigError: a kind that does not exist.

    >>> rng = np.random.default_rng(0)
    >>> inject("negation", "It is waterproof.", {"protection": "waterproof"}, language="en", rng=rng).text
    'It is not waterproof.'
    """
    if kind not in ERRORS:
        raise ConfigError(f'error "{kind}": there are {", ".join(ERRORS)}.')
    language = "zh" if language == "zh" else "en"
    known = {str(name): str(value) for name, value in facts.items() if value is not None and str(value).strip()}
    known.pop("title", None)
    scene = Scene(text, known, language, title, [dict(other) for other in others], rng)
    return _WAYS[kind](scene)


def _other_values(scene: Scene, attribute: str, old: str) -> Iterator[str]:
    """What other products have there, as far as it is false of this one, in random order.

    An attribute of which products as a rule have several values at once excludes nothing, nor do two values that one
    product has.
    """
    own = parts_of(scene.facts[attribute])
    whole = old not in own  # "Aarhus, Denmark" as it stands
    theirs = [str(other[attribute]).replace("_", " ") for other in scene.others if other.get(attribute)]
    parted = [parts_of(value) for value in theirs]
    if sum(len(parts) > 1 for parts in parted) > _SEVERAL * len(parted):
        return
    offered = {value for value in theirs if len(value) <= LONGEST} if whole else {p for parts in parted for p in parts}
    beside = {part for parts in [own, *parted] if old in parts for part in parts}
    for new in scene.shuffled(sorted(offered - beside)):
        if all(excludes(mine, new) for mine in own) and not scene.holds(new):
            yield new


def _other_numbers(scene: Scene, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """The first number of a stretch, made another one."""
    found = DIGITS.search(level(scene.text), start, end)
    if found is None:
        return
    plain = found[0].replace(",", "")
    digits = len(plain.partition(".")[2])
    for factor in scene.shuffled(FACTORS):
        new = f"{float(plain) * factor:.{digits}f}"
        if float(new) != float(plain) and float(new) > 0 and not scene.holds(new):
            yield found.start(), found.end(), new


def _value(scene: Scene) -> Injected | None:
    for stated in scene.stated():
        for new in _other_values(scene, stated.attribute, stated.value):
            made = scene.replaced("value", stated.start, stated.end, new, stated.attribute)
            if scene.is_false(made):
                return made
        for start, end, new in _other_numbers(scene, stated.start, stated.end):
            made = scene.replaced("value", start, end, new, stated.attribute)
            if scene.is_false(made):
                return made
    return None


def _measures(scene: Scene) -> list[Stated]:
    """Where the text states a measured number of the record, in the record's words or in another spelling."""
    said = [q for q in quantities_in(scene.text) if q.dimension not in ("", "percent")]
    found = [
        Stated(name, known.text, one.start, one.end)
        for name, value in scene.facts.items()
        for known in quantities_in(value)
        for one in said
        if known.dimension == one.dimension and agrees(one, known) and DIGITS.search(level(one.text))
    ]
    return scene.shuffled(found)


def _unit(scene: Scene) -> Injected | None:
    for stated in _measures(scene):
        words = level(scene.text[stated.start : stated.end])
        number, unit = DIGITS.search(words), UNIT.search(words)
        ways = []
        if number is not None:
            plain = number[0].replace(",", "")
            digits = max(0, len(plain.partition(".")[2]) - 1)
            ways.append(words[: number.start()] + f"{float(plain) * 10:.{digits}f}" + words[number.end() :])
        if unit is not None:
            ways.append(words[: unit.start()] + UNITS[unit[1]] + words[unit.end() :])
        for now in scene.shuffled(ways):
            made = scene.replaced("unit", stated.start, stated.end, now, stated.attribute)
            if scene.is_false(made):
                return made
    return None


def _colour(scene: Scene) -> Injected | None:
    words = LEXICON["colour"]
    places: list[Stated] = []
    for name, value in scene.facts.items():
        known = [words.concept[m[0]] for m in words.pattern.finditer(level(value).lower()) if _is_colour(name, m[0])]
        if not known:
            continue
        for match in words.pattern.finditer(_lowered(scene.text)):
            said = words.concept[match[0]]
            after = scene.text[match.end() : match.end() + 12].removeprefix("色")
            if re.search(r"[\d厘毫千分]$", scene.text[: match.start()][-1:]):  # the 米 of 厘米 is no beige
                continue
            denied = DENIED.search(scene.text[max(0, match.start() - 24) : match.start()])
            implied = said != "multicolour" and any(words.implies(one, said) for one in known)
            doubtful = match[0] in words.doubtful and not places_of(match[0], value)
            if implied and not doubtful and not denied and not BESIDE.match(after):
                end = match.end() + (scene.text[match.end() : match.end() + 1] == "色")
                places.append(Stated(name, value, match.start(), end))
    held = [words.concept[m[0]] for said in (scene.text, scene.title, *scene.facts.values())
            for m in words.pattern.finditer(level(said).lower())]  # fmt: skip
    for stated in scene.shuffled(places):
        for new in scene.shuffled(COLOURS[scene.language]):
            concept = words.concept[new.removesuffix("色")]
            if all(words.excludes(one, concept) for one in held if one != "multicolour"):
                now = (
                    new if stated.end - stated.start > 1 else new.removesuffix("色")
                )  # 红 becomes 蓝, 酒红 becomes 蓝色
                return scene.replaced("colour", stated.start, stated.end, now, stated.attribute)
    return None


def _lowered(text: str) -> str:
    """In lower case, each character where it stood: İ has two when it is small."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in level(text))


def _is_colour(attribute: str, word: str) -> bool:
    """Whether a word of this attribute's value is a colour: "silver" as a metal is none."""
    named = re.search(r"colou?r|finish|shade|色", attribute, re.IGNORECASE) is not None
    return named or (
        word not in LEXICON["colour"].doubtful and word not in LEXICON["material"].concept and len(word) > 1
    )


def _certificate(scene: Scene) -> Injected | None:
    attribute = next((name for name in scene.facts if CERTIFICATE_NAMES.search(name)), "")
    for mark in scene.shuffled(CERTIFICATES):
        if not scene.holds(mark):
            return scene.added("certificate", CERTIFIED[scene.language].format(mark), attribute)
    return None


def _negation(scene: Scene) -> Injected | None:
    direct: list[Stated] = scene.shuffled(
        [
            Stated(name, value, start, end)
            for name, value in scene.facts.items()
            if value.strip().lower() in YES | NO
            for start, end in places_of(spelled(name), scene.text)
        ]
    )
    for stated in direct:
        before = re.search(r"(?:\bnot |\bnon-|[不非])$", scene.text[: stated.start], re.IGNORECASE)
        yes = stated.value.strip().lower() in YES
        if yes and not before:
            return _denied(scene, stated)
        if not yes and before:
            now = scene.text[stated.start : stated.end]
            return scene.replaced("negation", before.start(), stated.end, now, stated.attribute)
    marks = scene.clauses()
    pattern, flips = FLIP[scene.language], dict(FLIPS[scene.language])
    for stated in scene.stated():
        begin = marks[bisect_right(marks, stated.start, key=lambda mark: mark[1]) - 1][1]
        if scene.language == "zh":
            begin = max(begin, stated.start - _REACH)
        verbs = list(pattern.finditer(scene.text, begin, stated.start))
        if verbs:
            verb = verbs[-1]
            return scene.replaced("negation", verb.start(), verb.end(), flips[verb[0].lower()], stated.attribute)
        if re.search(r"proof$|resistant$|free$|able$|^(?:防|可|抗)", stated.value):
            return _denied(scene, stated)
    return None


def _denied(scene: Scene, stated: Stated) -> Injected:
    now = ("not " if scene.language == "en" else "不") + scene.text[stated.start : stated.end]
    return scene.replaced("negation", stated.start, stated.end, now, stated.attribute)


def _leak(scene: Scene) -> Injected | None:
    for attribute in scene.shuffled(list(scene.facts)):
        own = parts_of(scene.facts[attribute])
        for new in _other_values(scene, attribute, own[0]) if own else ():
            made = scene.added("leak", STATES[scene.language].format(spelled(attribute), new), attribute)
            if scene.is_false(made):
                return made
    return None


def _origin(scene: Scene) -> Injected | None:
    attribute = next((name for name in scene.facts if ORIGIN_NAMES.fullmatch(spelled(name))), "")
    if not attribute:
        return None
    new = next((country for country in scene.shuffled(COUNTRIES[scene.language]) if not scene.holds(country)), "")
    if not new:
        return None
    places = [place for part in parts_of(scene.facts[attribute]) for place in places_of(part, scene.text)]
    if places:
        start, end = places[int(scene.rng.integers(len(places)))]
        start -= len("the ") * (scene.text[:start].lower().endswith("the "))  # the Netherlands
        return scene.replaced("origin", start, end, new, attribute)
    return scene.added("origin", MADE_IN[scene.language].format(new), attribute)


def _omission(scene: Scene) -> Injected | None:
    text, ends = scene.text, ".!?\n。！？"
    marks = scene.clauses()
    led = {m.end(): m.start() for m in OPENING.finditer(text)}
    places: dict[str, list[tuple[int, int]]] = {}
    for stated in scene.stated():
        before = marks[bisect_right(marks, stated.start, key=lambda mark: mark[1]) - 1]
        after = marks[bisect_left(marks, stated.end, key=lambda mark: mark[0])]
        all_of_it = places.setdefault(stated.value, places_of(stated.value, text))
        if not all(before[1] <= start and end <= after[0] for start, end in all_of_it):
            continue  # it is said elsewhere too
        if before[1] in led:
            before = (led[before[1]], led[before[1]])
        opens = before[1] in led.values() or before == (0, 0) or text[before[0]] in ends
        closes = after[0] == len(text) or text[after[0]] in ends
        if opens and not closes:
            continue  # what follows would lose its subject
        # A clause goes with what joins it to the one before; a whole sentence goes with its own stop.
        start, end = (before[1], after[1]) if opens else (before[0], after[0])
        start -= closes and text[start - 1 : start] in (",", "，")
        if (text[:start] + text[end:]).strip():
            return Injected(text[:start] + text[end:], "omission", start, start, text[start:end], "", stated.attribute)
    return None


_WAYS = {
    "value": _value,
    "unit": _unit,
    "colour": _colour,
    "certificate": _certificate,
    "negation": _negation,
    "leak": _leak,
    "origin": _origin,
    "omission": _omission,
}
