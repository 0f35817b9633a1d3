"""Noisy gradients of private units: drawn by Poisson, clipped one by one, summed, and covered with Gaussian noise.

    units = sampler.draw()                      # each unit independently with probability q
    engine.set_gradient(units)                  # p.grad = (sum of clipped unit gradients + noise) / (q N)

Opacus keeps the noisy step and its ledger; the clipped sums come from `bookkeeping`, the noise from `noise`. Draws are
made here: Opacus's sampler compares float32 numbers with the rate and knows no users. A logical step cannot be cut in
two, and noise and draws come from the operating system's entropy with no seed kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from shoplm_audit.errors import AuditError, ConfigError, ModelError
from shoplm_audit.training.guarantee import PrivatePlan
from shoplm_audit.training.objectives import Objective
from shoplm_audit.training.parallel import Processes
from shoplm_audit.training.plain import PlainGradients
from shoplm_audit.training.rows import Row
from shoplm_audit.training.settings import TrainSettings

__all__ = ["PoissonSampler", "PrivateGradients", "audited_noise", "audited_sampler"]

# Clipping norms of the check: below any made-up gradient's, so that a wrong norm shows, and above them all, so that it
# does not hide a loss that others scale.
_LOW, _HIGH = 0.01, 1e9
_LONGER = 10  # times the clipping norm in use: a gradient that has to be clipped
_ROUNDING = 1e-4  # relative difference from the one-by-one loop that float32 explains; true faults are above 1e-2
_SURE, _DRAWS = 0.999, 1 << 20  # of the noise audit: confidence of each bound, and how many numbers it looks at
# Of the sampler's: the chance that one of its tests stops an honest run; as many steps as tell a batch of fixed size;
# and as many drawn units as tell a rate 1.2 times too high, each with errors below 1e-6.
_FALSE_ALARM, _TRIED, _MET, _FEW = 1e-8, 128, 4000, 64


@dataclass(frozen=True, slots=True, eq=False)
class PoissonSampler:
    """Draws units for a step, each independently with probability `rate`: the very draw that the accountant assumes.

    Args:
        sizes: how many records each unit has.
        rate: the probability q.
        most_records: how many records of one unit enter a step; drawn afresh where it has more.
        rng: of the draws; the operating system's entropy in every real run.
    """

    sizes: Sequence[int]
    rate: float
    most_records: int
    rng: np.random.Generator

    def draw(self) -> list[list[tuple[int, int]]]:
        """The drawn units as (unit, record) places; often more or fewer than expected, and at times none."""
        drawn = np.flatnonzero(self.rng.random(len(self.sizes)) < self.rate)
        return [[(int(unit), int(record)) for record in self._some(self.sizes[int(unit)])] for unit in drawn]

    def _some(self, records: int) -> Sequence[int]:
        if records <= self.most_records:
            return range(records)
        return self.rng.choice(records, self.most_records, replace=False).tolist()  # type: ignore[no-any-return]


def audited_sampler(draw: Callable[[], list[list[tuple[int, int]]]], units: int, rate: float) -> str:
    """Draws as the steps will, and holds what comes against independent coins of the accountant's rate.

    Tried: how many are drawn in all, against the exact binomial law; whether a unit or a record comes twice in a step;
    whether one unit comes oftener than coins allow; whether the numbers drawn in a step, and of times that a unit is
    drawn, vary as independent coins make them vary (a batch of fixed size and an epoch's shuffle do not).

    Args:
        draw: the sampler's own; what it gives here is thrown away, so nothing of it is paid for.
        units: how many units the accountant was told of, N.
        rate: the probability that it was told, q.

    Returns:
        What was measured, in a sentence.

    Raises:
        ModelError: the draws are not those that the accountant assumes.
    """
    from scipy.stats import binom, chi2

    steps = max(_TRIED, math.ceil(_MET / (units * rate)))
    of_steps, of_units = np.zeros(steps), np.zeros(units)
    for step in range(steps):
        drawn = draw()
        pairs = [place for places in drawn for place in places]
        ids = [unit for places in drawn for unit in {unit for unit, _ in places}]
        if len(set(pairs)) < len(pairs) or len(set(ids)) < len(ids):
            raise ModelError("The sampler draws a unit or a record twice in a step: the guarantee would not hold.")
        if ids and max(ids) >= units:
            raise ModelError(f"The sampler draws from more than the {units} units that the accountant was told of.")
        of_steps[step] = len(ids)
        of_units[ids] += 1

    def refused(what: str) -> ModelError:
        return ModelError(f"Test of the sampler: {what}. The guarantee would not hold.")

    total, measured = int(of_steps.sum()), float(of_steps.sum()) / (steps * units)
    if min(binom.cdf(total, steps * units, rate), binom.sf(total - 1, steps * units, rate)) < _FALSE_ALARM:
        raise refused(f"units are drawn with probability {measured:.4g}, and the accountant was told {rate:.4g}")
    if units * binom.sf(of_units.max() - 1, steps, rate) < _FALSE_ALARM:
        raise refused(f"one unit is drawn in {int(of_units.max())} of {steps} steps")
    varies = math.nan
    for counts, tosses, what in ((of_units, steps, "times that a unit is drawn"), (of_steps, units, "units of a step")):
        variance = tosses * rate * (1 - rate)
        if variance == 0 or len(counts) < _FEW:
            continue
        varies = float(np.square(counts - tosses * rate).mean()) / variance
        # Its law is near a chi-square's with the same variance; coins seldom tossed have the longer tail.
        freedom = 2 * len(counts) / (2 + (1 - 6 * rate * (1 - rate)) / variance)
        low, high = (float(chi2.ppf(p, freedom)) / freedom for p in (_FALSE_ALARM, 1 - _FALSE_ALARM))
        if not low < varies < high:
            raise refused(f"the number of {what} varies {varies:.2g} times as much as independent coins make it vary")
    told = "" if math.isnan(varies) else f", the number of units varies {varies:.2f} times as independent coins do"
    return (
        f"Test of the sampler in {steps} steps: units are drawn with probability {measured:.4g} (accounted: "
        f"{rate:.4g}), none twice{told}."
    )


class PrivateGradients:
    """Puts the noisy mean gradient of drawn units where an optimiser looks for it, and keeps the ledger.

    Args:
        model: in float32, without dropout, on its device.
        optimizer: over its trainable weights; its own step is left to the caller.
        objective: makes batches of rows.
        settings: clipping norm, micro-batch, precision.
        plan: noise, rate and the expected number of units, by which the sum is divided whatever was drawn.
        processes: who shares the units; the first adds the noise, once.
        counted: called with the rows of each micro-batch, to count what it costs.
        insecure_seed: for tests only; noise that can be repeated protects nobody.

    Raises:
        ModelError: a layer mixes records or cannot be booked record by record.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        objective: Objective,
        settings: TrainSettings,
        plan: PrivatePlan,
        processes: Processes,
        counted: Callable[[Sequence[Row]], None] = lambda _: None,
        insecure_seed: int | None = None,
    ) -> None:
        from opacus.accountants import PRVAccountant

        from shoplm_audit.training.bookkeeping import ClippedSums
        from shoplm_audit.training.noise import NoisyOptimizer

        self._objective, self._settings, self._plan, self._processes = objective, settings, plan, processes
        self._sums = ClippedSums(model, settings.clip_norm)
        self._accountant = PRVAccountant()
        self._noisy = NoisyOptimizer(
            optimizer,
            clip_norm=settings.clip_norm,
            noise_multiplier=plan.noise_multiplier,
            expected_units=plan.expected,
            insecure_seed=insecure_seed,
        )
        self._noisy.attach_step_hook(self._accountant.get_optimizer_hook_fn(plan.rate))
        self._parameters: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._plain = PlainGradients(model, objective, settings, processes)
        self._counted = counted

    def set_gradient(self, units: Sequence[Sequence[Row]]) -> None:
        """Sets every `grad` to (sum of clipped unit gradients + noise) / (q N); without a unit it is noise alone.

        Args:
            units: the drawn rows of each unit; all processes give the same and share the work.

        Raises:
            AuditError: a gradient is not a finite number.
        """
        self.set_clipped_sum(units, self._counted)
        # Opacus adds the noise, divides by q N and writes the ledger. Every process does, and the first one's counts.
        self._noisy.pre_step()
        self._processes.tell(parameter.grad for parameter in self._parameters)
        if not all(bool(parameter.grad.isfinite().all()) for parameter in self._parameters):
            raise AuditError("A private gradient is not a finite number. Lower learning_rate.")

    def set_clipped_sum(
        self,
        units: Sequence[Sequence[Row]],
        counted: Callable[[Sequence[Row]], None] = lambda _: None,
        scale: float = 1.0,
    ) -> None:
        """Sets every `summed_grad` to the sum of the units' clipped gradients, without noise: not to be published.

        Every loss is taken `scale` times, which only the check of the clipping asks for.
        """
        import torch

        for parameter in self._parameters:
            parameter.grad, parameter.summed_grad = None, torch.zeros_like(parameter)
        by_size = sorted((unit for unit in units if unit), key=lambda unit: (len(unit), max(row.size for row in unit)))
        for count, alike in groupby(self._processes.mine(by_size), key=len):
            own = list(alike)
            together = max(1, self._settings.micro_batch // count)  # a unit's rows stay together even if they are more
            for start in range(0, len(own), together):
                part = own[start : start + together]
                rows = [row for unit in part for row in unit]
                counted(rows)
                self._sums.add(partial(self._losses, rows, scale), len(part), count)
        self._processes.add_up(parameter.summed_grad for parameter in self._parameters)

    def _losses(self, rows: Sequence[Row], scale: float) -> Any:
        losses = self._plain.losses(rows)
        return losses if scale == 1 else scale * losses

    @property
    def ledger(self) -> list[tuple[float, float, int]]:
        """The noisy steps that were taken: (noise multiplier, sample rate, steps)."""
        return [(float(noise), float(rate), int(steps)) for noise, rate, steps in self._accountant.history]

    def go_on(self, ledger: list[tuple[float, float, int]], steps: int) -> None:
        """Takes over the ledger of earlier sittings.

        Raises:
            ConfigError: it does not hold the steps that were taken.
        """
        if {(noise, rate) for noise, rate, _ in ledger} - {(self._plan.noise_multiplier, self._plan.rate)}:
            raise ConfigError(
                "The saved state's steps had other noise than this accounting asks for. Install the versions that were "
                "installed then, or remove the state to begin anew."
            )
        if sum(count for _, _, count in ledger) != steps:
            raise ConfigError(f"The saved state has no ledger of its {steps} private steps. Remove it to begin anew.")
        self._accountant.history = list(ledger)

    def preflight(self, context: int) -> str:
        """Checks on made-up rows that clipped sums are those of a loop over records, and the norm; audits the noise.

        Returns:
            What was measured, in a sentence.

        Raises:
            ModelError: the guarantee would not hold; nothing private has been touched.
        """
        import torch

        rng, worst, usual = np.random.default_rng(0), 0.0, self._sums.clip_norm
        if usual != self._settings.clip_norm:
            raise ModelError(
                f"Test of the clipping: gradients are clipped to {usual:g}, and the accountant was told "
                f"{self._settings.clip_norm:g}. The guarantee would not hold."
            )
        shares = self._processes.count  # so that each process has as many rows as one alone
        try:
            self._sums.clip_norm = min(usual, _LOW)
            for count, longest in ((3, min(7, context)), (4, min(4, context))):  # the second: as many rows as tokens
                rows = self._objective.invented(count * shares, longest, rng)
                pairs = [rows[i : i + 2] for i in range(0, len(rows) - 1, 2)]
                worst = max(worst, self._difference([[row] for row in rows]), self._difference(pairs))
            self._sums.clip_norm = _HIGH
            worst = max(worst, self._difference([[row] for row in rows]))
        finally:
            self._sums.clip_norm = usual
        allowed = _ROUNDING * (100 if self._settings.precision == "bf16" else 1)
        if not worst <= allowed:
            raise ModelError(f"Gradients of single records are off by {worst:.1%}: the guarantee would not hold.")
        longest_of_all = max(self._length([row]) for row in rows[:2])
        if not longest_of_all <= self._settings.clip_norm * (1 + allowed):
            raise ModelError(
                f"Test of the clipping: the gradient of one unit comes out {longest_of_all:.3g} long, and should be "
                f"clipped to {self._settings.clip_norm:g}. The guarantee would not hold."
            )
        for parameter in self._parameters:
            parameter.summed_grad = torch.zeros_like(parameter)
        self._noisy.add_noise()  # as in every step, but for the ledger: nothing private is under it
        drawn = torch.cat([parameter.grad.flatten() for parameter in self._parameters])[:_DRAWS].double().cpu().numpy()
        told = audited_noise(drawn / self._settings.clip_norm, self._plan.noise_multiplier, self._plan.delta)
        return (
            f"{told} Clipped sums differ from a loop over single records by {worst:.1g}. A gradient longer than the "
            f"clipping norm comes out {longest_of_all / self._settings.clip_norm:.3f} times as long as it."
        )

    def _length(self, unit: Sequence[Row]) -> float:
        """How long a unit's clipped gradient is, at the norm in use, its loss scaled until it has to be clipped."""
        self.set_clipped_sum([unit])
        short = self._norm_of_sum()
        scale = max(1.0, _LONGER * self._settings.clip_norm / short) if short else 1.0
        self.set_clipped_sum([unit], scale=scale)
        return self._norm_of_sum()

    def _norm_of_sum(self) -> float:
        return math.sqrt(sum(float(parameter.summed_grad.double().square().sum()) for parameter in self._parameters))

    def _difference(self, units: Sequence[Sequence[Row]]) -> float:
        """How far the clipped sums are from those of a loop, relative to these."""
        self.set_clipped_sum(units)
        ours = [parameter.summed_grad for parameter in self._parameters]
        naive = self.naive_clipped_sum(units)
        total = math.sqrt(sum(float(g.double().square().sum()) for g in naive))
        wrong = math.sqrt(sum(float((a - b).double().square().sum()) for a, b in zip(ours, naive, strict=True)))
        return wrong / total if total else math.inf

    def naive_clipped_sum(self, units: Sequence[Sequence[Row]]) -> list[Any]:
        """The same sum by one backward pass per record, without padding or book-keeping: slow, and plainly right."""
        import torch

        parameters = self._parameters
        sums = [torch.zeros_like(parameter) for parameter in parameters]
        for unit in units:
            means = [torch.zeros_like(parameter) for parameter in parameters]
            for row in unit:
                loss = self._plain.losses([row]).sum()
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
                for mean, gradient in zip(means, gradients, strict=True):
                    mean += 0 if gradient is None else gradient / len(unit)
            norm = math.sqrt(sum(float(mean.double().square().sum()) for mean in means))
            for total, mean in zip(sums, means, strict=True):
                total += mean * min(1.0, self._sums.clip_norm / (norm + 1e-6))
        return sums


def audited_noise(noise: Any, multiplier: float, delta: float) -> str:
    """Attacks one step's noise with all that an attacker could know, and holds the result against the theory.

    The step without and with one unit is told apart by a threshold on the noise's projection on that unit's gradient,
    chosen on one half of the draws and counted on the other (one-sided bounds at 99.9 % each, Clopper and Pearson).

    Args:
        noise: the noise over the clipping norm, one number per weight (n,): each is a projection of its own.
        multiplier: the standard deviation it should have.
        delta: of the guarantee.

    Returns:
        The measured lower bound beside the theory's epsilon, in a sentence.

    Raises:
        ModelError: the noise is weaker or stronger than asked for, or the attack beats the theory.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    ratio = float(noise.std()) / multiplier
    if not abs(ratio - 1) < 6 / math.sqrt(2 * noise.size):
        raise ModelError(f"The noise is {ratio:.3f} times what was asked for: the guarantee would not hold.")

    def told_apart(epsilon: float) -> float:  # delta of the Gaussian mechanism (Balle and Wang, arXiv 1805.06530)
        at, by = epsilon * multiplier, 1 / (2 * multiplier)
        return float(norm.cdf(by - at) - math.exp(epsilon) * norm.cdf(-by - at)) - delta

    theory = brentq(told_apart, 0.0, 50 / multiplier + 1 / multiplier**2) if told_apart(0.0) > 0 else 0.0
    without, with_one = noise[0::2], noise[1::2] + 1.0
    half = len(without) // 2
    threshold = max(
        np.quantile(without[:half], np.linspace(0.5, 0.999, 50)),
        key=lambda t: _bound(with_one[:half] > t, without[:half] > t, delta),
    )
    measured = _bound(with_one[half:] > threshold, without[half:] > threshold, delta)
    if measured > theory + 0.05:
        raise ModelError(f"One step gives away epsilon {measured:.2f}, where theory allows {theory:.2f}.")
    return (
        f"White-box audit of one step's noise, as if its unit were always drawn: epsilon at least {measured:.2f} "
        f"measured, {theory:.2f} by theory."
    )


def _bound(seen: Any, falsely: Any, delta: float) -> float:
    """A lower bound of epsilon from how often an attack is right and wrong."""
    from shoplm_audit.uncertainty import clopper_pearson

    right, wrong = (clopper_pearson(int(hits.sum()), len(hits), _SURE) for hits in (seen, falsely))
    return math.log(max(right[0] - delta, 1e-12) / max(wrong[1], 1e-12)) if right[0] > wrong[1] else 0.0
