"""Checks a finished run without its model: files, signature, what was seen, estimates, verdicts, pages.

verify(Path("runs/plain-3f2a")).differences -> [Difference("result.json", "bias.refund: verdict", "pass", "fail")]

What a model answered is taken from the evidence. That it did answer so, only a run of the model can tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from shoplm_audit.engine import Basis, judged, overall
from shoplm_audit.errors import AuditError, DataError
from shoplm_audit.evidence.basis import PROGRAM, basis_of, code_of
from shoplm_audit.evidence.files import EVIDENCE, RESULT, load_run, meta_of, plain_json, suites_for
from shoplm_audit.evidence.labelling import BY_PEOPLE
from shoplm_audit.evidence.manifest import MANIFEST, manifest_faults, signed_by
from shoplm_audit.evidence.rejudging import notes_on
from shoplm_audit.evidence.replaying import Difference, Replay, alike, exchanges_of, replayed, shown
from shoplm_audit.observing import Sitting, material_of
from shoplm_audit.prompts import Prompts
from shoplm_audit.results import AuditResult, SuiteResult, WaiverResult
from shoplm_audit.suites import suite_names
from shoplm_audit.types import Case, Material, Probe, Suite
from shoplm_audit.waivers import under_waivers, waivers_of

__all__ = ["Render", "Verification", "verify"]

Render = Callable[[AuditResult, str], Iterable[str]]  # (run, banner) to every text that a file may rightly hold
_VERSION = re.compile(r"\|shoplm-audit:[^|]*$")


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

    Raises:
        ConfigError: the clause maps are missing or broken.
        DataError: no finished run, or files that cannot be read as one.
    """
    told = Verification()
    if not (folder / RESULT).is_file() and not (folder / MANIFEST).is_file():
        load_run(folder)  # says what is missing
    told.differences += [Difference(MANIFEST, fault) for fault in manifest_faults(folder)]
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
    _check_code(meta, told)
    _recompute(folder, audited, meta, basis, suites, told)
    now = today or datetime.now(UTC).date()
    _check_waivers(audited, now, public_key, told)
    try:
        told.notes += notes_on(meta.get("clauses") or {}, audited.result, today=now, folder=clauses)
    except DataError as fault:
        told.differences.append(Difference(EVIDENCE, str(fault)))
    for name, render in (renders or {}).items():
        _check_rendering(folder / name, render, audited, meta, told)
    told.notes.append(
        "Not recomputed, as nothing stored could tell: that the model gave these answers, explanations of failed "
        "contrasts, what a short context cut off, environment, seconds, command."
    )
    return told


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


def _recompute(
    folder: Path,
    audited: AuditResult,
    meta: Mapping[str, Any],
    basis: Basis,
    own: Sequence[str | Path],
    told: Verification,
) -> None:
    known = suites_for(meta, own)
    try:
        exchanges = exchanges_of(folder)
    except AuditError as fault:
        told.differences.append(Difference(EVIDENCE, str(fault)))
        return
    erased, material = _erased(meta, told), _material(meta, basis)
    told.differences += [
        Difference(EVIDENCE, f"{suite}/{probe}: observations of a probe that the result does not know")
        for suite, probe in audited.observations
        if suite not in {one.name for one in audited.result.suites}
    ]
    found: list[SuiteResult] = []
    rows_read = rows_again = 0
    for stored in audited.result.suites:
        suite = known.get(stored.name)
        if suite is None:
            told.unchecked.append(
                f"suite {stored.name!r} was not recomputed: it is not built in, and code that only the evidence names "
                "is not run. Name its folder with --suite."
            )
            found.append(stored)
            continue
        for probe in suite.probes:
            rows = audited.observations.get((suite.name, probe.name), ())
            key, made = f"{suite.name}/{probe.name}", _cases_again(probe, material)
            replay = replayed(key, probe, made, tuple(rows), exchanges.get((suite.name, probe.name), {}))
            told.differences += replay.differences
            rows_read, rows_again = rows_read + len(rows), rows_again + replay.again
            if replay.kept or replay.errored:
                told.notes.append(f"{key}: {replay.again} of {len(rows)} cases read again{_but(replay)}.")
        try:
            gone = {probe for (name, probe), rows in erased.items() if rows and name == suite.name}
            found.append(_judged_again(suite, audited, basis, gone))
        except Exception as fault:  # forged values can make any metric stumble
            told.differences.append(
                Difference(EVIDENCE, f"suite {stored.name!r} cannot be judged again: {type(fault).__name__}: {fault}")
            )
            found.append(stored)
    told.notes.append(f"{rows_again} of {rows_read} cases were read again off their stored answers.")
    found = _waived(found, audited, meta, told)
    for stored, again in zip(audited.result.suites, found, strict=True):
        gone = {probe for (suite, probe), rows in erased.items() if rows and suite == stored.name}
        _compare(stored, again, gone, known.get(stored.name), told)
    # What rests on erased rows is taken as it stands.
    gone_from = {suite for (suite, _), rows in erased.items() if rows}
    whole = zip(audited.result.suites, found, strict=True)
    _compare_whole(audited, basis, [stored if stored.name in gone_from else again for stored, again in whole], told)


def _material(meta: Mapping[str, Any], basis: Basis) -> Material | None:
    """What the cases of the run were made of, where that was this program's own; None where it cannot be had."""
    prompts, limit = Prompts(), meta.get("limit")
    if basis.own or basis.prompts != prompts.digest or not isinstance(limit, int | None):
        return None
    return material_of({}, {}, prompts, basis.seed, limit)


def _cases_again(probe: Probe, material: Material | None) -> dict[str, Case]:
    """The cases of a probe by id; a probe may learn from the records what it reads answers with."""
    if material is None:
        return {}
    try:
        return {case.id: case for case in probe.cases_of(material)}
    except Exception:  # without the model's training record, its tokenizer, ... a probe need not get on
        return {}


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
                gone[suite, probe] = gone.get((suite, probe), 0) + int(count)
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
    except (AuditError, KeyError, ValueError, TypeError) as fault:
        told.differences.append(Difference(EVIDENCE, f"its waivers cannot be applied: {fault}"))
    stored, again = (plain_json([one.model_dump() for one in some]) for some in (audited.result.waivers, waivers))
    if stored != again:
        told.differences.append(Difference(RESULT, "waivers", shown(stored), shown(again)))
    left = iter(gates)
    return [suite.model_copy(update={"gates": [next(left) for _ in suite.gates]}) for suite in found]


def _compare(stored: SuiteResult, again: SuiteResult, gone: set[str], suite: Suite | None, told: Verification) -> None:
    """Holds a suite of the result against the recomputed one; what rests on erased rows is only named."""
    of = {metric.name: probe.name for probe in suite.probes for metric in probe.metrics} if suite else {}
    families = {gate.family for gate in stored.gates if of.get(gate.metric) in gone} - {""}
    resting = {gate.id for gate in stored.gates if of.get(gate.metric) in gone or gate.family in families}
    if resting:
        told.notes.append(
            f"Not recomputed, as rows that they rest on were erased: the gates {', '.join(sorted(resting))}."
        )
    by_people = [one for one in stored.estimates if one.metric == BY_PEOPLE]
    if by_people:
        told.notes.append(f"Not recomputed: {BY_PEOPLE}, which rests on people's labels.")

    def plain(one: SuiteResult) -> dict[str, Any]:
        data = one.model_dump(
            mode="json", exclude={"explanations", "estimates", "gates"} | ({"counts"} if gone else set())
        )
        for estimate in one.estimates:
            if estimate.metric != BY_PEOPLE and estimate.probe not in gone:
                told_of = estimate.model_dump(mode="json") | {"signature": _VERSION.sub("", estimate.signature)}
                data[f"estimate {estimate.metric!r} {_slice(estimate.slice)}"] = told_of
        return data | {f"gate {one.id!r}": one.model_dump(mode="json") for one in one.gates if one.id not in resting}

    last_digits: list[str] = []
    told.differences += _unlike(plain(stored), plain(again), f"suite {stored.name!r}", last_digits)
    if last_digits:
        told.notes.append(
            f"{len(last_digits)} numbers of {stored.name} differ after their ninth digit: other hardware."
        )


def _slice(inside: Mapping[str, str]) -> str:
    return "".join(f"[{key}={value}]" for key, value in sorted(inside.items()))


def _unlike(stored: Any, again: Any, where: str, last_digits: list[str]) -> list[Difference]:
    if isinstance(stored, dict) and isinstance(again, dict):
        found = []
        for key in sorted(set(stored) | set(again)):
            if key in stored and key in again:
                found += _unlike(stored[key], again[key], f"{where}: {key}", last_digits)
            else:
                found.append(Difference(RESULT, f"{where}: {key}", *_one_of(key in stored)))
        return found
    if stored == again:
        return []
    if isinstance(stored, float) and isinstance(again, float) and alike(stored, again):
        last_digits.append(where)
        return []
    return [Difference(RESULT, where, shown(stored), shown(again))]


def _one_of(is_stored: bool) -> tuple[str, str]:
    return ("there", "not there") if is_stored else ("not there", "there")


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
        f"{sum(len(suite.gates) for suite in found)} verdicts."
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
