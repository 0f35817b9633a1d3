"""Ed25519 signatures over plain data: of manifests and of waivers.

sign({"gate": "bias.refund", "by": "Mira"}, read_key(Path("release.pem"))) -> "mRk8..."

A private key is a PEM file that only its owner may read (`openssl genpkey -algorithm ed25519`), named by an option or
by SHOPLM_SIGNING_KEY; the public one is its PEM (`openssl pkey -pubout`).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["SIGNING_KEY", "canonical", "check", "key_at_hand", "public_of", "read_key", "read_public_key", "sign"]

SIGNING_KEY = "SHOPLM_SIGNING_KEY"
_LARGEST = 16_384  # bytes of a key file; anything larger is another file


def canonical(data: Mapping[str, Any]) -> bytes:
    """The bytes that stand for plain data, whatever the order of its keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def key_at_hand(path: Path | None) -> Ed25519PrivateKey | None:
    """The key of a file, else the one that SHOPLM_SIGNING_KEY names, else None.

    Raises:
        ConfigError: it cannot be read as a key.
    """
    named = os.environ.get(SIGNING_KEY, "")
    if path is None and not named:
        return None
    return read_key(path or Path(named))


def read_key(path: Path) -> Ed25519PrivateKey:
    """A private key from a PEM file.

    Raises:
        ConfigError: no such file, one that others may read, or no Ed25519 key without a passphrase.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path)
    if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path}: others than its owner may read this key. Change that: chmod 600 {path}")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as fault:  # the message of either could quote the file
        raise ConfigError(f"{path}: no private key in PEM without a passphrase. {_MAKE}") from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: a key of another kind than Ed25519. {_MAKE}")
    return key


_MAKE = "Make one: openssl genpkey -algorithm ed25519 -out key.pem"


def read_public_key(path: Path) -> str:
    """A public key from a PEM file, as base64 of its 32 bytes.

    Raises:
        ConfigError: no such file, or no public Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_content(path))
    except (ValueError, UnsupportedAlgorithm) as fault:
        told = "openssl pkey -in key.pem -pubout -out public.pem"
        raise ConfigError(f"{path}: no public key in PEM. Make it from the private one: {told}") from fault
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: a public key of another kind than Ed25519.")
    return base64.b64encode(key.public_bytes_raw()).decode()


def public_of(key: Ed25519PrivateKey) -> str:
    """The public half of a key, as base64 of its 32 bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(data: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """The signature over plain data, as base64."""
    return base64.b64encode(key.sign(canonical(data))).decode()


def check(data: Mapping[str, Any], signature: str, public_key: str) -> bool:
    """Whether a signature over plain data was made with the private half of a public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        known = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        known.verify(base64.b64decode(signature, validate=True), canonical(data))
    except (InvalidSignature, ValueError, TypeError, binascii.Error):
        return False
    return True


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as fault:
        raise ConfigError(f"{path}: no key can be read ({fault.strerror}).") from fault
