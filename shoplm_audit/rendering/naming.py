"""What metrics, attacks and groups are called, in words.

label("rate_contradicted") -> "Rate contradicted"; label("tpr_zlib_at_1_percent_fpr") -> "TPR of membership by ..."
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shoplm_audit.rendering.speaking import _, retold

__all__ = ["NAMES", "attack", "label", "people"]

NAMES = {
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


def attack(name: str) -> str:
    """An attack on membership as people call it: "min_k" -> "Min-K%"; another name is its own words."""
    return _(_ATTACKS.get(name, name.replace("_", " ")))


def people(name: str) -> str:
    """A group of people in words: "female" -> "women"; a group of the user's own is its own words."""
    return retold(_PEOPLE.get(name, name))


def label(name: str) -> str:
    """An identifier as words: "rate_contradicted" -> "Rate contradicted"."""
    return retold(_english_label(name))


def _english_label(name: str) -> str:
    if found := _RECALLED.fullmatch(name):
        kind, suffix, prefix, left_out = found.groups()
        whose = "left out" if left_out else "trained on" if kind == "rate" else "trained on minus left out"
        return f"Next {suffix} tokens given back after {prefix}, {whose}"
    if found := _DRAWN.fullmatch(name):
        return f"Next {found[1]} tokens after {found[2]} likely in {found[3]} draws, trained on minus left out"
    for pattern, words in ((_AUROC, "AUROC"), (_TPR, "TPR")):
        if (found := pattern.fullmatch(name)) and found[1] in _ATTACKS and found[1] not in ("membership", "blind"):
            at = f", at {found[2]} % FPR" if pattern is _TPR else ""
            return f"{words} of membership by {_ATTACKS[found[1]]}{at}"
    if (found := _CONTRAST.fullmatch(name)) and found["first"] in _PEOPLE and found["second"] in _PEOPLE:
        if found["kind"] == "overlap_gap":
            return (
                f"Lists that {_PEOPLE[found['first']]} and {_PEOPLE[found['second']]} share, less than within a group"
            )
        what = _COMPARED.get(found["what"], found["what"].replace("_", " ").capitalize())
        return f"{what}: {_PEOPLE[found['first']]} minus {_PEOPLE[found['second']]}"
    words = _LABELS.get(name) or " ".join(
        NAMES.get(word, word) for word in name.replace("_percent", "_%").replace("_", " ").split()
    )
    return words if words.startswith("chrF") else words[:1].upper() + words[1:]
