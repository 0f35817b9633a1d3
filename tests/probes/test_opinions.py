"""A second model is asked about open sentences only, and its own error is measured in the same cases."""

import numpy as np
import pytest

from shoplm_audit.data.records import Product
from shoplm_audit.engine import audit
from shoplm_audit.metrics.among import among
from shoplm_audit.metrics.reduce import rate_of, ratio_of
from shoplm_audit.models.classifier import PARTED
from shoplm_audit.probes.opinions import entailment_probe, judge_probe
from shoplm_audit.saboteurs.model import Saboteur
from shoplm_audit.types import Suite, TokenScores

METRICS = [
    ratio_of("open_entailed", "open_entailed", "open_sentences", better="higher"),
    among(rate_of("opinion_caught", better="higher"), having="opinion_caught"),
    among(rate_of("opinion_cleared", better="higher"), having="opinion_cleared"),
]


class Reader:
    """Says a sentence is entailed, or yes, where every number and capital of it stands in the record; or always."""

    name, fingerprint, record, batch_sensitive = "reader", "f", None, False

    def __init__(self, always: bool | None = None) -> None:
        self.always, self.asked = always, []

    def _fits(self, record: str, sentence: str) -> bool:
        self.asked.append(sentence)
        words = [word.strip(".,。，") for word in sentence.split() if any(c.isdigit() for c in word)]
        return all(word in record for word in words) if self.always is None else self.always

    def score(self, pairs, columns=None):
        told = []
        for pair in pairs:
            record, sentence = pair.context.split(PARTED)
            fits = self._fits(record, sentence) == (pair.continuation == "entailment")
            told.append(TokenScores(np.array([-0.1 if fits else -3.0])))
        return told

    def generate(self, requests):
        return [
            (" Yes" if self._fits(*r.prompt.flat.replace("句子：", "Sentence: ").split("\nSentence: ", 1)) else "no")
            for r in requests
        ]


def products() -> list[Product]:
    return [
        Product(
            f"p{i}",
            f"Alder kettle {i}",
            "kettles",
            {"weight": f"{900 + 7 * i} g", "capacity": f"{10 + i} l"},
            f"It weighs {900 + 7 * i} g and holds {10 + i} l.",
        )
        for i in range(40)
    ]


@pytest.mark.parametrize(("probe", "role"), [(entailment_probe, "entailment"), (judge_probe, "judge")])
def test_a_good_reader_is_found_good_and_one_that_always_agrees_catches_nothing(probe, role) -> None:
    found = {}
    for always in (None, True, False):
        reader = Reader(always)
        result = audit(
            Saboteur(embroider=0.5),
            Suite("s", "q?", [probe(METRICS)]),
            roles={role: reader},
            data={"products": products()},
        ).result
        found[always] = {e.metric: e.value for e in result.suites[0].estimates if not e.slice}
        assert any("730 A" in sentence for sentence in reader.asked)  # what the record does not settle is asked
    assert found[None]["rate_opinion_caught"] > 0.9
    assert found[None]["rate_opinion_cleared"] == 1
    assert found[True]["rate_opinion_caught"] == 0
    assert found[False]["rate_opinion_cleared"] == 0
    assert found[True]["open_entailed"] == 1


def test_without_the_role_it_is_not_tested_and_says_what_to_name() -> None:
    result = audit(
        Saboteur(embroider=1.0), Suite("s", "q?", [judge_probe(METRICS)]), data={"products": products()}
    ).result
    assert "--with judge=SPEC" in result.suites[0].not_tested["judge"]
