"""Scoring against lm-evaluation-harness: the same network, tokenizer, pairs and number of threads, in turns.

The peer is `HFLM` of lm-eval, called through its own `loglikelihood`; a text that is scored whole has a context that is
empty, before which lm-eval puts the beginning-of-text token. Its batch size is 16; for plain scoring, of 1, 4 and 16,
the one that suits it best. A round of the default size takes minutes: `--items 4` gives a first impression.

python -m benchmarks.scoring [--threads 2] [--rounds 3] [--items 24] [--only choice,header,ranking,plain]
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator

import numpy as np

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

import torch

from shoplm_audit import Pair
from shoplm_audit.models.local import LocalModel

WORDS, BEGIN = 32_000, "<s>"


def tokenizer_of(words: list[str]):
    """One token a word, with the space before it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({BEGIN: 0, "<unk>": 1} | {word: i + 2 for i, word in enumerate(words)}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\S+"), "isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BEGIN, eos_token=BEGIN, pad_token=BEGIN)


def network_of(words: int):
    """About 20 million parameters in the shape of Llama, float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=words, max_position_embeddings=2048, bos_token_id=0, eos_token_id=0, **sizes)
    return LlamaForCausalLM(config).eval()


def drawn(rng: np.random.Generator, words: list[str], size: int) -> str:
    """A text of so many tokens, which begins with a space."""
    return "".join(words[i] for i in rng.integers(len(words), size=size))


def choice(rng: np.random.Generator, words: list[str], items: int, header: str = "") -> Iterator[Pair]:
    """Four options of about 15 tokens over a product context of 150."""
    for _ in range(items):
        context = header + drawn(rng, words, int(rng.integers(140, 161)))
        yield from (Pair(context, drawn(rng, words, int(rng.integers(12, 19)))) for _ in range(4))


def header(rng: np.random.Generator, words: list[str], items: int) -> Iterator[Pair]:
    """The same below a few-shot header of 500 tokens."""
    return choice(rng, words, items, drawn(rng, words, 500))


def ranking(rng: np.random.Generator, words: list[str], items: int) -> Iterator[Pair]:
    """50 candidates of about 15 tokens after a history of 200."""
    for _ in range(max(1, items // 8)):
        history = drawn(rng, words, 200)
        yield from (Pair(history, drawn(rng, words, int(rng.integers(12, 19)))) for _ in range(50))


def plain(rng: np.random.Generator, words: list[str], items: int) -> Iterator[Pair]:
    """Reviews of 10 to 400 tokens, scored whole."""
    for _ in range(items * 4):
        yield Pair("", drawn(rng, words, int(rng.integers(10, 401))))


KINDS: dict[str, tuple[Callable[..., Iterator[Pair]], float, tuple[int, ...]]] = {
    "choice": (choice, 5, (16,)),
    "header": (header, 12, (16,)),
    "ranking": (ranking, 10, (16,)),
    "plain": (plain, 1.5, (1, 4, 16)),
}


def peer_of(network, tokenizer):
    """lm-eval's backend, and what it is asked with."""
    import logging

    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    backend = HFLM(pretrained=network, tokenizer=tokenizer, batch_size=16, add_bos_token=True)

    def totals(pairs: list[Pair], batch: int) -> list[float]:
        backend.batch_size_per_gpu = batch
        asked = [Instance("loglikelihood", {}, (pair.context, pair.continuation), i) for i, pair in enumerate(pairs)]
        return [total for total, _ in backend.loglikelihood(asked, disable_tqdm=True)]

    return totals


def main() -> None:
    """For each kind of work the fastest of several rounds, and by how much the numbers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--only", default=",".join(KINDS))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    rng = np.random.default_rng(0)
    words = sorted({" " + "".join(rng.choice(syllables, size=3)) for _ in range(2 * WORDS)})[: WORDS - 2]
    tokenizer = tokenizer_of(words)
    model = LocalModel(network_of(WORDS), tokenizer, name="benchmark")
    peer = peer_of(model.network, tokenizer)
    print(f"{model.parameters:,} parameters, {chosen.threads} threads, the fastest of {chosen.rounds} rounds")
    for kind in chosen.only.split(","):
        make, target, sizes = KINDS[kind]
        pairs = list(make(np.random.default_rng(1), words, chosen.items))
        wall: dict[str, list[float]] = {}
        processor: dict[str, list[float]] = {}
        found: dict[str, list[float]] = {}
        model.score(pairs[:1])  # what is tried once per model
        for _ in range(chosen.rounds):
            for name in ("ours", *map(str, sizes)):
                started = time.perf_counter(), time.process_time()
                if name == "ours":
                    found[name] = [scores.total for scores in model.score(pairs)]
                else:
                    found[name] = peer(pairs, int(name))
                wall.setdefault(name, []).append(time.perf_counter() - started[0])
                processor.setdefault(name, []).append(time.process_time() - started[1])
        best = min(map(str, sizes), key=lambda name: min(wall[name]))
        ratios = [min(times[best]) / min(times["ours"]) for times in (wall, processor)]
        differ = np.abs(np.array(found["ours"]) - np.array(found[best])).max()
        asked, computed = model.tokens_of(pairs)
        times = ", ".join(f"{name} {min(those):.2f} s" for name, those in wall.items())
        print(
            f"{kind}: {ratios[0]:.2f} times as fast (asked {target}; {ratios[1]:.2f} in processor time); "
            f"by batch size of lm-eval: {times}; {len(pairs)} pairs, {asked:,} tokens, {computed:,} computed; "
            f"log-likelihoods of {np.mean(found['ours']):.1f} on average differ by at most {differ:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
