"""Progress of long work: a bar on a terminal, a plain line now and then in CI."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["Watched"]

_EVERY = 5.0  # seconds between plain lines


class Watched:
    """Shows how an audit or a training moves on, on standard error; use it in a `with`.

    It has the members of `audit.Progress`, and `at` for work that counts its own steps.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._title, self._total, self._done = "", 0, 0
        self._last = self._began = time.monotonic()

    def __enter__(self) -> Watched:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
            from rich.progress import TimeRemainingColumn as Left

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), Left())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, suite: str, probe: str, cases: int) -> None:
        """A probe of an audit begins."""
        self._show(f"{suite}.{probe} ({cases} cases)", 0)

    def asking(self, requests: int) -> None:
        """A round of requests begins."""
        self._total += requests
        if self._bar is not None:
            self._bar.update(self._task, total=self._total)

    def answered(self, requests: int) -> None:
        """Requests were answered."""
        self._move(self._done + requests)

    def at(self, title: str, done: int, total: int, note: str = "") -> None:
        """Work that counts its own steps stands at `done` of `total`."""
        if title != self._title:
            self._show(title, total)
        self._move(done, note)

    def _show(self, title: str, total: int) -> None:
        self._title, self._total, self._done, self._began = title, total, 0, time.monotonic()
        if self._bar is None:
            print(title, file=sys.stderr, flush=True)  # noqa: T201
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total or None)

    def _move(self, done: int, note: str = "") -> None:
        self._done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{self._title} {note}".strip())
            return
        now = time.monotonic()
        if now - self._last >= _EVERY or (done and done == self._total and note):
            self._last = now
            left = (now - self._began) / done * (self._total - done) if done else 0.0
            print(f"  {done}/{self._total} {note} about {left:.0f} s left", file=sys.stderr, flush=True)  # noqa: T201
