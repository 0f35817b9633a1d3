"""Sample reports: of an invented model with known faults, and of one without, in every form.

    make samples                              # renders recorded/*.tar.gz again; CI holds the files to that
    python reports/samples/make.py --record   # audits the models anew; the recorded runs then differ

A recorded run is `result.json` and `evidence.sqlite` without exchanges, which no page shows.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from shoplm_audit import AuditResult, Saboteur, audit
from shoplm_audit.concluding import concluded
from shoplm_audit.evidence.files import load_run, write_run
from shoplm_audit.rendering.dossier import render_dossier
from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.junit import render_junit
from shoplm_audit.rendering.modelcard import render_modelcard
from shoplm_audit.rendering.sarif import render_sarif
from shoplm_audit.saboteurs.model import invented_record
from shoplm_audit.waivers import Waiver

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
MADE = date(2026, 11, 22)
BANNER = "sample: an invented model, on an invented shop"
COMMAND = "shoplm-audit run {suites} --model checkpoints/{name}"
WAIVER = Waiver(
    "faithfulness.rate_unsupported",
    "Mira Oduya, head of product",
    "Embroidered adjectives; the next release checks them.",
    date(2026, 12, 31),
)


def texts(name: str) -> dict[str, str]:
    """Every file of a sample by its name, rendered from what was recorded."""
    audited = recorded(name)
    return {
        f"{name}.html": render_html(audited, banner=BANNER),
        f"{name}.zh.html": render_html(audited, banner=BANNER, language="zh"),
        f"{name}.junit.xml": render_junit(audited),
        f"{name}.sarif": render_sarif(audited),
        f"{name}.modelcard.md": render_modelcard(audited),
        f"{name}.dossier.html": render_dossier(audited, made=MADE, today=MADE),
        f"{name}.dossier.zh.html": render_dossier(audited, made=MADE, today=MADE, language="zh"),
    }


def names() -> list[str]:
    """The recorded runs."""
    return sorted(path.name.removesuffix(".tar.gz") for path in RECORDED.glob("*.tar.gz"))


def recorded(name: str) -> AuditResult:
    """A recorded run."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(RECORDED / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        return load_run(Path(folder))


def record() -> None:
    """Audits the sample models and keeps their runs."""
    suites = ["faithfulness", "bias", "privacy"]
    before = _audited("reviews-v2", {}, suites)
    faults = {"hallucinate": 0.2, "embroider": 0.35, "favour": 0.5, "memorise": 0.5}
    after = _audited("reviews-v3", faults, suites)
    after = concluded(after, suites, waivers=[WAIVER], today=MADE, baseline=("reviews-v2", before))
    _keep("failing", after)
    _keep("passing", _audited("replies-v7", {}, ["faithfulness", "fake_reviews"]))


def _audited(name: str, faults: Mapping[str, float], suites: list[str]) -> AuditResult:
    model = Saboteur(**faults, training=invented_record(epsilon=3.0))
    found = audit(model, suites)
    told = found.result.model.model_copy(update={"name": name, "fingerprint": ""})
    command = COMMAND.format(suites=" ".join(suites), name=name)
    environment = {"shoplm-audit": found.result.environment["shoplm-audit"]}
    result = found.result.model_copy(
        update={"model": told, "command": command, "seconds": 0.0, "environment": environment, "notes": []}
    )
    return AuditResult(result, found.observations)


def _keep(name: str, audited: AuditResult) -> None:
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder), audited, {}, {})
        with tarfile.open(RECORDED / f"{name}.tar.gz", "w:gz") as archive:
            for file in ("evidence.sqlite", "result.json"):
                content = (Path(folder) / file).read_bytes()
                entry = tarfile.TarInfo(file)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    if "--record" in sys.argv:
        record()
    for sample in names():
        for file, text in texts(sample).items():
            (HERE / file).write_text(text, encoding="utf-8")
            sys.stdout.write(f"{HERE / file}\n")
