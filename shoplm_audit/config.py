"""`audit.toml`: what to audit, with which prompts and under which limits. An unknown key is an error.

model  = "checkpoints/reviews-dp"
suites = ["faithfulness", "privacy"]
[gates]
"faithfulness.rate_contradicted" = { at_most = 0.03 }
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shoplm_audit.errors import ConfigError
from shoplm_audit.types import Gate, Mark, Suite

__all__ = ["Config", "Limit", "check_names", "gates_of", "read_config", "scoped_out", "watermark_of"]


class Limit(BaseModel):
    """The limits of a gate, as a policy sets them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    at_least: float | None = None
    at_most: float | None = None


class Config(BaseModel):
    """The keys of `audit.toml`; what the command line says wins."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    model: str | None = None
    suites: list[str] = []
    system: str = ""
    prompts: dict[str, Path] = {}
    gates: dict[str, Limit] = {}
    scope: dict[str, str] = {}
    data: dict[str, Path] = {}
    roles: dict[str, str] = Field(default={}, alias="with")
    seed: int | None = None
    limit: int | None = Field(default=None, ge=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    baseline: Path | None = None
    margins: dict[str, Annotated[float, Field(ge=0)]] = {}
    waivers: Path | None = None
    # Of those whose signature makes a waiver hold; base64 of 32 bytes, as `evidence waive` writes it.
    waiver_keys: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]] = []
    # It can hold a key, which no message and no report may show.
    watermark: dict[str, Any] = Field(default={}, repr=False)


def read_config(path: Path) -> Config:
    """Reads and checks a file; relative paths in it are meant from its folder. All faults are told at once.

    Raises:
        ConfigError: the file is missing, no TOML, or has an unknown key or a value that does not fit.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        config = Config.model_validate(raw)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read ({fault.strerror}).") from fault
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigError(f"{path}: not TOML: {fault}.") from fault
    except ValidationError as fault:
        known = ", ".join(sorted((field.alias or name) for name, field in Config.model_fields.items()))
        lines = [f"{'.'.join(map(str, e['loc']))}: {_plainly(e['type'], e['msg'])}" for e in fault.errors()]
        raise ConfigError(f"{path}: {'; '.join(lines)}. Keys: {known}.") from fault
    here = path.parent
    return config.model_copy(
        update={
            "prompts": {key: here / file for key, file in config.prompts.items()},
            "data": {key: here / file for key, file in config.data.items()},
            "suites": [_from(here, name) if "/" in name else name for name in config.suites],
            "model": config.model and _from(here, config.model),
            "baseline": config.baseline and here / config.baseline,
            "waivers": config.waivers and here / config.waivers,
            "roles": {role: _from(here, spec) for role, spec in config.roles.items()},
            "watermark": config.watermark
            | ({"key_file": str(here / str(config.watermark["key_file"]))} if "key_file" in config.watermark else {}),
        }
    )


def watermark_of(config: Config, key: str = "") -> dict[str, Any]:
    """What `give_mark` takes, by the [watermark] table: empty where there is none.

    A table with a `kind` is a mark of this program's own; its key stands in the file `key_file`, or in `key`, or is the
    given one. Any other holds what a watermark configuration of transformers takes.

    Args:
        config: the whole of it.
        key: of the environment; for a table that names none.

    Raises:
        ConfigError: no key, an empty one, or values that no mark has.
    """
    table = dict(config.watermark)
    file = table.pop("key_file", None)
    if not table and file is None:
        return {}
    if "kind" not in table:
        if file is not None:
            raise ConfigError('watermark: key_file belongs to a table with kind = "kgw" or "synthid".')
        return table
    if file is not None and "key" in table:
        raise ConfigError("watermark: it has key and key_file: leave one of them out.")
    if file is not None:
        try:
            table["key"] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"watermark: {file}: no key can be read ({type(fault).__name__}).") from fault
    if not table.setdefault("key", key) or not isinstance(table["key"], str):
        raise ConfigError("watermark: it has no key: name a file with it in key_file, or set SHOPLM_WATERMARK_KEY.")
    try:
        Mark(**table)
    except TypeError:
        known = "kind, key_file, key, gamma, delta and depth"
        raise ConfigError(f"watermark ({', '.join(table)}): beside kind it takes {known}.") from None
    return table


def _from(here: Path, spec: str) -> str:
    """A SPEC that names something in the config's folder, from there; hub names and addresses stay as they are."""
    kind, colon, rest = spec.rpartition("recorded:")
    return f"{kind}{colon}{here / rest}" if (here / rest).exists() and not kind else spec


def _plainly(kind: str, message: str) -> str:
    return "unknown key" if kind == "extra_forbidden" else message


def gates_of(suite: Suite, limits: Mapping[str, Limit]) -> list[Gate]:
    """The suite's gates under the policy's limits; a limit on another metric or slice of it adds a gate.

    Raises:
        ConfigError: a limit names a metric that the suite does not have, a slice that is none, or leaves no limit.
    """
    gates = {gate.id: gate for gate in suite.gates}
    metrics = sorted({metric.name for probe in suite.probes for metric in probe.metrics})
    for key, limit in limits.items():
        name, _, rest = key.partition(".")
        if name != suite.name:
            continue
        metric, bracket, inside = rest.partition("[")
        if metric not in metrics:
            raise ConfigError(f'gates: no metric "{rest}" in suite "{name}". It has: {", ".join(metrics)}.')
        at_least = -math.inf if limit.at_least is None else limit.at_least
        at_most = math.inf if limit.at_most is None else limit.at_most
        fresh = Gate(metric, at_least, at_most, _slice_of(key, bracket + inside))
        gates[fresh.id] = gates.get(fresh.id, fresh).limited(limit.at_least, limit.at_most)
    return list(gates.values())


def _slice_of(key: str, text: str) -> dict[str, str]:
    parts = [part.partition("=") for part in text[1:-1].split(",")] if text else []
    found = {name.strip(): value.strip() for name, _, value in parts}
    if text and (not text.endswith("]") or "" in (*found, *found.values())):
        raise ConfigError(f'gates: "{key}": a slice is written [language=zh].')
    return found


def scoped_out(scope: Mapping[str, str], suite: str, probe: str, gate: str) -> str | None:
    """Why a gate is out of scope, if the policy says so of its suite, its probe or itself."""
    return next((scope[key] for key in (suite, f"{suite}.{probe}", f"{suite}.{gate}") if key in scope), None)


def check_names(config: Config, suites: list[Suite]) -> None:
    """Every gate and every line of scope names something that is audited.

    Raises:
        ConfigError: one that does not, with what there is.
    """
    names = [suite.name for suite in suites]
    for key in config.gates:
        if key.partition(".")[0] not in names:
            raise ConfigError(f'gates: "{key}" names no suite of this audit ({", ".join(names)}).')
    for suite in suites:
        gates_of(suite, config.gates)
    known = {
        key
        for suite in suites
        for key in (
            suite.name,
            *(f"{suite.name}.{probe.name}" for probe in suite.probes),
            *(f"{suite.name}.{gate.id}" for gate in gates_of(suite, config.gates)),
        )
    }
    metrics = {f"{suite.name}.{metric.name}" for suite in suites for probe in suite.probes for metric in probe.metrics}
    for key in config.margins:
        if key not in metrics | known:
            raise ConfigError(f'margins: "{key}" is no gate or metric of this audit, such as "{min(metrics)}".')
    for key, reason in config.scope.items():
        if key not in known:
            raise ConfigError(
                f'scope: "{key}" is no suite, probe or gate of this audit. There are: {", ".join(sorted(known))}.'
            )
        if not reason.strip():
            raise ConfigError(f'scope: "{key}" needs a reason; the report prints it.')
