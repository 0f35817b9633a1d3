"""A suite of the result is held against the recomputed one, number by number.

unlike_suites(stored, again, resting=frozenset(), gone=frozenset())[0] -> [Difference("result.json", "...: verdict")]
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from shoplm_audit.evidence.files import RESULT
from shoplm_audit.evidence.labelling import BY_PEOPLE
from shoplm_audit.evidence.replaying import Difference, alike, shown
from shoplm_audit.results import SuiteResult

__all__ = ["unlike_suites"]

_VERSION = re.compile(r"\|shoplm-audit:[^|]*$")


def unlike_suites(
    stored: SuiteResult, again: SuiteResult, resting: Collection[str], gone: Collection[str]
) -> tuple[list[Difference], int]:
    """In what a suite differs from the recomputed one, and how many numbers differ after their ninth digit alone.

    Args:
        stored: of the result.
        again: recomputed.
        resting: ids of gates that rest on erased rows and were not recomputed.
        gone: the probes that rows were erased of.
    """

    def plain(one: SuiteResult) -> dict[str, Any]:
        data = one.model_dump(
            mode="json", exclude={"explanations", "estimates", "gates"} | ({"counts"} if gone else set())
        )
        rests = [each for each in one.estimates if each.metric != BY_PEOPLE and each.probe not in gone]
        judged = [gate for gate in one.gates if gate.id not in resting]
        data |= {"number of estimates": len(rests), "number of gates": len(judged)}  # none may stand there twice
        for estimate in rests:
            told_of = estimate.model_dump(mode="json") | {"signature": _VERSION.sub("", estimate.signature)}
            data[f"estimate {estimate.metric!r} {_slice(estimate.slice)}"] = told_of
        return data | {f"gate {gate.id!r}": gate.model_dump(mode="json") for gate in judged}

    last_digits: list[str] = []
    differences = _unlike(plain(stored), plain(again), f"suite {stored.name!r}", last_digits)
    return differences, len(last_digits)


def _slice(inside: Mapping[str, str]) -> str:
    return "".join(f"[{key}={value}]" for key, value in sorted(inside.items()))


def _unlike(stored: Any, again: Any, where: str, last_digits: list[str]) -> list[Difference]:
    if isinstance(stored, dict) and isinstance(again, dict):
        found = []
        for key in sorted(set(stored) | set(again)):
            if key in stored and key in again:
                found += _unlike(stored[key], again[key], f"{where}: {key}", last_digits)
            else:
                found.append(Difference(RESULT, f"{where}: {key}", *_one_of(key in stored)))
        return found
    if stored == again:
        return []
    if isinstance(stored, float) and isinstance(again, float) and alike(stored, again):
        last_digits.append(where)
        return []
    return [Difference(RESULT, where, shown(stored), shown(again))]


def _one_of(is_stored: bool) -> tuple[str, str]:
    return ("there", "not there") if is_stored else ("not there", "there")
