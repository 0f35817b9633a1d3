"""A classifier that flags one group's honest texts flags fewer of them afterwards, as saved, on texts not fitted on."""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import make_kind

from shoplm_audit.data.records import Text
from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.mitigation import Mitigation, Thresholds, mitigate
from shoplm_audit.models.classifier import ClassifierModel
from shoplm_audit.models.load import load_model
from shoplm_audit.training.tokenizer import learn_tokenizer
from shoplm_audit.types import Pair

NAMES = {0: "allowed", 1: "offensive"}
RNG = np.random.default_rng(0)
GOOD, BAD = ("lovely", "sturdy", "bright", "fine"), ("idiot", "stupid", "trash", "moron")
TEXTS = [
    Text(
        f"t{i}",
        f"{'y all gon ' if i % 2 else ''}{RNG.choice(BAD if i // 2 % 2 else GOOD)} kettle",
        NAMES[i // 2 % 2],
        user=f"u{i}",
        group="aae" if i % 2 else "sae",
    )
    for i in range(480)
]


@pytest.fixture
def biased() -> ClassifierModel:
    """A head that learned from labels in which half of one group's honest texts are called offensive."""
    from sklearn.linear_model import LogisticRegression

    from shoplm_audit.mitigation import _features, _head, _set_head

    tokenizer = learn_tokenizer([text.text for text in TEXTS], 420, "classify")
    model = ClassifierModel(make_kind("labels", len(tokenizer), id2label=NAMES), tokenizer, name="moderation")
    head, place = _head(model, "offensive")
    rows = _features(model, head, [text.text for text in TEXTS])
    taught = [text.label == "offensive" or (text.group == "aae" and i % 4 == 1) for i, text in enumerate(TEXTS)]
    found = LogisticRegression(max_iter=5000, C=1e4).fit(rows, taught)
    _set_head(head, place, found.coef_[0], float(found.intercept_[0]))
    return model


def gap(found: Mitigation, when: str) -> float:
    return getattr(found, when)["false_positive_rate"].difference.value


@pytest.mark.parametrize("method", ["threshold", "gradient"])
def test_false_alarms_come_nearer_to_each_other(method: Any, biased: ClassifierModel, tmp_path: Path) -> None:
    out = tmp_path / "even"
    found = mitigate(biased, TEXTS, method=method, positive="offensive", out=out)
    assert gap(found, "before") > 0.3
    assert gap(found, "after") < 0.5 * gap(found, "before")
    assert found.accuracy[1] > 0.65
    # Thresholds leave the weights where they are: nobody finds a model that looks mitigated and is not.
    assert (out / "config.json").exists() is (method == "gradient")
    again = load_model(str(out)) if method == "gradient" else biased
    probability = np.exp([s.total for s in again.score([Pair(text.text, "offensive") for text in TEXTS])])
    if method == "threshold":
        decided = Thresholds.read(out).chance(probability, [text.group for text in TEXTS])
    else:
        decided = (probability > 0.5).astype(float)
    held_out = np.array([zlib.crc32(f"0\0{text.user}".encode()) % 2 == 1 for text in TEXTS])
    honest = np.array([text.label == "allowed" for text in TEXTS]) & held_out
    aae = np.array([text.group == "aae" for text in TEXTS])
    rates = [float(decided[honest & side].mean()) for side in (aae, ~aae)]
    assert abs(rates[0] - rates[1]) == pytest.approx(gap(found, "after"), abs=0.1 if method == "threshold" else 1e-9)
    assert not (out / "training.json").exists()
    with pytest.raises(ConfigError, match="exists"):
        mitigate(biased, TEXTS, method=method, positive="offensive", out=out)


def test_a_group_without_honest_texts_is_refused(biased: ClassifierModel, tmp_path: Path) -> None:
    few = [text for text in TEXTS if text.group == "sae" or text.label == "offensive"]
    with pytest.raises(DataError, match='"aae" has 0 texts not to be flagged'):
        mitigate(biased, few, method="threshold", positive="offensive", out=tmp_path / "even")
    with pytest.raises(DataError, match="has no group"):
        mitigate(biased, [Text("t", "a", "allowed")], method="threshold", positive="offensive", out=tmp_path / "even")


def test_a_threshold_is_a_coin_between_two_and_knows_its_groups() -> None:
    told = Thresholds({"a": ((0.25, ">", 0.2), (0.75, ">", 0.6))}, {"a": (0.5, 1.0)})
    np.testing.assert_allclose(told.chance(np.array([0.1, 0.4, 0.9]), ["a"] * 3), [0.5, 0.625, 1.0])
    with pytest.raises(DataError, match='"b" is no group'):
        told.chance(np.array([0.1]), ["b"])
    assert math.isfinite(told.chance(np.array([1.0]), ["a"])[0])


def test_the_verb_tells_both_rates_of_each_group_and_says_where_nothing_was_gained(
    biased: ClassifierModel, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from shoplm_audit.cli import app

    biased.network.save_pretrained(tmp_path / "model")
    biased.encoder.tokenizer.save_pretrained(tmp_path / "model")
    rows = [{"text": t.text, "label": t.label, "dialect": t.group, "user": t.user} for t in TEXTS]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def run(data: Path, out: str) -> Any:
        told = ["mitigate", "--model", str(tmp_path / "model"), "--data", str(data), "--map", "group=dialect"]
        return CliRunner().invoke(app, [*told, "--positive", "offensive", "--out", str(tmp_path / out)])

    done = run(data, "even")
    assert done.exit_code == 0, done.output
    assert "False positive rate, aae" in done.output
    assert "has to know the group" in " ".join(done.output.split())
    # Groups that are one another's copies differ by chance alone: there is nothing to gain.
    for i, row in enumerate(rows):
        row |= {"text": TEXTS[i // 2 * 2].text, "label": TEXTS[i // 2 * 2].label}
    same = tmp_path / "same.jsonl"
    same.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = run(same, "no")
    assert (done.exit_code, "did not fall" in done.output) == (1, True), done.output
