"""What was erased is gone from the bytes, the rest stays, and verify claims no more than it can."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from fakes import Fake
from finished import checked, finished

from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.evidence import erasing
from shoplm_audit.evidence.erasing import erase, erase_from_store, found_in, remove_derived, still_in
from shoplm_audit.evidence.files import load_run, meta_of, write_manifest
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.rendering.files import FORMS, render
from shoplm_audit.store import Store
from shoplm_audit.types import Columns, Generate, Pair, Prompt, Sampling

DAY = date(2026, 5, 1)


def erased(run: Path, subject: str) -> dict[str, int]:
    told = erase(run, subject, today=DAY, salt="00" * 16)
    for form, name in FORMS.items():
        (run / name).write_text(render(form, load_run(run), ""), encoding="utf-8")
    write_manifest(run)
    return told.rows


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished(tmp_path)[0]


def test_a_cluster_goes_whole_and_its_bytes_with_it(run: Path) -> None:
    assert b"customer7" in (run / "evidence.sqlite").read_bytes()
    assert erased(run, "customer7") == {"returns_policy/ask": 2}
    assert still_in(run, "customer7") == []
    left = {row.case.cluster for row in load_run(run).observations["returns_policy", "ask"]}
    assert left == {f"customer{i}" for i in range(12)} - {"customer7"}


def test_a_subject_is_no_part_of_a_longer_one(run: Path) -> None:
    assert erased(run, "customer1") == {"returns_policy/again": 2, "returns_policy/ask": 2}
    assert {"customer10", "customer11"} <= {
        row.case.cluster for row in load_run(run).observations["returns_policy", "ask"]
    }


def test_verify_says_what_is_gone_and_claims_nothing_that_rests_on_it(run: Path) -> None:
    erased(run, "customer7")
    told = checked(run)
    assert (told.differences, told.exit_code) == ([], 3)
    assert "2 rows of a subject were erased on 2026-05-01" in "\n".join(told.notes)
    assert "the gates returns_policy.rate_promises." in "\n".join(told.unchecked)
    assert "rate_long" not in "\n".join(told.unchecked)


def test_what_rests_on_no_erased_row_is_still_recomputed(run: Path) -> None:
    erased(run, "customer7")
    path = run / "result.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["suites"][0]["gates"][1]["verdict"] = "pass"
    path.write_text(json.dumps(data), encoding="utf-8")
    write_manifest(run)
    assert any("rate_long" in one.where for one in checked(run).differences)


def test_rows_that_are_left_are_still_read_again(run: Path) -> None:
    import sqlite3
    from contextlib import closing

    erased(run, "customer7")
    with closing(sqlite3.connect(run / "evidence.sqlite")) as connection, connection:
        connection.execute("""UPDATE exchanges SET answer = '"Nothing."' WHERE "case" = 'q3'""")
    write_manifest(run)
    assert any("'q3'" in one.where for one in checked(run).differences)


def test_a_name_that_only_the_model_wrote_takes_its_case_along(tmp_path: Path) -> None:
    run, _ = finished(tmp_path, says=" Ask Méi 李娜 <mei.lin@example.com>.")
    for subject in ("MEI.LIN@example.com", "李娜"):
        assert len(found_in(run, subject)) == 28  # of 30: one case, asked twice, has no words
    erased(run, "mei.lin@example.com")
    assert still_in(run, "mei.lin@example.com") == []


def test_the_stone_does_not_name_the_subject_and_two_stones_add_up(run: Path) -> None:
    erased(run, "customer7")
    erased(run, "customer8")
    stones = meta_of(run)["erased"]
    assert [one["rows"] for one in stones] == [{"returns_policy/ask": 2}] * 2
    assert "customer" not in json.dumps(stones)
    assert sum("rows of a subject were erased" in note for note in checked(run).notes) == 2


@pytest.mark.parametrize("subject", ["", " ", "e", "..", "\u202e"])
def test_a_subject_that_stands_everywhere_is_refused(run: Path, subject: str) -> None:
    before = (run / "evidence.sqlite").read_bytes()
    with pytest.raises(ConfigError):
        erase(run, subject)
    assert (run / "evidence.sqlite").read_bytes() == before


@pytest.mark.parametrize("subject", ["'; DROP TABLE exchanges; --", "../../etc/passwd", "nobody", "x(.*)+$", "\ud800x"])
def test_a_subject_that_nothing_holds_erases_nothing(run: Path, subject: str) -> None:
    assert erased(run, subject) == {}
    assert checked(run).exit_code == 0
    assert len(load_run(run).observations["returns_policy", "ask"]) == 24


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        erase(tmp_path, "customer7")


def test_the_store_loses_what_was_asked_and_what_was_answered(tmp_path: Path) -> None:
    """By the request where the answer does not name the subject, by the answer where the request does not."""
    path = tmp_path / "store.sqlite"
    written = [
        Generate(Prompt("What did customer7 buy?"), Sampling(9, stop=("\n",))),
        Generate(Prompt("Who?", "Be brief.")),
        Generate(Prompt("What?")),
    ]
    pairs = [Pair("customer7 bought", " a kettle", (0, 2)), Pair("somebody", " else")]
    model = Fake(write=lambda prompt, _: "Customer7, of course" if prompt.endswith("Who?") else "a kettle")
    with Store(path) as store:
        Remembered(model, store).generate(written)
        Remembered(model, store).score(pairs, Columns.LOG_PROB)
    from dataclasses import asdict

    from shoplm_audit.evidence.erasing import _digest_of

    asked = {
        _digest_of("generate", json.loads(json.dumps(asdict(written[0])))),
        _digest_of("score", {"pair": json.loads(json.dumps(asdict(pairs[0]))), "columns": Columns.LOG_PROB.value}),
    }
    assert erase_from_store(path, "customer7", asked) == 3
    with Store(path) as store:
        again = Remembered(model, store)
        again.generate(written)
        again.score(pairs, Columns.LOG_PROB)
        assert again.computed == 3
    assert b"of course" in path.read_bytes() or path.with_name("store.sqlite-wal").exists()


def test_a_store_that_is_none_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--store"):
        erase_from_store(tmp_path / "none.sqlite", "customer7")
    assert not list(tmp_path.iterdir())


NAME = "Zoë O'Harrow"
SPELLINGS = [
    *("Zoë  O'Harrow", "ZOË O’HARROW", "Zoë\nO'Harrow", "O'Harrow, Zoë", "o`harrow,zoë", "Zoe\u0308\u00a0OʼHarrow"),
    *("Ｚｏë　Ｏ＇Ｈａｒｒｏｗ", "Zoë O\u200b'Harrow"),
]


def test_a_name_is_found_in_every_spelling(tmp_path: Path) -> None:
    assert [written for written in SPELLINGS if not erasing._Seeker(NAME)(written)] == []
    assert [written for written in SPELLINGS if not erasing._Seeker("O'Harrow, Zoë")(written)] == []
    assert not erasing._Seeker("Zoë O'Harro")(SPELLINGS)
    run, _ = finished(tmp_path, says=f" Ask {' or '.join(SPELLINGS)}!")
    assert sum(erased(run, NAME).values()) == 28
    assert still_in(run, NAME) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.jsonl", '{"t": "Zo\\u00eb\\nO\\u2019Harrow"}'),
        ("away/page.html", "<p>Zo&euml; O&#39;Harrow</p>"),
        ("away/deep/page.html", "<p>ZOË <mark>O&#x27;Har</mark>row</p>"),
        ("notes.txt", "O’HARROW, Zoë"),
        ("within.json", json.dumps(json.dumps("zoë o'harrow"))),
        ("Zoë O'Harrow.txt", "x"),
    ],
)
def test_files_that_still_hold_a_subject_are_told_however_it_is_written(run: Path, name: str, text: str) -> None:
    assert still_in(run, NAME) == []
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text(text, encoding="utf-8")
    assert still_in(run, NAME) == [name]


def test_the_verb_removes_what_was_made_of_the_run_and_exits_3_while_a_file_holds_the_subject(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    from shoplm_audit.cli.verifying import erase as verb

    for name in (
        "report.sarif",
        "modelcard.md",
        "dossier.html",
        "shared-public/report.html",
        "shared-public/manifest.json",
    ):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("customer7", encoding="utf-8")
    (run / "mine.txt").write_text("Customer7 called.", encoding="utf-8")
    with pytest.raises(typer.Exit) as ended:
        verb(run, "customer7", yes=True)
    assert ended.value.exit_code == 3
    assert "mine.txt: still holds it" in capsys.readouterr().err
    assert {path.name for path in run.iterdir()} == {
        *("result.json", "evidence.sqlite", "report.html", "junit.xml", "manifest.json", "mine.txt")
    }
    (run / "mine.txt").unlink()
    write_manifest(run)
    verb(run, "customer7", yes=True)


def test_a_folder_that_only_looks_like_a_copy_stays(run: Path) -> None:
    (run / "shared-mine").mkdir()
    assert remove_derived(run) == []
    assert (run / "shared-mine").is_dir()


@pytest.mark.parametrize("subject", ["faithful", "fail", "lower", "returns_policy"])
def test_a_subject_that_is_a_word_of_the_program_is_refused_or_erased_and_never_breaks_a_run(
    run: Path, subject: str
) -> None:
    before = (run / "evidence.sqlite").read_bytes()
    try:
        erase(run, subject)
    except ConfigError:
        assert (run / "evidence.sqlite").read_bytes() == before
    load_run(run)
