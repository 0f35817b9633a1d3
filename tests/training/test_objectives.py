"""Examples become rows and batches: what is read, what is learned, and that no row holds what is another's."""

import numpy as np
import pytest
import torch

from shoplm_audit.errors import ConfigError
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.objectives import Classify, Masked, SequenceToSequence, labels_of
from shoplm_audit.training.rows import UNLEARNED, Batch, Row, record_losses
from shoplm_audit.training.tokenizer import learn_tokenizer

TEXTS = ["The kettle is navy. It holds one litre.", "水壶是海军蓝的。容量一升。", "It leaks. I sent it back."] * 4


@pytest.fixture(scope="module")
def masked_tokenizer():
    return learn_tokenizer(TEXTS, 330, "masked")


def masked(tokenizer, **settings):
    return Masked(tokenizer, 60, **settings)


def test_a_seventh_is_hidden_afresh_and_nothing_else_is_learned(masked_tokenizer):
    objective = masked(masked_tokenizer)
    (row,) = objective.rows([Example("kettle " * 40)])
    rng, hidden, shown = np.random.default_rng(0), [], []
    for _ in range(200):
        (drawn,) = objective.drawn([row], rng)
        places = [i for i, target in enumerate(drawn.targets) if target != UNLEARNED]
        assert [drawn.targets[i] for i in places] == [row.tokens[i] for i in places]
        assert all(a == b for i, (a, b) in enumerate(zip(drawn.tokens, row.tokens, strict=True)) if i not in places)
        hidden.append(len(places) / (len(row.tokens) - 2))
        shown += [drawn.tokens[i] for i in places]
    assert np.mean(hidden) == pytest.approx(0.15, abs=0.02)
    masks = np.mean([token == masked_tokenizer.mask_token_id for token in shown])
    assert masks == pytest.approx(0.8, abs=0.03)
    assert np.mean([token == row.tokens[3] for token in shown]) == pytest.approx(0.1, abs=0.03)
    assert objective.drawn([row], np.random.default_rng(1)) != objective.drawn([row], np.random.default_rng(2))


def test_a_short_text_has_one_hidden_token_and_special_ones_are_never_hidden(masked_tokenizer):
    objective = masked(masked_tokenizer)
    for row in objective.drawn(objective.rows([Example("ok"), Example("")]), np.random.default_rng(0)):
        learned = [target for target in row.targets if target != UNLEARNED]
        assert not set(learned) & set(masked_tokenizer.all_special_ids)
        assert len(learned) == (1 if len(row.tokens) > 2 else 0)


def test_half_of_the_pairs_go_on_with_a_stranger_and_the_label_says_so(masked_tokenizer):
    stranger = "Something else. Entirely unrelated words."
    objective = masked(masked_tokenizer, next_sentence=True, strangers=(stranger,))
    texts = [f"The kettle {n} is navy. It holds {n} cups." for n in range(200)]
    rows = objective.rows([Example(text) for text in texts])
    swapped = [row.label for row in rows]
    assert 70 < sum(swapped) < 130
    for row, text in zip(rows, texts, strict=True):
        second = masked_tokenizer.decode(
            [t for t in row.tokens[row.second :] if t not in masked_tokenizer.all_special_ids]
        )
        assert second == ("Entirely unrelated words." if row.label else text.split(". ")[1])


def test_whether_a_row_is_swapped_does_not_depend_on_the_other_rows(masked_tokenizer):
    objective = masked(masked_tokenizer, next_sentence=True, strangers=tuple(TEXTS))
    alone = [objective.rows([Example(text)])[0] for text in TEXTS[:3]]
    assert objective.rows([Example(text) for text in TEXTS[:3]]) == alone
    assert objective.rows([Example(text) for text in reversed(TEXTS[:3])]) == alone[::-1]


def test_a_text_of_one_sentence_has_no_second_and_no_label(masked_tokenizer):
    (row,) = masked(masked_tokenizer, next_sentence=True, strangers=tuple(TEXTS)).rows([Example("just words")])
    assert (row.second, row.label) == (0, UNLEARNED)


def test_both_halves_fit_the_context(masked_tokenizer):
    objective = Masked(masked_tokenizer, 12, next_sentence=True, strangers=tuple(TEXTS))
    (row,) = objective.rows([Example("The kettle is navy and very large indeed. It holds one litre of water or tea.")])
    assert len(row.tokens) <= 12
    assert row.truncated
    batch = objective.batch(objective.drawn([row], np.random.default_rng(0)))
    assert batch.inputs["token_type_ids"].sum() == len(row.tokens) - row.second


def test_a_decoder_reads_the_answer_one_place_later(tmp_path):
    tokenizer = learn_tokenizer(TEXTS, 330, "seq2seq")
    objective = SequenceToSequence(tokenizer, 50, start=tokenizer.pad_token_id)
    prompt = "Name the colour:"
    rows = objective.rows(
        [Example(f"{prompt} navy", answer_start=len(prompt)), Example("Q: yes, it is", answer_start=2)]
    )
    assert tokenizer.decode(rows[0].tokens, skip_special_tokens=True) == prompt
    batch = objective.batch(rows)
    for i, row in enumerate(rows):
        length = len(row.targets)
        assert batch.inputs["decoder_input_ids"][i, :length].tolist() == [objective.start, *row.targets[:-1]]
        assert batch.targets[i, :length].tolist() == list(row.targets)
        assert (batch.targets[i, length:] == UNLEARNED).all()
        assert batch.inputs["attention_mask"][i].sum() == len(row.tokens)
    assert rows[0].targets[-1] == tokenizer.eos_token_id


def test_labels_are_numbered_by_name_and_strange_ones_are_refused(masked_tokenizer):
    examples = [Example("a", label="positive"), Example("b", label="negative")]
    assert labels_of(examples) == ("negative", "positive")
    objective = Classify(masked_tokenizer, 20, labels_of(examples))
    assert [row.label for row in objective.rows(examples)] == [1, 0]
    with pytest.raises(ConfigError, match="neutral"):
        objective.rows([Example("c", label="neutral")])
    with pytest.raises(ConfigError, match="two"):
        labels_of(examples[:1])


class Fixed(torch.nn.Module):
    """Gives the logits it was made with, whatever it reads."""

    def __init__(self, **logits):
        super().__init__()
        self.given = logits

    def forward(self, **_):
        from transformers.utils import ModelOutput

        return ModelOutput(**self.given)


def test_the_loss_of_a_record_is_the_mean_over_its_own_tokens():
    logits = torch.randn(2, 4, 7)
    targets = torch.tensor([[1, 2, 3, 4], [5, UNLEARNED, UNLEARNED, UNLEARNED]])
    batch = Batch({"input_ids": torch.zeros(2, 4, dtype=torch.long)}, targets)
    expected = [-logits[0].log_softmax(-1)[range(4), targets[0]].mean(), -logits[1, 0].log_softmax(-1)[5]]
    assert torch.allclose(record_losses(Fixed(logits=logits), batch), torch.stack(expected))


def test_labels_and_tokens_add_up_and_what_is_unlearned_costs_nothing():
    words, pair = torch.randn(2, 3, 5), torch.randn(2, 2)
    ids = {"input_ids": torch.zeros(2, 3, dtype=torch.long)}
    targets = torch.tensor([[1, UNLEARNED, UNLEARNED], [UNLEARNED] * 3])
    losses = record_losses(
        Fixed(prediction_logits=words, seq_relationship_logits=pair), Batch(ids, targets, torch.tensor([0, UNLEARNED]))
    )
    assert losses[0] == pytest.approx(float(-words[0, 0].log_softmax(-1)[1] - pair[0].log_softmax(-1)[0]))
    assert losses[1] == 0.0


def test_the_size_of_a_row_is_its_longer_side():
    assert Row((1, 2, 3), (4, 5)).size == 3
    assert Row((1, 2), (4, 5, 6)).size == 3
    assert Row((1, 2, 3), label=1).size == 3
