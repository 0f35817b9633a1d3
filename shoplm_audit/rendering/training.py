"""How a model was trained, as the report tells it: from the training record, which anyone may have written.

training_view({"objective": "causal", "privacy": None, "cost": {"flops": 1.23e10, "seconds": 2.0}, ...})
-> TrainingView(facts=[("Objective", "causal: each token ..."), ...], cost=[("Work", "12.3 GFLOP"), ...], ...)

Of a private run only losses on public text are drawn: any other is a sum over private records without noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Context
from itertools import islice
from typing import Any

from markupsafe import Markup

from shoplm_audit.rendering.charts import curves_by_step
from shoplm_audit.rendering.masking import mask
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.rendering.wording import amount, duration, label

__all__ = ["TrainingView", "training_view"]

_OBJECTIVES: Mapping[str, str] = {
    "causal": "each token from those before it",
    "masked": "hidden tokens from those around them",
    "seq2seq": "an answer from its source",
    "classify": "a label from a text",
}
_CURVES: Mapping[str, str] = {
    "train": "Rows it learns from",
    "held_out": "Held-out rows",
    "public_held_out": "Held-out public text",
}
_GUARANTEE: Mapping[str, str] = {
    "unit": "Unit",
    "epsilon": "Epsilon",
    "delta": "Delta",
    "noise_multiplier": "Noise multiplier",
    "sample_rate": "Sample rate",
    "steps": "Noisy steps",
    "max_grad_norm": "Clipping norm",
    "units": "Units drawn from",
    "accountant": "Accountant",
}
_TOLD = ("steps", "batch", "learning_rate", "precision", "context", "seed")  # settings shown without unfolding
_MOST = 60  # rows of a list whose length is not ours to decide
_MOST_CURVES = 4
_LONGEST, _WHOLE = 300, 5000  # characters of a value, and of a guarantee, which has to be read to its end


@dataclass(frozen=True, slots=True)
class TrainingView:
    """The section "How it was trained"; every pair is a name and its value in words, neither of them escaped.

    Attributes:
        private: whether a guarantee is claimed, so that nothing un-noised may be shown.
        void: why the claimed guarantee does not hold; "" where it does or none is claimed.
        sentence: the guarantee in words.
        data: name, records, units, whether private, digest: one line per role.
        dropped: the data card: what was left out before training, and why.
        losses: the drawn curves, "" where there are none.
    """

    private: bool
    void: str
    sentence: str
    guarantee: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    data: list[tuple[str, str, str, str, str]]
    dropped: list[tuple[str, str]]
    losses: Markup
    cost: list[tuple[str, str]]
    settings: list[tuple[str, str]]


def training_view(training: Mapping[str, Any]) -> TrainingView:
    """What the report shows of a record as it stands in result.json; what is missing or malformed is left out."""
    settings, privacy = _mapping(training.get("settings")), _mapping(training.get("privacy"))
    private = bool(training.get("privacy")) or settings.get("epsilon") is not None
    data = training.get("data")
    roles = [_mapping(used) for used in data][:_MOST] if isinstance(data, list | tuple) else []
    return TrainingView(
        private=private,
        void=retold(str(privacy.get("void") or "")[:_WHOLE]),
        sentence=retold(str(privacy.get("sentence") or "")[:_WHOLE]),
        guarantee=[(_(name), _claimed(key, privacy[key])) for key, name in _GUARANTEE.items() if key in privacy],
        facts=list(_facts(training, settings)),
        data=[
            (
                _said(used.get("name", "")),
                _said(used.get("records", _("unknown"))),
                _said(used.get("units", _("unknown"))),
                _("yes") if used.get("private") else _("no"),
                _said(used.get("digest") or _("not given"))[:19],
            )
            for used in roles
        ],
        dropped=[(mask(name), mask(value)) for name, value in islice(_flat(training.get("data_card")), _MOST)],
        losses=_losses(_mapping(training.get("curves")), private),
        cost=list(_cost(_mapping(training.get("cost")))),
        settings=[(label(_said(key)), _said(value)) for key, value in islice(settings.items(), _MOST)],
    )


def _facts(training: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if objective := training.get("objective"):
        meaning = _OBJECTIVES.get(str(objective), "")
        told = _("{name}: {value}", name=_said(objective), value=_(meaning)) if meaning else _said(objective)
        yield _("Objective"), told
    base = training.get("base")
    yield _("Begun from"), _said(base) if base else _("random weights")
    if adapter := settings.get("adapter"):
        name = "LoRA" if adapter == "lora" else _said(adapter)
        rank = _said(settings.get("rank", _("unknown")))
        yield _("Adapter"), _("{name} of rank {rank}; the base is frozen", name=name, rank=rank)
    for key in ("shape", "tokenizer", "watermark"):
        if value := training.get(key) or settings.get(key):
            yield label(key), _said(value)
    for key in _TOLD:
        value = training.get(key) if training.get(key) is not None else settings.get(key)
        if value is not None:
            yield label(key), _said(value)


def _losses(curves: Mapping[str, Any], private: bool) -> Markup:
    names = [*(name for name in _CURVES if name in curves), *sorted(curves.keys() - _CURVES.keys())]
    shown = {
        _(_CURVES.get(name, label(_said(name)))): curves[name]
        for name in names
        if isinstance(curves[name], list | tuple) and (not private or name.startswith("public"))
    }
    return curves_by_step(_("Loss in nats by step"), dict(list(shown.items())[:_MOST_CURVES]))


def _cost(cost: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """In units that a reader can picture; a number that is missing has no row."""
    known = {name: number for name, value in cost.items() if (number := _number(value)) is not None}
    if "seconds" in known:
        yield _("Time"), duration(known["seconds"])
    if "tokens" in known:
        speed = known.get("tokens_per_second")
        tokens = f"{known['tokens']:,.0f}"
        if speed is not None:
            tokens = _("{tokens}, {speed} per second", tokens=tokens, speed=amount(speed))
        yield _("Tokens"), tokens
    if "flops" in known:
        share = known.get("model_flops_utilisation")
        work = amount(known["flops"], "FLOP")
        if share is not None:
            work = _(
                "{work}, at {share} % of a matrix product's speed on that machine",
                work=work,
                share=f"{100 * share:.2g}",
            )
        yield _("Work"), work
    if "parameters" in known:
        trained = known.get("trainable_parameters", known["parameters"])
        all_, some = f"{known['parameters']:,.0f}", f"{trained:,.0f}"
        yield (
            _("Parameters"),
            _("{all}, all trained", all=all_)
            if trained == known["parameters"]
            else _("{all}, {some} of them trained", all=all_, some=some),
        )
    if "peak_memory_mib" in known:
        yield _("Memory"), _("{amount} at its peak", amount=amount(known["peak_memory_mib"] * 2**20, "B"))
    if "energy_kwh" in known:
        yield _("Energy"), amount(1000 * known["energy_kwh"], "Wh")
    if known.get("rows_truncated"):
        yield _("Rows cut to the context"), f"{known['rows_truncated']:,.0f}"


def _flat(card: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested names and values as rows: {"exact": {"records": 3}} -> ("Exact: records", "3")."""
    if len(name) > _LONGEST:  # a nesting that nobody reads to its end
        yield name[:_LONGEST], "…"
    elif isinstance(card, Mapping):
        for key, value in card.items():
            yield from _flat(value, f"{name}: {_said(key).replace('_', ' ')}" if name else label(_said(key)))
    elif isinstance(card, list | tuple) and any(isinstance(item, Mapping) for item in card):
        for i, item in enumerate(card, 1):
            yield from _flat(item, f"{name} {i}")
    elif card not in (None, "", [], ()):
        yield name or _("Note"), _said(card)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        text = _("yes") if value else _("no")
    elif isinstance(value, int):
        text = f"{value:,}"
    elif isinstance(value, float):
        text = f"{value:.4g}" if math.isfinite(value) else _("none")
    elif isinstance(value, list | tuple):
        text = ", ".join(str(item)[:_LONGEST] for item in value[:_MOST])
    else:
        text = _("none") if value is None or value == "" else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _claimed(key: str, value: Any) -> str:
    """Epsilon and delta are rounded up: a claim is never printed stronger than it is."""
    number = _number(value)
    if key not in ("epsilon", "delta") or number is None:
        return _said(value)
    return _said(float(Context(prec=4, rounding=ROUND_UP).create_decimal(repr(number))))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if fine else None
