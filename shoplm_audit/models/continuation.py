"""Texts written token by token with one cache: by greedy choice and draws, or by beam search.

    followed(CausalReading(network, prompts, context), texts, Rules(frozenset({0}), encoder.decoded)) -> [[51, 380, 7]]

Letters in shapes: B lines of the batch, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from shoplm_audit.models.decoding import Marking, Steering, choose, choose_steered, generator_for
from shoplm_audit.models.reading import Reading
from shoplm_audit.models.required import Requirement
from shoplm_audit.types import Sampling

if TYPE_CHECKING:
    import torch

    from shoplm_audit.models.slots import Slots

__all__ = ["Rules", "Text", "followed", "refilled", "searched"]

# Prompts wait until this share of the slots, one in so many, is free.
_REFILLED = 4
# Tokens beyond those that may hold a stop: special ones are no bytes, and a tokenizer may trim where a text begins.
_SLACK = 8


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
    """What a model brings to all texts: its end-of-text tokens, how tokens become text and back, its own mark."""

    ends: frozenset[int]
    decoded: Callable[[Sequence[int]], str]
    encoded: Callable[[str], Sequence[int]] = lambda text: ()  # needed where a text has to state something
    shipped: Callable[[Text], Marking | None] = lambda text: None  # the mark that a model writes unasked

    def complete(self, text: Text, written: Sequence[int]) -> bool:
        """Whether a text has its length or one of its stops."""
        return len(written) >= text.limit or self.stopped(text, written)

    def stopped(self, text: Text, written: Sequence[int]) -> bool:
        """Whether a text has one of its stops."""
        stop = text.sampling.stop
        if not stop:
            return False
        # A stop that the newest token completes lies in the last tokens, each of which is at least one byte.
        last = written[-max(len(mark.encode()) for mark in stop) - _SLACK :]
        return self._holds(last, stop) and (len(last) == len(written) or self._holds(written, stop))

    def _holds(self, ids: Sequence[int], stop: Sequence[str]) -> bool:
        text = self.decoded(ids)
        return any(mark in text for mark in stop)


def _go_on(reading: Reading, lines: int, kept: Sequence[int], tokens: Sequence[int]) -> None:
    """Goes on with these of the lines, each with one more token."""
    if list(kept) != list(range(lines)):
        reading.keep(kept)
    reading.extend(tokens)


def _check_finite(logits: torch.Tensor, texts: Sequence[Text]) -> None:
    for text, finite in zip(texts, logits.amax(-1).isfinite().tolist(), strict=True):
        if not finite:
            raise FloatingPointError(f'The logits are not finite for "{text.prompt[:80]}".')


class _Line:
    """A text as it is written."""

    def __init__(self, text: Text, rules: Rules) -> None:
        self.text, self.rules = text, rules
        self.generator = generator_for(text.prompt, text.sampling, text.sample)
        self.steering = _steering(text, rules)
        self.requirement = (
            Requirement(text.prompt, text.sampling, text.limit, rules.decoded, rules.encoded)
            if text.sampling.required
            else None
        )
        self.written: list[int] = []

    @property
    def dictated(self) -> bool:
        """Whether the next token is written for the model, so that nobody needs to choose one."""
        return self.requirement is not None and self.requirement.due

    def goes_on(self, token: int | None) -> bool:
        """Takes the next token, or None where nothing may follow; whether the text is still to be written on."""
        token = None if token in self.rules.ends else token
        if self.requirement is not None:
            ends = token is None or self.rules.stopped(self.text, [*self.written, token])
            token = self.requirement.instead(self.written, token, ends=ends)
        if token is None:
            return False
        self.written.append(token)
        return not self.rules.complete(self.text, self.written)


def _grown(lines: Sequence[_Line], logits: torch.Tensor) -> list[bool]:
    """Chooses the next token of each line from its row of `logits` (B, V); which of them go on."""
    _check_finite(logits, [line.text for line in lines])
    plain = [place for place, line in enumerate(lines) if line.steering is None]
    rows = logits if len(plain) == len(lines) else logits[plain]
    own = [lines[place] for place in plain]
    drawn = choose(rows, [line.text.sampling for line in own], [line.generator for line in own])
    tokens: dict[int, int | None] = dict(zip(plain, drawn, strict=True))
    for place, line in enumerate(lines):
        if line.steering is not None and not line.dictated:
            tokens[place] = choose_steered(
                logits[place], line.text.sampling, line.generator, line.written, line.steering
            )
    return [line.goes_on(tokens.get(place)) for place, line in enumerate(lines)]


def followed(reading: Reading, texts: Sequence[Text], rules: Rules) -> list[list[int]]:
    """The tokens of each text, one chosen after the other; `reading` has read their prompts.

    Raises:
        FloatingPointError: the network's logits are not finite; the request is named.
    """
    lines = [_Line(text, rules) for text in texts]
    rows: list[_Line | None] = list(lines)  # None: the text is finished
    while True:
        live = [place for place, line in enumerate(rows) if line is not None]
        open_lines = [line for line in rows if line is not None]
        logits = reading.logits()
        for place, goes_on in zip(live, _grown(open_lines, logits[live]), strict=True):
            if not goes_on:
                rows[place] = None
        kept = list(range(len(rows)))
        unfinished = sum(line is not None for line in rows)
        if not unfinished:
            return [line.written for line in lines]
        # Lines of finished texts are carried along, unread, until they are half of the batch.
        if 2 * unfinished <= len(rows):
            kept = [place for place in kept if rows[place] is not None]
        size, rows = len(rows), [rows[place] for place in kept]
        _go_on(reading, size, kept, [line.written[-1] if line else 0 for line in rows])


def refilled(slots: Slots, texts: Sequence[Text], rules: Rules) -> list[list[int]]:
    """The same for as many texts as one likes: those that wait take the places of those that are finished.

    The texts that may become longest go first, so that few are left alone at the end.

    Raises:
        FloatingPointError: the network's logits are not finite; the request is named.
    """
    lines = [_Line(text, rules) for text in texts]
    waiting = sorted(lines, key=lambda line: (-line.text.limit, -len(line.text.ids)))
    rows: list[_Line] = []
    while waiting or rows:
        free = slots.capacity - len(rows)
        # Prompts are read together: one by one they would cost a pass each.
        if waiting and _REFILLED * free >= slots.capacity:
            joining, waiting = waiting[:free], waiting[free:]
            slots.join([line.text.ids for line in joining])
            rows += joining
        kept = _closed_up(_grown(rows, slots.logits()))
        rows = [rows[place] for place in kept]
        slots.keep(kept)
        slots.extend([line.written[-1] for line in rows])
    return [line.written for line in lines]


def _closed_up(goes_on: Sequence[bool]) -> list[int]:
    """The places that go on; the last of them stand where others leave, so that few lines move."""
    kept = list(range(sum(goes_on)))
    movers = [place for place in range(len(kept), len(goes_on)) if goes_on[place]]
    for place in kept:
        if not goes_on[place]:
            kept[place] = movers.pop()
    return kept


def _steering(text: Text, rules: Rules) -> Steering | None:
    shipped = None if text.sampling.mark else rules.shipped(text)
    wanted = text.sampling.banned or text.sampling.mark or shipped
    return Steering(text.prompt, text.sampling, rules.decoded, shipped) if wanted else None


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
        scores = logits.cpu().numpy()
        raised = [marker.raised(row, written) for row, (_, written) in zip(scores, self.live, strict=True)]
        return torch.from_numpy(np.stack(raised)).to(logits.device)

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
