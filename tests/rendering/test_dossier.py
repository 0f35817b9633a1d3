import hashlib
import re
from datetime import date, timedelta

import pytest

from shoplm_audit.evidence.clauses import load_maps, standings
from shoplm_audit.evidence.files import write_run
from shoplm_audit.rendering.dossier import render_dossier
from shoplm_audit.rendering.wording import headline
from shoplm_audit.results import AuditResult, WaiverResult

MADE, TODAY = date(2026, 11, 20), date(2026, 11, 22)


def _page(audit, **more):
    return render_dossier(audit, **{"made": MADE, "today": TODAY} | more)


def _with(audit, **more):
    return AuditResult(audit.result.model_copy(update=more))


@pytest.fixture(scope="module")
def page(audit):
    return _page(audit)


def _words(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("<body", 1)[1]))


def test_it_never_concludes_and_says_so(audit, audit_of, page):
    for one in (page, _page(audit, language="zh"), _page(audit_of(leaks=False))):
        assert not re.search(r"complian|合规", one, re.IGNORECASE)
    assert "This is evidence, not a legal conclusion." in page


def test_the_head_names_verdict_model_and_the_hash_of_the_result_file(audit, tmp_path):
    training = audit.result.model.training | {"settings": {}, "data_card": {}}
    audit = _with(audit, notes=[], suites=audit.result.suites[:1] + audit.result.suites[2:])
    audit = _with(audit, model=audit.result.model.model_copy(update={"training": training}))
    write_run(tmp_path, audit, {}, {})
    digest = hashlib.sha256((tmp_path / "result.json").read_bytes()).hexdigest()
    head = _words(_page(audit))[:2500]
    assert digest in head
    assert audit.result.model.fingerprint in head
    assert headline(audit.result) in head
    assert "2026-11-20 (2 days ago)" in head


def test_each_clause_has_its_row_with_state_number_hash_and_age(audit, page):
    gate = audit.result.suites[1].gates[0].model_copy(update={"clauses": ["EU-2005/29-Art6"]})
    suite = audit.result.suites[1].model_copy(update={"gates": [gate]})
    text = _page(_with(audit, suites=[suite]))
    row = text.split('<tr id="EU-2005/29-Art6">', 1)[1].split("</tr>", 1)[0]
    told = _words("<body" + row)
    assert "weak Speaks against it: 1 of 1 gates failed." in told
    assert "12.4 % [9.7 %, 15.6 %] , at most 5 %" in told
    assert re.search(r"Hash [0-9a-f]{16}, 2 days old", told)
    assert "(to be checked)" in told
    ids = {clause.id for one in load_maps() for law in one.laws for clause in law.clauses}
    assert set(re.findall(r'<tr id="([^"]+)"', page)) == ids


def test_the_head_splits_weak_clauses_and_those_with_failed_gates_stand_first(audit, page):
    standing = standings(load_maps(), audit.result, made=MADE, today=TODAY)
    weak = [one for one in standing if one.state == "weak"]
    failed = {one.clause.id for one in weak if any(proof.gate.verdict == "fail" for proof in one.gates)}
    silent = {"not_tested", "not_applicable"}
    untested = sum({str(proof.gate.verdict) for proof in one.gates} <= silent for one in weak)
    between = len(weak) - len(failed) - untested
    parts = [(len(failed), "with failed gates"), (between, "undecided"), (untested, "not tested")]
    told = f"{len(weak)} weak: " + ", ".join(f"{n} {words}" for n, words in parts if n)
    assert failed
    assert told in _words(page)
    for part in page.split("<h3 id=")[1:]:
        ids = re.findall(r'<tr id="([^"]+)"', part)
        assert sorted(ids, key=lambda one: one not in failed) == ids


def test_chinese_writes_days_and_evidence_against_a_clause_as_chinese_does(audit):
    told = _words(_page(audit, language="zh"))
    assert "2026年11月20日（2 天前）" in told
    assert "存在不利证据：" in told
    assert not re.search(r"2026-1\d-\d\d|证据不足|卷宗", told)


def test_old_maps_and_old_runs_warn_at_the_head(audit, page):
    assert "Warning" not in page.split("<body")[1]
    late = _page(audit, today=date(2027, 6, 1))
    assert len(re.findall("<b>Warning:</b>", late)) == 1 + len(load_maps())
    assert "192 days ago: have it checked against the law as it stands (EU AI Act" in late.split('id="scope"')[0]
    assert "已过 192 天" in _page(audit, today=date(2027, 6, 1), language="zh")
    assert "<b>Warning:</b>" in _page(audit, made=TODAY + timedelta(days=1))


def test_waivers_are_told_with_who_why_and_until_when(audit, page):
    assert "None: no gate was let through by a person." in page
    waiver = WaiverResult(
        gate="bias.contrast_refund", by="<b>Lin</b>", why="late data", until="2026-12-24", state="expired"
    )
    told = _page(_with(audit, waivers=[waiver]))
    assert "A waived gate has not passed." in told
    assert '<td>&lt;b&gt;Lin&lt;/b&gt;</td><td>late data</td><td class="brief">2026-12-24</td>' in told


def test_the_guarantee_names_unit_epsilon_delta_and_what_it_does_not_cover(audit_of, page):
    assert "None is claimed." in page
    audit = audit_of(leaks=False)
    silent = _words(_page(audit))
    assert "Unit user Epsilon 7.9 Delta 1e-05" in silent
    assert "The record does not say what the guarantee does not cover" in silent
    privacy = audit.result.model.training["privacy"]

    def told(**more):
        training = audit.result.model.training | {"privacy": privacy | more}
        return _words(_page(_with(audit, model=audit.result.model.model_copy(update={"training": training}))))

    pieces = told(sentence="(7.9, 1e-5)-differential privacy. Not covered: public texts; the tokenizer.")
    assert "What it does not cover public texts the tokenizer" in pieces
    assert "does not hold: the noise was off" in told(void="the noise was off")
    assert "Unit user" not in told(void="the noise was off")


def test_annex_iv_has_its_three_kinds_of_figures_and_lines_to_sign(audit, page):
    annex = _words(page.split('id="annex"', 1)[0] + "<body" + page.split('id="annex"', 1)[1]).split("Clause by clause")[
        -1
    ]
    for words in ("Accuracy", "Robustness", "Potentially discriminatory impacts", "Signature", "Date"):
        assert words in annex
    empty = _page(_with(audit, suites=[audit.result.suites[0]]))
    assert empty.count("Nothing of this kind was measured in this run.") == 2


def test_hostile_names_and_reasons_stay_text(audit, hostile):
    gate = (
        audit.result.suites[1]
        .gates[0]
        .model_copy(
            update={"id": hostile, "metric": hostile, "slice": {hostile: hostile}, "clauses": ["EU-2005/29-Art6"]}
        )
    )
    suite = audit.result.suites[1].model_copy(update={"name": hostile, "question": hostile, "gates": [gate]})
    model = audit.result.model.model_copy(update={"name": f"{hostile} mei.lin@example.com", "fingerprint": hostile})
    text = _page(_with(audit, suites=[suite], model=model))
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"[\u202e\u202c\x00\x1b\u200b\ud800]", text)
    assert "mei.lin@example.com" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_same_run_gives_the_same_page_and_the_language_does_not_stick(audit, audit_of, page):
    assert _page(audit, language="zh") == _page(audit_of(), language="zh")
    assert _page(audit_of()) == page
    assert 'lang="zh-Hans"' in _page(audit, language="zh")
    assert "第50条第2款" in _page(audit, language="zh")
