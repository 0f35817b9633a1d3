"""Who was trained on: units as cases, and one scoring pass that serves every attack on token statistics.

membership_cases(material)[0]
-> Case("c17/0", facts={"kind": "unit", "member": True, "coin": "fair", ...}, cluster="c17")

Units come from the training record; or from lists that the user brings as `members` and `nonmembers`, or as texts to
protect. Canaries are units too: a coin decided on each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoplm_audit.data.duplicates import Repeats, normalised
from shoplm_audit.data.records import Dialogue, Review, Text
from shoplm_audit.errors import DataError, Unsupported
from shoplm_audit.probes.choosing import balanced
from shoplm_audit.record import Secrets, TrainingRecord
from shoplm_audit.scoring.attacks import loss, min_k, min_k_plus_plus, nats_of, recalled, zlib_ratio
from shoplm_audit.types import LOG_PROB, Case, Columns, Material, Observing, Pair, Score, TokenScores, Value

__all__ = ["LISTS", "PREFIXES", "SUFFIXES", "membership_cases", "remember", "secrets_in"]

# Tokens that are given, and tokens that have to come back. 50 after 50 is the literature's (arXiv 2202.07646); reviews
# are shorter.
PREFIXES, SUFFIXES = (10, 25, 50, 100), (10, 25, 50)
LISTS = ("members", "nonmembers", "protected")  # kinds of --data; their records are of any kind that has a text
_NEAR = 0.8  # similarity of shingles from which texts of two lists are one text with another ending
_ENOUGH = 20  # units that two runs share: below it chance makes their coins agree
_EVERY = LOG_PROB | Columns.EXPECTED | Columns.VARIANCE | Columns.RANK
_REMEDY = (
    "train it with `shoplm-audit train`, which leaves training.json and audit-secrets.json beside the weights, or "
    "bring lists with --data members=FILE --data nonmembers=FILE"
)


def secrets_in(record: TrainingRecord | None) -> Secrets:
    """What a training record knows of members and canaries.

    Raises:
        Unsupported: there is no record, or its secrets are not at hand.
    """
    if record is None or record.secrets is None:
        raise Unsupported(f"there is no training record with secrets beside this model: {_REMEDY}")
    return record.secrets


def membership_cases(material: Material) -> list[Case]:
    """A case for each record of each unit and for each canary; `cluster` is the unit.

    Lists that the user brings are taken before the training record: he knows why. Facts: `kind` ("unit", "canary"),
    `member`, `coin` ("fair", "split", or "given" for lists), `alone` (one coin decided on this unit of the claim alone,
    so that it counts for a one-run audit), `epsilon` and `delta` of the claim, `void` (why the guarantee does not
    hold), `shared` (the text stands under another unit too), `copies`, `family`, `when`, `source`.

    Raises:
        Unsupported: there is neither a record with secrets nor a list, or no unit in either.
        DataError: a text stands in both lists, exactly or nearly, or a shadow was divided as the model was.
    """
    own = [kind for kind in LISTS if kind in material.own]
    units = list(_brought(material)) if own else list(_trained(material))
    if not units:
        raise Unsupported(
            "no unit with a text and no canary is known of this model: train with --canaries or --holdout"
        )
    chosen = balanced(units, material.limit or len(units), material.seed)
    shadows = {role: record for role, record in material.trained.items() if role.startswith("shadow")}
    for role, record in shadows.items():
        if record is None or record.secrets is None:
            raise DataError(
                f'The model given as "{role}" has no audit-secrets.json: nobody can tell what it was trained on. '
                "Take it out, or put the file back beside its weights."
            )
        _apart(role, material.record, record)
    known = {role: _inside(record) for role, record in shadows.items()}
    return [case for unit in chosen for case in _cases(unit, known, "reference" in material.trained)]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit with its records as (what is read, what is learned, facts of this record)."""

    id: str
    language: str
    texts: Sequence[tuple[str, str, Mapping[str, Any]]]
    facts: Mapping[str, Any]


def _cases(unit: _Unit, shadows: Mapping[str, Mapping[str, bool]], reference: bool) -> Iterator[Case]:
    roles = {role: inside[unit.id] for role, inside in shadows.items() if unit.id in inside}
    for number, (prompt, text, more) in enumerate(unit.texts):
        facts = {"prompt": prompt, "learned": text, "reference": reference, "shadows": roles}
        facts = {**unit.facts, **more, **facts}
        yield Case(f"{unit.id}/{number}", facts=facts, cluster=unit.id, language=unit.language)


def _claim(record: TrainingRecord | None) -> dict[str, Any]:
    guarantee = record.privacy if record else None
    return {
        "epsilon": guarantee.epsilon if guarantee else None,
        "delta": guarantee.delta if guarantee else 0.0,
        "void": guarantee.void if guarantee else "",
    }


def _apart(role: str, record: TrainingRecord | None, shadow: TrainingRecord | None) -> None:
    """Refuses a shadow that was divided as the audited model was: it would know the coins, and every model would leak.

    Coins of a split by share agree for the most part by themselves; only fair ones are held to agree by half.
    """
    if record is None or record.secrets is None or shadow is None or shadow.secrets is None:
        return
    coins = {canary.id: canary.inserted for canary in record.secrets.canaries}
    members = {member.unit: member.inside for member in record.secrets.members}
    fair, split = (members | coins, {}) if record.secrets.coin == "fair" else (coins, members)
    other = _inside(shadow)
    alike = bool(record.weights) and record.weights == shadow.weights
    for sides, is_fair in ((fair, True), (split, False)):
        agreeing = [inside == other[unit] for unit, inside in sides.items() if unit in other]
        share = sum(agreeing) / max(1, len(agreeing))
        if len(agreeing) >= _ENOUGH:
            alike = alike or share == 1 or (is_fair and abs(share - 0.5) > 0.25)
    if alike:
        raise DataError(
            f'The model given as "{role}" was divided by the coins of the audited model, or is that model: what it '
            "tells of members it has from the coins. Take it out, and train shadows with --coin-seed of their own."
        )


def _trained(material: Material) -> Iterator[_Unit]:
    record, known = material.record, secrets_in(material.record)
    guarantee = record.privacy if record else None
    whole_users = bool(record and record.settings.get("unit", guarantee.unit if guarantee else "user") == "user")
    claim = _claim(record)
    # Which side a text is on must be the coin of one unit. Whether it stands under two units no coin decides, so that
    # leaving such texts out on both sides favours neither.
    standing = Counter(text for member in known.members for text in {normalised(text) for text in member.texts})
    for member in known.members:
        starts, labels = member.starts or (0,) * len(member.texts), member.labels or ("",) * len(member.texts)
        texts = []
        for text, start, label in zip(member.texts, starts, labels, strict=True):
            prompt, learned = (text, "") if label else _learned(text, start)
            if (learned or (label and prompt)).strip():
                own = {"shared": standing[normalised(text)] > 1} | ({"label": label} if label else {})
                texts.append((prompt, learned, own))
        fair = known.coin == "fair"
        facts: dict[str, Any] = {"kind": "unit", "member": member.inside, "coin": known.coin, "alone": fair} | claim
        facts["source"] = member.language  # languages differ in how probable they are, and a small draw may be uneven
        yield _Unit(member.unit, member.language, texts, facts)
    coins = {member.unit for member in known.members}
    for canary in known.canaries:
        if canary.id in coins:  # a member's own secret: its coin is the member's
            continue
        facts = {
            "kind": "canary",
            "member": canary.inserted,
            "coin": "fair",
            "alone": whole_users or canary.copies == 1,  # copies in several units are group privacy
            "copies": canary.copies,
            "family": canary.family,
        }
        yield _Unit(canary.id, canary.language, [(canary.prefix, canary.secret, {})], facts | claim)


def _learned(text: str, start: int) -> tuple[str, str]:
    """What is read of a text, and what is scored of it.

    Nothing stood before a text when it was learned. Its first character is given, so that no token of a beginning is
    put there in its place: one token more would move every other from the position that it was learned at.
    """
    start = max(1, start)
    return text[:start], text[start:]


def _inside(record: TrainingRecord | None) -> dict[str, bool]:
    """Which units a shadow was trained on, of those that its record knows."""
    known = secrets_in(record)
    return {m.unit: m.inside for m in known.members} | {c.id: c.inserted for c in known.canaries}


def _brought(material: Material) -> Iterator[_Unit]:
    lists = {kind: list(_told(material.records[kind])) for kind in LISTS if kind in material.own}
    inside = [(kind, *row) for kind in ("members", "protected") for row in lists.get(kind, ())]
    outside = [("nonmembers", *row) for row in lists.get("nonmembers", ())]
    _refuse_twins(inside, outside)
    units: dict[tuple[str, ...], list[tuple[str, Mapping[str, Any]]]] = {}
    users: dict[str, set[str]] = {"in": set(), "out": set()}
    for side, rows in (("in", inside), ("out", outside)):
        seen = set[str]()
        for kind, row, text, facts in rows:
            if user := str(facts["user"]):
                users[side].add(user)
            if (plain := normalised(text)) not in seen:  # a text that is there twice tells nothing more
                seen.add(plain)
                units.setdefault((side, "user", user) if user else (side, kind, row), []).append((text, facts))
    if both := users["in"] & users["out"]:
        raise DataError(
            f'{len(both)} users have records in "members" and in "nonmembers": their records are alike, and such a '
            "user is neither. Keep each user's records in one list."
        )
    for (side, kind, name), own in units.items():
        facts = {"kind": "unit", "member": side == "in", "coin": "given", "alone": False, "shared": False}
        texts = [(*_learned(text, 0), {key: known[key] for key in ("when", "source")}) for text, known in own]
        unit = f"{side}/{name}" if kind == "user" else f"{kind}/{name}"
        yield _Unit(unit, str(own[0][1]["language"]), texts, facts | _claim(material.record))


_Told = tuple[str, str, str, dict[str, Any]]


def _refuse_twins(inside: Sequence[_Told], outside: Sequence[_Told]) -> None:
    rows = [*inside, *outside]
    finder = Repeats(near=_NEAR)
    for _, _, text, facts in rows:
        finder.add(text, str(facts["language"]))
    found = finder.find(lambda position: rows[position][2])
    twice = [at for at in range(len(inside), len(rows)) if found.get(at, at) < len(inside)]
    if twice:
        members = {normalised(text) for _, _, text, _ in inside}
        nearly = sum(normalised(rows[at][2]) not in members for at in twice)
        raise DataError(
            f'{len(twice)} texts of the list "nonmembers" stand in "members" or "protected" too, {nearly} of them '
            f'nearly, the first is row "{rows[twice[0]][1]}": who was trained on cannot be told from who was not. Take '
            "them out of one of the lists."
        )


def _told(records: Iterable[Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The id, the text and what else is known of each record that has a text."""
    for record in records:
        match record:
            case Review():
                text, shape = record.text, {"user": record.user, "when": record.time, "source": record.category}
            case Text():
                text, shape = record.text, {"user": record.user, "when": "", "source": ""}
            case Dialogue():
                text, shape = "\n".join(turn.text for turn in record.turns), {"user": "", "when": "", "source": ""}
            case _:
                kind = type(record).__name__.lower()
                raise DataError(f"Members cannot be records of kind {kind}. Give reviews, dialogues or texts.")
        if text[1:].strip():
            yield record.id, text, shape | {"language": record.language, "source": shape["source"] or record.language}


def remember(case: Case) -> Observing:
    """What every attack reads off one record: how probable each of its learned tokens is, and how it ranks."""
    facts = case.facts
    text = facts["learned"] or facts["prompt"]
    pair = Pair(facts["prompt"], facts.get("label") or facts["learned"])
    try:
        scores: TokenScores = (yield [Score(pair, _EVERY)])[0]
    except Unsupported:  # a classifier or a masked model has no distribution over what comes next
        scores = (yield [Score(pair)])[0]
    own = loss(scores)
    values: dict[str, Value] = {
        "loss": own,
        "zlib": zlib_ratio(scores, text),
        "min_k": min_k(scores.log_prob),
        "min_k_plus_plus": min_k_plus_plus(scores) if scores.expected_log_prob is not None else None,
        "tokens": int(scores.log_prob.size),
        "text": text,
    }
    if scores.rank is not None and facts["kind"] == "unit":
        for prefix in PREFIXES:
            for suffix in SUFFIXES:
                if (back := recalled(scores.rank, prefix, suffix)) is not None:
                    values[f"recalled_{suffix}_after_{prefix}"] = back
                    values[f"nats_{suffix}_after_{prefix}"] = nats_of(scores.log_prob, prefix, suffix)
    if facts["reference"]:
        known = (yield [Score(pair, role="reference")])[0]
        # By character, so that a reference may have another tokenizer.
        values["reference"] = (scores.total - known.total) / max(1, len(pair.continuation))
    if facts["shadows"]:
        told = yield [Score(pair, role=role) for role in facts["shadows"]]
        sides: dict[bool, list[float]] = {True: [], False: []}
        for shadow, inside in zip(told, facts["shadows"].values(), strict=True):
            sides[inside].append(round(loss(shadow), 6))
        values |= {"shadows_inside": json.dumps(sides[True]), "shadows_outside": json.dumps(sides[False])}
    return values
