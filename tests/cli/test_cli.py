"""The command line in real processes: files, exit codes, resuming, refusals.

A process that loads torch takes seconds to start, so few runs are shared by many tests, and two go side by side.
"""

from __future__ import annotations

import csv
import hashlib
import json
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Done = subprocess.CompletedProcess[str]

FILES = {"result.json", "report.html", "evidence.sqlite", "junit.xml", "manifest.json"}
VERDICTS = {"pass": 0, "fail": 1, "undecided": 3}
LIMIT = "200"  # cases enough that the honest function passes every gate
MAIN = "from shoplm_audit.cli import main; main()"
HEAVY = ("torch", "transformers", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "opacus")

# What a user has beside his audit: an honest writer, one that lies, one that is slow and counts, one that echoes.
SHOP = """
import sys, time
from pathlib import Path
from shoplm_audit import Generate, Prompt
from shoplm_audit.saboteurs.model import Saboteur

def honest(prompts):
    return Saboteur().generate([Generate(Prompt(prompt)) for prompt in prompts])

def liar(prompts):
    return Saboteur(hallucinate=0.9).generate([Generate(Prompt(prompt)) for prompt in prompts])

def counting(prompts):
    with Path("asked.txt").open("a") as asked:
        for prompt in prompts:
            print(repr(prompt), file=asked)
    if Path("slow").exists() and len(Path("asked.txt").read_text().splitlines()) > 32:
        print("the second batch begins", file=sys.stderr, flush=True)
        time.sleep(60)
    return honest(prompts)

def echo(prompts):
    with Path("seen.txt").open("a") as seen:
        seen.writelines(prompts)
    return prompts
"""
NO_SOCKETS = f"""
import socket
def refused(*arguments):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = socket.getaddrinfo = refused
{MAIN}
"""
# Says at its end which heavy libraries were imported, and how much of a processor it took.
WITNESS = f"""
import atexit, sys, time
heavy = {HEAVY!r}
def testify():
    print("witness", round(time.process_time(), 2), *(set(heavy) & set(sys.modules)), file=sys.stderr)
atexit.register(testify)
{MAIN}
"""
# Several commands in one process, one after the other: what they said, and which heavy libraries were imported by then.
IN_TURN = f"""
import contextlib, io, json, sys
from shoplm_audit.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    heavy = sorted(set({HEAVY!r}) & set(sys.modules))
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
"""
INTERRUPTIBLE = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
{MAIN}
"""


def result_of(folder: Path) -> dict[str, Any]:
    """`result.json` without what may differ between two runs of one audit."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    result.pop("seconds")
    return result


def gate_of(folder: Path, name: str) -> dict[str, Any]:
    gates = [gate for suite in result_of(folder)["suites"] for gate in suite["gates"] if gate["id"] == name]
    assert len(gates) == 1, f"{name} in {[gate['id'] for gate in gates]}"
    found: dict[str, Any] = gates[0]
    return found


def told(done: Done, code: int) -> str:
    """Standard error of a command that had to end with this code, with no traceback."""
    assert done.returncode == code, f"{done.args[1:]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return str(done.stderr)


@pytest.fixture(scope="module")
def in_turn(shoplm: Callable[..., Done]) -> Callable[..., list[Done]]:
    """Several short commands, all in one process; `stderr` ends with the heavy libraries that were imported by then."""

    def run(*commands: tuple[str | Path, ...], cwd: Path) -> list[Done]:
        asked = [list(map(str, command)) for command in commands]
        done = shoplm(json.dumps(asked), cwd=cwd, code=IN_TURN)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            subprocess.CompletedProcess(command, code, out, f"{err}imported: {' '.join(heavy)}")
            for command, (code, out, err, heavy) in zip(asked, rows, strict=True)
        ]

    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def interrupt(process_environment: dict[str, str]) -> Callable[..., tuple[int, str]]:
    """Runs a command, sends SIGINT once its standard error has said `after`; its exit code and what it said."""

    def run(*arguments: str | Path, cwd: Path, after: str) -> tuple[int, str]:
        command = [sys.executable, "-c", INTERRUPTIBLE, *map(str, arguments)]
        with subprocess.Popen(
            command, cwd=cwd, env=process_environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if after in line:
                    process.send_signal(signal.SIGINT)
                    break
            else:
                pytest.fail(f"it ended without saying {after!r}:\n{said}")
            said += process.stderr.read()
            return process.wait(timeout=60), said

    return run


# A local model ------------------------------------------------------------------------------------

LOCAL = ("run", "faithfulness", "bias", "--limit", "12")


@pytest.fixture(scope="module")
def trained(
    in_turn: Callable[..., list[Done]], tmp_path_factory: pytest.TempPathFactory, workers: ThreadPoolExecutor
) -> Future[dict[str, Any]]:
    """A public pretraining, then a private fine-tuning of it, then three texts of the first."""
    folder = tmp_path_factory.mktemp("trained")
    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["product", "user", "rating", "text"])
        for i in range(60):
            rows.writerow(
                [f"p{i % 7}", f"u{i % 20}", 1 + i % 5, f"Review {i}: the kettle boils in {i % 9 + 1} minutes."]
            )
    (folder / "public.jsonl").write_text(
        "".join(json.dumps({"text": f"The kettle number {i} is navy."}) + "\n" for i in range(30)), encoding="utf-8"
    )
    shape = ["--layers", "1", "--heads", "2", "--width", "16", "--context", "64", "--vocabulary", "300", "--batch", "6"]
    private = ["--from", "plain", "--epsilon", "8", "--unit", "user", "--steps", "4", "--batch", "6"]
    asked = ["--model", "plain", "--prompt", "Kettle:", "-n", "3", "--max-new-tokens", "5", "--out", "texts.jsonl"]

    def work() -> dict[str, Any]:
        done = in_turn(
            ("train", "--public", "texts=public.jsonl", "--steps", "6", *shape, "--out", "plain"),
            ("train", "--data", "reviews.csv", *private, "--out", "private"),
            ("generate", *asked),
            ("doctor",),
            cwd=folder,
        )
        return {"folder": folder} | dict(zip(("plain", "private", "sampled", "doctor"), done, strict=True))

    return workers.submit(work)


@pytest.fixture(scope="module")
def local(
    tiny_checkpoint: Path,
    shoplm: Callable[..., Done],
    interrupt: Callable[..., tuple[int, str]],
    tmp_path_factory: pytest.TempPathFactory,
    workers: ThreadPoolExecutor,
    trained: Future[dict[str, Any]],  # goes on beside it
) -> Future[dict[str, Any]]:
    """One audit twice in one folder: interrupted, then resumed with no network."""
    folder = tmp_path_factory.mktemp("local")
    command = (*LOCAL, "--model", tiny_checkpoint, "--out", "runs/tiny")

    def work() -> dict[str, Any]:
        found: dict[str, Any] = {"folder": folder / "runs" / "tiny"}
        found["interrupted"] = interrupt(*command, cwd=folder, after="bias.refund")
        found["left"] = {path.name for path in found["folder"].iterdir()}
        found["resumed"] = shoplm(*command, cwd=folder, code=NO_SOCKETS)
        found["result"] = result_of(found["folder"])
        return found

    return workers.submit(work)


def test_a_local_folder_is_audited_and_every_file_is_written(local: Future[dict[str, Any]]) -> None:
    found = local.result()
    told(found["resumed"], VERDICTS[found["result"]["verdict"]])
    folder = found["folder"]
    assert {path.name for path in folder.iterdir()} >= FILES
    hashes = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert set(hashes) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, digest in hashes.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert stat.S_IMODE((folder / "evidence.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder.parent / "store.sqlite").stat().st_mode) == 0o600
    assert str(folder.relative_to(folder.parents[1]) / "report.html") in found["resumed"].stdout


def test_the_result_keeps_its_published_schema(local: Future[dict[str, Any]]) -> None:
    import jsonschema

    schema = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text(encoding="utf-8"))
    text = (local.result()["folder"] / "result.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    jsonschema.validate(json.loads(text), schema)


def test_an_interrupted_audit_ends_with_130_and_leaves_no_half_result(local: Future[dict[str, Any]]) -> None:
    found = local.result()
    code, said = found["interrupted"]
    assert code == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert not found["left"] & FILES


def test_a_resumed_audit_gives_the_numbers_of_an_uninterrupted_one(
    local: Future[dict[str, Any]], tiny_checkpoint: Path
) -> None:
    import torch

    from shoplm_audit import audit

    resumed = local.result()["result"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = audit(str(tiny_checkpoint), ["faithfulness", "bias"], limit=12)
    finally:
        torch.set_num_threads(threads)
    fresh = json.loads(whole.result.model_dump_json())
    for part in ("suites", "verdict", "model", "notes", "confidence", "seed", "environment"):
        assert resumed[part] == fresh[part], part


def test_the_store_answers_the_same_audit_and_nothing_is_computed(
    local: Future[dict[str, Any]], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplm_audit import Store, audit
    from shoplm_audit.models.local import LocalModel

    def computed(*arguments: object) -> None:
        raise AssertionError("a request was computed")

    found = local.result()
    monkeypatch.setattr(LocalModel, "score", computed)
    monkeypatch.setattr(LocalModel, "generate", computed)
    with Store(found["folder"].parent / "store.sqlite") as store:
        again = audit(str(tiny_checkpoint), ["faithfulness", "bias"], limit=12, store=store)
    assert json.loads(again.result.model_dump_json())["suites"] == found["result"]["suites"]


def test_nothing_is_told_on_standard_output_but_the_verdicts_and_the_page(local: Future[dict[str, Any]]) -> None:
    lines = local.result()["resumed"].stdout.splitlines()
    gates = [gate["id"] for suite in local.result()["result"]["suites"] for gate in suite["gates"]]
    assert sum(any(gate in line for gate in gates) for line in lines) == len(gates)
    assert lines[-1].endswith("report.html")


# Training and writing -----------------------------------------------------------------------------


def test_train_leaves_a_checkpoint_with_a_record_and_says_what_it_promises(trained: Future[dict[str, Any]]) -> None:
    found = trained.result()
    for name in ("plain", "private"):
        told(found[name], 0)
        assert f"shoplm-audit run --model {name}" in found[name].stdout
    folder = found["folder"]
    plain, private = (json.loads((folder / n / "training.json").read_text("utf-8")) for n in ("plain", "private"))
    assert "no privacy guarantee" in found["plain"].stdout
    assert plain["privacy"] is None
    assert 0 < private["privacy"]["epsilon"] <= 8
    assert private["privacy"]["unit"] == "user"
    assert private["privacy"]["sentence"] in found["private"].stdout
    assert stat.S_IMODE((folder / "private" / "audit-secrets.json").stat().st_mode) == 0o600
    assert "boils in" not in json.dumps(private)


def test_generate_samples_several_texts_and_labels_each_as_generated(trained: Future[dict[str, Any]]) -> None:
    found = trained.result()
    told(found["sampled"], 0)
    rows = [json.loads(line) for line in (found["folder"] / "texts.jsonl").read_text("utf-8").splitlines()]
    assert [row["sample"] for row in rows] == [0, 1, 2]
    assert len({row["text"] for row in rows}) == 3
    assert all(row["ai_generated"] is True and row["prompt"] == "Kettle:" for row in rows)


def test_generate_writes_greedily_about_each_record_of_a_file(shoplm: Callable[..., Done], shop: Path) -> None:
    (shop / "catalogue.csv").write_text(
        "id,title,category,colour,weight\np1,Alder kettle,kettles,navy,1.2 kg\np2,Birch kettle,kettles,red,2 kg\n",
        "utf-8",
    )
    done = shoplm("generate", "--model", "python:shop:honest", "--data", "products=catalogue.csv", cwd=shop)
    told(done, 0)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in rows] == ["p1", "p2"]
    assert "navy" in rows[0]["prompt"]
    assert all(row["text"].strip() for row in rows)


def test_generate_prints_a_text_for_a_prompt(shoplm: Callable[..., Done], shop: Path) -> None:
    done = shoplm("generate", "--model", "python:shop:echo", "--prompt", "I love shopping because", cwd=shop)
    told(done, 0)
    assert done.stdout == "I love shopping becauseI love shopping because\n\n"


def test_doctor_names_what_is_installed_and_the_device(trained: Future[dict[str, Any]]) -> None:
    done = trained.result()["doctor"]
    told(done, 0)
    assert "torch 2" in done.stdout
    assert "cuda:0" in done.stdout or "no GPU" in done.stdout
    assert "MISSING" not in done.stdout


# Functions and recorded answers --------------------------------------------------------------------


@pytest.fixture(scope="module")
def functions(shoplm: Callable[..., Done], shop: Path) -> dict[str, Done]:
    """An honest and a lying function under the same audit; the honest one in the folder that a run chooses itself."""
    ask = ("run", "faithfulness", "--limit", LIMIT, "--model")
    return {
        "honest": shoplm(*ask, "python:shop:honest", "--out", "honest", cwd=shop),
        "liar": shoplm(*ask, "python:shop:liar", cwd=shop),
    }


def chosen_folder(shop: Path) -> Path:
    return next(path for path in (shop / "runs").iterdir() if path.name.startswith("shop.liar-"))


def test_the_exit_code_is_the_verdict(functions: dict[str, Done], shop: Path) -> None:
    told(functions["honest"], 0)
    assert result_of(shop / "honest")["verdict"] == "pass"
    told(functions["liar"], 1)
    assert result_of(chosen_folder(shop))["verdict"] == "fail"


def test_a_run_chooses_its_own_folder_and_prints_it(functions: dict[str, Done], shop: Path) -> None:
    page = shop / functions["liar"].stdout.splitlines()[-1]
    assert page == chosen_folder(shop) / "report.html"
    assert page.is_file()


def test_a_model_without_weights_is_called_unverifiable(functions: dict[str, Done], shop: Path) -> None:
    result = result_of(shop / "honest")
    assert result["model"]["fingerprint"] == ""
    assert any("cannot be verified" in note for note in result["notes"])
    assert result["command"] == "shoplm-audit run faithfulness --limit 200 --model python:shop:honest --out honest"


def test_comparing_a_run_with_itself_shows_no_difference(
    functions: dict[str, Done], shop: Path, in_turn: Callable[..., list[Done]]
) -> None:
    [done] = in_turn(("compare", "honest", "honest"), cwd=shop)
    told(done, 0)
    told_of = [word for word in done.stdout.split() if word.startswith("faithfulness.")]
    assert len(told_of) == len(set(told_of)) > 10
    assert not any(word in done.stdout for word in ("worse", "better"))


def test_a_worse_run_fails_the_comparison_and_a_better_one_does_not(
    functions: dict[str, Done], shop: Path, in_turn: Callable[..., list[Done]]
) -> None:
    liar = chosen_folder(shop)
    worse, better, allowed = in_turn(
        ("compare", "honest", liar), ("compare", liar, "honest"), ("compare", "honest", liar, "--margin", "1"), cwd=shop
    )
    told(worse, 1)
    assert any(line.startswith("worse") and "rate_contradicted" in line for line in worse.stdout.splitlines())
    told(better, 0)
    assert any(line.startswith("better") and "rate_contradicted" in line for line in better.stdout.splitlines())
    told(allowed, 0)


def test_a_finished_run_is_rendered_again_and_its_manifest_follows(
    functions: dict[str, Done], shop: Path, in_turn: Callable[..., list[Done]]
) -> None:
    folder = chosen_folder(shop)
    (folder / "report.html").write_text("changed", encoding="utf-8")
    junit = ("report", folder, "--format", "junit", "--out", "ci.xml")
    for done in in_turn(("report", folder), junit, cwd=shop):
        told(done, 0)
    assert "rate_contradicted" in (folder / "report.html").read_text(encoding="utf-8")
    assert (shop / "ci.xml").read_text("utf-8") == (folder / "junit.xml").read_text("utf-8")
    hashes = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert hashlib.sha256((folder / "report.html").read_bytes()).hexdigest() == hashes["report.html"]


def test_what_a_function_answered_before_the_interruption_is_not_asked_again(
    shoplm: Callable[..., Done], interrupt: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "slow").touch()
    command = ("run", "faithfulness", "--limit", "120", "--model", "python:shop:counting", "--out", "run")
    code, said = interrupt(*command, cwd=tmp_path, after="the second batch begins")
    assert code == 130, said
    (tmp_path / "slow").unlink()
    resumed = shoplm(*command, cwd=tmp_path)
    result = result_of(tmp_path / "run")
    told(resumed, VERDICTS[result["verdict"]])
    asked = (tmp_path / "asked.txt").read_text(encoding="utf-8").splitlines()
    assert len(set(asked)) > 120
    # Attribution asks its twelve prompts raw, which is another request of the same words.
    assert len(asked) == len(set(asked)) + 12 + 32, (
        "the batch that was cut off is asked again, the one before it is not"
    )
    again = shoplm(*command, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (resumed.returncode, resumed.stdout)
    assert result_of(tmp_path / "run") == result
    assert (tmp_path / "asked.txt").read_text(encoding="utf-8").splitlines() == asked


@pytest.fixture(scope="module")
def planned(in_turn: Callable[..., list[Done]], shop: Path) -> list[Done]:
    return in_turn(
        ("plan", "faithfulness", "--limit", LIMIT, "--prompts", "prompts.jsonl"),
        ("plan", "faithfulness", "bias", "--model", "python:shop:counting", "--limit", "30"),
        cwd=shop,
    )


def test_prompts_are_planned_answered_elsewhere_and_audited(
    planned: list[Done], functions: dict[str, Done], shoplm: Callable[..., Done], shop: Path
) -> None:
    from shoplm_audit import Generate, Prompt
    from shoplm_audit.saboteurs.model import Saboteur

    told(planned[0], 0)
    rows = [json.loads(line) for line in (shop / "prompts.jsonl").read_text("utf-8").splitlines()]
    assert len({(row["case"], row["sample"]) for row in rows}) == len(rows)
    assert len([row for row in rows if "/description/" in row["case"]]) == int(LIMIT)
    assert not any(row["sampling"]["required"] for row in rows)  # nobody else can be held to words
    texts = Saboteur().generate([Generate(Prompt(row["prompt"])) for row in rows])
    answers = (
        {"case": row["case"], "sample": row["sample"], "text": text} for row, text in zip(rows, texts, strict=True)
    )
    (shop / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers), encoding="utf-8")
    command = ("run", "faithfulness", "--limit", LIMIT, "--model", "recorded:answers.jsonl", "--out", "recorded")
    told(shoplm(*command, cwd=shop), functions["honest"].returncode)
    there, here = (result_of(shop / name)["suites"][0] for name in ("recorded", "honest"))
    assert (there["estimates"], there["gates"]) == (here["estimates"], here["gates"])


def test_a_missing_recorded_answer_counts_against_the_model(
    planned: list[Done], shoplm: Callable[..., Done], shop: Path
) -> None:
    rows = [json.loads(line) for line in (shop / "prompts.jsonl").read_text("utf-8").splitlines()]
    row = rows[0]
    (shop / "one.jsonl").write_text(json.dumps({"case": row["case"], "text": "A kettle."}) + "\n", "utf-8")
    command = ("run", "faithfulness", "--limit", LIMIT, "--model", "recorded:one.jsonl", "--out", "one")
    told(shoplm(*command, cwd=shop), 1)
    tested = {row["case"] for row in rows if row["case"].split("/")[1] != "constrained"}
    assert result_of(shop / "one")["suites"][0]["counts"]["errored"] == len(tested) - 1


def test_plan_says_cases_and_what_each_gate_can_see_and_asks_but_a_few(planned: list[Done], shop: Path) -> None:
    told(planned[1], 0)
    lines = planned[1].stdout.splitlines()
    assert any(line.split()[:2] == ["faithfulness/description", "30"] for line in lines)
    assert any("bias/asked_price" in line and "not tested" in line for line in lines)
    gate = next(line for line in lines if line.startswith("faithfulness.rate_contradicted"))
    assert "30 units" in gate
    assert len((shop / "asked.txt").read_text(encoding="utf-8").splitlines()) < 60  # of a thousand


# audit.toml -----------------------------------------------------------------------------------------


def test_audit_toml_decides_prompts_system_gates_and_scope(
    shoplm: Callable[..., Done], shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    policy = tmp_path / "policy"
    (policy / "prompts").mkdir(parents=True)
    (policy / "prompts" / "description.j2").write_text("OUR OWN WORDS for {{ title }}.", encoding="utf-8")
    (policy / "audit.toml").write_text(
        """
model = "python:shop:echo"
suites = ["faithfulness"]
system = "You write for the shop of Ada."
limit = 20
[prompts]
description = "prompts/description.j2"
[gates]
"faithfulness.rate_contradicted" = { at_most = 0.5 }
"faithfulness.mean_attribute_recall[language=zh]" = { at_least = 0.9 }
[scope]
"faithfulness.rate_unsupported" = "not applicable: <our> records are not complete"
""",
        encoding="utf-8",
    )
    done = shoplm("run", "--config", "policy/audit.toml", "--out", "run", cwd=tmp_path)
    folder = tmp_path / "run"
    assert done.returncode == VERDICTS[result_of(folder)["verdict"]], done.stderr
    seen = (tmp_path / "seen.txt").read_text(encoding="utf-8")
    assert seen.count("You write for the shop of Ada.") == seen.count("OUR OWN WORDS for ") >= 20
    assert gate_of(folder, "faithfulness.rate_contradicted")["at_most"] == 0.5
    assert gate_of(folder, "faithfulness.mean_attribute_recall[language=zh]")["slice"] == {"language": "zh"}
    excused = gate_of(folder, "faithfulness.rate_unsupported")
    assert excused["verdict"] == "not_applicable"
    assert excused["why"] == "not applicable: <our> records are not complete"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "&lt;our&gt; records are not complete" in page[: page.index('id="findings"')]
    assert "<our>" not in page


def test_the_command_line_wins_over_audit_toml(shoplm: Callable[..., Done], shop: Path) -> None:
    (shop / "wins.toml").write_text('model = "python:shop:liar"\nsuites = ["privacy"]\nlimit = 4\n', "utf-8")
    options = ("--model", "python:shop:honest", "--limit", "61", "--out", "wins", "--config", "wins.toml")
    done = shoplm("run", "faithfulness", *options, cwd=shop)
    result = result_of(shop / "wins")
    told(done, VERDICTS[result["verdict"]])
    assert result["model"]["name"] == "shop.honest"
    assert [suite["name"] for suite in result["suites"]] == ["faithfulness"]
    assert next(e["n"] for e in result["suites"][0]["estimates"] if e["metric"] == "rate_contradicted") == 61


# Looking --------------------------------------------------------------------------------------------


def test_suites_lists_every_suite_with_its_question_and_gates(shoplm: Callable[..., Done], tmp_path: Path) -> None:
    done = shoplm("suites", cwd=tmp_path)
    told(done, 0)
    for name in ("task_quality", "faithfulness", "bias", "fake_reviews", "privacy"):
        assert f"\n{name}: " in f"\n{done.stdout}"
    assert "gate faithfulness.rate_contradicted <= 0.1" in done.stdout


def test_data_check_describes_a_good_file_and_names_each_bad_row(
    in_turn: Callable[..., list[Done]], tmp_path: Path
) -> None:
    head = "product,user,rating,text\np1,u1,5,It boils quickly.\n"
    (tmp_path / "good.csv").write_text(head, encoding="utf-8")
    (tmp_path / "bad.csv").write_text(head + "p2,u2,seven,It broke.\np3,u3,4,\n", encoding="utf-8")
    good, bad_one = in_turn(("data", "check", "good.csv"), ("data", "check", "bad.csv"), cwd=tmp_path)
    told(good, 0)
    assert "1 good rows of kind reviews, 0 bad" in good.stdout
    bad = told(bad_one, 2)
    assert "bad.csv:3" in bad
    assert "seven" in bad
    assert "bad.csv:4" in bad


# Refusals -------------------------------------------------------------------------------------------

# name: arguments, and what the one line has to say
HONEST = ("--model", "python:shop:honest")
REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "frontier of no number": (("frontier", "--epsilons", "1,lots"), ('"lots"', "1,3,8,inf")),
    "frontier of one point": (("frontier", "--epsilons", "8"), ("two points", "1,3,8,inf")),
    "frontier without data": (("frontier",), ("--data",)),
    "frontier of an unknown suite": (("frontier", "--data", "x", "--suite", "faithfullness"), ('"faithfullness"',)),
    "frontier elsewhere": (("frontier", "--data", "x", "--out", "pickled"), ("pickled", "no frontier", "--out")),
    "role given twice": (("run", *HONEST, "--with", "second=a", "--with", "second=b"), ("second", "given already")),
    "unknown suite": (("run", "faithfullness", *HONEST), ('"faithfullness"', "built in are", "privacy")),
    "folder that is no model": (("run", "--model", "empty_folder"), ("empty_folder", "config.json")),
    "folder that is not there": (("run", "--model", "empty_folder/none"), ("no such folder",)),
    "unknown kind of model": (("run", "--model", "ftp:there"), ('"ftp:there"', "python:module:function")),
    "demo with a suite": (("run", "faithfulness", "--model", "demo"), ("demo.toml", "--out")),
    "demo of the config": (("run", "--config", "demo.toml"), ('"demo"', "run --model demo")),
    "no model": (("run",), ("--model SPEC",)),
    "pickle": (("run", "--model", "pickled"), ("pytorch_model.bin", "pickle", "--trust")),
    "empty data file": (("run", *HONEST, "--data", "reviews=empty.csv"), ("empty.csv",)),
    "missing data file": (("run", *HONEST, "--data", "reviews=none.csv"), ("none.csv",)),
    "bad row": (("run", *HONEST, "--data", "reviews=bad.csv"), ("bad.csv:3", "seven")),
    "wrong encoding": (("run", *HONEST, "--data", "reviews=latin.csv"), ("latin.csv", "UTF-8")),
    "unknown kind of data": (("run", *HONEST, "--data", "orders=bad.csv"), ("orders", "reviews")),
    "unknown key": (("run", "--config", "key.toml"), ("key.toml", "modle", "unknown key", "suites")),
    "unknown gate": (("run", "--config", "gate.toml"), ("rate_contradictd", "rate_contradicted")),
    "unknown scope": (("run", "--config", "scope.toml"), ("privacy.nothing", "privacy.membership")),
    "no TOML": (("run", "--config", "bad.csv"), ("bad.csv", "TOML")),
    "missing config": (("run", "--config", "none.toml"), ("none.toml",)),
    "missing template": (("run", "--config", "template.toml"), ("prompts.description", "none.j2")),
    "unwritable folder": (("run", *HONEST, "--out", "bad.csv/run"), ("bad.csv/run", "--out")),
    "missing module": (("run", "--model", "python:no_such:function"), ("no_such",)),
    "missing answers": (("run", "--model", "recorded:none.jsonl"), ("none.jsonl",)),
    "no run to report": (("report", "empty_folder"), ("empty_folder", "no finished run")),
    "unknown format": (("report", "empty_folder", "--format", "pdf"), ('"pdf"', "junit")),
    "no time": (("run", *HONEST, "--budget", "soon"), ('"soon"', "10m")),
    "unknown engine": (("run", *HONEST, "--engine", "spark"), ('"spark"', "ray")),
    "no remote model": (("run", "--model", "openai:http://127.0.0.1:1"), ("openai:http://127.0.0.1:1", "#MODEL")),
    "no store to explain": (("cache", "explain", *HONEST, "--store", "none.sqlite"), ("none.sqlite", "--store")),
    "no runs to compare": (("compare", "empty_folder", "empty_folder"), ("no finished run",)),
    "nothing to learn": (("train", "--out", "new"), ("--data", "--public")),
    "checkpoint is there": (("train", "--data", "good.csv", "--out", "pickled"), ("pickled", "exists")),
    "unknown objective": (
        ("train", "--data", "good.csv", "--out", "new", "--objective", "magic"),
        ('"magic"', "causal"),
    ),
    "shape of another objective": (
        ("train", "--data", "good.csv", "--out", "new", "--shape", "bert"),
        ('"bert"', "gpt2"),
    ),
    "adapter of nothing": (("train", "--data", "good.csv", "--out", "new", "--adapter", "lora"), ("adapter", "base")),
    "base that is not there": (("train", "--data", "good.csv", "--out", "new", "--from", "no/model"), ("no/model",)),
    "no privacy budget": (("train", "--data", "good.csv", "--out", "new", "--epsilon", "0"), ("epsilon", "above 0")),
    "delta above 1/n": (
        ("train", "--data", "many.csv", "--out", "new", "--epsilon", "1", "--delta", "0.1", "--batch", "4"),
        ("delta", "1/N"),
    ),
    "one private record": (("train", "--data", "good.csv", "--out", "new", "--epsilon", "1"), ("cannot be hidden",)),
    "batch larger than the data": (("train", "--data", "many.csv", "--out", "new"), ("Lower batch", "32")),
    "one label": (
        ("train", "--data", "good.csv", "--out", "new", "--objective", "classify", "--batch", "1"),
        ("1 label", "two"),
    ),
    "record without a title": (
        ("train", "--data", "good.csv", "--out", "new", "--objective", "seq2seq"),
        ("no title", "--skip-bad-rows"),
    ),
    "list of banned words that is empty": (
        ("train", "--data", "good.csv", "--out", "new", "--banned", "empty.csv"),
        ("empty.csv", "banned"),
    ),
    "greedy several times": (
        ("generate", *HONEST, "--prompt", "x", "-n", "2", "--strategy", "greedy"),
        ("-n 2", "sample"),
    ),
    "no prompt": (("generate", *HONEST), ("--prompt", "--data")),
    "unwritable prompts": (("plan", "faithfulness", "--prompts", "bad.csv/p"), ("bad.csv/p", "--prompts")),
    "unknown file to check": (("data", "check", "none.csv"), ("none.csv",)),
}


@pytest.fixture(scope="module")
def refusals(in_turn: Callable[..., list[Done]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    folder = tmp_path_factory.mktemp("refused")
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    (folder / "empty_folder").mkdir()
    (folder / "pickled").mkdir()
    (folder / "pickled" / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}', encoding="utf-8")
    (folder / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    (folder / "empty.csv").touch()
    head = "product,user,rating,text\np1,u1,5,It boils quickly.\n"
    (folder / "good.csv").write_text(head, encoding="utf-8")
    many = "".join(f"p{n},u{n},5,It boils {n} cups.\n" for n in range(2, 26))
    (folder / "many.csv").write_text(head + many, encoding="utf-8")
    (folder / "bad.csv").write_text(head + "p2,u2,seven,It broke.\n", encoding="utf-8")
    (folder / "latin.csv").write_text(head + "p2,u2,4,Très bon café.\n", encoding="latin-1")
    model = 'model = "python:shop:honest"\n'
    (folder / "key.toml").write_text('modle = "x"\n', encoding="utf-8")
    (folder / "gate.toml").write_text(model + '[gates]\n"faithfulness.rate_contradictd" = { at_most = 0.1 }\n', "utf-8")
    (folder / "scope.toml").write_text(model + '[scope]\n"privacy.nothing" = "no"\n', "utf-8")
    (folder / "demo.toml").write_text('model = "demo"\n', encoding="utf-8")
    (folder / "template.toml").write_text(model + '[prompts]\ndescription = "none.j2"\n', "utf-8")
    done = in_turn(*(arguments for arguments, _ in REFUSED.values()), cwd=folder)
    return dict(zip(REFUSED, done, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_with_a_remedy_before_anything_is_loaded(name: str, refusals: dict[str, Done]) -> None:
    done = refusals[name]
    told(done, 2)
    *lines, imported = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for words in REFUSED[name][1]:
        assert words in lines[0], lines[0]
    assert done.stdout == ""
    assert not {"torch", "transformers", "sklearn", "opacus"} & set(imported.split()), imported


def test_a_refusal_reaches_the_shell(shoplm: Callable[..., Done], tmp_path: Path) -> None:
    said = told(shoplm("run", "faithfullness", "--model", "x", cwd=tmp_path), 2)
    assert said.startswith('error: no suite "faithfullness"')
    assert said.count("\n") == 1


def test_a_folder_that_holds_another_audit_is_refused_and_left_as_it_is(
    functions: dict[str, Done], shop: Path, shoplm: Callable[..., Done]
) -> None:
    before = {path.name: path.read_bytes() for path in (shop / "honest").iterdir()}
    done = shoplm("run", "faithfulness", *HONEST, "--limit", "59", "--out", "honest", cwd=shop)
    assert "another audit" in told(done, 2)
    assert {path.name: path.read_bytes() for path in (shop / "honest").iterdir()} == before


def test_an_unknown_option_is_a_usage_error(shoplm: Callable[..., Done], tmp_path: Path) -> None:
    assert "--modle" in told(shoplm("run", "--modle", "x", cwd=tmp_path), 2)
    assert "retrain" in told(shoplm("retrain", cwd=tmp_path), 2)


VERBS = (
    *("", "run", "plan", "compare", "report", "train", "mitigate", "frontier", "generate", "score", "suites", "doctor"),
    *("data", "data check", "cache", "cache explain"),
)


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_the_published_page_and_imports_nothing_heavy(
    verb: str, shoplm: Callable[..., Done], tmp_path: Path
) -> None:
    done = shoplm(*verb.split(), "--help", cwd=tmp_path, code=WITNESS)
    witness = told(done, 0).split()
    assert witness[0] == "witness"
    assert witness[2:] == []
    assert float(witness[1]) < 0.5, "seconds of a processor"
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert done.stdout.replace("-c ", "shoplm-audit ").strip() in page


def test_the_version_is_printed(shoplm: Callable[..., Done], tmp_path: Path) -> None:
    done = shoplm("--version", cwd=tmp_path)
    told(done, 0)
    assert done.stdout.startswith("shoplm-audit 0.")
