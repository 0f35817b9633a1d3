import math
import re

import pytest

from shoplm_audit.rendering.charts import Bar, axis_of, curves_by_step, strip
from shoplm_audit.rendering.wording import amount, duration, label, said, within


@pytest.mark.parametrize(
    "values", [[0.1, 0.17], [-6.2, 3.4], [1720, 1955], [0.0], [5.0, 5.0], [1e-7, 3e-7], [-1e9, 1e9], [0.999, 1.0]]
)
def test_an_axis_holds_its_values_with_round_ends(values):
    axis = axis_of(values)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert 3 <= len(axis.ticks) <= 8
    assert axis.ticks == tuple(sorted(set(axis.ticks)))


def test_an_axis_passes_over_what_is_undefined():
    assert axis_of([None, math.nan, math.inf, 0.2, 0.4]) == axis_of([0.2, 0.4])
    assert axis_of([]).low < axis_of([]).high


def test_a_limit_leaves_room_for_what_lies_beyond():
    assert axis_of([0.92, 0.95], [0.9]).low < 0.9
    assert axis_of([0.2, 0.5], [1.0]).high == 1.0


def test_a_strip_draws_value_bounds_and_limit_to_scale():
    axis = axis_of([0.0, 1.0])
    drawn = str(strip(axis, [Bar(0.5, 0.25, 0.75, "fail", 'a "<b>"')], at_most=0.2))
    assert '<line class="whisker" x1="25.0%" x2="75.0%"' in drawn
    assert '<svg x="50.0%"' in drawn
    assert '<line class="limit" x1="20.0%"' in drawn
    assert '<rect class="beyond" x="20.0%" width="80.0%"' in drawn
    assert "<title>a &#34;&lt;b&gt;&#34;</title>" in drawn


def test_an_undefined_estimate_draws_no_mark():
    drawn = str(strip(axis_of([0.0, 1.0]), [Bar(None, None, None, "plain", "x")]))
    assert "mark" not in drawn
    assert "whisker" not in drawn


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    drawn = str(curves_by_step("Loss", {"train": [[step, 5 - step / 10_000] for step in range(10_001)]}))
    points = re.search(r'points="([^"]+)"', drawn)[1].split()
    assert len(points) < 300
    assert "train: from 5 at step 0 to 4 at step 10000" in drawn


def test_curves_share_their_axes_and_are_told_apart_without_colour():
    drawn = str(curves_by_step("Loss", {"low": [[0, 2.0], [10, 1.0]], "high": [[0, 4.0], [20, 4.0]]}))
    low, high = (set(points.split()) for points in re.findall(r'points="([^"]+)"', drawn))
    assert {x.split(",")[0] for x in low} == {"0", "50"}
    assert {x.split(",")[0] for x in high} == {"0", "100"}
    assert {float(x.split(",")[1]) for x in high} < {0.0, 25.0}
    assert drawn.count('class="course-0"') == drawn.count('class="course-1"') == 2
    assert "<desc>low: from 2 at step 0 to 1 at step 10; high: from 4" in drawn


@pytest.mark.parametrize(
    "points",
    [[], [[0, math.nan], [1, 2.0]], [[1, 2.0]], "curve", [1, 2], [["a", "b"], ["c", "d"]], [[0, 1e300], [1, 2]]],
)
def test_what_is_no_curve_is_not_drawn(points):
    assert curves_by_step("Loss", {"train": points}) == ""
    assert "train" not in curves_by_step("Loss", {"train": points, "held_out": [[0, 1], [1, 2]]})


def test_a_curves_name_is_escaped():
    drawn = str(curves_by_step("Loss", {"<b>\u202e</svg>": [[0, 1.0], [1, 2.0]]}))
    assert "<b>" not in drawn
    assert "\u202e" not in drawn
    assert drawn.count("</svg>") == drawn.count("<svg")


def test_numbers_have_the_digits_that_their_interval_supports():
    assert str(said(0.1234, 0.09, 0.16, "rate_x")) == "12.3 % [9.0 %, 16.0 %]"
    assert str(said(1834.2, 1720.0, 1955.0)) == "1,834 [1,720, 1,955]"
    assert str(said(-0.0712, -0.101, -0.042)) == "−0.071 [−0.101, −0.042]"
    assert str(said(None, None, None)) == "undefined"
    assert str(said(math.nan, 0.4, math.inf)) == "undefined [0.400, no bound]"
    assert str(said(0.0, 0.0, 0.0099, "rate_x")) == "0.00 % [0.00 %, 0.99 %]"


def test_names_read_as_words():
    assert label("auroc_membership") == "AUROC membership"
    assert label("tpr_likelihood_at_1_percent_fpr") == "TPR likelihood at 1 % FPR"
    assert within(0.95) == "both bounds hold at 95 % each (the interval covers 90 %)"


def test_amounts_have_three_digits_and_a_prefix():
    assert amount(1.9e17, "FLOP") == "190 PFLOP"
    assert amount(999.9e6, "B") == "1 GB"
    assert amount(0.0042, "Wh") == "0.0042 Wh"
    assert amount(1_234_567) == "1.23 million"
    assert amount(0.0, "Wh") == "0 Wh"


def test_durations_have_the_two_units_that_matter():
    assert [duration(x) for x in (0.0, 59.4, 90, 3_599.6, 200_000)] == [
        "0 s",
        "59.4 s",
        "1 min 30 s",
        "1 h 0 min",
        "55 h 33 min",
    ]
