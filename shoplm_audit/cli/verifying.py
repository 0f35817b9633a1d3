"""The verbs that look after evidence: verify, evidence erase, evidence waive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoplm_audit.cli.asking import Data, Map, OwnSuites, SignKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoplm_audit.evidence.recasting import Given
    from shoplm_audit.evidence.verifying import Render

_SHOWN = 50  # differences that are printed


def verify(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="PEM of the public key that has to have signed the run.")
    ] = None,
    suites: OwnSuites = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="The audit.toml that the run has to have been held to: its limits, scope, confidence, suites and "
            "prompts; its data make the cases again.",
        ),
    ] = None,
    data: Data = None,
    mapping: Map = None,
    clauses: Annotated[
        Path | None,
        typer.Option(
            "--clauses", help="Folder of newer clause maps: tells which clauses stand otherwise by them than then."
        ),
    ] = None,
) -> None:
    """Recompute every estimate and verdict of a run from its stored answers, without the model.

    Exit 1 when anything differs, 3 when nothing does but a part could not be recomputed.
    """
    from shoplm_audit.evidence.verifying import verify as verified
    from shoplm_audit.rendering.masking import mask, visible
    from shoplm_audit.signing import read_public_key

    key = None if public_key is None else read_public_key(public_key)
    given = _given(config, data, mapping)
    told = verified(run_folder, public_key=key, suites=suites or (), renders=renders(), clauses=clauses, given=given)
    for note in told.notes:
        typer.echo(visible(mask(note)))
    for line in told.unchecked:
        typer.echo(f"not recomputed: {visible(mask(line))}", err=True)
    for one in told.differences[:_SHOWN]:
        pair = f": stored {one.stored}, recomputed {one.recomputed}" if one.stored or one.recomputed else ""
        typer.echo(f"differs: {one.file}: {visible(mask(one.where + pair))}", err=True)
    if len(told.differences) > _SHOWN:
        typer.echo(f"... and {len(told.differences) - _SHOWN} more.", err=True)
    typer.echo(f"{visible(str(run_folder))}: {_summary(len(told.differences), len(told.unchecked))}")
    raise typer.Exit(told.exit_code)


def _given(config: Path | None, data: list[str] | None, mapping: list[str] | None) -> Given:
    """What was named to make cases again; a configuration is also what the run has to have been held to."""
    from shoplm_audit.cli.asking import asked_for
    from shoplm_audit.evidence.recasting import Given

    if config is None and not data:
        return Given()
    asked = asked_for(None, "recorded:none", config, None, data, mapping, False, None, None)
    if config is None:
        return Given(records=asked.records)
    told = asked.config
    return Given(asked.prompts, asked.records, asked.policy, told.suites, told.limit, told.seed)


def _summary(differences: int, unchecked: int) -> str:
    if differences:
        return f"{differences} differences"
    return "nothing differs, but not all was recomputed" if unchecked else "nothing differs"


def renders() -> dict[str, Render]:
    """What each page of a run may hold, by file name."""
    from shoplm_audit.rendering.files import FORMS, render
    from shoplm_audit.results import AuditResult

    def of(form: str) -> Render:
        def texts(audited: AuditResult, banner: str) -> Iterator[str]:
            return (render(form, audited, banner, language) for language in ("en", "zh"))

        return texts

    return {name: of(form) for form, name in FORMS.items()}


def waive(
    gate: Annotated[str, typer.Argument(metavar="GATE", help='As the report names it: "bias.gap_refund".')],
    by: Annotated[str, typer.Option("--by", help="Who answers for it.")],
    why: Annotated[str, typer.Option("--why", help="Why the gate is let through.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="The last day on which it holds: 2026-12-31.")],
    file: Annotated[Path, typer.Option("--file", help="The file that it is appended to.")] = Path("waivers.toml"),
    sign_key: SignKey = None,
) -> None:
    """Let a gate that did not pass through, by name and for a time. A waived gate is never a passed one."""
    from shoplm_audit.rendering.masking import visible
    from shoplm_audit.signing import key_at_hand
    from shoplm_audit.waivers import Waiver, add_waiver, day_of, sign_waiver

    waiver = Waiver(gate, by, why, day_of(until))
    key = key_at_hand(sign_key)
    add_waiver(file, waiver if key is None else sign_waiver(waiver, key))
    if key is None:
        typer.echo(f"note: {file}: this entry is not signed: who can write the file can change it unseen.", err=True)
    typer.echo(f"{file}: {visible(gate)} is waived by {visible(by)} until {until}")


def erase(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A customer's id, a name, an address.")],
    yes: Annotated[bool, typer.Option("--yes", help="Erase without asking; asked is only at a terminal.")] = False,
    store: Annotated[
        Path | None, typer.Option("--store", help="A store of answers from which the subject goes too.")
    ] = None,
    sign_key: SignKey = None,
) -> None:
    """Delete every row of a run that holds a subject, for good. `verify` then says how many rows are gone.

    Exit 3 when a file in the run's folder still holds the subject.
    """
    from shoplm_audit.evidence.claiming import held
    from shoplm_audit.evidence.erasing import erase as erased
    from shoplm_audit.evidence.erasing import erase_from_store, found_in, remove_derived, still_in
    from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
    from shoplm_audit.evidence.manifest import signed_by
    from shoplm_audit.rendering.files import FORMS, render
    from shoplm_audit.rendering.masking import visible
    from shoplm_audit.signing import key_at_hand

    key = key_at_hand(sign_key)
    gone = found_in(run_folder, subject)
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Erase {len(gone)} cases of {run_folder} for good?", abort=True)
    with held(run_folder):
        was_signed = bool(signed_by(run_folder)[0])
        told = erased(run_folder, subject)
        removed = remove_derived(run_folder)  # they can be made again, without the subject
        audited, meta = load_run(run_folder), meta_of(run_folder)
        for form, name in FORMS.items():
            text = render(form, audited, meta.get("banner", ""), meta.get("language", "en"))
            (run_folder / name).write_text(text, encoding="utf-8")
        write_manifest(run_folder, key)
    for where, count in told.rows.items():
        typer.echo(f"{where}: {count} rows erased")
    typer.echo(f"{sum(told.rows.values())} rows and {told.exchanges} exchanges of the subject are gone.")
    if store is not None:
        typer.echo(f"{store}: {erase_from_store(store, subject, told.requests)} answers erased")
    if was_signed and key is None:
        typer.echo("note: the manifest was signed and is not any more: give --sign-key.", err=True)
    if removed:
        typer.echo(f"Removed, as they were made before: {', '.join(removed)}. Copies elsewhere are not reached.")
    left = still_in(run_folder, subject)
    for name in left:
        typer.echo(
            f"{visible(str(run_folder / name))}: still holds it. Take it out by hand, or remove the file.", err=True
        )
    if left:
        raise typer.Exit(3)
