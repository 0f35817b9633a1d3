"""The verb that looks into the store of answers: cache explain."""

from __future__ import annotations

from collections import Counter

import typer

from shoplm_audit.cli.asking import (
    STORE,
    ConfigFile,
    Data,
    Device,
    Limit,
    Loading,
    Map,
    ModelSpec,
    ReuseRemote,
    Seed,
    SkipBad,
    StoreFile,
    Suites,
    Trust,
    With,
    asked_for,
)
from shoplm_audit.errors import DataError


def explain(
    suites: Suites = None,
    model: ModelSpec = None,
    config: ConfigFile = None,
    roles: With = None,
    data: Data = None,
    mapping: Map = None,
    skip_bad_rows: SkipBad = False,
    store: StoreFile = STORE,
    seed: Seed = None,
    limit: Limit = None,
    device: Device = None,
    reuse_remote: ReuseRemote = False,
    trust: Trust = False,
) -> None:
    """Say what of an audit the store can answer, and why it cannot answer the rest. Nothing is asked of the model.

    Give it what you gave to `run`. What cases ask first is looked up; later requests can depend on the answers.
    """
    from shoplm_audit.explaining import explained
    from shoplm_audit.store import Store

    asked = asked_for(suites, model, config, roles, data, mapping, skip_bad_rows, seed, limit)
    if not store.is_file():
        raise DataError(f"{store}: no such store. Name the one that `run` used with --store.")
    loading = Loading(device, trust, reuse_remote=reuse_remote)
    with loading.opened(asked) as models, Store(store) as answers:
        for name, reasons in explained(asked.suites, asked.material(models), models, asked.policy.scope, answers):
            counted = Counter(reasons)
            typer.echo(f"{name}: {counted.pop('', 0)} of {len(reasons)} first requests are answered")
            for reason, count in counted.most_common():
                typer.echo(f"  {count} {reason}")
