"""A small OpenAI-compatible server on 127.0.0.1 for tests: it answers by functions and fails as it is told.

with Loopback() as server:
    server.fail_next(Fault(status=429, retry_after="0.1"), times=2)
    load_model(f"openai:{server.url}#tiny").generate(...)
    server.asked, server.most_at_once
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["Fault", "Loopback", "Received", "of_local"]

Weighed = tuple[list[str], list[float | None]]


@dataclass(frozen=True)
class Fault:
    """What is done instead of answering.

    Args:
        status: the status that is answered; 200 with a `body` of garbage.
        body: sent as it is; "" is an error in the usual form.
        retry_after: the header of that name.
        drop: the connection is cut without a word.
        stall: no answer until the server is closed.
        gather: it waits until so many requests have been under way together.
        hold: seconds for which every other request is answered by the same fault, as a rate limit does.
    """

    status: int = 500
    body: str = ""
    retry_after: str = ""
    drop: bool = False
    stall: bool = False
    gather: int = 0
    hold: float = 0.0


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    body: dict[str, Any]
    key: str


def _write(body: dict[str, Any]) -> str:
    asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    return f"answer to {asked} with seed {body.get('seed')}"


def _weigh(text: str) -> Weighed:
    """Words with the white space before them as tokens, and any numbers, but always the same ones."""
    tokens = re.findall(r"\s*\S+|\s+$", text)
    numbers = [-0.01 - zlib.crc32("".join(tokens[: i + 1]).encode()) % 1000 / 100 for i in range(len(tokens))]
    return tokens, [None, *numbers[1:]]


def of_local(model: Any) -> Callable[[str], Weighed]:
    """Tokens and log-probabilities as a server of this `LocalModel` tells them: the first token's is null."""
    from shoplm_audit.types import Pair

    def weigh(text: str) -> Weighed:
        tokenizer, ids = model.encoder.tokenizer, model.encoder.ids(text)
        # A token that ends within a character shows nothing, the one that completes it shows the character.
        read = ["", *(tokenizer.decode(ids[: i + 1]).rstrip("\ufffd") for i in range(len(ids)))]
        tokens = [after[len(before) :] for before, after in itertools.pairwise(read)]
        if model.encoder.prefix:
            scores = model.score([Pair("", text)])[0].log_prob.tolist()
            return ["<|begin|>", *tokens], [None, *scores]
        second = len(tokens[0]) + len(tokens[1]) - len(tokens[1].lstrip())
        scores = model.score([Pair("", text, span=(second, len(text)))])[0].log_prob.tolist()
        return tokens, [None, *scores]

    return weigh


class Loopback:
    """The server. It may be stopped and started again at the same address.

    Args:
        write: a request's body to the text that is answered.
        weigh: a text to its tokens and their log-probabilities; None ignores `echo` and `logprobs` in silence.
        key: the key that is accepted; "" accepts any.
        model: the only model it knows.
        least_tokens: refuses `max_tokens` below it.
        pause: seconds that an answer or a fault takes.
        limit: answers 429 when more requests than that are under way.

    Attributes:
        asked: all requests, in order of arrival.
        answered: how many were answered without a fault.
        most_at_once: the most requests that were under way together.
    """

    def __init__(
        self,
        write: Callable[[dict[str, Any]], str] = _write,
        weigh: Callable[[str], Weighed] | None = _weigh,
        *,
        key: str = "",
        model: str = "tiny",
        least_tokens: int = 0,
        pause: float = 0.0,
        limit: int | None = None,
    ) -> None:
        self.write, self.weigh, self.key, self.model = write, weigh, key, model
        self.least_tokens, self.pause, self.limit = least_tokens, pause, limit
        self.asked: list[Received] = []
        self.answered = self.most_at_once = self.limited = 0
        self._under_way = 0
        self._faults: list[tuple[Callable[[dict[str, Any]], bool], Fault, float]] = []
        self._holding: tuple[float, Fault] | None = None
        self._lock = threading.Lock()
        self._thinking = threading.Lock()  # tokenizers do not bear two threads
        self._closed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._address = ("127.0.0.1", 0)
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}/v1"

    def fail_next(self, fault: Fault, times: float = 1) -> None:
        """The next requests meet this fault; `math.inf` for all."""
        self.fail_when(lambda body: True, fault, times)

    def fail_when(self, matches: Callable[[dict[str, Any]], bool], fault: Fault, times: float = float("inf")) -> None:
        """Requests whose body matches meet this fault."""
        with self._lock:
            self._faults.append((matches, fault, times))

    def heal(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults, self._holding = [], None

    def start(self) -> Self:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                loopback._connections.add(self.connection)

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()
                loopback._connections.discard(self.connection)

            def do_POST(self) -> None:
                loopback._respond(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass  # clients that were cut off, or that left

        self._closed.clear()
        self._server = Server(self._address, Handler)
        self._address = self._server.server_address[:2]  # type: ignore[assignment]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Closes the address and every connection: from now on nobody is there."""
        if self._server is None:
            return
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        key = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        with self._lock:
            self.asked.append(Received(handler.path, body, key))
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            crowded = self.limit is not None and self._under_way > self.limit
            self.limited += crowded
            fault = Fault(status=429) if crowded else self._fault(body)
        try:
            self._closed.wait(self.pause)
            fault = fault or self._refusal(handler.path, body, key)
            if fault is not None:
                self._fail(handler, fault)
                return
            with self._thinking:
                answer = json.dumps(self._answer(handler.path, body))
        except Exception as broken:
            _send(handler, 500, json.dumps({"error": {"message": f"the test's own server broke: {broken!r}"}}))
            raise
        finally:
            with self._lock:
                self._under_way -= 1
        self.answered += 1
        _send(handler, 200, answer)

    def _fault(self, body: dict[str, Any]) -> Fault | None:
        if self._holding and time.monotonic() < self._holding[0]:
            return self._holding[1]
        for i, (matches, fault, times) in enumerate(self._faults):
            if matches(body):
                self._faults[i : i + 1] = [(matches, fault, times - 1)] if times > 1 else []
                if fault.hold:
                    self._holding = (time.monotonic() + fault.hold, fault)
                return fault
        return None

    def _refusal(self, path: str, body: dict[str, Any], key: str) -> Fault | None:
        if self.key and key != self.key:
            return Fault(401, json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}}))
        if path not in ("/v1/chat/completions", "/v1/completions"):
            return Fault(404, json.dumps({"detail": "Not Found"}))
        if body["model"] != self.model:
            return Fault(404, json.dumps({"error": {"message": f"The model `{body['model']}` does not exist."}}))
        if body.get("max_tokens", 1) < self.least_tokens:
            return Fault(400, json.dumps({"error": {"message": f"max_tokens must be at least {self.least_tokens}"}}))
        return None

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        while self.most_at_once < fault.gather and not self._closed.wait(0.002):
            pass
        if fault.stall:
            self._closed.wait()
        if fault.stall or fault.drop:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        said = fault.body or json.dumps({"error": {"message": f"told to fail with {fault.status}"}})
        _send(handler, fault.status, said, fault.retry_after)

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/chat/completions"):
            message = {"role": "assistant", "content": self.write(body)}
            return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "length", "logprobs": None, "text": ""}
        tokens: list[str] = []
        numbers: list[float | None] = []
        if body.get("echo") and self.weigh is not None:
            tokens, numbers = self.weigh(body["prompt"])
        if body.get("max_tokens", 16):
            written = " more" if tokens else self.write(body)
            tokens, numbers = [*tokens, written], [*numbers, -0.5]
        choice["text"] = "".join(tokens)
        if body.get("logprobs") is not None and self.weigh is not None:
            choice["logprobs"] = {"tokens": tokens, "token_logprobs": numbers}
        return {"choices": [choice]}


def _send(handler: BaseHTTPRequestHandler, status: int, body: str, retry_after: str = "") -> None:
    data = body.encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    if retry_after:
        handler.send_header("Retry-After", retry_after)
    handler.end_headers()
    handler.wfile.write(data)
