"""Texts written token by token with one cache: by greedy choice and draws, or by beam search.

    followed(CausalReading(network, prompts, context), texts, Rules(frozenset({0}), encoder.decoded)) -> [[51, 380, 7]]

Letters in shapes: B lines of the batch, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from shoplm_audit.models.decoding import Steering, choose, choose_steered, generator_for
from shoplm_audit.models.reading import Reading
from shoplm_audit.types import Sampling

if TYPE_CHECKING:
    import torch

__all__ = ["Rules", "Text", "followed", "searched"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be written: what stands before it, and all that decides its tokens."""

    ids: list[int]
    prompt: str
    sampling: Sampling
    sample: int
    limit: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What ends a text beside its limit and its stops: the end-of-text tokens; and how tokens become text."""

    ends: frozenset[int]
    decoded: Callable[[Sequence[int]], str]

    def complete(self, text: Text, written: Sequence[int]) -> bool:
        """Whether a text has its length or one of its stops."""
        stop = text.sampling.stop
        if len(written) >= text.limit:
            return True
        return bool(stop) and any(mark in self.decoded(written) for mark in stop)


def _go_on(reading: Reading, lines: int, kept: Sequence[int], tokens: Sequence[int]) -> None:
    """Goes on with these of the lines, each with one more token."""
    if list(kept) != list(range(lines)):
        reading.keep(kept)
    reading.extend(tokens)


def _check_finite(logits: torch.Tensor, texts: Sequence[Text]) -> None:
    for text, finite in zip(texts, logits.amax(-1).isfinite().tolist(), strict=True):
        if not finite:
            raise FloatingPointError(f'The logits are not finite for "{text.prompt[:80]}".')


def followed(reading: Reading, texts: Sequence[Text], rules: Rules) -> list[list[int]]:
    """The tokens of each text, one chosen after the other.

    Raises:
        FloatingPointError: the network's logits are not finite; the request is named.
    """
    generators = [generator_for(text.prompt, text.sampling, text.sample) for text in texts]
    steerings = [_steering(text, rules) for text in texts]
    written: list[list[int]] = [[] for _ in texts]
    rows, unfinished = list(range(len(texts))), set(range(len(texts)))  # rows: which text each line is of
    while True:
        logits = reading.logits()
        live = [line for line, row in enumerate(rows) if row in unfinished]
        logits, open_rows = logits[live], [rows[line] for line in live]
        _check_finite(logits, [texts[row] for row in open_rows])
        tokens: list[int | None] = [None] * len(live)
        plain = [place for place, row in enumerate(open_rows) if steerings[row] is None]
        own = [open_rows[place] for place in plain]
        drawn = choose(logits[plain], [texts[row].sampling for row in own], [generators[row] for row in own])
        for place, one in zip(plain, drawn, strict=True):
            tokens[place] = one
        for place, row in enumerate(open_rows):
            if (steering := steerings[row]) is not None:
                tokens[place] = choose_steered(
                    logits[place], texts[row].sampling, generators[row], written[row], steering
                )
        for row, token in zip(open_rows, tokens, strict=True):
            ended = token is None or token in rules.ends
            if token is not None and not ended:
                written[row].append(token)
            if ended or rules.complete(texts[row], written[row]):
                unfinished.discard(row)
        if not unfinished:
            return written
        # Lines of finished texts are carried along, unread, until they are half of the batch.
        size = len(rows)
        kept = list(range(size))
        if 2 * len(unfinished) <= len(rows):
            kept = [line for line in kept if rows[line] in unfinished]
            rows = [rows[line] for line in kept]
        _go_on(reading, size, kept, [written[row][-1] if written[row] else 0 for row in rows])


def _steering(text: Text, rules: Rules) -> Steering | None:
    wanted = text.sampling.banned or text.sampling.mark
    return Steering(text.prompt, text.sampling, rules.decoded) if wanted else None


@dataclass(slots=True)
class _Beam:
    """The texts of one request that are followed side by side, each with its log-probability in nats."""

    text: Text
    steering: Steering | None
    live: list[tuple[float, list[int]]]
    done: list[tuple[float, list[int]]] = field(default_factory=list)  # by mean log-probability per token

    def grow(self, logits: torch.Tensor, rules: Rules) -> tuple[list[int], list[int]]:
        """Follows the best continuations of `logits` (live, V): which live texts go on, and with which token."""
        import torch

        scores = torch.tensor([[score] for score, _ in self.live], dtype=torch.float64, device=logits.device)
        table = (self._biased(logits).log_softmax(-1) + scores).cpu()  # (live, V)
        lines, tokens = [], []
        fresh: list[tuple[float, list[int]]] = []
        for score, line, token in self._best(table, rules):
            written = self.live[line][1]
            if token in rules.ends:
                self.done.append((score / (len(written) + 1), written))
            elif len(fresh) < self.text.sampling.beams:
                longer = [*written, token]
                if rules.complete(self.text, longer):
                    self.done.append((score / len(longer), longer))
                    continue
                fresh.append((score, longer))
                lines.append(line)
                tokens.append(token)
        stuck = (table == -torch.inf).all(-1).tolist()  # nothing may follow: the text ends
        self.done += [(s / max(len(w), 1), w) for (s, w), ends in zip(self.live, stuck, strict=True) if ends]
        self.live = [] if self._settled(fresh) else fresh
        return (lines, tokens) if self.live else ([], [])

    def texts(self) -> list[list[int]]:
        """The best, as many as were asked for."""
        return [written for _, written in sorted(self.done, key=lambda one: -one[0])][: self.text.sampling.n]

    def _biased(self, logits: torch.Tensor) -> torch.Tensor:
        import torch

        logits = logits.double()
        if self.steering is None or (marker := self.steering.marker) is None:
            return logits
        bias = np.stack([marker.bias(written, logits.shape[-1]) for _, written in self.live])
        return logits + torch.from_numpy(bias).to(logits.device)

    def _best(self, table: torch.Tensor, rules: Rules) -> list[tuple[float, int, int]]:
        """The best allowed continuations, enough to fill the beam beside all that end."""
        import torch

        flat = table.view(-1)
        wanted = min(flat.numel(), (1 + len(rules.ends)) * self.text.sampling.beams)
        while True:
            values, places = flat.topk(wanted)
            found = [
                (score, *divmod(place, table.shape[-1]))
                for score, place in zip(values.tolist(), places.tolist(), strict=True)
                if score > -torch.inf
            ]
            struck = [one for one in found if not self._allowed(self.live[one[1]][1], one[2], rules)]
            if not struck:
                return found
            for _, line, token in struck:
                table[line, token] = -torch.inf

    def _allowed(self, written: list[int], token: int, rules: Rules) -> bool:
        return self.steering is None or token in rules.ends or self.steering.allows(written, token)

    def _settled(self, live: Sequence[tuple[float, list[int]]]) -> bool:
        """Whether no live text can still come among the best: further tokens can at most cost nothing."""
        best = sorted((mean for mean, _ in self.done), reverse=True)[: self.text.sampling.n]
        hope = max((score for score, _ in live), default=-np.inf) / self.text.limit
        return not live or (len(best) == self.text.sampling.n and best[-1] >= hope)


def searched(reading: Reading, texts: Sequence[Text], rules: Rules) -> list[list[list[int]]]:
    """The best texts of each request by beam search, best first.

    A text's score is its mean log-probability per token, the end-of-text token counted: the length normalisation of
    Wu et al. (arXiv 1609.08144) with exponent 1. It goes on until no live text can come among the best.

    Raises:
        FloatingPointError: the network's logits are not finite; the request is named.
    """
    beams = [_Beam(text, _steering(text, rules), [(0.0, [])]) for text in texts]
    while True:
        logits = reading.logits()
        open_beams = [beam for beam in beams for _ in beam.live]
        _check_finite(logits, [beam.text for beam in open_beams])
        kept: list[int] = []
        tokens: list[int] = []
        first = 0
        for beam in beams:
            size = len(beam.live)
            if size:
                grown, added = beam.grow(logits[first : first + size], rules)
                kept += [first + line for line in grown]
                tokens += added
            first += size
        if not kept:
            return [beam.texts() for beam in beams]
        _go_on(reading, len(open_beams), kept, tokens)
