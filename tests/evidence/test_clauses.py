import re
from datetime import date, timedelta

import pytest

from shoplm_audit.errors import ConfigError
from shoplm_audit.evidence.clauses import ClauseMap, load_maps, outdated, standings
from shoplm_audit.results import Counts, EstimateResult, GateResult, ModelResult, Result, SuiteResult, WaiverResult
from shoplm_audit.suites import load_suite
from shoplm_audit.types import Verdict

TODAY = date(2026, 11, 22)
SUITES = ("bias", "faithfulness", "fake_reviews", "privacy", "task_quality")


@pytest.fixture(scope="module")
def maps():
    return load_maps()


@pytest.fixture(scope="module")
def clauses(maps):
    return [clause for one in maps for law in one.laws for clause in law.clauses]


@pytest.fixture(scope="module")
def shipped():
    return [
        GateResult(
            id=f"{name}.{gate.id}",
            metric=gate.metric,
            slice=dict(gate.slice),
            verdict=Verdict.PASS,
            why="",
            clauses=list(gate.clauses),
        )
        for name in SUITES
        for gate in load_suite(name).gates
    ]


def _map(day=TODAY, **clause):
    words = {"en": "x", "zh": "某"}
    known = {
        "id": "X-1",
        "title": words,
        "asks": words | {"tag": "F"},
        "status": words | {"tag": "F"},
        "testable": True,
    }
    made = {"valid_as_of": day, "laws": [{"id": "X", "title": words, "clauses": [known | clause]}]}
    return ClauseMap.model_validate(made)


def _result(*verdicts, low=0.01, waived="", value=0.02):
    gates = [
        GateResult(
            id=f"s.rate_{i}", metric=f"rate_{i}", verdict=Verdict(v), why="", clauses=["X-1"], waived_by=waived or None
        )
        for i, v in enumerate(verdicts)
    ]
    estimates = [
        EstimateResult(metric=gate.metric, value=value, low=low, high=low, n=90, method="exact", better="lower")
        for gate in gates
    ]
    counts = Counts(planned=1, scored=1, errored=0, unparsed=0)
    suite = SuiteResult(name="s", question="?", counts=counts, estimates=estimates, gates=gates)
    waivers = [WaiverResult(gate="s.rate_0", by=waived, why="", until="2027-01-01", state="in force")] if waived else []
    model = ModelResult(name="m", fingerprint="")
    return Result(verdict="pass", model=model, seed=0, confidence=0.95, suites=[suite], waivers=waivers)


def _standing(result, one=None, age=1):
    (standing,) = standings([one or _map()], result, made=TODAY - timedelta(days=age), today=TODAY)
    return standing


def test_every_clause_that_a_gate_names_is_in_a_map(clauses, shipped):
    known = {name for clause in clauses for name in (clause.id, *clause.aliases)}
    assert {name for gate in shipped for name in gate.clauses} <= known


def test_every_pattern_of_a_map_finds_a_gate_and_what_is_testable_has_one(clauses, shipped):
    for clause in clauses:
        for pattern in clause.gates:
            alone = clause.model_copy(update={"id": "", "aliases": [], "gates": [pattern]})
            assert any(alone.has(gate) for gate in shipped), (clause.id, pattern)
        assert (clause.testable is True) == any(clause.has(gate) for gate in shipped), clause.id
        assert (clause.testable is False) == (clause.reason is not None), clause.id
        assert clause.human or clause.testable is not False or clause.reason, clause.id


def test_the_maps_speak_both_languages_and_never_conclude(maps, clauses):
    laws = [law.title for one in maps for law in one.laws]
    facts = [words for clause in clauses for words in (clause.asks, clause.status, *clause.facts)]
    words = [*laws, *facts, *(one for clause in clauses for one in (clause.title, *clause.human))]
    for one in words:
        assert re.search(r"[\u4e00-\u9fff]", one.zh), one
        assert not re.search(r"complian|合规", one.en + one.zh), one
    assert len(clauses) > 60


def test_what_was_not_read_in_the_source_is_printed_as_to_be_checked(clauses):
    tags = set()
    for fact in (fact for clause in clauses for fact in (clause.asks, clause.status, *clause.facts)):
        tags.add(fact.tag)
        unsure = fact.tag in ("S", "M")
        assert fact.of("en").endswith("(to be checked)") == unsure
        assert fact.of("zh").endswith("（待核实）") == unsure
    assert tags <= {"F", "C", "S", "M"}
    sure = _map(asks={"en": "x", "zh": "某", "tag": "F"}).laws[0].clauses[0].asks
    assert (sure.of("en"), sure.of("zh")) == ("x", "某")


@pytest.mark.parametrize(
    ("verdicts", "state", "words"),
    [
        (["pass"], "evidenced", "All of its gates (1) passed"),
        (["pass", "not_applicable"], "evidenced", "1 of 2 gates apply"),
        (["pass", "undecided"], "weak", "1 of 2 gates are undecided"),
        (["pass", "not_tested"], "weak", "not tested"),
        (["pass", "pass", "fail"], "weak", "Speaks against it: 1 of 3"),
        (["not_applicable"], "not testable here", "do not apply"),
        ([], "weak", "Not tested"),
    ],
)
def test_a_clause_is_evidenced_only_where_all_its_gates_in_scope_passed(verdicts, state, words):
    standing = _standing(_result(*verdicts))
    assert standing.state == state
    assert words in standing.why
    assert len(standing.gates) == len(verdicts)


def test_a_waived_gate_and_one_without_an_interval_are_no_evidence():
    assert _standing(_result("pass", waived="Lin")).state == "weak"
    assert _standing(_result("pass", low=None)).state == "weak"


@pytest.mark.parametrize(("age", "state"), [(0, "evidenced"), (90, "evidenced"), (91, "stale"), (-1, "stale")])
def test_a_run_goes_stale_after_ninety_days_and_one_of_tomorrow_is_not_believed(age, state):
    standing = _standing(_result("pass"), age=age)
    assert (standing.state, standing.age) == (state, age)
    assert _standing(_result("fail"), age=age).state == "weak"  # age never hides a failure


def test_an_old_map_warns_and_makes_what_rests_on_it_stale():
    old, fresh = _map(TODAY - timedelta(days=181)), _map(TODAY - timedelta(days=180))
    assert _standing(_result("pass"), fresh).state == "evidenced"
    assert _standing(_result("pass"), old).state == "stale"
    assert outdated([fresh], TODAY) == []
    (warning,) = outdated([old, fresh], TODAY)
    assert "181 days ago" in warning


def test_what_no_program_can_answer_stays_for_a_person_whatever_passed():
    assert _standing(_result("pass"), _map(testable="person")).state == "for a person"
    why = {"en": "no test", "zh": "无"}
    standing = _standing(_result("pass"), _map(testable=False, reason=why))
    assert (standing.state, standing.why) == ("not testable here", "no test")


def test_gates_are_found_by_pattern_alias_and_their_own_word():
    def found(**clause):
        return [proof.gate.id for proof in _standing(_result("pass", "pass"), _map(**clause)).gates]

    assert found(id="Y") == []
    assert found(id="Y", gates=["s.rate_1"]) == ["s.rate_1"]
    assert found(id="Y", aliases=["X-1"]) == found() == ["s.rate_0", "s.rate_1"]


def test_the_hash_is_that_of_the_gates_and_their_numbers():
    first, again = _standing(_result("pass")), _standing(_result("pass"))
    assert first.hash == again.hash
    assert len(first.hash) == 16
    changed = [_result("pass", value=0.03), _result("pass", low=0.011), _result("fail"), _result("pass", "pass")]
    assert len({first.hash, *(_standing(one).hash for one in changed)}) == 5
    assert _standing(_result("pass"), _map(id="Y")).hash == ""


def test_a_broken_map_says_which_file_and_where(tmp_path):
    with pytest.raises(ConfigError, match="no clause maps"):
        load_maps(tmp_path)
    text = (
        'valid_as_of = 2026-11-21\n[[laws]]\nid = "L"\ntitle = { en = "l", zh = "法" }\n[[laws.clauses]]\nid = "A"\n'
        'title = { en = "t", zh = "题" }\nasks = { en = "a", zh = "问", tag = "F" }\n'
        'status = { en = "s", zh = "态", tag = "F" }\ntestable = true\n'
    )
    (tmp_path / "one.toml").write_text(text, encoding="utf-8")
    assert len(load_maps(tmp_path)) == 1
    (tmp_path / "two.toml").write_text(text.replace('tag = "F"', 'tag = "X"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"two\.toml: laws\.0\.clauses\.0\.asks\.tag"):
        load_maps(tmp_path)
    (tmp_path / "two.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r'"A" is in one\.toml already'):
        load_maps(tmp_path)
    (tmp_path / "two.toml").write_text("valid_as_of = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"two\.toml: cannot be read"):
        load_maps(tmp_path)
