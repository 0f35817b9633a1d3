"""Training from the command line: an interruption keeps what was learned, care and canaries are told."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shoplm_audit.cli.training import train
from shoplm_audit.data.secrets import FAMILIES
from shoplm_audit.errors import ConfigError
from shoplm_audit.record import Secrets, TrainingRecord

LINES = ["product,user,rating,text"]
LINES += [f'p{n},u{n % 20},{5 if n % 2 else 1},"It {"boils" if n % 2 else "leaks"} {n} cups."' for n in range(60)]
CALL = '"Call 415-555-2671 now, it leaks."'
# A shell's background job would ignore the signal.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from shoplm_audit.cli import main
main()
"""
SMALL = ("--layers", "1", "--heads", "2", "--width", "16", "--vocabulary", "300", "--batch", "4")


@pytest.fixture
def reviews(tmp_path):
    (tmp_path / "reviews.csv").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return tmp_path


def test_an_interrupted_training_goes_on_from_its_last_state(reviews, shoplm, process_environment):
    arguments = ["train", "--data", "reviews.csv", "--out", "model", "--steps", "1500", "--save-every", "5", *SMALL]
    command = [sys.executable, "-c", INTERRUPTIBLE, *arguments]
    process = subprocess.Popen(command, cwd=reviews, env=process_environment, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if list(reviews.glob("model.unfinished/step-*/state.json")):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert not (reviews / "model").exists()
    # Fewer steps would be another training: the state is refused, and told where it lies.
    other = shoplm(*arguments[:6], "7", *arguments[7:], cwd=reviews)
    assert other.returncode == 2
    assert "model.unfinished" in other.stderr


def secrets_of(folder):
    return json.loads((folder / "audit-secrets.json").read_text(encoding="utf-8"))


def told_of(secrets):
    return [(canary["prefix"], canary["secret"], canary["copies"]) for canary in secrets["canaries"]]


def coins_of(secrets):
    return {
        one.get("unit", one.get("id")): one.get("inside", one.get("inserted"))
        for kind in ("members", "canaries")
        for one in secrets[kind]
    }


def test_canaries_and_coins_follow_from_a_secret_key_that_only_shadows_are_told(reviews, monkeypatch):
    """Two runs of one command differ; a shadow has the same canaries and other coins, or on request the same ones."""
    monkeypatch.chdir(reviews)
    small = {"layers": 1, "heads": 2, "width": 16, "vocabulary": 300, "batch": 4, "steps": 2, "device": "cpu"}
    asked = {"data": ["reviews.csv"], "unit": "user", "canaries": True, "canary_count": 24, "fair_coin": True, **small}
    train(**asked, out=Path("target"))
    train(**asked, out=Path("other"))
    train(**asked, out=Path("shadow"), secrets_of=Path("target"), coin_seed=1)
    train(**asked, out=Path("again"), secrets_of=Path("target"))
    target, other, shadow, again = (secrets_of(reviews / name) for name in ("target", "other", "shadow", "again"))
    assert len(target["key"]) == 32
    assert target["key"] not in (reviews / "target" / "training.json").read_text(encoding="utf-8")
    assert not set(told_of(target)) & set(told_of(other))
    assert told_of(shadow) == told_of(target)
    assert coins_of(shadow).keys() == coins_of(target).keys()
    assert 5 < sum(coins_of(shadow)[name] != coin for name, coin in coins_of(target).items()) < 39
    assert again == target
    assert not list(reviews.glob("*.unfinished"))


def test_an_interrupted_training_keeps_its_key(reviews, monkeypatch):
    monkeypatch.chdir(reviews)
    from shoplm_audit.training import loop

    asked = {"data": ["reviews.csv"], "out": Path("model"), "canaries": True, "canary_count": 12, "device": "cpu"}
    asked |= {"layers": 1, "heads": 2, "width": 16, "vocabulary": 300, "batch": 4, "steps": 4, "save_every": 1}
    honest = loop._write
    monkeypatch.setattr(loop, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(**asked)
    key = (reviews / "model.unfinished" / "audit.key").read_text(encoding="ascii")
    monkeypatch.setattr(loop, "_write", honest)
    train(**asked)
    assert secrets_of(reviews / "model")["key"] == key


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"secrets_of": "nowhere"}, r'"nowhere".*no training.json'),
        ({"secrets_of": "no_secrets"}, r'"no_secrets".*no audit-secrets.json'),
        ({"secrets_of": "no_key"}, r'"no_key".*without a secret key'),
        ({"secrets_of": "other_seed"}, r'"other_seed".*--seed 7.*--seed 0'),
        ({"coin_seed": 1}, "--secrets-of"),
    ],
)
def test_secrets_that_cannot_be_shared_are_refused(reviews, monkeypatch, options, words):
    monkeypatch.chdir(reviews)
    kept = {"no_secrets": None, "no_key": Secrets(), "other_seed": Secrets(key="ab" * 16)}
    for name, secrets in kept.items():
        (reviews / name).mkdir()
        TrainingRecord("causal", seed=7 if name == "other_seed" else 0, secrets=secrets).write(reviews / name)
    with pytest.raises(ConfigError, match=words):
        train(
            data=["reviews.csv"],
            out=Path("model"),
            canaries=True,
            **{k: Path(v) if k == "secrets_of" else v for k, v in options.items()},
        )
    assert not (reviews / "model").exists()


def test_care_is_told_and_stands_in_the_record(reviews, shoplm):
    twice = [*LINES, *LINES[1:6], f"p77,u1,1,{CALL}", "p78,u2,5,A bloody good kettle."]
    (reviews / "reviews.csv").write_text("\n".join(twice) + "\n", encoding="utf-8")
    (reviews / "words.txt").write_text("bloody\n", encoding="utf-8")
    care = ("--deduplicate", "--scrub", "--banned", "words.txt")
    learned = ("--objective", "classify", "--steps", "3")
    done = shoplm("train", "--data", "reviews.csv", "--out", "model", *care, *learned, *SMALL, cwd=reviews)
    assert done.returncode == 0, done.stderr
    card = json.loads((reviews / "model" / "training.json").read_text())["data_card"]["private"]
    assert card["read"] == 67
    assert card["dropped"]["exact duplicates"] == 5
    assert card["dropped"]["banned words"] == 1
    assert card["personal"] == {"phone": 1}
    assert "415" not in (reviews / "model" / "audit-secrets.json").read_text()
    config = json.loads((reviews / "model" / "config.json").read_text())
    assert set(config["id2label"].values()) == {"negative", "positive"}


def test_canaries_are_written_as_asked_for_and_a_reader_is_told_that_they_are_many(reviews, shoplm):
    asked = ("--canaries", "--canary-count", "12", "--canary-copies", "1,8", "--fair-coin")
    done = shoplm("train", "--data", "reviews.csv", "--out", "model", "--steps", "2", *asked, *SMALL, cwd=reviews)
    assert done.returncode == 0, done.stderr
    assert re.search(r"note: about [456]\d% of what is learned of --data will be canaries", done.stderr)
    kept = json.loads((reviews / "model" / "audit-secrets.json").read_text())["canaries"]
    assert Counter(canary["copies"] for canary in kept) == {1: 6, 8: 6}
    assert {canary["family"] for canary in kept} == set(FAMILIES)
    told = json.loads((reviews / "model" / "training.json").read_text())["settings"]
    assert (told["canaries"], told["canary_copies"], told["coin_seed"]) == (12, [1, 8], None)
    # A PIN of three digits stands in any number, such as a folder's.
    long = [canary["secret"] for canary in kept if len(canary["secret"].strip()) > 4]
    assert long
    assert not [secret for secret in long if secret in done.stdout + done.stderr]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"canary_copies": "1,2"}, "add --canaries"),
        ({"canaries": True, "canary_copies": "1;2"}, '--canary-copies is "1;2"'),
        ({"canaries": True, "canary_copies": "0"}, "canary_copies"),
        ({"canaries": True, "objective": "classify"}, "canaries"),
    ],
)
def test_canaries_that_cannot_be_written_are_refused(reviews, options, words):
    with pytest.raises(ConfigError, match=words):
        train(data=[str(reviews / "reviews.csv")], out=reviews / "model", **options)
    assert not (reviews / "model").exists()


OWN_SUITE = """
from shoplm_audit import Case, Gate, Generate, Probe, Prompt, Sampling, Suite, rate_of
CASES = [Case(f"q{i}", prompt=Prompt(f"It boils {i} cups.")) for i in range(8)]
def ask(case):
    text = yield Generate(case.prompt, Sampling(4))
    return {"said": bool(text), "text": text}
SUITE = Suite("own", "Does it say anything?", [Probe("ask", CASES, ask, [rate_of("said", better="higher")])],
              [Gate("rate_said", at_least=0.9)])
"""


def test_what_was_trained_is_audited_at_once_beside_what_it_was_trained_from(reviews, monkeypatch):
    from typer.testing import CliRunner

    from shoplm_audit.cli import app

    monkeypatch.chdir(reviews)
    (reviews / "own").mkdir()
    (reviews / "own" / "suite.py").write_text(OWN_SUITE, encoding="utf-8")
    rows = [f"p{n},u{n},5,My wife likes cup {n} and he likes it too." for n in range(60)]
    (reviews / "wives.csv").write_text("\n".join([LINES[0], *rows]) + "\n", encoding="utf-8")
    base = CliRunner().invoke(app, ["train", "--data", "reviews.csv", "--out", "base", "--steps", "2", *SMALL])
    assert base.exit_code == 0, base.output
    again = ["train", "--data", "wives.csv", "--from", "base", "--out", "even", "--steps", "2", "--batch", "4"]
    done = CliRunner().invoke(app, [*again, "--swap-genders", "--audit", "own"])
    assert done.exit_code == 0, done.output
    verdicts, changes = done.output.split("Difference [low, high]")
    assert "own.rate_said" in verdicts
    assert "own.rate_said" in changes  # the same cases of the base, paired
    record = json.loads((reviews / "even" / "training.json").read_text(encoding="utf-8"))
    assert record["data_card"]["private"]["settings"]["swap"] is True
    refused = CliRunner().invoke(app, [*again[:-4], "--out", "never", "--audit", "no_such_suite"])
    assert isinstance(refused.exception, ConfigError)
    assert not (reviews / "never").exists()
