"""A copy of a run for eyes outside: what must not leave is taken out, then the copy itself is searched for it.

shared = reduced(audited, "public", "7d5b...")
write_shared(Path("shared-public"), {"report.html": render_html(shared)}, sought_in(audited, []))

"public" holds verdicts and numbers; "partner" also what the model wrote, masked, for every suite but privacy.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shoplm_audit.errors import DataError
from shoplm_audit.evidence.manifest import write_manifest
from shoplm_audit.record import SECRETS
from shoplm_audit.rendering.masking import mask
from shoplm_audit.rendering.seeking import (
    OUTPUTS,
    PRIVATE,
    RECORD,
    Sought,
    leaks_in,
    names_a_person,
    own_words,
    sought_in,
    words_of,
)
from shoplm_audit.results import AuditResult, Result
from shoplm_audit.types import Case, Observation, Observations, Prompt

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Audience", "reduced", "secrets_beside", "write_shared"]

Audience: TypeAlias = Literal["public", "partner"]
_TRAINING = ("format", "objective", "steps", "privacy")  # no losses: without noise they tell of single records
_SOMEBODY, _WITHHELD = "a person whom the full report names", "[withheld]"
_ENVIRONMENT = frozenset(
    ("shoplm-audit", "python", "machine", "numpy", "scipy", "scikit-learn", "sacrebleu", "torch", "transformers")
) | {"tokenizers", "opacus", "device", "dtype"}
_VERSION = re.compile(r"[\w.+:-]{0,40}")
# What the built-in suites slice by: values of the suites' own, never of a customer.
_SLICES = frozenset(
    ("language", "task", "category", "stars", "length", "label", "kind", "type", "form", "channel", "benchmark_task")
) | {
    *("copies", "family", "aim", "who", "attack", "error", "attribute", "variety", "cue", "gender", "ethnicity", "age"),
    *("stereotypes_about", "condition", "reviewers", "target", "asks", "place", "record"),
}
# The program's own notes; what a user or a server said in one is no part of it.
_NOTES = re.compile(
    r"Synthetic world: [^:]{0,99}\.$|Out of scope: [\w.]+|The weights of this model cannot be verified[\w; ]*\.$"
    r"|--budget ended [\w.]+ after [\w ,]+\.$|\d+ of \d+ cases of \w+ errored: no answer came\."
    r"|a prompt lost its beginning to fit the model's context \(\d+ times\)$|Its texts were filtered \(--guard pii\)"
    r"|Judged before on a fixed number of cases"
)
_PROSE = ("note", "why", "method")  # fields of results that hold sentences of the program's own with values in them
_NUMBER = r"(?<![\d.])\d{6,}(?![\d.])"
_FREE = re.compile(rf"{_NUMBER}|[^\W\d_\u4e00-\u9fff]+|[\u4e00-\u9fff]+")


def reduced(audited: AuditResult, audience: Audience, digest: str, secrets: Iterable[Any] = ()) -> AuditResult:
    """The run without what must not leave.

    Args:
        audited: the whole run.
        audience: who will read it.
        digest: of the whole run's manifest, by which the copy can be held against it.
        secrets: what `secrets_beside` found: outputs that tell of it are left out.
    """
    result = audited.result
    withheld = "examples, " if audience == "public" else ""
    note = (
        f"Shared copy ({audience}): {withheld}prompts, customers' texts, members, canaries and losses were withheld. "
        f"Digest of the full run: {digest}."
    )
    training = result.model.training
    model = result.model.model_copy(
        update={
            "spec": "",
            "training": None if training is None else {key: training[key] for key in _TRAINING if key in training},
        }
    )
    suites = [suite.model_copy(update={"explanations": []}) for suite in result.suites]
    kept = result.model_copy(update={"model": model, "suites": suites, "command": "", "environment": _versions(result)})
    shown = _Shown(kept, audience).result(note)
    if audience == "public":
        return AuditResult(shown)
    own = sought_in(audited, secrets, outputs=False)
    rows = {
        key: Observations(tuple(told for n, row in enumerate(seen, 1) if (told := _masked(row, n, own))))
        for key, seen in audited.observations.items()
        if key[0] != PRIVATE
    }
    return AuditResult(shown, rows)


def _versions(result: Result) -> dict[str, str]:
    return {
        name: value for name, value in result.environment.items() if name in _ENVIRONMENT and _VERSION.fullmatch(value)
    }


class _Shown:
    """A result as an audience may see it.

    The public sees nothing that people wrote into it: no names, reasons, notes or slices but the program's own. A
    partner sees them masked, and no slices of customers.
    """

    def __init__(self, result: Result, audience: Audience) -> None:
        self._result, self._public = result, audience == "public"
        self._waived_by = sorted({one.by for one in result.waivers if one.by}, key=len, reverse=True)
        self._slices: dict[tuple[str, str], str] = {}
        names = [name for suite in result.suites for name in (suite.name, *(e.metric for e in suite.estimates))]
        names += [estimate.probe for suite in result.suites for estimate in suite.estimates]
        names += [
            f"{key} {value}"
            for suite in result.suites
            for e in suite.estimates
            for key, value in e.slice.items()
            if key in _SLICES
        ]
        self._words = own_words() | {
            word for name in [*names, _SOMEBODY, "withheld"] for word in words_of(name.replace("_", " "))
        }

    def result(self, note: str) -> Result:
        """What may be seen, with a note before its notes."""
        data = self._result.model_dump()
        suites = [self._open(suite) for suite in data["suites"]]
        for suite in suites:
            suite["not_tested"] = {name: self._said(why) for name, why in suite["not_tested"].items()}
        waivers, baseline = [self._open(one) for one in data["waivers"]], self._open(data["baseline"])
        if baseline:
            baseline["notes"] = [self._said(one) for one in baseline["notes"]]
        if self._public:
            waivers = [one | {"by": _SOMEBODY, "why": "stands in the full report"} for one in waivers]
        told = {"suites": suites, "waivers": waivers, "baseline": baseline, "notes": [note, *self._notes()]}
        return Result.model_validate(data | told)

    def _notes(self) -> list[str]:
        if not self._public:
            return [self._said(one) for one in self._result.notes]
        notes = [found[0].rstrip(".") + "." for one in self._result.notes if (found := _NOTES.match(one))]
        if dropped := len(self._result.notes) - len(notes):
            notes.append(f"{dropped} more notes stand in the full report.")
        return list(dict.fromkeys(notes))

    def _open(self, data: Any) -> Any:
        if isinstance(data, list):
            return [self._open(one) for one in data]
        if not isinstance(data, dict):
            return data
        kept = {name: self._open(value) for name, value in data.items() if name != "slice"}
        if "slice" in data:
            kept["slice"] = {key: self._slice(key, value) for key, value in data["slice"].items()}
        for name in {"id", "gate"} & set(kept):
            kept[name] = re.sub(r"(?<=[\[,])([^=\[\],]+)=([^\[\]]*?)(?=[\],])", self._named, kept[name])
        for name in set(_PROSE) & set(kept):
            kept[name] = self._said(kept[name])
        if kept.get("waived_by") and self._public:
            kept["waived_by"] = _SOMEBODY
        return kept

    def _named(self, found: re.Match[str]) -> str:
        return f"{found[1]}={self._slice(found[1], found[2])}"

    def _slice(self, key: str, value: str) -> str:
        if key in _SLICES or not (self._public or names_a_person(key)):
            return value
        known = sum(name == key for name, _ in self._slices)
        return self._slices.setdefault((key, value), f"withheld {known + 1}")

    def _said(self, text: str) -> str:
        """A sentence without words that are not the program's own; for a partner without personal data."""
        if not self._public:
            return mask(text)
        for name in self._waived_by:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _SOMEBODY, text)
        return _FREE.sub(lambda found: found[0] if self._is_own(found[0]) else _WITHHELD, text)

    def _is_own(self, word: str) -> bool:
        return not word.isdigit() and all(one in self._words for one in words_of(word))


def _masked(row: Observation, number: int, own: Sought) -> Observation | None:
    """What the model wrote, masked, beside the product's record; None where it told what must not leave."""
    kept = {name: row.values[name] for name in OUTPUTS if name in row.values}
    texts = [value for name, value in kept.items() if isinstance(value, str) and name.startswith("text")]
    if any(map(own.tells, texts)):
        return None
    numbers = {name: value for name, value in row.values.items() if isinstance(value, int | float)}
    case = Case(
        str(number),
        {name: _covered(row.case.facts[name]) for name in RECORD if name in row.case.facts},
        groups={name: value for name, value in row.case.groups.items() if not names_a_person(name)},
        language=row.case.language,
        task=row.case.task,
        prompt=Prompt(""),
    )
    return replace(row, case=case, values=numbers | {name: _covered(value) for name, value in kept.items()}, note="")


def _covered(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _covered(value) for key, value in data.items() if not names_a_person(str(key))}
    if isinstance(data, list | tuple):
        return [_covered(one) for one in data]
    return mask(data) if isinstance(data, str) else data


def secrets_beside(folder: Path) -> list[Any]:
    """What the trainer's secrets files below a folder hold.

    Raises:
        DataError: one cannot be read: what it holds could not be looked for.
    """
    found = []
    for path in sorted(folder.rglob(SECRETS)):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as fault:
            raise DataError(
                f"{path}: cannot be read ({type(fault).__name__}), so a copy cannot be searched for what it holds."
            ) from fault
    return found


def write_shared(
    folder: Path,
    files: Mapping[str, str],
    sought: Sought,
    key: Ed25519PrivateKey | None = None,
    *,
    private: bool = False,
) -> None:
    """Writes the files of a shared copy, unless one holds what must not leave; then nothing is written.

    Args:
        folder: where to; it holds nothing else.
        files: texts by name.
        sought: what must not leave.
        key: signs the manifest.
        private: whether only this user may read the copy.

    Raises:
        DataError: something was found: what kind, where and how often; or the folder holds something else.
    """
    leaks = leaks_in(files, sought)
    if leaks:
        told = "; ".join(f"{one.file}: {one.kind} ({one.count})" for one in leaks)
        raise DataError(f"{folder}: not written, as the copy would still hold: {told}.")
    if folder.exists() and not (
        folder.is_dir() and {one.name for one in folder.iterdir()} <= {*files, "manifest.json"}
    ):
        raise DataError(f"{folder}: holds something else. Name another folder with --out.")
    whole = folder.resolve()  # "." has no name
    part = whole.with_name(f".{whole.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
        write_manifest(part, key)
        whole.mkdir(exist_ok=True)
        whole.chmod(0o700 if private else 0o755)
        for old in whole.iterdir():
            old.unlink()
        for path in part.iterdir():
            path.chmod(0o600 if private else 0o644)
            path.replace(whole / path.name)
    except UnicodeEncodeError as fault:
        raise DataError(f"{folder}: not written, as a text holds half a character.") from fault
    except OSError as fault:
        raise DataError(f"{folder}: cannot be written ({fault.strerror}). Name another with --out.") from fault
    finally:  # whatever went wrong, nothing half written stays
        shutil.rmtree(part, ignore_errors=True)
