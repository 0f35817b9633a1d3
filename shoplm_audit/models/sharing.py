"""Which tokens of a batch are read once for several texts: its prefix tree, laid out in lines of one forward pass.

    arranged([(1, 5, 7), (1, 5, 9)], limit=256, trunk=64).lines[0].ids    # (1, 5, 7, 9): 7 and 9 do not see each other

A token sees its ancestors alone and stands at its depth, so that what follows it is what follows it in its own text.
A long beginning of many texts is a line of its own (a trunk), and what goes on from it stands in lines below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrangement", "Line", "Numbers", "arranged"]

Numbers = NDArray[np.int64]

# A tree costs a mask, and its attention looks at all of its line: what saves less than an eighth is read text by text.
_WORTH = 8


@dataclass(slots=True)
class Line:
    """Tokens that stand in one row of a forward pass, W of them.

    Attributes:
        ids: the tokens.
        depths: where each stands in its text.
        parent: the line that is read before this one, or -1.
        branches: (first, last + 1, the places of this line that these see beside themselves), in order.
    """

    parent: int
    ids: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    branches: list[tuple[int, int, Numbers]] = field(default_factory=list)

    @property
    def chain(self) -> bool:
        """Whether each token sees all that stand before it."""
        return len(self.branches) == 1

    def seen(self) -> NDArray[np.bool_]:
        """Which token (first axis) sees which (second axis), (W, W)."""
        table = np.zeros((len(self.ids), len(self.ids)), dtype=np.bool_)
        for start, end, before in self.branches:
            table[start:end, start:end] = np.tri(end - start, dtype=np.bool_)
            table[start:end, before] = True
        return table


@dataclass(slots=True)
class Arrangement:
    """Lines in an order in which parents come first, and where each text's tokens stand in them.

    Attributes:
        lines: what is read.
        line_of, place_of: per text and depth the line and the place in it.
    """

    lines: list[Line]
    line_of: list[Numbers]
    place_of: list[Numbers]

    @property
    def tokens(self) -> int:
        """How many tokens are read."""
        return sum(len(line.ids) for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Part:
    """The sorted texts from `first` up to `last`, from the depth `depth` on, below the line `parent`."""

    first: int
    last: int
    depth: int
    parent: int


def arranged(texts: Sequence[Sequence[int]], *, limit: int, trunk: int) -> Arrangement:
    """Lays out texts so that common beginnings are read once; a pure function of the texts.

    Args:
        texts: the tokens of each; an empty one has no place.
        limit: the most tokens of a line with branches; a text alone may be longer. 0 shares nothing.
        trunk: the least tokens of a beginning that is made a line of its own.
    """
    return _Arranging(texts, limit, trunk).found()


class _Arranging:
    def __init__(self, texts: Sequence[Sequence[int]], limit: int, trunk: int) -> None:
        rows = [np.array(text, dtype=np.int64) for text in texts]
        # Bytes with the highest first sort as the numbers do, and much faster.
        keys = [row.astype(">i8").tobytes() for row in rows]
        numbers = {key: i for i, key in enumerate(sorted(set(keys)))}
        self._number = [numbers[key] for key in keys]
        self._texts: list[Numbers] = [np.frombuffer(key, dtype=">i8").astype(np.int64) for key in numbers]
        self._common = np.array(
            [0, *map(_common, self._texts, self._texts[1:])] if limit else [0] * len(numbers), dtype=np.int64
        )
        self._sizes = np.array([len(text) for text in self._texts], dtype=np.int64)
        self._new = np.concatenate([[0], np.cumsum(self._sizes - self._common)])
        self._limit, self._trunk = limit, trunk
        self._lines: list[Line] = []
        self._line_of: list[Numbers] = [np.full(size, -1, dtype=np.int64) for size in self._sizes]
        self._place_of: list[Numbers] = [np.full(size, -1, dtype=np.int64) for size in self._sizes]

    def found(self) -> Arrangement:
        if self._texts:
            waiting = [_Part(0, len(self._texts), 0, -1)]
            while waiting:
                loose: dict[int, list[_Part]] = {}
                trunks: list[_Part] = []
                for part in waiting:
                    for piece in self._divided(part):
                        if self._tokens(piece) > self._limit and piece.last - piece.first > 1:
                            trunks.append(piece)
                        else:
                            loose.setdefault(piece.parent, []).append(piece)
                for pieces in loose.values():
                    self._pack(pieces)
                waiting = [child for piece in trunks for child in self._grown(piece)]
        pick = self._number
        return Arrangement(self._lines, [self._line_of[i] for i in pick], [self._place_of[i] for i in pick])

    def _tokens(self, part: _Part) -> int:
        """How many tokens the part's tree has."""
        return int(self._sizes[part.first] - part.depth + self._new[part.last] - self._new[part.first + 1])

    def _fork(self, part: _Part) -> int:
        """The depth up to which all texts of the part are one."""
        between = self._common[part.first + 1 : part.last]
        return int(between.min()) if len(between) else int(self._sizes[part.first])

    def _children(self, part: _Part) -> list[_Part]:
        fork = self._fork(part)
        cuts = np.flatnonzero(self._common[part.first + 1 : part.last] == fork) + part.first + 1
        edges = [part.first, *cuts.tolist(), part.last]
        return [_Part(a, b, part.depth, part.parent) for a, b in pairwise(edges)]

    def _divided(self, part: _Part) -> Iterator[_Part]:
        """Pieces that fit a line, texts that stand alone, and trees that are to have a trunk."""
        size, several = self._tokens(part), part.last - part.first
        alone = int((self._sizes[part.first : part.last] - part.depth).sum())
        # Below a trunk every line needs a mask anyway.
        if several == 1 or (size <= self._limit and (part.parent >= 0 or size * _WORTH <= alone * (_WORTH - 1))):
            yield part
            return
        if size <= self._limit or size * _WORTH > alone * (_WORTH - 1):
            for i in range(part.first, part.last):
                yield _Part(i, i + 1, part.depth, part.parent)
            return
        root = self._fork(part) - part.depth
        if root >= self._trunk:
            yield part
            return
        children = self._children(part)
        if root * (len(children) - 1) * _WORTH < size:
            for child in children:
                yield from self._divided(child)
            return
        # As many neighbours as fit a line; their short common beginning is read anew in each.
        run = children[0]
        for child in children[1:]:
            longer = _Part(run.first, child.last, part.depth, part.parent)
            if self._tokens(longer) <= self._limit:
                run = longer
            else:
                yield from self._divided(run)
                run = child
        yield from self._divided(run)

    def _grown(self, part: _Part) -> list[_Part]:
        """Makes a line of the part's common beginning; what goes on from it."""
        fork = self._fork(part)
        number = self._line(part.parent)
        self._lay(_Part(part.first, part.first + 1, part.depth, part.parent), number, fork)
        for i in range(part.first, part.last):
            self._line_of[i][part.depth : fork] = number
            self._place_of[i][part.depth : fork] = np.arange(fork - part.depth)
        ended = int(self._sizes[part.first] == fork)
        return [_Part(part.first + ended, part.last, fork, number)] if part.first + ended < part.last else []

    def _pack(self, pieces: list[_Part]) -> None:
        """Puts pieces below one parent into lines, the largest first, each where the first line has room."""
        open_lines: list[int] = []
        for piece in sorted(pieces, key=lambda piece: -self._tokens(piece)):
            room = self._limit - self._tokens(piece)
            number = next((line for line in open_lines if len(self._lines[line].ids) <= room), -1)
            if number < 0:
                number = self._line(piece.parent)
                # A text that shares nothing stays alone, so that its line needs no mask.
                if piece.parent >= 0 or piece.last - piece.first > 1:
                    open_lines.append(number)
            self._lay(piece, number)

    def _line(self, parent: int) -> int:
        self._lines.append(Line(parent))
        return len(self._lines) - 1

    def _lay(self, part: _Part, number: int, end: int | None = None) -> None:
        """Puts the part's tree, up to the depth `end`, to the end of a line."""
        line = self._lines[number]
        path = np.empty(0, dtype=np.int64)  # places of a text's tokens from the part's depth on
        for i in range(part.first, part.last):
            known = int(self._common[i]) - part.depth if i > part.first else 0
            new = self._texts[i][part.depth + known : end].tolist()
            start, depth = len(line.ids), part.depth + known
            line.ids += new
            line.depths += range(depth, depth + len(new))
            if new:
                line.branches.append((start, start + len(new), path[:known]))
            path = np.concatenate([path[:known], np.arange(start, start + len(new))])
            self._line_of[i][part.depth : part.depth + len(path)] = number
            self._place_of[i][part.depth : part.depth + len(path)] = path


def _common(one: Numbers, other: Numbers) -> int:
    """How many first tokens two texts share."""
    size = min(len(one), len(other))
    differ = np.flatnonzero(one[:size] != other[:size])
    return int(differ[0]) if len(differ) else size
