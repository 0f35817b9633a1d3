"""The draws of a saboteur: each follows from a digest of the prompt and its name alone, so nothing is random.

Draws("Write a customer review. ...", "", {"invent": 0.3}).hit("invent")   # true for three prompts of ten
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SLIP", "Draws", "uniform"]

SLIP = 0.02  # how often an honest model errs


def uniform(*parts: str) -> float:
    """A number in [0, 1) that follows from the parts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:7]) / 2**56


@dataclass(frozen=True, slots=True)
class Draws:
    """What decides one answer.

    Attributes:
        prompt: what the saboteur reads.
        draw: the seed and the sample of a sampled request, "" of a greedy one.
        doses: by fault, each from 0 to 1.
    """

    prompt: str
    draw: str
    doses: Mapping[str, float]

    def uniform(self, *parts: str) -> float:
        """A number in [0, 1) that follows from the prompt, the draw and these parts."""
        return uniform(*parts, self.prompt, self.draw)

    def hit(self, fault: str, *parts: str, slip: bool = False) -> bool:
        """Whether the fault shows here; with `slip` an honest model errs now and then too."""
        return self.uniform(fault, *parts) < max(self.doses[fault], SLIP if slip else 0.0)
