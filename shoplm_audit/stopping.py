"""Runs that look at their answers as they come: they stop when what can be judged so is decided, or ask for more.

    watch = Watch(suites, policy)
    observe_all(sittings, models, progress, done=watch.done)      # asks no block that no gate needs
    top_up(sittings, watch, material, ask)                        # and further cases where a gate is undecided still

Looking again and again at an interval for a fixed number of cases finds, sooner or later, what is not there. So the
gates that are judged here have confidence sequences, which hold at every moment at once (`sequences`), and the error
is split over them. A run passes only if all of its gates do, so each may pass at the confidence of the run; it fails if
any one does, so each has to fail at its share of the error (intersection-union: Berger 1982).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shoplm_audit.config import gates_of, scoped_out
from shoplm_audit.errors import Unsupported
from shoplm_audit.judging import Policy
from shoplm_audit.observing import Sitting, cases_of, failed_trials
from shoplm_audit.probes.blocks import blocks_of
from shoplm_audit.results import GateResult, StoppingResult, SuiteResult
from shoplm_audit.sequences import largest_cluster, sequence_of
from shoplm_audit.types import Gate, Material, Metric, Observations, Suite, Verdict

__all__ = ["Watch", "top_up"]

_MOST = 8  # times the planned cases, at which a gate is left undecided
_SMALLEST = 16  # cases of a block


@dataclass(slots=True)
class Watch:
    """Which gates can be judged while answers come, and whether they are decided.

    A gate can where its metric is a mean of bounded values, is held against what is worse, and is judged alone: no
    family, no claim to refute.

    Args:
        suites: of the audit.
        policy: limits, scope and confidence; the error is split over the gates that are watched.
        seed: of the audit.
    """

    suites: Sequence[Suite]
    policy: Policy
    seed: int = 0
    gates: dict[tuple[str, str], list[tuple[Gate, Metric]]] = field(default_factory=dict)
    fixed: set[tuple[str, str]] = field(default_factory=set)
    largest: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for suite in self.suites:
            homes = {metric.name: (probe.name, metric) for probe in suite.probes for metric in probe.metrics}
            for gate in gates_of(suite, self.policy.gates):
                probe, metric = homes[gate.metric]
                if scoped_out(self.policy.scope, suite.name, probe, gate.id) is not None:
                    continue
                worse = gate.at_least if metric.better == "lower" else gate.at_most
                alone = not gate.family and gate.burden == "proof" and math.isinf(worse)
                if metric.bounded is None or not alone:
                    self.fixed.add((suite.name, probe))
                else:
                    self.gates.setdefault((suite.name, probe), []).append((gate, metric))

    def begin(self, sittings: Sequence[Sitting]) -> None:
        """Notes how large a cluster can be, before anything is asked."""
        for sitting in sittings:
            for metric in sitting.probe.metrics:
                if (sitting.suite, sitting.probe.name) in self.gates and metric.bounded is not None:
                    self.largest[f"{sitting.suite}.{metric.name}"] = largest_cluster(metric, sitting.cases)

    @property
    def confidence(self) -> float:
        """Of each bound that speaks against the model, at any time."""
        return 1 - (1 - self.policy.confidence) / max(1, sum(map(len, self.gates.values())))

    def undecided(self, sitting: Sitting) -> list[Gate]:
        """The watched gates of a probe that what was seen so far does not decide."""
        pairs = self.gates.get((sitting.suite, sitting.probe.name), [])
        return [gate for gate, metric in pairs if not self._decided(sitting, gate, metric)]

    def _decided(self, sitting: Sitting, gate: Gate, metric: Metric) -> bool:
        if sitting.unread:  # its numbers are invalid, and more cases would not mend that
            return False
        rows = sitting.observations
        if not self._clear(sitting, gate, metric, rows):
            return False
        if metric.trial is None:
            return True
        # What the metric cannot judge in a language does not count: tried only now, since a trial takes its time.
        failures = failed_trials(sitting, metric, self.seed)
        kept = Observations(tuple(row for row in rows if row.case.language not in failures))
        return len(kept) == len(rows) or (len(kept) > 0 and self._clear(sitting, gate, metric, kept))

    def _clear(self, sitting: Sitting, gate: Gate, metric: Metric, rows: Observations) -> bool:
        largest = self.largest[f"{sitting.suite}.{metric.name}"]
        inside = rows.where(**gate.slice)
        estimate = sequence_of(metric, inside, largest, self.policy.confidence, against=self.confidence)
        return estimate is not None and gate.judge(estimate) in (Verdict.PASS, Verdict.FAIL)

    def done(self, sitting: Sitting) -> bool:
        """Whether no gate needs more cases of this probe; one with a gate on a fixed number of cases needs all."""
        key = (sitting.suite, sitting.probe.name)
        return key in self.gates and key not in self.fixed and not self.undecided(sitting)

    def unwatched(self, suite: str, gates: Sequence[GateResult]) -> str:
        """A sentence on the undecided gates of a suite that keep a fixed number of cases; "" if there are none."""
        watched = {f"{name}.{gate.id}" for (name, _), pairs in self.gates.items() for gate, _ in pairs}
        count = sum(gate.verdict is Verdict.UNDECIDED and gate.id not in watched for gate in gates)
        if not count:
            return ""
        return (
            f"{suite}: undecided gates that keep a fixed number of cases and are not topped up: {count}. "
            "A larger --limit asks more, in a run of its own."
        )

    def told(self, sittings: Sequence[Sitting], suites: Sequence[SuiteResult]) -> StoppingResult:
        """What a result says of it, once its gates are judged."""
        seated = [one for one in sittings if (one.suite, one.probe.name) in self.gates and not one.reason]
        watched = {f"{one.suite}.{gate.id}" for one in seated for gate, _ in self.gates[one.suite, one.probe.name]}
        verdicts = {gate.id: gate.verdict for suite in suites for gate in suite.gates}
        return StoppingResult(
            gates=len(watched),
            confidence=self.confidence,
            asked=sum(len(one.observations) for one in seated),
            planned=sum(one.planned for one in seated),
            decided=sum(verdicts[gate] in (Verdict.PASS, Verdict.FAIL) for gate in watched),
        )


def top_up(
    sittings: Sequence[Sitting], watch: Watch, material: Material, ask: Callable[[Sequence[Sitting]], bool]
) -> list[str]:
    """Asks further cases of the probes whose gates are undecided, until they are decided or no more can be had.

    Cases of clusters that were asked before, and clusters larger than those, are left out.

    Args:
        sittings: the probes with what was seen; those that get more cases hold more afterwards.
        watch: tells which gates are undecided.
        material: what cases are made of.
        ask: puts what is left of sittings to the models; False when the time is up.

    Returns:
        Why gates are undecided still, a sentence for each probe.
    """
    first = {id(one): one.planned for one in sittings}
    told: dict[int, str] = {}
    while True:
        wanting = [one for one in sittings if not one.reason and id(one) not in told and watch.undecided(one)]
        for one in wanting:
            name = f"{one.suite}.{one.probe.name}"
            if one.planned >= _MOST * first[id(one)]:
                told[id(one)] = f"{name}: undecided after {one.planned} cases, {_MOST} times those planned."
            elif not _more(one, material, first[id(one)]):
                told[id(one)] = (
                    f"{name}: undecided, and no more than its {one.planned} cases can be made of these data."
                )
        asked = [one for one in wanting if one.left]
        if not asked or not ask(asked):
            return list(told.values())


def _more(sitting: Sitting, material: Material, first: int) -> int:
    """Gives a probe about as many further cases as it had, in random blocks; how many they are."""
    wanted = min(2 * sitting.planned, _MOST * first)
    try:
        cases = cases_of(sitting.probe, replace(material, limit=wanted))
    except Unsupported:
        return 0
    ids, clusters = {case.id for case in sitting.cases}, {case.cluster for case in sitting.cases} - {""}
    sizes = Counter(case.cluster for case in sitting.cases if case.cluster)
    fresh = [case for case in cases if case.id not in ids and case.cluster not in clusters]
    coming = Counter(case.cluster for case in fresh)
    most = max(sizes.values(), default=1)
    fresh = [case for case in fresh if not case.cluster or coming[case.cluster] <= most]
    room = _MOST * first - sitting.planned
    start = len(sitting.cases)
    rng = np.random.default_rng([material.seed, start])
    blocks = blocks_of(fresh, rng, _SMALLEST)
    taken: list[list[int]] = []
    while blocks and sum(map(len, taken)) < min(room, sitting.planned):
        taken.append(blocks.pop(0))
    kept = sorted(position for block in taken for position in block)
    moved = {position: start + number for number, position in enumerate(kept)}
    sitting.cases = [*sitting.cases, *(fresh[position] for position in kept)]
    sitting.left += [sorted(moved[position] for position in block) for block in taken]
    sitting.planned += len(kept)
    return len(kept)
