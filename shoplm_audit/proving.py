"""The audit audits itself: which of the known faults each gate sees, from which dose on, and how often it cries wolf.

    prove(Saboteur(), ["faithfulness"], lambda fault: fault.saboteur()).gates[0].sightings[0].smallest   # 0.2

Every case is put to the model once, and once to the model with each fault in full. What a gate then says is replayed
over many rounds. A round is another audit of as many cases: within each language and group, clusters are drawn with
replacement, copies being clusters of their own. At dose d each drawn cluster is the spoiled one with probability d,
else the unspoiled one; a cluster spoiled at a dose is spoiled at every larger one. So a dose is the share of clusters
(products, customers, requests) with the full effect, also of faults whose size could grow, such as a dearer price. All
that is computed from several cases (intervals, detectors, families) is computed anew in each round.

A metric whose value changes when every case is doubled compares cases with each other, and would take a copy for a
copied text: its rounds are a random 63 % of the clusters, none of them twice. They vary less than fresh audits would
and have wider intervals, so they see less, and give fewer false alarms. Where a language and group has fewer than six
clusters, a draw would be mostly copies: all of them stay, and rounds differ there only in which are spoiled.

What is left out: rounds vary as far as the observed cases do, so a fault that shows in no observed case cannot show,
and rates are those of one set of cases. Doses below one that the gate does not see (upper bound below 80 %) are not
tried. Of a family of gates, those that are not there for the fault are taken as the unspoiled model left them in that
round.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoplm_audit import uncertainty
from shoplm_audit.config import gates_of, scoped_out
from shoplm_audit.data.records import Record
from shoplm_audit.engine import suites_of
from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import Policy, in_families, judge
from shoplm_audit.observing import Progress, Quiet, Sitting, failed_trials, material_of, observe_all, sittings_of
from shoplm_audit.prompts import Prompts
from shoplm_audit.saboteurs.catalogue import FAULTS, Fault
from shoplm_audit.types import Estimate, Gate, Metric, Model, Observation, Observations, Suite, Verdict

__all__ = ["DOSES", "ROUNDS", "GateProof", "Proof", "Rate", "Sighting", "prove", "rounds_checked", "verdict_of"]

DOSES = (0.05, 0.1, 0.2, 0.5, 1.0)
ROUNDS = 60  # no false alarm in 59 has an upper bound of 5 %
FEWEST = 20
SEEN = 0.8  # the share of rounds in which a gate has to fail for a fault to count as seen
ALARMS = 0.05  # the share of rounds in which a gate may fail without a fault
CONFIDENCE = 0.95  # of each bound of a rate over rounds
_NEAR = "The model is near or over this limit without an added fault, so none can be told from its own: it failed in"
_FEW = 6  # clusters of a language and group below which all of them stay
_KEPT = 1 - math.exp(-1)  # of the clusters in a draw without copies: as many as differ in one with them


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of rounds, with exact bounds (Clopper and Pearson 1934), each at 95 %."""

    hits: int
    rounds: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, rounds: int) -> Rate:
        """The rate of so many hits."""
        return cls(hits, rounds, hits / rounds, *uncertainty.clopper_pearson(hits, rounds, CONFIDENCE))

    @property
    def told(self) -> str:
        """The rate in words: "1 of 60 rounds [0.1%, 7.7%]"."""
        return f"{self.hits} of {self.rounds} rounds [{self.low:.1%}, {self.high:.1%}]"


@dataclass(frozen=True, slots=True)
class Sighting:
    """How often a gate failed for one fault.

    Attributes:
        fault: its name.
        words: what the model does, in English and in Chinese.
        doses: (dose, share of rounds); None below a dose at which the upper bound of the share is below 80 %.
        smallest: the smallest dose from which on the lower bound of the share is at least 80 %, or None.
        untried: why the fault could not be tried, or "".
    """

    fault: str
    words: Mapping[str, str]
    doses: tuple[tuple[float, Rate | None], ...] = ()
    smallest: float | None = None
    untried: str = ""


@dataclass(frozen=True, slots=True)
class GateProof:
    """What is known of one gate.

    Attributes:
        id: "suite.gate".
        metric, slice: what it judges.
        found: "sees" every fault that was tried on it, and is quiet without one; is "blind" to one at the largest dose;
            gives false "alarms"; it is "unshown" which, as a bound leaves it open; or is "untried".
        why: of "unshown" and "untried", the reason.
        alarms: how often it failed without a fault; None where it was not tested.
        sightings: by fault.
    """

    id: str
    metric: str
    slice: Mapping[str, str]
    found: str
    why: str
    alarms: Rate | None
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What faults the gates of an audit see.

    Attributes:
        model: the name of the unspoiled model.
        known_honest: whether it is known to have none of the faults; of another its own faults are left aside.
        any_alarm: by suite, the share of rounds in which any of its gates failed without a fault.
    """

    model: str
    known_honest: bool
    seed: int
    rounds: int
    doses: tuple[float, ...]
    confidence: float
    suites: tuple[tuple[str, str], ...]
    gates: tuple[GateProof, ...]
    any_alarm: Mapping[str, Rate]

    @property
    def exit_code(self) -> int:
        """1: a gate is blind or gives false alarms; 3: of one that is not shown, or it was not tried; else 0."""
        found = {gate.found for gate in self.gates}
        return 1 if found & {"blind", "alarms"} else 0 if found == {"sees"} else 3

    def plain(self) -> dict[str, Any]:
        """Plain data, as `prove.json` holds it."""
        return {"schema": "shoplm-audit/prove/1"} | asdict(self) | {"exit_code": self.exit_code}


def prove(
    model: Model,
    suites: str | Suite | Sequence[str | Suite],
    spoil: Callable[[Fault], Model],
    *,
    catalogue: Sequence[Fault] = FAULTS,
    known_honest: bool = True,
    doses: Sequence[float] = DOSES,
    rounds: int = ROUNDS,
    seed: int = 0,
    limit: int | None = None,
    data: Mapping[str, Sequence[Record]] | None = None,
    prompts: Prompts | None = None,
    policy: Policy | None = None,
    roles: Mapping[str, Model] | None = None,
    progress: Progress | None = None,
    at: Callable[[str, int, int], None] = lambda title, done, total: None,
) -> Proof:
    """Runs graded faults through the suites and counts which gates see them.

    Args:
        model: without a fault.
        suites: names of built-in suites, or suites.
        spoil: from a fault to the model that has it in every case.
        catalogue: the faults; those of other suites are left aside.
        known_honest: whether the model is known to have no fault. Of another one no failed gate is a false alarm: gates
            that it fails as it is are not tried.
        doses: shares of clusters that are spoiled, each above 0 and at most 1.
        rounds: how many audits are replayed for each dose, at least 20.
        seed: decides cases and every draw of the rounds.
        limit: the most cases of a probe.
        data: the user's own records by kind.
        prompts: the templates; the built-in ones unless given.
        policy: limits, scope and confidence.
        roles: further models by role.
        progress: is told how asking moves on.
        at: is told (what is done, rounds done, rounds in all).

    Raises:
        ConfigError: a dose or the number of rounds is out of range, or a suite does not exist.
    """
    graded = tuple(sorted(set(doses)))
    if not graded or not all(0 < dose <= 1 for dose in graded):
        raise ConfigError(f'doses are "{", ".join(map(str, doses))}": each has to be above 0 and at most 1.')
    rounds_checked(rounds)
    policy, progress, loaded = policy or Policy(), progress or Quiet(), suites_of(suites)
    named = {**(roles or {}), "model": model}
    material = material_of(named, dict(data or {}), prompts or Prompts(), seed, limit)
    gates: list[GateProof] = []
    any_alarm: dict[str, Rate] = {}
    for suite in loaded:
        sittings = sittings_of([suite], material, policy.scope, limited=False)
        observe_all(sittings, named, progress)
        trial = _Trial(suite, sittings, policy, seed, rounds)
        calm = []
        for number in range(rounds):
            at(f"{suite.name}: without a fault", number, rounds)
            calm.append(trial.round(number))
        any_alarm[suite.name] = Rate.of(sum(any(one.failed.values()) for one in calm), rounds)
        sightings: dict[str, list[Sighting]] = {}
        for fault in (one for one in catalogue if one.suite == suite.name):
            meant = [gate for gate in trial.gates if fault.sees(gate.metric)]
            spoiled = trial.spoiled(meant, named | {"model": spoil(fault)}, progress) if meant else {}
            for gate, seen in trial.sight(fault, meant, spoiled, calm, graded, at).items():
                sightings.setdefault(gate, []).append(seen)
        gates += [trial.told(gate, sightings.get(gate.id, []), calm, known_honest) for gate in trial.gates]
    return Proof(
        model.name,
        known_honest,
        seed,
        rounds,
        graded,
        policy.confidence,
        tuple((suite.name, suite.question) for suite in loaded),
        tuple(gates),
        any_alarm,
    )


def rounds_checked(rounds: int) -> int:
    """The number of rounds, if it is enough.

    Raises:
        ConfigError: it is not.
    """
    if rounds < FEWEST:
        raise ConfigError(
            f'rounds is "{rounds}": with fewer than {FEWEST} replayed audits nothing is shown of a gate. Give 59 or '
            f"more (default: {ROUNDS}): no false alarm in fewer leaves it open whether there are more than 5 %."
        )
    return rounds


@dataclass(frozen=True, slots=True)
class _Round:
    """What the gates said in one round without a fault."""

    estimates: Mapping[str, Estimate | None]
    failed: Mapping[str, bool]


@dataclass(slots=True)
class _Seat:
    """The observed cases of one probe by cluster, and how a round draws them."""

    rows: Observations
    of: list[NDArray[np.int64]] = field(init=False)
    strata: list[NDArray[np.int64]] = field(init=False)
    _copies: dict[tuple[str, int, int], Observation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clusters = self.rows.clusters
        order = np.argsort(clusters, kind="stable")
        self.of = np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1) if order.size else []
        kinds = [
            repr(sorted({(row.case.language, *sorted(row.case.groups.items())) for row in self.rows.take(at)}))
            for at in self.of
        ]
        self.strata = [np.flatnonzero([kind == one for kind in kinds]).astype(np.int64) for one in sorted(set(kinds))]

    def drawn(self, rng: np.random.Generator, *, once: bool) -> list[tuple[int, int, float]]:
        """One round: (cluster, which copy of it, its place between 0 and 1: spoiled at every dose above)."""
        found = []
        for stratum in self.strata:
            size = stratum.size
            if size < _FEW:
                chosen = np.arange(size)
            elif once:
                chosen = rng.permutation(size)[: math.ceil(_KEPT * size)]
            else:
                chosen = rng.integers(size, size=size)
            times, places = np.bincount(chosen, minlength=size), rng.random(size)
            copies = [(cluster, copy) for cluster, n in zip(stratum, times, strict=True) for copy in range(n)]
            found += [(int(cluster), copy, float(at)) for (cluster, copy), at in zip(copies, places, strict=False)]
        return sorted(found)

    def cases(
        self,
        drawn: Sequence[tuple[int, int, float]],
        spoiled: Sequence[Observation],
        dose: float,
        fault: str,
    ) -> Observations:
        """The observations of a round."""
        return Observations(
            tuple(
                self._copy(fault if place < dose else "", spoiled if place < dose else self.rows.rows, int(row), copy)
                for cluster, copy, place in drawn
                for row in self.of[cluster]
            )
        )

    def _copy(self, fault: str, rows: Sequence[Observation], at: int, copy: int) -> Observation:
        if not copy:
            return rows[at]
        key = (fault, at, copy)
        if key not in self._copies:
            self._copies[key] = _copied(rows[at], copy)
        return self._copies[key]


def _copied(row: Observation, copy: int) -> Observation:
    """The observation as another one, in another cluster."""
    case = row.case
    cluster = f"{case.cluster}~{copy}" if case.cluster else ""
    return replace(row, case=replace(case, id=f"{case.id}~{copy}", cluster=cluster))


class _Trial:
    """The gates of one suite on what was seen of its probes."""

    def __init__(self, suite: Suite, sittings: Sequence[Sitting], policy: Policy, seed: int, rounds: int) -> None:
        self.suite, self.policy, self.seed, self.rounds = suite, policy, seed, rounds
        self.sittings = {metric.name: one for one in sittings for metric in one.probe.metrics}
        self.metrics: dict[str, Metric] = {metric.name: metric for one in sittings for metric in one.probe.metrics}
        self.gates = [
            gate
            for gate in gates_of(suite, policy.gates)
            if scoped_out(policy.scope, suite.name, self._probe(gate.metric), gate.id) is None
        ]
        self.seats = {
            one.probe.name: _Seat(one.observations) for one in sittings if not one.reason and len(one.observations)
        }
        judged = {gate.metric for gate in self.gates if self._probe(gate.metric) in self.seats}
        self.failures = {name: failed_trials(self.sittings[name], self.metrics[name], seed) for name in sorted(judged)}
        self.once = {name: self._compares(name, self.seats[self._probe(name)].rows.rows) for name in sorted(judged)}

    def _probe(self, metric: str) -> str:
        return self.sittings[metric].probe.name

    def _compares(self, name: str, rows: Sequence[Observation]) -> bool:
        """Whether a metric compares cases with each other: its value then changes when every case is doubled."""
        metric = self.metrics[name]
        twice = Observations((*rows, *(_copied(row, 1) for row in rows)))
        one, two = (
            metric.estimate(some, self.policy.confidence, np.random.default_rng(self.seed)).value
            for some in (Observations(tuple(rows)), twice)
        )
        return not (math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(one) and math.isnan(two)))

    def _drawn(self, probe: str, number: int, *, once: bool) -> list[tuple[int, int, float]]:
        return self.seats[probe].drawn(
            np.random.default_rng([self.seed, zlib.crc32(probe.encode()), number]), once=once
        )

    def _estimate(self, gate: Gate, rows: Observations, number: int) -> Estimate | None:
        """The number of one gate on some rows; None where nothing was tested."""
        name, sitting = gate.metric, self.sittings[gate.metric]
        inside = rows.where(**gate.slice)
        tried = Observations(tuple(row for row in inside if row.case.language not in self.failures[name]))
        if not len(inside):
            return None
        rng = np.random.default_rng([self.seed, number, zlib.crc32(gate.id.encode())])
        found = self.metrics[name].estimate(tried if len(tried) else inside, self.policy.confidence, rng)
        if sitting.unread or not len(tried):
            return replace(found, note="invalid: what was asked was not read, or the metric failed its own test")
        return None if not found.n and math.isnan(found.value) else found

    def _failed(self, gates: Sequence[Gate], estimates: Mapping[str, Estimate | None]) -> dict[str, bool]:
        """Which of some gates fail, those of a family among all of it."""
        tested = in_families(self.gates, estimates, self.policy.confidence)
        return {
            gate.id: judge(
                self.suite.name,
                gate,
                estimates[gate.id],
                self.policy,
                self._probe(gate.metric),
                "",
                tested.get(gate.id),
            ).verdict
            is Verdict.FAIL
            for gate in gates
        }

    def _numbers(
        self, gates: Sequence[Gate], number: int, spoiled: Mapping[str, Sequence[Observation]], dose: float, fault: str
    ) -> dict[str, Estimate | None]:
        made: dict[tuple[str, bool], Observations] = {}
        found: dict[str, Estimate | None] = {}
        for gate in gates:
            probe = self._probe(gate.metric)
            if probe not in self.seats:
                found[gate.id] = None
                continue
            key = (probe, self.once[gate.metric])
            if key not in made:
                drawn = self._drawn(probe, number, once=key[1])
                made[key] = self.seats[probe].cases(drawn, spoiled.get(probe, ()), dose, fault)
            found[gate.id] = self._estimate(gate, made[key], number)
        return found

    def round(self, number: int) -> _Round:
        """All gates in one round without a fault."""
        estimates = self._numbers(self.gates, number, {}, 0.0, "")
        return _Round(estimates, self._failed(self.gates, estimates))

    def spoiled(
        self, gates: Sequence[Gate], models: Mapping[str, Model], progress: Progress
    ) -> dict[str, tuple[Observation, ...]]:
        """What is seen of a model with a fault, by probe: of the same cases."""
        seen = {}
        for probe in dict.fromkeys(self._probe(gate.metric) for gate in gates):
            if probe not in self.seats:
                continue
            first = next(one for one in self.sittings.values() if one.probe.name == probe)
            every = list(range(len(first.cases)))
            sitting = Sitting(self.suite.name, first.probe, first.cases, "", [every], planned=len(every))
            sitting.sit(models, progress)
            if not sitting.reason:
                seen[probe] = sitting.observations.rows
        return seen

    def sight(
        self,
        fault: Fault,
        gates: Sequence[Gate],
        spoiled: Mapping[str, Sequence[Observation]],
        calm: Sequence[_Round],
        doses: Sequence[float],
        at: Callable[[str, int, int], None],
    ) -> dict[str, Sighting]:
        """How often each gate fails at each dose of a fault, from the largest dose down."""
        untried = {gate.id: why for gate in gates if (why := self._untried(self._probe(gate.metric), spoiled))}
        hits: dict[str, dict[float, Rate]] = {gate.id: {} for gate in gates}
        for metric in dict.fromkeys(gate.metric for gate in gates if gate.id not in untried):
            self.once[metric] = self.once[metric] or self._compares(metric, spoiled[self._probe(metric)])
        tried: list[float] = []
        for dose in sorted(doses, reverse=True):
            left = [g for g in gates if g.id not in untried and all(rate.high >= SEEN for rate in hits[g.id].values())]
            if not left:
                break
            count = dict.fromkeys((gate.id for gate in left), 0)
            for number in range(self.rounds):
                at(f"{self.suite.name}: {fault.name}", len(tried) * self.rounds + number, len(doses) * self.rounds)
                numbers = self._numbers(left, number, spoiled, dose, fault.name)
                for gate, failed in self._failed(left, {**calm[number].estimates, **numbers}).items():
                    count[gate] += failed
            tried.append(dose)
            for gate, seen in count.items():
                hits[gate][dose] = Rate.of(seen, self.rounds)
        return {
            gate.id: Sighting(
                fault.name,
                dict(fault.words),
                () if gate.id in untried else tuple((dose, hits[gate.id].get(dose)) for dose in doses),
                _smallest(hits[gate.id]),
                untried.get(gate.id, ""),
            )
            for gate in gates
        }

    def _untried(self, probe: str, spoiled: Mapping[str, Sequence[Observation]]) -> str:
        if probe not in self.seats:
            return f"{probe} was not tested"
        if probe not in spoiled:
            return f"{probe} could not be put to the spoiled model"
        same = all(
            repr((one.values, one.status)) == repr((other.values, other.status))
            for one, other in zip(self.seats[probe].rows, spoiled[probe], strict=True)
        )
        return "the fault left no trace in any answer: it reads the built-in prompts only" if same else ""

    def told(self, gate: Gate, sightings: Sequence[Sighting], calm: Sequence[_Round], known_honest: bool) -> GateProof:
        """All that is known of one gate."""
        sitting = self.sittings[gate.metric]
        tested = not sitting.reason and self._probe(gate.metric) in self.seats
        alarms = Rate.of(sum(one.failed[gate.id] for one in calm), len(calm)) if tested else None
        if alarms is None:
            found, why = "untried", f"Not tested: {sitting.reason or 'there are no such cases'}."
        elif sitting.unread:
            found, why = "untried", "What was asked was cut off to fit the model's context."
        else:
            found, why = verdict_of(sightings, alarms, known_honest=known_honest)
        return GateProof(
            f"{self.suite.name}.{gate.id}", gate.metric, dict(gate.slice), found, why, alarms, tuple(sightings)
        )


def verdict_of(sightings: Sequence[Sighting], alarms: Rate, *, known_honest: bool) -> tuple[str, str]:
    """What is found of a gate by the bounds of its rates, and why where it is open or untried (see `GateProof`)."""
    tops = [top for one in sightings if (top := _top(one)) is not None]
    if alarms.low > ALARMS:
        return ("alarms", "") if known_honest else ("untried", f"{_NEAR} {alarms.told}.")
    if not tops:
        said = sightings[0].untried if sightings else "the catalogue has no fault that this gate is there for"
        return "untried", f"{said[:1].upper()}{said[1:]}."
    least = min(tops, key=lambda top: top.low)
    if least.high < SEEN:
        return "blind", ""
    left = []
    if least.low < SEEN:
        left.append(f"At the largest dose it failed in {least.told}: at least {SEEN:.0%} are not shown.")
    if alarms.high > ALARMS:
        left.append(f"Without a fault it failed in {alarms.told}: at most {ALARMS:.0%} are not shown.")
    return ("unshown" if left else "sees"), " ".join(left)


def _top(sighting: Sighting) -> Rate | None:
    return sighting.doses[-1][1] if sighting.doses else None


def _smallest(rates: Mapping[float, Rate]) -> float | None:
    found = None
    for dose in sorted(rates, reverse=True):
        if rates[dose].low < SEEN:
            break
        found = dose
    return found
