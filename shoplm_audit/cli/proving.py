"""The verb that audits the audit: prove."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoplm_audit.cli.asking import (
    STORE,
    Asked,
    ConfigFile,
    Data,
    Device,
    Language,
    Limit,
    Loading,
    Map,
    ModelSpec,
    Seed,
    SkipBad,
    StoreFile,
    Suites,
    Trust,
    With,
    asked_for,
    check_language,
)
from shoplm_audit.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from shoplm_audit.proving import Proof

__all__ = ["doses_of", "prove"]

_NONE = "recorded:none"  # what stands for no model of the user's


def doses_of(text: str) -> list[float]:
    """Doses divided by commas.

    >>> doses_of("0.1, 1")
    [0.1, 1.0]

    Raises:
        ConfigError: one is no share above 0 and up to 1.
    """
    found = []
    for part in (part.strip() for part in text.split(",")):
        try:
            dose = float(part)
        except ValueError:
            dose = 0.0
        if not 0 < dose <= 1:
            raise ConfigError(f'--doses "{part}": a dose is a share above 0 and up to 1. Try 0.05,0.1,0.2,0.5,1.')
        found.append(dose)
    return found


def prove(
    suites: Suites = None,
    model: ModelSpec = None,
    config: ConfigFile = None,
    roles: With = None,
    data: Data = None,
    mapping: Map = None,
    skip_bad_rows: SkipBad = False,
    doses: Annotated[
        str, typer.Option("--doses", help="Shares of products, customers or requests with the fault.")
    ] = "0.05,0.1,0.2,0.5,1",
    rounds: Annotated[int, typer.Option("--rounds", help="Replayed audits for each dose, at least 20.")] = 60,
    out: Annotated[Path, typer.Option("--out", help="Folder of prove.json and index.html.")] = Path("runs/prove"),
    store: StoreFile = STORE,
    seed: Seed = None,
    limit: Limit = None,
    device: Device = None,
    trust: Trust = False,
    language: Language = "en",
) -> None:
    """Audit the audit: put faults of known size into a model and see which gates notice, and from which size on.

    Without --model the faults are those of small models without weights that live in ShopWorld, and an honest one of
    them shows how often each gate cries wolf. With --model they are put into your own model's answers (a wrong value in
    a description, a dearer price for one group, a canary given away, one text for all, no watermark, a fake review
    written), so you see what the gates would notice in it, under your prompts, data and limits; your model answers each
    case once.

    Exit 0: every gate is shown to see the faults it is there for in at least 80 % of audits at the largest dose, with
    at most 5 % false alarms (exact bounds at 95 %); 1: a gate is blind or cries wolf; 3: of some gate neither is shown,
    or no fault could be tried on it; such gates are listed.

    shoplm-audit prove faithfulness
    shoplm-audit prove privacy --model checkpoints/reviews --limit 200 --doses 0.1,0.5,1
    """
    from rich.console import Console

    from shoplm_audit.proving import rounds_checked
    from shoplm_audit.rendering.proof import print_proof, proof_json, render_proof

    check_language(language)
    graded, rounds = doses_of(doses), rounds_checked(rounds)
    own = model is not None or config is not None
    asked = asked_for(suites, model if own else _NONE, config, roles, data, mapping, skip_bad_rows, seed, limit)
    proof = _proved(asked, Loading(device, trust) if own else None, store, graded, rounds)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "prove.json").write_text(proof_json(proof), encoding="utf-8")
        (out / "index.html").write_text(render_proof(proof, "zh" if language == "zh" else "en"), encoding="utf-8")
    except OSError as fault:
        raise MachineError(f"{out}: the proof cannot be written ({fault.strerror}). Name another --out.") from fault
    print_proof(proof, Console())
    typer.echo(str(out / "index.html"))
    raise typer.Exit(proof.exit_code)


def _proved(asked: Asked, loading: Loading | None, store: Path, doses: list[float], rounds: int) -> Proof:
    """The proof, of the user's own models as they are loaded, or of ShopWorld's honest one."""
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.models.remembered import Remembered
    from shoplm_audit.proving import prove as proved
    from shoplm_audit.saboteurs.model import Saboteur, invented_record
    from shoplm_audit.saboteurs.spoiling import Spoiled
    from shoplm_audit.store import Store

    with ExitStack() as stack:
        watched = stack.enter_context(Watched())
        asking = partial(
            proved,
            suites=asked.suites,
            known_honest=loading is None,
            doses=doses,
            rounds=rounds,
            seed=asked.seed,
            limit=asked.config.limit,
            data=asked.records,
            prompts=asked.prompts,
            policy=asked.policy,
            progress=watched,
            at=watched.at,
        )
        if loading is None:
            training = invented_record(epsilon=1.0)
            return asking(Saboteur(training=training), spoil=lambda fault: fault.saboteur(training))
        answers = stack.enter_context(Store(store))
        opened = stack.enter_context(loading.opened(asked))
        run = asked.identity(opened)
        models = {
            role: Remembered(one, answers, run=f"{run}/{role}", on_batch=watched.answered)
            for role, one in opened.items()
        }
        own = models.pop("model")
        return asking(own, spoil=lambda fault: Spoiled(own, fault), roles=models)
