"""How reports say things: numbers with their interval, limits, gates and verdicts.

said(0.1234, 0.09, 0.16, "rate_contradicted") -> Said("12.3 %", "9.0 %", "16.0 %")
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shoplm_audit.rendering.naming import NAMES, attack, label
from shoplm_audit.rendering.speaking import _, retold
from shoplm_audit.results import EstimateResult, GateResult, Result, SuiteResult

__all__ = [
    "ORDER",
    "VERDICTS",
    "Said",
    "amount",
    "attack",
    "duration",
    "estimate_of",
    "headline",
    "label",
    "limit_of",
    "listed",
    "said",
    "slice_of",
    "suite_verdict",
    "tally",
    "verdict_word",
    "within",
]

VERDICTS: Mapping[str, str] = {
    "fail": "Fail",
    "undecided": "Undecided",
    "not_tested": "Not tested",
    "not_applicable": "Not applicable",
    "pass": "Pass",
}
ORDER = tuple(VERDICTS)  # what a reader has to see first
UNDEFINED = "undefined"


class Said(NamedTuple):
    """A number and its two bounds as text, all to the digits that the interval supports."""

    value: str
    low: str
    high: str

    @property
    def interval(self) -> str:
        """As in "[9.0 %, 16.0 %]", or "" where neither bound is defined."""
        none = _(UNDEFINED)
        bounds = [_("no bound") if bound == none else bound for bound in (self.low, self.high)]
        return "" if self.low == self.high == none else f"[{', '.join(bounds)}]"

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".rstrip()


def in_percent(metric: str) -> bool:
    """Whether a metric is a share of cases, which people read in per cent."""
    return metric.startswith(("rate_", "excess_", "share_", "accuracy", "tpr_"))


def number(value: float | None, decimals: int, percent: bool) -> str:
    """One number; None is "undefined"."""
    if value is None or not math.isfinite(value):
        return _(UNDEFINED)
    scaled = value * 100 if percent else value
    plain = f"{scaled:,.{decimals}f}"
    if not float(plain.replace(",", "")):
        plain = plain.lstrip("-")
        if scaled and decimals >= 4:
            plain = f"{scaled:.1e}"
    return f"{plain.replace('-', '−')} %" if percent else plain.replace("-", "−")


def said(value: float | None, low: float | None, high: float | None, metric: str = "") -> Said:
    """A number and its bounds with two significant digits of the interval's width.

    >>> said(0.1234, 0.09, 0.16, "rate_contradicted").interval
    '[9.0 %, 16.0 %]'
    """
    percent = in_percent(metric)
    known = [x * (100 if percent else 1) for x in (value, low, high) if x is not None and math.isfinite(x)]
    spread = max(known) - min(known) if known else 0.0
    spread = spread or (max(map(abs, known)) / 10 if known else 0.0)  # three digits where no interval tells
    decimals = min(4, max(0, 1 - math.floor(math.log10(spread)))) if spread else 0
    return Said(*(number(x, decimals, percent) for x in (value, low, high)))


def limit(value: float, metric: str) -> str:
    """A gate's limit, with the digits it was written with."""
    percent = in_percent(metric)
    return f"{value * 100 if percent else value:.6g}".replace("-", "−") + (" %" if percent else "")


def limit_of(gate: GateResult) -> str:
    """As in "at most 5 %", "from −0.1 to 0.1", or "" where nothing binds."""
    low, high = gate.at_least, gate.at_most
    if low is not None and high is not None:
        return _("from {low} to {high}", low=limit(low, gate.metric), high=limit(high, gate.metric))
    if high is not None and gate.burden == "refutation":
        return _("claimed at most {high}", high=limit(high, gate.metric))
    if high is not None:
        return _("at most {high}", high=limit(high, gate.metric))
    return _("at least {low}", low=limit(low, gate.metric)) if low is not None else ""


def slice_of(slices: Mapping[str, str]) -> str:
    """A slice in words: "Chinese", "kettles"; "" is all cases."""
    return listed(
        retold(NAMES.get(value, value) if key in ("language", "task", "category") else f"{key} {value}")
        for key, value in sorted(slices.items())
    )


def listed(parts: Iterable[str]) -> str:
    """Parts as a list: "Chinese, kettles"."""
    return _(", ").join(parts)


def verdict_word(verdict: str) -> str:
    """A verdict as the page's language calls it: "not_tested" -> "Not tested"."""
    return _(VERDICTS[verdict])


def estimate_of(suite: SuiteResult, gate: GateResult) -> EstimateResult | None:
    """The estimate that a gate was judged on."""
    return next((e for e in suite.estimates if e.metric == gate.metric and e.slice == gate.slice), None)


def tally(gates: Iterable[GateResult]) -> list[tuple[str, int]]:
    """How many gates have each verdict, those that matter most first, without zeros."""
    counts = Counter(str(gate.verdict) for gate in gates)
    return [(verdict, counts[verdict]) for verdict in ORDER if counts[verdict]]


def suite_verdict(suite: SuiteResult) -> str:
    """A suite's verdict by the rule of the run; a suite without a gate in scope has the verdict "not_applicable"."""
    verdicts = {str(gate.verdict) for gate in suite.gates} - {"not_applicable"}
    if not verdicts:
        return "not_applicable"
    if "fail" in verdicts:
        return "fail"
    return verdicts.pop() if len(verdicts) == 1 else "undecided"


def headline(result: Result) -> str:
    """The run's verdict in one sentence."""
    gates = [gate for suite in result.suites for gate in suite.gates if str(gate.verdict) != "not_applicable"]
    counts, total = dict(tally(gates)), len(gates)
    if not total:
        return _("No gate was in scope, so nothing was decided")
    waived = sum(bool(gate.waived_by) and str(gate.verdict) == "fail" for gate in gates)
    if waived:
        return _under_waivers(total, counts, waived)
    if result.verdict == "fail":
        failed = counts.get("fail", 0)
        if not failed:
            return _("No gate failed, but a number became worse than the baseline's")
        if total == 1:
            return _("{failed} of {total} gate in scope failed", failed=failed, total=total)
        return _("{failed} of {total} gates in scope failed", failed=failed, total=total)
    if result.verdict == "pass":
        if total == 1:
            return _("The one gate in scope passed on these cases")
        return _("All {total} gates in scope passed on these cases", total=total)
    open_ = counts.get("undecided", 0) + counts.get("not_tested", 0)
    if total == 1:
        return _("No gate failed, but {open} of {total} gate in scope is not decided", open=open_, total=total)
    if open_ == 1:
        return _("No gate failed, but {open} of {total} gates in scope is not decided", open=open_, total=total)
    return _("No gate failed, but {open} of {total} gates in scope are not decided", open=open_, total=total)


def _under_waivers(total: int, counts: Mapping[str, int], waived: int) -> str:
    failed, open_ = counts.get("fail", 0) - waived, counts.get("undecided", 0) + counts.get("not_tested", 0)
    return _(
        "Of {total} gates in scope {failed} failed, {waived} failed under a waiver and {open} are not decided",
        total=total,
        failed=failed,
        waived=waived,
        open=open_,
    )


def within(confidence: float) -> str:
    """What an interval of this run means."""
    each, both = f"{100 * confidence:.4g}", f"{100 * (2 * confidence - 1):.4g}"
    return _("both bounds hold at {each} % each (the interval covers {both} %)", each=each, both=both)


def amount(value: float, unit: str = "") -> str:
    """A number of units with three digits and the prefix that suits it.

    >>> amount(1.234e10, "FLOP"), amount(3912.0), amount(0.0)
    ('12.3 GFLOP', '3,910', '0')
    """
    if not unit and value < 1e6:
        return f"{float(f'{value:.3g}'):,g}"
    steps = max(0, min(8, math.floor(math.log10(float(f"{value:.3g}")) / 3))) if value else 0
    words = ("", "", " million", " billion", " trillion", " quadrillion", " quintillion", " sextillion", " septillion")
    scaled = f"{value / 1000**steps:.3g}"
    return f"{scaled} {' kMGTPEZY'[steps].strip()}{unit}" if unit else retold(f"{scaled}{words[steps]}")


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> duration(12.34), duration(3725)
    ('12.3 s', '1 h 2 min')
    """
    if seconds < 60:
        return _("{seconds} s", seconds=f"{seconds:.3g}")
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return _("{hours} h {minutes} min", hours=f"{hours:,}", minutes=minutes)
    return _("{minutes} min {seconds} s", minutes=minutes, seconds=whole % 60)
