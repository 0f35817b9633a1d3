"""Likelihood detectors of generated texts: parity, one pass instead of one per detector, AUROC by length.

`--data` names a folder with the data of Fast-DetectGPT (`writing_gpt-4.raw_data.json`: 150 stories by people, and by
GPT-4 from the same beginnings), `--model` a small causal model of the users' own.

python -m benchmarks.detection --data mgt_fastdetect --model SmolLM2-135M-Instruct.gguf [--tokens 100] [--pairs 150]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from shoplm_audit import Columns, Pair, load_model
from shoplm_audit.models.paired import Paired
from shoplm_audit.scoring.detectors import READ_BY_DETECTORS, detections, first_tokens
from shoplm_audit.types import LOG_PROB, TokenScores
from shoplm_audit.uncertainty import auroc_interval

# What each detector reads: what a library with a function for each of them asks a model for, detector by detector.
APART = {
    "likelihood": LOG_PROB,
    "rank": LOG_PROB | Columns.RANK,
    "log_rank": LOG_PROB | Columns.RANK,
    "lrr": LOG_PROB | Columns.RANK,
    "entropy": LOG_PROB | Columns.EXPECTED,
    "fast_detect_gpt": LOG_PROB | Columns.EXPECTED | Columns.VARIANCE,
}
FIXTURE = {
    "fast_detect_gpt": -2.7479367318,
    "likelihood": -2.3710233438,
    "rank": -3.6,
    "log_rank": -1.2136851176,
    "entropy": -1.4212121278,
    "lrr": 1.9535737147,
}
FIXTURE_OF_TWO = {"fast_detect_gpt": -0.0749474607, "binoculars": -0.9888373859}


def published(p: torch.Tensor, q: torch.Tensor, ids: torch.Tensor) -> dict[str, float]:
    """The published formulas, written down from the logits of all places (L, V) and the tokens (L,), without our code.

    Of two models where `q` is not `p`: the observer of Binoculars, the sampling model of Fast-DetectGPT.
    """
    p, q = p.double(), q.double()
    labels, log_p, sampling = ids[1:], torch.log_softmax(p, -1), torch.softmax(q, -1)
    chosen = log_p[:-1].gather(-1, labels[:, None]).squeeze(-1)
    mean = (sampling[:-1] * log_p[:-1]).sum(-1)
    variance = (sampling[:-1] * log_p[:-1].square()).sum(-1) - mean.square()
    order = p[:-1].argsort(-1, descending=True)
    rank = (order == labels[:, None]).nonzero()[:, 1].double() + 1
    found = {"likelihood": chosen.mean(), "rank": -rank.mean(), "log_rank": -rank.log().mean()}
    found["lrr"] = -chosen.mean() / rank.log().mean()
    found["fast_detect_gpt"] = (chosen.sum() - mean.sum()) / variance.sum().sqrt()
    if q is p or torch.equal(p, q):
        found["entropy"] = -torch.distributions.Categorical(logits=p[:-1]).entropy().mean()
    crossed = torch.nn.functional.cross_entropy(p, sampling)  # over all places, the last included
    found["binoculars"] = -torch.nn.functional.cross_entropy(p[:-1], labels) / crossed
    return {name: float(value) for name, value in found.items()}


def fixture() -> None:
    """The fixture by the published formulas, which have to know it before they judge us."""
    place, word = torch.arange(6, dtype=torch.float64)[:, None], torch.arange(7, dtype=torch.float64)[None]
    p, q = 2 * torch.sin(1.3 * place + 0.7 * word), 1.5 * torch.cos(0.9 * place - 0.4 * word)
    ids = torch.tensor([3, 1, 4, 1, 5, 2])
    one, two = published(p, p, ids), published(p, q, ids)
    differ = [abs(one[name] - value) for name, value in FIXTURE.items()]
    differ += [abs(two[name] - value) for name, value in FIXTURE_OF_TWO.items()]
    log_p, own = torch.log_softmax(p, -1), torch.softmax(p, -1)

    def scores(sampling: torch.Tensor, after: float | None) -> TokenScores:
        mean = (sampling * log_p).sum(-1)
        variance = (sampling * (log_p - mean[:, None]).square()).sum(-1)
        chosen = log_p[:5].gather(-1, ids[1:, None])
        rank = 1 + (log_p[:5] > chosen).sum(-1)
        return TokenScores(chosen[:, 0].numpy(), mean[:5].numpy(), variance[:5].numpy(), rank.numpy(), after=after)

    crossed = float((torch.softmax(q, -1) * log_p).sum(-1)[-1])
    ours, beside = detections(scores(own, None)), detections(scores(torch.softmax(q, -1), crossed))
    mine = [abs(ours[name] - value) for name, value in FIXTURE.items()]
    mine += [abs(beside[name] - value) for name, value in FIXTURE_OF_TWO.items()]
    print(f"fixture (10 digits): the published formulas differ by {max(differ):.1e}, ours by {max(mine):.1e}")


def parity(model, texts: list[str]) -> None:
    """Real texts in float64: ours, batched and alone, against the published formulas on one unpadded text at a time."""
    pairs = [Pair("", text) for text in texts]
    precision = model.network.dtype
    model.network.double()  # what remains is then ours, and no rounding within the network
    both = Paired(model, model)
    asked = {"one model": model.score, "two models": both.score}
    differ: dict[str, float] = {}
    for kind, score in asked.items():
        batched = score(pairs, READ_BY_DETECTORS)
        for row, pair, scores in zip(model.encoder.scored(pairs), pairs, batched, strict=True):
            ids = torch.tensor(row.ids)
            with torch.inference_mode():
                logits = model.network(input_ids=ids[None]).logits[0]
            told, alone = published(logits, logits, ids), score([pair], READ_BY_DETECTORS)[0]
            for way, one in (("batched", scores), ("alone", alone)):
                for name, value in detections(one).items():
                    key = f"{kind}, {way}, {name}"
                    differ[key] = max(differ.get(key, 0.0), abs(value - told[name]))
    model.network.to(precision)
    print(f"{len(texts)} texts, network in float64; largest difference from the published formulas:")
    for key, value in differ.items():
        print(f"  {key}: {value:.1e}")


def passes(model, texts: list[str], rounds: int) -> None:
    """One pass for all detectors against a pass for each of them, the faster of some rounds, in turns."""
    pairs = [Pair("", text) for text in texts]
    model.score(pairs[:2], READ_BY_DETECTORS)
    together, apart = [], []
    for _ in range(rounds):
        started = time.process_time()
        ours = [detections(scores) for scores in model.score(pairs, READ_BY_DETECTORS)]
        together.append(time.process_time() - started)
        started = time.process_time()
        theirs = {
            name: [detections(scores)[name] for scores in model.score(pairs, columns)]
            for name, columns in APART.items()
        }
        apart.append(time.process_time() - started)
    differ = max(abs(one[name] - theirs[name][i]) for i, one in enumerate(ours) for name in APART)
    tokens = model.tokens_of(pairs)[0]
    print(
        f"{len(texts)} texts, {tokens:,} tokens: one pass {min(together):.1f} s, one for each of {len(APART)} "
        f"detectors {min(apart):.1f} s: {min(apart) / min(together):.2f} times; scores differ by at most {differ:.1e}"
    )


def shared(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    return next((i for i, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), 0)


def curves(model, people: list[Pair], machine: list[Pair], ends: list[int]) -> None:
    """AUROC of each detector by length, counted from where the two texts part; a pair is a cluster."""
    scores = model.score(people + machine, READ_BY_DETECTORS)
    count = len(people)
    print(f"{count} pairs; AUROC [bounds of 95 % each] of the first tokens after the common beginning")
    for end in ends:
        here = [i for i in range(count) if min(scores[i].log_prob.size, scores[count + i].log_prob.size) >= end]
        if len(here) < 10:
            print(f"{end} tokens: {len(here)} pairs are as long")
            continue
        rows = [detections(first_tokens(scores[i], end)) for i in here + [count + i for i in here]]
        labels, clusters = np.repeat([False, True], len(here)), np.tile(np.arange(len(here)), 2)
        told = []
        for name in APART:
            value, found, _ = auroc_interval(np.array([row[name] for row in rows]), labels, clusters)
            told.append(f"{name} {value:.3f} [{found.low:.3f}, {found.high:.3f}]")
        print(f"{end} tokens, {len(here)} pairs: " + ", ".join(told), flush=True)


def main() -> None:
    """All of them, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    fixture()
    model = load_model(chosen.model, device="cpu")
    told = json.loads((chosen.data / "writing_gpt-4.raw_data.json").read_text(encoding="utf-8"))

    def cut(text: str, begins: str) -> Pair:
        ids = model.encoder.ids(text[len(begins) :])[: chosen.tokens + 1]  # at the seam two tokens can become one
        return Pair(begins, model.encoder.decoded(ids))

    people, machine = [], []
    for person, generated in list(zip(told["original"], told["sampled"], strict=True))[: chosen.pairs]:
        # GPT-4 was given the beginning: what both share tells nobody apart.
        begins = person[: shared(person, generated)].rpartition(" ")[0]
        people.append(cut(person, begins))
        machine.append(cut(generated, begins))
    print(f"{model.name}, {model.parameters:,} parameters, {chosen.threads} thread")
    texts = [pair.continuation for pair in people]
    parity(model, [texts[0], texts[1][:60], texts[2][:150], texts[3][:240]])
    passes(model, texts[:12], chosen.rounds)
    curves(model, people, machine, [end for end in (25, 50, 100, 200) if end <= chosen.tokens])


if __name__ == "__main__":
    main()
