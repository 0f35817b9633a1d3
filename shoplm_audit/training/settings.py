"""How a checkpoint is trained: plain values, checked before anything is loaded.

TrainSettings(steps=500, batch=32, base="checkpoints/public", epsilon=3.0, unit="user")
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from shoplm_audit.data.secrets import FAMILIES
from shoplm_audit.errors import ConfigError

__all__ = ["SHAPES", "Objective", "TrainSettings"]

Objective = Literal["causal", "masked", "seq2seq", "classify"]
SHAPES: Mapping[str, tuple[str, ...]] = {
    "causal": ("gpt2", "transformer", "llama"),
    "masked": ("bert",),
    "seq2seq": ("t5", "bart"),
    "classify": ("bert",),
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a checkpoint is trained.

    Args:
        objective: "causal": each token from those before it; "masked": hidden tokens, and whether the second sentence
            follows the first; "seq2seq": an answer from its source; "classify": a label.
        base: a checkpoint's folder to go on from; "" starts from random weights in the shape below.
        shape: of a new model, one of `SHAPES[objective]`; "" is the first of them.
        layers, heads, width, vocabulary: the size of a new model; an encoder-decoder has `layers` on either side.
        context: tokens of a row (of either side); what is longer is cut and counted. 0 is 160 for a new model, and what
            a base reads, 512 at most.
        adapter: "lora" trains low-rank additions of `rank` (arXiv 2106.09685) and freezes the base; "" trains it all.
        pack: texts of one unit stand one after another in a row, up to the context; units never share one (causal).
        steps: optimiser steps, fixed beforehand.
        batch: rows of a step. In a private run its private part counts units: those expected, not those drawn.
        private_share: share of the private part in each step's gradient (and rows), where there is both kinds of text.
        learning_rate, warmup, weight_decay: AdamW; `warmup` is the share of steps before the cosine decay.
        gradient_norm: the whole gradient is scaled down to this (after the noise, in a private run).
        micro_batch: the most rows that are computed at once; it changes memory, not the result.
        precision: "bf16" computes forward and backward in bfloat16; weights, sums, norms and noise stay in float32.
        save_every: steps between two saved states, from which a run that was cut off goes on; 0 is a twentieth.
        patience: saved states without a lower held-out loss before the run stops early; 0 never stops.
        shard: weights are divided over the processes of `torchrun` (FSDP); plain training only.
        seed: of weights, batches and, with `key`, coins and canaries; never of noise or of a private run's sampling.
        coin_seed: of the coins alone; None is `seed`. Shadow models differ in nothing else: the same data, the same
            canaries, other coins.
        epsilon: the budget of a private run; None trains plainly.
        delta: None is 1 / (10 N).
        unit: whose presence is hidden, and what is put in or left out as a whole.
        clip_norm: the norm to which one unit's gradient is clipped in a private run.
        searched: how many earlier runs on this private data chose these settings; said in the guarantee, not covered.
        records_per_user: the most records of a user that enter a step of a private run, drawn afresh each time.
        coin: "fair" puts each private unit in or leaves it out by a fair coin of its own; "split" leaves out `holdout`.
        holdout: the probability with which "split" leaves a unit out.
        canaries: how many invented secrets are put in, each by its own fair coin.
        canary_copies: how often one is written, dealt out evenly and whatever the coins say: within one invented user,
            or as so many units where the unit is the record (such a canary tells of a group's privacy, not a unit's).
        canary_families: what kinds of secret they are, dealt out likewise.
        member_limit: the most units whose texts are kept in the secrets; `coin_seed` does not change which, so that
            shadow models know the same ones. With "split", the coins of `seed` leave half of them out, where there are
            as many; those of another `coin_seed` leave out their usual share of the same units.
        siblings: further private models are trained on the same people, as in a frontier; said in the guarantee.
        key: is mixed into all coins and canaries, is kept with the secrets and never published. Without one ("": tests,
            benchmarks, the demo) whoever reads the published seed can work out every canary and every coin.

    Raises:
        ConfigError: a value out of its range, named.
    """

    objective: Objective = "causal"
    base: str = ""
    shape: str = ""
    layers: int = 2
    heads: int = 4
    width: int = 96
    context: int = 0
    vocabulary: int = 2048
    adapter: Literal["", "lora"] = ""
    rank: int = 8
    pack: bool = False
    steps: int = 500
    batch: int = 32
    private_share: float = 0.5
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    micro_batch: int = 16
    precision: Literal["fp32", "bf16"] = "fp32"
    save_every: int = 0
    patience: int = 0
    shard: bool = False
    seed: int = 0
    coin_seed: int | None = None
    epsilon: float | None = None
    delta: float | None = None
    unit: Literal["record", "user"] = "record"
    clip_norm: float = 0.5
    searched: int = 0
    records_per_user: int = 4
    coin: Literal["fair", "split"] = "split"
    holdout: float = 0.1
    canaries: int = 0
    canary_copies: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    canary_families: tuple[str, ...] = FAMILIES
    member_limit: int = 2000
    siblings: bool = False
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        counts = ["layers", "heads", "steps", "batch", "micro_batch", "rank", "records_per_user"]
        shapes = SHAPES.get(self.objective, ())
        checks = [(name, getattr(self, name) >= 1, "at least 1") for name in counts]
        checks += [
            ("objective", self.objective in SHAPES, f"one of {', '.join(SHAPES)}"),
            ("shape", self.shape in ("", *shapes), f"one of {', '.join(shapes)}, with objective {self.objective}"),
            ("shape", not (self.shape and self.base), "left out where a base gives it"),
            ("adapter", self.adapter in ("", "lora"), '"lora" or left out'),
            ("adapter", not self.adapter or bool(self.base), "left out without a base: there is nothing to adapt"),
            ("pack", not self.pack or self.objective == "causal", "off where the objective is not causal"),
            ("context", self.context == 0 or self.context >= 4, "4 or more, or 0 for the usual"),
            ("canaries", not self.canaries or self.objective != "classify", "0 with labels: a secret has none"),
            ("precision", self.precision in ("fp32", "bf16"), '"fp32" or "bf16"'),
            ("save_every", self.save_every >= 0, "0 or more"),
            ("patience", self.patience >= 0, "0 or more"),
            ("shard", not self.shard or self.epsilon is None, "off in a private run: a unit's norm needs all weights"),
            ("searched", self.searched >= 0, "0 or more"),
            ("width", self.width >= 1 and self.width % self.heads == 0, f"a multiple of heads ({self.heads})"),
            ("private_share", 0 <= self.private_share <= 1, "between 0 and 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("warmup", 0 <= self.warmup < 1, "at least 0 and below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("gradient_norm", self.gradient_norm > 0, "above 0"),
            ("clip_norm", 0 < self.clip_norm < math.inf, "above 0"),
            ("epsilon", self.epsilon is None or 0 < self.epsilon < math.inf, "above 0; leave it out to train plainly"),
            ("delta", self.delta is None or 0 < self.delta < 1, "between 0 and 1"),
            ("delta", self.delta is None or self.epsilon is not None, "given with epsilon only"),
            ("unit", self.unit in ("record", "user"), '"record" or "user"'),
            ("coin", self.coin in ("fair", "split"), '"fair" or "split"'),
            ("holdout", 0 <= self.holdout < 1, "at least 0 and below 1"),
            ("canaries", self.canaries >= 0, "0 or more"),
            ("canary_copies", min(self.canary_copies, default=0) >= 1, "one number or more, each at least 1"),
            (
                "canary_families",
                bool(self.canary_families) and set(self.canary_families) <= set(FAMILIES),
                f"some of {', '.join(FAMILIES)}",
            ),
            ("member_limit", self.member_limit >= 0, "0 or more"),
        ]
        faults = [f'{name} is "{getattr(self, name)}": it has to be {want}.' for name, fine, want in checks if not fine]
        if faults:
            raise ConfigError(" ".join(faults))

    @property
    def publishable(self) -> dict[str, Any]:
        """All settings but the key as JSON has them, with the base's name in place of its path."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        del plain["key"]
        return plain | {"base": Path(self.base).name}
