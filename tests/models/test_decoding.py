from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from shoplm_audit.errors import ConfigError
from shoplm_audit.models.decoding import (
    Steering,
    before_stop,
    choose,
    choose_steered,
    distribution,
    folded,
    generator_for,
    holding,
)
from shoplm_audit.types import Mark, Sampling

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


def _distribution_by_sorting(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """By the definition: all of the vocabulary in order, equal ones in that of the vocabulary."""
    scaled = logits.astype(np.float64) / sampling.temperature
    order = np.argsort(-scaled, kind="stable")[: sampling.top_k or None]
    likely = np.exp(scaled[order] - scaled.max())
    likely /= likely.sum()
    order = order[likely.cumsum() - likely < sampling.top_p] if sampling.top_p < 1 else order
    probability = np.zeros(len(scaled))
    probability[order] = np.exp(scaled[order] - scaled.max())
    probability /= probability.sum()
    return probability * (probability >= sampling.min_p * probability.max())


@pytest.mark.parametrize("words", [6, 1500])
@pytest.mark.parametrize("spread", [0.4, 3.0])
def test_truncation_of_a_large_vocabulary_is_that_of_sorting_all_of_it(words: int, spread: float) -> None:
    import torch

    rng = np.random.default_rng(0)
    choices = {"top_k": [0, 1, 40, 511, 512, 513, 900, 10**6], "top_p": [1.0, 0.05, 0.5, 0.9, 0.999]}
    samplings = [
        Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        for temperature in (0.7, 1.5)
        for top_k in choices["top_k"]
        for top_p in choices["top_p"]
        for min_p in (0.0, 0.1)
    ]
    logits = (rng.normal(size=(len(samplings), words)) * spread).astype(np.float32)
    logits[1::3] = logits[1::3].round(1)  # with ties
    logits[::5, ::2] = -np.inf
    found = distribution(torch.from_numpy(logits), samplings).numpy()
    for row, sampling in enumerate(samplings):
        wanted = _distribution_by_sorting(logits[row], sampling)
        assert np.array_equal(found[row] > 0, wanted > 0), sampling
        assert np.allclose(found[row], wanted, rtol=1e-9, atol=0)


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


# Banned phrases -------------------------------------------------------------------------------------

# One vocabulary with many ways to spell "bad" and "坏", in whole words, pieces, other forms and single bytes.
PIECES = [
    *(b"bad", b"ba", b"d", b"b", b"a", b"ad", b" ", b"B", b"A", b"D"),
    *("坏".encode()[i : i + 1] for i in range(3)),
    *("好".encode()[i : i + 1] for i in range(3)),
    *("ｂａ".encode(), "ｄ".encode(), "ba\u00add".encode(), "坏".encode(), "\u200b".encode(), b"ok", b"-"),
]


def _decoded(ids: Sequence[int]) -> str:
    return b"".join(PIECES[token] for token in ids).decode("utf-8", "replace")


def _texts(allows: Callable[[Sequence[int], int], bool] | None, banned: Sequence[str], count: int = 150) -> list[str]:
    """Texts of uniform tokens; `allows` stands in for the check under test."""
    import torch

    texts = []
    sampling = Sampling(temperature=1.0, banned=tuple(banned))
    for sample in range(count):
        steering, generator = Steering("", sampling, _decoded), generator_for("", sampling, sample)
        if allows is not None:
            steering.allows = allows  # type: ignore[method-assign]
        written: list[int] = []
        for _ in range(12):
            token = choose_steered(torch.zeros(len(PIECES)), sampling, generator, written, steering)
            if token is None:
                break
            written.append(token)
        texts.append(_decoded(written))
    return texts


def _shows(text: str, phrase: str) -> bool:
    # By another way than the code's own: character by character, invisible ones dropped.
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return phrase in plain.lower()


@pytest.mark.parametrize("phrase", ["bad", "坏", "a b", "bａD"])
def test_no_text_holds_a_banned_phrase_whatever_its_tokens(phrase: str) -> None:
    sought = unicodedata.normalize("NFKC", phrase).lower()
    texts = _texts(None, [phrase])
    assert not any(_shows(text, sought) for text in texts)
    assert sum(_shows(text, sought) for text in _texts(None, ["never"])) > 2, "without the ban it is written"
    assert len({len(text) for text in texts}) > 1


def test_a_ban_of_token_sequences_would_not_do() -> None:
    # What `bad_words_ids` does: the tokens of the phrase may not follow one another. Other spellings come through.
    sequences = [[PIECES.index(b"bad")], [PIECES.index(b"ba"), PIECES.index(b"d")]]

    def saboteur(written: Sequence[int], token: int) -> bool:
        return not any([*written, token][-len(one) :] == one for one in sequences)

    assert any(_shows(text, "bad") for text in _texts(saboteur, ["bad"]))


def test_a_ban_leaves_the_truncated_distribution_of_what_is_allowed() -> None:
    import torch

    logits = torch.tensor([float(-i) / 4 for i in range(len(PIECES))])
    # After "ba": "bad", "d", "ad", "D" and the wide "d" are tried; of them only those that complete "bad" are banned.
    sampling = Sampling(temperature=1.0, top_k=6, banned=("bad",))
    steering = Steering("", sampling, _decoded)
    written = [PIECES.index(b"ba")]
    generators = (generator_for("", sampling, sample) for sample in range(3000))
    found = np.bincount(
        [choose_steered(logits, sampling, each, written, steering) for each in generators], minlength=len(PIECES)
    )
    wanted = torch.where(torch.arange(len(PIECES)) < 6, logits.exp(), 0.0).numpy()
    for banned in (b"bad", b"d"):
        wanted[PIECES.index(banned)] = 0
    assert np.all(found[wanted == 0] == 0)
    assert np.abs(found / 3000 - wanted / wanted.sum()).max() < 4.5 * 0.5 / np.sqrt(3000)


def test_where_all_that_truncation_keeps_is_banned_the_rest_is_truncated_anew() -> None:
    import torch

    logits = torch.tensor([5.0 if piece in (b"bad", b"d") else float(-i) for i, piece in enumerate(PIECES)])
    sampling = Sampling(temperature=1.0, top_k=2, banned=("bad",))
    steering, written = Steering("", sampling, _decoded), [PIECES.index(b"ba")]
    drawn = {choose_steered(logits, sampling, generator_for("", sampling, s), written, steering) for s in range(60)}
    assert drawn == {1, 3}  # the next best two
    assert choose_steered(logits, Sampling(banned=("bad",)), generator_for("", sampling, 0), written, steering) == 1


def test_where_every_token_is_banned_the_text_ends() -> None:
    import torch

    sampling = Sampling(banned=(*"abd-ok", "坏", "\ufffd"))
    for each in (sampling, Sampling(temperature=1.0, banned=sampling.banned)):
        steering = Steering("", each, lambda ids: _decoded(ids).replace("\u200b", "-").replace(" ", "-"))
        assert choose_steered(torch.zeros(len(PIECES)), each, generator_for("", each, 0), [], steering) is None


def test_a_phrase_is_not_completed_across_prompt_and_text_either() -> None:
    steering = Steering("It is a ba", Sampling(banned=("bad",)), _decoded)
    assert not steering.allows([], PIECES.index(b"d"))
    assert steering.allows([], PIECES.index(b"a"))
    # What the prompt holds by itself forbids nothing.
    assert Steering("It is bad", Sampling(banned=("bad",)), _decoded).allows([], PIECES.index(b"d"))


def test_phrases_are_found_whatever_their_letter_case_form_or_white_space() -> None:
    assert holding("Get a FREE\n gift", ["free gift", "gifts"]) == ["free gift"]
    assert holding("Ｆｒｅｅ ｇｉｆｔ", ["free gift"]) == ["free gift"]
    assert holding("fr\u200bee", ["FREE"]) == ["FREE"]
    assert holding("STRASSE", ["straße"]) == ["straße"]
    assert holding("Cafe\u0301", ["café"]) == ["café"]
    assert folded("Ａ\u3000b\tc") == "a b c"


def test_what_does_not_fit_together_is_refused() -> None:
    for wrong, told in (
        ({"beams": 2, "temperature": 1.0}, "beams"),
        ({"beams": 2, "n": 3}, "n is 3"),
        ({"beams": 0}, "beams"),
        ({"banned": (" ",)}, "banned"),
        ({"banned": ("bad", "\u200b")}, "banned"),
        ({"mark": Mark("synthid", "k"), "beams": 2}, "temperature"),
    ):
        with pytest.raises(ConfigError, match=told):
            Sampling(**wrong)  # type: ignore[arg-type]
