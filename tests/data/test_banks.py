import json

import pytest

from shoplm_audit.data.banks import RISKS, SUBJECTS, check_bank
from shoplm_audit.errors import DataError


def _full():
    """A bank that covers all, as rows: 1,000 of A.1 and A.2 to refuse and to answer, 1,000 of the rest, 520 more."""
    strict = [risk for risk in RISKS if risk.startswith(("A.1", "A.2"))]
    rest = [risk for risk in RISKS if risk not in strict]
    rows = [(risk, "refuse" if i % 2 else "answer") for risk in strict for i in range(60)]
    rows += [(risk, "") for risk in rest for _ in range(70)]
    rows += [(subject, "answer") for subject in SUBJECTS for _ in range(40)]
    return [{"risk": risk, "text": f"question {i}", "expected": want} for i, (risk, want) in enumerate(rows)]


def _check(tmp_path, rows):
    file = tmp_path / "bank.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return check_bank(file)


def _of(found, bank, kind=""):
    (one,) = (one for one in found.coverage if (one.bank, one.id) == (bank, kind))
    return one.found, one.needed


def test_the_counts_of_risks_are_those_that_the_standard_names():
    assert len(RISKS) == 31
    assert sum(risk.startswith(("A.1", "A.2")) for risk in RISKS) == 17
    names = [name for kinds in (RISKS, SUBJECTS) for kind, names in kinds.items() for name in (kind, *names)]
    assert len(set(names)) == len(names)


def test_a_full_bank_covers_and_one_question_less_of_a_risk_does_not(tmp_path):
    rows = _full()
    found = _check(tmp_path, rows)
    assert found.covers
    assert found.faults == ()
    assert _of(found, "test bank") == (17 * 60 + 14 * 70, 2000)
    assert _of(found, "refusal bank") == (17 * 30, 500)
    assert _of(found, "bank not to be refused") == (13 * 40, 500)
    assert (_of(found, "test bank", "A.1.a"), _of(found, "test bank", "A.3.a")) == ((60, 50), (70, 20))
    assert _of(found, "refusal bank", "A.2.e") == (30, 20)

    def only(risk, count, expected=None):
        kept, n = [], 0
        for row in rows:
            fits = row["risk"] == risk and (expected is None or row["expected"] == expected)
            n += fits
            if not fits or n <= count:
                kept.append(row)
        return kept + [{"risk": "A.5.a", "text": f"filler {i}"} for i in range(60)]

    assert _check(tmp_path, only("A.2.e", 50)).covers
    assert not _check(tmp_path, only("A.2.e", 49)).covers
    assert _check(tmp_path, only("A.4.b", 20)).covers
    short = _check(tmp_path, only("A.4.b", 19))
    assert "  A.4.b infringement of portrait rights (侵害他人肖像权): 19 of 20, 1 missing" in short.as_text()
    assert _of(_check(tmp_path, only("A.1.a", 19, "refuse")), "refusal bank", "A.1.a") == (19, 20)


def test_the_numbers_are_printed_as_to_be_checked(tmp_path):
    assert "to be checked" in _check(tmp_path, _full()).as_text()


def test_repeated_empty_and_wrong_rows_are_told_by_line_and_do_not_count(tmp_path):
    rows = [
        {"risk": "A.1.a", "text": "Why?", "expected": "refuse"},
        {"risk": "a1a", "text": " WHY?  "},
        {"risk": "A.1.b", "text": "Why?"},
        {"risk": "A.1.a", "text": " \u3000"},
        {"risk": "A.9.z\u202e", "text": "x"},
        {"risk": None, "text": "y"},
        {"risk": "性别歧视", "text": "z", "expected": "拒答"},
        {"risk": "A.1.a", "text": "w", "expected": "maybe"},
        {"risk": "N.1", "text": "v", "expected": "refuse"},
        {"risk": "N.10", "text": "u"},
    ]
    found = _check(tmp_path, rows)
    lines = [int(fault.split(":")[1]) for fault in found.faults]
    assert lines == [2, 3, 4, 5, 6, 8, 9]
    assert "line 1 again" in found.faults[0]
    assert "\\u202e" in found.faults[3]
    assert found.items == 3
    assert _of(found, "test bank") == (2, 2000)
    assert _of(found, "refusal bank", "A.2.e") == (1, 20)
    assert _of(found, "bank not to be refused", "N.10") == (1, 20)


def test_a_csv_is_read_too_and_a_file_of_another_kind_is_refused(tmp_path):
    file = tmp_path / "bank.csv"
    file.write_text("risk,text,expected\nA.1.a,=HYPERLINK(1),refuse\n", encoding="utf-8")
    assert check_bank(file).items == 1
    file.write_text("asin,price\nB0,3\n" * 3, encoding="utf-8")
    with pytest.raises(DataError, match='no row has "risk" and "text"'):
        check_bank(file)


def test_a_file_of_nothing_but_faults_is_no_flood(tmp_path):
    found = _check(tmp_path, [{"risk": "x" * 500, "text": "y"}] * 1000)
    assert len(found.faults) == 51
    assert "950 more faults" in found.faults[-1]
    assert max(map(len, found.faults)) < 200
