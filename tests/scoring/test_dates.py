"""Days are read in the ways shops of both languages write them, and verbs and codes are no days."""

import pytest

from shoplm_audit.scoring.dates import dates_in, same_day


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Ordered on 3 February 2025", (2025, 2, 3)),
        ("2025年2月3日", (2025, 2, 3)),
        ("2025年二月三日", (2025, 2, 3)),
        ("二〇二五年十二月三十一号", (2025, 12, 31)),
        ("二零二五年十月二十日", (2025, 10, 20)),
        ("二月三日前发货", (0, 2, 3)),
        ("七月三十一日", (0, 7, 31)),
        ("十一月11日", (0, 11, 11)),
        ("２月３日", (0, 2, 3)),
        ("31/07/25", (2025, 7, 31)),
        ("31.07.25", (2025, 7, 31)),
        ("07/31/99", (1999, 7, 31)),
        ("placed 20250203.", (2025, 2, 3)),
        ("on May 5 we ship", (0, 5, 5)),
        ("May 5 is the day", (0, 5, 5)),
        ("by 5 may at noon", (0, 5, 5)),
        ("may 5th people come", (0, 5, 5)),
    ],
)
def test_a_day_is_read(text: str, day: tuple[int, int, int]) -> None:
    assert [found.days for found in dates_in(text)] == [frozenset({day})]


@pytest.mark.parametrize(
    "text",
    [
        "may 5 people use it?", "May 5 people use it?", "march 5 miles", "size 5 may be small", "三个月三天",
        "order A20250203", "#20250203", "120250203", "20251303", "24/7", "sizes 10-12-14", "1.2.13", "99/99/99", "一月",
        "十三月三日",
    ],
)  # fmt: skip
def test_what_is_no_day_is_none(text: str) -> None:
    assert dates_in(text) == ()


def test_a_day_and_a_month_of_two_digits_can_be_either_way_round() -> None:
    (short,) = dates_in("03/02/25")
    assert short.days == {(2025, 2, 3), (2025, 3, 2)}
    assert same_day(short, *dates_in("二月三日"))
    assert not same_day(short, *dates_in("2024年二月三日"))
    assert dates_in("1月1日" * 5000)[4999].days == {(0, 1, 1)}
