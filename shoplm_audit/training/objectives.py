"""What is learned from a text: each objective turns examples into rows, and rows into batches.

Causal(tokenizer, context=160).rows([Example("Wash it cold.")])  -> [Row(tokens=(88, 7, 0), targets=(7, 0, -100))]

causal     each token from those before it; of a prompt with its answer, the answer alone
masked     hidden tokens, and whether the second sentence follows the first (Devlin et al., arXiv 1810.04805)
seq2seq    an answer from its source
classify   a label
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from shoplm_audit.errors import ConfigError
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.rows import UNLEARNED, Batch, Row, padded

if TYPE_CHECKING:
    import torch

__all__ = ["Causal", "Classify", "Masked", "Objective", "SequenceToSequence", "labels_of", "objective_of"]

_HIDDEN, _AS_MASK, _AS_ANY = 0.15, 0.8, 0.9  # shares of BERT: hidden; of these shown as a mask, or as any token
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；\n])")


class Objective(Protocol):
    """What the training loop needs to know of an objective."""

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example, cut to the context and marked where it was."""

    def drawn(self, rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
        """The rows as one step sees them: with places hidden afresh, where the objective hides any."""

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Rows as tensors."""

    def invented(self, count: int, longest: int, rng: np.random.Generator) -> list[Row]:
        """Made-up rows of unequal lengths with repeated tokens, to check gradients on."""


@dataclass(frozen=True, slots=True)
class Causal:
    """Each token from those before it; what an example calls read only is read and not learned."""

    tokenizer: Any
    context: int

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example, with the end token."""
        return [self._row(example) for example in examples]

    def _row(self, example: Example) -> Row:
        coded = self.tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        tokens = [*coded["input_ids"], self.tokenizer.eos_token_id]
        # Characters of several tokens share one offset, so that an answer is learned from its first token on. The
        # joining space belongs to the answer, as it does where models are scored.
        starts = [start for start, _ in coded["offset_mapping"]] + [len(example.text)]
        targets = [
            token if example.learns(start) else UNLEARNED for token, start in zip(tokens[1:], starts[1:], strict=True)
        ]
        cut = len(tokens) > self.context
        # The last place of a row says nothing: what it would have to say was cut off, or there is nothing more.
        return Row(tuple(tokens[: self.context]), (*targets[: self.context - 1], UNLEARNED), truncated=cut)

    def packed(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of one unit one after another, as many as the context holds; each ends in its end token."""
        filled: list[Row] = []
        for row in rows:
            last = filled[-1] if filled else None
            if last is not None and len(last.tokens) + len(row.tokens) <= self.context:
                cut = last.truncated or row.truncated
                filled[-1] = Row(last.tokens + row.tokens, last.targets + row.targets, truncated=cut)
            else:
                filled.append(row)
        return filled

    def drawn(self, rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
        """The rows themselves."""
        return list(rows)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Tokens (B, T) and a mask of ones: padding stands on the right, where no earlier token looks."""
        import torch

        ids = padded([row.tokens for row in rows], self.tokenizer.pad_token_id)
        # All ones, so that attention takes its faster causal path; without any mask transformers warns of padding.
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return Batch(inputs, padded([row.targets for row in rows], UNLEARNED))

    def invented(self, count: int, longest: int, rng: np.random.Generator) -> list[Row]:
        """Rows of few different tokens; the last one has nothing to learn."""
        made = [_few_tokens(rng, length) for length in _lengths(count, longest, rng)]
        rows = [Row(tokens, (*tokens[1:], UNLEARNED)) for tokens in made]
        return [*rows[:-1], Row(made[-1], (UNLEARNED,) * len(made[-1]))]


@dataclass(frozen=True, slots=True)
class Masked:
    """Hidden tokens, and whether the second half of a text follows the first.

    Args:
        tokenizer: with `[CLS]`, `[SEP]` and `[MASK]` or others of their kind.
        context: the most tokens of a row.
        next_sentence: whether the model has a head for that question.
        strangers: texts whose second half may stand in for the right one. Of a private run these are public: a row that
            held a part of another's record would be two units in one.
    """

    tokenizer: Any
    context: int
    next_sentence: bool = False
    strangers: tuple[str, ...] = ()

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example, in two halves where the model compares them; nothing is hidden yet."""
        return [self._row(example.text) for example in examples]

    def _row(self, text: str) -> Row:
        first, second = _halves(text) if self.next_sentence else (text, "")
        label = UNLEARNED
        if second:
            # By the text alone, so that a record's row does not depend on the others.
            toss = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
            label = toss % 2 if self.strangers else 0
            if label:
                second = _halves(self.strangers[(toss >> 1) % len(self.strangers)])[1] or second[::-1]
        pair = (first, second) if second else (first,)
        options = {"truncation": "longest_first", "max_length": self.context, "return_token_type_ids": True}
        coded = self.tokenizer(*pair, verbose=False, **options)
        types = coded["token_type_ids"]
        cut = len(self.tokenizer(*pair, verbose=False)["input_ids"]) > self.context
        place = types.index(1) if 1 in types else 0
        return Row(tuple(coded["input_ids"]), second=place, label=label if place else UNLEARNED, truncated=cut)

    def drawn(self, rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
        """Hides a seventh of each row's tokens, at least one, as BERT does."""
        return [self._hidden(row, rng) for row in rows]

    def _hidden(self, row: Row, rng: np.random.Generator) -> Row:
        special = set(self.tokenizer.all_special_ids)
        places = [place for place, token in enumerate(row.tokens) if token not in special]
        if not places:
            return replace(row, targets=(UNLEARNED,) * len(row.tokens))
        chosen = rng.choice(places, max(1, round(_HIDDEN * len(places))), replace=False)
        tokens, targets = list(row.tokens), [UNLEARNED] * len(row.tokens)
        for place in chosen:
            targets[place], toss = tokens[place], rng.random()
            if toss < _AS_MASK:
                tokens[place] = self.tokenizer.mask_token_id
            elif toss < _AS_ANY:
                tokens[place] = int(rng.integers(len(self.tokenizer)))
        return replace(row, tokens=tuple(tokens), targets=tuple(targets))

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Tokens, attention mask and, where there are two sentences, which of them a token is of."""
        inputs = _attended(self.tokenizer, rows)
        labels = _numbers([row.label for row in rows]) if self.next_sentence else None
        return Batch(inputs, padded([row.targets for row in rows], UNLEARNED), labels)

    def invented(self, count: int, longest: int, rng: np.random.Generator) -> list[Row]:
        """Rows with a hidden token each; the last one has neither target nor label."""
        rows = []
        for length in _lengths(count, longest, rng):
            tokens = _few_tokens(rng, length)
            targets = (tokens[0], *(UNLEARNED for _ in tokens[1:]))
            rows.append(Row((self.tokenizer.mask_token_id, *tokens[1:]), targets, length // 2, int(rng.integers(2))))
        return [*rows[:-1], replace(rows[-1], targets=(UNLEARNED,) * len(rows[-1].tokens), label=UNLEARNED)]


@dataclass(frozen=True, slots=True)
class SequenceToSequence:
    """An answer from its source: the one goes into the encoder, the other comes out of the decoder.

    Args:
        tokenizer: of both sides.
        context: the most tokens of either side.
        start: the token that the decoder begins with.
    """

    tokenizer: Any
    context: int
    start: int

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example, source and answer each with the end token; a source keeps it when it is cut."""
        begin = self.tokenizer("")["input_ids"][:1] == [self.tokenizer.bos_token_id]
        prefix = [self.tokenizer.bos_token_id] if begin else []
        rows = []
        for example in examples:
            source, answer = example.text[: example.answer_start], example.text[example.answer_start :].lstrip()
            read, said = ([*prefix, *self._ids(text)] for text in (source, answer))
            cut = max(len(read), len(said)) >= self.context
            end = self.tokenizer.eos_token_id
            rows.append(Row((*read[: self.context - 1], end), (*said, end)[: self.context], truncated=cut))
        return rows

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def drawn(self, rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
        """The rows themselves."""
        return list(rows)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Sources with their mask, answers one place later as the decoder reads them, answers as targets."""
        fill = self.tokenizer.pad_token_id
        inputs = _attended(self.tokenizer, rows, types=False)
        read = [(self.start, *(fill if token == UNLEARNED else token for token in row.targets[:-1])) for row in rows]
        inputs["decoder_input_ids"] = padded(read, fill)
        return Batch(inputs, padded([row.targets for row in rows], UNLEARNED))

    def invented(self, count: int, longest: int, rng: np.random.Generator) -> list[Row]:
        """Sources and answers of unequal lengths; the last has nothing to learn."""
        rows = [
            Row(_few_tokens(rng, length), _few_tokens(rng, max(2, length - 1)))
            for length in _lengths(count, longest, rng)
        ]
        return [*rows[:-1], replace(rows[-1], targets=(UNLEARNED,) * len(rows[-1].targets))]


@dataclass(frozen=True, slots=True)
class Classify:
    """A label from a text.

    Args:
        tokenizer: its special tokens are added as it would itself.
        context: the most tokens of a row.
        labels: the names of the labels, in the order of their numbers.
    """

    tokenizer: Any
    context: int
    labels: tuple[str, ...]

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example.

        Raises:
            ConfigError: a label that the model does not know.
        """
        if strange := sorted({example.label for example in examples} - set(self.labels)):
            raise ConfigError(f'Label "{strange[0]}" is not one of the model\'s: {", ".join(self.labels)}.')
        rows = []
        for example in examples:
            tokens = self.tokenizer(example.text, verbose=False)["input_ids"]
            kept = self.tokenizer(example.text, truncation=True, max_length=self.context, verbose=False)["input_ids"]
            cut = len(tokens) > self.context
            rows.append(Row(tuple(kept), label=self.labels.index(example.label), truncated=cut))
        return rows

    def drawn(self, rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
        """The rows themselves."""
        return list(rows)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Tokens with their mask, and labels."""
        return Batch(_attended(self.tokenizer, rows), None, _numbers([row.label for row in rows]))

    def invented(self, count: int, longest: int, rng: np.random.Generator) -> list[Row]:
        """Texts with a label each; the last has none."""
        rows = [
            Row(_few_tokens(rng, length), label=int(rng.integers(len(self.labels))))
            for length in _lengths(count, longest, rng)
        ]
        return [*rows[:-1], replace(rows[-1], label=UNLEARNED)]


def labels_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The labels of examples in the order of the alphabet.

    Raises:
        ConfigError: fewer than two.
    """
    labels = tuple(sorted({example.label for example in examples}))
    if len(labels) < 2:
        raise ConfigError(
            f"There is {len(labels)} label in the data: a classifier tells at least two apart. Give labelled records."
        )
    return labels


def objective_of(name: str, tokenizer: Any, model: Any, context: int, strangers: Sequence[str]) -> Objective:
    """The objective of a name for a model, its tokenizer and, for masked ones, texts that may stand in."""
    if name == "masked":
        return Masked(tokenizer, context, type(model).__name__.endswith("ForPreTraining"), tuple(strangers))
    if name == "seq2seq":
        return SequenceToSequence(tokenizer, context, int(model.config.decoder_start_token_id))
    if name == "classify":
        return Classify(tokenizer, context, tuple(model.config.id2label[i] for i in range(model.config.num_labels)))
    return Causal(tokenizer, context)


def _halves(text: str) -> tuple[str, str]:
    """A text in two at the sentence's end that is nearest to its middle; the second is empty where there is none."""
    ends = [found.end() for found in _SENTENCE.finditer(text) if 0 < found.end() < len(text)]
    if not ends:
        return text, ""
    middle = min(ends, key=lambda end: abs(end - len(text) / 2))
    return text[:middle].rstrip(), text[middle:].lstrip()


def _attended(tokenizer: Any, rows: Sequence[Row], types: bool = True) -> dict[str, torch.Tensor]:
    import torch

    inputs = {
        "input_ids": padded([row.tokens for row in rows], tokenizer.pad_token_id),
        "attention_mask": padded([(1,) * len(row.tokens) for row in rows], 0),
    }
    if types and "token_type_ids" in tokenizer.model_input_names:
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        for i, row in enumerate(rows):
            if row.second:
                inputs["token_type_ids"][i, row.second : len(row.tokens)] = 1
    return inputs


def _numbers(values: Sequence[int]) -> torch.Tensor:
    import torch

    return torch.tensor(values, dtype=torch.long)


def _lengths(count: int, longest: int, rng: np.random.Generator) -> list[int]:
    return [longest, *(int(n) for n in rng.integers(min(3, longest), longest + 1, count - 1))]


def _few_tokens(rng: np.random.Generator, length: int) -> tuple[int, ...]:
    # Numbers from 5 on: low ones are special tokens, and a padding row's gradient is zero by definition.
    return tuple(int(token) for token in rng.integers(5, 10, length))
