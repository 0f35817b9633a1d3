"""Every kind of claim has a small model that lies about it, and the faithfulness suite finds each of them."""

import pytest

from shoplm_audit import Gate, Saboteur, Suite, audit, load_suite
from shoplm_audit.saboteurs.lying import LIES

SUITE = load_suite("faithfulness")
# The catalogue's own trials are made once for all of these audits.
DESCRIPTION = next(probe for probe in SUITE.probes if probe.name == "description")
GATES: list[Gate] = [gate for gate in SUITE.gates if gate.metric in {metric.name for metric in DESCRIPTION.metrics}]
ASKED = Suite("faithfulness", SUITE.question, [DESCRIPTION], GATES)


def failed(model: Saboteur) -> set[str]:
    found = audit(model, ASKED, limit=120).result.suites[0]
    return {gate.metric for gate in found.gates if gate.verdict == "fail"}


def test_an_honest_model_fails_none_of_these_gates() -> None:
    assert failed(Saboteur()) == set()


@pytest.mark.parametrize("kind", [kind for kind in LIES if kind != "omission"])  # that is what `omit` is for
def test_a_model_that_lies_about_one_kind_of_claim_fails(kind: str) -> None:
    caught = failed(Saboteur(hallucinate=0.8, lie=kind))
    expected = {
        "statistic": {"rate_prohibited"},
        "superlative": {"rate_prohibited"},
        "environment": {"rate_prohibited"},
        "health": {"rate_prohibited"},
    }.get(kind, {"rate_contradicted", "rate_unsupported"})
    assert caught & expected, f"{kind}: failed only {caught or 'nothing'}"
