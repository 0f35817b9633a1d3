from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import Fake, cases
from small_networks import TEXTS, make_kind, make_network, make_tokenizer

from shoplm_audit.errors import Unsupported
from shoplm_audit.models.encoder_decoder import EncoderDecoderModel
from shoplm_audit.models.guard import Guarded
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.paired import Paired, paired
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.probes.driving import observe
from shoplm_audit.scoring.detectors import detections, mean_log_rank
from shoplm_audit.store import Store
from shoplm_audit.types import Case, Columns, Generate, Pair, Probe, Prompt, Score, TokenScores

ALL = Columns.LOG_PROB | Columns.EXPECTED | Columns.VARIANCE | Columns.RANK
FIXTURE = Pair("d", " b e b f c")  # tokens 3 | 1 4 1 5 2
OTHERS = [Pair("a", " b c d e f g a b c"), Pair("", "g g g"), Pair("a b c", " d")]
PAIRS = [
    Pair("", "I would buy it again."),
    Pair("这条评价是", "正面。质量很好，下次还会再买。"),
    Pair("The kettle is ", "navy and holds 1.7 litres. " * 4),
    Pair("Colour:", " 🫖 كبير\u200b\n"),
    Pair("x", ""),
]


def _scripted(scale: float, rate: tuple[float, float], function: Any) -> LocalModel:
    """A model whose logits are `scale * function(rate . (place, word))` in float64, whatever is read."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate("abcdefg")}, unk_token="g"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    network: Any = GPT2LMHeadModel(
        GPT2Config(vocab_size=7, n_positions=12, n_embd=7, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)
    ).double()
    place, word = np.arange(12)[:, None], np.arange(7)[None]
    table = torch.from_numpy(scale * function(rate[0] * place + rate[1] * word))

    class Head(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return table[: states.shape[-2]].expand(*states.shape[:-1], 7)

    network.lm_head = Head()
    return LocalModel(network, PreTrainedTokenizerFast(tokenizer_object=core, eos_token="a"), name=function.__name__)


@pytest.fixture(scope="module")
def scripted() -> tuple[LocalModel, LocalModel]:
    return _scripted(2.0, (1.3, 0.7), np.sin), _scripted(1.5, (0.9, -0.4), np.cos)


def _columns(scores: TokenScores) -> np.ndarray:
    return np.stack([scores.log_prob, scores.expected_log_prob, scores.log_prob_variance, scores.rank])  # type: ignore[list-item]


@pytest.mark.parametrize("company", [[], OTHERS, OTHERS * 30], ids=["alone", "padded", "batched"])
def test_the_published_fixture_is_met_to_eight_digits(scripted: Any, company: list[Pair]) -> None:
    performer, observer = scripted
    pairs = [*company, FIXTURE, *company]
    cross = Paired(performer, observer).score(pairs, ALL)[len(company)]
    own = Paired(performer, performer).score(pairs, ALL)[len(company)]
    told, alone = detections(cross), detections(own)
    assert _columns(cross)[3].tolist() == [3, 6, 3, 2, 4]
    found = {
        "fast_detect_gpt beside": told["fast_detect_gpt"],
        "fast_detect_gpt": alone["fast_detect_gpt"],
        "likelihood": told["likelihood"],
        "log_rank": mean_log_rank(_columns(cross)[3]),
        "entropy": -_columns(own)[1].mean(),
        "lrr": told["lrr"],
        "x_ppl": -np.append(_columns(cross)[1], cross.after or 0.0).mean(),
        "binoculars": -told["binoculars"],
    }
    assert found == pytest.approx(
        {
            "fast_detect_gpt beside": -0.0749474607,
            "fast_detect_gpt": -2.7479367318,
            "likelihood": -2.3710233438,
            "log_rank": 1.2136851176,
            "entropy": 1.4212121278,
            "lrr": 1.9535737147,
            "x_ppl": 2.3977889364,
            "binoculars": 0.9888373859,
        },
        abs=1e-8,
    )


def _two(shape: str, tokenizer: Any, context: int = 96) -> tuple[LocalModel, LocalModel]:
    first, second = (make_network(shape, len(tokenizer), context=context, seed=seed) for seed in (1, 2))
    return LocalModel(first, tokenizer, name="p"), LocalModel(second, tokenizer, name="q")


def _told(model: LocalModel, ids: tuple[int, ...]) -> np.ndarray:
    """The log-probabilities of the words after each of these tokens, (W, V)."""
    import torch

    with torch.inference_mode():
        told: np.ndarray = model.network(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()
    return told


def _naive(p: LocalModel, q: LocalModel, pair: Pair) -> np.ndarray:
    """Log p, its mean and variance under q, and the rank, by unpadded passes, the place after the text included."""
    row = p.encoder.scored([pair])[0]
    log_p, log_q = (_told(model, row.ids) for model in (p, q))
    places = [place - 1 for place in row.scored] + [row.scored[-1]]
    own = log_p[places, [row.ids[i] for i in row.scored] + [0]]
    mean = (np.exp(log_q) * log_p).sum(-1)[places]
    second = (np.exp(log_q) * log_p**2).sum(-1)[places]
    return np.stack([own, mean, second - mean**2, 1 + (log_p[places] > own[:, None]).sum(-1)])


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_a_batch_gives_what_each_text_gets_from_both_networks_alone(shape: str, tokenizers: Any) -> None:
    p, q = _two(shape, tokenizers[shape])
    for pair, scores in zip(PAIRS, Paired(p, q).score(PAIRS, ALL), strict=True):
        if not pair.continuation:
            assert (scores.log_prob.size, scores.after) == (0, None)
            continue
        naive = _naive(p, q, pair)
        assert _columns(scores) == pytest.approx(naive[:, :-1], abs=2e-4)
        assert scores.after == pytest.approx(naive[1, -1], abs=2e-4)


def test_a_text_longer_than_both_contexts_is_read_once_and_ends_where_it_ends(tokenizers: Any) -> None:
    p, q = _two("gpt2", tokenizers["gpt2"], context=24)
    text = " ".join(TEXTS[:8])
    scores = Paired(p, q).score([Pair("", text)], ALL)[0]
    assert scores.log_prob == pytest.approx(p.score([Pair("", text)])[0].log_prob, abs=1e-4)
    end = p.encoder.scored([Pair("", text)])[0].ids[-24:]
    log_p, log_q = (_told(model, end)[-1] for model in (p, q))
    assert scores.after == pytest.approx((np.exp(log_q) * log_p).sum(), abs=1e-4)
    assert _columns(scores).shape == (4, scores.log_prob.size)


def test_a_store_answers_for_two_models_and_not_for_them_exchanged(tmp_path: Path, tokenizers: Any) -> None:
    p, q = _two("gpt2", tokenizers["gpt2"])
    p.fingerprint, q.fingerprint = "sha256:p", "sha256:q"
    with Store(tmp_path / "store.sqlite") as store:
        one, other = Remembered(Guarded(p, None), store), Remembered(q, store)
        first = paired(one, other)
        again, exchanged = paired(one, other), paired(other, one)
        told = first.score(PAIRS[:2], ALL)
        repeated = again.score(PAIRS[:2], ALL)
        swapped = exchanged.score(PAIRS[:2], ALL)
        assert [getattr(model, "computed", None) for model in (first, again, exchanged)] == [2, 0, 2]
    assert [scores.after for scores in repeated] == [scores.after for scores in told]
    assert swapped[0].total != told[0].total


def test_models_that_nobody_can_recognise_find_their_answers_in_their_own_run_alone(
    tmp_path: Path, tokenizers: Any
) -> None:
    p, q = _two("gpt2", tokenizers["gpt2"])
    with Store(tmp_path / "store.sqlite") as store:
        runs = [paired(Remembered(p, store, run=run), Remembered(q, store, run=run)) for run in ("1", "1", "2")]
        for run in runs:
            run.score(PAIRS[:1], ALL)
    assert [getattr(run, "computed", None) for run in runs] == [1, 0, 1]


def test_models_of_other_vocabularies_or_splits_are_refused_and_told_apart(tokenizers: Any) -> None:
    from tokenizers import pre_tokenizers

    p, _ = _two("gpt2", tokenizers["gpt2"])
    other = LocalModel(make_network("llama", len(tokenizers["llama"])), tokenizers["llama"], name="other")
    with pytest.raises(Unsupported, match=r'"p" and "other" have different vocabularies: \d+ tokens .*"'):
        Paired(p, other)
    padded = LocalModel(make_network("gpt2", len(tokenizers["gpt2"]) + 8), tokenizers["gpt2"], name="padded")
    with pytest.raises(Unsupported, match="padded differently"):
        Paired(p, padded)
    spaced = make_tokenizer(begin=False)
    spaced.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    q = LocalModel(make_network("gpt2", len(spaced)), spaced, name="q")
    with pytest.raises(Unsupported, match='p beside q: they split the text "I would buy it again'):
        Paired(p, q).score(PAIRS[:1])


def test_what_two_models_cannot_do_together_is_unsupported(tokenizers: Any) -> None:
    p, q = _two("gpt2", tokenizers["gpt2"])
    translator = EncoderDecoderModel(make_kind("t5", len(tokenizers["gpt2"])), tokenizers["gpt2"], name="t5")
    for other in (Fake(), translator):
        with pytest.raises(Unsupported, match="both are causal"):
            paired(p, other)
    with pytest.raises(Unsupported, match="write none"):
        paired(p, q).generate([Generate(Prompt("a"))])
    with pytest.raises(Unsupported, match="spike entropy"):
        paired(p, q).score(PAIRS[:1], Columns.SPIKE)


def test_a_probe_asks_two_roles_at_once_and_is_told_which_is_missing(tokenizers: Any) -> None:
    def ask(case: Case) -> Any:
        pair = Pair("", "I would buy it again.")
        beside, own = yield [Score(pair, ALL, beside="second"), Score(pair, ALL)]
        return {
            "beside": beside.after,
            "own": own.after,
            "means": beside.expected_log_prob[0] - own.expected_log_prob[0],
        }

    p, q = _two("gpt2", tokenizers["gpt2"])
    probe = Probe("p", cases(2), ask, [])
    run = observe(probe, cases(2), {"model": p, "second": q}, key="s/p")
    for row in run.observations:
        assert row.values["own"] is None
        assert row.values["beside"] == paired(p, q).score([PAIRS[0]], ALL)[0].after
        assert row.values["means"] != 0
    with pytest.raises(Unsupported, match="--with second=SPEC"):
        observe(probe, cases(1), {"model": p}, key="s/p")
    with pytest.raises(Unsupported, match="both are causal"):
        observe(probe, cases(1), {"model": p, "second": Fake()}, key="s/p")
