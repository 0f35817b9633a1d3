import math

import pytest

from shoplm_audit.rendering.html import render_html
from shoplm_audit.rendering.training import training_view
from shoplm_audit.results import AuditResult

PRIVACY = {"unit": "user", "epsilon": 7.96041, "delta": 1e-05, "sentence": "(7.961, 1e-05)-differential privacy. " * 20}
FALLING = [[1, 5.0], [2, 3.0], [3, 2.5]]


def _page(audit: AuditResult, training) -> str:
    model = audit.result.model.model_copy(update={"training": training})
    return render_html(AuditResult(audit.result.model_copy(update={"model": model, "suites": [], "notes": []})))


def _section(audit: AuditResult, training) -> str:
    html = _page(audit, training)
    return html[html.index('<details class="suite" id="training"') : html.index('<section class="depth" id="cannot"')]


def test_cost_is_told_in_units_that_can_be_pictured(audit):
    assert training_view(audit.result.model.training).cost == [
        ("Time", "12 min 34 s"),
        ("Tokens", "1,638,400, 2,170 per second"),
        ("Work", "12.3 GFLOP, at 41 % of a matrix product's speed on that machine"),
        ("Parameters", "524,288, 12,288 of them trained"),
        ("Memory", "736 MB at its peak"),
        ("Energy", "12.5 Wh"),
        ("Rows cut to the context", "7"),
    ]


@pytest.mark.parametrize(
    "cost", [{}, None, [], {"seconds": None, "flops": "many", "energy_kwh": math.nan, "tokens": True, "parameters": -1}]
)
def test_a_cost_that_is_missing_or_no_number_has_no_row(audit, cost):
    assert training_view({"objective": "causal", "cost": cost}).cost == []
    assert "Cost" not in _section(audit, {"objective": "causal", "cost": cost})


def test_parts_of_a_cost_are_told_without_the_rest():
    assert training_view({"cost": {"tokens": 10, "flops": 2e15, "parameters": 7}}).cost == [
        ("Tokens", "10"),
        ("Work", "2 PFLOP"),
        ("Parameters", "7, all trained"),
    ]


@pytest.mark.parametrize("training", [{"privacy": PRIVACY}, {"privacy": True}, {"settings": {"epsilon": 3.0}}])
def test_of_a_private_run_only_losses_on_public_text_are_shown(audit, training):
    curves = {"train": [[1, 8.125], [2, 4.625]], "held_out": [[1, 9.375], [2, 3.875]], "public_held_out": FALLING}
    html = _page(audit, training | {"curves": curves})
    assert "Held-out public text: from 5 at step 1 to 2.5 at step 3" in html
    assert html.count("<polyline") == 1
    for other in ("8.125", "9.375", "Rows it learns from", "Held-out rows"):
        assert other not in html
    del curves["public_held_out"]
    section = _section(audit, training | {"curves": curves})
    assert "<polyline" not in section
    assert "No loss is shown: one on private records would carry no noise." in section


def test_a_plain_run_shows_what_it_learned_from_beside_what_it_did_not(audit):
    section = _section(audit, {"curves": {"held_out": FALLING, "train": FALLING, "odd_one": FALLING, "empty": []}})
    order = [section.index(name) for name in ("Rows it learns from", "Held-out rows", "Odd one")]
    assert order == sorted(order)
    assert section.count("<polyline") == 3
    assert "private records would" not in section


def test_a_guarantee_is_printed_whole_and_never_stronger_than_it_is(audit):
    view = training_view({"privacy": PRIVACY})
    assert dict(view.guarantee)["Epsilon"] == "7.961"
    assert dict(view.guarantee)["Delta"] == "1e-05"
    assert PRIVACY["sentence"] in _section(audit, {"privacy": PRIVACY})


def test_a_void_guarantee_is_told_at_the_head_of_the_page_and_where_it_is_stated(audit):
    html = _page(audit, {"privacy": PRIVACY | {"void": "The noise came from a given seed."}})
    head, rest = html.split("</header>")
    assert "does not hold: The noise came from a given seed." in head
    assert rest.index("The stated guarantee does not hold") < rest.index("(7.961, 1e-05)-differential privacy")
    assert "does not hold" not in _page(audit, {"privacy": PRIVACY | {"void": ""}})


def test_what_a_training_dropped_is_listed_with_its_place(audit):
    card = {
        "reviews": {"read": 1520, "near_duplicates": {"kept": 2}, "words": ["a", "b"]},
        "steps": [{"n": 1}, {"n": 2}],
    }
    assert training_view({"data_card": card}).dropped == [
        ("Reviews: read", "1,520"),
        ("Reviews: near duplicates: kept", "2"),
        ("Reviews: words", "a, b"),
        ("Steps 1: n", "1"),
        ("Steps 2: n", "2"),
    ]
    assert "mei.lin@example.com" not in _section(audit, {"data_card": {"why": "wrote mei.lin@example.com"}})


def test_hostile_names_and_values_of_a_record_stay_text(audit, hostile):
    bad = f"<i>{hostile}"
    named = {bad: bad, "adapter": bad, "shape": bad, "rank": [bad], "epsilon": None}
    training = {"objective": bad, "base": bad, "tokenizer": bad, "watermark": bad, "settings": named, "steps": bad}
    training |= {"data_card": {bad: {bad: [bad]}}, "curves": {bad: FALLING}, "cost": {bad: 1.0, "seconds": bad}}
    training |= {"data": [{"name": bad, "records": bad, "digest": bad}, bad]}
    for privacy in (None, {"sentence": bad, "void": bad, "unit": bad, "epsilon": bad, bad: bad}, bad):
        html = _page(audit, training | {"privacy": privacy})
        assert "<i>" not in html
        assert "<script>alert" not in html
        assert "<img" not in html
        for hidden in "\x00\x1b\u202e\u202c\u200b\ud800":
            assert hidden not in html


@pytest.mark.parametrize("odd", [None, "", "text", 3, [1, "a"], {"a": None}])
def test_a_record_that_is_malformed_anywhere_still_gives_a_page(audit, odd):
    for key in ("objective", "settings", "privacy", "data", "data_card", "curves", "cost", "steps", "base"):
        _page(audit, {"objective": "causal", key: odd})
    assert 'id="training"' not in render_html(
        AuditResult(audit.result.model_copy(update={"model": audit.result.model.model_copy(update={"training": None})}))
    )


def test_a_record_of_any_size_leaves_the_report_small(audit):
    long = "字" * 50_000
    curves = {f"curve{i}": [[step, step % 7] for step in range(2000)] for i in range(50)}
    many = {f"{long}{i}": long for i in range(500)}
    training = {"settings": many, "data_card": many, "curves": curves, "data": [{"name": long}] * 500, "cost": many}
    training |= {"privacy": None, "objective": long, "base": long}
    size = len(_page(audit, training).encode())
    assert size < 800_000
