"""A function of the user's own as a model: whatever stands behind it, with its retrieval and its filters.

def answer(prompts: list[str]) -> list[str]: ...        # --model python:my_shop.chat:answer
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shoplm_audit.errors import ModelError, Unsupported
from shoplm_audit.models.decoding import before_stop
from shoplm_audit.models.fingerprint import digest_of
from shoplm_audit.record import TrainingRecord
from shoplm_audit.types import LOG_PROB, Columns, Generate, Pair, Sampling, TokenScores

__all__ = ["OWN_DECODING", "CallableModel", "imported"]

# What only the decoding of a model in this process can give, in words.
OWN_DECODING: Mapping[str, str] = {
    "beams": "beams",
    "banned": "banned phrases",
    "required": "required phrases",
    "mark": "a watermark (reviews then need --unmarked)",
}


class CallableModel:
    """A function from prompts to texts.

    It reads `Prompt.flat` and draws as it likes: of the sampling only `n` (the prompt is asked n times) and `stop`
    are honoured. Its content cannot be verified, so its fingerprint is "".

    Args:
        function: from a list of prompts to as many texts, in order.
        name: how reports call it.
        source: a digest of the file it stands in, or "": of the code it calls elsewhere it says nothing.
    """

    batch_sensitive = False
    fingerprint = ""
    parameters: int | None = None
    record: TrainingRecord | None = None

    def __init__(self, function: Callable[[list[str]], list[str]], name: str, source: str = "") -> None:
        self.name, self.source = name, source
        self._function = function

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One text per request and sample, in order.

        Raises:
            ModelError: the function returned something else than one string per prompt.
            Unsupported: beams, banned or required phrases or a watermark, which only a model's own decoding can give.
        """
        usual = Sampling()
        for name, what in OWN_DECODING.items():
            if any(getattr(request.sampling, name) != getattr(usual, name) for request in requests):
                raise Unsupported(
                    f'the python function "{self.name}" draws its texts by itself: it cannot have {what}.'
                )
        asked = [request for request in requests for _ in range(request.sampling.n)]
        try:
            texts = self._function([request.prompt.flat for request in asked])
        except SystemExit as end:
            raise ModelError(
                f'python function "{self.name}": it ended the program (sys.exit). It has to return its texts.'
            ) from end
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ModelError(f'python function "{self.name}": it has to return a list of strings.')
        if len(texts) != len(asked):
            raise ModelError(f'python function "{self.name}": {len(texts)} texts came back for {len(asked)} prompts.')
        return [before_stop(text, request.sampling.stop) for text, request in zip(texts, asked, strict=True)]

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """Not possible: a function from texts to texts has no log-probabilities."""
        raise Unsupported("A python function has no log-probabilities.")


def imported(place: str) -> CallableModel:
    """The function at "module:function", importable from the current folder.

    Raises:
        ModelError: no such module or function; a fault inside the module keeps its traceback.
    """
    module_name, _, function_name = place.partition(":")
    if not module_name or not function_name:
        raise ModelError(f'"python:{place}" is no function. Write python:module:function.')
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except SystemExit as end:
        raise ModelError(
            f'The module "{module_name}" ends the program when it is imported (python:{place}). Guard that by '
            'if __name__ == "__main__".'
        ) from end
    except ModuleNotFoundError as fault:
        if fault.name and not f"{module_name}.".startswith(f"{fault.name}."):
            raise  # the module is there; something that it imports is not
        raise ModelError(f'No module "{module_name}" here or among the installed packages (python:{place}).') from fault
    finally:
        sys.path.remove(os.getcwd())
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ModelError(f'The module "{module_name}" has no function "{function_name}" (python:{place}).')
    file = Path(getattr(module, "__file__", None) or "")
    source = digest_of(file) if file.is_file() else ""
    return CallableModel(function, name=f"{module_name}.{function_name}", source=source)
