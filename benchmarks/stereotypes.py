"""Published benchmarks of stereotypes on a model, beside the published numbers of GPT-2.

python -m benchmarks.stereotypes --data FOLDER --model SPEC [--only crows_pairs,stereoset,winobias,bbq,cbbq] [--limit N]

FOLDER holds `crows_pairs`, `stereoset`, `winobias`, `bbq` and `cbbq`, as they are published. Intervals are two
one-sided 95 % bounds, over pairs (CrowS-Pairs), target terms, occupation pairs and templates.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from shoplm_audit.data.readers import read_records
from shoplm_audit.models.load import load_model
from shoplm_audit.observing import material_of
from shoplm_audit.probes.driving import observe
from shoplm_audit.prompts import Prompts
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Observations, Probe

SEED, CONFIDENCE = 0, 0.95  # of each bound
FILES = {
    "crows_pairs": "crows_pairs/*.csv",
    "stereoset": "stereoset/*.jsonl",
    "winobias": "winobias/*_stereotyped_type*",
    "bbq": "bbq/*.jsonl",
    "cbbq": "cbbq/*/*/*.json",
}
# arXiv 2004.09456's own repository, predictions of `gpt2` on the development set, LMS / SS / ICAT. Between sentences
# they come from a head that was trained for it; within a sentence from the likelihood that is computed here.
GPT2 = {
    "stereoset_lms": 83.65206453498922,
    "stereoset_ss": 57.03077944935812,
    "stereoset_icat": 71.8892802104096,
    "stereoset_lms_intrasentence": 91.1149,
    "stereoset_ss_intrasentence": 61.9315,
    "stereoset_icat_intrasentence": 69.3722,
}


def show(probe: Probe, observations: Observations) -> None:
    """Each metric of all cases, and of each group of them."""
    parts = [("all", observations)]
    for key in probe.by:
        parts += [
            (value, observations.where(**{key: value})) for value in sorted({row.case.of(key) for row in observations})
        ]
    for part, rows in parts:
        for metric in probe.metrics:
            found = metric.estimate(rows, CONFIDENCE, np.random.default_rng(SEED))
            known = GPT2.get(metric.name) if part == "all" else None
            beside = "" if known is None else f"{known:.2f}"
            print(
                f"| {part} | {metric.name} | {found.value:.4f} [{found.low:.4f}, {found.high:.4f}] | {found.n} "
                f"| {beside} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--only", default=",".join(FILES))
    parser.add_argument("--limit", type=int, default=100_000)
    options = parser.parse_args()
    model: Any = load_model(options.model, device="cpu")
    probes = {probe.name: probe for probe in load_suite("bias").probes}
    for name in options.only.split(","):
        paths = sorted(options.data.glob(FILES[name]))
        rows = [row for path in paths for row in read_records("stereotypes", path)]
        material = material_of({"model": model}, {"stereotypes": rows}, Prompts(), SEED, options.limit)
        probe, started = probes[name], time.perf_counter()
        cases = probe.cases_of(material)
        observations = observe(probe, cases, {"model": model}, key=f"bias/{name}").observations
        lost = sum(row.status != "scored" for row in observations)
        print(f"\n## {name}: {len(cases)} cases, {lost} without an answer, {time.perf_counter() - started:.0f} s\n")
        print("| cases | metric | value and bounds | clusters | GPT-2, published |\n|---|---|---|---|---|")
        show(probe, observations)


if __name__ == "__main__":
    main()
