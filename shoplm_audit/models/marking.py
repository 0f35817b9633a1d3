"""Watermarks as transformers writes them, by a checkpoint's own configuration; and finding any mark in texts.

    Finder(encode, decode, shipped_mark(network).reader()).find("The kettle ...") -> Detection(p_value=3.1e-09, ...)

A mark is read in the text alone, encoded anew as a platform would, without the prompt; what repeats counts once, also
over several texts of one account.

Letters in shapes: V words of the vocabulary, S tokens, L tournaments.

References: Kirchenbauer et al., arXiv 2301.10226 and 2306.04634; Dathathri et al., Nature 634, 818 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.errors import ConfigError
from shoplm_audit.models.decoding import folded
from shoplm_audit.models.watermark import Detection, Marker, kgw_detection, synthid_detection
from shoplm_audit.types import Floats, Mark

__all__ = [
    "Finder",
    "Gram",
    "MarkReader",
    "OwnReader",
    "ShippedMark",
    "any_mark_read",
    "config_of",
    "give_mark",
    "shipped_mark",
]

Gram: TypeAlias = tuple[int, ...]

_LISTS_KEPT = 4096  # green lists, a bit for each word
# What a text whose tokens are not given back by its tokenizer is told.
_NO_ROUND_TRIP = "undefined: the tokenizer does not give the text back, so its tokens are not those that were written"


class MarkReader(Protocol):
    """What a key makes of tokens.

    Attributes:
        kind: "kgw" counts green tokens; "synthid" has a value for each tournament.
        chance: how often a value is 1 in a text that was written without the key.
    """

    @property
    def kind(self) -> Literal["kgw", "synthid"]:
        """Which test the values are for."""

    @property
    def chance(self) -> float:
        """How often a value is 1 by chance."""

    def grams(self, ids: Sequence[int]) -> Iterator[tuple[Gram, Gram]]:
        """For each token after a full context what may count once only, and the tokens that decide its values."""

    def values(self, grams: Sequence[Gram]) -> Floats:
        """The values, 0 or 1, of each gram, (S, L); L is 1 for kgw."""


# Finding ------------------------------------------------------------------------------------------


class Finder:
    """Finds a mark in texts.

    It is no dataclass and is its own copy, so that whatever makes plain data of it has its name and never the key.

    Args:
        encode, decode: of the tokenizer of the model that may have written them.
        reader: kind and key of the mark.
    """

    def __init__(
        self, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str], reader: MarkReader
    ) -> None:
        self.encode, self.decode, self.reader = encode, decode, reader

    def __repr__(self) -> str:
        return f"Finder({self.reader.kind})"

    def __deepcopy__(self, _: object) -> Finder:
        return self

    def find(self, text: str) -> Detection:
        """What the key finds in one text; nan with the `reason` where that is undefined."""
        return self.evidence([text])[0]

    def evidence(self, texts: Sequence[str]) -> list[Detection]:
        """What each text adds to those before it: a phrase that one account writes twice is one piece of evidence."""
        seen: set[Gram] = set()
        found = []
        for text in texts:
            ids = self.encode(text)
            # White space, letter case and the form of characters are what tokenizers commonly normalise.
            if "".join(folded(self.decode(ids)).split()) != "".join(folded(text).split()):
                found.append(Detection(math.nan, math.nan, 0, reason=_NO_ROUND_TRIP))
                continue
            fresh: dict[Gram, Gram] = {}
            for once, gram in self.reader.grams(ids):
                if once not in seen:
                    fresh.setdefault(once, gram)
            seen |= fresh.keys()
            found.append(self._detection(self.reader.values(list(fresh.values()))))
        return found

    def _detection(self, values: Floats) -> Detection:
        if self.reader.kind == "kgw":
            return kgw_detection(int(values.sum()), len(values), self.reader.chance)
        return synthid_detection(values)


@dataclass(frozen=True, slots=True)
class OwnReader:
    """Reads a mark of `models.watermark`, whose key is the shop's."""

    mark: Mark

    @property
    def kind(self) -> Literal["kgw", "synthid"]:
        """Which test the values are for."""
        return self.mark.kind

    @property
    def chance(self) -> float:
        """How often a value is 1 by chance."""
        return self.mark.gamma if self.mark.kind == "kgw" else 0.5

    def grams(self, ids: Sequence[int]) -> Iterator[tuple[Gram, Gram]]:
        """Each token after a full context; of synthid a context counts once."""
        yield from _grams(ids, Marker(self.mark).context, by_context=self.mark.kind == "synthid")

    def values(self, grams: Sequence[Gram]) -> Floats:
        """The values, 0 or 1, of each gram, (S, L)."""
        marker = Marker(self.mark)
        if self.mark.kind == "kgw":
            return np.array([marker.green(gram[:-1], np.array(gram[-1:])) for gram in grams], float).reshape(-1, 1)
        rows = [marker.values(gram[:-1], np.array(gram[-1:]))[0] for gram in grams]
        return np.array(rows).reshape(-1, self.mark.depth)


def _grams(ids: Sequence[int], context: int, *, by_context: bool) -> Iterator[tuple[Gram, Gram]]:
    for end in range(context, len(ids)):
        gram = tuple(ids[end - context : end + 1])
        yield (gram[:-1] if by_context else gram), gram


# The marks of transformers ------------------------------------------------------------------------


def config_of(settings: Mapping[str, Any]) -> Any:
    """The configuration of transformers that plain data says, as `generation_config.json` holds it.

    Raises:
        ConfigError: no such configuration, or a value that it does not take.
    """
    from transformers import SynthIDTextWatermarkingConfig, WatermarkingConfig

    kind = SynthIDTextWatermarkingConfig if "ngram_len" in settings or "keys" in settings else WatermarkingConfig
    try:
        config = kind(**settings)
        config.validate()
        if kind is WatermarkingConfig:
            fine = 0 < config.greenlist_ratio < 1
        else:
            fine = config.ngram_len >= 2 and bool(config.keys) and not config.debug_mode
        if not fine:
            raise ValueError("greenlist_ratio lies between 0 and 1, ngram_len is at least 2, debug_mode is off")
    except (TypeError, ValueError) as fault:
        raise ConfigError(
            f"watermarking_config ({', '.join(settings)}): not one of transformers ({fault}). Give what "
            "WatermarkingConfig or SynthIDTextWatermarkingConfig of transformers takes."
        ) from fault
    return config


@contextmanager
def any_mark_read() -> Iterator[None]:
    """While it is open, transformers reads a SynthID configuration of a checkpoint too, and not kgw's alone.

    Version 5.23 writes both into `generation_config.json` and takes whatever it reads there for kgw's.
    """
    from transformers import WatermarkingConfig

    def read(_: Any, settings: Mapping[str, Any], /, **__: Any) -> Any:
        return config_of(settings)

    WatermarkingConfig.from_dict = classmethod(read)
    try:
        yield
    finally:
        del WatermarkingConfig.from_dict  # the inherited one is there again


def give_mark(model: Any, settings: Mapping[str, Any]) -> None:
    """Has a model write a mark that its checkpoint does not name, as the shop that runs it does.

    Args:
        model: on this machine, before it is asked anything.
        settings: what a configuration of transformers takes, or of `Mark` ("kind", "key", ...).

    Raises:
        ConfigError: no such mark, or a model that somebody else runs.
    """
    if not hasattr(model, "watermark"):
        raise ConfigError(f'"{model.name}" cannot be given a watermark: only models on this machine that write can.')
    if "kind" not in settings:
        model.watermark = ShippedMark(config_of(settings), model.network)
        return
    try:
        model.watermark = Mark(**settings)
    except TypeError as fault:
        known = "kind, key, gamma, delta and depth"
        raise ConfigError(f"watermark ({', '.join(settings)}): it takes {known}.") from fault


def shipped_mark(network: Any) -> ShippedMark | None:
    """The mark that a checkpoint's own `generation_config` asks for, or None.

    Raises:
        ConfigError: it is none that transformers would write.
    """
    config = getattr(getattr(network, "generation_config", None), "watermarking_config", None)
    return None if config is None else ShippedMark(config_of(config.to_dict()), network)


class ShippedMark:
    """A mark by a configuration of transformers.

    The lists of kgw are drawn by the device's own generator: they are the same on one type of device only, so a text
    is to be read on the type on which it was written.

    Args:
        config: `WatermarkingConfig` or `SynthIDTextWatermarkingConfig`.
        network: the model that writes, on its device.
    """

    def __init__(self, config: Any, network: Any) -> None:
        self.config = config
        self.kind: Literal["kgw", "synthid"] = "synthid" if hasattr(config, "ngram_len") else "kgw"
        self.words = int(network.config.get_text_config().vocab_size)
        self._network = network
        self._reader: _KgwReader | _SynthidReader | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain data."""
        settings: dict[str, Any] = self.config.to_dict()
        return settings

    def reader(self) -> _KgwReader | _SynthidReader:
        """What its key makes of tokens."""
        if self._reader is None:
            made = self.config.construct_processor(self.words, self._network.device)
            self._reader = _KgwReader(made, self.config) if self.kind == "kgw" else _SynthidReader(made, self.config)
        return self._reader

    def marker(self, before: Sequence[int]) -> ShippedMarker:
        """The mark at work in a text behind these tokens of a prompt."""
        return ShippedMarker(self.reader(), tuple(before))


class ShippedMarker:
    """A mark of transformers at work in one text, as the last processor of its `generate` is.

    The context of kgw reaches into the prompt; that of SynthID begins with zeros in the prompt's place.
    """

    def __init__(self, reader: _KgwReader | _SynthidReader, before: Gram) -> None:
        self._reader, self._before = reader, before

    def raised(self, scores: Floats, written: Sequence[int]) -> Floats:
        """The scores (V,) of the next token, by which the best is chosen, made of the network's own."""
        if isinstance(self._reader, _KgwReader):
            return self._reader.raised(scores, (*self._before, *written))
        highest = scores.max()
        probability = np.exp(scores - highest)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self._reader.chosen(probability / probability.sum(), written)))

    def apply(self, probability: Floats, written: Sequence[int]) -> Floats:
        """The distribution (V,) from which the next token is drawn, made of what truncation left."""
        if isinstance(self._reader, _SynthidReader):
            return self._reader.chosen(probability / probability.sum(), written)
        with np.errstate(divide="ignore"):
            raised = self._reader.raised(np.log(probability), (*self._before, *written))
        raised = np.exp(raised - raised.max())
        return np.asarray(raised / raised.sum())


class _KgwReader:
    kind: Literal["kgw"] = "kgw"

    def __init__(self, processor: Any, config: Any) -> None:
        self._processor = processor
        self._self = config.seeding_scheme == "selfhash"
        self._width = int(config.context_width)
        self.chance = float(config.greenlist_ratio)
        # Texts come back to the same few tokens, and a list of a real vocabulary takes a millisecond.
        self._packed = lru_cache(_LISTS_KEPT)(self._list)

    def grams(self, ids: Sequence[int]) -> Iterator[tuple[Gram, Gram]]:
        """Each token with what decides whether it is green: the token before it, or the window that it ends itself.

        Of lefthash the detector of transformers tells repeats by the whole window before a token, though the last token
        of it alone decides: what comes behind two windows is one coin, so here it counts once.
        """
        for end in range(self._width - self._self, len(ids)):
            gram = tuple(ids[end - self._width + 1 : end + 1] if self._self else ids[end - 1 : end + 1])
            yield gram, gram

    def values(self, grams: Sequence[Gram]) -> Floats:
        """1 for each green token, (S, 1)."""
        return np.array([self._green(gram) for gram in grams], float).reshape(-1, 1)

    def raised(self, scores: Floats, before: Sequence[int]) -> Floats:
        """The scores (V,) with those of green tokens raised."""
        import torch

        if len(before) < self._width:
            return scores
        device = self._processor.fixed_table.device
        ids = torch.tensor([list(before[-self._width :])], device=device)
        return np.asarray(self._processor(ids, torch.from_numpy(scores)[None].to(device))[0].cpu().numpy())

    def _green(self, gram: Gram) -> bool:
        token = gram[-1]
        packed = self._packed(gram if self._self else gram[:1])
        return token < 8 * len(packed) and bool(packed[token >> 3] >> (7 - (token & 7)) & 1)

    def _list(self, prefix: Gram) -> NDArray[np.uint8]:
        import torch

        ids = torch.tensor(prefix, device=self._processor.fixed_table.device)
        green = np.zeros(self._processor.vocab_size, dtype=np.bool_)
        green[self._processor._get_greenlist_ids(ids).cpu().numpy()] = True
        return np.packbits(green)


_STEP, _MULTIPLIER = np.int64(1), np.int64(6364136223846793005)  # of the newlib generator, which hashes n-grams


class _SynthidReader:
    kind: Literal["synthid"] = "synthid"
    chance = 0.5

    def __init__(self, processor: Any, config: Any) -> None:
        self._table = processor.sampling_table.cpu().numpy().astype(np.float64)
        self._keys = np.array(config.keys, dtype=np.int64)
        self._context = int(config.ngram_len) - 1
        self._history = int(config.context_history_size)
        self._skips = self._context if config.skip_first_ngram_calls else 0

    def grams(self, ids: Sequence[int]) -> Iterator[tuple[Gram, Gram]]:
        """Each token after a full context, of which each counts once."""
        yield from _grams(ids, self._context, by_context=True)

    def values(self, grams: Sequence[Gram]) -> Floats:
        """The values of each gram by tournament, (S, L)."""
        if not grams:
            return np.empty((0, len(self._keys)))
        ids = np.array(grams, dtype=np.int64)
        return self._drawn(_hashed(np.ones(len(ids), dtype=np.int64), ids.T))

    def chosen(self, probability: Floats, written: Sequence[int]) -> Floats:
        """The distribution (V,) after all tournaments; after a context that came before, the one that it was."""
        place = len(written)
        padded = (*[0] * self._context, *written)
        context = padded[place : place + self._context]
        first = max(self._skips, place - self._history)
        if place < self._skips or any(padded[i : i + self._context] == context for i in range(first, place)):
            return probability
        likely = np.flatnonzero(probability)
        hashed = _hashed(np.ones(1, dtype=np.int64), np.array(context, dtype=np.int64)[:, None])
        kept = probability[likely]
        for won in self._drawn(_hashed(hashed, likely[None])).T:
            kept = kept * (1 + won - kept @ won)
        marked = np.zeros_like(probability)
        marked[likely] = kept
        return marked

    def _drawn(self, hashed: NDArray[np.int64]) -> Floats:
        keyed = _hashed(hashed[:, None], self._keys[None, None])
        return np.asarray(self._table[keyed % len(self._table)])


def _hashed(start: NDArray[np.int64], data: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hash of each column of `data`, one row after the other, whole numbers of 64 bits that run over."""
    with np.errstate(over="ignore"):
        for row in data:
            start = (start + row) * _MULTIPLIER + _STEP
    return start
