import math
import re

import pytest

from shoplm_audit.rendering.curves import Series, curves, log_axis_of, tick_of


def _points(*pairs):
    return tuple((x, y, None, None) for x, y in pairs)


@pytest.mark.parametrize(
    ("values", "ends", "ticks"),
    [
        ([0.001, 1.0], (0.001, 1.0), (0.001, 0.01, 0.1, 1.0)),
        ([0.003, 0.9], (0.002, 1.0), (0.01, 0.1, 1.0)),
        ([1, 64], (1.0, 100.0), (1, 2, 5, 10, 20, 50, 100)),
        ([3.0], (2.0, 5.0), (2, 5)),
        ([5.0], (2.0, 5.0), (2, 5)),
        ([1e-9, 1.0], (1e-9, 1.0), (1e-8, 1e-6, 1e-4, 1e-2, 1.0)),
        ([0, -1, math.nan, math.inf, None], (0.1, 1.0), (0.1, 0.2, 0.5, 1.0)),
    ],
)
def test_a_logarithmic_axis_has_round_ends_and_ticks(values, ends, ticks):
    axis = log_axis_of(values)
    assert (axis.low, axis.high) == pytest.approx(ends)
    assert axis.ticks == pytest.approx(ticks)


def test_equal_ratios_are_equal_distances_and_what_is_not_positive_lies_at_the_low_end():
    axis = log_axis_of([0.001, 1.0])
    assert [axis.at(x) for x in (0.001, 0.01, 0.1, 1.0)] == pytest.approx([0, 33.33, 66.67, 100], abs=0.01)
    assert axis.at(0.0) == axis.at(-3.0) == axis.at(1e-9) == 0.0
    assert axis.at(7.0) == 100.0


def test_ticks_read_as_people_write_them():
    assert [tick_of(x) for x in (0, 0.01, 2000, -3, 1e-5, 2e7, 1e6)] == [
        "0", "0.01", "2,000", "−3", "10⁻⁵", "2·10⁷", "10⁶",
    ]  # fmt: skip


def test_points_and_whiskers_lie_to_scale():
    drawn = str(curves("T", "x", "y", [Series("a", ((0.0, 2.0, 1.0, 3.0), (4.0, 4.0, 4.0, None)))]))
    assert '<line class="whisker" x1="0.0%" x2="0.0%" y1="75.0%" y2="25.0%"/>' in drawn
    assert '<svg x="0.0%" y="50.0%" overflow="visible"><path class="mark"' in drawn
    assert 'points="0,50 100,0"' in drawn
    assert drawn.count('class="end"') == 3  # an open bound has no end


def test_series_are_told_apart_by_dash_and_mark_and_named_in_the_key():
    drawn = str(curves("T", "x", "y", [Series(name, _points((0, 1), (1, i))) for i, name in enumerate("abc")]))
    marks = re.findall(r'class="mark" d="([^"]+)"', drawn)
    assert len(set(marks)) == 3
    for i, name in enumerate("abc"):
        assert f'<g class="series-{i}">' in drawn
        assert re.search(rf'<span class="key series-{i}">.*?</svg> {name}</span>', drawn)


def test_a_missing_value_breaks_the_line():
    drawn = str(curves("T", "x", "y", [Series("a", _points((0, 1), (1, 2), (2, None), (3, 3), (4, math.nan)))]))
    assert drawn.count("<polyline") == 1
    assert drawn.count('class="mark"') == 3 + 1  # with the key


def test_many_points_with_bounds_are_a_band_and_few_of_many_keep_their_whiskers():
    many = tuple((float(x), 5.0 + x % 3, 4.0, 9.0) for x in range(40))
    band = str(curves("T", "x", "y", [Series("a", many)]))
    assert '<polygon class="band"' in band
    assert "whisker" not in band
    few = tuple((x, y, low, high) if x == 7 else (x, y, None, None) for x, y, low, high in many)
    drawn = str(curves("T", "x", "y", [Series("a", few, "line")]))
    assert drawn.count('class="whisker"') == 1
    assert "band" not in drawn


def test_names_on_the_axis_across_hold_series_side_by_side():
    both = [Series("a", _points((0, 1), (1, 2))), Series("b", _points((0, 1), (1, 2)))]
    drawn = str(curves("T", "x", "y", both, categories=("one", "<b>")))
    assert re.findall(r'class="tick[^"]*"[^>]*>([^<]*)</text>', drawn) == ["one", "&lt;b&gt;"]
    places = [float(x) for x in re.findall(r'<svg x="([\d.]+)%"', drawn)]
    assert len(set(places)) == 4
    assert (places[0] + places[2]) / 2 == pytest.approx(25, abs=0.01)
    assert "a, one: 1; &lt;b&gt;: 2. b, one: 1" in drawn


def test_a_stair_of_thousands_of_points_stays_small_and_keeps_its_shape():
    steps = [(x / 5000, (x // 50) / 100) for x in range(5001)]
    drawn = str(curves("T", "x", "y", [Series("a", _points(*steps), "line")]))
    corners = re.search(r'class="course" points="([^"]+)"', drawn)[1].split()
    assert len(corners) < 300
    assert (corners[0], corners[-1]) == ("0,100", "100,0")
    assert 'class="mark"' not in drawn


def test_a_reference_is_drawn_and_widens_the_axes():
    drawn = str(curves("T", "x", "y", [Series("a", _points((0, 1), (1, 1)))], reference=((0, 10), (1, 10))))
    assert re.search(r'class="reference" points="0,0 100,0"', drawn)


def test_nothing_to_draw_is_nothing():
    assert curves("T", "x", "y", []) == ""
    assert curves("T", "x", "y", [Series("a", ()), Series("b", _points((0, None), (math.nan, 1)))]) == ""


def test_words_are_escaped_and_told_to_those_who_do_not_see():
    drawn = str(curves("<T>", "<x>", "<y>", [Series("<s>\u202e", ((1.0, 2.0, 1.5, None),))], caption="<c>"))
    assert not re.search(r"<[Txysc]>", drawn)
    assert "\u202e" not in drawn
    assert "<desc>Across: &lt;x&gt;; up: &lt;y&gt;. &lt;s&gt;[U+202E], 1: 2 [1.5, no bound].</desc>" in drawn
    assert drawn.count("<svg") == drawn.count("</svg>")


def test_a_limit_has_no_marks_and_its_own_style():
    drawn = str(curves("T", "x", "y", [Series("most", _points((0, 1), (1, 2)), "limit")]))
    assert '<g class="bound">' in drawn
    assert '<span class="key bound">' in drawn
    assert 'class="mark"' not in drawn
