"""The accountant against published and independently computed values."""

import math

import pytest

from shoplm_audit.errors import ConfigError
from shoplm_audit.training.accounting import default_delta, epsilon_spent, noise_for, pld_epsilon, prv_epsilon

REFERENCE = [
    (0.01, 1.0, 1000, 1e-5, 1.8384, 1.8282),
    (256 / 60000, 1.1, 14063, 1e-5, 2.3918, 2.3818),
    (1.0, 5.0, 10, 1e-5, 2.6045, 2.5944),
    (0.02, 0.7, 500, 1e-6, 7.7555, 7.7451),
]


@pytest.mark.parametrize(("rate", "noise", "steps", "delta", "prv", "pld"), REFERENCE)
def test_epsilon_agrees_with_the_reference(rate, noise, steps, delta, prv, pld):
    assert prv_epsilon(rate, noise, steps, delta) == pytest.approx(prv, abs=2e-4)
    cross_check = pld_epsilon(rate, noise, steps, delta)
    if cross_check is not None:
        assert cross_check == pytest.approx(pld, abs=1.5e-2)
        assert epsilon_spent(rate, noise, steps, delta) == max(prv_epsilon(rate, noise, steps, delta), cross_check)


def test_epsilon_is_never_below_the_exact_value_of_one_gaussian_step():
    """At rate 1 after one step: delta(eps) = Phi(1/2s - eps s) - e^eps Phi(-1/2s - eps s)."""
    sigma, delta = 1.5, 1e-4
    epsilon = epsilon_spent(1.0, sigma, 1, delta)

    def normal(x):
        return 0.5 * math.erfc(-x / math.sqrt(2))

    half = 1 / (2 * sigma)
    exact = normal(half - epsilon * sigma) - math.exp(epsilon) * normal(-half - epsilon * sigma)
    assert 0.9 * delta < exact <= delta


@pytest.mark.parametrize(("epsilon", "rate", "steps", "delta"), [(3.0, 0.2, 40, 1e-3), (8.0, 1.0, 3, 1e-5)])
def test_the_noise_keeps_the_budget_and_hardly_more_than_it(epsilon, rate, steps, delta):
    noise = noise_for(epsilon, rate, steps, delta)
    assert 0.98 * epsilon < epsilon_spent(rate, noise, steps, delta) <= epsilon


def test_without_noise_epsilon_is_infinite_and_without_steps_nothing_is_spent():
    assert epsilon_spent(0.1, 0.0, 1, 1e-5) == math.inf
    assert epsilon_spent(0.1, 1.0, 0, 1e-5) == 0.0


@pytest.mark.parametrize(
    "fault",
    [{"epsilon": 0.0}, {"epsilon": -1.0}, {"epsilon": math.inf}, {"epsilon": math.nan}, {"delta": 1.0}, {"steps": 0}],
)
def test_a_budget_that_is_none_is_refused(fault):
    with pytest.raises(ConfigError):
        noise_for(**({"epsilon": 1.0, "sample_rate": 0.1, "steps": 10, "delta": 1e-5} | fault))


@pytest.mark.parametrize(("units", "delta"), [(400, 2.5e-4), (237, 4.2e-4), (1000, 1e-4), (2, 0.05)])
def test_the_default_delta_is_a_tenth_of_one_in_n_rounded_down(units, delta):
    assert default_delta(units) == pytest.approx(delta)
    assert default_delta(units) <= 1 / (10 * units)
