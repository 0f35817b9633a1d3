"""Names by templates: the tables that contrasts of groups are read from, and their standard error.

    Stratum(table=[[0.2, 0.4], [0.1, 0.3]], groups=["female", "male"])    # two names, two templates, one language

An audit of names asks the same few questions of many names, so its rows hang together twice. Names are drawn from all
names of a group and have effects of their own: rows of one name are one unit. Questions are met by both groups: what a
question does to everybody cancels, and what it does to one group alone (a question at which women are offered less) is
added to the error where there are at least 8 questions a language; below, a finding is about these questions. Which
question a case asks is its fact or group "template".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shoplm_audit.types import Case, Estimate, Floats, Observations

__all__ = ["MIN_TEMPLATES", "Found", "Stratum", "Undefined", "contrasted", "strata_of", "told", "undefined"]

MIN_TEMPLATES = 8  # of 5, chance looks like a treatment so often that 80 % power may fall to 64 % (by simulation)
Masks = NDArray[np.bool_]


class Undefined(Exception):
    """Why there is no number."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One language: what each name (G) got under each template (T), and the group of each name.

    Where some names lack some templates, T is 1 and the names' means are adjusted for which templates they met.
    """

    table: Floats
    groups: NDArray[np.str_]

    @property
    def means(self) -> Floats:
        """Of each name over templates, (G,)."""
        return np.asarray(self.table.mean(axis=1))


def strata_of(observations: Observations, values: Floats, side: Callable[[Case], str]) -> list[Stratum]:
    """Each language's table; rows whose side is "" stand outside.

    Raises:
        Undefined: a row without a value, or units that are not comparable.
    """
    cases = [row.case for row in observations]
    sides = np.array([side(case) for case in cases], dtype=np.str_)
    inside = sides != ""
    if not inside.any():
        raise Undefined("no such group")
    missing = int(np.isnan(values[inside]).sum())
    if missing:
        raise Undefined(f"{missing} of {int(inside.sum())} cases have no value, which could be worth anything")
    languages = np.array([case.language for case in cases])
    templates = np.array([case.of("template") for case in cases])
    clusters, strata = observations.clusters, []
    for language in np.unique(languages[inside]):
        rows = np.flatnonzero(inside & (languages == language))
        names, first, at = np.unique(clusters[rows], return_index=True, return_inverse=True)
        groups = sides[rows][first]
        if (groups[at] != sides[rows]).any():
            raise Undefined("a name stands in two groups; twins are compared by paired_contrast_of")
        kinds, under = np.unique(templates[rows], return_inverse=True)
        count = np.zeros((names.size, kinds.size))
        total = np.zeros_like(count)
        np.add.at(count, (at, under), 1.0)
        np.add.at(total, (at, under), values[rows])
        if kinds.size == 1 and np.ptp(count) > 0:
            raise Undefined('names have different numbers of cases, and no fact "template" tells which')
        strata.append(Stratum(_adjusted(count, total), groups))
    if sum(len(one.groups) for one in strata) > np.unique(clusters[inside]).size:
        raise Undefined("a name stands in two languages")
    return strata


def _adjusted(count: Floats, total: Floats) -> Floats:
    """Means per name and template (G, T), or where some are missing the names' means in an additive model, (G, 1)."""
    met = (count > 0).astype(np.float64)
    table = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    if met.all():
        return table
    # Least squares of name + template: names are eliminated, and the templates' effects are solved for.
    per_name = met.sum(axis=1)
    system = np.diag(met.sum(axis=0)) - met.T @ (met / per_name[:, None])
    effects, _, rank, _ = np.linalg.lstsq(
        system, table.sum(axis=0) - met.T @ (table.sum(axis=1) / per_name), rcond=1e-9
    )
    if rank < len(effects) - 1:
        raise Undefined("some names share no template with the others, not even by way of third ones")
    own = (table.sum(axis=1) - met @ effects) / per_name
    return np.asarray((own + effects.mean())[:, None])


class Found(NamedTuple):
    """Of S ways to divide names: the contrast, its standard error, and the degrees of freedom, each (S,)."""

    value: Floats
    error: Floats
    freedom: Floats

    def half(self, confidence: float) -> Floats:
        """The width of one side of Student's interval, (S,)."""
        return np.asarray(special.stdtrit(self.freedom, confidence) * self.error)


def contrasted(parts: Sequence[tuple[Floats, Masks]]) -> Found:
    """Mean of the marked names minus mean of the others, averaged over languages, by Welch and Satterthwaite.

    The variance is that of name means, and with 8 templates or more the part in which templates treat the groups
    differently: the mean square of template differences less what names' residuals leave there, where that is positive.

    Args:
        parts: of each language the table (G, T) and which names are marked, (S, G); 2 names on each side.
    """
    value, variance, squares = (np.zeros(len(parts[0][1])) for _ in range(3))
    weight = 1 / len(parts)
    for table, marked in parts:
        shift = float(table.mean())
        table, templates = table - shift, table.shape[1]
        means = table.mean(axis=1)
        within = ((table - means[:, None]) ** 2).sum(axis=1)
        gaps, noise, noise_squares = 0.0, 0.0, 0.0
        for mask, sign in ((marked, 1.0), (~marked, -1.0)):
            names = mask.sum(axis=1)
            centre = mask @ means / names
            part = np.maximum(mask @ means**2 / names - centre**2, 0.0) / (names - 1)
            value += weight * sign * centre
            variance += weight**2 * part
            squares += weight**4 * part**2 / (names - 1)
            if templates >= MIN_TEMPLATES:
                under = mask @ table / names[:, None]
                freedom = (names - 1) * (templates - 1)
                left = np.maximum(mask @ within - names * ((under - centre[:, None]) ** 2).sum(axis=1), 0.0)
                part = left / freedom / (names * templates)
                gaps, noise, noise_squares = gaps + sign * under, noise + part, noise_squares + part**2 / freedom
        if templates >= MIN_TEMPLATES:
            spread = np.var(gaps, axis=1, ddof=1) / templates
            more = spread > noise
            variance += np.where(more, weight**2 * (spread - noise), 0.0)
            squares += np.where(more, weight**4 * (spread**2 / (templates - 1) + noise_squares), 0.0)
    freedom = np.divide(variance**2, squares, out=np.ones_like(variance), where=squares > 0)
    return Found(value, np.sqrt(variance), freedom)


def undefined(observations: Observations, why: str) -> Estimate:
    """No number, and why."""
    units = int(np.unique(observations.clusters).size)
    return Estimate(math.nan, math.nan, math.nan, units, f"undefined: {why}")


def told(strata: Sequence[Stratum]) -> str:
    """Whether templates are taken as a sample of templates."""
    crossed = [one.table.shape[1] >= MIN_TEMPLATES for one in strata]
    return "random" if all(crossed) else f"random where there are {MIN_TEMPLATES}" if any(crossed) else "fixed"
