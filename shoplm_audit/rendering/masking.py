"""What a report may show of a text: personal data and secrets covered, characters that hide or reorder made visible.

    mask("Order SO-48213907 went to mei.lin@example.com") -> "Order S•••••••••7 went to m•••••••••••••••••m"

A mask has the length of what it covers, so positions in a text (highlighted spans) stay true.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from shoplm_audit.data.personal import find_personal
from shoplm_audit.types import Case

__all__ = ["COVER", "mask", "mask_credentials", "secrets_of", "visible"]

COVER = "•"
_SHARED_RUN = 4  # characters of a secret that, found together in a text, are covered even when the rest is not there

_CREDENTIALS = (
    r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)",  # user:password@ of an address
    r"\b(?:sk|pk|ghp|gho|hf|xox[bp]|AKIA)[-_]?[A-Za-z0-9_-]{12,}",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",  # JSON web tokens
)
_STREETS = "Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Close|Way|Row|Hill|Place|Gardens|Court|Square|Terrace"
_PERSONAL = (
    r"[^\s@<>(),;:\"'，。；：]{1,64}@[^\s@<>(),;:\"'，。；：]{1,255}\.[A-Za-z]{2,24}",
    r"\b[A-Z]{2,5}[-‐–]?\d{6,}\b",  # order numbers
    r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",  # IBAN
    r"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d.])",  # cards
    r"(?<![0-9A-Za-z.])\d{7,}[Xx]?(?![0-9A-Za-z]|\.\d)",
    r"\+\d[\d ().-]{6,}\d",
    r"(?<![\d.-])\(?0?\d{2,4}\)?[ -]\d{3,4}[ -]\d{4}(?![\d-])",
    r"(?<![\d.-])\d{3}-\d{4}(?![\d-])(?!\s?(?:[kM]?Hz|mAh|[km]?W|K|mm|cm|m[lL]|k?g|V|rpm|lm)\b)",
    rf"\b\d{{1,5}} (?:[A-Z][\w'’]+ ){{1,3}}(?:{_STREETS})\b",
    r"[\u4e00-\u9fff]{1,6}?(?:路|街|大道|巷|弄)\s?\d{1,5}\s?[号弄](?:\s?\d{1,5}\s?[室号栋])*",
)
_CREDENTIAL = re.compile("|".join(_CREDENTIALS))
_MASKED = re.compile("|".join(_CREDENTIALS + _PERSONAL))
_DATE = re.compile(r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}")


def mask(text: str, secrets: Sequence[str] = ()) -> str:
    """The text with personal data, credentials and the given secrets covered, character for character.

    Args:
        text: any text.
        secrets: strings to cover wherever four or more of their characters stand together.

    >>> mask("Call 555-0142 about the 20000 mAh bank.")
    'Call 5••••••2 about the 20000 mAh bank.'
    """
    covered = _MASKED.sub(lambda found: found[0] if _DATE.fullmatch(found[0]) else _cover(found[0]), text)
    for found in find_personal(text, ""):  # what only check digits, numbering plans or the words around it tell
        hidden = covered[: found.start] + _cover(text[found.start : found.end]) + covered[found.end :]
        covered = "".join(COVER if COVER in pair else pair[0] for pair in zip(covered, hidden, strict=True))
    return _cover_runs(text, covered, secrets) if secrets else covered


def mask_credentials(text: str) -> str:
    """The text with passwords and keys covered, and all else as it is (commands, environments)."""
    return _CREDENTIAL.sub(lambda found: _cover(found[0]), text)


def secrets_of(case: Case) -> list[str]:
    """What a privacy case must not show: its reference and facts, as far as its prompt does not say them itself."""
    prompt = case.prompt.flat
    kept = [value for name, value in case.facts.items() if name != "prefix"]  # what the model is asked
    facts = [item for value in kept for item in (value if isinstance(value, list | tuple) else [value])]
    named = [text for text in [case.reference, *facts] if isinstance(text, str)]
    return [text for text in named if len(text) >= _SHARED_RUN and text not in prompt]


def visible(text: str) -> str:
    """The text with controls, bidi overrides and lone surrogates spelled out, as in "a[U+202E]b"."""
    return "".join(character if shows(character) else f"[{code_point(character)}]" for character in text)


def shows(character: str) -> bool:
    """Whether a character is drawn as itself; a line break, a tab and the joiner inside emoji count as drawn."""
    if character in "\n\t\u200d" or character.isalnum():
        return True
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return False
    return ord(character) & 0xFFFE != 0xFFFE  # the two noncharacters at the end of each plane, illegal in XML


def code_point(character: str) -> str:
    """The name of a character by number: "U+202E"."""
    return f"U+{ord(character):04X}"


def _cover(run: str) -> str:
    return run[0] + COVER * (len(run) - 2) + run[-1] if len(run) > _SHARED_RUN else COVER * len(run)


def _cover_runs(text: str, covered: str, secrets: Sequence[str]) -> str:
    pieces = {secret[i : i + _SHARED_RUN] for secret in secrets for i in range(len(secret) - _SHARED_RUN + 1)}
    hidden = [False] * len(text)
    for i in range(len(text) - _SHARED_RUN + 1):
        if text[i : i + _SHARED_RUN] in pieces:
            hidden[i : i + _SHARED_RUN] = [True] * _SHARED_RUN
    out = list(covered)
    for run in re.finditer("1+", "".join("1" if hide else "0" for hide in hidden)):
        out[run.start() : run.end()] = _cover(text[run.start() : run.end()])
    return "".join(out)
