"""The engine of clipped sums against a plain loop over single records, on every shape of model that is trained."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from shoplm_audit.errors import AuditError, ModelError
from shoplm_audit.training import bookkeeping
from shoplm_audit.training.bookkeeping import ClippedSums

VOCABULARY, HEADS, PAD = 37, 2, 0

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's


def tiny(make, seed=0):
    """A model whose weights are all away from zero and from one, where faults would hide."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight += 0.2 * torch.randn(weight.shape)
    return model.train()


def gpt2(tied=True):
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": VOCABULARY, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": HEADS}
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(**sizes, **drops, bos_token_id=1, eos_token_id=1, tie_word_embeddings=tied))


def encoder_sizes():
    return {
        "vocab_size": VOCABULARY, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": HEADS,
        "intermediate_size": 16, "max_position_embeddings": 16, "pad_token_id": PAD,
    }  # fmt: skip


def llama(tied=False):
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 16}
    return LlamaForCausalLM(LlamaConfig(**encoder_sizes() | heads, tie_word_embeddings=tied))


def bert_config(**more):
    from transformers import BertConfig

    drops = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    return BertConfig(**encoder_sizes(), **drops, **more)


def bert_pretraining():
    from transformers import BertForPreTraining

    return BertForPreTraining(bert_config())


def bert_classifier():
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification(bert_config(num_labels=3))


def t5(tied=True):
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=VOCABULARY, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=HEADS, dropout_rate=0.0,
        relative_attention_num_buckets=6, tie_word_embeddings=tied, decoder_start_token_id=PAD, pad_token_id=PAD,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def bart():
    from transformers import BartConfig, BartForConditionalGeneration

    sides = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in SIDE.items()}
    config = BartConfig(
        vocab_size=VOCABULARY, max_position_embeddings=16, d_model=8, dropout=0.0, scale_embedding=True, **sides,
        pad_token_id=PAD, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    return BartForConditionalGeneration(config)


SIDE = {"layers": 2, "ffn_dim": 16, "attention_heads": HEADS}


def opt():
    from transformers import OPTConfig, OPTForCausalLM

    return OPTForCausalLM(OPTConfig(**encoder_sizes(), ffn_dim=16, dropout=0.0, word_embed_proj_dim=8))


def gpt2_lora():
    from peft import LoraConfig, get_peft_model

    return get_peft_model(gpt2(), LoraConfig(r=2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True))


def bert_lora():
    from peft import LoraConfig, get_peft_model

    targets, heads = ["query", "value"], ["classifier"]
    return get_peft_model(bert_classifier(), LoraConfig(r=2, target_modules=targets, modules_to_save=heads))


def textbook():
    from shoplm_audit.models.transformer import TransformerConfig, TransformerForCausalLM

    return TransformerForCausalLM(TransformerConfig(**encoder_sizes()))


def causal(tokens):
    return {"input_ids": tokens, "attention_mask": (tokens != PAD).long()}, learned(tokens, 1)


def masked(tokens):
    labels = tokens[:, 1] % 2
    return {"input_ids": tokens, "attention_mask": (tokens != PAD).long()}, (learned(tokens, 0, 3), labels)


def classified(tokens):
    return {"input_ids": tokens, "attention_mask": (tokens != PAD).long()}, tokens[:, 1] % 3


def answered(tokens):
    answers = tokens[:, : 2 + tokens.shape[1] // 2].roll(1, 0)
    inputs = {"input_ids": tokens, "attention_mask": (tokens != PAD).long(), "decoder_input_ids": answers}
    return inputs, learned(answers, 1)


def learned(tokens, shift, every=1):
    targets = torch.where(tokens == PAD, -100, tokens)
    targets[:, torch.arange(tokens.shape[1]) % every != 0] = -100
    return functional.pad(targets[:, shift:], (0, shift), value=-100)


def losses_of(model, inputs, targets):
    """(B,): the mean over each record's own tokens, and the loss of its label."""
    output = model(**inputs)
    if isinstance(targets, tuple):
        token, label = output.prediction_logits, output.seq_relationship_logits
        return token_losses(token, targets[0]) + functional.cross_entropy(label, targets[1], reduction="none")
    if targets.dim() == 1:
        return functional.cross_entropy(output.logits, targets, reduction="none")
    return token_losses(output.logits, targets)


def token_losses(logits, targets):
    each = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none")
    return each.view_as(targets).sum(dim=1) / (targets != -100).sum(dim=1).clamp(min=1)


MODELS = {
    "gpt2 tied": (gpt2, causal),
    "gpt2 untied": (lambda: gpt2(tied=False), causal),
    "llama, grouped queries": (llama, causal),
    "llama tied": (lambda: llama(tied=True), causal),
    "bert, words and next sentence": (bert_pretraining, masked),
    "bert classifier": (bert_classifier, classified),
    "t5 tied": (t5, answered),
    "t5 untied": (lambda: t5(tied=False), answered),
    "bart tied": (bart, answered),
    "opt": (opt, causal),
    "gpt2 lora": (gpt2_lora, causal),
    "bert lora and a head": (bert_lora, classified),
    "textbook decoder": (textbook, causal),
}


def tokens_of(rows, length, seed=0, vocabulary=VOCABULARY, padded=True):
    """(B, T): repeated tokens, rows of unequal length, and, from 3 rows on, one without a token to learn."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, vocabulary, (rows, length))
    if padded:
        for row, size in enumerate(rng.integers(2, length + 1, rows)):
            tokens[row, size:] = PAD
    if padded and rows > 2:
        tokens[2, 1:] = PAD
    return torch.from_numpy(tokens)


def flat(tensors):
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def trained(model):
    return [weight for weight in model.parameters() if weight.requires_grad]


def loop(model, inputs, targets, clip_norm, rows_per_unit=1):
    """The sum of clipped gradients, one record after another, and the norm of each unit."""
    total, norms, rows = 0.0, [], len(inputs["input_ids"])
    for unit in range(0, rows, rows_per_unit):
        mean = 0.0
        for row in range(unit, unit + rows_per_unit):
            alone = {name: value[row : row + 1] for name, value in inputs.items()}
            wanted = tuple(t[row : row + 1] for t in targets) if isinstance(targets, tuple) else targets[row : row + 1]
            loss = losses_of(model, alone, wanted).sum()
            grads = torch.autograd.grad(loss, trained(model), allow_unused=True, materialize_grads=True)
            mean = mean + flat(grads) / rows_per_unit
        norms.append(float(mean.norm()))
        total = total + mean * min(1.0, clip_norm / (norms[-1] + 1e-6))
    return total, torch.tensor(norms)


def summed(model):
    return flat([weight.summed_grad for weight in trained(model)])


def compare(model, prepare, tokens, rows_per_unit=1, clip=0.5):
    """The relative error of sum and norms, clipped at a share of the middle norm."""
    inputs, targets = prepare(tokens)
    _, norms = loop(model, inputs, targets, 1.0, rows_per_unit)
    clip_norm = clip * float(norms.median() or norms.max())
    want, norms = loop(model, inputs, targets, clip_norm, rows_per_unit)
    sums = ClippedSums(model, clip_norm)
    got = sums.add(lambda: losses_of(model, inputs, targets), len(norms), rows_per_unit)
    return float((summed(model) - want).norm() / want.norm()), float((got - norms).norm() / norms.norm())


SIZES = {"one record": (1, 6), "as many as tokens": (6, 6), "as many as heads": (HEADS, 6), "more": (5, 9)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_clipped_sums_are_those_of_a_loop_over_single_records(name, size):
    make, prepare = MODELS[name]
    wrong, wrong_norms = compare(tiny(make), prepare, tokens_of(*SIZES[size]))
    assert wrong < 1e-5
    assert wrong_norms < 1e-5
