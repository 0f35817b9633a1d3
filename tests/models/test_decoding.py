from __future__ import annotations

import numpy as np
import pytest

from shoplm_audit.models.decoding import before_stop, choose, generator_for
from shoplm_audit.types import Sampling

LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0, -4.0]


def _frequencies(sampling: Sampling, draws: int = 4000) -> np.ndarray:
    import torch

    generators = [generator_for("prompt", sampling, sample) for sample in range(draws)]
    chosen = choose(torch.tensor([LOGITS]).repeat(draws, 1), [sampling] * draws, generators)
    return np.bincount(chosen, minlength=len(LOGITS)) / draws


def _wanted(temperature: float, kept: int) -> np.ndarray:
    weights = np.exp(np.array(LOGITS) / temperature)
    weights[kept:] = 0
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("sampling", "wanted"),
    [
        (Sampling(temperature=1.0), _wanted(1.0, 6)),
        (Sampling(temperature=0.5), _wanted(0.5, 6)),
        (Sampling(temperature=2.0, top_k=3), _wanted(2.0, 3)),
        # Probabilities .56 .21 .13 .08 ...: .56 + .21 < .8 <= .56 + .21 + .13.
        (Sampling(temperature=1.0, top_p=0.8), _wanted(1.0, 3)),
        # .21 / .56 = .37 is kept, .13 / .56 = .22 is not.
        (Sampling(temperature=1.0, min_p=0.3), _wanted(1.0, 2)),
        # top_p is taken of what top_k left: .73 and .27.
        (Sampling(temperature=1.0, top_k=2, top_p=0.7), _wanted(1.0, 1)),
    ],
)
def test_draws_follow_the_truncated_distribution(sampling: Sampling, wanted: np.ndarray) -> None:
    found = _frequencies(sampling)
    assert np.all(found[wanted == 0] == 0)
    assert np.abs(found - wanted).max() < 4.5 * 0.5 / np.sqrt(4000)


def test_the_warpers_agree_with_those_of_transformers() -> None:
    import torch
    from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.tensor(np.random.default_rng(0).normal(size=(1, 40)) * 2, dtype=torch.float32)
    sampling = Sampling(temperature=0.9, top_k=20, top_p=0.9, min_p=0.03)
    warped = logits / 0.9
    for warper in (TopKLogitsWarper(20), TopPLogitsWarper(0.9), MinPLogitsWarper(0.03)):
        warped = warper(None, warped)
    allowed = set(torch.nonzero(warped[0] > -torch.inf).flatten().tolist())
    generators = [generator_for("p", sampling, sample) for sample in range(3000)]
    seen = set(choose(logits.repeat(3000, 1), [sampling] * 3000, generators))
    assert seen <= allowed
    assert len(allowed - seen) <= 1


def test_a_draw_ignores_how_its_neighbours_are_sampled() -> None:
    import torch

    mine = Sampling(temperature=1.0, seed=5)
    rows = torch.tensor([LOGITS, LOGITS[::-1], LOGITS])
    others = [Sampling(temperature=0.7, top_k=2, top_p=0.5), Sampling()]
    alone = [choose(rows[:1], [mine], [generator_for("p", mine, s)])[0] for s in range(50)]
    among = []
    for s in range(50):
        samplings = [mine, *others]
        generators = [generator_for("p", mine, s), *(generator_for("q", other, s) for other in others)]
        among.append(choose(rows, samplings, generators)[0])
    assert alone == among


def test_seed_sample_and_prompt_each_decide_the_draws() -> None:
    first = generator_for("p", Sampling(seed=1), 0).random()
    assert first == generator_for("p", Sampling(seed=1), 0).random()
    changed = [("q", 1, 0), ("p", 2, 0), ("p", 1, 1), ("p", -1, 0)]
    numbers = {generator_for(prompt, Sampling(seed=seed), sample).random() for prompt, seed, sample in changed}
    assert len(numbers | {first}) == 5


def test_a_text_ends_before_the_first_stop() -> None:
    assert before_stop("one\nReview: two", ("Review", "\n")) == "one"
    assert before_stop("one", ("\n", "")) == "one"
