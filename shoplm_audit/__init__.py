"""ShopLM Audit: is a shop's language model good, true, fair, detectable, private? Answered offline, with evidence.

    from shoplm_audit import audit
    audit("checkpoints/reviews", ["faithfulness", "privacy"]).verdict

Names are imported when they are first used, so that nothing heavy is loaded before it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoplm_audit.data.cells import (
        language_of,
    )
    from shoplm_audit.data.cues import (
        Cue,
        dialects,
        groups_of,
        matched,
        names,
        only_cue_changed,
        statements,
    )
    from shoplm_audit.data.lexicon import (
        NAMES,
    )
    from shoplm_audit.data.public_texts import (
        moderation_variables,
    )
    from shoplm_audit.data.records import (
        Exercise,
        Review,
        Stereotype,
    )
    from shoplm_audit.data.requests import (
        WRITES_REVIEWS,
        requests_in,
        reviews_for,
    )
    from shoplm_audit.data.shopworld import (
        OFFERS,
        description_variables,
        review_variables,
        sentiment_of,
        sentiment_variables,
        shopworld,
    )
    from shoplm_audit.engine import (
        audit,
    )
    from shoplm_audit.errors import (
        AuditError,
        ConfigError,
        DataError,
        MachineError,
        ModelError,
        Unsupported,
    )
    from shoplm_audit.evaluate_modules import (
        metric_folder,
    )
    from shoplm_audit.judging import (
        Policy,
    )
    from shoplm_audit.metrics.accountability import (
        bounded_rate_of,
        rate_unaccounted_of,
    )
    from shoplm_audit.metrics.among import (
        among,
        beyond,
    )
    from shoplm_audit.metrics.classifying import (
        aurc,
        brier_of,
        ece,
        ece_of,
        macro_f1_of,
        mcc_of,
        recall_of,
        selective_risk_of,
    )
    from shoplm_audit.metrics.corrected import (
        corrected_rate_of,
        ppi,
    )
    from shoplm_audit.metrics.detection import (
        BUCKETS,
        auroc_of,
        flagged_contrast_of,
        label_auroc_of,
        scored,
        supervised,
        tpr_at_fpr_of,
        two_sided,
    )
    from shoplm_audit.metrics.diversity import (
        distinct_of,
        self_bleu_of,
        shared_8_grams_of,
    )
    from shoplm_audit.metrics.epsilon import (
        epsilon_gaussian_of,
        epsilon_of,
        epsilon_of_attacks,
    )
    from shoplm_audit.metrics.fairness import (
        contrast_of,
        contrasts_of,
        names_needed,
        paired_contrast_of,
    )
    from shoplm_audit.metrics.groups import (
        GroupRates,
        demographic_parity_of,
        equalized_odds_of,
        fpr_difference_of,
        group_rates,
    )
    from shoplm_audit.metrics.intersections import (
        worst_group_of,
    )
    from shoplm_audit.metrics.leakage import (
        blind_auroc_of,
        excess_of,
        exposure,
        exposure_gap_of,
        extractable_of,
        extrapolated_exposure_of,
        membership_auroc_of,
        membership_tpr_of,
    )
    from shoplm_audit.metrics.marking import (
        forecast_of,
        telling_why,
    )
    from shoplm_audit.metrics.overlap import (
        overlap_gap_of,
    )
    from shoplm_audit.metrics.quality import (
        bleu_of,
        perplexity_per_byte_of,
    )
    from shoplm_audit.metrics.ranking import (
        ESCI_GAINS,
        hit_rate_of,
        mrr_of,
        ndcg,
        ndcg_of,
        rank_of,
    )
    from shoplm_audit.metrics.reduce import (
        f1_of,
        mean_of,
        rate_of,
        ratio_of,
        sums_of,
    )
    from shoplm_audit.metrics.saturated import (
        unless_saturated,
    )
    from shoplm_audit.metrics.shadows import (
        by_shadows,
    )
    from shoplm_audit.metrics.stereotypes import (
        accuracy_gap_of,
        bias_score_of,
        stereoset_of,
    )
    from shoplm_audit.metrics.trials import (
        tried,
    )
    from shoplm_audit.models.load import (
        load_model,
    )
    from shoplm_audit.models.watermark import (
        Detection,
        detect,
    )
    from shoplm_audit.multiplicity import (
        benjamini_hochberg,
        benjamini_yekutieli,
        holm,
    )
    from shoplm_audit.probes.attribution import (
        attribution_probe,
        shapley,
    )
    from shoplm_audit.probes.canaries import (
        canary_cases,
        expose,
        extract,
        extract_by_beam,
        inserted_cases,
    )
    from shoplm_audit.probes.choosing import (
        balanced,
        same_length,
    )
    from shoplm_audit.probes.constrained import (
        constrained_probe,
    )
    from shoplm_audit.probes.describing import (
        checker_probe,
        description_probe,
    )
    from shoplm_audit.probes.leaking import (
        context_probe,
        writing_probe,
    )
    from shoplm_audit.probes.membership import (
        membership_cases,
        remember,
    )
    from shoplm_audit.probes.opinions import (
        entailment_probe,
        judge_probe,
    )
    from shoplm_audit.probes.twins import (
        twins_probe,
    )
    from shoplm_audit.prompts import (
        Prompts,
        joined,
    )
    from shoplm_audit.record import (
        Canary,
    )
    from shoplm_audit.results import (
        AuditResult,
        Result,
    )
    from shoplm_audit.saboteurs.model import (
        Saboteur,
    )
    from shoplm_audit.scoring.advertisements import (
        ADVERTISEMENT_LIMITS,
        check_advertisement,
    )
    from shoplm_audit.scoring.aspects import (
        aspect_counts,
        aspect_label,
    )
    from shoplm_audit.scoring.claims import (
        Claim,
        Ledger,
        check_claims,
    )
    from shoplm_audit.scoring.detectors import (
        LEAST_TOKENS,
        READ_BY_DETECTORS,
        detections,
        first_tokens,
    )
    from shoplm_audit.scoring.disguise import (
        DISGUISES,
        disguise,
    )
    from shoplm_audit.scoring.exercises import (
        chance_of,
        marked,
    )
    from shoplm_audit.scoring.injection import (
        inject,
    )
    from shoplm_audit.scoring.law import (
        offences,
        packs,
        packs_digest,
    )
    from shoplm_audit.scoring.marks import (
        added_up,
    )
    from shoplm_audit.scoring.overlap import (
        Rouge,
        bleu,
        chrf,
        rouge,
        signature_of,
    )
    from shoplm_audit.scoring.parent import (
        parent,
        parent_t,
    )
    from shoplm_audit.scoring.persuasion import (
        ATTACKS,
        persuaded,
    )
    from shoplm_audit.scoring.rank_overlap import (
        jaccard,
        prag,
        serp,
    )
    from shoplm_audit.scoring.refusal import (
        READER,
        done,
        draft_of,
        read_answer,
    )
    from shoplm_audit.scoring.replies import (
        Terms,
        check_reply,
    )
    from shoplm_audit.scoring.schema import (
        Schema,
        schema_for,
    )
    from shoplm_audit.scoring.service_quality import (
        service_of,
    )
    from shoplm_audit.scoring.stereotypes import (
        STEREOTYPES,
        stereotypes_in,
    )
    from shoplm_audit.scoring.stereotypes_published import (
        filled,
        generative_score,
        prefers_more,
        related,
        shared_tokens,
    )
    from shoplm_audit.scoring.summaries import (
        aspects_kept,
        extraction,
        follows_order,
        invented_numbers,
    )
    from shoplm_audit.store import (
        Store,
    )
    from shoplm_audit.suites import (
        load_suite,
    )
    from shoplm_audit.types import (
        LOG_PROB,
        Case,
        Columns,
        Estimate,
        Gate,
        Generate,
        Mark,
        Material,
        Metric,
        Model,
        Observation,
        Observations,
        Observing,
        Pair,
        Probe,
        Prompt,
        Sampling,
        Score,
        Suite,
        TokenScores,
        Turn,
        Verdict,
    )

_HOME = {
    "evaluate_modules": ("metric_folder",),
    "engine": ("audit",),
    "data.lexicon": ("NAMES",),
    "data.shopworld": (
        "OFFERS", "description_variables", "review_variables", "sentiment_of", "sentiment_variables", "shopworld",
    ),
    "errors": ("AuditError", "ConfigError", "DataError", "MachineError", "ModelError", "Unsupported"),
    "judging": ("Policy",),
    "metrics.detection": (
        "BUCKETS", "auroc_of", "flagged_contrast_of", "label_auroc_of", "scored", "supervised", "tpr_at_fpr_of",
        "two_sided",
    ),
    "metrics.fairness": ("contrast_of", "contrasts_of", "names_needed", "paired_contrast_of"),
    "metrics.among": ("among", "beyond"),
    "metrics.epsilon": ("epsilon_gaussian_of", "epsilon_of", "epsilon_of_attacks"),
    "metrics.leakage": (
        "blind_auroc_of", "excess_of", "exposure", "exposure_gap_of", "extractable_of", "extrapolated_exposure_of",
        "membership_auroc_of", "membership_tpr_of",
    ),
    "metrics.shadows": ("by_shadows",),
    "metrics.quality": ("bleu_of", "perplexity_per_byte_of"),
    "metrics.reduce": ("f1_of", "mean_of", "rate_of", "ratio_of", "sums_of"),
    "models.load": ("load_model",),
    "models.watermark": ("Detection", "detect"),
    "probes.canaries": ("canary_cases", "expose", "extract", "extract_by_beam", "inserted_cases"),
    "probes.choosing": ("balanced", "same_length"),
    "probes.leaking": ("context_probe", "writing_probe"),
    "probes.membership": ("membership_cases", "remember"),
    "prompts": ("Prompts", "joined"),
    "record": ("Canary",),
    "results": ("AuditResult", "Result"),
    "saboteurs.model": ("Saboteur",),
    "scoring.claims": ("Claim", "Ledger", "check_claims"),
    "store": ("Store",),
    "suites": ("load_suite",),
    "types": (
        "LOG_PROB", "Case", "Columns", "Estimate", "Gate", "Generate", "Mark", "Material", "Metric", "Model",
        "Observation", "Observations", "Observing", "Pair", "Probe", "Prompt", "Sampling", "Score", "Suite",
        "TokenScores", "Turn", "Verdict",
    ),
    "scoring.advertisements": ("ADVERTISEMENT_LIMITS", "check_advertisement"),
    "data.records": ("Exercise", "Review", "Stereotype"),
    "scoring.replies": ("Terms", "check_reply"),
    "scoring.aspects": ("aspect_counts", "aspect_label"),
    "scoring.summaries": ("aspects_kept", "extraction", "follows_order", "invented_numbers"),
    "probes.attribution": ("attribution_probe", "shapley"),
    "metrics.classifying": (
        "aurc", "brier_of", "ece", "ece_of", "macro_f1_of", "mcc_of", "recall_of", "selective_risk_of",
    ),
    "scoring.exercises": ("chance_of", "marked"),
    "probes.describing": ("checker_probe", "description_probe"),
    "probes.constrained": ("constrained_probe",),
    "metrics.corrected": ("corrected_rate_of", "ppi"),
    "metrics.diversity": ("distinct_of", "self_bleu_of", "shared_8_grams_of"),
    "probes.opinions": ("entailment_probe", "judge_probe"),
    "metrics.ranking": ("ESCI_GAINS", "hit_rate_of", "mrr_of", "ndcg", "ndcg_of", "rank_of"),
    "data.cells": ("language_of",),
    "data.public_texts": ("moderation_variables",),
    "scoring.overlap": ("Rouge", "bleu", "chrf", "rouge", "signature_of"),
    "metrics.trials": ("tried",),
    "probes.twins": ("twins_probe",),
    "scoring.schema": ("Schema", "schema_for"),
    "scoring.injection": ("inject",),
    "scoring.law": ("offences", "packs", "packs_digest"),
    "scoring.parent": ("parent", "parent_t"),
    "scoring.persuasion": ("ATTACKS", "persuaded"),
    "data.cues": ("Cue", "dialects", "groups_of", "matched", "names", "only_cue_changed", "statements"),
    "scoring.disguise": ("DISGUISES", "disguise"),
    "metrics.groups": (
        "GroupRates", "demographic_parity_of", "equalized_odds_of", "fpr_difference_of", "group_rates",
    ),
    "scoring.detectors": ("LEAST_TOKENS", "READ_BY_DETECTORS", "detections", "first_tokens"),
    "scoring.stereotypes": ("STEREOTYPES", "stereotypes_in"),
    "data.requests": ("WRITES_REVIEWS", "requests_in", "reviews_for"),
    "metrics.marking": ("forecast_of", "telling_why"),
    "metrics.stereotypes": ("accuracy_gap_of", "bias_score_of", "stereoset_of"),
    "multiplicity": ("benjamini_hochberg", "benjamini_yekutieli", "holm"),
    "scoring.refusal": ("READER", "done", "draft_of", "read_answer"),
    "scoring.stereotypes_published": ("filled", "generative_score", "prefers_more", "related", "shared_tokens"),
    "metrics.overlap": ("overlap_gap_of",),
    "scoring.rank_overlap": ("jaccard", "prag", "serp"),
    "metrics.accountability": ("bounded_rate_of", "rate_unaccounted_of"),
    "scoring.service_quality": ("service_of",),
    "metrics.intersections": ("worst_group_of",),
    "scoring.marks": ("added_up",),
    "metrics.saturated": ("unless_saturated",),
}  # fmt: skip
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ADVERTISEMENT_LIMITS",
    "ATTACKS",
    "BUCKETS",
    "DISGUISES",
    "ESCI_GAINS",
    "LEAST_TOKENS",
    "LOG_PROB",
    "NAMES",
    "OFFERS",
    "READER",
    "READ_BY_DETECTORS",
    "STEREOTYPES",
    "WRITES_REVIEWS",
    "AuditError",
    "AuditResult",
    "Canary",
    "Case",
    "Claim",
    "Columns",
    "ConfigError",
    "Cue",
    "DataError",
    "Detection",
    "Estimate",
    "Exercise",
    "Gate",
    "Generate",
    "GroupRates",
    "Ledger",
    "MachineError",
    "Mark",
    "Material",
    "Metric",
    "Model",
    "ModelError",
    "Observation",
    "Observations",
    "Observing",
    "Pair",
    "Policy",
    "Probe",
    "Prompt",
    "Prompts",
    "Result",
    "Review",
    "Rouge",
    "Saboteur",
    "Sampling",
    "Schema",
    "Score",
    "Stereotype",
    "Store",
    "Suite",
    "Terms",
    "TokenScores",
    "Turn",
    "Unsupported",
    "Verdict",
    "accuracy_gap_of",
    "added_up",
    "among",
    "aspect_counts",
    "aspect_label",
    "aspects_kept",
    "attribution_probe",
    "audit",
    "aurc",
    "auroc_of",
    "balanced",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "beyond",
    "bias_score_of",
    "bleu",
    "bleu_of",
    "blind_auroc_of",
    "bounded_rate_of",
    "brier_of",
    "by_shadows",
    "canary_cases",
    "chance_of",
    "check_advertisement",
    "check_claims",
    "check_reply",
    "checker_probe",
    "chrf",
    "constrained_probe",
    "context_probe",
    "contrast_of",
    "contrasts_of",
    "corrected_rate_of",
    "demographic_parity_of",
    "description_probe",
    "description_variables",
    "detect",
    "detections",
    "dialects",
    "disguise",
    "distinct_of",
    "done",
    "draft_of",
    "ece",
    "ece_of",
    "entailment_probe",
    "epsilon_gaussian_of",
    "epsilon_of",
    "epsilon_of_attacks",
    "equalized_odds_of",
    "excess_of",
    "expose",
    "exposure",
    "exposure_gap_of",
    "extract",
    "extract_by_beam",
    "extractable_of",
    "extraction",
    "extrapolated_exposure_of",
    "f1_of",
    "filled",
    "first_tokens",
    "flagged_contrast_of",
    "follows_order",
    "forecast_of",
    "fpr_difference_of",
    "generative_score",
    "group_rates",
    "groups_of",
    "hit_rate_of",
    "holm",
    "inject",
    "inserted_cases",
    "invented_numbers",
    "jaccard",
    "joined",
    "judge_probe",
    "label_auroc_of",
    "language_of",
    "load_model",
    "load_suite",
    "macro_f1_of",
    "marked",
    "matched",
    "mcc_of",
    "mean_of",
    "membership_auroc_of",
    "membership_cases",
    "membership_tpr_of",
    "metric_folder",
    "moderation_variables",
    "mrr_of",
    "names",
    "names_needed",
    "ndcg",
    "ndcg_of",
    "offences",
    "only_cue_changed",
    "overlap_gap_of",
    "packs",
    "packs_digest",
    "paired_contrast_of",
    "parent",
    "parent_t",
    "perplexity_per_byte_of",
    "persuaded",
    "ppi",
    "prag",
    "prefers_more",
    "rank_of",
    "rate_of",
    "rate_unaccounted_of",
    "ratio_of",
    "read_answer",
    "recall_of",
    "related",
    "remember",
    "requests_in",
    "review_variables",
    "reviews_for",
    "rouge",
    "same_length",
    "schema_for",
    "scored",
    "selective_risk_of",
    "self_bleu_of",
    "sentiment_of",
    "sentiment_variables",
    "serp",
    "service_of",
    "shapley",
    "shared_8_grams_of",
    "shared_tokens",
    "shopworld",
    "signature_of",
    "statements",
    "stereoset_of",
    "stereotypes_in",
    "sums_of",
    "supervised",
    "telling_why",
    "tpr_at_fpr_of",
    "tried",
    "twins_probe",
    "two_sided",
    "unless_saturated",
    "worst_group_of",
    "writing_probe",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
