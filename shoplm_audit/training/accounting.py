"""What noisy steps cost in privacy, and how much noise a budget asks for (Poisson-sampled Gaussian, add/remove).

    epsilon_spent(sample_rate=0.01, noise_multiplier=1.0, steps=1000, delta=1e-5)  -> 1.8384
    noise_for(epsilon=3.0, sample_rate=0.05, steps=200, delta=2e-4)                -> 1.14...

Epsilon is the PRV accountant's upper bound (Gopi et al., arXiv 2106.02848); where dp_accounting is installed, its
privacy-loss distribution is computed too and the larger is taken. The central-limit (GDP) accountant understates
epsilon and is not offered.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from functools import cache

from shoplm_audit.errors import ConfigError

__all__ = ["accountant_name", "default_delta", "epsilon_spent", "noise_for", "pld_epsilon", "prv_epsilon"]

_LEAST_NOISE, _MOST_NOISE = 0.2, 1e4
_TOLERANCE = 1e-3  # relative, of the noise multiplier


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


def pld_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float | None:
    """Epsilon from dp_accounting's privacy-loss distribution (connect the dots), or None where it is not installed."""
    if importlib.util.find_spec("dp_accounting") is None:
        return None
    from dp_accounting.pld import privacy_loss_distribution as pld  # type: ignore[import-untyped]

    one_step = pld.from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sample_rate, value_discretization_interval=1e-3, use_connect_dots=True
    )
    return float(one_step.self_compose(steps).get_epsilon_for_delta(delta)) if steps else 0.0


def epsilon_spent(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Epsilon after these steps: the larger of the accountants at hand; infinite without noise."""
    if noise_multiplier <= 0:
        return math.inf if steps else 0.0
    spent = (
        prv_epsilon(sample_rate, noise_multiplier, steps, delta),
        pld_epsilon(sample_rate, noise_multiplier, steps, delta),
    )
    return max(value for value in spent if value is not None)


def accountant_name() -> str:
    """Which accounting `epsilon_spent` does on this machine."""
    return "max(PRV, PLD)" if importlib.util.find_spec("dp_accounting") else "PRV"


def noise_for(epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """The least noise multiplier, to 0.1 %, with which these steps spend at most epsilon.

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
    from scipy.optimize import brentq

    def excess(log_noise: float) -> float:
        return math.log(max(prv_epsilon(sample_rate, math.exp(log_noise), steps, delta), 1e-12) / epsilon)

    # Bracketed in small strides from 1, since the accountant is slow where there is little noise.
    high, stride = 0.0, math.log(1.5)
    while excess(high) > 0:
        high += stride
        if high > math.log(_MOST_NOISE):
            raise ConfigError(
                f"epsilon {epsilon} is too small for {steps} steps at rate {sample_rate:.4g}: take fewer."
            )
    while excess(high - stride) <= 0:
        high -= stride
        if high < math.log(_LEAST_NOISE):
            return math.exp(high)  # less noise hides little from anyone, whatever the budget
    noise = math.exp(brentq(excess, high - stride, high, xtol=_TOLERANCE))
    while epsilon_spent(sample_rate, noise, steps, delta) > epsilon:  # rounding, or the cross-check is the stricter one
        noise *= 1 + _TOLERANCE
    return noise


def default_delta(units: int) -> float:
    """1 / (10 N), rounded down to two digits."""
    exact = 1 / (10 * units)
    digit = 10.0 ** (math.floor(math.log10(exact)) - 1)
    return float(f"{math.floor(exact / digit * (1 + 1e-12)) * digit:.2g}")
