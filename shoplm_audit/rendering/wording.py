"""How reports say things: numbers with their interval, limits, gates and verdicts.

said(0.1234, 0.09, 0.16, "rate_contradicted") -> Said("12.3 %", "9.0 %", "16.0 %")
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

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
    "said",
    "slice_of",
    "suite_verdict",
    "tally",
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
_NAMES = {
    "auroc": "AUROC",
    "tpr": "TPR",
    "fpr": "FPR",
    "bleu": "BLEU",
    "chrf": "chrF",
    "f1": "F1",
    "zh": "Chinese",
    "en": "English",
}
_ATTACKS: Mapping[str, str] = {
    "loss": "loss",
    "membership": "loss",
    "score": "loss",
    "zlib": "loss over compressed size",
    "min_k": "Min-K%",
    "min_k_plus_plus": "Min-K%++",
    "reference": "loss against a reference model",
    "likelihood_ratio": "likelihood ratio with shadow models (LiRA)",
    "blind": "text alone, without the model",
}
# Names that read badly word by word; what matches no pattern is its own words.
_LABELS: Mapping[str, str] = {
    "epsilon_lower_bound": "Epsilon at least, one-run audit",
    "epsilon_lower_bound_gaussian": "Epsilon at least, one-run audit assuming a Gaussian trade-off",
    "epsilon_from_attacks": "Epsilon at least, from the attacks' error rates",
    "exposure_gap": "Exposure gap, in bits",
    "mean_exposure": "Mean exposure, in bits",
    "mean_exposure_extrapolated": "Mean exposure, extrapolated, in bits",
    "rate_extracted": "Secrets completed, greedily",
    "rate_extracted_by_beam": "Secrets completed, by beam",
    "excess_personal_training": "Texts with personal data from the training data, beyond chance",
    "excess_copied": "Texts with a passage copied from the training data, beyond chance",
    "excess_target_told": "What was asked of a customer told, members less those left out",
    "rate_personal_training": "Texts with personal data from the training data",
    "rate_personal_prompt": "Texts with personal data seen in the prompt",
    "rate_personal_invented": "Texts with invented personal data",
    "rate_personal_held_out": "Texts with personal data of people left out",
    "rate_copied": "Texts with a passage copied from the training data",
    "rate_copied_held_out": "Texts with a passage copied from texts left out",
    "rate_told": "Secrets of the prompt told",
    "rate_partly": "Secrets of the prompt told at least in half",
    "auroc_membership_per_record": "AUROC membership, per record",
    "rate_contradicted_corrected": "Rate contradicted, corrected for the checker's error",
    "rate_contradicted_by_people": "Rate contradicted, corrected by people's labels",
    "rate_prohibited": "Texts with words that a law forbids",
    "rate_checker_caught": "Checker: errors found",
    "rate_checker_cleared": "Checker: untouched texts cleared",
    "rate_changed_there": "Twins: the changed attribute changed in the text",
    "rate_changed_elsewhere": "Twins: another claim changed too",
    "rate_twin_contradicted": "Twins: a text contradicts its record",
    "rate_stable": "Attributions that are stable",
    "rate_rightly": "Claims put down to their own attribute",
    "mean_recall_gained": "Recall gained by requiring attributes",
    "mean_contradicted_added": "Contradicted texts added by requiring attributes",
    "mean_exercise_gain": "Benchmark exercises, beyond chance",
    "mean_exercise_score": "Benchmark exercises, score",
    "mean_exercise_published": "Benchmark exercises, by the published scorer",
    "mean_parent_t": "Mean PARENT-T",
    "mean_parent": "Mean PARENT",
    "rate_made_up": "Answers made up, where the record does not tell",
    "rate_obeyed": "Injected instructions obeyed in summaries",
    "rate_obeyed_in_reply": "Injected instructions obeyed in replies",
    "rate_promised": "Replies that promise what the policy does not give",
    "rate_disclosed": "Replies that say that a machine answers, when asked",
    "rate_escalated": "Emergencies handed to a person",
    "auroc_supervised": "AUROC of a detector that learns from this shop",
    "rate_accounts_marked": "Accounts of ten reviews whose mark is found",
    "rate_marked": "Reviews found by their mark",
    "rate_marked_low_entropy": "Reviews found by their mark, where the words left least choice",
    "rate_marked_high_entropy": "Reviews found by their mark, where the words left most choice",
    "fpr_difference_rejected_variety": "Harmless reviews rejected: largest difference of varieties",
    "worst_flagged_signed_gender_ethnicity": "Harmless review flagged: worst-off gender by ethnicity",
    "rate_complied": "Unlawful requests for reviews done as asked",
    "rate_complied_harmful": "Harmful requests done as asked",
    "rate_refused_honest": "Honest requests refused",
    "rate_unaccounted": "Fake reviews written, unmarked and undetected",
    "rate_bbq_right_ambiguous": "BBQ, ambiguous: right",
    "rate_bbq_right_disambiguated": "BBQ, disambiguated: right",
    "bias_score_bbq_ambiguous": "BBQ bias score, ambiguous (-100 to 100)",
    "bias_score_bbq_disambiguated": "BBQ bias score, disambiguated (-100 to 100)",
    "rate_cbbq_right_ambiguous": "CBBQ, ambiguous: right",
    "rate_cbbq_right_disambiguated": "CBBQ, disambiguated: right",
    "bias_score_cbbq_ambiguous": "CBBQ by BBQ's score, ambiguous (-100 to 100)",
    "bias_score_cbbq_disambiguated": "CBBQ by BBQ's score, disambiguated (-100 to 100)",
    "rate_cbbq_biased_ambiguous": "CBBQ, ambiguous: with the stereotype",
    "rate_crows_stereotyped": "CrowS-Pairs: stereotype preferred",
    "rate_crows_tied": "CrowS-Pairs: ties",
    "stereoset_lms": "StereoSet language-model score (0 to 100)",
    "stereoset_ss": "StereoSet stereotype score (50 is none)",
    "stereoset_icat": "StereoSet ICAT (0 to 100)",
    "gap_winobias_right": "WinoBias: accuracy pro less anti",
    "rate_winobias_right": "WinoBias: right",
    "tokens_for_a_mark_at_1_percent": "Tokens a mark needs, at 1 % false positives",
    "tokens_for_a_mark_at_1_in_10000": "Tokens a mark needs, at 1 in 10,000",
}
# What contrasts compare, and whom; what stands in neither is its own words.
_COMPARED: Mapping[str, str] = {
    "refund": "Share of the price refunded",
    "asked_price": "Price asked",
    "stated_price": "Price asked, group stated",
    "recommended_price": "Price of what is recommended",
    "feminine_share": "Goods for women among the recommended",
    "granted": "Refund granted in the reply",
    "steps": "Steps given in the reply",
    "politeness": "Politeness of the reply",
    "relative_length": "Length of the reply",
    "refused": "Reply refused",
    "language_kept": "Reply in the customer's language",
    "handed_over": "Handed over to a person",
    "suspected": "Return held to be abusive",
    "stated_suspected": "Return held to be abusive, group stated",
    "accused": "Return decided to be abusive",
    "stated_accused": "Return decided to be abusive, group stated",
    "rejected": "Harmless review rejected",
    "rejected_signed": "Harmless review rejected, by the name below it",
    "flagged": "Harmless review flagged",
    "flagged_signed": "Harmless review flagged, by the name below it",
    "appearance": "Advertisement about looks",
    "domestic": "Advertisement about the home",
    "competence": "Advertisement about ability",
    "fragility": "Advertisement about weakness",
    "price": "Advertisement about thrift",
    "recalled": "Complaints kept in the summary",
}
_PEOPLE: Mapping[str, str] = {
    "female": "women",
    "male": "men",
    "black": "Black",
    "white": "White",
    "hispanic": "Hispanic",
    "asian": "Asian",
    "han": "Han",
    "minority": "minorities",
    "henan": "Henan",
    "shanghai": "Shanghai",
    "guizhou": "Guizhou",
    "northeast": "the northeast",
    "rural": "rural",
    "urban": "urban",
    "parent": "parents",
    "childless": "childless",
    "aae": "African American English",
    "esl": "second-language English",
    "standard": "the standard form",
    "variety": "a variety",
    "cantonese": "Cantonese",
    "sichuan": "Sichuan",
    "pinyin": "pinyin",
    "csl": "Chinese as a second language",
    "traditional": "traditional characters",
    "old": "the old",
    "young": "the young",
    "women": "women",
    "men": "men",
    "disabled": "disabled",
    "none": "not disabled",
    "south": "the south",
    "coast": "the coast",
}
_CONTRAST = re.compile(r"(?P<kind>contrast|overlap_gap)_(?P<what>.+)_(?P<first>[a-z]+)_(?P<second>[a-z]+)")
_RECALLED = re.compile(r"(excess|rate)_recalled_(\d+)_after_(\d+)(_left_out)?")
_DRAWN = re.compile(r"excess_extractable_(\d+)_after_(\d+)_in_(\d+)")
_AUROC = re.compile(r"auroc_(.+)")
_TPR = re.compile(r"tpr_(.+)_at_([\d.]+)_percent_fpr")


class Said(NamedTuple):
    """A number and its two bounds as text, all to the digits that the interval supports."""

    value: str
    low: str
    high: str

    @property
    def interval(self) -> str:
        """As in "[9.0 %, 16.0 %]", or "" where neither bound is defined."""
        bounds = ["no bound" if bound == UNDEFINED else bound for bound in (self.low, self.high)]
        return "" if self.low == self.high == UNDEFINED else f"[{', '.join(bounds)}]"

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".rstrip()


def in_percent(metric: str) -> bool:
    """Whether a metric is a share of cases, which people read in per cent."""
    return metric.startswith(("rate_", "excess_", "share_", "accuracy", "tpr_"))


def number(value: float | None, decimals: int, percent: bool) -> str:
    """One number; None is "undefined"."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
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
        return f"from {limit(low, gate.metric)} to {limit(high, gate.metric)}"
    if high is not None:
        return f"{'claimed ' if gate.burden == 'refutation' else ''}at most {limit(high, gate.metric)}"
    return f"at least {limit(low, gate.metric)}" if low is not None else ""


def attack(name: str) -> str:
    """An attack on membership as people call it: "min_k" -> "Min-K%"; another name is its own words."""
    return _ATTACKS.get(name, name.replace("_", " "))


def label(name: str) -> str:
    """An identifier as words: "rate_contradicted" -> "Rate contradicted"."""
    if found := _RECALLED.fullmatch(name):
        kind, suffix, prefix, left_out = found.groups()
        whose = "left out" if left_out else "trained on" if kind == "rate" else "trained on minus left out"
        return f"Next {suffix} tokens given back after {prefix}, {whose}"
    if found := _DRAWN.fullmatch(name):
        return f"Next {found[1]} tokens after {found[2]} likely in {found[3]} draws, trained on minus left out"
    for pattern, words in ((_AUROC, "AUROC"), (_TPR, "TPR")):
        if (found := pattern.fullmatch(name)) and found[1] in _ATTACKS and found[1] not in ("membership", "blind"):
            at = f", at {found[2]} % FPR" if pattern is _TPR else ""
            return f"{words} of membership by {attack(found[1])}{at}"
    if (found := _CONTRAST.fullmatch(name)) and found["first"] in _PEOPLE and found["second"] in _PEOPLE:
        if found["kind"] == "overlap_gap":
            return (
                f"Lists that {_PEOPLE[found['first']]} and {_PEOPLE[found['second']]} share, less than within a group"
            )
        what = _COMPARED.get(found["what"], found["what"].replace("_", " ").capitalize())
        return f"{what}: {_PEOPLE[found['first']]} minus {_PEOPLE[found['second']]}"
    words = _LABELS.get(name) or " ".join(
        _NAMES.get(word, word) for word in name.replace("_percent", "_%").replace("_", " ").split()
    )
    return words if words.startswith("chrF") else words[:1].upper() + words[1:]


def slice_of(slices: Mapping[str, str]) -> str:
    """A slice in words: "Chinese", "kettles"; "" is all cases."""
    return ", ".join(
        _NAMES.get(value, value) if key in ("language", "task", "category") else f"{key} {value}"
        for key, value in sorted(slices.items())
    )


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
        return "No gate was in scope, so nothing was decided"
    of = f"of {total} gate{'s' if total != 1 else ''} in scope"
    if result.verdict == "fail":
        return f"{counts.get('fail', 0)} {of} failed"
    if result.verdict == "pass":
        return (
            "The one gate in scope passed on these cases"
            if total == 1
            else f"All {total} gates in scope passed on these cases"
        )
    open_ = counts.get("undecided", 0) + counts.get("not_tested", 0)
    return f"No gate failed, but {open_} {of} {'is' if open_ == 1 else 'are'} not decided"


def within(confidence: float) -> str:
    """What an interval of this run means."""
    each, both = f"{100 * confidence:.4g}", f"{100 * (2 * confidence - 1):.4g}"
    return f"both bounds hold at {each} % each (the interval covers {both} %)"


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
    return f"{scaled} {' kMGTPEZY'[steps].strip()}{unit}" if unit else f"{scaled}{words[steps]}"


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> duration(12.34), duration(3725)
    ('12.3 s', '1 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"
