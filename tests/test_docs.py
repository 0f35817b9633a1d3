"""The documentation is held to the code: generated pages are current, commands exist, code runs, the tree is the tree.

The README's Python runs in a folder that has `checkpoints/reviews` (a tiny checkpoint), `my_suites/returns_policy` (the
suite of docs/suites.md), `products.csv` and `reviews.csv`.
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))
SHELLS = ("sh", "bash", "shell", "console")
# What a page may tell a reader to type beside this program and make.
KNOWN = ("git", "cd", "pip", "python", "python3", "export", ".")
MADE = {".venv", "runs", "dist", "node_modules", "__pycache__"}  # output, as .gitignore says


def fenced(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, f"{page}: a fence is not closed"
    return re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def blocks(page: str, *languages: str) -> list[str]:
    return [text for language, text in fenced(page) if language in languages]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_what_the_code_says(generate: ModuleType) -> None:
    assert generate.stale() == [], "run `make docs`"


def test_a_page_that_differs_or_is_missing_is_noticed(generate: ModuleType, tmp_path: Path) -> None:
    for name, page in generate.PAGES.items():
        (tmp_path / name).write_text(page(), encoding="utf-8")
    assert generate.stale(tmp_path) == []
    (tmp_path / "cli.md").write_text(generate.cli() + " ", encoding="utf-8")
    (tmp_path / "result.schema.json").unlink()
    assert generate.stale(tmp_path) == ["cli.md", "result.schema.json"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|mailto:|#", target):
            assert ((ROOT / page).parent / target.partition("#")[0]).exists(), f"{page}: {target}"


# Commands -------------------------------------------------------------------------------------------


def commands(page: str) -> list[list[str]]:
    """Every command of the page's shell blocks as words; comments and output of a console are left out."""
    found = []
    for language, text in fenced(page):
        if language not in SHELLS:
            continue
        lines = text.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):  # the other lines are what was answered
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            for part in line.split(" && "):
                words = shlex.split(part, comments=True)
                found += [words] if words else []
    return found


def parsed(words: list[str]) -> None:
    """Has the program's own parser read the words; the command is not run."""
    from typer.main import get_command

    from shoplm_audit.cli import app

    command: Any = get_command(app)
    context = None
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name="shoplm-audit", parent=context)
        assert words, "a verb is missing"
        assert words[0] in command.commands, f'no verb "{words[0]}"'
        command, words = command.commands[words[0]], words[1:]
    command.make_context("shoplm-audit", list(words), parent=context)


def check_command(words: list[str]) -> None:
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:3] in (["python", "-m", "shoplm_audit"], ["python3", "-m", "shoplm_audit"]):
        words = words[2:]
    match words:
        case [("shoplm-audit" | "shoplm_audit"), *rest]:
            parsed(rest)
        case ["make", *targets]:
            made = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert set(targets) <= set(made), f"no such target: {targets}"
        case [program, *_]:
            assert program in KNOWN, f'"{program}" is not checked: add it to KNOWN, or leave it out'


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist_with_their_options(page: str) -> None:
    for words in commands(page):
        try:
            check_command(words)
        except Exception as fault:
            raise AssertionError(f"{page}: {shlex.join(words)}: {fault}") from fault


@pytest.mark.parametrize("words", [["shoplm-audit", "runn"], ["shoplm-audit", "run", "--modle", "x"], ["make", "tea"]])
def test_a_command_that_does_not_exist_is_noticed(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"runn|--modle|tea"):
        check_command(words)


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_the_pipelines_are_whole_and_their_commands_exist(name: str) -> None:
    import yaml

    told = yaml.safe_load((ROOT / "docs" / "ci" / name).read_text(encoding="utf-8"))
    if name == "github.yml":
        steps = told["jobs"]["audit"]["steps"]
        scripts = [step["run"] for step in steps if "run" in step]
        shared = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    else:
        job = told["model-gate"]
        scripts = [*job["before_script"], *job["script"]]
        shared = [path.rstrip("/") for path in job["artifacts"]["paths"]]
    lines = [line.strip() for script in scripts for line in script.splitlines()]
    asked = [shlex.split(line.partition("||")[0]) for line in lines if line.startswith("shoplm-audit ")]
    for words in asked:
        check_command(words)
    assert {words[1] for words in asked} == {"run", "report"}
    assert lines[-1].startswith("exit $"), "the pipeline has to end with the audit's own code"
    # Nothing but what was redacted may leave.
    written = [words[words.index("--out") + 1] for words in asked if "--share" in words]
    assert shared == written


def test_the_readme_names_the_two_commands_first() -> None:
    asked = commands("README.md")
    assert ["make", "audit"] in asked, "README.md has to show `make audit` in a sh block"
    assert ["make", "test"] in asked, "README.md has to show `make test` in a sh block"


# Code -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readers_folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the README stands: a checkpoint, a suite, files of records."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "reviews").symlink_to(tiny_checkpoint)
    suite = folder / "my_suites" / "returns_policy"
    suite.mkdir(parents=True)
    (suite / "suite.py").write_text(blocks("docs/suites.md", "python")[0], encoding="utf-8")
    (folder / "products.csv").write_text("id,title,category,colour\np1,Alder kettle,kettles,navy\n", encoding="utf-8")
    (folder / "reviews.csv").write_text("product,user,rating,text\np1,u1,5,It boils quickly.\n", encoding="utf-8")
    return folder


def run_block(text: str, names: dict[str, Any], where: str) -> None:
    """Runs a block: as a doctest where it has prompts, else as it is."""
    if ">>>" not in text:
        exec(compile(text, where, "exec"), names)
        return
    said: list[str] = []
    runner = doctest.DocTestRunner()
    test = doctest.DocTestParser().get_doctest(text, names, where, None, 0)
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize("page", PAGES)
def test_python_in_the_pages_runs(page: str, readers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(readers_folder)
    names: dict[str, Any] = {"__name__": page}
    for number, text in enumerate(blocks(page, "python", "py", "pycon")):
        run_block(text, names, f"{page}, block {number + 1}")


@pytest.mark.parametrize("page", PAGES)
def test_audit_toml_in_the_pages_is_accepted(
    page: str, readers_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplm_audit.config import check_names, read_config
    from shoplm_audit.engine import suites_of

    monkeypatch.chdir(readers_folder)
    for text in blocks(page, "toml"):
        (tmp_path / "audit.toml").write_text(text, encoding="utf-8")
        config = read_config(tmp_path / "audit.toml")
        check_names(config, suites_of(list(config.suites)))


def test_code_that_says_something_else_is_noticed() -> None:
    with pytest.raises(AssertionError, match="Expected"):
        run_block(">>> 1 + 1\n3\n", {}, "nowhere")


def test_the_suite_of_the_tutorial_is_short_and_judges(
    readers_folder: Path, monkeypatch: pytest.MonkeyPatch, shoplm: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    text = blocks("docs/suites.md", "python")[0]
    assert len([line for line in text.splitlines() if line.strip()]) <= 15
    (readers_folder / "shops.py").write_text(
        "def strict(prompts): return ['No.'] * len(prompts)\n"
        "def kind(prompts): return ['We refund you.' if i % 2 else 'No.' for i in range(len(prompts))]\n"
    )
    for name, code in (("strict", 0), ("kind", 1)):
        command = ("run", "my_suites/returns_policy", "--model", f"python:shops:{name}", "--out", name)
        done = shoplm(*command, cwd=readers_folder)
        assert done.returncode == code, done.stderr + done.stdout


# The tree -------------------------------------------------------------------------------------------


def drawn(text: str) -> dict[str, bool]:
    """Paths of a drawn tree, each with whether its children are drawn; a line may name several files."""
    paths: dict[str, bool] = {}
    above: list[str] = []
    for line in text.splitlines():
        if not (entry := re.match(r"((?:│   |    )*)[├└]── (.*)", line)):
            continue
        depth = len(entry[1]) // 4
        assert depth <= len(above), f"drawn too deep: {line}"
        names = re.split(r"\s{2,}|\s+#", entry[2].strip())[0].split()
        above = above[:depth]
        parent = "/".join(above)
        if parent:
            paths[parent] = True
        for name in names:
            paths.setdefault(f"{parent}/{name.rstrip('/')}".lstrip("/"), False)
            assert (ROOT / parent / name).exists(), f"drawn, but not there: {parent}/{name}"
            assert name.endswith("/") == (ROOT / parent / name).is_dir(), f"folders end in /: {parent}/{name}"
        above.append(names[-1].rstrip("/"))
    return paths


def standing(folder: Path) -> set[str]:
    return {
        path.name
        for path in folder.iterdir()
        if not path.name.startswith((".", "__")) and path.name not in MADE and not path.name.endswith(".egg-info")
    }


def undrawn(paths: dict[str, bool]) -> list[str]:
    """What stands in a folder whose children are drawn, and is not drawn."""
    missing = []
    for folder in ("", *(path for path, open_ in paths.items() if open_)):
        inside = {path.rpartition("/")[2] for path in paths if path.rpartition("/")[0] == folder}
        missing += [f"{folder}/{name}".lstrip("/") for name in sorted(standing(ROOT / folder) - inside)]
    return missing


def test_the_tree_in_the_readme_is_the_tree() -> None:
    trees = [text for _, text in fenced("README.md") if "── " in text]
    assert len(trees) == 1, "README.md has to draw one tree, in a fenced block"
    paths = drawn(trees[0])
    assert undrawn(paths) == []
    assert paths["shoplm_audit"], "the package's own rooms have to be drawn"


def test_a_tree_that_leaves_out_or_invents_is_noticed() -> None:
    names = sorted(standing(ROOT))
    shown = [f"├── {name}{'/' if (ROOT / name).is_dir() else ''}  what it is" for name in names]
    assert undrawn(drawn("\n".join(shown))) == []
    assert undrawn(drawn("\n".join(shown[1:]))) == [names[0]]
    with pytest.raises(AssertionError, match="not there"):
        drawn("├── cellar/  none")


# Words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, *(p.relative_to(ROOT).as_posix() for p in ROOT.glob("suites/*/CARD.md"))])
def test_pages_claim_no_more_than_an_audit_can(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    claim = r"\b(?:is|are|was|were|as|been) (?:\w+ )?(safe|unbiased|compliant|proven|bias-free)\b"
    found = [match[0] for match in re.finditer(claim, text, re.IGNORECASE) if "called" not in match[0]]
    assert found == [], page


def test_no_page_names_this_machine() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not re.search(r"(?<!\w)/(home|root|work|tmp)/", text), page
    assert os.sep == "/"
