"""How long a report of 5,000 cases takes, and how large it is: a made-up audit with texts, spans and failed gates.

Every suite has its own 1,000 cases with a prompt, a text of 60 to 200 words and a marked claim; 25 gates, of which ten
fail. What is timed is `render_html` alone, in the median of five, after one that fills caches.

python -m benchmarks.reporting [--cases 5000] [--rounds 5]
"""

import argparse
import json
import statistics
import time

import numpy as np

from shoplm_audit.rendering.html import render_html
from shoplm_audit.results import AuditResult, Counts, EstimateResult, GateResult, ModelResult, Result, SuiteResult
from shoplm_audit.types import Case, Observation, Observations, Prompt, Verdict

SUITES = ("task_quality", "faithfulness", "bias", "fake_reviews", "privacy")
WORDS = ["steel", "kettle", "light", "holds", "litres", "navy", "warranty", "quiet", "容量", "颜色", "材质", "保修"]
GATES = 5


def observations_of(rng: np.random.Generator, cases: int) -> Observations:
    """Cases with a text each, a third of them with a claim that is wrong."""
    rows = []
    for i in range(cases):
        text = " ".join(rng.choice(WORDS, size=int(rng.integers(60, 200))))
        spans = [[0, 5, "contradicted" if i % 3 == 0 else "supported", "the record says otherwise", "colour"]]
        values = {f"wrong_{k}": bool(rng.random() < 0.3) for k in range(GATES)}
        case = Case(f"c{i}", cluster=f"p{i // 2}", language=("en", "zh")[i % 2], prompt=Prompt(f"Write of {i}: {text}"))
        rows.append(Observation(case, {**values, "text": text, "spans": json.dumps(spans)}))
    return Observations(tuple(rows))


def audit_of(cases: int) -> AuditResult:
    """Five suites of `cases` / 5 each."""
    rng = np.random.default_rng(0)
    each = cases // len(SUITES)
    suites = []
    for name in SUITES:
        estimates, gates = [], []
        for k in range(GATES):
            parts = ({}, {"language": "en"}, {"language": "zh"})
            estimates += [
                EstimateResult(
                    metric=f"rate_wrong_{k}",
                    slice=part,
                    value=0.3,
                    low=0.27,
                    high=0.33,
                    n=each,
                    method="exact binomial",
                    better="lower",
                    probe="ask",
                )
                for part in parts
            ]
            failed = k < 2
            gates.append(
                GateResult(
                    id=f"{name}.rate_wrong_{k}",
                    metric=f"rate_wrong_{k}",
                    at_most=0.1 if failed else 0.5,
                    verdict=Verdict("fail" if failed else "pass"),
                    why="The rule is at most 10 %.",
                )
            )
        counts = Counts(planned=each, scored=each, errored=0, unparsed=0)
        suites.append(SuiteResult(name=name, question="?", counts=counts, estimates=estimates, gates=gates))
    model = ModelResult(name="model", fingerprint="", spec="checkpoints/model")
    result = Result(verdict="fail", model=model, seed=0, confidence=0.95, suites=suites, command="")
    return AuditResult(result, {(name, "ask"): observations_of(rng, each) for name in SUITES})


def main() -> None:
    """Prints seconds and bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    audited = audit_of(asked.cases)
    page = render_html(audited)
    seconds = []
    for _round in range(asked.rounds):
        started = time.perf_counter()
        render_html(audited)
        seconds.append(time.perf_counter() - started)
    print(
        f"{asked.cases:,} cases: {statistics.median(seconds):.2f} s (min {min(seconds):.2f}, max {max(seconds):.2f}; "
        f"{asked.rounds} runs), {len(page.encode()) / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
