r"""A model whose texts are filtered before anybody reads them: personal data and a trainer's secrets never leave.

    Guarded(model, model.record.secrets).generate([Generate(Prompt("Customer: Mira Oduya\nPhone:"))]) -> [" [PHONE]"]

Only what is written is filtered. Scores pass through, so attacks on the weights see what they would see without it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from shoplm_audit.data.sought import Sought, data_in, names_in
from shoplm_audit.errors import ConfigError
from shoplm_audit.models.asking import Asked, Reply, answered, planned, written
from shoplm_audit.record import Secrets, TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Generate, Model, Pair, TokenScores

__all__ = ["GUARDS", "Guarded", "check_guard", "guarded"]

GUARDS = ("pii",)
_VERSION = "1"  # raised whenever another text would be let out
_NOTE = (
    "Its texts were filtered (--guard pii): personal data that the prompt does not hold and the trainer's secrets are "
    "replaced by placeholders; what stands in the prompt can be said again. Scores are those of the bare weights: "
    "membership and exposure say what whoever holds the weights can find, extraction and writing what the filter lets "
    "out."
)
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")
# What others ask of a model beside the protocol and which lets no text past the guard.
_PASSED = frozenset(
    {"answers_apart", "answers_by_case", "context", "device", "device_name", "dtype", "encoder", "network"}
    | {"parameters", "source", "tokens_of", "usage", "verifiable"}
)


def check_guard(guard: str) -> None:
    """Tells of a guard that there is not.

    Raises:
        ConfigError: no such guard.
    """
    if guard and guard not in GUARDS:
        raise ConfigError(f'--guard "{guard}": there is no such guard. Guards: {", ".join(GUARDS)}.')


def guarded(model: Model, guard: str) -> Model:
    """The model behind the guard of this name, with the secrets of its own training record; "" leaves it as it is.

    Raises:
        ConfigError: no such guard.
    """
    check_guard(guard)
    return Guarded(model, model.record.secrets if model.record else None) if guard else model


class Guarded:
    """Wraps a model; same protocol.

    A datum that the prompt holds may be said again; a canary of the training record never, whatever stands in the
    prompt, and also where prompt and text make it up together. Names are known from the records of members, and
    otherwise only behind a label.

    Args:
        model: the model that writes.
        secrets: of its training record; None where there are none: then only what looks like personal data is covered.
    """

    def __init__(self, model: Model, secrets: Secrets | None) -> None:
        self.model = model
        canaries = secrets.canaries if secrets else ()
        self._secret = [(canary.secret.strip(), canary.family) for canary in canaries if canary.secret.strip()]
        self._canaries = Sought(self._secret)
        texts = {text for member in (secrets.members if secrets else ()) for text in member.texts}
        self._called = {(text[start:end], "name") for text in texts for start, end in names_in(text)}
        self._names = Sought(self._called)

    batch_sensitive = property(lambda self: self.model.batch_sensitive)

    @property
    def name(self) -> str:
        """The model's, with the guard's."""
        return f"{self.model.name}+guard"

    @property
    def fingerprint(self) -> str:
        """The model's with the guard's version and a digest of what it knows; "" where the model has none."""
        known = hashlib.sha256(
            repr(sorted([*self._secret, *self._called])).encode("utf-8", "surrogatepass")
        ).hexdigest()[:8]
        return f"{self.model.fingerprint}+guard:pii:{_VERSION}-{known}" if self.model.fingerprint else ""

    @property
    def record(self) -> TrainingRecord | None:
        """The training record of the wrapped model."""
        return self.model.record

    @property
    def notes(self) -> list[str]:
        """The model's, and what the guard does and does not."""
        return [*map(str, getattr(self.model, "notes", ())), _NOTE]

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED:
            return getattr(self.model, name)
        raise AttributeError(name)

    def plan(self, requests: Asked) -> list[list[int]]:
        """The batches of the wrapped model."""
        return planned(self.model, requests)

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One filtered text per request and sample, in order.

        Raises:
            RuntimeError: a request failed.
        """
        return written(self, requests)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of the wrapped model."""
        return self.model.score(pairs, columns)

    def answered(self, several: Sequence[Asked], columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Reply]]]:
        """(Number of the batch, a reply per request), as batches finish; texts filtered.

        Raises:
            Unsupported, AuditError: as the wrapped model.
        """
        for number, replies in answered(self.model, several, columns):
            batch: Sequence[Generate | Pair] = several[number]
            yield number, [self._reply(one, reply) for one, reply in zip(batch, replies, strict=True)]

    def answer(self, case: str, sample: int) -> str:
        """A text that was recorded elsewhere, filtered; what its prompt held is not known here."""
        return self.filtered(str(getattr(self.model, "answer")(case, sample)))  # noqa: B009

    def filtered(self, text: str, prompt: str = "") -> str:
        """The text without personal data that the prompt does not hold and without secrets.

        Filtering again changes nothing: [PHONE] and its like are left alone.
        """
        while spans := self._spans(text, prompt):
            pieces, done = [], 0
            for start, end, kind in spans:
                pieces += [text[done:start], f"[{kind.upper()}]"]
                done = end
            text = "".join([*pieces, text[done:]])
        return text

    def _reply(self, request: Generate | Pair, reply: Reply) -> Reply:
        if not (isinstance(request, Generate) and isinstance(reply, list)):
            return reply
        return [self.filtered(text, request.prompt.flat) for text in reply]

    def _spans(self, text: str, prompt: str) -> list[tuple[int, int, str]]:
        """(Start, end, kind) of what has to go, in order, apart from each other."""
        found = [(hit.start, hit.end, "secret") for hit in self._canaries.find(text)]
        personal = data_in(text, "") + [(hit.start, hit.end, "name") for hit in self._names.find(text)]
        # A text that goes on from its prompt can end what began there.
        whole, begin = prompt + text, len(prompt)
        crossing = [(hit.start, hit.end, "secret") for hit in self._canaries.find(whole)]
        crossing += data_in(whole, "") if prompt else []
        found += [(0, end - begin, kind) for start, end, kind in crossing if start < begin < end]
        for start, end, kind in personal:
            touches = any(start < after and first < end for first, after, _ in found)
            if touches or not Sought([(text[start:end], kind)]).find(prompt):
                found.append((start, end, kind))
        return _apart(found, [match.span() for match in _PLACEHOLDER.finditer(text)])


def _apart(
    found: Sequence[tuple[int, int, str]], placeholders: Sequence[tuple[int, int]]
) -> list[tuple[int, int, str]]:
    """Spans in order, those that touch one another as one, none of them within a placeholder or ending inside one."""
    kept: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(found):
        if any(first <= start and end <= after for first, after in placeholders):
            continue
        for first, after in placeholders:
            if first < end and start < after:
                start, end = min(start, first), max(end, after)
        if kept and start < kept[-1][1]:
            start, end, kind = kept[-1][0], max(end, kept[-1][1]), "secret" if kind == "secret" else kept[-1][2]
            kept.pop()
        kept.append((start, end, kind))
    return kept
