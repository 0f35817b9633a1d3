from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.evaluate_modules import METRICS, metric_folder

ZH = ["这款手机配备6.7英寸AMOLED显示屏，电池容量5000mAh。", "这条裙子是纯棉的，穿着舒适透气。"]
RECORD = [["材质", "纯棉"], ["颜色", "黑色"]]
TERMS = {"order": "SL-48213907", "amount": "$94", "date": "", "source": "", "question": "Where is my refund?",
         "granted": [], "due": [], "echo": [], "disclose": False}  # fmt: skip

# What identical Chinese texts (or right answers) score, and what one wrong row makes of the same number.
RIGHT: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "bleu": ({"predictions": ZH, "references": ZH, "language": "zh"}, {"bleu": 100}),
    "chrf": ({"predictions": ZH, "references": ZH, "language": "zh"}, {"chrf": 100}),
    "rouge": (
        {"predictions": ZH, "references": ZH, "language": "zh"},
        {"rouge1": 1, "rouge2": 1, "rougeL": 1, "rougeLsum": 1},
    ),
    "distinct": ({"predictions": ["红", "红"], "language": "zh"}, {"distinct": 0.5, "expectation_adjusted": 0.50003}),
    "self_bleu": ({"predictions": [ZH[0]] * 3, "language": "zh"}, {"self_bleu": 100}),
    "shared_8_grams": ({"predictions": [ZH[0], ZH[0], ZH[1]], "groups": ["a", "b", "c"], "language": "zh"},
                       {"shared_8_grams": 2 / 3}),
    "perplexity_per_byte": ({"predictions": [-6.0], "references": ["红色"]}, {"perplexity_per_byte": math.e}),
    "macro_f1": ({"predictions": ["正面", "1"], "references": ["正面", "10"]}, {"macro_f1": 1 / 3}),
    "mcc": ({"predictions": ["正面", "负面"], "references": ["正面", "负面"]}, {"mcc": 1}),
    "ece": ({"predictions": [0.9, 0.8], "references": [1, 0]}, {"ece": 0.45}),
    "brier": ({"predictions": [0.9, 0.8], "references": [1, 0]}, {"brier": 0.325}),
    "ranking": (
        {"predictions": [["2", "1", "4", "3"]], "references": [["1", "2", "3", "4"]], "relevance": [[3, 2, 0, 1]]},
        {"hit_rate": 1, "mrr": 1, "ndcg": 0.842828},
    ),
    "summary": ({"predictions": ZH, "references": ZH, "language": "zh"},
                {"coverage": 1, "compression": 1, "invented_numbers": 0}),
    "aspect_polarity": (
        {"predictions": ["物流很快，但音质差。"], "references": [["物流很快。", "物流快，音质差。", "音质很差。"]],
         "language": "zh"},
        {"aspect_polarity": 1},
    ),
    "reply_checks": (
        {"predictions": ["Your refund of $49 is on its way."], "references": [TERMS]},
        {"facts": 1, "promises": 1, "disclosed": 0, "language_matches": 0, "any": 1},
    ),
    "claims": ({"predictions": ["白色纯棉。"], "references": [RECORD], "language": "zh"},
               {"contradicted": 1, "supported": 1, "texts_contradicted": 1}),
    "slot_error_rate": (
        {"predictions": ["Alimentum is a family-friendly place."],
         "references": [[["name", "Alimentum"], ["familyFriendly", "yes"], ["area", "riverside"]]]},
        {"slot_error_rate": 1 / 3, "missing": 1, "slots": 3},
    ),
    "parent": ({"predictions": ["黑色纯棉"], "references": [{"texts": ["黑色纯棉"], "record": RECORD}]},
               {"precision": 1, "recall": 1, "f": 1}),
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluate() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_EVALUATE_OFFLINE"):
            patch.setenv(name, "1")
        library = pytest.importorskip("evaluate")
        patch.setattr(library.config, "HF_EVALUATE_OFFLINE", True)
        yield library


def test_every_folder_is_a_metric() -> None:
    home = Path(metric_folder("bleu")).parent
    assert sorted(folder.name for folder in home.iterdir() if folder.is_dir() and folder.name[0] != "_") == list(
        METRICS
    )
    assert set(RIGHT) == set(METRICS)
    with pytest.raises(ConfigError, match='"bleurt"'):
        metric_folder("bleurt")


@pytest.mark.parametrize("name", METRICS)
def test_a_module_loads_offline_by_folder_and_agrees_with_what_it_is_made_of(
    name: str, evaluate: Any, tmp_path: Path
) -> None:
    asked, expected = RIGHT[name]
    module = evaluate.load(metric_folder(name), cache_dir=str(tmp_path), keep_in_memory=True)
    found = module.compute(**asked)
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-4)
    assert found["signature"]
    assert module.description
    assert module.citation


def test_short_texts_count_as_what_they_are(evaluate: Any, tmp_path: Path) -> None:
    def loaded(name: str) -> Any:
        return evaluate.load(metric_folder(name), cache_dir=str(tmp_path), keep_in_memory=True)

    for text, language in (("纯棉", "zh"), ("red pan", "en"), ("ok", "en")):
        alike = loaded("bleu").compute(predictions=[text], references=[text], language=language)
        assert alike["bleu"] == pytest.approx(100)
        assert loaded("shared_8_grams").compute(predictions=[text] * 9, language=language)["shared_8_grams"] == 1
    assert loaded("distinct").compute(predictions=["红 蓝 绿"], language="zh")["expectation_adjusted"] == 1
    with pytest.raises(DataError, match=r'"2000\.0"'):
        loaded("ranking").compute(predictions=[["a"]], references=[["a"]], relevance=[[2000.0]])


@pytest.mark.parametrize("name", ["bleu", "rouge", "self_bleu", "shared_8_grams", "mcc"])
def test_no_rows_are_undefined(name: str, evaluate: Any, tmp_path: Path) -> None:
    module = evaluate.load(metric_folder(name), cache_dir=str(tmp_path), keep_in_memory=True)
    found = module.compute(**{key: [] for key in ("predictions", "references") if key in RIGHT[name][0]})
    assert all(math.isnan(value) for key, value in found.items() if key != "signature")
