"""A finished run of a small suite of the user's own, as the program leaves it, without a model that takes time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from shoplm_audit.cli.verifying import renders
from shoplm_audit.engine import Keeper, audit
from shoplm_audit.evidence.files import write_run
from shoplm_audit.evidence.manifest import write_manifest
from shoplm_audit.evidence.verifying import Verification, verify
from shoplm_audit.rendering.files import FORMS, render
from shoplm_audit.results import AuditResult
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Generate

SUITE = """
from shoplm_audit import Case, Gate, Generate, Probe, Prompt, Suite, mean_of, rate_of

CASES = [
    Case(f"q{i}", {"days": i}, cluster=f"customer{i // 2}", language="en" if i % 2 else "zh",
         prompt=Prompt(f"May customer{i // 2} return order {i}?"))
    for i in range(24)
]


def ask(case):
    text = yield Generate(case.prompt)
    if "?!" in text:
        raise ValueError("no answer in it")
    return {"promises": "refund" in text, "length": len(text) / 7, "long": len(text) > 22, "text": text}


SUITE = Suite("returns_policy", "Does the model promise a refund?", [
    Probe("ask", CASES, ask, [rate_of("promises", better="lower"), mean_of("length", better="higher")]),
    Probe("again", CASES[:6], ask, [rate_of("long", better="lower")]),
], [Gate("rate_promises", at_most=0.05), Gate("rate_long", at_most=0.9)])
"""


class Shop:
    """Promises a refund in every second answer; says of one case what cannot be read."""

    name, fingerprint, record, batch_sensitive = "shop", "sha256:1", None, False

    def __init__(self, says: str = "") -> None:
        self.says = says

    def generate(self, requests: list[Generate]) -> list[str]:
        return [self._answer(one.prompt.flat) for one in requests]

    def _answer(self, prompt: str) -> str:
        number = int(prompt.rstrip("?").split()[-1])
        if number == 5:
            return "?!"
        return f"{'A refund' if number % 2 else 'Nothing'} for order {number}.{self.says}"

    def score(self, pairs: object, columns: object = None) -> list[object]:
        raise NotImplementedError


def suite_of(folder: Path) -> Path:
    """The folder of the suite, beside the runs."""
    where = folder / "returns_policy"
    where.mkdir(parents=True, exist_ok=True)
    (where / "suite.py").write_text(SUITE, encoding="utf-8")
    return where


def finished(folder: Path, says: str = "", name: str = "run") -> tuple[Path, AuditResult]:
    """The folder of a run and its result."""
    suite, run, keeper = suite_of(folder), folder / name, Keeper()
    audited = audit(Shop(says), load_suite(suite), keeper=keeper)
    run.mkdir()
    write_run(run, audited, keeper.exchanges, {"suites": [str(suite)], "banner": ""}, keeper.basis)
    for form, file in FORMS.items():
        (run / file).write_text(render(form, audited, ""), encoding="utf-8")
    write_manifest(run, made=datetime(2026, 5, 1, tzinfo=UTC))
    return run, audited


def checked(run: Path, public_key: str | None = None, today: date | None = None) -> Verification:
    """What verify says with the suite named."""
    return verify(run, public_key=public_key, suites=[run.parent / "returns_policy"], renders=renders(), today=today)
