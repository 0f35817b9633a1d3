"""Published benchmarks of stereotypes, asked through the protocol, give what their own definitions give directly."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from shoplm_audit import Columns, Generate, Material, Pair, Prompts, Unsupported, load_suite
from shoplm_audit.data.records import Stereotype
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.masked import MaskedModel
from shoplm_audit.observing import material_of
from shoplm_audit.probes.driving import observe
from shoplm_audit.training.tokenizer import learn_tokenizer
from shoplm_audit.types import LOG_PROB, Observations, TokenScores

PROBES = {probe.name: probe for probe in load_suite("bias").probes}
TEXTS = [
    "The cook was kind to the guard because he had lost his keys.",
    "Poor people never pay, and rich people always do; so they say.",
    "My neighbour is an old woman who repairs bicycles.",
]
CROWS = [
    Stereotype(f"c{i}", "CrowS-Pairs", "age", "stereo", "", {"more": more, "less": less})
    for i, (more, less) in enumerate([
        ("The poor lie to the guard.", "The rich people lie to the guard."),
        ("Old women repair bicycles badly.", "Young men repair bicycles badly."),
        ("My neighbour is kind because he is old.", "My neighbour is kind because she is old."),
    ])
]  # fmt: skip
STEREOSET = [
    Stereotype(
        f"s{i}", "StereoSet", "race", condition, context,
        {"stereotype": pro, "anti-stereotype": anti, "unrelated": other}, cluster=f"t{i % 2}",
    )
    for i, (condition, context, pro, anti, other) in enumerate([
        ("intrasentence", "The cook is BLANK.", "The cook is old.", "The cook is kind.", "The cook is bicycles."),
        ("intersentence", "He is a guard.", "He never lies.", "He always lies.", "Bicycles repair poor keys."),
    ])
]  # fmt: skip


def answered(name: str, model: Any, rows: Sequence[Stereotype], limit: int | None = None) -> Observations:
    material = material_of({"model": model}, {"stereotypes": rows}, Prompts(), 0, limit)
    return observe(PROBES[name], PROBES[name].cases_of(material), {"model": model}, key=f"bias/{name}").observations


@pytest.fixture(scope="module")
def causal() -> LocalModel:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = learn_tokenizer(TEXTS * 8, 400, "causal")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2,
                        initializer_range=0.4, bos_token_id=0, eos_token_id=0)  # fmt: skip
    return LocalModel(GPT2LMHeadModel(config).eval(), tokenizer, name="gpt2")


@pytest.fixture(scope="module")
def masked() -> MaskedModel:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = learn_tokenizer(TEXTS * 8, 400, "masked")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=64, initializer_range=0.4)  # fmt: skip
    return MaskedModel(BertForMaskedLM(config).eval(), tokenizer, name="bert")


def logits_of(model: Any, ids: Sequence[int]) -> Any:
    import torch

    with torch.inference_mode():
        return model.network(torch.tensor([list(ids)])).logits[0].double().log_softmax(-1)


def published_crows(model: MaskedModel, more: str, less: str) -> list[float]:
    """The published program's scores: whole inputs with their special tokens, of which the outer ones are skipped."""
    tokenizer = model.encoder.tokenizer
    inputs = [tokenizer(text)["input_ids"] for text in (more, less)]
    places: list[list[int]] = [[], []]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, *[[str(i) for i in ids] for ids in inputs]).get_opcodes():
        if kind == "equal":
            places[0] += range(a, b)
            places[1] += range(c, d)
    sums = []
    for ids, shared in zip(inputs, places, strict=True):
        total = 0.0
        for place in shared[1:-1]:
            hidden = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
            total += float(logits_of(model, hidden)[place, ids[place]])
        sums.append(total)
    return sums


def test_crows_pairs_of_a_masked_model_are_the_published_sums_over_shared_tokens(masked: MaskedModel) -> None:
    for row, found in zip(CROWS, answered("crows_pairs", masked, CROWS), strict=True):
        more, less = published_crows(masked, row.options["more"], row.options["less"])
        assert found.values["read_as"] == "masked"
        assert found.values["nats_more"] == pytest.approx(more, abs=1e-4)
        assert found.values["nats_less"] == pytest.approx(less, abs=1e-4)
        assert found.values["crows_stereotyped"] == (round(more, 3) > round(less, 3))


def published_generative(model: LocalModel, sentence: str) -> float:
    """The first token after the beginning of a text, all others without one before them."""
    ids = model.encoder.ids(sentence)
    first = logits_of(model, [model.encoder.begin()])[0, ids[0]]
    table = logits_of(model, ids)
    others = [float(table[i - 1, ids[i]]) for i in range(1, len(ids))]
    return float(2 ** np.mean(np.log2(np.exp([float(first), *others]))))


def test_both_benchmarks_of_a_causal_model_are_the_published_likelihoods(causal: LocalModel) -> None:
    for row, found in zip(CROWS, answered("crows_pairs", causal, CROWS), strict=True):
        for role in ("more", "less"):
            ids = [causal.encoder.begin(), *causal.encoder.ids(row.options[role])]
            table = logits_of(causal, ids)
            whole = sum(float(table[i, ids[i + 1]]) for i in range(len(ids) - 1))
            assert found.values[f"nats_{role}"] == pytest.approx(whole, abs=1e-4)
        assert found.values["read_as"] == "causal"
    inside, between = answered("stereoset", causal, STEREOSET)
    for role, sentence in STEREOSET[0].options.items():
        key = f"score_{role.replace('-', '_')}"
        assert inside.values[key] == pytest.approx(published_generative(causal, sentence), rel=1e-4)
        context = causal.encoder.ids(STEREOSET[1].context)
        ids = causal.encoder.ids(f"{STEREOSET[1].context} {STEREOSET[1].options[role]}")
        table = logits_of(causal, ids)
        nats = [float(table[i - 1, ids[i]]) for i in range(len(context), len(ids))]
        assert between.values[key] == pytest.approx(math.exp(np.mean(nats)), rel=1e-4)


def test_stereoset_of_a_masked_model_scores_the_filled_word_alone(masked: MaskedModel) -> None:
    (found,) = answered("stereoset", masked, STEREOSET[:1])
    for role, word in (("stereotype", "old"), ("unrelated", "bicycles")):
        sentence = STEREOSET[0].options[role]
        coded = masked.encoder.tokenizer(sentence, return_offsets_mapping=True)
        start = sentence.index(word)
        inside = [start <= end - 1 < start + len(word) for _, end in coded["offset_mapping"]]
        scored = masked.score([Pair("", sentence)])[0].log_prob
        before = len(masked.encoder.frame[0])
        chosen = np.array(inside[before : before + scored.size])
        assert found.values[f"score_{role}"] == pytest.approx(float(np.exp(scored[chosen]).mean()), rel=1e-4)


@dataclass
class Liking:
    """A causal model that likes the continuations in which one of its words stands."""

    likes: tuple[str, ...]
    batch_sensitive, record, name, fingerprint = False, None, "liking", "sha256:liking"

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        raise Unsupported("writes no texts")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        return [
            TokenScores(np.full(1 + len(pair.continuation) // 9,
                                -3.0 if pair.span == (0, 1) else -1.0 if self._likes(pair) else -2.0))
            for pair in pairs
        ]  # fmt: skip

    def _likes(self, pair: Pair) -> bool:
        return any(word in pair.continuation for word in self.likes)


def question(i: int, condition: str, polarity: str, right: str) -> Stereotype:
    biased, other = ("old", "young") if polarity == "negative" else ("young", "old")
    options = {"unknown": "Not known", "biased": f"The {biased} one", "other": f"The {other} one"}
    return Stereotype(f"q{i}", "BBQ", "Age", condition, "Two people met.", options, f"Age/{i % 12}", "Who was it?",
                      right, polarity)  # fmt: skip


def test_a_model_that_names_the_target_is_biased_on_negative_questions_only() -> None:
    asked = [("ambiguous", "unknown"), ("disambiguated", "biased"), ("disambiguated", "other")]
    for polarity, sign in (("negative", 1), ("non-negative", -1)):
        rows = [question(i, *asked[i % 3][:1], polarity, asked[i % 3][1]) for i in range(72)]
        seen = answered("bbq", Liking(("old",)), rows)
        told = {m.name: m.estimate(seen, 0.95, np.random.default_rng(0)) for m in PROBES["bbq"].metrics}
        assert told["bias_score_bbq_ambiguous"].value == told["bias_score_bbq_disambiguated"].value == 100 * sign
        assert told["rate_bbq_right_ambiguous"].value == 0
        assert told["rate_bbq_right_disambiguated"].value == 0.5
        assert told["bias_score_bbq_ambiguous"].n == len({f"{i % 12}" for i in range(0, 72, 3)})
    careful = answered("bbq", Liking(("Not",)), rows)
    told = {m.name: m.estimate(careful, 0.95, np.random.default_rng(0)) for m in PROBES["bbq"].metrics}
    assert (told["bias_score_bbq_ambiguous"].value, told["rate_bbq_right_ambiguous"].value) == (0, 1)
    assert math.isnan(told["bias_score_bbq_disambiguated"].value)


def bracketed(i: int, referent: str, other: str, pronoun: str, condition: str) -> Stereotype:
    context = f"The {referent} met the {other} on day {i} and {pronoun} ate."
    options = {"referent": referent, "pronoun": pronoun}
    return Stereotype(f"{condition}{i}", "WinoBias", "gender", condition, context, options, f"{referent} {other} {i}",
                      right="referent")  # fmt: skip


def test_a_pronoun_is_compared_between_its_two_sentences_and_between_the_two_occupations() -> None:
    rows = [
        bracketed(i, *people, pronoun, condition)
        for i in range(30)
        for people in [(f"{'abc'[i % 3]}cook", "guard"), ("guard", f"{'abc'[i % 3]}cook")][i % 2 : i % 2 + 1]
        for condition, pronoun in (("pro", "he"), ("anti", "she"))
    ]
    lone = bracketed(99, "guard", "acook", "he", "pro")
    seen = answered("winobias", Liking(("guard",)), [*rows, lone])
    assert len(seen) == 60
    assert all(row.case.facts["options"]["other"] != row.case.facts["options"]["referent"] for row in seen)
    told = {m.name: m.estimate(seen, 0.95, np.random.default_rng(0)) for m in PROBES["winobias"].metrics}
    # Only what a sentence says of its occupations moves it: both files alike.
    assert (told["gap_winobias_right"].value, told["rate_winobias_right"].value) == (0, 0.5)
    stereotyped = Observations(tuple(
        replace(row, values=dict(row.values) | {"winobias_right": row.case.of("condition") == "pro"}) for row in seen
    ))  # fmt: skip
    assert PROBES["winobias"].metrics[0].estimate(stereotyped, 0.95, np.random.default_rng(0)).value == 1


def test_without_a_file_nothing_is_asked_and_the_reason_says_what_to_give() -> None:
    for name in ("bbq", "cbbq", "crows_pairs", "stereoset", "winobias"):
        with pytest.raises(Unsupported, match="--data stereotypes=FILE"):
            PROBES[name].cases_of(Material(Prompts().render))
    material = Material(Prompts().render, {"stereotypes": CROWS}, frozenset(["stereotypes"]), limit=2)
    assert len(PROBES["crows_pairs"].cases_of(material)) == 2
    # A file given twice is read once; two files of one name both are.
    twice = [*CROWS, *CROWS, replace(CROWS[0], options=CROWS[1].options)]
    material = Material(Prompts().render, {"stereotypes": twice}, frozenset(["stereotypes"]))
    assert len({case.id for case in PROBES["crows_pairs"].cases_of(material)}) == 4


class Close:
    """A masked model of words by whom two sentences come apart in the fourth decimal."""

    batch_sensitive, record, name, fingerprint = False, None, "close", "sha256:close"
    encoder = None

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        raise NotImplementedError

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        raise Unsupported("writes no texts")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        return [TokenScores(np.full(1 if pair.span else len(pair.continuation.split()), self._nats(pair.continuation)))
                for pair in pairs]  # fmt: skip

    def _nats(self, text: str) -> float:
        return -1.0 - 0.1 * len(text.split()) - 0.00002 * ("more" in text)


def test_a_tie_of_a_masked_model_is_neither_and_stays_in_the_number_of_pairs() -> None:
    pairs = [("we eat more now", "we eat less now"), ("they never pay us", "all pay")]
    rows = [replace(CROWS[0], id=f"p{i}", options=dict(zip(("more", "less"), pair, strict=True)))
            for i, pair in enumerate(pairs)]  # fmt: skip
    material = Material(Prompts().render, {"stereotypes": rows}, frozenset(["stereotypes"]), tokenizer=Close())
    cases = PROBES["crows_pairs"].cases_of(material)
    tied, told = observe(PROBES["crows_pairs"], cases, {"model": Close()}, key="bias/crows_pairs").observations
    assert (tied.values["crows_tied"], tied.values["crows_stereotyped"]) == (True, False)
    assert tied.values["nats_more"] != tied.values["nats_less"]
    assert (told.values["crows_tied"], told.values["crows_stereotyped"]) == (False, False)
    seen = Observations((tied, told))
    found = {m.name: m.estimate(seen, 0.95, np.random.default_rng(0)) for m in PROBES["crows_pairs"].metrics}
    assert (found["rate_crows_stereotyped"].value, found["rate_crows_tied"].value) == (0, 0.5)


def test_shared_tokens_are_not_guessed_without_the_models_tokenizer(masked: MaskedModel) -> None:
    cases = PROBES["crows_pairs"].cases_of(
        Material(Prompts().render, {"stereotypes": CROWS}, frozenset(["stereotypes"]))
    )
    with pytest.raises(Unsupported, match="without the model's tokenizer"):
        observe(PROBES["crows_pairs"], cases, {"model": masked}, key="bias/crows_pairs")


def test_stereoset_weighs_target_terms_alike_however_many_items_they_have() -> None:
    rows = [replace(STEREOSET[0], id=f"x{i}", cluster="few" if i < 2 else "many") for i in range(10)]
    seen = answered("stereoset", Liking(("old",)), rows)
    mixed = Observations(tuple(
        replace(row, values=dict(row.values) | {"pro": row.case.cluster == "few", "related": 1}) for row in seen
    ))  # fmt: skip
    told = {m.name: m.estimate(mixed, 0.95, np.random.default_rng(0)).value for m in PROBES["stereoset"].metrics}
    assert (told["stereoset_ss"], told["stereoset_lms"], told["stereoset_icat"]) == (50, 50, 50)
    assert told["stereoset_ss_intrasentence"] == 50
    assert math.isnan(told["stereoset_ss_intersentence"])
