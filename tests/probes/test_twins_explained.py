"""The gap between twins is put down to what it rests on, or the explanation says why it is not shown."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from shoplm_audit import Case, Generate, Observing, Pair, Probe, Prompt, Score, Unsupported
from shoplm_audit.probes.driving import observe
from shoplm_audit.probes.explaining import Explanation, explain, twins_of
from shoplm_audit.types import LOG_PROB, Columns, Model, TokenScores


class Weighing:
    """Finds a text as objectionable as its function says."""

    name, fingerprint, record, batch_sensitive = "weighing", "", None, False

    def __init__(self, weigh: Callable[[str], float]) -> None:
        self.weigh = weigh

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        return ["yes"] * len(requests)

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        return [TokenScores(np.array([np.log(min(0.99, max(0.01, self.weigh(pair.context))))])) for pair in pairs]


def ask(case: Case) -> Observing:
    answer = yield Score(Pair(case.prompt.flat, " no"))
    return {"flagged": float(np.exp(answer.total))}


CASES = [
    Case("a", prompt=Prompt("May this be shown?\nText: I am fixing to buy this kettle y'all\nAnswer:")),
    Case("b", prompt=Prompt("May this be shown?\nText: I am going to buy this kettle everyone\nAnswer:")),
]
PROBE = Probe("moderation", CASES, ask, [])


def told(weigh: Callable[[str], float]) -> Explanation:
    models: Mapping[str, Model] = {"model": Weighing(weigh)}
    return explain(PROBE, CASES[0], CASES[1], "flagged", models, key="bias/moderation")


def test_the_words_that_differ_share_the_gap_and_the_smallest_edit_flips_the_decision() -> None:
    found = told(lambda text: 0.1 + 0.6 * ("y'all" in text) + 0.1 * ("fixing" in text))
    assert {part.text: round(part.value, 6) for part in found.words} == {
        "fixing -> going": -0.1,
        "y'all -> everyone": -0.6,
    }
    assert sum(part.value for part in found.words) == pytest.approx(found.gap, abs=1e-5)
    assert sum(part.value for part in found.lines) == pytest.approx(found.gap, abs=1e-5)
    assert found.edit == ("y'all -> everyone",)


def test_an_edit_of_two_words_is_found_where_no_single_one_flips_the_decision() -> None:
    found = told(lambda text: 0.9 if "y'all" in text or "fixing" in text else 0.2)
    assert found.edit == ("fixing -> going", "y'all -> everyone")


def test_what_every_other_word_decides_anew_is_not_shown() -> None:
    """Each set of words has a value of its own: no word has an effect that others would find again."""

    def hashed(text: str) -> float:
        return 0.1 + 0.8 * (zlib.crc32(text.encode()) % 1000) / 1000

    old, new = ("a1 x b1 x c1 x d1 x e1 x f1 x g1 x h1", "a2 x b2 x c2 x d2 x e2 x f2 x g2 x h2")
    twins = [
        Case(name, prompt=Prompt(f"May this be shown?\nText: {text}\nAnswer:"))
        for name, text in (("a", old), ("b", new))
    ]
    found = explain(PROBE, *twins, "flagged", {"model": Weighing(hashed)}, key="k")
    assert found.words == ()
    assert "not shown" in found.unstable


def test_a_gap_between_drawn_texts_is_not_explained() -> None:
    def write(case: Case) -> Observing:
        text = yield Generate(case.prompt)
        return {"flagged": float(len(text))}

    with pytest.raises(Unsupported, match="chance"):
        explain(Probe("p", CASES, write, []), *CASES, "flagged", {"model": Weighing(len)}, key="k")


def test_twins_are_the_most_alike_of_two_groups_and_then_the_farthest_apart() -> None:
    def case(name: str, group: str, question: str) -> Case:
        return Case(
            name + question, groups={"g": group}, prompt=Prompt(f"Customer: {name}\nQuestion: {question}\nReply:")
        )

    cases = [case("Ann", "f", "one"), case("Bob", "m", "one"), case("Carl", "m", "one"), case("Dan", "m", "other")]
    seen = observe(
        Probe("p", cases, ask, []),
        cases,
        {"model": Weighing(lambda text: {"Ann": 0.5, "Bob": 0.6, "Carl": 0.8, "Dan": 0.95}[text.split()[1]])},
        key="k",
    ).observations
    found = twins_of(seen, "flagged", "g", ("f", "m"))
    assert found is not None
    assert [one.id for one in found] == ["Annone", "Carlone"]
    assert twins_of(seen.take([0]), "flagged", "g", ("f", "m")) is None
