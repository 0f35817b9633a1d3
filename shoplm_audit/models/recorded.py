"""Answers that were made elsewhere and are read from a file, one to a line.

{"case": "p17/en", "sample": 0, "text": "A navy kettle of 1.7 litres."}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoplm_audit.errors import DataError, Unsupported
from shoplm_audit.models.fingerprint import digest_of
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Generate, Pair, TokenScores

__all__ = ["RecordedModel"]

_TOLD = 10


class RecordedModel:
    """A model whose answers are known by case and sample; whoever drives it asks `answer`, not `generate`.

    Args:
        path: a JSONL file with `case`, `text` and `sample` (0 where it is missing); other keys are ignored.

    Raises:
        DataError: rows that are no answers, or a case and sample that are answered twice; by line.

    Attributes:
        answers_by_case: says that `answer` has to be asked.
    """

    answers_by_case = True
    batch_sensitive = False
    parameters: int | None = None
    record: TrainingRecord | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path
        self._texts = _read(path)
        self.fingerprint = digest_of(path)

    def answer(self, case: str, sample: int = 0) -> str:
        """The recorded text.

        Raises:
            LookupError: there is none for this case and sample.
        """
        try:
            return self._texts[case, sample]
        except KeyError:
            raise LookupError(f'{self._path}: no answer to case "{case}", sample {sample}.') from None

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """Not possible: a request does not say which case it belongs to."""
        raise Unsupported("Recorded answers are found by case, not by prompt.")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """Not possible: recorded answers have no log-probabilities."""
        raise Unsupported("Recorded answers have no log-probabilities.")


def _read(path: Path) -> dict[tuple[str, int], str]:
    texts: dict[tuple[str, int], str] = {}
    lines: dict[tuple[str, int], int] = {}
    faults = []
    try:
        # Split at newlines only: str.splitlines would also break at U+2028 inside a text.
        rows = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as fault:
        raise DataError(f"{path}: no such file. Give a JSONL file of recorded answers.") from fault
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: not UTF-8 (byte {fault.start}). Save it as UTF-8.") from fault
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror}).") from fault
    for number, line in enumerate(rows, start=1):
        if not line.strip():
            continue
        try:
            key, text = _answer(json.loads(line))
        except ValueError as fault:
            faults.append(f"{path}:{number}: not an answer: {fault}.")
            continue
        if key in texts:
            faults.append(
                f'{path}:{number}: case "{key[0]}", sample {key[1]} is answered already on line {lines[key]}.'
            )
        else:
            texts[key], lines[key] = text, number
    if faults:
        more = [f"... and {len(faults) - _TOLD} more."] if len(faults) > _TOLD else []
        raise DataError("\n".join(faults[:_TOLD] + more))
    if not texts:
        raise DataError(f'{path}: holds no answers. One a line: {{"case": "...", "sample": 0, "text": "..."}}.')
    return texts


def _answer(row: Any) -> tuple[tuple[str, int], str]:
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")
    case, sample, text = row.get("case"), row.get("sample", 0), row.get("text")
    if not isinstance(case, str):
        raise ValueError('"case" is missing or no string')
    if not isinstance(sample, int) or isinstance(sample, bool) or sample < 0:
        raise ValueError(f'"sample" is {json.dumps(sample)}, not a number from 0')
    if not isinstance(text, str):
        raise ValueError('"text" is missing or no string')
    return (case, sample), text
