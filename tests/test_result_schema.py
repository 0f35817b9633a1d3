"""`docs/result.schema.json` is what `result.json` keeps to. After a change of results.py write it again:

from shoplm_audit.results import Result
open("docs/result.schema.json", "w").write(json.dumps(Result.model_json_schema(), indent=1) + "\\n")
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes import Fake, cases
from pydantic import ValidationError

from shoplm_audit.engine import audit
from shoplm_audit.metrics.reduce import mean_of, rate_of
from shoplm_audit.record import Canary, Guarantee, Secrets, TrainingRecord
from shoplm_audit.results import EstimateResult, Result
from shoplm_audit.types import Case, Gate, Generate, Probe, Suite

PUBLISHED = Path(__file__).parents[1] / "docs" / "result.schema.json"
RECORD = TrainingRecord(
    "causal",
    privacy=Guarantee("user", math.inf, 1e-5, 0.0, 0.1, 10, 1.0, 100, "none", "no guarantee", "no noise"),
    settings={"rate": math.nan},
    curves={"loss": [[1.0, math.nan]]},
    secrets=Secrets(canaries=(Canary("c", "prefix", "HUSH-4711", True, 16),)),
)


def dumped() -> str:
    def ask(case: Case):
        return {"good": bool((yield Generate(case.prompt))), "x": math.nan}

    suite = Suite(
        "own",
        "Is it?",
        [Probe("ask", cases(60), ask, [rate_of("good", better="higher"), mean_of("x", better="lower")])],
        [
            Gate("rate_good", at_least=0.9),
            Gate("mean_x", at_most=1.0),
            Gate("mean_x", at_least=-1, slice={"task": "x"}),
        ],
    )
    return audit(Fake(record=RECORD), suite).result.model_dump_json()


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def test_the_published_schema_is_the_schema() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == Result.model_json_schema()


def test_a_result_keeps_to_the_schema_and_holds_no_nan() -> None:
    raw = json.loads(dumped(), parse_constant=_refuse)
    jsonschema.validate(raw, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    undefined = next(e for e in raw["suites"][0]["estimates"] if e["metric"] == "mean_x")
    assert undefined["value"] is undefined["low"] is undefined["high"] is None
    first = raw["suites"][0]["gates"][0]
    assert (first["at_least"], first["at_most"], first["verdict"]) == (0.9, None, "pass")
    assert raw["model"]["training"]["privacy"]["epsilon"] is None


def test_a_result_has_all_that_the_contract_names() -> None:
    raw = json.loads(dumped())
    assert raw["format"] == 1
    assert {"verdict", "model", "seed", "confidence", "suites", "environment", "seconds"} <= set(raw)
    assert {"name", "fingerprint", "parameters"} <= set(raw["model"])
    suite = raw["suites"][0]
    assert {"name", "question", "counts", "estimates", "gates"} <= set(suite)
    assert suite["counts"] == {"planned": 60, "scored": 60, "errored": 0, "unparsed": 0}
    estimate = {"metric", "slice", "value", "low", "high", "n", "method", "better", "signature"}
    assert estimate <= set(suite["estimates"][0])
    gate = {"id", "slice", "at_most", "at_least", "burden", "verdict", "why", "cases_to_decide", "waived_by", "clauses"}
    assert gate <= set(suite["gates"][0])


def test_secrets_of_the_training_are_not_in_the_result() -> None:
    text = dumped()
    assert "HUSH-4711" not in text
    assert "secrets" not in text


def test_a_result_reads_back_and_an_unknown_key_does_not() -> None:
    text = dumped()
    found = Result.model_validate_json(text)
    assert found.model_dump_json() == text
    raw = json.loads(text) | {"extra": 1}
    with pytest.raises(ValidationError):
        Result.model_validate(raw)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_that_is_none_gets_into_json(number: float) -> None:
    found = EstimateResult(metric="m", value=number, low=number, high=number, n=0, method="", better="zero")
    assert found.value is None
