"""What this machine can do: versions, devices, memory, what is missing, how fast a model is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Iterator

from shoplm_audit.invariance import measured
from shoplm_audit.models.load import load_model
from shoplm_audit.types import Generate, Pair, Prompt, Sampling

__all__ = ["examine", "examine_batches"]

_NEEDED = (
    "torch",
    "transformers",
    "tokenizers",
    "opacus",
    "scikit-learn",
    "scipy",
    "numpy",
    "sacrebleu",
    "fairlearn",
    "evaluate",
)
_EXTRAS = {
    "gguf": "GGUF files",
    "openai": "remote models",
    "ray": "a fleet of machines",
    "dp-accounting": "a second privacy accountant",
}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def examine(spec: str | None = None) -> Iterator[str]:
    """Lines to print; with a SPEC also how fast that model scores and writes here."""
    yield f"python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    for name in _NEEDED:
        version = _version(name)
        yield f"{name} {version}" if version else f"{name} is MISSING: pip install {name}"
    for name, use in _EXTRAS.items():
        version = _version(name)
        yield f"{name} {version}" if version else f"{name} is not installed (needed for {use} only)"
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = (memory / 2**30 for memory in torch.cuda.mem_get_info(number))
            yield f"cuda:{number} {torch.cuda.get_device_name(number)}, {free:.0f} of {total:.0f} GiB free"
    else:
        yield f"no GPU: models run on the CPU with {torch.get_num_threads()} threads"
    yield f"disk: {shutil.disk_usage('.').free / 2**30:.0f} GiB free here"
    if spec is not None:
        yield from _tried(spec)


def examine_batches(spec: str) -> tuple[list[str], bool]:
    """Lines on how much batches move this model's answers here, and whether it is no more than may be.

    Raises:
        ConfigError: the model is not computed here.
        Unsupported: it neither scores nor writes.
        AuditError: it cannot be loaded, or the machine failed.
    """
    model = load_model(spec)
    found = measured(model)
    return [f"{model.name}: batches", *found.lines()], found.healthy


def _tried(spec: str) -> Iterator[str]:
    started = time.perf_counter()
    model = load_model(spec)
    yield f"{model.name}: loaded in {time.perf_counter() - started:.1f} s, {model.fingerprint or 'without fingerprint'}"
    pairs = [Pair("Write a customer review.\nReview:", f" It arrived on day {i} and works well.") for i in range(16)]
    started = time.perf_counter()
    tokens = sum(scores.log_prob.size for scores in model.score(pairs))
    yield f"scores {tokens / (time.perf_counter() - started):.0f} tokens of continuation a second"
    prompt = Prompt("Write a customer review.\nReview:")
    requests = [Generate(prompt, Sampling(32, temperature=1.0, seed=i)) for i in range(8)]
    started = time.perf_counter()
    texts = model.generate(requests)
    yield f"writes {len(texts) / (time.perf_counter() - started):.2f} texts of up to 32 tokens a second"
