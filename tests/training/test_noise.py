"""The noise against the normal distribution, and the optimiser that adds it against what it claims."""

import math
import time

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from shoplm_audit.training import noise
from shoplm_audit.training.noise import NoisyOptimizer, add_noise


def drawn(count=1_000_000, deviation=1.0):
    total = torch.zeros(count)
    add_noise([total], deviation)
    return total.double().numpy()


def test_the_noise_is_normal_in_middle_spread_and_tails():
    numbers = drawn()
    assert abs(numbers.mean()) < 5 / 1000
    assert abs(numbers.std() - 1) < 5 / math.sqrt(2e6)
    assert kstest(numbers, "norm").pvalue > 1e-6
    for far in (2.0, 3.0, 4.0):
        expected = 1e6 * math.erfc(far / math.sqrt(2))
        assert abs((np.abs(numbers) > far).sum() - expected) < 5 * math.sqrt(expected) + 1


def test_neighbours_halves_and_blocks_of_the_noise_are_independent():
    numbers = drawn(1 << 18)
    block = noise._BLOCK
    for lag in (1, block // 2, block):
        for power in (1, 2):
            moments = numbers**power
            assert abs(np.corrcoef(moments[:-lag], moments[lag:])[0, 1]) < 5 / math.sqrt(len(numbers) - lag)


def test_no_two_numbers_and_no_two_draws_are_alike():
    numbers = drawn(100_000)
    assert len(np.unique(numbers)) > 99_500  # float32 has only so many
    torch.manual_seed(42)
    first = drawn(100_000)
    torch.manual_seed(42)
    assert abs(np.corrcoef(first, drawn(100_000))[0, 1]) < 5 / math.sqrt(100_000)
    assert abs(np.corrcoef(first, numbers)[0, 1]) < 5 / math.sqrt(100_000)


def test_several_sums_of_odd_sizes_are_covered_each_by_its_own_noise():
    sums = [torch.full(shape, 2.0) for shape in ((3,), (noise._BLOCK + 1,), (7, 11, 13), (1,))]
    add_noise(sums, 0.5)
    numbers = torch.cat([total.flatten() for total in sums])
    assert len(numbers.unique()) > 0.9 * len(numbers)
    assert float(numbers.mean()) == pytest.approx(2, abs=0.05)
    assert float(numbers.std()) == pytest.approx(0.5, rel=0.05)


def test_noise_is_rounded_once_with_the_sum_and_not_before_it():
    """Noise of float32 beside a sum that is far smaller would leave nothing of the sum's last digits."""
    total = torch.full((10_000,), 1e-9)
    add_noise([total], 1e-9, noise._repeatable(0))
    exact = torch.zeros(10_000, dtype=torch.float64)
    add_noise([exact], 1e-9, noise._repeatable(0))
    assert torch.equal(total, (exact + float(np.float32(1e-9))).float())


class Weight(torch.nn.Module):
    def __init__(self, size=200_000):
        super().__init__()
        self.one, self.other = (torch.nn.Parameter(torch.zeros(n)) for n in (size, 3))


def optimizer_of(model, expected=4.0, seed=None):
    plain = torch.optim.SGD(model.parameters(), lr=1.0)
    return NoisyOptimizer(plain, clip_norm=0.5, noise_multiplier=1.2, expected_units=expected, insecure_seed=seed)


def test_a_step_divides_sum_and_noise_by_the_expected_number_of_units():
    model = Weight()
    optimizer = optimizer_of(model)
    model.one.summed_grad = torch.full_like(model.one, 8.0)
    optimizer.step()
    moved = -model.one.detach().double()
    assert float(moved.mean()) == pytest.approx(2.0, abs=5 * 0.15 / math.sqrt(2e5))
    assert float(moved.std()) == pytest.approx(1.2 * 0.5 / 4, rel=0.01)
    assert float(model.other.detach().abs().max()) > 0


def test_an_empty_draw_is_a_step_of_noise_and_a_sum_is_used_once():
    model = Weight()
    optimizer = optimizer_of(model)
    model.one.summed_grad = torch.full_like(model.one, 8.0)
    optimizer.step()
    before = model.one.detach().clone()
    optimizer.zero_grad(set_to_none=True)
    optimizer.step()
    moved = (model.one.detach() - before).double()
    assert float(moved.mean()) == pytest.approx(0.0, abs=5 * 0.15 / math.sqrt(2e5))
    assert float(moved.std()) == pytest.approx(0.15, rel=0.01)
    assert model.one.summed_grad is None


def test_every_step_is_counted_by_the_accountant_with_its_noise():
    from opacus.accountants import PRVAccountant

    model, accountant = Weight(5), PRVAccountant()
    optimizer = optimizer_of(model)
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.01))
    for _ in range(3):
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert accountant.history == [(1.2, 0.01, 3)]


def test_noise_repeats_with_an_insecure_seed_alone():
    def step(seed):
        model = Weight(1000)
        optimizer = optimizer_of(model, seed=seed)
        optimizer.step()
        first = model.one.detach().clone()
        optimizer.step()
        assert not torch.equal(model.one.detach() - first, first)
        return model.one.detach()

    assert torch.equal(step(3), step(3))
    assert not torch.equal(step(3), step(4))
    assert not torch.equal(step(None), step(None))


def test_noise_for_five_million_weights_costs_a_fraction_of_a_second():
    total, started = torch.zeros(5_300_000), time.process_time()
    add_noise([total], 1.0)
    assert time.process_time() - started < 0.5  # 0.05 s on a core of its own
