"""One exchange with an OpenAI-compatible server: a request goes out once, and what comes back is told without secrets.

Exchange("http://127.0.0.1:8000/v1", "shop-writer", 120.0).send("chat", {...}) -> Outcome(200, '{"choices": ...}')
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from shoplm_audit.data.personal import find_personal, scrubbed
from shoplm_audit.errors import ModelError

__all__ = ["KEYS", "Exchange", "Outcome", "Refusal", "checked_url", "seconds_to_wait"]

KEYS = ("SHOPLM_API_KEY", "OPENAI_API_KEY")
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one exchange brought; where no answer came, the status is 0 or -1 (not sendable), and `body` says why."""

    status: int
    body: str
    wait: float | None = None
    connected: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the server did not take: HTTP status, its reason, the parameter it names, and the whole body."""

    status: int
    reason: str
    parameter: str
    body: str


class Exchange:
    """The way to one model of one server.

    Args:
        url: of the server.
        model: how the server calls the model.
        timeout: seconds for a connection or an answer.

    Raises:
        ModelError: no URL, or one with a password; a key that cannot be sent; no package `openai`.
    """

    def __init__(self, url: str, model: str, timeout: float) -> None:
        self.url, self.model, self._timeout = checked_url(url), model, timeout
        self._key = next((key for name in KEYS if (key := os.environ.get(name, "").strip())), "")
        if not (self._key.isascii() and self._key.isprintable()):
            raise ModelError(f"The key in {' or '.join(KEYS)} holds characters that no key has. Copy it again.")
        if importlib.util.find_spec("openai") is None:
            raise ModelError('A remote model needs the package openai: pip install "shoplm-audit[remote]".')
        self._client: Any = None

    @property
    def has_key(self) -> bool:
        """Whether a key is sent."""
        return bool(self._key)

    def open(self) -> None:
        """Imports the client, the first time; connections are made as requests need them."""
        if self._client is None:
            self._client = importlib.import_module("openai").OpenAI(
                # Servers that want no key take any. Repeating is for who counts and paces the requests.
                api_key=self._key or "none",
                base_url=self.url,
                max_retries=0,
                timeout=self._timeout,
            )

    def send(self, route: str, arguments: dict[str, Any]) -> Outcome:
        """What one request brings; it is sent once, and nothing that goes wrong with it is raised."""
        openai = importlib.import_module("openai")
        door = self._client.chat.completions if route == "chat" else self._client.completions
        try:
            response = door.with_raw_response.create(model=self.model, **arguments).http_response
        except openai.APITimeoutError:
            return Outcome(0, f"no answer within {self._timeout:g} seconds")
        except openai.APIConnectionError as fault:
            refused = type(fault.__cause__).__name__ == "ConnectError"
            return Outcome(0, "no connection" if refused else "the connection broke", connected=not refused)
        except openai.APIStatusError as fault:
            response = fault.response
        except Exception as fault:  # one request that cannot be written down costs no other its answer
            return Outcome(-1, self.told(f"{type(fault).__name__}: {fault}"))
        return Outcome(
            response.status_code, response.text, seconds_to_wait(response.headers.get("retry-after"), time.time())
        )

    def refusal(self, outcome: Outcome) -> Refusal:
        """Why a server did not answer, as far as it says."""
        reason, parameter = outcome.body, ""
        try:
            data = json.loads(outcome.body)
            error = data.get("error", data)
            reason = error if isinstance(error, str) else error.get("message") or error.get("detail") or outcome.body
            parameter = "" if isinstance(error, str) else str(error.get("param") or "")
        except (ValueError, RecursionError, AttributeError):
            pass  # many servers and proxies say why in words or HTML
        return Refusal(outcome.status, self.told(str(reason)), parameter, outcome.body)

    def told(self, text: str) -> str:
        """A server's words in one short line; some repeat the key they were sent."""
        text = text.replace(self._key, "...") if self._key else text
        text = re.sub(r"(?i)bearer\s+\S+", "...", " ".join(text.split()))
        text = scrubbed(text, find_personal(text, ""))
        return f"{text[:_LONGEST_REASON]}..." if len(text) > _LONGEST_REASON else text or "no reason given"


def seconds_to_wait(header: str | None, now: float) -> float | None:
    """What `Retry-After` asks for, in seconds from `now` (seconds since 1970); None where it says nothing readable.

    >>> seconds_to_wait("2", now=0.0), seconds_to_wait("Thu, 01 Jan 1970 00:00:05 GMT", now=1.0)
    (2.0, 4.0)
    """
    if header is None:
        return None
    try:
        wait = float(header)
    except ValueError:
        try:
            wait = parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return None
    return max(0.0, wait) if math.isfinite(wait) else None


def checked_url(url: str) -> str:
    """The URL of a server without a slash at its end.

    Raises:
        ModelError: it is none, or holds a password or parameters; these are not repeated.
    """
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname, "@" in parts.netloc or parts.query
        _ = parts.port
    except ValueError as fault:
        raise ModelError('The URL after "openai:" cannot be read. Write openai:http://HOST:PORT/v1#MODEL.') from fault
    if secret:
        raise ModelError(
            f'The URL "{parts.scheme}://{host}" holds a password or parameters, which would end up in reports. Leave '
            f"them out and set {KEYS[0]} to the key."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ModelError(f'"{url}" is no URL of a server. Write openai:http://HOST:PORT/v1#MODEL.')
    return url.rstrip("/")
