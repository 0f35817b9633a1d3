"""Checks a finished run without its model: files, signature, what was seen, estimates, verdicts, pages.

verify(Path("runs/plain-3f2a")).differences -> [Difference("result.json", "bias.refund: verdict", "pass", "fail")]

What a model answered is taken from the evidence. That it did answer so, only a run of the model can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from shoplm_audit.config import gates_of
from shoplm_audit.engine import Basis, judged, overall
from shoplm_audit.errors import AuditError, ConfigError, DataError
from shoplm_audit.evidence.basis import PROGRAM, basis_of, code_of
from shoplm_audit.evidence.files import EVIDENCE, RESULT, load_run, meta_of, plain_json, suites_for
from shoplm_audit.evidence.labelling import BY_PEOPLE
from shoplm_audit.evidence.likeness import unlike_suites
from shoplm_audit.evidence.manifest import MANIFEST, manifest_faults, signed_by, uncovered
from shoplm_audit.evidence.policing import notes_on_policy, unlike_given
from shoplm_audit.evidence.recasting import TEMPLATES, Given, Maker, Recast, recast
from shoplm_audit.evidence.rejudging import notes_on
from shoplm_audit.evidence.replaying import Difference, Replay, Stored, exchanges_of, replayed, shown
from shoplm_audit.observing import Sitting
from shoplm_audit.results import AuditResult, SuiteResult, WaiverResult
from shoplm_audit.suites import suite_names
from shoplm_audit.types import Observation, Probe, Suite
from shoplm_audit.waivers import under_waivers, waivers_of

__all__ = ["Render", "Verification", "verify"]

Render = Callable[[AuditResult, str], Iterable[str]]  # (run, banner) to every text that a file may rightly hold


# By what was lacking to make cases again: the probes, and how many gates rest on each.
_Unmade = dict[tuple[str, ...], dict[str, int]]


@dataclass(slots=True)
class Verification:
    """What checking a run gave.

    Attributes:
        differences: what is not as it should be.
        unchecked: what could have been recomputed and was not, with the reason.
        notes: what was checked, and what nobody can recompute.
    """

    differences: list[Difference] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all that was stored is right, 1 something differs, 3 nothing does, but a part was not recomputed."""
        return 1 if self.differences else 3 if self.unchecked else 0


def verify(
    folder: Path,
    *,
    public_key: str | None = None,
    suites: Sequence[str | Path] = (),
    renders: Mapping[str, Render] | None = None,
    today: date | None = None,
    clauses: Path | None = None,
    given: Given | None = None,
) -> Verification:
    """Checks a finished run against its own evidence.

    Args:
        folder: of the run.
        public_key: whose signature the manifest has to carry, as base64.
        suites: folders of the user's own suites. Code that only the evidence names is never run: whoever made the
            evidence chose the name.
        renders: by file name, what it may hold for a result.
        today: for waivers that have expired and clauses that have come to stand otherwise since.
        clauses: folder of newer clause maps; those that come with the program unless given.
        given: what is at hand beside the run to make its cases again, and what it has to have been held to.

    Raises:
        ConfigError: the clause maps are missing or broken.
        DataError: no finished run, or files that cannot be read as one.
    """
    told = Verification()
    if not (folder / RESULT).is_file() and not (folder / MANIFEST).is_file():
        load_run(folder)  # says what is missing
    told.differences += [Difference(MANIFEST, fault) for fault in manifest_faults(folder)]
    if outside := uncovered(folder):
        told.notes.append(f"Covered by no manifest and no signature: {shown(', '.join(outside))}.")
    _check_signature(folder, public_key, told)
    try:
        audited, meta = load_run(folder), meta_of(folder)
        basis = _basis(folder, meta)
    except AuditError as fault:
        if not told.differences:
            raise
        told.unchecked.append(f"nothing was recomputed: {fault}")
        return told
    if basis is None:
        told.unchecked.append(f"nothing was recomputed: {EVIDENCE} has no basis. It is of an earlier version.")
        return told
    known = suites_for(meta, suites)
    with _forged_or_not(told, "its code"):
        _check_code(meta, told)
    with _forged_or_not(told, "its observations"):
        run = _Run(audited, meta, basis, known, exchanges_of(folder), Maker(basis, _limit_of(meta), given or Given()))
        _check_policy(run, told)
        _recompute(run, told)
    now = today or datetime.now(UTC).date()
    _check_waivers(audited, now, public_key, told)
    with _forged_or_not(told, "what it says of clauses"):
        told.notes += notes_on(meta.get("clauses") or {}, audited.result, today=now, folder=clauses)
    for name, render in (renders or {}).items():
        with _forged_or_not(told, "what its pages show"):
            _check_rendering(folder / name, render, audited, meta, told)
    told.notes.append(
        "Not recomputed, as nothing stored could tell: that the model gave these answers, explanations of failed "
        "contrasts, what a short context cut off, environment, seconds, command."
    )
    return told


@dataclass(frozen=True, slots=True)
class _Run:
    """A finished run with what it is checked by."""

    audited: AuditResult
    meta: Mapping[str, Any]
    basis: Basis
    known: Mapping[str, Suite]
    exchanges: Mapping[tuple[str, str], Mapping[str, Sequence[Stored]]]
    maker: Maker

    def rows(self, suite: str, probe: str) -> tuple[Observation, ...]:
        return tuple(self.audited.observations.get((suite, probe), ()))


@contextmanager
def _forged_or_not(told: Verification, what: str) -> Iterator[None]:
    """Makes a difference of whatever forged values make any code stumble over."""
    try:
        yield
    except ConfigError:  # of what the user gave
        raise
    except Exception as fault:
        why = str(fault) if isinstance(fault, DataError) else f"{type(fault).__name__}: {fault}"
        told.differences.append(Difference(EVIDENCE, f"{what} cannot be checked: {shown(why)}"))


def _limit_of(meta: Mapping[str, Any]) -> int | None:
    limit = meta.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise DataError(f"{EVIDENCE}: its limit of cases is none ({limit!r}).")
    return limit


def _basis(folder: Path, meta: Mapping[str, Any]) -> Basis | None:
    try:
        return basis_of(meta["basis"]) if "basis" in meta else None
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"{folder / EVIDENCE}: its basis cannot be read ({type(fault).__name__}: {fault}).") from fault


def _check_signature(folder: Path, public_key: str | None, told: Verification) -> None:
    key, valid = signed_by(folder)
    if key and not valid:
        told.differences.append(Difference(MANIFEST, "its signature is not that of the key it names"))
    elif public_key is not None and key != public_key:
        what = f"signed with another key, {key}" if key else "not signed"
        told.differences.append(Difference(MANIFEST, f"{what}; the key that was given is {public_key}"))
    elif not key:
        told.notes.append("Not signed: whoever can write the files can make them agree with each other.")
    elif public_key is None:
        told.notes.append(f"Signed, validly, with a key that nobody vouches for here ({key}): give --public-key.")
    else:
        told.notes.append(f"Signed with the key that was given ({key}).")


def _check_code(meta: Mapping[str, Any], told: Verification) -> None:
    then, now = meta.get("code", {}), code_of([one for one in meta.get("suites", []) if one in suite_names()])
    for name in sorted(set(now) & set(then)):
        if then[name] != now[name]:
            what = "This program is" if name == PROGRAM else f"The code of suite {name!r} is"
            told.notes.append(f"{what} another than then: numbers that differ may come from that.")


def _check_policy(run: _Run, told: Verification) -> None:
    result = run.audited.result
    try:
        told.notes += notes_on_policy(list(run.known.values()), run.basis)
    except ConfigError as fault:
        told.differences.append(Difference(EVIDENCE, f"its limits are none of its suites: {fault}"))
    ran = [suite.name for suite in result.suites]
    seated = {key.partition("/")[0] for key in run.basis.sittings} | {suite for suite, _ in run.audited.observations}
    told.differences += [Difference(RESULT, f"suite {name!r}", "not there", "there") for name in seated - set(ran)]
    if not ran or len(set(ran)) < len(ran):
        told.differences.append(Difference(RESULT, "suites: none, or one of them twice"))
    unlike = unlike_given(run.basis, run.maker.limit, ran, run.maker.given)
    told.differences += [
        Difference(EVIDENCE, f"{name}: not as it was given", shown(stored), shown(wanted))
        for name, (stored, wanted) in unlike.items()
    ]


def _recompute(run: _Run, told: Verification) -> None:
    audited, basis = run.audited, run.basis
    erased = _erased(run.meta, told)
    found: list[SuiteResult] = []
    read: list[Replay] = []
    unmade: _Unmade = {}
    for stored in audited.result.suites:
        suite = run.known.get(stored.name)
        if suite is None:
            told.unchecked.append(
                f"suite {stored.name!r} was not recomputed: it is not built in, and code that only the evidence names "
                "is not run. Name its folder with --suite."
            )
            found.append(stored)
            continue
        read += [_check_probe(run, suite, probe, erased, unmade, told) for probe in suite.probes]
        try:
            gone = {probe for name, probe in erased if name == suite.name}
            found.append(_judged_again(suite, audited, basis, gone))
        except Exception as fault:  # forged values can make any metric stumble
            told.differences.append(
                Difference(EVIDENCE, f"suite {stored.name!r} cannot be judged again: {type(fault).__name__}: {fault}")
            )
            found.append(stored)
    told.differences += [
        Difference(EVIDENCE, f"{suite}/{probe}: rows of a probe that the run does not have are said to be erased")
        for suite, probe in erased
        if suite not in run.known or probe not in {one.name for one in run.known[suite].probes}
    ]
    for lacking, probes in unmade.items():
        gates = sum(probes.values())
        (told.unchecked if gates and TEMPLATES in lacking else told.notes).append(
            f"Without {' and '.join(lacking)} the cases of {', '.join(probes)} cannot be made again: that none was "
            f"left out, added or changed is not checked. Gates that rest on them: {gates}."
        )
    again, rows = sum(one.again for one in read), sum(map(len, audited.observations.values()))
    told.notes.append(f"{again} of {rows} cases were read again off their stored answers.")
    found = _waived(found, audited, run.meta, told)
    for stored, fresh in zip(audited.result.suites, found, strict=True):
        _compare(stored, fresh, {probe for suite, probe in erased if suite == stored.name}, run, told)
    # What rests on erased rows is taken as it stands.
    gone_from = {suite for suite, _ in erased}
    whole = zip(audited.result.suites, found, strict=True)
    _compare_whole(audited, basis, [stored if stored.name in gone_from else fresh for stored, fresh in whole], told)


def _check_probe(
    run: _Run, suite: Suite, probe: Probe, erased: dict[tuple[str, str], int], unmade: _Unmade, told: Verification
) -> Replay:
    """Holds a probe's rows against its cases and answers; of `erased` it takes what is not really gone."""
    key, rows = f"{suite.name}/{probe.name}", run.rows(suite.name, probe.name)
    planned, _, reason = run.basis.sittings[key]
    if reason:
        if rows or (suite.name, probe.name) in erased:
            told.differences.append(Difference(EVIDENCE, f"{key}: rows of a probe that was not tested"))
        return Replay()
    made = recast(suite.name, probe, run.maker, planned, rows)
    replay = replayed(key, probe, made, rows, run.exchanges.get((suite.name, probe.name), {}))
    told.differences += replay.differences
    _check_gone(run, (suite.name, probe.name), made, erased, told)
    metrics = {metric.name for metric in probe.metrics}
    gates = sum(gate.metric in metrics for gate in gates_of(suite, run.basis.policy.gates))
    behind = f" Gates that rest on them: {gates}." if gates else ""
    if not made.lacking:
        told.differences += [Difference(EVIDENCE, f"{key}: {fault}") for fault in made.faults]
    elif made.faults:
        unmade.setdefault(made.lacking, {})[key] = gates
    if replay.unread:
        line = f"{key}: {replay.unread} of {len(rows)} cases cannot be read again and keep their values.{behind}"
        (told.unchecked if gates else told.notes).append(line)
    if replay.kept or replay.errored:
        told.notes.append(f"{key}: {replay.again} of {len(rows)} cases read again{_but(replay)}.{behind}")
    return replay


def _check_gone(
    run: _Run, key: tuple[str, str], made: Recast, erased: dict[tuple[str, str], int], told: Verification
) -> None:
    """Holds how many rows are missing against how many are said to be erased and whether the run stopped early."""
    name = "/".join(key)
    planned, present, count = run.basis.sittings[name][0], len(run.rows(*key)), erased.get(key, 0)
    may_stop = run.basis.early is not None or any(
        note.startswith(f"--budget ended {'.'.join(key)} after ") for note in run.audited.result.notes
    )
    missing = planned - present if made.lacking else made.gone
    few = made.lacking and may_stop and missing >= count
    if missing != count and not few:
        told.differences.append(
            Difference(EVIDENCE, f"{name}: cases without a row", f"{count} were erased", f"{missing} are missing")
        )
    if made.stopped and not may_stop:
        told.differences.append(
            Difference(EVIDENCE, f"{name}: {present} of {planned} cases have a row, of a run that asked all")
        )
    if present + count < planned and may_stop:
        told.notes.append(f"{name}: {present + count} of {planned} planned cases were asked, as the run could stop.")
    if missing <= 0:
        erased.pop(key, None)


def _but(replay: Replay) -> str:
    parts = [f"{replay.errored} have no answer"] if replay.errored else []
    if replay.kept:
        parts.append(f"{replay.kept} keep their values: reading them takes what the evidence does not hold")
    return f" ({'; '.join(parts)})" if parts else ""


def _erased(meta: Mapping[str, Any], told: Verification) -> dict[tuple[str, str], int]:
    """How many rows were erased, by (suite, probe)."""
    gone: dict[tuple[str, str], int] = {}
    try:
        for stone in meta.get("erased", []):
            told.notes.append(f"{sum(stone['rows'].values())} rows of a subject were erased on {stone['date']}.")
            for key, count in stone["rows"].items():
                suite, _, probe = key.rpartition("/")
                if not isinstance(count, int) or count < 1:
                    raise ValueError(f"{count!r} rows")
                gone[suite, probe] = gone.get((suite, probe), 0) + count
    except (KeyError, ValueError, TypeError, AttributeError) as fault:
        told.differences.append(Difference(EVIDENCE, f"what it says of erased rows cannot be read ({fault})"))
    return gone


def _judged_again(suite: Suite, audited: AuditResult, basis: Basis, gone: set[str]) -> SuiteResult:
    """A suite as its observations tell it, but for probes that rows are gone from."""
    lost = {metric.name for probe in suite.probes if probe.name in gone for metric in probe.metrics}
    limits = {
        key: limit
        for key, limit in basis.policy.gates.items()
        if key.partition("[")[0] not in {f"{suite.name}.{name}" for name in lost}
    }
    basis = replace(basis, policy=replace(basis.policy, gates=limits))
    suite = replace(
        suite,
        probes=[replace(probe, metrics=()) if probe.name in gone else probe for probe in suite.probes],
        gates=[gate for gate in suite.gates if gate.metric not in lost],
    )
    seated = []
    for probe in suite.probes:
        planned, unread, reason = basis.sittings[f"{suite.name}/{probe.name}"]
        rows = tuple(audited.observations.get((suite.name, probe.name), ()))
        sitting = Sitting.seen(suite.name, probe, rows, unread, planned)
        seated.append(replace(sitting, reason=reason) if reason else sitting)
    # As a file holds it: nan and infinity are null.
    return SuiteResult.model_validate_json(judged(suite, seated, basis).model_dump_json())


def _waived(
    found: Sequence[SuiteResult], audited: AuditResult, meta: Mapping[str, Any], told: Verification
) -> list[SuiteResult]:
    """The suites under the waivers that the run had, on its day."""
    gates = [gate for suite in found for gate in suite.gates]
    waivers: list[WaiverResult] = []
    try:
        if meta.get("waivers"):
            gates, waivers = under_waivers(
                gates, waivers_of(meta["waivers"]), date.fromisoformat(meta["today"]), meta.get("waiver_keys", ())
            )
    except (AuditError, KeyError, ValueError, TypeError, AttributeError) as fault:
        told.differences.append(Difference(EVIDENCE, f"its waivers cannot be applied: {fault}"))
    stored, again = (plain_json([one.model_dump() for one in some]) for some in (audited.result.waivers, waivers))
    if stored != again:
        told.differences.append(Difference(RESULT, "waivers", shown(stored), shown(again)))
    left = iter(gates)
    return [suite.model_copy(update={"gates": [next(left) for _ in suite.gates]}) for suite in found]


def _compare(stored: SuiteResult, again: SuiteResult, gone: set[str], run: _Run, told: Verification) -> None:
    """Holds a suite of the result against the recomputed one; what rests on erased rows is only named."""
    suite = run.known.get(stored.name)
    of = {metric.name: probe.name for probe in suite.probes for metric in probe.metrics} if suite else {}
    families = {gate.family for gate in stored.gates if of.get(gate.metric) in gone} - {""}
    resting = {gate.id for gate in stored.gates if of.get(gate.metric) in gone or gate.family in families}
    if resting:
        told.unchecked.append(f"rows that they rest on were erased: the gates {', '.join(sorted(resting))}.")
    if any(one.metric == BY_PEOPLE for one in stored.estimates):
        told.notes.append(f"Not recomputed: {BY_PEOPLE}, which rests on people's labels.")
    differences, last_digits = unlike_suites(stored, again, resting, gone)
    told.differences += differences
    if last_digits:
        told.notes.append(f"{last_digits} numbers of {stored.name} differ after their ninth digit: other hardware.")


def _compare_whole(audited: AuditResult, basis: Basis, found: Sequence[SuiteResult], told: Verification) -> None:
    result = audited.result
    if result.baseline is not None:
        told.notes.append("Not recomputed: the comparison with the baseline. `compare` does so with both runs at hand.")
    verdict = overall([gate for suite in found for gate in suite.gates], result.baseline)
    pairs = {
        "verdict": (result.verdict, verdict),
        "seed": (result.seed, basis.seed),
        "confidence": (result.confidence, basis.policy.confidence),
    }
    told.differences += [
        Difference(RESULT, name, shown(stored), shown(again))
        for name, (stored, again) in pairs.items()
        if stored != again
    ]
    told.notes.append(
        f"Recomputed: {sum(len(suite.estimates) for suite in found)} estimates and "
        f"{sum(len(suite.gates) for suite in found)} verdicts of {', '.join(suite.name for suite in found)}."
    )


def _check_waivers(audited: AuditResult, today: date, public_key: str | None, told: Verification) -> None:
    for one in audited.result.waivers:
        if one.state == "in force" and one.until < today.isoformat():
            told.notes.append(
                f"The waiver of {one.gate} by {one.by} was in force at the run and expired on {one.until}."
            )
        if public_key is not None and one.key != public_key:
            what = "signed with another key" if one.key else "not signed"
            told.notes.append(f"The waiver of {one.gate} by {one.by} is {what}.")


def _check_rendering(
    path: Path, render: Render, audited: AuditResult, meta: Mapping[str, Any], told: Verification
) -> None:
    try:
        content = path.read_bytes()
    except OSError:
        if path.name in ("report.html", "junit.xml"):
            told.differences.append(Difference(path.name, "it is missing or cannot be read"))
        return
    texts = render(audited, str(meta.get("banner", "")))
    if any(content == text.encode("utf-8", "surrogatepass") for text in texts):
        return
    what = "it is not what rendering this result gives. `report RUN` renders it again."
    if meta.get("code", {}).get(PROGRAM) != code_of([])[PROGRAM]:
        told.unchecked.append(f"{path.name}: {what} The evidence says that another version of this program wrote it.")
    else:
        told.differences.append(Difference(path.name, what))
