from pathlib import Path

import pytest

from shoplm_audit.cli.asking import _files_of, pairs_of
from shoplm_audit.errors import ConfigError, ModelError
from shoplm_audit.models.load import load_model


def test_a_kind_that_is_given_twice_has_both_files() -> None:
    found = _files_of(["reviews=a.csv", "products=p.csv", "reviews=b.csv"])
    assert found == {"reviews": [Path("a.csv"), Path("b.csv")], "products": [Path("p.csv")]}


def test_an_option_that_can_be_given_once_refuses_a_second_value() -> None:
    with pytest.raises(ConfigError, match="rating was given already"):
        pairs_of("--map", ["rating=stars", "rating=score"])


def test_the_demo_is_no_model_that_can_be_loaded_and_says_what_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="runs/demo/plain/model"):
        load_model("demo")


def test_a_field_that_a_file_does_not_have_is_mapped_to_nothing() -> None:
    assert pairs_of("--map", ["product=", "text=评论"]) == {"product": "", "text": "评论"}
    with pytest.raises(ConfigError):
        pairs_of("--with", ["reference="])
