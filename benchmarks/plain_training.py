"""Plain training against transformers' `Trainer`: the same network, rows, optimiser and number of threads, in turns.

Seconds are those of the processor (of all threads together): other work on the machine does not stretch them.

python -m benchmarks.plain_training [--threads 1] [--rounds 5]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from shoplm_audit.training.objectives import Causal
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.rows import UNLEARNED, Row
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.training.steps import Learned, Run

VOCABULARY, TOKENS, BATCH, STEPS = 8192, 64, 32, 8


class Padding:
    pad_token_id = 0


def network():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "n_positions": TOKENS, "n_embd": 256, "n_layer": 4, "n_head": 4}
    dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, **dropouts))


def ours(tokens: np.ndarray) -> list[float]:
    """Seconds of each step but the first."""
    rows = [Row(tuple(row), (*row[1:], UNLEARNED)) for row in tokens.tolist()]
    settings = TrainSettings(steps=STEPS, batch=BATCH, micro_batch=BATCH, context=TOKENS, save_every=10**6)
    run = Run(settings, network(), Causal(Padding(), TOKENS), Learned(rows, [], [], 0.0), None, Processes(0, 1, "cpu"))
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run.steps(Path(folder), "", lambda _: times.append(time.process_time()))
    return list(np.diff(times)[:-1])  # the last step also saves


def peer(tokens: np.ndarray) -> list[float]:
    """Seconds of each of the Trainer's steps but the first."""
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    times: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_, **__):
            times.append(time.process_time())

    data = [{"input_ids": row, "labels": row} for row in torch.from_numpy(tokens)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            learning_rate=2e-3,
            weight_decay=0.01,
            adam_beta2=0.95,
            lr_scheduler_type="cosine",
            optim="adamw_torch_fused",
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(network(), arguments, train_dataset=data, callbacks=[Watch()]).train()
    return list(np.diff(times)[:-1])


def main() -> None:
    """Prints the ratio of medians, and of the fastest steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (BATCH * STEPS, TOKENS))
    seconds: dict[str, list[float]] = {"ours": [], "Trainer": []}
    for _ in range(chosen.rounds):
        seconds["ours"] += ours(tokens)
        seconds["Trainer"] += peer(tokens)
    for name, times in seconds.items():
        speed = BATCH * TOKENS / statistics.median(times)
        print(f"{name}: {statistics.median(times):.3f} s a step (fastest {min(times):.3f}), {speed:.0f} tokens/s")
    ratio = statistics.median(seconds["Trainer"]) / statistics.median(seconds["ours"])
    fastest = min(seconds["Trainer"]) / min(seconds["ours"])
    print(f"speed of ours over the Trainer's: {ratio:.2f} (fastest steps {fastest:.2f}); {chosen.threads} threads")


if __name__ == "__main__":
    main()
