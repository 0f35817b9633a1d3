"""Texts to token ids: prompts with the model's chat template, and pairs with the places of the tokens to score.

Encoder(tokenizer).scored([Pair("Colour: ", "navy")]) -> [Encoded(ids=(51, 380, 7, 912), scored=(3,))]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoplm_audit.errors import ModelError, Unsupported
from shoplm_audit.types import Generate, Pair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Encoded", "Encoder", "places", "windows"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, the places among them that are scored, and the ids that an encoder reads, where there is one."""

    ids: tuple[int, ...]
    scored: tuple[int, ...]
    source: tuple[int, ...] = ()


class Encoder:
    """A tokenizer with the two questions a model has for it.

    A beginning-of-text token is put before a text where the tokenizer itself does so, and before a text whose first
    token is to be scored, because nothing else would stand before it; the end-of-text token takes its place where a
    tokenizer has no other.

    Attributes:
        prefix: the tokens that stand before every text.
        frame: the special tokens that the tokenizer itself puts before and after a text ([CLS] and [SEP] of BERT).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        if not tokenizer.is_fast:
            raise ModelError("The tokenizer has no tokenizer.json. Save it with AutoTokenizer(...).save_pretrained.")
        self.tokenizer = tokenizer
        begin = tokenizer.bos_token_id
        self._start = tokenizer.eos_token_id if begin is None else begin
        self.prefix: list[int] = [begin] if begin is not None and tokenizer("")["input_ids"][:1] == [begin] else []
        framed = tokenizer("a", return_special_tokens_mask=True)
        ids, special = framed["input_ids"], framed["special_tokens_mask"]
        inside = [place for place, added in enumerate(special) if not added] or [len(ids)]
        self.frame: tuple[list[int], list[int]] = (ids[: inside[0]], ids[inside[-1] + 1 :])

    def rendered(self, request: Generate) -> str:
        """The text a model reads: the chat template's, or the prompt as it stands for `raw` and base models."""
        if request.raw or not self.tokenizer.chat_template:
            return request.prompt.flat
        import jinja2

        turns = [{"role": turn.role, "content": turn.text} for turn in request.prompt.turns]
        system = request.prompt.system
        try:
            return self._chat([{"role": "system", "content": system}, *turns] if system else turns)
        except jinja2.TemplateError as fault:
            if not system:
                raise ModelError(f"The chat template refuses the prompt ({fault}). Ask with raw=True.") from fault
        # Some templates know no system role: the first turn then opens with it.
        first = turns[0] | {"content": f"{system}\n\n{turns[0]['content']}"}
        return self._chat([first, *turns[1:]])

    def _chat(self, messages: list[dict[str, str]]) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def prompts(self, requests: Sequence[Generate]) -> list[list[int]]:
        """The ids of each prompt. A chat template writes its own beginning-of-text token, so none is added to it."""
        encoded = self._encode([self.rendered(request) for request in requests])["input_ids"]
        bare = [request.raw or not self.tokenizer.chat_template for request in requests]
        return [
            (self.prefix if plain else []) + ids or [self.begin()] for plain, ids in zip(bare, encoded, strict=True)
        ]

    def scored(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """The ids of context + continuation as one text, and the places of the tokens that begin in the continuation.

        A token begins at its first character that is no white space. White space at the end of the context belongs
        to the continuation. All tokens that share a character (bytes of a Chinese one) count. Tokens after the last
        scored one are left out: no causal model reads them.
        """
        rows = []
        for row in self.placed(pairs):
            own = bool(self.prefix) and list(row.ids[: len(self.prefix)]) == self.prefix  # a chat template wrote it
            prefix = [] if own else self.prefix or ([self.begin()] if row.scored[:1] == (0,) else [])
            last = row.scored[-1] + 1 if row.scored else 0
            rows.append(Encoded((*prefix, *row.ids[:last]), tuple(place + len(prefix) for place in row.scored)))
        return rows

    def placed(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """The same ids and places of the whole text, with nothing put before it."""
        encoded = self._encode([pair.context + pair.continuation for pair in pairs], return_offsets_mapping=True)
        rows = zip(pairs, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [Encoded(tuple(ids), tuple(places(pair, offsets))) for pair, ids, offsets in rows]

    def length(self, text: str) -> int:
        """How many tokens a text is."""
        return len(self.ids(text)) + len(self.prefix)

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, with nothing put before or after it."""
        ids: list[int] = self._encode([text])["input_ids"][0]
        return ids

    def decoded(self, ids: Sequence[int]) -> str:
        """The text of new tokens, without special ones."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode(self, texts: list[str], **options: bool) -> Any:
        # verbose=False: a text longer than the context is windowed or cut here, and counted.
        return self.tokenizer(texts, add_special_tokens=False, verbose=False, **options)

    @property
    def filler(self) -> int:
        """The token that fills up the shorter rows of a batch; nobody looks at it."""
        tokenizer = self.tokenizer
        return next((one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id) if one is not None), 0)

    def begin(self) -> int:
        """The token that begins a text where something has to."""
        if self._start is None:
            raise Unsupported("The tokenizer has neither a beginning- nor an end-of-text token to begin a text with.")
        return int(self._start)


def places(pair: Pair, offsets: list[tuple[int, int]]) -> Iterator[int]:
    """Which of the tokens that stand at these characters of context + continuation are scored."""
    text = pair.context + pair.continuation
    start, end = len(pair.context.rstrip()), len(text)
    if pair.span is not None:
        start, end = (len(pair.context) + edge for edge in pair.span)
    for place, (begin, stop) in enumerate(offsets):
        if start <= _first_character(text, begin, stop) < end:
            yield place


def _first_character(text: str, begin: int, end: int) -> int:
    # Tokenizers differ in whether the space before a word lies in its offsets; a token of white space alone stays put.
    piece = text[begin:end]
    return begin + (len(piece) - len(piece.lstrip()) if piece.strip() else 0)


def windows(encoded: Encoded, context: int) -> Iterator[Encoded]:
    """Cuts a text to a model's context so that every scored token is scored once.

    A continuation that fits keeps the last tokens before it. One that does not is read in windows that overlap by
    half, so each token still has at least half a context before it, where the text has that much.
    """
    size, done = len(encoded.ids), 0
    if encoded.scored and size > context and size - encoded.scored[0] >= context:
        half = max(1, context // 2)
        ends = [*range(max(encoded.scored[0] + half, context), size, half), size]
    else:
        ends = [size]
    for end in ends:
        places = [place for place in encoded.scored if done <= place < end]
        start = max(0, end - context)
        if places:
            yield Encoded(encoded.ids[start:end], tuple(place - start for place in places))
        done = end
