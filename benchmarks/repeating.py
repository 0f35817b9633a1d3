"""What an audit costs beside its model: the same audit run again from the store, and the statistics of a large suite.

python -m benchmarks.repeating [store] [statistics]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.engine import Basis, audit, judged
from shoplm_audit.observing import Sitting
from shoplm_audit.scoring.overlap import bleu_sums
from shoplm_audit.store import Store
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Case, Observation, Suite

SUITES = ["task_quality", "faithfulness", "bias"]
_WORDS = "the navy kettle holds 1.7 litres and has a lid of steel 藏青色 水壶 容量 一升七 不锈钢"


def _folder_of_a_model(folder: Path, width: int, layers: int) -> str:
    """A random Llama with a tokenizer of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from shoplm_audit.data.shopworld import public_texts, shopworld

    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    texts = [str(text) for text in public_texts(shopworld(0, products=2000))]
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")
    sizes = {
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=1024, bos_token_id=0, eos_token_id=0, **sizes
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def store() -> None:
    """The same audit again: in one process, and as two commands, which load Python, torch and the weights each time."""
    from transformers.utils import logging

    from shoplm_audit import load_model

    logging.disable_progress_bar()
    for width, layers in ((256, 6), (512, 12)):
        with tempfile.TemporaryDirectory() as folder:
            spec = _folder_of_a_model(Path(folder) / "model", width, layers)
            model = load_model(spec)
            seconds, seen = [], []
            with Store(Path(folder) / "store.sqlite") as answers:
                for _ in range(3):
                    started = time.perf_counter()
                    seen.append(audit(model, SUITES, store=answers).observations)
                    seconds.append(time.perf_counter() - started)
            assert seen[0] == seen[1] == seen[2]
            commands = []
            for number in range(3):
                options = ["--model", spec, "--store", f"{folder}/commands.sqlite", "--out", f"{folder}/{number}"]
                started = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "shoplm_audit", "run", *SUITES, *options], capture_output=True, check=False
                )
                commands.append(time.perf_counter() - started)
        millions = model.parameters / 1e6  # type: ignore[attr-defined]
        print(f"{', '.join(SUITES)}, {millions:.1f} M parameters, {sum(map(len, seen[0].values())):,} cases")
        for what, (first, *again) in (("in one process", seconds), ("as commands", commands)):
            print(
                f"  {what}: computed {first:.1f} s, from the store {min(again):.2f} s: {first / min(again):.0f} times"
            )


def statistics() -> None:
    """All estimates and verdicts of task_quality, in every slice, over texts and numbers drawn at random."""
    suite = load_suite("task_quality")
    for cases in (5_000, 20_000):
        sittings = _sittings(suite, cases // len(suite.probes))
        seconds = []
        for _ in range(3):
            bleu_sums.cache_clear()  # what an audit computes once is computed once in each round
            started = time.perf_counter()
            told = judged(suite, sittings, Basis())
            seconds.append(time.perf_counter() - started)
        print(
            f"{cases} cases, {len(told.estimates)} estimates, {uncertainty.RESAMPLES} resamples: "
            f"{min(seconds):.2f} s (min of {len(seconds)})"
        )


def _sittings(suite: Suite, count: int) -> list[Sitting]:
    rng = np.random.default_rng(0)
    words = np.array(_WORDS.split())
    sittings = []
    for probe in suite.probes:
        cases = [
            Case(f"c{i}", reference=str(rng.choice(["positive", "negative"])), language=("en", "zh")[i % 2])
            if probe.name.startswith("sentiment")
            else Case(f"c{i}", reference=" ".join(rng.choice(words, 40)), language=("en", "zh")[i % 2])
            for i in range(count)
        ]
        rows = {}
        for i, case in enumerate(cases):
            right = case.reference if rng.random() < 0.8 else "positive"
            rows[i] = Observation(case, {
                "text": " ".join(rng.choice(words, 40)), "chrf": float(rng.uniform(0, 60)),
                "nats": float(-rng.gamma(50)), "bytes": int(rng.integers(100, 300)),
                "label": right, "written": right, "parsed": True,
            })  # fmt: skip
        sittings.append(Sitting(suite.name, probe, cases, _rows=rows))
    return sittings


ALL = {"store": store, "statistics": statistics}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        ALL[name]()
