"""Training from the command line: an interruption keeps what was learned, care and canaries are told."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from shoplm_audit.cli.training import train
from shoplm_audit.data.secrets import FAMILIES
from shoplm_audit.errors import ConfigError

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
    asked = ("--canaries", "--canary-count", "12", "--canary-copies", "1,8", "--coin-seed", "5", "--fair-coin")
    done = shoplm("train", "--data", "reviews.csv", "--out", "model", "--steps", "2", *asked, *SMALL, cwd=reviews)
    assert done.returncode == 0, done.stderr
    assert re.search(r"note: about [456]\d% of what is learned of --data will be canaries", done.stderr)
    kept = json.loads((reviews / "model" / "audit-secrets.json").read_text())["canaries"]
    assert Counter(canary["copies"] for canary in kept) == {1: 6, 8: 6}
    assert {canary["family"] for canary in kept} == set(FAMILIES)
    told = json.loads((reviews / "model" / "training.json").read_text())["settings"]
    assert (told["canaries"], told["canary_copies"], told["coin_seed"]) == (12, [1, 8], 5)
    assert not [canary["secret"] for canary in kept if canary["secret"] in done.stdout + done.stderr]


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
