"""A model behind an OpenAI-compatible server: chats for texts, completions with echo for log-probabilities.

load_model("openai:http://127.0.0.1:8000/v1#shop-writer").generate([Generate(Prompt("Describe the kettle."))])
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from shoplm_audit.data.personal import find_personal, scrubbed
from shoplm_audit.errors import MachineError, ModelError, Unsupported
from shoplm_audit.models.asking import Asked, Failed, Reply, weighed, written
from shoplm_audit.models.callables import OWN_DECODING
from shoplm_audit.models.decoding import before_stop
from shoplm_audit.models.encoding import places
from shoplm_audit.models.endpoint import Call, Endpoint, Garbled, RemoteSettings
from shoplm_audit.models.exchange import Refusal, checked_url
from shoplm_audit.record import TrainingRecord
from shoplm_audit.store import digest
from shoplm_audit.types import LOG_PROB, Columns, Generate, Pair, Sampling, TokenScores

__all__ = ["RemoteModel", "RemoteSettings", "remote_model"]

_MOST_STOPS = 4  # OpenAI's own servers refuse more; the text is cut at all of them here
_NEWER_LIMIT = "max_completion_tokens"
_OPTIONAL = ("temperature", "top_p", "top_k", "min_p", "seed", "stop")
_USUAL = Sampling()
_ROUNDING = 1e-6
# Where a reason goes on with what it was sent ('input': {'messages': ...}); whatever comes after it is not told.
_GIVEN_BACK = re.compile(r"""(['"](?:input|messages|content|prompt|text)\\?['"]\s*:).+""", re.DOTALL)


class RemoteModel:
    """A model that is asked over HTTP, many requests at once. Each request is its own batch.

    Nothing proves which weights answer, so `fingerprint` is "" and answers are found again within one run only,
    unless `settings.reuse`: then it is a digest of URL and name.

    Args:
        url: of the server, usually ending in /v1.
        name: of the model on that server, and in reports.
        settings: patience, bounds, reuse.

    Raises:
        ModelError: no URL, a password within it, or no package `openai`.

    Attributes:
        verifiable: False: the fingerprint, where there is one, says nothing of the weights.
    """

    batch_sensitive = False
    verifiable = False
    parameters: int | None = None
    record: TrainingRecord | None = None

    def __init__(self, url: str, name: str, settings: RemoteSettings = RemoteSettings()) -> None:  # noqa: B008
        self.name = name
        self._settings = settings
        self._endpoint = Endpoint(url, name, settings)
        self.fingerprint = f"remote:{digest('remote', self._endpoint.url, name)}" if settings.reuse else ""
        self._dialect = _Dialect()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report has to know."""
        endpoint = self._endpoint
        reused = (
            "were also taken from earlier runs (--reuse-remote), though the weights may have changed since"
            if self._settings.reuse
            else "were reused only within this run"
        )
        notes = [f"The weights behind {self._endpoint.url} cannot be verified: its answers {reused}."]
        if endpoint.refused:
            why = _impersonal(endpoint.refusal)
            notes.append(f"The server refused {endpoint.refused} requests, the first because: {why}")
        if endpoint.given_up:
            why = _impersonal(endpoint.trouble)
            notes.append(f"{endpoint.given_up} requests were given up, the first because: {why}")
        return tuple(notes)

    @property
    def usage(self) -> list[str]:
        """What this process spent; a run that was resumed spent more, so it is no part of the result."""
        endpoint = self._endpoint
        return [f"{endpoint.sent} requests were sent, {endpoint.again} of them after a failed attempt."]

    def plan(self, requests: Asked) -> list[list[int]]:
        """Every request is its own batch."""
        return [[i] for i in range(len(requests))]

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One text per request and sample, in order; sampling is the server's, stop strings are applied here again.

        Raises:
            Unsupported: beams, banned or required phrases, a watermark, or a setting that the server does not take.
            ModelError: the server does not know the key or the model.
            MachineError: the endpoint is down, a bound is reached, or a request failed.
        """
        return written(self, requests, self._failed)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The log-probabilities of each pair, in order.

        Raises:
            Unsupported: the server gives no log-probabilities of a text, or none of its first token where that is to
                be scored; columns other than LOG_PROB.
            ModelError, MachineError: as `generate`.
        """
        return weighed(self, pairs, columns, self._failed)

    def _failed(self, note: str) -> MachineError:
        return MachineError(f'"{self.name}" at {self._endpoint.url}: {_impersonal(note)}')

    def answered(self, batches: Sequence[Asked], columns: Columns = LOG_PROB) -> Iterator[tuple[int, list[Reply]]]:
        """(Number of the batch, a reply per request), as batches finish.

        Raises:
            Unsupported, ModelError, MachineError: as `generate` and `score`; what succeeded has been yielded.
        """
        self._check([request for batch in batches for request in batch], columns)
        calls: list[Call] = []
        batch_of: list[int] = []
        for number, batch in enumerate(batches):
            own = [call for request in batch for call in self._calls(request)]
            calls += own
            batch_of += [number] * len(own)
        lacking = Counter(batch_of)
        found: dict[int, dict[int, Any]] = {}
        for place, reply in self._endpoint.replies(calls):
            number = batch_of[place]
            found.setdefault(number, {})[place] = (
                Failed(_impersonal(reply.note)) if isinstance(reply, Failed) else reply
            )
            lacking[number] -= 1
            if not lacking[number]:
                each = iter([reply for _, reply in sorted(found.pop(number).items())])
                yield number, [_together(request, each) for request in batches[number]]

    def _check(self, requests: Sequence[Generate | Pair], columns: Columns) -> None:
        samplings = [request.sampling for request in requests if isinstance(request, Generate)]
        for name, what in OWN_DECODING.items():
            if any(getattr(sampling, name) != getattr(_USUAL, name) for sampling in samplings):
                raise Unsupported(f'the server of "{self.name}" draws its texts by itself: it cannot have {what}.')
        if columns != LOG_PROB and any(isinstance(request, Pair) for request in requests):
            raise Unsupported("A server gives log-probabilities of the tokens at hand, nothing about the others.")

    def _calls(self, request: Generate | Pair) -> list[Call]:
        if isinstance(request, Pair):
            return [_Scoring(request, self._dialect)]
        return [_Writing(request, sample, self._dialect) for sample in range(request.sampling.n)]


def _impersonal(reason: str) -> str:
    """A server's reason without personal data: some give back the very request that they refuse."""
    reason = _GIVEN_BACK.sub(r"\1...", reason)
    return scrubbed(reason, find_personal(reason, ""))


def _together(request: Generate | Pair, each: Iterator[Any]) -> Reply:
    """The reply to one request, made of the replies to its calls."""
    if isinstance(request, Pair):
        scores: TokenScores | Failed = next(each)
        return scores
    texts = [next(each) for _ in range(request.sampling.n)]
    return next((text for text in texts if isinstance(text, Failed)), texts)


@dataclass(slots=True)
class _Dialect:
    """What servers call alike differently, learned from their refusals."""

    limit: str = "max_tokens"
    beyond: int = 0  # tokens written after an echoed text; some servers write at least one


@dataclass(slots=True)
class _Writing:
    """One text, by chat or, for a raw prompt, by completion."""

    request: Generate
    sample: int
    dialect: _Dialect
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def route(self) -> Literal["chat", "completions"]:
        return "completions" if self.request.raw else "chat"

    def arguments(self) -> dict[str, Any]:
        prompt, sampling = self.request.prompt, self.request.sampling
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        turns = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
        asked: dict[str, Any] = {"prompt": prompt.flat} if self.request.raw else {"messages": [*system, *turns]}
        asked["max_tokens" if self.request.raw else self.dialect.limit] = sampling.max_new_tokens
        asked["temperature"] = sampling.temperature
        if sampling.temperature:
            asked["seed"] = _seed(self.request, self.sample)
        if sampling.top_p < 1:
            asked["top_p"] = sampling.top_p
        if stop := [mark for mark in sampling.stop if mark][:_MOST_STOPS]:
            asked["stop"] = stop
        # Not of the protocol; servers that do not know them refuse them or, alas, do not look.
        if extra := {name: getattr(sampling, name) for name in ("top_k", "min_p") if getattr(sampling, name)}:
            asked["extra_body"] = extra
        self.asked = asked
        return asked

    def read(self, data: Any) -> str | Failed:
        choice = _choice(data)
        finish = choice.get("finish_reason")
        if finish == "content_filter":
            return Failed("the server's content filter withheld the answer")
        if self.request.raw:
            text = choice.get("text")
        else:
            message = choice.get("message")
            if not isinstance(message, dict):
                raise Garbled("it has no message")
            # A refusal in words is an answer.
            nothing = "" if finish == "length" else None
            text = next((text for name in ("content", "refusal") if (text := message.get(name)) is not None), nothing)
        if not isinstance(text, str):
            raise Garbled("it has no text")
        if not text and finish == "length":
            return Failed("its tokens ended, by thinking perhaps, before it said anything")
        return before_stop(text, self.request.sampling.stop)

    def refused(self, refusal: Refusal) -> bool:
        if _NEWER_LIMIT in refusal.reason and "max_tokens" in self.asked and not self.request.raw:
            self.dialect.limit = _NEWER_LIMIT
            return True
        for name in (*self.asked, *self.asked.get("extra_body", ())):
            named = refusal.parameter == name or (name in ("top_k", "min_p") and name in refusal.body)
            if named and name in _OPTIONAL:
                raise Unsupported(f'The server does not take "{name}" as it is asked: {_impersonal(refusal.reason)}')
        return False


@dataclass(slots=True)
class _Scoring:
    """The log-probabilities of a text that is given back (echo), with nothing or one token written after it."""

    pair: Pair
    dialect: _Dialect
    beyond: int | None = None
    route: Literal["chat", "completions"] = "completions"

    def arguments(self) -> dict[str, Any]:
        # Some servers refuse to write nothing, some break on it: a second attempt writes one token.
        self.beyond = self.dialect.beyond if self.beyond is None else 1
        text = self.pair.context + self.pair.continuation
        return {"prompt": text, "max_tokens": self.beyond, "echo": True, "logprobs": 1, "temperature": 0.0}

    def read(self, data: Any) -> TokenScores | Failed:
        logprobs = _choice(data).get("logprobs")
        self.dialect.beyond = self.beyond or 0
        if logprobs is None:
            raise Unsupported("The server gave no log-probabilities, though it was asked for them.")
        if not isinstance(logprobs, dict):
            raise Garbled("its log-probabilities are none")
        tokens, numbers = (logprobs.get(name) for name in ("tokens", "token_logprobs"))
        if tokens is None or numbers is None:
            raise Unsupported("The server gave no log-probabilities of the text, though it was asked for them.")
        if not (isinstance(tokens, list) and isinstance(numbers, list) and len(tokens) == len(numbers)):
            raise Garbled("its tokens and log-probabilities are not as many")
        if not all(isinstance(token, str) for token in tokens) or not all(map(_is_log_prob, numbers)):
            raise Garbled("its log-probabilities are none")
        return _aligned(self.pair, tokens, numbers)

    def refused(self, refusal: Refusal) -> bool:
        if "logprobs" in refusal.reason or "echo" in refusal.reason:
            raise Unsupported(f"The server gives no log-probabilities of a text: {_impersonal(refusal.reason)}")
        return "max_tokens" in refusal.reason and self.beyond == 0


def _aligned(pair: Pair, tokens: list[str], numbers: list[float | None]) -> TokenScores | Failed:
    """The numbers of the tokens that begin in the continuation.

    Where each token stands follows from the tokens before it, as they have to join to the very text that was asked;
    `text_offset` is not read, since servers fill it in differently or not at all.
    """
    text = pair.context + pair.continuation
    if not tokens or numbers[0] is not None:
        # Nothing stands before the first token, so a number there belongs to a text that the server wrote.
        raise Unsupported("The server gave no log-probabilities of the text that was asked, but of another.")
    joined = "".join(tokens)
    begun = not joined.startswith(text) and joined[len(tokens[0]) :].startswith(text)
    if begun:  # a beginning-of-text token that the server put there
        tokens, numbers = tokens[1:], numbers[1:]
    ends = list(accumulate(map(len, tokens)))
    offsets = list(zip([0, *ends], ends, strict=False))
    if not "".join(tokens).startswith(text) or len(text) not in ends:
        raise Unsupported(
            "The tokens that the server gave back do not join to the text that was asked "
            "(some servers do not show the parts of a Chinese character)."
        )
    scored = list(places(pair, offsets))
    if scored[:1] == [0] and numbers[0] is None:
        raise Unsupported(
            "The server gives no log-probability for the first token of a text: a context has to precede it."
        )
    values = [numbers[place] for place in scored]
    if not all(value is not None and math.isfinite(value) for value in values):
        return Failed("its log-probabilities are not numbers")
    return TokenScores(np.array(values, dtype=np.float64))


def _is_log_prob(value: Any) -> bool:
    # nan passes here: it is told as what it is.
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and not value > _ROUNDING)


def _choice(data: Any) -> dict[str, Any]:
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Garbled("it has no choices")
    return choices[0]


def _seed(request: Generate, sample: int) -> int:
    """A seed of 31 bits: it follows from the request's seed, the sample's number and the prompt."""
    told = f"{request.sampling.seed}\0{sample}\0{request.prompt.flat}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(told).digest()[:4], "big") >> 1


def remote_model(place: str, settings: RemoteSettings) -> RemoteModel:
    """The model at "URL#MODEL"; nothing is sent yet.

    Raises:
        ModelError: no URL or no name, said before anything heavy is imported.
    """
    url, _, name = place.partition("#")
    url = checked_url(url)
    if not name:
        raise ModelError(f'"openai:{place}" names no model. Write openai:{url}#MODEL, as the server calls it.')
    return RemoteModel(url, name, settings)
