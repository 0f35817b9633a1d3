"""Who was trained on: units as cases, and one scoring pass that serves every attack on token statistics.

membership_cases(material)[0]
-> Case("c17/0", facts={"kind": "unit", "member": True, "coin": "fair", ...}, cluster="c17")

Units come from the training record; or from lists that the user brings as `members` and `nonmembers`, or as texts to
protect. Canaries are units too: a coin decided on each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoplm_audit.data.duplicates import normalised
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
    so that it counts for a one-run audit), `epsilon` and `delta` of the claim, `copies`, `family`, `when`, `source`.

    Raises:
        Unsupported: there is neither a record with secrets nor a list.
        DataError: a text stands in both lists.
    """
    own = [kind for kind in LISTS if kind in material.own]
    units = list(_brought(material)) if own else list(_trained(material))
    chosen = balanced(units, material.limit or len(units), material.seed)
    known = {role: _inside(record) for role, record in material.trained.items() if role.startswith("shadow")}
    return [case for unit in chosen for case in _cases(unit, known, "reference" in material.trained)]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit with its records as (what is read, what is learned, label)."""

    id: str
    language: str
    texts: Sequence[tuple[str, str, str]]
    facts: Mapping[str, Any]


def _cases(unit: _Unit, shadows: Mapping[str, Mapping[str, bool]], reference: bool) -> Iterator[Case]:
    roles = {role: inside[unit.id] for role, inside in shadows.items() if unit.id in inside}
    for number, (prompt, text, label) in enumerate(unit.texts):
        facts = dict(unit.facts) | {"prompt": prompt, "learned": text, "reference": reference, "shadows": roles}
        yield Case(
            f"{unit.id}/{number}",
            facts=facts | ({"label": label} if label else {}),
            cluster=unit.id,
            language=unit.language,
        )


def _trained(material: Material) -> Iterator[_Unit]:
    record, known = material.record, secrets_in(material.record)
    guarantee = record.privacy if record else None
    whole_users = bool(record and record.settings.get("unit", guarantee.unit if guarantee else "user") == "user")
    claim = {"epsilon": guarantee.epsilon if guarantee else None, "delta": guarantee.delta if guarantee else 0.0}
    for member in known.members:
        starts, labels = member.starts or (0,) * len(member.texts), member.labels or ("",) * len(member.texts)
        texts = [
            (text, "", label) if label else _learned(text, start)
            for text, start, label in zip(member.texts, starts, labels, strict=True)
            if (text if label else _learned(text, start)[1]).strip()
        ]
        fair = known.coin == "fair"
        facts = {"kind": "unit", "member": member.inside, "coin": known.coin, "alone": fair} | claim
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
        yield _Unit(canary.id, canary.language, [(canary.prefix, canary.secret, "")], facts | claim)


def _learned(text: str, start: int) -> tuple[str, str, str]:
    """What is read of a text, and what is scored of it.

    Nothing stood before a text when it was learned. Its first character is given, so that no token of a beginning is put
    there in its place: one token more would move every other from the position that it was learned at.
    """
    start = max(1, start)
    return text[:start], text[start:], ""


def _inside(record: TrainingRecord | None) -> dict[str, bool]:
    """Which units a shadow was trained on, of those that its record knows."""
    known = secrets_in(record)
    return {m.unit: m.inside for m in known.members} | {c.id: c.inserted for c in known.canaries}


def _brought(material: Material) -> Iterator[_Unit]:
    lists = {kind: list(_told(material.records[kind])) for kind in LISTS if kind in material.own}
    members = {normalised(text) for kind in ("members", "protected") for _, text, _ in lists.get(kind, ())}
    twice = [row for row, text, _ in lists.get("nonmembers", ()) if normalised(text) in members]
    if twice:
        raise DataError(
            f'{len(twice)} texts of the list "nonmembers" stand in "members" too, the first is row "{twice[0]}": who '
            "was trained on cannot be told from who was not. Take them out of one of the lists."
        )
    users: dict[tuple[bool, str], list[tuple[str, str, Mapping[str, Any]]]] = {}
    for kind, rows in lists.items():
        for row, text, facts in rows:
            inside = kind != "nonmembers"
            users.setdefault((inside, str(facts["user"]) or row), []).append((row, text, facts))
    both = {user for inside, user in users if inside} & {user for inside, user in users if not inside}
    if both:
        raise DataError(
            f'{len(both)} users have records in "members" and in "nonmembers": their records are alike, and such a '
            "user is neither. Keep each user's records in one list."
        )
    for (inside, user), own in users.items():
        first = own[0][2]
        facts = {"kind": "unit", "member": inside, "coin": "given", "alone": False, "epsilon": None, "delta": 0.0}
        shape = {"when": first["when"], "source": first["source"]}
        language = str(first["language"])
        yield _Unit(
            f"{'in' if inside else 'out'}/{user}", language, [_learned(text, 0) for _, text, _ in own], facts | shape
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
