"""`make bench`: what the commands cost on this machine, as whole processes; and the engine against its peers.

python -m benchmarks [help] [shopworld] [demo] [scoring] [generation] [repeating]

`scoring` needs `pip install "shoplm-audit[bench]"`. Trainings have benchmarks of their own, which read what follows
their name: plain_training, private_training, e2e, sentiment, leakage, faithfulness, bias, stereotypes, detection,
fake_reviews, policy, beside, coverage, stopping, reporting.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-m", "shoplm_audit"]


def process(arguments: list[str]) -> tuple[float, float, int]:
    """Seconds, peak memory in GB of the largest process, exit code."""
    started = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    return time.perf_counter() - started, usage.ru_maxrss / 2**20, os.waitstatus_to_exitcode(status)


def help_() -> None:
    """`--help`: the median of nine, after one to warm the disk's cache."""
    process([*COMMAND, "--help"])
    seconds = [process([*COMMAND, "--help"])[0] for _ in range(9)]
    print(f"--help: {statistics.median(seconds):.2f} s (min {min(seconds):.2f}, max {max(seconds):.2f}; 9 runs)")


def shopworld() -> None:
    """20,000 products with descriptions."""
    code = (
        "from shoplm_audit.data.shopworld import invent_products as made\nassert len(list(made(0, 20_000))) == 20_000"
    )
    seconds = [process([sys.executable, "-c", code])[0] for _ in range(3)]
    print(f"20,000 products of ShopWorld: {statistics.median(seconds):.1f} s (3 runs, start of Python included)")


def demo() -> None:
    """The whole demo, once."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "demo")
        seconds, memory, code = process([*COMMAND, "run", "--model", "demo", "--out", out])
        print(f"demo: {seconds:.0f} s, peak memory {memory:.2f} GB, exit code {code}")


def _module(name: str) -> Callable[[], None]:
    return lambda: subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True) and None


ALL: dict[str, Callable[[], None]] = {
    "help": help_,
    "shopworld": shopworld,
    "demo": demo,
    "scoring": _module("scoring"),
    "generation": _module("generation"),
    "repeating": _module("repeating"),
}

OWN = (
    *("plain_training", "private_training", "e2e", "sentiment", "leakage", "faithfulness"),
    *("bias", "stereotypes", "detection", "fake_reviews", "policy", "beside", "coverage", "stopping", "reporting"),
)


def main() -> None:
    """Runs those that are named, or all."""
    if sys.argv[1:] and sys.argv[1] in OWN:
        sys.exit(subprocess.run([sys.executable, "-m", f"benchmarks.{sys.argv[1]}", *sys.argv[2:]]).returncode)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in sys.argv[1:] or ALL:
        ALL[name]()


main()
