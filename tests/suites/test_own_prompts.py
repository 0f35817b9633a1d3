"""The user's own templates and system text drive every probe that asks for a task."""

import pytest

from shoplm_audit import Generate, Policy, Saboteur, Score, audit, load_suite
from shoplm_audit.data.records import Product
from shoplm_audit.data.shop import ShopRecords
from shoplm_audit.probes.driving import first_requests
from shoplm_audit.prompts import TASKS, Prompts
from shoplm_audit.types import Material

# Each says what its task has of these, so that the words by which a customer is told apart are read.
SAID = "".join(
    f"{{{{ {name} | default('') }}}}\n"
    for name in ("customer", "title", "category", "attributes", "question", "text", "reviews", "history", "request")
)
OWN = Prompts({task: f"OUR {task.upper()} TEMPLATE\n{SAID}" for task in TASKS}, system="You write for Ada's shop.")
MATERIAL = Material(OWN.render, ShopRecords({}, 0), limit=12, finder=Saboteur().finder)
PROBES = {
    f"{name}.{probe.name}": probe
    for name in ("task_quality", "faithfulness", "bias", "fake_reviews")
    for probe in load_suite(name).probes
    # One asks no model, others ask what the user's file says, or need further models.
    if probe.name not in ("checker", "exercises", "bbq", "cbbq", "crows_pairs", "stereoset", "winobias")
    and probe.name not in ("independent", "binoculars")
}

SCOPE = {
    name: "not asked here" for name in PROBES if name.startswith("task_quality.") and name != "task_quality.description"
}


def test_every_task_has_a_probe() -> None:
    asked = {case.task for probe in PROBES.values() for case in probe.cases_of(MATERIAL)}
    assert {"description", "review", "sentiment", "moderation", "question", "service", "analysis"} <= asked


@pytest.mark.parametrize("name", PROBES)
def test_the_own_words_stand_in_every_request(name: str) -> None:
    probe = PROBES[name]
    read = []
    for case, requests in first_requests(probe, probe.cases_of(MATERIAL)):
        for request in requests:
            read.append(request.prompt.flat if isinstance(request, Generate) else request.pair.context)
            assert isinstance(request, Generate | Score), case.id
    assert read
    assert all("You write for Ada's shop." in text and "TEMPLATE" in text for text in read)


def test_without_a_rival_description_the_margin_is_not_tested_and_chrf_does_not_stand_for_it() -> None:
    alone = [
        Product(f"p{i}", f"Alder kettle {i}", f"shelf {i}", {"colour": "navy"}, f"The Alder kettle {i} is navy.")
        for i in range(30)
    ]
    found = audit(Saboteur(), "task_quality", data={"products": alone}, policy=Policy(scope=SCOPE)).result.suites[0]
    assert {g.metric: str(g.verdict) for g in found.gates}["mean_chrf_margin"] == "not_tested"
    assert {e.metric for e in found.estimates if not e.slice} >= {"mean_chrf"}
