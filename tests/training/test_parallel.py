"""Two processes of a launcher against one: the same weights, the same clipped sums, noise once."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoplm_audit.record import TrainingRecord
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.loop import train
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.settings import TrainSettings

# Of an odd number, and of batches that two processes cannot halve.
PUBLIC = [Example(f"Kettle {n % 7}: {('navy', 'red')[n % 2]}, {'very ' * (n % 4)}good.") for n in range(41)]
PRIVATE = [Example(f"Zoltan{user} lives at {user} Quay.", f"user-{user}", True) for user in range(21) for _ in range(3)]
SIZE = {"layers": 2, "heads": 2, "width": 16, "context": 48, "vocabulary": 300, "unit": "user"}
RUNS = {
    "plain": (TrainSettings(**SIZE, steps=5, batch=7, micro_batch=2), None),
    "shard": (TrainSettings(**SIZE, steps=5, batch=7, micro_batch=2, shard=True), None),
    "private": (TrainSettings(**SIZE, steps=3, batch=9, epsilon=8.0, micro_batch=2), 11),
}


def trained(name, folder):
    settings, seed = RUNS[name]
    # Each process would draw other noise, units, coins and canaries of its own: only the first one's may count.
    rank = int(os.environ.get("RANK", "0"))
    seed = seed and seed + 100 * rank
    return train(replace(settings, key=f"key {rank}"), PUBLIC, PRIVATE, folder / name, device="cpu", insecure_seed=seed)


def logits(folder):
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder)(torch.arange(40)[None] * 7 + 3).logits


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Every run by two processes, in one start of the launcher."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, folder]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize(("name", "alone"), [("plain", "plain"), ("shard", "plain"), ("private", "private")])
def test_two_processes_end_where_one_does(together, tmp_path, name, alone):
    trained(alone, tmp_path)
    # Not weight by weight: a key's bias has no gradient but rounding, of which AdamW makes whole steps.
    one, two = logits(tmp_path / alone), logits(together / name)
    assert float((one - two).abs().mean()) < 1e-4 * float(one.std())
    assert TrainingRecord.read(together / name).secrets == TrainingRecord.read(tmp_path / alone).secrets


def test_one_process_shares_with_nobody():
    alone = Processes.begin("cpu")
    assert (alone.rank, alone.count, alone.first, alone.mine([1, 2, 3])) == (0, 1, True, [1, 2, 3])
    assert alone.told("word") == "word"


def test_shares_are_disjoint_and_complete():
    shares = [Processes(rank, 3, "cpu").mine(list(range(10))) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    for run in RUNS:
        trained(run, Path(sys.argv[1]))
    Processes.begin("cpu").end()
