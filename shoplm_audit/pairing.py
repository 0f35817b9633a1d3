"""The cases of two runs side by side: which rows belong together, and what is to be known before they are compared.

    pairs_of(first, second, suites)[0] -> [Pair("faithfulness", "faithfulness.rate_contradicted", ...)]

Runs that were made with other cases are refused; where one run only has more of them, those of both are paired.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.errors import DataError
from shoplm_audit.observing import Sitting, failed_trials
from shoplm_audit.results import AuditResult, GateResult, SuiteResult
from shoplm_audit.sequences import largest_cluster
from shoplm_audit.types import Case, Estimate, Metric, Observations, Probe, Suite, Verdict

__all__ = ["Pair", "pairs_of"]

Slice = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """One metric in one slice of both runs.

    Attributes:
        gate: id of the gate; "" where no gate is on this metric.
        old, new: the rows of the baseline and of the candidate, in one order.
        before, after: what each run made of them.
        seed: of resamples.
        undefined: why nothing can be said, or "".
        largest: the most rows of a cluster, where a run stopped on what it saw; 0 where the number of cases was fixed.
    """

    suite: str
    gate: str
    slice: Slice
    metric: Metric
    old: Observations
    new: Observations
    before: Estimate
    after: Estimate
    seed: int
    undefined: str = ""
    largest: int = 0

    def difference(self, confidence: float, rows: NDArray[np.int64] | None = None) -> Estimate:
        """The metric's own paired difference, the candidate minus the baseline; of some rows, if they are named."""
        old, new = (self.old, self.new) if rows is None else (self.old.take(rows), self.new.take(rows))
        return self.metric.difference(old, new, confidence, np.random.default_rng(self.own_seed))

    @property
    def own_seed(self) -> list[int]:
        """A seed that no other pair has."""
        return [self.seed, zlib.crc32(repr((self.suite, self.metric.name, sorted(self.slice.items()))).encode())]


def pairs_of(first: AuditResult, second: AuditResult, suites: Sequence[Suite]) -> tuple[list[Pair], list[str]]:
    """All that both runs measured, the second's gates and the metrics without one, and notes for their reader.

    Raises:
        DataError: neither run's cases of a probe are all among the other's.
    """
    notes = list(_known_before(first, second))
    pairs: list[Pair] = []
    befores, afters = ({suite.name: suite for suite in run.result.suites} for run in (first, second))
    alone = sorted(befores.keys() ^ afters.keys())
    notes += [f"Only one of the two runs has the suite {name}: it is not compared." for name in alone]
    for suite in suites:
        if suite.name in befores and suite.name in afters:
            before, after = befores[suite.name], afters[suite.name]
            gates = _gates(before, after, notes)
            for probe in suite.probes:
                pairs += _of_probe(probe, (before, after), gates, (first, second), notes)
    return pairs, notes


def _known_before(first: AuditResult, second: AuditResult) -> Iterator[str]:
    old, new = first.result, second.result
    if old.model.fingerprint and old.model.fingerprint == new.model.fingerprint:
        yield "Both runs audited the same weights."
    if old.confidence != new.confidence:
        yield f"The runs have other confidences ({old.confidence:g}, {new.confidence:g}); the second's is used."
    if old.stopping or new.stopping:
        yield (
            "A run stopped on what it saw: means of values with known ends are compared by bounds that hold whenever "
            "it stopped, other metrics not at all."
        )
    if old.seed != new.seed:
        yield f"The runs have other seeds ({old.seed}, {new.seed})."
    made = [
        {
            (suite.name, estimate.metric): estimate.signature.rpartition("|prompts:")
            for suite in run.suites
            for estimate in suite.estimates
        }
        for run in (old, new)
    ]
    both = made[0].keys() & made[1].keys()
    if {made[0][key][2].partition("|")[0] for key in both} != {made[1][key][2].partition("|")[0] for key in both}:
        yield "The runs put their questions with other prompt templates: what differs may be the prompts."
    if {made[0][key][2].partition("|")[2] for key in both} != {made[1][key][2].partition("|")[2] for key in both}:
        yield "The runs were made with other versions of this program."
    other = sorted(
        {f"{suite}.{metric}" for suite, metric in both if made[0][suite, metric][0] != made[1][suite, metric][0]}
    )
    if other:
        yield f"Measured in another way by the two runs: {', '.join(other)}."


def _gates(before: SuiteResult, after: SuiteResult, notes: list[str]) -> list[GateResult]:
    earlier, now = {gate.id for gate in before.gates}, {gate.id for gate in after.gates}
    if fresh := sorted(now - earlier):
        notes.append(f"Gates that the baseline did not have: {', '.join(fresh)}.")
    if gone := sorted(earlier - now):
        notes.append(f"Gates that only the baseline had, not compared: {', '.join(gone)}.")
    return [gate for gate in after.gates if gate.verdict is not Verdict.NOT_APPLICABLE]


def _of_probe(
    probe: Probe,
    results: tuple[SuiteResult, SuiteResult],
    gates: Sequence[GateResult],
    runs: tuple[AuditResult, AuditResult],
    notes: list[str],
) -> Iterator[Pair]:
    suite = results[0].name
    metrics = {metric.name for metric in probe.metrics}
    mine = [gate for gate in gates if gate.metric in metrics]
    seen = [run.observations[suite, probe.name] for run in runs if (suite, probe.name) in run.observations]
    if len(seen) < len(runs):
        if mine:
            notes.append(f"Not tested in both runs, so not compared: {', '.join(gate.id for gate in mine)}.")
        return
    old, new, note = _paired(seen[0], seen[1], f"{suite}/{probe.name}")
    notes += [note] if note else []
    undefined = "the same ids stand for other cases in the two runs" if _unlike(old, new) else ""
    if undefined:
        notes.append(f"{suite}/{probe.name}: {undefined}; what it measures cannot be compared.")
    confidence, seed = runs[1].result.confidence, runs[1].result.seed
    stopped = any(run.result.stopping is not None for run in runs)

    def within(case: Case, inside: Slice) -> bool:
        return all(case.of(key) == value for key, value in inside.items())

    for metric in probe.metrics:
        failures = failed_trials(Sitting.seen(suite, probe, old.rows, 0, len(old)), metric, runs[0].result.seed)
        for gate, inside in [(gate.id, gate.slice) for gate in mine if gate.metric == metric.name] or [("", {})]:
            rows = [
                number
                for number, row in enumerate(old)
                if row.case.language not in failures and within(row.case, inside)
            ]
            before, after = old.take(rows), new.take(rows)

            def made(
                result: SuiteResult, kept: Observations, metric: Metric = metric, inside: Slice = inside
            ) -> Estimate:
                told = None if note else _estimate_in(result, metric.name, inside)
                if told is None and len(kept):
                    return metric.estimate(kept, confidence, np.random.default_rng(seed))
                return told or Estimate(math.nan, math.nan, math.nan, 0, "no cases")

            first, second = made(results[0], before), made(results[1], after)
            invalid = next((one.note for one in (first, second) if one.note.startswith("invalid")), "")
            why = undefined or invalid or ("" if rows else "there are no such cases")
            largest = 0
            if stopped:
                planned = [row.case for run in seen for row in run if within(row.case, inside)]
                largest = largest_cluster(metric, list({case.id: case for case in planned}.values()))
            yield Pair(suite, gate, inside, metric, before, after, first, second, seed, why, largest)


def _estimate_in(result: SuiteResult, metric: str, inside: Slice) -> Estimate | None:
    for one in result.estimates:
        if one.metric == metric and one.slice == inside:
            value, low, high = (math.nan if x is None else x for x in (one.value, one.low, one.high))
            return Estimate(value, low, high, one.n, one.method, note=one.note)
    return None


def _paired(first: Observations, second: Observations, name: str) -> tuple[Observations, Observations, str]:
    """The rows of both in one order, and a note where one run has more of them."""
    at = {row.case.id: number for number, row in enumerate(second)}
    ids = [row.case.id for row in first]
    both = [number for number, one in enumerate(ids) if one in at]
    if len(both) < min(len(first), len(second)) or not both:
        raise DataError(f"{name}: the runs have different cases. Run both with the same data, seed and limit.")
    old, new = first.take(both), second.take([at[ids[number]] for number in both])
    if len(first) == len(second):
        return old, new, ""
    return old, new, f"{name}: the runs asked {len(first)} and {len(second)} cases; the {len(both)} of both are paired."


def _unlike(old: Observations, new: Observations) -> bool:
    """Whether cases of one id differ in what metrics tell cases apart by; what a tokenizer counts may differ."""
    return any(_kind(before.case) != _kind(after.case) for before, after in zip(old, new, strict=True))


def _kind(case: Case) -> str:
    labels = {key: value for key, value in case.facts.items() if isinstance(value, bool)}
    told = [case.reference, case.language, case.task, case.cluster, dict(case.groups), labels]
    return json.dumps(told, sort_keys=True, default=str)
