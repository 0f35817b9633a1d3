"""What verdicts rest on beside the observations, as plain data for the evidence: policy, sittings, code.

basis_of(basis_json(keeper.basis)) == keeper.basis
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm_audit.config import Limit
from shoplm_audit.engine import Basis
from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import Policy
from shoplm_audit.suites import suite_folder

__all__ = ["PROGRAM", "basis_json", "basis_of", "code_of"]

PROGRAM = "shoplm-audit"  # what this package's own code is called among the digests


def basis_json(basis: Basis) -> dict[str, Any]:
    """A basis as plain data; limits are a list, since their order is that of the gates they add."""
    policy = basis.policy
    return {
        "seed": basis.seed,
        "prompts": basis.prompts,
        "own": sorted(basis.own),
        "confidence": policy.confidence,
        "gates": [[key, limit.at_least, limit.at_most] for key, limit in policy.gates.items()],
        "scope": [list(one) for one in policy.scope.items()],
        "sittings": {key: list(told) for key, told in basis.sittings.items()},
        "early": basis.early,
        "largest": dict(basis.largest),
    }


def basis_of(data: Mapping[str, Any]) -> Basis:
    """The inverse of `basis_json`.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    levels = [data["confidence"], *([] if data["early"] is None else [data["early"]])]
    if not all(0.5 < float(level) < 1 for level in levels):
        raise ValueError(f"a confidence of {levels}")
    gates = {str(key): Limit(at_least=low, at_most=high) for key, low, high in data["gates"]}
    scope = {str(key): str(reason) for key, reason in data["scope"]}
    return Basis(
        seed=int(data["seed"]),
        prompts=str(data["prompts"]),
        own=frozenset(map(str, data["own"])),
        policy=Policy(gates, scope, float(data["confidence"])),
        sittings={
            str(key): (int(planned), int(unread), str(reason))
            for key, (planned, unread, reason) in data["sittings"].items()
        },
        early=None if data["early"] is None else float(data["early"]),
        largest={str(key): int(most) for key, most in data["largest"].items()},
    )


def code_of(suites: Sequence[str]) -> dict[str, str]:
    """Digests of this program's code and of each suite's files; a suite that is not found has none."""
    told = {PROGRAM: _digest(Path(__file__).parents[1])}
    for name in suites:
        try:
            told[name] = _digest(suite_folder(name))
        except ConfigError:
            continue
    return told


def _digest(folder: Path) -> str:
    """SHA-256 of the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        # What a wheel carries beside the code (`_suites`, `_report_template`) lies elsewhere in a checkout.
        packed = name.startswith("_") and not name.startswith("__")
        if path.is_file() and "__pycache__" not in name and not packed:
            content = path.read_bytes()
            digest.update(f"{len(name)} {name} {len(content)} ".encode("utf-8", "surrogateescape") + content)
    return digest.hexdigest()
