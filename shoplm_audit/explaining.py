"""Why an audit would find, or not find, its answers in a store.

dict(explained(suites, material, {"model": model}, scope, store)) -> {"privacy.membership": ["", "never asked ..."]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shoplm_audit.models.remembered import Remembered
from shoplm_audit.observing import sittings_of
from shoplm_audit.probes.driving import first_requests
from shoplm_audit.store import Store
from shoplm_audit.types import Columns, Generate, Material, Model, Request, Score, Suite

__all__ = ["explained"]


def explained(
    suites: Sequence[Suite], material: Material, models: Mapping[str, Model], scope: Mapping[str, str], store: Store
) -> Iterator[tuple[str, list[str]]]:
    """("suite.probe", why each first request is not found), in the order in which they are asked; "" is found.

    Args:
        suites: what the audit asks.
        material: what cases are made of.
        models: by role; a role without a model is told as such.
        scope: what is not applicable, with the reason.
        store: where answers are looked for.
    """
    remembered = {role: Remembered(model, store) for role, model in models.items() if model.fingerprint}
    for sitting in sittings_of(suites, material, scope, limited=False):
        kinds: dict[tuple[str, Columns | None], list[Request]] = {}
        for _, requests in first_requests(sitting.probe, sitting.cases):
            for request in requests:
                columns = request.columns if isinstance(request, Score) else None
                kinds.setdefault((request.role, columns), []).append(request)
        reasons: list[str] = []
        for (role, columns), requests in kinds.items():
            if role not in models:
                reasons += [f'there is no model for the role "{role}"'] * len(requests)
            elif role not in remembered:
                reasons += [f"{models[role].name} cannot be recognised: only its own run finds its answers"] * len(
                    requests
                )
            elif columns is not None:
                pairs = [request.pair for request in requests if isinstance(request, Score)]
                reasons += remembered[role].explained(pairs, columns)
            else:
                reasons += remembered[role].explained([one for one in requests if isinstance(one, Generate)])
        yield f"{sitting.suite}.{sitting.probe.name}", reasons
