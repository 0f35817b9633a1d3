from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import shoplm_audit

PACKAGE = Path(shoplm_audit.__file__).parent
HEAVY = ("torch", "transformers", "sklearn", "evaluate", "opacus", "pyarrow", "pandas")
LIGHT = (
    "shoplm_audit",
    "shoplm_audit.types",
    "shoplm_audit.uncertainty",
    "shoplm_audit.data.readers",
    "shoplm_audit.store",
)


def _kind(name: str) -> int:
    """Constants, classes, functions: the order of ruff."""
    return 0 if name.isupper() else 1 if name[0].isupper() else 2


def test_public_names_are_sorted() -> None:
    assert shoplm_audit.__all__ == sorted(shoplm_audit.__all__, key=lambda name: (_kind(name), name))
    assert len(set(shoplm_audit.__all__)) == len(shoplm_audit.__all__)


def test_public_names_are_those_that_have_a_home() -> None:
    assert set(shoplm_audit._MODULE) == set(shoplm_audit.__all__)
    assert set(dir(shoplm_audit)) == set(shoplm_audit.__all__)
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))  # what type checkers see
    imported = {
        alias.name: str(node.module).removeprefix("shoplm_audit.")
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == shoplm_audit._MODULE


@pytest.mark.parametrize("name", shoplm_audit.__all__)
def test_every_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    member = getattr(shoplm_audit, name)
    home = importlib.import_module(f"shoplm_audit.{shoplm_audit._MODULE[name]}")
    assert getattr(home, name) is member
    assert name in home.__all__
    if inspect.isclass(member) or inspect.isfunction(member):
        assert member.__doc__
        assert not member.__doc__.startswith(f"{name}(")  # what dataclasses write by themselves
        assert len(member.__doc__.split()) > 2


@pytest.mark.parametrize("first", ["from shoplm_audit import Policy", "import shoplm_audit.cli, shoplm_audit.compare"])
def test_audit_is_the_function_whatever_was_imported_before(first: str) -> None:
    code = f"{first}\nimport shoplm_audit\nfrom shoplm_audit import audit\n"
    code += "print(callable(audit), audit is shoplm_audit.audit)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        shoplm_audit.nothing  # noqa: B018


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_exports_what_it_says_in_order(path: Path) -> None:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    if path.name == "__main__.py" or "_suites" in parts:
        return
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    assert module.__doc__
    names = getattr(module, "__all__", [])
    assert list(names) == sorted(names, key=lambda name: (_kind(name), name))
    assert [name for name in names if not hasattr(module, name)] == []


WITH_EXAMPLES = [
    "types",
    "uncertainty",
    "metrics.epsilon",
    "metrics.leakage",
    "metrics.ranking",
    "scoring.overlap",
    "probes.choosing",
]


@pytest.mark.parametrize("name", [*WITH_EXAMPLES, "scoring.attacks"])
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"shoplm_audit.{name}")).failed == 0


@pytest.mark.parametrize("name", LIGHT)
def test_nothing_heavy_is_loaded_before_it_is_needed(name: str) -> None:
    code = f"import sys, {name}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
