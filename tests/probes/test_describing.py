"""A description is held against the record by what a catalogue teaches, and form has gates of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import Fake

from shoplm_audit.data.records import Product
from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.metrics.corrected import corrected_rate_of
from shoplm_audit.metrics.reduce import rate_of
from shoplm_audit.probes import describing
from shoplm_audit.probes.constrained import constrained_probe
from shoplm_audit.probes.describing import Known, cluster_of, description_probe
from shoplm_audit.probes.driving import observe
from shoplm_audit.probes.twins import twins_probe
from shoplm_audit.prompts import Prompts
from shoplm_audit.scoring.claims import Ledger, check_claims
from shoplm_audit.scoring.prose import in_language, rest_kept, unread_share
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Material, Metric, Observations, Probe

PATTERNS = ("oak grain", "pearl mist", "jade wave", "coal dusk")
花纹 = ("青竹纹", "珍珠雾", "碧海浪", "夜煤灰")
WORLD = shopworld(3, products=16, customers=0).products


def material(products: Sequence[Product], limit: int | None = None) -> Material:
    return Material(render=Prompts().render, records={"products": products}, seed=1, limit=limit)


def seen(products: Sequence[Product], write: Callable[[str], str], probe: Probe | None = None) -> Observations:
    probe = probe or description_probe([])
    model = Fake(lambda prompt, sample: write(prompt))
    return observe(probe, probe.cases_of(material(products)), {"model": model}, key="s/p").observations


def share(observations: Observations, column: str) -> float:
    return float(observations.numbers(column).mean())


def shop(wrong: int, language: str = "en", count: int = 40) -> list[Product]:
    """A catalogue of which one description in `wrong` names another product's pattern (0: none)."""
    found = []
    for i in range(count):
        known, name = (PATTERNS, "pattern") if language == "en" else (花纹, "花纹")
        own, size = known[i % 4], f"{1 + i % 9}.{i % 7} l"
        said = known[(i + 1 + i % 3) % 4] if wrong and i % wrong == 0 else own
        text = (
            f"It shows the {said} pattern and holds {size}, item {i}."
            if language == "en"
            else f"花纹是{said}，容量为{size}，第{i}款。"
        )
        facts = {name: own, ("capacity" if language == "en" else "容量"): size}
        found.append(Product(f"q{i}", f"Item {i}", "jugs", facts, text, language=language))
    return found


def lying(prompt: str) -> str:
    """States another pattern in one text of five."""
    lines = dict(line.replace("：", ": ").partition(": ")[::2] for line in prompt.splitlines())
    facts = {name.lower(): value for name, value in lines.items()}
    known, name = (PATTERNS, "pattern") if "pattern" in facts else (花纹, "花纹")
    place = int(next(value for value in lines.values() if value.startswith("Item "))[5:])
    stated = known[(known.index(facts[name]) + (place % 5 == 2)) % 4]
    return f" It shows the {stated} pattern." if name == "pattern" else f"花纹是{stated}。"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("wrong", [0, 5])
def test_wrong_descriptions_do_not_teach_the_checker_to_forgive(language: str, wrong: int) -> None:
    rows = seen(shop(wrong, language), lying)
    assert share(rows, "contradicted") == pytest.approx(0.2)
    assert share(rows, "alarmed") == pytest.approx(0.2 if wrong else 0)
    metric: Metric = corrected_rate_of("contradicted", caught="caught", alarmed="alarmed", name="c")
    found = metric.estimate(rows, 0.95, np.random.default_rng(0))
    assert found.low < 0.2 == pytest.approx(found.value)
    assert found.high > 0.25
    assert "in 100% of the shop's texts" in found.note


def test_another_description_is_another_catalogue() -> None:
    known, good = Known(), shop(0)
    digests = {known.learn(good, 0)}
    changes: tuple[dict[str, Any], ...] = ({"description": "x"}, {"title": "x"}, {"language": "zh"}, {"category": "x"})
    for change in changes:
        digests.add(known.learn([replace(good[0], **change), *good[1:]], 0))
    assert len(digests) == 5
    assert known.learn(list(good), 0) in digests
    assert share(seen(good, lying), "alarmed") == 0
    assert share(seen(shop(2), lying), "alarmed") > 0.4


def test_a_catalogue_that_is_too_large_is_learnt_from_all_of_its_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "_FROM", 20)
    products = [replace(p, category="late" if i > 35 else "early") for i, p in enumerate(shop(0))]
    rows = seen(products, lying)
    assert {row.case.groups["category"] for row in rows} == {"early", "late"}
    assert share(rows, "contradicted") == pytest.approx(0.2)
    alone = [replace(p, category=f"category {i}") for i, p in enumerate(shop(0))]
    assert share(seen(alone, lying), "contradicted") > 0  # more categories than are learnt from


def test_of_a_large_catalogue_only_drawn_products_are_checked_and_once_for_all_probes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def counted(text: str, facts: Any, **options: Any) -> Ledger:
        asked.append((text, *sorted(facts.items())))
        return check_claims(text, facts, **options)

    monkeypatch.setattr(describing, "check_claims", counted)
    mute = [replace(p, id=f"m{i}", title=f"Mute {i}", attributes={"x": "-"}) for i, p in enumerate(shop(0))]
    products = [*mute, *shop(0, count=400), *shop(0, "zh", count=300)]
    chosen = [probe.cases_of(material(products, limit=20)) for probe in (description_probe([]), constrained_probe())]
    for cases in chosen:
        assert sorted(case.language for case in cases) == ["en"] * 10 + ["zh"] * 10
        assert all("x" not in case.facts["record"] for case in cases)
    assert [case.id for case in chosen[0]] == [case.id for case in chosen[1]]
    assert len(asked) < 100
    # Few that can be checked are all found, however late they are drawn.
    late = [*[replace(p, id=f"{p.id}/{i}") for i in range(9) for p in mute], *shop(0, count=3), *shop(0, "zh", count=9)]
    cases = description_probe([]).cases_of(material(late, limit=10))
    assert sorted(case.language for case in cases) == ["en"] * 3 + ["zh"] * 7


def test_a_text_of_a_product_is_read_once_against_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def counted(text: str, facts: Any, **options: Any) -> Ledger:
        asked.append((text, tuple(facts.items()), options["title"]))
        return check_claims(text, facts, **options)

    probe = description_probe([])
    products = [replace(p, title=f"Once {p.title}") for p in shop(0, count=8)]
    case, other, *_ = probe.cases_of(material(products))
    known = Known()
    known.learn(products, 1)
    catalogue = known.of(case)
    monkeypatch.setattr(describing, "check_claims", counted)
    first = catalogue.check("It shows the oak grain pattern.", case)
    assert catalogue.check("It shows the oak grain pattern.", case) is first
    changed = dict(case.facts["record"]) | {"pattern": "coal dusk"}
    assert catalogue.check("It shows the oak grain pattern.", case, changed).contradicted > first.contradicted
    assert catalogue.check("It shows the oak grain pattern.", other).contradicted == 1
    assert len(asked) == len(set(asked)) == 3


def test_products_of_one_title_and_record_are_one_cluster_in_every_probe() -> None:
    products = [replace(product, id=f"{product.id}/{i}") for product in shop(0, count=12) for i in range(2)]
    assert cluster_of(products[0]) == cluster_of(products[1]) != cluster_of(products[2])
    for probe in (description_probe([]), twins_probe(), constrained_probe()):
        cases = probe.cases_of(material(products))
        assert len(cases) == 24
        assert len({case.cluster for case in cases}) == 12


def test_values_that_are_missing_or_no_text_break_nothing_and_are_not_shown() -> None:
    attributes: Any = {"colour": None, "capacity": 3, "weight": "2 kg"}
    products = [Product(f"q{i}", f"Item {i}", "k", attributes, "It weighs 2 kg.") for i in range(3)]
    rows = seen(products, lambda prompt: f" It weighs 2 kg. {prompt.count('None')}")
    assert {row.values["text"] for row in rows} == {" It weighs 2 kg. 0"}
    assert [row.status for row in rows] == ["scored"] * 3


def test_what_the_title_says_is_no_attribute_of_the_record() -> None:
    products = [
        Product(f"q{i}", f"Steel kettle {1 + i}.5 l", "k", {"colour": ("red", "blue")[i % 2]}) for i in range(4)
    ]
    titles = seen(products, lambda prompt: prompt.splitlines()[1].partition(": ")[2])
    assert (share(titles, "attribute_recall"), share(titles, "stated_right")) == (0, 0)


def test_errors_count_that_were_made_of_the_texts_own_words() -> None:
    """A leak and an origin that the text does not mention are sentences of their own: the checker reads them anyway."""
    products = [replace(product, attributes=dict(product.attributes) | {"origin": "Italy"}) for product in shop(0)]
    for row in seen(products, lying):
        tries = json.loads(str(row.values["tries"]))
        assert {kind for kind, _, _ in tries} <= {"value", "unit", "negation"}
        assert {attribute for _, attribute, _ in tries} <= {"pattern", "capacity"}
        assert row.values["tried"] == len(tries) > 0
    mute = [replace(product, description="A fine thing.") for product in shop(0)]
    assert {row.values["caught"] for row in seen(mute, lying)} == {None}


# Form -----------------------------------------------------------------------------------------------


def facts_of(prompt: str) -> tuple[bool, list[str]]:
    return "描述：" in prompt, prompt.splitlines()[3:-1]


def honest(prompt: str) -> str:
    zh, lines = facts_of(prompt)
    return "这款商品，" + "，".join(lines) + "。" if zh else f" For this product: {', '.join(lines)}."


def other_language(prompt: str) -> str:
    zh, lines = facts_of(prompt)
    values = [line.replace("：", ": ").partition(": ")[2] for line in lines]
    return " This product: " + ", ".join(values) if zh else "这款商品有以下特点：" + "、".join(values)


def embellished(prompt: str) -> str:
    return honest(prompt) + (
        "荣获设计大奖。能播放音乐。" if facts_of(prompt)[0] else " It won a prize. It plays music."
    )


FORM = ("language_kept", "echoed", "unread")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (honest, (1, 0, 0)),
        (lambda prompt: "\n".join(facts_of(prompt)[1]), (1, 0, None)),  # the record as a list is no echo
        (lambda prompt: prompt, (1, 1, None)),
        (lambda prompt: prompt.replace("\n", " "), (1, 1, None)),
        (lambda prompt: "\n".join(prompt.splitlines()[1:]), (1, 1, None)),
        (other_language, (0, 0, 0)),
        (lambda prompt: "", (0, 0, 1)),
        (embellished, (1, 0, pytest.approx(2 / 3))),
    ],
)
def test_echoes_other_languages_and_what_nothing_bears_out_are_told(
    write: Callable[[str], str], expected: tuple[float | None, ...]
) -> None:
    rows = seen(WORLD, write)
    found = [share(rows, column) for column in FORM]
    assert all(want is None or got == want for got, want in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("write", "failed"),
    [(honest, set()), (lambda prompt: prompt, {"rate_echoed"}), (other_language, {"rate_language_kept"})],
)
def test_form_fails_gates_of_its_own(write: Callable[[str], str], failed: set[str]) -> None:
    metrics = {
        metric.name: metric for metric in (rate_of("language_kept", better="higher"), rate_of("echoed", better="lower"))
    }
    rows = seen(shopworld(4, products=40, customers=0).products, write)
    gates = [gate for gate in load_suite("faithfulness").gates if gate.metric in metrics]
    assert len(gates) == 2
    found = {
        gate.metric: gate.judge(metrics[gate.metric].estimate(rows, 0.95, np.random.default_rng(0))) for gate in gates
    }
    assert {metric for metric, verdict in found.items() if verdict != "pass"} == failed
    assert {found[metric] for metric in failed} <= {"fail"}


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Diese Kanne ist aus Stahl und fasst 2 l.", "en", False),
        ("La bouilloire est en acier avec une poignée.", "en", False),
        ("A kettle by La Mer de Paris, made with care.", "en", True),
        ("Navy, 2 kg.", "en", True),
        ("Это чайник, the best.", "en", False),
        ("USB-C接口，PET材质，支持iOS系统。", "zh", True),
        ("このケトルは紺色です。", "zh", False),
        ("\U0001f600", "en", False),
        ("קומקום כחול", "en", False),
    ],
)
def test_a_language_is_told_by_its_script_and_its_small_words(text: str, language: str, expected: bool) -> None:
    assert in_language(text, language) is expected


def test_a_number_ends_no_sentence_and_what_stands_beside_claims_is_compared() -> None:
    assert unread_share("It weighs 1.5 kg. It sings!", [(10, 16)]) == 0.5
    assert unread_share("重1.5千克。会唱歌！", [(1, 6)]) == 0.5
    assert unread_share("...", []) == 1
    assert rest_kept("A red jug sings.", "A blue jug hums.", ([(2, 5)], [(2, 6)])) == pytest.approx(2 / 3)
    assert rest_kept("", "", ([], [])) == 1


def test_a_twin_that_says_something_else_that_no_claim_is_keeps_less_of_the_rest() -> None:
    kept = share(seen(WORLD, embellished, twins_probe()), "rest_kept")
    tales = ("sings", "floats on lava", "was built by monks", "hums at night and glows")
    changed = share(seen(WORLD, lambda p: embellished(p) + tales[sum(map(ord, p)) % 4], twins_probe()), "rest_kept")
    assert kept > 0.95 > changed + 0.03
