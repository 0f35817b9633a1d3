"""The sample reports are what their recorded runs give, byte for byte."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

SAMPLES = Path(__file__).parents[2] / "reports" / "samples"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("samples_make", SAMPLES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["failing", "passing"])
def test_samples_are_current(make: ModuleType, name: str) -> None:
    for file, text in make.texts(name).items():
        there = (SAMPLES / file).read_text(encoding="utf-8")
        assert there == text, f"reports/samples/{file} is not what the code gives: run `make samples` and look at it"


def test_there_is_no_sample_that_nothing_makes(make: ModuleType) -> None:
    assert make.names() == ["failing", "passing"]
    files = {path.name.partition(".")[0] for path in SAMPLES.iterdir() if path.is_file() and path.suffix != ".py"}
    assert files == {"failing", "passing"}


def test_the_first_screen_of_the_failing_sample_says_what_failed_by_how_much_how_sure_and_what_to_do() -> None:
    page = (SAMPLES / "failing.html").read_text(encoding="utf-8")
    head = re.sub(r"<[^>]+>", " ", page.partition("<main")[2])[:9000]
    for words in ("failed", "Allowed:", "certainty", "What to do", "Waived", "Baseline"):
        assert words in head, words
