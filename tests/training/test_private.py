"""The private engine against plain loops, and against saboteurs of each fault that voids a guarantee."""

import copy
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from shoplm_audit.errors import AuditError, ConfigError, ModelError
from shoplm_audit.training import noise as noise_module
from shoplm_audit.training.bookkeeping import ClippedSums
from shoplm_audit.training.guarantee import PrivatePlan
from shoplm_audit.training.objectives import Causal
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.private import PoissonSampler, PrivateGradients, audited_noise
from shoplm_audit.training.rows import UNLEARNED, Row, record_losses
from shoplm_audit.training.settings import TrainSettings

VOCABULARY, HEADS, PAD = 37, 2, 36
CAUSAL = Causal(SimpleNamespace(pad_token_id=PAD), 16)


def tiny_model(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=16,
            n_embd=8,
            n_layer=2,
            n_head=HEADS,
            bos_token_id=0,
            eos_token_id=0,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    assert model.lm_head.weight is model.transformer.wte.weight
    return model.train()


def engine_of(model, clip_norm=0.5, noise=1.0, expected=2.0, micro_batch=16, rate=0.1, insecure_seed=None):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = TrainSettings(epsilon=1.0, clip_norm=clip_norm, micro_batch=micro_batch)
    plan = PrivatePlan(20, expected, rate, 1e-3, noise)
    alone = Processes(0, 1, "cpu")
    return PrivateGradients(model, optimizer, CAUSAL, settings, plan, alone, insecure_seed=insecure_seed)


def row(length, seed, tokens=VOCABULARY - 1, scored_from=1):
    return of(np.random.default_rng(seed).integers(0, tokens, length), scored_from)


def of(tokens, scored_from=1):
    tokens = tuple(int(token) for token in tokens)
    learned = (token if place >= scored_from else UNLEARNED for place, token in enumerate(tokens[1:], 1))
    return Row(tokens, (*learned, UNLEARNED))


def flat(tensors):
    return torch.cat([t.detach().double().flatten() for t in tensors])


def clipped_sum(engine, model, units):
    engine.set_clipped_sum(units)
    return flat([parameter.summed_grad for parameter in model.parameters()])


def loop_over_units(model, units, clip_norm):
    """One record after another, unpadded, by the loss that transformers itself computes."""
    model = copy.deepcopy(model)
    total = 0.0
    for unit in units:
        mean = 0.0
        for record in unit:
            model.zero_grad()
            tokens = torch.tensor([record.tokens])
            labels = torch.tensor([[UNLEARNED, *record.targets[:-1]]])
            model(input_ids=tokens, labels=labels).loss.backward()
            mean = mean + flat([parameter.grad for parameter in model.parameters()]) / len(unit)
        total = total + mean * min(1.0, clip_norm / float(mean.norm()))
    return total


UNITS = {
    "padding": [[row(3, 1)], [row(12, 2)], [row(7, 3, scored_from=4)]],
    "repeated tokens": [[row(10, 4, tokens=2)], [of((5,) * 9)]],
    "one record": [[row(6, 5)]],
    "as many records as tokens": [[row(4, seed)] for seed in range(4)],
    "as many records as heads": [[row(5, seed)] for seed in range(HEADS)],
    "users of unequal size": [[row(5, 6), row(9, 7), row(4, 8)], [row(11, 9)], [row(3, 10), row(8, 11)]],
}


@pytest.mark.parametrize("clip_norm", [0.3, 1e3])
@pytest.mark.parametrize("name", UNITS)
def test_clipped_sums_are_those_of_a_loop_over_single_records(name, clip_norm):
    model = tiny_model()
    want = loop_over_units(model, UNITS[name], clip_norm)
    got = clipped_sum(engine_of(model, clip_norm), model, UNITS[name])
    assert float((got - want).norm() / want.norm()) < 1e-5


def test_a_user_is_clipped_once_and_not_record_by_record():
    model = tiny_model()
    records = [row(8, seed) for seed in range(4)]
    engine = engine_of(model, clip_norm=0.3)
    as_one = clipped_sum(engine, model, [records])
    as_four = clipped_sum(engine, model, [[record] for record in records])
    assert float(as_one.norm()) == pytest.approx(0.3, rel=1e-4)
    assert float(as_four.norm()) > 0.5


def test_adding_a_unit_moves_the_sum_by_at_most_the_clipping_norm():
    """A loss that is normalised over the batch moves it by up to three times as much."""
    model = tiny_model()
    engine = engine_of(model, clip_norm=0.3)
    many = [[row(3, seed)] for seed in range(12)]
    without = clipped_sum(engine, model, many)
    for extra in ([row(16, 99)], [row(16, 99, tokens=1)], [row(2, 98), row(16, 97)]):
        moved = float((clipped_sum(engine, model, [*many, extra]) - without).norm())
        assert moved <= 0.3 * (1 + 1e-5)
        assert moved > 0.29


def test_a_records_loss_does_not_depend_on_who_stands_beside_it():
    model = tiny_model().eval()
    alone = record_losses(model, CAUSAL.batch([row(4, 1)]))[0]
    beside = record_losses(model, CAUSAL.batch([row(4, 1), row(15, 2)]))[0]
    assert alone.item() == pytest.approx(beside.item(), rel=1e-5)


@pytest.mark.parametrize("micro_batch", [1, 2, 5])
def test_micro_batches_change_no_sum(micro_batch):
    units = [*UNITS["users of unequal size"], *UNITS["padding"]]
    one, other = tiny_model(), tiny_model()
    whole = clipped_sum(engine_of(one, micro_batch=99), one, units)
    parts = clipped_sum(engine_of(other, micro_batch=micro_batch), other, units)
    assert float((whole - parts).norm() / whole.norm()) < 1e-6


def test_a_step_leaves_nothing_of_the_draw_to_the_next():
    model = tiny_model()
    engine = engine_of(model)
    first = clipped_sum(engine, model, UNITS["padding"])
    engine.set_gradient(UNITS["repeated tokens"])
    assert torch.equal(clipped_sum(engine, model, UNITS["padding"]), first)


def noise_ratio(model, expected=5.0, noise=1.3, clip_norm=0.7):
    """The noise that is there over the noise that is claimed: (std of grad) q N / (sigma C), on an empty draw."""
    engine_of(model, clip_norm, noise, expected).set_gradient([])
    drawn = flat([parameter.grad for parameter in model.parameters()]) * expected
    return float(drawn.std()) / (noise * clip_norm), drawn.numel()


def test_an_empty_draw_takes_a_step_of_noise_alone_and_the_noise_is_as_claimed():
    model = tiny_model()
    ratios = [noise_ratio(model) for _ in range(20)]
    values = sum(count for _, count in ratios)
    assert abs(math.sqrt(np.mean([ratio**2 for ratio, _ in ratios])) - 1) < 5 / math.sqrt(2 * values)


def test_every_noisy_step_is_in_the_ledger_also_an_empty_one():
    engine = engine_of(tiny_model(), noise=1.3)
    assert engine.ledger == []
    for units in (UNITS["padding"], [], UNITS["one record"]):
        engine.set_gradient(units)
    assert engine.ledger == [(1.3, 0.1, 3)]


def test_a_ledger_goes_on_and_one_that_lacks_steps_is_refused():
    engine = engine_of(tiny_model(), noise=1.3)
    engine.go_on([(1.3, 0.1, 5)], 5)
    engine.set_gradient([])
    assert engine.ledger == [(1.3, 0.1, 6)]
    with pytest.raises(ConfigError, match="no ledger"):
        engine_of(tiny_model()).go_on([], 5)
    with pytest.raises(ConfigError, match="other noise"):
        engine_of(tiny_model(), noise=1.2).go_on([(1.3, 0.1, 5)], 5)


def test_noise_is_added_to_the_clipped_sum_and_divided_by_the_expected_number_of_units():
    model = tiny_model()
    units = UNITS["padding"]
    engine = engine_of(model, noise=1e-9, expected=7.0)
    want = clipped_sum(engine, model, units) / 7.0
    engine.set_gradient(units)
    got = flat([parameter.grad for parameter in model.parameters()])
    assert float((got - want).norm() / want.norm()) < 1e-6


def test_no_seed_of_the_program_repeats_the_noise():
    drawn = []
    for _ in range(2):
        torch.manual_seed(42)
        np.random.seed(42)  # noqa: NPY002
        model = tiny_model()
        engine_of(model).set_gradient([])
        drawn.append(flat([parameter.grad for parameter in model.parameters()]))
    assert float(torch.corrcoef(torch.stack(drawn))[0, 1].abs()) < 0.1


def test_halved_noise_is_caught(monkeypatch):
    honest = noise_module.add_noise
    halved = lambda sums, deviation, entropy: honest(sums, deviation / 2, entropy)  # noqa: E731
    monkeypatch.setattr(noise_module, "add_noise", halved)
    assert noise_ratio(tiny_model())[0] < 0.6
    with pytest.raises(ModelError, match=r"noise is 0\.[45]"):
        engine_of(tiny_model()).preflight(16)


def test_the_preflight_lets_an_honest_engine_pass_and_tells_what_it_measured():
    model = tiny_model()
    engine = engine_of(model)
    told = engine.preflight(16)
    assert "White-box audit" in told
    assert engine.ledger == []  # made-up rows cost nothing
    before = [parameter.clone() for parameter in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_audit_of_the_noise_comes_near_the_theory_and_not_above_it():
    drawn = np.random.default_rng(0).normal(0, 1.0, 400_000)
    measured, theory = map(float, re.findall(r"[0-9]+\.[0-9]+", audited_noise(drawn, 1.0, 1e-5)))
    assert theory == pytest.approx(4.3772, abs=0.006)  # Balle and Wang's exact value, printed to two digits
    assert 0.5 * theory < measured <= theory


def test_noise_of_the_right_spread_but_of_another_shape_beats_the_theory_and_is_caught():
    toss = np.random.default_rng(0).choice([-4.0, 4.0], 400_000)  # one unit moves it where it never is otherwise
    with pytest.raises(ModelError, match="gives away"):
        audited_noise(toss, 4.0, 1e-5)


def test_a_gradient_that_is_not_a_number_stops_the_step():
    model = tiny_model()
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(AuditError, match="number"):
        engine_of(model).set_gradient(UNITS["padding"])


class MixesRecords(torch.nn.Module):
    def forward(self, hidden):
        return hidden - 0.5 * hidden.mean(dim=0, keepdim=True)


def test_a_layer_that_mixes_records_is_caught_before_private_data_is_touched():
    model = tiny_model()
    model.transformer.drop = MixesRecords()
    with pytest.raises(ModelError, match="mixed"):
        engine_of(model).preflight(16)


@pytest.mark.parametrize("clip_norm", [0.01, 50.0])
def test_norms_that_are_halved_are_caught_however_high_the_clipping_norm_is(monkeypatch, clip_norm):
    from shoplm_audit.training import bookkeeping

    honest = bookkeeping._Book.norms
    monkeypatch.setattr(bookkeeping._Book, "norms", lambda book, device: honest(book, device) / 2)
    with pytest.raises(ModelError, match="off by"):
        engine_of(tiny_model(), clip_norm=clip_norm).preflight(16)


def test_units_that_are_clipped_record_by_record_are_caught(monkeypatch):
    honest = ClippedSums.add

    def one_by_one(sums, losses, units, rows_per_unit):
        return honest(sums, losses, units * rows_per_unit)

    monkeypatch.setattr(ClippedSums, "add", one_by_one)
    with pytest.raises(ModelError, match="off by"):
        engine_of(tiny_model(), clip_norm=0.01).preflight(16)


def test_a_parameter_that_is_not_used_gets_noise_alone():
    model = tiny_model()
    model.forgotten = torch.nn.Linear(200, 200)
    engine_of(model, clip_norm=0.5, noise=2.0, expected=4.0).set_gradient(UNITS["padding"])
    assert float(model.forgotten.weight.grad.std()) == pytest.approx(0.25, rel=0.03)


def test_a_layer_with_statistics_over_records_is_refused():
    model = tiny_model()
    model.transformer.norm = torch.nn.BatchNorm1d(3)
    with pytest.raises(ModelError, match="statistics over records"):
        engine_of(model)


# Sampling -----------------------------------------------------------------------------------------


def looks_poisson(draws, units, rate):
    """Whether each unit comes at its rate, and sizes vary as independent coins make them vary."""
    sizes = np.array([len(draw) for draw in draws])
    counts = np.bincount([unit for draw in draws for unit in draw], minlength=units)
    variance = units * rate * (1 - rate)
    spread = 4 * math.sqrt(rate * (1 - rate) * len(draws))
    return (
        abs(sizes.mean() - units * rate) < 4 * math.sqrt(variance / len(draws))
        and abs(sizes.var() / variance - 1) < 4 * math.sqrt(2 / len(draws))
        and bool((abs(counts - rate * len(draws)) < spread + 1).all())
    )


def drawn_units(sampler, times):
    return [[places[0][0] for places in sampler.draw()] for _ in range(times)]


def test_units_are_drawn_independently_at_the_rate_of_the_accountant():
    draws = drawn_units(PoissonSampler([1] * 20, 0.1, 4, np.random.default_rng(0)), 2000)
    assert looks_poisson(draws, 20, 0.1)
    assert any(not draw for draw in draws)


def test_a_shuffled_sampler_is_caught():
    rng = np.random.default_rng(0)
    epochs = [rng.permutation(20).reshape(10, 2) for _ in range(200)]
    assert not looks_poisson([list(batch) for epoch in epochs for batch in epoch], 20, 0.1)


def test_a_sampler_at_another_rate_is_caught():
    assert not looks_poisson(drawn_units(PoissonSampler([1] * 20, 0.13, 4, np.random.default_rng(0)), 2000), 20, 0.1)


def test_at_most_so_many_records_of_a_user_enter_a_step_and_in_time_all_of_them():
    sampler = PoissonSampler([9, 2], 1.0, 4, np.random.default_rng(0))
    draws = [[record for unit, record in sampler.draw()[0]] for _ in range(50)]
    assert all(len(set(draw)) == 4 for draw in draws)
    assert {record for draw in draws for record in draw} == set(range(9))
    assert sampler.draw()[1] == [(1, 0), (1, 1)]
