"""Mitigation of a classifier's differences between groups by fairlearn, audited again in the same breath.

    mitigate(classifier, texts, method="threshold", positive="refuse", out=Path("checkpoints/even"))
    -> Mitigation(before={"false_positive_rate": GroupRates(...)}, after={...}, ...)

"threshold" leaves the weights and finds a threshold per group (Hardt et al. 2016, arXiv 1610.02413): who decides has
to know the group. "gradient" fits the last layer anew under the constraint (Agarwal et al. 2018, arXiv 1803.02453) and
writes a checkpoint that needs no group. One half of the texts is fitted on, both numbers are of the other half.

Letters in shapes: N texts, W width of what the last layer reads.
"""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.data.records import Text
from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.metrics.groups import GroupRates, group_rates
from shoplm_audit.models.classifier import ClassifierModel
from shoplm_audit.training.shapes import without_bars
from shoplm_audit.types import Floats, Pair

__all__ = ["CONSTRAINTS", "Constraint", "Method", "Mitigation", "Thresholds", "mitigate"]

Method: TypeAlias = Literal["threshold", "gradient"]
Constraint: TypeAlias = Literal["false_positive_rate_parity", "demographic_parity", "equalized_odds"]
CONSTRAINTS: Mapping[str, str] = {
    "false_positive_rate_parity": "FalsePositiveRateParity",
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
}
_RATES = ("false_positive_rate", "true_positive_rate", "selection_rate")
_FEWEST = 20  # texts of a group, of either label, in the half that is fitted on
_BATCH = 32
_SLACK = 0.01  # how far the constraint may be missed in the half that is fitted on


@dataclass(frozen=True, slots=True)
class Mitigation:
    """What a mitigation changed, on the half of the texts that it has not seen.

    Attributes:
        before, after: rates by name, each by group with the largest difference and its bounds.
        accuracy: of the decisions, before and after.
        held_out: how many texts that is.
        note: what a reader has to know of the result.
    """

    before: Mapping[str, GroupRates]
    after: Mapping[str, GroupRates]
    accuracy: tuple[float, float]
    held_out: int
    note: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A threshold for each group, or a coin between two of them: what `mitigation.json` holds.

    Attributes:
        groups: by group ((p, threshold), (p, threshold)): with probability p the text is flagged above the threshold.
        constant: by group (p, value): with probability p the decision is flagged with probability `value` instead.
    """

    groups: Mapping[str, tuple[tuple[float, str, float], ...]]
    constant: Mapping[str, tuple[float, float]]

    @staticmethod
    def read(folder: Path) -> Thresholds:
        """The thresholds of a folder that `mitigate` wrote.

        Raises:
            DataError: there is no such file.
        """
        try:
            told = json.loads((folder / "mitigation.json").read_text("utf-8"))["thresholds"]
        except (OSError, ValueError, KeyError) as fault:
            raise DataError(f"{folder / 'mitigation.json'}: holds no thresholds ({fault}).") from fault
        return Thresholds(
            {
                name: tuple((float(p), str(sign), float(at)) for p, sign, at in one["rules"])
                for name, one in told.items()
            },
            {name: (float(one["constant"][0]), float(one["constant"][1])) for name, one in told.items()},
        )

    def chance(self, probability: Floats, groups: Sequence[str]) -> Floats:
        """How probably each text is flagged, (N,).

        Args:
            probability: of the positive label, as the classifier tells it, (N,).
            groups: of each text.

        Raises:
            DataError: a group that the thresholds were not fitted on.
        """
        told = np.empty(len(probability))
        for i, (value, group) in enumerate(zip(probability, groups, strict=True)):
            if group not in self.groups:
                raise DataError(f'"{group}" is no group with a threshold: there are {", ".join(self.groups)}.')
            rules = sum(p * (value > at if sign == ">" else value < at) for p, sign, at in self.groups[group])
            share, constant = self.constant[group]
            told[i] = share * constant + (1 - share) * rules
        return told


def mitigate(
    model: ClassifierModel,
    texts: Sequence[Text],
    *,
    method: Method,
    positive: str,
    out: Path,
    constraint: Constraint = "false_positive_rate_parity",
    seed: int = 0,
) -> Mitigation:
    """Fits a mitigation on half of the texts, writes it, and tells the rates by group on the other half.

    Args:
        model: a classifier of texts on this machine.
        texts: with label and group.
        method: "threshold" or "gradient".
        positive: the label that flags a text; any other label is its opposite.
        out: the folder that is written; must not exist.
        constraint: which rate has to be alike.
        seed: of what is decided by coin.

    Raises:
        ConfigError: the folder exists, or the method cannot serve this classifier.
        DataError: a text without label or group, one group alone, or too few texts of one.
    """
    if out.exists():
        raise ConfigError(f'"{out}" exists already: name another folder with --out.')
    if constraint not in CONSTRAINTS:
        raise ConfigError(f'constraint is "{constraint}": it has to be one of {", ".join(CONSTRAINTS)}.')
    flagged, groups, units = _checked(texts, positive)
    fitting = np.array([zlib.crc32(f"{seed}\0{unit}".encode("utf-8", "surrogatepass")) % 2 == 0 for unit in units])
    _check_counts(flagged, groups, fitting)
    before = np.exp([s.total for s in model.score([Pair(text.text, positive) for text in texts])])
    told: dict[str, Any] = {"method": method, "constraint": constraint, "positive": positive, "of": model.name}
    if method == "threshold":
        thresholds = _thresholds(before[fitting], flagged[fitting], groups[fitting], constraint)
        after = thresholds.chance(before, groups.tolist())
        told["thresholds"] = {
            name: {"rules": rules, "constant": thresholds.constant[name]} for name, rules in thresholds.groups.items()
        }
        note = (
            f"The weights stay those of {model.name}; mitigation.json holds a threshold for each group, and whoever "
            "decides by it (`Thresholds.read`) has to know the group of each text."
        )
    else:
        after, note = _refitted(model, texts, flagged, groups, fitting, constraint, positive)
    _write(model, out, told)
    rng = np.random.default_rng(seed)
    held = np.flatnonzero(~fitting)
    decided = [before[held] > 0.5, rng.random(held.size) < after[held]]
    number = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    clusters = np.array([number[units[i]] for i in held], dtype=np.int64)
    rates = [
        group_rates(flagged[held], one, groups[held].tolist(), clusters, _RATES, rng=np.random.default_rng(seed))
        for one in decided
    ]
    accuracy = tuple(float((one == flagged[held]).mean()) for one in decided)
    return Mitigation(rates[0], rates[1], (accuracy[0], accuracy[1]), int(held.size), note)


def _checked(texts: Sequence[Text], positive: str) -> tuple[NDArray[np.bool_], NDArray[np.str_], list[str]]:
    """Whether each text is to be flagged, its group, and its unit: its user, else the text itself."""
    for text in texts:
        if not text.label or not text.group:
            missing = "label" if not text.label else "group"
            raise DataError(f'text "{text.id}" has no {missing}: name its column with --map {missing}=COLUMN.')
    labels = {text.label for text in texts}
    if positive not in labels or len(labels) < 2:
        raise DataError(f'"{positive}" has to be one of two labels or more in the data: they are {sorted(labels)}.')
    flagged = np.array([text.label == positive for text in texts])
    return flagged, np.array([text.group for text in texts]), [text.user or text.text for text in texts]


def _check_counts(flagged: NDArray[np.bool_], groups: NDArray[np.str_], fitting: NDArray[np.bool_]) -> None:
    names = np.unique(groups)
    if names.size < 2:
        raise DataError(f'all texts are of the group "{names[0]}": there is no difference to mitigate.')
    for name in names:
        for label in (True, False):
            count = int(((groups == name) & (flagged == label) & fitting).sum())
            if count < _FEWEST:
                what = "to be flagged" if label else "not to be flagged"
                raise DataError(f'group "{name}" has {count} texts {what} to fit on: {_FEWEST} are needed.')


def _thresholds(
    probability: Floats, flagged: NDArray[np.bool_], groups: NDArray[np.str_], constraint: str
) -> Thresholds:
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.base import BaseEstimator, ClassifierMixin

    class AsTold(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Answers with the probability that it is given."""

        classes_ = np.array([0, 1])

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, *_: Any) -> AsTold:
            return self

        def predict(self, rows: Floats) -> Floats:
            return np.asarray(rows)[:, 0]

    optimiser = ThresholdOptimizer(
        estimator=AsTold(), constraints=constraint, objective="accuracy_score", prefit=True, predict_method="predict"
    )
    optimiser.fit(probability[:, None], flagged.astype(int), sensitive_features=groups)
    found = optimiser.interpolated_thresholder_.interpolation_dict
    rules, constant = {}, {}
    for name, one in found.items():
        each = [(one[f"p{k}"], one[f"operation{k}"]) for k in (0, 1)]
        rules[str(name)] = tuple(
            (float(p), str(rule.operator), _finite(float(rule.threshold))) for p, rule in each if p > 0
        )
        constant[str(name)] = (float(one.get("p_ignore", 0.0)), float(one.get("prediction_constant", 0.0)))
    return Thresholds(rules, constant)


def _finite(threshold: float) -> float:
    """JSON has no infinity; a probability lies between -1 and 2."""
    return threshold if math.isfinite(threshold) else math.copysign(2.0, threshold)


def _refitted(
    model: ClassifierModel,
    texts: Sequence[Text],
    flagged: NDArray[np.bool_],
    groups: NDArray[np.str_],
    fitting: NDArray[np.bool_],
    constraint: str,
    positive: str,
) -> tuple[Floats, str]:
    """Fits the last layer anew; decisions of the model as it is then, (N,), and what there is to say of it."""
    from fairlearn import reductions
    from sklearn.linear_model import LogisticRegression

    head, place = _head(model, positive)
    features = _features(model, head, [text.text for text in texts])
    centre, spread = features[fitting].mean(axis=0), features[fitting].std(axis=0) + 1e-6
    rows = (features - centre) / spread
    fitter = reductions.ExponentiatedGradient(
        LogisticRegression(max_iter=1000), getattr(reductions, CONSTRAINTS[constraint])(), eps=_SLACK
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fairlearn's own, of newer pandas
        fitter.fit(rows[fitting], flagged[fitting].astype(int), sensitive_features=groups[fitting])
    mixed = [(w, fitter.predictors_[i]) for i, w in fitter.weights_.items() if w > 1e-9]
    parts = [(w, one) for w, one in mixed if hasattr(one, "coef_")]  # a constant answer has no weights
    if not parts:
        raise DataError("under this constraint the best classifier answers always alike: nothing was written.")
    total = sum(w for w, _ in parts)
    slope = sum(w / total * one.coef_[0] for w, one in parts) / spread
    level = sum(w / total * float(one.intercept_[0]) for w, one in parts) - float(slope @ centre)
    _set_head(head, place, slope, level)
    told = np.exp([s.total for s in model.score([Pair(text.text, positive) for text in texts])])
    note = (
        f"The last layer is the mean of {len(parts)} that the reduction mixes at random; the numbers are of that mean. "
        "A privacy guarantee of the model does not cover the texts that it was fitted on."
    )
    return np.where(told > 0.5, 1.0, 0.0), note


def _head(model: ClassifierModel, positive: str) -> tuple[Any, int]:
    """The last linear layer, and which of its two outputs is the positive label."""
    import torch

    labels = {str(name).strip().casefold(): int(i) for i, name in model.network.config.id2label.items()}
    if len(labels) != 2:
        raise ConfigError(f'"gradient" fits a layer of two labels, and this model has {len(labels)}: use "threshold".')
    layers = [m for m in model.network.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 2]
    if not layers:
        raise ConfigError('the model has no last linear layer of two labels: use "threshold".')
    return layers[-1], labels[positive.strip().casefold()]


def _features(model: ClassifierModel, head: Any, texts: Sequence[str]) -> Floats:
    """What the last layer reads of each text, (N, W)."""
    import torch

    kept: list[Floats] = []

    def read(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        kept.append(inputs[0].detach().float().cpu().numpy().astype(np.float64))

    with head.register_forward_pre_hook(read), torch.inference_mode():
        for start in range(0, len(texts), _BATCH):
            batch = model.encoder.tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=model.context,
                return_tensors="pt",
                verbose=False,
            )
            model.network(
                input_ids=batch["input_ids"].to(model.network.device),
                attention_mask=batch["attention_mask"].to(model.network.device),
            )
    return np.concatenate(kept)


def _set_head(head: Any, place: int, slope: Floats, level: float) -> None:
    """Both outputs carry half of the log-odds, with opposite signs."""
    import torch

    with torch.no_grad():
        for output, sign in ((place, 0.5), (1 - place, -0.5)):
            head.weight[output] = torch.as_tensor(sign * slope, dtype=head.weight.dtype)
            head.bias[output] = sign * level


def _write(model: ClassifierModel, out: Path, told: Mapping[str, Any]) -> None:
    """The refitted checkpoint without a training record, as what the old one says does not hold for what was fitted
    since; or thresholds alone: beside a copy of unchanged weights they would be overlooked by whoever loads these.
    """
    out.mkdir(parents=True)
    if "thresholds" not in told:
        with without_bars():
            model.network.save_pretrained(out)
        model.encoder.tokenizer.save_pretrained(out)
    (out / "mitigation.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
