"""The metrics as modules of Hugging Face `evaluate`, one folder each, loaded from here without a network.

    rouge = evaluate.load(metric_folder("rouge"))
    rouge.compute(predictions=["纯棉"], references=["纯棉"], language="zh")["rougeL"] -> 1.0

Each script calls the plain function that the audit itself calls; every result carries its signature.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

from shoplm_audit.errors import ConfigError

__all__ = ["METRICS", "information", "mean", "metric_folder", "numbered"]

METRICS = (
    "aspect_polarity", "bleu", "brier", "chrf", "claims", "distinct", "ece", "macro_f1", "mcc", "parent",
    "perplexity_per_byte", "ranking", "reply_checks", "rouge", "self_bleu", "shared_8_grams", "slot_error_rate",
    "summary",
)  # fmt: skip


def metric_folder(name: str) -> str:
    """The folder of a metric, for `evaluate.load`.

    Raises:
        ConfigError: no metric of this name.
    """
    if name not in METRICS:
        raise ConfigError(f'no evaluate module is called "{name}": there are {", ".join(METRICS)}.')
    return str(Path(__file__).parent / name)


def information(about: str | None, citation: str, predictions: Any, references: Any = None) -> Any:
    """What `evaluate` wants to know of a metric.

    Args:
        about: the docstring of its script.
        citation: arXiv number or paper.
        predictions: the feature of one row: "string", "float64", or a nested feature.
        references: the same; None where the metric has none.

    Returns:
        An `evaluate.MetricInfo`.
    """
    import datasets
    import evaluate

    def feature(kind: Any) -> Any:
        return datasets.Value(kind) if isinstance(kind, str) else kind

    features = {"predictions": feature(predictions)}
    if references is not None:
        features["references"] = feature(references)
    text = about or ""
    return evaluate.MetricInfo(
        description=text, citation=citation, inputs_description=text, features=datasets.Features(features)
    )


def numbered(groups: Sequence[Hashable] | None, size: int) -> list[int]:
    """The number of each row's group; without groups every row is its own."""
    place = {group: i for i, group in enumerate(dict.fromkeys(groups))} if groups is not None else {}
    return list(range(size)) if groups is None else [place[group] for group in groups]


def mean(values: Iterable[float]) -> float:
    """The mean; nan of nothing."""
    found = [float(value) for value in values]
    return math.fsum(found) / len(found) if found else math.nan
