"""What many tests share: a tiny checkpoint that was really trained, and the command line as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Shoplm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests let a machine remember is not remembered by the machine."""
    os.environ.setdefault("SHOPLM_CACHE", str(tmp_path_factory.mktemp("cache")))
    # `evaluate` copies its modules to one folder, which Python then knows for good.
    os.environ.setdefault("HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))


@pytest.fixture(scope="session")
def process_environment() -> dict[str, str]:
    """One thread, so that processes side by side do not wait for each other; no colours, a terminal of 80 columns."""
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "80", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def shoplm(process_environment: dict[str, str]) -> Shoplm:
    """`shoplm-audit ARGUMENTS` in a process of its own, in the folder `cwd`; `code` stands in for `-m shoplm_audit`."""

    def run(*arguments: str | Path, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
        program = ["-c", code] if code else ["-m", "shoplm_audit"]
        command = [sys.executable, *program, *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=process_environment, capture_output=True, text=True, timeout=240, check=False
        )

    return run


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 shape of 30,000 weights after a few steps on ShopWorld, with a record and customers left out by coin."""
    import torch

    from shoplm_audit.data.shopworld import public_texts, shopworld
    from shoplm_audit.training.corpus import examples_of
    from shoplm_audit.training.loop import train
    from shoplm_audit.training.settings import TrainSettings

    world = shopworld(7, products=40, customers=24)
    settings = TrainSettings(
        layers=1, heads=2, width=24, context=512, vocabulary=320, steps=12, batch=4, learning_rate=4e-3, coin="fair"
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(settings, examples_of(public_texts(world)), examples_of(world.customers, private=True), folder)
    finally:
        torch.set_num_threads(threads)
    return folder
