"""What noisy steps cost in privacy, and how much noise a budget asks for (Poisson-sampled Gaussian, add/remove).

    epsilon_spent(sample_rate=0.01, noise_multiplier=1.0, steps=1000, delta=1e-5)  -> 1.8384
    noise_for(epsilon=3.0, sample_rate=0.05, steps=200, delta=2e-4)                -> 1.14...

Epsilon is the larger of two accountants, made by different people in different ways: the upper bound of PRV (Gopi et
al., arXiv 2106.02848; Opacus) and that of the privacy-loss distribution (Doroshenko et al., arXiv 2207.04380;
dp_accounting). The central-limit (GDP) accountant understates epsilon and is not offered.
"""

from __future__ import annotations

import math
import warnings
from functools import cache

from shoplm_audit.errors import ConfigError

__all__ = ["ACCOUNTANT", "default_delta", "epsilon_spent", "noise_for", "pld_epsilon", "prv_epsilon"]

ACCOUNTANT = "max(PRV, PLD)"
_LEAST_NOISE, _MOST_NOISE = 0.2, 1e4
_TIGHT = 0.99  # the share of the budget that has to be used before the search stops


@cache
def prv_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """The upper bound of Opacus's PRV accountant, which lies about 0.01 above the truth; 0 after no step."""
    if steps == 0:
        return 0.0
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings():
        # At rate 1 it meets log 0 on the way to a right value; with much noise its grid of orders, for the mesh, ends.
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta))


@cache
def pld_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Epsilon from dp_accounting's privacy-loss distribution (connect the dots)."""
    from dp_accounting.pld import privacy_loss_distribution as pld  # type: ignore[import-untyped]

    one_step = pld.from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sample_rate, value_discretization_interval=1e-3, use_connect_dots=True
    )
    return float(one_step.self_compose(steps).get_epsilon_for_delta(delta)) if steps else 0.0


def epsilon_spent(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Epsilon after these steps: the larger of the two accountants; infinite without noise."""
    if noise_multiplier <= 0:
        return math.inf if steps else 0.0
    asked = (sample_rate, noise_multiplier, steps, delta)
    return max(prv_epsilon(*asked), pld_epsilon(*asked))


@cache
def noise_for(epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """About the least noise multiplier with which these steps spend at most epsilon, and at least 99 % of it.

    Raises:
        ConfigError: a value out of its range, or no noise in reach keeps the budget.
    """
    if not 0 < epsilon < math.inf:
        raise ConfigError(
            f"epsilon is {epsilon}: it has to be above 0 and finite. Leave it out to train without a guarantee."
        )
    if not 0 < delta < 1:
        raise ConfigError(f"delta is {delta}: it has to lie between 0 and 1.")
    if not 0 < sample_rate <= 1 or steps < 1:
        raise ConfigError(f"A sample rate of {sample_rate} over {steps} steps cannot be accounted for.")
    noise, too_little, enough = 1.0, None, None
    while noise < _MOST_NOISE:
        spent = epsilon_spent(sample_rate, noise, steps, delta)
        here = (math.log(noise), math.log(max(spent, 1e-12)))
        if spent > epsilon:
            too_little = here
        elif spent > _TIGHT * epsilon or noise < _LEAST_NOISE:
            return noise  # less than the least noise hides little from anyone, whatever the budget
        else:
            enough = here
        aim = math.log(epsilon * (1 + _TIGHT) / 2)
        if too_little and enough:  # log epsilon is nearly a straight line in log noise
            share = (too_little[1] - aim) / (too_little[1] - enough[1])
            noise = math.exp(too_little[0] + min(max(share, 0.05), 0.95) * (enough[0] - too_little[0]))
        else:
            noise *= min(max(math.exp(here[1] - aim), 0.6), 4.0)
    raise ConfigError(
        f"epsilon {epsilon} cannot be kept over {steps} steps at rate {sample_rate:.4g}. Take fewer steps."
    )


def default_delta(units: int) -> float:
    """1 / (10 N), rounded down to two digits."""
    exact = 1 / (10 * units)
    digit = 10.0 ** (math.floor(math.log10(exact)) - 1)
    return float(f"{math.floor(exact / digit * (1 + 1e-12)) * digit:.2g}")
