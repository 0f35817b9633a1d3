"""`manifest.json`: the SHA-256 of all other files of a run, when and by which version, signed if a key is at hand.

{"format": 1, "made": "2026-11-22T19:40:00Z", "version": "0.1.0", "sha256": {"result.json": "7d5b..."}, "digest": "..."}
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.engine import version
from shoplm_audit.signing import canonical, check, public_of, sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["MANIFEST", "manifest_faults", "signed_by", "uncovered", "write_manifest"]

MANIFEST = "manifest.json"


def write_manifest(folder: Path, key: Ed25519PrivateKey | None = None, made: datetime | None = None) -> None:
    """Writes the manifest of a run.

    Args:
        folder: of the run.
        key: signs it.
        made: when; now unless given.
    """
    when = (made or datetime.now(UTC)).astimezone(UTC)
    told: dict[str, Any] = {
        "format": 1,
        "made": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": version(),
        "sha256": {name: _hash(folder / name) for name in _names(folder)},
    }
    if key is not None:
        told["public_key"] = public_of(key)
        told["signature"] = sign(told, key)
    told["digest"] = _digest(told)
    part = folder / f".{MANIFEST}.part"
    part.write_text(_text(told), encoding="utf-8")
    part.replace(folder / MANIFEST)


def manifest_faults(folder: Path) -> list[str]:
    """What of the files of a run is not as its manifest says: changed, missing, surplus, or the manifest itself."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        told = json.loads(content)
        hashes = told["sha256"]
        whole = content == _text(told).encode() and told["digest"] == _digest(told) and told["format"] == 1
        listed = {str(name): str(value) for name, value in hashes.items()}
    except FileNotFoundError:
        return [f"{MANIFEST} is missing"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        return [f"{MANIFEST} cannot be read as a manifest of this version ({type(fault).__name__})"]
    there = _names(folder)
    faults = [] if whole else [f"{MANIFEST} is not as it was written: its own digest is another"]
    faults += [f"{name!r} is missing" for name in sorted(set(listed) - set(there))]
    faults += [f"{name!r} is surplus: the manifest does not know it" for name in sorted(set(there) - set(listed))]
    return faults + [
        f"{name!r} was changed: its SHA-256 is not that of the manifest"
        for name in there
        if name in listed and _hash(folder / name) != listed[name]
    ]


def uncovered(folder: Path) -> list[str]:
    """What lies in the folder of a run that no manifest speaks of: folders, and files whose names begin with a dot."""
    return sorted(
        f"{path.name}/" if path.is_dir() else path.name
        for path in folder.iterdir()
        if path.name != MANIFEST and path.name not in _names(folder)
    )


def signed_by(folder: Path) -> tuple[str, bool]:
    """The public key that the manifest names, or "", and whether the signature over the rest is that key's."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        told.pop("digest", None)
        signature, key = told.pop("signature", ""), told.get("public_key", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return "", False
    return (key, check(told, str(signature), key)) if isinstance(key, str) and key else ("", False)


def _names(folder: Path) -> list[str]:
    """The files of a run; names come from the folder, never from a manifest, so none leads out of it."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(told: dict[str, Any]) -> str:
    return hashlib.sha256(canonical({key: value for key, value in told.items() if key != "digest"})).hexdigest()


def _text(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1) + "\n"
