"""The likelihood detectors of fake_reviews: which texts they read with which model, and how often they are asked."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from shoplm_audit import Case, Columns, Generate, Material, Pair, Prompts, Unsupported, audit, load_suite
from shoplm_audit.data.records import Product, Review
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.probes.driving import observe
from shoplm_audit.types import LOG_PROB, Suite, TokenScores

SUITE: Suite = load_suite("fake_reviews")
PROBES = {
    probe.name: probe for probe in SUITE.probes if probe.name in ("platform", "maker", "independent", "binoculars")
}
REVIEWS = [Review(f"r{i}", text=f"Review {i} of the kettle keeps the tea hot for hours and hours, 保温很久。" * 3,
                  rating=5, product=f"p{i}", language="zh" if i % 2 else "en") for i in range(16)]  # fmt: skip
DATA: dict[str, Sequence[Any]] = {"reviews": REVIEWS, "products": [Product("other", "Lamp", "lamps", {})]}


class Writer:
    """Writes what the shop's customers would, scores a token per three characters, and remembers what it was asked."""

    batch_sensitive, record, name, fingerprint = False, None, "writer", "sha256:writer"

    def __init__(self, text: str = "", *, only_log_prob: bool = False) -> None:
        self.text, self.only_log_prob = text, only_log_prob
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


def run(name: str, limit: int = 12, **models: Any) -> dict[str, Any]:
    """The estimates of one probe over all cases, by metric."""
    model = models.pop("model")
    one = Suite("fake_reviews", SUITE.question, [PROBES[name]])
    found = audit(model, one, roles=models, limit=limit, data=DATA).result.suites[0]
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
    model, reference = Writer(WORDS), Writer("never asked to write")
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
    refused = run("binoculars", model=Writer(WORDS), second=Writer(WORDS))["why"]["binoculars"]
    assert "both are causal" in refused


def test_probes_share_their_texts_so_that_one_generation_serves_them() -> None:
    material = Material(
        Prompts().render, ShopRecords(DATA, 0), frozenset(DATA), limit=6,
        roles=frozenset({"reference", "second"}),
    )  # fmt: skip

    def asks(case: Case, name: str) -> Any:
        return next(PROBES[name].observe(case))

    cases = [PROBES[name].cases_of(material) for name in PROBES]
    assert len(cases) == 4
    assert all(one == cases[0] for one in cases)
    asked = [{name: asks(case, name) for name in PROBES} for case in cases[0]]
    assert all(len(set(map(repr, one.values()))) == 1 for one in asked)
    assert len({one["maker"].sampling.seed for one in asked}) == 6  # one prompt for all, and yet six texts


def test_a_server_that_tells_log_probabilities_alone_is_judged_by_likelihood_alone() -> None:
    found = run("maker", model=Writer(WORDS, only_log_prob=True))
    assert found["auroc_likelihood"].value == 1.0
    assert "auroc_fast_detect_gpt" not in found


@pytest.mark.parametrize("text", ["", "ok", "👍🏽", "مرحبا"])
def test_texts_of_fewer_than_ten_tokens_are_counted_and_not_judged(text: str) -> None:
    found = run("maker", model=Writer(text))
    assert found["rate_under_10_tokens"].value == 1.0
    assert "auroc_likelihood" not in found
