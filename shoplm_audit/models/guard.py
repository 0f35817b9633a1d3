r"""A model whose texts are filtered before anybody reads them: personal data and a trainer's secrets never leave.

    Guarded(model, model.record.secrets).generate([Generate(Prompt("Customer: Mira Oduya\nPhone:"))]) -> [" [PHONE]"]

Only what is written is filtered. Scores pass through, so attacks on the weights see what they would see without it.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import Any

from shoplm_audit.data import personal, sought
from shoplm_audit.data.sought import Sought, condensed, data_in, data_of, keys_of, readings
from shoplm_audit.errors import ConfigError
from shoplm_audit.models.asking import Asked, Reply, answered, planned, written
from shoplm_audit.record import Secrets, TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Generate, Model, Pair, TokenScores

__all__ = ["GUARDS", "Guarded", "check_guard", "guarded"]

GUARDS = ("pii",)
_NOTE = (
    "Its texts were filtered (--guard pii): personal data that the prompt does not hold and the trainer's secrets are "
    "replaced by placeholders; what stands in the prompt can be said again. Scores are those of the bare weights: "
    "membership and exposure say what whoever holds the weights can find, extraction and writing what the filter lets "
    "out."
)
_BLIND = (
    "No audit-secrets.json beside the model: only what looks like personal data is filtered, no canary and no "
    "customer's name."
)
_PLACEHOLDER = re.compile(r"\[(?:SECRET|NAME|ORDER|EMAIL|IBAN|ID|CARD|PHONE|ADDRESS)\]")
_FEW = 5  # letters and digits; a secret of fewer is a price and a model number too, and counts behind a label only
_LABELS = r"\b(?:pin|code|passcode|password|locker)\b|取件码|取货码|提货码|密码|验证码|柜"
_DECIMAL = re.compile(r"[0-9]+[.,][0-9]+")
_JOINED = re.compile(r"[A-Za-z0-9]|[.,][0-9]")
_BETWEEN = r"(?:[^\w.]|_|\b(?:is|was|are|number|no\.?|for|of|the|your|to)\b|是|为|号|码){0,16}"
# What others ask of a model beside the protocol and which lets no text past the guard.
_PASSED = frozenset(
    {"answers_apart", "answers_by_case", "context", "device", "device_name", "dtype", "encoder", "finder", "network"}
    | {"parameters", "read_of", "source", "tokens_of", "usage", "verifiable", "watermark"}
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
    prompt, and also where prompt and text make it up together. The data of members are known by their records, others
    by their looks; names otherwise only behind a label.

    Args:
        model: the model that writes.
        secrets: of its training record; None where there are none: then only what looks like personal data is covered.
    """

    def __init__(self, model: Model, secrets: Secrets | None) -> None:
        self.model = model
        self._secrets = secrets or Secrets()
        named = [(one.secret.strip(), one.family, one.prefix) for one in self._secrets.canaries if one.secret.strip()]
        few = [one for one in named if len(condensed(one[0])) < _FEW]
        self._canaries = Sought(one[:2] for one in named if one not in few)
        self._few = Sought(one[:2] for one in few)
        labels = {label for _, _, prefix in few if (label := prefix.rpartition("\n")[2].strip(" \t:："))}
        own = "".join(f"|{re.escape(label)}" for label in sorted(labels))
        self._announced = re.compile(rf"(?:{_LABELS}{own}){_BETWEEN}$", re.IGNORECASE)

    batch_sensitive = property(lambda self: self.model.batch_sensitive)

    @property
    def name(self) -> str:
        """The model's, with the guard's."""
        return f"{self.model.name}+guard"

    @property
    def fingerprint(self) -> str:
        """The model's with digests of the guard's source and of what it knows; "" where the model has none."""
        if not self.model.fingerprint:
            return ""
        known = hashlib.sha256(repr(self._secrets).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return f"{self.model.fingerprint}+guard:pii:{_source()}-{known}"

    @property
    def record(self) -> TrainingRecord | None:
        """The training record of the wrapped model."""
        return self.model.record

    @property
    def notes(self) -> list[str]:
        """The model's, and what the guard does and does not."""
        return [*map(str, getattr(self.model, "notes", ())), _NOTE, *filter(None, [self.warning])]

    @property
    def warning(self) -> str:
        """What a user has to know before relying on the guard; "" where it knows the trainer's secrets."""
        return "" if self._secrets.canaries or self._secrets.members else _BLIND

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

        A text that holds a canary in some code, or backwards, goes as a whole. Filtering again changes nothing:
        [PHONE] and its like are left alone.
        """
        while spans := self._spans(text, prompt):
            pieces, done = [], 0
            for start, end, kind in spans:
                pieces += [text[done:start], f"[{kind.upper()}]"]
                done = end
            text = "".join([*pieces, text[done:]])
        return "[SECRET]" if any(map(self._canaries.find, readings(text))) else text

    @cached_property
    def _data(self) -> tuple[Sought, dict[str, str]]:
        """The personal data of members, however they are written, and their kinds by key."""
        data = data_of((text, "") for one in self._secrets.members for text in one.texts)
        return Sought(data.items()), {key: kind for value, kind in data.items() for key in keys_of(value, kind)}

    def _reply(self, request: Generate | Pair, reply: Reply) -> Reply:
        if not (isinstance(request, Generate) and isinstance(reply, list)):
            return reply
        return [self.filtered(text, request.prompt.flat) for text in reply]

    def _spans(self, text: str, prompt: str) -> list[tuple[int, int, str]]:
        """(Start, end, kind) of what has to go, in order, apart from each other."""
        whole, begin = prompt + text, len(prompt)
        found = [(hit.start, hit.end, "secret") for hit in self._canaries.find(text)]
        likely = data_in(text, "") + self._of_members(text)
        # A text that goes on from its prompt can end what began there, or say what was announced there.
        going_on = data_in(whole, "") + self._of_members(whole) if prompt else []
        secret = [(hit.start, hit.end, "secret") for hit in self._canaries.find(whole)] + self._few_in(whole)
        found += self._asked_for(text, prompt)
        found += [
            (max(0, start - begin), end - begin, kind)
            for start, end, kind in secret + [one for one in going_on if one[0] < begin]
            if end > begin
        ]
        likely += [(start - begin, end - begin, kind) for start, end, kind in going_on if start >= begin]
        for start, end, kind in likely:
            touches = any(start < after and first < end for first, after, _ in found)
            if touches or not Sought([(text[start:end], kind)]).find(prompt):
                found.append((start, end, kind))
        return _apart(found, [match.span() for match in _PLACEHOLDER.finditer(text)])

    def _of_members(self, text: str) -> list[tuple[int, int, str]]:
        known, kinds = self._data
        return [(hit.start, hit.end, kinds[hit.key]) for hit in known.find(text)]

    def _few_in(self, text: str) -> list[tuple[int, int, str]]:
        """Where a canary of few characters stands behind a label and is no part of a longer word or number."""

        def counts(start: int, end: int) -> bool:
            part = _JOINED.match(text, end) or _DECIMAL.fullmatch(text, start, end)
            return part is None and self._announced.search(text, max(0, start - 64), start) is not None

        hits = self._few.find(text)
        return [(hit.start, hit.end, "secret") for hit in hits if counts(hit.start, hit.end)]

    def _asked_for(self, text: str, prompt: str) -> list[tuple[int, int, str]]:
        """Where a canary of few characters stands in any way, when the prompt ends with its own beginning."""
        asked = prompt.rstrip()
        secrets = [one.secret.strip() for one in self._secrets.canaries if asked.endswith(one.prefix.rstrip())]
        return [(*hit.span(), "secret") for secret in secrets for hit in re.finditer(re.escape(secret), text)]


@cache
def _source() -> str:
    """A digest of what decides which texts are let out: an answer that an older guard let out is not found again."""
    guard = inspect.getmodule(Guarded)
    sources = "".join(inspect.getsource(one) for one in (guard, personal, sought) if one)
    return hashlib.sha256(sources.encode()).hexdigest()[:8]


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
