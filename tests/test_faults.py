"""What a run survives: kill -9 at any moment, a full disk, a damaged store, a broken model, too little memory.

The command line runs in children that are forked from one process with everything imported, a second or so each.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoplm_audit import Case, Generate, Probe, Prompt, Suite, audit, mean_of, rate_of
from shoplm_audit.errors import DataError, MachineError, ModelError
from shoplm_audit.store import Kept, Store
from shoplm_audit.types import Pair, Score

# Reads a JSON line {"arguments", "kill_after", "room"}, answers with one: {"code", "ran", "said"}.
FORKS = """
import json, os, resource, signal, sys, tempfile, threading, time
import torch, transformers, scipy.stats, jinja2
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel, PreTrainedTokenizerFast
from shoplm_audit.cli import main
import shoplm_audit.engine, shoplm_audit.rendering.files, shoplm_audit.rendering.terminal
import shoplm_audit.models.local, shoplm_audit.cli.auditing

def child(task, said):
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    if task["room"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["room"], task["room"]))
    sys.argv = ["shoplm-audit", *task["arguments"]]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    os._exit(code)

for line in sys.stdin:
    task = json.loads(line)
    with tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(task, said)
        if task["kill_after"] is not None:
            threading.Timer(task["kill_after"], os.kill, (pid, signal.SIGKILL)).start()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ran = time.monotonic() - began
        said.seek(0)
        print(json.dumps({"code": code, "ran": ran, "said": said.read()}), flush=True)
"""


class Forks:
    """Commands as children of one process."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", FORKS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment,
        )  # fmt: skip

    def __call__(self, *arguments: str | Path, kill_after: float | None = None, room: int = 0) -> dict[str, Any]:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        task = {"arguments": [str(one) for one in arguments], "kill_after": kill_after, "room": room}
        print(json.dumps(task), file=self._parent.stdin, flush=True)
        done: dict[str, Any] = json.loads(self._parent.stdout.readline())
        return done

    def close(self) -> None:
        self._parent.communicate()


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory, process_environment: dict[str, str]) -> Any:
    made = Forks(tmp_path_factory.mktemp("forks"), process_environment)
    yield made
    made.close()


def command(checkpoint: Path, folder: Path) -> list[str | Path]:
    return [
        *("run", "task_quality", "privacy", "--limit", "40", "--model", checkpoint),
        *("--out", folder / "run", "--store", folder / "store.sqlite"),
    ]


def result_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run" / "result.json").read_text())
    for volatile in ("seconds", "command"):
        found.pop(volatile)
    return found


@pytest.fixture(scope="module")
def whole(
    forks: Forks, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], float, Path]:
    """The result of an uninterrupted run, how long it took, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    done = forks(*command(tiny_checkpoint, folder))
    assert done["code"] in (0, 1, 3), done["said"]
    return result_in(folder), done["ran"], folder


def survives_kills(
    forks: Forks, checkpoint: Path, folder: Path, whole: tuple[dict[str, Any], float, Path], seed: int
) -> None:
    expected, seconds, _ = whole
    rng = random.Random(seed)
    for trial in range(8):
        work = folder / str(trial)
        killed = forks(*command(checkpoint, work), kill_after=rng.uniform(0.1, 0.9) * seconds)
        if killed["code"] == -9:
            break
        seconds = killed["ran"]  # it ended before its moment came: no trial, but the true length of a run by now
    assert killed["code"] == -9, killed
    done = forks(*command(checkpoint, work))
    assert done["code"] in (0, 1, 3), done["said"]
    assert result_in(work) == expected


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_random_moments_then_the_same_command_gives_the_same_result(
    forks: Forks, tiny_checkpoint: Path, tmp_path: Path, whole: tuple[dict[str, Any], float, Path], seed: int
) -> None:
    survives_kills(forks, tiny_checkpoint, tmp_path, whole, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 23))
def test_kill_9_at_twenty_more_random_moments(
    forks: Forks, tiny_checkpoint: Path, tmp_path: Path, whole: tuple[dict[str, Any], float, Path], seed: int
) -> None:
    survives_kills(forks, tiny_checkpoint, tmp_path, whole, seed)


def test_a_full_disk_is_one_line_and_exit_4_and_what_was_done_is_kept(
    forks: Forks, tiny_checkpoint: Path, tmp_path: Path, whole: tuple[dict[str, Any], float, Path]
) -> None:
    full = (whole[2] / "store.sqlite").stat().st_size
    largest = max(path.stat().st_size for path in (whole[2] / "run").iterdir())
    assert largest > 100_000
    for room in (full // 2, 60_000):  # while answers are kept; and then, with answers at hand, while files are written
        done = forks(*command(tiny_checkpoint, tmp_path), room=room)
        assert done["code"] == 4, done["said"]
        assert "Traceback" not in done["said"]
        assert "Free space" in done["said"].replace("\n", " ")
    with Store(tmp_path / "store.sqlite") as store:
        assert store._connection.execute("SELECT count(*) FROM replies").fetchone()[0] > 0
    forks(*command(tiny_checkpoint, tmp_path))
    assert result_in(tmp_path) == whole[0]


def test_a_second_run_of_the_same_folder_is_refused(forks: Forks, tiny_checkpoint: Path, tmp_path: Path) -> None:
    from shoplm_audit.evidence.claiming import claimed

    (tmp_path / "run").mkdir()
    with claimed(tmp_path / "run", "whatever"):
        done = forks(*command(tiny_checkpoint, tmp_path))
    assert done["code"] == 2
    assert "another run is at work" in done["said"]


def test_a_half_written_store_is_refused_or_right_and_never_wrong(
    whole: tuple[dict[str, Any], float, Path], tmp_path: Path
) -> None:
    source = whole[2] / "store.sqlite"
    with Store(source) as store:
        right = dict(store._connection.execute("SELECT key, reply FROM replies"))
    size, outcomes = source.stat().st_size, []
    for number, cut in enumerate([1, 50, 100, 4096, size // 3, size // 2, size - 4096, size - 1]):
        copy = tmp_path / f"{number}.sqlite"
        shutil.copy(source, copy)
        with copy.open("r+b") as file:
            file.truncate(cut)
        try:
            with Store(copy) as store:
                found = store.get(right)
                store.put({}, [Kept("fresh", "", "", "1")])
            outcomes.append("right" if found.items() <= right.items() else "wrong")
        except (DataError, MachineError) as fault:
            outcomes.append("refused" if "--store" in str(fault) else str(fault))
    assert set(outcomes) <= {"right", "refused"}
    assert "refused" in outcomes


# In one process ---------------------------------------------------------------------------------------


def ask(case: Case):
    text = yield Generate(case.prompt)
    return {"text": text, "said": len(text) > 0}


def weigh(case: Case):
    scores = yield Score(Pair(case.prompt.flat, f" and {case.id}"))
    return {"nats": scores.mean}


def suite_of(count: int) -> Suite:
    many = [Case(f"c{i}", prompt=Prompt(f"The kettle {i} is navy " + "and round " * (i % 5))) for i in range(count)]
    return Suite(
        "faults",
        "?",
        [
            Probe("write", many, ask, [rate_of("said", better="higher")]),
            Probe("weigh", many, weigh, [mean_of("nats", better="higher", worst=-20.0, best=0.0)]),
        ],
    )


@pytest.fixture
def local() -> Any:
    sys.path.insert(0, str(Path(__file__).parent / "models"))
    from small_networks import make_network, make_tokenizer

    from shoplm_audit.models.local import LocalModel

    tokenizer = make_tokenizer(begin=False)
    return LocalModel(make_network("gpt2", len(tokenizer)), tokenizer, name="small", fingerprint="sha256:small")


def test_logits_that_are_not_numbers_cost_their_own_case_only_and_are_told(local: Any) -> None:
    import torch

    poison = local.encoder.ids(" 17")[-1]

    def broken(module: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        return torch.where((inputs[0] == poison).any(-1)[:, None, None], torch.nan, output)

    hook = local.network.get_input_embeddings().register_forward_hook(broken)
    audited = audit(local, suite_of(24))
    hook.remove()
    counts = audited.result.suites[0].counts
    errored = [row.case.id for rows in audited.observations.values() for row in rows if row.status == "errored"]
    assert counts.errored == len(errored) >= 2
    assert (counts.planned, counts.scored) == (48, 48 - len(errored))
    assert "c17" in errored
    assert any("errored" in note for note in audited.result.notes)
    rate = next(one for one in audited.result.suites[0].estimates if one.metric == "rate_said")
    assert rate.n == 24
    assert rate.value <= 23 / 24


def test_too_little_memory_in_mid_run_is_gone_round(local: Any, tmp_path: Path) -> None:
    import torch

    expected = audit(local, suite_of(24))

    class Small:
        """A device whose memory holds four rows, from the third pass on."""

        passes = 0

        def __call__(self, module: Any, inputs: tuple[Any, ...]) -> None:
            self.passes += 1
            if self.passes > 3 and inputs[0].shape[0] * inputs[0].shape[1] > 150:
                raise torch.OutOfMemoryError

    hook = local.network.get_input_embeddings().register_forward_pre_hook(Small())
    with Store(tmp_path / "store.sqlite") as store:
        found = audit(local, suite_of(24), store=store)
    hook.remove()
    assert found.result.suites[0].counts == expected.result.suites[0].counts
    for key, rows in expected.observations.items():
        for column in ("nats", "said"):
            np.testing.assert_allclose(found.observations[key].numbers(column), rows.numbers(column), atol=1e-5)


def test_memory_that_holds_not_one_request_ends_the_run_and_keeps_what_was_done(local: Any, tmp_path: Path) -> None:
    import torch

    def none(module: Any, inputs: tuple[Any, ...]) -> None:
        raise torch.OutOfMemoryError

    with Store(tmp_path / "store.sqlite") as store:
        audit(local, suite_of(8), store=store)
        kept = store._connection.execute("SELECT count(*) FROM replies").fetchone()
        hook = local.network.get_input_embeddings().register_forward_pre_hook(none)
        with pytest.raises(MachineError, match="memory does not hold one request") as fault:
            audit(local, suite_of(9), store=store)
        hook.remove()
        assert fault.value.exit_code == 4
        assert store._connection.execute("SELECT count(*) FROM replies").fetchone() == kept > (0,)


# An endpoint ------------------------------------------------------------------------------------------


def test_an_endpoint_that_is_down_for_good_ends_the_run_with_4_and_what_it_answered_is_kept(tmp_path: Path) -> None:
    from loopback import Fault, Loopback

    from shoplm_audit.models.endpoint import RemoteSettings
    from shoplm_audit.models.load import load_model

    settings = RemoteSettings(backoff=0.001, attempts=2, concurrency=2)
    with Loopback() as server, Store(tmp_path / "store.sqlite") as store:

        def model() -> Any:
            return load_model(f"openai:{server.url}#tiny", remote=settings)

        expected = audit(model(), suite_of(24)).result.suites
        server.asked.clear()
        server.fail_when(lambda _: server.answered >= 24 * 2 + 10, Fault(500))
        with pytest.raises(MachineError) as fault:
            audit(model(), suite_of(24), store=store, run="one")
        assert fault.value.exit_code == 4
        kept = store._connection.execute("SELECT count(*) FROM replies").fetchone()[0]
        assert 10 <= kept < 48
        server.heal()
        server.asked.clear()
        assert audit(model(), suite_of(24), store=store, run="one").result.suites == expected
        assert len(server.asked) == 48 - kept
        assert audit(model(), suite_of(24), store=store, run="another").result.suites == expected
        assert len(server.asked) == 48 - kept + 48  # nobody can tell whether it is still the same model


def test_a_case_whose_answer_is_garbage_is_errored_and_stays_in_the_denominator() -> None:
    from loopback import Fault, Loopback

    from shoplm_audit.models.endpoint import RemoteSettings
    from shoplm_audit.models.load import load_model

    with Loopback(weigh=None) as server:
        server.fail_when(lambda body: " 7 is" in str(body), Fault(200, body="<html>"))
        model = load_model(f"openai:{server.url}#tiny", remote=RemoteSettings(backoff=0.001, attempts=2))
        told = audit(model, suite_of(24)).result
    (suite,) = told.suites
    assert (suite.counts.planned, suite.counts.scored, suite.counts.errored) == (48, 23, 1)
    (rate,) = (one for one in suite.estimates if one.metric == "rate_said")
    assert rate.value == 23 / 24
    assert "log-probabilities" in suite.not_tested["weigh"]
    assert any("cannot be verified" in note for note in told.notes)


def test_a_function_that_ends_the_program_is_no_passed_audit() -> None:
    from shoplm_audit.models.callables import CallableModel

    def leaves(prompts: list[str]) -> list[str]:
        sys.exit(0)

    with pytest.raises(ModelError, match="ended the program"):
        audit(CallableModel(leaves, "leaves"), suite_of(3))


def test_a_fault_of_the_program_is_not_the_exit_code_of_a_failed_gate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shoplm_audit import cli

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 4
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_who_has_seen_enough_does_not_fail_a_gate(process_environment: dict[str, str]) -> None:
    long = """
import sys
from shoplm_audit import cli
import typer
cli.app = lambda: typer.main.get_command(made)()
made = typer.Typer()
@made.command()
def talk():
    for _ in range(100_000):
        typer.echo("word " * 20)
cli.main()
"""
    program = f"{{ {sys.executable} -c '{long}'; echo $? >&2; }} | head -c 5"
    done = subprocess.run(
        ["bash", "-c", program], env=process_environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.strip() == "141"
