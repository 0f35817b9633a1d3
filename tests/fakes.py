"""A whole small model for tests: it writes by rule, scores by hashing, and can depend on its batch, fail or be cut off.

Fake(write=lambda prompt, sample: prompt.upper()).generate([Generate(Prompt("hi"))]) -> ["HI"]
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import (
    LOG_PROB,
    Case,
    Columns,
    Generate,
    Observation,
    Observations,
    Pair,
    Prompt,
    TokenScores,
    Value,
)

__all__ = ["Fake", "cases", "observed"]


def _echo(prompt: str, sample: int) -> str:
    return f"{prompt}#{sample}"


def _likelihood(pair: Pair) -> list[float]:
    """A log-probability for each character: any number, but always the same one."""
    rng = np.random.default_rng(zlib.crc32(f"{pair.context}\0{pair.continuation}".encode("utf-8", "surrogatepass")))
    return (-rng.exponential(size=max(1, len(pair.continuation)))).tolist()


@dataclass
class Fake:
    """A model made of two functions.

    Args:
        write: (flat prompt, number of the sample) to a text.
        weigh: a pair to its log-probabilities.
        fingerprint: as a model's; "" cannot be verified.
        batch_sensitive: adds to every score a last bit that depends on the batch it is computed in.
        breaks_at: raises KeyboardInterrupt when so many requests have been answered.
        asked: how many requests came, call by call.
    """

    write: Callable[[str, int], str] = _echo
    weigh: Callable[[Pair], Sequence[float]] = _likelihood
    name: str = "fake"
    fingerprint: str = "sha256:fake"
    record: TrainingRecord | None = None
    batch_sensitive: bool = False
    breaks_at: int | None = None
    asked: list[int] = field(default_factory=list)

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        self._count(len(requests))
        return [self.write(one.prompt.flat, sample) for one in requests for sample in range(one.sampling.n)]

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        self._count(len(pairs))
        noise = 0.0
        if self.batch_sensitive:
            noise = 1e-9 * (zlib.crc32(ascii([(p.context, p.continuation) for p in pairs]).encode()) % 1000)
        found = [np.array(self.weigh(pair), dtype=np.float64) + noise for pair in pairs]
        rank = [np.arange(1, one.size + 1) if Columns.RANK in columns else None for one in found]
        return [TokenScores(one, rank=places) for one, places in zip(found, rank, strict=True)]

    def _count(self, requests: int) -> None:
        if self.breaks_at is not None and sum(self.asked) + requests > self.breaks_at:
            raise KeyboardInterrupt
        self.asked.append(requests)


def cases(count: int, *, per_cluster: int = 1) -> list[Case]:
    """Cases c0, c1, ... in clusters of one size, English and Chinese by turns of clusters."""
    return [
        Case(
            f"c{i}",
            cluster=f"k{i // per_cluster}",
            language=("en", "zh")[i // per_cluster % 2],
            prompt=Prompt(f"prompt {i}"),
        )
        for i in range(count)
    ]


def observed(rows: Sequence[tuple[Case, dict[str, Value]]]) -> Observations:
    """Scored observations."""
    return Observations(tuple(Observation(case, values) for case, values in rows))
