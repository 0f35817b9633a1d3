"""Every objective on real records in both languages, plainly or privately, and what comes of it answers an audit."""

from itertools import islice
from pathlib import Path

import pytest

from shoplm_audit.data.care import Care, cared_for
from shoplm_audit.data.readers import read_records
from shoplm_audit.errors import Unsupported
from shoplm_audit.models.load import load_model
from shoplm_audit.training.corpus import examples_of
from shoplm_audit.training.loop import train
from shoplm_audit.training.settings import TrainSettings
from shoplm_audit.types import Generate, Pair, Prompt, Sampling

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"
FILES = {
    "zh": ("reviews", "zh_reviews/online_shopping_10_cats.csv"),
    "amazon": ("reviews", "amazon_5core/All_Beauty_5.clean.jsonl"),
    "e2e": ("products", "e2e_nlg/devset.csv"),
}
RUNS = {
    "e2e-causal-gpt2": ("e2e", {"objective": "causal"}),
    "zh-causal-llama": ("zh", {"objective": "causal", "shape": "llama", "epsilon": 8.0}),
    "zh-masked": ("zh", {"objective": "masked"}),
    "amazon-seq2seq-t5": ("amazon", {"objective": "seq2seq"}),
    "e2e-seq2seq-bart": ("e2e", {"objective": "seq2seq", "shape": "bart", "epsilon": 8.0}),
    "zh-classify": ("zh", {"objective": "classify", "epsilon": 8.0}),
}


def examples(name, objective, count=320):
    kind, file = FILES[name]
    if not (REAL / file).exists():
        pytest.skip(f"the real data set {file} is not beside the checkout")
    # Spread over the file: the Chinese reviews are sorted by product and label.
    rows = read_records(kind, REAL / file, skip_bad_rows=True, on_bad=lambda _: None)
    kept, _ = cared_for(islice(rows, 0, None, 150 if name == "zh" else 6), Care(deduplicate=True))
    return examples_of(kept[:count], objective=objective, on_bad=lambda _: None)


@pytest.mark.real_data
@pytest.mark.parametrize("name", RUNS)
def test_real_records_are_learned_and_the_model_answers_what_its_kind_can(name, tmp_path):
    data, chosen = RUNS[name]
    found = examples(data, chosen["objective"])
    half = len(found) // 2
    size = {"layers": 1, "heads": 2, "width": 32, "context": 96, "vocabulary": 400, "steps": 30, "batch": 24}
    record = train(TrainSettings(**size, **chosen), found[:half], found[half:], tmp_path / "model")
    (curve,) = (curve for curve_name, curve in record.curves.items() if "held_out" in curve_name)
    assert curve[-1][1] < curve[0][1]
    model = load_model(str(tmp_path / "model"))
    label = found[0].label or "good"
    assert model.score([Pair("It works.", f" {label}")])[0].log_prob.max() <= 0
    if chosen["objective"] in ("causal", "seq2seq"):
        assert isinstance(model.generate([Generate(Prompt("It"), Sampling(4))])[0], str)
    else:
        with pytest.raises(Unsupported):
            model.generate([Generate(Prompt("It"), Sampling(4))])
