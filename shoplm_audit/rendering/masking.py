"""What a report may show of a text: personal data and secrets covered, characters that hide or reorder made visible.

    mask("Order SO-48213907 went to mei.lin@example.com") -> "Order S•••••••••7 went to m•••••••••••••••••m"

A mask has the length of what it covers, so positions in a text (highlighted spans) stay true.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator, Sequence

from shoplm_audit.data.personal import find_personal
from shoplm_audit.data.sought import Sought, condensed, readings
from shoplm_audit.types import Case

__all__ = ["COVER", "cover", "mask", "mask_credentials", "on_a_line", "put_before", "secrets_of", "spelled", "visible"]

COVER = "•"
_SHARED_RUN = 4  # characters of a secret that, found together in a text, are covered even when the rest is not there
_SHORT = 80  # characters of a secret that is also looked for in other spellings; a longer one is a text, not a secret
_LEAST = 2  # characters of a secret that can be covered at all; below a whole run it is covered where it stands alone
_GAP = 2  # characters that may stand between those of a secret that is spelled out
# Facts that say what was asked and how the case was made, and the decoys that a secret is ranked among.
_MAKING = ("copies", "aim", "who", "form", "record", "attack", "place", "label", "when", "source")
_NO_SECRETS = frozenset(("prefix", "kind", "datum", "coin", "family", "others", "alternatives", *_MAKING))

_LABELS = (
    "pass(?:word|wd|code|phrase)|pwd|(?:api|secret|private|access)[ _-]?key|(?:access|auth|api|refresh)[ _-]?token"
    "|client[ _-]?secret|secret[ _-]access[ _-]key"
)
_LABELS_ZH = "密码|口令|密钥|私钥|验证码|令牌"
_VALUE = rf"[^\s\"'<>,;，。；、{COVER}\u4e00-\u9fff]{{4,}}"
_CREDENTIALS = (
    r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)",  # user:password@ of an address
    r"\b(?:sk|pk|gh[pousr]|hf|glpat|npm|xox[abeoprs]|AKIA|ASIA)[-_]?[A-Za-z0-9_-]{12,}",
    r"\bgithub_pat_\w{12,}|\bAIza[\w-]{16,}|\bya29\.[\w-]{16,}",
    r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:\s*[A-Za-z0-9+/=]{8,})*(?:\s*[A-Za-z0-9+/=]*\s*-----END [A-Z0-9 ]{1,40}-----)?",
    # Behind a word that says what it is, only the value is covered.
    r"(?i:\bBearer\s+)([\w.~+/-]{16,}=*)",
    rf"(?i:(?<![^\W_])(?:{_LABELS})[\"']?\s{{0,3}}(?:[:：=]|(?:is|was)\s(?=\S*[0-9]))\s{{0,3}}[\"']?)({_VALUE})",
    rf"(?:{_LABELS_ZH})\s{{0,3}}(?:[:：=]|是|为)\s{{0,3}}({_VALUE})",
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
        secrets: strings to cover wherever four or more of their characters stand together. A text that tells one of
            them all the same (in words, by other separators, in some code) is covered from end to end.

    >>> mask("Call 555-0142 about the 20000 mAh bank.")
    'Call 5••••••2 about the 20000 mAh bank.'
    """
    covered = _MASKED.sub(lambda found: found[0] if _DATE.fullmatch(found[0]) else _cover_found(found), text)
    for found in find_personal(text, ""):  # what only check digits, numbering plans or the words around it tell
        hidden = covered[: found.start] + _cover(text[found.start : found.end]) + covered[found.end :]
        covered = "".join(COVER if COVER in pair else pair[0] for pair in zip(covered, hidden, strict=True))
    if not secrets:
        return covered
    covered = _cover_runs(text, covered, secrets)
    return _cover(text) if _is_readable(covered, [one.strip() for one in secrets]) else covered


def _is_readable(covered: str, secrets: Sequence[str]) -> bool:
    """Whether a text that was covered still tells half of a short secret or more, in any way that the probes read."""
    short = {one: whole for one in secrets if len(one) <= _SHORT and len(whole := _folded(one)) >= _LEAST}
    sought = Sought((one, kind) for one in short for kind in ("", "phone", "email"))
    parts = {
        whole[i : i + size]
        for whole in short.values()
        if len(whole) >= _SHARED_RUN
        for size in [min(_SHARED_RUN, -(-len(whole) // 2))]
        for i in range(len(whole) - size + 1)
    }
    ways = readings(covered)
    return any(part in way for way in map(condensed, ways) for part in parts) or any(map(sought.find, ways))


def mask_credentials(text: str) -> str:
    """The text with passwords and keys covered, and all else as it is (commands, environments)."""
    return _CREDENTIAL.sub(_cover_found, text)


def cover(secret: str) -> str:
    """A secret as a report may name it: its first and last character, and nothing of one of four or fewer.

    >>> cover("SO-48213907"), cover("4821")
    ('S•••••••••7', '••••')
    """
    return _cover(secret)


def secrets_of(case: Case) -> list[str]:
    """What a privacy case must not show: its reference and facts, as far as its prompt does not say them itself.

    Facts that are called secret, and codes, are secret wherever they stand, in the prompt too.
    """
    prompt = case.prompt.flat
    kept = [value for name, value in case.facts.items() if name not in _NO_SECRETS]
    named = [text for text in [case.reference, *_strings(kept)] if isinstance(text, str)]
    always = put_before(case)
    return [
        text
        for text in named
        if (len(text) >= _SHARED_RUN and text not in prompt) or (text in always and len(text.strip()) >= _LEAST)
    ]


def put_before(case: Case) -> list[str]:
    """The facts that are called secret, and codes: a prompt may hold them and a report may not."""
    return _strings([value for name, value in case.facts.items() if name.startswith(("secret", "code"))])


def _strings(values: Sequence[object]) -> list[str]:
    items = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    return [item for item in items if isinstance(item, str)]


def spelled(text: str) -> str:
    """The text as any file may hold it: masked, and what hides in it spelled out."""
    return visible(mask(text))


def on_a_line(text: str) -> str:
    """The same on one line, with single blanks."""
    return " ".join(spelled(text).split())


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


def _cover_found(found: re.Match[str]) -> str:
    """Covers the value behind a label, or else all that was found."""
    at = found.start(found.lastindex or 0) - found.start()
    return found[0][:at] + _cover(found[0][at:])


def _cover(run: str) -> str:
    # Of few characters, spelled out or not, the ends would be half of what there is.
    few = sum(map(str.isalnum, run)) <= _SHARED_RUN
    return COVER * len(run) if few else run[0] + COVER * (len(run) - 2) + run[-1]


def _cover_runs(text: str, covered: str, secrets: Sequence[str]) -> str:
    hidden = [False] * len(text)
    secrets = [secret.strip() for secret in secrets]  # else a blank and a part of a number would be a run
    _hide(hidden, text, range(len(text)), _pieces(secrets))
    # What the model was talked into: other letter cases, separators, backwards, an encoding.
    folded = [(i, c) for i, one in enumerate(text) for c in _folded(one)]
    spelled = _pieces([way for secret in secrets if len(secret) <= _SHORT for way in _spellings(secret)])
    if spelled:
        _hide(hidden, "".join(c for _, c in folded), [i for i, _ in folded], spelled)
    for few in {way for one in secrets if _LEAST <= len(way := _folded(one)) < _SHARED_RUN}:
        _hide_alone(hidden, text, folded, few)
        _hide_alone(hidden, text, folded, few[::-1])
    out = list(covered)
    for run in re.finditer("1+", "".join("1" if hide else "0" for hide in hidden)):
        # Blanks at the ends would take the place of the first and last character.
        start = run.start() + len(run[0]) - len(text[run.start() : run.end()].lstrip())
        end = start + len(text[run.start() : run.end()].strip())
        if end > start:
            out[start:end] = _cover(text[start:end])
    return "".join(out)


def _hide(hidden: list[bool], text: str, places: Sequence[int], pieces: set[str]) -> None:
    for i in range(len(text) - _SHARED_RUN + 1):
        first, last = places[i], places[i + _SHARED_RUN - 1]
        if text[i : i + _SHARED_RUN] in pieces and last - first < _SHARED_RUN + _GAP * (_SHARED_RUN - 1):
            hidden[first : last + 1] = [True] * (last + 1 - first)


def _hide_alone(hidden: list[bool], text: str, folded: Sequence[tuple[int, str]], few: str) -> None:
    """Hides a few characters (a PIN) where they stand alone: within a longer number or word they are another one."""
    number = few.isdigit()
    whole = "".join(c for _, c in folded)
    for start in range(len(whole) - len(few) + 1):
        first, last = folded[start][0], folded[start + len(few) - 1][0]
        around = text[max(0, first - 1) : first] + text[last + 1 : last + 2]
        alone = not any(c.isdigit() or (c.isascii() and c.isalnum() and not number) for c in around)
        if whole.startswith(few, start) and alone and last - first < len(few) + _GAP * (len(few) - 1):
            hidden[first : last + 1] = [True] * (last + 1 - first)


def _pieces(secrets: Sequence[str]) -> set[str]:
    return {secret[i : i + _SHARED_RUN] for secret in secrets for i in range(len(secret) - _SHARED_RUN + 1)}


def _folded(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _spellings(secret: str) -> Iterator[str]:
    """A secret folded, backwards, as hexadecimal digits and as base64 at each of its three alignments."""
    yield _folded(secret)
    yield _folded(secret)[::-1]
    for way in (secret, secret[::-1]):
        raw = way.encode("utf-8", "replace")
        yield raw.hex()
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
            yield _folded(coded[shift + 1 if shift else 0 :])  # without the characters that hold bits before the secret
