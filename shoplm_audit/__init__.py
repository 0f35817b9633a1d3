"""ShopLM Audit: is a shop's language model good, true, fair, detectable, private? Answered offline, with evidence.

    from shoplm_audit import audit
    audit("checkpoints/reviews", ["faithfulness", "privacy"]).verdict

Names are imported when they are first used, so that nothing heavy is loaded before it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoplm_audit.data.lexicon import NAMES
    from shoplm_audit.data.shopworld import (
        OFFERS,
        description_variables,
        review_variables,
        sentiment_of,
        sentiment_variables,
        shopworld,
    )
    from shoplm_audit.engine import audit
    from shoplm_audit.errors import AuditError, ConfigError, DataError, MachineError, ModelError, Unsupported
    from shoplm_audit.judging import Policy
    from shoplm_audit.metrics.among import among, beyond
    from shoplm_audit.metrics.detection import auroc_of, label_auroc_of, scored, tpr_at_fpr_of, two_sided
    from shoplm_audit.metrics.epsilon import epsilon_gaussian_of, epsilon_of, epsilon_of_attacks
    from shoplm_audit.metrics.fairness import contrast_of
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
    from shoplm_audit.metrics.quality import bleu_of, chrf, macro_f1_of, perplexity_per_byte_of
    from shoplm_audit.metrics.reduce import mean_of, rate_of, ratio_of, sums_of
    from shoplm_audit.metrics.shadows import by_shadows
    from shoplm_audit.models.load import load_model
    from shoplm_audit.models.watermark import Detection, detect
    from shoplm_audit.probes.canaries import canary_cases, expose, extract, extract_by_beam, inserted_cases
    from shoplm_audit.probes.choosing import balanced, same_length
    from shoplm_audit.probes.leaking import context_probe, writing_probe
    from shoplm_audit.probes.membership import membership_cases, remember
    from shoplm_audit.prompts import Prompts, joined
    from shoplm_audit.record import Canary
    from shoplm_audit.results import AuditResult, Result
    from shoplm_audit.saboteurs import Saboteur
    from shoplm_audit.scoring.claims import check_claims
    from shoplm_audit.store import Store
    from shoplm_audit.suites import load_suite
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
    "engine": ("audit",),
    "data.lexicon": ("NAMES",),
    "data.shopworld": (
        "OFFERS", "description_variables", "review_variables", "sentiment_of", "sentiment_variables", "shopworld",
    ),
    "errors": ("AuditError", "ConfigError", "DataError", "MachineError", "ModelError", "Unsupported"),
    "judging": ("Policy",),
    "metrics.detection": ("auroc_of", "label_auroc_of", "scored", "tpr_at_fpr_of", "two_sided"),
    "metrics.fairness": ("contrast_of",),
    "metrics.among": ("among", "beyond"),
    "metrics.epsilon": ("epsilon_gaussian_of", "epsilon_of", "epsilon_of_attacks"),
    "metrics.leakage": (
        "blind_auroc_of", "excess_of", "exposure", "exposure_gap_of", "extractable_of", "extrapolated_exposure_of",
        "membership_auroc_of", "membership_tpr_of",
    ),
    "metrics.shadows": ("by_shadows",),
    "metrics.quality": ("bleu_of", "chrf", "macro_f1_of", "perplexity_per_byte_of"),
    "metrics.reduce": ("mean_of", "rate_of", "ratio_of", "sums_of"),
    "models.load": ("load_model",),
    "models.watermark": ("Detection", "detect"),
    "probes.canaries": ("canary_cases", "expose", "extract", "extract_by_beam", "inserted_cases"),
    "probes.choosing": ("balanced", "same_length"),
    "probes.leaking": ("context_probe", "writing_probe"),
    "probes.membership": ("membership_cases", "remember"),
    "prompts": ("Prompts", "joined"),
    "record": ("Canary",),
    "results": ("AuditResult", "Result"),
    "saboteurs": ("Saboteur",),
    "scoring.claims": ("check_claims",),
    "store": ("Store",),
    "suites": ("load_suite",),
    "types": (
        "LOG_PROB", "Case", "Columns", "Estimate", "Gate", "Generate", "Mark", "Material", "Metric", "Model",
        "Observation", "Observations", "Observing", "Pair", "Probe", "Prompt", "Sampling", "Score", "Suite",
        "TokenScores", "Turn", "Verdict",
    ),
}  # fmt: skip
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "LOG_PROB",
    "NAMES",
    "OFFERS",
    "AuditError",
    "AuditResult",
    "Canary",
    "Case",
    "Columns",
    "ConfigError",
    "DataError",
    "Detection",
    "Estimate",
    "Gate",
    "Generate",
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
    "Saboteur",
    "Sampling",
    "Score",
    "Store",
    "Suite",
    "TokenScores",
    "Turn",
    "Unsupported",
    "Verdict",
    "among",
    "audit",
    "auroc_of",
    "balanced",
    "beyond",
    "bleu_of",
    "blind_auroc_of",
    "by_shadows",
    "canary_cases",
    "check_claims",
    "chrf",
    "context_probe",
    "contrast_of",
    "description_variables",
    "detect",
    "epsilon_gaussian_of",
    "epsilon_of",
    "epsilon_of_attacks",
    "excess_of",
    "expose",
    "exposure",
    "exposure_gap_of",
    "extract",
    "extract_by_beam",
    "extractable_of",
    "extrapolated_exposure_of",
    "inserted_cases",
    "joined",
    "label_auroc_of",
    "load_model",
    "load_suite",
    "macro_f1_of",
    "mean_of",
    "membership_auroc_of",
    "membership_cases",
    "membership_tpr_of",
    "perplexity_per_byte_of",
    "rate_of",
    "ratio_of",
    "remember",
    "review_variables",
    "same_length",
    "scored",
    "sentiment_of",
    "sentiment_variables",
    "shopworld",
    "sums_of",
    "tpr_at_fpr_of",
    "two_sided",
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
