"""One cluster of two workers on this machine, for all tests here; skips without Ray."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_networks import make_network

from shoplm_audit import audit
from shoplm_audit.errors import ConfigError, MachineError, ModelError, Unsupported
from shoplm_audit.models.asking import Failed, attempted
from shoplm_audit.models.distributed import Distributed
from shoplm_audit.models.fleet import Engine, Fleet, Lost, engine_of
from shoplm_audit.models.load import load_model
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.models.worker import Order, Worker
from shoplm_audit.store import Store
from shoplm_audit.types import Columns, Generate, Pair, Prompt, Sampling

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='needs Ray: pip install "shoplm-audit[ray]"'
)

WORDS = ("kettle", "navy", "holds", "litres", "review", "strap", "这款水壶", "很好", "two days", "again")
PAIRS = [
    Pair("The " + " ".join(WORDS[(i + k) % 10] for k in range(i % 9)), f" is {WORDS[i % 10]} {i}") for i in range(600)
]
ASKS = [
    Generate(
        Prompt(f"Write of the {WORDS[i % 10]} {i}."), Sampling(max_new_tokens=4 + i % 3, temperature=i % 2, seed=i)
    )
    for i in range(600)
]


def shouts(prompts: list[str]) -> list[str]:
    """A user's function; one worker or all of them fall over some prompts."""
    for prompt in prompts:
        word, _, marker = prompt.partition(" ")
        if word == "poison" or (word == "once" and not Path(marker).exists()):
            Path(marker or os.devnull).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "fault":
            raise Unpicklable(prompt, lambda: None)
        if word == "number":
            return [1]  # type: ignore[list-item]
    return [prompt.upper() for prompt in prompts]


class Unpicklable(Exception):
    def __init__(self, prompt: str, held: Any) -> None:
        super().__init__(f"cannot say {prompt}")
        self.held = held


def prompts(*texts: str) -> list[Generate]:
    return [Generate(Prompt(text)) for text in texts]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # so that workers can import `shouts`
        opened = Fleet(Engine("ray", workers=2))
    with opened:
        assert signal.getsignal(signal.SIGTERM) is handler
        yield opened


@pytest.fixture(scope="module")
def reviews(fleet: Fleet, gpt2_folder: Path) -> Distributed:
    return Distributed(str(gpt2_folder), fleet)


@pytest.fixture(scope="module")
def alone(gpt2_folder: Path) -> Any:
    return load_model(str(gpt2_folder), device="cpu")


@pytest.fixture(scope="module")
def shouting(fleet: Fleet) -> Distributed:
    return Distributed("python:test_distributed:shouts", fleet)


def both_ready(model: Distributed) -> list[int]:
    """The processes of two workers that have loaded the model."""
    import ray

    while len(model._seats()) < 2:
        model._next({})
    return [ray.get(seat.place)[1] for seat in model._seats()]


def bits(replies: list[Any]) -> list[Any]:
    return [
        reply
        if isinstance(reply, list)
        else (reply.log_prob.tobytes(), None if reply.rank is None else reply.rank.tolist())
        for reply in replies
    ]


# Engines --------------------------------------------------------------------------------------------


def test_an_engine_is_read_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOPLM_RAY_ACTORS", raising=False)
    assert engine_of("local") == Engine("local")
    assert engine_of("ray") == Engine("ray")
    for address in ("10.0.0.1:6379", "auto", "ray://host:10001", "[::1]:6379"):
        assert engine_of(f"ray:{address}") == Engine("ray", address)
    monkeypatch.setenv("SHOPLM_RAY_ACTORS", "3")
    assert engine_of("ray") == Engine("ray", workers=3)


@pytest.mark.parametrize(
    "text",
    ["", "dask", "rays", "ray:", "ray:host", "ray:host:", "ray::6379", "ray:http://host:1", "ray:a:99999", "local:x"],
)
def test_another_engine_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="engine"):
        engine_of(text)


def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLM_RAY_ACTORS", "all")
    with pytest.raises(ConfigError, match='"all"'):
        engine_of("ray")


@with_ray
@pytest.mark.parametrize("says", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["closed", "hangs up", "other"])
def test_a_cluster_that_is_not_there_is_one_line(says: bytes | None) -> None:
    import threading

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"

        def answer() -> None:
            line, _ = listening.accept()
            with line:
                line.recv(100)
                line.sendall(says or b"")

        if says is not None:
            listening.listen()
            other = threading.Thread(target=answer)
            other.start()
        with pytest.raises(MachineError, match=f'"ray:{address}" cannot be reached') as fault:
            Fleet(engine_of(f"ray:{address}"))
        assert "\n" not in str(fault.value)
        if says is not None:
            other.join()


def test_a_machine_without_ray_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"shoplm-audit\[ray\]"):
        Fleet(Engine("ray"))


def test_a_worker_is_not_told_which_gpu() -> None:
    with pytest.raises(ConfigError, match="cuda:1"):
        Fleet(Engine("ray"), device="cuda:1")


# The numbers of one process -----------------------------------------------------------------------------


@with_ray
def test_it_is_the_model_of_one_process(reviews: Distributed, alone: Any) -> None:
    for what in ("name", "fingerprint", "record", "batch_sensitive", "device", "dtype", "parameters", "context"):
        assert getattr(reviews, what) == getattr(alone, what), what
    assert reviews.plan(PAIRS) == alone.plan(PAIRS)
    assert reviews.plan(ASKS) == alone.plan(ASKS)
    assert min(len(alone.plan(PAIRS)), len(alone.plan(ASKS))) > 2
    long = [Pair("word " * 200, "end")]
    assert reviews.plan(long) == alone.plan(long)
    assert reviews.notes == alone.notes
    both_ready(reviews)
    assert "by 2 workers on 1 machine" in reviews.usage[-1]


@with_ray
def test_scores_and_texts_are_those_of_one_process_to_the_last_bit(reviews: Distributed, alone: Any) -> None:
    columns = Columns.LOG_PROB | Columns.RANK
    assert bits(reviews.score(PAIRS, columns)) == bits(alone.score(PAIRS, columns))
    assert reviews.generate(ASKS) == alone.generate(ASKS)


@with_ray
def test_an_audit_over_the_fleet_concludes_what_one_process_does(reviews: Distributed, alone: Any) -> None:
    over, one = (audit(model, ["task_quality"], limit=12).result for model in (reviews, alone))
    assert over.suites == one.suites
    assert over.suites[0].counts.scored > 0


@with_ray
def test_what_a_fleet_answered_one_process_finds_and_the_reverse(
    reviews: Distributed, alone: Any, tmp_path: Path
) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        first, second = Remembered(reviews, store), Remembered(alone, store)
        assert bits(first.score(PAIRS)) == bits(second.score(PAIRS))
        assert second.generate(ASKS) == first.generate(ASKS)
        assert (first.computed, second.computed) == (len(PAIRS), len(ASKS))


@with_ray
def test_a_machine_with_other_weights_is_refused(
    fleet: Fleet, gpt2_folder: Path, tmp_path: Path, tokenizers: dict[str, Any]
) -> None:
    import ray

    folder = tmp_path / "model"
    tokenizers["gpt2"].save_pretrained(folder)
    make_network("gpt2", len(tokenizers["gpt2"])).save_pretrained(folder)
    _, other = [ray.get(seat.place)[1] for seat in fleet.workers]
    os.kill(other, signal.SIGSTOP)
    try:
        model = Distributed(str(folder), fleet)
        make_network("gpt2", len(tokenizers["gpt2"]), seed=1).save_pretrained(folder)
    finally:
        os.kill(other, signal.SIGCONT)
    with pytest.raises(ModelError, match=rf"process {other}\) has another model than machine .* its fingerprint is"):
        both_ready(model)


@with_ray
def test_a_worker_killed_in_mid_run_costs_no_answer(reviews: Distributed, alone: Any) -> None:
    _, other = both_ready(reviews)
    batches = [PAIRS[start : start + 16] for start in range(0, 192, 16)]
    again = reviews._fleet.again
    os.kill(other, signal.SIGSTOP)  # so that its batches are surely under way when it dies
    found = {}
    for number, replies in reviews.answered(batches):
        if not found:
            os.kill(other, signal.SIGKILL)
        assert number not in found
        found[number] = bits(replies)
    assert [found[i] for i in range(len(batches))] == [bits(list(alone.compute(batch))) for batch in batches]
    assert reviews._fleet.again == again + 2
    assert f"{again + 2} batches lost with a worker" in reviews.usage[-1]
    assert len(reviews._fleet.workers) == 2


# Faults -------------------------------------------------------------------------------------------------


@with_ray
def test_a_worker_that_falls_once_is_replaced_and_its_batch_done_again(shouting: Distributed, tmp_path: Path) -> None:
    asked = prompts("a", f"once {tmp_path / 'marker'}", "b")
    replies = dict(shouting.answered([asked, prompts("c")]))
    assert replies == {0: [[one.prompt.flat.upper()] for one in asked], 1: [["C"]]}


@with_ray
def test_a_batch_that_kills_every_worker_ends_the_run_and_not_the_others(shouting: Distributed) -> None:
    coming = shouting.answered([prompts("poison" if i == 1 else f"p{i}") for i in range(6)])
    assert {number for number, _ in (next(coming) for _ in range(5))} == {0, 2, 3, 4, 5}
    with pytest.raises(MachineError, match=r"died one after another on batch 2 of 6 \(1 request\)"):
        next(coming)
    assert shouting.generate(prompts("after")) == ["AFTER"]


@with_ray
def test_one_bad_request_costs_its_neighbours_nothing(shouting: Distributed) -> None:
    replies = attempted(shouting, prompts("a", "fault", "b"))
    assert replies == [["A"], Failed("Unpicklable: cannot say fault"), ["B"]]
    with pytest.raises(RuntimeError, match="cannot say fault"):
        shouting.generate(prompts("fault"))


@with_ray
def test_what_the_model_refuses_is_refused_here(shouting: Distributed) -> None:
    with pytest.raises(Unsupported, match="no log-probabilities"):
        shouting.score(PAIRS[:3])
    with pytest.raises(ModelError, match="return a list of strings"):
        shouting.generate(prompts("number"))
    assert shouting.generate(prompts("still there")) == ["STILL THERE"]


@with_ray
def test_a_model_that_cannot_be_loaded_names_the_machine(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=rf'no config.json.*told by machine "{socket.gethostname()}"'):
        Distributed(str(tmp_path / "empty"), fleet)
    with pytest.raises(ModelError, match=f'under the same path.*machine "{socket.gethostname()}"'):
        Distributed("/not/on/this/machine", fleet)
    with pytest.raises(ConfigError, match="leave out --engine ray"):
        Distributed("recorded:answers.jsonl", fleet)


def test_a_machine_with_other_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoplm_audit.models import distributed

    here = Worker().load(Order("python:test_distributed:shouts", "cpu", None, False))
    monkeypatch.setattr(distributed, "versions_here", lambda: here.versions | {"transformers": "5.0"})
    model = object.__new__(Distributed)
    with pytest.raises(MachineError, match=r"there has transformers .*, this process 5.0"):
        model._compare(here, "there")


def test_workers_that_die_as_they_load_are_not_hired_for_ever() -> None:
    class Sinking:
        def __init__(self) -> None:
            self.workers, self.hired = ["first", "second"], 0

        def replace(self, seat: str, *, by_another: bool) -> bool:
            self.workers.remove(seat)
            if by_another:
                self.hired += 1
                self.workers.append(f"hired {self.hired}")
            return True

    model, fleet = object.__new__(Distributed), Sinking()
    model._fleet, model._order, model._barren = fleet, Order("big", "cpu", None, False), 0  # type: ignore[assignment]
    for _ in range(3):
        model._loaded(fleet.workers[0], Lost("out of memory"))  # type: ignore[arg-type]
    with pytest.raises(MachineError, match=r'die while they load "big": out of memory.*SHOPLM_RAY_ACTORS'):
        model._loaded(fleet.workers[0], Lost("out of memory"))  # type: ignore[arg-type]
    assert fleet.hired == 2


def test_a_worker_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch, gpt2_folder: Path) -> None:
    import torch

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "4")
    torch.set_num_threads(2)
    worker = Worker()
    assert os.environ["OMP_NUM_THREADS"] == "1"
    worker.load(Order(str(gpt2_folder), "cpu", None, False))
    assert torch.get_num_threads() == 1
