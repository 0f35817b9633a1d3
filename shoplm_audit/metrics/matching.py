"""What no match of names could even out between two groups: their length in tokens and their rarity.

    unmatched(observations, "ethnicity", ("asian", "white")) -> {"tokens_apart": -0.31, "rarity_apart": 0.5}

A model that treats rare names otherwise treats groups otherwise whose names are rarer; a contrast cannot tell which.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shoplm_audit.types import Case, Observations

__all__ = ["remark", "unmatched"]

_ALIKE = 0.5  # tokens, or bands of rarity, that groups' names may be apart on average
_UNITS = {"tokens": "tokens", "rarity": "bands of rarity (0 is common, 2 rare)"}


def unmatched(observations: Observations, group: str, pair: tuple[str, str]) -> Mapping[str, float]:
    """Mean of the first group's names less that of the second's, averaged over languages.

    Args:
        observations: cases with the facts "tokens" and "rarity"; a fact that one of them lacks is left out.
        group: which kind of group.
        pair: the two values of it.
    """
    cases = {row.case.cluster: row.case for row in observations if row.case.groups.get(group) in pair}
    told = [fact for fact in _UNITS if cases and all(fact in case.facts for case in cases.values())]
    return {f"{fact}_apart": _apart(list(cases.values()), fact, group, pair) for fact in told}


def _apart(cases: list[Case], fact: str, group: str, pair: tuple[str, str]) -> float:
    gaps = []
    for language in sorted({case.language for case in cases}):
        sides = [
            [case.facts[fact] for case in cases if (case.language, case.groups[group]) == (language, side)]
            for side in pair
        ]
        if all(sides):
            gaps.append(float(np.mean(sides[0]) - np.mean(sides[1])))
    return round(float(np.mean(gaps)), 9) if gaps else float("nan")


def remark(apart: Mapping[str, float]) -> str:
    """A note where names are further apart than half a token or half a band; it invalidates nothing.

    >>> remark({"tokens_apart": -0.2, "rarity_apart": 0.6})
    "the first group's names differ from the second's by +0.6 bands of rarity (0 is common, 2 rare)"
    """
    far = [
        f"{apart[key]:+.2g} {unit}"
        for fact, unit in _UNITS.items()
        if abs(apart.get(key := f"{fact}_apart", 0.0)) > _ALIKE
    ]
    return f"the first group's names differ from the second's by {' and '.join(far)}" if far else ""
