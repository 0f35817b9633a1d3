"""The verb trains and audits every point, writes the pages, and refuses what cannot work before it reads a file."""

import json
import math
import re

import pytest
from typer.testing import CliRunner

from shoplm_audit.cli import app
from shoplm_audit.cli.frontier import epsilons_of
from shoplm_audit.errors import ConfigError

REVIEWS = ["product,user,rating,text"]
REVIEWS += [f'p{n},u{n % 24},{5 if n % 2 else 1},"It {"boils" if n % 2 else "leaks"} {n} cups."' for n in range(96)]
PUBLIC = ["product,user,rating,text", *(f'q{n},v{n},5,"The kettle number {n} is fine."' for n in range(40))]
SUITE = """
from shoplm_audit import Case, Gate, Generate, Probe, Prompt, Sampling, Suite, rate_of


def say(case):
    text = yield Generate(Prompt("Kettle"), Sampling(max_new_tokens=2), raw=True)
    return {"empty": not text, "text": text}


SUITE = Suite(
    "silence",
    question="Does the model say anything?",
    probes=[Probe("say", [Case(f"c{n}") for n in range(9)], say, [rate_of("empty", better="lower")])],
    gates=[Gate("rate_empty", at_most=-1.0)],
)
"""
SMALL = ("--layers", "2", "--heads", "2", "--width", "16", "--context", "32", "--vocabulary", "300", "--steps", "2")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("\n".join(REVIEWS) + "\n", encoding="utf-8")
    (tmp_path / "public.csv").write_text("\n".join(PUBLIC) + "\n", encoding="utf-8")
    (tmp_path / "silence").mkdir()
    (tmp_path / "silence" / "suite.py").write_text(SUITE, encoding="utf-8")
    return tmp_path


def test_the_verb_trains_audits_and_draws_and_a_failed_gate_is_no_failure(shop):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    files = ("--data", "reviews=reviews.csv", "--public", "reviews=public.csv")
    more = ("--epsilons", "inf,8", "--unit", "user", "--batch", "4", "--canary-count", "12", "--limit", "5")
    try:
        done = CliRunner().invoke(app, ["frontier", *files, *more, *SMALL, "--suite", "silence", "--out", "out"])
    finally:
        torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"epsilon-8 +fail +silence\.rate_empty|epsilon-8 +fail +rate_empty", lines[0]), lines
    assert lines[1].startswith("plain ")
    assert lines[-1] == "out/index.html"
    for name in ("epsilon-8", "plain"):
        assert f"{name}/report.html" in (shop / "out" / "index.html").read_text(encoding="utf-8")
        assert (shop / "out" / name / "report.html").is_file()
        result = json.loads((shop / "out" / name / "result.json").read_text(encoding="utf-8"))
        assert result["suites"][0]["counts"]["planned"] == 5
        assert f"--model out/{name}/model" in result["command"]
    record = json.loads((shop / "out" / "plain" / "model" / "training.json").read_text(encoding="utf-8"))
    wanted = {"unit": "user", "batch": 4, "steps": 2, "layers": 2, "width": 16, "context": 32, "canaries": 12}
    assert record["settings"].items() >= wanted.items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--epsilons", "1,lots"), '"lots"'),
        (("--epsilons", "1,-3"), '"-3"'),
        (("--epsilons", "8"), "two points"),
        (("--suite", "faithfullness"), '"faithfullness"'),
        (("--out", "silence"), '"silence" exists and holds no frontier'),
        (("--with", "shadow"), "NAME=VALUE"),
        ((), "--data"),
    ],
)
def test_what_cannot_work_is_told_before_a_file_is_read(shop, arguments, words):
    told = CliRunner().invoke(app, ["frontier", *(("--data", "none.csv") if arguments else ()), *arguments])
    assert isinstance(told.exception, ConfigError)
    assert words in str(told.exception)


def test_epsilons_are_numbers_divided_by_commas():
    assert epsilons_of(" 0.5,3 ,inf") == [0.5, 3.0, math.inf]
