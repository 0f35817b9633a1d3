"""Writes all files of a run, and renders a finished one again in one form."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoplm_audit.engine import Keeper
from shoplm_audit.errors import MachineError
from shoplm_audit.evidence.files import write_manifest, write_run
from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.junit import render_junit
from shoplm_audit.results import AuditResult

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["FORMS", "render", "write_all"]

# What `report` made of an earlier result in this folder would speak of another one.
_FROM_BEFORE = ("report.sarif", "modelcard.md", "dossier.html")
FORMS = {"html": "report.html", "junit": "junit.xml"}


def render(form: str, audited: AuditResult, banner: str = "", language: str = "en") -> str:
    """A run in one of `FORMS`."""
    return render_html(audited, banner=banner, language=language) if form == "html" else render_junit(audited)


def write_all(
    folder: Path,
    audited: AuditResult,
    keeper: Keeper,
    meta: Mapping[str, Any],
    *,
    key: Ed25519PrivateKey | None = None,
) -> None:
    """Writes result, evidence, report, JUnit and manifest of a run.

    Args:
        folder: of the run.
        audited: the result with its observations.
        keeper: what was asked and answered, and what verdicts rest on beside that.
        meta: what else the evidence says: "suites", "banner", "language" of the report, ...
        key: signs the manifest.

    Raises:
        MachineError: the disk is full or the folder has gone.
    """
    write_run(folder, audited, keeper.exchanges, meta, keeper.basis)
    try:
        for name in _FROM_BEFORE:
            (folder / name).unlink(missing_ok=True)
        for shared in folder.glob("shared-*/manifest.json"):
            shutil.rmtree(shared.parent)
        for form, name in FORMS.items():
            text = render(form, audited, meta.get("banner", ""), meta.get("language", "en"))
            (folder / name).write_text(text, encoding="utf-8")
        write_manifest(folder, key)
    except OSError as fault:
        raise MachineError(
            f"{folder}: the report cannot be written ({fault.strerror}). Free space, then run the same command."
        ) from fault
