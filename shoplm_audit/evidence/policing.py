"""What a run was held to, beside what its suites ship and what whoever verifies asks: limits, scope, confidence.

notes_on_policy(suites, basis) -> ["faithfulness.rate_echoed: held to at most 0.99; the suite ships at most 0.05."]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shoplm_audit.config import gates_of
from shoplm_audit.engine import Basis
from shoplm_audit.evidence.recasting import Given
from shoplm_audit.judging import Policy
from shoplm_audit.types import Gate, Suite

__all__ = ["notes_on_policy", "unlike_given"]


def notes_on_policy(suites: Sequence[Suite], basis: Basis) -> list[str]:
    """A sentence for each limit, entry of scope and confidence that is not what the suites ship.

    Args:
        suites: of the run, as far as their code is at hand.
        basis: of the run.

    Raises:
        ConfigError: a limit names no metric of its suite.
    """
    policy, told = basis.policy, []
    for suite in suites:
        shipped = {gate.id: gate for gate in suite.gates}
        for gate in gates_of(suite, policy.gates):
            held, ships = _limits(gate), _limits(shipped[gate.id]) if gate.id in shipped else "no such gate"
            if held != ships:
                told.append(f"{suite.name}.{gate.id}: held to {held}; the suite ships {ships}.")
    told += [f"Out of scope, as the run was told: {key}: {reason}" for key, reason in policy.scope.items()]
    usual = Policy().confidence
    if policy.confidence != usual:
        told.append(f"Each bound holds at a confidence of {policy.confidence:g}; it is {usual:g} unless set.")
    return told


def unlike_given(basis: Basis, limit: int | None, ran: Sequence[str], given: Given) -> dict[str, tuple[Any, Any]]:
    """What of a run is not what is asked of it: by name, what stands there and what was given.

    Args:
        basis: of the run.
        limit: its most cases of a probe.
        ran: the suites that it ran.
        given: what is asked; without a policy nothing is.
    """
    if given.policy is None:
        return {}
    policy, wanted = basis.policy, given.policy
    pairs: dict[str, tuple[Any, Any]] = {
        "confidence": (policy.confidence, wanted.confidence),
        "prompts": (basis.prompts, given.prompts.digest),
    }
    pairs |= _side_by_side("gates", _plain(policy), _plain(wanted))
    pairs |= _side_by_side("scope", policy.scope, wanted.scope)
    pairs |= {f"suite {name!r}": ("not there", "there") for name in given.suites if name not in ran}
    if given.limit is not None:
        pairs["limit"] = (limit, given.limit)
    if given.seed is not None:
        pairs["seed"] = (basis.seed, given.seed)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _plain(policy: Policy) -> dict[str, list[float | None]]:
    return {key: [limit.at_least, limit.at_most] for key, limit in policy.gates.items()}


def _side_by_side(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        f"{name}: {key}": (first.get(key, "not there"), second.get(key, "not there"))
        for key in sorted(set(first) | set(second))
    }


def _limits(gate: Gate) -> str:
    parts = [f"at least {gate.at_least:g}"] if math.isfinite(gate.at_least) else []
    parts += [f"at most {gate.at_most:g}"] if math.isfinite(gate.at_most) else []
    return " and ".join(parts) or "no limit but the model's claim"
