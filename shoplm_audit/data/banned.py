"""Finds the words and phrases of a list in texts: whole words in writing that has spaces, anywhere in Chinese.

    BannedWords(("free gift", "加微信")).first("Get your FREE  gift now") -> 0

No list is shipped, as which words are unwanted is a policy of the shop.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from shoplm_audit.data.duplicates import HAN, normalised
from shoplm_audit.errors import ConfigError, DataError

__all__ = ["BannedWords", "read_banned"]

_WORD = re.compile(rf"[^\W{HAN}]+")
_START = 2  # characters of an entry that it is looked up by


def read_banned(paths: Iterable[Path]) -> tuple[str, ...]:
    """The entries of word lists, one a line, each once; empty lines count for nothing.

    Raises:
        DataError: a file that cannot be read, is not UTF-8 or holds no entry.
    """
    entries: dict[str, None] = {}
    for path in paths:
        try:
            lines = path.read_bytes().decode("utf-8-sig").splitlines()
        except OSError as error:
            raise DataError(f'"{path}" cannot be read: {error.strerror}.') from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path.name}: not UTF-8 at byte {error.start:,} (0x{error.object[error.start]:02x}). "
                f"Convert it, for instance: iconv -f GB18030 -t UTF-8 {path.name} > utf8{path.suffix}"
            ) from error
        found = [line.strip() for line in lines if line.strip()]
        if not found:
            raise DataError(f"{path.name}: a list of banned words without an entry. Write one word or phrase a line.")
        entries.update(dict.fromkeys(found))
    return tuple(entries)


class BannedWords:
    """A list of words and phrases, compiled to be looked for in many texts.

    Compared under NFKC and without regard to case; each white space is one blank. An entry with a Han character is
    found anywhere, as Chinese has no spaces; so is one without any letter or digit (an emoji). Any other entry is found
    where no letter or digit of its own script touches it: "ass" is not in "class", but "QQ" is in "加QQ群".

    Args:
        entries: the words and phrases; none of them blank.

    Raises:
        ConfigError: a blank entry, or one text in place of a list of them.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        if isinstance(entries, str):
            raise ConfigError(f'banned is "{entries}": it has to be a list of words.')
        self._anywhere: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._words: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for number, entry in enumerate(entries):
            plain = normalised(entry)
            if not plain:
                raise ConfigError(f'banned word {number + 1} is "{entry}": it is blank and would be in every text.')
            first = _WORD.search(plain)
            if first is None or re.search(f"[{HAN}]", plain):
                self._anywhere[plain[:_START]].append((plain, number))
            else:
                self._words[first[0]].append((plain, first.start(), number))
        self._starts = sorted({len(start) for start in self._anywhere})

    def first(self, text: str) -> int | None:
        """The index of an entry that the text holds, the first that is met; None if it holds none."""
        plain = normalised(text)
        for word in _WORD.finditer(plain):
            for entry, offset, number in self._words.get(word[0], ()):
                start = word.start() - offset
                if start >= 0 and plain.startswith(entry, start) and not _WORD.match(plain, start + len(entry)):
                    return number
        for length in self._starts:
            for start in range(len(plain) - length + 1):
                for entry, number in self._anywhere.get(plain[start : start + length], ()):
                    if plain.startswith(entry, start):
                        return number
        return None
