"""The cases of a run are made again, as far as it can be told what they were made of, and held against the stored ones.

recast("bias", probe, maker, planned=44, rows=rows).lacking -> ("the model's tokenizer",)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoplm_audit.data.records import Record
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.engine import Basis
from shoplm_audit.evidence.files import plain_case, plain_json
from shoplm_audit.judging import Policy
from shoplm_audit.observing import Sitting, sittings_of
from shoplm_audit.prompts import Prompts
from shoplm_audit.stopping import Watch, top_up
from shoplm_audit.types import Case, Gate, Material, Observation, Probe, Prompt, Suite

__all__ = ["RECORD", "TEMPLATES", "Given", "Maker", "Recast", "recast", "same_case"]

TEMPLATES, RECORD = "the prompts' templates", "the training record"
_OF_MODELS = {
    "record": RECORD,
    "trained": RECORD,
    "tokenizer": "the model's tokenizer",
    "finder": "the watermark's finder",
    "roles": "the further models",
}


@dataclass(frozen=True, slots=True)
class Given:
    """What whoever verifies has at hand beside the run.

    Attributes:
        prompts: the templates of the run.
        records: the user's own by kind.
        policy: the limits, scope and confidence that the run has to have had; None asks nothing of them.
        suites: that the run has to have.
        limit, seed: that the configuration names, if it does.
    """

    prompts: Prompts = field(default_factory=Prompts)
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    policy: Policy | None = None
    suites: Sequence[str] = ()
    limit: int | None = None
    seed: int | None = None


@dataclass(slots=True)
class Recast:
    """The cases of a probe, made again.

    Attributes:
        cases: by id.
        lacking: what they were made of that is not at hand; where it is empty, they are those of the run.
        faults: in what the stored rows are not those cases, a sentence each.
        gone: how many of the cases that were asked have no row.
        stopped: whether the rows are those of a run that stopped before all were asked.
    """

    cases: dict[str, Case]
    lacking: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)
    gone: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _StandIn:
    """Stands for a tokenizer that is not at hand, where a probe makes no cases without one."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", "surrogatepass")[::4])

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")

    def read(self, prompt: Prompt) -> str:
        return prompt.flat


class _Records(Mapping[str, Sequence[Any]]):
    """Records that note which of the user's own were asked for and are not at hand."""

    def __init__(self, records: ShopRecords, missing: frozenset[str], lacking: set[str]) -> None:
        self._records, self._missing, self._lacking = records, missing, lacking

    def __getitem__(self, kind: str) -> Sequence[Any]:
        if kind not in self._missing:
            return self._records[kind]
        self._lacking.add(f"the user's {kind}")
        return ()

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the cases of a run again: from its basis, its limit, and what is given."""

    basis: Basis
    limit: int | None
    given: Given = field(default_factory=Given)

    def material(self, lacking: set[str], tokenizer: _StandIn | None = None) -> Material:
        """The material of the run; what is asked of it and not at hand is added to `lacking`."""
        basis, given = self.basis, self.given

        class Noting(Material):
            __slots__ = ()

            def __getattribute__(self, name: str) -> Any:
                if name in _OF_MODELS:
                    lacking.add(_OF_MODELS[name])
                return object.__getattribute__(self, name)

        def render(task: str, language: str, variables: Mapping[str, Any]) -> Prompt:
            if basis.prompts != given.prompts.digest:
                lacking.add(TEMPLATES)
            return given.prompts.render(task, language, variables)

        own = {kind: rows for kind, rows in given.records.items() if kind in basis.own}
        records = _Records(ShopRecords(own, basis.seed), basis.own - set(own), lacking)
        return Noting(render, records, basis.own, seed=basis.seed, limit=self.limit, tokenizer=tokenizer)

    def sitting(self, suite: str, probe: Probe, lacking: set[str]) -> Sitting:
        """A probe with its cases in random blocks, and none where they cannot be made."""
        sitting = Sitting(suite, probe)
        for tokenizer in (None, _StandIn()):
            try:
                material = self.material(lacking, tokenizer)
                (sitting,) = sittings_of([Suite(suite, "", [probe])], material, {}, limited=True)
            except Exception:  # without the model's training record, its tokenizer, ... a probe need not get on
                continue
            if sitting.cases or not lacking:
                break
        return sitting


def recast(suite: str, probe: Probe, maker: Maker, planned: int, rows: Sequence[Observation]) -> Recast:
    """Makes the cases of a probe again and holds the stored rows against them.

    Args:
        suite: its name.
        probe: of the suite as it is now.
        maker: of the run.
        planned: how many cases there were to ask.
        rows: what the evidence says was seen.
    """
    lacking: set[str] = set()
    sitting = maker.sitting(suite, probe, lacking)
    told = Recast({}, tuple(sorted(lacking)))
    twice = [case for case, count in Counter(row.case.id for row in rows).items() if count > 1]
    told.faults += [f"case {case!r} has more than one row" for case in twice]
    first, blocks = 0, sitting.left
    if planned > len(sitting.cases) > 0 and not lacking:
        first, blocks = _topped_up(sitting, maker.material(set()), planned)
    cases = list(sitting.cases)
    told.cases = {case.id: case for case in cases}
    if planned != len(cases):
        told.faults.append(f"{planned} cases were planned, and {len(cases)} are made again")
    places = {case.id: place for place, case in enumerate(cases)}
    there = [places[row.case.id] for row in rows if row.case.id in places]
    told.faults += [f"case {row.case.id!r} is none that the suite makes" for row in rows if row.case.id not in places]
    told.faults += [
        f"case {row.case.id!r} is not as the suite makes it"
        for row in rows
        if row.case.id in places and not same_case(told.cases[row.case.id], row.case)
    ]
    if there != sorted(there):
        told.faults.append("the rows are in another order than their cases")
    # Blocks are asked as a whole: those up to the last with a row, and those before them.
    seen, asked = set(there), set(range(first))
    for number, block in enumerate(blocks):
        if any(seen & set(later) for later in blocks[number:]):
            asked |= set(block)
    told.stopped, told.gone = len(asked) < len(cases), len(asked - seen)
    return told


def _topped_up(sitting: Sitting, material: Material, planned: int) -> tuple[int, list[list[int]]]:
    """Gives a probe the further cases of a run that asked for more; where the last of them begin, and their blocks."""
    more, last = Gate("more", at_most=0.0), (0, sitting.left)

    class Until(Watch):
        __slots__ = ()

        def undecided(self, sitting: Sitting) -> list[Gate]:
            return [more] if sitting.planned < planned else []

    def ask(some: Sequence[Sitting]) -> bool:
        nonlocal last
        for one in some:
            last = (one.planned - sum(map(len, one.left)), [list(block) for block in one.left])
            one.left.clear()
        return True

    sitting.left = []
    top_up([sitting], Until((), Policy()), material, ask)
    return last


def same_case(case: Case, stored: Case) -> bool:
    """Whether the evidence holds this case; of an object that reads answers it has the name alone."""
    return plain_json(plain_case(case)) == plain_json(plain_case(stored))
