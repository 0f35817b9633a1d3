"""The verb that renders a finished run again: for people, for machines, for eyes outside."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoplm_audit.cli.asking import Language, SignKey, check_language
from shoplm_audit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shoplm_audit.results import AuditResult

_MORE = {"sarif": "report.sarif", "modelcard": "modelcard.md", "dossier": "dossier.html", "labels": "labels.jsonl"}
_IN_LANGUAGES = ("html", "dossier")


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="html, junit, sarif, modelcard, dossier, or labels: a JSONL of texts for people to label."
        ),
    ] = "html",
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="A filled-in file of --format labels: result and report then hold the rate that people find.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            min=1,
            help="With --format labels: about how many texts; more where the checker is unsure.",
            show_default="100",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File (with --share: folder) to write; in the run's folder if not given."),
    ] = None,
    language: Language = "en",
    share: Annotated[
        str,
        typer.Option(
            "--share",
            metavar="public|partner",
            help="Write a copy without prompts, personal data, members and canaries, for eyes outside.",
        ),
    ] = "",
    as_of: Annotated[
        str, typer.Option("--as-of", metavar="DATE", help="The day of a dossier.", show_default="today")
    ] = "",
    sign_key: SignKey = None,
) -> None:
    """Render a finished run again, share it, or have people check a sample of it.

    What the claim checker gets wrong, people correct: `report RUN --format labels` writes texts with their records;
    set "label" in each line, from the top, to true (a statement is false by the record) or false, then give the file
    back with `report RUN --labels FILE`.
    """
    asked = _Asked(run_folder, form, out, language, as_of, sign_key)
    asked.check(labels, count, share)
    if labels is not None:
        _corrected_by(labels, asked)
    elif share:
        _shared(share, asked)
    else:
        _rendered(asked, count or 100)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be rendered, and where to."""

    folder: Path
    form: str
    out: Path | None
    language: str
    as_of: str
    sign_key: Path | None

    def check(self, labels: Path | None, count: int | None, share: str) -> None:
        """Refuses what does not go together."""
        from shoplm_audit.rendering.files import FORMS

        known = [*FORMS, *_MORE]
        check_language(self.language)
        if self.form not in known:
            raise ConfigError(f'--format "{self.form}": there are {", ".join(known)}.')
        if count is not None and self.form != "labels":
            raise ConfigError(f"--count {count}: only --format labels draws texts.")
        if labels is not None and (self.form != "html" or self.out is not None or share):
            raise ConfigError("--labels changes the run's own result and report: give no --format, --out or --share.")
        if share not in ("", "public", "partner"):
            raise ConfigError(f'--share "{share}": there are public and partner.')
        if share and self.form == "labels":
            raise ConfigError("--format labels holds texts and records: it is not to be shared.")
        if self.as_of and self.form != "dossier":
            raise ConfigError(f"--as-of {self.as_of}: only --format dossier is of a day.")
        if self.language != "en" and self.form not in _IN_LANGUAGES:
            raise ConfigError(f"--language {self.language}: only {' and '.join(_IN_LANGUAGES)} are written in it.")

    @property
    def name(self) -> str:
        """The file's name in the folder of the run."""
        from shoplm_audit.rendering.files import FORMS

        return (FORMS | _MORE)[self.form]


def _text(asked: _Asked, audited: AuditResult, meta: dict[str, Any]) -> str:
    """A run in the form that is asked for."""
    from shoplm_audit.rendering.files import render

    if asked.form == "sarif":
        from shoplm_audit.rendering.sarif import render_sarif

        return render_sarif(audited)
    if asked.form == "modelcard":
        from shoplm_audit.rendering.modelcard import render_modelcard

        return render_modelcard(audited)
    if asked.form == "dossier":
        from shoplm_audit.rendering.dossier import render_dossier
        from shoplm_audit.waivers import day_of

        today = day_of(asked.as_of) if asked.as_of else date.today()
        made = day_of(str(meta["today"])) if "today" in meta else today
        return render_dossier(audited, made=made, today=today, language="zh" if asked.language == "zh" else "en")
    return render(asked.form, audited, meta.get("banner", ""), asked.language)


def _rendered(asked: _Asked, count: int) -> None:
    from shoplm_audit.evidence.claiming import held
    from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
    from shoplm_audit.signing import key_at_hand

    key = key_at_hand(asked.sign_key)
    target = asked.out or asked.folder / asked.name
    with held(asked.folder) if asked.out is None and asked.folder.is_dir() else nullcontext():
        audited = load_run(asked.folder)
        if asked.form == "labels":
            text = _to_label(audited, target, count)
        else:
            text = _text(asked, audited, meta_of(asked.folder))
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise DataError(f"{target}: cannot be written ({fault.strerror}). Name another file with --out.") from fault
        if asked.out is None:
            _say_unsigned(asked.folder, signed=key is not None)
            write_manifest(asked.folder, key)
    typer.echo(str(target))


def _say_unsigned(folder: Path, *, signed: bool) -> None:
    from shoplm_audit.evidence.manifest import signed_by

    if not signed and signed_by(folder)[0]:
        typer.echo("note: the manifest was signed and is not any more: give --sign-key.", err=True)


def _shared(audience: str, asked: _Asked) -> None:
    """Writes a copy of a run for eyes outside, if nothing is found in it that must not leave."""
    from shoplm_audit.evidence.files import MANIFEST, load_run, meta_of
    from shoplm_audit.rendering.files import FORMS, render
    from shoplm_audit.rendering.seeking import sought_in
    from shoplm_audit.rendering.sharing import reduced, secrets_beside, write_shared
    from shoplm_audit.signing import key_at_hand

    audited, meta = load_run(asked.folder), meta_of(asked.folder)
    manifest = asked.folder / MANIFEST
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else "none"
    spec = Path(audited.result.model.spec)
    places = [asked.folder, *([spec] if audited.result.model.spec and spec.is_dir() else [])]
    secrets = [one for place in places for one in secrets_beside(place)]
    shared = reduced(audited, "public" if audience == "public" else "partner", digest, secrets)
    files = {"result.json": shared.result.model_dump_json(indent=1) + "\n"}
    files |= {name: render(one, shared, meta.get("banner", ""), asked.language) for one, name in FORMS.items()}
    files[asked.name] = _text(asked, shared, meta)
    if audited.result.model.training is not None and not secrets:
        typer.echo("note: the trainer's secrets were not found: the copy is searched for what the run knows.", err=True)
    folder = asked.out or asked.folder / f"shared-{audience}"
    sought = sought_in(audited, secrets, outputs=audience == "public")
    write_shared(folder, files, sought, key_at_hand(asked.sign_key), private=audience == "partner")
    typer.echo(str(folder))


def _to_label(audited: AuditResult, target: Path, count: int) -> str:
    from shoplm_audit.evidence.labelling import labelled_in, lines_to_label
    from shoplm_audit.rendering.masking import mask

    if there := labelled_in(target):
        raise DataError(f"{target}: holds {there} labels already. Name another file with --out, or move it away.")
    lines = lines_to_label(audited, count, mask)
    typer.echo(f'{len(lines)} texts: set "label" in each, from the top, to true (a statement is false) or false;')
    typer.echo("then: shoplm-audit report RUN --labels FILE")
    return "".join(f"{line}\n" for line in lines)


def _corrected_by(file: Path, asked: _Asked) -> None:
    """Writes the rate that people find into a run, and its reports again."""
    from shoplm_audit.evidence.claiming import held
    from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
    from shoplm_audit.evidence.labelling import BY_PEOPLE, corrected_by_people, keep_result, read_labels
    from shoplm_audit.rendering.files import FORMS, render
    from shoplm_audit.rendering.masking import mask
    from shoplm_audit.rendering.wording import said
    from shoplm_audit.signing import key_at_hand

    folder, key = asked.folder, key_at_hand(asked.sign_key)
    with held(folder) if folder.is_dir() else nullcontext():
        audited = load_run(folder)
        audited = corrected_by_people(audited, read_labels(file, audited, mask))
        banner = meta_of(folder).get("banner", "")
        texts = {folder / name: render(form, audited, banner, asked.language) for form, name in FORMS.items()}
        keep_result(folder, audited)
        try:
            for path, text in texts.items():
                path.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise DataError(f"{folder}: cannot be written ({fault.strerror}). Free space, run it again.") from fault
        _say_unsigned(folder, signed=key is not None)
        write_manifest(folder, key)
    for one in (one for suite in audited.result.suites for one in suite.estimates if one.metric == BY_PEOPLE):
        shown = said(one.value, one.low, one.high, one.metric)
        where = "".join(f"[{name}={value}]" for name, value in one.slice.items())
        typer.echo(f"{one.metric}{where}: {shown.value}, between {shown.low} and {shown.high}; {one.note}")
    typer.echo(str(folder / FORMS["html"]))
