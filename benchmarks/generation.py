"""Generation against transformers' `generate`: the same network, prompts, budgets and number of threads, in turns.

The peer takes the prompts as they come, 32 at a time, padded on the left; a row stops at its own budget, and the batch
with its last row. It is compared by texts too: where one differs, by how far the two best logits lie apart there.

python -m benchmarks.generation [--threads 2] [--rounds 3] [--prompts 256] [--only uniform,exponential]
"""

import argparse
import os
import time

import numpy as np

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

import torch

from shoplm_audit import Generate, Prompt, Sampling
from shoplm_audit.models.local import LocalModel

WORDS, BATCH = 8000, 32


def tokenizer_of(words: int):
    """Each token a word of its own; the end of a text never comes by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"<end>": 0} | {f"w{i}": i for i in range(1, words)}, "<end>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.WhitespaceSplit(), decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")


def network_of(words: int):
    """About 9 million parameters in the shape of Llama, float32, that write no end."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 8}
    config = LlamaConfig(vocab_size=words, max_position_embeddings=512, bos_token_id=0, eos_token_id=0, **sizes)
    network = LlamaForCausalLM(config).eval()
    # A random network repeats one word for ever; larger weights make it write.
    for weight in network.parameters():
        weight.data.mul_(3.0 if weight.dim() > 1 else 1.0)
    network.lm_head.weight.data[0] = 0.0
    return network


LENGTHS = {
    "uniform": (lambda rng, count: rng.integers(8, 129, size=count), 2.0),
    "exponential": (lambda rng, count: np.clip(rng.exponential(64, size=count).astype(int), 1, 256), 2.0),
}


def peer(network, prompts: list[list[int]], budgets: list[int]) -> list[list[int]]:
    """The texts by `generate`."""
    from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

    class Own(StoppingCriteria):
        def __init__(self, width: int, budgets: list[int]) -> None:
            self.ends = width + torch.tensor(budgets)

        def __call__(self, ids, scores, **_):
            return ids.shape[1] >= self.ends

    texts = []
    for first in range(0, len(prompts), BATCH):
        rows, most = prompts[first : first + BATCH], budgets[first : first + BATCH]
        width = max(map(len, rows))
        config = GenerationConfig(max_new_tokens=max(most), do_sample=False, eos_token_id=None, pad_token_id=0)
        answer = network.generate(
            torch.tensor([[0] * (width - len(row)) + row for row in rows]),
            attention_mask=torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
            stopping_criteria=StoppingCriteriaList([Own(width, most)]),
            generation_config=config,
        )
        texts += [row[width : width + budget].tolist() for row, budget in zip(answer, most, strict=True)]
    return texts


def gap(network, prompt: list[int], one: list[int], other: list[int]) -> float:
    """How far the two words of the first difference lie apart, in the network's own logits."""
    place = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    with torch.inference_mode():
        logits = network(torch.tensor([prompt + one[:place]])).logits[0, -1]
    return float((logits[one[place]] - logits[other[place]]).abs())


def main() -> None:
    """For each law of lengths the fastest of several rounds, and the texts compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--only", default=",".join(LENGTHS))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model = LocalModel(network_of(WORDS), tokenizer_of(WORDS), name="benchmark")
    print(f"{model.parameters:,} parameters, {chosen.threads} threads, the fastest of {chosen.rounds} rounds")
    for name in chosen.only.split(","):
        law, target = LENGTHS[name]
        rng = np.random.default_rng(0)
        sizes, budgets = law(rng, chosen.prompts).tolist(), law(rng, chosen.prompts).tolist()
        prompts = [rng.integers(1, WORDS, size=size).tolist() for size in sizes]
        texts = [Prompt(" ".join(f"w{word}" for word in prompt)) for prompt in prompts]
        requests = [Generate(text, Sampling(budget)) for text, budget in zip(texts, budgets, strict=True)]
        model.generate(requests[:1])  # what is tried once per model
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(chosen.rounds):
            started = time.perf_counter()
            ours = [[int(word) for word in text.split("w")[1:]] for text in model.generate(requests)]
            seconds["ours"].append(time.perf_counter() - started)
            started = time.perf_counter()
            theirs = peer(model.network, prompts, budgets)
            seconds["peer"].append(time.perf_counter() - started)
        fast, slow = min(seconds["ours"]), min(seconds["peer"])
        pairs = zip(prompts, ours, theirs, strict=True)
        gaps = [gap(model.network, prompt, one, other) for prompt, one, other in pairs if one != other]
        differ = f", {len(gaps)} first where two words lie at most {max(gaps):.1e} apart" if gaps else ""
        print(
            f"{name}: {slow / fast:.2f} times as fast (asked {target}); ours {fast:.1f} s, generate {slow:.1f} s; "
            f"{sum(budgets):,} tokens after {sum(sizes):,}; {len(ours) - len(gaps)} of {len(ours)} texts equal{differ}",
            flush=True,
        )


if __name__ == "__main__":
    main()
