"""A copy of a run for eyes outside: what must not leave is taken out, then the copy itself is searched for it.

shared = reduced(audited, "public", "7d5b...")
leaks_in({"report.html": render_html(shared)}, sought_in(audited, []))  -> [Leak("report.html", "customer's id", 2)]

"public" holds verdicts and numbers; "partner" also what the model wrote, masked, for every suite but privacy.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shoplm_audit.data.personal import find_personal
from shoplm_audit.data.sought import condensed
from shoplm_audit.errors import DataError
from shoplm_audit.evidence.manifest import write_manifest
from shoplm_audit.record import SECRETS
from shoplm_audit.rendering.masking import mask, mask_credentials, secrets_of
from shoplm_audit.results import AuditResult, Result
from shoplm_audit.types import Case, Observation, Observations, Prompt

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Audience", "Leak", "Sought", "leaks_in", "reduced", "secrets_beside", "sought_in", "write_shared"]

Audience: TypeAlias = Literal["public", "partner"]
_PRIVATE = "privacy"
_TRAINING = ("format", "objective", "steps", "privacy")  # no losses: without noise they tell of single records
_RECORD = ("record", "title")  # facts that are the shop's own words on a product
_OUTPUTS = ("text", "spans", "text_constrained", "spans_constrained")
_GRAM, _GRAM_ZH = 8, 12  # words, or characters of Chinese, that are nobody's by chance
_SECRET, _ID = 6, 5  # letters and digits of a secret, characters of an id, that are found by chance no more
_WORD = re.compile(r"[^\W\u4e00-\u9fff]+|[\u4e00-\u9fff]")
_PART = re.compile(r"[^\W_\u4e00-\u9fff]+|[\u4e00-\u9fff]")
# Within a line these cut no text into pieces: a highlighted span may begin inside a secret.
_INLINE = frozenset(("a", "abbr", "b", "bdi", "code", "em", "i", "mark", "q", "s", "small", "span", "strong", "u"))
# Attributes of drawings, whose figures look like anybody's number.
_DRAWN = frozenset(
    ("d", "points", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "viewbox")
) | {"transform", "style", "class", "id"}


@dataclass(frozen=True, slots=True)
class Leak:
    """That a file holds what must not leave, and of what kind; the value itself is not told."""

    file: str
    kind: str
    count: int


@dataclass(slots=True)
class Sought:
    """What must stand in no shared file: secrets as letters and digits, ids as they are, runs of words of customers."""

    secrets: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    grams: set[tuple[str, ...]] = field(default_factory=set)


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
    reduced_result = result.model_copy(
        update={"model": model, "suites": suites, "command": "", "notes": [note, *map(mask, result.notes)]}
    )
    if audience == "public":
        return AuditResult(_unnamed(reduced_result))
    own = sought_in(audited, secrets, outputs=False)
    rows = {
        key: Observations(tuple(shown for n, row in enumerate(seen, 1) if (shown := _masked(row, n, own))))
        for key, seen in audited.observations.items()
        if key[0] != _PRIVATE
    }
    return AuditResult(reduced_result, rows)


def _unnamed(result: Result) -> Result:
    """Without the names of those who waived a gate; who they are stands in the whole run."""
    somebody = "a person whom the full report names"
    suites = [
        suite.model_copy(
            update={
                "gates": [
                    gate.model_copy(update={"waived_by": somebody if gate.waived_by else None}) for gate in suite.gates
                ]
            }
        )
        for suite in result.suites
    ]
    waivers = [one.model_copy(update={"by": somebody, "why": "stands in the full report"}) for one in result.waivers]
    return result.model_copy(update={"suites": suites, "waivers": waivers})


def _masked(row: Observation, number: int, own: Sought) -> Observation | None:
    """What the model wrote, masked, beside the product's record; None where it told what must not leave."""
    kept = {name: row.values[name] for name in _OUTPUTS if name in row.values}
    texts = [value for name, value in kept.items() if isinstance(value, str) and name.startswith("text")]
    if any(_tells(text, own) for text in texts):
        return None
    numbers = {name: value for name, value in row.values.items() if not isinstance(value, str)}
    case = Case(
        str(number),
        {name: _covered(row.case.facts[name]) for name in _RECORD if name in row.case.facts},
        groups=row.case.groups,
        language=row.case.language,
        task=row.case.task,
        prompt=Prompt(""),
    )
    return replace(row, case=case, values=numbers | {name: _covered(value) for name, value in kept.items()}, note="")


def _tells(text: str, own: Sought) -> bool:
    letters = condensed(text)
    known = any(secret in letters for secret in own.secrets) or any(gram in own.grams for gram in _grams(text))
    return known or bool(_ids_in(text, own.ids))


def _covered(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _covered(value) for key, value in data.items()}
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


def sought_in(audited: AuditResult, secrets: Iterable[Any], *, outputs: bool = True) -> Sought:
    """What a shared copy of a run must not hold.

    Args:
        audited: the whole run.
        secrets: what `secrets_beside` found.
        outputs: whether what the model wrote may not leave either.
    """
    sought = Sought()
    for (suite, _), seen in audited.observations.items():
        texts = [_texts_of(row, private=suite == _PRIVATE, outputs=outputs) for row in seen]
        # What stands in every row is no customer's (why none could be marked, a standing instruction).
        common = set.intersection(*texts) if len(texts) > 1 and suite != _PRIVATE else set()
        sought.grams.update(gram for some in texts for text in some - common for gram in _grams(text))
        for row in seen:
            sought.ids.update(one for one in (row.case.id, row.case.cluster) if _is_id(one))
            if suite == _PRIVATE:
                sought.secrets.update(_long(secrets_of(row.case)))
    for one in secrets:
        canaries = one.get("canaries", []) if isinstance(one, dict) else []
        members = one.get("members", []) if isinstance(one, dict) else []
        sought.secrets.update(_long(str(canary.get("secret", "")) for canary in canaries))
        sought.ids.update(unit for member in members if _is_id(unit := str(member.get("unit", ""))))
        sought.grams.update(g for member in members for text in member.get("texts", []) for g in _grams(str(text)))
    return sought


def _texts_of(row: Observation, *, private: bool, outputs: bool) -> set[str]:
    """The texts of a row that may not leave."""
    facts = [value for name, value in row.case.facts.items() if private or name not in _RECORD]
    told = [value for name, value in row.values.items() if private or outputs or name not in _OUTPUTS]
    return set(_strings([row.case.prompt.flat, row.case.reference, facts, told]))


def _is_id(text: str) -> bool:
    return len(text) >= _ID and any(map(str.isdigit, text)) and any(map(str.isalpha, text))


def _long(texts: Iterable[str]) -> set[str]:
    return {key for text in texts if len(text) <= 200 and len(key := condensed(text)) >= _SECRET}


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    for start in range(len(words) - _GRAM + 1):
        gram = tuple(words[start : start + _GRAM])
        if all("\u4e00" <= word <= "\u9fff" for word in gram):
            gram = tuple(words[start : start + _GRAM_ZH])
            if len(gram) < _GRAM_ZH:
                continue
        if not all(map(str.isdigit, gram)):
            yield gram


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, list | tuple):
        for one in data:
            yield from _strings(one)


def _strings_and_names(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        yield from data
        for value in data.values():
            yield from _strings_and_names(value)
    elif isinstance(data, list):
        for one in data:
            yield from _strings_and_names(one)
    else:
        yield from _strings(data)


def leaks_in(files: Mapping[str, str], sought: Sought) -> list[Leak]:
    """What the files to be shared hold that must not leave.

    Args:
        files: their texts by name.
        sought: strings of this run; personal data and credentials of any kind are looked for besides.
    """
    found = []
    for name, text in files.items():
        pieces = list(_pieces(name, text))
        letters = "\n".join(map(condensed, pieces))
        kinds = {
            "secret of the training data": sum(secret in letters for secret in sought.secrets),
            "id of a case or customer": len(_ids_in("\n".join([text, *pieces]), sought.ids)),
            "run of a customer's or prompt's words": sum(g in sought.grams for p in pieces for g in _grams(p)),
            "personal data": sum(len(find_personal(piece, "")) for piece in pieces),
            "credential": sum(mask_credentials(piece) != piece for piece in pieces),
        }
        found += [Leak(name, kind, count) for kind, count in kinds.items() if count]
    return found


def _ids_in(text: str, ids: set[str]) -> set[str]:
    """The ids that stand in a text as whole words, whatever punctuation is around them."""
    cores: dict[str, str] = {}
    sizes = set()
    for one in ids:
        parts = list(_PART.finditer(one))
        cores[one[parts[0].start() : parts[-1].end()]] = one
        sizes.add(len(parts))
    places = [(found.start(), found.end()) for found in _PART.finditer(text)]
    return {
        cores[core]
        for size in sizes
        for first, last in zip(places, places[size - 1 :], strict=False)
        if (core := text[first[0] : last[1]]) in cores
    }


class _Texts(HTMLParser):
    """The texts, comments and attributes of a page, without its drawings' figures and its own style and script."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._line: list[str] = []
        self._inside = ""

    def close(self) -> None:
        super().close()
        self._end_line()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.found += [value for name, value in attrs if value and name not in _DRAWN]
        if tag not in _INLINE:
            self._end_line()

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        if tag not in _INLINE:
            self._end_line()

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self._line.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def unknown_decl(self, data: str) -> None:  # a CDATA section
        self.found.append(data)

    def _end_line(self) -> None:
        if line := "".join(self._line).strip():
            self.found.append(line)
        self._line.clear()


def _pieces(name: str, text: str) -> Iterator[str]:
    if name.endswith((".json", ".sarif")):
        yield from _strings_and_names(json.loads(text))
    elif name.endswith((".html", ".xml")):
        page = _Texts()
        page.feed(text)
        page.close()
        yield from page.found
    else:
        yield from map(html.unescape, text.splitlines())


def write_shared(folder: Path, files: Mapping[str, str], sought: Sought, key: Ed25519PrivateKey | None = None) -> None:
    """Writes the files of a shared copy, unless one holds what must not leave; then nothing is written.

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
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
        write_manifest(part, key)
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except OSError as fault:
        raise DataError(f"{folder}: cannot be written ({fault.strerror}). Name another with --out.") from fault
    finally:  # whatever went wrong, nothing half written stays
        shutil.rmtree(part, ignore_errors=True)
