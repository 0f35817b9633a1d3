"""A run folder from a stranger makes no verb run code that only it names."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from finished import finished, suite_of

from shoplm_audit.cli.comparing import compare
from shoplm_audit.cli.reporting import report
from shoplm_audit.cli.verifying import verify
from shoplm_audit.errors import DataError
from shoplm_audit.evidence.files import suites_for


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    first, second = finished(tmp_path)[0], finished(tmp_path, name="again")[0]
    suite = suite_of(tmp_path) / "suite.py"
    mark = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    suite.write_text(mark + suite.read_text(encoding="utf-8"), encoding="utf-8")
    return first, second


def test_compare_leaves_a_suite_out_that_only_the_runs_name(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="no probe in common"):
        compare(*runs)
    assert "suite 'returns_policy' is left out" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_compare_takes_it_when_the_user_names_it(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left:
        compare(*runs, suites=[tmp_path / "returns_policy"])
    assert left.value.exit_code == 0
    told = capsys.readouterr()
    assert "left out" not in told.err
    assert "returns_policy.rate_promises" in told.out
    assert (tmp_path / "ran").exists()


def test_neither_verify_nor_report_runs_it(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(typer.Exit):
        verify(runs[0])
    report(runs[0])
    report(runs[0], share="public")
    report(runs[0], "dossier")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("named", [None, 3, "bias", [["bias"], "../suites/bias", "bias/", "/", 3]])
def test_names_that_are_no_built_in_suite_load_nothing(named: object) -> None:
    assert suites_for({"suites": named}) == {}
