from pathlib import Path

import pytest

from shoplm_audit.cli.asking import _files_of, _roles_of, asked_for, pairs_of
from shoplm_audit.data.records import Review, Text
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


def test_shadows_can_be_named_as_often_as_there_are_and_other_roles_once() -> None:
    named = ["shadow=a", "reference=r", "shadow=b", "shadow=c"]
    assert _roles_of(named) == {"shadow": "a", "reference": "r", "shadow-2": "b", "shadow-3": "c"}
    with pytest.raises(ConfigError, match="reference was given already"):
        _roles_of(["reference=a", "reference=b"])


def test_lists_of_members_are_records_of_any_kind_that_has_a_text(tmp_path: Path) -> None:
    reviews, texts = tmp_path / "in.jsonl", tmp_path / "out.txt"
    reviews.write_text('{"reviewText": "It leaks.", "asin": "p1", "overall": 1}\n', encoding="utf-8")
    texts.write_text("不漏水。\n", encoding="utf-8")
    lists = [f"members={reviews}", f"nonmembers={texts}"]
    asked = asked_for(["privacy"], "m", None, None, lists, None, False, None, None)
    assert [type(rows[0]) for rows in asked.records.values()] == [Review, Text]
    assert asked.records["nonmembers"][0].language == "zh"


def test_a_mistyped_kind_of_data_is_told_all_kinds() -> None:
    with pytest.raises(ConfigError, match=r'"member" is no kind of data.*reviews.*members, nonmembers, protected'):
        _files_of(["member=a.jsonl"])
