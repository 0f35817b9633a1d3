"""Writes the pages that are made from the code: the help of every verb, the schema of `result.json`.

python docs/generate.py           # writes docs/cli.md and docs/result.schema.json
python docs/generate.py --check   # writes nothing; exit 1 names each page that is not current
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WIDTH = 78  # of a help text, as it is on a terminal of 80 columns
HERE = Path(__file__).parent


def helps() -> Iterator[tuple[str, str]]:
    """Each command as it is typed ("shoplm-audit data check"), with what its `--help` prints."""
    from typer.main import get_command

    from shoplm_audit.cli import app

    def walk(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
        context = command.context_class(
            command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
        )
        yield context.command_path, command.get_help(context)
        for verb, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, verb, context)

    return walk(get_command(app), "shoplm-audit", None)


def cli() -> str:
    """docs/cli.md."""
    head = "# The command line\n\nWritten by `make docs` from the program's own `--help`; do not edit.\n"
    return head + "".join(f"\n## `{name}`\n\n```text\n{text}\n```\n" for name, text in helps())


def schema() -> str:
    """docs/result.schema.json."""
    from shoplm_audit.results import Result

    return json.dumps(Result.model_json_schema(), ensure_ascii=False, indent=1) + "\n"


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli, "result.schema.json": schema}


def stale(folder: Path = HERE) -> list[str]:
    """The pages in a folder that are missing or differ from what the code says now."""
    return [
        name
        for name, page in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != page()
    ]


def main(arguments: list[str]) -> int:
    """Writes or checks; returns the exit code."""
    if arguments == ["--check"]:
        old = stale()
        for name in old:
            sys.stderr.write(f"docs/{name} is not what the code says: run `make docs`.\n")
        return 1 if old else 0
    if arguments:
        sys.stderr.write(f"{' '.join(arguments)}: there is only --check.\n")
        return 2
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
