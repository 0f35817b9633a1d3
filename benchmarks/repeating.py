"""What an audit costs beside its model: the same audit run again from the store, and the statistics of a large suite.

python -m benchmarks.repeating [store] [statistics]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from shoplm_audit import uncertainty
from shoplm_audit.engine import _told_of, audit
from shoplm_audit.judging import Policy
from shoplm_audit.observing import Sitting
from shoplm_audit.prompts import Prompts
from shoplm_audit.store import Store
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Case, Material, Observation, Prompt, Suite

SUITES = ["task_quality", "faithfulness", "bias"]
LIMIT = 100
_WORDS = "the navy kettle holds 1.7 litres and has a lid of steel 藏青色 水壶 容量 一升七 不锈钢"


def _folder_of_a_model(folder: Path) -> str:
    """A random Llama of 9 M parameters with a tokenizer of its own."""
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
    sizes = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=1024, bos_token_id=0, eos_token_id=0, **sizes
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def store() -> None:
    """The same audit twice, in one process: computed, then answered from the store, with the same observations."""
    from shoplm_audit import load_model

    with tempfile.TemporaryDirectory() as folder:
        model = load_model(_folder_of_a_model(Path(folder) / "model"))
        seconds, seen = [], []
        with Store(Path(folder) / "store.sqlite") as answers:
            for _ in range(3):
                started = time.perf_counter()
                seen.append(audit(model, SUITES, limit=LIMIT, store=answers).observations)
                seconds.append(time.perf_counter() - started)
        assert seen[0] == seen[1] == seen[2]
        again = min(seconds[1:])
        print(
            f"{', '.join(SUITES)}, {LIMIT} cases a probe, {model.parameters / 1e6:.1f} M parameters: "  # type: ignore[attr-defined]
            f"computed {seconds[0]:.1f} s, from the store {again:.2f} s: {seconds[0] / again:.0f} times"
        )


def statistics() -> None:
    """All estimates and verdicts of task_quality, in every slice, over texts and numbers drawn at random."""
    suite = load_suite("task_quality")
    for cases in (5_000, 20_000):
        sittings = _sittings(suite, cases // len(suite.probes))
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            told = _told_of(suite, sittings, Material(lambda *_: Prompt("")), Policy(), Prompts())
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
