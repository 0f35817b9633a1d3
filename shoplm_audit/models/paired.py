"""The tokens of a text by two causal models at once: how probable one finds them, and what the other expected of it.

    paired(performer, observer).score(pairs, Columns.EXPECTED)[0].expected_log_prob    # sum_v q_v log p_v, (T,) nats

p is the model that scores and q the one beside it; they need one vocabulary. Sums over the vocabulary are in float64.

Letters in shapes: B rows, W tokens of the longest row, M places, T scored tokens, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from shoplm_audit.errors import Unsupported
from shoplm_audit.models.asking import Asked
from shoplm_audit.models.batching import Parts, batches, halving
from shoplm_audit.models.encoding import Encoded, windows
from shoplm_audit.models.guard import Guarded
from shoplm_audit.models.local import LocalModel
from shoplm_audit.models.remembered import Remembered
from shoplm_audit.types import LOG_PROB, Columns, Floats, Generate, Model, Pair, TokenScores

if TYPE_CHECKING:
    import torch

__all__ = ["Paired", "paired"]

# Logits of one model in one forward pass, and in one chunk of sums in float64.
_PASS, _CHUNK = 1 << 24, 1 << 21
_ROWS = 256


def paired(scoring: Model, beside: Model) -> Model:
    """Two models as one that scores, with answers in the store of the first where it has one.

    Guards are taken off: they filter texts, and nothing is written here.

    Raises:
        Unsupported: one is no causal model of this process, or their vocabularies differ.
    """
    both = Paired(_bare(scoring), _bare(beside))
    if not isinstance(scoring, Remembered):
        return both
    run = " beside ".join(str(getattr(one, "identity", {}).get("weights", one.name)) for one in (scoring, beside))
    return Remembered(both, scoring.store, run=run, on_batch=scoring.on_batch)


def _bare(model: Model) -> LocalModel:
    while isinstance(model, Remembered | Guarded):
        model = model.model
    if isinstance(model, LocalModel) and not model.network.config.is_encoder_decoder:
        return model
    raise Unsupported(
        f'two models are asked together only where this process holds both and both are causal: "{model.name}" is not. '
        "Name folders, hub names or GGUF files, and leave out --engine ray."
    )


class Paired:
    """Two causal models of one vocabulary; a `Model` that scores and writes nothing.

    The log-probability and the rank are p's; the expected log-probability and its variance are those of log p under q,
    and `after` is the expectation once more, at the place after the last token. A batch does not change them beyond
    what rounding does in the two networks.

    Args:
        scoring: p.
        beside: q.

    Raises:
        Unsupported: the vocabularies differ.
    """

    batch_sensitive = True
    record = None

    def __init__(self, scoring: LocalModel, beside: LocalModel) -> None:
        _check_vocabulary(scoring, beside)
        self._both = (scoring, beside)
        self._context = min(scoring.context, beside.context)
        self._words = int(scoring.network.config.get_text_config().vocab_size)
        self._parts = Parts()
        self.name = f"{scoring.name} beside {beside.name}"
        prints = [model.fingerprint for model in self._both]
        self.fingerprint = " beside ".join(prints) if all(prints) else ""
        self.device, self.device_name = scoring.device, scoring.device_name
        self.dtype = " beside ".join(dict.fromkeys(model.dtype for model in self._both))

    def plan(self, requests: Asked) -> list[list[int]]:
        """The batches of the scoring model."""
        return self._both[0].plan(requests)

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """Raises `Unsupported`."""
        raise Unsupported(f"{self.name}: two models score texts together and write none")

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of each pair, in order.

        Raises:
            Unsupported: the two tokenizers split one of the texts differently, or a column is of one model only.
        """
        scores: dict[int, TokenScores] = {}
        for batch in self.plan(pairs):
            scores.update(zip(batch, self.compute([pairs[i] for i in batch], columns), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def compute(self, batch: Asked, columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of one batch of the plan.

        Raises:
            Unsupported: as `score`; a text is to be written.
        """
        pairs = [request for request in batch if isinstance(request, Pair)]
        if len(pairs) < len(batch):
            raise Unsupported(f"{self.name}: two models score texts together and write none")
        if columns & Columns.SPIKE:
            raise Unsupported(f"{self.name}: the spike entropy is a number of one model: ask that one")
        rows, owners = [], []
        for owner, encoded in enumerate(self._encoded(pairs)):
            cut = list(windows(encoded, self._context))
            rows += cut
            owners += [owner] * len(cut)
        groups = batches([len(row.ids) for row in rows], max(1, _PASS // self._words), _ROWS)
        found: dict[int, Floats] = {}
        for group in groups:
            found.update(zip(group, halving(self._tables, [rows[i] for i in group], self._parts), strict=True))
        tables: list[list[Floats]] = [[] for _ in pairs]
        for i, owner in enumerate(owners):
            tables[owner].append(found[i])
        return [_scores(parts, columns) for parts in tables]

    def _encoded(self, pairs: Sequence[Pair]) -> Iterator[Encoded]:
        mine, theirs = (model.encoder.scored(pairs) for model in self._both)
        for pair, first, second in zip(pairs, mine, theirs, strict=True):
            if first != second:
                text = (pair.context + pair.continuation)[:40]
                raise Unsupported(
                    f'{self.name}: they split the text "{text}" into other tokens ({list(first.ids[:6])} ..., '
                    f"{list(second.ids[:6])} ...). Give two models of one tokenizer: a base and its instructed model."
                )
            yield first

    def _tables(self, rows: Sequence[Encoded]) -> list[Floats]:
        """Log p, its mean and variance under q, and the rank: of each scored token and after the last, (T + 1, 4)."""
        import torch

        places = [np.append(np.array(row.scored) - 1, row.scored[-1]) for row in rows]
        targets = torch.from_numpy(np.concatenate([[row.ids[i] for i in (*row.scored, 0)] for row in rows]))
        lines = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(those) for those in places]))
        at = torch.from_numpy(np.concatenate(places))
        table = np.empty((len(at), 4))
        with torch.inference_mode():
            scoring, beside = (_logits(model, rows, lines, at) for model in self._both)
            step = max(1, _CHUNK // self._words)
            for first in range(0, len(at), step):
                part = slice(first, first + step)
                wanted = targets[part].to(scoring.device)
                table[part] = _columns(scoring[part], beside[part].to(scoring.device), wanted).cpu().numpy()
        return np.split(table, np.cumsum([len(those) for those in places])[:-1])


def _check_vocabulary(scoring: LocalModel, beside: LocalModel) -> None:
    first, second = (model.encoder.tokenizer.get_vocab() for model in (scoring, beside))
    differing = sorted(word for word in first.keys() | second.keys() if first.get(word) != second.get(word))
    if differing:
        raise Unsupported(
            f'"{scoring.name}" and "{beside.name}" have different vocabularies: {len(differing)} tokens stand in one '
            f'only or under another number, as "{differing[0]}". Give two models of one tokenizer.'
        )
    sizes = [int(model.network.config.get_text_config().vocab_size) for model in (scoring, beside)]
    if sizes[0] != sizes[1]:
        raise Unsupported(
            f'"{scoring.name}" gives {sizes[0]} logits and "{beside.name}" {sizes[1]}: their vocabularies are padded '
            "differently and cannot be compared word by word."
        )


def _logits(model: LocalModel, rows: Sequence[Encoded], lines: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The network's own logits at (lines, places), (M, V)."""
    import torch

    # Padded on the right, where no causal model looks.
    ids = torch.full((len(rows), max(len(row.ids) for row in rows)), model.encoder.filler)
    mask = torch.zeros_like(ids)
    for line, row in enumerate(rows):
        ids[line, : len(row.ids)] = torch.tensor(row.ids)
        mask[line, : len(row.ids)] = 1
    device = model.network.device
    answer = model.network(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
    logits: torch.Tensor = answer.logits[lines.to(device), places.to(device)]
    return logits


def _columns(scoring: torch.Tensor, beside: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(M, 4) float64 from the logits of p and q (M, V) and the tokens that stand there (M,)."""
    import torch

    log_p, q = scoring.double().log_softmax(-1), beside.double().softmax(-1)
    own = log_p.gather(-1, targets[:, None])
    rank = (log_p > own).sum(-1) + 1
    log_p = log_p.masked_fill(q == 0, 0.0)  # what q never says adds nothing, also where p never says it
    mean = (q * log_p).sum(-1, keepdim=True)
    variance = (q * (log_p - mean).square()).sum(-1)
    return torch.stack([own[:, 0], mean[:, 0], variance, rank.double()], dim=-1)


def _scores(tables: Sequence[Floats], columns: Columns) -> TokenScores:
    """The windows of one text as its scores; the place after each window but the last one is the next one's first."""
    table = np.concatenate([part[:-1] for part in tables] or [np.empty((0, 4))])
    return TokenScores(
        log_prob=table[:, 0],
        expected_log_prob=table[:, 1] if columns & Columns.EXPECTED else None,
        log_prob_variance=table[:, 2] if columns & Columns.VARIANCE else None,
        rank=table[:, 3].astype(np.int64) if columns & Columns.RANK else None,
        after=float(tables[-1][-1, 1]) if tables and columns & Columns.EXPECTED else None,
    )
