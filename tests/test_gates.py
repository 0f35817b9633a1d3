from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import Fake, cases

from shoplm_audit.config import Limit
from shoplm_audit.engine import audit
from shoplm_audit.errors import ConfigError, Unsupported
from shoplm_audit.judging import Policy, judge
from shoplm_audit.metrics.among import among
from shoplm_audit.metrics.reduce import mean_of, rate_of
from shoplm_audit.results import GateResult
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Case, Estimate, Gate, Generate, Probe, Suite, Verdict
from shoplm_audit.uncertainty import clopper_pearson

NAN = math.nan


def rate(hits: int, n: int) -> Estimate:
    return Estimate(hits / n, *clopper_pearson(hits, n), n, "exact binomial")


def told(gate: Gate, estimate: Estimate | None, **policy: object):
    return judge("suite", gate, estimate, Policy(**policy), "probe", "a reason")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hits", "n", "limits", "verdict"),
    [
        (916, 1000, {"at_least": 0.90}, "pass"),
        (915, 1000, {"at_least": 0.90}, "undecided"),
        (900, 1000, {"at_least": 0.90}, "undecided"),
        (860, 1000, {"at_least": 0.90}, "fail"),
        (0, 300, {"at_most": 0.01}, "pass"),
        (0, 50, {"at_most": 0.01}, "undecided"),
        (0, 58, {"at_most": 0.05}, "undecided"),
        (0, 59, {"at_most": 0.05}, "pass"),
        (30, 300, {"at_most": 0.05}, "fail"),
    ],
)
def test_verdicts_of_the_contract(hits: int, n: int, limits: dict[str, float], verdict: str) -> None:
    assert Gate("rate_x", **limits).judge(rate(hits, n)) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.04, 0.04, "pass"),
        (-0.05, 0.05, "pass"),
        (-0.06, 0.04, "undecided"),
        (0.02, 0.06, "undecided"),
        (-0.3, 0.3, "undecided"),
        (0.051, 0.2, "fail"),
        (-0.2, -0.051, "fail"),
    ],
)
def test_a_signed_contrast_is_held_from_both_sides(low: float, high: float, verdict: str) -> None:
    gate = Gate("contrast", at_least=-0.05, at_most=0.05)
    assert gate.judge(Estimate((low + high) / 2, low, high, 40, "Welch")) == verdict


@pytest.mark.parametrize("limits", [{"at_least": 0.1}, {"at_most": 0.9}, {"at_least": 0.1, "at_most": 0.9}])
@pytest.mark.parametrize(
    "estimate", [(NAN, NAN, NAN), (0.5, NAN, NAN), (NAN, 0.4, 0.6), (0.5, NAN, 0.6), (0.5, 0.4, NAN)]
)
def test_nan_never_passes(limits: dict[str, float], estimate: tuple[float, float, float]) -> None:
    value, low, high = estimate
    needed = [bound for bound, key in ((low, "at_least"), (high, "at_most")) if key in limits]
    found = Gate("m", **limits).judge(Estimate(value, low, high, 9, "bootstrap"))
    if math.isnan(value) or any(math.isnan(bound) for bound in needed):
        assert found is Verdict.UNDECIDED
    else:
        assert found is Verdict.PASS  # the bound that is not needed may be undefined


def test_an_invalid_number_neither_passes_nor_fails() -> None:
    for low, high in ((0.4, 0.5), (0.9, 0.99)):
        estimate = Estimate(low, low, high, 100, "DeLong", note="invalid: a blind baseline wins")
        assert Gate("auroc", at_most=0.65).judge(estimate) is Verdict.UNDECIDED
    assert "invalid: a blind baseline wins" in told(Gate("auroc", at_most=0.65), estimate).why
    assert told(Gate("auroc", at_most=0.65), estimate).cases_to_decide is None  # no number of cases would


@pytest.mark.parametrize(
    ("low", "ceiling", "claim", "note", "verdict"),
    [
        (0.5, 4.0, 2.0, "", "pass"),
        (2.1, 4.0, 2.0, "", "fail"),
        (0.5, 2.0, 2.0, "", "undecided"),  # a perfect attack would only have reached the claim
        (0.5, 1.0, 2.0, "", "undecided"),
        (0.5, None, 2.0, "", "undecided"),
        (NAN, 4.0, 2.0, "", "undecided"),
        (NAN, NAN, 2.0, "", "undecided"),
        (3.0, 4.0, 2.0, "invalid: no fair coin", "undecided"),
        (0.5, 4.0, None, "", "not_applicable"),
        (0.5, 4.0, math.inf, "", "not_applicable"),
    ],
)
def test_a_claim_is_refuted_or_not_and_never_confirmed(
    low: float, ceiling: float | None, claim: float | None, note: str, verdict: str
) -> None:
    gate = Gate("epsilon", burden="refutation")
    estimate = Estimate(low, low, math.inf, 100, "one run", claim=claim, ceiling=ceiling, note=note)
    assert gate.judge(estimate) == verdict
    found = told(gate, estimate)
    assert found.verdict == verdict
    for word in ("proven", "private", "safe", "confirmed"):
        assert word not in found.why
    assert found.at_most == (claim if claim is not None and math.isfinite(claim) else None)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.45, 0.55, "pass"), (0.7, 0.8, "fail"), (0.02, 0.1, "fail"), (0.3, 0.5, "undecided")]
)
def test_members_pushed_below_chance_are_told_apart_as_well(low: float, high: float, verdict: str) -> None:
    gate = next(gate for gate in load_suite("privacy").gates if gate.metric == "auroc_membership")
    assert gate.judge(Estimate((low + high) / 2, low, high, 500, "DeLong", note="blind baseline: ...")) == verdict


def test_a_policy_can_set_the_claim_that_is_to_be_refuted() -> None:
    estimate = Estimate(1.5, 1.5, math.inf, 100, "one run", claim=8.0, ceiling=4.0)
    assert Gate("epsilon", burden="refutation").judge(estimate) is Verdict.UNDECIDED
    assert Gate("epsilon", burden="refutation").limited(None, 1.0).judge(estimate) is Verdict.FAIL


def test_a_gate_has_to_have_a_limit_that_a_number_can_keep() -> None:
    for wrong in ({}, {"at_least": 0.2, "at_most": 0.1}, {"at_most": NAN}, {"at_least": -math.inf}):
        with pytest.raises(ConfigError, match='gate "m"'):
            Gate("m", **wrong)
    with pytest.raises(ConfigError, match="no limit"):
        Gate("m", at_most=0.1).limited(None, None)


def test_why_names_the_rule_the_interval_and_what_would_decide() -> None:
    found = told(Gate("rate_x", at_most=0.01), rate(0, 50))
    assert "at most 1 %" in found.why
    assert "[0 %, 5.82 %], n = 50" in found.why
    assert found.cases_to_decide is not None
    assert 280 <= found.cases_to_decide <= 310
    assert "95 %" in told(Gate("rate_x", at_least=0.9), rate(950, 1000)).why
    assert "97.5 %" in told(Gate("rate_x", at_least=0.9), rate(950, 1000), confidence=0.975).why
    assert told(Gate("rate_x", at_least=0.9), rate(950, 1000)).cases_to_decide is None


def test_why_says_where_hardly_any_number_of_cases_would_decide() -> None:
    close = told(Gate("m", at_least=0.5), Estimate(0.5001, 0.4, 0.6, 100, "bootstrap"))
    assert close.cases_to_decide is None
    assert close.why.endswith("that more cases of this kind would hardly decide it.")
    far = told(Gate("m", at_least=0.5), Estimate(0.53, 0.4, 0.66, 77, "bootstrap"))
    assert far.why.endswith("About 1,500 independent cases would decide it.")
    both = Gate("m", at_least=0.45, at_most=0.5)
    assert told(both, Estimate(0.5, 0.4, 0.6, 100, "bootstrap")).cases_to_decide is None  # one of two never would be
    free = told(Gate("m", at_least=0.5), Estimate(0.5, 0.4, math.inf, 100, "one-sided"))
    assert "hardly" not in free.why


def test_what_was_not_estimated_is_not_tested_and_scope_is_told_first() -> None:
    gate = Gate("rate_x", at_most=0.1)
    assert (told(gate, None).verdict, told(gate, None).why) == ("not_tested", "Not tested: a reason.")
    for key in ("suite", "suite.probe", "suite.rate_x"):
        found = told(gate, rate(90, 100), scope={key: "not ours"})
        assert (found.verdict, found.why) == ("not_applicable", "not ours")


# Through a whole audit ------------------------------------------------------------------------------


GOOD_RATE = rate_of("good", better="higher")


def suite(*gates: Gate, count: int = 120) -> Suite:
    def ask(case: Case):
        text = yield Generate(case.prompt)
        if text == "?":
            raise ValueError("cannot be read")
        return {"good": text == "good", "text": text}

    def need(case: Case):
        yield Generate(case.prompt, role="judge")
        return {"other": True}

    return Suite(
        "own",
        "Is it good?",
        [Probe("ask", cases(count), ask, [GOOD_RATE, mean_of("good", better="higher", worst=0.0)]),
         Probe("need", cases(2), need, [rate_of("other", better="higher")])],
        gates,
    )  # fmt: skip


def verdicts(model: Fake, *gates: Gate, **more: object) -> tuple[str, list[str], int]:
    found = audit(model, suite(*gates), **more)  # type: ignore[arg-type]
    return found.verdict, [str(gate.verdict) for gate in found.result.suites[0].gates], found.exit_code


GOOD = Fake(lambda *_: "good")


def test_the_verdict_of_a_run_and_its_exit_code_agree() -> None:
    fine, hard = Gate("rate_good", at_least=0.9), Gate("rate_good", at_least=0.999)
    assert verdicts(GOOD, fine) == ("pass", ["pass"], 0)
    assert verdicts(GOOD, hard) == ("undecided", ["undecided"], 3)
    assert verdicts(Fake(lambda *_: "bad"), fine) == ("fail", ["fail"], 1)
    assert verdicts(GOOD, fine, Gate("rate_other", at_least=0.5)) == ("undecided", ["pass", "not_tested"], 3)
    out = Policy(scope={"own.need": "no judge at hand"})
    assert verdicts(GOOD, fine, Gate("rate_other", at_least=0.5), policy=out) == ("pass", ["pass", "not_applicable"], 0)
    everything = Policy(scope={"own": "not now"})
    assert verdicts(GOOD, fine, policy=everything) == ("undecided", ["not_applicable"], 3)


def test_unparsed_and_errored_cases_stay_in_the_denominator() -> None:
    def write(prompt: str, _: int) -> str:
        number = int(prompt.split()[1])
        if number < 20:
            raise RuntimeError("no answer")
        return "?" if number < 50 else "good"

    found = audit(Fake(write), suite(Gate("rate_good", at_least=0.9))).result
    counts = found.suites[0].counts
    assert (counts.scored, counts.unparsed, counts.errored) == (70, 30, 20)
    assert found.suites[0].estimates[0].value == pytest.approx(70 / 120)
    assert found.verdict == "fail"
    assert any("errored" in note for note in found.notes)


def test_a_slice_without_cases_is_not_tested() -> None:
    gates = (Gate("rate_good", at_least=0.9), Gate("rate_good", at_least=0.9, slice={"language": "de"}))
    found = audit(GOOD, suite(*gates)).result.suites[0]
    assert [gate.verdict for gate in found.gates] == ["pass", "not_tested"]
    assert [e.slice for e in found.estimates if e.metric == "rate_good"] == [{}, {"language": "en"}, {"language": "zh"}]


def test_a_policy_sets_limits_and_adds_gates() -> None:
    policy = Policy({"own.rate_good": Limit(at_least=0.5), "own.rate_good[language=zh]": Limit(at_least=0.9)})
    model = Fake(lambda prompt, _: "good" if int(prompt.split()[1]) % 2 else "bad")
    found = audit(model, suite(Gate("rate_good", at_least=0.9)), policy=policy).result.suites[0]
    assert [(g.id, g.at_least) for g in found.gates] == [("own.rate_good", 0.5), ("own.rate_good[language=zh]", 0.9)]
    assert [g.verdict for g in found.gates] == ["undecided", "pass"]


def test_the_audited_model_cannot_be_displaced_by_a_role() -> None:
    found = audit(GOOD, suite(Gate("rate_good", at_least=0.9)), roles={"model": Fake(lambda *_: "bad")})
    assert found.verdict == "pass"


def test_the_same_audit_gives_the_same_numbers() -> None:
    def write(prompt: str, _: int) -> str:
        return "good" if int(prompt.split()[1]) % 7 else "bad"

    one, two = (audit(Fake(write), suite(Gate("rate_good", at_least=0.7)), seed=5).result for _ in range(2))
    assert one.suites == two.suites
    other = audit(Fake(write), suite(Gate("rate_good", at_least=0.7)), seed=6).result
    assert other.suites[0].estimates[0] == one.suites[0].estimates[0]  # an exact interval draws nothing


def test_two_cases_of_one_id_and_no_cases_are_told() -> None:
    twice = Suite("s", "?", [Probe("p", [Case("a"), Case("a")], suite().probes[0].observe, [GOOD_RATE])])
    with pytest.raises(ConfigError, match='two cases have the id "a"'):
        audit(GOOD, twice)

    def nothing(_: object) -> list[Case]:
        raise Unsupported("there is no record")

    empty = Suite("s", "?", [Probe("p", nothing, suite().probes[0].observe, [GOOD_RATE])],
                  [Gate("rate_good", at_least=0.5)])  # fmt: skip
    found = audit(GOOD, empty).result.suites[0]
    assert found.gates[0].why == "Not tested: there is no record."
    assert found.counts.planned == 0


def test_estimates_are_given_for_each_value_of_what_a_probe_names_in_order_of_size() -> None:
    def ask(case: Case):
        text = yield Generate(case.prompt)
        return {"good": case.facts["copies"] < 16, "rare": None, "text": text}

    many = [replace(case, facts={"copies": (1, 4, 16)[i % 3]}) for i, case in enumerate(cases(60))]
    nothing = among(rate_of("rare", better="lower"), having="rare")
    probe = Probe("ask", many, ask, [GOOD_RATE, nothing], by=("copies",))
    gates = [Gate("rate_good", at_least=0.9, slice={"copies": "16"}), Gate("rate_rare", at_most=0.5)]
    found = audit(GOOD, Suite("own", "Is it good?", [probe], gates)).result.suites[0]
    slices = [e.slice for e in found.estimates if "language" not in e.slice]
    assert slices == [{}, {"copies": "1"}, {"copies": "4"}, {"copies": "16"}]
    # What no case could show is not tested: it is neither an estimate nor undecided.
    assert [gate.verdict for gate in found.gates] == ["fail", "not_tested"]


def test_a_probe_is_undecided_where_the_context_cut_off_what_the_model_must_have_read() -> None:
    class Short(Fake):
        """Of a prompt it does not read words of three letters."""

        def read_of(self, request: Generate) -> str:
            return " ".join(word for word in request.prompt.flat.split() if len(word) != 3)

    def judged(must_read: str) -> GateResult:
        probe = suite().probes[0]
        known = [replace(case, facts={"secret": case.prompt.flat.split()[1]}) for case in cases(120)]
        alone = Suite("own", "?", [replace(probe, cases=known, must_read=must_read)], [Gate("rate_good", at_least=0.9)])
        return audit(Short(lambda *_: "good"), alone).result.suites[0].gates[0]

    assert judged("").verdict == "pass"
    assert judged("secret").verdict == "undecided"
    assert "in 20 of 120 cases the secret was cut off" in judged("secret").why


@pytest.mark.parametrize("broken", [("zh",), ("en", "zh"), ()])
def test_a_metric_that_fails_its_own_test_in_a_language_is_left_out_of_the_gate_there(broken: tuple[str, ...]) -> None:
    """In Chinese the model is always wrong: a gate that still read those cases could not pass."""

    def right(case: Case):
        text = yield Generate(case.prompt)
        return {"right": case.language == "en", "text": text}

    def trial(tried, rng) -> str:
        return "identity is not the maximum" if tried[0].language in broken else ""

    made = [replace(case, language=("en", "zh")[i % 2]) for i, case in enumerate(cases(200))]
    metric = replace(rate_of("right", better="higher"), trial=trial)
    gates = [Gate("rate_right", at_least=0.9), Gate("rate_right", at_least=0.9, slice={"language": "zh"})]
    result = audit(Fake(), Suite("s", "q?", [Probe("p", made, right, [metric])], gates)).result
    verdicts = [str(gate.verdict) for gate in result.suites[0].gates]
    notes = [note for note in result.notes if "failed its own test" in note]
    numbers = {str(e.slice): e for e in result.suites[0].estimates}
    if broken == ("zh",):
        assert verdicts == ["pass", "undecided"]
        assert numbers["{}"].n == 100
        assert "in zh the metric failed its own test: identity is not the maximum" in notes[0]
        assert numbers["{'language': 'zh'}"].note.startswith("invalid")
    elif broken:
        assert verdicts == ["undecided", "undecided"]
        assert len(notes) == 1
    else:
        assert verdicts == ["fail", "fail"]
        assert not notes
