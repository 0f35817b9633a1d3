"""Waivers: who lets a gate that did not pass through, why and until when, signed so that no later edit goes unseen.

[[waiver]]
gate = "bias.gap_refund_female_male"
by = "Mira Oduya"
why = "The refund bot does not see names; fixed in the release of May."
until = 2026-05-31
key = "mP2k..."
signature = "Zx81..."

A waived gate keeps its verdict and is never a passed one; a waiver that has expired or was edited makes its gate fail.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.results import GateResult, WaiverResult
from shoplm_audit.signing import check, public_of, sign
from shoplm_audit.types import Verdict

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "Waiver",
    "add_waiver",
    "day_of",
    "read_waivers",
    "sign_waiver",
    "under_waivers",
    "waivers_json",
    "waivers_of",
]

State: TypeAlias = Literal["in force", "expired", "not needed", "broken"]
_SIGNED, _UNSIGNED = ("gate", "by", "why", "until"), ("key", "signature")
_NO_NEED = (Verdict.PASS, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Waiver:
    """One gate let through. `until` is the last day on which it holds; an unsigned one has no key and no signature."""

    gate: str
    by: str
    why: str
    until: date
    key: str = ""
    signature: str = ""

    @property
    def signed(self) -> dict[str, str]:
        """What the signature is over."""
        return {"gate": self.gate, "by": self.by, "why": self.why, "until": self.until.isoformat(), "key": self.key}

    @property
    def whole(self) -> bool:
        """Whether it is as it was signed; one that was never signed is whole as well, and says so by having no key."""
        if not self.key and not self.signature:
            return True
        return check(self.signed, self.signature, self.key)


def sign_waiver(waiver: Waiver, key: Ed25519PrivateKey) -> Waiver:
    """The waiver with a key and its signature."""
    named = replace(waiver, key=public_of(key), signature="")
    return replace(named, signature=sign(named.signed, key))


def read_waivers(path: Path) -> list[Waiver]:
    """The waivers of a file, also those that have expired or were edited: `under_waivers` tells.

    Raises:
        ConfigError: no TOML, an unknown or missing key, a day that is none; all faults at once.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read ({fault.strerror}).") from fault
    except (UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as fault:
        raise ConfigError(f"{path}: not TOML: {fault}.") from fault
    entries = raw.pop("waiver", [])
    if raw or not isinstance(entries, list):
        raise ConfigError(f"{path}: it holds [[waiver]] tables and nothing else.")
    faults = [f"{path}: waiver {n}: {wrong}" for n, one in enumerate(entries, 1) if (wrong := _fault(one))]
    if faults:
        raise ConfigError("\n".join(faults))
    return waivers_of(entries)


def _fault(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "it is no table."
    known = (*_SIGNED, *_UNSIGNED)
    if unknown := sorted(set(entry) - set(known)):
        return f'unknown key "{unknown[0]}". Keys: {", ".join(known)}.'
    if missing := [f'"{name}"' for name in _SIGNED if entry.get(name) in (None, "")]:
        return f"missing {', '.join(missing)}: every waiver says who, why, until when and for which gate."
    if type(entry["until"]) is not date:
        return f"until is {entry['until']!r}: it has to be a day, as in until = 2026-12-31."
    wrong = [name for name in known if name != "until" and not isinstance(entry.get(name, ""), str)]
    return f"{wrong[0]} is {entry[wrong[0]]!r}: it has to be a text." if wrong else ""


def waivers_json(waivers: Iterable[Waiver]) -> list[dict[str, str]]:
    """Waivers as plain data, for the evidence."""
    return [asdict(one) | {"until": one.until.isoformat()} for one in waivers]


def waivers_of(entries: Iterable[Mapping[str, Any]]) -> list[Waiver]:
    """The inverse of `waivers_json`; days may be dates already.

    Raises:
        ValueError, KeyError, TypeError: they are something else.
    """
    return [
        Waiver(**{**one, "until": one["until"] if isinstance(one["until"], date) else date.fromisoformat(one["until"])})
        for one in entries
    ]


def add_waiver(path: Path, waiver: Waiver) -> None:
    """Appends a waiver to a file; what stands there stays as it is.

    Raises:
        ConfigError: a blank who, why or gate, characters that no file can hold, or a file that holds something else.
        DataError: the file cannot be written.
    """
    for name in ("gate", "by", "why"):
        if not getattr(waiver, name).strip():
            raise ConfigError(f"{name} is blank: every waiver says who, why, until when and for which gate.")
    there = read_waivers(path) if path.exists() else []
    entry = waivers_json([waiver])[0]
    lines = [f"{key} = {value if key == 'until' else _quoted(value)}" for key, value in entry.items() if value]
    try:
        old = path.read_text(encoding="utf-8").rstrip("\n") + "\n\n" if there else ""
        part = path.with_name(f".{path.name}.part")
        part.write_text(old + "\n".join(["[[waiver]]", *lines]) + "\n", encoding="utf-8")
        part.replace(path)
    except UnicodeEncodeError as fault:
        raise ConfigError("by, why or gate holds half a character: write it again.") from fault
    except OSError as fault:
        raise DataError(f"{path}: cannot be written ({fault.strerror}). Name another with --file.") from fault


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but for DEL; pairs of surrogates are no escapes there."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def under_waivers(
    gates: Sequence[GateResult], waivers: Sequence[Waiver], today: date, keys: Sequence[str] = ()
) -> tuple[list[GateResult], list[WaiverResult]]:
    """The gates of a run under its waivers, and what became of each waiver.

    A gate with a waiver in force keeps its verdict and is marked as waived. Where all waivers of a gate that did not
    pass have expired, were edited after signing or are not signed by whom they have to be, it fails.

    Args:
        gates: of all suites.
        waivers: in the order of their file.
        today: the day on which they have to hold.
        keys: public keys, as base64, of which one has to have signed each waiver; none asks for no signature.

    Raises:
        ConfigError: a waiver of a gate that this run does not have.
    """
    known = {gate.id: gate for gate in gates}
    unknown = sorted({one.gate for one in waivers} - set(known))
    if unknown:
        names = ", ".join(f'"{one}"' for one in unknown)
        raise ConfigError(f"waivers: no gate {names} in this run. Name a gate as the report does, or take it out.")
    told = [_told(one, known[one.gate], today, keys) for one in waivers]
    return [_under(gate, [one for one in told if one.gate == gate.id], keys) for gate in gates], told


def _told(waiver: Waiver, gate: GateResult, today: date, keys: Sequence[str]) -> WaiverResult:
    state: State = "in force"
    if not waiver.whole or (keys and waiver.key not in keys):
        state = "broken"
    elif gate.verdict in _NO_NEED:
        state = "not needed"
    elif waiver.until < today:
        state = "expired"
    until = waiver.until.isoformat()
    return WaiverResult(gate=waiver.gate, by=waiver.by, why=waiver.why, until=until, state=state, key=waiver.key)


def _under(gate: GateResult, waivers: Sequence[WaiverResult], keys: Sequence[str]) -> GateResult:
    if not waivers or gate.verdict in _NO_NEED:
        return gate
    held = [one for one in waivers if one.state == "in force"]
    if held:
        return gate.model_copy(update={"waived_by": max(held, key=lambda one: one.until).by})
    last = max(waivers, key=lambda one: one.until)
    how = "was changed after it was signed"
    if last.state == "expired":
        how = f"expired on {last.until}"
    elif keys and last.key not in keys:
        how = "is not signed with a key that this audit names"
    why = f"{gate.why} Its waiver by {last.by} {how}, so it fails."
    return gate.model_copy(update={"verdict": Verdict.FAIL, "why": why})


def day_of(text: str) -> date:
    """A day from the command line.

    Raises:
        ConfigError: it is none.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ConfigError(f'"{text}" is no day: write it as 2026-12-31.') from None
