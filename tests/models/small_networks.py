"""Two small random networks, in the shape of GPT-2 and of Llama, with a tokenizer trained on a few sentences."""

from __future__ import annotations

from typing import Any

_EN = [
    "The kettle is navy and holds 1.7 litres.",
    "Is this review positive or negative?",
    "I would buy it again.",
    "The strap broke after two days.",
    "Write a product description that states only these facts.",
]
_ZH = [
    "这款水壶是藏青色的，容量一升七。",
    "这条评价是正面还是负面？",
    "质量很好，下次还会再买。",
    "包装破损，客服态度差。",
]
TEXTS = tuple(f"{text} {n}" for n in range(12) for text in _EN + _ZH)
CHAT = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def make_tokenizer(*, begin: bool, chat: str | None = None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|begin|>"] if begin else ["<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    if begin:
        core.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", core.token_to_id("<|begin|>"))]
        )
    options = {"bos_token": "<|begin|>"} if begin else {}
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", chat_template=chat, **options)


def make_network(shape: str, words: int, *, context: int = 96, seed: int = 0) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if shape == "gpt2":
            config = GPT2Config(
                vocab_size=words, n_positions=context, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
            )
            network: Any = GPT2LMHeadModel(config)
        else:
            network = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=words,
                    max_position_embeddings=context,
                    hidden_size=32,
                    intermediate_size=48,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    bos_token_id=1,
                    eos_token_id=0,
                )
            )
        # Larger weights than at birth: distributions that are not nearly uniform.
        for weight in network.parameters():
            weight.data.mul_(6.0 if weight.dim() > 1 else 1.0)
    return network.eval()


def make_kind(shape: str, words: int, *, context: int = 96, seed: int = 0, **settings: Any) -> Any:
    """A small random network of a kind that is not causal: "bert", "pretraining", "roberta", "t5", "bart", "labels"."""
    import torch
    import transformers

    bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "bert": ("BertConfig", "BertForMaskedLM", bert),
        "pretraining": ("BertConfig", "BertForPreTraining", bert),
        "roberta": ("RobertaConfig", "RobertaForMaskedLM", bert),
        "labels": ("BertConfig", "BertForSequenceClassification", bert),
        "encoder": ("BertConfig", "BertModel", bert),
        "t5": ("T5Config", "T5ForConditionalGeneration", {
            "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
        }),
        "bart": ("BartConfig", "BartForConditionalGeneration", {
            "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        }),
    }  # fmt: skip
    config, network, sizes = kinds[shape]
    if shape != "t5":
        sizes = sizes | {"max_position_embeddings": context}
    special = {"pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 2, "decoder_start_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = getattr(transformers, network)(
            getattr(transformers, config)(vocab_size=words, **sizes, **special, **settings)
        )
        # Larger weights than at birth: distributions that are not nearly uniform.
        for weight in made.parameters():
            weight.data.mul_(6.0 if weight.dim() > 1 else 1.0)
    return made.eval()
