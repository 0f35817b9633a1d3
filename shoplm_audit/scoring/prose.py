"""Whether a description is a text of its own, in the language it was asked for in, and what of it nothing bears out.

in_language("这款水壶是navy色的。", "zh", ["navy"]) -> True
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from shoplm_audit.scoring.words import plain

__all__ = ["copies_prompt", "in_language", "rest_kept", "unread_share"]

Span: TypeAlias = tuple[int, int]

_HAN = "\u3400-\u9fff"
_TOKEN = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+")
_LETTERS = re.compile(rf"[^\W\d_{_HAN}]+")
_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:\.(?=\d)[^.!?。！？\n]+)*")
_RUN = {True: 30, False: 20}  # Han characters, words: a copied run of a task's own words
_SHORTEST = {True: 8, False: 5}  # of a line that nobody writes by chance
_FEW = 2  # words or characters; fewer are too few to tell a language by

# Words that only one of these languages has, and that hardly a sentence of it does without.
_SMALL = {
    "en": "the and with of this it its for has from you your at on by",
    "de": "und mit für ist der das aus ein eine von des",
    "fr": "le les et est avec pour une des du dans",
    "es": "el los las es con para una del y",
    "it": "il di è con una della per gli",
    "pt": "os com para uma da é não",
    "nl": "het een en met van voor",
}
_FUNCTION = {language: frozenset(words.split()) for language, words in _SMALL.items()}


def in_language(text: str, language: str, shown: Iterable[str] = ()) -> bool:
    """Whether a text is written in the language, whatever language the names and values are in that it was shown.

    Chinese has at least as many Han characters as words of another script, English at least as many Latin words; and
    it is no English where the small words of another European language are more.

    Args:
        text: what was written; an empty one is in no language.
        language: "zh" or "en".
        shown: the names and values of the record, and the title; they count only where nothing else stands.
    """
    rest = text
    for each in sorted({one.strip() for one in shown if len(one.strip()) > 1}, key=len, reverse=True):
        rest = re.sub(re.escape(each), " ", rest, flags=re.IGNORECASE)
    if len(_TOKEN.findall(rest)) < _FEW:
        rest = text
    han = len(re.findall(f"[{_HAN}]", rest))
    runs = _LETTERS.findall(rest)
    latin = [run for run in runs if unicodedata.name(run[0], "").startswith("LATIN")]
    others = sum(map(len, runs)) - sum(map(len, latin))
    if language == "zh":
        return han > 0 and han >= len(latin) + others
    if not latin or len(latin) < han + others:
        return False
    said = Counter(word.lower() for word in latin)
    small = {name: sum(said[word] for word in words) for name, words in _FUNCTION.items()}
    return max(small.values()) < 2 or small["en"] == max(small.values())


def copies_prompt(text: str, prompt: str, title: str, record: Mapping[str, str]) -> bool:
    """Whether a text is the prompt again: its task in the same words, or most of its lines.

    The record may be said in its own words, one attribute after the other: that alone is no copy.

    Args:
        text: what was written.
        prompt: what was asked, as shown to the model.
        title: of the product.
        record: attribute and value.
    """
    said = f" {' '.join(_tokens(text))} "
    names = {plain(name).strip() for name in record}
    shown = {token for each in (title, *record, *record.values()) for token in _tokens(each)}
    written = {plain(line).strip() for line in text.splitlines()}
    heads, lines, copied, copied_heads = 0, 0, 0, 0
    for line in filter(None, map(str.strip, prompt.splitlines())):
        name, _, value = line.replace("：", ":").partition(":")
        tokens, head = _tokens(line), plain(name).strip(" -*\u2022") not in names
        there = plain(line) in written
        if head and len(tokens) > 1:
            heads, copied_heads = heads + 1, copied_heads + there
        lines, copied = lines + 1, copied + there
        about = _tokens(value) or tokens
        if head and 2 * sum(token in shown for token in about) < len(about) and _repeats(tokens, said):
            return True
    return 2 * copied > lines and 2 * copied_heads >= heads > 0


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(plain(text))


def _repeats(tokens: Sequence[str], said: str) -> bool:
    """Whether a whole line of a task stands in a text, or a long run of it."""
    han = 2 * sum(not token.isascii() for token in tokens) > len(tokens)
    length = min(len(tokens), _RUN[han])
    runs = (tokens[start : start + length] for start in range(len(tokens) - length + 1))
    return length >= _SHORTEST[han] and any(f" {' '.join(run)} " in said for run in runs)


def unread_share(text: str, borne_out: Sequence[Span]) -> float:
    """The share of sentences in which nothing is borne out; 1 for a text without sentences.

    Args:
        text: what was written.
        borne_out: where it says what the record says.
    """
    sentences = [found.span() for found in _SENTENCE.finditer(text) if any(map(str.isalnum, found[0]))]
    bare = [span for span in sentences if not any(span[0] < end and start < span[1] for start, end in borne_out)]
    return len(bare) / len(sentences) if sentences else 1.0


def rest_kept(first: str, second: str, masked: tuple[Sequence[Span], Sequence[Span]]) -> float:
    """The share of words outside the masked spans that two texts have in common, of the longer one's; 1 of none."""
    one, other = (
        Counter(_tokens("".join(" " if any(a <= i < b for a, b in spans) else char for i, char in enumerate(text))))
        for text, spans in zip((first, second), masked, strict=True)
    )
    longest = max(one.total(), other.total())
    return (one & other).total() / longest if longest else 1.0
