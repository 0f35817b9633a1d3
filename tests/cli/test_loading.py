"""Which models of an audit go to a fleet, and which this process asks itself."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Fake

from shoplm_audit.cli.asking import Asked, Loading
from shoplm_audit.config import Config
from shoplm_audit.errors import ConfigError
from shoplm_audit.judging import Policy
from shoplm_audit.prompts import Prompts

ROLES = {"reference": "other/folder", "judge": "openai:http://127.0.0.1:1#m", "shadow": "python:bot:answer"}
ASKED = Asked(Config(roles=ROLES), "a/folder", [], [], {}, Prompts(), Policy(), 0)


def test_one_fleet_holds_what_computes_and_the_rest_is_asked_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    class Fleet:
        def __init__(self, engine: Any, *, device: str | None) -> None:
            said.append(("fleet", engine.address, device))

        def __enter__(self) -> Fleet:
            return self

        def __exit__(self, *_: object) -> None:
            said.append("closed")

    def distributed(spec: str, fleet: Fleet, *, trust: bool) -> Fake:
        said.append(("fleet holds", spec, trust))
        return Fake()

    def loaded(spec: str, *, remote: Any, **_: Any) -> Fake:
        said.append(("here", spec, remote.max_requests))
        return Fake()

    monkeypatch.setattr("shoplm_audit.models.fleet.Fleet", Fleet)
    monkeypatch.setattr("shoplm_audit.models.distributed.Distributed", distributed)
    monkeypatch.setattr("shoplm_audit.models.load.load_model", loaded)
    with Loading("cpu", True, "ray:10.0.0.1:6379", max_requests=7).opened(ASKED) as models:
        assert list(models) == ["model", "reference", "judge", "shadow"]
        assert "closed" not in said
    assert said == [
        ("fleet", "10.0.0.1:6379", "cpu"),
        ("fleet holds", "a/folder", True),
        ("fleet holds", "other/folder", True),
        ("here", "openai:http://127.0.0.1:1#m", 7),
        ("here", "python:bot:answer", 7),
        "closed",
    ]


def test_another_engine_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="spark"), Loading(engine="spark").opened(ASKED):
        pass
