"""The likelihood detectors of fake_reviews: which texts they read with which model, and how often they are asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shoplm_audit import Case, Columns, Generate, Material, Pair, Prompts, Unsupported, audit, load_suite
from shoplm_audit.data.records import Product, Review
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.models.encoding import Encoder
from shoplm_audit.observing import _Tokenizer
from shoplm_audit.probes.driving import observe
from shoplm_audit.types import LOG_PROB, Suite, TokenScores
from tests.models.small_networks import CHAT, make_tokenizer

SUITE: Suite = load_suite("fake_reviews")
PROBES = {
    probe.name: probe
    for probe in SUITE.probes
    if probe.name in ("platform", "maker", "maker_disguised", "independent", "binoculars")
}
REVIEWS = [Review(f"r{i}", text=f"Review {i} of the kettle keeps the tea hot for hours and hours, 保温很久。" * 3,
                  rating=5, product=f"p{i}", language="zh" if i % 2 else "en") for i in range(16)]  # fmt: skip
DATA: dict[str, Sequence[Any]] = {"reviews": REVIEWS, "products": [Product("other", "Lamp", "lamps", {})]}


class Writer:
    """Writes what the shop's customers would, scores a token per three characters, and remembers what it was asked."""

    batch_sensitive, record, name = False, None, "writer"

    def __init__(self, text: str = "", *, only_log_prob: bool = False, weights: str = "writer") -> None:
        self.text, self.only_log_prob, self.fingerprint = text, only_log_prob, f"sha256:{weights}"
        self.asked: list[tuple[Pair, Columns]] = []

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        return [self.text.format(seed=request.sampling.seed) for request in requests]

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        if self.only_log_prob and columns != LOG_PROB:
            raise Unsupported("log-probabilities alone")
        self.asked += [(pair, columns) for pair in pairs]
        return [self._scores(pair, columns) for pair in pairs]

    def _scores(self, pair: Pair, columns: Columns) -> TokenScores:
        size = len(pair.continuation) // 3
        own = (-1.0 if "own words" in pair.continuation else -4.0) - np.arange(float(size)) % 3
        if columns == LOG_PROB:
            return TokenScores(own)
        return TokenScores(own, np.full(size, -2.0), np.full(size, 1.5), (-own).astype(np.int64))


WORDS = "These are my own words {seed}, and they go on for a good while about the kettle and its tea. 真的很好用。" * 2


def run(name: str, limit: int = 12, data: Any = DATA, **models: Any) -> dict[str, Any]:
    """The estimates of one probe over all cases, by metric."""
    model = models.pop("model")
    one = Suite("fake_reviews", SUITE.question, [PROBES[name]])
    found = audit(model, one, roles=models, limit=limit, data=data).result.suites[0]
    return {estimate.metric: estimate for estimate in found.estimates if not estimate.slice} | {"why": found.not_tested}


def test_one_pass_over_each_text_serves_every_detector_and_its_maker_knows_the_prompt() -> None:
    model = Writer(WORDS)
    found = run("maker", model=model)
    assert len(model.asked) == 2 * 12  # a pass for the generated text, one for the reference
    assert max(Counter(model.asked).values()) == 1
    assert all("kettle" in pair.continuation and pair.context.strip() for pair, _ in model.asked)
    for name in ("likelihood", "log_rank", "rank", "fast_detect_gpt", "fast_detect_gpt_first_25"):
        assert found[f"auroc_{name}"].value == 1.0, name
    assert "auroc_fast_detect_gpt_first_100" not in found  # no text is that long
    assert found["rate_under_10_tokens"].value == 0
    tpr = found["tpr_fast_detect_gpt_at_1_percent_fpr"]
    assert tpr.value is None
    assert "300 needed" in tpr.method


def test_a_platform_reads_the_text_alone_with_a_model_of_its_own() -> None:
    model, reference = Writer(WORDS), Writer("never asked to write", weights="other")
    found = run("independent", model=model, reference=reference)
    assert not model.asked
    assert len(reference.asked) == 2 * 12
    assert {pair.context for pair, _ in reference.asked} == {""}
    assert found["auroc_fast_detect_gpt_independent"].value == 1.0


def test_both_texts_are_cut_to_one_length() -> None:
    material = Material(Prompts().render, ShopRecords(DATA, 0), frozenset(DATA), limit=6)
    probe = PROBES["maker"]
    drove = observe(probe, probe.cases_of(material), {"model": Writer(WORDS)}, key="fake_reviews/maker")
    for row in drove.observations:
        assert len(str(row.values["text"])) == len(str(row.values["text_reference"]))


def test_probes_without_their_model_are_not_tested_and_say_what_to_give() -> None:
    assert "--with reference=SPEC" in run("independent", model=Writer(WORDS))["why"]["independent"]
    assert "--with second=SPEC" in run("binoculars", model=Writer(WORDS))["why"]["binoculars"]
    refused = run("binoculars", model=Writer(WORDS), second=Writer(WORDS, weights="other"))["why"]["binoculars"]
    assert "both are causal" in refused


def test_probes_share_their_texts_so_that_one_generation_serves_them() -> None:
    material = Material(
        Prompts().render, ShopRecords(DATA, 0), frozenset(DATA), limit=6,
        roles=frozenset({"reference", "second"}),
    )  # fmt: skip

    def asks(case: Case, name: str) -> Any:
        return next(PROBES[name].observe(case))

    cases = [PROBES[name].cases_of(material) for name in PROBES]
    assert len(cases) == 5
    bare = [[replace(case, facts={"tokens": case.facts["tokens"]}) for case in one] for one in cases]
    assert all(one == bare[0] for one in bare)
    asked = [{name: asks(case, name) for name in PROBES} for case in cases[0]]
    assert all(len(set(map(repr, one.values()))) == 1 for one in asked)
    assert len({one["maker"].sampling.seed for one in asked}) == 6  # one prompt for all, and yet six texts


def test_disguised_texts_are_held_against_people_s_as_they_are() -> None:
    many = {**DATA, "reviews": [replace(REVIEWS[i % 16], id=f"m{i}", product=f"q{i}") for i in range(260)]}
    model = Writer(WORDS)
    found = run("maker_disguised", limit=260, data=many, model=model)
    asked = [pair.continuation for pair, _ in model.asked]
    # 96 of the cases, half of them English, which has nine disguises; Chinese has eight.
    assert len(asked) == 2 * 260 + 48 * 9 + 48 * 8
    for name in ("fast_detect_gpt", "likelihood"):
        for kind in ("number", "emoji", "traditional"):  # they leave the words by which this model is known
            assert found[f"auroc_{name}_disguised_{kind}"].value == 1.0, kind
            assert found[f"tpr_{name}_disguised_{kind}_at_5_percent_fpr"].value == 1.0
        hidden = found[f"tpr_{name}_disguised_homoglyph_at_5_percent_fpr"]
        assert hidden.value < 0.9  # some keep one of the two places
        assert hidden.n == 48
        assert "held-out FPR" in hidden.method
    few = run("maker_disguised", limit=12, model=Writer(WORDS))["tpr_likelihood_disguised_emoji_at_5_percent_fpr"]
    assert few.value is None
    assert "60 needed" in few.method


@pytest.mark.parametrize(("chat", "begin"), [(CHAT, False), (CHAT, True), (None, True), (None, False)])
def test_a_text_is_scored_as_the_very_tokens_behind_what_the_model_read(chat: str | None, begin: bool) -> None:
    """With a chat template the turns stand around the prompt, and the answer begins right behind them."""
    encoder = Encoder(make_tokenizer(begin=begin, chat=chat))
    material = Material(Prompts().render, ShopRecords(DATA, 0), frozenset(DATA), limit=4, tokenizer=_Tokenizer(encoder))
    for case in PROBES["maker"].cases_of(material):
        text = "The strap broke after two days." if case.language == "en" else "质量很好，下次还会再买。"
        observing: Any = PROBES["maker"].observe(case)
        next(observing)
        pair = observing.send(f"{text}\n")[0].pair
        assert pair.context == case.facts["read"] == encoder.rendered(Generate(case.prompt))
        cut = pair.continuation.strip()
        assert text.startswith(cut)
        assert len(cut) > 8
        read = encoder.prompts([Generate(case.prompt)])[0]
        (row,) = encoder.scored([pair])
        before = "" if chat or case.language == "zh" else " "
        assert list(row.ids[len(row.ids) - len(row.scored) :]) == encoder.ids(before + cut)
        assert list(row.ids[: len(row.ids) - len(row.scored)]) == read


def test_a_server_that_tells_log_probabilities_alone_is_judged_by_likelihood_alone() -> None:
    found = run("maker", model=Writer(WORDS, only_log_prob=True))
    assert found["auroc_likelihood"].value == 1.0
    assert "auroc_fast_detect_gpt" not in found


@pytest.mark.parametrize("text", ["", "ok", "👍🏽", "مرحبا"])
def test_texts_of_fewer_than_ten_tokens_are_counted_and_not_judged(text: str) -> None:
    found = run("maker", model=Writer(text))
    assert found["rate_under_10_tokens"].value == 1.0
    assert "auroc_likelihood" not in found
