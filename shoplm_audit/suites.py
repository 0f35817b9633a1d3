"""Suites are folders of plain Python, found by path: built-in by name, the user's own by folder.

load_suite("privacy").question
load_suite("my_suites/returns_policy")
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

from shoplm_audit.errors import ConfigError
from shoplm_audit.types import Suite

__all__ = ["load_suite", "suite_folder", "suite_names"]

ORDER = ("task_quality", "faithfulness", "bias", "fake_reviews", "privacy")


def _home() -> Path:
    """Where the built-in suites lie: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    beside = package.parent / "suites"
    return beside if (beside / "privacy" / "suite.py").is_file() else package / "_suites"


def suite_names() -> tuple[str, ...]:
    """The built-in suites in the order in which reports show them."""
    found = {path.parent.name for path in _home().glob("*/suite.py")}
    return tuple(name for name in ORDER if name in found) + tuple(sorted(found - set(ORDER)))


def suite_folder(name: str) -> Path:
    """The folder of a suite.

    Raises:
        ConfigError: neither a built-in suite nor a folder with a suite.py.
    """
    for folder in (_home() / name, Path(name)):
        if (folder / "suite.py").is_file():
            return folder
    known = ", ".join(suite_names())
    raise ConfigError(f'no suite "{name}": built in are {known}; or give a folder that holds a suite.py.')


def load_suite(name: str | Path) -> Suite:
    """The `SUITE` that a folder's suite.py sets.

    Raises:
        ConfigError: no such suite, its suite.py does not run, or sets no SUITE.
    """
    folder = suite_folder(str(name)).resolve()
    path = folder / "suite.py"
    alias = f"shoplm_suite_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(alias, path, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be read as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module  # dataclasses and `from .cases import` look their own module up
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except Exception as fault:
        raise ConfigError(f"{path}: {type(fault).__name__}: {fault}.") from fault
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        raise ConfigError(f"{path}: sets no SUITE = Suite(...).")
    return suite if suite.card else replace(suite, card=_card(folder / "CARD.md"))


def _card(card: Path) -> str:
    """The section "What this cannot tell you" of a card; "" where there is none."""
    if not card.is_file():
        return ""
    _, _, rest = card.read_text(encoding="utf-8").partition("## What this cannot tell you")
    return rest.partition("\n## ")[0].strip()
