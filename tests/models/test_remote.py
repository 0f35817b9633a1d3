from __future__ import annotations

import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Fault, Loopback, of_local
from small_networks import CHAT, make_network, make_tokenizer

from shoplm_audit.errors import ConfigError, MachineError, ModelError, Unsupported
from shoplm_audit.models.asking import Failed, Reply, attempted
from shoplm_audit.models.exchange import seconds_to_wait
from shoplm_audit.models.load import load_model
from shoplm_audit.models.remote import RemoteModel, RemoteSettings
from shoplm_audit.types import Columns, Generate, Mark, Model, Pair, Prompt, Sampling, Turn

pytest.importorskip("openai", reason="the package openai is not installed (extra remote)")

KEY = "sk-very-secret-0123456789"
QUICK: dict[str, Any] = {"backoff": 0.001, "timeout": 20.0, "attempts": 3}


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOPLM_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def _model(server: Loopback, **settings: Any) -> RemoteModel:
    model = load_model(f"openai:{server.url}#tiny", remote=RemoteSettings(**(QUICK | settings)))
    assert isinstance(model, RemoteModel)
    return model


def _asks(count: int) -> list[list[Generate]]:
    return [[Generate(Prompt(f"p{i}"))] for i in range(count)]


def _answers(model: RemoteModel, batches: list[Any]) -> tuple[dict[int, list[Reply]], Exception | None]:
    """What was yielded, and what was raised after it."""
    found: dict[int, list[Reply]] = {}
    try:
        for number, replies in model.answered(batches):
            assert number not in found
            found[number] = replies
    except (ModelError, MachineError, Unsupported) as fault:
        return found, fault
    return found, None


def _failed(replies: dict[int, list[Reply]]) -> dict[int, str]:
    return {number: one.note for number, batch in replies.items() for one in batch if isinstance(one, Failed)}


# What is asked, and how answers are read --------------------------------------------------------------


def test_a_chat_holds_the_system_text_and_every_turn(server: Loopback) -> None:
    turns = (Turn("user", "Is it blue?"), Turn("assistant", "Navy."), Turn("user", "Sure?"))
    texts = _model(server).generate([Generate(Prompt(turns, system="Sell."), Sampling(9, top_p=1.0))])
    assert texts == ["answer to Sure? with seed None"]
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Sell."},
            {"role": "user", "content": "Is it blue?"},
            {"role": "assistant", "content": "Navy."},
            {"role": "user", "content": "Sure?"},
        ],
        "max_tokens": 9,
        "temperature": 0.0,
    }


def test_a_raw_prompt_is_completed_as_it_stands(server: Loopback) -> None:
    _model(server).generate([Generate(Prompt("Review:", system="Sell."), Sampling(9), raw=True)])
    assert server.asked[0].path == "/v1/completions"
    assert server.asked[0].body["prompt"] == "Sell.\n\nReview:"


def test_sampling_is_sent_whole(server: Loopback) -> None:
    sampling = Sampling(7, temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, stop=("", "a", "b", "c", "d", "e"))
    _model(server).generate([Generate(Prompt("p"), sampling)])
    sent = server.asked[0].body
    assert {name: sent[name] for name in ("temperature", "top_p", "top_k", "min_p", "max_tokens")} == {
        "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "max_tokens": 7,
    }  # fmt: skip
    assert sent["stop"] == ["a", "b", "c", "d"]


def test_every_sample_is_a_request_with_a_seed_that_depends_on_nothing_else(server: Loopback) -> None:
    drawn = Sampling(temperature=1.0, n=3, seed=5)
    several = [Generate(Prompt("one"), drawn), Generate(Prompt("two"), drawn)]
    texts = _model(server).generate(several)
    assert len(set(texts)) == 6
    assert [text.split()[2] for text in texts] == ["one"] * 3 + ["two"] * 3
    assert _model(server, concurrency=1).generate(several[::-1]) == texts[3:] + texts[:3]
    assert _model(server).generate([Generate(Prompt("one"), Sampling(temperature=1.0, n=3, seed=6))]) != texts[:3]
    assert all(0 <= one.body["seed"] < 2**31 for one in server.asked)


def test_texts_end_at_stop_strings_that_the_server_overlooked() -> None:
    with Loopback(write=lambda body: "fine END more") as server:
        assert _model(server).generate([Generate(Prompt("p"), Sampling(stop=("x", " END")))]) == ["fine"]


@pytest.mark.parametrize(
    ("sampling", "what"),
    [
        (Sampling(beams=2), "beams"),
        (Sampling(banned=("cheap",)), "banned phrases"),
        (Sampling(mark=Mark("kgw", "k")), "a watermark"),
    ],
)
def test_what_only_a_model_s_own_decoding_can_give_is_unsupported(
    sampling: Sampling, what: str, server: Loopback
) -> None:
    with pytest.raises(Unsupported, match=f"cannot have {what}"):
        _model(server).generate([Generate(Prompt("p")), Generate(Prompt("p"), sampling)])
    with pytest.raises(Unsupported, match="nothing about the others"):
        _model(server).score([Pair("a", "b")], Columns.LOG_PROB | Columns.RANK)
    assert server.asked == []


def _message(**message: Any) -> str:
    return json.dumps({"choices": [{"message": message, "finish_reason": message.pop("finish", "stop")}]})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (_message(content=None, refusal="I will not."), "I will not."),
        (_message(content=""), ""),
    ],
)
def test_a_refusal_in_words_and_a_text_without_words_are_texts(body: str, text: str, server: Loopback) -> None:
    server.fail_next(Fault(200, body))
    assert _model(server).generate([Generate(Prompt("p"))]) == [text]
    assert len(server.asked) == 1


# Faults of one request --------------------------------------------------------------------------------

PASSING = {
    "500": Fault(500),
    "502 in HTML": Fault(502, "<html>Bad gateway</html>"),
    "408": Fault(408),
    "429": Fault(429),
    "dropped": Fault(drop=True),
    "empty": Fault(200, " "),
    "no JSON": Fault(200, "<html>Hello</html>"),
    "deep JSON": Fault(200, "[" * 100_000),
    "a list": Fault(200, "[]"),
    "no choices": Fault(200, '{"choices": []}'),
    "choices of words": Fault(200, '{"choices": ["a"]}'),
    "no message": Fault(200, '{"choices": [{"text": "a"}]}'),
    "a number for a text": Fault(200, _message(content=3)),
    "no content": Fault(200, _message(content=None)),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_passing_fault_is_tried_again_and_one_that_stays_costs_only_its_request(
    fault: Fault, server: Loopback
) -> None:
    server.fail_next(fault, times=2)
    model = _model(server)
    found, raised = _answers(model, _asks(6))
    assert raised is None
    assert found == {i: [[f"answer to p{i} with seed None"]] for i in range(6)}
    assert len(server.asked) == 8
    assert model.usage[0] == "8 requests were sent, 2 of them after a failed attempt."

    server.fail_when(lambda body: body["messages"][0]["content"] == "p3", fault)
    found, raised = _answers(model, _asks(6))
    assert raised is None
    assert len(found) == 6
    assert list(_failed(found)) == [3]
    assert _failed(found)[3].startswith("given up after 3 attempts: ")
    assert len(server.asked) == 8 + 5 + 3
    assert model.notes[1].startswith("1 requests were given up, the first because: ")


def test_a_request_that_stalls_is_given_up_and_the_others_are_answered(server: Loopback) -> None:
    server.fail_when(lambda body: body["messages"][0]["content"] == "p0", Fault(stall=True))
    found, raised = _answers(_model(server, timeout=0.3, attempts=2), _asks(5))
    assert raised is None
    assert _failed(found) == {0: "given up after 2 attempts: no answer within 0.3 seconds"}
    assert len(found) == 5


REFUSED = {
    "too long": Fault(400, json.dumps({"error": {"message": "too long", "param": "messages", "code": "x"}})),
    "filtered": Fault(400, json.dumps({"error": {"message": "content filter", "code": "content_filter"}})),
    "too large": Fault(413, "<h1>too large</h1>"),
    "invalid": Fault(422, json.dumps({"detail": [{"loc": ["body"], "msg": "no"}]})),
    "withheld": Fault(200, _message(content="", finish="content_filter")),
    "still thinking": Fault(200, _message(content=None, finish="length")),
    "still thinking, without a word": Fault(200, _message(content="", finish="length")),
}


@pytest.mark.parametrize("fault", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_request_fails_at_once_and_alone(fault: Fault, server: Loopback) -> None:
    server.fail_when(lambda body: body["messages"][0]["content"] == "p1", fault)
    model = _model(server)
    found, raised = _answers(model, _asks(4))
    assert raised is None
    assert list(_failed(found)) == [1]
    assert len(server.asked) == 4
    if fault.status != 200:
        assert f"({fault.status}: " in _failed(found)[1]
        assert model.notes[1].startswith("The server refused 1 requests, the first because: ")
    with pytest.raises(MachineError, match='"tiny" at http'):
        model.generate([Generate(Prompt("p1"))])


def test_a_request_that_the_server_gives_back_does_not_reach_the_notes(server: Loopback) -> None:
    given = {"messages": [{"content": "Customer: Mira Oduya\nPhone: 020 7946 0174"}]}
    body = json.dumps({"detail": [{"msg": "Field required", "input": given}, {"msg": "ask 020 7946 0174"}]})
    turned = json.dumps({"error": {"message": "No text of mei@example.com, please."}})
    for fault in (Fault(422, body), Fault(422, turned)):
        server.fail_when(lambda body: body["messages"][0]["content"] == "p1", fault)
        model = _model(server)
        found, _ = _answers(model, _asks(3))
        told = f"{_failed(found)} {model.notes}"
        with pytest.raises(MachineError) as raised:
            model.generate([Generate(Prompt("p1"))])
        told += str(raised.value)
        assert not any(datum in told for datum in ("Mira", "7946", "mei@"))
        assert "Field required" in told or "No text of [EMAIL]" in told


def test_a_failed_sample_fails_its_request_and_no_other(server: Loopback) -> None:
    drawn = Sampling(temperature=1.0, n=2)
    seeds = [one["seed"] for one in _seeds_of(server, Generate(Prompt("p"), drawn))]
    server.fail_when(lambda body: body["seed"] == seeds[1], Fault(400))
    found, _ = _answers(_model(server), [[Generate(Prompt("p"), drawn), Generate(Prompt("q"), drawn)]])
    assert isinstance(found[0][0], Failed)
    assert isinstance(found[0][1], list)
    assert len(found[0][1]) == 2


def _seeds_of(server: Loopback, request: Generate) -> list[dict[str, Any]]:
    _model(server, concurrency=1).generate([request])
    return [one.body for one in server.asked]


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Unrecognized request argument supplied: top_k"},
        {"message": "Unsupported value", "param": "temperature", "code": "unsupported_value"},
    ],
)
def test_a_setting_that_the_server_does_not_take_is_unsupported(error: dict[str, str], server: Loopback) -> None:
    server.fail_next(Fault(400, json.dumps({"error": error})), times=math.inf)
    with pytest.raises(Unsupported, match=r'does not take "(top_k|temperature)"'):
        _model(server).generate([Generate(Prompt("p"), Sampling(temperature=0.7, top_k=3))])
    # The same words about a request that does not hold the setting are a refusal like any other.
    found, raised = _answers(_model(server), _asks(1))
    assert raised is None or "temperature" in str(raised)
    assert bool(_failed(found)) == (raised is None)


def test_the_newer_name_of_the_limit_is_learned_from_the_refusal(server: Loopback) -> None:
    why = {
        "message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "param": "max_tokens",
    }
    server.fail_when(lambda body: "max_tokens" in body, Fault(400, json.dumps({"error": why})))
    model = _model(server)
    assert len(model.generate([Generate(Prompt(f"p{i}"), Sampling(9)) for i in range(12)])) == 12
    assert server.asked[-1].body["max_completion_tokens"] == 9
    assert sum("max_tokens" in one.body for one in server.asked) <= 4


# Pace -------------------------------------------------------------------------------------------------


def test_concurrency_begins_small_grows_and_stays_within_its_bound() -> None:
    under_way: list[int] = []
    with Loopback(write=lambda body: str(under_way.append(server.most_at_once)), pause=0.01) as server:
        found, _ = _answers(_model(server, concurrency=9), _asks(150))
    assert len(found) == 150
    assert under_way[0] <= 4
    assert 4 < server.most_at_once <= 9


def test_concurrency_follows_what_the_server_bears() -> None:
    with Loopback(pause=0.02, limit=5) as server:
        found, raised = _answers(_model(server, attempts=30), _asks(200))
    assert raised is None
    assert _failed(found) == {}
    # Between two halvings 3 + 4 + 5 answers come; a width that overlooked 429 would grow to 20 and be limited for ever.
    assert server.most_at_once <= 10
    assert 0 < server.limited < 100


def test_a_burst_of_429_halves_once() -> None:
    with Loopback() as server:
        model = _model(server, concurrency=12)
        model._endpoint._width = 12.0
        server.fail_next(Fault(429, gather=12), times=12)
        found, raised = _answers(model, _asks(14))
        assert raised is None
        assert _failed(found) == {}
        assert server.most_at_once == 12
    # 14 answers raise 6 to less than 9, and what was halved twelve times to less than 6.
    assert 6 <= model._endpoint._width < 9


def test_retry_after_is_waited_for_by_all(server: Loopback) -> None:
    # Whoever comes back sooner meets the limit again, and has only two attempts.
    server.fail_next(Fault(429, retry_after="0.3", hold=0.3))
    found, raised = _answers(_model(server, attempts=2), _asks(10))
    assert raised is None
    assert _failed(found) == {}
    assert len(server.asked) <= 14


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert seconds_to_wait("2", now=100.0) == 2.0
    assert seconds_to_wait("Thu, 01 Jan 1970 00:02:00 GMT", now=100.0) == 20.0
    assert seconds_to_wait("Thu, 01 Jan 1970 00:01:00 GMT", now=100.0) == 0.0
    assert [seconds_to_wait(header, now=0.0) for header in (None, "soon", "nan", "")] == [None] * 4


# Faults of the endpoint -------------------------------------------------------------------------------


def test_an_endpoint_that_goes_down_for_good_is_told_after_what_it_answered(server: Loopback) -> None:
    model = _model(server, failures=1000)
    done: dict[int, list[Reply]] = {}

    def ask() -> None:
        for number, replies in model.answered(_asks(40)):
            done[number] = replies
            if len(done) == 10:
                server.stop()

    with pytest.raises(MachineError, match=r"gives no answers: no connection.*run the same command again"):
        ask()
    assert 10 <= len(done) < 40
    assert _failed(done) == {}
    server.start()
    found, raised = _answers(model, _asks(3))
    assert raised is None
    assert len(found) == 3


@pytest.mark.parametrize("fault", [Fault(500), Fault(drop=True), Fault(200, "<html>"), Fault(429)])
def test_an_endpoint_that_only_fails_is_not_asked_for_everything(fault: Fault, server: Loopback) -> None:
    server.fail_next(fault, times=math.inf)
    found, raised = _answers(_model(server, failures=5, backoff=0.05), _asks(200))
    assert isinstance(raised, MachineError)
    assert found == {}
    assert len(server.asked) <= (5 + 4) * 3


def test_a_few_requests_that_all_fail_are_the_endpoint_s_failure_unless_it_has_answered(server: Loopback) -> None:
    server.fail_next(Fault(500), times=math.inf)
    model = _model(server)
    found, raised = _answers(model, _asks(2))
    assert isinstance(raised, MachineError)
    assert found == {}
    server.heal()
    assert _answers(model, _asks(1))[1] is None
    server.fail_next(Fault(500), times=math.inf)
    found, raised = _answers(model, _asks(2))
    assert raised is None
    assert len(_failed(found)) == 2


def test_failures_in_a_row_are_counted_over_rounds(server: Loopback) -> None:
    model = _model(server, failures=5)
    assert _answers(model, _asks(1))[1] is None
    server.fail_next(Fault(500), times=math.inf)
    outcomes = [_answers(model, _asks(1))[1] for _ in range(5)]
    assert outcomes[:4] == [None] * 4
    assert isinstance(outcomes[4], MachineError)


def test_failures_with_answers_between_them_are_not_in_a_row(server: Loopback) -> None:
    server.fail_when(lambda body: body["messages"][0]["content"] in ("p1", "p3", "p5"), Fault(500))
    found, raised = _answers(_model(server, failures=2, concurrency=1), _asks(7))
    assert raised is None
    assert list(_failed(found)) == [1, 3, 5]


def test_a_server_that_is_silent_for_longer_than_the_patience_is_down(server: Loopback) -> None:
    server.fail_next(Fault(stall=True), times=math.inf)
    found, raised = _answers(_model(server, timeout=0.1, patience=0.15, attempts=50), _asks(50))
    assert isinstance(raised, MachineError)
    assert found == {}


def test_a_wait_beyond_the_patience_is_not_waited_for(server: Loopback) -> None:
    server.fail_next(Fault(429, retry_after="3600"))
    _, raised = _answers(_model(server), _asks(1))
    assert isinstance(raised, MachineError)
    assert "asks to wait 3600 seconds" in str(raised)
    assert len(server.asked) == 1


def test_an_answer_that_trickles_for_ever_is_left_behind() -> None:
    def trickle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            connection.close()

    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=trickle, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        spec = f"openai:http://127.0.0.1:{listening.getsockname()[1]}/v1#tiny"
        model = load_model(spec, remote=RemoteSettings(timeout=0.2, attempts=1))
        with pytest.raises(MachineError, match=r"no whole answer in 0\.4 seconds"):
            model.generate([Generate(Prompt("p"))])
        listening.shutdown(socket.SHUT_RDWR)


def test_the_bound_counts_every_request_and_what_is_under_way_is_kept() -> None:
    with Loopback(pause=0.02) as server:
        server.fail_next(Fault(500), times=2)
        model = _model(server, max_requests=10)
        found, raised = _answers(model, _asks(30))
        assert isinstance(raised, MachineError)
        assert re_sent(str(raised)) == 10
        assert len(server.asked) == 10
        assert len(found) == 8
        assert _failed(found) == {}
        assert isinstance(_answers(model, _asks(1))[1], MachineError)
        assert len(server.asked) == 10
        # Exactly as many as are needed is enough.
        assert _answers(_model(server, max_requests=5), _asks(5))[1] is None


def re_sent(message: str) -> int:
    return int(message.split(" requests were sent, as many as --max-requests allows")[0].rsplit(" ", 1)[1])


# Keys, names, addresses -------------------------------------------------------------------------------


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("SHOPLM_API_KEY", f" {KEY}\n")
    with Loopback(key=KEY) as server:
        model = _model(server)
        model.generate([Generate(Prompt("p"))])
        assert server.asked[0].key == KEY
        said = json.dumps({"error": {"message": f"bad key {KEY}, header Authorization: Bearer {KEY}"}})
        server.fail_when(lambda body: body["messages"][0]["content"] == "p0", Fault(400, said))
        server.fail_when(lambda body: body["messages"][0]["content"] == "p1", Fault(500, said))
        found, _ = _answers(model, _asks(3))
        assert len(_failed(found)) == 2
        told = f"{_failed(found)} {model.notes} {model!r} {vars(model)} {RemoteSettings()!r}"
        assert "bad key" in told
        assert KEY not in told
        server.heal()
        server.key = "sk-new"
        found, raised = _answers(model, _asks(9))
        assert isinstance(raised, ModelError)
        assert "does not accept the key (401). Set SHOPLM_API_KEY" in str(raised)
        assert KEY not in f"{raised!r} {raised.__cause__!r} {raised.__context__!r}"
        assert found == {}


def test_a_server_that_wants_no_key_gets_a_placeholder_and_one_that_does_is_told(server: Loopback) -> None:
    _model(server).generate([Generate(Prompt("p"))])
    assert server.asked[0].key == "none"
    server.key = KEY
    with pytest.raises(ModelError, match=r"wants a key \(401\)"):
        _model(server).generate([Generate(Prompt("p"))])
    assert len(server.asked) == 2


def test_a_model_that_the_server_does_not_know_is_named(server: Loopback) -> None:
    model = load_model(f"openai:{server.url}#other/one", remote=RemoteSettings(**QUICK))
    with pytest.raises(ModelError, match=r'knows no model "other/one".*after #'):
        model.generate([Generate(Prompt("p"))])
    with pytest.raises(ModelError, match=r'knows no model "other/one"'):
        model.score([Pair("a", "b")])
    wrong = load_model(f"openai:{server.url.removesuffix('/v1')}#tiny", remote=RemoteSettings(**QUICK))
    with pytest.raises(ModelError, match=r"often ends in /v1"):
        wrong.generate([Generate(Prompt("p"))])
    with pytest.raises(Unsupported, match="answers chats only"):
        wrong.score([Pair("a", "b")])


def test_a_403_is_about_the_key_until_something_was_answered(server: Loopback) -> None:
    server.fail_next(Fault(403), times=math.inf)
    model = _model(server)
    with pytest.raises(ModelError, match="key"):
        model.generate([Generate(Prompt("p"))])
    server.heal()
    assert _answers(model, _asks(1))[1] is None
    server.fail_next(Fault(403))
    assert len(_failed(_answers(model, _asks(1))[0])) == 1


def test_the_weights_of_an_endpoint_are_never_called_verified(server: Loopback) -> None:
    model, reused = _model(server), _model(server, reuse=True)
    assert isinstance(model, Model)
    assert (model.name, model.fingerprint, model.record, model.batch_sensitive) == ("tiny", "", None, False)
    assert not model.verifiable
    assert not reused.verifiable
    assert reused.fingerprint.startswith("remote:")
    assert reused.fingerprint == load_model(f"openai:{server.url}/#tiny", remote=RemoteSettings(reuse=True)).fingerprint
    assert reused.fingerprint != load_model(f"openai:{server.url}#big", remote=RemoteSettings(reuse=True)).fingerprint
    assert "cannot be verified: its answers were reused only within this run." in model.notes[0]
    assert "--reuse-remote" in reused.notes[0]
    assert len(model.notes) == 1


def test_settings_out_of_range_are_named() -> None:
    for name in ("max_requests", "concurrency", "attempts", "timeout", "patience", "failures"):
        with pytest.raises(ConfigError, match=f"{name} of a remote model is 0"):
            RemoteSettings(**{name: 0})


# Log-probabilities ------------------------------------------------------------------------------------

PAIRS = [
    Pair("The kettle is", " navy and holds 1.7 litres."),
    Pair("The kettle is  ", "navy"),
    Pair("The kettle is", " navy 藏青色的，容量一升七 é"),
    Pair("Is 这款水壶", "是藏青色的。"),
    Pair("The kettle is", " navy and holds", span=(6, 9)),
    Pair("The kettle is\n\n", "navy and"),
    Pair("The ket", "tle"),
    Pair("The kettle is", ""),
]


@pytest.mark.parametrize("least_tokens", [0, 1])
def test_log_probabilities_through_a_server_are_those_of_its_model(local: Any, least_tokens: int) -> None:
    with Loopback(weigh=of_local(local), least_tokens=least_tokens) as server:
        found = _model(server).score(PAIRS)
    for pair, one, wanted in zip(PAIRS, found, local.score(PAIRS), strict=True):
        assert one.log_prob.shape == wanted.log_prob.shape, pair
        np.testing.assert_allclose(one.log_prob, wanted.log_prob, atol=1e-6, err_msg=str(pair))
    assert sum(one.log_prob.size > 0 for one in found) == len(PAIRS) - 1


def test_the_first_token_of_a_text_has_a_number_only_where_the_server_begins_the_text(local: Any) -> None:
    pairs = [Pair("", "The kettle"), Pair(" ", "The kettle")]
    with Loopback(weigh=of_local(local)) as server:
        if local.encoder.prefix:
            for one, wanted in zip(_model(server).score(pairs), local.score(pairs), strict=True):
                np.testing.assert_allclose(one.log_prob, wanted.log_prob, atol=1e-6)
        else:
            with pytest.raises(Unsupported, match="first token of a text"):
                _model(server).score(pairs[:1])


def _weighed(tokens: Any, numbers: Any, text: str = "The kettle is navy") -> Fault:
    logprobs = {"tokens": tokens, "token_logprobs": numbers}
    return Fault(200, json.dumps({"choices": [{"text": text, "logprobs": logprobs, "finish_reason": "length"}]}))


WORDS = ["The", " kettle", " is", " navy"]
SILENT = {
    "no log-probabilities": Fault(200, '{"choices": [{"text": "The kettle is navy", "logprobs": null}]}'),
    "only of what it wrote": _weighed([" blue"], [-1.0]),
    "of what it wrote, in the words of the text": _weighed(WORDS, [-1.0, -1.0, -1.0, -1.0]),
    "none at all": _weighed([], []),
    "in the form of chats": Fault(200, '{"choices": [{"logprobs": {"content": [{"token": "a", "logprob": -1}]}}]}'),
    "another text": _weighed(["the", " kettle", " is", " navy"], [None, -1.0, -1.0, -1.0]),
    "a part of the text": _weighed(WORDS[:3], [None, -1.0, -1.0]),
    "a token that goes on": _weighed([*WORDS[:3], " navy blue"], [None, -1.0, -1.0, -1.0]),
    "characters in pieces": _weighed([*WORDS[:3], "\ufffd"], [None, -1.0, -1.0, -1.0]),
    "refused": Fault(400, json.dumps({"error": {"message": "Setting 'echo' and 'logprobs' is not supported"}})),
    "chats only": Fault(404, '{"detail": "Not Found"}'),
}


@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT.keys())
def test_a_log_probability_that_was_asked_for_and_is_absent_is_unsupported(fault: Fault, server: Loopback) -> None:
    server.fail_next(fault)
    with pytest.raises(Unsupported):
        _model(server).score([Pair("The kettle is", " navy")])
    assert len(server.asked) == 1


def test_a_server_that_ignores_the_wish_in_silence_is_unsupported() -> None:
    with Loopback(weigh=None) as server, pytest.raises(Unsupported, match="though it was asked for them"):
        _model(server).score([Pair("The kettle is", " navy")])


GARBAGE = {
    "too few numbers": _weighed(WORDS, [None, -1.0]),
    "words for numbers": _weighed(WORDS, [None, -1.0, "x", -1.0]),
    "above 0": _weighed(WORDS, [None, -1.0, -1.0, 0.7]),
    "true": _weighed(WORDS, [None, True, False, False]),
    "numbers for words": _weighed([1, 2, 3, 4], [None, -1.0, -1.0, -1.0]),
    "a word for the whole": Fault(200, '{"choices": [{"logprobs": "yes"}]}'),
}


@pytest.mark.parametrize("fault", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_for_numbers_is_asked_again_and_never_used(fault: Fault, server: Loopback) -> None:
    pairs = [[Pair("The kettle is", " navy")], [Pair("The kettle is", " red")]]
    server.fail_when(lambda body: body["prompt"].endswith("navy"), fault)
    found, raised = _answers(_model(server), pairs)
    assert raised is None
    assert list(_failed(found)) == [0]
    assert len(server.asked) == 4
    server.heal()
    assert len(_model(server).score([pair for batch in pairs for pair in batch])) == 2


@pytest.mark.parametrize("number", [math.nan, -math.inf, None])
def test_a_number_that_is_none_fails_its_case(number: float | None, server: Loopback) -> None:
    server.fail_next(_weighed(WORDS, [None, -1.0, -1.0, number]))
    found, raised = _answers(_model(server), [[Pair("The kettle is", " navy")]])
    assert raised is None
    assert _failed(found) == {0: "its log-probabilities are not numbers"}


# A real server ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"transformers' server needs {package}, which is not installed")
    folder = tmp_path_factory.mktemp("served") / "tiny"
    tokenizer = make_tokenizer(begin=True, chat=CHAT)
    make_network("llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    command = [str(program), "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    log = folder.with_name("log")
    with log.open("w") as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
        yield f"openai:http://127.0.0.1:{port}/v1#{folder}"
    finally:
        process.kill()
        process.wait()


def test_texts_come_from_a_real_server_and_log_probabilities_do_not(serving: str) -> None:
    model = load_model(serving, remote=RemoteSettings(concurrency=2, backoff=0.01))
    requests = [
        Generate(Prompt("The kettle is", system="Sell."), Sampling(8)),
        Generate(Prompt("这款水壶"), Sampling(8, temperature=1.0, top_p=0.9, n=2)),
        Generate(Prompt("The kettle is"), Sampling(8), raw=True),
    ]
    texts = model.generate(requests)
    assert len(texts) == 4
    assert any(texts)
    assert model.generate(requests[:1]) == texts[:1]
    with pytest.raises(Unsupported, match="no log-probabilities"):
        model.score([Pair("The kettle is", " navy")])


def test_a_server_that_refuses_all_it_is_first_asked_is_misnamed_and_no_model_fails() -> None:
    with Loopback() as server:
        server.fail_when(lambda _: server.answered == 0, Fault(400, body='{"error": {"message": "pinned to another"}}'))
        asked = [Generate(Prompt(f"p{i}")) for i in range(12)]
        with pytest.raises(ModelError, match=r"refused the first 5 requests and answered none.*pinned to another"):
            RemoteModel(server.url, "tiny", RemoteSettings(backoff=0.001, concurrency=1)).generate(asked)


def test_a_few_refusals_among_answers_are_those_of_their_requests() -> None:
    with Loopback() as server:
        server.fail_when(lambda body: "p1" in str(body), Fault(400))
        model = RemoteModel(server.url, "tiny", RemoteSettings(backoff=0.001, concurrency=1))
        replies = attempted(model, [Generate(Prompt(f"p{i}")) for i in range(20)])
    assert sum(isinstance(reply, Failed) for reply in replies) == 11


def test_reused_answers_belong_to_one_address_and_one_name() -> None:
    reuse = RemoteSettings(reuse=True)
    places = [("http://127.0.0.1:1/v1", "a"), ("http://127.0.0.1:2/v1", "a"), ("http://127.0.0.1:1/v1", "b")]
    assert len({RemoteModel(url, name, reuse).fingerprint for url, name in places}) == 3
