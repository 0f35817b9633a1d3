from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fakes import Fake

from shoplm_audit.data.records import Product
from shoplm_audit.errors import ConfigError, Unsupported
from shoplm_audit.probes.attribution import attribution_probe, shapley
from shoplm_audit.probes.driving import observe
from shoplm_audit.prompts import Prompts
from shoplm_audit.types import LOG_PROB, Columns, Material, Pair, TokenScores, Value

FACTS = {"brand": "Norvik", "colour": "navy", "weight": "1.2 kg", "price": "$49"}
TEXT = " The Alder kettle by Norvik is navy and weighs 2 kg."


def _of_sets(value: Any, count: int) -> list[float]:
    return [value({i for i in range(count) if number >> i & 1}) for number in range(1 << count)]


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_shapley_values_sum_to_what_all_are_worth_beyond_none(count: int) -> None:
    values = np.random.default_rng(count).normal(size=1 << count) * 9
    found = shapley(values)
    assert found.shape == (count,)
    assert found.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


def test_shapley_values_are_the_mean_of_what_each_adds_over_all_orders_of_joining() -> None:
    values, count = np.random.default_rng(1).normal(size=16), 4
    orders = list(itertools.permutations(range(count)))
    wanted = np.zeros(count)
    for order in orders:
        inside = 0
        for player in order:
            wanted[player] += (values[inside | 1 << player] - values[inside]) / len(orders)
            inside |= 1 << player
    assert shapley(values) == pytest.approx(wanted)


def test_of_a_sum_each_gets_its_part_equals_get_equal_parts_and_a_dummy_nothing() -> None:
    parts = [3.0, -1.0, 0.0, 2.0]
    assert shapley(_of_sets(lambda who: -7 + sum(parts[i] for i in who), 4)) == pytest.approx(parts)
    assert shapley(_of_sets(lambda who: 6.0 * ({0, 2} <= who), 4)) == pytest.approx([3, 0, 3, 0])


@pytest.mark.parametrize("size", [0, 1, 3, 2048])
def test_another_number_of_values_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} values"):
        shapley(np.zeros(size))


# The probe ------------------------------------------------------------------------------------------


def seen(weigh: Any, text: str = TEXT, facts: dict[str, str] | None = None, **others: Any) -> dict[str, Value]:
    product = Product("p1", "Alder kettle", "kettles", facts or FACTS)
    material = Material(render=Prompts().render, records={"products": [product]})
    probe = attribution_probe()
    model = others.get("model") or Fake(lambda prompt, sample: text, weigh)
    (row,) = observe(probe, probe.cases_of(material), {"model": model}, key="s/p").observations.rows
    return dict(row.values)


def weighing(**nats: float) -> Any:
    """Each attribute in the prompt adds its nats, wherever it stands."""
    return lambda pair: [-20.0 + sum(gain for name, gain in nats.items() if f"\n{name}: " in pair.context.lower())]


def test_the_attribute_that_makes_the_claim_probable_is_named_with_what_each_adds() -> None:
    found = seen(weighing(weight=8.0, price=2.0, colour=-1.0))
    assert (found["claim"], found["verdict"], found["about"]) == ("2 kg", "contradicted", "weight")
    assert (found["stable"], found["top"]) == (True, "weight")
    parts = json.loads(str(found["shapley"]))
    assert parts == {"brand": 0.0, "colour": -1.0, "weight": 8.0, "price": 2.0}


@pytest.mark.parametrize("top", ["brand", "price"])
def test_an_attribution_is_right_or_wrong_of_a_supported_claim_only(top: str) -> None:
    borne_out = seen(weighing(**{top: 8.0}), text="The Alder kettle by Norvik is navy.")
    assert (borne_out["about"], borne_out["top"], borne_out["rightly"]) == ("brand", top, top == "brand")
    # What makes a false weight probable may be the style, whatever the weight says.
    false = seen(weighing(**{top: 8.0}))
    assert (false["about"], false["top"], false["rightly"]) == ("weight", top, None)


def test_the_words_of_the_claim_are_scored_behind_every_choice_of_attributes_in_two_orders() -> None:
    asked: list[Pair] = []

    def weigh(pair: Pair) -> list[float]:
        asked.append(pair)
        return [-1.0]

    seen(weigh)
    assert {pair.continuation[slice(*pair.span)] for pair in asked if pair.span} == {"2 kg"}
    assert {pair.continuation for pair in asked} == {TEXT[: TEXT.index("2 kg") + 4]}
    shown = [tuple(pair.context.lower().splitlines()[3:-1]) for pair in asked]
    # Nothing and single attributes look the same in both orders.
    assert len(shown) == len(set(shown)) == 2 * 16 - 5
    assert {frozenset(one) for one in shown} == {
        frozenset(f"{name}: {FACTS[name]}".lower() for name in names)
        for count in range(5)
        for names in itertools.combinations(FACTS, count)
    }


def test_a_supported_claim_is_taken_where_none_is_contradicted() -> None:
    found = seen(weighing(brand=5.0), text="The Alder kettle by Norvik is navy.")
    assert (found["claim"], found["verdict"], found["top"]) == ("Norvik", "supported", "brand")


def _by_place(pair: Pair) -> list[float]:
    shown = pair.context.splitlines()[3:-1]
    return [-9.0 + 8.0 * bool(shown) * (len(shown) < 2 or shown[0].startswith(("Brand", "Price")))]


@pytest.mark.parametrize(
    "weigh",
    [
        _by_place,  # what stands first is what counts
        weighing(weight=0.4),  # too little to be told from nothing
        weighing(weight=-8.0, price=-2.0),
    ],
)
def test_what_is_not_stable_is_not_shown(weigh: Any) -> None:
    found = seen(weigh)
    assert (found["stable"], found["top"], found["shapley"], found["rightly"]) == (False, None, None, None)


def test_a_share_that_hangs_on_the_order_is_not_shown() -> None:
    def weigh(pair: Pair) -> list[float]:
        given = [line for line in pair.context.splitlines()[3:-1] if line.startswith(("Weight", "Price"))]
        mixed = len(given) == 2 and given[0].startswith("Price")
        return weighing(weight=8.0, price=11.0 if mixed else 0.0)(pair)

    found = seen(weigh)
    assert (found["stable"], found["top"]) == (False, None)


@pytest.mark.parametrize("text", ["", "A fine thing \U0001f600.", "שלום"])
def test_a_text_without_a_claim_has_nothing_to_put_down_to_attributes(text: str) -> None:
    found = seen(weighing(weight=9.0), text=text)
    assert (found["stable"], found["rightly"]) == (None, None)
    assert "top" not in found


def test_of_many_attributes_the_first_six_are_asked_about() -> None:
    asked = []

    def weigh(pair: Pair) -> Sequence[float]:
        asked.append(pair.context)
        return weighing(weight=9.0)(pair)

    many = FACTS | {"height": "30 cm", "material": "steel", "power": "1700 W", "warranty": "2 years"}
    assert len(json.loads(str(seen(weigh, facts=many)["shapley"]))) == 6
    assert len(asked) == 2 * 64 - 7
    assert not any("1700 W" in context for context in asked)


def test_a_model_without_log_probabilities_is_not_tested_and_cases_belong_to_their_audit() -> None:
    class Blind(Fake):
        def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
            raise Unsupported("no log-probabilities")

    with pytest.raises(Unsupported, match="no log-probabilities"):
        seen(None, model=Blind(lambda prompt, sample: TEXT))
    material = Material(render=Prompts().render, records={"products": [Product("p1", "Alder", "kettles", FACTS)]})
    cases = attribution_probe().cases_of(material)
    with pytest.raises(ConfigError, match='"p1" is of another'):
        observe(attribution_probe(), cases, {"model": Fake(lambda prompt, sample: TEXT)}, key="s/p")
