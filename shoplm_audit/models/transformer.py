"""The decoder of "Attention is all you need" (Vaswani et al., arXiv 1706.03762), formula by formula in plain PyTorch.

    TransformerForCausalLM(TransformerConfig(vocab_size=2048))(torch.tensor([[5, 7, 2]])).logits   # (1, 3, 2048)

Read it from top to bottom: a token's place, what it looks at, many heads, a layer, the stack, and words again.

It differs from the paper in three things. There is no encoder, so every layer attends to its own text only. Layer norm
stands before each sub-layer and once more at the end ("pre-norm"), not after each addition ("post-norm"): what a layer
adds then reaches the end unchanged, and deep models learn without a long warm-up (Xiong et al., arXiv 2002.04745; with
two layers both learned alike on our texts, with eight post-norm stood still). And nothing is dropped out, so that a
record has one gradient and not a random one.

B rows, T tokens that are read now, S tokens seen so far (those of the cache, then the T), V words of the vocabulary,
D width, H heads, d = D / H width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

__all__ = [
    "FeedForward",
    "Layer",
    "MultiHeadAttention",
    "TransformerConfig",
    "TransformerForCausalLM",
    "TransformerModel",
    "attention",
    "causal_mask",
    "sinusoids",
]


class TransformerConfig(PreTrainedConfig):  # type: ignore[misc]
    """The size of a Transformer, under the names that transformers uses.

    `max_position_embeddings` is the context it was trained for; sines and cosines themselves never end.
    `initializer_range` is the standard deviation of new weights; None is 1 / sqrt(width), so that a product of them
    with a state of that width is about as large as the state.
    """

    model_type = "shoplm-transformer"

    vocab_size: int = 2048
    hidden_size: int = 96
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 384
    max_position_embeddings: int = 160
    initializer_range: float | None = None
    layer_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **others: Any) -> None:
        if self.initializer_range is None:
            self.initializer_range = self.hidden_size**-0.5
        super().__post_init__(**others)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """PE(p, 2i) = sin(p / 10000^(2i / D)) and PE(p, 2i + 1) = cos(p / 10000^(2i / D)), in float32.

    Moving on by k tokens turns each pair (sin, cos) by an angle that depends on k alone, so a head can learn to look
    "k tokens back" with one matrix.

    Args:
        positions: of tokens in their texts, (B, T).
        width: D.
    """
    rates = 10_000 ** (-torch.arange(0, width, 2, device=positions.device) / width)  # (D / 2,)
    angles = positions[..., None] * rates  # (B, T, D / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]  # (B, T, D)


def causal_mask(kept: Tensor, read: int) -> Tensor:
    """Which of the S tokens seen so far each of the last `read` may look at: the kept ones before it, and itself.

    That a token may always look at itself leaves no row of a softmax empty, whatever the padding.

    Args:
        kept: what is text (1) and what is padding (0), (B, S).
        read: T.

    Returns:
        True where it may look, (B, 1, T, S).
    """
    place = torch.arange(kept.shape[-1], device=kept.device)
    reader = place[len(place) - read :, None]
    return ((place < reader) & kept.bool()[:, None, None, :]) | (place == reader)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V: each query's mean of the values, weighted by how well their keys fit it.

    The product of two random vectors of d features grows as sqrt(d); without the division the softmax would be so
    sharp that hardly a gradient came through it.

    Args:
        query: Q, (B, H, T, d).
        key: K, (B, H, S, d).
        value: V, (B, H, S, d).
        mask: True where a query may look, (B, 1, T, S) or what broadcasts to it.
    """
    scores: Tensor = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ value  # (B, H, T, d)


class MultiHeadAttention(nn.Module):
    """Concat(head_1, ..., head_H) W_O, where head_i = attention(X W_Q_i, X W_K_i, X W_V_i).

    One head is one mean over the text; several look at several things at once. All heads' W_Q stand side by side in
    `query`, and so on, so that one product serves them all. It is computed by PyTorch's fused
    `scaled_dot_product_attention`, or with `attn_implementation="eager"` by `attention` above: they are the same.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (
            nn.Linear(config.hidden_size, config.hidden_size, bias=False) for _ in range(4)
        )
        self.config, self.heads, self.layer = config, config.num_attention_heads, layer

    def forward(self, states: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        """States of T tokens, (B, T, D), after each has looked where the mask (B, 1, T, S) lets it."""
        query, key, value = (
            part(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T, d)
            for part in (self.query, self.key, self.value)
        )
        if cache is not None:
            key, value = cache.update(key, value, self.layer)  # (B, H, S, d)
        fused = self.config._attn_implementation == "sdpa"
        attend: Callable[..., Tensor] = functional.scaled_dot_product_attention if fused else attention
        heads = attend(query, key, value, mask)  # (B, H, T, d)
        joined: Tensor = self.output(heads.transpose(1, 2).flatten(2))  # (B, T, D)
        return joined


class FeedForward(nn.Module):
    """max(0, x W_1 + b_1) W_2 + b_2, at each token by itself."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.hidden_size, config.intermediate_size)
        self.narrow = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        narrowed: Tensor = self.narrow(self.widen(states).relu())
        return narrowed


class Layer(nn.Module):
    """Attention, then feed-forward: each reads a normalised copy of the states and adds what it found to them."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config, layer)
        self.feed_forward = FeedForward(config)
        self.before_attention = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.before_feed_forward = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        looked = states + self.attention(self.before_attention(states), mask, cache)
        thought: Tensor = looked + self.feed_forward(self.before_feed_forward(looked))
        return thought


class _PreTrainedTransformer(PreTrainedModel):  # type: ignore[misc]
    """What transformers asks of a family of models: loading, saving, new weights."""

    config_class = TransformerConfig
    base_model_prefix = "model"
    _input_embed_layer = "words"
    _supports_sdpa = True
    _no_split_modules = ("Layer",)


class TransformerModel(_PreTrainedTransformer):
    """From token ids to states: words and places are added, then the layers follow each other."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.final = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> Any:
        """The states of each token; padding may stand on either side.

        Args:
            input_ids: the tokens that are read now, (B, T).
            attention_mask: 1 for text and 0 for padding of all tokens so far, (B, S); None is all text; or True where
                a token may look, (B, 1, T, S).
            position_ids: of the tokens read now, (B, T); None counts those of the text.
            past_key_values: the cache of what was read before; it is written to.
            use_cache: whether to begin a cache where none is given.
        """
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        rows, read = input_ids.shape
        seen = read + (past_key_values.get_seq_length() if past_key_values is not None else 0)
        kept = attention_mask if attention_mask is not None else input_ids.new_ones(rows, seen)  # (B, S)
        if position_ids is None:
            position_ids = (kept.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -read:]  # (B, T)
        words = self.words(input_ids) * self.config.hidden_size**0.5
        states = words + sinusoids(position_ids, self.config.hidden_size).to(words.dtype)  # (B, T, D)
        # A mask of its own for each token is taken as it is.
        mask = kept if kept.dim() == 4 else causal_mask(kept, read)
        for layer in self.layers:
            states = layer(states, mask, past_key_values)
        return BaseModelOutputWithPast(last_hidden_state=self.final(states), past_key_values=past_key_values)


class TransformerForCausalLM(_PreTrainedTransformer, GenerationMixin):  # type: ignore[misc]
    """From states to the next word: a product with a table of words, as a rule the very table that read them."""

    _tied_weights_keys = {"lm_head.weight": "model.words.weight"}  # noqa: RUF012 - transformers reads it from the class

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.model = TransformerModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> Any:
        """Logits of the token after each, (B, T, V), or after the last `logits_to_keep`; the rest as the model's."""
        output = self.model(input_ids, attention_mask, position_ids, past_key_values, use_cache)
        logits = self.lm_head(output.last_hidden_state[:, -logits_to_keep:])  # (B, T, V)
        return CausalLMOutputWithPast(logits=logits, past_key_values=output.past_key_values)


AutoConfig.register(TransformerConfig.model_type, TransformerConfig, exist_ok=True)
AutoModel.register(TransformerConfig, TransformerModel, exist_ok=True)
AutoModelForCausalLM.register(TransformerConfig, TransformerForCausalLM, exist_ok=True)
