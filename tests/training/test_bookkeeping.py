"""The engine of clipped sums against a plain loop over single records, on every shape of model that is trained."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from shoplm_audit.errors import AuditError, ModelError
from shoplm_audit.training import bookkeeping
from shoplm_audit.training.bookkeeping import ClippedSums
from shoplm_audit.training.interception import Vector

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


@pytest.mark.parametrize("name", ["gpt2 tied", "bert, words and next sentence", "t5 tied", "bert lora and a head"])
def test_a_units_gradient_is_the_mean_over_its_rows_and_clipped_once(name):
    make, prepare = MODELS[name]
    for tokens in (tokens_of(6, 7), tokens_of(3, 3)):  # two units; one unit of as many rows as tokens
        wrong, wrong_norms = compare(tiny(make), prepare, tokens, rows_per_unit=3)
        assert max(wrong, wrong_norms) < 1e-5


@pytest.mark.parametrize("name", ["gpt2 tied", "t5 tied"])
def test_few_words_that_are_repeated_in_a_record_are_exact(name):
    make, prepare = MODELS[name]
    assert compare(tiny(make), prepare, tokens_of(4, 9, vocabulary=4, padded=False))[0] < 1e-5


@pytest.mark.parametrize("length", [3, 16])
def test_short_records_and_long_ones_which_are_booked_in_different_forms_are_exact(length):
    assert compare(tiny(gpt2), causal, tokens_of(4, length))[0] < 1e-5


def engine_and_batch(make=gpt2, prepare=causal, rows=4, length=7, clip_norm=0.5):
    model = tiny(make)
    inputs, targets = prepare(tokens_of(rows, length))
    return model, ClippedSums(model, clip_norm), inputs, targets


def test_micro_batches_change_no_sum():
    model, sums, inputs, targets = engine_and_batch(rows=6)
    sums.add(lambda: losses_of(model, inputs, targets), 6)
    whole = summed(model)
    sums.clear()
    for some in (slice(0, 1), slice(1, 3), slice(3, 6)):
        sums.add(
            lambda some=some: losses_of(model, {n: t[some] for n, t in inputs.items()}, targets[some]),
            targets[some].shape[0],
        )
    assert float((summed(model) - whole).norm() / whole.norm()) < 1e-6


def test_a_record_without_a_learned_token_has_no_gradient_and_is_no_fault():
    model, sums, inputs, targets = engine_and_batch()
    nothing = torch.full_like(targets, -100)
    assert sums.add(lambda: losses_of(model, inputs, nothing), 4).tolist() == [0, 0, 0, 0]
    assert float(summed(model).abs().max()) == 0


def test_the_row_of_padding_gets_no_gradient_though_it_is_read():
    model, sums, inputs, targets = engine_and_batch(bert_classifier, classified)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    sums.add(lambda: losses_of(model, inputs, targets), 4)
    table = model.bert.embeddings.word_embeddings.weight.summed_grad
    assert float(table[PAD].abs().max()) == 0
    assert float(table.abs().max()) > 0


def test_bfloat16_changes_sums_by_its_rounding_and_leaves_them_in_float32():
    model, sums, inputs, targets = engine_and_batch(rows=6)
    norms = sums.add(lambda: losses_of(model, inputs, targets), 6)
    exact = summed(model)
    sums.clear()

    def rounded():
        with torch.autocast("cpu", torch.bfloat16):
            return losses_of(model, inputs, targets)

    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():  # also where the whole step stands in such
        rounded_norms = sums.add(rounded, 6)
    assert float((rounded_norms - norms).norm() / norms.norm()) < 0.02
    assert float((summed(model) - exact).norm() / exact.norm()) < 0.02
    assert float((summed(model) - exact).norm()) > 0
    assert {weight.summed_grad.dtype for weight in trained(model)} == {torch.float32}


def test_a_unit_moves_the_sum_by_at_most_the_clipping_norm():
    model, sums, inputs, targets = engine_and_batch(clip_norm=0.01)
    norms = sums.add(lambda: losses_of(model, {n: t[:1] for n, t in inputs.items()}, targets[:1]), 1)
    assert float(norms) > 0.1
    assert float(summed(model).norm()) == pytest.approx(0.01, rel=1e-3)


def test_gradients_are_left_as_they_were_and_parts_that_were_not_reached_have_none():
    model, sums, inputs, targets = engine_and_batch(bert_pretraining, masked)
    before = {name: torch.full_like(weight, 7.0) for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        weight.grad = before[name]
    sums.add(lambda: token_losses(model(**inputs).prediction_logits, targets[0]), 4)
    assert all(weight.grad is before[name] for name, weight in model.named_parameters())
    assert float(model.cls.seq_relationship.weight.summed_grad.abs().max()) == 0
    assert float(model.cls.predictions.bias.summed_grad.abs().max()) > 0
    assert {name for name, _ in vars(model.bert.pooler.dense).items() if name in ("forward", "summed_grad")} == set()


def test_what_breaks_off_leaves_nothing_behind():
    model, sums, inputs, targets = engine_and_batch(t5, answered)

    def broken():
        losses_of(model, inputs, targets)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sums.add(broken, 4)
    assert all(getattr(weight, "summed_grad", None) is None and weight.grad is None for weight in trained(model))
    assert not any("compute_bias" in vars(part) for part in model.modules())
    assert compare(model, answered, tokens_of(4, 7))[0] < 1e-5


def test_a_loss_that_is_no_number_is_told_and_adds_nothing():
    model, sums, inputs, targets = engine_and_batch()
    with pytest.raises(AuditError, match="finite number"):
        sums.add(lambda: losses_of(model, inputs, targets) * torch.tensor([1.0, torch.nan, 1.0, 1.0]), 4)
    assert all(getattr(weight, "summed_grad", None) is None for weight in trained(model))


def test_a_number_of_losses_that_is_not_that_of_the_units_is_refused():
    model, sums, inputs, targets = engine_and_batch()
    with pytest.raises(ModelError, match="4 units of 1 rows"):
        sums.add(lambda: losses_of(model, inputs, targets).repeat(2), 4)


class Small(nn.Module):
    """Words, places looked up once for all rows with no axis of their own, and something between them and a head."""

    def __init__(self, between=None):
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, 8), nn.Embedding(16, 8)
        self.between, self.head = between or nn.Identity(), nn.Linear(8, VOCABULARY)

    def forward(self, input_ids, attention_mask=None):
        from types import SimpleNamespace

        states = self.words(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        return SimpleNamespace(logits=self.head(self.between(states)))


class Mixing(nn.Module):
    """Takes from each record a little of the batch's mean."""

    def forward(self, states):
        return states - 0.1 * states.mean(dim=0)


class Bare(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.table = nn.Parameter(torch.randn(shape))

    def forward(self, states):
        return states + self.table[..., : states.shape[-1]].sum()


@pytest.mark.parametrize("size", [(5, 5), (2, 6), (1, 6)])
def test_places_without_an_axis_of_records_are_told_from_records(size):
    assert compare(tiny(Small), causal, tokens_of(*size))[0] < 1e-5


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (8, 8)])
@pytest.mark.parametrize("seed", range(4))
def test_places_are_told_from_records_in_bfloat16_too(size, seed):
    """Coarse numbers must not hide it: a wrong axis would let one record move the sum by more than it may."""
    torch.manual_seed(seed)
    model = Small()
    with torch.autocast("cpu", torch.bfloat16):
        wrong, wrong_norms = compare(model, causal, tokens_of(*size))
    assert max(wrong, wrong_norms) < 0.02


def test_sizes_may_change_between_calls():
    model = tiny(Small)
    sums = ClippedSums(model, 0.5)
    for size in ((1, 6), (2, 6), (6, 6), (3, 9), (9, 9)):
        inputs, targets = causal(tokens_of(*size))
        sums.clear()
        sums.add(lambda inputs=inputs, targets=targets: losses_of(model, inputs, targets), size[0])
        want, _ = loop(model, inputs, targets, 0.5)
        assert float((summed(model) - want).norm() / want.norm()) < 1e-5


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (nn.BatchNorm1d(7), "keeps statistics over records"),
        (Bare(3, 8), '"between.table" stands in a layer'),
        (Bare(8), '"between.table" is used by an operation'),
        (nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), "in_proj_weight"),
        (nn.Sequential(nn.Linear(8, 8), Mixing()), 'Records are mixed after "between.0.weight"'),
    ],
)
def test_what_cannot_be_booked_is_refused_by_name(between, why):
    model = tiny(lambda: Small(between))
    inputs, targets = causal(tokens_of(5, 7))
    with pytest.raises(ModelError, match=why):
        ClippedSums(model, 0.5).add(lambda: losses_of(model, inputs, targets), 5)
    assert all(getattr(weight, "summed_grad", None) is None for weight in trained(model))


def test_a_saboteur_that_leaves_out_what_is_between_embedding_and_head_is_caught(monkeypatch):
    monkeypatch.setattr(bookkeeping, "_between", lambda left, right, ids, values: torch.zeros(len(left)))
    assert compare(tiny(gpt2), causal, tokens_of(5, 6))[1] > 1e-3
    assert compare(tiny(lambda: gpt2(tied=False)), causal, tokens_of(5, 6))[1] < 1e-5


def test_a_saboteur_that_squares_a_bias_token_by_token_is_caught(monkeypatch):
    honest = bookkeeping._Book._squares

    def squares(book, weight, entry):
        return honest(book, weight, entry) if weight.dim() > 1 else book.wrong[weight]

    def told(book, key, gradient, parts):
        for part in parts:
            if isinstance(part, Vector):
                wrong = book._by_unit(part, part.values).square().sum(dim=(1, 2))
                book.__dict__.setdefault("wrong", {})[part.parameter] = wrong
        call(book, key, gradient, parts)

    call = bookkeeping._Book.__call__
    monkeypatch.setattr(bookkeeping._Book, "__call__", told)
    monkeypatch.setattr(bookkeeping._Book, "_squares", squares)
    assert compare(tiny(gpt2), causal, tokens_of(5, 6))[1] > 1e-3


@pytest.mark.parametrize("name", ["t5 untied", "places"])
def test_a_saboteur_that_guesses_the_records_from_a_size_that_fits_is_caught(name, monkeypatch):
    make, prepare = MODELS.get(name, (Small, causal))
    monkeypatch.setattr(ClippedSums, "_makes_bias", lambda sums, part: False)
    if name != "places":  # without what is known of T5, the experiment refuses it
        with pytest.raises(ModelError, match="relative_attention_bias"):
            compare(tiny(make), prepare, tokens_of(4, 4))
    monkeypatch.setattr(ClippedSums, "_is_new", lambda sums, keys: False)
    assert compare(tiny(make), prepare, tokens_of(4, 4))[0] > 1e-3
