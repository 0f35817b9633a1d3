"""What makes an audit this audit, and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import Fake

from shoplm_audit.cli.asking import Asked, seconds_of
from shoplm_audit.config import Config, Limit
from shoplm_audit.data.records import Review
from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import Policy
from shoplm_audit.models.callables import imported
from shoplm_audit.prompts import Prompts

ASKED = Asked(Config(), "checkpoints/a", ["bias"], [], {}, Prompts(), Policy(), 0)
KNOWN, UNKNOWN = Fake(fingerprint="sha256:a"), Fake(fingerprint="")


def review(text: str) -> Review:
    return Review(id="r", product="p", text=text)


def test_equal_audits_have_one_identity_wherever_the_weights_lie() -> None:
    models = {"model": KNOWN}
    assert ASKED.identity(models) == replace(ASKED, spec="elsewhere").identity(models)


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        (ASKED, {"model": Fake(fingerprint="sha256:b")}),
        (ASKED, {"model": KNOWN, "reference": KNOWN}),
        (replace(ASKED, seed=1), {"model": KNOWN}),
        (replace(ASKED, names=["privacy"]), {"model": KNOWN}),
        (replace(ASKED, records={"reviews": [review("good")]}), {"model": KNOWN}),
        (replace(ASKED, prompts=Prompts(system="You write.")), {"model": KNOWN}),
        (replace(ASKED, config=Config(limit=5)), {"model": KNOWN}),
        (replace(ASKED, config=Config(gates={"bias.x": Limit(at_most=0.1)})), {"model": KNOWN}),
        (ASKED, {"model": UNKNOWN}),
    ],
)
def test_whatever_decides_numbers_or_verdicts_makes_another_audit(asked: Asked, models: dict[str, Fake]) -> None:
    assert asked.identity(models) != ASKED.identity({"model": KNOWN})


def test_servers_of_one_name_are_told_apart_in_every_role() -> None:
    models = {"model": KNOWN, "reference": UNKNOWN}
    one, other = (replace(ASKED, config=Config(roles={"reference": f"openai:http://{host}#m"})) for host in "ab")
    assert one.identity(models) != other.identity(models)
    assert replace(ASKED, spec="openai:http://a#m").identity({"model": UNKNOWN}) != replace(
        ASKED, spec="openai:http://b#m"
    ).identity({"model": UNKNOWN})


def test_an_edited_function_makes_another_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = []
    for number, text in enumerate(("old", "new", "new")):
        (tmp_path / f"bot{number}.py").write_text(f"def answer(prompts):\n    return ['{text}'] * len(prompts)\n")
        model = imported(f"bot{number}:answer")
        model.name = "bot.answer"
        seen.append(replace(ASKED, spec="python:bot:answer").identity({"model": model}))
    assert seen[0] != seen[1] == seen[2]


@pytest.mark.parametrize("time", ["", "soon", "0", "-3m", "nan", "inf", "5d"])
def test_what_is_no_time_is_refused(time: str) -> None:
    with pytest.raises(ConfigError, match="10m"):
        seconds_of(time)
