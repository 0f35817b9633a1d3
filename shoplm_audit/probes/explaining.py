"""Why two customers were treated differently: which words, and which lines of the prompt, their gap rests on.

    explain(probe, case, twin, "refund", models, key="bias/refund")
    -> Explanation(gap=0.12, words=(Part("Emily -> David", 0.12),), lines=(Part("Customer: ...", 0.11), ...), ...)

Twins are two cases of a probe whose prompts differ in what tells the group. Their gap in a column is divided among the
words that differ and, apart from that, among the lines of the template, by Shapley values that captum samples. What is
not stable across seeds, or not borne out when the parts are taken away, is not shown. It says what the numbers depend
on, never how the model reasoned.

References: Strumbelj and Kononenko 2010 (Shapley value sampling); DeYoung et al., arXiv 1911.03429 (comprehensiveness).

Letters in shapes: B masks, K parts.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.errors import Unsupported
from shoplm_audit.probes.driving import first_requests, observe
from shoplm_audit.types import Case, Floats, Generate, Model, Observations, Probe, Prompt, Turn

__all__ = ["Explanation", "Part", "explain", "twins_of"]

_SEEDS = (0, 1, 2)
_PERMUTATIONS, _OF_FEW, _FEW = (
    12,
    60,
    6,
)  # each set of parts is asked once, so few parts cost little however often drawn
_MOST_PARTS = 10
_STABLE = 0.7  # the least agreement between seeds at which an attribution is shown
_HALF = 0.5  # where a decision flips; of values that are no decisions, how much of the gap has to be closed
# Words, Chinese characters, and everything else as it stands, so that joining the pieces gives the text again.
_PIECE = re.compile(r"[一-鿿]|[^\W_一-鿿]+(?:['’][^\W_]+)?|\s+|.", re.DOTALL)

Masks = NDArray[np.bool_]
_Value = Callable[[Masks], Floats]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the prompt and how much of the gap it carries, in the column's unit."""

    text: str
    value: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the gap between two twins rests on.

    Attributes:
        case, twin: their ids.
        column: what was compared.
        first, second: its value for the case and for its twin; `gap` is second - first.
        words: what differs between the two ("was -> is"), with its share of the gap; they sum to the gap.
        lines: the lines of the prompt; they sum to the gap, as without any line there is none.
        edit: the fewest of `words`, three at most, that flip the decision when exchanged alone: that take the value
            across one half where the twins lie on either side of it, and else close half of the gap or more.
        unstable: why `words` or `lines` are not shown, or "".
    """

    case: str
    twin: str
    column: str
    first: float
    second: float
    words: tuple[Part, ...] = ()
    lines: tuple[Part, ...] = ()
    edit: tuple[str, ...] = ()
    unstable: str = ""

    @property
    def gap(self) -> float:
        """The twin's value less the case's."""
        return self.second - self.first


def twins_of(observations: Observations, column: str, kind: str, groups: tuple[str, str]) -> tuple[Case, Case] | None:
    """The pair of cases of two groups whose prompts are most alike and, among those, whose values lie farthest apart.

    Args:
        observations: of one probe.
        column: what is compared.
        kind: which kind of group ("gender").
        groups: the two of it.

    Returns:
        The case of the first group and its twin; None where no two prompts differ in less than half of their lines.
    """
    sides = [[row for row in observations.where(**{kind: group}) if row.status == "scored"] for group in groups]
    best: tuple[float, int, Case, Case] | None = None
    for first, second in itertools.product(*sides):
        lines = [row.case.prompt.flat.splitlines() for row in (first, second)]
        if not _comparable(first.case, second.case) or len(lines[0]) != len(lines[1]):
            continue
        differ = sum(a != b for a, b in zip(*lines, strict=True))
        if not 0 < differ <= max(1, len(lines[0]) // 2):
            continue
        values = [row.values.get(column) for row in (first, second)]
        if any(value is None for value in values):
            continue
        gap = abs(float(values[1] or 0) - float(values[0] or 0))
        rank = (-differ, gap)
        if best is None or rank > (-best[1], best[0]):
            best = (gap, differ, first.case, second.case)
    return None if best is None else best[2:]


def _comparable(first: Case, second: Case) -> bool:
    """Whether two cases are one text in two forms: of one template, or of one cluster where there are no templates."""
    if first.language != second.language:
        return False
    templates = [case.of("template") for case in (first, second)]
    if any(templates):
        return templates[0] == templates[1]
    return first.cluster == second.cluster


def explain(probe: Probe, case: Case, twin: Case, column: str, models: Mapping[str, Model], *, key: str) -> Explanation:
    """Divides the gap between twins among the words that differ and among the lines of their prompts.

    Args:
        probe: whose observation has the column.
        case: one twin.
        twin: the other, whose prompt has as many lines.
        column: a number.
        models: by role.
        key: "suite/probe".

    Raises:
        Unsupported: the probe asks for texts, which chance decides too; a value cannot be read; captum is missing.
    """
    if any(isinstance(request, Generate) for _, asked in first_requests(probe, [case]) for request in asked):
        raise Unsupported("its answers are drawn texts: the gap of one pair would be chance too")

    def values(prompts: Sequence[tuple[Prompt, Case]]) -> Floats:
        asked = [replace(of, id=f"{of.id}#{i}", prompt=prompt) for i, (prompt, of) in enumerate(prompts)]
        found = observe(probe, asked, models, key=key).observations.numbers(column)
        if np.isnan(found).any():
            raise Unsupported(f"{column} of a changed prompt is undefined")
        return found

    was, now = case.prompt.flat, twin.prompt.flat
    first, second, crossed = values([(case.prompt, case), (twin.prompt, twin), (twin.prompt, case)])
    if abs(crossed - second) > 1e-6 * max(1.0, abs(second - first)):
        raise Unsupported("what is asked of the model does not follow from the prompt alone")
    edits = _edits(was, now)

    def exchanged(masks: Masks) -> Floats:
        return values([(_as(case.prompt, _applied(was, edits, mask)), case) for mask in masks])

    rows = list(zip(was.splitlines(), now.splitlines(), strict=True))
    groups = _grouped(rows)

    def kept(masks: Masks) -> Floats:
        texts = [
            ["\n".join(rows[i][side] for g, on in zip(groups, mask, strict=True) if on for i in g) for mask in masks]
            for side in (0, 1)
        ]
        old = values([(_as(case.prompt, text), case) for text in texts[0]])
        return values([(_as(twin.prompt, text), twin) for text in texts[1]]) - old

    words, lost_words = _attributed(_remembered(exchanged), len(edits))
    lines, lost_lines = _attributed(_remembered(kept), len(groups))
    return Explanation(
        case.id,
        twin.id,
        column,
        float(first),
        float(second),
        tuple(Part(f"{a} -> {b}", float(v)) for (_, _, a, b), v in zip(edits, words, strict=True))
        if words.size
        else (),
        tuple(Part(" / ".join(_shown(rows[i]) for i in g), float(v)) for g, v in zip(groups, lines, strict=True))
        if lines.size
        else (),
        _smallest(_remembered(exchanged), edits, float(first), float(second)),
        "; ".join(f"the {name} {why}" for name, why in (("words", lost_words), ("lines", lost_lines)) if why),
    )


def _as(prompt: Prompt, text: str) -> Prompt:
    """The prompt with another text; the system stays inside it, as it stood in the flat text."""
    return Prompt((Turn("user", text),) if not isinstance(prompt.text, str) else text)


def _edits(was: str, now: str) -> list[tuple[int, int, str, str]]:
    """What has to be exchanged to make one text the other: (start, end, was, is), at most ten, joined where close."""
    old, new = _PIECE.findall(was), _PIECE.findall(now)
    starts = [0, *itertools.accumulate(map(len, old))]
    edits: list[tuple[int, int, str, str]] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag != "equal":
            edits.append((starts[i1], starts[i2], "".join(old[i1:i2]), "".join(new[j1:j2])))
    while len(edits) > _MOST_PARTS:
        gaps = [edits[i + 1][0] - edits[i][1] for i in range(len(edits) - 1)]
        at = gaps.index(min(gaps))
        (a, b, x, y), (c, d, u, v) = edits[at : at + 2]
        between = was[b:c]
        edits[at : at + 2] = [(a, d, x + between + u, y + between + v)]
    return edits


def _applied(text: str, edits: Sequence[tuple[int, int, str, str]], mask: NDArray[np.bool_]) -> str:
    parts, at = [], 0
    for (start, end, _, now), on in zip(edits, mask, strict=True):
        parts += [text[at:start], now if on else text[start:end]]
        at = end
    return "".join([*parts, text[at:]])


def _grouped(rows: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Lines as parts; the last, which asks for the answer, belongs to the one before, and many are joined."""
    count = max(1, len(rows) - 1)
    size = math.ceil(count / _MOST_PARTS)
    groups = [list(range(at, min(at + size, count))) for at in range(0, count, size)]
    groups[-1] += range(count, len(rows))
    return groups


def _shown(row: tuple[str, str]) -> str:
    return row[0] if row[0] == row[1] else f"{row[0]} | {row[1]}"


def _remembered(value: _Value) -> _Value:
    """The same function, which asks for each mask once."""
    known: dict[bytes, float] = {}

    def looked_up(masks: Masks) -> Floats:
        keys = [mask.tobytes() for mask in masks]
        new = {name: mask for name, mask in zip(keys, masks, strict=True) if name not in known}
        if new:
            known.update(zip(new, map(float, value(np.array(list(new.values())))), strict=True))
        return np.array([known[name] for name in keys])

    return looked_up


def _attributed(value: _Value, count: int) -> tuple[Floats, str]:
    """The attribution of each part, (K,), or none of them and why they are not shown."""
    whole = float(np.diff(value(np.array([[False] * count, [True] * count])))[0])
    if count == 1:
        return np.array([whole]), ""
    drawn = np.array([_sampled(value, count, seed) for seed in _SEEDS])
    found = drawn.mean(axis=0)
    if (agreement := _agreement(drawn)) < _STABLE:
        return np.empty(0), f"are unstable (agreement {agreement:.2f} between seeds): not shown"
    if not _borne_out(value, found, whole):
        return np.empty(0), "are not borne out when they are taken away: not shown"
    return found, ""


def _sampled(value: _Value, count: int, seed: int) -> Floats:
    try:
        import torch
        from captum.attr import ShapleyValueSampling
    except ImportError as fault:
        raise Unsupported("captum is not installed: pip install 'shoplm-audit[explain]'") from fault

    def forward(masks: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(value(masks.numpy() > 0.5))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # captum draws its permutations from the global generator
        found: Any = ShapleyValueSampling(forward).attribute(
            torch.ones(1, count, dtype=torch.float64),
            n_samples=_OF_FEW if count <= _FEW else _PERMUTATIONS,
            perturbations_per_eval=1,
        )
    return np.asarray(found[0].numpy(), dtype=np.float64)


def _agreement(drawn: Floats) -> float:
    """How well the two seeds agree that agree least: the rank correlation, or 1 less the largest deviation in ranges.

    Parts that carry nothing come in any order, so ranks alone would call a clear answer unstable.
    """
    from scipy.stats import spearmanr

    if np.ptp(drawn, axis=1).min() < 1e-9:
        return 0.0
    return min(
        max(
            float(spearmanr(a, b).statistic) if a.size > 2 else -1.0,
            1 - float(np.abs(a - b).max()) / max(float(np.ptp(a)), float(np.ptp(b))),
        )
        for a, b in itertools.combinations(drawn, 2)
    )


def _borne_out(value: _Value, found: Floats, whole: float) -> bool:
    """Whether taking the best third away changes more of the gap than taking as many others away does on average."""
    if not whole:
        return False
    count, top = found.size, max(1, found.size // 3)
    order = np.argsort(-found * math.copysign(1.0, whole))
    sets = [order[:top]] + [np.roll(order, -shift)[:top] for shift in range(top, count)]
    masks = np.ones((len(sets), count), dtype=bool)
    for mask, gone in zip(masks, sets, strict=True):
        mask[gone] = False
    changed = (value(np.ones((1, count), dtype=bool))[0] - value(masks)) * math.copysign(1.0, whole)
    return bool(changed[0] > changed[1:].mean())


def _smallest(
    value: _Value, edits: Sequence[tuple[int, int, str, str]], first: float, second: float
) -> tuple[str, ...]:
    """The fewest edits that flip the decision: exact, by trying all of one, of two, of three."""
    gap = second - first
    if not gap:
        return ()
    decision = min(first, second) < _HALF <= max(first, second)
    goal = (_HALF - first) / gap if decision else _HALF
    for size in range(1, min(3, len(edits)) + 1):
        chosen = list(itertools.combinations(range(len(edits)), size))
        masks = np.zeros((len(chosen), len(edits)), dtype=bool)
        for mask, places in zip(masks, chosen, strict=True):
            mask[list(places)] = True
        closed = (value(masks) - first) / gap
        if closed.max() >= goal:
            return tuple(f"{edits[i][2]} -> {edits[i][3]}" for i in chosen[int(closed.argmax())])
    return ()
