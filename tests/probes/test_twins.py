from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import Fake

from shoplm_audit.data.records import Product
from shoplm_audit.data.shopworld import shopworld
from shoplm_audit.errors import Unsupported
from shoplm_audit.probes.constrained import constrained_probe
from shoplm_audit.probes.driving import observe
from shoplm_audit.probes.twins import Donors, twin_of, twins_probe
from shoplm_audit.prompts import Prompts
from shoplm_audit.types import Case, Generate, Material, Observation, Probe, Sampling

WORLD = shopworld(3, products=36, customers=0).products


def material(products: Sequence[Product] = WORLD, limit: int | None = None) -> Material:
    return Material(render=Prompts().render, records={"products": products}, seed=1, limit=limit)


def seen(probe: Probe, model: Any, limit: int = 24) -> tuple[Observation, ...]:
    return observe(probe, probe.cases_of(material(limit=limit)), {"model": model}, key="s/p").observations.rows


def kettle(name: str, category: str = "kettles", title: str = "Alder", **attributes: str) -> Product:
    return Product(name, title, category, attributes)


def stating(prompt: str, sample: int = 0) -> str:
    """What an honest model says: every line of the record."""
    lines = [line for line in prompt.splitlines()[3:-1] if line]
    return "。".join(lines) + "。" if "：" in prompt else f" {'. '.join(lines)}."


# Twins ----------------------------------------------------------------------------------------------


def test_a_twin_differs_in_one_value_that_another_product_has_and_follows_from_the_seed() -> None:
    shop, chosen = Donors(WORLD), set()
    for product in WORLD:
        twin = twin_of(product, shop, 0)
        assert twin is not None
        assert twin == twin_of(product, shop, 0)
        changed = [name for name in product.attributes if product.attributes[name] != twin.attributes[name]]
        assert changed == [twin.attribute]
        assert list(twin.attributes) == list(product.attributes)
        others = [one for one in WORLD if one.attributes.get(twin.attribute) == twin.now]
        assert any(one.language == product.language for one in others)
        chosen.add((product.id, twin.attribute, twin.now))
    assert chosen != {(one.id, t.attribute, t.now) for one in WORLD if (t := twin_of(one, shop, 1))}


def test_values_of_the_same_category_come_first() -> None:
    own = kettle("p0", colour="navy")
    shop = [
        own,
        kettle("p1", colour="red"),
        *(kettle(f"q{i}", "mugs", colour=c) for i, c in enumerate(("pink", "grey"))),
    ]
    assert {twin.now for seed in range(8) if (twin := twin_of(own, Donors(shop), seed))} == {"red"}
    shop = [one for one in shop if one.id != "p1"]
    assert {twin.now for seed in range(8) if (twin := twin_of(own, Donors(shop), seed))} == {"pink", "grey"}


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (kettle("p0", colour="navy"), {"colour": "blue"}),  # navy is a blue
        (kettle("p0", colour="blue"), {"colour": "navy"}),
        (kettle("p0", weight="1 kg"), {"weight": "1000 g"}),
        (kettle("p0", weight="1 kg"), {"colour": "red"}),
        (kettle("p0", title="Navy kettle", colour="navy"), {"colour": "red"}),  # the title would still say it
        (kettle("p0", colour="navy", trim="red handle"), {"colour": "red"}),
        (kettle("p0", feature=""), {"feature": "Dims by itself"}),
        (kettle("p0"), {"colour": "red"}),
    ],
)
def test_values_that_would_not_tell_make_no_twin(own: Product, other: dict[str, str]) -> None:
    shop = [own, kettle("p1", **other)]
    assert twin_of(own, Donors(shop), 0) is None


def rates(write: Any) -> tuple[float, float, float]:
    rows = seen(twins_probe(), Fake(write))
    columns = ("changed_there", "changed_elsewhere", "twin_contradicted")
    return tuple(sum(bool(row.values[column]) for row in rows) / len(rows) for column in columns)


def test_who_states_the_record_changes_there_and_only_there() -> None:
    assert rates(stating) == (1.0, 0.0, 0.0)


def test_who_does_not_read_the_record_changes_nowhere() -> None:
    there, elsewhere, _ = rates(lambda prompt, sample: "A good one." if prompt.isascii() else "很好。")
    assert (there, elsewhere) == (0.0, 0.0)


def test_who_still_states_the_old_value_has_not_changed_there() -> None:
    records = {product.title: stating(Prompts().render("description", product.language, {
        "title": product.title, "category": product.category, "attributes": product.attributes
    }).flat) for product in WORLD}  # fmt: skip

    def both(prompt: str, sample: int) -> str:
        mark = "：" if "：" in prompt else ": "
        return records[prompt.splitlines()[1].partition(mark)[2]] + stating(prompt)

    there, elsewhere, contradicted = rates(both)
    assert there == 0.0
    assert elsewhere < 0.1  # a length too many may be read as a height
    assert contradicted > 0.5


def test_a_text_has_one_verdict_in_all_probes() -> None:
    """What only the catalogue teaches contradicts in twins and in constrained decoding as it does in descriptions."""
    patterns = ("oak grain", "pearl mist", "jade wave")
    products = [kettle(f"p{i}", title=f"Alder {i}", pattern=patterns[i % 3], weight=f"{i + 1} kg") for i in range(6)]
    for probe, columns in ((twins_probe(), ("twin_contradicted",)), (constrained_probe(), ("contradicted",))):
        cases = probe.cases_of(material(products))
        assert len(cases) == 6
        model = Fake(lambda prompt, sample: " Its pattern is pearl mist.")
        for row in observe(probe, cases, {"model": model}, key="s/p").observations.rows:
            facts = row.case.facts
            false = facts.get("twin", facts["record"])["pattern"] != "pearl mist"
            assert [row.values[column] for column in columns] == [false]


def test_who_denies_the_new_value_has_not_stated_it() -> None:
    shop = [kettle("p0", colour="navy"), kettle("p1", colour="red")]
    probe, denying = twins_probe(), Fake(lambda prompt, sample: f" It is not {prompt.splitlines()[3][8:]}.")
    rows = observe(probe, probe.cases_of(material(shop)), {"model": denying}, key="s/p").observations.rows
    assert [row.values["text_twin"] for row in rows] == [" It is not red.", " It is not navy."]
    assert [row.values["changed_there"] for row in rows] == [False, False]


def test_who_leaves_out_something_else_each_time_changes_elsewhere() -> None:
    def erring(prompt: str, sample: int) -> str:
        lines = prompt.splitlines()
        del lines[3 + zlib.crc32(prompt.encode()) % (len(lines) - 4)]
        return stating("\n".join(lines))

    there, elsewhere, contradicted = rates(erring)
    assert 0.4 < there < 1.0
    assert elsewhere > 0.5
    assert contradicted == 0.0


def test_words_around_the_claims_may_change() -> None:
    def worded(prompt: str, sample: int) -> str:
        first = ("Look. ", "This is it. ")[zlib.crc32(prompt.encode()) % 2] if prompt.isascii() else ""
        return first + stating(prompt).upper() if zlib.crc32(prompt.encode()) % 3 else stating(prompt)

    assert rates(worded)[1] == 0.0


def test_cases_are_of_both_languages_and_of_products_that_have_a_twin() -> None:
    bare = [replace(product, id=f"bare{i}", attributes={}) for i, product in enumerate(WORLD)]
    cases = twins_probe().cases_of(material([*bare, *WORLD], limit=10))
    assert sorted(case.language for case in cases) == ["en"] * 5 + ["zh"] * 5
    assert all(case.facts["record"] != case.facts["twin"] for case in cases)
    assert twins_probe().cases_of(material(bare)) == []
    assert len(twins_probe().cases_of(material(limit=10_000))) <= 80
    (shown,) = {type(case.prompt.flat) for case in cases}
    assert shown is str


# Constrained decoding -------------------------------------------------------------------------------


class Held(Fake):
    """Says nothing that it is not held to; red, where it is let."""

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        return [
            " ".join(f"{value}." for value in one.sampling.required) or "It is bright red, 730 A." for one in requests
        ]


def test_what_requiring_the_attributes_would_change_is_seen_case_by_case() -> None:
    rows = seen(constrained_probe(), Held())
    assert {row.values["recall"] for row in rows} <= {0.0, 1 / 3, 1 / 4, 1 / 5, 1 / 6}
    gained = [float(row.values["recall_gained"] or 0) for row in rows]
    assert sum(gained) / len(gained) > 0.7
    assert all(
        row.values["recall_constrained"] == row.values["recall"] + gain for row, gain in zip(rows, gained, strict=True)
    )
    added = {
        (row.values["contradicted"], row.values["contradicted_constrained"], row.values["contradicted_added"])
        for row in rows
    }
    assert added <= {(True, False, -1), (True, True, 0), (False, True, 1), (False, False, 0)}
    assert (True, False, -1) in added
    (text,) = {row.values["text"] for row in rows}
    assert text == "It is bright red, 730 A."


def test_a_model_that_cannot_be_held_to_words_is_not_tested() -> None:
    class Free(Fake):
        def generate(self, requests: Sequence[Generate]) -> list[str]:
            if any(one.sampling.required for one in requests):
                raise Unsupported("draws its texts by itself")
            return super().generate(requests)

    with pytest.raises(Unsupported, match="by itself"):
        seen(constrained_probe(), Free())


def test_a_product_with_nothing_to_check_is_no_case_and_nothing_blank_is_required() -> None:
    products = [kettle("p0", feature="Dims by itself"), kettle("p1", colour="navy", note="-", size="")]
    (case,) = constrained_probe().cases_of(material(products))
    asked = next(constrained_probe().observe(case))
    assert isinstance(case, Case)
    assert isinstance(asked, list)
    assert [one.sampling.required for one in asked if isinstance(one, Generate)] == [(), ("navy",)]
    assert asked[0].sampling == replace(asked[1].sampling, required=()) != Sampling()
