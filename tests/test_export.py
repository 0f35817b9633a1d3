from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.export import Counts, export, key_of
from shoplm_audit.types import Prompt
from shoplm_audit.writing import Row, Subject

SETTINGS = {"seed": 0, "stop": ("x",)}
BLOCKS = [[Subject(f"s{i}", "en", Prompt("")) for i in range(k, k + 2)] for k in (0, 2, 4)]


class Writer:
    """Two rows a subject; every text tells the block it was written with, so a block cut differently would show."""

    def __init__(self, breaks_at: int = 99) -> None:
        self.blocks: list[str] = []
        self.breaks_at = breaks_at

    def __call__(self, block: Sequence[Subject]) -> list[Row]:
        if len(self.blocks) == self.breaks_at:
            raise KeyboardInterrupt
        name = "+".join(subject.id for subject in block)
        self.blocks.append(name)
        return [
            {"id": one.id, "sample": k, "text": f"行\u2028{name}", **({"moderation": {}} if k else {})}
            for one in block
            for k in range(2)
        ]


def _export(out: Path, writer: Writer, settings: dict[str, Any] = SETTINGS, blocks: Any = BLOCKS) -> Counts:
    return export(out, settings, blocks, writer, samples=2)


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    _export(tmp_path / "whole.jsonl", Writer())
    return (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.34, 0.5, 0.75, 0.99, 1.0])
def test_a_file_cut_anywhere_is_completed_to_the_very_same(tmp_path: Path, whole: bytes, cut: float) -> None:
    out = tmp_path / "whole.jsonl"
    out.write_bytes(whole[: int(len(whole) * cut)])
    there = out.read_bytes().count(b"\n")
    writer = Writer()
    counts = _export(out, writer)
    assert out.read_bytes() == whole
    # Blocks that are all there are not computed, the one that was cut is computed whole.
    assert writer.blocks == ["s0+s1", "s2+s3", "s4+s5"][there // 4 :]
    assert counts == Counts(rows=12, flagged=6, computed=12 - there)


def test_what_was_done_before_an_interruption_is_in_the_file_and_is_not_done_again(
    tmp_path: Path, whole: bytes
) -> None:
    out = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        _export(out, Writer(breaks_at=2))
    assert len(out.read_bytes().splitlines()) == 8
    assert json.loads((tmp_path / "rows.jsonl.json").read_text("utf-8"))["finished"] is False
    second = Writer()
    _export(out, second)
    assert second.blocks == ["s4+s5"]
    assert out.read_bytes() == whole


def test_the_card_holds_settings_and_counts(tmp_path: Path, whole: bytes) -> None:
    card = json.loads((tmp_path / "whole.jsonl.json").read_text("utf-8"))
    assert card == {
        "format": 1, "finished": True, "settings": {"seed": 0, "stop": ["x"]},
        "rows": 12, "flagged": 6, "incomplete": 0,
    }  # fmt: skip


def test_other_settings_are_refused_by_name_and_the_file_is_left(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(DataError, match=r"other settings \(seed, top_k\).*--out"):
        _export(tmp_path / "whole.jsonl", Writer(), SETTINGS | {"seed": 1, "top_k": 3})
    assert (tmp_path / "whole.jsonl").read_bytes() == whole


@pytest.mark.parametrize("blocks", [BLOCKS[::-1], BLOCKS[:1]])
def test_rows_of_other_records_are_refused(tmp_path: Path, whole: bytes, blocks: Any) -> None:
    with pytest.raises(DataError, match=r"whole\.jsonl: holds"):
        _export(tmp_path / "whole.jsonl", Writer(), blocks=blocks)
    assert (tmp_path / "whole.jsonl").read_bytes() == whole


def test_a_file_of_unknown_making_is_refused(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "mine.jsonl").write_text("my notes\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine.jsonl.json does not say"):
        _export(tmp_path / "mine.jsonl", Writer())
    assert (tmp_path / "mine.jsonl").read_text("utf-8") == "my notes\n"
    (tmp_path / "whole.jsonl").write_bytes(b"[]\n" + whole)
    with pytest.raises(DataError, match=r"whole.jsonl:1: not a row"):
        _export(tmp_path / "whole.jsonl", Writer())


def test_a_file_that_cannot_be_written_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        _export(tmp_path / "none" / "rows.jsonl", Writer())


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "watermark.key"
    key = key_of(path)
    assert key_of(path) == key
    assert len(key) == 64
    assert key_of(tmp_path / "other.key") != key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no key"):
        key_of(path)
