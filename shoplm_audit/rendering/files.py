"""Writes all files of a run, and renders a finished one again in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm_audit.errors import MachineError
from shoplm_audit.evidence.files import write_manifest, write_run
from shoplm_audit.probes.driving import Exchange
from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.junit import render_junit
from shoplm_audit.results import AuditResult

__all__ = ["FORMS", "render", "write_all"]

FORMS = {"html": "report.html", "junit": "junit.xml"}


def render(form: str, audited: AuditResult, banner: str = "") -> str:
    """A run in one of `FORMS`."""
    return render_html(audited, banner=banner) if form == "html" else render_junit(audited)


def write_all(
    folder: Path,
    audited: AuditResult,
    exchanges: Mapping[tuple[str, str], Sequence[Exchange]],
    meta: Mapping[str, Any],
    banner: str = "",
) -> None:
    """Writes result, evidence, report, JUnit and manifest of a run.

    Raises:
        MachineError: the disk is full or the folder has gone.
    """
    write_run(folder, audited, exchanges, dict(meta) | {"banner": banner})
    try:
        for form, name in FORMS.items():
            (folder / name).write_text(render(form, audited, banner), encoding="utf-8")
        write_manifest(folder)
    except OSError as fault:
        raise MachineError(
            f"{folder}: the report cannot be written ({fault.strerror}). Free space, then run the same command."
        ) from fault
