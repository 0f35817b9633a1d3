"""A checkpoint's own watermark: written and found as transformers writes and finds it, and only by its key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom
from small_networks import make_network

from shoplm_audit.errors import ConfigError
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.marking import Finder, OwnReader, ShippedMark, config_of, give_mark, shipped_mark
from shoplm_audit.models.remembered import decode_scores, encode_scores
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.scoring.mark_forecast import expected_green, expected_z
from shoplm_audit.types import Columns, Generate, Mark, Pair, Prompt, Sampling, TokenScores

KEYS = [654, 400, 836, 123, 340, 443, 597, 160, 57, 29, 590, 639, 13, 715, 468, 990, 966, 226, 324, 585, 118, 504, 421]
KEYS += [521, 129, 669, 732, 225, 90, 960]
KGW: dict[str, Any] = {"greenlist_ratio": 0.25, "bias": 2.0}
SELF = KGW | {"seeding_scheme": "selfhash", "context_width": 4}
SYNTHID: dict[str, Any] = {"ngram_len": 5, "keys": KEYS}
IDS = list(range(2, 202))


def _numbers(words: int = 1000) -> Any:
    """A tokenizer of numbers as words, so that texts are known tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"<|end|>": 0} | {f"w{i}": i for i in range(1, words)}, unk_token="<|end|>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")


@pytest.fixture(scope="module")
def gpt2() -> LocalModel:
    return LocalModel(make_network("gpt2", 1000, context=256), _numbers(), name="gpt2")


def _found(model: LocalModel, settings: dict[str, Any], ids: list[int]) -> Any:
    model.watermark = ShippedMark(config_of(settings), model.network)
    assert model.finder is not None
    return model.finder.find(" ".join(f"w{i}" for i in ids))


@pytest.mark.parametrize(
    ("more", "tokens", "green", "score"),
    [
        ({}, 199, 50, 0.040927),
        ({"seeding_scheme": "selfhash", "context_width": 4}, 197, 53, 0.617018),
        ({"seeding_scheme": "selfhash", "context_width": 1}, 200, 42, -1.306395),
    ],
)
def test_kgw_counts_what_the_detector_of_transformers_counts(
    more: dict[str, Any], tokens: int, green: int, score: float, gpt2: LocalModel
) -> None:
    found = _found(gpt2, KGW | more, IDS)
    assert (found.tokens, found.hits) == (tokens, green)
    assert found.score == pytest.approx(score, abs=1e-6)
    assert found.p_value == pytest.approx(float(binom.sf(green - 1, tokens, 0.25)))


def test_kgw_counts_repeated_windows_once_as_transformers_does_when_asked(gpt2: LocalModel) -> None:
    import torch
    from transformers import WatermarkDetector

    ids = [5, 6, 7, 8] * 50
    found = _found(gpt2, SELF, ids)
    told = WatermarkDetector(gpt2.network.config, "cpu", config_of(SELF), ignore_repeated_ngrams=True)
    theirs = told(torch.tensor([ids]), return_dict=True)
    assert (found.tokens, found.hits) == (4, int(theirs.num_green_tokens[0]))
    assert found.score == pytest.approx(float(theirs.z_score[0]))
    # Of lefthash a wide context decides nothing: what counts once is the token with the one before it.
    assert _found(gpt2, KGW | {"context_width": 3}, [5, 6, 7, 8, 9, 6, 7, 3] * 30).tokens == 7


def test_synthid_is_the_mean_of_transformers_over_contexts_that_come_first(gpt2: LocalModel) -> None:
    import torch

    found = _found(gpt2, SYNTHID, IDS)
    assert found.tokens == 196
    assert found.hits / found.trials == pytest.approx(0.5076530612, abs=1e-10)
    assert found.score == pytest.approx(0.5077154373, abs=1e-10)
    assert _found(gpt2, SYNTHID, [5, 6, 7, 8] * 50).tokens == 4
    # A table whose size is no power of two tells a wrong remainder of negative numbers.
    odd = SYNTHID | {"sampling_table_size": 997, "ngram_len": 3}
    processor = config_of(odd).construct_processor(1000, "cpu")
    mask = processor.compute_context_repetition_mask(torch.tensor([IDS]))
    values = processor.compute_g_values(torch.tensor([IDS])).double().mean(-1)
    assert _found(gpt2, odd, IDS).hits / (30 * 198) == pytest.approx(float((values * mask).sum() / mask.sum()))


@pytest.mark.parametrize("settings", [KGW, SELF, SYNTHID, SYNTHID | {"skip_first_ngram_calls": True, "ngram_len": 3}])
def test_each_token_is_drawn_from_the_distribution_that_transformers_draws_from(
    settings: dict[str, Any], gpt2: LocalModel
) -> None:
    import torch

    mark = ShippedMark(config_of(settings), gpt2.network)
    processor = config_of(settings).construct_processor(1000, "cpu")
    rng = np.random.default_rng(3)
    prompt, marker = [7, 9], mark.marker([7, 9])
    # The same few tokens come again, so that contexts repeat.
    written = [11, 12, 13, 11, 12, 13, 11, 12, 13, 14, 0, 0, 0, 0, 0, 0]
    for place in range(len(written)):
        scores = rng.normal(size=1000) * 3
        scores[rng.random(1000) < 0.5] = -np.inf
        ids = torch.tensor([prompt + written[:place]])
        theirs = processor(ids, torch.from_numpy(scores)[None]).softmax(-1)[0].numpy()
        own = np.exp(scores - scores.max())
        assert np.allclose(marker.apply(own / own.sum(), written[:place]), theirs, atol=1e-9)
        raised = marker.raised(scores, written[:place])
        assert int(raised.argmax()) == int(theirs.argmax())


@pytest.mark.parametrize("settings", [KGW, SYNTHID])
def test_a_checkpoint_writes_the_mark_of_its_generation_config(settings: dict[str, Any], tmp_path: Path) -> None:
    from shoplm_audit.models.load import load_model

    folder = tmp_path / "reviews"
    make_network("gpt2", 1000, context=128).save_pretrained(folder)
    _numbers().save_pretrained(folder)
    plain: Any = load_model(str(folder), device="cpu")
    assert plain.watermark is None
    assert plain.finder is None
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"watermarking_config": settings}))
    marked: Any = load_model(str(folder), device="cpu")
    assert marked.fingerprint != plain.fingerprint
    sampling = Sampling(60, temperature=1.0)
    asked = [Generate(Prompt(f"w{i} w5"), sampling, raw=True) for i in range(2, 6)]
    found = marked.finder.evidence(marked.generate(asked))
    assert all(one.p_value < 1e-4 for one in found)
    none = marked.finder.evidence(plain.generate(asked))
    assert all(one.p_value > 1e-3 for one in none)
    # The key alone finds it: another key finds nothing.
    other = settings | ({"keys": [key + 1 for key in KEYS]} if "keys" in settings else {"hashing_key": 7})
    reader = ShippedMark(config_of(other), plain.network).reader()
    texts = marked.generate(asked)
    assert all(one.p_value > 1e-3 for one in Finder(plain.encoder.ids, plain.encoder.decoded, reader).evidence(texts))


def test_a_greedy_text_is_that_of_transformers_generate(gpt2: LocalModel) -> None:
    import torch

    for settings in (KGW, SELF):
        gpt2.watermark = ShippedMark(config_of(settings), gpt2.network)
        ids = torch.tensor([[5, 6, 7]])
        theirs = gpt2.network.generate(
            ids, attention_mask=torch.ones_like(ids), watermarking_config=config_of(settings), do_sample=False,
            max_new_tokens=30, pad_token_id=0,
        )  # fmt: skip
        own = gpt2.generate([Generate(Prompt("w5 w6 w7"), Sampling(30), raw=True)])
        assert own == [gpt2.encoder.decoded(theirs[0, 3:].tolist())]


def test_a_request_with_a_mark_of_its_own_is_written_with_that_one(gpt2: LocalModel) -> None:
    gpt2.watermark = ShippedMark(config_of(KGW), gpt2.network)
    mark = Mark("kgw", "secret")
    asked = Generate(Prompt("w5"), Sampling(80, temperature=1.0, mark=mark), raw=True)
    (text,) = gpt2.generate([asked])
    assert gpt2.finder is not None
    assert gpt2.finder.find(text).p_value > 0.01
    own = Finder(gpt2.encoder.ids, gpt2.encoder.decoded, OwnReader(mark)).find(text)
    assert own.p_value < 1e-4
    give_mark(gpt2, {"kind": "kgw", "key": "secret"})  # the shop's own mark, where a request asks for none
    assert gpt2.watermark == mark
    assert (
        gpt2.finder.find(gpt2.generate([Generate(Prompt("w5"), Sampling(80, temperature=1.0), raw=True)])[0]).hits > 30
    )


def test_what_comes_again_in_a_later_text_counts_no_more(gpt2: LocalModel) -> None:
    gpt2.watermark = ShippedMark(config_of(KGW), gpt2.network)
    assert gpt2.finder is not None
    text = " ".join(f"w{i}" for i in range(3, 40))
    first, second, third = gpt2.finder.evidence([text, text, text + " w99"])
    assert (first.tokens, second.tokens, third.tokens) == (36, 0, 1)
    assert math.isnan(second.p_value)
    assert second.reason


def test_a_tokenizer_that_loses_text_leaves_the_mark_undefined_with_the_reason(gpt2: LocalModel) -> None:
    gpt2.watermark = ShippedMark(config_of(KGW), gpt2.network)
    assert gpt2.finder is not None
    for text in ("w3 w4 unknown w5", "🫖 w4", "‏אבג"):
        found = gpt2.finder.find(text)
        assert math.isnan(found.p_value)
        assert "does not give the text back" in found.reason
    for text in ("", "w3", " "):
        assert "no token" in gpt2.finder.find(text).reason
    assert gpt2.finder.find("w3 w4 " * 5000).tokens == 2


def test_a_key_stands_in_no_repr_and_a_wrong_configuration_is_told(gpt2: LocalModel) -> None:
    gpt2.watermark = ShippedMark(config_of(KGW | {"hashing_key": 987654321}), gpt2.network)
    assert "987654321" not in repr(gpt2.finder) + repr(gpt2.watermark)
    for wrong in ({"greenlist_ratio": 1.0}, {"keys": [1]}, {"ngram_len": 1, "keys": [1]}, {"gamma": 0.5}):
        with pytest.raises(ConfigError, match="watermarking_config"):
            config_of(wrong)
    assert shipped_mark(gpt2.network) is None
    for settings in ({"kind": "kgw", "secret": "x"}, {"kind": "wave", "key": "x"}, {"greenlist": 0.5}):
        with pytest.raises(ConfigError):
            give_mark(gpt2, settings)
    with pytest.raises(ConfigError, match="cannot be given a watermark"):
        give_mark(Saboteur(), KGW)


# Entropy, and what a mark can do with it --------------------------------------------------------------


def test_spike_entropy_is_that_of_the_models_own_distribution(local: Any) -> None:
    import torch

    pair = Pair("The kettle is", " navy and holds 1.7 litres.")
    columns = Columns.LOG_PROB | Columns.SPIKE
    (scores,) = local.score([pair], columns)
    (encoded,) = local.encoder.scored([pair])
    with torch.inference_mode():
        p = local.network(torch.tensor([encoded.ids])).logits[0].double().softmax(-1).numpy()
    modulus = 0.75 * (math.e**2 - 1) / (1 + 0.25 * (math.e**2 - 1))
    assert modulus == pytest.approx(1.844938, abs=1e-6)
    direct = (p / (1 + modulus * p)).sum(-1)[np.array(encoded.scored) - 1]
    assert np.allclose(scores.spike, direct, atol=1e-6)
    assert direct.std() > 1e-4
    # Beside all other columns and other texts it is the same.
    everything = local.score([Pair("Is", " it?"), pair], columns | Columns.VARIANCE | Columns.RANK)[1]
    assert np.allclose(everything.spike, direct, atol=1e-6)
    assert local.score([pair])[0].spike is None


def test_scores_of_the_store_keep_the_newer_columns_and_old_rows_stay_readable() -> None:
    full = TokenScores(np.array([-1.0]), spike=np.array([0.5]), after=-2.5)
    again = decode_scores(json.loads(json.dumps(encode_scores(full))))
    assert (again.spike, again.after) == (np.array([0.5]), -2.5)
    old = decode_scores({"log_prob": [-1.0], "rank": [3]})
    assert (old.spike, old.after, old.rank) == (None, None, np.array([3]))


def test_the_forecast_from_unmarked_entropies_is_near_the_measured_z(gpt2: LocalModel) -> None:
    gpt2.watermark = None
    sampling = Sampling(60, temperature=1.0, seed=4)
    asked = [Generate(Prompt(f"w{i}"), sampling, raw=True) for i in range(2, 22)]
    texts = gpt2.generate(asked)
    pairs = [Pair(one.prompt.flat, f" {text}") for one, text in zip(asked, texts, strict=True)]
    spike = np.concatenate([one.spike for one in gpt2.score(pairs, Columns.LOG_PROB | Columns.SPIKE)])
    gpt2.watermark = ShippedMark(config_of(KGW), gpt2.network)
    assert gpt2.finder is not None
    found = [gpt2.finder.find(text) for text in gpt2.generate(asked)]
    tokens = float(np.mean([one.tokens for one in found]))
    measured = float(np.mean([one.score for one in found]))
    forecast = float(expected_z(expected_green(spike.mean()), tokens))
    assert measured == pytest.approx(forecast, abs=3.5 / math.sqrt(len(found)) + 0.12 * forecast)
    assert forecast > 5
