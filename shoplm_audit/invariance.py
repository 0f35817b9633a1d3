"""How much the batch in which a request is computed moves its answer, on this machine and with this model.

    measured(load_model("checkpoints/reviews")).per_token -> 1.9e-06     # nats, at most

The same requests are put alone, together, in another order and among strangers; every answer is held against the one
that was given alone.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from shoplm_audit.calibration import on_a_server
from shoplm_audit.data.shopworld import exchanges, shopworld
from shoplm_audit.errors import ConfigError, Unsupported
from shoplm_audit.models.asking import Asked, Failed, Reply, attempted
from shoplm_audit.prompts import Prompts
from shoplm_audit.types import Floats, Generate, Model, Pair, Prompt, Sampling, TokenScores

__all__ = ["Invariance", "measured"]

# The most that a token may move, in nats. Float32 as the engine promises it; coarser numbers by their spacing at
# logits of about 16: 2**-3 in bfloat16, 2**-6 in float16, and as much again for what layers add.
_BOUNDS = {"float32": 1e-3, "bfloat16": 0.25, "float16": 0.03}
_CHANGED = {"float32": 1 / 8}  # the most greedy texts that may change; elsewhere half: ties are common there
_USUAL = 2e-4  # nats in the sum of a text: what float32 is known to do
_PAIRS, _PROMPTS, _WRITTEN = 40, 16, 24  # the last in tokens
_LENGTHS = (12, 40, 120, 1200)  # characters that are kept of a text, by turns: batches have to pad


@dataclass(frozen=True, slots=True)
class Invariance:
    """What was measured, and with what; numbers are finite.

    Attributes:
        setting: versions, device, threads and type of number, in words.
        dtype: the type of number; "" where the model does not say.
        pairs, tokens: how much was scored; 0 where the model gives no log-probabilities.
        per_token, per_text: the most that the log-probability of a token, and the sum of a text, moved, in nats.
        widest: the arrangement in which a token moved most, in words; "" where none did.
        broken: requests that failed, whose numbers are not finite, or whose number of tokens changed.
        prompts, changed: how many greedy texts were written, and how many came out otherwise in some arrangement.
    """

    setting: str
    dtype: str
    pairs: int
    tokens: int
    per_token: float
    per_text: float
    widest: str
    broken: int
    prompts: int
    changed: int

    @property
    def bound(self) -> float:
        """The most that a token may move, in nats."""
        return _BOUNDS.get(self.dtype, _BOUNDS["float32"])

    @property
    def healthy(self) -> bool:
        """Whether everything was answered, and no answer moved by more than rounding explains."""
        return not self.broken and self.per_token <= self.bound and not self._texts_move

    @property
    def _texts_move(self) -> bool:
        return self.changed > _CHANGED.get(self.dtype or "float32", 1 / 2) * self.prompts

    def lines(self) -> Iterator[str]:
        """The findings and what they mean, in words."""
        yield f"measured with {self.setting}"
        if self.pairs:
            where = f", most {self.widest}" if self.widest else ""
            yield (
                f"scores: a batch moves a token by at most {self.per_token:.1e} nats and the sum of a text by at most "
                f"{self.per_text:.1e} ({self.pairs} pairs, {self.tokens:,} tokens{where})"
            )
        else:
            yield "scores: this model gives no log-probabilities"
        if self.prompts:
            share = 100 * self.changed / self.prompts
            yield f"texts: {self.changed} of {self.prompts} greedy texts change with their batch ({share:.1f} %)"
        else:
            yield "texts: this model writes none"
        yield from self._meaning()

    def _meaning(self) -> Iterator[str]:
        if self.broken:
            yield (
                f"BROKEN: {self.broken} requests fail, give log-probabilities that are not numbers, or another number "
                "of tokens in another batch. No gate on this model can be relied on."
            )
        if self.per_token > self.bound:
            yield (
                f"BROKEN: {self.bound:g} nats is the most that rounding moves a token in {self.dtype or 'float32'}. "
                "More means that padding is read or positions are shifted: answers depend on what is asked beside them."
            )
        elif self.pairs and not self.broken:
            size = "no more than the" if self.per_text <= _USUAL else "more than the"
            yield (
                f"For gates: a sum moves by {size} {_USUAL:g} nats that are usual in float32, and a mean over cases by "
                f"at most {self.per_text:.1e}: only a gate whose interval ends this near to its limit could turn."
            )
        if self._texts_move:
            yield "BROKEN: so many greedy texts do not change by rounding: prompts are padded or placed wrongly."
        elif self.changed:
            yield "A greedy text changes where two tokens are equally probable up to these last bits."
        yield (
            "The same audit asks the same batches, interrupted or not, and gets the same numbers; other cases, limits, "
            "devices or thread counts make other batches or other last bits."
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What request `number` gave alone, and in an arrangement."""

    words: str
    number: int
    alone: Reply
    now: Reply


def measured(model: Model, seed: int = 0) -> Invariance:
    """Measures a model on seeded texts of ShopWorld, English and Chinese, short and long.

    Raises:
        ConfigError: the model is a server, whose batches nobody here forms, or was recorded.
        Unsupported: the model neither scores nor writes.
        AuditError: the machine failed.
    """
    if on_a_server(model) or getattr(model, "answers_by_case", False):
        raise ConfigError(f'"{model.name}" is not computed here: its batches cannot be varied. Name a local model.')
    (pairs, asks), (other_pairs, other_asks) = _requests(seed, 0), _requests(seed, 1)
    scores = _put(model, pairs, other_pairs, seed)
    texts = _put(model, asks, other_asks, seed)
    if isinstance(scores, Unsupported) and isinstance(texts, Unsupported):
        raise Unsupported(f"{scores}; {texts}")
    tokens, per_token, per_text, widest, unscored = _moved(scores)
    unwritten, changed = _changed(texts)
    dtype = str(getattr(model, "dtype", ""))
    return Invariance(
        setting=_setting(model, dtype),
        dtype=dtype,
        pairs=0 if isinstance(scores, Unsupported) else len(pairs),
        tokens=tokens,
        per_token=per_token,
        per_text=per_text,
        widest=widest,
        broken=unscored + unwritten,
        prompts=0 if isinstance(texts, Unsupported) else len(asks),
        changed=changed,
    )


def _requests(seed: int, part: int) -> tuple[list[Pair], list[Generate]]:
    """Pairs and prompts, mixed in task, language and length; the two parts have nothing in common."""
    everything = list(exchanges(shopworld(seed, products=16, customers=8)))
    chosen = np.random.default_rng([seed, 7]).permutation(len(everything))[part::2]
    prompts, pairs, asks = Prompts(), [], []
    for number, place in enumerate(chosen[:_PAIRS]):
        one = everything[place]
        prompt = prompts.render(one.task, one.language, one.variables)
        kept = _LENGTHS[number % len(_LENGTHS)]
        pairs.append(Pair(prompt.flat[-kept:], f" {one.answer[:kept]}"))
        asks.append(Generate(Prompt(prompt.flat[-kept:]), Sampling(_WRITTEN)))
    return pairs, asks[:_PROMPTS]


def _put(model: Model, requests: Asked, strangers: Asked, seed: int) -> Unsupported | list[_Seen]:
    """Every request alone, and then in each arrangement, beside what it gave alone."""
    both = [*requests, *strangers]
    try:
        alone = [attempted(model, cast(Asked, [request]))[0] for request in requests]
        seen = []
        for words, order in _arrangements(len(requests), len(both), seed):
            replies = attempted(model, cast(Asked, [both[i] for i in order]))
            seen += [_Seen(words, i, alone[i], one) for i, one in zip(order, replies, strict=True) if i < len(alone)]
    except Unsupported as fault:
        return fault
    return seen


def _arrangements(count: int, both: int, seed: int) -> Iterator[tuple[str, list[int]]]:
    """Ways to ask the first `count` of `both` requests; the rest are strangers."""
    rng = np.random.default_rng([seed, 11])
    yield "in the batches of the plan", list(range(count))
    yield "in another order", rng.permutation(count).tolist()
    yield "among strangers", rng.permutation(both).tolist()
    yield "without some neighbours", [i for i in range(count) if i % 3]


def _moved(seen: Unsupported | list[_Seen]) -> tuple[int, float, float, str, int]:
    """(Tokens, the most that a token and that a sum moved, in which arrangement, broken pairs)."""
    per_token, per_text, widest = 0.0, 0.0, ""
    tokens: dict[int, int] = {}
    broken = set()
    for one in [] if isinstance(seen, Unsupported) else seen:
        alone, now = one.alone, one.now
        if not (isinstance(alone, TokenScores) and isinstance(now, TokenScores)) or not _comparable(alone, now):
            broken.add(one.number)
            continue
        tokens[one.number] = alone.log_prob.size
        difference: Floats = now.log_prob - alone.log_prob
        per_text = max(per_text, abs(math.fsum(difference)))
        if (most := float(np.abs(difference).max(initial=0.0))) > per_token:
            per_token, widest = most, one.words
    return sum(tokens.values()), per_token, per_text, widest, len(broken)


def _comparable(first: TokenScores, second: TokenScores) -> bool:
    both = (first.log_prob, second.log_prob)
    return first.log_prob.shape == second.log_prob.shape and all(np.isfinite(one).all() for one in both)


def _changed(seen: Unsupported | list[_Seen]) -> tuple[int, int]:
    """(Prompts that were not answered, prompts whose text changes in some arrangement)."""
    rows = [] if isinstance(seen, Unsupported) else seen
    broken = {one.number for one in rows if isinstance(one.alone, Failed) or isinstance(one.now, Failed)}
    return len(broken), len({one.number for one in rows if one.alone != one.now} - broken)


def _setting(model: Model, dtype: str) -> str:
    parts = [f"python {platform.python_version()}"]
    device: Any = getattr(model, "device", "")
    if device:
        import torch

        parts += [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers")]
        where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
        parts += [f"on {device} ({where})", dtype]
    return ", ".join(part for part in parts if part)
