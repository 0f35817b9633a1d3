"""Which texts hold a banned word, and which lists cannot be read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shoplm_audit.data.banned import BannedWords, read_banned
from shoplm_audit.errors import ConfigError, DataError


def holds(entry: str, text: str) -> bool:
    return BannedWords((entry,)).first(text) is not None


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("ass", "What an ASS!"),
        ("free gift", "get your Free\n  GIFT, now"),
        ("don't buy", "Please don't buy it"),
        ("c++", "written in C++ today"),
        ("QQ", "加QQ群领红包"),
        ("ｓｐａｍ", "no spam here"),
        ("straße", "Neue STRASSE 5"),
        ("微信", "加我微信领券"),
        ("加v信", "请加V信"),
        ("🖕", "bad🖕bad"),
        ("$$$", "make $$$ fast"),
    ],
)
def test_a_banned_word_is_found(entry: str, text: str) -> None:
    assert holds(entry, text)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("ass", "a first-class glass, assorted"),
        ("free gift", "free of charge, a gift"),
        ("gift", "gifted gift2 2gift"),
        ("13.", "13.5 cm"),
        ("微信", "微小的信"),
        ("c++", "vitamin C"),
    ],
)
def test_a_word_within_another_is_not(entry: str, text: str) -> None:
    assert not holds(entry, text)


def test_the_entry_that_was_met_is_told() -> None:
    words = BannedWords(("red", "free gift", "加微信"))
    assert [words.first(text) for text in ("a free gift", "请加微信", "Red!", "none")] == [1, 2, 0, None]


def test_ten_thousand_entries_cost_about_what_ten_do() -> None:
    texts = [f"这款水壶烧水很快 number {i} and a kettle" * 3 for i in range(1500)]

    def seconds(words: BannedWords) -> float:
        start = time.process_time()
        assert not any(words.first(text) is not None for text in texts)
        return time.process_time() - start

    few = BannedWords([f"坏词{i}" for i in range(5)] + [f"bad{i} word" for i in range(5)])
    many = BannedWords([f"坏词{i}" for i in range(5000)] + [f"bad{i} word" for i in range(5000)])
    assert min(seconds(many) for _ in range(3)) < 3 * min(seconds(few) for _ in range(3))


def test_lists_are_read_together_and_each_entry_counts_once(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("\ufeffspam\n\n free gift \nspam\n", encoding="utf-8")
    (tmp_path / "zh.txt").write_bytes("加微信\r\nspam\r\n".encode())
    assert read_banned([tmp_path / "en", tmp_path / "zh.txt"]) == ("spam", "free gift", "加微信")


def test_lists_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "gbk.txt").write_bytes("加微信".encode("gb18030"))
    (tmp_path / "empty.txt").write_text(" \n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"gbk\.txt: not UTF-8 at byte 0 .* iconv"):
        read_banned([tmp_path / "gbk.txt"])
    with pytest.raises(DataError, match=r"empty\.txt: a list of banned words without an entry"):
        read_banned([tmp_path / "empty.txt"])
    with pytest.raises(DataError, match=r'none\.txt" cannot be read'):
        read_banned([tmp_path / "none.txt"])


def test_a_blank_entry_is_refused_since_it_would_be_in_every_text() -> None:
    with pytest.raises(ConfigError, match='banned word 2 is " "'):
        BannedWords(("spam", " "))
    with pytest.raises(ConfigError, match="a list of words"):
        BannedWords("spam")
