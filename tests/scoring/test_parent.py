"""PARENT has the values of an independent derivation; against the table alone truth beats embellishment."""

import math

import pytest

from shoplm_audit.scoring.parent import parent, parent_t

DRUMMER = [["michael", "dahlquist"], ["december", "22", "1965"], ["drummer"]]
BORN = "michael dahlquist ( december 22 1965 ) was a drummer"
SHIRT = [["navy", "blue"], ["100%", "cotton"], ["xl"]]
WORN = "this navy blue shirt is made of 100% cotton and comes in size xl ."
SHORT = "a navy blue xl shirt in 100% cotton ."
EMBELLISHED = "this navy blue shirt is made of 100% organic cotton and is waterproof ."


@pytest.mark.parametrize(
    ("prediction", "reference", "table", "expected"),
    [
        (BORN, BORN, DRUMMER, (1, 1, 1, 1, 1)),
        (
            "michael dahlquist was a drummer born december 22 1965",
            BORN,
            DRUMMER,
            (0.714625, 0.195727, 0.307291, 0.038309, 1),
        ),
        (
            "michael dahlquist was a guitarist born december 22 1970",
            BORN,
            DRUMMER,
            (0.467138, 0.035531, 0.066039, 0.002272, 0.555556),
        ),
        (SHORT, WORN, SHIRT, (0.669256, 0.050148, 0.093305, 0.002515, 1)),
        (EMBELLISHED, WORN, SHIRT, (0.679556, 0.603105, 0.639052, 0.545604, 0.666667)),
    ],
)
def test_the_reference_values_are_met(
    prediction: str, reference: str, table: list[list[str]], expected: tuple[float, ...]
) -> None:
    got = parent(prediction.split(), [reference.split()], table)
    assert (got.precision, got.recall, got.f, got.reference_recall, got.table_recall) == pytest.approx(
        expected, abs=1e-6
    )


def test_of_several_references_the_best_counts() -> None:
    worn, other = WORN.split(), ["blue", "shirt", "of", "cotton", "in", "xl"]
    first, second = parent(SHORT.split(), [worn], SHIRT), parent(SHORT.split(), [other], SHIRT)
    assert first.f > second.f
    assert parent(SHORT.split(), [other, worn, other], SHIRT) == first


def test_against_the_table_alone_truth_beats_embellishment() -> None:
    table = {"colour": "navy blue", "material": "100% cotton", "size": "XL"}
    short, embellished = parent_t(SHORT, table), parent_t(EMBELLISHED, table)
    assert short.table_recall == 1 > embellished.table_recall
    assert short.precision > embellished.precision
    assert short.f > embellished.f
    assert math.isnan(short.reference_recall)


def test_chinese_is_compared_by_characters_and_latin_runs_stay_whole() -> None:
    table = {"颜色": "黑色", "型号": "X200"}
    assert parent_t("黑色X200", table).f == pytest.approx(1, abs=1e-6)
    assert parent_t("黑色X20", table).table_recall == 0.5
    assert parent_t("白色X200", table).table_recall == 0.75


def test_a_single_reference_given_as_text_is_refused_and_an_empty_text_has_no_precision() -> None:
    with pytest.raises(ValueError, match="lists of tokens"):
        parent(["a"], ["a b"], [["a"]])
    assert parent(["x"], [["a"]], [["a"]]).precision == 0
    assert parent(["a", "b"], [["a", "a", "b"]], [["c"]]).precision == pytest.approx(1e-5**0.5)
    assert parent([], [["a"]], [["a"]]).f == pytest.approx(0, abs=1e-4)
    assert math.isnan(parent_t("red", {}).recall)
