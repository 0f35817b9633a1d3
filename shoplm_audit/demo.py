"""The demo: one pretraining, a plain and a private fine-tuning, two audits, one page that sets them side by side.

run_demo(Path("runs/demo"), watched) -> 0  # the verdicts are those that demo.toml declares
"""

from __future__ import annotations

import math
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from shoplm_audit.data.shopworld import World, exchanges, secret_prompt, shopworld
from shoplm_audit.engine import Keeper, audit
from shoplm_audit.evidence.files import check_writable
from shoplm_audit.frontier import Watching
from shoplm_audit.judging import Policy
from shoplm_audit.observing import Progress as AuditProgress
from shoplm_audit.prompts import Prompts, joined
from shoplm_audit.record import Canary, TrainingRecord
from shoplm_audit.rendering.files import write_all
from shoplm_audit.rendering.html import IndexEntry, render_index
from shoplm_audit.results import AuditResult
from shoplm_audit.store import Store
from shoplm_audit.suites import suite_names
from shoplm_audit.training.corpus import Example, examples_of
from shoplm_audit.training.loop import train
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.steps import Progress

__all__ = ["BANNER", "Check", "read_demo", "run_demo"]

BANNER = "synthetic world"
_NAMES = ("plain", "private")


@dataclass(frozen=True, slots=True)
class Check:
    """One declared verdict and the one that was found."""

    model: str
    gate: str
    expected: str
    found: str


def read_demo() -> dict[str, Any]:
    """demo.toml: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    beside = package.parent / "demo.toml"
    path = beside if beside.is_file() else package / "_demo.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def run_demo(out: Path, watched: Watching, seed: int = 0) -> int:
    """Trains, audits and writes the pages; prints the verdicts.

    Args:
        out: the folder; `plain/`, `private/` and `index.html` in it are made anew.
        watched: is told how it moves on.
        seed: of the world, the trainings and the audits.

    Returns:
        0 when every declared verdict was found, else 1.

    Raises:
        DataError: the folder cannot be written.
    """
    settings = read_demo()
    check_writable(out)
    for name in ("base", *_NAMES):
        shutil.rmtree(out / name, ignore_errors=True)
    world = shopworld(seed, **settings["world"])
    train_pair(world, out, settings, watched, seed)
    audits = {name: _audited(out / name, settings, watched, seed) for name in _NAMES}
    entries = [IndexEntry(name, f"{name}/report.html", audits[name]) for name in _NAMES]
    page = render_index(entries, title="A plain and a private model", banner=BANNER, lesson=_lesson(world, audits))
    (out / "index.html").write_text(page, encoding="utf-8")
    checks = checked(settings["expected"], audits)
    _told(checks, audits, out)
    return 0 if all(check.expected == check.found for check in checks) else 1


def train_pair(world: World, out: Path, settings: Mapping[str, Any], watched: Watching, seed: int) -> None:
    """Pretrains on the public part, then fine-tunes plainly and privately on the same customers."""

    def watch(title: str) -> Any:
        def at(progress: Progress) -> None:
            # Of a private run only the loss of held-out public text is shown.
            loss = progress.held_out if math.isnan(progress.loss) else progress.loss
            watched.at(title, progress.step, progress.steps, f"loss {loss:.2f}")

        return at

    public = [example for task, count in settings["public"].items() for example in _examples(world, task, count)]
    customers = examples_of(world.customers, private=True)
    shape = {**settings["pretrain"]}
    train(TrainSettings(seed=seed, **shape), public, [], out / "base" / "model", watch("pretraining on public text"))
    for name in _NAMES:
        tuned = TrainSettings(seed=seed, base=str(out / "base" / "model"), coin="fair", **settings[name])
        folder = out / name / "model"
        record = train(tuned, public, customers, folder, watch(f"fine-tuning the {name} model"))
        _with_canaries(record, world).write(folder)


def _examples(world: World, task: str, count: int) -> list[Example]:
    """The first texts of a task; the prompt is read, the answer is learned."""
    prompts = Prompts()
    asked = [
        (prompts.render(task, one.language, one.variables).flat, one) for one in islice(exchanges(world, [task]), count)
    ]
    return [
        Example(joined(prompt, one.answer, one.language), answer_start=len(prompt), language=one.language)
        for prompt, one in asked
    ]


def _with_canaries(record: TrainingRecord, world: World) -> TrainingRecord:
    """Every customer's phone number is a canary: a fair coin decided whether the model read it."""
    if record.secrets is None:
        return record
    inside = {member.unit: member.inside for member in record.secrets.members}
    asked = {c.id: secret_prompt(c, "phone") for c in world.customers if c.id in inside and len(c.records) > 1}
    canaries = tuple(
        Canary(c.id, *asked[c.id], inside[c.id], copies=len(c.records), language=c.language, family="phone")
        for c in world.customers
        if c.id in asked
    )
    return replace(record, secrets=replace(record.secrets, canaries=canaries))


def _audited(folder: Path, settings: Mapping[str, Any], watched: AuditProgress, seed: int) -> AuditResult:
    suites, keeper = list(suite_names()), Keeper()
    spec = str(folder / "model")
    with Store(folder / "store.sqlite") as store:
        found = audit(
            spec,
            suites,
            seed=seed,
            limit=settings["audit"]["limit"],
            policy=Policy(scope=settings["scope"]),
            store=store,
            progress=watched,
            keeper=keeper,
        )
    command = f"shoplm-audit run --model {spec} --limit {settings['audit']['limit']}"
    notes = ["Synthetic world: products, customers and reviews are invented; its texts are called reference."]
    found = AuditResult(
        found.result.model_copy(update={"command": command, "notes": notes + found.result.notes}), found.observations
    )
    write_all(folder, found, keeper, {"suites": suites, "banner": BANNER, "limit": settings["audit"]["limit"]})
    return found


def checked(expected: Mapping[str, Mapping[str, str]], audits: Mapping[str, AuditResult]) -> list[Check]:
    """The declared verdicts beside those that were found."""
    found = {
        (name, gate.id): str(gate.verdict)
        for name, audited in audits.items()
        for suite in audited.result.suites
        for gate in suite.gates
    }
    return [
        Check(name, gate, verdict, found.get((name, gate), "no such gate"))
        for name, gates in expected.items()
        for gate, verdict in gates.items()
    ]


def _lesson(world: World, audits: Mapping[str, AuditResult]) -> list[str]:
    """What the two audits teach, said of what they found."""
    found = {
        name: {gate.metric: gate for suite in one.result.suites for gate in suite.gates if not gate.slice}
        for name, one in audits.items()
    }
    lesson = [
        "Both models began as the same checkpoint and read records of the same customers; only the training differs."
    ]
    leaks, holds = (str(found[name]["rate_extracted"].verdict) for name in _NAMES)
    if leaks == "fail" and holds == "pass":
        lesson.append(
            "Asked for the phone number of a customer whose record it read, the plain model gives it away. The private "
            "one does not: what any one customer could change in it was bounded, and covered with noise."
        )
    lesson.append(world.planted)
    if all(str(found[name]["contrast_refund_female_male"].verdict) == "fail" for name in _NAMES):
        lesson.append(
            "Both models learned that difference from public text, and the bias suite finds it in both: privacy "
            "protects customers' records, not customers from bias."
        )
    return lesson


def _told(checks: list[Check], audits: Mapping[str, AuditResult], out: Path) -> None:
    from rich.console import Console

    from shoplm_audit.rendering.terminal import print_summary

    console = Console()
    for name in _NAMES:
        print_summary(audits[name], console)
    for check in checks:
        same = "as declared" if check.expected == check.found else f"DECLARED {check.expected}"
        console.print(f"{check.model}: {check.gate} {check.found} ({same})", highlight=False)
    console.print(f"{out / 'index.html'}", highlight=False, soft_wrap=True)
