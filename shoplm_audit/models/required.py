"""What a text has to state: looked for as it is written, and written for the model where it would stay out.

    stated("It weighs 12 kg.", ["2 kg", "12 KG"]) -> ["12 KG"]

A model that ends its text, or whose room runs out, before all of it is stated gets the missing words put behind its
last sentence, as the prompt shows them ("Weight: 1.2 kg."). Until then it writes as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from shoplm_audit.data.cells import language_of
from shoplm_audit.models.decoding import before_stop, folded, holding
from shoplm_audit.types import Sampling

__all__ = ["Requirement", "required_of", "stated"]

# With less room than this for a further sentence, in tokens, the one that has just ended is the model's last.
_SENTENCE = 32
# Tokens that joining words may take more than they take alone.
_JOINT = 4
_LONGEST_LABEL = 40
_ENDED = re.compile(r"[.!?。！？…][\"'”’）)]*\s*$")
_OPEN = re.compile(r"[\s,，、;；:：]+$")


def stated(text: str, phrases: Sequence[str]) -> list[str]:
    """The phrases that a text states, in whatever letter case and form, but as words of their own.

    "12 kg" does not state "2 kg". Han characters have no borders: "深红色" states "红色".
    """
    plain = folded(text)
    return [phrase for phrase in phrases if _bordered(folded(phrase).strip()).search(plain)]


def required_of(attributes: Mapping[str, object]) -> tuple[str, ...]:
    """What a text of a product has to state: the values of its attributes as the shop writes them, none of them blank.

    >>> required_of({"colour": "navy", "trim": "navy ", "note": "-", "weight": "1.2 kg"})
    ('navy', '1.2 kg')
    """
    values = (str(value).strip() for value in attributes.values())
    return tuple(dict.fromkeys(value for value in values if any(map(str.isalnum, value))))


def _bordered(phrase: str) -> re.Pattern[str]:
    before = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", phrase) else ""
    before += r"(?<![0-9][.,])" if phrase[:1].isdigit() else ""
    after = r"(?![a-z0-9])" if re.search(r"[a-z0-9]$", phrase) else ""
    after += r"(?![.,][0-9])" if phrase[-1:].isdigit() else ""
    return re.compile(f"{before}{re.escape(phrase)}{after}")


class Requirement:
    """What one text still has to state, and the tokens that state it for the model.

    Args:
        prompt: what stands before the text; lines such as "Weight: 1.2 kg" are how a missing value is written.
        sampling: the request's.
        limit: how many tokens the text may have.
        decoded: from token ids to their text.
        encoded: from a text to its tokens.
    """

    def __init__(
        self,
        prompt: str,
        sampling: Sampling,
        limit: int,
        decoded: Callable[[Sequence[int]], str],
        encoded: Callable[[str], Sequence[int]],
    ) -> None:
        self._sampling, self._limit = sampling, limit
        self._decoded, self._encoded = decoded, encoded
        self._before = prompt[-2 * max(map(len, sampling.banned), default=0) :] if sampling.banned else ""
        self._han = language_of(prompt or " ".join(sampling.required)) == "zh"
        self._shown = {phrase: _shown(prompt, phrase) for phrase in sampling.required}
        self._wanted: list[str] = []
        room = limit
        # What cannot be written at all, or not within the limit, does not keep the rest from being written.
        for phrase in dict.fromkeys(sampling.required):
            if (ids := self._tokens([], phrase, [phrase])) and len(ids) + 2 <= room:
                self._wanted.append(phrase)
                room -= len(ids) + 2  # with a comma and a space
        self._lengths: dict[tuple[str, ...], int] = {}
        self._due: list[int] | None = None

    @property
    def due(self) -> bool:
        """Whether the tokens that state what was missing are being written."""
        return self._due is not None

    def instead(self, written: Sequence[int], token: int | None, *, ends: bool) -> int | None:
        """The token that is written where the model chose this one; None ends the text.

        Args:
            written: the tokens of the text so far.
            token: the model's choice; None for its wish to end.
            ends: whether the text ends with this choice, by a stop or by that wish.
        """
        if self._due is None:
            text = self._text(written)
            # What stands at the very end can still become something else: "$4" in "$49".
            unsure = self._missing(f"{text}0")
            if not unsure or not (ends or self._last_chance(text, written, token, unsure)):
                return token
            missing = self._missing(text)
            due = self._phrase(written, text, missing)
            if (ends and not missing) or (not ends and missing and not due):
                self._wanted = []
                return token
            self._due = list(due)[::-1]
        return self._due.pop() if self._due else None

    def _missing(self, text: str) -> list[str]:
        found = stated(text, self._wanted)
        return [phrase for phrase in self._wanted if phrase not in found]

    def _text(self, written: Sequence[int]) -> str:
        return before_stop(self._decoded(written), self._sampling.stop)

    def _last_chance(self, text: str, written: Sequence[int], token: int | None, missing: Sequence[str]) -> bool:
        """Whether what is missing has to be written now: at the end of the last sentence that has room, or anywhere."""
        room, shown = self._limit - len(written), self._length([self._shown[phrase] for phrase in missing])
        needed = shown if 2 * shown <= self._limit else self._length(missing)
        # A Chinese character of several tokens is not broken off.
        if room <= needed + (0 if text.endswith("\ufffd") else _JOINT):
            return True
        if room > shown + _SENTENCE or token is None or not _ENDED.search(text):
            return False
        # The point of "1.2" ends no sentence.
        return not self._decoded([*written, token])[len(text) :][:1].isalnum()

    def _length(self, forms: Sequence[str]) -> int:
        """The most tokens that some phrases can take."""
        key = tuple(forms)
        if key not in self._lengths:
            self._lengths[key] = sum(len(self._encoded(form)) + _JOINT for form in forms)
        return self._lengths[key]

    def _phrase(self, written: Sequence[int], text: str, missing: Sequence[str]) -> Sequence[int]:
        """The tokens that state what is missing as the prompt shows it, else bare; fewer where not all fits."""
        room = self._limit - len(written)
        for count in range(len(missing), 0, -1):
            wanted = missing[:count]
            for forms in ([self._shown[one] for one in wanted], wanted):
                ids = self._tokens(written, self._joined(text, forms), wanted)
                if ids and len(ids) <= room:
                    return ids
        return ()

    def _joined(self, text: str, forms: Sequence[str]) -> str:
        """What is put behind a text: a sentence of its own where the last one has ended, else a part of it."""
        comma, stop, space = ("；", "。", "") if self._han else ("; ", ".", " ")
        body = comma.join(forms)
        if not text.strip():
            return f"{space}{_capital(body)}{stop}"
        if _ENDED.search(text):
            return f"{'' if text[-1:].isspace() else space}{_capital(body)}{stop}"
        return f"{'' if _OPEN.search(text) else comma.rstrip() + space}{body}{stop}"

    def _tokens(self, written: Sequence[int], phrase: str, wanted: Sequence[str]) -> Sequence[int]:
        """Tokens after which the text states what is wanted and holds nothing banned; none where there are none."""
        # What a tokenizer makes of a phrase depends on what stands before it.
        ahead = self._decoded(written)[-1:] if written else ""
        head, both = list(self._encoded(ahead)), list(self._encoded(ahead + phrase))
        ways = [both[len(head) :]] if both[: len(head)] == head else []
        for ids in [*ways, list(self._encoded(phrase))]:
            text = self._text([*written, *ids])
            kept = text.startswith(self._text(written)) and len(stated(text, wanted)) == len(wanted)
            if kept and not holding(text, self._sampling.banned, self._before):
                return ids
        return ()


def _shown(prompt: str, phrase: str) -> str:
    """The line of a prompt that ends with a phrase behind its label, or the phrase."""
    for line in (line.strip(" \t-*•") for line in prompt.splitlines()):
        label, mark, value = line.partition(": ") if ": " in line else line.partition("：")
        if mark and value.strip() == phrase.strip() and 0 < len(label) <= _LONGEST_LABEL:
            return line
    return phrase


def _capital(text: str) -> str:
    word = text.split(maxsplit=1)[0]
    return text[:1].upper() + text[1:] if word.islower() else text
