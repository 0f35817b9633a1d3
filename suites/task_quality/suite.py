"""Does the model do a shop's work? Ten tasks in two languages, each in a module of its own."""

from shoplm_audit import Suite

from . import (
    advertising,
    analysing,
    benchmarks,
    classifying,
    describing,
    questioning,
    recommending,
    replying,
    reviewing,
    summarising,
)

TASKS = (
    describing,
    advertising,
    reviewing,
    classifying,
    summarising,
    replying,
    questioning,
    recommending,
    analysing,
    benchmarks,
)

SUITE = Suite(
    "task_quality",
    question="Does the model do a shop's work: write, read, sum up, answer, recommend, moderate, count?",
    probes=[probe for task in TASKS for probe in task.PROBES],
    gates=[gate for task in TASKS for gate in task.GATES],
)
