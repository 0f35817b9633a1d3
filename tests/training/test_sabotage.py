"""Trainers with a fault that voids a guarantee, each found before its first step by the instrument that can see it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoplm_audit.errors import ModelError
from shoplm_audit.training import bookkeeping
from shoplm_audit.training import noise as noise_module
from shoplm_audit.training import steps as steps_module
from shoplm_audit.training.corpus import Example
from shoplm_audit.training.loop import train
from shoplm_audit.training.plain import PlainGradients
from shoplm_audit.training.private import PoissonSampler, audited_sampler
from shoplm_audit.training.settings import TrainSettings

SIZE = {"layers": 1, "heads": 2, "width": 16, "context": 32, "vocabulary": 300}
CHOSEN = TrainSettings(**SIZE, epsilon=4.0, unit="user", steps=2, batch=12, holdout=0.0)
PUBLIC = [Example(f"Kettle {n % 7} holds {n % 5}.2 l.") for n in range(40)]
PRIVATE = [Example(f"Zoltan{user} lives at {user} Quay.", f"user-{user}", True) for user in range(60) for _ in range(2)]
NOISE, SUMS, SAMPLER = r"[Tt]he noise is", r"single records are off by|mixed", "sampler"
CLIPPING = "Test of the clipping"


def halved_noise(monkeypatch):
    honest = noise_module.add_noise
    monkeypatch.setattr(
        noise_module, "add_noise", lambda sums, deviation, entropy: honest(sums, deviation / 2, entropy)
    )


def no_noise(monkeypatch):
    monkeypatch.setattr(noise_module, "add_noise", lambda *_: None)


def noise_for_another_clipping_norm(monkeypatch):
    honest = noise_module.add_noise
    monkeypatch.setattr(
        noise_module, "add_noise", lambda sums, deviation, entropy: honest(sums, 1.1 * deviation, entropy)
    )


def token_mean_loss(monkeypatch):
    """The loss of a record divides by the tokens of the batch: who stands beside it decides its gradient."""
    honest = PlainGradients.losses

    def coupled(self, rows):
        sizes = torch.tensor([row.size for row in rows])
        return honest(self, rows) * sizes / sizes.sum()

    monkeypatch.setattr(PlainGradients, "losses", coupled)


def no_clipping(monkeypatch):
    honest = bookkeeping._Book.norms
    monkeypatch.setattr(bookkeeping._Book, "norms", lambda book, device: honest(book, device) * 0)


def an_infinite_clipping_norm(monkeypatch):
    """The check may set a norm of its own and find that it is kept: what counts is the norm that the steps use."""
    honest = bookkeeping.ClippedSums.__init__
    monkeypatch.setattr(bookkeeping.ClippedSums, "__init__", lambda sums, model, _: honest(sums, model, math.inf))


def a_clipping_norm_twice_as_large(monkeypatch):
    honest = bookkeeping.ClippedSums.__init__
    monkeypatch.setattr(bookkeeping.ClippedSums, "__init__", lambda sums, model, norm: honest(sums, model, 2 * norm))


def no_clipping_at_the_norm_in_use(monkeypatch):
    """It names the right norm, keeps any other, and does not clip in a step."""
    honest = bookkeeping.ClippedSums.add

    def add(sums, *arguments):
        usual = sums.clip_norm
        sums.clip_norm = math.inf if usual == CHOSEN.clip_norm else usual
        try:
            return honest(sums, *arguments)
        finally:
            sums.clip_norm = usual

    monkeypatch.setattr(bookkeeping.ClippedSums, "add", add)


def ten_times_the_rate(monkeypatch):
    """The sampler is told another rate than the accountant."""
    monkeypatch.setattr(steps_module, "PoissonSampler", lambda n, rate, *rest: PoissonSampler(n, 10 * rate, *rest))


class TenTimesTheRate(PoissonSampler):
    def draw(self):
        rate = min(1.0, 10 * self.rate)
        return PoissonSampler(self.sizes, rate, self.most_records, self.rng).draw()


class RateAFifthTooHigh(PoissonSampler):
    def draw(self):
        return PoissonSampler(self.sizes, 1.2 * self.rate, self.most_records, self.rng).draw()


class RecordTwice(PoissonSampler):
    def draw(self):
        drawn = PoissonSampler.draw(self)
        return [[*drawn[0], drawn[0][0]], *drawn[1:]] if drawn else drawn


class RecordsApart(PoissonSampler):
    """A unit that is clipped record by record moves the sum by more than one norm."""

    def draw(self):
        return [[place] for places in PoissonSampler.draw(self) for place in places]


class FixedBatch(PoissonSampler):
    def draw(self):
        size = round(len(self.sizes) * self.rate)
        return [[(int(unit), 0)] for unit in self.rng.choice(len(self.sizes), size, replace=False)]


class AllOrNobody(PoissonSampler):
    def draw(self):
        return [[(unit, 0)] for unit in range(len(self.sizes))] if self.rng.random() < self.rate else []


class HouseholdsTogether(PoissonSampler):
    """One coin for three neighbours: each comes at the right rate, and not independently."""

    def draw(self):
        tosses = self.rng.random(len(self.sizes) // 3) < self.rate
        return [[(3 * int(house) + one, 0)] for house in np.flatnonzero(tosses) for one in range(3)]


class Turns(PoissonSampler):
    """Whoever was drawn waits until all others were: sizes vary as they should, and nobody is drawn by chance."""

    def draw(self):
        size = self.rng.binomial(len(self.sizes), self.rate)
        queue = _QUEUES.setdefault(id(self), [])
        while len(queue) < size:
            queue.extend(unit for unit in self.rng.permutation(len(self.sizes)) if unit not in queue[-size:])
        taken = {int(queue.pop(0)) for _ in range(size)}
        return [[(unit, 0)] for unit in taken]


class OneAlways(PoissonSampler):
    def draw(self):
        return [[(0, 0)], *(places for places in PoissonSampler.draw(self) if places[0][0])]


class MoreUnits(PoissonSampler):
    def draw(self):
        return PoissonSampler([*self.sizes, 1], self.rate, self.most_records, self.rng).draw()


_QUEUES: dict[int, list[int]] = {}
SAMPLERS = {
    "ten times the rate": (TenTimesTheRate, "probability"),
    "a fifth too high a rate": (RateAFifthTooHigh, "probability"),
    "a record twice": (RecordTwice, "twice"),
    "a unit's records apart": (RecordsApart, "twice"),
    "batches of fixed size": (FixedBatch, "units of a step varies"),
    "all or nobody": (AllOrNobody, "varies|probability"),
    "households together": (HouseholdsTogether, "units of a step varies"),
    "turns": (Turns, "times that a unit is drawn varies"),
    "one always": (OneAlways, "one unit is drawn"),
    "more units": (MoreUnits, "more than"),
}


def sampler(kind):
    return lambda monkeypatch: monkeypatch.setattr(steps_module, "PoissonSampler", SAMPLERS[kind][0])


SABOTEURS = {
    "noise halved": (halved_noise, NOISE),
    "noise left out": (no_noise, NOISE),
    "noise for another clipping norm": (noise_for_another_clipping_norm, NOISE),
    "token-mean loss": (token_mean_loss, SUMS),
    "clipping left out": (no_clipping, SUMS),
    "an infinite clipping norm": (an_infinite_clipping_norm, CLIPPING),
    "a clipping norm twice as large": (a_clipping_norm_twice_as_large, CLIPPING),
    "no clipping at the norm in use": (no_clipping_at_the_norm_in_use, CLIPPING),
    "ten times the rate": (ten_times_the_rate, SAMPLER),
    "a record twice in a batch": (sampler("a record twice"), SAMPLER),
    "batches of fixed size": (sampler("batches of fixed size"), SAMPLER),
}


@pytest.mark.parametrize("name", SABOTEURS)
def test_a_sabotaged_trainer_is_found_by_its_instrument_before_the_first_step(name, monkeypatch, tmp_path):
    sabotage, instrument = SABOTEURS[name]
    sabotage(monkeypatch)
    steps = []
    with pytest.raises(ModelError, match=instrument):
        train(CHOSEN, PUBLIC, PRIVATE, tmp_path / "model", steps.append)
    assert steps == []
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("clip_norm", [0.05, 0.5, 300.0])
def test_an_honest_trainer_passes(tmp_path, clip_norm):
    """Also where made-up gradients are shorter than the clipping norm and have to be scaled to be clipped."""
    record = train(replace(CHOSEN, clip_norm=clip_norm), PUBLIC, PRIVATE, tmp_path / "model")
    assert record.steps == 2
    assert not record.privacy.void
    assert "comes out 1.000 times as long" in record.privacy.preflight


# The sampler's test alone -------------------------------------------------------------------------------------------


def audited(kind, units=400, expected=16, seed=0, records=3):
    made = kind([records] * units, expected / units, 2, np.random.default_rng(seed))
    return audited_sampler(made.draw, units, expected / units)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_fault_of_a_sampler_is_found_and_named(name):
    for seed in range(5):
        with pytest.raises(ModelError, match=SAMPLERS[name][1]):
            audited(SAMPLERS[name][0], seed=seed)


@pytest.mark.parametrize(("units", "expected"), [(2, 1), (2, 2), (15, 3), (20, 19), (400, 16), (3000, 2), (600, 200)])
def test_an_honest_sampler_passes_whatever_its_rate(units, expected):
    for seed in range(4):
        told = audited(PoissonSampler, units, expected, seed)
        assert f"accounted: {expected / units:.4g}" in told
        assert ("varies" in told) == (expected < units)


def test_two_units_that_happen_to_come_equally_often_are_no_fault():
    turns = itertools.cycle([[], [[(0, 0)]], [[(1, 0)]], [[(0, 0)], [(1, 0)]]])
    assert "none twice" in audited_sampler(lambda: next(turns), 2, 0.5)


def test_a_rate_a_fifth_too_high_or_too_low_is_found_whatever_the_size_of_a_step():
    for units, expected in ((40, 4), (400, 60), (5000, 3)):
        for factor in (1.2, 0.8):
            made = PoissonSampler([1] * units, factor * expected / units, 4, np.random.default_rng(1))
            with pytest.raises(ModelError, match="probability"):
                audited_sampler(made.draw, units, expected / units)


def test_enough_units_are_met_that_a_rate_a_fifth_too_high_is_missed_less_than_once_in_a_million():
    from scipy.stats import binom

    from shoplm_audit.training import private

    for units, rate in ((400, 0.04), (5000, 3 / 5000), (600, 0.3)):
        tosses = max(private._TRIED, math.ceil(private._MET / (units * rate))) * units
        least = binom.isf(private._FALSE_ALARM, tosses, rate)
        assert binom.cdf(least, tosses, 1.2 * rate) < 1e-6
